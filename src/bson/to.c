/* A canonical value as an element of BSON's: strict, since it may be what an application wrote into the column. */
#include "bson/types.h"

#include "base/number.h"
#include "base/str.h"
#include "model/canon.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *to_int(const struct shred_type *t, const struct mf_value *v, const char *key, size_t nkey,
                          struct mf_buf *b)
{
    int64_t i;
    if (!number_to_int(v->data, v->len, &i)) {
        return "it is no whole number of 64 bits";
    }
    if (t->type == DOC_INT32 || (t->type == DOC_INT && i >= INT32_MIN && i <= INT32_MAX)) {
        if (i < INT32_MIN || i > INT32_MAX) {
            return "it has more than 32 bits";
        }
        elem_put_key(b, BSON_TYPE_INT32, key, nkey);
        elem_put_int32(b, (int32_t)i);
    } else {
        elem_put_key(b, BSON_TYPE_INT64, key, nkey);
        elem_put_int64(b, i);
    }
    return NULL;
}

static const char *to_double(const struct mf_value *v, const char *key, size_t nkey, struct mf_buf *b)
{
    double d;
    if (!mf_get_double(v->data, v->len, &d)) {
        return "it is no double";
    }
    elem_put_key(b, BSON_TYPE_DOUBLE, key, nkey);
    if (isnan(d)) { /* one of them for all */
        elem_put_int64(b, NUMBER_NAN);
    } else {
        elem_put_double(b, d);
    }
    return NULL;
}

static const char *to_decimal(const struct shred_type *t, const struct mf_value *v, const char *key, size_t nkey,
                              struct mf_buf *b)
{
    bson_decimal128_t d;
    if (mf_canon_is(v, "NaN") || mf_canon_is(v, "Infinity") || mf_canon_is(v, "-Infinity")) {
        if (t->model.precision) { /* PostgreSQL's numeric(p,s) takes it, and the map would refuse the document */
            return "a decimal with so many digits has no such value";
        }
        if (!bson_decimal128_from_string_w_len(v->data, (int)v->len, &d)) {
            return "it is no decimal";
        }
    } else if (!number_to_decimal(v->data, v->len, &d)) {
        return "a Decimal128 has 34 digits, and exponents to 6144";
    }
    elem_put_key(b, BSON_TYPE_DECIMAL128, key, nkey);
    elem_put_decimal(b, &d);
    return NULL;
}

static const char *to_date(const struct mf_value *v, const char *key, size_t nkey, struct mf_buf *b)
{
    char text[32];
    size_t n;
    int64_t us;
    if (!mf_moment_us(v->data, v->len, &us)) {
        return "it is no moment";
    }
    int64_t ms = us / 1000;
    if (us % 1000 || !shred_instant_put(ms, text, &n) || n != v->len || memcmp(text, v->data, n) != 0) {
        return "a date has milliseconds, and a year from 1 to 9999";
    }
    elem_put_key(b, BSON_TYPE_DATE_TIME, key, nkey);
    elem_put_int64(b, ms);
    return NULL;
}

static const char *to_uuid(const struct shred_type *t, const struct mf_value *v, const char *key, size_t nkey,
                           struct mf_buf *b)
{
    uint8_t bytes[16];
    if (!uuid_read(v->data, v->len, bytes)) {
        return "it is no UUID";
    }
    elem_put_key(b, BSON_TYPE_BINARY, key, nkey);
    elem_put_binary(b, t->type == DOC_UUID ? BSON_SUBTYPE_UUID : BSON_SUBTYPE_UUID_DEPRECATED, bytes, sizeof bytes);
    return NULL;
}

static const char *to_objectid(const struct shred_type *t, const struct mf_value *v, const char *key, size_t nkey,
                               struct mf_buf *b)
{
    uint8_t bytes[12];
    bool hex = t->model.kind == MF_KIND_TEXT;
    if (hex ? v->len != 24 || !hex_read(v->data, 24, bytes) : v->len != 12) {
        return hex ? "an objectid has 24 hexadecimal digits in lower case" : "an objectid has 12 bytes";
    }
    elem_put_key(b, BSON_TYPE_OID, key, nkey);
    mf_buf_append(b, hex ? (const char *)bytes : v->data, 12);
    return NULL;
}

static const char *to_timestamp(const struct mf_value *v, const char *key, size_t nkey, struct mf_buf *b)
{
    char text[24];
    uint64_t u;
    if (v->len >= sizeof text) {
        return "it is no timestamp";
    }
    memcpy(text, v->data, v->len);
    text[v->len] = '\0';
    if (!mf_parse_u64(text, &u)) {
        return "it is no timestamp";
    }
    elem_put_key(b, BSON_TYPE_TIMESTAMP, key, nkey);
    elem_put_int64(b, (int64_t)u);
    return NULL;
}

const char *shred_to_bson(const struct shred_type *t, const struct mf_value *v, const char *key, size_t nkey,
                          struct mf_buf *b)
{
    if (v->kind != (t->model.kind == MF_KIND_BYTES ? MF_BINARY : MF_TEXT)) {
        return "it is no value of the column";
    }
    const char *why = mf_canon_wrong(&t->model, v);
    if (why) {
        return why;
    }
    switch (t->type) {
    case DOC_INT32:
    case DOC_INT64:
    case DOC_INT:
        return to_int(t, v, key, nkey, b);
    case DOC_DOUBLE:
        return to_double(v, key, nkey, b);
    case DOC_DECIMAL:
        return to_decimal(t, v, key, nkey, b);
    case DOC_STRING:
        if (!mf_utf8_valid(v->data, v->len)) {
            return "it is not UTF-8";
        }
        elem_put_key(b, BSON_TYPE_UTF8, key, nkey);
        elem_put_text(b, v->data, v->len);
        return NULL;
    case DOC_BOOL:
        elem_put_key(b, BSON_TYPE_BOOL, key, nkey);
        mf_buf_putc(b, v->data[0] == '1');
        return NULL;
    case DOC_DATE:
        return to_date(v, key, nkey, b);
    case DOC_OBJECTID:
        return to_objectid(t, v, key, nkey, b);
    case DOC_UUID:
    case DOC_UUID_LEGACY:
        return to_uuid(t, v, key, nkey, b);
    case DOC_BINARY:
        elem_put_key(b, BSON_TYPE_BINARY, key, nkey);
        elem_put_binary(b, 0, v->data, v->len);
        return NULL;
    case DOC_TIMESTAMP:
        return to_timestamp(v, key, nkey, b);
    case DOC_JSON:
        return json_read(v->data, v->len, key, nkey, b);
    case DOC_ID:
        return id_parse(v->data, v->len, key, nkey, b);
    }
    return "unknown";
}
