/* verify: workers share tables, chunks and one round of snapshots at a time under one mutex; what takes time is done outside it.
 *
 * The stages of a verification follow from what is left: a round is opened when there is something to compare and none is open;
 * it is closed when it has lasted long enough, when a reader in it failed, or when nothing is left; then come the repair, when it
 * was asked for, and the end. */
#include "verify/internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_MEMORY    ((size_t)2 << 30)
#define RECORD_EVERY_US MF_US_PER_SEC

int mf_verify_new(const struct mf_verify_options *o, struct mf_verify **ret, struct mf_error *err)
{
    struct mf_verify *v = mf_xcalloc(1, sizeof(*v));
    v->o = *o;
    v->o.table = o->table ? mf_xstrdup(o->table) : NULL;
    v->o.sample = o->sample > 0 && o->sample < 1 ? o->sample : 1;
    mf_arena_init(&v->arena, ARENA_MEMORY);
    pthread_mutex_init(&v->mu, NULL);
    if (vf_tables_load(v, err) < 0) {
        mf_verify_free(v);
        return -1;
    }
    if (vf_join_wanted(v)) {
        vf_join_new(v);
    }
    *ret = v;
    return 0;
}

void mf_verify_stop(struct mf_verify *v)
{
    pthread_mutex_lock(&v->mu);
    v->stop = true;
    pthread_mutex_unlock(&v->mu);
}

void mf_verify_free(struct mf_verify *v)
{
    if (!v) {
        return;
    }
    for (int i = 0; i < VF_WORKERS; i++) {
        vf_slot_leave(v, &v->slots[i]);
        vf_writer_free(&v->slots[i].writer);
        mf_buf_free(&v->slots[i].key);
    }
    vf_join_free(v);
    vf_repair_free(v);
    vf_release_apply(v);
    vf_round_close(v);
    for (size_t i = 0; i < v->ntables; i++) {
        vf_table_free(&v->tables[i]);
    }
    free(v->tables);
    mf_arena_free(&v->arena);
    pthread_mutex_destroy(&v->mu);
    free((char *)v->o.table);
    free(v);
}

void mf_verify_stats(struct mf_verify *v, struct mf_verify_stats *ret)
{
    pthread_mutex_lock(&v->mu);
    *ret = v->stats;
    ret->tables_left = (int32_t)(v->ntables - v->nfinished);
    pthread_mutex_unlock(&v->mu);
}

/* ---- choosing ---- */

enum vf_work {
    VF_NOTHING,
    VF_ALL_DONE,
    VF_OPEN,
    VF_WAIT,
    VF_CLOSE,
    VF_DO_PLAN,
    VF_DO_CHUNK,
    VF_DO_FINISH,
    VF_DO_REPAIR,
    VF_DO_END
};

struct work {
    enum vf_work kind;
    struct vf_table *t;
    struct vf_chunk *k;
};

/* A share of the chunks, the same ones in every run; the first of a table always. */
static bool sampled(const struct mf_verify *v, const struct vf_table *t, const struct vf_chunk *k)
{
    uint32_t h = (t->named->id * UINT32_C(2654435761)) ^ (k->ordinal * UINT32_C(0x85ebca6b));
    h ^= h >> 15;
    h *= UINT32_C(0xc2b2ae35);
    h ^= h >> 13;
    return k->ordinal == 0 || v->o.sample >= 1 || h < v->o.sample * UINT32_MAX;
}

/* Chunks that are done in order move the prefix, which is what a later run goes on from. Under the lock. */
static void advance(struct vf_table *t)
{
    while (t->prefix < t->nchunks && t->chunks[t->prefix].done) {
        t->rows += t->chunks[t->prefix].rows;
        t->differing += t->chunks[t->prefix].differing;
        t->prefix++;
    }
}

static bool take_chunk(struct mf_verify *v, struct vf_table *t, struct work *w)
{
    for (; t->next < t->nchunks; t->next++) {
        struct vf_chunk *k = &t->chunks[t->next];
        if (k->taken || k->done) {
            continue;
        }
        k->taken = true;
        if (!sampled(v, t, k)) {
            k->done = true;
            continue;
        }
        *w = (struct work){VF_DO_CHUNK, t, k};
        t->next++;
        return true;
    }
    advance(t);
    return false;
}

static bool take_work(struct mf_verify *v, struct work *w)
{
    for (size_t i = 0; i < v->ntables; i++) {
        struct vf_table *t = &v->tables[i];
        if (t->state == VF_PLAN) {
            t->state = VF_PLANNING;
            *w = (struct work){VF_DO_PLAN, t, NULL};
            return true;
        }
        if (t->state != VF_COMPARE) {
            continue;
        }
        if (take_chunk(v, t, w)) {
            return true;
        }
        if (t->prefix == t->nchunks) {
            t->state = VF_FINISHING;
            *w = (struct work){VF_DO_FINISH, t, NULL};
            return true;
        }
    }
    return false;
}

static void close_round(struct mf_verify *v, struct work *w)
{
    if (v->users == 0) {
        v->round_state = VF_CLOSING_IN;
        w->kind = VF_CLOSE;
    }
}

static void in_round(struct mf_verify *v, struct work *w)
{
    bool old = !v->o.writers_held && mf_now_us() - v->opened_us >= v->o.snapshot_ms * MF_US_PER_MS;
    if (v->broken || old || v->stop || v->nfinished == v->ntables) {
        close_round(v, w);
    } else if (take_work(v, w)) {
        v->users++;
    }
}

static bool repair_wanted(struct mf_verify *v)
{
    for (size_t i = 0; i < v->ntables && v->o.repair; i++) {
        if (v->tables[i].faults || v->tables[i].keyless_differs) {
            return true;
        }
    }
    return false;
}

static void without_round(struct mf_verify *v, struct work *w)
{
    if (v->ended || v->stop) {
        w->kind = VF_ALL_DONE;
    } else if (v->nfinished < v->ntables) {
        if (mf_apply_consistent(v->o.pipe->apply)) {
            v->round_state = VF_OPENING;
            w->kind = VF_OPEN;
        }
    } else if (repair_wanted(v)) {
        v->in_repair = v->repairing = true;
        w->kind = VF_DO_REPAIR;
    } else {
        v->repairing = true; /* one worker ends it */
        w->kind = VF_DO_END;
    }
}

static void choose(struct mf_verify *v, struct work *w)
{
    *w = (struct work){0};
    if (v->repairing) {
        return;
    }
    if (v->in_repair) {
        v->repairing = !v->stop;
        w->kind = VF_DO_REPAIR;
        if (v->stop) {
            v->in_repair = v->o.repair = false;
            v->round_state = VF_CLOSING_IN;
            w->kind = VF_CLOSE;
        }
        return;
    }
    switch (v->round_state) {
    case VF_NO_ROUND:
        without_round(v, w);
        break;
    case VF_OPENING:
    case VF_CLOSING_IN:
        break;
    case VF_WAITING:
        v->round_state = VF_CLOSING_IN;
        w->kind = v->stop ? VF_CLOSE : VF_WAIT;
        break;
    case VF_READY:
        in_round(v, w);
        break;
    }
}

/* ---- doing ---- */

static int do_plan(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, struct mf_error *err)
{
    int rc = vf_table_plan(v, s, t, err);
    pthread_mutex_lock(&v->mu);
    t->state = rc < 0 ? VF_PLAN : VF_COMPARE;
    pthread_mutex_unlock(&v->mu);
    return rc;
}

static int do_chunk(struct mf_verify *v, struct vf_slot *s, const struct work *w, struct mf_error *err)
{
    struct vf_table *t = w->t;
    struct mf_chunk *c = mf_xcalloc(1, sizeof(*c));
    int64_t rows = 0, differing = 0;
    vf_chunk_of(t, w->k, c);
    int rc = vf_compare_chunk(v, s, t, c, &rows, &differing, err);
    free(c);
    bool record = false;
    pthread_mutex_lock(&v->mu);
    if (rc == 0) {
        w->k->rows = rows;
        w->k->differing = differing;
        w->k->done = true;
        v->stats.rows_compared += rows;
        advance(t);
        int64_t now = mf_now_us();
        record = now - t->recorded_us >= RECORD_EVERY_US;
        t->recorded_us = record ? now : t->recorded_us;
    } else {
        w->k->taken = false;
        t->next = w->k->ordinal < t->next ? w->k->ordinal : t->next;
    }
    pthread_mutex_unlock(&v->mu);
    if (rc < 0) {
        mf_error_prefix(err, "comparing table %s.%s", t->named->schema, t->named->name);
        return -1;
    }
    return record ? vf_table_record(v, t, false, err) : 0;
}

static int do_repair(struct mf_verify *v, struct mf_error *err, enum mf_step *ret)
{
    *ret = vf_repair_step(v, err);
    pthread_mutex_lock(&v->mu);
    v->repairing = false;
    bool over = *ret == MF_STEP_DONE;
    if (over) {
        v->in_repair = v->o.repair = false; /* what is left is told, not tried again */
    }
    pthread_mutex_unlock(&v->mu);
    if (over) {
        *ret = MF_STEP_MORE;
    }
    return *ret == MF_STEP_FAILED ? -1 : 0;
}

static int do_end(struct mf_verify *v, struct mf_error *err)
{
    int64_t rows = 0, differing = 0, refused = 0;
    for (size_t i = 0; i < v->ntables; i++) {
        rows += v->tables[i].rows;
        differing += v->tables[i].differing - v->tables[i].repaired;
        refused += v->tables[i].refused;
    }
    int rc = v->o.pass ? 0 : mf_state_verify_end(v->o.state, v->run, rows, differing, err);
    pthread_mutex_lock(&v->mu);
    v->repairing = false;
    v->ended = rc == 0;
    v->stats.finished = rc == 0;
    v->stats.rows_refused = refused;
    v->stats.rows_left = differing - refused;
    v->stats.tables_equal = v->stats.tables_differing = 0;
    for (size_t i = 0; i < v->ntables; i++) {
        bool same = v->tables[i].differing == v->tables[i].repaired;
        v->stats.tables_equal += same;
        v->stats.tables_differing += !same;
    }
    pthread_mutex_unlock(&v->mu);
    return rc;
}

static int in_slot(struct mf_verify *v, struct vf_slot *s, const struct work *w, struct mf_error *err)
{
    int rc = vf_slot_enter(v, s, err);
    if (rc == 0 && w->kind == VF_DO_PLAN) {
        rc = do_plan(v, s, w->t, err);
    } else if (rc == 0 && w->kind == VF_DO_CHUNK) {
        rc = do_chunk(v, s, w, err);
    } else if (rc == 0) {
        rc = vf_table_finish(v, w->t, err);
    } else { /* give the work back */
        pthread_mutex_lock(&v->mu);
        if (w->kind == VF_DO_CHUNK) {
            w->k->taken = false;
            w->t->next = w->k->ordinal < w->t->next ? w->k->ordinal : w->t->next;
        } else {
            w->t->state = w->kind == VF_DO_PLAN ? VF_PLAN : VF_COMPARE;
        }
        pthread_mutex_unlock(&v->mu);
    }
    pthread_mutex_lock(&v->mu);
    v->users--;
    v->broken |= rc < 0;
    pthread_mutex_unlock(&v->mu);
    if (rc < 0) {
        vf_slot_leave(v, s);
    }
    return rc;
}

static void leave_old_round(struct mf_verify *v, struct vf_slot *s)
{
    pthread_mutex_lock(&v->mu);
    bool stale = (s->o || s->r) && (v->round_state != VF_READY || v->round != s->round);
    pthread_mutex_unlock(&v->mu);
    if (stale) {
        vf_slot_leave(v, s);
    }
}

enum mf_step mf_verify_step(struct mf_verify *v, int worker, struct mf_error *err)
{
    struct vf_slot *s = &v->slots[worker];
    struct work w;
    enum mf_step step = MF_STEP_MORE;
    int rc = 0;
    leave_old_round(v, s);
    pthread_mutex_lock(&v->mu);
    if (vf_join_active(v)) {
        pthread_mutex_unlock(&v->mu);
        return vf_join_step(v, worker, err);
    }
    choose(v, &w);
    pthread_mutex_unlock(&v->mu);
    switch (w.kind) {
    case VF_NOTHING:
        return MF_STEP_IDLE;
    case VF_ALL_DONE:
        vf_slot_leave(v, s);
        return MF_STEP_DONE;
    case VF_OPEN:
        rc = vf_round_open(v, !v->o.writers_held, err);
        break;
    case VF_WAIT:
        rc = vf_round_wait(v, err);
        pthread_mutex_lock(&v->mu);
        step = v->round_state == VF_READY ? MF_STEP_MORE : MF_STEP_IDLE;
        pthread_mutex_unlock(&v->mu);
        break;
    case VF_CLOSE:
        vf_slot_leave(v, s);
        vf_repair_free(v);
        vf_release_apply(v);
        vf_round_close(v);
        break;
    case VF_DO_PLAN:
    case VF_DO_CHUNK:
    case VF_DO_FINISH:
        rc = in_slot(v, s, &w, err);
        break;
    case VF_DO_REPAIR:
        rc = do_repair(v, err, &step);
        break;
    case VF_DO_END:
        rc = do_end(v, err);
        break;
    }
    return rc < 0 ? MF_STEP_FAILED : step;
}
