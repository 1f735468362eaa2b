/*
 * What would stop or hurt a migration into this server. Half of it is what a source needs as well, because after the
 * cutover the stream runs back from here: without wal_level = logical there is no rollback. What its objects say is in
 * check_objects.c.
 */
#include "connector/postgres/check.h"

#include "base/str.h"
#include "connector/postgres/config_table.h"
#include "connector/postgres/pg_program.h"
#include "connector/postgres/target.h"

#include <stdio.h>
#include <string.h>

#define FREE_CONNECTIONS 12

static void check_versions(struct pg_check *k, const struct pg_db *src)
{
    const struct mf_db_facts *t = &k->db->facts, *s = &src->facts;
    struct mf_error e = {0};
    char program[512];
    int major;
    if (k->db->version / 10000 < src->version / 10000) {
        mf_findings_add(
            k->out, MF_WARNING, k->side, "downgrade", t->host,
            "rehearse the schema: `midflight plan`, and `midflight run --until copied` into a copy",
            "PostgreSQL %s is older than the source's %s: statements of the schema that it does not know will "
            "fail",
            t->version, s->version);
    }
    if (pg_find_dump(src->version, k->db->version, program, sizeof(program), &major, &e) < 0) {
        mf_findings_add(k->out, MF_BLOCKER, k->side, "pg-dump", "pg_dump", e.hint, "%s", e.text);
    }
    if (*t->system_id && strcmp(t->system_id, s->system_id) == 0 && k->db->database_oid == src->database_oid) {
        mf_findings_add(k->out, MF_BLOCKER, k->side, "same-database", t->database, "give two different databases",
                        "source and target are the same database");
    }
}

static int check_room(struct pg_check *k, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_query(
            k->c, &r, err,
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
            " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')") < 0) {
        return -1;
    }
    if (pg_get_i64(r, 0, 0) < FREE_CONNECTIONS) {
        mf_findings_add(k->out, MF_WARNING, k->side, "connections", "max_connections",
                        "ALTER SYSTEM SET max_connections = 100; -- then restart",
                        "%s connections are free; a migration with 4 jobs uses up to %d", PQgetvalue(r, 0, 0),
                        FREE_CONNECTIONS);
    }
    return 0;
}

/* Encoding and default collation, as text; rows of both compared. */
static int database_row(PGconn *c, PGresult **ret, struct mf_error *err)
{
    return pg_query(c, ret, err,
                    "SELECT pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype FROM pg_catalog.pg_database"
                    " WHERE datname = pg_catalog.current_database()");
}

static int check_text(struct pg_check *k, PGconn *src, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *s = NULL, *t = NULL;
    if (database_row(src, &s, err) < 0 || database_row(k->c, &t, err) < 0) {
        return -1;
    }
    const char *from = PQgetvalue(s, 0, 0), *to = PQgetvalue(t, 0, 0);
    char remedy[256];
    snprintf(remedy, sizeof(remedy),
             "CREATE DATABASE … TEMPLATE template0 ENCODING '%s' LC_COLLATE '%s' LC_CTYPE '%s';", from,
             PQgetvalue(s, 0, 1), PQgetvalue(s, 0, 2));
    if (strcmp(from, to) != 0 && strcmp(to, "UTF8") != 0) {
        bool ascii = strcmp(to, "SQL_ASCII") == 0;
        mf_findings_add(k->out, ascii ? MF_BLOCKER : MF_WARNING, k->side, "encoding", k->db->facts.database, remedy,
                        ascii ? "the source is in %s and the target in %s, which would keep our UTF-8 bytes unlooked at"
                              : "the source is in %s and the target in %s: characters it does not have are refused",
                        from, to);
    }
    if (strcmp(PQgetvalue(s, 0, 1), PQgetvalue(t, 0, 1)) != 0 ||
        strcmp(PQgetvalue(s, 0, 2), PQgetvalue(t, 0, 2)) != 0) {
        mf_findings_add(
            k->out, MF_WARNING, k->side, "default-collation", k->db->facts.database, remedy,
            "the default collation is %s/%s on the source and %s/%s here: text sorts and compares otherwise",
            PQgetvalue(s, 0, 1), PQgetvalue(s, 0, 2), PQgetvalue(t, 0, 1), PQgetvalue(t, 0, 2));
    }
    return 0;
}

/* Every check, whatever the one before it was refused. */
static int check_tables(struct pg_check *k, PGconn *c, const struct mf_catalog *tables, struct mf_error *err)
{
    return pg_check_refused(k, pg_check_owners(k, tables, err), err) < 0 ||
                   pg_check_refused(k, pg_check_forced(k, c, tables, err), err) < 0 ||
                   pg_check_refused(k, pg_check_generated(k, c, tables, err), err) < 0 ||
                   pg_check_refused(k, pg_check_contents(k, tables, err), err) < 0
               ? -1
               : 0;
}

static int check_objects(struct pg_check *k, struct mf_db *src, PGconn *c, struct mf_error *err)
{
    struct mf_catalog tables = {0};
    char size[32];
    if (pg_check_extensions(k, c, err) < 0 || pg_check_collations(k, c, err) < 0 || pg_check_roles(k, c, err) < 0 ||
        pg_check_ownership(k, c, err) < 0 || pg_check_schemas(k, c, err) < 0 ||
        pg_catalog_read(src, k->filter, &tables, err) < 0) {
        return -1;
    }
    int64_t bytes = 0;
    for (size_t i = 0; i < tables.n; i++) {
        bytes += tables.tables[i].bytes > 0 ? tables.tables[i].bytes : 0;
    }
    mf_findings_add(k->out, MF_NOTE, k->side, "disk", k->db->facts.database, "see that the target's volume has room",
                    "%zu tables of %s come here, and their indexes", tables.n,
                    mf_format_size((uint64_t)bytes, size, sizeof(size)));
    int rc = pg_config_note(c, &tables, k->out, err) < 0 ? -1 : check_tables(k, c, &tables, err);
    mf_catalog_free(&tables);
    return rc;
}

static int check_version(struct pg_check *k, struct mf_error *err)
{
    (void)err;
    if (k->db->version < 120000) {
        mf_findings_add(k->out, MF_BLOCKER, k->side, "target-version", k->db->facts.host,
                        "make the target PostgreSQL 12 or later", "PostgreSQL %s is too old for a target",
                        k->db->facts.version);
    }
    return 0;
}

int pg_check_alone(struct pg_check *k, struct mf_error *err)
{
    static int (*const checks[])(struct pg_check *, struct mf_error *) = {
        check_version, pg_check_settings, pg_check_connection, pg_check_role, pg_check_replica_role, check_room,
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(checks); i++) {
        if (pg_check_refused(k, checks[i](k, err), err) < 0) {
            return -1;
        }
    }
    return 0;
}

int pg_check_target(struct mf_db *base, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                    struct mf_error *err)
{
    struct pg_check k;
    if (src->connector != base->connector) {
        return pg_check_other(base, src, filter, out, err);
    }
    PG_LEASE(pg_db_of(base), l);
    PG_LEASE(pg_db_of(src), from);
    pg_check_open(&k, l.db, filter, out);
    if (pg_lease(l.db, &l.conn, err) < 0 || pg_lease(from.db, &from.conn, err) < 0) {
        return -1;
    }
    k.c = l.conn;
    check_versions(&k, from.db);
    return pg_check_alone(&k, err) < 0 || pg_check_refused(&k, check_text(&k, from.conn, err), err) < 0 ||
                   pg_check_refused(&k, check_objects(&k, src, from.conn, err), err) < 0
               ? -1
               : 0;
}
