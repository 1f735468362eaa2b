/*
 * Reading a chunk as the bytes of COPY. Rows come from the server one message each; they are gathered into pieces of
 * some 100 kB, so that what is sent on goes out in few large writes. A whole table goes by plain COPY, which needs
 * no query plan; the form (binary or text) is that of wire.h.
 */
#include "connector/postgres/reader.h"

#include "base/fault.h"
#include "connector/postgres/wire.h"

#include <stdlib.h>
#include <string.h>

#define GATHER_BYTES (96u << 10)

static int put_copy(struct mf_buf *b, const struct mf_table *t, const char *range, const struct pg_wide *wide,
                    struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf columns = {.max = PG_SQL_MAX};
    pg_put_columns(&columns, t);
    mf_buf_puts(b, "COPY ");
    if (columns.len > 0 && !*range && !wide->on) {
        pg_put_table(b, t);
        mf_buf_printf(b, " (%s)", mf_buf_str(&columns));
    } else {
        mf_buf_printf(b, "(SELECT %s FROM ONLY ", mf_buf_str(&columns));
        pg_put_table(b, t);
        mf_buf_puts(b, range);
        if (wide->on) {
            pg_wide_put_exclusion(b, wide, !*range);
        }
        mf_buf_puts(b, ")");
    }
    mf_buf_printf(b, " TO STDOUT (FORMAT %s)", pg_table_binary_ok(t) ? "binary" : "text");
    return pg_sql(b, err) ? 0 : -1;
}

int pg_chunk_open(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    struct pg_reader *r = pg_reader_of(base);
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX}, range = {.max = PG_SQL_MAX};
    if (r->reading || r->wide.on) { /* left unfinished by the caller */
        r->reading = false;
        pg_work_abort(r);
    }
    r->row_len = 0;
    pg_wide_forget(&r->wide);
    if (MF_FAULT(err, "postgres.chunk_open") || pg_put_range(r, &range, t, c, err) < 0 ||
        pg_work_begin(r, t, PG_SHAPE_EXACT, !c->by_heap && (c->has_lower || c->has_upper), err) < 0) {
        return -1;
    }
    if (pg_wide_find(r, t, mf_buf_str(&range), err) < 0 || put_copy(&b, t, mf_buf_str(&range), &r->wide, err) < 0) {
        pg_work_abort(r);
        return pg_read_failed(r, t, err);
    }
    PG_CLEANUP_RESULT PGresult *res = PQexec(r->conn, mf_buf_str(&b));
    if (PQresultStatus(res) != PGRES_COPY_OUT) {
        pg_fail_result(r->conn, res, err);
        pg_work_abort(r);
        return pg_read_failed(r, t, err);
    }
    r->reading = true;
    r->copied = false;
    r->rows = -1;
    mf_buf_reset(&r->batch);
    return 0;
}

/* The end of COPY: its own result, then the end of its command. */
static int finish_copy(struct pg_reader *r, struct mf_error *err)
{
    r->reading = false;
    PG_CLEANUP_RESULT PGresult *res = PQgetResult(r->conn);
    if (PQresultStatus(res) != PGRES_COMMAND_OK) {
        pg_fail_result(r->conn, res, err);
        pg_work_abort(r);
        return -1;
    }
    const char *n = PQcmdTuples(res);
    r->rows = *n ? strtoll(n, NULL, 10) : -1;
    return pg_drain(r->conn, err);
}

/* Hands out the row kept back because it did not fit behind what was gathered before it. */
static bool take_kept_row(struct pg_reader *r, const void **ret_data, size_t *ret_len)
{
    if (r->row_len == 0) {
        PQfreemem(r->row);
        r->row = NULL;
        return false;
    }
    *ret_data = r->row;
    *ret_len = r->row_len;
    r->row_len = 0; /* freed by the next call */
    return true;
}

/* While COPY runs its last bytes are kept back; after it, the large rows follow, and then those bytes. */
static int finish_with_wide_rows(struct pg_reader *r, struct mf_error *err)
{
    struct pg_wide *w = &r->wide;
    if (!r->copied) {
        pg_wide_keep(w, &r->batch);
        r->copied = !r->reading;
        w->nkept = r->copied ? 0 : w->nkept;
    }
    if (r->copied && pg_wide_read(r, &r->batch, err) < 0) {
        pg_work_abort(r);
        w->on = false;
        return pg_read_failed(r, w->t, err);
    }
    return 0;
}

int pg_chunk_read(struct mf_reader *base, const void **ret_data, size_t *ret_len, struct mf_error *err)
{
    struct pg_reader *r = pg_reader_of(base);
    if (MF_FAULT(err, "postgres.chunk_read")) {
        return -1;
    }
    if (take_kept_row(r, ret_data, ret_len)) {
        return 0;
    }
    mf_buf_reset(&r->batch);
    if (pg_wide_take(&r->wide, &r->batch) < 0) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory");
    }
    while (r->reading && r->batch.len < GATHER_BYTES) {
        char *row = NULL;
        int n = PQgetCopyData(r->conn, &row, 0);
        if (n == -2) {
            r->reading = false;
            return pg_fail_conn(r->conn, err);
        }
        if (n == -1) {
            if (finish_copy(r, err) < 0) {
                return -1;
            }
            break;
        }
        if ((size_t)n >= GATHER_BYTES && !r->wide.on) {
            r->row = row;
            r->row_len = (size_t)n;
            if (r->batch.len == 0) {
                take_kept_row(r, ret_data, ret_len);
                return 0;
            }
            break;
        }
        int rc = mf_buf_append(&r->batch, row, (size_t)n);
        PQfreemem(row);
        if (rc < 0) {
            return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a row of %d bytes", n);
        }
    }
    if (r->wide.on && finish_with_wide_rows(r, err) < 0) {
        return -1;
    }
    *ret_data = mf_buf_str(&r->batch);
    *ret_len = r->batch.len;
    return 0;
}

int pg_chunk_close(struct mf_reader *base, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err)
{
    struct pg_reader *r = pg_reader_of(base);
    if (r->reading || r->wide.on) {
        r->reading = r->wide.on = false;
        pg_work_abort(r);
        *ret_after = r->after;
        *ret_rows = -1;
        return 0;
    }
    if (pg_work_end_durable(r, err) < 0) {
        return -1;
    }
    *ret_after = r->after;
    *ret_rows = r->rows;
    return 0;
}
