/*
 * What the data and the server's statistics say of a table's use, for a plan: which statements read it, and how many rows share a key.
 *
 * There is no sampling of pages here: of a table larger than the sample its first rows are read, in the order of its key, and what they have is the least there is.
 */
#include "connector/mysql/mysql_room.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/connect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOO_LONG_MYSQL   3024
#define TOO_LONG_MARIADB 1969
#define ANSWER_MS        10000 /* beyond the bound the server keeps */

/* ---- statements ---- */

int my_statements(struct mf_db *base, int64_t most, mf_statement_sink *emit, void *ctx, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MY_LEASE(my_db_of(base), l);
    char on[16] = "";
    if (my_lease(l.db, &l.conn, err) < 0 ||
        my_query_text(l.conn, on, sizeof on, err, "SELECT @@GLOBAL.performance_schema") < 0) {
        return -1;
    }
    if (!mf_streq(on, "1")) {
        return mf_fail(err, MF_FATAL, "MFUNSUP",
                       "performance_schema is off on the source, so the statements that are asked are not known");
    }
    /* A text that was cut ends with dots; so does a list of values. */
    if (my_queryf(
            l.conn, &r, err,
            "SELECT SCHEMA_NAME, DIGEST_TEXT, COUNT_STAR FROM performance_schema.events_statements_summary_by_digest"
            " WHERE SCHEMA_NAME IS NOT NULL AND DIGEST_TEXT LIKE 'SELECT %%'"
            " AND (DIGEST_TEXT NOT LIKE '%%...' OR DIGEST_TEXT LIKE '%%LIMIT ?, ...')"
            " ORDER BY COUNT_STAR DESC, DIGEST LIMIT %" PRId64,
            most) < 0) {
        if (my_is_error(err, 1142) || my_is_error(err, 1227)) { /* not for us */
            mf_error_prefix(err, "performance_schema cannot be read");
            mf_strlcpy(err->code, "MFUNSUP", sizeof err->code);
        }
        return -1;
    }
    for (MYSQL_ROW x; r && (x = mysql_fetch_row(r));) {
        const struct mf_statement s = {x[1], strlen(x[1]), x[0], my_get_i64(x, 2)};
        if (emit(ctx, &s, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- rows by key ---- */

static void put_lacks(struct mf_buf *b, const struct mf_key_sizes_job *job)
{
    mf_buf_putc(b, '(');
    for (unsigned i = 0; i < (unsigned)job->n + job->nmore; i++) {
        mf_buf_puts(b, i ? " OR " : "");
        my_put_ident(b, job->columns[i]);
        mf_buf_puts(b, " IS NULL");
    }
    mf_buf_puts(b, job->n + job->nmore ? ")" : "FALSE)");
}

/* "LENGTH(a) + …" of all columns, and of how many rows the sample is made (-1: all). */
static int look_at_table(MYSQL *c, const struct mf_key_sizes_job *job, struct mf_buf *length, int64_t *ret_limit,
                         double *ret_part, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *columns = NULL, *size = NULL;
    MF_CLEANUP_BUF struct mf_buf name = {.max = 4096};
    my_put_literal(&name, job->schema);
    mf_buf_puts(&name, " AND TABLE_NAME = ");
    my_put_literal(&name, job->table);
    if (my_queryf(c, &columns, err, "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s",
                  mf_buf_str(&name)) < 0 ||
        my_queryf(c, &size, err,
                  "SELECT DATA_LENGTH, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s",
                  mf_buf_str(&name)) < 0) {
        return -1;
    }
    mf_buf_puts(length, "0");
    for (MYSQL_ROW x; (x = mysql_fetch_row(columns));) {
        mf_buf_puts(length, " + COALESCE(LENGTH(");
        my_put_ident(length, x[0]);
        mf_buf_puts(length, "), 0)");
    }
    MYSQL_ROW x = mysql_fetch_row(size);
    int64_t bytes = x ? my_get_i64(x, 0) : 0, rows = x ? my_get_i64(x, 1) : 0;
    *ret_part = bytes > job->sample_bytes ? (double)job->sample_bytes / (double)bytes : 1;
    *ret_limit = *ret_part < 1 && rows > 0 ? 1 + (int64_t)((double)rows * *ret_part) : -1;
    *ret_part = *ret_limit < 0 ? 1 : *ret_part;
    return 0;
}

/* One row for each number of rows that values have: so many values have it, the largest of them, its days, and what lacks a key. */
static int ask_sizes(MYSQL *c, const struct mf_key_sizes_job *job, const struct mf_buf *length, int64_t limit,
                     MYSQL_RES **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20}, lacks = {.max = 1 << 16};
    put_lacks(&lacks, job);
    mf_buf_printf(&b,
                  "SELECT n, COUNT(*), MAX(b), MAX(days), SUM(z) FROM (SELECT SUM(NOT %s) AS n, SUM(%s) AS z, "
                  "SUM(IF(%s, 0, %s)) AS b, ",
                  mf_buf_str(&lacks), mf_buf_str(&lacks), mf_buf_str(&lacks), mf_buf_str(length));
    if (job->moment) {
        mf_buf_puts(&b, "COALESCE(TIMESTAMPDIFF(SECOND, MIN(");
        my_put_ident(&b, job->moment);
        mf_buf_puts(&b, "), MAX(");
        my_put_ident(&b, job->moment);
        mf_buf_puts(&b, ")), 0) / 86400");
    } else {
        mf_buf_putc(&b, '0');
    }
    mf_buf_puts(&b, limit < 0 ? " AS days FROM " : " AS days FROM (SELECT * FROM ");
    my_put_name(&b, job->schema, job->table);
    if (limit >= 0) {
        mf_buf_printf(&b, " LIMIT %" PRId64 ") t", limit);
    }
    for (uint16_t i = 0; i < job->n; i++) {
        mf_buf_puts(&b, i ? ", " : " GROUP BY ");
        my_put_ident(&b, job->columns[i]);
    }
    mf_buf_puts(&b, ") g GROUP BY n ORDER BY n");
    return mf_buf_ok(&b) ? my_query(c, ret, err, mf_buf_str(&b))
                         : mf_fail(err, MF_FATAL, "MFBIG", "the statement to measure table %s.%s is too long",
                                   job->schema, job->table);
}

static void sum_up(MYSQL_RES *r, struct mf_key_sizes *s)
{
    for (MYSQL_ROW x; (x = mysql_fetch_row(r));) {
        int64_t n = my_get_i64(x, 0), keys = my_get_i64(x, 1), bytes = my_get_i64(x, 2);
        s->nulls += my_get_i64(x, 4);
        s->rows += my_get_i64(x, 4) + n * keys;
        s->keys += n > 0 ? keys : 0;
        s->max_bytes = n > 0 && bytes > s->max_bytes ? bytes : s->max_bytes;
        if (n > 0) {
            s->max_rows = n;
            s->days = x[3] ? strtod(x[3], NULL) : 0;
        }
    }
    int64_t seen = 0;
    mysql_data_seek(r, 0);
    for (MYSQL_ROW x; seen * 100 < s->keys * 99 && (x = mysql_fetch_row(r));) {
        s->p99_rows = my_get_i64(x, 0);
        seen += s->p99_rows > 0 ? my_get_i64(x, 1) : 0;
    }
}

int my_key_sizes(struct mf_db *base, const struct mf_key_sizes_job *job, struct mf_key_sizes *ret, struct mf_error *err)
{
    MY_CLEANUP_CONN MYSQL *c = NULL;
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf length = {.max = 1 << 19};
    struct mf_key_sizes s = {.p99_bytes = -1};
    int64_t limit;
    if (my_connect(my_db_of(base), "plan", &c, err) < 0) {
        return -1;
    }
    my_set_timeout(c, (int)job->timeout_ms + ANSWER_MS);
    int rc = my_db_of(base)->mariadb
                 ? my_execf(c, err, "SET SESSION max_statement_time = %g", (double)job->timeout_ms / 1000)
                 : my_execf(c, err, "SET SESSION max_execution_time = %d", (int)job->timeout_ms);
    if (rc < 0 || look_at_table(c, job, &length, &limit, &s.part, err) < 0) {
        return -1;
    }
    if (ask_sizes(c, job, &length, limit, &r, err) < 0) {
        if (my_is_error(err, TOO_LONG_MYSQL) || my_is_error(err, TOO_LONG_MARIADB)) {
            err->cls = MF_ABANDONED;
        }
        return -1;
    }
    sum_up(r, &s);
    *ret = s;
    return 0;
}
