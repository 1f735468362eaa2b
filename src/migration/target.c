/* Are the target's tables those that were filled? One that was dropped and made again, or a column that was, takes rows and values with it which look like ones
 * that the application deleted; before the cutover nobody reads the target's changes for them. So what the tables are is noted when they are planned, and again when a verification
 * begins that is to prove them; a cutover looks whether they still are. Where the target tells nobody of its changes every pass looks, too, and nothing is carried back from
 * others; where it streams, the schema watch tells of what is done to them once they take the writes. */
#include "migration/internal.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

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
    MF_CLEANUP_FREE char *noted = NULL;
    if (mf_plan_target_columns(m, s, &noted, err) < 0) {
        return -1;
    }
    for (uint16_t i = 0; i < s->ncolumns; i++) {
        const char *name = s->columns[i].name;
        bool gone = mf_table_column(t, name) < 0;
        char what[300];
        if (mf_plan_same_column(noted, t, name) || (gone && m->config->on_ddl == MF_DDL_IGNORE)) {
            continue;
        }
        snprintf(what, sizeof what,
                 m->config->shred ? "had one of its tables, or a column of one, dropped and made again, or altered so "
                                    "that its values may be gone"
                 : gone           ? "has no more the column \"%.120s\""
                        : "had its column \"%.120s\" (or itself) dropped and made again, or altered so that its values "
                          "may be gone",
                 name);
        return differs(m, s, what, err);
    }
    return 0;
}

/* Dropped on both sides: nobody misses it. */
static int gone(struct mf_migration *m, const struct mf_table *s, struct mf_catalog *source, struct mf_error *err)
{
    if (!source->tables && m->source->connector->source->shapes(m->source, &m->filter, source, err) < 0) {
        mf_error_prefix(err, "looking whether a table that the target lacks is gone on the source too");
        return -1;
    }
    return mf_catalog_find(source, s->schema, s->name) ? differs(m, s, "is not there any more", err) : 0;
}

static int same(struct mf_migration *m, const struct mf_catalog *now, struct mf_error *err)
{
    struct mf_catalog source = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m->source_tables.n; i++) {
        const struct mf_table *s = &m->source_tables.tables[i], *t = mf_catalog_find(now, s->schema, s->name);
        uint32_t id = mf_plan_target_id(m, s);
        if (id == 0) {
            continue; /* it has not been there yet */
        }
        rc = !t            ? gone(m, s, &source, err)
             : t->id != id ? differs(m, s,
                                     m->config->shred ? "is made of other tables than those that were filled: one was "
                                                        "dropped and made again, or the map was changed"
                                                      : "is another one than the one that was filled: that one was "
                                                        "dropped",
                                     err)
                           : same_columns(m, s, t, err);
    }
    mf_catalog_free(&source);
    return rc;
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
    if (mf_writes_on_target(m) && m->target->connector->streams) {
        return 0;
    }
    if (read_now(m, &now, err) < 0) {
        return -1;
    }
    int rc = same(m, &now, err);
    mf_catalog_free(&now);
    return rc;
}

/* The way back reads the new ones: by its map, and by its stream, which has not heard of a table that was made since. */
static int accept(struct mf_migration *m, const struct mf_catalog *now, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_table *made = mf_xcalloc(m->source_tables.n + 1, sizeof *made);
    struct mf_catalog fresh = {.tables = made};
    for (size_t i = 0; m->reverse_map && i < m->source_tables.n; i++) {
        const struct mf_table *s = &m->source_tables.tables[i], *t = mf_catalog_find(now, s->schema, s->name);
        struct mf_error why;
        bool another = t && t->id != mf_plan_target_id(m, s);
        if (another) {
            made[fresh.n++] = *t;
        }
        if (t && (another || same_columns(m, s, t, &why) < 0) && mf_map_accept(m->reverse_map, t, s, err) < 0) {
            return -1;
        }
    }
    if (fresh.n == 0 || mf_way_back(m) != MF_BACK_BY_STREAM) {
        return 0;
    }
    struct mf_pipe_id id = mf_migration_pipe_id(m, MF_REVERSE);
    return m->target->connector->source->stream_add_tables(m->target, &id, &fresh, err);
}

int mf_target_note(struct mf_migration *m, struct mf_error *err)
{
    struct mf_catalog now = {0};
    struct mf_error why = {0};
    if (mf_writes_on_target(m)) {
        return 0;
    }
    if (read_now(m, &now, err) < 0) {
        return -1;
    }
    int rc = same(m, &now, &why);
    if (rc < 0 && why.cls != MF_ABANDONED) {
        *err = why;
    } else if (rc < 0) { /* first: what was compared before must not count when the new ones are known */
        mf_log(MF_WARN, "schema", "%s; what was compared before does not count any more", why.text);
        rc = mf_state_set_int(m->state, "schema_accepted_us", mf_wall_us(), err) < 0 ? -1 : accept(m, &now, err);
    }
    rc = rc < 0 || mf_plan_prune(m, MF_TARGET, &now, err) < 0 ? -1 : mf_plan_note_target(m, &now, err);
    mf_catalog_free(&now);
    return rc;
}
