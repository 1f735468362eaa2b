/*
 * What the data and the server's statistics say of a table's use, for a plan: which statements read it, and how many rows share a key.
 *
 * Nothing here reads more than it is told to. A table larger than the sample is read by pages that the server chooses at random (TABLESAMPLE). Rows that share a
 * key may lie together or all over the table: what was met on a few pages only is taken as it is, as it may be all there is; what was met on many
 * is taken as that part of what there is.
 */
#include "connector/postgres/postgres.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

#define SPREAD_PAGES 8 /* on so many sampled pages it is all over the table */
#define TEXT_MOST    65536

/* ---- statements ---- */

/* The extension's schema into `ret`; false: it is not in this database. */
static int find_extension(PGconn *c, char *ret, size_t n, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_query(
            c, &r, err,
            "SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace"
            " WHERE e.extname = 'pg_stat_statements'") < 0) {
        return -1;
    }
    if (PQntuples(r) == 0) {
        return mf_fail(err, MF_FATAL, "MFUNSUP",
                       "the extension pg_stat_statements is not in this database, so the statements that are asked are "
                       "not known");
    }
    mf_strlcpy(ret, PQgetvalue(r, 0, 0), n);
    return 0;
}

static int ask_statements(PGconn *c, const char *schema, int64_t most, PGresult **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    mf_buf_puts(&b, "SELECT s.query, sum(s.calls)::bigint, bool_or(s.query = '<insufficient privilege>') FROM ");
    pg_put_ident(&b, schema);
    mf_buf_printf(
        &b,
        ".pg_stat_statements s WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname ="
        " current_database()) AND (s.query ~* '^[[:space:](]*(/[*].*[*]/)?[[:space:](]*(select|with)[[:space:]]'"
        " OR s.query = '<insufficient privilege>') AND length(s.query) <= %d"
        " GROUP BY s.query ORDER BY 2 DESC, 1 LIMIT %lld",
        TEXT_MOST, (long long)most);
    return pg_sql(&b, err) ? pg_query(c, ret, err, mf_buf_str(&b)) : -1;
}

int pg_statements(struct mf_db *mdb, int64_t most, mf_statement_sink *emit, void *ctx, struct mf_error *err)
{
    PG_LEASE(pg_db_of(mdb), l);
    PG_CLEANUP_RESULT PGresult *r = NULL;
    char schema[256];
    if (pg_lease(l.db, &l.conn, err) < 0 || find_extension(l.conn, schema, sizeof schema, err) < 0) {
        return -1;
    }
    if (ask_statements(l.conn, schema, most, &r, err) < 0) {
        if (pg_is_sqlstate(err, "55000") || pg_is_sqlstate(err, "42501")) { /* not loaded; not for us */
            mf_error_prefix(err, "pg_stat_statements cannot be read");
            mf_strlcpy(err->code, "MFUNSUP", sizeof err->code);
        }
        return -1;
    }
    int hidden = 0;
    for (int i = 0; i < PQntuples(r); i++) {
        const struct mf_statement s = {PQgetvalue(r, i, 0), (size_t)PQgetlength(r, i, 0), NULL, pg_get_i64(r, i, 1)};
        if (pg_get_bool(r, i, 2)) {
            hidden++;
        } else if (emit(ctx, &s, err) < 0) {
            return -1;
        }
    }
    if (hidden && hidden == PQntuples(r)) {
        return mf_fail(
            err, MF_FATAL, "MFUNSUP",
            "pg_stat_statements hides the statements of other roles from ours: GRANT pg_read_all_stats to it");
    }
    return 0;
}

/* ---- rows by key ---- */

static void put_list(struct mf_buf *b, const struct mf_key_sizes_job *job, uint16_t n, const char *between,
                     const char *after)
{
    for (uint16_t i = 0; i < n; i++) {
        mf_buf_puts(b, i ? between : "");
        mf_buf_puts(b, "t.");
        pg_put_ident(b, job->columns[i]);
        mf_buf_puts(b, after);
    }
}

/* How much of the table is to be read, in per cent. */
static int choose_part(PGconn *c, const struct mf_key_sizes_job *job, double *ret, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX}, name = {.max = PG_SQL_MAX};
    pg_put_name(&name, job->schema, job->table);
    mf_buf_puts(&b, "SELECT coalesce(sum(pg_catalog.pg_table_size(oid)), 0)::bigint FROM (SELECT inhrelid AS oid FROM"
                    " pg_catalog.pg_inherits WHERE inhparent = ");
    pg_put_literal(&b, mf_buf_str(&name));
    mf_buf_puts(&b, "::regclass UNION ALL SELECT ");
    pg_put_literal(&b, mf_buf_str(&name));
    mf_buf_puts(&b, "::regclass) x");
    if (!pg_sql(&b, err) || pg_query(c, &r, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    int64_t bytes = pg_get_i64(r, 0, 0);
    *ret = bytes > job->sample_bytes ? 100.0 * (double)job->sample_bytes / (double)bytes : 100;
    return 0;
}

/* One row a value of the key; `scale`: what that part stands for. */
static void put_groups(struct mf_buf *b, const struct mf_key_sizes_job *job, double percent)
{
    MF_CLEANUP_BUF struct mf_buf lacks = {.max = PG_SQL_MAX};
    put_list(&lacks, job, (uint16_t)(job->n + job->nmore), " OR ", " IS NULL");
    const char *where = job->n + job->nmore ? mf_buf_str(&lacks) : "false";
    mf_buf_printf(b,
                  "SELECT count(*) FILTER (WHERE NOT (%s)) AS n, count(*) FILTER (WHERE %s) AS z,"
                  " coalesce(sum(octet_length(t.*::text)) FILTER (WHERE NOT (%s)), 0) AS b",
                  where, where, where);
    if (percent < 100) {
        mf_buf_printf(b, ", CASE WHEN count(DISTINCT (t.ctid::text::point)[0]) >= %d THEN %.6f ELSE 1 END AS s",
                      SPREAD_PAGES, 100 / percent);
    } else {
        mf_buf_puts(b, ", 1 AS s");
    }
    mf_buf_puts(
        b,
        job->moment
            ? ", extract(epoch FROM max(\"midflight m\")::timestamp - min(\"midflight m\")::timestamp) / 86400 AS days"
            : ", 0 AS days");
    mf_buf_puts(b, " FROM ");
    pg_put_name(b, job->schema, job->table);
    mf_buf_puts(b, " t");
    if (percent < 100) {
        mf_buf_printf(b, " TABLESAMPLE SYSTEM (%.6f) REPEATABLE (1)", percent);
    }
    if (job->moment) { /* 'infinity' is no moment: it has no distance to another */
        mf_buf_puts(b, " CROSS JOIN LATERAL (SELECT CASE WHEN isfinite(t.");
        pg_put_ident(b, job->moment);
        mf_buf_puts(b, ") THEN t.");
        pg_put_ident(b, job->moment);
        mf_buf_puts(b, " END AS \"midflight m\") x");
    }
    mf_buf_puts(b, job->n ? " GROUP BY " : " HAVING count(*) > 0");
    put_list(b, job, job->n, ", ", "");
}

static int ask_sizes(PGconn *c, const struct mf_key_sizes_job *job, double percent, PGresult **ret,
                     struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    mf_buf_puts(&b, "WITH g AS (");
    put_groups(&b, job, percent);
    mf_buf_puts(
        &b,
        ") SELECT (SELECT coalesce(sum(n + z), 0)::bigint FROM g),"
        " (SELECT coalesce(sum(z), 0)::bigint FROM g), count(*), coalesce(max(n * s), 0)::bigint,"
        " coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY n * s), 0)::bigint, coalesce(max(b * s), 0)::bigint,"
        " coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY b * s), 0)::bigint,"
        " coalesce((SELECT days FROM g WHERE n > 0 ORDER BY n * s DESC LIMIT 1), 0)::float8"
        " FROM g WHERE n > 0");
    return pg_sql(&b, err) ? pg_query(c, ret, err, mf_buf_str(&b)) : -1;
}

int pg_key_sizes(struct mf_db *mdb, const struct mf_key_sizes_job *job, struct mf_key_sizes *ret, struct mf_error *err)
{
    PG_CLEANUP_CONN PGconn *c = NULL;
    PG_CLEANUP_RESULT PGresult *r = NULL;
    double percent;
    if (pg_connect(pg_db_of(mdb), "plan", pg_local(pg_db_of(mdb)), &c, err) < 0 ||
        pg_set_timeouts(c, (int)job->timeout_ms, (int)job->timeout_ms, err) < 0 ||
        choose_part(c, job, &percent, err) < 0) {
        return -1;
    }
    if (ask_sizes(c, job, percent, &r, err) < 0) {
        if (pg_is_sqlstate(err, "57014") || pg_is_sqlstate(err, "55P03")) { /* statement_timeout, lock_timeout */
            err->cls = MF_ABANDONED;
        }
        return -1;
    }
    *ret = (struct mf_key_sizes){.part = percent / 100,
                                 .rows = pg_get_i64(r, 0, 0),
                                 .nulls = pg_get_i64(r, 0, 1),
                                 .keys = pg_get_i64(r, 0, 2),
                                 .max_rows = pg_get_i64(r, 0, 3),
                                 .p99_rows = pg_get_i64(r, 0, 4),
                                 .max_bytes = pg_get_i64(r, 0, 5),
                                 .p99_bytes = pg_get_i64(r, 0, 6),
                                 .days = strtod(PQgetvalue(r, 0, 7), NULL)};
    return 0;
}
