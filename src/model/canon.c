/* See canon.h. */
#include "model/canon.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <string.h>

#define SHOWN 60 /* bytes of a value in a message */

/* ---- errors ---- */

int mf_canon_refuse(const struct mf_type *t, const struct mf_value *v, const char *why, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1024}, type = {.max = 300};
    size_t n = v->len < SHOWN ? v->len : SHOWN;
    mf_type_put(&type, t);
    if (v->kind == MF_BINARY) {
        for (size_t i = 0; i < n / 2; i++) {
            mf_buf_printf(&b, "%02x", (unsigned char)v->data[i]);
        }
    } else {
        mf_json_escape(&b, v->data, n);
    }
    mf_fail(err, MF_ROW, "MFVALUE", "the value %s%s%s (%s) has no equal in the other database: %s",
            v->kind == MF_BINARY ? "0x" : "\"", mf_buf_str(&b),
            v->len > (v->kind == MF_BINARY ? SHOWN / 2 : SHOWN) ? "…"
            : v->kind == MF_BINARY                              ? ""
                                                                : "\"",
            mf_buf_str(&type), why);
    return -1;
}

int mf_canon_no_memory(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "there is not enough memory to translate a value");
}

/* ---- making them ---- */

bool mf_canon_is(const struct mf_value *v, const char *text)
{
    size_t n = strlen(text);
    return v->len == n && memcmp(v->data, text, n) == 0;
}

int mf_canon_text(struct mf_arena *arena, const char *s, size_t n, struct mf_value *ret, struct mf_error *err)
{
    char *copy = n <= UINT32_MAX ? mf_memdup_a(arena, s, n) : NULL;
    if (!copy) {
        return mf_canon_no_memory(err);
    }
    *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = copy};
    return 0;
}

static bool is_word(const struct mf_value *v)
{
    return mf_canon_is(v, "NaN") || mf_canon_is(v, "Infinity") || mf_canon_is(v, "-Infinity");
}

/* "-1.50" is all there but for the zero: a view. Anything stranger is written anew. */
bool mf_canon_decimal(struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret)
{
    struct mf_number v;
    if (is_word(in)) {
        *ret = *in;
        return true;
    }
    if (!mf_number_scan(in->data, in->len, &v) || v.has_exponent) {
        return false;
    }
    if (v.zero) {
        *ret = (struct mf_value){.kind = MF_TEXT, .len = 1, .data = "0"};
        return true;
    }
    const char *first = in->data + v.negative, *point = memchr(in->data, '.', in->len);
    if ((*first >= '1' && *first <= '9') || (*first == '0' && point == first + 1)) {
        uint32_t n = in->len;
        while (point && in->data[n - 1] == '0') {
            n--;
        }
        n -= point == in->data + n - 1;
        *ret = (struct mf_value){.kind = MF_TEXT, .len = n, .data = in->data};
        return true;
    }
    MF_CLEANUP_BUF struct mf_buf b = {.max = (size_t)in->len + 4};
    mf_number_put_plain(&b, &v);
    *ret = (struct mf_value){
        .kind = MF_TEXT, .len = (uint32_t)b.len, .data = mf_buf_ok(&b) ? mf_memdup_a(arena, b.data, b.len) : NULL};
    return true;
}

static size_t put_float(char *out, unsigned bits, const struct mf_value *v)
{
    double d;
    float f;
    if (bits == 32) {
        return mf_get_float(v->data, v->len, &f) ? mf_put_float(out, f) : 0;
    }
    return mf_get_double(v->data, v->len, &d) ? mf_put_double(out, d) : 0;
}

bool mf_canon_float(struct mf_arena *arena, unsigned bits, const struct mf_value *in, struct mf_value *ret)
{
    char text[MF_NUMBER_TEXT];
    size_t n = put_float(text, bits, in);
    if (n == 0) {
        return false;
    }
    if (n == in->len && memcmp(text, in->data, n) == 0) {
        *ret = (struct mf_value){.kind = MF_TEXT, .len = in->len, .data = in->data};
    } else {
        *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = mf_memdup_a(arena, text, n)};
    }
    return true;
}

int mf_canon_json(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, mf_json_number *number,
                  struct mf_value *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8 * (size_t)in->len + 64};
    const char *why = mf_json_put(&b, in->data, in->len, number);
    if (why) {
        return mf_canon_refuse(t, in, why, err);
    }
    if (b.len == in->len && memcmp(b.data, in->data, b.len) == 0) {
        *ret = (struct mf_value){.kind = MF_TEXT, .len = in->len, .data = in->data};
        return 0;
    }
    return mf_canon_text(arena, b.data, b.len, ret, err);
}

/* ---- checking them ---- */

static bool parse_unsigned(const char *s, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v)) {
            return false;
        }
    }
    *ret = v;
    return true;
}

static const char *wrong_int(const struct mf_type *t, const struct mf_value *v)
{
    size_t sign = v->len > 0 && v->data[0] == '-', n = v->len - sign;
    const char *s = v->data + sign;
    uint64_t size;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return "it is no whole number";
        }
    }
    if (n == 0 || (s[0] == '0' && (n > 1 || sign))) {
        return "it is no whole number";
    }
    unsigned bits = t->is_unsigned ? t->bits : t->bits - 1u;
    uint64_t most = bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
    if (t->is_unsigned && sign) {
        return "the column has no negative numbers";
    }
    return parse_unsigned(s, n, &size) && size <= most + sign ? NULL : "it is past what the column has room for";
}

static const char *wrong_decimal(const struct mf_type *t, const struct mf_value *v)
{
    struct mf_value again;
    struct mf_number number;
    struct mf_arena none = {0}; /* what is canonical is a view of itself */
    if (is_word(v)) {
        return NULL;
    }
    if (!mf_canon_decimal(&none, v, &again) || again.len != v->len || !again.data ||
        memcmp(again.data, v->data, v->len) != 0) {
        return "it is no decimal number";
    }
    if (t->precision == 0 || !mf_number_scan(v->data, v->len, &number) || number.zero) {
        return NULL;
    }
    if ((int64_t)number.nsig - number.point > t->scale) {
        return "it has more digits behind the point than the column and would be rounded";
    }
    return number.point > t->precision - t->scale ? "it has more digits before the point than the column" : NULL;
}

static const char *wrong_float(const struct mf_type *t, const struct mf_value *v)
{
    char text[MF_NUMBER_TEXT];
    size_t n = put_float(text, t->bits, v);
    if (n == 0) {
        return "it is no number that floating point has";
    }
    return n == v->len && memcmp(text, v->data, n) == 0 ? NULL : "it is not exactly a floating point number that wide";
}

static const char *wrong_bits(const struct mf_type *t, const struct mf_value *v)
{
    for (uint32_t i = 0; i < v->len; i++) {
        if (v->data[i] != '0' && v->data[i] != '1') {
            return "it is not written in bits";
        }
    }
    if (t->fixed && v->len != t->length) {
        return "it has not as many bits as the column";
    }
    return t->length && v->len > t->length ? "it has more bits than the column" : NULL;
}

static const char *wrong_moment(const struct mf_type *t, const struct mf_value *v)
{
    struct mf_moment m;
    if (!mf_moment_scan(t->kind, v->data, v->len, &m)) {
        return "it is no date or time of a calendar";
    }
    return t->kind != MF_KIND_DATE && (int)m.nfrac > t->scale
               ? "it has more digits of a second than the column and would be rounded"
               : NULL;
}

static uint64_t characters(const struct mf_value *v)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < v->len; i++) {
        n += ((uint8_t)v->data[i] & 0xc0) != 0x80;
    }
    return n;
}

static const char *wrong_text(const struct mf_type *t, const struct mf_value *v)
{
    if (!mf_utf8_valid(v->data, v->len)) {
        return "it is not UTF-8";
    }
    if (t->fixed && v->len > 0 && v->data[v->len - 1] == ' ') {
        return "the column does not keep blanks at the end";
    }
    return t->length && characters(v) > t->length ? "it is longer than the column" : NULL;
}

static const char *wrong_bytes(const struct mf_type *t, const struct mf_value *v)
{
    if (t->fixed && v->len != t->length) {
        return "it is not as long as the column, which is filled up with zero bytes";
    }
    return t->length && v->len > t->length ? "it is longer than the column" : NULL;
}

/* From *at on; *at is then behind it. */
static bool take_label(const struct mf_type *t, uint16_t *at, const char *s, size_t n)
{
    while (*at < t->nlabels) {
        const char *label = t->labels[(*at)++];
        if (strlen(label) == n && memcmp(label, s, n) == 0) {
            return true;
        }
    }
    return false;
}

static const char *wrong_enum(const struct mf_type *t, const struct mf_value *v)
{
    uint16_t at = 0;
    return take_label(t, &at, v->data, v->len) ? NULL : "it is none of the column's labels";
}

static const char *wrong_set(const struct mf_type *t, const struct mf_value *v)
{
    uint16_t at = 0;
    const char *s = v->data, *end = v->data + v->len;
    while (v->len > 0) {
        const char *comma = memchr(s, ',', (size_t)(end - s));
        if (!take_label(t, &at, s, (size_t)((comma ? comma : end) - s))) {
            return "it is no list of the column's labels in their order";
        }
        if (!comma) {
            break;
        }
        s = comma + 1;
    }
    return NULL;
}

static const char *wrong_uuid(const struct mf_value *v)
{
    bool good = v->len == 36;
    for (uint32_t i = 0; good && i < v->len; i++) {
        char c = v->data[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        good = dash ? c == '-' : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    }
    return good ? NULL : "it is no UUID in lower case";
}

const char *mf_canon_wrong(const struct mf_type *t, const struct mf_value *v)
{
    if (v->kind != (t->kind == MF_KIND_BYTES ? MF_BINARY : MF_TEXT) && t->kind != MF_KIND_OPAQUE) {
        return t->kind == MF_KIND_BYTES ? "it is a text, not bytes" : "it is bytes, not a text";
    }
    switch (t->kind) {
    case MF_KIND_BOOL:
        return mf_canon_is(v, "0") || mf_canon_is(v, "1") ? NULL : "it is neither 0 nor 1";
    case MF_KIND_INT:
        return wrong_int(t, v);
    case MF_KIND_DECIMAL:
        return wrong_decimal(t, v);
    case MF_KIND_FLOAT:
        return wrong_float(t, v);
    case MF_KIND_BITS:
        return wrong_bits(t, v);
    case MF_KIND_DATE:
    case MF_KIND_TIME:
    case MF_KIND_DATETIME:
    case MF_KIND_INSTANT:
        return wrong_moment(t, v);
    case MF_KIND_TEXT:
        return wrong_text(t, v);
    case MF_KIND_BYTES:
        return wrong_bytes(t, v);
    case MF_KIND_ENUM:
        return wrong_enum(t, v);
    case MF_KIND_SET:
        return wrong_set(t, v);
    case MF_KIND_UUID:
        return wrong_uuid(v);
    case MF_KIND_OPAQUE:
        return v->kind == MF_BINARY || mf_utf8_valid(v->data, v->len) ? NULL : "it is not UTF-8";
    case MF_KIND_JSON:
        return NULL;
    }
    return "its type is not known";
}
