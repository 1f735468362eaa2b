/*
 * A table of the catalogue from rows of system_schema.columns.
 *
 * Order: the partition key, the clustering columns, then the others by name: that of SELECT *. Columns have no numbers here; but a column that was dropped leaves a
 * row in system_schema.dropped_columns, and the moment of that tells one that was made again under its name from the one before.
 */
#include "connector/cassandra/catalog.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static int rank(const struct cass_column_row *r)
{
    return mf_streq(r->kind, "partition_key") ? 0 : mf_streq(r->kind, "clustering") ? 1 : 2;
}

static int compare(const void *a, const void *b)
{
    const struct cass_column_row *const *x = a, *const *y = b;
    int d = rank(*x) - rank(*y);
    if (d == 0 && rank(*x) < 2) {
        d = ((*x)->position > (*y)->position) - ((*x)->position < (*y)->position);
    }
    return d ? d : strcmp((*x)->name, (*y)->name);
}

static int16_t number_of(const struct cass_column_row *r)
{
    return r->dropped_ms ? (int16_t)(2 + XXH3_64bits(&r->dropped_ms, sizeof r->dropped_ms) % 32000) : 1;
}

uint32_t cass_table_id(const void *uuid)
{
    uint32_t id = (uint32_t)XXH3_64bits(uuid, 16);
    return id ? id : 1;
}

bool cass_table_build(struct mf_arena *arena, const struct cass_column_row *rows, size_t n, struct mf_table *ret)
{
    const struct cass_column_row **in_order = mf_alloc_array(arena, n + 1, sizeof *in_order);
    struct mf_column *columns = mf_alloc_array(arena, n + 1, sizeof *columns);
    uint16_t *key = mf_alloc_array(arena, n + 1, sizeof *key);
    if (!in_order || !columns || !key || n == 0 || n > UINT16_MAX) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        in_order[i] = &rows[i];
    }
    qsort(in_order, n, sizeof(*in_order), compare);
    struct mf_table t = {.schema = rows[0].keyspace,
                         .name = rows[0].table,
                         .identity = MF_IDENTITY_KEY,
                         .ncolumns = (uint16_t)n,
                         .columns = columns,
                         .key = key,
                         .rows_estimate = -1};
    for (uint16_t i = 0; i < n; i++) {
        const struct cass_column_row *r = in_order[i];
        bool in_key = rank(r) < 2;
        columns[i] = (struct mf_column){
            .name = r->name, .type = r->type, .number = number_of(r), .in_key = in_key, .not_null = in_key};
        cass_type_number(r->type, &columns[i].type_id, &columns[i].type_mod);
        columns[i].element_id = columns[i].type_id;
        columns[i].element_mod = columns[i].type_mod;
        t.npartition = (uint16_t)(t.npartition + (rank(r) == 0));
        if (in_key) {
            key[t.nkey++] = i;
        }
    }
    *ret = t;
    return true;
}

/* ---- the same shape ---- */

static int differs(const struct mf_table *t, const char *column, const char *how, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFSHAPE", "column \"%s\" of table %s.%s %s", column, t->schema, t->name, how);
    mf_hint(err, "start midflight again: it reads the tables anew and says what to do");
    return -1;
}

int cass_shape_agrees(const struct mf_table *now, const struct mf_table *t, struct mf_error *err)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const struct mf_column *c = &t->columns[i];
        int at = mf_table_column(now, c->name);
        if (at < 0) {
            return differs(t, c->name, "is not there any more", err);
        }
        const struct mf_column *is = &now->columns[at];
        if (c->type && !mf_streq(is->type, c->type)) {
            return differs(t, c->name, "has another type now", err);
        }
        if (c->number && is->number != c->number) {
            return differs(t, c->name, "was dropped and made again", err);
        }
        if (is->in_key && t->nkey && !c->in_key) {
            return differs(t, c->name, "is part of the key now", err);
        }
    }
    for (uint16_t k = 0; k < now->nkey; k++) {
        const char *name = now->columns[now->key[k]].name;
        if (mf_table_column(t, name) < 0) {
            return differs(t, name, "is part of its key, and is not among those that migrate", err);
        }
    }
    return 0;
}
