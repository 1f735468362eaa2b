/* Digests by rows: what one engine's SQL makes of its texts no other engine can make of its own, so the canonical values are hashed here
 * (connector/row_digest.h). Memory: one row. */
#include "connector/face/internal.h"

#include "base/mem.h"
#include "connector/row_digest.h"

int face_digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                struct mf_error *err)
{
    struct mf_digesting g = {.t = t};
    struct mf_position ignored;
    if (face_chunk_each((struct face_reader *)r, t, c, false, mf_digest_row, &g, &ignored, err) < 0) {
        return -1;
    }
    *ret = g.sum;
    return 0;
}

int face_digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                     void *ctx, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_value *key = mf_xcalloc(t->ncolumns + 1u, sizeof *key);
    struct mf_digesting g = {.t = t, .emit = emit, .ctx = ctx, .key = key};
    struct mf_position ignored;
    return face_chunk_each((struct face_reader *)r, t, c, false, mf_digest_row, &g, &ignored, err);
}
