/* What the commands ask, one at a time, on the control thread; and the beat that goes on meanwhile. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define SAMPLE_US 1000000
#define BEAT_MS   5000 /* this thread must not wait for a database for long: others wait for it */

/* The direction at rest decodes all that we write to its origin. It waits while the live one is further behind than the first of
 * these, until it is nearer than the second. */
#define HOLD_BYTES ((uint64_t)16 << 20)
#define FREE_BYTES ((uint64_t)2 << 20)

static void hold_back(struct mf_migration *m, bool held)
{
    struct mf_pipe *live = mf_live_pipe(m), *resting = live == m->forward ? m->reverse : m->forward;
    if (live && resting && resting->capture) {
        mf_capture_hold(resting->capture, held);
    }
}

/* Rows in quarantine, each side asked for its own: that it answers is worth knowing as well. */
static bool count_refused(struct mf_migration *m, enum mf_direction d)
{
    struct mf_db *db = d == MF_FORWARD ? m->target : m->source;
    struct mf_error err = {0};
    db->connector->traffic->hurry(db, BEAT_MS);
    bool counted = mf_quarantine_count(m, d, &m->refused[d], &err) == 0;
    db->connector->traffic->hurry(db, 0);
    if (counted) {
        m->answered_us[db->side] = mf_now_us();
    }
    return counted;
}

static void sample(struct mf_migration *m)
{
    struct mf_pipe *live = mf_live_pipe(m);
    struct mf_position now = {0};
    struct mf_error err = {0};
    if (!live) {
        return; /* not open yet */
    }
    mf_lag_begin(m);
    uint64_t refused = m->forward ? mf_apply_refused_ticket(m->forward->apply) : 0;
    bool there = count_refused(m, MF_FORWARD), back = count_refused(m, MF_REVERSE), counted = there && back;
    int64_t quarantined = m->refused[MF_FORWARD] + m->refused[MF_REVERSE];
    if (there && m->forward) {
        mf_apply_note_refused(m->forward->apply, refused, (uint64_t)m->refused[MF_FORWARD]);
    }
    live->origin->connector->traffic->hurry(live->origin, BEAT_MS);
    int rc = live->origin->connector->source->position(live->origin, &now, &err);
    live->origin->connector->traffic->hurry(live->origin, 0);
    if (rc < 0) {
        return; /* the stream's own thread reports a dead server */
    }
    mf_lag_heard(m, live);
    struct mf_apply_stats a;
    mf_apply_stats(live->apply, &a);
    uint64_t behind = mf_pipe_behind(live, now.order);
    if (behind > HOLD_BYTES || behind <= FREE_BYTES) {
        hold_back(m, behind > HOLD_BYTES);
    }
    int64_t at = mf_now_us();
    pthread_mutex_lock(&m->lock);
    if (m->sampled_pipe == live && at > m->sampled_us && a.changes >= m->sampled_changes) {
        m->changes_per_second = (double)(a.changes - m->sampled_changes) * 1e6 / (double)(at - m->sampled_us);
    }
    m->sampled_pipe = live;
    m->sampled_us = at;
    m->sampled_changes = a.changes;
    m->source_now = now;
    if (counted) {
        m->quarantined = quarantined;
    }
    pthread_mutex_unlock(&m->lock);
    if (counted && quarantined != mf_state_int(m->state, "quarantined", 0)) {
        mf_state_set_int(m->state, "quarantined", quarantined, NULL);
    }
}

#define STAMP_AHEAD_US (5 * MF_US_PER_SEC)

static void tell_one(void *ctx, int64_t seq, enum mf_direction d, const char *table, const char *key, const char *what)
{
    struct mf_migration *m = ctx;
    const char *side = d == MF_FORWARD ? "target" : "source";
    mf_log(MF_WARN, "diverged", "%s, which somebody else has written to: %s, row %s: %s; mended", side, table, key,
           what);
    mf_emit(m, "diverged", json_pack("{s:s, s:s, s:s, s:s}", "side", side, "table", table, "key", key, "what", what));
    m->diverged_told = seq;
}

/* Rows found not to be as they must be since the last look; each once, as many as the state names. */
static void tell_diverged(struct mf_migration *m)
{
    struct mf_error err = {0};
    if (m->diverged_told == 0) {
        m->diverged_told = mf_state_int(m->state, "diverged_told", 0);
    }
    int64_t before = m->diverged_told;
    if (mf_state_diverged_since(m->state, before, tell_one, m, &err) == 0 && m->diverged_told != before) {
        mf_state_set_int(m->state, "diverged_told", m->diverged_told, NULL);
    }
}

/* Writes on the wrong side: when first seen and when there are more, at most once a minute. */
static void tell_wrong_side(struct mf_migration *m, int64_t now)
{
    int64_t count = mf_state_wrong_side_count(m->state);
    if (m->wrong_told == 0) {
        m->wrong_told = mf_state_int(m->state, "wrong_side_told", 0);
    }
    if (count <= m->wrong_told || (m->wrong_told_us && now - m->wrong_told_us < 60 * MF_US_PER_SEC)) {
        return;
    }
    mf_log(MF_WARN, "wrong-side",
           "%" PRId64 " writes by somebody else on the side that may not write (%" PRId64
           " in all): they are not carried over; find out who, then midflight verify --repair",
           count - m->wrong_told, count);
    mf_emit(m, "wrong_side", json_pack("{s:I}", "writes", (json_int_t)count));
    m->wrong_told = count;
    m->wrong_told_us = now;
    mf_state_set_int(m->state, "wrong_side_told", count, NULL);
}

/* The source's clock was set back, or another server took over whose clock stands earlier. Changes keep their order; what is told concerns writes of others. */
static void tell_stamps(struct mf_migration *m)
{
    struct mf_capture_stats c;
    if (!m->target->connector->last_write_wins || !m->forward->capture) {
        return;
    }
    mf_capture_stats(m->forward->capture, &c);
    bool ahead = c.stamp_ahead_us > STAMP_AHEAD_US;
    if (ahead && !m->stamps_told) {
        mf_log(MF_WARN, "stamps",
               "the source's clock stands %.1f s before the time it gave to earlier commits: until it has caught up, "
               "changes are written with later times than "
               "it says, and what an application writes to the target by itself within that time is taken for older "
               "than they are",
               (double)c.stamp_ahead_us / 1e6);
    }
    m->stamps_told = ahead;
    if (c.time_beyond_us && !m->beyond_told) {
        mf_log(
            MF_WARN, "stamps",
            "the source gave a commit a time %.0f s after this machine's clock: such commits are written with the time "
            "at which they were read. Set the clocks (chronyd, ntpd); on MySQL and MariaDB a session may also have "
            "said SET TIMESTAMP",
            (double)c.time_beyond_us / 1e6);
        m->beyond_told = true;
    }
}

static void tell_beat(struct mf_migration *m, const struct mf_db *db, bool failed, const struct mf_error *err)
{
    if (failed) {
        mf_log_error_at(MF_WARN, "heartbeat", err);
    } else if (m->beat_failed[db->side]) {
        mf_log(MF_INFO, "heartbeat", "the %s answers again", db->side == MF_SOURCE ? "source" : "target");
    }
    m->beat_failed[db->side] = failed;
}

/* A beat on each side a stream comes from: an idle database's slot goes on, and its lag is measured against something. */
static void beat(struct mf_migration *m)
{
    struct mf_pipe *const pipes[] = {m->forward, m->reverse};
    for (size_t i = 0; i < MF_ARRAY_LEN(pipes); i++) {
        struct mf_error err = {0};
        if (!pipes[i] || pipes[i]->by_pass || mf_dual_stuck(m, pipes[i]->origin)) {
            continue;
        }
        struct mf_db *db = pipes[i]->origin;
        db->connector->traffic->hurry(db, BEAT_MS); /* with dual writes its commit waits for the target */
        tell_beat(m, db, db->connector->source->heartbeat(db, &pipes[i]->id, NULL, NULL, &err) < 0, &err);
        db->connector->traffic->hurry(db, 0);
    }
}

static void report(struct mf_migration *m, int64_t now)
{
    if (now - m->last_reported_us < 5000000) {
        return;
    }
    m->last_reported_us = now;
    json_t *status = mf_migration_status(m);
    mf_emit(m, "progress", status);
}

void mf_idle_beat(struct mf_migration *m)
{
    int64_t now = mf_now_us();
    report(m, now);
    if (!m->forward) {
        return;
    }
    mf_dual_tend(m);
    if (now >= m->next_beat_us || atomic_exchange(&m->beat_wanted, false)) {
        m->next_beat_us = now + m->config->heartbeat_ms * 1000;
        beat(m);
    }
    if (now >= m->next_sample_us) {
        m->next_sample_us = now + SAMPLE_US;
        sample(m);
        tell_diverged(m);
        tell_wrong_side(m, now);
        tell_stamps(m);
    }
    mf_reads_tend(m); /* after the sample: whoever was long away has looked again before it judges */
    mf_passes_tend(m);
    if (!m->verify && !m->standing && !mf_passes_asked(m)) {
        mf_scheduled_verify(m, now);
    }
}

/* ---- one request ---- */

bool mf_must_give_way(struct mf_migration *m, bool scheduled)
{
    MF_LOCK_SCOPE(&m->request_lock);
    return scheduled ? m->pending != NULL : m->preempt;
}

static bool is_end(const struct mf_request *r)
{
    return r->kind == MF_REQ_COMPLETE || r->kind == MF_REQ_CANCEL;
}

static int carry_out(struct mf_migration *m, const struct mf_request *r, json_t **reply, struct mf_error *err)
{
    if (m->ending && !is_end(r)) {
        mf_fail(err, MF_ABANDONED, "MFPHASE", "the migration is being ended: both databases are cleaned up");
        mf_hint(err, "See midflight status; complete or cancel, whichever was asked, can be asked again.");
        return -1;
    }
    switch (r->kind) {
    case MF_REQ_VERIFY:
        return mf_do_verify(m, r, false, reply, err);
    case MF_REQ_FREEZE:
        return mf_do_freeze(m, false, reply, err);
    case MF_REQ_THAW:
        return mf_do_freeze(m, true, reply, err);
    case MF_REQ_COMPLETE:
    case MF_REQ_CANCEL:
        return mf_do_end(m, r, reply, err);
    case MF_REQ_QUARANTINE_RETRY:
    case MF_REQ_QUARANTINE_DROP:
        return mf_do_quarantine(m, r, reply, err);
    case MF_REQ_READS:
    case MF_REQ_CUTOVER:
    case MF_REQ_ROLLBACK:
        break;
    }
    return mf_do_move(m, r, reply, err);
}

/* What works on the streams waits until they stand, which is soon, or until the step that opens them has failed. */
static bool must_wait(const struct mf_migration *m, const struct mf_request *r)
{
    return !m->open && !m->ending && !is_end(r) && r->kind != MF_REQ_QUARANTINE_DROP && strcmp(m->step, "synced") == 0;
}

static void answer(struct mf_migration *m, struct mf_pending *p)
{
    pthread_mutex_lock(&m->request_lock);
    p->done = true;
    m->pending = NULL;
    pthread_cond_broadcast(&m->request_changed);
    pthread_mutex_unlock(&m->request_lock);
}

static struct mf_pending *asked(struct mf_migration *m)
{
    MF_LOCK_SCOPE(&m->request_lock);
    return m->pending;
}

void mf_serve_request(struct mf_migration *m)
{
    struct mf_pending *p = asked(m);
    if (!p || must_wait(m, p->request)) {
        return;
    }
    hold_back(m, false); /* a cutover rehearses both directions; nothing is sampled meanwhile */
    p->rc = carry_out(m, p->request, &p->reply, &p->err);
    mf_flags_refresh(m); /* before it is answered */
    answer(m, p);
}

void mf_refuse_request(struct mf_migration *m, const struct mf_error *why)
{
    struct mf_pending *p = asked(m);
    if (!p || !must_wait(m, p->request)) {
        return;
    }
    p->err = *why;
    mf_error_prefix(&p->err, "the streams could not be opened");
    p->rc = -1;
    answer(m, p);
}
