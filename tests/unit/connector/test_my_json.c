/* JSON's binary form: what is printed, what is refused, and what diffs make of a document. Documents of real servers are in test_my_binlog. */
#include "my_log.h"

#include "base/cleanup.h"
#include "connector/mysql/binlog.h"
#include "connector/mysql/jsonb.h"

#include <string.h>

static int text_of(const char *hex, struct mf_buf *out, struct mf_error *err)
{
    struct bytes b = unhex(hex);
    int rc = my_json_text(out, b.p, b.n, err);
    free(b.p);
    return rc;
}

static void documents_are_printed_as_the_server_does(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *text;
    } cases[] = {
        {"", "null"},
        {"0400", "null"},
        {"0401", "true"},
        {"0402", "false"},
        {"05ffff", "-1"},
        {"06ffff", "65535"},
        {"0700000080", "-2147483648"},
        {"08ffffffff", "4294967295"},
        {"090000000000000080", "-9223372036854775808"},
        {"0affffffffffffffff", "18446744073709551615"},
        {"0b000000000000f03f", "1.0"},
        {"0b0000000000000080", "-0.0"},
        {"0b9a9999999999b93f", "0.1"},
        {"0badba0dfc2441b1c5", "-5.34e27"},
        {"0c03 61220a", "\"a\\\"\\n\""},
        {"0c04 5c01 7fc3", "\"\\\\\\u0001\x7f\xc3\""},
        {"000000 0400", "{}"},
        {"020000 0400", "[]"},
        {"0200000400", "[]"},
        {"02 0200 0a00 05 0100 04 0000", "[1, null]"},
        {"00 0100 0f00 0b00 0100 0c 0c00 61 02 7878", "{\"a\": \"xx\"}"},
        {"03 01000000 0d000000 07 ffffffff", "[-1]"},
        {"0f f6 04 0402 8c 22", "12.34"},
        {"0f fc 03 666f6f", "\"base64:type252:Zm9v\""},
        {"0f 10 01 05", "\"base64:type16:BQ==\""},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf out = {.max = 1 << 16};
        struct mf_error err = {0};
        int rc = text_of(cases[i].hex, &out, &err);
        if (cases[i].text && (rc < 0 || strcmp(mf_buf_str(&out), cases[i].text) != 0)) {
            fail_msg("%s: %s %s", cases[i].hex, mf_buf_str(&out), err.text);
        }
    }
}

static void what_is_no_document_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *says;
    } cases[] = {
        {"04", "ends early"},
        {"0403", "literal"},
        {"0d00", "unknown type"},
        {"0500", "ends early"},
        {"0b 000000000000f07f", "not finite"},
        {"0c05 616263", "ends early"},
        {"0c ffffffffff", "ends early"},
        {"02 0100 0700 0c 0900", "outside"},
        {"02 0100 0900 0c 0400", "larger"},
        {"02 ffff 0400", "larger"},
        {"02 0100 0700 0c 0000", "outside"},
        {"00 0100 0c00 0b00 0900 04 0000 61", "outside"},
        {"0f f6 04 0403 ffff", "decimal"},
        {"0f f6 05 0402 8c 22 00", "decimal"},
        {"0f 0c 04 01020304", "another size"},
        {"0f 0c 08 ffffffffffffffff", "calendar"},
        /* An array that is its own member. */
        {"02 0100 0a00 02 0400 000000", "larger"},
        {"02 0200 0c00 02 0400 02 0400 0000", ""},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf out = {.max = 1 << 16};
        struct mf_error err = {0};
        if (text_of(cases[i].hex, &out, &err) == 0 || !strstr(err.text, cases[i].says)) {
            fail_msg("%s: %s \"%s\"", cases[i].hex, mf_buf_str(&out), err.text);
        }
        assert_string_equal(err.code, "MFBINLOG");
    }
}

/* n arrays, each the only member of the one before; or, shared, both members of it. */
static struct bytes nested(unsigned n, bool shared)
{
    size_t step = shared ? 10 : 7;
    struct bytes b = {.p = calloc(1, 1 + n * step + 4), .n = 1 + n * step + 4};
    uint8_t *p = b.p;
    *p++ = 2;
    for (unsigned i = 0; i < n; i++, p += step) {
        mf_put_u16le(p, shared ? 2 : 1);
        mf_put_u16le(p + 2, (uint16_t)((n - i) * step + 4));
        for (unsigned k = 0; k < (shared ? 2 : 1); k++) {
            p[4 + 3 * k] = 2;
            mf_put_u16le(p + 5 + 3 * k, (uint16_t)step);
        }
    }
    mf_put_u16le(p + 2, 4);
    return b;
}

static void depth_and_sharing_are_bounded(void **state)
{
    (void)state;
    static const struct {
        unsigned n;
        bool shared;
        const char *says;
    } cases[] = {{100, false, NULL},
                 {127, false, NULL},
                 {128, false, "nested too deeply"},
                 {3000, false, "nested too deeply"},
                 {20, true, "overlap"}};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf out = {.max = 1 << 20};
        struct mf_error err = {0};
        struct bytes b = nested(cases[i].n, cases[i].shared);
        int rc = my_json_text(&out, b.p, b.n, &err);
        if ((rc == 0) != !cases[i].says || (rc < 0 && !strstr(err.text, cases[i].says))) {
            fail_msg("%u: %s", cases[i].n, err.text);
        }
        free(b.p);
    }
}

static void a_text_that_is_too_long_is_an_error(void **state)
{
    (void)state;
    for (size_t max = 0; max < 9; max++) {
        MF_CLEANUP_BUF struct mf_buf out = {.max = max};
        struct mf_error err = {0};
        assert_int_equal(text_of("02 0200 0a00 05 0100 04 0000", &out, &err), -1);
        assert_string_equal(err.code, "MFBIG");
    }
}

/* ---- diffs ---- */

static void put_diff(struct mf_buf *out, int what, const char *path, const char *value_hex)
{
    struct bytes v = unhex(value_hex);
    mf_buf_putc(out, (char)what);
    mf_buf_putc(out, (char)strlen(path));
    mf_buf_puts(out, path);
    if (what != 2) {
        mf_buf_putc(out, (char)v.n);
        mf_buf_append(out, v.p, v.n);
    }
    free(v.p);
}

/* {"a": 1, "b": [1, null]} */
#define BASE "00 0200 2000 1200 0100 1300 0100 05 0100 02 1400 61 62 0200 0a00 05 0100 04 0000 0000"

static void diffs_are_put_to_the_document(void **state)
{
    (void)state;
    static const struct {
        int what;
        const char *path, *value, *text; /* NULL: it does not fit */
    } cases[] = {
        {0, "$", "0401", "true"},
        {0, "$.a", "0401", "{\"a\": true, \"b\": [1, null]}"},
        {0, "$.a[0]", "0401", "{\"a\": true, \"b\": [1, null]}"},
        {0, "$.a[last]", "0401", "{\"a\": true, \"b\": [1, null]}"},
        {0, "$.a[1]", "0401", NULL},
        {0, "$.c", "0401", NULL},
        {0, "$.b[1]", "0c0178", "{\"a\": 1, \"b\": [1, \"x\"]}"},
        {0, "$.b[last-1]", "0c0178", "{\"a\": 1, \"b\": [\"x\", null]}"},
        {0, "$.b[2]", "0401", NULL},
        {1, "$.aa", "0401", "{\"a\": 1, \"b\": [1, null], \"aa\": true}"},
        {1, "$.\"\"", "0401", "{\"\": true, \"a\": 1, \"b\": [1, null]}"},
        {1, "$.\"a\\u00e9\\\"\\ud83d\\ude00\"", "0401",
         "{\"a\": 1, \"b\": [1, null], \"a\u00e9\\\"\U0001f600\": true}"},
        {1, "$.a", "0401", NULL},
        {1, "$.b[0]", "0401", "{\"a\": 1, \"b\": [true, 1, null]}"},
        {1, "$.b[9]", "0401", "{\"a\": 1, \"b\": [1, null, true]}"},
        {1, "$.b[last]", "0401", "{\"a\": 1, \"b\": [1, true, null]}"},
        {1, "$.b.c", "0401", NULL},
        {1, "$.a[1]", "0401", NULL},
        {1, "$", "0401", NULL},
        {2, "$.a", "", "{\"b\": [1, null]}"},
        {2, "$.b[0]", "", "{\"a\": 1, \"b\": [null]}"},
        {2, "$.c", "", NULL},
        {2, "$", "", NULL},
        {3, "$.a", "", NULL},
        {0, "a", "0401", NULL},
        {0, "$.", "0401", NULL},
        {0, "$.b[1", "0401", NULL},
        {0, "$.b[]", "0401", NULL},
        {0, "$.b[99999999999]", "0401", NULL},
        {0, "$.\"a", "0401", NULL},
        {0, "$.\"\\x\"", "0401", NULL},
        {0, "$*", "0401", NULL},
        {0, "$.a", "", NULL},
    };
    struct bytes base = unhex(BASE);
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf out = {.max = 1 << 16}, diffs = {.max = 1 << 16};
        struct mf_error err = {0};
        put_diff(&diffs, cases[i].what, cases[i].path, cases[i].value);
        int rc = my_json_patch(&out, base.p, base.n, diffs.data, diffs.len, &err);
        if (cases[i].text ? rc < 0 || strcmp(mf_buf_str(&out), cases[i].text) != 0 : rc == 0) {
            fail_msg("%d %s: %s \"%s\"", cases[i].what, cases[i].path, mf_buf_str(&out), err.text);
        }
    }
    free(base.p);
}

static void diffs_follow_one_another(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf out = {.max = 1 << 16}, diffs = {.max = 1 << 16};
    struct bytes base = unhex(BASE);
    struct mf_error err = {0};
    put_diff(&diffs, 1, "$.c", "02 0000 0400");
    for (int i = 0; i < 40; i++) {
        put_diff(&diffs, 1, "$.c[0]", "05 0100");
    }
    put_diff(&diffs, 2, "$.b", "");
    put_diff(&diffs, 0, "$.c[38]", "02 0100 0700 05 0200");
    put_diff(&diffs, 0, "$.c[38][0]", "04 00");
    assert_mf_ok(my_json_patch(&out, base.p, base.n, diffs.data, diffs.len, &err), &err);
    assert_non_null(strstr(out.data, "{\"a\": 1, \"c\": [1, 1, "));
    assert_non_null(strstr(out.data, "1, [null], 1]}"));
    free(base.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_printed_as_the_server_does),
        cmocka_unit_test(what_is_no_document_is_refused),
        cmocka_unit_test(depth_and_sharing_are_bounded),
        cmocka_unit_test(a_text_that_is_too_long_is_an_error),
        cmocka_unit_test(diffs_are_put_to_the_document),
        cmocka_unit_test(diffs_follow_one_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
