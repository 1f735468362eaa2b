/* A column that was added on a source of another kind while the migration runs: see schema_add.c for the same between two of this kind.
 *
 * The rows that are here get the default at the moment it is added, as the source's did; so the default must be a value, or there must be none. */
#include "connector/mysql/make.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/conversion.h"

#include <string.h>

static int add(struct my_make_run *m, const struct my_made *made, const struct mf_schema_column *c, uint16_t at,
               struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX}, type = {.max = MY_SQL_MAX}, loss = {.max = 4096},
                                 value = {.max = MY_SQL_MAX}, why = {.max = 4096};
    if (!my_put_default(m->run.db, c, &made->widths[at], &m->run.arena, &value, &why)) {
        return mf_conversion_refuse(made->t, c, mf_buf_str(&why), err);
    }
    my_put_type(m->run.db, c, &made->widths[at], &type, &loss);
    mf_buf_puts(&sql, "ALTER TABLE ");
    my_put_name(&sql, made->t->schema, made->t->name);
    mf_buf_puts(&sql, " ADD COLUMN ");
    my_put_ident(&sql, c->name);
    mf_buf_printf(&sql, " %s%s", mf_buf_str(&type), c->not_null ? " NOT NULL" : " NULL");
    if (value.len) {
        mf_buf_printf(&sql, " DEFAULT %s", mf_buf_str(&value));
    }
    if (!mf_buf_ok(&sql)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the statement that adds column \"%s\" is too long", c->name);
    }
    return my_schema_exec(&m->run, m->run.target, made->label, mf_buf_str(&sql), err);
}

static int look_and_add(struct my_make_run *m, const struct mf_schema_table *t, const struct mf_schema_column *c,
                        struct mf_error *err)
{
    struct my_made made;
    if (my_make_look(m, t, &made, err) < 0) {
        return -1;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (mf_streq(t->columns[i].name, c->name)) {
            return my_create_find(&made.here, MY_ITEM_COLUMN, c->name) ? 0 : add(m, &made, c, i, err);
        }
    }
    return mf_fail(err, MF_FATAL, "MFDDL", "table %s.%s has no column \"%s\" any more", t->schema, t->name, c->name);
}

int my_make_add_column(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                       int64_t stamp, struct mf_error *err)
{
    (void)stamp;
    struct my_make_run m = {.run = {.db = my_db_of(db)}, .index_bytes = MY_INDEX_BYTES};
    if (mf_conversion_carriable(t, c, err) < 0) {
        return -1;
    }
    mf_arena_init(&m.run.arena, 64u << 20);
    pthread_mutex_init(&m.run.lock, NULL);
    int rc = my_schema_session(m.run.db, &m.run.target, err) < 0 ? -1 : look_and_add(&m, t, c, err);
    my_finish(m.run.target);
    mf_arena_free(&m.run.arena);
    pthread_mutex_destroy(&m.run.lock);
    return rc;
}
