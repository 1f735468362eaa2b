/* Digests by rows: what one engine's SQL makes of its texts no other engine can make of its own, so the canonical values are hashed here.
 *
 * A row's digest is XXH3 128 over its values in the table's order, each with its kind and its length before it, so that no two rows give the same
 * bytes. A chunk's is the sum of its rows' for each half, whatever their order. A value that has no canonical form is hashed as what is told of
 * it, which no row of the other side has: such a row always differs. Memory: one row. */
#include "connector/face/internal.h"

#include "base/mem.h"

#define XXH_STATIC_LINKING_ONLY /* the state on the stack */
#include <xxhash.h>

static struct mf_digest digest_of(XXH3_state_t *h, const struct mf_row *row)
{
    XXH3_128bits_reset(h);
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        uint8_t head[5] = {(uint8_t)v->kind};
        mf_put_u32le(head + 1, mf_value_has_bytes(v) ? v->len : 0);
        XXH3_128bits_update(h, head, sizeof head);
        if (mf_value_has_bytes(v)) {
            XXH3_128bits_update(h, v->data, v->len);
        }
    }
    XXH128_hash_t d = XXH3_128bits_digest(h);
    return (struct mf_digest){.rows = 1, .lane1 = d.low64, .lane2 = d.high64};
}

struct digesting {
    XXH3_state_t hash;
    const struct mf_table *t;
    struct mf_digest sum;
    mf_digest_sink *emit; /* of digest_rows */
    void *ctx;
    struct mf_value *key;
};

static int add_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct digesting *g = ctx;
    struct mf_digest d = digest_of(&g->hash, row);
    g->sum.rows++;
    g->sum.lane1 += d.lane1;
    g->sum.lane2 += d.lane2;
    if (!g->emit) {
        return 0;
    }
    for (uint16_t i = 0; i < row->n; i++) {
        g->key[i] = g->t->columns[i].in_key ? row->values[i] : (struct mf_value){.kind = MF_UNCHANGED};
    }
    struct mf_row key = {.n = g->t->nkey ? row->n : 0, .values = g->key};
    return g->emit(g->ctx, &key, &d, err);
}

static int each(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct digesting *g,
                struct mf_error *err)
{
    struct mf_position ignored;
    g->t = t;
    return face_chunk_each((struct face_reader *)r, t, c, false, add_row, g, &ignored, err);
}

int face_digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                struct mf_error *err)
{
    struct digesting g = {0};
    if (each(r, t, c, &g, err) < 0) {
        return -1;
    }
    *ret = g.sum;
    return 0;
}

int face_digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                     void *ctx, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_value *key = mf_xcalloc(t->ncolumns + 1u, sizeof *key);
    struct digesting g = {.emit = emit, .ctx = ctx, .key = key};
    return each(r, t, c, &g, err);
}
