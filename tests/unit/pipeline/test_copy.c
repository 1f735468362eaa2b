/* The copy: a loaded source, and tables without a key that are rewritten while they are copied. */
#include "base/clock.h"
#include "pipeline/copy_internal.h"
#include "world.h"

static bool load_fails;

static enum mf_mem_fate hook(void *ctx, struct mf_mem_server *s, const char *op)
{
    (void)ctx;
    (void)s;
    return load_fails && strcmp(op, "source.load") == 0 ? MF_MEM_LOST_BEFORE : MF_MEM_GO;
}

/* Time to sample: the copy asks once a second. */
static void sample_now(struct world *w)
{
    w->copy->load_us = mf_now_us() - 10 * MF_US_PER_SEC;
}

static void test_a_load_that_is_not_known_is_the_last_one(void **state)
{
    (void)state;
    struct world w;
    struct mf_error err = {0};
    world_new(&w, 3, 0);
    w.max_load = 0.5;
    world_run(&w);
    mf_mem_set_hook(w.src, hook, &w);
    mf_mem_knobs(w.src)->load = 2;
    assert_int_not_equal(mf_copy_step(w.workers[0], &err), MF_STEP_FAILED); /* one goes through all the same */
    struct mf_copy_stats s;
    mf_copy_stats(w.copy, &s);
    assert_true(s.throttled);
    load_fails = true;
    sample_now(&w);
    assert_int_equal(mf_copy_step(w.workers[0], &err), MF_STEP_IDLE);
    mf_copy_stats(w.copy, &s);
    assert_true(s.throttled && s.load == 2);
    load_fails = false;
    mf_mem_knobs(w.src)->load = 0;
    sample_now(&w);
    assert_int_not_equal(mf_copy_step(w.workers[0], &err), MF_STEP_FAILED);
    mf_copy_stats(w.copy, &s);
    assert_false(s.throttled);
    world_free(&w);
}

static void test_a_throttled_worker_leaves_a_dead_snapshot(void **state)
{
    (void)state;
    struct world w;
    struct mf_error err = {0};
    world_new(&w, 3, 0);
    w.max_load = 0.5;
    world_run(&w);
    for (int i = 0; !w.workers[0]->exact; i++) {
        assert_true(i < 100 && mf_copy_step(w.workers[0], &err) != MF_STEP_FAILED);
    }
    w.copy->snapshot_dead = true;
    mf_mem_knobs(w.src)->load = 2;
    w.copy->forced_us = mf_now_us();
    sample_now(&w);
    assert_int_equal(mf_copy_step(w.workers[0], &err), MF_STEP_IDLE);
    assert_null(w.workers[0]->exact);
    world_free(&w);
}

static int rewritten; /* chunks of the keyless table that are still to fail */

static int chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    if (t->identity == MF_IDENTITY_FULL && rewritten > 0) {
        rewritten--;
        return mf_fail(err, MF_RETRY, "MFREWRITTEN", "table %s.%s was rewritten after the snapshot", t->schema,
                       t->name);
    }
    return mf_connector_memory.source->chunk_open(r, t, c, err);
}

static void test_a_rewritten_table_gets_a_new_snapshot(void **state)
{
    (void)state;
    struct world w;
    struct mf_error err = {0};
    struct mf_source_ops ops = *mf_connector_memory.source;
    struct mf_connector connector = mf_connector_memory;
    ops.chunk_open = chunk_open;
    connector.source = &ops;
    world_new(&w, 3, 0);
    world_run(&w);
    w.sdb->connector = &connector;
    rewritten = 1;
    int failed = 0;
    for (int i = 0; mf_copy_step(w.workers[0], &err) != MF_STEP_DONE; i++) {
        failed += err.cls == MF_RETRY;
        mf_error_clear(&err);
        assert_true(i < 1000);
    }
    assert_int_equal(failed, 1);
    assert_int_equal(w.copy->snapshot_number, 2);
    w.sdb->connector = &mf_connector_memory;
    world_free(&w);
}

/* A target that came back without what it had told as committed. */
static void test_chunks_that_the_target_lost_are_noticed(void **state)
{
    (void)state;
    struct world w;
    struct mf_error err = {0};
    enum mf_step s = MF_STEP_MORE;
    bool lost = false;
    world_new(&w, 3, 0);
    world_run(&w);
    for (int i = 0; s != MF_STEP_FAILED && s != MF_STEP_DONE; i++) {
        assert_true(i < 1000);
        if (!lost && w.copy->ncopied == w.copy->ntables) {
            const struct mf_target_ops *ops = w.tdb->connector->target;
            assert_mf_ok(ops->table_reset(w.tdb, &w.copy->o.pipe, w.copy->tables[0].target, &err), &err);
            lost = true;
        }
        s = mf_copy_step(w.workers[0], &err);
    }
    assert_true(lost);
    assert_int_equal(s, MF_STEP_FAILED);
    assert_int_equal(err.cls, MF_RETRY);
    assert_string_equal(err.code, "MFLOST");
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_load_that_is_not_known_is_the_last_one),
        cmocka_unit_test(test_a_throttled_worker_leaves_a_dead_snapshot),
        cmocka_unit_test(test_a_rewritten_table_gets_a_new_snapshot),
        cmocka_unit_test(test_chunks_that_the_target_lost_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
