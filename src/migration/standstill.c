/* Apply stands still at the end of a transaction of the origin, while the control thread does something that must not be overtaken. Only where
 * nobody else holds apply: not while a verification runs. */
#include "migration/internal.h"

#include <inttypes.h>
#include <time.h>

#include "base/clock.h"

#define WAIT_US  (10 * 60 * MF_US_PER_SEC)
#define NUDGE_US (MF_US_PER_SEC / 2)

static int wait_a_moment(struct mf_migration *m, int64_t until, struct mf_error *err)
{
    if (m->stop) {
        return mf_fail(err, MF_RETRY, "MFSTOPPED", "the run is stopping");
    }
    if (mf_check_pipes(m, err) < 0) {
        return -1;
    }
    if (mf_now_us() > until) {
        return mf_fail(err, MF_RETRY, "MFLAG", "the stream did not come to a standstill within %d minutes",
                       (int)(WAIT_US / MF_US_PER_SEC / 60));
    }
    mf_idle_beat(m);
    struct timespec t = {.tv_nsec = 2 * 1000 * 1000};
    nanosleep(&t, NULL);
    return 0;
}

static int wait_at(struct mf_migration *m, struct mf_pipe *pipe, struct mf_error *err)
{
    int64_t until = mf_now_us() + WAIT_US, nudge = 0;
    while (!mf_apply_at_barrier(pipe->apply)) {
        int64_t now = mf_now_us();
        if (now >= nudge) { /* an idle stream has to be seen past the barrier */
            nudge = now + NUDGE_US;
            m->next_beat_us = 0;
        }
        if (wait_a_moment(m, until, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int mf_hold_still(struct mf_migration *m, struct mf_pipe *pipe, struct mf_error *err)
{
    struct mf_position at = {.order = 1, .token = "the beginning"}, now;
    int64_t until = mf_now_us() + WAIT_US;
    m->standing = true;
    mf_apply_set_barrier(pipe->apply, &at);
    while (!mf_apply_at_barrier(pipe->apply)) {
        mf_apply_position(pipe->apply, &now);
        if (now.order > at.order) { /* what it had begun, or seen, when it was told */
            at = now;
            mf_apply_set_barrier(pipe->apply, &at);
        }
        mf_apply_want_checkpoint(pipe->apply);
        if (wait_a_moment(m, until, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int mf_stand_at(struct mf_migration *m, struct mf_pipe *pipe, const struct mf_position *p, struct mf_error *err)
{
    m->standing = true;
    mf_apply_set_barrier(pipe->apply, p);
    return wait_at(m, pipe, err);
}

int mf_stand_still(struct mf_migration *m, struct mf_pipe *pipe, struct mf_error *err)
{
    static const struct mf_position beginning = {.order = 1, .token = "the beginning"};
    struct mf_position now = {0};
    mf_apply_set_barrier(pipe->apply,
                         &beginning); /* what it has begun was committed before the position asked for next */
    return pipe->origin->connector->source->position(pipe->origin, &now, err) < 0 || mf_stand_at(m, pipe, &now, err) < 0
               ? -1
               : 0;
}

void mf_let_go(struct mf_migration *m, struct mf_pipe *pipe)
{
    static const struct mf_position none;
    m->standing = false;
    mf_apply_set_barrier(pipe->apply, &none);
}
