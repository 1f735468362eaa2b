/* Taking new tables into the migration while it runs (on_ddl: additive).
 *
 *   create    the table is made on the other side, without rows
 *   hold      apply stands still: it has not come to any change of the table, since there is none in the stream
 *   publish   from here on its changes are in the stream
 *   snapshot  exact at P. It waited for every transaction that ran when it was asked for, so a change that is not in the stream (its
 *             transaction began before publish) is in the snapshot
 *   plan      apply learns that changes of the table up to P are left out, then goes on to P and stops exactly there
 *   load      the rows as of P; keys, indexes, foreign keys; partitions are attached
 *   record    the table is migrated: in the state, in the maps
 *   reverse   published on the other side, for the way back. Not before: what was loaded must not come back in that stream
 *   let go    apply goes on behind P
 *
 * While apply stands at P both sides are as of P, so what others see of the other side is always the origin as of one commit, with or without the
 * new table. The stage is in the state before it is begun. A run that finds one opens the pipe with apply held and begins again: before
 * `record` with the table emptied and a new snapshot (P only grows, and apply has not moved), after it with what is left. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"

enum stage { CREATING, LOADING, RECORDED };

struct adopting {
    struct mf_migration *m;
    bool back;          /* the target takes writes: the new table is the target's */
    struct mf_pipe *to; /* the pipe that carries its changes */
    struct mf_db *origin, *replica;
    enum stage stage;
    struct mf_catalog now, there; /* all tables of the origin; of the replica */
    struct mf_catalog mine,
        made; /* the tables taken in, of `now`; the same on the replica, of `there` (no arena of their own) */
    struct mf_position at; /* P */
    int64_t stamp; /* of P: after what is left out of the stream for having come with the rows, before what is not */
    struct mf_snapshot *snapshot;
    struct mf_copy *copy;
    struct mf_copy_worker *workers[MF_MAX_WORKERS];
    struct mf_crew crew;
};

/* ---- what the state knows of it ---- */

#define COUNT_KEY "adopt.n"
#define STAGE_KEY "adopt.stage"

bool mf_adopt_begun(struct mf_migration *m)
{
    return mf_state_int(m->state, COUNT_KEY, 0) > 0;
}

static void id_key(int64_t i, char *out, size_t n)
{
    snprintf(out, n, "adopt.%" PRId64, i);
}

/* The count last: from then on it is begun. */
static int begin(struct mf_migration *m, const struct mf_table_list *l, struct mf_error *err)
{
    for (size_t i = 0; i < l->n; i++) {
        char key[32], label[260];
        id_key((int64_t)i, key, sizeof key);
        if (mf_state_set_int(m->state, key, l->tables[i]->id, err) < 0) {
            return -1;
        }
        mf_log(MF_INFO, "schema", "taking new table %s into the migration",
               mf_table_label(l->tables[i], label, sizeof label));
    }
    if (mf_journal_add(m->state, "adopt", "begin", "new tables are taken into the migration", err) < 0 ||
        mf_state_set_int(m->state, STAGE_KEY, CREATING, err) < 0) {
        return -1;
    }
    return mf_state_set_int(m->state, COUNT_KEY, (int64_t)l->n, err);
}

static int enter(struct adopting *a, enum stage stage, struct mf_error *err)
{
    a->stage = stage;
    return mf_state_set_int(a->m->state, STAGE_KEY, stage, err);
}

/* ---- catalogues ---- */

static int read_mine(struct adopting *a, struct mf_error *err)
{
    struct mf_state *s = a->m->state;
    int64_t n = mf_state_int(s, COUNT_KEY, 0);
    mf_catalog_free(&a->now);
    free(a->mine.tables);
    a->mine = (struct mf_catalog){.tables = mf_xcalloc((size_t)n + 1, sizeof *a->mine.tables)};
    if (a->origin->connector->source->shapes(a->origin, &a->m->filter, &a->now, err) < 0) {
        return -1;
    }
    for (int64_t i = 0; i < n; i++) {
        char key[32];
        id_key(i, key, sizeof key);
        const struct mf_table *t = mf_catalog_by_id(&a->now, (uint32_t)mf_state_int(s, key, 0));
        if (t) { /* else it was dropped again, or is excluded by now */
            a->mine.tables[a->mine.n++] = *t;
        }
    }
    return 0;
}

/* By name alone: a pattern may name the partitioned table, to which the new partition does not belong there yet. */
static int read_made(struct adopting *a, struct mf_error *err)
{
    static const struct mf_filter everything;
    mf_catalog_free(&a->there);
    free(a->made.tables);
    a->made = (struct mf_catalog){.tables = mf_xcalloc(a->mine.n + 1, sizeof *a->made.tables)};
    if (a->replica->connector->source->shapes(a->replica, &everything, &a->there, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < a->mine.n; i++) {
        const struct mf_table *t = &a->mine.tables[i], *r = mf_catalog_find(&a->there, t->schema, t->name);
        if (!r) {
            return mf_fail(err, MF_FATAL, "MFDDL", "table %s.%s was not made on the other side", t->schema, t->name);
        }
        a->made.tables[a->made.n++] = *r;
    }
    return 0;
}

/* ---- create ---- */

static int schema(struct adopting *a, enum mf_schema_stage stage, struct mf_error *err)
{
    struct mf_findings *found = mf_findings_new();
    struct mf_schema_job job = {.stage = stage,
                                .tables = &a->mine,
                                .filter = &a->m->filter,
                                .jobs = (int)a->m->config->copy.jobs,
                                .addition = true};
    int rc = a->replica->connector->target->schema_apply(a->replica, a->origin, &job, found, err);
    for (size_t i = 0; i < mf_findings_count(found); i++) {
        const struct mf_finding *f = mf_findings_at(found, i);
        mf_log(f->severity == MF_NOTE ? MF_INFO : MF_WARN, "schema", "%s: %s", f->object, f->reason);
    }
    mf_findings_free(found);
    if (rc < 0 && err->cls == MF_FATAL) {
        mf_hint(err, "make on the other side by hand what is missing there, as the origin has it, and start midflight "
                     "again; or leave the table out (tables.exclude)");
    }
    return rc;
}

/* A table that was there already may not have rows: they are not the origin's. */
static int check_empty(struct adopting *a, struct mf_error *err)
{
    const struct mf_source_ops *ops = a->replica->connector->source;
    struct mf_reader *r = NULL;
    int rc = ops->reader_open(a->replica, NULL, &r, err);
    for (size_t i = 0; rc == 0 && i < a->made.n; i++) {
        const struct mf_table *t = &a->made.tables[i];
        struct mf_chunk *all = mf_xcalloc(1, sizeof *all);
        struct mf_digest d = {0};
        all->table_id = t->id;
        rc = ops->digest(r, t, all, &d, err);
        free(all);
        if (rc == 0 && d.rows > 0) {
            mf_fail(err, MF_FATAL, "MFDDL",
                    "new table %s.%s cannot be taken in: the other side has one of that name with %" PRIu64 " rows",
                    t->schema, t->name, d.rows);
            mf_hint(err, "empty or rename it there, or leave the table out (tables.exclude)");
            rc = -1;
        }
    }
    ops->reader_close(r);
    return rc;
}

static int create(struct adopting *a, struct mf_error *err)
{
    if (MF_FAULT(err, "adopt.create") || schema(a, MF_SCHEMA_BEFORE_ROWS, err) < 0 || read_made(a, err) < 0 ||
        check_empty(a, err) < 0) {
        return -1;
    }
    return enter(a, LOADING, err);
}

/* ---- hold, publish, snapshot, plan ---- */

/* What an exact snapshot has to wait for is waited for while apply runs; the one that is taken then is quick. */
static int wait_out(struct adopting *a, struct mf_error *err)
{
    struct mf_snapshot *s = NULL;
    if (a->origin->connector->source->snapshot_open(a->origin, &a->to->id, 0, &s, err) < 0) {
        return -1;
    }
    a->origin->connector->source->snapshot_close(s);
    return 0;
}

static int plan_in_apply(void *ctx, struct mf_applier *applier, struct mf_error *err)
{
    struct adopting *a = ctx;
    (void)applier;
    for (size_t i = 0; i < a->mine.n; i++) {
        if (mf_apply_exact(a->to->apply, &a->mine.tables[i], &a->at, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int take_stamp(void *ctx, struct mf_applier *applier, struct mf_error *err)
{
    struct adopting *a = ctx;
    (void)applier, (void)err;
    a->stamp = mf_apply_stamp(a->to->apply);
    return 0;
}

static int accept(struct adopting *a, struct mf_error *err)
{
    struct mf_map *there = a->back ? a->m->reverse_map : a->m->forward_map;
    struct mf_map *home = a->back ? a->m->forward_map : a->m->reverse_map;
    for (size_t i = 0; i < a->mine.n; i++) {
        if (mf_map_accept(there, &a->mine.tables[i], &a->made.tables[i], err) < 0 ||
            mf_map_accept(home, &a->made.tables[i], &a->mine.tables[i], err) < 0) {
            return -1;
        }
    }
    /* the new tables may refer to others */
    return mf_map_cascades(there, &a->now, err) < 0 ? -1 : mf_map_cascades(home, &a->there, err);
}

static int in_apply(struct adopting *a, int (*run)(void *ctx, struct mf_applier *applier, struct mf_error *err),
                    struct mf_error *err)
{
    struct mf_apply_job job = {.run = run, .ctx = a};
    mf_apply_submit(a->to->apply, &job);
    while (!mf_apply_job_done(a->to->apply, &job)) {
        if (a->m->stop || mf_check_pipes(a->m, err) < 0) {
            mf_apply_withdraw(a->to->apply, &job);
            return a->m->stop ? mf_fail(err, MF_RETRY, "MFSTOPPED", "the run is stopping") : -1;
        }
        mf_idle_beat(a->m);
        struct timespec t = {.tv_nsec = 2 * 1000 * 1000};
        nanosleep(&t, NULL);
    }
    if (job.rc < 0) {
        *err = job.err;
    }
    return job.rc;
}

static int stand_at_snapshot(struct adopting *a, struct mf_error *err)
{
    const struct mf_source_ops *ops = a->origin->connector->source;
    if (wait_out(a, err) < 0 || mf_hold_still(a->m, a->to, err) < 0 || MF_FAULT(err, "adopt.publish") ||
        ops->stream_add_tables(a->origin, &a->to->id, &a->mine, err) < 0 || MF_FAULT(err, "adopt.snapshot") ||
        read_mine(a, err) < 0 || read_made(a, err) < 0 || /* publishing may have set a replica identity */
        ops->snapshot_open(a->origin, &a->to->id, (int)a->m->config->copy.jobs, &a->snapshot, err) < 0) {
        return -1;
    }
    a->at = a->snapshot->position;
    if (accept(a, err) < 0 || in_apply(a, plan_in_apply, err) < 0 || mf_stand_at(a->m, a->to, &a->at, err) < 0) {
        return -1;
    }
    return in_apply(a, take_stamp, err);
}

/* ---- load ---- */

static enum mf_step copy_worker(struct mf_migration *m, int worker, struct mf_error *err)
{
    return mf_copy_step(m->adopting->workers[worker], err);
}

static void close_copy(struct adopting *a)
{
    mf_crew_stop(&a->crew);
    for (int i = 0; i < MF_MAX_WORKERS; i++) {
        mf_copy_worker_free(a->workers[i]);
        a->workers[i] = NULL;
    }
    mf_copy_free(a->copy);
    a->copy = NULL;
    a->m->adopting = NULL;
}

static int run_copy(struct adopting *a, const struct mf_copy_options *o, struct mf_error *err)
{
    struct mf_migration *m = a->m;
    a->snapshot = NULL; /* the copy's from here on */
    if (mf_copy_new(o, &a->copy, err) < 0) {
        return -1;
    }
    m->adopting = a;
    int jobs = m->config->copy.jobs > MF_MAX_WORKERS ? MF_MAX_WORKERS : (int)m->config->copy.jobs;
    for (int i = 0; i < jobs; i++) {
        if (mf_copy_worker_new(a->copy, &a->workers[i], err) < 0) {
            return -1;
        }
    }
    if (mf_crew_start(&a->crew, m, jobs, copy_worker, err) < 0) {
        return -1;
    }
    while (!mf_crew_finished(&a->crew)) {
        if (m->stop || mf_check_pipes(m, err) < 0) {
            return m->stop ? mf_fail(err, MF_RETRY, "MFSTOPPED", "the run is stopping") : -1;
        }
        mf_idle_beat(m);
        struct timespec t = {.tv_nsec = 2 * 1000 * 1000};
        nanosleep(&t, NULL);
    }
    if (a->crew.failed) {
        *err = a->crew.err;
        err->cls = strcmp(err->code, "MFSNAPSHOT") == 0 ? MF_RETRY : err->cls; /* again, in another */
        return -1;
    }
    return 0;
}

/* The ordinary copy, in the one snapshot. Its plan is in a state of its own that is forgotten: cut short, it is begun anew. */
static int load(struct adopting *a, struct mf_error *err)
{
    const struct mf_config *c = a->m->config;
    struct mf_map *map = NULL;
    struct mf_state *scratch = NULL;
    if (MF_FAULT(err, "adopt.load")) {
        return -1;
    }
    int rc = mf_map_new(&a->mine, &a->made, c->on_ddl, &map, err);
    rc = rc == 0 ? mf_state_open(NULL, &scratch, err) : rc;
    if (rc == 0) {
        struct mf_copy_options o = {.source = a->origin,
                                    .target = a->replica,
                                    .pipe = a->to->id,
                                    .state = scratch,
                                    .map = map,
                                    .tables = &a->mine,
                                    .chunk_rows = c->copy.chunk_rows,
                                    .chunk_bytes = c->copy.chunk_bytes,
                                    .max_load = 0, /* apply waits */
                                    .keep_rejected = c->quarantine.on_reject == MF_REJECT_KEEP,
                                    .max_quarantined = c->quarantine.max_rows,
                                    .snapshot = a->snapshot,
                                    .stamp = a->stamp};
        rc = run_copy(a, &o, err);
        close_copy(a);
    }
    mf_map_free(map);
    mf_state_close(scratch);
    return rc;
}

/* What a try that was cut short has loaded. */
static int empty(struct adopting *a, struct mf_error *err)
{
    const struct mf_target_ops *ops = a->replica->connector->target;
    for (size_t i = 0; i < a->made.n; i++) {
        if (ops->table_reset(a->replica, &a->to->id, &a->made.tables[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- record, reverse ---- */

static int record(struct adopting *a, struct mf_error *err)
{
    struct mf_state *s = a->m->state;
    const struct mf_catalog *source = a->back ? &a->made : &a->mine, *target = a->back ? &a->mine : &a->made;
    for (size_t i = 0; i < a->mine.n; i++) {
        char key[300];
        mf_exact_key(a->to->id.direction, a->mine.tables[i].schema, a->mine.tables[i].name, key, sizeof key);
        if (mf_state_set_position(s, key, &a->at, err) < 0 || mf_plan_put(a->m, &source->tables[i], "live", err) < 0) {
            return -1;
        }
    }
    if (mf_plan_note_target(a->m, target, err) < 0 ||
        mf_state_set_int(s, "schema_accepted_us", mf_wall_us(), err) < 0) {
        return -1;
    }
    return enter(a, RECORDED, err);
}

/* Where gates stand (after a cutover) the new tables get theirs; before, the cutover puts them up. */
static int gates(struct adopting *a, struct mf_error *err)
{
    const struct mf_config *c = a->m->config;
    struct mf_gate_options g = {.lock_ms = (int)c->cutover.lock_ms, .total_ms = (int)c->cutover.prepare_ms};
    if (mf_state_int(a->m->state, "cutovers", 0) == 0) {
        return 0;
    }
    if (a->replica->connector->traffic->gate_install(a->replica, &a->to->id, &a->made, &g, err) < 0) {
        return -1;
    }
    g.open = true;
    return a->origin->connector->traffic->gate_install(a->origin, &a->to->id, &a->mine, &g, err);
}

static int way_back(struct adopting *a, struct mf_error *err)
{
    struct mf_pipe_id id = mf_migration_pipe_id(a->m, a->back ? MF_FORWARD : MF_REVERSE);
    if (MF_FAULT(err, "adopt.reverse") ||
        a->replica->connector->source->stream_add_tables(a->replica, &id, &a->made, err) < 0 || gates(a, err) < 0 ||
        read_mine(a, err) < 0 || read_made(a, err) < 0 || accept(a, err) < 0) {
        return -1;
    }
    a->m->have_tables = false;
    return mf_open_tables(a->m, true, err);
}

/* ---- all ---- */

static int make_whole(struct adopting *a, struct mf_error *err)
{
    bool again = a->stage == LOADING;
    if ((!again && create(a, err) < 0) || stand_at_snapshot(a, err) < 0 || (again && empty(a, err) < 0) ||
        load(a, err) < 0 || MF_FAULT(err, "adopt.keys") || schema(a, MF_SCHEMA_KEYS, err) < 0 ||
        schema(a, MF_SCHEMA_AFTER_SYNC, err) < 0 || MF_FAULT(err, "adopt.record") || read_made(a, err) < 0 ||
        accept(a, err) < 0) {
        return -1;
    }
    return record(a, err);
}

static int adopt(struct adopting *a, struct mf_error *err)
{
    if (read_mine(a, err) < 0) {
        return -1;
    }
    if (a->mine.n > 0 && ((a->stage != RECORDED && make_whole(a, err) < 0) || read_made(a, err) < 0 ||
                          way_back(a, err) < 0 || MF_FAULT(err, "adopt.done"))) {
        return -1;
    }
    for (size_t i = 0; i < a->mine.n; i++) {
        char label[260];
        mf_table_label(&a->mine.tables[i], label, sizeof label);
        mf_log(MF_INFO, "schema", "table %s is migrated from here on", label);
        mf_emit(a->m, "table", json_pack("{s:s}", "adopted", label));
    }
    if (mf_journal_add(a->m->state, "adopt", "done", "new tables are in both streams", err) < 0) {
        return -1;
    }
    return mf_state_set_int(a->m->state, COUNT_KEY, 0, err);
}

int mf_adopt(struct mf_migration *m, const struct mf_table_list *tables, struct mf_error *err)
{
    if (!mf_adopt_begun(m) && (!tables || begin(m, tables, err) < 0)) {
        return tables ? -1 : 0;
    }
    bool back = mf_writes_on_target(m);
    struct adopting a = {.m = m,
                         .back = back,
                         .to = back ? m->reverse : m->forward,
                         .origin = back ? m->target : m->source,
                         .replica = back ? m->source : m->target,
                         .stage = (enum stage)mf_state_int(m->state, STAGE_KEY, CREATING)};
    int rc = adopt(&a, err);
    if (a.snapshot) {
        a.origin->connector->source->snapshot_close(a.snapshot);
    }
    mf_catalog_free(&a.now);
    mf_catalog_free(&a.there);
    free(a.mine.tables);
    free(a.made.tables);
    if (rc == 0) {
        mf_let_go(m, a.to); /* after a failure it stands: changes of the tables may come next */
    } else {
        mf_error_prefix(err, "taking new tables into the migration");
    }
    return rc;
}
