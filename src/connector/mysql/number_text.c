/* See number_text.h. */
#include "connector/mysql/number_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t my_put_u64(char *out, uint64_t v)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (size_t i = 0; i < n; i++) {
        out[i] = digits[n - 1 - i];
    }
    return n;
}

size_t my_put_i64(char *out, int64_t v)
{
    if (v >= 0) {
        return my_put_u64(out, (uint64_t)v);
    }
    out[0] = '-';
    return 1 + my_put_u64(out + 1, -(uint64_t)v);
}

static size_t put_bytes(char *out, const char *p, int n)
{
    memcpy(out, p, (size_t)n);
    return (size_t)n;
}

/* ---- DECIMAL: groups of nine digits in four bytes, the incomplete ones at both ends in fewer ---- */

static const uint8_t group_bytes[10] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};
static const uint32_t powers[10] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

size_t my_decimal_bytes(unsigned precision, unsigned scale)
{
    if (precision == 0 || precision > 65 || scale > precision || scale > 38) {
        return 0;
    }
    unsigned whole = precision - scale;
    return whole / 9 * 4 + group_bytes[whole % 9] + scale / 9 * 4 + group_bytes[scale % 9];
}

/* One group of n digits, all of them written. */
static bool put_group(char *out, const uint8_t **p, unsigned n)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < group_bytes[n]; i++) {
        v = v << 8 | *(*p)++;
    }
    if (v >= powers[n]) {
        return false;
    }
    for (unsigned i = n; i > 0; i--) {
        out[i - 1] = (char)('0' + v % 10);
        v /= 10;
    }
    return true;
}

/* `lead` digits short of a group come first (whole part) or last (fraction). */
static bool put_groups(char *out, const uint8_t **p, unsigned n, bool short_first)
{
    unsigned odd = n % 9, at = 0;
    if (short_first && odd) {
        if (!put_group(out, p, odd)) {
            return false;
        }
        at = odd;
    }
    for (; n - at >= 9; at += 9) {
        if (!put_group(out + at, p, 9)) {
            return false;
        }
    }
    return at == n || put_group(out + at, p, n - at);
}

size_t my_put_decimal(char *out, const uint8_t *p, unsigned precision, unsigned scale)
{
    uint8_t bytes[40];
    size_t n = my_decimal_bytes(precision, scale), at = 0;
    if (n == 0 || n > sizeof(bytes)) {
        return 0;
    }
    bool negative = !(p[0] & 0x80);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = negative ? (uint8_t)~p[i] : p[i];
    }
    bytes[0] ^= 0x80;
    if (negative) {
        out[at++] = '-';
    }
    const uint8_t *from = bytes;
    unsigned whole = precision - scale, zeros = 0;
    char digits[72];
    if (!put_groups(digits, &from, whole, true)) {
        return 0;
    }
    while (zeros < whole && digits[zeros] == '0') {
        zeros++;
    }
    if (zeros == whole) {
        out[at++] = '0';
    }
    at += put_bytes(out + at, digits + zeros, (int)(whole - zeros));
    if (scale) {
        out[at++] = '.';
        if (!put_groups(out + at, &from, scale, false)) {
            return 0;
        }
    }
    return at + scale;
}

/* ---- addresses ---- */

size_t my_put_inet4(char *out, const uint8_t p[4])
{
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        at += my_put_u64(out + at, p[i]);
        out[at++] = '.';
    }
    return at - 1;
}

static void longest_zeros(const unsigned *groups, unsigned *ret_from, unsigned *ret_n)
{
    *ret_from = *ret_n = 0;
    for (unsigned i = 0, n = 0; i < 8; i++) {
        n = groups[i] ? 0 : n + 1;
        if (n > *ret_n) {
            *ret_n = n;
            *ret_from = i + 1 - n;
        }
    }
}

static size_t put_hex_group(char *out, unsigned v)
{
    size_t at = 0;
    for (int shift = 12; shift >= 0; shift -= 4) {
        if (v >> shift || shift == 0) {
            out[at++] = "0123456789abcdef"[v >> shift & 15];
        }
    }
    return at;
}

size_t my_put_inet6(char *out, const uint8_t p[16])
{
    unsigned groups[8], from, n;
    size_t at = 0;
    for (int i = 0; i < 8; i++) {
        groups[i] = (unsigned)p[2 * i] << 8 | p[2 * i + 1];
    }
    longest_zeros(groups, &from, &n);
    bool inet4 = n && from == 0 && (n == 6 || (n == 5 && groups[5] == 0xffff));
    for (unsigned i = 0; i < 8; i++) {
        if (n && i == from) {
            out[at++] = ':';
            i += n - 1;
            if (i == 7) {
                out[at++] = ':';
            }
            continue;
        }
        if (i) {
            out[at++] = ':';
        }
        if (inet4 && i == 6) {
            return at + my_put_inet4(out + at, p + 12);
        }
        at += put_hex_group(out + at, groups[i]);
    }
    return at;
}

/* ---- times ---- */

static size_t put_padded(char *out, unsigned v, unsigned width)
{
    for (unsigned i = width; i > 0; i--) {
        out[i - 1] = (char)('0' + v % 10);
        v /= 10;
    }
    return width;
}

size_t my_put_date(char *out, const struct my_time *t)
{
    size_t at = put_padded(out, t->year, 4);
    out[at++] = '-';
    at += put_padded(out + at, t->month, 2);
    out[at++] = '-';
    return at + put_padded(out + at, t->day, 2);
}

size_t my_put_clock(char *out, const struct my_time *t, unsigned digits)
{
    size_t at = 0;
    if (t->negative) {
        out[at++] = '-';
    }
    at += put_padded(out + at, t->hour, t->hour > 99 ? (t->hour > 999 ? 4 : 3) : 2);
    out[at++] = ':';
    at += put_padded(out + at, t->minute, 2);
    out[at++] = ':';
    at += put_padded(out + at, t->second, 2);
    if (digits > 0 && digits <= 6) {
        out[at++] = '.';
        at += put_padded(out + at, t->micro / powers[6 - digits], digits);
    }
    return at;
}

size_t my_put_datetime(char *out, const struct my_time *t, unsigned digits)
{
    size_t at = my_put_date(out, t);
    out[at++] = ' ';
    return at + my_put_clock(out + at, t, digits);
}

void my_time_of_unix(uint32_t seconds, unsigned micro, struct my_time *ret)
{
    *ret = (struct my_time){.micro = micro};
    if (seconds == 0 && micro == 0) {
        return;
    }
    uint32_t day = seconds / 86400, rest = seconds % 86400;
    ret->hour = rest / 3600;
    ret->minute = rest / 60 % 60;
    ret->second = rest % 60;
    /* Years that begin in March end with the day a leap year adds; 400 of them have 146097 days. */
    uint32_t since = day + 719468; /* since 1 March of the year 0 */
    uint32_t era = since / 146097, in_era = since % 146097;
    uint32_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint32_t in_year = in_era - (365 * year + year / 4 - year / 100);
    uint32_t march = (5 * in_year + 2) / 153; /* months since March */
    ret->day = in_year - (153 * march + 2) / 5 + 1;
    ret->month = march < 10 ? march + 3 : march - 9;
    ret->year = era * 400 + year + (ret->month <= 2);
}
