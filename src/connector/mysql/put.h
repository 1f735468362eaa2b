/* Names and values as they stand in a statement. Pure; any thread. The session is set up as connect.h says. */
#ifndef MF_CONNECTOR_MYSQL_PUT_H
#define MF_CONNECTOR_MYSQL_PUT_H

#include "base/buf.h"
#include "model/table.h"
#include "model/value.h"

#include <stddef.h>

void my_put_ident(struct mf_buf *b, const char *name);                    /* `na``me` */
void my_put_name(struct mf_buf *b, const char *schema, const char *name); /* `db`.`table` */
static inline void my_put_table(struct mf_buf *b, const struct mf_table *t)
{
    my_put_name(b, t->schema, t->name);
}
void my_put_literal(struct mf_buf *b, const char *text);             /* 'te\'xt' */
void my_put_literal_n(struct mf_buf *b, const char *text, size_t n); /* bytes that are UTF-8 text */
void my_put_hex(struct mf_buf *b, const void *bytes, size_t n);      /* x'0AFF': a binary string */
/* The same, with _binary '…' where it is long, which is half as many bytes: a row that an application could write within
 * max_allowed_packet must be one that we can. */
void my_put_bytes(struct mf_buf *b, const void *bytes, size_t n);
/* A value as an expression: NULL, a quoted text, or a binary string. Not for MF_UNCHANGED. Where the column's type is known,
 * my_put_typed (coltype.h) is the one that is exact. */
void my_put_value(struct mf_buf *b, const struct mf_value *v);

#endif
