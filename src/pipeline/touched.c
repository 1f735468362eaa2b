#include "pipeline/touched.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define WORDS 65536u /* of 64 bits: 4 million keys' bits, half a megabyte */

struct mf_touched {
    _Atomic uint64_t now[WORDS], before[WORDS];
};

struct mf_touched *mf_touched_new(void)
{
    return mf_xcalloc(1, sizeof(struct mf_touched));
}

void mf_touched_free(struct mf_touched *t)
{
    free(t);
}

static uint64_t hash(const struct mf_table *table, const struct mf_row *row)
{
    uint64_t h = table->id;
    for (uint16_t k = 0; k < table->nkey && table->key[k] < row->n; k++) {
        const struct mf_value *v = &row->values[table->key[k]];
        h = XXH3_64bits_withSeed(v->data, mf_value_has_bytes(v) ? v->len : 0, h * 31 + (uint64_t)v->kind);
    }
    return h;
}

void mf_touched_add(struct mf_touched *t, const struct mf_table *table, const struct mf_row *row)
{
    uint64_t h = hash(table, row);
    atomic_fetch_or(&t->now[(h >> 6) % WORDS], UINT64_C(1) << (h & 63));
}

void mf_touched_all(struct mf_touched *t)
{
    for (size_t i = 0; i < WORDS; i++) {
        atomic_store(&t->now[i], UINT64_MAX);
    }
}

bool mf_touched_has(const struct mf_touched *t, const struct mf_table *table, const struct mf_row *row)
{
    uint64_t h = hash(table, row);
    size_t at = (h >> 6) % WORDS;
    return ((atomic_load(&t->now[at]) | atomic_load(&t->before[at])) >> (h & 63)) & 1;
}

void mf_touched_turn(struct mf_touched *t)
{
    for (size_t i = 0; i < WORDS; i++) {
        atomic_store(&t->before[i], atomic_exchange(&t->now[i], 0));
    }
}
