/* What is counted of documents, path by path. */
#include "infer_data.h"

#include "bson/propose.h"

#include <math.h>
#include <stdio.h>

static void facts(struct mf_infer *f, const char *path, const char *want)
{
    struct mf_buf b = {.max = 4096};
    mf_infer_put_facts(&b, at(f, "c", path));
    assert_string_equal(mf_buf_str(&b), want);
    mf_buf_free(&b);
}

static void test_types_missing_and_null(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    for (int i = 0; i < 10; i++) {
        bson_t *b = BCON_NEW("_id", BCON_INT32(i));
        if (i < 7) {
            BSON_APPEND_INT32(b, "n", i % 3);
        } else if (i < 9) {
            BSON_APPEND_NULL(b, "n");
        }
        if (i == 4) {
            BSON_APPEND_UTF8(b, "s", "h\xc3\xa9llo");
        }
        add(f, "c", b);
    }
    facts(f, "n", "null 2, int32 7; missing 1; 0 to 2; 3 different");
    facts(f, "s", "string 1; missing 9; up to 5 characters (6 bytes); 1 different");
    facts(f, "_id", "int32 10; 0 to 9; all different");
    assert_int_equal(mf_infer_unique(at(f, "c", "n")), MF_INFER_REPEATS);
    assert_int_equal(mf_infer_unique(at(f, "c", "_id")), MF_INFER_UNIQUE);
    mf_infer_free(f);
}

static void test_missing_is_relative(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    add(f, "c", BCON_NEW("a", "{", "x", BCON_INT32(1), "}"));
    add(f, "c", BCON_NEW("a", "{", "}"));
    add(f, "c", BCON_NEW("b", BCON_INT32(1)));
    facts(f, "a", "document 2; missing 1; {} 1");
    facts(f, "a.x", "int32 1; missing 1; 1 to 1; 1 different");
    assert_int_equal(at(f, "c", "a")->objects.fields, 1);
    mf_infer_free(f);
}

static void test_numbers(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    bson_decimal128_t d, nan;
    assert_true(bson_decimal128_from_string("12345.678", &d));
    assert_true(bson_decimal128_from_string("NaN", &nan));
    add(f, "c", BCON_NEW("n", BCON_INT64(INT64_MAX), "d", BCON_DECIMAL128(&d), "f", BCON_DOUBLE(0.5)));
    add(f, "c", BCON_NEW("n", BCON_INT32(-5), "d", BCON_DECIMAL128(&nan), "f", BCON_DOUBLE(3)));
    add(f, "c", BCON_NEW("n", BCON_DOUBLE(2.0), "d", BCON_DOUBLE(0.1), "f", BCON_DOUBLE(-0.0)));
    add(f, "c", BCON_NEW("n", BCON_DOUBLE(NAN), "f", BCON_DOUBLE(INFINITY)));
    facts(f, "n",
          "double 2, int32 1, int64 1; -5 to 9223372036854775807; doubles 2 to 2, 1 whole; NaN or infinite 1; all "
          "different");
    facts(f, "d",
          "double 1, decimal128 2; missing 1; 0.1 to 0.1; NaN or infinite 1; 5 digits before the point, 3 behind; "
          "all different");
    facts(f, "f", "double 4; -0 to 3, 1 whole; NaN or infinite 1; -0 1; all different");
    assert_int_equal(at(f, "c", "n")->numbers.not_doubles, 1);
    assert_int_equal(at(f, "c", "d")->numbers.not_decimals, 1); /* 0.1 has 55 digits */
    assert_int_equal(at(f, "c", "f")->numbers.not_decimals, 0);
    assert_int_equal(at(f, "c", "f")->numbers.double_behind, 1);
    mf_infer_free(f);
}

/* The digits of a double are never taken for fewer than there are. */
static void test_digits_of_doubles(void **state)
{
    (void)state;
    static const struct {
        double v;
        unsigned before, behind;
        bool decimal;
    } cases[] = {{1, 1, 0, true},      {9, 1, 0, true},     {10, 2, 0, true},        {0.5, 0, 1, true},
                 {0.125, 0, 3, true},  {1e22, 23, 0, true}, {1e34, 35, 0, false},    {1e-3, 0, 60, false},
                 {123.75, 3, 2, true}, {-0.25, 0, 2, true}, {5e-324, 0, 1074, false}};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct mf_infer *f = mf_infer_new(NULL);
        add(f, "c", BCON_NEW("f", BCON_DOUBLE(cases[i].v)));
        const struct mf_infer_numbers *n = &at(f, "c", "f")->numbers;
        assert_true(n->double_before >= cases[i].before && n->double_before <= cases[i].before + 1);
        assert_int_equal(n->double_behind, cases[i].behind);
        assert_int_equal(n->not_decimals, !cases[i].decimal);
        mf_infer_free(f);
    }
}

static void test_texts(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    char text[2001];
    memset(text, 'x', 2000);
    for (int i = 0; i < 1000; i++) {
        text[2000] = '\0';
        bson_t *b = bson_new();
        bson_append_utf8(b, "s", 1, text, i < 995 ? 10 + i % 3 : 2000);
        bson_append_utf8(b, "nul", 3, i == 3 ? "a\0b" : "", i == 3 ? 3 : 0);
        add(f, "c", b);
    }
    facts(f, "s", "string 1000; up to 2000 characters, 99 % up to 12; 4 different");
    facts(f, "nul", "string 1000; up to 3 characters, 99 % up to 0; empty 999; with a NUL 1; 2 different");
    mf_infer_free(f);
}

static void test_dates_and_binaries(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    const uint8_t bytes[17] = {1, 2, 3};
    add(f, "c",
        BCON_NEW("d", BCON_DATE_TIME(0), "b", BCON_BIN(BSON_SUBTYPE_UUID, bytes, 16), "u",
                 BCON_BIN(BSON_SUBTYPE_UUID, bytes, 17)));
    add(f, "c",
        BCON_NEW("d", BCON_DATE_TIME(INT64_C(253402300800000)), "b", BCON_BIN(BSON_SUBTYPE_BINARY, bytes, 3), "u",
                 BCON_BIN(0x80, bytes, 1)));
    facts(f, "d", "date 2; 1970-01-01 00:00:00 to 253402300800000 ms; beyond SQL 1; all different");
    facts(f, "b", "binary 2; subtype 0 1; subtype 4 1; up to 16 bytes; all different");
    facts(f, "u", "binary 2; subtype 4 1; other subtypes 1; up to 17 bytes; all different");
    assert_int_equal(at(f, "c", "u")->binaries.odd_uuids, 1);
    mf_infer_free(f);
}

static void test_arrays(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    add(f, "c", BCON_NEW("a", "[", BCON_INT32(1), BCON_UTF8("x"), "]", "o", "[", "{", "q", BCON_INT32(1), "}", "]"));
    add(f, "c", BCON_NEW("a", "[", "]", "o", "[", "{", "q", BCON_INT32(1), "}", "{", "r", BCON_INT32(2), "}", "]"));
    add(f, "c", BCON_NEW("a", "[", "[", BCON_INT32(1), "]", "]", "o", BCON_NULL));
    facts(f, "a", "array 3; 0 to 2 elements, 1.0 on average; empty arrays 1");
    facts(f, "a[]",
          "string 1, array 1, int32 1; 1 to 1; up to 1 characters; 1 to 1 elements, 1.0 on average; 2 different");
    facts(f, "a[][]", "int32 1; 1 to 1; 1 different");
    facts(f, "o", "array 2, null 1; 1 to 2 elements, 1.5 on average");
    facts(f, "o[].q", "int32 2; missing 1; 1 to 1; 1 different");
    assert_int_equal(mf_infer_collection(f, "shop", "c")->depth, 3);
    /* What a document has more than once is not asked to be unique. */
    assert_int_equal(mf_infer_unique(at(f, "c", "o[].r")), MF_INFER_REPEATS);
    mf_infer_free(f);
}

static void test_odd_names(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    add(f, "c", BCON_NEW("a.b", "{", "$x", BCON_INT32(1), "", BCON_INT32(2), "}", "plain", BCON_INT32(3)));
    assert_true(mf_infer_odd_name(at(f, "c", "\"a.b\"")));
    assert_true(mf_infer_odd_name(at(f, "c", "\"a.b\".$x")));
    assert_true(mf_infer_odd_name(at(f, "c", "\"a.b\".\"\"")));
    assert_false(mf_infer_odd_name(at(f, "c", "plain")));
    assert_false(mf_infer_odd_name(mf_infer_collection(f, "shop", "c")->root));
    mf_infer_free(f);
}

static void test_faults(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    bson_t *b = BCON_NEW("o", "[", "{", "s", "good", "}", "]");
    char *text = memmem((char *)bson_get_data(b), b->len, "good", 4);
    text[1] = (char)0xff;
    add(f, "c", bson_copy(b));
    add(f, "c", b);
    add(f, "c", BCON_NEW("x", BCON_INT32(1), "x", BCON_INT32(2)));
    const struct mf_value cut = {MF_BINARY, 3, "abc"}, none = {.kind = MF_NULL};
    struct mf_infer_collection *c = mf_infer_collection(f, "shop", "c");
    mf_infer_add(f, c, &cut);
    mf_infer_add(f, c, &none);
    assert_int_equal(c->documents, 0);
    assert_int_equal(c->refused, 5);
    assert_int_equal(c->nfaults, 4);
    assert_string_equal(c->faults[0].where, "o.[].s");
    assert_non_null(strstr(c->faults[0].why, "UTF-8"));
    assert_int_equal(c->faults[0].documents, 2);
    assert_string_equal(c->faults[1].where, "x");
    mf_infer_free(f);
}

/* ---- how many different ---- */

static void test_distinct_is_estimated(void **state)
{
    (void)state;
    struct mf_infer_options o = {.unique_bytes = 1 << 16};
    struct mf_infer *f = mf_infer_new(&o);
    bool exact;
    for (int i = 0; i < 50000; i++) {
        add(f, "c", BCON_NEW("k", BCON_INT32(i % 200), "m", BCON_INT32(i % 20000), "u", BCON_INT32(i)));
    }
    assert_int_equal(mf_infer_distinct(at(f, "c", "k"), &exact), 200);
    assert_true(exact);
    assert_in_range(mf_infer_distinct(at(f, "c", "m"), &exact), 18000, 22000);
    assert_false(exact);
    assert_in_range(mf_infer_distinct(at(f, "c", "u"), &exact), 45000, 50000);
    assert_int_equal(mf_infer_unique(at(f, "c", "k")), MF_INFER_REPEATS);
    assert_int_equal(mf_infer_unique(at(f, "c", "u")), MF_INFER_GIVEN_UP); /* there was no room */
    mf_infer_free(f);
    f = mf_infer_new(NULL);
    for (int i = 0; i < 50000; i++) {
        add(f, "c", BCON_NEW("u", BCON_INT32(i), "r", BCON_INT32(i == 49999 ? 1000 : i)));
    }
    assert_int_equal(mf_infer_unique(at(f, "c", "u")), MF_INFER_UNIQUE);
    assert_int_equal(mf_infer_distinct(at(f, "c", "u"), &exact), 50000);
    assert_int_equal(mf_infer_unique(at(f, "c", "r")), MF_INFER_REPEATS);
    mf_infer_free(f);
}

/* ---- merging ---- */

static bson_t *mixed(int i)
{
    bson_t *b = BCON_NEW("_id", BCON_INT32(i), "u", BCON_INT32(i * 7));
    char key[24];
    if (i % 3) {
        BSON_APPEND_UTF8(b, "s", i % 5 ? "abc" : "");
    }
    if (i % 4 == 0) {
        BSON_APPEND_DOUBLE(b, "n", i / 8.0);
    } else if (i % 4 == 1) {
        BSON_APPEND_INT64(b, "n", i);
    }
    BCON_APPEND(b, "a", "[", "{", "x", BCON_INT32(i % 10), "}", "]");
    snprintf(key, sizeof key, "%d", 100000 + i);
    bson_t map;
    BSON_APPEND_DOCUMENT_BEGIN(b, "m", &map);
    BSON_APPEND_INT32(&map, key, i);
    bson_append_document_end(b, &map);
    return b;
}

static void same_facts(struct mf_infer *a, struct mf_infer *b, const char *path)
{
    struct mf_buf x = {.max = 4096}, y = {.max = 4096};
    mf_infer_put_facts(&x, at(a, "c", path));
    mf_infer_put_facts(&y, at(b, "c", path));
    assert_string_equal(mf_buf_str(&x), mf_buf_str(&y));
    mf_buf_free(&x);
    mf_buf_free(&y);
}

/* Several readers' parts, merged, are what one reader sees of all. */
static void test_merged_is_whole(void **state)
{
    (void)state;
    struct mf_infer *whole = mf_infer_new(NULL), *parts[3];
    for (int i = 0; i < 3; i++) {
        parts[i] = mf_infer_new(NULL);
    }
    for (int i = 0; i < 3000; i++) {
        add(whole, "c", mixed(i));
        add(parts[i % 3], "c", mixed(i));
    }
    mf_infer_merge(parts[0], parts[1]);
    mf_infer_merge(parts[0], parts[2]);
    mf_infer_finish(whole);
    mf_infer_finish(parts[0]);
    static const char *const paths[] = {"", "_id", "u", "s", "n", "a", "a[]", "a[].x", "m", "m.*"};
    for (size_t i = 0; i < MF_ARRAY_LEN(paths); i++) {
        same_facts(whole, parts[0], paths[i]);
    }
    assert_int_equal(mf_infer_paths(whole), mf_infer_paths(parts[0]));
    assert_int_equal(mf_infer_collection(parts[0], "shop", "c")->documents, 3000);
    for (int i = 0; i < 3; i++) {
        mf_infer_free(parts[i]);
    }
    mf_infer_free(whole);
}

static void test_merge_finds_repeats(void **state)
{
    (void)state;
    struct mf_infer *a = mf_infer_new(NULL), *b = mf_infer_new(NULL);
    for (int i = 0; i < 1000; i++) {
        add(a, "c", BCON_NEW("u", BCON_INT32(i)));
        add(b, "c", BCON_NEW("u", BCON_INT32(999 + i)));
    }
    mf_infer_merge(a, b);
    assert_int_equal(mf_infer_unique(at(a, "c", "u")), MF_INFER_REPEATS);
    mf_infer_free(a);
    mf_infer_free(b);
}

/* ---- keys that are data ---- */

static void test_data_as_keys(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    size_t most = 0;
    for (int i = 0; i < 5000; i++) {
        char key[3][32];
        for (int k = 0; k < 3; k++) {
            snprintf(key[k], sizeof key[k], "key%c%d", 'a' + i % 26, i * 3 + k);
        }
        add(f, "c",
            BCON_NEW("m", "{", key[0], BCON_INT32(i), key[1], BCON_INT32(1), "}", "d", "{", key[2], "{", "x",
                     BCON_INT32(1), "}", "}", "w", "{", "red", BCON_INT32(1), "green", BCON_INT32(1), "}"));
        most = mf_infer_paths(f) > most ? mf_infer_paths(f) : most;
    }
    mf_infer_finish(f);
    assert_true(most < 300);
    assert_int_equal(at(f, "c", "m.*")->there, 10000);
    assert_in_range(mf_infer_distinct_keys(at(f, "c", "m.*")), 9000, 11000);
    assert_int_equal(at(f, "c", "m.*")->key_chars, 9);
    assert_int_equal(at(f, "c", "d.*.x")->there, 5000);
    assert_int_equal(mf_infer_missing(at(f, "c", "d.*.x")), 0);
    assert_int_equal(at(f, "c", "w.red")->there, 5000);
    mf_infer_free(f);
}

/* Few documents, but the names say it. */
static void test_names_that_are_data(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    add(f, "c",
        BCON_NEW("sales", "{", "2024", BCON_INT32(1), "2025", BCON_INT32(2), "2026", BCON_INT32(2), "}", "_id", "{",
                 "1", BCON_INT32(1), "2", BCON_INT32(2), "3", BCON_INT32(3), "}"));
    mf_infer_finish(f);
    assert_int_equal(at(f, "c", "sales.*")->there, 3);
    assert_int_equal(at(f, "c", "_id.1")->there, 1);
    mf_infer_free(f);
}

static void test_paths_are_bounded(void **state)
{
    (void)state;
    struct mf_infer_options o = {.paths = 200};
    struct mf_infer *f = mf_infer_new(&o);
    for (int i = 0; i < 3000; i++) {
        char a[24], b[24], c[24];
        snprintf(a, sizeof a, "f%d", i);
        snprintf(b, sizeof b, "g%d", i % 50);
        snprintf(c, sizeof c, "h%d", i % 7);
        add(f, "c",
            BCON_NEW(a, BCON_INT32(i), "deep", "{", b, "{", c, "[", "{", a, BCON_UTF8("x"), "}", "]", "}", "}"));
        assert_true(mf_infer_paths(f) <= 201);
    }
    mf_infer_finish(f);
    assert_true(mf_infer_collection(f, "shop", "c")->root->others > 1000);
    assert_int_equal(mf_infer_collection(f, "shop", "c")->documents, 3000);
    mf_infer_free(f);
}

/* ---- references ---- */

static int find_even(void *ctx, const char *database, const char *collection, const struct mf_value *ids, size_t n,
                     size_t *ret_found, struct mf_error *err)
{
    (void)err;
    assert_string_equal(database, "shop");
    *ret_found = 0;
    for (size_t i = 0; i < n; i++) {
        bson_t b;
        bson_iter_t it;
        assert_true(bson_init_static(&b, (const uint8_t *)ids[i].data, ids[i].len));
        assert_true(bson_iter_init_find(&it, &b, "_id"));
        *ret_found += mf_streq(collection, "users") && bson_iter_as_int64(&it) < 10;
    }
    ++*(int *)ctx;
    return 0;
}

static void test_references(void **state)
{
    (void)state;
    struct mf_infer *f = mf_infer_new(NULL);
    struct mf_infer_references r = {0};
    struct mf_error err;
    int asked = 0;
    for (int i = 0; i < 12; i++) {
        add(f, "users", BCON_NEW("_id", BCON_INT32(i)));
        add(f, "orders",
            BCON_NEW("_id", BCON_INT32(i), "userId", BCON_INT64(i), "count", BCON_INT32(i), "lines", "[", "{",
                     "user_id", BCON_INT32(i % 3), "}", "]"));
    }
    assert_mf_ok(mf_infer_refer(f, find_even, &asked, &r, &err), &err);
    assert_int_equal(asked, 2); /* `count` has no name of a collection, and numbers alone say nothing */
    assert_int_equal(r.n, 2);
    assert_string_equal(r.all[0].from->name, "orders");
    assert_string_equal(r.all[0].to->name, "users");
    assert_ptr_equal(r.all[0].path, at(f, "orders", "userId"));
    assert_true(r.all[0].named);
    assert_int_equal(r.all[0].looked, 12);
    assert_int_equal(r.all[0].orphans, 2);
    assert_int_equal(r.all[1].orphans, 0);
    mf_infer_references_free(&r);
    mf_infer_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_missing_and_null),
        cmocka_unit_test(test_missing_is_relative),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_digits_of_doubles),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_dates_and_binaries),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_odd_names),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_distinct_is_estimated),
        cmocka_unit_test(test_merged_is_whole),
        cmocka_unit_test(test_merge_finds_repeats),
        cmocka_unit_test(test_data_as_keys),
        cmocka_unit_test(test_names_that_are_data),
        cmocka_unit_test(test_paths_are_bounded),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
