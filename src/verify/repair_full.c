/* Repair of a table without a key: the copies of each differing row are made as many as the origin has. */
#include "base/mem.h"
#include "verify/repair_internal.h"

#include <stdlib.h>
#include <xxhash.h>

#define FULL_MAX 2000000 /* distinct rows of a table without a key that is repaired */

struct copies {
    uint64_t hash;
    int64_t origin, replica;
    bool used, given;
};

struct count {
    struct vf_repair *p;
    struct copies *e;
    size_t cap, n;
    bool replica;
    int phase; /* 0: count; 1: take what must be written or go */
};

static uint64_t row_hash(const struct mf_row *row)
{
    uint64_t h = row->n;
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        bool bytes = mf_value_has_bytes(v);
        h = XXH3_64bits_withSeed(bytes ? v->data : "", bytes ? v->len : 0, h * 31 + (uint64_t)v->kind);
    }
    return h;
}

static struct copies *find_copies(struct count *c, uint64_t hash)
{
    size_t i = hash & (c->cap - 1);
    while (c->e[i].used && c->e[i].hash != hash) {
        i = (i + 1) & (c->cap - 1);
    }
    return &c->e[i];
}

static void widen(struct count *c)
{
    struct copies *old = c->e;
    size_t n = c->cap;
    c->cap = n ? n * 2 : 4096;
    c->e = mf_xcalloc(c->cap, sizeof(*c->e));
    for (size_t i = 0; i < n; i++) {
        if (old[i].used) {
            *find_copies(c, old[i].hash) = old[i];
        }
    }
    free(old);
}

static int give(struct count *c, const struct mf_row *row, bool whole, struct mf_error *err)
{
    struct vf_repair *p = c->p;
    if (whole) {
        if (p->whole.n == p->whole.cap) {
            return mf_fail(err, MF_FATAL, "MFBIG", "too many rows to repair in a table without a key");
        }
        return vf_take_row(&p->whole, row, err);
    }
    if (p->ngone == p->whole.cap) {
        return mf_fail(err, MF_FATAL, "MFBIG", "too many rows to repair in a table without a key");
    }
    return vf_copy_row(&p->arena, &p->gone[p->ngone], row, err) < 0 ? -1 : (p->ngone++, 0);
}

static int count_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct count *c = ctx;
    uint64_t h = row_hash(row);
    if (c->phase == 0) {
        if (c->n >= FULL_MAX) {
            return mf_fail(err, MF_FATAL, "MFBIG", "a table without a key is too large to be repaired row by row");
        }
        if ((c->n + 1) * 2 > c->cap) {
            widen(c);
        }
        struct copies *e = find_copies(c, h);
        c->n += !e->used;
        e->used = true;
        e->hash = h;
        *(c->replica ? &e->replica : &e->origin) += 1;
        return 0;
    }
    struct copies *e = c->cap ? find_copies(c, h) : NULL;
    if (!e || !e->used || e->origin == e->replica) {
        return 0;
    }
    if (!c->replica) {
        return give(c, row, true, err); /* each copy comes by here once */
    }
    if (e->origin == 0 && !e->given) {
        e->given = true;
        return give(c, row, false, err);
    }
    return 0;
}

#define FULL_ROWS 100000

int vf_repair_read_full(struct vf_repair *p, struct mf_error *err)
{
    struct vf_table *t = vf_repair_table(p);
    struct mf_db *o = p->v->o.pipe->origin, *r = p->v->o.pipe->replica;
    struct mf_chunk *all = mf_xcalloc(1, sizeof(*all));
    struct mf_reader *now = NULL;
    struct mf_position ignored;
    struct count c = {.p = p};
    p->whole = (struct vf_rows){.arena = &p->arena, .cap = FULL_ROWS};
    p->whole.rows = mf_alloc_array(&p->arena, FULL_ROWS, sizeof(*p->whole.rows));
    p->gone = mf_alloc_array(&p->arena, FULL_ROWS, sizeof(*p->gone));
    p->ngone = 0;
    int rc = p->whole.rows && p->gone ? r->connector->source->reader_open(r, NULL, &now, err)
                                      : mf_fail(err, MF_FATAL, "MFMEM", "rows to repair are too large");
    for (c.phase = 0; rc == 0 && c.phase < 2; c.phase++) {
        c.replica = false;
        rc = o->connector->source->chunk_rows(p->o, t->ot, all, count_row, &c, &ignored, err);
        c.replica = true;
        rc = rc < 0 ? -1 : r->connector->source->chunk_rows(now, t->rt, all, count_row, &c, &ignored, err);
    }
    if (now) {
        r->connector->source->reader_close(now);
    }
    free(c.e);
    free(all);
    p->asked = p->whole.n + p->ngone;
    return rc;
}
