/* Maps proposed: what is written for what was seen, and that every document it was inferred from is taken by it and comes back. */
#include "doc.h"
#include "infer_data.h"
#include "propose_text.h"

#include <math.h>

/* Of which target; NULL: any. */
static const struct mf_map_target *target;

static void add_json(struct mf_infer *f, const char *collection, const char *json)
{
    bson_error_t e;
    bson_t *b = bson_new_from_json((const uint8_t *)json, -1, &e);
    if (!b) {
        fail_msg("%s: %s", json, e.message);
    }
    add(f, collection, b);
}

/* Of these documents (up to NULL) the proposal has this line, without its comment. */
static void line_is(const char *want, const char *const *documents)
{
    struct mf_infer *f = mf_infer_new(NULL);
    for (; *documents; documents++) {
        add_json(f, "c", *documents);
    }
    char *text = propose(f, target);
    if (!strstr(text, want)) {
        fail_msg("no line \"%s\" in\n%s", want, text);
    }
    free(text);
    mf_infer_free(f);
}
#define LINE(want, ...) line_is(want, (const char *const[]){__VA_ARGS__, NULL})

static void test_types(void **state)
{
    (void)state;
    LINE("{path: v, column: v, type: int32}", "{\"_id\":1,\"v\":5}");
    LINE("{path: v, column: v, type: int64}", "{\"_id\":1,\"v\":{\"$numberLong\":\"5\"}}");
    LINE("{path: v, column: v, type: int}", "{\"_id\":1,\"v\":5}", "{\"_id\":2,\"v\":{\"$numberLong\":\"5\"}}");
    LINE("{path: v, column: v, type: double}", "{\"_id\":1,\"v\":5.5}");
    LINE("{path: v, column: v, type: double, wrong: coerce}", "{\"_id\":1,\"v\":5.5}", "{\"_id\":1,\"v\":5}");
    LINE("{path: v, column: v, type: int, wrong: coerce}", "{\"_id\":1,\"v\":5.0}", "{\"_id\":1,\"v\":5}");
    /* No double is 2^53 + 1, and no whole number 0.5: a decimal has both. */
    LINE("{path: v, column: v, type: \"decimal(21, 2)\", wrong: coerce}", "{\"_id\":1,\"v\":0.5}",
         "{\"_id\":1,\"v\":{\"$numberLong\":\"9007199254740993\"}}");
    LINE("{path: v, column: v, type: json}", "{\"_id\":1,\"v\":0.1}",
         "{\"_id\":1,\"v\":{\"$numberLong\":\"9007199254740993\"}}");
    LINE("{path: v, column: v, type: \"decimal(14, 2)\"}", "{\"_id\":1,\"v\":{\"$numberDecimal\":\"19.99\"}}");
    LINE("{path: v, column: v, type: decimal}", "{\"_id\":1,\"v\":{\"$numberDecimal\":\"NaN\"}}");
    LINE("{path: v, column: v, type: json}", "{\"_id\":1,\"v\":{\"$numberDecimal\":\"-0\"}}");
    LINE("{path: v, column: v, type: string(10)}", "{\"_id\":1,\"v\":\"abc\"}");
    LINE("{path: v, column: v, type: string(20)}", "{\"_id\":1,\"v\":\"abcdefghijklmno\"}");
    LINE("{path: v, column: v, type: bool}", "{\"_id\":1,\"v\":true}");
    LINE("{path: v, column: v, type: date}", "{\"_id\":1,\"v\":{\"$date\":\"2020-01-01T00:00:00Z\"}}");
    LINE("{path: v, column: v, type: json}", "{\"_id\":1,\"v\":{\"$date\":{\"$numberLong\":\"253402300800000\"}}}");
    LINE("{path: v, column: v, type: objectid}", "{\"_id\":1,\"v\":{\"$oid\":\"0123456789abcdef01234567\"}}");
    LINE("{path: v, column: v, type: uuid}",
         "{\"_id\":1,\"v\":{\"$binary\":{\"base64\":\"AAAAAAAAAAAAAAAAAAAAAA==\",\"subType\":\"04\"}}}");
    LINE("{path: v, column: v, type: uuid_legacy}",
         "{\"_id\":1,\"v\":{\"$binary\":{\"base64\":\"AAAAAAAAAAAAAAAAAAAAAA==\",\"subType\":\"03\"}}}");
    LINE("{path: v, column: v, type: binary(10)}",
         "{\"_id\":1,\"v\":{\"$binary\":{\"base64\":\"AAAA\",\"subType\":\"00\"}}}");
    LINE("{path: v, column: v, type: json}",
         "{\"_id\":1,\"v\":{\"$binary\":{\"base64\":\"AAAA\",\"subType\":\"80\"}}}");
    LINE("{path: v, column: v, type: timestamp}", "{\"_id\":1,\"v\":{\"$timestamp\":{\"t\":1,\"i\":2}}}");
    LINE("{path: v, column: v, type: json}",
         "{\"_id\":1,\"v\":{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"\"}}}");
    LINE("{path: v, column: v, type: json}", "{\"_id\":1,\"v\":1}", "{\"_id\":2,\"v\":\"1\"}");
    LINE("{path: v, column: v, type: json}", "{\"_id\":1,\"v\":null}");
}

static int poor(const void *ctx, const struct mf_type *t, struct mf_arena *arena, const struct mf_value *v,
                struct mf_error *err)
{
    (void)ctx, (void)arena;
    bool json = t->kind == MF_KIND_JSON, old = t->kind == MF_KIND_INSTANT && memcmp(v->data, "0", 1) == 0;
    bool word = v->len == 3 && memcmp(v->data, "NaN", 3) == 0, nul = memchr(v->data, 0, v->len);
    return !json && (word || nul || old) ? mf_fail(err, MF_ROW, "MFVALUE", "it has none") : 0;
}

/* What the target has no value for goes to a column that takes it. */
static void test_a_poor_target(void **state)
{
    (void)state;
    const struct mf_map_target one = {poor, NULL};
    static const char *const nul[] = {"{\"_id\":1,\"v\":\"a\\u0000b\"}", NULL};
    line_is("{path: v, column: v, type: string(10)}", nul);
    target = &one;
    line_is("{path: v, column: v, type: json}", nul);
    LINE("{path: v, column: v, type: json}", "{\"_id\":1,\"v\":{\"$numberDouble\":\"NaN\"}}", "{\"_id\":1,\"v\":5.5}");
    LINE("{path: v, column: v, type: double}", "{\"_id\":1,\"v\":{\"$numberDouble\":\"Infinity\"}}");
    LINE("{path: v, column: v, type: json}", "{\"_id\":1,\"v\":{\"$numberDecimal\":\"NaN\"}}");
    LINE("{path: v, column: v, type: date}", "{\"_id\":1,\"v\":{\"$date\":\"2020-01-01T00:00:00Z\"}}");
    LINE("{path: v, column: v, type: json}", "{\"_id\":1,\"v\":{\"$date\":\"0700-01-01T00:00:00Z\"}}");
    target = NULL;
}

static int without_nul(const void *ctx, const struct mf_type *t, struct mf_arena *arena, const struct mf_value *v,
                       struct mf_error *err)
{
    (void)ctx, (void)t, (void)arena;
    return memchr(v->data, 0, v->len) || memmem(v->data, v->len, "\\u0000", 6)
               ? mf_fail(err, MF_ROW, "MFVALUE", "it has none")
               : 0;
}

/* Where not even JSON takes it, the map says what will be refused. */
static void test_a_nul_that_nothing_takes(void **state)
{
    (void)state;
    const struct mf_map_target one = {without_nul, NULL};
    target = &one;
    LINE("      # REFUSED: 1 with a NUL (U+0000) in the text: no column of the target takes one\n"
         "      - {path: v, column: v, type: string(10)}",
         "{\"_id\":1,\"v\":\"a\\u0000b\"}");
    LINE("      # REFUSED: 1 with a NUL (U+0000) in a text of this JSON: no column of the target takes one\n"
         "      - {path: v, column: v, type: json}",
         "{\"_id\":1,\"v\":\"a\\u0000b\"}", "{\"_id\":2,\"v\":3}");
    LINE("      # REFUSED: 2 with a NUL (U+0000) in a text of this JSON: no column of the target takes one\n"
         "      - {path: v, column: v, type: json}",
         "{\"_id\":1,\"v\":[{\"a\":\"\\u0000\"},[\"\\u0000\"]]}", "{\"_id\":2,\"v\":3}");
    target = NULL;
}

static void test_rules(void **state)
{
    (void)state;
    LINE("{path: v, column: v, type: int32, missing: \"null\"}", "{\"_id\":1,\"v\":5}", "{\"_id\":2}");
    LINE("{path: v, column: v, type: int32, null: \"null\"}", "{\"_id\":1,\"v\":5}", "{\"_id\":2,\"v\":null}");
    LINE("{path: v, column: v, type: int32, present: has_v, null: \"null\"}", "{\"_id\":1,\"v\":5}", "{\"_id\":2}",
         "{\"_id\":2,\"v\":null}");
    LINE("{path: a.v, column: a_v, type: int32, missing: \"null\"}", "{\"_id\":1,\"a\":{\"v\":5}}", "{\"_id\":2}");
    LINE("{path: a, present: has_a}", "{\"_id\":1,\"a\":{\"v\":5}}", "{\"_id\":2,\"a\":{}}");
    LINE("{path: a, present: has_a, null: \"null\"}", "{\"_id\":1,\"a\":{\"v\":5}}", "{\"_id\":2,\"a\":null}");
    LINE("{path: a, present: has_a}  # document 1; {} 1", "{\"_id\":1,\"a\":{}}");
    LINE("{path: l, present: has_l}", "{\"_id\":1,\"l\":[1]}", "{\"_id\":2,\"l\":[]}", "{\"_id\":3}");
    LINE("missing: empty", "{\"_id\":1,\"l\":[1]}", "{\"_id\":3}");
    LINE("{path: v, column: v, type: json, missing: \"null\"}", "{\"_id\":1,\"v\":null}", "{\"_id\":2}");
    LINE("{path: v, column: v, type: json}  # array 1; 0 to 0 elements", "{\"_id\":1,\"v\":[]}");
}

static void test_ids(void **state)
{
    (void)state;
    LINE("{path: _id, column: id, type: objectid}", "{\"_id\":{\"$oid\":\"0123456789abcdef01234567\"}}");
    LINE("{path: _id, column: id, type: int}", "{\"_id\":1.0}", "{\"_id\":2}");
    LINE("{path: _id, column: id, type: string(10)}", "{\"_id\":\"ab\"}");
    LINE("{path: _id, column: id, type: id(10)}", "{\"_id\":\"ab\"}", "{\"_id\":2}");
    LINE("{path: _id, column: id, type: id(30)}", "{\"_id\":{\"$date\":\"2020-01-01T00:00:00Z\"}}", "{\"_id\":2}");
    LINE("{path: _id.b, column: id_b, type: string(10)}", "{\"_id\":{\"a\":1,\"b\":\"x\"}}");
    LINE("{path: _id, column: id, type: id(", "{\"_id\":{\"a\":1,\"b\":\"x\"}}", "{\"_id\":{\"b\":\"x\",\"a\":1}}");
    LINE("{path: _id, column: id, type: id(", "{\"_id\":{\"a\":1,\"b\":\"x\"}}", "{\"_id\":{\"a\":1}}");
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } names[] = {{"userName", "user_name"},
                 {"HTTPServer", "http_server"},
                 {"a b--c", "a_b_c"},
                 {"", "field"},
                 {"$$", "field"},
                 {"_class", "class"},
                 {"order66X", "order66_x"},
                 {"h\xc3\xa9llo", "h\xc3\xa9llo"},
                 {"smile\xf0\x9f\x98\x80y", "smile_y"}};
    char out[MF_DOC_NAME], text[201];
    for (size_t i = 0; i < MF_ARRAY_LEN(names); i++) {
        mf_doc_name(names[i].name, strlen(names[i].name), out);
        assert_string_equal(out, names[i].want);
    }
    memset(text, 'x', 200);
    text[200] = '\0';
    mf_doc_name(text, 200, out);
    assert_int_equal(strlen(out), 63);
    LINE("{path: userName, column: user_name_2", "{\"_id\":1,\"user_name\":1,\"userName\":2}");
    LINE("NOTE: user_name and userName: both are \"user_name\" as columns of table c; the second one gets a number",
         "{\"_id\":1,\"user_name\":1,\"userName\":2}");
    LINE("{path: [a.b, \"$c\"], column: a_b_c", "{\"_id\":1,\"a.b\":{\"$c\":1}}");
    LINE("NOTE: 2 names have a dot in them, a $ before them, or are empty, and stand as lists: \"a.b\", \"a.b\".$c",
         "{\"_id\":1,\"a.b\":{\"$c\":1}}");
    LINE("{path: [\"\"], column: field", "{\"_id\":1,\"\":1}");
    LINE("{path: id, column: id_2", "{\"_id\":1,\"id\":1}");
    LINE("position: position_2", "{\"_id\":1,\"l\":[{\"position\":1}]}");
    LINE("parent: [c_id_2]", "{\"_id\":1,\"l\":[{\"c_id\":1}]}");
    LINE("{path: \"true\", column: \"true\"", "{\"_id\":1,\"true\":1}");
}

/* ---- every document comes back ---- */

/* The arena and the map of one collection; documents are kept as they were given. */
struct all {
    struct mf_infer *f;
    bson_t **documents;
    size_t n;
};

static void all_add(struct all *a, bson_t *b)
{
    a->documents = realloc(a->documents, (a->n + 1) * sizeof(bson_t *));
    a->documents[a->n++] = bson_copy(b);
    add(a->f, "c", b);
}

static void all_good(struct all *a)
{
    struct doc d;
    char *text = propose(a->f, target);
    assert_int_equal(mf_infer_collection(a->f, "shop", "c")->refused, 0);
    if (getenv("MF_SHOW")) {
        printf("%s\n", text);
    }
    if (doc_try(&d, text) < 0) {
        fail_msg("%s\n%s", d.err.text, text);
    }
    for (size_t i = 0; i < a->n; i++) {
        const struct mf_value v = {MF_BINARY, a->documents[i]->len, (const char *)bson_get_data(a->documents[i])};
        struct mf_shred_rows rows;
        if (mf_shred_document(d.c, &d.arena, &v, &rows, &d.err) < 0) {
            struct mf_buf b = {.max = 1 << 20};
            mf_bson_put_json(&b, &v, 1 << 16);
            fail_msg("%s\n%s\n%s", d.err.text, mf_buf_str(&b), text);
        }
        doc_good(&d, &v, NULL);
        mf_arena_reset(&d.arena);
    }
    doc_close(&d);
    free(text);
}

static void all_free(struct all *a)
{
    for (size_t i = 0; i < a->n; i++) {
        bson_destroy(a->documents[i]);
    }
    free(a->documents);
    mf_infer_free(a->f);
}

static uint64_t dice_state;
static unsigned dice(unsigned n)
{
    dice_state = dice_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(dice_state >> 33) % n;
}

/* What a field of the collection is: the same each time, so that documents are like each other. */
static unsigned kind_of(const char *key, unsigned salt)
{
    uint64_t h = salt * UINT64_C(0x9e3779b97f4a7c15);
    for (; *key; key++) {
        h = (h ^ (uint8_t)*key) * UINT64_C(0x100000001b3);
    }
    return (unsigned)(h >> 40);
}

static void put_object(bson_t *b, unsigned salt, unsigned depth);

static void put_number(bson_t *b, const char *key, unsigned kinds)
{
    static const double doubles[] = {0, -0.0, 1, 0.5, 0.1, 1e300, -3, 1024.25, NAN, INFINITY, 5e-324};
    static const char *const decimals[] = {"0",   "1.50", "-12345.678", "1E+30", "9.999999999999999999999999999999999",
                                           "NaN", "-0"};
    bson_decimal128_t d;
    unsigned most = kinds & 16 ? 5 : 11; /* as a rule not the awkward ones */
    switch (kinds & 8 ? dice(4) : kinds & 3) {
    case 0:
        BSON_APPEND_INT32(b, key, (int32_t)dice(100) - 50);
        break;
    case 1:
        BSON_APPEND_INT64(b, key, dice(9) ? dice(1000) : kinds & 32 ? INT64_MAX : (INT64_C(1) << 53) + 1);
        break;
    case 2:
        BSON_APPEND_DOUBLE(b, key, doubles[kinds & 64 ? dice(4) : dice(most)]);
        break;
    default:
        bson_decimal128_from_string(decimals[dice(kinds & 16 ? 3 : 7)], &d);
        BSON_APPEND_DECIMAL128(b, key, &d);
    }
}

static void put_text(bson_t *b, const char *key, unsigned kinds)
{
    static const char *const texts[] = {"",
                                        "a",
                                        "h\xc3\xa9llo w\xc3\xb6rld",
                                        "12",
                                        "null",
                                        "a longer text than the others, by far",
                                        "\xf0\x9f\x98\x80"};
    const char *text = texts[dice(7)]; /* libbson's macros take their arguments twice */
    if (kinds & 4 && dice(20) == 0) {
        bson_append_utf8(b, key, -1, "a\0b", 3);
    } else {
        BSON_APPEND_UTF8(b, key, text);
    }
}

static void put_other(bson_t *b, const char *key, unsigned kinds)
{
    static const uint8_t bytes[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    bson_oid_t oid;
    bson_oid_init_from_data(&oid, bytes);
    switch (kinds % 9) {
    case 0:
        BSON_APPEND_BOOL(b, key, dice(2));
        break;
    case 1:
        BSON_APPEND_DATE_TIME(b, key, (int64_t)dice(1000000) * (kinds & 32 ? 1000000000 : 1000000));
        break;
    case 2:
        BSON_APPEND_OID(b, key, &oid);
        break;
    case 3:
        BSON_APPEND_BINARY(b, key, BSON_SUBTYPE_UUID, bytes, kinds & 64 && !dice(5) ? 7 : 16);
        break;
    case 4:
        BSON_APPEND_BINARY(b, key, dice(3) || kinds & 16 ? BSON_SUBTYPE_BINARY : BSON_SUBTYPE_MD5, bytes, dice(16));
        break;
    case 5:
        BSON_APPEND_TIMESTAMP(b, key, dice(1000), dice(10));
        break;
    case 6:
        BSON_APPEND_REGEX(b, key, "a.b", "i");
        break;
    case 7:
        BSON_APPEND_BINARY(b, key, BSON_SUBTYPE_UUID_DEPRECATED, bytes, 16);
        break;
    default:
        BSON_APPEND_MINKEY(b, key);
    }
}

static void put_value(bson_t *b, const char *key, unsigned kinds, unsigned salt, unsigned depth)
{
    bson_t child;
    char at[16];
    switch (depth > 3 ? kinds % 3 : kinds % 7) {
    case 0:
        put_number(b, key, kinds >> 4);
        return;
    case 1:
        put_text(b, key, kinds >> 4);
        return;
    case 2:
        put_other(b, key, kinds >> 4);
        return;
    case 3:
    case 4:
        BSON_APPEND_DOCUMENT_BEGIN(b, key, &child);
        if (kinds & 256) {
            for (unsigned i = dice(4); i > 0; i--) {
                snprintf(at, sizeof at, "%u", 1000 * i + dice(1000));
                put_value(&child, at, kinds >> 5, salt * 7 + 1, depth + 1);
            }
        } else {
            put_object(&child, salt * 5 + kinds, depth + 1);
        }
        bson_append_document_end(b, &child);
        return;
    default:
        BSON_APPEND_ARRAY_BEGIN(b, key, &child);
        for (unsigned i = 0, n = dice(4) ? dice(4) : 0; i < n; i++) {
            snprintf(at, sizeof at, "%u", i);
            if (kinds & 512 && !dice(6)) {
                BSON_APPEND_NULL(&child, at);
            } else {
                put_value(&child, at, kinds >> 3, salt * 3 + 2, depth + 1);
            }
        }
        bson_append_array_end(b, &child);
    }
}

static void put_object(bson_t *b, unsigned salt, unsigned depth)
{
    static const char *const names[] = {"a",        "userName", "user_name", "a.b", "$x",  "",
                                        "position", "c_id",     "value",     "id",  "key", "A"};
    for (unsigned i = 0; i < MF_ARRAY_LEN(names); i++) {
        unsigned kinds = kind_of(names[i], salt);
        if ((kinds >> 3) % 3 == 0) {
            continue; /* none has it */
        }
        if ((kinds & 1024 && dice(4) == 0)) {
            continue;
        }
        if (kinds & 2048 && dice(5) == 0) {
            BSON_APPEND_NULL(b, names[i]);
        } else if ((kinds >> 12) % 12 == 0 && dice(3) == 0) {
            put_value(b, names[i], dice(10000), salt, depth); /* anything */
        } else {
            put_value(b, names[i], kinds, salt + i, depth);
        }
    }
}

static void put_id(bson_t *b, unsigned salt, unsigned i)
{
    bson_t id;
    char text[24];
    snprintf(text, sizeof text, "id %u", i);
    switch (salt % 6) {
    case 0:
        BSON_APPEND_INT32(b, "_id", (int32_t)i);
        break;
    case 1:
        BSON_APPEND_UTF8(b, "_id", text);
        break;
    case 2:
        BSON_APPEND_DOCUMENT_BEGIN(b, "_id", &id);
        BSON_APPEND_INT32(&id, "x", (int32_t)i);
        BSON_APPEND_UTF8(&id, i % 7 || salt & 8 ? "y" : "z", "t");
        bson_append_document_end(b, &id);
        break;
    case 3:
        BSON_APPEND_DOUBLE(b, "_id", i / (salt & 8 ? 1.0 : 4.0));
        break;
    case 4:
        if (i % 2) {
            BSON_APPEND_INT64(b, "_id", i);
        } else {
            BSON_APPEND_UTF8(b, "_id", text);
        }
        break;
    default:
        BSON_APPEND_DATE_TIME(b, "_id", (int64_t)i * 1000);
    }
}

static void test_every_document_comes_back(void **state)
{
    (void)state;
    const char *seeds = getenv("MF_SEEDS");
    unsigned n = seeds ? (unsigned)atoi(seeds) : 300;
    for (unsigned seed = 1; seed <= n; seed++) {
        struct all a = {.f = mf_infer_new(NULL)};
        dice_state = seed;
        for (unsigned i = 0; i < 40; i++) {
            bson_t *b = bson_new();
            put_id(b, kind_of("_id", seed), i);
            put_object(b, seed * 77, 0);
            all_add(&a, b);
        }
        all_good(&a);
        all_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_a_poor_target),
        cmocka_unit_test(test_a_nul_that_nothing_takes),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_document_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
