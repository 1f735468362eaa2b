/* Bytes of a value into its text. */
#include "connector/cassandra/cqlvalue_internal.h"

#include "base/number.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <string.h>

size_t cql_fixed_size(const struct cql_type *t)
{
    switch (t->kind) {
    case CQL_K_BOOLEAN:
        return 1;
    case CQL_K_INT:
    case CQL_K_FLOAT:
        return 4;
    case CQL_K_BIGINT:
    case CQL_K_DOUBLE:
    case CQL_K_TIMESTAMP:
        return 8;
    case CQL_K_UUID:
    case CQL_K_TIMEUUID:
        return 16;
    case CQL_K_VECTOR:
        return t->dimension * cql_fixed_size(t->sub[0]);
    default:
        return 0; /* smallint, tinyint, date and time too: so the server has it */
    }
}

bool cql_has_empty(enum cql_kind kind)
{
    switch (kind) {
    case CQL_K_BIGINT:
    case CQL_K_BOOLEAN:
    case CQL_K_COUNTER:
    case CQL_K_DECIMAL:
    case CQL_K_DOUBLE:
    case CQL_K_FLOAT:
    case CQL_K_INT:
    case CQL_K_TIMESTAMP:
    case CQL_K_UUID:
    case CQL_K_VARINT:
    case CQL_K_TIMEUUID:
    case CQL_K_INET:
        return true;
    default:
        return false;
    }
}

bool cql_is_quoted(enum cql_kind kind)
{
    return kind == CQL_K_ASCII || kind == CQL_K_TEXT || kind == CQL_K_TIMESTAMP || kind == CQL_K_DATE ||
           kind == CQL_K_TIME || kind == CQL_K_INET;
}

/* What is wrong is a clause behind "N bytes"; NULL: nothing is. */
static const char *put(struct mf_buf *b, const struct cql_type *t, const uint8_t *p, size_t n, unsigned depth);

static const char *put_text(struct mf_buf *b, enum cql_kind kind, const uint8_t *p, size_t n, bool within)
{
    if (!mf_utf8_valid(p, n)) {
        return "that are no UTF-8";
    }
    for (size_t i = 0; kind == CQL_K_ASCII && i < n; i++) {
        if (p[i] >= 0x80) {
            return "that are not all below 128";
        }
    }
    if (!within) {
        mf_buf_append(b, p, n);
        return NULL;
    }
    mf_buf_putc(b, '\'');
    for (const uint8_t *q; n > 0 && (q = memchr(p, '\'', n)) != NULL; n -= (size_t)(q + 1 - p), p = q + 1) {
        mf_buf_append(b, p, (size_t)(q + 1 - p));
        mf_buf_putc(b, '\'');
    }
    mf_buf_append(b, p, n);
    mf_buf_putc(b, '\'');
    return NULL;
}

static void put_hex(struct mf_buf *b, const uint8_t *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    mf_buf_puts(b, "0x");
    if (mf_buf_reserve(b, 2 * n) < 0) {
        return;
    }
    char *out = b->data + b->len;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex[p[i] >> 4];
        out[2 * i + 1] = hex[p[i] & 15];
    }
    b->len += 2 * n;
    b->data[b->len] = '\0';
}

static void put_uuid(struct mf_buf *b, const uint8_t *p)
{
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    for (size_t i = 0; i < sizeof(groups); i++) {
        mf_buf_puts(b, i ? "-" : "");
        for (size_t k = 0; k < groups[i]; k++) {
            mf_buf_printf(b, "%02x", *p++);
        }
    }
}

static const char *put_inet(struct mf_buf *b, const uint8_t *p, size_t n)
{
    char text[INET6_ADDRSTRLEN];
    if (n != 4 && n != 16) {
        return "where 4 or 16 make an address";
    }
    mf_buf_puts(b, inet_ntop(n == 4 ? AF_INET : AF_INET6, p, text, sizeof(text)));
    return NULL;
}

static void put_int(struct mf_buf *b, int64_t v)
{
    char text[24];
    mf_buf_append(b, text, cql_put_int(text, v));
}

/* Types whose values all have the same number of bytes. */
static const char *put_fixed(struct mf_buf *b, enum cql_kind kind, const uint8_t *p, size_t n)
{
    static const uint8_t sizes[CQL_K_TINYINT + 1] = {
        [CQL_K_BIGINT] = 8, [CQL_K_BOOLEAN] = 1,   [CQL_K_COUNTER] = 8, [CQL_K_DOUBLE] = 8,    [CQL_K_FLOAT] = 4,
        [CQL_K_INT] = 4,    [CQL_K_TIMESTAMP] = 8, [CQL_K_UUID] = 16,   [CQL_K_TIMEUUID] = 16, [CQL_K_DATE] = 4,
        [CQL_K_TIME] = 8,   [CQL_K_SMALLINT] = 2,  [CQL_K_TINYINT] = 1};
    if (n != sizes[kind]) {
        return "which is another number than values of the type have";
    }
    uint64_t v = n == 8 ? mf_get_u64be(p) : n == 4 ? mf_get_u32be(p) : n == 2 ? mf_get_u16be(p) : p[0];
    uint32_t low = (uint32_t)v;
    char text[MF_NUMBER_TEXT];
    float f;
    double d;
    switch (kind) {
    case CQL_K_BOOLEAN:
        mf_buf_puts(b, v ? "true" : "false");
        break;
    case CQL_K_DOUBLE:
        memcpy(&d, &v, sizeof(d));
        mf_buf_append(b, text, mf_put_double(text, d));
        break;
    case CQL_K_FLOAT:
        memcpy(&f, &low, sizeof(f));
        mf_buf_append(b, text, mf_put_float(text, f));
        break;
    case CQL_K_TIMESTAMP:
        cql_timestamp_text(b, (int64_t)v);
        break;
    case CQL_K_UUID:
    case CQL_K_TIMEUUID:
        put_uuid(b, p);
        break;
    case CQL_K_DATE:
        cql_date_text(b, low);
        break;
    case CQL_K_TIME:
        if (v >= 86400000000000u) {
            return "that are no time of a day";
        }
        cql_time_text(b, (int64_t)v);
        break;
    default:
        put_int(b, n == 8 ? (int64_t)v : n == 4 ? (int32_t)low : n == 2 ? (int16_t)low : (int8_t)low);
    }
    return NULL;
}

static const char *put_scalar(struct mf_buf *b, enum cql_kind kind, const uint8_t *p, size_t n)
{
    switch (kind) {
    case CQL_K_CUSTOM:
    case CQL_K_BLOB:
        put_hex(b, p, n);
        return NULL;
    case CQL_K_VARINT:
        return cql_varint_text(b, p, n) ? NULL : "that are a number of more digits than are taken";
    case CQL_K_DECIMAL:
        return cql_decimal_text(b, p, n) ? NULL : "that are no decimal, or one of more digits than are taken";
    case CQL_K_INET:
        return put_inet(b, p, n);
    case CQL_K_DURATION:
        return cql_duration_text(b, p, n) ? NULL : "that are no duration";
    default:
        return put_fixed(b, kind, p, n);
    }
}

/* A value within brackets. */
static const char *put_within(struct mf_buf *b, const struct cql_type *t, const uint8_t *p, int32_t n, unsigned depth)
{
    if (n < 0) {
        mf_buf_puts(b, "null");
        return NULL;
    }
    if (t->kind == CQL_K_TEXT || t->kind == CQL_K_ASCII) {
        return put_text(b, t->kind, p, (size_t)n, true);
    }
    if (n == 0 && cql_has_empty(t->kind)) {
        mf_buf_puts(b, "''");
        return NULL;
    }
    bool quote = cql_is_quoted(t->kind);
    if (quote) {
        mf_buf_putc(b, '\'');
    }
    const char *bad = put(b, t, p, (size_t)n, depth);
    if (quote) {
        mf_buf_putc(b, '\'');
    }
    return bad;
}

static const char *const CUT = "that end within it";

/* The next [bytes] of a collection. */
static const char *put_element(struct mf_buf *b, const struct cql_type *t, struct mf_cursor *r, unsigned depth)
{
    int32_t n = (int32_t)mf_read_u32be(r);
    const uint8_t *p = n > 0 ? mf_read_bytes(r, (size_t)n) : r->p;
    return r->failed ? CUT : put_within(b, t, p, n, depth);
}

static const char *put_collection(struct mf_buf *b, const struct cql_type *t, struct mf_cursor *r, unsigned depth)
{
    int32_t n = (int32_t)mf_read_u32be(r);
    size_t each = t->kind == CQL_K_MAP ? 8 : 4;
    if (r->failed || n < 0 || (size_t)n > mf_cursor_left(r) / each) {
        return CUT;
    }
    mf_buf_putc(b, t->kind == CQL_K_LIST ? '[' : '{');
    for (int32_t i = 0; i < n && mf_buf_ok(b); i++) {
        mf_buf_puts(b, i ? ", " : "");
        const char *bad = put_element(b, t->sub[0], r, depth);
        if (!bad && t->kind == CQL_K_MAP) {
            mf_buf_puts(b, ": ");
            bad = put_element(b, t->sub[1], r, depth);
        }
        if (bad) {
            return bad;
        }
    }
    mf_buf_putc(b, t->kind == CQL_K_LIST ? ']' : '}');
    return NULL;
}

static const char *put_fields(struct mf_buf *b, const struct cql_type *t, struct mf_cursor *r, unsigned depth)
{
    bool udt = t->kind == CQL_K_UDT;
    mf_buf_putc(b, udt ? '{' : '(');
    for (uint32_t i = 0; i < t->nsub && mf_buf_ok(b); i++) {
        mf_buf_puts(b, i ? ", " : "");
        if (udt) {
            cql_name_put(b, t->fields[i]);
            mf_buf_puts(b, ": ");
        }
        const char *bad = NULL;
        if (mf_cursor_left(r) == 0) {
            mf_buf_puts(b, "null"); /* left out at the end: an older value than the type */
        } else {
            bad = put_element(b, t->sub[i], r, depth);
        }
        if (bad) {
            return bad;
        }
    }
    mf_buf_putc(b, udt ? '}' : ')');
    return NULL;
}

static const char *put_vector(struct mf_buf *b, const struct cql_type *t, struct mf_cursor *r, unsigned depth)
{
    size_t fixed = cql_fixed_size(t->sub[0]);
    mf_buf_putc(b, '[');
    for (uint32_t i = 0; i < t->dimension && mf_buf_ok(b); i++) {
        mf_buf_puts(b, i ? ", " : "");
        uint64_t n = fixed ? fixed : cql_read_vint(r);
        const uint8_t *p = n <= mf_cursor_left(r) ? mf_read_bytes(r, (size_t)n) : NULL;
        const char *bad = p ? put_within(b, t->sub[0], p, (int32_t)n, depth) : CUT;
        if (bad) {
            return bad;
        }
    }
    mf_buf_putc(b, ']');
    return NULL;
}

static const char *put(struct mf_buf *b, const struct cql_type *t, const uint8_t *p, size_t n, unsigned depth)
{
    struct mf_cursor r;
    mf_cursor_init(&r, p, n);
    const char *bad;
    if (depth >= CQL_VALUE_DEPTH) {
        return "of a type that is too deep";
    }
    switch (t->kind) {
    case CQL_K_LIST:
    case CQL_K_SET:
    case CQL_K_MAP:
        bad = put_collection(b, t, &r, depth + 1);
        break;
    case CQL_K_TUPLE:
    case CQL_K_UDT:
        bad = put_fields(b, t, &r, depth + 1);
        break;
    case CQL_K_VECTOR:
        bad = put_vector(b, t, &r, depth + 1);
        break;
    case CQL_K_ASCII:
    case CQL_K_TEXT:
        return put_text(b, t->kind, p, n, false);
    default:
        return n == 0 && cql_has_empty(t->kind) ? NULL : put_scalar(b, t->kind, p, n);
    }
    return bad || !mf_buf_ok(b) || mf_cursor_left(&r) == 0 ? bad : "of which some are behind its end";
}

int cql_value_text(const struct cql_type *t, struct cql_bytes v, struct mf_buf *b, struct mf_error *err)
{
    size_t before = b->len;
    const char *bad = put(b, t, v.p, (size_t)v.n, 0);
    if (!bad && mf_buf_ok(b)) {
        return 0;
    }
    bool full = !mf_buf_ok(b);
    b->failed = false;
    b->len = before;
    if (b->data) {
        b->data[before] = '\0';
    }
    if (full && !bad) {
        return mf_fail(err, MF_ROW, "MFBIG", "the text of a value of %d bytes is longer than %zu bytes", v.n, b->max);
    }
    struct mf_buf type = {.max = 200};
    cql_type_put(&type, t);
    mf_fail(err, MF_ROW, "MFVALUE", "a value of type %s has %d bytes %s", mf_buf_str(&type), v.n, bad);
    mf_buf_free(&type);
    return -1;
}
