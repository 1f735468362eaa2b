/* Values on their way into arrays: exact, or refused with a reason. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/postgres/send.h"

#include <string.h>

#define NUMERIC(p, s) ((((p) << 16) | ((s)&0x7ff)) + 4)

static struct mf_value text(const char *s)
{
    return (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(s), .data = s};
}

static const struct {
    uint32_t type;
    int32_t typmod;
    const char *value;
    bool exact;
} cases[] = {
    {PG_NUMERIC, NUMERIC(10, 2), "1.50", true},
    {PG_NUMERIC, NUMERIC(10, 2), "1.500", true}, /* trailing zeros say nothing */
    {PG_NUMERIC, NUMERIC(10, 2), "-1.505", false},
    {PG_NUMERIC, NUMERIC(10, 2), "NaN", true},
    {PG_NUMERIC, NUMERIC(10, 2), "-Infinity", true}, /* the server refuses it */
    {PG_NUMERIC, NUMERIC(10, 2), "1e-9", false},
    {PG_NUMERIC, NUMERIC(4, -2), "1200", true},
    {PG_NUMERIC, NUMERIC(4, -2), "1250", false},
    {PG_NUMERIC, NUMERIC(4, -2), "0", true},
    {PG_NUMERIC, -1, "1.123456789", true},
    {PG_VARCHAR, 4 + 3, "abc", true},
    {PG_VARCHAR, 4 + 3, "\u00e9\u00e9\u00e9", true},
    {PG_VARCHAR, 4 + 3, "abc ", false},
    {PG_BPCHAR, 4 + 3, "ab ", true},
    {PG_BPCHAR, 4 + 3, "abcd", false},
    {PG_NAME, -1, "short", true},
    {PG_CHAR, -1, "ab", false},
    {PG_CHAR, -1, "\\303", true},
    {PG_FLOAT8, -1, "0.1", true},
    {PG_FLOAT8, -1, "0.30000000000000004", true},
    {PG_FLOAT8, -1, "1.7976931348623157e+308", true},
    {PG_FLOAT8, -1, "0.1234567890123456789", false},
    {PG_FLOAT8, -1, "12345678901234567", false},
    {PG_FLOAT8, -1, "-0", true},
    {PG_FLOAT8, -1, "NaN", true},
    {PG_FLOAT4, -1, "0.1", true},
    {PG_FLOAT4, -1, "16777217", false},
    {PG_FLOAT4, -1, "3.4028235e+38", true},
    {PG_TIMESTAMP, 0, "2026-01-02 03:04:05", true},
    {PG_TIMESTAMP, 0, "2026-01-02 03:04:05.5", false},
    {PG_TIMESTAMP, -1, "2026-01-02 03:04:05+00", false},
    {PG_TIMESTAMP, -1, "infinity", true},
    {PG_TIMESTAMPTZ, 3, "2026-01-02 03:04:05.123+00", true},
    {PG_TIMESTAMPTZ, 3, "2026-01-02 03:04:05.1234+00", false},
    {PG_TIME, -1, "03:04:05-07", false},
    {PG_TIMETZ, -1, "03:04:05-07", true},
    {PG_DATE, -1, "2026-01-02", true},
    {PG_DATE, -1, "0044-03-15 BC", true},
    {PG_DATE, -1, "2026-01-02 00:00:00", false},
    {PG_INTERVAL, 0x7fff0000 | 0, "1 day 00:00:00.5", false},
    {PG_INTERVAL, -1, "1 day 00:00:00.5", true},
};

static void what_would_be_rounded_or_cut_is_inexact(void **state)
{
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct mf_value v = text(cases[i].value);
        const struct pg_made m = {cases[i].type, cases[i].typmod, false};
        const char *why = pg_inexact(&m, &v);
        if ((why == NULL) != cases[i].exact) {
            fail_msg("type %u, modifier %d, '%s': %s", cases[i].type, cases[i].typmod, cases[i].value,
                     why ? why : "exact");
        }
    }
}

static void each_element_of_an_array_is_looked_at(void **state)
{
    (void)state;
    static const struct {
        struct pg_made m;
        const char *value;
        bool exact;
    } arrays[] = {
        {{PG_NUMERIC, NUMERIC(10, 1), true}, "{1.2,NULL,-3.10}", true},
        {{PG_NUMERIC, NUMERIC(10, 1), true}, "{1.2,1.25}", false},
        {{PG_NUMERIC, NUMERIC(10, 1), true}, "[0:1][1:1]={{1.2},{1.25}}", false},
        {{PG_NUMERIC, NUMERIC(10, 1), true}, "{}", true},
        {{PG_TIMESTAMP, 0, true}, "{\"2026-01-02 03:04:05\",\"2026-01-02 03:04:05.5\"}", false},
        {{PG_VARCHAR, 4 + 4, true}, "{\"a, b\",\"\\\"}{\\\\\",abcd}", true},
        {{PG_VARCHAR, 4 + 4, true}, "{ab,\"abcd \"}", false},
        {{PG_VARCHAR, 4 + 4, true}, "{\"NULL\",NULL}", true},
        {{PG_VARCHAR, 4 + 4, true}, "{\"abc", true},
        {{PG_VARCHAR, 4 + 4, true}, "{abc\\", true},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(arrays); i++) {
        struct mf_value v = text(arrays[i].value);
        const char *why = pg_inexact(&arrays[i].m, &v);
        if ((why == NULL) != arrays[i].exact) {
            fail_msg("%s: %s", arrays[i].value, why ? why : "exact");
        }
    }
}

static int put(struct mf_buf *b, enum pg_send s, const char *value, const char **why)
{
    struct mf_value v = text(value);
    const struct mf_row row = {.n = 1, .values = &v}, *rows[] = {&row};
    size_t bad = 0;
    mf_buf_reset(b);
    return pg_put_array(b, s, &(struct pg_made){0, -1, false}, rows, 1, 0, &bad, why);
}

static void numbers_travel_as_numbers(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    const char *why = NULL;
    assert_int_equal(put(&b, PG_SEND_INT8, "-9223372036854775808", &why), 0);
    assert_int_equal(b.len, 20 + 4 + 8);
    assert_true((int64_t)mf_get_u64be(b.data + 24) == INT64_MIN);
    assert_int_equal(put(&b, PG_SEND_INT2, "-32768", &why), 0);
    assert_int_equal((int16_t)mf_get_u16be(b.data + 24), -32768);
    const char *const bad[] = {"32768", "-32769", "", "-", "1.0", " 1", "1 ", "0x1", "99999999999999999999"};
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        assert_int_equal(put(&b, PG_SEND_INT2, bad[i], &why), -1);
    }
    assert_int_equal(put(&b, PG_SEND_INT8, "9223372036854775808", &why), -1);
    assert_int_equal(put(&b, PG_SEND_BYTEA, "\\x00fF", &why), 0);
    assert_memory_equal(b.data + 20, "\0\0\0\2\0\xff", 6);
    assert_int_equal(put(&b, PG_SEND_BYTEA, "\\x0", &why), -1);
    assert_int_equal(put(&b, PG_SEND_BYTEA, "\\xzz", &why), -1);
    assert_int_equal(put(&b, PG_SEND_UUID, "00112233-4455-6677-8899-aabbccddeeff", &why), 0);
    assert_int_equal(mf_get_u32be(b.data + 20), 16);
    assert_int_equal(put(&b, PG_SEND_UUID, "00112233-4455-6677-8899-aabbccddeef", &why), -1);
    assert_int_equal(put(&b, PG_SEND_BOOL, "t", &why), 0);
    assert_int_equal(put(&b, PG_SEND_BOOL, "true", &why), -1);
    const struct {
        const char *text;
        int value;
    } chars[] = {{"", 0}, {"a", 'a'}, {"\\", '\\'}, {"\\377", -1}, {"\xff", -1}, {"\\200", -128}};
    for (size_t i = 0; i < MF_ARRAY_LEN(chars); i++) {
        assert_int_equal(put(&b, PG_SEND_CHAR, chars[i].text, &why), 0);
        assert_int_equal((int32_t)mf_get_u32be(b.data + 24), chars[i].value);
    }
    const char *const no_char[] = {"ab", "\u00e9", "\\400", "\\37", "\\378"};
    for (size_t i = 0; i < MF_ARRAY_LEN(no_char); i++) {
        assert_int_equal(put(&b, PG_SEND_CHAR, no_char[i], &why), -1);
    }
}

static void nulls_are_said_in_the_head(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    struct mf_value v[] = {text("x"), {.kind = MF_NULL}, {.kind = MF_UNCHANGED}};
    struct mf_row r[] = {{1, &v[0]}, {1, &v[1]}, {1, &v[2]}};
    const struct mf_row *rows[] = {&r[0], &r[1], &r[2]};
    size_t bad;
    const char *why;
    assert_int_equal(pg_put_array(&b, PG_SEND_TEXT, &(struct pg_made){PG_TEXT, -1, false}, rows, 3, 0, &bad, &why), 0);
    assert_memory_equal(b.data, "\0\0\0\1\0\0\0\1\0\0\0\x19\0\0\0\3\0\0\0\1\0\0\0\1x\xff\xff\xff\xff\xff\xff\xff\xff",
                        b.len);
    assert_int_equal(b.len, 33);
}

static void what_does_not_fit_its_buffer_says_so(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 30};
    const char *why = NULL;
    assert_int_equal(put(&b, PG_SEND_TEXT, "far more than thirty bytes with the head", &why), -1);
    assert_non_null(why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_would_be_rounded_or_cut_is_inexact),
        cmocka_unit_test(each_element_of_an_array_is_looked_at),
        cmocka_unit_test(numbers_travel_as_numbers),
        cmocka_unit_test(nulls_are_said_in_the_head),
        cmocka_unit_test(what_does_not_fit_its_buffer_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
