/*
 * Allocation sweeps: fail the 1st, 2nd, n-th allocation until the case gets by without meeting the failing one.
 *
 * A program in mf_sweep_tests is linked so that every malloc, calloc, realloc and strdup-like call of midflight's own
 * code goes through a counter. A case returns 0 when it did its work and -1 when it reported a failure; what it must
 * never do is crash, leak (ASan looks), report success with work undone, or change its outputs on failure: those it
 * asserts itself. One thread.
 */
#ifndef MF_TESTS_UNIT_SWEEP_H
#define MF_TESTS_UNIT_SWEEP_H

#include <stdbool.h>

/* Runs the case with the n-th allocation failing, n = 1, 2, …, until no allocation failed; fails the test when a run
 * in which one failed still crashed its own assertions, or when it is not over after 100000 runs. Returns how many
 * runs met a failure. `once`: only the n-th fails; otherwise the n-th and all after it. */
long mf_sweep(int (*run)(void *arg), void *arg, bool once);

/* Arms by hand: the n-th allocation from now on fails (0: none). mf_sweep_fired() says whether it came to that. */
void mf_sweep_arm(long n, bool once);
bool mf_sweep_fired(void);

#endif
