/* A column that was added on a source of another kind while the migration runs: see pg_schema_add_column for the same between two of this kind.
 *
 * The rows that are here get the default at the moment it is added, as the source's did; so the default must be a value, or there must be none. */
#include "connector/postgres/make.h"

#include "base/str.h"
#include "connector/conversion.h"

#include <string.h>

int pg_make_add_column(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                       int64_t stamp, struct mf_error *err)
{
    (void)stamp;
    PG_LEASE(pg_db_of(db), l);
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX}, type = {.max = 4096}, loss = {.max = 4096},
                                 value = {.max = PG_SQL_MAX}, why = {.max = 4096};
    mf_arena_init(&arena, 16u << 20);
    if (mf_conversion_carriable(t, c, err) < 0) {
        return -1;
    }
    pg_type_here(db, t, c, &type, &loss);
    if (!pg_put_default(db, c, mf_buf_str(&type), &arena, &value, &why)) {
        return mf_conversion_refuse(t, c, mf_buf_str(&why), err);
    }
    mf_buf_puts(&sql, "ALTER TABLE ");
    pg_put_name(&sql, t->schema, t->name);
    mf_buf_puts(&sql, " ADD COLUMN IF NOT EXISTS ");
    pg_put_ident(&sql, c->name);
    mf_buf_printf(&sql, " %s", mf_buf_str(&type));
    if (value.len) {
        mf_buf_printf(&sql, " DEFAULT %s", mf_buf_str(&value));
    }
    mf_buf_puts(&sql, c->not_null ? " NOT NULL" : "");
    if (!pg_sql(&sql, err) || pg_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    if (pg_exec(l.conn, err, mf_buf_str(&sql)) < 0) {
        mf_error_prefix(err, "adding column \"%s\" to %s.%s", c->name, t->schema, t->name);
        return -1;
    }
    return 0;
}
