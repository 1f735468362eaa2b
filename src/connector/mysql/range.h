/*
 * Conditions on keys, as SQL: a chunk's range, and rows with given keys. Pure.
 *
 * A bound is the values of the key's columns one after the other, "LENGTH:BYTES". A value is written in the form in which the index
 * compares it, so that the order of the bounds is that of the index: ENUM and SET by number, BIT as a number, bytes in
 * hexadecimal, everything else as its text ("xLENGTH:DIGITS", in hexadecimal, where that has NUL bytes).
 */
#ifndef MF_CONNECTOR_MYSQL_RANGE_H
#define MF_CONNECTOR_MYSQL_RANGE_H

#include "connector/mysql/coltype.h"
#include "connector/types.h"

/* types, everywhere here: one for each of t's columns. */

/* "`a`, `b`" */
void my_put_key_names(struct mf_buf *b, const struct mf_table *t);
/* What the key is read as to make a bound of it: an expression a column, separated by commas. */
void my_put_key_bounds(struct mf_buf *b, const struct mf_table *t, const struct my_type *types);
/* Appends one value to a bound. */
void my_bound_add(struct mf_buf *bound, const char *value, size_t n);
struct my_piece {
    const char *p;
    size_t n;
    bool hex; /* a text as the hexadecimal digits of its bytes */
};
/* The next value of a bound; *at moves past it. -1: it is not ours. */
int my_bound_next(const char **at, const char *end, struct my_piece *ret);

/* Whether bounds can be made of the key: what the server compares and what its index is ordered by are the same. */
bool my_key_cuts(const struct mf_table *t, const struct my_type *types);

/* "(…)": the key is not before the bound (lower), or before it. The bound may be longer than a chunk has room for. MF_FATAL code MFCHUNK for one
 * that is not ours. */
int my_put_bound(struct mf_buf *b, const struct mf_table *t, const struct my_type *types, const char *bound, size_t n,
                 bool lower, struct mf_error *err);
/* " WHERE …" for the chunk; nothing when it is the whole table. */
int my_put_range(struct mf_buf *b, const struct mf_table *t, const struct my_type *types, const struct mf_chunk *c,
                 struct mf_error *err);
/* " WHERE …" for the rows with these keys, from *at on; *at is then the first that was left for another statement. */
int my_put_keys(struct mf_buf *b, const struct mf_table *t, const struct my_type *types, const struct mf_row *keys,
                size_t n, size_t *at, struct mf_error *err);

#endif
