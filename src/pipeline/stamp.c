#include "pipeline/stamp.h"

#include "base/clock.h"

#define SLACK_US  (60 * MF_US_PER_SEC) /* clocks of two machines may differ by so much */
#define RENEW_US  MF_US_PER_SEC
#define CLOCK_MAX (INT64_C(1) << 60) /* the year 38505: what no clock says is not taken for time */

const char *mf_stamp_key(enum mf_direction d)
{
    return d == MF_FORWARD ? "stamp.forward" : "stamp.reverse";
}

static const char *raised_key(enum mf_direction d)
{
    return d == MF_FORWARD ? "stamp.raised.forward" : "stamp.raised.reverse";
}

int64_t mf_stamp_floor(struct mf_state *s, enum mf_direction d)
{
    int64_t first = mf_state_int(s, mf_stamp_key(d), 0), raised = mf_state_int(s, raised_key(d), 0);
    return raised > first ? raised : first;
}

int mf_stamp_raise(struct mf_state *s, enum mf_direction d, int64_t stamp, struct mf_error *err)
{
    return stamp > mf_stamp_floor(s, d) ? mf_state_set_int(s, raised_key(d), stamp, err) : 0;
}

static const char *reserved_key(enum mf_direction d)
{
    return d == MF_FORWARD ? "stamp.reserved.forward" : "stamp.reserved.reverse";
}

int64_t mf_stamp_reserved(struct mf_state *s, enum mf_direction d)
{
    return mf_state_int(s, reserved_key(d), 0);
}

int mf_stamp_reserve(struct mf_state *s, enum mf_direction d, int64_t upto, struct mf_error *err)
{
    return mf_state_set_int(s, reserved_key(d), upto, err);
}

static const char *met_key(enum mf_direction d)
{
    return d == MF_FORWARD ? "stamp.met.forward" : "stamp.met.reverse";
}

int64_t mf_stamp_met(struct mf_state *s, enum mf_direction d)
{
    return mf_state_int(s, met_key(d), 0);
}

int64_t mf_stamp_believed(int64_t says_us, int64_t met_us)
{
    return says_us > met_us + SLACK_US ? met_us : says_us > 0 ? says_us : 0;
}

int mf_stamp_time(struct mf_state *s, enum mf_direction d, int64_t says_us, int64_t *met_us, int64_t *ret,
                  struct mf_error *err)
{
    if (says_us > *met_us + SLACK_US) {
        int64_t now = mf_wall_us();
        if (now >= *met_us + RENEW_US) {
            if (mf_state_set_int(s, met_key(d), now, err) < 0) {
                return -1;
            }
            *met_us = now;
        }
    }
    *ret = mf_stamp_believed(says_us, *met_us);
    return 0;
}

int mf_stamp_next(int64_t after, int64_t commit_us, int64_t *ret, struct mf_error *err)
{
    if (after < 0 || after >= 2 * CLOCK_MAX) {
        return mf_fail(err, MF_FATAL, "MFSPOOL", "the last transaction in the spool has an impossible stamp, %lld",
                       (long long)after);
    }
    *ret = commit_us > after && commit_us < CLOCK_MAX ? commit_us : after + 1;
    return 0;
}
