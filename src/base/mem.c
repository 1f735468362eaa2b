#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void out_of_memory(size_t n)
{
    char text[96];
    int len =
        snprintf(text, sizeof(text), "midflight: out of memory (asked for %zu bytes); run it again to resume\n", n);
    if (len > 0) {
        ssize_t ignored = write(STDERR_FILENO, text, (size_t)len);
        (void)ignored;
    }
    abort();
}

void *mf_xmalloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p) {
        out_of_memory(n);
    }
    return p;
}

void *mf_xcalloc(size_t count, size_t n)
{
    void *p = calloc(count ? count : 1, n ? n : 1);
    if (!p) {
        out_of_memory(n && count > (size_t)-1 / n ? (size_t)-1 : count * n);
    }
    return p;
}

void *mf_xrealloc(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    if (!q) {
        out_of_memory(n);
    }
    return q;
}

void *mf_xreallocarray(void *p, size_t count, size_t n)
{
    size_t total;
    if (__builtin_mul_overflow(count, n, &total)) {
        out_of_memory((size_t)-1);
    }
    return mf_xrealloc(p, total);
}

char *mf_xstrdup(const char *s)
{
    return mf_xmemdup(s, strlen(s));
}

char *mf_xstrndup(const char *s, size_t n)
{
    return mf_xmemdup(s, strnlen(s, n));
}

char *mf_xmemdup(const void *p, size_t n)
{
    char *q = mf_xmalloc(n + 1);
    if (n) {
        memcpy(q, p, n);
    }
    q[n] = '\0';
    return q;
}

char *mf_xvasprintf(const char *fmt, va_list ap)
{
    char *s = NULL;
    if (vasprintf(&s, fmt, ap) < 0 || !s) {
        out_of_memory(0);
    }
    return s;
}

char *mf_xasprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = mf_xvasprintf(fmt, ap);
    va_end(ap);
    return s;
}
