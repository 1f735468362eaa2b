/* The schema of a collection's tables: a child's key begins with its parent's, so what finds its rows by their parent is the primary key itself. */
#include "bson/internal.h"

#include "model/schema_build.h"

#include <string.h>

struct describe {
    struct mf_schema *to;
    const struct mf_shred_collection *of;
    bool full;
};

static void *array(struct describe *d, size_t n, size_t size)
{
    void *p = mf_alloc_array(&d->to->arena, n ? n : 1, size);
    d->full = d->full || !p;
    return p;
}

static const char *keep(struct describe *d, const char *text)
{
    const char *copy = mf_strdup_a(&d->to->arena, text);
    d->full = d->full || !copy;
    return copy ? copy : "";
}

static void put_key(struct describe *d, const struct mf_table *from, struct mf_schema_table *t)
{
    struct mf_schema_index_column *columns = array(d, from->nkey, sizeof *columns);
    if (!(t->indexes = array(d, 1, sizeof *t->indexes)) || !columns) {
        return;
    }
    for (uint16_t i = 0; i < from->nkey; i++) {
        columns[i].column = from->key[i];
    }
    t->indexes[0] = (struct mf_schema_index){.name = keep(d, "PRIMARY"),
                                             .unique = true,
                                             .primary = true,
                                             .is_key = true,
                                             .n = from->nkey,
                                             .columns = columns};
    t->nindexes = 1;
}

static void put_foreign(struct describe *d, const struct mf_table *from, const struct mf_table *parent,
                        struct mf_schema_table *t)
{
    char name[MF_SCHEMA_NAME];
    uint16_t *columns = array(d, parent->nkey, sizeof *columns);
    const char **names = array(d, parent->nkey, sizeof *names);
    if (!(t->foreign = array(d, 1, sizeof *t->foreign)) || !columns || !names) {
        return;
    }
    for (uint16_t i = 0; i < parent->nkey; i++) {
        columns[i] = i;
        names[i] = keep(d, parent->columns[parent->key[i]].name);
    }
    mf_schema_name(from->name, parent->name, false, name);
    t->foreign[0] = (struct mf_schema_foreign){.name = keep(d, name),
                                               .ref_schema = keep(d, parent->schema),
                                               .ref_table = keep(d, parent->name),
                                               .n = parent->nkey,
                                               .columns = columns,
                                               .ref_columns = names};
    t->nforeign = 1;
}

static void put_table(struct describe *d, uint16_t at, struct mf_schema_table *t)
{
    const struct mf_table *from = d->of->tables[at].table;
    *t = (struct mf_schema_table){.schema = keep(d, from->schema), .name = keep(d, from->name)};
    if (!(t->columns = array(d, from->ncolumns, sizeof *t->columns))) {
        return;
    }
    for (; t->ncolumns < from->ncolumns; t->ncolumns++) {
        const struct mf_column *c = &from->columns[t->ncolumns];
        const struct mf_type *type = mf_type_copy(&d->to->arena, &c->foreign->type);
        if (!type) {
            d->full = true;
            return;
        }
        t->columns[t->ncolumns] = (struct mf_schema_column){
            .name = keep(d, c->name), .type = *type, .own_type = keep(d, c->type), .not_null = c->not_null};
    }
    put_key(d, from, t);
    if (at) {
        put_foreign(d, from, d->of->tables[d->of->tables[at].parent].table, t);
    }
}

int mf_shred_describe(const struct mf_shred_collection *c, struct mf_schema *ret, struct mf_error *err)
{
    if (!ret->arena.max_bytes) {
        mf_arena_init(&ret->arena, MF_SCHEMA_BYTES);
    }
    struct describe d = {.to = ret, .of = c};
    struct mf_schema_table *tables = array(&d, ret->ntables + c->ntables, sizeof *tables);
    for (uint16_t i = 0; tables && i < c->ntables && !d.full; i++) {
        put_table(&d, i, &tables[ret->ntables + i]);
    }
    if (d.full) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the schema is larger than %zu bytes", MF_SCHEMA_BYTES);
    }
    if (ret->ntables) {
        memcpy(tables, ret->tables, ret->ntables * sizeof *tables);
    }
    ret->tables = tables;
    ret->ntables += c->ntables;
    return 0;
}
