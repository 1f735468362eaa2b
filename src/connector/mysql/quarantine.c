/* Entries of the quarantine by the key of their row. */
#include "connector/mysql/apply.h"

#define KEYS_AT_ONCE 100u

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
        mf_put_key_text(&key, t, row);
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
            mf_put_key_text(&key, t, rows[i]);
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
