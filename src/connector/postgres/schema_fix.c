/* What the dump does not do: which indexes are keys, whether the tables are what the source's are, the identities that
 * midflight itself changed on the source, and materialised views. */
#include "connector/postgres/schema.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the indexes by which replay finds rows ---- */

static void key_names(const struct mf_table *t, struct mf_buf *b)
{
    for (uint16_t i = 0; i < t->nkey; i++) {
        mf_buf_printf(b, "%s\x01", t->columns[t->key[i]].name);
    }
}

static const char unique_fmt[] =
    "SELECT i.indrelid, i.indexrelid, coalesce(k.oid, 0), pg_catalog.pg_table_size(i.indrelid),"
    " (SELECT pg_catalog.string_agg(a.attname || E'\\x01', '' ORDER BY u.ord)"
    "  FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS u(attnum, ord)"
    "  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum WHERE u.ord <= %s)"
    " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid AND c.relkind = 'r'"
    " LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')"
    " AND k.conrelid = i.indrelid"
    " WHERE i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"
    " ORDER BY i.indrelid, i.indisreplident DESC, i.indisprimary DESC, i.indexrelid";

int pg_schema_keys(struct pg_schema_run *r, struct mf_error *err)
{
    PG_LEASE(r->src, l);
    PG_CLEANUP_RESULT PGresult *q = NULL;
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_queryf(l.conn, &q, err, unique_fmt, r->src->version >= 110000 ? "i.indnkeyatts" : "i.indnatts") < 0) {
        return -1;
    }
    r->keys = mf_xcalloc((size_t)PQntuples(q) + 1, sizeof(*r->keys));
    uint32_t done = 0; /* one index a table is enough */
    for (int i = 0; i < PQntuples(q); i++) {
        uint32_t id = pg_get_oid(q, i, 0);
        const struct mf_table *t = id == done ? NULL : mf_catalog_by_id(r->job->tables, id);
        MF_CLEANUP_BUF struct mf_buf names = {.max = 1u << 20};
        if (!t || t->nkey == 0 || PQgetisnull(q, i, 4)) {
            continue;
        }
        key_names(t, &names);
        if (mf_streq(mf_buf_str(&names), PQgetvalue(q, i, 4))) {
            r->keys[r->nkeys++] = (struct pg_key_index){
                .index = pg_get_oid(q, i, 1), .constraint = pg_get_oid(q, i, 2), .bytes = pg_get_i64(q, i, 3)};
            done = id;
        }
    }
    return 0;
}

/* ---- tables that were there already ---- */

/* jsonb keeps neither order, spacing nor repeated keys of json. No single value tells, so the column is refused. */
static int check_column(const struct mf_catalog *tables, const PGresult *q, int i, struct mf_error *err)
{
    enum { JSON = 114, JSONB = 3802, JSONB_ARRAY = 3807 };
    uint32_t here = pg_get_oid(q, i, 3);
    const struct mf_table *t =
        here == JSONB || here == JSONB_ARRAY ? mf_catalog_find(tables, PQgetvalue(q, i, 0), PQgetvalue(q, i, 1)) : NULL;
    int at = t ? mf_table_column(t, PQgetvalue(q, i, 2)) : -1;
    if (at < 0 || t->columns[at].element_id != JSON) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFSHAPE",
            "column \"%s\" of %s.%s is %s on the source and jsonb on the target, which would change its values (order, "
            "spacing, repeated keys)",
            t->columns[at].name, t->schema, t->name, t->columns[at].type);
    mf_hint(err, "make the target's column %s, and change its type after the migration", t->columns[at].type);
    return -1;
}

int pg_schema_check_tables(struct pg_schema_run *r, PGconn *c, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *q = NULL;
    if (pg_query(c, &q, err,
                 "SELECT n.nspname, c.relname, a.attname, a.atttypid FROM pg_catalog.pg_class c"
                 " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                 " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
                 " WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2, 3") < 0) {
        return -1;
    }
    const struct mf_catalog *tables = r->job->tables;
    size_t *columns = mf_xcalloc(tables->n + 1, sizeof(*columns));
    for (int i = 0; i < PQntuples(q); i++) {
        const struct mf_table *t = mf_catalog_find(tables, PQgetvalue(q, i, 0), PQgetvalue(q, i, 1));
        if (t && mf_table_column(t, PQgetvalue(q, i, 2)) >= 0) {
            columns[t - tables->tables]++;
        }
    }
    int rc = 0;
    for (int i = 0; rc == 0 && i < PQntuples(q); i++) {
        rc = check_column(tables, q, i, err);
    }
    for (size_t i = 0; rc == 0 && i < tables->n; i++) {
        const struct mf_table *t = &tables->tables[i];
        if (columns[i] < t->ncolumns) {
            rc = mf_fail(err, MF_FATAL, "MFSHAPE",
                         "the target has a table %s.%s of its own, with %zu of the source's %u columns", t->schema,
                         t->name, columns[i], t->ncolumns);
            mf_hint(err, "drop it or rename it on the target, or give it the source's columns");
        }
    }
    free(columns);
    return rc;
}

/* ---- replica identities ---- */

static int has_book(PGconn *c, bool *ret, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *q = NULL;
    if (pg_query(c, &q, err, "SELECT pg_catalog.to_regclass('midflight.settings') IS NOT NULL") < 0) {
        return -1;
    }
    *ret = pg_get_bool(q, 0, 0);
    return 0;
}

/* midflight has set this table's identity on the target, for the stream back. */
static int set_by_us(PGconn *c, const char *table, bool *ret, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *q = NULL;
    const char *values[] = {table};
    bool book = false;
    if (has_book(c, &book, err) < 0) {
        return -1;
    }
    if (!book) {
        *ret = false;
        return 0;
    }
    if (pg_query_params(c, &q, err,
                        "SELECT 1 FROM midflight.settings WHERE kind = 'identity rev'"
                        " AND object = pg_catalog.to_regclass($1)::oid::text",
                        1, values) < 0) {
        return -1;
    }
    *ret = PQntuples(q) > 0;
    return 0;
}

/* The source's tables may have been given another identity for the stream's sake, and the dump has that one. The target gets
 * what the tables had before, unless midflight has by now set its own there for the way back. */
int pg_schema_identities(struct pg_schema_run *r, PGconn *c, struct mf_error *err)
{
    PG_LEASE(r->src, l);
    PG_CLEANUP_RESULT PGresult *q = NULL;
    bool book = false;
    if (pg_lease(l.db, &l.conn, err) < 0 || has_book(l.conn, &book, err) < 0) {
        return -1;
    }
    if (!book) {
        return 0;
    }
    if (pg_query(
            l.conn, &q, err,
            "SELECT DISTINCT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), s.value"
            " FROM midflight.settings s JOIN pg_catalog.pg_class c ON c.oid::text = s.object"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE s.kind = 'identity fwd'") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(q); i++) {
        struct mf_error ignored = {0};
        bool ours = false;
        if (set_by_us(c, PQgetvalue(q, i, 0), &ours, err) < 0) {
            return -1;
        }
        if (!ours) { /* an index that is made later fails now and is set by the last stage */
            pg_execf(c, &ignored, "ALTER TABLE ONLY %s REPLICA IDENTITY %s", PQgetvalue(q, i, 0), PQgetvalue(q, i, 1));
        }
    }
    return 0;
}

/* ---- materialised views ---- */

static int refresh_round(struct pg_schema_run *r, PGconn *c, const PGresult *q, bool *done, bool last,
                         bool *ret_progress, struct mf_error *err)
{
    *ret_progress = false;
    for (int i = 0; i < PQntuples(q); i++) {
        struct mf_error e = {0};
        if (done[i]) {
            continue;
        }
        if (pg_execf(c, &e, "REFRESH MATERIALIZED VIEW %s", PQgetvalue(q, i, 0)) == 0) {
            done[i] = *ret_progress = true;
            continue;
        }
        if (PQstatus(c) != CONNECTION_OK) {
            *err = e;
            return -1;
        }
        if (last) {
            MF_CLEANUP_FREE char *label = mf_xasprintf("materialized view %s", PQgetvalue(q, i, 0));
            MF_CLEANUP_FREE char *remedy = mf_xasprintf("REFRESH MATERIALIZED VIEW %s", PQgetvalue(q, i, 0));
            mf_findings_add(r->findings, MF_WARNING, MF_TARGET, "schema-matview", label, remedy, "it is not filled: %s",
                            e.text);
        }
    }
    return 0;
}

/* One may read another, so those that fail are tried again as long as any succeeds. */
int pg_schema_refresh(struct pg_schema_run *r, PGconn *c, struct mf_error *err)
{
    PG_LEASE(r->src, l);
    PG_CLEANUP_RESULT PGresult *q = NULL;
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_query(l.conn, &q, err,
                 "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)"
                 " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                 " WHERE c.relkind = 'm' AND c.relispopulated AND " PG_USER_NAMESPACE " ORDER BY c.oid") < 0) {
        return -1;
    }
    MF_CLEANUP_FREE bool *done = mf_xcalloc((size_t)PQntuples(q) + 1, sizeof(*done));
    bool progress = true;
    while (progress) {
        if (refresh_round(r, c, q, done, false, &progress, err) < 0) {
            return -1;
        }
    }
    return refresh_round(r, c, q, done, true, &progress, err);
}
