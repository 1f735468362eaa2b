/* apply: one step is one window, committed in the target or undone.
 *
 * What must hold (docs/internals/consistency.md has the argument):
 *  - A window is consecutive whole transactions and one target transaction, whose checkpoint is the end of the last. So what
 *    the target holds is always a prefix of the source's history (P1), and where to go on is read from the target,
 *    never remembered: a commit with unknown outcome is resolved by asking (P2).
 *  - After any failure the spool is read again from the target's checkpoint; nothing gathered survives.
 *  - A window that is refused or conflicts is done again in source order, change by change, still as one transaction. What then
 *    is not as it must be was written by somebody else: it is mended and told (heal), or ends the run.
 *  - Nothing beyond the barrier is taken; a window once begun is finished whatever the barrier, since all of it was committed on
 *    the origin before the barrier was set. */
#include "pipeline/apply_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "pipeline/stamp.h"

#include <stdlib.h>
#include <string.h>

#define CHECKPOINT_EVERY_US (10 * MF_US_PER_SEC)
#define RELEASE_EVERY_US    MF_US_PER_SEC
#define RELEASE_BYTES       ((uint64_t)64 << 20)

/* ---- control ---- */

void mf_apply_set_barrier(struct mf_apply *a, const struct mf_position *barrier)
{
    pthread_mutex_lock(&a->mu);
    if (a->barrier.order != barrier->order) { /* set again, it stays reached: callers poll */
        a->passed = (struct mf_position){0};
    }
    a->barrier = *barrier;
    pthread_cond_broadcast(&a->cond);
    pthread_mutex_unlock(&a->mu);
}

bool mf_apply_at_barrier(struct mf_apply *a)
{
    pthread_mutex_lock(&a->mu);
    bool at = a->opened && a->barrier.order &&
              (a->o.by_pass || (a->passed.order == a->barrier.order && a->last_txn <= a->barrier.order));
    pthread_mutex_unlock(&a->mu);
    return at;
}

int mf_apply_raise_consistency(struct mf_apply *a, const struct mf_position *p, struct mf_error *err)
{
    int rc = 0;
    pthread_mutex_lock(&a->mu);
    if (p->order > a->consistency.order) {
        rc = mf_state_set_position(a->o.state, mf_consistency_key(a->o.pipe.direction), p, err);
        if (rc == 0) {
            a->consistency = *p;
        }
    }
    pthread_mutex_unlock(&a->mu);
    return rc;
}

bool mf_apply_consistent(struct mf_apply *a)
{
    pthread_mutex_lock(&a->mu);
    bool yes = a->opened && a->reached.order >= a->consistency.order;
    pthread_mutex_unlock(&a->mu);
    return yes;
}

void mf_apply_set_lenient(struct mf_apply *a, bool lenient)
{
    pthread_mutex_lock(&a->mu);
    a->lenient = lenient;
    pthread_mutex_unlock(&a->mu);
}

void mf_apply_want_checkpoint(struct mf_apply *a)
{
    pthread_mutex_lock(&a->mu);
    a->want_checkpoint = true;
    pthread_cond_broadcast(&a->cond);
    pthread_mutex_unlock(&a->mu);
}

void mf_apply_position(struct mf_apply *a, struct mf_position *ret)
{
    pthread_mutex_lock(&a->mu);
    *ret = a->applied;
    pthread_mutex_unlock(&a->mu);
}

void mf_apply_note_stamp(struct mf_apply *a)
{
    int64_t read = a->reader ? mf_spool_reader_stamp(a->reader) : 0;
    a->stamp = read > a->stamp ? read : a->stamp;
}

int64_t mf_apply_stamp(struct mf_apply *a)
{
    /* Before the first transaction, and after the right to write came back: what capture goes on from. */
    int64_t floor = mf_stamp_floor(a->o.state, a->o.pipe.direction);
    MF_LOCK_SCOPE(&a->mu);
    return a->stamp > floor ? a->stamp : floor;
}

void mf_apply_stats(struct mf_apply *a, struct mf_apply_stats *ret)
{
    pthread_mutex_lock(&a->mu);
    *ret = a->stats;
    ret->applied = a->applied;
    ret->reached = a->reached.order > a->applied.order ? a->reached.order : a->applied.order;
    if (a->o.by_pass) {
        ret->lag_us = a->pass_began_us ? mf_wall_us() - a->pass_began_us : 0;
    }
    pthread_mutex_unlock(&a->mu);
}

struct mf_touched *mf_apply_watch(struct mf_apply *a)
{
    pthread_mutex_lock(&a->mu);
    a->touched = a->touched ? a->touched : mf_touched_new();
    a->watched = true;
    pthread_mutex_unlock(&a->mu);
    return a->touched;
}

void mf_apply_watch_end(struct mf_apply *a)
{
    pthread_mutex_lock(&a->mu);
    a->watched = false;
    pthread_mutex_unlock(&a->mu);
}

void mf_apply_submit(struct mf_apply *a, struct mf_apply_job *job)
{
    pthread_mutex_lock(&a->mu);
    job->done = false;
    a->job = job;
    pthread_cond_broadcast(&a->cond);
    pthread_mutex_unlock(&a->mu);
}

bool mf_apply_job_done(struct mf_apply *a, struct mf_apply_job *job)
{
    pthread_mutex_lock(&a->mu);
    bool done = job->done;
    pthread_mutex_unlock(&a->mu);
    return done;
}

void mf_apply_withdraw(struct mf_apply *a, struct mf_apply_job *job)
{
    pthread_mutex_lock(&a->mu);
    while (a->job == job && a->job_running) {
        pthread_cond_wait(&a->cond, &a->mu);
    }
    if (a->job == job) {
        a->job = NULL;
    }
    pthread_mutex_unlock(&a->mu);
}

/* Standing at the barrier, with nothing open in the target: does what was asked for. */
void mf_apply_do_job(struct mf_apply *a)
{
    pthread_mutex_lock(&a->mu);
    bool at =
        a->o.by_pass || (a->barrier.order && a->passed.order == a->barrier.order && a->last_txn <= a->barrier.order);
    struct mf_apply_job *job = at ? a->job : NULL;
    a->job_running = job != NULL;
    pthread_mutex_unlock(&a->mu);
    if (!job) {
        return;
    }
    job->rc = job->run(job->ctx, a->applier, &job->err);
    if (job->rc < 0) {
        mf_apply_close_all(a); /* the connection may be in any state */
    }
    pthread_mutex_lock(&a->mu);
    job->done = true;
    a->job = NULL;
    a->job_running = false;
    pthread_cond_broadcast(&a->cond);
    pthread_mutex_unlock(&a->mu);
}

/* ---- committing ---- */

static void committed(struct mf_apply *a, const struct mf_position *to)
{
    struct ap_window *w = &a->w;
    int64_t now = mf_now_us();
    if (to->order > a->seen_to.order) {
        a->seen_to = *to;
    }
    a->checkpoint_us = now;
    a->quarantined += (int64_t)a->result.quarantined;
    a->released_bytes += w->bytes;
    pthread_mutex_lock(&a->mu);
    a->applied = *to;
    a->want_checkpoint = false;
    a->reached = a->seen_to;
    mf_apply_note_stamp(a);
    if (w->transactions) {
        a->last_txn = w->last.order;
        a->stats.windows++;
        a->stats.careful_windows += w->careful;
        a->stats.transactions += w->transactions;
        a->stats.changes += w->changes;
        a->stats.rows_written += a->result.rows;
        a->stats.last_commit_time_us = w->commit_time_us;
        a->stats.latency_us = mf_wall_us() - w->commit_time_us;
    }
    a->stats.quarantined = (uint64_t)a->quarantined;
    a->refused += a->result.quarantined;
    a->stats.diverged += a->result.diverged;
    pthread_mutex_unlock(&a->mu);
    if (to->order >= a->careful_end.order) {
        a->careful_end.order = 0;
    }
    mf_apply_moved(a);
}

/* Counting up misses what has left the quarantine: before the run ends for it, the target is asked. */
int mf_apply_quarantine_full(struct mf_apply *a, uint64_t more, struct mf_error *err)
{
    if (a->quarantined + (int64_t)more <= a->o.max_quarantined || !more) {
        return 0;
    }
    if (mf_apply_count_quarantine(a, err) < 0) {
        return -1;
    }
    if (a->quarantined + (int64_t)more <= a->o.max_quarantined) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFQUAR", "more than %lld rows are in quarantine (quarantine.max_rows)",
            (long long)a->o.max_quarantined);
    mf_hint(err, "take away on the target what refuses the rows, or raise quarantine.max_rows, and start midflight "
                 "again: while it runs, midflight quarantine list names the rows, and those mended on the source leave "
                 "the quarantine when their changes are applied");
    return -1;
}

void mf_apply_quarantined(struct mf_apply *a, uint64_t more)
{
    a->quarantined += (int64_t)more;
}

static int release(struct mf_apply *a, bool idle, struct mf_error *err)
{
    int64_t now = mf_now_us();
    if (a->applied.order <= a->released.order ||
        (!idle && a->released_bytes < RELEASE_BYTES && now - a->released_us < RELEASE_EVERY_US)) {
        return 0;
    }
    if (mf_spool_release(a->o.spool, &a->applied, err) < 0) {
        return -1;
    }
    a->released = a->applied;
    a->released_bytes = 0;
    a->released_us = now;
    return 0;
}

/* Before the commit: a row that is mended and not told would pass for one that never was wrong. */
static int note_diverged(struct mf_apply *a, struct mf_error *err)
{
    const struct mf_window_result *r = &a->result;
    struct mf_told_row rows[MF_DIVERGED_TOLD];
    char labels[MF_DIVERGED_TOLD][280];
    if (!r->diverged) {
        return 0;
    }
    for (size_t i = 0; i < r->ntold; i++) {
        mf_table_label(r->told[i].table, labels[i], sizeof(labels[i]));
        rows[i] = (struct mf_told_row){.table = labels[i], .key = r->told[i].key, .what = r->told[i].what};
    }
    return mf_state_diverged(a->o.state, a->o.pipe.direction, &a->w.end, rows, r->ntold, r->diverged, err);
}

/* The window is whole: the rest of it goes out, then the commit. Rows that an update did not find are owed from the commit on, so
 * the window is marked in the state before it (see apply_reread.c). Fuzzily it may be known only at the commit which those are. */
static int commit_window(struct mf_apply *a, struct mf_error *err)
{
    struct ap_window *w = &a->w;
    const struct mf_target_ops *ops = a->o.replica->connector->target;
    if (!w->begun && mf_apply_begin(a, a->seen_to.order > w->last.order ? &a->seen_to : &w->last,
                                    mf_spool_reader_stamp(a->reader), err) < 0) {
        return -1;
    }
    if (mf_apply_flush(a, err) < 0 || mf_apply_quarantine_full(a, a->result.quarantined, err) < 0) {
        return -1;
    }
    bool owes = (w->fuzzy && w->partial) || a->result.nmissing || a->result.missing_lost;
    if (note_diverged(a, err) < 0) {
        return -1;
    }
    if (owes && mf_apply_mark(a, &a->applied, &w->end, err) < 0) {
        return -1;
    }
    if (MF_FAULT(err, "apply.commit") || ops->window_commit(a->applier, err) < 0) {
        return -1;
    }
    w->begun = false;
    if (MF_FAULT(err, "apply.committed")) {
        return -1;
    }
    if (owes && (mf_apply_reread(a, err) < 0 || mf_apply_unmark(a, err) < 0)) {
        return -1;
    }
    committed(a, &w->end);
    if (mf_apply_note_names(a, err) < 0) {
        return -1;
    }
    return release(a, false, err);
}

/* All transactions of the window were left out (tables not migrated): as if they had not been. */
static bool nothing_to_write(struct mf_apply *a)
{
    return !a->w.begun && a->w.transactions && !a->w.waiting;
}

static void left_out(struct mf_apply *a)
{
    if (a->w.last.order > a->seen_to.order) {
        a->seen_to = a->w.last;
    }
    pthread_mutex_lock(&a->mu);
    a->reached = a->seen_to;
    mf_apply_note_stamp(a);
    a->last_txn = a->w.last.order;
    a->stats.transactions += a->w.transactions;
    a->stats.last_commit_time_us = a->w.commit_time_us;
    pthread_mutex_unlock(&a->mu);
    mf_apply_moved(a);
}

/* ---- when there is nothing to apply ---- */

/* The barrier may be another than the one the window ended at: then what ended it says nothing about this one. */
static void judge_barrier(struct mf_apply *a)
{
    /* A crash may have taken from the spool what the replica has: where stamps count, the source must have sent it again, or that of this place is not known. What
     * comes next, behind the barrier, is behind all of that as well. */
    bool known = !a->o.replica->connector->last_write_wins || a->w.blocked_by ||
                 mf_spool_reader_seen(a->reader) >= a->applied.order;
    pthread_mutex_lock(&a->mu);
    a->reached = a->seen_to;
    mf_apply_note_stamp(a);
    a->stats.caught_up_us = a->w.blocked_by ? a->stats.caught_up_us : mf_wall_us();
    if (a->barrier.order && known && (a->w.blocked_by == a->barrier.order || a->seen_to.order >= a->barrier.order)) {
        a->passed = a->barrier;
    }
    pthread_mutex_unlock(&a->mu);
    mf_apply_moved(a);
    mf_apply_standing(a, a->w.blocked_by != 0);
}

static int idle(struct mf_apply *a, struct mf_error *err)
{
    judge_barrier(a);
    pthread_mutex_lock(&a->mu);
    bool crossing = a->applied.order < a->consistency.order && a->seen_to.order >= a->consistency.order;
    bool wanted = a->want_checkpoint || crossing;
    pthread_mutex_unlock(&a->mu);
    if (a->seen_to.order > a->applied.order && (wanted || mf_now_us() - a->checkpoint_us >= CHECKPOINT_EVERY_US)) {
        if (commit_window(a, err) < 0) {
            return -1;
        }
    }
    return release(a, true, err);
}

/* ---- failures ---- */

static int rewind_to_applied(struct mf_apply *a, struct mf_error *err)
{
    a->seen_to = a->applied;
    return mf_spool_rewind(a->reader, &a->applied, err);
}

static void undo(struct mf_apply *a)
{
    if (a->w.begun) {
        a->o.replica->connector->target->window_abort(a->applier);
        a->w.begun = false;
        a->unfinished = a->w.end;
    }
}

/* Decides by the class of the failure. MORE: the next step tries again, otherwise. */
static enum mf_step failed(struct mf_apply *a, struct mf_error *err)
{
    bool again = (err->cls == MF_CONFLICT || err->cls == MF_ROW) && a->w.begun && !a->w.careful;
    undo(a);
    if (again) {
        a->careful_end = a->w.end;
        a->careful_stamp = a->w.end_stamp;
        if (rewind_to_applied(a, err) == 0) {
            return MF_STEP_MORE;
        }
    }
    if (err->cls == MF_CONFLICT || err->cls == MF_ROW) {
        err->cls = MF_FATAL;
    }
    mf_apply_close_all(a);
    return MF_STEP_FAILED;
}

/* A change of the schema lies before a change of the window. What comes before its transaction is applied first. */
static enum mf_step schema_changed(struct mf_apply *a, struct mf_error *err)
{
    undo(a);
    pthread_mutex_lock(&a->mu);
    mf_apply_note_stamp(a); /* of what comes before */
    pthread_mutex_unlock(&a->mu);
    if (a->w.transactions) {
        a->stop_before = a->w.last.order + 1;
    } else if (mf_apply_schema(a, err) < 0) {
        return failed(a, err);
    }
    return rewind_to_applied(a, err) < 0 ? failed(a, err) : MF_STEP_MORE;
}

/* ---- steps ---- */

enum mf_step mf_apply_step(struct mf_apply *a, int timeout_ms, struct mf_error *err)
{
    if (a->o.by_server || a->o.by_pass) {
        return a->o.by_pass ? mf_apply_pass(a, timeout_ms, err) : mf_apply_follow(a, timeout_ms, err);
    }
    enum mf_step s = mf_apply_ensure_open(a, timeout_ms, err);
    if (s != MF_STEP_MORE) {
        return s;
    }
    mf_arena_reset(&a->results);
    a->result = (struct mf_window_result){.arena = &a->results};
    switch (mf_apply_gather(a, timeout_ms, err)) {
    case AP_FAILED:
        return failed(a, err);
    case AP_SCHEMA:
        return schema_changed(a, err);
    case AP_OK:
        break;
    }
    if (nothing_to_write(a)) {
        left_out(a);
        return MF_STEP_MORE;
    }
    if (a->w.transactions) {
        mf_apply_standing(a, false);
        return commit_window(a, err) < 0 ? failed(a, err) : MF_STEP_MORE;
    }
    if (idle(a, err) < 0) {
        return failed(a, err);
    }
    mf_apply_do_job(a);
    if (a->w.blocked_by) {
        mf_apply_wait(a, timeout_ms);
    }
    return MF_STEP_IDLE;
}
