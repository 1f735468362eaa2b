/* Arrays and records of PostgreSQL as documents. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/postgres/canon.h"

#include <string.h>

static const struct mf_type INT = {.kind = MF_KIND_INT, .bits = 32}, TEXT = {.kind = MF_KIND_TEXT},
                            REAL = {.kind = MF_KIND_FLOAT, .bits = 64}, YES = {.kind = MF_KIND_BOOL},
                            RAW = {.kind = MF_KIND_BYTES}, WHEN = {.kind = MF_KIND_INSTANT, .scale = 6},
                            DOC = {.kind = MF_KIND_JSON};
#define ARRAY(p)                                                                                                       \
    {                                                                                                                  \
        .kind = MF_KIND_OPAQUE, .shape = MF_SHAPE_LIST, .nparts = 1, .parts = (p)                                      \
    }
static const struct mf_type INTS = ARRAY(&INT), TEXTS = ARRAY(&TEXT), REALS = ARRAY(&REAL), FLAGS = ARRAY(&YES),
                            RAWS = ARRAY(&RAW), MOMENTS = ARRAY(&WHEN), DOCS = ARRAY(&DOC);
static const struct mf_type WITHIN = {.kind = MF_KIND_JSON, .shape = MF_SHAPE_LIST, .nparts = 1, .parts = &INT};
static const char *const NAMES[] = {"a", "b\"", "c"};

static const struct {
    const struct mf_type *t;
    const char *own, *json; /* NULL: refused */
} cases[] = {
    {&INTS, "{}", "[]"},
    {&INTS, "{3,-1,NULL}", "[3,-1,null]"},
    {&INTS, "{{1,2},{3,4}}", "[[1,2],[3,4]]"},
    {&INTS, "[2:3]={1,2}", NULL},
    {&INTS, "{1", NULL},
    {&INTS, "{1}}", NULL},
    {&INTS, "1", NULL},
    {&INTS, "", NULL},
    {&TEXTS, "{a,\"b \\\"q\\\" \\\\\",\"\",\"NULL\",\"{,}\"}", "[\"a\",\"b \\\"q\\\" \\\\\",\"\",\"NULL\",\"{,}\"]"},
    {&TEXTS, "{\"a}", NULL},
    {&REALS, "{0.1,-0,NaN,-Infinity,1e+300}", "[0.1,\"-0\",\"NaN\",\"-Infinity\",1e300]"},
    {&FLAGS, "{t,f}", "[true,false]"},
    {&RAWS, "{\"\\\\x00ff\",\"\\\\x\"}", "[\"0x00ff\",\"0x\"]"},
    {&MOMENTS, "{\"2024-03-30 23:30:00.5+00\"}", "[\"2024-03-30 23:30:00.5\"]"},
    {&MOMENTS, "{\"2024-03-30 23:30:00.5+02\"}", NULL},
    {&DOCS, "{\"{\\\"b\\\": 1, \\\"a\\\": 2}\"}", "[\"{\\\"a\\\":2,\\\"b\\\":1}\"]"},
};

static void told(const struct mf_type *t, const char *own, const char *want)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    struct mf_error err = {0};
    struct mf_value in = {.kind = MF_TEXT, .len = (uint32_t)strlen(own), .data = own}, json = {0};
    mf_arena_init(&arena, 1u << 20);
    int rc = pg_document(t, &arena, &in, &json, &err);
    if (!want) {
        if (rc == 0 || err.cls != MF_ROW) {
            fail_msg("%s was taken as %.*s", own, (int)json.len, json.data ? json.data : "");
        }
        return;
    }
    assert_mf_ok(rc, &err);
    if (json.len != strlen(want) || memcmp(json.data, want, json.len) != 0) {
        fail_msg("%s: %.*s", own, (int)json.len, json.data);
    }
}

static void arrays(void **state)
{
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        told(cases[i].t, cases[i].own, cases[i].json);
    }
}

static void records(void **state)
{
    (void)state;
    const struct mf_type parts[] = {TEXT, INT, WITHIN};
    const struct mf_type record = {
        .kind = MF_KIND_OPAQUE, .shape = MF_SHAPE_RECORD, .nlabels = 3, .labels = NAMES, .nparts = 3, .parts = parts};
    struct mf_type part = record;
    part.kind = MF_KIND_JSON;
    const struct mf_type list = ARRAY(&part);
    told(&record, "(x,5,\"{1,2}\")", "{\"a\":\"x\",\"b\\\"\":5,\"c\":[1,2]}");
    told(&record, "(\"say \"\"x\"\", (\\\\)\",,)", "{\"a\":\"say \\\"x\\\", (\\\\)\",\"b\\\"\":null,\"c\":null}");
    told(&record, "(\"\",1,{})", "{\"a\":\"\",\"b\\\"\":1,\"c\":[]}");
    told(&record, "(x,5)", NULL);
    told(&record, "(x,5,{},7)", NULL);
    told(&record, "(x,5,{}", NULL);
    told(&list, "{\"(x,1,\\\"{2}\\\")\",NULL}", "[{\"a\":\"x\",\"b\\\"\":1,\"c\":[2]},null]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays),
        cmocka_unit_test(records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
