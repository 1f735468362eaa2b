/*
 * Values of this engine (coltype.h) as canonical ones and back.
 *
 * What a strict server would still cut or round in a column is looked at by my_inexact when the value is written; here is what neither
 * sees: spellings that mean something else to the other side, and what the types of the model do not tell of the column (a year, an
 * address, JSON that is a text).
 */
#include "connector/mysql/canon.h"

#include "base/str.h"
#include "connector/mysql/number_text.h"
#include "model/canon.h"

#include <arpa/inet.h>
#include <string.h>

#define YEAR_FIRST 1901
#define YEAR_LAST  2155
#define BITS_MAX   64

static struct mf_value view(const char *s, size_t n)
{
    return (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = s};
}

static bool whole(const struct mf_value *v, uint64_t *ret)
{
    char text[24];
    if (v->len == 0 || v->len >= sizeof text) {
        return false;
    }
    memcpy(text, v->data, v->len);
    text[v->len] = '\0';
    return strlen(text) == v->len && mf_parse_u64(text, ret);
}

/* ---- to ---- */

/* BIT(n) is read as a number. */
static int bits_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                         struct mf_value *ret, struct mf_error *err)
{
    char bits[BITS_MAX];
    uint64_t v;
    uint32_t n = t->length;
    if (!whole(in, &v) || n > BITS_MAX || (n < BITS_MAX && v >> n)) {
        return mf_canon_refuse(t, in, "it is no number of so many bits", err);
    }
    for (uint32_t i = 0; i < n; i++) {
        bits[i] = (char)('0' + (v >> (n - 1 - i) & 1));
    }
    return mf_canon_text(arena, bits, n, ret, err);
}

static int found(bool is, const struct mf_type *t, const struct mf_value *in, const struct mf_value *ret,
                 struct mf_error *err)
{
    if (!is) {
        return mf_canon_refuse(t, in, "it is no number", err);
    }
    return ret->data ? 0 : mf_canon_no_memory(err);
}

static size_t without_blanks(const struct mf_value *v)
{
    size_t n = v->len;
    while (n > 0 && v->data[n - 1] == ' ') {
        n--;
    }
    return n;
}

int my_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                struct mf_error *err)
{
    *ret = *in;
    if (t->kind != MF_KIND_OPAQUE && in->kind != (t->kind == MF_KIND_BYTES ? MF_BINARY : MF_TEXT)) {
        return mf_canon_refuse(t, in, "it is not in the server's own form", err);
    }
    switch (t->kind) {
    case MF_KIND_INT: /* a year has zeros in front */
    case MF_KIND_DECIMAL:
        return found(mf_canon_decimal(arena, in, ret), t, in, ret, err);
    case MF_KIND_FLOAT:
        return found(mf_canon_float(arena, t->bits, in, ret), t, in, ret, err);
    case MF_KIND_BITS:
        return bits_to_canon(t, arena, in, ret, err);
    case MF_KIND_TIME:
    case MF_KIND_DATETIME:
    case MF_KIND_INSTANT:
        *ret = view(in->data, mf_moment_cut(in->data, in->len));
        return 0;
    case MF_KIND_JSON:
        return mf_canon_json(t, arena, in, NULL, ret, err);
    case MF_KIND_TEXT:
        *ret = view(in->data, t->fixed ? without_blanks(in) : in->len);
        break;
    case MF_KIND_ENUM:
    case MF_KIND_SET:
        break;
    case MF_KIND_OPAQUE:
    case MF_KIND_BOOL:
    case MF_KIND_DATE:
    case MF_KIND_BYTES:
    case MF_KIND_UUID:
        return 0;
    }
    return mf_utf8_valid(ret->data, ret->len) ? 0 : mf_canon_refuse(t, in, "it is not UTF-8", err);
}

/* ---- from ---- */

/* Zero dates are ours, whether the session takes them or not; years before Christ and past 9999 are not. */
static const char *wrong_moment(const struct mf_type *t, const struct mf_value *v)
{
    struct mf_moment m;
    const char *why = mf_canon_wrong(t, v);
    if (why) {
        return why;
    }
    mf_moment_scan(t->kind, v->data, v->len, &m);
    if (m.bc || m.year > 9999) {
        return "the column has the years up to 9999 after Christ only";
    }
    return NULL;
}

/* The server spells an address its own way, and would take another spelling for the same. */
static const char *wrong_address(const struct mf_type *t, const struct mf_value *v)
{
    char text[64], again[MY_NUMBER_TEXT];
    uint8_t bytes[16];
    bool six = t->form == MY_FORM_INET6;
    if (v->len >= sizeof text) {
        return "it is no address";
    }
    memcpy(text, v->data, v->len);
    text[v->len] = '\0';
    if (inet_pton(six ? AF_INET6 : AF_INET, text, bytes) != 1) {
        return "it is no address";
    }
    size_t n = six ? my_put_inet6(again, bytes) : my_put_inet4(again, bytes);
    return n == v->len && memcmp(again, v->data, n) == 0 ? NULL : "the server spells this address in another way";
}

static const char *wrong(const struct mf_type *t, const struct mf_value *v)
{
    uint64_t year;
    const char *why;
    if (t->kind == MF_KIND_DATE || t->kind == MF_KIND_TIME || t->kind == MF_KIND_DATETIME ||
        t->kind == MF_KIND_INSTANT) {
        return wrong_moment(t, v);
    }
    why = mf_canon_wrong(t, v);
    if (why) {
        return why;
    }
    if (t->form == MY_FORM_ONE_ZERO && mf_canon_is(v, "-0")) {
        return "the server stores -0 as 0";
    }
    if (t->kind == MF_KIND_DECIMAL || t->kind == MF_KIND_FLOAT) {
        return v->data[v->len - 1] <= '9' ? NULL : "the column has numbers only";
    }
    if (t->form == MY_FORM_YEAR) {
        return whole(v, &year) && (year == 0 || (year >= YEAR_FIRST && year <= YEAR_LAST))
                   ? NULL
                   : "it is no year from 1901 to 2155";
    }
    return t->form == MY_FORM_INET4 || t->form == MY_FORM_INET6 ? wrong_address(t, v) : NULL;
}

static int bits_from_canon(struct mf_arena *arena, const struct mf_type *t, const struct mf_value *in,
                           struct mf_value *ret, struct mf_error *err)
{
    char text[MY_NUMBER_TEXT];
    uint64_t v = 0;
    if (in->len > BITS_MAX) {
        return mf_canon_refuse(t, in, "it has more than 64 bits", err);
    }
    for (uint32_t i = 0; i < in->len; i++) {
        v = v << 1 | (uint64_t)(in->data[i] - '0');
    }
    return mf_canon_text(arena, text, my_put_u64(text, v), ret, err);
}

/* A FLOAT is written as the double it is. */
static int float_from_canon(struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                            struct mf_error *err)
{
    char text[MF_NUMBER_TEXT];
    float f = 0;
    mf_get_float(in->data, in->len, &f);
    return mf_canon_text(arena, text, mf_put_double(text, (double)f), ret, err);
}

#define JSON_DIGITS   65 /* of a DECIMAL, which a number in a document may be */
#define JSON_FRACTION 30

/* A whole number of 64 bits, signed or not. */
static bool is_int64(const char *s, size_t n)
{
    bool negative = n > 0 && *s == '-';
    const char *limit = negative ? "9223372036854775808" : "18446744073709551615";
    size_t most = strlen(limit);
    s += negative, n -= negative;
    return n < most || (n == most && memcmp(s, limit, n) <= 0);
}

/* The server has whole numbers of 64 bits, doubles and decimals; which of them a number becomes is told by its spelling (json_put.c): one that
 * is a double has a point or an exponent, one that would be rounded to a double has none of the latter. */
static const char *put_json_number(struct mf_buf *b, const struct mf_number *v)
{
    size_t from = b->len;
    int fraction = (int)v->nsig - v->point, before = v->point > 0 ? v->point : 0;
    if (v->zero) {
        mf_buf_putc(b, '0');
        return NULL;
    }
    if (fraction <= 0 && v->point <= 20) {
        mf_number_put_plain(b, v);
        if (!mf_buf_ok(b) || is_int64(b->data + from, b->len - from)) {
            return NULL;
        }
        b->len = from;
    }
    mf_number_put_exponent(b, v);
    if (!mf_buf_ok(b) || mf_number_is_double(b->data + from, b->len - from)) {
        if (fraction > 0 && mf_buf_ok(b)) { /* as it is everywhere else */
            b->len = from;
            mf_number_put(b, v);
        }
        return NULL;
    }
    b->len = from;
    if (before + (fraction > 0 ? fraction : 0) > JSON_DIGITS || fraction > JSON_FRACTION) {
        return "a number in it has more digits than JSON keeps here";
    }
    mf_number_put_plain(b, v);
    return NULL;
}

static int json_from_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                           struct mf_value *ret, struct mf_error *err)
{
    struct mf_value again;
    if (mf_canon_json(t, arena, in, NULL, &again, err) < 0) {
        return -1;
    }
    if (!mf_value_equal(in, &again)) {
        return mf_canon_refuse(t, in, "it is not in the canonical spelling", err);
    }
    return t->form == MY_FORM_JSON_TEXT ? 0 : mf_canon_json(t, arena, in, put_json_number, ret, err);
}

int my_from_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                  struct mf_error *err)
{
    const char *why = wrong(t, in);
    if (why) {
        return mf_canon_refuse(t, in, why, err);
    }
    *ret = *in;
    switch (t->kind) {
    case MF_KIND_INT:
        return t->form == MY_FORM_YEAR && in->len == 1 ? mf_canon_text(arena, "0000", 4, ret, err) : 0;
    case MF_KIND_FLOAT:
        return t->bits == 32 ? float_from_canon(arena, in, ret, err) : 0;
    case MF_KIND_BITS:
        return bits_from_canon(arena, t, in, ret, err);
    case MF_KIND_JSON:
        return json_from_canon(t, arena, in, ret, err);
    default:
        return 0;
    }
}
