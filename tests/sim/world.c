/* One history: the world, the scheduler, the faults. */
#include "sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/str.h"

#define YEARS_US  (INT64_C(3) * 365 * 86400 * 1000000)
#define MAX_STEPS 60000

void world_fail(struct world *w, const char *promise, const char *fmt, ...)
{
    va_list ap;
    if (w->failure[0]) {
        return;
    }
    int n = snprintf(w->failure, sizeof w->failure, "%s: ", promise);
    va_start(ap, fmt);
    vsnprintf(w->failure + n, sizeof w->failure - (size_t)n, fmt, ap);
    va_end(ap);
    world_say(w, "FAILURE %s", w->failure);
}

void world_say(struct world *w, const char *fmt, ...)
{
    if (!w->verbose) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    printf("%8llu  ", (unsigned long long)w->steps);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
}

/* ---- faults ---- */

static enum mf_mem_fate hook(void *ctx, struct mf_mem_server *s, const char *op)
{
    struct world *w = ctx;
    if (w->crashed) {
        return MF_MEM_CRASH_BEFORE;
    }
    if (sim_chance(w, w->app_rate) || mf_streq(op, "traffic.hold_wait")) {
        app_step(w);
    }
    if (sim_chance(w, 30) && mf_mem_shadow_ends(s, sim_chance(w, 800))) {
        world_say(w, "a commit that was on its way ends on %s", mf_mem_name(s));
    }
    check_one_writer(w);
    bool late = w->late_decisions && mf_streq(op, "traffic.hold_decide");
    if (!late && (w->faults_left <= 0 || sim_below(w, 10000) >= w->fault_rate)) {
        return MF_MEM_GO;
    }
    w->late_decisions = w->late_decisions && !late;
    w->faults_left--;
    enum mf_mem_fate fate = (enum mf_mem_fate)(MF_MEM_LOST_BEFORE + sim_below(w, 4));
    if (late) {
        fate = MF_MEM_CRASH_AFTER;
    }
    static const char *const names[] = {"", "lost before", "lost after", "crash before", "crash after"};
    world_say(w, "fault: %s %s on %s", names[fate], op, mf_mem_name(s));
    if (fate >= MF_MEM_CRASH_BEFORE) {
        w->crashed = true;
        w->crashes++;
    } else {
        w->lost++;
    }
    return fate;
}

/* A fault point of the stages themselves fires at its next hit; only one that fires uses up a fault. */
static void arm_point(struct world *w)
{
    char spec[80];
    struct mf_error err = {0};
    static const char *const layers[] = {"capture.", "apply.",     "copy.",      "cutover.",
                                         "verify.",  "spool.roll", "spool.sync", "spool.spill"};
    static const char *const never[] = {"spool.synced", "apply.schema"}; /* of files; no schema changes here */
    const struct mf_fault_point *p = mf_fault_point(sim_below(w, (unsigned)mf_fault_count()));
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (mf_streq(p->name, never[i])) {
            return;
        }
    }
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        if (mf_starts_with(p->name, layers[i])) {
            snprintf(spec, sizeof spec, "%s:%u=error", p->name, 1 + sim_below(w, 3));
            mf_fault_arm(spec, &err);
            world_say(w, "armed %s", spec);
        }
    }
}

static void restart_engine(struct world *w)
{
    world_say(w, "midflight dies and starts again");
    w->crashed = true; /* nothing the dying process does reaches a server */
    app_flag(w, FLAG_NONE);
    engine_free(w->engine);
    w->engine = NULL;
    mf_fault_arm(NULL, NULL);
    for (int i = 0; i < 2; i++) {
        mf_mem_disconnect(w->server[i]);
        mf_spool_memory_crash(w->storage[i]);
        if (mf_streq(w->broken, "spool-lost")) {
            mf_spool_storage_free(w->storage[i]);
            w->storage[i] = mf_spool_memory();
        }
    }
    w->crashed = false;
}

static void judge_error(struct world *w, const struct mf_error *err)
{
    world_say(w, "error [%s %s] %s", mf_errclass_name(err->cls), err->code, err->text);
    if (w->crashed || err->cls == MF_CRASH) {
        restart_engine(w);
    } else if (mf_streq(err->code, "MFFLT")) {
        w->faults_left--;
        if (sim_chance(w, 600)) {
            restart_engine(w);
        }
    } else if (err->cls != MF_RETRY) {
        world_fail(w, "stopped", "[%s %s] %s", mf_errclass_name(err->cls), err->code, err->text);
    }
}

/* ---- the script ---- */

static void write_script(struct world *w)
{
    int n = 0;
    if (sim_chance(w, 40)) { /* given up on the way */
        w->cancel_at = 1 + sim_below(w, 400);
        w->goals[n++] = GOAL_END;
        w->goals[n] = GOAL_DONE;
        return;
    }
    w->goals[n++] = GOAL_SYNC;
    if (w->silent && sim_chance(w, 500)) {
        w->goals[n++] = GOAL_CUTOVER;
        w->goals[n++] = GOAL_ROLLBACK;
    }
    for (unsigned k = w->mapped ? sim_below(w, 3) : sim_below(w, 5); k > 0 && n < SIM_GOALS - 2; k--) {
        unsigned r = sim_below(w, 100);
        w->goals[n++] = r < 25 || w->refusals || w->mapped || (w->stamped && r >= 35 && (!w->silent || r < 40))
                            ? GOAL_VERIFY /* who writes where rows are missing meets them one day */
                        : r < 35 ? GOAL_CORRUPT
                        : r < 40 ? GOAL_FOREIGN
                        : r < 70 ? GOAL_CUTOVER
                        : r < 95 ? GOAL_ROLLBACK
                                 : GOAL_DRY_RUN;
    }
    for (int i = 0; i < n; i++) {
        w->heal |= w->goals[i] == GOAL_FOREIGN;
    }
    w->goals[n++] = GOAL_END;
    w->goals[n] = GOAL_DONE;
}

/* Breaks that only a target which keeps the last write has. */
static bool of_stamps(const char *broken)
{
    static const char *const names[] = {"load-late",    "insert-plain", "null-nothing",
                                        "delete-early", "rows-after",   "stamp-of-window"};
    for (size_t i = 0; broken && i < sizeof names / sizeof names[0]; i++) {
        if (mf_streq(broken, names[i])) {
            return true;
        }
    }
    return false;
}

/* And those of moving writes to one that tells nobody of its changes, and back. */
static bool of_passes(const char *broken)
{
    static const char *const names[] = {"pass-keeps",        "pass-position-late", "pass-before-fence",
                                        "soft-hold-no-wait", "stamps-not-raised",  "clock-not-waited-for"};
    for (size_t i = 0; broken && i < sizeof names / sizeof names[0]; i++) {
        if (mf_streq(broken, names[i])) {
            return true;
        }
    }
    return false;
}

void world_start(struct world *w, uint64_t seed, bool verbose, const char *broken)
{
    struct mf_error err = {0};
    memset(w, 0, sizeof *w);
    the_world = w;
    w->seed = seed;
    w->rng = seed * UINT64_C(0x2545f4914f6cdd1d) + 7;
    w->verbose = verbose;
    w->broken = broken;
    w->untouched = -1;
    w->now_us = 1000000;
    w->server[MF_SOURCE] = mf_mem_server_new("sim-source");
    w->server[MF_TARGET] = mf_mem_server_new("sim-target");
    w->mapped = seed % 7 == 3;
    w->faces = sim_chance(w, 150) || w->mapped;
    w->refusals = w->faces && sim_chance(w, 300) && !w->mapped;
    w->stamped = !w->faces && (sim_chance(w, 250) || of_stamps(broken) || of_passes(broken));
    w->silent = w->stamped && (sim_chance(w, 500) || of_passes(broken)) && !of_stamps(broken);
    if (w->mapped) {
        mapped_choose(w);
    }
    unsigned other = sim_below(w, 2); /* which of them is of the other kind */
    for (unsigned i = 0; i < 2; i++) {
        mf_mem_knobs(w->server[i])->other = w->faces && i == other;
    }
    mf_mem_knobs(w->server[MF_TARGET])->stamped = w->stamped ? 1 + sim_below(w, 1000000) : 0;
    w->unordered = sim_chance(w, 250) || w->silent;
    if (seed % 11 == 5 && !w->faces && !w->stamped &&
        !broken) { /* rows that are read may be newer than they should be */
        w->unordered = mf_mem_knobs(w->server[MF_SOURCE])->newer = true;
    }
    mf_mem_knobs(w->server[MF_TARGET])->silent = w->silent;
    w->join_memory = sim_chance(w, 300) ? 1 + sim_below(w, 2000) : 0;
    mf_mem_knobs(w->server[MF_TARGET])->unordered = w->unordered;
    app_create_tables(w);
    check_start(w);
    for (int i = 0; i < 2; i++) {
        struct mf_mem_knobs *k = mf_mem_knobs(w->server[i]);
        k->stream_after = sim_chance(w, 400) ? 1 + sim_below(w, 5) : 0;
        k->wire_rows = sim_below(w, 3);
        k->shadows = sim_chance(w, 500);
        k->late_errors = sim_chance(w, 500);
        k->broken = broken;
        k->by_time = w->silent;
        mf_mem_on_commit(w->server[i], check_commit, w);
        mf_mem_set_hook(w->server[i], hook, w);
        w->storage[i] = mf_spool_memory();
    }
    if (mf_state_open(NULL, &w->state, &err) < 0) {
        world_fail(w, "setup", "%s", err.text);
    }
    static const uint64_t budgets[] = {64u << 20, 64u << 20, 20000, 4000};
    w->spool_budget = budgets[sim_below(w, 4)];
    w->large = sim_chance(w, 120);
    w->transaction_memory = w->large && sim_chance(w, 500) ? 600 : 16u << 20;
    w->reread_bytes = sim_chance(w, 200) ? 200 + sim_below(w, 1000) : 0;
    static const unsigned app_rates[] = {0, 30, 100, 300}, fault_rates[] = {0, 0, 20, 60, 200};
    w->app_rate = app_rates[sim_below(w, 4)];
    w->fault_rate = fault_rates[sim_below(w, 5)];
    w->faults_left = w->fault_rate ? 1 + (int)sim_below(w, 8) : 0;
    if (mf_streq(broken, "two-appliers")) { /* needs a rare meeting: more chances for it */
        w->fault_rate = 200;
        w->faults_left = 12;
        mf_mem_knobs(w->server[0])->shadows = mf_mem_knobs(w->server[1])->shadows = true;
    }
    if (mf_streq(broken, "settle-nothing")) { /* the same */
        mf_mem_knobs(w->server[0])->shadows = mf_mem_knobs(w->server[1])->shadows = true;
        w->late_decisions = true;
    }
    for (int i = 0; i < SIM_PARTS; i++) {
        w->weights[i] = 2 + sim_below(w, sim_chance(w, 200) ? 20 : 5);
    }
    w->allowance = 5 + (int)sim_below(w, 60);
    write_script(w);
}

static void one_step(struct world *w)
{
    struct mf_error err = {0};
    w->steps++;
    w->now_us += sim_chance(w, 20) ? 1500000 : sim_below(w, 3000);
    if (sim_chance(w, 100 + w->app_rate)) {
        app_step(w);
    }
    if (w->fault_rate && w->faults_left > 0 && sim_below(w, 10000) < w->fault_rate / 2) {
        arm_point(w);
    }
    if (sim_below(w, 20000) < w->fault_rate && w->faults_left > 0) {
        w->faults_left--;
        unsigned d = sim_below(w, 2), nth = 1 + sim_below(w, 4);
        world_say(w, "the disk of spool %u fails at its operation %u from here", d, nth);
        mf_spool_memory_fail(w->storage[d], nth);
    }
    if (sim_below(w, 100000) < w->fault_rate && w->faults_left > 0) {
        w->faults_left--;
        unsigned s = sim_below(w, 2);
        world_say(w, "%s dies and comes back", mf_mem_name(w->server[s]));
        mf_mem_restart(w->server[s]);
    }
    if (w->stamped && sim_chance(w, 5)) { /* the clocks are set, forth and back, and now and then years ahead */
        mf_mem_knobs(w->server[MF_SOURCE])->clock_us =
            sim_chance(w, 200) ? YEARS_US : ((int64_t)sim_below(w, 4000) - 2000) * (w->silent ? 10000 : 1);
    }
    for (int i = 0; i < 2; i++) {
        if (sim_chance(w, 10)) {
            mf_mem_shadow_ends(w->server[i], sim_chance(w, 800));
        }
    }
    if (!w->engine) {
        if (engine_open(w, &w->engine, &err) < 0) {
            judge_error(w, &err);
            return;
        }
    }
    if (!engine_step(w->engine, &err)) {
        judge_error(w, &err);
    }
    check_one_writer(w);
}

void world_run(struct world *w)
{
    while (!w->failure[0] && w->goals[w->goal] != GOAL_DONE) {
        one_step(w);
        if (w->steps > MAX_STEPS) {
            world_fail(w, "progress", "nothing more happens at goal %d", w->goals[w->goal]);
        }
    }
    if (!w->failure[0]) {
        check_clean(w);
    }
    if (w->failure[0] && w->verbose) {
        mf_mem_dump(w->server[0], stdout);
        mf_mem_dump(w->server[1], stdout);
    }
}

void world_end(struct world *w)
{
    for (int i = 0; i < SIM_OPEN; i++) {
        if (w->open[i].txn) {
            mf_mem_abort(w->open[i].txn);
        }
    }
    w->crashed = true;
    engine_free(w->engine);
    mf_fault_arm(NULL, NULL);
    mf_state_close(w->state);
    for (int i = 0; i < 2; i++) {
        mf_mem_disconnect(w->server[i]);
        mf_mem_server_free(w->server[i]);
        mf_spool_storage_free(w->storage[i]);
    }
    free(w->history);
    mf_config_free(w->config);
    the_world = NULL;
}
