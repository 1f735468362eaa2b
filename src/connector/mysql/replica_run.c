/* Looking after a target that follows the source by itself: how far it is, letting it run, stopping it, what went wrong with it. */
#include "connector/mysql/replica.h"

#include "base/str.h"
#include "connector/mysql/resume.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what it says ---- */

static bool is(MYSQL_RES *r, MYSQL_ROW row, const char *column, const char *value)
{
    return strcmp(my_replica_column(r, row, column), value) == 0;
}

static bool filtered(MYSQL_RES *r, MYSQL_ROW row)
{
    return strstr(my_replica_column(r, row, "Replicate_Wild_Ignore_Table"), "midflight.%") != NULL;
}

/* Several appliers: the coordinator only says that one of them failed. */
static void look_at_workers(MYSQL *c, char *text, size_t n, unsigned *number)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct mf_error ignored = {0};
    if (my_query(c, &r, &ignored,
                 "SELECT LAST_ERROR_NUMBER, LAST_ERROR_MESSAGE FROM"
                 " performance_schema.replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER <> 0 LIMIT 1") < 0) {
        return;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    if (row && row[1]) {
        *number = (unsigned)my_get_i64(row, 0);
        mf_strlcpy(text, row[1], n);
    }
}

/* The applier stopped for something that will not pass by itself. */
static void applier_trouble(MYSQL *c, const char *text, unsigned number, struct mf_error *ret)
{
    char message[700], code[16];
    mf_strlcpy(message, text, sizeof message);
    if (mf_starts_with(text, "Coordinator stopped")) {
        look_at_workers(c, message, sizeof message, &number);
    }
    snprintf(code, sizeof code, "%u", number);
    mf_fail(ret, MF_FATAL, code, "the target's replication stopped: %s (%u)", message, number);
    if (number == 1032 || number == 1062) {
        mf_hint(
            ret,
            "a row of the target is not as the source's, so somebody else has written there: find out who. Make the "
            "row "
            "what the source had, or set mode: stream, which mends such rows; then start midflight again. Nothing is "
            "lost, the source's log waits");
    } else {
        mf_hint(
            ret,
            "mend on the target what the message names and start midflight again; or set mode: stream, and midflight's "
            "own stream goes on from where the replica stood. Nothing is lost, the source's log waits");
    }
}

/* The receiver is away from the source. Most of it passes. */
static void receiver_trouble(const char *text, unsigned number, struct mf_error *ret)
{
    char code[16];
    bool refused = number == 1045 || number == 1130 || number == 1396 || number == 2061;
    bool purged = strstr(text, "purged") || strstr(text, "more GTIDs than"), clash = strstr(text, "equal MySQL server");
    snprintf(code, sizeof code, "%u", number);
    mf_fail(ret, refused || purged || clash ? MF_FATAL : MF_RETRY, code,
            "the target's server cannot follow the source: %.600s (%u)", text, number);
    mf_hint(
        ret, "%s",
        refused
            ? "check native.user and native.password; the account needs REPLICATION SLAVE and must be let in from the "
              "target's address"
        : purged ? "the source has thrown away a part of its log that is needed: cancel and begin again; let it keep "
                   "its log "
                   "longer"
        : clash  ? "SET GLOBAL server_id to another number on the target (and in its configuration), then start "
                   "midflight again"
                 : "check that the target's machine reaches the source's address (native.host, native.port)");
}

static void take_trouble(MYSQL *c, MYSQL_RES *r, MYSQL_ROW row, struct mf_replication_status *ret)
{
    int64_t sql = 0, io = 0;
    mf_parse_i64(my_replica_column(r, row, "Last_SQL_Errno"), &sql);
    mf_parse_i64(my_replica_column(r, row, "Last_IO_Errno"), &io);
    if (!ret->applying && sql) {
        applier_trouble(c, my_replica_column(r, row, "Last_SQL_Error"), (unsigned)sql, &ret->trouble);
    } else if (io && !is(r, row, "Slave_IO_Running", "Yes")) {
        receiver_trouble(my_replica_column(r, row, "Last_IO_Error"), (unsigned)io, &ret->trouble);
    }
}

static int take_positions(MYSQL *c, MYSQL_RES *r, MYSQL_ROW row, struct mf_replication_status *ret,
                          struct mf_error *err)
{
    struct my_gtid_set *set = my_gtid_set_new(false);
    int rc = my_replica_executed(c, set, &ret->executed, err);
    rc = rc == 0 ? my_gtid_set_parse(set, my_replica_column(r, row, "Retrieved_Gtid_Set"), err) : rc;
    ret->received = my_gtid_set_count(set);
    my_gtid_set_free(set);
    return rc;
}

/* A server that was restarted has neither its filter nor how to log in, and may be at work all the same: that does not count as at work. */
int my_replication_status(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_replication_status *ret,
                          struct mf_error *err)
{
    struct my_db *t = my_db_of(target);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_FREE char *from = NULL;
    MYSQL_ROW row = NULL;
    int64_t behind = 0;
    MY_LEASE(t, l);
    *ret = (struct mf_replication_status){0};
    if (my_lease(t, &l.conn, err) < 0 || my_replica_setting(l.conn, pipe, MY_REPLICA_FROM, &from, err) < 0 ||
        my_replica_shown(l.conn, t, &r, &row, err) < 0) {
        return -1;
    }
    if (!from || !row) {
        return 0;
    }
    ret->attached = true;
    ret->receiving = !is(r, row, "Slave_IO_Running", "No");
    ret->applying = is(r, row, "Slave_SQL_Running", "Yes");
    mf_parse_i64(my_replica_column(r, row, "Seconds_Behind_Master"), &behind);
    if (filtered(r, row)) {
        take_trouble(l.conn, r, row, ret);
    } else {
        ret->receiving = ret->applying = false;
    }
    if (take_positions(l.conn, r, row, ret, err) < 0) {
        return -1;
    }
    ret->lag_seconds = ret->received > ret->executed.order ? (double)behind : 0;
    return 0;
}

/* ---- letting it run ---- */

static int start_receiving(MYSQL *c, const struct my_db *t, const struct my_db *s, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8192};
    mf_buf_puts(&b, "IO_THREAD USER = ");
    my_put_literal(&b, s->login.user ? s->login.user : s->params.user ? s->params.user : "");
    mf_buf_puts(&b, " PASSWORD = ");
    const char *password = s->login.password || s->login.user ? s->login.password : s->params.password;
    my_put_literal(&b, password ? password : "");
    int rc = my_replica_say(c, t, "START", mf_buf_str(&b), err);
    explicit_bzero(b.data, b.len);
    if (rc < 0 && my_is_error(err, ER_PARSE_ERROR)) { /* it quotes what it did not understand */
        mf_fail(err, MF_FATAL, "MFREPLICA", "the target's server does not understand how its replication is started");
    }
    return rc;
}

static int start_applying(MYSQL *c, const struct my_db *t, const struct mf_position *until, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8192};
    mf_buf_puts(&b, "SQL_THREAD");
    if (until->order) {
        char set[MF_POSITION_TOKEN];
        my_resume_plain(until->token, set);
        mf_buf_puts(&b, " UNTIL SQL_AFTER_GTIDS = ");
        my_put_literal(&b, set);
    }
    return my_replica_say(c, t, "START", mf_buf_str(&b), err);
}

static int put_filter_back(MYSQL *c, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MF_CLEANUP_FREE char *filter = NULL;
    if (my_replica_setting(c, pipe, MY_REPLICA_FILTER, &filter, err) < 0) {
        return -1;
    }
    return filter
               ? my_exec(c, err, filter)
               : mf_fail(err, MF_FATAL, "MFREPLICA", "the filter of the target's replication is not in its settings");
}

int my_replication_resume(struct mf_db *target, struct mf_db *source, const struct mf_pipe_id *pipe,
                          const struct mf_position *until, struct mf_error *err)
{
    struct my_db *t = my_db_of(target);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MYSQL_ROW row = NULL;
    MF_LOCK_SCOPE(&t->replica_lock);
    MY_LEASE(t, l);
    if (t->replica_over) {
        return mf_fail(err, MF_RETRY, "MFREPLICA", "the target is being promoted");
    }
    if (my_lease(t, &l.conn, err) < 0 || my_replica_shown(l.conn, t, &r, &row, err) < 0) {
        return -1;
    }
    if (!row) {
        return mf_fail(err, MF_FATAL, "MFREPLICA", "the target follows nobody: its replication was reset");
    }
    bool known = filtered(r, row), away = !known || !is(r, row, "Slave_IO_Running", "Yes");
    if ((is(r, row, "Slave_SQL_Running", "Yes") && my_replica_say(l.conn, t, "STOP", "SQL_THREAD", err) < 0) ||
        (!known && (my_replica_say(l.conn, t, "STOP", "", err) < 0 || put_filter_back(l.conn, pipe, err) < 0)) ||
        (away &&
         my_replica_say(l.conn, t, "STOP", "IO_THREAD", err) < 0) || /* it may be trying with what is no more right */
        (away && start_receiving(l.conn, t, my_db_of(source), err) < 0)) {
        return -1;
    }
    return start_applying(l.conn, t, until, err);
}

int my_replication_pause(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    struct my_db *t = my_db_of(target);
    (void)pipe;
    MF_LOCK_SCOPE(&t->replica_lock);
    MY_LEASE(t, l);
    return my_lease(t, &l.conn, err) < 0 ? -1 : my_replica_say(l.conn, t, "STOP", "SQL_THREAD", err);
}
