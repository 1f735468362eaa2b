/* Repair: the origin's rows over the replica's that differ, in a way that cannot put something older over something newer.
 *
 * Apply is brought to stand exactly at a position P again, with an exact snapshot of the origin at P. The rows are read in that
 * snapshot and written through apply's own connection while it stands there: the replica is as of P but for the rows that
 * differ, and after it they are as of P too. Then apply goes on with what came after P. What was written while nobody
 * looked (between the comparison and now) is in P and cannot be lost; what comes after P is applied on top. */
#include "verify/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define AT_ONCE     500
#define ROWS_MEMORY ((size_t)1 << 30)
#define HOLD_US     (5 * MF_US_PER_SEC) /* apply is held no longer than this at a time */
#define FULL_MAX    2000000             /* distinct rows of a table without a key that is repaired */

enum stage { RP_START, RP_WAIT, RP_READ, RP_WRITING, RP_END };

struct vf_repair {
    struct mf_verify *v;
    enum stage stage;
    size_t table;           /* which one */
    struct vf_fault *next;  /* of its faults */
    struct vf_fault *batch; /* where the batch at hand began: done again when it fails */
    bool batch_full;        /* the batch is a whole table without a key */
    int64_t since_us;       /* apply has been held for this round since */
    struct mf_reader *o;    /* in the snapshot */
    struct mf_arena arena;  /* of one batch */
    struct vf_rows whole;
    struct mf_row *gone;
    size_t ngone, asked;
    size_t single;  /* the target refused a row of a batch: so many are given one by one */
    size_t told_of; /* the table of which a refusal was told, + 1 */
    struct mf_apply_job job;
    bool submitted;
    struct mf_position fresh; /* order 0: not asked for yet */
};

static struct vf_table *table_of(struct vf_repair *p)
{
    return &p->v->tables[p->table];
}

/* ---- apply's side ---- */

static int write_rows(void *ctx, struct mf_applier *a, struct mf_error *err)
{
    struct vf_repair *p = ctx;
    if (MF_FAULT(err, "verify.repair")) {
        return -1;
    }
    return p->v->o.pipe->replica->connector->target->repair_rows(a, table_of(p)->rt, p->whole.rows, p->whole.n, p->gone,
                                                                 p->ngone, mf_apply_stamp(p->v->o.pipe->apply), err);
}

/* ---- what to write: keyed ---- */

static int read_keyed(struct vf_repair *p, struct mf_error *err)
{
    struct vf_table *t = table_of(p);
    struct mf_row *keys = mf_alloc_array(&p->arena, AT_ONCE, sizeof(*keys));
    struct mf_position ignored;
    size_t n = 0, most = p->single ? 1 : AT_ONCE;
    p->single -= p->single > 0;
    p->whole = (struct vf_rows){.arena = &p->arena, .cap = AT_ONCE};
    p->whole.rows = mf_alloc_array(&p->arena, AT_ONCE, sizeof(*p->whole.rows));
    p->gone = mf_alloc_array(&p->arena, AT_ONCE, sizeof(*p->gone));
    p->ngone = 0;
    if (!keys || !p->whole.rows || !p->gone) {
        return mf_fail(err, MF_FATAL, "MFMEM", "rows to repair are too large");
    }
    for (; p->next && n < most; p->next = p->next->next) {
        size_t j = 0;
        while (j < n && !vf_same_key(t->ot, &keys[j], &p->next->key)) {
            j++;
        }
        if (j == n) {
            keys[n++] = p->next->key;
        }
    }
    p->asked = n;
    if (p->v->o.pipe->origin->connector->source->read_rows(p->o, t->ot, keys, n, vf_take_row, &p->whole, &ignored,
                                                           err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (!vf_find_row(t->ot, &p->whole, &keys[i])) {
            p->gone[p->ngone++] = keys[i];
        }
    }
    return 0;
}

/* ---- what to write: identity FULL ---- */

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

static int read_full(struct vf_repair *p, struct mf_error *err)
{
    struct vf_table *t = table_of(p);
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

/* ---- stages ---- */

/* Leaves the round. What has not been written is done again in the next one. */
static enum mf_step end(struct vf_repair *p, bool ok)
{
    struct mf_verify *v = p->v;
    if (p->submitted) {
        mf_apply_withdraw(v->o.pipe->apply, &p->job);
        p->submitted = false;
    }
    if (!ok) {
        p->next = p->batch ? p->batch : p->next;
        if (p->batch_full) {
            table_of(p)->keyless_differs = true;
        }
    }
    p->batch = NULL;
    p->batch_full = false;
    if (p->o) {
        v->o.pipe->origin->connector->source->reader_close(p->o);
        p->o = NULL;
    }
    vf_release_apply(v);
    vf_round_close(v);
    mf_arena_reset(&p->arena);
    p->stage = ok ? RP_END : RP_START;
    return ok ? MF_STEP_DONE : MF_STEP_FAILED;
}

static enum mf_step read_next(struct vf_repair *p, struct mf_error *err)
{
    struct mf_verify *v = p->v;
    while (p->table < v->ntables && !p->next && !(table_of(p)->keyless_differs)) {
        p->table++;
        p->next = p->table < v->ntables ? v->tables[p->table].faults : NULL;
    }
    if (p->table == v->ntables) {
        return end(p, true);
    }
    if (mf_now_us() - p->since_us > HOLD_US) {
        end(p, true);
        p->stage = RP_START; /* let apply breathe */
        return MF_STEP_MORE;
    }
    mf_arena_reset(&p->arena);
    bool keyed = p->next != NULL;
    p->batch = p->next;
    p->batch_full = !keyed;
    if ((keyed ? read_keyed(p, err) : read_full(p, err)) < 0) {
        mf_error_prefix(err, "repairing table %s.%s", table_of(p)->named->schema, table_of(p)->named->name);
        return end(p, false);
    }
    if (!keyed) {
        table_of(p)->keyless_differs = false;
    }
    p->job = (struct mf_apply_job){.run = write_rows, .ctx = p};
    p->submitted = true;
    mf_apply_submit(v->o.pipe->apply, &p->job);
    p->stage = RP_WRITING;
    return MF_STEP_MORE;
}

/* A table without a key, whole: the origin in the snapshot, the replica as it stands at the same position. */
static int same_digest(struct vf_repair *p, struct mf_reader *now, bool *ret, struct mf_error *err)
{
    struct vf_table *t = table_of(p);
    struct mf_db *o = p->v->o.pipe->origin, *r = p->v->o.pipe->replica;
    MF_CLEANUP_FREE struct mf_chunk *all = mf_xcalloc(1, sizeof(*all));
    struct mf_digest a = {0}, b = {0};
    if (o->connector->source->digest(p->o, t->ot, all, &a, err) < 0 ||
        r->connector->source->digest(now, t->rt, all, &b, err) < 0) {
        return -1;
    }
    *ret = mf_digest_equal(&a, &b);
    return 0;
}

/* How many of the batch's rows the replica shows as they were written; those that went count. */
static int good_of_keyed(struct vf_repair *p, struct mf_reader *now, int64_t *ret_good, struct mf_error *err)
{
    struct vf_table *t = table_of(p);
    struct mf_db *r = p->v->o.pipe->replica;
    struct mf_position ignored;
    struct vf_rows have = {.arena = &p->arena, .cap = p->whole.n + 1};
    have.rows = mf_alloc_array(&p->arena, have.cap, sizeof(*have.rows));
    if (!have.rows) {
        return mf_fail(err, MF_FATAL, "MFMEM", "rows to repair are too large");
    }
    if (p->whole.n &&
        r->connector->source->read_rows(now, t->rt, p->whole.rows, p->whole.n, vf_take_row, &have, &ignored, err) < 0) {
        return -1;
    }
    *ret_good = (int64_t)p->ngone;
    for (size_t i = 0; i < p->whole.n; i++) {
        const struct mf_row *row = vf_find_row(t->rt, &have, &p->whole.rows[i]);
        *ret_good += row && vf_same_row(row, &p->whole.rows[i]);
    }
    return 0;
}

/* What was written counts as repaired when the replica shows it. */
static int check(struct vf_repair *p, int64_t *ret_good, struct mf_error *err)
{
    struct vf_table *t = table_of(p);
    struct mf_db *r = p->v->o.pipe->replica;
    struct mf_reader *now = NULL;
    bool same = false;
    if (r->connector->source->reader_open(r, NULL, &now, err) < 0) {
        return -1;
    }
    bool full = t->ot->identity == MF_IDENTITY_FULL;
    int rc = full ? same_digest(p, now, &same, err) : good_of_keyed(p, now, ret_good, err);
    r->connector->source->reader_close(now);
    if (full) {
        *ret_good = same ? t->differing - t->repaired : 0;
    }
    return rc;
}

static int note(struct vf_repair *p, struct mf_error *err)
{
    struct mf_verify *v = p->v;
    struct vf_table *t = table_of(p);
    char label[300], key[VF_KEY_TEXT];
    int64_t good = 0;
    if (check(p, &good, err) < 0) {
        return -1;
    }
    mf_table_label(t->named, label, sizeof(label));
    for (size_t i = 0; i < p->whole.n + p->ngone; i++) {
        const struct mf_row *row = i < p->whole.n ? &p->whole.rows[i] : &p->gone[i - p->whole.n];
        if (mf_state_verify_difference(v->o.state, v->run, label, vf_key_text(t->ot, row, key, sizeof(key)), "repaired",
                                       err) < 0) {
            return -1;
        }
    }
    pthread_mutex_lock(&v->mu);
    t->repaired += good;
    if (t->repaired > t->differing) {
        t->repaired = t->differing;
    }
    v->stats.rows_repaired += good;
    pthread_mutex_unlock(&v->mu);
    return vf_table_record(v, t, true, err);
}

/* What the target refuses stays a difference; the others of its batch are given one by one. Told once a table. */
static enum mf_step refused(struct vf_repair *p)
{
    bool alone = p->batch_full || p->asked <= 1;
    if (!alone) {
        p->single = p->asked;
        p->next = p->batch;
    } else if (p->told_of != p->table + 1) {
        const struct mf_table *t = table_of(p)->named;
        p->told_of = p->table + 1;
        mf_log(MF_WARN, "verify", "table %s.%s has rows that cannot be repaired, the first: %s", t->schema, t->name,
               p->job.err.text);
    }
    p->batch = NULL;
    p->batch_full = false;
    p->stage = RP_READ;
    return MF_STEP_MORE;
}

static enum mf_step writing(struct vf_repair *p, struct mf_error *err)
{
    if (!mf_apply_job_done(p->v->o.pipe->apply, &p->job)) {
        return MF_STEP_IDLE;
    }
    p->submitted = false;
    if (p->job.rc < 0 && (p->job.err.cls == MF_ROW || p->job.err.cls == MF_CONFLICT)) {
        return refused(p);
    }
    if (p->job.rc < 0) {
        *err = p->job.err;
        mf_error_prefix(err, "repairing table %s.%s", table_of(p)->named->schema, table_of(p)->named->name);
        return end(p, false);
    }
    if (note(p, err) < 0) {
        return end(p, false);
    }
    p->batch = NULL;
    p->batch_full = false;
    p->stage = RP_READ;
    return MF_STEP_MORE;
}

enum mf_step vf_repair_step(struct mf_verify *v, struct mf_error *err)
{
    struct vf_repair *p = v->repair;
    if (!p) {
        p = v->repair = mf_xcalloc(1, sizeof(*p));
        p->v = v;
        mf_arena_init(&p->arena, ROWS_MEMORY);
        p->next = v->ntables ? v->tables[0].faults : NULL;
    }
    struct mf_db *o = v->o.pipe->origin;
    enum mf_step step;
    bool at = false;
    switch (p->stage) {
    case RP_START: /* the round's state belongs to this worker: all comparing is over */
        if (!mf_apply_consistent(v->o.pipe->apply)) {
            return MF_STEP_IDLE;
        }
        step = vf_round_fresh(v, &p->fresh, err);
        if (step != MF_STEP_MORE) {
            return step;
        }
        if (vf_round_open(v, true, err) < 0) {
            return MF_STEP_FAILED;
        }
        p->since_us = mf_now_us();
        p->stage = RP_WAIT;
        return MF_STEP_MORE;
    case RP_WAIT:
        if (vf_round_poll(v, &at, err) < 0) {
            p->stage = RP_START;
            return MF_STEP_FAILED;
        }
        if (!at) {
            p->stage = v->round_state == VF_NO_ROUND ? RP_START : RP_WAIT;
            return MF_STEP_IDLE;
        }
        if (!mf_apply_consistent(v->o.pipe->apply)) {
            end(p, true); /* apply read rows again on its way to P, which are newer than P: not now */
            p->stage = RP_START;
            return MF_STEP_IDLE;
        }
        p->since_us = mf_now_us();
        if (o->connector->source->reader_open(o, v->origin, &p->o, err) < 0) {
            return end(p, false);
        }
        p->stage = RP_READ;
        return MF_STEP_MORE;
    case RP_READ:
        return read_next(p, err);
    case RP_WRITING:
        return writing(p, err);
    case RP_END:
        return MF_STEP_DONE;
    }
    return MF_STEP_DONE;
}

void vf_repair_free(struct mf_verify *v)
{
    struct vf_repair *p = v->repair;
    if (!p) {
        return;
    }
    end(p, false);
    mf_arena_free(&p->arena);
    free(p);
    v->repair = NULL;
}
