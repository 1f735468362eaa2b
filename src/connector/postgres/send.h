/*
 * Values on their way to the target: columns of rows as one-dimensional binary arrays, for unnest().
 *
 * A value comes as the source's text. Most types go on as elements of text[] and are read by the target type's own
 * input function (a cast from text without a type modifier: an explicit cast to varchar(3) would cut silently, the
 * assignment that follows refuses). A few common types are short in binary and cheap to parse, and go as such.
 *
 * What no server would refuse but only cut or round (a numeric's scale, fractions of seconds, trailing blanks over a
 * varchar's length, a time zone into a type without one) is refused here: nothing is changed silently. Pure; any
 * thread.
 */
#ifndef MF_CONNECTOR_POSTGRES_SEND_H
#define MF_CONNECTOR_POSTGRES_SEND_H

#include "base/buf.h"
#include "model/value.h"

#include <stddef.h>

#include "base/error.h"

enum pg_send {
    PG_SEND_TEXT,
    PG_SEND_INT2,
    PG_SEND_INT4,
    PG_SEND_INT8,
    PG_SEND_BOOL,
    PG_SEND_UUID,
    PG_SEND_BYTEA,
    PG_SEND_CHAR /* "char", as its number: servers before 15 read the text \377 as a backslash, and write the bare byte */
};

/* Oids of the built-in types that are told apart. */
enum pg_oid {
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_CHAR = 18,
    PG_NAME = 19,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_FLOAT4 = 700,
    PG_FLOAT8 = 701,
    PG_BPCHAR = 1042,
    PG_VARCHAR = 1043,
    PG_DATE = 1082,
    PG_TIME = 1083,
    PG_TIMESTAMP = 1114,
    PG_TIMESTAMPTZ = 1184,
    PG_INTERVAL = 1186,
    PG_TIMETZ = 1266,
    PG_NUMERIC = 1700,
    PG_REGCLASS = 2205,
    PG_UUID = 2950,
};

/* How values for a column of this base type (domains looked through) are sent. */
enum pg_send pg_send_for(uint32_t base_type);
/* The type of the array's elements, as SQL. */
const char *pg_send_type(enum pg_send s);
/* True when the element must be cast to reach the type. */
bool pg_send_needs_cast(enum pg_send s, uint32_t base_type);

/* What the values of a column are made of, domains and arrays looked through. */
struct pg_made {
    uint32_t type;
    int32_t typmod;
    bool array; /* a value is an array of it */
};

/* NULL when such a column holds the value exactly or the server will say that it cannot; otherwise why not (static text). Of an
 * array each element is looked at. */
const char *pg_inexact(const struct pg_made *m, const struct mf_value *v);

/* Appends the whole array. Element i is column `col` of rows[i]. -1: *ret_bad is the row at fault and *ret_why says why (static
 * text), or ret_bad = n when the array is too big for its buffer. MF_UNCHANGED counts as NULL. */
int pg_put_array(struct mf_buf *b, enum pg_send s, const struct pg_made *m, const struct mf_row *const *rows, size_t n,
                 uint16_t col, size_t *ret_bad, const char **ret_why);

#endif
