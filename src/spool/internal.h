/* What the spool's files share. See docs/internals/spool.md for why it is correct.
 *
 * The writer packs records into `cur`, a block in memory; a full one is written to storage ("sealed"). A reader at the
 * end of the spool reads `cur` itself, as far as its `visible`, so a transaction reaches it without a system call.
 *
 * Invariants:
 *  B1 A sealed block either holds nothing but whole transactions (and progress and relations), or belongs to one large transaction
 *     from its first byte or to its last: a transaction that does not end in its block begins in a fresh one.
 *     So a transaction that was left open is taken back by cutting storage at a block boundary.
 *  B2 Nothing beyond (vis_off, that block's visible) is ever read: what is visible is whole and is never cut off.
 *  B3 Only the last segment holds bytes that are not durable. */
#ifndef MF_SPOOL_INTERNAL_H
#define MF_SPOOL_INTERNAL_H

#include "base/cleanup.h"
#include "spool/format.h"
#include "spool/storage.h"

#include <pthread.h>
#include <stdatomic.h>

#define MF_UNPLACED UINT64_MAX

struct mf_block {
    uint64_t off;          /* where it goes; MF_UNPLACED until that is decided. Written under lock */
    size_t cap, len;       /* writer's */
    atomic_size_t visible; /* whole records a reader may take; grows */
    atomic_bool sealed;    /* in storage; visible is final and next_off is set */
    uint64_t next_off;
    unsigned refs; /* under lock: one for `cur`, one for a reader on it */
    uint8_t data[];
};

/* A relation version, numbered from 1. */
struct mf_rel {
    char *bytes; /* encoded table; owned */
    size_t len;
    uint64_t hash;
    bool lost;   /* its record was in a transaction taken back: write it again before anything else */
    bool in_txn; /* its record is inside the open transaction */
};

struct mf_segment_index {
    uint64_t start;
    uint64_t base; /* position before the segment's first record */
    bool mid;      /* begins inside a transaction: no reader can start here */
};

struct mf_spool {
    struct mf_spool_storage *st;
    uint64_t budget;
    size_t segment_limit;

    /* The writer's thread only. */
    bool open;         /* between begin and end */
    bool begin_in_cur; /* its BEGIN is in cur, at begin_pos */
    size_t begin_pos;
    uint64_t begin_off; /* else: the block its BEGIN is in */
    struct mf_txn_head head;
    struct mf_rel *rels;
    uint32_t nrels, caprels;
    uint32_t *relmap; /* open addressing by hash, relation numbers; maps 2^n, at most half full */
    uint32_t relmap_size;
    bool rels_lost;     /* some rel is `lost` */
    bool segment_ready; /* the last segment has its first block */
    void *zctx, *zbuf;  /* made at the first compression */
    uint64_t synced;    /* everything before this offset is durable */
    bool broken;        /* a sync failed: nothing more is taken */

    pthread_mutex_t lock; /* guards what follows, and the fields of blocks that say so */
    pthread_cond_t more;  /* something became visible */
    bool waiting;
    struct mf_block *cur;  /* NULL until something is written. The pointer: writer sets under lock, reads without */
    struct mf_block *idle; /* one spare buffer */
    uint64_t write_off;    /* where the next block goes. Set by the writer under lock, which reads it without */
    uint64_t vis_off;      /* block that holds the last visible record; MF_UNPLACED: nothing is visible */
    struct mf_segment_index *segs;
    size_t nsegs, capsegs;
    uint64_t released; /* order */
    bool wanted;       /* the reader can release nothing before it has seen more: the budget does not count */
    uint64_t transactions;
    struct mf_position written, durable;
    int64_t last_commit_time_us, stamp; /* of the last transaction; of `written` */
};

/* ---- block.c: the writer's side of blocks and segments ---- */
/* cur has room for n bytes at its place. On failure nothing is lost and the call may be made again. n is at most a
 * block's size. */
int mf_spool_room(struct mf_spool *s, size_t n, struct mf_error *err);
/* Writes data as a DATA record in a block of its own, without copying it. */
int mf_spool_direct(struct mf_spool *s, const void *data, size_t len, struct mf_error *err);
int mf_spool_direct_relation(struct mf_spool *s, uint32_t rel, const void *data, size_t len, struct mf_error *err);
/* Writes what is visible in cur to storage. */
int mf_spool_flush(struct mf_spool *s, struct mf_error *err);
/* Takes the open transaction back. */
int mf_spool_drop_open(struct mf_spool *s, struct mf_error *err);
void mf_block_unref(struct mf_spool *s, struct mf_block *b);                          /* lock held */
void mf_spool_index_add(struct mf_spool *s, uint64_t start, uint64_t base, bool mid); /* lock held, or not shared yet */

/* ---- load.c: blocks from storage, checked ---- */
struct mf_loaded {
    uint8_t *buf; /* stored payload; owned */
    uint8_t *raw; /* points into buf, or at zraw */
    uint8_t *zraw;
    size_t buf_cap, zraw_cap, len;
    uint64_t next_off, durable;
    void *dctx;
};
enum mf_load { MF_LOAD_OK, MF_LOAD_END, MF_LOAD_BAD, MF_LOAD_ERROR };
/* The block at off. END: its segment ends there. BAD: what is there is not a whole, undamaged block. ERROR: err is set. */
enum mf_load mf_block_load(struct mf_spool_storage *st, uint64_t off, struct mf_loaded *l, struct mf_error *err);
void mf_loaded_free(struct mf_loaded *l);
/* Sets err for a block that is damaged. Returns -1. */
int mf_spool_damaged(struct mf_spool_storage *st, uint64_t off, const char *what, struct mf_error *err);

/* ---- relations.c ---- */
/* Registers a relation read back or made; copies the bytes. -1 when the number is out of turn or has another shape. */
int mf_rels_set(struct mf_spool *s, uint32_t rel, const void *bytes, size_t len);
uint32_t mf_rels_find(const struct mf_spool *s, const void *bytes, size_t len); /* 0: new */
void mf_rels_free(struct mf_spool *s);

/* ---- recover.c ---- */
int mf_spool_recover(struct mf_spool *s, struct mf_error *err);

#endif
