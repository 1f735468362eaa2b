/*
 * The tables that migrate, in the model's terms: what a database of another kind is made from. All is in information_schema; what the model has no word for
 * is named in `left`.
 *
 * It is held against the catalogue of the caller, which is older: a column that was added since is left to whoever watches the schema.
 */
#include "connector/mysql/model.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/canon.h"
#include "connector/mysql/default.h"
#include "connector/mysql/infoschema.h"

#include <stdlib.h>
#include <string.h>

/* ---- asking ---- */

int my_describe_rows(struct my_describing *d, const char *before, const char *column, const char *after,
                     my_described_row *take, struct mf_error *err)
{
    for (size_t i = 0; i < d->b.own->n && !d->b.full; i++) {
        MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
        MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
        if (!mf_catalog_first_of_schema(d->b.own, i)) {
            continue;
        }
        mf_buf_printf(&sql, "%s WHERE %s = ", before, column);
        my_put_literal(&sql, d->b.own->tables[i].schema);
        mf_buf_puts(&sql, after);
        if (my_ask(d->c, &r, err, &sql) < 0) {
            return -1;
        }
        for (MYSQL_ROW row; (row = mysql_fetch_row(r)) && !d->b.full;) {
            const struct mf_table *own = row[0] && row[1] ? mf_catalog_find(d->b.own, row[0], row[1]) : NULL;
            if (own) {
                take(d, &d->b.schema->tables[own - d->b.own->tables], own, row);
            }
        }
    }
    return 0;
}

/* ---- tables ---- */

static void take_table(struct my_describing *d, struct mf_schema_table *t, const struct mf_table *own, MYSQL_ROW row)
{
    (void)own;
    t->comment = row[2] && *row[2] ? mf_schema_keep(&d->b, row[2]) : NULL;
    if (row[3] && strstr(row[3], "partitioned")) {
        mf_schema_leave(&d->b, "its partitions: it becomes one table", NULL, "partitioning of table %s.%s", t->schema,
                        t->name);
    }
}

/* ---- columns ---- */

enum { C_SCHEMA, C_TABLE, C_NAME, C_DEFAULT, C_EXTRA, C_COMMENT, C_COLLATION };

/* The value in canonical form; false: it is none that is known. */
static bool canonical(struct my_describing *d, const struct mf_schema_column *c, const struct mf_buf *value,
                      const char **ret)
{
    struct mf_error ignored = {0};
    struct mf_value out = {0}, in = {.kind = MF_TEXT, .len = (uint32_t)value->len, .data = mf_buf_str(value)};
    if (my_to_canon(&c->type, &d->b.schema->arena, &in, &out, &ignored) < 0 || out.kind != MF_TEXT ||
        (out.len && memchr(out.data, 0, out.len))) {
        return false;
    }
    MF_CLEANUP_FREE char *text = mf_xstrndup(out.data, out.len);
    *ret = mf_schema_keep(&d->b, text);
    return true;
}

static void take_default(struct my_describing *d, const struct mf_column *own, struct mf_schema_column *c,
                         MYSQL_ROW row)
{
    struct my_type type;
    MF_CLEANUP_BUF struct mf_buf value = {.max = 1u << 20};
    bool as_sql = d->db->mariadb && d->db->version >= 100207;
    if (my_type_parse(own->type, NULL, &type, NULL) < 0) {
        return;
    }
    c->defaulted = my_default_parse(row[C_DEFAULT], row[C_EXTRA], &type, as_sql, &value);
    c->default_text = c->defaulted == MF_DEFAULT_NONE ? NULL : mf_schema_keep(&d->b, row[C_DEFAULT]);
    if (c->defaulted == MF_DEFAULT_VALUE && !canonical(d, c, &value, &c->default_text)) {
        c->defaulted = MF_DEFAULT_OTHER;
    }
}

static void take_column(struct my_describing *d, struct mf_schema_table *t, const struct mf_table *own, MYSQL_ROW row)
{
    int at = row[C_NAME] ? mf_table_column(own, row[C_NAME]) : -1;
    if (at < 0) {
        return;
    }
    struct mf_schema_column *c = &t->columns[at];
    const char *extra = row[C_EXTRA] ? row[C_EXTRA] : "", *collation = row[C_COLLATION];
    c->comment = row[C_COMMENT] && *row[C_COMMENT] ? mf_schema_keep(&d->b, row[C_COMMENT]) : NULL;
    c->counter = strstr(extra, "auto_increment") != NULL;
    c->on_update_now = strstr(extra, "on update") != NULL;
    c->ignores_case = c->type.kind == MF_KIND_TEXT && collation && strstr(collation, "_ci");
    if (!c->generated && !c->counter) {
        take_default(d, &own->columns[at], c, row);
    }
    if (strstr(own->columns[at].type, "geometry") || strstr(own->columns[at].type, "point") ||
        strstr(own->columns[at].type, "linestring") || strstr(own->columns[at].type, "polygon")) {
        if (c->type.kind == MF_KIND_BYTES) {
            mf_schema_leave(&d->b, "its values become the bytes that the server keeps: the SRID, then WKB",
                            own->columns[at].type, "meaning of column %s.%s.%s", t->schema, t->name, c->name);
        }
    }
}

/* ---- all ---- */

static int describe(struct my_describing *d, struct mf_error *err)
{
    return my_describe_rows(d,
                            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_COMMENT, CREATE_OPTIONS FROM"
                            " information_schema.TABLES",
                            "TABLE_SCHEMA", "", take_table, err) < 0 ||
                   my_describe_rows(d,
                                    "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT, EXTRA,"
                                    " COLUMN_COMMENT, COLLATION_NAME FROM information_schema.COLUMNS",
                                    "TABLE_SCHEMA", "", take_column, err) < 0 ||
                   my_describe_indexes(d, err) < 0 || my_describe_foreign(d, err) < 0 || my_describe_left(d, err) < 0
               ? -1
               : 0;
}

int my_describe(struct mf_db *db, const struct mf_catalog *own, struct mf_schema *ret, struct mf_error *err)
{
    struct mf_schema schema = {0};
    struct mf_type **types = NULL;
    struct my_describing d = {.db = my_db_of(db)};
    MY_LEASE(d.db, l);
    mf_arena_init(&schema.arena, MF_SCHEMA_BYTES);
    int rc = my_canon_types(db, own, &schema.arena, &types, err);
    if (rc == 0) {
        mf_schema_begin(&d.b, &schema, own, types);
        rc = my_lease(l.db, &l.conn, err);
    }
    if (rc == 0) {
        d.c = l.conn;
        rc = my_ask_begin(l.conn, l.db, err) < 0 ? -1 : describe(&d, err);
        my_ask_end(l.conn);
    }
    if (rc == 0) {
        rc = mf_schema_end(&d.b, err);
    }
    if (rc < 0) {
        mf_error_prefix(err, "reading the schema");
        mf_schema_free(&schema);
        return -1;
    }
    *ret = schema;
    return 0;
}

const char *my_default_schema(struct mf_db *db)
{
    return my_db_of(db)->params.database;
}
