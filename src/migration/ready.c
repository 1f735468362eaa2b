/* What `check` calls a blocker stops a migration before it has changed anything: found later it costs hours of copying,
 * or, a target's own rows mixed with the source's, more than that. Looked at once, before the stream is made. */
#include "migration/internal.h"

#include <stdio.h>
#include <string.h>

#define NAMED 3 /* findings told in the error; `check` lists all */

static void name_blockers(const struct mf_findings *found, char *out, size_t n, const char **ret_remedy)
{
    size_t used = 0, named = 0;
    for (size_t i = 0; i < mf_findings_count(found) && named < NAMED && used < n; i++) {
        const struct mf_finding *f = mf_findings_at(found, i);
        if (f->severity != MF_BLOCKER) {
            continue;
        }
        *ret_remedy = *ret_remedy ? *ret_remedy : f->remedy;
        used += (size_t)snprintf(out + used, n - used, "%s%s (%s): %s", named++ ? "; " : "", f->object,
                                 f->side == MF_SOURCE ? "source" : "target", f->reason);
    }
}

/* A server shows no table that the account has no right on, and a filter may name none. */
static int check_empty(struct mf_db *source, const struct mf_filter *filter, struct mf_findings *out,
                       struct mf_error *err)
{
    struct mf_catalog c = {0};
    const struct mf_source_ops *ops = source->connector->source;
    int rc = ops->shapes(source, filter, &c, err);
    bool empty = c.n == 0;
    mf_catalog_free(&c);
    if (rc < 0 || !empty) {
        return rc;
    }
    rc = ops->shapes(source, NULL, &c, err);
    if (rc == 0 && c.n > 0) {
        mf_findings_add(out, MF_BLOCKER, MF_SOURCE, "no-table", "tables.include, tables.exclude",
                        "mend the patterns (schema.table), or grant the account rights on the tables that are meant",
                        "no table is left to migrate: the account sees %zu, and the filter takes none of them", c.n);
    } else if (rc == 0) {
        mf_findings_add(out, MF_BLOCKER, MF_SOURCE, "no-table", "the source",
                        "grant the account the rights that the guide names, and check the database in the URL",
                        "the account sees no table: it has no right on any, or there is none");
    }
    mf_catalog_free(&c);
    return rc;
}

static bool takes_one(const char *pattern, const struct mf_catalog *c)
{
    const struct mf_filter one = {.include = &pattern, .ninclude = 1};
    for (size_t i = 0; i < c->n; i++) {
        if (mf_filter_match(&one, c->tables[i].schema, c->tables[i].name)) {
            return true;
        }
    }
    return false;
}

static void check_pattern(const char *option, const char *pattern, const struct mf_catalog *c, struct mf_findings *out)
{
    char label[300];
    const struct mf_table *near = mf_catalog_nearest(c, pattern);
    if (takes_one(pattern, c)) {
        return;
    }
    mf_table_label(near ? near : &c->tables[0], label, sizeof label);
    mf_findings_add(out, MF_WARNING, MF_SOURCE, "no-such-table", pattern,
                    "name tables as on the source, schema.table or the name alone; a query table (map) by its own name",
                    near ? "%s names it, and no table has such a name; did you mean %s?"
                         : "%s names it, and no table has such a name; one that there is: %s",
                    option, label);
}

/* A pattern that takes none is a slip of the pen, or has the target's names. */
static void check_patterns(struct mf_db *source, const struct mf_filter *f, struct mf_findings *out)
{
    struct mf_catalog c = {0};
    struct mf_error ignored = {0};
    if (f->ninclude + f->nexclude == 0 || source->connector->source->shapes(source, NULL, &c, &ignored) < 0) {
        return; /* what is left out may be what cannot be read */
    }
    for (size_t i = 0; c.n > 0 && i < f->ninclude; i++) {
        check_pattern("tables.include", f->include[i], &c, out);
    }
    for (size_t i = 0; c.n > 0 && i < f->nexclude; i++) {
        check_pattern("tables.exclude", f->exclude[i], &c, out);
    }
    mf_catalog_free(&c);
}

int mf_pair_check(const struct mf_config *c, struct mf_db *source, struct mf_db *target, const struct mf_filter *filter,
                  struct mf_findings *out, struct mf_error *err)
{
    check_patterns(source, filter, out);
    return check_empty(source, filter, out, err) < 0 || mf_dual_check(c, source, target, out, err) < 0 ||
                   mf_native_check(c, source, target, filter, out, err) < 0 ||
                   target->connector->target->check_accounts(target, source, filter, c->accounts == MF_ACCOUNTS_COPY,
                                                             out, err) < 0
               ? -1
               : 0;
}

int mf_ready_to_begin(struct mf_migration *m, struct mf_error *err)
{
    struct mf_findings *found = mf_findings_new();
    int rc = m->source->connector->source->check(m->source, &m->filter, found, err);
    if (rc == 0) {
        rc = m->target->connector->target->check(m->target, m->source, &m->filter, found, err);
    }
    rc = rc == 0 ? mf_pair_check(m->config, m->source, m->target, &m->filter, found, err) : rc;
    size_t blockers = mf_findings_blockers(found);
    if (rc == 0 && blockers > 0) {
        char list[900] = "";
        const char *remedy = NULL;
        name_blockers(found, list, sizeof list, &remedy);
        rc = mf_fail(err, MF_ABANDONED, "MFBLOCKED", "%zu finding%s must be resolved first, and nothing was begun: %s",
                     blockers, blockers == 1 ? "" : "s", list);
        mf_hint(err, "%s%smidflight check lists them all", remedy ? remedy : "", remedy && remedy[0] ? " — " : "");
    }
    mf_findings_free(found);
    return rc;
}
