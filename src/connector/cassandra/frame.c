#include "connector/cassandra/frame_internal.h"

#include <lz4.h>
#include <string.h>
#include <zlib.h>

#define CRC24_START 0x875060u
#define CRC24_POLY  0x1974f0bu

uint32_t cql_crc24(const uint8_t *p, size_t n)
{
    uint32_t crc = CRC24_START;
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint32_t)p[i] << 16;
        for (int bit = 0; bit < 8; bit++) {
            crc <<= 1;
            if (crc & 0x1000000) {
                crc ^= CRC24_POLY;
            }
        }
    }
    return crc;
}

uint32_t cql_crc32(const void *p, size_t n)
{
    /* The protocol begins with four bytes, so that a payload of zeros has a checksum that is not 0. */
    static const uint8_t start[] = {0xfa, 0x2d, 0x55, 0xca};
    uLong crc = crc32(0, start, sizeof(start));
    return n ? (uint32_t)crc32_z(crc, p, n) : (uint32_t)crc;
}

/* ---- a request's frame -- */

size_t cql_frame_begin(struct mf_buf *b, uint8_t version, int16_t stream, enum cql_opcode opcode)
{
    size_t at = b->len;
    uint8_t h[CQL_HEADER] = {version, 0, 0, 0, (uint8_t)opcode};
    mf_put_u16be(h + 2, (uint16_t)stream);
    mf_buf_append(b, h, sizeof(h));
    return at;
}

int cql_frame_end(struct mf_buf *b, size_t at, struct mf_error *err)
{
    size_t body = b->failed || b->len < at + CQL_HEADER ? SIZE_MAX : b->len - at - CQL_HEADER;
    if (body > CQL_FRAME_MAX) {
        b->failed = false;
        b->len = at;
        return mf_fail(err, MF_ROW, "MFBIG", "a request to Cassandra is longer than %zu bytes, which one may have",
                       b->max - at < CQL_FRAME_MAX ? b->max - at : (size_t)CQL_FRAME_MAX);
    }
    mf_put_u32be(b->data + at + 5, (uint32_t)body);
    return 0;
}

/* ---- onto the wire -- */

/* The next whole frame of a run of our own. */
static size_t frame_size(const uint8_t *p, size_t left)
{
    if (left < CQL_HEADER || mf_get_u32be(p + 5) > left - CQL_HEADER) {
        return 0;
    }
    return CQL_HEADER + mf_get_u32be(p + 5);
}

/* Appends the n bytes as an LZ4 block; false, and b as it was, when that is not shorter. */
static bool put_lz4(struct mf_buf *b, const uint8_t *p, size_t n)
{
    size_t room = n > 1 ? n - 1 : 0;
    if (room == 0 || n > LZ4_MAX_INPUT_SIZE || mf_buf_reserve(b, room) < 0) {
        return false;
    }
    int packed = LZ4_compress_default((const char *)p, b->data + b->len, (int)n, (int)room);
    if (packed <= 0) {
        return false;
    }
    b->len += (size_t)packed;
    return true;
}

static void put_segment(struct mf_buf *b, bool lz4, bool whole, const uint8_t *p, size_t n)
{
    size_t at = b->len, size = lz4 ? CQL_SEGMENT_LZ4 : CQL_SEGMENT_PLAIN;
    uint8_t h[CQL_SEGMENT_LZ4 + CQL_CRC24_BYTES] = {0};
    mf_buf_append(b, h, size + CQL_CRC24_BYTES);
    size_t payload = b->len, unpacked = 0;
    if (lz4 && !b->failed && put_lz4(b, p, n)) {
        unpacked = n;
    } else {
        mf_buf_append(b, p, n);
    }
    uint8_t trailer[CQL_CRC32_BYTES] = {0};
    mf_buf_append(b, trailer, sizeof(trailer));
    if (b->failed) {
        return;
    }
    uint64_t length = b->len - payload - CQL_CRC32_BYTES;
    uint64_t v = lz4 ? length | unpacked << CQL_LENGTH_BITS | (uint64_t)whole << 2 * CQL_LENGTH_BITS
                     : length | (uint64_t)whole << CQL_LENGTH_BITS;
    cql_put_le(h, size, v);
    cql_put_le(h + size, CQL_CRC24_BYTES, cql_crc24(h, size));
    memcpy(b->data + at, h, size + CQL_CRC24_BYTES);
    cql_put_le((uint8_t *)b->data + payload + length, CQL_CRC32_BYTES, cql_crc32(b->data + payload, length));
}

static bool put_segments(struct mf_buf *b, bool lz4, const uint8_t *p, size_t n)
{
    while (n > 0) {
        size_t run = 0, size = 0;
        while (run < n && (size = frame_size(p + run, n - run)) > 0 && run + size <= CQL_SEGMENT_MAX) {
            run += size;
        }
        if (run < n && size == 0) {
            return false;
        }
        if (run > 0) {
            put_segment(b, lz4, true, p, run);
        } else {
            run = size;
            for (size_t at = 0; at < size; at += CQL_SEGMENT_MAX) {
                put_segment(b, lz4, false, p + at, size - at < CQL_SEGMENT_MAX ? size - at : CQL_SEGMENT_MAX);
            }
        }
        p += run;
        n -= run;
    }
    return true;
}

/* Version 4: each body on its own, with its length in front. STARTUP is what asks for it. */
static bool put_packed_frames(struct mf_buf *b, const uint8_t *p, size_t n)
{
    while (n > 0) {
        size_t size = frame_size(p, n), at = b->len;
        if (size == 0) {
            return false;
        }
        bool may = p[4] != CQL_STARTUP && p[4] != CQL_OPTIONS;
        mf_buf_append(b, p, CQL_HEADER);
        mf_buf_put_u32be(b, (uint32_t)(size - CQL_HEADER));
        if (may && !b->failed && put_lz4(b, p + CQL_HEADER, size - CQL_HEADER) && b->len - at < size) {
            b->data[at + 1] |= CQL_FLAG_COMPRESSED;
            mf_put_u32be(b->data + at + 5, (uint32_t)(b->len - at - CQL_HEADER));
        } else if (!b->failed) {
            b->len = at;
            mf_buf_append(b, p, size);
        }
        p += size;
        n -= size;
    }
    return true;
}

int cql_wire_put(struct mf_buf *ret, const struct cql_wire *wire, const void *frames, size_t n, struct mf_error *err)
{
    size_t before = ret->len;
    bool whole = true;
    if (wire->segments) {
        whole = put_segments(ret, wire->lz4, frames, n);
    } else if (wire->lz4) {
        whole = put_packed_frames(ret, frames, n);
    } else {
        mf_buf_append(ret, frames, n);
    }
    if (whole && mf_buf_ok(ret)) {
        return 0;
    }
    ret->len = before;
    ret->failed = false;
    if (!whole) {
        return mf_fail(err, MF_FATAL, "MFBUG", "%zu bytes for Cassandra are not whole frames", n);
    }
    return mf_fail(err, MF_FATAL, "MFBIG", "%zu bytes for Cassandra do not fit in what may wait to be sent (%zu bytes)",
                   n, ret->max);
}
