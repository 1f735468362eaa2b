/* See standby_names.h. The grammar is the manual's, of synchronous_standby_names:
 *   [FIRST] num (name, …) | ANY num (name, …) | name, …
 * where a name is an identifier, a number, "anything", or *. */
#include "connector/postgres/standby_names.h"

#include "base/str.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct scan {
    const char *at;
    char word[PG_STANDBY_NAME];
    bool quoted;
    char kind; /* 'w' a word, one of "(),", '\0' the end, '?' neither */
};

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80);
}

static void take_quoted(struct scan *s)
{
    size_t n = 0;
    s->kind = '?';
    for (s->at++; *s->at; s->at++) {
        if (*s->at == '"' && *++s->at != '"') {
            s->word[n] = '\0';
            s->kind = 'w';
            s->quoted = true;
            return;
        }
        if (n + 1 == sizeof s->word) {
            return;
        }
        s->word[n++] = *s->at;
    }
}

static void next(struct scan *s)
{
    size_t n = 0;
    s->at += strspn(s->at, " \t\n\r\f\v");
    s->quoted = false;
    if (*s->at == '"') {
        take_quoted(s);
        return;
    }
    if (*s->at == '*') {
        s->at++;
        mf_strlcpy(s->word, "*", sizeof s->word);
        s->kind = 'w';
        return;
    }
    if (!in_word(*s->at)) {
        s->kind = *s->at == '\0' || strchr("(),", *s->at) ? *s->at : '?';
        s->at += *s->at != '\0';
        return;
    }
    while (in_word(*s->at) && n + 1 < sizeof s->word) {
        s->word[n++] = *s->at++;
    }
    s->word[n] = '\0';
    s->kind = in_word(*s->at) ? '?' : 'w';
}

static bool is_number(const struct scan *s)
{
    return s->kind == 'w' && !s->quoted && strspn(s->word, "0123456789") == strlen(s->word);
}

static bool take_names(struct scan *s, char end, struct pg_standby_names *ret)
{
    for (;;) {
        if (s->kind != 'w' || ret->n == PG_STANDBYS_MAX) {
            return false;
        }
        mf_strlcpy(ret->names[ret->n++], s->word, PG_STANDBY_NAME);
        next(s);
        if (s->kind == end) {
            break;
        }
        if (s->kind != ',') {
            return false;
        }
        next(s);
    }
    if (end) {
        next(s);
    }
    return s->kind == '\0';
}

bool pg_standby_names_parse(const char *text, struct pg_standby_names *ret)
{
    struct scan s = {.at = text}, ahead;
    *ret = (struct pg_standby_names){.num = 1};
    next(&s);
    if (s.kind == '\0') {
        ret->num = 0;
        return true;
    }
    bool word = s.kind == 'w' && !s.quoted, any = word && strcasecmp(s.word, "any") == 0;
    ahead = s;
    if (any || (word && strcasecmp(s.word, "first") == 0)) {
        next(&ahead);
    }
    struct scan number = ahead;
    next(&ahead);
    if (!is_number(&number) || ahead.kind != '(') {
        return take_names(&s, '\0', ret);
    }
    ret->any = any;
    uint64_t num = 0;
    if (!mf_parse_u64(number.word, &num) || num == 0 || num > INT_MAX) {
        return false;
    }
    ret->num = (int)num;
    next(&ahead);
    return take_names(&ahead, ')', ret);
}

static void put_name(struct mf_buf *b, const char *name)
{
    if (strcmp(name, "*") == 0) {
        mf_buf_putc(b, '*');
        return;
    }
    mf_buf_putc(b, '"');
    for (const char *p = name; *p; p++) {
        mf_buf_puts(b, *p == '"' ? "\"" : "");
        mf_buf_putc(b, *p);
    }
    mf_buf_putc(b, '"');
}

void pg_standby_names_put(struct mf_buf *b, const struct pg_standby_names *s)
{
    bool list = s->n > 1 || (s->n == 1 && s->num > 1);
    if (list) {
        mf_buf_printf(b, "%s %d (", s->any ? "ANY" : "FIRST", s->num);
    }
    for (size_t i = 0; i < s->n; i++) {
        mf_buf_puts(b, i ? ", " : "");
        put_name(b, s->names[i]);
    }
    mf_buf_puts(b, list ? ")" : "");
}

int pg_standby_names_priority(const struct pg_standby_names *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcasecmp(s->names[i], name) == 0 || strcmp(s->names[i], "*") == 0) {
            return s->any ? 1 : (int)i + 1;
        }
    }
    return 0;
}

int pg_standby_names_others(const struct pg_standby_names *s, const char *name)
{
    int others = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->names[i], "*") == 0) {
            return INT_MAX;
        }
        others += strcasecmp(s->names[i], name) != 0;
    }
    return others;
}

bool pg_standby_names_all(const struct pg_standby_names *s)
{
    return s->n == 0 || (pg_standby_names_others(s, "") != INT_MAX && (size_t)s->num >= s->n);
}

bool pg_standby_names_add(struct pg_standby_names *s, const char *name)
{
    if (s->n == PG_STANDBYS_MAX || strlen(name) >= PG_STANDBY_NAME) {
        return false;
    }
    memmove(s->names + 1, s->names, s->n * sizeof s->names[0]);
    mf_strlcpy(s->names[0], name, PG_STANDBY_NAME);
    s->n++;
    s->num++;
    return true;
}

void pg_standby_names_remove(struct pg_standby_names *s, const char *name)
{
    for (size_t i = 0; i < s->n;) {
        if (strcasecmp(s->names[i], name) != 0) {
            i++;
            continue;
        }
        s->n--;
        memmove(s->names + i, s->names + i + 1, (s->n - i) * sizeof s->names[0]);
        s->num -= s->num > 1;
    }
    if (s->n == 0) {
        s->num = 0;
    }
}
