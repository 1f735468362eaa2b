/* Normalised statements made statements again, and plans compared. The texts are what MySQL 5.7.19 and 8.0.15 keep. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/mysql/query_plan.h"
#include "connector/mysql/query_text.h"

#include <string.h>

static void markers_are(const char *text, const char *want)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1u << 16};
    my_query_markers(text, strlen(text), &b);
    assert_string_equal(mf_buf_str(&b), want);
}

static void markers(void **state)
{
    (void)state;
    markers_are("SELECT * FROM `t` WHERE `id` = ? ", "SELECT * FROM `t` WHERE `id` = ?");
    markers_are("SELECT * FROM `t` WHERE `id` IN (...) LIMIT ?, ... ",
                "SELECT * FROM `t` WHERE `id` IN ( ? , ? ) LIMIT ? , ?");
    markers_are("SELECT * FROM `t` WHERE `id` IN (?)", "SELECT * FROM `t` WHERE `id` IN ( ? )");
    markers_are("INSERT INTO `t` ( `a` , `b` , `c` ) VALUES (...) /* , ... */ ",
                "INSERT INTO `t` ( `a` , `b` , `c` ) VALUES ( ? , ? , ? )");
    markers_are("SELECT `a` FROM `t` WHERE ( `a` , `b` , `c` ) IN ( (...) /* , ... */ )",
                "SELECT `a` FROM `t` WHERE ( `a` , `b` , `c` ) IN ( ( ? , ? , ? ) )");
    markers_are("SELECT @? := `id` , @@`max_connections` FROM `t`", "SELECT @a := `id` , @@`max_connections` FROM `t`");
    markers_are("SELECT CAST ( `n` AS DECIMAL (...) ) , CAST ( `n` AS CHARACTER (?) ) FROM `t`",
                "SELECT CAST ( `n` AS DECIMAL ( 10 , 2 ) ) , CAST ( `n` AS CHARACTER ( 10 ) ) FROM `t`");
    markers_are("SELECT DATE ? , DATE ( `d` ) , (_charset) ?, ... FROM `t`",
                "SELECT DATE '2020-01-01' , DATE ( `d` ) , ? , ? FROM `t`");
    markers_are("SELECT `a` FROM `t` WHERE `a` != ? AND `b` >= ? AND `c` <=> ? AND `d` <> ?",
                "SELECT `a` FROM `t` WHERE `a` != ? AND `b` >= ? AND `c` <=> ? AND `d` <> ?");
    markers_are("", "");
}

static void stand_in(void *ctx, const char *table, const char *column, struct mf_buf *out)
{
    (void)ctx;
    mf_buf_printf(out, "<%s%s%s>", table, *table ? "." : "", column);
}

static void literals_are(const char *text, enum my_query_plan kind, const char *want)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1u << 16};
    assert_int_equal(my_query_literals(text, strlen(text), stand_in, NULL, &b), kind);
    assert_string_equal(mf_buf_str(&b), want);
}

static void literals_are_of_the_column(void **state)
{
    (void)state;
    literals_are("SELECT ? FROM `t` WHERE `a` = ? AND `t` . `b` BETWEEN ? AND ? OR ? = `c` LIMIT ?", MY_PLAN_READ,
                 "SELECT <> FROM `t` WHERE `a` = <a> AND `t` . `b` BETWEEN <t.b> AND <t.b> OR <c> = `c` LIMIT 10");
    literals_are("SELECT `a` FROM `t` WHERE `b` IN (...) AND `c` NOT LIKE ? ORDER BY ?", MY_PLAN_READ,
                 "SELECT `a` FROM `t` WHERE `b` IN ( <b> , <b> ) AND `c` NOT LIKE <c> ORDER BY NULL");
    literals_are("SELECT `a` FROM `t` WHERE `f` ( `x` ) = ? AND `d` > NOW ( ) - INTERVAL ? SQL_TSI_DAY FOR UPDATE",
                 MY_PLAN_READ, "SELECT `a` FROM `t` WHERE `f` ( `x` ) = <> AND `d` > NOW ( ) - INTERVAL 1 SQL_TSI_DAY");
    literals_are("SELECT `a` FROM `t` WHERE `a` = ? LOCK IN SHARE MODE", MY_PLAN_READ,
                 "SELECT `a` FROM `t` WHERE `a` = <a>");
    literals_are("UPDATE `t` SET `a` = ? WHERE `id` = ?", MY_PLAN_WRITE, "UPDATE `t` SET `a` = <a> WHERE `id` = <id>");
    literals_are("DELETE FROM `t` WHERE `id` < ? LIMIT ?", MY_PLAN_WRITE, "DELETE FROM `t` WHERE `id` < <id> LIMIT 10");
    literals_are("INSERT INTO `t` ( `a` ) SELECT `b` FROM `u` WHERE `c` = ?", MY_PLAN_READ,
                 "SELECT `b` FROM `u` WHERE `c` = <c>");
}

/* What would lock rows, or do something, is never given to EXPLAIN. */
static void what_is_not_planned(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "INSERT INTO `t` VALUES (...)",
        "INSERT INTO `t` SELECT `a` FROM `u` ON DUPLICATE KEY UPDATE `a` = ?",
        "UPDATE `t` JOIN `u` ON `t` . `a` = `u` . `a` SET `t` . `b` = ?",
        "UPDATE `t` , `u` SET `t` . `b` = ?",
        "UPDATE `t` SET `a` = ( SELECT `b` FROM `u` )",
        "DELETE `t` FROM `t` , `u` WHERE `t` . `a` = `u` . `a`",
        "DELETE FROM `t` USING `t` WHERE `a` = ?",
        "DELETE FROM `t` WHERE `a` IN ( SELECT `b` FROM `u` )",
        "SELECT `a` INTO OUTFILE ? FROM `t`",
        "CALL `p` (?)",
        "SET @? = ?",
        "DROP TABLE `t`",
        "LOCK TABLES `t` WRITE",
        "",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        literals_are(texts[i], MY_PLAN_NONE, "");
    }
}

static bool calls(const char *text, bool any, const char *want)
{
    char name[40] = "";
    bool found = my_query_calls_unknown(text, strlen(text), any, name, sizeof name);
    assert_string_equal(name, want);
    return found;
}

static void calls_that_may_do_something(void **state)
{
    (void)state;
    assert_true(calls("SELECT `sleep` (?)", false, "sleep"));
    assert_true(calls("SELECT `a` FROM `t` WHERE `shop` . `mine` ( `a` ) = ?", false, "mine"));
    assert_true(calls("SELECT `get_lock` (...)", false, "get_lock"));
    assert_false(
        calls("SELECT `ifnull` ( `a` , ? ) , COUNT ( * ) , LEFT (...) FROM `t` WHERE `b` IN (...)", false, ""));
    assert_false(calls("INSERT INTO `shop` . `t` ( `a` ) VALUES (?)", false, ""));
    assert_true(calls("select sleep(1) AS `x`", true, "sleep"));
    assert_true(calls("select `shop`.`mine`(1) AS `x`", true, "mine"));
    assert_false(
        calls("select count(0) AS `n` from (`t` join `u` on((`t`.`a` = `u`.`a`))) where (`t`.`a` in (1,2))", true, ""));
}

static struct my_plan plan(const char *type, int64_t rows)
{
    struct my_plan p = {.n = 2, .steps = {{1, "p", "const", "PRIMARY", 1, 100}, {1, "t", "", "k", 0, 100}}};
    strcpy(p.steps[1].type, type);
    p.steps[1].rows = rows;
    return p;
}

static void plans(void **state)
{
    (void)state;
    char why[300];
    struct my_plan ref = plan("ref", 20), all = plan("ALL", 5000), few = plan("ALL", 50), more = plan("ref", 900),
                   many = plan("range", 50000), none = {0};
    assert_true(my_plan_is_worse(&ref, &all, 10, why, sizeof why));
    assert_string_equal(why, "t is read whole (ALL) where an index was used (ref)");
    assert_false(my_plan_is_worse(&all, &ref, 10, why, sizeof why));
    assert_false(my_plan_is_worse(&ref, &few, 10, why, sizeof why));  /* a small table is scanned rightly */
    assert_false(my_plan_is_worse(&ref, &more, 10, why, sizeof why)); /* too few to matter */
    assert_true(my_plan_is_worse(&ref, &many, 10, why, sizeof why));
    assert_string_equal(why, "about 50001 rows are examined where it was 21");
    assert_false(my_plan_is_worse(&ref, &many, 5000, why, sizeof why));
    assert_false(my_plan_is_worse(&none, &many, 10, why, sizeof why)); /* nothing to compare with */
    assert_false(my_plan_is_worse(&many, &many, 10, why, sizeof why));
}

static void nested_loops_multiply(void **state)
{
    (void)state;
    struct my_plan p = {
        .n = 3, .steps = {{1, "a", "ALL", "", 100, 50}, {1, "b", "ref", "k", 10, 100}, {2, "c", "ALL", "", 7, 100}}};
    assert_true(my_plan_examines(&p) == 100 + 50 * 10 + 7);
    MF_CLEANUP_BUF struct mf_buf b = {.max = 400};
    my_plan_put(&p, &b);
    assert_string_equal(mf_buf_str(&b), "a ALL 100 rows, b ref k 10 rows, c ALL 7 rows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markers),
        cmocka_unit_test(literals_are_of_the_column),
        cmocka_unit_test(what_is_not_planned),
        cmocka_unit_test(calls_that_may_do_something),
        cmocka_unit_test(plans),
        cmocka_unit_test(nested_loops_multiply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
