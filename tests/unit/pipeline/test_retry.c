/* Retries are bounded: a stage that gets through its first half again and again, and never further, ends; one that gets on goes on. */
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "world.h"

/* Of each stream that is opened: how many times it may be asked before it breaks. */
static atomic_int asked, allowed;

static enum mf_mem_fate flaky(void *ctx, struct mf_mem_server *s, const char *op)
{
    (void)ctx;
    (void)s;
    if (strcmp(op, "source.stream_open") == 0) {
        asked = 0;
    }
    return strcmp(op, "source.stream_next") == 0 && ++asked > allowed ? MF_MEM_LOST_BEFORE : MF_MEM_GO;
}

static void begin(struct world *w, int64_t retry_ms)
{
    struct mf_error err = {0};
    world_new(w, 3, 0);
    w->retry_ms = retry_ms;
    mf_mem_knobs(w->src)->stream_after = 1; /* a transaction is told before its commit */
    world_run(w);
    while (!w->copied) {
        world_step(w);
    }
    mf_mem_set_hook(w->src, flaky, w);
    assert_mf_ok(mf_pipe_start(w->pipe, &err), &err);
}

static void insert(struct world *w, struct mf_mem_txn *t, const char *id)
{
    struct mf_error err = {0};
    struct mf_value v[4] = {world_text(id), world_text(id), world_text("1"), world_text("b")};
    (void)w;
    assert_mf_ok(mf_mem_insert(t, "public", "item", &(struct mf_row){.n = 4, .values = v}, &err), &err);
}

/* A transaction that never ends comes again with each new stream: every other step went well. */
static void test_half_a_step_is_no_progress(void **state)
{
    (void)state;
    struct world w;
    struct mf_error err = {0};
    allowed = 1000000;
    begin(&w, 1500);
    struct mf_mem_txn *t = mf_mem_begin(w.src);
    for (int i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%d", 9000 + i);
        insert(&w, t, id);
    }
    int64_t until = mf_now_us() + 60 * MF_US_PER_SEC;
    struct mf_capture_stats s = {0};
    do { /* what was committed before is through */
        mf_capture_stats(w.pipe->capture, &s);
        mf_sleep_us(1000);
    } while (s.durable.order < w.last_commit.order && mf_now_us() < until);
    allowed = 25;
    while (mf_pipe_failure(w.pipe, &err) == 0) {
        assert_true(mf_now_us() < until);
        mf_sleep_us(1000);
    }
    assert_int_equal(err.cls, MF_RETRY);
    mf_pipe_stop(w.pipe);
    mf_mem_abort(t);
    world_free(&w);
}

static void test_what_gets_on_goes_on(void **state)
{
    (void)state;
    struct world w;
    struct mf_error err = {0};
    allowed = 40;
    begin(&w, 3000); /* a machine under load may stand still for as long as that, nearly */
    int64_t until = mf_now_us() + 7000 * MF_US_PER_MS;
    for (int i = 0; mf_now_us() < until; i++) {
        char id[16];
        struct mf_mem_txn *t = mf_mem_begin(w.src);
        snprintf(id, sizeof(id), "%d", 9000 + i);
        insert(&w, t, id);
        assert_mf_ok(mf_mem_commit(t, &w.last_commit, &err), &err);
        mf_sleep_us(20000);
        assert_mf_ok(mf_pipe_failure(w.pipe, &err), &err);
    }
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_a_step_is_no_progress),
        cmocka_unit_test(test_what_gets_on_goes_on),
    };
    mf_log_set_level(MF_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
