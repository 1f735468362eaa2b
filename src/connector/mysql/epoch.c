/*
 * The epoch row: who may write, as this side knows it.
 *
 * Its row lock is the gate's (gate.c): writers hold it shared until their transaction ends, a hold has it exclusively. InnoDB lets
 * go of a row lock after the commit is visible to all, so whoever gets the lock after a decision reads what was decided:
 * my_settle needs no lock of its own. It asks for the lock shared, which no writer is in the way of.
 *
 * A transaction that was refused keeps its shared lock until it ends, and a forgotten one may sit there for hours. When a closed side is to
 * be opened, those who hold the lock are exactly such: none of them has written a migrated table since the decision that closed it. After a grace they
 * are ended, because the alternative is that nobody may write anywhere.
 */
#include "connector/mysql/gate.h"

#include "base/clock.h"
#include "base/str.h"
#include "connector/mysql/triggers.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#define GRACE_MS       300
#define FLUSH_MARGIN_S 1
#define SERVER_WAIT_S  (MY_DECIDE_WAIT_MS / 1000 + 1) /* if we die while we wait */

#define EPOCH_SQL "SELECT epoch, writer, `open` FROM midflight.epoch WHERE migration = '%s'"

bool my_no_book(const struct mf_error *err)
{
    return my_is_error(err, ER_BAD_DB_ERROR) || my_is_error(err, ER_NO_SUCH_TABLE);
}

void my_put_epoch_update(struct mf_buf *b, const struct mf_pipe_id *pipe, const struct mf_epoch *e)
{
    mf_buf_printf(b, "UPDATE midflight.epoch SET epoch = %" PRIu64 ", writer = ", e->epoch);
    my_put_literal(b, e->writer);
    mf_buf_printf(b,
                  ", `open` = %d, decided_at = CURRENT_TIMESTAMP(6) WHERE migration = '%s'"
                  " AND (epoch < %" PRIu64 " OR (epoch = %" PRIu64 " AND `open` = 0))",
                  e->open, pipe->migration, e->epoch, e->epoch);
}

static void take(MYSQL_RES *r, struct mf_epoch *ret, bool *ret_there)
{
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    memset(ret, 0, sizeof *ret);
    ret->open = true;
    *ret_there = row != NULL;
    if (row) {
        ret->epoch = (uint64_t)my_get_i64(row, 0);
        mf_strlcpy(ret->writer, row[1] ? row[1] : "", sizeof ret->writer);
        ret->open = my_get_i64(row, 2) != 0;
    }
}

int my_epoch_read(struct mf_db *mdb, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err)
{
    MY_LEASE(my_db_of(mdb), l);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    bool there;
    if (my_lease(l.db, &l.conn, err) < 0 ||
        (my_queryf(l.conn, &r, err, EPOCH_SQL, pipe->migration) < 0 && !my_no_book(err))) {
        return -1;
    }
    mf_error_clear(err);
    take(r, ret, &there);
    return 0;
}

/* ---- durability ---- */

/* A commit is as durable as the server's setting, which is not a session's to change. FLUSH ENGINE LOGS makes it so; where we may not, the server's own
 * flush, once in innodb_flush_log_at_timeout, is waited for: a decision that a crash takes back would open both sides. */
int my_make_durable(MYSQL *c, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct mf_error denied = {0};
    if (my_query(c, &r, err, "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.innodb_flush_log_at_timeout") <
        0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    if (!row || my_get_i64(row, 0) == 1) {
        return 0;
    }
    if (my_exec(c, &denied, "FLUSH LOCAL ENGINE LOGS") == 0) {
        return 0;
    }
    if (denied.cls == MF_RETRY) {
        *err = denied;
        return -1;
    }
    mf_sleep_us((my_get_i64(row, 1) + FLUSH_MARGIN_S) * MF_US_PER_SEC);
    return 0;
}

/* ---- writing ---- */

int my_decision_late(const struct my_db *db, int waited_ms, const char *names, struct mf_error *err)
{
    mf_fail(err, MF_RETRY, "MFLATE", "the epoch of the %s could not be locked within %d ms%s%s",
            db->base.side == MF_SOURCE ? "source" : "target", waited_ms, *names ? ": in front are " : "", names);
    mf_hint(err, "%s",
            *names ? "a transaction that was refused keeps the lock until it ends: end it, or KILL its connection"
                   : "a decision may still be on its way: look at SHOW PROCESSLIST for a COMMIT that waits (semi-sync "
                     "replication, FLUSH TABLES WITH READ LOCK). Until it is made or undone nobody can know who may "
                     "write");
    return -1;
}

/* What the row says to who does not wait for it. */
static bool closed_now(struct my_waiter *w, const struct mf_pipe_id *pipe)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct mf_error ignored = {0};
    struct mf_epoch e;
    bool there;
    if (my_queryf(w->other, &r, &ignored, EPOCH_SQL, pipe->migration) < 0) {
        return false;
    }
    take(r, &e, &there);
    return there && !e.open;
}

static int write_row(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, const struct mf_epoch *e,
                     bool there, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    if (there) {
        my_put_epoch_update(&b, pipe, e);
    } else {
        mf_buf_printf(&b, "INSERT INTO midflight.epoch (migration, epoch, writer, `open`) VALUES ('%s', %" PRIu64 ", ",
                      pipe->migration, e->epoch);
        my_put_literal(&b, e->writer);
        mf_buf_printf(&b, ", %d)", e->open);
    }
    /* The side's own triggers stand by now (triggers.h). */
    if (my_exec_buf(c, err, &b) < 0 || my_slots_write(c, db, pipe, e->open, err) < 0 ||
        (e->open && my_triggers_forget(c, pipe->migration, true, err) < 0) || my_exec(c, err, "COMMIT") < 0) {
        if (my_is_error(err, ER_DUP_ENTRY)) {
            err->cls = MF_RETRY; /* somebody made the row meanwhile */
        }
        return -1;
    }
    return my_make_durable(c, err);
}

static int write_under_lock(struct my_waiter *w, const struct mf_pipe_id *pipe, const struct mf_epoch *e,
                            struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    int64_t begun = mf_now_us();
    MF_CLEANUP(my_gate_wait_free)
    struct my_gate_wait g = MY_GATE_WAIT(begun + MY_DECIDE_WAIT_MS * MF_US_PER_MS,
                                         closed_now(w, pipe) ? begun + GRACE_MS * MF_US_PER_MS : 0);
    struct mf_epoch now;
    bool there;
    if (my_execf(w->c, err, "SET SESSION innodb_lock_wait_timeout = %d", SERVER_WAIT_S) < 0) {
        return -1;
    }
    int rc = my_gate_lock(w, pipe, &g, &r, err);
    if (rc != 0) {
        return rc < 0 ? -1 : my_decision_late(w->db, MY_DECIDE_WAIT_MS, mf_buf_str(&g.names), err);
    }
    take(r, &now, &there);
    if (!there || now.epoch < e->epoch || (now.epoch == e->epoch && !now.open)) {
        return write_row(w->c, w->db, pipe, e, there, err);
    }
    if (now.epoch == e->epoch && strcmp(now.writer, e->writer) == 0 && now.open == e->open) {
        return 0; /* written by an earlier try of ours whose answer was lost */
    }
    return mf_fail(err, MF_RETRY, "MFEPOCH",
                   "epoch %" PRIu64 " is not recorded: the database has epoch %" PRIu64 ", writer %s", e->epoch,
                   now.epoch, now.writer);
}

int my_epoch_write(struct mf_db *mdb, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err)
{
    MY_CLEANUP_WAITER struct my_waiter w = {0};
    if (my_waiter_open(my_db_of(mdb), NULL, &w, err) < 0) {
        return -1;
    }
    int rc = write_under_lock(&w, pipe, e, err);
    my_exec(w.c, NULL, "ROLLBACK");
    my_exec(w.c, NULL, "SET SESSION innodb_lock_wait_timeout = DEFAULT"); /* it goes back to the pool */
    return rc;
}

int my_settle(struct mf_db *mdb, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err)
{
    MY_CLEANUP_WAITER struct my_waiter w = {0};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    char sql[200];
    int ms = wait_ms > 0 ? wait_ms : 1;
    snprintf(sql, sizeof sql, EPOCH_SQL " LOCK IN SHARE MODE", pipe->migration);
    if (my_waiter_open(my_db_of(mdb), NULL, &w, err) < 0) {
        return -1;
    }
    /* Outside a transaction: the lock is given back with the answer. */
    int rc = my_within(&w, sql, mf_now_us() + ms * MF_US_PER_MS, &r, err);
    if (rc < 0 && my_no_book(err)) {
        mf_error_clear(err);
        return 0;
    }
    return rc == 1 || (rc < 0 && my_was_in_the_way(err)) ? my_decision_late(w.db, ms, "", err) : rc;
}
