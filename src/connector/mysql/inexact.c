/*
 * What a strict server would still change: see my_inexact in coltype.h.
 *
 * A strict session refuses what is out of range or no value at all. It rounds, cuts and guesses without a word (or with a note)
 * where the text has more in it than the column: digits behind the point, fractions of seconds, blanks at the end, a member of an ENUM in
 * other letters or by its number. So this looks at forms, not at ranges, and what has not the one form that values of the type travel in
 * is refused, whether or not the server would have understood it.
 *
 * Not seen here: what JSON loses when it comes from a text that no MySQL server made (keys given twice).
 */
#include "base/number.h"
#include "connector/mysql/coltype.h"
#include "connector/mysql/json_put.h"
#include "model/value.h"

#include <math.h>
#include <string.h>

/* ---- numbers ---- */

/* That are not trailing zeros. */
static int digits_behind(const struct mf_number *n)
{
    return (int)n->nsig > n->point ? (int)n->nsig - n->point : 0;
}

static const char *inexact_integer(const struct mf_value *v)
{
    struct mf_number n;
    if (!mf_number_scan(v->data, v->len, &n) || n.has_exponent) {
        return "it is not written as a whole number";
    }
    return digits_behind(&n) > 0 ? "the column has no digits behind the point and the server would round" : NULL;
}

static const char *inexact_bit(const struct mf_value *v)
{
    for (uint32_t i = 0; i < v->len; i++) {
        if (v->data[i] < '0' || v->data[i] > '9') {
            return "it is not written as a number without a sign";
        }
    }
    return v->len > 0 && v->len <= 20 ? NULL : "it is not written as a number of 64 bits";
}

static const char *inexact_decimal(const struct my_type *t, const struct mf_value *v)
{
    struct mf_number n;
    if (!mf_number_scan(v->data, v->len, &n) || n.has_exponent) {
        return "it is not written as a decimal number";
    }
    return digits_behind(&n) > t->scale
               ? "it has more digits behind the point than the column and the server would round"
               : NULL;
}

/* What the server makes of a value in a FLOAT(M,D) or DOUBLE(M,D): only the part behind the point is rounded. */
static double rounded(double v, unsigned scale)
{
    double power = 1, whole = floor(v);
    for (unsigned i = 0; i < scale; i++) {
        power *= 10;
    }
    return whole + rint((v - whole) * power) / power;
}

static const char *inexact_float(const struct my_type *t, const struct mf_value *v)
{
    double d = 0;
    if (!mf_number_is_double(v->data, v->len) || !mf_get_double(v->data, v->len, &d)) {
        return "it has more digits than a floating point number holds";
    }
    double kept = t->precision ? rounded(d, t->scale) : d;
    if (t->base == MY_FLOAT) {
        return (double)(float)kept == d ? NULL : "it is not exactly a FLOAT and the server would round";
    }
    return kept == d ? NULL : "it has more digits behind the point than the column and the server would round";
}

/* ---- dates and times ---- */

/* The text against a form in which 0 stands for a digit and everything else for itself. */
static bool has_form(const char *s, size_t n, const char *form)
{
    for (; *form; form++, s++, n--) {
        if (n == 0 || (*form == '0' ? *s < '0' || *s > '9' : *s != *form)) {
            return false;
        }
    }
    return true;
}

/* "" or ".digits": no more than scale of them that are not zeros at the end. */
static const char *inexact_fraction(const char *s, size_t n, unsigned scale)
{
    if (n == 0) {
        return NULL;
    }
    if (*s != '.' || n == 1) {
        return "it has more in it than a time";
    }
    for (size_t i = 1; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return "it has more in it than a time";
        }
        if (s[i] != '0' && i > scale) {
            return "it has more digits of a second than the column and the server would round";
        }
    }
    return n > 7 ? "it has more than six digits of a second" : NULL;
}

static const char *inexact_year(const struct mf_value *v)
{
    if (v->len != 4 || !has_form(v->data, 4, "0000")) {
        return "it is not a year of four digits and the server would guess the century";
    }
    bool zero = memcmp(v->data, "0000", 4) == 0;
    return zero || memcmp(v->data, "1900", 4) > 0 ? NULL : "it is not a year from 1901 on";
}

static const char *inexact_date(const struct mf_value *v)
{
    if (v->len < 10 || !has_form(v->data, v->len, "0000-00-00")) {
        return "it is not written YYYY-MM-DD and the server would guess";
    }
    return v->len > 10 ? "it has more in it than a date and the server would cut it" : NULL;
}

static const char *inexact_datetime(const struct my_type *t, const struct mf_value *v)
{
    if (v->len == 10 && has_form(v->data, v->len, "0000-00-00")) {
        return NULL; /* midnight */
    }
    if (v->len < 19 || !has_form(v->data, v->len, "0000-00-00 00:00:00")) {
        return "it is not written YYYY-MM-DD hh:mm:ss and the server would guess";
    }
    return inexact_fraction(v->data + 19, v->len - 19, t->scale);
}

static const char *inexact_time(const struct my_type *t, const struct mf_value *v)
{
    const char *s = v->data;
    size_t n = v->len;
    if (n > 0 && *s == '-') {
        s++, n--;
    }
    size_t whole = has_form(s, n, "00:00:00") ? 8 : has_form(s, n, "000:00:00") ? 9 : 0;
    return whole ? inexact_fraction(s + whole, n - whole, t->scale)
                 : "it is not written hh:mm:ss and the server would guess";
}

/* ---- strings ---- */

static uint64_t characters(const struct mf_value *v)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < v->len; i++) {
        n += ((uint8_t)v->data[i] & 0xc0) != 0x80;
    }
    return n;
}

static const char *inexact_char(const struct my_type *t, const struct mf_value *v)
{
    if (v->len > 0 && v->data[v->len - 1] == ' ') {
        return "a CHAR does not keep blanks at the end";
    }
    return characters(v) > t->length ? "it is longer than the column" : NULL;
}

/* The server refuses to cut anything but blanks, which it cuts with a note. TEXT counts bytes in its own character set; here is what a text has in
 * UTF-8, or, where it may have fewer, as many bytes as characters. */
static const char *inexact_text(const struct my_type *t, const struct mf_value *v)
{
    bool utf8 = t->base == MY_TEXT && strncmp(t->charset, "utf8", 4) == 0;
    return (utf8 ? v->len : characters(v)) > t->length ? "it is longer than the column" : NULL;
}

static bool is_member(const struct my_type *t, const char *s, size_t n)
{
    for (uint16_t i = 0; i < t->nmembers; i++) {
        if (strlen(t->members[i]) == n && memcmp(t->members[i], s, n) == 0) {
            return true;
        }
    }
    return false;
}

/* By its exact name: the server also takes another case of its letters, blanks behind it, and its number. */
static const char *inexact_enum(const struct my_type *t, const struct mf_value *v)
{
    return !t->members || is_member(t, v->data, v->len) ? NULL : "it is not a member of the column's ENUM";
}

static const char *inexact_set(const struct my_type *t, const struct mf_value *v)
{
    const char *at = v->data, *end = v->data + v->len;
    while (t->members && v->len > 0) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        if (!is_member(t, at, (size_t)((comma ? comma : end) - at))) {
            return "it has a member that the column's SET has not";
        }
        if (!comma) {
            break;
        }
        at = comma + 1;
    }
    return NULL;
}

/* ---- all ---- */

const char *my_inexact(const struct my_type *t, const struct mf_value *v)
{
    if (v->kind == MF_NULL || v->kind == MF_UNCHANGED) {
        return NULL;
    }
    switch (t->base) {
    case MY_TINYINT:
    case MY_SMALLINT:
    case MY_MEDIUMINT:
    case MY_INT:
    case MY_BIGINT:
        return inexact_integer(v);
    case MY_DECIMAL:
        return inexact_decimal(t, v);
    case MY_FLOAT:
    case MY_DOUBLE:
        return inexact_float(t, v);
    case MY_BIT:
        return inexact_bit(v);
    case MY_YEAR:
        return inexact_year(v);
    case MY_DATE:
        return inexact_date(v);
    case MY_TIME:
        return inexact_time(t, v);
    case MY_DATETIME:
    case MY_TIMESTAMP:
        return inexact_datetime(t, v);
    case MY_CHAR:
        return inexact_char(t, v);
    case MY_VARCHAR:
    case MY_TEXT:
        return inexact_text(t, v);
    case MY_BINARY:
        return v->len == t->length ? NULL : "it is not as long as the column, which would fill it up with zero bytes";
    case MY_VARBINARY:
    case MY_BLOB:
        return v->len > t->length ? "it is longer than the column" : NULL;
    case MY_ENUM:
        return inexact_enum(t, v);
    case MY_SET:
        return inexact_set(t, v);
    case MY_JSON:
        return my_json_kept(v->data, v->len) ? NULL : "a number in the document has more digits than JSON keeps here";
    case MY_GEOMETRY:
    case MY_UUID:
    case MY_INET6:
    case MY_INET4:
    case MY_VECTOR:
        return NULL;
    }
    return NULL;
}
