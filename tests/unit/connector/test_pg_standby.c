/* synchronous_standby_names: read, changed, written. */
#include "base/cleanup.h"
#include "mf_test.h"

#include "connector/postgres/standby_names.h"

#include <limits.h>

static struct pg_standby_names parsed(const char *text)
{
    struct pg_standby_names s;
    if (!pg_standby_names_parse(text, &s)) {
        fail_msg("not taken: %s", text);
    }
    return s;
}

static void assert_put(const struct pg_standby_names *s, const char *expected)
{
    struct mf_buf b = {.max = 65536};
    pg_standby_names_put(&b, s);
    assert_string_equal(mf_buf_str(&b), expected);
    mf_buf_free(&b);
}

static void what_is_written_is_read(void **state)
{
    static const struct {
        const char *text, *put;
        int num;
        size_t n;
        bool any, all;
    } cases[] = {
        {"", "", 0, 0, false, true},
        {"  ", "", 0, 0, false, true},
        {"a", "\"a\"", 1, 1, false, true},
        {"a, b", "FIRST 1 (\"a\", \"b\")", 1, 2, false, false},
        {"2 (a, b)", "FIRST 2 (\"a\", \"b\")", 2, 2, false, true},
        {"first 2 (a,b, c)", "FIRST 2 (\"a\", \"b\", \"c\")", 2, 3, false, false},
        {"ANY 1 (a, b)", "ANY 1 (\"a\", \"b\")", 1, 2, true, false},
        {"any 2(a,b)", "ANY 2 (\"a\", \"b\")", 2, 2, true, true},
        {"*", "*", 1, 1, false, false},
        {"\"midflight shop stream fwd\"", "\"midflight shop stream fwd\"", 1, 1, false, true},
        {"\"say \"\"hi\"\"\"", "\"say \"\"hi\"\"\"", 1, 1, false, true},
        {"any, first", "FIRST 1 (\"any\", \"first\")", 1, 2, false, false},
        {"FIRST 1 (\"any\")", "\"any\"", 1, 1, false, true},
        {"ANY 3 (a)", "ANY 3 (\"a\")", 3, 1, true, true},
        {"s1_$x, \303\251t\303\251", "FIRST 1 (\"s1_$x\", \"\303\251t\303\251\")", 1, 2, false, false},
        {"7", "\"7\"", 1, 1, false, true},
    };
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct pg_standby_names s = parsed(cases[i].text);
        assert_int_equal(s.num, cases[i].num);
        assert_int_equal(s.n, cases[i].n);
        assert_int_equal(s.any, cases[i].any);
        assert_int_equal(pg_standby_names_all(&s), cases[i].all);
        assert_put(&s, cases[i].put);
    }
}

static void what_is_not_such_a_text_is_refused(void **state)
{
    static const char *const bad[] = {
        ",",         "a,",
        "a b",       "FIRST 2 (a",
        "ANY 0 (a)", "FIRST 1 ()",
        "\"a",       "1 (a) b",
        "a; b",      "FIRST 2 (a b)",
        "(a)",       "a1234567890123456789012345678901234567890123456789012345678901234567890"};
    struct pg_standby_names s;
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        if (pg_standby_names_parse(bad[i], &s)) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    struct mf_buf many = {.max = 65536};
    for (int i = 0; i <= PG_STANDBYS_MAX; i++) {
        mf_buf_printf(&many, "%ss%d", i ? ", " : "", i);
    }
    assert_false(pg_standby_names_parse(mf_buf_str(&many), &s));
    mf_buf_free(&many);
}

static void one_more_is_waited_for_and_one_less(void **state)
{
    static const char *const cases[][2] = {{"", "\"us\""},
                                           {"a", "FIRST 2 (\"us\", \"a\")"},
                                           {"FIRST 2 (a, b)", "FIRST 3 (\"us\", \"a\", \"b\")"},
                                           {"ANY 2 (a, b)", "ANY 3 (\"us\", \"a\", \"b\")"}};
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct pg_standby_names s = parsed(cases[i][0]), was = s;
        assert_true(pg_standby_names_add(&s, "us"));
        assert_put(&s, cases[i][1]);
        assert_true(pg_standby_names_all(&s));
        assert_true(pg_standby_names_others(&s, "us") < s.num);
        pg_standby_names_remove(&s, "US");
        assert_int_equal(s.num, was.num);
        assert_int_equal(s.n, was.n);
    }
    struct pg_standby_names s = parsed("ANY 1 (us, a)");
    pg_standby_names_remove(&s, "us");
    assert_put(&s, "\"a\"");
}

static void who_could_answer(void **state)
{
    (void)state;
    struct pg_standby_names s = parsed("FIRST 2 (a, Us, b)");
    assert_int_equal(pg_standby_names_priority(&s, "uS"), 2);
    assert_int_equal(pg_standby_names_priority(&s, "c"), 0);
    assert_int_equal(pg_standby_names_others(&s, "us"), 2);
    s = parsed("ANY 2 (a, us)");
    assert_int_equal(pg_standby_names_priority(&s, "us"), 1);
    s = parsed("us, *");
    assert_int_equal(pg_standby_names_priority(&s, "whoever"), 2);
    assert_int_equal(pg_standby_names_others(&s, "us"), INT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_not_such_a_text_is_refused),
        cmocka_unit_test(one_more_is_waited_for_and_one_less),
        cmocka_unit_test(who_could_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
