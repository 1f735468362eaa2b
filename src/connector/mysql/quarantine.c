/* Entries of the quarantine by the key of their row. */
#include "connector/mysql/apply.h"

#include "base/str.h"

#define KEYS_AT_ONCE 100u
#define KEYS_BYTES   (512u << 10) /* and no more of them in one statement */

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
        const size_t begin = a->sql.len;
        for (size_t k = 0; i < n && k < KEYS_AT_ONCE && a->sql.len - begin < KEYS_BYTES; k++, i++) {
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

int my_quarantine_of(struct my_applier *a, const char *verb, const struct mf_table *t, const struct mf_row *row,
                     uint64_t *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_ROW_SQL_MAX};
    mf_buf_puts(&sql, verb);
    my_put_quarantine_where(&sql, &a->pipe, t, row);
    if (my_exec_buf(a->conn, err, &sql) < 0) {
        return my_wire_fail(a, err);
    }
    if (ret) {
        *ret = mysql_affected_rows(a->conn);
    }
    return 0;
}

int my_unquarantine_one(struct my_applier *a, const struct mf_table *t, const struct mf_row *row, uint64_t *ret,
                        struct mf_error *err)
{
    *ret = 0;
    return a->has_quarantine ? my_quarantine_of(a, "DELETE FROM midflight.quarantine", t, row, ret, err) : 0;
}

int my_put_away(struct my_applier *a, const struct mf_table *t, const struct mf_row *row,
                const struct mf_quarantined *refused, struct mf_window_result *result, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 16u << 20}, sql = {.max = MY_ROW_SQL_MAX};
    struct mf_quarantined q = *refused;
    struct mf_error why = {.cls = MF_ROW};
    uint64_t before = 0;
    mf_put_key_text(&key, t, row);
    q.key = mf_buf_str(&key);
    mf_strlcpy(q.schema, t->schema, sizeof q.schema);
    mf_strlcpy(q.table, t->name, sizeof q.table);
    my_put_quarantine_insert(&sql, &a->pipe, &q);
    if (my_unquarantine_one(a, t, row, &before, err) < 0) {
        return -1;
    }
    if (my_exec_buf(a->conn, err, &sql) < 0) {
        mf_error_prefix(err, "writing to the quarantine");
        return my_wire_fail(a, err);
    }
    a->has_quarantine = true;
    mf_strlcpy(why.code, q.code, sizeof why.code);
    mf_strlcpy(why.text, q.reason ? q.reason : "", sizeof why.text);
    mf_result_refused(result, t, q.key, &why);
    if (result && before == 0) { /* else it was in quarantine already */
        result->quarantined++;
    }
    return 0;
}
