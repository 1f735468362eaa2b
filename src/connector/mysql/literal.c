/* Values as literals, by the type of their column: what my_put_typed (coltype.h) does not do. */
#include "connector/mysql/shape.h"

const char *my_put_stored(struct mf_buf *b, const struct my_type *t, const struct mf_value *v)
{
    if (v->kind == MF_UNCHANGED) {
        return "its value did not come with the change";
    }
    if (v->kind == MF_BINARY && !my_type_is_binary(t)) {
        return "raw bytes do not fit a column that is not binary";
    }
    if (v->kind != MF_NULL && my_type_is_binary(t)) {
        my_put_bytes(b, v->data, v->len);
    } else {
        my_put_typed(b, t, v);
    }
    return NULL;
}

bool my_in_list_ok(const struct my_type *t)
{
    switch (t->base) {
    case MY_TINYINT:
    case MY_SMALLINT:
    case MY_MEDIUMINT:
    case MY_INT:
    case MY_BIGINT:
    case MY_CHAR:
    case MY_VARCHAR:
    case MY_BINARY:
    case MY_VARBINARY:
        return true;
    default: /* in a list these may be compared as text or as DOUBLE */
        return false;
    }
}

void my_put_text_bytes(struct mf_buf *b, const char *column)
{
    mf_buf_printf(b, "CAST(CONVERT(%s USING utf8mb4) AS BINARY)", column);
}

static void put_text_exactly(struct mf_buf *b, const char *column, const struct mf_value *v)
{
    /* The first half is for an index, the second for letters that the collation takes as equal. */
    mf_buf_printf(b, "%s = ", column);
    my_put_literal_n(b, v->data, v->len);
    mf_buf_puts(b, " AND ");
    my_put_text_bytes(b, column);
    mf_buf_puts(b, " = ");
    my_put_bytes(b, v->data, v->len);
}

const char *my_put_exactly(struct mf_buf *b, const struct my_type *t, const char *column, const struct mf_value *v)
{
    if (v->kind == MF_NULL) {
        mf_buf_printf(b, "%s IS NULL", column);
        return NULL;
    }
    if (v->kind == MF_UNCHANGED) {
        return "its value did not come with the change";
    }
    switch (t->base) {
    case MY_CHAR:
    case MY_VARCHAR:
    case MY_TEXT:
    case MY_ENUM:
    case MY_SET:
        if (v->kind != MF_TEXT) {
            return "raw bytes do not fit a column that is not binary";
        }
        put_text_exactly(b, column, v);
        return NULL;
    case MY_JSON: /* its text, as this server prints it */
        mf_buf_printf(b, "CAST(CONVERT(%s USING utf8mb4) AS BINARY) = CAST(CONVERT(", column);
        my_put_typed(b, t, v);
        mf_buf_puts(b, " USING utf8mb4) AS BINARY)");
        return NULL;
    case MY_GEOMETRY:
    case MY_VECTOR: /* compares with nothing, not even itself */
        mf_buf_printf(b, "HEX(%s) = HEX(", column);
        my_put_bytes(b, v->data, v->len);
        mf_buf_putc(b, ')');
        return NULL;
    default:
        mf_buf_printf(b, "%s = ", column);
        return my_put_stored(b, t, v);
    }
}
