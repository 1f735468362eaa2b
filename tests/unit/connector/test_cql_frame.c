/* Frames of CQL's native protocol and the segments of version 5: what is written is read, however it arrives; what is not whole or right is not. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/cassandra/frame.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FRAME (1u << 20)

MF_DEFINE_CLEANUP(struct cql_reader *, cql_reader_free);
#define READER MF_CLEANUP(cql_reader_free_p) struct cql_reader *

static const struct cql_wire ways[] = {
    {.version = 4},
    {.version = 4, .lz4 = true},
    {.version = 5},
    {.version = 5, .segments = true},
    {.version = 5, .segments = true, .lz4 = true},
};

/* The checksums as the Python driver computes them. */
static void checksums(void **state)
{
    (void)state;
    assert_int_equal(cql_crc24((const uint8_t *)"\x05\x00\x02", 3), 0x9a9919);
    assert_int_equal(cql_crc24((const uint8_t *)"\x10\x00\x08\x00\x04", 5), 0x07e465);
    assert_int_equal(cql_crc32("", 0), 0x44777ed3);
    assert_int_equal(cql_crc32("hello", 5), 0xb60e8074);
}

static const size_t sizes[] = {0, 1, 100, 70000, 70000, 131062, 131063, 300000, 5, 262142 - 9, 900000};

static uint8_t byte_of(size_t frame, size_t i)
{
    return (uint8_t)(frame % 2 ? i * i * 31 + (i >> 7) + frame : i / 1000); /* every other one is worth packing */
}

/* Whole frames as a server would write them. */
static void put_frames(struct mf_buf *b, uint8_t version)
{
    struct mf_error err = {0};
    for (size_t k = 0; k < MF_ARRAY_LEN(sizes); k++) {
        size_t at = cql_frame_begin(b, version, (int16_t)k, CQL_RESULT);
        for (size_t i = 0; i < sizes[k]; i++) {
            mf_buf_putc(b, (char)byte_of(k, i));
        }
        assert_mf_ok(cql_frame_end(b, at, &err), &err);
        b->data[at] = (char)(version | 0x80);
    }
}

/* Gives the reader n bytes at a time; returns how many of put_frames' came out. */
static size_t read_frames(struct cql_reader *r, const struct mf_buf *wire, size_t step, struct mf_error *err)
{
    size_t got = 0, at = 0;
    for (;;) {
        struct cql_frame f;
        int rc;
        while ((rc = cql_reader_next(r, &f, err)) == 1) {
            assert_int_equal(f.stream, got);
            assert_int_equal(f.opcode, CQL_RESULT);
            assert_int_equal(f.len, sizes[got]);
            for (size_t i = 0; i < f.len; i++) {
                if (f.body[i] != byte_of(got, i)) {
                    fail_msg("frame %zu differs at %zu", got, i);
                }
            }
            got++;
        }
        if (rc < 0 || at == wire->len) {
            return got;
        }
        size_t room = 0;
        uint8_t *p = cql_reader_room(r, &room);
        assert_non_null(p);
        size_t n = wire->len - at < step ? wire->len - at : step;
        n = n < room ? n : room;
        memcpy(p, wire->data + at, n);
        cql_reader_took(r, n);
        at += n;
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 7, 4096, 1 << 24};
    for (size_t w = 0; w < MF_ARRAY_LEN(ways); w++) {
        MF_CLEANUP_BUF struct mf_buf frames = {.max = 64 << 20}, wire = {.max = 64 << 20};
        struct mf_error err = {0};
        put_frames(&frames, ways[w].version);
        assert_mf_ok(cql_wire_put(&wire, &ways[w], frames.data, frames.len, &err), &err);
        assert_true(!ways[w].lz4 || wire.len < frames.len * 2 / 3);
        for (size_t s = 0; s < MF_ARRAY_LEN(steps); s++) {
            READER r = cql_reader_new(MAX_FRAME);
            cql_reader_speak(r, &ways[w]);
            assert_int_equal(read_frames(r, &wire, steps[s], &err), MF_ARRAY_LEN(sizes));
            assert_true(cql_reader_held(r) < 5 * MAX_FRAME);
        }
    }
}

/* The connection changes from frames to segments between two frames that have arrived together. */
static void segments_begin_behind_a_frame(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf frames = {.max = 1000}, wire = {.max = 1000};
    struct mf_error err = {0};
    struct cql_frame f;
    size_t at = cql_frame_begin(&frames, 5, 3, CQL_READY), room;
    assert_mf_ok(cql_frame_end(&frames, at, &err), &err);
    frames.data[0] = (char)0x85;
    mf_buf_append(&wire, frames.data, frames.len);
    assert_mf_ok(cql_wire_put(&wire, &ways[3], frames.data, frames.len, &err), &err);
    READER r = cql_reader_new(MAX_FRAME);
    memcpy(cql_reader_room(r, &room), wire.data, wire.len);
    cql_reader_took(r, wire.len);
    assert_int_equal(cql_reader_next(r, &f, &err), 1);
    cql_reader_speak(r, &ways[3]);
    assert_int_equal(cql_reader_next(r, &f, &err), 1);
    assert_int_equal(f.opcode, CQL_READY);
    assert_int_equal(cql_reader_next(r, &f, &err), 0);
}

/* In segments no byte may change unseen. */
static void every_flipped_bit_is_seen(void **state)
{
    (void)state;
    for (size_t w = 3; w < MF_ARRAY_LEN(ways); w++) {
        MF_CLEANUP_BUF struct mf_buf frames = {.max = 1000}, wire = {.max = 1000};
        struct mf_error err = {0};
        size_t at = cql_frame_begin(&frames, 5, 0, CQL_RESULT), room;
        for (int i = 0; i < 64; i++) {
            mf_buf_putc(&frames, 'x');
        }
        assert_mf_ok(cql_frame_end(&frames, at, &err), &err);
        frames.data[0] = (char)0x85;
        assert_mf_ok(cql_wire_put(&wire, &ways[w], frames.data, frames.len, &err), &err);
        for (size_t bit = 0; bit < wire.len * 8; bit++) {
            READER r = cql_reader_new(MAX_FRAME);
            struct cql_frame f;
            cql_reader_speak(r, &ways[w]);
            uint8_t *p = cql_reader_room(r, &room);
            memcpy(p, wire.data, wire.len);
            p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cql_reader_took(r, wire.len);
            assert_mf_fails(cql_reader_next(r, &f, &err), &err, MF_RETRY, "checksum");
            assert_int_equal(cql_reader_next(r, &f, &err), -1);
        }
    }
}

static void breaks(const struct cql_wire *way, const char *bytes, size_t n, enum mf_errclass cls, const char *why)
{
    READER r = cql_reader_new(MAX_FRAME);
    struct mf_error err = {0};
    struct cql_frame f;
    size_t room;
    cql_reader_speak(r, way);
    memcpy(cql_reader_room(r, &room), bytes, n);
    cql_reader_took(r, n);
    assert_mf_fails(cql_reader_next(r, &f, &err), &err, cls, why);
}

static void what_is_not_ours_is_refused(void **state)
{
    (void)state;
    breaks(&ways[0], "HTTP/1.1 400", 12, MF_RETRY, "no answer");
    breaks(&ways[0], "\x15\x03\x03\x00\x02\x02\x46", 7, MF_RETRY, "no answer"); /* a TLS alert */
    breaks(&ways[0], "\x84\0\0\0\x08\x00\x10\x00\x01", 9, MF_FATAL, "more than 1048576");
    breaks(&ways[1], "\x84\1\0\0\x08\0\0\0\x05\x7f\xff\xff\xff\0", 14, MF_FATAL, "more than 1048576");
    breaks(&ways[1], "\x84\1\0\0\x08\0\0\0\x05\x00\x0f\xff\xff\0", 14, MF_RETRY, "no such bytes");
    breaks(&ways[1], "\x84\1\0\0\x08\0\0\0\x05\x00\x00\x00\x10\0", 14, MF_RETRY, "LZ4 did not write");
    breaks(&ways[0], "\x84\1\0\0\x08\0\0\0\x05\x00\x00\x00\x10\0", 14, MF_RETRY, "none may be");
}

static void segments_that_lie_are_refused(void **state)
{
    (void)state;
    static const char *const why[] = {"longer than its segment", "another segment before", "a segment of nothing",
                                      "longer than their frame"};
    struct mf_error err = {0};
    struct cql_frame f;
    size_t room;
    for (int what = 0; what < 4; what++) {
        MF_CLEANUP_BUF struct mf_buf frames = {.max = 1 << 20}, wire = {.max = 1 << 20};
        size_t body = what == 0 ? 10 : 200000, at = cql_frame_begin(&frames, 5, 0, CQL_RESULT);
        for (size_t i = 0; i < body; i++) {
            mf_buf_putc(&frames, 'x');
        }
        assert_mf_ok(cql_frame_end(&frames, at, &err), &err);
        frames.data[0] = (char)0x85;
        assert_mf_ok(cql_wire_put(&wire, &ways[3], frames.data, frames.len, &err), &err);
        uint8_t *w = (uint8_t *)wire.data;
        if (what == 0) {
            w[6 + 8] = 20; /* the frame says that it is longer than its segment */
            uint32_t crc = cql_crc32(w + 6, wire.len - 10);
            mf_put_u32le(w + wire.len - 4, crc);
        } else {
            uint8_t *second = w + 6 + CQL_SEGMENT_MAX + 4;
            if (what == 1) { /* the second segment says that it has whole frames */
                second[2] |= 2;
            } else if (what == 2) { /* it is empty */
                memset(second, 0, 3);
                mf_put_u32le(second + 6, cql_crc32("", 0));
            } else { /* it comes twice */
                size_t n = (size_t)(w + wire.len - second);
                assert_int_equal(mf_buf_reserve(&wire, n), 0);
                second = (uint8_t *)wire.data + 6 + CQL_SEGMENT_MAX + 4;
                assert_int_equal(mf_buf_append(&wire, second, n), 0);
                mf_put_u32be(wire.data + 6 + 5, (uint32_t)body + 100);
                mf_put_u32le(second - 4, cql_crc32(wire.data + 6, CQL_SEGMENT_MAX));
            }
            uint32_t crc = cql_crc24(second, 3);
            second[3] = (uint8_t)crc;
            second[4] = (uint8_t)(crc >> 8);
            second[5] = (uint8_t)(crc >> 16);
        }
        READER r = cql_reader_new(MAX_FRAME);
        cql_reader_speak(r, &ways[3]);
        int rc = 0;
        for (size_t from = 0; rc == 0 && from < wire.len;) {
            uint8_t *p = cql_reader_room(r, &room);
            size_t n = wire.len - from < room ? wire.len - from : room;
            memcpy(p, wire.data + from, n);
            cql_reader_took(r, n);
            from += n;
            rc = cql_reader_next(r, &f, &err);
        }
        assert_int_equal(rc, -1);
        assert_int_equal(err.cls, MF_RETRY);
        assert_string_equal(err.code, "MFPROTO");
        assert_non_null(strstr(err.text, why[what]));
    }
}

static void bounds_of_writing(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf frames = {.max = 100}, wire = {.max = 20};
    struct mf_error err = {0};
    size_t at = cql_frame_begin(&frames, 5, 0, CQL_QUERY);
    assert_mf_ok(cql_frame_end(&frames, at, &err), &err);
    size_t before = frames.len;
    at = cql_frame_begin(&frames, 5, 0, CQL_QUERY);
    for (int i = 0; i < 200; i++) {
        mf_buf_putc(&frames, 'x');
    }
    assert_mf_fails(cql_frame_end(&frames, at, &err), &err, MF_ROW, "longer than");
    assert_int_equal(frames.len, before);
    at = cql_frame_begin(&frames, 5, 0, CQL_QUERY);
    mf_buf_puts(&frames, "twelve bytes");
    assert_mf_ok(cql_frame_end(&frames, at, &err), &err);
    assert_mf_fails(cql_wire_put(&wire, &ways[3], frames.data, frames.len, &err), &err, MF_FATAL, "do not fit");
    assert_int_equal(wire.len, 0);
    assert_mf_fails(cql_wire_put(&wire, &ways[3], frames.data, frames.len - 1, &err), &err, MF_FATAL, "not whole");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(segments_begin_behind_a_frame),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(what_is_not_ours_is_refused),
        cmocka_unit_test(segments_that_lie_are_refused),
        cmocka_unit_test(bounds_of_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
