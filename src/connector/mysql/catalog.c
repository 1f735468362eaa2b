/*
 * The tables that migrate, as information_schema has them.
 *
 * A table here is a base table of a user's database: no views, sequences or system-versioned tables (the check says so). A URL with a database
 * means that one only. A partitioned table is one table.
 *
 * Tables, columns and indexes are three looks. A table that was altered between them is torn: everything is read again.
 */
#include "connector/mysql/moved.h"
#include "connector/mysql/mysql_room.h"
#include "connector/mysql/unlogged.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/cascades.h"
#include "connector/mysql/infoschema.h"
#include "connector/mysql/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define CATALOG_BYTES ((size_t)1 << 30)
#define MAX_COLUMNS   4096 /* of a table; the server's own bound, 4096 */
#define TRIES         5

struct loading {
    MYSQL *c;
    const struct mf_filter *filter;
    const char *schema; /* only this one; NULL: what the query gives */
    bool figures;
    struct mf_arena *arena;
    struct mf_table *tables; /* sorted by schema and name */
    size_t n, cap;
    char torn[256]; /* a table that was altered between two looks; "" none */
};

static int too_big(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the catalogue of tables needs more than %zu MB of memory",
                   CATALOG_BYTES >> 20);
}

uint32_t my_table_id(const char *schema, const char *name)
{
    XXH32_state_t *h = XXH32_createState();
    XXH32_reset(h, 0);
    XXH32_update(h, schema, strlen(schema) + 1);
    XXH32_update(h, name, strlen(name));
    uint32_t id = XXH32_digest(h);
    XXH32_freeState(h);
    return id ? id : 1; /* 0 is no table */
}

/* ---- finding them again ---- */

static int compare_tables(const void *a, const void *b)
{
    const struct mf_table *x = a, *y = b;
    int d = strcmp(x->schema, y->schema);
    return d ? d : strcmp(x->name, y->name);
}

static struct mf_table *find(const struct loading *l, const char *schema, const char *name)
{
    struct mf_table key = {.schema = schema, .name = name};
    return schema && name && l->n ? bsearch(&key, l->tables, l->n, sizeof key, compare_tables) : NULL;
}

static void tear(struct loading *l, const struct mf_table *t)
{
    mf_table_label(t, l->torn, sizeof l->torn);
}

/* ---- tables ---- */

static int read_tables(struct loading *l, const char *where, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MYSQL_ROW row;
    mf_buf_printf(&sql,
                  "SELECT TABLE_SCHEMA, TABLE_NAME%s FROM information_schema.TABLES WHERE %s"
                  " AND TABLE_TYPE = 'BASE TABLE'",
                  l->figures ? ", DATA_LENGTH, TABLE_ROWS" : "", where);
    if (my_ask(l->c, &r, err, &sql) < 0) {
        return -1;
    }
    while ((row = mysql_fetch_row(r))) {
        /* The names of two databases may differ in their letters' case only, which a comparison in the query may not see. */
        if (!row[0] || !row[1] || (l->schema && strcmp(l->schema, row[0]) != 0) ||
            !mf_filter_match(l->filter, row[0], row[1])) {
            continue;
        }
        if (l->n == l->cap) {
            l->cap = l->cap ? l->cap * 2 : 64;
            l->tables = mf_xreallocarray(l->tables, l->cap, sizeof *l->tables);
        }
        struct mf_table *t = &l->tables[l->n++];
        *t = (struct mf_table){.id = my_table_id(row[0], row[1]),
                               .schema = mf_strdup_a(l->arena, row[0]),
                               .name = mf_strdup_a(l->arena, row[1]),
                               .identity = MF_IDENTITY_FULL,
                               .bytes = l->figures ? my_get_i64(row, 2) : 0,
                               .rows_estimate = l->figures && row[3] ? my_get_i64(row, 3) : -1};
        if (!t->schema || !t->name) {
            return too_big(err);
        }
    }
    if (l->n) {
        qsort(l->tables, l->n, sizeof *l->tables, compare_tables);
    }
    return 0;
}

/* ---- columns ---- */

enum { C_SCHEMA, C_TABLE, C_NAME, C_TYPE, C_CHARSET, C_NULLABLE, C_EXTRA, C_ORDINAL, C_COLLATION };

static bool is_generated(const char *extra)
{
    return extra &&
           (strstr(extra, "VIRTUAL GENERATED") || strstr(extra, "STORED GENERATED") || strstr(extra, "PERSISTENT"));
}

static int fill_column(struct loading *l, const struct mf_table *t, struct mf_column *c, MYSQL_ROW row,
                       struct mf_error *err)
{
    struct my_type type;
    c->name = mf_strdup_a(l->arena, row[C_NAME]);
    c->type = row[C_CHARSET] ? mf_printf_a(l->arena, "%s charset %s", row[C_TYPE], row[C_CHARSET])
                             : mf_strdup_a(l->arena, row[C_TYPE]);
    if (!c->name || !c->type) {
        return too_big(err);
    }
    if (my_type_parse(c->type, NULL, &type, err) < 0) {
        mf_error_prefix(err, "column `%s` of table %s.%s", c->name, t->schema, t->name);
        mf_hint(err, "leave the table out (tables.exclude), or change the column's type");
        return -1;
    }
    c->type_id = my_type_id(&type);
    c->type_mod = my_type_mod(&type);
    c->equality = my_equality(&type, row[C_COLLATION]);
    c->not_null = strcmp(row[C_NULLABLE] ? row[C_NULLABLE] : "", "NO") == 0;
    c->generated = is_generated(row[C_EXTRA]);
    c->number = (int16_t)my_get_i64(row, C_ORDINAL); /* until they are in order */
    return 0;
}

static int compare_columns(const void *a, const void *b)
{
    const struct mf_column *x = a, *y = b;
    return x->number - y->number;
}

/* The server's own ORDER BY would sort in a table on its disk. Ordinals change when a column is dropped, so they are no numbers of columns that
 * are never given twice: see moved.h. */
static void order_columns(struct loading *l, struct mf_table *t)
{
    if (t->ncolumns == 0) {
        tear(l, t);
        return;
    }
    qsort(t->columns, t->ncolumns, sizeof *t->columns, compare_columns);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        t->columns[i].number = 0;
    }
}

static int read_columns(struct loading *l, const char *where, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    MF_CLEANUP_FREE uint16_t *room = mf_xcalloc(l->n + 1, sizeof *room);
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MYSQL_ROW row;
    mf_buf_printf(&sql,
                  "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, IS_NULLABLE, EXTRA,"
                  " ORDINAL_POSITION, COLLATION_NAME FROM information_schema.COLUMNS WHERE %s",
                  where);
    if (my_ask(l->c, &r, err, &sql) < 0) {
        return -1;
    }
    while ((row = mysql_fetch_row(r))) {
        const struct mf_table *t = find(l, row[C_SCHEMA], row[C_TABLE]);
        if (t && row[C_NAME] && row[C_TYPE] && room[t - l->tables] < MAX_COLUMNS) {
            room[t - l->tables]++;
        }
    }
    for (mysql_data_seek(r, 0); (row = mysql_fetch_row(r));) {
        struct mf_table *t = find(l, row[C_SCHEMA], row[C_TABLE]);
        if (!t || t->ncolumns == room[t - l->tables]) {
            continue;
        }
        if (!t->columns && !(t->columns = mf_alloc_array(l->arena, room[t - l->tables], sizeof *t->columns))) {
            return too_big(err);
        }
        if (row[C_NAME] && row[C_TYPE] && fill_column(l, t, &t->columns[t->ncolumns++], row, err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < l->n; i++) {
        order_columns(l, &l->tables[i]);
    }
    return 0;
}

/* ---- keys ---- */

enum { K_SCHEMA, K_TABLE, K_INDEX, K_COLUMN, K_SEQ, K_PREFIX, K_TYPE };

struct part_of {
    struct mf_table *table;
    struct my_key_part part;
};

static int compare_part_tables(const void *a, const void *b)
{
    const struct part_of *x = a, *y = b;
    return (x->table > y->table) - (x->table < y->table);
}

static int choose_keys(struct loading *l, struct part_of *parts, size_t n, struct mf_error *err)
{
    MF_CLEANUP_FREE struct my_key_part *own = mf_xcalloc(n + 1, sizeof *own);
    if (n) {
        qsort(parts, n, sizeof *parts, compare_part_tables);
    }
    for (size_t i = 0, k; i < n; i += k) {
        bool torn = false;
        for (k = 0; i + k < n && parts[i + k].table == parts[i].table; k++) {
            own[k] = parts[i + k].part;
        }
        if (my_key_choose(parts[i].table, own, k, l->arena, &torn) < 0) {
            return too_big(err);
        }
        if (torn) {
            tear(l, parts[i].table);
        }
    }
    return 0;
}

static int read_keys(struct loading *l, const char *where, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MYSQL_ROW row;
    size_t n = 0;
    mf_buf_printf(&sql,
                  "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SEQ_IN_INDEX, SUB_PART, INDEX_TYPE"
                  " FROM information_schema.STATISTICS WHERE %s AND NON_UNIQUE = 0",
                  where);
    if (my_ask(l->c, &r, err, &sql) < 0) {
        return -1;
    }
    MF_CLEANUP_FREE struct part_of *parts = mf_xcalloc((size_t)mysql_num_rows(r) + 1, sizeof *parts);
    while ((row = mysql_fetch_row(r))) {
        struct mf_table *t = find(l, row[K_SCHEMA], row[K_TABLE]);
        if (t && row[K_INDEX]) {
            parts[n++] = (struct part_of){.table = t,
                                          .part = {.index = row[K_INDEX],
                                                   .column = row[K_COLUMN],
                                                   .seq = (unsigned)my_get_i64(row, K_SEQ),
                                                   .prefix = row[K_PREFIX] != NULL,
                                                   .hash = row[K_TYPE] && strcmp(row[K_TYPE], "HASH") == 0}};
        }
    }
    return choose_keys(l, parts, n, err);
}

/* ---- one look ---- */

static int read_where(struct loading *l, const char *where, struct mf_error *err)
{
    return read_tables(l, where, err) < 0 || (l->n && (read_columns(l, where, err) < 0 || read_keys(l, where, err) < 0))
               ? -1
               : 0;
}

/* The tables that a condition gives, added to a catalogue's. */
static int add_where(struct loading *all, const char *schema, const char *where, struct mf_error *err)
{
    struct loading l = {
        .c = all->c, .filter = all->filter, .schema = schema, .figures = all->figures, .arena = all->arena};
    int rc = read_where(&l, where, err);
    if (rc == 0 && l.n) {
        all->tables = mf_xreallocarray(all->tables, all->n + l.n, sizeof *all->tables);
        memcpy(all->tables + all->n, l.tables, l.n * sizeof *l.tables);
        all->n += l.n;
    }
    if (l.torn[0]) {
        mf_strlcpy(all->torn, l.torn, sizeof all->torn);
    }
    free(l.tables);
    return rc;
}

static int add_schema(void *ctx, const char *schema, const char *where, struct mf_error *err)
{
    return add_where(ctx, schema, where, err);
}

/* ---- tables with numbers of their own ---- */

static int compare_ids(const void *a, const void *b)
{
    const struct mf_table *const *x = a, *const *y = b;
    return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

/* Two tables of one number could not be told apart in the bookkeeping. */
static int ids_differ(const struct loading *l, struct mf_error *err)
{
    MF_CLEANUP_FREE const struct mf_table **by_id = mf_xcalloc(l->n + 1, sizeof *by_id);
    for (size_t i = 0; i < l->n; i++) {
        by_id[i] = &l->tables[i];
    }
    qsort(by_id, l->n, sizeof *by_id, compare_ids);
    for (size_t i = 1; i < l->n; i++) {
        if (by_id[i]->id == by_id[i - 1]->id) {
            mf_fail(err, MF_FATAL, "MFTABLEID",
                    "tables %s.%s and %s.%s cannot be in one migration: the number that midflight makes of a table's "
                    "name is the "
                    "same for both (%u), by chance",
                    by_id[i - 1]->schema, by_id[i - 1]->name, by_id[i]->schema, by_id[i]->name, by_id[i]->id);
            mf_hint(err, "rename one of them, or leave one out (tables.exclude) and move it by other means");
            return -1;
        }
    }
    return 0;
}

/* ---- all ---- */

/* Fills cat->tables from a look that is whole; the arena is cat's. */
static int finish(const struct loading *l, struct mf_catalog *cat, struct mf_error *err)
{
    if (ids_differ(l, err) < 0) {
        return -1;
    }
    cat->tables = mf_alloc_array(&cat->arena, l->n + 1, sizeof *cat->tables);
    if (!cat->tables) {
        return too_big(err);
    }
    if (l->n) {
        memcpy(cat->tables, l->tables, l->n * sizeof *cat->tables);
        qsort(cat->tables, l->n, sizeof *cat->tables, compare_tables);
    }
    cat->n = l->n;
    return 0;
}

static int fail_torn(const char *label, struct mf_error *err)
{
    mf_fail(err, MF_RETRY, "MFCATALOG",
            "the definition of table %s cannot be read: it is being altered all the time, is damaged, or its columns "
            "are not "
            "shown to this account",
            label);
    mf_hint(err, "SELECT on the whole table shows its columns; a table that is not to be migrated can be left out "
                 "(tables.exclude)");
    return -1;
}

/* where NULL: every database that is asked for. */
static int load(MYSQL *c, const struct my_db *db, const struct mf_filter *filter, bool figures, const char *where,
                struct mf_catalog *ret, struct mf_error *err)
{
    char torn[256] = "";
    for (int i = 0; i < TRIES; i++) {
        struct mf_catalog cat = {0};
        mf_arena_init(&cat.arena, CATALOG_BYTES);
        struct loading l = {.c = c, .filter = filter, .figures = figures, .arena = &cat.arena};
        int rc = where ? add_where(&l, NULL, where, err) : my_each_schema(c, db, add_schema, &l, err);
        bool whole = rc == 0 && !l.torn[0];
        rc = whole ? finish(&l, &cat, err) : rc;
        free(l.tables);
        rc = whole && rc == 0 && !where ? my_cascades_read(c, &cat, err) : rc;
        if (whole && rc == 0) {
            *ret = cat;
            return 0;
        }
        mf_catalog_free(&cat);
        if (rc < 0) {
            return -1;
        }
        mf_strlcpy(torn, l.torn, sizeof torn);
    }
    return fail_torn(torn, err);
}

static int read_all(struct mf_db *base, const struct mf_filter *filter, bool figures, struct mf_catalog *ret,
                    struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    if (my_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    int rc = my_ask_begin(l.conn, l.db, err) < 0 ? -1 : load(l.conn, l.db, filter, figures, NULL, ret, err);
    my_ask_end(l.conn);
    /* Noted by the look that compares, or what is compared with would have it already. */
    if (rc == 0 &&
        ((!figures && my_unlogged_note(l.conn, l.db, ret, err) < 0) || my_moves_number(l.conn, l.db, ret, err) < 0)) {
        mf_catalog_free(ret);
        rc = -1;
    }
    if (rc < 0) {
        mf_error_prefix(err, "reading the catalogue of tables");
    }
    return rc;
}

int my_catalog_read(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return read_all(db, filter, true, ret, err);
}

int my_catalog_shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return read_all(db, filter, false, ret, err);
}

static void put_one(struct mf_buf *where, const char *schema, const char *name)
{
    mf_buf_puts(where, "TABLE_SCHEMA = ");
    my_put_literal(where, schema);
    mf_buf_puts(where, " AND TABLE_NAME = ");
    my_put_literal(where, name);
}

int my_catalog_table(MYSQL *c, const struct my_db *db, const char *schema, const char *name, struct mf_arena *arena,
                     struct mf_table **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf where = {.max = 8192};
    struct mf_catalog cat = {0};
    put_one(&where, schema, name);
    if (load(c, db, NULL, false, mf_buf_str(&where), &cat, err) < 0) {
        mf_error_prefix(err, "reading the definition of table %s.%s", schema, name);
        return -1;
    }
    const struct mf_table *t = mf_catalog_find(&cat, schema, name);
    struct mf_table *copy = t ? mf_table_copy(arena, t) : NULL;
    mf_catalog_free(&cat);
    if (t && !copy) {
        return too_big(err);
    }
    *ret = copy;
    return 0;
}

/* A table has no number of the server's own that stays: one that was renamed cannot be told from one that was dropped. */
int my_what_became(struct mf_db *base, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                   struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MY_LEASE(my_db_of(base), l);
    mf_buf_puts(&sql, "SELECT TABLE_TYPE FROM information_schema.TABLES WHERE ");
    put_one(&sql, t->schema, t->name);
    if (my_lease(l.db, &l.conn, err) < 0 || my_ask(l.conn, &r, err, &sql) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    *ret_dropped = row == NULL;
    if (!row) {
        snprintf(ret, n, "was dropped or renamed");
    } else if (row[0] && strcmp(row[0], "BASE TABLE") != 0) {
        snprintf(ret, n, "is no ordinary table any more (%.60s)", row[0]);
    } else {
        snprintf(ret, n, "is left out by the configuration now");
    }
    return 0;
}
