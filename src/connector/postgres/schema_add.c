/*
 * What is added while the migration runs: columns, and the schemas of new tables.
 *
 * A column that was added with a constant default is not written into the rows that were there: the server remembers the constant (attmissingval)
 * and shows it for them. The other side is given the column with that constant as its default, so that its old rows, which are the same,
 * show the same; then the default is made what it is on the origin now. Where the origin has no such constant but a default, its rows were
 * rewritten, each perhaps with a value of its own, and no change in the stream told of it: that is refused.
 */
#include "connector/postgres/schema.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int pg_schema_namespaces(struct pg_schema_run *r, PGconn *c, struct mf_error *err)
{
    for (size_t i = 0; i < r->job->tables->n; i++) {
        MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
        PG_CLEANUP_RESULT PGresult *q = NULL;
        const char *values[] = {r->job->tables->tables[i].schema};
        if (pg_query_params(c, &q, err, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", 1, values) < 0) {
            return -1;
        }
        if (PQntuples(q) > 0) {
            continue;
        }
        mf_buf_puts(&sql, "CREATE SCHEMA IF NOT EXISTS ");
        pg_put_ident(&sql, values[0]);
        if (pg_exec(c, err, mf_buf_str(&sql)) < 0) {
            mf_error_prefix(err, "making schema %s", values[0]);
            return -1;
        }
    }
    return 0;
}

/* ---- columns ---- */

enum { NOT_NULL, IDENTITY, GENERATED, HAS_MISSING, MISSING, EXPRESSION, TYPE, COLLATION };

static int describe(struct pg_db *src, const struct mf_table *t, const struct mf_column *col, PGresult **ret,
                    struct mf_error *err)
{
    PG_LEASE(src, l);
    char id[16];
    snprintf(id, sizeof(id), "%" PRIu32, t->id);
    const char *values[] = {id, col->name};
    if (pg_lease(src, &l.conn, err) < 0) {
        return -1;
    }
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192};
    bool eleven = src->version >= 110000, twelve = src->version >= 120000;
    mf_buf_printf(
        &sql,
        "SELECT a.attnotnull, a.attidentity <> '', %s, %s, %s,"
        " pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.format_type(a.atttypid, a.atttypmod),"
        " CASE WHEN a.attcollation <> y.typcollation THEN pg_catalog.format('%%I.%%I', cn.nspname, co.collname) END"
        " FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid"
        " LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation"
        " LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace"
        " WHERE a.attrelid = $1::oid AND a.attname = $2 AND NOT a.attisdropped",
        twelve ? "a.attgenerated <> ''" : "false", eleven ? "a.atthasmissing" : "false",
        eleven ? "(a.attmissingval::text::text[])[1]" : "NULL");
    if (!pg_sql(&sql, err) || pg_query_params(l.conn, ret, err, mf_buf_str(&sql), 2, values) < 0) {
        return -1;
    }
    if (PQntuples(*ret) == 0) {
        mf_fail(err, MF_FATAL, "MFDDL", "column \"%s\" of %s.%s was added on the origin and dropped again", col->name,
                t->schema, t->name);
        mf_hint(err, "start midflight again with on_ddl: ignore until it is past this");
        return -1;
    }
    return 0;
}

/* Whether the rows that were there when the column came are known to have a value that is the same for all. */
static int carriable(const struct mf_table *t, const struct mf_column *col, const PGresult *q, struct mf_error *err)
{
    const char *why = NULL;
    bool missing = pg_get_bool(q, 0, HAS_MISSING);
    if (pg_get_bool(q, 0, IDENTITY)) {
        why = "it is an identity column, and every row was given a number of its own";
    } else if (pg_get_bool(q, 0, GENERATED)) {
        why = "it is a generated column";
    } else if (!missing && !PQgetisnull(q, 0, EXPRESSION)) {
        why = "it has a default that may have given every row a value of its own (or the table was rewritten since)";
    } else if (!missing && pg_get_bool(q, 0, NOT_NULL)) {
        why = "it is NOT NULL and has no default";
    }
    if (!why) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFDDL", "column \"%s\" (%s) was added to table %s.%s and cannot be carried over: %s",
            col->name, PQgetvalue(q, 0, TYPE), t->schema, t->name, why);
    mf_hint(
        err,
        "add it on the other side by hand as the origin has it, start midflight again, and run midflight verify "
        "--repair: it writes the values of the rows that were there. Nothing is lost, the changes wait in the spool");
    return -1;
}

/* The table to alter on our side: a partition's columns are its root's. */
static int root_of(PGconn *c, const struct mf_table *t, char *ret, size_t n, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *q = NULL;
    const char *values[] = {t->schema, t->name};
    if (pg_query_params(
            c, &q, err,
            "WITH RECURSIVE up(oid, depth) AS ("
            " SELECT c.oid, 0 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
            "  ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')"
            " UNION ALL SELECT i.inhparent, depth + 1 FROM up JOIN pg_catalog.pg_class c ON c.oid = up.oid"
            "  AND c.relispartition JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid)"
            " SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)"
            " FROM up JOIN pg_catalog.pg_class c ON c.oid = up.oid"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY depth DESC LIMIT 1",
            2, values) < 0) {
        return -1;
    }
    if (PQntuples(q) == 0) {
        return mf_fail(err, MF_FATAL, "MFSHAPE", "the target has no table %s.%s", t->schema, t->name);
    }
    mf_strlcpy(ret, PQgetvalue(q, 0, 0), n);
    return 0;
}

int pg_schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t, const struct mf_column *col,
                         int64_t stamp, struct mf_error *err)
{
    (void)stamp;
    PG_LEASE(pg_db_of(db), l);
    PG_CLEANUP_RESULT PGresult *q = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 16u << 20}, name = {.max = 1024};
    char table[512];
    if (describe(pg_db_of(src), t, col, &q, err) < 0 || carriable(t, col, q, err) < 0 ||
        pg_lease(l.db, &l.conn, err) < 0 || root_of(l.conn, t, table, sizeof(table), err) < 0) {
        return -1;
    }
    pg_put_ident(&name, col->name);
    mf_buf_printf(&sql, "BEGIN; ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s", table, mf_buf_str(&name),
                  PQgetvalue(q, 0, TYPE));
    if (!PQgetisnull(q, 0, COLLATION)) {
        mf_buf_printf(&sql, " COLLATE %s", PQgetvalue(q, 0, COLLATION));
    }
    if (pg_get_bool(q, 0, HAS_MISSING)) {
        mf_buf_puts(&sql, " DEFAULT ");
        pg_put_literal(&sql, PQgetvalue(q, 0, MISSING));
    }
    mf_buf_puts(&sql, pg_get_bool(q, 0, NOT_NULL) ? " NOT NULL" : "");
    mf_buf_printf(&sql, "; ALTER TABLE %s ALTER COLUMN %s ", table, mf_buf_str(&name));
    if (PQgetisnull(q, 0, EXPRESSION)) {
        mf_buf_puts(&sql, "DROP DEFAULT");
    } else {
        mf_buf_printf(&sql, "SET DEFAULT %s", PQgetvalue(q, 0, EXPRESSION));
    }
    mf_buf_puts(&sql, "; COMMIT");
    if (!pg_sql(&sql, err)) {
        return -1;
    }
    if (pg_exec(l.conn, err, mf_buf_str(&sql)) < 0) {
        pg_exec(l.conn, NULL, "ROLLBACK");
        mf_error_prefix(err, "adding column \"%s\" to %s.%s", col->name, t->schema, t->name);
        return -1;
    }
    return 0;
}
