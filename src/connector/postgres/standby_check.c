/* See standby.h: what stands in the way of dual writes from this server, or makes them worth nothing; and what could undo a commit on a target. */
#include "connector/postgres/check.h"
#include "connector/postgres/standby.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

struct asked {
    struct pg_check k;
    struct pg_standby_setting s;
    char name[PG_STANDBY_NAME];
    bool connected; /* our stream is */
};

static void asked_free_p(struct asked *a)
{
    pg_standby_setting_free_p(&a->s);
}

static int our_stream(struct asked *a, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    char slot[PG_SLOT_NAME];
    const char *const values[] = {slot};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    pg_pipe_name(pipe, slot);
    if (pg_query_params(a->k.c, &r, err,
                        "SELECT 1 FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND active", 1,
                        values) < 0) {
        return -1;
    }
    a->connected = PQntuples(r) > 0;
    return 0;
}

static void check_names(struct asked *a)
{
    struct pg_check *k = &a->k;
    char with[400], without[400];
    const char *object = "synchronous_standby_names";
    pg_standby_statement(&a->s, a->name, true, with, sizeof with);
    pg_standby_statement(&a->s, a->name, false, without, sizeof without);
    bool named = a->s.parsed && pg_standby_names_priority(&a->s.names, a->name) > 0;
    if (!a->s.parsed || (named ? pg_standby_names_others(&a->s.names, a->name) >= a->s.names.num
                               : !pg_standby_names_all(&a->s.names))) {
        mf_findings_add(k->out, MF_BLOCKER, k->side, "standby-names", object,
                        "name the standbys one by one and let the server wait for all of them: FIRST 2 (a, b)",
                        "it is '%s': a commit that others have answered would not wait for the target", a->s.text);
        return;
    }
    if (named && !a->connected) {
        mf_findings_add(k->out, MF_WARNING, k->side, "standby-absent", object, without,
                        "it names midflight, which is not connected: every COMMIT on this server waits, until "
                        "`midflight run` answers");
    }
    if (!named && !a->s.may) {
        mf_findings_add(
            k->out, MF_WARNING, k->side, "standby-rights", object, with,
            "role %s may not put midflight into it: whoever may does so while midflight runs and is synced, "
            "and takes it out again before midflight is stopped (%s)%s",
            k->db->facts.user, without,
            k->db->version >= 150000 ? ". Or: GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names, "
                                       "and EXECUTE ON FUNCTION pg_reload_conf()"
                                     : "");
    }
    mf_findings_add(
        k->out, MF_WARNING, k->side, "standby-no-timeout", object,
        "let a supervisor start midflight again at once (systemd: Restart=always)",
        "PostgreSQL waits for a standby without a limit, in every database of the server: when midflight is "
        "killed, each COMMIT waits until it runs again, or until: %s",
        without);
}

/* Commits that ask for less than a standby's word. */
static int check_commits(struct asked *a, struct mf_error *err)
{
    struct pg_check *k = &a->k;
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_query(
            k->c, &r, err,
            "SELECT CASE WHEN s.setdatabase = 0 THEN '' ELSE 'database ' || pg_catalog.quote_ident(d.datname) END"
            " || CASE WHEN s.setrole <> 0 AND s.setdatabase <> 0 THEN ', ' ELSE '' END"
            " || CASE WHEN s.setrole = 0 THEN '' ELSE 'role ' || pg_catalog.quote_ident(r.rolname) END,"
            " c.v, s.setrole = 0,"
            " CASE WHEN s.setrole = 0 THEN pg_catalog.format('ALTER DATABASE %I RESET synchronous_commit;', d.datname)"
            " WHEN s.setdatabase = 0 THEN pg_catalog.format('ALTER ROLE %I RESET synchronous_commit;', r.rolname)"
            " ELSE pg_catalog.format('ALTER ROLE %I IN DATABASE %I RESET synchronous_commit;', r.rolname, d.datname)"
            " END FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase"
            " LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole"
            " CROSS JOIN LATERAL unnest(s.setconfig) c(v)"
            " WHERE (s.setdatabase = 0 OR d.datname = pg_catalog.current_database())"
            " AND c.v ~ '^synchronous_commit=(off|local|false|no|0)$'"
            " UNION ALL SELECT 'synchronous_commit', 'synchronous_commit=' || reset_val, true,"
            " 'ALTER SYSTEM SET synchronous_commit = ''on''; SELECT pg_reload_conf();' FROM pg_catalog.pg_settings"
            " WHERE name = 'synchronous_commit' AND reset_val IN ('off', 'local')"
            " AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c(v)"
            " WHERE c.v LIKE 'synchronous_commit=%' AND (s.setrole = 0 OR s.setrole = (SELECT oid FROM"
            " pg_catalog.pg_roles WHERE rolname = session_user)) AND s.setdatabase IN (0, (SELECT oid FROM"
            " pg_catalog.pg_database WHERE datname = pg_catalog.current_database())))") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        mf_findings_add(k->out, MF_WARNING, k->side, "synchronous-commit", PQgetvalue(r, i, 0), PQgetvalue(r, i, 3),
                        "%s: %s do not wait for the target, but in transactions that ask for it (SET LOCAL "
                        "synchronous_commit = remote_apply)",
                        PQgetvalue(r, i, 1), pg_get_bool(r, i, 2) ? "commits" : "this role's commits");
    }
    return 0;
}

/* What our walsender was sent is on the source's disk, if that is what fsync says. */
static int check_log_safe(struct asked *a, struct mf_error *err)
{
    char off[8];
    if (pg_query_text(a->k.c, off, sizeof off, err, "SELECT pg_catalog.current_setting('fsync')") < 0) {
        return -1;
    }
    if (mf_streq(off, "off")) {
        mf_findings_add(a->k.out, MF_WARNING, a->k.side, "source-durability", "fsync",
                        "ALTER SYSTEM SET fsync = 'on'; SELECT pg_reload_conf();",
                        "after a crash of its machine the source may lack transactions that the target has, and the "
                        "stream cannot go on");
    }
    return 0;
}

int pg_check_waiting(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_wait_policy *p,
                     struct mf_findings *out, struct mf_error *err)
{
    MF_CLEANUP(asked_free_p) struct asked a = {0};
    PG_LEASE(pg_db_of(base), l);
    (void)p; /* the server has no timeout that could come before it */
    pg_check_open(&a.k, l.db, NULL, out);
    pg_standby_name(pipe, a.name);
    if (pg_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    a.k.c = l.conn;
    if (pg_standby_read(l.conn, &a.s, err) < 0 || our_stream(&a, pipe, err) < 0) {
        return -1;
    }
    check_names(&a);
    return check_commits(&a, err) < 0 ? -1 : check_log_safe(&a, err);
}

int pg_check_durable(struct mf_db *base, struct mf_findings *out, struct mf_error *err)
{
    struct pg_check k;
    PG_CLEANUP_RESULT PGresult *r = NULL;
    PG_LEASE(pg_db_of(base), l);
    pg_check_open(&k, l.db, NULL, out);
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_query(l.conn, &r, err,
                 "SELECT name FROM pg_catalog.pg_settings WHERE name IN ('fsync', 'full_page_writes')"
                 " AND setting = 'off'") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        char remedy[120];
        const char *name = PQgetvalue(r, i, 0);
        snprintf(remedy, sizeof remedy, "ALTER SYSTEM SET %s = 'on'; SELECT pg_reload_conf();", name);
        mf_findings_add(
            out, MF_BLOCKER, k.side, "target-durability", name, remedy,
            "it is off: a commit that has returned may be lost in a crash, and dual_writes promises that it "
            "is not");
    }
    return 0;
}
