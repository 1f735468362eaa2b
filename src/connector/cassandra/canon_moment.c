/* See canon_moment.h. The two differ in how they count years (here there is a year 0, which is 1 BC), and in the digits of a second (here always all). */
#include "connector/cassandra/canon_moment.h"

#include <stdio.h>
#include <string.h>

#define YEAR_MOST    9999999    /* of a canonical text */
#define DATE_FIRST   (-5877641) /* -06-23 */
#define DATE_LAST    5881580    /* -07-11 */
#define TIME_DIGITS  9
#define STAMP_DIGITS 3

struct parts {
    int64_t year;
    uint32_t month, day, hour, minute, second;
    const char *fraction;
    size_t nfraction;
};

static bool digits(const char **s, const char *end, size_t least, size_t most, int64_t *ret)
{
    const char *from = *s;
    int64_t v = 0;
    while (*s < end && **s >= '0' && **s <= '9' && (size_t)(*s - from) < most) {
        v = 10 * v + (*(*s)++ - '0');
    }
    *ret = v;
    return (size_t)(*s - from) >= least;
}

static bool two(const char **s, const char *end, char before, uint32_t *ret)
{
    int64_t v = 0;
    if (before && (*s == end || *(*s)++ != before)) {
        return false;
    }
    bool is = digits(s, end, 2, 2, &v);
    *ret = (uint32_t)v;
    return is;
}

static bool take_date(const char **s, const char *end, struct parts *p)
{
    bool before = *s < end && **s == '-';
    *s += before;
    if (!digits(s, end, 4, 9, &p->year) || !two(s, end, '-', &p->month) || !two(s, end, '-', &p->day)) {
        return false;
    }
    p->year = before ? -p->year : p->year;
    return true;
}

static bool take_clock(const char **s, const char *end, struct parts *p)
{
    if (!two(s, end, 0, &p->hour) || !two(s, end, ':', &p->minute) || !two(s, end, ':', &p->second)) {
        return false;
    }
    if (*s < end && **s == '.') {
        int64_t unused;
        p->fraction = ++*s;
        if (!digits(s, end, 1, TIME_DIGITS, &unused)) {
            return false;
        }
        p->nfraction = (size_t)(*s - p->fraction);
    }
    return true;
}

static bool take(enum mf_kind kind, const char *s, size_t n, struct parts *p)
{
    const char *end = s + n;
    *p = (struct parts){0};
    if (kind == MF_KIND_TIME) {
        return take_clock(&s, end, p) && s == end;
    }
    if (!take_date(&s, end, p)) {
        return false;
    }
    if (kind == MF_KIND_DATE) {
        return s == end;
    }
    return s < end && (*s == 'T' || *s == ' ') && (s++, take_clock(&s, end, p)) && end - s == 1 && *s == 'Z';
}

const char *cass_moment_to_canon(enum mf_kind kind, const char *s, size_t n, char out[static CASS_MOMENT_TEXT],
                                 size_t *ret_n)
{
    struct parts p;
    if (!take(kind, s, n, &p)) {
        return "it is no date or time in this database's own form";
    }
    while (p.nfraction && p.fraction[p.nfraction - 1] == '0') {
        p.nfraction--;
    }
    if (p.nfraction > 6) {
        return "it has nanoseconds, and there is room for microseconds";
    }
    bool bc = p.year <= 0 && kind != MF_KIND_TIME;
    int64_t year = bc ? 1 - p.year : p.year;
    if (year > YEAR_MOST) {
        return "years of more than seven digits have no form on the other side";
    }
    size_t at = 0;
    if (kind != MF_KIND_TIME) {
        at = (size_t)snprintf(out, CASS_MOMENT_TEXT, "%04d-%02u-%02u", (int)year, p.month, p.day);
    }
    if (kind != MF_KIND_DATE) {
        at +=
            (size_t)snprintf(out + at, CASS_MOMENT_TEXT - at, "%s%02u:%02u:%02u%s%.*s", at ? " " : "", p.hour, p.minute,
                             p.second, p.nfraction ? "." : "", (int)p.nfraction, p.nfraction ? p.fraction : "");
    }
    if (bc) {
        at += (size_t)snprintf(out + at, CASS_MOMENT_TEXT - at, " BC");
    }
    *ret_n = at;
    return NULL;
}

static bool within_dates(int64_t year, const struct mf_moment *m)
{
    unsigned day = m->month * 100 + m->day;
    return year >= DATE_FIRST && year <= DATE_LAST && (year > DATE_FIRST || day >= 623) &&
           (year < DATE_LAST || day <= 711);
}

const char *cass_moment_from_canon(enum mf_kind kind, const char *s, size_t n, char out[static CASS_MOMENT_TEXT],
                                   size_t *ret_n)
{
    struct mf_moment m;
    if (!mf_moment_scan(kind, s, n, &m)) {
        return "it is no date or time of a calendar";
    }
    if (!mf_moment_is_real(kind, &m)) {
        return kind == MF_KIND_TIME ? "the column has the times from 00:00 to 24:00 only, the latter left out"
                                    : "no calendar has such a day";
    }
    int64_t year = m.bc ? 1 - (int64_t)m.year : (int64_t)m.year;
    size_t room = kind == MF_KIND_TIME ? TIME_DIGITS : STAMP_DIGITS, at = 0;
    if (kind == MF_KIND_DATE && !within_dates(year, &m)) {
        return "the column has the days from -5877641-06-23 to 5881580-07-11 only";
    }
    if (m.nfrac > room) {
        return "it has more digits of a second than the column and would be rounded";
    }
    if (kind != MF_KIND_TIME) {
        at = (size_t)snprintf(out, CASS_MOMENT_TEXT, "%s%04d-%02u-%02u", year < 0 ? "-" : "",
                              (int)(year < 0 ? -year : year), m.month, m.day);
    }
    if (kind != MF_KIND_DATE) {
        const char *point = memchr(s, '.', n);
        at += (size_t)snprintf(out + at, CASS_MOMENT_TEXT - at, "%s%02u:%02u:%02u.%.*s", at ? "T" : "", m.hour,
                               m.minute, m.second, (int)m.nfrac, point ? point + 1 : "");
        for (size_t i = m.nfrac; i < room; i++) {
            out[at++] = '0';
        }
        if (kind == MF_KIND_INSTANT) {
            out[at++] = 'Z';
        }
    }
    *ret_n = at;
    return NULL;
}
