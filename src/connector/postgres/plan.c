/*
 * Cutting a table into chunks.
 *
 * By key: quantiles of the key in the order of the source's own index. Of a small table (and of a chunk to be split) they
 * are exact; of a large one they come from a sample of its pages, so that planning reads a fixed amount whatever the
 * table's size. The index finds a chunk's rows, so bounds must be in its order; the target never evaluates them when rows
 * are copied. (Where both sides compare chunks and their collations order differently, the digests differ, the
 * chunks are split, and the rows are then compared by key.)
 *
 * By heap blocks, where there is no key: only inside one snapshot, in which no row moves; and where the server can
 * scan a range of blocks (14 on). Otherwise such a table is one chunk.
 */
#include "connector/postgres/reader.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define EXACT_ROWS    50000 /* up to so many rows all keys are looked at */
#define PAGES_A_CHUNK 16    /* sampled, at least */
#define ROWS_A_CHUNK  64
#define GUESSED_ROW   100 /* bytes, for a table the server has no figures of */
#define MAX_CHUNKS    200000
#define PLAN_WAIT_MS  600000

struct plan {
    struct pg_reader *r;
    const struct mf_table *t;
    struct mf_chunk whole; /* the range that is cut */
    int64_t rows, pages;
    int64_t target_rows, target_bytes; /* of a chunk */
    int64_t n;                         /* chunks wanted; 0: as many as that takes */
    mf_chunk_sink *emit;
    void *ctx;
    uint32_t ordinal;
    struct mf_chunk next; /* lower bound set, upper to come */
};

static int emit_up_to(struct plan *p, const char *bound, struct mf_error *err)
{
    struct mf_chunk *c = &p->next;
    c->ordinal = p->ordinal++;
    c->table_id = p->t->id;
    c->by_heap = p->whole.by_heap;
    c->has_upper = bound || p->whole.has_upper;
    mf_strlcpy(c->upper, bound ? bound : p->whole.upper, sizeof c->upper);
    if (p->emit(p->ctx, c, err) < 0) {
        return -1;
    }
    c->has_lower = true;
    memcpy(c->lower, c->upper, sizeof c->lower);
    return 0;
}

static void begin_emit(struct plan *p, int64_t pieces)
{
    p->next = p->whole;
    p->next.rows_estimate = p->rows < 0 ? -1 : pieces > 1 ? p->rows / pieces : p->rows;
}

/* ---- by key ---- */

/* "LENGTH:BYTES" of each value. False when it does not fit: then it is not made a bound. */
static bool write_bound(const PGresult *r, int row, uint16_t nkey, char out[MF_CHUNK_BOUND])
{
    size_t at = 0;
    for (uint16_t i = 0; i < nkey; i++) {
        size_t n = (size_t)PQgetlength(r, row, i);
        if (n + 24 > MF_CHUNK_BOUND - at) {
            return false;
        }
        at += (size_t)snprintf(out + at, MF_CHUNK_BOUND - at, "%zu:", n);
        memcpy(out + at, PQgetvalue(r, row, i), n);
        at += n;
    }
    out[at] = 0;
    return true;
}

/* Rows whose keys begin the 2nd to n-th of n equal parts of what is looked at. */
static int query_quantiles(struct plan *p, double percent, PGresult **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX}, key = {.max = PG_SQL_MAX};
    pg_put_key(&key, p->t);
    mf_buf_printf(
        &b,
        "SELECT %s FROM (SELECT %s, row_number() OVER (ORDER BY %s) - 1 AS \"midflight row\", count(*) OVER () AS "
        "\"midflight rows\" FROM ONLY ",
        mf_buf_str(&key), mf_buf_str(&key), mf_buf_str(&key));
    pg_put_table(&b, p->t);
    if (percent < 100) {
        mf_buf_printf(&b, " TABLESAMPLE SYSTEM (%.6f)", percent);
    }
    if (pg_put_range(p->r, &b, p->t, &p->whole, err) < 0) {
        return -1;
    }
    mf_buf_printf(&b,
                  ") s WHERE \"midflight row\" > 0 AND \"midflight row\" * %lld / \"midflight rows\" <> "
                  "(\"midflight row\" - 1) * %lld / \"midflight rows\" ORDER BY \"midflight row\"",
                  (long long)p->n, (long long)p->n);
    return pg_sql(&b, err) ? pg_query(p->r->conn, ret, err, mf_buf_str(&b)) : -1;
}

static int cut_by_key(struct plan *p, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    double percent = 100;
    if (p->rows > EXACT_ROWS && p->pages > 0) {
        double rows = (double)p->n * ROWS_A_CHUNK < 10000 ? 10000 : (double)p->n * ROWS_A_CHUNK;
        double pages = rows * (double)p->pages / (double)p->rows;
        if (pages < (double)p->n * PAGES_A_CHUNK) {
            pages = (double)p->n * PAGES_A_CHUNK;
        }
        percent = 100 * pages / (double)p->pages;
    }
    if (query_quantiles(p, percent > 50 ? 100 : percent, &r, err) < 0) {
        return -1;
    }
    begin_emit(p, PQntuples(r) + 1);
    for (int i = 0; i < PQntuples(r); i++) {
        char bound[MF_CHUNK_BOUND];
        if (write_bound(r, i, p->t->nkey, bound) && emit_up_to(p, bound, err) < 0) {
            return -1;
        }
    }
    return emit_up_to(p, NULL, err);
}

/* ---- by heap ---- */

static int cut_by_heap(struct plan *p, struct mf_error *err)
{
    uint64_t first = 0, last = (uint64_t)p->pages;
    if ((p->whole.has_lower && !mf_parse_u64(p->whole.lower, &first)) ||
        (p->whole.has_upper && !mf_parse_u64(p->whole.upper, &last))) {
        return mf_fail(err, MF_FATAL, "MFCHUNK", "a chunk of table %s.%s has a bound that is no block", p->t->schema,
                       p->t->name);
    }
    uint64_t blocks = last > first ? last - first : 1;
    uint64_t n = p->n < 1 ? 1 : (uint64_t)p->n < blocks ? (uint64_t)p->n : blocks;
    begin_emit(p, (int64_t)n);
    for (uint64_t i = 1; i < n; i++) {
        char bound[24];
        snprintf(bound, sizeof bound, "%llu", (unsigned long long)(first + blocks * i / n));
        if (emit_up_to(p, bound, err) < 0) {
            return -1;
        }
    }
    return emit_up_to(p, NULL, err);
}

/* ---- the operations ---- */

/* What the table has now. The figures of the last vacuum may be of another time, and one chunk of any size would be
 * made of a table that has grown since; so, as the planner does, their rows a page are taken and the pages there are. */
static int read_size(struct plan *p, int64_t *ret_bytes, int64_t *ret_rows, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096}, name = {.max = 2048};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    pg_put_table(&name, p->t);
    mf_buf_puts(&b, "SELECT size, size / current_setting('block_size')::int, toast, CASE WHEN relpages > 0 AND "
                    "reltuples >= 0 THEN (reltuples / relpages * (size / current_setting('block_size')::int))::bigint "
                    "ELSE size / ");
    mf_buf_printf(&b, "%d", GUESSED_ROW);
    mf_buf_puts(&b, " END FROM (SELECT c.relpages, c.reltuples, pg_relation_size(c.oid) AS size, CASE WHEN "
                    "c.reltoastrelid <> 0 THEN pg_relation_size(c.reltoastrelid) ELSE 0 END AS toast FROM pg_class c "
                    "WHERE c.oid = ");
    pg_put_literal(&b, mf_buf_str(&name));
    mf_buf_puts(&b, "::regclass) s");
    if (pg_query(p->r->conn, &r, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    p->pages = pg_get_i64(r, 0, 1);
    *ret_bytes = pg_get_i64(r, 0, 0) + pg_get_i64(r, 0, 2);
    *ret_rows = pg_get_i64(r, 0, 3);
    return 0;
}

/* How many chunks, where the caller has not said. */
static int choose_n(struct plan *p, struct mf_error *err)
{
    int64_t bytes, rows;
    if (read_size(p, &bytes, &rows, err) < 0) {
        return -1;
    }
    if (p->n > 0) {
        return 0;
    }
    p->rows = rows;
    int64_t by_rows = p->target_rows > 0 ? (rows + p->target_rows - 1) / p->target_rows : 1;
    int64_t by_bytes = p->target_bytes > 0 ? (bytes + p->target_bytes - 1) / p->target_bytes : 1;
    p->n = by_rows > by_bytes ? by_rows : by_bytes;
    p->n = p->n < 1 ? 1 : p->n > MAX_CHUNKS ? MAX_CHUNKS : p->n;
    return 0;
}

static int emit_whole(struct plan *p, struct mf_error *err)
{
    begin_emit(p, 1);
    return emit_up_to(p, NULL, err);
}

static int cut_somehow(struct plan *p, struct mf_error *err)
{
    bool keyed = p->t->identity == MF_IDENTITY_KEY;
    if (choose_n(p, err) < 0) {
        return -1;
    }
    if (keyed ? p->n <= 1 : !p->whole.by_heap) {
        return emit_whole(p, err);
    }
    return keyed ? cut_by_key(p, err) : cut_by_heap(p, err);
}

static int cut(struct plan *p, struct mf_error *err)
{
    const struct mf_table *t = p->t;
    bool ranged = p->whole.has_lower || p->whole.has_upper;
    if (pg_work_begin(p->r, t, PG_SHAPE_ANY, ranged && t->identity == MF_IDENTITY_KEY, err) < 0) {
        return -1;
    }
    if (cut_somehow(p, err) < 0) {
        pg_work_abort(p->r);
        return pg_read_failed(p->r, t, err);
    }
    return pg_work_end(p->r, err);
}

static bool heap_ranges_ok(const struct pg_reader *r, const struct mf_table *t)
{
    return t->identity == MF_IDENTITY_FULL && r->snapshot && PQserverVersion(r->conn) >= 140000;
}

int pg_chunk_plan(struct mf_reader *base, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                  mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    MF_CLEANUP_FREE struct plan *p = mf_xcalloc(1, sizeof *p);
    p->r = pg_reader_of(base);
    p->t = t;
    p->emit = emit;
    p->ctx = ctx;
    p->whole.table_id = t->id;
    p->whole.by_heap = heap_ranges_ok(p->r, t);
    p->target_rows = target_rows;
    p->target_bytes = target_bytes;
    return cut(p, err);
}

int pg_chunk_split(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, int n,
                   mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    MF_CLEANUP_FREE struct plan *p = mf_xcalloc(1, sizeof *p);
    p->r = pg_reader_of(base);
    p->t = t;
    p->emit = emit;
    p->ctx = ctx;
    p->whole = *c;
    p->rows = -1; /* not known: all keys of the range are looked at */
    p->n = n < 1 ? 1 : n;
    return cut(p, err);
}
