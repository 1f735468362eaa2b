/*
 * A Cassandra that lies, below the messages. The first byte says how the connection speaks and how many bytes arrive at once; with its fourth bit the
 * rest is put into segments whose checksums are right, since chance never finds those. The same frames come out however the bytes arrive, and
 * what is held stays within its bound. What we write ourselves is read again.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "connector/cassandra/frame.h"

#include <string.h>

#define MAX_FRAME 65536

struct seen {
    size_t frames, bytes;
    uint64_t sum;
    int rc;
};

static struct seen read_all(const struct cql_wire *wire, const uint8_t *data, size_t size, size_t step)
{
    struct cql_reader *r = cql_reader_new(MAX_FRAME);
    struct seen s = {0};
    MF_FUZZ_CHECK(r);
    cql_reader_speak(r, wire);
    for (size_t at = 0;;) {
        struct cql_frame f;
        struct mf_error err = {0};
        while ((s.rc = cql_reader_next(r, &f, &err)) == 1) {
            MF_FUZZ_CHECK(f.len <= MAX_FRAME && !(f.flags & CQL_FLAG_COMPRESSED));
            s.frames++;
            s.bytes += f.len;
            s.sum = s.sum * 31 + f.opcode + f.flags + (uint16_t)f.stream;
            for (size_t i = 0; i < f.len; i++) {
                s.sum = s.sum * 31 + f.body[i];
            }
        }
        MF_FUZZ_CHECK(s.rc == 0 || (err.text[0] && (err.cls == MF_RETRY || err.cls == MF_FATAL)));
        MF_FUZZ_CHECK(cql_reader_held(r) <= 4 * (MAX_FRAME + CQL_SEGMENT_MAX));
        if (s.rc < 0 || at == size) {
            break;
        }
        size_t room = 0, n = size - at < step ? size - at : step;
        uint8_t *p = cql_reader_room(r, &room);
        MF_FUZZ_CHECK(p && room > 0);
        n = n < room ? n : room;
        memcpy(p, data + at, n);
        cql_reader_took(r, n);
        at += n;
    }
    cql_reader_free(r);
    return s;
}

/* Runs of the bytes as the payloads of segments; each begins with a byte of length and one of flags. */
static void wrap(struct mf_buf *b, bool lz4, const uint8_t *p, size_t n)
{
    while (n > 2) {
        size_t len = p[0] < n - 2 ? p[0] : n - 2, head = lz4 ? 5 : 3, unpacked = lz4 ? (size_t)(p[1] & 0x7f) << 2 : 0;
        uint64_t h =
            lz4 ? len | (uint64_t)unpacked << 17 | (uint64_t)(p[1] >> 7) << 34 : len | (uint64_t)(p[1] & 1) << 17;
        uint8_t bytes[12];
        mf_put_u64le(bytes, h);
        mf_put_u32le(bytes + head, cql_crc24(bytes, head));
        mf_buf_append(b, bytes, head + 3);
        mf_buf_append(b, p + 2, len);
        mf_put_u32le(bytes, cql_crc32(p + 2, len));
        mf_buf_append(b, bytes, 4);
        p += 2 + len;
        n -= 2 + len;
    }
}

/* A frame of ours with these bytes comes back through every way. */
static void round_trip(const struct cql_wire *wire, const uint8_t *p, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf frames = {.max = 1 << 20}, out = {.max = 1 << 20};
    struct mf_error err = {0};
    n = n < MAX_FRAME ? n : MAX_FRAME;
    for (int i = 0; i < 2; i++) {
        size_t at = cql_frame_begin(&frames, wire->version, 1, CQL_RESULT);
        mf_buf_append(&frames, p, n);
        MF_FUZZ_CHECK(cql_frame_end(&frames, at, &err) == 0);
        frames.data[at] = (char)(wire->version | 0x80);
    }
    MF_FUZZ_CHECK(cql_wire_put(&out, wire, frames.data, frames.len, &err) == 0);
    struct seen s = read_all(wire, (uint8_t *)out.data, out.len, 1000);
    MF_FUZZ_CHECK(s.rc == 0 && s.frames == 2 && s.bytes == 2 * n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct cql_wire wire = {.version = data[0] & 1 ? 5 : 4, .lz4 = data[0] & 2};
    wire.segments = wire.version == 5 && (data[0] & 4 || wire.lz4);
    size_t step = 1 + (data[0] >> 4) * 7;
    MF_CLEANUP_BUF struct mf_buf wrapped = {.max = 1 << 20};
    const uint8_t *p = data + 1;
    size_t n = size - 1;
    if (wire.segments && data[0] & 8) {
        wrap(&wrapped, wire.lz4, p, n);
        p = (const uint8_t *)mf_buf_str(&wrapped);
        n = wrapped.len;
    }
    struct seen whole = read_all(&wire, p, n, SIZE_MAX), cut = read_all(&wire, p, n, step);
    MF_FUZZ_CHECK(whole.rc == cut.rc && whole.frames == cut.frames && whole.sum == cut.sum);
    round_trip(&wire, data + 1, size - 1);
    return 0;
}
