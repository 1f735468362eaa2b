/*
 * The applier: windows of whole transactions, each one transaction of the target.
 *
 * The checkpoint is the first row a window writes and is in its transaction, so the target itself says how far it is,
 * exactly, whatever died when. Its update also guards: it moves only forward, or the window is undone on the server.
 * One applier at a time: an advisory lock held by the session, so that a second midflight (or the shadow of one that was
 * killed) cannot interleave.
 */
#include "connector/postgres/apply.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char checkpoint_sql[] =
    "WITH w AS (INSERT INTO midflight.checkpoint AS c (migration, direction, position_order, position_token)"
    " VALUES ($1::text, $2::text, $3::int8, $4::text) ON CONFLICT (migration, direction) DO UPDATE"
    " SET position_order = EXCLUDED.position_order, position_token = EXCLUDED.position_token,"
    " written_at = pg_catalog.clock_timestamp() WHERE c.position_order <= EXCLUDED.position_order RETURNING 1)"
    " SELECT CASE WHEN NOT EXISTS (SELECT FROM w) THEN midflight.mismatch(0, 1) END,"
    " EXISTS (SELECT FROM midflight.quarantine q WHERE q.migration = $1 AND q.direction = $2)";

static int take_lock(struct pg_applier *a, struct mf_error *err)
{
    int64_t key = pg_lock_key("apply", &a->pipe, true);
    if (pg_execf(a->conn, err,
                 "SET lock_timeout = '10s'; SELECT pg_catalog.pg_advisory_lock(%" PRId64 "); SET lock_timeout = 0",
                 key) < 0) {
        if (pg_is_sqlstate(err, "55P03")) {
            mf_fail(err, MF_RETRY, "MFTWICE", "another session applies this stream to %s (migration %s)",
                    a->db->facts.host, a->pipe.migration);
            mf_hint(err, "stop the other midflight; a session left by one that was killed ends by itself");
        }
        return -1;
    }
    return 0;
}

static void forget_statements(struct pg_applier *a)
{
    for (struct pg_shape *s = a->shapes, *next; s; s = next) {
        next = s->next;
        pg_shape_free(s);
    }
    a->shapes = NULL;
    a->nstmts = 0;
}

int pg_applier_connect(struct pg_applier *a, struct mf_error *err)
{
    pg_finish(a->conn);
    a->conn = NULL;
    a->head = a->count = 0;
    a->answered = a->big = false;
    forget_statements(a);
    a->has_quarantine = true; /* until a checkpoint has said */
    a->mark = (struct pg_stmt){.name = "mfmark", .sql = (char *)checkpoint_sql};
    if (pg_connect(a->db, a->plain ? "load" : "apply", 0, &a->conn, err) < 0 || (!a->plain && take_lock(a, err) < 0) ||
        pg_writer_session(a->db, a->conn, &a->pipe, err) < 0) {
        return -1;
    }
    /* Rows are always looked up by index, with one plan for any number of them (see stmt.c). */
    const char *plan = a->db->version >= 120000 ? "; SET plan_cache_mode = force_generic_plan" : "";
    if (!a->plain && pg_execf(a->conn, err,
                              "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;"
                              " SET enable_mergejoin = off; SET enable_material = off%s",
                              plan) < 0) {
        return -1;
    }
    pg_wire_patient(a);
    if (PQsetnonblocking(a->conn, 1) < 0 || !PQenterPipelineMode(a->conn)) {
        return pg_fail_conn(a->conn, err);
    }
    return 0;
}

int pg_applier_open(struct mf_db *mdb, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err)
{
    struct pg_applier *a = mf_xcalloc(1, sizeof(*a));
    a->base.db = mdb;
    a->db = pg_db_of(mdb);
    a->pipe = *pipe;
    mf_buf_init(&a->params, PG_PARAMS_MAX);
    mf_arena_init(&a->scratch, SIZE_MAX / 2);
    mf_arena_init(&a->keep, PG_MISSING_BYTES);
    if (pg_applier_connect(a, err) < 0) {
        pg_applier_close(&a->base);
        return -1;
    }
    *ret = &a->base;
    return 0;
}

void pg_applier_close(struct mf_applier *base)
{
    if (!base) {
        return;
    }
    struct pg_applier *a = pg_applier_of(base);
    pg_finish(a->conn);
    forget_statements(a);
    free(a->queue);
    free(a->partial);
    mf_buf_free(&a->params);
    mf_arena_free(&a->scratch);
    mf_arena_free(&a->keep);
    free(a);
}

int pg_window_begin(struct mf_applier *base, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                    struct mf_error *err)
{
    struct pg_applier *a = pg_applier_of(base);
    struct pg_expect ok = {.kind = PG_EXPECT_OK, .doing = "beginning a window"};
    struct pg_expect mark = {.kind = PG_EXPECT_CHECKPOINT, .doing = "writing the checkpoint"};
    char order[8];
    if (MF_FAULT(err, "postgres.window_begin")) {
        return -1;
    }
    if ((a->big || a->nstmts > PG_STMTS_MAX) && pg_applier_connect(a, err) < 0) {
        return -1;
    }
    mf_error_clear(&a->failed);
    mf_arena_reset(&a->keep);
    a->npartial = 0;
    a->mode = *mode;
    a->checkpoint = *checkpoint;
    a->result = NULL;
    a->counted = a->marked = false;
    a->in_window = true;
    mf_put_u64be(order, checkpoint->order);
    const char *values[] = {a->pipe.migration, pg_direction(a->pipe.direction), order, checkpoint->token};
    const int lengths[] = {(int)strlen(values[0]), (int)strlen(values[1]), sizeof(order), (int)strlen(values[3])};
    return pg_wire_sql(a, "BEGIN", &ok, err) < 0 || pg_wire_stmt(a, &a->mark, 4, values, lengths, &mark, err) < 0 ? -1
                                                                                                                  : 0;
}

int pg_window_batch(struct mf_applier *base, const struct mf_batch *b, struct mf_window_result *result,
                    struct mf_error *err)
{
    struct pg_applier *a = pg_applier_of(base);
    a->result = result;
    mf_arena_reset(&a->scratch);
    if (a->failed.cls != MF_OK) {
        return pg_wire_failed(a, err);
    }
    if (a->mode.careful) {
        return pg_batch_careful(a, b, err);
    }
    if (b->truncate && pg_batch_truncate(a, b->truncate, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < b->ntables; i++) {
        const struct mf_batch_table *t = &b->tables[i];
        bool fuzzy = a->mode.fuzzy && t->table->identity == MF_IDENTITY_KEY;
        if ((fuzzy ? pg_batch_fuzzy(a, t, err) : pg_batch_strict(a, t, err)) < 0) {
            return -1;
        }
    }
    return pg_wire_poll(a, err);
}

int pg_window_commit(struct mf_applier *base, struct mf_error *err)
{
    struct pg_applier *a = pg_applier_of(base);
    struct pg_expect e = {.kind = PG_EXPECT_COMMIT, .doing = "committing a window"};
    if (MF_FAULT(err, "postgres.window_commit")) {
        return -1;
    }
    if ((a->counted && pg_wire_sync(a, err) < 0) || pg_wire_sql(a, "COMMIT", &e, err) < 0 || pg_wire_sync(a, err) < 0) {
        return -1;
    }
    a->in_window = false;
    a->result = NULL;
    return MF_FAULT(err, "postgres.window_committed");
}

void pg_window_abort(struct mf_applier *base)
{
    struct pg_applier *a = pg_applier_of(base);
    struct pg_expect e = {.kind = PG_EXPECT_OK, .doing = "undoing a window"};
    struct mf_error ignored = {0};
    if (!a || !a->in_window) {
        return;
    }
    a->in_window = false;
    a->result = NULL; /* answers still to come have nobody to tell */
    if (PQstatus(a->conn) != CONNECTION_OK) {
        return;
    }
    if (a->failed.cls == MF_OK) {
        mf_fail(&a->failed, MF_ABANDONED, "MFABORT", "the window was given up"); /* answers are not looked at */
    }
    pg_wire_sync(a, &ignored);
    pg_wire_forgive(a);
    if (PQstatus(a->conn) == CONNECTION_OK && PQtransactionStatus(a->conn) != PQTRANS_IDLE &&
        pg_wire_sql(a, "ROLLBACK", &e, &ignored) == 0) {
        pg_wire_sync(a, &ignored);
    }
    pg_wire_forgive(a);
}
