/* Are the streams fit for a move? One that has failed is not; one that is trying again, as while a database does not answer, is told with what it tries against. */
#include "base/clock.h"
#include "cutover/internal.h"

#define OPEN_WITHIN_US (10 * MF_US_PER_SEC)

int mf_cutover_streams_run(struct mf_cutover *c, struct mf_error *err)
{
    struct mf_error failure;
    if (mf_pipe_failure(c->o.drain, &failure) < 0 || (c->o.back && mf_pipe_failure(c->o.back, &failure) < 0)) {
        return mf_fail(err, MF_ABANDONED, "MFGUARD", "a stream is not running: %s", failure.text);
    }
    return 0;
}

static int not_consistent(const struct mf_cutover *c, struct mf_error *err)
{
    struct mf_error trouble = {0};
    mf_pipe_trouble(c->o.drain, &trouble);
    if (trouble.cls != MF_OK) {
        mf_fail(err, MF_ABANDONED, "MFGUARD", "the stream from the %s to the %s does not go on: %s",
                mf_cutover_side(c->o.from), mf_cutover_side(c->o.to), trouble.text);
        mf_hint(err, "%s", trouble.hint[0] ? trouble.hint : "Try again when midflight status shows no trouble.");
        return -1;
    }
    mf_fail(err, MF_ABANDONED, "MFGUARD", "the %s is not consistent with the %s yet", mf_cutover_side(c->o.to),
            mf_cutover_side(c->o.from));
    mf_hint(err, "Wait until midflight status says synced.");
    return -1;
}

enum mf_step mf_cutover_streams_fit(struct mf_cutover *c, struct mf_error *err)
{
    if (mf_cutover_streams_run(c, err) < 0) {
        return MF_STEP_FAILED;
    }
    if (mf_apply_consistent(c->o.drain->apply) && (!c->o.back || mf_apply_consistent(c->o.back->apply))) {
        return MF_STEP_MORE;
    }
    c->guards_until_us = c->guards_until_us ? c->guards_until_us : mf_now_us() + OPEN_WITHIN_US;
    if (mf_now_us() < c->guards_until_us) {
        return MF_STEP_IDLE; /* just after a start its applier is not open yet */
    }
    return not_consistent(c, err) < 0 ? MF_STEP_FAILED : MF_STEP_MORE;
}
