/* Indexes and foreign keys of a schema that another kind of database described: see make.c. */
#include "connector/mysql/make.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_PARTS 16

static bool has_descending(const struct my_db *db)
{
    return db->mariadb ? db->version >= 100800 : db->version >= 80001; /* before, the word is read and forgotten */
}

bool my_put_index_columns(const struct my_make_run *m, const struct my_made *made, const struct mf_schema_index *x,
                          struct mf_buf *sql, const char **ret_why)
{
    const struct mf_schema_table *t = made->t;
    *ret_why = x->n > MAX_PARTS ? "it has more than 16 columns" : NULL;
    for (uint16_t i = 0; i < x->n && !*ret_why; i++) {
        const struct mf_schema_column *c = &t->columns[x->columns[i].column];
        *ret_why = c->generated                   ? "a column of it is generated, which is not here"
                   : c->type.kind == MF_KIND_JSON ? "a column of it is JSON, which is in no index here"
                                                  : NULL;
    }
    mf_buf_putc(sql, '(');
    for (uint16_t i = 0; i < x->n && !*ret_why; i++) {
        uint32_t prefix = my_make_prefix(t, made->widths, x, i, m->index_bytes);
        mf_buf_puts(sql, i ? ", " : "");
        my_put_ident(sql, t->columns[x->columns[i].column].name);
        if (prefix) {
            mf_buf_printf(sql, "(%u)", prefix);
        }
        mf_buf_puts(sql, x->columns[i].descending && has_descending(m->run.db) ? " DESC" : "");
    }
    mf_buf_putc(sql, ')');
    return *ret_why == NULL;
}

/* ---- what a table lacks ---- */

/* The index that is here under this one's name; NULL: none. */
static const struct my_item *find_here(const struct my_made *made, const char *name)
{
    for (size_t i = 0; i < made->here.nitems; i++) {
        const struct my_item *it = &made->here.items[i];
        bool index = it->kind == MY_ITEM_UNIQUE || it->kind == MY_ITEM_KEY || it->kind == MY_ITEM_FULLTEXT ||
                     it->kind == MY_ITEM_SPATIAL;
        if (index && strcasecmp(it->name, name) == 0) {
            return it;
        }
    }
    return NULL;
}

/* `ADD …`, or nothing where it is there. ret_why: why it cannot be. */
static void put_add(struct my_make_run *m, const struct my_made *made, const struct mf_schema_index *x,
                    struct mf_buf *sql, const char **ret_why)
{
    char name[MF_SCHEMA_NAME];
    MF_CLEANUP_BUF struct mf_buf columns = {.max = MY_SQL_MAX};
    my_make_index_name(made->t, x, name);
    const struct my_item *here = x->primary ? my_create_find(&made->here, MY_ITEM_PRIMARY, "PRIMARY") : NULL;
    here = here ? here : find_here(made, name);
    bool with_table = !made->there && (x->primary || x->is_key); /* a plan: it will be made with it */
    *ret_why = NULL;
    if (with_table || (here && !(x->unique && !x->primary && here->kind == MY_ITEM_KEY)) ||
        !my_put_index_columns(m, made, x, &columns, ret_why)) {
        return;
    }
    if (sql->len == 0) {
        mf_buf_puts(sql, "ALTER TABLE ");
        my_put_name(sql, made->t->schema, made->t->name);
    } else {
        mf_buf_putc(sql, ',');
    }
    bool counts = !made->there && made->counts_by == x - made->t->indexes;
    if ((here && !x->primary) || counts) { /* made with the table as a plain one, for the column that counts */
        mf_buf_puts(sql, " DROP KEY ");
        my_put_ident(sql, name);
        mf_buf_putc(sql, ',');
    }
    mf_buf_puts(sql, x->primary ? " ADD PRIMARY KEY " : x->unique ? " ADD UNIQUE KEY " : " ADD KEY ");
    if (!x->primary) {
        my_put_ident(sql, name);
        mf_buf_putc(sql, ' ');
    }
    mf_buf_append(sql, columns.data, columns.len);
}

static int put_work(struct my_make_run *m, const struct my_made *made, struct my_work **w, struct mf_buf *sql,
                    const char *lock_clause, struct mf_error *err)
{
    if (sql->len == 0) {
        return 0;
    }
    if (!*w && !(*w = my_work_add(&m->run, made->t->schema, made->label, err))) {
        return -1;
    }
    (*w)->optional = lock_clause != NULL;
    return my_work_put(&m->run, *w, sql, lock_clause, err);
}

int my_make_keys(struct my_make_run *m, struct mf_error *err)
{
    for (size_t i = 0; i < m->schema->ntables; i++) {
        struct my_made made;
        struct my_work *w = NULL;
        MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
        if (my_make_look(m, &m->schema->tables[i], &made, err) < 0) {
            return -1;
        }
        for (size_t k = 0; k < made.t->nindexes; k++) {
            const struct mf_schema_index *x = &made.t->indexes[k];
            const char *why = NULL;
            if (x->primary || x->is_key) {
                put_add(m, &made, x, &sql, &why);
            }
            if (why) {
                return mf_fail(err, MF_FATAL, "MFDDL", "the key %s of %s cannot be made: %s", x->name, made.label, why);
            }
        }
        if (put_work(m, &made, &w, &sql, NULL, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static void tell_left_out(struct my_make_run *m, const struct my_made *made, const struct mf_schema_index *x,
                          const char *why)
{
    my_schema_tell(&m->run, MF_WARNING, "conversion-index", made->label, "make one that serves by hand",
                   "index %s was left out: %s", x->name, why);
}

static void tell_about(struct my_make_run *m, const struct my_made *made, const struct mf_schema_index *x)
{
    if (x->nulls_equal) {
        my_schema_tell(&m->run, MF_WARNING, "conversion-index", made->label, "make the columns NOT NULL",
                       "index %s takes NULLs as equal on the source (NULLS NOT DISTINCT) and not here", x->name);
    }
    for (uint16_t i = 0; i < x->n; i++) {
        uint32_t prefix = my_make_prefix(made->t, made->widths, x, i, m->index_bytes);
        if (prefix && prefix != x->columns[i].prefix) {
            my_schema_tell(&m->run, MF_NOTE, "conversion-prefix", made->label, "",
                           "index %s has the first %u %s of column \"%s\"", x->name, prefix,
                           made->widths[x->columns[i].column].unit == MY_WIDTH_BYTES ? "bytes" : "characters",
                           made->t->columns[x->columns[i].column].name);
        }
    }
}

/* The plain ones in one pass over the table; each unique one alone, since rows may be refused by it. */
static int add_indexes(struct my_make_run *m, const struct my_made *made, struct mf_error *err)
{
    static const char locked[] = ", LOCK=SHARED";
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    struct my_work *w = NULL;
    for (int unique = 0; unique < 2; unique++) {
        for (size_t k = 0; k < made->t->nindexes; k++) {
            const struct mf_schema_index *x = &made->t->indexes[k];
            const char *why = NULL;
            if (x->primary || x->is_key || x->unique != unique) {
                continue;
            }
            if (!made->there && made->counts_by == (int)k && !unique) {
                continue; /* it will be made with the table */
            }
            size_t before = sql.len;
            put_add(m, made, x, &sql, &why);
            if (why) {
                tell_left_out(m, made, x, why);
            } else if (sql.len > before) {
                tell_about(m, made, x);
            }
            if (unique && put_work(m, made, &w, &sql, locked, err) < 0) {
                return -1;
            }
        }
        if (put_work(m, made, &w, &sql, locked, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_make_indexes(struct my_make_run *m, struct mf_error *err)
{
    for (size_t i = 0; i < m->schema->ntables; i++) {
        struct my_made made;
        if (my_make_look(m, &m->schema->tables[i], &made, err) < 0 || add_indexes(m, &made, err) < 0) {
            return -1;
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
                                        [MF_FK_SET_DEFAULT] = "NO ACTION"};
    return words[a];
}

/* Names are per database here, and per table elsewhere. */
static void foreign_name(const struct my_make_run *m, const struct mf_schema_table *t,
                         const struct mf_schema_foreign *f, char out[static MF_SCHEMA_NAME])
{
    bool taken = false;
    mf_schema_name(t->name, f->name, false, out);
    for (size_t i = 0; i < m->schema->ntables && !taken; i++) {
        const struct mf_schema_table *other = &m->schema->tables[i];
        for (size_t k = 0; k < other->nforeign && mf_streq(other->schema, t->schema); k++) {
            char name[MF_SCHEMA_NAME];
            mf_schema_name(other->name, other->foreign[k].name, false, name);
            taken = taken || (&other->foreign[k] < f && strcasecmp(name, out) == 0) ||
                    (&other->foreign[k] > f && strcasecmp(name, out) == 0);
        }
    }
    mf_schema_name(t->name, f->name, taken, out);
}

static const char *cannot_refer(struct my_make_run *m, const struct mf_schema_table *t,
                                const struct mf_schema_foreign *f)
{
    struct mf_error ignored = {0};
    const char *text = NULL;
    for (uint16_t i = 0; i < f->n; i++) {
        if (t->columns[f->columns[i]].generated) {
            return "a column of it is generated, which is not here";
        }
    }
    if (!mf_schema_find(m->schema, f->ref_schema, f->ref_table) &&
        (my_show_create(m->run.target, "TABLE", f->ref_schema, f->ref_table, 1, &m->run.arena, &text, &ignored) < 0 ||
         !text)) {
        return "the table it refers to is not here";
    }
    return NULL;
}

static int add_foreign(struct my_make_run *m, const struct my_made *made, const struct mf_schema_foreign *f,
                       struct my_work **w, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    char name[MF_SCHEMA_NAME];
    foreign_name(m, made->t, f, name);
    if (my_create_find(&made->here, MY_ITEM_FOREIGN, name)) {
        return 0;
    }
    const char *why = cannot_refer(m, made->t, f);
    if (why) {
        my_schema_tell(&m->run, MF_WARNING, "conversion-foreign-key", made->label, "make it on the target by hand",
                       "foreign key %s was left out: %s", f->name, why);
        return 0;
    }
    if (f->on_delete == MF_FK_SET_DEFAULT || f->on_update == MF_FK_SET_DEFAULT) {
        my_schema_tell(&m->run, MF_WARNING, "conversion-foreign-key", made->label, "let the application do it",
                       "foreign key %s sets a default on the source; here it forbids (InnoDB has no SET DEFAULT)",
                       f->name);
    }
    mf_buf_puts(&sql, "ALTER TABLE ");
    my_put_name(&sql, made->t->schema, made->t->name);
    mf_buf_puts(&sql, " ADD CONSTRAINT ");
    my_put_ident(&sql, name);
    mf_buf_puts(&sql, " FOREIGN KEY (");
    for (uint16_t i = 0; i < f->n; i++) {
        mf_buf_puts(&sql, i ? ", " : "");
        my_put_ident(&sql, made->t->columns[f->columns[i]].name);
    }
    mf_buf_puts(&sql, ") REFERENCES ");
    my_put_name(&sql, f->ref_schema, f->ref_table);
    for (uint16_t i = 0; i < f->n; i++) {
        mf_buf_puts(&sql, i ? ", " : " (");
        my_put_ident(&sql, f->ref_columns[i]);
    }
    mf_buf_printf(&sql, ") ON DELETE %s ON UPDATE %s", action(f->on_delete), action(f->on_update));
    return put_work(m, made, w, &sql, "", err);
}

int my_make_foreign(struct my_make_run *m, struct mf_error *err)
{
    for (size_t i = 0; i < m->schema->ntables; i++) {
        struct my_made made;
        struct my_work *w = NULL;
        if (m->schema->tables[i].nforeign == 0) {
            continue;
        }
        if (my_make_look(m, &m->schema->tables[i], &made, err) < 0) {
            return -1;
        }
        for (size_t k = 0; k < made.t->nforeign; k++) {
            if (add_foreign(m, &made, &made.t->foreign[k], &w, err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}
