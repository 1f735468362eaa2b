/* Tables of a schema that another kind of database described: see make.c. */
#include "connector/mysql/make.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define MAX_COLUMNS       1017
#define MAX_COMMENT       1024 /* characters, of a column */
#define MAX_TABLE_COMMENT 2048

static void put_comment(struct mf_buf *sql, const char *before, const char *comment, size_t most)
{
    size_t n = 0, chars = 0;
    if (!comment || !*comment) {
        return;
    }
    for (; comment[n]; n++) {
        bool starts = ((unsigned char)comment[n] & 0xc0) != 0x80;
        if (starts && chars++ == most) {
            break;
        }
    }
    mf_buf_puts(sql, before);
    my_put_literal_n(sql, comment, n);
}

static void put_column(struct my_make_run *m, const struct my_made *made, uint16_t i, struct mf_buf *sql)
{
    const struct mf_schema_column *c = &made->t->columns[i];
    MF_CLEANUP_BUF struct mf_buf type = {.max = MY_SQL_MAX}, loss = {.max = 4096}, value = {.max = MY_SQL_MAX},
                                 why = {.max = 4096};
    my_put_ident(sql, c->name);
    my_put_type(m->run.db, c, &made->widths[i], &type, &loss);
    mf_buf_printf(sql, " %s%s", mf_buf_str(&type), c->not_null ? " NOT NULL" : " NULL");
    if (made->counter == i) {
        mf_buf_puts(sql, " AUTO_INCREMENT");
    } else if (c->counter) {
        my_schema_tell(&m->run, MF_WARNING, "conversion-counter", made->label, "let the application give its numbers",
                       "column \"%s\" counts on the source and does not here: one column of a table can, which is a "
                       "whole number, NOT NULL and the first of an index",
                       c->name);
    } else if (!my_put_default(m->run.db, c, &made->widths[i], &m->run.arena, &value, &why)) {
        my_schema_tell(&m->run, MF_WARNING, "conversion-default", made->label,
                       "let the application say the value, or set a default by hand",
                       "column \"%s\" gets no default here; on the source it is %s: %s", c->name, c->default_text,
                       mf_buf_str(&why));
    } else if (value.len) {
        mf_buf_printf(sql, " DEFAULT %s", mf_buf_str(&value));
    }
    put_comment(sql, " COMMENT ", c->comment, MAX_COMMENT);
}

static int put_key(struct my_make_run *m, const struct my_made *made, const struct mf_schema_index *x, bool plain,
                   struct mf_buf *sql, struct mf_error *err)
{
    char name[MF_SCHEMA_NAME];
    const char *why = NULL;
    my_make_index_name(made->t, x, name);
    mf_buf_puts(sql, ",\n  ");
    if (x->primary && !plain) {
        mf_buf_puts(sql, "PRIMARY KEY");
    } else {
        mf_buf_puts(sql, plain ? "KEY " : "UNIQUE KEY ");
        my_put_ident(sql, name);
    }
    mf_buf_putc(sql, ' ');
    if (my_put_index_columns(m, made, x, sql, &why)) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFDDL", "the key %s of %s cannot be made: %s", x->name, made->label, why);
    mf_hint(err, "leave the table out (tables.exclude), or give it another key on the source");
    return -1;
}

static int create(struct my_make_run *m, const struct my_made *made, struct mf_error *err)
{
    const struct mf_schema_table *t = made->t;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    unsigned n = 0;
    mf_buf_puts(&sql, "CREATE TABLE IF NOT EXISTS ");
    my_put_name(&sql, t->schema, t->name);
    mf_buf_puts(&sql, " (");
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (!t->columns[i].generated) {
            mf_buf_puts(&sql, n++ ? ",\n  " : "\n  ");
            put_column(m, made, i, &sql);
        }
    }
    if (n == 0 || n > MAX_COLUMNS) {
        return mf_fail(err, MF_FATAL, "MFDDL", "%s has %u columns, and InnoDB's have from 1 to %d", made->label, n,
                       MAX_COLUMNS);
    }
    for (size_t i = 0; i < t->nindexes; i++) {
        bool key = t->indexes[i].primary || t->indexes[i].is_key, counts = made->counts_by == (int)i;
        if ((key || counts) && put_key(m, made, &t->indexes[i], counts, &sql, err) < 0) {
            return -1;
        }
    }
    mf_buf_printf(&sql, "\n) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE %s",
                  my_make_collation(m->run.db));
    put_comment(&sql, " COMMENT=", t->comment, MAX_TABLE_COMMENT);
    struct my_work *w = my_work_add(&m->run, t->schema, made->label, err);
    return w ? my_work_put(&m->run, w, &sql, NULL, err) : -1;
}

int my_make_tables(struct my_make_run *m, struct mf_error *err)
{
    for (size_t i = 0; i < m->schema->ntables; i++) {
        struct my_made made;
        if (my_make_look(m, &m->schema->tables[i], &made, err) < 0 || (!made.there && create(m, &made, err) < 0)) {
            return -1;
        }
    }
    return 0;
}

/* ---- tables that were there already ---- */

static int check_table(const struct my_made *made, struct mf_error *err)
{
    for (uint16_t i = 0; i < made->t->ncolumns; i++) {
        const struct mf_schema_column *c = &made->t->columns[i];
        const struct my_item *here = c->generated ? NULL : my_create_find(&made->here, MY_ITEM_COLUMN, c->name);
        const char *how = c->generated                                ? NULL
                          : !here                                     ? "is missing"
                          : my_item_says(here, "ON", "UPDATE")        ? "is set to the time of each update"
                          : my_item_says(here, "GENERATED", "ALWAYS") ? "is generated"
                                                                      : NULL;
        if (how) {
            mf_fail(err, MF_FATAL, "MFSHAPE", "column \"%s\" of %s on the target %s", c->name, made->label, how);
            mf_hint(err, "drop the table or rename it on the target, or give it the source's columns");
            return -1;
        }
    }
    return 0;
}

int my_make_check_tables(struct my_make_run *m, struct mf_error *err)
{
    for (size_t i = 0; i < m->schema->ntables; i++) {
        struct my_made made;
        if (my_make_look(m, &m->schema->tables[i], &made, err) < 0) {
            return -1;
        }
        if (!made.there) {
            return mf_fail(err, MF_FATAL, "MFSHAPE", "%s is not on the target", made.label);
        }
        if (check_table(&made, err) < 0) {
            return -1;
        }
    }
    return 0;
}
