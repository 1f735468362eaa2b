/* apply, where the replica's own server does the work (mode: native): one step looks how far that is, and lets it run, stop, or stop exactly at the
 * barrier. What others ask of apply (position, barrier, standing, jobs) has the same answers as if windows were written here.
 *
 * The difference: a server that runs does not see a barrier being set. Whoever must know that nothing further is begun asks
 * mf_apply_held. It is running from the moment this stage decides to start it, under the lock, until it was seen standing. */
#include "pipeline/apply_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"

#define LOOK_US (5 * MF_US_PER_MS) /* no two looks are nearer to each other */

/* What was seen, for everybody. */
static void note(struct mf_apply *a, const struct mf_replication_status *st)
{
    pthread_mutex_lock(&a->mu);
    a->follow_first = a->follow_first ? a->follow_first : st->executed.order;
    a->applied = st->executed;
    a->reached = st->executed;
    a->last_txn = st->executed.order;
    a->opened = true;
    a->want_checkpoint = false;
    a->stats.transactions = st->executed.order - a->follow_first;
    a->stats.lag_us = (int64_t)(st->lag_seconds * 1e6);
    a->stats.received = st->received > st->executed.order ? st->received : st->executed.order;
    if (st->received <= st->executed.order) {
        a->stats.caught_up_us = mf_wall_us();
    }
    pthread_mutex_unlock(&a->mu);
}

enum ap_deed { AP_LEAVE, AP_PAUSE, AP_RESUME };

/* What is to be done so that it does what the barrier says. */
static enum ap_deed decide(struct mf_apply *a, const struct mf_replication_status *st, struct mf_position *ret_until)
{
    MF_LOCK_SCOPE(&a->mu);
    *ret_until = a->barrier;
    if (a->barrier.order && st->executed.order >= a->barrier.order) {
        a->follow_running = st->applying;
        if (!st->applying) {
            a->passed = a->barrier;
        }
        return st->applying ? AP_PAUSE : AP_LEAVE;
    }
    bool as_wanted = st->applying && st->receiving && a->follow_running && a->follow_until == a->barrier.order;
    a->follow_running = true;
    a->follow_until = a->barrier.order;
    return as_wanted ? AP_LEAVE : AP_RESUME;
}

static int steer(struct mf_apply *a, const struct mf_replication_status *st, struct mf_error *err)
{
    const struct mf_replication_ops *ops = a->o.replica->connector->replication;
    struct mf_position until;
    bool ran = a->follow_running && a->follow_started;
    switch (decide(a, st, &until)) {
    case AP_LEAVE:
        return 0;
    case AP_PAUSE:
        return ops->pause(a->o.replica, &a->o.pipe, err);
    case AP_RESUME:
        break;
    }
    if (ops->resume(a->o.replica, a->o.origin, &a->o.pipe, &until, err) < 0) {
        return -1;
    }
    a->follow_started = true;
    if (ran && !until.order && !st->applying && st->trouble.cls == MF_OK) {
        mf_fail(err, MF_RETRY, "MFREPLICA",
                "the target's replication was stopped by somebody else; it was started again");
        mf_hint(err, "STOP SLAVE is not for whoever else watches this server while the migration runs");
        return -1;
    }
    return 0;
}

static int work(struct mf_apply *a, struct mf_error *err)
{
    const struct mf_target_ops *ops = a->o.replica->connector->target;
    pthread_mutex_lock(&a->mu);
    bool wanted = a->job != NULL;
    pthread_mutex_unlock(&a->mu);
    if (wanted && !a->applier && ops->applier_open(a->o.replica, &a->o.pipe, &a->applier, err) < 0) {
        return -1;
    }
    mf_apply_do_job(a);
    return 0;
}

static int look(struct mf_apply *a, struct mf_error *err)
{
    struct mf_replication_status st = {0};
    if (MF_FAULT(err, "native.follow") ||
        a->o.replica->connector->replication->status(a->o.replica, &a->o.pipe, &st, err) < 0) {
        return -1;
    }
    if (!st.attached) {
        mf_fail(err, MF_FATAL, "MFREPLICA",
                "the target does not follow the source any more: its replication was reset");
        mf_hint(err, "what was committed since is not on the target: cancel and begin the migration again");
        return -1;
    }
    note(a, &st);
    if (a->follow_started && st.trouble.cls == MF_FATAL) {
        *err = st.trouble;
        a->follow_started = false; /* the next look starts it again: what was in its way may be mended */
        return -1;
    }
    if (steer(a, &st, err) < 0) {
        return -1;
    }
    if (st.trouble.cls == MF_RETRY) {
        *err = st.trouble;
        return -1;
    }
    return work(a, err);
}

enum mf_step mf_apply_follow(struct mf_apply *a, int timeout_ms, struct mf_error *err)
{
    if (timeout_ms > 0 && mf_now_us() - a->gate_us < LOOK_US) {
        mf_sleep_us(LOOK_US);
    }
    a->gate_us = mf_now_us();
    if (look(a, err) < 0) {
        mf_apply_close_all(a);
        return MF_STEP_FAILED;
    }
    mf_apply_wait(a, timeout_ms);
    return MF_STEP_IDLE;
}

bool mf_apply_held(struct mf_apply *a)
{
    MF_LOCK_SCOPE(&a->mu);
    return !a->o.by_server || (a->opened && a->barrier.order && !a->follow_running);
}
