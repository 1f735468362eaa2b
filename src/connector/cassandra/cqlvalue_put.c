/* The text of a value into its bytes. */
#include "connector/cassandra/cqlvalue_internal.h"
#include "connector/cassandra/message.h"

#include "base/cleanup.h"
#include "base/number.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static const char *const NO_TEXT = "is written in another way";

/* What is wrong is a clause behind the text; NULL: nothing is. */

static const char *put_int(struct mf_buf *b, const char *s, size_t n, unsigned bytes)
{
    int64_t v, max = (int64_t)(UINT64_MAX >> (65 - 8 * bytes));
    const char *bad = cql_int_of(s, n, -max - 1, max, &v);
    if (bad) {
        return bad;
    }
    uint8_t out[8];
    mf_put_u64be(out, (uint64_t)v);
    mf_buf_append(b, out + 8 - bytes, bytes);
    return NULL;
}

/* Only what the number is exactly, or has as its shortest decimal. */
static const char *put_float(struct mf_buf *b, const char *s, size_t n, bool wide)
{
    char back[MF_NUMBER_TEXT];
    size_t len;
    float f = 0;
    double d = 0;
    if (wide ? !mf_get_double(s, n, &d) : !mf_get_float(s, n, &f)) {
        return "is no such number";
    }
    len = wide ? mf_put_double(back, d) : mf_put_float(back, f);
    struct mf_number given, kept;
    if (mf_number_scan(s, n, &given) && mf_number_scan(back, len, &kept) &&
        (!mf_number_equal(&given, &kept) || given.negative != kept.negative)) {
        return "is not exactly a number of the type";
    }
    uint64_t v = 0;
    uint32_t low = 0;
    memcpy(&v, &d, sizeof(d));
    memcpy(&low, &f, sizeof(f));
    if (wide) {
        mf_buf_put_u64be(b, v);
    } else {
        mf_buf_put_u32be(b, low);
    }
    return NULL;
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static const char *put_hex(struct mf_buf *b, const char *s, size_t n)
{
    if (n < 2 || n % 2 || s[0] != '0' || (s[1] != 'x' && s[1] != 'X')) {
        return "is no \"0x\" and pairs of hex digits";
    }
    if (mf_buf_reserve(b, n / 2) < 0) {
        return NULL;
    }
    char *out = b->data + b->len;
    for (size_t i = 2; i < n; i += 2) {
        int high = digit(s[i]), low = digit(s[i + 1]);
        if (high < 0 || low < 0) {
            return "is no \"0x\" and pairs of hex digits";
        }
        *out++ = (char)(high << 4 | low);
    }
    b->len += n / 2 - 1;
    b->data[b->len] = '\0';
    return NULL;
}

static const char *put_uuid(struct mf_buf *b, const char *s, size_t n, bool of_time)
{
    uint8_t out[16];
    size_t k = 0;
    if (n != 36) {
        return "is no UUID";
    }
    for (size_t i = 0; i < n;) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (s[i++] != '-') {
                return "is no UUID";
            }
            continue;
        }
        int high = digit(s[i]), low = digit(s[i + 1]);
        if (high < 0 || low < 0) {
            return "is no UUID";
        }
        out[k++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    if (of_time && out[6] >> 4 != 1) {
        return "is no UUID of version 1";
    }
    mf_buf_append(b, out, sizeof(out));
    return NULL;
}

static const char *put_inet(struct mf_buf *b, const char *s, size_t n)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t out[16];
    if (n >= sizeof(text) || memchr(s, 0, n)) {
        return "is no address";
    }
    memcpy(text, s, n);
    text[n] = '\0';
    if (inet_pton(AF_INET, text, out) == 1) {
        mf_buf_append(b, out, 4);
    } else if (inet_pton(AF_INET6, text, out) == 1) {
        mf_buf_append(b, out, 16);
    } else {
        return "is no address";
    }
    return NULL;
}

static const char *put_boolean(struct mf_buf *b, const char *s, size_t n)
{
    if (n == 4 && strncasecmp(s, "true", 4) == 0) {
        mf_buf_put_u8(b, 1);
    } else if (n == 5 && strncasecmp(s, "false", 5) == 0) {
        mf_buf_put_u8(b, 0);
    } else {
        return "is neither true nor false";
    }
    return NULL;
}

static const char *put_chars(struct mf_buf *b, enum cql_kind kind, const char *s, size_t n)
{
    if (!mf_utf8_valid(s, n)) {
        return "is no UTF-8";
    }
    for (size_t i = 0; kind == CQL_K_ASCII && i < n; i++) {
        if ((unsigned char)s[i] >= 0x80) {
            return "has characters that are not ASCII";
        }
    }
    mf_buf_append(b, s, n);
    return NULL;
}

static const char *put_moment(struct mf_buf *b, enum cql_kind kind, const char *s, size_t n)
{
    int64_t v;
    uint32_t days;
    const char *bad = kind == CQL_K_DATE   ? cql_date_of(s, n, &days)
                      : kind == CQL_K_TIME ? cql_time_of(s, n, &v)
                                           : cql_timestamp_of(s, n, &v);
    if (bad) {
        return bad;
    }
    if (kind == CQL_K_DATE) {
        mf_buf_put_u32be(b, days);
    } else {
        mf_buf_put_u64be(b, (uint64_t)v);
    }
    return NULL;
}

static const char *put_scalar(struct mf_buf *b, enum cql_kind kind, const char *s, size_t n)
{
    if (n == 0 && cql_has_empty(kind)) {
        return NULL;
    }
    switch (kind) {
    case CQL_K_ASCII:
    case CQL_K_TEXT:
        return put_chars(b, kind, s, n);
    case CQL_K_BIGINT:
    case CQL_K_COUNTER:
        return put_int(b, s, n, 8);
    case CQL_K_INT:
        return put_int(b, s, n, 4);
    case CQL_K_SMALLINT:
        return put_int(b, s, n, 2);
    case CQL_K_TINYINT:
        return put_int(b, s, n, 1);
    case CQL_K_VARINT:
        return cql_varint_bytes(b, s, n);
    case CQL_K_DECIMAL:
        return cql_decimal_bytes(b, s, n);
    case CQL_K_DOUBLE:
    case CQL_K_FLOAT:
        return put_float(b, s, n, kind == CQL_K_DOUBLE);
    case CQL_K_BOOLEAN:
        return put_boolean(b, s, n);
    case CQL_K_UUID:
    case CQL_K_TIMEUUID:
        return put_uuid(b, s, n, kind == CQL_K_TIMEUUID);
    case CQL_K_INET:
        return put_inet(b, s, n);
    case CQL_K_DURATION:
        return cql_duration_bytes(b, s, n);
    case CQL_K_DATE:
    case CQL_K_TIME:
    case CQL_K_TIMESTAMP:
        return put_moment(b, kind, s, n);
    default:
        return put_hex(b, s, n);
    }
}

/* ---- within brackets -- */

struct in {
    const char *p, *end;
    struct mf_buf *b;
    struct mf_buf *scratch; /* a text without its quotes */
};

static const char *put_value(struct in *in, const struct cql_type *t, unsigned depth);

static void skip_blanks(struct in *in)
{
    while (in->p < in->end && (*in->p == ' ' || *in->p == '\t' || *in->p == '\n' || *in->p == '\r')) {
        in->p++;
    }
}

static bool take(struct in *in, char c)
{
    skip_blanks(in);
    if (in->p == in->end || *in->p != c) {
        return false;
    }
    in->p++;
    return true;
}

/* A text in quotes, its first one taken, into scratch. */
static bool take_quoted(struct in *in, char quote)
{
    mf_buf_reset(in->scratch);
    for (;;) {
        const char *q = in->p < in->end ? memchr(in->p, quote, (size_t)(in->end - in->p)) : NULL;
        if (!q) {
            return false;
        }
        bool doubled = q + 1 < in->end && q[1] == quote;
        mf_buf_append(in->scratch, in->p, (size_t)(q - in->p) + doubled);
        in->p = q + 1 + doubled;
        if (!doubled) {
            return mf_buf_ok(in->scratch);
        }
    }
}

static bool ends_word(char c)
{
    return strchr(" \t\r\n,:]})", c) != NULL;
}

static bool take_null(struct in *in)
{
    skip_blanks(in);
    if (in->end - in->p < 4 || strncasecmp(in->p, "null", 4) != 0 || (in->end - in->p > 4 && !ends_word(in->p[4]))) {
        return false;
    }
    in->p += 4;
    return true;
}

/* A value with its length in front, or null. */
static const char *put_element(struct in *in, const struct cql_type *t, unsigned depth)
{
    if (take_null(in)) {
        cql_put_null(in->b);
        return NULL;
    }
    size_t at = in->b->len;
    mf_buf_put_u32be(in->b, 0);
    const char *bad = put_value(in, t, depth);
    if (!bad && mf_buf_ok(in->b)) {
        mf_put_u32be(in->b->data + at, (uint32_t)(in->b->len - at - 4));
    }
    return bad;
}

static const char *put_collection(struct in *in, const struct cql_type *t, unsigned depth)
{
    char close = t->kind == CQL_K_LIST ? ']' : '}';
    uint32_t n = 0;
    size_t at = in->b->len;
    mf_buf_put_u32be(in->b, 0);
    if (!take(in, t->kind == CQL_K_LIST ? '[' : '{')) {
        return NO_TEXT;
    }
    while (!take(in, close) && mf_buf_ok(in->b)) {
        if (n > 0 && !take(in, ',')) {
            return NO_TEXT;
        }
        const char *bad = put_element(in, t->sub[0], depth);
        if (!bad && t->kind == CQL_K_MAP) {
            bad = take(in, ':') ? put_element(in, t->sub[1], depth) : NO_TEXT;
        }
        if (bad) {
            return bad;
        }
        n++;
    }
    if (mf_buf_ok(in->b)) {
        mf_put_u32be(in->b->data + at, n);
    }
    return NULL;
}

static const char *put_tuple(struct in *in, const struct cql_type *t, unsigned depth)
{
    if (!take(in, '(')) {
        return NO_TEXT;
    }
    for (uint32_t i = 0; i < t->nsub; i++) {
        const char *bad = i > 0 && !take(in, ',') ? NO_TEXT : put_element(in, t->sub[i], depth);
        if (bad) {
            return bad;
        }
    }
    return take(in, ')') ? NULL : NO_TEXT;
}

/* The name of a field and its colon, if it is this one. */
static bool take_field(struct in *in, const char *name)
{
    struct in at = *in;
    skip_blanks(&at);
    size_t n = strlen(name);
    if (take(&at, '"')) {
        if (!take_quoted(&at, '"') || at.scratch->len != n || memcmp(mf_buf_str(at.scratch), name, n) != 0) {
            return false;
        }
    } else if ((size_t)(at.end - at.p) < n || memcmp(at.p, name, n) != 0) {
        return false;
    } else {
        at.p += n;
    }
    if (!take(&at, ':')) {
        return false;
    }
    in->p = at.p;
    return true;
}

static const char *put_udt(struct in *in, const struct cql_type *t, unsigned depth)
{
    bool first = true;
    if (!take(in, '{')) {
        return NO_TEXT;
    }
    for (uint32_t i = 0; i < t->nsub; i++) {
        struct in at = *in;
        if ((first || take(&at, ',')) && take_field(&at, t->fields[i])) {
            in->p = at.p;
            first = false;
            const char *bad = put_element(in, t->sub[i], depth);
            if (bad) {
                return bad;
            }
        } else {
            cql_put_null(in->b);
        }
    }
    return take(in, '}') ? NULL : NO_TEXT;
}

static const char *put_vector(struct in *in, const struct cql_type *t, unsigned depth)
{
    size_t fixed = cql_fixed_size(t->sub[0]);
    if (!take(in, '[')) {
        return NO_TEXT;
    }
    MF_CLEANUP_BUF struct mf_buf one = {.max = in->b->max};
    for (uint32_t i = 0; i < t->dimension && mf_buf_ok(in->b); i++) {
        if (i > 0 && !take(in, ',')) {
            return NO_TEXT;
        }
        if (take_null(in)) {
            return "has a null in a vector";
        }
        struct mf_buf *b = in->b;
        mf_buf_reset(&one);
        in->b = &one;
        const char *bad = put_value(in, t->sub[0], depth);
        in->b = b;
        if (bad) {
            return bad;
        }
        if (fixed && one.len != fixed && mf_buf_ok(&one)) {
            return "has an empty value in a vector";
        }
        if (!fixed) {
            cql_put_vint(b, one.len);
        }
        mf_buf_append(b, one.data, one.len);
        b->failed |= one.failed;
    }
    return take(in, ']') || !mf_buf_ok(in->b) ? NULL : NO_TEXT;
}

/* A scalar within brackets. */
static const char *put_word(struct in *in, enum cql_kind kind)
{
    skip_blanks(in);
    if (take(in, '\'')) {
        if (!take_quoted(in, '\'')) {
            return mf_buf_ok(in->scratch) ? NO_TEXT : "is too long";
        }
        if (in->scratch->len > 0 && !cql_is_quoted(kind)) {
            return "has quotes where there are none";
        }
        return put_scalar(in->b, kind, mf_buf_str(in->scratch), in->scratch->len);
    }
    const char *s = in->p;
    while (in->p < in->end && !ends_word(*in->p)) {
        in->p++;
    }
    if (in->p == s || cql_is_quoted(kind)) {
        return NO_TEXT;
    }
    return put_scalar(in->b, kind, s, (size_t)(in->p - s));
}

static const char *put_value(struct in *in, const struct cql_type *t, unsigned depth)
{
    if (depth >= CQL_VALUE_DEPTH) {
        return "is of a type that is too deep";
    }
    switch (t->kind) {
    case CQL_K_LIST:
    case CQL_K_SET:
    case CQL_K_MAP:
        return put_collection(in, t, depth + 1);
    case CQL_K_TUPLE:
        return put_tuple(in, t, depth + 1);
    case CQL_K_UDT:
        return put_udt(in, t, depth + 1);
    case CQL_K_VECTOR:
        return put_vector(in, t, depth + 1);
    default:
        return put_word(in, t->kind);
    }
}

static const char *put_whole(const struct cql_type *t, const char *text, size_t n, struct mf_buf *b)
{
    if (t->nsub == 0 && t->kind != CQL_K_UDT && t->kind != CQL_K_TUPLE) {
        return put_scalar(b, t->kind, text, n);
    }
    MF_CLEANUP_BUF struct mf_buf scratch = {.max = n};
    struct in in = {.p = text, .end = text + n, .b = b, .scratch = &scratch};
    const char *bad = put_value(&in, t, 0);
    skip_blanks(&in);
    return bad || !mf_buf_ok(b) || in.p == in.end ? bad : NO_TEXT;
}

int cql_value_put(const struct cql_type *t, const char *text, size_t n, struct mf_buf *b, struct mf_error *err)
{
    size_t at = b->len;
    mf_buf_put_u32be(b, 0);
    const char *bad = put_whole(t, text, n, b);
    bool full = !mf_buf_ok(b) || b->len - at - 4 > INT32_MAX;
    if (!bad && !full) {
        mf_put_u32be(b->data + at, (uint32_t)(b->len - at - 4));
        return 0;
    }
    b->failed = false;
    b->len = at;
    if (b->data) {
        b->data[at] = '\0';
    }
    if (!bad) {
        return mf_fail(err, MF_ROW, "MFBIG", "a value of %zu characters has no room in %zu bytes", n, b->max);
    }
    size_t shown = mf_utf8_valid(text, n) ? mf_utf8_cut(text, n, 80) : 0;
    MF_CLEANUP_BUF struct mf_buf type = {.max = 200};
    cql_type_put(&type, t);
    return mf_fail(err, MF_ROW, "MFVALUE", "\"%.*s\"%s %s: it is no value of type %s", (int)shown, text,
                   shown < n ? " …" : "", bad, mf_buf_str(&type));
}
