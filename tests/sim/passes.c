/* What src/migration/passes.c does, on one thread; and the writes flag. */
#include "engine.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"

void engine_flag(struct engine *e)
{
    struct world *w = e->w;
    const char *at = e->cutover ? mf_cutover_at(e->cutover) : "";
    bool known = e->phase < SYNCED || (!e->unsettled && !e->away && !mf_streq(at, "decide") && !mf_streq(at, "open") &&
                                       !mf_streq(at, "done"));
    app_flag(w, !known ? FLAG_NONE : engine_writes_on_target(e) ? MF_TARGET : MF_SOURCE);
}

static int begin(struct engine *e, struct mf_error *err)
{
    struct mf_verify_options o = {.pipe = e->pipe[MF_REVERSE],
                                  .state = e->w->state,
                                  .map = e->map[MF_REVERSE],
                                  .tables = &e->tables[MF_TARGET],
                                  .sample = 1,
                                  .repair = true,
                                  .pass = true,
                                  .snapshot_ms = 60000,
                                  .chunk_rows = 1 + sim_below(e->w, 8),
                                  .dir = "/tmp",
                                  .memory = e->w->join_memory};
    e->pass_began_us = mf_wall_us();
    e->passed[0] = e->passed[1] = false;
    return e->db[MF_TARGET]->connector->source->position(e->db[MF_TARGET], &e->pass_at, err) < 0 ||
                   mf_verify_new(&o, &e->pass, err) < 0
               ? -1
               : 0;
}

void engine_stop_pass(struct engine *e)
{
    mf_verify_free(e->pass);
    e->pass = NULL;
}

bool engine_pass_step(struct engine *e, int worker, struct mf_error *err)
{
    if (!e->pass || e->passed[worker]) {
        return true;
    }
    enum mf_step s = mf_verify_step(e->pass, worker, err);
    e->passed[worker] = s == MF_STEP_DONE;
    return s != MF_STEP_FAILED;
}

/* Everything that was written before the position of a pass that is whole is on the source. */
static void check_position(struct engine *e, const struct mf_position *p)
{
    if (e->w->written_us < (int64_t)p->order && !e->w->failure[0]) {
        check_equal(e->w, "after a pass that began after the last write");
    }
}

static int end(struct engine *e, struct mf_verify_stats *ret, struct mf_error *err)
{
    mf_verify_stats(e->pass, ret);
    engine_stop_pass(e);
    world_say(e->w, "a pass: %lld compared, %lld carried, %lld refused, %lld left", (long long)ret->rows_compared,
              (long long)ret->rows_repaired, (long long)ret->rows_refused, (long long)ret->rows_left);
    if (ret->finished && ret->rows_left > 0 && ret->rows_repaired > 0) {
        return 0;
    }
    if (!ret->finished || ret->rows_left > 0) {
        return mf_fail(err, MF_ABANDONED, "MFLEFT", "%lld rows could not be carried back", (long long)ret->rows_left);
    }
    if (mf_streq(e->w->broken, "pass-position-late") &&
        e->db[MF_TARGET]->connector->source->position(e->db[MF_TARGET], &e->pass_at, err) < 0) {
        return -1;
    }
    if (mf_apply_passed(e->pipe[MF_REVERSE]->apply, &e->pass_at, e->pass_began_us, err) < 0) {
        return -1;
    }
    check_position(e, &e->pass_at);
    return 0;
}

enum mf_step engine_pass(void *engine, struct mf_cutover_found *ret_found, struct mf_error *err)
{
    struct engine *e = engine;
    struct mf_verify_stats s = {0};
    if (mf_streq(e->w->broken, "pass-before-fence") && e->cutover && mf_streq(mf_cutover_at(e->cutover), "drain")) {
        ret_found->rows = 0;
        return MF_STEP_MORE;
    }
    if (!e->pass) {
        return begin(e, err) < 0 ? MF_STEP_FAILED : MF_STEP_IDLE;
    }
    if (!e->passed[0] || !e->passed[1]) {
        return MF_STEP_IDLE;
    }
    if (end(e, &s, err) < 0) {
        return MF_STEP_FAILED;
    }
    ret_found->rows = s.rows_repaired + s.rows_left;
    return MF_STEP_MORE;
}

int engine_tend_passes(struct engine *e, struct mf_error *err)
{
    struct mf_cutover_found found = {0};
    if (!e->w->silent || e->phase != SYNCED || e->cutover || e->unsettled || !e->pipe[MF_REVERSE] ||
        !engine_writes_on_target(e) || (!e->pass && !sim_chance(e->w, 200))) {
        return 0;
    }
    enum mf_step s = engine_pass(e, &found, err);
    return s == MF_STEP_FAILED && err->cls != MF_ABANDONED ? -1 : 0;
}
