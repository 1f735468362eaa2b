/*
 * A snapshot with commits held back, for servers that never stand still.
 *
 * On MySQL that takes FLUSH TABLES WITH READ LOCK, which waits for every statement that is running, and makes every writer wait
 * meanwhile: behind one long report it would be an outage. So it is not asked for while a statement has been running for
 * long, is given up by itself when it does not come within a second, and is killed after two. MariaDB can hold back commits alone
 * (BACKUP STAGE), which waits for no reader. Either lock goes with its session, which is closed whatever happens.
 */
#include "connector/mysql/snapshot.h"

#include "base/clock.h"

#include <errno.h>
#include <mysqld_error.h>
#include <poll.h>
#include <string.h>

#define LONG_STATEMENT_S 1
#define WAIT_MS          2000

/* Something that the lock would wait for, and everybody behind it. */
static int check_long(MYSQL *c, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_queryf(
            c, &r, err,
            "SELECT id, time, LEFT(info, 80) FROM information_schema.processlist WHERE command IN ('Query', 'Execute')"
            " AND time >= %d AND id <> CONNECTION_ID() AND info IS NOT NULL ORDER BY time DESC LIMIT 1",
            LONG_STATEMENT_S) < 0) {
        return -1;
    }
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    if (!row) {
        return 0;
    }
    mf_fail(
        err, MF_RETRY, "MFBUSY",
        "commits cannot be held back for a snapshot now: connection %s has been running a statement for %s s (%s), and "
        "everybody would wait for it",
        row[0] ? row[0] : "?", row[1] ? row[1] : "?", row[2] ? row[2] : "");
    mf_hint(err, "it is tried again; long statements on this server, or fewer commits a second, are what it waits for");
    return -1;
}

static bool answered(MYSQL *c, int ms)
{
    int64_t end = mf_now_us() + ms * MF_US_PER_MS;
    for (;;) {
        int64_t left = end - mf_now_us();
        struct pollfd p = {.fd = (int)mysql_get_socket(c), .events = POLLIN};
        int n = poll(&p, 1, left > 0 ? (int)(left / MF_US_PER_MS) + 1 : 0);
        if (n > 0 || (n < 0 && errno != EINTR)) {
            return true; /* or an error that reading will tell */
        }
        if (left <= 0) {
            return false;
        }
    }
}

/* A statement that is killed when it takes too long. */
static int run_bounded(MYSQL *l, MYSQL *control, const char *sql, struct mf_error *err)
{
    struct mf_error ignored = {0};
    if (mysql_send_query(l, sql, strlen(sql)) != 0) {
        return my_fail(l, err);
    }
    if (!answered(l, WAIT_MS)) {
        my_execf(control, &ignored, "KILL %lu", mysql_thread_id(l));
        return mf_fail(err, MF_RETRY, "MFBUSY",
                       "commits could not be held back for a snapshot within %d ms: %s was given up", WAIT_MS, sql);
    }
    if (mysql_read_query_result(l) == 0) {
        return 0;
    }
    my_fail(l, err);
    if (my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR) || my_is_error(err, ER_ACCESS_DENIED_ERROR)) {
        mf_hint(err, "this server commits all the time, so a snapshot needs commits held back for a moment: GRANT "
                     "RELOAD ON *.* TO "
                     "the migration's account");
    }
    return -1;
}

static int lock(struct my_db *db, MYSQL *l, MYSQL *control, struct mf_error *err)
{
    my_set_timeout(l, 3 * WAIT_MS);
    if (my_exec(l, err, "SET SESSION lock_wait_timeout = 1") < 0) {
        return -1;
    }
    if (db->mariadb) {
        return run_bounded(l, control, "BACKUP STAGE START", err) < 0 ||
                       run_bounded(l, control, "BACKUP STAGE BLOCK_COMMIT", err) < 0
                   ? -1
                   : 0;
    }
    return check_long(control, err) < 0 ? -1 : run_bounded(l, control, "FLUSH TABLES WITH READ LOCK", err);
}

int my_snapshot_locked(struct my_snapshot *s, struct my_db *db, MYSQL *control, struct mf_error *err)
{
    MY_CLEANUP_CONN MYSQL *l = NULL;
    struct mf_error ignored = {0};
    if (my_connect(db, "snapshot lock", &l, err) < 0 || lock(db, l, control, err) < 0) {
        return -1;
    }
    int rc =
        my_snapshot_begin(s, err) < 0 || my_position_locked(db, l, s->anywhere, &s->base.position, err) < 0 ? -1 : 0;
    my_exec(l, &ignored, db->mariadb ? "BACKUP STAGE END" : "UNLOCK TABLES");
    return rc;
}
