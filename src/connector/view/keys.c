/* Rows by their keys, in a table by the keys' hashes. */
#include "connector/view/internal.h"

#include <string.h>
#include <xxhash.h>

uint64_t view_key_hash(const struct mf_table *t, const struct mf_row *row)
{
    XXH64_hash_t h = 0;
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct mf_value *v = &row->values[t->key[k]];
        h = XXH3_64bits_withSeed(v->len ? v->data : "", mf_value_has_bytes(v) ? v->len : 0, h + (unsigned)v->kind);
    }
    return h;
}

int view_keys_init(struct view_keys *k, struct mf_arena *arena, const struct mf_table *t, const struct mf_row *rows,
                   size_t n, struct mf_error *err)
{
    size_t cap = 16;
    while (cap < n * 2) {
        cap *= 2;
    }
    *k = (struct view_keys){.t = t, .rows = rows, .cap = cap, .slots = mf_alloc_array(arena, cap, sizeof *k->slots)};
    return k->slots ? 0 : view_no_memory(err, "there are too many keys");
}

uint32_t *view_keys_find(const struct view_keys *k, const struct mf_row *row)
{
    size_t i = view_key_hash(k->t, row) & (k->cap - 1);
    while (k->slots[i] && !view_same_key(k->t, &k->rows[k->slots[i] - 1], row)) {
        i = (i + 1) & (k->cap - 1);
    }
    return &k->slots[i];
}

size_t view_keys_once(struct view_keys *k, struct mf_row *rows, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t *at = view_keys_find(k, &rows[i]);
        if (!*at) {
            rows[kept++] = rows[i]; /* k->rows are these rows */
            *at = (uint32_t)kept;
        }
    }
    return kept;
}
