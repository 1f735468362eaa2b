/* The target's tables where it tells nobody of its changes: no stream would notice that one was dropped and made again, or that a column was, and rows that
 * went with it look like rows that the application deleted. So what they are is noted when they are planned, and again when a verification begins
 * that is to prove them; a cutover and every pass look whether they still are. */
#include "migration/internal.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

/* m->source_tables are those that migrate. `now` has the target's by the same names. */
static int differs(struct mf_migration *m, const struct mf_table *s, const char *what, struct mf_error *err)
{
    bool back = mf_writes_on_target(m);
    mf_fail(err, MF_ABANDONED, "MFGUARD", "table %s.%s of the target %s", s->schema, s->name, what);
    mf_hint(err, "%s",
            back ? "Nothing of it is carried back. Put back what was there, with its rows; or go on without the source "
                   "(midflight complete)"
                 : "Run midflight verify (with --repair where rows differ), then try again");
    return -1;
}

static int same_columns(struct mf_migration *m, const struct mf_table *s, const struct mf_table *t,
                        struct mf_error *err)
{
    for (uint16_t i = 0; i < s->ncolumns; i++) {
        const char *name = s->columns[i].name;
        int at = mf_table_column(t, name);
        int64_t noted = mf_plan_target_column(m, s, name);
        char what[300];
        if (noted == 0 || (at < 0 && m->config->on_ddl == MF_DDL_IGNORE) ||
            (at >= 0 && t->columns[at].number == noted)) {
            continue;
        }
        snprintf(what, sizeof what,
                 at < 0 ? "has no more the column \"%.120s\""
                        : "had its column \"%.120s\" dropped and made again: its values are gone",
                 name);
        return differs(m, s, what, err);
    }
    return 0;
}

static int same(struct mf_migration *m, const struct mf_catalog *now, struct mf_error *err)
{
    for (size_t i = 0; i < m->source_tables.n; i++) {
        const struct mf_table *s = &m->source_tables.tables[i], *t = mf_catalog_find(now, s->schema, s->name);
        uint32_t id = mf_plan_target_id(m, s);
        if (id == 0) {
            continue; /* it has not been there yet */
        }
        if (!t) {
            return differs(m, s, "is not there any more", err);
        }
        if (t->id != id) {
            return differs(m, s, "is another one than the one that was filled: that one was dropped", err);
        }
        if (same_columns(m, s, t, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int read_now(struct mf_migration *m, struct mf_catalog *ret, struct mf_error *err)
{
    if (m->target->connector->source->shapes(m->target, &m->filter, ret, err) < 0) {
        mf_error_prefix(err, "looking at the target's tables");
        return -1;
    }
    return 0;
}

int mf_target_same(struct mf_migration *m, struct mf_error *err)
{
    struct mf_catalog now = {0};
    if (m->target->connector->streams) {
        return 0;
    }
    if (read_now(m, &now, err) < 0) {
        return -1;
    }
    int rc = same(m, &now, err);
    mf_catalog_free(&now);
    return rc;
}

/* The way back reads the new ones. */
static int accept(struct mf_migration *m, const struct mf_catalog *now, struct mf_error *err)
{
    for (size_t i = 0; m->reverse_map && i < m->source_tables.n; i++) {
        const struct mf_table *s = &m->source_tables.tables[i], *t = mf_catalog_find(now, s->schema, s->name);
        struct mf_error why;
        bool altered = t && (t->id != mf_plan_target_id(m, s) || same_columns(m, s, t, &why) < 0);
        if (altered && mf_map_accept(m->reverse_map, t, s, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int mf_target_note(struct mf_migration *m, struct mf_error *err)
{
    struct mf_catalog now = {0};
    struct mf_error why;
    if (m->target->connector->streams || mf_writes_on_target(m)) {
        return 0;
    }
    if (read_now(m, &now, err) < 0) {
        return -1;
    }
    int rc = 0;
    if (same(m, &now, &why) < 0) { /* first: what was compared before must not count when the new ones are known */
        mf_log(MF_WARN, "schema", "%s; what was compared before does not count any more", why.text);
        rc = mf_state_set_int(m->state, "schema_accepted_us", mf_wall_us(), err) < 0 ? -1 : accept(m, &now, err);
    }
    rc = rc < 0 || mf_plan_prune(m, MF_TARGET, &now, err) < 0 ? -1 : mf_plan_note_target(m, &now, err);
    mf_catalog_free(&now);
    return rc;
}
