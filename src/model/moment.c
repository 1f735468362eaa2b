#include "model/moment.h"

#include "base/date.h"

#include <string.h>

#define FRACTION 6

/* Moves past `least` to `most` digits; more than `least` do not begin with a zero. */
static bool take(const char **s, const char *end, int least, int most, uint32_t *ret)
{
    const char *from = *s;
    uint32_t v = 0;
    while (*s < end && *s - from < most && **s >= '0' && **s <= '9') {
        v = v * 10 + (uint32_t)(*(*s)++ - '0');
    }
    *ret = v;
    return *s - from == least || (*s - from > least && *from != '0');
}

static bool take_char(const char **s, const char *end, char c)
{
    if (*s == end || **s != c) {
        return false;
    }
    ++*s;
    return true;
}

static bool take_date(const char **s, const char *end, struct mf_moment *m)
{
    return take(s, end, 4, 7, &m->year) && take_char(s, end, '-') && take(s, end, 2, 2, &m->month) &&
           take_char(s, end, '-') && take(s, end, 2, 2, &m->day);
}

static bool take_fraction(const char **s, const char *end, struct mf_moment *m)
{
    if (!take_char(s, end, '.')) {
        return true;
    }
    const char *from = *s;
    while (*s < end && **s >= '0' && **s <= '9') {
        ++*s;
    }
    m->nfrac = (unsigned)(*s - from);
    return *s > from && *s - from <= FRACTION && (*s)[-1] != '0';
}

static bool take_clock(const char **s, const char *end, int hours, struct mf_moment *m)
{
    return take(s, end, 2, hours, &m->hour) && take_char(s, end, ':') && take(s, end, 2, 2, &m->minute) &&
           take_char(s, end, ':') && take(s, end, 2, 2, &m->second) && take_fraction(s, end, m);
}

bool mf_moment_scan(enum mf_kind kind, const char *s, size_t n, struct mf_moment *ret)
{
    const char *end = s + n;
    *ret = (struct mf_moment){0};
    if (kind == MF_KIND_TIME) {
        ret->negative = take_char(&s, end, '-');
        return take_clock(&s, end, 4, ret) && s == end;
    }
    if (!take_date(&s, end, ret) ||
        (kind != MF_KIND_DATE && (!take_char(&s, end, ' ') || !take_clock(&s, end, 2, ret)))) {
        return false;
    }
    if (end - s == 3 && memcmp(s, " BC", 3) == 0) {
        ret->bc = true;
        return true;
    }
    return s == end;
}

/* 1 BC is the year 0. */
static int64_t year_of(const struct mf_moment *m)
{
    return m->bc ? 1 - (int64_t)m->year : (int64_t)m->year;
}

bool mf_moment_is_real(enum mf_kind kind, const struct mf_moment *m)
{
    bool clock = m->hour < 24 && m->minute < 60 && m->second < 60 && !m->negative;
    if (kind == MF_KIND_TIME) {
        return clock;
    }
    return clock && m->year > 0 && m->month >= 1 && m->month <= 12 && m->day >= 1 &&
           m->day <= mf_date_month_days(year_of(m), m->month);
}

size_t mf_moment_cut(const char *s, size_t n)
{
    size_t point = n;
    while (point > 0 && s[point - 1] >= '0' && s[point - 1] <= '9') {
        point--;
    }
    if (point == 0 || s[point - 1] != '.') {
        return n;
    }
    while (n > point && s[n - 1] == '0') {
        n--;
    }
    return n == point ? n - 1 : n;
}

bool mf_moment_us(const char *s, size_t n, int64_t *ret)
{
    struct mf_moment m;
    bool below = n > 0 && s[0] == '-';
    if (n - below == 8 && memcmp(s + below, "infinity", 8) == 0) {
        *ret = below ? INT64_MIN : INT64_MAX;
        return true;
    }
    if (!mf_moment_scan(MF_KIND_INSTANT, s, n, &m) || !mf_moment_is_real(MF_KIND_INSTANT, &m) || m.year > 290000) {
        return false;
    }
    int64_t seconds = mf_date_number((struct mf_date){year_of(&m), m.month, m.day}) * 86400 + (int64_t)m.hour * 3600 +
                      (int64_t)m.minute * 60 + m.second;
    int64_t fraction = 0;
    const char *point = memchr(s, '.', n);
    for (unsigned i = 0; i < FRACTION; i++) {
        fraction = fraction * 10 + (point && i < m.nfrac ? point[1 + i] - '0' : 0);
    }
    *ret = seconds * 1000000 + fraction;
    return true;
}
