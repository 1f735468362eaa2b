/* TRUNCATE on the side of tables.
 *
 * Of a root it empties the collection, with the tables that were named beside it. Of a child table alone it does not say which documents had rows there, and nobody knows any more:
 * it is told as what cannot be carried on (mf_item.cannot), which ends the way back while writes are here, and is somebody's write on the wrong side like any while they are not. It is told
 * at the COMMIT, when no savepoint can take it back. */
#include "connector/shred/stream.h"

/* Of one statement. */
struct statement {
    const struct docs_real **of; /* the collections it emptied */
    const struct mf_table **tables;
    uint32_t *rels;
    uint16_t n;
};

static bool emptied_with(const struct statement *s, const struct docs_real *c)
{
    for (uint16_t k = 0; k < s->n; k++) {
        if (s->of[k] == c) {
            return true;
        }
    }
    return false;
}

static void note_child(struct docs_txn *t, const struct docs_rel *r, uint64_t subtxn)
{
    for (uint8_t i = 0; i < t->nemptied; i++) {
        if (t->emptied[i].c == r->c && t->emptied[i].t == r->t && t->emptied[i].subtxn == subtxn) {
            return;
        }
    }
    if (t->nemptied == DOCS_EMPTIED) {
        t->emptied[DOCS_EMPTIED - 1].subtxn = t->id; /* no savepoint takes it back: rather once too often */
        return;
    }
    t->emptied[t->nemptied++] = (struct docs_emptied){.c = r->c, .t = r->t, .subtxn = subtxn};
}

int docs_emptied(struct docs_stream *st, const struct mf_item *own, struct mf_error *err)
{
    const struct mf_change *c = &own->change;
    struct docs_txn *t = docs_txn_find(st, own->txn, true);
    struct statement s = {.of = mf_alloc_array(&st->item, c->ntruncated + 1u, sizeof *s.of),
                          .tables = mf_alloc_array(&st->item, c->ntruncated + 1u, sizeof *s.tables),
                          .rels = mf_alloc_array(&st->item, c->ntruncated + 1u, sizeof *s.rels)};
    if (!s.of || !s.tables || !s.rels) {
        return docs_no_memory(err, "a TRUNCATE names too many tables");
    }
    for (int children = 0; children < 2; children++) {
        for (uint16_t i = 0; i < c->ntruncated; i++) {
            struct docs_rel *r;
            if (docs_rel_find(st, c->truncated[i], &r, err) < 0) {
                return -1;
            }
            if (r->how != DOCS_OURS) {
                continue;
            }
            if (!children && r->t == 0) {
                docs_note_emptied(t, r->c);
                s.of[s.n] = r->c;
                s.tables[s.n++] = r->c->shown;
            } else if (children && r->t && !emptied_with(&s, r->c)) {
                note_child(t, r, own->subtxn);
            }
        }
    }
    if (s.n) {
        struct mf_change *out = &docs_add_item(st, own)->change;
        t->handed_out = true;
        out->truncated = s.tables;
        out->truncated_rels = s.rels;
        out->ntruncated = s.n;
        out->table = s.tables[0];
    }
    t->handed_out = t->handed_out || t->nemptied;
    return 0;
}

void docs_emptied_undone(struct docs_txn *t, uint64_t subtxn)
{
    uint8_t n = 0;
    for (uint8_t i = 0; t && i < t->nemptied; i++) {
        if (t->emptied[i].subtxn != subtxn) {
            t->emptied[n++] = t->emptied[i];
        }
    }
    if (t) {
        t->nemptied = n;
    }
}

static const struct mf_error *cannot(struct mf_arena *arena, const struct docs_emptied *e)
{
    struct mf_error *why = mf_alloc0(arena, sizeof *why);
    mf_fail(why, MF_FATAL, "MFTRUNCATE",
            "table %s was truncated, which the documents of %s.%s go to in part: which of them had rows there is not "
            "known any more, and nothing from there on is carried back to the source",
            e->c->full[e->t]->name, e->c->of->database, e->c->of->collection);
    mf_hint(why, "DELETE in place of TRUNCATE is followed. The target has all writes and goes on without a way back: "
                 "midflight complete ends the migration there");
    return why;
}

int docs_emptied_tell(struct docs_stream *st, struct docs_txn *t, const struct mf_item *commit, struct mf_error *err)
{
    for (uint8_t i = 0; i < t->nemptied; i++) {
        const struct docs_emptied *e = &t->emptied[i];
        const struct mf_table **table = mf_alloc_array(&st->item, 1, sizeof *table);
        uint32_t *rel = mf_alloc_array(&st->item, 1, sizeof *rel);
        const struct mf_error *why = cannot(&st->item, e);
        if (!table || !rel || !why) {
            return docs_no_memory(err, "a TRUNCATE could not be told");
        }
        *table = e->c->shown;
        *rel = 0;
        struct mf_item *item = docs_add_item(st, commit);
        item->kind = MF_ITEM_CHANGE;
        item->subtxn = item->txn;
        item->cannot = why;
        item->change = (struct mf_change){
            .op = MF_TRUNCATE, .table = *table, .truncated = table, .truncated_rels = rel, .ntruncated = 1};
    }
    return 0;
}
