/*
 * Rows one by one from a reader's session, as the server sends them: never more than one in memory.
 *
 * A result that breaks off looks like one that ends: mysql_fetch_row gives NULL for both. So whoever sees NULL asks for the error
 * too, here and nowhere else.
 *
 * Texts are converted to UTF-8 by the server, which puts a question mark where a character has no equivalent, and says nothing.
 * Of columns in such a character set the server is asked whether the text, converted back, is what it has.
 */
#include "connector/mysql/reader.h"

#include "base/mem.h"
#include "base/str.h"

#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>

bool my_charset_lossy(const char *charset)
{
    static const char *const whole[] = {"",     "utf8mb4", "utf8mb3", "utf8",  "latin1",
                                        "ucs2", "utf16",   "utf16le", "utf32", "binary"};
    for (size_t i = 0; i < MF_ARRAY_LEN(whole); i++) {
        if (strcmp(charset, whole[i]) == 0) {
            return false;
        }
    }
    return true;
}

static void put_lossless(struct mf_buf *b, const char *name, const char *charset)
{
    mf_buf_printf(b, "IFNULL(CAST(CONVERT(CONVERT(%s USING utf8mb4) USING %s) AS BINARY) = CAST(%s AS BINARY), 1)",
                  name, charset, name);
}

void my_put_columns(struct my_reader *r, struct mf_buf *b, const struct mf_table *t)
{
    MF_CLEANUP_BUF struct mf_buf check = {.max = MY_SQL_MAX}, name = {.max = 1024};
    bool first = true;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (t->columns[i].generated) {
            continue;
        }
        mf_buf_reset(&name);
        my_put_ident(&name, t->columns[i].name);
        mf_buf_puts(b, first ? "" : ", ");
        my_put_read(b, &r->types[i], mf_buf_str(&name));
        first = false;
        if (my_charset_lossy(r->types[i].charset)) {
            mf_buf_puts(&check, check.len ? " AND " : ", ");
            put_lossless(&check, mf_buf_str(&name), r->types[i].charset);
        }
    }
    mf_buf_puts(b, first ? "1" : ""); /* all are generated: there still are rows */
    r->lossy = check.len > 0;
    mf_buf_puts(b, mf_buf_str(&check));
}

int my_rows_start(struct my_reader *r, struct mf_buf *sql, struct mf_error *err)
{
    if (!mf_buf_ok(sql)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a statement is longer than %zu bytes", sql->max);
    }
    if (mysql_real_query(r->conn, mf_buf_str(sql), sql->len) != 0) {
        return my_fail(r->conn, err);
    }
    r->rows = mysql_use_result(r->conn);
    return r->rows ? 0 : my_fail(r->conn, err);
}

int my_rows_fetch(struct my_reader *r, MYSQL_ROW *ret, unsigned long **ret_lengths, struct mf_error *err)
{
    MYSQL_ROW row = mysql_fetch_row(r->rows);
    *ret = row;
    if (row) {
        *ret_lengths = mysql_fetch_lengths(r->rows);
        return 0;
    }
    bool broken = mysql_errno(r->conn) != 0;
    if (broken) {
        my_fail(r->conn, err);
    }
    mysql_free_result(r->rows);
    r->rows = NULL;
    return broken ? -1 : 0;
}

int my_row_whole(const struct my_reader *r, MYSQL_ROW row, const struct mf_table *t, struct mf_error *err)
{
    const char *verdict = r->lossy ? row[mysql_num_fields(r->rows) - 1] : "1";
    if (verdict && strcmp(verdict, "1") == 0) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFCHARSET",
            "table %s.%s has a text with a character that exists only in its own character set: it cannot be read as "
            "Unicode",
            t->schema, t->name);
    mf_hint(
        err,
        "find such rows with CONVERT(CONVERT(column USING utf8mb4) USING its character set) <> column, and mend them "
        "or leave the table out (tables.exclude)");
    return -1;
}

/* ---- as values ---- */

static void fill(struct my_reader *r, const struct mf_table *t, MYSQL_ROW row, const unsigned long *lengths,
                 struct mf_value *values)
{
    for (unsigned i = 0, at = 0; i < t->ncolumns; i++) {
        if (t->columns[i].generated) { /* does not travel */
            values[i] = (struct mf_value){.kind = MF_UNCHANGED};
            continue;
        }
        values[i] = (struct mf_value){.kind = MF_NULL};
        if (row[at]) {
            values[i] = (struct mf_value){.kind = my_type_is_binary(&r->types[i]) ? MF_BINARY : MF_TEXT,
                                          .len = (uint32_t)lengths[at],
                                          .data = row[at]};
        }
        at++;
    }
}

static int emit_rows(struct my_reader *r, const struct mf_table *t, struct mf_buf *sql, mf_row_sink *emit, void *ctx,
                     struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_value *values = mf_xcalloc(t->ncolumns + 1u, sizeof *values);
    struct mf_row out = {.n = t->ncolumns, .values = values};
    MYSQL_ROW row;
    unsigned long *lengths;
    if (my_rows_start(r, sql, err) < 0) {
        return my_read_failed(r, t, err);
    }
    for (;;) {
        if (my_rows_fetch(r, &row, &lengths, err) < 0) {
            return my_read_failed(r, t, err);
        }
        if (!row) {
            return 0;
        }
        if (my_row_whole(r, row, t, err) < 0) {
            return -1;
        }
        fill(r, t, row, lengths, values);
        if (emit(ctx, &out, err) < 0) {
            return -1;
        }
    }
}

static int finish(struct my_reader *r, int rc, struct mf_position *ret_after, struct mf_error *err)
{
    if (rc < 0) {
        my_work_abort(r);
        return -1;
    }
    if (my_work_end(r, err) < 0) {
        return -1;
    }
    *ret_after = r->after;
    return 0;
}

int my_chunk_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                  void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct my_reader *r = my_reader_of(base);
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    if (my_work_begin(r, t, MY_SHAPE_ANY, true, err) < 0) {
        return -1;
    }
    mf_buf_puts(&b, "SELECT ");
    my_put_columns(r, &b, t);
    int rc = my_put_from(r, &b, t, c, err) < 0 ? -1 : emit_rows(r, t, &b, emit, ctx, err);
    return finish(r, rc, ret_after, err);
}

/* The rows of the keys from *at on up to n, or of as many of them as one statement takes. */
static int read_some(struct my_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n, size_t *at,
                     mf_row_sink *emit, void *ctx, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    mf_buf_puts(&b, "SELECT ");
    my_put_columns(r, &b, t);
    mf_buf_puts(&b, " FROM ");
    my_put_table(&b, t);
    return my_put_keys(&b, t, r->types, keys, n, at, err) < 0 ? -1 : emit_rows(r, t, &b, emit, ctx, err);
}

/* A key with a character that the column's character set has not is refused by the server before it looks: such a row is not there. The keys
 * beside it are asked for one by one. */
static int read_all(struct my_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n,
                    mf_row_sink *emit, void *ctx, struct mf_error *err)
{
    for (size_t at = 0, single_to = 0; at < n;) {
        size_t from = at;
        if (read_some(r, t, keys, from < single_to ? from + 1 : n, &at, emit, ctx, err) == 0) {
            continue;
        }
        if (!my_is_error(err, ER_CANT_AGGREGATE_2COLLATIONS)) {
            return -1;
        }
        mf_error_clear(err);
        if (at - from > 1) {
            single_to = at;
            at = from;
        }
    }
    return 0;
}

int my_read_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_row *keys, size_t n,
                 mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct my_reader *r = my_reader_of(base);
    if (t->identity != MF_IDENTITY_KEY || t->nkey == 0) {
        return mf_fail(err, MF_FATAL, "MFUNSUP", "table %s.%s has no key to read rows by", t->schema, t->name);
    }
    if (my_work_begin(r, t, MY_SHAPE_ANY, true, err) < 0) {
        return -1;
    }
    return finish(r, read_all(r, t, keys, n, emit, ctx, err), ret_after, err);
}
