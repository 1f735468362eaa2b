/*
 * Holding writers: one exclusive advisory lock in one transaction. The decision is an update of the epoch row in that same
 * transaction, so its commit is both the decision and the end of the wait.
 *
 * If this process dies, the server ends the session and with it the transaction: writers go on, nothing was decided. If it is stopped
 * but not dead, idle_in_transaction_session_timeout does the same when the pause is over.
 *
 * A COMMIT may hang (a synchronous standby that is gone) and be made long after everybody here has forgotten it. So the transaction first takes a
 * second lock, which writers never take and which the server keeps until the commit is visible to all: pg_settle takes it for a moment, and
 * then knows that what it reads in the epoch row is final.
 */
#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "connector/postgres/book.h"
#include "connector/postgres/gate.h"
#include "connector/postgres/target.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define RESERVE_MS   1000 /* the server ends a hold that nobody uses this long after the pause should have ended */
#define TRY_EVERY_US (3 * MF_US_PER_MS)

struct pg_hold {
    struct mf_hold base;
    struct mf_pipe_id pipe;
    PGconn *conn;
};

static int left_ms(int64_t until_us)
{
    int64_t left = (until_us - mf_now_us()) / MF_US_PER_MS;
    return left < 1 ? 1 : (int)left;
}

/* The answers to what was sent, read until `until`. 0: all are here and good; 1: not yet; -1: failed. *changed (may be NULL): rows of an INSERT. */
static int answers(PGconn *c, int64_t until_us, long *changed, struct mf_error *err)
{
    int rc = 0;
    for (;;) {
        while (PQisBusy(c)) {
            struct pollfd p = {.fd = PQsocket(c), .events = POLLIN};
            if (mf_now_us() >= until_us) {
                return rc < 0 ? -1 : 1;
            }
            poll(&p, 1, left_ms(until_us));
            if (!PQconsumeInput(c)) {
                return rc < 0 ? -1 : pg_fail_conn(c, err);
            }
        }
        PG_CLEANUP_RESULT PGresult *r = PQgetResult(c);
        if (!r) {
            return rc;
        }
        ExecStatusType st = PQresultStatus(r);
        if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK && rc == 0) {
            rc = pg_fail_result(c, r, err);
        } else if (changed && strncmp(PQcmdStatus(r), "INSERT", 6) == 0) {
            *changed = strtol(PQcmdTuples(r), NULL, 10);
        }
    }
}

/* Sessions that hold the lock shared: transactions that have written and are open. */
static int holders(struct pg_db *db, const struct mf_pipe_id *pipe, bool end, struct mf_buf *names,
                   struct mf_error *err)
{
    PG_LEASE(db, l);
    PG_CLEANUP_RESULT PGresult *r = NULL;
    uint64_t key = (uint64_t)pg_gate_key(pipe);
    if (pg_lease(db, &l.conn, err) < 0 ||
        pg_queryf(
            l.conn, &r, err,
            "SELECT l.pid, coalesce(a.usename, '?'), coalesce(a.application_name, ''), coalesce(a.state, 'prepared'),"
            " coalesce(extract(epoch FROM clock_timestamp() - a.xact_start)::bigint, 0)%s"
            " FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ShareLock' AND l.objsubid = 1"
            " AND l.database = %u AND l.classid = %llu AND l.objid = %llu AND l.pid IS DISTINCT FROM "
            "pg_backend_pid()%s",
            end ? ", CASE WHEN l.pid IS NOT NULL THEN pg_terminate_backend(l.pid) END" : "", db->database_oid,
            (unsigned long long)(key >> 32), (unsigned long long)(key & 0xffffffffu), end ? "" : " LIMIT 20") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r) && i < 20; i++) {
        const char *pid = pg_get(r, i, 0);
        mf_buf_printf(names, "%s%s%s (%s, %s, %s, open for %s s)", i ? ", " : "",
                      pid ? "pid " : "a prepared transaction", pid ? pid : "", PQgetvalue(r, i, 1), PQgetvalue(r, i, 2),
                      PQgetvalue(r, i, 3), PQgetvalue(r, i, 4));
    }
    return 0;
}

static int begin(struct pg_hold *h, int64_t until_us, struct mf_error *err)
{
    int left = left_ms(until_us);
    if (pg_execf(h->conn, err,
                 "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = %d;"
                 " SET LOCAL idle_in_transaction_session_timeout = %d;"
                 " SELECT pg_catalog.pg_advisory_xact_lock(%lld)",
                 left, left + RESERVE_MS, (long long)pg_decide_key(&h->pipe)) == 0) {
        return 0;
    }
    return pg_is_sqlstate(err, "55P03") ? pg_decision_late(h->base.db, left, err) : -1;
}

/* 1: writers are held; 0: those who have written did not end; -1: failed. One request that stays in the queue: whoever comes after it waits, and so
 * nobody can be among the holders at half time but who has been at it since before we asked. */
static int queue(struct pg_hold *h, struct pg_db *db, const struct mf_gate_options *o, int64_t until_us,
                 struct mf_buf *names, struct mf_error *err)
{
    char sql[128];
    int64_t now = mf_now_us();
    snprintf(sql, sizeof sql, "SELECT pg_catalog.pg_advisory_xact_lock(%lld)", (long long)pg_gate_key(&h->pipe));
    if (!PQsendQuery(h->conn, sql)) {
        return pg_fail_conn(h->conn, err);
    }
    int rc = 1;
    if (o->long_transactions == MF_LONG_END) {
        rc = answers(h->conn, now + (until_us - now) / 2, NULL, err);
        if (rc == 1) {
            holders(db, &h->pipe, true, names, err);
        }
    }
    if (rc == 1) {
        rc = answers(h->conn, until_us + RESERVE_MS * MF_US_PER_MS, NULL, err);
    }
    if (rc == 1) {
        return mf_fail(err, MF_RETRY, "08006", "the server does not answer; writers are not held");
    }
    return rc == 0 ? 1 : pg_is_sqlstate(err, "55P03") || pg_is_sqlstate(err, "40P01") ? 0 : -1;
}

/* The same without ever standing in the queue: nobody waits behind us, and if there is always somebody writing the lock is not to be had. */
static int try_now_and_again(struct pg_hold *h, const struct mf_gate_options *o, int64_t until_us, struct mf_error *err)
{
    char sql[128], got[8];
    int64_t end = mf_now_us() + o->lock_ms * MF_US_PER_MS;
    end = end > until_us ? until_us : end;
    snprintf(sql, sizeof sql, "SELECT pg_catalog.pg_try_advisory_xact_lock(%lld)", (long long)pg_gate_key(&h->pipe));
    for (;;) {
        if (pg_query_text(h->conn, got, sizeof got, err, sql) < 0) {
            return -1;
        }
        if (got[0] == 't') {
            return 1;
        }
        if (mf_now_us() + TRY_EVERY_US > end) {
            return 0;
        }
        mf_sleep_us(TRY_EVERY_US);
    }
}

static int lock(struct pg_hold *h, struct pg_db *db, const struct mf_gate_options *o, int64_t until_us,
                struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf names = {.max = 4096};
    struct mf_error e = {0};
    if (begin(h, until_us, err) < 0) {
        return -1;
    }
    int rc = o->long_transactions == MF_LONG_ABANDON ? try_now_and_again(h, o, until_us, err)
                                                     : queue(h, db, o, until_us, &names, err);
    if (rc < 0) {
        return -1;
    }
    if (rc == 1) { /* from here on the server lets go by itself when the pause is over */
        return pg_execf(h->conn, err, "SET LOCAL idle_in_transaction_session_timeout = %d",
                        left_ms(until_us) + RESERVE_MS);
    }
    pg_exec(h->conn, NULL, "ROLLBACK"); /* writers first, names afterwards */
    if (names.len == 0) {
        holders(db, &h->pipe, false, &names, &e);
    }
    mf_fail(err, MF_ABANDONED, "MFHOLD", "transactions that have written did not end within %d ms%s%s", o->max_wait_ms,
            names.len ? ": " : "", mf_buf_str(&names));
    mf_hint(err, "wait for them or end them, or allow a longer pause; cutover.long_transactions: end does it for you");
    return -1;
}

int pg_hold_writers(struct mf_db *mdb, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                    struct mf_hold **ret, struct mf_error *err)
{
    int64_t until_us = mf_now_us() + o->max_wait_ms * MF_US_PER_MS;
    struct pg_hold *h = mf_xcalloc(1, sizeof *h);
    h->base.db = mdb;
    h->pipe = *pipe;
    if (pg_connect(pg_db_of(mdb), "hold", 0, &h->conn, err) < 0 || lock(h, pg_db_of(mdb), o, until_us, err) < 0 ||
        pg_gate_stands(h->conn, pipe, err) < 0 || MF_FAULT(err, "postgres.held")) {
        pg_hold_release(&h->base);
        return -1;
    }
    *ret = &h->base;
    return 0;
}

int pg_hold_decide(struct mf_hold *base, const struct mf_epoch *e, struct mf_error *err)
{
    struct pg_hold *h = (struct pg_hold *)base;
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    long changed = 0;
    /* The decision must survive a crash of this server: never an asynchronous commit, whatever the default. */
    mf_buf_puts(&b, "SELECT pg_catalog.set_config('synchronous_commit', 'on', true)"
                    " WHERE pg_catalog.current_setting('synchronous_commit') = 'off'; ");
    pg_put_epoch_upsert(&b, &h->pipe, e);
    mf_buf_puts(&b, "; COMMIT");
    int rc = PQsendQuery(h->conn, mf_buf_str(&b))
                 ? answers(h->conn, mf_now_us() + PG_DECIDE_WAIT_MS * MF_US_PER_MS, &changed, err)
                 : pg_fail_conn(h->conn, err);
    if (rc == 1) {
        rc = pg_decision_late(h->base.db, PG_DECIDE_WAIT_MS, err);
    } else if (rc == 0 && PQtransactionStatus(h->conn) != PQTRANS_IDLE) {
        rc = mf_fail(err, MF_RETRY, "MFHOLD", "the decision was not committed");
    } else if (rc == 0 && changed != 1) {
        rc = mf_fail(err, MF_RETRY, "MFEPOCH", "nothing was decided: the database has a newer epoch than %llu",
                     (unsigned long long)e->epoch);
    } else if (rc == 0) {
        rc = MF_FAULT(err, "postgres.decided");
    }
    pg_hold_release(base);
    return rc;
}

void pg_hold_release(struct mf_hold *base)
{
    struct pg_hold *h = (struct pg_hold *)base;
    if (!h) {
        return;
    }
    PGTransactionStatusType st = PQtransactionStatus(h->conn); /* NULL is fine: PQTRANS_UNKNOWN */
    if (st == PQTRANS_INTRANS || st == PQTRANS_INERROR) {
        pg_exec(h->conn, NULL, "ROLLBACK"); /* at once, rather than when the server notices that we are gone */
    }
    pg_finish(h->conn);
    free(h);
}

int64_t pg_decide_key(const struct mf_pipe_id *pipe)
{
    return pg_lock_key("decide", pipe, false);
}

int pg_decision_late(const struct mf_db *db, int waited_ms, struct mf_error *err)
{
    mf_fail(err, MF_RETRY, "MFLATE", "a decision is still being committed on the %s (waited %d ms)",
            db->side == MF_SOURCE ? "source" : "target", waited_ms);
    mf_hint(err, "Its COMMIT waits inside the server: look at synchronous_standby_names and at the standbys. Until it "
                 "is made or undone nobody "
                 "can know who may write.");
    return -1;
}

int pg_settle(struct mf_db *mdb, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err)
{
    PG_LEASE(pg_db_of(mdb), l);
    if (pg_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    if (pg_execf(l.conn, err,
                 "BEGIN; SET LOCAL lock_timeout = %d; SELECT pg_catalog.pg_advisory_xact_lock(%lld); COMMIT",
                 wait_ms > 0 ? wait_ms : 1, (long long)pg_decide_key(pipe)) == 0) {
        return 0;
    }
    return pg_is_sqlstate(err, "55P03") ? pg_decision_late(mdb, wait_ms, err) : -1;
}
