/* Passes: how writes come back from a target that tells nobody of its changes. docs/internals/passes.md has the argument.
 *
 * While such a target takes the writes all its rows are compared with the source's, again and again, and what differs is written to the source (verify.h:
 * pass). Everything that was written before a pass began is on the source when the pass is whole; that moment is the reverse pipe's position, and the time since
 * then the lag. A rollback makes its own, one after the other, until one finds nothing.
 *
 * The control thread begins them and sees them end; a crew of their own does the work. They give way to whatever is asked for. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/str.h"

#define ASK_MS     5000 /* the control thread does not wait longer for the target's time */
#define LOAD_US    MF_US_PER_SEC
#define CALM       0.9 /* of reverse.max_load: below it a pass that was slowed down goes on */
#define RETRY_US   (5 * MF_US_PER_SEC)
#define CHUNK_ROWS 50000

/* ---- workers ---- */

/* The source is busy with others: this worker steps aside. One of them asks, once a second. */
static bool must_wait(struct mf_migration *m)
{
    struct mf_passes *p = &m->passes;
    double most = m->config->reverse.max_load, load = 0;
    struct mf_error ignored;
    long long due = p->load_due_us, now = mf_now_us();
    if (most <= 0 || p->urgent) {
        return false;
    }
    if (now >= due && atomic_compare_exchange_strong(&p->load_due_us, &due, now + LOAD_US) &&
        m->source->connector->source->load(m->source, &load, &ignored) == 0) {
        p->throttled = load > (p->throttled ? CALM * most : most);
    }
    return p->throttled;
}

static enum mf_step worker_step(struct mf_migration *m, int worker, struct mf_error *err)
{
    return must_wait(m) ? MF_STEP_IDLE : mf_verify_step(m->passes.verify, worker, err);
}

/* ---- one pass ---- */

static void close_pass(struct mf_migration *m)
{
    pthread_mutex_lock(&m->lock);
    struct mf_verify *v = m->passes.verify;
    m->passes.verify = NULL;
    pthread_mutex_unlock(&m->lock);
    mf_verify_free(v);
}

/* Are its tables those that it took the writes with, and what time is it? */
static int ask_target(struct mf_migration *m, struct mf_error *err)
{
    const struct mf_traffic_ops *traffic = m->target->connector->traffic;
    if (!m->cutover) { /* which bounds what is asked by itself */
        traffic->hurry(m->target, ASK_MS);
    }
    int rc = mf_target_same(m, err);
    rc = rc < 0 ? -1 : m->target->connector->source->position(m->target, &m->passes.at, err);
    if (!m->cutover) {
        traffic->hurry(m->target, 0);
    }
    return rc;
}

static int begin(struct mf_migration *m, bool urgent, struct mf_error *err)
{
    struct mf_passes *p = &m->passes;
    const struct mf_config *c = m->config;
    int jobs = (int)(c->reverse.jobs < MF_MAX_WORKERS ? c->reverse.jobs : MF_MAX_WORKERS);
    struct mf_verify_options o = {.pipe = m->reverse,
                                  .state = m->state,
                                  .map = m->reverse_map,
                                  .tables = &m->target_tables,
                                  .sample = 1,
                                  .repair = true,
                                  .pass = true,
                                  .max_deletes = (int)c->reverse.max_deletes,
                                  .snapshot_ms = c->verify.snapshot_ms,
                                  .chunk_rows = CHUNK_ROWS,
                                  .dir = c->state_dir,
                                  .memory = (uint64_t)c->verify.memory_bytes,
                                  .disk = (uint64_t)c->verify.disk_bytes,
                                  .jobs = jobs};
    struct mf_verify *v = NULL;
    p->began_us = mf_now_us();
    p->began_wall_us = mf_wall_us();
    if (MF_FAULT(err, "passes.begin") < 0 || ask_target(m, err) < 0 || mf_verify_new(&o, &v, err) < 0) {
        return -1;
    }
    p->urgent = urgent;
    p->throttled = false;
    pthread_mutex_lock(&m->lock);
    p->verify = v;
    pthread_mutex_unlock(&m->lock);
    if (mf_crew_start(&p->crew, m, jobs, worker_step, err) < 0) {
        close_pass(m);
        return -1;
    }
    return 0;
}

static void note(struct mf_migration *m, const struct mf_verify_stats *s, bool whole, const char *trouble)
{
    struct mf_passes *p = &m->passes;
    bool changed, refused;
    pthread_mutex_lock(&m->lock);
    refused = s->finished && s->rows_refused != p->refused;
    p->refused = s->finished ? s->rows_refused : p->refused;
    changed = strcmp(p->trouble, trouble) != 0;
    mf_strlcpy(p->trouble, trouble, sizeof p->trouble);
    p->rows += s->rows_repaired;
    p->last_rows = s->rows_repaired;
    p->left = s->rows_left;
    p->last_us = mf_now_us() - p->began_us;
    p->whole += whole;
    pthread_mutex_unlock(&m->lock);
    if (refused && s->rows_refused > 0) {
        mf_log(MF_WARN, "passes",
               "%" PRId64 " rows that were written on the target are refused by the source and are in its quarantine; "
               "the first: %s",
               s->rows_refused, s->refusal);
    }
    if (changed && trouble[0]) {
        mf_log(MF_WARN, "passes", "what is written on the target does not come back as a whole: %s", trouble);
    } else if (changed) {
        mf_log(MF_INFO, "passes", "what is written on the target comes back again");
    }
    if (s->rows_repaired > 0 || changed) {
        mf_emit(m, "pass",
                json_pack("{s:f, s:I, s:I, s:I, s:s?}", "seconds", (double)p->last_us / 1e6, "rows_compared",
                          (json_int_t)s->rows_compared, "rows_carried", (json_int_t)s->rows_repaired, "rows_left",
                          (json_int_t)s->rows_left, "trouble", trouble[0] ? trouble : NULL));
    }
}

static void put_trouble(const struct mf_error *err, char *out, size_t n)
{
    snprintf(out, n, "%.600s (%s)%s%.380s", err->text, err->code, err->hint[0] ? "; " : "", err->hint);
}

static int left(const struct mf_verify_stats *s, struct mf_error *err)
{
    mf_fail(err, MF_ABANDONED, "MFLEFT", "%" PRId64 " rows could not be carried back%s%s", s->rows_left,
            s->left[0] ? ", the first: " : "", s->left);
    mf_hint(err, "Change such a row on the target to what the source can have, or the source so that it takes it. "
                 "midflight freeze and midflight verify name all of them.");
    return -1;
}

/* The crew has ended. 0: it did what it could; *ret_whole: everything that was written before it began is on the source. More may be left than a pass
 * remembers, for the next one. */
static int end(struct mf_migration *m, struct mf_verify_stats *ret, bool *ret_whole, struct mf_error *err)
{
    struct mf_passes *p = &m->passes;
    char trouble[sizeof p->trouble] = "";
    int rc = 0;
    mf_verify_stats(p->verify, ret);
    close_pass(m);
    *ret_whole = false;
    if (p->crew.failed) {
        *err = p->crew.err;
        rc = -1;
    } else if (!ret->finished) {
        return mf_fail(err, MF_ABANDONED, "MFSTOPPED", "the pass was given up");
    } else if (ret->rows_left > 0 && (ret->left[0] || ret->rows_repaired == 0)) {
        rc = left(ret, err);
    } else if (ret->rows_left == 0) {
        rc = MF_FAULT(err, "passes.whole")
        < 0 || mf_apply_passed(m->reverse->apply, &p->at, p->began_wall_us, err) < 0 ? -1 : 0;
        *ret_whole = rc == 0;
    }
    if (rc < 0) {
        put_trouble(err, trouble, sizeof trouble);
    }
    note(m, ret, *ret_whole, trouble);
    return rc;
}

void mf_passes_stop(struct mf_migration *m)
{
    struct mf_passes *p = &m->passes;
    if (p->verify) {
        mf_verify_stop(p->verify);
        mf_crew_stop(&p->crew);
        close_pass(m);
        p->due_us = mf_now_us();
    }
}

/* ---- one after the other ---- */

static bool wanted(struct mf_migration *m)
{
    return m->open && m->reverse && m->reverse->by_pass && !m->ending && !m->cutover &&
           strcmp(m->step, "synced") == 0 && mf_writes_on_target(m);
}

void mf_passes_tend(struct mf_migration *m)
{
    struct mf_passes *p = &m->passes;
    struct mf_verify_stats s;
    struct mf_error err = {0};
    int64_t now = mf_now_us(), pause = m->config->reverse.pause_ms * MF_US_PER_MS;
    if (mf_passes_asked(m)) {
        return; /* whoever asked for it sees it end */
    }
    if (!wanted(m)) {
        mf_passes_stop(m);
        return;
    }
    if (p->verify) {
        if (!mf_crew_finished(&p->crew)) {
            return;
        }
        bool whole = false;
        int rc = end(m, &s, &whole, &err);
        p->due_us = mf_now_us() + (rc < 0 && pause < RETRY_US ? RETRY_US : rc < 0 || whole ? pause : 0);
        return;
    }
    if (m->verify || now < p->due_us || !mf_apply_consistent(m->reverse->apply)) {
        return;
    }
    if (begin(m, false, &err) < 0) {
        char trouble[sizeof p->trouble];
        put_trouble(&err, trouble, sizeof trouble);
        p->due_us = now + (pause < RETRY_US ? RETRY_US : pause);
        note(m, &(struct mf_verify_stats){0}, false, trouble);
    }
}

enum mf_step mf_passes_one(struct mf_migration *m, struct mf_cutover_found *ret_found, struct mf_error *err)
{
    struct mf_passes *p = &m->passes;
    struct mf_verify_stats s;
    bool whole = false;
    if (!p->verify) {
        return begin(m, true, err) < 0 ? MF_STEP_FAILED : MF_STEP_IDLE;
    }
    if (!mf_crew_finished(&p->crew)) {
        return MF_STEP_IDLE;
    }
    if (end(m, &s, &whole, err) < 0) {
        return MF_STEP_FAILED;
    }
    mf_log(MF_INFO, "passes", "%" PRId64 " rows compared, %" PRId64 " carried back", s.rows_compared, s.rows_repaired);
    if (s.rows_refused > 0 && mf_quarantine_guard(m, err) < 0) { /* refused since the guards of the rollback looked */
        return MF_STEP_FAILED;
    }
    ret_found->rows = s.rows_repaired + s.rows_left;
    mf_strlcpy(ret_found->first, s.first, sizeof ret_found->first);
    return MF_STEP_MORE;
}

bool mf_passes_asked(const struct mf_migration *m)
{
    return m->passes.verify && m->passes.urgent;
}

/* One look. MORE: what was written is back, or cannot be. */
static enum mf_step settled(struct mf_migration *m, bool scheduled, struct mf_error *err)
{
    struct mf_cutover_found found = {0};
    enum mf_step step = mf_passes_one(m, &found, err);
    if (step == MF_STEP_FAILED) {
        return err->cls == MF_ABANDONED ? MF_STEP_MORE : MF_STEP_FAILED; /* it is told, and the comparison names it */
    }
    if (step == MF_STEP_MORE) {
        return m->passes.left == 0 ? MF_STEP_MORE : MF_STEP_IDLE;
    }
    if (m->stop || mf_must_give_way(m, scheduled)) {
        mf_fail(err, MF_ABANDONED, "MFSTOPPED", "the verification was interrupted before it began to compare");
        return MF_STEP_FAILED;
    }
    if (mf_own_keep(m, err) < 0 || mf_check_pipes(m, err) < 0) {
        return MF_STEP_FAILED;
    }
    mf_idle_beat(m);
    mf_sleep_us(5 * MF_US_PER_MS);
    return MF_STEP_IDLE;
}

int mf_passes_settle(struct mf_migration *m, bool scheduled, struct mf_error *err)
{
    int64_t most_ms = m->config->reverse.max_pause_ms, until = mf_now_us() + most_ms * MF_US_PER_MS;
    enum mf_step step;
    mf_passes_stop(m);
    while ((step = settled(m, scheduled, err)) == MF_STEP_IDLE) {
        if (mf_now_us() > until) {
            mf_fail(err, MF_ABANDONED, "MFMOVING",
                    "what was written on the target was not back on the source within %" PRId64 " ms", most_ms);
            mf_hint(err, "Try again, or raise reverse.max_pause; midflight status has how long passes take.");
            step = MF_STEP_FAILED;
            break;
        }
    }
    mf_passes_stop(m);
    return step == MF_STEP_FAILED ? -1 : 0;
}

void mf_passes_even(struct mf_migration *m, int64_t ago_us)
{
    struct mf_position at;
    struct mf_error err = {0};
    if (!m->reverse || !m->reverse->by_pass || !mf_writes_on_target(m)) {
        return;
    }
    m->passes.due_us = 0;
    pthread_mutex_lock(&m->lock);
    m->passes.refused = m->passes.left = 0;
    pthread_mutex_unlock(&m->lock);
    if (m->target->connector->source->position(m->target, &at, &err) < 0) {
        return; /* then it is known with the first pass */
    }
    at.order -= at.order > (uint64_t)ago_us ? (uint64_t)ago_us : 0;
    if (mf_apply_passed(m->reverse->apply, &at, mf_wall_us() - ago_us, &err) < 0) {
        mf_log_error("passes", &err);
    }
}

json_t *mf_passes_json(struct mf_migration *m)
{
    const struct mf_passes *p = &m->passes;
    struct mf_verify_stats s = {0};
    if (!m->reverse || !m->reverse->by_pass || !mf_writes_on_target(m)) {
        return json_null();
    }
    if (p->verify) {
        mf_verify_stats(p->verify, &s);
    }
    return json_pack("{s:s, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:s?}", "state",
                     !p->verify     ? "waiting"
                     : p->throttled ? "slowed down"
                                    : "under way",
                     "whole", (json_int_t)p->whole, "last_seconds", (double)p->last_us / 1e6, "last_rows_carried",
                     (json_int_t)p->last_rows, "rows_carried", (json_int_t)p->rows, "rows_left", (json_int_t)p->left,
                     "rows_refused", (json_int_t)p->refused, "rows_read", (json_int_t)s.rows_read, "trouble",
                     p->trouble[0] ? p->trouble : NULL);
}
