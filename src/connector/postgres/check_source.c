/*
 * What would stop or hurt a migration away from this server: settings, room for slots, the role, the network. What its tables
 * say is in check_tables.c. Every finding has a stable code, the object, the reason, and a remedy one can paste.
 */
#include "connector/postgres/check.h"

#include "base/str.h"
#include "connector/postgres/truncate.h"

#include <stdio.h>
#include <string.h>

#define LONG_TRANSACTION_S 60

int pg_check_open(struct pg_check *k, struct pg_db *db, const struct mf_filter *filter, struct mf_findings *out)
{
    *k = (struct pg_check){.db = db, .filter = filter, .out = out, .side = db->base.side};
    return 0;
}

/* ---- settings ---- */

int pg_check_settings(struct pg_check *k, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_query(k->c, &r, err,
                 "SELECT current_setting('wal_level'), current_setting('max_replication_slots')::int - "
                 "(SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders')::int - "
                 "(SELECT count(*) FROM pg_stat_get_wal_senders()), "
                 "(SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), pg_is_in_recovery(), "
                 "(SELECT setting FROM pg_settings WHERE name = 'old_snapshot_threshold'), "
                 "EXISTS (SELECT FROM pg_settings WHERE name = 'rds.logical_replication'), "
                 "(SELECT current_setting(name) FROM pg_settings WHERE name = 'idle_replication_slot_timeout' AND "
                 "setting <> '0')") < 0) {
        return -1;
    }
    bool rds = pg_get_bool(r, 0, 6);
    if (strcmp(PQgetvalue(r, 0, 0), "logical") != 0) {
        mf_findings_add(k->out, MF_BLOCKER, k->side, "wal-level", "wal_level",
                        rds ? "set rds.logical_replication = 1 in the parameter group and restart"
                            : "ALTER SYSTEM SET wal_level = 'logical'; -- then restart the server",
                        "wal_level is %s: changes cannot be streamed", PQgetvalue(r, 0, 0));
    }
    int64_t slots = pg_get_i64(r, 0, 1), senders = pg_get_i64(r, 0, 2);
    if (slots < 2) {
        mf_findings_add(
            k->out, slots < 1 ? MF_BLOCKER : MF_WARNING, k->side, "replication-slots", "max_replication_slots",
            "ALTER SYSTEM SET max_replication_slots = 20; -- then restart, or drop a slot nobody reads",
            "%lld replication slots are free; a migration needs 2: one for its stream, one now and then for a snapshot",
            (long long)slots);
    }
    if (senders < 2) {
        mf_findings_add(
            k->out, senders < 1 ? MF_BLOCKER : MF_WARNING, k->side, "wal-senders", "max_wal_senders",
            "ALTER SYSTEM SET max_wal_senders = 20; -- then restart",
            "%lld WAL senders are free; a migration needs 2: one for its stream, one now and then for a snapshot",
            (long long)senders);
    }
    if (!PQgetisnull(r, 0, 3) && pg_get_i64(r, 0, 3) >= 0) {
        mf_findings_add(k->out, MF_WARNING, k->side, "slot-wal-keep-size", "max_slot_wal_keep_size",
                        "ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf();",
                        "slots that keep back more than %s MB of WAL are lost: a migration stopped for longer than it "
                        "takes to write "
                        "that much cannot be resumed",
                        PQgetvalue(r, 0, 3));
    }
    if (!PQgetisnull(r, 0, 7)) {
        mf_findings_add(k->out, MF_WARNING, k->side, "idle-slot-timeout", "idle_replication_slot_timeout",
                        "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();",
                        "slots that nobody has read for %s are lost: a migration stopped for longer cannot be resumed",
                        PQgetvalue(r, 0, 7));
    }
    if (pg_get_bool(r, 0, 4)) {
        mf_findings_add(k->out, MF_BLOCKER, k->side, "standby", k->db->facts.host, "give the address of the primary",
                        "the server is a standby: midflight writes its bookkeeping where the rows are written");
    }
    if (!PQgetisnull(r, 0, 5) && pg_get_i64(r, 0, 5) >= 0) {
        mf_findings_add(k->out, MF_WARNING, k->side, "old-snapshot-threshold", "old_snapshot_threshold",
                        "ALTER SYSTEM SET old_snapshot_threshold = -1; -- then restart",
                        "snapshots older than %s minutes fail: verification and the copy of tables without a key may "
                        "be stopped by it",
                        PQgetvalue(r, 0, 5));
    }
    return 0;
}

/* ---- the network ---- */

static bool verified(PGconn *c)
{
    bool ret = false;
    PQconninfoOption *all = PQconninfo(c);
    for (PQconninfoOption *o = all; o && o->keyword; o++) {
        if (strcmp(o->keyword, "sslmode") == 0 && o->val) {
            ret = mf_starts_with(o->val, "verify-");
        }
    }
    PQconninfoFree(all);
    return ret;
}

static void check_tls(struct pg_check *k)
{
    const char *host = PQhost(k->c);
    bool local = !host || host[0] == '/' || strcmp(host, "localhost") == 0 || mf_starts_with(host, "127.") ||
                 strcmp(host, "::1") == 0;
    if (local) {
        return;
    }
    if (!PQsslInUse(k->c)) {
        mf_findings_add(k->out, MF_WARNING, k->side, "tls", k->db->facts.host,
                        "add sslmode=verify-full (and sslrootcert) to the URL",
                        "rows and passwords cross the network in the clear");
    } else if (!verified(k->c)) {
        mf_findings_add(k->out, MF_WARNING, k->side, "tls-unverified", k->db->facts.host,
                        "add sslmode=verify-full (and sslrootcert) to the URL",
                        "the connection is encrypted, but nobody looks at the server's certificate: whoever can stand "
                        "in between can answer for it");
    }
}

int pg_check_connection(struct pg_check *k, struct mf_error *err)
{
    PG_CLEANUP_CONN PGconn *rep = NULL;
    struct mf_error e = {0};
    (void)err;
    if (pg_connect(k->db, "check", PG_CONN_REPLICATION, &rep, &e) < 0) {
        mf_findings_add(k->out, MF_BLOCKER, k->side, "replication-connection", k->db->facts.host,
                        e.hint[0] ? e.hint : "allow replication connections of the role in pg_hba.conf",
                        "a replication connection is refused: %s", e.text);
    }
    check_tls(k);
    if (k->db->pooler) {
        mf_findings_add(k->out, MF_WARNING, k->side, "pooler", k->db->facts.host,
                        "give the address of the server itself",
                        "a pooler answers at this address: a connection it ends or moves ends a copy or a snapshot");
    }
    return 0;
}

/* ---- the role ---- */

int pg_check_role(struct pg_check *k, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    char remedy[512];
    const struct mf_db_facts *f = &k->db->facts;
    if (pg_query(k->c, &r, err,
                 "SELECT rolsuper, rolreplication, has_database_privilege(current_database(), 'CREATE'), "
                 "EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication' AND pg_has_role(session_user, "
                 "g.oid, 'MEMBER')), "
                 "EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication'), quote_ident(session_user), "
                 "quote_ident(current_database()) FROM pg_roles WHERE rolname = session_user") < 0) {
        return -1;
    }
    const char *user = PQgetvalue(r, 0, 5);
    if (!pg_get_bool(r, 0, 0) && !pg_get_bool(r, 0, 1) && !pg_get_bool(r, 0, 3)) {
        snprintf(remedy, sizeof remedy,
                 pg_get_bool(r, 0, 4) ? "GRANT rds_replication TO %s;" : "ALTER ROLE %s REPLICATION;", user);
        mf_findings_add(k->out, MF_BLOCKER, k->side, "role-replication", f->user, remedy,
                        "role %s may not create replication slots", f->user);
    }
    if (!pg_get_bool(r, 0, 2)) {
        snprintf(remedy, sizeof remedy, "GRANT CREATE ON DATABASE %s TO %s;", PQgetvalue(r, 0, 6), user);
        mf_findings_add(k->out, MF_BLOCKER, k->side, "role-create", f->database, remedy,
                        "role %s may not create a publication and the schema midflight in database %s", f->user,
                        f->database);
    }
    return 0;
}

/* ---- what goes on ---- */

static int check_activity(struct pg_check *k, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_queryf(
            k->c, &r, err,
            "SELECT 'prepared', gid, extract(epoch FROM now() - prepared)::bigint, quote_literal(gid) FROM "
            "pg_prepared_xacts "
            "UNION ALL SELECT 'session', pid::text, extract(epoch FROM now() - xact_start)::bigint, pid::text "
            "FROM pg_stat_activity WHERE xact_start < now() - interval '%d s' AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend' AND application_name NOT LIKE 'midflight %%' ORDER BY 3 DESC LIMIT 20",
            LONG_TRANSACTION_S) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        bool prepared = strcmp(PQgetvalue(r, i, 0), "prepared") == 0;
        char object[256], remedy[512];
        snprintf(object, sizeof object, prepared ? "prepared transaction %.200s" : "server process %.200s",
                 PQgetvalue(r, i, 1));
        snprintf(remedy, sizeof remedy,
                 prepared ? "COMMIT PREPARED %.200s; -- or ROLLBACK PREPARED" : "SELECT pg_terminate_backend(%.200s);",
                 PQgetvalue(r, i, 3));
        mf_findings_add(k->out, MF_WARNING, k->side, prepared ? "prepared-transaction" : "long-transaction", object,
                        remedy, "open for %s s: creating the slot and every snapshot wait until it has ended",
                        PQgetvalue(r, i, 2));
    }
    return 0;
}

static int check_database(struct pg_check *k, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    struct mf_pipe_id id = {.direction = MF_FORWARD};
    char own[2][PG_SLOT_NAME];
    snprintf(id.migration, sizeof id.migration, "%s", k->db->migration ? k->db->migration : "");
    pg_pipe_name(&id, own[0]);
    id.direction = MF_REVERSE;
    pg_pipe_name(&id, own[1]);
    if (k->db->sql_ascii) {
        mf_findings_add(
            k->out, MF_WARNING, k->side, "encoding", k->db->facts.database,
            "make the target database with ENCODING 'SQL_ASCII' TEMPLATE template0, or convert the text first",
            "the encoding is SQL_ASCII: the server never checked what its text means, and a target in UTF8 refuses "
            "what "
            "is not");
    }
    if (pg_queryf(k->c, &r, err,
                  "SELECT (SELECT count(*) FROM pg_largeobject_metadata), "
                  "(SELECT string_agg(slot_name, ', ') FROM pg_replication_slots WHERE slot_name LIKE 'midflight\\_%%' "
                  "AND slot_name NOT IN ('%s', '%s') AND database = current_database())",
                  own[0], own[1]) < 0) {
        return -1;
    }
    if (pg_get_i64(r, 0, 0) > 0) {
        mf_findings_add(
            k->out, MF_WARNING, k->side, "large-objects", "pg_largeobject",
            "keep them in bytea columns, or copy them with lo_export and lo_import while writes are held",
            "%s large objects: PostgreSQL does not stream changes of large objects, so they are not migrated",
            PQgetvalue(r, 0, 0));
    }
    if (!PQgetisnull(r, 0, 1)) {
        mf_findings_add(k->out, MF_NOTE, k->side, "earlier-slots", PQgetvalue(r, 0, 1),
                        "`midflight cancel` of that migration, or SELECT pg_drop_replication_slot('NAME');",
                        "slots of a migration that was begun before keep back WAL");
    }
    return 0;
}

int pg_check_source(struct mf_db *base, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err)
{
    struct pg_check k;
    PG_LEASE(pg_db_of(base), l);
    pg_check_open(&k, l.db, filter, out);
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_set_timeouts(l.conn, l.db->statement_timeout_ms, PG_CATALOG_LOCK_MS, err) < 0) {
        return -1;
    }
    k.c = l.conn;
    if (l.db->version < 130000) {
        mf_findings_add(out, MF_NOTE, k.side, "old-version", l.db->facts.host, "rehearse the migration on a copy first",
                        "PostgreSQL %s is supported, but our tests run against 13 and later, and only a few against 10",
                        l.db->facts.version);
    }
    if (pg_truncates_unseen(k.c)) {
        mf_findings_add(out, MF_NOTE, k.side, "truncate", l.db->facts.host, "nothing; they go when the migration ends",
                        "this server does not stream TRUNCATE: midflight puts two statement triggers on every table "
                        "that migrates, which tell of it");
    }
    static int (*const checks[])(struct pg_check *, struct mf_error *) = {
        pg_check_settings, pg_check_connection, pg_check_role,   pg_check_replica_role,
        check_activity,    check_database,      pg_check_tables, pg_check_others,
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(checks); i++) {
        if (pg_check_refused(&k, checks[i](&k, err), err) < 0) {
            return -1;
        }
    }
    return 0;
}
