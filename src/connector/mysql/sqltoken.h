/*
 * SQL text into tokens, as MySQL and MariaDB read it. Pure; fuzzed with statement.c and schema_split.c.
 *
 * There is one rule for where a piece of text ends (my_sql_end). Who edits a text walks by it over every byte; who only reads takes
 * struct my_tokens, which leaves out white space and comments and unquotes. What stands in executable comments (those that begin with an
 * exclamation mark) is code to both.
 *
 * What cannot be known from the text alone is the session's sql_mode: "x" may be a name or a string, and a backslash may
 * escape or not. The caller decides the second; the first is told by `quote`.
 */
#ifndef MF_CONNECTOR_MYSQL_SQLTOKEN_H
#define MF_CONNECTOR_MYSQL_SQLTOKEN_H

#include <stdbool.h>
#include <stddef.h>

/* ---- places in a text ---- */

static inline bool my_sql_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The end of what begins at p[i]: a quoted name or text, a comment, the beginning or the end of an executable one, a word of letters, digits, _
 * and $, or one other byte. What is not closed ends with the text. i < n; the result is > i. backslash: escapes inside strings. */
size_t my_sql_end(const char *p, size_t n, size_t i, bool backslash);
/* Is p[i..end) this word, without case? */
bool my_sql_is(const char *p, size_t i, size_t end, const char *word);
/* Reads a bare name or one in backquotes at p[*i], after white space, into out and moves past it. False when there is none, it is not closed, has a
 * NUL in it or does not fit; out is a string even then. */
bool my_sql_name(const char *p, size_t n, size_t *i, char *out, size_t max);

/* ---- tokens one after the other ---- */

#define MY_TOKEN 300 /* a longer name is none of ours */

enum my_token_kind {
    MY_TOKEN_END,
    MY_TOKEN_WORD,   /* a keyword, a bare name, a number */
    MY_TOKEN_QUOTED, /* a name in backquotes, a string: `quote` tells */
    MY_TOKEN_PUNCT,  /* one character: `quote` */
};

struct my_tokens {
    const char *p, *end;
    bool backslash;  /* escapes inside strings */
    bool executable; /* inside a comment that is code */
    /* the token that was read last */
    enum my_token_kind kind;
    char quote;
    char text[MY_TOKEN]; /* without its quotes; NUL-terminated */
    size_t len;
    bool cut;   /* it was longer, or has a NUL in it */
    bool plain; /* ASCII only: the same in every character set a client may have */
};

void my_tokens_init(struct my_tokens *t, const char *text, size_t n, bool backslash);
/* Reads the next one; its kind. */
enum my_token_kind my_token_next(struct my_tokens *t);
/* The token is this keyword, whatever its case. */
bool my_token_is(const struct my_tokens *t, const char *keyword);
bool my_token_is_punct(const struct my_tokens *t, char c);
/* It is this keyword: reads on. */
bool my_token_skip(struct my_tokens *t, const char *keyword);

#endif
