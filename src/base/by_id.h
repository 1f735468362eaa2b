/*
 * Things by a number of 32 bits: the tables that a stream has told of, by their ids.
 *
 * Open addressing; it doubles when it is half full, and nothing is taken out of it. An all-zero one is empty. What it points to is the
 * caller's, and so is the bound of how many there may be. One thread at a time.
 */
#ifndef MF_BASE_BY_ID_H
#define MF_BASE_BY_ID_H

#include <stddef.h>
#include <stdint.h>

struct mf_by_id {
    struct mf_by_id_slot {
        uint32_t id;
        void *p; /* NULL: an empty slot */
    } * slots;
    size_t n, cap; /* to go through all: slots[0 .. cap), passing over the empty ones */
};

/* NULL: there is none. */
void *mf_by_id_find(const struct mf_by_id *m, uint32_t id);
/* p is not NULL. What stood in its place, for the caller to free; NULL: nothing. */
void *mf_by_id_put(struct mf_by_id *m, uint32_t id, void *p);
/* Not what it points to. */
void mf_by_id_free(struct mf_by_id *m);

#endif
