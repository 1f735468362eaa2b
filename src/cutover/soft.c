/* A side that cannot hold its writers and tells nobody of its changes: how a move from there, and one to there, is as safe as any.
 *
 * Hold: the writers are asked to stay away (the flag that they follow has no answer), and whoever heard of it late, for as long as cutover.flag_delay, has
 * done its last write before the fence. Drain: passes, until one that began after the fence finds nothing; each reads all rows, so such a one proves
 * both sides equal. The decision is an epoch as everywhere.
 *
 * Where the last write wins, what the application writes first on the new side must be newer than everything that we wrote there, and that has the old
 * side's time: the new one's clocks are waited for. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/str.h"
#include "cutover/internal.h"

#define ENOUGH 3 /* passes of a hold that must not find what the one before has carried */

enum mf_step mf_cutover_hold_soft(struct mf_cutover *c, struct mf_error *err)
{
    if (!c->away) {
        c->away = true;
        if (c->o.ask_away && c->o.ask_away(c->o.ctx, true, err) < 0) {
            return MF_STEP_FAILED;
        }
        c->away_us = mf_now_us();
    }
    if (mf_now_us() - c->away_us > c->o.flag_delay_ms * MF_US_PER_MS) {
        return MF_STEP_MORE;
    }
    return mf_cutover_in_time(c, "waiting until writers have heard that they are to stay away", err) < 0
               ? MF_STEP_FAILED
               : MF_STEP_IDLE;
}

void mf_cutover_come_back(struct mf_cutover *c)
{
    struct mf_error e = {0};
    if (c->away && c->o.ask_away && c->o.ask_away(c->o.ctx, false, &e) < 0) {
        mf_log_error("cutover", &e);
    }
    c->away = false;
}

/* The other side's foreign keys are not checked as rows come, and this one keeps none. */
static int references_whole(struct mf_cutover *c, struct mf_error *err)
{
    return c->o.config->cutover.require_verified
               ? c->o.to->connector->target->references_whole(c->o.to, c->o.to_tables, err)
               : 0;
}

/* While writes go on, a row may have come without one that was written just before it. What a second pass leaves as it is is broken; the rest is found, or is
 * not there, in the pause. */
static enum mf_step rehearsed(struct mf_cutover *c, struct mf_error *err)
{
    int64_t left_ms = (c->deadline_us - mf_now_us()) / MF_US_PER_MS;
    struct mf_error why = {0};
    c->o.to->connector->traffic->hurry(c->o.to, left_ms > 1 ? (int)left_ms : 1);
    int rc = references_whole(c, &why);
    c->o.to->connector->traffic->hurry(c->o.to, 0);
    if (rc == 0) {
        return MF_STEP_MORE;
    }
    if (why.cls != MF_ABANDONED || mf_streq(c->broken, why.text)) {
        *err = why;
        return MF_STEP_FAILED;
    }
    bool first = !c->broken[0];
    mf_strlcpy(c->broken, why.text, sizeof c->broken);
    return first ? MF_STEP_IDLE : MF_STEP_MORE;
}

/* What is left for the pause is what is written from here on. */
enum mf_step mf_cutover_rehearse_pass(struct mf_cutover *c, struct mf_error *err)
{
    struct mf_cutover_found found = {0};
    enum mf_step step = c->o.pass(c->o.ctx, &found, err);
    if (step == MF_STEP_MORE) {
        step = rehearsed(c, err);
        c->passes += step == MF_STEP_MORE;
    }
    if (step == MF_STEP_IDLE && mf_now_us() > c->deadline_us) {
        mf_fail(err, MF_ABANDONED, "MFGUARD", "a pass over all rows of the %s was not over within %" PRId64 " ms",
                mf_cutover_side(c->o.from), c->o.config->cutover.prepare_ms);
        mf_hint(err, "Look at midflight status for how long passes take; cutover.prepare bounds the first one.");
        return MF_STEP_FAILED;
    }
    return step == MF_STEP_FAILED ? step : MF_STEP_IDLE;
}

/* Nobody writes, so each pass has less to do than the one before. One that does not, after two that carried what there was, would go on for ever: the source
 * takes the rows for others than the target does. */
static int ends_well(struct mf_cutover *c, const struct mf_cutover_found *found, struct mf_error *err)
{
    bool less = c->passes == 1 || found->rows < c->fewest;
    c->fewest = less ? found->rows : c->fewest;
    if (less || c->passes < ENOUGH) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFLEFT",
            "%d passes while writers were held, and %" PRId64 " rows differ again and again; the first: %s", c->passes,
            found->rows, found->first[0] ? found->first : "not known");
    mf_hint(err,
            "Does the source take such a key or value for the same as another one (a collation without regard to "
            "case)? Change those rows on the %s, then try again.",
            mf_cutover_side(c->o.from));
    return -1;
}

enum mf_step mf_cutover_carry(struct mf_cutover *c, struct mf_error *err)
{
    struct mf_cutover_found found = {0};
    enum mf_step step = c->o.pass(c->o.ctx, &found, err);
    if (step == MF_STEP_FAILED) {
        return step;
    }
    if (step == MF_STEP_MORE) {
        c->passes++;
        if (MF_FAULT(err, "cutover.pass") < 0) {
            return MF_STEP_FAILED;
        }
        if (found.rows == 0) {
            return references_whole(c, err) < 0 ? MF_STEP_FAILED : MF_STEP_MORE;
        }
        if (ends_well(c, &found, err) < 0) {
            return MF_STEP_FAILED;
        }
    }
    return mf_cutover_in_time(c, "carrying back what was written", err) < 0 ? MF_STEP_FAILED : MF_STEP_IDLE;
}

enum mf_step mf_cutover_newer(struct mf_cutover *c, struct mf_error *err)
{
    int64_t now = 0;
    if (!c->o.to->connector->last_write_wins) {
        return MF_STEP_MORE;
    }
    if (c->o.to->connector->source->clock(c->o.to, &now, NULL, err) < 0) {
        return MF_STEP_FAILED;
    }
    if (now > mf_apply_stamp(c->o.drain->apply)) {
        return MF_STEP_MORE;
    }
    return mf_cutover_in_time(c, "waiting for the new side's clocks to pass what was written there", err) < 0
               ? MF_STEP_FAILED
               : MF_STEP_IDLE;
}

int mf_cutover_clocks(struct mf_cutover *c, struct mf_error *err)
{
    int64_t now = 0;
    if (!c->o.to->connector->last_write_wins) {
        return 0;
    }
    if (c->o.to->connector->source->clock(c->o.to, &now, NULL, err) < 0) {
        return -1;
    }
    int64_t behind_us = mf_apply_stamp(c->o.drain->apply) - now;
    if (behind_us < c->o.max_pause_ms * MF_US_PER_MS) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFGUARD",
            "a clock of the %s stands %.1f s before the times of what was written there: what the application writes "
            "next would be taken for older",
            mf_cutover_side(c->o.to), (double)behind_us / 1e6);
    mf_hint(err, "Set the clocks of all servers (chronyd, ntpd), then try again.");
    return -1;
}

/* Where the side that is left keeps the last write, what comes back to it is later than what was written there. */
int mf_cutover_stamps_go_on(struct mf_cutover *c, struct mf_error *err)
{
    int64_t now, latest;
    if (!c->o.from->connector->last_write_wins) {
        return 0;
    }
    return c->o.from->connector->source->clock(c->o.from, &now, &latest, err) < 0 ||
                   mf_stamp_raise(c->o.state, c->o.back->id.direction, latest, err) < 0
               ? -1
               : 0;
}
