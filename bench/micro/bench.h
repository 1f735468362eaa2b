/* What the micro benchmarks share: rows like pgbench's, and a clock. Each prints one line a figure. */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include "base/clock.h"
#include "base/mem.h"
#include "change/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint64_t bench_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s >> 11;
}

/* pgbench_accounts: aid (key), bid, abalance, filler char(84). */
static struct mf_column bench_columns[4] = {
    {.name = "aid", .type_id = 23, .type_mod = -1, .in_key = true},
    {.name = "bid", .type_id = 23, .type_mod = -1},
    {.name = "abalance", .type_id = 23, .type_mod = -1},
    {.name = "filler", .type_id = 1042, .type_mod = 88},
};
static uint16_t bench_key[1] = {0};
static const struct mf_table bench_table = {.id = 16384,
                                            .schema = "public",
                                            .name = "pgbench_accounts",
                                            .ncolumns = 4,
                                            .nkey = 1,
                                            .columns = bench_columns,
                                            .key = bench_key,
                                            .rows_estimate = -1};

struct bench_row {
    struct mf_value values[4];
    char text[128];
};

/* An update of account `aid` to `balance`. */
static inline struct mf_change bench_update(struct bench_row *r, uint32_t rel, unsigned aid, unsigned balance)
{
    char *p = r->text;
    int n = snprintf(p, sizeof(r->text), "%u", aid);
    r->values[0] = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = p};
    p += n;
    r->values[1] = (struct mf_value){.kind = MF_TEXT, .len = 1, .data = "1"};
    n = snprintf(p, 16, "%u", balance);
    r->values[2] = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = p};
    p += n;
    memset(p, ' ', 84);
    r->values[3] = (struct mf_value){.kind = MF_TEXT, .len = 84, .data = p};
    return (struct mf_change){
        .op = MF_UPDATE, .rel = rel, .table = &bench_table, .new_row = {.n = 4, .values = r->values}};
}

/* Time on a processor, in microseconds: what the code costs when the machine has other work too. */
static inline int64_t bench_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline void bench_rate(const char *what, double count, const char *unit, int64_t us)
{
    printf("%-52s %10.2f %s a second of CPU (%.3f s)\n", what, count / (double)us, unit, (double)us / 1e6);
}

static inline void bench_ok(int rc, const struct mf_error *err)
{
    if (rc < 0) {
        fprintf(stderr, "%s [%s]\n", err->text, err->code);
        exit(1);
    }
}

#endif
