/* Copy, capture and apply between two memory servers: in the end the target equals the source, and from the consistency point
 * on it is always the source as of one of its commits, in order. Seeds: MF_SEEDS (how many), MF_SEED (one, to see it again). */
#include "world.h"

struct prefix {
    struct world *w;
    bool strict;
    uint64_t *history; /* the source's digest after each of its commits */
    size_t n, cap;
    size_t at; /* index of the source's commit the target was last seen at */
    bool broken;
};

static void remember(void *ctx, struct mf_mem_server *s)
{
    struct prefix *p = ctx;
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 256;
        p->history = mf_xreallocarray(p->history, p->cap, sizeof(*p->history));
    }
    p->history[p->n++] = mf_mem_digest(s);
}

/* After each commit on the target that is ours: P1. */
static void look(void *ctx, struct mf_mem_server *s)
{
    struct prefix *p = ctx;
    if (!p->strict || p->broken) {
        return;
    }
    uint64_t now = mf_mem_digest(s);
    for (size_t i = p->at; i < p->n; i++) {
        if (p->history[i] == now) {
            p->at = i;
            return;
        }
    }
    p->broken = true;
}

static bool equal(struct world *w)
{
    return mf_mem_digest(w->src) == mf_mem_digest(w->dst);
}

static void run(uint64_t seed, int trouble)
{
    struct world w;
    world_new(&w, seed, trouble);
    w.reread_bytes = seed % 3 ? 0 : 150 + seed; /* rows read again one by one, lists of them that overflow */
    struct prefix p = {.w = &w};
    remember(&p, w.src);
    mf_mem_on_commit(w.src, remember, &p);
    mf_mem_on_commit(w.dst, look, &p);
    world_run(&w);
    int writes = 200, steps = 0;
    while (writes || !w.copied || !p.strict || !equal(&w)) {
        if (writes && world_random(&w, 3) == 0) {
            world_app(&w);
            writes--;
        }
        world_step(&w);
        if (!p.strict && w.copied && mf_apply_consistent(w.pipe->apply)) {
            p.strict = true;
            look(&p, w.dst);
        }
        if (p.broken) {
            fail_msg("seed %" PRIu64 ": the target shows a state the source never had", seed);
        }
        if (steps > 4000) {
            w.trouble = 0;
        }
        if (++steps > 20000) {
            mf_mem_dump(w.src, stderr);
            mf_mem_dump(w.dst, stderr);
            fail_msg("seed %" PRIu64 ": not equal after %d steps (copied %d, consistent %d)", seed, steps, w.copied,
                     mf_apply_consistent(w.pipe->apply));
        }
    }
    assert_string_equal(mf_mem_violation(w.src), "");
    assert_string_equal(mf_mem_violation(w.dst), "");
    world_free(&w);
    free(p.history);
}

static void many(int trouble)
{
    const char *one = getenv("MF_SEED"), *many_seeds = getenv("MF_SEEDS");
    if (one) {
        run(strtoull(one, NULL, 10), trouble);
        return;
    }
    uint64_t n = many_seeds ? strtoull(many_seeds, NULL, 10) : 300;
    for (uint64_t seed = 1; seed <= n; seed++) {
        run(seed, trouble);
    }
}

static void test_calm(void **st)
{
    (void)st;
    many(0);
}

static void test_connections_lost_and_crashes(void **st)
{
    (void)st;
    many(60);
}

/* Another state knows no plan: before anything was replayed its tables are begun again, later they are the application's. */
static void test_a_live_target_is_not_emptied(void **st)
{
    (void)st;
    struct world w;
    struct mf_error err = {0};
    struct mf_pipe_id id = {.migration = "m", .direction = MF_FORWARD};
    struct mf_copy *copy = NULL;
    world_new(&w, 7, 0);
    world_run(&w);
    struct mf_state *other = NULL;
    assert_mf_ok(mf_state_open(NULL, &other, &err), &err);
    struct mf_copy_options o = {.source = w.sdb,
                                .target = w.tdb,
                                .pipe = id,
                                .state = other,
                                .map = w.map,
                                .tables = &w.scat,
                                .chunk_rows = 7,
                                .chunk_bytes = 100000};
    for (int i = 0; !w.copied || !mf_apply_consistent(w.pipe->apply); i++) {
        world_step(&w);
        if (i % 100 == 99) {
            mf_connector_memory.source->heartbeat(w.sdb, &id, NULL, NULL, &err);
        }
        assert_true(i < 20000);
    }
    assert_int_equal(mf_copy_new(&o, &copy, &err), -1);
    assert_string_equal(err.code, "MFSTATE");
    mf_state_close(other);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_calm), cmocka_unit_test(test_connections_lost_and_crashes),
                                       cmocka_unit_test(test_a_live_target_is_not_emptied)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
