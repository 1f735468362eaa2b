/* Rows of a batch live in its arena: values and bytes of one row in one piece. They are found by table and key bytes
 * through a hash table of 8-byte slots; the hash is kept in the slot, so a probe looks at a row only when it is very
 * likely the right one. No allocation but the arena's on the way of a change. */
#include "change/window_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL /* keys are short: the call costs as much as the hash */
#include <xxhash.h>

static inline uint64_t hash_value(const struct mf_value *v, uint64_t seed)
{
    return XXH3_64bits_withSeed(v->data, mf_value_has_bytes(v) ? v->len : 0, seed + (uint64_t)v->kind);
}

uint32_t mf_wkey_hash(const struct mf_wtable *t, uint32_t table, const struct mf_row *row)
{
    uint64_t h = (uint64_t)table << 8;
    if (t->full) {
        for (uint16_t i = 0; i < row->n; i++) {
            h = hash_value(&row->values[i], h);
        }
    } else {
        for (uint16_t i = 0; i < t->table->nkey; i++) {
            h = hash_value(&row->values[t->table->key[i]], h);
        }
    }
    return (uint32_t)(h ^ h >> 32);
}

static bool same_key(const struct mf_wtable *t, const struct mf_row *a, const struct mf_row *b)
{
    if (t->full) {
        for (uint16_t i = 0; i < a->n; i++) {
            if (!mf_value_equal(&a->values[i], &b->values[i])) {
                return false;
            }
        }
        return true;
    }
    for (uint16_t i = 0; i < t->table->nkey; i++) {
        uint16_t k = t->table->key[i];
        if (!mf_value_equal(&a->values[k], &b->values[k])) {
            return false;
        }
    }
    return true;
}

struct mf_wentry *mf_wfind(const struct mf_window *w, uint32_t table, uint32_t hash, const struct mf_row *row)
{
    if (w->nslots == 0) {
        return NULL;
    }
    uint32_t mask = w->nslots - 1;
    for (uint32_t at = hash & mask; w->slots[at].entry; at = (at + 1) & mask) {
        if (w->slots[at].hash == hash) {
            struct mf_wentry *e = mf_wentry_at(w, w->slots[at].entry - 1);
            if (e->table == table && same_key(&w->tables[table], &e->rc.new_row, row)) {
                return e;
            }
        }
    }
    return NULL;
}

static void put_slot(struct mf_wslot *slots, uint32_t n, uint32_t hash, uint32_t entry)
{
    uint32_t at = hash & (n - 1);
    while (slots[at].entry) {
        at = (at + 1) & (n - 1);
    }
    slots[at] = (struct mf_wslot){.hash = hash, .entry = entry};
}

static bool grow_slots(struct mf_window *w)
{
    uint32_t n = w->nslots ? w->nslots * 2 : 64;
    struct mf_wslot *slots = calloc(n, sizeof(*slots));
    if (!slots) {
        return false;
    }
    for (uint32_t i = 0; i < w->nslots; i++) {
        if (w->slots[i].entry) {
            put_slot(slots, n, w->slots[i].hash, w->slots[i].entry);
        }
    }
    free(w->slots);
    w->slots = slots;
    w->nslots = n;
    return true;
}

struct mf_wentry *mf_wadd_entry(struct mf_window *w, uint32_t table, uint32_t hash)
{
    if ((w->nentries + 1) * 2 > w->nslots && !grow_slots(w)) {
        return NULL;
    }
    uint32_t block = w->nentries >> MF_WBLOCK_BITS;
    if (block == w->nblocks) {
        if ((block & (block - 1)) == 0) { /* room for twice as many pointers */
            w->blocks = mf_xreallocarray(w->blocks, block ? (size_t)block * 2 : 1, sizeof(*w->blocks));
        }
        w->blocks[block] = malloc(MF_WBLOCK * sizeof(**w->blocks));
        if (!w->blocks[block]) {
            return NULL;
        }
        w->nblocks++;
    }
    struct mf_wentry *e = mf_wentry_at(w, w->nentries);
    *e = (struct mf_wentry){.rc.count = 1, .hash = hash, .table = table, .state = MF_KEY_UNTOUCHED};
    put_slot(w->slots, w->nslots, hash, ++w->nentries);
    return e;
}

void mf_wforget_entries(struct mf_window *w)
{
    /* A window that was once large must not make every small one after it pay for the size of its table. */
    if (w->nentries > w->nslots / 16) {
        memset(w->slots, 0, w->nslots * sizeof(*w->slots));
    } else {
        for (uint32_t i = 0; i < w->nentries; i++) {
            uint32_t at = mf_wentry_at(w, i)->hash & (w->nslots - 1);
            while (w->slots[at].entry != i + 1) {
                at = (at + 1) & (w->nslots - 1);
            }
            w->slots[at].entry = 0;
        }
    }
    w->nentries = 0;
}

size_t mf_wused(const struct mf_window *w)
{
    return mf_arena_used(&w->arena) + w->nentries * (sizeof(struct mf_wentry) + 4 * sizeof(struct mf_wslot));
}

/* ---- rows ---- */

static int copy_key(struct mf_window *w, const struct mf_wtable *t, const struct mf_row *row, struct mf_row *ret)
{
    const struct mf_table *table = t->table;
    size_t bytes = 0;
    for (uint16_t i = 0; i < table->nkey; i++) {
        const struct mf_value *v = &row->values[table->key[i]];
        bytes += mf_value_has_bytes(v) ? v->len : 0;
    }
    struct mf_value *values = mf_alloc(&w->arena, row->n * sizeof(*values) + bytes);
    if (!values) {
        return -1;
    }
    for (uint16_t i = 0; i < row->n; i++) {
        values[i] = (struct mf_value){.kind = MF_UNCHANGED};
    }
    char *p = (char *)(values + row->n);
    for (uint16_t i = 0; i < table->nkey; i++) {
        uint16_t k = table->key[i];
        values[k] = row->values[k];
        if (mf_value_has_bytes(&values[k])) {
            memcpy(p, row->values[k].data, row->values[k].len);
            values[k].data = p;
            p += row->values[k].len;
        }
    }
    *ret = (struct mf_row){.n = row->n, .values = values};
    return 0;
}

int mf_wcopy_row(struct mf_window *w, const struct mf_wtable *t, const struct mf_row *row, bool key_only,
                 struct mf_row *ret)
{
    if (key_only && !t->full) {
        return copy_key(w, t, row, ret);
    }
    size_t bytes = 0;
    for (uint16_t i = 0; i < row->n; i++) {
        bytes += mf_value_has_bytes(&row->values[i]) ? row->values[i].len : 0;
    }
    struct mf_value *values = mf_alloc(&w->arena, row->n * sizeof(*values) + bytes);
    if (!values) {
        return -1;
    }
    char *p = (char *)(values + row->n);
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        values[i] = *v;
        if (mf_value_has_bytes(v)) {
            memcpy(p, v->data, v->len);
            values[i].data = p;
            p += v->len;
        }
    }
    *ret = (struct mf_row){.n = row->n, .values = values};
    return 0;
}

/* In place where the new bytes fit over the old ones: a hot row updated for ever takes no more memory. Bytes first,
 * then values, so that running out of memory in the middle leaves the row as it was but for bytes nobody reads. */
int mf_wmerge_row(struct mf_window *w, struct mf_row *row, const struct mf_row *change)
{
    size_t more = 0;
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &change->values[i], *old = &row->values[i];
        if (mf_value_has_bytes(v) && (!mf_value_has_bytes(old) || old->len < v->len)) {
            more += v->len;
        }
    }
    char *p = more ? mf_alloc(&w->arena, more) : NULL;
    if (more && !p) {
        return -1;
    }
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &change->values[i];
        struct mf_value *old = &row->values[i];
        if (v->kind == MF_UNCHANGED) {
            continue;
        }
        struct mf_value made = {.kind = v->kind, .len = mf_value_has_bytes(v) ? v->len : 0};
        if (mf_value_has_bytes(v)) {
            bool fits = mf_value_has_bytes(old) && old->len >= v->len;
            char *to = fits ? (char *)(uintptr_t)old->data : p;
            p += fits ? 0 : v->len;
            made.data = v->len ? memcpy(to, v->data, v->len) : "";
        }
        *old = made;
    }
    return 0;
}
