/* What the table names and stands nowhere yet: each goes when its file comes. */
#include "connector/mongodb/mongo_room.h"

static int missing(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFUNSUP", "the MongoDB connector cannot do this yet");
}

int mongo_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err)
{
    (void)db, (void)pipe, (void)ret;
    return missing(err);
}

void mongo_applier_close(struct mf_applier *a)
{
    (void)a;
}

int mongo_window_begin(struct mf_applier *a, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                       struct mf_error *err)
{
    (void)a, (void)checkpoint, (void)mode;
    return missing(err);
}

int mongo_window_batch(struct mf_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                       struct mf_error *err)
{
    (void)a, (void)b, (void)result;
    return missing(err);
}

int mongo_window_commit(struct mf_applier *a, struct mf_error *err)
{
    (void)a;
    return missing(err);
}

void mongo_window_abort(struct mf_applier *a)
{
    (void)a;
}

int mongo_repair_rows(struct mf_applier *a, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                      const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err)
{
    (void)a, (void)t, (void)whole, (void)nwhole, (void)gone, (void)ngone, (void)stamp;
    return missing(err);
}

int mongo_quarantine_list(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                          struct mf_error *err)
{
    (void)db, (void)pipe, (void)emit, (void)ctx;
    return missing(err);
}

int mongo_quarantine_drop(struct mf_db *db, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err)
{
    (void)db, (void)pipe, (void)id;
    return missing(err);
}

static int owner(struct mf_db *db, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
                 struct mf_error *err)
{
    (void)db, (void)pipe, (void)claim, (void)ret, (void)n;
    return missing(err);
}

static int run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                    struct mf_error *err)
{
    (void)db, (void)pipe, (void)wait_ms, (void)ret;
    return missing(err);
}

static int run_lock_check(struct mf_run_lock *l, struct mf_error *err)
{
    (void)l;
    return missing(err);
}

static void run_lock_release(struct mf_run_lock *l)
{
    (void)l;
}

static int gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                        const struct mf_gate_options *o, struct mf_error *err)
{
    (void)db, (void)pipe, (void)tables, (void)o;
    return missing(err);
}

static int gate_remove(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                       struct mf_error *err)
{
    (void)db, (void)pipe, (void)o;
    return missing(err);
}

static int hold(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o, struct mf_hold **ret,
                struct mf_error *err)
{
    (void)db, (void)pipe, (void)o, (void)ret;
    return missing(err);
}

static int hold_decide(struct mf_hold *h, const struct mf_epoch *e, struct mf_error *err)
{
    (void)h, (void)e;
    return missing(err);
}

static void hold_release(struct mf_hold *h)
{
    (void)h;
}

static int epoch_read(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err)
{
    (void)db, (void)pipe, (void)ret;
    return missing(err);
}

static int settle(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err)
{
    (void)db, (void)pipe, (void)wait_ms;
    return missing(err);
}

static int epoch_write(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err)
{
    (void)db, (void)pipe, (void)e;
    return missing(err);
}

const struct mf_traffic_ops mongo_traffic_ops = {
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
    .hurry = mongo_hurry,
    .cleanup = mongo_cleanup,
};
