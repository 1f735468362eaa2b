/* How far behind the side that follows is, in time.
 *
 * While both stages of the live stream work, what waits in the spool says it. When the origin is not heard of (it is down, its stream is being
 * opened again, this run has just begun) an empty spool says nothing: then it is the time since the two sides were last known to be even, which grows
 * until they are known to be so again. Kept in the state now and then, so that a new run does not begin by claiming 0. */
#include "migration/internal.h"

#include "base/clock.h"

#define QUIET_US (3 * MF_US_PER_SEC) /* it is sampled every second */
#define KEEP_US  (5 * MF_US_PER_SEC)

static double in_spool(struct mf_pipe *pipe, bool *ret_known)
{
    struct mf_capture_stats c;
    struct mf_apply_stats a;
    struct mf_spool_stats s;
    mf_pipe_stats(pipe, &c, &a, &s);
    *ret_known = a.reached > 0 && (!pipe->capture || c.received.order > 0);
    if (!pipe->capture) {
        return (double)a.lag_us / 1e6;
    }
    /* What waits was committed after both: the last commit applied, and the last time that nothing waited. A run that has seen neither does not
     * know since when it waits. */
    int64_t since = a.last_commit_time_us > a.caught_up_us ? a.last_commit_time_us : a.caught_up_us;
    bool waits = s.written.order > a.reached;
    *ret_known = *ret_known && (since || !waits);
    double lag = waits && since ? (double)(mf_wall_us() - since) / 1e6 : 0;
    return lag > 0 ? lag : 0;
}

void mf_lag_even(struct mf_migration *m, double lag_seconds)
{
    int64_t now = mf_wall_us();
    pthread_mutex_lock(&m->lock);
    m->heard_us = mf_now_us();
    m->even_us = now - (int64_t)(lag_seconds * 1e6);
    int64_t even = m->even_us;
    pthread_mutex_unlock(&m->lock);
    if (now - m->even_kept_us >= KEEP_US || now < m->even_kept_us) {
        m->even_kept_us = now;
        mf_state_set_int(m->state, "even_us", even, NULL);
    }
}

void mf_lag_begin(struct mf_migration *m)
{
    if (m->even_us) {
        return;
    }
    int64_t even = mf_state_int(m->state, "even_us", 0);
    if (even == 0) {
        even = mf_wall_us();
        mf_state_set_int(m->state, "even_us", even, NULL);
    }
    MF_LOCK_SCOPE(&m->lock);
    m->even_us = even;
}

void mf_lag_heard(struct mf_migration *m, struct mf_pipe *live)
{
    struct mf_error trouble = {0};
    bool known;
    double lag = in_spool(live, &known);
    mf_pipe_trouble(live, &trouble);
    if (known && trouble.cls == MF_OK) {
        mf_lag_even(m, lag);
    }
}

double mf_lag_unheard(struct mf_migration *m)
{
    int64_t even = m->even_us ? m->even_us : mf_state_int(m->state, "even_us", 0), now = mf_wall_us();
    return even == 0 ? -1 : now > even ? (double)(now - even) / 1e6 : 0;
}

double mf_lag_seconds(struct mf_migration *m, struct mf_pipe *pipe)
{
    bool known;
    double lag = in_spool(pipe, &known);
    if (pipe != mf_live_pipe(m) || m->cutover || (m->heard_us && mf_now_us() - m->heard_us < QUIET_US)) {
        return lag;
    }
    double unheard = mf_lag_unheard(m);
    return unheard > lag ? unheard : lag;
}
