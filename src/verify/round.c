/* A round: snapshots of both sides that show the same position, for a few minutes.
 *
 * 0. A snapshot is taken and thrown away: whatever has to be waited for on the origin is waited for while apply runs.
 * 1. Apply is held: nothing more is begun. What it has begun was committed on the origin before this moment.
 * 2. The origin's snapshot is taken; it shows exactly what was committed up to P, and P is not before (1).
 * 3. Apply goes on up to P and stops there. Because of (1) it has not passed P before it was told of it; but where the origin shows a commit
 *    only when somebody has it (a synchronous replica, dual writes) it may have, and then the round is begun again.
 * 4. When everything up to P is in the replica and nothing after it, the replica's snapshot is taken. It shows the replica as
 *    of P, and so must equal the origin's snapshot, row by row: no difference found is due to time.
 * 5. Apply goes on; the comparison takes its time in the two snapshots. */
#include "verify/internal.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/str.h"
#include "change/bookkeeping.h"

#include <string.h>

#define BARRIER_US     (10 * 60 * MF_US_PER_SEC) /* for apply to reach the position; then it goes on and we say so */
#define NUDGE_US       MF_US_PER_SEC
#define FIRST_NUDGE_US (20 * MF_US_PER_MS)
#define GIVE_UP        3
#define HELD_US        (60 * MF_US_PER_SEC) /* for one transaction of the replica's to end */
#define HELD_LOOK_US   (2 * MF_US_PER_MS)

static void set_barrier(struct mf_verify *v, const struct mf_position *p)
{
    mf_apply_set_barrier(v->o.pipe->apply, p);
    pthread_mutex_lock(&v->mu);
    v->holding = p->order != 0;
    pthread_mutex_unlock(&v->mu);
}

void vf_release_apply(struct mf_verify *v)
{
    static const struct mf_position none;
    pthread_mutex_lock(&v->mu);
    bool holding = v->holding;
    v->holding = false;
    pthread_mutex_unlock(&v->mu);
    if (holding) {
        mf_apply_set_barrier(v->o.pipe->apply, &none);
    }
}

static void leave(struct mf_verify *v, enum vf_round_state state)
{
    pthread_mutex_lock(&v->mu);
    v->round_state = state;
    if (state == VF_READY) {
        v->reads[VF_ORIGIN] = v->reads[VF_REPLICA] = true;
        v->round++;
        v->broken = false;
        v->given_up = 0;
        v->opened_us = mf_now_us();
    }
    pthread_mutex_unlock(&v->mu);
}

static void drop_snapshots(struct mf_verify *v)
{
    if (v->origin) {
        v->o.pipe->origin->connector->source->snapshot_close(v->origin);
    }
    if (v->replica) {
        v->o.pipe->replica->connector->source->snapshot_close(v->replica);
    }
    v->origin = v->replica = NULL;
}

static int give_back(struct mf_verify *v)
{
    vf_release_apply(v);
    drop_snapshots(v);
    leave(v, VF_NO_ROUND);
    return -1;
}

/* Each worker has one reader in each snapshot; the repair, which has a round to itself, one. */
static int readers(const struct mf_verify *v)
{
    return v->o.jobs > 0 && v->o.jobs < VF_WORKERS ? v->o.jobs : VF_WORKERS;
}

static int open_held(struct mf_verify *v, struct mf_error *err)
{
    struct mf_db *o = v->o.pipe->origin, *r = v->o.pipe->replica;
    if (o->connector->source->snapshot_now(o, readers(v), &v->origin, err) < 0 ||
        r->connector->source->snapshot_now(r, readers(v), &v->replica, err) < 0) {
        return give_back(v);
    }
    leave(v, VF_READY);
    return 0;
}

/* Something that is committed after P and goes through the stream shows apply that it has passed P. */
static int nudge(struct mf_verify *v, struct mf_error *err)
{
    struct mf_db *o = v->o.pipe->origin;
    v->nudged_us = mf_now_us();
    return o->connector->source->heartbeat(o, &v->o.pipe->id, NULL, NULL, err);
}

/* An exact snapshot may have to wait for transactions that are open on the origin, for minutes. One is taken and thrown away before apply is
 * held: it waits for them while the stream flows, and the one that is taken then is quick. */
static int wait_out(struct mf_verify *v, struct mf_error *err)
{
    struct mf_db *o = v->o.pipe->origin;
    struct mf_snapshot *s = NULL;
    if (o->connector->source->snapshot_open(o, &v->o.pipe->id, 0, &s, err) < 0) {
        return -1;
    }
    o->connector->source->snapshot_close(s);
    return 0;
}

/* Where the replica's own server applies, it must be seen standing before the origin's position is asked for. */
static int wait_held(struct mf_verify *v, struct mf_error *err)
{
    int64_t until = mf_now_us() + HELD_US;
    while (!mf_apply_held(v->o.pipe->apply)) {
        if (mf_now_us() > until || mf_pipe_failure(v->o.pipe, err) < 0) {
            return mf_fail(err, MF_RETRY, "MFLAG", "the replica did not come to a stand");
        }
        mf_sleep_us(HELD_LOOK_US);
    }
    return 0;
}

int vf_round_open(struct mf_verify *v, bool barrier, struct mf_error *err)
{
    static const struct mf_position beginning = {.order = 1, .token = "the beginning"};
    struct mf_db *o = v->o.pipe->origin;
    if (!barrier) {
        return open_held(v, err);
    }
    if (wait_out(v, err) < 0) {
        mf_error_prefix(err, "waiting for a snapshot to verify at");
        return give_back(v);
    }
    set_barrier(v, &beginning);
    if (wait_held(v, err) < 0) {
        return give_back(v);
    }
    if (MF_FAULT(err, "verify.snapshot") ||
        o->connector->source->snapshot_open(o, &v->o.pipe->id, readers(v), &v->origin, err) < 0) {
        mf_error_prefix(err, "taking a snapshot to verify at");
        return give_back(v);
    }
    set_barrier(v, &v->origin->position);
    /* Where anybody writes, something comes by itself, at once; and with dual writes the nudge would wait for apply, which waits here. */
    v->nudged_us = mf_now_us() - NUDGE_US + FIRST_NUDGE_US;
    v->deadline_us = mf_now_us() + BARRIER_US;
    leave(v, VF_WAITING);
    return 0;
}

static int given_up(struct mf_error *err)
{
    mf_fail(err, MF_ABANDONED, "MFLAG",
            "the stream did not reach the position of the snapshot within %d minutes, %d times",
            (int)(BARRIER_US / MF_US_PER_SEC / 60), GIVE_UP);
    mf_hint(err, "verify again when the lag is small");
    return -1;
}

static int too_slow(struct mf_verify *v, struct mf_error *err)
{
    give_back(v);
    return ++v->given_up < GIVE_UP ? 0 : given_up(err);
}

int vf_round_poll(struct mf_verify *v, bool *ret_at, struct mf_error *err)
{
    int64_t now = mf_now_us();
    struct mf_position at;
    *ret_at = mf_apply_at_barrier(v->o.pipe->apply);
    if (*ret_at) {
        return 0;
    }
    mf_apply_position(v->o.pipe->apply, &at);
    if (at.order > v->origin->position.order) { /* see 3 above */
        give_back(v);
        return 0;
    }
    if (now >= v->deadline_us) {
        return too_slow(v, err);
    }
    if (now - v->nudged_us >= NUDGE_US && nudge(v, err) < 0) {
        return give_back(v);
    }
    leave(v, VF_WAITING);
    return 0;
}

int vf_round_wait(struct mf_verify *v, struct mf_error *err)
{
    struct mf_db *r = v->o.pipe->replica;
    bool at = false;
    int rc = vf_round_poll(v, &at, err);
    if (rc < 0 || !at) {
        return rc;
    }
    if (!mf_apply_consistent(
            v->o.pipe->apply)) { /* it read rows again on its way, which are newer than this position */
        give_back(v);
        return 0;
    }
    if (r->connector->source->snapshot_now(r, readers(v), &v->replica, err) < 0) {
        mf_error_prefix(err, "taking a snapshot to verify at");
        return give_back(v);
    }
    vf_release_apply(v);
    leave(v, VF_READY);
    return 0;
}

/* ---- rounds of the join ---- */

int vf_round_side(struct mf_verify *v, enum vf_side side, struct mf_error *err)
{
    struct mf_db *o = v->o.pipe->origin;
    const struct mf_source_ops *ops = o->connector->source;
    if (side == VF_ORIGIN) {
        int rc = !vf_as_it_stands(v)              ? ops->snapshot_open(o, &v->o.pipe->id, readers(v), &v->origin, err)
                 : !o->connector->reads_unordered ? ops->snapshot_now(o, readers(v), &v->origin, err)
                                                  : 0;
        if (rc < 0) {
            mf_error_prefix(err, "taking a snapshot to verify at");
            return give_back(v);
        }
    }
    leave(v, VF_READY);
    pthread_mutex_lock(&v->mu);
    v->reads[!side] = false;
    pthread_mutex_unlock(&v->mu);
    return 0;
}

void vf_round_stand(struct mf_verify *v)
{
    leave(v, VF_READY);
}

int vf_round_passed(struct mf_verify *v, const struct mf_position *p, bool *ret, struct mf_error *err)
{
    struct mf_held at;
    int64_t now = mf_now_us();
    mf_apply_how_far(v->o.pipe->apply, &at);
    *ret = at.upto.order >= p->order;
    if (*ret) {
        return 0;
    }
    if (v->deadline_us == 0) {
        v->deadline_us = now + GIVE_UP * BARRIER_US;
        v->nudged_us = now - NUDGE_US + FIRST_NUDGE_US;
    }
    if (now >= v->deadline_us) {
        return given_up(err);
    }
    return now - v->nudged_us >= NUDGE_US ? nudge(v, err) : 0;
}

void vf_round_close(struct mf_verify *v)
{
    drop_snapshots(v);
    leave(v, VF_NO_ROUND);
}

/* ---- a worker's readers ---- */

void vf_slot_leave(struct mf_verify *v, struct vf_slot *s)
{
    if (s->o) {
        v->o.pipe->origin->connector->source->reader_close(s->o);
    }
    if (s->r) {
        v->o.pipe->replica->connector->source->reader_close(s->r);
    }
    s->o = s->r = NULL;
}

/* Each reader is told of the server its digests are compared with. */
static int introduce(struct mf_db *peer, struct mf_reader *r, bool follows, struct mf_error *err)
{
    struct mf_db_facts f = {0};
    if (peer->connector->facts(peer, &f, err) < 0) {
        return -1;
    }
    r->peer_version = f.version_num;
    r->follows = follows;
    mf_strlcpy(r->peer_encoding, f.encoding, sizeof(r->peer_encoding));
    return 0;
}

int vf_slot_enter(struct mf_verify *v, struct vf_slot *s, struct mf_error *err)
{
    struct mf_db *o = v->o.pipe->origin, *r = v->o.pipe->replica;
    pthread_mutex_lock(&v->mu);
    uint64_t round = v->round;
    bool of_origin = v->reads[VF_ORIGIN], of_replica = v->reads[VF_REPLICA];
    pthread_mutex_unlock(&v->mu);
    if ((s->o || !of_origin) && (s->r || !of_replica) && s->round == round) {
        return 0;
    }
    vf_slot_leave(v, s);
    s->round = round;
    if ((of_origin &&
         (o->connector->source->reader_open(o, v->origin, &s->o, err) < 0 || introduce(r, s->o, false, err) < 0)) ||
        (of_replica &&
         (r->connector->source->reader_open(r, v->replica, &s->r, err) < 0 || introduce(o, s->r, true, err) < 0))) {
        vf_slot_leave(v, s);
        if (err->cls != MF_CRASH) {
            err->cls = MF_RETRY; /* the snapshot may be gone: others will be taken */
        }
        return -1;
    }
    return 0;
}

enum mf_step vf_round_fresh(struct mf_verify *v, struct mf_position *fresh, struct mf_error *err)
{
    struct mf_db *o = v->o.pipe->origin;
    struct mf_position at;
    if (!v->o.pipe->replica->connector->last_write_wins) {
        return MF_STEP_MORE;
    }
    if (mf_position_none(fresh) && o->connector->source->heartbeat(o, &v->o.pipe->id, MF_BEAT_STAMP, fresh, err) < 0) {
        return MF_STEP_FAILED;
    }
    mf_apply_position(v->o.pipe->apply, &at);
    if (mf_position_reached(&at, fresh)) {
        return MF_STEP_MORE;
    }
    mf_apply_want_checkpoint(v->o.pipe->apply);
    return MF_STEP_IDLE;
}
