/* Foreign keys, looked at as rows stand. Rows are applied with foreign_key_checks off, so such as refer to nothing come in without a word, from a
 * side that keeps no foreign keys. */
#include "base/str.h"
#include "connector/mysql/infoschema.h"
#include "connector/mysql/mysql_room.h"
#include "connector/mysql/put.h"

#include <string.h>

#define LIST_MAX (1u << 20)

/* A row for each column of each key, those of one key one after the other. */
enum { R_NAME, R_SCHEMA, R_TABLE, R_COLUMN, R_REF_SCHEMA, R_REF_TABLE, R_REF_COLUMN };

static const char list_fmt[] =
    "SELECT CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME,"
    " REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE CONSTRAINT_SCHEMA = %s AND TABLE_SCHEMA = "
    "%s"
    " AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION";

/* The question of one key, as its columns come. */
struct asking {
    MYSQL *c;
    char name[MY_NAME * 4], schema[MY_NAME * 4], table[MY_NAME * 4], ref_schema[MY_NAME * 4], ref_table[MY_NAME * 4];
    struct mf_buf shown, there, equal;
};

static int ask(struct asking *q, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = LIST_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (!q->name[0]) {
        return 0;
    }
    mf_buf_printf(&sql, "SELECT CONCAT_WS(', '%s) FROM ", mf_buf_str(&q->shown));
    my_put_name(&sql, q->schema, q->table);
    mf_buf_printf(&sql, " a WHERE %s AND NOT EXISTS (SELECT 1 FROM ", mf_buf_str(&q->there));
    my_put_name(&sql, q->ref_schema, q->ref_table);
    mf_buf_printf(&sql, " b WHERE %s) LIMIT 1", mf_buf_str(&q->equal));
    if (!mf_buf_ok(&sql) || !mf_buf_ok(&q->shown) || !mf_buf_ok(&q->there) || !mf_buf_ok(&q->equal)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "foreign key %s of %s.%s is too large to check", q->name, q->schema,
                       q->table);
    }
    if (my_query(q->c, &r, err, mf_buf_str(&sql)) < 0) {
        mf_error_prefix(err, "checking foreign key %s of %s.%s", q->name, q->schema, q->table);
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    return row ? mf_fail_orphan(q->name, q->schema, q->table, q->ref_schema, q->ref_table, row[0] ? row[0] : "?", err)
               : 0;
}

static void begin(struct asking *q, const MYSQL_ROW row)
{
    mf_strlcpy(q->name, row[R_NAME], sizeof q->name);
    mf_strlcpy(q->schema, row[R_SCHEMA], sizeof q->schema);
    mf_strlcpy(q->table, row[R_TABLE], sizeof q->table);
    mf_strlcpy(q->ref_schema, row[R_REF_SCHEMA], sizeof q->ref_schema);
    mf_strlcpy(q->ref_table, row[R_REF_TABLE], sizeof q->ref_table);
    mf_buf_reset(&q->shown);
    mf_buf_reset(&q->there);
    mf_buf_reset(&q->equal);
}

static void add_column(struct asking *q, const MYSQL_ROW row)
{
    const char *and = q->there.len ? " AND " : "";
    mf_buf_puts(&q->shown, ", CONCAT(");
    my_put_literal(&q->shown, row[R_COLUMN]);
    mf_buf_puts(&q->shown, ", '=', a.");
    my_put_ident(&q->shown, row[R_COLUMN]);
    mf_buf_puts(&q->shown, ")");
    mf_buf_printf(&q->there, "%sa.", and);
    my_put_ident(&q->there, row[R_COLUMN]);
    mf_buf_puts(&q->there, " IS NOT NULL");
    mf_buf_printf(&q->equal, "%sb.", and);
    my_put_ident(&q->equal, row[R_REF_COLUMN]);
    mf_buf_puts(&q->equal, " = a.");
    my_put_ident(&q->equal, row[R_COLUMN]);
}

static int of_rows(struct asking *q, MYSQL_RES *r, const struct mf_catalog *tables, struct mf_error *err)
{
    for (MYSQL_ROW row; (row = mysql_fetch_row(r));) {
        bool known = true;
        for (int i = 0; i <= R_REF_COLUMN; i++) {
            known = known && row[i];
        }
        if (!known || (!mf_catalog_find(tables, row[R_SCHEMA], row[R_TABLE]) &&
                       !mf_catalog_find(tables, row[R_REF_SCHEMA], row[R_REF_TABLE]))) {
            continue;
        }
        if (strcmp(q->name, row[R_NAME]) != 0 || strcmp(q->table, row[R_TABLE]) != 0) {
            if (ask(q, err) < 0) {
                return -1;
            }
            begin(q, row);
        }
        add_column(q, row);
    }
    return ask(q, err);
}

static int of_schema(MYSQL *c, const char *schema, const struct mf_catalog *tables, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192}, name = {.max = 1024};
    struct asking q = {.c = c, .shown.max = LIST_MAX, .there.max = LIST_MAX, .equal.max = LIST_MAX};
    my_put_literal(&name, schema);
    mf_buf_printf(&sql, list_fmt, mf_buf_str(&name), mf_buf_str(&name));
    int rc = my_ask(c, &r, err, &sql) < 0 ? -1 : of_rows(&q, r, tables, err);
    mf_buf_free(&q.shown);
    mf_buf_free(&q.there);
    mf_buf_free(&q.equal);
    return rc;
}

int my_references_whole(struct mf_db *db, const struct mf_catalog *tables, struct mf_error *err)
{
    MY_LEASE(my_db_of(db), l);
    if (my_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    int rc = my_ask_begin(l.conn, l.db, err);
    for (size_t i = 0; rc == 0 && i < tables->n; i++) { /* sorted by database */
        if (i == 0 || strcmp(tables->tables[i - 1].schema, tables->tables[i].schema) != 0) {
            rc = of_schema(l.conn, tables->tables[i].schema, tables, err);
        }
    }
    my_ask_end(l.conn);
    return rc;
}
