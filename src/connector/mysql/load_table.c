/* What is done to a table of the target as a whole. */
#include "connector/mysql/mysql_room.h"

#include "base/str.h"

/* In one transaction with the records of its chunks: not by TRUNCATE TABLE, which commits by itself, so that a crash would leave
 * either records of rows that are gone, or rows without records. */
static int empty(MYSQL *c, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    static const char *const book[] = {"chunk", "quarantine"};
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 64u << 10};
    mf_buf_puts(&sql, "DELETE FROM ");
    my_put_table(&sql, t);
    if (my_exec(c, err, "START TRANSACTION") < 0 || my_exec_buf(c, err, &sql) < 0) {
        return -1;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(book); i++) {
        mf_buf_reset(&sql);
        mf_buf_printf(&sql, "DELETE FROM midflight.%s WHERE migration = '%s' AND direction = '%s' AND schema_name = ",
                      book[i], pipe->migration, my_direction(pipe->direction));
        my_put_literal(&sql, t->schema);
        mf_buf_puts(&sql, " AND table_name = ");
        my_put_literal(&sql, t->name);
        if (my_exec_buf(c, err, &sql) < 0) {
            return -1;
        }
    }
    return my_exec(c, err, "COMMIT");
}

int my_table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    MY_CLEANUP_CONN MYSQL *c = NULL;
    if (my_connect(my_db_of(db), "reset", &c, err) < 0 || my_writer_session(c, pipe, err) < 0) {
        return -1;
    }
    if (empty(c, pipe, t, err) < 0) {
        mf_error_prefix(err, "emptying %s.%s", t->schema, t->name);
        return -1;
    }
    return 0;
}

/* Its answer is a result whose rows say how it went. Not written to the binary log: it is for this server. */
int my_table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err)
{
    MY_CLEANUP_CONN MYSQL *c = NULL;
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    mf_buf_puts(&sql, "ANALYZE NO_WRITE_TO_BINLOG TABLE ");
    my_put_table(&sql, t);
    if (my_connect(my_db_of(db), "analyze", &c, err) < 0 || my_query(c, &r, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; r && (row = mysql_fetch_row(r));) {
        if (mysql_num_fields(r) >= 4 && row[2] && (mf_streq(row[2], "Error") || mf_streq(row[2], "error"))) {
            return mf_fail(err, MF_FATAL, "MFANALYZE", "ANALYZE TABLE %s.%s: %s", t->schema, t->name,
                           row[3] ? row[3] : "");
        }
    }
    return 0;
}
