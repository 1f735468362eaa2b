/* Dual writes, as the control thread sees them: when they begin and end, and who is told. What they are is pipeline/dual.h's, and
 * docs/internals/dual-writes.md's.
 *
 * They are for the forward direction alone and only while the source takes writes and both sides are in step: before that commits would wait for a copy, after a
 * cutover the source's commits are our own. */
#include "migration/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define LOOK_AGAIN_US (10 * MF_US_PER_SEC)
#define STUCK_US      MF_US_PER_SEC
#define NUDGE_US      (MF_US_PER_SEC / 2)

struct mf_wait_policy mf_dual_policy(const struct mf_config *c)
{
    return (struct mf_wait_policy){
        .degrade = c->sick_after_ms > 0, .after_ms = c->sick_after_ms, .standstill_ms = c->dual_standstill_ms};
}

int mf_dual_check(const struct mf_config *c, struct mf_db *source, struct mf_db *target, struct mf_findings *out,
                  struct mf_error *err)
{
    struct mf_wait_policy p = mf_dual_policy(c);
    struct mf_pipe_id id = {.direction = MF_FORWARD};
    snprintf(id.migration, sizeof id.migration, "%s", c->migration);
    if (c->dual_writes != MF_DUAL_WRITES_ON) {
        return 0;
    }
    return source->connector->source->check_waiting(source, &id, &p, out, err) < 0 ||
                   target->connector->target->check_durable(target, out, err) < 0
               ? -1
               : 0;
}

static struct mf_dual *dual_of(struct mf_migration *m)
{
    return m->forward ? mf_capture_dual(m->forward->capture) : NULL;
}

/* What check calls a blocker: the first of them, as the reason. False: there is none. */
static bool in_the_way(struct mf_migration *m, char *why, size_t n)
{
    struct mf_findings *found = mf_findings_new();
    struct mf_error err = {0};
    bool blocked = mf_dual_check(m->config, m->source, m->target, found, &err) < 0;
    if (blocked) {
        mf_strlcpy(why, err.text, n);
    }
    for (size_t i = 0; i < mf_findings_count(found) && !blocked; i++) {
        const struct mf_finding *f = mf_findings_at(found, i);
        if (f->severity == MF_BLOCKER) {
            blocked = true;
            snprintf(why, n, "%s (%s): %s", f->object, f->side == MF_SOURCE ? "source" : "target", f->reason);
        }
    }
    mf_findings_free(found);
    return blocked;
}

static bool due(struct mf_migration *m)
{
    return m->open && !m->stop && !m->ending && strcmp(m->step, "synced") == 0 && !mf_writes_on_target(m);
}

/* Looked at once, before they begin; again while something is in the way. What changes later the stream notices. */
static bool ready(struct mf_migration *m, struct mf_dual *d)
{
    char why[MF_DUAL_WHY];
    int64_t now = mf_now_us();
    if (m->dual_ready) {
        return true;
    }
    if (now < m->dual_check_us) {
        return false;
    }
    m->dual_check_us = now + LOOK_AGAIN_US;
    if (in_the_way(m, why, sizeof why)) {
        mf_dual_closed(d, MF_DUAL_DEGRADED, why);
        return false;
    }
    m->dual_ready = true;
    return true;
}

void mf_dual_tell(struct mf_migration *m, struct mf_dual *d)
{
    struct mf_dual_status s;
    while (d && mf_dual_next_change(d, &s)) {
        const char *word = mf_dual_word(s.state);
        mf_state_set(m->state, "dual.state", word, NULL);
        mf_log(s.state == MF_DUAL_DEGRADED ? MF_WARN : MF_INFO, "dual-writes", "%s%s%s", word, s.why[0] ? ": " : "",
               s.why);
        if (s.state == MF_DUAL_ON && s.release[0] && !m->dual_warned) {
            m->dual_warned = true;
            mf_log(MF_WARN, "dual-writes-wait",
                   "the source's commits wait without a limit if midflight is killed, until it runs again (let its "
                   "supervisor start it again at once) or until somebody runs on the source: %s",
                   s.release);
        }
        mf_emit(m, "dual_writes",
                json_pack("{s:s, s:s, s:f}", "state", word, "why", s.why, "since", (double)s.since_us / 1e6));
    }
}

/* A source that has given up waiting begins again with the next commit that it is told of in time: on an idle one that is ours. */
static void nudge(struct mf_migration *m, struct mf_dual *d)
{
    struct mf_dual_status s;
    int64_t now = mf_now_us();
    mf_dual_status(d, now, &s);
    if (s.state != MF_DUAL_ON && s.state != MF_DUAL_OFF && s.waiting_us == 0 && now >= m->dual_nudge_us) {
        m->dual_nudge_us = now + NUDGE_US;
        m->next_beat_us = 0;
    }
}

/* Commits that were answered since a run was killed may not have waited: that stretch is told of, too. */
static void remember_last_run(struct mf_migration *m, struct mf_dual *d)
{
    char word[32] = "";
    bool found = false;
    if (m->dual_remembered) {
        return;
    }
    m->dual_remembered = true;
    mf_state_get(m->state, "dual.state", word, sizeof word, &found, NULL);
    if (found && mf_streq(word, mf_dual_word(MF_DUAL_ON))) {
        mf_dual_closed(d, MF_DUAL_DEGRADED,
                       "the run before ended while dual writes were on, without leaving them: commits that were "
                       "answered since then may not have waited for the target");
    }
}

void mf_dual_tend(struct mf_migration *m)
{
    struct mf_dual *d = dual_of(m);
    if (!d) {
        return;
    }
    remember_last_run(m, d);
    if (!due(m)) {
        m->dual_ready = false;
        m->dual_check_us = 0;
        mf_capture_gate(m->forward->capture, false);
    } else if (ready(m, d)) {
        mf_capture_gate(m->forward->capture, true);
        nudge(m, d);
    }
    mf_dual_tell(m, d);
}

void mf_dual_end(struct mf_migration *m)
{
    MF_LOCK_SCOPE(&m->lock);
    if (dual_of(m)) {
        mf_capture_gate(m->forward->capture, false);
    }
}

bool mf_dual_stuck(struct mf_migration *m, const struct mf_db *db)
{
    struct mf_dual_status s = {0};
    if (db == m->source && dual_of(m)) {
        mf_dual_status(dual_of(m), mf_now_us(), &s);
    }
    return s.waiting_us > STUCK_US;
}

static json_t *as_json(const struct mf_dual_status *s)
{
    json_t *o = json_pack("{s:s, s:s, s:f, s:I}", "state", mf_dual_word(s->state), "why", s->why, "waiting_seconds",
                          (double)s->waiting_us / 1e6, "degraded_times", (json_int_t)s->degraded);
    json_object_set_new(o, "release", s->release[0] ? json_string(s->release) : json_null());
    json_object_set_new(o, "since", s->since_us ? json_real((double)s->since_us / 1e6) : json_null());
    return o;
}

json_t *mf_dual_none_json(const char *why)
{
    struct mf_dual_status s = {.state = MF_DUAL_OFF};
    snprintf(s.why, sizeof s.why, "%s", why);
    return as_json(&s);
}

json_t *mf_dual_json(struct mf_migration *m)
{
    struct mf_dual *d = dual_of(m);
    struct mf_dual_status s;
    if (!d) {
        return mf_dual_none_json(m->config->dual_writes == MF_DUAL_WRITES_ON ? "the stream is not open"
                                                                             : "they are not asked for");
    }
    mf_dual_status(d, mf_now_us(), &s);
    return as_json(&s);
}
