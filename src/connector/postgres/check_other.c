/*
 * What would stop or hurt a migration into this server from a source of another kind: see check_target.c for what concerns the server alone. Here: names that
 * it cannot have, what is there already, and all that making the schema would tell.
 */
#include "connector/postgres/check.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/conversion.h"
#include "connector/postgres/target.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 63
#define RENAME         "rename it on the source, or leave the table out (tables.exclude)"

static void say(struct pg_check *k, enum mf_severity severity, const char *code, const char *object, const char *remedy,
                const char *reason)
{
    mf_findings_add(k->out, severity, k->side, code, object, remedy, "%s", reason);
}

/* ---- names ---- */

static void check_name(struct pg_check *k, const char *what, const char *name)
{
    if (strlen(name) > NAME_MAX_BYTES) {
        say(k, MF_BLOCKER, "conversion-name", what, RENAME, "its name is longer than 63 bytes, and would be cut here");
    }
}

static void check_column_name(struct pg_check *k, const struct mf_schema_table *t, const struct mf_schema_column *c)
{
    static const char *const system[] = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"};
    MF_CLEANUP_FREE char *object = mf_xasprintf("column %s.%s.%s", t->schema, t->name, c->name);
    check_name(k, object, c->name);
    for (size_t i = 0; i < MF_ARRAY_LEN(system); i++) {
        if (mf_streq(c->name, system[i])) {
            say(k, MF_BLOCKER, "conversion-name", object, RENAME,
                "every table here has a column of that name of its own");
        }
    }
}

static void check_names(struct pg_check *k, const struct mf_schema *s)
{
    for (size_t i = 0; i < s->ntables; i++) {
        const struct mf_schema_table *t = &s->tables[i];
        MF_CLEANUP_FREE char *object = mf_xasprintf("table %s.%s", t->schema, t->name);
        MF_CLEANUP_FREE char *schema = mf_xasprintf("schema %s", t->schema);
        bool first = true;
        for (size_t j = 0; j < i && first; j++) {
            first = !mf_streq(s->tables[j].schema, t->schema);
        }
        if (first) {
            check_name(k, schema, t->schema);
        }
        if (first && (mf_starts_with(t->schema, "pg_") || mf_streq(t->schema, "information_schema"))) {
            say(k, MF_BLOCKER, "conversion-name", schema, RENAME,
                "names of schemas that begin with pg_ are the server's");
        }
        check_name(k, object, t->name);
        for (uint16_t c = 0; c < t->ncolumns; c++) {
            check_column_name(k, t, &t->columns[c]);
        }
    }
}

static bool is_listed(const PGresult *r, const char *word)
{
    for (int i = 0; i < PQntuples(r); i++) {
        if (mf_streq(PQgetvalue(r, i, 0), word)) {
            return true;
        }
    }
    return false;
}

static bool has_capital(const char *name)
{
    for (; *name; name++) {
        if (*name >= 'A' && *name <= 'Z') {
            return true;
        }
    }
    return false;
}

static void put_some(struct mf_buf *b, size_t n, const char *name)
{
    if (n < 10) {
        mf_buf_printf(b, "%s%s", n ? ", " : "", name);
    }
}

/* Statements must quote them, which those written for the source do not. */
static int check_words(struct pg_check *k, const struct mf_schema *s, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    MF_CLEANUP_BUF struct mf_buf words = {.max = 8192}, capitals = {.max = 8192};
    size_t nwords = 0, ncapitals = 0;
    if (pg_query(k->c, &r, err, "SELECT word FROM pg_catalog.pg_get_keywords() WHERE catcode IN ('R', 'T')") < 0) {
        return -1;
    }
    for (size_t i = 0; i < s->ntables; i++) {
        const struct mf_schema_table *t = &s->tables[i];
        for (int c = -1; c < t->ncolumns; c++) {
            const char *name = c < 0 ? t->name : t->columns[c].name;
            MF_CLEANUP_FREE char *object =
                c < 0 ? mf_xasprintf("%s.%s", t->schema, name) : mf_xasprintf("%s.%s.%s", t->schema, t->name, name);
            if (has_capital(name)) {
                put_some(&capitals, ncapitals++, object);
            } else if (is_listed(r, name)) {
                put_some(&words, nwords++, object);
            }
        }
    }
    if (nwords) {
        mf_findings_add(k->out, MF_NOTE, k->side, "conversion-reserved", mf_buf_str(&words), "quote them: \"name\"",
                        "%zu names are reserved words here: statements must quote them", nwords);
    }
    if (ncapitals) {
        mf_findings_add(k->out, MF_NOTE, k->side, "conversion-capitals", mf_buf_str(&capitals), "quote them: \"Name\"",
                        "%zu names have capital letters, and names keep them here: statements that do not quote them "
                        "look for names without",
                        ncapitals);
    }
    return 0;
}

/* ---- the database ---- */

static int check_encoding(struct pg_check *k, struct mf_error *err)
{
    char encoding[64];
    if (pg_query_text(k->c, encoding, sizeof encoding, err,
                      "SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database"
                      " WHERE datname = pg_catalog.current_database()") < 0) {
        return -1;
    }
    bool ascii = strcmp(encoding, "SQL_ASCII") == 0;
    if (strcmp(encoding, "UTF8") != 0) {
        mf_findings_add(k->out, ascii ? MF_BLOCKER : MF_WARNING, k->side, "encoding", k->db->facts.database,
                        "CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8';",
                        ascii ? "the target is in %s and would keep bytes unlooked at"
                              : "the target is in %s: characters it does not have are refused",
                        encoding);
    }
    return 0;
}

static int check_rights(struct pg_check *k, const struct mf_schema *s, struct mf_error *err)
{
    for (size_t i = 0; i < s->ntables; i++) {
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++) {
            seen = mf_streq(s->tables[j].schema, s->tables[i].schema);
        }
        if (seen) {
            continue;
        }
        PG_CLEANUP_RESULT PGresult *r = NULL;
        char object[160], remedy[400];
        const char *const values[] = {s->tables[i].schema};
        if (pg_query_params(k->c, &r, err,
                            "SELECT n.oid IS NULL, CASE WHEN n.oid IS NULL"
                            " THEN has_database_privilege(current_database(), 'CREATE')"
                            " ELSE has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE') END,"
                            " quote_ident(w.name), quote_ident(session_user), quote_ident(current_database())"
                            " FROM (VALUES ($1::text)) AS w(name) LEFT JOIN pg_namespace n ON n.nspname = w.name",
                            1, values) < 0) {
            return -1;
        }
        if (pg_get_bool(r, 0, 1)) {
            continue;
        }
        snprintf(object, sizeof object, "schema %.140s", values[0]);
        if (pg_get_bool(r, 0, 0)) {
            snprintf(remedy, sizeof remedy, "GRANT CREATE ON DATABASE %.140s TO %.140s;", PQgetvalue(r, 0, 4),
                     PQgetvalue(r, 0, 3));
        } else {
            snprintf(remedy, sizeof remedy, "GRANT CREATE, USAGE ON SCHEMA %.140s TO %.140s;", PQgetvalue(r, 0, 2),
                     PQgetvalue(r, 0, 3));
        }
        mf_findings_add(k->out, MF_BLOCKER, k->side, "schema-create", object, remedy,
                        "role %s may not make the source's tables and indexes in it", k->db->facts.user);
    }
    return 0;
}

static void say_size(struct pg_check *k, const struct mf_catalog *tables)
{
    int64_t bytes = 0;
    char size[32];
    for (size_t i = 0; i < tables->n; i++) {
        bytes += tables->tables[i].bytes > 0 ? tables->tables[i].bytes : 0;
    }
    mf_findings_add(k->out, MF_NOTE, k->side, "disk", k->db->facts.database, "see that the target's volume has room",
                    "%zu tables of %s come here, and their indexes", tables->n,
                    mf_format_size((uint64_t)bytes, size, sizeof size));
}

static void say_texts(struct pg_check *k, const struct mf_schema *s)
{
    for (size_t i = 0; i < s->ntables; i++) {
        for (uint16_t c = 0; c < s->tables[i].ncolumns; c++) {
            if (s->tables[i].columns[c].type.kind == MF_KIND_TEXT) {
                say(k, MF_NOTE, "conversion-nul", "texts", "",
                    "a text with a NUL character is refused here, and its row goes to quarantine");
                return;
            }
        }
    }
}

static int check(struct pg_check *k, struct mf_db *src, struct mf_schema *s, struct mf_catalog *tables,
                 struct mf_error *err)
{
    if (pg_check_refused(k, check_encoding(k, err), err) < 0 || pg_check_alone(k, err) < 0 ||
        mf_conversion_read(&k->db->base, src, k->filter, s, tables, err) < 0) {
        return -1;
    }
    check_names(k, s);
    say_texts(k, s);
    say_size(k, tables);
    return check_words(k, s, err) < 0 || pg_check_refused(k, check_rights(k, s, err), err) < 0 ||
                   pg_check_refused(k, pg_check_owners(k, tables, err), err) < 0 ||
                   pg_check_refused(k, pg_check_contents(k, tables, err), err) < 0 ||
                   pg_check_refused(k, mf_conversion_rehearse(&k->db->base, s, k->out, err), err) < 0
               ? -1
               : 0;
}

int pg_check_other(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                   struct mf_error *err)
{
    struct pg_check k;
    struct mf_schema s = {0};
    struct mf_catalog tables = {0};
    PG_LEASE(pg_db_of(db), l);
    pg_check_open(&k, l.db, filter, out);
    if (pg_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    k.c = l.conn;
    int rc = check(&k, src, &s, &tables, err);
    mf_schema_free(&s);
    mf_catalog_free(&tables);
    return rc;
}
