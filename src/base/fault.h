/*
 * Fault points: named instants at which a test may kill, stop or fail the process.
 *
 *     MIDFLIGHT_FAULT="spool.after_fsync:3=kill"        the third time, SIGKILL
 *     MIDFLIGHT_FAULT="apply.commit=error,copy.read=stop"
 *
 * Actions: kill (SIGKILL), stop (SIGSTOP, then goes on when continued), error (that one hit fails, later ones pass).
 * nth counts from 1 and is 1 unless given. Always compiled in: the product that is tested is the product that is
 * shipped. Unset, a hit costs one relaxed load and a branch. Any thread.
 */
#ifndef MF_BASE_FAULT_H
#define MF_BASE_FAULT_H

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct mf_fault_point {
    const char *name;
    const char *sentence;
};

/* 0 before the environment was read, 1 when nothing is armed, 2 when something is. */
extern atomic_int mf_fault_state;

/* Use mf_fault_hit. */
int mf_fault_hit_slow(const char *name);

/* 0, or -1 when this hit is to fail. Does not return when it kills. */
static inline int mf_fault_hit(const char *name)
{
    return atomic_load_explicit(&mf_fault_state, memory_order_relaxed) == 1 ? 0 : mf_fault_hit_slow(name);
}

/* `if (MF_FAULT(err, "apply.commit")) return -1;` or as the value of a step: non-zero when this hit fails. */
#define MF_FAULT(err, name)                                                                                            \
    (mf_fault_hit(name) < 0 ? mf_fail((err), MF_RETRY, "MFFLT", "fault injected at %s", (name)) : 0)

/* Arms from a specification instead of the environment; NULL or "" disarms. -1 with err when it does not parse or
 * names no known point. For tests; not while other threads hit points. */
int mf_fault_arm(const char *spec, struct mf_error *err);

size_t mf_fault_count(void);
/* i < mf_fault_count(); static storage. */
const struct mf_fault_point *mf_fault_point(size_t i);

#endif
