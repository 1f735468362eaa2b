/* The change stream: relations typed in the model's terms, rows in canonical form.
 *
 * What a stream tells of a column (a number and a modifier) is not always enough to know its type: the labels of an ENUM, what a domain is made of. The
 * catalogue has it, and is read when the stream is opened and again when a shape comes that it does not explain. A column that it
 * does not have as the stream has it is of another time, and is known by the stream's word alone: then its type differs from the one planned, which the
 * map notices, or it is one that nobody asks for any more. */
#include "connector/face/internal.h"

#include "base/by_id.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define MAX_SHAPES 200000u /* tables one stream has told of */

/* The last shape of a table. */
struct relation {
    struct mf_arena arena;
    const struct mf_table *own, *shown; /* shown NULL: a table of ours, passed as it is */
};

struct face_stream {
    struct mf_stream base;
    struct mf_stream *own;
    struct mf_catalog catalog; /* the real one */
    struct mf_arena types_arena;
    struct mf_type **types;
    struct mf_by_id rels; /* struct relation, by table id */
    struct mf_arena item; /* of the item handed out last */
};

static const struct mf_source_ops *own_ops(const struct face_stream *st)
{
    return st->own->db->connector->source;
}

static int read_catalog(struct face_stream *st, struct mf_error *err)
{
    struct face_db *f = face_of(st->base.db);
    struct mf_catalog c = {0};
    static const struct mf_filter all;
    mf_arena_reset(&st->types_arena);
    mf_catalog_free(&st->catalog);
    if (f->own->connector->source->shapes(f->own, &all, &c, err) < 0) {
        return -1;
    }
    st->catalog = c;
    return f->canon->types(f->own, &st->catalog, &st->types_arena, &st->types, err);
}

int face_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                     struct mf_stream **ret, struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    struct face_stream *st = mf_xcalloc(1, sizeof *st);
    st->base.db = db;
    mf_arena_init(&st->types_arena, FACE_TABLE_BYTES);
    mf_arena_init(&st->item, FACE_ROW_BYTES);
    if (read_catalog(st, err) < 0 ||
        own->connector->source->stream_open(own, pipe, from, commits_wait, &st->own, err) < 0) {
        face_stream_close(&st->base);
        return -1;
    }
    *ret = &st->base;
    return 0;
}

static void relation_free(struct relation *r)
{
    if (r) {
        mf_arena_free(&r->arena);
        free(r);
    }
}

void face_stream_close(struct mf_stream *base)
{
    struct face_stream *st = (struct face_stream *)base;
    if (!st) {
        return;
    }
    if (st->own) {
        own_ops(st)->stream_close(st->own);
    }
    for (size_t i = 0; i < st->rels.cap; i++) {
        relation_free(st->rels.slots[i].p);
    }
    mf_by_id_free(&st->rels);
    mf_catalog_free(&st->catalog);
    mf_arena_free(&st->types_arena);
    mf_arena_free(&st->item);
    free(st);
}

int face_stream_ack(struct mf_stream *base, const struct mf_position *durable, struct mf_error *err)
{
    struct face_stream *st = (struct face_stream *)base;
    return own_ops(st)->stream_ack(st->own, durable, err);
}

int face_stream_confirm(struct mf_stream *base, const struct mf_position *upto, struct mf_error *err)
{
    struct face_stream *st = (struct face_stream *)base;
    return own_ops(st)->stream_confirm(st->own, upto, err);
}

void face_stream_wake(struct mf_stream *base)
{
    struct face_stream *st = (struct face_stream *)base;
    own_ops(st)->stream_wake(st->own);
}

int face_stream_leave(struct mf_stream *base, struct mf_error *err)
{
    struct face_stream *st = (struct face_stream *)base;
    return own_ops(st)->stream_leave(st->own, err);
}

/* ---- relations ---- */

/* The catalogue's column for one of the stream; -1: none, or of another type. */
static int explained(const struct mf_table *known, const struct mf_column *c)
{
    int at = known ? mf_table_column(known, c->name) : -1;
    return at >= 0 && known->columns[at].type_id == c->type_id && known->columns[at].type_mod == c->type_mod ? at : -1;
}

static const struct mf_table *find_known(const struct face_stream *st, const struct mf_table *t, bool *ret_whole)
{
    const struct mf_table *known = mf_catalog_find(&st->catalog, t->schema, t->name);
    *ret_whole = known != NULL;
    for (uint16_t i = 0; known && i < t->ncolumns; i++) {
        *ret_whole &= explained(known, &t->columns[i]) >= 0;
    }
    return known;
}

static bool show(struct face_stream *st, struct relation *r, const struct mf_table *known)
{
    const struct face_db *f = face_of(st->base.db);
    struct mf_table *t = mf_table_copy(&r->arena, r->own);
    if (!t || !(t->schema = mf_strdup_a(&r->arena, face_shown_schema(f, t->schema)))) {
        return false;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        struct mf_column *c = &t->columns[i];
        struct mf_type alone = {0};
        int at = explained(known, c);
        if (at >= 0) {
            c->type = known->columns[at].type;
            c->element_id = known->columns[at].element_id;
            c->element_mod = known->columns[at].element_mod;
        } else {
            f->canon->type_of(c, &alone);
        }
        if (!mf_column_show(&r->arena, c, at >= 0 ? &st->types[known - st->catalog.tables][at] : &alone)) {
            return false;
        }
    }
    r->shown = t;
    return true;
}

static int learn(struct face_stream *st, const struct mf_table *own, struct relation **ret, struct mf_error *err)
{
    bool whole = false;
    const struct mf_table *known = NULL;
    if (st->rels.n >= MAX_SHAPES) {
        return face_no_memory(err, "the stream tells of too many tables");
    }
    bool book = face_is_book(own->schema);
    if (!book && !(known = find_known(st, own, &whole), whole)) {
        if (read_catalog(st, err) < 0) {
            return -1;
        }
        known = find_known(st, own, &whole);
    }
    struct relation *r = mf_xcalloc(1, sizeof *r);
    mf_arena_init(&r->arena, FACE_SHAPE_BYTES);
    r->own = mf_table_copy(&r->arena, own);
    if (!r->own || (!book && !show(st, r, known))) {
        relation_free(r);
        return face_no_memory(err, "the shape of a table is too large");
    }
    relation_free(mf_by_id_put(&st->rels, own->id, r));
    *ret = r;
    return 0;
}

static int find(struct face_stream *st, const struct mf_table *own, struct relation **ret, struct mf_error *err)
{
    *ret = mf_by_id_find(&st->rels, own->id);
    return *ret ? 0 : learn(st, own, ret, err);
}

/* ---- items ---- */

static int show_truncate(struct face_stream *st, struct mf_change *c, struct mf_error *err)
{
    const struct mf_table **tables = mf_alloc_array(&st->item, c->ntruncated + 1u, sizeof(struct mf_table *));
    if (!tables) {
        return face_no_memory(err, "a TRUNCATE names too many tables");
    }
    for (uint16_t i = 0; i < c->ntruncated; i++) {
        struct relation *r;
        if (find(st, c->truncated[i], &r, err) < 0) {
            return -1;
        }
        tables[i] = r->shown ? r->shown : c->truncated[i];
    }
    c->truncated = tables;
    return 0;
}

static int show_change(struct face_stream *st, struct mf_change *c, struct mf_error *err)
{
    const struct face_db *f = face_of(st->base.db);
    struct relation *r;
    if (find(st, c->table, &r, err) < 0 || (c->op == MF_TRUNCATE && show_truncate(st, c, err) < 0)) {
        return -1;
    }
    if (!r->shown) {
        return 0;
    }
    c->table = r->shown;
    if (c->op == MF_TRUNCATE) {
        return 0;
    }
    if (c->has_old && face_row_shown(f, r->shown, &st->item, &c->old_row, &c->old_row, err) < 0) {
        return -1;
    }
    return c->op == MF_DELETE ? 0 : face_row_shown(f, r->shown, &st->item, &c->new_row, &c->new_row, err);
}

int face_stream_next(struct mf_stream *base, int timeout_ms, struct mf_item *ret, struct mf_error *err)
{
    struct face_stream *st = (struct face_stream *)base;
    mf_arena_reset(&st->item);
    st->own->old_whole = base->old_whole;
    if (own_ops(st)->stream_next(st->own, timeout_ms, ret, err) < 0) {
        return -1;
    }
    if (ret->kind == MF_ITEM_RELATION) {
        struct relation *r;
        if (learn(st, ret->table, &r, err) < 0) {
            return -1;
        }
        ret->table = r->shown ? r->shown : ret->table;
    }
    return ret->kind == MF_ITEM_CHANGE ? show_change(st, &ret->change, err) : 0;
}
