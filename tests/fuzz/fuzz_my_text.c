/*
 * Texts that a MySQL server (or whoever answers as one) gives: types of columns, GTID sets, JSON documents; and tokens of positions. The first byte says
 * which; whatever the rest is, nothing of it gets out of the quotes it belongs in.
 */
#include "fuzz.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "connector/mysql/coltype.h"
#include "connector/mysql/gtid.h"
#include "connector/mysql/json_put.h"
#include "connector/mysql/resume.h"
#include "model/value.h"

#include <string.h>

/* Outside of quotes stand only words, numbers and commas of our own making. */
static void check_quoted(const struct mf_buf *b)
{
    bool inside = false;
    for (size_t i = 0; i < b->len; i++) {
        char c = b->data[i];
        if (inside) {
            i += c == '\\';
            inside = c != '\'';
        } else if (c == '\'') {
            inside = true;
        } else {
            MF_FUZZ_CHECK(c && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ_eE(), .+-0123456789", c));
        }
    }
    MF_FUZZ_CHECK(!inside);
}

/* "type\nvalue" */
static void fuzz_type(const char *text)
{
    struct mf_arena arena;
    struct mf_error err = {0};
    struct my_type t, again;
    const char *value = strchr(text, '\n');
    MF_CLEANUP_FREE char *type = mf_xstrndup(text, value ? (size_t)(value - text) : strlen(text));
    mf_arena_init(&arena, 1 << 20);
    if (my_type_parse(type, &arena, &t, &err) == 0) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20};
        struct mf_value v = {
            .kind = MF_TEXT, .data = value ? value + 1 : "", .len = value ? (uint32_t)strlen(value + 1) : 0};
        MF_FUZZ_CHECK(my_type_parse(type, NULL, &again, &err) == 0);
        MF_FUZZ_CHECK(my_type_id(&t) == my_type_id(&again) && my_type_mod(&t) == my_type_mod(&again));
        my_inexact(&t, &v);
        my_put_typed(&b, &t, &v);
        check_quoted(&b);
        mf_buf_reset(&b);
        my_put_read(&b, &t, "c");
        MF_FUZZ_CHECK(mf_buf_ok(&b) && b.len < 100);
    }
    mf_arena_free(&arena);
}

/* What is a set prints as one that is the same, and prints the same. */
static void fuzz_set(const char *text, bool mariadb)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20}, c = {.max = 1 << 20};
    struct my_gtid_set *s = my_gtid_set_new(mariadb), *again = my_gtid_set_new(mariadb);
    struct mf_error err = {0};
    if (my_gtid_set_parse(s, text, &err) == 0) {
        my_gtid_set_print(s, &b);
        MF_FUZZ_CHECK(my_gtid_set_parse(again, mf_buf_str(&b), &err) == 0);
        MF_FUZZ_CHECK(my_gtid_set_contains(s, again) && my_gtid_set_contains(again, s));
        MF_FUZZ_CHECK(my_gtid_set_count(s) == my_gtid_set_count(again));
        my_gtid_set_print(again, &c);
        MF_FUZZ_CHECK(strcmp(mf_buf_str(&b), mf_buf_str(&c)) == 0);
    }
    my_gtid_set_free(s);
    my_gtid_set_free(again);
}

/* A position's token comes back as it was understood. */
static void fuzz_token(const char *text, bool gtid, bool mariadb)
{
    struct my_resume r, again;
    struct mf_position p = {0}, q = {0};
    struct mf_error err = {0};
    if (my_resume_read(text, gtid, mariadb, &r, &err) == 0 && my_resume_position(&r, &p, &err) == 0) {
        MF_FUZZ_CHECK(my_resume_read(p.token, gtid, mariadb, &again, &err) == 0);
        MF_FUZZ_CHECK(my_resume_position(&again, &q, &err) == 0);
        MF_FUZZ_CHECK(p.order == q.order && strcmp(p.token, q.token) == 0);
        my_resume_free(&again);
    }
    my_resume_free(&r);
}

static void fuzz_json(const char *text, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8 << 20};
    my_put_json(&b, text, n);
    MF_FUZZ_CHECK(mf_buf_ok(&b));
    check_quoted(&b);
    my_json_kept(text, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 4096) {
        return 0;
    }
    MF_CLEANUP_FREE char *text = mf_xstrndup((const char *)data + 1, size - 1);
    if (data[0] >= 128) {
        fuzz_token(text, data[0] % 4 != 0, data[0] % 4 == 1);
        return 0;
    }
    switch (data[0] % 4) {
    case 0:
        fuzz_type(text);
        break;
    case 1:
    case 2:
        fuzz_set(text, data[0] % 4 == 2);
        break;
    default:
        fuzz_json((const char *)data + 1, size - 1);
    }
    return 0;
}
