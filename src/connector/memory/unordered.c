/* Rows by token. Bounds are `^TOKEN` in hexadecimal digits, and mean nothing anywhere else. */
#include "connector/memory/unordered.h"

#include <inttypes.h>
#include <stdio.h>

uint64_t mem_token(const struct mem_shape *h, const struct mem_row *row)
{
    return mem_mix(h->table.nkey ? mem_key_hash(h, row->v) : row->hash);
}

void mem_token_bound(uint64_t token, char *out)
{
    snprintf(out, MF_CHUNK_BOUND, "^%016" PRIx64, token);
}

int mem_token_read(const struct mem_shape *h, const char *bound, uint64_t *ret, struct mf_error *err)
{
    if (sscanf(bound, "^%16" SCNx64, ret) != 1) {
        return mf_fail(err, MF_FATAL, "MFCHUNK", "chunk bound \"%.100s\" is no token of %s.%s", bound, h->table.schema,
                       h->table.name);
    }
    return 0;
}

static _Thread_local const struct mem_shape *sort_shape;

static int by_token(const void *a, const void *b)
{
    uint64_t x = mem_token(sort_shape, *(struct mem_row *const *)a);
    uint64_t y = mem_token(sort_shape, *(struct mem_row *const *)b);
    return x < y ? -1 : x > y;
}

void mem_token_sort(const struct mem_shape *h, struct mem_row **rows, size_t n)
{
    sort_shape = h;
    qsort(rows, n, sizeof *rows, by_token);
}
