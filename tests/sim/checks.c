/* The promises, as they can be seen from outside.
 *
 * The data of a server is known by its digest. The application's commits make a chain of states; a commit of the application must always start
 * from the last state of the chain, wherever it is made: so nothing acknowledged is lost or doubled by a cutover or a rollback (P6, P7).
 * A commit of midflight's that changes data must lead to a state of the chain, and never to an older one than before (P1). At the end both
 * servers are at the last one (P2). */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "sim.h"

static void push(struct world *w, uint64_t digest)
{
    if (w->nhistory == w->cap_history) {
        w->cap_history = w->cap_history ? w->cap_history * 2 : 128;
        w->history = mf_xreallocarray(w->history, w->cap_history, sizeof *w->history);
    }
    w->history[w->nhistory++] = digest;
}

static bool match(struct world *w, int side, uint64_t digest)
{
    for (size_t i = w->matched[side]; i < w->nhistory; i++) {
        if (w->history[i] == digest) {
            w->matched[side] = i;
            return true;
        }
    }
    return false;
}

static void app_committed(struct world *w, int side, uint64_t digest)
{
    if (w->nhistory && w->history[w->nhistory - 1] != w->previous[side] && !w->corrupted) {
        world_fail(w, "P6/P7", "the application commits on %s, which is not where its last commit left the data",
                   mf_mem_name(w->server[side]));
    }
    push(w, digest);
    w->matched[side] = w->nhistory - 1;
}

static void ours_committed(struct world *w, int side, uint64_t digest)
{
    if (!w->consistent || w->corrupted || w->stamped || digest == w->previous[side]) {
        return;
    }
    if (!match(w, side, digest)) {
        world_fail(w, "P1", "a commit of midflight's leaves %s at a state the application never made",
                   mf_mem_name(w->server[side]));
    }
}

void check_start(struct world *w)
{
    for (int side = 0; side < 2; side++) {
        w->previous[side] = world_digest(w, side);
    }
    push(w, w->previous[MF_SOURCE]);
}

void check_commit(void *world, struct mf_mem_server *s)
{
    struct world *w = world;
    int side = s == w->server[MF_TARGET];
    const struct mf_mem_commit *c = mf_mem_commit_at(s, mf_mem_commits(s) - 1);
    uint64_t digest = w->mapped ? world_digest(w, side) : c->digest;
    if (w->verbose && digest != w->previous[side]) {
        world_say(w, "%s commits on %s", c->ours ? "midflight" : "application", mf_mem_name(s));
        mf_mem_tell(s, c->xid, stdout);
    }
    if (w->foreign) {
        /* nobody's history */
    } else if (c->ours) {
        ours_committed(w, side, digest);
    } else {
        app_committed(w, side, digest);
        w->written_us = side == MF_TARGET ? mf_wall_us() : w->written_us;
    }
    w->previous[side] = digest;
}

void check_consistent_now(struct world *w)
{
    if (w->consistent) {
        return;
    }
    w->consistent = true;
    if (!w->stamped && !match(w, MF_TARGET, world_digest(w, MF_TARGET))) {
        world_fail(w, "P1", "at the consistency point the target is at a state the application never made");
    }
}

void check_mended(struct world *w)
{
    check_equal(w, "after somebody else's writes were mended");
    w->corrupted = false;
    w->matched[0] = w->matched[1] = w->nhistory - 1;
}

/* What is mended without anybody else's having written was broken by us. */
void check_nothing_diverged(struct world *w)
{
    int64_t rows, at;
    mf_state_diverged_summary(w->state, &rows, &at);
    if (rows) {
        world_fail(w, "P1", "%lld rows were mended that nobody else had written", (long long)rows);
    }
}

void check_equal(struct world *w, const char *when)
{
    if (w->mapped && world_digest(w, MF_SOURCE) != world_digest(w, MF_TARGET)) {
        world_fail(w, "P2", "%s: the query tables are not what they must be", when);
    }
    for (int i = 0; i < SIM_TABLES && !w->mapped; i++) {
        if (mf_mem_table_digest(w->server[0], "public", sim_tables[i]) !=
            mf_mem_table_digest(w->server[1], "public", sim_tables[i])) {
            world_fail(w, "P2", "%s: table %s differs", when, sim_tables[i]);
        }
    }
}

/* Whatever the source says of the time. Beyond the minute that is believed: as many changes as there are. */
void check_stamp(struct world *w, int64_t stamp)
{
    if (w->stamped && stamp > mf_wall_us() + 61 * MF_US_PER_SEC) {
        world_fail(w, "stamps", "what is written has a time that is %lld s to come",
                   (long long)((stamp - mf_wall_us()) / MF_US_PER_SEC));
    }
}

void check_one_writer(struct world *w)
{
    if (!w->ended && mf_mem_gated(w->server[MF_TARGET]) && mf_mem_writable(w->server[MF_SOURCE], "public", "a") &&
        mf_mem_writable(w->server[MF_TARGET], "public", "a")) {
        world_fail(w, "P9", "both sides take writes");
    }
    for (int i = 0; i < 2; i++) {
        if (mf_mem_violation(w->server[i])[0]) {
            world_fail(w, "protocol", "%s", mf_mem_violation(w->server[i]));
        }
    }
}

void check_clean(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        if (mf_mem_residue(w->server[i])) {
            world_fail(w, "P3", "%zu things are left behind in %s", mf_mem_residue(w->server[i]),
                       mf_mem_name(w->server[i]));
        }
    }
}
