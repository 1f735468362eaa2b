/* The columns of a query table: the base's, constants, expressions, and those of rows that it refers to. */
#include "connector/view/compile.h"

#include "base/str.h"

#include <string.h>

#define MOST_COLUMNS 1600

int view_entry_full(const struct view_entry *e)
{
    return view_no_memory(e->err, "the map's tables are too large");
}

int view_no_column(const struct view_entry *e, size_t line, const struct mf_table *t, const char *name)
{
    char near[200], label[300];
    view_nearest(t, name, near, sizeof near);
    return view_fail(e->c->map, line ? line : e->q->line, e->err, "table %s has no column \"%s\"%s",
                     mf_table_label(t, label, sizeof label), name, near);
}

/* The column that comes next; NULL: the arena is full, or there is one of that name. */
static struct mf_column *add_column(struct view_entry *e, size_t line, const char *name, struct mf_made_column *made)
{
    struct mf_table *t = e->t;
    if (mf_table_column(t, name) >= 0) {
        REFUSE(e, line, "table %s would have column \"%s\" twice", e->q->to, name);
        return NULL;
    }
    if (t->ncolumns == MOST_COLUMNS) {
        REFUSE(e, line, "table %s would have too many columns", e->q->to);
        return NULL;
    }
    made->name = mf_strdup_a(e->c->arena, name);
    if (!made->name) {
        view_entry_full(e);
        return NULL;
    }
    e->made[t->ncolumns] = *made;
    struct mf_column *col = &t->columns[t->ncolumns++];
    *col = (struct mf_column){.name = made->name};
    return col;
}

/* A column of `from`, shown as it is but for its name. */
static int add_like(struct view_entry *e, const struct mf_query_column *q, const char *name,
                    const struct mf_table *from, int at, struct mf_made_column made)
{
    const struct mf_column *is = &from->columns[at];
    if (is->generated) {
        return REFUSE(e, q ? q->line : 0,
                      "column \"%s\" of table %s.%s is computed by the source, which tells of no "
                      "changes of it",
                      is->name, from->schema, from->name);
    }
    made.of = (uint16_t)at;
    made.wanted_type = q && q->type ? q->type : NULL;
    made.is_static = q && q->is_static;
    struct mf_column *col = add_column(e, q ? q->line : 0, name, &made);
    if (!col) {
        return -1;
    }
    const char *kept = col->name;
    *col = *is;
    col->name = kept;
    col->in_key = false;
    return q && q->type ? view_add_collection(e, q, is) : 0;
}

static int add_constant(struct view_entry *e, const struct mf_query_column *q)
{
    static const struct mf_type text = {.kind = MF_KIND_TEXT};
    struct mf_made_column made = {.kind = MF_MADE_CONSTANT,
                                  .constant = {.kind = MF_TEXT, .len = (uint32_t)strlen(q->value), .data = q->value},
                                  .wanted_type = q->type,
                                  .is_static = q->is_static};
    struct mf_column *col = add_column(e, q->line, q->name, &made);
    if (!col) {
        return -1;
    }
    if (!mf_column_show(e->c->arena, col, &text)) {
        return view_entry_full(e);
    }
    col->not_null = true;
    return q->type ? view_add_collection(e, q, col) : 0;
}

/* ---- expressions ---- */

static int expr_args(struct view_entry *e, const struct mf_query_column *q, struct mf_expr *x,
                     const struct mf_type **types)
{
    for (uint16_t i = x->nargs; i-- > 0;) {
        const char *name = x->args[i].column;
        int at = name ? mf_table_column(e->base, name) : 0;
        if (at < 0) {
            return view_no_column(e, q->line, e->base, name);
        }
        const struct mf_column *is = &e->base->columns[at];
        if (name && (is->generated || !is->foreign)) {
            return REFUSE(e, q->line,
                          "column \"%s\" of table %s is computed by the source, which tells of no changes of it", name,
                          e->label);
        }
        x->args[i].of = (uint16_t)at;
        types[i] = name ? &is->foreign->type : NULL;
    }
    return 0;
}

static int add_expr(struct view_entry *e, const struct mf_query_column *q)
{
    struct mf_made_column made = {.kind = MF_MADE_EXPR, .wanted_type = q->type, .is_static = q->is_static};
    const struct mf_type **types = mf_alloc_array(e->c->arena, q->expr->nargs + 1u, sizeof(struct mf_type *));
    struct mf_error why = {0};
    struct mf_type type;
    if (!types || !mf_expr_copy(e->c->arena, &made.expr, q->expr)) {
        return view_entry_full(e);
    }
    if (expr_args(e, q, &made.expr, types) < 0) {
        return -1;
    }
    if (mf_expr_type(&made.expr, types, &type, &why) < 0) {
        return REFUSE(e, q->line, "%s", why.text);
    }
    uint16_t first = 0;
    while (!made.expr.args[first].column) {
        first++;
    }
    made.of = made.expr.args[first].of;
    struct mf_column *col = add_column(e, q->line, q->name, &made);
    if (!col) {
        return -1;
    }
    if (!mf_column_show(e->c->arena, col, &type)) {
        return view_entry_full(e);
    }
    return q->type ? view_add_collection(e, q, col) : 0;
}

/* ---- parents ---- */

static const struct mf_table *find_parent(const struct view_entry *e, const struct mf_query_column *q)
{
    const struct mf_table *found = NULL;
    for (size_t i = 0; i < e->c->all->n; i++) {
        const struct mf_table *t = &e->c->all->tables[i];
        bool here = mf_streq(t->schema, e->base->schema); /* of several of a name, that of the same schema */
        if (view_is_named(q->parent, t) && !view_is_book(t->schema) && (!found || here)) {
            found = t;
        }
    }
    return found;
}

/* Equal values are equal bytes on both sides, in the form that the model gives them. */
static bool compare_equal(const struct mf_column *a, const struct mf_column *b)
{
    const struct mf_type *x = &a->foreign->type, *y = &b->foreign->type;
    bool text = x->kind == MF_KIND_TEXT && y->kind == MF_KIND_TEXT && !x->fixed && !y->fixed;
    return text || (a->type_id == b->type_id && a->type_mod == b->type_mod);
}

/* One column of the base, and the one of the parent's key that it refers to. */
static int refer(const struct view_entry *e, const struct mf_query_column *q, const struct mf_column *here,
                 const struct mf_column *there)
{
    if (!here->foreign || !there->foreign || !compare_equal(here, there)) {
        return REFUSE(e, q->line, "column \"%s\" cannot refer to \"%s\": they are of different types", here->name,
                      there->name);
    }
    if (here->generated || there->generated) {
        return REFUSE(e, q->line, "column \"%s\" cannot refer to \"%s\": the source computes one of them", here->name,
                      there->name);
    }
    if (here->equality || there->equality) {
        return REFUSE(e, q->line,
                      "column \"%s\" cannot refer to \"%s\": the source takes texts for equal that differ in their "
                      "bytes (a collation that ignores case or accents)",
                      here->name, there->name);
    }
    return 0;
}

/* The parent that these columns refer to: one row is read for all columns that come from it. */
static int parent_of(struct view_entry *e, const struct mf_query_column *q, const struct mf_table *p, uint16_t *ret)
{
    uint16_t *by = mf_alloc_array(e->c->arena, q->nby, sizeof *by);
    if (!by) {
        return view_entry_full(e);
    }
    if (p->id == e->base->id) {
        return REFUSE(e, q->line,
                      "table %s is the one that \"by\" is of: a row cannot have columns of another of its own table",
                      e->label);
    }
    if (p->identity != MF_IDENTITY_KEY || p->nkey == 0) {
        return REFUSE(e, q->line, "table %s has no key to refer to", p->name);
    }
    if (p->nkey != q->nby) {
        return REFUSE(e, q->line, "\"by\" names as many columns as the key of table %s has, in its order: %u", p->name,
                      (unsigned)p->nkey);
    }
    for (size_t i = 0; i < q->nby; i++) {
        int at = mf_table_column(e->base, q->by[i]);
        if (at < 0) {
            return view_no_column(e, q->line, e->base, q->by[i]);
        }
        if (refer(e, q, &e->base->columns[at], &p->columns[p->key[i]]) < 0) {
            return -1;
        }
        by[i] = (uint16_t)at;
    }
    for (uint16_t i = 0; i < e->nparents; i++) {
        if (e->parents[i].table == p && memcmp(e->parents[i].by, by, sizeof *by * q->nby) == 0) {
            *ret = i;
            return 0;
        }
    }
    e->parents[e->nparents] = (struct mf_made_parent){.table = p, .by = by};
    *ret = e->nparents++;
    return 0;
}

static int add_from_parent(struct view_entry *e, const struct mf_query_column *q)
{
    const struct mf_table *p = find_parent(e, q);
    struct mf_made_column made = {.kind = MF_MADE_PARENT};
    if (!p) {
        return REFUSE(e, q->line, "the source has no table %s", q->parent);
    }
    int at = mf_table_column(p, q->of);
    if (at < 0) {
        return view_no_column(e, q->line, p, q->of);
    }
    if (parent_of(e, q, p, &made.parent) < 0 || add_like(e, q, q->name, p, at, made) < 0) {
        return -1;
    }
    e->t->columns[e->t->ncolumns - 1].not_null = false;
    return 0;
}

/* ---- columns ---- */

static int add_asked(struct view_entry *e, const struct mf_query_column *q)
{
    if (q->value) {
        return add_constant(e, q);
    }
    if (q->expr) {
        return add_expr(e, q);
    }
    if (q->parent) {
        return add_from_parent(e, q);
    }
    int at = mf_table_column(e->base, q->of);
    return at < 0 ? view_no_column(e, q->line, e->base, q->of)
                  : add_like(e, q, q->name, e->base, at, (struct mf_made_column){.kind = MF_MADE_COLUMN});
}

static bool is_dropped(const struct mf_query_table *q, const char *name)
{
    for (size_t i = 0; i < q->ndrop; i++) {
        if (mf_streq(q->drop[i], name)) {
            return true;
        }
    }
    return false;
}

/* Every column of the base in its place, under the names and types that are said of it, but for what is dropped. */
static int add_every(struct view_entry *e)
{
    for (uint16_t i = 0; i < e->base->ncolumns; i++) {
        const struct mf_column *c = &e->base->columns[i];
        bool said = c->generated || is_dropped(e->q, c->name);
        for (size_t k = 0; k < e->q->ncolumns; k++) {
            const struct mf_query_column *q = &e->q->columns[k];
            if (!q->every && !q->value && !q->expr && !q->parent && mf_streq(q->of, c->name)) {
                said = true;
                if (add_asked(e, q) < 0) {
                    return -1;
                }
            }
        }
        if (!said && add_like(e, NULL, c->name, e->base, i, (struct mf_made_column){.kind = MF_MADE_COLUMN}) < 0) {
            return -1;
        }
    }
    return 0;
}

int view_add_columns(struct view_entry *e, bool every)
{
    if (every && add_every(e) < 0) {
        return -1;
    }
    for (size_t k = 0; k < e->q->ncolumns; k++) {
        const struct mf_query_column *q = &e->q->columns[k];
        bool placed =
            q->every || (every && !q->value && !q->expr && !q->parent && mf_table_column(e->base, q->of) >= 0);
        if (!placed && add_asked(e, q) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < e->q->ndrop; i++) {
        if (mf_table_column(e->base, e->q->drop[i]) < 0) {
            return view_no_column(e, 0, e->base, e->q->drop[i]);
        }
    }
    return 0;
}
