/* Names of what is made, and schemas under other names. */
#include "base/str.h"
#include "mf_test.h"
#include "model/schema.h"

#include <string.h>

static void check(const char *prefix, const char *name, bool other, const char *expected)
{
    char out[MF_SCHEMA_NAME];
    mf_schema_name(prefix, name, other, out);
    assert_string_equal(out, expected);
}

static void test_short_names_stay(void **state)
{
    (void)state;
    check("orders", "idx", false, "orders_idx");
    check("orders", "orders_idx", false, "orders_idx");
    check("orders", "ordersidx", false, "orders_ordersidx");
    check(NULL, "idx", false, "idx");
}

static void test_long_names_differ(void **state)
{
    char a[MF_SCHEMA_NAME], b[MF_SCHEMA_NAME], again[MF_SCHEMA_NAME];
    const char *table = "a_table_with_a_name_that_is_as_long_as_names_may_be_in_there";
    (void)state;
    mf_schema_name(table, "one_index", false, a);
    mf_schema_name(table, "one_index_more", false, b);
    mf_schema_name(table, "one_index", false, again);
    assert_string_not_equal(a, b);
    assert_string_equal(a, again);
    assert_true(strlen(a) <= 63 && strlen(b) <= 63);
    mf_schema_name("a", "b_c", true, a);
    mf_schema_name("a_b", "c", true, b);
    assert_string_not_equal(a, b);
    assert_true(mf_starts_with(a, "a_b_c_") && mf_starts_with(b, "a_b_c_"));
}

static void test_a_cut_does_not_break_a_character(void **state)
{
    char name[200] = "", out[MF_SCHEMA_NAME];
    (void)state;
    for (int shift = 0; shift < 3; shift++) {
        memset(name, 'x', (size_t)shift);
        name[shift] = 0;
        for (size_t n = strlen(name); n < 120; n += 3) {
            memcpy(name + n, "€", 4);
        }
        mf_schema_name(NULL, name, false, out);
        assert_true(strlen(out) <= 63 && mf_utf8_valid(out, strlen(out)));
    }
}

static void test_a_schema_is_renamed_with_what_refers_to_it(void **state)
{
    struct mf_schema_foreign f[] = {{.ref_schema = "shop"}, {.ref_schema = "other"}};
    struct mf_schema_table t[] = {{.schema = "shop", .name = "a", .nforeign = 2, .foreign = f},
                                  {.schema = "other", .name = "a"}};
    struct mf_schema s = {.ntables = 2, .tables = t};
    (void)state;
    mf_schema_rename(&s, "shop", "public");
    assert_string_equal(t[0].schema, "public");
    assert_string_equal(t[1].schema, "other");
    assert_string_equal(f[0].ref_schema, "public");
    assert_string_equal(f[1].ref_schema, "other");
    assert_ptr_equal(mf_schema_find(&s, "public", "a"), &t[0]);
    assert_null(mf_schema_find(&s, "shop", "a"));
    mf_schema_rename(&s, NULL, "x");
    assert_string_equal(t[0].schema, "public");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_names_stay),
        cmocka_unit_test(test_long_names_differ),
        cmocka_unit_test(test_a_cut_does_not_break_a_character),
        cmocka_unit_test(test_a_schema_is_renamed_with_what_refers_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
