/* A temporary file: no name, gone with the process. Behind a spilled transaction, and behind what a verification has read. */
#ifndef MF_SPOOL_SPILL_H
#define MF_SPOOL_SPILL_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* ---- for whoever has words of its own for what went wrong ---- */
int mf_spill_make(const char *dir);                                  /* a descriptor, or -errno */
int mf_spill_put(int fd, uint64_t at, const void *data, size_t len); /* 0, or errno */
int mf_spill_get(int fd, uint64_t at, void *out, size_t len);        /* 0, or errno; -1: the file ends too early */
void mf_spill_close(int fd);                                         /* negative: nothing */

/* ---- of a transaction ---- */
/* A descriptor, or -1. */
int mf_spill_open(const char *dir, struct mf_error *err);
int mf_spill_write(int fd, const char *dir, uint64_t at, const void *data, size_t len, struct mf_error *err);
int mf_spill_read(int fd, uint64_t at, void *out, size_t len, struct mf_error *err);

/* Sets err for a failed system call on a file of ours: a full disk is MF_RETRY MFDISK with what to do. Returns -1. */
int mf_disk_error(struct mf_error *err, int errnum, const char *doing, const char *path);

#endif
