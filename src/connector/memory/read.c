/* Reading: snapshots, chunks, digests.
 *
 * A chunk's bounds are key values written as `LEN:BYTES` one after the other; heap ranges are `@SERVER:ROW`, which only the snapshot they were
 * planned in understands. The wire form of a row is, for each column, a varint (0: NULL, else length + 1) and the bytes; a chunk ends with
 * the byte 0xff, so that a chunk cut short is seen by the loader. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/memory/dialect.h"
#include "connector/memory/read.h"
#include "connector/memory/unordered.h"

static size_t hold_tables(struct mf_mem_server *s, struct held_table *to)
{
    size_t n = 0;
    for (size_t i = 0; i < s->ntables; i++) {
        if (!s->tables[i]->dropped) {
            to[n++] = (struct held_table){s->tables[i], s->tables[i]->shape, mem_rows_ref(s->tables[i]->rows)};
        }
    }
    return n;
}

static int snapshot_make(struct mf_db *db, const char *op, bool exact, struct mf_snapshot **ret, struct mf_error *err)
{
    if (mem_enter_db(db, op, NULL, err)) {
        return -1;
    }
    struct mf_mem_server *s = mem_server(db);
    if (s->knobs.unordered && !exact) {
        return mf_fail(err, MF_FATAL, "MFUNSUP", "%s has no snapshots", s->name);
    }
    struct mem_snapshot *h = mf_xcalloc(1, sizeof *h);
    h->base.db = db;
    h->base.position = exact ? mem_position(s->lsn) : (struct mf_position){0};
    if (exact && mem_broken(s, "snapshot-newer") && s->ncommits > 1) { /* it shows one commit more than it says */
        h->base.position = s->commits[s->ncommits - 1].position;
        h->base.position.order--;
    }
    h->conn = mem_connect(s);
    h->n = hold_tables(s, h->tables);
    *ret = &h->base;
    return 0;
}

int mem_snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                      struct mf_error *err)
{
    (void)pipe, (void)readers;
    MEM_LOCKED;
    return snapshot_make(db, "source.snapshot_open", true, ret, err);
}

int mem_snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err)
{
    (void)readers;
    MEM_LOCKED;
    return snapshot_make(db, "source.snapshot_now", false, ret, err);
}

void mem_snapshot_close(struct mf_snapshot *base)
{
    if (!base) {
        return;
    }
    MEM_LOCKED;
    struct mem_snapshot *h = (struct mem_snapshot *)base;
    for (size_t i = 0; i < h->n; i++) {
        mem_rows_unref(h->tables[i].rows);
    }
    free(h);
}

int mem_reader_open(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "source.reader_open", NULL, err)) {
        return -1;
    }
    const struct mem_snapshot *h = (const struct mem_snapshot *)snapshot;
    if (h && (h->conn.dead || h->conn.generation != mem_server(db)->generation)) {
        return mf_fail(err, MF_RETRY, "MFSNAP", "the snapshot on %s is gone", mem_server(db)->name);
    }
    struct mem_reader *r = mf_xcalloc(1, sizeof *r);
    r->base.db = db;
    r->conn = mem_connect(mem_server(db));
    mf_buf_init(&r->wire, 16u << 20);
    if (h) {
        r->in_snapshot = true;
        r->n = h->n;
        memcpy(r->tables, h->tables, sizeof h->tables);
        for (size_t i = 0; i < r->n; i++) {
            mem_rows_ref(r->tables[i].rows);
        }
    }
    *ret = &r->base;
    return 0;
}

void mem_chunk_end(struct mem_reader *r)
{
    for (size_t i = 0; i < r->nrows; i++) {
        mem_row_unref(r->rows[i]);
    }
    free(r->rows);
    r->rows = NULL;
    r->nrows = r->at = 0;
    r->open = false;
}

void mem_reader_close(struct mf_reader *base)
{
    if (!base) {
        return;
    }
    MEM_LOCKED;
    struct mem_reader *r = (struct mem_reader *)base;
    mem_chunk_end(r);
    for (size_t i = 0; i < r->n; i++) {
        mem_rows_unref(r->tables[i].rows);
    }
    mf_buf_free(&r->wire);
    free(r);
}

/* The table as this reader sees it, looked up by name: t may be the other side's. */
int mem_look(struct mem_reader *r, const struct mf_table *t, struct held_table *ret, struct mf_error *err)
{
    bool as_it_stands = !r->in_snapshot || (r->conn.server->knobs.newer && t->identity == MF_IDENTITY_KEY);
    for (size_t i = 0; i < r->n && !as_it_stands; i++) {
        const struct mf_table *h = &r->tables[i].shape->table;
        if (strcmp(h->name, t->name) == 0 && strcmp(h->schema, t->schema) == 0) {
            *ret = r->tables[i];
            return 0;
        }
    }
    struct mem_table *m = as_it_stands ? mem_table_find(r->conn.server, t->schema, t->name) : NULL;
    if (!m) {
        return mf_fail(err, MF_FATAL, "42P01", "table %s.%s does not exist on %s", t->schema, t->name,
                       r->conn.server->name);
    }
    *ret = (struct held_table){m, m->shape, m->rows};
    return 0;
}

int mem_column_at(const struct mf_table *t, const char *name)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (strcmp(t->columns[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

void mem_project(const struct mem_shape *shape, const struct mf_value *row, const struct mf_table *t,
                 struct mf_value *ret)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        int at = mem_column_at(&shape->table, t->columns[i].name);
        ret[i] = at < 0 ? (struct mf_value){.kind = MF_NULL} : row[at];
    }
}

int mem_same_shape(const struct mem_shape *shape, const struct mf_table *t, bool exact, struct mf_error *err)
{
    bool same = !exact || shape->table.ncolumns == t->ncolumns;
    for (uint16_t i = 0; same && i < t->ncolumns; i++) {
        int at = mem_column_at(&shape->table, t->columns[i].name);
        same = at >= 0 && shape->table.columns[at].type_id == t->columns[i].type_id;
    }
    return same ? 0
                : mf_fail(err, MF_FATAL, "MFSHAPE", "table %s.%s no longer has the columns it was planned with",
                          t->schema, t->name);
}

/* ---- ranges ---- */

struct range {
    bool has_lower, has_upper, heap, tokens;
    size_t first, last;  /* heap */
    uint64_t from, upto; /* tokens */
    struct mf_value lower[MF_MEM_MAX_COLUMNS], upper[MF_MEM_MAX_COLUMNS];
};

bool mem_bound_part(const char **at, struct mf_value *ret)
{
    char *end;
    unsigned long len = strtoul(*at, &end, 10);
    if (end == *at || *end != ':' || strlen(end + 1) < len) {
        return false;
    }
    *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)len, .data = end + 1};
    *at = end + 1 + len;
    return true;
}

static int bound_read(const char *text, const struct mem_shape *h, struct mf_value *ret, struct mf_error *err)
{
    const char *p = text;
    for (uint16_t k = 0; k < h->table.nkey; k++) {
        if (!mem_bound_part(&p, &ret[h->table.key[k]])) {
            return mf_fail(err, MF_FATAL, "MFCHUNK", "chunk bound \"%s\" does not fit the key of %s.%s", text,
                           h->table.schema, h->table.name);
        }
    }
    return 0;
}

static int heap_bound(const struct mem_reader *r, const char *text, size_t *ret, struct mf_error *err)
{
    char name[64];
    size_t row;
    if (sscanf(text, "@%63[^:]:%zu", name, &row) != 2 || !mf_streq(name, r->conn.server->name)) {
        return mf_fail(err, MF_FATAL, "MFCHUNK", "heap range \"%s\" is not of %s", text, r->conn.server->name);
    }
    *ret = row;
    return 0;
}

static int range_read(const struct mem_reader *r, const struct mem_shape *h, const struct mf_chunk *c,
                      struct range *ret, struct mf_error *err)
{
    ret->has_lower = c->has_lower;
    ret->has_upper = c->has_upper;
    ret->heap = c->by_heap;
    ret->first = 0;
    ret->last = SIZE_MAX;
    if (c->by_heap && !r->in_snapshot) {
        return mf_fail(err, MF_FATAL, "MFCHUNK", "a heap range of %s.%s is read outside its snapshot", h->table.schema,
                       h->table.name);
    }
    if (c->by_heap) {
        return (c->has_lower && heap_bound(r, c->lower, &ret->first, err)) ||
                       (c->has_upper && heap_bound(r, c->upper, &ret->last, err))
                   ? -1
                   : 0;
    }
    ret->tokens = r->conn.server->knobs.unordered;
    if (ret->tokens) {
        return (c->has_lower && mem_token_read(h, c->lower, &ret->from, err)) ||
                       (c->has_upper && mem_token_read(h, c->upper, &ret->upto, err))
                   ? -1
                   : 0;
    }
    return (c->has_lower && bound_read(c->lower, h, ret->lower, err)) ||
                   (c->has_upper && bound_read(c->upper, h, ret->upper, err))
               ? -1
               : 0;
}

static bool in_range(const struct mem_shape *h, const struct range *g, const struct mem_row *row, size_t i)
{
    if (g->heap) {
        return i >= g->first && i < g->last;
    }
    if (g->tokens) {
        uint64_t token = mem_token(h, row);
        return (!g->has_lower || token >= g->from) && (!g->has_upper || token < g->upto);
    }
    return (!g->has_lower || mem_compare_key(h, row->v, g->lower) >= 0) &&
           (!g->has_upper || mem_compare_key(h, row->v, g->upper) < 0);
}

static _Thread_local const struct mem_shape *sort_shape;

static int by_key(const void *a, const void *b)
{
    return mem_compare_key(sort_shape, (*(struct mem_row *const *)a)->v, (*(struct mem_row *const *)b)->v);
}

/* The rows of a chunk, by key where there is one; free() the list, the rows are not referenced. */
int mem_rows_of(struct mem_reader *r, const struct held_table *h, const struct mf_chunk *c, struct mem_row ***ret,
                size_t *ret_n, struct mf_error *err)
{
    MF_CLEANUP_FREE struct range *g = mf_xcalloc(1, sizeof *g);
    if (range_read(r, h->shape, c, g, err)) {
        return -1;
    }
    struct mem_row **rows = mf_xcalloc(h->rows->n + 1, sizeof(struct mem_row *));
    size_t n = 0;
    for (size_t i = 0; i < h->rows->n; i++) {
        if (in_range(h->shape, g, h->rows->rows[i], i)) {
            rows[n++] = h->rows->rows[i];
        }
    }
    if (g->tokens) {
        mem_token_sort(h->shape, rows, n);
    } else if (h->shape->table.nkey) {
        sort_shape = h->shape;
        qsort(rows, n, sizeof(struct mem_row *), by_key);
    }
    *ret = rows;
    *ret_n = n;
    return 0;
}

static void bound_write(const struct mem_reader *r, const struct mem_shape *h, const struct mem_row *row, size_t i,
                        bool heap, char *out)
{
    if (heap) {
        snprintf(out, MF_CHUNK_BOUND, "@%s:%zu", r->conn.server->name, i);
        return;
    }
    if (r->conn.server->knobs.unordered) {
        mem_token_bound(mem_token(h, row), out);
        return;
    }
    size_t at = 0;
    for (uint16_t k = 0; k < h->table.nkey && at < MF_CHUNK_BOUND; k++) {
        const struct mf_value *v = &row->v[h->table.key[k]];
        at += (size_t)snprintf(out + at, MF_CHUNK_BOUND - at, "%u:%.*s", v->len, (int)v->len, v->data);
    }
}

/* Cuts a range into pieces of `step` rows. */
static int cut(struct mem_reader *r, const struct held_table *h, const struct mf_chunk *whole, size_t step,
               mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mem_row **rows = NULL;
    size_t n, base = 0, at = 0;
    uint32_t ordinal = 0;
    if (mem_rows_of(r, h, whole, &rows, &n, err)) {
        return -1;
    }
    bool heap = h->shape->table.identity == MF_IDENTITY_FULL;
    if (heap && whole->has_lower) {
        heap_bound(r, whole->lower, &base, err);
    }
    bool whole_only = heap && !r->in_snapshot;
    MF_CLEANUP_FREE struct mf_chunk *c = mf_xmalloc(sizeof *c);
    do {
        size_t to = whole_only || at + step >= n ? n : at + step;
        c->table_id = whole->table_id;
        c->ordinal = ordinal++;
        c->rows_estimate = (int64_t)(to - at);
        c->by_heap = heap && !whole_only;
        c->has_lower = at > 0 || whole->has_lower;
        c->has_upper = to < n || whole->has_upper;
        c->lower[0] = c->upper[0] = 0;
        if (at > 0) {
            bound_write(r, h->shape, rows[at], base + at, heap, c->lower);
        } else if (whole->has_lower) {
            mf_strlcpy(c->lower, whole->lower, sizeof c->lower);
        }
        if (to < n) {
            bound_write(r, h->shape, rows[to], base + to, heap, c->upper);
        } else if (whole->has_upper) {
            mf_strlcpy(c->upper, whole->upper, sizeof c->upper);
        }
        if (emit(ctx, c, err) < 0) {
            return -1;
        }
        at = to;
    } while (at < n);
    return 0;
}

int mem_chunk_plan(struct mf_reader *base, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                   mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    (void)target_bytes;
    MEM_LOCKED;
    struct mem_reader *r = (struct mem_reader *)base;
    struct held_table h;
    if (mem_enter(&r->conn, "source.chunk_plan", NULL, err) || mem_look(r, t, &h, err)) {
        return -1;
    }
    MF_CLEANUP_FREE struct mf_chunk *all = mf_xcalloc(1, sizeof *all);
    all->table_id = t->id;
    return cut(r, &h, all, target_rows > 0 ? (size_t)target_rows : 1, emit, ctx, err);
}

int mem_chunk_split(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, int n,
                    mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_reader *r = (struct mem_reader *)base;
    struct held_table h;
    MF_CLEANUP_FREE struct mem_row **rows = NULL;
    size_t have;
    if (mem_enter(&r->conn, "source.chunk_split", NULL, err) || mem_look(r, t, &h, err) ||
        mem_rows_of(r, &h, c, &rows, &have, err)) {
        return -1;
    }
    if (n < 2 || have < 2) {
        return emit(ctx, c, err);
    }
    size_t step = (have + (size_t)n - 1) / (size_t)n;
    return cut(r, &h, c, step, emit, ctx, err);
}
