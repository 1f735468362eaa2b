/* One entry of the map held against the catalogue: the query table's shape, and what its rows are made of.
 *
 * What must hold of a query table so that it can be kept right (docs/internals/query-tables.md):
 *  - its key has every column of its table's key, as it is: so no two rows of the table ever have the same key here, and every key says of which row it is;
 *  - its key is made of the table's own columns, constants and expressions: what a row's key is can be told from the row alone;
 *  - a parent is another table with a key, which the table's own columns refer to: which parent a row has can be told from the row alone;
 *  - the server tells of every change of the table: none that its foreign keys make by themselves (MySQL). */
#include "connector/view/compile.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int view_fail(const struct mf_query_map *map, size_t line, struct mf_error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *text = mf_xvasprintf(fmt, ap);
    va_end(ap);
    return mf_fail(err, MF_USAGE, "MFMAP", "%s:%zu: map: %s", map->path, line, text);
}

const char *view_nearest(const struct mf_table *t, const char *name, char *out, size_t n)
{
    const char *best = NULL;
    size_t least = strlen(name) / 3 < 2 ? 2 : strlen(name) / 3;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        size_t d = mf_edit_distance(name, t->columns[i].name);
        if (d <= least && (!best || d < least)) {
            best = t->columns[i].name;
            least = d;
        }
    }
    snprintf(out, n, best ? "; did you mean \"%s\"?" : "%s", best ? best : "");
    return out;
}

/* "public.orders", or "orders" of whatever schema. */
bool view_is_named(const char *written, const struct mf_table *t)
{
    const char *dot = strchr(written, '.');
    size_t n = dot ? (size_t)(dot - written) : 0;
    return dot ? strlen(t->schema) == n && strncmp(t->schema, written, n) == 0 && mf_streq(t->name, dot + 1)
               : mf_streq(t->name, written);
}

bool view_entry_of(const struct mf_query_table *q, const struct mf_table *base)
{
    return !view_is_book(base->schema) && view_is_named(q->table, base);
}

/* Ids of query tables have the highest bit, which numbers of real tables reach last. The same in every run: it is made of the table's id and the name. */
static uint32_t shown_id(uint32_t base, const char *schema, const char *name)
{
    XXH64_hash_t h = XXH3_64bits_withSeed(schema, strlen(schema) + 1, base);
    return (uint32_t)XXH3_64bits_withSeed(name, strlen(name), h) | UINT32_C(0x80000000);
}

/* ---- the key ---- */

static int add_key(struct view_entry *e, const char *name, bool descending)
{
    struct mf_table *t = e->t;
    int at = mf_table_column(t, name);
    if (at < 0) {
        return view_no_column(e, 0, t, name);
    }
    struct mf_made_column *made = &e->made[at];
    if (t->columns[at].in_key) {
        return REFUSE(e, 0, "column \"%s\" is in the key of table %s twice", name, e->q->to);
    }
    if (made->kind == MF_MADE_PARENT || made->is_static || made->shape) {
        return REFUSE(e, 0, "column \"%s\" is in the key of table %s, and cannot be %s", name, e->q->to,
                      made->is_static ? "static"
                      : made->shape   ? "a collection"
                                      : "another table's");
    }
    made->descending = descending;
    t->columns[at].in_key = true;
    t->key[t->nkey++] = (uint16_t)at;
    return 0;
}

/* The column that shows column `of` of the base, in the key if there is one there. -1: none. */
static int shows(const struct view_entry *e, uint16_t of)
{
    int found = -1;
    for (uint16_t i = 0; i < e->t->ncolumns; i++) {
        if (e->made[i].kind == MF_MADE_COLUMN && e->made[i].of == of && (found < 0 || e->t->columns[i].in_key)) {
            found = i;
        }
    }
    return found;
}

static int make_key(struct view_entry *e)
{
    const struct mf_table *base = e->base;
    for (size_t i = 0; i < e->q->npartition; i++) {
        if (add_key(e, e->q->partition[i], false) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < e->q->nclustering; i++) {
        if (add_key(e, e->q->clustering[i].name, e->q->clustering[i].descending) < 0) {
            return -1;
        }
    }
    for (uint16_t k = 0; k < base->nkey; k++) {
        int at = shows(e, base->key[k]);
        const char *name = base->columns[base->key[k]].name;
        if (at >= 0 && e->q->npartition == 0 && add_key(e, e->t->columns[at].name, false) < 0) {
            return -1;
        }
        if (at < 0 || !e->t->columns[at].in_key) {
            return REFUSE(e, 0,
                          "column \"%s\" is of the key of the source's table, and has to be in the key of table %s: "
                          "without it, rows that differ there would be one row here",
                          name, e->q->to);
        }
    }
    e->t->identity = MF_IDENTITY_KEY;
    return 0;
}

/* ---- the base, with what is needed of it ---- */

static bool *used_columns(const struct view_entry *e, struct mf_arena *arena)
{
    bool *used = mf_alloc_array(arena, e->base->ncolumns + 1u, sizeof *used);
    for (uint16_t i = 0; used && i < e->base->ncolumns; i++) {
        used[i] = e->c->whole || e->base->columns[i].in_key;
    }
    for (uint16_t i = 0; used && i < e->t->ncolumns; i++) {
        const struct mf_made_column *m = &e->made[i];
        if (m->kind == MF_MADE_COLUMN) {
            used[m->of] = true;
        }
        for (uint16_t k = 0; m->kind == MF_MADE_EXPR && k < m->expr.nargs; k++) {
            used[m->expr.args[k].of] = used[m->expr.args[k].of] || m->expr.args[k].column;
        }
    }
    for (uint16_t p = 0; used && p < e->nparents; p++) {
        for (uint16_t k = 0; k < e->parents[p].table->nkey; k++) {
            used[e->parents[p].by[k]] = true;
        }
    }
    return used;
}

/* A copy of t without its unused columns. ret_to: where each column is in it. */
static struct mf_table *narrow(struct mf_arena *arena, const struct mf_table *t, const bool *used, uint16_t *to)
{
    struct mf_table *n = mf_table_copy(arena, t);
    if (!n) {
        return NULL;
    }
    n->ncolumns = n->ncascades = 0;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (used[i]) {
            to[i] = n->ncolumns;
            n->columns[n->ncolumns++] = n->columns[i];
        }
    }
    for (uint16_t k = 0; k < t->nkey; k++) {
        n->key[k] = to[t->key[k]];
    }
    return n;
}

static int narrow_parent(struct view_entry *e, uint16_t p)
{
    struct mf_arena *arena = e->c->arena;
    const struct mf_table *t = e->parents[p].table;
    bool *used = mf_alloc_array(arena, t->ncolumns + 1u, sizeof *used);
    uint16_t *to = mf_alloc_array(arena, t->ncolumns + 1u, sizeof *to);
    if (!used || !to) {
        return view_entry_full(e);
    }
    for (uint16_t k = 0; k < t->nkey; k++) {
        used[t->key[k]] = true;
    }
    for (uint16_t i = 0; i < e->t->ncolumns; i++) {
        if (e->made[i].kind == MF_MADE_PARENT && e->made[i].parent == p) {
            used[e->made[i].of] = true;
        }
    }
    struct mf_table *kept = narrow(arena, t, used, to);
    if (!kept) {
        return view_entry_full(e);
    }
    kept->old_whole = true; /* only changes of what is shown are of interest */
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        kept->old_whole &= !t->columns[i].generated; /* PostgreSQL does not publish those together */
    }
    e->parents[p].table = kept;
    for (uint16_t i = 0; i < e->t->ncolumns; i++) {
        if (e->made[i].kind == MF_MADE_PARENT && e->made[i].parent == p) {
            e->made[i].of = to[e->made[i].of];
        }
    }
    return 0;
}

/* Where what a column is made of stands in the base as it is with its unused columns gone. */
static void move(struct mf_made_column *m, const uint16_t *to)
{
    if (m->kind == MF_MADE_COLUMN || m->kind == MF_MADE_EXPR) {
        m->of = to[m->of];
    }
    for (uint16_t k = 0; m->kind == MF_MADE_EXPR && k < m->expr.nargs; k++) {
        m->expr.args[k].of = to[m->expr.args[k].of];
    }
}

static int finish(struct view_entry *e, bool every)
{
    struct mf_arena *arena = e->c->arena;
    struct mf_made *m = mf_alloc0(arena, sizeof *m);
    bool *used = used_columns(e, arena);
    uint16_t *to = mf_alloc_array(arena, e->base->ncolumns + 1u, sizeof *to);
    struct mf_table *base = m && used && to ? narrow(arena, e->base, used, to) : NULL;
    if (!base) {
        return view_entry_full(e);
    }
    for (uint16_t i = 0; i < e->t->ncolumns; i++) {
        move(&e->made[i], to);
    }
    for (uint16_t p = 0; p < e->nparents; p++) {
        uint16_t *by = (uint16_t *)e->parents[p].by; /* ours, in the arena */
        for (uint16_t k = 0; k < e->parents[p].table->nkey; k++) {
            by[k] = to[by[k]];
        }
        if (narrow_parent(e, p) < 0) {
            return -1;
        }
    }
    *m = (struct mf_made){.base = base,
                          .n = e->t->ncolumns,
                          .columns = e->made,
                          .nparents = e->nparents,
                          .parents = e->parents,
                          .npartition = (uint16_t)e->q->npartition,
                          .whole_base = every};
    e->t->made = m;
    return e->q->ttl ? view_add_end(e, m) : 0;
}

static int begin(struct view_entry *e)
{
    struct mf_arena *arena = e->c->arena;
    const char *dot = strchr(e->q->to, '.');
    size_t most = e->base->ncolumns + e->q->ncolumns + 1u;
    e->t->schema = dot ? mf_memdup_a(arena, e->q->to, (size_t)(dot - e->q->to)) : mf_strdup_a(arena, e->base->schema);
    e->t->name = mf_strdup_a(arena, dot ? dot + 1 : e->q->to);
    e->t->columns = mf_alloc_array(arena, most, sizeof *e->t->columns);
    e->t->key = mf_alloc_array(arena, most, sizeof *e->t->key);
    e->made = mf_alloc_array(arena, most, sizeof *e->made);
    e->parents = mf_alloc_array(arena, e->q->ncolumns + 1u, sizeof *e->parents);
    if (!e->t->schema || !e->t->name || !e->t->columns || !e->t->key || !e->made || !e->parents) {
        return view_entry_full(e);
    }
    e->t->id = shown_id(e->base->id, e->t->schema, e->t->name);
    e->t->rows_estimate = e->base->rows_estimate;
    e->t->bytes = e->base->bytes;
    return 0;
}

int view_compile_entry(const struct view_compile *c, const struct mf_query_table *q, const struct mf_table *base,
                       struct mf_table *ret, struct mf_error *err)
{
    char label[300];
    struct mf_table t = {0};
    struct view_entry e = {.c = c, .q = q, .base = base, .t = &t, .err = err};
    e.label = mf_table_label(base, label, sizeof label);
    bool every = q->ncolumns == 0;
    for (size_t i = 0; i < q->ncolumns; i++) {
        every = every || q->columns[i].every;
    }
    if (base->identity != MF_IDENTITY_KEY || base->nkey == 0) {
        return REFUSE(&e, 0, "table %s has no key, and the rows of table %s are found by it", e.label, q->to);
    }
    if (base->ncascades) {
        return REFUSE(&e, 0,
                      "rows that refer to table %s are changed by the server itself, which its stream does not "
                      "tell (foreign keys with a cascade); table %s cannot be kept right",
                      e.label, q->to);
    }
    if (begin(&e) < 0 || view_add_columns(&e, every) < 0 || make_key(&e) < 0 || finish(&e, every) < 0) {
        return -1;
    }
    const struct mf_table *whole = mf_table_copy(c->arena, &t); /* so far it shares what the catalogue has */
    if (!whole) {
        return view_entry_full(&e);
    }
    *ret = *whole;
    return 0;
}
