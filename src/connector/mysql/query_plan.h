/* Two plans of one statement, as EXPLAIN gave them, and whether the second is worse. Pure. */
#ifndef MF_CONNECTOR_MYSQL_QUERY_PLAN_H
#define MF_CONNECTOR_MYSQL_QUERY_PLAN_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct my_plan_step {
    int id; /* of the SELECT it belongs to */
    char table[65], type[24], key[65];
    int64_t rows;    /* examined at each round; 0: the server did not say */
    double filtered; /* per cent that are kept */
};

#define MY_PLAN_STEPS 64
struct my_plan {
    size_t n;
    struct my_plan_step steps[MY_PLAN_STEPS]; /* more are not kept */
};

/* How many rows it examines, by the server's estimates, all rounds of nested loops together. */
double my_plan_examines(const struct my_plan *p);
/* An index is not used any more where many rows are, or over `factor` times as many rows are examined. What is worse, for a sentence, into why. */
bool my_plan_is_worse(const struct my_plan *before, const struct my_plan *after, double factor, char *why, size_t n);
/* Appends "o ref c 5 rows, p ALL 1000 rows". */
void my_plan_put(const struct my_plan *p, struct mf_buf *out);

#endif
