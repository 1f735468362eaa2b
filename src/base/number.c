/*
 * Numbers as text: see number.h.
 *
 * The C library reads and writes decimals exactly, but with the locale's point. So no point ever goes through it: digits are taken from "%e"
 * around the point, and given to strtod as a whole number with an exponent.
 */
#include "base/number.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 17  /* no double needs more to be told from every other */
#define READ_MAX   500 /* bytes of a text that is read as floating point */

/* ---- the shortest digits ---- */

/* What is different for 64 and 32 bits. */
struct width {
    double (*read)(const char *text);
    int enough, most; /* decimals of `enough` digits are told apart; `most` digits tell every number */
    double least;     /* below it numbers have fewer good digits */
};

static double read_double(const char *text)
{
    return strtod(text, NULL);
}

static double read_float(const char *text)
{
    return (double)strtof(text, NULL);
}

static const struct width wide = {read_double, DBL_DIG, DIGITS_MAX, DBL_MIN};
static const struct width narrow = {read_float, FLT_DIG, 9, FLT_MIN};

/* v = 0.DIGITS * 10^point, n digits. */
static void digits_of(double v, int n, char *digits, int *point)
{
    char text[48];
    snprintf(text, sizeof text, "%.*e", n - 1, v);
    digits[0] = text[0];
    memcpy(digits + 1, text + 2, n > 1 ? (size_t)n - 1 : 0);
    *point = (int)strtol(strchr(text, 'e') + 1, NULL, 10) + 1;
}

static bool reads_back(const struct width *w, double v, const char *digits, int n, int point)
{
    char text[48];
    snprintf(text, sizeof text, "%.*se%d", n, digits, point - n);
    return w->read(text) == v;
}

/* The number one unit of the last digit further from zero; false when that is a carry over all digits. */
static bool step_away(char *digits, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        if (digits[i] != '9') {
            digits[i]++;
            return true;
        }
        digits[i] = '0';
    }
    return false;
}

/* The fewest digits that read back as v > 0. Fewer than `enough` come from cutting zeros. Below a power of two the numbers lie closer together
 * than above it, and the nearest decimal of n digits may be one that does not read back while the next one up does. */
static int shortest(const struct width *w, double v, char *digits, int *point)
{
    int exponent;
    bool power_of_two = frexp(v, &exponent) == 0.5;
    int n = v < w->least ? 1 : w->enough;
    for (; n < w->most; n++) {
        digits_of(v, n, digits, point);
        if (reads_back(w, v, digits, n, *point) ||
            (power_of_two && step_away(digits, n) && reads_back(w, v, digits, n, *point))) {
            break;
        }
    }
    if (n == w->most) {
        digits_of(v, n, digits, point);
    }
    while (n > 1 && digits[n - 1] == '0') {
        n--;
    }
    return n;
}

/* ---- writing ---- */

#define FIXED_FROM (-14) /* the point's places, counted from the first digit, that are written without an exponent */
#define FIXED_TO   15

static size_t put(char *out, const char *text)
{
    size_t n = strlen(text);
    memcpy(out, text, n);
    return n;
}

static size_t put_digits(char *out, const char *digits, int n)
{
    memcpy(out, digits, (size_t)n);
    return (size_t)n;
}

static size_t put_zeros(char *out, int n)
{
    memset(out, '0', (size_t)n);
    return (size_t)n;
}

static size_t put_fixed(char *out, const char *digits, int n, int point)
{
    size_t at = 0;
    if (point <= 0) {
        at += put(out, "0.");
        at += put_zeros(out + at, -point);
        return at + put_digits(out + at, digits, n);
    }
    if (point >= n) {
        at += put_digits(out, digits, n);
        return at + put_zeros(out + at, point - n);
    }
    at += put_digits(out, digits, point);
    out[at++] = '.';
    return at + put_digits(out + at, digits + point, n - point);
}

static size_t put_floating(char *out, const struct width *w, double v)
{
    char digits[DIGITS_MAX + 1];
    int point;
    size_t at = 0;
    if (isnan(v)) {
        return put(out, "NaN");
    }
    if (signbit(v)) {
        out[at++] = '-';
        v = -v;
    }
    if (isinf(v)) {
        return at + put(out + at, "Infinity");
    }
    if (v == 0) {
        out[at++] = '0';
        return at;
    }
    int n = shortest(w, v, digits, &point);
    if (point >= FIXED_FROM && point <= FIXED_TO) {
        return at + put_fixed(out + at, digits, n, point);
    }
    out[at++] = digits[0];
    if (n > 1) {
        out[at++] = '.';
        at += put_digits(out + at, digits + 1, n - 1);
    }
    return at + (size_t)snprintf(out + at, 8, "e%d", point - 1);
}

size_t mf_put_double(char *out, double v)
{
    if (v > 0 && v < 1e15 && v == (double)(uint64_t)v) { /* most of them; all digits of these are good */
        return (size_t)snprintf(out, MF_NUMBER_TEXT, "%" PRIu64, (uint64_t)v);
    }
    return put_floating(out, &wide, v);
}

size_t mf_put_float(char *out, float v)
{
    return put_floating(out, &narrow, (double)v);
}

/* ---- decimals ---- */

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
        e = e * 10 + (s[at] - '0');
        if (e > MF_EXPONENT_MAX) {
            return false;
        }
    }
    *ret = negative ? -e : e;
    return true;
}

/* The digits of s[from..to), a point among them perhaps, `before` of them before the point. */
static void weigh(const char *s, size_t from, size_t to, int before, int exponent, struct mf_number *ret)
{
    int at = 0, first = -1, last = -1;
    for (size_t i = from; i < to; i++) {
        if (s[i] == '.') {
            continue;
        }
        if (s[i] != '0') {
            if (first < 0) {
                first = at;
                ret->digits = s + i;
            }
            last = at;
        }
        at++;
    }
    ret->zero = first < 0;
    if (!ret->zero) {
        ret->nsig = (size_t)(last - first + 1);
        ret->point = before - first + exponent;
    }
}

bool mf_number_scan(const char *s, size_t n, struct mf_number *ret)
{
    struct mf_number r = {0};
    int exponent = 0;
    size_t from = n > 0 && (s[0] == '-' || s[0] == '+');
    if (n > MF_EXPONENT_MAX) {
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

/* The next digit; *at moves past it and past a point before it. */
static char next_digit(const char **at)
{
    *at += **at == '.';
    return *(*at)++;
}

bool mf_number_equal(const struct mf_number *a, const struct mf_number *b)
{
    if (a->zero || b->zero) {
        return a->zero && b->zero;
    }
    if (a->negative != b->negative || a->point != b->point || a->nsig != b->nsig) {
        return false;
    }
    const char *x = a->digits, *y = b->digits;
    for (size_t i = 0; i < a->nsig; i++) {
        if (next_digit(&x) != next_digit(&y)) {
            return false;
        }
    }
    return true;
}

static void put_some(struct mf_buf *b, const char **at, size_t n)
{
    while (n-- > 0) {
        mf_buf_putc(b, next_digit(at));
    }
}

static void put_nulls(struct mf_buf *b, int n)
{
    while (n-- > 0) {
        mf_buf_putc(b, '0');
    }
}

void mf_number_put_plain(struct mf_buf *b, const struct mf_number *v)
{
    const char *at = v->digits;
    if (v->zero) {
        mf_buf_putc(b, '0');
        return;
    }
    mf_buf_puts(b, v->negative ? "-" : "");
    if (v->point <= 0) {
        mf_buf_puts(b, "0.");
        put_nulls(b, -v->point);
        put_some(b, &at, v->nsig);
    } else if ((size_t)v->point >= v->nsig) {
        put_some(b, &at, v->nsig);
        put_nulls(b, v->point - (int)v->nsig);
    } else {
        put_some(b, &at, (size_t)v->point);
        mf_buf_putc(b, '.');
        put_some(b, &at, v->nsig - (size_t)v->point);
    }
}

void mf_number_put_exponent(struct mf_buf *b, const struct mf_number *v)
{
    const char *at = v->digits;
    mf_buf_puts(b, v->negative ? "-" : "");
    put_some(b, &at, 1);
    if (v->nsig > 1) {
        mf_buf_putc(b, '.');
        put_some(b, &at, v->nsig - 1);
    }
    mf_buf_printf(b, "e%d", v->point - 1);
}

#define PLAIN_FROM (-5)
#define PLAIN_TO   21

void mf_number_put(struct mf_buf *b, const struct mf_number *v)
{
    if (v->zero || (v->point >= PLAIN_FROM && v->point <= PLAIN_TO)) {
        mf_number_put_plain(b, v);
    } else {
        mf_number_put_exponent(b, v);
    }
}

/* ---- reading floating point ---- */

static bool is_word(const char *s, size_t n, double *ret)
{
    static const struct {
        const char *word;
        double value;
    } words[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i].word) == n && memcmp(words[i].word, s, n) == 0) {
            *ret = words[i].value;
            return true;
        }
    }
    return false;
}

static bool get_floating(const struct width *w, const char *s, size_t n, double *ret)
{
    char room[READ_MAX + 32];
    size_t at = 0;
    struct mf_number v;
    if (is_word(s, n, ret)) {
        return true;
    }
    if (n > READ_MAX || !mf_number_scan(s, n, &v)) {
        return false;
    }
    const char *from = v.digits;
    room[at++] = v.negative ? '-' : '+';
    for (size_t i = 0; i < v.nsig; i++) {
        room[at++] = next_digit(&from);
    }
    if (v.zero) {
        room[at++] = '0';
    }
    snprintf(room + at, sizeof room - at, "e%d", v.zero ? 0 : v.point - (int)v.nsig);
    *ret = w->read(room);
    return isfinite(*ret);
}

bool mf_get_double(const char *s, size_t n, double *ret)
{
    return get_floating(&wide, s, n, ret);
}

bool mf_get_float(const char *s, size_t n, float *ret)
{
    double d;
    if (!get_floating(&narrow, s, n, &d)) {
        return false;
    }
    *ret = (float)d;
    return true;
}

bool mf_number_is_double(const char *s, size_t n)
{
    struct mf_number given, back;
    double d;
    char text[MF_NUMBER_TEXT];
    if (!mf_number_scan(s, n, &given)) {
        return false;
    }
    if (given.zero) {
        return true;
    }
    return given.nsig <= DIGITS_MAX && mf_get_double(s, n, &d) && mf_number_scan(text, mf_put_double(text, d), &back) &&
           mf_number_equal(&given, &back);
}
