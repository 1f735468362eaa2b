/*
 * What the log says of character sets: it has numbers of collations. Pure; any thread.
 */
#ifndef MF_CONNECTOR_MYSQL_CHARSET_ID_H
#define MF_CONNECTOR_MYSQL_CHARSET_ID_H

#include <stdint.h>

/* The character set of a collation, as struct my_type names it; "binary" too. NULL: not known here. */
const char *my_charset_of_collation(uint64_t id);
/* The most bytes that one character has. */
unsigned my_charset_width(const char *charset);

#endif
