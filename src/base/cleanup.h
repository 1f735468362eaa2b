/*
 * Scoped clean-up: a local declared with one of these is released when it goes out of scope.
 *
 *     MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
 *     MF_CLEANUP_FREE char *name = mf_xstrdup(s);
 *     return MF_STEAL(name);
 */
#ifndef MF_BASE_CLEANUP_H
#define MF_BASE_CLEANUP_H

#include "base/arena.h"
#include "base/buf.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MF_CLEANUP(fn) __attribute__((cleanup(fn)))

/* Defines fn_p(type *) for MF_CLEANUP from a destructor that takes a pointer and accepts NULL. */
#define MF_DEFINE_CLEANUP(type, fn)                                                                                    \
    static inline void fn##_p(type *p)                                                                                 \
    {                                                                                                                  \
        if (*p) {                                                                                                      \
            fn(*p);                                                                                                    \
        }                                                                                                              \
    }                                                                                                                  \
    static inline void fn##_p(type *p)

static inline void mf_cleanup_free(void *p)
{
    free(*(void **)p);
}
static inline void mf_cleanup_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}
static inline void mf_cleanup_file(FILE **f)
{
    if (*f) {
        fclose(*f);
    }
}
static inline void mf_cleanup_unlock(pthread_mutex_t **m)
{
    if (*m) {
        pthread_mutex_unlock(*m);
    }
}

#define MF_CLEANUP_FREE  MF_CLEANUP(mf_cleanup_free)
#define MF_CLEANUP_FD    MF_CLEANUP(mf_cleanup_fd) /* int, closed unless negative */
#define MF_CLEANUP_FILE  MF_CLEANUP(mf_cleanup_file)
#define MF_CLEANUP_BUF   MF_CLEANUP(mf_buf_free)
#define MF_CLEANUP_ARENA MF_CLEANUP(mf_arena_free)

/* Holds the mutex until the end of the scope. */
#define MF_LOCK_SCOPE(m)                                                                                               \
    pthread_mutex_t *mf_lock_held_ MF_CLEANUP(mf_cleanup_unlock) = (pthread_mutex_lock(m), (m));                       \
    (void)mf_lock_held_

/* Hands a pointer over to the caller: the local becomes NULL and its clean-up does nothing. */
static inline void *mf_steal_(void *p)
{
    void **at = p;
    void *v = *at;
    *at = NULL;
    return v;
}
#define MF_STEAL(p) ((__typeof__(p))mf_steal_(&(p)))

static inline int mf_steal_fd(int *fd)
{
    int v = *fd;
    *fd = -1;
    return v;
}

#define MF_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
