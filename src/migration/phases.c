/* The way from nothing to two equal databases, as a table of rows. Each action may be run again from its beginning after a stop at any
 * instant: what it makes, it makes only if it is not there. The step reached is in the state; where the data stands is in the target. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"

#define TELL_AFTER_US 2000000
#define TELL_EVERY_US 30000000

enum { NEEDS_NOTHING, NEEDS_FORWARD, NEEDS_BOTH };

struct phase_row {
    const char *step, *phase;
    enum mf_step (*act)(struct mf_migration *m, struct mf_error *err);
    int needs;
    bool standing; /* apply stands still during this step */
    const char *fault;
    const char *sentence;
    bool native; /* only in mode: native */
    bool back;   /* only where writes come back */
};

/* ---- prepare: bookkeeping in both databases, the slot, the plan of tables ---- */

static int known_table(void *ctx, const struct mf_table_state *t)
{
    (void)t;
    (*(size_t *)ctx)++;
    return 0;
}

/* The shapes of this moment are what the stream must keep to; a later start must not take new ones unseen. */
static int remember_tables(struct mf_migration *m, struct mf_error *err)
{
    size_t known = 0;
    if (mf_state_tables(m->state, known_table, &known, err) < 0 || known > 0) {
        return known > 0 ? 0 : -1;
    }
    return mf_plan_make(m, &m->source_tables, err);
}

static int same_servers_as_before(struct mf_migration *m, struct mf_error *err)
{
    struct {
        const char *key, *now, *what;
    } facts[] = {{"source.system", m->source_facts.system_id, "source"},
                 {"target.system", m->target_facts.system_id, "target"}};
    for (size_t i = 0; i < MF_ARRAY_LEN(facts); i++) {
        char before[64];
        bool found = false;
        if (mf_state_get(m->state, facts[i].key, before, sizeof before, &found, err) < 0) {
            return -1;
        }
        if (found && strcmp(before, facts[i].now) != 0) {
            mf_fail(err, MF_FATAL, "MFSYSTEM",
                    "the %s is another server than when this migration began (system %s, now %s)", facts[i].what,
                    before, facts[i].now);
            mf_hint(err, "Point the URL at the server the migration began with, or cancel and begin anew.");
            return -1;
        }
        if (!found && mf_state_set(m->state, facts[i].key, facts[i].now, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Makes the stream of one direction if it is missing. A stream that was made before and is gone must not be made again: what was
 * committed in between would be lost without a word. */
static int prepare_stream(struct mf_migration *m, enum mf_direction d, struct mf_error *err)
{
    struct mf_pipe_id id = mf_migration_pipe_id(m, d);
    struct mf_db *db = d == MF_FORWARD ? m->source : m->target;
    const char *key = d == MF_FORWARD ? "start.forward" : "start.reverse";
    struct mf_position start = {0}, known = {0};
    bool found = false;
    if (mf_state_position(m->state, key, &known, &found, err) < 0) {
        return -1;
    }
    if (found) {
        return 0;
    }
    int64_t clock = 0;
    const struct mf_catalog *tables = d == MF_FORWARD ? &m->source_tables : &m->target_tables;
    if (db->connector->source->clock(db, &clock, NULL, err) < 0 ||
        mf_state_set_int(m->state, mf_stamp_key(d), mf_stamp_believed(clock, mf_wall_us()), err) < 0 ||
        db->connector->source->stream_prepare(db, &id, tables, &start, err) < 0) {
        mf_error_prefix(err, "preparing the %s stream", d == MF_FORWARD ? "forward" : "reverse");
        return -1;
    }
    return mf_state_set_position(m->state, key, &start, err);
}

static int prepare_work(struct mf_migration *m, struct mf_error *err)
{
    struct mf_pipe_id forward = mf_migration_pipe_id(m, MF_FORWARD);
    struct mf_position begun = {0};
    bool found = false;
    if (same_servers_as_before(m, err) < 0 || mf_state_position(m->state, "start.forward", &begun, &found, err) < 0 ||
        (!found && mf_ready_to_begin(m, err) < 0) || mf_open_tables(m, false, err) < 0) {
        return -1;
    }
    if (m->source_tables.n == 0) {
        mf_fail(err, MF_USAGE, "MFEMPTY", "no table of the source is included");
        mf_hint(err, "See tables.include and tables.exclude; midflight plan lists what is found.");
        return -1;
    }
    if (m->source->connector->target->prepare(m->source, &forward, err) < 0 ||
        m->target->connector->target->prepare(m->target, &forward, err) < 0) {
        mf_error_prefix(err, "making the schema midflight");
        return -1;
    }
    if (mf_own_claim(m, err) < 0 || remember_tables(m, err) < 0) {
        return -1;
    }
    return prepare_stream(m, MF_FORWARD, err);
}

/* A slot is not made before every transaction open at that moment has ended: whoever looks at the log should see whom it waits for. */
static void tell_waiting(struct mf_migration *m)
{
    char whom[700] = "";
    struct mf_error e = {0};
    int64_t now = mf_now_us();
    m->waited_since_us = m->waited_since_us ? m->waited_since_us : now + TELL_AFTER_US;
    if (now < m->waited_since_us) {
        return;
    }
    m->waited_since_us = now + TELL_EVERY_US;
    if (m->source->connector->source->waits_for(m->source, whom, sizeof whom, &e) == 0 && whom[0]) {
        mf_log(MF_WARN, "prepare",
               "the change stream of the source begins when what is open there has ended; waiting for %s", whom);
    }
}

static enum mf_step do_prepare(struct mf_migration *m, struct mf_error *err)
{
    enum mf_step step = mf_job_step(m, prepare_work, err);
    if (step == MF_STEP_IDLE) {
        tell_waiting(m);
    } else {
        m->waited_since_us = 0;
    }
    return step;
}

/* ---- schema, keys, indexes ---- */

static int schema_stage(struct mf_migration *m, enum mf_schema_stage stage, struct mf_error *err)
{
    struct mf_findings *found = mf_findings_new();
    struct mf_schema_job job = {.stage = stage,
                                .tables = &m->source_tables,
                                .filter = &m->filter,
                                .jobs = (int)m->config->copy.jobs,
                                .accounts = m->config->accounts == MF_ACCOUNTS_COPY};
    int rc = m->target->connector->target->schema_apply(m->target, m->source, &job, found, err);
    for (size_t i = 0; i < mf_findings_count(found); i++) {
        const struct mf_finding *f = mf_findings_at(found, i);
        mf_log(f->severity == MF_NOTE ? MF_INFO : MF_WARN, "schema", "%s: %s%s%s", f->object, f->reason,
               f->remedy && *f->remedy ? "; remedy: " : "", f->remedy ? f->remedy : "");
    }
    mf_findings_free(found);
    return rc;
}

static int schema_work(struct mf_migration *m, struct mf_error *err)
{
    return mf_open_tables(m, false, err) < 0 ? -1 : schema_stage(m, MF_SCHEMA_BEFORE_ROWS, err);
}

static enum mf_step do_schema(struct mf_migration *m, struct mf_error *err)
{
    return mf_job_step(m, schema_work, err);
}

static int keys_work(struct mf_migration *m, struct mf_error *err)
{
    return schema_stage(m, MF_SCHEMA_KEYS, err);
}

static enum mf_step do_keys(struct mf_migration *m, struct mf_error *err)
{
    return mf_job_step(m, keys_work, err);
}

static int indexes_work(struct mf_migration *m, struct mf_error *err)
{
    return schema_stage(m, MF_SCHEMA_AFTER_SYNC, err);
}

/* True when apply stands at the end of a source transaction. What it applied while the barrier was being set moves the barrier on. */
static bool stand_still(struct mf_migration *m)
{
    struct mf_apply *apply = m->forward->apply;
    struct mf_position at;
    mf_apply_position(apply, &at);
    if (at.order > m->barrier.order) {
        m->barrier = at;
        mf_apply_set_barrier(apply, &at);
        m->next_beat_us = 0; /* an idle stream has to be seen past the barrier: give it something */
    }
    return mf_apply_at_barrier(apply);
}

/* Indexes, constraints and triggers are built while apply stands still at the end of a source transaction, after the consistency
 * point: every state a unique index or a foreign key sees is one the source had. */
static enum mf_step do_indexes(struct mf_migration *m, struct mf_error *err)
{
    if (!m->job.running && !stand_still(m)) {
        return MF_STEP_IDLE;
    }
    enum mf_step step = mf_job_step(m, indexes_work, err);
    if (step != MF_STEP_IDLE) {
        m->barrier = (struct mf_position){0};
        mf_apply_set_barrier(m->forward->apply, &m->barrier);
    }
    return step;
}

/* ---- copy ---- */

static enum mf_step copy_worker(struct mf_migration *m, int worker, struct mf_error *err)
{
    return mf_copy_step(m->copiers[worker], err);
}

static void close_copy(struct mf_migration *m)
{
    mf_crew_stop(&m->copy_crew);
    for (int i = 0; i < MF_MAX_WORKERS; i++) {
        mf_copy_worker_free(m->copiers[i]);
        m->copiers[i] = NULL;
    }
    pthread_mutex_lock(&m->lock);
    mf_copy_free(m->copy);
    m->copy = NULL;
    pthread_mutex_unlock(&m->lock);
}

static int open_copy(struct mf_migration *m, struct mf_error *err)
{
    const struct mf_config *c = m->config;
    struct mf_copy_options o = {.source = m->source,
                                .target = m->target,
                                .pipe = mf_migration_pipe_id(m, MF_FORWARD),
                                .state = m->state,
                                .map = m->forward_map,
                                .tables = &m->source_tables,
                                .chunk_rows = c->copy.chunk_rows,
                                .chunk_bytes = c->copy.chunk_bytes,
                                .jobs = (int)c->copy.jobs,
                                .max_load = c->copy.max_load,
                                .keep_rejected = c->quarantine.on_reject == MF_REJECT_KEEP,
                                .max_quarantined = c->quarantine.max_rows,
                                .stamp = mf_state_int(m->state, mf_stamp_key(MF_FORWARD), 0)};
    struct mf_copy *copy = NULL;
    if (mf_copy_new(&o, &copy, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&m->lock);
    m->copy = copy;
    pthread_mutex_unlock(&m->lock);
    int jobs = c->copy.jobs > MF_MAX_WORKERS ? MF_MAX_WORKERS : (int)c->copy.jobs;
    for (int i = 0; i < jobs; i++) {
        if (mf_copy_worker_new(copy, &m->copiers[i], err) < 0) {
            return -1;
        }
    }
    return mf_crew_start(&m->copy_crew, m, jobs, copy_worker, err);
}

static enum mf_step do_copy(struct mf_migration *m, struct mf_error *err)
{
    if (!m->copy && open_copy(m, err) < 0) {
        close_copy(m);
        return MF_STEP_FAILED;
    }
    if (!mf_crew_finished(&m->copy_crew)) {
        return MF_STEP_IDLE;
    }
    bool failed = m->copy_crew.failed;
    if (failed) {
        *err = m->copy_crew.err;
    } else {
        struct mf_copy_stats s;
        mf_copy_stats(m->copy, &s);
        mf_log(MF_INFO, "copy", "copied %" PRId64 " rows of %d tables", s.rows_done, s.tables);
        mf_state_set_int(m->state, "copied.rows", s.rows_done, NULL);
        mf_state_set_int(m->state, "copied.bytes", s.bytes_done, NULL);
    }
    close_copy(m);
    return failed ? MF_STEP_FAILED : MF_STEP_MORE;
}

/* ---- catching up and turning round ---- */

static enum mf_step do_catch_up(struct mf_migration *m, struct mf_error *err)
{
    struct mf_apply *apply = m->forward->apply;
    char raised[8];
    bool found = false;
    if (mf_state_get(m->state, "raised", raised, sizeof raised, &found, err) < 0) {
        return MF_STEP_FAILED;
    }
    if (!found) {
        /* Not before any commit a chunk may have shown: now is late enough for all of them. */
        struct mf_position now;
        if (m->source->connector->source->position(m->source, &now, err) < 0 ||
            mf_apply_raise_consistency(apply, &now, err) < 0 || mf_state_set(m->state, "raised", "1", err) < 0) {
            return MF_STEP_FAILED;
        }
    }
    struct mf_position none = {0};
    mf_apply_set_lenient(apply, true); /* until it is known that nothing is to be mended */
    mf_apply_set_barrier(apply, &none);
    if (mf_apply_consistent(apply)) {
        return MF_STEP_MORE;
    }
    mf_apply_want_checkpoint(apply);
    return MF_STEP_IDLE;
}

static int reverse_work(struct mf_migration *m, struct mf_error *err)
{
    if (mf_open_tables(m, true, err) < 0 || mf_plan_note_target(m, &m->target_tables, err) < 0) {
        return -1;
    }
    return mf_way_back(m) == MF_BACK_BY_STREAM ? prepare_stream(m, MF_REVERSE, err) : 0;
}

static enum mf_step do_reverse(struct mf_migration *m, struct mf_error *err)
{
    return mf_job_step(m, reverse_work, err);
}

static enum mf_step do_synced(struct mf_migration *m, struct mf_error *err)
{
    (void)m, (void)err;
    return MF_STEP_DONE;
}

static const struct phase_row rows[] = {
    {"prepare", "planned", do_prepare, NEEDS_NOTHING, false, "phase.prepare",
     "bookkeeping and change stream on the source"},
    {"schema", "copying", do_schema, NEEDS_NOTHING, false, "phase.schema", "types, tables and functions on the target"},
    {"copy", "copying", do_copy, NEEDS_FORWARD, true, "phase.copy", "rows, while the stream is spooled"},
    {"keys", "copying", do_keys, NEEDS_FORWARD, true, "phase.keys", "primary keys and replica identities"},
    {"catch_up", "catching_up", do_catch_up, NEEDS_FORWARD, true, "phase.catch_up", "replay to the consistency point"},
    {"mend", "catching_up", mf_do_mend, NEEDS_FORWARD, true, "phase.mend",
     "rows that the source's server changed by itself while they were copied"},
    {"indexes", "catching_up", do_indexes, NEEDS_FORWARD, false, "phase.indexes",
     "indexes, constraints, foreign keys, triggers"},
    {"replicate", "catching_up", mf_native_begin, NEEDS_FORWARD, false, "phase.replicate",
     "the servers' own replication takes over from the stream", .native = true},
    {"reverse", "catching_up", do_reverse, NEEDS_FORWARD, false, "phase.reverse", "the way back, kept ready",
     .back = true},
    {"synced", "synced", do_synced, NEEDS_BOTH, false, "phase.synced", "both sides equal, the stream is live"},
    {"completed", "completed", do_synced, NEEDS_NOTHING, false, "phase.completed",
     "ended; nothing of midflight is left"},
    {"cancelled", "cancelled", do_synced, NEEDS_NOTHING, false, "phase.cancelled",
     "given up; nothing of midflight is left"},
};

static const struct phase_row *row_of(const char *step)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].step, step) == 0) {
            return &rows[i];
        }
    }
    return &rows[0];
}

const char *mf_phase_of(struct mf_migration *m)
{
    const struct phase_row *r = row_of(m->step);
    if (strcmp(r->step, "synced") != 0 || mf_state_int(m->state, "cutovers", 0) == 0) {
        return r->phase;
    }
    return mf_writes_on_target(m) ? "cut_over" : "rolled_back";
}

bool mf_phase_steady(struct mf_migration *m)
{
    return row_of(m->step)->act == do_synced;
}

bool mf_phase_past_native(struct mf_migration *m)
{
    const struct phase_row *r = row_of(m->step), *end = row_of("completed");
    bool past = false;
    for (const struct phase_row *i = rows; i <= r && r < end; i++) {
        past = past || i[0].native;
    }
    return past && !r->native;
}

int mf_phase_enter(struct mf_migration *m, const char *step, struct mf_error *err)
{
    const struct phase_row *r = row_of(step);
    if (mf_journal_add(m->state, "migration", r->step, r->sentence, err) < 0 ||
        mf_state_set(m->state, "step", r->step, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&m->lock);
    snprintf(m->step, sizeof m->step, "%s", r->step);
    pthread_mutex_unlock(&m->lock);
    mf_log(MF_INFO, "migration", "%s: %s", r->step, r->sentence);
    mf_emit(m, "phase", json_pack("{s:s, s:s}", "step", r->step, "phase", mf_phase_of(m)));
    return MF_FAULT(err, r->fault)
    < 0 ? -1 : 0;
}

int mf_phase_load(struct mf_migration *m, struct mf_error *err)
{
    bool found = false;
    if (mf_state_get(m->state, "step", m->step, sizeof m->step, &found, err) < 0) {
        return -1;
    }
    if (!found) {
        return mf_phase_enter(m, rows[0].step, err);
    }
    return 0;
}

/* Opens what a row needs. Each piece is done once: after an error the next step goes on with the piece that failed. */
static int ensure(struct mf_migration *m, const struct phase_row *row, struct mf_error *err)
{
    if (mf_native_settle(m, err) < 0) {
        return -1;
    }
    if (row->act == mf_native_begin && mf_native_at(m->state) == MF_NATIVE_ATTACHING) {
        return 0; /* the pipe is closed */
    }
    if (row->needs >= NEEDS_FORWARD && !m->forward_runs) {
        if (!m->forward && (mf_open_tables(m, true, err) < 0 || mf_open_forward(m, err) < 0)) {
            return -1;
        }
        if (row->standing) {
            /* before the keys are there nothing can be replayed: the stream is only spooled */
            struct mf_position before_all = {.order = 1};
            mf_apply_set_barrier(m->forward->apply, &before_all);
        }
        if (mf_pipe_start(m->forward, err) < 0) {
            return -1;
        }
        m->forward_runs = true;
    }
    bool turns = mf_turns_round(m);
    if (row->needs < NEEDS_BOTH || ((m->reverse_runs || !turns) && m->writers_known)) {
        return 0;
    }
    if ((turns && mf_open_reverse(m, err) < 0) ||
        (!m->writers_known && (MF_FAULT(err, "migration.writers") || mf_resume_writers(m, err) < 0)) ||
        mf_native_settle(m, err) < 0) {
        return -1;
    }
    if (!m->forward) {
        return 0; /* a cutover was finished: the next step opens the stream */
    }
    m->writers_known = true;
    if (turns && mf_pipe_start(m->reverse, err) < 0) {
        return -1;
    }
    m->reverse_runs = turns;
    if (mf_state_set_int(m->state, "one_way", !turns, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&m->lock);
    m->open = true;
    pthread_mutex_unlock(&m->lock);
    m->answered_us[MF_SOURCE] = m->answered_us[MF_TARGET] = mf_now_us(); /* both have just been asked who may write */
    m->reads_look_us = m->reads_proof_us = 0;
    mf_flags_refresh(m);
    return 0;
}

enum mf_step mf_phase_step(struct mf_migration *m, struct mf_error *err)
{
    const struct phase_row *row = row_of(m->step);
    if (ensure(m, row, err) < 0) {
        return MF_STEP_FAILED;
    }
    enum mf_step step = row->act(m, err);
    const struct phase_row *next = row + 1;
    while (step == MF_STEP_MORE &&
           ((next->native && m->config->mode != MF_MODE_NATIVE) || (next->back && !mf_turns_round(m)))) {
        next++;
    }
    return step == MF_STEP_MORE && mf_phase_enter(m, next->step, err) < 0 ? MF_STEP_FAILED : step;
}
