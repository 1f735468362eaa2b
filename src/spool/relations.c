/* Relation versions: numbered in the order they were first seen, found again by the bytes of their encoded shape. */
#include "spool/internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static uint64_t hash_of(const void *bytes, size_t len)
{
    return XXH3_64bits(bytes, len);
}

static void map_put(struct mf_spool *s, uint32_t rel)
{
    uint32_t at = (uint32_t)s->rels[rel - 1].hash & (s->relmap_size - 1);
    while (s->relmap[at]) {
        at = (at + 1) & (s->relmap_size - 1);
    }
    s->relmap[at] = rel;
}

static void map_grow(struct mf_spool *s)
{
    free(s->relmap);
    s->relmap_size = s->relmap_size ? s->relmap_size * 2 : 16;
    s->relmap = mf_xcalloc(s->relmap_size, sizeof(*s->relmap));
    for (uint32_t i = 1; i <= s->nrels; i++) {
        if (s->rels[i - 1].bytes) {
            map_put(s, i);
        }
    }
}

uint32_t mf_rels_find(const struct mf_spool *s, const void *bytes, size_t len)
{
    if (s->relmap_size == 0) {
        return 0;
    }
    uint64_t hash = hash_of(bytes, len);
    uint32_t at = (uint32_t)hash & (s->relmap_size - 1);
    for (uint32_t rel; (rel = s->relmap[at]); at = (at + 1) & (s->relmap_size - 1)) {
        const struct mf_rel *r = &s->rels[rel - 1];
        if (r->hash == hash && r->len == len && memcmp(r->bytes, bytes, len) == 0) {
            return rel;
        }
    }
    return 0;
}

/* Numbers come 1, 2, 3, …: a segment's head lists all, in order, so rel is never more than one past the last. */
int mf_rels_set(struct mf_spool *s, uint32_t rel, const void *bytes, size_t len)
{
    if (rel <= s->nrels) {
        const struct mf_rel *r = &s->rels[rel - 1];
        return r->len == len && memcmp(r->bytes, bytes, len) == 0 ? 0 : -1;
    }
    if (rel != s->nrels + 1) {
        return -1;
    }
    if (s->nrels == s->caprels) {
        s->caprels = s->caprels ? s->caprels * 2 : 4;
        s->rels = mf_xreallocarray(s->rels, s->caprels, sizeof(*s->rels));
    }
    s->rels[s->nrels++] = (struct mf_rel){.bytes = mf_xmemdup(bytes, len), .len = len, .hash = hash_of(bytes, len)};
    if (s->nrels * 2 > s->relmap_size) {
        map_grow(s);
    } else {
        map_put(s, rel);
    }
    return 0;
}

void mf_rels_free(struct mf_spool *s)
{
    for (uint32_t i = 0; i < s->nrels; i++) {
        free(s->rels[i].bytes);
    }
    free(s->rels);
    free(s->relmap);
    s->rels = NULL;
    s->relmap = NULL;
    s->nrels = s->caprels = s->relmap_size = 0;
}
