/* Texts that mean a value of another type, in its own spelling. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "model/respell.h"

#include <string.h>

static void is(enum mf_kind kind, const char *text, const char *wanted)
{
    struct mf_arena arena;
    struct mf_error err;
    const struct mf_type t = {.kind = kind, .scale = 6};
    struct mf_value v = {MF_TEXT, (uint32_t)strlen(text), text};
    mf_arena_init(&arena, 1u << 20);
    assert_mf_ok(mf_respell(&t, &arena, &v, &err), &err);
    if (v.len != strlen(wanted) || memcmp(v.data, wanted, v.len) != 0) {
        fail_msg("%s became %.*s, not %s", text, (int)v.len, v.data, wanted);
    }
    mf_arena_free(&arena);
}

#define STAYS(kind, text) is(kind, text, text)

static void moments(void **state)
{
    (void)state;
    const enum mf_kind at = MF_KIND_INSTANT, local = MF_KIND_DATETIME;
    is(at, "2026-11-28T01:02:03Z", "2026-11-28 01:02:03");
    is(at, "2026-11-28 01:02:03.500000", "2026-11-28 01:02:03.5");
    is(at, "2026-11-28 01:02:03.000+00", "2026-11-28 01:02:03");
    is(at, "2026-11-28 01:02:03 +0000", "2026-11-28 01:02:03");
    is(at, "2026-11-28T01:02+02:00", "2026-11-27 23:02:00");
    is(at, "2026-12-31T23:30:00-01:00", "2027-01-01 00:30:00");
    is(at, "2026-01-01T00:30:00+0330", "2025-12-31 21:00:00");
    is(at, "2024-03-01T00:00:00+01", "2024-02-29 23:00:00");
    is(at, "2023-02-28t23:59:59.999999-00:01", "2023-03-01 00:00:59.999999");
    is(local, "2026-11-28T01:02", "2026-11-28 01:02:00");
    STAYS(local, "2026-11-28T01:02:03Z"); /* which of the two is meant is not known */
    STAYS(at, "2026-11-28 01:02:03.5");
    STAYS(at, "2026-02-30T00:00:00Z");
    STAYS(at, "2026-11-28T24:00:00Z");
    STAYS(at, "2026-11-28T01:02:03.1234567Z");
    is(at, "2026-11-28T01:02:03.Z", "2026-11-28 01:02:03"); /* as servers read it */
    STAYS(at, "2026-11-28T01:02:03..5Z");
    STAYS(at, "2026-11-28T01:02:03 Europe/Berlin");
    STAYS(at, "0001-01-01T00:00:00+01:00"); /* the year before it has another name */
    STAYS(at, "0000-01-01T00:00:00Z");
    STAYS(at, "infinity");
    STAYS(at, "");
    is(MF_KIND_TIME, "01:02:03.50", "01:02:03.5");
    STAYS(MF_KIND_DATE, "2026-11-28T00:00:00Z");
}

static void documents_and_others(void **state)
{
    (void)state;
    is(MF_KIND_JSON, "{\"k\": 3210,\n \"a\" : [1.50]}", "{\"a\":[1.5],\"k\":3210}");
    STAYS(MF_KIND_JSON, "{\"a\":1,\"a\":2}");
    STAYS(MF_KIND_JSON, "no document");
    is(MF_KIND_UUID, "123E4567-E89B-12D3-A456-426614174000", "123e4567-e89b-12d3-a456-426614174000");
    STAYS(MF_KIND_INT, "007");
    STAYS(MF_KIND_OPAQUE, "{a, b}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments),
        cmocka_unit_test(documents_and_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
