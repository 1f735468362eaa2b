/* What expressions say: how they are written, and of which types they are. */
#include "model/expr.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "model/canon.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ARGS  16
#define MOST_TEXT  2000
#define BUCKETS    100000
#define CHARACTERS 10000

#define KIND(k)   (UINT32_C(1) << MF_KIND_##k)
#define OF_DATES  (KIND(DATE) | KIND(DATETIME) | KIND(INSTANT))
#define OF_CLOCKS (KIND(DATETIME) | KIND(INSTANT))
#define IN_BUCKET                                                                                                      \
    (KIND(BOOL) | KIND(INT) | KIND(DECIMAL) | KIND(DATE) | KIND(TIME) | OF_CLOCKS | KIND(TEXT) | KIND(BYTES) |         \
     KIND(ENUM) | KIND(UUID))
#define IN_TEXT (KIND(BOOL) | KIND(INT) | KIND(DECIMAL) | KIND(DATE) | KIND(TEXT) | KIND(ENUM) | KIND(UUID))

static const struct call {
    const char *name;
    uint16_t least, most; /* arguments, without the number */
    uint32_t number;      /* its greatest value; 0: it takes none */
    uint32_t kinds;       /* that its columns may have */
    const char *takes;
} calls[] = {
    [MF_EXPR_DAY] = {"day", 1, 1, 0, OF_DATES, "a date or a time with its date"},
    [MF_EXPR_WEEK] = {"week", 1, 1, 0, OF_DATES, "a date or a time with its date"},
    [MF_EXPR_MONTH] = {"month", 1, 1, 0, OF_DATES, "a date or a time with its date"},
    [MF_EXPR_YEAR] = {"year", 1, 1, 0, OF_DATES, "a date or a time with its date"},
    [MF_EXPR_HOUR] = {"hour", 1, 1, 0, OF_CLOCKS, "a time with its date"},
    [MF_EXPR_BUCKET] = {"bucket", 1, 1, BUCKETS, IN_BUCKET, "a column of which equal values have one spelling"},
    [MF_EXPR_LEFT] = {"left", 1, 1, CHARACTERS, KIND(TEXT), "a text"},
    [MF_EXPR_CONCAT] = {"concat", 2, MOST_ARGS, 0, IN_TEXT, "texts, numbers, dates, labels and UUIDs"},
    [MF_EXPR_COALESCE] = {"coalesce", 2, 2, 0, IN_TEXT, "a text, a number, a date, a label or a UUID"},
};

static int wrong(struct mf_error *err, const char *text, const char *why)
{
    return mf_fail(err, MF_USAGE, "MFEXPR", "%.200s: %s", text, why);
}

/* ---- how it is written ---- */

struct parse {
    struct mf_arena *arena;
    const char *text, *at;
    struct mf_error *err;
};

static int stop(const struct parse *p, const char *why)
{
    return wrong(p->err, p->text, why);
}

static char next(struct parse *p)
{
    while (isspace((unsigned char)*p->at)) {
        p->at++;
    }
    return *p->at;
}

static bool in_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* Up to the quote that ends it; twice the quote is one. */
static const char *quoted(struct parse *p)
{
    char quote = *p->at++, *out = mf_alloc(p->arena, strlen(p->at) + 1), *to = out;
    for (; out && *p->at; p->at++) {
        if (*p->at == quote && *++p->at != quote) {
            *to = 0;
            return out;
        }
        *to++ = *p->at;
    }
    stop(p, out ? "a quote does not end" : "it is too long");
    return NULL;
}

static int take_arg(struct parse *p, struct mf_expr_arg *a)
{
    char c = next(p);
    const char *from = p->at, *text;
    if (c == '\'' || c == '"') {
        text = quoted(p);
    } else {
        while (in_name(*p->at) || (*p->at == '-' && p->at == from) || *p->at == '.') {
            p->at++;
        }
        text = mf_memdup_a(p->arena, from, (size_t)(p->at - from));
        if (p->at == from) {
            return stop(p, "an argument is a column, a 'text' or a number");
        }
    }
    if (!text) {
        return -1;
    }
    bool constant = c == '\'' || (c != '"' && (isdigit((unsigned char)c) || c == '-'));
    *a = (struct mf_expr_arg){.column = constant ? NULL : text};
    if (constant) {
        a->constant = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(text), .data = text};
    } else if (!*text || (c != '"' && strchr(text, '.'))) {
        return stop(p, "an argument is a column's name, without its table's");
    }
    return 0;
}

static int find_call(struct parse *p, struct mf_expr *x)
{
    next(p);
    const char *from = p->at;
    while (in_name(*p->at)) {
        p->at++;
    }
    size_t n = (size_t)(p->at - from);
    for (size_t i = 0; i < MF_ARRAY_LEN(calls); i++) {
        if (strlen(calls[i].name) == n && strncmp(calls[i].name, from, n) == 0) {
            x->call = (enum mf_expr_call)i;
            return next(p) == '(' ? 0 : stop(p, "its arguments stand in brackets behind its name");
        }
    }
    return stop(p, "it is one of day, week, month, year and hour(column), bucket(column, n), left(column, n), "
                   "concat(a, b, …) and coalesce(column, constant)");
}

static int take_args(struct parse *p, struct mf_expr *x)
{
    do {
        p->at++; /* the bracket, or a comma */
        if (x->nargs == MOST_ARGS) {
            return stop(p, "it has more than 16 arguments");
        }
        if (take_arg(p, &x->args[x->nargs++]) < 0) {
            return -1;
        }
    } while (next(p) == ',');
    if (*p->at != ')') {
        return stop(p, "its arguments are parted by commas, and \")\" ends them");
    }
    p->at++;
    return next(p) ? stop(p, "something stands behind its \")\"") : 0;
}

static int take_number(struct parse *p, struct mf_expr *x)
{
    uint64_t n;
    const struct mf_expr_arg *a = &x->args[x->nargs - 1];
    if (x->nargs < 2 || a->column || !mf_parse_u64(a->constant.data, &n) || n < 1 || n > calls[x->call].number) {
        return mf_fail(p->err, MF_USAGE, "MFEXPR", "%.200s: its last argument is a number from 1 to %u", p->text,
                       calls[x->call].number);
    }
    x->number = (uint32_t)n;
    x->nargs--;
    return 0;
}

int mf_expr_parse(struct mf_arena *arena, const char *text, struct mf_expr *ret, struct mf_error *err)
{
    struct parse p = {.arena = arena, .text = text, .at = text, .err = err};
    struct mf_expr x = {.text = mf_strdup_a(arena, text), .args = mf_alloc_array(arena, MOST_ARGS, sizeof *x.args)};
    if (strlen(text) > MOST_TEXT || !x.text || !x.args) {
        return stop(&p, "it is too long");
    }
    if (find_call(&p, &x) < 0 || take_args(&p, &x) < 0 || (calls[x.call].number && take_number(&p, &x) < 0)) {
        return -1;
    }
    if (x.nargs < calls[x.call].least || x.nargs > calls[x.call].most) {
        return stop(&p, "it has too many arguments, or too few");
    }
    if (mf_expr_columns(&x) == 0) {
        return stop(&p, "none of its arguments is a column");
    }
    if (x.call == MF_EXPR_COALESCE && (!x.args[0].column || x.args[1].column)) {
        return stop(&p, "it takes a column, and a constant for where that is NULL");
    }
    *ret = x;
    return 0;
}

uint16_t mf_expr_columns(const struct mf_expr *x)
{
    uint16_t n = 0;
    for (uint16_t i = 0; i < x->nargs; i++) {
        n += x->args[i].column != NULL;
    }
    return n;
}

/* ---- its type ---- */

static int result(const struct mf_expr *x, const struct mf_type *of, struct mf_type *ret, struct mf_error *err)
{
    const char *why;
    switch (x->call) {
    case MF_EXPR_DAY:
    case MF_EXPR_WEEK:
    case MF_EXPR_MONTH:
    case MF_EXPR_YEAR:
        *ret = (struct mf_type){.kind = MF_KIND_DATE};
        return 0;
    case MF_EXPR_BUCKET:
        *ret = (struct mf_type){.kind = MF_KIND_INT, .bits = 32};
        return 0;
    case MF_EXPR_LEFT:
        *ret = (struct mf_type){.kind = MF_KIND_TEXT, .length = x->number};
        return 0;
    case MF_EXPR_CONCAT:
        *ret = (struct mf_type){.kind = MF_KIND_TEXT};
        return 0;
    case MF_EXPR_HOUR:
        *ret = *of;
        return 0;
    case MF_EXPR_COALESCE:
        *ret = *of;
        why = mf_canon_wrong(of, &x->args[1].constant);
        return why ? mf_fail(err, MF_USAGE, "MFEXPR", "%.200s: '%.100s' is no value of the column: %s", x->text,
                             x->args[1].constant.data, why)
                   : 0;
    }
    return wrong(err, x->text, "it is of no type");
}

int mf_expr_type(struct mf_expr *x, const struct mf_type *const *types, struct mf_type *ret, struct mf_error *err)
{
    for (uint16_t i = 0; i < x->nargs; i++) {
        if (!x->args[i].column) {
            continue;
        }
        if (!(calls[x->call].kinds & (UINT32_C(1) << types[i]->kind))) {
            struct mf_buf b = {.max = 4096};
            mf_type_put(&b, types[i]);
            mf_fail(err, MF_USAGE, "MFEXPR", "%.200s: %s takes %s; column \"%s\" is %s", x->text, calls[x->call].name,
                    calls[x->call].takes, x->args[i].column, mf_buf_str(&b));
            mf_buf_free(&b);
            return -1;
        }
        x->args[i].kind = types[i]->kind;
    }
    return result(x, types[0], ret, err);
}

bool mf_expr_copy(struct mf_arena *arena, struct mf_expr *dst, const struct mf_expr *src)
{
    *dst = *src;
    dst->text = mf_strdup_a(arena, src->text);
    dst->args = mf_alloc_array(arena, src->nargs + 1u, sizeof *dst->args);
    for (uint16_t i = 0; dst->args && i < src->nargs; i++) {
        const struct mf_expr_arg *a = &src->args[i];
        const char *kept = mf_strdup_a(arena, a->column ? a->column : a->constant.data);
        dst->args[i] = *a;
        if (!kept) {
            return false;
        }
        *(a->column ? &dst->args[i].column : &dst->args[i].constant.data) = kept;
    }
    return dst->text && dst->args;
}
