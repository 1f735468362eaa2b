/* Every type with its extremes, every rule, and what is no document. */
#include "doc.h"

/* A map of one column `v`. */
static void open_column(struct doc *d, const char *column)
{
    char yaml[1000];
    snprintf(yaml, sizeof yaml,
             "map:\n  - collection: d.c\n    columns:\n      - {path: _id, type: int}\n      - {path: v, %s}\n",
             column);
    doc_open(d, yaml);
}

static void value(const char *column, const char *json, const char *row)
{
    struct doc d;
    char text[2000], want[8000];
    open_column(&d, column);
    snprintf(text, sizeof text, "{\"_id\":1%s%s}", json ? ",\"v\":" : "", json ? json : "");
    snprintf(want, sizeof want, "c: 1|%s", row);
    doc_good_json(&d, text, want);
    doc_close(&d);
}

static void refused(const char *column, const char *json, const char *why)
{
    struct doc d;
    char text[2000];
    open_column(&d, column);
    snprintf(text, sizeof text, "{\"_id\":1%s%s}", json ? ",\"v\":" : "", json ? json : "");
    doc_bad(&d, text, why);
    doc_close(&d);
}

#define INT(v)     "{\"$numberInt\":\"" v "\"}"
#define LONG(v)    "{\"$numberLong\":\"" v "\"}"
#define DOUBLE(v)  "{\"$numberDouble\":\"" v "\"}"
#define DECIMAL(v) "{\"$numberDecimal\":\"" v "\"}"
#define BIN(v, s)  "{\"$binary\":{\"base64\":\"" v "\",\"subType\":\"" s "\"}}"
#define DATE(v)    "{\"$date\":{\"$numberLong\":\"" v "\"}}"

static void whole_numbers(void **state)
{
    (void)state;
    value("type: int32", INT("-2147483648"), "-2147483648");
    value("type: int64", LONG("-9223372036854775808"), "-9223372036854775808");
    value("type: int", INT("5"), "5");
    value("type: int", LONG("5"), "5");
    value("type: int", LONG("9223372036854775807"), "9223372036854775807");
    refused("type: int32", LONG("5"), "v: 5 (int64): the map says a whole number");
    refused("type: int64", INT("5"), "v: 5 (int32)");
    refused("type: int", DOUBLE("5.0"), "v: 5 (double)");
    value("type: int32, wrong: coerce", LONG("5"), "5");
    value("type: int32, wrong: coerce", DOUBLE("-5.0"), "-5");
    value("type: int64, wrong: coerce", DECIMAL("5E+3"), "5000");
    value("type: int32, wrong: coerce", "\"-17\"", "-17");
    value("type: int32, wrong: coerce", "true", "1");
    refused("type: int32, wrong: coerce", "\"017\"", "no whole number");
    refused("type: int32, wrong: coerce", DOUBLE("-0.0"), "no whole number");
    refused("type: int32, wrong: coerce", DOUBLE("0.5"), "no whole number");
    refused("type: int32, wrong: coerce", LONG("2147483648"), "more than 32 bits");
    refused("type: int64, wrong: coerce", DOUBLE("9223372036854775808"), "no whole number of 64 bits");
    value("type: int32, wrong: coerce, range: default, default: 3", LONG("2147483648"), "3");
    value("type: int32, wrong: null, null: null, missing: default, default: -1", "\"x\"", "NULL");
}

static void floats_and_decimals(void **state)
{
    (void)state;
    value("type: double", DOUBLE("0.1"), "0.1");
    value("type: double", DOUBLE("-0.0"), "-0");
    value("type: double", DOUBLE("NaN"), "NaN");
    value("type: double", DOUBLE("-Infinity"), "-Infinity");
    value("type: double", DOUBLE("1.7976931348623157e308"), "1.7976931348623157e308");
    value("type: double", DOUBLE("5e-324"), "5e-324");
    value("type: double, wrong: coerce", LONG("9007199254740992"), "9.007199254740992e15");
    refused("type: double, wrong: coerce", LONG("9007199254740993"), "no double is this number");
    value("type: double, wrong: coerce", DECIMAL("0.5"), "0.5");
    refused("type: double, wrong: coerce", DECIMAL("0.1"), "no double is this number");
    value("type: double, wrong: coerce", "\"0.25\"", "0.25");
    value("type: decimal", DECIMAL("1.500"), "1.5");
    value("type: decimal", DECIMAL("NaN"), "NaN");
    value("type: decimal", DECIMAL("-Infinity"), "-Infinity");
}

static void long_decimals(void **state)
{
    (void)state;
    static const char *const all[] = {
        "1E+6144", "9.999999999999999999999999999999999E+6144", "1E-6176", "-1E-6143", "1E+33", "1E+34"};
    struct doc d;
    open_column(&d, "type: decimal");
    for (size_t i = 0; i < MF_ARRAY_LEN(all); i++) {
        char json[200];
        snprintf(json, sizeof json, "{\"_id\":1,\"v\":{\"$numberDecimal\":\"%s\"}}", all[i]);
        doc_good_json(&d, json, NULL);
    }
    doc_normal(&d, "{\"_id\":1,\"v\":{\"$numberDecimal\":\"1E+2\"}}", "{\"_id\":1,\"v\":{\"$numberDecimal\":\"100\"}}");
    doc_normal(&d, "{\"_id\":1,\"v\":{\"$numberDecimal\":\"0E-300\"}}", "{\"_id\":1,\"v\":{\"$numberDecimal\":\"0\"}}");
    /* More than 34 digits in its bits: a zero. */
    bson_t b;
    bson_init(&b);
    bson_append_int32(&b, "_id", -1, 1);
    bson_append_decimal128(&b, "v", -1, &(bson_decimal128_t){.low = UINT64_MAX, .high = UINT64_C(0x3041ffffffffffff)});
    struct mf_value odd = {MF_BINARY, b.len, (const char *)bson_get_data(&b)};
    doc_good(&d, &odd, "c: 1|0");
    bson_destroy(&b);
    doc_close(&d);
    refused("type: decimal", DECIMAL("-0"),
            "v: {\"$numberDecimal\":\"-0\"} (decimal128): a decimal has no zero with a sign");
    value("type: decimal, range: default, default: 0", DECIMAL("-0"), "0");
    refused("type: \"decimal(4,2)\"", DECIMAL("NaN"), "no such value");
    value("type: \"decimal(4,2)\"", DECIMAL("99.99"), "99.99");
    refused("type: \"decimal(4,2)\"", DECIMAL("99.999"), "more digits than the column");
    refused("type: \"decimal(4,2)\"", DECIMAL("100"), "more digits than the column");
    refused("type: decimal", DOUBLE("1.5"), "the map says a decimal");
    value("type: decimal, wrong: coerce", DOUBLE("1.5"), "1.5");
    refused("type: decimal, wrong: coerce", DOUBLE("0.1"), "more digits than a Decimal128");
    value("type: decimal, wrong: coerce", "\"12.5\"", "12.5");
    refused("type: decimal, wrong: coerce", "\"12.50\"", "not how the number is written");
}

static void texts_and_bytes(void **state)
{
    (void)state;
    value("type: string(3)", "\"äöü\"", "äöü");
    refused("type: string(2)", "\"äöü\"", "longer than the column");
    refused("type: string", INT("5"), "the map says a string");
    value("type: string, wrong: coerce", INT("5"), "5");
    value("type: string, wrong: coerce", DOUBLE("0.5"), "0.5");
    value("type: string, wrong: coerce", "{\"$oid\":\"00112233445566778899aabb\"}", "00112233445566778899aabb");
    value("type: string, wrong: coerce", "{\"$symbol\":\"s\"}", "s");
    refused("type: string, wrong: coerce", "[1]", "v: [1] (array): no text is this value");
    value("type: objectid", "{\"$oid\":\"00112233445566778899aabb\"}", "00112233445566778899aabb");
    value("type: objectid, as: binary", "{\"$oid\":\"00112233445566778899aabb\"}", "x00112233445566778899aabb");
    value("type: objectid, time: t", "{\"$oid\":\"386d43800000000000000000\"}",
          "386d43800000000000000000|2000-01-01 00:00:00");
    value("type: objectid, as: binary, time: t, missing: null", NULL, "NULL|NULL");
    value("type: uuid", BIN("EjRWeBI0VngSNFZ4EjRWeA==", "04"), "12345678-1234-5678-1234-567812345678");
    refused("type: uuid", BIN("EjRWeBI0VngSNFZ4EjRWeA==", "03"), "another subtype");
    refused("type: uuid", BIN("EjRW", "04"), "16 bytes");
    value("type: uuid_legacy", BIN("EjRWeBI0VngSNFZ4EjRWeA==", "03"), "12345678-1234-5678-1234-567812345678");
    value("type: binary", BIN("AP8=", "00"), "x00ff");
    value("type: binary(2)", BIN("", "00"), "x");
    refused("type: binary(1)", BIN("AP8=", "00"), "longer than the column");
    refused("type: binary", BIN("AP8=", "80"), "another subtype");
    value("type: bool", "true", "1");
    value("type: bool, wrong: coerce", INT("0"), "0");
    refused("type: bool, wrong: coerce", INT("2"), "the map says a bool");
    value("type: bool, missing: default, default: true", NULL, "1");
}

static void moments(void **state)
{
    (void)state;
    value("type: date", DATE("0"), "1970-01-01 00:00:00");
    value("type: date", DATE("-1"), "1969-12-31 23:59:59.999");
    value("type: date", DATE("-62135596800000"), "0001-01-01 00:00:00");
    value("type: date", DATE("253402300799990"), "9999-12-31 23:59:59.99");
    refused("type: date", DATE("253402300800000"), "its year is not from 1 to 9999");
    refused("type: date", DATE("-62135596800001"), "its year is not from 1 to 9999");
    refused("type: date", DATE("9223372036854775807"), "its year is not from 1 to 9999");
    value("type: date, range: null, null: null", DATE("-9223372036854775808"), "NULL");
    value("type: timestamp", "{\"$timestamp\":{\"t\":4294967295,\"i\":1}}", "18446744069414584321");
}

static void whatever(void **state)
{
    (void)state;
    value("type: json", "null", "null");
    value("type: json, null: null", "null", "NULL");
    value("type: json", "{\"b\":1,\"a\":{\"$regularExpression\":{\"pattern\":\"x\",\"options\":\"i\"}}}",
          "{\"a\":{\"$regularExpression\":{\"options\":\"i\",\"pattern\":\"x\"}},\"b\":{\"$numberInt\":\"1\"}}");
    value("type: json", DECIMAL("1.50"), "{\"$numberDecimal\":\"1.50\"}");
    value("type: id(100)", "{\"$oid\":\"00112233445566778899aabb\"}", "ObjectId(\"00112233445566778899aabb\")");
    value("type: id(100)", "{\"a\":{\"$numberDouble\":\"5.0\"},\"b\":[null]}", "Document {\"a\":5,\"b\":[null]}");
    refused("type: id(5)", "\"abcdef\"", "longer than the column");
    refused("type: id(5)", "[1]", "an array is no _id");
    struct doc d;
    struct mf_value inner, v;
    open_column(&d, "type: json");
    /* A key that extended JSON itself uses: libbson's reader would take it for a value. */
    bson_t b, sub;
    bson_init(&b);
    bson_append_int32(&b, "_id", -1, 1);
    bson_append_document_begin(&b, "v", -1, &sub);
    bson_append_utf8(&sub, "$oid", -1, "x", -1);
    bson_append_document_end(&b, &sub);
    v = (struct mf_value){MF_BINARY, b.len, (const char *)bson_get_data(&b)};
    doc_good(&d, &v, "c: 1|{\"$document\":{\"$oid\":\"x\"}}");
    bson_destroy(&b);
    /* Plain JSON that an application wrote: numbers are the first of BSON's types that holds them. */
    inner = (struct mf_value){MF_TEXT, 26, "{\"a\":[1,2.5,3000000000,-7]}"};
    inner.len = (uint32_t)strlen(inner.data);
    struct mf_value values[] = {{MF_TEXT, 1, "1"}, inner}, back;
    struct mf_row row = {.n = 2, .values = values};
    struct mf_shred_list list = {1, 1, &row};
    assert_mf_ok(mf_shred_rebuild(d.c, &d.arena, &(struct mf_shred_rows){1, &list}, &back, &d.err), &d.err);
    struct mf_value want = doc_of(&d, "{\"_id\":1,\"v\":{\"a\":[1,2.5,3000000000,-7]}}");
    assert_string_equal(doc_json(&d, &back), doc_json(&d, &want));
    values[1] = (struct mf_value){MF_TEXT, 3, "{\"}"};
    assert_mf_fails(mf_shred_rebuild(d.c, &d.arena, &(struct mf_shred_rows){1, &list}, &back, &d.err), &d.err, MF_ROW,
                    "column v");
    doc_close(&d);
}

/* PostgreSQL's numeric(p,s) takes NaN; the map would refuse the document. */
static void no_number_in_so_many_digits(void **state)
{
    (void)state;
    static const char *const types[] = {"type: decimal", "type: \"decimal(10,2)\""};
    for (int i = 0; i < 2; i++) {
        struct doc d;
        struct mf_value values[] = {{MF_TEXT, 1, "1"}, {MF_TEXT, 3, "NaN"}}, back;
        struct mf_row row = {.n = 2, .values = values};
        struct mf_shred_list list = {1, 1, &row};
        open_column(&d, types[i]);
        int rc = mf_shred_rebuild(d.c, &d.arena, &(struct mf_shred_rows){1, &list}, &back, &d.err);
        assert_int_equal(rc, i ? -1 : 0);
        assert_true(i == 0 || (d.err.cls == MF_ROW && strstr(d.err.text, "no such value")));
        doc_close(&d);
    }
}

static void missing_null_and_present(void **state)
{
    (void)state;
    refused("type: string", NULL, "v: it is missing");
    refused("type: string", "null", "v: null (null): it is null");
    value("type: string, missing: null", NULL, "NULL");
    value("type: string, missing: null, null: null", "null", "NULL");
    value("type: string, null: missing, missing: default, default: ''", "null", "");
    value("type: string, present: p", NULL, "NULL|0");
    value("type: string, present: p, null: null", "null", "NULL|1");
    value("type: string, present: p, null: missing", "null", "NULL|0");
    value("type: string, present: p", "\"\"", "|1");
    struct doc d;
    doc_open(&d, "map:\n  - collection: d.c\n    columns:\n      - {path: _id, type: int}\n      - {path: a.b, type: "
                 "string, missing: null, null: null}\n");
    doc_good_json(&d, "{\"_id\":1}", "c: 1|NULL");
    doc_bad(&d, "{\"_id\":1,\"a\":{}}", "a: {} (document): it could not be told from a missing one");
    doc_bad(&d, "{\"_id\":1,\"a\":{\"b\":null}}", "a: {\"b\":null} (document): it could not be told");
    doc_bad(&d, "{\"_id\":1,\"a\":null}", "a: null (null)");
    doc_bad(&d, "{\"_id\":1,\"a\":{\"b\":\"x\",\"c\":[1,{\"d\":2}]}}",
            "a.c: [1,{\"d\":2}] (array): the map does not speak of it");
    doc_close(&d);
    doc_open(&d, "map:\n  - collection: d.c\n    columns:\n      - {path: _id, type: int}\n      - {path: a, present: "
                 "p, null: null}\n      - {path: a.b, type: string}\n      - {path: t, present: q, null: missing}\n"
                 "    tables:\n      - {path: t, to: ts, columns: [{path: \".\", type: int32, null: null}]}\n");
    doc_good_json(&d, "{\"_id\":1}", "c: 1|0|NULL|0");
    doc_good_json(&d, "{\"_id\":1,\"a\":null,\"t\":null}", "c: 1|NULL|NULL|0");
    doc_good_json(&d, "{\"_id\":1,\"a\":{\"b\":\"x\"},\"t\":[]}", "c: 1|1|x|1");
    doc_good_json(&d, "{\"_id\":1,\"t\":[null,3]}", "c: 1|0|NULL|1; ts: 1|0|NULL; ts: 1|1|3");
    doc_bad(&d, "{\"_id\":1,\"a\":{}}", "a.b: it is missing");
    doc_bad(&d, "{\"_id\":1,\"t\":[3,\"x\"]}", "t[1]: \"x\" (string)");
    doc_close(&d);
}

static void merged(void **state)
{
    (void)state;
    struct doc d;
    doc_open(&d, "map:\n  - collection: d.c\n    columns:\n      - {path: _id, type: int}\n      - {path: a.b, type: "
                 "int, missing: null}\n      - {path: n, type: int32, missing: default, default: 4, wrong: coerce}\n"
                 "    tables:\n      - {path: t, to: ts, missing: empty, columns: [{path: x, type: int}]}\n    ignore: "
                 "[a.i, _class, t.i]\n");
    doc_merge_json(&d, "{\"_class\":\"k\",\"a\":{\"i\":7,\"b\":1},\"_id\":1}", "{\"_id\":1}",
                   "{\"_class\":\"k\",\"a\":{\"i\":7},\"_id\":1}");
    doc_merge_json(
        &d, "{\"_id\":{\"$numberDouble\":\"1.0\"},\"n\":\"5\",\"t\":[{\"i\":1,\"x\":1},{\"x\":2}]}",
        "{\"_id\":1,\"n\":5,\"t\":[{\"x\":9},{\"x\":2}],\"a\":{\"b\":2}}",
        "{\"_id\":{\"$numberDouble\":\"1.0\"},\"n\":\"5\",\"t\":[{\"i\":1,\"x\":9},{\"x\":2}],\"a\":{\"b\":2}}");
    doc_merge_json(&d, "{\"_id\":1}", "{\"_id\":1,\"t\":[],\"n\":4}", "{\"_id\":1}");
    /* What is there is refused: what is ignored stays all the same. */
    doc_merge_json(&d, "{\"z\":1,\"a\":{\"i\":7},\"_class\":\"k\",\"_id\":1}", "{\"_id\":1}",
                   "{\"a\":{\"i\":7},\"_class\":\"k\",\"_id\":1,\"n\":4,\"t\":[]}");
    doc_merge_json(&d, "{\"_id\":1}", "{\"_id\":1,\"n\":3}", "{\"_id\":1,\"n\":3}");
    doc_close(&d);
}

static void ids(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text, *back;
    } all[] = {
        {"5", "5", "5"},
        {LONG("5"), "5", "5"},
        {DOUBLE("5.0"), "5", "5"},
        {DECIMAL("5.00"), "5", "5"},
        {DOUBLE("-0.0"), "0", "0"},
        {DOUBLE("0.1"), "0.1000000000000000055511151231257827021181583404541015625", DOUBLE("0.1")},
        {DECIMAL("0.1"), "0.1", DECIMAL("0.1")},
        {DECIMAL("NaN"), "NaN", DOUBLE("NaN")},
        {DOUBLE("-Infinity"), "-Infinity", DOUBLE("-Infinity")},
        {DECIMAL("1E+6144"), "1e6144", DECIMAL("1E+6144")},
        {LONG("-9223372036854775808"), "-9223372036854775808", LONG("-9223372036854775808")},
        {DOUBLE("1e300"), NULL, DOUBLE("1e300")},
        {DOUBLE("5e-324"), NULL, DOUBLE("5e-324")},
        {"\"a\\\"\\u0000\\u00e9\"", "\"a\\\"\\u0000é\"", "\"a\\\"\\u0000\\u00e9\""},
        {"{\"$oid\":\"00112233445566778899aabb\"}", "ObjectId(\"00112233445566778899aabb\")",
         "{\"$oid\":\"00112233445566778899aabb\"}"},
        {BIN("EjRWeBI0VngSNFZ4EjRWeA==", "04"), "UUID(\"12345678-1234-5678-1234-567812345678\")",
         BIN("EjRWeBI0VngSNFZ4EjRWeA==", "04")},
        {BIN("EjRWeBI0VngSNFZ4EjRWeA==", "03"), "Binary(3,\"EjRWeBI0VngSNFZ4EjRWeA==\")",
         BIN("EjRWeBI0VngSNFZ4EjRWeA==", "03")},
        {BIN("EjRW", "04"), "Binary(4,\"EjRW\")", BIN("EjRW", "04")},
        {"true", "true", "true"},
        {"null", "null", "null"},
        {DATE("-5"), "Date(-5)", DATE("-5")},
        {"{\"$timestamp\":{\"t\":4294967295,\"i\":2}}", "Timestamp(4294967295,2)",
         "{\"$timestamp\":{\"t\":4294967295,\"i\":2}}"},
        {"{\"b\":5.0,\"a\":[\"x\"],\"\":{}}", "Document {\"b\":5,\"a\":[\"x\"],\"\":Document {}}",
         "{\"b\":5,\"a\":[\"x\"],\"\":{}}"},
    };
    struct doc d;
    open_column(&d, "type: json, missing: null");
    for (size_t i = 0; i < MF_ARRAY_LEN(all); i++) {
        char json[300];
        struct mf_value text, back, want;
        snprintf(json, sizeof json, "{\"x\":1,\"_id\":%s}", all[i].json);
        struct mf_value v = doc_of(&d, json);
        assert_mf_ok(mf_bson_id_of(&d.arena, &v, &text, &d.err), &d.err);
        if (all[i].text) {
            assert_string_equal(mf_memdup_a(&d.arena, text.data, text.len), all[i].text);
        }
        assert_mf_ok(mf_bson_id_document(&d.arena, &text, &back, &d.err), &d.err);
        snprintf(json, sizeof json, "{\"_id\":%s}", all[i].back);
        want = doc_of(&d, json);
        assert_string_equal(doc_json(&d, &back), doc_json(&d, &want));
    }
    static const char *const none[] = {"",
                                       "5.0",
                                       "05",
                                       "+5",
                                       "1e1",
                                       "-0",
                                       "ObjectId(\"00112233445566778899aabB\")",
                                       "Date(5",
                                       "Date(05)",
                                       "nul",
                                       "Document {\"a\":1,\"a\":2}",
                                       "Document {\"a\":5.0}",
                                       "\"a",
                                       "\"\\u0041\"",
                                       "[1]",
                                       "Binary(0,\"A\")",
                                       "Binary(0,\"AB==\")",
                                       "Binary(4,\"EjRWeBI0VngSNFZ4EjRWeA==\")",
                                       "Document {\"a\":1} ",
                                       "Timestamp(4294967296,0)",
                                       "MinKey"};
    for (size_t i = 0; i < MF_ARRAY_LEN(none); i++) {
        struct mf_value text = {MF_TEXT, (uint32_t)strlen(none[i]), none[i]}, back;
        if (mf_bson_id_document(&d.arena, &text, &back, &d.err) == 0) {
            fail_msg("%s", none[i]);
        }
        assert_int_equal(d.err.cls, MF_ROW);
    }
    doc_close(&d);
}

static void keys_of_rows(void **state)
{
    (void)state;
    struct doc d;
    struct mf_value text, again;
    struct mf_row row;
    doc_open(&d, "map:\n  - collection: d.c\n    columns:\n      - {path: _id.b, type: string(3)}\n      - {path: x, "
                 "type: int, missing: null}\n      - {path: _id.a, type: int}\n"
                 "    tables:\n      - {path: t, to: ts, missing: empty, columns: [{path: \".\", type: int}]}\n");
    struct mf_value v = doc_of(&d, "{\"_id\":{\"b\":\"k\",\"a\":{\"$numberDouble\":\"5.0\"}},\"t\":[1]}");
    doc_good(&d, &v, "c: k|NULL|5; ts: k|5|0|1");
    assert_mf_ok(mf_bson_id_of(&d.arena, &v, &text, &d.err), &d.err);
    assert_mf_ok(mf_shred_key_row(d.c, &d.arena, &text, &row, &d.err), &d.err);
    assert_int_equal(row.values[1].kind, MF_UNCHANGED);
    assert_mf_ok(mf_shred_row_id(d.c, &d.arena, 0, &row, &again, &d.err), &d.err);
    assert_true(mf_value_equal(&text, &again));
    struct mf_value child[] = {row.values[0], row.values[2], {MF_TEXT, 1, "0"}, {MF_TEXT, 1, "1"}};
    assert_mf_ok(mf_shred_row_id(d.c, &d.arena, 1, &(struct mf_row){.n = 4, .values = child}, &again, &d.err), &d.err);
    assert_true(mf_value_equal(&text, &again));
    doc_bad(&d, "{\"_id\":{\"a\":5,\"b\":\"k\"}}", "the fields of the _id are in another order than in the map");
    text = (struct mf_value){MF_TEXT, 1, "5"};
    assert_mf_fails(mf_shred_key_row(d.c, &d.arena, &text, &row, &d.err), &d.err, MF_ROW,
                    "_id: 5 (int32): the map says a sub-document");
    doc_close(&d);
    doc_open(&d, "map:\n  - collection: d.c\n    columns:\n      - {path: _id, type: id(100)}\n");
    doc_good_json(&d, "{\"_id\":{\"b\":\"k\",\"a\":5.0}}", "c: Document {\"b\":\"k\",\"a\":5}");
    doc_good_json(&d, "{\"_id\":\"5\"}", "c: \"5\"");
    doc_close(&d);
}

/* {"_id": "xx…x"} of n letters. */
static struct mf_value long_id(struct doc *d, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = (size_t)32 << 20};
    mf_buf_puts(&b, "{\"_id\":\"");
    for (size_t i = 0; i < n; i++) {
        mf_buf_putc(&b, 'x');
    }
    mf_buf_puts(&b, "\"}");
    return doc_of(d, mf_buf_str(&b));
}

static void an_id_may_be_too_long(void **state)
{
    (void)state;
    struct doc d;
    struct mf_value text;
    doc_open(&d, "map:\n  - {collection: d.c, columns: [{path: _id, type: string}]}\n");
    const struct mf_value most = long_id(&d, MF_ID_BYTES - 2), more = long_id(&d, MF_ID_BYTES - 1),
                          far = long_id(&d, 15000000);
    assert_mf_ok(mf_bson_id_of(&d.arena, &most, &text, &d.err), &d.err);
    assert_int_equal(text.len, MF_ID_BYTES);
    assert_mf_fails(mf_bson_id_of(&d.arena, &more, &text, &d.err), &d.err, MF_ROW,
                    "_id (string): it is longer than 64 KB");
    assert_mf_fails(mf_bson_id_of(&d.arena, &far, &text, &d.err), &d.err, MF_ROW,
                    "_id (string): it is longer than 64 KB");
    doc_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(floats_and_decimals),
        cmocka_unit_test(long_decimals),
        cmocka_unit_test(texts_and_bytes),
        cmocka_unit_test(moments),
        cmocka_unit_test(whatever),
        cmocka_unit_test(no_number_in_so_many_digits),
        cmocka_unit_test(missing_null_and_present),
        cmocka_unit_test(merged),
        cmocka_unit_test(ids),
        cmocka_unit_test(keys_of_rows),
        cmocka_unit_test(an_id_may_be_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
