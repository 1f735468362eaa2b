/*
 * Text in a column's character set, made UTF-8 as the server itself would convert it. A byte sequence that has no meaning in
 * its set is an error, never a question mark.
 *
 * One-byte sets are a table of 256 made once; the others go through iconv. Where iconv's tables and the servers' differ there is a list
 * here; the unit test holds every character of every set against what a server said. One thread an object.
 */
#ifndef MF_CONNECTOR_MYSQL_CHARSET_H
#define MF_CONNECTOR_MYSQL_CHARSET_H

#include "base/arena.h"
#include "base/error.h"

#include <stddef.h>

struct my_charset;
struct my_charsets {
    struct my_charset *first;
};

void my_charsets_free(struct my_charsets *all);
/* *ret NULL for a set whose bytes are UTF-8 already. MFSHAPE for a set that is not known. */
int my_charset_find(struct my_charsets *all, const char *name, struct my_charset **ret, struct mf_error *err);
/* *ret is in the arena, or p itself when nothing changes. MFCHARSET, and MFBIG when the arena is full. */
int my_charset_text(struct my_charset *c, const char *p, size_t n, struct mf_arena *arena, const char **ret,
                    size_t *ret_n, struct mf_error *err);

#endif
