/*
 * Allocation for small control structures: never returns NULL. Out of memory here is the end of the process, said
 * clearly, and safe because every durable step survives kill -9. Data from outside (rows, messages) never goes through
 * these: it lives in an mf_arena or an mf_buf, which have a maximum and return an error.
 */
#ifndef MF_BASE_MEM_H
#define MF_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *mf_xmalloc(size_t n) __attribute__((malloc, returns_nonnull, warn_unused_result));
void *mf_xcalloc(size_t count, size_t n) __attribute__((malloc, returns_nonnull, warn_unused_result));
void *mf_xrealloc(void *p, size_t n) __attribute__((returns_nonnull, warn_unused_result));
/* Grows or shrinks an array; aborts if count * n overflows. */
void *mf_xreallocarray(void *p, size_t count, size_t n) __attribute__((returns_nonnull, warn_unused_result));
char *mf_xstrdup(const char *s) __attribute__((malloc, returns_nonnull, warn_unused_result));
char *mf_xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* Copies n bytes and puts a NUL after them. */
char *mf_xmemdup(const void *p, size_t n) __attribute__((malloc, returns_nonnull, warn_unused_result));
char *mf_xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull, warn_unused_result));
char *mf_xvasprintf(const char *fmt, va_list ap)
    __attribute__((format(printf, 1, 0), returns_nonnull, warn_unused_result));

#endif
