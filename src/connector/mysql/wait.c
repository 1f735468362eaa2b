/* Bounded waits: see wait.h. */
#include "connector/mysql/wait.h"

#include "base/clock.h"

#include <errmsg.h>
#include <mysqld_error.h>
#include <poll.h>
#include <string.h>

#define ANSWER_MS     2000 /* an interrupted statement answers at once */
#define KILL_AGAIN_US (10 * MF_US_PER_MS)
#define STALE_US      (110 * MF_US_PER_MS)

int my_waiter_open(struct my_db *db, const char *what, struct my_waiter *ret, struct mf_error *err)
{
    struct my_waiter w = {.db = db, .leased = !what};
    if ((what ? my_connect(db, what, &w.c, err) : my_lease(db, &w.c, err)) < 0 || my_lease(db, &w.other, err) < 0) {
        my_waiter_close(&w);
        return -1;
    }
    *ret = w;
    return 0;
}

void my_waiter_close(struct my_waiter *w)
{
    if (w->c && w->leased) {
        my_return(w->db, w->c);
    } else {
        my_finish(w->c);
    }
    if (w->other) {
        my_return(w->db, w->other);
    }
    *w = (struct my_waiter){0};
}

int my_waiter_ask(struct my_waiter *w, const char *sql, struct mf_error *err)
{
    return mysql_send_query(w->c, sql, strlen(sql)) ? my_fail(w->c, err) : 0;
}

static int read_answer(struct my_waiter *w, MYSQL_RES **ret, struct mf_error *err)
{
    *ret = NULL;
    if (mysql_read_query_result(w->c)) {
        return my_fail(w->c, err);
    }
    *ret = mysql_store_result(w->c);
    return !*ret && mysql_field_count(w->c) > 0 ? my_fail(w->c, err) : 0;
}

int my_await(struct my_waiter *w, int64_t until_us, MYSQL_RES **ret, struct mf_error *err)
{
    struct pollfd p = {.fd = (int)mysql_get_socket(w->c), .events = POLLIN};
    for (;;) {
        int64_t left_us = until_us - mf_now_us();
        int n = poll(&p, 1, left_us <= 0 ? 0 : (int)((left_us + MF_US_PER_MS - 1) / MF_US_PER_MS));
        if (n > 0) {
            return read_answer(w, ret, err);
        }
        if (left_us <= 0) {
            return 1;
        }
    }
}

/* MariaDB parses the table's triggers while it opens it, and calls what it was interrupted in a syntax error: "Trigger 'x' has an error in its body". A trigger
 * that has one says so again when nobody interrupts. */
static bool was_interrupted(const struct mf_error *err)
{
    return my_was_in_the_way(err) ||
           (my_is_error(err, ER_PARSE_ERROR) && strstr(err->text, "has an error in its body"));
}

/* KILL QUERY does nothing to a session that has not begun the statement yet: it is said again until there is an answer. */
int my_take_back(struct my_waiter *w, MYSQL_RES **ret, struct mf_error *err)
{
    int64_t until_us = mf_now_us() + ANSWER_MS * MF_US_PER_MS;
    int rc = 1;
    while (rc == 1 && mf_now_us() < until_us) {
        if (my_execf(w->other, err, "KILL QUERY %lu", mysql_thread_id(w->c)) < 0) {
            return -1;
        }
        rc = my_await(w, mf_now_us() + KILL_AGAIN_US, ret, err);
    }
    if (rc == 1) {
        return mf_fail(err, MF_RETRY, "MFLATE", "the server does not answer: a statement could not be interrupted");
    }
    return rc < 0 && was_interrupted(err) ? 1 : rc;
}

int my_within(struct my_waiter *w, const char *sql, int64_t until_us, MYSQL_RES **ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    int rc = my_waiter_ask(w, sql, err);
    rc = rc < 0 ? rc : my_await(w, until_us, &r, err);
    rc = rc == 1 ? my_take_back(w, &r, err) : rc;
    if (rc == 0 && ret) {
        *ret = MF_STEAL(r);
    }
    return rc;
}

bool my_was_in_the_way(const struct mf_error *err)
{
    return my_is_error(err, ER_LOCK_WAIT_TIMEOUT) || my_is_error(err, ER_LOCK_DEADLOCK) ||
           my_is_error(err, ER_QUERY_INTERRUPTED) || my_is_error(err, ER_STATEMENT_TIMEOUT) ||
           my_is_error(err, 3572) /* NOWAIT */;
}

static int look_once(MYSQL *c, const char *sql, MYSQL_RES **ret, bool *ret_fresh, struct mf_error *err)
{
    int64_t own = 0;
    if (my_query(c, ret, err, sql) < 0 ||
        my_query_i64(c, &own, err,
                     "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID()") <
            0) {
        return -1;
    }
    *ret_fresh = own > 0;
    return 0;
}

int my_query_trx(MYSQL *c, const char *sql, int64_t until_us, MYSQL_RES **ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    bool fresh = false;
    if (until_us <= mf_now_us()) {
        return my_query(c, ret, err, sql) < 0 ? -1 : 1;
    }
    int rc = my_exec(c, err, "START TRANSACTION WITH CONSISTENT SNAPSHOT");
    while (rc == 0) {
        rc = look_once(c, sql, &r, &fresh, err);
        if (fresh || rc < 0 || mf_now_us() + STALE_US > until_us) {
            break;
        }
        my_result_free_p(&r);
        r = NULL;
        mf_sleep_us(STALE_US);
    }
    if (my_exec(c, rc < 0 ? NULL : err, "ROLLBACK") < 0 || rc < 0) {
        return -1;
    }
    *ret = MF_STEAL(r);
    return fresh ? 0 : 1;
}
