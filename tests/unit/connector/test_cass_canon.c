/* Values of Cassandra in canonical form and back, what is refused, and which types columns get. */
#include "mf_test.h"

#include "canon_types.h"

#include "model/canon.h"

#include <stdio.h>
#include <stdlib.h>

static struct mf_arena arena;

static int begin(void **state)
{
    (void)state;
    mf_arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mf_arena_free(&arena);
    return 0;
}

/* Bytes are written "x:…" in the tables, as they are. */
static struct mf_value value(const char *text)
{
    bool bytes = strncmp(text, "x:", 2) == 0;
    text += bytes ? 2 : 0;
    return (struct mf_value){.kind = bytes ? MF_BINARY : MF_TEXT, .len = (uint32_t)strlen(text), .data = text};
}

static void assert_value(const char *type, const struct mf_value *got, const char *want)
{
    struct mf_value w = value(want);
    if (!mf_value_equal(got, &w)) {
        fail_msg("%s: %.*s instead of %s", type, (int)got->len, got->data, want);
    }
}

static const struct {
    const char *type, *own, *canon, *back; /* back NULL: own */
} both_ways[] = {
    {"boolean", "true", "1", NULL},
    {"boolean", "false", "0", NULL},
    {"tinyint", "-128", "-128", NULL},
    {"smallint", "32767", "32767", NULL},
    {"int", "-2147483648", "-2147483648", NULL},
    {"bigint", "9223372036854775807", "9223372036854775807", NULL},
    {"varint", "18446744073709551615", "18446744073709551615", NULL},
    {"varint", "-123456789012345678901234567890", "-123456789012345678901234567890", NULL},
    {"decimal", "1.50", "1.5", "1.5"},
    {"decimal", "-0.001", "-0.001", NULL},
    {"decimal", "0.00", "0", "0"},
    {"decimal", "15e3", "15000", "15000"},
    {"decimal", "0e7", "0", "0"},
    {"decimal", "-15e-3", "-0.015", "-0.015"},
    {"float", "0.1", "0.1", NULL},
    {"double", "-0", "-0", NULL},
    {"double", "NaN", "NaN", NULL},
    {"double", "-Infinity", "-Infinity", NULL},
    {"double", "1e300", "1e300", NULL},
    {"date", "2026-11-28", "2026-11-28", NULL},
    {"date", "-0043-03-15", "0044-03-15 BC", NULL},
    {"date", "0000-02-29", "0001-02-29 BC", NULL},
    {"date", "-5877641-06-23", "5877642-06-23 BC", NULL},
    {"date", "5881580-07-11", "5881580-07-11", NULL},
    {"time", "01:02:03.000000000", "01:02:03", NULL},
    {"time", "23:59:59.999999000", "23:59:59.999999", NULL},
    {"timestamp", "2026-11-28T01:02:03.500Z", "2026-11-28 01:02:03.5", NULL},
    {"timestamp", "2026-11-28T01:02:03.000Z", "2026-11-28 01:02:03", NULL},
    {"timestamp", "-0043-03-15T01:02:03.000Z", "0044-03-15 01:02:03 BC", NULL},
    {"timestamp", "294276-12-31T23:59:59.999Z", "294276-12-31 23:59:59.999", NULL},
    {"text", "", "", NULL},
    {"text", "h\xc3\xa9llo  ", "h\xc3\xa9llo  ", NULL},
    {"text alone", "x", "x", NULL},
    {"text key", "", "", NULL},
    {"ascii", "abc", "abc", NULL},
    {"blob", "x:", "x:", NULL},
    {"blob", "x:\x01\xff", "x:\x01\xff", NULL},
    {"blob", "0x01ff", "x:\x01\xff", "x:\x01\xff"},
    {"uuid", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-42d3-a456-426614174000", NULL},
    {"timeuuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000", NULL},
    {"inet", "2001:db8::1", "2001:db8::1", NULL},
    {"duration", "1y2mo", "1y2mo", NULL},
    {"frozen<map<text, int>>", "{'a': 1}", "{'a': 1}", NULL},
};

static void values_go_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(both_ways); i++) {
        struct mf_type t;
        struct mf_value own = value(both_ways[i].own), canon = {0}, back = {0};
        struct mf_error err = {0};
        cass_test_type(both_ways[i].type, &t);
        if (cass_to_canon(&t, &arena, &own, &canon, &err) < 0) {
            fail_msg("%s of %s: %s", both_ways[i].own, both_ways[i].type, err.text);
        }
        assert_value(both_ways[i].type, &canon, both_ways[i].canon);
        if (cass_from_canon(&t, &arena, &canon, &back, &err) < 0) {
            fail_msg("%s of %s: %s", both_ways[i].canon, both_ways[i].type, err.text);
        }
        assert_value(both_ways[i].type, &back, both_ways[i].back ? both_ways[i].back : both_ways[i].own);
        if (!cass_test_has_bytes(both_ways[i].type, &back)) {
            fail_msg("%.*s has no bytes of %s", (int)back.len, back.data, both_ways[i].type);
        }
    }
}

static const struct {
    const char *type, *value, *why;
} refused[] = {
    {"boolean", "true", "neither 0 nor 1"},
    {"tinyint", "128", "room"},
    {"int", "01", "whole number"},
    {"bigint", "9223372036854775808", "room"},
    {"varint", "1.5", "whole numbers only"},
    {"varint", "NaN", "finite"},
    {"decimal", "Infinity", "finite"},
    {"decimal", "NaN", "finite"},
    {"decimal", "1.50", "no decimal"},
    {"float", "0.10000000149011612", "not exactly"},
    {"date", "0000-00-00", "no calendar"},
    {"date", "2026-02-30", "no calendar"},
    {"date", "infinity", "calendar"},
    {"date", "5881580-07-12", "days from"},
    {"date", "5877642-06-22 BC", "days from"},
    {"date", "9999999-01-01", "days from"},
    {"time", "24:00:00", "24:00 only"},
    {"time", "-00:00:01", "24:00 only"},
    {"time", "838:59:59", "24:00 only"},
    {"timestamp", "2026-11-28 01:02:03.0001", "rounded"},
    {"timestamp", "-infinity", "calendar"},
    {"text", "\xff", "UTF-8"},
    {"text", "x:ab", "bytes"},
    {"text alone", "", "may not be empty"},
    {"blob alone", "x:", "may not be empty"},
    {"ascii", "h\xc3\xa9llo", "ASCII"},
    {"blob", "ab", "text"},
    {"uuid", "123E4567-E89B-42D3-A456-426614174000", "lower case"},
    {"timeuuid", "123e4567-e89b-42d3-a456-426614174000", "version 1"},
    {"counter", "1", "never set"},
};

static void what_has_no_bytes_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(refused); i++) {
        struct mf_type t;
        struct mf_value in = value(refused[i].value), out;
        struct mf_error err = {0};
        cass_test_type(refused[i].type, &t);
        assert_mf_fails(cass_from_canon(&t, &arena, &in, &out, &err), &err, MF_ROW, refused[i].why);
    }
    static const struct {
        const char *type, *own, *why;
    } unknown[] = {
        {"int", "", "empty value"},
        {"date", "tomorrow", "own form"},
        {"time", "01:02:03.000000001", "nanoseconds"},
        {"timestamp", "10000000-01-01T00:00:00.000Z", "seven digits"},
        {"timestamp", "2026-11-28T01:02:03.500+01", "own form"},
        {"decimal", "1e200000", "131072"},
        {"decimal", "1e-200000", "131072"},
        {"boolean", "yes", "neither true nor false"},
        {"blob", "0x1", "no blob"},
        {"blob", "0xgg", "no blob"},
        {"text", "\xff", "UTF-8"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(unknown); i++) {
        struct mf_type t;
        struct mf_value in = value(unknown[i].own), out;
        struct mf_error err = {0};
        cass_test_type(unknown[i].type, &t);
        assert_mf_fails(cass_to_canon(&t, &arena, &in, &out, &err), &err, MF_ROW, unknown[i].why);
    }
}

static void keys_have_room_for_65535_bytes(void **state)
{
    (void)state;
    static char big[70000];
    memset(big, 'x', sizeof big);
    struct mf_type key, plain;
    struct mf_error err = {0};
    struct mf_value in = {.kind = MF_TEXT, .len = 65535, .data = big}, out;
    cass_test_type("text key", &key);
    cass_test_type("text", &plain);
    assert_mf_ok(cass_from_canon(&key, &arena, &in, &out, &err), &err);
    in.len++;
    assert_mf_fails(cass_from_canon(&key, &arena, &in, &out, &err), &err, MF_ROW, "65535");
    mf_error_clear(&err);
    assert_mf_ok(cass_from_canon(&plain, &arena, &in, &out, &err), &err);
}

static void what_only_a_row_tells(void **state)
{
    (void)state;
    static char big[65536];
    uint16_t key[] = {0, 1, 2};
    struct mf_column c[] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}};
    struct mf_table t = {
        .schema = "s", .name = "t", .ncolumns = 4, .columns = c, .nkey = 3, .key = key, .npartition = 2};
    struct mf_value v[] = {{.kind = MF_TEXT, .len = 40000, .data = big},
                           {.kind = MF_TEXT, .len = 1, .data = big},
                           {.kind = MF_TEXT, .len = 40000, .data = big},
                           {.kind = MF_UNCHANGED}};
    struct mf_row row = {.n = 4, .values = v};
    struct mf_error err = {0};
    assert_mf_ok(cass_row_fits(&t, &row, 0, &err), &err);
    assert_mf_fails(cass_row_fits(&t, &row, 80000, &err), &err, MF_ROW, "80001 bytes");
    v[1].len = 30000;
    assert_mf_fails(cass_row_fits(&t, &row, 0, &err), &err, MF_ROW, "partition key");
    v[1].kind = MF_NULL;
    assert_mf_fails(cass_row_fits(&t, &row, 0, &err), &err, MF_ROW, "\"b\" is NULL");
}

static void every_model_type_has_a_column(void **state)
{
    (void)state;
    static const struct {
        struct mf_type t;
        const char *want;
    } cases[] = {
        {{.kind = MF_KIND_BOOL}, "boolean"},
        {{.kind = MF_KIND_INT, .bits = 8}, "tinyint"},
        {{.kind = MF_KIND_INT, .bits = 8, .is_unsigned = true}, "smallint"},
        {{.kind = MF_KIND_INT, .bits = 16, .is_unsigned = true}, "int"},
        {{.kind = MF_KIND_INT, .bits = 24, .is_unsigned = true}, "int"},
        {{.kind = MF_KIND_INT, .bits = 32, .is_unsigned = true}, "bigint"},
        {{.kind = MF_KIND_INT, .bits = 64}, "bigint"},
        {{.kind = MF_KIND_INT, .bits = 64, .is_unsigned = true}, "varint"},
        {{.kind = MF_KIND_DECIMAL, .precision = 10, .scale = 2}, "decimal"},
        {{.kind = MF_KIND_DECIMAL, .precision = 30}, "varint"},
        {{.kind = MF_KIND_DECIMAL, .precision = 5, .scale = -2}, "varint"},
        {{.kind = MF_KIND_DECIMAL}, "decimal"},
        {{.kind = MF_KIND_FLOAT, .bits = 32}, "float"},
        {{.kind = MF_KIND_FLOAT, .bits = 64}, "double"},
        {{.kind = MF_KIND_BITS, .length = 8, .fixed = true}, "text"},
        {{.kind = MF_KIND_DATE}, "date"},
        {{.kind = MF_KIND_TIME, .scale = 6}, "time"},
        {{.kind = MF_KIND_DATETIME, .scale = 0}, "text"},
        {{.kind = MF_KIND_INSTANT, .scale = 3}, "timestamp"},
        {{.kind = MF_KIND_INSTANT, .scale = 6}, "text"},
        {{.kind = MF_KIND_TEXT, .length = 20}, "text"},
        {{.kind = MF_KIND_BYTES, .length = 16, .fixed = true}, "blob"},
        {{.kind = MF_KIND_ENUM}, "text"},
        {{.kind = MF_KIND_SET}, "text"},
        {{.kind = MF_KIND_JSON}, "text"},
        {{.kind = MF_KIND_UUID}, "uuid"},
        {{.kind = MF_KIND_OPAQUE}, "text"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf name = {.max = 1000};
        struct mf_type here;
        const char *cql = cass_type_for(&cases[i].t);
        mf_type_put(&name, &cases[i].t);
        assert_string_equal(cql, cases[i].want);
        cass_canon_type(cql, &here);
        if (!cass_type_fits(cql, &cases[i].t) ||
            !(mf_type_takes(&here, &cases[i].t) || mf_type_takes(&cases[i].t, &here))) {
            fail_msg("%s does not hold %s", cql, mf_buf_str(&name));
        }
    }
    assert_true(cass_type_fits("timestamp", &(struct mf_type){.kind = MF_KIND_INSTANT, .scale = 6}));
    assert_true(cass_type_fits("timestamp", &(struct mf_type){.kind = MF_KIND_DATETIME, .scale = 6}));
    assert_true(cass_type_fits("bigint", &(struct mf_type){.kind = MF_KIND_INT, .bits = 64, .is_unsigned = true}));
    assert_false(cass_type_fits("counter", &(struct mf_type){.kind = MF_KIND_INT, .bits = 64}));
    assert_false(cass_type_fits("varint", &(struct mf_type){.kind = MF_KIND_DECIMAL, .precision = 10, .scale = 2}));
    assert_false(cass_type_fits("int", &(struct mf_type){.kind = MF_KIND_DATE}));
    assert_false(cass_type_fits("blob", &(struct mf_type){.kind = MF_KIND_TEXT}));
}

static void losses_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *cql;
        struct mf_type t;
        bool key;
        const char *want; /* "": nothing is lost */
    } cases[] = {
        {"bigint", {.kind = MF_KIND_INT, .bits = 64}, true, ""},
        {"uuid", {.kind = MF_KIND_UUID}, true, ""},
        {"double", {.kind = MF_KIND_FLOAT, .bits = 64}, false, ""},
        {"text", {.kind = MF_KIND_TEXT}, false, ""},
        {"text", {.kind = MF_KIND_TEXT}, true, "65535"},
        {"text", {.kind = MF_KIND_TEXT, .length = 20}, true, "length"},
        {"text", {.kind = MF_KIND_INSTANT, .scale = 6}, false, "ask for timestamp"},
        {"timestamp", {.kind = MF_KIND_INSTANT, .scale = 6}, false, "microseconds"},
        {"timestamp", {.kind = MF_KIND_DATETIME, .scale = 0}, false, "UTC"},
        {"time", {.kind = MF_KIND_TIME}, false, "24:00"},
        {"smallint", {.kind = MF_KIND_INT, .bits = 32}, false, "range"},
        {"bigint", {.kind = MF_KIND_INT, .bits = 64, .is_unsigned = true}, false, "range"},
        {"decimal", {.kind = MF_KIND_DECIMAL}, false, "NaN"},
        {"text", {.kind = MF_KIND_JSON}, false, "look into"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
        cass_type_loss(cases[i].cql, &cases[i].t, cases[i].key, &b);
        if ((*cases[i].want == 0 && b.len) || !strstr(mf_buf_str(&b), cases[i].want)) {
            fail_msg("%s: \"%s\" has no \"%s\"", cases[i].cql, mf_buf_str(&b), cases[i].want);
        }
    }
}

static void bounds_go_both_ways(void **state)
{
    (void)state;
    uint16_t key[] = {0, 1};
    struct mf_column c[] = {{.name = "a", .type = "text"}, {.name = "b", .type = "blob"}};
    struct mf_table t = {.schema = "s", .name = "t", .ncolumns = 2, .columns = c, .nkey = 2, .key = key};
    struct mf_value v[] = {{.kind = MF_TEXT, .len = 5, .data = "B1:x'"},
                           {.kind = MF_BINARY, .len = 2, .data = "\0\xff"}};
    struct mf_row row = {.n = 2, .values = v}, again;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 10000};
    struct mf_error err = {0};
    assert_mf_ok(cass_bound_put(&t, &row, &b, &err), &err);
    assert_string_equal(mf_buf_str(&b), "T5:B1:x'B2:00ff");
    assert_mf_ok(cass_bound_get(&t, mf_buf_str(&b), &arena, &again, &err), &err);
    assert_true(mf_value_equal(&v[0], &again.values[0]) && mf_value_equal(&v[1], &again.values[1]));
    static const char *const bad[] = {
        "", "T1:a", "T1:aB1:f", "T9:aB0:", "X1:aB0:", "T1:aB0:T0:", "T:aB0:", "T1:aB1:FF"};
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        assert_mf_fails(cass_bound_get(&t, bad[i], &arena, &again, &err), &err, MF_FATAL, "bound");
    }
    v[0] = (struct mf_value){.kind = MF_TEXT, .len = 3, .data = "a\0b"};
    assert_mf_fails(cass_bound_put(&t, &row, &b, &err), &err, MF_FATAL, "NUL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_go_both_ways, begin, end),
        cmocka_unit_test_setup_teardown(what_has_no_bytes_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(keys_have_room_for_65535_bytes, begin, end),
        cmocka_unit_test(what_only_a_row_tells),
        cmocka_unit_test(every_model_type_has_a_column),
        cmocka_unit_test(losses_are_told),
        cmocka_unit_test_setup_teardown(bounds_go_both_ways, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
