#include "model/query_map.h"

#include <stdlib.h>
#include <string.h>

void mf_query_map_free(struct mf_query_map *m)
{
    if (m) {
        mf_arena_free(&m->arena);
        free(m);
    }
}

size_t mf_query_map_parents(const struct mf_query_map *m)
{
    for (size_t i = 0; i < m->n; i++) {
        for (size_t k = 0; k < m->tables[i].ncolumns; k++) {
            if (m->tables[i].columns[k].parent) {
                return m->tables[i].columns[k].line;
            }
        }
    }
    return 0;
}

static bool copy_column(struct mf_arena *arena, struct mf_made_column *dst, const struct mf_made_column *src)
{
    *dst = *src;
    dst->name = mf_strdup_a(arena, src->name);
    dst->wanted_type = src->wanted_type ? mf_strdup_a(arena, src->wanted_type) : NULL;
    if (mf_value_has_bytes(&src->constant)) {
        dst->constant.data = mf_memdup_a(arena, src->constant.len ? src->constant.data : "", src->constant.len);
    }
    if (src->kind == MF_MADE_EXPR && !mf_expr_copy(arena, &dst->expr, &src->expr)) {
        return false;
    }
    dst->shape = src->shape ? mf_type_copy(arena, src->shape) : NULL;
    dst->from = src->from ? mf_type_copy(arena, src->from) : NULL;
    return dst->name && (dst->wanted_type || !src->wanted_type) && (dst->shape || !src->shape) &&
           (dst->from || !src->from) && (dst->constant.data || !mf_value_has_bytes(&src->constant));
}

static bool copy_parent(struct mf_arena *arena, struct mf_made_parent *dst, const struct mf_made_parent *src)
{
    uint16_t *by = mf_alloc_array(arena, src->table->nkey + 1u, sizeof *by);
    dst->table = mf_table_copy(arena, src->table);
    if (!by || !dst->table) {
        return false;
    }
    memcpy(by, src->by, src->table->nkey * sizeof *by);
    dst->by = by;
    return true;
}

const struct mf_made *mf_made_copy(struct mf_arena *arena, const struct mf_made *m)
{
    struct mf_made *c = mf_alloc(arena, sizeof *c);
    struct mf_made_column *columns = mf_alloc_array(arena, m->n + 1u, sizeof *columns);
    struct mf_made_parent *parents = mf_alloc_array(arena, m->nparents + 1u, sizeof *parents);
    const struct mf_table *base = mf_table_copy(arena, m->base);
    if (!c || !columns || !parents || !base) {
        return NULL;
    }
    for (uint16_t i = 0; i < m->n; i++) {
        if (!copy_column(arena, &columns[i], &m->columns[i])) {
            return NULL;
        }
    }
    for (uint16_t i = 0; i < m->nparents; i++) {
        if (!copy_parent(arena, &parents[i], &m->parents[i])) {
            return NULL;
        }
    }
    *c = *m;
    c->base = base;
    c->columns = columns;
    c->parents = parents;
    return c;
}

int mf_made_column(const struct mf_made *m, const char *name)
{
    for (uint16_t i = 0; i < m->n; i++) {
        if (strcmp(m->columns[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}
