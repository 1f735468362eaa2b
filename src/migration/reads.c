/* Reads by flag: what share of them the side that follows may serve, who may raise it, and what takes it back.
 *
 * The side that takes the writes is at home in every read. A share of the other one is let go of by itself as soon as that side is too far
 * behind, does not answer, has refused rows or is not proven equal any more; it does not come back by itself unless reads.restore_after says so.
 * When writes move the share is forgotten: reads go with them, since who has written must read what it wrote. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define WATCH_US  (MF_US_PER_SEC / 5)
#define PROOF_US  MF_US_PER_SEC       /* what the state must be asked for */
#define SLACK_US  MF_US_PER_SEC       /* an answer is given for so long beyond what was found */
#define SILENT_US (3 * MF_US_PER_SEC) /* the least: it is asked every second */

static const char *side_word(bool target)
{
    return target ? "target" : "source";
}

/* ---- the share, as the state has it ---- */

static void load(struct mf_state *state, bool on_target, struct mf_reads *ret)
{
    bool found = false;
    *ret = (struct mf_reads){.percent = on_target ? 100 : 0, .asked = on_target ? 100 : 0};
    if (mf_state_int(state, "reads.cutovers", 0) != mf_state_int(state, "cutovers", 0)) {
        return; /* it was set before writes moved */
    }
    ret->percent = (int)mf_state_int(state, "reads_percent", ret->percent);
    ret->asked = (int)mf_state_int(state, "reads.asked", ret->percent);
    ret->why_us = mf_state_int(state, "reads.why_us", 0);
    mf_state_get(state, "reads.why", ret->why, sizeof ret->why, &found, NULL);
}

static int keep(struct mf_migration *m, const struct mf_reads *r, struct mf_error *err)
{
    char percent[32], asked[32], why_us[32], cutovers[32];
    snprintf(percent, sizeof percent, "%d", r->percent);
    snprintf(asked, sizeof asked, "%d", r->asked);
    snprintf(why_us, sizeof why_us, "%" PRId64, r->why_us);
    snprintf(cutovers, sizeof cutovers, "%" PRId64, mf_state_int(m->state, "cutovers", 0));
    const struct mf_fact facts[] = {
        {"reads_percent", percent}, {"reads.asked", asked},       {"reads.why", r->why},
        {"reads.why_us", why_us},   {"reads.cutovers", cutovers},
    };
    return mf_state_set_all(m->state, facts, MF_ARRAY_LEN(facts), err);
}

void mf_reads_load(struct mf_state *state, bool on_target, struct mf_reads *ret)
{
    load(state, on_target, ret);
}

json_t *mf_reads_json(const struct mf_reads *r)
{
    return json_pack("{s:i, s:s?, s:o}", "asked_percent", r->asked, "taken_back", r->why[0] ? r->why : NULL,
                     "taken_back_at", r->why_us ? json_real((double)r->why_us / 1e6) : json_null());
}

/* ---- what flags are answered from ---- */

/* An end that has begun was decided by what the databases said: nothing moves any more. */
static enum mf_flags_writer writer_of(struct mf_migration *m, bool *on_target, const char **why)
{
    enum mf_request_kind end = MF_REQ_CANCEL;
    char writer[16] = "";
    bool found = false;
    if (m->ending || mf_has_ended(m)) {
        mf_end_begun(m, &end, &(struct mf_error){0});
        *on_target = end == MF_REQ_COMPLETE;
        return *on_target ? MF_FLAGS_TARGET : MF_FLAGS_SOURCE;
    }
    *on_target = mf_writes_on_target(m);
    if (strcmp(m->step, "synced") == 0 && !m->writers_known) {
        *why = "it is not known yet which side takes the writes: ask again";
        return MF_FLAGS_UNKNOWN;
    }
    mf_state_get(m->state, "writer", writer, sizeof writer, &found, NULL);
    if (strcmp(writer, "none") == 0) {
        *why = "writes are frozen: neither side takes any until midflight thaw";
        return MF_FLAGS_FROZEN;
    }
    return *on_target ? MF_FLAGS_TARGET : MF_FLAGS_SOURCE;
}

void mf_flags_refresh(struct mf_migration *m)
{
    const char *why = NULL;
    bool on_target = false;
    enum mf_flags_writer writer = writer_of(m, &on_target, &why);
    load(m->state, on_target, &m->reads);
    if (writer == MF_FLAGS_UNKNOWN) {
        mf_flags_good_until(&m->flags, 0); /* no share before its guard has been looked at again */
    }
    mf_flags_set(&m->flags, writer, on_target, m->reads.percent, why);
}

void mf_migration_flags(struct mf_migration *m, struct mf_flags_view *ret)
{
    mf_flags_view(&m->flags, mf_now_us(), ret);
}

/* ---- the guard ---- */

static double lag_now(struct mf_migration *m, struct mf_pipe *live)
{
    MF_LOCK_SCOPE(&m->lock);
    return mf_lag_seconds(m, live);
}

/* ret_left_us: how long the lag may go on growing. */
static int near_enough(struct mf_migration *m, struct mf_pipe *live, int64_t *ret_left_us, struct mf_error *err)
{
    int64_t allowed_us = m->config->reads.max_lag_ms * MF_US_PER_MS;
    int64_t lag_us = (int64_t)(lag_now(m, live) * 1e6);
    int64_t silent_us = mf_now_us() - m->answered_us[live->replica->side];
    const char *follower = side_word(live->replica->side == MF_TARGET);
    if (lag_us > allowed_us) {
        mf_fail(err, MF_ABANDONED, "MFGUARD", "the %s is %.1f s behind; reads.max_lag allows %.1f s", follower,
                (double)lag_us / 1e6, (double)allowed_us / 1e6);
        mf_hint(err, "Wait until it has caught up (midflight status --watch).");
        return -1;
    }
    if (silent_us > (allowed_us > SILENT_US ? allowed_us : SILENT_US)) {
        mf_fail(err, MF_ABANDONED, "MFGUARD", "the %s has not answered for %.1f s", follower, (double)silent_us / 1e6);
        mf_hint(err, "See that it is alive and can be reached.");
        return -1;
    }
    *ret_left_us = allowed_us - lag_us;
    return 0;
}

static int few_refused(struct mf_migration *m, struct mf_pipe *live, int64_t n, struct mf_error *err)
{
    const char *follower = side_word(live->replica->side == MF_TARGET);
    if (n <= m->config->reads.max_quarantined) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFGUARD",
            "%" PRId64 " rows are in quarantine: the %s does not have them; reads.max_quarantined allows %" PRId64, n,
            follower, m->config->reads.max_quarantined);
    mf_hint(err, "%s", mf_quarantine_remedy(m, live->id.direction));
    return -1;
}

/* Whoever else writes to the side that follows makes it another database until a comparison has found it equal. */
static int proven(struct mf_migration *m, bool any_age, struct mf_error *err)
{
    enum mf_side follower = mf_writes_on_target(m) ? MF_SOURCE : MF_TARGET;
    enum mf_direction d = follower == MF_TARGET ? MF_FORWARD : MF_REVERSE;
    int64_t foreign_us = mf_state_foreign_last(m->state, follower);
    bool again = true;
    if (!m->config->reads.require_verified) {
        return 0;
    }
    if (mf_found_equal(m, d, any_age ? 0 : m->config->reads.verified_within_ms, "reads.require_verified", err) < 0 ||
        (foreign_us && mf_state_proven_since(m->state, foreign_us, &again, err) < 0)) {
        return -1;
    }
    if (!again) {
        mf_fail(err, MF_ABANDONED, "MFGUARD",
                "somebody else has written to the %s, and the two sides have not been found equal since",
                side_word(follower == MF_TARGET));
        mf_hint(err, "Find out who, then run midflight verify (with --repair where rows differ) and try again.");
    }
    return again ? 0 : -1;
}

/* Before the share of the side that follows grows. What takes time is asked of the databases here, not by the watch. */
static int may_grow(struct mf_migration *m, int64_t *ret_left_us, struct mf_error *err)
{
    struct mf_pipe *live = mf_live_pipe(m);
    struct mf_apply_stats a;
    struct mf_error trouble = {0};
    int64_t refused = 0;
    if (!live || !m->open) {
        return mf_fail(err, MF_ABANDONED, "MFGUARD", "the streams are not open yet");
    }
    mf_apply_stats(live->apply, &a);
    mf_pipe_trouble(live, &trouble);
    if (a.reached == 0) {
        mf_fail(err, MF_ABANDONED, "MFGUARD", "replay has not begun yet: this run has just started");
        mf_hint(err, "Try again in a moment (midflight status --watch).");
        return -1;
    }
    if (trouble.cls != MF_OK) {
        return mf_fail(err, MF_ABANDONED, "MFGUARD", "the stream is in trouble: %s", trouble.text);
    }
    if (mf_watch_guard(m, err) < 0 || mf_quarantine_count(m, live->id.direction, &refused, err) < 0) {
        return -1;
    }
    m->answered_us[live->replica->side] = mf_now_us();
    return near_enough(m, live, ret_left_us, err) < 0 || few_refused(m, live, refused, err) < 0 ||
                   proven(m, false, err) < 0
               ? -1
               : 0;
}

/* While the share stands: what is known already, and now and then what the state knows. */
static int still_good(struct mf_migration *m, int64_t now, int64_t *ret_left_us, struct mf_error *err)
{
    struct mf_pipe *live = mf_live_pipe(m);
    if (near_enough(m, live, ret_left_us, err) < 0 || few_refused(m, live, m->refused[live->id.direction], err) < 0) {
        return -1;
    }
    if (now < m->reads_proof_us) {
        return 0;
    }
    m->reads_proof_us = now + PROOF_US;
    return proven(m, true, err);
}

/* ---- setting it, and taking it back ---- */

static void tell(struct mf_migration *m, const char *what)
{
    const struct mf_reads *r = &m->reads;
    json_t *o = mf_reads_json(r);
    json_object_set_new(o, "reads_percent", json_integer(r->percent));
    mf_log(r->why[0] ? MF_WARN : MF_INFO, "reads", "%s: %d %% of reads on the target%s%s", what, r->percent,
           r->why[0] ? ": " : "", r->why);
    mf_emit(m, "reads", o);
}

static int put(struct mf_migration *m, const struct mf_reads *r, int64_t left_us, const char *what,
               struct mf_error *err)
{
    if (keep(m, r, err) < 0) {
        return -1;
    }
    if (left_us >= 0) {
        mf_flags_good_until(&m->flags, mf_now_us() + left_us + SLACK_US);
    }
    mf_flags_refresh(m);
    tell(m, what);
    return 0;
}

static int share_of_follower(int percent, bool on_target)
{
    return on_target ? 100 - percent : percent;
}

int mf_reads_set(struct mf_migration *m, int64_t percent, struct mf_error *err)
{
    bool on_target = mf_writes_on_target(m);
    struct mf_reads now, wanted = {.percent = (int)percent, .asked = (int)percent};
    int64_t left_us = -1;
    load(m->state, on_target, &now);
    if (share_of_follower((int)percent, on_target) > share_of_follower(now.percent, on_target) &&
        may_grow(m, &left_us, err) < 0) {
        return -1;
    }
    m->reads_good_since_us = m->reads_proof_us = 0;
    return put(m, &wanted, left_us, "set", err);
}

static void take_back(struct mf_migration *m, const struct mf_error *why)
{
    struct mf_reads r = m->reads;
    struct mf_error err = {0};
    r.percent = mf_writes_on_target(m) ? 100 : 0;
    r.why_us = mf_wall_us();
    mf_strlcpy(r.why, why->text, sizeof r.why);
    m->reads_good_since_us = 0;
    mf_flags_good_until(&m->flags, 0); /* whatever comes of the state: from here on no read is answered with it */
    if (put(m, &r, -1, "taken back", &err) < 0) {
        mf_log_error("reads", &err); /* tried again with the next look */
    }
}

/* The guard has been good for reads.restore_after without a break, and lets the share grow now. */
static void restore(struct mf_migration *m, int64_t now)
{
    int64_t left_us, after_us = m->config->reads.restore_after_ms * MF_US_PER_MS;
    struct mf_error err = {0};
    struct mf_reads r = {.percent = m->reads.asked, .asked = m->reads.asked};
    if (after_us == 0) {
        return;
    }
    if (still_good(m, now, &left_us, &err) < 0) {
        m->reads_good_since_us = 0;
        return;
    }
    m->reads_good_since_us = m->reads_good_since_us ? m->reads_good_since_us : now;
    if (now - m->reads_good_since_us < after_us) {
        return;
    }
    m->reads_good_since_us = 0;
    if (may_grow(m, &left_us, &err) == 0 && put(m, &r, left_us, "given back", &err) < 0) {
        mf_log_error("reads", &err);
    }
}

/* The lease that ended while nobody looked: reads were answered with the other side, which nothing else would tell. */
static void tell_lapse(struct mf_migration *m)
{
    struct mf_flags_view v;
    mf_migration_flags(m, &v);
    if (v.lapsed && m->reads_watched) {
        mf_log(MF_WARN, "reads", "their guard was not looked at for a while: meanwhile the %s served all of them",
               side_word(mf_writes_on_target(m)));
    }
}

void mf_reads_tend(struct mf_migration *m)
{
    int64_t left_us, now = mf_now_us();
    struct mf_error err = {0};
    if (!m->open || strcmp(m->step, "synced") != 0 || !mf_live_pipe(m)) {
        m->reads_watched = false;
        return;
    }
    if (now < m->reads_look_us) {
        return;
    }
    m->reads_look_us = now + WATCH_US;
    if (m->reads.why[0] && m->reads.percent != m->reads.asked) {
        restore(m, now);
        return;
    }
    if (share_of_follower(m->reads.percent, mf_writes_on_target(m)) == 0) {
        m->reads_watched = false;
        return;
    }
    if (still_good(m, now, &left_us, &err) < 0) {
        take_back(m, &err);
        return;
    }
    tell_lapse(m);
    m->reads_watched = true;
    mf_flags_good_until(&m->flags, mf_now_us() + left_us + SLACK_US);
}
