/* The object behind mf_spool_files. */
#ifndef MF_SPOOL_FILES_H
#define MF_SPOOL_FILES_H

#include "base/cleanup.h"
#include "spool/storage.h"

struct file_segment {
    uint64_t start, size; /* size: bytes that count; the file may hold more when leftover is set */
    uint64_t synced;      /* of them durable, as far as is known */
    int fd;               /* -1: not open */
    bool leftover;        /* a failed write could not be cut off */
};

struct files {
    struct mf_spool_storage st;
    char *dir;
    int dirfd;            /* holds the lock that keeps other processes out */
    pthread_mutex_t lock; /* guards segs, n, reading; only the writer's thread adds segments and changes the last one */
    struct file_segment *segs;
    size_t n, cap;
    size_t reading; /* index of the segment the reader is in; SIZE_MAX: none */
};

#endif
