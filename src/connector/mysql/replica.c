/*
 * Making the target a replica of the source, and a server of its own again.
 *
 * What must hold: the replica begins behind exactly the transactions whose rows are here. They are put into gtid_purged, so that neither
 * more nor fewer are asked for. 8.0 takes them beside what the server has; 5.7 only into an empty history, which RESET MASTER makes (check
 * says so: the target's own binary logs go). Everything of the source's that the target has must be in the position: a replica skips in
 * silence what it has already.
 *
 * Nothing of the database midflight comes across: both servers have one, with rows of the same keys and other values. The filter is the server's memory
 * alone, so it is kept in the settings and put back when the server has forgotten it (replica_run.c).
 *
 * The password is said with START, never with CHANGE: so the server writes it nowhere. A server that is restarted cannot log in by
 * itself and waits for us, without a filter and without harm.
 */
#include "connector/mysql/replica.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/resume.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN_USE(err) (my_is_error(err, 1840) || my_is_error(err, 1841) || my_is_error(err, 3546))

/* ---- settings ---- */

int my_replica_setting(MYSQL *c, const struct mf_pipe_id *pipe, const char *object, char **ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    bool book = false;
    *ret = NULL;
    if (my_book_exists(c, &book, err) < 0) {
        return -1;
    }
    if (!book) {
        return 0;
    }
    if (my_queryf(c, &r, err,
                  "SELECT value FROM midflight.settings WHERE migration = '%s' AND kind = '" MY_REPLICA_KIND
                  "' AND object = '%s'",
                  pipe->migration, object) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    *ret = row && row[0] ? mf_xstrdup(row[0]) : NULL;
    return 0;
}

int my_replica_set(MYSQL *c, const struct mf_pipe_id *pipe, const char *object, const char *value, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    mf_buf_printf(&b,
                  "INSERT INTO midflight.settings (migration, kind, object, value) VALUES ('%s', '" MY_REPLICA_KIND
                  "', '%s', ",
                  pipe->migration, object);
    my_put_literal(&b, value);
    mf_buf_puts(&b, ") ON DUPLICATE KEY UPDATE value = VALUES(value)");
    return my_exec_buf(c, err, &b);
}

int my_replica_past(MYSQL *c, const struct mf_pipe_id *pipe, struct my_gtid_set **ret, struct mf_error *err)
{
    MF_CLEANUP_FREE char *past = NULL;
    *ret = NULL;
    if (my_replica_setting(c, pipe, MY_REPLICA_PAST, &past, err) < 0) {
        return -1;
    }
    if (past) {
        *ret = my_gtid_set_new(false);
        return my_gtid_set_parse(*ret, past, err);
    }
    return 0;
}

/* ---- the server's words ---- */

static bool newer_words(const struct my_db *db)
{
    return db->version >= 80023;
}

int my_replica_say(MYSQL *c, const struct my_db *db, const char *verb, const char *rest, struct mf_error *err)
{
    return my_execf(c, err, "%s %s %s", verb, newer_words(db) ? "REPLICA" : "SLAVE", rest);
}

int my_replica_shown(MYSQL *c, const struct my_db *db, MYSQL_RES **ret, MYSQL_ROW *ret_row, struct mf_error *err)
{
    if (my_query(c, ret, err, newer_words(db) ? "SHOW REPLICA STATUS" : "SHOW SLAVE STATUS") < 0) {
        mf_error_prefix(err, "asking the target how its replication stands");
        return -1;
    }
    *ret_row = *ret ? mysql_fetch_row(*ret) : NULL;
    return 0;
}

/* "Slave_IO_Running" is "Replica_IO_Running" later on, "Master_Host" "Source_Host". */
const char *my_replica_column(MYSQL_RES *r, MYSQL_ROW row, const char *older)
{
    MYSQL_FIELD *f = mysql_fetch_fields(r);
    char newer[80] = "";
    if (strncmp(older, "Slave_", 6) == 0) {
        snprintf(newer, sizeof newer, "Replica_%.60s", older + 6);
    } else if (strcmp(older, "Seconds_Behind_Master") == 0) {
        mf_strlcpy(newer, "Seconds_Behind_Source", sizeof newer);
    } else if (strncmp(older, "Master_", 7) == 0) {
        snprintf(newer, sizeof newer, "Source_%.60s", older + 7);
    }
    for (unsigned i = 0; i < mysql_num_fields(r); i++) {
        if (mf_streq(f[i].name, older) || mf_streq(f[i].name, newer)) {
            return row[i] ? row[i] : "";
        }
    }
    return "";
}

int my_replica_executed(MYSQL *c, struct my_gtid_set *into, struct mf_position *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_query(c, &r, err, MY_GTIDS_OF_OTHERS) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    return my_gtid_set_parse(into, row && row[0] ? row[0] : "", err) < 0 || my_gtid_set_position(into, ret, err) < 0
               ? -1
               : 0;
}

/* ---- where it begins ---- */

static int subtract(MYSQL *c, const char *a, const char *b, char **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    mf_buf_puts(&sql, "SELECT GTID_SUBTRACT(");
    my_put_literal(&sql, a);
    mf_buf_puts(&sql, ", ");
    my_put_literal(&sql, b);
    mf_buf_puts(&sql, ")");
    if (!mf_buf_ok(&sql) || my_query(c, &r, err, mf_buf_str(&sql)) < 0) {
        return mf_buf_ok(&sql) ? -1 : mf_fail(err, MF_FATAL, "MFBIG", "a GTID set is too long for a statement");
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    *ret = mf_xstrdup(row && row[0] ? row[0] : "");
    return 0;
}

static int purge(MYSQL *c, const struct my_db *db, const char *missing, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX}, set = {.max = MY_SQL_MAX};
    if (db->version < 80000 && my_exec(c, err, "RESET MASTER") < 0) {
        return -1;
    }
    mf_buf_printf(&set, "%s%s", db->version < 80000 ? "" : "+", missing);
    mf_buf_puts(&sql, "SET GLOBAL gtid_purged = ");
    my_put_literal(&sql, mf_buf_str(&set));
    if (my_exec_buf(c, err, &sql) == 0) {
        return 0;
    }
    err->cls = IN_USE(err) ? MF_RETRY : err->cls; /* somebody wrote here at this very moment */
    return -1;
}

/* gtid_executed becomes what it must be: all of `from`, and of the source's nothing else. */
static int stand_at(MYSQL *c, const struct my_db *db, const char *from, struct mf_error *err)
{
    MF_CLEANUP_FREE char *missing = NULL, *more = NULL, *own = NULL;
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf mine = {.max = 256};
    if (my_query(c, &r, err, "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.server_uuid") < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    if (!row || !row[0] || !row[1]) {
        return mf_fail(err, MF_FATAL, "MFGTID", "the target tells nothing of its GTIDs");
    }
    mf_buf_printf(&mine, "%s:1-9223372036854775806", row[1]);
    if (subtract(c, from, row[0], &missing, err) < 0 || subtract(c, from, mf_buf_str(&mine), &own, err) < 0) {
        return -1;
    }
    if (strlen(own) != strlen(from)) {
        return mf_fail(
            err, MF_FATAL, "MFGTID",
            "the source has transactions that were written on the target's server (%s): one of both followed "
            "the other before",
            row[1]);
    }
    if (*missing && db->version < 80000) {
        return purge(c, db, from, err);
    }
    MF_CLEANUP_BUF struct mf_buf known = {.max = MY_SQL_MAX};
    mf_buf_printf(&known, "%s,%s", from, mf_buf_str(&mine));
    if (subtract(c, row[0], mf_buf_str(&known), &more, err) < 0) {
        return -1;
    }
    if (*more) {
        mf_fail(
            err, MF_FATAL, "MFGTID",
            "the target has transactions of other servers that its rows were not copied with (%.200s): a replica would "
            "take them for done",
            more);
        mf_hint(err, "on the target: RESET MASTER (its binary logs go), then start midflight again");
        return -1;
    }
    return *missing ? purge(c, db, missing, err) : 0;
}

/* ---- the filter ---- */

/* 'db.table' as a pattern that means only this one. */
static void put_pattern(struct mf_buf *b, const char *schema, const char *name)
{
    MF_CLEANUP_BUF struct mf_buf p = {.max = 2048};
    const char *const parts[] = {schema, ".", name};
    for (size_t i = 0; i < 3; i++) {
        for (const char *at = parts[i]; at && *at; at++) {
            if (i != 1 && (*at == '_' || *at == '%' || *at == '\\')) {
                mf_buf_putc(&p, '\\');
            }
            mf_buf_putc(&p, *at);
        }
    }
    if (!name) {
        mf_buf_putc(&p, '%');
    }
    my_put_literal(b, mf_buf_str(&p));
}

static void put_filter(struct mf_buf *b, const struct my_db *src, const struct mf_replication_job *job)
{
    mf_buf_puts(b, "CHANGE REPLICATION FILTER REPLICATE_DO_DB = (), REPLICATE_IGNORE_DB = (), REPLICATE_DO_TABLE = (),"
                   " REPLICATE_IGNORE_TABLE = (), REPLICATE_REWRITE_DB = (),"
                   " REPLICATE_WILD_IGNORE_TABLE = ('midflight.%', 'mysql.%', 'sys.%'), REPLICATE_WILD_DO_TABLE = (");
    for (size_t i = 0; job->only_these && i < job->tables->n; i++) {
        mf_buf_puts(b, i ? ", " : "");
        put_pattern(b, job->tables->tables[i].schema, job->tables->tables[i].name);
    }
    if (!job->only_these && src->params.database) {
        put_pattern(b, src->params.database, NULL);
    }
    mf_buf_puts(b, ")");
}

#define NO_FILTER "CHANGE REPLICATION FILTER REPLICATE_WILD_IGNORE_TABLE = (), REPLICATE_WILD_DO_TABLE = ()"

/* ---- attach ---- */

static void put_change(struct mf_buf *b, const struct my_db *t, const struct my_db *s)
{
    const char *w = newer_words(t) ? "SOURCE" : "MASTER";
    const struct my_replica_login *n = &s->login;
    mf_buf_printf(b, "CHANGE %s TO %s_HOST = ", newer_words(t) ? "REPLICATION SOURCE" : "MASTER", w);
    my_put_literal(b, n->host ? n->host : s->params.host);
    mf_buf_printf(b, ", %s_PORT = %u, %s_AUTO_POSITION = 1, %s_CONNECT_RETRY = 2, %s_HEARTBEAT_PERIOD = 5", w,
                  n->port ? n->port : s->params.port, w, w, w);
    bool tls = n->ca || s->params.ssl_mode >= MY_SSL_REQUIRED;
    mf_buf_printf(b, ", %s_SSL = %d", w, tls);
    if (n->ca) {
        mf_buf_printf(b, ", %s_SSL_VERIFY_SERVER_CERT = 1, %s_SSL_CA = ", w, w);
        my_put_literal(b, n->ca);
    }
    if (!tls && t->version >= 80004 && s->version >= 80004) {
        mf_buf_printf(b, ", GET_%s_PUBLIC_KEY = 1", w);
    }
}

/* Whoever is there is ours from an earlier try, or nobody may be there. */
static int make_room(MYSQL *c, const struct my_db *db, bool ours, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MYSQL_ROW row;
    if (my_replica_shown(c, db, &r, &row, err) < 0) {
        return -1;
    }
    if (!row) {
        return 0;
    }
    if (!ours) {
        mf_fail(err, MF_FATAL, "MFREPLICA", "the target is a replica of %s already",
                my_replica_column(r, row, "Master_Host"));
        mf_hint(err, "end that (STOP SLAVE; RESET SLAVE ALL;) and start midflight again");
        return -1;
    }
    return my_replica_say(c, db, "STOP", "", err) < 0 || my_replica_say(c, db, "RESET", "ALL", err) < 0 ? -1 : 0;
}

static int note(MYSQL *c, const struct mf_pipe_id *pipe, const char *filter, const char *from, struct mf_error *err)
{
    return my_exec(c, err, "START TRANSACTION") < 0 || my_replica_set(c, pipe, MY_REPLICA_FILTER, filter, err) < 0 ||
                   my_replica_set(c, pipe, MY_REPLICA_PAST, from, err) < 0 ||
                   my_replica_set(c, pipe, MY_REPLICA_FROM, from, err) < 0 || my_exec(c, err, "COMMIT") < 0
               ? -1
               : 0;
}

int my_replication_attach(struct mf_db *target, struct mf_db *source, const struct mf_pipe_id *pipe,
                          const struct mf_replication_job *job, struct mf_error *err)
{
    struct my_db *t = my_db_of(target), *s = my_db_of(source);
    MF_CLEANUP_BUF struct mf_buf filter = {.max = MY_SQL_MAX}, change = {.max = 16384};
    MF_CLEANUP_FREE char *before = NULL;
    MF_LOCK_SCOPE(&t->replica_lock);
    MY_LEASE(t, l);
    char from[MF_POSITION_TOKEN];
    my_resume_plain(job->from.token, from);
    put_filter(&filter, s, job);
    put_change(&change, t, s);
    if (!mf_buf_ok(&filter)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "too many tables were chosen for the filter of a replica");
    }
    if (my_lease(t, &l.conn, err) < 0 || my_replica_setting(l.conn, pipe, MY_REPLICA_FROM, &before, err) < 0 ||
        make_room(l.conn, t, before != NULL, err) < 0 || note(l.conn, pipe, mf_buf_str(&filter), from, err) < 0 ||
        stand_at(l.conn, t, from, err) < 0 || my_exec_buf(l.conn, err, &filter) < 0) {
        return -1;
    }
    t->replica_over = false;
    return my_exec_buf(l.conn, err, &change);
}

/* ---- detach ---- */

/* A stream goes on from here. A target that did not get as far as to follow keeps the checkpoint it has. */
static int put_checkpoint(MYSQL *c, const struct mf_pipe_id *pipe, const struct mf_position *at, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 16384};
    mf_buf_printf(&b, "UPDATE midflight.checkpoint SET position_token = ");
    my_put_literal(&b, at->token);
    mf_buf_printf(&b,
                  ", position_order = %" PRIu64 ", written_at = CURRENT_TIMESTAMP(6) WHERE migration = '%s'"
                  " AND direction = '%s' AND position_order <= %" PRIu64,
                  at->order, pipe->migration, my_direction(pipe->direction), at->order);
    return my_exec_buf(c, err, &b);
}

static int promote(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct my_gtid_set *executed = my_gtid_set_new(false);
    struct mf_position at = {0};
    MYSQL_ROW row = NULL;
    int rc = my_replica_shown(c, db, &r, &row, err);
    rc = rc == 0 && row ? my_replica_say(c, db, "STOP", "", err) : rc;
    rc = rc == 0 ? my_replica_executed(c, executed, &at, err) : rc;
    my_gtid_set_free(executed);
    if (rc == 0 && at.order) {
        rc = put_checkpoint(c, pipe, &at, err) < 0 || my_replica_set(c, pipe, MY_REPLICA_PAST, at.token, err) < 0 ? -1
                                                                                                                  : 0;
    }
    return rc < 0 || my_replica_say(c, db, "RESET", "ALL", err) < 0 || my_exec(c, err, NO_FILTER) < 0 ? -1 : 0;
}

int my_replication_detach(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    struct my_db *t = my_db_of(target);
    MF_CLEANUP_FREE char *from = NULL;
    MF_LOCK_SCOPE(&t->replica_lock);
    MY_LEASE(t, l);
    if (my_lease(t, &l.conn, err) < 0 || my_replica_setting(l.conn, pipe, MY_REPLICA_FROM, &from, err) < 0) {
        return -1;
    }
    if (!from) {
        return 0;
    }
    t->replica_over = true; /* nobody starts it again meanwhile */
    if (promote(l.conn, t, pipe, err) < 0) {
        mf_error_prefix(err, "promoting the target");
        return -1;
    }
    return my_execf(l.conn, err,
                    "DELETE FROM midflight.settings WHERE migration = '%s' AND kind = '" MY_REPLICA_KIND
                    "' AND object IN ('" MY_REPLICA_FROM "', '" MY_REPLICA_FILTER "')",
                    pipe->migration);
}
