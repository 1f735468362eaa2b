/* Shapes of the target's tables: see shape.h. Read from information_schema, on another session than the window's. */
#include "connector/mysql/shape.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* name, COLUMN_TYPE, character set, EXTRA, generated, must be named by an INSERT, the table's engine, NOT NULL */
static const char columns_sql[] =
    "SELECT c.COLUMN_NAME, c.COLUMN_TYPE, COALESCE(c.CHARACTER_SET_NAME, ''), c.EXTRA,"
    " COALESCE(c.GENERATION_EXPRESSION, '') <> '',"
    " c.IS_NULLABLE = 'NO' AND c.COLUMN_DEFAULT IS NULL AND c.EXTRA NOT LIKE '%%auto_increment%%', t.ENGINE,"
    " c.IS_NULLABLE = 'NO'"
    " FROM information_schema.COLUMNS c JOIN information_schema.TABLES t"
    " ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME"
    " WHERE c.TABLE_SCHEMA = %s AND c.TABLE_NAME = %s AND t.TABLE_SCHEMA = %s AND t.TABLE_NAME = %s"
    " ORDER BY c.ORDINAL_POSITION";

static const char indexes_sql[] = "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL FROM information_schema.STATISTICS"
                                  " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0"
                                  " ORDER BY INDEX_NAME = 'PRIMARY' DESC, INDEX_NAME, SEQ_IN_INDEX";

static int too_big(const struct mf_table *t, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the shape of %s.%s is too big", t->schema, t->name);
}

static int take_column(struct my_shape *s, MYSQL_ROW row, bool *given, struct mf_error *err)
{
    int at = mf_table_column(s->table, row[0]);
    bool generated = my_get_i64(row, 4) != 0;
    if (at < 0) {
        s->extra = s->extra || !generated;
        s->extra_required = s->extra_required || (my_get_i64(row, 5) != 0 && !generated);
        return 0;
    }
    struct my_shape_column *c = &s->columns[at];
    const char *text = *row[2] ? mf_printf_a(&s->arena, "%s charset %s", row[1], row[2]) : row[1];
    given[at] = true;
    c->skip = generated;
    c->on_update = strstr(row[3], "on update") || strstr(row[3], "ON UPDATE");
    if (!text) {
        return too_big(s->table, err);
    }
    if (my_type_parse(text, &s->arena, &c->type, err) < 0) {
        mf_error_prefix(err, "column \"%s\" of %s.%s", row[0], s->table->schema, s->table->name);
        return -1;
    }
    c->null_is_new = my_get_i64(row, 7) != 0 && (c->type.base == MY_TIMESTAMP || strstr(row[3], "auto_increment"));
    return 0;
}

static int take_columns(struct my_shape *s, MYSQL_RES *r, struct mf_error *err)
{
    const struct mf_table *t = s->table;
    MF_CLEANUP_FREE bool *given = mf_xcalloc(t->ncolumns + 1u, sizeof *given);
    MYSQL_ROW row;
    bool any = false;
    while ((row = mysql_fetch_row(r))) {
        if (!any && !mf_streq(row[6], "InnoDB")) {
            mf_fail(err, MF_FATAL, "MFENGINE",
                    "table %s.%s of the target has the engine %s, which midflight cannot write to in a transaction",
                    t->schema, t->name, row[6] ? row[6] : "(none)");
            mf_hint(err, "ALTER TABLE … ENGINE = InnoDB on the target, or exclude the table");
            return -1;
        }
        any = true;
        if (take_column(s, row, given, err) < 0) {
            return -1;
        }
    }
    if (!any) {
        mf_fail(err, MF_FATAL, "MFSHAPE", "the target has no table %s.%s", t->schema, t->name);
        mf_hint(err, "make the table on the target, or exclude it from the migration");
        return -1;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        s->columns[i].skip = s->columns[i].skip || t->columns[i].generated;
        if (!given[i] && !t->columns[i].generated) {
            return mf_fail(err, MF_FATAL, "MFSHAPE", "the target's table %s.%s has no column \"%s\"", t->schema,
                           t->name, t->columns[i].name);
        }
    }
    return 0;
}

/* The first unique index that has exactly the key's columns, whole; the primary key comes first. */
static void take_indexes(struct my_shape *s, MYSQL_RES *r)
{
    const struct mf_table *t = s->table;
    char name[sizeof s->key_index] = "";
    uint16_t n = 0;
    bool fits = false;
    for (MYSQL_ROW row;;) {
        row = mysql_fetch_row(r);
        if (!row || !mf_streq(row[0], name)) {
            if (fits && n == t->nkey && n > 0) {
                mf_strlcpy(s->key_index, name, sizeof s->key_index);
                s->key_is_primary = mf_streq(name, "PRIMARY");
                return;
            }
            n = 0;
            fits = true;
        }
        if (!row) {
            return;
        }
        mf_strlcpy(name, row[0], sizeof name);
        int at = row[1] ? mf_table_column(t, row[1]) : -1;
        bool in_key = false;
        for (uint16_t k = 0; at >= 0 && k < t->nkey; k++) {
            in_key = in_key || t->key[k] == at;
        }
        fits = fits && in_key && my_get_i64(row, 2) != 0;
        n++;
    }
}

int my_shape_load(struct my_db *db, const struct mf_table *t, struct my_shape **ret, struct mf_error *err)
{
    MY_LEASE(db, l);
    MY_CLEANUP_RESULT MYSQL_RES *columns = NULL, *indexes = NULL;
    MF_CLEANUP_BUF struct mf_buf schema = {.max = 1024}, name = {.max = 1024};
    my_put_literal(&schema, t->schema);
    my_put_literal(&name, t->name);
    const char *sn = mf_buf_str(&schema), *tn = mf_buf_str(&name);
    if (my_lease(db, &l.conn, err) < 0 || my_queryf(l.conn, &columns, err, columns_sql, sn, tn, sn, tn) < 0 ||
        my_queryf(l.conn, &indexes, err, indexes_sql, sn, tn) < 0) {
        return -1;
    }
    struct my_shape *s = mf_xcalloc(1, sizeof *s);
    mf_arena_init(&s->arena, 16u << 20);
    s->hash = mf_table_shape(t);
    s->table = mf_table_copy(&s->arena, t);
    s->columns = mf_alloc_array(&s->arena, t->ncolumns, sizeof *s->columns);
    if (!s->table || !s->columns ? too_big(t, err) < 0 : take_columns(s, columns, err) < 0) {
        my_shape_free(s);
        return -1;
    }
    take_indexes(s, indexes);
    *ret = s;
    return 0;
}

void my_shape_free(struct my_shape *s)
{
    if (s) {
        mf_arena_free(&s->arena);
        free(s);
    }
}

static bool same_equality(const struct mf_table *a, const struct mf_table *b)
{
    bool same = true;
    for (uint16_t i = 0; same && i < a->ncolumns; i++) {
        same = a->columns[i].by_bytes == b->columns[i].by_bytes;
    }
    return same;
}

int my_shape_get(struct my_db *db, struct my_shape **list, const struct mf_table *t, struct my_shape **ret,
                 struct mf_error *err)
{
    uint64_t hash = mf_table_shape(t);
    struct my_shape *s = NULL;
    for (struct my_shape **p = list; *p; p = &(*p)->next) {
        if ((*p)->hash == hash && (*p)->table->ncolumns == t->ncolumns && mf_streq((*p)->table->name, t->name) &&
            mf_streq((*p)->table->schema, t->schema) && same_equality((*p)->table, t)) {
            s = *p;
            *p = s->next; /* to the head: a few tables get most of the work */
            break;
        }
    }
    if (!s && my_shape_load(db, t, &s, err) < 0) {
        return -1;
    }
    s->next = *list;
    *list = s;
    *ret = s;
    return 0;
}

/* ---- may the target's column change a value in silence? ---- */

static bool is_integer(enum my_base b)
{
    return b == MY_TINYINT || b == MY_SMALLINT || b == MY_MEDIUMINT || b == MY_INT || b == MY_BIGINT;
}

/* The source's members in the same places: a text that is no member but a number would be taken as a place. */
static bool members_fit(const struct my_type *t, const struct my_type *s)
{
    if (t->nmembers < s->nmembers) {
        return false;
    }
    for (uint16_t i = 0; i < s->nmembers; i++) {
        if (strcmp(t->members[i], s->members[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Every value of the source's column is held as it is, or refused (or noted, which is a refusal) by the server. */
static bool fits(const struct my_type *t, const struct my_type *s)
{
    if (is_integer(t->base) && is_integer(s->base)) {
        return true;
    }
    if (t->base != s->base) {
        return false;
    }
    switch (t->base) {
    case MY_FLOAT:
    case MY_DOUBLE:
        return t->precision == s->precision && t->scale == s->scale;
    case MY_TIME:
    case MY_DATETIME:
    case MY_TIMESTAMP:
        return t->scale >= s->scale;
    case MY_BINARY: /* a longer one adds zeros */
        return t->length == s->length;
    case MY_ENUM:
    case MY_SET:
        return members_fit(t, s);
    default:
        return true;
    }
}

const char *my_shape_narrow(const struct my_shape *s, const struct mf_table *source)
{
    struct mf_arena arena;
    const char *ret = NULL;
    mf_arena_init(&arena, 16u << 20);
    for (uint16_t i = 0; !ret && i < source->ncolumns; i++) {
        const struct mf_column *c = &source->columns[i];
        int at = mf_table_column(s->table, c->name);
        struct my_type type;
        struct mf_error ignored = {0};
        if (at < 0 || c->generated || s->columns[at].skip) {
            continue;
        }
        if (!c->type || my_type_parse(c->type, &arena, &type, &ignored) < 0 || !fits(&s->columns[at].type, &type)) {
            ret = c->name;
        }
    }
    mf_arena_free(&arena);
    return ret;
}
