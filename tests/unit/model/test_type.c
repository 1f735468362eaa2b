/* Types in the model's terms: their text, copies, and which takes the values of which. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "model/moment.h"
#include "model/type.h"

#include <string.h>

static const char *const ab[] = {"a", "b"}, *const abc[] = {"a", "b", "c"}, *const ba[] = {"b", "a"},
                         *const odd[] = {"it's"};

#define INT(b)                                                                                                         \
    {                                                                                                                  \
        .kind = MF_KIND_INT, .bits = (b)                                                                               \
    }
#define UINT(b)                                                                                                        \
    {                                                                                                                  \
        .kind = MF_KIND_INT, .bits = (b), .is_unsigned = true                                                          \
    }
#define DEC(p, s)                                                                                                      \
    {                                                                                                                  \
        .kind = MF_KIND_DECIMAL, .precision = (p), .scale = (s)                                                        \
    }
#define TEXT(n)                                                                                                        \
    {                                                                                                                  \
        .kind = MF_KIND_TEXT, .length = (n)                                                                            \
    }
#define CHAR(n)                                                                                                        \
    {                                                                                                                  \
        .kind = MF_KIND_TEXT, .length = (n), .fixed = true                                                             \
    }
#define ANY                                                                                                            \
    {                                                                                                                  \
        .kind = MF_KIND_TEXT, .any = true                                                                              \
    }
#define BYTES(n)                                                                                                       \
    {                                                                                                                  \
        .kind = MF_KIND_BYTES, .length = (n)                                                                           \
    }
#define BITS(n)                                                                                                        \
    {                                                                                                                  \
        .kind = MF_KIND_BITS, .length = (n), .fixed = true                                                             \
    }
#define VARBITS(n)                                                                                                     \
    {                                                                                                                  \
        .kind = MF_KIND_BITS, .length = (n)                                                                            \
    }
#define SCALED(k, n)                                                                                                   \
    {                                                                                                                  \
        .kind = MF_KIND_##k, .scale = (n)                                                                              \
    }
#define LIST(k, l)                                                                                                     \
    {                                                                                                                  \
        .kind = MF_KIND_##k, .nlabels = MF_ARRAY_LEN(l), .labels = (l)                                                 \
    }
#define PLAIN(k)                                                                                                       \
    {                                                                                                                  \
        .kind = MF_KIND_##k                                                                                            \
    }
#define FLOAT(b)                                                                                                       \
    {                                                                                                                  \
        .kind = MF_KIND_FLOAT, .bits = (b)                                                                             \
    }

static void text(void **state)
{
    (void)state;
    static const struct {
        struct mf_type t;
        const char *want;
    } cases[] = {
        {INT(32), "int(32)"},
        {UINT(64), "int(64) unsigned"},
        {DEC(10, 2), "decimal(10,2)"},
        {DEC(5, -2), "decimal(5,-2)"},
        {PLAIN(DECIMAL), "decimal"},
        {FLOAT(64), "float(64)"},
        {BITS(3), "bits(3) fixed"},
        {VARBITS(0), "bits"},
        {PLAIN(DATE), "date"},
        {SCALED(TIME, 6), "time(6)"},
        {SCALED(INSTANT, 0), "instant(0)"},
        {TEXT(20), "text(20)"},
        {PLAIN(TEXT), "text"},
        {CHAR(3), "text(3) fixed"},
        {ANY, "text of any kind"},
        {LIST(ENUM, ab), "enum('a','b')"},
        {LIST(SET, odd), "set('it''s')"},
        {PLAIN(ENUM), "enum()"},
        {PLAIN(UUID), "uuid"},
        {PLAIN(OPAQUE), "opaque"},
        {{.kind = 99}, "unknown"},
    };
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        mf_buf_reset(&b);
        mf_type_put(&b, &cases[i].t);
        assert_string_equal(mf_buf_str(&b), cases[i].want);
    }
}

static void copies_are_deep(void **state)
{
    (void)state;
    char one[] = "one", two[] = "two";
    const char *labels[] = {one, two};
    struct mf_type t = {.kind = MF_KIND_ENUM, .nlabels = 2, .labels = labels, .form = 7};
    struct mf_arena arena, none = {0};
    mf_arena_init(&arena, 10000);
    const struct mf_type *c = mf_type_copy(&arena, &t);
    assert_non_null(c);
    one[0] = two[0] = 'x';
    assert_string_equal(c->labels[0], "one");
    assert_string_equal(c->labels[1], "two");
    assert_int_equal(c->form, 7);
    assert_null(mf_type_copy(&none, &t));
    mf_arena_free(&arena);
}

static void who_takes_whom(void **state)
{
    (void)state;
    static const struct {
        struct mf_type to, from;
        bool there, back; /* to takes from; from takes to */
    } cases[] = {
        /* what is made of MySQL's types, and comes back */
        {INT(16), INT(8), true, true},
        {INT(16), UINT(8), true, true},
        {INT(32), UINT(16), true, true},
        {INT(32), INT(24), true, true},
        {INT(32), UINT(24), true, true},
        {INT(64), UINT(32), true, true},
        {DEC(20, 0), UINT(64), true, true},
        {TEXT(0), LIST(ENUM, ab), true, true},
        {TEXT(0), LIST(SET, ab), true, true},
        {TEXT(20), CHAR(20), true, true},
        {BYTES(0), {.kind = MF_KIND_BYTES, .length = 16, .fixed = true}, true, true},
        {BITS(64), BITS(64), true, true},
        {SCALED(TIME, 3), SCALED(TIME, 3), true, true},
        /* of PostgreSQL's */
        {INT(8), PLAIN(BOOL), true, true},
        {DEC(65, 30), PLAIN(DECIMAL), true, true},
        {DEC(65, 30), DEC(100, 50), true, true},
        {DEC(65, 2), DEC(200, 2), true, true},
        {DEC(65, 30), DEC(70, 60), true, true},
        {DEC(7, 0), DEC(5, -2), true, true},
        {TEXT(0), VARBITS(0), true, true},
        {TEXT(0), BITS(65), true, true},
        {CHAR(36), PLAIN(UUID), true, true},
        {TEXT(0), PLAIN(OPAQUE), true, true},
        {SCALED(DATETIME, 6), SCALED(INSTANT, 6), true, true},
        {TEXT(768), TEXT(0), true, true},
        {TEXT(768), TEXT(1000), true, true},
        {BYTES(3072), BYTES(0), true, true},
        /* of an engine without a type of its own for it */
        {ANY, PLAIN(JSON), true, true},
        {ANY, SCALED(INSTANT, 6), true, true},
        {ANY, SCALED(DATETIME, 6), true, true},
        {ANY, BITS(8), true, true},
        {ANY, PLAIN(UUID), true, true},
        {ANY, TEXT(20), true, true},
        {ANY, LIST(ENUM, ab), true, true},
        {ANY, BYTES(0), false, false},
        /* wider is fine, narrower is not */
        {INT(64), INT(16), true, false},
        {INT(64), INT(32), true, false},
        {UINT(64), INT(32), false, false},
        {UINT(8), INT(32), false, true},
        {INT(8), INT(32), false, true},
        {INT(8), UINT(64), false, false},
        {UINT(64), UINT(32), true, false},
        {DEC(10, 2), DEC(8, 2), true, false},
        {DEC(10, 2), DEC(10, 3), false, false},
        {DEC(10, 0), INT(32), true, true},
        {DEC(9, 0), INT(32), false, true},
        {INT(32), DEC(10, 2), false, false},
        {INT(64), PLAIN(DECIMAL), false, true},
        {FLOAT(64), FLOAT(32), true, false},
        {TEXT(20), TEXT(10), true, false},
        {BYTES(20), BYTES(10), true, false},
        {BITS(8), BITS(9), false, false},
        {SCALED(TIME, 6), SCALED(TIME, 0), true, false},
        {SCALED(DATETIME, 3), SCALED(INSTANT, 6), false, true},
        {LIST(ENUM, abc), LIST(ENUM, ab), true, false},
        {LIST(ENUM, ab), LIST(ENUM, ba), true, true},
        {LIST(SET, abc), LIST(SET, ab), true, false},
        {LIST(SET, ab), LIST(SET, ba), false, false},
        {TEXT(35), PLAIN(UUID), false, false},
        {INT(32), PLAIN(BOOL), true, false},
        /* other kinds are other values */
        {PLAIN(JSON), TEXT(0), false, false},
        {TEXT(0), BYTES(0), false, false},
        {TEXT(0), INT(32), false, false},
        {PLAIN(DATE), SCALED(DATETIME, 0), false, false},
        {FLOAT(64), INT(32), false, false},
        {TEXT(0), BITS(8), false, false},
        {PLAIN(JSON), PLAIN(JSON), true, true},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
        mf_type_put(&b, &cases[i].to);
        mf_buf_puts(&b, " of ");
        mf_type_put(&b, &cases[i].from);
        if (mf_type_takes(&cases[i].to, &cases[i].from) != cases[i].there ||
            mf_type_takes(&cases[i].from, &cases[i].to) != cases[i].back) {
            fail_msg("%s", mf_buf_str(&b));
        }
        assert_true(mf_type_takes(&cases[i].to, &cases[i].to));
    }
}

static void moments(void **state)
{
    (void)state;
    static const struct {
        enum mf_kind kind;
        const char *text;
        int want; /* 0: not so spelt; 1: spelt, but in no calendar; 2: real */
    } cases[] = {
        {MF_KIND_DATE, "2026-11-28", 2},
        {MF_KIND_DATE, "2024-02-29", 2},
        {MF_KIND_DATE, "2026-02-29", 1},
        {MF_KIND_DATE, "1900-02-29", 1},
        {MF_KIND_DATE, "2000-02-29", 2},
        {MF_KIND_DATE, "0001-02-29 BC", 2},
        {MF_KIND_DATE, "0044-03-15 BC", 2},
        {MF_KIND_DATE, "0000-00-00", 1},
        {MF_KIND_DATE, "2026-00-01", 1},
        {MF_KIND_DATE, "12026-01-01", 2},
        {MF_KIND_DATE, "02026-01-01", 0},
        {MF_KIND_DATE, "226-01-01", 0},
        {MF_KIND_DATE, "2026-1-01", 0},
        {MF_KIND_DATE, "2026-01-01 ", 0},
        {MF_KIND_DATE, "infinity", 0},
        {MF_KIND_TIME, "00:00:00", 2},
        {MF_KIND_TIME, "23:59:59.999999", 2},
        {MF_KIND_TIME, "24:00:00", 1},
        {MF_KIND_TIME, "-01:00:00", 1},
        {MF_KIND_TIME, "838:59:59", 1},
        {MF_KIND_TIME, "0838:59:59", 0},
        {MF_KIND_TIME, "01:02:03.50", 0},
        {MF_KIND_TIME, "01:02:03.", 0},
        {MF_KIND_TIME, "01:02:03.1234567", 0},
        {MF_KIND_TIME, "01:02", 0},
        {MF_KIND_DATETIME, "2026-11-28 01:02:03.5", 2},
        {MF_KIND_DATETIME, "2026-11-28 24:00:00", 1},
        {MF_KIND_DATETIME, "2026-11-28 23:59:60", 1},
        {MF_KIND_DATETIME, "2026-11-28T01:02:03", 0},
        {MF_KIND_DATETIME, "2026-11-28", 0},
        {MF_KIND_INSTANT, "2026-11-28 01:02:03+00", 0},
        {MF_KIND_INSTANT, "0044-03-15 01:02:03.25 BC", 2},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct mf_moment m;
        bool spelt = mf_moment_scan(cases[i].kind, cases[i].text, strlen(cases[i].text), &m);
        int got = !spelt ? 0 : mf_moment_is_real(cases[i].kind, &m) ? 2 : 1;
        if (got != cases[i].want) {
            fail_msg("%s: %d", cases[i].text, got);
        }
    }
    assert_int_equal(mf_moment_cut("01:02:03.500000", 15), 10);
    assert_int_equal(mf_moment_cut("01:02:03.000000", 15), 8);
    assert_int_equal(mf_moment_cut("01:02:00", 8), 8);
    assert_int_equal(mf_moment_cut("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),
        cmocka_unit_test(copies_are_deep),
        cmocka_unit_test(who_takes_whom),
        cmocka_unit_test(moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
