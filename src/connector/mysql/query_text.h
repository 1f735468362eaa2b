/*
 * A server's normalised statement made one that can be prepared and planned again. Pure; fuzzed.
 *
 * Servers keep statements in their statistics without literals: SELECT * FROM `t` WHERE `a` = ? AND `b` IN (...) LIMIT ?, ... What is lost is
 * put back in one of two forms: parameter markers, for PREPARE, or literals that somebody who knows the columns gives, for EXPLAIN.
 * Not every text can be made a statement again. One that cannot is refused by the server it came from, too: only what that
 * server takes says anything about another.
 */
#ifndef MF_CONNECTOR_MYSQL_QUERY_TEXT_H
#define MF_CONNECTOR_MYSQL_QUERY_TEXT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum my_query_plan {
    MY_PLAN_READ,  /* a SELECT; of an INSERT … SELECT the SELECT */
    MY_PLAN_WRITE, /* an UPDATE or DELETE of one table, without a subquery */
    MY_PLAN_NONE,  /* anything else: it is parsed only */
};

/* What stands in a statement for a literal compared with this column; table: "" when the text does not say it. column "": nothing is known. */
typedef void my_stand_in(void *ctx, const char *table, const char *column, struct mf_buf *out);

/* Appends it with parameter markers. */
void my_query_markers(const char *text, size_t n, struct mf_buf *out);
/* Appends what EXPLAIN is to be given, without FOR UPDATE and the like. MY_PLAN_NONE: nothing. */
enum my_query_plan my_query_literals(const char *text, size_t n, my_stand_in *give, void *ctx, struct mf_buf *out);

/* Where the part to be planned begins; n: nowhere. */
size_t my_query_planned(const char *text, size_t n, enum my_query_plan *ret);

/* A function that is not known to be without effect and soon done: a stored one, SLEEP, GET_LOCK. Planning may call functions. In a normalised
 * text, or (any: names need not be quoted) in that of a view. The name, cut. */
bool my_query_calls_unknown(const char *text, size_t n, bool any, char *ret, size_t size);

/* Calls it for every quoted name. */
void my_query_names(const char *text, size_t n, void (*each)(void *ctx, const char *name), void *ctx);

#endif
