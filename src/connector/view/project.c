/* Rows and changes of a table as rows and changes of a query table. Pure: values are views of what they are made of.
 *
 * A query table has at every moment the rows that its table has, each with its columns; so a change of one row is a change of one row here, or none. What has
 * to be known of it beside the new values is the key the row had here: those of its columns that are of the table's own key every stream tells when they
 * change, the others only where old rows come whole (mf_table.old_whole), which is why those are asked for.
 *
 * Columns of a parent are not in a change. Where the row is new under its key here, or has another parent now, the parents are given, looked up by
 * the caller; else these columns are what they were, MF_UNCHANGED. */
#include "connector/view/internal.h"

#include "base/str.h"

#include <string.h>

static int too_large(struct mf_error *err)
{
    return view_no_memory(err, "a row of a query table is larger than the memory for making it");
}

int view_rows_of(struct mf_arena *arena, const struct mf_table *t, const struct mf_made *made, struct view_rows *ret,
                 struct mf_error *err)
{
    uint16_t *at = mf_alloc_array(arena, t->ncolumns + 1u, sizeof *at);
    if (!at) {
        return too_large(err);
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        int found = mf_made_column(made, t->columns[i].name);
        if (found < 0) {
            return mf_fail(err, MF_FATAL, "MFBUG", "column %s of %s.%s is not one that was shown", t->columns[i].name,
                           t->schema, t->name);
        }
        at[i] = (uint16_t)found;
    }
    *ret = (struct view_rows){.t = t, .made = made, .at = at};
    return 0;
}

static struct mf_value of_parent(const struct mf_made_column *c, const struct mf_row *parents)
{
    if (!parents) {
        return (struct mf_value){.kind = MF_UNCHANGED};
    }
    return parents[c->parent].n ? parents[c->parent].values[c->of] : (struct mf_value){.kind = MF_NULL};
}

static int value_of(const struct mf_made_column *c, struct mf_arena *arena, const struct mf_row *base,
                    const struct mf_row *parents, struct mf_value *ret, struct mf_error *err)
{
    switch (c->kind) {
    case MF_MADE_CONSTANT:
        *ret = c->constant;
        return 0;
    case MF_MADE_EXPR:
        return mf_expr_value(&c->expr, arena, base, ret) < 0 ? too_large(err) : 0;
    case MF_MADE_PARENT:
        *ret = of_parent(c, parents);
        return 0;
    case MF_MADE_COLUMN:
        break;
    }
    *ret = base->values[c->of];
    return 0;
}

static int refuse_null(const struct view_rows *r, struct mf_arena *arena, uint16_t i, struct mf_value *v,
                       struct mf_error *err)
{
    const char *why = mf_printf_a(arena, "column \"%s\" is NULL, and is in the key of table %s.%s",
                                  r->t->columns[i].name, r->t->schema, r->t->name);
    if (!why) {
        return too_large(err);
    }
    *v = (struct mf_value){.kind = MF_REFUSED, .len = (uint32_t)strlen(why), .data = why};
    return 0;
}

static bool in_key(const struct view_rows *r, uint16_t i)
{
    for (uint16_t k = 0; k < r->t->nkey; k++) {
        if (r->t->key[k] == i) {
            return true;
        }
    }
    return false;
}

int view_row(const struct view_rows *r, struct mf_arena *arena, const struct mf_row *base, const struct mf_row *parents,
             struct mf_row *ret, struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(arena, r->t->ncolumns + 1u, sizeof *v);
    if (!v) {
        return too_large(err);
    }
    for (uint16_t i = 0; i < r->t->ncolumns; i++) {
        const struct mf_made_column *c = &r->made->columns[r->at[i]];
        if (value_of(c, arena, base, parents, &v[i], err) < 0 ||
            (c->shape && view_collected(c, arena, &v[i], err) < 0)) {
            return -1;
        }
        if (v[i].kind == MF_NULL && in_key(r, i) && refuse_null(r, arena, i, &v[i], err) < 0) {
            return -1;
        }
    }
    *ret = (struct mf_row){.n = r->t->ncolumns, .values = v};
    return 0;
}

int view_base_key(const struct view_rows *r, struct mf_arena *arena, const struct mf_row *key, struct mf_row *ret,
                  bool *ret_none, struct mf_error *err)
{
    const struct mf_table *base = r->made->base;
    struct mf_value *v = mf_alloc_array(arena, base->ncolumns + 1u, sizeof *v);
    if (!v) {
        return too_large(err);
    }
    *ret_none = false;
    for (uint16_t i = 0; i < base->ncolumns; i++) {
        v[i].kind = MF_UNCHANGED;
    }
    for (uint16_t k = 0; k < r->t->nkey; k++) {
        const struct mf_value *is = &key->values[r->t->key[k]];
        const struct mf_made_column *c = &r->made->columns[r->at[r->t->key[k]]];
        *ret_none |= is->kind != MF_TEXT && is->kind != MF_BINARY;
        if (c->kind == MF_MADE_CONSTANT) {
            *ret_none |= !mf_value_equal(is, &c->constant);
        } else if (c->kind == MF_MADE_COLUMN && base->columns[c->of].in_key) {
            v[c->of] = *is;
        }
    }
    *ret = (struct mf_row){.n = base->ncolumns, .values = v};
    return 0;
}

bool view_same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t k = 0; k < t->nkey; k++) {
        if (!mf_value_equal(&a->values[t->key[k]], &b->values[t->key[k]])) {
            return false;
        }
    }
    return true;
}

/* ---- changes ---- */

/* The new row of an update, with what it leaves out taken from the old one where that has it. */
static int completed(struct mf_arena *arena, const struct mf_change *c, struct mf_row *ret, struct mf_error *err)
{
    *ret = c->new_row;
    if (!c->has_old || mf_row_whole(&c->new_row)) {
        return 0;
    }
    struct mf_value *v = mf_alloc_array(arena, c->new_row.n + 1u, sizeof *v);
    if (!v) {
        return too_large(err);
    }
    for (uint16_t i = 0; i < c->new_row.n; i++) {
        v[i] = c->new_row.values[i].kind == MF_UNCHANGED ? c->old_row.values[i] : c->new_row.values[i];
    }
    *ret = (struct mf_row){.n = c->new_row.n, .values = v};
    return 0;
}

/* What the row was, as far as it is told. Without an old row the table's own key is what it is now. */
static int before(const struct view_rows *r, struct mf_arena *arena, const struct mf_change *c,
                  const struct mf_row *now, struct mf_row *ret, struct mf_error *err)
{
    const struct mf_table *base = r->made->base;
    if (c->has_old) {
        *ret = c->old_row;
        return 0;
    }
    struct mf_value *v = mf_alloc_array(arena, now->n + 1u, sizeof *v);
    if (!v) {
        return too_large(err);
    }
    for (uint16_t i = 0; i < now->n; i++) {
        v[i] = base->columns[i].in_key ? now->values[i] : (struct mf_value){.kind = MF_UNCHANGED};
    }
    *ret = (struct mf_row){.n = now->n, .values = v};
    return 0;
}

static int not_told(const struct view_rows *r, uint16_t i, const char *how, struct mf_error *err)
{
    const struct mf_table *base = r->made->base;
    mf_fail(err, MF_FATAL, "MFIMAGE",
            "a change of table %s.%s came without the value that column \"%s\" had, which %s table %s.%s", base->schema,
            base->name, base->columns[r->made->columns[r->at[i]].of].name, how, r->t->schema, r->t->name);
    mf_hint(err, "its old rows must be in the source's log whole (PostgreSQL: REPLICA IDENTITY FULL, MySQL: "
                 "binlog_row_image=FULL) for as long as the migration runs, and were changed to something else; "
                 "cancel and begin again");
    return -1;
}

/* What is made of several columns is not as it was because one of them is. */
static int made_whole(const struct view_rows *r, const struct mf_row *is, struct mf_error *err)
{
    for (uint16_t i = 0; i < r->t->ncolumns; i++) {
        const struct mf_made_column *c = &r->made->columns[r->at[i]];
        if (c->kind == MF_MADE_EXPR && is->values[i].kind == MF_UNCHANGED && mf_expr_columns(&c->expr) > 1) {
            return not_told(r, i, "is with others in a column of", err);
        }
    }
    return 0;
}

/* Of a row only the key; MFIMAGE where a column of it is not told. */
static int key_of(const struct view_rows *r, struct mf_arena *arena, const struct mf_row *base, struct mf_row *ret,
                  struct mf_error *err)
{
    if (view_row(r, arena, base, NULL, ret, err) < 0) {
        return -1;
    }
    for (uint16_t i = 0; i < r->t->ncolumns; i++) {
        if (!in_key(r, i)) {
            ret->values[i] = (struct mf_value){.kind = MF_UNCHANGED};
        } else if (ret->values[i].kind == MF_UNCHANGED) {
            return not_told(r, i, "is in the key of", err);
        }
    }
    return 0;
}

/* But for columns of parents. */
static bool same_row(const struct view_rows *r, const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t i = 0; i < a->n; i++) {
        if (r->made->columns[r->at[i]].kind != MF_MADE_PARENT &&
            (a->values[i].kind == MF_UNCHANGED || !mf_value_equal(&a->values[i], &b->values[i]))) {
            return false;
        }
    }
    return true;
}

/* Whether the update changes a column of the base, or may. */
static bool changes(const struct mf_table *base, const struct mf_change *in, uint16_t column)
{
    const struct mf_value *now = &in->new_row.values[column];
    if (now->kind == MF_UNCHANGED) {
        return false;
    }
    return in->has_old ? !mf_value_equal(&in->old_row.values[column], now) : !base->columns[column].in_key;
}

static bool made_of(const struct mf_made_column *c, uint16_t column)
{
    bool is = c->kind == MF_MADE_COLUMN && c->of == column;
    for (uint16_t k = 0; c->kind == MF_MADE_EXPR && k < c->expr.nargs; k++) {
        is |= c->expr.args[k].column && c->expr.args[k].of == column;
    }
    return is;
}

bool view_tells_place(const struct mf_table *t, const struct mf_made *m, uint16_t column)
{
    bool tells = false;
    for (uint16_t k = 0; k < t->nkey && !tells; k++) {
        int at = mf_made_column(m, t->columns[t->key[k]].name);
        tells = at >= 0 && made_of(&m->columns[at], column);
    }
    for (uint16_t p = 0; p < m->nparents && !tells; p++) {
        for (uint16_t k = 0; k < m->parents[p].table->nkey; k++) {
            tells |= m->parents[p].by[k] == column;
        }
    }
    return tells;
}

bool view_wants_parents(const struct view_rows *r, const struct mf_change *in)
{
    bool wants = in->op == MF_INSERT;
    for (uint16_t i = 0; in->op == MF_UPDATE && r->made->nparents && i < r->made->base->ncolumns && !wants; i++) {
        wants = changes(r->made->base, in, i) && view_tells_place(r->t, r->made, i);
    }
    return wants && r->made->nparents > 0;
}

static int update(const struct view_rows *r, struct mf_arena *arena, const struct mf_change *in,
                  const struct mf_row *parents, struct mf_change *ret, int *ret_n, struct mf_error *err)
{
    struct mf_row now, was, is, had, key;
    if (completed(arena, in, &now, err) < 0 || before(r, arena, in, &now, &was, err) < 0 ||
        view_row(r, arena, &now, parents, &is, err) < 0 || made_whole(r, &is, err) < 0 ||
        view_row(r, arena, &was, NULL, &had, err) < 0) {
        return -1;
    }
    if (!parents && same_row(r, &is, &had)) {
        *ret_n = 0; /* what changed is none of its columns */
        return 0;
    }
    if (key_of(r, arena, &was, &key, err) < 0) {
        return -1;
    }
    ret->new_row = is;
    ret->has_old = !view_same_key(r->t, &key, &is);
    ret->old_row = ret->has_old ? key : (struct mf_row){0};
    return 0;
}

int view_change(const struct view_rows *r, struct mf_arena *arena, const struct mf_change *in,
                const struct mf_row *parents, struct mf_change *ret, int *ret_n, struct mf_error *err)
{
    *ret = (struct mf_change){.op = in->op, .table = r->t};
    *ret_n = 1;
    switch (in->op) {
    case MF_INSERT:
        return view_row(r, arena, &in->new_row, parents, &ret->new_row, err);
    case MF_DELETE:
        ret->has_old = true;
        return key_of(r, arena, &in->old_row, &ret->old_row, err);
    case MF_UPDATE:
        return update(r, arena, in, parents, ret, ret_n, err);
    case MF_TRUNCATE:
        break;
    }
    return mf_fail(err, MF_FATAL, "MFBUG", "a TRUNCATE is of no row");
}
