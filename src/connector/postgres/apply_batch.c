/*
 * A collapsed batch into statements.
 *
 * Strict (after the consistency point): every delete and update must find its row, every insert must not; the server
 * checks that. Fuzzy (before it): the target is somewhere between the copy and the stream. Whole rows are written
 * over what is there. An update that is not whole changes what it finds and reports what it does not, to be read again
 * from the source. One that also moves the key is not tried at all: the row found under the old key may be another one that was
 * copied later, and its unchanged values would end up in the wrong row. So the old key goes, and the new one is read again.
 */
#include "connector/postgres/apply.h"

#include "base/mem.h"

#include <string.h>

/* Rows on their way into one kind of statement. */
struct list {
    const struct mf_row **olds, **news;
    size_t n;
};

static int list_new(struct pg_applier *a, size_t cap, struct list *ret, struct mf_error *err)
{
    ret->n = 0;
    ret->olds = mf_alloc_array(&a->scratch, cap + 1, sizeof(*ret->olds));
    ret->news = mf_alloc_array(&a->scratch, cap + 1, sizeof(*ret->news));
    if (!ret->olds || !ret->news) {
        mf_fail(err, MF_FATAL, "MFBIG", "a batch has too many rows");
        a->failed = *err;
        return -1;
    }
    return 0;
}

static void list_add(struct list *l, const struct mf_row *old, const struct mf_row *now)
{
    l->olds[l->n] = old;
    l->news[l->n++] = now;
}

static int send_list(struct pg_applier *a, struct pg_shape *s, enum pg_stmt_kind kind, const struct list *l,
                     struct mf_error *err)
{
    struct pg_rows rows = {.olds = l->olds, .news = l->news, .n = l->n};
    return pg_send_rows(a, s, kind, false, NULL, &rows, err);
}

/* ---- updates that keep some columns: grouped by which ---- */

struct update {
    const struct mf_rowchange *c;
    uint8_t *unchanged; /* NULL: none */
    bool moves_key, done;
};

static int describe(struct pg_applier *a, const struct mf_table *t, const struct mf_rowchange *c, struct update *u,
                    struct mf_error *err)
{
    u->c = c;
    u->moves_key = !pg_same_key(t, &c->old_row, &c->new_row);
    if (mf_row_whole(&c->new_row)) {
        return 0;
    }
    u->unchanged = mf_alloc0(&a->scratch, (t->ncolumns + 7u) / 8);
    if (!u->unchanged) {
        mf_fail(err, MF_FATAL, "MFBIG", "a batch has too many rows");
        a->failed = *err;
        return -1;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (c->new_row.values[i].kind == MF_UNCHANGED) {
            u->unchanged[i / 8] |= (uint8_t)(1u << (i % 8));
        }
    }
    return 0;
}

static bool same_group(const struct mf_table *t, const struct update *x, const struct update *y)
{
    return x->moves_key == y->moves_key && !x->unchanged == !y->unchanged &&
           (!x->unchanged || memcmp(x->unchanged, y->unchanged, (t->ncolumns + 7u) / 8) == 0);
}

static int send_updates(struct pg_applier *a, struct pg_shape *s, enum pg_stmt_kind kind, struct update *u, size_t n,
                        struct mf_error *err)
{
    struct list l;
    if (list_new(a, n, &l, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (u[i].done) {
            continue;
        }
        l.n = 0;
        for (size_t j = i; j < n; j++) {
            if (!u[j].done && same_group(s->table, &u[i], &u[j])) {
                u[j].done = true;
                list_add(&l, &u[j].c->old_row, &u[j].c->new_row);
            }
        }
        struct pg_rows rows = {
            .olds = l.olds, .news = l.news, .n = l.n, .report = kind == PG_STMT_UPDATE_FOUND && a->result};
        if (pg_send_rows(a, s, kind, u[i].moves_key, u[i].unchanged, &rows, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- fuzzy ---- */

static int sort_fuzzy(struct pg_applier *a, const struct mf_batch_table *b, struct list *gone, struct list *whole,
                      struct update *partial, size_t *npartial, struct mf_error *err)
{
    for (size_t i = 0; i < b->ndeletes; i++) {
        list_add(gone, &b->deletes[i]->old_row, NULL);
    }
    for (size_t i = 0; i < b->nupdates; i++) {
        const struct mf_rowchange *c = b->updates[i];
        struct update u = {.c = c};
        if (c->op == MF_ROW_REPLACE) {
            list_add(whole, NULL, &c->new_row);
            continue;
        }
        if (describe(a, b->table, c, &u, err) < 0) {
            return -1;
        }
        if (u.moves_key) {
            list_add(gone, &c->old_row, NULL);
        }
        if (!u.unchanged) {
            list_add(whole, NULL, &c->new_row);
        } else if (!u.moves_key) {
            partial[(*npartial)++] = u;
        } else if (mf_result_missing(a->result, b->table, &c->new_row, err) < 0) {
            a->failed = *err;
            return -1;
        }
    }
    for (size_t i = 0; i < b->ninserts; i++) {
        list_add(whole, NULL, &b->inserts[i]->new_row);
    }
    return 0;
}

int pg_batch_fuzzy(struct pg_applier *a, const struct mf_batch_table *b, struct mf_error *err)
{
    struct pg_shape *s;
    struct list gone, whole;
    size_t n = b->ndeletes + b->nupdates + b->ninserts, npartial = 0;
    struct update *partial = mf_alloc_array(&a->scratch, b->nupdates + 1, sizeof(*partial));
    if (!partial) {
        mf_fail(err, MF_FATAL, "MFBIG", "a batch has too many rows");
        a->failed = *err;
        return -1;
    }
    if (pg_shape_for(a, b->table, &s, err) < 0 || list_new(a, n, &gone, err) < 0 || list_new(a, n, &whole, err) < 0 ||
        sort_fuzzy(a, b, &gone, &whole, partial, &npartial, err) < 0 ||
        send_list(a, s, PG_STMT_DELETE_LOOSE, &gone, err) < 0 ||
        send_updates(a, s, PG_STMT_UPDATE_FOUND, partial, npartial, err) < 0 ||
        send_list(a, s, PG_STMT_UPSERT, &whole, err) < 0) {
        return -1;
    }
    if (!a->has_quarantine) {
        return 0;
    }
    return pg_unquarantine(a, s->table, gone.olds, gone.n, err) < 0 ||
                   pg_unquarantine(a, s->table, whole.news, whole.n, err) < 0
               ? -1
               : 0;
}

/* ---- strict ---- */

static int strict_keyed(struct pg_applier *a, struct pg_shape *s, const struct mf_batch_table *b, struct mf_error *err)
{
    struct list gone, come;
    struct update *u = mf_alloc_array(&a->scratch, b->nupdates + 1, sizeof(*u));
    if (!u || list_new(a, b->ndeletes, &gone, err) < 0 || list_new(a, b->ninserts, &come, err) < 0) {
        return u ? -1 : mf_fail(err, MF_FATAL, "MFBIG", "a batch has too many rows");
    }
    for (size_t i = 0; i < b->ndeletes; i++) {
        list_add(&gone, &b->deletes[i]->old_row, NULL);
    }
    for (size_t i = 0; i < b->nupdates; i++) {
        struct mf_rowchange *c = b->updates[i];
        if (c->op == MF_ROW_REPLACE) { /* the row has this key already: an update of everything else */
            struct mf_rowchange *copy = mf_alloc0(&a->scratch, sizeof(*copy));
            if (!copy) {
                return mf_fail(err, MF_FATAL, "MFBIG", "a batch has too many rows");
            }
            *copy = *c;
            copy->old_row = c->new_row;
            c = copy;
        }
        if (describe(a, b->table, c, &u[i], err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < b->ninserts; i++) {
        list_add(&come, NULL, &b->inserts[i]->new_row);
    }
    return send_list(a, s, PG_STMT_DELETE, &gone, err) < 0 ||
                   send_updates(a, s, PG_STMT_UPDATE, u, b->nupdates, err) < 0 ||
                   send_list(a, s, PG_STMT_INSERT, &come, err) < 0
               ? -1
               : 0;
}

/* An updated row of a table without a key: the old copy goes, the new one comes. What the source left out of the new row
 * because it did not change stands in the old one, which is whole. */
static const struct mf_row *filled(struct pg_applier *a, const struct mf_rowchange *c)
{
    if (mf_row_whole(&c->new_row)) {
        return &c->new_row;
    }
    struct mf_row *r = mf_alloc(&a->scratch, sizeof(*r));
    struct mf_value *v = mf_alloc_array(&a->scratch, c->new_row.n, sizeof(*v));
    if (!r || !v) {
        return NULL;
    }
    for (uint16_t i = 0; i < c->new_row.n; i++) {
        v[i] = c->new_row.values[i].kind == MF_UNCHANGED ? c->old_row.values[i] : c->new_row.values[i];
    }
    *r = (struct mf_row){.n = c->new_row.n, .values = v};
    return r;
}

static int strict_copies(struct pg_applier *a, struct pg_shape *s, const struct mf_batch_table *b, struct mf_error *err)
{
    struct list gone, come;
    size_t n = b->ndeletes + b->nupdates, total = b->nupdates;
    uint32_t *counts = mf_alloc_array(&a->scratch, n + 1, sizeof(*counts));
    for (size_t i = 0; i < b->ninserts; i++) {
        total += b->inserts[i]->count;
    }
    for (size_t i = 0; i < b->nupdates; i++) {
        total += b->updates[i]->count;
    }
    if (!counts || list_new(a, n, &gone, err) < 0 || list_new(a, total, &come, err) < 0) {
        return counts ? -1 : mf_fail(err, MF_FATAL, "MFBIG", "a batch has too many rows");
    }
    for (size_t i = 0; i < n; i++) {
        const struct mf_rowchange *c = i < b->ndeletes ? b->deletes[i] : b->updates[i - b->ndeletes];
        counts[gone.n] = c->count ? c->count : 1;
        list_add(&gone, &c->old_row, NULL);
        if (i >= b->ndeletes) {
            const struct mf_row *r = filled(a, c);
            for (uint32_t k = 0; r && k < counts[gone.n - 1]; k++) {
                list_add(&come, NULL, r);
            }
        }
    }
    for (size_t i = 0; i < b->ninserts; i++) {
        for (uint32_t k = 0; k < b->inserts[i]->count; k++) {
            list_add(&come, NULL, &b->inserts[i]->new_row);
        }
    }
    struct pg_rows rows = {.olds = gone.olds, .counts = counts, .n = gone.n};
    return pg_send_rows(a, s, PG_STMT_DELETE_COPIES, false, NULL, &rows, err) < 0 ||
                   send_list(a, s, PG_STMT_INSERT, &come, err) < 0
               ? -1
               : 0;
}

int pg_batch_strict(struct pg_applier *a, const struct mf_batch_table *b, struct mf_error *err)
{
    struct pg_shape *s;
    if (pg_shape_for(a, b->table, &s, err) < 0) {
        return -1;
    }
    int rc = b->table->identity == MF_IDENTITY_FULL ? strict_copies(a, s, b, err) : strict_keyed(a, s, b, err);
    if (rc < 0 && a->failed.cls == MF_OK) {
        a->failed = *err;
    }
    return rc;
}
