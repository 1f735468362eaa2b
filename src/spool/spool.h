/* The spool: every transaction of a source, in commit order, on disk before it is acknowledged to the source.
 *
 * One writer (capture) and one reader at a time (apply), on different threads. Records are packed into blocks (compressed,
 * checksummed), blocks into segments; every segment begins with the relations known so far, so that a reader can start at
 * any segment. A transaction is visible to the reader when it is whole. What is visible need not be durable yet:
 * the target's checkpoint is the truth after a crash, and a transaction that is in the target but not in the spool is sent
 * again by the source and skipped by position.
 *
 * The storage under it (files; memory for the simulation; a log service later) is mf_spool_storage. */
#ifndef MF_SPOOL_SPOOL_H
#define MF_SPOOL_SPOOL_H

#include "change/change.h"

struct mf_spool;
struct mf_spool_reader;

/* Where blocks go. Offsets are bytes since the spool's beginning and never reused. One implementation for files
 * (spool/files.c), one in memory (spool/memory.c) whose unsynced blocks are lost by mf_spool_memory_crash. */
struct mf_spool_storage;
struct mf_spool_storage *mf_spool_files(const char *dir, size_t segment_bytes, struct mf_error *err);
struct mf_spool_storage *mf_spool_memory(void);
void mf_spool_memory_crash(struct mf_spool_storage *st); /* drops what was not synced; outlives mf_spool_close */
/* The nth storage operation from now on fails once with MF_RETRY (0: none is to fail). */
void mf_spool_memory_fail(struct mf_spool_storage *st, unsigned nth);
/* Removes whatever is there; no spool is open on it. */
int mf_spool_clear(struct mf_spool_storage *st, struct mf_error *err);
void mf_spool_storage_free(struct mf_spool_storage *st);

/* Opens and checks what is there: a torn last block is cut off, a damaged one before the end is an error (MF_FATAL, code
 * MFSPOOL) that says where. budget_bytes bounds the disk used. The storage stays the caller's. */
int mf_spool_open(struct mf_spool_storage *st, uint64_t budget_bytes, struct mf_spool **ret, struct mf_error *err);
void mf_spool_close(struct mf_spool *s);

/* ---- writer (capture's thread) ---- */

/* The number of this shape of this table; writes its record when it is new. Equal shapes give equal numbers. */
int mf_spool_relation(struct mf_spool *s, const struct mf_table *t, uint32_t *ret_rel, struct mf_error *err);

struct mf_txn_head {
    uint64_t txn; /* what mf_source_ops.visible is asked about it */
    struct mf_position position;
    int64_t commit_time_us;
    uint64_t changes, bytes; /* known in full when the head is written: transactions are appended at their commit */
    /* Microseconds since 1970, for targets that keep the last write: the nth change of the transaction (from 0) has stamp + n. Every change of every
     * later transaction has a greater one, and a transaction read again has the same (docs/internals/stamps.md). 0: none were given. */
    int64_t stamp;
};

/* The stamp of the position at which the transaction ends: after all its changes, before any of the next. */
static inline int64_t mf_txn_stamp_after(const struct mf_txn_head *h)
{
    return h->stamp ? (int64_t)((uint64_t)h->stamp + (h->changes ? h->changes : 1)) : 0;
}

/* begin, write (encoded changes, any pieces that end at change boundaries), end. A transaction left open is dropped by the next begin
 * or by a crash. Large ones go to storage as they are written. */
int mf_spool_begin(struct mf_spool *s, const struct mf_txn_head *head, struct mf_error *err);
int mf_spool_write(struct mf_spool *s, const void *data, size_t len, struct mf_error *err);
int mf_spool_end(struct mf_spool *s, struct mf_error *err);
/* The source has shown everything up to position; the reader is told after all before it. */
int mf_spool_progress(struct mf_spool *s, const struct mf_position *position, struct mf_error *err);

/* Makes all written so far durable; *ret is the position that may be acknowledged to the source. */
int mf_spool_sync(struct mf_spool *s, struct mf_position *ret, struct mf_error *err);
/* Position of the last whole transaction or progress record written (after open: found on disk). */
void mf_spool_tail(struct mf_spool *s, struct mf_position *ret);
/* The stamp of the tail: of the last transaction written (0: none is known). After open: as it was. */
int64_t mf_spool_stamp(struct mf_spool *s);
/* False while the budget is used up: stop reading from the source until the reader has released something. */
bool mf_spool_has_room(struct mf_spool *s);

/* ---- reader (apply's thread) ---- */

enum mf_record_kind { MF_RECORD_NONE, MF_RECORD_BEGIN, MF_RECORD_CHANGE, MF_RECORD_COMMIT, MF_RECORD_PROGRESS };

struct mf_record {
    enum mf_record_kind kind;
    struct mf_txn_head head; /* BEGIN and COMMIT */
    struct mf_position position;
    struct mf_change change; /* CHANGE, with its stamp: valid until the next read */
};

/* Starts so that the first transaction read is the first with position > after. Error MFSPOOL when the spool no longer reaches back that far. */
int mf_spool_reader_open(struct mf_spool *s, const struct mf_position *after, struct mf_spool_reader **ret,
                         struct mf_error *err);
void mf_spool_reader_close(struct mf_spool_reader *r);
/* The next record; waits at most timeout_ms for one (MF_RECORD_NONE then). */
int mf_spool_read(struct mf_spool_reader *r, int timeout_ms, struct mf_record *ret, struct mf_error *err);
/* Returns to the BEGIN of the first transaction with position > after (to go through a window again). */
int mf_spool_rewind(struct mf_spool_reader *r, const struct mf_position *after, struct mf_error *err);
/* The stamp of the position after the last transaction that was read or passed over; 0: none was. */
int64_t mf_spool_reader_stamp(const struct mf_spool_reader *r);
/* The order of the last transaction or progress that was. */
uint64_t mf_spool_reader_seen(const struct mf_spool_reader *r);
/* The reader waits for what the source must send again, and will release nothing before: meanwhile there is always room. */
void mf_spool_want(struct mf_spool *s, bool more);
/* Head of the next transaction without consuming it: kind BEGIN, PROGRESS or NONE. */
int mf_spool_peek(struct mf_spool_reader *r, int timeout_ms, struct mf_record *ret, struct mf_error *err);

/* Everything up to position is in the target for good: segments wholly before it are removed. */
int mf_spool_release(struct mf_spool *s, const struct mf_position *position, struct mf_error *err);

struct mf_spool_stats {
    uint64_t bytes_on_disk, budget_bytes, transactions_written;
    struct mf_position written, durable;
    int64_t last_commit_time_us; /* source's clock */
};
void mf_spool_stats(struct mf_spool *s, struct mf_spool_stats *ret); /* any thread */

#endif
