/* Walking over the tokens of a normalised statement: what is between them, comments too, is passed over. Pure; any thread. */
#ifndef MF_CONNECTOR_MYSQL_QUERY_WALK_H
#define MF_CONNECTOR_MYSQL_QUERY_WALK_H

#include <stdbool.h>
#include <stddef.h>

#define MY_QUERY_NAME 257

struct my_walk {
    const char *p;    /* all of it */
    size_t n, i;      /* where the next token is looked for */
    const char *word; /* the token that was read last, as it stands */
    size_t len;
    char before[MY_QUERY_NAME]; /* the token before it; "" when that was a name, or none */
};

bool my_walk_next(struct my_walk *w); /* false: the end */
bool my_walk_is(const struct my_walk *w, const char *word);
bool my_walk_is_word(const struct my_walk *w); /* a keyword, a bare name, a number */
/* These characters come next, whatever blanks are between them. */
bool my_walk_follows(const struct my_walk *w, const char *what);
void my_walk_skip(struct my_walk *w, const char *what); /* moves over what follows */

#endif
