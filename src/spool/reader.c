/* The reader: walks blocks from storage, and at the spool's end the block the writer is filling.
 *
 * It never looks past what is visible, so every BEGIN it meets has its END: no look-ahead, and a transaction of any
 * size passes through block by block. */
#include "spool/internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "change/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Rows of one change: views of at most MF_MAX_COLUMNS values, twice. A truncate's list is smaller. */
#define CHANGE_ARENA_MAX ((size_t)4 << 20)
#define RELATIONS_MAX    ((size_t)1 << 30)
#define BOOKMARKS        256

/* A place where a transaction begins, for rewind. */
struct bookmark {
    uint64_t block;
    size_t pos;
    uint64_t before; /* everything at or before this position lies before the place */
    int64_t stamp;   /* of that position */
};

struct reader_rel {
    uint64_t hash;
    struct mf_table *table;
};

struct mf_spool_reader {
    struct mf_spool *s;
    struct mf_block *mem; /* the block being written, when that is where we are; a reference */
    struct mf_loaded ld;  /* else the block from storage */
    uint64_t block;       /* offset of the block we are in */
    size_t pos;           /* in its raw bytes */
    uint64_t next_off;    /* when neither: the block to go to */
    bool in_block;

    uint64_t after; /* transactions and progress up to here are passed over */
    uint64_t seen;  /* position of the last whole thing passed */
    int64_t stamp;  /* of that position */
    bool in_txn, skipping;
    struct mf_txn_head head;
    uint64_t nth;                     /* of its changes comes next */
    const uint8_t *piece, *piece_end; /* of a DATA record, what is left */

    struct mf_arena arena;     /* the current change */
    struct mf_arena rel_arena; /* relations; kept */
    struct reader_rel *rels;   /* by number */
    uint32_t caprels;

    bool peeked;
    struct mf_record peek;
    struct bookmark marks[BOOKMARKS]; /* ring */
    unsigned nmarks, next_mark;
};

static int damaged(struct mf_spool_reader *r, const char *what, struct mf_error *err)
{
    return mf_spool_damaged(r->s->st, r->block, what, err);
}

/* ---- where we are ---- */

static void leave_block(struct mf_spool_reader *r)
{
    if (r->mem) {
        MF_LOCK_SCOPE(&r->s->lock);
        mf_block_unref(r->s, r->mem);
        r->mem = NULL;
    }
    r->in_block = false;
}

static void go_to(struct mf_spool_reader *r, uint64_t off)
{
    leave_block(r);
    r->next_off = off;
    r->in_txn = r->skipping = r->peeked = false;
    r->piece = r->piece_end = NULL;
}

static size_t limit(const struct mf_spool_reader *r)
{
    if (!r->in_block) {
        return 0;
    }
    return r->mem ? atomic_load_explicit(&r->mem->visible, memory_order_acquire) : r->ld.len;
}

/* A release takes segments away whose transactions have all been read, and we may stand in one still: before a block that holds nothing but
 * relations, or, after a rewind, before what is only to be passed over. We go on where the first segment left begins; its head has the
 * relations. If it begins after more than we have seen, that is damage. */
static void pass_released(struct mf_spool_reader *r)
{
    MF_LOCK_SCOPE(&r->s->lock);
    const struct mf_segment_index *first = r->s->nsegs ? &r->s->segs[0] : NULL;
    bool behind = first && r->next_off < first->start && !first->mid;
    if (behind && (!r->in_txn || r->skipping) && (first->base <= r->after || first->base <= r->seen)) {
        r->next_off = first->start;
        r->in_txn = r->skipping = false;
    }
}

static int load_next(struct mf_spool_reader *r, struct mf_error *err)
{
    pass_released(r);
    r->block = r->next_off;
    switch (mf_block_load(r->s->st, r->next_off, &r->ld, err)) {
    case MF_LOAD_OK:
        r->next_off = r->ld.next_off;
        r->in_block = true;
        r->pos = 0;
        return 1;
    case MF_LOAD_END:
        return damaged(r, "it ends too early", err);
    case MF_LOAD_BAD:
        return damaged(r, "a block there does not match its checksum", err);
    case MF_LOAD_ERROR:
        break;
    }
    return -1;
}

/* Steps off a block that is done with. True when there is more to read where we are. Lock held. */
static bool step_off(struct mf_spool_reader *r)
{
    if (r->pos < limit(r)) {
        return true;
    }
    if (r->mem && !atomic_load_explicit(&r->mem->sealed, memory_order_acquire)) {
        return false;
    }
    if (r->mem) {
        r->next_off = r->mem->next_off;
        mf_block_unref(r->s, r->mem);
        r->mem = NULL;
    }
    r->in_block = false;
    return false;
}

/* Waits for something to be visible beyond where we are. 1: go on reading; 0: nothing within the time; -1. */
static int advance(struct mf_spool_reader *r, int timeout_ms, struct mf_error *err)
{
    struct mf_spool *s = r->s;
    struct timespec until = {0};
    if (timeout_ms > 0) {
        int64_t at = mf_now_us() + (int64_t)timeout_ms * MF_US_PER_MS;
        until = (struct timespec){.tv_sec = at / MF_US_PER_SEC, .tv_nsec = at % MF_US_PER_SEC * 1000};
    }
    bool expired = timeout_ms <= 0;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        if (step_off(r)) {
            break;
        }
        if (!r->in_block && s->vis_off != MF_UNPLACED && r->next_off <= s->vis_off) {
            if (!s->cur || s->cur->off != r->next_off) {
                pthread_mutex_unlock(&s->lock);
                return load_next(r, err);
            }
            r->mem = s->cur;
            r->mem->refs++;
            r->block = r->next_off;
            r->pos = 0;
            r->in_block = true;
            continue;
        }
        if (expired) {
            pthread_mutex_unlock(&s->lock);
            return 0;
        }
        s->waiting = true;
        expired = pthread_cond_timedwait(&s->more, &s->lock, &until) == ETIMEDOUT;
    }
    pthread_mutex_unlock(&s->lock);
    return 1;
}

/* ---- relations ---- */

static int take_relation(struct mf_spool_reader *r, const struct mf_rec *rec, struct mf_error *err)
{
    uint64_t hash = XXH3_64bits(rec->data, rec->len);
    if (rec->rel >= r->caprels) {
        /* Numbers are given in turn, so one far beyond those known is damage. */
        if (rec->rel > r->caprels + 65536) {
            return damaged(r, "a relation has an impossible number", err);
        }
        uint32_t cap = rec->rel + 16 + rec->rel / 2;
        r->rels = mf_xreallocarray(r->rels, cap, sizeof(*r->rels));
        memset(r->rels + r->caprels, 0, (cap - r->caprels) * sizeof(*r->rels));
        r->caprels = cap;
    }
    struct reader_rel *rel = &r->rels[rec->rel];
    if (rel->table && rel->hash == hash) {
        return 0;
    }
    struct mf_table *t;
    size_t used;
    if (mf_decode_table(&r->rel_arena, rec->data, rec->len, &t, &used, err) < 0) {
        return -1;
    }
    if (used != rec->len) {
        return damaged(r, "a relation has bytes left over", err);
    }
    *rel = (struct reader_rel){.hash = hash, .table = t};
    return 0;
}

static const struct mf_table *lookup(void *ctx, uint32_t rel)
{
    struct mf_spool_reader *r = ctx;
    return rel < r->caprels ? r->rels[rel].table : NULL;
}

/* ---- records ---- */

static void bookmark(struct mf_spool_reader *r, size_t pos)
{
    unsigned last = (r->next_mark + BOOKMARKS - 1) % BOOKMARKS;
    if (r->nmarks && r->marks[last].block >= r->block) {
        return; /* one a block is enough, and a second walk adds none */
    }
    r->marks[r->next_mark] = (struct bookmark){.block = r->block, .pos = pos, .before = r->seen, .stamp = r->stamp};
    r->next_mark = (r->next_mark + 1) % BOOKMARKS;
    r->nmarks += r->nmarks < BOOKMARKS;
}

/* 1: *ret is filled; 0: nothing for the caller in this record; -1 damage. */
static int take_record(struct mf_spool_reader *r, const struct mf_rec *rec, size_t pos, struct mf_record *ret,
                       struct mf_error *err)
{
    switch (rec->type) {
    case MF_REC_SEGMENT:
        r->seen = rec->pos.order > r->seen ? rec->pos.order : r->seen; /* when we start here */
        r->stamp = rec->stamp > r->stamp ? rec->stamp : r->stamp;
        return 0;
    case MF_REC_RELATION:
        return take_relation(r, rec, err);
    case MF_REC_BEGIN:
        if (r->in_txn) {
            return damaged(r, "a transaction begins inside another", err);
        }
        bookmark(r, pos);
        r->in_txn = true;
        r->head = rec->head;
        r->nth = 0;
        r->skipping = rec->head.position.order <= r->after;
        ret->kind = MF_RECORD_BEGIN;
        ret->head = rec->head;
        ret->position = rec->head.position;
        return !r->skipping;
    case MF_REC_DATA:
        if (!r->in_txn) {
            return damaged(r, "changes outside a transaction", err);
        }
        if (!r->skipping) {
            r->piece = rec->data;
            r->piece_end = rec->data + rec->len;
        }
        return 0;
    case MF_REC_END:
    case MF_REC_END_LARGE:
        if (!r->in_txn) {
            return damaged(r, "a transaction ends that never began", err);
        }
        r->in_txn = false;
        r->seen = r->head.position.order;
        r->stamp = mf_txn_stamp_after(&r->head);
        ret->kind = MF_RECORD_COMMIT;
        ret->head = r->head;
        ret->position = r->head.position;
        return !r->skipping;
    case MF_REC_PROGRESS:
        if (r->in_txn) {
            return damaged(r, "a progress record inside a transaction", err);
        }
        r->seen = rec->pos.order;
        ret->kind = MF_RECORD_PROGRESS;
        ret->position = rec->pos;
        return rec->pos.order > r->after;
    }
    return damaged(r, "an unknown record", err);
}

static int take_change(struct mf_spool_reader *r, struct mf_record *ret, struct mf_error *err)
{
    size_t used;
    mf_arena_reset(&r->arena);
    if (mf_decode_change(&r->arena, r->piece, (size_t)(r->piece_end - r->piece), lookup, r, &ret->change, &used, err) <
        0) {
        char what[200];
        snprintf(what, sizeof(what), "%.190s", err->text);
        return damaged(r, what, err);
    }
    r->piece += used;
    ret->change.stamp = r->head.stamp ? (int64_t)((uint64_t)r->head.stamp + r->nth++) : 0;
    ret->kind = MF_RECORD_CHANGE;
    ret->position = r->head.position;
    return 0;
}

int mf_spool_read(struct mf_spool_reader *r, int timeout_ms, struct mf_record *ret, struct mf_error *err)
{
    if (r->peeked) {
        r->peeked = false;
        *ret = r->peek;
        return 0;
    }
    if (r->piece < r->piece_end) {
        return take_change(r, ret, err);
    }
    for (;;) {
        size_t end = limit(r);
        if (r->pos >= end) {
            int rc = advance(r, timeout_ms, err);
            if (rc <= 0) {
                ret->kind = MF_RECORD_NONE;
                return rc;
            }
            continue;
        }
        const uint8_t *raw = r->mem ? r->mem->data : r->ld.raw, *p = raw + r->pos;
        struct mf_rec rec;
        if (!mf_rec_parse(&p, raw + end, &rec)) {
            return damaged(r, "a record there cannot be read", err);
        }
        size_t at = r->pos;
        r->pos = (size_t)(p - raw);
        int rc = take_record(r, &rec, at, ret, err);
        if (rc != 0) {
            return rc < 0 ? -1 : 0;
        }
        if (r->piece < r->piece_end) {
            return take_change(r, ret, err);
        }
    }
}

int mf_spool_peek(struct mf_spool_reader *r, int timeout_ms, struct mf_record *ret, struct mf_error *err)
{
    if (!r->peeked) {
        if (r->in_txn && !r->skipping) {
            return mf_fail(err, MF_FATAL, "MFSPOOL", "the spool was peeked at inside a transaction");
        }
        if (mf_spool_read(r, timeout_ms, &r->peek, err) < 0) {
            return -1;
        }
        r->peeked = r->peek.kind != MF_RECORD_NONE;
    }
    *ret = r->peek;
    return 0;
}

int64_t mf_spool_reader_stamp(const struct mf_spool_reader *r)
{
    return r->stamp;
}

uint64_t mf_spool_reader_seen(const struct mf_spool_reader *r)
{
    return r->seen;
}

/* ---- open and rewind ---- */

/* The latest segment from which everything after the position can be read. */
static int seek_segment(struct mf_spool_reader *r, const struct mf_position *after, struct mf_error *err)
{
    struct mf_spool *s = r->s;
    uint64_t off;
    {
        MF_LOCK_SCOPE(&s->lock);
        off = s->nsegs ? s->segs[0].start : s->write_off;
        if (s->nsegs && s->segs[0].base > after->order) {
            mf_fail(err, MF_FATAL, "MFSPOOL", "the spool begins after the position %s the target stands at",
                    after->token[0] ? after->token : "(none)");
            mf_hint(err,
                    "Files were removed from the spool, or the target was set back to an earlier state: the changes "
                    "between are gone, so start the migration anew");
            return -1;
        }
        for (size_t i = 1; i < s->nsegs; i++) {
            if (!s->segs[i].mid && s->segs[i].base <= after->order) {
                off = s->segs[i].start;
            }
        }
    }
    go_to(r, off);
    return 0;
}

int mf_spool_reader_open(struct mf_spool *s, const struct mf_position *after, struct mf_spool_reader **ret,
                         struct mf_error *err)
{
    struct mf_spool_reader *r = mf_xcalloc(1, sizeof(*r));
    r->s = s;
    r->after = after->order;
    mf_arena_init(&r->arena, CHANGE_ARENA_MAX);
    mf_arena_init(&r->rel_arena, RELATIONS_MAX);
    if (seek_segment(r, after, err) < 0) {
        mf_spool_reader_close(r);
        return -1;
    }
    *ret = r;
    return 0;
}

void mf_spool_reader_close(struct mf_spool_reader *r)
{
    if (!r) {
        return;
    }
    leave_block(r);
    mf_loaded_free(&r->ld);
    mf_arena_free(&r->arena);
    mf_arena_free(&r->rel_arena);
    free(r->rels);
    free(r);
}

int mf_spool_rewind(struct mf_spool_reader *r, const struct mf_position *after, struct mf_error *err)
{
    if (seek_segment(r, after, err) < 0) {
        return -1;
    }
    r->after = after->order;
    r->seen = 0;
    r->stamp = 0;
    const struct bookmark *best = NULL;
    for (unsigned i = 0; i < r->nmarks; i++) {
        const struct bookmark *m = &r->marks[i];
        if (m->before <= after->order && m->block >= r->next_off && (!best || m->block > best->block)) {
            best = m;
        }
    }
    if (best) {
        r->next_off = best->block;
        r->seen = best->before;
        r->stamp = best->stamp;
        if (advance(r, 0, err) < 0) { /* the block is visible: the bookmark was made there */
            return -1;
        }
        r->pos = best->pos;
    }
    return 0;
}
