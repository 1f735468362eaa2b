/*
 * Rows too large to be held.
 *
 * libpq gives a row of COPY whole: a value of 200 MB takes twice that here, for each worker. So rows whose values come to
 * more than PG_WIDE_ROW_BYTES are found first (by lengths that the server knows without reading the values), left out of
 * the chunk's COPY, and written after its last row by ourselves, in COPY's own form: each column's wire bytes, made by the
 * type's send function on the server and fetched in slices. The snapshot is the same, so each row is there exactly once.
 *
 * A slice is cut from a value that the server has made once: the sub-select with OFFSET 0 is not merged into the join, and its
 * one row is the join's outer side.
 *
 * COPY BINARY ends with a trailer of two bytes, which must come after our rows: it is kept back.
 */
#include "connector/postgres/wide.h"

#include "connector/postgres/reader.h"
#include "connector/postgres/wire.h"

#include <string.h>

#define SLICE_BYTES (1 << 20)
#define PIECE_BYTES (96u << 10)
#define LOOK_BYTES  1000000 /* on disk: a value of another type is measured when it has more than this */

void pg_wide_forget(struct pg_wide *w)
{
    PQclear(w->rows);
    PQclear(w->sends);
    *w = (struct pg_wide){0};
}

int64_t pg_wide_rows(const struct pg_wide *w)
{
    return w->on ? PQntuples(w->rows) : 0;
}

/* ---- finding them ---- */

/* Built-in types without long values. */
static bool always_short(uint32_t type)
{
    static const uint32_t types[] = {16,   18,   19,   20,   21,   23,   26,   27,   28,   29,  600,  601,
                                     603,  628,  700,  701,  718,  774,  790,  829,  869,  650, 1082, 1083,
                                     1114, 1184, 1186, 1266, 1560, 1700, 2205, 2206, 2950, 3220};
    for (size_t i = 0; i < MF_ARRAY_LEN(types); i++) {
        if (types[i] == type) {
            return true;
        }
    }
    return false;
}

/* An expression for the row's length, or false when it cannot be long. */
static bool put_length(struct mf_buf *b, const struct mf_table *t)
{
    bool any = false;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const struct mf_column *c = &t->columns[i];
        if (c->generated || always_short(c->type_id) || (c->type_mod > 0 && c->type_mod < 100000)) {
            continue;
        }
        MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
        pg_put_ident(&name, c->name);
        const char *n = mf_buf_str(&name);
        mf_buf_puts(b, any ? " + " : "");
        if (c->type_id == 17 || c->type_id == 25 ||
            c->type_id == 1043) { /* bytea, text, varchar: without reading them */
            mf_buf_printf(b, "coalesce(octet_length(%s), 0)::bigint", n);
        } else {
            mf_buf_printf(b, "CASE WHEN pg_column_size(%s) > %d THEN octet_length(concat(%s)) ELSE 0 END::bigint", n,
                          LOOK_BYTES, n);
        }
        any = true;
    }
    return any;
}

static int query_sends(struct pg_reader *r, struct pg_wide *w, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096}, name = {.max = 2048};
    pg_put_table(&name, w->t);
    mf_buf_puts(&b, "SELECT t.typsend::regproc FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
                    "WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ");
    pg_put_literal(&b, mf_buf_str(&name));
    mf_buf_puts(&b, "::regclass ORDER BY a.attnum");
    if (pg_query(r->conn, &w->sends, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    if (PQntuples(w->sends) != w->t->ncolumns) {
        return mf_fail(err, MF_FATAL, "MFSHAPE", "table %s.%s has another number of columns", w->t->schema, w->t->name);
    }
    return 0;
}

int pg_wide_find(struct pg_reader *r, const struct mf_table *t, const char *range, struct mf_error *err)
{
    struct pg_wide *w = &r->wide;
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX}, length = {.max = PG_SQL_MAX};
    pg_wide_forget(w);
    if (r->toast_bytes < PG_WIDE_TOAST_MIN || !put_length(&length, t)) {
        return 0;
    }
    mf_buf_puts(&b, "SELECT ctid FROM ONLY ");
    pg_put_table(&b, t);
    mf_buf_printf(&b, "%s %s (%s) > %d", range, *range ? "AND" : "WHERE", mf_buf_str(&length), PG_WIDE_ROW_BYTES);
    if (!pg_sql(&b, err) || pg_query(r->conn, &w->rows, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    w->t = t;
    w->binary = pg_table_binary_ok(t);
    w->on = PQntuples(w->rows) > 0;
    return w->on ? query_sends(r, w, err) : 0;
}

void pg_wide_put_exclusion(struct mf_buf *b, const struct pg_wide *w, bool first)
{
    mf_buf_puts(b, first ? " WHERE ctid <> ALL ('{" : " AND ctid <> ALL ('{");
    for (int i = 0; i < PQntuples(w->rows); i++) {
        mf_buf_printf(b, "%s\"%s\"", i ? "," : "", PQgetvalue(w->rows, i, 0));
    }
    mf_buf_puts(b, "}'::tid[])");
}

/* ---- the trailer ---- */

void pg_wide_keep(struct pg_wide *w, struct mf_buf *batch)
{
    if (w->on && w->binary && batch->len >= 2) {
        memcpy(w->kept, batch->data + batch->len - 2, 2);
        w->nkept = 2;
        batch->len -= 2;
    }
}

int pg_wide_take(struct pg_wide *w, struct mf_buf *batch)
{
    int rc = w->nkept ? mf_buf_append(batch, w->kept, w->nkept) : 0;
    w->nkept = 0;
    return rc;
}

/* ---- writing them ---- */

static int begin_column(struct pg_reader *r, struct pg_wide *w, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX}, name = {.max = 1024};
    pg_put_ident(&name, w->t->columns[w->column].name);
    mf_buf_printf(&b, "SELECT octet_length(v), substring(v FROM g FOR %d) FROM (SELECT ", SLICE_BYTES);
    if (w->binary) {
        mf_buf_printf(&b, "%s(%s)", PQgetvalue(w->sends, w->column, 0), mf_buf_str(&name));
    } else {
        mf_buf_printf(&b, "textsend(CASE WHEN %s IS DISTINCT FROM NULL THEN concat(%s) END)", mf_buf_str(&name),
                      mf_buf_str(&name));
    }
    mf_buf_puts(&b, " AS v FROM ONLY ");
    pg_put_table(&b, w->t);
    mf_buf_printf(
        &b, " WHERE ctid = '%s'::tid OFFSET 0) s LEFT JOIN LATERAL generate_series(1, octet_length(v), %d) g ON true",
        PQgetvalue(w->rows, w->row, 0), SLICE_BYTES);
    if (!pg_sql(&b, err)) {
        return -1;
    }
    if (!PQsendQueryParams(r->conn, mf_buf_str(&b), 0, NULL, NULL, NULL, NULL, 1)) {
        return pg_fail_conn(r->conn, err);
    }
    PQsetSingleRowMode(r->conn);
    w->querying = true;
    w->begun = false;
    return 0;
}

/* COPY's text form: a backslash before what would end a value, a row, or be taken for one. */
static void put_escaped(struct mf_buf *b, const char *p, size_t n)
{
    static const char names[] = "\b\f\n\r\t\v\\", letters[] = "bfnrtv\\";
    for (size_t from = 0, i = 0; i <= n; i++) {
        const char *hit = i < n && p[i] ? strchr(names, p[i]) : NULL;
        if (hit || i == n) {
            mf_buf_append(b, p + from, i - from);
            from = i + 1;
        }
        if (hit) {
            mf_buf_putc(b, '\\');
            mf_buf_putc(b, letters[hit - names]);
        }
    }
}

static void put_slice(struct pg_wide *w, const PGresult *res, struct mf_buf *batch)
{
    bool null = PQgetisnull(res, 0, 0);
    if (!w->begun) {
        if (w->binary) {
            mf_buf_put_u32be(batch, null ? UINT32_MAX : mf_get_u32be(PQgetvalue(res, 0, 0)));
        } else if (null) {
            mf_buf_puts(batch, "\\N");
        }
        w->begun = true;
    }
    if (PQgetisnull(res, 0, 1)) {
        return;
    }
    if (w->binary) {
        mf_buf_append(batch, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
    } else {
        put_escaped(batch, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
    }
}

static uint16_t travelling(const struct mf_table *t, uint16_t from, uint16_t *ret_next)
{
    uint16_t n = 0;
    *ret_next = t->ncolumns;
    for (uint16_t i = t->ncolumns; i-- > from;) {
        if (!t->columns[i].generated) {
            n++;
            *ret_next = i;
        }
    }
    return n;
}

static void end_column(struct pg_wide *w, struct mf_buf *batch)
{
    uint16_t next;
    w->querying = false;
    travelling(w->t, (uint16_t)(w->column + 1), &next);
    bool last = next == w->t->ncolumns;
    if (!w->binary) {
        mf_buf_putc(batch, last ? '\n' : '\t');
    }
    w->column = last ? 0 : next;
    w->row += last;
}

/* The first column of a row: in the binary form, its number of columns stands before it. */
static void begin_row(struct pg_wide *w, struct mf_buf *batch)
{
    uint16_t first, n = travelling(w->t, 0, &first);
    if (w->column <= first) {
        w->column = first;
        if (w->binary) {
            mf_buf_put_u16be(batch, n);
        }
    }
}

/* One step: a query is begun, or a slice is taken from it. */
static int step(struct pg_reader *r, struct pg_wide *w, struct mf_buf *batch, struct mf_error *err)
{
    if (!w->querying) {
        begin_row(w, batch);
        return begin_column(r, w, err);
    }
    PG_CLEANUP_RESULT PGresult *res = PQgetResult(r->conn);
    if (PQresultStatus(res) == PGRES_SINGLE_TUPLE) {
        put_slice(w, res, batch);
        return 0;
    }
    if (PQresultStatus(res) != PGRES_TUPLES_OK) {
        return pg_fail_result(r->conn, res, err);
    }
    if (!w->begun) {
        return mf_fail(err, MF_RETRY, "MFREWRITTEN", "a row of table %s.%s was not there a second time", w->t->schema,
                       w->t->name);
    }
    end_column(w, batch);
    return pg_drain(r->conn, err);
}

int pg_wide_read(struct pg_reader *r, struct mf_buf *batch, struct mf_error *err)
{
    struct pg_wide *w = &r->wide;
    while (w->on && batch->len < PIECE_BYTES) {
        if (w->row == PQntuples(w->rows)) {
            if (w->binary) {
                mf_buf_put_u16be(batch, UINT16_MAX);
            }
            r->rows += pg_wide_rows(w);
            w->on = false;
        } else if (step(r, w, batch, err) < 0) {
            return -1;
        }
    }
    return mf_buf_ok(batch) ? 0 : mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a slice of a large row");
}
