/* What a column's default means, of both engines. */
#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/default.h"
#include "connector/postgres/default.h"
#include "mf_test.h"

static void check_pg(const char *expr, enum mf_default_kind kind, bool counter)
{
    bool counts = !counter;
    enum mf_default_kind got = pg_default_parse(expr, &counts);
    if (got != kind || counts != counter) {
        print_error("%s: %d %d\n", expr, (int)got, counts);
    }
    assert_int_equal(got, kind);
    assert_int_equal(counts, counter);
}

static void test_postgres_literals(void **state)
{
    static const char *const values[] = {"0",
                                         "-1",
                                         "(-1)",
                                         "1.5e-3",
                                         "'-1'::integer",
                                         "('-1'::integer)",
                                         "'it''s (now())'::text",
                                         "'a'::character varying(20)",
                                         "'{}'::text[]",
                                         "E'a\\'b'::text",
                                         "B'0101'::\"bit\"",
                                         "true",
                                         "false",
                                         "'x'::public.\"my :: type\"",
                                         "'2020-01-01'::date",
                                         "(-1)::numeric"};
    static const char *const others[] = {"(1 + 1)",
                                         "('now'::text)::text",
                                         "('5'::text)::integer",
                                         "'a'::text || 'b'::text",
                                         "random()",
                                         "lower('A'::text)",
                                         "trueish",
                                         "now() + '1 day'::interval",
                                         "timezone('utc'::text, now())",
                                         "'open",
                                         "",
                                         "CURRENT_USER",
                                         "'a'::text); DROP TABLE x; --",
                                         "nextval('s'::regclass) + 1"};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        check_pg(values[i], MF_DEFAULT_VALUE, false);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        check_pg(others[i], MF_DEFAULT_OTHER, false);
    }
}

static void test_postgres_calls(void **state)
{
    (void)state;
    check_pg("now()", MF_DEFAULT_NOW, false);
    check_pg("CURRENT_TIMESTAMP(3)", MF_DEFAULT_NOW, false);
    check_pg("(now())::timestamp without time zone", MF_DEFAULT_OTHER, false);
    check_pg("CURRENT_DATE", MF_DEFAULT_NOW, false);
    check_pg("('now'::text)::date", MF_DEFAULT_NOW, false);
    check_pg("gen_random_uuid()", MF_DEFAULT_UUID, false);
    check_pg("public.uuid_generate_v4()", MF_DEFAULT_UUID, false);
    check_pg("nextval('public.\"a (b\"'::regclass)", MF_DEFAULT_NONE, true);
    check_pg("NULL::character varying", MF_DEFAULT_NONE, false);
    check_pg("NULL", MF_DEFAULT_NONE, false);
}

static void check_my(const char *type, const char *text, const char *extra, bool as_sql, enum mf_default_kind kind,
                     const char *value)
{
    struct my_type t;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    assert_int_equal(my_type_parse(type, NULL, &t, NULL), 0);
    enum mf_default_kind got = my_default_parse(text, extra, &t, as_sql, &b);
    if (got != kind) {
        print_error("%s %s: %d\n", type, text ? text : "NULL", (int)got);
    }
    assert_int_equal(got, kind);
    if (kind == MF_DEFAULT_VALUE) {
        assert_string_equal(mf_buf_str(&b), value);
    }
}

static void test_mysql_defaults(void **state)
{
    (void)state;
    check_my("int(11)", NULL, "", false, MF_DEFAULT_NONE, "");
    check_my("int(11)", "5", "", false, MF_DEFAULT_VALUE, "5");
    check_my("varchar(20) charset utf8mb4", "CURRENT_TIMESTAMP", "", false, MF_DEFAULT_VALUE, "CURRENT_TIMESTAMP");
    check_my("varchar(20) charset utf8mb4", "a?b", "", false, MF_DEFAULT_OTHER, "");
    check_my("datetime(6)", "CURRENT_TIMESTAMP(6)", "", false, MF_DEFAULT_NOW, "");
    check_my("datetime", "CURRENT_TIMESTAMP", "DEFAULT_GENERATED", false, MF_DEFAULT_NOW, "");
    check_my("char(36) charset utf8mb4", "uuid()", "DEFAULT_GENERATED", false, MF_DEFAULT_UUID, "");
    check_my("int(11)", "(1 + 1)", "DEFAULT_GENERATED", false, MF_DEFAULT_OTHER, "");
    check_my("bit(3)", "b'101'", "", false, MF_DEFAULT_VALUE, "5");
    check_my("timestamp", "2020-01-01 00:00:00", "", false, MF_DEFAULT_OTHER, "");
    check_my("timestamp", "0000-00-00 00:00:00", "", false, MF_DEFAULT_VALUE, "0000-00-00 00:00:00");
    check_my("varbinary(10)", "abc", "", false, MF_DEFAULT_OTHER, "");
}

static void test_mariadb_defaults(void **state)
{
    (void)state;
    check_my("int(11)", "NULL", "", true, MF_DEFAULT_NONE, "");
    check_my("int(11)", "-5", "", true, MF_DEFAULT_VALUE, "-5");
    check_my("varchar(20) charset utf8mb4", "'it''s \\\\ \\n'", "", true, MF_DEFAULT_VALUE, "it's \\ \n");
    check_my("varchar(20) charset utf8mb4", "'NULL'", "", true, MF_DEFAULT_VALUE, "NULL");
    check_my("varchar(20) charset utf8mb4", "'a\\0b'", "", true, MF_DEFAULT_OTHER, "");
    check_my("varchar(20) charset utf8mb4", "concat('a','b')", "", true, MF_DEFAULT_OTHER, "");
    check_my("varchar(20) charset utf8mb4", "'a' 'b'", "", true, MF_DEFAULT_OTHER, "");
    check_my("datetime(6)", "current_timestamp(6)", "", true, MF_DEFAULT_NOW, "");
    check_my("datetime(6)", "current_timestamp(6) + interval 1 day", "", true, MF_DEFAULT_OTHER, "");
    check_my("bit(3)", "b'101'", "", true, MF_DEFAULT_VALUE, "5");
    check_my("enum('a','b') charset utf8mb4", "'b'", "", true, MF_DEFAULT_VALUE, "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_postgres_literals),
        cmocka_unit_test(test_postgres_calls),
        cmocka_unit_test(test_mysql_defaults),
        cmocka_unit_test(test_mariadb_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
