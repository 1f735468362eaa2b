/* A fence: a position of the side that takes writes, and whether the other side has everything up to it.
 *
 * Any thread. The pipes may be closed at any moment (a run that ends), so they are looked at under the migration's lock. Writes may move while somebody
 * waits: a cutover drains the stream before it decides, so that what was committed before the call is on the other side then. */
#include "migration/internal.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static struct mf_pipe *pipe_of(struct mf_migration *m, enum mf_direction d)
{
    return d == MF_FORWARD ? m->forward : m->reverse;
}

static int not_in_step(struct mf_error *err)
{
    mf_fail(err, MF_RETRY, "MFNOSTREAM", "the stream does not run, or the two sides have not been in step yet");
    mf_hint(err, "midflight status tells the phase; a fence works from synced on");
    return -1;
}

static int runs(struct mf_migration *m, enum mf_direction d, struct mf_error *err)
{
    MF_LOCK_SCOPE(&m->lock);
    if (!m->open || !pipe_of(m, d) || m->stop || m->ending || !mf_phase_steady(m)) {
        return not_in_step(err);
    }
    if (mf_pipe_failure(pipe_of(m, d), err) < 0) {
        mf_error_prefix(err, "the stream has failed");
        err->cls = MF_RETRY; /* of the fence: the next run's may stand */
        return -1;
    }
    return 0;
}

int mf_migration_fence(struct mf_migration *m, struct mf_fence *ret, struct mf_error *err)
{
    struct mf_fence f = {.direction = mf_writes_on_target(m) ? MF_REVERSE : MF_FORWARD};
    struct mf_db *origin = f.direction == MF_FORWARD ? m->source : m->target;
    if (runs(m, f.direction, err) < 0) {
        return -1;
    }
    if (origin->connector->source->position(origin, &f.at, err) < 0) {
        mf_error_prefix(err, "asking the %s for its position", origin->side == MF_SOURCE ? "source" : "target");
        err->cls = MF_RETRY;
        return -1;
    }
    *ret = f;
    return 0;
}

int mf_migration_fence_passed(struct mf_migration *m, const struct mf_fence *f, bool *ret, uint64_t *ret_refused,
                              struct mf_error *err)
{
    struct mf_held h = {0};
    bool moved = mf_writes_on_target(m) != (f->direction == MF_REVERSE);
    if (!moved && runs(m, f->direction, err) < 0) {
        return -1;
    }
    MF_LOCK_SCOPE(&m->lock);
    struct mf_pipe *p = pipe_of(m, f->direction);
    if (!p) {
        return not_in_step(err);
    }
    mf_apply_how_far(p->apply, &h);
    *ret = moved || h.upto.order >= f->at.order;
    *ret_refused = h.refused;
    return 0;
}

void mf_migration_fence_nudge(struct mf_migration *m)
{
    m->beat_wanted = true;
}
