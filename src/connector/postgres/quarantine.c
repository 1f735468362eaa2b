/* What a refused row leaves behind: its key and its values as text. */
#include "connector/postgres/apply.h"

#include "base/str.h"

#define SHOWN_KEY 200u

static void put_key_part(struct mf_buf *b, const struct mf_column *c, const struct mf_value *v, size_t max)
{
    mf_buf_printf(b, "%s=", c->name);
    if (v->kind == MF_NULL) {
        mf_buf_puts(b, "NULL");
    } else if (v->kind == MF_TEXT) {
        size_t n = v->len < max ? v->len : max;
        for (size_t i = 0; i < n; i++) {
            mf_buf_putc(b, v->data[i] ? v->data[i] : ' '); /* texts of the database cannot hold a NUL byte */
        }
    } else {
        mf_buf_puts(b, "?");
    }
}

void pg_put_key_text(struct mf_buf *b, const struct mf_table *t, const struct mf_row *row)
{
    uint16_t n = t->nkey ? t->nkey : t->ncolumns;
    bool first = true;
    for (uint16_t i = 0; i < n; i++) {
        uint16_t col = t->nkey ? t->key[i] : i;
        if (t->columns[col].generated) {
            continue;
        }
        mf_buf_puts(b, first ? "" : ", ");
        first = false;
        put_key_part(b, &t->columns[col], &row->values[col], t->nkey ? SIZE_MAX : SHOWN_KEY);
    }
}
