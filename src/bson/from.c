/*
 * A value of BSON's as a canonical one. What is taken by its value from another type (numbers in an _id, and what a rule `coerce` lets in) is the same value or it is refused:
 * a text is a number only where it is how that number is written.
 */
#include "bson/types.h"

#include "base/cleanup.h"
#include "base/number.h"
#include "base/str.h"
#include "model/canon.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct from {
    const struct shred_type *t;
    struct mf_arena *arena;
    const struct elem *e;
    enum shred_how how;
    struct mf_value *ret;
    const char **why;
};

static enum shred_fit wrong(const struct from *f, const char *why)
{
    *f->why = why;
    return SHRED_WRONG;
}

static enum shred_fit range(const struct from *f, const char *why)
{
    *f->why = why;
    return SHRED_RANGE;
}

static enum shred_fit keep(const struct from *f, const char *s, size_t n)
{
    char *copy = mf_memdup_a(f->arena, n ? s : "", n);
    *f->ret = (struct mf_value){MF_TEXT, (uint32_t)n, copy};
    return copy ? SHRED_FITS : SHRED_FULL;
}

/* The bytes stand in the document, or for good; the row may outlive neither. */
static enum shred_fit keep_bytes(const struct from *f, const uint8_t *p, size_t n)
{
    enum shred_fit fit = keep(f, (const char *)p, n);
    f->ret->kind = MF_BINARY;
    return fit;
}

static bool by_value(const struct from *f)
{
    return f->how != SHRED_EXACT && number_is(f->e->type);
}

static bool coerced_text(const struct from *f, const char **ret_s, uint32_t *ret_n)
{
    if (f->how != SHRED_COERCE || f->e->type != BSON_TYPE_UTF8) {
        return false;
    }
    *ret_s = elem_text(f->e, ret_n);
    return true;
}

/* The number of the element in `text`; where ids are told apart, zero has no sign. NULL, or the word for what is none. */
static const char *number_text(const struct from *f, char *text)
{
    const char *word = number_of(f->e, text);
    if (!word && f->how == SHRED_NUMBERS && text[0] == '-') {
        struct mf_number v;
        if (mf_number_scan(text, strlen(text), &v) && v.zero) {
            text[0] = '0';
            text[1] = '\0';
        }
    }
    return word;
}

static enum shred_fit keep_int(const struct from *f, int64_t i)
{
    char text[24];
    if (f->t->type == DOC_INT32 && (i < INT32_MIN || i > INT32_MAX)) {
        return range(f, "it has more than 32 bits");
    }
    return keep(f, text, (size_t)snprintf(text, sizeof text, "%" PRId64, i));
}

static enum shred_fit from_int(const struct from *f)
{
    char text[NUMBER_EXACT];
    const char *s;
    uint32_t n;
    int64_t i;
    uint8_t type = f->e->type;
    if (type == BSON_TYPE_INT32 && f->t->type != DOC_INT64) {
        return keep_int(f, elem_int32(f->e->value));
    }
    if (type == BSON_TYPE_INT64 && f->t->type != DOC_INT32) {
        return keep_int(f, elem_int64(f->e->value));
    }
    if (by_value(f)) {
        return !number_text(f, text) && number_to_int(text, strlen(text), &i)
                   ? keep_int(f, i)
                   : wrong(f, "it is no whole number of 64 bits");
    }
    if (f->how == SHRED_COERCE && type == BSON_TYPE_BOOL) {
        return keep_int(f, f->e->value[0]);
    }
    if (coerced_text(f, &s, &n)) {
        int len = n < 24 && number_to_int(s, n, &i) ? snprintf(text, sizeof text, "%" PRId64, i) : 0;
        return len && (uint32_t)len == n && memcmp(text, s, n) == 0 ? keep_int(f, i)
                                                                    : wrong(f, "it is no whole number");
    }
    return wrong(f, "the map says a whole number");
}

static enum shred_fit keep_double(const struct from *f, double d)
{
    char text[MF_NUMBER_TEXT];
    return keep(f, text, mf_put_double(text, d == 0 && f->how == SHRED_NUMBERS ? 0.0 : d));
}

static enum shred_fit from_double(const struct from *f)
{
    char text[NUMBER_EXACT];
    const char *s;
    uint32_t n;
    double d;
    if (f->e->type == BSON_TYPE_DOUBLE) {
        return keep_double(f, elem_double(f->e->value));
    }
    if (by_value(f)) {
        const char *word = number_text(f, text);
        if (word) {
            return keep(f, word, strlen(word));
        }
        return number_to_double(text, strlen(text), &d) ? keep_double(f, d) : wrong(f, "no double is this number");
    }
    if (coerced_text(f, &s, &n)) {
        size_t len =
            n < MF_NUMBER_TEXT && mf_get_double(s, n, &d) && mf_number_is_double(s, n) ? mf_put_double(text, d) : 0;
        return len && len == n && memcmp(text, s, n) == 0 ? keep_double(f, d) : wrong(f, "no double is this text");
    }
    return wrong(f, "the map says a double");
}

static enum shred_fit keep_decimal(const struct from *f, const char *text)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 14};
    const struct mf_type *m = &f->t->model;
    bson_decimal128_t d;
    struct mf_number v;
    if (!mf_number_scan(text, strlen(text), &v) || (v.zero && v.negative)) {
        return range(f, "a decimal has no zero with a sign");
    }
    if (!number_to_decimal(text, strlen(text), &d)) {
        return range(f, "it has more digits than a Decimal128");
    }
    if (m->precision && !v.zero && (v.point > m->precision - m->scale || (int)v.nsig - v.point > m->scale)) {
        return range(f, "it has more digits than the column");
    }
    mf_number_put_plain(&b, &v);
    return mf_buf_ok(&b) ? keep(f, mf_buf_str(&b), b.len) : range(f, "it has too many digits");
}

static enum shred_fit from_decimal(const struct from *f)
{
    char text[NUMBER_EXACT];
    const char *s;
    uint32_t n;
    if (f->e->type == BSON_TYPE_DECIMAL128 || by_value(f)) {
        const char *word = number_text(f, text);
        if (word && f->t->model.precision) {
            return range(f, "a decimal with so many digits has no such value");
        }
        return word ? keep(f, word, strlen(word)) : keep_decimal(f, text);
    }
    if (coerced_text(f, &s, &n) && n < NUMBER_ROOM) {
        struct mf_number v;
        memcpy(text, s, n);
        text[n] = '\0';
        if (!mf_number_scan(s, n, &v) || v.has_exponent) {
            return wrong(f, "it is no number");
        }
        enum shred_fit fit = keep_decimal(f, text);
        return fit != SHRED_FITS || (f->ret->len == n && memcmp(f->ret->data, s, n) == 0)
                   ? fit
                   : wrong(f, "it is not how the number is written");
    }
    return wrong(f, "the map says a decimal");
}

/* ---- texts ---- */

static size_t characters(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += ((uint8_t)s[i] & 0xc0) != 0x80;
    }
    return count;
}

static enum shred_fit keep_text(const struct from *f, const char *s, size_t n)
{
    if (f->t->model.length && n > f->t->model.length && characters(s, n) > f->t->model.length) {
        return range(f, "it is longer than the column");
    }
    return keep(f, s, n);
}

static enum shred_fit coerce_to_text(const struct from *f)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 14};
    char text[NUMBER_EXACT];
    struct mf_number v;
    uint8_t subtype;
    uint32_t n;
    if (f->e->type == BSON_TYPE_DOUBLE) {
        return keep_text(f, text, mf_put_double(text, elem_double(f->e->value)));
    }
    if (number_is(f->e->type)) {
        const char *word = number_of(f->e, text);
        if (!word && mf_number_scan(text, strlen(text), &v)) {
            if (v.zero && v.negative) {
                return wrong(f, "it is a zero with a sign");
            }
            mf_number_put(&b, &v);
        }
        return keep_text(f, word ? word : mf_buf_str(&b), word ? strlen(word) : b.len);
    }
    switch (f->e->type) {
    case BSON_TYPE_SYMBOL: {
        const char *s = elem_text(f->e, &n);
        return keep_text(f, s, n);
    }
    case BSON_TYPE_BOOL:
        return f->e->value[0] ? keep_text(f, "true", 4) : keep_text(f, "false", 5);
    case BSON_TYPE_OID:
        hex_put(text, f->e->value, 12);
        return keep_text(f, text, 24);
    case BSON_TYPE_BINARY: {
        const uint8_t *p = elem_binary(f->e, &subtype, &n);
        if (subtype == BSON_SUBTYPE_UUID && n == 16) {
            uuid_put(text, p);
            return keep_text(f, text, 36);
        }
        break;
    }
    default:
        break;
    }
    return wrong(f, "no text is this value");
}

static enum shred_fit from_string(const struct from *f)
{
    uint32_t n;
    if (f->e->type == BSON_TYPE_UTF8) {
        const char *s = elem_text(f->e, &n);
        return keep_text(f, s, n);
    }
    return f->how == SHRED_COERCE ? coerce_to_text(f) : wrong(f, "the map says a string");
}

static enum shred_fit from_bool(const struct from *f)
{
    char text[NUMBER_EXACT];
    const char *s;
    uint32_t n;
    int64_t i;
    if (f->e->type == BSON_TYPE_BOOL) {
        return keep(f, f->e->value[0] ? "1" : "0", 1);
    }
    if (f->how == SHRED_COERCE && number_is(f->e->type) && !number_of(f->e, text) &&
        number_to_int(text, strlen(text), &i) && (i == 0 || i == 1)) {
        return keep(f, i ? "1" : "0", 1);
    }
    if (coerced_text(f, &s, &n) && ((n == 4 && memcmp(s, "true", 4) == 0) || (n == 5 && memcmp(s, "false", 5) == 0))) {
        return keep(f, n == 4 ? "1" : "0", 1);
    }
    return wrong(f, "the map says a bool");
}

static enum shred_fit from_date(const struct from *f)
{
    char text[32];
    size_t n;
    if (f->e->type != BSON_TYPE_DATE_TIME) {
        return wrong(f, "the map says a date");
    }
    return shred_instant_put(elem_int64(f->e->value), text, &n) ? keep(f, text, n)
                                                                : range(f, "its year is not from 1 to 9999");
}

static enum shred_fit from_objectid(const struct from *f)
{
    uint8_t bytes[12];
    char text[25];
    const char *s;
    uint32_t n;
    const uint8_t *p = f->e->type == BSON_TYPE_OID ? f->e->value : NULL;
    if (!p && coerced_text(f, &s, &n) && n == 24 && hex_read(s, n, bytes)) {
        p = bytes;
    }
    if (!p) {
        return wrong(f, "the map says an objectid");
    }
    if (f->t->model.kind == MF_KIND_BYTES) {
        return keep_bytes(f, p, 12);
    }
    hex_put(text, p, 12);
    return keep(f, text, 24);
}

static enum shred_fit from_uuid(const struct from *f)
{
    char text[40];
    const char *s;
    uint8_t subtype, want = f->t->type == DOC_UUID ? BSON_SUBTYPE_UUID : BSON_SUBTYPE_UUID_DEPRECATED;
    uint32_t n;
    if (f->e->type == BSON_TYPE_BINARY) {
        const uint8_t *p = elem_binary(f->e, &subtype, &n);
        if (subtype == want && n == 16) {
            uuid_put(text, p);
            return keep(f, text, 36);
        }
        return subtype == want ? range(f, "a UUID has 16 bytes") : wrong(f, "it is of another subtype");
    }
    if (want == BSON_SUBTYPE_UUID && coerced_text(f, &s, &n)) {
        const struct mf_value v = {MF_TEXT, n, s};
        return mf_canon_wrong(&f->t->model, &v) ? wrong(f, "it is no UUID") : keep(f, s, n);
    }
    return wrong(f, "the map says a UUID");
}

static enum shred_fit from_binary(const struct from *f)
{
    uint8_t subtype;
    uint32_t n;
    if (f->e->type != BSON_TYPE_BINARY) {
        return wrong(f, "the map says a binary");
    }
    const uint8_t *p = elem_binary(f->e, &subtype, &n);
    if (subtype != 0 && !(subtype == BSON_SUBTYPE_BINARY_DEPRECATED && f->how == SHRED_COERCE)) {
        return wrong(f, "it is of another subtype");
    }
    return f->t->model.length && n > f->t->model.length ? range(f, "it is longer than the column")
                                                        : keep_bytes(f, p, n);
}

static enum shred_fit from_timestamp(const struct from *f)
{
    char text[24];
    if (f->e->type != BSON_TYPE_TIMESTAMP) {
        return wrong(f, "the map says a timestamp");
    }
    return keep(f, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, (uint64_t)elem_int64(f->e->value)));
}

static enum shred_fit from_any(const struct from *f)
{
    MF_CLEANUP_BUF struct mf_buf raw = {.max = SHRED_TEXT_MOST};
    MF_CLEANUP_BUF struct mf_buf text = {.max = SHRED_TEXT_MOST};
    json_put_value(&raw, f->e, 0);
    if (!mf_buf_ok(&raw)) {
        return SHRED_FULL;
    }
    const char *why = mf_json_put(&text, mf_buf_str(&raw), raw.len, NULL);
    if (why) {
        return range(f, why);
    }
    return mf_buf_ok(&text) ? keep(f, mf_buf_str(&text), text.len) : SHRED_FULL;
}

static enum shred_fit from_id(const struct from *f)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = SHRED_TEXT_MOST};
    const char *why = id_put(&b, f->e);
    if (why) {
        return wrong(f, why);
    }
    return mf_buf_ok(&b) ? keep_text(f, mf_buf_str(&b), b.len) : SHRED_FULL;
}

enum shred_fit shred_from_bson(const struct shred_type *t, struct mf_arena *arena, const struct elem *e,
                               enum shred_how how, struct mf_value *ret, const char **ret_why)
{
    const struct from f = {t, arena, e, how, ret, ret_why};
    switch (t->type) {
    case DOC_INT32:
    case DOC_INT64:
    case DOC_INT:
        return from_int(&f);
    case DOC_DOUBLE:
        return from_double(&f);
    case DOC_DECIMAL:
        return from_decimal(&f);
    case DOC_STRING:
        return from_string(&f);
    case DOC_BOOL:
        return from_bool(&f);
    case DOC_DATE:
        return from_date(&f);
    case DOC_OBJECTID:
        return from_objectid(&f);
    case DOC_UUID:
    case DOC_UUID_LEGACY:
        return from_uuid(&f);
    case DOC_BINARY:
        return from_binary(&f);
    case DOC_TIMESTAMP:
        return from_timestamp(&f);
    case DOC_JSON:
        return from_any(&f);
    case DOC_ID:
        return from_id(&f);
    }
    return SHRED_WRONG;
}
