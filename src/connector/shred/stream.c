/* The way back: row changes of the tables are told as changes of the documents they belong to.
 *
 * Of a change only the document's key is taken, from the old row and the new one: every table of a collection has it in its key. At the transaction's COMMIT each document that was
 * touched is read and told whole, or as deleted (told.c). What a savepoint undid is read for nothing. A transaction of midflight's own is dropped by whoever reads this, so
 * nothing is read for it. */
#include "connector/shred/stream.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "change/bookkeeping.h"

#include <stdlib.h>
#include <string.h>

#define UNSEEN_US   (2 * MF_US_PER_MS) /* between two looks at whether a commit is shown */
#define TOGETHER    1000               /* documents, after which no other transaction is told with them */
#define NOTHING_MAX 1000               /* items in a row that are nobody's, before the caller hears that nothing came */

static struct docs_stream *stream_of(struct mf_stream *st)
{
    return (struct docs_stream *)st;
}

static const struct mf_source_ops *own_ops(const struct docs_stream *st)
{
    return st->own->db->connector->source;
}

int docs_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                     struct mf_stream **ret, struct mf_error *err)
{
    struct docs_db *s = docs_of(db);
    if (commits_wait) {
        return mf_fail(err, MF_FATAL, "MFUNSUP", "commits cannot wait for a stream that tells of documents");
    }
    struct docs_stream *st = mf_xcalloc(1, sizeof *st);
    st->base.db = db;
    st->pipe = *pipe;
    mf_arena_init(&st->item, DOCS_ROW_BYTES);
    st->announced = mf_xcalloc(mf_shred_count(s->map) + 1, sizeof *st->announced);
    if (docs_reals_read(s, DOCS_SHAPES, &st->reals, err) < 0 ||
        docs_source(s)->stream_open(s->own, pipe, from, false, &st->own, err) < 0) {
        docs_stream_close(&st->base);
        return -1;
    }
    *ret = &st->base;
    return 0;
}

void docs_stream_close(struct mf_stream *base)
{
    struct docs_stream *st = stream_of(base);
    if (!st) {
        return;
    }
    if (st->own) {
        own_ops(st)->stream_close(st->own);
    }
    for (size_t i = 0; i < st->rels.cap; i++) {
        docs_rel_free(st->rels.slots[i].p);
    }
    mf_by_id_free(&st->rels);
    for (struct docs_txn *t = st->txns, *next; t; t = next) {
        next = t->next;
        docs_txn_free(t);
    }
    docs_held_free(st->held);
    for (size_t i = 0; i < st->nlater; i++) {
        mf_arena_free(&st->later[i]);
    }
    free(st->later);
    docs_reals_free(&st->reals);
    mf_arena_free(&st->item);
    free(st->announced);
    free(st->items);
    free(st);
}

int docs_stream_ack(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err)
{
    return own_ops(stream_of(st))->stream_ack(stream_of(st)->own, durable, err);
}

void docs_stream_wake(struct mf_stream *st)
{
    own_ops(stream_of(st))->stream_wake(stream_of(st)->own);
}

int docs_stream_leave(struct mf_stream *st, struct mf_error *err)
{
    return own_ops(stream_of(st))->stream_leave(stream_of(st)->own, err);
}

/* ---- changes ---- */

struct mf_item *docs_add_item(struct docs_stream *st, const struct mf_item *like)
{
    if (st->nitems == st->items_cap) {
        st->items_cap = st->items_cap ? st->items_cap * 2 : 16;
        st->items = mf_xreallocarray(st->items, st->items_cap, sizeof *st->items);
    }
    st->items[st->nitems] = *like;
    return &st->items[st->nitems++];
}

/* key: of table r->t. */
static int note_odd(struct docs_stream *st, struct docs_txn *t, const struct docs_rel *r, const struct mf_row *key,
                    struct mf_error *err)
{
    const struct mf_shred_table *of = &r->c->of->tables[r->t], *root = &r->c->of->tables[0];
    struct mf_value *v = mf_alloc_array(&st->item, root->table->ncolumns + 1u, sizeof *v), id;
    if (!v) {
        return docs_no_memory(err, "a row is larger than the memory for it");
    }
    for (uint16_t k = 0; k < root->nroot; k++) {
        v[root->table->key[k]] = key->values[of->table->key[k]];
    }
    const struct mf_row row = {.n = root->table->ncolumns, .values = v};
    return docs_odd_id(r->c, &st->item, &row, &id, err) < 0 ? -1 : docs_note(t, r->c, &id, err);
}

static int note_row(struct docs_stream *st, struct docs_txn *t, const struct docs_rel *r, const struct mf_row *row,
                    struct mf_error *err)
{
    const struct mf_shred_table *of = &r->c->of->tables[r->t];
    struct mf_value *v = mf_alloc_array(&st->item, of->table->ncolumns + 1u, sizeof *v), id;
    if (!v) {
        return docs_no_memory(err, "a row is larger than the memory for it");
    }
    for (uint16_t i = 0; i < of->table->ncolumns; i++) {
        v[i].kind = MF_UNCHANGED;
    }
    for (uint16_t k = 0; k < of->nroot; k++) {
        const struct mf_value *is = r->at[k] < row->n ? &row->values[r->at[k]] : NULL;
        if (!is || is->kind == MF_UNCHANGED) {
            return mf_fail(err, MF_FATAL, "MFIMAGE", "a change of table %s does not say which row it is of",
                           of->table->name);
        }
        v[of->table->key[k]] = *is;
    }
    struct mf_row key = {.n = of->table->ncolumns, .values = v};
    if (mf_shred_row_id(r->c->of, &st->item, r->t, &key, &id, err) < 0) {
        if (err->cls != MF_ROW) {
            return -1;
        }
        mf_error_clear(err); /* no document has such an id: the row itself is told, and goes to the quarantine */
        return note_odd(st, t, r, &key, err);
    }
    return docs_note(t, r->c, &id, err);
}

static bool by_us(const struct docs_stream *st, const struct mf_change *c)
{
    char migration[64];
    return mf_bookkeeping(c->table) == MF_BOOK_CHECKPOINT &&
           (mf_book_text(c, "migration", migration, sizeof migration) < 0 || mf_streq(migration, st->pipe.migration));
}

static int show_change(struct docs_stream *st, const struct mf_item *own, struct mf_error *err)
{
    const struct mf_change *c = &own->change;
    struct docs_rel *r;
    if (c->op == MF_TRUNCATE) {
        return docs_emptied(st, own, err);
    }
    if (docs_rel_find(st, c->table, &r, err) < 0) {
        return -1;
    }
    if (r->how == DOCS_PASSES) {
        docs_add_item(st, own);
        if (by_us(st, c)) {
            docs_txn_find(st, own->txn, true)->ours = true;
        }
    }
    if (r->how != DOCS_OURS) {
        return 0;
    }
    struct docs_txn *t = docs_txn_find(st, own->txn, true);
    if (t->ours) {
        return 0;
    }
    return (c->has_old && note_row(st, t, r, &c->old_row, err) < 0) ||
                   (c->op != MF_DELETE && note_row(st, t, r, &c->new_row, err) < 0)
               ? -1
               : 0;
}

static int show_commit(struct docs_stream *st, const struct mf_item *own, struct mf_error *err)
{
    struct docs_txn *t = docs_txn_take(st, own->txn);
    if (t && !t->ours && docs_emptied_tell(st, t, own, err) < 0) {
        docs_txn_free(t);
        return -1;
    }
    if (!t || t->ours || t->n == 0) {
        docs_txn_free(t);
        docs_add_item(st, own);
        return 0;
    }
    st->held = mf_xcalloc(1, sizeof *st->held);
    *st->held = (struct docs_held){.txn = t, .since_us = mf_now_us(), .whole = t->handed_out};
    docs_held_add(st->held, own);
    return 0;
}

static int show(struct docs_stream *st, const struct mf_item *own, struct mf_error *err)
{
    struct docs_rel *r;
    switch (own->kind) {
    case MF_ITEM_RELATION:
        if (docs_rel_learn(st, own->table, &r, err) < 0) {
            return -1;
        }
        if (r->how == DOCS_PASSES) {
            docs_add_item(st, own);
        }
        return 0;
    case MF_ITEM_CHANGE:
        return show_change(st, own, err);
    case MF_ITEM_COMMIT:
        return show_commit(st, own, err);
    case MF_ITEM_ABORT:
        if (own->subtxn == own->txn) {
            docs_txn_free(docs_txn_take(st, own->txn));
        } else {
            docs_emptied_undone(docs_txn_find(st, own->txn, false), own->subtxn);
        }
        break;
    case MF_ITEM_NONE:
    case MF_ITEM_BEGIN:
    case MF_ITEM_PROGRESS:
        break;
    }
    docs_add_item(st, own);
    return 0;
}

/* ---- the stream ---- */

/* ---- transactions told as one ---- */

/* One that comes behind the one that is held takes over its documents, and ends as one. The position is then that of the last: whoever begins again before it gets them all again. */
static int take_over(struct docs_stream *st, const struct mf_item *commit, struct docs_txn *t, struct mf_error *err)
{
    struct docs_held *h = st->held;
    for (size_t i = 0; i < t->n; i++) {
        if (docs_note(h->txn, t->notes[i].c, &t->notes[i].id, err) < 0) {
            return -1;
        }
    }
    struct mf_item *over = docs_add_item(st, &h->commit);
    over->kind = MF_ITEM_ABORT;
    over->subtxn = over->txn;
    docs_held_add(h, commit);
    h->whole = h->txn->n >= TOGETHER;
    return 0;
}

/* Documents of one collection are read together. Where each transaction stays by itself its order stays, too. */
static void by_collection(struct docs_stream *st)
{
    struct docs_txn *t = st->held->txn;
    struct docs_note *sorted = mf_xcalloc(t->n, sizeof *sorted);
    size_t n = 0;
    for (size_t c = 0; c < st->reals.n; c++) {
        for (size_t i = 0; i < t->n; i++) {
            if (t->notes[i].c == &st->reals.of[c]) {
                sorted[n++] = t->notes[i];
            }
        }
    }
    memcpy(t->notes, sorted, n * sizeof *sorted);
    free(sorted);
}

/* *ret: it is done with. Else it has to wait until what is held is told. */
static int join(struct docs_stream *st, const struct mf_item *own, bool *ret, struct mf_error *err)
{
    struct docs_rel *r;
    *ret = false;
    if (own->kind == MF_ITEM_BEGIN) {
        docs_add_item(st, own);
        *ret = true;
        return 0;
    }
    if (own->kind == MF_ITEM_CHANGE && own->change.op != MF_TRUNCATE) {
        if (docs_rel_find(st, own->change.table, &r, err) < 0) {
            return -1;
        }
        *ret = r->how != DOCS_PASSES;
        return *ret ? show_change(st, own, err) : 0;
    }
    if (own->kind == MF_ITEM_RELATION && mf_bookkeeping(own->table) == MF_BOOK_NONE) {
        *ret = true;
        return docs_rel_learn(st, own->table, &r, err);
    }
    struct docs_txn *t = own->kind == MF_ITEM_COMMIT ? docs_txn_find(st, own->txn, false) : NULL;
    if (!t || t->ours || t->handed_out || t->n == 0) {
        return 0;
    }
    *ret = true;
    int rc = take_over(st, own, docs_txn_take(st, own->txn), err);
    docs_txn_free(t);
    return rc;
}

/* Where transactions follow each other closely, looking at the tables for each would cost more than all else. What has come is taken, and nothing waited for. */
static int gather(struct docs_stream *st, struct mf_error *err)
{
    struct docs_held *h = st->held;
    uint64_t first = h->commit.txn;
    for (int i = 0; !h->whole; i++) {
        struct mf_item own = {0};
        bool done = false;
        if (own_ops(st)->stream_next(st->own, 0, &own, err) < 0 || join(st, &own, &done, err) < 0) {
            return -1;
        }
        mf_arena_reset(&st->item); /* what was added has nothing in it */
        st->has_after = !done && own.kind != MF_ITEM_NONE;
        st->after = own;
        h->whole = h->whole || !done || i == NOTHING_MAX;
    }
    if (h->commit.txn != first) {
        by_collection(st);
    }
    return 0;
}

/* Of what is held back, or else of what comes. *ret_none: nothing came, for now. */
static int fill(struct docs_stream *st, int timeout_ms, bool *ret_none, struct mf_error *err)
{
    struct mf_item own = {0};
    *ret_none = false;
    if (st->held && !st->held->whole) {
        return gather(st, err);
    }
    if (st->held) {
        int rc = docs_told_step(st, ret_none, err);
        if (rc == 0 && *ret_none && timeout_ms > 0) {
            mf_sleep_us(UNSEEN_US);
        }
        return rc;
    }
    if (st->has_after) {
        own = st->after;
        st->has_after = false;
        return show(st, &own, err);
    }
    return own_ops(st)->stream_next(st->own, timeout_ms, &own, err) < 0 ? -1 : show(st, &own, err);
}

int docs_stream_next(struct mf_stream *base, int timeout_ms, struct mf_item *ret, struct mf_error *err)
{
    struct docs_stream *st = stream_of(base);
    bool none = false;
    for (int nothing = 0; st->at == st->nitems; nothing++) {
        st->at = st->nitems = 0;
        mf_arena_reset(&st->item);
        if (nothing == NOTHING_MAX || none) {
            *ret = (struct mf_item){.kind = MF_ITEM_NONE};
            return 0;
        }
        if (fill(st, timeout_ms, &none, err) < 0) {
            st->nitems = 0;
            return -1;
        }
    }
    *ret = st->items[st->at++];
    return 0;
}
