/*
 * Columns that a server keeps for itself and logs all the same: those behind an index on an expression (MySQL 8.0), behind a unique index
 * on a long value (MariaDB). They travel nowhere, but they have their place in a row of the log. Later versions leave them out of it, so
 * the log's own number of columns decides (learn.c).
 */
#include "connector/mysql/learn.h"

#include "connector/mysql/mysql_room.h"

#include <string.h>

bool my_is_hidden(const struct mf_column *c)
{
    return mf_starts_with(c->name, MY_HIDDEN);
}

static int no_room(const struct mf_table *t, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the shape of table %s.%s is too large", t->schema, t->name);
}

/* t with room for n columns in all. */
static int widen(struct mf_arena *arena, struct mf_table *t, uint64_t n, struct mf_column **ret_old,
                 struct mf_error *err)
{
    *ret_old = t->columns;
    t->columns = n <= 4096 ? mf_alloc_array(arena, n + 1, sizeof *t->columns) : NULL;
    return t->columns ? 0 : no_room(t, err);
}

static int put_hidden(struct mf_arena *arena, struct mf_table *t, uint16_t at, const char *name, const char *type,
                      const char *collation, struct mf_error *err)
{
    size_t n = collation && strcmp(collation, "binary") != 0 ? strcspn(collation, "_") : 0;
    struct mf_column *c = &t->columns[at];
    *c = (struct mf_column){.generated = true};
    c->name = mf_printf_a(arena, MY_HIDDEN "%s", name);
    c->type = n ? mf_printf_a(arena, "%s charset %.*s", type, (int)n, collation) : mf_strdup_a(arena, type);
    return c->name && c->type ? 0 : no_room(t, err);
}

/* Field, Type, Collation, …; what the engine adds has no type. */
static int mysql_columns(MYSQL *c, struct mf_arena *arena, struct mf_table *t, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    struct mf_column *old = NULL;
    MYSQL_ROW row;
    uint64_t n = 0;
    mf_buf_puts(&b, "SHOW EXTENDED FULL COLUMNS FROM ");
    my_put_table(&b, t);
    if (my_query(c, &r, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    while ((row = mysql_fetch_row(r))) {
        n += row[1] && row[1][0];
    }
    if (n <= t->ncolumns) {
        return 0;
    }
    uint16_t at = 0, seen = 0, nold = t->ncolumns, *to = mf_alloc_array(arena, nold + 1u, sizeof *to);
    if (!to || widen(arena, t, n, &old, err) < 0) {
        return no_room(t, err);
    }
    mysql_data_seek(r, 0);
    while ((row = mysql_fetch_row(r))) {
        if (!row[0] || !row[1] || !row[1][0]) {
            continue;
        }
        if (seen < nold && strcmp(row[0], old[seen].name) == 0) {
            to[seen] = at;
            t->columns[at++] = old[seen++];
        } else if (put_hidden(arena, t, at++, row[0], row[1], row[2], err) < 0) {
            return -1;
        }
    }
    if (seen != nold) {
        return mf_fail(err, MF_RETRY, "MFSHAPE", "table %s.%s changed while it was looked at", t->schema, t->name);
    }
    t->ncolumns = at;
    for (uint16_t k = 0; k < t->nkey; k++) {
        t->key[k] = to[t->key[k]];
    }
    return 0;
}

/* A hash of its own for each such index, behind all other columns. */
static int mariadb_hashes(MYSQL *c, struct mf_arena *arena, struct mf_table *t, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    struct mf_column *old = NULL;
    int64_t n = 0;
    mf_buf_puts(&b, "SELECT COUNT(DISTINCT INDEX_NAME) FROM information_schema.STATISTICS WHERE INDEX_TYPE = 'HASH'"
                    " AND NON_UNIQUE = 0 AND TABLE_SCHEMA = ");
    my_put_literal(&b, t->schema);
    mf_buf_puts(&b, " AND TABLE_NAME = ");
    my_put_literal(&b, t->name);
    if (my_query_i64(c, &n, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    if (n == 0) {
        return 0;
    }
    if (widen(arena, t, t->ncolumns + (uint64_t)n, &old, err) < 0) {
        return -1;
    }
    memcpy(t->columns, old, t->ncolumns * sizeof *old);
    for (int64_t i = 0; i < n; i++) {
        if (put_hidden(arena, t, t->ncolumns++, "hash", "bigint(20) unsigned", NULL, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_add_hidden(const struct my_db *db, MYSQL *c, struct mf_arena *arena, struct mf_table *t, struct mf_error *err)
{
    if (db->mariadb) {
        return mariadb_hashes(c, arena, t, err);
    }
    return db->version >= 80013 ? mysql_columns(c, arena, t, err) : 0;
}
