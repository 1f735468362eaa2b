/*
 * The statements of the apply stage. Pure: a shape in, SQL out.
 *
 * Every statement takes whole columns as arrays and changes any number of rows: FROM unnest($1::text[], $2::int8[], …).
 * The plan is the same for one row as for ten thousand, so it is prepared once: an index lookup for each row.
 *
 * Strict statements are wrapped so that the server itself compares the number of rows changed with the number sent and
 * raises an error when they differ. The COMMIT is on its way behind them in the same flush; after the error the server
 * skips it. So one round trip is enough, and a window that does not fit is never committed.
 *
 * A value is cast to the base type without modifier and then assigned: explicit casts to varchar(3) or bit(3) cut
 * silently, assignments refuse. What assignments round is refused before it is sent (send.c).
 */
#include "connector/postgres/shape.h"

static bool in_key(const struct mf_table *t, uint16_t col)
{
    for (uint16_t i = 0; i < t->nkey; i++) {
        if (t->key[i] == col) {
            return true;
        }
    }
    return false;
}

static bool deletes_by_key(enum pg_stmt_kind k)
{
    return k == PG_STMT_DELETE || k == PG_STMT_DELETE_LOOSE || k == PG_STMT_DELETE_COUNTED;
}

static bool updates_by_key(enum pg_stmt_kind k)
{
    return k == PG_STMT_UPDATE || k == PG_STMT_UPDATE_FOUND || k == PG_STMT_UPDATE_COUNTED;
}

size_t pg_stmt_params(const struct pg_shape *s, enum pg_stmt_kind kind, bool moves_key, const uint8_t *unchanged,
                      struct pg_param *out)
{
    const struct mf_table *t = s->table;
    bool by_key = updates_by_key(kind) || deletes_by_key(kind);
    size_t n = 0;
    for (uint16_t i = 0; by_key && i < t->nkey; i++) {
        out[n++] = (struct pg_param){.col = t->key[i], .old = true};
    }
    if (deletes_by_key(kind)) {
        return n;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (s->columns[i].skip || pg_bit(unchanged, i) || (by_key && !moves_key && in_key(t, i))) {
            continue;
        }
        out[n++] = (struct pg_param){.col = i, .old = kind == PG_STMT_DELETE_COPIES || kind == PG_STMT_PURGE_COPIES};
    }
    return n;
}

void pg_put_param(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p, size_t i)
{
    const struct pg_shape_column *c = &s->columns[p->col];
    if (c->base_type == PG_REGCLASS) { /* its cast from text does not know the name of no relation, its input does */
        mf_buf_printf(b, "CASE v.p%zu WHEN '-' THEN '-'::regclass ELSE v.p%zu::%s END", i + 1, i + 1, c->cast);
        return;
    }
    mf_buf_printf(b, "v.p%zu", i + 1);
    if (pg_send_needs_cast(c->send, c->base_type)) {
        mf_buf_printf(b, "::%s", c->cast);
    }
}

void pg_put_param_rows(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p, size_t n, bool counts)
{
    mf_buf_puts(b, "unnest("); /* with several arguments it may not be qualified; the search_path is pg_catalog */
    for (size_t i = 0; i < n; i++) {
        mf_buf_printf(b, "%s$%zu::%s[]", i ? ", " : "", i + 1, pg_send_type(s->columns[p[i].col].send));
    }
    if (counts) {
        mf_buf_printf(b, "%s$%zu::int8[]", n ? ", " : "", n + 1);
    }
    mf_buf_puts(b, ") WITH ORDINALITY AS v(");
    for (size_t i = 0; i < n; i++) {
        mf_buf_printf(b, "p%zu, ", i + 1);
    }
    mf_buf_puts(b, counts ? "n, ord)" : "ord)");
}

static void put_where_key(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p)
{
    mf_buf_puts(b, " WHERE ");
    for (uint16_t i = 0; i < s->table->nkey; i++) {
        const struct pg_shape_column *c = &s->columns[p[i].col];
        mf_buf_puts(b, i ? " AND t." : "t.");
        pg_put_ident(b, s->table->columns[p[i].col].name);
        mf_buf_printf(b, " %s ", c->equals);
        pg_put_param(b, s, &p[i], i);
    }
}

static void put_insert(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p, size_t n)
{
    mf_buf_puts(b, "INSERT INTO ");
    pg_put_table(b, s->table);
    mf_buf_puts(b, " AS t ("); /* or a table called "excluded" could not be told from EXCLUDED */
    for (size_t i = 0; i < n; i++) {
        mf_buf_puts(b, i ? ", " : "");
        pg_put_ident(b, s->table->columns[p[i].col].name);
    }
    mf_buf_puts(b, ") OVERRIDING SYSTEM VALUE SELECT ");
    for (size_t i = 0; i < n; i++) {
        mf_buf_puts(b, i ? ", " : "");
        pg_put_param(b, s, &p[i], i);
    }
    mf_buf_puts(b, " FROM ");
    pg_put_param_rows(b, s, p, n, false);
}

static void put_on_conflict(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p, size_t n)
{
    const struct mf_table *t = s->table;
    bool any = false;
    mf_buf_puts(b, " ON CONFLICT (");
    for (uint16_t i = 0; i < t->nkey; i++) {
        mf_buf_puts(b, i ? ", " : "");
        pg_put_ident(b, t->columns[t->key[i]].name);
    }
    mf_buf_puts(b, ") DO ");
    for (size_t i = 0; i < n; i++) {
        if (in_key(t, p[i].col)) {
            continue;
        }
        mf_buf_puts(b, any ? ", " : "UPDATE SET ");
        any = true;
        pg_put_ident(b, t->columns[p[i].col].name);
        mf_buf_puts(b, " = EXCLUDED.");
        pg_put_ident(b, t->columns[p[i].col].name);
    }
    mf_buf_puts(b, any ? "" : "NOTHING");
}

static void put_update(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p, size_t n)
{
    const struct mf_table *t = s->table;
    mf_buf_puts(b, "UPDATE ");
    pg_put_only(b, s);
    mf_buf_puts(b, " AS t SET ");
    for (size_t i = t->nkey; i < n; i++) {
        mf_buf_puts(b, i > t->nkey ? ", " : "");
        pg_put_ident(b, t->columns[p[i].col].name);
        mf_buf_puts(b, " = ");
        pg_put_param(b, s, &p[i], i);
    }
    if (n == t->nkey) { /* nothing to set: only see that the row is there */
        pg_put_ident(b, t->columns[t->key[0]].name);
        mf_buf_puts(b, " = t.");
        pg_put_ident(b, t->columns[t->key[0]].name);
    }
    mf_buf_puts(b, " FROM ");
    pg_put_param_rows(b, s, p, n, false);
    put_where_key(b, s, p);
}

bool pg_stmt_rewrites(const struct pg_shape *s, const struct pg_param *p, size_t n, bool by_key)
{
    for (size_t i = by_key ? s->table->nkey : 0; i < n; i++) {
        if (s->columns[p[i].col].always && (by_key || !in_key(s->table, p[i].col))) {
            return true;
        }
    }
    return false;
}

/* Which parameter holds the new value of a column; n when the column keeps its value. */
static size_t set_param(const struct pg_shape *s, const struct pg_param *p, size_t n, uint16_t col)
{
    for (size_t i = s->table->nkey; i < n; i++) {
        if (p[i].col == col) {
            return i;
        }
    }
    return n;
}

/* `WITH d AS (DELETE … RETURNING every column as it is to be), i AS (INSERT … SELECT FROM d)`: each row is taken out just
 * before it is put back, so its key is free. */
static void put_rewrite(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p, size_t n)
{
    const struct mf_table *t = s->table;
    const char *sep = "";
    mf_buf_puts(b, "WITH d AS (DELETE FROM ");
    pg_put_only(b, s);
    mf_buf_puts(b, " AS t USING ");
    pg_put_param_rows(b, s, p, n, false);
    put_where_key(b, s, p);
    mf_buf_puts(b, " RETURNING v.ord");
    for (uint16_t c = 0; c < t->ncolumns; c++) {
        size_t i = set_param(s, p, n, c);
        if (s->columns[c].skip) {
            continue;
        }
        mf_buf_puts(b, ", ");
        if (i < n) {
            pg_put_param(b, s, &p[i], i);
        } else {
            mf_buf_puts(b, "t.");
            pg_put_ident(b, t->columns[c].name);
        }
        mf_buf_printf(b, " AS c%u", c);
    }
    mf_buf_puts(b, "), i AS (INSERT INTO ");
    pg_put_table(b, t);
    mf_buf_puts(b, " (");
    for (uint16_t c = 0; c < t->ncolumns; c++) {
        if (!s->columns[c].skip) {
            mf_buf_puts(b, sep);
            pg_put_ident(b, t->columns[c].name);
            sep = ", ";
        }
    }
    mf_buf_puts(b, ") OVERRIDING SYSTEM VALUE SELECT ");
    sep = "";
    for (uint16_t c = 0; c < t->ncolumns; c++) {
        if (!s->columns[c].skip) {
            mf_buf_printf(b, "%sc%u", sep, c);
            sep = ", ";
        }
    }
    mf_buf_puts(b, " FROM d RETURNING 1) ");
}

static void put_delete(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p, size_t n)
{
    mf_buf_puts(b, "DELETE FROM ");
    pg_put_only(b, s);
    mf_buf_puts(b, " AS t USING ");
    pg_put_param_rows(b, s, p, n, false);
    put_where_key(b, s, p);
}

/* Copies of a row without a key: found by the text of every column (types without equality, NULLs, and rows that differ
 * only in what their type calls equal, such as 1.0 and 1.00), numbered, and as many removed as asked. The texts are
 * joined by plain equality so that the planner can hash them: one pass over the table. */
static void put_delete_copies(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p, size_t n)
{
    mf_buf_puts(b, "DELETE FROM ");
    pg_put_only(b, s);
    mf_buf_puts(b, s->partitioned ? " WHERE (tableoid, ctid) IN (SELECT x.rel, x.id FROM"
                                  : " WHERE ctid = ANY (ARRAY(SELECT x.id FROM");
    mf_buf_puts(b, " (SELECT t.tableoid AS rel, t.ctid AS id, v.n,"
                   " pg_catalog.row_number() OVER (PARTITION BY v.ord) AS k FROM ");
    pg_put_only(b, s);
    mf_buf_puts(b, " AS t JOIN ");
    pg_put_param_rows(b, s, p, n, true);
    mf_buf_puts(b, " ON ");
    for (size_t i = 0; i < n; i++) {
        mf_buf_puts(b, i ? " AND COALESCE('=' || t." : "COALESCE('=' || t.");
        pg_put_ident(b, s->table->columns[p[i].col].name);
        mf_buf_printf(b, "::%s::text, '') COLLATE \"C\" = COALESCE('=' || (", s->columns[p[i].col].cast);
        pg_put_param(b, s, &p[i], i);
        mf_buf_puts(b, ")::text, '') COLLATE \"C\"");
    }
    mf_buf_puts(b, n ? "" : "true");
    mf_buf_puts(b, s->partitioned ? ") x WHERE x.k <= x.n)" : ") x WHERE x.k <= x.n))");
}

/* The number of rows changed is the number expected, or everything is undone. */
static void put_verdict(struct mf_buf *b, size_t n, const char *changed)
{
    mf_buf_printf(b,
                  "SELECT CASE WHEN pg_catalog.count(*) <> $%zu::int8"
                  " THEN midflight.mismatch(pg_catalog.count(*), $%zu::int8) END FROM %s",
                  n + 1, n + 1, changed);
}

int pg_stmt_sql(const struct pg_shape *s, enum pg_stmt_kind kind, bool moves_key, const uint8_t *unchanged,
                struct mf_buf *b, struct mf_error *err)
{
    MF_CLEANUP_FREE struct pg_param *p = calloc(2u * s->table->ncolumns + 1, sizeof(*p));
    if (!p) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory");
    }
    size_t n = pg_stmt_params(s, kind, moves_key, unchanged, p);
    bool strict = pg_stmt_strict(kind);
    if ((kind == PG_STMT_UPDATE || kind == PG_STMT_UPDATE_FOUND) && pg_stmt_rewrites(s, p, n, true)) {
        put_rewrite(b, s, p, n);
        if (strict) {
            put_verdict(b, n, "i");
        } else {
            mf_buf_puts(b, "SELECT ord FROM d WHERE (SELECT pg_catalog.count(*) FROM i) >= 0");
        }
        return pg_sql(b, err) ? 0 : -1;
    }
    mf_buf_puts(b, strict ? "WITH d AS (" : "");
    switch (kind) {
    case PG_STMT_INSERT:
    case PG_STMT_UPSERT:
        put_insert(b, s, p, n);
        if (kind == PG_STMT_UPSERT) {
            put_on_conflict(b, s, p, n);
        }
        break;
    case PG_STMT_UPDATE:
    case PG_STMT_UPDATE_FOUND:
    case PG_STMT_UPDATE_COUNTED:
        put_update(b, s, p, n);
        break;
    case PG_STMT_DELETE:
    case PG_STMT_DELETE_LOOSE:
    case PG_STMT_DELETE_COUNTED:
        put_delete(b, s, p, n);
        break;
    case PG_STMT_DELETE_COPIES:
    case PG_STMT_PURGE_COPIES:
        put_delete_copies(b, s, p, n);
        n++;
        break;
    case PG_STMT_CASCADE:
        return mf_fail(err, MF_FATAL, "MFBUG", "a cascade's statement is not made of the table alone");
    }
    if (strict) {
        mf_buf_puts(b, " RETURNING 1) ");
        put_verdict(b, n, "d");
    } else if (kind == PG_STMT_UPDATE_FOUND) {
        mf_buf_puts(b, " RETURNING v.ord");
    }
    return pg_sql(b, err) ? 0 : -1;
}
