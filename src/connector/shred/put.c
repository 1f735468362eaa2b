/* What a change of documents is to their tables: row by row, by key.
 *
 * Why it is right: rows of a document are found by its key in every table, and nobody else writes here; so what was read and what was told of in this window is all there is.
 * Every new row is there afterwards, because it was there in the same form, or is written; no other is, because what was there and is not new is deleted. */
#include "connector/shred/internal.h"

#include "base/mem.h"

#include <string.h>

#define SHOWN_BYTES ((size_t)1 << 20) /* of a document, in the quarantine */

static int too_large(struct mf_error *err)
{
    return docs_no_memory(err, "the rows of documents are larger than the memory for them");
}

void docs_put_shown(struct mf_buf *b, const struct mf_value *doc)
{
    if (doc && (doc->kind == MF_BINARY || doc->kind == MF_TEXT)) {
        mf_bson_put_json(b, doc, SHOWN_BYTES);
    }
    if (b->len == 0 || !mf_buf_ok(b)) {
        mf_buf_reset(b);
        mf_buf_puts(b, "{}");
    }
}

void docs_put_reason(struct mf_buf *b, const struct docs_real *c, struct mf_arena *arena, const struct mf_value *doc,
                     const struct mf_error *why)
{
    if (strcmp(why->code, "MFDOC") == 0 && doc && doc->kind == MF_BINARY) {
        mf_shred_reasons(c->of, arena, doc, b);
        while (b->len > 0 && b->data[b->len - 1] == '\n') { /* between reasons, not after them */
            b->data[--b->len] = 0;
        }
    }
    if (b->len == 0 || !mf_buf_ok(b)) {
        mf_buf_reset(b);
        mf_buf_puts(b, why->text);
    }
}

int docs_refused_value(const struct mf_value *v, struct mf_error *err)
{
    return mf_fail(err, MF_ROW, "MFVALUE", "%.*s", v->kind == MF_REFUSED ? (int)v->len : 0, v->data ? v->data : "");
}

int docs_change_make(const struct docs_real *c, struct mf_arena *arena, const struct mf_row *key,
                     const struct mf_value *doc, struct docs_change *ret, struct mf_error *err)
{
    struct mf_error why;
    mf_error_clear(&why);
    *ret = (struct docs_change){.key = key, .doc = doc};
    ret->rows.ntables = c->of->ntables;
    ret->rows.of = mf_alloc_array(arena, c->of->ntables, sizeof *ret->rows.of);
    if (!ret->rows.of) {
        return too_large(err);
    }
    const struct mf_value *id = &key->values[0];
    if (id->kind != MF_TEXT) {
        return doc ? docs_refused_value(id, err) : 0; /* no document here has such an id */
    }
    if (docs_key_row(c, arena, id, &ret->root, &why) < 0) {
        if (why.cls != MF_ROW || doc) {
            *err = why;
            return -1;
        }
        ret->root = (struct mf_row){0};
        return 0;
    }
    if (!doc) {
        return 0;
    }
    if (doc->kind == MF_REFUSED) {
        return docs_refused_value(doc, err);
    }
    return mf_shred_document(c->of, arena, doc, &ret->rows, err);
}

/* ---- the differences of one table ---- */

struct differing {
    const struct mf_shred_table *of;
    struct mf_arena *arena;
    struct mf_batch_table *gone, *put;
};

static int add(struct differing *d, struct mf_rowchange ***list, size_t *n, enum mf_rowop op, const struct mf_row *row,
               struct mf_error *err)
{
    struct mf_rowchange *c = mf_alloc0(d->arena, sizeof *c);
    if (!c) {
        return too_large(err);
    }
    *c = (struct mf_rowchange){.op = op, .count = 1};
    *(op == MF_ROW_DELETE ? &c->old_row : &c->new_row) = *row;
    (*list)[(*n)++] = c;
    return 0;
}

/* Of one document. */
static int differ(struct differing *d, const struct mf_shred_list *was, const struct mf_shred_list *now,
                  struct mf_error *err)
{
    const struct mf_table *t = d->of->table;
    struct docs_keys keys;
    bool *kept = mf_alloc_array(d->arena, was->n + 1, sizeof *kept);
    if (!kept || docs_keys_init(&keys, d->arena, t->key, t->nkey, was->rows, was->n, err) < 0) {
        return kept ? -1 : too_large(err);
    }
    for (size_t i = 0; i < was->n; i++) {
        *docs_keys_find(&keys, &was->rows[i], t->key) = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < now->n; i++) {
        uint32_t at = *docs_keys_find(&keys, &now->rows[i], t->key);
        if (at && !kept[at - 1]) {
            kept[at - 1] = true;
            if (docs_same(&was->rows[at - 1], &now->rows[i])) {
                continue;
            }
        }
        if (at ? add(d, &d->put->updates, &d->put->nupdates, MF_ROW_REPLACE, &now->rows[i], err) < 0
               : add(d, &d->put->inserts, &d->put->ninserts, MF_ROW_INSERT, &now->rows[i], err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < was->n; i++) {
        if (!kept[i] && add(d, &d->gone->deletes, &d->gone->ndeletes, MF_ROW_DELETE, &was->rows[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int table(const struct docs_real *c, struct differing *d, uint16_t t, const struct docs_change *changes,
                 size_t n, struct mf_error *err)
{
    static const struct mf_shred_list none;
    size_t was = 0, now = 0;
    for (size_t i = 0; i < n; i++) {
        was += changes[i].was ? changes[i].was->of[t].n : 0;
        now += changes[i].rows.of[t].n;
    }
    d->of = &c->of->tables[t];
    *d->gone = *d->put = (struct mf_batch_table){.table = c->tables[t]};
    d->gone->deletes = mf_alloc_array(d->arena, was + 1, sizeof(struct mf_rowchange *));
    d->put->updates = mf_alloc_array(d->arena, now + 1, sizeof(struct mf_rowchange *));
    d->put->inserts = mf_alloc_array(d->arena, now + 1, sizeof(struct mf_rowchange *));
    if (!d->gone->deletes || !d->put->updates || !d->put->inserts) {
        return too_large(err);
    }
    for (size_t i = 0; i < n; i++) {
        if (differ(d, changes[i].was ? &changes[i].was->of[t] : &none, &changes[i].rows.of[t], err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Nothing of a table is left out of the batch but the table. */
static void pack(struct mf_batch *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->ntables; i++) {
        const struct mf_batch_table *t = &b->tables[i];
        size_t rows = t->ndeletes + t->nupdates + t->ninserts;
        b->rows += rows;
        if (rows) {
            b->tables[n++] = *t;
        }
    }
    b->ntables = n;
}

int docs_diff(const struct docs_real *c, struct mf_arena *arena, const struct docs_change *changes, size_t n,
              struct mf_batch *ret, struct mf_error *err)
{
    uint16_t nt = c->of->ntables;
    *ret = (struct mf_batch){.ntables = 2u * nt, .tables = mf_alloc_array(arena, 2u * nt, sizeof *ret->tables)};
    if (!ret->tables) {
        return too_large(err);
    }
    for (uint16_t t = 0; t < nt; t++) {
        struct differing d = {.arena = arena, .gone = &ret->tables[nt - 1 - t], .put = &ret->tables[nt + t]};
        if (table(c, &d, t, changes, n, err) < 0) {
            return -1;
        }
    }
    pack(ret);
    return 0;
}
