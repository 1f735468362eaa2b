/* What a reply of connectionStatus says that the account may do. */
#include "mf_test.h"

#include "connector/mongodb/check.h"

static bool may(const char *privileges, const char *database, const char *action)
{
    bson_error_t e;
    char json[2000];
    snprintf(json, sizeof json, "{\"authInfo\":{\"authenticatedUserPrivileges\":[%s]}}", privileges);
    bson_t *b = bson_new_from_json((const uint8_t *)json, -1, &e);
    assert_non_null(b);
    bool yes = mongo_may(b, database, action);
    bson_destroy(b);
    return yes;
}

#define ON(db, collection, actions)                                                                                    \
    "{\"resource\":{\"db\":\"" db "\",\"collection\":\"" collection "\"},\"actions\":[" actions "]}"

static void a_database_by_its_name_or_by_any(void **state)
{
    (void)state;
    assert_true(may(ON("shop", "", "\"find\",\"changeStream\""), "shop", "changeStream"));
    assert_false(may(ON("shop", "", "\"find\""), "shop", "changeStream"));
    assert_false(may(ON("other", "", "\"find\""), "shop", "find"));
    assert_true(may(ON("", "", "\"find\""), "shop", "find"));
    assert_true(may(ON("other", "", "\"find\"") "," ON("shop", "", "\"find\""), "shop", "find"));
}

static void a_collection_is_not_the_database(void **state)
{
    (void)state;
    assert_false(may(ON("shop", "users", "\"find\""), "shop", "find"));
    assert_false(may("{\"resource\":{\"cluster\":true},\"actions\":[\"find\"]}", "shop", "find"));
    assert_true(may("{\"resource\":{\"anyResource\":true},\"actions\":[\"find\"]}", "shop", "find"));
}

static void what_is_no_privilege_gives_none(void **state)
{
    (void)state;
    assert_false(may("", "shop", "find"));
    assert_false(
        may("5, {}, {\"resource\":7,\"actions\":8}, {\"resource\":{\"db\":\"\",\"collection\":\"\"}}", "shop", "find"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_database_by_its_name_or_by_any),
        cmocka_unit_test(a_collection_is_not_the_database),
        cmocka_unit_test(what_is_no_privilege_gives_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
