/*
 * The database `midflight`: what midflight remembers inside a server, its own or anybody's.
 *
 * Every row is keyed by migration, so that several migrations may share a server. The same tables are made on both sides.
 * checkpoint, heartbeat and epoch are read in change streams (change/bookkeeping.h); chunk, quarantine and settings are not.
 * All are InnoDB, or a checkpoint would not be in the transaction of its rows, and utf8mb4_bin, or names that differ in case would be
 * one. A statement that makes a table commits by itself: each is made if it is missing, in an order that ends with settings.
 */
#include "connector/mysql/mysql_room.h"

#include "base/str.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <string.h>

#define LOCK_WAIT_S 30
#define TABLES      7

#define PIPE  "migration VARCHAR(40) NOT NULL, direction VARCHAR(3) NOT NULL"
#define OURS  ") ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
#define STAMP " TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)"

static const char *const book_ddl[] = {
    "CREATE DATABASE IF NOT EXISTS midflight DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS midflight.checkpoint (" PIPE ", position_order BIGINT UNSIGNED NOT NULL,"
    " position_token TEXT NOT NULL, written_at" STAMP ", touched BIGINT NOT NULL DEFAULT 0,"
    " PRIMARY KEY (migration, direction)" OURS,
    "CREATE TABLE IF NOT EXISTS midflight.heartbeat (migration VARCHAR(40) NOT NULL, side VARCHAR(10) NOT NULL,"
    " marker TEXT, beat BIGINT NOT NULL, PRIMARY KEY (migration, side)" OURS,
    "CREATE TABLE IF NOT EXISTS midflight.epoch (migration VARCHAR(40) NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL,"
    " writer VARCHAR(16) NOT NULL, `open` TINYINT(1) NOT NULL, decided_at" STAMP OURS,
    "CREATE TABLE IF NOT EXISTS midflight.chunk (" PIPE ", table_id BIGINT NOT NULL, ordinal BIGINT NOT NULL,"
    " schema_name VARCHAR(64) NOT NULL, table_name VARCHAR(64) NOT NULL, `rows` BIGINT NOT NULL, bytes BIGINT NOT NULL,"
    " after_order BIGINT UNSIGNED NOT NULL, after_token TEXT NOT NULL, whole_table TINYINT(1) NOT NULL, loaded_at" STAMP
    ", PRIMARY KEY (migration, direction, table_id, ordinal)" OURS,
    "CREATE TABLE IF NOT EXISTS midflight.quarantine (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, " PIPE ","
    " schema_name VARCHAR(64) NOT NULL, table_name VARCHAR(64) NOT NULL, `key` LONGTEXT NOT NULL,"
    " column_name VARCHAR(260), reason TEXT NOT NULL, code VARCHAR(16) NOT NULL, `row` LONGTEXT,"
    " position_order BIGINT UNSIGNED NOT NULL, position_token TEXT NOT NULL, kept_at" STAMP
    ", KEY by_row (migration, direction, table_name, `key`(200))" OURS,
    "CREATE TABLE IF NOT EXISTS midflight.triggers (migration VARCHAR(40) NOT NULL, own TINYINT(1) NOT NULL,"
    " schema_name VARCHAR(64) NOT NULL, name VARCHAR(64) NOT NULL, table_name VARCHAR(64) NOT NULL, place INT NOT NULL,"
    " made TINYINT NOT NULL, settings TEXT NOT NULL, text LONGTEXT NOT NULL,"
    " PRIMARY KEY (migration, own, schema_name, name)" OURS,
    "CREATE TABLE IF NOT EXISTS midflight.settings (migration VARCHAR(40) NOT NULL, kind VARCHAR(40) NOT NULL,"
    " object VARCHAR(300) NOT NULL, value LONGTEXT NOT NULL, PRIMARY KEY (migration, kind, object)" OURS,
};

static int count_tables(MYSQL *c, int64_t *ret, struct mf_error *err)
{
    return my_query_i64(
        c, ret, err,
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '" MY_BOOK "' AND"
        " TABLE_NAME IN ('checkpoint', 'heartbeat', 'epoch', 'chunk', 'quarantine', 'triggers', 'settings')");
}

int my_book_exists(MYSQL *c, bool *ret, struct mf_error *err)
{
    int64_t n = 0;
    if (my_query_i64(c, &n, err,
                     "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '" MY_BOOK
                     "' AND TABLE_NAME = 'settings'") < 0) {
        return -1;
    }
    *ret = n > 0;
    return 0;
}

/* Two at once make it one after the other. */
static int make_book(MYSQL *c, struct mf_error *err)
{
    int64_t got = 0;
    if (my_query_i64(c, &got, err, "SELECT GET_LOCK('midflight book', 30)") < 0) {
        return -1;
    }
    if (got != 1) {
        return mf_fail(err, MF_RETRY, "MFTWICE", "another session has been making it for %d s", LOCK_WAIT_S);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < MF_ARRAY_LEN(book_ddl); i++) {
        rc = my_exec(c, err, book_ddl[i]);
    }
    struct mf_error ignored = {0};
    my_exec(c, &ignored, "DO RELEASE_LOCK('midflight book')");
    return rc;
}

int my_prepare(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    int64_t n = 0;
    (void)pipe;
    if (my_lease(l.db, &l.conn, err) < 0 || count_tables(l.conn, &n, err) < 0) {
        return -1;
    }
    if (n == TABLES || make_book(l.conn, err) == 0) {
        return 0;
    }
    mf_error_prefix(err, "making the bookkeeping database \"midflight\" on %s", l.db->facts.host);
    if (my_is_error(err, ER_DBACCESS_DENIED_ERROR) || my_is_error(err, ER_TABLEACCESS_DENIED_ERROR)) {
        mf_hint(err, "GRANT ALL ON midflight.* TO %s", l.db->facts.user);
    }
    return -1;
}

/* ---- reading ---- */

/* A query about one pipe's rows; *ret stays NULL when there is no bookkeeping yet. */
static int query_pipe(MYSQL *c, const struct mf_pipe_id *pipe, const char *select, const char *order, MYSQL_RES **ret,
                      struct mf_error *err)
{
    bool exists = false;
    if (my_book_exists(c, &exists, err) < 0) {
        return -1;
    }
    return exists ? my_queryf(c, ret, err, "%s WHERE migration = '%s' AND direction = '%s'%s", select, pipe->migration,
                              my_direction(pipe->direction), order)
                  : 0;
}

static void take_position(MYSQL_ROW row, unsigned col, struct mf_position *ret)
{
    ret->order = 0;
    mf_parse_u64(row[col] ? row[col] : "", &ret->order);
    mf_strlcpy(ret->token, row[col + 1] ? row[col + 1] : "", sizeof ret->token);
}

int my_checkpoint(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_lease(l.db, &l.conn, err) < 0 ||
        query_pipe(l.conn, pipe, "SELECT position_order, position_token FROM midflight.checkpoint", "", &r, err) < 0) {
        return -1;
    }
    memset(ret, 0, sizeof *ret);
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    if (row) {
        take_position(row, 0, ret);
    }
    return 0;
}

int my_chunks_done(struct mf_db *base, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                   struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_lease(l.db, &l.conn, err) < 0 ||
        query_pipe(l.conn, pipe,
                   "SELECT table_id, ordinal, schema_name, table_name, `rows`, bytes, after_order, after_token,"
                   " whole_table FROM midflight.chunk",
                   " ORDER BY table_id, ordinal", &r, err) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; r && (row = mysql_fetch_row(r));) {
        struct mf_chunk_done d = {.table_id = (uint32_t)my_get_i64(row, 0),
                                  .ordinal = (uint32_t)my_get_i64(row, 1),
                                  .rows = my_get_i64(row, 4),
                                  .bytes = my_get_i64(row, 5),
                                  .whole_table_snapshot = my_get_i64(row, 8) != 0};
        mf_strlcpy(d.schema, row[2], sizeof d.schema);
        mf_strlcpy(d.table, row[3], sizeof d.table);
        take_position(row, 6, &d.after);
        if (emit(ctx, &d, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_quarantine_list(struct mf_db *base, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                       struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_lease(l.db, &l.conn, err) < 0 ||
        query_pipe(l.conn, pipe,
                   "SELECT id, schema_name, table_name, `key`, column_name, reason, code, `row`, position_order,"
                   " position_token FROM midflight.quarantine",
                   " ORDER BY id", &r, err) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; r && (row = mysql_fetch_row(r));) {
        struct mf_quarantined q = {
            .id = my_get_i64(row, 0), .key = row[3], .column = row[4], .reason = row[5], .row = row[7]};
        mf_strlcpy(q.schema, row[1], sizeof q.schema);
        mf_strlcpy(q.table, row[2], sizeof q.table);
        mf_strlcpy(q.code, row[6], sizeof q.code);
        take_position(row, 8, &q.position);
        if (emit(ctx, &q, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_quarantine_drop(struct mf_db *base, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    return my_lease(l.db, &l.conn, err) < 0
               ? -1
               : my_execf(
                     l.conn, err,
                     "DELETE FROM midflight.quarantine WHERE migration = '%s' AND direction = '%s' AND id = %" PRId64,
                     pipe->migration, my_direction(pipe->direction), id);
}

/* ---- writing ---- */

/* A reason may have been cut in the middle of a character, and the server may have quoted bytes that are none. */
static void put_shown(struct mf_buf *b, const char *text)
{
    size_t n = strlen(text), cut = 0;
    while (cut < 4 && cut < n && !mf_utf8_valid(text, n - cut)) {
        cut++;
    }
    if (mf_utf8_valid(text, n - cut)) {
        my_put_literal_n(b, text, n - cut);
        return;
    }
    mf_buf_puts(b, "CONVERT(CONVERT(");
    my_put_hex(b, text, n);
    mf_buf_puts(b, " USING latin1) USING utf8mb4)");
}

void my_put_quarantine_insert(struct mf_buf *b, const struct mf_pipe_id *pipe, const struct mf_quarantined *q)
{
    const char *texts[] = {q->schema, q->table, q->key ? q->key : "", q->column, q->reason ? q->reason : "",
                           q->code,   q->row,   q->position.token};
    mf_buf_puts(b, "INSERT INTO midflight.quarantine (position_order, migration, direction, schema_name, table_name,"
                   " `key`, column_name, reason, code, `row`, position_token) VALUES (");
    mf_buf_printf(b, "%" PRIu64 ", '%s', '%s'", q->position.order, pipe->migration, my_direction(pipe->direction));
    for (size_t i = 0; i < MF_ARRAY_LEN(texts); i++) {
        mf_buf_puts(b, ", ");
        if (texts[i]) {
            put_shown(b, texts[i]);
        } else {
            mf_buf_puts(b, "NULL");
        }
    }
    mf_buf_putc(b, ')');
}
