/* See triggers.h. What is dropped and made here goes to the binary log like any DDL: a replica that takes over is as its source was. */
#include "connector/mysql/triggers.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "connector/mysql/gate.h"
#include "connector/mysql/schema_mend.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#define LOCK_S 5

/* ---- what is remembered ---- */

int my_trigger_keep(MYSQL *c, const char *migration, unsigned place, const struct my_trigger *t, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    mf_buf_printf(&b,
                  "REPLACE INTO midflight.triggers (migration, schema_name, name, table_name, place, settings, text)"
                  " VALUES ('%s', ",
                  migration);
    my_put_literal(&b, t->schema);
    mf_buf_puts(&b, ", ");
    my_put_literal(&b, t->name);
    mf_buf_puts(&b, ", ");
    my_put_literal(&b, t->table);
    mf_buf_printf(&b, ", %u, ", place);
    my_put_literal(&b, t->settings);
    mf_buf_puts(&b, ", ");
    my_put_literal(&b, t->text);
    mf_buf_puts(&b, ")");
    return my_exec_buf(c, err, &b) < 0 ? -1 : my_exec(c, err, "COMMIT");
}

int my_triggers_forget(MYSQL *c, const char *migration, struct mf_error *err)
{
    return my_execf(c, err, "DELETE FROM midflight.triggers WHERE migration = '%s'", migration) < 0
               ? -1
               : my_exec(c, err, "COMMIT");
}

/* ---- up ---- */

static int there(MYSQL *c, const char *schema, const char *name, bool *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    mf_buf_puts(&b, "SELECT 1 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ");
    my_put_literal(&b, schema);
    mf_buf_puts(&b, " AND TRIGGER_NAME = ");
    my_put_literal(&b, name);
    if (my_query(c, &r, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    *ret = mysql_num_rows(r) > 0;
    return 0;
}

static int make(MYSQL *c, const char *schema, const char *settings, const char *text, struct mf_error *err)
{
    if (mysql_select_db(c, schema) != 0) {
        return my_fail(c, err);
    }
    return my_exec(c, err, settings) < 0 ? -1 : my_exec(c, err, text);
}

/* row: schema, table, name, settings, text. On the target a definer that only an administrator may say becomes us; the schema's findings have
 * told of it. The source gets its own back, or nothing. */
static int raise_one(struct my_db *db, MYSQL *c, MYSQL_ROW row, struct mf_error *err)
{
    bool stands = false;
    if (there(c, row[0], row[2], &stands, err) < 0 || (!stands && MF_FAULT(err, "mysql.trigger_up"))) {
        return -1;
    }
    if (stands || make(c, row[0], row[3], row[4], err) == 0) {
        return 0;
    }
    if (db->base.side == MF_TARGET && my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
        MF_CLEANUP_BUF struct mf_buf text = {.max = MY_SQL_MAX};
        my_without_definer(row[4], &text);
        if (make(c, row[0], row[3], mf_buf_str(&text), err) == 0) {
            return 0;
        }
    }
    if (err->cls == MF_ROW || err->cls == MF_CONFLICT) {
        err->cls = MF_FATAL;
    }
    mf_error_prefix(err, "making trigger %s on %s.%s", row[2], row[0], row[1]);
    mf_hint(err, "its text is in midflight.triggers of that side: mend it on the side that has it, or drop it there");
    return -1;
}

static int raise_all(struct my_db *db, MYSQL_RES *remembered, struct mf_error *err)
{
    MY_CLEANUP_CONN MYSQL *c = NULL; /* of our own: its settings do not go back to the pool */
    if (my_connect(db, "triggers", &c, err) < 0 || my_execf(c, err, "SET SESSION lock_wait_timeout = %d", LOCK_S) < 0) {
        return -1;
    }
    __atomic_add_fetch(&db->triggers_raised, 1, __ATOMIC_SEQ_CST); /* before the first stands */
    for (MYSQL_ROW row; (row = mysql_fetch_row(remembered));) {
        if (raise_one(db, c, row, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Writers wait meanwhile: where nothing is remembered it costs a question on a session that is there. */
int my_triggers_up(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_lease(l.db, &l.conn, err) < 0 ||
        (my_queryf(l.conn, &r, err,
                   "SELECT schema_name, table_name, name, settings, text FROM midflight.triggers WHERE migration = '%s'"
                   " ORDER BY place, schema_name, name",
                   pipe->migration) < 0 &&
         !my_no_book(err))) {
        return -1;
    }
    mf_error_clear(err);
    return r && mysql_num_rows(r) > 0 ? raise_all(l.db, r, err) : 0;
}

/* ---- down ---- */

static int closed_here(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, bool *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_queryf(c, &r, err, "SELECT `open` FROM midflight.epoch WHERE migration = '%s'", pipe->migration) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    *ret = row ? my_get_i64(row, 0) == 0
               : db->base.side == MF_TARGET; /* before the first epoch the source has the right */
    return 0;
}

/* One that somebody dropped meanwhile is none. */
static int take_down(MYSQL *c, const struct mf_pipe_id *pipe, const struct mf_table *t, const char *name,
                     unsigned place, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096}, settings = {.max = 8192};
    mf_buf_puts(&sql, "SHOW CREATE TRIGGER ");
    my_put_name(&sql, t->schema, name);
    if (my_query(c, &r, err, mf_buf_str(&sql)) < 0) {
        return my_is_error(err, ER_TRG_DOES_NOT_EXIST) ? (mf_error_clear(err), 0) : -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r); /* name, sql_mode, text, character_set_client, collation_connection */
    if (!row || !row[1] || !row[2]) {
        return mf_fail(err, MF_FATAL, "MFTRIGGER", "the account may not read trigger %s on %s.%s", name, t->schema,
                       t->name);
    }
    my_put_made_with(&settings, row[1], row[2], row[3], row[4]);
    const struct my_trigger keep = {
        .schema = t->schema, .table = t->name, .name = name, .settings = mf_buf_str(&settings), .text = row[2]};
    mf_buf_reset(&sql);
    mf_buf_puts(&sql, "DROP TRIGGER IF EXISTS ");
    my_put_name(&sql, t->schema, name);
    return my_trigger_keep(c, pipe->migration, place, &keep, err) < 0 || MF_FAULT(err, "mysql.trigger_down")
    || my_exec_buf(c, err, &sql) < 0 ? -1 : 0;
}

static int list(MYSQL *c, const struct mf_table *t, MYSQL_RES **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    mf_buf_puts(&b, "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE " MY_TRIGGERS_OF_USERS
                    " AND EVENT_OBJECT_SCHEMA = ");
    my_put_literal(&b, t->schema);
    mf_buf_puts(&b, " AND EVENT_OBJECT_TABLE = ");
    my_put_literal(&b, t->name);
    mf_buf_puts(&b, " ORDER BY ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER");
    return my_query(c, ret, err, mf_buf_str(&b));
}

static int take_all_down(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                         MYSQL_RES *triggers, struct mf_error *err)
{
    bool closed = false;
    unsigned place = 0;
    if (closed_here(c, db, pipe, &closed, err) < 0) {
        return -1;
    }
    if (!closed) {
        return mf_fail(err, MF_FATAL, "MFTRIGGER",
                       "rows would be written to %s.%s of the %s, whose triggers stand because the application may "
                       "write there",
                       t->schema, t->name, db->base.side == MF_SOURCE ? "source" : "target");
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(triggers));) {
        if (take_down(c, pipe, t, row[0], place++, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_triggers_down(struct my_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    MY_LEASE(db, l);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_lease(db, &l.conn, err) < 0 || list(l.conn, t, &r, err) < 0) {
        return -1;
    }
    if (mysql_num_rows(r) == 0) {
        return 0;
    }
    MY_CLEANUP_CONN MYSQL *c = NULL; /* of our own: its settings do not go back to the pool */
    if (my_connect(db, "triggers", &c, err) < 0 || my_execf(c, err, "SET SESSION lock_wait_timeout = %d", LOCK_S) < 0 ||
        take_all_down(c, db, pipe, t, r, err) < 0) {
        mf_error_prefix(err, "taking the triggers of %s.%s down", t->schema, t->name);
        return -1;
    }
    return 0;
}
