/*
 * The form in which rows travel between two MySQL servers: "(1,'a',NULL),(2,x'00FF','b')". A piece is whole rows with a comma
 * between two of them, none before the first nor after the last: what stands behind VALUES. Columns are those of the
 * source's shape in its order, without generated ones. Pure.
 */
#ifndef MF_CONNECTOR_MYSQL_WIRE_H
#define MF_CONNECTOR_MYSQL_WIRE_H

#include "connector/mysql/coltype.h"

struct mf_buf;

/* How a value of this type stands in a row. */
enum my_form {
    MY_FORM_NUMBER, /* as it is: in quotes a BIT's digits would be its bytes */
    MY_FORM_TEXT,
    MY_FORM_BINARY,
    MY_FORM_JSON, /* a text that is cast by the column it goes into, or the expression of json_put.h. A target without the type takes rows one by one */
};
enum my_form my_form_of(const struct my_type *t);

/* One value; NULL for null. */
void my_put_wire_value(struct mf_buf *b, enum my_form form, const char *value, size_t n);

#endif
