/* What a window has written already.
 *
 * Readers see what is committed. A document that comes a second time in one window (in source order each change comes alone) is not there for them as it is in the window's
 * transaction, so the window remembers it: its bytes, from which the same rows are made again. */
#include "connector/shred/apply.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SEEN_MOST ((size_t)64 << 20) /* documents of one window */

void docs_seen_reset(struct docs_applier *a)
{
    mf_arena_reset(&a->kept);
    if (a->cap > 4096) {
        free(a->seen);
        a->seen = NULL;
        a->cap = 0;
    }
    if (a->seen) {
        memset(a->seen, 0, a->cap * sizeof *a->seen);
    }
    a->nseen = 0;
    memset(a->emptied, 0, (mf_shred_count(docs_of(a->base.db)->map) + 1) * sizeof *a->emptied);
}

static size_t number_of(const struct docs_applier *a, const struct docs_real *c)
{
    const struct mf_shred *map = docs_of(a->base.db)->map;
    size_t i = 0;
    while (i < mf_shred_count(map) && mf_shred_at(map, i) != c->of) {
        i++;
    }
    return i;
}

/* What was written before the collection was emptied is found no more. */
void docs_seen_id(const struct docs_applier *a, const struct docs_real *c, const struct mf_row *key, uint64_t ret[2])
{
    const struct mf_value *id = &key->values[0];
    size_t i = number_of(a, c);
    bool bytes = mf_value_has_bytes(id);
    XXH128_hash_t h =
        XXH3_128bits_withSeed(bytes && id->len ? id->data : "", bytes ? id->len : 0, (uint64_t)i << 32 | a->emptied[i]);
    ret[0] = h.low64 | 1; /* never that of a free slot */
    ret[1] = h.high64;
}

static struct docs_seen *slot(struct docs_seen *list, size_t cap, const uint64_t id[2])
{
    size_t i = id[0] >> 1 & (cap - 1);
    while (list[i].id[0] && (list[i].id[0] != id[0] || list[i].id[1] != id[1])) {
        i = (i + 1) & (cap - 1);
    }
    return &list[i];
}

static void grow(struct docs_applier *a)
{
    size_t cap = a->cap ? a->cap * 2 : 256;
    struct docs_seen *list = mf_xcalloc(cap, sizeof *list);
    for (size_t i = 0; i < a->cap; i++) {
        if (a->seen[i].id[0]) {
            *slot(list, cap, a->seen[i].id) = a->seen[i];
        }
    }
    free(a->seen);
    a->seen = list;
    a->cap = cap;
}

const struct docs_seen *docs_seen_find(const struct docs_applier *a, const struct docs_real *c,
                                       const struct mf_row *key)
{
    uint64_t id[2];
    if (a->nseen == 0) {
        return NULL;
    }
    docs_seen_id(a, c, key, id);
    const struct docs_seen *s = slot(a->seen, a->cap, id);
    return s->id[0] ? s : NULL;
}

/* Over the version before it: a document that one window changes many times takes the memory of a few. */
static void keep(struct docs_applier *a, struct docs_seen *s, const struct mf_value *doc)
{
    if (doc->len > s->room || !s->bytes) {
        size_t room = doc->len < 2 * s->room ? 2 * s->room : doc->len;
        s->bytes = mf_alloc(&a->kept, room + 1);
        s->room = s->bytes ? room : 0;
    }
    s->doc = *doc;
    s->doc.data = s->bytes;
    s->forgotten = s->bytes == NULL;
    if (s->bytes && doc->len) {
        memcpy(s->bytes, doc->data, doc->len);
    }
}

int docs_seen_put(struct docs_applier *a, const struct docs_real *c, const struct mf_row *key,
                  const struct mf_value *doc, struct mf_error *err)
{
    uint64_t id[2];
    if (a->nseen >= SEEN_MOST) {
        return mf_fail(err, MF_FATAL, "MFBIG", "one window has more than %zu documents", SEEN_MOST);
    }
    if (a->nseen * 2 >= a->cap) {
        grow(a);
    }
    docs_seen_id(a, c, key, id);
    struct docs_seen *s = slot(a->seen, a->cap, id);
    a->nseen += s->id[0] == 0;
    *s = (struct docs_seen){.id = {id[0], id[1]}, .gone = !doc, .bytes = s->bytes, .room = s->room};
    if (doc) {
        keep(a, s, doc);
    }
    return 0;
}

void docs_seen_empty(struct docs_applier *a, const struct docs_real *c)
{
    a->emptied[number_of(a, c)]++;
}

bool docs_seen_emptied(const struct docs_applier *a, const struct docs_real *c)
{
    return a->emptied[number_of(a, c)] > 0;
}
