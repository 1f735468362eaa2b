/*
 * Which element of an array that is there each wanted one is: they have no names, and what the map ignores in one must not come to another.
 *
 * Elements that mean the same are one, wherever they stand: first those at both ends, then by their bytes, of several alike the first that is left. What is between two
 * that were found, and as many here as there, was changed in its place. Any other is new, and none of those that are there.
 */
#include "bson/internal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct alike {
    uint64_t hash;
    uint32_t at;
    uint32_t next; /* of the first of a run: where the next that is left is looked for */
};

struct pairing {
    const struct elem *have, *want;
    uint32_t n, m;
    bool *used; /* of have */
    uint32_t *of;
};

static uint64_t hash_of(const struct elem *e)
{
    return XXH3_64bits_withSeed(e->value, e->len, e->type);
}

static int compare(const void *a, const void *b)
{
    const struct alike *x = a, *y = b;
    return x->hash != y->hash ? (x->hash > y->hash ? 1 : -1) : (x->at > y->at) - (x->at < y->at);
}

static void pair(struct pairing *p, uint32_t i, uint32_t j)
{
    p->used[i] = true;
    p->of[j] = i;
}

/* *ret_from, *ret_have_to, *ret_want_to: what is left between. */
static void both_ends(struct pairing *p, uint32_t *ret_from, uint32_t *ret_have_to, uint32_t *ret_want_to)
{
    uint32_t i = 0, n = p->n, m = p->m;
    for (; i < n && i < m && elem_same(&p->have[i], &p->want[i]); i++) {
        pair(p, i, i);
    }
    for (; n > i && m > i && elem_same(&p->have[n - 1], &p->want[m - 1]); n--, m--) {
        pair(p, n - 1, m - 1);
    }
    *ret_from = i;
    *ret_have_to = n;
    *ret_want_to = m;
}

static void by_bytes(struct pairing *p, struct alike *all, uint32_t n, uint32_t from, uint32_t to)
{
    for (uint32_t j = from; j < to; j++) {
        uint64_t hash = hash_of(&p->want[j]);
        uint32_t low = 0, high = n;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (all[middle].hash < hash) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        uint32_t k = low < n && all[low].next > low ? all[low].next : low;
        for (; k < n && all[k].hash == hash && p->of[j] == PAIR_NONE; k++) {
            if (!p->used[all[k].at] && elem_same(&p->have[all[k].at], &p->want[j])) {
                pair(p, all[k].at, j);
                all[low].next = k + 1;
            }
        }
    }
}

static bool none_used(const struct pairing *p, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (p->used[i]) {
            return false;
        }
    }
    return true;
}

static void in_their_places(struct pairing *p)
{
    for (uint32_t j = 0; j < p->m;) {
        uint32_t begin = j;
        while (j < p->m && p->of[j] == PAIR_NONE) {
            j++;
        }
        uint32_t from = begin ? p->of[begin - 1] + 1 : 0, to = j < p->m ? p->of[j] : p->n;
        if (from <= to && to - from == j - begin && none_used(p, from, to)) {
            for (uint32_t k = 0; k < to - from; k++) {
                pair(p, from + k, begin + k);
            }
        }
        j += j == begin;
    }
}

bool pair_elements(struct mf_arena *a, const struct elem *have, uint32_t n, const struct elem *want, uint32_t m,
                   uint32_t *ret_of)
{
    struct pairing p = {.have = have, .want = want, .n = n, .m = m, .of = ret_of};
    uint32_t from, have_to, want_to;
    p.used = mf_alloc0(a, n + 1);
    struct alike *all = mf_alloc_array(a, n + 1u, sizeof *all);
    if (!p.used || !all) {
        return false;
    }
    memset(ret_of, 0xff, m * sizeof *ret_of);
    both_ends(&p, &from, &have_to, &want_to);
    for (uint32_t i = from; i < have_to; i++) {
        all[i - from] = (struct alike){.hash = hash_of(&have[i]), .at = i};
    }
    qsort(all, have_to - from, sizeof *all, compare);
    by_bytes(&p, all, have_to - from, from, want_to);
    in_their_places(&p);
    return true;
}
