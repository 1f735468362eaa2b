/*
 * Asking information_schema.
 *
 * Up to MySQL 5.7 and in MariaDB information_schema is made on the fly: a query opens the definition of every table it may need, under a metadata
 * lock that only the last moment of an ALTER or DROP keeps away, never an open transaction or LOCK TABLES. What it
 * would need to open is bounded by asking for one database at a time by its exact name. Figures and cardinalities open the tables themselves: only
 * catalog asks for them. From MySQL 8.0 on the same names are views of the dictionary, and one query for all databases is faster.
 *
 * A server that cannot open a definition at once leaves it out with a warning. A table left out would look dropped, so that warning is an error.
 *
 * MySQL 8.0 keeps figures and AUTO_INCREMENT values for a day, those of tables that were empty yesterday too, and writes them down: never
 * asked for in that way.
 */
#include "connector/mysql/infoschema.h"

#include "base/str.h"
#include "connector/mysql/mysql_room.h"

#include <mysqld_error.h>
#include <string.h>
#include <strings.h>

#define WAIT_S 1 /* for a definition that is being altered at this moment */

int my_ask_begin(MYSQL *c, const struct my_db *db, struct mf_error *err)
{
    return my_execf(c, err, "SET SESSION lock_wait_timeout = %d%s", WAIT_S,
                    my_has_dictionary(db) ? ", SESSION information_schema_stats_expiry = 0" : "");
}

void my_ask_end(MYSQL *c)
{
    struct mf_error ignored = {0};
    my_exec(c, &ignored, "SET SESSION lock_wait_timeout = DEFAULT");
}

int my_ask(MYSQL *c, MYSQL_RES **ret, struct mf_error *err, const struct mf_buf *sql)
{
    MY_CLEANUP_RESULT MYSQL_RES *rows = NULL, *warnings = NULL;
    MYSQL_ROW w;
    if (my_query(c, &rows, err, mf_buf_str(sql)) < 0) {
        return -1;
    }
    if (mysql_warning_count(c) > 0) {
        if (my_query(c, &warnings, err, "SHOW WARNINGS") < 0) {
            return -1;
        }
        while (warnings && (w = mysql_fetch_row(warnings))) {
            int64_t number = my_get_i64(w, 1);
            if (number == ER_WARN_I_S_SKIPPED_TABLE || number == ER_LOCK_WAIT_TIMEOUT || number == ER_LOCK_DEADLOCK) {
                return mf_fail(err, MF_RETRY, "MFCATALOG", "a table's definition could not be read at this moment: %s",
                               w[2] ? w[2] : "");
            }
        }
    }
    *ret = MF_STEAL(rows);
    return 0;
}

static bool wanted(const struct my_db *db, const char *schema)
{
    const char *only = db->params.database;
    return !only || strcmp(only, schema) == 0 || (db->lower_case_names && strcasecmp(only, schema) == 0);
}

int my_each_schema(MYSQL *c, const struct my_db *db, my_schema_sink *each, void *ctx, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf where = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MYSQL_ROW row;
    bool at_once = my_has_dictionary(db), some = false;
    if (my_query(c, &r, err,
                 "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE " MY_USER_SCHEMA("SCHEMA_NAME")) < 0) {
        return -1;
    }
    while ((row = mysql_fetch_row(r))) {
        if (!row[0] || !wanted(db, row[0])) {
            continue;
        }
        mf_buf_puts(&where, !at_once ? "TABLE_SCHEMA = " : some ? ", " : "TABLE_SCHEMA IN (");
        my_put_literal(&where, row[0]);
        some = true;
        if (!at_once) {
            if (each(ctx, row[0], mf_buf_str(&where), err) < 0) {
                return -1;
            }
            mf_buf_reset(&where);
        }
    }
    mf_buf_putc(&where, ')');
    if (!mf_buf_ok(&where)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the server has too many databases");
    }
    return at_once && some ? each(ctx, NULL, mf_buf_str(&where), err) : 0;
}
