#include "pipeline/stamp.h"

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

int mf_stamp_next(int64_t after, int64_t commit_us, int64_t *ret, struct mf_error *err)
{
    if (after < 0 || after >= 2 * CLOCK_MAX) {
        return mf_fail(err, MF_FATAL, "MFSPOOL", "the last transaction in the spool has an impossible stamp, %lld",
                       (long long)after);
    }
    *ret = commit_us > after && commit_us < CLOCK_MAX ? commit_us : after + 1;
    return 0;
}
