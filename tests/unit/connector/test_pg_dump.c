/* pg_dump's text taken apart. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/postgres/dump.h"

#include <string.h>

#define HEAD(id, class, oid, name, type, schema, owner)                                                                \
    "--\n-- TOC entry " #id " (class " #class " OID " #oid ")\n-- Dependencies: 7\n-- Name: " name "; Type: " type     \
                                              "; Schema: " schema "; Owner: " owner "\n--\n\n"

static void split(struct pg_dump *d, const char *text)
{
    struct mf_error err = {0};
    *d = (struct pg_dump){.text = {.max = 1u << 20}};
    assert_int_equal(mf_buf_puts(&d->text, text), 0);
    assert_int_equal(pg_dump_split(d, &err), 0);
}

static void is(struct pg_piece p, const char *text)
{
    MF_CLEANUP_FREE char *s = strndup(p.n ? p.p : "", p.n);
    assert_string_equal(s, text);
}

static void an_entry_has_its_statement_its_owner_and_what_was_set_before_it(void **state)
{
    (void)state;
    struct pg_dump d;
    split(&d,
          "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\nSET x = 1;\n\n" HEAD(
              5, 2615, 100, "s", "SCHEMA", "-",
              "me") "CREATE SCHEMA s;\n\n\nALTER SCHEMA s OWNER TO me;\n\nSET "
                    "default_table_access_method = heap;\n\n" HEAD(
                        6, 1259, 101, "a; Type: b", "TABLE", "s",
                        "me") "CREATE TABLE s.a (\n  x text DEFAULT ';'\n);\n\n\nALTER TABLE s.a OWNER TO "
                              "me;\n\n" HEAD(7, 0, 0, "TABLE a", "COMMENT", "s",
                                             "me") "COMMENT ON TABLE s.a IS 'x\nALTER TABLE s.a OWNER TO "
                                                   "you;';\n\n\n" HEAD(8, 1259, 102, "i", "INDEX", "s",
                                                                       "me") "CREATE INDEX i ON s.a "
                                                                             "(x);\n\n" HEAD(9, 1259, 103, "v", "VIEW",
                                                                                             "s", "me") "CREATE VIEW "
                                                                                                        "s.v AS "
                                                                                                        "SELECT "
                                                                                                        "1;"
                                                                                                        "\n\n\nALTER "
                                                                                                        "VIEW s.v "
                                                                                                        "OWNER TO "
                                                                                                        "me;\n\n-- "
                                                                                                        "Completed "
                                                                                                        "on\n\n--\n--"
                                                                                                        " PostgreSQL "
                                                                                                        "database "
                                                                                                        "dump "
                                                                                                        "complete\n--"
                                                                                                        "\n\n\\unrest"
                                                                                                        "rict abc\n");
    assert_int_equal(d.n, 5);
    assert_null(memmem(d.preamble.p, d.preamble.n, "restrict", 8));
    is(d.entries[0].sql, "CREATE SCHEMA s;");
    is(d.entries[0].own, "ALTER SCHEMA s OWNER TO me;");
    is(d.entries[1].set, "SET default_table_access_method = heap;");
    is(d.entries[1].sql, "CREATE TABLE s.a (\n  x text DEFAULT ';'\n);");
    assert_string_equal(d.entries[1].name, "a; Type: b");
    assert_string_equal(d.entries[1].type, "TABLE");
    assert_int_equal(d.entries[1].oid, 101);
    is(d.entries[2].sql, "COMMENT ON TABLE s.a IS 'x\nALTER TABLE s.a OWNER TO you;';");
    is(d.entries[2].own, "");
    assert_false(d.entries[2].post);
    assert_true(d.entries[3].post);
    assert_true(d.entries[4].post); /* pg_dump put it after the data: it needs something from there */
    is(d.entries[4].own, "ALTER VIEW s.v OWNER TO me;");
    pg_dump_free(&d);
}

static void nothing_inside_a_statement_passes_for_a_header(void **state)
{
    (void)state;
#define TRAP "\n" HEAD(99, 1259, 999, "x", "TABLE", "s", "me") "DROP TABLE everything;\n"
    static const char *const hiding[] = {
        "SELECT '" TRAP "';\n\n",
        "SELECT E'\\'" TRAP "';\n\n",
        "CREATE FUNCTION f() RETURNS int AS $_$" TRAP "$_$ LANGUAGE sql;\n\n",
        "CREATE FUNCTION f() RETURNS int AS $$ $a$ " TRAP "$$ LANGUAGE sql;\n\n",
        "CREATE TABLE \"t" TRAP "\" ();\n\n",
        "CREATE TABLE a$b (x int); /* /* " TRAP " */ */ SELECT 1;\n\n",
        "SELECT 'it''s" TRAP "';\n\n",
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(hiding); i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1u << 20};
        struct pg_dump d;
        mf_buf_puts(&b, HEAD(5, 1255, 100, "f", "FUNCTION", "s", "me"));
        mf_buf_puts(&b, hiding[i]);
        mf_buf_puts(&b, HEAD(6, 1259, 101, "t", "TABLE", "s", "me") "CREATE TABLE s.t ();\n\n");
        split(&d, mf_buf_str(&b));
        if (d.n != 2) {
            fail_msg("case %zu: %zu entries", i, d.n);
        }
        is(d.entries[1].sql, "CREATE TABLE s.t ();");
        pg_dump_free(&d);
    }
}

static void statements_end_at_their_semicolon(void **state)
{
    (void)state;
    const char *sql = "GRANT a TO \"x;\"; GRANT b TO y; ";
    assert_int_equal(pg_sql_statement(sql, strlen(sql)), 16);
    assert_int_equal(pg_sql_statement("SELECT $1;", 10), 10);
    assert_int_equal(pg_sql_statement("SELECT 'open", 12), 12);
    assert_int_equal(pg_sql_statement("", 0), 0);
}

static void what_is_no_dump_is_refused_and_an_empty_one_is_not(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct pg_dump d = {.text = {.max = 1u << 20}};
    mf_buf_puts(&d.text, "hello");
    assert_int_equal(pg_dump_split(&d, &err), -1);
    assert_string_equal(err.code, "MFDUMP");
    pg_dump_free(&d);
    split(&d, "--\n-- PostgreSQL database dump\n--\n\nSET a = 1;\n\n--\n-- PostgreSQL database dump complete\n--\n");
    assert_int_equal(d.n, 0);
    pg_dump_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_has_its_statement_its_owner_and_what_was_set_before_it),
        cmocka_unit_test(nothing_inside_a_statement_passes_for_a_header),
        cmocka_unit_test(statements_end_at_their_semicolon),
        cmocka_unit_test(what_is_no_dump_is_refused_and_an_empty_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
