#include "sweep.h"

#include "mf_test.h"

#include <stdlib.h>

static long countdown; /* allocations until one fails; 0: never */
static bool only_once, fired;

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

static bool refuse(void)
{
    if (!countdown) {
        return false;
    }
    if (countdown > 1) {
        countdown--;
        return false;
    }
    if (only_once) {
        countdown = 0;
    }
    fired = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return refuse() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    return refuse() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
    return refuse() ? NULL : __real_realloc(p, n);
}

void mf_sweep_arm(long n, bool once)
{
    countdown = n;
    only_once = once;
    fired = fired && n == 0; /* disarming keeps what was seen */
}

bool mf_sweep_fired(void)
{
    return fired;
}

long mf_sweep(int (*run)(void *arg), void *arg, bool once)
{
    for (long n = 1; n <= 100000; n++) {
        mf_sweep_arm(n, once);
        int rc = run(arg);
        bool met = fired;
        mf_sweep_arm(0, false);
        if (!met) {
            assert_int_equal(rc, 0);
            return n - 1;
        }
    }
    fail_msg("the sweep does not end");
    return -1;
}
