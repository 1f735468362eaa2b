/* Values of both engines in canonical form and back: what each prints, what it is given, and what it is not given. */
#include "mf_test.h"

#include "canon_types.h"

#include "model/canon.h"

#include <stdio.h>

enum engine { PG, MY };

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

static const struct mf_canon_ops *ops(enum engine e)
{
    return e == PG ? &pg_canon_ops : &my_canon_ops;
}

static struct mf_type type_of(enum engine e, const char *text)
{
    struct mf_type t = {0};
    assert_true(e == PG ? pg_test_type(text, &t) : my_test_type(text, &arena, &t));
    return t;
}

/* Bytes are written "0x…" in the tables. */
static struct mf_value value(const char *text)
{
    struct mf_value v = {.kind = MF_TEXT, .len = (uint32_t)strlen(text), .data = text};
    if (strncmp(text, "0x", 2) == 0) {
        char *bytes = mf_alloc(&arena, v.len / 2);
        assert_non_null(bytes);
        v.len = v.len / 2 - 1;
        for (uint32_t i = 0; i < v.len; i++) {
            unsigned byte = 0;
            sscanf(text + 2 + 2 * i, "%2x", &byte);
            bytes[i] = (char)byte;
        }
        v.data = bytes;
        v.kind = MF_BINARY;
    }
    return v;
}

static void assert_value(const char *what, const char *type, const struct mf_value *got, const char *want)
{
    struct mf_value w = value(want);
    if (!mf_value_equal(got, &w)) {
        fail_msg("%s of %s: %.*s instead of %s", what, type, (int)got->len, got->data, want);
    }
}

static const struct {
    enum engine e;
    const char *type, *own, *canon, *back; /* back NULL: own */
} both_ways[] = {
    {PG, "bool", "t", "1", NULL},
    {PG, "bool", "f", "0", NULL},
    {PG, "int2", "-32768", "-32768", NULL},
    {PG, "int4", "2147483647", "2147483647", NULL},
    {PG, "int8", "-9223372036854775808", "-9223372036854775808", NULL},
    {PG, "oid", "4294967295", "4294967295", NULL},
    {PG, "numeric 10 2", "12.50", "12.5", "12.5"},
    {PG, "numeric 10 2", "-0.00", "0", "0"},
    {PG, "numeric 10 2", "100.00", "100", "100"},
    {PG, "numeric 5 -2", "12300", "12300", NULL},
    {PG, "numeric", "NaN", "NaN", NULL},
    {PG, "numeric", "-Infinity", "-Infinity", NULL},
    {PG, "numeric", "0.000000000000000000000000000000000000000001", "0.000000000000000000000000000000000000000001",
     NULL},
    {PG, "numeric", "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890.5",
     "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890.5", NULL},
    {PG, "float8", "0.1", "0.1", NULL},
    {PG, "float8", "0.10000000000000001", "0.1", "0.1"}, /* servers before 12 */
    {PG, "float8", "1e+20", "1e20", "1e20"},
    {PG, "float8", "-0", "-0", NULL},
    {PG, "float8", "Infinity", "Infinity", NULL},
    {PG, "float8", "NaN", "NaN", NULL},
    {PG, "float4", "0.1", "0.1", NULL},
    {PG, "float4", "0.100000001", "0.1", "0.1"},
    {PG, "float4", "3.4028235e+38", "3.4028235e38", "3.4028235e38"},
    {PG, "bit 5", "01010", "01010", NULL},
    {PG, "varbit", "", "", NULL},
    {PG, "varbit 8", "101", "101", NULL},
    {PG, "date", "2026-11-28", "2026-11-28", NULL},
    {PG, "date", "0044-03-15 BC", "0044-03-15 BC", NULL},
    {PG, "date", "infinity", "infinity", NULL},
    {PG, "date", "10000-01-01", "10000-01-01", NULL},
    {PG, "time 6", "24:00:00", "24:00:00", NULL},
    {PG, "time 3", "01:02:03.5", "01:02:03.5", NULL},
    {PG, "timestamp", "2026-11-28 01:02:03.000001", "2026-11-28 01:02:03.000001", NULL},
    {PG, "timestamp", "-infinity", "-infinity", NULL},
    {PG, "timestamp", "0044-03-15 01:02:03 BC", "0044-03-15 01:02:03 BC", NULL},
    {PG, "timestamptz", "2026-11-28 01:02:03.5+00", "2026-11-28 01:02:03.5", NULL},
    {PG, "timestamptz", "2026-11-28 01:02:03+00", "2026-11-28 01:02:03", NULL},
    {PG, "timestamptz", "0044-03-15 01:02:03+00 BC", "0044-03-15 01:02:03 BC", NULL},
    {PG, "timestamptz", "infinity", "infinity", NULL},
    {PG, "char 5", "ab   ", "ab", "ab"},
    {PG, "char 5", "     ", "", ""},
    {PG, "varchar 5", "ab   ", "ab   ", NULL},
    {PG, "varchar 5", "h\xc3\xa9llo", "h\xc3\xa9llo", NULL},
    {PG, "text", "", "", NULL},
    {PG, "name", "x", "x", NULL},
    {PG, "\"char\"", "c", "c", NULL},
    {PG, "bytea", "\\x", "0x", NULL},
    {PG, "bytea", "\\x00ff41", "0x00ff41", NULL},
    {PG, "enum", "it's", "it's", NULL},
    {PG, "jsonb", "{\"b\": 1.0, \"a\": [null, 1e5]}", "{\"a\":[null,100000],\"b\":1}", "{\"a\":[null,100000],\"b\":1}"},
    {PG, "json", "\"\\u0000\"", "\"\\u0000\"", NULL},
    {PG, "uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000", NULL},
    {PG, "interval", "1 day 02:03:04", "1 day 02:03:04", NULL},

    {MY, "tinyint(4)", "-128", "-128", NULL},
    {MY, "tinyint(3) unsigned", "255", "255", NULL},
    {MY, "mediumint(9)", "8388607", "8388607", NULL},
    {MY, "bigint(20) unsigned", "18446744073709551615", "18446744073709551615", NULL},
    {MY, "int(5) unsigned zerofill", "00042", "42", "42"},
    {MY, "year(4)", "2026", "2026", NULL},
    {MY, "year(4)", "0000", "0", NULL},
    {MY, "decimal(10,2)", "12.50", "12.5", "12.5"},
    {MY, "decimal(10,0)", "12", "12", NULL},
    {MY, "decimal(10,2)", "-0.00", "0", "0"},
    {MY, "decimal(8,3) unsigned zerofill", "00001.500", "1.5", "1.5"},
    {MY, "float", "0.10000000149011612", "0.1", NULL},
    {MY, "float", "3.4028234663852886e38", "3.4028235e38", NULL},
    {MY, "float", "-0", "-0", NULL},
    {MY, "float", "0.5", "0.5", NULL},
    {MY, "double", "0.1", "0.1", NULL},
    {MY, "double", "-0", "-0", NULL},
    {MY, "double", "1e20", "1e20", NULL},
    {MY, "bit(1)", "1", "1", NULL},
    {MY, "bit(8)", "5", "00000101", NULL},
    {MY, "bit(64)", "18446744073709551615", "1111111111111111111111111111111111111111111111111111111111111111", NULL},
    {MY, "date", "2026-11-28", "2026-11-28", NULL},
    {MY, "date", "0000-00-00", "0000-00-00", NULL},
    {MY, "date", "2026-02-00", "2026-02-00", NULL},
    {MY, "time", "-838:59:59", "-838:59:59", NULL},
    {MY, "time(6)", "01:02:03.500000", "01:02:03.5", "01:02:03.5"},
    {MY, "time(3)", "100:00:00.000", "100:00:00", "100:00:00"},
    {MY, "datetime", "2026-11-28 01:02:03", "2026-11-28 01:02:03", NULL},
    {MY, "datetime(6)", "2026-11-28 01:02:03.000100", "2026-11-28 01:02:03.0001", "2026-11-28 01:02:03.0001"},
    {MY, "datetime(6)", "0000-00-00 00:00:00.000000", "0000-00-00 00:00:00", "0000-00-00 00:00:00"},
    {MY, "timestamp(3)", "2026-11-28 01:02:03.120", "2026-11-28 01:02:03.12", "2026-11-28 01:02:03.12"},
    {MY, "char(5) charset utf8mb4", "ab", "ab", NULL},
    {MY, "varchar(5) charset latin1", "ab   ", "ab   ", NULL},
    {MY, "text charset utf8mb4", "", "", NULL},
    {MY, "binary(3)", "0x414200", "0x414200", NULL},
    {MY, "varbinary(3)", "0x", "0x", NULL},
    {MY, "longblob", "0x00ff", "0x00ff", NULL},
    {MY, "point", "0x00000000010100000000000000000000000000000000000000",
     "0x00000000010100000000000000000000000000000000000000", NULL},
    {MY, "enum('a','B') charset utf8mb4", "B", "B", NULL},
    {MY, "set('a','B','c') charset utf8mb4", "a,c", "a,c", NULL},
    {MY, "set('a','B','c') charset utf8mb4", "", "", NULL},
    {MY, "json", "{\"b\": 1.0, \"aa\": [null, 1e20]}", "{\"aa\":[null,100000000000000000000],\"b\":1}",
     "{\"aa\":[null,1e20],\"b\":1}"},
    {MY, "json", "[18446744073709551615, -9223372036854775808, 0.1, -0.0]",
     "[18446744073709551615,-9223372036854775808,0.1,0]", "[18446744073709551615,-9223372036854775808,0.1,0]"},
    {MY, "json", "[123456789012345678901, 0.1234567890123456789, 1e-300]",
     "[123456789012345678901,0.1234567890123456789,1e-300]", "[123456789012345678901,0.1234567890123456789,1e-300]"},
    {MY, "json", "\"\\u0000\"", "\"\\u0000\"", NULL},
    {MY, "mariadb json", "{\"b\":1.0 , \"a\":1e20}", "{\"a\":100000000000000000000,\"b\":1}",
     "{\"a\":100000000000000000000,\"b\":1}"},
    {MY, "uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000", NULL},
    {MY, "inet4", "10.0.0.1", "10.0.0.1", NULL},
    {MY, "inet6", "2001:db8::1", "2001:db8::1", NULL},
};

static void values_go_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(both_ways); i++) {
        const char *type = both_ways[i].type;
        const struct mf_canon_ops *o = ops(both_ways[i].e);
        struct mf_type t = type_of(both_ways[i].e, type);
        struct mf_value own = value(both_ways[i].own), canon = {0}, back = {0}, again = {0};
        struct mf_error err = {0};
        if (o->to_canon(&t, &arena, &own, &canon, &err) < 0) {
            fail_msg("%s of %s: %s", both_ways[i].own, type, err.text);
        }
        assert_value("canonical", type, &canon, both_ways[i].canon);
        if (o->from_canon(&t, &arena, &canon, &back, &err) < 0) {
            fail_msg("%s of %s: %s", both_ways[i].canon, type, err.text);
        }
        assert_value("own", type, &back, both_ways[i].back ? both_ways[i].back : both_ways[i].own);
        assert_mf_ok(o->to_canon(&t, &arena, &back, &again, &err), &err);
        assert_value("canonical again", type, &again, both_ways[i].canon);
    }
}

static const struct {
    enum engine e;
    const char *type, *canon, *why;
} refused[] = {
    {PG, "bool", "2", "neither 0 nor 1"},
    {PG, "bool", "t", "neither 0 nor 1"},
    {PG, "int2", "32768", "room"},
    {PG, "int2", "-32769", "room"},
    {PG, "int4", "1e3", "whole number"},
    {PG, "int4", " 1", "whole number"},
    {PG, "int4", "1.0", "whole number"},
    {PG, "int4", "01", "whole number"},
    {PG, "int4", "-0", "whole number"},
    {PG, "int4", "", "whole number"},
    {PG, "int4", "0x10", "bytes"},
    {PG, "int8", "18446744073709551615", "room"},
    {PG, "int8", "99999999999999999999999", "room"},
    {PG, "oid", "-1", "negative"},
    {PG, "numeric 10 2", "1.005", "rounded"},
    {PG, "numeric 10 2", "123456789", "before the point"},
    {PG, "numeric 10 2", "1.50", "no decimal"},
    {PG, "numeric 10 2", "1e3", "no decimal"},
    {PG, "numeric 10 2", "nan", "no decimal"},
    {PG, "numeric 5 -2", "12345", "rounded"},
    {PG, "float4", "0.123456789", "not exactly"},
    {PG, "float4", "1e39", "no number"},
    {PG, "float8", "0.10", "not exactly"},
    {PG, "float8", " 1", "no number"},
    {PG, "float8", "inf", "no number"},
    {PG, "bit 5", "0101", "as many bits"},
    {PG, "bit 5", "x1", "in bits"},
    {PG, "varbit 3", "0101", "more bits"},
    {PG, "date", "now", "calendar"},
    {PG, "date", "today", "calendar"},
    {PG, "date", "2026-02-30", "calendar"},
    {PG, "date", "0000-00-00", "calendar"},
    {PG, "date", "2026-11-28 00:00:00", "calendar"},
    {PG, "date", "20261128", "calendar"},
    {PG, "time 0", "01:02:03.5", "rounded"},
    {PG, "time 6", "24:00:01", "one day"},
    {PG, "time 6", "-01:00:00", "one day"},
    {PG, "time 6", "838:59:59", "one day"},
    {PG, "time 6", "23:59:60", "one day"},
    {PG, "time 6", "allballs", "calendar"},
    {PG, "timestamp 3", "2026-11-28 01:02:03.1234", "rounded"},
    {PG, "timestamp", "2026-11-28 24:00:00", "calendar"},
    {PG, "timestamp", "2026-11-28 01:02:03+05", "calendar"},
    {PG, "timestamp", "2026-11-28T01:02:03", "calendar"},
    {PG, "timestamp", "0000-00-00 00:00:00", "calendar"},
    {PG, "timestamptz", "epoch", "calendar"},
    {PG, "timestamptz", "2026-11-28 01:02:03 Europe/Paris", "calendar"},
    {PG, "char 5", "ab ", "blanks"},
    {PG, "char 5", "abcdef", "longer"},
    {PG, "varchar 3", "ab  ", "longer"},
    {PG, "varchar 3", "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", "longer"},
    {PG, "text", "\xff", "UTF-8"},
    {PG, "text", "0x41", "bytes"},
    {PG, "\"char\"", "\xc3\xa9", "one byte"},
    {PG, "name",
     "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
     "\xc3\xa9\xc3\xa9"
     "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
     "\xc3\xa9\xc3\xa9",
     "63 bytes"},
    {PG, "bytea", "\\x41", "text"},
    {PG, "enum", "", "labels"},
    {PG, "enum", "NEW", "labels"},
    {PG, "jsonb", "\"\\u0000\"", "NUL"},
    {PG, "jsonb", "[\"\\\\\\u0000\"]", "NUL"},
    {PG, "jsonb", "{\"b\":1,\"a\":2}", "canonical"},
    {PG, "jsonb", "1.0", "canonical"},
    {PG, "jsonb", "nope", "no JSON"},
    {PG, "uuid", "123E4567-E89B-12D3-A456-426614174000", "lower case"},
    {PG, "uuid", "{123e4567-e89b-12d3-a456-426614174000}", "lower case"},
    {PG, "uuid", "123e4567e89b12d3a456426614174000", "lower case"},

    {MY, "tinyint(4)", "128", "room"},
    {MY, "tinyint(3) unsigned", "-1", "negative"},
    {MY, "mediumint(9)", "8388608", "room"},
    {MY, "bigint(20) unsigned", "18446744073709551616", "room"},
    {MY, "int(11)", "1.5", "whole number"},
    {MY, "int(11)", "t", "whole number"},
    {MY, "year(4)", "1900", "1901"},
    {MY, "year(4)", "99", "1901"},
    {MY, "year(4)", "2156", "1901"},
    {MY, "decimal(10,2)", "1.005", "rounded"},
    {MY, "decimal(10,2)", "123456789", "before the point"},
    {MY, "decimal(10,2)", "NaN", "numbers only"},
    {MY, "double", "Infinity", "numbers only"},
    {MY, "double", "NaN", "numbers only"},
    {MY, "float", "-Infinity", "numbers only"},
    {MY, "float", "0.10000000149011612", "not exactly"},
    {MY, "bit(8)", "101", "as many bits"},
    {MY, "date", "infinity", "calendar"},
    {MY, "date", "0044-03-15 BC", "after Christ"},
    {MY, "date", "10000-01-01", "after Christ"},
    {MY, "datetime", "2026-11-28 01:02:03.5", "rounded"},
    {MY, "datetime(6)", "-infinity", "calendar"},
    {MY, "datetime(6)", "10000-01-01 00:00:00", "after Christ"},
    {MY, "timestamp(6)", "2026-11-28 01:02:03+00", "calendar"},
    {MY, "time", "1 01:02:03", "calendar"},
    {MY, "time(3)", "01:02:03.1234", "rounded"},
    {MY, "char(5) charset utf8mb4", "ab ", "blanks"},
    {MY, "varchar(3) charset utf8mb4", "ab  ", "longer"},
    {MY, "text charset utf8mb4", "0x41", "bytes"},
    {MY, "binary(3)", "0x41", "as long"},
    {MY, "varbinary(1)", "0x4141", "longer"},
    {MY, "blob", "\\x41", "text"},
    {MY, "enum('a','B') charset utf8mb4", "b", "labels"},
    {MY, "enum('a','B') charset utf8mb4", "1", "labels"},
    {MY, "enum('a','B') charset utf8mb4", "", "labels"},
    {MY, "set('a','B','c') charset utf8mb4", "c,a", "order"},
    {MY, "set('a','B','c') charset utf8mb4", "a,a", "order"},
    {MY, "set('a','B','c') charset utf8mb4", "a,", "order"},
    {MY, "json", "[1e400]", "more digits"},
    {MY, "json", "[0.12345678901234567890123456789012345]", "more digits"},
    {MY, "json", "{\"a\":1,\"a\":1}", "twice"},
    {MY, "json", "[1 ]", "canonical"},
    {MY, "mariadb json", "[1.0]", "canonical"},
    {MY, "uuid", "123E4567-E89B-12D3-A456-426614174000", "lower case"},
    {MY, "inet4", "010.0.0.1", "address"},
    {MY, "inet4", "::1", "address"},
    {MY, "inet6", "2001:DB8::1", "another way"},
    {MY, "inet6", "2001:db8:0::1", "another way"},
};

static void what_would_be_changed_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(refused); i++) {
        struct mf_type t = type_of(refused[i].e, refused[i].type);
        struct mf_value canon = value(refused[i].canon), own;
        struct mf_error err = {0};
        int rc = ops(refused[i].e)->from_canon(&t, &arena, &canon, &own, &err);
        if (rc == 0 || err.cls != MF_ROW || strcmp(err.code, "MFVALUE") != 0 || !strstr(err.text, refused[i].why)) {
            fail_msg("%s into %s: %d %s", refused[i].canon, refused[i].type, rc, err.text);
        }
    }
    /* What has a NUL character. */
    struct mf_type one_zero = {.kind = MF_KIND_FLOAT, .bits = 64, .form = MY_FORM_ONE_ZERO};
    struct mf_type text = type_of(PG, "text"), list = type_of(PG, "interval"),
                   mine = type_of(MY, "text charset utf8mb4");
    struct mf_value nul = {.kind = MF_TEXT, .len = 3, .data = "a\0b"}, own;
    struct mf_error err = {0};
    assert_mf_fails(pg_from_canon(&text, &arena, &nul, &own, &err), &err, MF_ROW, "NUL");
    assert_mf_fails(pg_from_canon(&list, &arena, &nul, &own, &err), &err, MF_ROW, "NUL");
    assert_mf_ok(my_from_canon(&mine, &arena, &nul, &own, &err), &err);
    struct mf_value minus = value("-0");
    assert_mf_fails(my_from_canon(&one_zero, &arena, &minus, &own, &err), &err, MF_ROW, "-0 as 0");
}

static void what_an_engine_does_not_print_is_refused(void **state)
{
    (void)state;
    static const struct {
        enum engine e;
        const char *type, *own, *why;
    } cases[] = {
        {PG, "bool", "true", "no boolean"},
        {PG, "numeric", "1e5", "no number"},
        {PG, "float8", "1,5", "no number"},
        {PG, "timestamptz", "2026-11-28 01:02:03+05", "UTC"},
        {PG, "timestamptz", "", "UTC"},
        {PG, "bytea", "abc", "hexadecimal"},
        {PG, "bytea", "\\x4", "hexadecimal"},
        {PG, "bytea", "\\xzz", "hexadecimal"},
        {PG, "text", "\xff", "UTF-8"},
        {PG, "json", "{\"a\":1,\"a\":2}", "twice"},
        {PG, "json", "\"\\ud800\"", "surrogate"},
        {PG, "int4", "0x10", "text form"},
        {MY, "int(11)", "x", "no number"},
        {MY, "bit(3)", "8", "bits"},
        {MY, "bit(64)", "18446744073709551616", "bits"},
        {MY, "blob", "abc", "own form"},
        {MY, "varchar(3) charset utf8mb4", "0x41", "own form"},
        {MY, "varchar(3) charset utf8mb4", "\xff", "UTF-8"},
        {MY, "mariadb json", "{\"a\":1,\"a\":2}", "twice"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct mf_type t = type_of(cases[i].e, cases[i].type);
        struct mf_value own = value(cases[i].own), canon;
        struct mf_error err = {0};
        assert_mf_fails(ops(cases[i].e)->to_canon(&t, &arena, &own, &canon, &err), &err, MF_ROW, cases[i].why);
    }
}

static void types_of_columns(void **state)
{
    (void)state;
    static const struct {
        enum engine e;
        const char *own, *want;
    } cases[] = {
        {PG, "numeric 10 2", "decimal(10,2)"},
        {PG, "numeric 5 -2", "decimal(5,-2)"},
        {PG, "numeric", "decimal"},
        {PG, "char 5", "text(5) fixed"},
        {PG, "char", "text"},
        {PG, "varchar", "text"},
        {PG, "timestamptz", "instant(6)"},
        {PG, "timestamp 0", "datetime(0)"},
        {PG, "varbit", "bits"},
        {PG, "bit 1", "bits(1) fixed"},
        {PG, "oid", "int(32) unsigned"},
        {PG, "interval", "opaque"},
        {MY, "tinyint(1)", "int(8)"},
        {MY, "bigint(20) unsigned", "int(64) unsigned"},
        {MY, "year(4)", "int(16)"},
        {MY, "double(9,3)", "float(64)"},
        {MY, "timestamp(3)", "instant(3)"},
        {MY, "char(5) charset latin1", "text(5) fixed"},
        {MY, "tinytext charset latin1", "text"},
        {MY, "binary(16)", "bytes(16) fixed"},
        {MY, "geometry", "bytes"},
        {MY, "enum('a','it''s') charset utf8mb4", "enum('a','it''s')"},
        {MY, "no_such_type", "opaque"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
        struct mf_type t = type_of(cases[i].e, cases[i].own);
        mf_type_put(&b, &t);
        assert_string_equal(mf_buf_str(&b), cases[i].want);
    }
}

/* What a stream tells of a column of this engine is enough for the same type, but for the labels of a list. */
static void types_by_their_ids_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(both_ways); i++) {
        MF_CLEANUP_BUF struct mf_buf a = {.max = 1000}, b = {.max = 1000};
        struct my_type y;
        struct mf_error err = {0};
        if (both_ways[i].e != MY || my_type_parse(both_ways[i].type, &arena, &y, &err) < 0) {
            continue;
        }
        struct mf_column c = {.type_id = my_type_id(&y), .type_mod = my_type_mod(&y)};
        struct mf_type whole, alone;
        my_canon_type(&y, &whole);
        my_type_of(&c, &alone);
        mf_type_put(&a, &whole);
        mf_type_put(&b, &alone);
        assert_string_equal(whole.nlabels ? "text" : mf_buf_str(&a), mf_buf_str(&b));
        assert_int_equal(whole.form, alone.form);
    }
    struct mf_column odd = {.type_id = 99u << 7};
    struct mf_type t;
    my_type_of(&odd, &t);
    assert_int_equal(t.kind, MF_KIND_OPAQUE);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    static const struct {
        enum engine e;
        const char *type, *own;
        bool from;
    } cases[] = {
        {PG, "bytea", "\\x4141", false},
        {PG, "bytea", "0x4141", true},
        {PG, "timestamptz", "2026-11-28 01:02:03", true},
        {PG, "jsonb", "[1.0]", false},
        {PG, "numeric", "+1", false},
        {PG, "float8", "1.0", false},
        {MY, "bit(8)", "5", false},
        {MY, "bit(8)", "00000101", true},
        {MY, "float", "0.1", true},
        {MY, "json", "[ ]", false},
        {MY, "year(4)", "0", true},
        {MY, "decimal(5,2)", "007", false},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct mf_type t = type_of(cases[i].e, cases[i].type);
        struct mf_value in = value(cases[i].own), out;
        struct mf_arena none = {0};
        struct mf_error err = {0};
        const struct mf_canon_ops *o = ops(cases[i].e);
        assert_mf_fails((cases[i].from ? o->from_canon : o->to_canon)(&t, &none, &in, &out, &err), &err, MF_FATAL,
                        "memory");
        assert_string_equal(err.code, "MFMEM");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_go_both_ways),
        cmocka_unit_test(what_would_be_changed_is_refused),
        cmocka_unit_test(what_an_engine_does_not_print_is_refused),
        cmocka_unit_test(types_of_columns),
        cmocka_unit_test(types_by_their_ids_alone),
        cmocka_unit_test(memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
