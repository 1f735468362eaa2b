/*
 * What a stream needs on its source: nothing of the server's, for a binary log is there for whoever reads it. What is kept in midflight.settings is
 * what is ours to know: where the stream starts, which tables it has, and from which position on each.
 *
 *   kind 'stream fwd'     object 'start'        the position before which nothing is streamed
 *   kind 'stream fwd'     object 'settled'      a later one; whoever reads rows from now on sees everything in it
 *   kind 'published fwd'  object `db`.`table`   the position that is contained in what its rows will be read at
 *   kind 'shape fwd'      object `db`.`table` N what the table is from order N on (versions.h)
 *
 * The start must be such that a transaction contained in it is seen by every reader that begins afterwards, and any other
 * comes in the stream:
 *   MySQL with GTIDs     gtid_executed has a transaction only after its rows are to be seen.
 *   MySQL without        the log is written before the engine commits; in the log's order, though, so a commit of ours that returns comes after all
 *                        before it (binlog_order_commits, which is asked for).
 *   MariaDB              the same; and a consistent snapshot says exactly which position it has.
 *
 * XA: a transaction prepared before the start and committed after it would come without its rows. Those that are prepared at the start are
 * waited for; `settled` is taken behind them. The same where tables are added.
 */
#include "connector/mysql/stream.h"

#include "base/clock.h"
#include "base/fault.h"

#include <stdio.h>
#include <string.h>

#define XA_WAIT_MS 30000
#define SETTINGS   "INSERT INTO midflight.settings (migration, kind, object, value) VALUES ("

static void put_setting(struct mf_buf *b, const struct mf_pipe_id *pipe, const char *kind, const char *object,
                        const char *value)
{
    mf_buf_printf(b, "%s'%s', '%s %s', ", SETTINGS, pipe->migration, kind, my_direction(pipe->direction));
    my_put_literal(b, object);
    mf_buf_puts(b, ", ");
    my_put_literal(b, value);
    mf_buf_puts(b, ") ON DUPLICATE KEY UPDATE value = value");
}

static int set(MYSQL *c, const struct mf_pipe_id *pipe, const char *kind, const char *object, const char *value,
               struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 64u << 10};
    put_setting(&b, pipe, kind, object, value);
    return my_exec_buf(c, err, &b);
}

/* ---- positions ---- */

static int executed(MYSQL *c, char *token, size_t n, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_query(c, &r, err, "SELECT @@global.gtid_executed") < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    if (!row || !row[0] || !mf_strlcpy(token, row[0], n)) {
        return mf_fail(err, MF_FATAL, "MFGTID", "the server's gtid_executed is longer than a position can be");
    }
    return 0;
}

static int mariadb_exact(MYSQL *c, char *token, size_t n, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL, *p = NULL;
    char file[512] = "", at[32] = "";
    if (my_exec(c, err, "START TRANSACTION WITH CONSISTENT SNAPSHOT") < 0 ||
        my_query(c, &r, err, "SHOW STATUS LIKE 'binlog_snapshot_%'") < 0) {
        return -1;
    }
    MYSQL_ROW row;
    while ((row = mysql_fetch_row(r))) {
        if (row[1] && strcasecmp(row[0], "binlog_snapshot_file") == 0) {
            mf_strlcpy(file, row[1], sizeof file);
        } else if (row[1] && strcasecmp(row[0], "binlog_snapshot_position") == 0) {
            mf_strlcpy(at, row[1], sizeof at);
        }
    }
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    mf_buf_puts(&b, "SELECT BINLOG_GTID_POS(");
    my_put_literal(&b, file);
    mf_buf_puts(&b, ", ");
    mf_buf_puts(&b, at[0] ? at : "0");
    mf_buf_puts(&b, ")");
    if (my_query(c, &p, err, mf_buf_str(&b)) < 0 || my_exec(c, err, "ROLLBACK") < 0) {
        return -1;
    }
    row = mysql_fetch_row(p);
    if (!file[0] || !row || !row[0] || !mf_strlcpy(token, row[0], n)) {
        return mf_fail(err, MF_FATAL, "MFLOG", "the server does not tell where its log stood at a snapshot");
    }
    return 0;
}

static int in_file(MYSQL *c, const struct my_db *db, struct mf_position *ret, struct mf_error *err)
{
    char file[512];
    uint64_t offset;
    int64_t ordered = 1;
    if (my_query_i64(c, &ordered, err, "SELECT @@global.binlog_order_commits") < 0) {
        return -1;
    }
    if (!ordered) {
        mf_fail(err, MF_FATAL, "MFLOG",
                "the server commits in another order than its log has (binlog_order_commits = OFF), so no place in the "
                "log says what a reader sees");
        mf_hint(err, "SET GLOBAL binlog_order_commits = ON");
        return -1;
    }
    return my_log_end(c, db, file, sizeof file, &offset, err) < 0 ? -1 : my_file_position(file, offset, ret, err);
}

static int from_token(const struct my_db *db, const char *token, struct mf_position *ret, struct mf_error *err)
{
    char file[512];
    uint64_t offset;
    if (!db->gtid) {
        return my_parse_file_position(token, file, sizeof file, &offset)
                   ? my_file_position(file, offset, ret, err)
                   : mf_fail(err, MF_FATAL, "MFSLOT", "no place in a log file: %.100s", token);
    }
    struct my_gtid_set *s = my_gtid_set_new(db->mariadb);
    int rc = my_gtid_set_parse(s, token, err) < 0 ? -1 : my_gtid_set_position(s, ret, err);
    my_gtid_set_free(s);
    return rc;
}

/* A position; what is contained in it is seen by every reader from the next commit of ours on. */
static int stand(MYSQL *c, const struct my_db *db, struct mf_position *ret, struct mf_error *err)
{
    char token[4096];
    if (!db->gtid) {
        return in_file(c, db, ret, err);
    }
    if ((db->mariadb ? mariadb_exact(c, token, sizeof token, err) : executed(c, token, sizeof token, err)) < 0) {
        return -1;
    }
    return from_token(db, token, ret, err);
}

/* ---- XA ---- */

/* Ids that are prepared now, one a line. An account that may not ask, asks for none. */
static int prepared(MYSQL *c, struct mf_buf *out, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct mf_error e = {0};
    MYSQL_ROW row;
    if (my_query(c, &r, &e, "XA RECOVER") < 0) {
        if (my_is_error(&e, 1401) || my_is_error(&e, 1227)) {
            return 0;
        }
        *err = e;
        return -1;
    }
    while ((row = mysql_fetch_row(r))) {
        unsigned long *len = mysql_fetch_lengths(r);
        mf_buf_putc(out, '\n');
        for (unsigned long i = 0; i < len[3]; i++) {
            mf_buf_printf(out, "%02x", (unsigned char)row[3][i]);
        }
        mf_buf_printf(out, ":%s:%s\n", row[0], row[1]);
    }
    return mf_buf_ok(out) ? 0 : mf_fail(err, MF_FATAL, "MFXA", "too many XA transactions are prepared");
}

static bool any_left(const struct mf_buf *before, const struct mf_buf *now)
{
    const char *p = mf_buf_str(before);
    while (*p) {
        const char *end = strchr(p + 1, '\n');
        size_t n = end ? (size_t)(end - p) + 1 : strlen(p);
        if (memmem(mf_buf_str(now), now->len, p, n)) {
            return true;
        }
        p += n;
    }
    return false;
}

static int await_prepared(MYSQL *c, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf before = {.max = 4u << 20}, now = {.max = 4u << 20};
    int64_t until = mf_now_us() + XA_WAIT_MS * MF_US_PER_MS;
    if (prepared(c, &before, err) < 0) {
        return -1;
    }
    for (;;) {
        mf_buf_reset(&now);
        if (prepared(c, &now, err) < 0) {
            return -1;
        }
        if (!any_left(&before, &now)) {
            return 0;
        }
        if (mf_now_us() > until) {
            mf_fail(
                err, MF_RETRY, "MFXA",
                "XA transactions that were prepared when their tables were to be streamed are neither committed nor "
                "rolled back");
            mf_hint(err, "see XA RECOVER, and end those that nobody will");
            return -1;
        }
        mf_sleep_us(20 * MF_US_PER_MS);
    }
}

/* ---- tables ---- */

static int publish(MYSQL *c, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                   const struct mf_position *since, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf name = {.max = 4096};
    for (size_t i = 0; i < tables->n; i++) {
        mf_buf_reset(&name);
        my_put_name(&name, tables->tables[i].schema, tables->tables[i].name);
        if (set(c, pipe, "published", mf_buf_str(&name), since->token, err) < 0) {
            mf_error_prefix(err, "noting table %s to be streamed", mf_buf_str(&name));
            return -1;
        }
    }
    return 0;
}

static int read_start(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, bool *ret_found,
                      struct mf_position *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_queryf(c, &r, err,
                  "SELECT s.value FROM midflight.settings s JOIN midflight.settings t"
                  " ON t.migration = s.migration AND t.kind = s.kind AND t.object = 'settled'"
                  " WHERE s.migration = '%s' AND s.kind = 'stream %s' AND s.object = 'start'",
                  pipe->migration, my_direction(pipe->direction)) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    *ret_found = row && row[0];
    return *ret_found ? from_token(db, row[0], ret, err) : 0;
}

/* What the tables are at the position they are streamed from. */
static int look(struct my_db *db, MYSQL *c, const struct mf_pipe_id *pipe, const struct my_place *from,
                const struct mf_position *since, struct mf_error *err)
{
    struct my_relations r = {.db = db, .pipe = *pipe};
    int rc = my_relations_read(&r, c, err) < 0 ? -1 : my_versions_begin(&r, c, from, since->order, err);
    my_relations_free(&r);
    return rc;
}

/* Start, tables and what is settled; a crash in between begins again with a later start: nothing was read by the first. */
static int make(MYSQL *c, struct my_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                struct mf_position *ret, struct mf_error *err)
{
    struct mf_position settled;
    struct my_place from;
    const char *d = my_direction(pipe->direction);
    if (my_execf(c, err,
                 "DELETE FROM midflight.settings WHERE migration = '%s' AND kind IN ('stream %s', 'published %s',"
                 " 'shape %s', 'moved %s')",
                 pipe->migration, d, d, d, d) < 0 ||
        my_log_end(c, db, from.file, sizeof from.file, &from.offset, err) < 0 || stand(c, db, ret, err) < 0 ||
        my_exec(c, err, "START TRANSACTION") < 0 || publish(c, pipe, tables, ret, err) < 0 ||
        set(c, pipe, "stream", "start", ret->token, err) < 0 || my_exec(c, err, "COMMIT") < 0 ||
        look(db, c, pipe, &from, ret, err) < 0 || MF_FAULT(err, "mysql.stream_made") || await_prepared(c, err) < 0 ||
        stand(c, db, &settled, err) < 0) {
        return -1;
    }
    return set(c, pipe, "stream", "settled", settled.token, err);
}

/* A transaction that was prepared before the stream knows the tables has their rows in none of what it hands out; so it is waited for, and whoever
 * reads the tables afterwards sees them. The stream is told first: what is prepared later it reads knowing them. */
static int add(struct my_db *db, MYSQL *c, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
               struct mf_error *err)
{
    struct mf_position since;
    struct my_place from;
    if (my_log_end(c, db, from.file, sizeof from.file, &from.offset, err) < 0 || stand(c, db, &since, err) < 0 ||
        my_exec(c, err, "START TRANSACTION") < 0 || publish(c, pipe, tables, &since, err) < 0 ||
        my_exec(c, err, "COMMIT") < 0 || look(db, c, pipe, &from, &since, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&db->lock);
    __atomic_add_fetch(&db->tables_added, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&db->lock);
    return await_prepared(c, err);
}

int my_stream_prepare(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                      struct mf_position *ret_start, struct mf_error *err)
{
    struct my_db *db = my_db_of(base);
    struct mf_position start = {0};
    bool found = false;
    MY_LEASE(db, l);
    if (my_lease(db, &l.conn, err) < 0 || read_start(l.conn, db, pipe, &found, &start, err) < 0) {
        return -1;
    }
    if ((found ? add(db, l.conn, pipe, tables, err) : make(l.conn, db, pipe, tables, &start, err)) < 0) {
        mf_error_prefix(err, "preparing the change stream");
        return -1;
    }
    MF_LOCK_SCOPE(&db->lock);
    *ret_start = found && db->acked[pipe->direction].order > start.order ? db->acked[pipe->direction] : start;
    return 0;
}

int my_stream_add_tables(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                         struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    return my_lease(l.db, &l.conn, err) < 0 ? -1 : add(l.db, l.conn, pipe, tables, err);
}

int my_stream_skip(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_position *to,
                   struct mf_error *err)
{
    struct my_db *db = my_db_of(base);
    struct my_relations r = {.db = db, .pipe = *pipe};
    MY_LEASE(db, l);
    return my_lease(db, &l.conn, err) < 0
               ? -1
               : my_version_all(&r, l.conn, to->order, "the log was not read for a while", err);
}

int my_stream_drop(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    struct my_db *db = my_db_of(base);
    const char *d = my_direction(pipe->direction);
    bool book = false;
    MY_LEASE(db, l);
    if (my_lease(db, &l.conn, err) < 0 || my_book_exists(l.conn, &book, err) < 0 ||
        (book && my_execf(l.conn, err,
                          "DELETE FROM midflight.settings WHERE migration = '%s' AND kind IN ('stream %s',"
                          " 'published %s', 'shape %s', 'moved %s')",
                          pipe->migration, d, d, d, d) < 0)) {
        return -1;
    }
    MF_LOCK_SCOPE(&db->lock);
    db->acked[pipe->direction] = (struct mf_position){0};
    return 0;
}
