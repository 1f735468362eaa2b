/* Savepoints of a transaction in a MySQL log. */
#include "mf_test.h"

#include "connector/mysql/savepoint.h"

#include <stdio.h>

static void goes_back_to(struct my_savepoints *s, const char *name, uint64_t sub, uint64_t want)
{
    struct mf_error err = {0};
    uint64_t got = 0;
    assert_int_equal(my_savepoint_back(s, name, sub, &got, &err), 0);
    assert_int_equal(got, want);
}

static void a_name_is_replaced_and_those_behind_are_gone(void **state)
{
    (void)state;
    struct my_savepoints s = {0};
    struct mf_error err = {0};
    uint64_t got = 0;
    my_savepoint_set(&s, "a", 1);
    my_savepoint_set(&s, "b", 2);
    my_savepoint_set(&s, "A", 3);
    assert_int_equal(s.n, 2);
    goes_back_to(&s, "a", 4, 3);
    goes_back_to(&s, "a", 5, 4); /* it stays where it was gone back to */
    goes_back_to(&s, "B", 6, 2);
    assert_int_equal(my_savepoint_back(&s, "a", 7, &got, &err), -1);
    assert_string_equal(err.code, "MFBINLOG");
    my_savepoints_free(&s);
}

static void one_name_again_and_again_takes_no_room(void **state)
{
    (void)state;
    struct my_savepoints s = {0};
    my_savepoint_set(&s, "outer", 1);
    for (uint64_t i = 2; i < 3 * MY_SAVEPOINTS_MAX; i++) {
        my_savepoint_set(&s, "active_record_1", i);
    }
    assert_int_equal(s.n, 2);
    goes_back_to(&s, "outer", 1, 1);
    my_savepoints_free(&s);
}

static void beyond_the_bound_the_oldest_are_forgotten_and_missed_only_when_asked_for(void **state)
{
    (void)state;
    struct my_savepoints s = {0};
    struct mf_error err = {0};
    uint64_t got = 0;
    char name[32];
    for (uint64_t i = 0; i < 5 * MY_SAVEPOINTS_MAX; i++) {
        snprintf(name, sizeof name, "s%d_x%d", 7, (int)i);
        my_savepoint_set(&s, name, i + 1);
        assert_true(s.n <= MY_SAVEPOINTS_MAX);
    }
    snprintf(name, sizeof name, "s7_x%d", 5 * MY_SAVEPOINTS_MAX - 100);
    goes_back_to(&s, name, 1, 5 * MY_SAVEPOINTS_MAX - 99);
    assert_int_equal(my_savepoint_back(&s, "s7_x3", 2, &got, &err), -1);
    assert_string_equal(err.code, "MFBIG");
    assert_true(err.hint[0]);
    my_savepoints_clear(&s);
    my_savepoint_set(&s, "s7_x4", 9);
    assert_int_equal(my_savepoint_back(&s, "s7_x3", 2, &got, &err), -1);
    assert_string_equal(err.code, "MFBINLOG"); /* of another transaction */
    my_savepoints_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_replaced_and_those_behind_are_gone),
        cmocka_unit_test(one_name_again_and_again_takes_no_room),
        cmocka_unit_test(beyond_the_bound_the_oldest_are_forgotten_and_missed_only_when_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
