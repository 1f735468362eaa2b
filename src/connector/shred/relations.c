/* The tables that the stream of the way back tells of: which of a collection's each is, and where it has the key of the document. */
#include "connector/shred/stream.h"

#include "base/mem.h"
#include "base/str.h"
#include "change/bookkeeping.h"

#include <stdlib.h>

#define MAX_SHAPES  200000u /* tables one stream has told of */
#define SHAPE_BYTES ((size_t)64 << 20)
#define MAX_LATER   64 /* times that the tables are read again */

void docs_rel_free(struct docs_rel *r)
{
    if (r) {
        mf_arena_free(&r->arena);
        free(r);
    }
}

static int take_key(struct docs_rel *r, const struct mf_table *t, struct mf_error *err)
{
    const struct mf_shred_table *of = &r->c->of->tables[r->t];
    r->at = mf_alloc_array(&r->arena, of->nroot + 1u, sizeof *r->at);
    if (!r->at) {
        return docs_no_memory(err, "the shape of a table is too large");
    }
    for (uint16_t k = 0; k < of->nroot; k++) {
        const char *name = of->table->columns[of->table->key[k]].name;
        int at = mf_table_column(t, name);
        if (at < 0) {
            mf_fail(err, MF_FATAL, "MFSHAPE",
                    "table %s.%s has no column \"%s\" any more, by which its documents are known; nothing is lost, the "
                    "target keeps its changes from there on",
                    t->schema, t->name, name);
            mf_hint(err, "give the table back the column and start midflight again");
            return -1;
        }
        r->at[k] = (uint16_t)at;
    }
    return 0;
}

static void find_collection(const struct docs_stream *st, const struct mf_table *t, struct docs_rel *r)
{
    for (size_t i = 0; i < st->reals.n; i++) {
        const struct docs_real *c = &st->reals.of[i];
        for (uint16_t k = 0; c->there && k < c->of->ntables; k++) {
            if (mf_streq(c->full[k]->name, t->name) && mf_streq(c->full[k]->schema, t->schema)) {
                r->how = DOCS_OURS;
                r->c = c;
                r->t = k;
                return;
            }
        }
    }
}

/* A table of the name that is not the one that was read: midflight has taken it in since (migration/target.c). The collections stay where they are. */
static int read_again(struct docs_stream *st, struct mf_error *err)
{
    struct docs_reals fresh = {0};
    if (st->nlater == MAX_LATER) {
        return mf_fail(err, MF_RETRY, "MFSHAPE",
                       "tables of the documents were dropped and made again too often; the stream is opened anew");
    }
    if (docs_reals_read(docs_of(st->base.db), DOCS_SHAPES, &fresh, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < fresh.n; i++) {
        if (!fresh.of[i].there) { /* whoever reads it hears so; what is held may refer to it */
            continue;
        }
        st->announced[i] = st->announced[i] && st->reals.of[i].shown->id == fresh.of[i].shown->id;
        st->reals.of[i] = fresh.of[i];
    }
    st->later = mf_xreallocarray(st->later, st->nlater + 1, sizeof *st->later);
    st->later[st->nlater++] = fresh.arena;
    return 0;
}

int docs_rel_learn(struct docs_stream *st, const struct mf_table *t, struct docs_rel **ret, struct mf_error *err)
{
    if (st->rels.n >= MAX_SHAPES) {
        return docs_no_memory(err, "the stream tells of too many tables");
    }
    struct docs_rel *r = mf_xcalloc(1, sizeof *r);
    mf_arena_init(&r->arena, SHAPE_BYTES);
    r->how = mf_bookkeeping(t) != MF_BOOK_NONE ? DOCS_PASSES : DOCS_LEFT_OUT;
    if (r->how == DOCS_LEFT_OUT) {
        find_collection(st, t, r);
    }
    bool another = r->how == DOCS_OURS && r->c->full[r->t]->id != t->id && !mf_by_id_find(&st->rels, t->id);
    if ((another && read_again(st, err) < 0) || (r->how == DOCS_OURS && take_key(r, t, err) < 0)) {
        docs_rel_free(r);
        return -1;
    }
    docs_rel_free(mf_by_id_put(&st->rels, t->id, r));
    *ret = r;
    return 0;
}

int docs_rel_find(struct docs_stream *st, const struct mf_table *t, struct docs_rel **ret, struct mf_error *err)
{
    *ret = mf_by_id_find(&st->rels, t->id);
    return *ret ? 0 : docs_rel_learn(st, t, ret, err);
}
