/* What the spool asks of the place its blocks go to. Offsets are bytes since the spool's beginning; segments lie end to
 * end in that space, and a segment is known by the offset it starts at.
 *
 * Threads: append, create, sync, truncate by the writer alone; read by the reader; remove by either; they may run at the
 * same time, and the storage locks what they share. */
#ifndef MF_SPOOL_STORAGE_H
#define MF_SPOOL_STORAGE_H

#include "spool/spool.h"

#include <sys/uio.h>

struct mf_segment {
    uint64_t start, size;
};

struct mf_spool_storage_ops {
    void (*free)(struct mf_spool_storage *st);
    /* All segments by start. *ret is freed by the caller. */
    int (*list)(struct mf_spool_storage *st, struct mf_segment **ret, size_t *ret_n, struct mf_error *err);
    /* A new last segment, empty; the one before it is made durable first. Exists already and is empty: success. */
    int (*create)(struct mf_spool_storage *st, uint64_t start, struct mf_error *err);
    /* Writes at offset in the last segment, all or an error; what a failed one left is overwritten by the next. */
    int (*append)(struct mf_spool_storage *st, uint64_t offset, const struct iovec *iov, int n, struct mf_error *err);
    /* Makes everything appended durable. */
    int (*sync)(struct mf_spool_storage *st, struct mf_error *err);
    /* Up to len bytes at offset, never past the end of its segment; *ret_len is 0 there. */
    int (*read)(struct mf_spool_storage *st, uint64_t offset, void *buf, size_t len, size_t *ret_len,
                struct mf_error *err);
    /* Removes every byte from offset on, and the segments that start there or after. */
    int (*truncate)(struct mf_spool_storage *st, uint64_t offset, struct mf_error *err);
    /* Removes the oldest segment, which starts at start. */
    int (*remove)(struct mf_spool_storage *st, uint64_t start, struct mf_error *err);
    /* "segment /var/…/0000.mfs, byte 4096", for messages. */
    void (*where)(struct mf_spool_storage *st, uint64_t offset, char *out, size_t n);
};

struct mf_spool_storage {
    const struct mf_spool_storage_ops *ops;
    size_t segment_bytes; /* a segment is ended at the first block boundary past this */
    size_t segment_min;   /* a small budget makes them smaller, but not below this */
    size_t block_bytes;   /* raw size of a block */
    bool compress;
};

#endif
