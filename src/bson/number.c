/*
 * Numbers of BSON's four types by their value, exactly: a double has all its binary digits (767 of them at most), a Decimal128 its 34. Both are written without a point,
 * "123e-5", so that no locale has a say.
 */
#include "bson/types.h"

#include "base/number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_TAIL    24 /* room for an exponent */
#define DECIMAL_DIGITS 34
#define DECIMAL_LEAST  (-6176)
#define DECIMAL_MOST   6111

bool number_is(uint8_t type)
{
    return type == BSON_TYPE_INT32 || type == BSON_TYPE_INT64 || type == BSON_TYPE_DOUBLE ||
           type == BSON_TYPE_DECIMAL128;
}

bool number_of_double(double v, char *ret)
{
    char text[NUMBER_EXACT];
    if (!isfinite(v)) {
        return false;
    }
    int n = snprintf(text, sizeof text, "%.766e", v);
    char *e = strchr(text, 'e'), *at = ret;
    long exponent = e && n > 0 ? strtol(e + 1, NULL, 10) : 0;
    size_t digits = 0;
    for (const char *p = text; p < e; p++) {
        if (*p >= '0' && *p <= '9') {
            *at++ = *p;
            digits++;
        } else if (*p == '-') {
            *at++ = *p;
        }
    }
    while (digits > 1 && at[-1] == '0') {
        at--;
        digits--;
    }
    snprintf(at, NUMBER_TAIL, "e%ld", exponent - (long)digits + 1);
    return true;
}

bool number_of_decimal(const bson_decimal128_t *d, char *ret)
{
    char text[BSON_DECIMAL128_STRING], *at = ret;
    bson_decimal128_to_string(d, text);
    if (strpbrk(text, "Nn")) { /* NaN, Infinity */
        return false;
    }
    long exponent = 0;
    bool point = false;
    for (const char *p = text; *p; p++) {
        if (*p == 'E') {
            exponent += strtol(p + 1, NULL, 10);
            break;
        }
        if (*p == '.') {
            point = true;
        } else {
            exponent -= point;
            *at++ = *p;
        }
    }
    snprintf(at, NUMBER_TAIL, "e%ld", exponent);
    return true;
}

const char *number_of(const struct elem *e, char *text)
{
    bson_decimal128_t d;
    double v;
    switch (e->type) {
    case BSON_TYPE_INT32:
        snprintf(text, NUMBER_ROOM, "%" PRId32, elem_int32(e->value));
        return NULL;
    case BSON_TYPE_INT64:
        snprintf(text, NUMBER_ROOM, "%" PRId64, elem_int64(e->value));
        return NULL;
    case BSON_TYPE_DOUBLE:
        v = elem_double(e->value);
        return number_of_double(v, text) ? NULL : isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity";
    default:
        d = elem_decimal(e->value);
        if (number_of_decimal(&d, text)) {
            return NULL;
        }
        bson_decimal128_to_string(&d, text);
        return strstr(text, "NaN") ? "NaN" : text[0] == '-' ? "-Infinity" : "Infinity";
    }
}

/* The significant digits, without a point. */
static size_t digits_of(const struct mf_number *v, char *out, size_t room)
{
    size_t n = 0;
    for (const char *p = v->digits; n < v->nsig && n < room; p++) {
        if (*p != '.') {
            out[n++] = *p;
        }
    }
    return n;
}

bool number_to_int(const char *text, size_t n, int64_t *ret)
{
    struct mf_number v;
    char digits[20];
    if (!mf_number_scan(text, n, &v) || (v.zero ? v.negative : v.point < (int)v.nsig || v.point > 19)) {
        return false;
    }
    uint64_t sum = 0;
    size_t have = v.zero ? 0 : digits_of(&v, digits, 19);
    for (int i = 0; !v.zero && i < v.point; i++) {
        sum = sum * 10 + (i < (int)have ? (uint64_t)(digits[i] - '0') : 0); /* 19 digits fit */
    }
    if (sum > (uint64_t)INT64_MAX + v.negative) {
        return false;
    }
    *ret = v.negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

bool number_to_double(const char *text, size_t n, double *ret)
{
    char digits[NUMBER_EXACT + 32], exact[NUMBER_EXACT];
    struct mf_number v, back;
    if (!mf_number_scan(text, n, &v) || v.nsig > 770) {
        return false;
    }
    if (v.zero) {
        *ret = v.negative ? -0.0 : 0.0;
        return true;
    }
    size_t at = 0;
    if (v.negative) {
        digits[at++] = '-';
    }
    at += digits_of(&v, digits + at, 770);
    snprintf(digits + at, 16, "e%d", v.point - (int)v.nsig);
    double d = strtod(digits, NULL);
    if (!number_of_double(d, exact) || !mf_number_scan(exact, strlen(exact), &back) || !mf_number_equal(&v, &back)) {
        return false;
    }
    *ret = d;
    return true;
}

bool number_to_decimal(const char *text, size_t n, bson_decimal128_t *ret)
{
    char digits[DECIMAL_DIGITS + 24];
    struct mf_number v;
    if (!mf_number_scan(text, n, &v) || v.nsig > DECIMAL_DIGITS) {
        return false;
    }
    if (v.zero) {
        return bson_decimal128_from_string(v.negative ? "-0" : "0", ret);
    }
    size_t at = 0, nsig = v.nsig;
    if (v.negative) {
        digits[at++] = '-';
    }
    at += digits_of(&v, digits + at, DECIMAL_DIGITS);
    int exponent = v.point - (int)nsig;
    /* A whole number is written whole where there is room, and one past the largest exponent as far as it must. */
    while (exponent > 0 && nsig < DECIMAL_DIGITS && (v.point <= DECIMAL_DIGITS || exponent > DECIMAL_MOST)) {
        digits[at++] = '0';
        nsig++;
        exponent--;
    }
    if (exponent > DECIMAL_MOST || exponent < DECIMAL_LEAST) {
        return false;
    }
    snprintf(digits + at, 16, "E%d", exponent);
    return bson_decimal128_from_string(digits, ret);
}

uint8_t number_put(struct mf_buf *b, const char *text, size_t n)
{
    int64_t i;
    double d;
    bson_decimal128_t q;
    if (number_to_int(text, n, &i)) {
        if (i >= INT32_MIN && i <= INT32_MAX) {
            elem_put_int32(b, (int32_t)i);
            return BSON_TYPE_INT32;
        }
        elem_put_int64(b, i);
        return BSON_TYPE_INT64;
    }
    if (number_to_double(text, n, &d)) {
        elem_put_double(b, d);
        return BSON_TYPE_DOUBLE;
    }
    if (number_to_decimal(text, n, &q)) {
        elem_put_decimal(b, &q);
        return BSON_TYPE_DECIMAL128;
    }
    return 0;
}

uint8_t number_put_word(struct mf_buf *b, const char *word, size_t n)
{
    if (n == 3 && memcmp(word, "NaN", 3) == 0) {
        elem_put_int64(b, NUMBER_NAN);
        return BSON_TYPE_DOUBLE;
    }
    if ((n == 8 && memcmp(word, "Infinity", 8) == 0) || (n == 9 && memcmp(word, "-Infinity", 9) == 0)) {
        elem_put_double(b, n == 8 ? HUGE_VAL : -HUGE_VAL);
        return BSON_TYPE_DOUBLE;
    }
    return 0;
}
