/* See query_walk.h. */
#include "connector/mysql/query_walk.h"

#include "base/str.h"
#include "connector/mysql/sqltoken.h"

#include <string.h>

bool my_walk_is(const struct my_walk *w, const char *word)
{
    return my_sql_is(w->word, 0, w->len, word);
}

/* Reads the next token over blanks and comments. */
bool my_walk_next(struct my_walk *w)
{
    mf_strlcpy(w->before, "", sizeof w->before);
    if (w->word && w->len < sizeof w->before && w->word[0] != '`') {
        memcpy(w->before, w->word, w->len);
        w->before[w->len] = 0;
    }
    for (;;) {
        while (w->i < w->n && (unsigned char)w->p[w->i] <= ' ') {
            w->i++;
        }
        if (w->n - w->i >= 2 && w->p[w->i] == '/' && w->p[w->i + 1] == '*') {
            const char *end = memmem(w->p + w->i + 2, w->n - w->i - 2, "*/", 2);
            w->i = end ? (size_t)(end - w->p) + 2 : w->n;
            continue;
        }
        break;
    }
    if (w->i >= w->n) {
        w->len = 0;
        return false;
    }
    w->word = w->p + w->i;
    size_t end = my_sql_end(w->p, w->n, w->i, true);
    w->len = end - w->i;
    w->i = end;
    return true;
}

bool my_walk_follows(const struct my_walk *w, const char *what)
{
    size_t i = w->i;
    for (; *what; what++) {
        while (i < w->n && w->p[i] == ' ') {
            i++;
        }
        if (i >= w->n || w->p[i++] != *what) {
            return false;
        }
    }
    return true;
}

/* Moves over what follows(). */
void my_walk_skip(struct my_walk *w, const char *what)
{
    for (; *what; what++) {
        while (w->i < w->n && w->p[w->i] == ' ') {
            w->i++;
        }
        w->i += w->i < w->n;
    }
}

bool my_walk_is_word(const struct my_walk *w)
{
    unsigned char c = (unsigned char)w->word[0];
    return c == '_' || c == '$' || c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}
