/*
 * A table in CQL: see make.h.
 *
 * The primary key of a table here is also where its rows lie: the first part of it, the partition key, says on which node, the others in which order there. Unless
 * it is asked for otherwise the first column of the source's key is the partition key; in a key of one column each row is a partition of its own.
 */
#include "connector/cassandra/make.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <ctype.h>
#include <string.h>

#define LEAVE ", or leave it out" /* how, `cannot` says */

const struct mf_schema_index *cass_key_of(const struct mf_schema_table *t)
{
    const struct mf_schema_index *primary = NULL;
    for (size_t i = 0; i < t->nindexes; i++) {
        if (t->indexes[i].is_key) {
            return &t->indexes[i];
        }
        primary = t->indexes[i].primary ? &t->indexes[i] : primary;
    }
    return primary;
}

uint16_t cass_partition_of(const struct mf_schema_table *t, const struct mf_schema_index *key)
{
    return t->npartition == 0 ? 1 : t->npartition < key->n ? t->npartition : key->n;
}

bool cass_in_key(const struct mf_schema_table *t, const char *column)
{
    const struct mf_schema_index *key = cass_key_of(t);
    for (uint16_t i = 0; key && i < key->n; i++) {
        if (key->columns[i].column < t->ncolumns && mf_streq(t->columns[key->columns[i].column].name, column)) {
            return true;
        }
    }
    return false;
}

const char *cass_name_wrong(const char *name)
{
    size_t n = strlen(name);
    for (const char *p = name; *p; p++) {
        if (!isalnum((unsigned char)*p) && *p != '_') {
            return "its name has a character that is neither a letter from a to z, a digit, nor _";
        }
    }
    return n == 0 ? "it has no name" : n > CASS_NAME_LENGTH ? "its name is longer than 48 characters" : NULL;
}

const char *cass_column_type(const struct mf_schema_column *c)
{
    return c->wanted_type ? c->wanted_type : cass_type_for(&c->type);
}

/* ---- CREATE TABLE ---- */

static int cannot(const struct mf_schema_table *t, const char *todo, struct mf_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int cannot(const struct mf_schema_table *t, const char *todo, struct mf_error *err, const char *fmt, ...)
{
    MF_CLEANUP_BUF struct mf_buf why = {.max = 1024};
    va_list ap;
    va_start(ap, fmt);
    mf_buf_vprintf(&why, fmt, ap);
    va_end(ap);
    mf_fail(err, MF_FATAL, "MFDDL", "table %s.%s cannot be made in Cassandra: %s", t->schema, t->name,
            mf_buf_str(&why));
    if (mf_ends_with(todo, LEAVE)) {
        MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
        mf_filter_put_name(&name, t->name);
        mf_hint(err, "%s (tables.exclude: [%s])", todo, mf_buf_str(&name));
    } else {
        mf_hint(err, "%s", todo);
    }
    return -1;
}

static int wrong_type(const struct mf_schema_table *t, const struct mf_schema_column *c, struct mf_error *err)
{
    static const char todo[] = "ask for another type in the map, or for none";
    MF_CLEANUP_BUF struct mf_buf type = {.max = 4096};
    const char *near = NULL;
    if (!cass_type_known(c->wanted_type, &near)) {
        return cannot(t, todo, err,
                      near ? "column \"%s\": %s is no type here; did you mean %s?"
                           : "column \"%s\": %s is no type here that midflight writes%s",
                      c->name, c->wanted_type, near ? near : "");
    }
    mf_type_put(&type, &c->type);
    return cannot(t, todo, err, "column \"%s\" is asked to be of type %s, which does not hold the source's %s", c->name,
                  c->wanted_type, mf_buf_str(&type));
}

static bool is_text(const char *type)
{
    return mf_streq(type, "text") || mf_streq(type, "varchar") || mf_streq(type, "ascii");
}

/* What the type makes of a key: two rows into one, or one into two. */
static const char *key_wrong(const struct mf_schema_column *c, bool in_partition)
{
    const char *type = cass_column_type(c);
    if (in_partition && mf_streq(type, "decimal")) {
        return "a partition is found by the bytes of its key, and 1.5 and 1.50 are two decimals there";
    }
    bool free_text = c->type.kind == MF_KIND_TEXT || c->type.kind == MF_KIND_OPAQUE || c->type.kind == MF_KIND_JSON;
    return c->wanted_type && free_text && !is_text(type)
               ? "texts that are two keys on the source may be one value of that type"
               : NULL;
}

static int check_key(const struct mf_schema_table *t, const struct mf_schema_index *key, struct mf_error *err)
{
    uint16_t npartition = cass_partition_of(t, key);
    for (uint16_t i = 0; i < key->n; i++) {
        const struct mf_schema_column *c =
            key->columns[i].column < t->ncolumns ? &t->columns[key->columns[i].column] : NULL;
        if (!c || c->generated) {
            return cannot(t, "give it another key on the source" LEAVE, err,
                          "%s of its key is computed by the source's server", c ? c->name : "a part");
        }
        const char *wrong = key_wrong(c, i < npartition);
        if (wrong) {
            return cannot(
                t, "ask for a text in the map (type: text; a decimal is written there with as few digits as it needs)",
                err, "column \"%s\" is in its key and would be a %s: %s", c->name, cass_column_type(c), wrong);
        }
    }
    return 0;
}

static int check_columns(const struct mf_schema_table *t, struct mf_error *err)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const struct mf_schema_column *c = &t->columns[i];
        if (c->wanted_type && !cass_type_fits(c->wanted_type, &c->type)) {
            return wrong_type(t, c, err);
        }
    }
    return 0;
}

static bool is_partition(const struct mf_schema_index *key, uint16_t npartition, uint16_t column)
{
    for (uint16_t i = 0; i < npartition; i++) {
        if (key->columns[i].column == column) {
            return true;
        }
    }
    return false;
}

static void put_key(const struct mf_schema_table *t, const struct mf_schema_index *key, uint16_t npartition,
                    struct mf_buf *cql)
{
    mf_buf_puts(cql, "  PRIMARY KEY (");
    mf_buf_puts(cql, npartition > 1 ? "(" : "");
    for (uint16_t i = 0; i < key->n; i++) {
        mf_buf_puts(cql, i ? ", " : "");
        cass_put_ident(cql, t->columns[key->columns[i].column].name);
        mf_buf_puts(cql, npartition > 1 && i + 1 == npartition ? ")" : "");
    }
    mf_buf_puts(cql, ")\n)");
}

/* The order has to be said of all of them, or of none. */
static bool put_order(const struct mf_schema_table *t, const struct mf_schema_index *key, uint16_t npartition,
                      struct mf_buf *cql)
{
    bool any = false;
    for (uint16_t i = npartition; i < key->n; i++) {
        any = any || key->columns[i].descending;
    }
    for (uint16_t i = npartition; any && i < key->n; i++) {
        mf_buf_puts(cql, i == npartition ? " WITH CLUSTERING ORDER BY (" : ", ");
        cass_put_ident(cql, t->columns[key->columns[i].column].name);
        mf_buf_puts(cql, key->columns[i].descending ? " DESC" : " ASC");
    }
    mf_buf_puts(cql, any ? ")" : "");
    return any;
}

int cass_put_table(const struct mf_schema_table *t, struct mf_buf *cql, struct mf_error *err)
{
    const struct mf_schema_index *key = cass_key_of(t);
    const char *wrong = cass_name_wrong(t->name);
    if (wrong || (wrong = cass_name_wrong(t->schema))) {
        return cannot(t, "rename it on the source" LEAVE, err, "%s", wrong);
    }
    if (!key || key->n == 0) {
        return cannot(t, "give it a primary key on the source" LEAVE, err,
                      "it has no key, and a row is found by nothing else there; two equal rows would be one");
    }
    if (check_key(t, key, err) < 0 || check_columns(t, err) < 0) {
        return -1;
    }
    uint16_t npartition = cass_partition_of(t, key);
    mf_buf_puts(cql, "CREATE TABLE IF NOT EXISTS ");
    cass_put_name(cql, t->schema, t->name);
    mf_buf_puts(cql, " (\n");
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const struct mf_schema_column *c = &t->columns[i];
        if (c->generated) {
            continue;
        }
        bool is_static = c->is_static && npartition < key->n && !is_partition(key, key->n, i);
        mf_buf_puts(cql, "  ");
        cass_put_ident(cql, c->name);
        mf_buf_printf(cql, " %s%s,\n", cass_column_type(c), is_static ? " STATIC" : "");
    }
    put_key(t, key, npartition, cql);
    bool ordered = put_order(t, key, npartition, cql);
    if (t->comment && *t->comment) {
        mf_buf_puts(cql, ordered ? " AND comment = " : " WITH comment = ");
        cass_put_literal(cql, t->comment);
    }
    return mf_buf_ok(cql) ? 0
                          : mf_fail(err, MF_FATAL, "MFBIG", "the statement for %s.%s is too long", t->schema, t->name);
}

/* ---- a table that is there ---- */

static int unusable(const struct mf_schema_table *t, const char *column, struct mf_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int unusable(const struct mf_schema_table *t, const char *column, struct mf_error *err, const char *fmt, ...)
{
    MF_CLEANUP_BUF struct mf_buf how = {.max = 1024};
    va_list ap;
    va_start(ap, fmt);
    mf_buf_vprintf(&how, fmt, ap);
    va_end(ap);
    mf_fail(err, MF_FATAL, "MFSHAPE", "table %s.%s is on the target already, and column \"%s\" of it %s", t->schema,
            t->name, column, mf_buf_str(&how));
    mf_hint(err, "drop the table on the target, or give it the columns and the key that midflight plan shows");
    return -1;
}

/* Its elements would each be written with a stamp of their own. */
static bool is_loose(const char *type)
{
    return mf_starts_with(type, "list<") || mf_starts_with(type, "set<") || mf_starts_with(type, "map<");
}

int cass_table_usable(const struct mf_schema_table *t, const struct mf_table *here, struct mf_error *err)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const struct mf_schema_column *c = &t->columns[i];
        int at = mf_table_column(here, c->name);
        if (c->generated) {
            continue;
        }
        if (at < 0) {
            return unusable(t, c->name, err, "is missing");
        }
        if (is_loose(here->columns[at].type)) {
            return unusable(t, c->name, err, "is a %s, which is not frozen: frozen<%s> can be used",
                            here->columns[at].type, here->columns[at].type);
        }
        if (!cass_type_fits(here->columns[at].type, &c->type)) {
            MF_CLEANUP_BUF struct mf_buf type = {.max = 4096};
            mf_type_put(&type, &c->type);
            return unusable(t, c->name, err, "is a %s, which does not hold a %s", here->columns[at].type,
                            mf_buf_str(&type));
        }
        if (cass_in_key(t, c->name) && !here->columns[at].in_key) {
            return unusable(t, c->name, err, "is not part of its key, as it is on the source");
        }
    }
    for (uint16_t k = 0; k < here->nkey; k++) {
        const char *name = here->columns[here->key[k]].name;
        if (!cass_in_key(t, name)) {
            return unusable(t, name, err, "is part of its key, which it is not on the source");
        }
    }
    return 0;
}
