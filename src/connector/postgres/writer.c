/*
 * Sessions that write what the other side has: triggers and foreign keys have fired there and must not fire again.
 *
 * session_replication_role = replica does that, and is not everybody's to set: a superuser may, a managed service's master
 * where the service lets it, and from 15 on whoever it was granted to. For the rest there is one way: a function of a
 * superuser's, SECURITY DEFINER, that sets it for whoever may execute it. It stands in our schema, so it goes with it.
 */
#include "connector/postgres/check.h"

#include "connector/postgres/apply.h"

#include <stdio.h>
#include <string.h>

#define REPLICA_ROLE "midflight.replica_role()"

/* In the transaction of the caller, or for the session outside of one. */
static int be_quiet(PGconn *c, bool *ret_refused, struct mf_error *err)
{
    bool in_transaction = PQtransactionStatus(c) == PQTRANS_INTRANS;
    *ret_refused = false;
    if (pg_exec(c, err, "SET session_replication_role = replica") == 0) {
        return 0;
    }
    if (!pg_is_sqlstate(err, "42501")) {
        return -1;
    }
    char has[8] = "";
    struct mf_error denied = {0};
    if (in_transaction && pg_exec(c, err, "ROLLBACK; BEGIN") < 0) {
        return -1;
    }
    if (pg_query_text(c, has, sizeof has, &denied,
                      "SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
                      " WHERE n.nspname = 'midflight' AND p.proname = 'replica_role' AND p.pronargs = 0"
                      " AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
                      " AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')") == 0 &&
        pg_exec(c, &denied, "SELECT " REPLICA_ROLE) == 0) {
        return 0;
    }
    if (PQstatus(c) != CONNECTION_OK) {
        *err = denied;
        return -1;
    }
    *ret_refused = true;
    return -1;
}

static void remedy_for(const struct pg_db *db, char *out, size_t n)
{
    const char *user = db->facts.user;
    if (db->version >= 150000) {
        snprintf(out, n, "GRANT SET ON PARAMETER session_replication_role TO \"%s\";", user);
        return;
    }
    snprintf(out, n,
             "CREATE SCHEMA IF NOT EXISTS midflight AUTHORIZATION \"%s\"; CREATE FUNCTION " REPLICA_ROLE
             " RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$ SELECT "
             "set_config('session_replication_role', 'replica', false) $$; REVOKE ALL ON FUNCTION " REPLICA_ROLE
             " FROM PUBLIC; GRANT EXECUTE ON FUNCTION " REPLICA_ROLE
             " TO \"%s\"; -- as a superuser; on Amazon RDS instead: GRANT rds_superuser TO \"%s\";",
             user, user, user);
}

int pg_writer_session(struct pg_db *db, PGconn *c, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    bool refused = false;
    if (be_quiet(c, &refused, err) < 0) {
        if (refused) {
            mf_fail(err, MF_FATAL, "MFROLE",
                    "role \"%s\" may not set session_replication_role on %s: triggers and foreign keys there would "
                    "fire a second time",
                    db->facts.user, db->facts.host);
            mf_hint(err,
                    db->version >= 150000
                        ? "GRANT SET ON PARAMETER session_replication_role TO \"%s\""
                        : "midflight check gives the statements with which a superuser lets \"%s\" do it",
                    db->facts.user);
        }
        return -1;
    }
    /* What is told as committed must stay committed: chunks and positions are noted on our side by it. */
    return pg_execf(c, err,
                    "SELECT pg_catalog.set_config('midflight.writer', '%s', false),"
                    " CASE WHEN pg_catalog.current_setting('synchronous_commit') = 'off'"
                    " THEN pg_catalog.set_config('synchronous_commit', 'on', false) END",
                    pipe->migration);
}

int pg_check_replica_role(struct pg_check *k, struct mf_error *err)
{
    struct mf_error e = {0};
    char remedy[900];
    bool refused = false;
    if (pg_exec(k->c, err, "BEGIN") < 0) {
        return -1;
    }
    int rc = be_quiet(k->c, &refused, &e);
    if (pg_exec(k->c, err, "ROLLBACK") < 0) {
        return -1;
    }
    if (rc < 0 && !refused) {
        *err = e;
        return -1;
    }
    if (refused) {
        remedy_for(k->db, remedy, sizeof remedy);
        mf_findings_add(k->out, MF_BLOCKER, k->side, "session-replication-role", k->db->facts.user, remedy,
                        "role %s may not set session_replication_role: triggers and foreign keys would fire a second "
                        "time%s",
                        k->db->facts.user, k->side == MF_SOURCE ? " for what the stream back brings" : "");
    }
    return 0;
}
