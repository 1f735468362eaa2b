/* Collections shown, and the tables behind them.
 *
 * A collection is there when all of its tables are. They are what is behind's, found by name, with the columns of the map in the map's order: so a row of the shredder is one
 * of theirs as it stands. Columns that only the target has stay out of it. A column whose type cannot hold what the map says is told by name, before anything is
 * written. */
#include "connector/shred/internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "model/respell.h"

#include <string.h>
#include <xxhash.h>

int docs_no_memory(struct mf_error *err, const char *what)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "%s", what);
}

void docs_reals_free(struct docs_reals *r)
{
    mf_arena_free(&r->arena);
    *r = (struct docs_reals){0};
}

static int full(struct mf_error *err)
{
    return docs_no_memory(err, "the shapes of the map's tables are too large");
}

/* ---- one table ---- */

static int not_the_maps(const struct mf_table *t, const struct mf_column *says, const struct mf_column *is,
                        struct mf_error *err)
{
    if (is) {
        mf_fail(err, MF_FATAL, "MFSHAPE",
                "column \"%s\" of table %s.%s is %s on the target, which does not hold every %s that the map says",
                says->name, t->schema, t->name, is->type ? is->type : "of another type", says->type);
    } else {
        mf_fail(err, MF_FATAL, "MFSHAPE", "table %s.%s on the target has no column \"%s\", which the map says it has",
                t->schema, t->name, says->name);
    }
    mf_hint(err, "change the table or the map, so that they agree; midflight plan shows the statements that make the "
                 "tables as the map says");
    return -1;
}

/* The column as what is behind shows it. */
static int take_column(struct mf_arena *arena, const struct mf_table *is, const struct mf_column *says,
                       struct mf_column *ret, struct mf_error *err)
{
    int at = mf_table_column(is, says->name);
    if (at < 0) {
        return not_the_maps(is, says, NULL, err);
    }
    const struct mf_column *c = &is->columns[at];
    if (!c->foreign || !says->foreign || c->generated || !mf_type_takes(&c->foreign->type, &says->foreign->type)) {
        return not_the_maps(is, says, c, err);
    }
    *ret = *c;
    ret->in_key = says->in_key;
    ret->by_bytes = c->equality != 0; /* documents are told apart by bytes, whatever the column takes for equal */
    if (c->foreign->type.kind == MF_KIND_TEXT && mf_respells(&says->foreign->type)) {
        ret->stands_for = mf_type_copy(arena, &says->foreign->type);
        return ret->stands_for ? 0 : full(err);
    }
    return 0;
}

static struct mf_table *as_mapped(struct mf_arena *arena, const struct mf_table *is, const struct mf_table *says,
                                  struct mf_error *err)
{
    struct mf_table *t = mf_alloc0(arena, sizeof *t);
    struct mf_column *columns = mf_alloc_array(arena, says->ncolumns + 1u, sizeof *columns);
    if (!t || !columns) {
        full(err);
        return NULL;
    }
    for (uint16_t i = 0; i < says->ncolumns; i++) {
        if (take_column(arena, is, &says->columns[i], &columns[i], err) < 0) {
            return NULL;
        }
    }
    *t = *is;
    t->identity = MF_IDENTITY_KEY;
    t->columns = columns;
    t->ncolumns = says->ncolumns;
    t->key = says->key;
    t->nkey = says->nkey;
    t->ncascades = 0;
    return t;
}

/* Found by the columns of the document's key alone. */
static struct mf_table *by_root(struct mf_arena *arena, const struct mf_table *t, uint16_t nroot)
{
    struct mf_table *r = mf_alloc0(arena, sizeof *r);
    struct mf_column *columns = mf_alloc_array(arena, t->ncolumns + 1u, sizeof *columns);
    if (!r || !columns) {
        return NULL;
    }
    memcpy(columns, t->columns, t->ncolumns * sizeof *columns);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        columns[i].in_key = false;
    }
    for (uint16_t k = 0; k < nroot; k++) {
        columns[t->key[k]].in_key = true;
    }
    *r = *t;
    r->columns = columns;
    r->nkey = nroot;
    return r;
}

/* With the key's columns and no others. */
static struct mf_table *keys_alone(struct mf_arena *arena, const struct mf_table *t)
{
    struct mf_table *r = mf_alloc0(arena, sizeof *r);
    struct mf_column *columns = mf_alloc_array(arena, t->nkey + 1u, sizeof *columns);
    uint16_t *key = mf_alloc_array(arena, t->nkey + 1u, sizeof *key);
    if (!r || !columns || !key) {
        return NULL;
    }
    for (uint16_t k = 0; k < t->nkey; k++) {
        columns[k] = t->columns[t->key[k]];
        key[k] = k;
    }
    *r = *t;
    r->columns = columns;
    r->ncolumns = t->nkey;
    r->key = key;
    return r;
}

/* ---- a collection ---- */

/* The map has the target's own names; what is behind may show two of them as each other. */
static const struct mf_table *find(const struct docs_db *s, const struct mf_catalog *all, const struct mf_table *says)
{
    const char *schema = says->schema && *says->schema ? says->schema : s->own_schema;
    schema = mf_streq(schema, s->own_schema) ? s->schema : mf_streq(schema, s->schema) ? s->own_schema : schema;
    return mf_catalog_find(all, schema, says->name);
}

/* Another table in the place of one of them makes another collection of it, as another column in the place of one that the map names makes other documents: by the
 * numbers of both whoever watches the schema sees it. */
static const struct mf_table *told_apart(struct mf_arena *arena, const struct docs_real *c)
{
    struct mf_table *t = mf_table_copy(arena, c->shown);
    uint64_t ids = c->shown->id, numbers = 1;
    for (uint16_t k = 0; k < c->of->ntables; k++) {
        const struct mf_table *is = c->tables[k];
        ids = XXH3_64bits_withSeed(&is->id, sizeof is->id, ids);
        for (uint16_t i = 0; i < is->ncolumns; i++) {
            const struct mf_column *col = &is->columns[i];
            const int64_t what[] = {col->number, col->type_id, col->type_mod};
            numbers = XXH3_64bits_withSeed(what, sizeof what, numbers);
        }
    }
    if (t) {
        t->id = (uint32_t)ids | 1;
        t->columns[t->ncolumns - 1].number = (int32_t)(numbers & INT32_MAX) | 1;
    }
    return t;
}

static int take_collection(const struct docs_db *s, struct mf_arena *arena, const struct mf_catalog *all,
                           struct docs_real *ret, struct mf_error *err)
{
    const struct mf_shred_collection *of = ret->of;
    ret->shown = mf_bson_table(arena, of->database, of->collection);
    ret->full = mf_alloc_array(arena, of->ntables, sizeof(struct mf_table *));
    ret->tables = mf_alloc_array(arena, of->ntables, sizeof(struct mf_table *));
    ret->by_root = mf_alloc_array(arena, of->ntables, sizeof(struct mf_table *));
    if (!ret->shown || !ret->full || !ret->tables || !ret->by_root) {
        return full(err);
    }
    for (uint16_t t = 0; t < of->ntables; t++) {
        const struct mf_table *is = find(s, all, of->tables[t].table);
        if (!is) {
            ret->missing = of->tables[t].table->name;
            return 0;
        }
        ret->full[t] = mf_table_copy(arena, is);
        ret->tables[t] = ret->full[t] ? as_mapped(arena, ret->full[t], of->tables[t].table, err) : NULL;
        if (!ret->tables[t]) {
            return ret->full[t] ? -1 : full(err);
        }
        ret->by_root[t] = by_root(arena, ret->tables[t], of->tables[t].nroot);
        if (!ret->by_root[t]) {
            return full(err);
        }
    }
    ret->keys = keys_alone(arena, ret->tables[0]);
    ret->shown = told_apart(arena, ret);
    ret->there = true;
    return ret->keys && ret->shown ? 0 : full(err);
}

int docs_reals_read(struct docs_db *s, enum docs_figures what, struct docs_reals *ret, struct mf_error *err)
{
    struct docs_reals r = {.read = true, .n = mf_shred_count(s->map)};
    struct mf_catalog all = {0};
    mf_arena_init(&r.arena, DOCS_TABLE_BYTES);
    r.of = mf_alloc_array(&r.arena, r.n + 1, sizeof *r.of);
    int rc = !r.of                  ? full(err)
             : what == DOCS_CATALOG ? docs_source(s)->catalog(s->own, NULL, &all, err)
                                    : docs_source(s)->shapes(s->own, NULL, &all, err);
    for (size_t i = 0; rc == 0 && i < r.n; i++) {
        r.of[i].of = mf_shred_at(s->map, i);
        rc = take_collection(s, &r.arena, &all, &r.of[i], err);
    }
    mf_catalog_free(&all);
    if (rc < 0) {
        docs_reals_free(&r);
        return -1;
    }
    docs_reals_free(ret);
    *ret = r;
    return 0;
}

int docs_real_of(struct docs_db *s, struct docs_reals *r, const struct mf_table *t, const struct docs_real **ret,
                 struct mf_error *err)
{
    const struct docs_real *c = NULL;
    for (int again = 0; again < 2 && !(c && c->there); again++) {
        if ((!r->read || again) && docs_reals_read(s, DOCS_SHAPES, r, err) < 0) {
            return -1;
        }
        for (size_t i = 0; i < r->n; i++) {
            bool is = mf_streq(r->of[i].of->collection, t->name) && mf_streq(r->of[i].of->database, t->schema);
            c = is ? &r->of[i] : c;
        }
    }
    if (c && c->there) {
        *ret = c;
        return 0;
    }
    return c ? mf_fail(err, MF_FATAL, "MFSHAPE", "table %s, which documents of %s.%s go to, is not on the target",
                       c->missing, t->schema, t->name)
             : mf_fail(err, MF_FATAL, "MFSHAPE", "collection %s.%s is not in the map", t->schema, t->name);
}

/* ---- catalogues ---- */

int docs_catalog_read(struct docs_db *s, enum docs_figures what, const struct mf_filter *filter, struct mf_catalog *ret,
                      struct mf_error *err)
{
    struct docs_reals r = {0};
    struct mf_catalog c = {0};
    if (docs_reals_read(s, what, &r, err) < 0) {
        return -1;
    }
    mf_arena_init(&c.arena, DOCS_TABLE_BYTES);
    c.tables = mf_alloc_array(&c.arena, r.n + 1, sizeof *c.tables);
    for (size_t i = 0; c.tables && i < r.n; i++) {
        const struct docs_real *is = &r.of[i];
        if (!is->there || !mf_filter_match(filter, is->of->database, is->of->collection)) {
            continue;
        }
        struct mf_table *t = mf_table_copy(&c.arena, is->shown);
        if (!t) {
            c.tables = NULL;
            break;
        }
        t->rows_estimate = what == DOCS_CATALOG ? is->full[0]->rows_estimate : -1;
        t->bytes = 0;
        for (uint16_t k = 0; what == DOCS_CATALOG && k < is->of->ntables; k++) {
            t->bytes += is->full[k]->bytes > 0 ? is->full[k]->bytes : 0;
        }
        c.tables[c.n++] = *t;
    }
    docs_reals_free(&r);
    if (!c.tables) {
        mf_catalog_free(&c);
        return full(err);
    }
    *ret = c;
    return 0;
}

int docs_catalog_own(struct docs_db *s, const struct mf_catalog *shown, struct mf_catalog *ret, struct mf_error *err)
{
    struct docs_reals r = {0};
    struct mf_catalog c = {0};
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; i < mf_shred_count(s->map); i++) {
        n += mf_shred_at(s->map, i)->ntables;
    }
    mf_arena_init(&c.arena, DOCS_TABLE_BYTES);
    c.tables = mf_alloc_array(&c.arena, n + 1, sizeof *c.tables);
    rc = c.tables ? 0 : full(err);
    for (size_t i = 0; rc == 0 && i < shown->n; i++) {
        const struct docs_real *is = NULL;
        rc = docs_real_of(s, &r, &shown->tables[i], &is, err);
        for (uint16_t k = 0; rc == 0 && k < is->of->ntables && c.n < n; k++) {
            struct mf_table *t = mf_table_copy(&c.arena, is->full[k]);
            rc = t ? 0 : full(err);
            if (t) {
                t->old_whole = shown->tables[i].old_whole;
                c.tables[c.n++] = *t;
            }
        }
    }
    docs_reals_free(&r);
    if (rc < 0) {
        mf_catalog_free(&c);
        return -1;
    }
    *ret = c;
    return 0;
}
