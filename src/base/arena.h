/*
 * An arena: allocations that live and die together (one batch, one message), freed by one reset.
 *
 * Chunks are taken from malloc and grow; max_bytes bounds their sum, so that a message from outside cannot take the
 * machine's memory. Every allocation is aligned for any type. An allocation over the maximum or out of memory returns
 * NULL and changes nothing. One thread at a time.
 */
#ifndef MF_BASE_ARENA_H
#define MF_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct mf_arena_chunk;

struct mf_arena {
    struct mf_arena_chunk *head; /* the chunk being filled; older ones follow */
    size_t used;                 /* bytes handed out since init or reset, with alignment */
    size_t held;                 /* bytes of all chunks taken from malloc */
    size_t max_bytes;            /* bound on used */
};

void mf_arena_init(struct mf_arena *a, size_t max_bytes);
/* Uninitialised bytes; n = 0 gives a pointer that may not be read. */
void *mf_alloc(struct mf_arena *a, size_t n) __attribute__((warn_unused_result));
void *mf_alloc0(struct mf_arena *a, size_t n) __attribute__((warn_unused_result));
/* count * n zeroed bytes; NULL on overflow. */
void *mf_alloc_array(struct mf_arena *a, size_t count, size_t n) __attribute__((warn_unused_result));
char *mf_strdup_a(struct mf_arena *a, const char *s) __attribute__((warn_unused_result));
/* Copies n bytes and puts a NUL after them. */
char *mf_memdup_a(struct mf_arena *a, const void *p, size_t n) __attribute__((warn_unused_result));
char *mf_printf_a(struct mf_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3), warn_unused_result));
size_t mf_arena_used(const struct mf_arena *a);
/* Everything handed out is gone; the largest chunk (up to 1 MiB) is kept for the next round. */
void mf_arena_reset(struct mf_arena *a);
/* Gives all memory back. Accepts NULL and an all-zero arena; the arena may be used again. */
void mf_arena_free(struct mf_arena *a);

#endif
