/* A buffer is a run of frames, each holding whole changes. The first `spilled` of them are in the file, one after the
 * other, with a checksum kept here; the rest are in memory. An abort cuts the run at an offset; when that falls into a
 * frame in the file, what stays of the frame comes back to memory. */
#include "spool/txnbuf.h"

#include "base/mem.h"
#include "spool/spill.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define FRAME_MIN ((size_t)1 << 10)
#define FRAME_MAX ((size_t)64 << 10)

struct frame {
    char *mem; /* NULL: in the file */
    size_t len, cap;
    uint64_t at;  /* offset in the file, when it is there */
    uint64_t sum; /* XXH3 of its bytes, when it is in the file */
};

/* Where the first change of a subtransaction begins. In order of offset. */
struct mark {
    uint64_t subtxn, offset, changes;
};

struct mf_txnpool {
    char *dir;
    size_t max, used; /* used: sum of the frames' caps */
    uint64_t spilled;
    struct mf_txnbuf *first;
};

struct mf_txnbuf {
    struct mf_txnpool *pool;
    struct mf_txnbuf *next, *prev;
    struct frame *frames;
    size_t nframes, capframes, spilled;
    size_t memory; /* sum of its frames' caps */
    int fd;        /* -1: none yet */
    uint64_t file_len;
    uint64_t bytes, changes;
    struct mark *marks;
    uint32_t nmarks, capmarks;
    uint32_t *map; /* open addressing by subtxn: index of a mark + 1; stale entries are told by the mark not matching */
    uint32_t map_size, map_used;
};

struct mf_txnpool *mf_txnpool_new(const char *dir, size_t max_memory)
{
    struct mf_txnpool *p = mf_xcalloc(1, sizeof(*p));
    p->dir = dir ? mf_xstrdup(dir) : NULL;
    p->max = max_memory;
    return p;
}

void mf_txnpool_free(struct mf_txnpool *p)
{
    if (p) {
        free(p->dir);
        free(p);
    }
}

size_t mf_txnpool_memory(const struct mf_txnpool *p)
{
    return p->used;
}

uint64_t mf_txnpool_spilled(const struct mf_txnpool *p)
{
    return p->spilled;
}

struct mf_txnbuf *mf_txnbuf_new(struct mf_txnpool *p)
{
    struct mf_txnbuf *b = mf_xcalloc(1, sizeof(*b));
    b->pool = p;
    b->fd = -1;
    b->next = p->first;
    if (p->first) {
        p->first->prev = b;
    }
    p->first = b;
    return b;
}

static void account(struct mf_txnbuf *b, size_t before, size_t after)
{
    b->memory += after - before;
    b->pool->used += after - before;
}

/* Frames from the n-th on go. */
static void drop_frames(struct mf_txnbuf *b, size_t n)
{
    while (b->nframes > n) {
        struct frame *f = &b->frames[--b->nframes];
        if (f->mem) {
            account(b, f->cap, 0);
            free(f->mem);
        } else {
            b->file_len = f->at;
            b->pool->spilled -= f->len;
            b->spilled--;
        }
    }
}

void mf_txnbuf_reset(struct mf_txnbuf *b)
{
    drop_frames(b, 0);
    mf_spill_close(b->fd);
    b->fd = -1;
    b->file_len = 0;
    b->bytes = b->changes = 0;
    b->nmarks = 0;
    b->map_used = 0;
    if (b->map_size > 1024) { /* one giant must not make every small one after it slow */
        free(b->map);
        b->map = NULL;
        b->map_size = 0;
    } else if (b->map) {
        memset(b->map, 0, b->map_size * sizeof(*b->map));
    }
}

void mf_txnbuf_free(struct mf_txnbuf *b)
{
    if (!b) {
        return;
    }
    mf_txnbuf_reset(b);
    if (b->prev) {
        b->prev->next = b->next;
    } else {
        b->pool->first = b->next;
    }
    if (b->next) {
        b->next->prev = b->prev;
    }
    free(b->frames);
    free(b->marks);
    free(b->map);
    free(b);
}

/* ---- subtransactions ---- */

static uint32_t slot_of(const struct mf_txnbuf *b, uint64_t subtxn)
{
    uint32_t at = (uint32_t)XXH3_64bits(&subtxn, sizeof(subtxn)) & (b->map_size - 1);
    while (b->map[at]) {
        uint32_t i = b->map[at] - 1;
        if (i < b->capmarks && b->marks[i].subtxn == subtxn) {
            break;
        }
        at = (at + 1) & (b->map_size - 1);
    }
    return at;
}

static struct mark *find_mark(struct mf_txnbuf *b, uint64_t subtxn)
{
    if (b->nmarks && b->marks[b->nmarks - 1].subtxn == subtxn) {
        return &b->marks[b->nmarks - 1];
    }
    if (b->map_size == 0) {
        return NULL;
    }
    uint32_t i = b->map[slot_of(b, subtxn)];
    return i && i - 1 < b->nmarks ? &b->marks[i - 1] : NULL;
}

static void grow_map(struct mf_txnbuf *b)
{
    free(b->map);
    b->map_size = b->nmarks < 8 ? 32 : 4;
    while (b->map_size < b->nmarks * 4) {
        b->map_size *= 2;
    }
    b->map = mf_xcalloc(b->map_size, sizeof(*b->map));
    b->map_used = b->nmarks;
    for (uint32_t i = 0; i < b->nmarks; i++) {
        b->map[slot_of(b, b->marks[i].subtxn)] = i + 1;
    }
}

static void add_mark(struct mf_txnbuf *b, uint64_t subtxn)
{
    if (b->nmarks == b->capmarks) {
        uint32_t cap = b->capmarks ? b->capmarks * 2 : 2;
        b->marks = mf_xreallocarray(b->marks, cap, sizeof(*b->marks));
        memset(b->marks + b->capmarks, 0, (cap - b->capmarks) * sizeof(*b->marks));
        b->capmarks = cap;
    }
    b->marks[b->nmarks++] = (struct mark){.subtxn = subtxn, .offset = b->bytes, .changes = b->changes};
    /* Most transactions have one subtransaction: their own. They need no map. */
    if (b->nmarks == 1) {
        return;
    }
    if (!b->map || (b->map_used + 1) * 2 > b->map_size || b->nmarks == 2) {
        grow_map(b);
        return;
    }
    b->map[slot_of(b, subtxn)] = b->nmarks;
    b->map_used++;
}

/* ---- spilling ---- */

/* Writes all frames of b that are in memory to its file. */
static int spill(struct mf_txnbuf *b, struct mf_error *err)
{
    if (b->fd < 0 && (b->fd = mf_spill_open(b->pool->dir, err)) < 0) {
        return -1;
    }
    uint64_t at = b->file_len;
    for (size_t i = b->spilled; i < b->nframes; i++) {
        struct frame *f = &b->frames[i];
        if (mf_spill_write(b->fd, b->pool->dir, at, f->mem, f->len, err) < 0) {
            return -1; /* written again next time */
        }
        at += f->len;
    }
    for (size_t i = b->spilled; i < b->nframes; i++) {
        struct frame *f = &b->frames[i];
        f->sum = XXH3_64bits(f->mem, f->len);
        f->at = b->file_len;
        b->file_len += f->len;
        b->pool->spilled += f->len;
        account(b, f->cap, 0);
        free(f->mem);
        f->mem = NULL;
    }
    b->spilled = b->nframes;
    return 0;
}

/* Makes room for `more` bytes in memory. */
static int keep_bound(struct mf_txnpool *p, size_t more, struct mf_error *err)
{
    while (p->first && p->used > 0 && p->used + more > p->max) {
        if (!p->dir) {
            return mf_fail(err, MF_FATAL, "MFMEM", "open transactions take more than %zu bytes", p->max);
        }
        struct mf_txnbuf *largest = p->first;
        for (struct mf_txnbuf *b = p->first; b; b = b->next) {
            largest = b->memory > largest->memory ? b : largest;
        }
        if (spill(largest, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int load_frame(struct mf_txnbuf *b, const struct frame *f, char *out, struct mf_error *err)
{
    if (mf_spill_read(b->fd, f->at, out, f->len, err) < 0) {
        return -1;
    }
    if (XXH3_64bits(out, f->len) != f->sum) {
        mf_fail(err, MF_RETRY, "MFSPILL", "a spilled transaction does not match its checksum");
        mf_hint(err,
                "The disk under %s gave back other bytes than were written; nothing is lost, the source sends it "
                "again",
                b->pool->dir);
        return -1;
    }
    return 0;
}

/* ---- adding ---- */

static struct frame *last_in_memory(struct mf_txnbuf *b)
{
    return b->nframes > b->spilled ? &b->frames[b->nframes - 1] : NULL;
}

/* A frame with room for len bytes. */
static struct frame *room(struct mf_txnbuf *b, size_t len, struct mf_error *err)
{
    struct frame *f = last_in_memory(b);
    if (f && f->cap - f->len >= len) {
        return f;
    }
    bool grow = f && f->len + len <= FRAME_MAX;
    size_t cap = grow ? f->cap * 2 : FRAME_MIN;
    while (cap < len + (grow ? f->len : 0)) {
        cap *= 2;
    }
    if (!grow && (f || b->spilled)) {
        cap = FRAME_MAX; /* it is a large one */
    }
    if (len > FRAME_MAX) {
        cap = len; /* one change that is larger than a frame has a frame of its own */
    }
    if (keep_bound(b->pool, cap - (grow ? f->cap : 0), err) < 0) {
        return NULL;
    }
    if (grow && last_in_memory(b) == f && f->mem) {
        account(b, f->cap, cap);
        f->mem = mf_xrealloc(f->mem, cap);
        f->cap = cap;
        return f;
    }
    if (b->nframes == b->capframes) {
        b->capframes = b->capframes ? b->capframes * 2 : 4;
        b->frames = mf_xreallocarray(b->frames, b->capframes, sizeof(*b->frames));
    }
    f = &b->frames[b->nframes];
    *f = (struct frame){.cap = cap, .mem = malloc(cap)};
    if (!f->mem) {
        mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a change of %zu bytes", len);
        return NULL;
    }
    b->nframes++;
    account(b, 0, cap);
    return f;
}

int mf_txnbuf_add(struct mf_txnbuf *b, uint64_t subtxn, const void *data, size_t len, struct mf_error *err)
{
    struct frame *f = room(b, len, err);
    if (!f) {
        return -1;
    }
    if (!find_mark(b, subtxn)) {
        add_mark(b, subtxn);
    }
    memcpy(f->mem + f->len, data, len);
    f->len += len;
    b->bytes += len;
    b->changes++;
    return 0;
}

/* Brings the first `keep` bytes of spilled frame i back to memory; the frames after it go. */
static int unspill(struct mf_txnbuf *b, size_t i, size_t keep, struct mf_error *err)
{
    size_t cap = b->frames[i].len > FRAME_MAX ? b->frames[i].len : FRAME_MAX;
    if (keep_bound(b->pool, cap, err) < 0) {
        return -1;
    }
    char *mem = malloc(cap);
    if (!mem) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for %zu bytes of a spilled transaction", cap);
    }
    if (load_frame(b, &b->frames[i], mem, err) < 0) {
        free(mem);
        return -1;
    }
    drop_frames(b, i);
    b->frames[b->nframes++] = (struct frame){.mem = mem, .len = keep, .cap = cap};
    account(b, 0, cap);
    return 0;
}

static int cut_at(struct mf_txnbuf *b, uint64_t offset, struct mf_error *err)
{
    uint64_t start = b->bytes;
    size_t i = b->nframes;
    while (start > offset) {
        start -= b->frames[--i].len;
    }
    /* Frame i is the first that loses something, and keeps `keep` bytes. */
    size_t keep = (size_t)(offset - start);
    if (keep && i < b->spilled) {
        return unspill(b, i, keep, err);
    }
    if (keep) {
        b->frames[i].len = keep;
        i++;
    }
    drop_frames(b, i);
    return 0;
}

int mf_txnbuf_abort(struct mf_txnbuf *b, uint64_t subtxn, struct mf_error *err)
{
    const struct mark *m = find_mark(b, subtxn);
    if (!m) {
        return 0;
    }
    if (cut_at(b, m->offset, err) < 0) {
        return -1;
    }
    b->bytes = m->offset;
    b->changes = m->changes;
    b->nmarks = (uint32_t)(m - b->marks);
    return 0;
}

int mf_txnbuf_stream(struct mf_txnbuf *b, mf_txnbuf_sink *emit, void *ctx, struct mf_error *err)
{
    char *buf = NULL;
    size_t cap = 0;
    int rc = 0;
    for (size_t i = 0; i < b->nframes && rc == 0; i++) {
        const struct frame *f = &b->frames[i];
        if (!f->mem && f->len > cap) {
            free(buf);
            cap = f->len;
            buf = malloc(cap);
            if (!buf) {
                return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for %zu bytes of a spilled transaction", cap);
            }
        }
        if (!f->mem) {
            rc = load_frame(b, f, buf, err);
        }
        if (rc == 0 && f->len) {
            rc = emit(ctx, f->mem ? f->mem : buf, f->len, err);
        }
    }
    free(buf);
    return rc;
}

uint64_t mf_txnbuf_changes(const struct mf_txnbuf *b)
{
    return b->changes;
}

uint64_t mf_txnbuf_bytes(const struct mf_txnbuf *b)
{
    return b->bytes;
}
