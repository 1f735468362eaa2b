/* Foreign keys, looked at as rows stand. What applies rows does not have the server check them, so rows that refer to nothing come in without a
 * word, from a side that keeps no foreign keys, and the constraint says all the same that it is validated.
 *
 * The server puts each question together: its own operators compare, those of the constraint. Keys that it does not hold rows to (NOT VALID, NOT ENFORCED)
 * are left out, and those of tables that may not be read, which do not migrate. */
#include "connector/postgres/connect.h"
#include "connector/postgres/postgres.h"
#include "connector/postgres/target.h"

#include <string.h>

enum { R_NAME, R_SCHEMA, R_TABLE, R_PARTED, R_REF_SCHEMA, R_REF_TABLE, R_REF_PARTED, R_SQL };

#define ONLY(kind) "CASE " kind " WHEN 'r' THEN 'ONLY ' ELSE '' END"

static const char list_sql[] =
    "SELECT c.conname, n.nspname, t.relname, t.relkind = 'p', fn.nspname, f.relname, f.relkind = 'p', "
    "pg_catalog.format('SELECT pg_catalog.concat_ws('', '', %s) FROM %s%I.%I a WHERE %s"
    " AND NOT EXISTS (SELECT FROM %s%I.%I b WHERE %s) LIMIT 1',"
    " k.shown, " ONLY(
        "t.relkind") ", n.nspname, t.relname,"
                     " CASE c.confmatchtype WHEN 'f' THEN pg_catalog.format('pg_catalog.num_nulls(%s) < %s', "
                     "k.columns, k.n)"
                     "  ELSE k.all_there END, " ONLY(
                         "f.relkind") ", fn.nspname, f.relname, k.equal) "
                                      "FROM pg_catalog.pg_constraint c "
                                      "JOIN pg_catalog.pg_class t ON t.oid = c.conrelid JOIN pg_catalog.pg_namespace n "
                                      "ON n.oid = t.relnamespace "
                                      "JOIN pg_catalog.pg_class f ON f.oid = c.confrelid JOIN pg_catalog.pg_namespace "
                                      "fn ON fn.oid = f.relnamespace "
                                      "CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS n, "
                                      "pg_catalog.string_agg(pg_catalog.format("
                                      "  '%L || coalesce(a.%I::pg_catalog.text, ''NULL'')', x.attname || '=', "
                                      "x.attname), ', ' ORDER BY u.at) AS shown,"
                                      " pg_catalog.string_agg(pg_catalog.format('a.%I', x.attname), ', ' ORDER BY "
                                      "u.at) AS columns,"
                                      " pg_catalog.string_agg(pg_catalog.format('a.%I IS NOT NULL', x.attname), ' AND "
                                      "') AS all_there,"
                                      " pg_catalog.string_agg(pg_catalog.format('b.%I OPERATOR(%I.%s) a.%I', "
                                      "y.attname, o.nspname, p.oprname, x.attname),"
                                      "  ' AND ') AS equal"
                                      " FROM ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey), "
                                      "pg_catalog.unnest(c.conpfeqop))"
                                      "  WITH ORDINALITY AS u(x, y, p, at)"
                                      " JOIN pg_catalog.pg_attribute x ON x.attrelid = c.conrelid AND x.attnum = u.x"
                                      " JOIN pg_catalog.pg_attribute y ON y.attrelid = c.confrelid AND y.attnum = u.y"
                                      " JOIN pg_catalog.pg_operator p ON p.oid = u.p JOIN pg_catalog.pg_namespace o ON "
                                      "o.oid = p.oprnamespace) k "
                                      "WHERE c.contype = 'f' AND c.convalidated AND c.conparentid = 0"
                                      " AND pg_catalog.to_jsonb(c) ->> 'conenforced' IS DISTINCT FROM 'false'"
                                      " AND pg_catalog.has_table_privilege(c.conrelid, 'SELECT') AND "
                                      "pg_catalog.has_table_privilege(c.confrelid, "
                                      "'SELECT') ORDER BY 2, 3, 1";

/* One of both migrates; a partitioned table stands for its partitions. */
static bool concerns(const struct mf_catalog *tables, const PGresult *r, int i)
{
    return pg_get_bool(r, i, R_PARTED) || pg_get_bool(r, i, R_REF_PARTED) ||
           mf_catalog_find(tables, PQgetvalue(r, i, R_SCHEMA), PQgetvalue(r, i, R_TABLE)) ||
           mf_catalog_find(tables, PQgetvalue(r, i, R_REF_SCHEMA), PQgetvalue(r, i, R_REF_TABLE));
}

static int whole(PGconn *c, const PGresult *r, int i, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *orphan = NULL;
    if (pg_query(c, &orphan, err, PQgetvalue(r, i, R_SQL)) < 0) {
        mf_error_prefix(err, "checking foreign key %s of %s.%s", PQgetvalue(r, i, R_NAME), PQgetvalue(r, i, R_SCHEMA),
                        PQgetvalue(r, i, R_TABLE));
        return -1;
    }
    return PQntuples(orphan) == 0 ? 0
                                  : mf_fail_orphan(PQgetvalue(r, i, R_NAME), PQgetvalue(r, i, R_SCHEMA),
                                                   PQgetvalue(r, i, R_TABLE), PQgetvalue(r, i, R_REF_SCHEMA),
                                                   PQgetvalue(r, i, R_REF_TABLE), PQgetvalue(orphan, 0, 0), err);
}

int pg_references_whole(struct mf_db *db, const struct mf_catalog *tables, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    PG_LEASE(pg_db_of(db), l);
    if (pg_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    if (pg_query(l.conn, &r, err, list_sql) < 0) {
        mf_error_prefix(err, "reading foreign keys");
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        if (concerns(tables, r, i) && whole(l.conn, r, i, err) < 0) {
            return -1;
        }
    }
    return 0;
}
