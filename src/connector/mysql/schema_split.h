/*
 * The text of SHOW CREATE TABLE (and of SHOW CREATE EVENT, VIEW, PROCEDURE), taken apart. Pure; any thread.
 *
 * The text is the server's own, printed in a session without ANSI_QUOTES and NO_BACKSLASH_ESCAPES: `names` double their backtick, 'texts'
 * double their quote or put a backslash before it. A name may hold anything, line ends and commas too, so the text is cut at
 * commas outside quotes and inner brackets, never at line ends. It came from a server all the same: what does not fit is MFDDL, never a guess.
 */
#ifndef MF_CONNECTOR_MYSQL_SCHEMA_SPLIT_H
#define MF_CONNECTOR_MYSQL_SCHEMA_SPLIT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct my_piece { /* a part of somebody else's text */
    const char *p;
    size_t n;
};

enum my_item_kind {
    MY_ITEM_COLUMN,
    MY_ITEM_PRIMARY,
    MY_ITEM_UNIQUE,
    MY_ITEM_KEY,
    MY_ITEM_FULLTEXT,
    MY_ITEM_SPATIAL,
    MY_ITEM_FOREIGN,
    MY_ITEM_CHECK,
    MY_ITEM_OTHER, /* PERIOD FOR SYSTEM_TIME, and what is to come */
};

struct my_item {
    enum my_item_kind kind;
    struct my_piece text;               /* without the comma, white space trimmed */
    const char *name;                   /* unquoted; "PRIMARY" of a primary key; "" when it has none */
    struct my_piece inner;              /* keys: what stands between the brackets; foreign keys: the columns */
    const char *ref_schema, *ref_table; /* foreign keys; ref_schema NULL: the table's own */
};

struct my_create {
    const char *name;
    size_t nitems;
    struct my_item *items;
    struct my_piece tail; /* after the closing bracket: options and partitions */
};

/* text must live as long as ret. At most 16384 items. */
int my_create_split(const char *text, struct mf_arena *arena, struct my_create *ret, struct mf_error *err);

/* The item of that kind (or any: -1) and name, NULL when there is none. Names compare without case in ASCII, as the server's do. */
const struct my_item *my_create_find(const struct my_create *c, int kind, const char *name);

/* The next column of a key's inner text: its name, and whether the whole column is in the key (no prefix, no expression). False at the
 * end. *pos starts at 0. name: 257 bytes. */
bool my_key_column(struct my_piece inner, size_t *pos, char name[257], bool *ret_whole);

/* Do these words stand in it, one after the other, outside quotes? second NULL: the first alone. */
bool my_item_says(const struct my_item *it, const char *first, const char *second);
/* A column's default is a value, or there is none: every row that was there when the column came has the same. */
bool my_default_is_constant(const struct my_item *column);

#endif
