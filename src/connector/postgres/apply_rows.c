/* Rows into statements: columns become arrays, large sets are cut into statements of a few megabytes. */
#include "connector/postgres/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

int pg_shape_for(struct pg_applier *a, const struct mf_table *t, struct pg_shape **ret, struct mf_error *err)
{
    if (pg_shape_get(a->db, &a->shapes, t, ret, err) < 0) {
        if (a->failed.cls == MF_OK) {
            a->failed = *err;
        }
        return -1;
    }
    return 0;
}

bool pg_same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t i = 0; i < t->nkey; i++) {
        const struct mf_value *x = &a->values[t->key[i]], *y = &b->values[t->key[i]];
        if (y->kind != MF_UNCHANGED && !mf_value_equal(x, y)) {
            return false;
        }
    }
    return true;
}

/* ---- statements ---- */

static struct pg_stmt *find_stmt(struct pg_shape *s, enum pg_stmt_kind kind, bool moves_key, const uint8_t *unchanged)
{
    size_t n = (s->table->ncolumns + 7u) / 8;
    for (struct pg_stmt *p = s->stmts; p; p = p->next) {
        if (p->kind == kind && p->moves_key == moves_key && !p->unchanged == !unchanged &&
            (!unchanged || memcmp(p->unchanged, unchanged, n) == 0)) {
            return p;
        }
    }
    return NULL;
}

struct pg_stmt *pg_stmt_new(struct pg_applier *a, struct pg_shape *s, enum pg_stmt_kind kind, struct mf_buf *sql)
{
    struct pg_stmt *p = mf_xcalloc(1, sizeof(*p));
    p->kind = kind;
    p->sql = mf_buf_steal(sql, NULL);
    snprintf(p->name, sizeof(p->name), "mf%u", a->next_name++);
    p->next = s->stmts;
    s->stmts = p;
    a->nstmts++;
    return p;
}

static int stmt_for(struct pg_applier *a, struct pg_shape *s, enum pg_stmt_kind kind, bool moves_key,
                    const uint8_t *unchanged, struct pg_stmt **ret, struct mf_error *err)
{
    struct pg_stmt *p = find_stmt(s, kind, moves_key, unchanged);
    if (!p) {
        MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX};
        if (pg_stmt_sql(s, kind, moves_key, unchanged, &sql, err) < 0) {
            a->failed = *err;
            return -1;
        }
        p = pg_stmt_new(a, s, kind, &sql);
        p->moves_key = moves_key;
        p->unchanged = unchanged ? (uint8_t *)mf_xmemdup(unchanged, (s->table->ncolumns + 7u) / 8) : NULL;
    }
    *ret = p;
    return 0;
}

static const char *doing(enum pg_stmt_kind kind)
{
    switch (kind) {
    case PG_STMT_INSERT:
    case PG_STMT_UPSERT:
        return "inserting into";
    case PG_STMT_UPDATE:
    case PG_STMT_UPDATE_FOUND:
    case PG_STMT_UPDATE_COUNTED:
        return "updating";
    default:
        return "deleting from";
    }
}

/* ---- one statement ---- */

static int bad_value(struct pg_applier *a, const struct pg_shape *s, const struct mf_row *row, uint16_t col,
                     const char *why, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 512};
    if (row) {
        mf_put_key_text(&key, s->table, row);
    }
    mf_fail(err, MF_ROW, "22MF1", "row %s of %s.%s cannot be written: column \"%s\": %s", mf_buf_str(&key),
            s->table->schema, s->table->name, s->table->columns[col].name, why);
    mf_hint(err, "widen the target's column to what the source's is");
    mf_strlcpy(a->bad_column, s->table->columns[col].name, sizeof(a->bad_column));
    a->failed = *err;
    return -1;
}

/* The byte offsets of the parameters in a->params; the buffer may move while it grows. */
static int put_params(struct pg_applier *a, const struct pg_shape *s, const struct pg_param *p, size_t np,
                      const struct pg_rows *rows, size_t first, size_t n, size_t *offset, struct mf_error *err)
{
    mf_buf_reset(&a->params);
    for (size_t i = 0; i < np; i++) {
        const struct pg_shape_column *c = &s->columns[p[i].col];
        const struct mf_row **from = (p[i].old ? rows->olds : rows->news) + first;
        size_t bad = 0;
        const char *why = NULL;
        offset[i] = a->params.len;
        if (pg_put_array(&a->params, c->send, &c->made, from, n, p[i].col, &bad, &why) < 0) {
            return bad_value(a, s, bad < n ? from[bad] : n == 1 ? from[0] : NULL, p[i].col, why, err);
        }
    }
    return 0;
}

static void put_counts(struct mf_buf *b, const uint32_t *counts, size_t n, uint64_t *ret_sum)
{
    const uint32_t head[] = {1, 0, PG_INT8, (uint32_t)n, 1};
    uint64_t sum = 0;
    for (size_t i = 0; i < MF_ARRAY_LEN(head); i++) {
        mf_buf_put_u32be(b, head[i]);
    }
    for (size_t i = 0; i < n; i++) {
        mf_buf_put_u32be(b, 8);
        mf_buf_put_u64be(b, counts[i]);
        sum += counts[i];
    }
    *ret_sum = sum;
}

static int send_piece(struct pg_applier *a, struct pg_shape *s, struct pg_stmt *st, const struct pg_param *p, size_t np,
                      const struct pg_rows *rows, size_t first, size_t n, struct mf_error *err)
{
    size_t total = np + 2;
    MF_CLEANUP_FREE size_t *offset = mf_xcalloc(total + 1, sizeof(*offset));
    MF_CLEANUP_FREE const char **values = mf_xcalloc(total, sizeof(*values));
    MF_CLEANUP_FREE int *lengths = mf_xcalloc(total, sizeof(*lengths));
    uint64_t want = n;
    size_t k = np;
    if (put_params(a, s, p, np, rows, first, n, offset, err) < 0) {
        return -1;
    }
    if (st->kind == PG_STMT_DELETE_COPIES || st->kind == PG_STMT_PURGE_COPIES) {
        offset[k++] = a->params.len;
        put_counts(&a->params, rows->counts + first, n, &want);
    }
    if (pg_stmt_strict(st->kind)) {
        offset[k++] = a->params.len;
        mf_buf_put_u64be(&a->params, want);
    }
    offset[k] = a->params.len;
    for (size_t i = 0; i < k; i++) {
        values[i] = a->params.data + offset[i];
        lengths[i] = (int)(offset[i + 1] - offset[i]);
    }
    struct pg_expect e = {.kind = PG_EXPECT_OK, .doing = doing(st->kind), .shape = s, .want = want, .n = n};
    if (st->kind == PG_STMT_INSERT) {
        e.kind = PG_EXPECT_ROWS;
    } else if (st->kind == PG_STMT_UPDATE_COUNTED || st->kind == PG_STMT_DELETE_COUNTED) {
        e.kind = PG_EXPECT_CHANGED;
        a->counted = true;
    } else if (st->kind == PG_STMT_UPDATE_FOUND && rows->report) {
        e.kind = PG_EXPECT_FOUND;
        e.first = a->npartial - rows->n + first;
    }
    a->big = a->big || a->params.len > (32u << 20);
    if (pg_wire_stmt(a, st, (int)k, values, lengths, &e, err) < 0) {
        return -1;
    }
    if (a->params.cap > (32u << 20)) {
        mf_buf_free(&a->params);
    }
    if (a->result) {
        a->result->rows += want;
    }
    return 0;
}

static size_t row_bytes(const struct mf_row *r)
{
    size_t n = 0;
    for (uint16_t i = 0; r && i < r->n; i++) {
        n += r->values[i].kind == MF_UNCHANGED ? 0 : r->values[i].len + 4u;
    }
    return n;
}

/* The new keys of partial updates wait here for the answer that says which were not found. */
static int remember_partial(struct pg_applier *a, const struct mf_table *t, const struct pg_rows *rows,
                            struct mf_error *err)
{
    if (a->npartial + rows->n > a->partial_cap) {
        size_t cap = (a->npartial + rows->n) * 2;
        a->partial = mf_xrealloc(a->partial, cap * sizeof(*a->partial));
        a->partial_cap = cap;
    }
    for (size_t i = 0; i < rows->n; i++) {
        struct mf_row key = {.n = t->ncolumns, .values = mf_alloc_array(&a->keep, t->ncolumns, sizeof(*key.values))};
        for (uint16_t c = 0; key.values && c < t->ncolumns; c++) {
            key.values[c].kind = MF_UNCHANGED;
        }
        for (uint16_t k = 0; key.values && k < t->nkey; k++) {
            uint16_t c = t->key[k];
            const struct mf_value *v = &rows->news[i]->values[c];
            v = v->kind == MF_UNCHANGED ? &rows->olds[i]->values[c] : v;
            key.values[c] = *v;
            key.values[c].data = v->kind == MF_NULL ? NULL : mf_memdup_a(&a->keep, v->data, v->len);
        }
        if (!key.values) {
            mf_fail(err, MF_CONFLICT, "MFBIG", "too many partial updates in one window");
            a->failed = *err;
            return -1;
        }
        a->partial[a->npartial++] = (struct mf_missing){.table = t, .key = key};
    }
    return 0;
}

int pg_send_hashing(struct pg_applier *a, bool on, struct mf_error *err)
{
    struct pg_expect e = {.kind = PG_EXPECT_OK, .doing = "setting up"};
    return pg_wire_sql(a, on ? "SET LOCAL enable_hashjoin = on" : "SET LOCAL enable_hashjoin = off", &e, err);
}

static int planner_for(struct pg_applier *a, enum pg_stmt_kind kind, bool on, struct mf_error *err)
{
    return kind == PG_STMT_DELETE_COPIES || kind == PG_STMT_PURGE_COPIES ? pg_send_hashing(a, on, err) : 0;
}

/* ---- key order ---- */

struct keyed {
    int64_t key;
    size_t at;
};

static int by_key(const void *x, const void *y)
{
    const struct keyed *a = x, *b = y;
    return a->key != b->key ? (a->key < b->key ? -1 : 1) : (a->at < b->at ? -1 : 1);
}

static bool leading_integer(const struct mf_value *v, int64_t *ret)
{
    char text[24];
    if (v->kind != MF_TEXT || v->len >= sizeof(text)) {
        return false;
    }
    memcpy(text, v->data, v->len);
    text[v->len] = 0;
    return mf_parse_i64(text, ret);
}

/* Rows that are found by a number go in its order: neighbours in the index and, mostly, in the table are then touched
 * together, which on a table larger than the cache is what the time is spent on. A matter of speed only: any other key,
 * and any row that does not fit, leaves the order as it is. */
static void order_rows(const struct pg_shape *s, enum pg_stmt_kind kind, struct pg_rows *rows, struct keyed *order,
                       const struct mf_row **copies)
{
    const struct mf_row **by = kind == PG_STMT_INSERT || kind == PG_STMT_UPSERT ? rows->news : rows->olds;
    enum pg_send send = s->table->nkey ? s->columns[s->table->key[0]].send : PG_SEND_TEXT;
    if (send != PG_SEND_INT2 && send != PG_SEND_INT4 && send != PG_SEND_INT8) {
        return;
    }
    for (size_t i = 0; i < rows->n; i++) {
        order[i].at = i;
        if (!leading_integer(&by[i]->values[s->table->key[0]], &order[i].key)) {
            return;
        }
    }
    qsort(order, rows->n, sizeof(*order), by_key);
    const struct mf_row ***lists[] = {&rows->olds, &rows->news};
    for (size_t k = 0; k < 2; k++) {
        const struct mf_row **from = *lists[k], **to = copies + k * rows->n;
        for (size_t i = 0; from && i < rows->n; i++) {
            to[i] = from[order[i].at];
        }
        *lists[k] = from ? to : NULL;
    }
}

int pg_send_rows(struct pg_applier *a, struct pg_shape *s, enum pg_stmt_kind kind, bool moves_key,
                 const uint8_t *unchanged, const struct pg_rows *given, struct mf_error *err)
{
    struct pg_stmt *st;
    struct pg_rows sorted = *given, *rows = &sorted;
    if (rows->n == 0) {
        return 0;
    }
    MF_CLEANUP_FREE struct keyed *order = NULL;
    MF_CLEANUP_FREE const struct mf_row **copies = NULL;
    if (rows->n > 8 && !rows->counts) {
        order = mf_xcalloc(rows->n, sizeof(*order));
        copies = mf_xcalloc(2 * rows->n, sizeof(*copies));
        order_rows(s, kind, rows, order, copies);
    }
    MF_CLEANUP_FREE struct pg_param *p = mf_xcalloc(2u * s->table->ncolumns + 1, sizeof(*p));
    size_t np = pg_stmt_params(s, kind, moves_key, unchanged, p);
    if (kind == PG_STMT_UPSERT && pg_stmt_rewrites(s, p, np, false)) {
        struct pg_rows old = {.olds = rows->news, .n = rows->n};
        return pg_send_rows(a, s, PG_STMT_DELETE_LOOSE, false, NULL, &old, err) < 0 ||
                       pg_send_rows(a, s, PG_STMT_INSERT, false, NULL, rows, err) < 0
                   ? -1
                   : 0;
    }
    if (rows->n >= PG_COUNTED_ROWS && kind == PG_STMT_DELETE) {
        kind = PG_STMT_DELETE_COUNTED;
    } else if (rows->n >= PG_COUNTED_ROWS && kind == PG_STMT_UPDATE && !pg_stmt_rewrites(s, p, np, true)) {
        kind = PG_STMT_UPDATE_COUNTED;
    }
    if (stmt_for(a, s, kind, moves_key, unchanged, &st, err) < 0 || planner_for(a, kind, true, err) < 0 ||
        (rows->report && remember_partial(a, s->table, rows, err) < 0)) {
        return -1;
    }
    for (size_t first = 0; first < rows->n;) {
        size_t n = 0, bytes = 0;
        while (first + n < rows->n && n < PG_STMT_ROWS) {
            size_t more = (rows->olds ? row_bytes(rows->olds[first + n]) : 0) +
                          (rows->news ? row_bytes(rows->news[first + n]) : 0);
            if (n > 0 && bytes + more > PG_STMT_BYTES) {
                break;
            }
            bytes += more;
            n++;
        }
        if (send_piece(a, s, st, p, np, rows, first, n, err) < 0) {
            return -1;
        }
        first += n;
    }
    return planner_for(a, kind, false, err);
}

/* ---- what goes beside the rows ---- */

int pg_unquarantine(struct pg_applier *a, const struct mf_table *t, const struct mf_row *const *rows, size_t n,
                    struct mf_error *err)
{
    static const char sql[] = "DELETE FROM midflight.quarantine WHERE migration = $1 AND direction = $2"
                              " AND (schema_name || '.' || table_name || ':' || key) = ANY ($3::text[])";
    MF_CLEANUP_BUF struct mf_buf keys = {.max = 1u << 30}, key = {.max = 1u << 20};
    struct pg_expect e = {.kind = PG_EXPECT_COUNT, .doing = "clearing the quarantine"};
    if (!rows) {
        const char *of[] = {a->pipe.migration, pg_direction(a->pipe.direction), t->schema, t->name};
        return pg_wire_params(a,
                              "DELETE FROM midflight.quarantine WHERE migration = $1 AND direction = $2"
                              " AND schema_name = $3 AND table_name = $4",
                              4, of, &e, err);
    }
    mf_buf_putc(&keys, '{');
    for (size_t i = 0; i < n; i++) {
        mf_buf_reset(&key);
        mf_buf_printf(&key, "%s.%s:", t->schema, t->name);
        mf_put_key_text(&key, t, rows[i]);
        mf_buf_puts(&keys, i ? ",\"" : "\"");
        for (const char *c = mf_buf_str(&key); *c; c++) {
            if (*c == '"' || *c == '\\') {
                mf_buf_putc(&keys, '\\');
            }
            mf_buf_putc(&keys, *c);
        }
        mf_buf_putc(&keys, '"');
    }
    mf_buf_putc(&keys, '}');
    const char *values[] = {a->pipe.migration, pg_direction(a->pipe.direction), mf_buf_str(&keys)};
    return n == 0 ? 0 : pg_wire_params(a, sql, 3, values, &e, err);
}
