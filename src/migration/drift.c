/* One look at the side that takes writes: how its tables differ from what is migrated, and what the policy makes of it. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct looking {
    struct mf_migration *m;
    struct mf_db *db, *other; /* takes writes; the other one */
    struct mf_plan plan;
    const struct mf_catalog *known; /* of db, as the streams have it */
    struct mf_drift *d;
    bool have_other;
    enum mf_on_ddl policy;
    bool by_server; /* mode: native, and the servers carry changes over by themselves */
};

void mf_table_list_add(struct mf_table_list *l, const struct mf_table *t)
{
    l->tables = mf_xreallocarray(l->tables, l->n + 1, sizeof(struct mf_table *));
    l->tables[l->n++] = t;
}

void mf_drift_free(struct mf_drift *d)
{
    mf_catalog_free(&d->now);
    mf_catalog_free(&d->other);
    free(d->fresh.tables);
    free(d->wider.tables);
    free(d->accepted.tables);
    *d = (struct mf_drift){0};
}

static const char *side_name(const struct mf_db *db)
{
    return db->side == MF_SOURCE ? "source" : "target";
}

/* The first one is told; others come when it is mended. */
static void problem(struct looking *l, const char *schema, const char *name, const char *what, const char *todo)
{
    if (l->d->problem.text[0]) {
        return;
    }
    mf_fail(&l->d->problem, MF_FATAL, "MFDDL", "table %s.%s of the %s %s", schema, name, side_name(l->db), what);
    mf_hint(&l->d->problem, "%s", todo);
}

static int need_other(struct looking *l, struct mf_error *err)
{
    if (!l->have_other && l->other->connector->source->shapes(l->other, &l->m->filter, &l->d->other, err) < 0) {
        return -1;
    }
    l->have_other = true;
    return 0;
}

/* ---- tables ---- */

static bool excluded(const struct mf_migration *m, const struct mf_planned *p)
{
    struct mf_filter not_these = {.exclude = m->filter.exclude, .nexclude = m->filter.nexclude};
    return !mf_filter_match(&not_these, p->schema, p->name);
}

/* A planned table that is not to be found as it was. */
static int missing(struct looking *l, const struct mf_planned *p, const struct mf_table *in_its_place,
                   struct mf_error *err)
{
    char became[300], what[500];
    bool dropped = false;
    struct mf_table t = {.id = p->id[l->db->side], .schema = p->schema, .name = p->name};
    if (l->db->connector->source->what_became(l->db, &t, became, sizeof became, &dropped, err) < 0) {
        return -1;
    }
    if (in_its_place) {
        snprintf(what, sizeof what, "is another one than the one that is migrated, which %s: its rows are in no stream",
                 became);
        problem(l, p->schema, p->name, what,
                "put the migrated table back under its name and start midflight again; or midflight cancel and begin "
                "anew");
        return 0;
    }
    if (dropped) {
        if (need_other(l, err) < 0) {
            return -1;
        }
        if (!mf_catalog_find(&l->d->other, p->schema, p->name) || l->policy == MF_DDL_IGNORE) {
            return 0; /* on both sides, or nobody minds */
        }
        snprintf(what, sizeof what, "was dropped; the %s still has it", side_name(l->other));
        problem(l, p->schema, p->name, what, "drop it on the other side too, then start midflight again");
        return 0;
    }
    snprintf(what, sizeof what, "%s", became);
    problem(l, p->schema, p->name, what,
            "undo that and start midflight again; do it on both sides when the migration is over. What was committed "
            "meanwhile is found by midflight verify --repair");
    return 0;
}

/* ---- columns ---- */

static bool same_type(const struct mf_column *a, const struct mf_column *b)
{
    if (a->foreign && b->foreign) { /* of different kinds: they hold the same values, as far as one of them goes */
        return mf_type_takes(&a->foreign->type, &b->foreign->type) ||
               mf_type_takes(&b->foreign->type, &a->foreign->type);
    }
    if (a->type_id < MF_TYPE_OF_ENGINE && b->type_id < MF_TYPE_OF_ENGINE) {
        return a->type_id == b->type_id && a->type_mod == b->type_mod;
    }
    return a->type && b->type ? strcmp(a->type, b->type) == 0 : true;
}

static bool same_key(const struct mf_table *a, const struct mf_table *b)
{
    bool same = a->nkey == b->nkey;
    for (uint16_t i = 0; same && i < a->nkey; i++) {
        int at = mf_table_column(b, a->columns[a->key[i]].name);
        same = at >= 0 && b->columns[at].in_key;
    }
    return same;
}

static void say_column(struct looking *l, const struct mf_table *t, const char *column, const char *what,
                       const char *todo)
{
    char text[500];
    snprintf(text, sizeof text, "was changed: %s \"%s\"", what, column);
    problem(l, t->schema, t->name, text, todo);
}

static void say_made_again(struct looking *l, const struct mf_table *t, const char *column)
{
    char text[500];
    bool behind = l->m->config->shred && l->db->side == MF_TARGET; /* of the tables that documents are made of */
    snprintf(text, sizeof text,
             "was changed: dropped and made again, or altered so that rows may have other values than any change "
             "tells, %s%s%s",
             behind ? "a column of its tables" : "the column \"", behind ? "" : column, behind ? "" : "\"");
    problem(l, t->schema, t->name, text,
            "start midflight again, then midflight verify --repair, which writes its values on the other side; no "
            "cutover is made before a verification that began after this");
}

#define TODO_SAME                                                                                                      \
    "make the same change on the other side, then start midflight again. Nothing is lost, the changes wait in the "    \
    "spool"

/* was: as the streams have it; o: as it is now; r: on the other side. False: it cannot go on like this. */
static bool columns_agree(struct looking *l, const struct mf_table *was, const struct mf_table *o,
                          const struct mf_table *r, bool *ret_wider)
{
    enum mf_on_ddl policy = l->policy;
    for (uint16_t i = 0; i < o->ncolumns; i++) {
        const struct mf_column *c = &o->columns[i];
        int at = mf_table_column(r, c->name), before = mf_table_column(was, c->name);
        if (before >= 0 && was->columns[before].number != c->number) {
            say_made_again(l, o, c->name);
            return false;
        }
        if (at < 0 && policy == MF_DDL_ADDITIVE && !c->in_key && !c->generated) {
            *ret_wider = true;
        } else if (at < 0 && policy != MF_DDL_IGNORE) {
            say_column(l, o, c->name, "the other side lacks the column", TODO_SAME);
            return false;
        } else if (at >= 0 && !same_type(c, &r->columns[at]) &&
                   (before < 0 || !same_type(c, &was->columns[before]) || was == o)) {
            say_column(l, o, c->name, "the two sides have different types of the column", TODO_SAME);
            return false;
        }
    }
    const struct mf_table *more = was == o ? r : was; /* what it had before is not known: then the other side tells */
    for (uint16_t i = 0; i < more->ncolumns; i++) {
        const char *name = more->columns[i].name;
        if (mf_table_column(o, name) < 0 && mf_table_column(r, name) >= 0 && policy != MF_DDL_IGNORE) {
            say_column(l, o, name, "it has no more the column",
                       "drop (or rename) the column on the other side too, then start midflight again; with on_ddl: "
                       "ignore the other side may keep it");
            return false;
        }
    }
    if (!same_key(was, o) && was->nkey > 0 && !same_key(o, r)) {
        problem(l, o->schema, o->name, "has another key (or replica identity) than before",
                "give the table the same key on both sides, then start midflight again");
        return false;
    }
    return true;
}

/* Between two tables that are there before and after. */
static bool is_migrated(const struct looking *l, const struct mf_cascade *k)
{
    return mf_catalog_find(l->known, k->schema, k->table) && mf_catalog_find(&l->d->now, k->schema, k->table);
}

/* What cascades is in no stream and is done by what is known of the foreign keys: with another knowledge than the server's, rows stay that it
 * deleted, or go that it kept. */
static void compare_cascades(struct looking *l, const struct mf_table *was, const struct mf_table *o)
{
    for (int gone = 0; gone < 2; gone++) {
        const struct mf_table *of = gone ? was : o, *in = gone ? o : was;
        for (uint16_t i = 0; i < of->ncascades; i++) {
            const struct mf_cascade *k = &of->cascades[i];
            if (mf_table_has_cascade(in, k) || !is_migrated(l, k)) {
                continue;
            }
            char what[500];
            snprintf(what, sizeof what,
                     "%s a foreign key by which the server changes rows of it when rows of %s.%s go or change: what "
                     "that did meanwhile is in no stream",
                     gone ? "has lost" : "was given", o->schema, o->name);
            problem(l, k->schema, k->table, what,
                    "start midflight again, then midflight verify --repair, then change the foreign key on the other "
                    "side too; no cutover is made before a verification that began after this");
        }
    }
}

/* Of the target the columns are remembered that were there when they were proven; those that it has got since it takes the writes are seen as wider. */
static int changed_meanwhile(struct looking *l, const struct mf_planned *p, const struct mf_table *o, bool *ret,
                             struct mf_error *err)
{
    MF_CLEANUP_FREE char *noted = NULL;
    if (l->db->side == MF_SOURCE) {
        *ret = p->shape != mf_table_catalog_shape(o);
        return 0;
    }
    if (mf_plan_target_columns(l->m, o, &noted, err) < 0) {
        return -1;
    }
    *ret = mf_plan_lacks_column(noted, o) || mf_plan_other_column(noted, o);
    return 0;
}

static int compare_columns(struct looking *l, const struct mf_planned *p, const struct mf_table *o,
                           struct mf_error *err)
{
    const struct mf_table *was = mf_catalog_find(l->known, p->schema, p->name);
    if (!was) {
        return 0;
    }
    if (!l->by_server) {
        compare_cascades(l, was, o);
    }
    bool here = (l->by_server && !mf_table_same_cascades(was, o)) ||
                mf_table_catalog_shape(was) != mf_table_catalog_shape(o) || was->ncolumns != o->ncolumns;
    bool stopped = false; /* while no run was alive */
    if (changed_meanwhile(l, p, o, &stopped, err) < 0) {
        return -1;
    }
    if (!here && !stopped) {
        return 0;
    }
    if (need_other(l, err) < 0) {
        return -1;
    }
    const struct mf_table *r = mf_catalog_find(&l->d->other, p->schema, p->name);
    bool wider = false;
    if (r && columns_agree(l, here ? was : o, o, r, &wider)) {
        mf_table_list_add(wider ? &l->d->wider : &l->d->accepted, o);
    }
    return 0;
}

/* ---- the look ---- */

static int compare_planned(struct looking *l, struct mf_error *err)
{
    MF_CLEANUP_FREE const struct mf_table **named = mf_xcalloc(l->plan.n + 1, sizeof *named);
    for (size_t i = 0; i < l->d->now.n; i++) {
        const struct mf_planned *p = mf_plan_find(&l->plan, l->d->now.tables[i].schema, l->d->now.tables[i].name);
        if (p) {
            named[p - l->plan.tables] = &l->d->now.tables[i];
        }
    }
    for (size_t i = 0; i < l->plan.n; i++) {
        const struct mf_planned *p = &l->plan.tables[i];
        const struct mf_table *t = named[i];
        uint32_t id = p->id[l->db->side];
        if (id == 0 || excluded(l->m, p)) {
            continue;
        }
        if ((t && t->id == id ? compare_columns(l, p, t, err) : missing(l, p, t, err)) < 0) {
            return -1;
        }
    }
    return 0;
}

static void find_new(struct looking *l)
{
    for (size_t i = 0; i < l->d->now.n; i++) {
        const struct mf_table *t = &l->d->now.tables[i];
        if (mf_plan_find(&l->plan, t->schema, t->name) || mf_plan_by_id(&l->plan, l->db->side, t->id) ||
            mf_watch_is_own(l->m, l->db->side, t)) {
            continue;
        }
        mf_table_list_add(&l->d->fresh, t);
        if (l->policy == MF_DDL_STOP) {
            problem(l, t->schema, t->name,
                    "was made while the migration runs: it is in no stream and its rows are not "
                    "copied",
                    "leave it out (tables.exclude), or take it in (on_ddl: additive), and start midflight again");
        }
    }
}

/* mode: native. The target's server brings schema changes across by itself; what is not there yet is waited for, and nothing is made by us, or it
 * would be there when the server comes to it. */
static enum mf_on_ddl policy_of(const struct mf_migration *m, bool by_server)
{
    return by_server && m->config->on_ddl == MF_DDL_ADDITIVE ? MF_DDL_STOP : m->config->on_ddl;
}

int mf_drift_look(struct mf_migration *m, struct mf_drift *ret, struct mf_error *err)
{
    bool back = mf_writes_on_target(m);
    bool by_server = m->config->mode == MF_MODE_NATIVE && mf_native_at(m->state) != MF_NATIVE_OVER;
    struct mf_drift d = {0};
    struct looking l = {.m = m,
                        .db = back ? m->target : m->source,
                        .other = back ? m->source : m->target,
                        .policy = policy_of(m, by_server),
                        .by_server = by_server,
                        .known = back ? &m->target_tables : &m->source_tables,
                        .d = &d};
    int rc = mf_plan_load(m, &l.plan, err);
    if (rc == 0 && l.plan.n > 0) {
        rc = l.db->connector->source->shapes(l.db, &m->filter, &d.now, err);
        rc = rc == 0 ? compare_planned(&l, err) : rc;
        if (rc == 0) {
            find_new(&l);
        }
    }
    mf_plan_free(&l.plan);
    if (rc < 0) {
        mf_drift_free(&d);
        return -1;
    }
    *ret = d;
    return 0;
}
