/* Has somebody else written to the side that is to take the writes, while it followed?
 *
 * What it then lacks, or has too much, nobody will miss until it is too late: a verification after the move takes the new side as the right one. So
 * what is known refuses a move, until a verification of everything that began later has found (or made) both sides equal. A rollback asks for no more
 * than that: without such knowledge it waits for no proof, and it can be told to go on all the same. Known against a rollback is, too, what was compared since the cutover and
 * found to differ, and that values were altered on the side that takes the writes by no change that a stream tells. */
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

/* What is known against a rollback. */
struct known {
    int64_t wrong, mended; /* written by others since writes left the side that is to take them */
    bool foreign, altered; /* and nothing proves it equal since */
    int64_t differing;     /* rows, by what was compared since */
};

/* It happened, and no verification of everything that began later has found (or made) both sides equal. at_us 0: it did not. */
static int unsettled(const struct mf_cutover *c, int64_t at_us, bool *ret, struct mf_error *err)
{
    bool proven = true;
    if (at_us > 0 && mf_state_proven_since(c->o.state, at_us, &proven, err) < 0) {
        return -1;
    }
    *ret = !proven;
    return 0;
}

/* By the last verification of all rows, if it began since writes are there. What passes carry back is compared by each of them again. */
static int compared(const struct mf_cutover *c, int64_t *ret, struct mf_error *err)
{
    struct mf_verify_summary last = {0};
    int64_t with_later;
    bool found = false;
    if (c->o.drain->by_pass) {
        return 0;
    }
    if (mf_state_verify_last_full(c->o.state, "reverse", &last, &with_later, &found, err) < 0) {
        return -1;
    }
    *ret = found && last.started_us > mf_journal_time(c->o.state, "cutover", "done") ? last.differing : 0;
    return 0;
}

static int look(const struct mf_cutover *c, struct known *ret, struct mf_error *err)
{
    struct mf_state *s = c->o.state;
    struct known k = {.wrong = mf_state_wrong_side_count(s)};
    int64_t ignore_us;
    mf_state_diverged_summary(s, &k.mended, &ignore_us);
    if (unsettled(c, mf_state_foreign_last(s, c->o.to->side), &k.foreign, err) < 0 ||
        unsettled(c, mf_state_int(s, "values_altered_us", 0), &k.altered, err) < 0 ||
        compared(c, &k.differing, err) < 0) {
        return -1;
    }
    *ret = k;
    return 0;
}

static void say(const struct mf_cutover *c, const struct known *k, char *out, size_t n)
{
    const char *to = mf_cutover_side(c->o.to), *from = mf_cutover_side(c->o.from);
    if (k->foreign) {
        snprintf(out, n,
                 "somebody else has written to the %s since writes left it (%" PRId64
                 " writes on the wrong side, %" PRId64
                 " rows mended), and the two sides have not been found equal since: it may lack rows",
                 to, k->wrong, k->mended);
    } else if (k->differing) {
        snprintf(out, n,
                 "verification found %" PRId64 " rows of the %s that are not as on the %s, and did not mend them",
                 k->differing, to, from);
    } else {
        snprintf(out, n,
                 "a column of the %s was altered while midflight was away, and the two sides have not been found equal "
                 "since: the %s may have other values",
                 from, to);
    }
}

static int refuse_rollback(const struct mf_cutover *c, const char *why, struct mf_error *err)
{
    mf_fail(err, MF_ABANDONED, "MFGUARD", "%s", why);
    mf_hint(err,
            "Run midflight verify --repair, then roll back; or midflight rollback --accept-differences to go back at "
            "once, with the %s as it is.",
            mf_cutover_side(c->o.to));
    return -1;
}

/* Once a rollback. */
static int accept(struct mf_cutover *c, const char *why, struct mf_error *err)
{
    if (c->accepted) {
        return 0;
    }
    c->accepted = true;
    mf_log(MF_WARN, "cutover",
           "--accept-differences: going back to the %s as it is, though %s; rows it lacks are only on the %s, and a "
           "verify --repair after the rollback deletes them there",
           mf_cutover_side(c->o.to), why, mf_cutover_side(c->o.from));
    return c->o.dry_run ? 0 : mf_journal_add(c->o.state, "cutover", "accept_differences", why, err);
}

static int before_rollback(struct mf_cutover *c, struct mf_error *err)
{
    struct known k;
    char why[400];
    if (look(c, &k, err) < 0) {
        return -1;
    }
    if (!k.foreign && !k.altered && !k.differing) {
        return 0;
    }
    say(c, &k, why, sizeof why);
    return c->o.accept_differences ? accept(c, why, err) : refuse_rollback(c, why, err);
}

int mf_cutover_others(struct mf_cutover *c, struct mf_error *err)
{
    bool open = false;
    if (c->o.rollback) {
        return before_rollback(c, err);
    }
    if (unsettled(c, mf_state_wrong_side_last(c->o.state), &open, err) < 0) {
        return -1;
    }
    return open ? refuse_cutover(mf_state_wrong_side_count(c->o.state), err) : 0;
}
