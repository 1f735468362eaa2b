/* Moving traffic: reads, cutover, rollback, freeze, thaw. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

static int lag_small(struct mf_migration *m, struct mf_error *err)
{
    struct mf_pipe *live = mf_live_pipe(m);
    struct mf_position now;
    if (live->by_pass) {
        return 0; /* what is not back yet the pause's own passes bring */
    }
    if (live->origin->connector->source->position(live->origin, &now, err) < 0) {
        return -1;
    }
    struct mf_apply_stats a;
    mf_apply_stats(live->apply, &a);
    if (a.reached == 0) {
        mf_fail(err, MF_ABANDONED, "MFGUARD", "replay has not begun yet: this run has just started");
        mf_hint(err, "Try again in a moment (midflight status --watch).");
        return -1;
    }
    uint64_t lag = mf_pipe_behind(live, now.order); /* not of what other databases wrote to the log */
    if (lag > (uint64_t)m->config->cutover.max_lag_bytes) {
        mf_fail(err, MF_ABANDONED, "MFGUARD", "the stream is %" PRIu64 " bytes behind; cutover.max_lag allows %" PRId64,
                lag, m->config->cutover.max_lag_bytes);
        mf_hint(err, "Wait until it has caught up (midflight status --watch).");
        return -1;
    }
    return 0;
}

int mf_found_equal(struct mf_migration *m, enum mf_direction d, int64_t within_ms, const char *option,
                   struct mf_error *err)
{
    struct mf_verify_summary last = {0};
    int64_t differing = 0;
    bool found = false;
    if (mf_state_verify_last_full(m->state, mf_direction_word(d), &last, &differing, &found, err) < 0) {
        return -1;
    }
    /* What was compared first was compared when it began. */
    int64_t age_us = mf_wall_us() - last.started_us, allowed = within_ms * 1000;
    bool before = found && last.started_us < mf_state_int(m->state, "schema_accepted_us", 0);
    if (!found || differing > 0 || before || (allowed > 0 && age_us > allowed)) {
        mf_fail(err, MF_ABANDONED, "MFGUARD", "%s",
                !found          ? "the two sides have not been compared as a whole"
                : differing > 0 ? "the last verification found rows that differ"
                : before        ? "the last verification was before the schema changed"
                                : "the last verification of all rows is too old");
        mf_hint(err, "Run midflight verify (with --repair where rows differ), then try again; %s: false does without.",
                option);
        return -1;
    }
    return 0;
}

static int verified(struct mf_migration *m, struct mf_error *err)
{
    const struct mf_config *c = m->config;
    return c->cutover.require_verified
               ? mf_found_equal(m, MF_FORWARD, c->cutover.verified_within_ms, "cutover.require_verified", err)
               : 0;
}

/* Rows that had come apart were mended as the stream met them; what it did not meet only a comparison finds. */
static int mended_and_proven(struct mf_migration *m, struct mf_error *err)
{
    int64_t rows, at_us;
    bool proven;
    mf_state_diverged_summary(m->state, &rows, &at_us);
    if (at_us == 0 || !m->config->cutover.require_verified) {
        return 0;
    }
    if (mf_state_proven_since(m->state, at_us, &proven, err) < 0) {
        return -1;
    }
    if (!proven) {
        mf_fail(err, MF_ABANDONED, "MFGUARD",
                "somebody else has written to the side that follows (%" PRId64 " rows were mended), and the two sides "
                "have not been found equal since",
                rows);
        mf_hint(err, "Find out who, then run midflight verify (with --repair where rows differ) and try again.");
        return -1;
    }
    return 0;
}

static int way_back(struct mf_migration *m, struct mf_error *err)
{
    if (mf_turns_round(m) || m->config->cutover.one_way) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFONEWAY",
            "writes that move to the target cannot come back: its tables are not the source's, but made of them (map)");
    mf_hint(err, "Say cutover.one_way: true if they are to move all the same.");
    return -1;
}

static int guard(void *ctx, struct mf_error *err)
{
    struct mf_migration *m = ctx;
    if (way_back(m, err) < 0 || mf_watch_guard(m, err) < 0 || mf_target_same(m, err) < 0 || lag_small(m, err) < 0 ||
        mf_quarantine_guard(m, err) < 0 || mf_watch_other(m, err) < 0) {
        return -1;
    }
    if (mf_watch_note_own(m, err) < 0) {
        return -1;
    }
    if (mf_writes_on_target(m)) {
        return 0; /* going back must not wait for a proof; what is known to be against it is cutover/others.c's */
    }
    return verified(m, err) < 0 || mended_and_proven(m, err) < 0 ? -1 : 0;
}

/* The rehearsal and a hook of the user's may have taken long. */
static int before_hold(void *ctx, struct mf_error *err)
{
    return mf_target_same(ctx, err);
}

/* Writers wait: a target that streams is not looked at again, which was done a moment ago. */
static int still_whole(void *ctx, struct mf_error *err)
{
    struct mf_migration *m = ctx;
    return mf_watch_guard(m, err) < 0 ? -1 : m->target->connector->streams ? 0 : mf_target_same(m, err);
}

static void tell(void *ctx, const char *step, const char *sentence)
{
    struct mf_migration *m = ctx;
    mf_log(MF_INFO, "cutover", "%s", step);
    if (strcmp(step, "decide") == 0) { /* from here on only the databases know; refreshed when they have said so */
        mf_flags_set(&m->flags, MF_FLAGS_UNKNOWN, false, 0, "writes are being moved: ask again");
    }
    mf_emit(m, "cutover", json_pack("{s:s, s:s}", "step", step, "holds_after", sentence));
}

static bool stopping(void *ctx)
{
    struct mf_migration *m = ctx;
    return m->stop;
}

/* The flag that writers follow has no answer while they are to stay away. */
static int ask_away(void *ctx, bool away, struct mf_error *err)
{
    struct mf_migration *m = ctx;
    (void)err;
    if (away) {
        mf_flags_set(&m->flags, MF_FLAGS_FROZEN, mf_writes_on_target(m), m->reads.percent,
                     "writes are held while they are moved: ask again");
    } else {
        mf_flags_refresh(m);
    }
    return 0;
}

static enum mf_step one_pass(void *ctx, struct mf_cutover_found *ret_found, struct mf_error *err)
{
    return mf_passes_one(ctx, ret_found, err);
}

static int64_t max_pause_of(const struct mf_migration *m, bool back, const struct mf_request *r)
{
    return r && r->max_pause_ms                          ? r->max_pause_ms
           : back && mf_way_back(m) == MF_BACK_BY_PASSES ? m->config->reverse.max_pause_ms
                                                         : m->config->cutover.max_pause_ms;
}

static struct mf_cutover_options options(struct mf_migration *m, bool back, const struct mf_request *r)
{
    struct mf_cutover_options o = {
        .id = mf_migration_pipe_id(m, MF_FORWARD),
        .from = back ? m->target : m->source,
        .to = back ? m->source : m->target,
        .drain = back ? m->reverse : m->forward,
        .back = back ? m->forward : m->reverse,
        .from_tables = back ? &m->target_tables : &m->source_tables,
        .to_tables = back ? &m->source_tables : &m->target_tables,
        .filter = &m->filter,
        .state = m->state,
        .config = m->config,
        .max_pause_ms = max_pause_of(m, back, r),
        .dry_run = r && r->dry_run,
        .rollback = back,
        .accept_differences = r && r->accept_differences,
        .run_hook = mf_run_hook_within,
        .stop = stopping,
        .guard = guard,
        .before_hold = before_hold,
        .last_guard = still_whole,
        .promote = mf_native_promote,
        .ask_away = ask_away,
        .flag_delay_ms = m->config->cutover.flag_delay_ms,
        .pass = one_pass,
        .tell = tell,
        .ctx = m,
    };
    return o;
}

int mf_resume_writers(struct mf_migration *m, struct mf_error *err)
{
    struct mf_cutover_options o = options(m, false, NULL);
    enum mf_writer writer;
    return mf_cutover_resume(&o, &writer, err);
}

/* A decision whose outcome is not known: only the databases know. Asked until they answer, for retry_ms; then the control loop goes on asking. */
static int ask_who_writes(struct mf_migration *m, struct mf_error *err)
{
    int64_t until = mf_now_us() + m->config->retry_ms * 1000;
    for (;;) {
        struct mf_error again = {0};
        if (mf_resume_writers(m, &again) == 0) {
            return 0;
        }
        if (mf_now_us() > until || m->stop || again.cls == MF_CRASH) {
            m->writers_known = false;
            pthread_mutex_lock(&m->lock);
            m->open = false; /* requests wait until it is known again */
            pthread_mutex_unlock(&m->lock);
            *err = again;
            mf_error_prefix(err, "it is not known who may write, neither side is open by our hand");
            if (!err->hint[0]) {
                mf_hint(err,
                        "Make both databases reachable: midflight run reads the decision from them, also after a new "
                        "start.");
            }
            err->cls = MF_FATAL;
            return -1;
        }
        struct timespec t = {.tv_nsec = 200 * 1000 * 1000};
        nanosleep(&t, NULL);
    }
}

/* A cutover that failed after its decision. */
static int settle(struct mf_migration *m, struct mf_cutover *c, bool back, struct mf_error *err)
{
    struct mf_error why = *err;
    mf_log_error("cutover", &why);
    if (ask_who_writes(m, err) < 0) {
        return -1;
    }
    if (mf_writes_on_target(m) != back) {
        mf_cutover_settled(c);
        return 0; /* it went through after all */
    }
    *err = why;
    err->cls = MF_ABANDONED;
    mf_error_prefix(err, "undone, nothing has changed");
    return -1;
}

static int drive(struct mf_migration *m, struct mf_cutover *c, bool back, struct mf_error *err)
{
    for (;;) {
        enum mf_step step = mf_cutover_step(c, err);
        if (step == MF_STEP_DONE) {
            return 0;
        }
        if (step == MF_STEP_FAILED) {
            return err->cls == MF_ABANDONED ? -1 : settle(m, c, back, err);
        }
        if (step == MF_STEP_IDLE) {
            struct timespec t = {.tv_nsec = 500 * 1000};
            nanosleep(&t, NULL);
        }
    }
}

static int move_writes(struct mf_migration *m, const struct mf_request *r, json_t **reply, struct mf_error *err)
{
    bool back = r->kind == MF_REQ_ROLLBACK;
    struct mf_cutover_options o = options(m, back, r);
    struct mf_cutover *c = NULL;
    if (mf_cutover_new(&o, &c, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&m->lock);
    m->cutover = c;
    pthread_mutex_unlock(&m->lock);
    mf_passes_stop(m);
    int rc = drive(m, c, back, err);
    mf_passes_stop(m); /* of one that was abandoned */
    int64_t pause_us = mf_cutover_pause_us(c);
    pthread_mutex_lock(&m->lock);
    m->cutover = NULL;
    pthread_mutex_unlock(&m->lock);
    mf_cutover_free(c);
    mf_flags_refresh(m);
    if (rc < 0) {
        if (err->cls == MF_ABANDONED) {
            mf_log_error_at(MF_WARN, "cutover", err);
        }
        mf_emit(m, "cutover", json_pack("{s:s, s:s}", "step", "abandoned", "reason", err->text));
        return -1;
    }
    if (!r->dry_run) {
        mf_passes_even(m, pause_us);
        mf_lag_even(m, 0); /* of the stream that is live now */
        mf_log(MF_INFO, "cutover", "writes are on the %s; the pause was %.1f ms", back ? "source" : "target",
               (double)pause_us / 1000);
        mf_emit(m, "phase", json_pack("{s:s, s:s}", "step", m->step, "phase", mf_phase_of(m)));
    }
    *reply = json_pack("{s:b, s:s, s:f}", "dry_run", r->dry_run, "writes", mf_writes_on_target(m) ? "target" : "source",
                       "pause_ms", (double)pause_us / 1000);
    return 0;
}

bool mf_frozen(struct mf_migration *m)
{
    char writer[16] = "";
    bool found = false;
    mf_state_get(m->state, "writer", writer, sizeof writer, &found, NULL);
    return found && strcmp(writer, "none") == 0;
}

static int set_reads(struct mf_migration *m, const struct mf_request *r, json_t **reply, struct mf_error *err)
{
    if (r->number < 0 || r->number > 100) {
        return mf_fail(err, MF_USAGE, "MFREADS", "reads takes a number from 0 to 100");
    }
    if (mf_reads_set(m, r->number, err) < 0) {
        return -1;
    }
    *reply = json_pack("{s:I}", "reads_percent", (json_int_t)r->number);
    return 0;
}

int mf_do_move(struct mf_migration *m, const struct mf_request *r, json_t **reply, struct mf_error *err)
{
    bool on_target = mf_writes_on_target(m);
    if (r->kind == MF_REQ_ROLLBACK && !on_target) {
        /* Nothing was moved but reads, at most: going back is taking those back. */
        if (!r->dry_run && mf_reads_set(m, 0, err) < 0) {
            return -1;
        }
        *reply = json_pack("{s:b, s:s, s:f}", "dry_run", r->dry_run, "writes", "source", "pause_ms", 0.0);
        return 0;
    }
    if (strcmp(m->step, "synced") != 0) {
        mf_fail(err, MF_ABANDONED, "MFPHASE", "the migration is %s", mf_phase_of(m));
        mf_hint(err, "Wait until midflight status says synced.");
        return -1;
    }
    if (r->kind == MF_REQ_READS) {
        return set_reads(m, r, reply, err);
    }
    if (mf_frozen(m)) {
        mf_fail(err, MF_ABANDONED, "MFFROZEN", "writes are frozen");
        mf_hint(err, "Run midflight thaw first.");
        return -1;
    }
    if (r->kind == MF_REQ_ROLLBACK && !mf_turns_round(m)) {
        return mf_fail(err, MF_ABANDONED, "MFONEWAY",
                       "there is no way back: the cutover was made one way (cutover.one_way), and nothing carries the "
                       "target's writes to the source");
    }
    if (r->kind == MF_REQ_CUTOVER && on_target) {
        return mf_fail(err, MF_ABANDONED, "MFPHASE", "writes are on the target already");
    }
    return move_writes(m, r, reply, err);
}

/* ---- freeze and thaw: the side that takes writes becomes read-only for a while ---- */

/* The flag has no answer any more. */
static int wait_until_heard(struct mf_migration *m, struct mf_error *err)
{
    int64_t until = mf_now_us() + m->config->cutover.flag_delay_ms * MF_US_PER_MS;
    while (mf_now_us() < until) {
        if (m->stop) {
            return mf_fail(err, MF_ABANDONED, "MFSTOPPED", "the run is stopping");
        }
        mf_sleep_us(20 * MF_US_PER_MS);
    }
    return 0;
}

static int freeze(struct mf_migration *m, struct mf_db *db, struct mf_epoch *e, struct mf_error *err)
{
    const struct mf_traffic_ops *traffic = db->connector->traffic;
    const struct mf_catalog *tables = db->side == MF_SOURCE ? &m->source_tables : &m->target_tables;
    struct mf_cutover_options o = options(m, db->side == MF_TARGET, NULL);
    struct mf_gate_options g = mf_cutover_gate(&o);
    g.open = true;
    g.long_transactions = MF_LONG_WAIT; /* nobody is ended for a freeze */
    struct mf_hold *hold = NULL;
    if (db->connector->soft_hold && wait_until_heard(m, err) < 0) {
        return -1;
    }
    if (traffic->gate_install(db, &o.id, tables, &g, err) < 0 || traffic->hold(db, &o.id, &g, &hold, err) < 0) {
        struct mf_error left = {0};
        if (e->epoch == 1 &&
            mf_cutover_ungate(&o, db, &left) < 0) { /* nothing was ever decided: they were put up for this */
            mf_log_error_at(MF_WARN, "freeze", &left);
        }
        err->cls = MF_ABANDONED;
        return -1;
    }
    snprintf(e->writer, sizeof e->writer, "none");
    e->open = false;
    return traffic->hold_decide(hold, e, err);
}

static int thaw(struct mf_db *db, const struct mf_pipe_id *id, struct mf_epoch *e, struct mf_error *err)
{
    snprintf(e->writer, sizeof e->writer, "%s", db->side == MF_SOURCE ? "source" : "target");
    e->open = true;
    return db->connector->traffic->epoch_write(db, id, e, err);
}

/* The commit may have been made though we were told of a failure. 0: it was. */
static int settle_freeze(struct mf_migration *m, bool was_thaw, struct mf_error *err)
{
    struct mf_error why = *err;
    mf_log_error("freeze", &why);
    if (ask_who_writes(m, err) < 0) {
        return -1;
    }
    if (mf_frozen(m) != was_thaw) {
        return 0;
    }
    *err = why;
    err->cls = MF_ABANDONED;
    mf_error_prefix(err, "nothing has changed");
    return -1;
}

int mf_do_freeze(struct mf_migration *m, bool thawing, json_t **reply, struct mf_error *err)
{
    if (strcmp(m->step, "synced") != 0) {
        return mf_fail(err, MF_ABANDONED, "MFPHASE", "the migration is %s; freeze works when it is synced",
                       mf_phase_of(m));
    }
    if (mf_frozen(m) != thawing) {
        return mf_fail(err, MF_ABANDONED, "MFFROZEN", thawing ? "writes are not frozen" : "writes are frozen already");
    }
    struct mf_db *db = mf_writes_on_target(m) ? m->target : m->source;
    if (db == m->target && !mf_turns_round(m)) {
        return mf_fail(err, MF_ABANDONED, "MFONEWAY",
                       "the target takes the writes, and midflight cannot hold them there");
    }
    const char *side = db->side == MF_SOURCE ? "source" : "target";
    struct mf_pipe_id id = mf_migration_pipe_id(m, MF_FORWARD);
    struct mf_epoch a = {0}, b = {0}, e = {0};
    if (m->source->connector->traffic->epoch_read(m->source, &id, &a, err) < 0 ||
        m->target->connector->traffic->epoch_read(m->target, &id, &b, err) < 0 ||
        mf_journal_add(m->state, "freeze", thawing ? "thaw" : "freeze", side, err) < 0 ||
        mf_state_set(m->state, "frozen", side, err) < 0) {
        return -1;
    }
    e.epoch = (a.epoch > b.epoch ? a.epoch : b.epoch) + 1;
    mf_flags_set(&m->flags, MF_FLAGS_UNKNOWN, false, 0, "writes are being frozen or thawed: ask again");
    int rc = thawing ? thaw(db, &id, &e, err) : freeze(m, db, &e, err);
    if (rc < 0 && (err->cls == MF_ABANDONED || settle_freeze(m, thawing, err) < 0)) {
        return -1;
    }
    if (mf_state_set(m->state, "writer", thawing ? side : "none", err) < 0) {
        return -1;
    }
    mf_log(MF_INFO, "freeze", thawing ? "the %s takes writes again" : "the %s is read-only until midflight thaw", side);
    *reply = json_pack("{s:s, s:b}", "side", side, "frozen", !thawing);
    return 0;
}
