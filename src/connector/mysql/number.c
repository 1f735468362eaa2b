/* Decimal numbers as text, read: see number.h. */
#include "connector/mysql/number.h"

#include "connector/mysql/number_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXPONENT_MAX 100000 /* far past any type of any server */
#define TEXT_MAX     512    /* the longest text of a double without an exponent has some 330 characters */

/* ---- scanning ---- */

static size_t scan_digits(const char *s, size_t n, size_t at)
{
    while (at < n && s[at] >= '0' && s[at] <= '9') {
        at++;
    }
    return at;
}

/* From the letter e; true and *ret when what follows to the end is an exponent. */
static bool scan_exponent(const char *s, size_t n, size_t at, int *ret)
{
    int e = 0;
    bool negative = false;
    at++;
    if (at < n && (s[at] == '-' || s[at] == '+')) {
        negative = s[at++] == '-';
    }
    if (at == n || scan_digits(s, n, at) != n) {
        return false;
    }
    for (; at < n; at++) {
        e = e < EXPONENT_MAX ? e * 10 + (s[at] - '0') : EXPONENT_MAX;
    }
    *ret = negative ? -e : e;
    return true;
}

/* The digits of s[from..to), a point among them perhaps, `before` of them before the point. */
static void weigh(const char *s, size_t from, size_t to, int before, int exponent, struct my_number *ret)
{
    int at = 0, first = -1, last = -1;
    for (size_t i = from; i < to; i++) {
        if (s[i] == '.') {
            continue;
        }
        if (s[i] != '0') {
            first = first < 0 ? at : first;
            last = at;
        }
        if (first >= 0 && at - first < MY_NUMBER_DIGITS) {
            ret->digits[at - first] = s[i];
        }
        at++;
    }
    ret->zero = first < 0;
    if (ret->zero) {
        return;
    }
    ret->nsig = last - first + 1;
    ret->digits[ret->nsig < MY_NUMBER_DIGITS ? ret->nsig : MY_NUMBER_DIGITS] = '\0';
    ret->point = before - first + exponent;
    ret->nfrac = ret->nsig > ret->point ? ret->nsig - ret->point : 0;
}

bool my_number_scan(const char *s, size_t n, struct my_number *ret)
{
    struct my_number r = {0};
    int exponent = 0;
    size_t from = n > 0 && (s[0] == '-' || s[0] == '+');
    if (n > EXPONENT_MAX) {
        return false;
    }
    r.negative = from && s[0] == '-';
    size_t point = scan_digits(s, n, from), to = point;
    if (point < n && s[point] == '.') {
        to = scan_digits(s, n, point + 1);
    }
    if (to - from - (to > point) == 0) {
        return false; /* no digit at all */
    }
    if (to < n) {
        if ((s[to] != 'e' && s[to] != 'E') || !scan_exponent(s, n, to, &exponent)) {
            return false;
        }
        r.has_exponent = true;
    }
    weigh(s, from, to, (int)(point - from), exponent, &r);
    *ret = r;
    return true;
}

/* ---- doubles ---- */

static bool same_number(const struct my_number *a, const struct my_number *b)
{
    if (a->zero || b->zero) {
        return a->zero && b->zero;
    }
    return a->negative == b->negative && a->point == b->point && a->nsig == b->nsig &&
           strcmp(a->digits, b->digits) == 0;
}

bool my_number_is_double(const char *s, size_t n, double *ret_value)
{
    char text[TEXT_MAX];
    struct my_number given, read;
    if (n >= sizeof text || !my_number_scan(s, n, &given)) {
        return false;
    }
    memcpy(text, s, n);
    text[n] = '\0';
    *ret_value = strtod(text, NULL);
    if (given.zero) {
        return true;
    }
    if (given.nsig > MY_NUMBER_DIGITS || !isfinite(*ret_value)) {
        return false;
    }
    return my_number_scan(text, my_put_double(text, *ret_value), &read) && same_number(&given, &read);
}
