#include "bson/elem.h"

#include <string.h>

/* The bytes that a value takes, of checked bytes. */
static uint32_t value_len(uint8_t type, const uint8_t *p)
{
    switch (type) {
    case BSON_TYPE_DOUBLE:
    case BSON_TYPE_DATE_TIME:
    case BSON_TYPE_TIMESTAMP:
    case BSON_TYPE_INT64:
        return 8;
    case BSON_TYPE_UTF8:
    case BSON_TYPE_CODE:
    case BSON_TYPE_SYMBOL:
        return 4 + (uint32_t)elem_int32(p);
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:
    case BSON_TYPE_CODEWSCOPE:
        return (uint32_t)elem_int32(p);
    case BSON_TYPE_BINARY:
        return 5 + (uint32_t)elem_int32(p);
    case BSON_TYPE_OID:
        return 12;
    case BSON_TYPE_BOOL:
        return 1;
    case BSON_TYPE_INT32:
        return 4;
    case BSON_TYPE_DECIMAL128:
        return 16;
    case BSON_TYPE_DBPOINTER:
        return 4 + (uint32_t)elem_int32(p) + 12;
    case BSON_TYPE_REGEX: {
        uint32_t n = (uint32_t)strlen((const char *)p) + 1;
        return n + (uint32_t)strlen((const char *)p + n) + 1;
    }
    default:
        return 0; /* null, undefined, the two ends of all keys */
    }
}

void elem_begin(struct elem_walk *w, const uint8_t *document)
{
    w->p = document + 4;
    w->end = document + elem_int32(document) - 1;
}

bool elem_next(struct elem_walk *w, struct elem *ret)
{
    if (w->p >= w->end) {
        return false;
    }
    ret->type = *w->p++;
    ret->key = (const char *)w->p;
    ret->nkey = (uint32_t)strlen(ret->key);
    ret->value = w->p + ret->nkey + 1;
    ret->len = value_len(ret->type, ret->value);
    w->p = ret->value + ret->len;
    return true;
}

struct elem elem_document(const void *p, size_t n)
{
    return (struct elem){.type = BSON_TYPE_DOCUMENT, .key = "", .len = (uint32_t)n, .value = p};
}

bool elem_same(const struct elem *a, const struct elem *b)
{
    return a->type == b->type && a->len == b->len && (a->len == 0 || memcmp(a->value, b->value, a->len) == 0);
}

double elem_double(const uint8_t *p)
{
    int64_t bits = elem_int64(p);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

bson_decimal128_t elem_decimal(const uint8_t *p)
{
    return (bson_decimal128_t){.low = (uint64_t)elem_int64(p), .high = (uint64_t)elem_int64(p + 8)};
}

const uint8_t *elem_binary(const struct elem *e, uint8_t *ret_subtype, uint32_t *ret_n)
{
    uint32_t n = (uint32_t)elem_int32(e->value), inner = e->value[4] == BSON_SUBTYPE_BINARY_DEPRECATED ? 4 : 0;
    *ret_subtype = e->value[4];
    *ret_n = n - inner;
    return e->value + 5 + inner;
}

const char *elem_type_name(uint8_t type)
{
    static const char *const names[] = {
        "end",   "double",    "string", "document",  "array",     "binary", "undefined", "objectid",
        "bool",  "date",      "null",   "regex",     "dbpointer", "code",   "symbol",    "code with scope",
        "int32", "timestamp", "int64",  "decimal128"};
    return type < sizeof names / sizeof *names ? names[type]
           : type == BSON_TYPE_MAXKEY          ? "maxkey"
           : type == BSON_TYPE_MINKEY          ? "minkey"
                                               : "unknown";
}

/* ---- writing ---- */

size_t elem_put_begin(struct mf_buf *b)
{
    size_t at = b->len;
    elem_put_int32(b, 0);
    return at;
}

void elem_put_end(struct mf_buf *b, size_t at)
{
    mf_buf_putc(b, '\0');
    if (mf_buf_ok(b)) {
        mf_put_u32le(b->data + at, (uint32_t)(b->len - at));
    }
}

void elem_put_key(struct mf_buf *b, uint8_t type, const char *key, size_t n)
{
    mf_buf_putc(b, (char)type);
    mf_buf_append(b, key, n);
    mf_buf_putc(b, '\0');
}

void elem_put(struct mf_buf *b, const char *key, size_t n, const struct elem *e)
{
    elem_put_key(b, e->type, key, n);
    mf_buf_append(b, e->value, e->len);
}

void elem_put_int32(struct mf_buf *b, int32_t v)
{
    uint8_t bytes[4];
    mf_put_u32le(bytes, (uint32_t)v);
    mf_buf_append(b, bytes, sizeof bytes);
}

void elem_put_int64(struct mf_buf *b, int64_t v)
{
    uint8_t bytes[8];
    mf_put_u64le(bytes, (uint64_t)v);
    mf_buf_append(b, bytes, sizeof bytes);
}

void elem_put_double(struct mf_buf *b, double v)
{
    int64_t bits;
    memcpy(&bits, &v, sizeof bits);
    elem_put_int64(b, bits);
}

void elem_put_decimal(struct mf_buf *b, const bson_decimal128_t *v)
{
    elem_put_int64(b, (int64_t)v->low);
    elem_put_int64(b, (int64_t)v->high);
}

void elem_put_text(struct mf_buf *b, const char *s, size_t n)
{
    elem_put_int32(b, (int32_t)n + 1);
    mf_buf_append(b, s, n);
    mf_buf_putc(b, '\0');
}

void elem_put_binary(struct mf_buf *b, uint8_t subtype, const void *p, size_t n)
{
    bool old = subtype == BSON_SUBTYPE_BINARY_DEPRECATED;
    elem_put_int32(b, (int32_t)n + (old ? 4 : 0));
    mf_buf_putc(b, (char)subtype);
    if (old) {
        elem_put_int32(b, (int32_t)n);
    }
    mf_buf_append(b, p, n);
}

void elem_cut(struct mf_buf *b, size_t at)
{
    if (b->data && at <= b->len) {
        b->len = at;
        b->data[at] = '\0';
    }
}
