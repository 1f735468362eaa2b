/* The temporary file behind a spilled transaction: no name, gone with the process. */
#ifndef MF_SPOOL_SPILL_H
#define MF_SPOOL_SPILL_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* A descriptor, or -1. */
int mf_spill_open(const char *dir, struct mf_error *err);
void mf_spill_close(int fd); /* negative: nothing */
int mf_spill_write(int fd, const char *dir, uint64_t at, const void *data, size_t len, struct mf_error *err);
int mf_spill_read(int fd, uint64_t at, void *out, size_t len, struct mf_error *err);

/* Sets err for a failed system call on a file of ours: a full disk is MF_RETRY MFDISK with what to do. Returns -1. */
int mf_disk_error(struct mf_error *err, int errnum, const char *doing, const char *path);

#endif
