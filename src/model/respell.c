#include "model/respell.h"

#include "base/date.h"
#include "base/str.h"
#include "model/canon.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX    64 /* of a moment */
#define DAY_MINUTES (24 * 60)

bool mf_respells(const struct mf_type *t)
{
    return t->kind == MF_KIND_JSON || t->kind == MF_KIND_UUID || t->kind == MF_KIND_TIME ||
           t->kind == MF_KIND_DATETIME || t->kind == MF_KIND_INSTANT;
}

static int take(struct mf_arena *arena, const char *s, size_t n, struct mf_value *v, struct mf_error *err)
{
    return mf_canon_text(arena, s, n, v, err);
}

static int respell_json(const struct mf_type *t, struct mf_arena *arena, struct mf_value *v, struct mf_error *err)
{
    struct mf_value out;
    struct mf_error why;
    mf_error_clear(&why);
    if (mf_canon_json(t, arena, v, NULL, &out, &why) == 0) {
        *v = out;
        return 0;
    }
    if (why.cls != MF_ROW) {
        *err = why;
        return -1;
    }
    return 0;
}

static int respell_uuid(struct mf_arena *arena, struct mf_value *v, struct mf_error *err)
{
    char text[36];
    if (v->len != sizeof text) {
        return 0;
    }
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)tolower((unsigned char)v->data[i]);
    }
    return take(arena, text, sizeof text, v, err);
}

/* ---- moments ---- */

static bool two(const char **s, unsigned most, unsigned *ret)
{
    const char *c = *s;
    if (!isdigit((unsigned char)c[0]) || !isdigit((unsigned char)c[1])) {
        return false;
    }
    *ret = (unsigned)(c[0] - '0') * 10 + (unsigned)(c[1] - '0');
    *s += 2;
    return *ret <= most;
}

/* "", "Z", "+01", "-0330", "+05:30", with a blank before it or not: minutes east of UTC. */
static bool zone(const char *s, int *ret)
{
    unsigned h = 0, m = 0;
    s += *s == ' ';
    if (!*s || ((*s == 'Z' || *s == 'z') && !s[1])) {
        *ret = 0;
        return true;
    }
    bool west = *s == '-';
    if (*s++ != '+' && !west) {
        return false;
    }
    if (!two(&s, 15, &h) || (*s == ':' && !*++s) || (*s && !two(&s, 59, &m)) || *s) {
        return false;
    }
    *ret = (west ? -1 : 1) * (int)(h * 60 + m);
    return true;
}

/* Behind the minutes: seconds and a fraction, as they are; "00" where there are none. */
static void clock_tail(const char **s, char *out, size_t n)
{
    const char *from = *s;
    if (*from != ':') {
        snprintf(out, n, ":00");
        return;
    }
    do {
        ++*s;
    } while (isdigit((unsigned char)**s) || **s == '.');
    snprintf(out, n, "%.*s", (int)(*s - from), from);
    out[mf_moment_cut(out, strlen(out))] = 0;
}

/* "2026-11-28T01:02[:03[.5]][Z]" of a year of four digits. */
static bool moment(enum mf_kind kind, const char *s, char *out, size_t n)
{
    unsigned century, year, m, d, hour, minute;
    char tail[TEXT_MAX];
    int east = 0;
    if (!two(&s, 99, &century) || !two(&s, 99, &year) || *s++ != '-' || !two(&s, 12, &m) || *s++ != '-' ||
        !two(&s, 31, &d) || !strchr(" Tt", *s) || !*s++ || !two(&s, 23, &hour) || *s++ != ':' ||
        !two(&s, 59, &minute)) {
        return false;
    }
    struct mf_date day = {(int64_t)century * 100 + year, m, d};
    if (day.year == 0 || m == 0 || d == 0 || d > mf_date_month_days(day.year, m)) {
        return false;
    }
    clock_tail(&s, tail, sizeof tail);
    if (kind == MF_KIND_INSTANT ? !zone(s, &east) : *s != 0) {
        return false;
    }
    int64_t minutes = mf_date_number(day) * DAY_MINUTES + hour * 60 + minute - east, of_day;
    of_day = (minutes % DAY_MINUTES + DAY_MINUTES) % DAY_MINUTES;
    day = mf_date_of((minutes - of_day) / DAY_MINUTES);
    return day.year > 0 && snprintf(out, n, "%04" PRId64 "-%02u-%02u %02d:%02d%s", day.year, day.month, day.day,
                                    (int)of_day / 60, (int)of_day % 60, tail) < (int)n;
}

static int respell_moment(enum mf_kind kind, struct mf_arena *arena, struct mf_value *v, struct mf_error *err)
{
    char in[TEXT_MAX], out[TEXT_MAX * 2];
    struct mf_moment ignored;
    if (v->len == 0 || v->len >= sizeof in || memchr(v->data, 0, v->len) ||
        mf_moment_scan(kind, v->data, v->len, &ignored)) {
        return 0; /* it is in its spelling already, or in none */
    }
    memcpy(in, v->data, v->len);
    in[v->len] = 0;
    if (kind == MF_KIND_TIME) {
        v->len = (uint32_t)mf_moment_cut(v->data, v->len);
        return 0;
    }
    return moment(kind, in, out, sizeof out) && mf_moment_scan(kind, out, strlen(out), &ignored)
               ? take(arena, out, strlen(out), v, err)
               : 0;
}

int mf_respell(const struct mf_type *t, struct mf_arena *arena, struct mf_value *v, struct mf_error *err)
{
    if (v->kind != MF_TEXT) {
        return 0;
    }
    switch (t->kind) {
    case MF_KIND_JSON:
        return respell_json(t, arena, v, err);
    case MF_KIND_UUID:
        return respell_uuid(arena, v, err);
    case MF_KIND_TIME:
    case MF_KIND_DATETIME:
    case MF_KIND_INSTANT:
        return respell_moment(t->kind, arena, v, err);
    default:
        return 0;
    }
}
