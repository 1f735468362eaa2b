#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * MF_US_PER_SEC + ts.tv_nsec / 1000;
}

int64_t mf_now_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t mf_lease_us(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int64_t mf_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

void mf_sleep_us(int64_t us)
{
    if (us > 0) {
        struct timespec ts = {.tv_sec = (time_t)(us / MF_US_PER_SEC), .tv_nsec = (long)(us % MF_US_PER_SEC) * 1000};
        nanosleep(&ts, NULL);
    }
}

char *mf_format_utc(int64_t wall_us, char *buf, size_t size)
{
    int64_t sec = wall_us / MF_US_PER_SEC;
    int64_t frac = wall_us % MF_US_PER_SEC;
    if (frac < 0) {
        frac += MF_US_PER_SEC;
        sec--;
    }
    time_t t = (time_t)sec;
    struct tm tm;
    if (!gmtime_r(&t, &tm)) {
        snprintf(buf, size, "?");
        return buf;
    }
    snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec, (int)frac);
    return buf;
}
