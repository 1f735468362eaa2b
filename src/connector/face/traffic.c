/* Whose the migration is and who may write: the real database's, but for the tables that the gate stands on. Holds and run locks are the real
 * ones: each knows its own database. */
#include "connector/face/internal.h"

static const struct mf_traffic_ops *ops_of(const struct mf_db *own)
{
    return own->connector->traffic;
}

static int owner(struct mf_db *db, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
                 struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return ops_of(own)->owner(own, pipe, claim, ret, n, err);
}

static int run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                    struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return ops_of(own)->run_lock(own, pipe, wait_ms, ret, err);
}

/* NULL: of an engine that has no such lock. */
static int run_lock_check(struct mf_run_lock *l, struct mf_error *err)
{
    return l ? ops_of(l->db)->run_lock_check(l, err) : 0;
}

static void run_lock_release(struct mf_run_lock *l)
{
    if (l) {
        ops_of(l->db)->run_lock_release(l);
    }
}

static int gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                        const struct mf_gate_options *o, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct mf_catalog own = {0};
    if (face_catalog_own(f, tables, &own, err) < 0) {
        return -1;
    }
    int rc = ops_of(f->own)->gate_install(f->own, pipe, &own, o, err);
    mf_catalog_free(&own);
    return rc;
}

static int gate_remove(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                       struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return ops_of(own)->gate_remove(own, pipe, o, err);
}

static int hold(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o, struct mf_hold **ret,
                struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return ops_of(own)->hold(own, pipe, o, ret, err);
}

static int hold_decide(struct mf_hold *h, const struct mf_epoch *e, struct mf_error *err)
{
    return ops_of(h->db)->hold_decide(h, e, err);
}

static void hold_release(struct mf_hold *h)
{
    if (h) {
        ops_of(h->db)->hold_release(h);
    }
}

static int epoch_read(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return ops_of(own)->epoch_read(own, pipe, ret, err);
}

static int settle(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return ops_of(own)->settle(own, pipe, wait_ms, err);
}

static int epoch_write(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return ops_of(own)->epoch_write(own, pipe, e, err);
}

static void hurry(struct mf_db *db, int within_ms)
{
    struct mf_db *own = face_of(db)->own;
    ops_of(own)->hurry(own, within_ms);
}

static int cleanup(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return ops_of(own)->cleanup(own, pipe, err);
}

const struct mf_traffic_ops face_traffic_ops = {
    .owner = owner,
    .run_lock = run_lock,
    .run_lock_check = run_lock_check,
    .run_lock_release = run_lock_release,
    .gate_install = gate_install,
    .gate_remove = gate_remove,
    .hold = hold,
    .hold_decide = hold_decide,
    .hold_release = hold_release,
    .epoch_read = epoch_read,
    .settle = settle,
    .epoch_write = epoch_write,
    .hurry = hurry,
    .cleanup = cleanup,
};
