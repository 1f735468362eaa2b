/* The shortest text of floating point numbers, and decimals of any length. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t seed = 20261128;

static uint64_t chance(void) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static const char *of_double(double v)
{
    static char text[MF_NUMBER_TEXT + 1];
    text[mf_put_double(text, v)] = '\0';
    return text;
}

static const char *of_float(float v)
{
    static char text[MF_NUMBER_TEXT + 1];
    text[mf_put_float(text, v)] = '\0';
    return text;
}

static void doubles(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e14, "100000000000000"},
        {999999999999999, "999999999999999"},
        {1e15, "1e15"},
        {1e-15, "0.000000000000001"},
        {1e-16, "1e-16"},
        {9007199254740993.0, "9.007199254740992e15"},
        {1.7976931348623157e308, "1.7976931348623157e308"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {9.5367431640625e-07, "0.00000095367431640625"},
        {NAN, "NaN"},
        {INFINITY, "Infinity"},
        {-INFINITY, "-Infinity"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        double back = 0;
        assert_string_equal(of_double(cases[i].v), cases[i].text);
        assert_true(mf_get_double(cases[i].text, strlen(cases[i].text), &back));
        assert_true(memcmp(&back, &cases[i].v, sizeof back) == 0 || isnan(back));
    }
}

static void floats(void **state)
{
    (void)state;
    static const struct {
        float v;
        const char *text;
    } cases[] = {{0.1f, "0.1"},
                 {-0.0f, "-0"},
                 {16777216.0f, "16777216"},
                 {3.4028235e38f, "3.4028235e38"},
                 {1e-45f, "1e-45"},
                 {1.17549435e-38f, "1.1754944e-38"},
                 {3e14f, "300000000000000"},
                 {1e15f, "1e15"},
                 {123456.7f, "123456.7"}};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        float back = 0;
        assert_string_equal(of_float(cases[i].v), cases[i].text);
        assert_true(mf_get_float(cases[i].text, strlen(cases[i].text), &back));
        assert_memory_equal(&back, &cases[i].v, sizeof back);
    }
}

/* One digit fewer, to the nearest, is another number (but for powers of two, below which the nearest need not be the one). */
static void assert_no_shorter(double v, const char *text, bool narrow)
{
    struct mf_number n;
    char shorter[64];
    int exponent;
    assert_true(mf_number_scan(text, strlen(text), &n));
    if (n.nsig < 2 || frexp(v, &exponent) == 0.5) {
        return;
    }
    snprintf(shorter, sizeof shorter, "%.*e", (int)n.nsig - 2, v);
    double d = 0;
    float f = 0;
    bool same = narrow ? mf_get_float(shorter, strlen(shorter), &f) && (double)f == v
                       : mf_get_double(shorter, strlen(shorter), &d) && d == v;
    if (same) {
        fail_msg("%s is not the shortest: %s", text, shorter);
    }
}

static void any_number_reads_back_and_is_shortest(void **state)
{
    (void)state;
    for (int i = 0; i < 60000; i++) {
        uint64_t bits = chance();
        double d, back;
        memcpy(&d, &bits, sizeof d);
        if (isfinite(d)) {
            const char *text = of_double(d);
            assert_true(mf_get_double(text, strlen(text), &back));
            assert_memory_equal(&back, &d, sizeof d);
            assert_no_shorter(d, text, false);
            assert_true(d == 0 || mf_number_is_double(text, strlen(text)));
        }
        float f, again;
        memcpy(&f, &bits, sizeof f);
        if (isfinite(f)) {
            const char *text = of_float(f);
            assert_true(mf_get_float(text, strlen(text), &again));
            assert_memory_equal(&again, &f, sizeof f);
            assert_no_shorter((double)f, text, true);
            double wide; /* what is shortest for a float is so for the double that it reads as */
            assert_true(mf_get_double(text, strlen(text), &wide));
            char copy[MF_NUMBER_TEXT + 1];
            snprintf(copy, sizeof copy, "%s", text);
            assert_string_equal(of_double(wide), copy);
        }
    }
}

static void what_is_no_floating_point_number(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    " 1", "1 ", "1x", "0x10", "nan",  "inf", "infinity", "1e309",
                                      "--1", "1e", ".",  "+",  "e1",   "1.5.", "1,5", "-Inf"};
    double d;
    float f;
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        assert_false(mf_get_double(bad[i], strlen(bad[i]), &d));
    }
    assert_true(mf_get_double("1e39", 4, &d));
    assert_false(mf_get_float("1e39", 4, &f));
    char large[600];
    memset(large, '1', sizeof large);
    assert_false(mf_get_double(large, sizeof large, &d));
}

static void decimals(void **state)
{
    (void)state;
    static const struct {
        const char *given, *put, *plain;
    } cases[] = {
        {"0", "0", "0"},
        {"-0.00e5", "0", "0"},
        {"1.0", "1", "1"},
        {"10e-1", "1", "1"},
        {"+007.50", "7.5", "7.5"},
        {".5", "0.5", "0.5"},
        {"5.", "5", "5"},
        {"100000000000000000000", "100000000000000000000", "100000000000000000000"},
        {"1e21", "1e21", "1000000000000000000000"},
        {"0.000001", "0.000001", "0.000001"},
        {"0.0000001", "1e-7", "0.0000001"},
        {"-12.3400e-8", "-1.234e-7", "-0.0000001234"},
        {"123456789012345678901234567890.5", "1.234567890123456789012345678905e29", "123456789012345678901234567890.5"},
        {"1.0010", "1.001", "1.001"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
        struct mf_number n, again;
        assert_true(mf_number_scan(cases[i].given, strlen(cases[i].given), &n));
        mf_number_put(&b, &n);
        assert_string_equal(mf_buf_str(&b), cases[i].put);
        assert_true(mf_number_scan(b.data, b.len, &again));
        assert_true(mf_number_equal(&n, &again));
        mf_buf_reset(&b);
        mf_number_put_plain(&b, &n);
        assert_string_equal(mf_buf_str(&b), cases[i].plain);
    }
    struct mf_number a, b;
    assert_false(mf_number_scan("1e1000001", 9, &a));
    assert_false(mf_number_scan("1e", 2, &a));
    assert_true(mf_number_scan("1.01", 4, &a) && mf_number_scan("1.02", 4, &b));
    assert_false(mf_number_equal(&a, &b));
}

static void which_numbers_a_double_keeps(void **state)
{
    (void)state;
    assert_true(mf_number_is_double("0.1", 3));
    assert_true(mf_number_is_double("1e20", 4));
    assert_true(mf_number_is_double("100000000000000000000", 21));
    assert_false(mf_number_is_double("9007199254740993", 16));
    assert_false(mf_number_is_double("0.1234567890123456789", 21));
    assert_false(mf_number_is_double("1e400", 5));
    assert_false(mf_number_is_double("1e-400", 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles),
        cmocka_unit_test(floats),
        cmocka_unit_test(any_number_reads_back_and_is_shortest),
        cmocka_unit_test(what_is_no_floating_point_number),
        cmocka_unit_test(decimals),
        cmocka_unit_test(which_numbers_a_double_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
