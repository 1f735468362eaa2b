/* The documents of a transaction, told before its COMMIT.
 *
 * They are read when readers see the transaction: as it left them, or newer. A later transaction that changed one of them tells of it again, as it is then, so that whoever
 * applies them in order ends at what is there. One that is not there any more is told as deleted: if it comes back, that is told later, too. */
#include "connector/shred/stream.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define AT_ONCE  50 /* documents read together */
#define AWAIT_US (60 * MF_US_PER_SEC)

void docs_held_free(struct docs_held *h)
{
    if (h) {
        docs_txn_free(h->txn);
        free(h->asked);
        free(h);
    }
}

void docs_held_add(struct docs_held *h, const struct mf_item *commit)
{
    h->commit = *commit;
    h->asked = mf_xreallocarray(h->asked, h->nasked + 1, sizeof *h->asked);
    h->asked[h->nasked++] = commit->shown ? commit->shown : commit->txn;
}

static int await(struct docs_stream *st, struct docs_held *h, bool *ret_wait, struct mf_error *err)
{
    struct docs_db *s = docs_of(st->base.db);
    if (docs_source(s)->visible(s->own, h->asked, h->nasked, &h->seen, err) < 0) {
        return -1;
    }
    *ret_wait = !h->seen;
    if (h->seen || mf_now_us() - h->since_us <= AWAIT_US) {
        return 0;
    }
    mf_fail(err, MF_RETRY, "MFUNSEEN",
            "the target has committed a transaction and does not show it yet; its documents have to be read there");
    mf_hint(err, "Its COMMIT waits inside the server, for a synchronous standby as a rule: look at its standbys");
    return -1;
}

/* ---- a page of documents ---- */

struct telling {
    struct docs_stream *st;
    const struct docs_held *h;
    const struct docs_real *c;
    size_t at; /* the note whose document comes next */
};

static struct mf_item *add_change(struct docs_stream *st, const struct docs_held *h)
{
    struct mf_item *item = docs_add_item(st, &h->commit);
    item->kind = MF_ITEM_CHANGE;
    item->subtxn = item->txn;
    return item;
}

static int tell(void *ctx, const struct mf_row *key, const struct mf_shred_rows *rows, struct mf_error *err)
{
    struct telling *g = ctx;
    const struct docs_note *note = &g->h->txn->notes[g->at++];
    (void)key;
    struct mf_change c = {.op = MF_UPDATE, .table = g->c->shown};
    if (rows->of[0].n) {
        struct mf_row row;
        if (docs_shown_row(g->c, &g->st->item, rows, false, &row, err) < 0) {
            return -1;
        }
        row.values[0] = note->id;
        c.new_row = row;
    } else {
        struct mf_value *v = mf_alloc_array(&g->st->item, 2, sizeof *v);
        if (!v) {
            return docs_no_memory(err, "a document is larger than the memory for it");
        }
        v[0] = note->id;
        v[1].kind = MF_UNCHANGED;
        c = (struct mf_change){
            .op = MF_DELETE, .table = g->c->shown, .has_old = true, .old_row = {.n = 2, .values = v}};
    }
    add_change(g->st, g->h)->change = c;
    return 0;
}

static void announce(struct docs_stream *st, const struct docs_held *h, const struct docs_real *c)
{
    size_t i = (size_t)(c - st->reals.of);
    if (!st->announced[i]) {
        struct mf_item *item = docs_add_item(st, &h->commit);
        *item = (struct mf_item){.kind = MF_ITEM_RELATION, .table = c->shown};
        st->announced[i] = true;
    }
}

static int read_page(struct docs_stream *st, struct docs_held *h, struct mf_reader *reader, struct mf_error *err)
{
    const struct docs_txn *t = h->txn;
    struct telling g = {.st = st, .h = h, .c = t->notes[h->at].c, .at = h->at};
    struct mf_row keys[AT_ONCE];
    size_t n = 0;
    while (n < AT_ONCE && h->at + n < t->n && t->notes[h->at + n].c == g.c) {
        if (docs_key_row(g.c, &st->item, &t->notes[h->at + n].id, &keys[n], err) < 0) {
            return -1;
        }
        n++;
    }
    announce(st, h, g.c);
    if (docs_fetch_each(reader, g.c, keys, n, tell, &g, NULL, err) < 0) {
        return -1;
    }
    h->at += n;
    return 0;
}

/* One snapshot for a page: none of its documents is torn. */
static int tell_page(struct docs_stream *st, struct docs_held *h, struct mf_error *err)
{
    struct docs_db *s = docs_of(st->base.db);
    const struct mf_source_ops *ops = docs_source(s);
    struct mf_snapshot *snapshot = NULL;
    struct mf_reader *reader = NULL;
    if (MF_FAULT(err, "shred.tell") || ops->snapshot_now(s->own, 1, &snapshot, err) < 0) {
        return -1;
    }
    int rc = ops->reader_open(s->own, snapshot, &reader, err) < 0 ? -1 : read_page(st, h, reader, err);
    ops->reader_close(reader);
    ops->snapshot_close(snapshot);
    return rc;
}

int docs_told_step(struct docs_stream *st, bool *ret_wait, struct mf_error *err)
{
    struct docs_held *h = st->held;
    *ret_wait = false;
    if (!h->seen) {
        return await(st, h, ret_wait, err);
    }
    if (h->at < h->txn->n) {
        return tell_page(st, h, err);
    }
    docs_add_item(st, &h->commit);
    docs_held_free(h);
    st->held = NULL;
    return 0;
}
