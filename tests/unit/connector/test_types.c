/* Table filters, findings. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/types.h"

#include <string.h>

static bool match(const char *pattern, const char *schema, const char *name)
{
    const char *const list[] = {pattern};
    struct mf_filter f = {.include = list, .ninclude = 1};
    struct mf_filter not = {.exclude = list, .nexclude = 1};
    bool in = mf_filter_match(&f, schema, name);
    assert_int_equal(mf_filter_match(&not, schema, name), !in);
    return in;
}

static void patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *schema, *name;
        bool want;
    } cases[] = {
        {"public.*", "public", "orders", true},
        {"public.*", "private", "orders", false},
        {"public.orders", "public", "orders", true},
        {"public.orders", "public", "Orders", false},
        {"orders", "any", "orders", true},
        {"orders", "orders", "x", false},
        {"*", "s", "t", true},
        {"*.*", "s", "t", true},
        {"shop.orders_??", "shop", "orders_07", true},
        {"shop.orders_??", "shop", "orders_7", false},
        {"s.", "s", "", true},
        {"s.", "s", "t", false},
        {".t", "s", "t", false},
        {"", "s", "t", false},
        {"\"a.b\".c", "a.b", "c", true},
        {"a.b.c", "a.b", "c", false},
        {"a.b.c", "a", "b.c", false},
        {"a.\"b.c\"", "a", "b.c", true},
        {"\"a*\".t", "abc", "t", false},
        {"\"a*\".t", "a*", "t", true},
        {"\"q\"\"q\".t", "q\"q", "t", true},
        {"\"a\"b.t", "a", "t", false},
        {"\"a\"b.t", "ab", "t", false},
        {"\"a.t", "a", "t", false},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        if (match(cases[i].pattern, cases[i].schema, cases[i].name) != cases[i].want) {
            fail_msg("%s and %s.%s", cases[i].pattern, cases[i].schema, cases[i].name);
        }
    }
}

static void a_name_as_a_pattern(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in_yaml, *pattern;
    } cases[] = {
        {"orders", "orders", "orders"},      {"order-lines", "order-lines", "order-lines"},
        {"a.b", "'\"a.b\"'", "\"a.b\""},     {"7*", "'\"7*\"'", "\"7*\""},
        {"it's", "'\"it''s\"'", "\"it's\""}, {"say \"hi\"", "'\"say \"\"hi\"\"\"'", "\"say \"\"hi\"\"\""},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
        mf_filter_put_name(&b, cases[i].name);
        assert_string_equal(mf_buf_str(&b), cases[i].in_yaml);
        assert_true(match(cases[i].pattern, "any", cases[i].name));
        assert_false(match(cases[i].pattern, "any", "7x"));
    }
}

static void excluded_wins(void **state)
{
    (void)state;
    const char *const in[] = {"public.*", "shop.*"};
    const char *const out[] = {"public.audit_*"};
    struct mf_filter f = {.include = in, .ninclude = 2, .exclude = out, .nexclude = 1};
    assert_true(mf_filter_match(&f, "public", "orders"));
    assert_true(mf_filter_match(&f, "shop", "audit_1"));
    assert_false(mf_filter_match(&f, "public", "audit_1"));
    assert_false(mf_filter_match(&f, "other", "orders"));
    assert_true(mf_filter_match(NULL, "any", "thing"));
    assert_true(mf_filter_match(&(struct mf_filter){0}, "any", "thing"));
}

static void a_pattern_of_any_length_is_safe(void **state)
{
    (void)state;
    char pattern[5000];
    memset(pattern, 'x', sizeof(pattern) - 1);
    pattern[sizeof(pattern) - 1] = '\0';
    assert_false(match(pattern, "s", "t"));
    pattern[0] = '"';
    assert_false(match(pattern, "s", "t"));
}

static void findings_keep_their_own_words(void **state)
{
    (void)state;
    struct mf_findings *f = mf_findings_new();
    char word[] = "wal_level is replica";
    assert_null(mf_findings_at(f, 0));
    for (int i = 0; i < 100; i++) {
        mf_findings_add(f, i % 10 ? MF_WARNING : MF_BLOCKER, MF_SOURCE, "wal-level", NULL, NULL, "%s (%d)", word, i);
    }
    memset(word, 'x', sizeof(word) - 1);
    assert_int_equal(mf_findings_count(f), 100);
    assert_int_equal(mf_findings_blockers(f), 10);
    assert_string_equal(mf_findings_at(f, 42)->reason, "wal_level is replica (42)");
    assert_string_equal(mf_findings_at(f, 42)->object, "");
    assert_string_equal(mf_findings_at(f, 42)->remedy, "");
    assert_null(mf_findings_at(f, 100));
    mf_findings_free(f);
    mf_findings_free(NULL);
}

/* A key has what is known of it; why the rest is not is the entry's to say. What tells two refused values apart stays. */
static void a_key_shows_what_is_known(void **state)
{
    (void)state;
    struct mf_column columns[] = {{.name = "m", .in_key = true}, {.name = "b", .in_key = true}};
    uint16_t key[] = {0, 1};
    struct mf_table t = {.ncolumns = 2, .columns = columns, .nkey = 2, .key = key};
    static const struct {
        const char *why, *text;
    } cases[] = {
        {"column \"m\" is NULL, and is in the key of table s.t", "m=?, b=2"},
        {"no calendar has it (its bytes: 0123456789abcdef)", "m=? (its bytes: 0123456789abcdef), b=2"},
        {" (its bytes: ", "m=?, b=2"},
        {"x", "m=?, b=2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MF_CLEANUP_BUF struct mf_buf text = {.max = 1000};
        struct mf_value v[] = {{MF_REFUSED, (uint32_t)strlen(cases[i].why), cases[i].why}, {MF_TEXT, 1, "2"}};
        mf_put_key_text(&text, &t, &(struct mf_row){.n = 2, .values = v});
        assert_string_equal(mf_buf_str(&text), cases[i].text);
    }
}

static void a_long_key_is_told_apart_by_what_is_cut(void **state)
{
    (void)state;
    char key[3000], other[3000], out[1024], more[1024];
    for (size_t n = 0; n < sizeof key; n += 2) {
        memcpy(key + n, "é", 2);
    }
    key[sizeof key - 2] = 'a';
    key[sizeof key - 1] = '\0';
    memcpy(other, key, sizeof key);
    other[sizeof key - 2] = 'b';
    mf_key_short(key, out, sizeof out);
    mf_key_short(other, more, sizeof more);
    assert_string_not_equal(out, more);
    assert_true(strlen(out) < sizeof out && strlen(out) >= sizeof out - 2);
    assert_true(mf_utf8_valid(out, strlen(out)));
    assert_memory_equal(out, key, 900);
    assert_non_null(strstr(out, "… (2999 bytes, hash "));
    mf_key_short(out, more, sizeof more); /* what fits stays */
    assert_string_equal(out, more);
    mf_key_short(key, out, MF_KEY_SHORT_LEAST);
    assert_true(strlen(out) < MF_KEY_SHORT_LEAST && mf_utf8_valid(out, strlen(out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns),
        cmocka_unit_test(a_name_as_a_pattern),
        cmocka_unit_test(excluded_wins),
        cmocka_unit_test(a_pattern_of_any_length_is_safe),
        cmocka_unit_test(findings_keep_their_own_words),
        cmocka_unit_test(a_key_shows_what_is_known),
        cmocka_unit_test(a_long_key_is_told_apart_by_what_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
