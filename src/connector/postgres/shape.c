/* What the target's catalogue says about a table: see shape.h. */
#include "connector/postgres/shape.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

/* For each column: domains looked through down to the base type (its name with modifier -1, because `character` without
 * one means character(1)), and the equality operator of the type's default B-tree class, which lives in another schema for
 * types of extensions. */
static const char columns_sql[] = "WITH RECURSIVE " PG_MADE_CTE(
    "SELECT atttypid FROM pg_catalog.pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND "
    "NOT attisdropped") ", col AS ("
                        " SELECT a.attnum, a.attname, a.atttypid AS typ, a.atttypmod AS typmod, a.attgenerated <> '' "
                        "AS generated,"
                        " a.attidentity = 'a' AS always"
                        " FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT "
                        "a.attisdropped"
                        "), base AS ("
                        " SELECT attnum, typ, typmod, 0 AS depth FROM col"
                        " UNION ALL"
                        " SELECT b.attnum, t.typbasetype, CASE WHEN b.typmod < 0 THEN t.typtypmod ELSE b.typmod END, "
                        "b.depth + 1"
                        " FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typ WHERE t.typtype = 'd'"
                        ") "
                        "SELECT c.attname, b.typ, b.typmod, c.generated, pg_catalog.format_type(b.typ, -1),"
                        " (SELECT pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname)"
                        "  FROM pg_catalog.pg_opclass k JOIN pg_catalog.pg_am m ON m.oid = k.opcmethod AND m.amname = "
                        "'btree'"
                        "  JOIN pg_catalog.pg_amop p ON p.amopfamily = k.opcfamily AND p.amoplefttype = k.opcintype"
                        "   AND p.amoprighttype = k.opcintype AND p.amopstrategy = 3"
                        "  JOIN pg_catalog.pg_operator o ON o.oid = p.amopopr JOIN pg_catalog.pg_namespace n ON n.oid "
                        "= o.oprnamespace"
                        "  WHERE k.opcintype = b.typ AND k.opcdefault), c.always, m.at,"
                        " CASE WHEN c.typmod >= 0 THEN c.typmod ELSE m.mod END, m.arr"
                        " FROM col c JOIN made m ON m.typ = c.typ JOIN LATERAL (SELECT * FROM base WHERE base.attnum = "
                        "c.attnum ORDER BY depth DESC LIMIT 1) b ON true";

static const char table_sql[] =
    "SELECT c.oid, c.relkind,"
    " NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgenabled IN ('R', 'A')"
    "             AND g.tgname NOT LIKE 'midflight%')"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class = c.oid AND w.ev_enabled IN ('R', 'A'))"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')";

static int find_column(const PGresult *r, const char *name)
{
    for (int i = 0; i < PQntuples(r); i++) {
        if (strcmp(PQgetvalue(r, i, 0), name) == 0) {
            return i;
        }
    }
    return -1;
}

static int take_columns(struct pg_shape *s, const PGresult *r, struct mf_error *err)
{
    const struct mf_table *t = s->table;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        struct pg_shape_column *c = &s->columns[i];
        int row = find_column(r, t->columns[i].name);
        if (row < 0) {
            if (t->columns[i].generated) {
                c->skip = true;
                continue;
            }
            mf_fail(err, MF_FATAL, "MFSHAPE", "the target's table %s.%s has no column \"%s\"", t->schema, t->name,
                    t->columns[i].name);
            mf_hint(err, "add the column to the target's table, as the source has it");
            return -1;
        }
        c->base_type = pg_get_oid(r, row, 1);
        c->typmod = (int32_t)pg_get_i64(r, row, 2);
        c->made.type = pg_get_oid(r, row, 7);
        c->made.typmod = (int32_t)pg_get_i64(r, row, 8);
        c->made.array = pg_get_bool(r, row, 9);
        c->skip = pg_get_bool(r, row, 3);
        c->always = pg_get_bool(r, row, 6);
        c->cast = mf_strdup_a(&s->arena, PQgetvalue(r, row, 4));
        c->equals = mf_strdup_a(&s->arena, PQgetisnull(r, row, 5) ? "OPERATOR(pg_catalog.=)" : PQgetvalue(r, row, 5));
        c->send = pg_send_for(c->base_type);
        if (!c->cast || !c->equals) {
            return mf_fail(err, MF_FATAL, "MFBIG", "the shape of %s.%s is too big", t->schema, t->name);
        }
    }
    return 0;
}

int pg_shape_load(struct pg_db *db, const struct mf_table *t, struct pg_shape **ret, struct mf_error *err)
{
    PG_LEASE(db, l);
    PG_CLEANUP_RESULT PGresult *table = NULL, *columns = NULL;
    const char *names[] = {t->schema, t->name};
    if (pg_lease(db, &l.conn, err) < 0 || pg_query_params(l.conn, &table, err, table_sql, 2, names) < 0) {
        return -1;
    }
    if (PQntuples(table) == 0) {
        mf_fail(err, MF_FATAL, "MFSHAPE", "the target has no table %s.%s", t->schema, t->name);
        mf_hint(err, "make the table on the target, or exclude it from the migration");
        return -1;
    }
    const char *oid[] = {PQgetvalue(table, 0, 0)};
    MF_CLEANUP_FREE char *sql = db->version >= 120000 ? NULL : mf_xstrdup(columns_sql);
    if (sql) { /* 11 and older have no generated columns */
        char *at = strstr(sql, "a.attgenerated <> ''");
        memcpy(at, "false               ", 20);
    }
    if (pg_query_params(l.conn, &columns, err, sql ? sql : columns_sql, 1, oid) < 0) {
        return -1;
    }
    struct pg_shape *s = mf_xcalloc(1, sizeof(*s));
    mf_arena_init(&s->arena, 16u << 20);
    s->hash = mf_table_shape(t);
    s->partitioned = PQgetvalue(table, 0, 1)[0] == 'p';
    s->quiet = pg_get_bool(table, 0, 2);
    s->table = mf_table_copy(&s->arena, t);
    s->columns = mf_alloc_array(&s->arena, t->ncolumns, sizeof(*s->columns));
    if (!s->table || !s->columns) {
        pg_shape_free(s);
        return mf_fail(err, MF_FATAL, "MFBIG", "the shape of %s.%s is too big", t->schema, t->name);
    }
    if (take_columns(s, columns, err) < 0) {
        pg_shape_free(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void pg_shape_free(struct pg_shape *s)
{
    if (!s) {
        return;
    }
    for (struct pg_stmt *p = s->stmts, *next; p; p = next) {
        next = p->next;
        free(p->unchanged);
        free(p->sql);
        free(p);
    }
    mf_arena_free(&s->arena);
    free(s);
}

int pg_shape_get(struct pg_db *db, struct pg_shape **list, const struct mf_table *t, struct pg_shape **ret,
                 struct mf_error *err)
{
    uint64_t hash = mf_table_shape(t);
    for (struct pg_shape **p = list; *p; p = &(*p)->next) {
        struct pg_shape *s = *p;
        if (s->hash == hash && s->table->ncolumns == t->ncolumns && mf_streq(s->table->name, t->name) &&
            mf_streq(s->table->schema, t->schema)) {
            *p = s->next; /* to the head: a few tables get most of the work */
            s->next = *list;
            *list = s;
            *ret = s;
            return 0;
        }
    }
    struct pg_shape *s;
    if (pg_shape_load(db, t, &s, err) < 0) {
        return -1;
    }
    s->next = *list;
    *list = s;
    *ret = s;
    return 0;
}

void pg_put_only(struct mf_buf *b, const struct pg_shape *s)
{
    mf_buf_puts(b, s->partitioned ? "" : "ONLY ");
    pg_put_table(b, s->table);
}
