/* Cutting a table into chunks: what plan.c (steps along the index) and plan_cut.c (halving by estimates) share. */
#ifndef MF_CONNECTOR_MYSQL_PLAN_H
#define MF_CONNECTOR_MYSQL_PLAN_H

#include "connector/mysql/reader.h"

#define MY_KEY_MAX ((size_t)64 << 10) /* a key as a bound; no index of these servers has longer ones */

struct my_plan {
    struct my_reader *r;
    const struct mf_table *t;
    const struct mf_chunk *whole; /* the range that is cut */
    int64_t step;                 /* rows of a chunk */
    int64_t left;                 /* rows there still are, by the server's figures */
    mf_chunk_sink *emit;
    void *ctx;
    uint32_t ordinal;
    struct mf_chunk *next; /* lower bound set, upper to come */
    struct mf_buf
        at; /* the key that the rest begins with, which may be too long to be a bound; empty: the whole's own beginning */
};

/* Ends a chunk before this key, if it can be a bound; the rest begins there. */
int my_plan_emit(struct my_plan *p, const struct mf_buf *key, int64_t rows, struct mf_error *err);
/* " WHERE …": from p->at on up to before `end` (NULL: the whole's end). */
int my_plan_put_rest(struct my_plan *p, struct mf_buf *b, const struct mf_buf *end, struct mf_error *err);
/* "SELECT ", such that it does not run for long. */
void my_plan_put_select(struct my_plan *p, struct mf_buf *b);
/* The key in the first row of a query's answer; *ret_found false when there is no row. */
int my_plan_key(struct my_plan *p, struct mf_buf *sql, struct mf_buf *ret, bool *ret_found, struct mf_error *err);
/* Cuts the rest up to before `end` in steps along the index. */
int my_plan_walk(struct my_plan *p, const struct mf_buf *end, struct mf_error *err);
/* Cuts the whole by the server's estimates. */
int my_plan_halve(struct my_plan *p, struct mf_error *err);

/* midpoint.c. Pure. A value between two of a key's column, in the form of a bound, such that low < it <= high in the order of the index as far as
 * can be told. False when none is known. */
bool my_midpoint(const struct my_type *type, const char *low, size_t nlow, const char *high, size_t nhigh,
                 struct mf_buf *ret);

#endif
