/* Reading: chunks of a query table are chunks of its table, by that one's key; its rows are that one's.
 *
 * By key: the key of a query table says which row of its table it is of. That row is read, made, and given only if it has that very key: one whose other key
 * columns are different now is not there under this key.
 *
 * Digests are of the rows made (connector/row_digest.h), as those of a face. */
#include "connector/view/internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/row_digest.h"

#include <string.h>
#include <xxhash.h>

struct view_reader {
    struct mf_reader base;
    struct mf_reader *own;
    struct mf_arena op, row; /* of one operation; of one row */
};

static const struct mf_source_ops *own_ops(const struct view_reader *r)
{
    return r->own->db->connector->source;
}

static struct view_reader *reader_of(struct mf_reader *r)
{
    return (struct view_reader *)r;
}

int view_reader_open(struct mf_db *db, const struct mf_snapshot *s, struct mf_reader **ret, struct mf_error *err)
{
    struct view_db *v = view_of(db);
    struct view_reader *r = mf_xcalloc(1, sizeof *r);
    r->base.db = db;
    mf_arena_init(&r->op, VIEW_ROW_BYTES);
    mf_arena_init(&r->row, VIEW_ROW_BYTES);
    if (view_own(v)->reader_open(v->own, s, &r->own, err) < 0) {
        free(r);
        return -1;
    }
    *ret = &r->base;
    return 0;
}

void view_reader_close(struct mf_reader *base)
{
    struct view_reader *r = reader_of(base);
    if (r) {
        own_ops(r)->reader_close(r->own);
        mf_arena_free(&r->op);
        mf_arena_free(&r->row);
        free(r);
    }
}

static struct mf_reader *begin(struct view_reader *r)
{
    mf_arena_reset(&r->op);
    mf_arena_reset(&r->row);
    r->own->peer_version = r->base.peer_version;
    mf_strlcpy(r->own->peer_encoding, r->base.peer_encoding, sizeof r->own->peer_encoding);
    return r->own;
}

/* Of a query table: as the catalogue has its table now. What is not of it may change. */
static int made_same(struct view_db *v, const struct mf_table *t, struct mf_error *err)
{
    struct mf_catalog now = {0};
    if (view_catalog_read(v, VIEW_SHAPES, NULL, &now, err) < 0) {
        return -1;
    }
    const struct mf_table *is = mf_catalog_find(&now, t->schema, t->name);
    bool same = is && is->id == t->id && mf_table_shape(is) == mf_table_shape(t);
    mf_catalog_free(&now);
    return same ? 0
                : mf_fail(err, MF_FATAL, "MFSHAPE",
                          "table %s.%s is no longer as it was when the migration was planned: its table on the source "
                          "was changed",
                          t->schema, t->name);
}

int view_shape_same(struct mf_reader *base, const struct mf_table *t, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    return t->made ? made_same(view_of(base->db), t, err) : own_ops(r)->shape_same(begin(r), t, err);
}

/* ---- chunks: the table's, under the number of what is shown ---- */

struct renumbering {
    const struct mf_table *shown;
    mf_chunk_sink *emit;
    void *ctx;
    struct mf_chunk c;
};

static int renumber(void *ctx, const struct mf_chunk *own, struct mf_error *err)
{
    struct renumbering *n = ctx;
    n->c = *own;
    n->c.table_id = n->shown->id;
    return n->emit(n->ctx, &n->c, err);
}

int view_chunk_plan(struct mf_reader *base, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                    mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    MF_CLEANUP_FREE struct renumbering *n = mf_xcalloc(1, sizeof *n);
    *n = (struct renumbering){.shown = t, .emit = emit, .ctx = ctx};
    return own_ops(r)->chunk_plan(begin(r), view_base(t), target_rows, target_bytes, renumber, n, err);
}

/* The chunk as its table has it. */
static struct mf_chunk *chunk_own(struct view_reader *r, const struct mf_table *t, const struct mf_chunk *c,
                                  struct mf_error *err)
{
    begin(r);
    struct mf_chunk *own = mf_alloc(&r->op, sizeof *own);
    if (!own) {
        view_no_memory(err, "a chunk is too large");
        return NULL;
    }
    *own = *c;
    own->table_id = view_base(t)->id;
    return own;
}

int view_chunk_split(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, int n,
                     mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    const struct mf_chunk *own = chunk_own(r, t, c, err);
    MF_CLEANUP_FREE struct renumbering *out = mf_xcalloc(1, sizeof *out);
    *out = (struct renumbering){.shown = t, .emit = emit, .ctx = ctx};
    return own ? own_ops(r)->chunk_split(r->own, view_base(t), own, n, renumber, out, err) : -1;
}

/* As wire bytes, which nobody can read: how fast the database gives them is all that is asked (plan), of tables that are there. */
int view_chunk_open(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    const struct mf_chunk *own = chunk_own(r, t, c, err);
    if (t->made) {
        return mf_fail(err, MF_FATAL, "MFUNSUP", "query tables have no wire form");
    }
    return own ? own_ops(r)->chunk_open(r->own, t, own, err) : -1;
}

int view_chunk_read(struct mf_reader *base, const void **ret_data, size_t *ret_len, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    return own_ops(r)->chunk_read(r->own, ret_data, ret_len, err);
}

int view_chunk_close(struct mf_reader *base, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    return own_ops(r)->chunk_close(r->own, ret_after, ret_rows, err);
}

/* ---- rows ---- */

struct making {
    struct view_reader *r;
    struct view_rows rows;
    mf_row_sink *emit;
    void *ctx;
};

static int make_row(void *ctx, const struct mf_row *own, struct mf_error *err)
{
    struct making *m = ctx;
    struct mf_row row;
    mf_arena_reset(&m->r->row);
    if (view_ended(m->rows.made, own)) {
        return 0;
    }
    return view_row(&m->rows, &m->r->row, own, NULL, &row, err) < 0 ? -1 : m->emit(m->ctx, &row, err);
}

int view_chunk_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                    void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    struct making m = {.r = r, .emit = emit, .ctx = ctx};
    const struct mf_chunk *own = chunk_own(r, t, c, err);
    if (!own) {
        return -1;
    }
    if (!t->made) {
        return own_ops(r)->chunk_rows(r->own, t, own, emit, ctx, ret_after, err);
    }
    return view_rows_of(&r->op, t, t->made, &m.rows, err) < 0
               ? -1
               : own_ops(r)->chunk_rows(r->own, t->made->base, own, make_row, &m, ret_after, err);
}

/* ---- rows by key ---- */

/* The keys asked for, in a table by their hash: open addressing, a power of two. */
struct asked {
    struct making m;
    const struct mf_row *keys;
    uint32_t *slots; /* number of the key plus one */
    size_t cap;
    int64_t waited_us; /* for rows that are ending */
};

static uint32_t key_hash(const struct mf_table *t, const struct mf_row *row)
{
    XXH64_hash_t h = 0;
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct mf_value *v = &row->values[t->key[k]];
        h = XXH3_64bits_withSeed(v->len ? v->data : "", mf_value_has_bytes(v) ? v->len : 0, h + (unsigned)v->kind);
    }
    return (uint32_t)h;
}

/* The slot of the key, or the free one where it would be. */
static uint32_t *find_key(const struct asked *a, const struct mf_row *row)
{
    const struct mf_table *t = a->m.rows.t;
    size_t i = key_hash(t, row) & (a->cap - 1);
    while (a->slots[i] && !view_same_key(t, &a->keys[a->slots[i] - 1], row)) {
        i = (i + 1) & (a->cap - 1);
    }
    return &a->slots[i];
}

static int give_if_asked(void *ctx, const struct mf_row *own, struct mf_error *err)
{
    struct asked *a = ctx;
    struct mf_row row;
    mf_arena_reset(&a->m.r->row);
    if (view_ended_surely(a->m.rows.made, own, &a->waited_us)) {
        return 0;
    }
    if (view_row(&a->m.rows, &a->m.r->row, own, NULL, &row, err) < 0) {
        return -1;
    }
    uint32_t *at = find_key(a, &row);
    if (!*at) {
        return 0; /* it has another key now */
    }
    return a->m.emit(a->m.ctx, &row, err);
}

static int take_keys(struct asked *a, size_t n, struct mf_row *ret, size_t *ret_n, struct mf_error *err)
{
    struct mf_arena *arena = &a->m.r->op;
    for (a->cap = 16; a->cap < n * 2; a->cap *= 2) {}
    a->slots = mf_alloc_array(arena, a->cap, sizeof *a->slots);
    if (!a->slots) {
        return view_no_memory(err, "there are too many keys");
    }
    for (size_t i = 0; i < n; i++) {
        bool none = false;
        uint32_t *at = find_key(a, &a->keys[i]);
        if (*at) {
            continue; /* once is enough */
        }
        if (view_base_key(&a->m.rows, arena, &a->keys[i], &ret[*ret_n], &none, err) < 0) {
            return -1;
        }
        *at = (uint32_t)i + 1;
        *ret_n += !none;
    }
    return 0;
}

/* Keys that differ only in columns that are not of the table's own key are of one row of it: it is asked for once. */
static size_t each_once(const struct mf_table *base, struct mf_row *keys, size_t n, struct asked *scratch)
{
    size_t kept = 0;
    memset(scratch->slots, 0, scratch->cap * sizeof *scratch->slots);
    for (size_t i = 0; i < n; i++) {
        size_t at = key_hash(base, &keys[i]) & (scratch->cap - 1);
        while (scratch->slots[at] && !view_same_key(base, &keys[scratch->slots[at] - 1], &keys[i])) {
            at = (at + 1) & (scratch->cap - 1);
        }
        if (!scratch->slots[at]) {
            keys[kept++] = keys[i];
            scratch->slots[at] = (uint32_t)kept;
        }
    }
    return kept;
}

int view_read_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_row *keys, size_t n,
                   mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    struct asked a = {.m = {.r = r, .emit = emit, .ctx = ctx}, .keys = keys};
    begin(r);
    if (!t->made) {
        return own_ops(r)->read_rows(r->own, t, keys, n, emit, ctx, ret_after, err);
    }
    struct mf_row *own = mf_alloc_array(&r->op, n + 1, sizeof *own);
    size_t wanted = 0;
    if (!own) {
        return view_no_memory(err, "there are too many keys");
    }
    if (view_rows_of(&r->op, t, t->made, &a.m.rows, err) < 0 || take_keys(&a, n, own, &wanted, err) < 0) {
        return -1;
    }
    struct asked bases = {.cap = a.cap, .slots = mf_alloc_array(&r->op, a.cap, sizeof *bases.slots)};
    if (!bases.slots) {
        return view_no_memory(err, "there are too many keys");
    }
    wanted = each_once(t->made->base, own, wanted, &bases);
    return own_ops(r)->read_rows(r->own, t->made->base, own, wanted, give_if_asked, &a, ret_after, err);
}

/* ---- digests ---- */

int view_digest(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    struct mf_digesting g = {.t = t};
    struct mf_position ignored;
    if (!t->made) {
        const struct mf_chunk *own = chunk_own(r, t, c, err);
        return own ? own_ops(r)->digest(r->own, t, own, ret, err) : -1;
    }
    if (view_chunk_rows(base, t, c, mf_digest_row, &g, &ignored, err) < 0) {
        return -1;
    }
    *ret = g.sum;
    return 0;
}

int view_digest_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                     void *ctx, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    MF_CLEANUP_FREE struct mf_value *key = mf_xcalloc(t->ncolumns + 1u, sizeof *key);
    struct mf_digesting g = {.t = t, .emit = emit, .ctx = ctx, .key = key};
    struct mf_position ignored;
    if (!t->made) {
        const struct mf_chunk *own = chunk_own(r, t, c, err);
        return own ? own_ops(r)->digest_rows(r->own, t, own, emit, ctx, err) : -1;
    }
    return view_chunk_rows(base, t, c, mf_digest_row, &g, &ignored, err);
}
