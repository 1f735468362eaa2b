/* The source's side: its digests are those of the documents' normal form, in which they are also read by key, and the schema it describes is that of the tables they
 * become. Documents that are copied or streamed are as they are.
 *
 * A document that the map refuses has no normal form and is taken as it is: it is in quarantine, and differs until it is not. */
#include "connector/shred/internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/passing.h"
#include "connector/row_digest.h"

#include <stdlib.h>

struct norm_reader {
    struct mf_reader base;
    struct mf_reader *own;
    struct mf_arena row;
    struct docs_parts parts; /* of the last digest_rows */
};

static struct norm_reader *reader_of(struct mf_reader *r)
{
    return (struct norm_reader *)r;
}

static const struct mf_source_ops *own_ops(const struct norm_reader *r)
{
    return r->own->db->connector->source;
}

static int reader_open(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret,
                       struct mf_error *err)
{
    struct docs_db *s = docs_of(db);
    struct mf_reader *own = NULL;
    if (docs_source(s)->reader_open(s->own, snapshot, &own, err) < 0) {
        return -1;
    }
    struct norm_reader *r = mf_xcalloc(1, sizeof *r);
    r->base.db = db;
    r->own = own;
    mf_arena_init(&r->row, DOCS_ROW_BYTES);
    *ret = &r->base;
    return 0;
}

static void reader_close(struct mf_reader *base)
{
    struct norm_reader *r = reader_of(base);
    if (r) {
        own_ops(r)->reader_close(r->own);
        mf_arena_free(&r->row);
        docs_parts_free(&r->parts);
        free(r);
    }
}

static struct mf_reader *begin(struct norm_reader *r)
{
    r->own->peer_version = r->base.peer_version;
    mf_strlcpy(r->own->peer_encoding, r->base.peer_encoding, sizeof r->own->peer_encoding);
    return r->own;
}

static int shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err)
{
    return own_ops(reader_of(r))->shape_same(begin(reader_of(r)), t, err);
}

static int chunk_plan(struct mf_reader *r, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                      mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    return own_ops(reader_of(r))->chunk_plan(begin(reader_of(r)), t, target_rows, target_bytes, emit, ctx, err);
}

static int chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    return own_ops(reader_of(r))->chunk_open(begin(reader_of(r)), t, c, err);
}

static int chunk_read(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err)
{
    return own_ops(reader_of(r))->chunk_read(reader_of(r)->own, ret_data, ret_len, err);
}

static int chunk_close(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err)
{
    return own_ops(reader_of(r))->chunk_close(reader_of(r)->own, ret_after, ret_rows, err);
}

static int chunk_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                      void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    return own_ops(reader_of(r))->chunk_rows(begin(reader_of(r)), t, c, emit, ctx, ret_after, err);
}

static int chunk_split(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, int n,
                       mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    return own_ops(reader_of(r))->chunk_split(begin(reader_of(r)), t, c, n, emit, ctx, err);
}

/* ---- normal forms ---- */

/* The row with the document's normal form; as it is where the map refuses it, or does not have it. */
static int normal(struct norm_reader *r, const struct mf_shred_collection *c, const struct mf_row *row,
                  struct mf_value v[static 2], struct mf_row *ret, struct mf_error *err)
{
    struct mf_shred_rows made;
    struct mf_error why;
    *ret = *row;
    if (!c || row->n != 2 || row->values[1].kind == MF_REFUSED) {
        return 0;
    }
    mf_error_clear(&why);
    mf_arena_reset(&r->row);
    v[0] = row->values[0];
    if (mf_shred_document(c, &r->row, &row->values[1], &made, &why) < 0 ||
        mf_shred_rebuild(c, &r->row, &made, &v[1], &why) < 0) {
        if (why.cls != MF_ROW) {
            *err = why;
        }
        return why.cls == MF_ROW ? 0 : -1;
    }
    *ret = (struct mf_row){.n = 2, .values = v, .named = row->named};
    docs_parts_add(&r->parts, &made);
    return 0;
}

struct showing {
    struct norm_reader *r;
    const struct mf_shred_collection *c;
    mf_row_sink *emit;
    void *ctx;
};

static int show_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct showing *s = ctx;
    struct mf_value v[2];
    struct mf_row shown;
    return normal(s->r, s->c, row, v, &shown, err) < 0 ? -1 : s->emit(s->ctx, &shown, err);
}

/* What is read by key is compared, or written: as rows either form comes to the same. */
static int read_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n,
                     mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct showing s = {
        .r = reader_of(r), .c = mf_shred_find(docs_of(r->db)->map, t->schema, t->name), .emit = emit, .ctx = ctx};
    return own_ops(s.r)->read_rows(begin(s.r), t, keys, n, show_row, &s, ret_after, err);
}

/* ---- digests ---- */

struct hashing {
    struct norm_reader *r;
    const struct mf_shred_collection *c; /* NULL: not in the map */
    struct mf_digesting g;
};

static int hash_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct hashing *h = ctx;
    struct mf_value v[2];
    struct mf_row shown;
    return normal(h->r, h->c, row, v, &shown, err) < 0 ? -1 : mf_digest_row(&h->g, &shown, err);
}

static struct hashing hashing(struct mf_reader *r, const struct mf_table *t)
{
    return (struct hashing){
        .r = reader_of(r), .c = mf_shred_find(docs_of(r->db)->map, t->schema, t->name), .g = {.t = t}};
}

static int digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                  struct mf_error *err)
{
    struct hashing h = hashing(r, t);
    struct mf_position ignored;
    if (chunk_rows(r, t, c, hash_row, &h, &ignored, err) < 0) {
        return -1;
    }
    *ret = h.g.sum;
    return 0;
}

static int digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                       void *ctx, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_value *key = mf_xcalloc(t->ncolumns + 1u, sizeof *key);
    struct hashing h = hashing(r, t);
    struct mf_position ignored;
    h.g.emit = emit;
    h.g.ctx = ctx;
    h.g.key = key;
    docs_parts_begin(&h.r->parts, h.c);
    return chunk_rows(r, t, c, hash_row, &h, &ignored, err);
}

static int parts(struct mf_reader *r, mf_part_sink *emit, void *ctx, struct mf_error *err)
{
    return docs_parts_emit(&reader_of(r)->parts, emit, ctx, err);
}

/* ---- the schema ---- */

/* Under the target's names; a table whose schema the map does not say has none here. */
static int norm_describe(struct mf_db *db, const struct mf_catalog *shown, struct mf_schema *ret, struct mf_error *err)
{
    struct docs_db *s = docs_of(db);
    struct mf_schema d = {0};
    mf_arena_init(&d.arena, DOCS_TABLE_BYTES);
    for (size_t i = 0; i < shown->n; i++) {
        const struct mf_shred_collection *c = mf_shred_find(s->map, shown->tables[i].schema, shown->tables[i].name);
        if (c && mf_shred_describe(c, &d, err) < 0) {
            mf_schema_free(&d);
            return -1;
        }
    }
    *ret = d;
    return 0;
}

/* Collections that the map does not have do not migrate. */
static int drop_unmapped(const struct docs_db *s, int rc, struct mf_catalog *c)
{
    size_t n = 0;
    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        if (mf_shred_find(s->map, c->tables[i].schema, c->tables[i].name)) {
            c->tables[n++] = c->tables[i];
        }
    }
    if (rc == 0) {
        c->n = n;
    }
    return rc;
}

static int catalog(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    struct docs_db *s = docs_of(db);
    return drop_unmapped(s, docs_source(s)->catalog(s->own, filter, ret, err), ret);
}

static int shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    struct docs_db *s = docs_of(db);
    return drop_unmapped(s, docs_source(s)->shapes(s->own, filter, ret, err), ret);
}

void docs_norm_ops(struct docs_db *s)
{
    struct mf_source_ops *o = &s->source;
    mf_pass_ops(&s->source, &s->target, &s->traffic);
    docs_norm_ends(s);
    o->catalog = catalog;
    o->shapes = shapes;
    o->reader_open = reader_open;
    o->reader_close = reader_close;
    o->shape_same = shape_same;
    o->chunk_plan = chunk_plan;
    o->chunk_open = chunk_open;
    o->chunk_read = chunk_read;
    o->chunk_close = chunk_close;
    o->chunk_rows = chunk_rows;
    o->read_rows = read_rows;
    o->digest = digest;
    o->digest_rows = digest_rows;
    o->parts = parts;
    o->chunk_split = chunk_split;
    s->connector.describe = norm_describe;
}
