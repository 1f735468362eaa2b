/*
 * Statements that may have to wait for somebody's lock, bounded in milliseconds, and who it is that they wait for.
 *
 * The server's own bounds (innodb_lock_wait_timeout, lock_wait_timeout) are whole seconds, and everybody else queues behind
 * a request that waits. So the answer is waited for on the socket, and past the time a second session, opened before the first one
 * asks for anything, takes the request back with KILL QUERY. The server's bounds stay as what holds if this process dies meanwhile.
 */
#ifndef MF_CONNECTOR_MYSQL_WAIT_H
#define MF_CONNECTOR_MYSQL_WAIT_H

#include "connector/mysql/connect.h"

struct my_waiter {
    struct my_db *db;
    MYSQL *c;             /* the session that waits */
    MYSQL *other;         /* leased: takes its requests back, and asks whom it waits for */
    bool leased;          /* c is leased too */
    unsigned long beside; /* a session of ours that need not end for it, and is not in its way; 0: none */
};

/* what: as in my_connect; NULL: a leased session. */
int my_waiter_open(struct my_db *db, const char *what, struct my_waiter *ret, struct mf_error *err);
void my_waiter_close(struct my_waiter *w); /* an all-zero one is fine */
#define MY_CLEANUP_WAITER MF_CLEANUP(my_waiter_close)

/* Sends one statement; then my_await until it answers or my_take_back. */
int my_waiter_ask(struct my_waiter *w, const char *sql, struct mf_error *err);
/* 0: answered, rows (if it has any) in *ret; 1: not yet; -1: failed. */
int my_await(struct my_waiter *w, int64_t until_us, MYSQL_RES **ret, struct mf_error *err);
/* 1: interrupted, nothing was done; 0: it was quicker, *ret as above; -1: failed. */
int my_take_back(struct my_waiter *w, MYSQL_RES **ret, struct mf_error *err);
/* All three: 1 when it did not come about in time. */
int my_within(struct my_waiter *w, const char *sql, int64_t until_us, MYSQL_RES **ret, struct mf_error *err);

/* The error of whom somebody was in the way of: interrupted, timed out or a deadlock. */
bool my_was_in_the_way(const struct mf_error *err);

/* A query of innodb_trx and its kin. They are a copy that InnoDB makes anew only when nobody has read it for 0.1 s: whoever looks often, or
 * has a monitor that does, sees what was. So a transaction is begun first, and what does not show it is older than that: asked again, after a
 * pause, until the time given; no time: asked once, without. 0: fresh; 1: it may be old; -1. c is in no transaction, before and after. */
int my_query_trx(MYSQL *c, const char *sql, int64_t until_us, MYSQL_RES **ret, struct mf_error *err);

/* Seconds since an innodb_trx's trx_started, which is in the server's own time zone whatever the session's is. */
#define MY_TRX_AGE(t) "TIMESTAMPDIFF(SECOND, " t ".trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM'))"

#endif
