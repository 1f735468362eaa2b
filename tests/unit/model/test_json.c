/* JSON in one spelling. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "model/json.h"

#include <string.h>

static const char *put(const char *text, size_t n, struct mf_buf *b)
{
    mf_buf_reset(b);
    return mf_json_put(b, text, n, NULL);
}

static void one_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *given, *want;
    } cases[] = {
        {" null ", "null"},
        {"true", "true"},
        {"\t[ 1 , 2.50 ,\r\n-0 , -0.0, 1e2 , 1E+2, 12e-1 ]", "[1,2.5,0,0,100,100,1.2]"},
        {"[]", "[]"},
        {"[ ]", "[]"},
        {"{ }", "{}"},
        {"{\"b\": 1, \"a\": {\"d\": [], \"c\": {}}}", "{\"a\":{\"c\":{},\"d\":[]},\"b\":1}"},
        {"{\"aa\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"aa\":1,\"b\":2}"},
        {"{\"\":1,\"\\u0061\":2}", "{\"\":1,\"a\":2}"},
        {"{\"\xc3\xa9\":1,\"z\":2,\"\\ue000\":3,\"\\ud83d\\ude00\":4}",
         "{\"z\":2,\"\xc3\xa9\":1,\"\xee\x80\x80\":3,\"\xf0\x9f\x98\x80\":4}"},
        {"\"\\u0041\\/\\b\\f\\n\\r\\t\\\"\\\\\\u0000\\u001F\\u007f\"",
         "\"A/\\b\\f\\n\\r\\t\\\"\\\\\\u0000\\u001f\x7f\""},
        {"\"\\u20ac \\u00e9 \\uD83D\\uDE00\"", "\"\xe2\x82\xac \xc3\xa9 \xf0\x9f\x98\x80\""},
        {"{\"\\u0000b\":1,\"\\u0000a\":2}", "{\"\\u0000a\":2,\"\\u0000b\":1}"},
        {"{\"c\":[{\"y\":0,\"x\":0}],\"b\":{\"y\":[{\"q\":1,\"p\":2}],\"x\":0},\"a\":0}",
         "{\"a\":0,\"b\":{\"x\":0,\"y\":[{\"p\":2,\"q\":1}]},\"c\":[{\"x\":0,\"y\":0}]}"},
        {"123456789012345678901234567890", "1.2345678901234567890123456789e29"},
        {"18446744073709551615", "18446744073709551615"},
        {"0.30000000000000004", "0.30000000000000004"},
    };
    MF_CLEANUP_BUF struct mf_buf b = {.max = 10000}, again = {.max = 10000};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        const char *why = put(cases[i].given, strlen(cases[i].given), &b);
        if (why) {
            fail_msg("%s: %s", cases[i].given, why);
        }
        assert_string_equal(mf_buf_str(&b), cases[i].want);
        assert_null(put(b.data, b.len, &again));
        assert_string_equal(mf_buf_str(&again), cases[i].want);
    }
}

static void what_is_no_document(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",           " ",     "nul",     "nulll",    "[1,]",     "[,1]",      "[1 2]",
        "[1",         "1]",    "{\"a\"}", "{a:1}",    "{\"a\":}", "{\"a\":1",  "{,}",
        "{\"a\":1,}", "01",    "1.",      ".5",       "+1",       "-",         "1e",
        "--1",        "\"",    "\"\\\"",  "\"\\x\"",  "\"\n\"",   "\"\\u12\"", "\"\\u12g4\"",
        "1 2",        "{} []", "NaN",     "Infinity", "'a'",      "[\"a\":1]", "{1:2}",
    };
    MF_CLEANUP_BUF struct mf_buf b = {.max = 10000};
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        const char *why = put(bad[i], strlen(bad[i]), &b);
        if (!why || strcmp(why, "it is no JSON") != 0) {
            fail_msg("%s: %s", bad[i], why ? why : "taken");
        }
    }
    assert_string_equal(put("\"\xff\"", 3, &b), "it is not UTF-8");
    assert_string_equal(put("\"\0\"", 3, &b), "it is no JSON");
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *given, *why;
    } cases[] = {
        {"{\"a\":1,\"b\":2,\"a\":1}", "twice"},
        {"{\"a\":1,\"\\u0061\":1}", "twice"},
        {"[[{\"x\":{\"k\":1,\"k\":1}}]]", "twice"},
        {"\"\\ud800\"", "surrogate"},
        {"\"\\udc00\\ud800\"", "surrogate"},
        {"\"\\ud800\\u0041\"", "surrogate"},
        {"[1e1000001]", "exponent"},
    };
    MF_CLEANUP_BUF struct mf_buf b = {.max = 10000};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        const char *why = put(cases[i].given, strlen(cases[i].given), &b);
        if (!why || !strstr(why, cases[i].why)) {
            fail_msg("%s: %s", cases[i].given, why ? why : "taken");
        }
    }
}

static void depth_and_size_are_bounded(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf deep = {.max = 10000}, b = {.max = 10000}, small = {.max = 8};
    for (int depth = MF_JSON_DEPTH; depth <= MF_JSON_DEPTH + 1; depth++) {
        mf_buf_reset(&deep);
        for (int i = 0; i < depth; i++) {
            mf_buf_puts(&deep, i % 2 ? "[" : "{\"a\":");
        }
        mf_buf_puts(&deep, "1");
        for (int i = depth; i-- > 0;) {
            mf_buf_puts(&deep, i % 2 ? "]" : "}");
        }
        const char *why = put(deep.data, deep.len, &b);
        assert_true(depth > MF_JSON_DEPTH ? why && strstr(why, "deeper") : !why && b.len == deep.len);
    }
    assert_string_equal(mf_json_put(&small, "[1,2,3,4,5,6]", 13, NULL), "it needs too much memory");
    assert_string_equal(mf_json_put(&small, "{\"b\":1,\"a\":2}", 13, NULL), "it needs too much memory");
}

static const char *only_small(struct mf_buf *b, const struct mf_number *v)
{
    mf_buf_puts(b, "#");
    return v->point > 3 ? "it is too large" : NULL;
}

static void an_engine_spells_numbers(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 100};
    assert_null(mf_json_put(&b, "[1, {\"b\":2,\"a\":3}]", 18, only_small));
    assert_string_equal(mf_buf_str(&b), "[#,{\"a\":#,\"b\":#}]");
    mf_buf_reset(&b);
    assert_string_equal(mf_json_put(&b, "[1, 1000]", 9, only_small), "it is too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_spelling),
        cmocka_unit_test(what_is_no_document),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(an_engine_spells_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
