/*
 * A document to rows: one walk through it and the map's tree together.
 *
 * Every visit says whether the path will be there when the document is rebuilt from its rows. A sub-document that is there, and would not be, is refused: nothing of it
 * would tell it from a missing one. So what is accepted is only changed where a rule of the map says so.
 *
 * What is refused does not end the walk: all reasons are told.
 */
#include "bson/internal.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "bson/reasons.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct walk {
    const struct mf_shred_collection *of;
    struct mf_arena *arena;
    struct mf_shred_rows *rows;
    struct reasons why;
    struct reasons_at at[2 * PLAN_DEPTH + 4];
    size_t depth;
    const struct elem *document;
    bool rest;   /* something goes there */
    bool hollow; /* the last sub-document has ignored fields and nothing else */
    bool full;
};

static bool visit(struct walk *w, const struct plan_node *n, const struct elem *e, struct mf_value *values,
                  bool absent);

static void refuse(struct walk *w, const struct elem *e, const char *why)
{
    reasons_add(&w->why, w->at, w->depth, e, why);
}

static void set(struct mf_value *v, const char *text)
{
    *v = (struct mf_value){MF_TEXT, (uint32_t)strlen(text), text};
}

static void set_null(struct mf_value *v)
{
    *v = (struct mf_value){.kind = MF_NULL};
}

/* ---- values ---- */

static void put_time(struct walk *w, const struct plan_column *c, struct mf_value *values)
{
    char text[32];
    if (c->time < 0) {
        return;
    }
    size_t n = made_time(&values[c->at], text);
    if (n == 0) {
        set_null(&values[c->time]);
        return;
    }
    char *copy = mf_memdup_a(w->arena, text, n);
    w->full = w->full || !copy;
    values[c->time] = (struct mf_value){MF_TEXT, (uint32_t)n, copy};
}

/* The value by a rule; false: there is no rule for it. ret_there: it will be there. */
static bool by_rule(const struct plan_node *n, enum mf_doc_rule rule, struct mf_value *v, bool *ret_there)
{
    if (rule == MF_DOC_DEFAULT) {
        *v = n->column->fallback;
        *ret_there = true;
        return true;
    }
    if (rule == MF_DOC_NULL) {
        set_null(v);
        *ret_there = n->told || n->column->missing != MF_DOC_NULL;
        return true;
    }
    return false;
}

static bool missing_value(struct walk *w, const struct plan_node *n, struct mf_value *values, bool absent)
{
    struct mf_value *v = &values[n->column->at];
    bool there = false;
    if (n->told) {
        set(&values[n->present], "0");
    }
    if (n->told || absent) {
        *v = plan_absent(n->column);
    } else if (!by_rule(n, n->column->missing, v, &there)) {
        refuse(w, NULL, "it is missing");
        there = true;
    }
    return there;
}

static bool visit_value(struct walk *w, const struct plan_node *n, const struct elem *e, struct mf_value *values)
{
    const struct plan_column *c = n->column;
    struct mf_value *v = &values[c->at];
    const char *why = "it is null";
    /* null is a value like others in a column of JSON, and as an _id. */
    bool there = true, takes_null = c->type.type == DOC_JSON || (c->type.type == DOC_ID && n->in_id);
    enum mf_doc_rule rule = c->null;
    if (n->told) {
        set(&values[n->present], "1");
    }
    if (e->type != BSON_TYPE_NULL || (takes_null && c->null == MF_DOC_REJECT)) {
        enum shred_how how = n->in_id ? SHRED_NUMBERS : c->wrong == MF_DOC_COERCE ? SHRED_COERCE : SHRED_EXACT;
        enum shred_fit fit = shred_from_bson(&c->type, w->arena, e, how, v, &why);
        if (fit == SHRED_FITS) {
            return true;
        }
        w->full = w->full || fit == SHRED_FULL;
        rule = fit == SHRED_RANGE ? c->range : c->wrong;
    }
    if (!by_rule(n, rule, v, &there)) {
        set_null(v);
        refuse(w, e, why);
    }
    return there;
}

static bool visit_leaf(struct walk *w, const struct plan_node *n, const struct elem *e, struct mf_value *values,
                       bool absent)
{
    bool is_missing = !e || (e->type == BSON_TYPE_NULL && n->column->null == MF_DOC_MISSING);
    bool there = is_missing ? missing_value(w, n, values, absent) : visit_value(w, n, e, values);
    put_time(w, n->column, values);
    return there;
}

/* ---- sub-documents ---- */

/* None of it is there. */
static bool visit_no_fields(struct walk *w, const struct plan_node *n, struct mf_value *values, bool absent)
{
    bool there = false;
    for (uint16_t i = 0; i < n->nchildren; i++) {
        const struct plan_node *k = n->children[i];
        if (!k->ignored) {
            w->at[w->depth++] = (struct reasons_at){.name = k->name, .len = k->len};
            there = visit(w, k, NULL, values, absent) || there;
            w->depth--;
        }
    }
    return there;
}

static bool visit_fields(struct walk *w, const struct plan_node *n, const struct elem *e, struct mf_value *values)
{
    bool few[64] = {false}, there = false, spoken = false;
    bool *seen = n->nchildren <= MF_ARRAY_LEN(few) ? few : mf_alloc_array(w->arena, n->nchildren, sizeof *seen);
    uint16_t hint = 0, last = 0;
    struct elem_walk inner;
    struct elem field;
    if (!seen) {
        w->full = true;
        return true;
    }
    elem_begin(&inner, e->value);
    while (elem_next(&inner, &field)) {
        int i = plan_child(n, field.key, field.nkey, &hint);
        const struct plan_node *k = i < 0 ? NULL : n->children[i];
        if (k && k->ignored) {
            continue;
        }
        w->at[w->depth++] = (struct reasons_at){.name = field.key, .len = field.nkey};
        w->hollow = false;
        if (!k && n->open) {
            w->rest = there = true;
        } else if (!k) {
            refuse(w, &field, "the map does not speak of it");
        } else {
            if (n->in_id && i < last) {
                refuse(w, &field, "the fields of the _id are in another order than in the map");
            }
            last = (uint16_t)i;
            seen[i] = true;
            there = visit(w, k, &field, values, false) || there;
        }
        spoken = spoken || !w->hollow;
        w->depth--;
    }
    for (uint16_t i = 0; i < n->nchildren; i++) {
        const struct plan_node *k = n->children[i];
        if (!seen[i] && !k->ignored) {
            w->at[w->depth++] = (struct reasons_at){.name = k->name, .len = k->len};
            there = visit(w, k, NULL, values, false) || there;
            w->depth--;
        }
    }
    w->hollow = !spoken && !there && elem_int32(e->value) > 5;
    if (!there && !w->hollow && !n->nested && !n->told) {
        refuse(w, e, "it could not be told from a missing one; the map needs a column with \"present\" for it");
    }
    return there;
}

static bool visit_document(struct walk *w, const struct plan_node *n, const struct elem *e, struct mf_value *values,
                           bool absent)
{
    bool null = e && e->type == BSON_TYPE_NULL;
    if (!e || (null && n->told && n->null == MF_DOC_MISSING)) {
        if (n->told) {
            set(&values[n->present], "0");
        }
        return visit_no_fields(w, n, values, absent || n->told) && !n->told;
    }
    if (null && n->told && n->null == MF_DOC_NULL) {
        set_null(&values[n->present]);
        visit_no_fields(w, n, values, true);
        return true;
    }
    if (n->told) {
        set(&values[n->present], "1");
    }
    if (e->type != BSON_TYPE_DOCUMENT) {
        refuse(w, e, null ? "it is null, and the map says a sub-document" : "the map says a sub-document");
        visit_no_fields(w, n, values, true);
        return true;
    }
    bool there = visit_fields(w, n, e, values);
    w->hollow = w->hollow && !n->told && !n->nested;
    return there || n->told || n->nested;
}

/* ---- lists ---- */

/* A row more in a table, all NULL. */
static struct mf_value *add_row(struct walk *w, uint16_t table)
{
    struct mf_shred_list *l = &w->rows->of[table];
    uint16_t n = w->of->tables[table].table->ncolumns;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        struct mf_row *more = mf_alloc(w->arena, cap * sizeof *more);
        if (!more) {
            return NULL;
        }
        if (l->n) {
            memcpy(more, l->rows, l->n * sizeof *more);
        }
        l->rows = more;
        l->cap = cap;
    }
    struct mf_value *values = mf_alloc_array(w->arena, n, sizeof *values); /* MF_NULL is 0 */
    if (values) {
        l->rows[l->n++] = (struct mf_row){.n = n, .values = values};
    }
    return values;
}

static bool own_key(struct walk *w, const struct plan_list *l, const struct elem *e, size_t i, struct mf_value *v)
{
    char text[24];
    size_t n;
    const char *copy;
    if (l->kind == MF_DOC_ARRAY) {
        n = (size_t)snprintf(text, sizeof text, "%zu", i);
        copy = mf_memdup_a(w->arena, text, n);
    } else {
        n = e->nkey;
        copy = mf_memdup_a(w->arena, e->key, n);
        size_t characters = 0;
        for (size_t k = 0; k < n; k++) {
            characters += ((uint8_t)e->key[k] & 0xc0) != 0x80;
        }
        if (characters > l->key_length) {
            refuse(w, e, "its key is longer than the column of keys");
        }
    }
    *v = (struct mf_value){MF_TEXT, (uint32_t)n, copy};
    return copy != NULL;
}

static void visit_element(struct walk *w, const struct plan_list *l, const struct elem *e, size_t i,
                          const struct mf_value *parent)
{
    const struct mf_table *up = w->of->tables[w->of->tables[l->table].parent].table;
    struct mf_value *values = add_row(w, l->table);
    if (!values) {
        w->full = true;
        return;
    }
    for (uint16_t k = 0; k < l->nparent; k++) {
        values[k] = parent[up->key[k]];
    }
    if (l->kind == MF_DOC_ONE) {
        visit(w, l->element, e, values, false);
        return;
    }
    w->at[w->depth++] = l->kind == MF_DOC_ARRAY ? (struct reasons_at){.index = i}
                                                : (struct reasons_at){.name = e->key, .len = e->nkey, .data = true};
    if (own_key(w, l, e, i, &values[l->nparent])) {
        visit(w, l->element, e, values, false);
    } else {
        w->full = true;
    }
    w->depth--;
}

static bool no_list(struct walk *w, const struct plan_node *n, struct mf_value *values, bool absent)
{
    const struct plan_list *l = n->list;
    if (n->told) {
        set(&values[n->present], "0");
    }
    if (n->told || absent || l->kind == MF_DOC_ONE) {
        return false;
    }
    if (l->missing != MF_DOC_EMPTY) {
        refuse(w, NULL, "it is missing");
    }
    return true;
}

static bool visit_list(struct walk *w, const struct plan_node *n, const struct elem *e, struct mf_value *values,
                       bool absent)
{
    const struct plan_list *l = n->list;
    bool null = e && e->type == BSON_TYPE_NULL;
    if (!e || (null && n->told && n->null == MF_DOC_MISSING)) {
        return no_list(w, n, values, absent);
    }
    if (null && n->told && n->null == MF_DOC_NULL) {
        set_null(&values[n->present]);
        return true;
    }
    if (n->told) {
        set(&values[n->present], "1");
    }
    if (null && l->null == MF_DOC_EMPTY) {
        return true;
    }
    if (l->kind == MF_DOC_ONE && !null) {
        visit_element(w, l, e, 0, values);
        return true;
    }
    if (e->type != (l->kind == MF_DOC_ARRAY ? BSON_TYPE_ARRAY : BSON_TYPE_DOCUMENT)) {
        refuse(w, e, l->kind == MF_DOC_ARRAY ? "the map says an array" : "the map says a sub-document");
        return true;
    }
    struct elem_walk inner;
    struct elem element;
    size_t i = 0;
    elem_begin(&inner, e->value);
    while (!w->full && elem_next(&inner, &element)) {
        visit_element(w, l, &element, i++, values);
    }
    return true;
}

static bool visit(struct walk *w, const struct plan_node *n, const struct elem *e, struct mf_value *values, bool absent)
{
    if (n->column) {
        return visit_leaf(w, n, e, values, absent);
    }
    return n->list ? visit_list(w, n, e, values, absent) : visit_document(w, n, e, values, absent);
}

/* ---- what no path says ---- */

static void shred_rest(struct walk *w, struct mf_value *values)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MF_DOC_BYTES};
    const struct shred_plan *p = w->of->plan;
    const struct shred_type json = {.type = DOC_JSON, .model = {.kind = MF_KIND_JSON}};
    const char *why = NULL;
    if (p->rest < 0 || !w->rest || !shred_put_rest(p->root, w->document->value, &b) || !mf_buf_ok(&b)) {
        w->full = w->full || !mf_buf_ok(&b);
        return;
    }
    const struct elem e = elem_document(b.data, b.len);
    switch (shred_from_bson(&json, w->arena, &e, SHRED_EXACT, &values[p->rest], &why)) {
    case SHRED_FITS:
        return;
    case SHRED_FULL:
        w->full = true;
        return;
    case SHRED_WRONG:
    case SHRED_RANGE:
        refuse(w, NULL, why);
    }
}

/* ---- the whole ---- */

/* The _id may stand behind what has rows of its own. */
static void put_keys(struct walk *w, const struct mf_value *root)
{
    const struct mf_shred_collection *c = w->of;
    for (uint16_t t = 1; t < c->ntables; t++) {
        for (size_t i = 0; i < w->rows->of[t].n; i++) {
            for (uint16_t k = 0; k < c->tables[0].nroot; k++) {
                w->rows->of[t].rows[i].values[k] = root[c->tables[0].table->key[k]];
            }
        }
    }
}

int shred_no_memory(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "there is not enough memory for the rows of a document");
}

int shred_not_document(struct mf_error *err, const struct mf_value *bson)
{
    char where[ELEM_WHERE];
    const char *why;
    if (!mf_value_has_bytes(bson)) {
        return mf_fail(err, MF_ROW, "MFDOC", "there is no document");
    }
    if (elem_check(bson->data, bson->len, &why, where) < 0) {
        return mf_fail(err, MF_ROW, "MFDOC", "%s%sthe document is not valid: %s", where, where[0] ? ": " : "", why);
    }
    return 0;
}

int shred_checked(const struct mf_shred_collection *c, struct mf_arena *arena, const struct elem *document,
                  struct mf_shred_rows *ret, const struct reasons_out *reasons, struct mf_error *err)
{
    struct mf_shred_rows rows = {c->ntables, mf_alloc_array(arena, c->ntables, sizeof *rows.of)};
    struct walk w = {.of = c, .arena = arena, .rows = &rows, .document = document};
    struct mf_value *values = rows.of ? add_row(&w, 0) : NULL;
    if (!values) {
        return shred_no_memory(err);
    }
    reasons_begin(&w.why, reasons, err);
    visit(&w, c->plan->root, document, values, false);
    shred_rest(&w, values);
    put_keys(&w, values);
    if (w.full) {
        return shred_no_memory(err);
    }
    if (w.why.n) {
        return reasons_end(&w.why);
    }
    *ret = rows;
    return 0;
}

int mf_shred_document(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *bson,
                      struct mf_shred_rows *ret, struct mf_error *err)
{
    if (shred_not_document(err, bson) < 0) {
        return -1;
    }
    const struct elem e = elem_document(bson->data, bson->len);
    return shred_checked(c, arena, &e, ret, NULL, err);
}

void mf_shred_reasons(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *bson,
                      struct mf_buf *ret)
{
    struct mf_error err = {0};
    struct mf_shred_rows rows;
    if (shred_not_document(&err, bson) < 0) {
        mf_buf_printf(ret, "%s\n", err.text);
        return;
    }
    const struct elem e = elem_document(bson->data, bson->len);
    const struct reasons_out out = {.all = ret};
    shred_checked(c, arena, &e, &rows, &out, &err);
}

int shred_id(const struct mf_shred_collection *c, struct mf_arena *arena, const struct elem *document,
             struct mf_value *values, struct mf_error *err)
{
    struct walk w = {.of = c, .arena = arena, .document = document};
    struct elem_walk inner;
    struct elem e;
    elem_begin(&inner, document->value);
    bool found = elem_next(&inner, &e);
    reasons_begin(&w.why, NULL, err);
    w.at[w.depth++] = (struct reasons_at){.name = "_id", .len = 3};
    visit(&w, c->plan->id, found ? &e : NULL, values, false);
    return w.full ? shred_no_memory(err) : w.why.n ? reasons_end(&w.why) : 0;
}
