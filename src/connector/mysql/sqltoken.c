/* See sqltoken.h. */
#include "connector/mysql/sqltoken.h"

#include <string.h>
#include <strings.h>

void my_tokens_init(struct my_tokens *t, const char *text, size_t n, bool backslash)
{
    *t = (struct my_tokens){.p = text, .end = text + n, .backslash = backslash};
}

static size_t left(const struct my_tokens *t)
{
    return (size_t)(t->end - t->p);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool in_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
           (unsigned char)c >= 0x80;
}

static bool starts(const struct my_tokens *t, const char *what)
{
    size_t n = strlen(what);
    return left(t) >= n && memcmp(t->p, what, n) == 0;
}

static void skip_line(struct my_tokens *t)
{
    const char *nl = memchr(t->p, '\n', left(t));
    t->p = nl ? nl + 1 : t->end;
}

static void skip_comment(struct my_tokens *t)
{
    const char *close = left(t) >= 4 ? memmem(t->p + 2, left(t) - 2, "*/", 2) : NULL;
    t->p = close ? close + 2 : t->end;
}

/* What separates tokens. True when there was some. */
static bool skip_gap(struct my_tokens *t)
{
    const char *from = t->p;
    if (left(t) == 0) {
        return false;
    }
    if (is_space(*t->p)) {
        t->p++;
    } else if (*t->p == '#' || (starts(t, "--") && (left(t) == 2 || (unsigned char)t->p[2] <= ' '))) {
        skip_line(t);
    } else if (starts(t, "/*!") || starts(t, "/*M!")) {
        t->p += t->p[2] == 'M' ? 4 : 3;
        for (int i = 0; i < 6 && left(t) > 0 && is_digit(*t->p); i++) {
            t->p++;
        }
        t->executable = true;
    } else if (starts(t, "/*")) {
        skip_comment(t);
    } else if (t->executable && starts(t, "*/")) {
        t->p += 2;
        t->executable = false;
    }
    return t->p != from;
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

/* A quote that is not closed ends with the text. */
static void take_quoted(struct my_tokens *t)
{
    char quote = *t->p++;
    bool escapes = t->backslash && quote != '`';
    t->quote = quote;
    while (left(t) > 0) {
        char c = *t->p++;
        if (c == '\\' && escapes && left(t) > 0) {
            take(t, *t->p++);
        } else if (c != quote) {
            take(t, c);
        } else if (left(t) > 0 && *t->p == quote) {
            take(t, *t->p++);
        } else {
            return;
        }
    }
}

enum my_token_kind my_token_next(struct my_tokens *t)
{
    while (skip_gap(t)) {}
    t->len = 0;
    t->cut = false;
    t->plain = true;
    t->quote = 0;
    if (left(t) == 0) {
        t->kind = MY_TOKEN_END;
    } else if (*t->p == '`' || *t->p == '\'' || *t->p == '"') {
        t->kind = MY_TOKEN_QUOTED;
        take_quoted(t);
    } else if (in_word(*t->p)) {
        t->kind = MY_TOKEN_WORD;
        while (left(t) > 0 && in_word(*t->p)) {
            take(t, *t->p++);
        }
    } else {
        t->kind = MY_TOKEN_PUNCT;
        t->quote = *t->p++;
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
