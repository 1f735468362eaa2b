/* Loading chunks: rows in canonical form, one by one or many at a time, into the real loader. The records of chunks and the quarantine have the real names. */
#include "connector/face/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

struct face_loader {
    struct mf_loader base;
    struct mf_loader *own;
    struct mf_arena tables;       /* of the chunk */
    struct mf_arena row;          /* of one call */
    struct face_applier *applier; /* of the real loader's, made when first asked for */
    const struct mf_table *via;   /* the columns of the rows, each with the target's type where it has the column */
};

static struct face_loader *loader_of(struct mf_loader *l)
{
    return (struct face_loader *)l;
}

static const struct mf_target_ops *own_ops(const struct face_loader *l)
{
    return l->own->db->connector->target;
}

int face_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    struct face_loader *l = mf_xcalloc(1, sizeof *l);
    l->base.db = db;
    mf_arena_init(&l->tables, FACE_SHAPE_BYTES);
    mf_arena_init(&l->row, FACE_ROW_BYTES);
    if (own->connector->target->loader_open(own, pipe, &l->own, err) < 0) {
        free(l);
        return -1;
    }
    *ret = &l->base;
    return 0;
}

void face_loader_close(struct mf_loader *base)
{
    struct face_loader *l = loader_of(base);
    if (l) {
        face_applier_free(l->applier);
        own_ops(l)->loader_close(l->own);
        mf_arena_free(&l->tables);
        mf_arena_free(&l->row);
        free(l);
    }
}

/* The rows come in the source's order of columns, and are of the target's types. A column that the target has not is left for it to refuse. */
static struct mf_table *through(struct face_loader *l, const struct mf_table *t, const struct mf_table *source_shape)
{
    static const struct mf_foreign unknown = {.type = {.kind = MF_KIND_OPAQUE}};
    struct mf_table *via = mf_table_copy(&l->tables, source_shape);
    if (!via || !(via->schema = mf_strdup_a(&l->tables, t->schema)) ||
        !(via->name = mf_strdup_a(&l->tables, t->name))) {
        return NULL;
    }
    for (uint16_t i = 0; i < via->ncolumns; i++) {
        struct mf_column *c = &via->columns[i];
        int at = mf_table_column(t, c->name);
        c->foreign = at >= 0 ? t->columns[at].foreign : &unknown;
    }
    return via;
}

int face_load_begin(struct mf_loader *base, const struct mf_table *t, const struct mf_table *source_shape,
                    int64_t stamp, struct mf_error *err)
{
    struct face_loader *l = loader_of(base);
    const struct face_db *f = face_of(base->db);
    mf_arena_reset(&l->tables);
    const struct mf_table *own = face_table_own(f, &l->tables, t, err);
    const struct mf_table *via = own ? through(l, t, source_shape) : NULL;
    if (!via) {
        return own ? face_no_memory(err, "the shape of a table is too large") : -1;
    }
    l->via = mf_table_copy(&l->tables, via); /* t is the caller's */
    const struct mf_table *own_via = l->via ? face_table_own(f, &l->tables, l->via, err) : NULL;
    if (!own_via) {
        return l->via ? -1 : face_no_memory(err, "the shape of a table is too large");
    }
    return own_ops(l)->load_begin(l->own, own, own_via, stamp, err);
}

int face_load_data(struct mf_loader *l, const void *data, size_t len, struct mf_error *err)
{
    (void)data, (void)len;
    return mf_fail(err, MF_FATAL, "MFUNSUP", "the wire bytes of another kind of database cannot be loaded into %s",
                   l->db->connector->name);
}

int face_load_row(struct mf_loader *base, const struct mf_row *row, struct mf_error *err)
{
    struct face_loader *l = loader_of(base);
    struct mf_row own;
    mf_arena_reset(&l->row);
    if (face_row_own(face_of(base->db), l->via, &l->row, false, row, &own, err) < 0) {
        return -1;
    }
    return own_ops(l)->load_row(l->own, &own, err);
}

int face_load_rows(struct mf_loader *base, const struct mf_row *rows, size_t n, struct mf_error *err)
{
    struct face_loader *l = loader_of(base);
    mf_arena_reset(&l->row);
    struct mf_row *own = mf_alloc_array(&l->row, n, sizeof *own);
    if (!own) {
        return face_no_memory(err, "rows are larger than the memory for translating them");
    }
    for (size_t i = 0; i < n; i++) {
        if (face_row_own(face_of(base->db), l->via, &l->row, false, &rows[i], &own[i], err) < 0) {
            return -1;
        }
    }
    return own_ops(l)->load_rows(l->own, own, n, err);
}

int face_load_applier(struct mf_loader *base, struct mf_applier **ret, struct mf_error *err)
{
    struct face_loader *l = loader_of(base);
    struct mf_applier *own = NULL;
    if (own_ops(l)->load_applier(l->own, &own, err) < 0) {
        return -1;
    }
    if (!l->applier) {
        l->applier = face_applier_of(base->db, own);
    }
    l->applier->own = own;
    *ret = &l->applier->base;
    return 0;
}

int face_load_quarantine(struct mf_loader *base, const struct mf_quarantined *q, struct mf_error *err)
{
    struct face_loader *l = loader_of(base);
    struct mf_quarantined own = *q;
    mf_strlcpy(own.schema, face_own_schema(face_of(base->db), q->schema), sizeof own.schema);
    return own_ops(l)->load_quarantine(l->own, &own, err);
}

int face_load_commit(struct mf_loader *base, const struct mf_chunk_done *done, struct mf_error *err)
{
    struct face_loader *l = loader_of(base);
    struct mf_chunk_done own = *done;
    mf_strlcpy(own.schema, face_own_schema(face_of(base->db), done->schema), sizeof own.schema);
    return own_ops(l)->load_commit(l->own, &own, err);
}

void face_load_abort(struct mf_loader *base)
{
    struct face_loader *l = loader_of(base);
    own_ops(l)->load_abort(l->own);
}

/* ---- what is loaded ---- */

struct renaming {
    const struct face_db *f;
    mf_chunk_done_sink *emit;
    void *ctx;
};

static int show_done(void *ctx, const struct mf_chunk_done *d, struct mf_error *err)
{
    const struct renaming *n = ctx;
    struct mf_chunk_done shown = *d;
    mf_strlcpy(shown.schema, face_shown_schema(n->f, d->schema), sizeof shown.schema);
    return n->emit(n->ctx, &shown, err);
}

int face_chunks_done(struct mf_db *db, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                     struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct renaming n = {.f = f, .emit = emit, .ctx = ctx};
    return f->own->connector->target->chunks_done(f->own, pipe, show_done, &n, err);
}

int face_table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_arena_init(&arena, FACE_SHAPE_BYTES);
    const struct mf_table *own = face_table_own(f, &arena, t, err);
    return own ? f->own->connector->target->table_reset(f->own, pipe, own, err) : -1;
}

int face_table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_arena_init(&arena, FACE_SHAPE_BYTES);
    const struct mf_table *own = face_table_own(f, &arena, t, err);
    return own ? f->own->connector->target->table_finish(f->own, own, err) : -1;
}
