/* midflight.triggers: what is remembered of triggers, see triggers.h. `made`, of learnt ones: 0 not made here; 1 it may stand, by its name; 2 it stood, as
 * its text here says. */
#include "connector/mysql/triggers.h"

#include "base/str.h"
#include "connector/mysql/schema_mend.h"

#include <mysqld_error.h>
#include <string.h>

/* WHERE …: the learnt one, or the own one, of a name. */
static void put_which(struct mf_buf *b, const char *migration, const char *schema, const char *name, bool own)
{
    mf_buf_printf(b, " WHERE migration = '%s' AND own = %d AND schema_name = ", migration, own);
    my_put_literal(b, schema);
    mf_buf_puts(b, " AND name = ");
    my_put_literal(b, name);
}

int my_trigger_keep(MYSQL *c, const char *migration, unsigned place, const struct my_trigger *t, bool own,
                    struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    mf_buf_printf(&b,
                  "REPLACE INTO midflight.triggers (migration, own, made, place, schema_name, name, table_name,"
                  " settings, text) VALUES ('%s', %d, 0, %u, ",
                  migration, own, place);
    my_put_literal(&b, t->schema);
    mf_buf_puts(&b, ", ");
    my_put_literal(&b, t->name);
    mf_buf_puts(&b, ", ");
    my_put_literal(&b, t->table);
    mf_buf_puts(&b, ", ");
    my_put_literal(&b, t->settings);
    mf_buf_puts(&b, ", ");
    my_put_literal(&b, t->text);
    mf_buf_puts(&b, ")");
    return my_exec_buf(c, err, &b);
}

int my_triggers_forget(MYSQL *c, const char *migration, bool own, struct mf_error *err)
{
    return my_execf(c, err, "DELETE FROM midflight.triggers WHERE migration = '%s' AND own = %d", migration, own);
}

int my_triggers_making(MYSQL *c, const char *migration, struct mf_error *err)
{
    return my_execf(c, err, "UPDATE midflight.triggers SET made = 1 WHERE migration = '%s' AND own = 0 AND made = 0",
                    migration);
}

int my_trigger_made(MYSQL *c, const char *migration, const struct my_trigger *t, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    mf_buf_puts(&b, "UPDATE midflight.triggers SET made = 2, settings = ");
    my_put_literal(&b, t->settings);
    mf_buf_puts(&b, ", text = ");
    my_put_literal(&b, t->text);
    put_which(&b, migration, t->schema, t->name, false);
    return my_exec_buf(c, err, &b);
}

int my_trigger_is_copy(MYSQL *c, const char *migration, const struct my_trigger *stands, bool *ret,
                       struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    mf_buf_puts(&b, "SELECT made, settings, text FROM midflight.triggers");
    put_which(&b, migration, stands->schema, stands->name, false);
    if (my_query(c, &r, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    int64_t made = row ? my_get_i64(row, 0) : 0;
    *ret = made == 1 || (made == 2 && strcmp(row[1], stands->settings) == 0 && strcmp(row[2], stands->text) == 0);
    return 0;
}

#define OTHER_OF_ITS_NAME                                                                                              \
    "EXISTS (SELECT 1 FROM midflight.triggers s WHERE s.migration = t.migration AND s.own = 0"                         \
    " AND s.schema_name = t.schema_name AND s.name = t.name)"

int my_triggers_remembered(MYSQL *c, const char *migration, enum my_triggers_of which, MYSQL_RES **ret,
                           struct mf_error *err)
{
    static const char *const conditions[] = {
        [MY_TRIGGERS_ALL] = "(t.own = 0 OR NOT " OTHER_OF_ITS_NAME ")",
        [MY_TRIGGERS_LEARNT] = "t.own = 0",
        [MY_TRIGGERS_OWN] = "t.own = 1",
        [MY_TRIGGERS_COPIES] = "t.own = 0 AND t.made > 0",
        [MY_TRIGGERS_SHADOWED] = "t.own = 1 AND " OTHER_OF_ITS_NAME,
    };
    return my_queryf(c, ret, err,
                     "SELECT t.schema_name, t.table_name, t.name, t.settings, t.text FROM midflight.triggers t"
                     " WHERE t.migration = '%s' AND %s ORDER BY t.own, t.place, t.schema_name, t.name",
                     migration, conditions[which]);
}

int my_trigger_show(MYSQL *c, const char *schema, const char *table, const char *name, MYSQL_RES **r,
                    struct mf_buf *settings, struct my_trigger *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    mf_buf_puts(&sql, "SHOW CREATE TRIGGER ");
    my_put_name(&sql, schema, name);
    if (my_query(c, r, err, mf_buf_str(&sql)) < 0) {
        return my_is_error(err, ER_TRG_DOES_NOT_EXIST) ? (mf_error_clear(err), 0) : -1;
    }
    MYSQL_ROW row = mysql_fetch_row(*r); /* name, sql_mode, text, character_set_client, collation_connection */
    if (!row || !row[1] || !row[2]) {
        return mf_fail(err, MF_FATAL, "MFTRIGGER", "the account may not read trigger %s on %s.%s", name, schema, table);
    }
    mf_buf_reset(settings);
    my_put_made_with(settings, row[1], row[2], row[3], row[4]);
    *ret = (struct my_trigger){
        .schema = schema, .table = table, .name = name, .settings = mf_buf_str(settings), .text = row[2]};
    return 1;
}
