/*
 * What the gate cannot stop, and whether it stands: looked at before writers are held and again while they are.
 *
 * A subscription's apply worker fires row triggers only, never the statement triggers the gate is made of: while one is on,
 * rows come in whatever the epoch says. And an owner's ALTER TABLE … DISABLE TRIGGER USER, or ENABLE after it, takes the
 * gate's ALWAYS away. gate_install writes down which tables have the gate (settings, kind 'gate'), so that a table whose
 * trigger is gone is missed.
 */
#include "connector/postgres/gate.h"

#include <string.h>

/* Names of subscriptions come from pg_stat_subscription, which everybody may read: before 12 pg_subscription kept its oid
 * from all but superusers. To be filled in: the tables, as a query of their oids. */
#define SUBSCRIPTIONS                                                                                                  \
    "WITH RECURSIVE up(oid, leaf) AS (SELECT m.oid, m.oid FROM (%s) m"                                                 \
    " UNION SELECT i.inhparent, up.leaf FROM pg_catalog.pg_inherits i JOIN up ON i.inhrelid = up.oid)"                 \
    " SELECT s.subname, quote_ident(s.subname),"                                                                       \
    " min(quote_ident(n.nspname) || '.' || quote_ident(c.relname)), count(DISTINCT c.oid)"                             \
    " FROM pg_catalog.pg_subscription_rel r"                                                                           \
    " JOIN (SELECT DISTINCT subid, subname, bool_or(pid IS NOT NULL) OVER (PARTITION BY subid) AS works"               \
    "  FROM pg_catalog.pg_stat_subscription) w ON w.subid = r.srsubid"                                                 \
    " JOIN pg_catalog.pg_subscription s ON s.subname = w.subname AND s.subdbid ="                                      \
    "  (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"                         \
    " JOIN up ON up.oid = r.srrelid JOIN pg_catalog.pg_class c ON c.oid = up.leaf"                                     \
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                                                        \
    " WHERE s.subenabled OR w.works GROUP BY 1, 2 ORDER BY 1"

int pg_subscriptions(PGconn *c, const struct mf_catalog *tables, PGresult **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    mf_buf_puts(&b, "SELECT unnest(ARRAY[");
    for (size_t i = 0; i < tables->n; i++) {
        mf_buf_printf(&b, "%s%u", i ? "," : "", tables->tables[i].id);
    }
    mf_buf_puts(&b, "]::oid[]) AS oid");
    const char *oids = pg_sql(&b, err);
    return oids ? pg_queryf(c, ret, err, SUBSCRIPTIONS, oids) : -1;
}

int pg_fail_subscription(const PGresult *r, struct mf_error *err)
{
    mf_fail(
        err, MF_ABANDONED, "MFSUBSCRIPTION",
        "subscription %s writes table %s%s from another server, and no trigger of ours can hold it: rows would come "
        "in after writes were moved",
        PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 2), pg_get_i64(r, 0, 3) > 1 ? " (and others)" : "");
    mf_hint(err, "ALTER SUBSCRIPTION %s DISABLE; then again. After the cutover, subscribe on the new side",
            PQgetvalue(r, 0, 1));
    return -1;
}

static int no_subscription(PGconn *c, const char *oids, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_queryf(c, &r, err, SUBSCRIPTIONS, oids) < 0) {
        return -1;
    }
    return PQntuples(r) > 0 ? pg_fail_subscription(r, err) : 0;
}

int pg_gate_stands(PGconn *c, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    MF_CLEANUP_BUF struct mf_buf oids = {.max = 1024};
    mf_buf_printf(&oids, "SELECT object::oid AS oid FROM midflight.settings WHERE migration = '%s' AND kind = 'gate'",
                  pipe->migration);
    if (pg_queryf(c, &r, err,
                  "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), count(*) OVER () FROM (%s) g"
                  " JOIN pg_catalog.pg_class c ON c.oid = g.oid"
                  " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                  " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid"
                  " AND t.tgname = 'midflight_gate_%s' AND t.tgenabled = 'A') ORDER BY 1 LIMIT 1",
                  mf_buf_str(&oids), pipe->migration) < 0) {
        return -1;
    }
    if (PQntuples(r) > 0) {
        mf_fail(
            err, MF_ABANDONED, "MFGATE",
            "somebody has switched off or dropped the gate of table %s (%s tables in all): its writers cannot be held",
            PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1));
        mf_hint(err,
                "keep ALTER TABLE … DISABLE TRIGGER and ENABLE TRIGGER away from the migrated tables until the move "
                "is over, then try again: the gates are put up anew");
        return -1;
    }
    return no_subscription(c, mf_buf_str(&oids), err);
}
