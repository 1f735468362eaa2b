/* Every character of every character set is what MySQL converts it to: tests/data/mysql/charsets.txt, which record.py there made. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/mysql/charset.h"
#include "connector/mysql/charset_id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t add(uint64_t hash, const void *p, size_t n)
{
    const uint8_t *at = p;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ at[i]) * 0x100000001b3;
    }
    return hash;
}

/* The characters from a to b, each by itself, and all of them that have a meaning as one text. */
static uint64_t add_range(uint64_t hash, struct my_charset *c, unsigned long a, unsigned long b, struct mf_buf *all,
                          struct mf_buf *all_utf8)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 1 << 20};
    for (unsigned long code = a; code <= b; code++) {
        const char bytes[3] = {(char)(code >> 16), (char)(code >> 8), (char)code}, *text;
        size_t n = code > 0xffff ? 3 : code > 0xff ? 2 : 1, len;
        struct mf_error err = {0};
        hash = add(hash, bytes + 3 - n, n);
        if (my_charset_text(c, bytes + 3 - n, n, &arena, &text, &len, &err) < 0) {
            assert_string_equal(err.code, "MFCHARSET");
            hash = add(hash, "!", 1);
        } else {
            hash = add(hash, text, len);
            mf_buf_append(all, bytes + 3 - n, n);
            mf_buf_append(all_utf8, text, len);
        }
    }
    return hash;
}

static void check_set(char *line)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 1 << 20};
    MF_CLEANUP_BUF struct mf_buf all = {.max = 1 << 20}, all_utf8 = {.max = 1 << 20};
    struct my_charsets sets = {0};
    struct my_charset *c;
    struct mf_error err = {0};
    char *rest, *name = strtok_r(line, " ", &rest), *end;
    unsigned long long want = strtoull(rest, &rest, 16), got = 0xcbf29ce484222325;
    assert_mf_ok(my_charset_find(&sets, name, &c, &err), &err);
    assert_non_null(c);
    while (*rest == ' ') {
        unsigned long a = strtoul(rest + 1, &end, 16), b = strtoul(end + 1, &rest, 16);
        got = add_range(got, c, a, b, &all, &all_utf8);
    }
    if (got != want) {
        fail_msg("%s: not as the server has it", name);
    }
    const char *text;
    size_t len;
    assert_mf_ok(my_charset_text(c, all.data, all.len, &arena, &text, &len, &err), &err);
    assert_int_equal(len, all_utf8.len);
    assert_memory_equal(text, all_utf8.data, len);
    my_charsets_free(&sets);
}

static void every_character_is_what_the_server_has_it_for(void **state)
{
    (void)state;
    static char line[65536];
    unsigned sets = 0;
    FILE *f = fopen(MF_TEST_DATA "/charsets.txt", "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        check_set(line);
        sets++;
    }
    fclose(f);
    assert_int_equal(sets, 32);
}

static void what_has_no_meaning_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *set, *text, *says;
    } cases[] = {
        {"greek", "ab\xa4\xa5", "character set greek: A4A5 at byte 2"},
        {"ujis", "\xc6\xfc\xcb", "character set ujis: CB at byte 2"},
        {"gbk", "\xd6\xd0z\xff", "character set gbk: FF at byte 3"},
        {"sjis", "\x93\xfa\x81", "character set sjis: 81 at byte 2"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 1 << 20};
        struct my_charsets sets = {0};
        struct my_charset *c;
        struct mf_error err = {0};
        const char *text;
        size_t len;
        assert_mf_ok(my_charset_find(&sets, cases[i].set, &c, &err), &err);
        assert_mf_fails(my_charset_text(c, cases[i].text, strlen(cases[i].text), &arena, &text, &len, &err), &err,
                        MF_FATAL, cases[i].says);
        my_charsets_free(&sets);
    }
}

static void utf16_and_the_like_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *set, *text;
        size_t n;
        const char *utf8; /* NULL: refused */
    } cases[] = {
        {"utf16", "\0a\x4e\x2d\xd8\x3d\xde\x00", 8, "a\u4e2d\U0001f600"},
        {"utf16le", "a\0\x2d\x4e\x3d\xd8\x00\xde", 8, "a\u4e2d\U0001f600"},
        {"utf32", "\0\0\0a\0\1\xf6\0", 8, "a\U0001f600"},
        {"ucs2", "\0a\x4e\x2d", 4, "a\u4e2d"},
        {"ucs2", "\xfe\xff", 2, "\ufeff"},
        {"ucs2", "\xd8\x3d", 2, NULL},
        {"utf16", "\0a\0", 3, NULL},
        {"utf8mb3", "a\xff", 2, "a\xff"}, /* UTF-8 is not looked at: the server has */
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 1 << 20};
        struct my_charsets sets = {0};
        struct my_charset *c;
        struct mf_error err = {0};
        const char *text = cases[i].text;
        size_t len = cases[i].n;
        assert_mf_ok(my_charset_find(&sets, cases[i].set, &c, &err), &err);
        int rc = c ? my_charset_text(c, cases[i].text, cases[i].n, &arena, &text, &len, &err) : 0;
        assert_int_equal(rc, cases[i].utf8 ? 0 : -1);
        if (rc == 0) {
            assert_int_equal(len, strlen(cases[i].utf8));
            assert_memory_equal(text, cases[i].utf8, len);
        }
        my_charsets_free(&sets);
    }
}

static void an_unknown_set_is_refused(void **state)
{
    (void)state;
    struct my_charsets sets = {0};
    struct my_charset *c;
    struct mf_error err = {0};
    assert_mf_fails(my_charset_find(&sets, "keybcs2", &c, &err), &err, MF_FATAL, "character set \"keybcs2\"");
    assert_string_equal(err.code, "MFSHAPE");
}

static void a_collation_is_of_a_character_set(void **state)
{
    (void)state;
    static const struct {
        unsigned id;
        const char *charset;
        unsigned width;
    } known[] = {{8, "latin1", 1},     {1071, "latin1", 1},  {28, "gbk", 2},      {33, "utf8mb3", 3},
                 {45, "utf8mb4", 4},   {255, "utf8mb4", 4},  {309, "utf8mb4", 4}, {1070, "utf8mb4", 4},
                 {2310, "utf8mb4", 4}, {2050, "utf8mb3", 3}, {250, "gb18030", 4}, {54, "utf16", 4},
                 {35, "ucs2", 2},      {11, "ascii", 1},     {12, "ujis", 3},     {223, "utf8mb3", 3},
                 {1216, "utf8mb3", 3}, {63, "binary", 1}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_string_equal(my_charset_of_collation(known[i].id), known[i].charset);
        assert_int_equal(my_charset_width(known[i].charset), known[i].width);
    }
    assert_null(my_charset_of_collation(0));
    assert_null(my_charset_of_collation(17));
    assert_null(my_charset_of_collation(9999));
    assert_null(my_charset_of_collation(UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collation_is_of_a_character_set),
        cmocka_unit_test(every_character_is_what_the_server_has_it_for),
        cmocka_unit_test(what_has_no_meaning_is_named),
        cmocka_unit_test(utf16_and_the_like_are_read),
        cmocka_unit_test(an_unknown_set_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
