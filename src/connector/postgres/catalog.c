/*
 * The tables that migrate, as the database's catalogue has them.
 *
 * A table here is one with rows of its own: ordinary tables, partitions (leaves), inheritance parents and children each
 * by itself. A partitioned table has no rows; its leaves are what is copied and streamed. Tables of extensions belong
 * to their extension, but for the few it declares to hold a user's configuration.
 *
 * The key is what a row is found by on both sides, and it must be what the source SENDS of an old row: the replica
 * identity index where one is set, else the primary key, else the best unique index (which stream_prepare then makes the
 * replica identity). A key that is deferrable, partial, on expressions, nullable, or on a generated column is none.
 *
 * All is read in one snapshot.
 */
#include "connector/postgres/catalog.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CATALOG_BYTES ((size_t)1 << 30)

static int too_big(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the catalogue of tables needs more than %zu MB of memory",
                   CATALOG_BYTES >> 20);
}

bool pg_filter_matches(const struct mf_filter *f, const char *schema, const char *name, const char *root_schema,
                       const char *root_name)
{
    if (!f || !root_name) {
        return mf_filter_match(f, schema, name);
    }
    struct mf_filter in = {.include = f->include, .ninclude = f->ninclude};
    struct mf_filter out = {.exclude = f->exclude, .nexclude = f->nexclude};
    return (mf_filter_match(&in, schema, name) || mf_filter_match(&in, root_schema, root_name)) &&
           mf_filter_match(&out, schema, name) && mf_filter_match(&out, root_schema, root_name);
}

/* ---- tables ---- */

static const char tables_fmt[] =
    "WITH RECURSIVE up(oid, root) AS ("
    " SELECT c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'p' AND NOT c.relispartition"
    " UNION ALL SELECT i.inhrelid, up.root FROM pg_catalog.pg_inherits i JOIN up ON i.inhparent = up.oid) "
    "SELECT c.oid, n.nspname, c.relname, %s, rn.nspname, rc.relname "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid "
    "LEFT JOIN up ON up.oid = c.oid LEFT JOIN pg_catalog.pg_class rc ON rc.oid = up.root "
    "LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace "
    "WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND " PG_USER_NAMESPACE " AND " PG_NOT_EXTENSION
    " ORDER BY c.oid";

/* Figures of the last vacuum or analyse where there are any: asking for the true size waits for locks. */
static const char figures_sql[] =
    "CASE WHEN c.relpages > 0"
    "  THEN (c.relpages::bigint + coalesce(t.relpages, 0)) * current_setting('block_size')::int"
    "  ELSE pg_catalog.pg_table_size(c.oid) END,"
    " CASE WHEN c.relpages > 0 AND c.reltuples >= 0 THEN c.reltuples::bigint"
    "  WHEN pg_catalog.pg_relation_size(c.oid) = 0 THEN 0 ELSE -1 END";

static int read_tables(PGconn *c, const struct mf_filter *filter, bool figures, struct mf_catalog *cat,
                       struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_queryf(c, &r, err, tables_fmt, figures ? figures_sql : "0, -1") < 0) {
        return -1;
    }
    int rows = PQntuples(r);
    cat->tables = mf_alloc_array(&cat->arena, (size_t)rows + 1, sizeof *cat->tables);
    if (!cat->tables) {
        return too_big(err);
    }
    for (int i = 0; i < rows; i++) {
        const char *schema = PQgetvalue(r, i, 1), *name = PQgetvalue(r, i, 2);
        if (!pg_filter_matches(filter, schema, name, pg_get(r, i, 5), pg_get(r, i, 6))) {
            continue;
        }
        struct mf_table *t = &cat->tables[cat->n++];
        t->id = pg_get_oid(r, i, 0);
        t->schema = mf_strdup_a(&cat->arena, schema);
        t->name = mf_strdup_a(&cat->arena, name);
        t->bytes = pg_get_i64(r, i, 3);
        t->rows_estimate = pg_get_i64(r, i, 4);
        t->identity = MF_IDENTITY_FULL;
        if (!t->schema || !t->name) {
            return too_big(err);
        }
    }
    return 0;
}

/* Tables are in order of oid, and so are the rows of the other queries. */
static struct mf_table *table_of(struct mf_catalog *cat, size_t *at, uint32_t oid)
{
    while (*at < cat->n && cat->tables[*at].id < oid) {
        ++*at;
    }
    return *at < cat->n && cat->tables[*at].id == oid ? &cat->tables[*at] : NULL;
}

/* ---- columns ---- */

static int read_columns(PGconn *c, struct mf_catalog *cat, int16_t **attnums, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_queryf(
            c, &r, err,
            "WITH RECURSIVE " PG_MADE_CTE("SELECT atttypid FROM pg_catalog.pg_attribute WHERE attnum > 0 AND atttypid "
                                          "<> 0") " SELECT a.attrelid, a.attname, pg_catalog.format_type(a.atttypid, "
                                                  "a.atttypmod), a.atttypid, a.atttypmod, "
                                                  "a.attnotnull, %s, a.attnum, m.at, CASE WHEN a.atttypmod >= 0 THEN "
                                                  "a.atttypmod ELSE m.mod END "
                                                  "FROM pg_catalog.pg_attribute a JOIN made m ON m.typ = a.atttypid "
                                                  "JOIN pg_catalog.pg_class c ON c.oid = a.attrelid "
                                                  "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
                                                  "WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND a.attnum > 0 "
                                                  "AND NOT a.attisdropped "
                                                  "AND " PG_USER_NAMESPACE " ORDER BY a.attrelid, a.attnum",
            PQserverVersion(c) >= 120000 ? "a.attgenerated <> ''" : "false") < 0) {
        return -1;
    }
    size_t at = 0;
    for (int i = 0, rows = PQntuples(r), next; i < rows; i = next) {
        uint32_t oid = pg_get_oid(r, i, 0);
        for (next = i + 1; next < rows && pg_get_oid(r, next, 0) == oid;) {
            next++;
        }
        struct mf_table *t = table_of(cat, &at, oid);
        if (!t) {
            continue;
        }
        t->ncolumns = (uint16_t)(next - i);
        t->columns = mf_alloc_array(&cat->arena, t->ncolumns, sizeof *t->columns);
        attnums[at] = mf_alloc_array(&cat->arena, t->ncolumns, sizeof **attnums);
        if (!t->columns || !attnums[at]) {
            return too_big(err);
        }
        for (uint16_t k = 0; k < t->ncolumns; k++) {
            struct mf_column *col = &t->columns[k];
            col->name = mf_strdup_a(&cat->arena, PQgetvalue(r, i + k, 1));
            col->type = mf_strdup_a(&cat->arena, PQgetvalue(r, i + k, 2));
            col->type_id = pg_get_oid(r, i + k, 3);
            col->type_mod = (int32_t)pg_get_i64(r, i + k, 4);
            col->element_id = pg_get_oid(r, i + k, 8);
            col->element_mod = (int32_t)pg_get_i64(r, i + k, 9);
            col->not_null = pg_get_bool(r, i + k, 5);
            col->generated = pg_get_bool(r, i + k, 6);
            attnums[at][k] = col->number = (int16_t)pg_get_i64(r, i + k, 7);
            if (!col->name || !col->type) {
                return too_big(err);
            }
        }
    }
    return 0;
}

/* ---- keys ---- */

/* The first index of each table that can be a key, best first. Replica identity before primary key: see the note above. */
static const char keys_fmt[] =
    "SELECT DISTINCT ON (i.indrelid) i.indrelid, k.attnums "
    "FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "CROSS JOIN LATERAL (SELECT string_agg(a.attnum::text, ' ' ORDER BY p.ord) AS attnums, count(*) AS n,"
    " sum(CASE WHEN a.attlen < 0 THEN 64 ELSE a.attlen END) AS width, bool_and(a.attnotnull AND a.attnum > 0 AND NOT "
    "%s) AS ok"
    " FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS p(attnum, ord)"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = p.attnum WHERE p.ord <= %s) k "
    "WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND i.indisunique AND i.indisvalid AND i.indisready AND "
    "i.indimmediate "
    "AND i.indpred IS NULL AND i.indexprs IS NULL AND k.ok AND " PG_USER_NAMESPACE " "
    "ORDER BY i.indrelid, (c.relreplident = 'i' AND i.indisreplident) DESC, i.indisprimary DESC, k.n, k.width, "
    "i.indexrelid";

static int read_keys(PGconn *c, struct mf_catalog *cat, int16_t **attnums, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    int version = PQserverVersion(c);
    if (pg_queryf(c, &r, err, keys_fmt, version >= 120000 ? "a.attgenerated <> ''" : "false",
                  version >= 110000 ? "i.indnkeyatts" : "i.indnatts") < 0) {
        return -1;
    }
    size_t at = 0;
    for (int i = 0; i < PQntuples(r); i++) {
        struct mf_table *t = table_of(cat, &at, pg_get_oid(r, i, 0));
        if (!t || t->ncolumns == 0) {
            continue;
        }
        t->key = mf_alloc_array(&cat->arena, t->ncolumns, sizeof *t->key);
        if (!t->key) {
            return too_big(err);
        }
        char *next = PQgetvalue(r, i, 1);
        while (*next && t->nkey < t->ncolumns) {
            long attnum = strtol(next, &next, 10);
            for (uint16_t k = 0; k < t->ncolumns; k++) {
                if (attnums[at][k] == attnum && !t->columns[k].in_key) {
                    t->key[t->nkey++] = k;
                    t->columns[k].in_key = true;
                }
            }
        }
        t->identity = t->nkey > 0 ? MF_IDENTITY_KEY : MF_IDENTITY_FULL;
    }
    return 0;
}

/* ---- all ---- */

static int load(PGconn *c, const struct mf_filter *filter, bool figures, struct mf_catalog *ret, struct mf_error *err)
{
    struct mf_catalog cat = {0};
    mf_arena_init(&cat.arena, CATALOG_BYTES);
    if (read_tables(c, filter, figures, &cat, err) < 0) {
        mf_catalog_free(&cat);
        return -1;
    }
    MF_CLEANUP_FREE int16_t **attnums = mf_xcalloc(cat.n + 1, sizeof *attnums);
    if (read_columns(c, &cat, attnums, err) < 0 || read_keys(c, &cat, attnums, err) < 0) {
        mf_catalog_free(&cat);
        return -1;
    }
    *ret = cat;
    return 0;
}

int pg_catalog_load(PGconn *c, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return load(c, filter, true, ret, err);
}

static int read_all(struct mf_db *db, const struct mf_filter *filter, bool figures, struct mf_catalog *ret,
                    struct mf_error *err)
{
    PG_LEASE(pg_db_of(db), l);
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_execf(l.conn, err, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = %d",
                 PG_CATALOG_LOCK_MS) < 0) {
        return -1;
    }
    struct mf_catalog cat = {0};
    if (load(l.conn, filter, figures, &cat, err) < 0) {
        mf_error_prefix(err, "reading the catalogue of tables");
        return -1;
    }
    if (pg_exec(l.conn, err, "COMMIT") < 0) {
        mf_catalog_free(&cat);
        return -1;
    }
    *ret = cat;
    return 0;
}

int pg_catalog_read(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return read_all(db, filter, true, ret, err);
}

int pg_catalog_shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return read_all(db, filter, false, ret, err);
}

int pg_what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                   struct mf_error *err)
{
    PG_LEASE(pg_db_of(db), l);
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_queryf(l.conn, &r, err,
                  "SELECT n.nspname, c.relname, c.relpersistence FROM pg_catalog.pg_class c"
                  " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %u",
                  t->id) < 0) {
        return -1;
    }
    *ret_dropped = PQntuples(r) == 0;
    if (*ret_dropped) {
        snprintf(ret, n, "was dropped");
    } else if (strcmp(PQgetvalue(r, 0, 0), t->schema) != 0 || strcmp(PQgetvalue(r, 0, 1), t->name) != 0) {
        snprintf(ret, n, "was renamed to %s.%s", PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1));
    } else if (*PQgetvalue(r, 0, 2) == 'u') {
        snprintf(ret, n, "was made UNLOGGED: the server does not log its changes");
    } else {
        snprintf(ret, n, "is left out by the configuration or belongs to an extension now");
    }
    return 0;
}
