/* A server whose rows come in an order of its own (mf_mem_knobs.unordered): by the hash of the key, as by token. */
#ifndef MF_CONNECTOR_MEMORY_UNORDERED_H
#define MF_CONNECTOR_MEMORY_UNORDERED_H

#include "connector/memory/internal.h"

/* What a row's place is; several may have the same. */
uint64_t mem_token(const struct mem_shape *h, const struct mem_row *row);
void mem_token_bound(uint64_t token, char *out); /* MF_CHUNK_BOUND bytes */
/* MF_FATAL MFCHUNK: it is another database's bound. */
int mem_token_read(const struct mem_shape *h, const char *bound, uint64_t *ret, struct mf_error *err);
void mem_token_sort(const struct mem_shape *h, struct mem_row **rows, size_t n);

#endif
