/*
 * Cutting a table into chunks.
 *
 * InnoDB cannot sample a table. A small one is cut exactly: from each bound on, the index is walked over as many rows as a chunk
 * is to have, one short query a chunk. That reads every page of the index once, and the index of a primary key is the table
 * itself; so a large table, and any that is only compared, is cut by halves that the server only estimates (plan_cut.c), and walked
 * where those fail.
 *
 * Bounds are keys of rows, in the order of the source's own index; nobody else evaluates them when rows are copied. (Where
 * both sides compare chunks and their collations order differently, the digests differ, the chunks are split, and the
 * rows are then compared by key.)
 *
 * Without a key a table is one chunk: nothing in it is in an order that the next query would find again.
 */
#include "connector/mysql/plan.h"

#include "base/mem.h"
#include "base/str.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#define LARGE_ROWS  1000000
#define LARGE_BYTES ((int64_t)256 << 20)
#define QUERY_S     20   /* a step of the walk; one that takes longer is tried with fewer rows */
#define SMALLEST    1000 /* rows; a step that takes too long even so fails */
#define SAMPLE_ROWS 20
#define TIMEOUT_8   3024 /* max_execution_time */
#define FEW_ROWS    200  /* the server's figures of so small a table say little of its rows' size */

/* ---- chunks on their way out ---- */

int my_plan_emit(struct my_plan *p, const struct mf_buf *key, int64_t rows, struct mf_error *err)
{
    struct mf_chunk *c = p->next;
    bool fits = !key || key->len < sizeof c->upper;
    if (key) {
        mf_buf_reset(&p->at);
        mf_buf_append(&p->at, key->data, key->len);
    }
    if (!fits) {
        c->rows_estimate += rows;
        return 0;
    }
    c->ordinal = p->ordinal++;
    c->rows_estimate += rows;
    c->has_upper = key || p->whole->has_upper;
    mf_strlcpy(c->upper, key ? mf_buf_str(key) : p->whole->upper, sizeof c->upper);
    if (p->emit(p->ctx, c, err) < 0) {
        return -1;
    }
    c->has_lower = true;
    c->rows_estimate = 0;
    memcpy(c->lower, c->upper, sizeof c->lower);
    return 0;
}

/* ---- steps along the index ---- */

int my_plan_put_rest(struct my_plan *p, struct mf_buf *b, const struct mf_buf *end, struct mf_error *err)
{
    const struct mf_chunk *w = p->whole;
    bool lower = p->at.len > 0 || w->has_lower, upper = end || w->has_upper;
    const char *from = p->at.len ? p->at.data : w->lower, *to = end ? mf_buf_str(end) : w->upper;
    size_t nfrom = p->at.len ? p->at.len : strnlen(w->lower, sizeof w->lower);
    size_t nto = end ? end->len : strnlen(w->upper, sizeof w->upper);
    mf_buf_puts(b, " WHERE 1 = 1");
    if (lower) {
        mf_buf_puts(b, " AND ");
        if (my_put_bound(b, p->t, p->r->types, from, nfrom, true, err) < 0) {
            return -1;
        }
    }
    if (upper) {
        mf_buf_puts(b, " AND ");
        return my_put_bound(b, p->t, p->r->types, to, nto, false, err);
    }
    return 0;
}

void my_plan_put_select(struct my_plan *p, struct mf_buf *b)
{
    if (p->r->db->mariadb) {
        mf_buf_printf(b, "SET STATEMENT max_statement_time = %d FOR SELECT ", QUERY_S);
    } else {
        mf_buf_printf(b, "SELECT /*+ MAX_EXECUTION_TIME(%d) */ ", QUERY_S * 1000);
    }
}

int my_plan_key(struct my_plan *p, struct mf_buf *sql, struct mf_buf *ret, bool *ret_found, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *res = NULL;
    *ret_found = false;
    if (!mf_buf_ok(sql)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a statement is longer than %zu bytes", sql->max);
    }
    if (my_query(p->r->conn, &res, err, mf_buf_str(sql)) < 0) {
        return -1;
    }
    MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;
    if (!row) {
        return 0;
    }
    unsigned long *n = mysql_fetch_lengths(res);
    mf_buf_reset(ret);
    for (unsigned k = 0; k < p->t->nkey; k++) {
        if (!row[k]) {
            return mf_fail(err, MF_FATAL, "MFKEY", "table %s.%s has a row with no value in its key", p->t->schema,
                           p->t->name);
        }
        my_bound_add(ret, row[k], n[k]);
    }
    *ret_found = true;
    return mf_buf_ok(ret)
               ? 0
               : mf_fail(err, MF_FATAL, "MFBIG", "a key of table %s.%s is too long", p->t->schema, p->t->name);
}

/* The key that is `rows` rows behind the beginning of the rest. */
static int one_step(struct my_plan *p, int64_t rows, const struct mf_buf *end, struct mf_buf *ret, bool *ret_found,
                    struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    if (my_work_begin(p->r, p->t, MY_SHAPE_ANY, false, err) < 0) {
        return -1;
    }
    my_plan_put_select(p, &b);
    my_put_key_bounds(&b, p->t, p->r->types);
    if (my_put_indexed(p->r, &b, p->t, err) < 0 || my_plan_put_rest(p, &b, end, err) < 0) {
        my_work_abort(p->r);
        return -1;
    }
    mf_buf_puts(&b, " ORDER BY ");
    my_put_key_names(&b, p->t);
    mf_buf_printf(&b, " LIMIT %lld, 1", (long long)rows);
    if (my_plan_key(p, &b, ret, ret_found, err) < 0) {
        my_work_abort(p->r);
        return my_read_failed(p->r, p->t, err);
    }
    return my_work_end(p->r, err);
}

static bool took_too_long(const struct mf_error *err)
{
    return my_is_error(err, TIMEOUT_8) || my_is_error(err, ER_STATEMENT_TIMEOUT);
}

int my_plan_walk(struct my_plan *p, const struct mf_buf *end, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = MY_KEY_MAX};
    for (;;) {
        bool found;
        if (one_step(p, p->step, end, &key, &found, err) < 0) {
            if (!took_too_long(err) || p->step / 4 < SMALLEST) {
                return -1;
            }
            p->step /= 4;
            continue;
        }
        int64_t rows = found || p->left > p->step ? p->step : p->left;
        p->left = p->left > p->step ? p->left - p->step : 0;
        if (my_plan_emit(p, found ? &key : end, rows, err) < 0) {
            return -1;
        }
        if (!found) {
            return 0;
        }
    }
}

/* ---- how large a chunk is to be ---- */

/* Bytes a row, of a few rows. */
static int sample_width(struct my_plan *p, int64_t *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    bool first = true;
    mf_buf_puts(&b, "SELECT CAST(COALESCE(AVG(n), 0) AS UNSIGNED) FROM (SELECT 0");
    for (uint16_t i = 0; i < p->t->ncolumns; i++) {
        if (!p->t->columns[i].generated) {
            mf_buf_puts(&b, " + COALESCE(LENGTH(");
            my_put_ident(&b, p->t->columns[i].name);
            mf_buf_puts(&b, "), 0)");
            first = false;
        }
    }
    mf_buf_puts(&b, first ? " + 1 AS n FROM " : " AS n FROM ");
    my_put_table(&b, p->t);
    mf_buf_printf(&b, " LIMIT %d) s", SAMPLE_ROWS);
    return mf_buf_ok(&b) ? my_query_i64(p->r->conn, ret, err, mf_buf_str(&b))
                         : mf_fail(err, MF_FATAL, "MFBIG", "a statement is longer than %zu bytes", b.max);
}

static int read_size(struct my_plan *p, int64_t *ret_rows, int64_t *ret_bytes, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    MY_CLEANUP_RESULT MYSQL_RES *res = NULL;
    mf_buf_puts(&b, "SELECT table_rows, data_length FROM information_schema.tables WHERE table_schema = ");
    my_put_literal(&b, p->t->schema);
    mf_buf_puts(&b, " AND table_name = ");
    my_put_literal(&b, p->t->name);
    bool remembers = !p->r->db->mariadb && p->r->db->version >= 80000; /* figures, for a day */
    if ((remembers && my_exec(p->r->conn, err, "SET SESSION information_schema_stats_expiry = 0") < 0) ||
        !mf_buf_ok(&b) || my_query(p->r->conn, &res, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(res);
    *ret_rows = row ? my_get_i64(row, 0) : 0;
    *ret_bytes = row ? my_get_i64(row, 1) : 0;
    return 0;
}

static int choose_step(struct my_plan *p, int64_t target_rows, int64_t target_bytes, bool *ret_large,
                       struct mf_error *err)
{
    int64_t rows, bytes, width;
    if (read_size(p, &rows, &bytes, err) < 0) {
        return -1;
    }
    p->left = rows;
    if (rows > FEW_ROWS) {
        width = bytes / rows;
    } else if (sample_width(p, &width, err) < 0) {
        return -1;
    }
    int64_t by_bytes = target_bytes > 0 ? target_bytes / (width < 1 ? 1 : width) : INT64_MAX;
    p->step = target_rows > 0 && target_rows < by_bytes ? target_rows : by_bytes;
    p->step = p->step < 1 ? 1 : p->step;
    /* In a snapshot rows are compared, and not to be read twice for it; where figures are old a range is larger than meant,
     * which does no harm there. A copied chunk is a transaction, and the walk bounds it whatever the figures say. */
    *ret_large = rows > LARGE_ROWS || bytes > LARGE_BYTES || (p->r->snapshot && rows > FEW_ROWS);
    return 0;
}

/* ---- the operations ---- */

static void my_plan_free_p(struct my_plan *p)
{
    mf_buf_free(&p->at);
    free(p->next);
}

static void begin(struct my_plan *p, const struct mf_chunk *whole)
{
    p->whole = whole;
    p->next = mf_xmalloc(sizeof *p->next);
    *p->next = *whole;
    p->next->table_id = p->t->id;
    p->next->by_heap = false;
    p->next->rows_estimate = 0;
    mf_buf_init(&p->at, MY_KEY_MAX);
}

/* No index gives the key's order: to walk along it would be to sort the table again and again. */
static bool can_cut(struct my_plan *p)
{
    const struct my_index *x = &p->r->index;
    return p->t->identity == MF_IDENTITY_KEY && my_key_cuts(p->t, p->r->types) && x->name[0] && !x->prefix;
}

int my_chunk_plan(struct mf_reader *base, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                  mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_chunk *whole = mf_xcalloc(1, sizeof *whole);
    struct my_plan p MF_CLEANUP(my_plan_free_p) = {.r = my_reader_of(base), .t = t, .emit = emit, .ctx = ctx};
    bool large = false, cuts = false;
    begin(&p, whole);
    if (my_work_begin(p.r, t, MY_SHAPE_ANY, false, err) < 0) {
        return -1;
    }
    if (my_find_index(p.r, t, err) < 0 || choose_step(&p, target_rows, target_bytes, &large, err) < 0) {
        my_work_abort(p.r);
        return my_read_failed(p.r, t, err);
    }
    cuts = can_cut(&p);
    if (my_work_end(p.r, err) < 0) {
        return -1;
    }
    if (!cuts) {
        return my_plan_emit(&p, NULL, -1, err);
    }
    return large ? my_plan_halve(&p, err) : my_plan_walk(&p, NULL, err);
}

static int count(struct my_plan *p, int64_t *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    mf_buf_puts(&b, "SELECT COUNT(*)");
    if (my_put_from(p->r, &b, p->t, p->whole, err) < 0) {
        return -1;
    }
    return mf_buf_ok(&b) ? my_query_i64(p->r->conn, ret, err, mf_buf_str(&b))
                         : mf_fail(err, MF_FATAL, "MFBIG", "a statement is longer than %zu bytes", b.max);
}

int my_chunk_split(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, int n,
                   mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct my_plan p MF_CLEANUP(my_plan_free_p) = {.r = my_reader_of(base), .t = t, .emit = emit, .ctx = ctx};
    int64_t rows = 0;
    begin(&p, c);
    if (my_work_begin(p.r, t, MY_SHAPE_ANY, false, err) < 0) {
        return -1;
    }
    if (my_find_index(p.r, t, err) < 0 || count(&p, &rows, err) < 0) {
        my_work_abort(p.r);
        return my_read_failed(p.r, t, err);
    }
    bool cuts = can_cut(&p);
    if (my_work_end(p.r, err) < 0) {
        return -1;
    }
    if (!cuts || n < 2 || rows < 2) {
        return my_plan_emit(&p, NULL, rows, err);
    }
    p.step = (rows + n - 1) / n;
    p.left = rows;
    return my_plan_walk(&p, NULL, err);
}
