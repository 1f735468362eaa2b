/*
 * Replica identities (what the server writes of an old row), and the end of a stream.
 *
 * A table needs one of: a replica identity index that is still there; its primary key, with the default identity; or
 * FULL. Otherwise it is given its best unique index, and where it has none, FULL.
 */
#include "connector/postgres/prepare.h"

#include "base/clock.h"
#include "base/fault.h"
#include "connector/postgres/slot.h"
#include "connector/postgres/truncate.h"

#include <stdio.h>
#include <string.h>

#define DROP_WAIT_MS 20000

/* The same choice of index as catalog.c makes; see there. */
static const char identities_fmt[] =
    "SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname),"
    " CASE c.relreplident WHEN 'd' THEN 'DEFAULT' WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'"
    "  ELSE coalesce('USING INDEX ' || quote_ident((SELECT ic.relname FROM pg_catalog.pg_index ri"
    "   JOIN pg_catalog.pg_class ic ON ic.oid = ri.indexrelid WHERE ri.indrelid = c.oid AND ri.indisreplident)), "
    "'DEFAULT') END,"
    " CASE WHEN c.relreplident = 'f' OR (c.relreplident = 'i' AND b.indisreplident) OR (c.relreplident = 'd' AND "
    "b.indisprimary)"
    "  THEN '' WHEN b.indisprimary THEN 'DEFAULT' WHEN b.name IS NOT NULL THEN 'USING INDEX ' || quote_ident(b.name) "
    "ELSE 'FULL' END,"
    " n.nspname, c.relname,"
    " CASE WHEN b.indisprimary THEN 'DEFAULT' WHEN b.name IS NOT NULL THEN 'USING INDEX ' || quote_ident(b.name) END,"
    " EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "AND %s) "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN LATERAL ("
    " SELECT ic.relname AS name, i.indisprimary, i.indisreplident FROM pg_catalog.pg_index i"
    " JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid"
    " CROSS JOIN LATERAL (SELECT count(*) AS n, sum(CASE WHEN a.attlen < 0 THEN 64 ELSE a.attlen END) AS width,"
    "  bool_and(a.attnotnull AND a.attnum > 0 AND NOT %s) AS ok"
    "  FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS p(attnum, ord)"
    "  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = p.attnum WHERE p.ord <= %s) k"
    " WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indisready AND i.indimmediate"
    " AND i.indpred IS NULL AND i.indexprs IS NULL AND k.ok"
    " ORDER BY (c.relreplident = 'i' AND i.indisreplident) DESC, i.indisprimary DESC, k.n, k.width, i.indexrelid LIMIT "
    "1) b ON true "
    "WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND " PG_USER_NAMESPACE " ORDER BY c.oid";

int pg_identities(PGconn *c, PGresult **ret, struct mf_error *err)
{
    int version = PQserverVersion(c);
    const char *generated = version >= 120000 ? "a.attgenerated <> ''" : "false";
    return pg_queryf(c, ret, err, identities_fmt, generated, generated,
                     version >= 110000 ? "i.indnkeyatts" : "i.indnatts");
}

bool pg_identity_is_full(const PGresult *r, int row)
{
    const char *wanted = PQgetvalue(r, row, PG_IDENTITY_WANTED);
    return strcmp(*wanted ? wanted : PQgetvalue(r, row, PG_IDENTITY_NOW), "FULL") == 0;
}

void pg_identity_remedy(const PGresult *r, int row, char *out, size_t n)
{
    const char *table = PQgetvalue(r, row, PG_IDENTITY_TABLE), *key = pg_get(r, row, PG_IDENTITY_KEY);
    snprintf(out, n, key ? "ALTER TABLE ONLY %s REPLICA IDENTITY %s;" : "ALTER TABLE %s ADD PRIMARY KEY (…);%s", table,
             key ? key : "");
}

/* ---- the end of a stream ---- */

/* Names of slots are the whole server's: one that is of another database is of another migration. */
static int drop_slot(PGconn *c, const char *database, const char *name, struct mf_error *err)
{
    const char *const values[] = {name};
    struct mf_error e = {0};
    struct pg_slot slot;
    int64_t end = mf_now_us() + DROP_WAIT_MS * MF_US_PER_MS;
    do {
        if (pg_slot_read(c, name, &slot, err) < 0) {
            return -1;
        }
        if (!slot.exists || strcmp(slot.database, database) != 0) {
            return 0;
        }
        if (pg_slot_free(c, name, DROP_WAIT_MS, err) < 0) {
            return -1;
        }
        PG_CLEANUP_RESULT PGresult *r = NULL;
        if (pg_query_params(
                c, &r, &e,
                "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots "
                "WHERE slot_name = $1 AND database = pg_catalog.current_database()",
                1, values) == 0 ||
            pg_is_sqlstate(&e, "42704")) {
            return 0;
        }
    } while (pg_is_sqlstate(&e, "55006") && mf_now_us() < end); /* taken again between the two */
    *err = e;
    mf_error_prefix(err, "dropping replication slot \"%s\"", name);
    return -1;
}

/* Puts a table's identity back and forgets that it was changed. The index it named may be gone: then the default, which is
 * what the server itself makes of it. */
static int restore_identity(PGconn *c, const struct mf_pipe_id *pipe, const char *oid, const char *table,
                            const char *was, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8192};
    for (int try = 0; try < 2; try++) {
        mf_buf_reset(&b);
        mf_buf_puts(&b, "BEGIN; ");
        if (table) {
            mf_buf_printf(&b, "ALTER TABLE ONLY %s REPLICA IDENTITY %s; ", table, try == 0 ? was : "DEFAULT");
        }
        mf_buf_puts(&b, "DELETE FROM midflight.settings WHERE migration = ");
        pg_put_literal(&b, pipe->migration);
        mf_buf_printf(&b, " AND kind = 'identity %s' AND object = '%s'; COMMIT", pg_direction(pipe->direction), oid);
        if (pg_exec_locking(c, mf_buf_str(&b), table ? table : "midflight.settings", err) == 0) {
            return 0;
        }
        if (!pg_is_sqlstate(err, "42704") && !pg_is_sqlstate(err, "42P01")) {
            return -1;
        }
        if (pg_is_sqlstate(err, "42P01")) {
            table = NULL; /* dropped meanwhile */
        }
    }
    return -1;
}

static int restore_identities(PGconn *c, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    mf_buf_puts(&b, "SELECT s.object, s.value, quote_ident(n.nspname) || '.' || quote_ident(c.relname) "
                    "FROM midflight.settings s LEFT JOIN pg_catalog.pg_class c ON c.oid = s.object::oid "
                    "LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE s.migration = ");
    pg_put_literal(&b, pipe->migration);
    mf_buf_printf(&b, " AND s.kind = 'identity %s'", pg_direction(pipe->direction));
    if (pg_query(c, &r, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        if (restore_identity(c, pipe, PQgetvalue(r, i, 0), pg_get(r, i, 2), PQgetvalue(r, i, 1), err) < 0) {
            return -1;
        }
    }
    return 0;
}

int pg_stream_drop(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    char name[PG_SLOT_NAME], book[8];
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    PG_LEASE(pg_db_of(base), l);
    pg_pipe_name(pipe, name);
    mf_buf_printf(&b, "DROP PUBLICATION IF EXISTS \"%s\"", name);
    if (pg_lease(l.db, &l.conn, err) < 0 || drop_slot(l.conn, l.db->facts.database, name, err) < 0 ||
        MF_FAULT(err, "postgres.slot_dropped") || pg_exec_locking(l.conn, mf_buf_str(&b), name, err) < 0 ||
        pg_query_text(l.conn, book, sizeof book, err,
                      "SELECT pg_catalog.to_regclass('midflight.settings') IS NOT NULL") < 0) {
        return -1;
    }
    if (book[0] != 't') {
        return 0;
    }
    if (pg_unwatch_truncates(l.conn, pipe, err) < 0 || restore_identities(l.conn, pipe, err) < 0) {
        return -1;
    }
    mf_buf_reset(&b);
    mf_buf_puts(&b, "DELETE FROM midflight.settings WHERE migration = ");
    pg_put_literal(&b, pipe->migration);
    mf_buf_printf(&b, " AND kind IN ('slot %s', 'published %s')", pg_direction(pipe->direction),
                  pg_direction(pipe->direction));
    return pg_exec(l.conn, err, mf_buf_str(&b));
}
