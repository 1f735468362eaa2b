/* The cutover as a table of rows, and the one function that moves along it.
 *
 * Why no write is lost or doubled:
 *  - after `hold` returns no transaction that changed a migrated table is open on `from`, and none can begin (the gate);
 *  - `fence` is a commit after that, so everything the application was told is committed lies before it in the stream;
 *  - `drain` ends only when the target's own checkpoint has reached the fence;
 *  - `decide` is one commit on `from` that closes it for good: before it, letting go of the hold leaves all as it was (the
 *    server does that by itself if we die); after it, `from` refuses writes, and `to` opens only by reading that decision.
 * At no instant are both sides open, whatever dies when. */
#include "cutover/cutover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "cutover/internal.h"

/* ---- actions: MORE goes to the next row, IDLE stays ---- */

static int ignore_sequence(void *ctx, const struct mf_sequence *s, struct mf_error *err)
{
    (void)ctx, (void)s, (void)err;
    return 0;
}

/* What would fail while writers are held is tried before. */
static int sequences_readable(struct mf_cutover *c, struct mf_error *err)
{
    if (c->o.from->connector->source->sequences(c->o.from, c->o.filter, ignore_sequence, NULL, err) == 0) {
        return 0;
    }
    mf_error_prefix(err, "the sequences of the %s cannot be read", mf_cutover_side(c->o.from));
    return -1;
}

static enum mf_step do_guards(struct mf_cutover *c, struct mf_error *err)
{
    enum mf_step fit = mf_cutover_streams_fit(c, err);
    if (fit != MF_STEP_MORE) {
        return fit;
    }
    if (mf_cutover_others(c, err) < 0 || (c->o.guard && c->o.guard(c->o.ctx, err) < 0) ||
        mf_cutover_clocks(c, err) < 0 || sequences_readable(c, err) < 0) {
        return MF_STEP_FAILED;
    }
    return MF_STEP_MORE;
}

static int number_epoch(struct mf_cutover *c, struct mf_error *err)
{
    struct mf_epoch a = {0}, b = {0};
    if (c->o.from->connector->traffic->epoch_read(c->o.from, &c->o.id, &a, err) < 0 ||
        c->o.to->connector->traffic->epoch_read(c->o.to, &c->o.id, &b, err) < 0) {
        return -1;
    }
    c->epoch.epoch = (a.epoch > b.epoch ? a.epoch : b.epoch) + 1;
    snprintf(c->epoch.writer, sizeof c->epoch.writer, "%s", mf_cutover_side(c->o.to));
    return 0;
}

static int install(struct mf_cutover *c, struct mf_db *db, const struct mf_catalog *tables, bool open,
                   struct mf_error *err)
{
    struct mf_gate_options g = mf_cutover_gate(&c->o);
    g.open = open;
    if (db->connector->traffic->gate_install(db, &c->o.id, tables, &g, err) < 0) {
        mf_error_prefix(err, "closing the gate of the %s", mf_cutover_side(db));
        return -1;
    }
    return 0;
}

/* Those of the target's own that the source's take the place of are named; the rest has been said when the schema was made. */
static int learn_triggers(struct mf_cutover *c, struct mf_error *err)
{
    struct mf_gate_options g = mf_cutover_gate(&c->o);
    struct mf_findings *found = mf_findings_new();
    int rc = c->o.to->connector->target->triggers_learn(c->o.to, c->o.from, &c->o.id, c->o.from_tables, &g, found, err);
    for (size_t i = 0; i < mf_findings_count(found); i++) {
        const struct mf_finding *f = mf_findings_at(found, i);
        if (f->severity != MF_NOTE) {
            mf_log(MF_WARN, "cutover", "%s: %s", f->object, f->reason);
        }
    }
    mf_findings_free(found);
    if (rc < 0) {
        mf_error_prefix(err, "remembering the triggers of the %s", mf_cutover_side(c->o.from));
    }
    return rc;
}

static enum mf_step do_gates(struct mf_cutover *c, struct mf_error *err)
{
    if (number_epoch(c, err) < 0) {
        return MF_STEP_FAILED;
    }
    if (!c->o.rollback && learn_triggers(c, err) < 0) {
        return MF_STEP_FAILED;
    }
    c->gates_touched = true;
    if (install(c, c->o.to, c->o.to_tables, false, err) < 0 || install(c, c->o.from, c->o.from_tables, true, err) < 0) {
        return MF_STEP_FAILED;
    }
    return MF_STEP_MORE;
}

/* A marker of this pipe's origin: written, and has it arrived? True where there is none to carry it. */
static int mark(struct mf_cutover *c, struct mf_pipe *pipe, struct mf_position *ret, struct mf_error *err)
{
    struct mf_db *origin = pipe == c->o.drain ? c->o.from : c->o.to;
    return pipe && !pipe->by_pass ? origin->connector->source->heartbeat(origin, &pipe->id, "rehearsal", ret, err) : 0;
}

static bool marked(struct mf_pipe *pipe, const struct mf_position *marker)
{
    return !pipe || pipe->by_pass || mf_cutover_arrived(pipe, marker);
}

/* A round trip over both streams: a marker written on `to` must arrive in `from` and one on `from` in `to`, before anybody waits. One way where there
 * is no stream back; and a pass where writes come back by passes. */
static enum mf_step do_rehearse(struct mf_cutover *c, struct mf_error *err)
{
    if (!c->rehearsing) {
        c->deadline_us = mf_now_us() + c->o.config->cutover.prepare_ms * 1000;
        if (mark(c, c->o.back, &c->marker_to, err) < 0 || mark(c, c->o.drain, &c->marker_from, err) < 0) {
            return MF_STEP_FAILED;
        }
        c->rehearsing = true;
    }
    if (mf_cutover_streams_run(c, err) < 0) {
        return MF_STEP_FAILED;
    }
    if (c->o.drain->by_pass && c->passes == 0) {
        return mf_cutover_rehearse_pass(c, err);
    }
    bool there = marked(c->o.drain, &c->marker_from), back = marked(c->o.back, &c->marker_to);
    if (there && back) {
        return MF_STEP_MORE;
    }
    if (mf_now_us() > c->deadline_us) {
        mf_fail(err, MF_ABANDONED, "MFGUARD", "the %s stream did not carry a marker across within %" PRId64 " ms",
                there ? "reverse" : "forward", c->o.config->cutover.prepare_ms);
        mf_hint(err, "Look at midflight status for its lag; cut over when it is small.");
        return MF_STEP_FAILED;
    }
    return MF_STEP_IDLE;
}

static enum mf_step do_before_hook(struct mf_cutover *c, struct mf_error *err)
{
    if (mf_cutover_hook(c, c->o.rollback ? NULL : "on_before_cutover", false, err) < 0 ||
        (c->o.before_hold && c->o.before_hold(c->o.ctx, err) < 0)) {
        return MF_STEP_FAILED;
    }
    return MF_STEP_MORE;
}

/* From the hold to the decision nothing that is asked of either database may outlast the pause. */
static void hurry(struct mf_cutover *c, int64_t within_ms)
{
    if (within_ms || c->hurried) {
        c->o.from->connector->traffic->hurry(c->o.from, (int)within_ms);
        c->o.to->connector->traffic->hurry(c->o.to, (int)within_ms);
    }
    c->hurried = within_ms > 0;
}

static enum mf_step do_hold(struct mf_cutover *c, struct mf_error *err)
{
    struct mf_gate_options g = mf_cutover_gate(&c->o);
    if (c->hold) { /* a soft one: until they must have heard of it */
        return mf_cutover_hold_soft(c, err);
    }
    c->held_us = mf_now_us();
    c->deadline_us = c->held_us + c->o.max_pause_ms * 1000;
    hurry(c, c->o.max_pause_ms);
    if (c->o.from->connector->traffic->hold(c->o.from, &c->o.id, &g, &c->hold, err) < 0) {
        return MF_STEP_FAILED;
    }
    return c->o.from->connector->soft_hold ? mf_cutover_hold_soft(c, err) : MF_STEP_MORE;
}

/* By passes it is nothing but this place in the order of things: a pass that begins later reads everything written before. */
static enum mf_step do_fence(struct mf_cutover *c, struct mf_error *err)
{
    c->passes = 0;
    if (c->o.drain->by_pass) {
        return MF_STEP_MORE;
    }
    if (c->o.from->connector->source->heartbeat(c->o.from, &c->o.drain->id, "fence", &c->fence, err) < 0) {
        return MF_STEP_FAILED;
    }
    return MF_STEP_MORE;
}

int mf_cutover_in_time(struct mf_cutover *c, const char *doing, struct mf_error *err)
{
    if (mf_now_us() <= c->deadline_us) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFPAUSE", "the pause would have passed %" PRId64 " ms (%s)", c->o.max_pause_ms, doing);
    mf_hint(err, "Try again when the load is lower, or allow more with --max-pause.");
    return -1;
}

static enum mf_step do_drain(struct mf_cutover *c, struct mf_error *err)
{
    struct mf_error failure;
    if (c->o.drain->by_pass) {
        return mf_cutover_carry(c, err);
    }
    if (mf_cutover_arrived(c->o.drain, &c->fence)) {
        return mf_cutover_newer(c, err);
    }
    if (mf_pipe_failure(c->o.drain, &failure) < 0) {
        *err = failure;
        return MF_STEP_FAILED;
    }
    return mf_cutover_in_time(c, "draining the stream", err) < 0 ? MF_STEP_FAILED : MF_STEP_IDLE;
}

static int keep_sequence(void *ctx, const struct mf_sequence *s, struct mf_error *err)
{
    (void)err;
    struct mf_cutover *c = ctx;
    c->sequences = mf_xreallocarray(c->sequences, c->nsequences + 1, sizeof *s);
    c->sequences[c->nsequences++] = *s;
    return 0;
}

static enum mf_step do_sequences(struct mf_cutover *c, struct mf_error *err)
{
    c->nsequences = 0;
    if (c->o.from->connector->source->sequences(c->o.from, c->o.filter, keep_sequence, c, err) < 0 ||
        c->o.to->connector->target->sequences_set(c->o.to, c->sequences, c->nsequences, err) < 0 ||
        (c->o.drain->by_pass && c->o.to->connector->target->sequences_follow(c->o.to, c->o.filter, err) < 0)) {
        mf_error_prefix(err, "carrying the sequences over");
        return MF_STEP_FAILED;
    }
    return mf_cutover_in_time(c, "setting the sequences", err) < 0 ? MF_STEP_FAILED : MF_STEP_MORE;
}

/* What fires for the application's writes. Nothing of ours is applied on the new side between here and the decision. */
static enum mf_step do_triggers(struct mf_cutover *c, struct mf_error *err)
{
    struct mf_gate_options g = mf_cutover_gate(&c->o);
    int64_t left_ms = (c->deadline_us - mf_now_us()) / 1000;
    g.total_ms = left_ms > 1 ? (int)left_ms : 1;
    if (c->o.to->connector->target->triggers_up(c->o.to, &c->o.id, &g, err) < 0) {
        return MF_STEP_FAILED;
    }
    return mf_cutover_in_time(c, "making the triggers", err) < 0 ? MF_STEP_FAILED : MF_STEP_MORE;
}

/* Journalled before it runs: whoever finds that this cutover did not come about knows that applications may have been moved. */
static enum mf_step do_hook(struct mf_cutover *c, struct mf_error *err)
{
    char direction[64];
    mf_cutover_direction(c, direction, sizeof direction);
    if (mf_journal_add(c->o.state, "cutover", "hook_ran", direction, err) < 0) {
        return MF_STEP_FAILED;
    }
    c->hook_ran = true;
    if (mf_cutover_hook(c, c->o.rollback ? "on_rollback" : "on_cutover", false, err) < 0) {
        return MF_STEP_FAILED;
    }
    return mf_cutover_in_time(c, "running the hook", err) < 0 ? MF_STEP_FAILED : MF_STEP_MORE;
}

/* A new side that does not answer now would open late, with writers waiting for it past the bound. */
static int still_answers(struct mf_cutover *c, struct mf_error *err)
{
    struct mf_epoch there;
    if (c->o.to->connector->traffic->epoch_read(c->o.to, &c->o.id, &there, err) < 0) {
        mf_error_prefix(err, "asking the %s once more before the decision", mf_cutover_side(c->o.to));
        return -1;
    }
    return 0;
}

static enum mf_step do_decide(struct mf_cutover *c, struct mf_error *err)
{
    /* The gate stops writes, not CREATE TABLE. And by the rehearsal what others wrote to the new side before it has been seen. */
    if (mf_cutover_others(c, err) < 0 || (c->o.last_guard && c->o.last_guard(c->o.ctx, err) < 0) ||
        still_answers(c, err) < 0 || mf_cutover_stamps_go_on(c, err) < 0 ||
        mf_cutover_in_time(c, "deciding", err) < 0) {
        return MF_STEP_FAILED;
    }
    struct mf_hold *hold = c->hold;
    c->hold = NULL;
    c->decided = true; /* from here on only the databases know */
    hurry(c, 0);
    return c->o.from->connector->traffic->hold_decide(hold, &c->epoch, err) < 0 ? MF_STEP_FAILED : MF_STEP_MORE;
}

static enum mf_step do_open(struct mf_cutover *c, struct mf_error *err)
{
    c->epoch.open = true;
    if (c->o.promote && c->o.promote(c->o.ctx, err) < 0) {
        return MF_STEP_FAILED;
    }
    if (c->o.to->connector->traffic->epoch_write(c->o.to, &c->o.id, &c->epoch, err) < 0) {
        return MF_STEP_FAILED;
    }
    c->pause_us = mf_now_us() - c->held_us;
    return MF_STEP_MORE;
}

static enum mf_step do_done(struct mf_cutover *c, struct mf_error *err)
{
    if (mf_cutover_record(c, err) < 0) {
        return MF_STEP_FAILED;
    }
    return MF_STEP_DONE;
}

/* ---- the table ---- */

const struct mf_cutover_row mf_cutover_rows[] = {
    {"guards", do_guards, "cutover.guards", "lag, health and verification allow it", "refuse", true},
    {"gates", do_gates, "cutover.gates", "the gate stands on every table of both sides, open on the old one",
     "take the gates away", false},
    {"rehearse", do_rehearse, "cutover.rehearse",
     "a marker has crossed both streams, there and back (by passes: one is whole)", "refuse", true},
    {"before_hook", do_before_hook, "cutover.before_hook", "on_before_cutover has agreed", "refuse", false},
    {"hold", do_hold, "cutover.hold",
     "writers wait, and no transaction that wrote is open (a soft hold: they were asked to stay away, and have heard "
     "of it)",
     "let writers go on", false},
    {"fence", do_fence, "cutover.fence", "the fence is committed after the last write", "let writers go on", false},
    {"drain", do_drain, "cutover.drain",
     "the new side's checkpoint has reached the fence (by passes: one that began after it found nothing)",
     "let writers go on", false},
    {"sequences", do_sequences, "cutover.sequences", "sequences stand where they stood", "let writers go on", false},
    {"triggers", do_triggers, "cutover.triggers", "triggers stand where the application will write",
     "let writers go on", false},
    {"hook", do_hook, "cutover.hook", "on_cutover (or on_rollback) has switched the applications",
     "run the opposite hook, let writers go on", false},
    {"decide", do_decide, "cutover.decide", "one commit on the old side: its right to write is gone",
     "read both epochs; undo or finish", false},
    {"open", do_open, "cutover.open", "the new side's epoch is open: it takes writes", "finish", false},
    {"done", do_done, "cutover.done", "recorded; the other stream carries writes back", "finish", false},
};
const size_t mf_cutover_nrows = MF_ARRAY_LEN(mf_cutover_rows);

/* ---- the machine ---- */

int mf_cutover_new(const struct mf_cutover_options *o, struct mf_cutover **ret, struct mf_error *err)
{
    (void)err;
    struct mf_cutover *c = mf_xcalloc(1, sizeof *c);
    c->o = *o;
    *ret = c;
    return 0;
}

/* Before the decision: everything goes back to how it was. Errors in here are told, not returned: the hold is gone in
 * any case, which is what writers need. */
static void undo(struct mf_cutover *c)
{
    struct mf_error e = {0};
    c->o.from->connector->traffic->hold_release(c->hold);
    c->hold = NULL;
    hurry(c, 0);
    mf_cutover_come_back(c);
    if (c->hook_ran && mf_cutover_hook(c, c->o.rollback ? "on_cutover" : "on_rollback", true, &e) < 0) {
        mf_log_error("cutover", &e);
    }
    if (c->gates_touched && c->epoch.epoch == 1 && mf_cutover_ungate(&c->o, c->o.from, &e) < 0) {
        mf_log_error_at(MF_WARN, "cutover", &e);
    }
}

/* What was asked of a database when the pause was over has been ended for that, with an error that says anything: "lost
 * connection" for one. */
static void tell_overdue(const struct mf_cutover *c, struct mf_error *err)
{
    if (c->hurried && mf_now_us() > c->deadline_us && strcmp(err->code, "MFPAUSE") != 0) {
        mf_error_prefix(err, "the pause has lasted its %" PRId64 " ms (cutover.max_pause)", c->o.max_pause_ms);
    }
}

static enum mf_step failed(struct mf_cutover *c, struct mf_error *err)
{
    const char *at = mf_cutover_rows[c->row].name;
    if (err->cls == MF_CRASH) {
        return MF_STEP_FAILED;
    }
    if (c->decided) {
        mf_error_prefix(err, "the cutover failed at %s", at);
        if (err->cls == MF_ABANDONED) {
            err->cls = MF_RETRY;
        }
        return MF_STEP_FAILED;
    }
    tell_overdue(c, err);
    undo(c);
    mf_error_prefix(err, "the %s was abandoned at %s and nothing has changed", c->o.rollback ? "rollback" : "cutover",
                    at);
    err->cls = MF_ABANDONED;
    mf_journal_add(c->o.state, "cutover", "abandoned", err->text, NULL);
    return MF_STEP_FAILED;
}

static int enter(struct mf_cutover *c, const struct mf_cutover_row *row, struct mf_error *err)
{
    char detail[160], direction[64];
    mf_cutover_direction(c, direction, sizeof direction);
    snprintf(detail, sizeof detail, "%s%s", direction, c->o.dry_run ? " (dry run)" : "");
    if (mf_journal_add(c->o.state, "cutover", row->name, detail, err) < 0 || MF_FAULT(err, row->fault) < 0) {
        return -1;
    }
    if (c->o.tell) {
        c->o.tell(c->o.ctx, row->name, row->sentence);
    }
    return 0;
}

enum mf_step mf_cutover_step(struct mf_cutover *c, struct mf_error *err)
{
    const struct mf_cutover_row *row = &mf_cutover_rows[c->row];
    while (c->o.dry_run && !row->in_dry_run) {
        if (c->row + 1 == (int)mf_cutover_nrows) {
            return MF_STEP_DONE;
        }
        c->row++;
        row = &mf_cutover_rows[c->row];
    }
    if (!c->decided && c->o.stop && c->o.stop(c->o.ctx)) {
        mf_fail(err, MF_ABANDONED, "MFSTOPPED", "the run is stopping");
        return failed(c, err);
    }
    if (!c->entered && enter(c, row, err) < 0) {
        return failed(c, err);
    }
    c->entered = true;
    enum mf_step step = row->act(c, err);
    if (step == MF_STEP_FAILED) {
        return failed(c, err);
    }
    if (step == MF_STEP_MORE) {
        c->row++;
        c->entered = false;
    }
    return step;
}

int64_t mf_cutover_pause_us(struct mf_cutover *c)
{
    return c->pause_us;
}

void mf_cutover_settled(struct mf_cutover *c)
{
    struct mf_error e = {0};
    c->pause_us = mf_now_us() - c->held_us;
    if (mf_state_set_int(c->o.state, "pause_us", c->pause_us, &e) < 0) {
        mf_log_error("cutover", &e);
    }
}

const char *mf_cutover_at(struct mf_cutover *c)
{
    return mf_cutover_rows[c->row].name;
}

void mf_cutover_free(struct mf_cutover *c)
{
    if (!c) {
        return;
    }
    c->o.from->connector->traffic->hold_release(c->hold);
    hurry(c, 0);
    free(c->sequences);
    free(c);
}
