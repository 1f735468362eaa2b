/* Loading chunks of documents: their rows go into all their tables in the chunk's own transaction, through the real loader's applier.
 *
 * Documents given together go behind one mark. When one of them is refused, by the map or by the server, all of them are taken back and the caller gives them one by one, as it
 * does with rows; the one that is refused then goes to quarantine whole. */
#include "connector/shred/internal.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

struct docs_loader {
    struct mf_loader base;
    struct mf_loader *own;
    struct mf_applier *applier; /* the real one's, of this chunk; NULL: not asked for yet */
    struct docs_reals reals;
    const struct docs_real *to;
    struct mf_arena arena;         /* of the documents that are being given */
    struct mf_buf refused, reason; /* the document refused last, as it is shown, and why */
};

static struct docs_loader *loader_of(struct mf_loader *l)
{
    return (struct docs_loader *)l;
}

static const struct mf_target_ops *own_ops(const struct docs_loader *l)
{
    return l->own->db->connector->target;
}

int docs_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err)
{
    struct docs_db *s = docs_of(db);
    struct docs_loader *l = mf_xcalloc(1, sizeof *l);
    l->base.db = db;
    mf_arena_init(&l->arena, DOCS_ROW_BYTES);
    mf_buf_init(&l->refused, (size_t)64 << 20);
    mf_buf_init(&l->reason, (size_t)64 << 10);
    if (docs_target(s)->loader_open(s->own, pipe, &l->own, err) < 0) {
        docs_loader_close(&l->base);
        return -1;
    }
    *ret = &l->base;
    return 0;
}

void docs_loader_close(struct mf_loader *base)
{
    struct docs_loader *l = loader_of(base);
    if (l) {
        if (l->own) {
            own_ops(l)->loader_close(l->own);
        }
        docs_reals_free(&l->reals);
        mf_arena_free(&l->arena);
        mf_buf_free(&l->refused);
        mf_buf_free(&l->reason);
        free(l);
    }
}

/* source_shape is that of the collection, as t is. */
int docs_load_begin(struct mf_loader *base, const struct mf_table *t, const struct mf_table *source_shape,
                    int64_t stamp, struct mf_error *err)
{
    struct docs_loader *l = loader_of(base);
    (void)source_shape;
    l->applier = NULL;
    mf_buf_reset(&l->refused);
    if (docs_real_of(docs_of(base->db), &l->reals, t, &l->to, err) < 0) {
        return -1;
    }
    const struct mf_table *root = l->to->tables[0];
    return own_ops(l)->load_begin(l->own, root, root, stamp, err);
}

int docs_load_data(struct mf_loader *l, const void *data, size_t len, struct mf_error *err)
{
    (void)data, (void)len;
    return mf_fail(err, MF_FATAL, "MFUNSUP", "documents have no wire form that could be loaded into %s",
                   l->db->connector->name);
}

/* As many of them as are given at one time. */
static int give_some(struct docs_loader *l, const struct mf_row *rows, size_t n, size_t *ret_n, struct mf_error *err)
{
    size_t bytes = 0, k = 0;
    struct mf_batch b;
    mf_arena_reset(&l->arena);
    struct docs_change *changes = mf_alloc_array(&l->arena, DOCS_PAGE, sizeof *changes);
    if (!changes) {
        return docs_no_memory(err, "there are too many documents");
    }
    for (; k < n && k < DOCS_PAGE && (k == 0 || bytes < DOCS_GIVE_BYTES); k++) {
        if (docs_change_make(l->to, &l->arena, &rows[k], &rows[k].values[1], &changes[k], err) < 0) {
            return -1;
        }
        bytes += rows[k].values[1].len;
    }
    *ret_n = k;
    return docs_diff(l->to, &l->arena, changes, k, &b, err) < 0 ||
                   (b.ntables && own_ops(l)->window_batch(l->applier, &b, NULL, err) < 0)
               ? -1
               : 0;
}

static int give_all(struct docs_loader *l, const struct mf_row *rows, size_t n, struct mf_error *err)
{
    for (size_t i = 0, some = 0; i < n; i += some) {
        if (give_some(l, rows + i, n - i, &some, err) < 0) {
            return -1;
        }
    }
    return MF_FAULT(err, "shred.load")
    ? -1 : own_ops(l)->window_settle(l->applier, err);
}

int docs_load_rows(struct mf_loader *base, const struct mf_row *rows, size_t n, struct mf_error *err)
{
    struct docs_loader *l = loader_of(base);
    if ((!l->applier && own_ops(l)->load_applier(l->own, &l->applier, err) < 0) ||
        own_ops(l)->window_mark(l->applier, err) < 0) {
        return -1;
    }
    if (n == 0 || give_all(l, rows, n, err) == 0) {
        return 0;
    }
    if (err->cls != MF_ROW && err->cls != MF_CONFLICT) {
        return -1;
    }
    struct mf_error why = *err;
    if (own_ops(l)->window_back(l->applier, err) < 0) {
        return -1;
    }
    *err = why;
    err->cls = MF_ROW;
    return -1;
}

int docs_load_row(struct mf_loader *base, const struct mf_row *row, struct mf_error *err)
{
    struct docs_loader *l = loader_of(base);
    if (docs_load_rows(base, row, 1, err) == 0) {
        return 0;
    }
    if (err->cls == MF_ROW) {
        mf_buf_reset(&l->refused);
        mf_buf_reset(&l->reason);
        docs_put_reason(&l->reason, l->to, &l->arena, &row->values[1], err);
        docs_put_shown(&l->refused, &row->values[1]);
    }
    return -1;
}

/* The caller knows the document as bytes; what a person wants to see is what stands in it. */
int docs_load_quarantine(struct mf_loader *base, const struct mf_quarantined *q, struct mf_error *err)
{
    struct docs_loader *l = loader_of(base);
    struct mf_quarantined shown = *q;
    if (l->refused.len) {
        shown.row = mf_buf_str(&l->refused);
        shown.reason = mf_buf_str(&l->reason);
    }
    int rc = own_ops(l)->load_quarantine(l->own, &shown, err);
    mf_buf_reset(&l->refused);
    return rc;
}

int docs_load_commit(struct mf_loader *base, const struct mf_chunk_done *done, struct mf_error *err)
{
    struct docs_loader *l = loader_of(base);
    l->applier = NULL;
    return own_ops(l)->load_commit(l->own, done, err);
}

void docs_load_abort(struct mf_loader *base)
{
    struct docs_loader *l = loader_of(base);
    if (l) {
        l->applier = NULL;
        own_ops(l)->load_abort(l->own);
    }
}

int docs_table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err)
{
    struct docs_db *s = docs_of(db);
    struct docs_reals r = {0};
    const struct docs_real *c = NULL;
    int rc = docs_real_of(s, &r, t, &c, err);
    for (uint16_t i = 0; rc == 0 && i < c->of->ntables; i++) {
        rc = docs_target(s)->table_finish(s->own, c->full[i], err);
    }
    docs_reals_free(&r);
    return rc;
}
