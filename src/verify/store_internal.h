/* What store.c (adding, spilling) and store_join.c (joining) share. */
#ifndef MF_VERIFY_STORE_INTERNAL_H
#define MF_VERIFY_STORE_INTERNAL_H

#include "verify/store.h"

#include <pthread.h>
#include <stddef.h>

/* As it is kept, in memory and in the file: the head's first ST_HEAD bytes, then the key. */
struct st_head {
    uint64_t lane1, lane2;
    uint32_t attempt, len, count;
};
#define ST_HEAD (offsetof(struct st_head, count) + sizeof(uint32_t))

struct st_block { /* whole records */
    struct st_block *next;
    uint32_t len, cap;
    char data[];
};

struct st_extent { /* whole records in the file */
    uint64_t at, sum;
    uint32_t len;
};

struct st_part {
    struct st_block *blocks; /* the last one first */
    struct st_extent *extents;
    uint32_t nextents;
    uint64_t bytes; /* of all of them */
};

struct vf_store {
    struct vf_store_options o; /* constant */
    pthread_mutex_t mu; /* everything below, until the store is sealed; constant from then on, but for the statistics */
    bool sealed;
    int fd; /* -1: nothing is spilled */
    uint64_t file_len, used;
    uint64_t rows[2];
    struct st_part parts[2][VF_PARTS];
    uint8_t *voided; /* by attempt */
    uint32_t nattempts, voided_cap;
    char *scratch; /* a partition on its way to the file */
    size_t scratch_cap;
    uint32_t passes[VF_PARTS]; /* pieces of a partition */
    uint32_t npieces;
};

static inline uint32_t st_part_of(uint64_t hash)
{
    return (uint32_t)(hash % VF_PARTS);
}

/* Which of a partition's `of` pieces. */
static inline uint32_t st_pass_of(uint64_t hash, uint32_t of)
{
    return (uint32_t)(hash / VF_PARTS % of);
}

#endif
