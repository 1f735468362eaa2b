/* The byte form of changes in the spool and in spilled transactions. Pure: bytes in, bytes out; fuzzed.
 * Little varints; a change names its relation by number, so the reader needs the relation's record first. */
#ifndef MF_CHANGE_CODEC_H
#define MF_CHANGE_CODEC_H

#include "base/buf.h"
#include "change/change.h"

#define MF_MAX_COLUMNS 4096
#define MF_MAX_VALUE   (1u << 30)

int mf_encode_change(struct mf_buf *out, const struct mf_change *c, struct mf_error *err);
int mf_encode_table(struct mf_buf *out, const struct mf_table *t, struct mf_error *err);

/* Finds the shape a decoded change refers to. Returns NULL when the number is unknown. */
typedef const struct mf_table *(*mf_rel_lookup)(void *ctx, uint32_t rel);

/* Decodes one change. Rows are allocated in arena; value bytes point into data. *ret_used is the bytes consumed. */
int mf_decode_change(struct mf_arena *arena, const void *data, size_t len, mf_rel_lookup lookup, void *ctx,
                     struct mf_change *ret_change, size_t *ret_used, struct mf_error *err);
int mf_decode_table(struct mf_arena *arena, const void *data, size_t len, struct mf_table **ret_table, size_t *ret_used,
                    struct mf_error *err);

#endif
