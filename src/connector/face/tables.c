/* Shapes of tables, as they are and as they are shown.
 *
 * A shown column has all that it really is in `foreign`, so a shown table of any subset and order of columns is turned back without asking anybody. */
#include "connector/face/internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

int face_no_memory(struct mf_error *err, const char *what)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "%s", what);
}

struct mf_table *face_table_own(const struct face_db *f, struct mf_arena *arena, const struct mf_table *shown,
                                struct mf_error *err)
{
    struct mf_table *t = mf_table_copy(arena, shown);
    if (!t) {
        face_no_memory(err, "the shape of a table is too large");
        return NULL;
    }
    if (face_is_book(shown->schema)) {
        return t;
    }
    if (!(t->schema = mf_strdup_a(arena, face_own_schema(f, shown->schema)))) {
        face_no_memory(err, "the shape of a table is too large");
        return NULL;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        struct mf_column *c = &t->columns[i];
        const struct mf_foreign *is = c->foreign;
        if (!is) {
            mf_fail(err, MF_FATAL, "MFBUG", "column %s of %s.%s is not one that this database has shown", c->name,
                    shown->schema, shown->name);
            return NULL;
        }
        c->foreign = NULL;
        c->type = is->own_type;
        c->type_id = is->own_type_id;
        c->type_mod = is->own_type_mod;
        c->element_id = is->own_element_id;
        c->element_mod = is->own_element_mod;
    }
    return t;
}

int face_catalog_own(const struct face_db *f, const struct mf_catalog *shown, struct mf_catalog *ret,
                     struct mf_error *err)
{
    struct mf_catalog c = {0};
    mf_arena_init(&c.arena, FACE_TABLE_BYTES);
    c.tables = mf_alloc_array(&c.arena, shown->n + 1, sizeof *c.tables);
    if (!c.tables) {
        return face_no_memory(err, "there are too many tables");
    }
    for (; c.n < shown->n; c.n++) {
        struct mf_table *t = face_table_own(f, &c.arena, &shown->tables[c.n], err);
        if (!t) {
            mf_catalog_free(&c);
            return -1;
        }
        c.tables[c.n] = *t;
    }
    *ret = c;
    return 0;
}

/* ---- the catalogue ---- */

static bool show_table(const struct face_db *f, struct mf_arena *arena, struct mf_table *t, const struct mf_type *types)
{
    if (face_is_book(t->schema)) {
        return true;
    }
    t->schema = mf_strdup_a(arena, face_shown_schema(f, t->schema));
    bool ok = t->schema != NULL;
    for (uint16_t i = 0; ok && i < t->ncolumns; i++) {
        ok = mf_column_show(arena, &t->columns[i], &types[i]);
    }
    for (uint16_t i = 0; ok && i < t->ncascades; i++) {
        t->cascades[i].schema = mf_strdup_a(arena, face_shown_schema(f, t->cascades[i].schema));
        ok = t->cascades[i].schema != NULL;
    }
    return ok;
}

/* The names that the filter has are those shown: where they are the real ones it is asked for less. */
int face_catalog_read(struct face_db *f, enum face_figures what, const struct mf_filter *filter, struct mf_catalog *ret,
                      struct mf_error *err)
{
    static const struct mf_filter all;
    const struct mf_source_ops *src = f->own->connector->source;
    const struct mf_filter *own_filter = f->own_schema[0] ? &all : filter;
    struct mf_catalog c = {0};
    struct mf_type **types = NULL;
    struct mf_arena arena;
    mf_arena_init(&arena, FACE_TABLE_BYTES);
    int rc =
        what == FACE_CATALOG ? src->catalog(f->own, own_filter, &c, err) : src->shapes(f->own, own_filter, &c, err);
    rc = rc < 0 ? -1 : f->canon->types(f->own, &c, &arena, &types, err);
    size_t n = 0;
    for (size_t i = 0; rc == 0 && i < c.n; i++) {
        struct mf_table *t = &c.tables[i];
        if (filter && !mf_filter_match(filter, face_shown_schema(f, t->schema), t->name) && own_filter != filter) {
            continue;
        }
        c.arena.max_bytes = FACE_TABLE_BYTES; /* it grows by what is shown */
        rc = show_table(f, &c.arena, t, types[i]) ? 0 : face_no_memory(err, "the catalogue is too large");
        c.tables[n++] = *t;
    }
    mf_arena_free(&arena);
    if (rc < 0) {
        mf_catalog_free(&c);
        return -1;
    }
    c.n = n;
    *ret = c;
    return 0;
}
