/* See wire.h. A double stays in quotes: the sign of -0 is lost when it is written as a number. */
#include "connector/mysql/wire.h"

#include "connector/mysql/connect.h"
#include "connector/mysql/json_put.h"

enum my_form my_form_of(const struct my_type *t)
{
    switch (t->base) {
    case MY_TINYINT:
    case MY_SMALLINT:
    case MY_MEDIUMINT:
    case MY_INT:
    case MY_BIGINT:
    case MY_BIT:
        return MY_FORM_NUMBER;
    case MY_JSON:
        return MY_FORM_JSON;
    default:
        return my_type_is_binary(t) ? MY_FORM_BINARY : MY_FORM_TEXT;
    }
}

/* What comes from a server is not put into a statement unread. */
static bool is_integer(const char *s, size_t n)
{
    size_t i = n > 1 && s[0] == '-';
    if (n == 0) {
        return false;
    }
    for (; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return false;
        }
    }
    return true;
}

void my_put_wire_value(struct mf_buf *b, enum my_form form, const char *value, size_t n)
{
    if (!value) {
        mf_buf_append(b, "NULL", 4);
    } else if (form == MY_FORM_BINARY) {
        my_put_bytes(b, value, n);
    } else if (form == MY_FORM_NUMBER && is_integer(value, n)) {
        mf_buf_append(b, value, n);
    } else if (form == MY_FORM_JSON && !my_json_plain(value, n)) {
        my_put_json(b, value, n);
    } else {
        my_put_literal_n(b, value, n);
    }
}
