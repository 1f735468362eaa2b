/* The join of one piece: the origin's rows in a hash table, the replica's put to it as they are read.
 *
 * Memory is the table and the origin's records of this piece; of the replica's, one extent. A row is matched when the same key has one row on
 * each side and their digests are equal; whatever else is seen of a key (a second row, another digest) sticks to it. */
#include "verify/store_internal.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "spool/spill.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define FEWEST_SLOTS 64u

enum { LONE = 1, MATCHED = 0, APART = 2 }; /* slot.n of rows with keys */

struct slot {
    uint32_t tag, at; /* at: of the record, + 1; 0: free */
    int64_t n;        /* counted: copies of the origin less copies of the replica */
};

struct join {
    struct vf_store *s;
    uint32_t part, pass;
    struct mf_buf rows; /* the origin's records */
    struct slot *slots;
    uint32_t nslots, n;
    vf_unmatched_sink *emit;
    void *ctx;
    struct vf_joined *done;
};

typedef int each_record(struct join *j, const struct st_head *h, const char *key, uint64_t hash, struct mf_error *err);

/* ---- reading ---- */

static int bad_file(const struct vf_store *s, const char *what, struct mf_error *err)
{
    mf_fail(err, MF_RETRY, "MFSPILL", "rows to compare %s a temporary file in %s", what,
            s->o.dir ? s->o.dir : "memory");
    mf_hint(err, "Look at the disk (dmesg, smartctl). The table is read again");
    return -1;
}

static int each_of(struct join *j, enum vf_side side, const char *data, size_t len, each_record *fn,
                   struct mf_error *err)
{
    const struct vf_store *s = j->s;
    for (size_t at = 0; at < len;) {
        struct st_head h;
        if (len - at < ST_HEAD) {
            return bad_file(s, "are cut short in", err);
        }
        memcpy(&h, data + at, ST_HEAD);
        if (len - at - ST_HEAD < h.len || h.attempt >= s->nattempts) {
            return bad_file(s, "are not what was written to", err);
        }
        const char *key = data + at + ST_HEAD;
        at += ST_HEAD + h.len;
        if (s->voided[h.attempt]) {
            continue;
        }
        struct mf_digest d = {.lane1 = h.lane1, .lane2 = h.lane2};
        uint64_t hash = vf_store_hash(&d, key, h.len);
        if (st_pass_of(hash, s->passes[j->part]) != j->pass) {
            continue;
        }
        j->done->rows[side] += h.count;
        if (fn(j, &h, key, hash, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int each(struct join *j, enum vf_side side, each_record *fn, struct mf_error *err)
{
    const struct st_part *p = &j->s->parts[side][j->part];
    MF_CLEANUP_FREE char *buf = NULL;
    size_t cap = 0;
    for (uint32_t i = 0; i < p->nextents; i++) {
        const struct st_extent *x = &p->extents[i];
        if (x->len > cap) {
            free(buf);
            buf = NULL; /* xmalloc does not return without */
            buf = mf_xmalloc(x->len);
            cap = x->len;
        }
        if (mf_spill_get(j->s->fd, x->at, buf, x->len) != 0) {
            return bad_file(j->s, "cannot be read back from", err);
        }
        if (XXH3_64bits(buf, x->len) != x->sum) {
            return bad_file(j->s, "do not match their checksum in", err);
        }
        if (each_of(j, side, buf, x->len, fn, err) < 0) {
            return -1;
        }
    }
    for (const struct st_block *b = p->blocks; b; b = b->next) {
        if (each_of(j, side, b->data, b->len, fn, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the table ---- */

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static bool is_row(const struct join *j, const struct slot *g, const struct st_head *h, const char *key)
{
    struct st_head is;
    const char *record = j->rows.data + g->at - 1;
    memcpy(&is, record, ST_HEAD);
    return is.len == h->len &&
           (is.len ? memcmp(record + ST_HEAD, key, h->len) == 0 : is.lane1 == h->lane1 && is.lane2 == h->lane2);
}

static struct slot *find(const struct join *j, const struct st_head *h, const char *key, uint64_t hash)
{
    uint32_t tag = tag_of(hash), i = tag & (j->nslots - 1);
    while (j->slots[i].at && (j->slots[i].tag != tag || !is_row(j, &j->slots[i], h, key))) {
        i = (i + 1) & (j->nslots - 1);
    }
    return &j->slots[i];
}

static void widen(struct join *j)
{
    struct slot *old = j->slots;
    uint32_t n = j->nslots;
    j->nslots = n * 2;
    j->slots = mf_xcalloc(j->nslots, sizeof *j->slots);
    for (uint32_t k = 0; k < n; k++) {
        if (old[k].at) {
            uint32_t i = old[k].tag & (j->nslots - 1);
            while (j->slots[i].at) {
                i = (i + 1) & (j->nslots - 1);
            }
            j->slots[i] = old[k];
        }
    }
    free(old);
}

static int insert(struct join *j, struct slot *g, const struct st_head *h, const char *key, uint64_t hash, int64_t n,
                  struct mf_error *err)
{
    uint64_t at = j->rows.len;
    mf_buf_append(&j->rows, h, ST_HEAD);
    mf_buf_append(&j->rows, key, h->len);
    if (!mf_buf_ok(&j->rows) || j->rows.len > UINT32_MAX - 1) {
        return mf_fail(err, MF_FATAL, "MFMEM", "no memory to compare rows in");
    }
    *g = (struct slot){.tag = tag_of(hash), .at = (uint32_t)at + 1, .n = n};
    if (++j->n > j->nslots / 8 * 5) {
        widen(j);
    }
    return 0;
}

static int of_origin(struct join *j, const struct st_head *h, const char *key, uint64_t hash, struct mf_error *err)
{
    struct slot *g = find(j, h, key, hash);
    bool counted = j->s->o.counted;
    if (!g->at) {
        return insert(j, g, h, key, hash, counted ? h->count : LONE, err);
    }
    g->n = counted ? g->n + h->count : APART;
    return 0;
}

static int tell(struct join *j, const struct st_head *h, const char *key, int64_t n, struct mf_error *err)
{
    struct vf_unmatched u = {.digest = {.rows = 1, .lane1 = h->lane1, .lane2 = h->lane2},
                             .key = key,
                             .len = h->len,
                             .count = j->s->o.counted ? n : 0};
    return j->emit(j->ctx, &u, err);
}

static int of_replica(struct join *j, const struct st_head *h, const char *key, uint64_t hash, struct mf_error *err)
{
    struct slot *g = find(j, h, key, hash);
    if (j->s->o.counted) { /* more copies may come, on this side too */
        if (!g->at) {
            return insert(j, g, h, key, hash, -(int64_t)h->count, err);
        }
        g->n -= h->count;
        return 0;
    }
    if (!g->at) {
        return tell(j, h, key, 0, err);
    }
    struct st_head is;
    memcpy(&is, j->rows.data + g->at - 1, ST_HEAD);
    bool same = is.lane1 == h->lane1 && is.lane2 == h->lane2;
    g->n = same && g->n == LONE ? MATCHED : APART;
    return 0;
}

static int rest(struct join *j, struct mf_error *err)
{
    for (uint32_t i = 0; i < j->nslots; i++) {
        const struct slot *g = &j->slots[i];
        if (g->at && g->n != 0) {
            struct st_head h;
            const char *record = j->rows.data + g->at - 1;
            memcpy(&h, record, ST_HEAD);
            if (tell(j, &h, record + ST_HEAD, g->n, err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static void locate(struct join *j, uint32_t piece)
{
    while (piece >= j->s->passes[j->part]) {
        piece -= j->s->passes[j->part++];
    }
    j->pass = piece;
}

int vf_store_join(struct vf_store *s, uint32_t piece, vf_unmatched_sink *emit, void *ctx, struct vf_joined *ret,
                  struct mf_error *err)
{
    struct vf_joined done = {0};
    struct join j = {.s = s, .emit = emit, .ctx = ctx, .done = &done, .nslots = FEWEST_SLOTS};
    if (!s->sealed || piece >= s->npieces) {
        return mf_fail(err, MF_FATAL, "MFBUG", "there is no piece %u to join", piece);
    }
    locate(&j, piece);
    /* What it can be at most; it grows as it is filled. */
    uint64_t most = s->parts[VF_ORIGIN][j.part].bytes + (s->o.counted ? s->parts[VF_REPLICA][j.part].bytes : 0);
    mf_buf_init(&j.rows, most + 1);
    j.slots = mf_xcalloc(j.nslots, sizeof *j.slots);
    int rc = each(&j, VF_ORIGIN, of_origin, err) < 0 || each(&j, VF_REPLICA, of_replica, err) < 0 || rest(&j, err) < 0
                 ? -1
                 : 0;
    mf_buf_free(&j.rows);
    free(j.slots);
    if (rc == 0) {
        *ret = done;
    }
    return rc;
}
