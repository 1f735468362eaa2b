/* Tables, their chunk plans, the epochs a stream showed, writes seen on the wrong side, rows that had come apart. */
#include "state/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"

#define TOLD_KEPT 1000

static int put_table(struct mf_state *s, const struct mf_table_state *t, struct mf_error *err)
{
    char shape[32];
    snprintf(shape, sizeof shape, "%" PRIx64, t->shape);
    return mf_state_run(s, err, "INSERT OR REPLACE INTO tables VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)", "isssiiiiiiiss",
                        (int64_t)t->table_id, t->schema, t->name, shape, t->rows_total, t->rows_done, t->bytes_total,
                        (int64_t)t->chunks_total, (int64_t)t->chunks_done, (int64_t)t->planned,
                        (int64_t)t->exact_at.order, t->exact_at.token, t->note);
}

int mf_state_table_put(struct mf_state *s, const struct mf_table_state *t, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    return put_table(s, t, err);
}

int mf_state_tables_put(struct mf_state *s, const struct mf_table_state *t, size_t n, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    int rc = mf_state_run(s, err, "BEGIN IMMEDIATE", "");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = MF_FAULT(err, "state.plan")
        ? -1 : put_table(s, &t[i], err);
    }
    if (rc == 0 && (rc = mf_state_run(s, err, "COMMIT", "")) == 0) {
        return 0;
    }
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return -1;
}

int mf_state_table_shape(struct mf_state *s, uint32_t table_id, uint64_t shape, struct mf_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIx64, shape);
    MF_LOCK_SCOPE(&s->lock);
    return mf_state_run(s, err, "UPDATE tables SET shape=? WHERE table_id=?", "si", text, (int64_t)table_id);
}

static void read_table(sqlite3_stmt *st, struct mf_table_state *t)
{
    char shape[32];
    memset(t, 0, sizeof *t);
    t->table_id = (uint32_t)sqlite3_column_int64(st, 0);
    mf_state_text(st, 1, t->schema, sizeof t->schema);
    mf_state_text(st, 2, t->name, sizeof t->name);
    mf_state_text(st, 3, shape, sizeof shape);
    t->shape = strtoull(shape, NULL, 16);
    t->rows_total = sqlite3_column_int64(st, 4);
    t->rows_done = sqlite3_column_int64(st, 5);
    t->bytes_total = sqlite3_column_int64(st, 6);
    t->chunks_total = sqlite3_column_int(st, 7);
    t->chunks_done = sqlite3_column_int(st, 8);
    t->planned = sqlite3_column_int(st, 9);
    t->exact_at.order = (uint64_t)sqlite3_column_int64(st, 10);
    mf_state_text(st, 11, t->exact_at.token, sizeof t->exact_at.token);
    mf_state_text(st, 12, t->note, sizeof t->note);
}

int mf_state_tables(struct mf_state *s, mf_table_state_sink *emit, void *ctx, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st = mf_state_query(
        s, err,
        "SELECT "
        "table_id,schema,name,shape,rows_total,rows_done,bytes_total,chunks_total,chunks_done,planned,exact_order,"
        "exact_token,note FROM tables ORDER BY schema,name",
        "");
    int rc = st ? 0 : -1;
    struct mf_table_state t;
    while (st && (rc = mf_state_next(s, st, err)) == 1) {
        read_table(st, &t);
        if (emit(ctx, &t) < 0) {
            sqlite3_reset(st);
            return -1;
        }
    }
    return rc;
}

int mf_state_chunks_begin(struct mf_state *s, uint32_t table_id, struct mf_error *err)
{
    /* The lock is kept until mf_state_chunks_end: a plan is short and nobody sees half of one. */
    pthread_mutex_lock(&s->lock);
    if (mf_state_run(s, err, "BEGIN IMMEDIATE", "") < 0 ||
        mf_state_run(s, err, "DELETE FROM chunk WHERE table_id=?", "i", (int64_t)table_id) < 0) {
        mf_state_chunks_cancel(s);
        return -1;
    }
    return 0;
}

int mf_state_verify_plan_begin(struct mf_state *s, uint32_t plan_id, const char *schema, const char *name,
                               struct mf_error *err)
{
    if (mf_state_chunks_begin(s, plan_id, err) < 0) {
        return -1;
    }
    if (mf_state_run(s, err,
                     "DELETE FROM verify_difference WHERE tab = ?1||'.'||?2 AND run IN"
                     " (SELECT run FROM verify_table WHERE schema=?1 AND name=?2 AND finished=0)",
                     "ss", schema, name) < 0 ||
        mf_state_run(s, err, "DELETE FROM verify_table WHERE schema=? AND name=? AND finished=0", "ss", schema, name) <
            0) {
        mf_state_chunks_cancel(s);
        return -1;
    }
    return 0;
}

int mf_state_chunk_put(struct mf_state *s, const struct mf_chunk *c, struct mf_error *err)
{
    if (mf_state_run(s, err, "INSERT INTO chunk VALUES(?,?,?,?,?,?)", "iiiiss", (int64_t)c->table_id,
                     (int64_t)c->ordinal, c->rows_estimate, (int64_t)c->by_heap, c->has_lower ? c->lower : NULL,
                     c->has_upper ? c->upper : NULL) < 0) {
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        pthread_mutex_unlock(&s->lock);
        return -1;
    }
    return 0;
}

int mf_state_chunks_end(struct mf_state *s, struct mf_error *err)
{
    int rc = mf_state_run(s, err, "COMMIT", "");
    if (rc < 0) {
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void mf_state_chunks_cancel(struct mf_state *s)
{
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&s->lock);
}

int mf_state_chunks(struct mf_state *s, uint32_t table_id, mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st =
        mf_state_query(s, err, "SELECT ordinal,rows,by_heap,lower,upper FROM chunk WHERE table_id=? ORDER BY ordinal",
                       "i", (int64_t)table_id);
    int rc = st ? 0 : -1;
    struct mf_chunk c;
    while (st && (rc = mf_state_next(s, st, err)) == 1) {
        c.table_id = table_id;
        c.ordinal = (uint32_t)sqlite3_column_int64(st, 0);
        c.rows_estimate = sqlite3_column_int64(st, 1);
        c.by_heap = sqlite3_column_int(st, 2);
        c.has_lower = sqlite3_column_type(st, 3) != SQLITE_NULL;
        c.has_upper = sqlite3_column_type(st, 4) != SQLITE_NULL;
        mf_state_text(st, 3, c.lower, sizeof c.lower);
        mf_state_text(st, 4, c.upper, sizeof c.upper);
        if (emit(ctx, &c, err) < 0) {
            sqlite3_reset(st);
            return -1;
        }
    }
    return rc;
}

int mf_state_epoch_add(struct mf_state *s, enum mf_direction d, const struct mf_position *at, const char *writer,
                       struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    return mf_state_run(s, err, "INSERT OR REPLACE INTO epoch VALUES(?,?,?,?)", "iiss", (int64_t)d, (int64_t)at->order,
                        at->token, writer);
}

int mf_state_writer_at(struct mf_state *s, enum mf_direction d, const struct mf_position *at, char *ret, size_t n,
                       struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st =
        mf_state_query(s, err, "SELECT writer FROM epoch WHERE direction=? AND at<=? ORDER BY at DESC LIMIT 1", "ii",
                       (int64_t)d, (int64_t)at->order);
    int rc = st ? mf_state_next(s, st, err) : -1;
    if (rc < 0) {
        return -1;
    }
    if (rc == 1) {
        mf_state_text(st, 0, ret, n);
        sqlite3_reset(st);
    } else {
        snprintf(ret, n, "source");
    }
    return 0;
}

/* ---- rows that are told: written on the wrong side, or found not to be as they must ---- */

static int64_t fact(struct mf_state *s, const char *key)
{
    sqlite3_stmt *st = mf_state_query(s, NULL, "SELECT value FROM fact WHERE key=?", "s", key);
    int64_t v = 0;
    if (st && mf_state_next(s, st, NULL) == 1) {
        v = sqlite3_column_int64(st, 0);
        sqlite3_reset(st);
    }
    return v;
}

static int set_fact(struct mf_state *s, const char *key, int64_t v, struct mf_error *err)
{
    return mf_state_run(s, err, "INSERT OR REPLACE INTO fact VALUES(?,?)", "si", key, v);
}

/* Inside a transaction: all of it or nothing. */
static int ended(struct mf_state *s, int rc, struct mf_error *err)
{
    if (rc == 0 && (rc = mf_state_run(s, err, "COMMIT", "")) == 0) {
        return 0;
    }
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return -1;
}

/* One side, while it followed: by somebody else than us. */
static const char *foreign_key(enum mf_side side)
{
    return side == MF_SOURCE ? "foreign.source.us" : "foreign.target.us";
}

/* A transaction that was counted is known by its position: a stream that is opened again may bring it again. */
int mf_state_wrong_side(struct mf_state *s, enum mf_direction d, const struct mf_position *at,
                        const struct mf_told_row *rows, size_t n, uint64_t total, struct mf_error *err)
{
    const char *mark = d == MF_FORWARD ? "wrong_side.forward.at" : "wrong_side.reverse.at";
    MF_LOCK_SCOPE(&s->lock);
    int64_t count = fact(s, "wrong_side");
    if ((uint64_t)fact(s, mark) >= at->order) {
        return 0;
    }
    if (mf_state_run(s, err, "BEGIN IMMEDIATE", "") < 0) {
        return -1;
    }
    int rc = set_fact(s, "wrong_side", count + (int64_t)total, err) < 0 ||
                     set_fact(s, "wrong_side_at", mf_wall_us(), err) < 0 ||
                     set_fact(s, foreign_key(d == MF_FORWARD ? MF_SOURCE : MF_TARGET), mf_wall_us(), err) < 0 ||
                     set_fact(s, mark, (int64_t)at->order, err) < 0
                 ? -1
                 : 0;
    for (size_t i = 0; rc == 0 && i < n && count + (int64_t)i < TOLD_KEPT; i++) {
        rc = mf_state_run(s, err, "INSERT INTO wrong_side(direction,at,token,tab,row) VALUES(?,?,?,?,?)", "iisss",
                          (int64_t)d, (int64_t)at->order, at->token, rows[i].table, rows[i].key);
    }
    return ended(s, rc, err);
}

int64_t mf_state_wrong_side_count(struct mf_state *s)
{
    return mf_state_int(s, "wrong_side", 0);
}

int64_t mf_state_wrong_side_last(struct mf_state *s)
{
    return mf_state_int(s, "wrong_side_at", 0);
}

int64_t mf_state_foreign_last(struct mf_state *s, enum mf_side side)
{
    return mf_state_int(s, foreign_key(side), 0);
}

/* A row is counted once, however often it is met; the window that met it may be done again. */
int mf_state_diverged(struct mf_state *s, enum mf_direction d, const struct mf_position *at,
                      const struct mf_told_row *rows, size_t n, uint64_t total, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    int64_t count = fact(s, "diverged");
    if (mf_state_run(s, err, "BEGIN IMMEDIATE", "") < 0) {
        return -1;
    }
    int rc = set_fact(s, "diverged_at", mf_wall_us(), err) < 0 ||
                     set_fact(s, foreign_key(d == MF_FORWARD ? MF_TARGET : MF_SOURCE), mf_wall_us(), err) < 0
                 ? -1
                 : 0;
    for (size_t i = 0; rc == 0 && i < n && count < TOLD_KEPT; i++) {
        rc = mf_state_run(s, err, "INSERT OR IGNORE INTO diverged(direction,at,tab,row,what) VALUES(?,?,?,?,?)",
                          "iisss", (int64_t)d, (int64_t)at->order, rows[i].table, rows[i].key, rows[i].what);
        count += rc == 0 ? sqlite3_changes(s->db) : 0;
    }
    count += count >= TOLD_KEPT ? (int64_t)total : (int64_t)(total - n); /* not named: counted each time */
    return ended(s, rc < 0 ? -1 : set_fact(s, "diverged", count, err), err);
}

void mf_state_diverged_summary(struct mf_state *s, int64_t *ret_rows, int64_t *ret_last_us)
{
    *ret_rows = mf_state_int(s, "diverged", 0);
    *ret_last_us = mf_state_int(s, "diverged_at", 0);
}

int mf_state_diverged_since(struct mf_state *s, int64_t seq, mf_diverged_sink *emit, void *ctx, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st = mf_state_query(
        s, err, "SELECT seq,direction,tab,row,what FROM diverged WHERE seq>? ORDER BY seq LIMIT 100", "i", seq);
    int rc = st ? 0 : -1;
    while (st && (rc = mf_state_next(s, st, err)) == 1) {
        emit(ctx, sqlite3_column_int64(st, 0), (enum mf_direction)sqlite3_column_int(st, 1),
             (const char *)sqlite3_column_text(st, 2), (const char *)sqlite3_column_text(st, 3),
             (const char *)sqlite3_column_text(st, 4));
    }
    return rc;
}
