/* What each table lacks on the target, as statements. Both sides' SHOW CREATE TABLE are taken apart and compared item by item, by
 * name: an item that is there is left as it is. */
#include "connector/mysql/schema.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct both {
    const struct mf_table *t;
    struct my_create source, target;
    bool there;               /* the target has the table */
    const struct my_item *id; /* the key rows are found by; NULL when there is none */
    const struct my_item
        *counts; /* a column that counts must begin a key from the start: that one, where it is not id */
    char label[300];
};

static int take_apart(struct my_schema_run *r, MYSQL *c, const struct mf_table *t, struct my_create *ret, bool *there,
                      struct mf_error *err)
{
    const char *text = NULL;
    *there = false;
    if (my_show_create(c, "TABLE", t->schema, t->name, 1, &r->arena, &text, err) < 0) {
        return -1;
    }
    if (!text) {
        return 0;
    }
    if (!mf_starts_with(text, "CREATE TABLE ") && !mf_starts_with(text, "CREATE TEMPORARY TABLE ")) {
        return mf_fail(err, MF_FATAL, "MFSHAPE", "%s.%s is no table there, but a view or a sequence", t->schema,
                       t->name);
    }
    *there = true;
    return my_create_split(text, &r->arena, ret, err);
}

/* ---- which keys when ---- */

/* A whole unique key on the columns by which the catalogue finds rows, in whatever order. */
static bool is_identity(const struct my_item *it, const struct mf_table *t)
{
    char name[257];
    bool whole;
    size_t pos = 0, n = 0;
    if (it->kind != MY_ITEM_UNIQUE) {
        return false;
    }
    for (; my_key_column(it->inner, &pos, name, &whole); n++) {
        int at = whole ? mf_table_column(t, name) : -1;
        if (at < 0 || !t->columns[at].in_key) {
            return false;
        }
    }
    return n == t->nkey && n > 0;
}

static const struct my_item *find_identity(const struct both *b)
{
    const struct my_item *primary = my_create_find(&b->source, MY_ITEM_PRIMARY, "PRIMARY");
    for (size_t i = 0; !primary && i < b->source.nitems; i++) {
        if (is_identity(&b->source.items[i], b->t)) {
            return &b->source.items[i];
        }
    }
    return primary;
}

static bool begins_with(const struct my_item *key, const char *column)
{
    char name[257];
    bool whole;
    size_t pos = 0;
    return my_key_column(key->inner, &pos, name, &whole) && strcasecmp(name, column) == 0;
}

static const struct my_item *find_counting_key(const struct both *b)
{
    const struct my_item *counts = NULL;
    for (size_t i = 0; i < b->source.nitems && !counts; i++) {
        const struct my_item *it = &b->source.items[i];
        counts = it->kind == MY_ITEM_COLUMN && my_item_says(it, "AUTO_INCREMENT", NULL) ? it : NULL;
    }
    if (!counts || (b->id && begins_with(b->id, counts->name))) {
        return NULL;
    }
    for (size_t i = 0; i < b->source.nitems; i++) {
        const struct my_item *it = &b->source.items[i];
        if ((it->kind == MY_ITEM_KEY || it->kind == MY_ITEM_UNIQUE) && begins_with(it, counts->name)) {
            return it;
        }
    }
    return NULL;
}

static int look(struct my_schema_run *r, const struct mf_table *t, struct both *b, struct mf_error *err)
{
    bool at_source = false;
    *b = (struct both){.t = t};
    snprintf(b->label, sizeof b->label, "table %.140s.%.140s", t->schema, t->name);
    if (take_apart(r, r->source, t, &b->source, &at_source, err) < 0 ||
        take_apart(r, r->target, t, &b->target, &b->there, err) < 0) {
        mf_error_prefix(err, "reading %s", b->label);
        return -1;
    }
    if (!at_source) {
        return mf_fail(err, MF_FATAL, "MFDDL", "%s is not there any more on the source", b->label);
    }
    b->id = find_identity(b);
    b->counts = find_counting_key(b);
    return 0;
}

static bool made_with_table(const struct both *b, const struct my_item *it)
{
    return it->kind == MY_ITEM_COLUMN || it->kind == MY_ITEM_PRIMARY || it->kind == MY_ITEM_CHECK ||
           it->kind == MY_ITEM_OTHER || it == b->id || it == b->counts;
}

/* ---- making tables ---- */

static void put_piece(const struct my_schema_run *r, struct mf_buf *sql, struct my_piece p)
{
    my_mend_names(&r->mend, p, sql);
}

static void put_plain_key(struct mf_buf *sql, const struct my_item *it)
{
    mf_buf_puts(sql, "KEY ");
    my_put_ident(sql, it->name);
    mf_buf_puts(sql, " (");
    mf_buf_append(sql, it->inner.p, it->inner.n);
    mf_buf_putc(sql, ')');
}

static int create(struct my_schema_run *r, const struct both *b, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    char left_out[200];
    const char *comma = "";
    mf_buf_puts(&sql, "CREATE TABLE IF NOT EXISTS ");
    my_put_table(&sql, b->t);
    mf_buf_puts(&sql, " (\n");
    for (size_t i = 0; i < b->source.nitems; i++) {
        const struct my_item *it = &b->source.items[i];
        if (!made_with_table(b, it)) {
            continue;
        }
        mf_buf_printf(&sql, "%s  ", comma);
        if (it->kind == MY_ITEM_UNIQUE && it != b->id) {
            put_plain_key(&sql, it); /* not unique before the rows are exact */
        } else {
            put_piece(r, &sql, it->text);
        }
        comma = ",\n";
    }
    mf_buf_puts(&sql, "\n) ");
    my_mend_tail(&r->mend, b->source.tail, &sql, left_out, sizeof left_out);
    if (left_out[0]) {
        my_schema_tell(r, MF_NOTE, "schema-left-out", b->label, "",
                       "%s was left out: it is about the source's files, or newer servers refuse it", left_out);
    }
    struct my_work *w = my_work_add(r, b->t->schema, b->label, err);
    return w ? my_work_put(r, w, &sql, NULL, err) : -1;
}

int my_tables_create(struct my_schema_run *r, struct mf_error *err)
{
    for (size_t i = 0; i < r->job->tables->n; i++) {
        struct both b;
        if (look(r, &r->job->tables->tables[i], &b, err) < 0 || (!b.there && create(r, &b, err) < 0)) {
            return -1;
        }
    }
    return 0;
}

/* ---- keys and indexes ---- */

static bool is_key(const struct my_item *it)
{
    return it->kind == MY_ITEM_PRIMARY || it->kind == MY_ITEM_UNIQUE || it->kind == MY_ITEM_KEY ||
           it->kind == MY_ITEM_FULLTEXT || it->kind == MY_ITEM_SPATIAL;
}

/* As the target has it, or will have it once the table is made (a plan); *ret_kind then. */
static bool key_there(const struct both *b, const struct my_item *it, enum my_item_kind *ret_kind)
{
    *ret_kind = it->kind == MY_ITEM_UNIQUE && it != b->id ? MY_ITEM_KEY : it->kind;
    if (!b->there) {
        return made_with_table(b, it);
    }
    for (size_t i = 0; i < b->target.nitems; i++) {
        const struct my_item *other = &b->target.items[i];
        if (is_key(other) && strcasecmp(other->name, it->name) == 0) {
            *ret_kind = other->kind;
            return true;
        }
    }
    return false;
}

static void put_add(struct my_schema_run *r, const struct both *b, struct mf_buf *sql, const struct my_item *it)
{
    enum my_item_kind kind;
    if (sql->len == 0) {
        mf_buf_puts(sql, "ALTER TABLE ");
        my_put_table(sql, b->t);
    } else {
        mf_buf_putc(sql, ',');
    }
    if (key_there(b, it, &kind)) {
        mf_buf_puts(sql, " DROP KEY ");
        my_put_ident(sql, it->name);
        mf_buf_putc(sql, ',');
    }
    mf_buf_puts(sql, " ADD ");
    put_piece(r, sql, it->text);
}

static bool lacks(const struct both *b, const struct my_item *it)
{
    enum my_item_kind kind;
    return !key_there(b, it, &kind) || (it->kind == MY_ITEM_UNIQUE && kind == MY_ITEM_KEY);
}

static int flush(struct my_schema_run *r, struct my_work **w, const struct both *b, struct mf_buf *sql,
                 const char *lock_clause, struct mf_error *err)
{
    if (sql->len == 0) {
        return 0;
    }
    if (!*w && !(*w = my_work_add(r, b->t->schema, b->label, err))) {
        return -1;
    }
    return my_work_put(r, *w, sql, lock_clause, err);
}

/* InnoDB changes rows of it by itself, which replay does by the columns of the foreign key. */
static bool acted_on(const struct both *b)
{
    for (size_t i = 0; i < b->source.nitems; i++) {
        const struct my_item *it = &b->source.items[i];
        MF_CLEANUP_FREE char *text = it->kind == MY_ITEM_FOREIGN ? mf_xstrndup(it->text.p, it->text.n) : NULL;
        if (text && (strstr(text, " CASCADE") || strstr(text, " SET NULL"))) {
            return true;
        }
    }
    return false;
}

int my_tables_keys(struct my_schema_run *r, struct mf_error *err)
{
    for (size_t i = 0; i < r->job->tables->n; i++) {
        struct both b;
        struct my_work *w = NULL;
        MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
        if (look(r, &r->job->tables->tables[i], &b, err) < 0) {
            return -1;
        }
        for (size_t k = 0; k < b.source.nitems; k++) {
            const struct my_item *it = &b.source.items[k];
            bool helps = it->kind == MY_ITEM_KEY && (b.t->identity == MF_IDENTITY_FULL || acted_on(&b));
            if ((it == b.id || helps) && lacks(&b, it)) {
                put_add(r, &b, &sql, it);
            }
        }
        if (flush(r, &w, &b, &sql, NULL, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The indexes of one table in one pass over it; but InnoDB builds only one full text index at a time, and spatial ones not beside others. */
static int add_indexes(struct my_schema_run *r, const struct both *b, struct mf_error *err)
{
    static const char locked[] = ", LOCK=SHARED";
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX}, alone = {.max = MY_SQL_MAX};
    struct my_work *w = NULL;
    for (size_t k = 0; k < b->source.nitems; k++) {
        const struct my_item *it = &b->source.items[k];
        if ((it->kind == MY_ITEM_UNIQUE || it->kind == MY_ITEM_KEY) && lacks(b, it)) {
            put_add(r, b, &sql, it);
        }
    }
    if (flush(r, &w, b, &sql, locked, err) < 0) {
        return -1;
    }
    for (size_t k = 0; k < b->source.nitems; k++) {
        const struct my_item *it = &b->source.items[k];
        if ((it->kind == MY_ITEM_FULLTEXT || it->kind == MY_ITEM_SPATIAL) && lacks(b, it)) {
            put_add(r, b, &alone, it);
        }
        if (flush(r, &w, b, &alone, locked, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_tables_indexes(struct my_schema_run *r, struct mf_error *err)
{
    for (size_t i = 0; i < r->job->tables->n; i++) {
        struct both b;
        if (look(r, &r->job->tables->tables[i], &b, err) < 0 || add_indexes(r, &b, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- foreign keys ---- */

static int refers_to(struct my_schema_run *r, const struct both *b, const struct my_item *it, bool *ret,
                     struct mf_error *err)
{
    const char *schema = it->ref_schema ? it->ref_schema : b->t->schema, *text = NULL;
    *ret = mf_catalog_find(r->job->tables, schema, it->ref_table) != NULL;
    if (*ret) {
        return 0;
    }
    if (my_show_create(r->target, "TABLE", schema, it->ref_table, 1, &r->arena, &text, err) < 0) {
        return -1;
    }
    *ret = text != NULL;
    return 0;
}

/* They are not looked at by a session that has them off, as ours: what the source has was looked at there, and rows that got past it
 * there are to be the same here. */
static int add_foreign(struct my_schema_run *r, const struct both *b, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    struct my_work *w = NULL;
    for (size_t k = 0; k < b->source.nitems; k++) {
        const struct my_item *it = &b->source.items[k];
        bool refers = false;
        if (it->kind != MY_ITEM_FOREIGN || (b->there && my_create_find(&b->target, MY_ITEM_FOREIGN, it->name))) {
            continue;
        }
        if (refers_to(r, b, it, &refers, err) < 0) {
            return -1;
        }
        if (refers) {
            bool first = sql.len == 0;
            mf_buf_puts(&sql, first ? "ALTER TABLE " : ",");
            if (first) {
                my_put_table(&sql, b->t);
            }
            mf_buf_puts(&sql, " ADD ");
            put_piece(r, &sql, it->text);
        } else {
            my_schema_tell(r, MF_WARNING, "schema-foreign-key", b->label, "",
                           "foreign key %s was left out: the target has no table %s.%s", it->name,
                           it->ref_schema ? it->ref_schema : b->t->schema, it->ref_table);
        }
    }
    return flush(r, &w, b, &sql, NULL, err);
}

int my_tables_foreign(struct my_schema_run *r, struct mf_error *err)
{
    for (size_t i = 0; i < r->job->tables->n; i++) {
        struct both b;
        if (look(r, &r->job->tables->tables[i], &b, err) < 0 || add_foreign(r, &b, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the check ---- */

static int differs(const struct both *b, const struct my_item *it, const char *how, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFSHAPE", "column \"%s\" of %s on the target %s", it->name, b->label, how);
    mf_hint(err, "drop the table or rename it on the target, or give it the source's columns");
    return -1;
}

/* A clock that only one side sets would change rows behind our back. */
static int check_columns(const struct both *b, struct mf_error *err)
{
    for (size_t i = 0; i < b->source.nitems; i++) {
        const struct my_item *it = &b->source.items[i];
        if (it->kind != MY_ITEM_COLUMN || mf_table_column(b->t, it->name) < 0) {
            continue;
        }
        const struct my_item *other = my_create_find(&b->target, MY_ITEM_COLUMN, it->name);
        if (!other) {
            return differs(b, it, "is missing", err);
        }
        if (my_item_says(other, "ON", "UPDATE") && !my_item_says(it, "ON", "UPDATE")) {
            return differs(b, it, "is set to the time of each update, and on the source it is not", err);
        }
        if (my_item_says(other, "GENERATED", "ALWAYS") != my_item_says(it, "GENERATED", "ALWAYS")) {
            return differs(b, it, "is not generated as on the source", err);
        }
    }
    return 0;
}

int my_tables_check(struct my_schema_run *r, struct mf_error *err)
{
    for (size_t i = 0; i < r->job->tables->n; i++) {
        struct both b;
        if (look(r, &r->job->tables->tables[i], &b, err) < 0) {
            return -1;
        }
        if (!b.there) {
            return mf_fail(err, MF_FATAL, "MFSHAPE", "%s is not on the target", b.label);
        }
        if (check_columns(&b, err) < 0) {
            return -1;
        }
    }
    return 0;
}
