/* The schema watch on the control thread: when to look, and what to do about what was seen.
 *
 * A change that the policy does not allow stops the run, but not before everything that was committed until it was seen is on the other side (as
 * far as that goes quickly): whoever reads the error finds the two sides as near as they can be. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#define DRAIN_US (20 * MF_US_PER_SEC)
#define NUDGE_US (MF_US_PER_SEC / 2)

/* ---- tables a side has for itself ---- */

static void own_key(enum mf_side side, const struct mf_table *t, char *out, size_t n)
{
    snprintf(out, n, "own.%s.%s.%s", side == MF_SOURCE ? "source" : "target", t->schema, t->name);
}

bool mf_watch_is_own(struct mf_migration *m, enum mf_side side, const struct mf_table *t)
{
    char key[300];
    own_key(side, t, key, sizeof key);
    return mf_state_int(m->state, key, 0) == t->id;
}

int mf_watch_note_own(struct mf_migration *m, struct mf_error *err)
{
    struct mf_db *db = mf_writes_on_target(m) ? m->source : m->target;
    struct mf_catalog all = {0};
    struct mf_plan plan = {0};
    if (db->side == MF_SOURCE && m->config->on_ddl == MF_DDL_IGNORE) {
        return 0; /* those stay among the unmigrated ones that are told of */
    }
    int rc = mf_plan_load(m, &plan, err);
    rc = rc == 0 ? db->connector->source->shapes(db, &m->filter, &all, err) : rc;
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        const struct mf_table *t = &all.tables[i];
        char key[300], label[260];
        own_key(db->side, t, key, sizeof key);
        if (mf_plan_find(&plan, t->schema, t->name) || mf_plan_by_id(&plan, db->side, t->id) ||
            mf_watch_is_own(m, db->side, t)) {
            continue;
        }
        mf_log(MF_WARN, "schema", "table %s is the %s's own: it is not carried %s",
               mf_table_label(t, label, sizeof label), db->side == MF_SOURCE ? "source" : "target",
               db->side == MF_SOURCE ? "over" : "back");
        rc = mf_state_set_int(m->state, key, t->id, err);
    }
    mf_plan_free(&plan);
    mf_catalog_free(&all);
    return rc;
}

/* ---- on_ddl: ignore ---- */

/* Told once, and in status. */
static void tell_unmigrated(struct mf_migration *m, const struct mf_table_list *tables)
{
    json_t *list = json_array();
    for (size_t i = 0; i < tables->n; i++) {
        char label[260];
        json_array_append_new(list, json_string(mf_table_label(tables->tables[i], label, sizeof label)));
    }
    if (json_equal(list, m->unmigrated) || (!m->unmigrated && json_array_size(list) == 0)) {
        json_decref(list);
        return;
    }
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        mf_log(MF_WARN, "schema", "table %s was made while the migration runs and is not migrated (on_ddl: ignore)",
               json_string_value(v));
    }
    pthread_mutex_lock(&m->lock);
    json_decref(m->unmigrated);
    m->unmigrated = list;
    pthread_mutex_unlock(&m->lock);
    MF_CLEANUP_FREE char *text = json_dumps(list, JSON_COMPACT);
    mf_state_set(m->state, "unmigrated", text ? text : "[]", NULL);
}

/* ---- what changed on both sides ---- */

/* Its columns; not that it is another table, if it is. Values of one that is another have changed by no change that came back (cutover/others.c). */
static int note_target(struct mf_migration *m, const struct mf_table *t, struct mf_error *err)
{
    struct mf_table one = *t;
    const struct mf_catalog all = {.tables = &one, .n = 1};
    MF_CLEANUP_FREE char *noted = NULL;
    one.id = mf_plan_target_id(m, t);
    if (one.id == 0 || mf_plan_target_columns(m, t, &noted, err) < 0) {
        return one.id == 0 ? 0 : -1;
    }
    if (mf_writes_on_target(m) && mf_plan_other_column(noted, t) &&
        mf_state_set_int(m->state, "values_altered_us", mf_wall_us(), err) < 0) {
        return -1;
    }
    return mf_plan_note_target(m, &all, err);
}

/* Maps and catalogues take the new shapes; nobody else may work with the catalogues now. */
static int accept(struct mf_migration *m, const struct mf_drift *d, struct mf_error *err)
{
    bool back = mf_writes_on_target(m);
    struct mf_map *there = back ? m->reverse_map : m->forward_map, *home = back ? m->forward_map : m->reverse_map;
    if (d->accepted.n == 0) {
        return 0;
    }
    /* First: what was compared before does not count any more. A change may have come with values that the stream did not tell of. */
    if (mf_state_set_int(m->state, "schema_accepted_us", mf_wall_us(), err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < d->accepted.n; i++) {
        const struct mf_table *o = d->accepted.tables[i], *r = mf_catalog_find(&d->other, o->schema, o->name);
        if (mf_map_accept(there, o, r, err) < 0 || (home && mf_map_accept(home, r, o, err) < 0) ||
            mf_state_table_shape(m->state, back ? r->id : o->id, mf_table_catalog_shape(back ? r : o), err) < 0 ||
            note_target(m, back ? o : r, err) < 0) {
            return -1;
        }
        mf_log(MF_INFO, "schema", "the new shape of table %s.%s is known from here on; verify before a cutover",
               o->schema, o->name);
    }
    m->have_tables = false;
    const struct mf_catalog *ours = back ? &m->target_tables : &m->source_tables;
    if (mf_open_tables(m, true, err) < 0 || mf_map_cascades(there, ours, err) < 0) {
        return -1;
    }
    return home ? mf_map_cascades(home, back ? &m->source_tables : &m->target_tables, err) : 0;
}

/* Columns that no change in the stream told of: apply stands behind every transaction that knew the table without them. */
static int carry(struct mf_migration *m, const struct mf_drift *d, struct mf_error *err)
{
    struct mf_pipe *live = mf_live_pipe(m);
    int rc = mf_stand_still(m, live, err);
    for (size_t i = 0; rc == 0 && i < d->wider.n; i++) {
        const struct mf_table *t = d->wider.tables[i];
        rc = MF_FAULT(err, "apply.schema")
        ? -1 : mf_apply_carry(live->apply, t, err);
        if (rc < 0) {
            mf_error_prefix(err, "carrying a schema change of table %s.%s over", t->schema, t->name);
        } else {
            mf_log(MF_INFO, "schema", "columns added to table %s.%s were carried over", t->schema, t->name);
        }
    }
    mf_let_go(m, live);
    return rc;
}

/* ---- a look and its consequence ---- */

/* The run will stop: what was committed so far goes first, for a while. False: nothing can be waited for. */
static bool begin_drain(struct mf_migration *m)
{
    struct mf_db *db = mf_writes_on_target(m) ? m->target : m->source;
    struct mf_error ignored = {0};
    if (strcmp(m->step, "synced") != 0 || !mf_live_pipe(m) ||
        db->connector->source->position(db, &m->drift_upto, &ignored) < 0) {
        return false;
    }
    m->drift_since_us = mf_now_us();
    m->drift_nudge_us = 0;
    return true;
}

static bool drained(struct mf_migration *m)
{
    struct mf_pipe *live = mf_live_pipe(m);
    struct mf_position at;
    int64_t now = mf_now_us();
    mf_apply_position(live->apply, &at);
    if (at.order >= m->drift_upto.order || now - m->drift_since_us > DRAIN_US) {
        return true;
    }
    mf_apply_want_checkpoint(live->apply);
    if (now >= m->drift_nudge_us) {
        m->drift_nudge_us = now + NUDGE_US;
        m->next_beat_us = 0;
    }
    return false;
}

static int act(struct mf_migration *m, const struct mf_drift *d, struct mf_error *err)
{
    enum mf_on_ddl policy = m->config->on_ddl;
    if (d->accepted.n && accept(m, d, err) < 0) {
        return -1;
    }
    if (policy == MF_DDL_ADDITIVE && d->wider.n) {
        m->watch_due_us = 0; /* what was carried is seen as changed on both sides by the next look */
        if (carry(m, d, err) < 0) {
            return -1;
        }
    }
    return policy == MF_DDL_ADDITIVE && d->fresh.n ? mf_adopt(m, &d->fresh, err) : 0;
}

static int consider(struct mf_migration *m, const struct mf_drift *d, bool busy, struct mf_error *err)
{
    if (d->problem.text[0]) {
        if (m->drift_since_us == 0 && begin_drain(m)) {
            return 0;
        }
        /* A proof from before it may not open a cutover after the next start. */
        if (mf_state_set_int(m->state, "schema_accepted_us", mf_wall_us(), err) == 0) {
            *err = d->problem;
        }
        return -1;
    }
    m->drift_since_us = 0;
    if (m->config->on_ddl == MF_DDL_IGNORE) {
        tell_unmigrated(m, &d->fresh);
    }
    return busy || strcmp(m->step, "synced") != 0 || !mf_pipes_open(m) ? 0 : act(m, d, err);
}

int mf_watch_step(struct mf_migration *m, bool busy, struct mf_error *err)
{
    int64_t now = mf_now_us();
    if (!busy && mf_adopt_begun(m) && mf_pipes_open(m)) {
        return mf_adopt(m, NULL, err);
    }
    if (strcmp(m->step, "prepare") == 0 || (mf_writes_on_target(m) && mf_way_back(m) != MF_BACK_BY_STREAM)) {
        return 0; /* the plan is being made; what is carried back by passes has its own look at each table */
    }
    if (m->drift_since_us ? !drained(m) : now < m->watch_due_us) {
        return 0;
    }
    struct mf_drift d = {0};
    struct mf_error e = {0};
    int rc = mf_drift_look(m, &d, &e);
    int64_t took = mf_now_us() - now, every = m->config->schema_check_ms * 1000;
    m->watch_due_us = now + (took * 20 > every ? took * 20 : every);
    if (rc < 0 && e.cls == MF_RETRY) {
        return 0; /* a database that is gone is told of by others */
    }
    if (rc < 0) {
        *err = e;
        return -1;
    }
    rc = consider(m, &d, busy, err);
    mf_drift_free(&d);
    return rc;
}

int mf_watch_now(struct mf_migration *m, struct mf_error *err)
{
    m->watch_due_us = 0;
    return mf_watch_step(m, false, err);
}

int mf_watch_other(struct mf_migration *m, struct mf_error *err)
{
    bool back = mf_writes_on_target(m);
    struct mf_map *map = back ? m->forward_map : m->reverse_map;
    m->have_tables = m->have_tables && !back;
    if (mf_open_tables(m, !back, err) < 0) {
        return -1;
    }
    return map ? mf_map_cascades(map, back ? &m->source_tables : &m->target_tables, err) : 0;
}

int mf_watch_guard(struct mf_migration *m, struct mf_error *err)
{
    struct mf_drift d = {0};
    if (mf_drift_look(m, &d, err) < 0) {
        mf_error_prefix(err, "looking for changes of the schema");
        return -1;
    }
    int rc = 0;
    const struct mf_table_list *open = d.fresh.n ? &d.fresh : &d.wider;
    if (d.problem.text[0]) {
        rc = mf_fail(err, MF_ABANDONED, "MFGUARD", "%s", d.problem.text);
        mf_hint(err, "%s", d.problem.hint);
    } else if (m->config->on_ddl == MF_DDL_ADDITIVE && (open->n || mf_adopt_begun(m))) {
        rc = mf_fail(err, MF_ABANDONED, "MFGUARD", "table %s%s%s was made or changed and is not carried over yet",
                     open->n ? open->tables[0]->schema : "", open->n ? "." : "",
                     open->n ? open->tables[0]->name : "taken in now");
        mf_hint(err, "Try again in a few seconds.");
    }
    mf_drift_free(&d);
    return rc;
}
