/*
 * Extended JSON of whatever stands in BSON.
 *
 * The canonical form is MongoDB's, with one thing more: a document of the user's that has a key which the form itself uses ("$oid", "$date") would be taken for a value, so it
 * stands in {"$document": …}. With that every value can be told from its text.
 */
#include "bson/json.h"

#include "base/number.h"
#include "base/str.h"
#include "bson/shred.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const json_words[JSON_WORDS] = {
    [JSON_OID] = "$oid",
    [JSON_SYMBOL] = "$symbol",
    [JSON_INT32] = "$numberInt",
    [JSON_INT64] = "$numberLong",
    [JSON_DOUBLE] = "$numberDouble",
    [JSON_DECIMAL] = "$numberDecimal",
    [JSON_BINARY] = "$binary",
    [JSON_CODE] = "$code",
    [JSON_SCOPE] = "$scope",
    [JSON_TIMESTAMP] = "$timestamp",
    [JSON_REGEX] = "$regularExpression",
    [JSON_DBPOINTER] = "$dbPointer",
    [JSON_DATE] = "$date",
    [JSON_MINKEY] = "$minKey",
    [JSON_MAXKEY] = "$maxKey",
    [JSON_UNDEFINED] = "$undefined",
    [JSON_DOCUMENT] = "$document",
};

int json_word(const char *key, size_t n)
{
    for (int i = 0; n && key[0] == '$' && i < JSON_WORDS; i++) {
        if (strlen(json_words[i]) == n && memcmp(json_words[i], key, n) == 0) {
            return i;
        }
    }
    return -1;
}

struct put {
    struct mf_buf *b;
    bool relaxed;
    size_t from, most;
};

static void put_any(const struct put *p, const struct elem *e);

static bool enough(const struct put *p)
{
    return p->relaxed && (p->b->len - p->from >= p->most || !mf_buf_ok(p->b));
}

static void put_string(const struct put *p, const char *s, size_t n)
{
    mf_buf_putc(p->b, '"');
    mf_json_escape(p->b, s, p->relaxed ? mf_utf8_cut(s, n, p->most) : n);
    mf_buf_putc(p->b, '"');
}

static bool ambiguous(const uint8_t *document)
{
    struct elem_walk w;
    struct elem e;
    elem_begin(&w, document);
    while (elem_next(&w, &e)) {
        if (json_word(e.key, e.nkey) >= 0) {
            return true;
        }
    }
    return false;
}

static void put_document(const struct put *p, const uint8_t *document, bool array)
{
    struct elem_walk w;
    struct elem e;
    bool wrapped = !array && !p->relaxed && ambiguous(document);
    mf_buf_puts(p->b, wrapped ? "{\"$document\":{" : array ? "[" : "{");
    elem_begin(&w, document);
    for (bool first = true; !enough(p) && elem_next(&w, &e); first = false) {
        mf_buf_puts(p->b, first ? "" : ",");
        if (!array) {
            put_string(p, e.key, e.nkey);
            mf_buf_putc(p->b, ':');
        }
        put_any(p, &e);
    }
    mf_buf_puts(p->b, wrapped ? "}}" : array ? "]" : "}");
}

static void put_double(const struct put *p, double v)
{
    char text[MF_NUMBER_TEXT + 4];
    size_t n = mf_put_double(text, v);
    bool plain = isfinite(v) && !memchr(text, '.', n) && !memchr(text, 'e', n);
    if (p->relaxed && isfinite(v)) {
        mf_buf_append(p->b, text, n);
        return;
    }
    mf_buf_printf(p->b, "{\"$numberDouble\":\"%.*s%s\"}", (int)n, text, plain ? ".0" : "");
}

static void put_date(const struct put *p, int64_t ms)
{
    char text[32];
    size_t n;
    if (p->relaxed && shred_instant_put(ms, text, &n)) {
        text[10] = 'T';
        mf_buf_printf(p->b, "{\"$date\":\"%.*sZ\"}", (int)n, text);
    } else {
        mf_buf_printf(p->b, "{\"$date\":{\"$numberLong\":\"%" PRId64 "\"}}", ms);
    }
}

static void put_binary(const struct put *p, const struct elem *e)
{
    uint8_t subtype;
    uint32_t n;
    const uint8_t *bytes = elem_binary(e, &subtype, &n);
    mf_buf_puts(p->b, "{\"$binary\":{\"base64\":\"");
    base64_put(p->b, bytes, p->relaxed && n > p->most ? p->most : n);
    mf_buf_printf(p->b, "\",\"subType\":\"%02x\"}}", subtype);
}

static void put_wrapped(const struct put *p, const char *word, const char *s, size_t n)
{
    mf_buf_printf(p->b, "{\"%s\":", word);
    put_string(p, s, n);
    mf_buf_putc(p->b, '}');
}

static void put_rare(const struct put *p, const struct elem *e)
{
    char hex[25];
    uint32_t n = 0;
    const char *s = (const char *)e->value;
    struct elem inner;
    switch (e->type) {
    case BSON_TYPE_REGEX:
        mf_buf_puts(p->b, "{\"$regularExpression\":{\"options\":");
        put_string(p, s + strlen(s) + 1, strlen(s + strlen(s) + 1));
        mf_buf_puts(p->b, ",\"pattern\":");
        put_string(p, s, strlen(s));
        mf_buf_puts(p->b, "}}");
        return;
    case BSON_TYPE_DBPOINTER:
        s = elem_text(e, &n);
        hex_put(hex, e->value + e->len - 12, 12);
        mf_buf_printf(p->b, "{\"$dbPointer\":{\"$id\":{\"$oid\":\"%.24s\"},\"$ref\":", hex);
        put_string(p, s, n);
        mf_buf_puts(p->b, "}}");
        return;
    case BSON_TYPE_CODEWSCOPE:
        inner = (struct elem){.value = e->value + 4};
        s = elem_text(&inner, &n);
        mf_buf_puts(p->b, "{\"$code\":");
        put_string(p, s, n);
        mf_buf_puts(p->b, ",\"$scope\":");
        put_document(p, (const uint8_t *)s + n + 1, false);
        mf_buf_putc(p->b, '}');
        return;
    case BSON_TYPE_TIMESTAMP:
        mf_buf_printf(p->b, "{\"$timestamp\":{\"i\":%" PRIu32 ",\"t\":%" PRIu32 "}}", (uint32_t)elem_int32(e->value),
                      (uint32_t)elem_int32(e->value + 4));
        return;
    case BSON_TYPE_UNDEFINED:
        mf_buf_puts(p->b, "{\"$undefined\":true}");
        return;
    default:
        mf_buf_puts(p->b, e->type == BSON_TYPE_MINKEY ? "{\"$minKey\":1}" : "{\"$maxKey\":1}");
        return;
    }
}

static void put_any(const struct put *p, const struct elem *e)
{
    char text[BSON_DECIMAL128_STRING];
    uint32_t n;
    const char *s;
    bson_decimal128_t d;
    switch (e->type) {
    case BSON_TYPE_DOUBLE:
        put_double(p, elem_double(e->value));
        return;
    case BSON_TYPE_UTF8:
        s = elem_text(e, &n);
        put_string(p, s, n);
        return;
    case BSON_TYPE_SYMBOL:
    case BSON_TYPE_CODE:
        s = elem_text(e, &n);
        put_wrapped(p, json_words[e->type == BSON_TYPE_CODE ? JSON_CODE : JSON_SYMBOL], s, n);
        return;
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:
        put_document(p, e->value, e->type == BSON_TYPE_ARRAY);
        return;
    case BSON_TYPE_BINARY:
        put_binary(p, e);
        return;
    case BSON_TYPE_OID:
        hex_put(text, e->value, 12);
        put_wrapped(p, json_words[JSON_OID], text, 24);
        return;
    case BSON_TYPE_BOOL:
        mf_buf_puts(p->b, e->value[0] ? "true" : "false");
        return;
    case BSON_TYPE_DATE_TIME:
        put_date(p, elem_int64(e->value));
        return;
    case BSON_TYPE_NULL:
        mf_buf_puts(p->b, "null");
        return;
    case BSON_TYPE_INT32:
        mf_buf_printf(p->b, p->relaxed ? "%" PRId32 : "{\"$numberInt\":\"%" PRId32 "\"}", elem_int32(e->value));
        return;
    case BSON_TYPE_INT64:
        mf_buf_printf(p->b, p->relaxed ? "%" PRId64 : "{\"$numberLong\":\"%" PRId64 "\"}", elem_int64(e->value));
        return;
    case BSON_TYPE_DECIMAL128:
        d = elem_decimal(e->value);
        bson_decimal128_to_string(&d, text);
        put_wrapped(p, json_words[JSON_DECIMAL], text, strlen(text));
        return;
    default:
        put_rare(p, e);
        return;
    }
}

void json_put_value(struct mf_buf *b, const struct elem *e, size_t most)
{
    const struct put p = {.b = b, .relaxed = most != 0, .from = b->len, .most = most};
    put_any(&p, e);
}

void mf_bson_put_json(struct mf_buf *b, const struct mf_value *bson, size_t most)
{
    char where[ELEM_WHERE];
    const char *why;
    size_t from = b->len;
    if (!mf_value_has_bytes(bson) || elem_check(bson->data, bson->len, &why, where) < 0) {
        mf_buf_puts(b, mf_value_has_bytes(bson) ? "(no document)" : "(nothing)");
        return;
    }
    struct elem e = elem_document(bson->data, bson->len);
    json_put_value(b, &e, most ? most : 1);
    if (mf_buf_ok(b) && b->len - from > most) {
        elem_cut(b, from + mf_utf8_cut(b->data + from, b->len - from, most));
    }
}

/* ---- digits ---- */

void hex_put(char *out, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_read(const char *s, size_t n, uint8_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        int v = nibble(s[i]);
        if (v < 0) {
            return false;
        }
        ret[i / 2] = i % 2 ? (uint8_t)(ret[i / 2] | v) : (uint8_t)(v << 4);
    }
    return true;
}

void uuid_put(char *out, const uint8_t *p)
{
    char hex[33];
    hex_put(hex, p, 16);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

bool uuid_read(const char *s, size_t n, uint8_t *ret)
{
    char hex[32];
    size_t k = 0;
    for (size_t i = 0; n == 36 && i < n && k < 32; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash != (s[i] == '-')) {
            return false;
        }
        if (!dash) {
            hex[k++] = s[i];
        }
    }
    return k == 32 && hex_read(hex, 32, ret);
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put(struct mf_buf *b, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        const char four[4] = {base64[v >> 18], base64[v >> 12 & 63], i + 1 < n ? base64[v >> 6 & 63] : '=',
                              i + 2 < n ? base64[v & 63] : '='};
        mf_buf_append(b, four, 4);
    }
}

bool base64_read(struct mf_buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t v = 0;
        size_t have = 0;
        if (n - i < 4) {
            return false;
        }
        for (size_t k = 0; k < 4; k++) {
            const char *at = s[i + k] ? strchr(base64, s[i + k]) : NULL;
            if (at && have == k) {
                v |= (uint32_t)(at - base64) << (18 - 6 * k);
                have++;
            } else if (s[i + k] != '=' || i + 4 != n || k < 2) {
                return false;
            }
        }
        if ((have == 2 && (v & 0xffff)) || (have == 3 && (v & 0xff))) {
            return false; /* bits behind the last byte */
        }
        const uint8_t bytes[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        mf_buf_append(b, bytes, have - 1);
    }
    return true;
}
