/*
 * The gate: who may write, enforced inside the database. docs/internals/gate.md has the argument.
 *
 * MySQL has neither statement triggers nor shared advisory locks. Every migrated table has a BEFORE INSERT, UPDATE and DELETE row trigger instead,
 * ahead of the user's own. It reads the epoch row of the migration, or a row that says the same (gate_rows.c), with a shared row lock, which InnoDB keeps
 * until the writer's transaction ends, and refuses when this side may not write. Our own sessions say who they are in @midflight (writer.c) and take no lock.
 *
 *  - A locking read sees the latest commit, whatever the isolation level and however old the snapshot, and makes no snapshot: what an application
 *    reads afterwards is what it would have read without the gate.
 *  - The row is found by its primary key alone. With a condition on other columns READ COMMITTED would give the lock of a row that does not match
 *    back at once.
 *  - No such row: through. (gate_install makes it first.)
 *  - 1290, HY000 is what a server that is --read-only says: pools and frameworks know it for one to turn away from.
 *  - The trigger runs with its definer's rights, ours, so the application needs none on our tables; and for the same reason an account that is
 *    dropped while gates stand makes every write fail (1449). cleanup comes first.
 *
 * It is in the log like any DDL, on purpose: a replica that takes over has the gate, and the epoch with it. (Not on a source that the target follows by
 * itself: there it would come to the target, see log_triggers.)
 *
 * What no trigger sees: TRUNCATE, DROP and other DDL; a foreign key's cascade into a child (the parent's trigger fires: a parent that is not migrated
 * has none); a replica's applier, and a group's other members (gate_stand.c). LOAD DATA, REPLACE, upserts, multi-table statements, views, routines, events
 * and everything with IGNORE do fire. A statement that finds no row fires nothing and changes nothing.
 */
#include "connector/mysql/gate.h"

#include "base/clock.h"
#include "base/str.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TRIES                  16
#define NO_SUCH_NEIGHBOUR(err) (my_is_error(err, 3011) || my_is_error(err, 4031)) /* MySQL, MariaDB: PRECEDES whom? */

static const char *const events[] = {"INSERT", "UPDATE", "DELETE"};

int my_gate_triggers(MYSQL *c, const struct mf_pipe_id *pipe, MYSQL_RES **ret, struct mf_error *err)
{
    return my_queryf(c, ret, err,
                     "SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_NAME, EVENT_MANIPULATION"
                     " FROM information_schema.TRIGGERS WHERE TRIGGER_NAME REGEXP '^midflight_%s_[0-9a-f]{8}_[iud]$'"
                     " ORDER BY BINARY EVENT_OBJECT_SCHEMA, BINARY EVENT_OBJECT_TABLE",
                     pipe->migration);
}

static bool same_name(const struct my_db *db, const char *a, const char *b)
{
    return db->lower_case_names ? strcasecmp(a, b) == 0 : strcmp(a, b) == 0;
}

static bool stands(const struct my_db *db, MYSQL_RES *triggers, const struct mf_table *t, const char *event)
{
    mysql_data_seek(triggers, 0);
    for (MYSQL_ROW row = mysql_fetch_row(triggers); row; row = mysql_fetch_row(triggers)) {
        if (strcmp(row[3], event) == 0 && same_name(db, row[0], t->schema) && same_name(db, row[1], t->name)) {
            return true;
        }
    }
    return false;
}

/* ---- one trigger ---- */

/* Names are the database's, not the table's, and stay with a table that is renamed: `again` finds another one. */
static uint32_t name_hash(const char *table, int again)
{
    uint32_t h = UINT32_C(0x811c9dc5) ^ (uint32_t)again; /* FNV-1a */
    for (const char *p = table; *p; p++) {
        h = (h ^ (uint8_t)*p) * UINT32_C(0x01000193);
    }
    return h;
}

/* The user's first trigger for the event, to be ahead of it; "" when there is none. */
static int first_of_users(struct my_waiter *w, const struct mf_table *t, const char *event, char *ret, size_t n,
                          struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    mf_buf_puts(&b, "SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS"
                    " WHERE EVENT_OBJECT_SCHEMA = ");
    my_put_literal(&b, t->schema);
    mf_buf_puts(&b, " AND EVENT_OBJECT_TABLE = ");
    my_put_literal(&b, t->name);
    mf_buf_printf(&b, " AND ACTION_TIMING = 'BEFORE' AND EVENT_MANIPULATION = '%s' ORDER BY ACTION_ORDER", event);
    if (my_query(w->other, &r, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    ret[0] = '\0';
    for (MYSQL_ROW row = mysql_fetch_row(r); row && !ret[0]; row = mysql_fetch_row(r)) {
        if (same_name(w->db, row[0], t->schema) && same_name(w->db, row[1], t->name)) {
            mf_strlcpy(ret, row[2], n);
        }
    }
    return 0;
}

static void put_trigger(struct mf_buf *b, const struct my_db *db, const struct mf_pipe_id *pipe,
                        const struct mf_table *t, const char *event, int again, const char *ahead_of)
{
    char name[MY_NAME];
    const char *m = pipe->migration;
    snprintf(name, sizeof name, "midflight_%s_%08" PRIx32 "_%c", m, name_hash(t->name, again), event[0] | 0x20);
    mf_buf_puts(b, "CREATE TRIGGER ");
    my_put_name(b, t->schema, name);
    mf_buf_printf(b, " BEFORE %s ON ", event);
    my_put_table(b, t);
    mf_buf_puts(b, " FOR EACH ROW ");
    if (*ahead_of) {
        mf_buf_puts(b, "PRECEDES ");
        my_put_ident(b, ahead_of);
        mf_buf_putc(b, ' ');
    }
    mf_buf_printf(b, "BEGIN DECLARE may INT; IF @midflight IS NULL OR @midflight <> '%s' THEN SET may = ", m);
    my_put_may(b, db, pipe);
    mf_buf_printf(b,
                  "; IF may = 0 THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1290, MESSAGE_TEXT ="
                  " 'midflight: read-only: this is the %s of migration %s and may not be written to now';"
                  " END IF; END IF; END",
                  db->base.side == MF_SOURCE ? "source" : "target", m);
}

static void explain(const struct my_db *db, const struct mf_table *t, struct mf_error *err)
{
    if (my_is_error(err, ER_BINLOG_CREATE_ROUTINE_NEED_SUPER)) {
        mf_hint(err,
                "SET GLOBAL log_bin_trust_function_creators = 1 (a managed server has it in its parameter group), or "
                "GRANT SUPER ON *.* TO %s",
                db->facts.user);
    } else if (my_is_error(err, ER_TABLEACCESS_DENIED_ERROR)) {
        mf_hint(err, "GRANT TRIGGER ON `%s`.* TO %s", t->schema, db->facts.user);
    }
}

static int install(struct my_waiter *w, const struct mf_pipe_id *pipe, const struct mf_table *t, const char *event,
                   const struct mf_gate_options *o, int64_t until_us, struct mf_error *err)
{
    int again = 0;
    for (int tries = 0; tries < TRIES; tries++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
        char ahead_of[4 * MY_NAME];
        if (first_of_users(w, t, event, ahead_of, sizeof ahead_of, err) < 0) {
            return -1;
        }
        put_trigger(&b, w->db, pipe, t, event, again, ahead_of);
        if (my_with_table_lock(w, mf_buf_str(&b), t->schema, t->name, o, until_us, err) == 0) {
            return 0;
        }
        again += my_is_error(err, ER_TRG_ALREADY_EXISTS);
        if (!my_is_error(err, ER_TRG_ALREADY_EXISTS) && !NO_SUCH_NEIGHBOUR(err)) {
            break;
        }
    }
    if (err->cls != MF_ABANDONED) {
        mf_error_prefix(err, "the gate of table %s.%s", t->schema, t->name);
        explain(w->db, t, err);
    }
    return -1;
}

/* ---- all of them ---- */

int my_gate_session(struct my_db *db, const char *what, const struct mf_gate_options *o, struct my_waiter *ret,
                    struct mf_error *err)
{
    MY_CLEANUP_WAITER struct my_waiter w = {0};
    /* What the server does by itself if we die while we wait. */
    if (my_waiter_open(db, what, &w, err) < 0 ||
        my_execf(w.c, err, "SET SESSION lock_wait_timeout = %d", (o->lock_ms + 1999) / 1000) < 0) {
        return -1;
    }
    *ret = w;
    w = (struct my_waiter){0};
    return 0;
}

/* mode: native. A trigger of the source's gate must not come to the target by replication: it has its own, of the same name. Only
 * DDL is kept out of the log; rows of the bookkeeping are in it always, or the source's own replicas would lack them. */
static int log_triggers(struct my_waiter *w, bool on, struct mf_error *err)
{
    if (!w->db->native || w->db->base.side != MF_SOURCE) {
        return 0;
    }
    if (my_execf(w->c, err, "SET SESSION sql_log_bin = %d", on) < 0) {
        mf_error_prefix(err, "keeping the gate out of the source's log");
        return -1;
    }
    return 0;
}

/* The rows that triggers lock stand before the first trigger: from its first row on the gate knows what is true. Looked for first: an INSERT of a row
 * that is there asks for its lock and would wait for writers. */
static int prepare_gate(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, bool open,
                        struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_queryf(c, &r, err, "SELECT 1 FROM midflight.epoch WHERE migration = '%s'", pipe->migration) < 0) {
        return -1;
    }
    if (mysql_num_rows(r) == 0 &&
        my_execf(c, err,
                 "INSERT INTO midflight.epoch (migration, epoch, writer, `open`) VALUES ('%s', 0, 'source', %d)",
                 pipe->migration, open) < 0 &&
        !my_is_error(err, ER_DUP_ENTRY)) {
        return -1;
    }
    return my_slots_make(c, db, pipe, err);
}

/* What hold looks for when writers wait: a gate that is gone by then is missed. */
static int remember(MYSQL *c, const struct mf_pipe_id *pipe, const struct mf_catalog *tables, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX}, name = {.max = 4096};
    mf_buf_puts(&b, "INSERT INTO midflight.settings (migration, kind, object, value) VALUES ");
    for (size_t i = 0; i < tables->n; i++) {
        mf_buf_reset(&name);
        my_put_table(&name, &tables->tables[i]);
        mf_buf_printf(&b, "%s('%s', 'gate', ", i ? ", " : "", pipe->migration);
        my_put_literal(&b, mf_buf_str(&name));
        mf_buf_puts(&b, ", '')");
    }
    mf_buf_puts(&b, " ON DUPLICATE KEY UPDATE value = ''");
    return tables->n ? my_exec_buf(c, err, &b) : 0;
}

int my_gate_install(struct mf_db *mdb, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                    const struct mf_gate_options *o, struct mf_error *err)
{
    MY_CLEANUP_WAITER struct my_waiter w = {0};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    int64_t until_us = mf_now_us() + o->total_ms * MF_US_PER_MS;
    if (my_gate_session(my_db_of(mdb), "gate", o, &w, err) < 0 || my_no_replication(w.other, w.db, pipe, err) < 0 ||
        prepare_gate(w.c, w.db, pipe, o->open, err) < 0 || my_gate_triggers(w.c, pipe, &r, err) < 0 ||
        log_triggers(&w, false, err) < 0) {
        return -1;
    }
    mf_error_clear(err);
    for (size_t i = 0; i < tables->n; i++) {
        for (size_t e = 0; e < MF_ARRAY_LEN(events); e++) {
            const struct mf_table *t = &tables->tables[i];
            if (!stands(w.db, r, t, events[e]) && install(&w, pipe, t, events[e], o, until_us, err) < 0) {
                return -1;
            }
        }
    }
    return log_triggers(&w, true, err) < 0 ? -1 : remember(w.c, pipe, tables, err);
}

int my_gate_remove(struct mf_db *mdb, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                   struct mf_error *err)
{
    MY_CLEANUP_WAITER struct my_waiter w = {0};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    int64_t until_us = mf_now_us() + o->total_ms * MF_US_PER_MS;
    if (my_gate_session(my_db_of(mdb), "gate", o, &w, err) < 0 || my_gate_triggers(w.c, pipe, &r, err) < 0 ||
        log_triggers(&w, false, err) < 0) {
        return -1;
    }
    for (MYSQL_ROW row = mysql_fetch_row(r); row; row = mysql_fetch_row(r)) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
        mf_buf_puts(&b, "DROP TRIGGER IF EXISTS ");
        my_put_name(&b, row[0], row[2]);
        if (my_with_table_lock(&w, mf_buf_str(&b), row[0], row[1], o, until_us, err) < 0 &&
            !my_is_error(err, ER_NO_SUCH_TABLE)) {
            return -1;
        }
    }
    if (log_triggers(&w, true, err) < 0) {
        return -1;
    }
    if (my_execf(w.c, err, "DELETE FROM midflight.settings WHERE migration = '%s' AND kind = 'gate'", pipe->migration) <
            0 &&
        !my_no_book(err)) {
        return -1;
    }
    mf_error_clear(err);
    return 0;
}
