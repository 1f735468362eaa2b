/*
 * What a migration between two kinds of databases does to a schema: see conversion.h.
 *
 * The same is often true of many columns: it is told once, with the columns it is true of. What is left is told one by one, since each is somebody's work.
 */
#include "connector/conversion.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define NAMED      8   /* columns that a finding names */
#define TYPE_SHOWN 100 /* bytes of a type's name */
#define PLAN_SIZE  ((size_t)256 << 20)

/* ---- one finding about many columns ---- */

struct group {
    enum mf_severity severity;
    const char *code, *remedy;
    char *reason, *first; /* first: the column, where there is only one */
    struct mf_buf names;
    size_t n;
};

struct groups {
    struct group *all;
    size_t n, cap;
};

static void note(struct groups *g, enum mf_severity severity, const char *code, const struct mf_schema_table *t,
                 const struct mf_schema_column *c, const char *more, const char *remedy, const char *reason)
{
    struct group *at = NULL;
    for (size_t i = 0; i < g->n && !at; i++) {
        at = mf_streq(g->all[i].code, code) && mf_streq(g->all[i].reason, reason) ? &g->all[i] : NULL;
    }
    if (!at) {
        if (g->n == g->cap) {
            g->cap = g->cap ? g->cap * 2 : 16;
            g->all = mf_xreallocarray(g->all, g->cap, sizeof *g->all);
        }
        at = &g->all[g->n++];
        *at = (struct group){.severity = severity,
                             .code = code,
                             .remedy = remedy,
                             .reason = mf_xstrdup(reason),
                             .first = mf_xasprintf("column %s.%s.%s%s", t->schema, t->name, c->name, more),
                             .names = {.max = 4096}};
    }
    if (at->n++ < NAMED) {
        mf_buf_printf(&at->names, "%s%s.%s.%s%s", at->n > 1 ? ", " : "", t->schema, t->name, c->name, more);
    }
}

static void tell_groups(struct groups *g, struct mf_findings *out)
{
    for (size_t i = 0; i < g->n; i++) {
        struct group *at = &g->all[i];
        MF_CLEANUP_FREE char *many = mf_xasprintf("%zu columns", at->n);
        if (at->n == 1) {
            mf_findings_add(out, at->severity, MF_TARGET, at->code, at->first, at->remedy, "%s", at->reason);
        } else if (at->n <= NAMED) {
            mf_findings_add(out, at->severity, MF_TARGET, at->code, many, at->remedy, "%s: %s", mf_buf_str(&at->names),
                            at->reason);
        } else {
            mf_findings_add(out, at->severity, MF_TARGET, at->code, many, at->remedy, "%s and %zu more: %s",
                            mf_buf_str(&at->names), at->n - NAMED, at->reason);
        }
        free(at->reason);
        free(at->first);
        mf_buf_free(&at->names);
    }
    free(g->all);
}

/* ---- columns ---- */

static void look_at_type(struct groups *g, struct mf_db *db, const struct mf_schema_table *t,
                         const struct mf_schema_column *c)
{
    MF_CLEANUP_BUF struct mf_buf type = {.max = 1u << 20}, loss = {.max = 4096};
    db->connector->canon->type_here(db, t, c, &type, &loss);
    if (loss.len == 0) {
        return;
    }
    const char *own = c->own_type ? c->own_type : "?", *here = mf_buf_str(&type);
    MF_CLEANUP_FREE char *types = mf_xasprintf(" (%.*s → %.*s)", (int)mf_utf8_cut(own, strlen(own), TYPE_SHOWN), own,
                                               (int)mf_utf8_cut(here, strlen(here), TYPE_SHOWN), here);
    note(g, MF_WARNING, "conversion-type", t, c, types, "see that no row needs what is lost: one that does is refused",
         mf_buf_str(&loss));
}

static void look_at_column(struct groups *g, struct mf_db *db, const struct mf_schema_table *t,
                           const struct mf_schema_column *c)
{
    if (c->generated) {
        note(g, MF_WARNING, "conversion-generated", t, c, "", "add it on the target by hand after the migration",
             "it is computed by the source's server and is left out");
        return;
    }
    look_at_type(g, db, t, c);
    if (c->ignores_case) {
        note(g, MF_WARNING, "conversion-case", t, c, "",
             db->connector->canon->no_collations
                 ? "where applications rely on it, let them write and look for one spelling, in a column of its own if "
                   "need be"
                 : "where applications rely on it, compare lower(…) on both sides, or give the column such a collation "
                   "after the migration",
             db->connector->canon->no_collations
                 ? "texts that differ only in case (or accents) are equal on the source and are not here"
                 : "texts that differ only in case (or accents) are equal on the source and are not here, in "
                   "comparisons and in unique indexes");
    }
    if (c->on_update_now) {
        note(g, MF_WARNING, "conversion-on-update", t, c, "", "let the application set it, or make a trigger",
             "every update sets it to the time on the source (ON UPDATE CURRENT_TIMESTAMP), and nothing does here");
    }
}

void mf_conversion_tell(struct mf_db *target, const struct mf_schema *s, struct mf_findings *out)
{
    struct groups g = {0};
    for (size_t i = 0; i < s->ntables; i++) {
        for (uint16_t k = 0; k < s->tables[i].ncolumns; k++) {
            look_at_column(&g, target, &s->tables[i], &s->tables[i].columns[k]);
        }
    }
    tell_groups(&g, out);
    for (size_t i = 0; i < s->nleft; i++) {
        const struct mf_schema_left *l = &s->left[i];
        MF_CLEANUP_FREE char *remedy =
            l->text && *l->text ? mf_xasprintf("make what is needed of it on the target by hand; it is: %s", l->text)
                                : mf_xstrdup("make what is needed of it on the target by hand");
        mf_findings_add(out, MF_WARNING, MF_TARGET, "conversion-left", l->object, remedy, "it is not carried over: %s",
                        l->why);
    }
}

int mf_conversion_rehearse(struct mf_db *target, const struct mf_schema *s, struct mf_findings *out,
                           struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf plan = {.max = PLAN_SIZE};
    for (int stage = MF_SCHEMA_BEFORE_ROWS; stage <= MF_SCHEMA_AFTER_SYNC; stage++) {
        mf_buf_reset(&plan);
        if (target->connector->canon->make(target, s, (enum mf_schema_stage)stage, 1, out, &plan, err) == 0) {
            continue;
        }
        if (!mf_streq(err->code, "MFDDL") && !mf_streq(err->code, "MFSHAPE")) {
            return -1;
        }
        mf_findings_add(out, MF_BLOCKER, MF_TARGET, "conversion-schema", "schema", err->hint, "%s", err->text);
        mf_error_clear(err);
    }
    return 0;
}

/* ---- the schema under the target's names ---- */

static int compare(const void *a, const void *b)
{
    const struct mf_table *x = a, *y = b;
    int d = strcmp(x->schema, y->schema);
    return d ? d : strcmp(x->name, y->name);
}

static int name_tables(const struct mf_schema *s, const struct mf_catalog *own, bool documents, struct mf_catalog *ret,
                       struct mf_error *err)
{
    struct mf_catalog c = {0};
    mf_arena_init(&c.arena, PLAN_SIZE);
    c.tables = mf_alloc_array(&c.arena, s->ntables + 1, sizeof *c.tables);
    for (size_t i = 0; c.tables && i < s->ntables; i++) {
        struct mf_table *t = &c.tables[c.n++];
        /* Collections are described as the tables that they become: those are nobody's yet. */
        const struct mf_table *is = s->ntables == own->n && !documents ? &own->tables[i] : NULL;
        *t = (struct mf_table){.id = is ? is->id : (uint32_t)i + 1,
                               .schema = mf_strdup_a(&c.arena, s->tables[i].schema),
                               .name = mf_strdup_a(&c.arena, s->tables[i].name),
                               .identity = is ? is->identity : MF_IDENTITY_KEY,
                               .bytes = is ? is->bytes : 0,
                               .rows_estimate = is ? is->rows_estimate : -1};
        if (!t->schema || !t->name) {
            c.tables = NULL;
        }
    }
    if (!c.tables) {
        mf_arena_free(&c.arena);
        return mf_fail(err, MF_FATAL, "MFBIG", "the schema is larger than %zu bytes", PLAN_SIZE);
    }
    qsort(c.tables, c.n, sizeof *c.tables, compare);
    *ret = c;
    return 0;
}

int mf_conversion_read(struct mf_db *target, struct mf_db *source, const struct mf_filter *filter,
                       struct mf_schema *ret, struct mf_catalog *ret_tables, struct mf_error *err)
{
    const struct mf_canon_ops *from = mf_db_behind(source)->connector->canon, *to = target->connector->canon;
    struct mf_catalog own = {0};
    struct mf_schema s = {0};
    if (!from || !to) {
        return mf_fail(err, MF_FATAL, "MFUNSUP", "a %s database cannot be moved into a %s one", source->connector->name,
                       target->connector->name);
    }
    if (source->connector->source->catalog(source, filter, &own, err) < 0) {
        return -1;
    }
    int rc = source->connector->describe ? source->connector->describe(source, &own, &s, err)
                                         : from->describe(source, &own, &s, err);
    if (rc ==
        0) { /* what a source shows has its own names; the tables of documents have those of the map, which may be without a schema */
        mf_schema_rename(&s, source->connector->documents ? "" : from->default_schema(mf_db_behind(source)),
                         to->default_schema(target));
        rc = name_tables(&s, &own, source->connector->documents, ret_tables, err);
    }
    mf_catalog_free(&own);
    if (rc < 0) {
        mf_schema_free(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

/* ---- a column that comes later ---- */

int mf_conversion_refuse(const struct mf_schema_table *t, const struct mf_schema_column *c, const char *why,
                         struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFDDL", "column \"%s\" (%s) was added to table %s.%s and cannot be carried over: %s",
            c->name, c->own_type ? c->own_type : "?", t->schema, t->name, why);
    mf_hint(err, "add it on the other side by hand, start midflight again, and run midflight verify --repair: it "
                 "writes the values of the rows that were there. Nothing is lost, the changes wait in the spool");
    return -1;
}

int mf_conversion_carriable(const struct mf_schema_table *t, const struct mf_schema_column *c, struct mf_error *err)
{
    if (c->generated || c->counter) {
        return mf_conversion_refuse(t, c, c->generated ? "it is a generated column" : "it counts", err);
    }
    if (c->defaulted != MF_DEFAULT_NONE && c->defaulted != MF_DEFAULT_VALUE) {
        return mf_conversion_refuse(t, c, "its default may have given every row a value of its own", err);
    }
    if (c->not_null && c->defaulted == MF_DEFAULT_NONE) {
        return mf_conversion_refuse(t, c, "it is NOT NULL and has no default", err);
    }
    return 0;
}
