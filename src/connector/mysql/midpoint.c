/*
 * A value between two others, for cutting a range of keys (plan_cut.c). How well it halves them decides how even the chunks
 * are and nothing else: whatever it is, a chunk's bound is the key of a row that the server found by it.
 *
 * Numbers and times are halved as numbers. Texts and bytes are halved where they first differ, on a few digits: bytes of base
 * 256, characters of base 36 without regard to case, so that what comes out is a letter or digit that any collation puts about
 * where it belongs.
 */
#include "connector/mysql/plan.h"

#include "base/date.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef __int128 wide; /* a BIGINT of either kind, and what lies between two */
__extension__ typedef unsigned __int128 uwide;

#define DIGITS 8 /* of a text, 256^6 and 36^8 fit into 53 bits */

static bool parse_int(const char *s, size_t n, wide *ret)
{
    size_t i = n > 0 && s[0] == '-';
    wide v = 0;
    if (i == n || n > 36) {
        return false;
    }
    for (; i < n; i++) {
        if (!isdigit((unsigned char)s[i])) {
            return false;
        }
        v = v * 10 + (s[i] - '0');
    }
    *ret = s[0] == '-' ? -v : v;
    return true;
}

static void put_int(struct mf_buf *b, wide v)
{
    char digits[48];
    size_t at = sizeof digits;
    bool minus = v < 0;
    uwide u = minus ? -(uwide)v : (uwide)v;
    do {
        digits[--at] = (char)('0' + (int)(u % 10));
        u /= 10;
    } while (u);
    if (minus) {
        digits[--at] = '-';
    }
    mf_buf_append(b, digits + at, sizeof digits - at);
}

static bool between_ints(wide low, wide high, wide *ret)
{
    if (high <= low) {
        return false;
    }
    *ret = low + (high - low + 1) / 2;
    return true;
}

static bool mid_integer(const char *low, size_t nlow, const char *high, size_t nhigh, struct mf_buf *ret)
{
    wide a, b, m;
    if (!parse_int(low, nlow, &a) || !parse_int(high, nhigh, &b) || !between_ints(a, b, &m)) {
        return false;
    }
    put_int(ret, m);
    return true;
}

/* By the whole part alone: rows that differ behind the point only are not worth cutting apart. */
static bool mid_decimal(const char *low, size_t nlow, const char *high, size_t nhigh, struct mf_buf *ret)
{
    const char *p = memchr(low, '.', nlow), *q = memchr(high, '.', nhigh);
    return mid_integer(low, p ? (size_t)(p - low) : nlow, high, q ? (size_t)(q - high) : nhigh, ret);
}

static bool mid_double(const char *low, size_t nlow, const char *high, size_t nhigh, struct mf_buf *ret)
{
    char a[64], b[64];
    if (nlow >= sizeof a || nhigh >= sizeof b) {
        return false;
    }
    snprintf(a, sizeof a, "%.*s", (int)nlow, low);
    snprintf(b, sizeof b, "%.*s", (int)nhigh, high);
    double x = strtod(a, NULL), y = strtod(b, NULL), m = x / 2 + y / 2;
    if (!(m > x && m < y)) {
        return false;
    }
    mf_buf_printf(ret, "%.17g", m);
    return true;
}

/* ---- times: seconds since the year 0 of the Gregorian calendar ---- */

#define YEAR_0 719468 /* days from 0000-03-01 to 1970-01-01 */

static bool parse_time(const char *s, size_t n, int64_t *ret)
{
    char text[32];
    int y, mo, d, h = 0, mi = 0, se = 0;
    if (n >= sizeof text) {
        return false;
    }
    snprintf(text, sizeof text, "%.*s", (int)n, s);
    int got = sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d", &y, &mo, &d, &h, &mi, &se);
    if ((got != 3 && got != 6) || y < 1 || mo < 1 || mo > 12 || d < 1) {
        return false; /* a zero date among them */
    }
    *ret = (mf_date_number((struct mf_date){y, (unsigned)mo, (unsigned)d}) + YEAR_0) * 86400 + h * 3600 + mi * 60 + se;
    return true;
}

static bool mid_time(bool date, const char *low, size_t nlow, const char *high, size_t nhigh, struct mf_buf *ret)
{
    int64_t a, b, unit = date ? 86400 : 1;
    wide m;
    if (!parse_time(low, nlow, &a) || !parse_time(high, nhigh, &b) || !between_ints(a / unit, b / unit, &m)) {
        return false;
    }
    int64_t at = (int64_t)m * unit;
    struct mf_date d = mf_date_of(at / 86400 - YEAR_0);
    mf_buf_printf(ret, "%04" PRId64 "-%02u-%02u", d.year, d.month, d.day);
    if (!date) {
        mf_buf_printf(ret, " %02d:%02d:%02d", (int)(at % 86400 / 3600), (int)(at % 3600 / 60), (int)(at % 60));
    }
    return true;
}

/* ---- texts and bytes ---- */

static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";

/* A letter's digit; -1 for what has none. */
static int digit_of(char c)
{
    const char *p = c ? strchr(letters, tolower((unsigned char)c)) : NULL;
    return p ? (int)(p - letters) : -1;
}

static size_t same_start(const char *a, size_t na, const char *b, size_t nb)
{
    size_t i = 0;
    while (i < na && i < nb && a[i] == b[i]) {
        i++;
    }
    return i;
}

/* The next digits as a number; characters in between that are no digits (hyphens) end it. */
static int64_t take_digits(const char *s, size_t n, size_t from, int count)
{
    int64_t v = 0;
    for (int i = 0; i < count; i++) {
        int d = from + (size_t)i < n ? digit_of(s[from + (size_t)i]) : 0;
        v = v * 36 + (d < 0 ? 0 : d);
    }
    return v;
}

static int usable(const char *s, size_t n, size_t from)
{
    int i = 0;
    while (i < DIGITS && from + (size_t)i < n && digit_of(s[from + (size_t)i]) >= 0) {
        i++;
    }
    return i;
}

static bool mid_text(const char *low, size_t nlow, const char *high, size_t nhigh, struct mf_buf *ret)
{
    size_t same = same_start(low, nlow, high, nhigh);
    int a = usable(low, nlow, same), b = usable(high, nhigh, same), count = a > b ? a : b;
    char out[DIGITS];
    wide m;
    if ((same < nlow && a == 0) || (same < nhigh && b == 0) ||
        !between_ints(take_digits(low, nlow, same, count), take_digits(high, nhigh, same, count), &m)) {
        return false;
    }
    for (int i = count; i-- > 0; m /= 36) {
        out[i] = letters[(int)(m % 36)];
    }
    mf_buf_append(ret, low, same);
    mf_buf_append(ret, out, (size_t)count);
    return true;
}

/* Both in hexadecimal, two digits a byte. */
static bool mid_bytes(const char *low, size_t nlow, const char *high, size_t nhigh, struct mf_buf *ret)
{
    size_t same = same_start(low, nlow, high, nhigh) / 2 * 2;
    int64_t a = 0, b = 0;
    wide m;
    for (size_t i = same; i < same + 12; i++) {
        int da = i < nlow ? digit_of(low[i]) : 0, db = i < nhigh ? digit_of(high[i]) : 0;
        if (da < 0 || da > 15 || db < 0 || db > 15) {
            return false;
        }
        a = a * 16 + da;
        b = b * 16 + db;
    }
    if (!between_ints(a, b, &m)) {
        return false;
    }
    mf_buf_append(ret, low, same);
    mf_buf_printf(ret, "%012llX", (unsigned long long)m);
    return true;
}

bool my_midpoint(const struct my_type *type, const char *low, size_t nlow, const char *high, size_t nhigh,
                 struct mf_buf *ret)
{
    switch (type->base) {
    case MY_TINYINT:
    case MY_SMALLINT:
    case MY_MEDIUMINT:
    case MY_INT:
    case MY_BIGINT:
    case MY_BIT:
    case MY_ENUM:
    case MY_SET:
        return mid_integer(low, nlow, high, nhigh, ret);
    case MY_DECIMAL:
        return mid_decimal(low, nlow, high, nhigh, ret);
    case MY_FLOAT:
    case MY_DOUBLE:
        return mid_double(low, nlow, high, nhigh, ret);
    case MY_DATE:
    case MY_DATETIME:
    case MY_TIMESTAMP:
        return mid_time(type->base == MY_DATE, low, nlow, high, nhigh, ret);
    case MY_CHAR:
    case MY_VARCHAR:
    case MY_TEXT:
        return mid_text(low, nlow, high, nhigh, ret);
    case MY_BINARY:
    case MY_VARBINARY:
    case MY_BLOB:
        return mid_bytes(low, nlow, high, nhigh, ret);
    default:
        return false;
    }
}
