/* Which documents a transaction touched. */
#include "connector/shred/stream.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define TXN_BYTES ((size_t)1 << 30) /* of the ids of one transaction */

void docs_txn_free(struct docs_txn *t)
{
    if (t) {
        mf_arena_free(&t->arena);
        free(t->notes);
        free(t->slots);
        free(t);
    }
}

struct docs_txn *docs_txn_find(struct docs_stream *st, uint64_t id, bool make)
{
    for (struct docs_txn *t = st->txns; t; t = t->next) {
        if (t->id == id) {
            return t;
        }
    }
    if (!make) {
        return NULL;
    }
    struct docs_txn *t = mf_xcalloc(1, sizeof *t);
    t->id = id;
    mf_arena_init(&t->arena, TXN_BYTES);
    t->next = st->txns;
    return st->txns = t;
}

struct docs_txn *docs_txn_take(struct docs_stream *st, uint64_t id)
{
    for (struct docs_txn **p = &st->txns; *p; p = &(*p)->next) {
        if ((*p)->id == id) {
            struct docs_txn *t = *p;
            *p = t->next;
            return t;
        }
    }
    return NULL;
}

static uint32_t *slot(const struct docs_txn *t, uint32_t *slots, size_t n, const struct docs_note *note)
{
    size_t i = XXH3_64bits_withSeed(note->id.data, note->id.len, (uintptr_t)note->c) & (n - 1);
    while (slots[i]) {
        const struct docs_note *is = &t->notes[slots[i] - 1];
        if (is->c == note->c && mf_value_equal(&is->id, &note->id)) {
            break;
        }
        i = (i + 1) & (n - 1);
    }
    return &slots[i];
}

static void grow(struct docs_txn *t)
{
    size_t n = t->nslots ? t->nslots * 2 : 64;
    uint32_t *slots = mf_xcalloc(n, sizeof *slots);
    for (size_t i = 0; i < t->n; i++) {
        *slot(t, slots, n, &t->notes[i]) = (uint32_t)i + 1;
    }
    free(t->slots);
    t->slots = slots;
    t->nslots = n;
}

int docs_note(struct docs_txn *t, const struct docs_real *c, const struct mf_value *id, struct mf_error *err)
{
    struct docs_note note = {.c = c, .id = *id};
    if (t->n * 2 >= t->nslots) {
        grow(t);
    }
    uint32_t *at = slot(t, t->slots, t->nslots, &note);
    if (*at) {
        return 0;
    }
    note.id.data = mf_memdup_a(&t->arena, id->data, id->len);
    if (!note.id.data || t->n == UINT32_MAX - 1) {
        mf_fail(err, MF_FATAL, "MFBIG", "one transaction changed more documents than can be remembered (%zu)", t->n);
        mf_hint(err,
                "rollback from here loses its changes: midflight verify names the documents, and --repair from the "
                "target writes them to the source");
        return -1;
    }
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 32;
        t->notes = mf_xreallocarray(t->notes, t->cap, sizeof *t->notes);
    }
    t->notes[t->n++] = note;
    *at = (uint32_t)t->n;
    return 0;
}

void docs_note_emptied(struct docs_txn *t, const struct docs_real *c)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (t->notes[i].c != c) {
            t->notes[n++] = t->notes[i];
        }
    }
    t->n = n;
    if (t->slots) {
        memset(t->slots, 0, t->nslots * sizeof *t->slots);
        for (size_t i = 0; i < n; i++) {
            *slot(t, t->slots, t->nslots, &t->notes[i]) = (uint32_t)i + 1;
        }
    }
}
