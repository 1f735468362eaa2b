#include "mf_test.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

static void redaction_keeps_what_helps(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"postgresql://mover:hunter2@old-db:5432/shop", "postgresql://mover:***@old-db:5432/shop"},
        {"postgresql://mover@old-db/shop?sslmode=verify-full", "postgresql://mover@old-db/shop?sslmode=verify-full"},
        {"postgresql://old-db:5432/shop", "postgresql://old-db:5432/shop"},
        {"postgresql:///shop?host=/tmp&user=a&password=hunter2&port=1",
         "postgresql:///shop?host=/tmp&user=a&password=***&port=1"},
        {"postgresql://h/d?sslpassword=hunter2", "postgresql://h/d?sslpassword=***"},
        {"postgresql://h/d?p%61ssword=hunter2", "postgresql://h/d?p%61ssword=***"},
        {"postgresql://h/d?user=me@corp", "postgresql://h/d?user=me@corp"},
        {"mongodb://u:hunter2@a:1,b:2/db?authSource=admin", "mongodb://u:***@a:1,b:2/db?authSource=***"},
        {"mysql://:hunter2@h/d", "mysql://:***@h/d"},
        {"postgresql://u:@h/d", "postgresql://u:***@h/d"},
        {"host=h user=u password=hunter2 dbname=d", "host=h user=u password=*** dbname=d"},
        {"host = h password = 'hunter2 \\' x' dbname=d", "host=h password=*** dbname=d"},
        {"PASSWORD=hunter2", "PASSWORD=***"},
        {"u:hunter2@h/d", "u:***@h/d"},
        {"memory:shop", "memory:shop"},
        {"shop", "shop"},
        {"", ""},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_FREE char *got = mf_url_redact(cases[i][0]);
        assert_string_equal(got, cases[i][1]);
    }
}

static void redaction_never_shows_the_secret(void **state)
{
    (void)state;
    /* Written wrongly in every way a person does. */
    static const char *const urls[] = {
        "postgresql://u:hun/hunter2@h/d",
        "postgresql://u:hun?hunter2@h/d",
        "postgresql://u:hun#hunter2@h/d",
        "postgresql://u:hun@hunter2@h/d",
        "postgresql://u:hun@/hunter2@h/d",
        "postgresql://u:hun:hunter2@h/d",
        "postgresql://u:hun@a/hunter2@h/d?x=1",
        "postgresql://u:hunter2@",
        "postgresql://h/d?password=a&hunter2",
        "postgresql://h/d?password=a;hunter2",
        "postgresql://h/d?password=a#hunter2",
        "postgresql://h/d?x=1&PGPASSWORD=hunter2",
        "postgresql://h/d?secret_access_key=hunter2&token=hunter2",
        "password=a hunter2",
        "password=a hunter2 host=h",
        "password='hunter2",
        "password='a\\'hunter2' host=h",
        "password= hunter2 host=h",
        "host=h password =hunter2",
        "u:hunter2@h",
        "password=hunter2://x",
        "password=a://u:hunter2@h",
        "postgres://u:hun ter=hunter2@h/d",
        "user=u://password=hunter2",
        "dbname=postgresql://u:hunter2@h/d",
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(urls); i++) {
        MF_CLEANUP_FREE char *got = mf_url_redact(urls[i]);
        if (strstr(got, "hunter2")) {
            fail_msg("%s came out as %s", urls[i], got);
        }
    }
    MF_CLEANUP_FREE char *null = mf_url_redact(NULL);
    assert_string_equal(null, "");
}

static void utf8_is_strict(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "abc",
                                       "\x7f",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xc2",
                                      "\xe0\xa0",
                                      "\xf0\x90\x80",
                                      "\xc2\x41",
                                      "\xff",
                                      "a\xfe"};
    for (size_t i = 0; i < MF_ARRAY_LEN(good); i++) {
        assert_true(mf_utf8_valid(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        assert_false(mf_utf8_valid(bad[i], strlen(bad[i])));
    }
    assert_true(mf_utf8_valid("a\0b", 3));
}

static void json_escapes(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, 1000);
    assert_int_equal(mf_json_escape(&b, "a\"\\\n\t\r\x01\x7f\xc3\xa9\xff", 11), 0);
    assert_string_equal(mf_buf_str(&b), "a\\\"\\\\\\n\\t\\r\\u0001\\u007f\xc3\xa9\xef\xbf\xbd");
    mf_buf_reset(&b);
    b.max = 2;
    assert_int_equal(mf_json_escape(&b, "abc", 3), -1);
}

static void numbers_are_whole_or_refused(void **state)
{
    (void)state;
    uint64_t u = 5;
    int64_t s = 5;
    static const char *const bad[] = {"", " 1", "1 ", "+1", "-", "0x1", "1.0", "18446744073709551616", "1a", "--1"};
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        assert_false(mf_parse_u64(bad[i], &u));
        assert_false(mf_parse_i64(bad[i], &s));
    }
    assert_false(mf_parse_u64("-1", &u));
    assert_false(mf_parse_i64("9223372036854775808", &s));
    assert_false(mf_parse_i64("-9223372036854775809", &s));
    assert_true(u == 5 && s == 5);
    assert_true(mf_parse_u64("18446744073709551615", &u) && u == UINT64_MAX);
    assert_true(mf_parse_i64("-9223372036854775808", &s) && s == INT64_MIN);
    assert_true(mf_parse_i64("9223372036854775807", &s) && s == INT64_MAX);
    assert_true(mf_parse_i64("-0", &s) && s == 0);
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        uint64_t want;
    } good[] = {{"0", 0},
                {"4096", 4096},
                {"1kB", 1024},
                {"1KB", 1024},
                {"64MB", 64 << 20},
                {"1.5GB", UINT64_C(3) << 29},
                {"2 TiB", UINT64_C(2) << 40},
                {"0.000001TB", 1099511}};
    static const char *const bad[] = {
        "",          "MB",          "-1MB",          "1XB",   "1.5", "1.MB",
        ".5MB",      "1.1234567MB", "99999999999TB", "1 MB ", "1e3", "18446744073709551616",
        "16777216TB"};
    uint64_t v = 77;
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        if (mf_parse_size(bad[i], &v)) {
            fail_msg("%s was taken as %llu", bad[i], (unsigned long long)v);
        }
        assert_int_equal(v, 77);
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(good); i++) {
        assert_true(mf_parse_size(good[i].s, &v));
        assert_true(v == good[i].want);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        int64_t want;
    } good[] = {{"0", 0},
                {"5us", 5},
                {"500ms", 500000},
                {"2s", 2000000},
                {"1.5s", 1500000},
                {"1h30m", 5400000000},
                {"7d", INT64_C(604800000000)},
                {"2min", 120000000},
                {"1w", INT64_C(604800000000)}};
    static const char *const bad[] = {"", "5", "s", "-1s", "1 s", "1x", "1s2", "99999999999w", "1S", "1.s", "1s "};
    int64_t v = 77;
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        assert_false(mf_parse_duration(bad[i], &v));
        assert_int_equal(v, 77);
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(good); i++) {
        assert_true(mf_parse_duration(good[i].s, &v));
        assert_true(v == good[i].want);
    }
}

static void numbers_for_people(void **state)
{
    (void)state;
    char b[64];
    assert_string_equal(mf_format_size(0, b, sizeof(b)), "0 bytes");
    assert_string_equal(mf_format_size(1, b, sizeof(b)), "1 byte");
    assert_string_equal(mf_format_size(1023, b, sizeof(b)), "1023 bytes");
    assert_string_equal(mf_format_size(1536, b, sizeof(b)), "1.5 kB");
    assert_string_equal(mf_format_size(1 << 20, b, sizeof(b)), "1.0 MB");
    assert_string_equal(mf_format_size((1 << 20) - 1, b, sizeof(b)), "1.0 MB");
    assert_string_equal(mf_format_size(UINT64_C(640) << 30, b, sizeof(b)), "640 GB");
    assert_string_equal(mf_format_size(UINT64_MAX, b, sizeof(b)), "16.0 EB");
    assert_string_equal(mf_format_duration(0, b, sizeof(b)), "0 us");
    assert_string_equal(mf_format_duration(340000, b, sizeof(b)), "340 ms");
    assert_string_equal(mf_format_duration(2500000, b, sizeof(b)), "2.5 s");
    assert_string_equal(mf_format_duration(125000000, b, sizeof(b)), "2m 5s");
    assert_string_equal(mf_format_duration(INT64_C(90000) * 1000000, b, sizeof(b)), "1d 1h");
    assert_string_equal(mf_format_duration(-340000, b, sizeof(b)), "-340 ms");
    assert_non_null(mf_format_duration(INT64_MIN, b, sizeof(b)));
    assert_string_equal(mf_format_utc(0, b, sizeof(b)), "1970-01-01T00:00:00.000000Z");
    assert_string_equal(mf_format_utc(-1, b, sizeof(b)), "1969-12-31T23:59:59.999999Z");
    assert_string_equal(mf_format_utc(INT64_C(1769862896789012), b, sizeof(b)), "2026-01-31T12:34:56.789012Z");
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *s;
        bool want;
    } cases[] = {{"public.*", "public.orders", true},
                 {"public.*", "private.orders", false},
                 {"*", "", true},
                 {"", "", true},
                 {"", "a", false},
                 {"a*b*c", "aXXbYYbZc", true},
                 {"a*b*c", "aXXbYYbZ", false},
                 {"?", "", false},
                 {"audit_?", "audit_1", true},
                 {"audit_?", "audit_12", false},
                 {"***a", "bbba", true},
                 {"a.c", "abc", false},
                 {"[a]", "a", false}};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        assert_int_equal(mf_glob_match(cases[i].pattern, cases[i].s), cases[i].want);
    }
}

static void a_hostile_glob_ends(void **state)
{
    (void)state;
    char pattern[401];
    char s[20001];
    for (int i = 0; i < 400; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[399] = 'b';
    pattern[400] = '\0';
    memset(s, 'a', 20000);
    s[20000] = '\0';
    assert_false(mf_glob_match(pattern, s));
}

static void distances(void **state)
{
    (void)state;
    char long_name[100];
    memset(long_name, 'x', 99);
    long_name[99] = '\0';
    assert_int_equal(mf_edit_distance("", ""), 0);
    assert_int_equal(mf_edit_distance("", "abc"), 3);
    assert_int_equal(mf_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(mf_edit_distance("max_puase", "max_pause"), 2);
    assert_true(mf_edit_distance(long_name, "x") == SIZE_MAX);
}

static void small_ones(void **state)
{
    (void)state;
    char b[4];
    assert_true(mf_starts_with("abc", "ab") && !mf_starts_with("ab", "abc") && mf_starts_with("", ""));
    assert_true(mf_ends_with("abc", "bc") && !mf_ends_with("bc", "abc") && mf_ends_with("x", ""));
    assert_true(mf_streq(NULL, NULL) && !mf_streq(NULL, "") && mf_streq("a", "a"));
    assert_true(mf_strlcpy(b, "abc", sizeof(b)));
    assert_false(mf_strlcpy(b, "abcd", sizeof(b)));
    assert_string_equal(b, "abc");
    assert_false(mf_strlcpy(b, "abcd", 0));
    MF_CLEANUP_FREE char *s = mf_xasprintf("%d%s", 4, "x");
    assert_string_equal(s, "4x");
    MF_CLEANUP_FREE char *n = mf_xstrndup("abcdef", 3);
    assert_string_equal(n, "abc");
    MF_CLEANUP_FREE char *moved = MF_STEAL(s);
    assert_null(s);
    assert_string_equal(moved, "4x");
}

static void the_clock_goes_forward(void **state)
{
    (void)state;
    int64_t a = mf_now_us();
    int64_t wall = mf_wall_us();
    mf_sleep_us(2000);
    mf_sleep_us(-1);
    assert_true(mf_now_us() - a >= 2000);
    assert_true(wall > INT64_C(1577836800) * 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redaction_keeps_what_helps),
        cmocka_unit_test(redaction_never_shows_the_secret),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(json_escapes),
        cmocka_unit_test(numbers_are_whole_or_refused),
        cmocka_unit_test(sizes),
        cmocka_unit_test(durations),
        cmocka_unit_test(numbers_for_people),
        cmocka_unit_test(globs),
        cmocka_unit_test(a_hostile_glob_ends),
        cmocka_unit_test(distances),
        cmocka_unit_test(small_ones),
        cmocka_unit_test(the_clock_goes_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
