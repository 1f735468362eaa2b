/* Conditions on keys, the form rows travel in, and what lies between two keys. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/plan.h"
#include "connector/mysql/range.h"
#include "connector/mysql/wire.h"

#include <stdio.h>
#include <string.h>

static struct mf_column columns[3] = {{.name = "a"}, {.name = "b`c"}, {.name = "v"}};
static uint16_t key[2] = {0, 1};
static struct mf_table table = {.schema = "s", .name = "t", .ncolumns = 3, .nkey = 2, .columns = columns, .key = key};

static struct my_type type(enum my_base base)
{
    struct my_type y = {.base = base};
    if (base == MY_CHAR || base == MY_VARCHAR || base == MY_TEXT) {
        mf_strlcpy(y.charset, "utf8mb4", sizeof y.charset);
    }
    return y;
}

static const char *range(const struct my_type *types, uint16_t nkey, const char *lower, const char *upper)
{
    static char out[2000];
    MF_CLEANUP_BUF struct mf_buf b = {.max = sizeof out - 1};
    struct mf_chunk c = {.has_lower = lower != NULL, .has_upper = upper != NULL};
    struct mf_error err = {0};
    mf_strlcpy(c.lower, lower ? lower : "", sizeof c.lower);
    mf_strlcpy(c.upper, upper ? upper : "", sizeof c.upper);
    table.nkey = nkey;
    int rc = my_put_range(&b, &table, types, &c, &err);
    table.nkey = 2;
    mf_strlcpy(out, rc == 0 ? mf_buf_str(&b) : err.code, sizeof out);
    return out;
}

static void ranges_are_written_out(void **state)
{
    (void)state;
    struct my_type t[3] = {type(MY_BIGINT), type(MY_VARCHAR), type(MY_INT)};
    assert_string_equal(range(t, 1, NULL, NULL), "");
    assert_string_equal(range(t, 1, "2:-7", NULL), " WHERE (`a` >= -7)");
    assert_string_equal(range(t, 1, NULL, "1:9"), " WHERE (`a` < 9)");
    assert_string_equal(range(t, 1, "1:3", "1:9"), " WHERE (`a` >= 3) AND (`a` < 9)");
    assert_string_equal(range(t, 2, "1:33:x:y", NULL), " WHERE ((`a` > 3) OR (`a` = 3 AND `b``c` >= 'x:y'))");
    assert_string_equal(range(t, 2, NULL, "1:30:"), " WHERE ((`a` < 3) OR (`a` = 3 AND `b``c` < ''))");
}

static void literals_are_of_the_columns_kind(void **state)
{
    (void)state;
    static const struct {
        enum my_base base;
        const char *bound, *want;
    } cases[] = {
        {MY_DECIMAL, "6:-12.50", " WHERE (`a` >= -12.50)"},
        {MY_FLOAT, "3:0.5", " WHERE (`a` >= 0.5e0)"},
        {MY_DOUBLE, "4:1e30", " WHERE (`a` >= 1e30)"},
        {MY_DOUBLE, "2:-0", " WHERE (`a` >= -0e0)"},
        {MY_BIT, "2:13", " WHERE (`a` >= 13)"},
        {MY_ENUM, "1:2", " WHERE (`a` >= 2)"},
        {MY_YEAR, "4:0000", " WHERE (`a` >= '0000')"},
        {MY_DATE, "10:0000-00-00", " WHERE (`a` >= '0000-00-00')"},
        {MY_BINARY, "4:00fF", " WHERE (`a` >= x'00fF')"},
        {MY_VARBINARY, "0:", " WHERE (`a` >= x'')"},
        {MY_VARCHAR, "4:it's", " WHERE (`a` >= 'it\\'s')"},
        /* what a state file could be made to hold */
        {MY_INT, "6:1 OR 1", "MFCHUNK"},
        {MY_INT, "0:", "MFCHUNK"},
        {MY_INT, "1:-", "MFCHUNK"},
        {MY_INT, "3:1.5", "MFCHUNK"},
        {MY_INT, "3:1e5", "MFCHUNK"},
        {MY_DECIMAL, "2:1.", "MFCHUNK"},
        {MY_DOUBLE, "3:1e+", "MFCHUNK"},
        {MY_DOUBLE, "3:inf", "MFCHUNK"},
        {MY_ENUM, "3:'a'", "MFCHUNK"},
        {MY_BINARY, "3:00f", "MFCHUNK"},
        {MY_BINARY, "2:0'", "MFCHUNK"},
        {MY_JSON, "1:1", "MFCHUNK"},
        {MY_INT, "2:1", "MFCHUNK"},
        {MY_INT, "1:12", "MFCHUNK"},
        {MY_INT, "1:11:2", "MFCHUNK"},
        {MY_INT, "99999999999999999999:1", "MFCHUNK"},
        {MY_INT, "x2:31", "MFCHUNK"},
        {MY_VARCHAR, "x2:3'", "MFCHUNK"},
        {MY_VARCHAR, "x2:41", " WHERE (`a` >= _utf8mb4 x'41')"},
        {MY_INT, "x", "MFCHUNK"},
        {MY_INT, "1", "MFCHUNK"},
        {MY_INT, "", "MFCHUNK"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct my_type t[3] = {type(cases[i].base), type(MY_INT), type(MY_INT)};
        assert_string_equal(range(t, 1, cases[i].bound, NULL), cases[i].want);
    }
}

static void a_bound_of_too_few_columns_is_refused(void **state)
{
    (void)state;
    struct my_type t[3] = {type(MY_INT), type(MY_INT), type(MY_INT)};
    assert_string_equal(range(t, 2, "1:1", NULL), "MFCHUNK");
    assert_string_equal(range(t, 2, "1:11:11:1", NULL), "MFCHUNK");
    struct mf_chunk heap = {.by_heap = true, .has_upper = true, .upper = "5"};
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
    struct mf_error err = {0};
    assert_int_equal(my_put_range(&b, &table, t, &heap, &err), -1);
}

static void bounds_hold_any_bytes(void **state)
{
    (void)state;
    struct my_type t[3] = {type(MY_VARCHAR), type(MY_INT), type(MY_INT)};
    MF_CLEANUP_BUF struct mf_buf bound = {.max = 100}, b = {.max = 1000};
    struct mf_error err = {0};
    my_bound_add(&bound, "a\0'1:", 5);
    my_bound_add(&bound, "-5", 2);
    assert_mf_ok(my_put_bound(&b, &table, t, mf_buf_str(&bound), bound.len, false, &err), &err);
    assert_string_equal(mf_buf_str(&b),
                        "((`a` < _utf8mb4 x'610027313A') OR (`a` = _utf8mb4 x'610027313A' AND `b``c` < -5))");
}

static void rows_are_sought_by_key(void **state)
{
    (void)state;
    struct my_type t[3] = {type(MY_BINARY), type(MY_ENUM), type(MY_INT)};
    struct mf_value v[3] = {{MF_BINARY, 2, "\x01'"}, {MF_TEXT, 1, "x"}, {.kind = MF_UNCHANGED}};
    struct mf_row keys[300];
    struct mf_error err = {0};
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20};
    size_t at = 0;
    for (size_t i = 0; i < MF_ARRAY_LEN(keys); i++) {
        keys[i] = (struct mf_row){.n = 3, .values = v};
    }
    assert_mf_ok(my_put_keys(&b, &table, t, keys, 2, &at, &err), &err);
    assert_string_equal(mf_buf_str(&b), " WHERE (`a` = x'0127' AND `b``c` = 'x') OR (`a` = x'0127' AND `b``c` = 'x')");
    assert_int_equal(at, 2);
    mf_buf_reset(&b);
    at = 0;
    assert_mf_ok(my_put_keys(&b, &table, t, keys, MF_ARRAY_LEN(keys), &at, &err), &err);
    assert_true(at > 0 && at < MF_ARRAY_LEN(keys));
    v[1].kind = MF_NULL;
    assert_mf_fails(my_put_keys(&b, &table, t, keys, 1, &(size_t){0}, &err), &err, MF_FATAL, "without a value");
    struct my_type number[3] = {type(MY_INT), type(MY_INT), type(MY_INT)};
    v[0] = v[1] = (struct mf_value){MF_TEXT, 5, "1 or "};
    assert_mf_fails(my_put_keys(&b, &table, number, keys, 1, &(size_t){0}, &err), &err, MF_FATAL,
                    "no value of column a");
}

static const char *wire(enum my_base base, const char *s, size_t n)
{
    static char out[600];
    MF_CLEANUP_BUF struct mf_buf b = {.max = sizeof out - 1};
    struct my_type t = type(base);
    my_put_wire_value(&b, my_form_of(&t), s, n);
    mf_strlcpy(out, mf_buf_str(&b), sizeof out);
    return out;
}

static void values_travel_as_they_are_written(void **state)
{
    (void)state;
    assert_string_equal(wire(MY_INT, "-12", 3), "-12");
    assert_string_equal(wire(MY_BIT, "18446744073709551615", 20), "18446744073709551615");
    assert_string_equal(wire(MY_INT, NULL, 0), "NULL");
    assert_string_equal(wire(MY_INT, "1),(2", 5), "'1),(2'"); /* no number: not trusted */
    assert_string_equal(wire(MY_INT, "-", 1), "'-'");
    assert_string_equal(wire(MY_DOUBLE, "-0", 2), "'-0'");
    assert_string_equal(wire(MY_YEAR, "0000", 4), "'0000'");
    assert_string_equal(wire(MY_VARCHAR, "", 0), "''");
    assert_string_equal(wire(MY_TEXT, "a'\\\0\n\r\x1a\"", 8), "'a\\'\\\\\\0\\n\\r\\Z\"'");
    assert_string_equal(wire(MY_VARCHAR, "\xe3'", 2), "'\xe3\\''"); /* half a character hides no quote */
    assert_string_equal(wire(MY_BLOB, "\x00'\xff", 3), "x'0027FF'");
    assert_string_equal(wire(MY_BLOB, "", 0), "x''");
    char bytes[257] = "\xff'";
    memset(bytes + 2, 'b', sizeof bytes - 2);
    assert_memory_equal(wire(MY_BLOB, bytes, sizeof bytes), "_binary '\xff\\'bbb", 15); /* hex would be twice as long */
    assert_string_equal(wire(MY_JSON, "[1.5]", 5), "'[1.5]'");
    assert_string_equal(wire(MY_JSON, "[1.50]", 6), "JSON_ARRAY(1.50)"); /* which its parser would change */
}

static void middles_lie_between(void **state)
{
    (void)state;
    static const struct {
        enum my_base base;
        const char *low, *high, *want; /* NULL: none */
    } cases[] = {
        {MY_BIGINT, "1", "100", "51"},
        {MY_BIGINT, "1", "2", "2"},
        {MY_BIGINT, "5", "5", NULL},
        {MY_BIGINT, "9", "5", NULL},
        {MY_BIGINT, "-9223372036854775808", "9223372036854775807", "0"},
        {MY_BIGINT, "0", "18446744073709551615", "9223372036854775808"},
        {MY_BIGINT, "x", "5", NULL},
        {MY_DECIMAL, "1.50", "9.25", "5"},
        {MY_DECIMAL, "1.50", "1.75", NULL},
        {MY_DOUBLE, "0", "1", "0.5"},
        {MY_DOUBLE, "1", "1", NULL},
        {MY_DATE, "2026-01-01", "2026-01-31", "2026-01-16"},
        {MY_DATE, "1999-12-31", "2000-03-01", "2000-01-31"},
        {MY_DATE, "0000-00-00", "2000-03-01", NULL},
        {MY_DATETIME, "2026-02-28 00:00:00.000", "2026-03-01 00:00:00.000", "2026-02-28 12:00:00"},
        {MY_VARCHAR, "a", "c", "b"},
        {MY_VARCHAR, "user0001", "user0999", "user04mn"}, /* base 36 */
        {MY_VARCHAR, "", "zz", "i0"},
        {MY_VARCHAR, "\xc3\xa4", "z", NULL},
        {MY_BINARY, "00000000", "FFFFFFFF", "7FFFFFFF8000"},
        {MY_BINARY, "AB10", "AB30", "AB200000000000"},
        {MY_BINARY, "AB", "AB", NULL},
        {MY_TIME, "00:00:00", "10:00:00", NULL},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 100};
        struct my_type t = type(cases[i].base);
        bool found = my_midpoint(&t, cases[i].low, strlen(cases[i].low), cases[i].high, strlen(cases[i].high), &b);
        if (found != (cases[i].want != NULL) || (found && strcmp(mf_buf_str(&b), cases[i].want) != 0)) {
            fail_msg("between %s and %s: %s", cases[i].low, cases[i].high, found ? mf_buf_str(&b) : "none");
        }
    }
}

static void every_day_is_a_day(void **state)
{
    (void)state;
    /* the middle of a day and the day after the next is the day between, for 40 years and the turn of a century */
    static const int months[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct my_type t = type(MY_DATE);
    char days[3][40] = {"", "", ""};
    for (int y = 1880; y < 1920; y++) {
        for (int m = 0; m < 12; m++) {
            bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
            for (int d = 1; d <= months[m] + (m == 1 && leap); d++) {
                memmove(days[0], days[1], sizeof days[0] * 2);
                snprintf(days[2], sizeof days[2], "%04d-%02d-%02d", y, m + 1, d);
                if (days[0][0]) {
                    MF_CLEANUP_BUF struct mf_buf b = {.max = 100};
                    assert_true(my_midpoint(&t, days[0], 10, days[2], 10, &b));
                    assert_string_equal(mf_buf_str(&b), days[1]);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_written_out),
        cmocka_unit_test(literals_are_of_the_columns_kind),
        cmocka_unit_test(a_bound_of_too_few_columns_is_refused),
        cmocka_unit_test(bounds_hold_any_bytes),
        cmocka_unit_test(rows_are_sought_by_key),
        cmocka_unit_test(values_travel_as_they_are_written),
        cmocka_unit_test(middles_lie_between),
        cmocka_unit_test(every_day_is_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
