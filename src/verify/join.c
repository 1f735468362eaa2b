/* join: both sides are read whole, each in its own order, and joined by key. For a replica whose rows come in an order that nobody else knows and
 * that has no snapshots (mf_connector.reads_unordered).
 *
 * Table by table:
 *
 *   the origin   is read in chunks of its own plan, each in an exact snapshot at some position P; snapshots are renewed every few minutes, so
 *                there are several Ps. Of a row its key and a digest go to the store (store.h).
 *   apply        must have passed the last P.
 *   the replica  is read in chunks of its own plan, while apply goes on.
 *   the join     finds the keys that have not one row on each side with equal digests: candidates.
 *   the look     at each candidate is exact: apply stands at a position Q at which the origin has a snapshot (join_match.c).
 *
 * No false difference: only the look makes one, and it compares both sides at Q. No false agreement: a key is in exactly one chunk of the
 * origin. If its row is on both sides with the same digest, the replica had, after it had everything up to P, what the origin had at P; a
 * row that is wrong on the replica and is not written again differs from it, and is looked at. If it is on one side only, it is looked at, too.
 * A change between P and the reading of the replica makes a candidate at most.
 *
 * A table without a key has nothing to look anything up by: the replica is read while apply stands, the origin in its snapshot of that
 * position, and the copies of each row are counted.
 *
 * What is shared is under mf_verify.mu. Several workers read and join at one time (mf_verify.users); everything else is done by one that has
 * it all to itself (solo). */
#include "verify/join_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

#define MEMORY         ((uint64_t)64 << 20)
#define DISK           ((uint64_t)32 << 30)
#define CANDIDATES_MAX ((size_t)1 << 31)

enum job {
    JB_NOTHING,
    JB_DONE,
    JB_LEAVE,
    JB_BEGIN,
    JB_OPEN,
    JB_PLAN,
    JB_READ,
    JB_CLOSE,
    JB_PASS,
    JB_WHOLE,
    JB_SEAL,
    JB_PIECE,
    JB_CHECK,
    JB_FINISH
};

struct work {
    enum job job;
    struct vf_chunk *chunk;
    uint32_t piece;
};

bool vf_join_wanted(const struct mf_verify *v)
{
    return v->o.pass || v->o.pipe->replica->connector->reads_unordered || v->o.pipe->origin->connector->reads_unordered;
}

void vf_join_new(struct mf_verify *v)
{
    v->join = mf_xcalloc(1, sizeof *v->join);
    mf_buf_init(&v->join->candidates, CANDIDATES_MAX);
    mf_buf_init(&v->join->ahead, CANDIDATES_MAX);
}

void vf_join_free(struct mf_verify *v)
{
    if (v->join) {
        if (v->join->touched) {
            mf_apply_watch_end(v->o.pipe->apply);
        }
        vf_store_free(v->join->store);
        mf_buf_free(&v->join->candidates);
        mf_buf_free(&v->join->ahead);
        free(v->join);
        v->join = NULL;
    }
}

bool vf_join_active(struct mf_verify *v)
{
    return v->join && !v->ended && v->nfinished < v->ntables;
}

/* ---- choosing; under the lock ---- */

static void alone(struct mf_verify *v, struct work *w, enum job job)
{
    v->join->solo = true;
    w->job = job;
}

static void together(struct mf_verify *v, struct work *w, enum job job)
{
    v->users++;
    w->job = job;
}

static enum vf_side side_of(const struct vf_join *j)
{
    return j->stage == JN_REPLICA ? VF_REPLICA : VF_ORIGIN;
}

static bool all_read(const struct vf_join *j)
{
    return j->planned && j->done == j->t->nchunks;
}

static void choose_read(struct mf_verify *v, struct work *w)
{
    struct vf_join *j = v->join;
    bool origin = j->stage == JN_ORIGIN;
    if (v->round_state != VF_READY) {
        if (!origin || mf_apply_consistent(v->o.pipe->apply)) {
            alone(v, w, JB_OPEN);
        }
        return;
    }
    bool old = origin && !vf_as_it_stands(v) && mf_now_us() - v->opened_us >= v->o.snapshot_ms * MF_US_PER_MS;
    if (v->broken || old || all_read(j)) {
        if (v->users == 0) {
            alone(v, w, JB_CLOSE);
        }
        return;
    }
    if (!j->planned) {
        alone(v, w, JB_PLAN);
        return;
    }
    for (struct vf_table *t = j->t; t->next < t->nchunks; t->next++) {
        if (!t->chunks[t->next].taken) {
            w->chunk = &t->chunks[t->next++];
            w->chunk->taken = true;
            together(v, w, JB_READ);
            return;
        }
    }
}

static void choose_piece(struct mf_verify *v, struct work *w)
{
    struct vf_join *j = v->join;
    bool all = j->piece == j->npieces;
    if (!all && !vf_join_full(j)) {
        w->piece = j->piece++;
        together(v, w, JB_PIECE);
    } else if (v->users == 0 && j->candidates.len) {
        j->stage = JN_CHECK;
        alone(v, w, JB_CHECK);
    } else if (v->users == 0) {
        j->stage = JN_FINISH;
        alone(v, w, JB_FINISH);
    }
}

static void choose(struct mf_verify *v, struct work *w)
{
    struct vf_join *j = v->join;
    *w = (struct work){0};
    if (j->solo || ((v->stop || j->again) && v->users)) {
        return;
    }
    if (v->stop) {
        w->job = JB_DONE;
        if (v->round_state != VF_NO_ROUND) {
            alone(v, w, JB_LEAVE);
        }
        return;
    }
    if (j->again) {
        j->again = false;
        j->stage = JN_TABLE;
    }
    switch (j->stage) {
    case JN_TABLE:
        alone(v, w, JB_BEGIN);
        break;
    case JN_ORIGIN:
    case JN_REPLICA:
        choose_read(v, w);
        break;
    case JN_PASS:
        alone(v, w, JB_PASS);
        break;
    case JN_WHOLE:
        alone(v, w, JB_WHOLE);
        break;
    case JN_SEAL:
        alone(v, w, JB_SEAL);
        break;
    case JN_MATCH:
        choose_piece(v, w);
        break;
    case JN_CHECK:
        alone(v, w, JB_CHECK);
        break;
    case JN_FINISH:
        alone(v, w, JB_FINISH);
        break;
    }
}

/* ---- alone ---- */

static void enter(struct mf_verify *v, enum vf_join_stage stage)
{
    pthread_mutex_lock(&v->mu);
    v->join->stage = stage;
    v->join->planned = false;
    pthread_mutex_unlock(&v->mu);
}

static int begin(struct mf_verify *v, struct mf_error *err)
{
    struct vf_join *j = v->join;
    size_t i = 0;
    while (i < v->ntables - 1 && v->tables[i].state == VF_FINISHED) {
        i++;
    }
    struct vf_table *t = &v->tables[i];
    bool keyed = t->ot->identity != MF_IDENTITY_FULL;
    struct vf_store_options o = {.dir = v->o.dir,
                                 .memory = v->o.memory ? v->o.memory : MEMORY,
                                 .disk = v->o.disk ? v->o.disk : DISK,
                                 .jobs = v->o.jobs > 0 && v->o.jobs < VF_WORKERS ? v->o.jobs : VF_WORKERS,
                                 .counted = !keyed};
    vf_store_free(j->store);
    j->store = vf_store_new(&o);
    j->touched = vf_join_shows_newer(v) ? mf_apply_watch(v->o.pipe->apply) : NULL;
    if (vf_table_again(v, t, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&v->mu);
    t->state = VF_COMPARE;
    j->t = t;
    j->last = (struct mf_position){0};
    j->piece = j->npieces = 0;
    j->checked = j->looks = 0;
    mf_buf_reset(&j->candidates);
    mf_buf_reset(&j->ahead);
    pthread_mutex_unlock(&v->mu);
    enter(v, keyed ? JN_ORIGIN : JN_WHOLE);
    return 0;
}

static int open_round(struct mf_verify *v, struct mf_error *err)
{
    struct vf_join *j = v->join;
    if (vf_round_side(v, side_of(j), err) < 0) {
        return -1;
    }
    if (v->origin) {
        j->last = v->origin->position;
    }
    return 0;
}

static int plan(struct mf_verify *v, struct vf_slot *s, struct mf_error *err)
{
    struct vf_join *j = v->join;
    bool origin = side_of(j) == VF_ORIGIN;
    int rc = vf_slot_enter(v, s, err);
    if (rc == 0 && origin) {
        rc = vf_table_shape(v, s->o, j->t, err);
    }
    rc = rc < 0 ? -1 : vf_table_cut(v, j->t, side_of(j), origin ? s->o : s->r, err);
    if (rc < 0) {
        vf_slot_leave(v, s);
    }
    pthread_mutex_lock(&v->mu);
    j->planned = rc == 0;
    j->done = 0;
    v->broken |= rc < 0;
    pthread_mutex_unlock(&v->mu);
    return rc;
}

static void close_round(struct mf_verify *v, struct vf_slot *s)
{
    struct vf_join *j = v->join;
    vf_slot_leave(v, s);
    vf_round_close(v);
    if (all_read(j)) {
        v->deadline_us = 0;
        enter(v, j->stage == JN_REPLICA ? JN_SEAL : j->last.order ? JN_PASS : JN_REPLICA);
    }
}

static enum mf_step pass(struct mf_verify *v, struct mf_error *err)
{
    bool passed = false;
    if (vf_round_passed(v, &v->join->last, &passed, err) < 0) {
        return MF_STEP_FAILED;
    }
    if (passed) {
        enter(v, JN_REPLICA);
    }
    return passed ? MF_STEP_MORE : MF_STEP_IDLE;
}

static int seal(struct mf_verify *v, struct mf_error *err)
{
    struct vf_join *j = v->join;
    if (vf_store_seal(j->store, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&v->mu);
    j->npieces = vf_store_pieces(j->store);
    pthread_mutex_unlock(&v->mu);
    enter(v, JN_MATCH);
    return 0;
}

static enum mf_step whole(struct mf_verify *v, struct vf_slot *s, struct mf_error *err)
{
    enum mf_step step = vf_join_whole(v, s, err);
    if (step == MF_STEP_DONE) {
        enter(v, JN_SEAL);
        return MF_STEP_MORE;
    }
    if (step == MF_STEP_FAILED) { /* one side may be read: of another position than the other will be */
        pthread_mutex_lock(&v->mu);
        v->join->again = true;
        pthread_mutex_unlock(&v->mu);
    }
    return step;
}

static enum mf_step check(struct mf_verify *v, struct vf_slot *s, struct mf_error *err)
{
    enum mf_step step = vf_join_check(v, s, err);
    if (step == MF_STEP_DONE) {
        enter(v, JN_MATCH);
        return MF_STEP_MORE;
    }
    return step;
}

static int finish(struct mf_verify *v, struct mf_error *err)
{
    struct vf_join *j = v->join;
    if (vf_table_finish(v, j->t, err) < 0) {
        return -1;
    }
    vf_store_free(j->store);
    j->store = NULL;
    j->t = NULL;
    enter(v, JN_TABLE);
    return 0;
}

static void leave(struct mf_verify *v, struct vf_slot *s)
{
    vf_slot_leave(v, s);
    vf_release_apply(v);
    vf_round_close(v);
}

/* ---- together ---- */

static int read_chunk(struct mf_verify *v, struct vf_slot *s, struct vf_chunk *k, struct mf_error *err)
{
    struct vf_join *j = v->join;
    struct vf_table *t = j->t;
    struct mf_chunk *c = mf_xcalloc(1, sizeof *c);
    bool all = false;
    vf_chunk_of(t, k, c);
    int rc = vf_slot_enter(v, s, err);
    rc = rc < 0 ? -1 : vf_join_read(v, s, side_of(j), c, &all, err);
    free(c);
    if (rc < 0) {
        vf_slot_leave(v, s);
        mf_error_prefix(err, "comparing table %s.%s", t->named->schema, t->named->name);
    }
    pthread_mutex_lock(&v->mu);
    k->taken = k->done = all;
    j->done += all;
    t->next = !all && k->ordinal < t->next ? k->ordinal : t->next;
    v->broken |= rc < 0;
    v->users--;
    pthread_mutex_unlock(&v->mu);
    return rc;
}

static int join_piece(struct mf_verify *v, uint32_t piece, struct mf_error *err)
{
    int rc = vf_join_piece(v, piece, err);
    pthread_mutex_lock(&v->mu);
    v->join->again |= rc < 0;
    v->users--;
    pthread_mutex_unlock(&v->mu);
    return rc;
}

/* ---- one step ---- */

static enum mf_step step_of(int rc)
{
    return rc < 0 ? MF_STEP_FAILED : MF_STEP_MORE;
}

static enum mf_step do_alone(struct mf_verify *v, struct vf_slot *s, enum job job, struct mf_error *err)
{
    switch (job) {
    case JB_BEGIN:
        return step_of(begin(v, err));
    case JB_OPEN:
        return step_of(open_round(v, err));
    case JB_PLAN:
        return step_of(plan(v, s, err));
    case JB_CLOSE:
        close_round(v, s);
        return MF_STEP_MORE;
    case JB_PASS:
        return pass(v, err);
    case JB_WHOLE:
        return whole(v, s, err);
    case JB_SEAL:
        return step_of(seal(v, err));
    case JB_CHECK:
        return check(v, s, err);
    case JB_FINISH:
        return step_of(finish(v, err));
    default:
        leave(v, s);
        return MF_STEP_MORE;
    }
}

enum mf_step vf_join_step(struct mf_verify *v, int worker, struct mf_error *err)
{
    struct vf_slot *s = &v->slots[worker];
    struct work w;
    pthread_mutex_lock(&v->mu);
    choose(v, &w);
    pthread_mutex_unlock(&v->mu);
    switch (w.job) {
    case JB_NOTHING:
        return MF_STEP_IDLE;
    case JB_DONE:
        vf_slot_leave(v, s);
        return MF_STEP_DONE;
    case JB_READ:
        return step_of(read_chunk(v, s, w.chunk, err));
    case JB_PIECE:
        return step_of(join_piece(v, w.piece, err));
    default:
        break;
    }
    enum mf_step step = do_alone(v, s, w.job, err);
    pthread_mutex_lock(&v->mu);
    v->join->solo = false;
    pthread_mutex_unlock(&v->mu);
    return step;
}
