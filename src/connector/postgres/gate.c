/*
 * The gate: who may write, enforced inside the database. docs/internals/gate.md has the argument.
 *
 * Every migrated table, and every table above it by inheritance or partitioning, has a BEFORE STATEMENT trigger. It takes one
 * advisory lock shared, until the transaction ends, and then reads the epoch. The order matters: the lock first, so that a writer
 * who waited through a decision reads what was decided.
 *
 *  - READ COMMITTED: each statement of the function has its own snapshot, and sees the decision.
 *  - REPEATABLE READ and SERIALIZABLE: the snapshot may be older than the decision. There the row is read FOR SHARE: the server
 *    refuses (40001) a row that was changed since the snapshot. A row that is not seen at all was made after the snapshot: refused too.
 *
 * ENABLE ALWAYS: session_replication_role = replica does not get past it. Our own sessions say who they are in midflight.writer.
 */
#include "connector/postgres/gate.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/str.h"
#include "connector/postgres/book.h"
#include "connector/postgres/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_FIRST_US (20 * MF_US_PER_MS)
#define PAUSE_MOST_US  (500 * MF_US_PER_MS)
#define VACUUM_MS      300   /* beyond deadlock_timeout */
#define LIST_MAX       65536 /* bytes of virtual transactions remembered */

static void put_function(struct mf_buf *b, const struct mf_pipe_id *pipe, const char *side)
{
    mf_buf_printf(b,
                  "CREATE OR REPLACE FUNCTION midflight.\"gate_%s\"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
                  " SET search_path = pg_catalog AS $gate$\n"
                  "DECLARE may boolean;\n"
                  "BEGIN\n"
                  "  IF current_setting('midflight.writer', true) = '%s' THEN RETURN NULL; END IF;\n"
                  "  PERFORM pg_advisory_xact_lock_shared(%lld);\n"
                  "  IF current_setting('transaction_isolation') = 'read committed' THEN\n"
                  "    SELECT e.open INTO may FROM midflight.epoch e WHERE e.migration = '%s';\n"
                  "    may := coalesce(may, true);\n"
                  "  ELSE\n"
                  "    SELECT e.open INTO may FROM midflight.epoch e WHERE e.migration = '%s' FOR SHARE;\n"
                  "    IF may IS NULL THEN\n"
                  "      RAISE EXCEPTION 'midflight: this transaction is older than the gate; run it again'\n"
                  "        USING ERRCODE = '40001';\n"
                  "    END IF;\n"
                  "  END IF;\n"
                  "  IF NOT may THEN\n"
                  "    RAISE EXCEPTION 'midflight: writes to this database are closed (migration %s)'\n"
                  "      USING ERRCODE = '25006',\n"
                  "      DETAIL = 'This is the %s of a migration, and the other database takes the writes now.',\n"
                  "      HINT = 'Connect to the other database, or wait if writes are frozen.';\n"
                  "  END IF;\n"
                  "  RETURN NULL;\n"
                  "END $gate$;\n"
                  "REVOKE ALL ON FUNCTION midflight.\"gate_%s\"() FROM PUBLIC",
                  pipe->migration, pipe->migration, (long long)pg_gate_key(pipe), pipe->migration, pipe->migration,
                  pipe->migration, side, pipe->migration);
}

int64_t pg_gate_key(const struct mf_pipe_id *pipe)
{
    return pg_lock_key("gate", pipe, false);
}

/* ---- one table ---- */

/* Who stands in the way of a table's lock. An autovacuum is asked by the server to give way when somebody has waited for deadlock_timeout (the lock is
 * waited for that long then), and is never counted as old. Another transaction is old when it has been at it for lock_ms: by its own clock, or, where the server hides that
 * from us (other roles' sessions), because we have met it before, that long ago. Prepared ones have no session and are old always. */
struct blockers {
    struct mf_buf names, met, aged; /* virtual transactions as a list: those met at met_us, and those known to be old */
    int64_t met_us;                 /* 0: nobody yet */
    int old, vacuums;
};

/* exclusive: the lock we want lets nobody else in (DROP TRIGGER); else readers may stay (CREATE TRIGGER). end: the old ones are ended. */
static int look(PGconn *c, const char *oid, bool exclusive, bool end, const struct mf_gate_options *o,
                struct blockers *b, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    MF_CLEANUP_BUF struct mf_buf known = {.max = 2 * LIST_MAX};
    int64_t now = mf_now_us();
    bool long_ago = b->met_us && now - b->met_us >= o->lock_ms * MF_US_PER_MS;
    mf_buf_printf(&known, "ARRAY[%s%s NULL]::text[]", mf_buf_str(&b->aged), long_ago ? mf_buf_str(&b->met) : "");
    if (pg_queryf(c, &r, err,
                  "SELECT b.pid, coalesce(a.usename, '?'), coalesce(a.application_name, ''),"
                  " coalesce(extract(epoch FROM clock_timestamp() - a.xact_start)::bigint, 0), b.vxid, o.old,"
                  " a.backend_type IS NOT DISTINCT FROM 'autovacuum worker'%s"
                  " FROM (SELECT DISTINCT l.pid, l.virtualtransaction AS vxid FROM pg_catalog.pg_locks l"
                  "  WHERE l.locktype = 'relation' AND l.relation = %s AND l.granted"
                  "  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
                  "  %s AND l.pid IS DISTINCT FROM pg_backend_pid()) b"
                  " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid"
                  " CROSS JOIN LATERAL (SELECT a.backend_type IS DISTINCT FROM 'autovacuum worker' AND (b.pid IS NULL"
                  "  OR coalesce(b.vxid = ANY (%s), false)"
                  "  OR coalesce(clock_timestamp() - a.xact_start > interval '%d ms', false)) AS old) o"
                  " ORDER BY o.old DESC",
                  end ? ", CASE WHEN b.pid IS NOT NULL AND o.old THEN pg_terminate_backend(b.pid) END" : "", oid,
                  exclusive ? "" : "AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')", mf_buf_str(&known),
                  o->lock_ms) < 0) {
        return -1;
    }
    bool anew = !b->met_us || long_ago;
    mf_buf_reset(&b->names);
    mf_buf_reset(&b->aged);
    b->old = b->vacuums = 0;
    if (anew) {
        mf_buf_reset(&b->met);
        b->met_us = now;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        const char *pid = pg_get(r, i, 0);
        b->old += pg_get_bool(r, i, 5);
        b->vacuums += pg_get_bool(r, i, 6);
        if (i < 20) {
            mf_buf_printf(&b->names, "%s%s%s (%s, %s, open for %s s)", i ? ", " : "",
                          pid ? "pid " : "a prepared transaction", pid ? pid : "", PQgetvalue(r, i, 1),
                          PQgetvalue(r, i, 2), PQgetvalue(r, i, 3));
        }
        if (anew && b->met.len < LIST_MAX - 100) {
            mf_buf_printf(&b->met, "'%s',", PQgetvalue(r, i, 4));
        }
        if (pg_get_bool(r, i, 5) && b->aged.len < LIST_MAX - 100) {
            mf_buf_printf(&b->aged, "'%s',", PQgetvalue(r, i, 4));
        }
    }
    return 0;
}

/* Rolled back, and only told from other failures: somebody was in the way. */
static bool busy(PGconn *c, const struct mf_error *e)
{
    if (PQstatus(c) == CONNECTION_OK && PQtransactionStatus(c) != PQTRANS_IDLE) {
        pg_exec(c, NULL, "ROLLBACK");
    }
    return pg_is_sqlstate(e, "55P03") || pg_is_sqlstate(e, "40P01");
}

static int give_up(const char *table, const struct mf_gate_options *o, const struct blockers *b, struct mf_error *err)
{
    if (o->stop && o->stop(o->stop_ctx)) {
        return mf_fail(err, MF_ABANDONED, "MFSTOPPED", "stopped while the lock of table %s was waited for", table);
    }
    mf_fail(err, MF_ABANDONED, "MFLOCK", "table %s is held by others and its lock was not to be had%s%s", table,
            b->names.len ? ": " : "", mf_buf_str(&b->names));
    mf_hint(err,
            "end those transactions or wait for them; cutover.long_transactions: end does it for you, and a longer "
            "cutover.lock waits for older ones");
    return -1;
}

static void blockers_free(struct blockers *b)
{
    mf_buf_free(&b->names);
    mf_buf_free(&b->met);
    mf_buf_free(&b->aged);
}

/* How long to queue for the lock. An autovacuum gives way to who has waited for deadlock_timeout, and to nobody before. */
static int be_patient(PGconn *c, const struct blockers *b, const struct mf_gate_options *o, struct mf_error *err)
{
    char text[32] = "0";
    if (b->vacuums && pg_query_text(c, text, sizeof text, err,
                                    "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'") < 0) {
        return -1;
    }
    int vacuum_ms = b->vacuums ? (int)strtol(text, NULL, 10) + VACUUM_MS : 0;
    return pg_set_timeouts(c, 0, vacuum_ms > o->lock_ms ? vacuum_ms : o->lock_ms, err);
}

/* One statement under the table's lock, again and again within the bound. Everybody else queues behind a waiting lock, so it is not asked for while an
 * old transaction stands in the way, and for lock_ms at most when it seems to be free. */
static int with_lock(PGconn *c, const char *sql, const char *table, const char *oid, const struct mf_gate_options *o,
                     int64_t until, struct mf_error *err)
{
    bool exclusive = mf_starts_with(sql, "DROP TRIGGER");
    MF_CLEANUP(blockers_free) struct blockers b = {.names.max = 4096, .met.max = LIST_MAX, .aged.max = LIST_MAX};
    int64_t pause = PAUSE_FIRST_US;
    for (;;) {
        bool end = o->long_transactions == MF_LONG_END && b.met_us &&
                   mf_now_us() - b.met_us >= o->lock_ms * MF_US_PER_MS; /* they have had their time */
        if (look(c, oid, exclusive, end, o, &b, err) < 0 || be_patient(c, &b, o, err) < 0) {
            return -1;
        }
        struct mf_error e = {0};
        if (b.old == 0 && pg_exec(c, &e, sql) == 0) {
            return 0;
        }
        if (b.old == 0 && !busy(c, &e)) {
            *err = e;
            mf_error_prefix(err, "table %s", table);
            return -1;
        }
        if (mf_now_us() + pause > until || o->long_transactions == MF_LONG_ABANDON ||
            (o->stop && o->stop(o->stop_ctx))) {
            return give_up(table, o, &b, err);
        }
        mf_sleep_us(pause);
        pause = pause * 2 > PAUSE_MOST_US ? PAUSE_MOST_US : pause * 2;
    }
}

/* The tables given and all above them: oid, quoted name, and whether the gate stands there. */
static int to_gate(PGconn *c, const struct mf_pipe_id *pipe, const struct mf_catalog *tables, PGresult **ret,
                   struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    mf_buf_puts(&b, "WITH RECURSIVE up(oid) AS (SELECT unnest(ARRAY[");
    for (size_t i = 0; i < tables->n; i++) {
        mf_buf_printf(&b, "%s%u", i ? "," : "", tables->tables[i].id);
    }
    mf_buf_printf(&b,
                  "]::oid[]) UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN up ON i.inhrelid = up.oid)"
                  " SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname),"
                  " EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid"
                  " AND t.tgname = 'midflight_gate_%s' AND t.tgenabled = 'A'),"
                  " quote_ident(pg_catalog.pg_get_userbyid(c.relowner))"
                  " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                  " WHERE c.relkind IN ('r', 'p') AND c.oid IN (SELECT oid FROM up) ORDER BY c.oid",
                  pipe->migration);
    const char *sql = pg_sql(&b, err);
    return sql ? pg_query(c, ret, err, sql) : -1;
}

/* Every trigger of ours, whatever state or name it has been given since: oid, quoted name of the table, trigger's name. */
static int standing(PGconn *c, const struct mf_pipe_id *pipe, PGresult **ret, struct mf_error *err)
{
    return pg_queryf(c, ret, err,
                     "SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname), quote_ident(t.tgname)"
                     " FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid"
                     " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                     " WHERE t.tgname = 'midflight_gate_%s'"
                     " OR t.tgfoid = pg_catalog.to_regprocedure('midflight.\"gate_%s\"()') ORDER BY c.oid",
                     pipe->migration, pipe->migration);
}

static int open_session(struct pg_db *db, const struct mf_gate_options *o, PGconn **ret, struct mf_error *err)
{
    MF_CLEANUP(pg_conn_finish_p) PGconn *c = NULL;
    if (pg_connect(db, "gate", pg_local(db), &c, err) < 0 || pg_hasten_vacuum(c, err) < 0 ||
        pg_set_timeouts(c, 0, o->lock_ms, err) < 0) {
        return -1;
    }
    *ret = c;
    c = NULL;
    return 0;
}

/* The function and the epoch row stand before the first trigger: from its first statement on the gate knows what is true. */
static int prepare_gate(PGconn *c, const struct mf_pipe_id *pipe, enum mf_side side, bool open, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    mf_buf_puts(&b, "BEGIN;\n");
    put_function(&b, pipe, side == MF_SOURCE ? "source" : "target");
    mf_buf_puts(&b, ";\nINSERT INTO midflight.epoch (migration, epoch, writer, open) VALUES (");
    pg_put_literal(&b, pipe->migration);
    mf_buf_printf(&b, ", 0, 'source', %s) ON CONFLICT DO NOTHING;\nCOMMIT", open ? "true" : "false");
    if (pg_exec(c, err, mf_buf_str(&b)) < 0) {
        pg_exec(c, NULL, "ROLLBACK");
        return -1;
    }
    return 0;
}

/* What hold looks for when writers wait: a gate that is gone by then is missed. */
static int remember(PGconn *c, const struct mf_pipe_id *pipe, const PGresult *tables, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    mf_buf_puts(&b, "INSERT INTO midflight.settings (migration, kind, object, value) SELECT ");
    pg_put_literal(&b, pipe->migration);
    mf_buf_puts(&b, ", 'gate', g::text, '' FROM unnest(ARRAY[");
    for (int i = 0; i < PQntuples(tables); i++) {
        mf_buf_printf(&b, "%s%s", i ? "," : "", PQgetvalue(tables, i, 0));
    }
    mf_buf_puts(&b, "]::oid[]) g ON CONFLICT DO NOTHING");
    const char *sql = pg_sql(&b, err);
    return sql ? pg_exec(c, err, sql) : -1;
}

static int install(PGconn *c, const struct mf_pipe_id *pipe, const PGresult *r, int row,
                   const struct mf_gate_options *o, int64_t until, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    const char *table = PQgetvalue(r, row, 1);
    mf_buf_printf(&b,
                  "BEGIN; DROP TRIGGER IF EXISTS \"midflight_gate_%s\" ON %s;"
                  " CREATE TRIGGER \"midflight_gate_%s\" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s"
                  " FOR EACH STATEMENT EXECUTE PROCEDURE midflight.\"gate_%s\"();"
                  " ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER \"midflight_gate_%s\"; COMMIT",
                  pipe->migration, table, pipe->migration, table, pipe->migration, table, pipe->migration);
    if (with_lock(c, mf_buf_str(&b), table, PQgetvalue(r, row, 0), o, until, err) < 0) {
        if (pg_is_sqlstate(err, "42501") && !err->hint[0]) {
            mf_hint(err, "only its owner may: GRANT %s TO \"%s\"", PQgetvalue(r, row, 3), PQuser(c));
        }
        return -1;
    }
    return 0;
}

int pg_gate_install(struct mf_db *mdb, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                    const struct mf_gate_options *o, struct mf_error *err)
{
    PG_CLEANUP_CONN PGconn *c = NULL;
    PG_CLEANUP_RESULT PGresult *r = NULL, *subscriptions = NULL;
    int64_t until = mf_now_us() + o->total_ms * MF_US_PER_MS;
    if (open_session(pg_db_of(mdb), o, &c, err) < 0 || pg_subscriptions(c, tables, &subscriptions, err) < 0) {
        return -1;
    }
    if (PQntuples(subscriptions) > 0) {
        return pg_fail_subscription(subscriptions, err);
    }
    if (prepare_gate(c, pipe, mdb->side, o->open, err) < 0 || to_gate(c, pipe, tables, &r, err) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        if (!pg_get_bool(r, i, 2) && install(c, pipe, r, i, o, until, err) < 0) {
            return -1;
        }
    }
    return remember(c, pipe, r, err);
}

int pg_gate_remove(struct mf_db *mdb, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                   struct mf_error *err)
{
    PG_CLEANUP_CONN PGconn *c = NULL;
    PG_CLEANUP_RESULT PGresult *r = NULL;
    int64_t until = mf_now_us() + o->total_ms * MF_US_PER_MS;
    if (open_session(pg_db_of(mdb), o, &c, err) < 0 || standing(c, pipe, &r, err) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
        const char *table = PQgetvalue(r, i, 1);
        mf_buf_printf(&b, "DROP TRIGGER IF EXISTS %s ON %s", PQgetvalue(r, i, 2), table);
        if (with_lock(c, mf_buf_str(&b), table, PQgetvalue(r, i, 0), o, until, err) < 0 &&
            !pg_is_sqlstate(err, "42P01")) {
            return -1;
        }
    }
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    mf_buf_printf(&b,
                  "DROP FUNCTION IF EXISTS midflight.\"gate_%s\"();"
                  " DELETE FROM midflight.settings WHERE migration = '%s' AND kind = 'gate'",
                  pipe->migration, pipe->migration);
    if (pg_exec(c, err, mf_buf_str(&b)) < 0 && !pg_is_sqlstate(err, "3F000") && !pg_is_sqlstate(err, "42P01")) {
        return -1;
    }
    return 0;
}
