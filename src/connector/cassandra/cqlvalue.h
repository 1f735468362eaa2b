/*
 * CQL's types and values. A type comes from a result's metadata, from the text in system_schema.columns, or from the server's class name (vectors); a
 * value has two forms: its bytes on the wire and one text. Pure; fuzzed (tests/fuzz/fuzz_cql_value.c, fuzz_cql_type.c).
 *
 * Bytes become text only when they are a value of the type, and the text becomes the same bytes again, with these exceptions: a boolean that is neither 0
 * nor 1, a NaN with other bits than the usual one, a varint, decimal or duration with needless leading bytes, a tuple or UDT with trailing fields left out, all
 * of which are written in the usual way. NULL is not a text: it is the caller's.
 *
 * The texts, close to cqlsh and to what CQL reads as a literal (without its quotes where it stands alone):
 *   ascii, text    as it is; UTF-8 (ascii: below 128)
 *   bigint, int, smallint, tinyint, counter, varint   decimal digits, "-" in front where negative; varint of any length
 *   decimal        digits and "." with as many behind it as the scale says ("1.50", "-0.001"); a scale below 0 or above CQL_PLAIN_SCALE:
 *                  "15e3", "15e-20000", the unscaled digits and an exponent. The scale is kept
 *   float, double  the shortest decimal that reads back as the same (base/number.h): "0.1", "1e15", "-0", "NaN", "Infinity", "-Infinity"
 *   boolean        "true", "false"
 *   blob           "0x" and lower-case hex digits; "0x" alone is empty
 *   uuid, timeuuid "123e4567-e89b-12d3-a456-426614174000", lower case
 *   inet           "127.0.0.1", "2001:db8::1" (as inet_ntop)
 *   timestamp      "2026-11-28T01:02:03.500Z": milliseconds, always three digits, UTC; the year has four digits or more and "-" in front before year 0
 *                  (proleptic Gregorian; year 0 is 1 BC)
 *   date           "2026-11-28", the same years: from -5877641-06-23 to 5881580-07-11
 *   time           "01:02:03.000000001": always nine digits
 *   duration       "1y2mo3d4h5m6s7ms8us9ns", parts that are 0 left out, "-" in front where negative, "0s" for nothing
 *   list           [1, 2]     set   {1, 2}     map   {'a': 1, 'b': null}     in the order they have on the wire
 *   vector         [0.5, 1]
 *   tuple          (1, 'x', null)
 *   UDT            {street: 'x', number: 5}; a name in double quotes where CQL needs them
 *   custom         "0x…" as blob
 * Within brackets texts of ascii, text, timestamp, date, time and inet stand in single quotes, a quote in them doubled. What has no bytes at all (the
 * "empty" value, which most types but collections and the newer numbers have and which is not NULL) is the empty text, within brackets ''.
 *
 * Texts are read as they are written; besides that: any blanks around brackets, commas and colons; "true" and "NULL" in any case; upper-case hex digits; a
 * timestamp with a blank for "T", with 0 to 9 digits of the fraction (more than milliseconds have room for only if 0) and with "Z", "+00", "+00:00", "+0000" or
 * nothing; a time with 0 to 9 digits or no fraction; a decimal with or without an exponent; leading zeros; weeks ("2w") in a duration;
 * an UDT with fields left out, which are null, in the type's order. Nothing is rounded or cut: what does not fit is
 * refused.
 */
#ifndef MF_CONNECTOR_CASSANDRA_CQLVALUE_H
#define MF_CONNECTOR_CASSANDRA_CQLVALUE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of somebody else's: good while theirs are. n < 0 where a value may have none (CQL_LEN_NULL). */
struct cql_bytes {
    const uint8_t *p;
    int32_t n;
};

enum cql_kind { /* the protocol's numbers */
                CQL_K_CUSTOM = 0x00,
                CQL_K_ASCII = 0x01,
                CQL_K_BIGINT = 0x02,
                CQL_K_BLOB = 0x03,
                CQL_K_BOOLEAN = 0x04,
                CQL_K_COUNTER = 0x05,
                CQL_K_DECIMAL = 0x06,
                CQL_K_DOUBLE = 0x07,
                CQL_K_FLOAT = 0x08,
                CQL_K_INT = 0x09,
                CQL_K_TIMESTAMP = 0x0b,
                CQL_K_UUID = 0x0c,
                CQL_K_TEXT = 0x0d,
                CQL_K_VARINT = 0x0e,
                CQL_K_TIMEUUID = 0x0f,
                CQL_K_INET = 0x10,
                CQL_K_DATE = 0x11,
                CQL_K_TIME = 0x12,
                CQL_K_SMALLINT = 0x13,
                CQL_K_TINYINT = 0x14,
                CQL_K_DURATION = 0x15,
                CQL_K_LIST = 0x20,
                CQL_K_MAP = 0x21,
                CQL_K_SET = 0x22,
                CQL_K_UDT = 0x30,
                CQL_K_TUPLE = 0x31,
                CQL_K_VECTOR = 0x100, /* ours: on the wire it is a custom type with the class's name */
};

#define CQL_TYPE_DEPTH  32   /* types within types */
#define CQL_TYPE_PARTS  4096 /* types in one type */
#define CQL_PLAIN_SCALE 20000
#define CQL_DIGITS_MAX                                                                                                 \
    150000 /* digits of a varint or decimal, more than a numeric of PostgreSQL has: what has more is refused, both ways */

struct cql_type {
    enum cql_kind kind;
    bool frozen;                       /* only told by a text */
    uint32_t dimension;                /* VECTOR */
    uint32_t nsub;                     /* LIST, SET, VECTOR: 1; MAP: 2; TUPLE, UDT: fields */
    const struct cql_type *const *sub; /* nsub of them */
    const char *const *fields;         /* UDT: their names */
    const char *keyspace;              /* UDT; "" where it was not told */
    const char *name;                  /* UDT; CUSTOM: the class */
};

/* An [option] of the protocol. Malformed: MF_RETRY, MFPROTO, and the cursor is failed. */
int cql_type_read(struct mf_cursor *r, struct mf_arena *arena, const struct cql_type **ret, struct mf_error *err);
/* The class's name, "org.apache.cassandra.db.marshal.VectorType(…)". What is not known is CUSTOM. */
int cql_type_of_class(const char *name, struct mf_arena *arena, const struct cql_type **ret, struct mf_error *err);

/* A user-defined type by its name (as it is, without quotes); NULL: there is none. */
typedef const struct cql_type *cql_udt_lookup(void *ctx, const char *name);
/* "frozen<map<text, list<int>>>", as system_schema has it. lookup may be NULL: then a name that is no type of CQL is refused. MF_FATAL, MFTYPE. */
int cql_type_parse(const char *text, size_t n, cql_udt_lookup *lookup, void *ctx, struct mf_arena *arena,
                   const struct cql_type **ret, struct mf_error *err);
/* The same text: "frozen<list<int>>", "vector<float, 3>"; an UDT by its name, in double quotes where needed. */
void cql_type_put(struct mf_buf *b, const struct cql_type *t);
/* By structure: frozen does not count. */
bool cql_type_equal(const struct cql_type *a, const struct cql_type *b);

/* Appends the text of a value's bytes. MF_ROW, MFVALUE: they are no value of the type; b is as it was. Not for NULL. */
int cql_value_text(const struct cql_type *t, struct cql_bytes v, struct mf_buf *b, struct mf_error *err);
/* Appends the "[value]", its length and its bytes, that the text means. MF_ROW, MFVALUE: what the text is and why it is no value of the type; MFBIG: b is full.
 * b is as it was then. Not for NULL: cql_put_null. */
int cql_value_put(const struct cql_type *t, const char *text, size_t n, struct mf_buf *b, struct mf_error *err);
#endif
