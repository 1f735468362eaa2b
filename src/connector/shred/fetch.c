/* Documents as the rows they are: the root by its key, children by the columns of the document's key, which their keys begin with.
 *
 * A page of documents at a time; where those are too large for the memory of a page, fewer, down to one, which has the memory of a document. */
#include "connector/shred/internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

struct fetching {
    struct docs_docs *docs;
    struct mf_arena *arena;
    struct docs_keys keys;
    const struct mf_shred_table *of;
    uint16_t t;
};

/* The first nroot columns of a table's key are the document's. */
static int take(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct fetching *f = ctx;
    uint32_t at = *docs_keys_find(&f->keys, row, f->of->table->key);
    if (!at) {
        return 0; /* equal to what was asked for by the server's rules only: another document's */
    }
    struct mf_shred_list *list = &f->docs->rows[at - 1].of[f->t];
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 4;
        struct mf_row *rows = mf_alloc_array(f->arena, cap, sizeof *rows);
        if (!rows) {
            return mf_fail(err, MF_ABANDONED, "MFMANY", "the rows of a document are larger than the memory for them");
        }
        if (list->n) {
            memcpy(rows, list->rows, list->n * sizeof *rows);
        }
        list->rows = rows;
        list->cap = cap;
    }
    if (mf_row_copy(f->arena, &list->rows[list->n], row) < 0) {
        return mf_fail(err, MF_ABANDONED, "MFMANY", "the rows of a document are larger than the memory for them");
    }
    list->n++;
    return 0;
}

static int prepare(struct docs_docs *docs, const struct docs_real *c, struct mf_arena *arena, const struct mf_row *keys,
                   size_t n, struct mf_error *err)
{
    docs->n = n;
    docs->keys = keys;
    docs->rows = mf_alloc_array(arena, n + 1, sizeof *docs->rows);
    for (size_t i = 0; docs->rows && i < n; i++) {
        docs->rows[i].ntables = c->of->ntables;
        docs->rows[i].of = mf_alloc_array(arena, c->of->ntables, sizeof *docs->rows[i].of);
        if (!docs->rows[i].of) {
            docs->rows = NULL;
        }
    }
    return docs->rows ? 0 : mf_fail(err, MF_ABANDONED, "MFMANY", "there are too many documents");
}

/* Keys of the root as keys of a child. */
static struct mf_row *child_keys(struct mf_arena *arena, const struct mf_shred_table *root,
                                 const struct mf_shred_table *child, const struct mf_row *keys, size_t n)
{
    struct mf_row *ret = mf_alloc_array(arena, n + 1, sizeof *ret);
    for (size_t i = 0; ret && i < n; i++) {
        struct mf_value *v = mf_alloc_array(arena, child->table->ncolumns + 1u, sizeof *v);
        if (!v) {
            return NULL;
        }
        for (uint16_t k = 0; k < child->table->ncolumns; k++) {
            v[k].kind = MF_UNCHANGED;
        }
        for (uint16_t k = 0; k < root->nroot; k++) {
            v[child->table->key[k]] = keys[i].values[root->table->key[k]];
        }
        ret[i] = (struct mf_row){.n = child->table->ncolumns, .values = v};
    }
    return ret;
}

static void later(struct mf_position *at, const struct mf_position *seen)
{
    if (at && seen->order > at->order) {
        *at = *seen;
    }
}

static int fetch(struct mf_reader *own, const struct docs_real *c, struct fetching *f, const struct mf_row *keys,
                 size_t n, struct mf_position *after, struct mf_error *err)
{
    const struct mf_source_ops *ops = own->db->connector->source;
    const struct mf_shred_table *root = &c->of->tables[0];
    for (f->t = 0; f->t < c->of->ntables; f->t++) {
        struct mf_position seen = {0};
        f->of = &c->of->tables[f->t];
        const struct mf_row *asked = f->t ? child_keys(f->arena, root, f->of, keys, n) : keys;
        if (!asked) {
            return mf_fail(err, MF_ABANDONED, "MFMANY", "there are too many documents");
        }
        if (ops->read_rows(own, c->by_root[f->t], asked, n, take, f, &seen, err) < 0) {
            return -1;
        }
        later(after, &seen);
    }
    return 0;
}

int docs_fetch(struct mf_reader *own, const struct docs_real *c, struct mf_arena *arena, const struct mf_row *keys,
               size_t n, struct docs_docs *ret, struct mf_position *ret_after, struct mf_error *err)
{
    const struct mf_shred_table *root = &c->of->tables[0];
    struct fetching f = {.docs = ret, .arena = arena};
    if (prepare(ret, c, arena, keys, n, err) < 0 ||
        docs_keys_init(&f.keys, arena, root->table->key, root->nroot, keys, n, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        *docs_keys_find(&f.keys, &keys[i], root->table->key) = (uint32_t)i + 1;
    }
    return n ? fetch(own, c, &f, keys, n, ret_after, err) : 0;
}

static int give(const struct docs_docs *docs, docs_doc_sink *emit, void *ctx, struct mf_error *err)
{
    for (size_t i = 0; i < docs->n; i++) {
        if (emit(ctx, &docs->keys[i], &docs->rows[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int page(struct mf_reader *own, const struct docs_real *c, struct mf_arena *arena, const struct mf_row *keys,
                size_t n, docs_doc_sink *emit, void *ctx, struct mf_position *after, struct mf_error *err)
{
    struct docs_docs docs;
    mf_arena_reset(arena);
    arena->max_bytes = n > 1 ? DOCS_PAGE_BYTES : DOCS_ROW_BYTES;
    return docs_fetch(own, c, arena, keys, n, &docs, after, err) < 0 || give(&docs, emit, ctx, err) < 0 ? -1 : 0;
}

int docs_fetch_each(struct mf_reader *own, const struct docs_real *c, const struct mf_row *keys, size_t n,
                    docs_doc_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_arena_init(&arena, DOCS_PAGE_BYTES);
    size_t most = DOCS_PAGE;
    for (size_t i = 0; i < n;) {
        size_t now = n - i < most ? n - i : most;
        if (page(own, c, &arena, keys + i, now, emit, ctx, ret_after, err) == 0) {
            i += now;
            most = most < DOCS_PAGE ? most * 2 : most;
            continue;
        }
        if (!mf_streq(err->code, "MFMANY")) {
            return -1;
        }
        if (now == 1) {
            return mf_fail(err, MF_FATAL, "MFMEM", "the rows of a document of %s.%s are larger than %zu GB",
                           c->of->database, c->of->collection, DOCS_ROW_BYTES >> 30);
        }
        mf_error_clear(err);
        most = now / 2;
    }
    return 0;
}

/* Why there is no document: a value that no document of the source has, so that it differs always. */
static int refuse(struct mf_arena *arena, const struct mf_error *why, struct mf_value *ret, struct mf_error *err)
{
    if (why->cls != MF_ROW) {
        *err = *why;
        return -1;
    }
    const char *text = mf_strdup_a(arena, why->text[0] ? why->text : "the rows are no document's");
    if (!text) {
        return docs_no_memory(err, "a document is larger than the memory for it");
    }
    *ret = (struct mf_value){.kind = MF_REFUSED, .len = (uint32_t)strlen(text), .data = text};
    return 0;
}

int docs_shown_row(const struct docs_real *c, struct mf_arena *arena, const struct mf_shred_rows *rows, bool made,
                   struct mf_row *ret, struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(arena, 2, sizeof *v);
    const struct mf_row *root = &rows->of[0].rows[0];
    struct mf_error why;
    mf_error_clear(&why);
    if (!v) {
        return docs_no_memory(err, "a document is larger than the memory for it");
    }
    *ret = (struct mf_row){.n = 2, .values = v};
    if (mf_shred_row_id(c->of, arena, 0, root, &v[0], &why) < 0) {
        return refuse(arena, &why, &v[1], err) < 0 ? -1 : docs_odd_id(c, arena, root, &v[0], err);
    }
    return mf_shred_rebuild(c->of, arena, rows, &v[1], &why) < 0 || (made && mf_shred_check_made(c->of, rows, &why) < 0)
               ? refuse(arena, &why, &v[1], err)
               : 0;
}
