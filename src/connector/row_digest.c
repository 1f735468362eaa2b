/* XXH3 128 over a row's values in the table's order, each with its kind and its length before it, so that no two rows give the same bytes. The sum of several
 * is each half's, whatever their order. A value that has no canonical form is hashed as what is told of it, which no row of the other side has: such
 * a row always differs. */
#include "connector/row_digest.h"

#define XXH_STATIC_LINKING_ONLY /* the state on the stack */
#include <xxhash.h>

struct mf_digest mf_row_digest(const struct mf_row *row)
{
    XXH3_state_t h;
    XXH3_128bits_reset(&h);
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        uint8_t head[5] = {(uint8_t)v->kind};
        mf_put_u32le(head + 1, mf_value_has_bytes(v) ? v->len : 0);
        XXH3_128bits_update(&h, head, sizeof head);
        if (mf_value_has_bytes(v)) {
            XXH3_128bits_update(&h, v->data, v->len);
        }
    }
    XXH128_hash_t d = XXH3_128bits_digest(&h);
    return (struct mf_digest){.rows = 1, .lane1 = d.low64, .lane2 = d.high64};
}

void mf_digest_add(struct mf_digest *sum, const struct mf_digest *d)
{
    sum->rows += d->rows;
    sum->lane1 += d->lane1;
    sum->lane2 += d->lane2;
}

int mf_digest_row(void *digesting, const struct mf_row *row, struct mf_error *err)
{
    struct mf_digesting *g = digesting;
    struct mf_digest d = mf_row_digest(row);
    mf_digest_add(&g->sum, &d);
    if (!g->emit) {
        return 0;
    }
    for (uint16_t i = 0; i < row->n; i++) {
        g->key[i] = g->t->columns[i].in_key ? row->values[i] : (struct mf_value){.kind = MF_UNCHANGED};
    }
    struct mf_row key = {.n = g->t->nkey ? row->n : 0, .values = g->key};
    return g->emit(g->ctx, &key, &d, err);
}
