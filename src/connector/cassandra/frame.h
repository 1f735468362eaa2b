/*
 * CQL's native protocol, versions 5 and 4, as bytes: frames, and the checksummed segments that version 5 packs them into. Pure: no socket, no
 * clock; fuzzed (tests/fuzz/fuzz_cql_frame.c).
 *
 * A frame is a header of nine bytes and a body: version, flags, stream, opcode, length. Version 4 sends frames as they are, with LZ4 each body on its
 * own. Version 5 sends only what is before and including the answer to STARTUP so; everything behind it, both ways, stands in segments:
 *
 *     plain   17 bits length, 1 bit self-contained, 6 of nothing      CRC24 of these 3 bytes   payload   CRC32 of the payload
 *     lz4     17 bits length on the wire, 17 bits length unpacked,    CRC24 of these 5 bytes   payload   CRC32 of the payload on the wire
 *             1 bit self-contained, 5 of nothing
 *
 * all little-endian. A self-contained segment has whole frames, one or more; a frame longer than a segment has segments of its own, none of them
 * self-contained. Unpacked length 0: the payload was left as it is. Frames in segments are never compressed themselves.
 *
 * Whoever writes appends whole frames to a buffer (message.h) and turns runs of them into what goes over the wire by cql_wire_put. Whoever reads hands
 * bytes to a cql_reader as they arrive and takes frames out.
 */
#ifndef MF_CONNECTOR_CASSANDRA_FRAME_H
#define MF_CONNECTOR_CASSANDRA_FRAME_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CQL_VERSION_MIN 4
#define CQL_VERSION_MAX 5
#define CQL_HEADER      9
#define CQL_SEGMENT_MAX 131071      /* bytes of a segment's payload */
#define CQL_FRAME_MAX   (256 << 20) /* bytes of a body: the protocol's own limit */

enum cql_opcode {
    CQL_ERROR = 0x00,
    CQL_STARTUP = 0x01,
    CQL_READY = 0x02,
    CQL_AUTHENTICATE = 0x03,
    CQL_OPTIONS = 0x05,
    CQL_SUPPORTED = 0x06,
    CQL_QUERY = 0x07,
    CQL_RESULT = 0x08,
    CQL_PREPARE = 0x09,
    CQL_EXECUTE = 0x0a,
    CQL_REGISTER = 0x0b,
    CQL_EVENT = 0x0c,
    CQL_BATCH = 0x0d,
    CQL_AUTH_CHALLENGE = 0x0e,
    CQL_AUTH_RESPONSE = 0x0f,
    CQL_AUTH_SUCCESS = 0x10,
};

enum cql_frame_flag {
    CQL_FLAG_COMPRESSED = 0x01, /* never seen behind a cql_reader: it unpacks */
    CQL_FLAG_TRACING = 0x02,
    CQL_FLAG_PAYLOAD = 0x04,
    CQL_FLAG_WARNING = 0x08,
    CQL_FLAG_BETA = 0x10,
};

struct cql_frame {
    uint8_t version; /* without the bit that says response */
    uint8_t flags;
    uint8_t opcode;
    int16_t stream; /* -1: an event */
    const uint8_t *body;
    size_t len;
};

/* ---- writing -- */

/* Appends the header of a request; the body is appended behind it by whoever calls. Returns where the frame begins in b, for cql_frame_end. Failures to
 * append stay in b->failed and are told by cql_frame_end. */
size_t cql_frame_begin(struct mf_buf *b, uint8_t version, int16_t stream, enum cql_opcode opcode);
/* Writes the length. On failure (the buffer's maximum, CQL_FRAME_MAX: MF_ROW, code MFBIG) b is as it was before cql_frame_begin, and not failed. */
int cql_frame_end(struct mf_buf *b, size_t at, struct mf_error *err);

/* How a connection speaks. All zero but version before STARTUP. */
struct cql_wire {
    uint8_t version;
    bool segments; /* version 5, once the answer to STARTUP was read */
    bool
        lz4; /* STARTUP asked for it; in version 4 from then on, since its answer may be packed already; in version 5 with segments */
};

/* Appends to `ret` what goes over the wire for the n bytes of whole request frames. Small frames share segments. MF_FATAL MFBUG when the bytes are no
 * whole frames, MFBIG when ret is full (then ret is as it was). */
int cql_wire_put(struct mf_buf *ret, const struct cql_wire *wire, const void *frames, size_t n, struct mf_error *err);

/* ---- reading -- */

struct cql_reader; /* one thread at a time */

/* max_frame bounds the body of a frame, packed or not: more is an error, before any of it is kept. Memory follows what has arrived, never what a length
 * claims. NULL only when out of memory. */
struct cql_reader *cql_reader_new(size_t max_frame);
void cql_reader_free(struct cql_reader *r); /* NULL is allowed */
/* From the next byte that was not yet taken out as a frame: what the connection speaks now. */
void cql_reader_speak(struct cql_reader *r, const struct cql_wire *wire);
/* Room for bytes that are read next, at least 1; NULL when out of memory. Then how many of them came. */
void *cql_reader_room(struct cql_reader *r, size_t *ret_n);
void cql_reader_took(struct cql_reader *r, size_t n);
/* 1: a frame, whose body is good until the next call with this reader; 0: more bytes are needed; -1: what came is no frame of this protocol, or a
 * checksum is wrong (MF_RETRY, code MFPROTO: the connection is to be given up), or a body is longer than max_frame (MF_FATAL, MFBIG). An error stays. */
int cql_reader_next(struct cql_reader *r, struct cql_frame *ret, struct mf_error *err);
/* Bytes it holds, for figures. */
size_t cql_reader_held(const struct cql_reader *r);

/* The checksums, for tests. */
uint32_t cql_crc24(const uint8_t *p, size_t n);
uint32_t cql_crc32(const void *p, size_t n);

#endif
