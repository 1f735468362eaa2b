/*
 * One walk through the document writes it anew. The members of an object are written as they come; where they do not come in
 * order they are put in order when the object ends, each a piece of the text written. What is open has its members and their keys on two
 * stacks, so nothing but the depth is bounded by the machine's own stack.
 */
#include "model/json.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)1 << 30)

struct member {
    size_t key_at, key_len; /* its characters, in walk.keys */
    size_t from, to;        /* "key":value, in walk.out */
    const char *key;        /* set when the object is closed */
};

struct walk {
    const char *p, *end;
    struct mf_buf *out;
    mf_json_number *number;
    struct mf_buf members, keys, swap;
    unsigned depth;
};

static const char no_json[] = "it is no JSON";

static const char *put_value(struct walk *w);

static void skip_space(struct walk *w)
{
    while (w->p < w->end && (*w->p == ' ' || *w->p == '\t' || *w->p == '\n' || *w->p == '\r')) {
        w->p++;
    }
}

static bool next_is(const struct walk *w, char c)
{
    return w->p < w->end && *w->p == c;
}

static void cut(struct mf_buf *b, size_t len)
{
    if (b->data) {
        b->len = len;
        b->data[len] = '\0';
    }
}

/* ---- strings ---- */

static bool hex4(struct walk *w, uint32_t *ret)
{
    uint32_t v = 0;
    if (w->end - w->p < 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        char c = *w->p++;
        if (c >= '0' && c <= '9') {
            v = v << 4 | (uint32_t)(c - '0');
        } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
            v = v << 4 | (uint32_t)((c | 32) - 'a' + 10);
        } else {
            return false;
        }
    }
    *ret = v;
    return true;
}

/* Past "\u"; a pair of surrogates is one character. */
static const char *take_unicode(struct walk *w, uint32_t *ret)
{
    uint32_t low;
    if (!hex4(w, ret)) {
        return no_json;
    }
    if (*ret >= 0xd800 && *ret < 0xdc00 && w->end - w->p >= 6 && w->p[0] == '\\' && w->p[1] == 'u') {
        w->p += 2;
        if (!hex4(w, &low)) {
            return no_json;
        }
        if (low >= 0xdc00 && low < 0xe000) {
            *ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
            return NULL;
        }
    }
    return *ret >= 0xd800 && *ret < 0xe000 ? "it has half of a surrogate pair, which is no character" : NULL;
}

/* Past the backslash. */
static const char *take_escape(struct walk *w, uint32_t *ret)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *at = w->p < w->end && *w->p ? strchr(letters, *w->p) : NULL;
    if (at) {
        w->p++;
        *ret = (uint8_t)meant[at - letters];
        return NULL;
    }
    if (!next_is(w, 'u')) {
        return no_json;
    }
    w->p++;
    return take_unicode(w, ret);
}

static void put_utf8(struct mf_buf *b, uint32_t c)
{
    if (c < 0x80) {
        mf_buf_putc(b, (char)c);
    } else if (c < 0x800) {
        mf_buf_putc(b, (char)(0xc0 | c >> 6));
        mf_buf_putc(b, (char)(0x80 | (c & 63)));
    } else {
        if (c < 0x10000) {
            mf_buf_putc(b, (char)(0xe0 | c >> 12));
        } else {
            mf_buf_putc(b, (char)(0xf0 | c >> 18));
            mf_buf_putc(b, (char)(0x80 | (c >> 12 & 63)));
        }
        mf_buf_putc(b, (char)(0x80 | (c >> 6 & 63)));
        mf_buf_putc(b, (char)(0x80 | (c & 63)));
    }
}

/* A character that was escaped, with an escape only if it needs one. */
static void put_character(struct mf_buf *b, uint32_t c)
{
    static const char controls[] = "\b\f\n\r\t", letters[] = "bfnrt";
    const char *at = c && c < 0x20 ? strchr(controls, (char)c) : NULL;
    if (at) {
        mf_buf_putc(b, '\\');
        mf_buf_putc(b, letters[at - controls]);
    } else if (c < 0x20) {
        mf_buf_printf(b, "\\u%04x", (unsigned)c);
    } else {
        mf_buf_puts(b, c == '"' || c == '\\' ? "\\" : "");
        put_utf8(b, c);
    }
}

/* The string at w->p, with its quotes; its characters too, to `plain` unless that is NULL. */
static const char *put_string(struct walk *w, struct mf_buf *plain)
{
    mf_buf_putc(w->out, '"');
    for (w->p++; w->p < w->end && *w->p != '"';) {
        const char *from = w->p;
        while (w->p < w->end && *w->p != '"' && *w->p != '\\' && (unsigned char)*w->p >= 0x20) {
            w->p++;
        }
        mf_buf_append(w->out, from, (size_t)(w->p - from));
        if (plain) {
            mf_buf_append(plain, from, (size_t)(w->p - from));
        }
        if (next_is(w, '\\')) {
            uint32_t c = 0;
            w->p++;
            const char *why = take_escape(w, &c);
            if (why) {
                return why;
            }
            put_character(w->out, c);
            if (plain) {
                put_utf8(plain, c);
            }
        } else if (!next_is(w, '"')) {
            return no_json; /* a control character, or the end */
        }
    }
    if (w->p == w->end) {
        return no_json;
    }
    w->p++;
    mf_buf_putc(w->out, '"');
    return NULL;
}

/* ---- numbers and words ---- */

static bool skip_digits(struct walk *w)
{
    const char *from = w->p;
    while (w->p < w->end && *w->p >= '0' && *w->p <= '9') {
        w->p++;
    }
    return w->p > from;
}

static const char *put_number(struct walk *w)
{
    struct mf_number v;
    const char *from = w->p;
    w->p += next_is(w, '-');
    bool zero = next_is(w, '0');
    const char *whole = w->p;
    if (!skip_digits(w) || (zero && w->p > whole + 1)) {
        return no_json;
    }
    if (next_is(w, '.')) {
        w->p++;
        if (!skip_digits(w)) {
            return no_json;
        }
    }
    if (next_is(w, 'e') || next_is(w, 'E')) {
        w->p++;
        w->p += next_is(w, '-') || next_is(w, '+');
        if (!skip_digits(w)) {
            return no_json;
        }
    }
    if (!mf_number_scan(from, (size_t)(w->p - from), &v)) {
        return "a number in it is too long, or its exponent too large";
    }
    if (w->number) {
        return w->number(w->out, &v);
    }
    mf_number_put(w->out, &v);
    return NULL;
}

static const char *put_word(struct walk *w)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < MF_ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(w->end - w->p) >= n && memcmp(w->p, words[i], n) == 0) {
            w->p += n;
            mf_buf_puts(w->out, words[i]);
            return NULL;
        }
    }
    return no_json;
}

/* ---- arrays and objects ---- */

static const char *put_array(struct walk *w)
{
    mf_buf_putc(w->out, '[');
    w->p++;
    skip_space(w);
    if (!next_is(w, ']')) {
        for (;;) {
            const char *why = put_value(w);
            if (why) {
                return why;
            }
            if (!next_is(w, ',')) {
                break;
            }
            mf_buf_putc(w->out, *w->p++);
        }
    }
    if (!next_is(w, ']')) {
        return no_json;
    }
    w->p++;
    mf_buf_putc(w->out, ']');
    return NULL;
}

static int compare_keys(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    size_t n = x->key_len < y->key_len ? x->key_len : y->key_len;
    int d = n ? memcmp(x->key, y->key, n) : 0;
    return d ? d : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

/* The members from `first` on, which were written behind w->out's byte `from`. */
static const char *put_in_order(struct walk *w, size_t first, size_t from)
{
    struct member *m = (struct member *)(void *)w->members.data + first;
    size_t n = w->members.len / sizeof *m - first;
    bool ordered = true;
    for (size_t i = 0; i < n; i++) {
        m[i].key = mf_buf_str(&w->keys) + m[i].key_at;
        ordered = ordered && (i == 0 || compare_keys(&m[i - 1], &m[i]) < 0);
    }
    if (ordered) {
        return NULL;
    }
    qsort(m, n, sizeof *m, compare_keys);
    mf_buf_reset(&w->swap);
    mf_buf_append(&w->swap, w->out->data + from, w->out->len - from);
    if (!mf_buf_ok(&w->swap)) {
        return "it needs too much memory";
    }
    cut(w->out, from);
    for (size_t i = 0; i < n; i++) {
        if (i && compare_keys(&m[i - 1], &m[i]) == 0) {
            return "an object in it has a key twice";
        }
        mf_buf_puts(w->out, i ? "," : "");
        mf_buf_append(w->out, w->swap.data + (m[i].from - from), m[i].to - m[i].from);
    }
    return NULL;
}

static const char *put_member(struct walk *w)
{
    struct member m = {.key_at = w->keys.len, .from = w->out->len};
    skip_space(w);
    if (!next_is(w, '"')) {
        return no_json;
    }
    const char *why = put_string(w, &w->keys);
    if (why) {
        return why;
    }
    m.key_len = w->keys.len - m.key_at;
    skip_space(w);
    if (!next_is(w, ':')) {
        return no_json;
    }
    mf_buf_putc(w->out, *w->p++);
    why = put_value(w);
    m.to = w->out->len;
    mf_buf_append(&w->members, &m, sizeof m);
    return why;
}

static const char *put_object(struct walk *w)
{
    size_t members = w->members.len, keys = w->keys.len;
    const char *why = NULL;
    mf_buf_putc(w->out, '{');
    size_t from = w->out->len;
    w->p++;
    skip_space(w);
    if (!next_is(w, '}')) {
        why = put_member(w);
        while (!why && next_is(w, ',')) {
            mf_buf_putc(w->out, *w->p++);
            why = put_member(w);
        }
    }
    if (!why && !next_is(w, '}')) {
        why = no_json;
    }
    if (!why && !(mf_buf_ok(w->out) && mf_buf_ok(&w->members) && mf_buf_ok(&w->keys))) {
        why = "it needs too much memory";
    }
    if (!why && w->members.len > members) {
        why = put_in_order(w, members / sizeof(struct member), from);
    }
    if (why) {
        return why;
    }
    w->p++;
    mf_buf_putc(w->out, '}');
    cut(&w->members, members);
    cut(&w->keys, keys);
    return NULL;
}

/* With the space around it. */
static const char *put_value(struct walk *w)
{
    const char *why;
    skip_space(w);
    char c = w->p < w->end ? *w->p : '\0';
    if (c == '{' || c == '[') {
        if (w->depth == MF_JSON_DEPTH) {
            return "it is nested deeper than 100 levels";
        }
        w->depth++;
        why = c == '{' ? put_object(w) : put_array(w);
        w->depth--;
    } else if (c == '"') {
        why = put_string(w, NULL);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        why = put_number(w);
    } else {
        why = put_word(w);
    }
    skip_space(w);
    return why;
}

const char *mf_json_put(struct mf_buf *b, const char *text, size_t n, mf_json_number *number)
{
    struct walk w = {.p = text, .end = text + n, .out = b, .number = number};
    if (n > TEXT_MAX) {
        return "it is longer than 1 GiB";
    }
    if (!mf_utf8_valid(text, n)) {
        return "it is not UTF-8";
    }
    mf_buf_init(&w.members, (n + 1) * sizeof(struct member)); /* a member has four bytes at least */
    mf_buf_init(&w.keys, n + 1);
    mf_buf_init(&w.swap, 8 * n + 64);
    const char *why = put_value(&w);
    if (!why && w.p != w.end) {
        why = no_json;
    }
    mf_buf_free(&w.members);
    mf_buf_free(&w.keys);
    mf_buf_free(&w.swap);
    return why || mf_buf_ok(b) ? why : "it needs too much memory";
}
