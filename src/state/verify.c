/* Verification runs: where one stands, so that it can be resumed, and what it found. */
#include "state/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static int forget_older(struct mf_state *s, const char *what, int64_t not_before_us, struct mf_error *err)
{
    static const char *const sql[] = {"DELETE FROM verify_table WHERE run IN"
                                      " (SELECT run FROM verify_run WHERE what=? AND finished_us=0 AND started_us<?)",
                                      "DELETE FROM verify_difference WHERE run IN"
                                      " (SELECT run FROM verify_run WHERE what=? AND finished_us=0 AND started_us<?)",
                                      "DELETE FROM verify_run WHERE what=? AND finished_us=0 AND started_us<?"};
    for (size_t i = 0; i < MF_ARRAY_LEN(sql); i++) {
        if (mf_state_run(s, err, sql[i], "si", what, not_before_us) < 0) {
            return -1;
        }
    }
    return 0;
}

int mf_state_verify_begin(struct mf_state *s, const char *what, int64_t not_before_us, int64_t *ret_run,
                          bool *ret_resumed, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    if (forget_older(s, what, not_before_us, err) < 0) {
        return -1;
    }
    sqlite3_stmt *st = mf_state_query(
        s, err, "SELECT run FROM verify_run WHERE what=? AND finished_us=0 ORDER BY run DESC LIMIT 1", "s", what);
    int rc = st ? mf_state_next(s, st, err) : -1;
    if (rc < 0) {
        return -1;
    }
    if (rc == 1) {
        *ret_run = sqlite3_column_int64(st, 0);
        *ret_resumed = true;
        sqlite3_reset(st);
        return 0;
    }
    if (mf_state_run(s, err, "INSERT INTO verify_run(what,started_us,finished_us,rows,differing) VALUES(?,?,0,0,0)",
                     "si", what, mf_wall_us()) < 0) {
        return -1;
    }
    int64_t run = sqlite3_last_insert_rowid(s->db);
    *ret_run = run;
    *ret_resumed = false;
    return 0;
}

int mf_state_verify_put(struct mf_state *s, int64_t run, const struct mf_verify_table *t, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    /* How far a table is comes from several workers, and one that was on its way when another finished the table is not believed. */
    return mf_state_run(s, err,
                        "INSERT INTO verify_table(run,schema,name,rows,differing,finished,chunks) VALUES(?,?,?,?,?,?,?)"
                        " ON CONFLICT(run,schema,name) DO UPDATE SET rows=excluded.rows,differing=excluded.differing,"
                        "finished=excluded.finished,chunks=excluded.chunks WHERE excluded.finished>=finished",
                        "issiiii", run, t->schema, t->name, t->rows, t->differing, (int64_t)t->finished,
                        (int64_t)t->chunks_done);
}

int mf_state_verify_get(struct mf_state *s, int64_t run, const char *schema, const char *name,
                        struct mf_verify_table *ret, bool *found, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st = mf_state_query(
        s, err, "SELECT rows,differing,finished,chunks FROM verify_table WHERE run=? AND schema=? AND name=?", "iss",
        run, schema, name);
    int rc = st ? mf_state_next(s, st, err) : -1;
    if (rc < 0) {
        return -1;
    }
    *found = rc == 1;
    if (rc == 1) {
        memset(ret, 0, sizeof *ret);
        strncpy(ret->schema, schema, sizeof ret->schema - 1);
        strncpy(ret->name, name, sizeof ret->name - 1);
        ret->rows = sqlite3_column_int64(st, 0);
        ret->differing = sqlite3_column_int64(st, 1);
        ret->finished = sqlite3_column_int(st, 2);
        ret->chunks_done = sqlite3_column_int(st, 3);
        sqlite3_reset(st);
    }
    return 0;
}

int mf_state_verify_difference(struct mf_state *s, int64_t run, const char *table, const char *key, const char *kind,
                               const char *where, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    return mf_state_run(s, err,
                        "INSERT INTO verify_difference(run,tab,row,kind,place) SELECT ?1,?2,?3,?4,?5 WHERE"
                        " (SELECT count(*) FROM verify_difference WHERE run=?1) < 10000",
                        "issss", run, table, key, kind, where);
}

int mf_state_verify_listed(struct mf_state *s, int64_t run, const char *table, const char *kind, int64_t *ret,
                           struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st = mf_state_query(s, err, "SELECT count(*) FROM verify_difference WHERE run=? AND tab=? AND kind=?",
                                      "iss", run, table, kind);
    if (!st || mf_state_next(s, st, err) != 1) {
        return -1;
    }
    *ret = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return 0;
}

int mf_state_verify_forget(struct mf_state *s, int64_t run, const char *table, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    return mf_state_run(s, err, "DELETE FROM verify_difference WHERE run=? AND tab=?", "is", run, table);
}

int mf_state_verify_end(struct mf_state *s, int64_t run, int64_t rows, int64_t differing, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    return mf_state_run(s, err, "UPDATE verify_run SET finished_us=?, rows=?, differing=? WHERE run=?", "iiii",
                        mf_wall_us(), rows, differing, run);
}

int mf_state_verify_differences(struct mf_state *s, int64_t run, mf_difference_sink *emit, void *ctx,
                                struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st =
        mf_state_query(s, err, "SELECT tab,row,kind,place FROM verify_difference WHERE run=? ORDER BY seq", "i", run);
    int rc = st ? 0 : -1;
    while (st && (rc = mf_state_next(s, st, err)) == 1) {
        if (emit(ctx, (const char *)sqlite3_column_text(st, 0), (const char *)sqlite3_column_text(st, 1),
                 (const char *)sqlite3_column_text(st, 2), (const char *)sqlite3_column_text(st, 3)) < 0) {
            sqlite3_reset(st);
            return -1;
        }
    }
    return rc;
}

#define SUMMARY                                                                                                        \
    "SELECT run,rows,differing,started_us,finished_us,"                                                                \
    "(SELECT count(*) FROM verify_table t WHERE t.run=r.run AND finished AND differing=0),"                            \
    "(SELECT count(*) FROM verify_table t WHERE t.run=r.run AND differing>0),what"

/* "DIRECTION TABLE sample=SHARE", perhaps " repair" after it; "*" is every table. */
static void take_what(const char *what, struct mf_verify_summary *ret)
{
    const char *table = what ? strchr(what, ' ') : NULL, *sample = NULL;
    for (const char *p = table; p && (p = strstr(p, " sample=")); p++) {
        sample = p;
    }
    ret->sample = sample ? strtod(sample + 8, NULL) : 1;
    ret->table[0] = '\0';
    if (sample && sample > table && strncmp(table, " * ", 3) != 0) {
        snprintf(ret->table, sizeof ret->table, "%.*s", (int)(sample - table - 1), table + 1);
    }
}

static int take_summary(struct mf_state *s, sqlite3_stmt *st, struct mf_verify_summary *ret, int64_t *ret_differing,
                        bool *found, struct mf_error *err)
{
    int rc = st ? mf_state_next(s, st, err) : -1;
    if (rc < 0) {
        return -1;
    }
    *found = rc == 1;
    if (rc == 1) {
        ret->run = sqlite3_column_int64(st, 0);
        ret->rows = sqlite3_column_int64(st, 1);
        ret->differing = sqlite3_column_int64(st, 2);
        ret->started_us = sqlite3_column_int64(st, 3);
        ret->finished_us = sqlite3_column_int64(st, 4);
        ret->tables_equal = sqlite3_column_int64(st, 5);
        ret->tables_differing = sqlite3_column_int64(st, 6);
        take_what((const char *)sqlite3_column_text(st, 7), ret);
        if (ret_differing) {
            *ret_differing = sqlite3_column_int64(st, 8);
        }
        sqlite3_reset(st);
    }
    return 0;
}

int mf_state_verify_last(struct mf_state *s, struct mf_verify_summary *ret, bool *found, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st = mf_state_query(s, err, SUMMARY " FROM verify_run r ORDER BY run DESC LIMIT 1", "");
    return take_summary(s, st, ret, NULL, found, err);
}

int mf_state_verify_last_full(struct mf_state *s, const char *direction, struct mf_verify_summary *ret,
                              int64_t *ret_differing, bool *found, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st = mf_state_query(
        s, err,
        SUMMARY ",(SELECT coalesce(sum(differing),0) FROM verify_run l WHERE l.run>=r.run AND l.what LIKE ?1||' %')"
                " FROM verify_run r WHERE finished_us>0 AND what IN (?1||' " MF_VERIFY_ALL "',?1||' " MF_VERIFY_ALL
                " repair') ORDER BY run DESC LIMIT 1",
        "s", direction);
    return take_summary(s, st, ret, ret_differing, found, err);
}

int mf_state_proven_since(struct mf_state *s, int64_t wall_us, bool *ret, struct mf_error *err)
{
    static const char *const directions[] = {"forward", "reverse"};
    bool proven = false;
    for (size_t i = 0; i < MF_ARRAY_LEN(directions) && !proven; i++) {
        struct mf_verify_summary last = {0};
        int64_t differing = 0;
        bool found = false;
        if (mf_state_verify_last_full(s, directions[i], &last, &differing, &found, err) < 0) {
            return -1;
        }
        proven = found && last.started_us > wall_us && differing == 0;
    }
    *ret = proven;
    return 0;
}
