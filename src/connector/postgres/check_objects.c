/* What the source's objects need on the target, and what is there already. */
#include "connector/postgres/check.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/config_table.h"
#include "connector/postgres/load.h"

#include <stdio.h>
#include <string.h>

#define LOOKED_INTO 2000 /* tables of the same name that are looked into for rows */

static int find(const PGresult *r, const char *name)
{
    for (int i = 0; i < PQntuples(r); i++) {
        if (strcmp(PQgetvalue(r, i, 0), name) == 0) {
            return i;
        }
    }
    return -1;
}

/* ---- extensions ---- */

int pg_check_extensions(struct pg_check *k, PGconn *src, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *s = NULL, *t = NULL;
    bool trusting = k->db->version >= 130000;
    if (pg_query(src, &s, err,
                 "SELECT extname, extversion FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql' ORDER BY 1") < 0 ||
        pg_queryf(k->c, &t, err,
                  "SELECT a.name, a.default_version, a.installed_version, r.rolsuper OR EXISTS (SELECT FROM pg_roles g"
                  " WHERE g.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')"
                  " AND pg_has_role(session_user, g.oid, 'MEMBER')) OR EXISTS (SELECT FROM"
                  " pg_available_extension_versions v WHERE v.name = a.name AND v.version = a.default_version"
                  " AND (NOT v.superuser%s)) FROM pg_available_extensions a, pg_roles r WHERE r.rolname = session_user",
                  trusting ? " OR v.trusted" : "") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(s); i++) {
        const char *name = PQgetvalue(s, i, 0), *version = PQgetvalue(s, i, 1);
        int at = find(t, name);
        char object[128], remedy[256];
        snprintf(object, sizeof(object), "extension %.100s", name);
        if (at < 0) {
            mf_findings_add(
                k->out, MF_BLOCKER, k->side, "extension-missing", object,
                "install its package on the target's server (managed: choose a version that offers it), or drop it "
                "from the source",
                "the source uses %s %s and the target's server does not offer it", name, version);
            continue;
        }
        bool installed = !PQgetisnull(t, at, 2);
        const char *theirs = PQgetvalue(t, at, installed ? 2 : 1);
        if (!installed && !pg_get_bool(t, at, 3)) {
            snprintf(remedy, sizeof(remedy), "CREATE EXTENSION \"%.100s\"; -- as a superuser, in the target database",
                     name);
            mf_findings_add(k->out, MF_BLOCKER, k->side, "extension-privilege", object, remedy,
                            "role %s may not create it", k->db->facts.user);
        }
        if (strcmp(theirs, version) != 0) {
            mf_findings_add(k->out, MF_NOTE, k->side, "extension-version", object, "read the extension's release notes",
                            "the source has version %s, the target %s", version, theirs);
        }
    }
    return 0;
}

/* ---- collations and types that a newer server no longer has ---- */

int pg_check_collations(struct pg_check *k, PGconn *src, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *s = NULL, *t = NULL, *old = NULL;
    if (pg_query(
            src, &s, err,
            "SELECT co.collname, min(a.attrelid::regclass::text), count(DISTINCT a.attrelid)"
            " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_collation co ON co.oid = a.attcollation WHERE co.collnamespace = 'pg_catalog'::regnamespace"
            " AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'm', 'i')"
            " AND " PG_USER_NAMESPACE " GROUP BY 1") < 0 ||
        pg_query(k->c, &t, err,
                 "SELECT DISTINCT collname FROM pg_collation WHERE collnamespace = 'pg_catalog'::regnamespace") < 0 ||
        pg_query(src, &old, err,
                 "SELECT DISTINCT c.oid::regclass::text, format_type(a.atttypid, NULL) FROM pg_attribute a"
                 " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " WHERE a.atttypid IN (702, 703, 704, 1023, 1024, 1025) AND c.relkind = 'r' AND NOT a.attisdropped"
                 " AND " PG_USER_NAMESPACE) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(s); i++) {
        char object[256];
        if (find(t, PQgetvalue(s, i, 0)) >= 0) {
            continue;
        }
        snprintf(object, sizeof(object), "collation %.100s", PQgetvalue(s, i, 0));
        mf_findings_add(
            k->out, MF_BLOCKER, k->side, "collation-missing", object,
            "install the locale on the target's server and SELECT pg_import_system_collations('pg_catalog');",
            "%s relations use it (%s among them) and the target does not have it", PQgetvalue(s, i, 2),
            PQgetvalue(s, i, 1));
    }
    for (int i = 0; i < PQntuples(old); i++) {
        char object[256];
        snprintf(object, sizeof(object), "table %.200s", PQgetvalue(old, i, 0));
        mf_findings_add(k->out, MF_BLOCKER, k->side, "type-removed", object,
                        "change the column's type on the source to timestamptz, interval or tstzrange",
                        "type %s is gone since PostgreSQL 12", PQgetvalue(old, i, 1));
    }
    return 0;
}

/* ---- roles ---- */

int pg_check_roles(struct pg_check *k, PGconn *src, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *s = NULL, *t = NULL;
    if (pg_query(src, &s, err,
                 "WITH o AS (SELECT c.relowner AS owner, c.relacl AS acl FROM pg_class c"
                 "  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE " PG_USER_NAMESPACE
                 " UNION ALL SELECT n.nspowner, n.nspacl FROM pg_namespace n WHERE " PG_USER_NAMESPACE
                 " UNION ALL SELECT p.proowner, p.proacl FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
                 "  WHERE " PG_USER_NAMESPACE
                 " UNION ALL SELECT t.typowner, t.typacl FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace"
                 "  WHERE " PG_USER_NAMESPACE "),"
                 " u AS (SELECT owner AS role, 1 AS owned, 0 AS granted FROM o"
                 "  UNION ALL SELECT x.grantee, 0, 1 FROM o, LATERAL aclexplode(o.acl) x WHERE x.grantee <> 0)"
                 " SELECT pg_get_userbyid(role), sum(owned), sum(granted) FROM u GROUP BY role ORDER BY 1") < 0 ||
        pg_query(k->c, &t, err, "SELECT rolname FROM pg_roles") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(s); i++) {
        const char *name = PQgetvalue(s, i, 0);
        char object[128], remedy[160];
        if (find(t, name) >= 0 || mf_starts_with(name, "pg_")) {
            continue;
        }
        snprintf(object, sizeof(object), "role %.100s", name);
        snprintf(remedy, sizeof(remedy), "CREATE ROLE \"%.100s\";", name);
        mf_findings_add(
            k->out, MF_WARNING, k->side, "role-missing", object, remedy,
            "it owns %s objects of the source and has rights on %s; the target does not have it: they will belong to "
            "%s, and its rights are left out",
            PQgetvalue(s, i, 1), PQgetvalue(s, i, 2), k->db->facts.user);
    }
    return 0;
}

/* Whether what the roles of the source own can be given to them here: a role gets a table only in a schema in which it may make one, and from a
 * member of it. What cannot be given belongs to our role, and the application is refused after the cutover. */
int pg_check_ownership(struct pg_check *k, PGconn *src, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *s = NULL;
    if (pg_query(src, &s, err,
                 "SELECT n.nspname, pg_get_userbyid(c.relowner), count(*) FROM pg_class c"
                 " JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND " PG_USER_NAMESPACE
                 " GROUP BY 1, 2 ORDER BY 1, 2") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(s); i++) {
        PG_CLEANUP_RESULT PGresult *t = NULL;
        const char *const values[] = {PQgetvalue(s, i, 0), PQgetvalue(s, i, 1)};
        char object[300], remedy[600];
        if (pg_query_params(k->c, &t, err,
                            "SELECT NOT has_schema_privilege(r.oid, n.oid, 'CREATE'), NOT pg_has_role(r.oid, 'MEMBER'),"
                            " quote_ident(n.nspname), quote_ident(r.rolname), quote_ident(session_user)"
                            " FROM pg_roles r, pg_namespace n, pg_roles me WHERE r.rolname = $2 AND n.nspname = $1"
                            " AND me.rolname = session_user AND NOT me.rolsuper",
                            2, values) < 0) {
            return -1;
        }
        if (PQntuples(t) == 0 || !(pg_get_bool(t, 0, 0) || pg_get_bool(t, 0, 1))) {
            continue;
        }
        int n = 0;
        if (pg_get_bool(t, 0, 0)) {
            n = snprintf(remedy, sizeof remedy, "GRANT CREATE ON SCHEMA %s TO %s; ", PQgetvalue(t, 0, 2),
                         PQgetvalue(t, 0, 3));
        }
        if (pg_get_bool(t, 0, 1)) {
            snprintf(remedy + n, sizeof remedy - (size_t)n, "GRANT %s TO %s;", PQgetvalue(t, 0, 3),
                     PQgetvalue(t, 0, 4));
        }
        snprintf(object, sizeof object, "role %.100s in schema %.100s", values[1], values[0]);
        mf_findings_add(
            k->out, MF_WARNING, k->side, "ownership", object, remedy,
            "it owns %s objects there on the source, and here they cannot be given to it: they would belong to "
            "%s, and an application that is let in as their owner would be refused after the cutover",
            PQgetvalue(s, i, 2), k->db->facts.user);
    }
    return 0;
}

/* ---- what is there already ---- */

static int cannot_look(struct pg_check *k, const struct mf_table *t, const struct mf_error *why)
{
    char object[300], label[256], remedy[400];
    snprintf(object, sizeof(object), "table %s", mf_table_label(t, label, sizeof(label)));
    snprintf(remedy, sizeof(remedy),
             "GRANT USAGE ON SCHEMA \"%.60s\" TO \"%.60s\"; GRANT SELECT ON \"%.60s\".\"%.60s\" TO \"%.60s\";",
             t->schema, k->db->facts.user, t->schema, t->name, k->db->facts.user);
    mf_findings_add(k->out, MF_BLOCKER, k->side, "table-select", object, remedy,
                    "it is there already and role %s may not look whether it has rows: %s", k->db->facts.user,
                    why->text);
    return 0;
}

/* Rows that an extension itself put into its configuration's table do not count: they are taken out before the copy. */
static int has_rows(struct pg_check *k, const struct mf_table *t, const PGresult *config, bool *ret,
                    struct mf_error *err)
{
    int row = pg_config_find(config, t);
    if (row >= 0) {
        return pg_config_has_rows(k->c, config, row, ret, err);
    }
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    mf_buf_puts(&sql, "SELECT EXISTS (SELECT FROM ONLY ");
    pg_put_table(&sql, t);
    mf_buf_puts(&sql, ")");
    struct mf_error e = {0};
    if (pg_query(k->c, &r, &e, mf_buf_str(&sql)) < 0) {
        if (pg_is_sqlstate(&e, "42501")) {
            return cannot_look(k, t, &e);
        }
        *err = e;
        return -1;
    }
    *ret = pg_get_bool(r, 0, 0);
    return 0;
}

/* This migration has been begun here: rows are to be expected. Another's bookkeeping says nothing about our tables. */
static int begun(struct pg_check *k, bool *ret, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    const char *const values[] = {k->db->migration};
    if (pg_query(k->c, &r, err, "SELECT to_regclass('midflight.chunk') IS NOT NULL") < 0) {
        return -1;
    }
    *ret = pg_get_bool(r, 0, 0) && k->db->migration;
    if (!*ret) {
        return 0;
    }
    PG_CLEANUP_RESULT PGresult *n = NULL;
    if (pg_query_params(k->c, &n, err,
                        "SELECT EXISTS (SELECT FROM midflight.chunk WHERE migration = $1)"
                        " OR EXISTS (SELECT FROM midflight.checkpoint WHERE migration = $1)",
                        1, values) < 0) {
        return -1;
    }
    *ret = pg_get_bool(n, 0, 0);
    return 0;
}

static int check_existing(struct pg_check *k, const struct mf_table *s, const struct mf_table *t,
                          const PGresult *config, bool resumed, struct mf_error *err)
{
    char object[300], label[256], remedy[400];
    bool rows = false;
    snprintf(object, sizeof(object), "table %s", mf_table_label(t, label, sizeof(label)));
    const char *narrow = pg_narrower(t, s);
    if (narrow) {
        snprintf(remedy, sizeof(remedy),
                 "ALTER TABLE \"%.60s\".\"%.60s\" ALTER COLUMN \"%.60s\" TYPE …; -- the source's type", t->schema,
                 t->name, narrow);
        mf_findings_add(
            k->out, MF_WARNING, k->side, "column-narrower", object, remedy,
            "column \"%s\" may be narrower than the source's: its rows are looked at one by one, and what does not "
            "fit exactly is refused",
            narrow);
    }
    if (resumed) {
        return 0;
    }
    if (has_rows(k, t, config, &rows, err) < 0) {
        return -1;
    }
    if (rows) {
        snprintf(remedy, sizeof(remedy), "TRUNCATE \"%.60s\".\"%.60s\"; -- on the target, or exclude the table",
                 t->schema, t->name);
        mf_findings_add(k->out, MF_BLOCKER, k->side, "target-rows", object, remedy,
                        "the target's table has rows already; the source's would be mixed with them");
    } else {
        mf_findings_add(k->out, MF_NOTE, k->side, "target-table", object, "drop it to have it made as the source's",
                        "it is there already and is used as it is");
    }
    return 0;
}

int pg_check_contents(struct pg_check *k, const struct mf_catalog *tables, struct mf_error *err)
{
    struct mf_catalog here = {0};
    PG_CLEANUP_RESULT PGresult *config = NULL;
    bool resumed = false;
    size_t others = 0;
    if (begun(k, &resumed, err) < 0 || pg_config_tables(k->c, &config, err) < 0 ||
        pg_catalog_read(&k->db->base, NULL, &here, err) < 0) {
        return -1;
    }
    int rc = 0;
    MF_CLEANUP_FREE struct mf_table *both = mf_xcalloc(here.n + 1, sizeof(*both));
    struct mf_catalog ours = {.tables = both}; /* borrows from `here` */
    for (size_t i = 0; rc == 0 && i < here.n; i++) {
        const struct mf_table *s = mf_catalog_find(tables, here.tables[i].schema, here.tables[i].name);
        if (!s) {
            others++;
            continue;
        }
        both[ours.n++] = here.tables[i];
        if (i < LOOKED_INTO) {
            rc = check_existing(k, s, &here.tables[i], config, resumed, err);
        }
    }
    rc = rc < 0 ? rc : pg_check_subscriptions(k, &ours, err);
    mf_catalog_free(&here);
    if (rc == 0 && others) {
        mf_findings_add(k->out, MF_NOTE, k->side, "target-not-empty", k->db->facts.database, "",
                        "%zu tables that do not come from the source are there; they are left alone", others);
    }
    return rc;
}
