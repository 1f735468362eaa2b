/* Expressions over the columns of one row, for columns of query tables: `month(placed_at)`, `bucket(id, 16)`, `concat(first, ' ', last)`.
 *
 * A result depends on the row's canonical values alone, not on a session, a locale or the time: it is the same whoever makes it, today or after a crash. So an
 * expression may be in a query table's key. An application can make all of them by itself; bucket() is CRC-32 (zlib's) of the canonical text, modulo n.
 *
 *   day(c) week(c) month(c) year(c)   DATE: where the day, the week (Monday), the month, the year of a DATE, DATETIME or INSTANT (in UTC) begins
 *   hour(c)                           as c, a DATETIME or INSTANT: where its hour begins
 *   bucket(c, n)                      INT from 0 to n - 1
 *   left(c, n)                        TEXT: the first n characters
 *   concat(a, b, …)                   TEXT: of columns and constants
 *   coalesce(c, x)                    as c; x where it is NULL
 *
 * Of NULL all but coalesce are NULL. Pure; any thread. */
#ifndef MF_MODEL_EXPR_H
#define MF_MODEL_EXPR_H

#include "base/error.h"
#include "model/type.h"
#include "model/value.h"

enum mf_expr_call {
    MF_EXPR_DAY,
    MF_EXPR_WEEK,
    MF_EXPR_MONTH,
    MF_EXPR_YEAR,
    MF_EXPR_HOUR,
    MF_EXPR_BUCKET,
    MF_EXPR_LEFT,
    MF_EXPR_CONCAT,
    MF_EXPR_COALESCE,
};

struct mf_expr_arg {
    const char *column; /* NULL: `constant` */
    struct mf_value constant;
    /* Set by whoever knows the row, before mf_expr_value: */
    uint16_t of; /* its place in the row */
    enum mf_kind kind;
};

struct mf_expr {
    enum mf_expr_call call;
    const char *text; /* as it was written */
    uint32_t number;  /* the n of bucket and left */
    uint16_t nargs;
    struct mf_expr_arg *args; /* without that n */
};

/* -1: MF_USAGE code MFEXPR, why it is none; in the arena, which has everything of *ret. */
int mf_expr_parse(struct mf_arena *arena, const char *text, struct mf_expr *ret, struct mf_error *err);
/* The type of its values, args[i] being of types[i] (NULL: a constant); sets the kinds. -1: MF_USAGE code MFEXPR, which argument does not go, and why. */
int mf_expr_type(struct mf_expr *x, const struct mf_type *const *types, struct mf_type *ret, struct mf_error *err);
/* Of a row that has every column of it at its place. MF_UNCHANGED where an argument is that; MF_REFUSED where one is, or where there is no such value (the month
 * of "infinity"). -1: the arena is full. The result is a view of the row or in the arena. */
int mf_expr_value(const struct mf_expr *x, struct mf_arena *arena, const struct mf_row *row, struct mf_value *ret);
/* How many of its arguments are columns. */
uint16_t mf_expr_columns(const struct mf_expr *x);
/* A deep copy; false: the arena is full. */
bool mf_expr_copy(struct mf_arena *arena, struct mf_expr *dst, const struct mf_expr *src);

#endif
