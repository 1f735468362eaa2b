/* See access.h. One token of look-ahead; whoever may have to go back keeps a copy of the scanner. */
#include "map/access.h"

#include "base/str.h"

#include <string.h>
#include <strings.h>

/* ---- tokens ---- */

enum token { END, WORD, NAME, VALUE, MARK };

struct scan {
    const char *p, *end;
    enum token kind;
    const char *at; /* the token: of NAME without its quotes, which may be doubled inside */
    size_t len;
    char quote; /* of NAME */
    char mark;  /* of MARK */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool in_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool starts(const struct scan *s, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(s->end - s->p) >= n && memcmp(s->p, what, n) == 0;
}

static void skip_past(struct scan *s, const char *what)
{
    const char *at = memmem(s->p, (size_t)(s->end - s->p), what, strlen(what));
    s->p = at ? at + strlen(what) : s->end;
}

static void skip_gap(struct scan *s)
{
    while (s->p < s->end) {
        if (*s->p == ' ' || (*s->p >= '\t' && *s->p <= '\r')) {
            s->p++;
        } else if (starts(s, "--")) {
            skip_past(s, "\n");
        } else if (starts(s, "/*")) {
            skip_past(s, "*/");
        } else {
            return;
        }
    }
}

static void scan_quoted(struct scan *s)
{
    char quote = *s->p++;
    s->kind = quote == '\'' ? VALUE : NAME;
    s->quote = quote;
    s->at = s->p;
    while (s->p < s->end && (*s->p != quote || (s->end - s->p > 1 && s->p[1] == quote))) {
        s->p += *s->p == quote ? 2 : 1;
    }
    s->len = (size_t)(s->p - s->at);
    if (s->p == s->end) { /* not closed: nothing can be said */
        s->kind = END;
    } else {
        s->p++;
    }
}

static void next(struct scan *s)
{
    skip_gap(s);
    s->at = s->p;
    s->len = 0;
    s->mark = 0;
    if (s->p == s->end) {
        s->kind = END;
    } else if (*s->p == '"' || *s->p == '`' || *s->p == '\'') {
        scan_quoted(s);
    } else if (is_digit(*s->p) || *s->p == '?' || (*s->p == '$' && s->end - s->p > 1 && is_digit(s->p[1]))) {
        s->kind = VALUE;
        for (s->p++; s->p < s->end && (in_word(*s->p) || *s->p == '.'); s->p++) {}
    } else if (in_word(*s->p)) {
        s->kind = WORD;
        while (s->p < s->end && (in_word(*s->p) || *s->p == '$')) {
            s->p++;
        }
        s->len = (size_t)(s->p - s->at);
    } else {
        s->kind = MARK;
        s->mark = *s->p++;
    }
}

static bool is(const struct scan *s, const char *word)
{
    return s->kind == WORD && strlen(word) == s->len && strncasecmp(s->at, word, s->len) == 0;
}

static bool is_one(const struct scan *s, const char *const *words)
{
    for (; *words; words++) {
        if (is(s, *words)) {
            return true;
        }
    }
    return false;
}

static bool is_mark(const struct scan *s, char c)
{
    return s->kind == MARK && s->mark == c;
}

static bool take(struct scan *s, const char *word)
{
    if (!is(s, word)) {
        return false;
    }
    next(s);
    return true;
}

static bool take_mark(struct scan *s, char c)
{
    if (!is_mark(s, c)) {
        return false;
    }
    next(s);
    return true;
}

/* ---- names ---- */

static const char *const reserved[] = {"select", "from",   "where",  "and",     "or",    "not",   "order", "group",
                                       "having", "limit",  "offset", "fetch",   "for",   "union", "join",  "intersect",
                                       "in",     "is",     "like",   "between", "case",  "null",  "true",  "false",
                                       "on",     "using",  "left",   "right",   "inner", "cross", "full",  "with",
                                       "exists", "window", "except", "natural", "any",   "all",   NULL};

/* One part of a name. */
static bool take_part(struct scan *s, struct mf_access_name *ret)
{
    size_t n = 0;
    if (s->kind != NAME && (s->kind != WORD || is_one(s, reserved))) {
        return false;
    }
    for (size_t i = 0; i < s->len; i++) {
        if (n + 1 >= sizeof ret->text || s->at[i] == 0) {
            return false;
        }
        ret->text[n++] = s->at[i];
        i += s->kind == NAME && s->at[i] == s->quote; /* doubled */
    }
    ret->text[n] = 0;
    ret->quoted = s->kind == NAME && s->quote == '"'; /* in MySQL's backquotes it does not count */
    next(s);
    return n > 0;
}

/* a, t.a, s.t.a: the last part, and the one before it. */
static bool take_name(struct scan *s, struct mf_access_name *ret, struct mf_access_name *before)
{
    struct mf_access_name part = {.text = ""};
    before->text[0] = 0;
    if (!take_part(s, &part)) {
        return false;
    }
    for (int i = 0; i < 2 && is_mark(s, '.'); i++) {
        next(s);
        *before = part;
        if (!take_part(s, &part)) {
            return false;
        }
    }
    *ret = part;
    return !is_mark(s, '(') && !is_mark(s, '.'); /* a function's */
}

static bool has_name(const struct mf_access_name *list, uint16_t n, const struct mf_access_name *name)
{
    for (uint16_t i = 0; i < n; i++) {
        if (strcasecmp(list[i].text, name->text) == 0) {
            return true;
        }
    }
    return false;
}

static bool add_name(struct mf_access_name *list, uint16_t *n, const struct mf_access_name *name)
{
    if (has_name(list, *n, name)) {
        return true;
    }
    if (*n == MF_ACCESS_MOST) {
        return false;
    }
    list[(*n)++] = *name;
    return true;
}

/* ---- conditions ---- */

static const char *const after_where[] = {"order", "group",     "having", "limit",  "offset", "fetch", "for",
                                          "union", "intersect", "except", "window", "lock",   NULL};
static const char *const never[] = {"select", "union", "intersect", "except", NULL};

/* To where this condition ends, at AND, OR, the end of its bracket or of the clause. False: a second SELECT. */
static bool skip_condition(struct scan *s)
{
    for (int depth = 0; s->kind != END; next(s)) {
        if (is_one(s, never)) {
            return false;
        }
        if (depth == 0 &&
            (is(s, "and") || is(s, "or") || is_mark(s, ')') || is_mark(s, ';') || is_one(s, after_where))) {
            return true;
        }
        depth += is_mark(s, '(') || is_mark(s, '[') ? 1 : (is_mark(s, ')') || is_mark(s, ']')) && depth ? -1 : 0;
    }
    return true;
}

/* A value that is no column: a marker, a literal, a list of them; with casts behind it. */
static bool at_value(const struct scan *s)
{
    static const char *const words[] = {"any", "true", "false", "current_date", "current_timestamp",
                                        "now", "cast", "date",  "timestamp",    "interval",
                                        NULL};
    return s->kind == VALUE || is_mark(s, '(') || is_mark(s, '-') || is_mark(s, ':') || is_mark(s, '.') ||
           is_one(s, words);
}

/* `column = value` and its like. What is none of them is a filter: true, with nothing added. */
static bool take_compared(struct scan *s, struct mf_access *a)
{
    struct mf_access_name name, before;
    struct scan from = *s;
    bool ok = true;
    if (!take_name(s, &name, &before)) {
        *s = from;
    } else if (take_mark(s, '=')) {
        ok = !at_value(s) || add_name(a->equal, &a->nequal, &name);
    } else if (take(s, "in")) {
        ok = !is_mark(s, '(') || add_name(a->equal, &a->nequal, &name);
    } else if (is_mark(s, '<') || is_mark(s, '>')) {
        char mark = s->mark;
        next(s);
        bool other = mark == '<' && is_mark(s, '>');
        take_mark(s, '=');
        ok = other || !at_value(s) || add_name(a->range, &a->nrange, &name);
    } else if (take(s, "between")) {
        ok = add_name(a->range, &a->nrange, &name) && skip_condition(s);
        take(s, "and"); /* its own */
    }
    return ok && skip_condition(s);
}

#define DEPTH 16

static bool take_conditions(struct scan *s, struct mf_access *a, int depth);

/* In brackets: all of it, or (when one of several is enough) nothing of it. */
static bool take_bracket(struct scan *s, struct mf_access *a, int depth)
{
    struct mf_access inside = *a;
    struct scan from = *s;
    next(s);
    if (take_conditions(s, &inside, depth + 1) && take_mark(s, ')')) {
        struct scan behind = *s;
        if (skip_condition(&behind) && behind.at == s->at) { /* nothing is done with what the brackets give */
            *a = inside;
            return true;
        }
    }
    *s = from;
    return skip_condition(s);
}

/* Joined by AND, up to what ends them. False where one of several is enough, or a subquery stands. */
static bool take_conditions(struct scan *s, struct mf_access *a, int depth)
{
    if (depth > DEPTH) {
        return false;
    }
    do {
        bool ok = is_mark(s, '(') ? take_bracket(s, a, depth) : take_compared(s, a);
        if (!ok || is(s, "or")) {
            return false;
        }
    } while (take(s, "and"));
    return true;
}

/* ---- the statement ---- */

/* Over what is selected: no subquery in it. */
static bool skip_list(struct scan *s)
{
    for (int depth = 0; s->kind != END; next(s)) {
        if (is_one(s, never)) {
            return false;
        }
        if (depth == 0 && take(s, "from")) {
            return true;
        }
        depth += is_mark(s, '(') ? 1 : is_mark(s, ')') ? -1 : 0;
    }
    return false;
}

/* Columns only, and not more than there is room for: from the first other thing on the order is not known. */
static void take_order(struct scan *s, struct mf_access *a)
{
    do {
        struct mf_access_order o = {.descending = false};
        struct mf_access_name before;
        if (a->norder == MF_ACCESS_MOST || !take_name(s, &o.name, &before)) {
            return;
        }
        o.descending = take(s, "desc");
        if (!o.descending) {
            take(s, "asc");
        }
        if (take(s, "nulls")) {
            next(s);
        }
        if (s->kind != END && !is_mark(s, ',') && !is_mark(s, ';') && !is_one(s, after_where)) {
            return;
        }
        a->order[a->norder++] = o;
    } while (take_mark(s, ','));
}

/* Behind the conditions. False: a second SELECT. */
static bool take_rest(struct scan *s, struct mf_access *a)
{
    bool grouped = false;
    for (; s->kind != END; next(s)) {
        if (is_one(s, never)) {
            return false;
        }
        grouped |= is(s, "group");
        if (take(s, "order") && take(s, "by")) {
            if (!grouped) {
                take_order(s, a);
            }
            if (s->kind == END) {
                break;
            }
        }
    }
    return true;
}

/* "FROM a", "FROM s.a AS x"; no other table. */
static bool take_table(struct scan *s, struct mf_access *a)
{
    struct mf_access_name alias;
    take(s, "only");
    if (!take_name(s, &a->table, &a->schema)) {
        return false;
    }
    bool as = take(s, "as");
    if (!is_one(s, after_where) || as) {
        (void)take_part(s, &alias);
    }
    return s->kind == END || is_mark(s, ';') || is(s, "where") || is_one(s, after_where);
}

bool mf_access_parse(const char *text, size_t n, struct mf_access *ret)
{
    struct scan s = {.p = text, .end = text + n};
    struct mf_access a = {.nequal = 0};
    next(&s);
    if (!take(&s, "select") || !skip_list(&s) || !take_table(&s, &a)) {
        return false;
    }
    if (take(&s, "where") && (!take_conditions(&s, &a, 0) || is_mark(&s, ')'))) {
        return false;
    }
    if (!take_rest(&s, &a)) {
        return false;
    }
    *ret = a;
    return true;
}

static bool same_name(const struct mf_access_name *a, const struct mf_access_name *b)
{
    return a->quoted == b->quoted && mf_streq(a->text, b->text);
}

static bool same_names(const struct mf_access_name *a, const struct mf_access_name *b, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        if (!same_name(&a[i], &b[i])) {
            return false;
        }
    }
    return true;
}

bool mf_access_same(const struct mf_access *a, const struct mf_access *b)
{
    bool same = same_name(&a->table, &b->table) && same_name(&a->schema, &b->schema) && a->nequal == b->nequal &&
                a->nrange == b->nrange && a->norder == b->norder && same_names(a->equal, b->equal, a->nequal) &&
                same_names(a->range, b->range, a->nrange);
    for (uint16_t i = 0; same && i < a->norder; i++) {
        same = same_name(&a->order[i].name, &b->order[i].name) && a->order[i].descending == b->order[i].descending;
    }
    return same;
}

bool mf_access_is(const struct mf_access_name *name, const char *own)
{
    return name->quoted ? mf_streq(own, name->text) : strcasecmp(own, name->text) == 0;
}
