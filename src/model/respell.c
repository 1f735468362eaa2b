#include "model/respell.h"

#include "base/str.h"
#include "model/canon.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 64 /* of a moment */

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

static bool is_leap(long y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static unsigned days_in(long y, unsigned m)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[m - 1] + (m == 2 && is_leap(y));
}

/* `minutes` from the start of that day may be of the day before or after it. */
static void turn(long *y, unsigned *m, unsigned *d, int *minutes)
{
    if (*minutes < 0) {
        *minutes += 24 * 60;
        if (--*d == 0) {
            *m = *m == 1 ? 12 : *m - 1;
            *y -= *m == 12;
            *d = days_in(*y, *m);
        }
    } else if (*minutes >= 24 * 60) {
        *minutes -= 24 * 60;
        if (++*d > days_in(*y, *m)) {
            *d = 1;
            *m = *m == 12 ? 1 : *m + 1;
            *y += *m == 1;
        }
    }
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
    long y = (long)century * 100 + (long)year;
    if (y == 0 || m == 0 || d == 0 || d > days_in(y, m)) {
        return false;
    }
    clock_tail(&s, tail, sizeof tail);
    if (kind == MF_KIND_INSTANT ? !zone(s, &east) : *s != 0) {
        return false;
    }
    int minutes = (int)(hour * 60 + minute) - east;
    turn(&y, &m, &d, &minutes);
    return y > 0 && snprintf(out, n, "%04ld-%02u-%02u %02d:%02d%s", y, m, d, minutes / 60, minutes % 60, tail) < (int)n;
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
