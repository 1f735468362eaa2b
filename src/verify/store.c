/* The join store: adding rows, and the file for what does not fit in memory. store.h says what it is for. */
#include "verify/store_internal.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/mem.h"
#include "spool/spill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define STAGE_BYTES  ((size_t)64 << 10)
#define FIRST_BLOCK  240u
#define LARGEST      8176u
#define RECENT       4096u /* slots; a power of two */
#define SMALLEST_JOB ((uint64_t)4 << 10)

uint64_t vf_store_hash(const struct mf_digest *d, const void *key, size_t len)
{
    return len ? XXH3_64bits(key, len) : XXH3_64bits_withSeed(&d->lane1, sizeof d->lane1, d->lane2);
}

struct vf_store *vf_store_new(const struct vf_store_options *o)
{
    struct vf_store *s = mf_xcalloc(1, sizeof *s);
    s->o = *o;
    s->o.dir = o->dir ? mf_xstrdup(o->dir) : NULL;
    s->o.jobs = o->jobs > 0 ? o->jobs : 1;
    s->fd = -1;
    pthread_mutex_init(&s->mu, NULL);
    return s;
}

static void free_blocks(struct vf_store *s, struct st_part *p)
{
    while (p->blocks) {
        struct st_block *next = p->blocks->next;
        s->used -= sizeof *next + p->blocks->cap;
        free(p->blocks);
        p->blocks = next;
    }
}

void vf_store_free(struct vf_store *s)
{
    if (!s) {
        return;
    }
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < VF_PARTS; i++) {
            free_blocks(s, &s->parts[side][i]);
            free(s->parts[side][i].extents);
        }
    }
    mf_spill_close(s->fd);
    free(s->voided);
    free(s->scratch);
    free((char *)s->o.dir);
    pthread_mutex_destroy(&s->mu);
    free(s);
}

void vf_store_stats(struct vf_store *s, struct vf_store_stats *ret)
{
    pthread_mutex_lock(&s->mu);
    *ret = (struct vf_store_stats){.rows = {s->rows[0], s->rows[1]}, .memory = s->used, .disk = s->file_len};
    pthread_mutex_unlock(&s->mu);
}

int vf_store_file(const struct vf_store *s)
{
    return s->fd;
}

/* ---- the file ---- */

static int no_disk(const struct vf_store *s, int errnum, const char *doing, struct mf_error *err)
{
    char text[128];
    mf_fail(err, MF_ABANDONED, "MFDISK", "%s %s: %s", doing, s->o.dir, strerror_r(errnum, text, sizeof text));
    mf_hint(err, errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG
                     ? "Make room there, compare fewer tables at once (--table), or a sample (--sample)"
                     : "Look at the disk and at the rights of the user that runs midflight");
    return -1;
}

static int over_the_bound(const struct vf_store *s, struct mf_error *err)
{
    mf_fail(err, MF_ABANDONED, "MFDISK",
            "the rows to compare take more than the %llu MB of disk they may (verify.disk)",
            (unsigned long long)(s->o.disk >> 20));
    mf_hint(err, "Raise verify.disk, or compare a sample (--sample)");
    return -1;
}

/* The blocks of a partition, one after the other. */
static size_t gather(struct vf_store *s, const struct st_part *p)
{
    size_t n = 0;
    for (const struct st_block *b = p->blocks; b; b = b->next) {
        n += b->len;
    }
    if (n > s->scratch_cap) {
        s->scratch = mf_xrealloc(s->scratch, n);
        s->scratch_cap = n;
    }
    size_t at = 0;
    for (const struct st_block *b = p->blocks; b; b = b->next) {
        memcpy(s->scratch + at, b->data, b->len);
        at += b->len;
    }
    return n;
}

static int spill_part(struct vf_store *s, struct st_part *p, struct mf_error *err)
{
    size_t n = p->blocks ? gather(s, p) : 0;
    if (n == 0) {
        return 0;
    }
    if (s->file_len + n > s->o.disk) {
        return over_the_bound(s, err);
    }
    if (MF_FAULT(err, "verify.spill")) {
        return -1;
    }
    int rc = mf_spill_put(s->fd, s->file_len, s->scratch, n);
    if (rc) {
        return no_disk(s, rc, "cannot write rows to compare to a temporary file in", err);
    }
    if ((p->nextents & (p->nextents - 1)) == 0) {
        p->extents = mf_xreallocarray(p->extents, p->nextents ? p->nextents * 2u : 1u, sizeof *p->extents);
    }
    p->extents[p->nextents++] =
        (struct st_extent){.at = s->file_len, .len = (uint32_t)n, .sum = XXH3_64bits(s->scratch, n)};
    s->file_len += n;
    free_blocks(s, p);
    return 0;
}

/* All of it, at once: partitions fill evenly, and so each write is as long as can be. */
static int spill(struct vf_store *s, struct mf_error *err)
{
    if (!s->o.dir) {
        return mf_fail(err, MF_FATAL, "MFMEM", "the rows to compare take more than %llu bytes",
                       (unsigned long long)s->o.memory);
    }
    if (s->fd < 0) {
        int fd = mf_spill_make(s->o.dir);
        if (fd < 0) {
            return no_disk(s, -fd, "cannot make a temporary file in", err);
        }
        s->fd = fd;
    }
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < VF_PARTS; i++) {
            if (spill_part(s, &s->parts[side][i], err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* ---- adding ---- */

static int put(struct vf_store *s, enum vf_side side, uint32_t part, const char *record, uint32_t len,
               struct mf_error *err)
{
    struct st_part *p = &s->parts[side][part];
    struct st_block *b = p->blocks;
    if (!b || b->cap - b->len < len) {
        uint32_t cap = b ? b->cap * 2 + 16 : FIRST_BLOCK;
        cap = cap > LARGEST ? LARGEST : cap;
        cap = cap < len ? len : cap;
        if (s->used + sizeof *b + cap > s->o.memory && s->used && spill(s, err) < 0) {
            return -1;
        }
        b = mf_xmalloc(sizeof *b + cap);
        *b = (struct st_block){.next = p->blocks, .cap = cap};
        p->blocks = b;
        s->used += sizeof *b + cap;
    }
    memcpy(b->data + b->len, record, len);
    b->len += len;
    p->bytes += len;
    return 0;
}

/* A record of the stage: its partition and its length, then the record. */
struct staged {
    uint32_t part, len;
};

static int unload(struct vf_writer *w, struct mf_error *err)
{
    struct vf_store *s = w->store;
    int rc = 0;
    pthread_mutex_lock(&s->mu);
    for (size_t at = 0; rc == 0 && at < w->len;) {
        struct staged g;
        memcpy(&g, w->stage + at, sizeof g);
        rc = put(s, w->side, g.part, w->stage + at + sizeof g, g.len, err);
        at += sizeof g + g.len;
    }
    pthread_mutex_unlock(&s->mu);
    w->len = 0;
    if (w->recent) {
        memset(w->recent, 0, RECENT * sizeof *w->recent);
    }
    return rc;
}

void vf_writer_begin(struct vf_writer *w, struct vf_store *s, enum vf_side side)
{
    if (!w->stage) {
        w->stage = mf_xmalloc(STAGE_BYTES);
    }
    if (s->o.counted && !w->recent) {
        w->recent = mf_xmalloc(RECENT * sizeof *w->recent);
    }
    if (w->recent) {
        memset(w->recent, 0, RECENT * sizeof *w->recent);
    }
    w->store = s;
    w->side = side;
    w->rows = 0;
    w->len = 0;
    pthread_mutex_lock(&s->mu);
    if (s->nattempts == s->voided_cap) {
        s->voided_cap = s->voided_cap ? s->voided_cap * 2 : 256;
        s->voided = mf_xreallocarray(s->voided, s->voided_cap, 1);
    }
    s->voided[s->nattempts] = 1; /* until it has ended well */
    w->attempt = s->nattempts++;
    pthread_mutex_unlock(&s->mu);
}

/* One more of a row that has just been added: copies often stand together. */
static bool count_again(struct vf_writer *w, const struct mf_digest *d, uint64_t hash)
{
    uint32_t *slot = &w->recent[(hash >> 32) & (RECENT - 1)];
    struct st_head h;
    if (*slot) {
        char *record = w->stage + *slot - 1 + sizeof(struct staged);
        memcpy(&h, record, ST_HEAD);
        if (h.lane1 == d->lane1 && h.lane2 == d->lane2 && h.count < UINT32_MAX) {
            h.count++;
            memcpy(record, &h, ST_HEAD);
            return true;
        }
    }
    *slot = (uint32_t)w->len + 1;
    return false;
}

int vf_writer_add(struct vf_writer *w, const struct mf_digest *d, const void *key, size_t len, struct mf_error *err)
{
    if (len > VF_KEY_MAX) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a key is longer than %u bytes", VF_KEY_MAX);
    }
    uint64_t hash = vf_store_hash(d, key, len);
    struct staged g = {.part = st_part_of(hash), .len = (uint32_t)(ST_HEAD + len)};
    struct st_head h = {.lane1 = d->lane1, .lane2 = d->lane2, .attempt = w->attempt, .len = (uint32_t)len, .count = 1};
    if (w->len + sizeof g + g.len > STAGE_BYTES && unload(w, err) < 0) {
        return -1;
    }
    w->rows++;
    if (w->recent && w->store->o.counted && count_again(w, d, hash)) {
        return 0;
    }
    if (sizeof g + g.len > STAGE_BYTES) { /* too long for the stage */
        MF_CLEANUP_BUF struct mf_buf b = {.max = ST_HEAD + VF_KEY_MAX};
        mf_buf_append(&b, &h, ST_HEAD);
        if (mf_buf_append(&b, key, len) < 0) {
            return mf_fail(err, MF_FATAL, "MFMEM", "no memory for a key of %zu bytes", len);
        }
        pthread_mutex_lock(&w->store->mu);
        int rc = put(w->store, w->side, g.part, b.data, g.len, err);
        pthread_mutex_unlock(&w->store->mu);
        return rc;
    }
    memcpy(w->stage + w->len, &g, sizeof g);
    memcpy(w->stage + w->len + sizeof g, &h, ST_HEAD);
    if (len) {
        memcpy(w->stage + w->len + sizeof g + ST_HEAD, key, len);
    }
    w->len += sizeof g + g.len;
    return 0;
}

int vf_writer_end(struct vf_writer *w, bool keep, struct mf_error *err)
{
    struct vf_store *s = w->store;
    if (!s) {
        return 0;
    }
    int rc = keep ? unload(w, err) : 0;
    if (keep && rc == 0) {
        pthread_mutex_lock(&s->mu);
        s->voided[w->attempt] = 0;
        s->rows[w->side] += w->rows;
        pthread_mutex_unlock(&s->mu);
    }
    w->store = NULL;
    return rc;
}

void vf_writer_free(struct vf_writer *w)
{
    free(w->stage);
    free(w->recent);
    *w = (struct vf_writer){0};
}

/* ---- complete ---- */

int vf_store_seal(struct vf_store *s, struct mf_error *err)
{
    int rc = 0;
    pthread_mutex_lock(&s->mu);
    /* Half of the memory is for the jobs then, or all of it when everything is in the file. */
    if (s->used && s->o.dir && (s->fd >= 0 || s->used > s->o.memory / 2)) {
        rc = spill(s, err);
    }
    free(s->scratch);
    s->scratch = NULL;
    s->scratch_cap = 0;
    uint64_t job = (s->fd >= 0 ? s->o.memory : s->o.memory / 2) / (uint64_t)s->o.jobs / 4;
    job = job < SMALLEST_JOB ? SMALLEST_JOB : job;
    s->npieces = 0;
    for (int i = 0; rc == 0 && i < VF_PARTS; i++) {
        uint64_t a = s->parts[VF_ORIGIN][i].bytes, b = s->parts[VF_REPLICA][i].bytes;
        s->passes[i] = (uint32_t)(((a > b ? a : b) + job - 1) / job);
        s->npieces += s->passes[i];
    }
    s->sealed = rc == 0;
    pthread_mutex_unlock(&s->mu);
    return rc;
}

uint32_t vf_store_pieces(const struct vf_store *s)
{
    return s->npieces;
}
