/* Are the target's tables those that were filled? One that was dropped and made again, or a column that was, takes rows and values with it which look like ones
 * that the application deleted; before the cutover nobody reads the target's changes for them. So what the tables are is noted when they are planned, and again when a verification
 * begins that is to prove them; a cutover looks whether they still are. Where the target tells nobody of its changes every pass looks, too, and nothing is carried back from
 * others; where it streams, the schema watch tells of what is done to them once they take the writes. */
#include "migration/internal.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* How the target differs from what was noted. */
struct differing {
    struct mf_migration *m;
    const struct mf_catalog *now;
    struct mf_catalog source; /* only read when it is needed */
    bool lacks;               /* something is gone that the source has */
};

static int differs(struct mf_migration *m, const struct mf_table *s, const char *what, const char *todo,
                   struct mf_error *err)
{
    mf_fail(err, MF_ABANDONED, "MFGUARD", "table %s.%s of the target %s", s->schema, s->name, what);
    mf_hint(err, "%s",
            mf_writes_on_target(m) ? "Nothing of it is carried back. Put back what was there, with its rows; or go on "
                                     "without the source (midflight complete)"
                                   : todo);
    return -1;
}

#define TODO_VERIFY "Run midflight verify (with --repair where rows differ), then try again"
#define TODO_MAKE   "Make it again on the target (or drop it on the source too), then run midflight verify --repair"

/* Those that are gone are told first. */
static int same_columns(struct mf_migration *m, const struct mf_table *s, const struct mf_table *t, bool *ret_lacks,
                        struct mf_error *err)
{
    MF_CLEANUP_FREE char *noted = NULL;
    const char *altered = NULL;
    char what[300];
    if (mf_plan_target_columns(m, s, &noted, err) < 0) {
        return -1;
    }
    for (uint16_t i = 0; i < s->ncolumns; i++) {
        const char *name = s->columns[i].name;
        if (mf_plan_same_column(noted, t, name)) {
            continue;
        }
        if (mf_table_column(t, name) >= 0) {
            altered = name;
        } else if (m->config->on_ddl != MF_DDL_IGNORE) {
            *ret_lacks = true;
            snprintf(what, sizeof what, "has no more the column \"%.120s\"", name);
            return differs(m, s, what, TODO_MAKE, err);
        }
    }
    if (!altered) {
        return 0;
    }
    snprintf(
        what, sizeof what,
        m->config->shred
            ? "had one of its tables, or a column of one, dropped and made again, or altered so that its values may "
              "be gone"
            : "had its column \"%.120s\" (or itself) dropped and made again, or altered so that its values may be "
              "gone",
        altered);
    return differs(m, s, what, TODO_VERIFY, err);
}

/* Dropped on both sides: nobody misses it. */
static int gone(struct differing *d, const struct mf_table *s, struct mf_error *err)
{
    struct mf_db *db = d->m->source;
    if (!d->source.tables && db->connector->source->shapes(db, &d->m->filter, &d->source, err) < 0) {
        mf_error_prefix(err, "looking whether a table that the target lacks is gone on the source too");
        return -1;
    }
    if (!mf_catalog_find(&d->source, s->schema, s->name)) {
        return 0;
    }
    d->lacks = true;
    return differs(d->m, s, "is not there any more", TODO_MAKE, err);
}

static int same_table(struct differing *d, const struct mf_table *s, struct mf_error *err)
{
    const struct mf_table *t = mf_catalog_find(d->now, s->schema, s->name);
    uint32_t id = mf_plan_target_id(d->m, s);
    if (id == 0) {
        return 0; /* it has not been there yet */
    }
    if (!t) {
        return gone(d, s, err);
    }
    if (t->id != id && same_columns(d->m, s, t, &d->lacks, err) < 0 && (d->lacks || err->cls != MF_ABANDONED)) {
        return -1;
    }
    if (t->id != id) {
        return differs(d->m, s,
                       d->m->config->shred ? "is made of other tables than those that were filled: one was dropped and "
                                             "made again, or the map was changed"
                                           : "is another one than the one that was filled: that one was dropped",
                       TODO_VERIFY, err);
    }
    return same_columns(d->m, s, t, &d->lacks, err);
}

/* The first one is told; what is gone before all others. */
static int same(struct mf_migration *m, const struct mf_catalog *now, bool *ret_lacks, struct mf_error *err)
{
    struct differing d = {.m = m, .now = now};
    struct mf_error one;
    int rc = 0;
    for (size_t i = 0; i < m->source_tables.n && !d.lacks; i++) {
        if (same_table(&d, &m->source_tables.tables[i], &one) == 0) {
            continue;
        }
        if (rc == 0 || d.lacks || one.cls != MF_ABANDONED) {
            *err = one;
        }
        rc = -1;
        if (one.cls != MF_ABANDONED) {
            break;
        }
    }
    mf_catalog_free(&d.source);
    *ret_lacks = d.lacks;
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
    bool lacks;
    int rc = same(m, &now, &lacks, err);
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
        bool ignored = false, another = t && t->id != mf_plan_target_id(m, s);
        if (another) {
            made[fresh.n++] = *t;
        }
        if (t && (another || same_columns(m, s, t, &ignored, &why) < 0) &&
            mf_map_accept(m->reverse_map, t, s, err) < 0) {
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
    bool lacks;
    int rc = same(m, &now, &lacks, &why);
    if (rc < 0 && (lacks || why.cls != MF_ABANDONED)) {
        *err = why;
    } else if (rc < 0) { /* first: what was compared before must not count when the new ones are known */
        mf_log(MF_WARN, "schema", "%s; what was compared before does not count any more", why.text);
        rc = mf_state_set_int(m->state, "schema_accepted_us", mf_wall_us(), err) < 0 ? -1 : accept(m, &now, err);
    }
    rc = rc < 0 || mf_plan_prune(m, MF_TARGET, &now, err) < 0 ? -1 : mf_plan_note_target(m, &now, err);
    mf_catalog_free(&now);
    return rc;
}
