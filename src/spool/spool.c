/* The spool's face to its writer, and what both sides may ask of it. */
#include "spool/internal.h"

#include "base/fault.h"
#include "base/mem.h"
#include "change/codec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* A relation's record: MF_MAX_COLUMNS columns with names and types. */
#define RELATION_MAX ((size_t)16 << 20)

int mf_spool_open(struct mf_spool_storage *st, uint64_t budget_bytes, struct mf_spool **ret, struct mf_error *err)
{
    struct mf_spool *s = mf_xcalloc(1, sizeof(*s));
    s->st = st;
    s->budget = budget_bytes;
    s->segment_limit = st->segment_bytes;
    s->vis_off = MF_UNPLACED;
    /* Segments are what is given back: a budget of few of them would stop and go. */
    if (budget_bytes) {
        size_t most = budget_bytes / 8 > st->segment_min ? (size_t)(budget_bytes / 8) : st->segment_min;
        s->segment_limit = most < s->segment_limit ? most : s->segment_limit;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, &attr);
    pthread_condattr_destroy(&attr);
    if (mf_spool_recover(s, err) < 0) {
        mf_spool_close(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void mf_spool_close(struct mf_spool *s)
{
    if (!s) {
        return;
    }
    mf_rels_free(s);
    ZSTD_freeCCtx(s->zctx);
    free(s->zbuf);
    free(s->cur);
    free(s->idle);
    free(s->segs);
    pthread_cond_destroy(&s->more);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int check_usable(struct mf_spool *s, struct mf_error *err)
{
    return s->broken ? mf_fail(err, MF_FATAL, "MFDISK", "the spool took no more after a failed sync") : 0;
}

/* All of cur is whole now: shows it to the reader. */
static void publish(struct mf_spool *s)
{
    atomic_store_explicit(&s->cur->visible, s->cur->len, memory_order_release);
    s->vis_off = s->cur->off;
    if (s->waiting) {
        s->waiting = false;
        pthread_cond_broadcast(&s->more);
    }
}

/* Appends a record for a relation, in or outside of a transaction. */
static int put_relation(struct mf_spool *s, uint32_t rel, const void *bytes, size_t len, struct mf_error *err)
{
    size_t need = MF_REC_MAX + len;
    if (need > s->st->block_bytes) {
        return mf_spool_direct_relation(s, rel, bytes, len, err);
    }
    if (mf_spool_room(s, need, err) < 0) {
        return -1;
    }
    uint8_t *p = s->cur->data + s->cur->len;
    p = mf_rec_relation(p, rel, len);
    memcpy(p, bytes, len);
    s->cur->len = (size_t)(p + len - s->cur->data);
    if (!s->open) {
        pthread_mutex_lock(&s->lock);
        publish(s);
        pthread_mutex_unlock(&s->lock);
    }
    return 0;
}

/* Relations whose records went away with a transaction that was taken back. */
static int restore_relations(struct mf_spool *s, struct mf_error *err)
{
    for (uint32_t i = 0; s->rels_lost && i < s->nrels; i++) {
        struct mf_rel *r = &s->rels[i];
        if (r->lost && put_relation(s, i + 1, r->bytes, r->len, err) < 0) {
            return -1;
        }
        r->lost = false;
    }
    s->rels_lost = false;
    return 0;
}

int mf_spool_relation(struct mf_spool *s, const struct mf_table *t, uint32_t *ret_rel, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, RELATION_MAX);
    if (mf_encode_table(&b, t, err) < 0) {
        return -1;
    }
    uint32_t rel = mf_rels_find(s, b.data, b.len);
    if (!rel) {
        if (check_usable(s, err) < 0 || (!s->open && restore_relations(s, err) < 0) ||
            put_relation(s, s->nrels + 1, b.data, b.len, err) < 0) {
            return -1;
        }
        rel = s->nrels + 1;
        mf_rels_set(s, rel, b.data, b.len);
        s->rels[rel - 1].in_txn = s->open;
    }
    *ret_rel = rel;
    return 0;
}

int mf_spool_begin(struct mf_spool *s, const struct mf_txn_head *head, struct mf_error *err)
{
    if (check_usable(s, err) < 0 || mf_spool_drop_open(s, err) < 0) {
        return -1;
    }
    if (head->position.order <= s->written.order) {
        return mf_fail(err, MF_FATAL, "MFSPOOL",
                       "the source sent a transaction ending at %s after the spool had taken all up to %s",
                       head->position.token, s->written.token);
    }
    if (head->stamp && head->stamp <= s->stamp) {
        return mf_fail(err, MF_FATAL, "MFSPOOL",
                       "the transaction ending at %s has a stamp that is not after the last one's",
                       head->position.token);
    }
    if (restore_relations(s, err) < 0 || mf_spool_room(s, MF_REC_MAX, err) < 0) {
        return -1;
    }
    s->head = *head;
    s->open = true;
    s->begin_in_cur = true;
    s->begin_pos = s->cur->len;
    uint8_t *p = s->cur->data + s->cur->len;
    s->cur->len += (size_t)(mf_rec_begin(p, head) - p);
    return 0;
}

int mf_spool_write(struct mf_spool *s, const void *data, size_t len, struct mf_error *err)
{
    if (check_usable(s, err) < 0) {
        return -1;
    }
    if (!s->open) {
        return mf_fail(err, MF_FATAL, "MFSPOOL", "changes were written to the spool outside a transaction");
    }
    if (len == 0) {
        return 0;
    }
    if (len > s->st->block_bytes - MF_REC_MAX) {
        return mf_spool_direct(s, data, len, err);
    }
    if (mf_spool_room(s, MF_REC_MAX + len, err) < 0) {
        return -1;
    }
    uint8_t *p = mf_rec_data(s->cur->data + s->cur->len, len);
    memcpy(p, data, len);
    s->cur->len = (size_t)(p + len - s->cur->data);
    return 0;
}

int mf_spool_end(struct mf_spool *s, struct mf_error *err)
{
    if (!s->open) {
        return mf_fail(err, MF_FATAL, "MFSPOOL", "a transaction that was not begun was ended in the spool");
    }
    if (check_usable(s, err) < 0 || mf_spool_room(s, MF_REC_MAX, err) < 0) {
        return -1;
    }
    uint8_t *p = s->cur->data + s->cur->len;
    s->cur->len += (size_t)((s->begin_in_cur ? mf_rec_end(p) : mf_rec_end_large(p, &s->head)) - p);
    s->open = false;
    for (uint32_t i = s->nrels; i > 0 && s->rels[i - 1].in_txn; i--) {
        s->rels[i - 1].in_txn = false;
    }
    MF_LOCK_SCOPE(&s->lock);
    s->written = s->head.position;
    s->last_commit_time_us = s->head.commit_time_us;
    s->stamp = mf_txn_stamp_after(&s->head);
    s->transactions++;
    publish(s);
    return 0;
}

int mf_spool_progress(struct mf_spool *s, const struct mf_position *position, struct mf_error *err)
{
    if (check_usable(s, err) < 0 || mf_spool_drop_open(s, err) < 0) {
        return -1;
    }
    if (position->order <= s->written.order) {
        return 0;
    }
    if (restore_relations(s, err) < 0 || mf_spool_room(s, MF_REC_MAX, err) < 0) {
        return -1;
    }
    uint8_t *p = s->cur->data + s->cur->len;
    s->cur->len += (size_t)(mf_rec_progress(p, position) - p);
    MF_LOCK_SCOPE(&s->lock);
    s->written = *position;
    publish(s);
    return 0;
}

int mf_spool_sync(struct mf_spool *s, struct mf_position *ret, struct mf_error *err)
{
    if (check_usable(s, err) < 0 || mf_spool_flush(s, err) < 0) {
        return -1;
    }
    if (s->synced != s->write_off) {
        if (MF_FAULT(err, "spool.sync")) {
            return -1;
        }
        if (s->st->ops->sync(s->st, err) < 0) {
            /* What the system dropped after a failed sync is not told by the next one: no second try on this file. */
            s->broken = err->cls == MF_FATAL;
            return -1;
        }
        s->synced = s->write_off;
    }
    MF_LOCK_SCOPE(&s->lock);
    s->durable = s->written;
    *ret = s->durable;
    return 0;
}

void mf_spool_tail(struct mf_spool *s, struct mf_position *ret)
{
    MF_LOCK_SCOPE(&s->lock);
    *ret = s->written;
}

int64_t mf_spool_stamp(struct mf_spool *s)
{
    MF_LOCK_SCOPE(&s->lock);
    return s->stamp;
}

static uint64_t on_disk(const struct mf_spool *s)
{
    return s->nsegs ? s->write_off - s->segs[0].start : 0;
}

bool mf_spool_has_room(struct mf_spool *s)
{
    MF_LOCK_SCOPE(&s->lock);
    /* When nothing could be released, waiting for a release would be for ever. */
    return !s->budget || on_disk(s) < s->budget || s->nsegs <= 1 || s->released >= s->written.order || s->wanted;
}

void mf_spool_want(struct mf_spool *s, bool more)
{
    MF_LOCK_SCOPE(&s->lock);
    s->wanted = more;
}

/* The number of segments no reader at position needs any more; their starts are copied. */
static size_t releasable(struct mf_spool *s, const struct mf_position *position, uint64_t **ret_starts)
{
    MF_LOCK_SCOPE(&s->lock);
    if (position->order > s->released) {
        s->released = position->order;
    }
    size_t keep = 0; /* the last segment a reader could start in */
    for (size_t i = 1; i < s->nsegs; i++) {
        /* One with nothing durable in it may be gone after a crash: it cannot be the only one that is left. */
        if (!s->segs[i].mid && s->segs[i].base <= position->order && s->segs[i].base < s->durable.order) {
            keep = i;
        }
    }
    if (keep) {
        *ret_starts = mf_xcalloc(keep, sizeof(**ret_starts));
        for (size_t i = 0; i < keep; i++) {
            (*ret_starts)[i] = s->segs[i].start;
        }
    }
    return keep;
}

int mf_spool_release(struct mf_spool *s, const struct mf_position *position, struct mf_error *err)
{
    MF_CLEANUP_FREE uint64_t *starts = NULL;
    size_t n = releasable(s, position, &starts);
    for (size_t i = 0; i < n; i++) {
        /* Without the lock: removing a large file takes its time. The writer only adds or drops at the other end. */
        if (s->st->ops->remove(s->st, starts[i], err) < 0) {
            return -1;
        }
        MF_LOCK_SCOPE(&s->lock);
        s->nsegs--;
        memmove(s->segs, s->segs + 1, s->nsegs * sizeof(*s->segs));
    }
    return 0;
}

void mf_spool_stats(struct mf_spool *s, struct mf_spool_stats *ret)
{
    MF_LOCK_SCOPE(&s->lock);
    *ret = (struct mf_spool_stats){
        .bytes_on_disk = on_disk(s),
        .budget_bytes = s->budget,
        .transactions_written = s->transactions,
        .written = s->written,
        .durable = s->durable,
        .last_commit_time_us = s->last_commit_time_us,
    };
}

int mf_spool_clear(struct mf_spool_storage *st, struct mf_error *err)
{
    return st->ops->truncate(st, 0, err);
}

void mf_spool_storage_free(struct mf_spool_storage *st)
{
    if (st) {
        st->ops->free(st);
    }
}
