/* The values of expressions. */
#include "model/expr.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "model/moment.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define MOST_BYTES (UINT32_C(1) << 30)

static int text_value(struct mf_arena *arena, const char *s, size_t n, struct mf_value *ret)
{
    const char *kept = mf_memdup_a(arena, s, n);
    *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = kept};
    return kept ? 0 : -1;
}

static int refused(const struct mf_expr *x, struct mf_arena *arena, const struct mf_value *v, const char *why,
                   struct mf_value *ret)
{
    int len = (int)mf_utf8_cut(v->data, v->len, 60);
    const char *text = mf_printf_a(arena, "%s of \"%.*s\": %s", x->text, len, v->data, why);
    *ret = (struct mf_value){.kind = MF_REFUSED, .len = text ? (uint32_t)strlen(text) : 0, .data = text};
    return text ? 0 : -1;
}

/* ---- dates ---- */

/* Days since 0000-03-01 of the calendar of today, and back; of years from 1 on. */
static int64_t day_number(uint32_t year, uint32_t month, uint32_t day)
{
    int64_t y = (int64_t)year - (month <= 2), m = (month + 9) % 12;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
}

static void day_of(int64_t n, struct mf_moment *ret)
{
    int64_t y = (n * 10000 + 14780) / 3652425, left = n - day_number((uint32_t)y, 3, 1);
    if (left < 0) {
        y--;
        left = n - day_number((uint32_t)y, 3, 1);
    }
    int64_t m = (100 * left + 52) / 3060;
    ret->day = (uint32_t)(left - (m * 306 + 5) / 10 + 1);
    ret->month = (uint32_t)((m + 2) % 12 + 1);
    ret->year = (uint32_t)(y + (m + 2) / 12);
}

static void to_monday(struct mf_moment *m)
{
    int64_t n = day_number(m->year, m->month, m->day);
    day_of(n - (n + 2) % 7, m); /* 0000-03-01 was a Wednesday */
}

static int of_date(const struct mf_expr *x, struct mf_arena *arena, const struct mf_value *v, struct mf_value *ret)
{
    enum mf_kind kind = x->args[0].kind;
    struct mf_moment m;
    char text[64];
    if (v->kind != MF_TEXT || !mf_moment_scan(kind, v->data, v->len, &m) || !mf_moment_is_real(kind, &m) || m.bc ||
        m.year == 0 || (m.year == 1 && x->call == MF_EXPR_WEEK)) {
        return refused(x, arena, v, "no calendar has it", ret);
    }
    if (x->call == MF_EXPR_WEEK) {
        to_monday(&m);
    }
    m.day = x->call == MF_EXPR_MONTH || x->call == MF_EXPR_YEAR ? 1 : m.day;
    m.month = x->call == MF_EXPR_YEAR ? 1 : m.month;
    int n = x->call == MF_EXPR_HOUR
                ? snprintf(text, sizeof text, "%04u-%02u-%02u %02u:00:00", m.year, m.month, m.day, m.hour)
                : snprintf(text, sizeof text, "%04u-%02u-%02u", m.year, m.month, m.day);
    return text_value(arena, text, (size_t)n, ret);
}

/* ---- the others ---- */

static int bucket(const struct mf_expr *x, struct mf_arena *arena, const struct mf_value *v, struct mf_value *ret)
{
    char text[16];
    uLong sum = crc32_z(0, (const unsigned char *)(v->len ? v->data : ""), v->len);
    int n = snprintf(text, sizeof text, "%lu", sum % x->number);
    return text_value(arena, text, (size_t)n, ret);
}

static int left(const struct mf_expr *x, const struct mf_value *v, struct mf_value *ret)
{
    uint32_t n = 0, characters = 0;
    while (n < v->len && characters < x->number) {
        do {
            n++;
        } while (n < v->len && ((unsigned char)v->data[n] & 0xc0) == 0x80);
        characters++;
    }
    *ret = (struct mf_value){.kind = v->kind, .len = n, .data = v->data};
    return 0;
}

static const struct mf_value *arg_of(const struct mf_expr *x, uint16_t i, const struct mf_row *row)
{
    return x->args[i].column ? &row->values[x->args[i].of] : &x->args[i].constant;
}

static int concat(const struct mf_expr *x, struct mf_arena *arena, const struct mf_row *row, struct mf_value *ret)
{
    uint64_t n = 0;
    for (uint16_t i = 0; i < x->nargs; i++) {
        n += arg_of(x, i, row)->len;
    }
    if (n > MOST_BYTES) {
        return refused(x, arena, arg_of(x, 0, row), "longer than 1 GiB", ret);
    }
    char *out = mf_alloc(arena, n + 1), *to = out;
    for (uint16_t i = 0; out && i < x->nargs; i++) {
        const struct mf_value *v = arg_of(x, i, row);
        memcpy(to, v->len ? v->data : "", v->len);
        to += v->len;
    }
    *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = out};
    return out ? 0 : -1;
}

int mf_expr_value(const struct mf_expr *x, struct mf_arena *arena, const struct mf_row *row, struct mf_value *ret)
{
    static const enum mf_value_kind first[] = {MF_REFUSED, MF_UNCHANGED, MF_NULL}; /* whichever an argument is */
    for (size_t k = 0; k < MF_ARRAY_LEN(first); k++) {
        for (uint16_t i = 0; i < x->nargs; i++) {
            const struct mf_value *v = arg_of(x, i, row);
            if (v->kind == first[k]) {
                *ret = v->kind == MF_NULL && x->call == MF_EXPR_COALESCE ? x->args[1].constant : *v;
                return 0;
            }
        }
    }
    const struct mf_value *v = arg_of(x, 0, row);
    switch (x->call) {
    case MF_EXPR_BUCKET:
        return bucket(x, arena, v, ret);
    case MF_EXPR_LEFT:
        return left(x, v, ret);
    case MF_EXPR_CONCAT:
        return concat(x, arena, row, ret);
    case MF_EXPR_COALESCE:
        *ret = *v;
        return 0;
    case MF_EXPR_DAY:
    case MF_EXPR_WEEK:
    case MF_EXPR_MONTH:
    case MF_EXPR_YEAR:
    case MF_EXPR_HOUR:
        break;
    }
    return of_date(x, arena, v, ret);
}
