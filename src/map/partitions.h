/* What measured sizes mean for a partition of a target that spreads rows by key: too large, growing without a bound, too few, one with most of the rows. Pure. */
#ifndef MF_MAP_PARTITIONS_H
#define MF_MAP_PARTITIONS_H

#include "connector/types.h"

struct mf_partition_limits {
    int64_t rows, bytes;
};

/* A sentence without a full stop. */
typedef void mf_warning_sink(void *ctx, const char *text);

void mf_partitions_judge(const struct mf_key_sizes *s, const struct mf_partition_limits *limits, mf_warning_sink *emit,
                         void *ctx);

#endif
