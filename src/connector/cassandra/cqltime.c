/* Times of CQL. Days are those of base/date.h; leap seconds are not known. */
#include "connector/cassandra/cqlvalue_internal.h"

#include "base/date.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS   86400000ll
#define DAY_NS   86400000000000ll
#define DATE_MID (1ll << 31) /* 1970-01-01 */

static void put_day(struct mf_buf *b, struct mf_date d)
{
    mf_buf_printf(b, "%s%04" PRId64 "-%02u-%02u", d.year < 0 ? "-" : "", d.year < 0 ? -d.year : d.year, d.month, d.day);
}

/* ---- texts -- */

void cql_timestamp_text(struct mf_buf *b, int64_t ms)
{
    int64_t day = ms / DAY_MS, rest = ms % DAY_MS;
    if (rest < 0) {
        rest += DAY_MS;
        day--;
    }
    put_day(b, mf_date_of(day));
    mf_buf_printf(b, "T%02d:%02d:%02d.%03dZ", (int)(rest / 3600000), (int)(rest / 60000 % 60), (int)(rest / 1000 % 60),
                  (int)(rest % 1000));
}

void cql_date_text(struct mf_buf *b, uint32_t days)
{
    put_day(b, mf_date_of((int64_t)days - DATE_MID));
}

void cql_time_text(struct mf_buf *b, int64_t ns)
{
    int64_t s = ns / 1000000000;
    mf_buf_printf(b, "%02d:%02d:%02d.%09d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60), (int)(ns % 1000000000));
}

/* What is read from the left; a part that is not there makes it fail for good. */
struct scan {
    const char *p, *end;
    bool failed;
};

/* At least min and at most max digits. */
static int64_t digits(struct scan *s, int min, int max)
{
    int64_t v = 0;
    int n = 0;
    while (n < max && s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        v = v * 10 + (*s->p++ - '0');
        n++;
    }
    s->failed |= n < min;
    return v;
}

static bool next_is(struct scan *s, char c)
{
    if (s->p < s->end && *s->p == c) {
        s->p++;
        return true;
    }
    return false;
}

static void want(struct scan *s, char c)
{
    s->failed |= !next_is(s, c);
}

static const char *scan_day(struct scan *s, struct mf_date *d)
{
    bool negative = next_is(s, '-');
    d->year = digits(s, 4, 9);
    d->year = negative ? -d->year : d->year;
    want(s, '-');
    d->month = (unsigned)digits(s, 2, 2);
    want(s, '-');
    d->day = (unsigned)digits(s, 2, 2);
    if (s->failed) {
        return "is written in another way";
    }
    if (d->month < 1 || d->month > 12 || d->day < 1 || d->day > mf_date_month_days(d->year, d->month)) {
        return "is a day that no calendar has";
    }
    return NULL;
}

/* "01:02:03", and up to nine digits of a fraction. */
static const char *scan_clock(struct scan *s, int64_t *ret_ns)
{
    int64_t h = digits(s, 2, 2), ns = 0;
    want(s, ':');
    int64_t m = digits(s, 2, 2);
    want(s, ':');
    int64_t sec = digits(s, 2, 2);
    if (next_is(s, '.')) {
        const char *from = s->p;
        ns = digits(s, 0, 9);
        for (ptrdiff_t n = s->p - from; n < 9; n++) {
            ns *= 10;
        }
    }
    if (s->failed) {
        return "is written in another way";
    }
    if (h > 23 || m > 59 || sec > 59) {
        return "is a time that no day has";
    }
    *ret_ns = ((h * 60 + m) * 60 + sec) * 1000000000 + ns;
    return NULL;
}

const char *cql_date_of(const char *text, size_t n, uint32_t *ret_days)
{
    struct scan s = {.p = text, .end = text + n};
    struct mf_date d;
    const char *bad = scan_day(&s, &d);
    if (bad || s.p != s.end) {
        return bad ? bad : "is written in another way";
    }
    int64_t days = mf_date_number(d) + DATE_MID;
    if (days < 0 || days > UINT32_MAX) {
        return "is out of range";
    }
    *ret_days = (uint32_t)days;
    return NULL;
}

const char *cql_time_of(const char *text, size_t n, int64_t *ret_ns)
{
    struct scan s = {.p = text, .end = text + n};
    int64_t ns;
    const char *bad = scan_clock(&s, &ns);
    if (bad || s.p != s.end) {
        return bad ? bad : "is written in another way";
    }
    *ret_ns = ns;
    return NULL;
}

const char *cql_timestamp_of(const char *text, size_t n, int64_t *ret_ms)
{
    struct scan s = {.p = text, .end = text + n};
    struct mf_date d;
    int64_t ns, ms;
    const char *bad = scan_day(&s, &d);
    if (bad) {
        return bad;
    }
    if (!next_is(&s, 'T')) {
        want(&s, ' ');
    }
    bad = scan_clock(&s, &ns);
    if (bad) {
        return bad;
    }
    if (next_is(&s, '+')) {
        s.failed |= digits(&s, 2, 2) != 0;
        bool colon = next_is(&s, ':');
        if (colon || s.p < s.end) {
            s.failed |= digits(&s, 2, 2) != 0;
        }
    } else {
        next_is(&s, 'Z');
    }
    if (s.failed || s.p != s.end) {
        return "is written in another way, or not in UTC";
    }
    if (ns % 1000000 != 0) {
        return "has more than the milliseconds that there is room for";
    }
    /* The first day begins before the smallest number there is: one less day, and that one in milliseconds. */
    int64_t days = mf_date_number(d), back = days < 0 ? DAY_MS : 0;
    if (__builtin_mul_overflow(days + (days < 0), DAY_MS, &ms) ||
        __builtin_add_overflow(ms, ns / 1000000 - back, &ms)) {
        return "is out of range";
    }
    *ret_ms = ms;
    return NULL;
}

/* ---- durations -- */

uint64_t cql_read_vint(struct mf_cursor *r)
{
    uint8_t first = mf_read_u8(r);
    int more = first == 0xff ? 8 : __builtin_clz((unsigned)(uint8_t)~first) - 24;
    uint64_t v = more >= 7 ? 0 : first & (0xffu >> (more + 1));
    for (int i = 0; i < more; i++) {
        v = v << 8 | mf_read_u8(r);
    }
    return r->failed ? 0 : v;
}

void cql_put_vint(struct mf_buf *b, uint64_t v)
{
    int bits = v ? 64 - __builtin_clzll(v) : 1;
    int more = bits > 56 ? 8 : (bits - 1) / 7;
    uint8_t out[9];
    for (int i = more; i > 0; i--) {
        out[i] = (uint8_t)v;
        v >>= 8;
    }
    out[0] = (uint8_t)(v | (more == 8 ? 0xff : 0xff & ~(0xffu >> more)));
    mf_buf_append(b, out, (size_t)more + 1);
}

static int64_t unfold(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

static uint64_t fold(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

enum { MONTHS, DAYS, NANOS };

static const struct unit {
    const char *name;
    int of;
    uint64_t size;
    bool read_only;
} units[] = {
    {"y", MONTHS, 12, false},
    {"mo", MONTHS, 1, false},
    {"w", DAYS, 7, true},
    {"d", DAYS, 1, false},
    {"h", NANOS, 3600000000000, false},
    {"m", NANOS, 60000000000, false},
    {"s", NANOS, 1000000000, false},
    {"ms", NANOS, 1000000, false},
    {"us", NANOS, 1000, false},
    {"\xc2\xb5s", NANOS, 1000, true},
    {"ns", NANOS, 1, false},
};
#define NUNITS (sizeof(units) / sizeof(units[0]))

bool cql_duration_text(struct mf_buf *b, const uint8_t *p, size_t n)
{
    struct mf_cursor r;
    mf_cursor_init(&r, p, n);
    int64_t part[3];
    for (int i = 0; i < 3; i++) {
        part[i] = unfold(cql_read_vint(&r));
    }
    bool negative = part[0] < 0 || part[1] < 0 || part[2] < 0;
    if (r.failed || mf_cursor_left(&r) > 0 || part[MONTHS] != (int32_t)part[MONTHS] ||
        part[DAYS] != (int32_t)part[DAYS] || (negative && (part[0] > 0 || part[1] > 0 || part[2] > 0))) {
        return false;
    }
    uint64_t left[3];
    for (int i = 0; i < 3; i++) {
        left[i] = negative ? 0 - (uint64_t)part[i] : (uint64_t)part[i];
    }
    if (negative) {
        mf_buf_putc(b, '-');
    }
    if (!left[0] && !left[1] && !left[2]) {
        mf_buf_puts(b, "0s");
    }
    for (size_t i = 0; i < NUNITS; i++) {
        uint64_t *of = &left[units[i].of];
        if (!units[i].read_only && *of >= units[i].size) {
            mf_buf_printf(b, "%" PRIu64 "%s", *of / units[i].size, units[i].name);
            *of %= units[i].size;
        }
    }
    return true;
}

/* The unit at p that comes after the one before; its index, or NUNITS. */
static size_t unit_at(const char *p, const char *end, size_t from)
{
    size_t n = 0;
    while (p + n < end && (p[n] < '0' || p[n] > '9')) {
        n++;
    }
    for (size_t i = from; i < NUNITS; i++) {
        if (strlen(units[i].name) == n && memcmp(units[i].name, p, n) == 0) {
            return i;
        }
    }
    return NUNITS;
}

const char *cql_duration_bytes(struct mf_buf *b, const char *text, size_t n)
{
    struct scan s = {.p = text, .end = text + n};
    bool negative = next_is(&s, '-');
    uint64_t part[3] = {0};
    size_t unit = 0;
    if (s.p == s.end) {
        return "is no duration";
    }
    while (s.p < s.end) {
        uint64_t v = (uint64_t)digits(&s, 1, 18);
        unit = unit_at(s.p, s.end, unit);
        if (s.failed || unit == NUNITS) {
            return "is no duration";
        }
        s.p += strlen(units[unit].name);
        uint64_t *of = &part[units[unit].of];
        if (__builtin_mul_overflow(v, units[unit].size, &v) || __builtin_add_overflow(*of, v, of)) {
            return "is out of range";
        }
        unit++;
    }
    for (int i = 0; i < 3; i++) {
        uint64_t max = (i == NANOS ? (uint64_t)INT64_MAX : INT32_MAX) + negative;
        if (part[i] > max) {
            return "is out of range";
        }
    }
    for (int i = 0; i < 3; i++) {
        cql_put_vint(b, fold((int64_t)(negative ? 0 - part[i] : part[i])));
    }
    return NULL;
}
