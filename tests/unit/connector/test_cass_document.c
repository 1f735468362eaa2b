/* Collections and types of users of Cassandra as documents, and back. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/cassandra/canon.h"

#include <string.h>

static struct mf_arena arena;

/* "place" is a type of a user's. */
static const struct cql_type *place(void *ctx, const char *name)
{
    static const struct cql_type text = {.kind = CQL_K_TEXT}, number = {.kind = CQL_K_INT};
    static const struct cql_type *const of_numbers[] = {&number};
    static const struct cql_type numbers = {.kind = CQL_K_LIST, .nsub = 1, .sub = of_numbers};
    static const struct cql_type *const parts[] = {&text, &number, &numbers};
    static const char *const fields[] = {"street", "No", "flats"};
    static const struct cql_type t = {
        .kind = CQL_K_UDT, .nsub = 3, .sub = parts, .fields = fields, .keyspace = "", .name = "place"};
    (void)ctx;
    return mf_streq(name, "place") ? &t : NULL;
}

static const struct {
    const char *type, *document, *own; /* own NULL: the document is refused */
} cases[] = {
    {"frozen<list<int>>", "[3,1,1]", "[3, 1, 1]"},
    {"frozen<list<int>>", "[]", "[]"},
    {"frozen<list<int>>", "[null]", NULL},
    {"frozen<list<int>>", "[2147483648]", NULL},
    {"frozen<set<text>>", "[\"\",\"a'\\\"\\n\",\"null\"]", "{'', 'a''\"\n', 'null'}"},
    {"frozen<set<text>>", "[\"b\",\"a\"]", NULL},
    {"frozen<set<text>>", "[]", "{}"},
    {"frozen<map<text, int>>", "{\"a\":1,\"b'\":-2}", "{'a': 1, 'b''': -2}"},
    {"frozen<map<int, frozen<list<text>>>>", "{\"-1\":[\"x\"],\"2\":[]}", "{-1: ['x'], 2: []}"},
    {"frozen<map<boolean, double>>", "{\"false\":0.5,\"true\":\"-0\"}", "{false: 0.5, true: -0}"},
    {"frozen<list<double>>", "[\"Infinity\",\"NaN\",1e300]", "[Infinity, NaN, 1e300]"},
    {"frozen<list<blob>>", "[\"0x\",\"0x00ff\"]", "[0x, 0x00ff]"},
    {"frozen<set<date>>", "[\"2026-11-28\"]", "{'2026-11-28'}"},
    {"frozen<list<timestamp>>", "[\"2024-03-30 23:30:00.125\"]", "['2024-03-30T23:30:00.125Z']"},
    {"frozen<list<timestamp>>", "[\"2024-03-30 23:30:00.1255\"]", NULL},
    {"frozen<list<decimal>>", "[1.5,-0.001]", "[1.5, -0.001]"},
    {"frozen<list<boolean>>", "[true,false]", "[true, false]"},
    {"frozen<set<uuid>>", "[\"123e4567-e89b-12d3-a456-426614174000\"]", "{123e4567-e89b-12d3-a456-426614174000}"},
    {"frozen<list<frozen<set<int>>>>", "[[1,2],[]]", "[{1, 2}, {}]"},
    {"frozen<place>", "{\"No\":5,\"flats\":[1],\"street\":\"x: 'y'\"}", "{street: 'x: ''y''', \"No\": 5, flats: [1]}"},
    {"frozen<place>", "{}", "{}"},
    {"frozen<place>", "{\"town\":1}", NULL},
    {"frozen<list<frozen<place>>>", "[{\"No\":5},{}]", "[{\"No\": 5}, {}]"},
};

static void both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct mf_error err = {0};
        struct mf_type t;
        struct mf_value in = {.kind = MF_TEXT, .len = (uint32_t)strlen(cases[i].document), .data = cases[i].document};
        struct mf_value own, back;
        assert_true(cass_canon_column(cases[i].type, place, NULL, &arena, &t));
        if (!cases[i].own) {
            assert_mf_fails(cass_from_canon(&t, &arena, &in, &own, &err), &err, MF_ROW, "");
            continue;
        }
        assert_mf_ok(cass_from_canon(&t, &arena, &in, &own, &err), &err);
        if (own.len != strlen(cases[i].own) || memcmp(own.data, cases[i].own, own.len) != 0) {
            fail_msg("%s: %.*s", cases[i].document, (int)own.len, own.data);
        }
        const struct cql_type *cql;
        MF_CLEANUP_BUF struct mf_buf bytes = {.max = 1u << 16}, text = {.max = 1u << 16};
        assert_mf_ok(cql_type_parse(cases[i].type, strlen(cases[i].type), place, NULL, &arena, &cql, &err), &err);
        assert_mf_ok(cql_value_put(cql, own.data, own.len, &bytes, &err), &err);
        struct cql_bytes wire = {(const uint8_t *)bytes.data + 4, (int32_t)bytes.len - 4};
        assert_mf_ok(cql_value_text(cql, wire, &text, &err), &err);
        own = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)text.len, .data = text.data};
        assert_mf_ok(cass_to_canon(&t, &arena, &own, &back, &err), &err);
        if (!mf_value_equal(&in, &back)) {
            fail_msg("%s came back as %.*s", cases[i].document, (int)back.len, back.data);
        }
    }
}

static void words_of_types(void **state)
{
    (void)state;
    static const struct {
        const char *words, *made; /* made NULL: refused; "": none that has a document */
        enum mf_shape shape;
    } asked[] = {
        {"list<int>", "frozen<list<int>>", MF_SHAPE_LIST},
        {"FROZEN<Set<text>>", "frozen<set<text>>", MF_SHAPE_SET},
        {"map<text,list<int>>", "frozen<map<text, list<int>>>", MF_SHAPE_MAP},
        {"Address", "frozen<address>", MF_SHAPE_RECORD},
        {"\"Address\"", "frozen<\"Address\">", MF_SHAPE_RECORD},
        {"int", "int", MF_SHAPE_NONE},
        {"inet", "inet", MF_SHAPE_NONE},
        {"tuple<int, text>", "tuple<int, text>", MF_SHAPE_NONE},
        {"lsit<int>", NULL, MF_SHAPE_NONE},
        {"list<counter>", NULL, MF_SHAPE_NONE},
        {"map<frozen<list<int>>, int>", NULL, MF_SHAPE_NONE},
        {"list<int", NULL, MF_SHAPE_NONE},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(asked); i++) {
        struct mf_error err = {0};
        struct mf_type t = {0};
        const char *made = NULL;
        if (!asked[i].made) {
            assert_mf_fails(cass_type_named(asked[i].words, &arena, &t, &made, &err), &err, MF_USAGE, "");
            continue;
        }
        assert_mf_ok(cass_type_named(asked[i].words, &arena, &t, &made, &err), &err);
        assert_string_equal(made, asked[i].made);
        assert_int_equal(t.shape, asked[i].shape);
    }
    struct mf_type t;
    assert_false(cass_canon_column("list<int>", NULL, NULL, &arena, &t));
    assert_int_equal(t.kind, MF_KIND_OPAQUE);
    assert_true(cass_type_fits("frozen<address>", &(struct mf_type){.kind = MF_KIND_JSON, .shape = MF_SHAPE_RECORD}));
    assert_false(cass_type_fits("frozen<list<int>>", &(struct mf_type){.kind = MF_KIND_JSON}));
    assert_false(cass_type_fits("frozen<list<int>>", &(struct mf_type){.kind = MF_KIND_TEXT}));
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const own[] = {"", "[1", "[1,", "[1 2]", "{1}", "[1] ", "['1']x", "[a]", "[null]", "x"};
    struct mf_type t;
    assert_true(cass_canon_column("frozen<list<int>>", NULL, NULL, &arena, &t));
    for (size_t i = 0; i < MF_ARRAY_LEN(own); i++) {
        struct mf_error err = {0};
        struct mf_value in = {.kind = MF_TEXT, .len = (uint32_t)strlen(own[i]), .data = own[i]}, ret;
        assert_mf_fails(cass_to_canon(&t, &arena, &in, &ret, &err), &err, MF_ROW, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),
        cmocka_unit_test(words_of_types),
        cmocka_unit_test(what_is_none_is_refused),
    };
    mf_arena_init(&arena, 16u << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mf_arena_free(&arena);
    return failed;
}
