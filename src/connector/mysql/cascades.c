/* See cascades.h. information_schema is asked with the databases as constants: 5.7 opens the files of what it is not told to leave out. */
#include "connector/mysql/cascades.h"

#include "base/str.h"
#include "connector/mysql/infoschema.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX (1u << 20)

bool my_rule_acts(const char *rule)
{
    return rule && (strcmp(rule, "CASCADE") == 0 || strcmp(rule, "SET NULL") == 0 || strcmp(rule, "SET DEFAULT") == 0);
}

/* The next of the names, into out; NULL at the end. */
static const char *next_name(const char *p, char *out, size_t n)
{
    size_t len = strcspn(p, MY_NAMES_APART);
    if (!*p) {
        return NULL;
    }
    snprintf(out, n, "%.*s", (int)len, p);
    return p + len + (p[len] != 0);
}

bool my_refers_to_key(const struct mf_table *t, const char *columns)
{
    char name[MY_NAME * 4];
    for (const char *p = columns; (p = next_name(p, name, sizeof name));) {
        int at = mf_table_column(t, name);
        if (at < 0 || !t->columns[at].in_key) {
            return false;
        }
    }
    return *columns != 0;
}

static enum mf_cascade_action action_of(const char *rule)
{
    return strcmp(rule, "CASCADE") == 0    ? MF_CASCADE_DELETE
           : strcmp(rule, "SET NULL") == 0 ? MF_CASCADE_SET_NULL
                                           : MF_CASCADE_NONE;
}

static const char **take_names(struct mf_arena *arena, const char *list, uint16_t *ret_n)
{
    char name[MY_NAME * 4];
    uint16_t n = 0;
    for (const char *p = list; (p = next_name(p, name, sizeof name));) {
        n++;
    }
    const char **names = mf_alloc_array(arena, n, sizeof *names);
    uint16_t i = 0;
    for (const char *p = list; names && (p = next_name(p, name, sizeof name)); i++) {
        names[i] = mf_strdup_a(arena, name);
        names = names[i] ? names : NULL;
    }
    *ret_n = n;
    return names;
}

enum { F_SCHEMA, F_TABLE, F_DELETE, F_UPDATE, F_REF_SCHEMA, F_REF_TABLE, F_COLUMNS, F_REF_COLUMNS };

/* Adds one to the table it refers to, for which there is room. */
static int take(struct mf_catalog *cat, struct mf_table *t, MYSQL_ROW row, struct mf_error *err)
{
    struct mf_cascade *k = &t->cascades[t->ncascades];
    uint16_t nto = 0;
    *k = (struct mf_cascade){.schema = mf_strdup_a(&cat->arena, row[F_SCHEMA]),
                             .table = mf_strdup_a(&cat->arena, row[F_TABLE]),
                             .on_delete = action_of(row[F_DELETE]),
                             .on_update = action_of(row[F_UPDATE])};
    if (k->on_update == MF_CASCADE_DELETE) {
        k->on_update = MF_CASCADE_UPDATE;
    }
    k->from = take_names(&cat->arena, row[F_REF_COLUMNS], &k->n);
    k->to = take_names(&cat->arena, row[F_COLUMNS], &nto);
    if (!k->schema || !k->table || !k->from || !k->to || nto != k->n) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the foreign keys of table %s.%s cannot be read", row[F_SCHEMA],
                       row[F_TABLE]);
    }
    t->ncascades++;
    return 0;
}

static struct mf_table *acted_on(struct mf_catalog *cat, MYSQL_ROW row)
{
    for (int i = 0; i <= F_REF_COLUMNS; i++) {
        if (!row[i]) {
            return NULL;
        }
    }
    struct mf_table *t = (struct mf_table *)mf_catalog_find(cat, row[F_REF_SCHEMA], row[F_REF_TABLE]);
    bool both = t && mf_catalog_find(cat, row[F_SCHEMA], row[F_TABLE]);
    return both && my_refers_to_key(t, row[F_REF_COLUMNS]) &&
                   (my_rule_acts(row[F_DELETE]) || my_rule_acts(row[F_UPDATE]))
               ? t
               : NULL;
}

static const char list_fmt[] =
    "SELECT r.CONSTRAINT_SCHEMA, r.TABLE_NAME, r.DELETE_RULE, r.UPDATE_RULE, r.UNIQUE_CONSTRAINT_SCHEMA,"
    " r.REFERENCED_TABLE_NAME, GROUP_CONCAT(k.COLUMN_NAME ORDER BY k.ORDINAL_POSITION SEPARATOR '" MY_NAMES_APART "'),"
    " GROUP_CONCAT(k.REFERENCED_COLUMN_NAME ORDER BY k.ORDINAL_POSITION SEPARATOR '" MY_NAMES_APART "')"
    " FROM information_schema.REFERENTIAL_CONSTRAINTS r JOIN information_schema.KEY_COLUMN_USAGE k"
    " ON k.CONSTRAINT_SCHEMA = r.CONSTRAINT_SCHEMA AND k.TABLE_NAME = r.TABLE_NAME AND k.CONSTRAINT_NAME ="
    " r.CONSTRAINT_NAME WHERE r.CONSTRAINT_SCHEMA = %s AND k.TABLE_SCHEMA = %s AND (r.DELETE_RULE IN ('CASCADE', 'SET "
    "NULL')"
    " OR r.UPDATE_RULE IN ('CASCADE', 'SET NULL')) GROUP BY 1, 2, 3, 4, 5, 6, r.CONSTRAINT_NAME";

static int read_schema(MYSQL *c, struct mf_catalog *cat, const char *schema, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192}, name = {.max = 1024};
    my_put_literal(&name, schema);
    mf_buf_printf(&sql, list_fmt, mf_buf_str(&name), mf_buf_str(&name));
    if (my_exec(c, err, "SET SESSION group_concat_max_len = 65536") < 0 || my_ask(c, &r, err, &sql) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(r));) {
        struct mf_table *t = acted_on(cat, row);
        if (!t) {
            continue;
        }
        struct mf_cascade *more = mf_alloc_array(&cat->arena, t->ncascades + 1u, sizeof *more);
        if (!more) {
            return mf_fail(err, MF_FATAL, "MFBIG", "the catalogue of foreign keys is too big");
        }
        if (t->ncascades) {
            memcpy(more, t->cascades, t->ncascades * sizeof *more);
        }
        t->cascades = more;
        if (take(cat, t, row, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_cascades_read(MYSQL *c, struct mf_catalog *cat, struct mf_error *err)
{
    for (size_t i = 0; i < cat->n; i++) { /* sorted by database */
        if ((i == 0 || strcmp(cat->tables[i - 1].schema, cat->tables[i].schema) != 0) &&
            read_schema(c, cat, cat->tables[i].schema, err) < 0) {
            mf_error_prefix(err, "reading foreign keys");
            return -1;
        }
    }
    return 0;
}
