/* Opening a spool that has bytes in it.
 *
 * Only the last segment may hold bytes that were never durable (B3), so only it is read through; of the others the
 * length and the first block are looked at, and the reader checks the rest as it goes. What follows the last whole
 * transaction is cut off, at a block boundary (B1); a large transaction without its end may reach back over segments.
 *
 * A block that does not check out is the torn tail unless a later, good block says that everything before some offset
 * beyond it was durable when it was written: then what is gone had been acknowledged, and that is an error. */
#include "spool/internal.h"

#include <stdlib.h>
#include <string.h>

struct scan {
    struct mf_spool *s;
    struct mf_loaded *l;
    uint64_t end; /* stop before this offset */
    bool keep;    /* take relations and positions over into s */
    bool mid;     /* of its SEGMENT record */
    uint64_t base;
    bool open;          /* inside a transaction at the end */
    uint64_t begin_off; /* the block of that transaction's BEGIN; MF_UNPLACED: an earlier segment's */
    bool begin_first;   /* that BEGIN is the first record of its block, as it must be when its END is in another */
    uint64_t bad;       /* first block that is not good; MF_UNPLACED: none */
    uint64_t last_block;
    bool first_in_block; /* of the record at hand */
    struct mf_txn_head head;
};

static int scan_record(struct scan *sc, const struct mf_rec *rec, uint64_t off, bool first)
{
    struct mf_spool *s = sc->s;
    if (first != (rec->type == MF_REC_SEGMENT)) {
        return -1;
    }
    switch (rec->type) {
    case MF_REC_SEGMENT:
        sc->mid = sc->open = rec->mid;
        sc->base = rec->pos.order;
        sc->begin_off = MF_UNPLACED;
        if (sc->keep) {
            s->written = rec->pos;
            s->stamp = rec->stamp;
        }
        return 0;
    case MF_REC_RELATION:
        return sc->keep ? mf_rels_set(s, rec->rel, rec->data, rec->len) : 0;
    case MF_REC_BEGIN:
        if (sc->open) {
            return -1;
        }
        sc->open = true;
        sc->begin_off = off;
        sc->begin_first = sc->first_in_block;
        sc->head = rec->head;
        return 0;
    case MF_REC_DATA:
        return sc->open ? 0 : -1;
    case MF_REC_END:
    case MF_REC_END_LARGE: {
        const struct mf_txn_head *h = rec->type == MF_REC_END ? &sc->head : &rec->head;
        if (!sc->open || (rec->type == MF_REC_END && sc->begin_off != off)) {
            return -1;
        }
        sc->open = false;
        if (sc->keep) {
            s->written = h->position;
            s->last_commit_time_us = h->commit_time_us;
            s->stamp = mf_txn_stamp_after(h);
        }
        return 0;
    }
    case MF_REC_PROGRESS:
        if (sc->open) {
            return -1;
        }
        if (sc->keep) {
            s->written = rec->pos;
        }
        return 0;
    }
    return -1;
}

static bool scan_block(struct scan *sc, uint64_t off, bool head_of_segment)
{
    struct mf_rec rec;
    bool first = head_of_segment;
    sc->first_in_block = true;
    for (const uint8_t *p = sc->l->raw, *end = p + sc->l->len; p < end; first = false) {
        if (!mf_rec_parse(&p, end, &rec) || scan_record(sc, &rec, off, first) < 0) {
            return false;
        }
        sc->first_in_block = false;
    }
    return !first && (!sc->open || sc->begin_off != off || sc->begin_first);
}

/* Walks the blocks of a segment. sc->bad is the first that is not good. */
static int scan_segment(struct scan *sc, uint64_t start, struct mf_error *err)
{
    sc->bad = MF_UNPLACED;
    sc->open = false;
    for (uint64_t off = start; off < sc->end; off = sc->l->next_off) {
        enum mf_load rc = mf_block_load(sc->s->st, off, sc->l, err);
        if (rc == MF_LOAD_ERROR) {
            return -1;
        }
        if (rc != MF_LOAD_OK || sc->l->next_off > sc->end || !scan_block(sc, off, off == start)) {
            sc->bad = off;
            return 0;
        }
        sc->last_block = off;
    }
    return 0;
}

/* Whether some good block after bad says that bad had been durable. */
static int was_durable(struct scan *sc, uint64_t bad, uint64_t end, bool *ret, struct mf_error *err)
{
    enum { WINDOW = 1 << 16 };
    MF_CLEANUP_FREE uint8_t *buf = malloc(WINDOW);
    if (!buf) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory to look into the spool");
    }
    *ret = false;
    for (uint64_t off = bad + 1; off + MF_BLOCK_HEADER <= end; off += WINDOW - MF_BLOCK_HEADER + 1) {
        size_t got;
        if (sc->s->st->ops->read(sc->s->st, off, buf, WINDOW, &got, err) < 0) {
            return -1;
        }
        for (size_t i = 0; i + MF_BLOCK_HEADER <= got; i++) {
            struct mf_block_head h;
            const uint8_t *m = memchr(buf + i, 'M', got - i);
            if (!m || (i = (size_t)(m - buf)) + MF_BLOCK_HEADER > got) {
                break;
            }
            if (!mf_block_head_unpack(m, off + i, &h) || h.durable <= bad) {
                continue;
            }
            enum mf_load rc = mf_block_load(sc->s->st, off + i, sc->l, err);
            if (rc == MF_LOAD_ERROR) {
                return -1;
            }
            if (rc == MF_LOAD_OK) {
                *ret = true;
                return 0;
            }
        }
    }
    return 0;
}

/* Base and mid of an older segment, from its first block. */
static int index_segment(struct scan *sc, const struct mf_segment *seg, struct mf_error *err)
{
    struct mf_rec rec;
    enum mf_load rc = mf_block_load(sc->s->st, seg->start, sc->l, err);
    if (rc == MF_LOAD_ERROR) {
        return -1;
    }
    const uint8_t *p = sc->l->raw;
    if (rc != MF_LOAD_OK || !mf_rec_parse(&p, p + sc->l->len, &rec) || rec.type != MF_REC_SEGMENT) {
        return mf_spool_damaged(sc->s->st, seg->start, "its first block does not check out", err);
    }
    mf_spool_index_add(sc->s, seg->start, rec.pos.order, rec.mid);
    return 0;
}

/* Finds where the last whole transaction ends: *ret_cut, in segment *ret_last (SIZE_MAX: nothing is whole). */
static int find_cut(struct scan *sc, const struct mf_segment *segs, size_t n, uint64_t *ret_cut, size_t *ret_last,
                    struct mf_error *err)
{
    for (size_t i = n; i-- > 0;) {
        sc->end = segs[i].start + segs[i].size;
        if (scan_segment(sc, segs[i].start, err) < 0) {
            return -1;
        }
        if (sc->bad != MF_UNPLACED) {
            bool durable = i + 1 < n;
            if (!durable && was_durable(sc, sc->bad, sc->end, &durable, err) < 0) {
                return -1;
            }
            if (durable) {
                return mf_spool_damaged(sc->s->st, sc->bad, "a block there does not match its checksum", err);
            }
        }
        bool empty = sc->bad == segs[i].start || segs[i].size == 0;
        if (!empty && !sc->open) {
            *ret_cut = sc->bad != MF_UNPLACED ? sc->bad : sc->end;
            *ret_last = i;
            return 0;
        }
        if (!empty && sc->begin_off != MF_UNPLACED) {
            *ret_cut = sc->begin_off;
            *ret_last = i;
            return 0;
        }
        *ret_cut = segs[i].start; /* nothing of this one can be kept */
    }
    *ret_last = SIZE_MAX;
    return 0;
}

static int contiguous(struct mf_spool *s, const struct mf_segment *segs, size_t n, struct mf_error *err)
{
    for (size_t i = 0; i + 1 < n; i++) {
        if (segs[i].start + segs[i].size != segs[i + 1].start) {
            return mf_spool_damaged(s->st, segs[i].start, "it is not as long as it was, or the one after it is missing",
                                    err);
        }
    }
    return 0;
}

static int recover(struct scan *sc, const struct mf_segment *segs, size_t n, struct mf_error *err)
{
    struct mf_spool *s = sc->s;
    uint64_t cut = 0;
    size_t last = SIZE_MAX;
    if (contiguous(s, segs, n, err) < 0 || find_cut(sc, segs, n, &cut, &last, err) < 0) {
        return -1;
    }
    /* An empty segment after the last one goes too: it was made, and its first block never came. Left there, it would be the one
     * that blocks are written to, and a segment without its head cannot be opened again. */
    bool beyond = cut < segs[n - 1].start + segs[n - 1].size || (last != SIZE_MAX && last + 1 < n);
    if (beyond && s->st->ops->truncate(s->st, cut, err) < 0) {
        return -1;
    }
    s->write_off = cut;
    if (last == SIZE_MAX) {
        return 0;
    }
    for (size_t i = 0; i < last; i++) {
        if (index_segment(sc, &segs[i], err) < 0) {
            return -1;
        }
    }
    sc->keep = true;
    sc->end = cut;
    if (scan_segment(sc, segs[last].start, err) < 0) {
        return -1;
    }
    if (sc->bad != MF_UNPLACED || sc->open) {
        return mf_spool_damaged(s->st, sc->bad != MF_UNPLACED ? sc->bad : cut, "its records contradict each other",
                                err);
    }
    mf_spool_index_add(s, segs[last].start, sc->base, sc->mid);
    s->vis_off = sc->last_block;
    s->segment_ready = true;
    return 0;
}

int mf_spool_recover(struct mf_spool *s, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_segment *segs = NULL;
    struct mf_loaded l = {0};
    size_t n = 0;
    if (s->st->ops->list(s->st, &segs, &n, err) < 0) {
        return -1;
    }
    if (n == 0) {
        return 0;
    }
    struct scan sc = {.s = s, .l = &l};
    int rc = recover(&sc, segs, n, err);
    mf_loaded_free(&l);
    /* What was found may still be in the page cache of a process that was killed. */
    if (rc == 0 && s->nsegs > 0) {
        rc = s->st->ops->sync(s->st, err);
    }
    s->synced = s->write_off;
    s->durable = s->written;
    return rc;
}
