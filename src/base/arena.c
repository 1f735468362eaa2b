#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A sanitizer build marks what was not handed out, or was handed out before a reset, as poison, so that a pointer kept
 * past its batch is found there. */
#if defined(__SANITIZE_ADDRESS__)
#define MF_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MF_ASAN 1
#endif
#endif
#ifdef MF_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define ALIGN      _Alignof(max_align_t)
#define FIRST_SIZE ((size_t)4096)
#define GROW_MAX   ((size_t)1 << 20) /* chunks double up to this; also the largest one a reset keeps */

struct mf_arena_chunk {
    struct mf_arena_chunk *next;
    size_t size, used;
    _Alignas(max_align_t) unsigned char data[];
};

void mf_arena_init(struct mf_arena *a, size_t max_bytes)
{
    *a = (struct mf_arena){.max_bytes = max_bytes};
}

static struct mf_arena_chunk *add_chunk(struct mf_arena *a, size_t n)
{
    size_t size = a->head ? a->head->size * 2 : FIRST_SIZE;
    if (size > GROW_MAX) {
        size = GROW_MAX;
    }
    if (size < n) {
        size = n;
    }
    struct mf_arena_chunk *c = malloc(sizeof(*c) + size);
    if (!c) {
        return NULL;
    }
    c->size = size;
    c->used = 0;
    POISON(c->data, size);
    a->held += size;
    /* A chunk made for one large piece goes behind the head, which may still have room for small ones. */
    if (a->head && size == n) {
        c->next = a->head->next;
        a->head->next = c;
    } else {
        c->next = a->head;
        a->head = c;
    }
    return c;
}

void *mf_alloc(struct mf_arena *a, size_t n)
{
    if (n > a->max_bytes || n > SIZE_MAX / 2) {
        return NULL;
    }
    size_t want = n ? (n + ALIGN - 1) & ~(ALIGN - 1) : ALIGN;
    if (a->used > a->max_bytes || want > a->max_bytes - a->used) {
        return NULL;
    }
    struct mf_arena_chunk *c = a->head;
    if (!c || c->size - c->used < want) {
        c = add_chunk(a, want);
        if (!c) {
            return NULL;
        }
    }
    void *p = c->data + c->used;
    c->used += want;
    a->used += want;
    UNPOISON(p, n);
    return p;
}

void *mf_alloc0(struct mf_arena *a, size_t n)
{
    void *p = mf_alloc(a, n);
    if (p && n) {
        memset(p, 0, n);
    }
    return p;
}

void *mf_alloc_array(struct mf_arena *a, size_t count, size_t n)
{
    size_t total;
    return __builtin_mul_overflow(count, n, &total) ? NULL : mf_alloc0(a, total);
}

char *mf_memdup_a(struct mf_arena *a, const void *p, size_t n)
{
    char *d = n < SIZE_MAX ? mf_alloc(a, n + 1) : NULL;
    if (!d) {
        return NULL;
    }
    if (n) {
        memcpy(d, p, n);
    }
    d[n] = '\0';
    return d;
}

char *mf_strdup_a(struct mf_arena *a, const char *s)
{
    return mf_memdup_a(a, s, strlen(s));
}

char *mf_printf_a(struct mf_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = n < 0 ? NULL : mf_alloc(a, (size_t)n + 1);
    if (s) {
        va_start(ap, fmt);
        vsnprintf(s, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    return s;
}

size_t mf_arena_used(const struct mf_arena *a)
{
    return a->used;
}

static void free_chunk(struct mf_arena_chunk *c)
{
    UNPOISON(c->data, c->size);
    free(c);
}

void mf_arena_reset(struct mf_arena *a)
{
    struct mf_arena_chunk *keep = NULL;
    for (struct mf_arena_chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        if (c->size <= GROW_MAX && (!keep || c->size > keep->size)) {
            if (keep) {
                free_chunk(keep);
            }
            keep = c;
        } else {
            free_chunk(c);
        }
    }
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
        POISON(keep->data, keep->size);
    }
    a->head = keep;
    a->used = 0;
    a->held = keep ? keep->size : 0;
}

void mf_arena_free(struct mf_arena *a)
{
    if (!a) {
        return;
    }
    for (struct mf_arena_chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        free_chunk(c);
    }
    *a = (struct mf_arena){.max_bytes = a->max_bytes};
}
