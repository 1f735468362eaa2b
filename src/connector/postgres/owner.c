/*
 * Whose a migration is, and the right to run it.
 *
 * The owner is a row of midflight.settings: a state directory's token, and where that directory is, for the message. It keeps a
 * second state directory, which knows nothing of what was copied and acknowledged, from taking the migration over. The
 * run lock is a session's advisory lock: two processes with one state directory's token (a copy of it) exclude each other
 * by it, and the server lets go of it when the process dies.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/book.h"
#include "connector/postgres/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_US (200 * MF_US_PER_MS)

static int claim_row(PGconn *c, const struct mf_pipe_id *pipe, const char *claim, struct mf_error *err)
{
    const char *const values[] = {pipe->migration, claim};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    return pg_query_params(
        c, &r, err,
        "INSERT INTO midflight.settings (migration, kind, object, value) VALUES ($1, 'owner', 'state',"
        " $2) ON CONFLICT (migration, kind, object) DO UPDATE SET value = EXCLUDED.value"
        " WHERE pg_catalog.split_part(settings.value, ' ', 1)"
        " = pg_catalog.split_part(EXCLUDED.value, ' ', 1)",
        2, values);
}

int pg_owner(struct mf_db *mdb, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
             struct mf_error *err)
{
    PG_LEASE(pg_db_of(mdb), l);
    PG_CLEANUP_RESULT PGresult *r = NULL;
    const char *const values[] = {pipe->migration};
    bool exists = false;
    if (pg_lease(l.db, &l.conn, err) < 0 || pg_book_exists(l.conn, &exists, err) < 0 ||
        (claim && claim_row(l.conn, pipe, claim, err) < 0)) {
        return -1;
    }
    if (exists && pg_query_params(l.conn, &r, err,
                                  "SELECT value FROM midflight.settings WHERE (migration, kind, object)"
                                  " = ($1, 'owner', 'state')",
                                  1, values) < 0) {
        return -1;
    }
    mf_strlcpy(ret, r && PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "", n);
    return 0;
}

/* ---- the lock ---- */

struct pg_run_lock {
    struct mf_run_lock base;
    PGconn *conn;
};

/* Who has it, for the message; "" when that cannot be seen. */
static void holder(PGconn *c, int64_t key, char *out, size_t n)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    struct mf_error ignored = {0};
    out[0] = '\0';
    if (pg_queryf(
            c, &r, &ignored,
            "SELECT l.pid, coalesce(a.client_addr::text, 'the server itself'), coalesce(a.backend_start::text, '?')"
            " FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = %" PRId64
            "::oid AND l.objid = %" PRId64 "::oid AND l.database = (SELECT oid FROM pg_catalog.pg_database"
            " WHERE datname = current_database())",
            key >> 32, key & INT64_C(0xffffffff)) == 0 &&
        PQntuples(r) > 0) {
        snprintf(out, n, " (server process %s, connected from %s since %s)", PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1),
                 PQgetvalue(r, 0, 2));
    }
}

int pg_run_lock(struct mf_db *mdb, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                struct mf_error *err)
{
    struct pg_db *db = pg_db_of(mdb);
    PG_CLEANUP_CONN PGconn *c = NULL;
    char taken[8], sql[80];
    int64_t key = pg_lock_key("run", pipe, false), until = mf_now_us() + wait_ms * MF_US_PER_MS;
    snprintf(sql, sizeof sql, "SELECT pg_catalog.pg_try_advisory_lock(%" PRId64 ")", key);
    if (pg_connect(db, "run", 0, &c, err) < 0) {
        return -1;
    }
    for (;;) {
        if (pg_query_text(c, taken, sizeof taken, err, sql) < 0) {
            return -1;
        }
        if (taken[0] == 't') {
            break;
        }
        if (mf_now_us() >= until) {
            char who[200];
            holder(c, key, who, sizeof who);
            mf_fail(err, MF_FATAL, "MFTWICE", "another midflight runs this migration (%s) into database %s on %s%s",
                    pipe->migration, db->facts.database, db->facts.host, who);
            mf_hint(err,
                    "one run at a time: use the commands of that one, or stop it first; a session left by one that was "
                    "killed ends by itself");
            return -1;
        }
        mf_sleep_us(RETRY_US);
    }
    struct pg_run_lock *l = mf_xcalloc(1, sizeof *l);
    l->base.db = mdb;
    l->conn = MF_STEAL(c);
    *ret = &l->base;
    return 0;
}

int pg_run_lock_check(struct mf_run_lock *base, struct mf_error *err)
{
    PGconn *c = ((struct pg_run_lock *)base)->conn;
    /* A session that ended has its end-of-file waiting; a network that is dead is noticed by the keepalives. */
    if (PQconsumeInput(c) && PQstatus(c) == CONNECTION_OK) {
        return 0;
    }
    pg_fail_conn(c, err);
    err->cls = MF_RETRY;
    return -1;
}

void pg_run_lock_release(struct mf_run_lock *base)
{
    struct pg_run_lock *l = (struct pg_run_lock *)base;
    if (l) {
        PQfinish(l->conn);
        free(l);
    }
}

/* ---- whom we wait for ---- */

int pg_waits_for(struct mf_db *mdb, char *ret, size_t n, struct mf_error *err)
{
    PG_LEASE(pg_db_of(mdb), l);
    PG_CLEANUP_RESULT PGresult *r = NULL;
    size_t used = 0;
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_query(
            l.conn, &r, err,
            "SELECT DISTINCT b.pid, coalesce(a.usename, '?'), coalesce(a.application_name, ''),"
            " coalesce(extract(epoch FROM clock_timestamp() - a.xact_start)::bigint, 0)"
            " FROM pg_catalog.pg_stat_activity w CROSS JOIN LATERAL unnest(pg_catalog.pg_blocking_pids(w.pid)) b(pid)"
            " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid"
            " WHERE w.datname = current_database() AND w.application_name LIKE 'midflight %'"
            " AND w.wait_event_type = 'Lock' AND coalesce(a.application_name, '') NOT LIKE 'midflight %'"
            " ORDER BY b.pid LIMIT 10") < 0) {
        return -1;
    }
    mf_strlcpy(ret, "", n);
    for (int i = 0; i < PQntuples(r) && used < n; i++) {
        const char *pid = PQgetvalue(r, i, 0);
        bool prepared = mf_streq(pid, "0");
        used += (size_t)snprintf(ret + used, n - used, "%s%s%s", i ? ", " : "",
                                 prepared ? "a prepared transaction (see pg_prepared_xacts)" : "process ",
                                 prepared ? "" : pid);
        if (!prepared && used < n) {
            used += (size_t)snprintf(ret + used, n - used, " of role %s (%s), in a transaction for %s s",
                                     PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3));
        }
    }
    return 0;
}
