/* The migration object and its control loop. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

static int open_side(struct mf_migration *m, enum mf_side side, bool to_end, struct mf_error *err)
{
    const char *dir = m->config->state_dir;
    int rc = side == MF_SOURCE
                 ? mf_end_open(m->config, side, to_end, dir, NULL, &m->source, &m->source_facts, err)
                 : mf_end_open(m->config, side, to_end, dir, m->source, &m->target, &m->target_facts, err);
    if (rc < 0) {
        mf_error_prefix(err, "the %s", side == MF_SOURCE ? "source" : "target");
    }
    return rc;
}

static int different_databases(const struct mf_migration *m, struct mf_error *err)
{
    if (strcmp(m->source_facts.system_id, m->target_facts.system_id) != 0 ||
        strcmp(m->source_facts.database, m->target_facts.database) != 0) {
        return 0;
    }
    mf_fail(err, MF_USAGE, "MFSAME", "source and target are the same database (%s)", m->source_facts.database);
    mf_hint(err, "Check the two URLs: a migration into itself would destroy what it copies.");
    return -1;
}

static int can_dual(const struct mf_config *c, struct mf_error *err)
{
    const struct mf_connector *source = mf_connector_for_url(c->source, err);
    if (!source || c->dual_writes != MF_DUAL_WRITES_ON || source->commits_can_wait) {
        return source ? 0 : -1;
    }
    mf_fail(err, MF_USAGE, "MFUNSUP", "dual_writes: a %s source cannot let its commits wait for the target",
            source->name);
    mf_hint(err, "Take dual_writes out of the configuration.");
    return -1;
}

int mf_migration_open(const struct mf_config *config, struct mf_migration **ret, struct mf_error *err)
{
    if (can_dual(config, err) < 0) {
        return -1;
    }
    if (mf_migration_open_as(config, NULL, ret, err) < 0) {
        return -1;
    }
    (*ret)->control_alive = true; /* what is asked before the first step waits for it */
    return 0;
}

/* What has ended is known from the state: nothing is asked of the databases, which would have our books again. */
static int own(struct mf_migration *m, bool force, struct mf_error *err)
{
    bool found = false;
    if (mf_state_get(m->state, "step", m->step, sizeof m->step, &found, err) < 0) {
        return -1;
    }
    return mf_has_ended(m) ? 0 : mf_own_begin(m, force, err);
}

int mf_migration_open_as(const struct mf_config *config, const struct mf_request *r, struct mf_migration **ret,
                         struct mf_error *err)
{
    enum mf_request_kind end;
    bool face;
    struct mf_migration *m = mf_xcalloc(1, sizeof *m);
    m->config = config;
    pthread_mutex_init(&m->lock, NULL);
    mf_flags_init(&m->flags);
    pthread_mutex_init(&m->request_lock, NULL);
    pthread_cond_init(&m->request_changed, NULL);
    m->filter = (struct mf_filter){(const char *const *)config->include.items, config->include.n,
                                   (const char *const *)config->exclude.items, config->exclude.n};
    if (mf_connector_pair(config->source, config->target, &face, err) < 0 ||
        mf_state_open(config->state_dir, &m->state, err) < 0 || mf_state_lock(m->state, err) < 0 ||
        mf_end_begun(m, &end, err) < 0 || open_side(m, MF_SOURCE, r || m->ending, err) < 0 ||
        open_side(m, MF_TARGET, r || m->ending, err) < 0 || different_databases(m, err) < 0 ||
        own(m, r && r->force, err) < 0 || mf_state_set(m->state, "migration", config->migration, err) < 0 ||
        mf_phase_load(m, err) < 0) {
        mf_migration_free(m);
        return -1;
    }
    mf_flags_refresh(m);
    *ret = m;
    return 0;
}

void mf_stop_streams(struct mf_migration *m)
{
    mf_dual_end(m);
    mf_passes_stop(m);
    m->copy_crew.stop = m->verify_crew.stop = true;
    mf_crew_stop(&m->copy_crew);
    mf_crew_stop(&m->verify_crew);
    mf_job_wait(m);
    for (int i = 0; i < MF_MAX_WORKERS; i++) {
        mf_copy_worker_free(m->copiers[i]);
        m->copiers[i] = NULL;
    }
    pthread_mutex_lock(&m->lock);
    mf_copy_free(m->copy);
    mf_verify_free(m->verify);
    struct mf_pipe *forward = m->forward, *reverse = m->reverse;
    m->copy = NULL;
    m->verify = NULL;
    m->forward = m->reverse = NULL;
    m->forward_runs = m->reverse_runs = m->writers_known = m->open = false;
    pthread_mutex_unlock(&m->lock);
    if (m->state) {
        mf_flags_refresh(m);
    }
    if (forward) {
        mf_pipe_stop(forward);
        mf_dual_tell(m, mf_capture_dual(forward->capture));
    }
    mf_pipe_close(forward);
    mf_pipe_close(reverse);
}

void mf_migration_free(struct mf_migration *m)
{
    if (!m) {
        return;
    }
    mf_stop_streams(m);
    mf_own_end(m); /* after everything that works under it */
    mf_map_free(m->forward_map);
    mf_map_free(m->reverse_map);
    mf_catalog_free(&m->source_tables);
    mf_catalog_free(&m->target_tables);
    if (m->source) {
        m->source->connector->close(m->source);
    }
    if (m->target) {
        m->target->connector->close(m->target);
    }
    json_decref(m->unmigrated);
    mf_state_close(m->state);
    pthread_cond_destroy(&m->request_changed);
    pthread_mutex_destroy(&m->request_lock);
    mf_flags_destroy(&m->flags);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void mf_migration_stop(struct mf_migration *m)
{
    m->stop = true;
    mf_dual_end(m); /* what is to end may wait for a commit */
}

void mf_migration_on_event(struct mf_migration *m, mf_event_sink *sink, void *ctx)
{
    m->sink = sink;
    m->sink_ctx = ctx;
}

void mf_emit(struct mf_migration *m, const char *event, json_t *facts)
{
    if (m->sink) {
        m->sink(m->sink_ctx, event, facts);
    }
    json_decref(facts);
}

void mf_set_error(struct mf_migration *m, const struct mf_error *err)
{
    pthread_mutex_lock(&m->lock);
    m->last_error = *err;
    pthread_mutex_unlock(&m->lock);
    mf_state_set(m->state, "last_error", err->text, NULL);
    if (err->text[0]) {
        mf_emit(m, "error", json_pack("{s:s, s:s, s:s}", "code", err->code, "text", err->text, "hint", err->hint));
    }
}

/* ---- the loop ---- */

static bool reached(struct mf_migration *m)
{
    if (mf_has_ended(m)) {
        return true;
    }
    if (m->until == MF_UNTIL_SYNCED) {
        return mf_phase_steady(m);
    }
    return m->until == MF_UNTIL_COPIED && strcmp(m->step, "prepare") != 0 && strcmp(m->step, "schema") != 0 &&
           strcmp(m->step, "copy") != 0;
}

/* A lost connection in a step is tried again for retry_ms in all; anything else ends the run. */
static int step_failed(struct mf_migration *m, struct mf_error *err)
{
    int64_t now = mf_now_us();
    if (err->cls != MF_RETRY) {
        return -1;
    }
    m->retry_since_us = m->retry_since_us ? m->retry_since_us : now;
    if (now - m->retry_since_us > m->config->retry_ms * 1000) {
        mf_error_prefix(err, "tried for %" PRId64 " s", m->config->retry_ms / 1000);
        return -1;
    }
    mf_log_error_at(MF_WARN, "migration", err);
    mf_set_error(m, err);
    for (int i = 0; i < 50 && !m->stop; i++) {
        struct timespec t = {.tv_nsec = 20 * 1000 * 1000};
        nanosleep(&t, NULL);
    }
    return 0;
}

static void wait_a_little(struct mf_migration *m)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20 * 1000 * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&m->request_lock);
    if (!m->pending) {
        pthread_cond_timedwait(&m->request_changed, &m->request_lock, &until);
    }
    pthread_mutex_unlock(&m->request_lock);
}

static int loop(struct mf_migration *m, struct mf_error *err)
{
    while (!m->stop && !reached(m)) {
        mf_serve_request(m);
        if (m->stop || reached(m)) {
            break;
        }
        enum mf_step step = m->ending ? mf_end_step(m, err) : mf_phase_step(m, err);
        if (step == MF_STEP_FAILED) {
            mf_refuse_request(m, err);
            if (step_failed(m, err) < 0) {
                return -1;
            }
            continue;
        }
        if (mf_own_keep(m, err) < 0 || mf_check_pipes(m, err) < 0) {
            return -1;
        }
        if (mf_watch_step(m, false, err) < 0) {
            if (step_failed(m, err) < 0) {
                return -1;
            }
            continue;
        }
        if ((step == MF_STEP_MORE || step == MF_STEP_DONE) && m->retry_since_us) {
            mf_log(MF_INFO, "migration", "works again, after %" PRId64 " s",
                   (mf_now_us() - m->retry_since_us) / MF_US_PER_SEC);
            m->retry_since_us = 0;
            mf_set_error(m, &(struct mf_error){0});
        }
        mf_idle_beat(m);
        if (step != MF_STEP_MORE) {
            wait_a_little(m);
        }
    }
    return 0;
}

static void refuse_waiting(struct mf_migration *m)
{
    pthread_mutex_lock(&m->request_lock);
    m->control_alive = false;
    if (m->pending) {
        mf_fail(&m->pending->err, MF_FATAL, "MFSTOPPED", "the run ended before this was done");
        m->pending->rc = -1;
        m->pending->done = true;
        m->pending = NULL;
    }
    pthread_cond_broadcast(&m->request_changed);
    pthread_mutex_unlock(&m->request_lock);
}

int mf_migration_run(struct mf_migration *m, enum mf_until until, struct mf_error *err)
{
    m->until = until;
    if (strcmp(m->step, "cancelled") == 0) {
        mf_fail(err, MF_FATAL, "MFENDED", "this migration was cancelled: there is nothing to go on with");
        mf_hint(err, "To begin again, remove the state directory %s or name another one with --state.",
                m->config->state_dir);
        refuse_waiting(m);
        return -1;
    }
    mf_state_set(m->state, "last_error", "", NULL);
    mf_state_set(m->state, "failed", "0", NULL); /* of the run before: this one is alive */
    int rc = loop(m, err);
    if (rc < 0) {
        mf_set_error(m, err);
        mf_state_set(m->state, "failed", "1", NULL);
    }
    refuse_waiting(m);
    mf_stop_streams(m);
    return rc;
}

/* Moving traffic comes before comparing rows. */
static bool cannot_wait(const struct mf_request *r)
{
    return r->kind == MF_REQ_CUTOVER || r->kind == MF_REQ_ROLLBACK || r->kind == MF_REQ_FREEZE ||
           r->kind == MF_REQ_THAW || r->kind == MF_REQ_CANCEL;
}

static bool gives_way(const struct mf_request *r)
{
    return r->kind == MF_REQ_VERIFY || r->kind == MF_REQ_QUARANTINE_RETRY;
}

static int queue_and_wait(struct mf_migration *m, const struct mf_request *r, json_t **ret_reply, struct mf_error *err)
{
    struct mf_pending p = {.request = r};
    pthread_mutex_lock(&m->request_lock);
    while (m->control_alive && m->pending && gives_way(m->pending->request) && cannot_wait(r)) {
        m->preempt = true;
        pthread_cond_wait(&m->request_changed, &m->request_lock);
    }
    if (!m->control_alive || m->pending) {
        bool busy = m->control_alive;
        pthread_mutex_unlock(&m->request_lock);
        return busy ? mf_fail(err, MF_ABANDONED, "MFBUSY",
                              "another command is being carried out; try again when it is over")
                    : mf_fail(err, MF_FATAL, "MFSTOPPED", "the run is ending");
    }
    m->pending = &p;
    m->preempt = false; /* whoever wants this one to give way says so from here on */
    pthread_cond_broadcast(&m->request_changed);
    while (!p.done) {
        pthread_cond_wait(&m->request_changed, &m->request_lock);
    }
    pthread_mutex_unlock(&m->request_lock);
    if (p.rc < 0) {
        *err = p.err;
        json_decref(p.reply);
        return -1;
    }
    *ret_reply = p.reply;
    return 0;
}

/* Whatever the control thread is at: who wants reads back where the writes are has that at once. */
static bool takes_reads_back(struct mf_migration *m, const struct mf_request *r)
{
    struct mf_flags_view v;
    mf_migration_flags(m, &v);
    return (r->kind == MF_REQ_ROLLBACK && !r->dry_run) ||
           (r->kind == MF_REQ_READS && r->number == (v.writer == MF_FLAGS_TARGET ? 100 : 0));
}

int mf_migration_request(struct mf_migration *m, const struct mf_request *r, json_t **ret_reply, struct mf_error *err)
{
    bool held = takes_reads_back(m, r);
    mf_flags_hold(&m->flags, held);
    int rc = queue_and_wait(m, r, ret_reply, err);
    mf_flags_hold(&m->flags, -held);
    return rc;
}
