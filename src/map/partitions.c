/* See partitions.h. */
#include "map/partitions.h"

#include "base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define FEW       16   /* partitions, for the nodes of a cluster */
#define MANY_ROWS 1000 /* below that nothing is hot */
#define HOT_SHARE 10   /* per cent of all rows in one */
#define SOON_DAYS 730
#define SOME_ROWS 10 /* from fewer no growth is told */

struct judge {
    mf_warning_sink *emit;
    void *ctx;
    const char *about; /* "about " where only a part was read */
};

__attribute__((format(printf, 2, 3))) static void say(const struct judge *j, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    j->emit(j->ctx, text);
}

static void judge_size(const struct judge *j, const struct mf_key_sizes *s, const struct mf_partition_limits *l)
{
    char has[32], may[32];
    if (s->max_rows > l->rows) {
        say(j,
            "the largest partition has %s%" PRId64 " rows, more than %" PRId64
            " (plan.partition_rows): add a column that divides it, such as bucket(key, n), to the partition key",
            j->about, s->max_rows, l->rows);
    }
    if (s->max_bytes > l->bytes) {
        say(j,
            "the largest partition has %s%s, more than %s (plan.partition_bytes): add a column that divides it, such "
            "as bucket(key, n), to the "
            "partition key",
            j->about, mf_format_size((uint64_t)s->max_bytes, has, sizeof has),
            mf_format_size((uint64_t)l->bytes, may, sizeof may));
    }
}

static void judge_growth(const struct judge *j, const struct mf_key_sizes *s, const struct mf_partition_limits *l)
{
    if (s->days < 1 || s->max_rows < SOME_ROWS || s->max_rows > l->rows || s->max_bytes > l->bytes) {
        return;
    }
    double rows = (double)(l->rows - s->max_rows) * s->days / (double)s->max_rows;
    double bytes = s->max_bytes > 0 ? (double)(l->bytes - s->max_bytes) * s->days / (double)s->max_bytes : rows;
    double days = rows < bytes ? rows : bytes;
    if (days < SOON_DAYS) {
        say(j,
            "nothing bounds a partition in time: the largest grew by about %.0f rows a day and is too large in about "
            "%.0f days; a column with the month or the day in the partition key bounds it (expr: month(column))",
            (double)s->max_rows / s->days, days);
    }
}

static void judge_spread(const struct judge *j, const struct mf_key_sizes *s)
{
    double all = s->part > 0 ? (double)(s->rows - s->nulls) / s->part : 0;
    if (all < MANY_ROWS || s->keys == 0) {
        return;
    }
    if (s->keys < FEW) {
        say(j, "there are only %" PRId64 " partitions: all reads and writes fall on as few places (hot partitions)",
            s->keys);
    } else if ((double)s->max_rows * 100 > all * HOT_SHARE) {
        say(j, "one partition has %s%.0f %% of all rows (a hot partition)", j->about, (double)s->max_rows * 100 / all);
    }
}

void mf_partitions_judge(const struct mf_key_sizes *s, const struct mf_partition_limits *limits, mf_warning_sink *emit,
                         void *ctx)
{
    const struct judge j = {emit, ctx, s->part < 1 ? "about " : ""};
    if (s->nulls > 0) {
        say(&j,
            "%" PRId64 " of the %" PRId64 " rows read have NULL in a column of its key: they would wait in quarantine",
            s->nulls, s->rows);
    }
    judge_size(&j, s, limits);
    judge_growth(&j, s, limits);
    judge_spread(&j, s);
}
