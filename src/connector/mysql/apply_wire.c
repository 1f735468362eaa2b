/*
 * Packets of statements, and their answers.
 *
 * Statements gather in a buffer and go out together, separated by semicolons; the server reads the packet whole, carries them out
 * one by one and stops at the first that fails. For each an expectation waits for its answer. A small window is two round trips: all
 * of it, and the COMMIT, which is sent only when every answer was what it must be.
 *
 * P4: a write that was taken with a warning or a note has changed a value (cut blanks, rounded decimals) or has left something
 * undone. None is harmless, so none passes. What it said can be asked for only after the last statement of a packet; careful mode
 * sends one at a time.
 */
#include "connector/mysql/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

int my_wire_fail(struct my_applier *a, struct mf_error *err)
{
    if (a->failed.cls == MF_OK) {
        a->failed = *err;
    }
    return -1;
}

int my_wire_failed(struct my_applier *a, struct mf_error *err)
{
    if (a->failed.cls == MF_OK) {
        mf_fail(&a->failed, MF_FATAL, "MFBUG", "a failed window has no error");
    }
    *err = a->failed;
    return -1;
}

/* What was being written when something was refused is not sent. */
void my_wire_forgive(struct my_applier *a)
{
    mf_error_clear(&a->failed);
    a->key_taken = false;
    a->sql.failed = false;
    if (a->sql.data) {
        a->sql.len = a->start;
        a->sql.data[a->start] = 0;
    }
}

void my_wire_reset(struct my_applier *a)
{
    mf_error_clear(&a->failed);
    a->key_taken = false;
    a->start = a->count = 0;
    if (a->sql.cap > (32u << 20)) {
        mf_buf_free(&a->sql);
    } else {
        mf_buf_reset(&a->sql);
    }
}

/* ---- errors ---- */

/* "Data too long for column 'v' at row 1", "Column 'v' cannot be null", "… for column `db`.`t`.`v` at row 1" */
void my_take_bad_column(struct my_applier *a, const char *message)
{
    const char *at = strstr(message, "olumn '");
    char quote = '\'';
    if (!at && (at = strstr(message, "olumn `"))) {
        quote = '`';
    }
    if (!at) {
        return;
    }
    const char *name = at + strlen("olumn '"), *end = strchr(name, quote);
    while (quote == '`' && end && end[1] == '.' && end[2] == '`') {
        name = end + 3;
        end = strchr(name, quote);
    }
    size_t n = end ? (size_t)(end - name) : 0;
    if (n > 0 && n < sizeof a->bad_column) {
        memcpy(a->bad_column, name, n);
        a->bad_column[n] = 0;
    }
}

/* "Duplicate entry '1' for key 'PRIMARY'"; from 8.0.19 on 'table.PRIMARY'. */
static bool names_index(const char *message, const char *index)
{
    char quoted[300], dotted[300];
    snprintf(quoted, sizeof quoted, " '%s'", index);
    snprintf(dotted, sizeof dotted, ".%s'", index);
    return *index && (mf_ends_with(message, quoted) || mf_ends_with(message, dotted));
}

static void refused(struct my_applier *a, const struct my_expect *e, struct mf_error *err)
{
    unsigned number = mysql_errno(a->conn);
    const char *message = mysql_error(a->conn);
    my_fail(a->conn, err);
    if (a->failed.cls == MF_OK) {
        a->key_taken = number == ER_DUP_ENTRY && e->shape && names_index(message, e->shape->key_index);
        a->bad_column[0] = 0;
        my_take_bad_column(a, message);
    }
    if (number == ER_CANT_AGGREGATE_2COLLATIONS) { /* a key that its column's character set does not have */
        err->cls = MF_ROW;
    } else if (number == ER_NET_PACKET_TOO_LARGE) {
        err->cls = MF_ROW;
        mf_hint(err, "raise max_allowed_packet on the target (and net_buffer_length with it)");
    }
    if (e->shape) {
        mf_error_prefix(err, "%s %s.%s", e->doing, e->shape->table->schema, e->shape->table->name);
    } else if (e->doing) {
        mf_error_prefix(err, "%s", e->doing);
    }
}

/* A statement was taken, but not as it was meant. Always -1. */
static int warned(struct my_applier *a, const struct my_expect *e, bool last, unsigned n, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    const char *schema = e->shape ? e->shape->table->schema : "", *name = e->shape ? e->shape->table->name : "";
    if (!last) {
        return mf_fail(err, MF_ROW, "MFWARN", "%s %s.%s: the target wrote rows with %u warnings", e->doing, schema,
                       name, n);
    }
    if (my_query(a->conn, &r, err, "SHOW WARNINGS") < 0) {
        return -1;
    }
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    if (!row) {
        return mf_fail(err, MF_ROW, "MFWARN", "%s %s.%s: the target wrote rows with %u warnings and does not say which",
                       e->doing, schema, name, n);
    }
    mf_fail(err, MF_ROW, row[1], "%s %s.%s: the target would change a value: %s (%s %s)", e->doing, schema, name,
            row[2], row[0], row[1]);
    mf_hint(err, "widen the target's column to what the source's is");
    a->bad_column[0] = 0;
    my_take_bad_column(a, row[2]);
    return -1;
}

/* ---- sending ---- */

/* What a packet may be long; the server counts its first byte too. */
static size_t packet_max(const struct my_applier *a)
{
    size_t server = a->packet > 4096 ? (size_t)a->packet - 1024 : 3072;
    return server < MY_ROW_SQL_MAX ? server : MY_ROW_SQL_MAX;
}

size_t my_stmt_bytes(const struct my_applier *a)
{
    size_t most = packet_max(a) / 4;
    return most < MY_STMT_BYTES ? most : MY_STMT_BYTES;
}

static int take_checkpoint(struct my_applier *a, MYSQL_RES *r, struct mf_error *err)
{
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    uint64_t stands = 0;
    if (!row || !row[0] || !row[1] || !mf_parse_u64(row[0], &stands)) {
        return mf_fail(err, MF_FATAL, "MFBOOK", "the checkpoint that was just written is not there");
    }
    a->has_quarantine = row[1][0] != '0';
    if (stands == a->checkpoint.order) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFTWICE", "the target's checkpoint is already past %s: somebody else applies this stream",
            a->checkpoint.token);
    mf_hint(err, "stop every other midflight that runs this migration");
    return -1;
}

static int take_rows(struct my_applier *a, const struct my_expect *e, uint64_t rows, struct mf_error *err)
{
    const struct mf_table *t = e->shape->table;
    if (e->kind == MY_EXPECT_FOUND && rows == 0) {
        const struct mf_missing *m = &a->partial[e->first];
        return mf_result_missing(a->result, m->table, &m->key, err);
    }
    if ((e->kind == MY_EXPECT_ROWS || e->kind == MY_EXPECT_COUNT) && rows != e->want) {
        return mf_fail(err, MF_CONFLICT, "MFMISS", "%s %s.%s: found %llu of the %llu rows to change", e->doing,
                       t->schema, t->name, (unsigned long long)rows, (unsigned long long)e->want);
    }
    if (e->kind == MY_EXPECT_PERHAPS) {
        *e->found = rows > 0;
    }
    if (a->result && e->kind != MY_EXPECT_COUNT) {
        a->result->rows += e->want ? e->want : rows; /* a row written over counts twice there */
    }
    a->answer += rows;
    return 0;
}

static int take(struct my_applier *a, const struct my_expect *e, MYSQL_RES *r, bool last, struct mf_error *err)
{
    unsigned warnings = mysql_warning_count(a->conn);
    uint64_t rows = mysql_affected_rows(a->conn);
    switch (e->kind) {
    case MY_EXPECT_OK:
        return 0;
    case MY_EXPECT_CHECKPOINT:
        return take_checkpoint(a, r, err);
    case MY_EXPECT_COUNT: {
        MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
        return take_rows(a, e, row ? (uint64_t)my_get_i64(row, 0) : 0, err);
    }
    case MY_EXPECT_WRITTEN:
    case MY_EXPECT_ROWS:
    case MY_EXPECT_FOUND:
    case MY_EXPECT_PERHAPS:
        break;
    }
    if (warnings > 0) {
        return warned(a, e, last, warnings, err);
    }
    return take_rows(a, e, rows, err);
}

/* The answer to statement i. *ret_end: no more come. */
static void answer(struct my_applier *a, size_t i, size_t n, bool *ret_end)
{
    struct mf_error err = {0};
    int more = i == 0 ? mysql_read_query_result(a->conn) : mysql_next_result(a->conn);
    MYSQL_RES *r = more == 0 ? mysql_store_result(a->conn) : NULL;
    *ret_end = true;
    if (i > 0 && more < 0) {
        mf_fail(&err, MF_FATAL, "MFBUG", "the server answered %zu of %zu statements", i, n);
        my_wire_fail(a, &err);
    } else if (more != 0 || (!r && mysql_field_count(a->conn) > 0)) {
        refused(a, &a->queue[i], &err);
        my_wire_fail(a, &err);
    } else {
        bool last = !mysql_more_results(a->conn);
        *ret_end = last && i + 1 == n;
        if (a->failed.cls == MF_OK && take(a, &a->queue[i], r, last, &err) < 0) {
            my_wire_fail(a, &err);
        }
    }
    if (r) {
        mysql_free_result(r);
    }
}

/* Everything before a->start, whose text is in the server's hands when this returns. What is being made moves to the front. */
static void put_out(struct my_applier *a)
{
    struct mf_error e = {0};
    size_t len = a->start;
    a->flying = a->count;
    if (a->count > 0 && mysql_send_query(a->conn, a->sql.data, len) != 0) {
        refused(a, &a->queue[0], &e);
        my_wire_fail(a, &e);
        a->flying = 0;
    }
    if (a->sql.data) {
        a->sql.len -= len;
        memmove(a->sql.data, a->sql.data + len, a->sql.len + 1);
    }
    a->start = a->count = 0;
}

int my_wire_settle(struct my_applier *a, struct mf_error *err)
{
    size_t n = a->flying;
    bool end = n == 0;
    a->flying = 0;
    for (size_t i = 0; !end; i++) {
        if (i == n) {
            struct mf_error e = {0};
            mf_fail(&e, MF_FATAL, "MFBUG", "the server answered more than %zu statements", n);
            my_wire_fail(a, &e);
            break;
        }
        answer(a, i, n, &end);
    }
    return a->failed.cls == MF_OK ? 0 : my_wire_failed(a, err);
}

static int send(struct my_applier *a, struct mf_error *err)
{
    if (my_wire_settle(a, err) < 0) {
        return -1;
    }
    put_out(a);
    return my_wire_settle(a, err);
}

int my_wire_go(struct my_applier *a, struct mf_error *err)
{
    if (a->failed.cls != MF_OK || my_wire_settle(a, err) < 0) {
        return my_wire_failed(a, err);
    }
    put_out(a);
    return a->failed.cls == MF_OK ? 0 : my_wire_failed(a, err);
}

static int too_long(struct my_applier *a, const struct my_expect *e, size_t n, struct mf_error *err)
{
    const struct mf_table *t = e->shape ? e->shape->table : NULL;
    mf_fail(err, MF_ROW, "MFPACKET",
            "%s%s%s%s%s: a single row makes a statement of %zu bytes, and the target takes %zu", e->doing, t ? " " : "",
            t ? t->schema : "", t ? "." : "", t ? t->name : "", n, packet_max(a));
    mf_hint(
        err,
        "SET GLOBAL max_allowed_packet = %zu on the target (1 GB is the most there can be), and start midflight again",
        n < MY_ROW_SQL_MAX ? (n / (16u << 20) + 1) * (16u << 20) : MY_ROW_SQL_MAX);
    return my_wire_fail(a, err);
}

int my_wire_end(struct my_applier *a, const struct my_expect *e, struct mf_error *err)
{
    if (a->failed.cls != MF_OK) {
        return my_wire_failed(a, err);
    }
    if (!mf_buf_ok(&a->sql) || a->sql.len - a->start + 1 > packet_max(a)) {
        return too_long(a, e, a->sql.len - a->start, err);
    }
    if ((a->flying > 0 && my_wire_settle(a, err) < 0) ||
        (a->start > 0 && a->sql.len + 1 > packet_max(a) && send(a, err) < 0)) {
        return -1;
    }
    if (a->count == a->cap) {
        a->cap = a->cap ? a->cap * 2 : 64;
        a->queue = mf_xreallocarray(a->queue, a->cap, sizeof *a->queue);
    }
    a->queue[a->count++] = *e;
    mf_buf_putc(&a->sql, ';');
    a->start = a->sql.len;
    return a->sql.len > MY_FLUSH_BYTES || a->count >= MY_FLUSH_STMTS ? my_wire_flush(a, err) : 0;
}

int my_wire_sql(struct my_applier *a, const char *sql, const struct my_expect *e, struct mf_error *err)
{
    mf_buf_puts(&a->sql, sql);
    return my_wire_end(a, e, err);
}

int my_wire_flush(struct my_applier *a, struct mf_error *err)
{
    if (a->failed.cls != MF_OK) {
        return my_wire_failed(a, err);
    }
    if (a->sql.len > a->start) {
        mf_fail(err, MF_FATAL, "MFBUG", "a statement has no end");
        return my_wire_fail(a, err);
    }
    int rc = a->count > 0 ? send(a, err) : my_wire_settle(a, err);
    if (a->sql.cap > (32u << 20)) {
        mf_buf_free(&a->sql);
    }
    return rc;
}
