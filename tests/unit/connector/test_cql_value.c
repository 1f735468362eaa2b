/* CQL's types and values: texts and bytes, both ways. Expected bytes are those that the Python driver makes and the server keeps. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/cassandra/cqlvalue.h"
#include "connector/cassandra/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mf_arena arena = {.max_bytes = 64 << 20};

static const struct cql_type *address_type(void *ctx, const char *name)
{
    (void)ctx;
    const struct cql_type *t = NULL;
    if (strcmp(name, "address") == 0 || strcmp(name, "My Type") == 0) {
        const char **fields = mf_alloc_array(&arena, 2, sizeof(*fields));
        const struct cql_type **sub = mf_alloc_array(&arena, 2, sizeof(struct cql_type *));
        struct cql_type *made = mf_alloc0(&arena, sizeof(*made));
        fields[0] = "street";
        fields[1] = "House No";
        assert_int_equal(cql_type_parse("text", 4, NULL, NULL, &arena, &sub[0], NULL), 0);
        assert_int_equal(cql_type_parse("int", 3, NULL, NULL, &arena, &sub[1], NULL), 0);
        *made = (struct cql_type){.kind = CQL_K_UDT,
                                  .nsub = 2,
                                  .sub = sub,
                                  .fields = fields,
                                  .keyspace = "ks",
                                  .name = mf_strdup_a(&arena, name)};
        t = made;
    }
    return t;
}

static const struct cql_type *type(const char *text)
{
    struct mf_error err = {0};
    const struct cql_type *t = NULL;
    assert_mf_ok(cql_type_parse(text, strlen(text), address_type, NULL, &arena, &t, &err), &err);
    return t;
}

static void hex_of(const struct mf_buf *b, size_t from, char *out)
{
    for (size_t i = from; i < b->len; i++) {
        out += sprintf(out, "%02x", (unsigned char)b->data[i]);
    }
    *out = '\0';
}

/* The text is these bytes, and they are `back` again. */
static void becomes(const char *type_text, const char *text, const char *hex, const char *back)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20}, again = {.max = 1 << 20};
    struct mf_error err = {0};
    char got[4000];
    const struct cql_type *t = type(type_text);
    assert_mf_ok(cql_value_put(t, text, strlen(text), &b, &err), &err);
    assert_int_equal(mf_get_u32be(b.data), b.len - 4);
    if (hex) {
        hex_of(&b, 4, got);
        assert_string_equal(got, hex);
    }
    struct cql_bytes v = {.p = (const uint8_t *)b.data + 4, .n = (int32_t)b.len - 4};
    assert_mf_ok(cql_value_text(t, v, &again, &err), &err);
    assert_string_equal(mf_buf_str(&again), back);
}

static void same(const char *type_text, const char *text, const char *hex)
{
    becomes(type_text, text, hex, text);
}

static void refused(const char *type_text, const char *text, const char *why)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20};
    struct mf_error err = {0};
    mf_buf_puts(&b, "before");
    assert_mf_fails(cql_value_put(type(type_text), text, strlen(text), &b, &err), &err, MF_ROW, why);
    assert_string_equal(mf_buf_str(&b), "before");
}

static void no_value(const char *type_text, const char *hex)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20};
    struct mf_error err = {0};
    uint8_t bytes[200];
    int32_t n = (int32_t)strlen(hex) / 2;
    for (int32_t i = 0; i < n; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    mf_buf_puts(&b, "before");
    assert_mf_fails(cql_value_text(type(type_text), (struct cql_bytes){.p = bytes, .n = n}, &b, &err), &err, MF_ROW,
                    "bytes");
    assert_string_equal(mf_buf_str(&b), "before");
}

static void numbers(void **state)
{
    (void)state;
    same("int", "0", "00000000");
    same("int", "-2147483648", "80000000");
    becomes("int", "0042", "0000002a", "42");
    same("bigint", "9223372036854775807", "7fffffffffffffff");
    same("bigint", "-9223372036854775808", "8000000000000000");
    same("counter", "-1", "ffffffffffffffff");
    same("smallint", "-32768", "8000");
    same("tinyint", "127", "7f");
    same("int", "", "");
    refused("int", "2147483648", "out of range");
    refused("tinyint", "128", "out of range");
    refused("smallint", "", "no whole number");
    refused("bigint", "9223372036854775808", "out of range");
    refused("bigint", "1.0", "no whole number");
    refused("int", "+1", "no whole number");
    refused("int", "-", "no whole number");
    same("varint", "0", "00");
    same("varint", "127", "7f");
    same("varint", "128", "0080");
    same("varint", "-128", "80");
    same("varint", "-129", "ff7f");
    same("varint", "18446744073709551616", "010000000000000000");
    same("varint", "-1000000000000000000000000000000", "f360d3632fb98b1215c0000000");
    same("varint", "1000000000000000000000000000000", "0c9f2c9cd04674edea40000000");
    becomes("varint", "-0", "00", "0");
    refused("varint", "1e3", "no whole number");
    same("decimal", "-1.50", "00000002ff6a");
    same("decimal", "15e3", "fffffffd0f");
    same("decimal", "0.001", "0000000301");
    same("decimal", "0.00", "0000000200");
    same("decimal", "-0.05", "00000002fb");
    same("decimal", "123456789012345678901234567890.123", "0000000306163e665beb7ca6a2e1a64244cb");
    same("decimal", "1e-20001", "00004e2101");
    same("decimal", "1e2147483648", "8000000001");
    becomes("decimal", "1.5E+3", "fffffffe0f", "15e2");
    becomes("decimal", ".5", "0000000105", "0.5");
    refused("decimal", "1e2147483649", "exponent that is out of range");
    refused("decimal", ".", "no decimal number");
    refused("decimal", "1e", "no decimal number");
    refused("decimal", "NaN", "no decimal number");
    no_value("decimal", "00000000");
    no_value("int", "000000");
    no_value("tinyint", "");
    same("double", "0.1", "3fb999999999999a");
    same("double", "-0", "8000000000000000");
    same("double", "NaN", "7ff8000000000000");
    same("double", "-Infinity", "fff0000000000000");
    same("double", "5e-324", "0000000000000001");
    same("float", "0.1", "3dcccccd");
    same("float", "Infinity", "7f800000");
    refused("float", "16777217", "not exactly");
    refused("float", "1e39", "no such number");
    refused("double", "0.1000000000000000055", "not exactly");
}

/* A number of many digits is its text again, in memory of its own size. */
static void long_numbers(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf text = {.max = 1 << 20}, bytes = {.max = 1 << 20}, back = {.max = 1 << 20};
    struct mf_error err = {0};
    static const size_t lengths[] = {9, 10, 77, 78, 154, 155, 5000, 40000};
    for (size_t k = 0; k < MF_ARRAY_LEN(lengths); k++) {
        for (int negative = 0; negative < 2; negative++) {
            mf_buf_reset(&text);
            mf_buf_reset(&bytes);
            mf_buf_reset(&back);
            mf_buf_puts(&text, negative ? "-" : "");
            for (size_t i = 0; i < lengths[k]; i++) {
                mf_buf_putc(&text, (char)('1' + (i * 7 + i / 9) % 9));
            }
            assert_mf_ok(cql_value_put(type("varint"), text.data, text.len, &bytes, &err), &err);
            assert_mf_ok(cql_value_text(type("varint"),
                                        (struct cql_bytes){(uint8_t *)bytes.data + 4, (int32_t)bytes.len - 4}, &back,
                                        &err),
                         &err);
            assert_string_equal(mf_buf_str(&back), mf_buf_str(&text));
        }
    }
    mf_buf_reset(&text);
    for (size_t i = 0; i <= CQL_DIGITS_MAX; i++) {
        mf_buf_putc(&text, '7');
    }
    assert_mf_fails(cql_value_put(type("varint"), text.data, text.len, &bytes, &err), &err, MF_ROW, "too many digits");
    memset(text.data, 0x55, 100000);
    assert_mf_fails(cql_value_text(type("varint"), (struct cql_bytes){(uint8_t *)text.data, 100000}, &back, &err), &err,
                    MF_ROW, "more digits");
}

static void texts_and_blobs(void **state)
{
    (void)state;
    same("text", "", "");
    same("text", "it's \xe2\x82\xac", "6974277320e282ac");
    same("ascii", "a", "61");
    refused("ascii", "\xe2\x82\xac", "not ASCII");
    refused("text", "\xff", "no UTF-8");
    no_value("text", "c328");
    no_value("ascii", "80");
    same("blob", "0x", "");
    same("blob", "0x00ff", "00ff");
    becomes("blob", "0XAB", "ab", "0xab");
    refused("blob", "0x0", "pairs of hex");
    refused("blob", "00", "pairs of hex");
    refused("blob", "0x0g", "pairs of hex");
    same("boolean", "true", "01");
    becomes("boolean", "FALSE", "00", "false");
    refused("boolean", "1", "neither");
    same("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000");
    same("uuid", "", "");
    refused("uuid", "123e4567-e89b-12d3-a456-42661417400", "no UUID");
    refused("uuid", "123e4567-e89b-12d3-a456+426614174000", "no UUID");
    refused("timeuuid", "123e4567-e89b-42d3-a456-426614174000", "version 1");
    same("inet", "127.0.0.1", "7f000001");
    same("inet", "::1", "00000000000000000000000000000001");
    same("inet", "::ffff:1.2.3.4", "00000000000000000000ffff01020304");
    refused("inet", "localhost", "no address");
    no_value("inet", "7f0000");
}

static void times(void **state)
{
    (void)state;
    same("timestamp", "2026-11-28T01:02:03.500Z", "000001a21fac6cec");
    same("timestamp", "1970-01-01T00:00:00.000Z", "0000000000000000");
    same("timestamp", "1969-12-31T23:59:59.999Z", "ffffffffffffffff");
    same("timestamp", "0000-02-29T00:00:00.000Z", NULL);
    same("timestamp", "-292275055-05-16T16:47:04.192Z", "8000000000000000");
    same("timestamp", "292278994-08-17T07:12:55.807Z", "7fffffffffffffff");
    becomes("timestamp", "2026-11-28 01:02:03.5+00", NULL, "2026-11-28T01:02:03.500Z");
    becomes("timestamp", "2026-11-28T01:02:03+00:00", NULL, "2026-11-28T01:02:03.000Z");
    becomes("timestamp", "2026-11-28T01:02:03.123000+0000", NULL, "2026-11-28T01:02:03.123Z");
    refused("timestamp", "2026-11-28T01:02:03.0001Z", "milliseconds");
    refused("timestamp", "2026-11-28T01:02:03+01:00", "not in UTC");
    refused("timestamp", "2026-02-29T00:00:00Z", "no calendar");
    refused("timestamp", "2026-11-28T24:00:00Z", "no day has");
    refused("timestamp", "292278994-08-17T07:12:55.808Z", "out of range");
    refused("timestamp", "-292275055-05-16T16:47:04.191Z", "out of range");
    same("date", "2026-11-28", "80005131");
    same("date", "-5877641-06-23", "00000000");
    same("date", "5881580-07-11", "ffffffff");
    same("date", "1970-01-01", "80000000");
    refused("date", "5881580-07-12", "out of range");
    refused("date", "-5877641-06-22", "out of range");
    refused("date", "2026-13-01", "no calendar");
    refused("date", "2026-1-1", "another way");
    same("time", "00:00:00.000000000", "0000000000000000");
    same("time", "23:59:59.999999999", "00004e94914effff");
    becomes("time", "01:02:03", NULL, "01:02:03.000000000");
    refused("time", "24:00:00", "no day has");
    refused("time", "01:02", "another way");
    no_value("time", "00004e94914f0000");
    same("duration", "1y2mo5ns", "1c000a");
    same("duration", "-1y2mo3d18s367ms8us9ns", "1b05f8088d849a11");
    same("duration", "178956970y7mo2147483647d2562047h47m16s854ms775us807ns", "f0fffffffef0fffffffefffffffffffffffffe");
    same("duration", "-178956970y8mo2147483648d2562047h47m16s854ms775us808ns",
         "f0fffffffff0ffffffffffffffffffffffffff");
    same("duration", "0s", "000000");
    becomes("duration", "14mo2w", NULL, "1y2mo14d");
    refused("duration", "178956971y", "out of range");
    refused("duration", "5d3mo", "no duration");
    refused("duration", "5", "no duration");
    refused("duration", "-", "no duration");
    no_value("duration", "010200"); /* -1 month, 1 day */
    no_value("duration", "0000");
    no_value("duration", "00000000");
}

static void collections(void **state)
{
    (void)state;
    same("list<int>", "[1, 2]", "0000000200000004000000010000000400000002");
    same("list<int>", "[]", "00000000");
    same("list<int>", "['', null]", "0000000200000000ffffffff");
    becomes("set<text>", "{ 'a' , 'it''s' }", "0000000200000001610000000469742773", "{'a', 'it''s'}");
    same("map<text, frozen<list<int>>>", "{'a': [1], 'b': []}", NULL);
    same("map<inet, timestamp>", "{'::1': '1970-01-01T00:00:00.000Z'}", NULL);
    same("tuple<int, text>", "(1, null)", "0000000400000001ffffffff");
    same("frozen<address>", "{street: 'x, y: z}', \"House No\": 5}", NULL);
    becomes("address", "{street:'x'}", "0000000178ffffffff", "{street: 'x', \"House No\": null}");
    becomes("address", "{\"House No\":7}", "ffffffff0000000400000007", "{street: null, \"House No\": 7}");
    same("vector<float, 3>", "[0.5, 1, -0]", "3f0000003f80000080000000");
    same("vector<text, 2>", "['a', '']", "016100");
    same("vector<smallint, 2>", "[1, 2]", "020001020002");
    same("list<frozen<vector<int, 2>>>", "[[1, 2], [3, 4]]", NULL);
    refused("list<int>", "[1, 2", "another way");
    refused("list<int>", "[1,, 2]", "another way");
    refused("list<int>", "[1] x", "another way");
    refused("list<int>", "['1']", "quotes");
    refused("list<text>", "[a]", "another way");
    refused("list<text>", "['a]", "another way");
    refused("vector<float, 3>", "[1, 2]", "another way");
    refused("vector<float, 2>", "[1, null]", "null in a vector");
    refused("vector<float, 2>", "[1, '']", "empty value");
    refused("tuple<int, text>", "(1)", "another way");
    refused("address", "{other: 1}", "another way");
    refused("map<int, int>", "{1}", "another way");
    no_value("list<int>", "");
    no_value("list<int>", "00000001");
    no_value("list<int>", "ffffffff");
    no_value("list<int>", "7fffffff00000000");
    no_value("list<int>", "0000000000");
    no_value("tuple<int, int>", "000000040000000100000004000000020000000400000003");
    no_value("vector<float, 2>", "3f000000");
    no_value("vector<text, 2>", "0161ff");
    becomes("tuple<int, int>", "(1, null)", NULL, "(1, null)");
}

/* An older value of a type that has got more fields. */
static void fields_left_out_are_null(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
    struct mf_error err = {0};
    assert_mf_ok(cql_value_text(type("address"), (struct cql_bytes){(const uint8_t *)"\0\0\0\1x", 5}, &b, &err), &err);
    assert_string_equal(mf_buf_str(&b), "{street: 'x', \"House No\": null}");
}

static void type_is(const char *text, const char *back)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
    cql_type_put(&b, type(text));
    assert_string_equal(mf_buf_str(&b), back);
}

static void type_is_none(const char *text)
{
    struct mf_error err = {0};
    const struct cql_type *t;
    assert_mf_fails(cql_type_parse(text, strlen(text), address_type, NULL, &arena, &t, &err), &err, MF_FATAL,
                    "no type");
}

static void types_from_text(void **state)
{
    (void)state;
    type_is("frozen<map<text, list<int>>>", "frozen<map<text, list<int>>>");
    type_is(" MAP < varchar,Frozen<Set<inet>> > ", "map<text, frozen<set<inet>>>");
    type_is("vector<float, 3>", "vector<float, 3>");
    type_is("tuple<int, frozen<\"My Type\">, address>", "tuple<int, frozen<\"My Type\">, address>");
    type_is("Address", "address");
    type_is("'org.apache.cassandra.db.marshal.EmptyType'", "'org.apache.cassandra.db.marshal.EmptyType'");
    type_is("'org.apache.cassandra.db.marshal.Int32Type'", "int");
    type_is_none("");
    type_is_none("nothing");
    type_is_none("list");
    type_is_none("list<int");
    type_is_none("list<int>>");
    type_is_none("list<int, int>");
    type_is_none("map<int>");
    type_is_none("int<int>");
    type_is_none("vector<float>");
    type_is_none("vector<float, 0>");
    type_is_none("\"My Type");
    char deep[1000] = "";
    for (int i = 0; i < 40; i++) {
        strcat(deep, "frozen<list<");
    }
    strcat(deep, "int");
    for (int i = 0; i < 80; i++) {
        strcat(deep, ">");
    }
    type_is_none(deep);
}

static void class_is(const char *name, const char *text)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
    struct mf_error err = {0};
    const struct cql_type *t;
    assert_mf_ok(cql_type_of_class(name, &arena, &t, &err), &err);
    cql_type_put(&b, t);
    assert_string_equal(mf_buf_str(&b), text);
}

#define MARSHAL "org.apache.cassandra.db.marshal."

static void types_from_classes(void **state)
{
    (void)state;
    struct mf_error err = {0};
    const struct cql_type *t;
    class_is(MARSHAL "VectorType(" MARSHAL "FloatType , 3)", "vector<float, 3>");
    class_is(MARSHAL "VectorType(" MARSHAL "FrozenType(" MARSHAL "ListType(" MARSHAL "Int32Type)), 2)",
             "vector<list<int>, 2>");
    class_is(MARSHAL "ReversedType(" MARSHAL "TimeUUIDType)", "timeuuid");
    class_is(MARSHAL "MapType(" MARSHAL "UTF8Type," MARSHAL "TupleType(" MARSHAL "LongType," MARSHAL "BytesType))",
             "map<text, tuple<bigint, blob>>");
    class_is(MARSHAL "UserType(ks,61646472657373,737472656574:" MARSHAL "UTF8Type,6e6f:" MARSHAL "Int32Type)",
             "address");
    class_is("com.example.Own(a(b),c)", "'com.example.Own(a(b),c)'");
    assert_mf_fails(cql_type_of_class(MARSHAL "ListType(", &arena, &t, &err), &err, MF_FATAL, "none that is known");
    assert_mf_fails(cql_type_of_class(MARSHAL "UserType(ks,616)", &arena, &t, &err), &err, MF_FATAL,
                    "none that is known");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),         cmocka_unit_test(long_numbers),
        cmocka_unit_test(texts_and_blobs), cmocka_unit_test(times),
        cmocka_unit_test(collections),     cmocka_unit_test(fields_left_out_are_null),
        cmocka_unit_test(types_from_text), cmocka_unit_test(types_from_classes),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mf_arena_free(&arena);
    return failed;
}
