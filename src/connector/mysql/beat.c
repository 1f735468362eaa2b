/*
 * Heartbeats, positions, load: the short questions to a source.
 *
 * A position's order is a number of transactions, and a stream that is past it in number must be past it in fact. A stream goes through
 * the log from its beginning; so a position must count every transaction that the log has before the one it is meant to be after. In MySQL a transaction
 * is in the log first, then seen by readers, then in gtid_executed; from before the log until there its GTID is in gtid_owned. Owned is read
 * before executed, so that one which moves between the two looks is in one of them. An owned one that rolls back, or a long one of a replica's,
 * makes the position a little later than need be, never earlier: the next transactions reach it.
 */
#include "connector/mysql/dump.h"
#include "connector/mysql/mysql_room.h"

#include "base/fault.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

/* ---- positions ---- */

/* "uuid:5#12:6#13" as a set: the numbers of the threads that own them go. */
static void drop_owners(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        if (*from == '#') {
            from += 1 + strspn(from + 1, "0123456789");
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

static int add_variable(MYSQL *c, struct my_gtid_set *s, const char *sql, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_query(c, &r, err, sql) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    if (!row || !row[0]) {
        return 0;
    }
    drop_owners(row[0]);
    return my_gtid_set_parse(s, row[0], err);
}

/* MariaDB has no transactions that are only owned. */
static int executed(MYSQL *c, const struct my_db *db, struct my_gtid_set *s, struct mf_error *err)
{
    return add_variable(c, s, db->mariadb ? "SELECT @@global.gtid_binlog_pos" : "SELECT @@global.gtid_executed", err);
}

/* With what is under way it may be too long for a moment, as where a replica applies in parallel and leaves gaps until it has caught up. */
static int too_long(MYSQL *c, const struct my_db *db, struct mf_error *err)
{
    struct my_gtid_set *s = my_gtid_set_new(db->mariadb);
    struct mf_position ignored;
    struct mf_error e = {0};
    if (executed(c, db, s, &e) == 0 && my_gtid_set_position(s, &ignored, &e) == 0) {
        err->cls = MF_RETRY;
    }
    my_gtid_set_free(s);
    return -1;
}

static int gtid_position(MYSQL *c, const struct my_db *db, struct mf_position *ret, struct mf_error *err)
{
    struct my_gtid_set *s = my_gtid_set_new(db->mariadb);
    int rc = db->mariadb ? 0 : add_variable(c, s, "SELECT @@global.gtid_owned", err);
    rc = rc < 0 ? -1 : executed(c, db, s, err);
    if (rc == 0 && my_gtid_set_position(s, ret, err) < 0) {
        rc = db->mariadb ? -1 : too_long(c, db, err);
    }
    my_gtid_set_free(s);
    return rc;
}

static int log_position(MYSQL *c, const struct my_db *db, struct mf_position *ret, struct mf_error *err)
{
    char file[MF_POSITION_TOKEN];
    uint64_t offset = 0;
    return my_log_end(c, db, file, sizeof file, &offset, err) < 0 ? -1 : my_file_position(file, offset, ret, err);
}

int my_position_seen(MYSQL *c, const struct my_db *db, struct mf_position *ret, struct mf_error *err)
{
    int rc = db->gtid ? gtid_position(c, db, ret, err) : log_position(c, db, ret, err);
    if (rc < 0) {
        mf_error_prefix(err, "asking for the position in the binary log");
    }
    return rc;
}

int my_position_now(struct mf_db *base, struct mf_position *ret, struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    return my_lease(l.db, &l.conn, err) < 0 ? -1 : my_position_seen(l.conn, l.db, ret, err);
}

int my_clock(struct mf_db *base, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    if (my_lease(l.db, &l.conn, err) < 0 ||
        my_query_i64(l.conn, ret_us, err, "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)") < 0) {
        mf_error_prefix(err, "asking for the server's clock");
        return -1;
    }
    if (ret_latest_us) {
        *ret_latest_us = *ret_us;
    }
    return 0;
}

/* ---- heartbeats ---- */

/* The row's commit is in the log when the statement returns, and so is every commit that returned before. */
int my_heartbeat(struct mf_db *base, const struct mf_pipe_id *pipe, const char *marker, struct mf_position *ret_after,
                 struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192};
    struct mf_position after;
    MY_LEASE(my_db_of(base), l);
    if (MF_FAULT(err, "mysql.heartbeat") || my_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    mf_buf_puts(&sql, "INSERT INTO " MY_BOOK ".heartbeat (migration, side, marker, beat) VALUES (");
    my_put_literal(&sql, pipe->migration);
    mf_buf_puts(&sql, base->side == MF_SOURCE ? ", 'source', " : ", 'target', ");
    if (marker) {
        my_put_literal(&sql, marker);
    } else {
        mf_buf_puts(&sql, "NULL");
    }
    mf_buf_puts(&sql, ", 1) ON DUPLICATE KEY UPDATE marker = VALUES(marker), beat = beat + 1");
    if (my_exec_buf(l.conn, err, &sql) < 0 || my_position_seen(l.conn, l.db, &after, err) < 0) {
        mf_error_prefix(err, "writing a heartbeat");
        return -1;
    }
    if (ret_after) {
        *ret_after = after;
    }
    return 0;
}

/* ---- load ---- */

/* Statements of others at work at this moment, over the number the server is taken to bear. Threads_running needs no privilege and counts what waits for
 * a row or the disk too. What of it is not load is taken off, as far as the process list is ours to see: sessions of midflight's own account (which
 * should be its own), whoever reads the binary log, and the event scheduler, which count as running for ever. */
#define LOAD_SESSIONS 16
int my_load(struct mf_db *base, double *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MY_LEASE(my_db_of(base), l);
    int64_t ours = 0;
    if (my_lease(l.db, &l.conn, err) < 0 ||
        my_query_i64(
            l.conn, &ours, err,
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'"
            " OR USER = 'event_scheduler' OR (COMMAND <> 'Sleep' AND USER = SUBSTRING_INDEX(USER(), '@', 1))") < 0 ||
        my_query(l.conn, &r, err, "SHOW GLOBAL STATUS LIKE 'Threads_running'") < 0) {
        mf_error_prefix(err, "asking for the server's load");
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    int64_t others = row ? my_get_i64(row, 1) - ours : 0;
    *ret = others > 0 ? (double)others / LOAD_SESSIONS : 0;
    return 0;
}

/* Nothing of ours waits for others without a bound: no slot is made, and locks are waited for briefly. */
int my_waits_for(struct mf_db *db, char *ret, size_t n, struct mf_error *err)
{
    (void)db, (void)err;
    mf_strlcpy(ret, "", n);
    return 0;
}
