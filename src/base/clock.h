/* Time, in microseconds, in 64 signed bits. Any thread. */
#ifndef MF_BASE_CLOCK_H
#define MF_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define MF_US_PER_SEC INT64_C(1000000)
#define MF_US_PER_MS  INT64_C(1000)

/* Monotonic: for durations and deadlines. Its zero is arbitrary and differs between runs. */
int64_t mf_now_us(void);
/* The same, but it goes on while the machine sleeps: for what others take from us when we are silent. */
int64_t mf_lease_us(void);
/* Since 1970-01-01 UTC: for what people read and what is stored. May jump. */
int64_t mf_wall_us(void);
/* Sleeps; returns early on a signal. Only for bounded back-off, never to wait for something to happen. */
void mf_sleep_us(int64_t us);
/* "2026-01-31T12:34:56.789012Z" into buf, which has room for at least 32 bytes. Returns buf. */
char *mf_format_utc(int64_t wall_us, char *buf, size_t size);

#endif
