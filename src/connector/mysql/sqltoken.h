/*
 * SQL text into tokens, as MySQL and MariaDB read it: comments left out, but what stands in executable ones (those that begin
 * with an exclamation mark) is code. Pure; fuzzed with statement.c.
 *
 * What cannot be known from the text alone is the session's sql_mode: "x" may be a name or a string, and a backslash may
 * escape or not. The caller decides the second; the first is told by `quote`.
 */
#ifndef MF_CONNECTOR_MYSQL_SQLTOKEN_H
#define MF_CONNECTOR_MYSQL_SQLTOKEN_H

#include <stdbool.h>
#include <stddef.h>

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
