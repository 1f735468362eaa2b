/*
 * A column that was added on the origin while the migration runs.
 *
 * The rows that were there got the column's default of that moment, all the same one, and no change of theirs is in the log. So the
 * default must be a value: a time, a counter or an expression gave each row, or each server, something of its own. The server does
 * not keep the default it filled the rows with, only the one it has now: whoever adds a column and changes its default within the seconds before
 * this runs gets a difference, which a verification tells.
 */
#include "connector/mysql/schema.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

static int refuse(const struct mf_table *t, const struct mf_column *col, const char *why, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFDDL", "column \"%s\" (%s) was added to table %s.%s and cannot be carried over: %s",
            col->name, col->type ? col->type : "?", t->schema, t->name, why);
    mf_hint(err, "add it on the other side by hand as the origin has it, start midflight again, and run midflight "
                 "verify --repair: "
                 "it writes the values of the rows that were there. Nothing is lost, the changes wait in the spool");
    return -1;
}

static int take(MYSQL *c, const struct mf_table *t, struct mf_arena *arena, struct my_create *ret, struct mf_error *err)
{
    const char *text = NULL;
    if (my_show_create(c, "TABLE", t->schema, t->name, 1, arena, &text, err) < 0) {
        return -1;
    }
    if (!text) {
        return mf_fail(err, MF_FATAL, "MFSHAPE", "there is no table %s.%s", t->schema, t->name);
    }
    return my_create_split(text, arena, ret, err);
}

static int carriable(const struct mf_table *t, const struct mf_column *col, const struct my_item *it,
                     struct mf_error *err)
{
    if (!it) {
        mf_fail(err, MF_FATAL, "MFDDL", "column \"%s\" of %s.%s was added on the origin and dropped again", col->name,
                t->schema, t->name);
        mf_hint(err, "start midflight again with on_ddl: ignore until it is past this");
        return -1;
    }
    if (my_item_says(it, "AUTO_INCREMENT", NULL)) {
        return refuse(t, col, "it counts, and every row was given a number of its own", err);
    }
    if (my_item_says(it, "GENERATED", "ALWAYS")) {
        return refuse(t, col, "it is a generated column", err);
    }
    return my_default_is_constant(it) ? 0
                                      : refuse(t, col, "its default may have given every row a value of its own", err);
}

int my_schema_add_here(struct my_schema_run *r, const struct mf_table *t, const struct mf_column *col,
                       struct mf_error *err)
{
    struct my_create theirs, ours;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    char label[300];
    if (take(r->source, t, &r->arena, &theirs, err) < 0 || take(r->target, t, &r->arena, &ours, err) < 0) {
        return -1;
    }
    const struct my_item *it = my_create_find(&theirs, MY_ITEM_COLUMN, col->name);
    if (carriable(t, col, it, err) < 0) {
        return -1;
    }
    if (my_create_find(&ours, MY_ITEM_COLUMN, col->name)) {
        return 0;
    }
    mf_buf_puts(&sql, "ALTER TABLE ");
    my_put_table(&sql, t);
    mf_buf_puts(&sql, " ADD COLUMN ");
    my_mend_names(&r->mend, it->text, &sql);
    snprintf(label, sizeof label, "column %.90s of %.90s.%.90s", col->name, t->schema, t->name);
    if (!mf_buf_ok(&sql)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the definition of %s is too long", label);
    }
    return my_schema_exec(r, r->target, label, mf_buf_str(&sql), err);
}
