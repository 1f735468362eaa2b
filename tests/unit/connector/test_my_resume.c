/* What a position's token says besides what was read. */
#include "mf_test.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "connector/mysql/resume.h"

#include <stdlib.h>
#include <string.h>

#define A "3e11fa47-71ca-11e1-9e33-c80aa9429562"
#define B "00000000-0000-0000-0000-00000000000b"

enum kind { MYSQL_SETS, MARIADB_SETS, FILES };

static void stays(enum kind k, const char *token, uint64_t order, size_t nxa, bool marked)
{
    struct mf_error err = {0};
    struct my_resume r;
    struct mf_position p = {0};
    assert_mf_ok(my_resume_read(token, k != FILES, k == MARIADB_SETS, &r, &err), &err);
    assert_int_equal(r.nxa, nxa);
    assert_int_equal(r.mark.unit != 0, marked);
    assert_mf_ok(my_resume_position(&r, &p, &err), &err);
    assert_string_equal(p.token, token);
    assert_int_equal(p.order, order);
    my_resume_free(&r);
}

static void every_form(void **state)
{
    (void)state;
    stays(MYSQL_SETS, A ":1-105", 105, 0, false);
    stays(MYSQL_SETS, "", 0, 0, false);
    stays(MYSQL_SETS, B ":1-5," A ":1-105 last " A ":105=u1712345678123456.0af01c22.002e", 110, 0, true);
    stays(MYSQL_SETS, A ":1-105:tag:1-7 xa " A ":100.3," A ":tag:7 last " A ":tag:7=s0.00000000.ffff", 112, 3, true);
    stays(MYSQL_SETS, B ":1-5," A ":1-105 xa " B ":5," A ":100", 110, 2, false);
    stays(MARIADB_SETS, "0-1-105,1-2-7 from 0-1-99,1-2-7 xa 0:100.3 last 0-1-105>0-7-104=s1712345678.9af01c22.1f2e",
          112, 2, true);
    stays(MARIADB_SETS, "0-1-105 last 0-1-105>0-1-104=s1712345678.9af01c22.1f2e", 105, 0, true);
    stays(FILES, "binlog.000003:1234", ((uint64_t)3 << 40) + 1234, 0, false);
    stays(FILES, "binlog.000003:1234 xa 2:99.401,3:4", ((uint64_t)3 << 40) + 1234, 3, false);
}

static void what_is_none(void **state)
{
    (void)state;
    static const struct {
        enum kind k;
        const char *token;
    } bad[] = {{MYSQL_SETS, A ":1-5 xa"},
               {MYSQL_SETS, A ":1-5 xa "},
               {MYSQL_SETS, A ":1-5 xa x:1"},
               {MYSQL_SETS, A ":1-5 xa " A ":1-3"},
               {MYSQL_SETS, A ":1-5 xa 1"},
               {MYSQL_SETS, A ":1-5 xa " A ":3.0"},
               {MYSQL_SETS, A ":1-5 xa " A ":3.18446744073709551613"},
               {MYSQL_SETS, A ":1-5 xa " A ":1 xa " A ":2"},
               {MYSQL_SETS, A ":1-5 last " A ":5"},
               {MYSQL_SETS, A ":1-5 last " A ":5=q1.2.3"},
               {MYSQL_SETS, A ":1-5 last " A ":5=u1.2"},
               {MYSQL_SETS, A ":1-5 last " A ":5=u1.2.3x"},
               {MYSQL_SETS, A ":1-5 last " A ":5>" A ":4=u1.2.3"},
               {MYSQL_SETS, A ":1-5 from " A ":4"},
               {MYSQL_SETS, A ":1-5 last " A ":5=u1.2.3 more"},
               {MARIADB_SETS, "0-1-5 last 0-1-5=s1.2.3"},
               {MARIADB_SETS, "0-1-5 last 0-1-5>1-1-4=s1.2.3"},
               {MARIADB_SETS, "0-1-5 xa x:3"},
               {FILES, "binlog.000003:1234 xa 0:99"},
               {FILES, "binlog.000003:1234 xa 2:0"},
               {FILES, "binlog.000003:1234 last 0-1-5>0-1-4=s1.2.3"},
               {FILES, A ":1-5"}};
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        struct mf_error err = {0};
        struct my_resume r;
        assert_mf_fails(my_resume_read(bad[i].token, bad[i].k != FILES, bad[i].k == MARIADB_SETS, &r, &err), &err,
                        MF_FATAL, "");
        assert_string_equal(err.code, "MFGTID");
        my_resume_free(&r);
    }
}

/* More than fits: then without, rather than cut off. */
static void too_long(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct my_resume r;
    struct mf_position p = {0};
    struct my_again many[400] = {0};
    assert_mf_ok(my_resume_read(A ":1-100000", true, false, &r, &err), &err);
    for (size_t i = 0; i < MF_ARRAY_LEN(many); i++) {
        assert_true(my_gtid_parse(A ":1", false, &many[i].gtid));
        many[i].gtid.number = 90000 + 20 * (MF_ARRAY_LEN(many) - i);
    }
    r.mark = (struct my_mark){.gtid = many[0].gtid, .unit = 'u', .time = 1};
    r.xa = many;
    r.nxa = MF_ARRAY_LEN(many);
    assert_mf_ok(my_resume_position(&r, &p, &err), &err);
    assert_null(strstr(p.token, " xa "));
    assert_non_null(strstr(p.token, " last "));
    r.nxa = 120;
    assert_mf_ok(my_resume_position(&r, &p, &err), &err);
    assert_non_null(strstr(p.token, " xa "));
    r.xa = NULL;
    my_resume_free(&r);
}

static void the_first_place(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct my_resume r;
    struct my_place at = {0};
    assert_mf_ok(my_resume_read("binlog.000010:1234 xa 9:500,10:99.77", false, false, &r, &err), &err);
    assert_true(my_resume_first_place(&r, &r.place, &at));
    assert_string_equal(at.file, "binlog.000009");
    assert_int_equal(at.offset, 500);
    my_resume_free(&r);
    assert_mf_ok(my_resume_read("binlog.000010:1234", false, false, &r, &err), &err);
    assert_false(my_resume_first_place(&r, &r.place, &at));
    my_resume_free(&r);
}

static void the_words_go(void **state)
{
    (void)state;
    char plain[MF_POSITION_TOKEN];
    my_resume_plain(A ":1-5 xa " A ":3", plain);
    assert_string_equal(plain, A ":1-5");
    my_resume_plain("binlog.000010:1234", plain);
    assert_string_equal(plain, "binlog.000010:1234");
}

static void marks(void **state)
{
    (void)state;
    struct my_mark a = {.unit = 'u', .time = 5, .sum = 1, .server = 1}, b = a;
    assert_true(my_gtid_parse(A ":5", false, &a.gtid));
    b.gtid = a.gtid;
    assert_false(my_mark_differs(&a, &b));
    b.sum = 2; /* one server's log does not change */
    assert_true(my_mark_differs(&a, &b));
    b.server = 2; /* another's is written by itself */
    assert_false(my_mark_differs(&a, &b));
    b.time = 6;
    assert_true(my_mark_differs(&a, &b));
    b.unit = 's'; /* of a version that keeps no time of commits */
    assert_false(my_mark_differs(&a, &b));
    a.unit = 's';
    assert_true(my_mark_differs(&a, &b));
    a.time = 0;
    assert_false(my_mark_differs(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form),   cmocka_unit_test(what_is_none),    cmocka_unit_test(too_long),
        cmocka_unit_test(the_words_go), cmocka_unit_test(the_first_place), cmocka_unit_test(marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
