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

/* ---- rows ---- */

static size_t together, alone, largest; /* rows that came so; of the largest call */

static int load_rows(struct mf_loader *l, const struct mf_row *rows, size_t n, struct mf_error *err)
{
    int rc = mf_connector_memory.target->load_rows(l, rows, n, err);
    together += rc == 0 ? n : 0;
    largest = n > largest ? n : largest;
    return rc;
}

static int load_row(struct mf_loader *l, const struct mf_row *row, struct mf_error *err)
{
    alone++;
    return mf_connector_memory.target->load_row(l, row, err);
}

static int see_quarantined(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)err;
    assert_string_equal(q->key, "id=1700");
    ++*(int *)ctx;
    return 0;
}

/* 2500 small rows and a large one, of which the target refuses one, or all that it refuses are more than may be. */
static void copy_as_rows(struct world *w, const struct mf_connector *target, size_t most, struct mf_error *err)
{
    struct mf_mem_column item[4];
    struct mf_position at;
    size_t huge = (size_t)2 << 20;
    char *body = mf_xcalloc(1, huge + 1), id[16], name[16];
    memset(body, 'x', huge);
    memcpy(item, world_item, sizeof item);
    item[1].max_len = most;
    assert_mf_ok(mf_mem_create_table(w->src, "public", "many", world_item, 4, err), err);
    assert_mf_ok(mf_mem_create_table(w->dst, "public", "many", item, 4, err), err);
    struct mf_mem_txn *t = mf_mem_begin(w->src);
    for (int i = 0; i < 2501; i++) {
        snprintf(id, sizeof id, "%d", i);
        snprintf(name, sizeof name, i == 1700 ? "long%d" : "n%d", i);
        struct mf_value v[4] = {world_text(id), world_text(name), {.kind = MF_NULL}, {.kind = MF_NULL}};
        v[3] = i == 800 ? (struct mf_value){MF_TEXT, (uint32_t)huge, body} : v[3];
        assert_mf_ok(mf_mem_insert(t, "public", "many", &(struct mf_row){.n = 4, .values = v}, err), err);
    }
    assert_mf_ok(mf_mem_commit(t, &at, err), err);
    free(body);
    together = alone = largest = 0;
    world_run(w);
    w->tdb->connector = target;
    w->copy->same_wire = false;
    w->copy->o.keep_rejected = true;
    w->copy->o.chunk_rows = 10000;
    w->copy->o.chunk_bytes = 100 << 20;
}

static void test_one_bad_row_of_many_goes_to_quarantine(void **state)
{
    (void)state;
    struct world w;
    struct mf_error err = {0};
    struct mf_target_ops ops = *mf_connector_memory.target;
    struct mf_connector connector = mf_connector_memory;
    enum mf_step s = MF_STEP_MORE;
    int kept = 0;
    ops.load_rows = load_rows;
    ops.load_row = load_row;
    connector.target = &ops;
    world_new(&w, 3, 0);
    copy_as_rows(&w, &connector, 5, &err);
    struct mf_mem_txn *t = mf_mem_begin(w.src);
    size_t others =
        mf_mem_count(t, "public", "item") + mf_mem_count(t, "public", "log") + mf_mem_count(t, "public", "pair");
    mf_mem_abort(t);
    for (int i = 0; s != MF_STEP_DONE; i++) {
        s = mf_copy_step(w.workers[0], &err);
        assert_mf_ok(s == MF_STEP_FAILED ? -1 : 0, &err);
        assert_true(i < 1000);
    }
    t = mf_mem_begin(w.dst);
    assert_int_equal(mf_mem_count(t, "public", "many"), 2500);
    mf_mem_abort(t);
    struct mf_copy_stats stats;
    mf_copy_stats(w.copy, &stats);
    assert_int_equal(stats.rows_done, 2500 + others);
    assert_int_equal(w.copy->quarantined, 1);
    assert_int_equal(largest, 1000);
    /* 0…799, the large one, 801…1800 (refused), 1801…2500 */
    assert_true(together >= 1500 && together <= 1500 + others);
    assert_int_equal(together + alone, 2501 + others);
    struct mf_pipe_id id = {.migration = "m", .direction = MF_FORWARD};
    assert_mf_ok(mf_connector_memory.target->quarantine_list(w.tdb, &id, see_quarantined, &kept, &err), &err);
    assert_int_equal(kept, 1);
    w.tdb->connector = &mf_connector_memory;
    world_free(&w);
}

static void test_more_refused_rows_than_may_be_end_the_run(void **state)
{
    (void)state;
    struct world w;
    struct mf_error err = {0};
    enum mf_step s = MF_STEP_MORE;
    world_new(&w, 3, 0);
    copy_as_rows(&w, &mf_connector_memory, 4, &err); /* n1000 and all after it */
    for (int i = 0; s != MF_STEP_FAILED; i++) {
        assert_true(s != MF_STEP_DONE && i < 1000);
        s = mf_copy_step(w.workers[0], &err);
    }
    assert_int_equal(err.cls, MF_FATAL);
    assert_string_equal(err.code, "MFQUAR");
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_load_that_is_not_known_is_the_last_one),
        cmocka_unit_test(test_a_throttled_worker_leaves_a_dead_snapshot),
        cmocka_unit_test(test_a_rewritten_table_gets_a_new_snapshot),
        cmocka_unit_test(test_chunks_that_the_target_lost_are_noticed),
        cmocka_unit_test(test_one_bad_row_of_many_goes_to_quarantine),
        cmocka_unit_test(test_more_refused_rows_than_may_be_end_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
