/* A world in which both sides are compared while everything else goes on. */
#ifndef MF_TESTS_VERIFY_WORLD_H
#define MF_TESTS_VERIFY_WORLD_H

#include "../pipeline/world.h"
#include "verify/verify.h"

static inline void synced(struct world *w)
{
    for (int i = 0; !w->copied || !mf_apply_consistent(w->pipe->apply); i++) {
        world_step(w);
        struct mf_pipe_id id = {.migration = "m", .direction = MF_FORWARD};
        struct mf_error err;
        if (i % 100 == 99) {
            mf_connector_memory.source->heartbeat(w->sdb, &id, NULL, NULL, &err);
        }
        if (i > 20000) {
            fail_msg("seed %" PRIu64 ": never synced", w->seed);
        }
    }
}

static inline void caught_up(struct world *w)
{
    for (int i = 0; mf_mem_digest(w->src) != mf_mem_digest(w->dst); i++) {
        world_step(w);
        if (i > 20000) {
            mf_mem_dump(w->src, stderr);
            mf_mem_dump(w->dst, stderr);
            fail_msg("seed %" PRIu64 ": never equal", w->seed);
        }
    }
}

/* Of a comparison in small pieces, which goes to the disk now and then where the rows are joined. */
static inline struct mf_verify_options verify_options(struct world *w)
{
    return (struct mf_verify_options){.pipe = w->pipe,
                                      .state = w->state,
                                      .map = w->map,
                                      .tables = &w->scat,
                                      .sample = 1,
                                      .snapshot_ms = world_random(w, 3) ? 60000 : 1,
                                      .chunk_rows = 3 + world_random(w, 20),
                                      .dir = "/tmp",
                                      .memory = world_random(w, 2) ? 0 : 1 + world_random(w, 4000)};
}

/* Until it is done, with everything else going on around it. */
static inline void verify(struct world *w, bool repair, bool writes, struct mf_verify_stats *ret)
{
    struct mf_error err = {0};
    struct mf_verify *v;
    struct mf_verify_options o = verify_options(w);
    o.repair = repair;
    assert_mf_ok(mf_verify_new(&o, &v, &err), &err);
    int steps = 0, done = 0;
    while (!done) {
        uint32_t what = world_random(w, 8);
        if (what == 0 && writes && mf_mem_knobs(w->src)->newer && world_random(w, 2)) {
            world_step(w); /* two looks at the least, and apply must get to the second */
        } else if (what == 0 && writes) {
            world_app(w);
        } else if (what < 4) {
            world_step(w);
        } else {
            enum mf_step s = mf_verify_step(v, (int)world_random(w, 3), &err);
            if (s == MF_STEP_FAILED && err.cls != MF_RETRY) {
                fail_msg("seed %" PRIu64 ": verify: %s [%s]", w->seed, err.text, err.code);
            }
            done = s == MF_STEP_DONE;
        }
        if (++steps > 100000) {
            fail_msg("seed %" PRIu64 ": verify does not end", w->seed);
        }
    }
    mf_verify_stats(v, ret);
    assert_true(ret->finished);
    mf_verify_free(v);
}

static inline uint64_t seeds(void)
{
    const char *s = getenv("MF_SEEDS");
    return s ? strtoull(s, NULL, 10) : 100;
}

#endif
