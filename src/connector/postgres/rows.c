/* Rows one by one as text values: a chunk's, or those with given keys. Bounded memory: one row at a time. */
#include "connector/postgres/reader.h"

#include "base/mem.h"
#include "connector/postgres/rows.h"

#include <stdlib.h>
#include <string.h>

int pg_each_row(struct pg_reader *r, const char *sql, int (*take)(void *ctx, const PGresult *row, struct mf_error *err),
                void *ctx, struct mf_error *err)
{
    if (!PQsendQuery(r->conn, sql)) {
        return pg_fail_conn(r->conn, err);
    }
    PQsetSingleRowMode(r->conn);
    for (PGresult *res; (res = PQgetResult(r->conn));) {
        int rc = 0;
        if (PQresultStatus(res) == PGRES_SINGLE_TUPLE) {
            rc = take(ctx, res, err);
        } else if (PQresultStatus(res) != PGRES_TUPLES_OK) {
            rc = pg_fail_result(r->conn, res, err);
        }
        PQclear(res);
        if (rc < 0) {
            return -1; /* pg_work_abort gets rid of the rest */
        }
    }
    return 0;
}

/* ---- as values ---- */

struct sink {
    const struct mf_table *t;
    struct mf_value *values;
    mf_row_sink *emit;
    void *ctx;
};

void pg_row_values(const PGresult *row, int first, int n, struct mf_value *values)
{
    for (int i = 0; i < n; i++) {
        values[i] = (struct mf_value){.kind = MF_NULL};
        if (!PQgetisnull(row, 0, first + i)) {
            values[i] = (struct mf_value){.kind = MF_TEXT,
                                          .len = (uint32_t)PQgetlength(row, 0, first + i),
                                          .data = PQgetvalue(row, 0, first + i)};
        }
    }
}

/* One value for each column of the table: a generated one, which does not travel, is MF_UNCHANGED. */
static int take_row(void *ctx, const PGresult *res, struct mf_error *err)
{
    struct sink *s = ctx;
    for (int i = 0, at = 0; i < s->t->ncolumns; i++) {
        if (s->t->columns[i].generated) {
            s->values[i] = (struct mf_value){.kind = MF_UNCHANGED};
        } else {
            pg_row_values(res, at++, 1, &s->values[i]);
        }
    }
    struct mf_row row = {.n = s->t->ncolumns, .values = s->values};
    return s->emit(s->ctx, &row, err);
}

static int emit_rows(struct pg_reader *r, struct sink *s, const char *sql, struct mf_error *err)
{
    if (pg_each_row(r, sql, take_row, s, err) == 0) {
        return 0;
    }
    pg_work_abort(r);
    return pg_read_failed(r, s->t, err);
}

int pg_chunk_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                  void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct pg_reader *r = pg_reader_of(base);
    MF_CLEANUP_FREE struct mf_value *values = mf_xcalloc((size_t)t->ncolumns + 1, sizeof *values);
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    struct sink s = {.t = t, .values = values, .emit = emit, .ctx = ctx};
    mf_buf_puts(&b, "SELECT ");
    pg_put_columns(&b, t);
    mf_buf_puts(&b, " FROM ONLY ");
    pg_put_table(&b, t);
    if (pg_put_range(r, &b, t, c, err) < 0 || !pg_sql(&b, err) ||
        pg_work_begin(r, t, PG_SHAPE_ANY, !c->by_heap && (c->has_lower || c->has_upper), err) < 0 ||
        emit_rows(r, &s, mf_buf_str(&b), err) < 0 || pg_work_end_durable(r, err) < 0) {
        return -1;
    }
    *ret_after = r->after;
    return 0;
}

int pg_read_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_row *keys, size_t n,
                 mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct pg_reader *r = pg_reader_of(base);
    MF_CLEANUP_FREE struct mf_value *values = mf_xcalloc((size_t)t->ncolumns + 1, sizeof *values);
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    struct sink s = {.t = t, .values = values, .emit = emit, .ctx = ctx};
    if (t->identity != MF_IDENTITY_KEY || t->nkey == 0) {
        return mf_fail(err, MF_FATAL, "MFUNSUP", "table %s.%s has no key to read rows by", t->schema, t->name);
    }
    if (pg_work_begin(r, t, PG_SHAPE_ANY, false, err) < 0) {
        return -1;
    }
    for (size_t at = 0; at < n;) {
        mf_buf_reset(&b);
        mf_buf_puts(&b, "SELECT ");
        pg_put_columns(&b, t);
        mf_buf_puts(&b, " FROM ONLY ");
        pg_put_table(&b, t);
        if (pg_put_keys(r, &b, t, keys, n, &at, err) < 0) {
            pg_work_abort(r);
            return -1;
        }
        if (emit_rows(r, &s, mf_buf_str(&b), err) < 0) {
            return -1;
        }
    }
    if (pg_work_end_durable(r, err) < 0) {
        return -1;
    }
    *ret_after = r->after;
    return 0;
}
