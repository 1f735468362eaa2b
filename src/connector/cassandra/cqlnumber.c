/*
 * Numbers of any length between two's complement bytes and decimal digits.
 *
 * The schoolbook way, nine digits at a time: quadratic in time (a number of 10,000 digits takes 2 ms, the longest that is taken half a
 * second), linear in memory. Faster ways pay only for numbers that no database has in its rows.
 */
#include "connector/cassandra/cqlvalue_internal.h"

#include "base/cleanup.h"

#include <string.h>

#define GROUP        1000000000u /* nine digits: what fits in 32 bits */
#define GROUP_DIGITS 9
#define BYTES_MAX    62500 /* of a number of CQL_DIGITS_MAX digits, and a few */

static const char OUT_OF_RANGE[] = "is out of range";

size_t cql_put_int(char *out, int64_t v)
{
    char digits[20];
    size_t n = 0, at = 0;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[n++] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (v < 0) {
        out[at++] = '-';
    }
    while (n > 0) {
        out[at++] = digits[--n];
    }
    return at;
}

const char *cql_int_of(const char *s, size_t n, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = n > 0 && s[0] == '-';
    size_t at = negative;
    if (at == n) {
        return "is no whole number";
    }
    int64_t v = 0;
    bool over = false;
    for (; at < n; at++) {
        if (s[at] < '0' || s[at] > '9') {
            return "is no whole number";
        }
        over = over || __builtin_mul_overflow(v, 10, &v) ||
               (negative ? __builtin_sub_overflow(v, s[at] - '0', &v) : __builtin_add_overflow(v, s[at] - '0', &v));
    }
    if (over || v < min || v > max) {
        return OUT_OF_RANGE;
    }
    *ret = v;
    return NULL;
}

/* ---- bytes to digits -- */

/* Appends the digits of a magnitude in words, lowest first, which are used up. */
static void put_magnitude(struct mf_buf *b, uint32_t *w, size_t nw, size_t nbytes)
{
    size_t room = nbytes * 5 / 2 + 2 * GROUP_DIGITS; /* a byte is 2.41 digits */
    if (mf_buf_reserve(b, room) < 0) {
        return;
    }
    char *end = b->data + b->len + room, *s = end;
    while (nw > 0) {
        uint64_t rest = 0;
        for (size_t i = nw; i-- > 0;) {
            uint64_t v = rest << 32 | w[i];
            w[i] = (uint32_t)(v / GROUP);
            rest = v % GROUP;
        }
        while (nw > 0 && w[nw - 1] == 0) {
            nw--;
        }
        for (int k = 0; k < GROUP_DIGITS && (nw > 0 || rest > 0); k++) {
            *--s = (char)('0' + rest % 10);
            rest /= 10;
        }
    }
    if (s == end) {
        *--s = '0';
    }
    memmove(b->data + b->len, s, (size_t)(end - s));
    b->len += (size_t)(end - s);
    b->data[b->len] = '\0';
}

/* Appends the digits of two's complement bytes, without the sign. */
static bool put_digits(struct mf_buf *b, const uint8_t *p, size_t n, bool *ret_negative)
{
    bool negative = p[0] & 0x80;
    uint8_t fill = negative ? 0xff : 0;
    while (n > 1 && p[0] == fill && (p[1] & 0x80) == (fill & 0x80)) {
        p++;
        n--;
    }
    *ret_negative = negative;
    if (n > BYTES_MAX) {
        return false;
    }
    size_t nw = n / 4 + 1;
    uint32_t few[16] = {0};
    MF_CLEANUP_FREE uint32_t *many = nw > MF_ARRAY_LEN(few) ? calloc(nw, sizeof(*many)) : NULL;
    uint32_t *w = nw > MF_ARRAY_LEN(few) ? many : few;
    if (!w) {
        return false;
    }
    unsigned carry =
        negative; /* the magnitude of a negative number: all bits turned, and one; it has room in n bytes */
    for (size_t i = 0; i < n; i++) {
        unsigned v = (uint8_t)(p[n - 1 - i] ^ fill) + carry;
        carry = v >> 8;
        w[i / 4] |= (uint32_t)(v & 0xff) << i % 4 * 8;
    }
    while (nw > 0 && w[nw - 1] == 0) {
        nw--;
    }
    size_t before = b->len;
    put_magnitude(b, w, nw, n);
    return b->failed || b->len - before <= CQL_DIGITS_MAX;
}

bool cql_varint_text(struct mf_buf *b, const uint8_t *p, size_t n)
{
    bool negative = p[0] & 0x80;
    if (negative) {
        mf_buf_putc(b, '-');
    }
    return put_digits(b, p, n, &negative);
}

bool cql_decimal_text(struct mf_buf *b, const uint8_t *p, size_t n)
{
    if (n < 5) {
        return false;
    }
    int32_t scale = (int32_t)mf_get_u32be(p);
    bool negative = p[4] & 0x80;
    if (negative) {
        mf_buf_putc(b, '-');
    }
    size_t at = b->len;
    if (!put_digits(b, p + 4, n - 4, &negative)) {
        return false;
    }
    if (scale < 0 || scale > CQL_PLAIN_SCALE) {
        char e[24];
        mf_buf_putc(b, 'e');
        mf_buf_append(b, e, cql_put_int(e, -(int64_t)scale));
        return true;
    }
    if (scale == 0 || b->failed) {
        return true;
    }
    size_t digits = b->len - at, behind = (size_t)scale;
    size_t zeros = digits <= behind ? behind + 1 - digits : 0; /* so that one digit stands before the point */
    if (mf_buf_reserve(b, zeros + 1) < 0) {
        return true;
    }
    char *s = b->data + at;
    memmove(s + zeros, s, digits);
    memset(s, '0', zeros);
    digits += zeros;
    memmove(s + digits - behind + 1, s + digits - behind, behind);
    s[digits - behind] = '.';
    b->len = at + digits + 1;
    b->data[b->len] = '\0';
    return true;
}

/* ---- digits to bytes -- */

/* Appends the shortest two's complement of a magnitude in words, lowest first. */
static void put_twos(struct mf_buf *b, const uint32_t *w, size_t nw, bool negative)
{
    size_t n = nw * 4 + 1; /* and one byte for the sign */
    if (mf_buf_reserve(b, n) < 0) {
        return;
    }
    uint8_t *p = (uint8_t *)b->data + b->len;
    unsigned carry = negative;
    for (size_t i = 0; i < n; i++) {
        unsigned v = i / 4 < nw ? w[i / 4] >> i % 4 * 8 & 0xff : 0;
        v = negative ? (uint8_t)~v + carry : v;
        carry = negative ? v >> 8 : 0;
        p[n - 1 - i] = (uint8_t)v;
    }
    uint8_t fill = p[0] & 0x80 ? 0xff : 0;
    size_t skip = 0;
    while (skip + 1 < n && p[skip] == fill && (p[skip + 1] & 0x80) == (fill & 0x80)) {
        skip++;
    }
    memmove(p, p + skip, n - skip);
    b->len += n - skip;
    b->data[b->len] = '\0';
}

/* Appends the number that the digits among n characters mean; they are not more than CQL_DIGITS_MAX. */
static const char *put_number(struct mf_buf *b, const char *s, size_t n, bool negative)
{
    size_t room = n / GROUP_DIGITS + 2, nw = 0; /* nine digits are less than 30 bits */
    uint32_t few[16];
    MF_CLEANUP_FREE uint32_t *many = room > MF_ARRAY_LEN(few) ? malloc(room * sizeof(*many)) : NULL;
    uint32_t *w = room > MF_ARRAY_LEN(few) ? many : few;
    if (!w) {
        return "finds no memory";
    }
    size_t at = 0;
    while (at < n) {
        uint32_t group = 0, times = 1;
        for (int k = 0; k < GROUP_DIGITS && at < n; at++) {
            if (s[at] != '.') {
                group = group * 10 + (uint32_t)(s[at] - '0');
                times *= 10;
                k++;
            }
        }
        uint64_t carry = group;
        for (size_t i = 0; i < nw; i++) {
            carry += (uint64_t)w[i] * times;
            w[i] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry) {
            w[nw++] = (uint32_t)carry;
        }
    }
    put_twos(b, w, nw, negative);
    return NULL;
}

const char *cql_varint_bytes(struct mf_buf *b, const char *s, size_t n)
{
    bool negative = n > 0 && s[0] == '-';
    size_t at = negative;
    if (at == n) {
        return "is no whole number";
    }
    for (size_t i = at; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return "is no whole number";
        }
    }
    while (at + 1 < n && s[at] == '0') {
        at++;
    }
    return n - at > CQL_DIGITS_MAX ? "has too many digits" : put_number(b, s + at, n - at, negative);
}

const char *cql_decimal_bytes(struct mf_buf *b, const char *s, size_t n)
{
    bool negative = n > 0 && s[0] == '-';
    size_t at = negative, digits = 0, behind = 0, i;
    bool point = false;
    for (i = at; i < n && ((s[i] >= '0' && s[i] <= '9') || (s[i] == '.' && !point)); i++) {
        point |= s[i] == '.';
        digits += s[i] != '.';
        behind += point && s[i] != '.';
    }
    int64_t exponent = 0;
    if (digits == 0 || (i < n && s[i] != 'e' && s[i] != 'E')) {
        return "is no decimal number";
    }
    if (i < n) {
        size_t e = i + 1;
        e += e < n && s[e] == '+' && e + 1 < n && s[e + 1] != '-';
        const char *bad = cql_int_of(s + e, n - e, -(1ll << 40), 1ll << 40, &exponent);
        if (bad) {
            return strcmp(bad, OUT_OF_RANGE) == 0 ? "has an exponent that is out of range" : "is no decimal number";
        }
    }
    int64_t scale = (int64_t)behind - exponent;
    if (scale < INT32_MIN || scale > INT32_MAX) {
        return "has an exponent that is out of range";
    }
    while (digits > 1 && (s[at] == '0' || s[at] == '.')) {
        digits -= s[at] == '0';
        at++;
    }
    if (digits > CQL_DIGITS_MAX) {
        return "has too many digits";
    }
    mf_buf_put_u32be(b, (uint32_t)(int32_t)scale);
    return put_number(b, s + at, i - at, negative);
}
