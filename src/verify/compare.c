/* One chunk: digests of both sides; where they differ, smaller ranges, down to rows.
 *
 * The bounds of a range are the origin's, and the replica may order text in another way: then its range holds other rows.
 * That is harmless. Every row of the origin is in exactly one range of the origin's. On the replica consecutive bounds still
 * lead from the lowest to the highest, so every row of it is in at least one range. A range whose digests agree holds the same
 * rows on both sides; in one whose digests do not, each row without an equal partner is looked up by its key on
 * both sides, wherever it is. So nothing is missed, and nothing is reported that a look by key does not confirm. */
#include "verify/internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SPLIT_INTO  16
#define MAX_DEPTH   12
#define ROWS_A_PASS 100000 /* keys held in memory at once; more take more passes over the range */
#define PASS_MEMORY ((size_t)1 << 30)

/* ---- rows of one range, by digest ---- */

struct entry {
    bool used, matched;
    uint64_t hash;
    struct mf_digest digest;
    struct mf_row key; /* n == 0: identity FULL */
    int64_t count;     /* identity FULL: copies on the origin less copies on the replica */
};

struct pass {
    struct vf_table *t;
    struct mf_arena arena;
    struct entry *entries;
    size_t cap, n;
    uint64_t number, of;
    struct mf_row *candidates;
    size_t ncandidates, candidates_cap;
};

static uint64_t hash_of(const struct mf_table *t, const struct mf_row *key, const struct mf_digest *d)
{
    if (key->n == 0) {
        return d->lane1 * UINT64_C(0x9e3779b97f4a7c15) ^ d->lane2;
    }
    uint64_t h = 0;
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct mf_value *v = &key->values[t->key[k]];
        h = XXH3_64bits_withSeed(v->kind == MF_NULL ? "" : v->data, v->kind == MF_NULL ? 0 : v->len,
                                 h + (uint64_t)v->kind + 1);
    }
    return h;
}

static bool same(const struct pass *p, const struct entry *e, const struct mf_row *key, const struct mf_digest *d)
{
    if (key->n == 0) {
        return e->digest.lane1 == d->lane1 && e->digest.lane2 == d->lane2;
    }
    return vf_same_key(p->t->ot, &e->key, key);
}

static struct entry *slot_of(struct pass *p, uint64_t hash, const struct mf_row *key, const struct mf_digest *d)
{
    size_t i = hash & (p->cap - 1);
    while (p->entries[i].used && (p->entries[i].hash != hash || !same(p, &p->entries[i], key, d))) {
        i = (i + 1) & (p->cap - 1);
    }
    return &p->entries[i];
}

static void grow(struct pass *p)
{
    struct entry *old = p->entries;
    size_t n = p->cap;
    p->cap = n ? n * 2 : 4096;
    p->entries = mf_xcalloc(p->cap, sizeof(*p->entries));
    for (size_t i = 0; i < n; i++) {
        if (old[i].used) {
            *slot_of(p, old[i].hash, &old[i].key, &old[i].digest) = old[i];
        }
    }
    free(old);
}

static int put(struct pass *p, uint64_t hash, const struct mf_row *key, const struct mf_digest *d, struct entry **ret,
               struct mf_error *err)
{
    if ((p->n + 1) * 2 > p->cap) {
        grow(p);
    }
    struct entry *e = slot_of(p, hash, key, d);
    if (!e->used) {
        *e = (struct entry){.used = true, .hash = hash, .digest = *d};
        p->n++;
        if (key->n && vf_copy_row(&p->arena, &e->key, key, err) < 0) {
            return -1;
        }
    }
    *ret = e;
    return 0;
}

static int candidate(struct pass *p, const struct mf_row *key, struct mf_error *err)
{
    if (p->ncandidates == p->candidates_cap) {
        p->candidates_cap = p->candidates_cap ? p->candidates_cap * 2 : 64;
        p->candidates = mf_xreallocarray(p->candidates, p->candidates_cap, sizeof(*p->candidates));
    }
    return vf_copy_row(&p->arena, &p->candidates[p->ncandidates], key, err) < 0 ? -1 : (p->ncandidates++, 0);
}

static int from_origin(void *ctx, const struct mf_row *key, const struct mf_digest *d, struct mf_error *err)
{
    struct pass *p = ctx;
    uint64_t hash = hash_of(p->t->ot, key, d);
    struct entry *e;
    if (hash % p->of != p->number) {
        return 0;
    }
    if (put(p, hash, key, d, &e, err) < 0) {
        return -1;
    }
    e->count++;
    return 0;
}

static int from_replica(void *ctx, const struct mf_row *key, const struct mf_digest *d, struct mf_error *err)
{
    struct pass *p = ctx;
    uint64_t hash = hash_of(p->t->ot, key, d);
    struct entry *e;
    if (hash % p->of != p->number) {
        return 0;
    }
    if (key->n == 0) {
        if (put(p, hash, key, d, &e, err) < 0) {
            return -1;
        }
        e->count--;
        return 0;
    }
    e = p->cap ? slot_of(p, hash, key, d) : NULL;
    if (!e || !e->used) {
        return candidate(p, key, err);
    }
    if (e->digest.lane1 == d->lane1 && e->digest.lane2 == d->lane2) {
        e->matched = true;
    }
    return 0; /* a partner that is not equal stays unmatched and becomes a candidate */
}

static int settle_full(struct mf_verify *v, struct pass *p, int64_t *ret_differing, struct mf_error *err)
{
    for (size_t i = 0; i < p->cap; i++) {
        const struct entry *e = &p->entries[i];
        if (!e->used || e->count == 0) {
            continue;
        }
        if (vf_difference_full(v, p->t, &e->digest, e->count, ret_differing, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int settle(struct mf_verify *v, struct vf_slot *s, struct pass *p, int64_t *ret_differing, struct mf_error *err)
{
    if (p->t->ot->identity == MF_IDENTITY_FULL) {
        return settle_full(v, p, ret_differing, err);
    }
    for (size_t i = 0; i < p->cap; i++) {
        const struct entry *e = &p->entries[i];
        if (e->used && !e->matched && candidate(p, &e->key, err) < 0) {
            return -1;
        }
    }
    return vf_confirm(v, s, p->t, p->candidates, NULL, p->ncandidates, ret_differing, err);
}

static int one_pass(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, const struct mf_chunk *c,
                    uint64_t number, uint64_t of, int64_t *ret_differing, struct mf_error *err)
{
    struct pass p = {.t = t, .number = number, .of = of};
    mf_arena_init(&p.arena, PASS_MEMORY);
    const struct mf_source_ops *o = v->o.pipe->origin->connector->source, *r = v->o.pipe->replica->connector->source;
    int rc = o->digest_rows(s->o, t->ot, c, from_origin, &p, err) < 0 ||
                     r->digest_rows(s->r, t->rt, c, from_replica, &p, err) < 0 ||
                     settle(v, s, &p, ret_differing, err) < 0
                 ? -1
                 : 0;
    mf_arena_free(&p.arena);
    free(p.entries);
    free(p.candidates);
    return rc;
}

static int compare_rows(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, const struct mf_chunk *c,
                        uint64_t rows, int64_t *ret_differing, struct mf_error *err)
{
    uint64_t of = rows / ROWS_A_PASS + 1;
    for (uint64_t i = 0; i < of; i++) {
        if (one_pass(v, s, t, c, i, of, ret_differing, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- ranges ---- */

static int digests(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, const struct mf_chunk *c,
                   struct mf_digest *o, struct mf_digest *r, struct mf_error *err)
{
    return v->o.pipe->origin->connector->source->digest(s->o, t->ot, c, o, err) < 0 ||
                   v->o.pipe->replica->connector->source->digest(s->r, t->rt, c, r, err) < 0
               ? -1
               : 0;
}

struct parts {
    struct mf_chunk *c;
    size_t n, cap;
};

static int take_part(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    struct parts *p = ctx;
    if (p->n == p->cap) {
        if (p->cap > 4096) {
            return mf_fail(err, MF_FATAL, "MFBUG", "a range was split into more parts than asked for");
        }
        p->cap = p->cap ? p->cap * 2 : SPLIT_INTO * 2;
        p->c = mf_xreallocarray(p->c, p->cap, sizeof(*p->c));
    }
    p->c[p->n++] = *c;
    return 0;
}

static int descend(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, const struct mf_chunk *c, uint64_t rows,
                   int depth, int64_t *ret_differing, struct mf_error *err)
{
    if (t->ot->identity == MF_IDENTITY_FULL || rows <= VF_ROWS_LEAF || depth >= MAX_DEPTH) {
        return compare_rows(v, s, t, c, rows, ret_differing, err);
    }
    struct parts p = {0};
    int rc = v->o.pipe->origin->connector->source->chunk_split(s->o, t->ot, c, SPLIT_INTO, take_part, &p, err);
    if (rc == 0 && p.n <= 1) {
        rc = compare_rows(v, s, t, c, rows, ret_differing, err);
        p.n = 0;
    }
    for (size_t i = 0; rc == 0 && i < p.n; i++) {
        struct mf_digest o, r;
        rc = digests(v, s, t, &p.c[i], &o, &r, err);
        if (rc == 0 && !mf_digest_equal(&o, &r)) {
            rc = descend(v, s, t, &p.c[i], o.rows > r.rows ? o.rows : r.rows, depth + 1, ret_differing, err);
        }
    }
    free(p.c);
    return rc;
}

int vf_compare_chunk(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, const struct mf_chunk *c,
                     int64_t *ret_rows, int64_t *ret_differing, struct mf_error *err)
{
    struct mf_digest o, r;
    int64_t differing = 0;
    if (digests(v, s, t, c, &o, &r, err) < 0) {
        return -1;
    }
    if (!mf_digest_equal(&o, &r) && descend(v, s, t, c, o.rows > r.rows ? o.rows : r.rows, 0, &differing, err) < 0) {
        return -1;
    }
    *ret_rows = (int64_t)o.rows;
    *ret_differing = differing;
    return 0;
}
