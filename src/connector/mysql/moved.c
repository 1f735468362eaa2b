/* See moved.h. */
#include "connector/mysql/moved.h"

#include "base/mem.h"
#include "connector/mysql/mysql_room.h"
#include "connector/mysql/redefine.h"

#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STRICT (UINT64_C(3) << 21) /* sql_mode: STRICT_TRANS_TABLES, STRICT_ALL_TABLES */

void my_moves_clear(struct my_moves *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->list[i].column);
    }
    m->n = 0;
}

void my_moves_free(struct my_moves *m)
{
    my_moves_clear(m);
    free(m->list);
    *m = (struct my_moves){0};
}

/* ---- noted ---- */

static void add(struct my_moves *m, struct my_rel *rel, const char *column)
{
    if (m->n >= MY_MOVED_MAX) {
        column = "";
    }
    for (size_t i = 0; i < m->n; i++) {
        if (m->list[i].rel == rel && strcasecmp(m->list[i].column, column) == 0) {
            return;
        }
    }
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 16;
        m->list = mf_xreallocarray(m->list, m->cap, sizeof *m->list);
    }
    m->list[m->n++] = (struct my_moved){.rel = rel, .column = mf_xstrdup(column)};
}

/* Names of columns have no case; which letters beyond ASCII are the same to the server is not known here: one that is not found may be any. */
static const struct mf_column *find(const struct mf_table *t, const char *name, bool *ret_sure)
{
    *ret_sure = name[0] != '\0';
    for (const char *p = name; *p; p++) {
        *ret_sure &= (unsigned char)*p < 0x80;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (strcasecmp(t->columns[i].name, name) == 0) {
            return &t->columns[i];
        }
    }
    return NULL;
}

static bool has_text(const struct mf_table *t)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (t->columns[i].type && strstr(t->columns[i].type, " charset ")) {
            return true;
        }
    }
    return false;
}

void my_moves_note(struct my_moves *m, struct my_rel *rel, const struct my_touched *x, const struct my_event *e)
{
    bool strict = e->query.has_sql_mode && (e->query.sql_mode & STRICT), sure = false;
    const struct mf_table *known = rel->table ? rel->whole : NULL; /* as it was before; NULL: not known any more */
    const struct mf_column *c = known ? find(known, x->column, &sure) : NULL;
    if (x->effect == MY_FX_COLUMN_TEXTS ? strict || (known && !has_text(known)) : known && !c && sure) {
        return;
    }
    if (c && (c->generated || (x->effect == MY_FX_COLUMN_MADE && my_redefined_keeps(c, x->def, x->ndef, strict)))) {
        return;
    }
    my_shown(e->query.text, e->query.len, m->statement);
    add(m, rel, c ? c->name : known ? "" : x->column);
}

void my_moves_all(struct my_moves *m, struct my_rel *rel, const char *why)
{
    mf_strlcpy(m->statement, why, sizeof m->statement);
    add(m, rel, "");
}

/* ---- kept ---- */

static int write_one(const struct my_moves *m, size_t first, const struct my_relations *r, MYSQL *c, uint64_t order,
                     struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8u << 20}, object = {.max = 4096}, value = {.max = 4u << 20};
    const struct my_rel *rel = m->list[first].rel;
    my_put_name(&object, rel->schema, rel->name);
    mf_buf_printf(&object, " %llu", (unsigned long long)order);
    for (size_t i = first; i < m->n; i++) {
        if (m->list[i].rel == rel) {
            my_put_ident(&value, m->list[i].column);
            mf_buf_puts(&value, " ");
        }
    }
    mf_buf_puts(&value, m->statement);
    mf_buf_printf(&b, "INSERT INTO midflight.settings (migration, kind, object, value) VALUES ('%s', 'moved %s', ",
                  r->pipe.migration, my_direction(r->pipe.direction));
    my_put_literal(&b, mf_buf_str(&object));
    mf_buf_puts(&b, ", ");
    my_put_literal(&b, mf_buf_str(&value));
    mf_buf_puts(&b, ") ON DUPLICATE KEY UPDATE value = VALUES(value)");
    if (my_exec_buf(c, err, &b) < 0) {
        mf_error_prefix(err, "noting that values of table %s.%s may have changed", rel->schema, rel->name);
        return -1;
    }
    return 0;
}

int my_moves_write(const struct my_moves *m, const struct my_relations *r, MYSQL *c, uint64_t order,
                   struct mf_error *err)
{
    for (size_t i = 0; i < m->n; i++) {
        size_t before = 0;
        while (m->list[before].rel != m->list[i].rel) {
            before++;
        }
        if (before == i && write_one(m, i, r, c, order, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- numbered ---- */

static void count(struct mf_table *t, const char *column)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        struct mf_column *c = &t->columns[i];
        if ((!column[0] || strcasecmp(c->name, column) == 0) && c->number < INT16_MAX) {
            c->number++;
        }
    }
}

/* "`db`.`table` 17", "`column` `column` statement". */
static void take(struct mf_catalog *cat, char *object, const char *value)
{
    char schema[MY_TOKEN], table[MY_TOKEN];
    char *blank = strrchr(object, ' ');
    if (!blank) {
        return;
    }
    *blank = '\0';
    if (!my_object_name(object, schema, table, sizeof schema)) {
        return;
    }
    struct mf_table *t = (struct mf_table *)mf_catalog_find(cat, schema, table);
    struct my_tokens at;
    my_tokens_init(&at, value, strlen(value), true);
    while (t && my_token_next(&at) == MY_TOKEN_QUOTED && at.quote == '`') {
        count(t, at.text);
    }
}

int my_moves_number(MYSQL *c, const struct my_db *db, struct mf_catalog *cat, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *rows = NULL;
    MYSQL_ROW row;
    struct mf_error e = {0};
    if (!db->migration) {
        return 0;
    }
    if (my_queryf(c, &rows, &e,
                  "SELECT object, value FROM midflight.settings WHERE migration = '%s'"
                  " AND kind IN ('moved fwd', 'moved rev')",
                  db->migration) < 0) {
        bool none = my_is_error(&e, ER_NO_SUCH_TABLE) || my_is_error(&e, ER_BAD_DB_ERROR) ||
                    my_is_error(&e, ER_TABLEACCESS_DENIED_ERROR); /* what one has no right to is not there either */
        *err = none ? *err : e;
        return none ? 0 : -1;
    }
    while (rows && (row = mysql_fetch_row(rows))) {
        if (row[0] && row[1]) {
            take(cat, row[0], row[1]);
        }
    }
    return 0;
}
