/* Documents of a shape. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "model/document.h"

#include <string.h>

static const struct mf_type INT = {.kind = MF_KIND_INT, .bits = 32}, WORDS = {.kind = MF_KIND_TEXT},
                            REAL = {.kind = MF_KIND_FLOAT, .bits = 32}, YES = {.kind = MF_KIND_BOOL},
                            RAW = {.kind = MF_KIND_BYTES}, DAY = {.kind = MF_KIND_DATE},
                            DEC = {.kind = MF_KIND_DECIMAL};
static const struct mf_type COUNTED[] = {{.kind = MF_KIND_TEXT}, {.kind = MF_KIND_INT, .bits = 32}};
static const struct mf_type NUMBERED[] = {{.kind = MF_KIND_INT, .bits = 32}, {.kind = MF_KIND_TEXT}};
static const char *const FIELDS[] = {"street", "number"};

#define OF(s, p)                                                                                                       \
    {                                                                                                                  \
        .kind = MF_KIND_JSON, .shape = MF_SHAPE_##s, .nparts = 1, .parts = (p)                                         \
    }
#define MAP_OF(p)                                                                                                      \
    {                                                                                                                  \
        .kind = MF_KIND_JSON, .shape = MF_SHAPE_MAP, .nparts = 2, .parts = (p)                                         \
    }
static const struct mf_type LIST = OF(LIST, &INT), SET = OF(SET, &WORDS), MAP = MAP_OF(COUNTED),
                            KEYS = MAP_OF(NUMBERED), REALS = OF(LIST, &REAL), FLAGS = OF(LIST, &YES),
                            RAWS = OF(LIST, &RAW), DAYS = OF(SET, &DAY), DECS = OF(LIST, &DEC), LISTS = OF(LIST, &LIST),
                            RECORD = {.kind = MF_KIND_JSON,
                                      .shape = MF_SHAPE_RECORD,
                                      .nlabels = 2,
                                      .labels = FIELDS,
                                      .nparts = 2,
                                      .parts = COUNTED},
                            UNKNOWN = {.kind = MF_KIND_JSON, .shape = MF_SHAPE_RECORD};

static const struct {
    const struct mf_type *t;
    const char *given, *want; /* NULL: refused */
    const char *why;
} cases[] = {
    {&LIST, "[3, 1, 2.0, 1]", "[3,1,2,1]", NULL},
    {&LIST, "[]", "[]", NULL},
    {&LIST, "[1,null]", NULL, "null"},
    {&LIST, "[1,\"2\"]", NULL, "another kind"},
    {&LIST, "[1.5]", NULL, "whole"},
    {&LIST, "[2147483648]", NULL, "room"},
    {&LIST, "[1e400000]", NULL, "digits"},
    {&LIST, "{}", NULL, "another kind"},
    {&LIST, "null", NULL, "another kind"},
    {&LISTS, "[[1],[],[3,2]]", "[[1],[],[3,2]]", NULL},
    {&SET, "[\"b\",\"a\",\"aa\",\"\\u0041\"]", "[\"A\",\"a\",\"aa\",\"b\"]", NULL},
    {&SET, "[\"a\",\"b\",\"a\"]", NULL, "twice"},
    {&SET, "[1]", NULL, "another kind"},
    {&MAP, "{\"b\":1,\"a\":2e1}", "{\"a\":20,\"b\":1}", NULL},
    {&MAP, "{\"a\":null}", NULL, "null"},
    {&MAP, "{\"a\":\"1\"}", NULL, "another kind"},
    {&KEYS, "{\"10\":\"x\",\"9\":\"\"}", "{\"10\":\"x\",\"9\":\"\"}", NULL},
    {&KEYS, "{\"09\":\"x\"}", NULL, ""},
    {&REALS, "[0.1,1e20,-0.0,\"NaN\",\"-Infinity\",\"-0\"]",
     "[0.1,100000000000000000000,0,\"NaN\",\"-Infinity\",\"-0\"]", NULL},
    {&REALS, "[0.12345678901]", NULL, "exactly"},
    {&REALS, "[1e39]", NULL, "too large"},
    {&REALS, "[\"1\"]", NULL, "another kind"},
    {&FLAGS, "[true,false]", "[true,false]", NULL},
    {&FLAGS, "[1]", NULL, "another kind"},
    {&RAWS, "[\"0x\",\"0x00ff\"]", "[\"0x\",\"0x00ff\"]", NULL},
    {&RAWS, "[\"0xFF\"]", NULL, "hex"},
    {&DAYS, "[\"2026-11-28\",\"2026-01-01\"]", "[\"2026-01-01\",\"2026-11-28\"]", NULL},
    {&DAYS, "[\"28 Nov\"]", NULL, ""},
    {&DECS, "[1.50,1e-7]", "[1.5,1e-7]", NULL},
    {&RECORD, "{\"number\":5,\"street\":\"x\"}", "{\"number\":5,\"street\":\"x\"}", NULL},
    {&RECORD, "{\"number\":null,\"street\":\"x\"}", "{\"street\":\"x\"}", NULL},
    {&RECORD, "{\"street\":null}", "{}", NULL},
    {&RECORD, "{\"town\":\"x\"}", NULL, "a field that the type has not"},
    {&RECORD, "{\"town\":null}", NULL, "a field that the type has not"},
    {&UNKNOWN, "{\"b\":{\"y\":null,\"x\":[1,{\"q\":null}]},\"a\":null}", "{\"b\":{\"x\":[1,{}]}}", NULL},
    {&UNKNOWN, "{\"a\":[null]}", NULL, "null"},
    {&UNKNOWN, "[1]", NULL, "another kind"},
    {&SET, "[\"", NULL, ""},
};

static void held_to_their_type(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    mf_arena_init(&arena, 1u << 20);
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct mf_error err = {0};
        struct mf_value v = {0}, again = {0};
        int rc = mf_document_canon(cases[i].t, &arena, cases[i].given, strlen(cases[i].given), &v, &err);
        if (!cases[i].want) {
            if (rc == 0 || err.cls != MF_ROW || !strstr(err.text, cases[i].why)) {
                fail_msg("%s: %s", cases[i].given, rc == 0 ? "was taken" : err.text);
            }
            continue;
        }
        if (rc < 0 || v.len != strlen(cases[i].want) || memcmp(v.data, cases[i].want, v.len) != 0) {
            fail_msg("%s: %.*s%s", cases[i].given, (int)v.len, v.data ? v.data : "", rc < 0 ? err.text : "");
        }
        assert_mf_ok(mf_document_fit(cases[i].t, &arena, &v, &again, &err), &err);
        assert_true(mf_value_equal(&v, &again));
    }
}

static void what_is_cut_off_is_refused(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    mf_arena_init(&arena, 1u << 20);
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        for (size_t n = 0; n < strlen(cases[i].given); n++) {
            struct mf_error err = {0};
            struct mf_value v = {.kind = MF_TEXT, .len = (uint32_t)n, .data = cases[i].given}, ret;
            if (mf_document_fit(cases[i].t, &arena, &v, &ret, &err) == 0) {
                fail_msg("%.*s was taken", (int)n, cases[i].given);
            }
        }
    }
}

static void takes(const struct mf_type *to, const struct mf_type *from, bool want)
{
    assert_int_equal(mf_type_takes(to, from), want);
}

static void types_of_shapes(void **state)
{
    (void)state;
    static const struct mf_type any = {.kind = MF_KIND_JSON}, small = {.kind = MF_KIND_INT, .bits = 8},
                                smalls = OF(LIST, &small), texts = OF(LIST, &WORDS);
    takes(&any, &LIST, true);
    takes(&LIST, &any, false);
    takes(&LIST, &smalls, true);
    takes(&texts, &LIST, false);
    takes(&LIST, &LISTS, false);
    takes(&SET, &texts, false);
    takes(&RECORD, &UNKNOWN, true);
    takes(&UNKNOWN, &RECORD, true);
    takes(&RECORD, &RECORD, true);
    MF_CLEANUP_BUF struct mf_buf b = {.max = 200};
    mf_type_put(&b, &LISTS);
    assert_string_equal(mf_buf_str(&b), "json list of json list of int(32)");
    mf_buf_reset(&b);
    mf_type_put(&b, &MAP);
    assert_string_equal(mf_buf_str(&b), "json map of text to int(32)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_to_their_type),
        cmocka_unit_test(what_is_cut_off_is_refused),
        cmocka_unit_test(types_of_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
