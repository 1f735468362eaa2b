/* Reading: chunks of a collection are chunks of its root; its documents are read by their keys, from all tables, and rebuilt.
 *
 * A document is never torn: all of it is read in one snapshot, the caller's or one of the call's own. One session does it: of a chunk the keys are read first, and then,
 * a page at a time, the rows. So memory is a chunk's keys and a page of documents, or one large document.
 *
 * Digests are of the id and the normal form, as on the source's side (norm.c). */
#include "connector/shred/internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/row_digest.h"

#include <stdlib.h>
#include <string.h>

struct docs_reader {
    struct mf_reader base;
    struct mf_reader *own; /* of the caller's snapshot; NULL: each call has its own */
    struct docs_reals reals;
    struct docs_parts parts; /* of the last docs_digest_rows */
    struct mf_arena op, row; /* of one operation; of one document as it is given */
};

/* One call's session. */
struct session {
    struct mf_snapshot *snapshot; /* NULL: the reader's own stays */
    struct mf_reader *reader;
};

static struct docs_reader *reader_of(struct mf_reader *r)
{
    return (struct docs_reader *)r;
}

int docs_reader_open(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret, struct mf_error *err)
{
    struct docs_db *s = docs_of(db);
    struct docs_reader *r = mf_xcalloc(1, sizeof *r);
    r->base.db = db;
    mf_arena_init(&r->op, DOCS_KEY_BYTES);
    mf_arena_init(&r->row, DOCS_ROW_BYTES);
    if (snapshot && docs_source(s)->reader_open(s->own, snapshot, &r->own, err) < 0) {
        docs_reader_close(&r->base);
        return -1;
    }
    *ret = &r->base;
    return 0;
}

void docs_reader_close(struct mf_reader *base)
{
    struct docs_reader *r = reader_of(base);
    if (r) {
        docs_source(docs_of(base->db))->reader_close(r->own);
        docs_reals_free(&r->reals);
        docs_parts_free(&r->parts);
        mf_arena_free(&r->op);
        mf_arena_free(&r->row);
        free(r);
    }
}

static int session_begin(struct docs_reader *r, struct session *ret, struct mf_error *err)
{
    struct docs_db *s = docs_of(r->base.db);
    *ret = (struct session){.reader = r->own};
    mf_arena_reset(&r->op);
    if (!r->own && (docs_source(s)->snapshot_now(s->own, 1, &ret->snapshot, err) < 0 ||
                    docs_source(s)->reader_open(s->own, ret->snapshot, &ret->reader, err) < 0)) {
        if (ret->snapshot) {
            docs_source(s)->snapshot_close(ret->snapshot);
        }
        return -1;
    }
    ret->reader->peer_version = r->base.peer_version;
    mf_strlcpy(ret->reader->peer_encoding, r->base.peer_encoding, sizeof ret->reader->peer_encoding);
    return 0;
}

static void session_end(struct docs_reader *r, struct session *e)
{
    const struct mf_source_ops *ops = docs_source(docs_of(r->base.db));
    if (e->snapshot) {
        ops->reader_close(e->reader);
        ops->snapshot_close(e->snapshot);
    }
}

static int real_of(struct docs_reader *r, const struct mf_table *t, const struct docs_real **ret, struct mf_error *err)
{
    return docs_real_of(docs_of(r->base.db), &r->reals, t, ret, err);
}

int docs_shape_same(struct mf_reader *base, const struct mf_table *t, struct mf_error *err)
{
    struct docs_reader *r = reader_of(base);
    const struct docs_real *c = NULL;
    return docs_reals_read(docs_of(base->db), DOCS_SHAPES, &r->reals, err) < 0 ? -1 : real_of(r, t, &c, err);
}

/* ---- chunks: the root's, under the number of what is shown ---- */

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

int docs_chunk_plan(struct mf_reader *base, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                    mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct docs_reader *r = reader_of(base);
    MF_CLEANUP_FREE struct renumbering *n = mf_xcalloc(1, sizeof *n);
    const struct docs_real *c = NULL;
    struct session e;
    *n = (struct renumbering){.shown = t, .emit = emit, .ctx = ctx};
    if (real_of(r, t, &c, err) < 0 || session_begin(r, &e, err) < 0) {
        return -1;
    }
    int rc = e.reader->db->connector->source->chunk_plan(e.reader, c->tables[0], target_rows, target_bytes, renumber, n,
                                                         err);
    session_end(r, &e);
    return rc;
}

int docs_chunk_split(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *chunk, int n,
                     mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct docs_reader *r = reader_of(base);
    MF_CLEANUP_FREE struct renumbering *out = mf_xcalloc(1, sizeof *out);
    MF_CLEANUP_FREE struct mf_chunk *own = mf_xcalloc(1, sizeof *own);
    const struct docs_real *c = NULL;
    struct session e;
    *out = (struct renumbering){.shown = t, .emit = emit, .ctx = ctx};
    *own = *chunk;
    if (real_of(r, t, &c, err) < 0 || session_begin(r, &e, err) < 0) {
        return -1;
    }
    own->table_id = c->tables[0]->id;
    int rc = e.reader->db->connector->source->chunk_split(e.reader, c->tables[0], own, n, renumber, out, err);
    session_end(r, &e);
    return rc;
}

static int no_wire(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFUNSUP", "documents that are rows have no wire form");
}

int docs_chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    (void)r, (void)t, (void)c;
    return no_wire(err);
}

int docs_chunk_read(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err)
{
    (void)r, (void)ret_data, (void)ret_len;
    return no_wire(err);
}

int docs_chunk_close(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err)
{
    (void)r, (void)ret_after, (void)ret_rows;
    return no_wire(err);
}

/* ---- documents ---- */

struct giving {
    struct docs_reader *r;
    const struct docs_real *c;
    mf_row_sink *emit;
    void *ctx;
    struct docs_parts *parts; /* to be counted; NULL: nobody wants to know */
};

static int give(void *ctx, const struct mf_row *key, const struct mf_shred_rows *rows, struct mf_error *err)
{
    struct giving *g = ctx;
    struct mf_row row;
    (void)key;
    if (rows->of[0].n == 0) {
        return 0;
    }
    mf_arena_reset(&g->r->row);
    if (g->parts) {
        docs_parts_add(g->parts, rows);
    }
    return docs_shown_row(g->c, &g->r->row, rows, g->r->base.follows, &row, err) < 0 ? -1 : g->emit(g->ctx, &row, err);
}

struct collecting {
    struct mf_arena *arena;
    const struct docs_real *c;
    struct mf_row *rows;
    size_t n, cap;
};

/* A row of c->keys as a key of tables[0]. */
static int collect(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct collecting *k = ctx;
    const struct mf_table *t = k->c->tables[0];
    struct mf_value *v = mf_alloc_array(k->arena, t->ncolumns + 1u, sizeof *v);
    struct mf_row kept;
    if (k->n == k->cap) {
        size_t cap = k->cap ? k->cap * 2 : 1024;
        struct mf_row *rows = mf_alloc_array(k->arena, cap, sizeof *rows);
        if (rows && k->n) {
            memcpy(rows, k->rows, k->n * sizeof *rows);
        }
        k->rows = rows;
        k->cap = cap;
    }
    if (!v || !k->rows || mf_row_copy(k->arena, &kept, row) < 0) {
        return docs_no_memory(err, "the keys of a chunk are larger than the memory for them");
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        v[i].kind = MF_UNCHANGED;
    }
    for (uint16_t i = 0; i < t->nkey; i++) {
        v[t->key[i]] = kept.values[i];
    }
    k->rows[k->n++] = (struct mf_row){.n = t->ncolumns, .values = v};
    return 0;
}

static int read_chunk(struct docs_reader *r, struct session *e, const struct giving *g, const struct mf_chunk *chunk,
                      struct mf_position *ret_after, struct mf_error *err)
{
    struct collecting k = {.arena = &r->op, .c = g->c};
    struct mf_position after = {0};
    MF_CLEANUP_FREE struct mf_chunk *own = mf_xcalloc(1, sizeof *own);
    *own = *chunk;
    own->table_id = g->c->tables[0]->id;
    if (e->reader->db->connector->source->chunk_rows(e->reader, g->c->keys, own, collect, &k, &after, err) < 0 ||
        docs_fetch_each(e->reader, g->c, k.rows, k.n, give, (void *)g, &after, err) < 0) {
        return -1;
    }
    *ret_after = after;
    return 0;
}

/* g->c is set here. */
static int give_chunk(struct giving *g, const struct mf_table *t, const struct mf_chunk *chunk,
                      struct mf_position *ret_after, struct mf_error *err)
{
    struct session e;
    if (real_of(g->r, t, &g->c, err) < 0 || session_begin(g->r, &e, err) < 0) {
        return -1;
    }
    if (g->parts) {
        docs_parts_begin(g->parts, g->c->of);
    }
    int rc = read_chunk(g->r, &e, g, chunk, ret_after, err);
    session_end(g->r, &e);
    return rc;
}

int docs_chunk_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *chunk, mf_row_sink *emit,
                    void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct giving g = {.r = reader_of(base), .emit = emit, .ctx = ctx};
    return give_chunk(&g, t, chunk, ret_after, err);
}

/* The keys that documents here can have, each once. */
static int take_keys(struct docs_reader *r, const struct docs_real *c, const struct mf_row *keys, size_t n,
                     struct mf_row *ret, size_t *ret_n, struct mf_error *err)
{
    const struct mf_table *root = c->of->tables[0].table;
    struct docs_keys seen;
    if (docs_keys_init(&seen, &r->op, root->key, root->nkey, ret, n, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        struct mf_row *row = &ret[*ret_n];
        if (keys[i].values[0].kind != MF_TEXT) {
            continue;
        }
        if (docs_key_row(c, &r->op, &keys[i].values[0], row, err) < 0) {
            if (err->cls != MF_ROW) {
                return -1;
            }
            mf_error_clear(err);
            continue;
        }
        uint32_t *at = docs_keys_find(&seen, row, root->key);
        if (!*at) {
            *at = (uint32_t)++ * ret_n;
        }
    }
    return 0;
}

int docs_read_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_row *keys, size_t n,
                   mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct docs_reader *r = reader_of(base);
    struct giving g = {.r = r, .emit = emit, .ctx = ctx};
    struct mf_position after = {0};
    struct session e;
    size_t wanted = 0;
    if (real_of(r, t, &g.c, err) < 0 || session_begin(r, &e, err) < 0) {
        return -1;
    }
    struct mf_row *own = mf_alloc_array(&r->op, n + 1, sizeof *own);
    int rc = !own || take_keys(r, g.c, keys, n, own, &wanted, err) < 0 ||
                     docs_fetch_each(e.reader, g.c, own, wanted, give, &g, &after, err) < 0
                 ? -1
                 : 0;
    session_end(r, &e);
    if (rc < 0) {
        return own ? -1 : docs_no_memory(err, "there are too many keys");
    }
    *ret_after = after;
    return 0;
}

/* ---- digests ---- */

int docs_digest(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                struct mf_error *err)
{
    struct mf_digesting g = {.t = t};
    struct mf_position ignored;
    if (docs_chunk_rows(base, t, c, mf_digest_row, &g, &ignored, err) < 0) {
        return -1;
    }
    *ret = g.sum;
    return 0;
}

int docs_digest_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                     void *ctx, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_value *key = mf_xcalloc(t->ncolumns + 1u, sizeof *key);
    struct mf_digesting d = {.t = t, .emit = emit, .ctx = ctx, .key = key};
    struct docs_reader *r = reader_of(base);
    struct giving g = {.r = r, .emit = mf_digest_row, .ctx = &d, .parts = &r->parts};
    struct mf_position ignored;
    return give_chunk(&g, t, c, &ignored, err);
}

int docs_parts_of(struct mf_reader *base, mf_part_sink *emit, void *ctx, struct mf_error *err)
{
    return docs_parts_emit(&reader_of(base)->parts, emit, ctx, err);
}
