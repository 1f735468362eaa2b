/*
 * A collapsed batch into statements.
 *
 * Deletes, then updates, then inserts: so a key that only changes its spelling ('a' to 'A' where the collation takes them as equal) goes
 * before it comes.
 *
 * Strict (after the consistency point): every delete and update must find its row, every insert must not. Fuzzy (before it): the
 * target is somewhere between the copy and the stream. Whole rows are written over what is there. An update that is not whole
 * changes what it finds and reports what it does not, to be read again from the source. One that also moves the key is not tried at
 * all: the row found under the old key may be another one that was copied later, and its unchanged values would end up in the wrong
 * row. So the old key goes, and the new one is read again.
 */
#include "connector/mysql/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

bool my_same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t i = 0; i < t->nkey; i++) {
        const struct mf_value *x = &a->values[t->key[i]], *y = &b->values[t->key[i]];
        if (y->kind != MF_UNCHANGED && !mf_value_equal(x, y)) {
            return false;
        }
    }
    return true;
}

static int too_many(struct my_applier *a, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFBIG", "a batch has too many rows");
    return my_wire_fail(a, err);
}

struct list {
    const struct mf_row **rows;
    size_t n;
};

static int list_new(struct my_applier *a, size_t cap, struct list *ret, struct mf_error *err)
{
    ret->n = 0;
    ret->rows = mf_alloc_array(&a->scratch, cap + 1, sizeof *ret->rows);
    return ret->rows ? 0 : too_many(a, err);
}

/* ---- key order ---- */

struct keyed {
    int64_t key;
    const struct mf_row *row;
};

static int by_key(const void *x, const void *y)
{
    const struct keyed *a = x, *b = y;
    return a->key < b->key ? -1 : a->key > b->key;
}

static bool leading_integer(const struct mf_value *v, int64_t *ret)
{
    char text[24];
    if (v->kind != MF_TEXT || v->len >= sizeof text) {
        return false;
    }
    memcpy(text, v->data, v->len);
    text[v->len] = 0;
    return mf_parse_i64(text, ret);
}

/* Rows that are found by a number go in its order: they lie in the table in this order, so that neighbours are touched together, which on
 * a table larger than the cache is what the time is spent on. A matter of speed only: one row that does not fit leaves the order as it is. */
static void sort_rows(struct my_applier *a, const struct my_shape *s, struct list *l)
{
    struct keyed *order = l->n > 8 && s->table->nkey > 0 ? mf_alloc_array(&a->scratch, l->n, sizeof *order) : NULL;
    for (size_t i = 0; order && i < l->n; i++) {
        order[i].row = l->rows[i];
        if (!leading_integer(&l->rows[i]->values[s->table->key[0]], &order[i].key)) {
            return;
        }
    }
    if (order) {
        qsort(order, l->n, sizeof *order, by_key);
    }
    for (size_t i = 0; order && i < l->n; i++) {
        l->rows[i] = order[i].row;
    }
}

/* ---- what is read again ---- */

/* The key of an updated row as it is afterwards, with everything else MF_UNCHANGED. */
static int new_key(struct mf_arena *arena, const struct mf_table *t, const struct mf_row *old, const struct mf_row *now,
                   struct mf_row *ret)
{
    struct mf_value *v = mf_alloc_array(arena, t->ncolumns + 1u, sizeof *v);
    *ret = (struct mf_row){.n = t->ncolumns, .values = v};
    for (uint16_t c = 0; v && c < t->ncolumns; c++) {
        v[c].kind = MF_UNCHANGED;
    }
    for (uint16_t k = 0; v && k < t->nkey; k++) {
        uint16_t c = t->key[k];
        v[c] = now->values[c].kind == MF_UNCHANGED && old ? old->values[c] : now->values[c];
        if (v[c].kind == MF_TEXT || v[c].kind == MF_BINARY) {
            v[c].data = mf_memdup_a(arena, v[c].data, v[c].len);
            v = v[c].data ? v : NULL;
        }
    }
    return v ? 0 : -1;
}

/* The new key of a partial update waits for the answer that says whether its row was found. */
static int remember_partial(struct my_applier *a, const struct mf_table *t, const struct mf_rowchange *c,
                            struct mf_error *err)
{
    struct mf_row key;
    if (a->npartial == a->partial_cap) {
        a->partial_cap = a->partial_cap ? a->partial_cap * 2 : 64;
        a->partial = mf_xreallocarray(a->partial, a->partial_cap, sizeof *a->partial);
    }
    if (new_key(&a->keep, t, &c->old_row, &c->new_row, &key) < 0) {
        mf_fail(err, MF_CONFLICT, "MFBIG", "too many partial updates in one window");
        return my_wire_fail(a, err);
    }
    a->partial[a->npartial++] = (struct mf_missing){.table = t, .key = key};
    return 0;
}

/* ---- fuzzy ---- */

struct fuzzy {
    struct list gone, whole;
    const struct mf_rowchange **partial;
    size_t npartial;
};

static int sort_fuzzy(struct my_applier *a, const struct mf_batch_table *b, struct fuzzy *f, struct mf_error *err)
{
    for (size_t i = 0; i < b->ndeletes; i++) {
        f->gone.rows[f->gone.n++] = &b->deletes[i]->old_row;
    }
    for (size_t i = 0; i < b->nupdates; i++) {
        const struct mf_rowchange *c = b->updates[i];
        bool moves = c->op == MF_ROW_UPDATE && !my_same_key(b->table, &c->old_row, &c->new_row);
        if (moves) {
            f->gone.rows[f->gone.n++] = &c->old_row;
        }
        if (c->op == MF_ROW_REPLACE || mf_row_whole(&c->new_row)) {
            f->whole.rows[f->whole.n++] = &c->new_row;
        } else if (!moves) {
            f->partial[f->npartial++] = c;
        } else if (mf_result_missing(a->result, b->table, &c->new_row, err) < 0) {
            return my_wire_fail(a, err);
        }
    }
    for (size_t i = 0; i < b->ninserts; i++) {
        f->whole.rows[f->whole.n++] = &b->inserts[i]->new_row;
    }
    return 0;
}

static int update_found(struct my_applier *a, const struct my_shape *s, const struct fuzzy *f, struct mf_error *err)
{
    for (size_t i = 0; i < f->npartial; i++) {
        const struct mf_rowchange *c = f->partial[i];
        struct my_expect e = {.kind = MY_EXPECT_FOUND, .doing = "updating", .shape = s, .first = a->npartial};
        if (remember_partial(a, s->table, c, err) < 0 || my_update_row(a, s, &c->old_row, &c->new_row, &e, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_batch_fuzzy(struct my_applier *a, const struct mf_batch_table *b, struct mf_error *err)
{
    struct my_shape *s;
    struct fuzzy f = {0};
    size_t n = b->ndeletes + b->nupdates + b->ninserts;
    f.partial = mf_alloc_array(&a->scratch, b->nupdates + 1, sizeof(struct mf_rowchange *));
    if (!f.partial) {
        return too_many(a, err);
    }
    if (my_shape_for(a, b->table, &s, err) < 0 || list_new(a, n, &f.gone, err) < 0 ||
        list_new(a, n, &f.whole, err) < 0 || sort_fuzzy(a, b, &f, err) < 0) {
        return -1;
    }
    sort_rows(a, s, &f.gone);
    sort_rows(a, s, &f.whole);
    if (my_delete_rows(a, s, f.gone.rows, f.gone.n, false, err) < 0 || update_found(a, s, &f, err) < 0 ||
        my_put_rows(a, s, f.whole.rows, f.whole.n, err) < 0 || my_wire_flush(a, err) < 0) {
        return -1;
    }
    if (!a->has_quarantine) {
        return 0;
    }
    return my_unquarantine(a, b->table, f.gone.rows, f.gone.n, err) < 0 ||
                   my_unquarantine(a, b->table, f.whole.rows, f.whole.n, err) < 0
               ? -1
               : 0;
}

/* ---- strict ---- */

static int strict_keyed(struct my_applier *a, const struct my_shape *s, const struct mf_batch_table *b,
                        struct mf_error *err)
{
    struct my_expect one = {.kind = MY_EXPECT_ROWS, .doing = "updating", .shape = s, .want = 1};
    struct list gone, whole, come;
    if (list_new(a, b->ndeletes, &gone, err) < 0 || list_new(a, b->nupdates, &whole, err) < 0 ||
        list_new(a, b->ninserts, &come, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < b->ndeletes; i++) {
        gone.rows[gone.n++] = &b->deletes[i]->old_row;
    }
    for (size_t i = 0; i < b->ninserts; i++) {
        come.rows[come.n++] = &b->inserts[i]->new_row;
    }
    sort_rows(a, s, &gone);
    sort_rows(a, s, &come);
    if (my_delete_rows(a, s, gone.rows, gone.n, true, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < b->nupdates; i++) {
        const struct mf_rowchange *c = b->updates[i];
        const struct mf_row *old = c->op == MF_ROW_REPLACE ? &c->new_row : &c->old_row;
        if (mf_row_whole(&c->new_row) && my_same_key(s->table, old, &c->new_row)) {
            whole.rows[whole.n++] = &c->new_row;
        } else if (my_update_row(a, s, old, &c->new_row, &one, err) < 0) {
            return -1;
        }
    }
    sort_rows(a, s, &whole);
    return my_overwrite_rows(a, s, whole.rows, whole.n, err) < 0 || my_insert_rows(a, s, come.rows, come.n, err) < 0
               ? -1
               : 0;
}

/* An updated row of a table without a key: the old copy goes, the new one comes. What the source left out of the new row because it did not
 * change stands in the old one, which is whole. */
static const struct mf_row *filled(struct my_applier *a, const struct mf_rowchange *c)
{
    if (mf_row_whole(&c->new_row)) {
        return &c->new_row;
    }
    struct mf_row *r = mf_alloc(&a->scratch, sizeof *r);
    struct mf_value *v = mf_alloc_array(&a->scratch, c->new_row.n + 1u, sizeof *v);
    if (!r || !v) {
        return NULL;
    }
    for (uint16_t i = 0; i < c->new_row.n; i++) {
        v[i] = c->new_row.values[i].kind == MF_UNCHANGED ? c->old_row.values[i] : c->new_row.values[i];
    }
    *r = (struct mf_row){.n = c->new_row.n, .values = v};
    return r;
}

static uint32_t copies(const struct mf_rowchange *c)
{
    return c->count ? c->count : 1;
}

static int strict_copies(struct my_applier *a, const struct my_shape *s, const struct mf_batch_table *b,
                         struct mf_error *err)
{
    struct list come;
    size_t total = 0;
    for (size_t i = 0; i < b->nupdates + b->ninserts; i++) {
        total += copies(i < b->nupdates ? b->updates[i] : b->inserts[i - b->nupdates]);
    }
    if (list_new(a, total, &come, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < b->ndeletes + b->nupdates; i++) {
        const struct mf_rowchange *c = i < b->ndeletes ? b->deletes[i] : b->updates[i - b->ndeletes];
        if (my_delete_copies(a, s, &c->old_row, copies(c), err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < b->nupdates + b->ninserts; i++) {
        const struct mf_rowchange *c = i < b->nupdates ? b->updates[i] : b->inserts[i - b->nupdates];
        const struct mf_row *row = i < b->nupdates ? filled(a, c) : &c->new_row;
        if (!row) {
            return too_many(a, err);
        }
        for (uint32_t k = 0; k < copies(c); k++) {
            come.rows[come.n++] = row;
        }
    }
    return my_insert_rows(a, s, come.rows, come.n, err);
}

int my_batch_strict(struct my_applier *a, const struct mf_batch_table *b, struct mf_error *err)
{
    struct my_shape *s;
    if (my_shape_for(a, b->table, &s, err) < 0) {
        return -1;
    }
    return b->table->identity == MF_IDENTITY_FULL ? strict_copies(a, s, b, err) : strict_keyed(a, s, b, err);
}

/* ---- TRUNCATE ---- */

/* TRUNCATE TABLE is a statement of its own transaction here; the rows must go in this one. */
int my_batch_truncate(struct my_applier *a, const struct mf_change *c, struct mf_error *err)
{
    for (uint16_t i = 0; i < c->ntruncated; i++) {
        struct my_shape *s;
        if (my_shape_for(a, c->truncated[i], &s, err) < 0) {
            return -1;
        }
        struct my_expect e = {.kind = MY_EXPECT_WRITTEN, .doing = "truncating", .shape = s};
        mf_buf_puts(&a->sql, "DELETE FROM ");
        my_put_table(&a->sql, s->table);
        if (my_wire_end(a, &e, err) < 0) {
            return -1;
        }
        struct my_expect ok = {.kind = MY_EXPECT_OK, .doing = "clearing the quarantine of", .shape = s};
        mf_buf_puts(&a->sql, "DELETE FROM midflight.quarantine");
        my_put_quarantine_where(&a->sql, &a->pipe, s->table, NULL);
        if (my_wire_end(a, &ok, err) < 0) {
            return -1;
        }
    }
    return 0;
}
