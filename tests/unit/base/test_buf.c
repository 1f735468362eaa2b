#include "mf_test.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <string.h>

static void append_keeps_a_nul_behind(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, 1000);
    assert_string_equal(mf_buf_str(&b), "");
    assert_int_equal(mf_buf_append(&b, "ab", 2), 0);
    assert_int_equal(mf_buf_printf(&b, "-%d-", 42), 0);
    assert_int_equal(mf_buf_putc(&b, 'z'), 0);
    assert_int_equal(mf_buf_puts(&b, "!"), 0);
    assert_string_equal(mf_buf_str(&b), "ab-42-z!");
    assert_int_equal(b.len, 8);
    assert_int_equal(mf_buf_append(&b, NULL, 0), 0);
}

static void maximum_is_exact_and_leaves_the_contents(void **state)
{
    (void)state;
    for (size_t max = 0; max < 300; max++) {
        MF_CLEANUP_BUF struct mf_buf b;
        mf_buf_init(&b, max);
        for (size_t i = 0; i < max; i++) {
            assert_int_equal(mf_buf_putc(&b, 'x'), 0);
        }
        assert_int_equal(b.len, max);
        assert_true(b.cap <= max + 1);
        assert_int_equal(mf_buf_putc(&b, 'y'), -1);
        assert_false(mf_buf_ok(&b));
        assert_int_equal(b.len, max);
        assert_null(strchr(mf_buf_str(&b), 'y'));
    }
}

static void failure_is_sticky_until_reset(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, 4);
    assert_int_equal(mf_buf_puts(&b, "12345"), -1);
    assert_int_equal(mf_buf_puts(&b, "1"), -1);
    assert_int_equal(b.len, 0);
    mf_buf_reset(&b);
    assert_true(mf_buf_ok(&b));
    assert_int_equal(mf_buf_puts(&b, "1234"), 0);
}

static void absurd_lengths_do_not_wrap(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, SIZE_MAX);
    assert_int_equal(mf_buf_puts(&b, "abc"), 0);
    assert_int_equal(mf_buf_reserve(&b, SIZE_MAX), -1);
    mf_buf_reset(&b);
    assert_int_equal(mf_buf_reserve(&b, SIZE_MAX - 1), -1);
    mf_buf_reset(&b);
    assert_int_equal(mf_buf_reserve(&b, SIZE_MAX / 2 + 1), -1);
}

static void steal_hands_over_and_starts_again(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, 100);
    size_t n = 9;
    MF_CLEANUP_FREE char *empty = mf_buf_steal(&b, &n);
    assert_string_equal(empty, "");
    assert_int_equal(n, 0);
    mf_buf_puts(&b, "x\ty");
    MF_CLEANUP_FREE char *s = mf_buf_steal(&b, &n);
    assert_int_equal(n, 3);
    assert_string_equal(s, "x\ty");
    assert_int_equal(b.len, 0);
    assert_int_equal(mf_buf_puts(&b, "again"), 0);
}

static void free_accepts_null_and_zero(void **state)
{
    (void)state;
    struct mf_buf b = {0};
    mf_buf_free(NULL);
    mf_buf_free(&b);
    mf_buf_free(&b);
}

static void numbers_come_back(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, 1000);
    mf_buf_put_u8(&b, 0xfe);
    mf_buf_put_u16be(&b, 0x0102);
    mf_buf_put_u32be(&b, 0x03040506);
    mf_buf_put_u64be(&b, UINT64_C(0x0708090a0b0c0d0e));
    static const uint8_t want[] = {0xfe, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    assert_int_equal(b.len, sizeof(want));
    assert_memory_equal(b.data, want, sizeof(want));

    struct mf_cursor r;
    mf_cursor_init(&r, b.data, b.len);
    assert_int_equal(mf_read_u8(&r), 0xfe);
    assert_int_equal(mf_read_u16be(&r), 0x0102);
    assert_int_equal(mf_read_u32be(&r), 0x03040506);
    assert_true(mf_read_u64be(&r) == UINT64_C(0x0708090a0b0c0d0e));
    assert_int_equal(mf_cursor_left(&r), 0);
    assert_false(r.failed);
}

static const uint64_t edges[] = {0,
                                 1,
                                 127,
                                 128,
                                 16383,
                                 16384,
                                 UINT32_MAX,
                                 (uint64_t)UINT32_MAX + 1,
                                 INT64_MAX,
                                 (uint64_t)INT64_MAX + 1,
                                 UINT64_MAX - 1,
                                 UINT64_MAX};

static void varints_come_back_at_every_edge(void **state)
{
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(edges); i++) {
        MF_CLEANUP_BUF struct mf_buf b;
        mf_buf_init(&b, 100);
        mf_buf_put_varint(&b, edges[i]);
        mf_buf_put_svarint(&b, (int64_t)edges[i]);
        struct mf_cursor r;
        mf_cursor_init(&r, b.data, b.len);
        assert_true(mf_read_varint(&r) == edges[i]);
        assert_true(mf_read_svarint(&r) == (int64_t)edges[i]);
        assert_false(r.failed);
        assert_int_equal(mf_cursor_left(&r), 0);
        /* Cut anywhere inside the first number, it must fail and move nothing. */
        struct mf_buf one;
        mf_buf_init(&one, 100);
        mf_buf_put_varint(&one, edges[i]);
        for (size_t cut = 0; cut < one.len; cut++) {
            mf_cursor_init(&r, one.data, cut);
            assert_true(mf_read_varint(&r) == 0);
            assert_true(r.failed);
        }
        mf_buf_free(&one);
    }
}

static void varints_that_are_too_long_fail(void **state)
{
    (void)state;
    static const uint8_t overlong[] = {0x80, 0x00};
    static const uint8_t overlong2[] = {0xff, 0x80, 0x00};
    static const uint8_t past64[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    static const uint8_t eleven[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    const struct {
        const uint8_t *p;
        size_t n;
    } bad[] = {{overlong, sizeof(overlong)},
               {overlong2, sizeof(overlong2)},
               {past64, sizeof(past64)},
               {eleven, sizeof(eleven)}};
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        struct mf_cursor r;
        mf_cursor_init(&r, bad[i].p, bad[i].n);
        assert_true(mf_read_varint(&r) == 0);
        assert_true(r.failed);
    }
}

static void reading_past_the_end_is_sticky(void **state)
{
    (void)state;
    struct mf_cursor r;
    mf_cursor_init(&r, "\1\2\3", 3);
    assert_int_equal(mf_read_u8(&r), 1);
    assert_int_equal(mf_read_u32be(&r), 0);
    assert_true(r.failed);
    assert_int_equal(mf_read_u8(&r), 0);
    assert_int_equal(mf_cursor_left(&r), 0);
    assert_null(mf_read_bytes(&r, 0));
    assert_null(mf_read_cstr(&r));
    size_t n = 77;
    assert_null(mf_read_lbytes(&r, &n));
    assert_int_equal(n, 77);
    assert_true(mf_read_varint(&r) == 0);
}

static void nothing_may_be_read(void **state)
{
    (void)state;
    struct mf_cursor r;
    mf_cursor_init(&r, NULL, 0);
    assert_non_null(mf_read_bytes(&r, 0));
    assert_false(r.failed);
    mf_read_u8(&r);
    assert_true(r.failed);
    mf_cursor_init(&r, NULL, 0);
    assert_null(mf_read_cstr(&r));
}

static void strings_need_their_nul(void **state)
{
    (void)state;
    struct mf_cursor r;
    mf_cursor_init(&r, "ab\0cd", 5);
    assert_string_equal(mf_read_cstr(&r), "ab");
    assert_null(mf_read_cstr(&r));
    assert_true(r.failed);
}

static void lengths_from_outside_are_bounded(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, 100);
    mf_buf_put_bytes(&b, "hello", 5);
    struct mf_cursor r;
    size_t n = 0;
    mf_cursor_init(&r, b.data, b.len);
    assert_memory_equal(mf_read_lbytes(&r, &n), "hello", 5);
    assert_int_equal(n, 5);
    mf_cursor_init(&r, b.data, b.len - 1);
    assert_null(mf_read_lbytes(&r, &n));
    mf_buf_reset(&b);
    mf_buf_put_varint(&b, UINT64_MAX);
    mf_cursor_init(&r, b.data, b.len);
    assert_null(mf_read_lbytes(&r, &n));
    assert_true(r.failed);
}

static void put_bytes_is_all_or_nothing(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, 5);
    assert_int_equal(mf_buf_put_bytes(&b, "hello", 5), -1);
    assert_int_equal(b.len, 0);
    assert_false(mf_buf_ok(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_keeps_a_nul_behind),
        cmocka_unit_test(maximum_is_exact_and_leaves_the_contents),
        cmocka_unit_test(failure_is_sticky_until_reset),
        cmocka_unit_test(absurd_lengths_do_not_wrap),
        cmocka_unit_test(steal_hands_over_and_starts_again),
        cmocka_unit_test(free_accepts_null_and_zero),
        cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(varints_come_back_at_every_edge),
        cmocka_unit_test(varints_that_are_too_long_fail),
        cmocka_unit_test(reading_past_the_end_is_sticky),
        cmocka_unit_test(nothing_may_be_read),
        cmocka_unit_test(strings_need_their_nul),
        cmocka_unit_test(lengths_from_outside_are_bounded),
        cmocka_unit_test(put_bytes_is_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
