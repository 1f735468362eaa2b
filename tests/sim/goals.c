/* What the operator asks for, and what must hold when it is done. */
#include "engine.h"

#include <string.h>

#include "base/str.h"

/* ---- cutovers ---- */

static int ask_away(void *engine, bool away, struct mf_error *err)
{
    struct engine *e = engine;
    (void)err;
    e->away = away;
    e->w->allowance += away ? (int)sim_below(e->w, 12) : 0; /* whoever has not heard of it yet goes on */
    engine_flag(e);
    return 0;
}

static void tell(void *engine, const char *step, const char *sentence)
{
    (void)step, (void)sentence;
    engine_flag(engine);
}

struct mf_cutover_options engine_cutover_options(struct engine *e, bool back)
{
    return (struct mf_cutover_options){.id = e->id[0],
                                       .from = e->db[back],
                                       .to = e->db[!back],
                                       .drain = e->pipe[back],
                                       .back = e->pipe[!back],
                                       .from_tables = &e->tables[back],
                                       .to_tables = &e->tables[!back],
                                       .state = e->w->state,
                                       .config = &e->config,
                                       .max_pause_ms = sim_chance(e->w, 100) ? 30 : 600000,
                                       .ask_away = ask_away,
                                       .flag_delay_ms =
                                           mf_streq(e->w->broken, "soft-hold-no-wait") ? 0 : FLAG_DELAY_US / 1000 + 1,
                                       .pass = engine_pass,
                                       .tell = e->w->silent ? tell : NULL,
                                       .ctx = e,
                                       .rollback = back};
}

int engine_resume(struct engine *e, struct mf_error *err)
{
    struct mf_cutover_options o = engine_cutover_options(e, false);
    enum mf_writer writer;
    return mf_cutover_resume(&o, &writer, err);
}

/* ---- goals ---- */

static void achieved(struct engine *e)
{
    struct world *w = e->w;
    w->goal++;
    w->attempts = 0;
    w->allowance = (int)sim_below(w, 20);
    e->stage = 0;
    e->drain.order = 0;
    world_say(w, "goal %d reached, next %d", w->goals[w->goal - 1], w->goals[w->goal]);
}

/* A pass that began after this was first asked has found nothing. */
static int carried(struct engine *e, struct mf_error *err)
{
    struct mf_cutover_found found = {0};
    if (!e->drain.order) {
        engine_stop_pass(e);
        e->drain.order = 1;
    }
    enum mf_step s = engine_pass(e, &found, err);
    return s == MF_STEP_FAILED ? (err->cls == MF_ABANDONED ? 1 : -1) : s == MF_STEP_MORE && found.rows == 0 ? 0 : 1;
}

/* Everything committed where writes go has reached the other side. */
static int drained(struct engine *e, struct mf_error *err)
{
    struct mf_pipe *p = engine_live(e);
    struct mf_position at;
    if (p->by_pass) {
        return carried(e, err);
    }
    if (!e->drain.order) {
        return p->origin->connector->source->heartbeat(p->origin, &p->id, NULL, &e->drain, err) < 0 ? -1 : 1;
    }
    mf_apply_want_checkpoint(p->apply);
    mf_apply_position(p->apply, &at);
    return mf_position_reached(&at, &e->drain) ? 0 : 1;
}

static int open_verify(struct engine *e, bool repair, struct mf_error *err)
{
    int from = engine_writes_on_target(e);
    struct mf_verify_options o = {.pipe = engine_live(e),
                                  .state = e->w->state,
                                  .map = e->map[from],
                                  .tables = &e->tables[from],
                                  .sample = 1,
                                  .repair = repair,
                                  .snapshot_ms = sim_chance(e->w, 300) ? 3 : 60000,
                                  .chunk_rows = 1 + sim_below(e->w, 8),
                                  .dir = "/tmp", /* of what is joined, in an unlinked file */
                                  .memory = e->w->join_memory};
    return mf_verify_new(&o, &e->verify, err);
}

/* 0: finished, with its counts. */
static int verify(struct engine *e, bool repair, struct mf_verify_stats *ret, struct mf_error *err)
{
    if (!e->verify) {
        return open_verify(e, repair, err) < 0 ? -1 : 1;
    }
    if (!e->verified[0] || !e->verified[1]) {
        return 1;
    }
    mf_verify_stats(e->verify, ret);
    engine_close_verify(e);
    return 0;
}

static int judge_difference(void *ctx, const char *table, const char *key, const char *kind, const char *where)
{
    (void)where;
    struct engine *e = ctx;
    if (!mf_streq(kind, "quarantined") &&
        !mf_streq(kind, "missing")) { /* missing: it was refused after the look began */
        world_fail(e->w, "P5", "verify found a row of %s (%s) that %s", table, key, kind);
    }
    return 0;
}

/* What differs was refused. */
static int only_refused(struct engine *e, struct mf_error *err)
{
    struct mf_verify_summary last;
    bool found = false;
    if (mf_state_verify_last(e->w->state, &last, &found, err) < 0) {
        return -1;
    }
    return found ? mf_state_verify_differences(e->w->state, last.run, judge_difference, e, err) : 0;
}

static int goal_verify(struct engine *e, struct mf_error *err)
{
    if (engine_live(e)->by_pass) { /* what takes writes is not compared but carried */
        int carried_now = drained(e, err);
        if (carried_now == 0) {
            achieved(e);
        }
        return carried_now < 0 ? -1 : 0;
    }
    struct mf_verify_stats s = {0};
    int rc = verify(e, false, &s, err);
    if (rc == 0) {
        if (s.rows_differing && !e->w->refusals && !e->w->mapped) {
            world_fail(e->w, "P5", "verify found %lld differences where there are none", (long long)s.rows_differing);
        } else if (s.rows_differing && only_refused(e, err) < 0) {
            return -1;
        }
        achieved(e);
    }
    return rc < 0 ? -1 : 0;
}

/* Somebody writes to the passive side; verify must find it and mend it, while the application writes to the other tables. */
static int goal_corrupt(struct engine *e, struct mf_error *err)
{
    struct world *w = e->w;
    struct mf_verify_stats s = {0};
    struct mf_mem_server *passive = w->server[!engine_writes_on_target(e)];
    if (engine_live(e)->by_pass) {
        achieved(e);
        return 0;
    }
    if (w->corrupted) {
        int rc = verify(e, true, &s, err);
        if (rc != 0) {
            return rc < 0 ? -1 : 0;
        }
        if (s.rows_differing == 0 && e->stage == 2) {
            world_fail(w, "P5", "verify did not find a corrupted row of %s", sim_tables[w->untouched]);
        }
        const char *t = sim_tables[w->untouched];
        if (mf_mem_table_digest(w->server[0], "public", t) != mf_mem_table_digest(w->server[1], "public", t)) {
            world_fail(w, "P5", "verify --repair left table %s different", t);
        }
        w->corrupted = false;
        w->untouched = -1;
        achieved(e);
        return 0;
    }
    if (e->stage == 0) {
        w->untouched = (int)sim_below(w, SIM_TABLES);
        app_pause(w);
        e->stage = 1;
        e->drain.order = 0;
    }
    int rc = drained(e, err);
    if (rc != 0) {
        return rc < 0 ? -1 : 0;
    }
    if (!mf_mem_corrupt(passive, "public", sim_tables[w->untouched], sim_below(w, 100), (int)sim_below(w, 3))) {
        w->untouched = -1;
        achieved(e);
        return 0;
    }
    world_say(w, "corrupted table %s of %s", sim_tables[w->untouched], mf_mem_name(passive));
    w->corrupted = true;
    e->stage = 2;
    return 0;
}

/* Somebody else writes to the passive side while the stream goes on: what it meets is mended, a comparison with repair finds the
 * rest, and then both sides are equal. */
static int goal_foreign(struct engine *e, struct mf_error *err)
{
    struct world *w = e->w;
    struct mf_verify_stats s = {0};
    if (!w->corrupted) {
        if (!w->mended_before) {
            check_nothing_diverged(w);
        }
        w->corrupted = w->mended_before = true;
        w->foreign_left = 2 + (int)sim_below(w, 12);
        w->found_nothing = 0;
        w->allowance += 15;
    }
    if (w->foreign_left > 0) {
        w->foreign_left--;
        app_foreign(w, (enum mf_side) !engine_writes_on_target(e));
        return 0;
    }
    int rc = 0;
    switch (e->stage) {
    case 0: /* the stream meets what it meets */
        rc = drained(e, err);
        break;
    case 1: /* a row may go to quarantine behind the comparison, for a value that such a row still has: until nothing is found. Twice, for one
             * that goes on after a crash does not look again at what it had compared before. */
        rc = verify(e, true, &s, err);
        if (rc == 0) {
            w->found_nothing = s.rows_differing ? 0 : w->found_nothing + 1;
        }
        if (rc == 0 && w->found_nothing < 2) {
            return 0;
        }
        if (rc == 0) {
            w->allowance = 0;
            app_pause(w);
            e->drain.order = 0;
        }
        break;
    case 2:
        rc = drained(e, err);
        rc = rc == 0 && !mf_apply_consistent(engine_live(e)->apply) ? 1 : rc;
        break;
    default:
        check_mended(w);
        achieved(e);
        return 0;
    }
    e->stage += rc == 0;
    return rc < 0 ? -1 : 0;
}

static void judge_abandoned(struct engine *e, bool back)
{
    struct world *w = e->w;
    const struct mf_mem_server *from = w->server[back];
    if (!w->silent && !mf_mem_held(from) && !mf_mem_writable(w->server[back], "public", "a")) {
        world_fail(w, "P6", "an abandoned cutover left %s closed", mf_mem_name(from));
    }
    if (w->attempts++ > 3) {
        achieved(e);
    }
}

static int settle(struct engine *e, struct mf_error *err)
{
    if (engine_resume(e, err) < 0) {
        return -1;
    }
    e->unsettled = false;
    engine_flag(e);
    return 0;
}

static int goal_move(struct engine *e, bool back, bool dry_run, struct mf_error *err)
{
    if (e->unsettled) {
        return settle(e, err);
    }
    if (!e->cutover && engine_writes_on_target(e) != back) {
        achieved(e);
        return 0;
    }
    if (!e->cutover) {
        engine_stop_pass(e);
        struct mf_cutover_options o = engine_cutover_options(e, back);
        o.dry_run = dry_run;
        if (mf_cutover_new(&o, &e->cutover, err) < 0) {
            return -1;
        }
    }
    const char *at = mf_cutover_at(e->cutover);
    enum mf_step s = mf_cutover_step(e->cutover, err);
    world_say(e->w, "%s %s: %d", back ? "rollback" : "cutover", at, s);
    if (s == MF_STEP_DONE || s == MF_STEP_FAILED) {
        mf_cutover_free(e->cutover);
        e->cutover = NULL;
        engine_stop_pass(e);
        e->away = false;
        e->unsettled = s == MF_STEP_FAILED && err->cls != MF_ABANDONED;
        engine_flag(e);
    }
    if (s == MF_STEP_DONE) {
        achieved(e);
    } else if (s == MF_STEP_FAILED && err->cls == MF_ABANDONED && !e->w->crashed) {
        world_say(e->w, "abandoned: %s", err->text);
        judge_abandoned(e, back);
    } else if (s == MF_STEP_FAILED) {
        e->unsettled = true;
        return -1;
    }
    return 0;
}

static int clean(struct engine *e, struct mf_error *err)
{
    for (int i = 0; i < 2; i++) {
        if (e->db[i]->connector->traffic->cleanup(e->db[i], &e->id[0], err) < 0) {
            return -1;
        }
    }
    achieved(e);
    return 0;
}

/* A write on the side that may not write must be seen and told, and never carried over. */
static int wrong_side(struct engine *e, struct mf_error *err)
{
    struct world *w = e->w;
    int active = engine_writes_on_target(e);
    struct mf_pipe *p = e->pipe[!active];
    if (e->stage == 1) {
        w->corrupted = true;
        w->wrong_before = mf_state_wrong_side_count(w->state);
        app_bypass(w, (enum mf_side) !active);
        e->drain.order = 0;
        e->stage = 2;
    }
    struct mf_capture_stats s;
    mf_capture_stats(p->capture, &s);
    if (!e->drain.order) {
        return p->origin->connector->source->heartbeat(p->origin, &p->id, NULL, &e->drain, err) < 0 ? -1 : 1;
    }
    if (s.durable.order < e->drain.order) {
        return 1;
    }
    if (mf_state_wrong_side_count(w->state) <= w->wrong_before) {
        world_fail(w, "P9", "a write on the side that may not write was not noticed");
    }
    if (mf_mem_digest(w->server[active]) != w->history[w->nhistory - 2]) {
        world_fail(w, "P9", "a write on the side that may not write was carried over");
    }
    return 0;
}

static int goal_end(struct engine *e, struct mf_error *err)
{
    if (e->phase == ENDING) {
        engine_close_pipes(e);
        return clean(e, err);
    }
    if (!e->w->app_stopped) {
        app_finish(e->w);
    }
    if (e->w->corrupted) {
        e->stage = e->stage == 2 ? 2 : 3; /* died while it looked at a write on the wrong side: seen before */
    }
    if (e->stage == 0) {
        int rc = drained(e, err);
        if (rc != 0) {
            return rc < 0 ? -1 : 0;
        }
        mf_mem_late_writes_arrive(e->w->server[MF_TARGET]);
        check_equal(e->w, "at the end");
        if (!e->w->mended_before) {
            check_nothing_diverged(e->w);
        }
        e->stage = 1;
        if (e->w->failure[0] || e->w->seed % 8 || e->w->corrupted || e->w->stamped || e->w->mapped) {
            e->stage = 3;
        }
    }
    if (e->stage < 3) {
        int rc = wrong_side(e, err);
        if (rc != 0) {
            return rc < 0 ? -1 : 0;
        }
    }
    e->w->ended = true;
    return engine_enter(e, ENDING, err);
}

int engine_control(struct engine *e, struct mf_error *err)
{
    if (e->phase < SYNCED && e->w->cancel_at && e->w->steps > e->w->cancel_at) {
        engine_close_copy(e);
        e->w->ended = true;
        return engine_enter(e, ENDING, err);
    }
    if (e->phase < SYNCED) {
        return engine_next_phase(e, err) < 0 ? -1 : 0;
    }
    if (e->w->goals[e->w->goal] != GOAL_END && !e->drain.order && engine_tend_passes(e, err) < 0) {
        return -1;
    }
    switch (e->w->goals[e->w->goal]) {
    case GOAL_SYNC:
        achieved(e);
        return 0;
    case GOAL_VERIFY:
        return goal_verify(e, err);
    case GOAL_CORRUPT:
        return goal_corrupt(e, err);
    case GOAL_FOREIGN:
        return goal_foreign(e, err);
    case GOAL_CUTOVER:
        return goal_move(e, false, false, err);
    case GOAL_ROLLBACK:
        return goal_move(e, true, false, err);
    case GOAL_DRY_RUN:
        return goal_move(e, engine_writes_on_target(e), true, err);
    case GOAL_END:
        return goal_end(e, err);
    case GOAL_DONE:
        return 0;
    }
    return 0;
}
