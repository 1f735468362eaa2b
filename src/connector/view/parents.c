/* Looking up the rows that others refer to. They are asked for by key, each once, and put beside the rows that refer to them. */
#include "connector/view/internal.h"

#include <string.h>

int view_sessions(const struct view_db *v, int readers)
{
    return mf_query_map_parents(v->map) ? 2 * readers : readers;
}

static int too_many(struct mf_error *err)
{
    return view_no_memory(err, "rows that are referred to are larger than the memory for them");
}

int view_parent_key(struct mf_arena *arena, const struct mf_made *made, uint16_t p, const struct mf_row *base,
                    struct mf_row *ret, bool *ret_any, struct mf_error *err)
{
    const struct mf_made_parent *is = &made->parents[p];
    struct mf_value *v = mf_alloc_array(arena, is->table->ncolumns + 1u, sizeof *v);
    if (!v) {
        return too_many(err);
    }
    bool any = true;
    for (uint16_t i = 0; i < is->table->ncolumns; i++) {
        v[i].kind = MF_UNCHANGED;
    }
    for (uint16_t k = 0; k < is->table->nkey; k++) {
        const struct mf_value *by = &base->values[is->by[k]];
        if (by->kind == MF_UNCHANGED) {
            return mf_fail(err, MF_FATAL, "MFIMAGE",
                           "a change of table %s.%s came without the value of column \"%s\", which refers to a row of "
                           "%s.%s",
                           made->base->schema, made->base->name, made->base->columns[is->by[k]].name, is->table->schema,
                           is->table->name);
        }
        any = any && (by->kind == MF_TEXT || by->kind == MF_BINARY);
        v[is->table->key[k]] = *by;
    }
    *ret = (struct mf_row){.n = is->table->ncolumns, .values = v};
    *ret_any = any;
    return 0;
}

/* ---- one parent of many rows ---- */

struct found {
    struct mf_arena *arena;
    struct view_keys keys; /* of those that are asked for, and then of the rows that came */
    struct mf_row *rows;
    size_t n, cap;
};

static int take(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct found *f = ctx;
    if (f->n == f->cap) {
        return mf_fail(err, MF_FATAL, "MFREAD", "the source gave more rows of %s.%s than keys were asked for",
                       f->keys.t->schema, f->keys.t->name);
    }
    if (mf_row_copy(f->arena, &f->rows[f->n], row) < 0) {
        return too_many(err);
    }
    uint32_t *at = view_keys_find(&f->keys, &f->rows[f->n]);
    *at = *at ? *at : (uint32_t)++f->n;
    return 0;
}

static int read_parent(struct view_look *l, struct mf_arena *arena, const struct mf_table *t, struct mf_row *keys,
                       size_t n, struct found *ret, struct mf_error *err)
{
    struct view_keys once;
    struct mf_position after = {0};
    *ret = (struct found){.arena = arena, .rows = mf_alloc_array(arena, n + 1, sizeof *ret->rows)};
    if (!ret->rows) {
        return too_many(err);
    }
    if (view_keys_init(&once, arena, t, keys, n, err) < 0) {
        return -1;
    }
    ret->cap = view_keys_once(&once, keys, n);
    if (view_keys_init(&ret->keys, arena, t, ret->rows, ret->cap, err) < 0) {
        return -1;
    }
    if (ret->cap &&
        l->reader->db->connector->source->read_rows(l->reader, t, keys, ret->cap, take, ret, &after, err) < 0) {
        mf_error_prefix(err, "reading rows that others refer to");
        return -1;
    }
    l->after = after.order > l->after.order ? after : l->after;
    return 0;
}

int view_parents_read(struct view_look *l, struct mf_arena *arena, const struct mf_made *made,
                      const struct mf_row *bases, size_t n, struct mf_row **ret, struct mf_error *err)
{
    struct mf_row *all = mf_alloc_array(arena, n * made->nparents + 1, sizeof *all);
    struct mf_row *keys = mf_alloc_array(arena, n + 1, sizeof *keys);
    if (!all || !keys) {
        return too_many(err);
    }
    for (uint16_t p = 0; p < made->nparents; p++) {
        struct found f;
        size_t wanted = 0;
        for (size_t i = 0; i < n; i++) {
            bool any = false;
            struct mf_row *key = &all[i * made->nparents + p];
            if (view_parent_key(arena, made, p, &bases[i], key, &any, err) < 0) {
                return -1;
            }
            keys[wanted] = *key;
            wanted += any;
            key->n = any ? key->n : 0;
        }
        if (read_parent(l, arena, made->parents[p].table, keys, wanted, &f, err) < 0) {
            return -1;
        }
        for (size_t i = 0; i < n; i++) {
            struct mf_row *is = &all[i * made->nparents + p];
            uint32_t at = is->n ? *view_keys_find(&f.keys, is) : 0;
            *is = at ? f.rows[at - 1] : (struct mf_row){0};
        }
    }
    *ret = all;
    return 0;
}
