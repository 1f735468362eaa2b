/* A verification asked for, or due: begun, watched and told of, on the control thread. What it does is src/verify. */
#include "migration/internal.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

static enum mf_step verify_worker(struct mf_migration *m, int worker, struct mf_error *err)
{
    return mf_verify_step(m->verify, worker, err);
}

static int difference_json(void *ctx, const char *table, const char *key, const char *kind, const char *where)
{
    return json_array_append_new(
        ctx, json_pack("{s:s, s:s?, s:s, s:s?}", "table", table, "key", key, "kind", kind, "where", where));
}

struct counting {
    json_t *list;
    bool back; /* the origin is the target */
};

static int part_json(void *ctx, const struct mf_table *shown, const char *table, int64_t origin, int64_t replica)
{
    struct counting *g = ctx;
    char collection[300];
    return json_array_append_new(g->list, json_pack("{s:s, s:s, s:I, s:I}", "collection",
                                                    mf_table_label(shown, collection, sizeof collection), "table",
                                                    table, "source", (json_int_t)(g->back ? replica : origin), "target",
                                                    (json_int_t)(g->back ? origin : replica)));
}

static json_t *parts_json(struct mf_migration *m)
{
    struct counting g = {.list = json_array(), .back = mf_writes_on_target(m)};
    (void)mf_verify_parts(m->verify, part_json, &g); /* fails as json does: without memory */
    return g.list;
}

/* While the verification is there. */
static json_t *verify_reply(struct mf_migration *m, const struct mf_verify_stats *s)
{
    struct mf_verify_summary last = {0};
    bool found = false;
    json_t *differences = json_array();
    if (mf_state_verify_last(m->state, &last, &found, NULL) == 0 && found) {
        mf_state_verify_differences(m->state, last.run, difference_json, differences, NULL);
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:b, s:o, s:o}", "rows_compared",
                     (json_int_t)s->rows_compared, "rows_differing", (json_int_t)s->rows_differing, "rows_repaired",
                     (json_int_t)s->rows_repaired, "rows_quarantined", (json_int_t)s->rows_quarantined,
                     "rows_quarantined_equal", (json_int_t)s->rows_quarantined_equal, "tables_equal",
                     (int)s->tables_equal, "tables_differing", (int)s->tables_differing, "finished", s->finished,
                     "differences", differences, "rows_of_documents", parts_json(m));
}

/* One that began before the last move of writes or change of the schema, or longer ago than counts for a cutover, is begun again. */
static int64_t oldest_to_resume(struct mf_migration *m)
{
    int64_t moved = mf_journal_time(m->state, "cutover", "done"), within = m->config->cutover.verified_within_ms * 1000;
    int64_t recent = within > 0 ? mf_wall_us() - within : 0, changed = mf_state_int(m->state, "schema_accepted_us", 0);
    moved = changed > moved ? changed : moved;
    return recent > moved ? recent : moved;
}

static int open_verify(struct mf_migration *m, const struct mf_request *r, struct mf_error *err)
{
    bool back = mf_writes_on_target(m);
    struct mf_verify_options o = {.pipe = mf_live_pipe(m),
                                  .state = m->state,
                                  .map = back ? m->reverse_map : m->forward_map,
                                  .tables = back ? &m->target_tables : &m->source_tables,
                                  .table = r->table,
                                  .sample = r->sample > 0 ? r->sample : 1,
                                  .repair = r->repair,
                                  .snapshot_ms = m->config->verify.snapshot_ms,
                                  .chunk_rows = 50000,
                                  .dir = m->config->state_dir,
                                  .memory = (uint64_t)m->config->verify.memory_bytes,
                                  .disk = (uint64_t)m->config->verify.disk_bytes,
                                  .jobs = (int)m->config->verify.jobs,
                                  .not_before_us = oldest_to_resume(m),
                                  .writers_held = mf_live_pipe(m)->by_pass};
    struct mf_verify *v = NULL;
    if (mf_verify_new(&o, &v, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&m->lock);
    m->verify = v;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static void close_verify(struct mf_migration *m)
{
    pthread_mutex_lock(&m->lock);
    mf_verify_free(m->verify);
    m->verify = NULL;
    pthread_mutex_unlock(&m->lock);
}

/* Waits for the workers; a stop, or a request that cannot wait, ends them early with their progress kept. */
static int watch_verify(struct mf_migration *m, bool scheduled, struct mf_error *err)
{
    while (!mf_crew_finished(&m->verify_crew)) {
        if (m->stop || mf_must_give_way(m, scheduled)) {
            mf_verify_stop(m->verify);
        }
        if (mf_own_keep(m, err) < 0 || mf_check_pipes(m, err) < 0 || mf_watch_step(m, true, err) < 0) {
            mf_verify_stop(m->verify);
            mf_crew_stop(&m->verify_crew);
            return -1;
        }
        mf_idle_beat(m);
        struct timespec t = {.tv_nsec = 5 * 1000 * 1000};
        nanosleep(&t, NULL);
    }
    if (m->verify_crew.failed) {
        *err = m->verify_crew.err;
        return -1;
    }
    return 0;
}

/* The target takes writes and has no snapshots: while it does, every comparison finds what is not back yet. */
static int may_compare_back(struct mf_migration *m, bool scheduled, struct mf_error *err)
{
    if (mf_frozen(m)) {
        return mf_passes_settle(m, scheduled, err);
    }
    mf_fail(err, MF_ABANDONED, "MFMOVING",
            "the target takes writes and tells nobody of them: what is on it and not on the source yet cannot be told "
            "from what is wrong");
    mf_hint(err, "Each pass compares all rows and carries over what differs (midflight status). For a proof: midflight "
                 "freeze, midflight verify, midflight thaw.");
    return -1;
}

/* What is proven is of the target's tables as they are now. Once they take the writes they are to be those that were filled. */
static int look_at_target(struct mf_migration *m, const struct mf_request *r, struct mf_error *err)
{
    bool all = !r->table && (r->sample <= 0 || r->sample >= 1);
    if (mf_writes_on_target(m)) {
        return mf_target_same(m, err);
    }
    return all ? mf_target_note(m, err) : 0;
}

int mf_do_verify(struct mf_migration *m, const struct mf_request *r, bool scheduled, json_t **reply,
                 struct mf_error *err)
{
    if (strcmp(m->step, "synced") != 0 && strcmp(m->step, "mend") != 0) {
        mf_fail(err, MF_ABANDONED, "MFPHASE", "there is nothing to compare yet: the migration is %s", mf_phase_of(m));
        mf_hint(err, "Verify when midflight status says synced.");
        return -1;
    }
    if (!mf_live_pipe(m)) {
        return mf_fail(err, MF_ABANDONED, "MFONEWAY",
                       "writes are on the target and do not come back: the source does not follow it, and there is "
                       "nothing to compare");
    }
    if (mf_live_pipe(m)->by_pass && may_compare_back(m, scheduled, err) < 0) {
        return -1;
    }
    if (mf_watch_now(m, err) < 0 || look_at_target(m, r, err) < 0 || open_verify(m, r, err) < 0) {
        return -1;
    }
    int jobs = (int)(m->config->verify.jobs < MF_MAX_WORKERS ? m->config->verify.jobs : MF_MAX_WORKERS);
    int rc = mf_crew_start(&m->verify_crew, m, jobs, verify_worker, err);
    if (rc == 0) {
        rc = watch_verify(m, scheduled, err);
    }
    struct mf_verify_stats s = {0};
    mf_verify_stats(m->verify, &s);
    json_t *found = rc == 0 && s.finished ? verify_reply(m, &s) : NULL;
    close_verify(m);
    if (rc < 0) {
        return -1;
    }
    if (!found) {
        mf_fail(err, MF_ABANDONED, "MFSTOPPED",
                "the verification was interrupted; the next one goes on from where it stood");
        return -1;
    }
    mf_log(s.rows_differing ? MF_WARN : MF_INFO, "verify",
           "%" PRId64 " rows compared, %" PRId64 " differ, %" PRId64 " repaired", s.rows_compared, s.rows_differing,
           s.rows_repaired);
    *reply = found;
    mf_emit(m, "verify", json_deep_copy(*reply));
    return 0;
}

void mf_scheduled_verify(struct mf_migration *m, int64_t now)
{
    int64_t every = m->config->verify.every_ms * 1000;
    if (every == 0 || strcmp(m->step, "synced") != 0 || !mf_live_pipe(m)) {
        return;
    }
    if (m->verify_due_us == 0) {
        m->verify_due_us = now + every;
    }
    if (now < m->verify_due_us) {
        return;
    }
    struct mf_request r = {.kind = MF_REQ_VERIFY};
    json_t *reply = NULL;
    struct mf_error err = {0};
    m->verify_due_us = now + every;
    if (mf_do_verify(m, &r, true, &reply, &err) < 0 && err.cls != MF_ABANDONED) {
        mf_log_error("verify", &err);
        mf_set_error(m, &err);
    }
    json_decref(reply);
}
