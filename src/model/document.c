/* Reading and writing documents: see document.h. */
#include "model/document.h"

#include "base/str.h"
#include "model/canon.h"

#include <string.h>

#define DIGITS_MAX 131072 /* of a number written without its exponent */

static const char no_json[] = "it is no document";
static const char another[] = "a value in it is of another kind than the type has there";

/* ---- reading ---- */

char mf_document_next(const struct mf_document *d)
{
    char c = d->p < d->end ? *d->p : '\0';
    return c == '-' || (c >= '0' && c <= '9') ? '0' : c;
}

bool mf_document_take(struct mf_document *d, char c)
{
    bool is = d->p < d->end && *d->p == c;
    d->p += is;
    return is;
}

static bool take_word(struct mf_document *d, const char *word)
{
    size_t n = strlen(word);
    bool is = (size_t)(d->end - d->p) >= n && memcmp(d->p, word, n) == 0;
    d->p += is ? n : 0;
    return is;
}

/* Past the backslash. Canonical JSON escapes quotes, backslashes and control characters only. */
static bool take_escape(struct mf_document *d, struct mf_buf *plain)
{
    static const char letters[] = "\"\\bfnrt", meant[] = "\"\\\b\f\n\r\t";
    const char *at = d->p < d->end && *d->p ? strchr(letters, *d->p) : NULL;
    unsigned c = 0;
    if (at) {
        d->p++;
        mf_buf_putc(plain, meant[at - letters]);
        return true;
    }
    if (d->end - d->p < 5 || memcmp(d->p, "u00", 3) != 0) {
        return false;
    }
    for (int i = 3; i < 5; i++) {
        char h = d->p[i];
        c = c << 4 | (unsigned)(h >= '0' && h <= '9' ? h - '0' : h >= 'a' && h <= 'f' ? h - 'a' + 10 : 0xff);
    }
    if (c >= 0x20) {
        return false;
    }
    d->p += 5;
    mf_buf_putc(plain, (char)c);
    return true;
}

bool mf_document_string(struct mf_document *d, struct mf_buf *plain)
{
    if (!mf_document_take(d, '"')) {
        return false;
    }
    for (;;) {
        const char *from = d->p;
        while (d->p < d->end && *d->p != '"' && *d->p != '\\') {
            d->p++;
        }
        mf_buf_append(plain, from, (size_t)(d->p - from));
        if (mf_document_take(d, '"')) {
            return true;
        }
        if (!mf_document_take(d, '\\') || !take_escape(d, plain)) {
            return false;
        }
    }
}

static bool skip_string(struct mf_document *d)
{
    for (d->p++; d->p < d->end && *d->p != '"'; d->p++) {
        d->p += *d->p == '\\' && d->end - d->p > 1;
    }
    return mf_document_take(d, '"');
}

static bool skip_number(struct mf_document *d)
{
    const char *from = d->p;
    while (d->p < d->end && (strchr("+-.eE", *d->p) || (*d->p >= '0' && *d->p <= '9')) && *d->p) {
        d->p++;
    }
    return d->p > from;
}

bool mf_document_skip(struct mf_document *d)
{
    unsigned depth = 0;
    do {
        char c = mf_document_next(d);
        bool ok = true;
        if (c == '{' || c == '[') {
            depth++;
            d->p++;
        } else if (c == '}' || c == ']') {
            ok = depth-- > 0;
            d->p++;
        } else if (c == ',' || c == ':') {
            ok = depth > 0;
            d->p++;
        } else {
            ok = c == '"'   ? skip_string(d)
                 : c == '0' ? skip_number(d)
                            : take_word(d, "true") || take_word(d, "false") || take_word(d, "null");
        }
        if (!ok || depth > MF_JSON_DEPTH) {
            return false;
        }
    } while (depth > 0);
    return true;
}

/* ---- scalars ---- */

static bool is_number(const struct mf_type *t)
{
    return t->kind == MF_KIND_INT || t->kind == MF_KIND_DECIMAL || t->kind == MF_KIND_FLOAT;
}

/* Of a FLOAT, what no number in JSON says. */
static bool is_word(const struct mf_value *v)
{
    return mf_canon_is(v, "NaN") || mf_canon_is(v, "Infinity") || mf_canon_is(v, "-Infinity") || mf_canon_is(v, "-0");
}

static bool is_hex(const char *s, size_t n)
{
    bool ok = n >= 2 && n % 2 == 0 && s[0] == '0' && s[1] == 'x';
    for (size_t i = 2; ok && i < n; i++) {
        ok = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');
    }
    return ok;
}

/* The shortest decimal of the number nearest to it, if that is its own value. */
static const char *put_float(struct mf_buf *b, unsigned bits, const char *s, size_t n, const struct mf_number *given)
{
    char text[MF_NUMBER_TEXT];
    struct mf_number kept;
    float f = 0;
    double d = 0;
    if (bits == 32 ? !mf_get_float(s, n, &f) : !mf_get_double(s, n, &d)) {
        return "a number in it is too large for the type, or has too many digits";
    }
    size_t len = bits == 32 ? mf_put_float(text, f) : mf_put_double(text, d);
    if (!mf_number_scan(text, len, &kept) || !mf_number_equal(given, &kept)) {
        return "a number in it is not exactly one of the type";
    }
    mf_buf_append(b, text, len);
    return NULL;
}

static const char *put_number(struct mf_buf *b, const struct mf_type *t, const char *s, size_t n)
{
    struct mf_number v;
    if (!mf_number_scan(s, n, &v)) {
        return no_json;
    }
    if (t->kind == MF_KIND_FLOAT && !v.zero) {
        return put_float(b, t->bits, s, n, &v);
    }
    if (v.point > DIGITS_MAX || (int64_t)v.nsig - v.point > DIGITS_MAX) {
        return "a number in it has too many digits";
    }
    mf_number_put_plain(b, &v);
    return NULL;
}

/* Whether what was appended from byte `at` on is a canonical text of t. */
static const char *wrong_text(const struct mf_type *t, const struct mf_buf *b, size_t at)
{
    const struct mf_value v = {.kind = MF_TEXT, .len = (uint32_t)(b->len - at), .data = mf_buf_str(b) + at};
    if (!mf_buf_ok(b)) {
        return "it needs too much memory";
    }
    if (t->kind == MF_KIND_BYTES) {
        return is_hex(v.data, v.len) ? NULL : "bytes in it are not written \"0x\" and pairs of hex digits";
    }
    return t->kind == MF_KIND_JSON ? NULL : mf_canon_wrong(t, &v);
}

const char *mf_document_scalar(struct mf_document *d, const struct mf_type *t, struct mf_buf *b)
{
    size_t at = b->len;
    char c = mf_document_next(d);
    if (c == 'n') {
        return "it has a null in it, for which there is no room there";
    }
    if (t->kind == MF_KIND_BOOL) {
        bool yes = take_word(d, "true");
        if (!yes && !take_word(d, "false")) {
            return another;
        }
        mf_buf_putc(b, yes ? '1' : '0');
        return NULL;
    }
    if (is_number(t) && c == '0') {
        const char *from = d->p;
        const char *why = skip_number(d) ? put_number(b, t, from, (size_t)(d->p - from)) : no_json;
        return why ? why : wrong_text(t, b, at);
    }
    if (c != '"' || (is_number(t) && t->kind != MF_KIND_FLOAT)) {
        return another;
    }
    if (!mf_document_string(d, b)) {
        return no_json;
    }
    const struct mf_value v = {.kind = MF_TEXT, .len = (uint32_t)(b->len - at), .data = mf_buf_str(b) + at};
    return is_number(t) && !is_word(&v) ? another : wrong_text(t, b, at);
}

const char *mf_document_key(struct mf_document *d, const struct mf_type *t, struct mf_buf *b)
{
    size_t at = b->len;
    if (!mf_document_string(d, b)) {
        return no_json;
    }
    if (t->kind == MF_KIND_BOOL) {
        const struct mf_value v = {.kind = MF_TEXT, .len = (uint32_t)(b->len - at), .data = mf_buf_str(b) + at};
        bool yes = mf_canon_is(&v, "true");
        if (!yes && !mf_canon_is(&v, "false")) {
            return another;
        }
        b->len = at;
        mf_buf_putc(b, yes ? '1' : '0');
        return NULL;
    }
    return wrong_text(t, b, at);
}

/* ---- writing ---- */

static void put_string(struct mf_buf *b, const struct mf_value *v)
{
    mf_buf_putc(b, '"');
    if (v->kind == MF_BINARY) {
        mf_buf_puts(b, "0x");
        for (uint32_t i = 0; i < v->len; i++) {
            mf_buf_printf(b, "%02x", (unsigned char)v->data[i]);
        }
    } else {
        mf_json_escape(b, v->data, v->len);
    }
    mf_buf_putc(b, '"');
}

void mf_document_put(struct mf_buf *b, const struct mf_type *t, const struct mf_value *v)
{
    if (t->kind == MF_KIND_BOOL) {
        mf_buf_puts(b, mf_canon_is(v, "1") ? "true" : "false");
    } else if (is_number(t) && !is_word(v)) {
        mf_buf_append(b, v->data, v->len);
    } else {
        put_string(b, v);
    }
}

void mf_document_put_key(struct mf_buf *b, const struct mf_type *t, const struct mf_value *v)
{
    if (t->kind == MF_KIND_BOOL) {
        mf_buf_puts(b, mf_canon_is(v, "1") ? "\"true\"" : "\"false\"");
    } else {
        put_string(b, v);
    }
}
