/*
 * Whose a migration is, and the right to run it.
 *
 * The owner is a row of midflight.settings: a state directory's token, and where that directory is, for the message. The
 * run lock is a session's lock, GET_LOCK: two processes with one state directory's token (a copy of it) exclude each other
 * by it, and the server lets go of it when the session ends. Such names are the whole server's and have at most 64 characters, so
 * ours are a hash of what they stand for.
 */
#include "connector/mysql/gate.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_US  (100 * MF_US_PER_MS)
#define LOCK_NAME 48
#define YEAR_S    31536000 /* the most that wait_timeout may be */

int my_owner(struct mf_db *mdb, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
             struct mf_error *err)
{
    MY_LEASE(my_db_of(mdb), l);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    if (claim) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
        mf_buf_printf(&b,
                      "INSERT INTO midflight.settings (migration, kind, object, value) VALUES ('%s', 'owner',"
                      " 'state', ",
                      pipe->migration);
        my_put_literal(&b, claim);
        mf_buf_puts(&b, ") ON DUPLICATE KEY UPDATE value = IF(SUBSTRING_INDEX(value, ' ', 1) = SUBSTRING_INDEX(");
        my_put_literal(&b, claim);
        mf_buf_puts(&b, ", ' ', 1), ");
        my_put_literal(&b, claim);
        mf_buf_puts(&b, ", value)");
        if (my_exec_buf(l.conn, err, &b) < 0) {
            return -1;
        }
    }
    if (my_queryf(l.conn, &r, err,
                  "SELECT value FROM midflight.settings WHERE migration = '%s' AND kind = 'owner' AND object = 'state'",
                  pipe->migration) < 0 &&
        !my_no_book(err)) {
        return -1;
    }
    mf_error_clear(err);
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    mf_strlcpy(ret, row && row[0] ? row[0] : "", n);
    return 0;
}

/* ---- locks of sessions ---- */

static void lock_name(const char *what, const struct mf_pipe_id *pipe, bool with_direction, char out[LOCK_NAME])
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a: fixed for ever, unlike a hash a library may change */
    const char *words[] = {what, pipe ? pipe->migration : "",
                           pipe && with_direction ? my_direction(pipe->direction) : ""};
    for (size_t i = 0; i < MF_ARRAY_LEN(words); i++) {
        for (const char *p = words[i]; *p; p++) {
            h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
        }
        h = (h ^ 0xff) * UINT64_C(0x100000001b3);
    }
    snprintf(out, LOCK_NAME, "midflight.%.16s.%016" PRIx64, what, h);
}

int my_session_lock(MYSQL *c, const char *what, const struct mf_pipe_id *pipe, bool with_direction, int wait_ms,
                    bool *ret_got, struct mf_error *err)
{
    char name[LOCK_NAME], sql[LOCK_NAME + 32], got[8];
    int64_t until = mf_now_us() + wait_ms * MF_US_PER_MS;
    lock_name(what, pipe, with_direction, name);
    snprintf(sql, sizeof sql, "SELECT GET_LOCK('%s', 0)", name);
    for (;;) {
        if (my_query_text(c, got, sizeof got, err, sql) < 0) {
            return -1;
        }
        *ret_got = got[0] == '1';
        if (*ret_got || mf_now_us() >= until) {
            return 0;
        }
        mf_sleep_us(RETRY_US);
    }
}

struct my_run_lock {
    struct mf_run_lock base;
    MYSQL *conn;
};

/* Who has it, for the message; "" when that cannot be seen. */
static void holder(MYSQL *c, const struct mf_pipe_id *pipe, char *out, size_t n)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct mf_error ignored = {0};
    char name[LOCK_NAME];
    lock_name("run", pipe, false, name);
    out[0] = '\0';
    if (my_queryf(c, &r, &ignored,
                  "SELECT IS_USED_LOCK('%s'), COALESCE((SELECT HOST FROM information_schema.processlist"
                  " WHERE ID = IS_USED_LOCK('%s')), '?')",
                  name, name) < 0) {
        return;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    if (row && row[0]) {
        snprintf(out, n, " (connection %s, from %s)", row[0], row[1]);
    }
}

int my_run_lock(struct mf_db *mdb, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                struct mf_error *err)
{
    struct my_db *db = my_db_of(mdb);
    MY_CLEANUP_CONN MYSQL *c = NULL;
    bool got = false;
    /* The session lies idle for the length of the migration: the server must not end it for that. */
    if (my_connect(db, "run", &c, err) < 0 || my_execf(c, err, "SET SESSION wait_timeout = %d", YEAR_S) < 0 ||
        my_session_lock(c, "run", pipe, false, wait_ms, &got, err) < 0) {
        return -1;
    }
    if (!got) {
        char who[200];
        holder(c, pipe, who, sizeof who);
        mf_fail(err, MF_FATAL, "MFTWICE", "another midflight runs this migration (%s) into the server %s%s",
                pipe->migration, db->facts.host, who);
        mf_hint(err,
                "one run at a time: use the commands of that one, or stop it first; a session left by one that was "
                "killed ends by itself");
        return -1;
    }
    struct my_run_lock *l = mf_xcalloc(1, sizeof *l);
    l->base.db = mdb;
    l->conn = MF_STEAL(c);
    *ret = &l->base;
    return 0;
}

int my_run_lock_check(struct mf_run_lock *base, struct mf_error *err)
{
    /* A session that ended has its end-of-file waiting; a network that is dead is noticed by the keepalives. */
    if (!my_ended(((struct my_run_lock *)base)->conn)) {
        return 0;
    }
    return mf_fail(err, MF_RETRY, "MFLOST", "the session that holds the right to run this migration was ended by %s",
                   my_db_of(base->db)->facts.host);
}

void my_run_lock_release(struct mf_run_lock *base)
{
    struct my_run_lock *l = (struct my_run_lock *)base;
    if (l) {
        my_finish(l->conn);
        free(l);
    }
}
