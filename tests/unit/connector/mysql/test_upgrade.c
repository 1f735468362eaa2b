/* What a newer MySQL takes otherwise, as tables, and texts searched for it. */
#include "mf_test.h"

#include "connector/mysql/upgrade.h"

#include <string.h>
#include <strings.h>

static void words_are_reserved_by_version(void **state)
{
    (void)state;
    assert_int_equal(my_reserved_since("rank", 50719, 80015), 80011);
    assert_int_equal(my_reserved_since("RANK", 80015, 80040), 0); /* the source reserves it, too */
    assert_int_equal(my_reserved_since("lateral", 50719, 80015), 80014);
    assert_int_equal(my_reserved_since("lateral", 80013, 80015), 80014);
    assert_int_equal(my_reserved_since("lateral", 80014, 80040), 0);
    assert_int_equal(my_reserved_since("intersect", 50719, 80015), 80031); /* a patch of the same series away */
    assert_int_equal(my_reserved_since("manual", 50719, 80040), 0);
    assert_int_equal(my_reserved_since("manual", 50719, 80403), 80400);
    assert_int_equal(my_reserved_since("persist", 50719, 80015), 80011);
    assert_int_equal(my_reserved_since("persist", 50719, 80016), 0); /* given back */
    assert_int_equal(my_reserved_since("array", 50719, 80018), 80017);
    assert_int_equal(my_reserved_since("array", 50719, 80019), 0);
    assert_int_equal(my_reserved_since("ranks", 50719, 80040), 0);
    assert_int_equal(my_reserved_since("select", 50719, 80040), 0); /* always was */
}

static void the_table_is_in_order(void **state)
{
    (void)state;
    const char *word, *last = "";
    int since, until;
    for (size_t i = 0; (word = my_reserved_word(i, &since, &until)); last = word, i++) {
        assert_true(strcmp(last, word) < 0);
        assert_true(since >= 80011 && (until == 0 || until > since));
    }
}

static struct my_scan scan(const char *text)
{
    struct my_scan s;
    my_scan_text(text, strlen(text), true, &s);
    return s;
}

static void removed_functions_are_found(void **state)
{
    (void)state;
    assert_string_equal(scan("SELECT encode(a, 'k'), X(p), x (p) FROM t").removed,
                        "encode() (AES_ENCRYPT), X() (ST_X), x() (ST_X)");
    assert_string_equal(scan("SET @h = PASSWORD('x')").removed, "PASSWORD()");
    assert_string_equal(scan("IF Equals(a, b) THEN SELECT 1; END IF").removed, "Equals() (MBREquals)");
    assert_string_equal(scan("/*! SELECT touches(a, b) */").removed, "touches() (ST_Touches)");
}

static void what_only_looks_like_one_is_not(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "SELECT 'encode(1)', \"x(1)\", `y`(1), t.x FROM t",
        "SELECT 'it''s encode(1)', 'a\\'encode(1)'",
        "INSERT INTO distance (x, y) VALUES (1, 2)",
        "CREATE TABLE area (x int, y int, KEY x (x))",
        "CALL buffer(1); SELECT shop.encode(1)",
        "SELECT 1 -- encode(1)\n # x(1)\n /* y(1) */",
        "SELECT st_x(p), aes_encrypt(a, b), xx(1)",
        "",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_string_equal(scan(texts[i]).removed, "");
    }
    struct my_scan s;
    static const char plain[] = "SELECT '\\', 'encode(1)'"; /* NO_BACKSLASH_ESCAPES */
    my_scan_text(plain, strlen(plain), false, &s);
    assert_string_equal(s.removed, "");
}

static void grouping(void **state)
{
    (void)state;
    struct my_scan s = scan("SELECT g, count(*) FROM t GROUP BY g DESC");
    assert_true(s.group_order && s.group_alone);
    s = scan("SELECT g FROM t GROUP BY g, f(h) ASC HAVING g > 1");
    assert_true(s.group_order);
    s = scan("SELECT g FROM t GROUP BY g ORDER BY g DESC");
    assert_false(s.group_order || s.group_alone);
    s = scan("SELECT group_concat(a ORDER BY a DESC) FROM t GROUP BY g ORDER BY NULL");
    assert_false(s.group_order || s.group_alone);
    s = scan("SELECT * FROM (SELECT g FROM t GROUP BY g) x ORDER BY 1 DESC");
    assert_false(s.group_order || s.group_alone);
    s = scan("BEGIN SELECT g FROM t GROUP BY g; SELECT a FROM t ORDER BY a DESC; END");
    assert_true(s.group_alone && !s.group_order);
    s = scan("SELECT g FROM t GROUP BY g UNION SELECT g FROM u ORDER BY g");
    assert_true(s.group_alone);
    s = scan("SELECT `group` BY, 'GROUP BY a ASC' FROM t");
    assert_false(s.group_order || s.group_alone);
    s = scan("SELECT CAST(a AS char), 1");
    assert_true(s.casts);
}

static void brackets_without_an_end(void **state)
{
    (void)state;
    char deep[600];
    memset(deep, '(', sizeof deep);
    struct my_scan s;
    my_scan_text(deep, sizeof deep, true, &s);
    memset(deep, ')', sizeof deep);
    my_scan_text(deep, sizeof deep, true, &s);
    assert_false(s.group_alone || s.group_order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_reserved_by_version),
        cmocka_unit_test(the_table_is_in_order),
        cmocka_unit_test(removed_functions_are_found),
        cmocka_unit_test(what_only_looks_like_one_is_not),
        cmocka_unit_test(grouping),
        cmocka_unit_test(brackets_without_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
