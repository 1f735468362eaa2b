/*
 * The rows that the gate's triggers lock shared, and taking them all exclusively.
 *
 * Where the server grants row locks in the order they were asked for (5.7, MariaDB) it is one: the epoch row. Whoever comes after our request waits behind
 * it. MySQL 8.0 grants by contention: when one who holds the row ends, those who asked for it after us and want it shared get it before us,
 * and under load there is always one. There every session has a row of its own, its SLOT (connection modulo MY_SLOTS): with nobody or next to
 * nobody to share it with, ours is the next request when the session's transaction ends. The slots carry what the epoch row says, and change
 * with it in one transaction.
 *
 * What is free is taken at once (SKIP LOCKED), the others in their order. All slots of a migration are on one page or two, so we hold
 * few lock structures however many the rows are, and are the lightest in any deadlock.
 */
#include "connector/mysql/gate.h"

#include "base/clock.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#define MY_SLOTS  512
#define NAMES_MS  50 /* before the end, while those in front can still be asked for */
#define STEP_MS   120
#define AGAIN_US  (2 * MF_US_PER_MS)
#define NAMED_MAX 20
#define SQL_MAX   400

static bool by_slots(const struct my_db *db)
{
    return !db->mariadb && db->version >= 80001;
}

static uint64_t slot_key(const struct mf_pipe_id *pipe)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a: a short key, so that the slots fit on a page */
    for (const char *p = pipe->migration; *p; p++) {
        h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    }
    return h;
}

/* ---- what triggers read, and what is written with the epoch ---- */

void my_put_may(struct mf_buf *b, const struct my_db *db, const struct mf_pipe_id *pipe)
{
    if (by_slots(db)) {
        mf_buf_printf(b,
                      "(SELECT s.`open` FROM midflight.slot s WHERE s.migration = %" PRIu64
                      " AND s.slot = CONNECTION_ID() %% %d LOCK IN SHARE MODE)",
                      slot_key(pipe), MY_SLOTS);
    } else {
        mf_buf_printf(b, "(SELECT e.`open` FROM midflight.epoch e WHERE e.migration = '%s' LOCK IN SHARE MODE)",
                      pipe->migration);
    }
}

int my_slots_make(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    char open[8];
    if (!by_slots(db)) {
        return 0;
    }
    mf_buf_printf(&b, "SELECT COALESCE(MAX(`open`), 1) FROM midflight.epoch WHERE migration = '%s'", pipe->migration);
    if (my_exec(c, err,
                "CREATE TABLE IF NOT EXISTS midflight.slot (migration BIGINT UNSIGNED NOT NULL, slot SMALLINT NOT NULL,"
                " `open` TINYINT(1) NOT NULL, PRIMARY KEY (migration, slot)) ENGINE = InnoDB") < 0 ||
        my_queryf(c, &r, err, "SELECT 1 FROM midflight.slot WHERE migration = %" PRIu64 " LIMIT 1", slot_key(pipe)) <
            0 ||
        my_query_text(c, open, sizeof open, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    if (mysql_num_rows(r) > 0) {
        return 0;
    }
    mf_buf_reset(&b);
    mf_buf_puts(&b, "INSERT INTO midflight.slot (migration, slot, `open`) VALUES ");
    for (int i = 0; i < MY_SLOTS; i++) {
        mf_buf_printf(&b, "%s(%" PRIu64 ",%d,%d)", i ? "," : "", slot_key(pipe), i, open[0] == '1');
    }
    return my_exec_buf(c, err, &b);
}

int my_slots_write(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, bool open, struct mf_error *err)
{
    if (!by_slots(db)) {
        return 0;
    }
    int rc = my_execf(c, err, "UPDATE midflight.slot SET `open` = %d WHERE migration = %" PRIu64, open, slot_key(pipe));
    return rc < 0 && !my_no_book(err) ? -1 : 0;
}

int my_slots_drop(MYSQL *c, const struct mf_pipe_id *pipe, bool *ret_others, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_execf(c, err, "DELETE FROM midflight.slot WHERE migration = %" PRIu64, slot_key(pipe)) < 0 ||
        my_query(c, &r, err, "SELECT 1 FROM midflight.slot LIMIT 1") < 0) {
        return my_no_book(err) ? 0 : -1;
    }
    *ret_others = *ret_others || mysql_num_rows(r) > 0;
    return 0;
}

/* ---- who is in front ---- */

/* The numbers of the transactions that have the rows shared, or are in front of our request. 5.7 and MariaDB name them only while we wait; 8.0 in
 * the performance schema alone. */
static void put_whom(struct mf_buf *b, const struct my_waiter *w, const struct mf_pipe_id *pipe)
{
    if (by_slots(w->db)) {
        mf_buf_printf(b,
                      "(SELECT DISTINCT ENGINE_TRANSACTION_ID AS whom FROM performance_schema.data_locks"
                      " WHERE OBJECT_SCHEMA = 'midflight' AND OBJECT_NAME = 'slot' AND LOCK_TYPE = 'RECORD'"
                      " AND LOCK_STATUS = 'GRANTED' AND LOCK_MODE LIKE 'S%%' AND LOCK_DATA LIKE '%" PRIu64 ", %%')",
                      slot_key(pipe));
    } else {
        mf_buf_printf(b,
                      "(SELECT DISTINCT l.blocking_trx_id AS whom FROM information_schema.innodb_lock_waits l"
                      " JOIN information_schema.innodb_trx me ON me.trx_id = l.requesting_trx_id"
                      " WHERE me.trx_mysql_thread_id = %lu)",
                      mysql_thread_id(w->c));
    }
}

static int ask_whom(struct my_waiter *w, const struct mf_pipe_id *pipe, int64_t until_us, MYSQL_RES **ret,
                    struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    mf_buf_puts(&b, "SELECT t.trx_mysql_thread_id, t.trx_id, COALESCE(p.USER, '?'), COALESCE(p.HOST, '?'),"
                    " COALESCE(p.COMMAND, '?'), " MY_TRX_AGE("t") " FROM ");
    put_whom(&b, w, pipe);
    mf_buf_printf(&b,
                  " l JOIN information_schema.innodb_trx t ON t.trx_id = l.whom AND t.trx_lock_structs > 0"
                  " LEFT JOIN information_schema.processlist p ON p.ID = t.trx_mysql_thread_id"
                  " WHERE t.trx_mysql_thread_id NOT IN (%lu, CONNECTION_ID())",
                  mysql_thread_id(w->c));
    return my_query_trx(w->other, mf_buf_str(&b), until_us, ret, err);
}

static void put_name(struct mf_buf *names, MYSQL_ROW row)
{
    mf_buf_puts(names, names->len ? ", " : "");
    if (my_get_i64(row, 0) == 0) { /* no session: its client has gone */
        mf_buf_puts(names, "a prepared transaction (XA RECOVER)");
    } else {
        mf_buf_printf(names, "connection %s (%s from %s, %s)", row[0], row[2], row[3], row[4]);
    }
    mf_buf_printf(names, ", open for %s s", row[5] ? row[5] : "?");
}

/* MariaDB gives all transactions that have written nothing the number 0: of several that have locks nobody can tell which one it is. */
static bool ambiguous(MYSQL_RES *r)
{
    int n = 0;
    for (MYSQL_ROW row = mysql_fetch_row(r); row; row = mysql_fetch_row(r)) {
        n += strcmp(row[1], "0") == 0;
    }
    mysql_data_seek(r, 0);
    return n > 1;
}

/* Names them; end: those who were there the last time, too, are ended. Says and does nothing where it may not be seen. */
static void look(struct my_waiter *w, const struct mf_pipe_id *pipe, struct my_gate_wait *g, bool end)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf now = {.max = g->met.max};
    struct mf_error ignored = {0};
    int rc = ask_whom(w, pipe, g->until_us, &r, &ignored), n = 0;
    if (rc < 0) {
        return;
    }
    bool doubtful = rc == 1 || ambiguous(r);
    mf_buf_reset(&g->names);
    g->denied = 0;
    for (MYSQL_ROW row = mysql_fetch_row(r); row; row = mysql_fetch_row(r)) {
        char line[64];
        snprintf(line, sizeof line, "\n%.20s:%.24s\n", row[0], row[1]);
        mf_buf_puts(&now, line);
        if (n++ < NAMED_MAX) {
            put_name(&g->names, row);
        }
        if (end && (doubtful || my_get_i64(row, 0) == 0)) {
            g->denied++;
        } else if (end && strstr(mf_buf_str(&g->met), line) && my_execf(w->other, &ignored, "KILL %s", row[0]) < 0) {
            g->denied += !my_is_error(&ignored, ER_NO_SUCH_THREAD);
        }
    }
    mf_buf_reset(&g->met);
    mf_buf_puts(&g->met, mf_buf_str(&now));
}

void my_gate_wait_free(struct my_gate_wait *g)
{
    mf_buf_free(&g->names);
    mf_buf_free(&g->met);
}

/* ---- taking them ---- */

enum { FREE_SLOTS, SLOTS, EPOCH, ROWS }; /* in this order */

static void put_row(const struct my_db *db, const struct mf_pipe_id *pipe, int i, const char *how, char ret[SQL_MAX])
{
    const size_t n = SQL_MAX;
    if (i == EPOCH) {
        snprintf(ret, n, "SELECT epoch, writer, `open` FROM midflight.epoch WHERE migration = '%s' FOR UPDATE%s",
                 pipe->migration, how);
    } else if (by_slots(db)) {
        snprintf(ret, n, "SELECT COUNT(*) FROM midflight.slot WHERE migration = %" PRIu64 " FOR UPDATE%s",
                 slot_key(pipe), i == FREE_SLOTS ? " SKIP LOCKED" : how);
    } else {
        ret[0] = '\0';
    }
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* One request that stays in the queue. Who is in front when those in front are ended has been there for two looks: whoever came after it waits. */
static int wait_for(struct my_waiter *w, const struct mf_pipe_id *pipe, const char *sql, struct my_gate_wait *g,
                    MYSQL_RES **ret, struct mf_error *err)
{
    int64_t last_us = g->until_us - NAMES_MS * MF_US_PER_MS, now = mf_now_us();
    bool met = false;
    int rc = my_waiter_ask(w, sql, err) < 0 ? -1 : 1;
    if (rc == 1 && !g->end_from_us) {
        rc = my_await(w, last_us, ret, err);
    } else if (rc == 1) {
        rc = my_await(w, sooner(last_us, now + (g->end_from_us - now) / 2), ret, err);
    }
    while (rc == 1 && mf_now_us() < last_us) {
        look(w, pipe, g, met);
        met = true;
        now = mf_now_us();
        int64_t next_us = now < g->end_from_us ? g->end_from_us : now + STEP_MS * MF_US_PER_MS;
        rc = my_await(w, sooner(last_us, next_us), ret, err);
    }
    if (rc == 1) {
        look(w, pipe, g, false);
        rc = my_await(w, g->until_us, ret, err);
    }
    return rc == 1 ? my_take_back(w, ret, err) : rc;
}

static int once(struct my_waiter *w, const struct mf_pipe_id *pipe, struct my_gate_wait *g, MYSQL_RES **ret,
                struct mf_error *err)
{
    char sql[SQL_MAX];
    int rc = my_exec(w->c, err, "START TRANSACTION");
    for (int i = FREE_SLOTS; rc == 0 && i < ROWS; i++) {
        my_result_free_p(ret);
        *ret = NULL;
        put_row(w->db, pipe, i, "", sql);
        rc = sql[0] ? wait_for(w, pipe, sql, g, ret, err) : 0;
        if (rc < 0 && i != EPOCH && my_no_book(err)) {
            rc = 0; /* no slots: no gate has ever stood here */
        }
    }
    return rc;
}

int my_gate_lock(struct my_waiter *w, const struct mf_pipe_id *pipe, struct my_gate_wait *g, MYSQL_RES **ret,
                 struct mf_error *err)
{
    for (;;) {
        int rc = once(w, pipe, g, ret, err);
        if (rc == 0) {
            return 0;
        }
        if (rc < 0 && !my_was_in_the_way(err)) {
            return -1;
        }
        my_exec(w->c, NULL, "ROLLBACK");
        if (rc == 1 || mf_now_us() + AGAIN_US > g->until_us) {
            return 1;
        }
        mf_sleep_us(AGAIN_US); /* a deadlock, in which we were the lightest */
    }
}

int my_gate_try(struct my_waiter *w, const struct mf_pipe_id *pipe, const char *how, int64_t within_us, MYSQL_RES **ret,
                struct mf_error *err)
{
    char sql[SQL_MAX];
    int rc = my_exec(w->c, err, "START TRANSACTION");
    for (int i = SLOTS; rc == 0 && i < ROWS; i++) {
        my_result_free_p(ret);
        *ret = NULL;
        put_row(w->db, pipe, i, how, sql);
        rc = sql[0] ? my_within(w, sql, within_us, ret, err) : 0;
    }
    if (rc != 0 && (rc == 1 || my_was_in_the_way(err))) {
        my_exec(w->c, NULL, "ROLLBACK");
        return 1;
    }
    return rc;
}
