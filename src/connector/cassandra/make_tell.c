/* What a schema has that there is nothing like here: told, so that nothing is dropped in silence. */
#include "connector/cassandra/make.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdlib.h>

#define NAMED 8 /* columns that a finding names */

/* ---- one finding about many columns ---- */

struct list {
    struct mf_buf names;
    size_t n;
};

static void list_column(struct list *l, const struct mf_schema_table *t, const struct mf_schema_column *c)
{
    l->names.max = 8192;
    if (l->n++ < NAMED) {
        mf_buf_printf(&l->names, "%s%s.%s.%s", l->n > 1 ? ", " : "", t->schema, t->name, c->name);
    }
}

static void tell_list(struct list *l, struct mf_findings *out, enum mf_severity severity, const char *code,
                      const char *remedy, const char *reason)
{
    if (l->n) {
        MF_CLEANUP_FREE char *object = mf_xasprintf("%zu column%s", l->n, l->n > 1 ? "s" : "");
        MF_CLEANUP_FREE char *more = l->n > NAMED ? mf_xasprintf(" and %zu more", l->n - NAMED) : mf_xstrdup("");
        mf_findings_add(out, severity, MF_TARGET, code, object, remedy, "%s%s: %s", mf_buf_str(&l->names), more,
                        reason);
    }
    mf_buf_free(&l->names);
}

void cass_tell_columns(const struct mf_schema *s, struct mf_findings *out)
{
    struct list defaults = {0}, counters = {0}, not_null = {0}, comments = {0};
    for (size_t i = 0; i < s->ntables; i++) {
        const struct mf_schema_table *t = &s->tables[i];
        for (uint16_t k = 0; k < t->ncolumns; k++) {
            const struct mf_schema_column *c = &t->columns[k];
            if (c->generated) {
                continue;
            }
            if (c->counter) {
                list_column(&counters, t, c);
            } else if (c->defaulted != MF_DEFAULT_NONE) {
                list_column(&defaults, t, c);
            }
            if (c->not_null && !cass_in_key(t, c->name)) {
                list_column(&not_null, t, c);
            }
            if (c->comment && *c->comment) {
                list_column(&comments, t, c);
            }
        }
    }
    tell_list(&counters, out, MF_WARNING, "conversion-counter",
              "let the application make the numbers, or UUIDs, before it writes here",
              "the source's server counts it up, and nothing here does");
    tell_list(&defaults, out, MF_WARNING, "conversion-default", "let the application write the value",
              "it has a default on the source, and Cassandra has none");
    tell_list(
        &not_null, out, MF_NOTE, "conversion-not-null", "",
        "it is NOT NULL on the source, which Cassandra does not hold it to; a NULL that is written here is refused "
        "on the way back");
    tell_list(&comments, out, MF_NOTE, "conversion-comment", "", "its comment has no place in Cassandra");
}

/* ---- what orders rows, and what ties tables together ---- */

static void put_columns(const struct mf_schema_table *t, const struct mf_schema_index *x, struct mf_buf *b)
{
    for (uint16_t i = 0; i < x->n; i++) {
        mf_buf_printf(b, "%s%s", i ? ", " : "",
                      x->columns[i].column < t->ncolumns ? t->columns[x->columns[i].column].name : "?");
    }
}

static void tell_index(const struct mf_schema_table *t, const struct mf_schema_index *x, struct mf_findings *out)
{
    MF_CLEANUP_FREE char *object = mf_xasprintf("table %s.%s", t->schema, t->name);
    MF_CLEANUP_BUF struct mf_buf columns = {.max = 4096};
    put_columns(t, x, &columns);
    if (x->unique) {
        mf_findings_add(
            out, MF_WARNING, MF_TARGET, "conversion-unique", object,
            "let the application see to it (INSERT … IF NOT EXISTS into a table that has these columns as its "
            "key), before it writes here",
            "%s (%s) is unique on the source, and Cassandra keeps nothing unique but the primary key: two rows "
            "with the same values can be written here, and the second is refused on the way back",
            x->name, mf_buf_str(&columns));
    } else {
        mf_findings_add(
            out, MF_WARNING, MF_TARGET, "conversion-index", object,
            "make a table for queries by these columns (map), or CREATE INDEX … USING 'sai' after the migration",
            "index %s (%s) is not made: queries by it find nothing here but by reading everything", x->name,
            mf_buf_str(&columns));
    }
}

static void tell_foreign(const struct mf_schema_table *t, const struct mf_schema_foreign *f, struct mf_findings *out)
{
    MF_CLEANUP_FREE char *object = mf_xasprintf("table %s.%s", t->schema, t->name);
    mf_findings_add(
        out, MF_WARNING, MF_TARGET, "conversion-foreign-key", object,
        "let the application see to it before it writes here",
        "the foreign key %s to %s.%s is not made, Cassandra has none: rows are not held to it while writes are on the "
        "target, and a rollback is refused until none refers to nothing",
        f->name, f->ref_schema, f->ref_table);
}

void cass_tell_indexes(const struct mf_schema *s, struct mf_findings *out)
{
    for (size_t i = 0; i < s->ntables; i++) {
        const struct mf_schema_table *t = &s->tables[i];
        const struct mf_schema_index *key = cass_key_of(t);
        for (size_t k = 0; k < t->nindexes; k++) {
            if (&t->indexes[k] != key) {
                tell_index(t, &t->indexes[k], out);
            }
        }
        for (size_t k = 0; k < t->nforeign; k++) {
            tell_foreign(t, &t->foreign[k], out);
        }
    }
}
