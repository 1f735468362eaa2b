/*
 * Writing JSON: see json_put.h.
 *
 * CAST('…' AS JSON) is not exact. The server's parser (of 5.7 and early 8.0 at least) makes a double of a number in a fast way that is right only while
 * the digits fit in 53 bits and the power of ten in 22: beyond that one in ten comes out next to what was written. And a DECIMAL, which
 * is what SQL arithmetic leaves in a document, comes out as a double, without the zeros at its end. Numbers in SQL are read exactly. So a
 * document with such a number is built by JSON_OBJECT and JSON_ARRAY down to it, and all else stays a text that is cast:
 *
 *   {"a": {"x": true}, "b": [1, 0.9433567169983137]}
 *   JSON_OBJECT(JSON_UNQUOTE('"a"'), CAST('{"x": true}' AS JSON), JSON_UNQUOTE('"b"'),
 *               JSON_ARRAY(CAST('1' AS JSON), 0.9433567169983137e0))
 *
 * A number that a double holds becomes a double, as it most likely was; only what a double would change becomes a DECIMAL. The text is the same
 * either way.
 */
#include "connector/mysql/json_put.h"

#include "base/number.h"
#include "connector/mysql/put.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX        100 /* the server's own bound */
#define FAST_DIGITS      15
#define FAST_POWER       22
#define DECIMAL_DIGITS   65
#define DECIMAL_FRACTION 30

/* ---- numbers ---- */

enum how {
    CAST_IT,    /* the parser reads it exactly */
    AS_DOUBLE,  /* a literal with an exponent is */
    AS_DECIMAL, /* a literal without one is */
    LOST,       /* nothing is */
};

/* A whole number of 64 bits, signed or not, as JSON writes it. */
static bool is_int64(const char *s, size_t n)
{
    bool negative = n > 0 && *s == '-';
    const char *limit = negative ? "9223372036854775808" : "18446744073709551615";
    s += negative, n -= negative;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return false;
        }
    }
    size_t most = strlen(limit);
    return n < most || (n == most && memcmp(s, limit, n) <= 0);
}

static enum how as_decimal(const char *s, size_t n, const struct mf_number *number)
{
    const char *point = memchr(s, '.', n);
    size_t fraction = point ? (size_t)(s + n - point) - 1 : 0;
    size_t digits = n - (point != NULL) - number->negative;
    return !number->has_exponent && digits <= DECIMAL_DIGITS && fraction <= DECIMAL_FRACTION ? AS_DECIMAL : LOST;
}

static enum how how_to_write(const char *s, size_t n)
{
    struct mf_number number;
    if (!mf_number_scan(s, n, &number)) {
        /* no number: the server refuses it; or one with an exponent so far off that it would take it for a zero */
        return memchr(s, 'e', n) || memchr(s, 'E', n) ? LOST : CAST_IT;
    }
    if (is_int64(s, n)) {
        return number.zero && number.negative ? AS_DOUBLE : CAST_IT;
    }
    const char *point = memchr(s, '.', n);
    bool whole = !point && !number.has_exponent;
    /* "1.0" is a double, "1.50" was a DECIMAL */
    bool zeros = point && !number.has_exponent && s[n - 1] == '0' && point != s + n - 2;
    if (whole || zeros || !mf_number_is_double(s, n)) {
        return as_decimal(s, n, &number);
    }
    return number.nsig > FAST_DIGITS || abs(number.point - (int)number.nsig) > FAST_POWER ? AS_DOUBLE : CAST_IT;
}

/* ---- walking through a document; NULL where it is none ---- */

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) {
        p++;
    }
    return p;
}

static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        p += *p == '\\';
    }
    return p < end ? p + 1 : NULL;
}

static bool begins_number(char c)
{
    return c == '-' || (c >= '0' && c <= '9');
}

static const char *skip_number(const char *p, const char *end)
{
    while (p < end && (begins_number(*p) || *p == '+' || *p == '.' || *p == 'e' || *p == 'E')) {
        p++;
    }
    return p;
}

/* Past one value; *ret_worst is raised to how its worst number has to be written. */
static const char *skip_value(const char *p, const char *end, enum how *ret_worst)
{
    size_t open = 0;
    do {
        p = skip_space(p, end);
        if (p >= end) {
            return NULL;
        }
        if (*p == '"') {
            if (!(p = skip_string(p, end))) {
                return NULL;
            }
        } else if (begins_number(*p)) {
            const char *from = p;
            p = skip_number(p, end);
            enum how how = how_to_write(from, (size_t)(p - from));
            *ret_worst = how > *ret_worst ? how : *ret_worst;
        } else {
            open += *p == '{' || *p == '[';
            open -= open && (*p == '}' || *p == ']');
            bool word = *p >= 'a' && *p <= 'z';
            for (p++; word && p < end && *p >= 'a' && *p <= 'z'; p++) {}
        }
    } while (open);
    return p;
}

static enum how worst_of(const char *p, size_t n)
{
    enum how worst = CAST_IT;
    const char *end = p + n;
    while (p && (p = skip_space(p, end)) < end) {
        p = skip_value(p, end, &worst);
    }
    return worst;
}

bool my_json_plain(const char *text, size_t n)
{
    return worst_of(text, n) == CAST_IT;
}

bool my_json_kept(const char *text, size_t n)
{
    return worst_of(text, n) != LOST;
}

/* ---- writing ---- */

static void put_cast(struct mf_buf *b, const char *p, size_t n)
{
    mf_buf_puts(b, "CAST(");
    my_put_literal_n(b, p, n);
    mf_buf_puts(b, " AS JSON)");
}

static const char *put_value(struct mf_buf *b, const char *p, const char *end, unsigned depth);

/* From the opening bracket past the closing one. */
static const char *put_box(struct mf_buf *b, const char *p, const char *end, unsigned depth)
{
    bool object = *p == '{';
    mf_buf_puts(b, object ? "JSON_OBJECT(" : "JSON_ARRAY(");
    do {
        p = skip_space(p + 1, end);
        if (object) {
            const char *key = p;
            if (p >= end || *p != '"' || !(p = skip_string(p, end))) {
                return NULL;
            }
            mf_buf_puts(b, "JSON_UNQUOTE(");
            my_put_literal_n(b, key, (size_t)(p - key));
            mf_buf_puts(b, "), ");
            p = skip_space(p, end);
            if (p >= end || *p++ != ':') {
                return NULL;
            }
        }
        if (!(p = put_value(b, p, end, depth + 1)) || (p = skip_space(p, end)) >= end) {
            return NULL;
        }
        mf_buf_puts(b, *p == ',' ? ", " : "");
    } while (*p == ',');
    mf_buf_putc(b, ')');
    return *p == (object ? '}' : ']') ? p + 1 : NULL;
}

/* Past the value; NULL when it is none, or is nested too deep. */
static const char *put_value(struct mf_buf *b, const char *p, const char *end, unsigned depth)
{
    enum how how = CAST_IT;
    p = skip_space(p, end);
    const char *past = skip_value(p, end, &how);
    if (!past || depth > DEPTH_MAX) {
        return NULL;
    }
    size_t n = (size_t)(past - p);
    if (how == CAST_IT || how == LOST) {
        put_cast(b, p, n);
    } else if (*p == '{' || *p == '[') {
        past = put_box(b, p, end, depth);
    } else {
        mf_buf_append(b, p, n);
        mf_buf_puts(b, how == AS_DOUBLE && !memchr(p, 'e', n) && !memchr(p, 'E', n) ? "e0" : "");
    }
    return past;
}

void my_put_json(struct mf_buf *b, const char *text, size_t n)
{
    size_t from = b->len;
    const char *end = text + n, *past = put_value(b, text, end, 0);
    if (past && skip_space(past, end) == end) {
        return;
    }
    if (mf_buf_ok(b) && b->data) {
        b->len = from;
        b->data[from] = '\0';
    }
    put_cast(b, text, n);
}
