/* What a refused row leaves behind: its key and its values as text. */
#include "connector/mysql/apply.h"

#include "base/str.h"

#include <string.h>

#define SHOWN_KEY    200u
#define KEYS_AT_ONCE 100u

static void put_key_part(struct mf_buf *b, const struct mf_column *c, const struct mf_value *v, size_t max)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = v->len < max ? v->len : max;
    while (v->kind == MF_TEXT && n > 0 && n < v->len && ((uint8_t)v->data[n] & 0xc0) == 0x80) {
        n--; /* not in the middle of a character */
    }
    mf_buf_printf(b, "%s=", c->name);
    switch (v->kind) {
    case MF_NULL:
        mf_buf_puts(b, "NULL");
        break;
    case MF_TEXT:
        mf_buf_append(b, v->data, n);
        break;
    case MF_BINARY:
        mf_buf_puts(b, "0x");
        for (size_t i = 0; i < n; i++) {
            mf_buf_putc(b, hex[(uint8_t)v->data[i] >> 4]);
            mf_buf_putc(b, hex[v->data[i] & 15]);
        }
        break;
    case MF_UNCHANGED:
        mf_buf_puts(b, "?");
        break;
    }
}

void my_put_key_text(struct mf_buf *b, const struct mf_table *t, const struct mf_row *row)
{
    uint16_t n = t->nkey ? t->nkey : t->ncolumns;
    bool first = true;
    for (uint16_t i = 0; i < n; i++) {
        uint16_t col = t->nkey ? t->key[i] : i;
        if (t->columns[col].generated && !t->nkey) {
            continue;
        }
        mf_buf_puts(b, first ? "" : ", ");
        first = false;
        put_key_part(b, &t->columns[col], &row->values[col], t->nkey ? SIZE_MAX : SHOWN_KEY);
    }
}

void my_put_quarantine_where(struct mf_buf *b, const struct mf_pipe_id *pipe, const struct mf_table *t,
                             const struct mf_row *row)
{
    mf_buf_printf(b, " WHERE migration = '%s' AND direction = '%s' AND schema_name = ", pipe->migration,
                  my_direction(pipe->direction));
    my_put_literal(b, t->schema);
    mf_buf_puts(b, " AND table_name = ");
    my_put_literal(b, t->name);
    if (row) {
        MF_CLEANUP_BUF struct mf_buf key = {.max = 16u << 20};
        my_put_key_text(&key, t, row);
        /* Its first part finds it in the index. Blanks at the end count. */
        mf_buf_puts(b, " AND `key` = ");
        my_put_literal_n(b, mf_buf_str(&key), key.len);
        mf_buf_puts(b, " AND CAST(`key` AS BINARY) = ");
        my_put_hex(b, mf_buf_str(&key), key.len);
    }
}

int my_unquarantine(struct my_applier *a, const struct mf_table *t, const struct mf_row *const *rows, size_t n,
                    struct mf_error *err)
{
    struct my_expect e = {.kind = MY_EXPECT_OK, .doing = "clearing the quarantine"};
    MF_CLEANUP_BUF struct mf_buf key = {.max = 16u << 20};
    for (size_t i = 0; i < n;) {
        mf_buf_puts(&a->sql, "DELETE FROM midflight.quarantine");
        my_put_quarantine_where(&a->sql, &a->pipe, t, NULL);
        mf_buf_puts(&a->sql, " AND CAST(`key` AS BINARY) IN (");
        for (size_t k = 0; i < n && k < KEYS_AT_ONCE; k++, i++) {
            mf_buf_reset(&key);
            my_put_key_text(&key, t, rows[i]);
            mf_buf_puts(&a->sql, k ? "," : "");
            my_put_hex(&a->sql, mf_buf_str(&key), key.len);
        }
        mf_buf_putc(&a->sql, ')');
        if (my_wire_end(a, &e, err) < 0) {
            return -1;
        }
    }
    return 0;
}
