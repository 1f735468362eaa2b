#include "mf_test.h"

#include <string.h>

static void fail_fills_and_returns_minus_one(void **state)
{
    (void)state;
    struct mf_error err;
    memset(&err, 'x', sizeof(err));
    assert_int_equal(mf_fail(&err, MF_FATAL, "42P01", "no table %s", "t"), -1);
    assert_int_equal(err.cls, MF_FATAL);
    assert_string_equal(err.code, "42P01");
    assert_string_equal(err.text, "no table t");
    assert_string_equal(err.hint, "");
}

static void fail_without_an_error_is_safe(void **state)
{
    (void)state;
    assert_int_equal(mf_fail(NULL, MF_RETRY, "x", "y"), -1);
    mf_hint(NULL, "x");
    mf_error_prefix(NULL, "x");
    mf_error_clear(NULL);
}

static void fail_always_has_a_code(void **state)
{
    (void)state;
    struct mf_error err = {0};
    mf_fail(&err, MF_RETRY, NULL, "x");
    assert_string_equal(err.code, "MF000");
    mf_fail(&err, MF_RETRY, "", "x");
    assert_string_equal(err.code, "MF000");
    mf_fail(&err, MF_RETRY, "a code far too long for it", "x");
    assert_int_equal(strlen(err.code), sizeof(err.code) - 1);
}

static void fail_may_reword_itself(void **state)
{
    (void)state;
    struct mf_error err = {0};
    mf_fail(&err, MF_FATAL, "A1", "inner");
    mf_fail(&err, err.cls, err.code, "outer (%s)", err.text);
    assert_string_equal(err.code, "A1");
    assert_string_equal(err.text, "outer (inner)");
}

static void hint_may_quote_the_error(void **state)
{
    (void)state;
    struct mf_error err = {0};
    mf_fail(&err, MF_FATAL, "A1", "inner");
    mf_hint(&err, "look at %s", err.text);
    mf_hint(&err, "%s twice", err.hint);
    assert_string_equal(err.hint, "look at inner twice");
    assert_string_equal(err.text, "inner");
}

static void prefix_goes_in_front(void **state)
{
    (void)state;
    struct mf_error err = {0};
    mf_fail(&err, MF_ROW, "22003", "out of range");
    mf_error_prefix(&err, "column %s", "c");
    mf_error_prefix(&err, "copying %s", "public.t");
    assert_string_equal(err.text, "copying public.t: column c: out of range");
    assert_int_equal(err.cls, MF_ROW);
    assert_string_equal(err.code, "22003");
}

static void prefix_of_any_length_stays_inside(void **state)
{
    (void)state;
    for (size_t len = 0; len < 3 * sizeof(((struct mf_error *)0)->text); len += 7) {
        char context[4096];
        struct mf_error err = {0};
        memset(context, 'c', len);
        context[len] = '\0';
        mf_fail(&err, MF_FATAL, "A1", "%01000d", 7);
        mf_error_prefix(&err, "%s", context);
        size_t head = len < sizeof(err.text) / 2 ? len : sizeof(err.text) / 2;
        assert_memory_equal(err.text + head, ": 000", 5);
        assert_true(strlen(err.text) < sizeof(err.text));
    }
}

static void clear_says_ok(void **state)
{
    (void)state;
    struct mf_error err = {0};
    mf_fail(&err, MF_FATAL, "A1", "x");
    mf_hint(&err, "y");
    mf_error_clear(&err);
    assert_int_equal(err.cls, MF_OK);
    assert_string_equal(err.code, "");
    assert_string_equal(err.text, "");
    assert_string_equal(err.hint, "");
}

static void every_class_has_its_own_name(void **state)
{
    (void)state;
    for (int a = MF_OK; a <= MF_CRASH; a++) {
        assert_string_not_equal(mf_errclass_name((enum mf_errclass)a), "unknown");
        for (int b = MF_OK; b < a; b++) {
            assert_string_not_equal(mf_errclass_name((enum mf_errclass)a), mf_errclass_name((enum mf_errclass)b));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_fills_and_returns_minus_one),
        cmocka_unit_test(fail_without_an_error_is_safe),
        cmocka_unit_test(fail_always_has_a_code),
        cmocka_unit_test(fail_may_reword_itself),
        cmocka_unit_test(hint_may_quote_the_error),
        cmocka_unit_test(prefix_goes_in_front),
        cmocka_unit_test(prefix_of_any_length_stays_inside),
        cmocka_unit_test(clear_says_ok),
        cmocka_unit_test(every_class_has_its_own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
