/* Ranges of ids: bounds as texts, and the filters between them. */
#include "mf_test.h"

#include "connector/mongodb/bound.h"
#include "connector/mongodb/plan.h"

#include <math.h>
#include <string.h>

static bool put(enum mongo_speaks who, const char *json, char out[MF_CHUNK_BOUND])
{
    bson_error_t e;
    bson_iter_t id;
    bson_t *b = bson_new_from_json((const uint8_t *)json, -1, &e);
    assert_non_null(b);
    assert_true(bson_iter_init_find(&id, b, "_id"));
    bool fits = mongo_bound_put(who, &id, out);
    bson_destroy(b);
    return fits;
}

static void types_have_the_order_of_the_server(void **state)
{
    static const bson_type_t order[] = {
        BSON_TYPE_MINKEY,    BSON_TYPE_NULL,      BSON_TYPE_DOUBLE,     BSON_TYPE_UTF8,
        BSON_TYPE_DOCUMENT,  BSON_TYPE_ARRAY,     BSON_TYPE_BINARY,     BSON_TYPE_OID,
        BSON_TYPE_BOOL,      BSON_TYPE_DATE_TIME, BSON_TYPE_TIMESTAMP,  BSON_TYPE_REGEX,
        BSON_TYPE_DBPOINTER, BSON_TYPE_CODE,      BSON_TYPE_CODEWSCOPE, BSON_TYPE_MAXKEY};
    (void)state;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        assert_int_equal(mongo_bracket(order[i]), i);
    }
    assert_int_equal(mongo_bracket(BSON_TYPE_INT32), mongo_bracket(BSON_TYPE_DECIMAL128));
    assert_int_equal(mongo_bracket(BSON_TYPE_INT64), mongo_bracket(BSON_TYPE_DOUBLE));
    assert_int_equal(mongo_bracket(BSON_TYPE_SYMBOL), mongo_bracket(BSON_TYPE_UTF8));
    assert_int_equal(mongo_bracket(BSON_TYPE_UNDEFINED), mongo_bracket(BSON_TYPE_NULL));
    assert_int_equal(mongo_bracket(BSON_TYPE_EOD), -1);
}

static void bounds_are_read_back_as_they_were(void **state)
{
    static const char *const ids[] = {
        "{\"_id\":5}",
        "{\"_id\":{\"$numberLong\":\"9007199254740993\"}}",
        "{\"_id\":0.1}",
        "{\"_id\":{\"$numberDecimal\":\"1.50\"}}",
        "{\"_id\":\"a\\\"b\\u00e9\\\\\"}",
        "{\"_id\":{\"$oid\":\"0123456789abcdef01234567\"}}",
        "{\"_id\":{\"$date\":{\"$numberLong\":\"-5\"}}}",
        "{\"_id\":{\"$timestamp\":{\"t\":4294967295,\"i\":7}}}",
        "{\"_id\":{\"$binary\":{\"base64\":\"AQID\",\"subType\":\"80\"}}}",
        "{\"_id\":{\"a\":1,\"b\":{\"c\":[1,\"x\"]}}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char out[MF_CHUNK_BOUND], again[MF_CHUNK_BOUND];
        struct mf_error err = {0};
        bson_t b;
        assert_true(put(MONGO_GENUINE, ids[i], out));
        assert_mf_ok(mongo_bound_get(out, &b, &err), &err);
        bson_iter_t id;
        assert_true(bson_iter_init_find(&id, &b, "_id") && mongo_bound_put(MONGO_GENUINE, &id, again));
        assert_string_equal(out, again);
        bson_destroy(&b);
    }
}

static void what_makes_no_bound(void **state)
{
    static const char *const ids[] = {
        "{\"_id\":null}",
        "{\"_id\":true}",
        "{\"_id\":{\"$numberDouble\":\"NaN\"}}",
        "{\"_id\":{\"$numberDouble\":\"-Infinity\"}}",
        "{\"_id\":{\"$numberDecimal\":\"NaN\"}}",
        "{\"_id\":{\"$minKey\":1}}",
    };
    static char out[MF_CHUNK_BOUND];
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        assert_false(put(MONGO_GENUINE, ids[i], out));
    }
    assert_false(put(MONGO_OTHER, "{\"_id\":{\"$binary\":{\"base64\":\"AQID\",\"subType\":\"00\"}}}", out));
    char *longer = calloc(1, MF_CHUNK_BOUND + 100);
    memset(longer, 'x', MF_CHUNK_BOUND);
    memcpy(longer, "{\"_id\":\"", 8);
    memcpy(longer + MF_CHUNK_BOUND, "\"}", 3);
    assert_false(put(MONGO_GENUINE, longer, out));
    free(longer);
    /* A document that its own text would make something else of. */
    bson_t b = BSON_INITIALIZER, inner;
    bson_iter_t id;
    BSON_APPEND_DOCUMENT_BEGIN(&b, "_id", &inner);
    BSON_APPEND_UTF8(&inner, "$oid", "0123456789abcdef01234567");
    bson_append_document_end(&b, &inner);
    assert_true(bson_iter_init_find(&id, &b, "_id"));
    assert_false(mongo_bound_put(MONGO_GENUINE, &id, out));
    bson_destroy(&b);
}

static void what_is_no_bound_is_refused(void **state)
{
    static const char *const texts[] = {"", "5", "{", "{}", "{\"id\":1}", "{\"_id\":1,\"x\":2}", "{\"_id\":}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct mf_error err = {0};
        bson_t b;
        assert_mf_fails(mongo_bound_get(texts[i], &b, &err), &err, MF_FATAL, "no bound");
        assert_string_equal(err.code, "MFCHUNK");
    }
}

static void expect(enum mongo_speaks who, const char *lower, const char *upper, const char *expected)
{
    struct mf_chunk c = {.has_lower = lower != NULL, .has_upper = upper != NULL};
    struct mf_error err = {0};
    bson_t filter = BSON_INITIALIZER;
    snprintf(c.lower, sizeof c.lower, "%s", lower ? lower : "");
    snprintf(c.upper, sizeof c.upper, "%s", upper ? upper : "");
    assert_mf_ok(mongo_range_filter(who, &c, &filter, &err), &err);
    char *text = bson_as_relaxed_extended_json(&filter, NULL);
    assert_string_equal(text, expected);
    bson_free(text);
    bson_destroy(&filter);
}

static void a_range_within_a_type_is_plain(void **state)
{
    (void)state;
    expect(MONGO_GENUINE, NULL, NULL, "{ }");
    expect(MONGO_GENUINE, "{\"_id\":1}", "{\"_id\":2.5}", "{ \"_id\" : { \"$gte\" : 1, \"$lt\" : 2.5 } }");
    expect(MONGO_GENUINE, "{\"_id\":\"a\"}", "{\"_id\":\"b\"}", "{ \"_id\" : { \"$gte\" : \"a\", \"$lt\" : \"b\" } }");
}

static void a_range_over_types_names_those_between(void **state)
{
    (void)state;
    expect(MONGO_GENUINE, "{\"_id\":1}", "{\"_id\":{\"$oid\":\"0123456789abcdef01234567\"}}",
           "{ \"$or\" : [ { \"_id\" : { \"$gte\" : 1 } }, { \"_id\" : { \"$type\" : [ 2, 14, 3, 4, 5 ] } },"
           " { \"_id\" : { \"$lt\" : { \"$oid\" : \"0123456789abcdef01234567\" } } } ] }");
    expect(MONGO_GENUINE, "{\"_id\":1}", "{\"_id\":\"a\"}",
           "{ \"$or\" : [ { \"_id\" : { \"$gte\" : 1 } }, { \"_id\" : { \"$lt\" : \"a\" } } ] }");
}

static void open_ends_have_every_other_type(void **state)
{
    (void)state;
    expect(MONGO_GENUINE, NULL, "{\"_id\":\"a\"}",
           "{ \"$or\" : [ { \"_id\" : { \"$type\" : [ -1, 6, 10, 1, 16, 18, 19 ] } }, { \"_id\" : { \"$lt\" : \"a\" } "
           "} ] }");
    expect(MONGO_GENUINE, "{\"_id\":\"a\"}", NULL,
           "{ \"$or\" : [ { \"_id\" : { \"$gte\" : \"a\" } }, { \"_id\" : { \"$type\" : [ 3, 4, 5, 7, 8, 9, 17, 11, "
           "12, 13, 15, 127 ] } } ] }");
    expect(MONGO_FERRET, "{\"_id\":\"a\"}", NULL,
           "{ \"$or\" : [ { \"_id\" : { \"$gte\" : \"a\" } }, { \"_id\" : { \"$type\" : [ 3, 5, 7, 8, 9, 17 ] } } ] }");
}

/* It comes before all other numbers, and no comparison finds it. */
static void nan_is_in_the_chunk_of_the_least_numbers(void **state)
{
    (void)state;
    expect(MONGO_GENUINE, NULL, "{\"_id\":1}",
           "{ \"$or\" : [ { \"_id\" : { \"$type\" : [ -1, 6, 10 ] } }, { \"_id\" : { \"$numberDouble\" : \"NaN\" } },"
           " { \"_id\" : { \"$lt\" : 1 } } ] }");
    expect(MONGO_FERRET, NULL, "{\"_id\":1}",
           "{ \"$or\" : [ { \"_id\" : { \"$type\" : [ 10 ] } }, { \"_id\" : { \"$lt\" : 1 } } ] }");
    expect(MONGO_OTHER, "{\"_id\":1}", "{\"_id\":2}",
           "{ \"_id\" : { \"$gte\" : 1, \"$lt\" : 2, \"$ne\" : { \"$numberDouble\" : \"NaN\" } } }");
}

static void bounds_the_wrong_way_round(void **state)
{
    struct mf_chunk c = {.has_lower = true, .has_upper = true, .lower = "{\"_id\":\"a\"}", .upper = "{\"_id\":1}"};
    struct mf_error err = {0};
    bson_t filter = BSON_INITIALIZER;
    (void)state;
    assert_mf_fails(mongo_range_filter(MONGO_GENUINE, &c, &filter, &err), &err, MF_FATAL, "wrong way round");
    bson_destroy(&filter);
}

static void quantiles(void **state)
{
    static const struct {
        uint64_t ids, chunks;
    } cases[] = {{1, 1}, {10, 1}, {10, 2}, {10, 10}, {1000, 7}, {100000, 4}, {3, 5}};
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        uint64_t bounds = 0, last = 0, widest = 0;
        for (uint64_t i = 0; i < cases[k].ids; i++) {
            if (mongo_is_bound(i, cases[k].ids, cases[k].chunks)) {
                bounds++;
                widest = i - last > widest ? i - last : widest;
                last = i;
            }
        }
        uint64_t most = cases[k].chunks < cases[k].ids ? cases[k].chunks : cases[k].ids;
        assert_int_equal(bounds, most - 1);
        assert_true(widest <= cases[k].ids / most + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_the_order_of_the_server),
        cmocka_unit_test(bounds_are_read_back_as_they_were),
        cmocka_unit_test(what_makes_no_bound),
        cmocka_unit_test(what_is_no_bound_is_refused),
        cmocka_unit_test(a_range_within_a_type_is_plain),
        cmocka_unit_test(a_range_over_types_names_those_between),
        cmocka_unit_test(open_ends_have_every_other_type),
        cmocka_unit_test(nan_is_in_the_chunk_of_the_least_numbers),
        cmocka_unit_test(bounds_the_wrong_way_round),
        cmocka_unit_test(quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
