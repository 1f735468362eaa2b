/* See by_id.h. */
#include "base/by_id.h"

#include "base/mem.h"

#include <stdlib.h>

#define FIRST 64

static struct mf_by_id_slot *slot_of(const struct mf_by_id *m, uint32_t id)
{
    size_t i = (id * UINT32_C(2654435761)) & (m->cap - 1);
    while (m->slots[i].p && m->slots[i].id != id) {
        i = (i + 1) & (m->cap - 1);
    }
    return &m->slots[i];
}

static void grow(struct mf_by_id *m)
{
    struct mf_by_id was = *m;
    m->cap = was.cap ? was.cap * 2 : FIRST;
    m->slots = mf_xcalloc(m->cap, sizeof *m->slots);
    for (size_t i = 0; i < was.cap; i++) {
        if (was.slots[i].p) {
            *slot_of(m, was.slots[i].id) = was.slots[i];
        }
    }
    free(was.slots);
}

void *mf_by_id_find(const struct mf_by_id *m, uint32_t id)
{
    return m->cap ? slot_of(m, id)->p : NULL;
}

void *mf_by_id_put(struct mf_by_id *m, uint32_t id, void *p)
{
    if ((m->n + 1) * 2 > m->cap) {
        grow(m);
    }
    struct mf_by_id_slot *at = slot_of(m, id);
    void *was = at->p;
    *at = (struct mf_by_id_slot){id, p};
    m->n += was == NULL;
    return was;
}

void mf_by_id_free(struct mf_by_id *m)
{
    free(m->slots);
    *m = (struct mf_by_id){0};
}
