/* See check.h. */
#include "connector/postgres/check.h"

#include "connector/postgres/gate.h"
#include "connector/postgres/sequences.h"

#include <stdio.h>
#include <string.h>

/* ---- keys and identities ---- */

static void say_identity(struct pg_check *k, const struct mf_table *t, const char *table, const char *wanted)
{
    char object[300], remedy[700];
    snprintf(object, sizeof object, "table %s", table);
    if (t->identity == MF_IDENTITY_FULL) {
        snprintf(remedy, sizeof remedy, "ALTER TABLE %s ADD PRIMARY KEY (…);", table);
        mf_findings_add(k->out, MF_WARNING, k->side, "no-key", object, remedy,
                        "no primary key and no other usable unique index (not null, whole, on plain columns, not "
                        "deferrable): it is "
                        "copied from one snapshot, its changes carry whole rows, and rows are found by all their "
                        "columns, which is slow");
    }
    if (*wanted) {
        snprintf(remedy, sizeof remedy, "ALTER TABLE ONLY %s REPLICA IDENTITY %s;", table, wanted);
        mf_findings_add(k->out, MF_NOTE, k->side, "replica-identity", object, remedy,
                        "its updates and deletes do not say which row they changed: midflight sets this identity "
                        "before it streams the "
                        "table (a short exclusive lock) and puts the old one back at the end");
    }
}

void pg_say_generated(struct pg_check *k, const PGresult *r, int row)
{
    char object[300], remedy[400];
    snprintf(object, sizeof object, "table %s", PQgetvalue(r, row, PG_IDENTITY_TABLE));
    pg_identity_remedy(r, row, remedy, sizeof remedy);
    mf_findings_add(k->out, MF_BLOCKER, k->side, "generated-identity", object, remedy,
                    "it has a generated column and would be published with the replica identity FULL%s: PostgreSQL 18 "
                    "then refuses every update and delete of it (42P10); give it a key, or exclude it",
                    k->side == MF_TARGET ? " for the way back" : "");
}

static int check_identities(struct pg_check *k, const struct mf_catalog *cat, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_identities(k->c, &r, err) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        const struct mf_table *t = mf_catalog_by_id(cat, pg_get_oid(r, i, PG_IDENTITY_OID));
        if (!t) {
            continue;
        }
        say_identity(k, t, PQgetvalue(r, i, PG_IDENTITY_TABLE), PQgetvalue(r, i, PG_IDENTITY_WANTED));
        if (k->db->version >= PG_GENERATED_REFUSED && pg_get_bool(r, i, PG_IDENTITY_GENERATED) &&
            pg_identity_is_full(r, i)) {
            pg_say_generated(k, r, i);
        }
    }
    return 0;
}

/* ---- privileges ---- */

/* The tables and, for the gate goes there too, every table above one by partitioning or inheritance. */
static const char privileges_fmt[] =
    "WITH RECURSIVE up(oid) AS (SELECT unnest(ARRAY[%s]::oid[])"
    " UNION SELECT i.inhparent FROM pg_inherits i JOIN up ON i.inhrelid = up.oid) "
    "SELECT c.relkind, quote_ident(n.nspname) || '.' || quote_ident(c.relname), "
    "has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), "
    "pg_has_role(c.relowner, 'USAGE'), c.relrowsecurity AND NOT u.rolsuper AND NOT u.rolbypassrls AND "
    "(c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE')), quote_ident(session_user), "
    "quote_ident(n.nspname), quote_ident(pg_get_userbyid(c.relowner)) "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles u ON u.rolname = session_user "
    "WHERE c.relkind IN ('r', 'p') AND c.oid IN (SELECT oid FROM up) ORDER BY c.oid";

static void say_privileges(struct pg_check *k, const PGresult *r, int i)
{
    const char *table = PQgetvalue(r, i, 1), *user = PQgetvalue(r, i, 5);
    bool rows = PQgetvalue(r, i, 0)[0] == 'r'; /* a partitioned table has none of its own to read */
    char object[300], remedy[700];
    snprintf(object, sizeof object, "table %s", table);
    if (rows && !pg_get_bool(r, i, 2)) {
        snprintf(remedy, sizeof remedy, "GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %s;",
                 PQgetvalue(r, i, 6), user, table, user);
        mf_findings_add(k->out, MF_BLOCKER, k->side, "table-select", object, remedy, "role %s may not read it",
                        k->db->facts.user);
    }
    if (!pg_get_bool(r, i, 3)) {
        snprintf(remedy, sizeof remedy, "GRANT %s TO %s;", PQgetvalue(r, i, 7), user);
        mf_findings_add(k->out, MF_BLOCKER, k->side, "table-owner", object, remedy,
                        "role %s is not in the role that owns it: only an owner can publish a table and hold its "
                        "writers at a cutover",
                        k->db->facts.user);
    }
    if (rows && pg_get_bool(r, i, 4)) {
        snprintf(remedy, sizeof remedy, "ALTER ROLE %s BYPASSRLS;", user);
        mf_findings_add(k->out, MF_BLOCKER, k->side, "row-security", object, remedy,
                        "row security hides rows of it from role %s", k->db->facts.user);
    }
}

static int check_privileges(struct pg_check *k, const struct mf_catalog *cat, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    MF_CLEANUP_BUF struct mf_buf oids = {.max = PG_SQL_MAX};
    for (size_t i = 0; i < cat->n; i++) {
        mf_buf_printf(&oids, "%s%u", i ? "," : "", cat->tables[i].id);
    }
    const char *list = pg_sql(&oids, err);
    if (!list || pg_queryf(k->c, &r, err, privileges_fmt, list) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        say_privileges(k, r, i);
    }
    return 0;
}

/* ---- writers that no gate holds ---- */

int pg_check_subscriptions(struct pg_check *k, const struct mf_catalog *cat, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_subscriptions(k->c, cat, &r, err) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        char object[200], remedy[300];
        snprintf(object, sizeof object, "subscription %.150s", PQgetvalue(r, i, 0));
        snprintf(remedy, sizeof remedy, "ALTER SUBSCRIPTION %.200s DISABLE; -- before the cutover",
                 PQgetvalue(r, i, 1));
        mf_findings_add(k->out, MF_WARNING, k->side, "subscription", object, remedy,
                        "it writes %s migrated tables (%s among them) from another server, and no trigger can hold it "
                        "at a cutover: the cutover is refused while it is on",
                        PQgetvalue(r, i, 3), PQgetvalue(r, i, 2));
    }
    return 0;
}

int pg_check_tables(struct pg_check *k, struct mf_error *err)
{
    struct mf_catalog cat = {0};
    if (pg_catalog_load(k->c, k->filter, &cat, err) < 0) {
        return -1;
    }
    int rc = check_identities(k, &cat, err) < 0 || check_privileges(k, &cat, err) < 0 ||
                     pg_check_subscriptions(k, &cat, err) < 0
                 ? -1
                 : 0;
    if (rc == 0 && cat.n == 0) {
        mf_findings_add(k->out, MF_WARNING, k->side, "no-tables", k->db->facts.database,
                        "see tables: { include, exclude } of the configuration", "no table of this database migrates");
    }
    mf_catalog_free(&cat);
    return rc;
}

/* ---- what does not migrate, or only in part ---- */

static void say_other(struct pg_check *k, const char *kind, const char *name)
{
    char object[300], remedy[700];
    switch (kind[0]) {
    case 'u':
        snprintf(object, sizeof object, "table %s", name);
        snprintf(remedy, sizeof remedy, "ALTER TABLE %s SET LOGGED;", name);
        mf_findings_add(k->out, MF_WARNING, k->side, "unlogged-table", object, remedy,
                        "it is unlogged: its changes are not in the log, so it is created on the target but its rows "
                        "do not migrate");
        break;
    case 'f':
        snprintf(object, sizeof object, "foreign table %s", name);
        mf_findings_add(k->out, MF_NOTE, k->side, "foreign-table", object,
                        "see that the target can reach its server too",
                        "its rows are elsewhere: only its definition migrates");
        break;
    default:
        break;
    }
}

static int check_sequences(struct pg_check *k, struct mf_error *err)
{
    struct pg_sequence_list l = {0};
    if (pg_sequence_list(k->c, k->filter, &l, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < l.n; i++) {
        MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
        char object[300], remedy[700];
        const char *schema, *plain;
        if (pg_sequence_readable(&l, i)) {
            continue;
        }
        pg_sequence_name(&l, i, &schema, &plain);
        pg_put_name(&name, schema, plain);
        snprintf(object, sizeof object, "sequence %s.%s", schema, plain);
        snprintf(remedy, sizeof remedy, "GRANT SELECT, UPDATE ON SEQUENCE %s TO \"%s\";", mf_buf_str(&name),
                 k->db->facts.user);
        mf_findings_add(k->out, MF_BLOCKER, k->side, "sequence-select", object, remedy,
                        "role %s may not read and set it: after a cutover the target would give numbers out again, "
                        "and there would be no way back",
                        k->db->facts.user);
    }
    pg_sequence_list_free(&l);
    return 0;
}

int pg_check_others(struct pg_check *k, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_query(k->c, &r, err,
                 "SELECT CASE WHEN c.relkind = 'r' THEN 'u' ELSE c.relkind::text END, n.nspname, c.relname, "
                 "quote_ident(n.nspname) || '.' || quote_ident(c.relname) "
                 "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE " PG_USER_NAMESPACE
                 " AND " PG_NOT_EXTENSION
                 " AND ((c.relkind = 'r' AND c.relpersistence = 'u') OR c.relkind = 'f') ORDER BY 1, 2, 3") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        if (mf_filter_match(k->filter, PQgetvalue(r, i, 1), PQgetvalue(r, i, 2))) {
            say_other(k, PQgetvalue(r, i, 0), PQgetvalue(r, i, 3));
        }
    }
    return check_sequences(k, err);
}
