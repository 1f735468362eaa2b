/*
 * Which token a partition has: Murmur3 (x64, 128 bits, the upper half) as Cassandra's Murmur3Partitioner computes it. It is not the published
 * function: bytes of the tail are taken as signed, and the smallest token becomes the largest. Pure; any thread.
 */
#ifndef MF_CONNECTOR_CASSANDRA_TOKEN_H
#define MF_CONNECTOR_CASSANDRA_TOKEN_H

#include "connector/cassandra/message.h"

int64_t cql_token(const void *routing_key, size_t n);

/* Appends the routing key of a partition key: of one column its bytes, of several each one's length, bytes, and a 0. MF_ROW (code MFVALUE): a part is NULL
 * or unset, or the whole is empty or longer than 65535 bytes: no partition has such a key. MFBIG: b is full. */
int cql_routing_key(struct mf_buf *b, const struct cql_bytes *parts, size_t n, struct mf_error *err);

/* The token of a statement's values, by the markers that make up the partition key (cql_prepared.pk). Errors as above; npk 0 is MFBUG. */
int cql_values_token(const struct cql_values *v, const uint16_t *pk, uint16_t npk, int64_t *ret, struct mf_error *err);

#endif
