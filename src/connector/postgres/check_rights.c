/* What the role may do on the target with what the source brings and with what is there already. Source and target tables are
 * the same by schema and name. */
#include "connector/postgres/check.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

int pg_check_refused(struct pg_check *k, int rc, struct mf_error *err)
{
    if (rc == 0 || !pg_is_sqlstate(err, "42501") || PQstatus(k->c) != CONNECTION_OK) {
        return rc;
    }
    mf_findings_add(k->out, MF_BLOCKER, k->side, "privilege", k->db->facts.user,
                    err->hint[0] ? err->hint : "GRANT the role that owns what is named to it; then check again",
                    "role %s may not look at it: %s", k->db->facts.user, err->text);
    mf_error_clear(err);
    return 0;
}

/* ---- schemas ---- */

int pg_check_schemas(struct pg_check *k, PGconn *src, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *s = NULL, *t = NULL;
    if (pg_query(src, &s, err,
                 "SELECT DISTINCT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " WHERE " PG_USER_NAMESPACE " AND " PG_NOT_EXTENSION) < 0 ||
        pg_query(k->c, &t, err,
                 "SELECT n.nspname, quote_ident(n.nspname), quote_ident(session_user) FROM pg_namespace n"
                 " WHERE " PG_USER_NAMESPACE
                 " AND NOT (has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE'))") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(t); i++) {
        bool brought = false;
        char object[160], remedy[400];
        for (int j = 0; !brought && j < PQntuples(s); j++) {
            brought = strcmp(PQgetvalue(s, j, 0), PQgetvalue(t, i, 0)) == 0;
        }
        if (!brought) {
            continue;
        }
        snprintf(object, sizeof object, "schema %.140s", PQgetvalue(t, i, 0));
        snprintf(remedy, sizeof remedy, "GRANT CREATE, USAGE ON SCHEMA %.140s TO %.140s;", PQgetvalue(t, i, 1),
                 PQgetvalue(t, i, 2));
        mf_findings_add(k->out, MF_BLOCKER, k->side, "schema-create", object, remedy,
                        "role %s may not make the source's tables and indexes in it", k->db->facts.user);
    }
    return 0;
}

/* ---- tables made beforehand ---- */

/* Tables of others, each with the migrated table it is or stands above. */
static const char not_ours[] =
    "WITH RECURSIVE up(oid, leaf) AS (SELECT c.oid, c.oid FROM pg_class c WHERE c.relkind = 'r'"
    " UNION SELECT i.inhparent, up.leaf FROM pg_inherits i JOIN up ON i.inhrelid = up.oid)"
    " SELECT DISTINCT ON (c.oid) quote_ident(n.nspname) || '.' || quote_ident(c.relname), ln.nspname, l.relname,"
    " quote_ident(pg_get_userbyid(c.relowner)), quote_ident(session_user), c.relkind = 'r'"
    " FROM up JOIN pg_class c ON c.oid = up.oid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_class l ON l.oid = up.leaf JOIN pg_namespace ln ON ln.oid = l.relnamespace"
    " WHERE NOT pg_has_role(c.relowner, 'USAGE') AND " PG_USER_NAMESPACE " ORDER BY c.oid, up.leaf";

int pg_check_owners(struct pg_check *k, const struct mf_catalog *tables, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_query(k->c, &r, err, not_ours) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        char object[300], remedy[300];
        if (!mf_catalog_find(tables, PQgetvalue(r, i, 1), PQgetvalue(r, i, 2))) {
            continue;
        }
        snprintf(object, sizeof object, "table %.280s", PQgetvalue(r, i, 0));
        snprintf(remedy, sizeof remedy, "GRANT %.140s TO %.140s;", PQgetvalue(r, i, 3), PQgetvalue(r, i, 4));
        mf_findings_add(k->out, MF_BLOCKER, k->side, "table-owner", object, remedy,
                        "it is there already and role %s is not in the role that owns it: only an owner can build its "
                        "indexes, publish it for the way back and hold its writers",
                        k->db->facts.user);
    }
    return 0;
}

/* ---- row security ---- */

/* An owner is not filtered, unless row security is forced. The dump carries FORCE over. */
int pg_check_forced(struct pg_check *k, PGconn *src, const struct mf_catalog *tables, struct mf_error *err)
{
    static const char forced[] =
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), n.nspname, c.relname FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relrowsecurity"
        " AND c.relforcerowsecurity AND " PG_USER_NAMESPACE " ORDER BY c.oid";
    PG_CLEANUP_RESULT PGresult *role = NULL, *s = NULL, *t = NULL;
    if (pg_query(k->c, &role, err,
                 "SELECT rolsuper OR rolbypassrls, quote_ident(rolname) FROM pg_roles WHERE rolname = session_user") <
        0) {
        return -1;
    }
    if (pg_get_bool(role, 0, 0)) {
        return 0;
    }
    if (pg_query(src, &s, err, forced) < 0 || pg_query(k->c, &t, err, forced) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(s) + PQntuples(t); i++) {
        bool here = i >= PQntuples(s);
        const PGresult *r = here ? t : s;
        int row = here ? i - PQntuples(s) : i;
        char object[300], remedy[300];
        if (!mf_catalog_find(tables, PQgetvalue(r, row, 1), PQgetvalue(r, row, 2))) {
            continue;
        }
        snprintf(object, sizeof object, "table %.280s", PQgetvalue(r, row, 0));
        snprintf(remedy, sizeof remedy, "ALTER ROLE %.200s BYPASSRLS;", PQgetvalue(role, 0, 1));
        mf_findings_add(k->out, MF_BLOCKER, k->side, "row-security", object, remedy,
                        "row security is forced on it, on its owner too: role %s could neither write nor compare its "
                        "rows here (where that cannot be granted: ALTER TABLE … NO FORCE ROW LEVEL SECURITY on both "
                        "sides until the end)",
                        k->db->facts.user);
    }
    return 0;
}

/* ---- the way back ---- */

static int row_of(const PGresult *r, const char *schema, const char *name)
{
    for (int i = 0; i < PQntuples(r); i++) {
        if (strcmp(PQgetvalue(r, i, PG_IDENTITY_SCHEMA), schema) == 0 &&
            strcmp(PQgetvalue(r, i, PG_IDENTITY_NAME), name) == 0) {
            return i;
        }
    }
    return -1;
}

/* The target publishes its tables as well. Those that are not there yet will have the source's key and identity; in those
 * that are, the source's key is built where they lack it. */
int pg_check_generated(struct pg_check *k, PGconn *src, const struct mf_catalog *tables, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *s = NULL, *t = NULL;
    if (k->db->version < PG_GENERATED_REFUSED) {
        return 0;
    }
    if (pg_identities(src, &s, err) < 0 || pg_identities(k->c, &t, err) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(t); i++) {
        const struct mf_table *of =
            mf_catalog_find(tables, PQgetvalue(t, i, PG_IDENTITY_SCHEMA), PQgetvalue(t, i, PG_IDENTITY_NAME));
        bool stays = of && (of->nkey == 0 || strcmp(PQgetvalue(t, i, PG_IDENTITY_NOW), "FULL") == 0);
        if (stays && pg_get_bool(t, i, PG_IDENTITY_GENERATED) && pg_identity_is_full(t, i)) {
            pg_say_generated(k, t, i);
        }
    }
    for (int i = 0; i < PQntuples(s); i++) {
        if (pg_get_bool(s, i, PG_IDENTITY_GENERATED) && pg_identity_is_full(s, i) &&
            mf_catalog_by_id(tables, pg_get_oid(s, i, PG_IDENTITY_OID)) &&
            row_of(t, PQgetvalue(s, i, PG_IDENTITY_SCHEMA), PQgetvalue(s, i, PG_IDENTITY_NAME)) < 0) {
            pg_say_generated(k, s, i);
        }
    }
    return 0;
}
