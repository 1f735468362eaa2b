/* Catalogues: the real one as it is shown, and the real tables behind those shown. */
#include "connector/view/internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

int view_no_memory(struct mf_error *err, const char *what)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "%s", what);
}

bool view_is_book(const char *schema)
{
    return mf_streq(schema, "midflight");
}

const struct mf_table *view_base(const struct mf_table *shown)
{
    return shown->made ? shown->made->base : shown;
}

/* A value that an update leaves out is as it was, and so is what was made of it alone. What is made of two columns needs both. */
static bool expr_needs_old(const struct mf_made *made, const struct mf_made_column *c, bool in_key)
{
    bool needs = !in_key && mf_expr_columns(&c->expr) > 1;
    for (uint16_t i = 0; in_key && i < c->expr.nargs; i++) {
        needs = needs || (c->expr.args[i].column && !made->base->columns[c->expr.args[i].of].in_key);
    }
    return needs;
}

bool view_needs_old(const struct mf_table *shown)
{
    if (shown->made && shown->made->ends) {
        return true; /* every write of a row says its end, and so all of it */
    }
    for (uint16_t i = 0; shown->made && i < shown->ncolumns; i++) {
        int at = mf_made_column(shown->made, shown->columns[i].name);
        const struct mf_made_column *c = at < 0 ? NULL : &shown->made->columns[at];
        if (c && c->kind == MF_MADE_EXPR && expr_needs_old(shown->made, c, shown->columns[i].in_key)) {
            return true;
        }
    }
    for (uint16_t k = 0; shown->made && k < shown->nkey; k++) {
        const struct mf_made_column *c = &shown->made->columns[shown->key[k]];
        if (c->kind == MF_MADE_COLUMN && !shown->made->base->columns[c->of].in_key) {
            return true;
        }
    }
    for (uint16_t p = 0; shown->made && p < shown->made->nparents; p++) {
        const struct mf_made_parent *is = &shown->made->parents[p];
        for (uint16_t k = 0; k < is->table->nkey; k++) {
            if (!shown->made->base->columns[is->by[k]].in_key) {
                return true; /* whether it has another parent now */
            }
        }
    }
    return false;
}

/* ---- what is shown ---- */

struct showing {
    const struct view_db *v;
    const struct mf_catalog *own;
    struct mf_catalog *c;
    size_t cap;
    size_t *line; /* of the entry that made each table of c; 0: it is a real one */
    struct mf_error *err;
};

static int not_twice(const struct showing *s, const struct mf_table *t, size_t line)
{
    char label[300];
    for (size_t i = 0; i < s->c->n; i++) {
        const struct mf_table *there = &s->c->tables[i];
        bool same = mf_streq(there->name, t->name) && mf_streq(there->schema, t->schema);
        size_t at = line ? line : s->line[i];
        mf_table_label(t, label, sizeof label);
        bool ends = (there->made && there->made->ends) || (t->made && t->made->ends);
        if (!same && ends && mf_streq(there->name, t->name)) {
            return view_fail(s->v->map, at, s->err,
                             "tables %s.%s and %s have one name, and rows of one of them end (ttl): give it another",
                             there->schema, there->name, label);
        }
        if (!same && there->id != t->id) {
            continue;
        }
        if (!same) {
            return view_fail(s->v->map, at, s->err,
                             "the numbers of tables %s.%s and %s are the same by chance: give one "
                             "another name",
                             there->schema, there->name, label);
        }
        return s->line[i] && line
                   ? view_fail(s->v->map, at, s->err, "table %s is made twice, first on line %zu", label, s->line[i])
                   : view_fail(s->v->map, at, s->err, "table %s is also a table of the source that migrates as itself",
                               label);
    }
    return 0;
}

/* Room was made for as many as there can be. */
static int show(struct showing *s, const struct mf_table *t, size_t line)
{
    if (not_twice(s, t, line) < 0) {
        return -1;
    }
    s->line[s->c->n] = line;
    s->c->tables[s->c->n++] = *t;
    return 0;
}

/* Rows that a server's foreign keys change by themselves are in no stream: a query table of them would keep what was. */
static int no_hidden_changes(const struct showing *s, const struct mf_table *base, size_t line)
{
    for (size_t i = 0; i < s->own->n; i++) {
        const struct mf_table *t = &s->own->tables[i];
        for (uint16_t k = 0; k < t->ncascades; k++) {
            if (mf_streq(t->cascades[k].table, base->name) && mf_streq(t->cascades[k].schema, base->schema)) {
                return view_fail(
                    s->v->map, line, s->err,
                    "rows of table %s.%s are changed by the server itself when those of %s.%s are (a foreign "
                    "key with a cascade), which its stream does not tell: a query table cannot be kept right",
                    base->schema, base->name, t->schema, t->name);
            }
        }
    }
    return 0;
}

static int show_entries(struct showing *s, const struct mf_table *base, bool *used)
{
    const struct view_compile c = {
        .map = s->v->map, .all = s->own, .arena = &s->c->arena, .from = s->v->from, .to = s->v->to};
    for (size_t i = 0; i < s->v->map->n; i++) {
        const struct mf_query_table *q = &s->v->map->tables[i];
        struct mf_table t;
        if (!view_entry_of(q, base)) {
            continue;
        }
        if (used[i]) {
            return view_fail(s->v->map, q->line, s->err,
                             "several tables of the source are called %s: write its schema "
                             "too",
                             q->table);
        }
        used[i] = true;
        if (no_hidden_changes(s, base, q->line) < 0 || view_compile_entry(&c, q, base, &t, s->err) < 0 ||
            show(s, &t, q->line) < 0) {
            return -1;
        }
        for (uint16_t p = 0; p < t.made->nparents; p++) {
            if (no_hidden_changes(s, t.made->parents[p].table, q->line) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static bool in_map(const struct mf_query_map *map, const struct mf_table *base)
{
    for (size_t i = 0; i < map->n; i++) {
        if (view_entry_of(&map->tables[i], base)) {
            return true;
        }
    }
    return false;
}

static int no_table(const struct showing *s, const struct mf_query_table *q)
{
    char name[300];
    const struct mf_table *near = mf_catalog_nearest(s->own, q->table);
    near = near && view_is_book(near->schema) ? NULL : near;
    return view_fail(s->v->map, q->line, s->err,
                     near ? "the source has no table %s; did you mean %s?" : "the source has no table %s", q->table,
                     near ? mf_table_label(near, name, sizeof name) : "");
}

static int show_all(struct showing *s, bool *used)
{
    for (size_t i = 0; i < s->own->n; i++) {
        const struct mf_table *base = &s->own->tables[i];
        bool asked = in_map(s->v->map, base);
        struct mf_table *t =
            asked || (s->v->map->only && !view_is_book(base->schema)) ? NULL : mf_table_copy(&s->c->arena, base);
        if (asked ? show_entries(s, base, used) < 0 : t && show(s, t, 0) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < s->v->map->n; i++) {
        if (!used[i]) {
            return no_table(s, &s->v->map->tables[i]);
        }
    }
    return 0;
}

int view_show_catalog(const struct view_db *v, const struct mf_catalog *own, const struct mf_filter *filter,
                      struct mf_catalog *ret, struct mf_error *err)
{
    struct mf_catalog c = {0};
    MF_CLEANUP_FREE bool *used = mf_xcalloc(v->map->n + 1, sizeof *used);
    MF_CLEANUP_FREE size_t *line = mf_xcalloc(own->n + v->map->n + 1, sizeof *line);
    struct showing s = {.v = v, .own = own, .c = &c, .line = line, .err = err};
    mf_arena_init(&c.arena, VIEW_TABLE_BYTES);
    c.tables = mf_alloc_array(&c.arena, own->n + v->map->n + 1, sizeof *c.tables);
    if (!c.tables || show_all(&s, used) < 0) {
        mf_catalog_free(&c);
        return c.tables ? -1 : err->text[0] ? -1 : view_no_memory(err, "the catalogue is too large");
    }
    size_t n = 0;
    for (size_t i = 0; i < c.n; i++) {
        if (!filter || mf_filter_match(filter, c.tables[i].schema, c.tables[i].name)) {
            c.tables[n++] = c.tables[i];
        }
    }
    c.n = n;
    *ret = c;
    return 0;
}

int view_catalog_read(struct view_db *v, enum view_figures what, const struct mf_filter *filter, struct mf_catalog *ret,
                      struct mf_error *err)
{
    static const struct mf_filter all;
    const struct mf_source_ops *ops = view_own(v);
    struct mf_catalog own = {0};
    if ((what == VIEW_CATALOG ? ops->catalog(v->own, &all, &own, err) : ops->shapes(v->own, &all, &own, err)) < 0) {
        return -1;
    }
    int rc = view_show_catalog(v, &own, filter, ret, err);
    mf_catalog_free(&own);
    return rc;
}

/* ---- what is behind ---- */

static struct mf_table *behind(struct mf_catalog *c, const struct mf_table *base)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->tables[i].id == base->id) {
            return &c->tables[i];
        }
    }
    return NULL;
}

static size_t made_of(const struct mf_catalog *shown, uint32_t base)
{
    size_t n = 0;
    for (size_t i = 0; i < shown->n; i++) {
        n += shown->tables[i].made && shown->tables[i].made->base->id == base;
    }
    return n;
}

/* The stream gives the changes of all of them, or none. */
static int all_there(const struct view_db *v, const struct mf_catalog *shown, const struct mf_table *base,
                     struct mf_error *err)
{
    size_t wanted = 0, line = 0;
    for (size_t i = 0; i < v->map->n; i++) {
        if (view_entry_of(&v->map->tables[i], base)) {
            wanted++;
            line = line ? line : v->map->tables[i].line;
        }
    }
    return made_of(shown, base->id) == wanted
               ? 0
               : view_fail(v->map, line, err,
                           "of the query tables of %s.%s some are left out by tables.include or tables.exclude: take "
                           "their entries out",
                           base->schema, base->name);
}

/* Each query table's base has the columns that it needs: behind several are those that any of them needs. */
static bool add_columns(struct mf_arena *arena, struct mf_table *at, const struct mf_table *base)
{
    const struct mf_table *more = mf_table_copy(arena, base);
    struct mf_column *all = mf_alloc_array(arena, (size_t)at->ncolumns + base->ncolumns + 1u, sizeof *all);
    uint16_t n = at->ncolumns;
    if (!more || !all) {
        return false;
    }
    memcpy(all, at->columns, n * sizeof *all);
    for (uint16_t i = 0; i < more->ncolumns; i++) {
        if (mf_table_column(at, more->columns[i].name) < 0) {
            all[n++] = more->columns[i];
        }
    }
    at->columns = all;
    at->ncolumns = n;
    return true;
}

/* The table is behind something shown, or nobody hears of it: its changes would be of a table that does not migrate. */
static int parent_there(const struct view_db *v, const struct mf_catalog *shown, const struct mf_table *parent,
                        struct mf_error *err)
{
    bool shows = in_map(v->map, parent), there = !shows && v->map->only;
    for (size_t i = 0; i < shown->n && !there; i++) {
        there = view_base(&shown->tables[i])->id == parent->id;
    }
    return there ? 0
                 : view_fail(v->map, mf_query_map_parents(v->map), err,
                             "table %s.%s, whose columns are another's here, is left out by tables.include or "
                             "tables.exclude: let it migrate, or leave tables out with map_only",
                             parent->schema, parent->name);
}

/* Puts the table behind, or what it has more than what is there. */
static int put_behind(struct mf_catalog *c, const struct mf_table *base, bool old_whole, struct mf_error *err)
{
    struct mf_table *at = behind(c, base);
    if (at) {
        if (!add_columns(&c->arena, at, base)) {
            return view_no_memory(err, "the catalogue is too large");
        }
    } else {
        struct mf_table *copy = mf_table_copy(&c->arena, base);
        if (!copy) {
            return view_no_memory(err, "the catalogue is too large");
        }
        at = &c->tables[c->n++];
        *at = *copy;
        at->old_whole = false;
    }
    at->old_whole = at->old_whole || old_whole;
    return 0;
}

static int put_shown(const struct view_db *v, const struct mf_catalog *shown, const struct mf_table *t, unsigned what,
                     struct mf_catalog *c, struct mf_error *err)
{
    if ((t->made && (what & VIEW_WHOLE_SETS) && all_there(v, shown, t->made->base, err) < 0) ||
        put_behind(c, view_base(t), view_needs_old(t), err) < 0) {
        return -1;
    }
    for (uint16_t p = 0; (what & VIEW_PARENTS) && t->made && p < t->made->nparents; p++) {
        const struct mf_table *parent = t->made->parents[p].table;
        if (((what & VIEW_WHOLE_SETS) && parent_there(v, shown, parent, err) < 0) ||
            put_behind(c, parent, parent->old_whole, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int view_catalog_own(const struct view_db *v, const struct mf_catalog *shown, unsigned what, struct mf_catalog *ret,
                     struct mf_error *err)
{
    struct mf_catalog c = {0};
    size_t most = shown->n + 1;
    for (size_t i = 0; i < shown->n; i++) {
        most += shown->tables[i].made ? shown->tables[i].made->nparents : 0;
    }
    mf_arena_init(&c.arena, VIEW_TABLE_BYTES);
    c.tables = mf_alloc_array(&c.arena, most, sizeof *c.tables);
    int rc = c.tables ? 0 : view_no_memory(err, "the catalogue is too large");
    for (size_t i = 0; rc == 0 && i < shown->n; i++) {
        rc = put_shown(v, shown, &shown->tables[i], what, &c, err);
    }
    if (rc < 0) {
        mf_catalog_free(&c);
        return -1;
    }
    *ret = c;
    return 0;
}
