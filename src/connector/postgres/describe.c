/*
 * The tables that migrate, in the model's terms: what a database of another kind is made from.
 *
 * Partitions are tables of their own here, as they are in the catalogue. What the model has no word for is named in `left`: nothing is dropped without being told.
 *
 * All is read in one snapshot, and is held against the catalogue of the caller, which is older: a column that was added since is left to whoever
 * watches the schema.
 */
#include "connector/postgres/model.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/default.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t pg_described_table(const struct pg_describing *d, uint32_t oid)
{
    const struct mf_table *t = mf_catalog_by_id(d->b.own, oid);
    return t ? t - d->b.own->tables : -1;
}

/* ---- what is asked about ---- */

static int list_tables(struct pg_describing *d, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf oids = {.max = PG_SQL_MAX};
    for (size_t i = 0; i < d->b.own->n; i++) {
        mf_buf_printf(&oids, "%s%u", i ? "," : "", d->b.own->tables[i].id);
    }
    if (!pg_sql(&oids, err)) {
        return -1;
    }
    d->oids = mf_xstrdup(mf_buf_str(&oids));
    return 0;
}

/* ---- tables and columns ---- */

static int take_comments(struct pg_describing *d, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_queryf(d->c, &r, err,
                  "SELECT objoid, description FROM pg_catalog.pg_description"
                  " WHERE classoid = 'pg_catalog.pg_class'::regclass AND objsubid = 0 AND objoid IN (%s)",
                  d->oids) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        int64_t at = pg_described_table(d, pg_get_oid(r, i, 0));
        if (at >= 0) {
            d->b.schema->tables[at].comment = mf_schema_keep(&d->b, PQgetvalue(r, i, 1));
        }
    }
    return 0;
}

enum { C_TABLE, C_NAME, C_IDENTITY, C_DEFAULT, C_COMMENT, C_NO_CASE };

static const char columns_fmt[] =
    "WITH RECURSIVE " PG_MADE_CTE("SELECT atttypid FROM pg_catalog.pg_attribute WHERE attnum > 0 AND atttypid <> "
                                  "0") " SELECT a.attrelid, a.attname, a.attidentity <> '', "
                                       "pg_catalog.pg_get_expr(d.adbin, d.adrelid),"
                                       " pg_catalog.col_description(a.attrelid, a.attnum), coalesce(y.typname = "
                                       "'citext' OR NOT %s, false)"
                                       " FROM pg_catalog.pg_attribute a JOIN made m ON m.typ = a.atttypid JOIN "
                                       "pg_catalog.pg_type y ON y.oid = m.at"
                                       " LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum "
                                       "= a.attnum"
                                       " LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation"
                                       " WHERE a.attrelid IN (%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER "
                                       "BY a.attrelid, a.attnum";

static int take_columns(struct pg_describing *d, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_queryf(d->c, &r, err, columns_fmt,
                  PQserverVersion(d->c) >= 120000 ? "coalesce(co.collisdeterministic, true)" : "true", d->oids) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r) && !d->b.full; i++) {
        int64_t at = pg_described_table(d, pg_get_oid(r, i, C_TABLE));
        int k = at < 0 ? -1 : mf_table_column(&d->b.own->tables[at], PQgetvalue(r, i, C_NAME));
        if (k < 0) {
            continue;
        }
        struct mf_schema_column *c = &d->b.schema->tables[at].columns[k];
        const char *expr = pg_get(r, i, C_DEFAULT);
        bool counts = false;
        c->comment = mf_schema_keep(&d->b, pg_get(r, i, C_COMMENT));
        c->ignores_case = pg_get_bool(r, i, C_NO_CASE);
        if (expr && !c->generated) {
            c->defaulted = pg_default_parse(expr, &counts);
            c->default_text = c->defaulted == MF_DEFAULT_NONE ? NULL : mf_schema_keep(&d->b, expr);
        }
        c->counter = counts || pg_get_bool(r, i, C_IDENTITY);
    }
    return 0;
}

/* ---- defaults that are literals ---- */

/* The server says what value a literal is of that column. */
static void take_value(struct pg_describing *d, const struct mf_canon_ops *canon, const struct mf_table *own,
                       struct mf_schema_column *c, uint16_t k)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    struct mf_error ignored = {0};
    struct mf_value in, out = {0};
    c->defaulted = MF_DEFAULT_OTHER; /* unless all goes well */
    mf_buf_printf(&sql, "SELECT CAST(%s AS %s)", c->default_text, own->columns[k].type);
    if (!mf_buf_ok(&sql) || pg_query(d->c, &r, &ignored, mf_buf_str(&sql)) < 0 || PQntuples(r) != 1 ||
        PQgetisnull(r, 0, 0)) {
        return;
    }
    in = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)PQgetlength(r, 0, 0), .data = PQgetvalue(r, 0, 0)};
    if (!canon || canon->to_canon(&c->type, &d->b.schema->arena, &in, &out, &ignored) < 0 || out.kind != MF_TEXT ||
        memchr(out.data, 0, out.len)) {
        return;
    }
    MF_CLEANUP_FREE char *text = mf_xstrndup(out.data, out.len);
    c->default_text = mf_schema_keep(&d->b, text);
    c->defaulted = MF_DEFAULT_VALUE;
}

/* Outside the snapshot's transaction, which an error would end. */
static void take_values(struct pg_describing *d, const struct mf_canon_ops *canon)
{
    for (size_t i = 0; i < d->b.schema->ntables && !d->b.full; i++) {
        struct mf_schema_table *t = &d->b.schema->tables[i];
        for (uint16_t k = 0; k < t->ncolumns; k++) {
            if (t->columns[k].defaulted == MF_DEFAULT_VALUE) {
                take_value(d, canon, &d->b.own->tables[i], &t->columns[k], k);
            }
        }
    }
}

/* ---- all ---- */

static int describe(struct pg_describing *d, struct mf_db *db, const struct mf_catalog *own, struct mf_schema *s,
                    struct mf_error *err)
{
    struct mf_type **types = NULL;
    if (db->connector->canon->types(db, own, &s->arena, &types, err) < 0) {
        return -1;
    }
    mf_schema_begin(&d->b, s, own, types);
    if (d->b.full || own->n == 0) {
        return mf_schema_end(&d->b, err);
    }
    if (list_tables(d, err) < 0 || pg_exec(d->c, err, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") < 0 ||
        take_comments(d, err) < 0 || take_columns(d, err) < 0 || pg_describe_indexes(d, err) < 0 ||
        pg_describe_foreign(d, err) < 0 || pg_describe_left(d, err) < 0 || pg_exec(d->c, err, "COMMIT") < 0) {
        return -1;
    }
    take_values(d, db->connector->canon);
    return mf_schema_end(&d->b, err);
}

int pg_describe(struct mf_db *db, const struct mf_catalog *own, struct mf_schema *ret, struct mf_error *err)
{
    struct mf_schema schema = {0};
    struct pg_describing d = {0};
    PG_LEASE(pg_db_of(db), l);
    mf_arena_init(&schema.arena, MF_SCHEMA_BYTES);
    int rc = pg_lease(l.db, &l.conn, err);
    d.c = l.conn;
    rc = rc == 0 ? describe(&d, db, own, &schema, err) : rc;
    free(d.oids);
    if (rc < 0) {
        mf_error_prefix(err, "reading the schema");
        mf_schema_free(&schema);
        return -1;
    }
    *ret = schema;
    return 0;
}

const char *pg_default_schema(struct mf_db *db)
{
    (void)db;
    return "public";
}
