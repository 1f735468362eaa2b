/* See triggers.h. What is dropped and made here goes to the binary log like any DDL: a replica that takes over is as its source was. */
#include "connector/mysql/triggers.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/str.h"
#include "connector/mysql/gate.h"
#include "connector/mysql/schema_mend.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

/* Of a window that meets triggers: who wants to read waits behind each try; then the window is begun anew. */
#define DOWN_LOCK_MS  100
#define DOWN_TOTAL_MS 2000

/* What making and dropping needs. The settings of a trigger are w.c's from then on: the bookkeeping is asked over w.other. */
struct work {
    const char *migration;
    const struct mf_gate_options *o;
    int64_t until_us;
    struct my_waiter w;
};

static void work_end(struct work *k)
{
    my_waiter_close(&k->w);
}

static int work_begin(struct work *k, struct my_db *db, const char *migration, const struct mf_gate_options *o,
                      unsigned long beside, struct mf_error *err)
{
    *k = (struct work){.migration = migration, .o = o, .until_us = mf_now_us() + o->total_ms * MF_US_PER_MS};
    if (my_gate_session(db, "triggers", o, &k->w, err) < 0) {
        return -1;
    }
    k->w.beside = beside;
    my_set_timeout(k->w.c, o->total_ms);
    return 0;
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

static int make(struct work *k, MYSQL_ROW row, const char *text, struct mf_error *err)
{
    if (mysql_select_db(k->w.c, row[0]) != 0) {
        return my_fail(k->w.c, err);
    }
    return my_exec(k->w.c, err, row[3]) < 0 ? -1
                                            : my_with_table_lock(&k->w, text, row[0], row[1], k->o, k->until_us, err);
}

/* row: schema, table, name, settings, text. On the target a definer that only an administrator may say becomes us; check and the schema's findings
 * have told of it. The source gets its own back, or nothing. */
static int raise_one(struct work *k, MYSQL_ROW row, struct mf_error *err)
{
    bool stands = false;
    if (there(k->w.other, row[0], row[2], &stands, err) < 0 || (!stands && MF_FAULT(err, "mysql.trigger_up"))) {
        return -1;
    }
    if (stands || make(k, row, row[4], err) == 0) {
        return 0;
    }
    if (k->w.db->base.side == MF_TARGET && my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
        MF_CLEANUP_BUF struct mf_buf text = {.max = MY_SQL_MAX};
        my_without_definer(row[4], &text);
        if (make(k, row, mf_buf_str(&text), err) == 0) {
            return 0;
        }
    }
    if (err->cls == MF_ROW || err->cls == MF_CONFLICT) {
        err->cls = MF_FATAL;
    }
    mf_error_prefix(err, "making trigger %s on %s.%s", row[2], row[0], row[1]);
    if (err->cls != MF_ABANDONED) {
        mf_hint(err,
                "its text is in midflight.triggers there. The source's is mended or dropped on the source; one of this "
                "side's own (own = 1) in that row");
    }
    return -1;
}

/* What was learnt stands: what it is from here on can be told from what somebody makes of it. One commit for all of them. */
static int note_copies(struct work *k, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *learnt = NULL;
    MYSQL *c = k->w.other;
    if (my_triggers_remembered(c, k->migration, MY_TRIGGERS_LEARNT, &learnt, err) < 0 || mysql_num_rows(learnt) == 0) {
        return learnt ? 0 : -1;
    }
    int rc = my_exec(c, err, "START TRANSACTION");
    for (MYSQL_ROW row; rc >= 0 && (row = mysql_fetch_row(learnt));) {
        MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
        MF_CLEANUP_BUF struct mf_buf settings = {.max = 8192};
        struct my_trigger t;
        rc = my_trigger_show(c, row[0], row[1], row[2], &r, &settings, &t, err);
        rc = rc == 1 ? my_trigger_made(c, k->migration, &t, err) : rc;
    }
    return rc < 0 ? -1 : my_exec(c, err, "COMMIT");
}

static int raise_all(struct my_db *db, const char *migration, MYSQL_RES *remembered, bool learnt,
                     const struct mf_gate_options *o, struct mf_error *err)
{
    MF_CLEANUP(work_end) struct work k = {0};
    if (work_begin(&k, db, migration, o, 0, err) < 0 || (learnt && my_triggers_making(k.w.other, migration, err) < 0)) {
        return -1;
    }
    __atomic_add_fetch(&db->triggers_raised, 1, __ATOMIC_SEQ_CST); /* before the first stands */
    for (MYSQL_ROW row; (row = mysql_fetch_row(remembered));) {
        if (raise_one(&k, row, err) < 0) {
            return -1;
        }
    }
    return learnt ? note_copies(&k, err) : 0;
}

/* Writers wait meanwhile: where nothing is remembered it costs a question on a session that is there. */
int my_triggers_up(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                   struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_lease(l.db, &l.conn, err) < 0 ||
        (my_triggers_remembered(l.conn, pipe->migration, MY_TRIGGERS_ALL, &r, err) < 0 && !my_no_book(err))) {
        return -1;
    }
    mf_error_clear(err);
    return r && mysql_num_rows(r) > 0 ? raise_all(l.db, pipe->migration, r, true, o, err) : 0;
}

/* ---- down ---- */

static int closed_here(MYSQL *c, const struct my_db *db, const char *migration, bool *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_queryf(c, &r, err, "SELECT `open` FROM midflight.epoch WHERE migration = '%s'", migration) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    *ret = row ? my_get_i64(row, 0) == 0
               : db->base.side == MF_TARGET; /* before the first epoch the source has the right */
    return 0;
}

/* One that somebody dropped meanwhile is none. */
static int take_down(struct work *k, const char *schema, const char *table, const char *name, unsigned place,
                     struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096}, settings = {.max = 8192};
    struct my_trigger t;
    bool copy = false;
    int rc = my_trigger_show(k->w.other, schema, table, name, &r, &settings, &t, err);
    if (rc <= 0) {
        return rc;
    }
    if (my_trigger_is_copy(k->w.other, k->migration, &t, &copy, err) < 0 ||
        (!copy && my_trigger_keep(k->w.other, k->migration, place, &t, true, err) < 0) ||
        MF_FAULT(err, "mysql.trigger_down")) {
        return -1;
    }
    mf_buf_puts(&sql, "DROP TRIGGER IF EXISTS ");
    my_put_name(&sql, schema, name);
    return my_with_table_lock(&k->w, mf_buf_str(&sql), schema, table, k->o, k->until_us, err);
}

/* Of one table, or of all of a database. */
static int list(MYSQL *c, const char *schema, const char *table, MYSQL_RES **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    mf_buf_puts(&b, "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS"
                    " WHERE " MY_TRIGGERS_OF_USERS " AND EVENT_OBJECT_SCHEMA = ");
    my_put_literal(&b, schema);
    if (table) {
        mf_buf_puts(&b, " AND EVENT_OBJECT_TABLE = ");
        my_put_literal(&b, table);
    }
    mf_buf_puts(&b, " ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER");
    return my_query(c, ret, err, mf_buf_str(&b));
}

/* Those of the list whose table is among these. */
static int take_all_down(struct work *k, const char *schema, const struct mf_catalog *tables, MYSQL_RES *triggers,
                         struct mf_error *err)
{
    const struct my_db *db = k->w.db;
    bool closed = false;
    unsigned place = 0;
    if (closed_here(k->w.other, db, k->migration, &closed, err) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(triggers));) {
        if (tables && !mf_catalog_find(tables, schema, row[0])) {
            continue;
        }
        if (!closed) {
            return mf_fail(err, MF_FATAL, "MFTRIGGER",
                           "rows would be written to %s.%s of the %s, whose triggers stand because the application "
                           "may write there",
                           schema, row[0], db->base.side == MF_SOURCE ? "source" : "target");
        }
        if (take_down(k, schema, row[0], row[1], place++, err) < 0) {
            mf_error_prefix(err, "taking the triggers of %s.%s down", schema, row[0]);
            return -1;
        }
    }
    return 0;
}

int my_triggers_down(struct my_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, unsigned long beside,
                     struct mf_error *err)
{
    static const struct mf_gate_options o = {
        .lock_ms = DOWN_LOCK_MS, .total_ms = DOWN_TOTAL_MS, .long_transactions = MF_LONG_WAIT};
    MY_LEASE(db, l);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_lease(db, &l.conn, err) < 0 || list(l.conn, t->schema, t->name, &r, err) < 0) {
        return -1;
    }
    if (mysql_num_rows(r) == 0) {
        return 0;
    }
    MF_CLEANUP(work_end) struct work k = {0};
    if (work_begin(&k, db, pipe->migration, &o, beside, err) == 0 && take_all_down(&k, t->schema, NULL, r, err) == 0) {
        return 0;
    }
    if (err->cls == MF_ABANDONED) {
        err->cls = MF_RETRY;
        mf_hint(err, "its rows are written as soon as they let go of it: end those transactions, or wait for them");
    }
    return -1;
}

int my_triggers_clear(struct my_db *db, const char *migration, const struct mf_catalog *tables,
                      const struct mf_gate_options *o, struct mf_error *err)
{
    MF_CLEANUP(work_end) struct work k = {0};
    if (work_begin(&k, db, migration, o, 0, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < tables->n; i++) {
        MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
        const char *schema = tables->tables[i].schema;
        if (mf_catalog_first_of_schema(tables, i) &&
            (list(k.w.other, schema, NULL, &r, err) < 0 || take_all_down(&k, schema, tables, r, err) < 0)) {
            return -1;
        }
    }
    return 0;
}

/* ---- back ---- */

static int drop_copies(struct my_db *db, const char *migration, MYSQL_RES *copies, const struct mf_gate_options *o,
                       struct mf_error *err)
{
    MF_CLEANUP(work_end) struct work k = {0};
    if (mysql_num_rows(copies) == 0) {
        return 0;
    }
    if (work_begin(&k, db, migration, o, 0, err) < 0) {
        return -1;
    }
    unsigned place = 0;
    for (MYSQL_ROW row; (row = mysql_fetch_row(copies));) {
        if (take_down(&k, row[0], row[1], row[2], place++, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_triggers_back(struct my_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                     struct mf_error *err)
{
    MY_LEASE(db, l);
    MY_CLEANUP_RESULT MYSQL_RES *copies = NULL, *own = NULL;
    bool closed = false;
    if (my_lease(db, &l.conn, err) < 0) {
        return -1;
    }
    if (closed_here(l.conn, db, pipe->migration, &closed, err) < 0 ||
        (closed && (my_triggers_remembered(l.conn, pipe->migration, MY_TRIGGERS_COPIES, &copies, err) < 0 ||
                    drop_copies(db, pipe->migration, copies, o, err) < 0 ||
                    my_triggers_remembered(l.conn, pipe->migration, MY_TRIGGERS_OWN, &own, err) < 0))) {
        return my_no_book(err) ? (mf_error_clear(err), 0) : -1;
    }
    return own && mysql_num_rows(own) > 0 ? raise_all(db, pipe->migration, own, false, o, err) : 0;
}
