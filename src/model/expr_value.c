/* The values of expressions. */
#include "model/expr.h"

#include "base/cleanup.h"
#include "base/date.h"
#include "base/str.h"
#include "model/moment.h"

#include <inttypes.h>
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

/* The day on which the period begins that d is in. */
static struct mf_date start_of(enum mf_expr_call period, struct mf_date d)
{
    switch (period) {
    case MF_EXPR_WEEK: {
        int64_t n = mf_date_number(d), since_monday = ((n + 3) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
        return mf_date_of(n - since_monday);
    }
    case MF_EXPR_MONTH:
        return (struct mf_date){d.year, d.month, 1};
    case MF_EXPR_YEAR:
        return (struct mf_date){d.year, 1, 1};
    default:
        return d;
    }
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
    struct mf_date d = start_of(x->call, (struct mf_date){m.year, m.month, m.day});
    int n = snprintf(text, sizeof text, "%04" PRId64 "-%02u-%02u", d.year, d.month, d.day);
    if (x->call == MF_EXPR_HOUR) {
        n += snprintf(text + n, sizeof text - (size_t)n, " %02u:00:00", m.hour);
    }
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
