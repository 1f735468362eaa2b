/* What writing and reading of segments share. */
#ifndef MF_CONNECTOR_CASSANDRA_FRAME_INTERNAL_H
#define MF_CONNECTOR_CASSANDRA_FRAME_INTERNAL_H

#include "connector/cassandra/frame.h"

#define CQL_RESPONSE      0x80 /* in a frame's version byte */
#define CQL_CRC24_BYTES   3
#define CQL_CRC32_BYTES   4
#define CQL_SEGMENT_PLAIN 3 /* bytes of a segment's header before its checksum */
#define CQL_SEGMENT_LZ4   5
#define CQL_LENGTH_BITS   17
#define CQL_LENGTH_MASK   0x1ffffu

static inline uint64_t cql_get_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = n; i-- > 0;) {
        v = v << 8 | p[i];
    }
    return v;
}

static inline void cql_put_le(uint8_t *p, size_t n, uint64_t v)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(v >> 8 * i);
    }
}

#endif
