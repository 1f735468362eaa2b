/*
 * Holding writers: the epoch row locked exclusively, in one transaction. The decision is an update of that row in that same
 * transaction, so its commit is both the decision and the end of the wait.
 *
 * If this process dies, the server ends the session and with it the transaction: writers go on, nothing was decided. If it is stopped
 * but not dead, wait_timeout does the same when the pause is over. If it dies while it still queues, innodb_lock_wait_timeout does.
 *
 * A request that queues makes new writers wait, and one of them may already hold the row (SELECT … FOR UPDATE, or the very row it is about
 * to change) that a transaction in front of us needs: a deadlock, which InnoDB finds at once and resolves by rolling back whoever has done least. A hold
 * has done nothing and locked one row, so that is this transaction, and it asks again until its time is over. (5.7 and 8.0 before 8.0.18 look at
 * two of the ring only: when the ring is closed by a writer's first write, one of the two writers gets error 1213.)
 */
#include "connector/mysql/gate.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>

#define RESERVE_MS 1000 /* the server ends a hold that nobody uses this long after the pause should have ended */
#define LOOK_SHARE                                                                                                     \
    8 /* whether all gates stand is asked while writers wait if it takes less than this part of the pause */
#define TRY_EVERY_US (3 * MF_US_PER_MS)
#define TRY_MS       3 /* a try, where the server cannot refuse one at once */

struct my_hold {
    struct mf_hold base;
    struct mf_pipe_id pipe;
    struct my_waiter w;
};

static int left_ms(int64_t until_us)
{
    int64_t left = (until_us - mf_now_us()) / MF_US_PER_MS;
    return left < 1 ? 1 : (int)left;
}

static int seconds(int ms)
{
    return (ms + 999) / 1000;
}

/* What the server does by itself if we die while we wait. */
static int bound(struct my_hold *h, int64_t until_us, struct mf_error *err)
{
    int s = seconds(left_ms(until_us));
    return my_execf(h->w.c, err, "SET SESSION innodb_lock_wait_timeout = %d, SESSION lock_wait_timeout = %d", s, s);
}

/* The lock without standing in the queue: nobody waits behind us, and if there is always somebody writing it is not to be had. 5.7 knows no NOWAIT:
 * there a try is taken back after TRY_MS. */
static int try_now_and_again(struct my_hold *h, const struct mf_gate_options *o, int64_t until_us, MYSQL_RES **ret,
                             struct mf_error *err)
{
    bool nowait = h->w.db->mariadb || h->w.db->version >= 80001;
    int64_t end = mf_now_us() + o->lock_ms * MF_US_PER_MS;
    end = end > until_us ? until_us : end;
    for (;;) {
        int rc = my_gate_try(&h->w, &h->pipe, nowait ? " NOWAIT" : "",
                             nowait ? end : mf_now_us() + TRY_MS * MF_US_PER_MS, ret, err);
        if (rc <= 0 || mf_now_us() + TRY_EVERY_US > end) {
            return rc;
        }
        mf_sleep_us(TRY_EVERY_US);
    }
}

static int give_up(const struct my_db *db, const struct mf_gate_options *o, const struct my_gate_wait *g,
                   struct mf_error *err)
{
    mf_fail(err, MF_ABANDONED, "MFHOLD", "transactions that have written did not end within %d ms%s%s", o->max_wait_ms,
            g->names.len ? ": " : "", mf_buf_str(&g->names));
    if (g->denied > 0) {
        mf_hint(err, "some could not be ended: GRANT CONNECTION_ADMIN (before 8.0 SUPER) lets midflight do it, and XA "
                     "ROLLBACK ends a prepared one");
    } else if (!g->names.len && !db->mariadb && db->version >= 80000 && o->long_transactions != MF_LONG_ABANDON) {
        mf_hint(err, "this server says who they are only with performance_schema on, and only then can midflight end "
                     "them; see SHOW PROCESSLIST, or allow a longer pause");
    } else {
        mf_hint(err, "wait for them or end them, or allow a longer pause; cutover.long_transactions: end does it for "
                     "you");
    }
    return -1;
}

static int lock(struct my_hold *h, const struct mf_gate_options *o, int64_t until_us, struct mf_error *err)
{
    int64_t now = mf_now_us(), half_us = now + (until_us - now) / 2;
    MF_CLEANUP(my_gate_wait_free)
    struct my_gate_wait g = MY_GATE_WAIT(until_us, o->long_transactions == MF_LONG_END ? half_us : 0);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (bound(h, until_us, err) < 0) {
        return -1;
    }
    int rc = o->long_transactions == MF_LONG_ABANDON ? try_now_and_again(h, o, until_us, &r, err)
                                                     : my_gate_lock(&h->w, &h->pipe, &g, &r, err);
    if (rc != 0) {
        return rc == 1 ? give_up(h->w.db, o, &g, err) : -1;
    }
    if (r && mysql_num_rows(r) == 1) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFGATE", "the gates have not been put up: there is no epoch to hold writers by");
    mf_hint(err, "try again: the gates are put up anew");
    return -1;
}

/* ---- what the lock does not show ---- */

/* Before the lock is asked for. *ret_us: what it took. */
static int look_first(struct my_hold *h, int64_t *ret_us, struct mf_error *err)
{
    int64_t begun = mf_now_us();
    if (my_gate_stands(h->w.other, &h->pipe, err) < 0 || my_no_replication(h->w.other, h->w.db, &h->pipe, err) < 0) {
        return -1;
    }
    *ret_us = mf_now_us() - begun;
    return 0;
}

/* Once it is ours, and writers wait: so what takes long is not done twice. From here on the server lets go by itself when the pause is over. */
static int look_once_more(struct my_hold *h, int64_t until_us, bool all, struct mf_error *err)
{
    MYSQL *other = h->w.other;
    if (my_execf(h->w.c, err, "SET SESSION wait_timeout = %d", seconds(left_ms(until_us) + RESERVE_MS)) < 0 ||
        my_prepared_end(other, h->w.db, until_us, err) < 0 || my_no_replication(other, h->w.db, &h->pipe, err) < 0) {
        return -1;
    }
    return all ? my_gate_stands(other, &h->pipe, err) : 0;
}

int my_hold(struct mf_db *mdb, const struct mf_pipe_id *pipe, const struct mf_gate_options *o, struct mf_hold **ret,
            struct mf_error *err)
{
    int64_t until_us = mf_now_us() + o->max_wait_ms * MF_US_PER_MS, looked_us = 0;
    struct my_hold *h = mf_xcalloc(1, sizeof *h);
    h->base.db = mdb;
    h->pipe = *pipe;
    if (my_waiter_open(my_db_of(mdb), "hold", &h->w, err) < 0 || look_first(h, &looked_us, err) < 0 ||
        lock(h, o, until_us, err) < 0 ||
        look_once_more(h, until_us, looked_us * LOOK_SHARE <= o->max_wait_ms * MF_US_PER_MS, err) < 0 ||
        MF_FAULT(err, "mysql.held")) {
        my_hold_release(&h->base);
        return -1;
    }
    *ret = &h->base;
    return 0;
}

/* ---- the end of it ---- */

int my_hold_decide(struct mf_hold *base, const struct mf_epoch *e, struct mf_error *err)
{
    struct my_hold *h = (struct my_hold *)base;
    MYSQL *c = h->w.c;
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    my_put_epoch_update(&b, &h->pipe, e);
    my_set_timeout(c, MY_DECIDE_WAIT_MS);
    int rc = my_exec_buf(c, err, &b);
    if (rc == 0 && mysql_affected_rows(c) != 1) { /* rows found, not rows changed (connect.c) */
        rc = mf_fail(err, MF_RETRY, "MFEPOCH", "nothing was decided: the database has a newer epoch than %llu",
                     (unsigned long long)e->epoch);
    } else if (rc == 0) {
        rc = my_slots_write(c, h->w.db, &h->pipe, e->open, err) < 0 || my_exec(c, err, "COMMIT") < 0 ||
             my_make_durable(c, err) < 0 || MF_FAULT(err, "mysql.decided")
        ? -1 : 0;
    }
    if (rc < 0 && err->cls == MF_FATAL) {
        err->cls = MF_RETRY; /* whatever it was: the epoch row tells */
    }
    my_hold_release(base);
    return rc;
}

void my_hold_release(struct mf_hold *base)
{
    struct my_hold *h = (struct my_hold *)base;
    if (!h) {
        return;
    }
    if (h->w.c) {
        my_set_timeout(h->w.c, MY_DECIDE_WAIT_MS);
        my_exec(h->w.c, NULL, "ROLLBACK"); /* at once, rather than when the server notices that we are gone */
    }
    my_waiter_close(&h->w);
    free(h);
}
