#include "bson/map_check.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "bson/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MOST 80 /* bytes of an id that is shown */

struct mf_map_check *mf_map_check_new(const struct mf_shred_collection *of, const struct mf_doc_collection *asked)
{
    struct mf_map_check *c = mf_xcalloc(1, sizeof *c);
    c->of = of;
    c->asked = asked;
    c->rows = mf_xcalloc(of->ntables, sizeof *c->rows);
    c->columns = mf_xcalloc(of->ntables, sizeof *c->columns);
    c->ignored = mf_xcalloc(asked->nignore + 1, sizeof *c->ignored);
    for (uint16_t t = 0; t < of->ntables; t++) {
        c->columns[t] = mf_xcalloc(of->tables[t].table->ncolumns, sizeof **c->columns);
    }
    mf_arena_init(&c->arena, MF_MAP_DOCUMENT);
    return c;
}

void mf_map_check_free(struct mf_map_check *c)
{
    if (!c) {
        return;
    }
    for (size_t i = 0; i < c->nreasons; i++) {
        free(c->reasons[i].id);
        free(c->reasons[i].value);
    }
    for (uint16_t t = 0; t < c->of->ntables; t++) {
        free(c->columns[t]);
    }
    free(c->reasons);
    free(c->rows);
    free(c->columns);
    free(c->ignored);
    mf_arena_free(&c->arena);
    free(c);
}

/* ---- what is refused ---- */

struct refusing {
    struct mf_map_check *c;
    const struct mf_value *bson;
};

/* NULL: there is no place for one more. */
static struct mf_map_reason *reason_of(struct mf_map_check *c, const char *path, const char *why)
{
    for (size_t i = 0; i < c->nreasons; i++) {
        if (mf_streq(c->reasons[i].path, path) && mf_streq(c->reasons[i].why, why)) {
            return &c->reasons[i];
        }
    }
    if (c->nreasons == MF_MAP_REASONS) {
        return NULL;
    }
    c->reasons = mf_xreallocarray(c->reasons, c->nreasons + 1, sizeof *c->reasons);
    struct mf_map_reason *r = &c->reasons[c->nreasons++];
    *r = (struct mf_map_reason){.why = why};
    mf_strlcpy(r->path, path, sizeof r->path);
    return r;
}

static char *id_of(struct mf_map_check *c, const struct mf_value *bson)
{
    struct mf_error err = {0};
    struct mf_value id;
    if (mf_bson_id_of(&c->arena, bson, &id, &err) < 0) {
        return mf_xstrdup("");
    }
    return mf_xstrndup(id.data, mf_utf8_cut(id.data, id.len, ID_MOST));
}

static uint64_t characters(const char *s, uint32_t n)
{
    uint64_t chars = 0;
    for (uint32_t i = 0; i < n; i++) {
        chars += ((uint8_t)s[i] & 0xc0) != 0x80;
    }
    return chars;
}

/* NULL: it is one of those that are only counted. */
static struct mf_map_reason *count_reason(struct mf_map_check *c, const char *path, const char *why)
{
    struct mf_map_reason *r = reason_of(c, path, why);
    if (!r) {
        c->others++;
        return NULL;
    }
    r->values++;
    r->documents += r->last != c->documents;
    r->last = c->documents;
    return r;
}

static void add_reason(struct mf_map_check *c, const struct mf_value *bson, const char *path, const struct elem *e,
                       const char *why)
{
    struct mf_map_reason *r = count_reason(c, path, why);
    if (!r) {
        return;
    }
    if (!r->id) {
        MF_CLEANUP_BUF struct mf_buf value = {.max = 1 << 13};
        if (e) {
            reasons_put_value(&value, e);
        }
        r->id = id_of(c, bson);
        r->value = mf_xstrdup(mf_buf_str(&value));
    }
    if (e && e->type == BSON_TYPE_UTF8) {
        uint32_t n;
        const char *text = elem_text(e, &n);
        uint64_t chars = characters(text, n);
        r->chars = r->chars > chars ? r->chars : chars;
    }
}

static void each(void *ctx, const struct reasons_at *at, size_t depth, const struct elem *e, const char *why)
{
    const struct refusing *r = ctx;
    MF_CLEANUP_BUF struct mf_buf path = {.max = 1 << 13};
    reasons_put_folded(&path, at, depth);
    add_reason(r->c, r->bson, mf_buf_str(&path), e, why);
}

/* ---- what the target refuses ---- */

static void add_unfit(struct mf_map_check *c, const struct mf_value *bson, const struct mf_table *t, uint16_t column,
                      const struct mf_error *why)
{
    char path[240];
    snprintf(path, sizeof path, "%s.%s", t->name, t->columns[column].name);
    struct mf_map_reason *r = count_reason(c, path, "the target has no such value in this column");
    if (r && !r->id) {
        r->id = id_of(c, bson);
        r->value = mf_xstrdup(why->text);
    }
}

/* Whether the target takes all of the rows. */
static bool fit(struct mf_map_check *c, const struct mf_value *bson, const struct mf_shred_rows *rows)
{
    bool all = true;
    for (uint16_t t = 0; c->target.fits && t < rows->ntables; t++) {
        const struct mf_table *table = c->of->tables[t].table;
        for (size_t i = 0; i < rows->of[t].n; i++) {
            for (uint16_t k = 0; k < rows->of[t].rows[i].n; k++) {
                const struct mf_value *v = &rows->of[t].rows[i].values[k];
                struct mf_error why = {0};
                if (mf_value_has_bytes(v) &&
                    c->target.fits(c->target.ctx, &table->columns[k].foreign->type, &c->arena, v, &why) < 0) {
                    add_unfit(c, bson, table, k, &why);
                    all = false;
                }
            }
        }
    }
    return all;
}

/* ---- what is filled ---- */

static void count_rows(struct mf_map_check *c, const struct mf_shred_rows *rows)
{
    for (uint16_t t = 0; t < rows->ntables; t++) {
        c->rows[t] += rows->of[t].n;
        for (size_t i = 0; i < rows->of[t].n; i++) {
            const struct mf_row *row = &rows->of[t].rows[i];
            for (uint16_t k = 0; k < row->n; k++) {
                const struct mf_value *v = &row->values[k];
                struct mf_map_column *column = &c->columns[t][k];
                if (!mf_value_has_bytes(v)) {
                    continue;
                }
                column->filled++;
                uint64_t chars = v->kind == MF_TEXT && v->len > column->chars ? characters(v->data, v->len) : 0;
                column->chars = chars > column->chars ? chars : column->chars;
            }
        }
    }
}

/* Whether the path leads to something; through lists, whatever place or key. */
static bool leads(const struct plan_node *n, const uint8_t *document, const struct mf_doc_path *path, size_t at)
{
    struct elem_walk w;
    struct elem e;
    elem_begin(&w, document);
    while (elem_next(&w, &e)) {
        if (n->list && n->list->kind != MF_DOC_ONE) { /* these are elements */
            if ((e.type == BSON_TYPE_DOCUMENT || e.type == BSON_TYPE_ARRAY) &&
                leads(n->list->element, e.value, path, at)) {
                return true;
            }
            continue;
        }
        const struct plan_node *in = n->list ? n->list->element : n;
        uint16_t hint = 0;
        int k = mf_streq(e.key, path->names[at]) ? plan_child(in, e.key, e.nkey, &hint) : -1;
        if (k < 0) {
            continue;
        }
        if (at + 1 == path->n) {
            return true;
        }
        return (e.type == BSON_TYPE_DOCUMENT || e.type == BSON_TYPE_ARRAY) &&
               leads(in->children[k], e.value, path, at + 1);
    }
    return false;
}

int mf_map_check_add(struct mf_map_check *c, const struct mf_value *bson, struct mf_error *err)
{
    char where[ELEM_WHERE];
    const char *why = "it is no document";
    struct refusing r = {c, bson};
    const struct reasons_out out = {.each = each, .ctx = &r};
    struct mf_shred_rows rows;
    c->documents++;
    mf_arena_reset(&c->arena);
    if (!mf_value_has_bytes(bson) || elem_check(bson->data, bson->len, &why, where) < 0) {
        c->refused++;
        add_reason(c, bson, mf_value_has_bytes(bson) ? where : "", NULL, why);
        return 0;
    }
    const struct elem e = elem_document(bson->data, bson->len);
    for (size_t i = 0; i < c->asked->nignore; i++) {
        c->ignored[i] += leads(c->of->plan->root, e.value, &c->asked->ignore[i], 0);
    }
    struct mf_error refused = {0};
    if (shred_checked(c->of, &c->arena, &e, &rows, &out, &refused) == 0) {
        struct mf_value id;
        if (mf_bson_id_of(&c->arena, bson, &id, &refused) < 0 && refused.cls == MF_ROW) {
            c->refused++;
            add_reason(c, bson, "_id", NULL, MF_ID_TOO_LONG); /* all else that is no id, the map has refused */
        } else if (fit(c, bson, &rows)) {
            count_rows(c, &rows);
        } else {
            c->refused++;
        }
        return 0;
    }
    if (refused.cls != MF_ROW) {
        *err = refused;
        return -1;
    }
    c->refused++;
    return 0;
}

void mf_map_check_merge(struct mf_map_check *into, const struct mf_map_check *from)
{
    into->documents += from->documents;
    into->refused += from->refused;
    into->others += from->others;
    for (size_t i = 0; i < from->nreasons; i++) {
        const struct mf_map_reason *b = &from->reasons[i];
        struct mf_map_reason *a = reason_of(into, b->path, b->why);
        if (!a) {
            into->others += b->values;
            continue;
        }
        a->values += b->values;
        a->documents += b->documents;
        a->chars = a->chars > b->chars ? a->chars : b->chars;
        a->id = a->id ? a->id : mf_xstrdup(b->id);
        a->value = a->value ? a->value : mf_xstrdup(b->value);
    }
    for (uint16_t t = 0; t < into->of->ntables; t++) {
        into->rows[t] += from->rows[t];
        for (uint16_t k = 0; k < into->of->tables[t].table->ncolumns; k++) {
            struct mf_map_column *a = &into->columns[t][k];
            const struct mf_map_column *b = &from->columns[t][k];
            a->filled += b->filled;
            a->chars = a->chars > b->chars ? a->chars : b->chars;
        }
    }
    for (size_t i = 0; i < into->asked->nignore; i++) {
        into->ignored[i] += from->ignored[i];
    }
}
