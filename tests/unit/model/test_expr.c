/* Expressions: what may be written, of which types they are, and their values. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "model/expr.h"

#include <string.h>

struct one {
    struct mf_arena arena;
    struct mf_error err;
    struct mf_expr x;
};

static int setup(void **state)
{
    struct one *o = calloc(1, sizeof *o);
    mf_arena_init(&o->arena, 1u << 20);
    *state = o;
    return 0;
}

static int teardown(void **state)
{
    struct one *o = *state;
    mf_arena_free(&o->arena);
    free(o);
    return 0;
}

static void what_is_none_is_told(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "it is one of day, week"},
        {"dya(c)", "it is one of day, week"},
        {"month", "brackets behind its name"},
        {"month(", "an argument is a column"},
        {"month()", "an argument is a column"},
        {"month(c", "parted by commas"},
        {"month(c) x", "something stands behind"},
        {"month(c, d)", "too many arguments, or too few"},
        {"month('x')", "none of its arguments is a column"},
        {"month(o.c)", "without its table's"},
        {"month(\"\")", "a column's name"},
        {"concat(c)", "too many arguments, or too few"},
        {"concat('a', 'b')", "none of its arguments is a column"},
        {"concat(c, 'b)", "a quote does not end"},
        {"concat(a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a)", "more than 16"},
        {"bucket(c)", "a number from 1 to 100000"},
        {"bucket(c, 0)", "a number from 1 to 100000"},
        {"bucket(c, -1)", "a number from 1 to 100000"},
        {"bucket(c, 100001)", "a number from 1 to 100000"},
        {"bucket(c, d)", "a number from 1 to 100000"},
        {"bucket(c, d, 3)", "too many arguments"},
        {"left(c, 1e3)", "a number from 1 to 10000"},
        {"coalesce('x', c)", "a constant for where that is NULL"},
        {"coalesce(c, d)", "a constant for where that is NULL"},
    };
    struct one *o = *state;
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        assert_int_equal(mf_expr_parse(&o->arena, bad[i].text, &o->x, &o->err), -1);
        assert_string_equal(o->err.code, "MFEXPR");
        if (!strstr(o->err.text, bad[i].says)) {
            fail_msg("%s: %s", bad[i].text, o->err.text);
        }
    }
}

static const struct mf_type integer = {.kind = MF_KIND_INT, .bits = 64}, text = {.kind = MF_KIND_TEXT},
                            date = {.kind = MF_KIND_DATE}, instant = {.kind = MF_KIND_INSTANT, .scale = 6},
                            real = {.kind = MF_KIND_FLOAT, .bits = 64};

static const char *type_of(struct one *o, const char *written, const struct mf_type *a, const struct mf_type *b)
{
    const struct mf_type *types[] = {a, b};
    struct mf_type t;
    struct mf_buf out = {.max = 1000};
    assert_mf_ok(mf_expr_parse(&o->arena, written, &o->x, &o->err), &o->err);
    if (mf_expr_type(&o->x, types, &t, &o->err) < 0) {
        return o->err.text;
    }
    mf_type_put(&out, &t);
    const char *kept = mf_strdup_a(&o->arena, mf_buf_str(&out));
    mf_buf_free(&out);
    return kept;
}

static void its_type_is_known_from_its_columns(void **state)
{
    struct one *o = *state;
    assert_string_equal(type_of(o, "month(c)", &date, NULL), "date");
    assert_string_equal(type_of(o, " week ( \"c\" ) ", &instant, NULL), "date");
    assert_non_null(
        strstr(type_of(o, "hour(c)", &date, NULL), "hour takes a time with its date; column \"c\" is date"));
    assert_non_null(strstr(type_of(o, "bucket(c, 4)", &real, NULL), "one spelling"));
    assert_non_null(strstr(type_of(o, "day(c)", &text, NULL), "day takes a date"));
    assert_non_null(strstr(type_of(o, "left(c, 4)", &integer, NULL), "left takes a text"));
    assert_string_equal(type_of(o, "bucket(c, 4)", &text, NULL), "int(32)");
    assert_string_equal(type_of(o, "left(c, 4)", &text, NULL), "text(4)");
    assert_string_equal(type_of(o, "concat(c, d)", &text, &integer), "text");
    assert_string_equal(type_of(o, "coalesce(c, 0)", &integer, NULL), "int(64)");
    assert_non_null(strstr(type_of(o, "coalesce(c, 'none')", &integer, NULL), "'none' is no value of the column"));
}

/* NULL: NULL; "?": unchanged; "!": refused. */
static struct mf_value value(const char *s)
{
    return !s                    ? (struct mf_value){.kind = MF_NULL}
           : strcmp(s, "?") == 0 ? (struct mf_value){.kind = MF_UNCHANGED}
           : strcmp(s, "!") == 0 ? (struct mf_value){MF_REFUSED, 2, "no"}
                                 : (struct mf_value){MF_TEXT, (uint32_t)strlen(s), s};
}

static void gives(struct one *o, const char *written, const struct mf_type *t, const char *c, const char *d,
                  const char *wanted)
{
    const struct mf_type *types[] = {t, t, t, t};
    struct mf_value v[] = {value(c), value(d)}, got;
    struct mf_row row = {.n = 2, .values = v};
    struct mf_type ignored;
    struct mf_expr x;
    assert_mf_ok(mf_expr_parse(&o->arena, written, &x, &o->err), &o->err);
    assert_mf_ok(mf_expr_type(&x, types, &ignored, &o->err), &o->err);
    for (uint16_t i = 0; i < x.nargs; i++) {
        x.args[i].of = x.args[i].column && x.args[i].column[0] == 'd';
    }
    assert_true(mf_expr_copy(&o->arena, &o->x, &x));
    assert_int_equal(mf_expr_value(&o->x, &o->arena, &row, &got), 0);
    struct mf_value is = value(wanted);
    if (wanted && wanted[0] == '!' && wanted[1]) {
        assert_int_equal(got.kind, MF_REFUSED);
        assert_memory_equal(got.data, wanted + 1, strlen(wanted + 1));
    } else if (!mf_value_equal(&is, &got)) {
        fail_msg("%s of %s, %s: %.*s", written, c ? c : "NULL", d ? d : "NULL", (int)got.len, got.data);
    }
}

static void values_are_those_of_the_row_alone(void **state)
{
    struct one *o = *state;
    gives(o, "day(c)", &instant, "2026-11-29 23:59:59.5", NULL, "2026-11-29");
    gives(o, "day(c)", &date, "2026-11-29", NULL, "2026-11-29");
    gives(o, "month(c)", &instant, "2026-11-29 01:02:03", NULL, "2026-11-01");
    gives(o, "year(c)", &date, "12026-11-29", NULL, "12026-01-01");
    gives(o, "hour(c)", &instant, "2026-11-29 23:59:59.5", NULL, "2026-11-29 23:00:00");
    gives(o, "week(c)", &date, "2026-11-29", NULL, "2026-11-23"); /* a Sunday */
    gives(o, "week(c)", &date, "2026-11-30", NULL, "2026-11-30"); /* a Monday */
    gives(o, "week(c)", &date, "2026-01-01", NULL, "2025-12-29");
    gives(o, "week(c)", &date, "2024-03-01", NULL, "2024-02-26");
    gives(o, "week(c)", &date, "2000-03-05", NULL, "2000-02-28");
    gives(o, "week(c)", &date, "0002-01-02", NULL, "0001-12-31");
    gives(o, "month(c)", &date, "infinity", NULL, "!month(c) of \"infinity\": no calendar has it");
    gives(o, "month(c)", &date, "0044-03-15 BC", NULL, "!month(c) of");
    gives(o, "month(c)", &date, "0000-00-00", NULL, "!month(c) of");
    gives(o, "month(c)", &date, "2026-02-30", NULL, "!month(c) of");
    gives(o, "bucket(c, 16)", &text, "123456789", NULL, "6"); /* the check value of CRC-32 is cbf43926 */
    gives(o, "bucket(c, 16)", &text, "", NULL, "0");
    gives(o, "left(c, 3)", &text, "añb😀c", NULL, "añb");
    gives(o, "left(c, 4)", &text, "añb😀c", NULL, "añb😀");
    gives(o, "left(c, 40)", &text, "añb", NULL, "añb");
    gives(o, "concat(c, ' it''s ', d)", &text, "a", "b", "a it's b");
    gives(o, "concat(c, '', \"d\")", &text, "", "", "");
    gives(o, "coalesce(c, 'x')", &text, "", NULL, "");
    gives(o, "coalesce(c, 'x')", &text, NULL, NULL, "x");
}

static void what_a_row_does_not_tell_is_not_made_up(void **state)
{
    struct one *o = *state;
    gives(o, "month(c)", &date, NULL, NULL, NULL);
    gives(o, "concat(c, d)", &text, "a", NULL, NULL);
    gives(o, "concat(c, d)", &text, "?", NULL, "?");
    gives(o, "concat(c, d)", &text, "?", "!", "!");
    gives(o, "coalesce(c, 'x')", &text, "?", NULL, "?");
    gives(o, "bucket(c, 3)", &text, "!", NULL, "!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_none_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(its_type_is_known_from_its_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(values_are_those_of_the_row_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_row_does_not_tell_is_not_made_up, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
