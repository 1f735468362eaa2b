/*
 * Bytes as they arrive into frames.
 *
 * `in` holds what has arrived and was not taken out. A frame that stands in it whole, alone or in a segment that was not packed, is handed out as a view;
 * what LZ4 packed is unpacked into `unpacked`; a frame of several segments is put together in `big`. A segment stays in `in` until its last frame is
 * out, since room() moves what is before it away.
 *
 * Bounds: `in` never holds more than one frame or segment of the largest size and a little of the next; `unpacked` and `big` have max_frame as
 * their maximum. A length is believed only as far as to wait for more bytes: memory grows with what came. LZ4 makes at most 255 bytes of
 * one, so what a packed body claims to become is held against that before there is memory for it.
 */
#include "connector/cassandra/frame_internal.h"

#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#define ROOM     (16u << 10) /* at least so much is read at once, where it may be */
#define KEPT     (1u << 20)  /* larger buffers are given back when they are empty */
#define LZ4_GAIN 255

struct cql_reader {
    size_t max_frame, max_in;
    struct cql_wire wire;
    uint8_t *in;
    size_t start, end, cap; /* in[start..end): not taken out */
    size_t segment;         /* bytes of `in` from start that the segment has whose frames are being handed out */
    const struct mf_buf *payload_of; /* NULL: `in` */
    size_t payload, left;            /* where in that the rest of its payload is; for `in`, from start */
    struct mf_buf unpacked, big;
    bool big_out; /* `big` was handed out */
    bool failed;
    struct mf_error err;
};

struct cql_reader *cql_reader_new(size_t max_frame)
{
    struct cql_reader *r = calloc(1, sizeof(*r));
    if (!r) {
        return NULL;
    }
    r->max_frame = max_frame < CQL_FRAME_MAX ? max_frame : CQL_FRAME_MAX;
    r->max_in = CQL_HEADER + r->max_frame;
    if (r->max_in < CQL_SEGMENT_MAX + CQL_SEGMENT_LZ4 + CQL_CRC24_BYTES + CQL_CRC32_BYTES) {
        r->max_in = CQL_SEGMENT_MAX + CQL_SEGMENT_LZ4 + CQL_CRC24_BYTES + CQL_CRC32_BYTES;
    }
    r->max_in += ROOM;
    mf_buf_init(&r->unpacked, r->max_frame > CQL_SEGMENT_MAX ? r->max_frame : CQL_SEGMENT_MAX);
    mf_buf_init(&r->big, CQL_HEADER + r->max_frame);
    r->wire.version = CQL_VERSION_MAX;
    return r;
}

void cql_reader_free(struct cql_reader *r)
{
    if (r) {
        free(r->in);
        mf_buf_free(&r->unpacked);
        mf_buf_free(&r->big);
        free(r);
    }
}

void cql_reader_speak(struct cql_reader *r, const struct cql_wire *wire)
{
    r->wire = *wire;
}

size_t cql_reader_held(const struct cql_reader *r)
{
    return r->cap + r->unpacked.cap + r->big.cap;
}

/* ---- bytes in -- */

void *cql_reader_room(struct cql_reader *r, size_t *ret_n)
{
    if (r->start > 0) {
        memmove(r->in, r->in + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    if (r->end == 0 && r->cap > KEPT) {
        free(r->in);
        r->in = NULL;
        r->cap = 0;
    }
    if (r->cap - r->end < ROOM && r->cap < r->max_in) {
        size_t cap = r->cap ? r->cap * 2 : 4 * ROOM;
        cap = cap < r->max_in ? cap : r->max_in;
        uint8_t *in = realloc(r->in, cap);
        if (!in) {
            return NULL;
        }
        r->in = in;
        r->cap = cap;
    }
    if (r->cap == r->end) {
        return NULL; /* nobody has taken out what is there */
    }
    *ret_n = r->cap - r->end;
    return r->in + r->end;
}

void cql_reader_took(struct cql_reader *r, size_t n)
{
    r->end += n;
}

/* ---- frames out -- */

static int broken(struct cql_reader *r, const char *what)
{
    mf_fail(&r->err, MF_RETRY, "MFPROTO", "what came from Cassandra is not its native protocol: %s", what);
    return -1;
}

static int too_big(struct cql_reader *r, size_t n)
{
    mf_fail(&r->err, MF_FATAL, "MFBIG", "an answer of Cassandra has %zu bytes; more than %zu are not taken", n,
            r->max_frame);
    return -1;
}

/* The header at p, which has CQL_HEADER bytes. */
static int read_header(struct cql_reader *r, const uint8_t *p, struct cql_frame *ret)
{
    uint8_t version = p[0] & ~CQL_RESPONSE;
    if (!(p[0] & CQL_RESPONSE) || version < 3 || (r->wire.segments && version != r->wire.version)) {
        broken(r, "a frame is no answer, or of another version");
        mf_hint(&r->err, "Look whether the port is the one for CQL (9042), and whether the server wants TLS there.");
        return -1;
    }
    *ret = (struct cql_frame){.version = version,
                              .flags = p[1],
                              .stream = (int16_t)mf_get_u16be(p + 2),
                              .opcode = p[4],
                              .body = p + CQL_HEADER,
                              .len = mf_get_u32be(p + 5)};
    if (ret->len > r->max_frame) {
        return too_big(r, ret->len);
    }
    if (r->wire.segments && (ret->flags & CQL_FLAG_COMPRESSED)) {
        return broken(r, "a frame within a segment says that it is compressed");
    }
    return 0;
}

/* Makes r->unpacked the n bytes that an LZ4 block means. */
static int unpack(struct cql_reader *r, const uint8_t *p, size_t size, size_t n)
{
    if (n > size * LZ4_GAIN + LZ4_GAIN) {
        return broken(r, "a compressed length that no such bytes have");
    }
    mf_buf_reset(&r->unpacked);
    if (mf_buf_reserve(&r->unpacked, n) < 0) {
        mf_buf_reset(&r->unpacked);
        mf_fail(&r->err, MF_FATAL, "MFMEM", "no memory for %zu bytes of an answer of Cassandra", n);
        return -1;
    }
    if (LZ4_decompress_safe((const char *)p, r->unpacked.data, (int)size, (int)n) != (int)n) {
        return broken(r, "bytes that LZ4 did not write");
    }
    r->unpacked.len = n;
    return 0;
}

/* A body of version 4 that is compressed. */
static int unpack_body(struct cql_reader *r, struct cql_frame *f)
{
    if (!r->wire.lz4 || f->len < 4) {
        return broken(r, "a compressed frame where none may be");
    }
    size_t n = mf_get_u32be(f->body);
    if (n > r->max_frame) {
        return too_big(r, n);
    }
    if (n > 0 && unpack(r, f->body + 4, f->len - 4, n) < 0) {
        return -1;
    }
    f->body = n ? (const uint8_t *)r->unpacked.data : f->body;
    f->len = n;
    f->flags &= (uint8_t)~CQL_FLAG_COMPRESSED;
    return 0;
}

static int next_plain(struct cql_reader *r, struct cql_frame *ret)
{
    size_t have = r->end - r->start;
    const uint8_t *p = r->in + r->start;
    struct cql_frame f;
    if (have > 0 && have < CQL_HEADER && !(p[0] & CQL_RESPONSE)) {
        return read_header(r, (const uint8_t[CQL_HEADER]){p[0]}, &f); /* not ours: it may never send nine bytes */
    }
    if (have < CQL_HEADER) {
        return 0;
    }
    if (read_header(r, p, &f) < 0) {
        return -1;
    }
    if (have - CQL_HEADER < f.len) {
        return 0;
    }
    r->start += CQL_HEADER + f.len;
    if ((f.flags & CQL_FLAG_COMPRESSED) && unpack_body(r, &f) < 0) {
        return -1;
    }
    *ret = f;
    return 1;
}

/* The next frame of the segment at hand. */
static int next_of_segment(struct cql_reader *r, struct cql_frame *ret)
{
    const uint8_t *p = (r->payload_of ? (const uint8_t *)r->payload_of->data : r->in + r->start) + r->payload;
    if (r->left < CQL_HEADER) {
        return broken(r, "a segment ends within a frame's header");
    }
    struct cql_frame f;
    if (read_header(r, p, &f) < 0) {
        return -1;
    }
    if (r->left - CQL_HEADER < f.len) {
        return broken(r, "a frame that is longer than its segment");
    }
    r->payload += CQL_HEADER + f.len;
    r->left -= CQL_HEADER + f.len;
    if (r->left == 0) {
        r->start += r->segment; /* the view stays good until room() */
        r->segment = 0;
    }
    *ret = f;
    return 1;
}

/* One more segment of a frame that is longer than one. 1: it is whole. */
static int add_part(struct cql_reader *r, const uint8_t *p, size_t n, struct cql_frame *ret)
{
    if (n == 0) {
        return broken(r, "a segment of nothing");
    }
    struct mf_buf *b = &r->big;
    uint8_t head[CQL_HEADER];
    size_t of_head = b->len < CQL_HEADER ? b->len : CQL_HEADER;
    if (of_head) {
        memcpy(head, b->data, of_head);
    }
    size_t more = CQL_HEADER - of_head < n ? CQL_HEADER - of_head : n;
    memcpy(head + of_head, p, more);
    bool known = of_head + more == CQL_HEADER;
    if (known) {
        if (read_header(r, head, ret) < 0) {
            return -1;
        }
        if (n > CQL_HEADER + ret->len - b->len) {
            return broken(r, "segments that are longer than their frame");
        }
    }
    if (mf_buf_append(b, p, n) < 0) {
        mf_fail(&r->err, MF_FATAL, "MFMEM", "no memory for %zu bytes of an answer of Cassandra", b->len + n);
        return -1;
    }
    if (!known || b->len < CQL_HEADER + ret->len) {
        return 0;
    }
    ret->body = (const uint8_t *)b->data + CQL_HEADER;
    r->big_out = true;
    return 1;
}

/* Takes one segment out of `in`. 1: its payload is at hand, or ret is a frame (*ret_frame); 0: it has not arrived whole. */
static int next_segment(struct cql_reader *r, struct cql_frame *ret, bool *ret_frame)
{
    size_t have = r->end - r->start, size = r->wire.lz4 ? CQL_SEGMENT_LZ4 : CQL_SEGMENT_PLAIN;
    size_t head = size + CQL_CRC24_BYTES;
    const uint8_t *p = r->in + r->start;
    if (have < head) {
        return 0;
    }
    if (cql_get_le(p + size, CQL_CRC24_BYTES) != cql_crc24(p, size)) {
        return broken(r, "the checksum of a segment's header is wrong");
    }
    uint64_t h = cql_get_le(p, size);
    size_t n = h & CQL_LENGTH_MASK, unpacked = r->wire.lz4 ? h >> CQL_LENGTH_BITS & CQL_LENGTH_MASK : 0;
    bool whole = h >> (r->wire.lz4 ? 2 : 1) * CQL_LENGTH_BITS & 1;
    if (have < head + n + CQL_CRC32_BYTES) {
        return 0;
    }
    if (cql_get_le(p + head + n, CQL_CRC32_BYTES) != cql_crc32(p + head, n)) {
        return broken(r, "the checksum of a segment's payload is wrong");
    }
    r->segment = head + n + CQL_CRC32_BYTES;
    r->payload_of = NULL;
    r->payload = head;
    r->left = n;
    if (unpacked > 0) {
        if (unpack(r, p + head, n, unpacked) < 0) {
            return -1;
        }
        r->payload_of = &r->unpacked;
        r->payload = 0;
        r->left = unpacked;
    }
    if (whole) {
        if (r->big.len > 0) {
            return broken(r, "another segment before all of a frame's were there");
        }
        if (r->left == 0) {
            r->start += r->segment;
        }
        return 1;
    }
    int rc = add_part(r, r->payload_of ? (const uint8_t *)r->unpacked.data : p + head, r->left, ret);
    *ret_frame = rc == 1;
    r->start += r->segment;
    r->segment = r->left = 0;
    return rc < 0 ? -1 : 1;
}

static int next(struct cql_reader *r, struct cql_frame *ret)
{
    for (;;) {
        if (r->left > 0) {
            return next_of_segment(r, ret);
        }
        if (r->unpacked.cap > KEPT) {
            mf_buf_free(&r->unpacked);
        }
        if (!r->wire.segments) {
            return next_plain(r, ret);
        }
        bool frame = false;
        int rc = next_segment(r, ret, &frame);
        if (rc <= 0 || frame) {
            return rc;
        }
    }
}

int cql_reader_next(struct cql_reader *r, struct cql_frame *ret, struct mf_error *err)
{
    if (r->big_out) {
        r->big_out = false;
        mf_buf_reset(&r->big);
        if (r->big.cap > KEPT) {
            mf_buf_free(&r->big);
        }
    }
    struct cql_frame f = {0};
    int rc = r->failed ? -1 : next(r, &f);
    if (rc < 0) {
        r->failed = true;
        if (err) {
            *err = r->err;
        }
        return -1;
    }
    if (rc == 1) {
        *ret = f;
    }
    return rc;
}
