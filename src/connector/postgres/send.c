#include "connector/postgres/send.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum pg_send pg_send_for(uint32_t base_type)
{
    switch (base_type) {
    case PG_INT2:
        return PG_SEND_INT2;
    case PG_INT4:
        return PG_SEND_INT4;
    case PG_INT8:
        return PG_SEND_INT8;
    case PG_BOOL:
        return PG_SEND_BOOL;
    case PG_UUID:
        return PG_SEND_UUID;
    case PG_BYTEA:
        return PG_SEND_BYTEA;
    case PG_CHAR:
        return PG_SEND_CHAR;
    default:
        return PG_SEND_TEXT;
    }
}

static uint32_t element_oid(enum pg_send s)
{
    static const uint32_t oids[] = {PG_TEXT, PG_INT2, PG_INT4, PG_INT8, PG_BOOL, PG_UUID, PG_BYTEA, PG_INT4};
    return oids[s];
}

const char *pg_send_type(enum pg_send s)
{
    static const char *const names[] = {"text", "int2", "int4", "int8", "bool", "uuid", "bytea", "int4"};
    return names[s];
}

bool pg_send_needs_cast(enum pg_send s, uint32_t base_type)
{
    return element_oid(s) != base_type;
}

/* ---- exactness ---- */

static size_t characters(const char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += ((unsigned char)p[i] & 0xc0) != 0x80;
    }
    return count;
}

/* Digits after the point, but for trailing zeros. An exponent counts as "cannot tell": INT32_MAX. */
static int32_t significant_fraction(const char *p, size_t n)
{
    const char *point = memchr(p, '.', n);
    if (memchr(p, 'e', n) || memchr(p, 'E', n)) {
        return INT32_MAX;
    }
    if (!point) {
        return 0;
    }
    int32_t digits = 0, last = 0;
    for (const char *s = point + 1; s < p + n && *s >= '0' && *s <= '9'; s++) {
        digits++;
        last = *s == '0' ? last : digits;
    }
    return last;
}

/* Negative scales (15 and later) round to the left of the point. */
static int32_t trailing_zeros_before_point(const char *p, size_t n)
{
    const char *end = memchr(p, '.', n);
    int32_t zeros = 0;
    for (const char *s = end ? end : p + n; s > p && s[-1] == '0'; s--) {
        zeros++;
    }
    return zeros;
}

static const char *inexact_numeric(int32_t typmod, const char *p, size_t n)
{
    if (typmod < 4 || n == 0 || p[0] == 'N' || p[0] == 'I' || p[n - 1] == 'y') {
        return NULL; /* NaN and infinities: the server judges */
    }
    int32_t scale = (typmod - 4) & 0x7ff;
    if (scale >= 1024) {
        scale -= 2048;
    }
    int32_t fraction = significant_fraction(p, n);
    if (scale >= 0 && fraction > scale) {
        return "it has more decimal places than the target's column";
    }
    if (scale < 0 && (fraction > 0 || (trailing_zeros_before_point(p, n) < -scale && !(n == 1 && *p == '0')))) {
        return "the target's column would round it to the left of the point";
    }
    return NULL;
}

/* "2026-01-02 03:04:05+00": a zone stands after the time of day. */
static bool has_zone(const char *p, size_t n)
{
    const char *colon = memchr(p, ':', n);
    if (!colon) {
        return false;
    }
    size_t rest = (size_t)(p + n - colon);
    return memchr(colon, '+', rest) || memchr(colon, '-', rest);
}

static const char *inexact_time(uint32_t type, int32_t typmod, const char *p, size_t n)
{
    if (typmod >= 0 && type != PG_INTERVAL && significant_fraction(p, n) > typmod) {
        return "it has finer fractions of a second than the target's column";
    }
    if (type == PG_INTERVAL && typmod >= 0) {
        int32_t precision = typmod & 0xffff;
        const char *colon = memchr(p, ':', n);
        if (precision <= 6 && colon && significant_fraction(colon, (size_t)(p + n - colon)) > precision) {
            return "it has finer fractions of a second than the target's column";
        }
    }
    if ((type == PG_TIMESTAMP || type == PG_TIME) && has_zone(p, n)) {
        return "it has a time zone, which the target's column cannot keep";
    }
    if (type == PG_DATE && memchr(p, ':', n)) {
        return "it has a time of day, which the target's column cannot keep";
    }
    return NULL;
}

/* The significant digits of a number as text, without point, leading and trailing zeros. Returns how many, or SIZE_MAX
 * when they do not fit. */
static size_t digits_of(const char *p, size_t n, char *out, size_t size)
{
    size_t k = 0;
    for (size_t i = 0; i < n && p[i] != 'e' && p[i] != 'E'; i++) {
        if (p[i] < '0' || p[i] > '9' || (k == 0 && p[i] == '0')) {
            continue;
        }
        if (k == size) {
            return SIZE_MAX;
        }
        out[k++] = p[i];
    }
    while (k > 0 && out[k - 1] == '0') {
        k--;
    }
    return k;
}

/* A float keeps a decimal exactly when one of its short forms has the same digits. */
static const char *inexact_float(uint32_t type, const char *p, size_t n)
{
    char digits[32], again[32], text[64];
    size_t sure = type == PG_FLOAT8 ? 15 : 6, most = type == PG_FLOAT8 ? 17 : 9;
    size_t k = digits_of(p, n, digits, sizeof(digits));
    if (k <= sure) {
        return NULL;
    }
    if (k <= most && n < sizeof(text)) {
        memcpy(text, p, n);
        text[n] = 0;
        double d = type == PG_FLOAT8 ? strtod(text, NULL) : (double)strtof(text, NULL);
        for (size_t precision = k; precision <= most; precision++) {
            char form[64];
            int len = snprintf(form, sizeof(form), "%.*e", (int)precision - 1, d);
            if (digits_of(form, (size_t)len, again, sizeof(again)) == k && memcmp(digits, again, k) == 0) {
                return NULL;
            }
        }
    }
    return "it has more digits than the target's floating-point column keeps";
}

static const char *inexact(uint32_t type, int32_t typmod, const char *p, size_t n)
{
    switch (type) {
    case PG_NUMERIC:
        return inexact_numeric(typmod, p, n);
    case PG_VARCHAR: /* too long with other than blanks is refused by the server; blanks are cut by it */
    case PG_BPCHAR:
        if (typmod >= 4 && n > (size_t)(typmod - 4) && characters(p, n) > (size_t)(typmod - 4)) {
            return "it is longer than the target's column";
        }
        return NULL;
    case PG_NAME:
        return n > 63 ? "it is longer than the 63 bytes of a name" : NULL;
    case PG_CHAR:
        return n > 1 && !(n == 4 && p[0] == '\\') && characters(p, n) > 1 ? "it is longer than one byte" : NULL;
    case PG_FLOAT4:
    case PG_FLOAT8:
        return inexact_float(type, p, n);
    case PG_TIMESTAMP:
    case PG_TIMESTAMPTZ:
    case PG_TIME:
    case PG_TIMETZ:
    case PG_INTERVAL:
    case PG_DATE:
        return inexact_time(type, typmod, p, n);
    default:
        return NULL;
    }
}

/* One element of an array's text from p on: its own text, without quotes and backslashes, in out when it has any. Returns what
 * comes after it. */
static const char *next_element(const char *p, const char *end, struct mf_buf *out, bool *ret_null)
{
    bool quoted = p < end && *p == '"';
    mf_buf_reset(out);
    for (p += quoted; p < end && (quoted ? *p != '"' : *p != ',' && *p != '}'); p++) {
        p += *p == '\\' && p + 1 < end;
        mf_buf_putc(out, *p);
    }
    *ret_null = !quoted && out->len == 4 && memcmp(out->data, "NULL", 4) == 0;
    return p + (quoted && p < end);
}

static const char *inexact_array(uint32_t type, int32_t typmod, const char *p, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf element = {.max = (size_t)1 << 30};
    const char *end = p + n, *why = NULL;
    bool null;
    for (p = memchr(p, '{', n); p && p < end && !why;) { /* bounds may stand before it: [0:1]={…} */
        if (*p == '{' || *p == '}' || *p == ',') {
            p++;
            continue;
        }
        p = next_element(p, end, &element, &null);
        why = null ? NULL : inexact(type, typmod, element.len ? element.data : "", element.len);
    }
    return mf_buf_ok(&element) ? why : "it is too large to be looked at";
}

const char *pg_inexact(const struct pg_made *m, const struct mf_value *v)
{
    if (v->kind != MF_TEXT) {
        return NULL;
    }
    return m->array ? inexact_array(m->type, m->typmod, v->data, v->len) : inexact(m->type, m->typmod, v->data, v->len);
}

/* ---- elements ---- */

static bool parse_int(const char *p, size_t n, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = n > 0 && *p == '-';
    size_t i = negative;
    uint64_t v = 0;
    if (i == n || n - i > 19) {
        return false;
    }
    for (; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return false;
        }
        v = v * 10 + (uint64_t)(p[i] - '0'); /* 19 digits stay under 2^64 */
    }
    if (negative ? v > (uint64_t)max + 1 : v > (uint64_t)max) {
        return false;
    }
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return *ret >= min;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *put_uuid(struct mf_buf *b, const char *p, size_t n)
{
    uint8_t bytes[16];
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        if (p[i] == '-') {
            i++;
            continue;
        }
        int hi = hex_digit(p[i]), lo = i + 1 < n ? hex_digit(p[i + 1]) : -1;
        if (hi < 0 || lo < 0 || k == 16) {
            return "it is not a uuid";
        }
        bytes[k++] = (uint8_t)(hi << 4 | lo);
        i += 2;
    }
    if (k != 16) {
        return "it is not a uuid";
    }
    mf_buf_put_u32be(b, 16);
    mf_buf_append(b, bytes, 16);
    return NULL;
}

static const char *put_bytea(struct mf_buf *b, const char *p, size_t n)
{
    if (n < 2 || p[0] != '\\' || p[1] != 'x' || n % 2) {
        return "it is not a hexadecimal bytea";
    }
    size_t len = (n - 2) / 2;
    mf_buf_put_u32be(b, (uint32_t)len);
    if (mf_buf_reserve(b, len) < 0) {
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        int hi = hex_digit(p[2 + 2 * i]), lo = hex_digit(p[3 + 2 * i]);
        if (hi < 0 || lo < 0) {
            return "it is not a hexadecimal bytea";
        }
        b->data[b->len + i] = (char)(hi << 4 | lo);
    }
    b->len += len;
    b->data[b->len] = 0;
    return NULL;
}

static const char *put_integer(struct mf_buf *b, enum pg_send s, const char *p, size_t n)
{
    static const struct {
        int64_t min, max;
    } ranges[] = {[PG_SEND_INT2] = {INT16_MIN, INT16_MAX},
                  [PG_SEND_INT4] = {INT32_MIN, INT32_MAX},
                  [PG_SEND_INT8] = {INT64_MIN, INT64_MAX}};
    int64_t v;
    if (!parse_int(p, n, ranges[s].min, ranges[s].max, &v)) {
        return "it is no integer in the range of the target's column";
    }
    switch (s) {
    case PG_SEND_INT2:
        mf_buf_put_u32be(b, 2);
        mf_buf_put_u16be(b, (uint16_t)v);
        break;
    case PG_SEND_INT4:
        mf_buf_put_u32be(b, 4);
        mf_buf_put_u32be(b, (uint32_t)v);
        break;
    default:
        mf_buf_put_u32be(b, 8);
        mf_buf_put_u64be(b, (uint64_t)v);
    }
    return NULL;
}

/* "", one byte as it is, or a backslash and three octal digits. */
static const char *put_char(struct mf_buf *b, const char *p, size_t n)
{
    unsigned byte = n == 1 ? (unsigned char)p[0] : 0;
    if (n == 4 && p[0] == '\\') {
        for (size_t i = 1; i < n; i++) {
            if (p[i] < '0' || p[i] > (i == 1 ? '3' : '7')) {
                return "it is not a single byte";
            }
            byte = byte * 8 + (unsigned)(p[i] - '0');
        }
    } else if (n > 1) {
        return "it is not a single byte";
    }
    mf_buf_put_u32be(b, 4);
    mf_buf_put_u32be(b, byte > INT8_MAX ? byte - 256 : byte); /* the cast takes the byte with its sign */
    return NULL;
}

static const char *put_element(struct mf_buf *b, enum pg_send s, const struct mf_value *v)
{
    const char *p = v->data;
    size_t n = v->len;
    switch (s) {
    case PG_SEND_TEXT:
        mf_buf_put_u32be(b, (uint32_t)n);
        mf_buf_append(b, p, n);
        return NULL;
    case PG_SEND_UUID:
        return put_uuid(b, p, n);
    case PG_SEND_BYTEA:
        return put_bytea(b, p, n);
    case PG_SEND_CHAR:
        return put_char(b, p, n);
    case PG_SEND_BOOL:
        if (n != 1 || (p[0] != 't' && p[0] != 'f')) {
            return "it is not a boolean";
        }
        mf_buf_put_u32be(b, 1);
        mf_buf_put_u8(b, p[0] == 't');
        return NULL;
    default:
        return put_integer(b, s, p, n);
    }
}

int pg_put_array(struct mf_buf *b, enum pg_send s, const struct pg_made *m, const struct mf_row *const *rows, size_t n,
                 uint16_t col, size_t *ret_bad, const char **ret_why)
{
    bool nulls = false;
    for (size_t i = 0; i < n && !nulls; i++) {
        enum mf_value_kind kind = rows[i]->values[col].kind;
        nulls = kind == MF_NULL || kind == MF_UNCHANGED;
    }
    mf_buf_put_u32be(b, 1); /* dimensions */
    mf_buf_put_u32be(b, nulls);
    mf_buf_put_u32be(b, element_oid(s));
    mf_buf_put_u32be(b, (uint32_t)n);
    mf_buf_put_u32be(b, 1); /* lower bound */
    for (size_t i = 0; i < n; i++) {
        const struct mf_value *v = &rows[i]->values[col];
        const char *why = NULL;
        switch (v->kind) {
        case MF_NULL:
        case MF_UNCHANGED:
            mf_buf_put_u32be(b, UINT32_MAX);
            continue;
        case MF_BINARY: /* the source sends binary only in the form of the type itself */
            mf_buf_put_u32be(b, v->len);
            mf_buf_append(b, v->data, v->len);
            continue;
        case MF_TEXT:
            why = pg_inexact(m, v);
            why = why ? why : put_element(b, s, v);
            break;
        case MF_REFUSED:
            why = "the target has no such value";
        }
        if (why) {
            *ret_bad = i;
            *ret_why = why;
            return -1;
        }
    }
    if (!mf_buf_ok(b)) {
        *ret_bad = n;
        *ret_why = "its values are too big for one statement";
        return -1;
    }
    return 0;
}
