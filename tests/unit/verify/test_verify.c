/* verify between two memory servers, while the application writes: a clean pair shows no difference, ever; a corrupted one shows
 * every one; a repair mends them without touching anything newer. */
#include "verify_world.h"

static void test_a_clean_pair_shows_no_difference(void **st)
{
    (void)st;
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        struct world w;
        struct mf_verify_stats s;
        world_new(&w, seed, 0);
        world_run(&w);
        synced(&w);
        verify(&w, false, true, &s);
        if (s.rows_differing || s.tables_equal != 3) {
            fail_msg("seed %" PRIu64 ": %" PRId64 " false differences", seed, s.rows_differing);
        }
        world_free(&w);
    }
}

static void test_corruption_is_found_and_repaired(void **st)
{
    (void)st;
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        struct world w;
        struct mf_verify_stats s;
        world_new(&w, seed, 0);
        world_run(&w);
        synced(&w);
        caught_up(&w);
        int n = 0;
        for (uint32_t i = 0, want = 1 + world_random(&w, 4); i < want; i++) {
            n += mf_mem_corrupt(w.dst, "public", world_names[world_random(&w, 3)], world_random(&w, 1000),
                                (int)world_random(&w, 3));
        }
        bool differs = mf_mem_digest(w.src) != mf_mem_digest(w.dst);
        verify(&w, false, false, &s);
        if (differs != (s.rows_differing > 0)) {
            fail_msg("seed %" PRIu64 ": %d corruptions, %" PRId64 " found", seed, n, s.rows_differing);
        }
        verify(&w, true, false, &s);
        verify(&w, false, true, &s);
        if (s.rows_differing) {
            fail_msg("seed %" PRIu64 ": %" PRId64 " left after the repair", seed, s.rows_differing);
        }
        caught_up(&w);
        world_free(&w);
    }
}

static struct mf_verify *begun(struct world *w, double sample, int64_t chunk_rows)
{
    struct mf_error err = {0};
    struct mf_verify *v;
    struct mf_verify_options o = verify_options(w);
    o.sample = sample;
    o.snapshot_ms = 60000;
    o.chunk_rows = chunk_rows;
    assert_mf_ok(mf_verify_new(&o, &v, &err), &err);
    return v;
}

/* Until it has ended, or has compared something when it is to be broken off. */
static void drive(struct world *w, struct mf_verify *v, bool whole, struct mf_verify_stats *ret)
{
    struct mf_error err = {0};
    for (int steps = 0; steps < 100000; steps++) {
        world_step(w);
        enum mf_step s = mf_verify_step(v, 0, &err);
        mf_verify_stats(v, ret);
        if (s == MF_STEP_DONE || (!whole && ret->rows_compared > 0)) {
            break;
        }
    }
    assert_true(ret->finished == whole);
    mf_verify_free(v);
}

/* A run that was broken off counts chunks of its own plan; another one that cut the table differently has replaced that. */
static void test_a_plan_of_another_run_is_not_gone_on_with(void **st)
{
    (void)st;
    int differing = 0;
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        struct world w;
        struct mf_verify_stats s;
        world_new(&w, seed, 0);
        world_run(&w);
        synced(&w);
        caught_up(&w);
        drive(&w, begun(&w, 1, 2), false, &s);
        drive(&w, begun(&w, 0.999, 100000), true, &s);
        for (int i = 0; i < 5; i++) {
            mf_mem_corrupt(w.dst, "public", world_names[world_random(&w, 3)], world_random(&w, 1000), 0);
        }
        bool differs = mf_mem_digest(w.src) != mf_mem_digest(w.dst);
        drive(&w, begun(&w, 1, 2), true, &s);
        if (differs != (s.rows_differing > 0)) {
            fail_msg("seed %" PRIu64 ": the sides %s and %" PRId64 " rows are said to", seed,
                     differs ? "differ" : "are equal", s.rows_differing);
        }
        differing += differs;
        world_free(&w);
    }
    assert_true(differing > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_clean_pair_shows_no_difference),
                                       cmocka_unit_test(test_corruption_is_found_and_repaired),
                                       cmocka_unit_test(test_a_plan_of_another_run_is_not_gone_on_with)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
