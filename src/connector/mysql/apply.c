/*
 * The applier: windows of whole transactions, each one transaction of the target.
 *
 * The checkpoint is the first row a window writes and is in its transaction, so the target itself says how far it is, exactly,
 * whatever died when: rows and checkpoint are in the same log of the server, and one that forgets its last second after a crash
 * (innodb_flush_log_at_trx_commit or sync_binlog other than 1) forgets both. It only ever moves forward, and its row changes with
 * every window (`touched`), or the binary log would not show whose transaction it is.
 *
 * One applier at a time: a lock of the session, so that a second midflight (or the shadow of one that was killed) cannot interleave.
 *
 * An error of one statement undoes that statement only, and a lock that was waited for in vain does not end the transaction: a
 * window that failed is rolled back in words (window_abort), and nothing is sent between.
 */
#include "connector/mysql/apply.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOCK_WAIT_MS 10000

static int take_lock(struct my_applier *a, struct mf_error *err)
{
    bool got = false;
    if (my_session_lock(a->conn, "apply", &a->pipe, true, LOCK_WAIT_MS, &got, err) < 0) {
        return -1;
    }
    if (got) {
        return 0;
    }
    mf_fail(err, MF_RETRY, "MFTWICE", "another session applies this stream to %s (migration %s)", a->db->facts.host,
            a->pipe.migration);
    mf_hint(err, "stop the other midflight; a session left by one that was killed ends by itself");
    return -1;
}

static void forget_shapes(struct my_applier *a)
{
    for (struct my_shape *s = a->shapes, *next; s; s = next) {
        next = s->next;
        my_shape_free(s);
    }
    a->shapes = NULL;
    a->shapes_us = mf_now_us();
    a->raised = __atomic_load_n(&a->db->triggers_raised, __ATOMIC_SEQ_CST);
}

void my_forget_old_shapes(struct my_applier *a)
{
    bool raised = a->raised != __atomic_load_n(&a->db->triggers_raised, __ATOMIC_SEQ_CST);
    if (raised || mf_now_us() - a->shapes_us > MY_SHAPES_US) {
        forget_shapes(a);
    }
}

int my_applier_connect(struct my_applier *a, struct mf_error *err)
{
    my_finish(a->conn);
    a->conn = NULL;
    a->flying = 0;
    my_wire_reset(a);
    forget_shapes(a);
    a->has_quarantine = true; /* until a checkpoint has said */
    if (my_connect(a->db, a->plain ? "load" : "apply", &a->conn, err) < 0) {
        return -1;
    }
    my_set_timeout(a->conn, 0);
    return (!a->plain && take_lock(a, err) < 0) || my_writer_session(a->conn, &a->pipe, err) < 0 ||
                   my_query_i64(a->conn, &a->packet, err, "SELECT @@max_allowed_packet") < 0
               ? -1
               : 0;
}

struct my_applier *my_applier_new(struct mf_db *db, const struct mf_pipe_id *pipe, bool plain)
{
    struct my_applier *a = mf_xcalloc(1, sizeof *a);
    a->base.db = db;
    a->db = my_db_of(db);
    a->pipe = *pipe;
    a->plain = plain;
    mf_buf_init(&a->sql, (size_t)MY_ROW_SQL_MAX + 4 * MY_FLUSH_BYTES);
    mf_arena_init(&a->scratch, SIZE_MAX / 2);
    mf_arena_init(&a->keep, MY_MISSING_BYTES);
    return a;
}

int my_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err)
{
    struct my_applier *a = my_applier_new(db, pipe, false);
    if (my_applier_connect(a, err) < 0) {
        my_applier_close(&a->base);
        return -1;
    }
    *ret = &a->base;
    return 0;
}

void my_applier_close(struct mf_applier *base)
{
    if (!base) {
        return;
    }
    struct my_applier *a = my_applier_of(base);
    my_finish(a->conn);
    forget_shapes(a);
    free(a->queue);
    free(a->partial);
    mf_buf_free(&a->sql);
    mf_arena_free(&a->scratch);
    mf_arena_free(&a->keep);
    free(a);
}

static int put_checkpoint(struct my_applier *a, struct mf_error *err)
{
    struct my_expect ok = {.kind = MY_EXPECT_OK, .doing = "writing the checkpoint"};
    struct my_expect mark = {.kind = MY_EXPECT_CHECKPOINT, .doing = "reading the checkpoint"};
    const char *migration = a->pipe.migration, *direction = my_direction(a->pipe.direction);
    uint64_t order = a->checkpoint.order;
    MF_CLEANUP_BUF struct mf_buf token = {.max = 4 * MF_POSITION_TOKEN};
    my_put_literal(&token, a->checkpoint.token);
    /* The token first: it looks at the order that stands. */
    mf_buf_printf(&a->sql,
                  "INSERT INTO midflight.checkpoint (migration, direction, position_order, position_token)"
                  " VALUES ('%s', '%s', %" PRIu64 ", %s) ON DUPLICATE KEY UPDATE"
                  " position_token = IF(position_order <= %" PRIu64 ", %s, position_token),"
                  " position_order = GREATEST(position_order, %" PRIu64 "),"
                  " written_at = CURRENT_TIMESTAMP(6), touched = touched + 1",
                  migration, direction, order, mf_buf_str(&token), order, mf_buf_str(&token), order);
    if (my_wire_end(a, &ok, err) < 0) {
        return -1;
    }
    mf_buf_printf(&a->sql,
                  "SELECT position_order, EXISTS (SELECT 1 FROM midflight.quarantine q WHERE q.migration = '%s' AND"
                  " q.direction = '%s') FROM midflight.checkpoint WHERE migration = '%s' AND direction = '%s'",
                  migration, direction, migration, direction);
    return my_wire_end(a, &mark, err);
}

int my_window_begin(struct mf_applier *base, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                    struct mf_error *err)
{
    struct my_applier *a = my_applier_of(base);
    struct my_expect ok = {.kind = MY_EXPECT_OK, .doing = "beginning a window"};
    if (MF_FAULT(err, "mysql.window_begin") || (!a->conn && my_applier_connect(a, err) < 0)) {
        return -1;
    }
    my_wire_reset(a);
    my_forget_old_shapes(a);
    mf_arena_reset(&a->keep);
    a->npartial = 0;
    a->mode = *mode;
    a->checkpoint = *checkpoint;
    a->result = NULL;
    a->in_window = true;
    return my_wire_sql(a, "START TRANSACTION", &ok, err) < 0 || put_checkpoint(a, err) < 0 ? -1 : 0;
}

int my_window_batch(struct mf_applier *base, const struct mf_batch *b, struct mf_window_result *result,
                    struct mf_error *err)
{
    struct my_applier *a = my_applier_of(base);
    a->result = result;
    if (a->failed.cls != MF_OK) {
        return my_wire_failed(a, err);
    }
    mf_arena_reset(&a->scratch); /* what was queued from it is text already */
    if (a->mode.careful) {
        return my_batch_careful(a, b, err);
    }
    if (b->truncate && my_batch_truncate(a, b->truncate, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < b->ntables; i++) {
        const struct mf_batch_table *t = &b->tables[i];
        bool fuzzy = a->mode.fuzzy && t->table->identity == MF_IDENTITY_KEY;
        if ((fuzzy ? my_batch_fuzzy(a, t, err) : my_batch_strict(a, t, err)) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_window_commit(struct mf_applier *base, struct mf_error *err)
{
    struct my_applier *a = my_applier_of(base);
    struct my_expect e = {.kind = MY_EXPECT_OK, .doing = "committing a window"};
    if (my_wire_flush(a, err) < 0 || MF_FAULT(err, "mysql.window_commit")) {
        return -1;
    }
    if (my_wire_sql(a, "COMMIT", &e, err) < 0 || my_wire_flush(a, err) < 0) {
        /* Whether it is committed is not known, or a cluster has rolled it back: the checkpoint tells. */
        err->cls = MF_RETRY;
        a->failed.cls = MF_RETRY;
        return -1;
    }
    a->in_window = false;
    a->result = NULL;
    return MF_FAULT(err, "mysql.window_committed");
}

void my_window_abort(struct mf_applier *base)
{
    struct my_applier *a = my_applier_of(base);
    struct mf_error ignored = {0};
    if (!a || !a->in_window) {
        return;
    }
    a->in_window = false;
    a->result = NULL;
    if (a->flying > 0) {
        my_wire_settle(a, &ignored);
    }
    my_wire_reset(a);
    if (my_exec(a->conn, &ignored, "ROLLBACK") < 0) { /* the server does it when the session ends */
        my_finish(a->conn);
        a->conn = NULL;
        mf_fail(&a->failed, MF_RETRY, "MFGONE", "the session that was applying is gone: %s", ignored.text);
    }
}
