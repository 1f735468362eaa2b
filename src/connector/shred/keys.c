/* Rows by some of their columns, in a table by the hashes of those. */
#include "connector/shred/internal.h"

#include <string.h>
#include <xxhash.h>

static uint64_t hash(const struct mf_row *row, const uint16_t *columns, uint16_t n)
{
    XXH64_hash_t h = 0;
    for (uint16_t k = 0; k < n; k++) {
        const struct mf_value *v = &row->values[columns[k]];
        bool bytes = mf_value_has_bytes(v);
        h = XXH3_64bits_withSeed(bytes && v->len ? v->data : "", bytes ? v->len : 0, h + (unsigned)v->kind);
    }
    return h;
}

int docs_keys_init(struct docs_keys *k, struct mf_arena *arena, const uint16_t *columns, uint16_t n,
                   const struct mf_row *rows, size_t nrows, struct mf_error *err)
{
    size_t cap = 16;
    while (cap < nrows * 2) {
        cap *= 2;
    }
    *k = (struct docs_keys){
        .columns = columns, .n = n, .rows = rows, .cap = cap, .slots = mf_alloc_array(arena, cap, sizeof *k->slots)};
    return k->slots ? 0 : docs_no_memory(err, "there are too many rows");
}

static bool equal(const struct docs_keys *k, const struct mf_row *there, const struct mf_row *row,
                  const uint16_t *columns)
{
    for (uint16_t i = 0; i < k->n; i++) {
        if (!mf_value_equal(&there->values[k->columns[i]], &row->values[columns[i]])) {
            return false;
        }
    }
    return true;
}

uint32_t *docs_keys_find(const struct docs_keys *k, const struct mf_row *row, const uint16_t *columns)
{
    size_t i = hash(row, columns, k->n) & (k->cap - 1);
    while (k->slots[i] && !equal(k, &k->rows[k->slots[i] - 1], row, columns)) {
        i = (i + 1) & (k->cap - 1);
    }
    return &k->slots[i];
}

bool docs_same(const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t i = 0; i < a->n; i++) {
        if (i >= b->n || !mf_value_equal(&a->values[i], &b->values[i])) {
            return false;
        }
    }
    return a->n == b->n;
}
