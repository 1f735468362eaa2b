/* See sqltoken.h. */
#include "connector/mysql/sqltoken.h"

#include <string.h>
#include <strings.h>

/* ---- places in a text ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool in_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
           (unsigned char)c >= 0x80;
}

static bool is_quote(char c)
{
    return c == '`' || c == '\'' || c == '"';
}

static bool starts(const char *p, size_t n, size_t i, const char *what)
{
    size_t len = strlen(what);
    return n - i >= len && memcmp(p + i, what, len) == 0;
}

static bool starts_line_comment(const char *p, size_t n, size_t i)
{
    return p[i] == '#' || (starts(p, n, i, "--") && (n - i == 2 || (unsigned char)p[i + 2] <= ' '));
}

static bool starts_executable(const char *p, size_t n, size_t i)
{
    return starts(p, n, i, "/*!") || starts(p, n, i, "/*M!");
}

static size_t quoted_end(const char *p, size_t n, size_t i, bool backslash)
{
    char quote = p[i++];
    while (i < n) {
        if (p[i] == '\\' && backslash && quote != '`') {
            i += 2;
        } else if (p[i] != quote) {
            i++;
        } else if (i + 1 < n && p[i + 1] == quote) {
            i += 2;
        } else {
            return i + 1;
        }
    }
    return n;
}

/* Past what must follow, or the end of the text. */
static size_t past(const char *p, size_t n, size_t i, const char *what)
{
    const char *at = i < n ? memmem(p + i, n - i, what, strlen(what)) : NULL;
    return at ? (size_t)(at - p) + strlen(what) : n;
}

/* The mark with the version from which on it is code. */
static size_t executable_end(const char *p, size_t n, size_t i)
{
    i += p[i + 2] == 'M' ? 4 : 3;
    for (int k = 0; k < 6 && i < n && is_digit(p[i]); k++) {
        i++;
    }
    return i;
}

size_t my_sql_end(const char *p, size_t n, size_t i, bool backslash)
{
    if (is_quote(p[i])) {
        return quoted_end(p, n, i, backslash);
    }
    if (starts_line_comment(p, n, i)) {
        return past(p, n, i, "\n");
    }
    if (starts_executable(p, n, i)) {
        return executable_end(p, n, i);
    }
    if (starts(p, n, i, "/*")) {
        return past(p, n, i + 2, "*/");
    }
    if (starts(p, n, i, "*/")) {
        return i + 2;
    }
    if (!in_word(p[i])) {
        return i + 1;
    }
    while (i < n && in_word(p[i])) {
        i++;
    }
    return i;
}

bool my_sql_is(const char *p, size_t i, size_t end, const char *word)
{
    return strlen(word) == end - i && strncasecmp(p + i, word, end - i) == 0;
}

bool my_sql_name(const char *p, size_t n, size_t *i, char *out, size_t max)
{
    size_t used = 0;
    out[0] = 0;
    while (*i < n && my_sql_space(p[*i])) {
        ++*i;
    }
    if (*i >= n || (p[*i] != '`' && !in_word(p[*i]))) {
        return false;
    }
    bool quoted = p[*i] == '`';
    size_t end = my_sql_end(p, n, *i, false), last = quoted ? end - 1 : end;
    if (quoted && (end - *i < 2 || p[end - 1] != '`')) {
        return false;
    }
    for (size_t k = *i + quoted; k < last; k++) {
        if (used + 1 >= max || p[k] == 0) {
            out[used] = 0;
            return false;
        }
        out[used++] = p[k];
        k += quoted && p[k] == '`'; /* doubled */
    }
    out[used] = 0;
    *i = end;
    return true;
}

/* ---- tokens one after the other ---- */

void my_tokens_init(struct my_tokens *t, const char *text, size_t n, bool backslash)
{
    *t = (struct my_tokens){.p = text, .end = text + n, .backslash = backslash};
}

/* What separates tokens. True when there was some. */
static bool skip_gap(struct my_tokens *t)
{
    size_t n = (size_t)(t->end - t->p);
    if (n == 0) {
        return false;
    }
    bool opens = starts_executable(t->p, n, 0), closes = t->executable && starts(t->p, n, 0, "*/");
    if (!my_sql_space(*t->p) && !starts_line_comment(t->p, n, 0) && !starts(t->p, n, 0, "/*") && !closes) {
        return false;
    }
    t->p += my_sql_end(t->p, n, 0, t->backslash);
    t->executable = opens || (t->executable && !closes);
    return true;
}

static void take(struct my_tokens *t, char c)
{
    if (c == 0 || t->len + 1 >= sizeof t->text) {
        t->cut = true;
        return;
    }
    if ((unsigned char)c >= 0x80) {
        t->plain = false;
    }
    t->text[t->len++] = c;
}

/* From behind the opening quote to the closing one. */
static void take_quoted(struct my_tokens *t, const char *p, const char *end)
{
    bool escapes = t->backslash && t->quote != '`';
    for (; p < end; p++) {
        bool escaped = (*p == '\\' && escapes) || *p == t->quote;
        if (escaped && p + 1 == end) {
            if (*p != t->quote) {
                take(t, *p); /* a text that ends here is not closed */
            }
            return;
        }
        p += escaped;
        take(t, *p);
    }
}

enum my_token_kind my_token_next(struct my_tokens *t)
{
    while (skip_gap(t)) {}
    const char *from = t->p;
    t->len = 0;
    t->cut = false;
    t->plain = true;
    t->quote = 0;
    if (from == t->end) {
        t->kind = MY_TOKEN_END;
        t->text[0] = 0;
        return t->kind;
    }
    t->p += my_sql_end(from, (size_t)(t->end - from), 0, t->backslash);
    if (is_quote(*from)) {
        t->kind = MY_TOKEN_QUOTED;
        t->quote = *from;
        take_quoted(t, from + 1, t->p);
    } else if (in_word(*from)) {
        t->kind = MY_TOKEN_WORD;
        while (from < t->p) {
            take(t, *from++);
        }
    } else {
        t->kind = MY_TOKEN_PUNCT;
        t->quote = *from;
        t->p = from + 1; /* the end of a comment that is none is two */
    }
    t->text[t->len] = 0;
    return t->kind;
}

bool my_token_is(const struct my_tokens *t, const char *keyword)
{
    return t->kind == MY_TOKEN_WORD && strcasecmp(t->text, keyword) == 0;
}

bool my_token_is_punct(const struct my_tokens *t, char c)
{
    return t->kind == MY_TOKEN_PUNCT && t->quote == c;
}

bool my_token_skip(struct my_tokens *t, const char *keyword)
{
    if (!my_token_is(t, keyword)) {
        return false;
    }
    my_token_next(t);
    return true;
}
