/* Indexes, constraints and foreign keys of a schema that another kind of database described: see make.c. */
#include "connector/postgres/make.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

/* Bytes of a value that an index has room for are 2704; a text of so many characters always fits. */
#define FITS 670

/* The beginning of a long text is indexed where the source does so: whole, its long values would be refused. Of a short one all is. */
static bool by_prefix(const struct mf_schema_column *c, const struct mf_schema_index_column *x)
{
    bool texts = c->type.kind == MF_KIND_TEXT || c->type.kind == MF_KIND_BYTES;
    return x->prefix && texts && (c->type.length == 0 || c->type.length > FITS);
}

static bool put_columns(const struct mf_schema_table *t, const struct mf_schema_index *x, struct mf_buf *sql,
                        bool *ret_plain)
{
    *ret_plain = true;
    for (uint16_t i = 0; i < x->n; i++) {
        const struct mf_schema_index_column *part = &x->columns[i];
        const struct mf_schema_column *c = &t->columns[part->column];
        bool prefix = by_prefix(c, part) || (x->unique && part->prefix);
        if (c->generated) {
            return false;
        }
        mf_buf_puts(sql, i ? ", " : "");
        mf_buf_puts(sql, !prefix ? "" : c->type.kind == MF_KIND_BYTES ? "substr(" : "\"left\"(");
        pg_put_ident(sql, c->name);
        if (prefix) {
            mf_buf_printf(sql, ", %s%u)", c->type.kind == MF_KIND_BYTES ? "1, " : "", part->prefix);
        }
        mf_buf_puts(sql, part->descending && !x->primary ? " DESC" : "");
        *ret_plain = *ret_plain && !prefix && !part->descending;
    }
    return true;
}

static int make_index(struct pg_make_run *m, const struct mf_schema_table *t, const struct mf_schema_index *x,
                      struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX}, columns = {.max = PG_SQL_MAX};
    char name[MF_SCHEMA_NAME];
    bool there = false, plain = true;
    if (x->primary && pg_make_has_primary(m, t)) {
        return 0;
    }
    if (pg_make_index_name(m, t, x->primary ? "pkey" : x->name, name, &there, err) < 0) {
        return -1;
    }
    if (there) {
        return 0;
    }
    if (!put_columns(t, x, &columns, &plain)) {
        pg_make_tell(m, MF_WARNING, "conversion-index", t, "make it on the target by hand",
                     "index %s was left out: a column of it is generated, which is not here", x->name);
        return 0;
    }
    bool constraint = x->primary || (x->unique && plain);
    const char *nulls = x->nulls_equal && m->run.db->version >= 150000 ? " NULLS NOT DISTINCT" : "";
    mf_buf_puts(&sql, constraint ? "ALTER TABLE " : x->unique ? "CREATE UNIQUE INDEX " : "CREATE INDEX ");
    if (constraint) {
        pg_put_name(&sql, t->schema, t->name);
        mf_buf_puts(&sql, " ADD CONSTRAINT ");
        pg_put_ident(&sql, name);
        mf_buf_printf(&sql, " %s%s (%s)", x->primary ? "PRIMARY KEY" : "UNIQUE", x->primary ? "" : nulls,
                      mf_buf_str(&columns));
    } else {
        pg_put_ident(&sql, name);
        mf_buf_puts(&sql, " ON ");
        pg_put_name(&sql, t->schema, t->name);
        mf_buf_printf(&sql, " (%s)%s", mf_buf_str(&columns), x->unique ? nulls : "");
    }
    return pg_make_add(m, constraint ? "CONSTRAINT" : "INDEX", t, name, &sql, err);
}

/* Rows that refer to others are looked for by their foreign key while the stream is replayed: the origin's server changes them by itself, and we do it
 * by hand (apply_cascade.c). A unique index has to wait: rows of different times may collide. */
static bool serves_cascade(const struct mf_schema_table *t, const struct mf_schema_index *x)
{
    for (size_t k = 0; k < t->nforeign && !x->unique; k++) {
        const struct mf_schema_foreign *f = &t->foreign[k];
        uint16_t found = 0;
        for (uint16_t i = 0; i < f->n && i < x->n; i++) {
            for (uint16_t c = 0; c < f->n && !x->columns[i].prefix; c++) {
                found += f->columns[c] == x->columns[i].column;
            }
        }
        bool acts = f->on_delete == MF_FK_CASCADE || f->on_delete == MF_FK_SET_NULL || f->on_update == MF_FK_CASCADE ||
                    f->on_update == MF_FK_SET_NULL;
        if (acts && found == f->n) {
            return true;
        }
    }
    return false;
}

/* A primary key is one that rows are found by, even where the catalogue chose another. */
int pg_make_keys(struct pg_make_run *m, bool keys, struct mf_error *err)
{
    for (size_t i = 0; i < m->schema->ntables; i++) {
        const struct mf_schema_table *t = &m->schema->tables[i];
        for (size_t k = 0; k < t->nindexes; k++) {
            const struct mf_schema_index *x = &t->indexes[k];
            if ((x->primary || x->is_key || serves_cascade(t, x)) == keys && make_index(m, t, x, err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* ---- what an enumeration allows ---- */

static int make_check(struct pg_make_run *m, const struct mf_schema_table *t, const struct mf_schema_column *c,
                      struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX}, otherwise = {.max = PG_SQL_MAX};
    MF_CLEANUP_FREE char *wanted = mf_xasprintf("%s_check", c->name);
    char name[MF_SCHEMA_NAME];
    bool refused = false;
    mf_schema_name(t->name, wanted, false, name);
    if (pg_make_constraint_there(m, t, name)) {
        return 0;
    }
    mf_buf_puts(&sql, "ALTER TABLE ");
    pg_put_name(&sql, t->schema, t->name);
    mf_buf_puts(&sql, " ADD CONSTRAINT ");
    pg_put_ident(&sql, name);
    mf_buf_puts(&sql, " CHECK (");
    pg_put_ident(&sql, c->name);
    mf_buf_puts(&sql, " IN (");
    for (uint16_t i = 0; i < c->type.nlabels; i++) {
        mf_buf_puts(&sql, i ? ", " : "");
        pg_put_literal(&sql, c->type.labels[i]);
    }
    mf_buf_puts(&sql, "))");
    mf_buf_printf(&otherwise, "%s NOT VALID", mf_buf_str(&sql));
    if (pg_make_add(m, "CHECK CONSTRAINT", t, name, &sql, err) < 0 ||
        pg_make_try(m, mf_buf_str(&otherwise), &refused, err) < 0) {
        return -1;
    }
    if (refused) {
        pg_make_tell(m, MF_WARNING, "conversion-check", t, "mend the rows, then ALTER TABLE … VALIDATE CONSTRAINT …",
                     "constraint %s is NOT VALID: rows have values in \"%s\" that are none of its labels: %s", name,
                     c->name, err->text);
        mf_error_clear(err);
    }
    return 0;
}

int pg_make_checks(struct pg_make_run *m, struct mf_error *err)
{
    for (size_t i = 0; i < m->schema->ntables; i++) {
        const struct mf_schema_table *t = &m->schema->tables[i];
        for (uint16_t k = 0; k < t->ncolumns; k++) {
            const struct mf_schema_column *c = &t->columns[k];
            if (c->type.kind == MF_KIND_ENUM && c->type.nlabels && !c->generated && make_check(m, t, c, err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* ---- foreign keys ---- */

static const char *action(enum mf_fk_action a)
{
    static const char *const words[] = {[MF_FK_NO_ACTION] = "NO ACTION",
                                        [MF_FK_RESTRICT] = "RESTRICT",
                                        [MF_FK_CASCADE] = "CASCADE",
                                        [MF_FK_SET_NULL] = "SET NULL",
                                        [MF_FK_SET_DEFAULT] = "SET DEFAULT"};
    return words[a];
}

static bool put_foreign(const struct mf_schema_table *t, const struct mf_schema_foreign *f, const char *name,
                        struct mf_buf *sql)
{
    mf_buf_puts(sql, "ALTER TABLE ");
    pg_put_name(sql, t->schema, t->name);
    mf_buf_puts(sql, " ADD CONSTRAINT ");
    pg_put_ident(sql, name);
    mf_buf_puts(sql, " FOREIGN KEY (");
    for (uint16_t i = 0; i < f->n; i++) {
        mf_buf_puts(sql, i ? ", " : "");
        pg_put_ident(sql, t->columns[f->columns[i]].name);
        if (t->columns[f->columns[i]].generated) {
            return false;
        }
    }
    mf_buf_puts(sql, ") REFERENCES ");
    pg_put_name(sql, f->ref_schema, f->ref_table);
    for (uint16_t i = 0; i < f->n; i++) {
        mf_buf_puts(sql, i ? ", " : " (");
        pg_put_ident(sql, f->ref_columns[i]);
    }
    mf_buf_printf(sql, ") ON DELETE %s ON UPDATE %s", action(f->on_delete), action(f->on_update));
    return true;
}

static void tell_foreign(struct pg_make_run *m, const struct mf_schema_table *t, const char *name, const char *why)
{
    pg_make_tell(m, MF_WARNING, "conversion-foreign-key", t, "make it on the target by hand",
                 "foreign key %s was left out: %s", name, why);
}

static int make_foreign(struct pg_make_run *m, const struct mf_schema_table *t, const struct mf_schema_foreign *f,
                        struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX}, otherwise = {.max = PG_SQL_MAX};
    char name[MF_SCHEMA_NAME];
    bool refused = false;
    mf_schema_name(NULL, f->name, false, name);
    if (pg_make_constraint_there(m, t, name)) {
        return 0;
    }
    if (!put_foreign(t, f, name, &sql)) {
        tell_foreign(m, t, f->name, "a column of it is generated, which is not here");
        return 0;
    }
    if (!mf_schema_find(m->schema, f->ref_schema, f->ref_table) &&
        !pg_make_table_there(m, f->ref_schema, f->ref_table)) {
        tell_foreign(m, t, f->name, "the table it refers to is not here");
        return 0;
    }
    mf_buf_printf(&otherwise, "%s NOT VALID", mf_buf_str(&sql));
    if (pg_make_add(m, "FK CONSTRAINT", t, name, &sql, err) < 0 || pg_make_try(m, NULL, &refused, err) < 0) {
        return -1;
    }
    if (!refused) {
        return 0;
    }
    if (!pg_is_sqlstate(err, "23503")) {
        tell_foreign(m, t, f->name, err->text);
        mf_error_clear(err);
        return 0;
    }
    pg_make_tell(m, MF_WARNING, "conversion-foreign-key", t, "mend the rows, then ALTER TABLE … VALIDATE CONSTRAINT …",
                 "foreign key %s is NOT VALID: rows do not meet it, on the source as here: %s", name, err->text);
    mf_error_clear(err);
    return pg_make_add(m, "FK CONSTRAINT", t, name, &otherwise, err) < 0 ? -1 : pg_make_flush(m, false, err);
}

int pg_make_foreign(struct pg_make_run *m, struct mf_error *err)
{
    for (size_t i = 0; i < m->schema->ntables; i++) {
        const struct mf_schema_table *t = &m->schema->tables[i];
        for (size_t k = 0; k < t->nforeign; k++) {
            if (make_foreign(m, t, &t->foreign[k], err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}
