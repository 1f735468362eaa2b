/*
 * Rows to a document: the same tree, walked in the map's order, which makes the normal form.
 *
 * Rows come in any order. Those of each table are put in the order of their keys, so that the children of one row lie together and in the order in which the walk comes to
 * their parents: one cursor for a table is enough, and whatever is left when the walk ends is nobody's child.
 */
#include "bson/internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cursor {
    size_t n, at;
    const struct mf_row **rows;
};

struct rebuild {
    const struct mf_shred_collection *of;
    struct mf_buf *b;
    struct mf_error *err;
    struct cursor *cursors; /* by table */
};

/* The name that an element gets. */
struct called {
    const char *key;
    uint32_t n;
};

/* What `rest` has at this place of the tree; nothing: end is NULL. */
typedef const uint8_t *rest_at;

/* 1: something was written, 0: it is missing, -1: refused. */
static int put(struct rebuild *r, const struct plan_node *n, struct called k, const struct mf_value *values,
               bool absent, rest_at rest);

static int refuse(struct rebuild *r, uint16_t table, const char *column, const char *why)
{
    return mf_fail(r->err, MF_ROW, "MFDOC", "table %s%s%s: the rows are no document's: %s",
                   r->of->tables[table].table->name, column ? ", column " : "", column ? column : "", why);
}

static const char *name_of(const struct rebuild *r, const struct plan_node *n, uint16_t column)
{
    return r->of->tables[n->table].table->columns[column].name;
}

/* ---- values ---- */

/* What the column of the presence says: 1, 0, or -1: null. -2: it is no such value. */
static int told(struct rebuild *r, const struct plan_node *n, const struct mf_value *values)
{
    const struct mf_value *v = &values[n->present];
    if (v->kind == MF_NULL && !n->column && n->null == MF_DOC_NULL) {
        return -1;
    }
    if (v->kind == MF_TEXT && v->len == 1 && (v->data[0] == '0' || v->data[0] == '1')) {
        return v->data[0] == '1';
    }
    refuse(r, n->table, name_of(r, n, n->present), "it does not say whether the path is there");
    return -2;
}

static int check_absent(struct rebuild *r, const struct plan_node *n, const struct mf_value *values)
{
    const struct mf_value absent = plan_absent(n->column);
    if (mf_value_equal(&values[n->column->at], &absent)) {
        return 0;
    }
    return refuse(r, n->table, name_of(r, n, n->column->at), "it has a value, and what it is part of is not there");
}

static int put_null(struct rebuild *r, struct called k)
{
    elem_put_key(r->b, BSON_TYPE_NULL, k.key, k.n);
    return 1;
}

static int put_value(struct rebuild *r, const struct plan_node *n, struct called k, const struct mf_value *values,
                     bool absent)
{
    const struct plan_column *c = n->column;
    const struct mf_value *v = &values[c->at];
    int there = n->told ? told(r, n, values) : absent ? 0 : 1;
    if (there == -2 || (absent && there)) {
        return there == -2 ? -1 : refuse(r, n->table, name_of(r, n, n->present), "what it is part of is not there");
    }
    if (!there) {
        return check_absent(r, n, values);
    }
    if (v->kind == MF_NULL && !n->told && c->missing == MF_DOC_NULL) {
        return 0;
    }
    if (v->kind == MF_NULL && c->null == MF_DOC_NULL) {
        return put_null(r, k);
    }
    const char *why = v->kind == MF_NULL ? "it is NULL, and the map has no meaning for that"
                                         : shred_to_bson(&c->type, v, k.key, k.n, r->b);
    return why ? refuse(r, n->table, name_of(r, n, c->at), why) : 1;
}

/* ---- sub-documents ---- */

/* The part of `rest` that is called so; NULL: none. */
static const uint8_t *rest_of(rest_at rest, const struct plan_node *n, struct elem *ret)
{
    struct elem_walk w;
    if (!rest) {
        return NULL;
    }
    elem_begin(&w, rest);
    while (elem_next(&w, ret)) {
        if (ret->nkey == n->len && memcmp(ret->key, n->name, n->len) == 0) {
            return ret->value;
        }
    }
    return NULL;
}

static bool is_document(const struct plan_node *n)
{
    return !n->column && !n->list && !n->ignored;
}

static int put_fields(struct rebuild *r, const struct plan_node *n, const struct mf_value *values, bool absent,
                      rest_at rest)
{
    int any = 0;
    uint16_t hint = 0;
    struct elem_walk w;
    struct elem e;
    for (uint16_t i = 0; i < n->nchildren; i++) {
        const struct plan_node *k = n->children[i];
        const uint8_t *inner = k->ignored ? NULL : rest_of(rest, k, &e);
        if (k->ignored) {
            continue;
        }
        if (inner && (!is_document(k) || !k->open || e.type != BSON_TYPE_DOCUMENT)) {
            return refuse(r, 0, name_of(r, r->of->plan->root, (uint16_t)r->of->plan->rest),
                          "it has what other columns have");
        }
        int rc = put(r, k, (struct called){k->name, k->len}, values, absent, inner);
        if (rc < 0) {
            return -1;
        }
        any |= rc;
    }
    if (!rest) {
        return any;
    }
    elem_begin(&w, rest);
    while (elem_next(&w, &e)) {
        int i = plan_child(n, e.key, e.nkey, &hint);
        if (i >= 0 && !n->children[i]->ignored) {
            continue;
        }
        if (i >= 0 || absent) {
            return refuse(r, 0, name_of(r, r->of->plan->root, (uint16_t)r->of->plan->rest),
                          absent ? "it has something of what is not there" : "it has what is ignored");
        }
        elem_put(r->b, e.key, e.nkey, &e);
        any = 1;
    }
    return any;
}

static int put_document(struct rebuild *r, const struct plan_node *n, struct called k, const struct mf_value *values,
                        bool absent, rest_at rest)
{
    int there = n->told ? told(r, n, values) : !absent;
    if (there == -2) {
        return -1;
    }
    if (there && absent) {
        return refuse(r, n->table, name_of(r, n, n->present), "what it is part of is not there");
    }
    if (there == 0 && n->nested) {
        return refuse(r, n->table, name_of(r, n, n->present), "an element is always there");
    }
    if (there <= 0) {
        return put_fields(r, n, values, true, rest) < 0 ? -1 : there ? put_null(r, k) : 0;
    }
    size_t before = r->b->len;
    if (n != r->of->plan->root) {
        elem_put_key(r->b, BSON_TYPE_DOCUMENT, k.key, k.n);
    }
    size_t at = elem_put_begin(r->b);
    int any = put_fields(r, n, values, false, rest);
    if (any < 0) {
        return -1;
    }
    if (!any && !n->told && !n->nested) {
        elem_cut(r->b, before);
        return 0;
    }
    elem_put_end(r->b, at);
    return 1;
}

/* ---- lists ---- */

/* The next row of the table, if it is a child of this one. */
static const struct mf_row *next_child(struct rebuild *r, const struct plan_list *l, const struct mf_value *parent)
{
    struct cursor *c = &r->cursors[l->table];
    const struct mf_table *up = r->of->tables[r->of->tables[l->table].parent].table;
    const struct mf_row *row = c->at < c->n ? c->rows[c->at] : NULL;
    for (uint16_t i = 0; row && i < l->nparent; i++) {
        row = mf_value_equal(&row->values[i], &parent[up->key[i]]) ? row : NULL;
    }
    c->at += row != NULL;
    return row;
}

static int put_elements(struct rebuild *r, const struct plan_list *l, const struct mf_value *parent)
{
    char index[24];
    const struct mf_row *row, *before = NULL;
    for (size_t i = 0; (row = next_child(r, l, parent)); i++, before = row) {
        const struct mf_value *own = &row->values[l->nparent];
        struct called k = {own->data, own->len};
        if (l->kind == MF_DOC_ARRAY) {
            int n = snprintf(index, sizeof index, "%zu", i);
            if (own->len != (uint32_t)n || memcmp(own->data, index, own->len) != 0) {
                return refuse(r, l->table, name_of(r, l->element, l->nparent),
                              "positions begin with 0 and have no gap");
            }
            k = (struct called){index, own->len};
        } else if (before && mf_value_equal(own, &before->values[l->nparent])) {
            return refuse(r, l->table, name_of(r, l->element, l->nparent), "a key is there twice");
        } else if (memchr(own->data, 0, own->len) || !mf_utf8_valid(own->data, own->len)) {
            return refuse(r, l->table, name_of(r, l->element, l->nparent), "it is no key of a document");
        }
        int rc = put(r, l->element, k, row->values, false, NULL);
        if (rc <= 0) {
            return rc < 0 ? -1 : refuse(r, l->table, NULL, "an element is missing");
        }
    }
    return 1;
}

static int put_one(struct rebuild *r, const struct plan_node *n, struct called k, const struct mf_value *values)
{
    const struct mf_row *row = next_child(r, n->list, values);
    if (!row) {
        return n->told ? refuse(r, n->list->table, NULL, "the column of its presence says that there is a row") : 0;
    }
    int rc = put(r, n->list->element, k, row->values, false, NULL);
    return rc ? rc : refuse(r, n->list->table, NULL, "an element is missing");
}

static int put_list(struct rebuild *r, const struct plan_node *n, struct called k, const struct mf_value *values,
                    bool absent)
{
    const struct plan_list *l = n->list;
    int there = n->told ? told(r, n, values) : !absent;
    if (there == -2) {
        return -1;
    }
    if (there && absent) {
        return refuse(r, n->table, name_of(r, n, n->present), "what it is part of is not there");
    }
    if (there <= 0) { /* rows that are there nevertheless are left when the walk ends */
        return there ? put_null(r, k) : 0;
    }
    if (l->kind == MF_DOC_ONE) {
        return put_one(r, n, k, values);
    }
    elem_put_key(r->b, l->kind == MF_DOC_ARRAY ? BSON_TYPE_ARRAY : BSON_TYPE_DOCUMENT, k.key, k.n);
    size_t at = elem_put_begin(r->b);
    if (put_elements(r, l, values) < 0) {
        return -1;
    }
    elem_put_end(r->b, at);
    return 1;
}

static int put(struct rebuild *r, const struct plan_node *n, struct called k, const struct mf_value *values,
               bool absent, rest_at rest)
{
    if (n->column) {
        return put_value(r, n, k, values, absent);
    }
    return n->list ? put_list(r, n, k, values, absent) : put_document(r, n, k, values, absent, rest);
}

/* ---- rows in order ---- */

static int compare_values(enum mf_kind kind, const struct mf_value *a, const struct mf_value *b)
{
    if (kind == MF_KIND_INT && a->len != b->len) { /* without a sign, and without zeros in front */
        return a->len < b->len ? -1 : 1;
    }
    uint32_t n = a->len < b->len ? a->len : b->len;
    int d = n ? memcmp(a->data, b->data, n) : 0;
    return d ? d : (a->len > b->len) - (a->len < b->len);
}

static int compare_rows(const void *a, const void *b, void *arg)
{
    const struct mf_shred_table *t = arg;
    const struct mf_row *x = *(const struct mf_row *const *)a, *y = *(const struct mf_row *const *)b;
    for (uint16_t i = t->nroot; i < t->table->nkey; i++) {
        int d = compare_values(t->table->columns[i].foreign->type.kind, &x->values[i], &y->values[i]);
        if (d) {
            return d;
        }
    }
    return 0;
}

static int take_rows(struct rebuild *r, struct mf_arena *arena, uint16_t t, const struct mf_shred_list *list)
{
    const struct mf_shred_table *table = &r->of->tables[t];
    struct cursor *c = &r->cursors[t];
    bool ordered = true;
    c->n = list->n;
    c->rows = mf_alloc_array(arena, list->n + 1, sizeof(struct mf_row *));
    if (!c->rows) {
        return shred_no_memory(r->err);
    }
    for (size_t i = 0; i < list->n; i++) {
        const struct mf_row *row = c->rows[i] = &list->rows[i];
        if (row->n != table->table->ncolumns) {
            return refuse(r, t, NULL, "a row has other columns");
        }
        for (uint16_t k = 0; k < table->table->nkey; k++) {
            if (!mf_value_has_bytes(&row->values[table->table->key[k]])) {
                return refuse(r, t, table->table->columns[table->table->key[k]].name, "a key is NULL");
            }
        }
        ordered =
            ordered && (t == 0 || i == 0 || compare_rows(&c->rows[i - 1], &c->rows[i], (void *)(uintptr_t)table) <= 0);
    }
    if (!ordered) {
        qsort_r(c->rows, c->n, sizeof *c->rows, compare_rows, (void *)(uintptr_t)table);
    }
    return 0;
}

/* `rest`, as BSON, behind b; 0: there is nothing. */
static int read_rest(struct rebuild *r, const struct mf_value *values, struct mf_buf *b, rest_at *ret)
{
    const struct shred_type json = {.type = DOC_JSON, .model = {.kind = MF_KIND_JSON}};
    int at = r->of->plan->rest;
    char where[ELEM_WHERE];
    if (at < 0 || values[at].kind == MF_NULL) {
        return 0;
    }
    const char *name = r->of->tables[0].table->columns[at].name, *why = shred_to_bson(&json, &values[at], "", 0, b);
    if (why || !mf_buf_ok(b)) {
        return why ? refuse(r, 0, name, why) : shred_no_memory(r->err);
    }
    /* A key twice, or a type that holds no fields. */
    if (b->data[0] != BSON_TYPE_DOCUMENT || elem_check(b->data + 2, b->len - 2, &why, where) < 0) {
        return refuse(r, 0, name, why ? why : "it is no object");
    }
    *ret = (const uint8_t *)b->data + 2;
    return 0;
}

int mf_shred_rebuild(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_shred_rows *rows,
                     struct mf_value *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MF_DOC_BYTES}, extra = {.max = MF_DOC_BYTES};
    struct rebuild r = {.of = c, .b = &b, .err = err, .cursors = mf_alloc_array(arena, c->ntables, sizeof *r.cursors)};
    rest_at rest = NULL;
    if (!r.cursors) {
        return shred_no_memory(err);
    }
    if (rows->ntables != c->ntables || rows->of[0].n != 1) {
        return refuse(&r, 0, NULL, "there is not one row of the document itself");
    }
    for (uint16_t t = 0; t < c->ntables; t++) {
        if (take_rows(&r, arena, t, &rows->of[t]) < 0) {
            return -1;
        }
    }
    const struct mf_value *values = rows->of[0].rows[0].values;
    if (read_rest(&r, values, &extra, &rest) < 0 ||
        put(&r, c->plan->root, (struct called){"", 0}, values, false, rest) < 0) {
        return -1;
    }
    for (uint16_t t = 1; t < c->ntables; t++) {
        if (r.cursors[t].at < r.cursors[t].n) {
            return refuse(&r, t, NULL, "a row has no parent");
        }
    }
    if (!mf_buf_ok(&b)) {
        return mf_fail(err, MF_ROW, "MFDOC", "the document of these rows is larger than %zu bytes", MF_DOC_BYTES);
    }
    char *copy = mf_memdup_a(arena, b.data, b.len);
    if (!copy) {
        return shred_no_memory(err);
    }
    const struct mf_value v = {MF_BINARY, (uint32_t)b.len, copy};
    if (shred_not_document(err, &v) < 0) { /* a key twice in what a JSON column has */
        return -1;
    }
    *ret = v;
    return 0;
}

int rebuild_id(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *values,
               struct mf_buf *b, struct mf_error *err)
{
    struct rebuild r = {.of = c, .b = b, .err = err};
    (void)arena;
    size_t at = elem_put_begin(b);
    int rc = put(&r, c->plan->id, (struct called){"_id", 3}, values, false, NULL);
    elem_put_end(b, at);
    if (rc < 0 || !mf_buf_ok(b)) {
        return rc < 0 ? -1 : shred_no_memory(err);
    }
    return rc ? 0 : refuse(&r, 0, NULL, "there is no _id");
}

int mf_shred_normal(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *bson,
                    struct mf_value *ret, struct mf_error *err)
{
    struct mf_shred_rows rows;
    if (mf_shred_document(c, arena, bson, &rows, err) < 0) {
        return -1;
    }
    return mf_shred_rebuild(c, arena, &rows, ret, err);
}
