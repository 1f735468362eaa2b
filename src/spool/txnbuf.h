/* The changes of transactions that are not committed yet, encoded, in memory up to a bound all of them share and in
 * temporary files beyond it.
 *
 * A source that streams large transactions before their commit interleaves them; each open one has a mf_txnbuf. When
 * the pool is full, the buffer holding most memory goes to a file of its own (unlinked when it is made, in the spool's
 * directory), so the memory used never exceeds the bound by more than one change. One thread: capture's. */
#ifndef MF_SPOOL_TXNBUF_H
#define MF_SPOOL_TXNBUF_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct mf_txnpool;
struct mf_txnbuf;

/* dir NULL: never spill (the simulation); more than max_memory is then an MF_FATAL error. */
struct mf_txnpool *mf_txnpool_new(const char *dir, size_t max_memory);
/* All its buffers must have been freed. NULL is allowed. */
void mf_txnpool_free(struct mf_txnpool *p);
size_t mf_txnpool_memory(const struct mf_txnpool *p);    /* bytes of changes in memory now */
uint64_t mf_txnpool_spilled(const struct mf_txnpool *p); /* bytes of changes in files now */

struct mf_txnbuf *mf_txnbuf_new(struct mf_txnpool *p);
void mf_txnbuf_free(struct mf_txnbuf *b); /* NULL is allowed */
/* Forgets everything, keeps the object for the next transaction. */
void mf_txnbuf_reset(struct mf_txnbuf *b);

/* Appends one encoded change. Errors: MF_RETRY MFDISK (the disk is full: nothing was added), MF_FATAL. */
int mf_txnbuf_add(struct mf_txnbuf *b, uint64_t subtxn, const void *data, size_t len, struct mf_error *err);
/* Undoes everything from the first change of that subtransaction on: its abort undoes what nested in it, and while a
 * subtransaction is open nothing outside it can change. One that made no change is no error. */
int mf_txnbuf_abort(struct mf_txnbuf *b, uint64_t subtxn, struct mf_error *err);

/* Gives all changes in order, in pieces that end at change boundaries; a piece is valid during the call. A callback's
 * failure ends the walk and is returned. May be done more than once. */
typedef int mf_txnbuf_sink(void *ctx, const void *data, size_t len, struct mf_error *err);
int mf_txnbuf_stream(struct mf_txnbuf *b, mf_txnbuf_sink *emit, void *ctx, struct mf_error *err);

uint64_t mf_txnbuf_changes(const struct mf_txnbuf *b);
uint64_t mf_txnbuf_bytes(const struct mf_txnbuf *b);

#endif
