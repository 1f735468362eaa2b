/*
 * The types of a catalogue's columns in the model's terms.
 *
 * All is in the type's text but what MariaDB does in another way. Its JSON is a LONGTEXT with a CHECK that it is JSON, and only the check
 * tells: as a text it would have to come back byte by byte, as JSON it may come back as the other side spells it. Its floating
 * point numbers have one zero.
 */
#include "connector/mysql/canon.h"

#include "base/str.h"
#include "connector/mysql/infoschema.h"
#include "connector/mysql/mysql_room.h"

#include <string.h>

static int too_big(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the types of the tables' columns need too much memory");
}

static struct mf_type **all_types(const struct mf_catalog *own, bool mariadb, struct mf_arena *arena)
{
    struct mf_type **ret = mf_alloc_array(arena, own->n, sizeof *ret);
    for (size_t i = 0; ret && i < own->n; i++) {
        const struct mf_table *t = &own->tables[i];
        ret[i] = mf_alloc_array(arena, t->ncolumns, sizeof **ret);
        if (!ret[i]) {
            return NULL;
        }
        for (uint16_t k = 0; k < t->ncolumns; k++) {
            if (my_canon_column(&t->columns[k], arena, &ret[i][k]) < 0) {
                return NULL;
            }
            if (mariadb && ret[i][k].kind == MF_KIND_FLOAT) {
                ret[i][k].form = MY_FORM_ONE_ZERO;
            }
        }
    }
    return ret;
}

/* ---- MariaDB's JSON ---- */

static bool may_be_json(const struct mf_column *c)
{
    return c->type && mf_starts_with(c->type, "longtext");
}

static bool any_json(const struct mf_table *t)
{
    for (uint16_t k = 0; k < t->ncolumns; k++) {
        if (may_be_json(&t->columns[k])) {
            return true;
        }
    }
    return false;
}

/* "json_valid(`column`)", and nothing else. */
static bool is_check_of(const char *clause, const char *column)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
    mf_buf_puts(&b, "json_valid(");
    my_put_ident(&b, column);
    mf_buf_putc(&b, ')');
    return mf_buf_ok(&b) && strcmp(clause, mf_buf_str(&b)) == 0;
}

static void take_check(const struct mf_table *t, struct mf_type *types, const char *clause)
{
    for (uint16_t k = 0; k < t->ncolumns; k++) {
        if (may_be_json(&t->columns[k]) && is_check_of(clause, t->columns[k].name)) {
            types[k] = (struct mf_type){.kind = MF_KIND_JSON, .form = MY_FORM_JSON_TEXT};
        }
    }
}

static int read_checks(MYSQL *c, const struct mf_catalog *own, const char *schema, struct mf_type **types,
                       struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MYSQL_ROW row;
    mf_buf_puts(&sql, "SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS"
                      " WHERE CHECK_CLAUSE LIKE 'json\\_valid(%' AND CONSTRAINT_SCHEMA = ");
    my_put_literal(&sql, schema);
    if (my_ask(c, &r, err, &sql) < 0) {
        return -1;
    }
    while (r && (row = mysql_fetch_row(r))) {
        const struct mf_table *t = row[0] ? mf_catalog_find(own, schema, row[0]) : NULL;
        if (t && row[1]) {
            take_check(t, types[t - own->tables], row[1]);
        }
    }
    return 0;
}

/* Tables of one database follow each other in a catalogue; one that does not is only asked for again. */
static int read_all_checks(struct my_db *db, const struct mf_catalog *own, struct mf_type **types, struct mf_error *err)
{
    const char *asked = NULL;
    MY_LEASE(db, l);
    for (size_t i = 0; i < own->n; i++) {
        const struct mf_table *t = &own->tables[i];
        if (!any_json(t) || mf_streq(asked, t->schema)) {
            continue;
        }
        if ((!l.conn && (my_lease(l.db, &l.conn, err) < 0 || my_ask_begin(l.conn, db, err) < 0)) ||
            read_checks(l.conn, own, t->schema, types, err) < 0) {
            return -1;
        }
        asked = t->schema;
    }
    if (l.conn) {
        my_ask_end(l.conn);
    }
    return 0;
}

int my_canon_types(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type ***ret,
                   struct mf_error *err)
{
    struct my_db *d = my_db_of(db);
    struct mf_type **types = all_types(own, d->mariadb, arena);
    if (!types) {
        return too_big(err);
    }
    if (d->mariadb && read_all_checks(d, own, types, err) < 0) {
        mf_error_prefix(err, "reading which columns are JSON");
        return -1;
    }
    *ret = types;
    return 0;
}
