/* Has somebody else written to the side that is to take the writes, while it followed?
 *
 * What it then lacks, or has too much, nobody will miss until it is too late: a verification after the move takes the new side as the right one. So
 * what is known refuses a move, until a verification of everything that began later has found (or made) both sides equal. A rollback asks for no more
 * than that: without such knowledge it waits for no proof, and it can be told to go on all the same. */
#include <inttypes.h>

#include "base/log.h"
#include "cutover/internal.h"

static int refuse_cutover(int64_t wrong, struct mf_error *err)
{
    mf_fail(err, MF_ABANDONED, "MFGUARD",
            "%" PRId64
            " writes were seen on the side that may not write, and the two sides have not been found equal since",
            wrong);
    mf_hint(err,
            "Find out who writes there, run midflight verify (with --repair where rows differ), then cut over again.");
    return -1;
}

static int refuse_rollback(const struct mf_cutover *c, int64_t wrong, int64_t mended, struct mf_error *err)
{
    mf_fail(err, MF_ABANDONED, "MFGUARD",
            "somebody else has written to the %s since writes left it (%" PRId64 " writes on the wrong side, %" PRId64
            " rows mended), and the two sides have not been found equal since: it may lack rows",
            mf_cutover_side(c->o.to), wrong, mended);
    mf_hint(err,
            "Run midflight verify --repair, then roll back; or midflight rollback --accept-differences to go back at "
            "once, with the %s as it is.",
            mf_cutover_side(c->o.to));
    return -1;
}

/* Once a rollback. */
static int accept(struct mf_cutover *c, int64_t wrong, int64_t mended, struct mf_error *err)
{
    if (c->accepted) {
        return 0;
    }
    c->accepted = true;
    mf_log(
        MF_WARN, "cutover",
        "--accept-differences: going back to the %s as it is, though somebody else has written to it (%" PRId64
        " writes on the wrong side, %" PRId64
        " rows mended); rows it lacks are only on the %s, and a verify --repair after the rollback deletes them there",
        mf_cutover_side(c->o.to), wrong, mended, mf_cutover_side(c->o.from));
    return c->o.dry_run ? 0
                        : mf_journal_add(c->o.state, "cutover", "accept_differences",
                                         "the side that takes the writes was written to by somebody else", err);
}

int mf_cutover_others(struct mf_cutover *c, struct mf_error *err)
{
    int64_t wrong = mf_state_wrong_side_count(c->o.state), mended, at_us;
    mf_state_diverged_summary(c->o.state, &mended, &at_us);
    at_us = c->o.rollback ? mf_state_foreign_last(c->o.state, c->o.to->side) : mf_state_wrong_side_last(c->o.state);
    bool proven = true;
    if (at_us > 0 && mf_state_proven_since(c->o.state, at_us, &proven, err) < 0) {
        return -1;
    }
    if (proven) {
        return 0;
    }
    if (!c->o.rollback) {
        return refuse_cutover(wrong, err);
    }
    return c->o.accept_differences ? accept(c, wrong, mended, err) : refuse_rollback(c, wrong, mended, err);
}
