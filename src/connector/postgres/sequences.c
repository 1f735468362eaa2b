/*
 * Sequences are not in the stream: their values are read and set once, at the cutover, while nobody writes. That is time for
 * which writers wait, so many are read by one statement.
 */
#include "connector/postgres/sequences.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/catalog.h"
#include "connector/postgres/target.h"

#include <inttypes.h>
#include <string.h>

#define AT_ONCE 200

enum {
    S_SCHEMA,
    S_NAME,
    S_INCREMENT,
    S_CACHE,
    S_MIN,
    S_MAX,
    S_CYCLE,
    S_READABLE,
    S_USER,
    S_ROOT = S_USER + 2,
    S_COLUMN = S_ROOT + 2
};

/* A row for each sequence and each column that owns it or has it in its default (none: one row without), with the partitioned table that
 * the column's is in. */
static const char list_sql[] =
    "WITH RECURSIVE up(oid, root) AS ("
    " SELECT c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'p' AND NOT c.relispartition"
    " UNION ALL SELECT i.inhrelid, up.root FROM pg_catalog.pg_inherits i JOIN up ON i.inhparent = up.oid"
    "), uses AS ("
    " SELECT o.objid AS seq, o.refobjid AS tab, o.refobjsubid AS col FROM pg_catalog.pg_depend o"
    "  WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.deptype IN ('a', 'i')"
    "  AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.refobjsubid > 0"
    " UNION SELECT d.refobjid, a.adrelid, a.adnum FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef a ON a.oid = "
    "d.objid"
    "  WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass"
    ") "
    "SELECT n.nspname, c.relname, s.seqincrement, s.seqcache, s.seqmin, s.seqmax, s.seqcycle,"
    " pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AND pg_catalog.has_sequence_privilege(c.oid, 'UPDATE'), "
    "tn.nspname, t.relname, rn.nspname, rc.relname, ua.attname "
    "FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "LEFT JOIN (uses u JOIN pg_catalog.pg_class t ON t.oid = u.tab JOIN pg_catalog.pg_namespace tn"
    "  ON tn.oid = t.relnamespace JOIN pg_catalog.pg_attribute ua ON ua.attrelid = u.tab AND ua.attnum = u.col)"
    " ON u.seq = c.oid "
    "LEFT JOIN up ON up.oid = t.oid LEFT JOIN pg_catalog.pg_class rc ON rc.oid = up.root "
    "LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace "
    "WHERE c.relpersistence <> 't' AND " PG_USER_NAMESPACE " AND " PG_NOT_EXTENSION " ORDER BY 1, 2";

/* A sequence goes with each table that uses it; a free one is matched by its own name. */
static bool wanted(const struct mf_filter *f, const PGresult *r, int i)
{
    const char *schema = PQgetvalue(r, i, S_SCHEMA), *name = PQgetvalue(r, i, S_NAME);
    const char *user_schema = pg_get(r, i, S_USER), *user = pg_get(r, i, S_USER + 1);
    if (!f || !user) {
        return mf_filter_match(f, schema, name);
    }
    struct mf_filter out = {.exclude = f->exclude, .nexclude = f->nexclude};
    return mf_filter_match(&out, schema, name) &&
           (pg_filter_matches(f, user_schema, user, pg_get(r, i, S_ROOT), pg_get(r, i, S_ROOT + 1)) ||
            pg_filter_matches(f, schema, name, user_schema, user));
}

static bool same_sequence(const PGresult *r, int a, int b)
{
    return strcmp(PQgetvalue(r, a, S_NAME), PQgetvalue(r, b, S_NAME)) == 0 &&
           strcmp(PQgetvalue(r, a, S_SCHEMA), PQgetvalue(r, b, S_SCHEMA)) == 0;
}

int pg_sequence_list(PGconn *c, const struct mf_filter *filter, struct pg_sequence_list *ret, struct mf_error *err)
{
    PGresult *r = NULL;
    if (pg_query(c, &r, err, list_sql) < 0) {
        return -1;
    }
    *ret = (struct pg_sequence_list){.rows = r, .at = mf_xcalloc((size_t)PQntuples(r) + 1, sizeof(*ret->at))};
    for (int i = 0; i < PQntuples(r); i++) {
        bool taken = ret->n > 0 && same_sequence(r, ret->at[ret->n - 1], i);
        if (!taken && wanted(filter, r, i)) {
            ret->at[ret->n++] = i;
        }
    }
    return 0;
}

void pg_sequence_list_free(struct pg_sequence_list *l)
{
    PQclear(l->rows);
    free(l->at);
}

bool pg_sequence_readable(const struct pg_sequence_list *l, size_t i)
{
    return pg_get_bool(l->rows, l->at[i], S_READABLE);
}

void pg_sequence_name(const struct pg_sequence_list *l, size_t i, const char **ret_schema, const char **ret_name)
{
    *ret_schema = PQgetvalue(l->rows, l->at[i], S_SCHEMA);
    *ret_name = PQgetvalue(l->rows, l->at[i], S_NAME);
}

/* ---- reading their values ---- */

struct reading {
    PGconn *c;
    const struct pg_sequence_list *l;
    mf_sequence_sink *emit;
    void *ctx;
};

static int emit_value(const struct reading *g, const PGresult *v, int row, struct mf_error *err)
{
    const PGresult *r = g->l->rows;
    int i = g->l->at[pg_get_i64(v, row, 0)];
    struct mf_sequence s = {
        .increment = pg_get_i64(r, i, S_INCREMENT),
        .cache = pg_get_i64(r, i, S_CACHE),
        .min = pg_get_i64(r, i, S_MIN),
        .max = pg_get_i64(r, i, S_MAX),
        .cycle = pg_get_bool(r, i, S_CYCLE),
        .last_value = pg_get_i64(v, row, 1),
        .is_called = pg_get_bool(v, row, 2),
    };
    mf_strlcpy(s.schema, PQgetvalue(r, i, S_SCHEMA), sizeof s.schema);
    mf_strlcpy(s.name, PQgetvalue(r, i, S_NAME), sizeof s.name);
    bool shared = (i > 0 && same_sequence(r, i - 1, i)) || (i + 1 < PQntuples(r) && same_sequence(r, i, i + 1));
    if (!shared && mf_streq(pg_get(r, i, S_USER), s.schema)) {
        mf_strlcpy(s.table, PQgetvalue(r, i, S_USER + 1), sizeof s.table);
        mf_strlcpy(s.column, PQgetvalue(r, i, S_COLUMN), sizeof s.column);
    }
    return g->emit(g->ctx, &s, err);
}

/* The sequences from..to by one statement. */
static int read_values(const struct reading *g, size_t from, size_t to, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    PG_CLEANUP_RESULT PGresult *v = NULL;
    for (size_t i = from; i < to; i++) {
        const char *schema, *name;
        pg_sequence_name(g->l, i, &schema, &name);
        mf_buf_printf(&b, "%sSELECT %zu, last_value, is_called FROM ", i > from ? " UNION ALL " : "", i);
        pg_put_name(&b, schema, name);
    }
    if (!pg_sql(&b, err) || pg_query(g->c, &v, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    for (int row = 0; row < PQntuples(v); row++) {
        if (emit_value(g, v, row, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int read_each(const struct reading *g, size_t from, size_t to, struct mf_error *err)
{
    for (size_t i = from; i < to; i++) {
        const char *schema, *name;
        if (read_values(g, i, i + 1, err) == 0) {
            continue;
        }
        if (!pg_is_sqlstate(err, "42P01")) {
            pg_sequence_name(g->l, i, &schema, &name);
            mf_error_prefix(err, "reading sequence %s.%s", schema, name);
            return -1;
        } /* otherwise dropped meanwhile */
    }
    return 0;
}

int pg_sequences(struct mf_db *base, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                 struct mf_error *err)
{
    struct pg_sequence_list l = {0};
    PG_LEASE(pg_db_of(base), lease);
    if (pg_lease(lease.db, &lease.conn, err) < 0 || pg_sequence_list(lease.conn, filter, &l, err) < 0) {
        return -1;
    }
    struct reading g = {.c = lease.conn, .l = &l, .emit = emit, .ctx = ctx};
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < l.n; at += AT_ONCE) {
        size_t to = at + AT_ONCE < l.n ? at + AT_ONCE : l.n;
        rc = read_values(&g, at, to, err);
        if (rc < 0 && (pg_is_sqlstate(err, "42P01") || pg_is_sqlstate(err, "42501"))) {
            rc = read_each(&g, at, to, err); /* one of them is gone or may not be read: which? */
        }
    }
    pg_sequence_list_free(&l);
    return rc;
}

/* ---- setting them ---- */

/* By its name; where there is no sequence of that name (the source is of another kind), the one that belongs to its column. That one has
 * bounds of its own, and a counter that gave nothing out yet stands below them. Those that the target does not have (of excluded tables, or dropped there) are
 * left out. */
static const char set_fmt[] =
    "SELECT pg_catalog.setval(s.oid::pg_catalog.regclass, CASE WHEN s.other"
    "  THEN greatest(least(v.value, q.seqmax), q.seqmin) ELSE v.value END,"
    " v.called AND (NOT s.other OR v.value >= q.seqmin))"
    " FROM (VALUES %s) AS v(name, value, called, tab, col) CROSS JOIN LATERAL ("
    "  SELECT c.oid, false AS other FROM pg_catalog.pg_class c"
    "   WHERE c.oid = pg_catalog.to_regclass(v.name) AND c.relkind = 'S'"
    "  UNION ALL SELECT o.objid, true FROM pg_catalog.pg_depend o"
    "   JOIN pg_catalog.pg_class c ON c.oid = o.objid AND c.relkind = 'S'"
    "   JOIN pg_catalog.pg_attribute a ON a.attrelid = o.refobjid AND a.attnum = o.refobjsubid"
    "   WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.deptype IN ('a', 'i')"
    "   AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.refobjid = pg_catalog.to_regclass(v.tab)"
    "   AND a.attname = v.col ORDER BY 2 LIMIT 1) s JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid";

static void put_sequence(struct mf_buf *values, const struct mf_sequence *s)
{
    MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
    pg_put_name(&name, s->schema, s->name);
    mf_buf_puts(values, values->len ? ", (" : "(");
    pg_put_literal(values, mf_buf_str(&name));
    mf_buf_printf(values, "::text, %" PRId64 "::int8, %s, ", s->last_value, s->is_called ? "true" : "false");
    if (!*s->table) {
        mf_buf_puts(values, "NULL::text, NULL::text)");
        return;
    }
    mf_buf_reset(&name);
    pg_put_name(&name, s->schema, s->table);
    pg_put_literal(values, mf_buf_str(&name));
    mf_buf_puts(values, "::text, ");
    pg_put_literal(values, s->column);
    mf_buf_puts(values, "::text)");
}

int pg_sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err)
{
    PG_LEASE(pg_db_of(db), l);
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 64u << 20}, values = {.max = 64u << 20};
    if (n == 0) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        put_sequence(&values, &seqs[i]);
    }
    mf_buf_printf(&sql, set_fmt, mf_buf_str(&values));
    if (!pg_sql(&sql, err) || pg_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    if (pg_exec(l.conn, err, mf_buf_str(&sql)) < 0) {
        mf_error_prefix(err, "setting sequences");
        return -1;
    }
    return 0;
}

/* ---- after rows that came from elsewhere ---- */

struct following {
    PGconn *c;
};

static int follow(void *ctx, const struct mf_sequence *s, struct mf_error *err)
{
    const struct following *f = ctx;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX}, name = {.max = 1024};
    if (!*s->column) {
        return 0;
    }
    mf_buf_puts(&sql, "SELECT pg_catalog.setval(");
    pg_put_name(&name, s->schema, s->name);
    pg_put_literal(&sql, mf_buf_str(&name));
    mf_buf_printf(&sql, ", m) FROM (SELECT %s(", s->increment < 0 ? "min" : "max");
    pg_put_ident(&sql, s->column);
    mf_buf_puts(&sql, ")::text::pg_catalog.numeric AS v FROM ");
    pg_put_name(&sql, s->schema, s->table);
    mf_buf_printf(
        &sql,
        ") t CROSS JOIN LATERAL (SELECT pg_catalog.trunc(t.v)::pg_catalog.int8 AS m"
        " WHERE t.v BETWEEN %" PRId64 " AND %" PRId64 ") x WHERE m %c %" PRId64 " OR (m = %" PRId64 " AND NOT %s)",
        s->min, s->max, s->increment < 0 ? '<' : '>', s->last_value, s->last_value, s->is_called ? "true" : "false");
    if (!pg_sql(&sql, err)) {
        return -1;
    }
    if (pg_exec(f->c, err, mf_buf_str(&sql)) == 0) {
        return 0;
    }
    if (pg_is_sqlstate(err, "22P02") || pg_is_sqlstate(err, "42883")) {
        mf_error_clear(err); /* its column has no numbers */
        return 0;
    }
    mf_error_prefix(err, "setting sequence %s.%s behind the values of its column", s->schema, s->name);
    return -1;
}

int pg_sequences_follow(struct mf_db *db, const struct mf_filter *filter, struct mf_error *err)
{
    PG_LEASE(pg_db_of(db), l);
    if (pg_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    struct following f = {.c = l.conn};
    return pg_sequences(db, filter, follow, &f, err);
}
