/* Rows from one shape to another. Values are views and are never copied, only put in their place. */
#include "map/internal.h"

#include "model/respell.h"

#include <string.h>

static int no_memory(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "a change is larger than the memory for mapping it");
}

static int project_row(const struct mf_map_rel *rel, struct mf_arena *arena, const struct mf_row *in,
                       struct mf_row *ret, struct mf_error *err)
{
    if (in->n != rel->seen_columns) {
        return mf_fail(err, MF_FATAL, "MFSHAPE",
                       "a change of table %s.%s has %u values where its relation has %u columns", rel->table->schema,
                       rel->table->name, in->n, rel->seen_columns);
    }
    if (rel->straight) {
        *ret = *in;
        return 0;
    }
    struct mf_value *v = mf_alloc(arena, sizeof(*v) * (rel->table->ncolumns + 1u));
    if (!v) {
        return no_memory(err);
    }
    for (uint16_t i = 0; i < rel->table->ncolumns; i++) {
        v[i] = in->values[rel->from[i]];
    }
    *ret = (struct mf_row){.n = rel->table->ncolumns, .values = v};
    return 0;
}

/* REPLICA IDENTITY FULL: the stream leaves out an unchanged large value of the new row, but the old row has it. */
static int fill_unchanged(struct mf_arena *arena, const struct mf_row *old, struct mf_row *row, struct mf_error *err)
{
    if (mf_row_whole(row)) {
        return 0;
    }
    struct mf_value *v = mf_alloc(arena, sizeof(*v) * (row->n + 1u));
    if (!v) {
        return no_memory(err);
    }
    for (uint16_t i = 0; i < row->n; i++) {
        v[i] = row->values[i].kind == MF_UNCHANGED ? old->values[i] : row->values[i];
    }
    row->values = v;
    return 0;
}

int mf_map_project(const struct mf_map_rel *rel, struct mf_arena *arena, const struct mf_change *in,
                   struct mf_change *ret, struct mf_error *err)
{
    struct mf_change c = *in;
    c.table = rel->table;
    if (in->has_old && project_row(rel, arena, &in->old_row, &c.old_row, err) < 0) {
        return -1;
    }
    if (in->op != MF_DELETE && project_row(rel, arena, &in->new_row, &c.new_row, err) < 0) {
        return -1;
    }
    if (rel->full && in->op == MF_UPDATE && in->has_old && fill_unchanged(arena, &c.old_row, &c.new_row, err) < 0) {
        return -1;
    }
    *ret = c;
    return 0;
}

/* What a column that is a text here, because the engine has no type for it, is on the other side. False: no memory. */
static bool stand_for(struct mf_arena *arena, struct mf_column *c, const struct mf_column *other)
{
    c->stands_for = NULL;
    if (!c->foreign || !other->foreign || c->foreign->type.kind != MF_KIND_TEXT || !c->foreign->type.any ||
        !mf_respells(&other->foreign->type)) {
        return true;
    }
    c->stands_for = mf_type_copy(arena, &other->foreign->type);
    return c->stands_for != NULL;
}

static struct mf_table *shared(struct mf_arena *arena, const struct map_table *mt, const struct mf_table *types,
                               const struct mf_table *like)
{
    struct mf_table *t = mf_table_copy(arena, types);
    struct mf_column *columns = mf_alloc_array(arena, mt->origin->ncolumns + 1u, sizeof(*columns));
    uint16_t *key = mf_alloc_array(arena, like->nkey + 1u, sizeof(*key));
    if (!t || !columns || !key) {
        return NULL;
    }
    uint16_t n = 0, nkey = 0;
    for (uint16_t i = 0; i < mt->origin->ncolumns; i++) {
        const struct mf_column *c = &mt->origin->columns[i];
        int r = mf_table_column(mt->replica, c->name), at = mf_table_column(t, c->name);
        if (r < 0 || at < 0 || c->generated || mt->replica->columns[r].generated) {
            continue;
        }
        columns[n] = t->columns[at];
        columns[n].in_key = false;
        if (!stand_for(arena, &columns[n++], types == mt->origin ? &mt->replica->columns[r] : c)) {
            return NULL;
        }
    }
    t->columns = columns;
    t->ncolumns = n;
    for (uint16_t k = 0; k < like->nkey; k++) {
        int at = mf_table_column(t, like->columns[like->key[k]].name);
        if (at >= 0) {
            key[nkey++] = (uint16_t)at;
            columns[at].in_key = true;
        }
    }
    t->key = key;
    t->nkey = nkey == like->nkey ? nkey : 0;
    t->identity = t->nkey ? MF_IDENTITY_KEY : MF_IDENTITY_FULL;
    return t;
}

int mf_map_pair(struct mf_map *m, struct mf_arena *arena, const struct mf_table *like, struct mf_table **ret_origin,
                struct mf_table **ret_replica, struct mf_error *err)
{
    struct mf_table *o = NULL, *r = NULL;
    pthread_mutex_lock(&m->mu);
    const struct map_table *mt = mf_map_find(m, like);
    bool known = mt && mt->replica;
    if (known) {
        o = shared(arena, mt, mt->origin, like);
        r = shared(arena, mt, mt->replica, like);
    }
    pthread_mutex_unlock(&m->mu);
    if (!known) {
        return mf_fail(err, MF_FATAL, "MFMAP", "table %s.%s is not on both sides", like->schema, like->name);
    }
    if (!o || !r) {
        return no_memory(err);
    }
    *ret_origin = o;
    *ret_replica = r;
    return 0;
}
