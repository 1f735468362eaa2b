/*
 * A map to plans. The paths of a collection become one tree; a column or a table of the map is hung at its node. Everything that cannot be told back from the rows is an
 * error here, where the user sees the line, and not a surprise of the first document.
 */
#include "bson/internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MOST 63 /* bytes of an identifier that every target takes */

int compile_fail(const struct compile *c, size_t line, const char *fmt, ...)
{
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return mf_fail(c->err, MF_USAGE, "MFMAP", "%s:%zu: map of %s.%s: %s", c->map->file, line, c->of->database,
                   c->of->collection, text);
}

int compile_full(const struct compile *c)
{
    return mf_fail(c->err, MF_USAGE, "MFMAP", "the map needs more memory than it may");
}

/* ---- nodes ---- */

static int compare_names(const char *a, size_t na, const char *b, size_t nb)
{
    int d = memcmp(a, b, na < nb ? na : nb);
    return d ? d : (na > nb) - (na < nb);
}

int plan_child(const struct plan_node *n, const char *name, size_t len, uint16_t *hint)
{
    if (*hint < n->nchildren) {
        const struct plan_node *k = n->children[*hint];
        if (k->len == len && memcmp(k->name, name, len) == 0) {
            return (*hint)++;
        }
    }
    for (size_t low = 0, high = n->nchildren; low < high;) {
        size_t middle = (low + high) / 2;
        const struct plan_node *k = n->children[n->sorted[middle]];
        int d = compare_names(name, len, k->name, k->len);
        if (d == 0) {
            *hint = (uint16_t)(n->sorted[middle] + 1);
            return n->sorted[middle];
        }
        if (d < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return -1;
}

struct plan_node *compile_new_node(struct compile *c, struct plan_node *up, const char *name, size_t line)
{
    struct mf_arena *a = &c->s->arena;
    struct plan_node *n = mf_alloc0(a, sizeof *n);
    if (up && up->nchildren == up->cap) {
        uint16_t cap = up->cap ? (uint16_t)(up->cap * 2) : 8;
        struct plan_node **more = mf_alloc_array(a, cap, sizeof(struct plan_node *));
        if (!more || up->cap >= 16384) {
            n = NULL;
        } else {
            if (up->nchildren) {
                memcpy(more, up->children, up->nchildren * sizeof(struct plan_node *));
            }
            up->children = more;
            up->cap = cap;
        }
    }
    if (!n) {
        compile_full(c);
        return NULL;
    }
    *n = (struct plan_node){.name = name, .len = (uint32_t)strlen(name), .line = line};
    if (up) {
        n->table = up->table;
        n->in_id = up->in_id || (up == c->plan->root && mf_streq(name, "_id"));
        n->open = up->open && !n->in_id;
        up->children[up->nchildren++] = n;
    }
    return n;
}

struct plan_node *compile_node(struct compile *c, struct plan_node *from, const struct mf_doc_path *path, size_t line)
{
    for (size_t i = 0; i < path->n; i++) {
        struct plan_node *next = NULL;
        for (uint16_t k = 0; k < from->nchildren && !next; k++) {
            next = mf_streq(from->children[k]->name, path->names[i]) ? from->children[k] : NULL;
        }
        if (!next && !(next = compile_new_node(c, from, path->names[i], line))) {
            return NULL;
        }
        from = next;
    }
    return from;
}

/* ---- columns ---- */

int compile_add(struct compile *c, struct compile_table *t, size_t line, const char *name, const struct mf_type *type,
                bool not_null, uint16_t *ret_at)
{
    struct mf_arena *a = &c->s->arena;
    if (t->n == t->cap) {
        uint16_t cap = t->cap ? (uint16_t)(t->cap * 2) : 16;
        struct mf_column *more = cap <= 4096 ? mf_alloc_array(a, cap, sizeof *more) : NULL;
        if (!more) {
            return compile_full(c);
        }
        if (t->n) {
            memcpy(more, t->columns, t->n * sizeof *more);
        }
        t->columns = more;
        t->cap = cap;
    }
    size_t n = strlen(name);
    if (n == 0 || n > NAME_MOST) {
        return compile_fail(c, line, "\"%.100s\" is no name of a column: it has from 1 to %d bytes; say \"column:\"",
                            name, NAME_MOST);
    }
    for (uint16_t i = 0; i < t->n; i++) {
        if (strcasecmp(t->columns[i].name, name) == 0) {
            return compile_fail(c, line, "the table already has a column \"%s\"", t->columns[i].name);
        }
    }
    t->columns[t->n] = (struct mf_column){.name = name, .not_null = not_null};
    if (!mf_column_show(a, &t->columns[t->n], type)) {
        return compile_full(c);
    }
    *ret_at = t->n++;
    return 0;
}

const char *compile_joined(struct compile *c, const char *before, const struct mf_doc_path *path)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    mf_buf_puts(&b, before);
    for (size_t i = 0; i < path->n; i++) {
        mf_buf_puts(&b, b.len ? "_" : "");
        mf_buf_puts(&b, path->names[i]);
    }
    mf_buf_puts(&b, path->n ? "" : before[0] ? "_values" : "value");
    return mf_strdup_a(&c->s->arena, mf_buf_ok(&b) ? mf_buf_str(&b) : "");
}

static bool gives_null(const struct mf_doc_column *d)
{
    return d->null == MF_DOC_NULL || d->wrong == MF_DOC_NULL || d->range == MF_DOC_NULL || d->missing == MF_DOC_NULL ||
           (d->present && d->missing == MF_DOC_REJECT) || (d->null == MF_DOC_MISSING && d->missing == MF_DOC_REJECT);
}

static bool uses_default(const struct mf_doc_column *d)
{
    return d->missing == MF_DOC_DEFAULT || d->null == MF_DOC_DEFAULT || d->wrong == MF_DOC_DEFAULT ||
           d->range == MF_DOC_DEFAULT;
}

/* Rules that would give a row of which the document could not be told back. */
static int check_rules(struct compile *c, const struct mf_doc_column *d, const struct plan_node *n,
                       const struct shred_type *type)
{
    bool one = d->wrong == MF_DOC_NULL || d->range == MF_DOC_NULL;
    if (n->in_id && (d->missing || d->null || d->wrong || d->range || d->present)) {
        return compile_fail(c, d->line, "_id has no rules: two documents could become one row");
    }
    if (n->in_id && (type->type == DOC_JSON)) {
        return compile_fail(c, d->line, "_id cannot be json, which has no order of fields; id(n) takes any _id");
    }
    if (n->nested && d->missing) {
        return compile_fail(c, d->line, "an element is never missing: \"missing\" says nothing here");
    }
    if (one && d->null != MF_DOC_NULL && (d->missing != MF_DOC_NULL || d->present)) {
        return compile_fail(c, d->line,
                            "a NULL of \"wrong\" or \"range\" could not be told back: say what a NULL is, with \"null: "
                            "null\"%s",
                            d->present || n->nested ? "" : " or \"missing: null\"");
    }
    if (d->null == MF_DOC_MISSING && d->missing == MF_DOC_REJECT && !d->present) {
        return compile_fail(c, d->line, "\"null: missing\" needs a rule for \"missing\"");
    }
    if (uses_default(d) != (d->fallback != NULL)) {
        return compile_fail(c, d->line,
                            d->fallback ? "\"default\" is given, and no rule uses it"
                                        : "a rule says default, and there is no \"default\"");
    }
    return 0;
}

static int add_value(struct compile *c, struct compile_table *t, struct plan_node *n, const struct mf_doc_column *d)
{
    struct mf_arena *a = &c->s->arena;
    struct plan_column *p = mf_alloc0(a, sizeof *p);
    const char *name = d->name ? d->name : compile_joined(c, "", &d->path), *why;
    if (!p || !name) {
        return compile_full(c);
    }
    if ((why = shred_type_parse(d->type, d->as, &p->type))) {
        return compile_fail(c, d->line, "\"%.60s\": %s", d->type, why);
    }
    if (d->time && p->type.type != DOC_OBJECTID) {
        return compile_fail(c, d->line, "\"time\" goes with an objectid");
    }
    if (check_rules(c, d, n, &p->type) < 0) {
        return -1;
    }
    p->missing = d->missing;
    p->null = d->null;
    p->wrong = d->wrong;
    p->range = d->range;
    p->time = -1;
    p->fallback.kind = MF_NULL;
    if (d->fallback && (why = shred_fallback(&p->type, a, d->fallback, &p->fallback))) {
        return compile_fail(c, d->line, "the default is no %.60s: %s", d->type, why);
    }
    n->column = p;
    return compile_add(c, t, d->line, name, &p->type.model, !gives_null(d), &p->at);
}

static int add_time(struct compile *c, struct compile_table *t, const struct plan_node *n,
                    const struct mf_doc_column *d)
{
    uint16_t at;
    const struct mf_type instant = {.kind = MF_KIND_INSTANT};
    if (compile_add(c, t, d->line, d->time, &instant, !gives_null(d), &at) < 0) {
        return -1;
    }
    n->column->time = at;
    return 0;
}

int compile_column(struct compile *c, struct compile_table *t, struct plan_node *element, const struct mf_doc_column *d)
{
    struct plan_node *n = compile_node(c, element, &d->path, d->line);
    if (!n) {
        return -1;
    }
    if (d->type && n->column) {
        return compile_fail(c, d->line, "the path has a column already, on line %zu", n->line);
    }
    if (!d->type && (!d->present || d->fallback || d->as || d->time || d->missing || d->wrong || d->range ||
                     (d->null && d->null != MF_DOC_MISSING && d->null != MF_DOC_NULL))) {
        return compile_fail(
            c, d->line,
            d->present ? "without a \"type\" there is only \"present\", with \"null: missing\" or \"null: null\""
                       : "it has no \"type\"");
    }
    if (d->type && (add_value(c, t, n, d) < 0 || (d->time && add_time(c, t, n, d) < 0))) {
        return -1;
    }
    if (!d->present) {
        return 0;
    }
    if (n->told || n->in_id || (n->nested && n == c->plan->root)) {
        return compile_fail(c, d->line,
                            n->told ? "two columns say whether the path is there"
                                    : "the document and its _id are always there");
    }
    n->told = true;
    n->null = d->type ? MF_DOC_REJECT : d->null;
    const struct mf_type yes = {.kind = MF_KIND_BOOL};
    return compile_add(c, t, d->line, d->present, &yes, n->null != MF_DOC_NULL, &n->present);
}

/* ---- the tree as a whole ---- */

/* A name, as it is compared. */
struct named {
    const struct plan_node *node;
    uint16_t at;
};

static int compare_named(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    return compare_names(x->node->name, x->node->len, y->node->name, y->node->len);
}

void compile_loosen(struct compile_table *t, const struct plan_node *n, bool below)
{
    if (below && n->column && n->column->missing != MF_DOC_DEFAULT) {
        t->columns[n->column->at].not_null = false;
        if (n->column->time >= 0) {
            t->columns[n->column->time].not_null = false;
        }
    }
    for (uint16_t i = 0; i < n->nchildren; i++) {
        compile_loosen(t, n->children[i], below || n->told);
    }
}

int compile_settle(struct compile *c, struct plan_node *n, unsigned depth)
{
    int what = (n->column != NULL) + (n->list != NULL) + n->ignored + (n->nchildren > 0);
    if (depth > PLAN_DEPTH) {
        return compile_fail(c, n->line, "paths within paths are more than %d deep", PLAN_DEPTH);
    }
    if (what > 1 || (n->ignored && n->told)) {
        return compile_fail(c, n->line,
                            "the path of \"%.60s\" is said to be two things: a value, a table, a sub-document, ignored",
                            n->name);
    }
    if (n->in_id && (n->list || n->ignored)) {
        return compile_fail(c, n->line, "of an _id nothing is ignored, and nothing is a table");
    }
    n->sorted = mf_alloc_array(&c->s->arena, n->nchildren + 1u, sizeof *n->sorted);
    MF_CLEANUP_FREE struct named *names = calloc(n->nchildren + 1u, sizeof *names);
    if (!n->sorted || !names) {
        return compile_full(c);
    }
    for (uint16_t i = 0; i < n->nchildren; i++) {
        names[i] = (struct named){n->children[i], i};
    }
    qsort(names, n->nchildren, sizeof *names, compare_named);
    for (uint16_t i = 0; i < n->nchildren; i++) {
        n->sorted[i] = names[i].at;
        if (compile_settle(c, n->children[i], depth + 1) < 0) {
            return -1;
        }
    }
    return n->list ? compile_settle(c, n->list->element, depth + 1) : 0;
}
