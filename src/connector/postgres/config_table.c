/*
 * Tables that an extension declares to hold a user's configuration (pg_extension_config_dump), such as PostGIS's
 * spatial_ref_sys. They migrate like tables of the user, with all their rows. CREATE EXTENSION has filled them on the target with
 * the rows the extension brings, which the source has too, perhaps changed or as another version of it had them: so the
 * target's are emptied before the copy. The extension says by a condition which rows are the user's; where the target has such
 * rows, they are not ours to delete, and nothing is.
 */
#include "connector/postgres/config_table.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

enum { CONFIG_SCHEMA, CONFIG_TABLE, CONFIG_EXTENSION, CONFIG_CONDITION };

int pg_config_tables(PGconn *c, PGresult **ret, struct mf_error *err)
{
    return pg_query(c, ret, err,
                    "SELECT n.nspname, c.relname, e.extname, coalesce(e.extcondition[k.ord], '')"
                    " FROM pg_catalog.pg_extension e"
                    " CROSS JOIN LATERAL unnest(e.extconfig) WITH ORDINALITY AS k(oid, ord)"
                    " JOIN pg_catalog.pg_class c ON c.oid = k.oid AND c.relkind = 'r'"
                    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2");
}

int pg_config_find(const PGresult *config, const struct mf_table *t)
{
    for (int i = 0; i < PQntuples(config); i++) {
        if (mf_streq(PQgetvalue(config, i, CONFIG_TABLE), t->name) &&
            mf_streq(PQgetvalue(config, i, CONFIG_SCHEMA), t->schema)) {
            return i;
        }
    }
    return -1;
}

int pg_config_has_rows(PGconn *c, const PGresult *config, int row, bool *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 64u << 10};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    mf_buf_puts(&sql, "SELECT EXISTS (SELECT FROM ONLY ");
    pg_put_name(&sql, PQgetvalue(config, row, CONFIG_SCHEMA), PQgetvalue(config, row, CONFIG_TABLE));
    mf_buf_printf(&sql, " %s)", PQgetvalue(config, row, CONFIG_CONDITION));
    if (!pg_sql(&sql, err) || pg_query(c, &r, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    *ret = pg_get_bool(r, 0, 0);
    return 0;
}

int pg_config_note(PGconn *source, const struct mf_catalog *tables, struct mf_findings *out, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *config = NULL;
    if (pg_config_tables(source, &config, err) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(config); i++) {
        char object[300], remedy[400];
        const char *schema = PQgetvalue(config, i, CONFIG_SCHEMA), *name = PQgetvalue(config, i, CONFIG_TABLE);
        if (!mf_catalog_find(tables, schema, name)) {
            continue;
        }
        snprintf(object, sizeof object, "table %.120s.%.120s", schema, name);
        snprintf(remedy, sizeof remedy, "tables: { exclude: [\"%.120s.%.120s\"] } where it has no rows of your own",
                 schema, name);
        mf_findings_add(out, MF_NOTE, MF_TARGET, "extension-config", object, remedy,
                        "it holds configuration of extension %s: what CREATE EXTENSION puts there on the target is "
                        "deleted, and all rows of the source are copied",
                        PQgetvalue(config, i, CONFIG_EXTENSION));
    }
    return 0;
}

/* ---- before the copy ---- */

/* Rows that the copy brought are no longer the extension's. */
static int copy_begun(PGconn *c, const struct mf_table *t, bool *ret, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *there = NULL, *chunks = NULL;
    const char *names[] = {t->schema, t->name};
    if (pg_query(c, &there, err, "SELECT pg_catalog.to_regclass('midflight.chunk') IS NOT NULL") < 0) {
        return -1;
    }
    *ret = false;
    if (!pg_get_bool(there, 0, 0)) {
        return 0;
    }
    if (pg_query_params(c, &chunks, err,
                        "SELECT EXISTS (SELECT FROM midflight.chunk WHERE schema_name = $1 AND table_name = $2)", 2,
                        names) < 0) {
        return -1;
    }
    *ret = pg_get_bool(chunks, 0, 0);
    return 0;
}

static int empty(PGconn *c, const PGresult *config, int row, const struct mf_table *t, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    bool begun, theirs = false;
    if (copy_begun(c, t, &begun, err) < 0 || (!begun && pg_config_has_rows(c, config, row, &theirs, err) < 0)) {
        return -1;
    }
    if (begun) {
        return 0;
    }
    if (theirs) {
        mf_fail(
            err, MF_FATAL, "MFROWS",
            "the target's table %s.%s has rows that extension %s did not put there; the source's would be mixed with "
            "them",
            t->schema, t->name, PQgetvalue(config, row, CONFIG_EXTENSION));
        mf_hint(err, "delete them on the target, or exclude the table");
        return -1;
    }
    mf_buf_puts(&sql, "BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM ONLY ");
    pg_put_table(&sql, t);
    mf_buf_puts(&sql, "; COMMIT");
    if (pg_exec(c, err, mf_buf_str(&sql)) < 0) {
        struct mf_error ignored = {0};
        pg_exec(c, &ignored, "ROLLBACK");
        mf_error_prefix(err, "emptying %s.%s of what its extension put there", t->schema, t->name);
        return -1;
    }
    return 0;
}

int pg_config_empty(PGconn *target, const struct mf_catalog *tables, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *config = NULL;
    if (pg_config_tables(target, &config, err) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(config); i++) {
        const struct mf_table *t =
            mf_catalog_find(tables, PQgetvalue(config, i, CONFIG_SCHEMA), PQgetvalue(config, i, CONFIG_TABLE));
        if (t && empty(target, config, i, t, err) < 0) {
            return -1;
        }
    }
    return 0;
}
