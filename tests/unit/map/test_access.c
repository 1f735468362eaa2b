/* Statements of servers' statistics, and how they find rows. */
#include <string.h>

#include "base/buf.h"
#include "map/access.h"
#include "mf_test.h"

/* "schema.table =a,b <c order d,e-"; "none" */
static void check(const char *sql, const char *want)
{
    struct mf_access a = {.nequal = 99};
    struct mf_buf b = {.max = 4096};
    if (!mf_access_parse(sql, strlen(sql), &a)) {
        assert_int_equal(a.nequal, 99);
        mf_buf_puts(&b, "none");
    } else {
        mf_buf_printf(&b, "%s%s%s", a.schema.text, a.schema.text[0] ? "." : "", a.table.text);
        for (uint16_t i = 0; i < a.nequal; i++) {
            mf_buf_printf(&b, "%s%s", i ? "," : " =", a.equal[i].text);
        }
        for (uint16_t i = 0; i < a.nrange; i++) {
            mf_buf_printf(&b, "%s%s", i ? "," : " <", a.range[i].text);
        }
        for (uint16_t i = 0; i < a.norder; i++) {
            mf_buf_printf(&b, "%s%s%s", i ? "," : " order ", a.order[i].name.text, a.order[i].descending ? "-" : "");
        }
    }
    if (strcmp(mf_buf_str(&b), want) != 0) {
        fail_msg("%s: \"%s\", expected \"%s\"", sql, mf_buf_str(&b), want);
    }
    mf_buf_free(&b);
}

static void test_what_is_understood(void **state)
{
    (void)state;
    check("SELECT * FROM orders WHERE id = $1", "orders =id");
    check("select o.id, count(*) from shop.orders as o where o.customer_id = $1 and o.placed_at >= $2 order by "
          "o.placed_at desc nulls last, id limit $3",
          "shop.orders =customer_id <placed_at order placed_at-,id");
    check("SELECT `a` FROM `s` . `t` WHERE `b` = ? AND `c` IN (...) ORDER BY `d` ASC LIMIT ?", "s.t =b,c order d");
    check("SELECT \"T\".\"x\" FROM \"T\" WHERE ((\"T\".\"x\" = $1) AND (y = ANY ($2::int[]))) FOR UPDATE", "T =x,y");
    check("SELECT 1 FROM t WHERE a BETWEEN $1 AND $2 AND b = $3::text AND c IS NOT NULL AND NOT d AND lower(e) = $4;",
          "t =b <a");
    check("SELECT a FROM t WHERE a = b AND c <> $1 AND d != $2 AND e LIKE $3 AND f::text = $4", "t");
    check("SELECT a FROM t WHERE a = -1 AND b = 'x''y' AND (c = $1 OR d = $2)", "t =a,b");
    check("/* app */ SELECT a -- all\n FROM ONLY t WHERE a = $1 GROUP BY a ORDER BY a", "t =a");
    check("SELECT a FROM t ORDER BY lower(a), b", "t");
    check("SELECT a FROM t ORDER BY b, lower(a)", "t order b");
    check("SELECT a FROM t", "t");
    check("SELECT \"a\"\"b\" FROM t WHERE \"a\"\"b\" = $1", "t =a\"b");
    check("SELECT a FROM t WHERE (a, b) = ($1, $2) AND c = $3", "t =c");
    check("SELECT a FROM t WHERE (a = $1) IS TRUE AND c = $3", "t =c");
}

static void test_what_is_none(void **state)
{
    (void)state;
    static const char *const others[] = {"",
                                         "UPDATE t SET a = $1 WHERE b = $2",
                                         "SELECT a FROM t, u WHERE a = $1",
                                         "SELECT a FROM t JOIN u ON t.a = u.a WHERE b = $1",
                                         "SELECT a FROM t LEFT JOIN u USING (a)",
                                         "SELECT a FROM t WHERE a = $1 OR b = $2",
                                         "SELECT a FROM t WHERE a IN (SELECT a FROM u)",
                                         "SELECT (SELECT 1) FROM t WHERE a = $1",
                                         "SELECT a FROM (SELECT 1) x WHERE a = $1",
                                         "SELECT a FROM t WHERE a = $1 UNION SELECT a FROM u",
                                         "SELECT a FROM f($1) WHERE a = $2",
                                         "SELECT $1",
                                         "SELECT a FROM t WHERE a = $1)",
                                         "SELECT a FROM \"t",
                                         "WITH x AS (SELECT 1) SELECT a FROM t"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        check(others[i], "none");
    }
    check("SELECT a FROM t WHERE a=1 AND b=1 AND c=1 AND d=1 AND e=1 AND f=1 AND g=1 AND h=1 AND i=1", "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_understood), cmocka_unit_test(test_what_is_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
