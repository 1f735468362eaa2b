/* What MySQL 8.0 takes otherwise than 5.7, as tables, and SQL texts searched for it. Pure; any thread.
 *
 * The texts are other people's routines, triggers, events and views. They are read as tokens, not parsed: whether the new server parses them is
 * asked of that server (syntax.h). Here is what it would parse and do in another way, or refuse only when it runs. */
#ifndef MF_CONNECTOR_MYSQL_UPGRADE_H
#define MF_CONNECTOR_MYSQL_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>

/* The version (80014) from which a word is reserved that 5.7 takes as a name; 0: none. Only words that a target of this version, or a later one of
 * its series (8.0, 8.4), reserves and this source does not. */
int my_reserved_since(const char *word, int source, int target);
/* The i-th word of the table and the versions that reserve it (until 0: all since); NULL after the last. */
const char *my_reserved_word(size_t i, int *ret_since, int *ret_until);

/* What is to be called instead of a function that 8.0 does not have; "" nothing; NULL: 8.0 has it, or never was one. */
const char *my_removed_function(const char *name);

struct my_scan {
    char removed
        [300];  /* functions it calls that 8.0 does not have, each with what to call instead, as a list; "" none */
    bool casts; /* CAST or CONVERT */
    bool group_order; /* GROUP BY … ASC or DESC: refused by 8.0.13 */
    bool group_alone; /* a statement with GROUP BY and without ORDER BY: its rows came sorted */
};
/* backslash: it escapes inside strings, i.e. the text's sql_mode has no NO_BACKSLASH_ESCAPES. */
void my_scan_text(const char *text, size_t n, bool backslash, struct my_scan *ret);

#endif
