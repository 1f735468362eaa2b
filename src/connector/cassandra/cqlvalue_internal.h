/* Numbers and times of CQL, between their bytes and their texts. Each appends to b; out of room shows in b->failed. Those that read a text return
 * NULL, or what is wrong with it as a clause ("is out of range"). */
#ifndef MF_CONNECTOR_CASSANDRA_CQLVALUE_INTERNAL_H
#define MF_CONNECTOR_CASSANDRA_CQLVALUE_INTERNAL_H

#include "connector/cassandra/cqltype_internal.h"

/* ---- cqlnumber.c -- */

/* Two's complement, big-endian, into digits with a sign; false: more than CQL_DIGITS_MAX digits, or no memory. None is 0 bytes long. */
bool cql_varint_text(struct mf_buf *b, const uint8_t *p, size_t n);
/* A scale of four bytes and such a number. */
bool cql_decimal_text(struct mf_buf *b, const uint8_t *p, size_t n);
const char *cql_varint_bytes(struct mf_buf *b, const char *s, size_t n);
const char *cql_decimal_bytes(struct mf_buf *b, const char *s, size_t n);
/* A whole number of 64 bits: "-"? and digits. */
const char *cql_int_of(const char *s, size_t n, int64_t min, int64_t max, int64_t *ret);
size_t cql_put_int(char *out, int64_t v); /* 20 characters at most, no NUL */

/* ---- cqltime.c -- */

void cql_timestamp_text(struct mf_buf *b, int64_t ms);
void cql_date_text(struct mf_buf *b, uint32_t days);
void cql_time_text(struct mf_buf *b, int64_t ns);
const char *cql_timestamp_of(const char *s, size_t n, int64_t *ret_ms);
const char *cql_date_of(const char *s, size_t n, uint32_t *ret_days);
const char *cql_time_of(const char *s, size_t n, int64_t *ret_ns);
bool cql_duration_text(struct mf_buf *b, const uint8_t *p, size_t n);
const char *cql_duration_bytes(struct mf_buf *b, const char *s, size_t n);

/* The protocol's unsigned numbers of one to nine bytes. */
uint64_t cql_read_vint(struct mf_cursor *r);
void cql_put_vint(struct mf_buf *b, uint64_t v);

/* ---- cqlvalue.c -- */

#define CQL_VALUE_DEPTH 64 /* types that a lookup gave may be deeper than CQL_TYPE_DEPTH */

/* The bytes that every value of the type has within a vector; 0: each says its own length. */
size_t cql_fixed_size(const struct cql_type *t);
/* Whether there is an "empty" value beside NULL. Texts and blobs are not meant. */
bool cql_has_empty(enum cql_kind kind);
/* In single quotes within brackets. */
bool cql_is_quoted(enum cql_kind kind);

#endif
