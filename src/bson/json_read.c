/*
 * Extended JSON back to BSON. It takes what json.c writes, in whatever order of keys a database gave it back, and plain JSON that an application wrote into the column: its
 * numbers become the first of BSON's types that holds them.
 *
 * Nothing is put into a tree: a value is written as it is read, and its type into the place that was left for it.
 */
#include "bson/json.h"

#include "base/cleanup.h"
#include "base/number.h"
#include "base/str.h"
#include "bson/shred.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct read {
    const char *p, *end;
    struct mf_buf *b;
    struct mf_buf text; /* the last string */
    unsigned depth;
    const char *why;
};

static uint8_t put_value(struct read *r);

static bool bad(struct read *r, const char *why)
{
    r->why = r->why ? r->why : why;
    return false;
}

static void skip_space(struct read *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r' || *r->p == '\n')) {
        r->p++;
    }
}

static bool skip(struct read *r, char c)
{
    skip_space(r);
    if (r->p < r->end && *r->p == c) {
        r->p++;
        return true;
    }
    return false;
}

static bool want(struct read *r, char c)
{
    return skip(r, c) || bad(r, "it is no JSON");
}

static bool peek(struct read *r, char c)
{
    if (!skip(r, c)) {
        return false;
    }
    r->p--;
    return true;
}

static bool string(struct read *r)
{
    skip_space(r);
    mf_buf_reset(&r->text);
    const char *why = json_read_string(&r->p, r->end, &r->text);
    return !why || bad(r, why);
}

static bool name(struct read *r, const char *key)
{
    return string(r) && (mf_streq(mf_buf_str(&r->text), key) || bad(r, "it is no extended JSON")) && want(r, ':');
}

/* ---- values that extended JSON has words for ---- */

static uint8_t put_number(struct read *r, int word)
{
    char again[MF_NUMBER_TEXT + 4];
    bson_decimal128_t d;
    const char *s = mf_buf_str(&r->text);
    size_t n = r->text.len;
    int64_t i;
    double v;
    if (word == JSON_INT32 || word == JSON_INT64) {
        snprintf(again, sizeof again, "%" PRId64, number_to_int(s, n, &i) ? i : 0);
        if (!mf_streq(again, s) || (word == JSON_INT32 && (i < INT32_MIN || i > INT32_MAX))) {
            return bad(r, "a whole number in it is none");
        }
        if (word == JSON_INT32) {
            elem_put_int32(r->b, (int32_t)i);
            return BSON_TYPE_INT32;
        }
        elem_put_int64(r->b, i);
        return BSON_TYPE_INT64;
    }
    if (word == JSON_DECIMAL) {
        if (strlen(s) != n || !bson_decimal128_from_string(s, &d)) {
            return bad(r, "a decimal in it is none");
        }
        elem_put_decimal(r->b, &d);
        return BSON_TYPE_DECIMAL128;
    }
    if (number_put_word(r->b, s, n)) {
        return BSON_TYPE_DOUBLE;
    }
    if (!mf_get_double(s, n, &v)) {
        return bad(r, "a double in it is none");
    }
    elem_put_double(r->b, v);
    return BSON_TYPE_DOUBLE;
}

static uint8_t put_oid(struct read *r)
{
    uint8_t bytes[12];
    if (r->text.len != 24 || !hex_read(mf_buf_str(&r->text), 24, bytes)) {
        return bad(r, "an objectid in it is none");
    }
    mf_buf_append(r->b, bytes, sizeof bytes);
    return BSON_TYPE_OID;
}

static uint8_t put_binary(struct read *r)
{
    MF_CLEANUP_BUF struct mf_buf bytes = {.max = SHRED_TEXT_MOST};
    uint8_t subtype;
    if (!want(r, '{') || !name(r, "base64") || !string(r)) {
        return 0;
    }
    if (!base64_read(&bytes, mf_buf_str(&r->text), r->text.len)) {
        return bad(r, "a binary in it is no base64");
    }
    if (!want(r, ',') || !name(r, "subType") || !string(r)) {
        return 0;
    }
    if (r->text.len != 2 || !hex_read(mf_buf_str(&r->text), 2, &subtype)) {
        return bad(r, "a binary's subtype has two digits");
    }
    elem_put_binary(r->b, subtype, mf_buf_str(&bytes), bytes.len);
    return want(r, '}') ? BSON_TYPE_BINARY : 0;
}

static bool uint32(struct read *r, uint32_t *ret)
{
    char digits[12] = "";
    uint64_t v;
    size_t n = 0;
    skip_space(r);
    while (r->p < r->end && n < sizeof digits - 1 && *r->p >= '0' && *r->p <= '9') {
        digits[n++] = *r->p++;
    }
    digits[n] = '\0';
    if (!mf_parse_u64(digits, &v) || v > UINT32_MAX) {
        return bad(r, "a timestamp in it is none");
    }
    *ret = (uint32_t)v;
    return true;
}

static uint8_t put_timestamp(struct read *r)
{
    uint32_t i, t;
    if (!want(r, '{') || !name(r, "i") || !uint32(r, &i) || !want(r, ',') || !name(r, "t") || !uint32(r, &t)) {
        return 0;
    }
    elem_put_int32(r->b, (int32_t)i);
    elem_put_int32(r->b, (int32_t)t);
    return want(r, '}') ? BSON_TYPE_TIMESTAMP : 0;
}

/* A string without NUL, and one behind it. */
static bool put_cstring(struct read *r)
{
    if (!string(r)) {
        return false;
    }
    if (strlen(mf_buf_str(&r->text)) != r->text.len) {
        return bad(r, "a name or a pattern in it has a NUL");
    }
    mf_buf_append(r->b, mf_buf_str(&r->text), r->text.len);
    mf_buf_putc(r->b, '\0');
    return true;
}

static uint8_t put_regex(struct read *r)
{
    MF_CLEANUP_BUF struct mf_buf options = {.max = SHRED_TEXT_MOST};
    if (!want(r, '{') || !name(r, "options") || !string(r)) {
        return 0;
    }
    if (strlen(mf_buf_str(&r->text)) != r->text.len) {
        return bad(r, "a name or a pattern in it has a NUL");
    }
    mf_buf_append(&options, mf_buf_str(&r->text), r->text.len + 1);
    if (!want(r, ',') || !name(r, "pattern") || !put_cstring(r)) {
        return 0;
    }
    mf_buf_append(r->b, mf_buf_str(&options), options.len);
    return want(r, '}') ? BSON_TYPE_REGEX : 0;
}

static uint8_t put_dbpointer(struct read *r)
{
    uint8_t bytes[12];
    if (!want(r, '{') || !name(r, "$id") || !want(r, '{') || !name(r, "$oid") || !string(r)) {
        return 0;
    }
    if (r->text.len != 24 || !hex_read(mf_buf_str(&r->text), 24, bytes)) {
        return bad(r, "an objectid in it is none");
    }
    if (!want(r, '}') || !want(r, ',') || !name(r, "$ref") || !string(r)) {
        return 0;
    }
    elem_put_text(r->b, mf_buf_str(&r->text), r->text.len);
    mf_buf_append(r->b, bytes, sizeof bytes);
    return want(r, '}') ? BSON_TYPE_DBPOINTER : 0;
}

static uint8_t put_date(struct read *r)
{
    if (!want(r, '{') || !name(r, "$numberLong") || !string(r) || !put_number(r, JSON_INT64)) {
        return 0;
    }
    return want(r, '}') ? BSON_TYPE_DATE_TIME : 0;
}

static bool put_members(struct read *r);

static uint8_t put_code(struct read *r)
{
    size_t at = r->b->len;
    if (!string(r)) {
        return 0;
    }
    if (!peek(r, ',')) {
        elem_put_text(r->b, mf_buf_str(&r->text), r->text.len);
        return BSON_TYPE_CODE;
    }
    elem_put_int32(r->b, 0);
    elem_put_text(r->b, mf_buf_str(&r->text), r->text.len);
    if (!want(r, ',') || !name(r, json_words[JSON_SCOPE]) || put_value(r) != BSON_TYPE_DOCUMENT) {
        return bad(r, "the scope of code in it is no document");
    }
    if (mf_buf_ok(r->b)) {
        mf_put_u32le(r->b->data + at, (uint32_t)(r->b->len - at));
    }
    return BSON_TYPE_CODEWSCOPE;
}

static uint8_t put_word(struct read *r, int word)
{
    switch (word) {
    case JSON_BINARY:
        return put_binary(r);
    case JSON_CODE:
        return put_code(r);
    case JSON_TIMESTAMP:
        return put_timestamp(r);
    case JSON_REGEX:
        return put_regex(r);
    case JSON_DBPOINTER:
        return put_dbpointer(r);
    case JSON_DATE:
        return put_date(r);
    case JSON_MINKEY:
        return want(r, '1') ? BSON_TYPE_MINKEY : 0;
    case JSON_MAXKEY:
        return want(r, '1') ? BSON_TYPE_MAXKEY : 0;
    case JSON_UNDEFINED:
        return want(r, 't') && want(r, 'r') && want(r, 'u') && want(r, 'e') ? BSON_TYPE_UNDEFINED : 0;
    case JSON_DOCUMENT:
        return want(r, '{') && put_members(r) ? BSON_TYPE_DOCUMENT : 0;
    case JSON_SCOPE:
        return bad(r, "it is no extended JSON");
    default:
        break;
    }
    if (!string(r)) {
        return 0;
    }
    if (word == JSON_OID) {
        return put_oid(r);
    }
    if (word == JSON_SYMBOL) {
        elem_put_text(r->b, mf_buf_str(&r->text), r->text.len);
        return BSON_TYPE_SYMBOL;
    }
    return put_number(r, word);
}

/* ---- documents ---- */

/* The type's place is before the key, and known behind the value. */
static bool put_member(struct read *r, const char *key, size_t n)
{
    size_t at = r->b->len;
    elem_put_key(r->b, BSON_TYPE_NULL, key, n);
    uint8_t type = put_value(r);
    if (type && mf_buf_ok(r->b)) {
        r->b->data[at] = (char)type;
    }
    return type != 0;
}

/* What follows "{", with the "}". */
static bool put_members(struct read *r)
{
    size_t at = elem_put_begin(r->b);
    if (!skip(r, '}')) {
        do {
            if (!string(r)) {
                return false;
            }
            if (strlen(mf_buf_str(&r->text)) != r->text.len) {
                return bad(r, "a name or a pattern in it has a NUL");
            }
            if (!want(r, ':') || !put_member(r, mf_buf_str(&r->text), r->text.len)) {
                return false;
            }
        } while (skip(r, ','));
        if (!want(r, '}')) {
            return false;
        }
    }
    elem_put_end(r->b, at);
    return true;
}

static uint8_t put_object(struct read *r)
{
    const char *from = r->p;
    if (peek(r, '"') && r->end - r->p > 1 && r->p[1] == '$') {
        if (!string(r)) {
            return 0;
        }
        int word = json_word(mf_buf_str(&r->text), r->text.len);
        if (word >= 0) {
            uint8_t type = want(r, ':') ? put_word(r, word) : 0;
            return type && want(r, '}') ? type : 0;
        }
    }
    r->p = from;
    return put_members(r) ? BSON_TYPE_DOCUMENT : 0;
}

static uint8_t put_array(struct read *r)
{
    char key[12];
    size_t at = elem_put_begin(r->b);
    if (!skip(r, ']')) {
        uint32_t i = 0;
        do {
            int n = snprintf(key, sizeof key, "%" PRIu32, i++);
            if (!put_member(r, key, (size_t)n)) {
                return 0;
            }
        } while (skip(r, ','));
        if (!want(r, ']')) {
            return 0;
        }
    }
    elem_put_end(r->b, at);
    return BSON_TYPE_ARRAY;
}

static uint8_t put_plain(struct read *r)
{
    static const struct {
        const char *word;
        uint8_t type, value;
    } words[] = {{"null", BSON_TYPE_NULL, 0}, {"true", BSON_TYPE_BOOL, 1}, {"false", BSON_TYPE_BOOL, 0}};
    for (size_t i = 0; i < MF_ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i].word);
        if ((size_t)(r->end - r->p) >= n && memcmp(r->p, words[i].word, n) == 0) {
            r->p += n;
            if (words[i].type == BSON_TYPE_BOOL) {
                mf_buf_putc(r->b, (char)words[i].value);
            }
            return words[i].type;
        }
    }
    const char *from = r->p;
    while (r->p < r->end && *r->p && strchr("+-.eE0123456789", *r->p)) {
        r->p++;
    }
    uint8_t type = number_put(r->b, from, (size_t)(r->p - from));
    return type ? type : bad(r, r->p == from ? "it is no JSON" : "no number of BSON's is a number in it");
}

static uint8_t put_value(struct read *r)
{
    uint8_t type;
    if (r->depth >= MF_DOC_DEPTH) {
        return bad(r, "it is nested too deeply");
    }
    r->depth++;
    if (peek(r, '"')) {
        type = string(r) ? BSON_TYPE_UTF8 : 0;
        elem_put_text(r->b, mf_buf_str(&r->text), r->text.len);
    } else if (skip(r, '{')) {
        type = put_object(r);
    } else {
        type = skip(r, '[') ? put_array(r) : put_plain(r);
    }
    r->depth--;
    return type;
}

const char *json_read(const char *text, size_t n, const char *key, size_t nkey, struct mf_buf *b)
{
    struct read r = {.p = text, .end = text + n, .b = b, .text = {.max = SHRED_TEXT_MOST}};
    if (put_member(&r, key, nkey)) {
        skip_space(&r);
        if (r.p != r.end) {
            bad(&r, "it is no JSON");
        }
    }
    mf_buf_free(&r.text);
    return r.why;
}
