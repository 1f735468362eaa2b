/* What SHOW GRANTS says. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/mysql/grants.h"

static struct my_grants g;

static int setup(void **state)
{
    static const char *const lines[] = {
        "GRANT USAGE ON *.* TO 'mf'@'%' IDENTIFIED BY PASSWORD '*X'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `mf`@`%`",
        "GRANT SELECT, INSERT (`a`, `b`), UPDATE ON `sh``op`.`or ON ders` TO `mf`@`%`",
        "GRANT ALL PRIVILEGES ON `t\\_1%`.* TO `mf`@`%` WITH GRANT OPTION",
        "GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `mf`@`%`",
        "GRANT `role`@`%` TO `mf`@`%`",
        "GRANT PROXY ON ''@'' TO 'mf'@'%'",
        "SET DEFAULT ROLE x",
        "GRANT ",
        "GRANT SELECT ON `x",
    };
    struct mf_error err = {0};
    (void)state;
    my_grants_init(&g);
    for (size_t i = 0; i < MF_ARRAY_LEN(lines); i++) {
        assert_mf_ok(my_grants_add(&g, lines[i], &err), &err);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    my_grants_free(&g);
    return 0;
}

static void privileges_count_where_they_are_given(void **state)
{
    (void)state;
    assert_true(my_grants_have(&g, "REPLICATION SLAVE", NULL, NULL));
    assert_true(my_grants_have(&g, "REPLICATION CLIENT", "any", "table"));
    assert_false(my_grants_have(&g, "REPLICATION", NULL, NULL));
    assert_true(my_grants_have(&g, "SELECT", "sh`op", "or ON ders"));
    assert_true(my_grants_have(&g, "UPDATE", "sh`op", "or ON ders"));
    assert_false(my_grants_have(&g, "SELECT", "sh`op", "other"));
    assert_false(my_grants_have(&g, "SELECT", "sh`op", NULL));
    assert_false(my_grants_have(&g, "EXECUTE", "shop", "p"));
}

static void a_privilege_on_columns_is_none(void **state)
{
    (void)state;
    assert_false(my_grants_have(&g, "INSERT", "sh`op", "or ON ders"));
}

static void names_of_databases_are_patterns(void **state)
{
    (void)state;
    assert_true(my_grants_have(&g, "TRIGGER", "t_1", "x"));
    assert_true(my_grants_have(&g, "TRIGGER", "t_123", "x"));
    assert_false(my_grants_have(&g, "TRIGGER", "tx1", "x"));
    assert_false(my_grants_have(&g, "TRIGGER", "t_", "x"));
    assert_false(my_grants_have(&g, "TRIGGER", NULL, NULL));
}

static void all_is_not_the_right_to_give(void **state)
{
    struct my_grants own;
    struct mf_error err = {0};
    (void)state;
    my_grants_init(&own);
    assert_mf_ok(my_grants_add(&own, "GRANT ALL PRIVILEGES ON `a`.* TO 'u'@'%'", &err), &err);
    assert_mf_ok(my_grants_add(&own, "GRANT USAGE ON `b`.* TO `u`@`%` WITH GRANT OPTION", &err), &err);
    assert_true(my_grants_have(&own, "EVENT", "a", NULL));
    assert_false(my_grants_have(&own, "GRANT OPTION", "a", NULL));
    assert_true(my_grants_have(&own, "GRANT OPTION", "b", NULL));
    assert_false(my_grants_have(&own, "GRANT OPTION", NULL, NULL));
    my_grants_free(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(privileges_count_where_they_are_given),
        cmocka_unit_test(a_privilege_on_columns_is_none),
        cmocka_unit_test(names_of_databases_are_patterns),
        cmocka_unit_test(all_is_not_the_right_to_give),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
