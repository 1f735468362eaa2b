/*
 * What a stream needs on its source: replica identities, the publication, the slot; made in this order, and taken away
 * again.
 *
 * The order matters. A table in a publication that publishes updates, but without a replica identity, makes the server
 * REFUSE updates and deletes of it: an outage. So every identity is set before its table is published. And pgoutput looks
 * the publication up as of the place it decodes: it must be there before the slot is made.
 *
 * What we changed is remembered in midflight.settings, in the transaction that changed it: the identity a table had
 * (kind "identity"), the tables published (kind "published"), the slot made (kind "slot"). So a slot or a publication
 * that was removed behind our back is noticed, and never made anew in silence, which would lose what happened between.
 *
 * Locks: a replica identity takes its table's ACCESS EXCLUSIVE lock for a moment, a publication SHARE UPDATE EXCLUSIVE
 * (writers pass). Both are waited for LOCK_MS at a time, because everybody else queues behind a waiting lock, and
 * given up after LOCK_TOTAL_MS.
 */
#include "connector/postgres/prepare.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "connector/postgres/slot.h"
#include "connector/postgres/truncate.h"

#include <stdio.h>
#include <string.h>

#define LOCK_MS       200
#define LOCK_TOTAL_MS 30000
#define VACUUM_MS     1500 /* longer than deadlock_timeout, as a rule: an autovacuum gives way to who has waited for that */
#define VACUUM_TRY    6      /* every so many tries */
#define SLOT_WAIT_MS  300000 /* a slot waits for every transaction that was running when it was asked for */

int pg_exec_locking(PGconn *c, const char *sql, const char *object, struct mf_error *err)
{
    int64_t end = mf_now_us() + LOCK_TOTAL_MS * MF_US_PER_MS;
    int64_t pause = 50 * MF_US_PER_MS;
    for (int try = 1;; try++) {
        struct mf_error e = {0};
        if (pg_set_timeouts(c, 0, try % VACUUM_TRY ? LOCK_MS : VACUUM_MS, err) < 0) {
            return -1;
        }
        if (pg_exec(c, &e, sql) == 0) {
            return 0;
        }
        if (PQtransactionStatus(c) != PQTRANS_IDLE && PQstatus(c) == CONNECTION_OK) {
            struct mf_error ignored = {0};
            pg_exec(c, &ignored, "ROLLBACK");
        }
        bool busy = pg_is_sqlstate(&e, "55P03") || pg_is_sqlstate(&e, "40P01");
        if (!busy || mf_now_us() >= end) {
            if (busy) {
                mf_fail(err, MF_RETRY, e.code, "%s is locked by others and could not be locked within %d s: %s", object,
                        LOCK_TOTAL_MS / 1000, e.text);
                mf_hint(err, "find the session that holds it in pg_locks (often a long transaction) and end it, or try "
                             "again when it has ended");
            } else {
                *err = e;
                mf_error_prefix(err, "%s", object);
            }
            return -1;
        }
        mf_sleep_us(pause);
        pause = pause < MF_US_PER_SEC ? pause * 2 : pause;
    }
}

/* ---- what we remember ---- */

/* "'shop', 'identity fwd', '16412'": the key of a row of midflight.settings. */
static void put_setting_key(struct mf_buf *b, const struct mf_pipe_id *pipe, const char *kind, const char *object)
{
    MF_CLEANUP_FREE char *full = mf_xasprintf("%s %s", kind, pg_direction(pipe->direction));
    pg_put_literal(b, pipe->migration);
    mf_buf_puts(b, ", ");
    pg_put_literal(b, full);
    mf_buf_puts(b, ", ");
    pg_put_literal(b, object);
}

static void put_remember(struct mf_buf *b, const struct mf_pipe_id *pipe, const char *kind, const char *object,
                         const char *value)
{
    mf_buf_puts(b, "INSERT INTO midflight.settings (migration, kind, object, value) VALUES (");
    put_setting_key(b, pipe, kind, object);
    mf_buf_puts(b, ", ");
    pg_put_literal(b, value);
    mf_buf_puts(b, ") ON CONFLICT (migration, kind, object) DO NOTHING; ");
}

static int remembered(PGconn *c, const struct mf_pipe_id *pipe, const char *kind, const char *object, bool *ret,
                      struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    mf_buf_puts(&b, "SELECT 1 FROM midflight.settings WHERE (migration, kind, object) = (");
    put_setting_key(&b, pipe, kind, object);
    mf_buf_puts(&b, ")");
    if (!pg_sql(&b, err) || pg_query(c, &r, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    *ret = PQntuples(r) > 0;
    return 0;
}

/* ---- replica identities ---- */

/* What has to be said of each table's identity: "" nothing, or the words after REPLICA IDENTITY; and what it has now. */
static int set_identity(PGconn *c, const struct mf_pipe_id *pipe, const char *table, const char *oid, const char *now,
                        const char *wanted, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8192};
    mf_buf_puts(&b, "BEGIN; ");
    put_remember(&b, pipe, "identity", oid, now);
    mf_buf_printf(&b, "ALTER TABLE ONLY %s REPLICA IDENTITY %s; COMMIT", table, wanted);
    if (!pg_sql(&b, err)) {
        return -1;
    }
    if (pg_exec_locking(c, mf_buf_str(&b), table, err) < 0) {
        if (pg_is_sqlstate(err, "42501")) {
            mf_hint(err, "as the table's owner: ALTER TABLE ONLY %s REPLICA IDENTITY %s", table, wanted);
        }
        return -1;
    }
    return 0;
}

/* Before anything is altered: a table whose updates the server would refuse from the moment it is published. */
static int refuse_generated(PGconn *c, const PGresult *r, const struct mf_catalog *tables, struct mf_error *err)
{
    char remedy[400];
    if (PQserverVersion(c) < PG_GENERATED_REFUSED) {
        return 0;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        const struct mf_table *t = mf_catalog_by_id(tables, pg_get_oid(r, i, PG_IDENTITY_OID));
        if (t && pg_get_bool(r, i, PG_IDENTITY_GENERATED) && (t->old_whole || pg_identity_is_full(r, i))) {
            mf_fail(err, MF_FATAL, "MFIDENTITY",
                    "table %s cannot be streamed: it has a generated column and the replica identity FULL, and this "
                    "server would refuse the application's updates and deletes of it once it is published (42P10)",
                    PQgetvalue(r, i, PG_IDENTITY_TABLE));
            pg_identity_remedy(r, i, remedy, sizeof remedy);
            mf_hint(err, "%s Or leave the table out (tables.exclude)", remedy);
            return -1;
        }
    }
    return 0;
}

int pg_set_identities(PGconn *c, const struct mf_pipe_id *pipe, const struct mf_catalog *tables, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_identities(c, &r, err) < 0 || refuse_generated(c, r, tables, err) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        const struct mf_table *t = mf_catalog_by_id(tables, pg_get_oid(r, i, PG_IDENTITY_OID));
        const char *wanted = PQgetvalue(r, i, PG_IDENTITY_WANTED);
        if (t && t->old_whole) {
            wanted = strcmp(PQgetvalue(r, i, PG_IDENTITY_NOW), "FULL") == 0 ? "" : "FULL";
        }
        if (t && *wanted &&
            set_identity(c, pipe, PQgetvalue(r, i, PG_IDENTITY_TABLE), PQgetvalue(r, i, PG_IDENTITY_OID),
                         PQgetvalue(r, i, PG_IDENTITY_NOW), wanted, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- publication ---- */

/* Tables to publish that are not in the publication yet, as " ONLY a, ONLY b"; bookkeeping first. One that was
 * published by us before has been taken out behind our back: its changes since are lost. */
static int missing_tables(PGconn *c, const char *name, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                          struct mf_buf *out, struct mf_buf *remember, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    MF_CLEANUP_BUF struct mf_buf q = {.max = 4096};
    mf_buf_puts(&q, "SELECT c.oid, n.nspname, c.relname, p.prrelid IS NOT NULL, s.object IS NOT NULL "
                    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
                    "LEFT JOIN pg_catalog.pg_publication_rel p ON p.prrelid = c.oid AND p.prpubid = "
                    "(SELECT oid FROM pg_catalog.pg_publication WHERE pubname = ");
    pg_put_literal(&q, name);
    mf_buf_puts(&q, ") LEFT JOIN midflight.settings s ON s.object = c.oid::text AND s.migration = ");
    pg_put_literal(&q, pipe->migration);
    mf_buf_printf(&q, " AND s.kind = 'published %s'", pg_direction(pipe->direction));
    mf_buf_puts(&q, " WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' "
                    "ORDER BY (n.nspname = 'midflight') DESC, c.oid");
    if (!pg_sql(&q, err) || pg_query(c, &r, err, mf_buf_str(&q)) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        const char *schema = PQgetvalue(r, i, 1), *table = PQgetvalue(r, i, 2);
        bool ours = strcmp(schema, "midflight") == 0;
        bool wanted = ours ? strcmp(table, "checkpoint") == 0 || strcmp(table, "heartbeat") == 0 ||
                                 strcmp(table, "epoch") == 0 || strcmp(table, "truncated") == 0
                           : mf_catalog_by_id(tables, pg_get_oid(r, i, 0)) != NULL;
        if (!wanted || pg_get_bool(r, i, 3)) {
            continue;
        }
        if (pg_get_bool(r, i, 4)) {
            mf_fail(err, MF_FATAL, "MFSLOT",
                    "table %s.%s was taken out of publication \"%s\": its changes since are lost", schema, table, name);
            mf_hint(err, "cancel and begin the migration again; leave the publication alone while it runs");
            return -1;
        }
        mf_buf_puts(out, out->len ? ", ONLY " : "ONLY ");
        pg_put_name(out, schema, table);
        put_remember(remember, pipe, "published", PQgetvalue(r, i, 0), table);
    }
    return mf_buf_ok(out) && mf_buf_ok(remember)
               ? 0
               : mf_fail(err, MF_FATAL, "MFBIG", "too many tables for one publication");
}

int pg_publish(PGconn *c, const char *name, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
               bool slot_made, struct mf_error *err)
{
    char exists[8];
    MF_CLEANUP_BUF struct mf_buf list = {.max = 64u << 20}, remember = {.max = 64u << 20}, sql = {.max = 128u << 20};
    mf_buf_puts(&sql, "SELECT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = ");
    pg_put_literal(&sql, name);
    mf_buf_puts(&sql, ")");
    if (pg_query_text(c, exists, sizeof exists, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    if (exists[0] != 't' && slot_made) {
        mf_fail(err, MF_FATAL, "MFSLOT",
                "publication \"%s\" was dropped while the stream needs it: changes since are lost", name);
        mf_hint(err, "cancel and begin the migration again");
        return -1;
    }
    if (missing_tables(c, name, pipe, tables, &list, &remember, err) < 0) {
        return -1;
    }
    if (list.len == 0) {
        return 0;
    }
    mf_buf_reset(&sql);
    mf_buf_puts(&sql, "BEGIN; ");
    mf_buf_append(&sql, remember.data, remember.len);
    if (exists[0] == 't') {
        /* A transaction that wrote to the table before it was published would make a walsender take it for unpublished for good
         * (servers before 2025's minor releases): their writers have ended when we have this lock, and others wait for a moment. */
        mf_buf_puts(&sql, "LOCK TABLE ");
        mf_buf_append(&sql, list.data, list.len);
        mf_buf_puts(&sql, " IN SHARE ROW EXCLUSIVE MODE; ");
        mf_buf_printf(&sql, "ALTER PUBLICATION \"%s\" ADD TABLE ", name);
        mf_buf_append(&sql, list.data, list.len);
    } else {
        mf_buf_printf(&sql, "CREATE PUBLICATION \"%s\" FOR TABLE ", name);
        mf_buf_append(&sql, list.data, list.len);
        mf_buf_printf(&sql, " WITH (publish = 'insert, update, delete%s')",
                      PQserverVersion(c) >= 110000 ? ", truncate" : "");
    }
    mf_buf_puts(&sql, "; COMMIT");
    if (!pg_sql(&sql, err) || MF_FAULT(err, "postgres.publish")) {
        return -1;
    }
    if (pg_exec_locking(c, mf_buf_str(&sql), "the tables to publish", err) < 0) {
        if (pg_is_sqlstate(err, "42501")) {
            mf_hint(
                err,
                "a publication needs CREATE on the database and ownership of its tables: GRANT the owning roles to %s",
                PQuser(c));
        }
        return -1;
    }
    return 0;
}

/* ---- slot ---- */

static int explain_slot_error(PGconn *c, const char *name, struct mf_error *err)
{
    if (pg_is_sqlstate(err, "57014")) {
        mf_hint(
            err,
            "creating the slot waits for every transaction open at that moment, prepared ones too: end the oldest in "
            "pg_stat_activity (order by xact_start) and pg_prepared_xacts, then run again");
    } else if (pg_is_sqlstate(err, "42501")) {
        mf_hint(err, "ALTER ROLE \"%s\" REPLICATION (on Amazon RDS: GRANT rds_replication TO \"%s\")", PQuser(c),
                PQuser(c));
    } else if (pg_is_sqlstate(err, "53400") || pg_is_sqlstate(err, "55000")) {
        mf_hint(err, "see wal_level (must be logical) and max_replication_slots; both need a restart of the server");
    }
    mf_error_prefix(err, "creating replication slot \"%s\"", name);
    return -1;
}

static int create_slot(PGconn *c, const char *name, struct mf_position *ret, struct mf_error *err)
{
    const char *const values[] = {name};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    uint64_t lsn;
    if (pg_set_timeouts(c, SLOT_WAIT_MS, 0, err) < 0) {
        return -1;
    }
    if (pg_query_params(c, &r, err, "SELECT lsn FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')", 1,
                        values) < 0) {
        return explain_slot_error(c, name, err);
    }
    if (!pg_parse_lsn(PQgetvalue(r, 0, 0), &lsn)) {
        return mf_fail(err, MF_FATAL, "MFSLOT", "slot \"%s\" was created at an unknown position", name);
    }
    pg_position(lsn, ret);
    return 0;
}

/* The slot that is there must be one of ours, whole and of this database. */
static int accept_slot(const struct pg_db *db, const char *name, const struct pg_slot *slot, struct mf_error *err)
{
    if (slot->lost) {
        return pg_slot_fail(name, slot->why, err);
    }
    if (strcmp(slot->plugin, "pgoutput") != 0 || strcmp(slot->database, db->facts.database) != 0) {
        mf_fail(err, MF_FATAL, "MFSLOT", "replication slot \"%s\" belongs to database %s with plugin %s", name,
                slot->database, slot->plugin);
        mf_hint(err,
                "another migration of this name runs on the server: choose another name, or drop the slot if nobody "
                "needs it: "
                "SELECT pg_drop_replication_slot('%s')",
                name);
        return -1;
    }
    return 0;
}

static int remember_slot(PGconn *c, const struct mf_pipe_id *pipe, const char *name, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    put_remember(&b, pipe, "slot", name, "pgoutput");
    return pg_exec(c, err, mf_buf_str(&b));
}

/* The stream has what is committed after the slot's position, and the copy what readers are shown. A commit before it that waits for a
 * synchronous standby is in neither. The server waits, when it makes the slot, for what runs at one moment, not for what begins a little later
 * and is committed before the position. So whatever is in progress now is over before the first chunk is read. */
static int await_shown(PGconn *c, struct mf_error *err)
{
    char next[32], over[8], sql[200];
    int64_t until = mf_now_us() + SLOT_WAIT_MS * MF_US_PER_MS;
    if (pg_query_text(c, next, sizeof next, err, "SELECT pg_catalog.txid_current()") < 0) {
        return -1;
    }
    snprintf(sql, sizeof sql,
             "SELECT pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot()) >= %s::pg_catalog.int8", next);
    for (;;) {
        if (pg_query_text(c, over, sizeof over, err, sql) < 0) {
            return -1;
        }
        if (over[0] == 't') {
            return 0;
        }
        if (mf_now_us() > until) {
            mf_fail(err, MF_RETRY, "MFUNSEEN",
                    "transactions that were open when the change stream began are open still");
            mf_hint(err,
                    "end the oldest in pg_stat_activity (order by xact_start) and pg_prepared_xacts; a COMMIT that "
                    "waits (wait_event SyncRep) waits for a synchronous standby");
            return -1;
        }
        mf_sleep_us(20 * MF_US_PER_MS);
    }
}

int pg_stream_prepare(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                      struct mf_position *ret_start, struct mf_error *err)
{
    struct pg_db *db = pg_db_of(base);
    struct pg_slot slot;
    struct mf_position start;
    char name[PG_SLOT_NAME];
    bool made = false;
    PG_LEASE(db, l);
    pg_pipe_name(pipe, name);
    if (pg_lease(db, &l.conn, err) < 0 || pg_slot_read(l.conn, name, &slot, err) < 0 ||
        remembered(l.conn, pipe, "slot", name, &made, err) < 0 ||
        (slot.exists && accept_slot(db, name, &slot, err) < 0)) {
        return -1;
    }
    if (made && !slot.exists) {
        return pg_slot_fail(name, "it was dropped, or lost in a failover", err);
    }
    if (pg_set_identities(l.conn, pipe, tables, err) < 0 || pg_watch_truncates(l.conn, pipe, tables, err) < 0 ||
        pg_publish(l.conn, name, pipe, tables, made, err) < 0) {
        return -1;
    }
    if (slot.exists) {
        pg_position(slot.confirmed, &start);
    } else if (create_slot(l.conn, name, &start, err) < 0) {
        return -1;
    }
    if (MF_FAULT(err, "postgres.slot_made") || remember_slot(l.conn, pipe, name, err) < 0 ||
        await_shown(l.conn, err) < 0) {
        return -1;
    }
    *ret_start = start;
    return 0;
}

int pg_stream_add_tables(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                         struct mf_error *err)
{
    char name[PG_SLOT_NAME];
    PG_LEASE(pg_db_of(base), l);
    pg_pipe_name(pipe, name);
    return pg_lease(l.db, &l.conn, err) < 0 || pg_set_identities(l.conn, pipe, tables, err) < 0 ||
                   pg_watch_truncates(l.conn, pipe, tables, err) < 0 ||
                   pg_publish(l.conn, name, pipe, tables, true, err) < 0
               ? -1
               : 0;
}
