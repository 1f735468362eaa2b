/* Blocks and segments as the writer makes them. Every function either does its step wholly or leaves the spool as it
 * was, so that a full disk costs nothing: the caller tries again. */
#include "spool/internal.h"

#include "base/fault.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* zstd's fast levels: see docs/internals/spool.md for what was measured. */
#define ZSTD_LEVEL (-3)
/* Not worth the call below this. */
#define COMPRESS_MIN 256

static struct mf_block *block_new(struct mf_spool *s)
{
    struct mf_block *b = NULL;
    pthread_mutex_lock(&s->lock);
    b = s->idle;
    s->idle = NULL;
    pthread_mutex_unlock(&s->lock);
    if (!b) {
        b = mf_xmalloc(sizeof(*b) + s->st->block_bytes);
        b->cap = s->st->block_bytes;
    }
    b->off = MF_UNPLACED;
    b->len = 0;
    b->refs = 1;
    atomic_store_explicit(&b->visible, 0, memory_order_relaxed);
    atomic_store_explicit(&b->sealed, false, memory_order_relaxed);
    return b;
}

void mf_block_unref(struct mf_spool *s, struct mf_block *b)
{
    if (!b || --b->refs > 0) {
        return;
    }
    if (s->idle) {
        free(b);
    } else {
        s->idle = b;
    }
}

void mf_spool_index_add(struct mf_spool *s, uint64_t start, uint64_t base, bool mid)
{
    if (s->nsegs == s->capsegs) {
        s->capsegs = s->capsegs ? s->capsegs * 2 : 4;
        s->segs = mf_xreallocarray(s->segs, s->capsegs, sizeof(*s->segs));
    }
    s->segs[s->nsegs++] = (struct mf_segment_index){.start = start, .base = base, .mid = mid};
}

/* Compresses into zbuf; 0 when it does not pay. */
static size_t compress(struct mf_spool *s, const void *raw, size_t len)
{
    if (!s->st->compress || len < COMPRESS_MIN || len > s->st->block_bytes) {
        return 0;
    }
    if (!s->zctx) {
        s->zctx = ZSTD_createCCtx();
        s->zbuf = mf_xmalloc(ZSTD_compressBound(s->st->block_bytes));
    }
    if (!s->zctx) {
        return 0;
    }
    size_t z = ZSTD_compressCCtx(s->zctx, s->zbuf, ZSTD_compressBound(s->st->block_bytes), raw, len, ZSTD_LEVEL);
    return ZSTD_isError(z) || z > len - len / 16 ? 0 : z;
}

/* Writes one block at write_off and returns the offset after it. write_off itself is moved by the caller, together
 * with what else changes. iov[0] is left free for the header. */
static int put_block(struct mf_spool *s, struct iovec *iov, int n, uint64_t *ret_next, struct mf_error *err)
{
    uint8_t head[MF_BLOCK_HEADER];
    size_t raw = 0;
    for (int i = 1; i < n; i++) {
        raw += iov[i].iov_len;
    }
    struct mf_block_head h = {.offset = s->write_off, .durable = s->synced, .raw = (uint32_t)raw};
    size_t z = n == 2 ? compress(s, iov[1].iov_base, raw) : 0;
    if (z) {
        h.flags = MF_BLOCK_ZSTD;
        iov[1] = (struct iovec){.iov_base = s->zbuf, .iov_len = z};
    }
    h.stored = (uint32_t)(z ? z : raw);
    mf_block_head_pack(head, &h, iov + 1, n - 1);
    iov[0] = (struct iovec){.iov_base = head, .iov_len = sizeof(head)};
    if (s->st->ops->append(s->st, s->write_off, iov, n, err) < 0) {
        return -1;
    }
    *ret_next = s->write_off + MF_BLOCK_HEADER + h.stored;
    return 0;
}

/* The first block of a segment: where it stands in history, and all relations. */
static int put_segment_head(struct mf_spool *s, bool mid, uint64_t *ret_next, struct mf_error *err)
{
    size_t cap = MF_REC_MAX;
    for (uint32_t i = 0; i < s->nrels; i++) {
        cap += MF_REC_MAX + s->rels[i].len;
    }
    MF_CLEANUP_FREE uint8_t *raw = mf_xmalloc(cap);
    uint8_t *p = mf_rec_segment(raw, mid, &s->written, s->stamp);
    for (uint32_t i = 0; i < s->nrels; i++) {
        p = mf_rec_relation(p, i + 1, s->rels[i].len);
        memcpy(p, s->rels[i].bytes, s->rels[i].len);
        p += s->rels[i].len;
    }
    struct iovec iov[2] = {{0}, {.iov_base = raw, .iov_len = (size_t)(p - raw)}};
    return put_block(s, iov, 2, ret_next, err);
}

static uint64_t on_disk(const struct mf_spool *s)
{
    return s->nsegs ? s->write_off - s->segs[0].start : 0;
}

static bool segment_full(struct mf_spool *s)
{
    MF_LOCK_SCOPE(&s->lock);
    if (s->nsegs == 0) {
        return true;
    }
    uint64_t used = s->write_off - s->segs[s->nsegs - 1].start;
    /* With the budget used up and all of it read, only a new segment lets the old ones go. */
    bool stuck = s->budget && on_disk(s) >= s->budget && s->nsegs > 1 && s->released >= s->written.order &&
                 used > s->segment_limit / 8;
    return used >= s->segment_limit || stuck;
}

/* Begins a segment when it is time for one. mid: an open transaction has blocks before this point. */
static int roll_if_full(struct mf_spool *s, bool mid, struct mf_error *err)
{
    if (s->segment_ready && !segment_full(s)) {
        return 0;
    }
    uint64_t next;
    if (MF_FAULT(err, "spool.roll") || s->st->ops->create(s->st, s->write_off, err) < 0) {
        return -1;
    }
    /* The one before is durable now, and the new one is not ready before its first block is in. */
    s->synced = s->write_off;
    s->segment_ready = false;
    if (put_segment_head(s, mid, &next, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&s->lock);
    mf_spool_index_add(s, s->write_off, s->written.order, mid);
    s->write_off = next;
    pthread_mutex_unlock(&s->lock);
    s->segment_ready = true;
    for (uint32_t i = 0; i < s->nrels; i++) {
        s->rels[i].lost = mid && s->rels[i].lost;
    }
    return 0;
}

/* The open transaction has blocks in storage. */
static bool mid_transaction(const struct mf_spool *s)
{
    return s->open && !s->begin_in_cur;
}

static int place(struct mf_spool *s, struct mf_error *err)
{
    if (!s->cur) {
        struct mf_block *b = block_new(s);
        pthread_mutex_lock(&s->lock);
        s->cur = b;
        pthread_mutex_unlock(&s->lock);
    }
    if (s->cur->off != MF_UNPLACED) {
        return 0;
    }
    if (roll_if_full(s, mid_transaction(s), err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&s->lock);
    s->cur->off = s->write_off;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

/* Writes the first len bytes of cur to storage and puts next (may be NULL) in its place. */
static int seal(struct mf_spool *s, size_t len, struct mf_block *next, struct mf_error *err)
{
    struct mf_block *b = s->cur;
    struct iovec iov[2] = {{0}, {.iov_base = b->data, .iov_len = len}};
    uint64_t next_off;
    if (put_block(s, iov, 2, &next_off, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&s->lock);
    b->next_off = next_off;
    atomic_store_explicit(&b->sealed, true, memory_order_release);
    s->write_off = next_off;
    s->cur = next;
    mf_block_unref(s, b);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

/* Moves the open transaction's bytes into a fresh block (B1) and seals what is before them. */
static int split(struct mf_spool *s, struct mf_error *err)
{
    struct mf_block *b = block_new(s);
    b->len = s->cur->len - s->begin_pos;
    memcpy(b->data, s->cur->data + s->begin_pos, b->len);
    if (seal(s, s->begin_pos, b, err) < 0) {
        pthread_mutex_lock(&s->lock);
        mf_block_unref(s, b);
        pthread_mutex_unlock(&s->lock);
        return -1;
    }
    s->begin_pos = 0;
    return 0;
}

/* Puts all of cur into storage, split where B1 wants it. */
static int seal_all(struct mf_spool *s, struct mf_error *err)
{
    if (s->open && s->begin_in_cur && s->begin_pos > 0 && split(s, err) < 0) {
        return -1;
    }
    if (!s->cur || s->cur->len == 0) {
        return 0;
    }
    if (place(s, err) < 0) {
        return -1;
    }
    uint64_t off = s->cur->off;
    if (seal(s, s->cur->len, NULL, err) < 0) {
        return -1;
    }
    if (s->open && s->begin_in_cur) {
        s->begin_in_cur = false;
        s->begin_off = off;
    }
    return 0;
}

int mf_spool_room(struct mf_spool *s, size_t n, struct mf_error *err)
{
    if (s->cur && s->cur->len + n > s->cur->cap) {
        if (s->open && s->begin_in_cur && s->begin_pos > 0 && split(s, err) < 0) {
            return -1;
        }
        if (s->cur->len + n > s->cur->cap && seal_all(s, err) < 0) {
            return -1;
        }
    }
    return place(s, err);
}

static int direct(struct mf_spool *s, const uint8_t *rec, size_t nrec, const void *data, size_t len,
                  struct mf_error *err)
{
    if (len > UINT32_MAX - MF_REC_MAX) {
        return mf_fail(err, MF_FATAL, "MFSPOOL", "a change of %zu bytes is too large for the spool", len);
    }
    if (seal_all(s, err) < 0 || roll_if_full(s, mid_transaction(s), err) < 0) {
        return -1;
    }
    struct iovec iov[3] = {{0},
                           {.iov_base = (void *)(uintptr_t)rec, .iov_len = nrec},
                           {.iov_base = (void *)(uintptr_t)data, .iov_len = len}};
    uint64_t next;
    if (put_block(s, iov, 3, &next, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&s->lock);
    s->write_off = next;
    if (s->cur) {
        s->cur->off = MF_UNPLACED; /* empty, after seal_all */
    }
    pthread_mutex_unlock(&s->lock);
    return 0;
}

int mf_spool_direct(struct mf_spool *s, const void *data, size_t len, struct mf_error *err)
{
    uint8_t rec[MF_REC_MAX];
    uint8_t *end = mf_rec_data(rec, len);
    return direct(s, rec, (size_t)(end - rec), data, len, err);
}

int mf_spool_direct_relation(struct mf_spool *s, uint32_t rel, const void *data, size_t len, struct mf_error *err)
{
    uint8_t rec[MF_REC_MAX];
    uint8_t *end = mf_rec_relation(rec, rel, len);
    return direct(s, rec, (size_t)(end - rec), data, len, err);
}

int mf_spool_flush(struct mf_spool *s, struct mf_error *err)
{
    if (!s->cur || atomic_load_explicit(&s->cur->visible, memory_order_relaxed) == 0) {
        return 0;
    }
    if (!s->open) {
        return seal(s, s->cur->len, NULL, err);
    }
    return s->begin_in_cur && s->begin_pos > 0 ? split(s, err) : 0;
}

int mf_spool_drop_open(struct mf_spool *s, struct mf_error *err)
{
    if (!s->open) {
        return 0;
    }
    if (s->begin_in_cur) {
        s->cur->len = s->begin_pos;
    } else {
        if (s->st->ops->truncate(s->st, s->begin_off, err) < 0) {
            return -1;
        }
        pthread_mutex_lock(&s->lock);
        s->write_off = s->begin_off;
        while (s->nsegs > 0 && s->segs[s->nsegs - 1].start >= s->begin_off) {
            s->nsegs--;
        }
        if (s->cur) {
            s->cur->len = 0;
            s->cur->off = MF_UNPLACED;
        }
        s->segment_ready = s->nsegs > 0;
        pthread_mutex_unlock(&s->lock);
        if (s->synced > s->begin_off) {
            s->synced = s->begin_off;
        }
    }
    for (uint32_t i = 0; i < s->nrels; i++) {
        s->rels[i].lost |= s->rels[i].in_txn;
        s->rels_lost |= s->rels[i].in_txn;
        s->rels[i].in_txn = false;
    }
    s->open = false;
    return 0;
}
