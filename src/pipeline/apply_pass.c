/* apply, where changes are found by passes: it has the connection that is marked as ours, and does on it what the pass at hand asks for.
 *
 * What others ask of apply has answers that fit: nothing is ever begun by itself, so it stands wherever a barrier is, and the replica is
 * consistent in the sense that nobody waits for anything to be made up for. The position is the origin's clock when the last whole pass began:
 * everything that was written before that is in the replica. */
#include "pipeline/apply_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"

#define PASSED_KEY "passed.reverse"
#define BEGAN_KEY  "passed.reverse.us"

static int open_pass(struct mf_apply *a, struct mf_error *err)
{
    struct mf_position at = {0};
    bool found = false;
    if (mf_state_position(a->o.state, PASSED_KEY, &at, &found, err) < 0 || MF_FAULT(err, "apply.open") ||
        a->o.replica->connector->target->applier_open(a->o.replica, &a->o.pipe, &a->applier, err) < 0 ||
        mf_apply_count_quarantine(a, err) < 0) {
        return -1;
    }
    int64_t began = mf_state_int(a->o.state, BEGAN_KEY, 0);
    MF_LOCK_SCOPE(&a->mu);
    if (found && at.order > a->applied.order) {
        a->applied = a->reached = at;
        a->pass_began_us = began;
    }
    a->opened = true;
    return 0;
}

enum mf_step mf_apply_pass(struct mf_apply *a, int timeout_ms, struct mf_error *err)
{
    if (!a->applier && open_pass(a, err) < 0) {
        mf_apply_close_all(a);
        return MF_STEP_FAILED;
    }
    mf_apply_do_job(a);
    pthread_mutex_lock(&a->mu);
    a->want_checkpoint = false;
    pthread_mutex_unlock(&a->mu);
    mf_apply_wait(a, timeout_ms);
    return MF_STEP_IDLE;
}

int mf_apply_passed(struct mf_apply *a, const struct mf_position *p, int64_t began_us, struct mf_error *err)
{
    if (mf_state_set_int(a->o.state, BEGAN_KEY, began_us, err) < 0 ||
        mf_state_set_position(a->o.state, PASSED_KEY, p, err) < 0) {
        return -1;
    }
    MF_LOCK_SCOPE(&a->mu);
    a->applied = a->reached = *p;
    a->pass_began_us = began_us;
    a->stats.caught_up_us = mf_wall_us();
    return 0;
}
