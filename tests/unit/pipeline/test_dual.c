/* Dual writes: the rules by themselves, with a clock of their own; then capture and apply between two memory servers, where whatever was confirmed while the
 * state was ON must be in the target, whoever dies. */
#include "world.h"

#include "base/clock.h"
#include "pipeline/dual.h"

#define MS INT64_C(1000)

static const struct mf_wait_policy degrade = {.degrade = true, .after_ms = 2000, .standstill_ms = 250};
static const struct mf_wait_policy patient = {.standstill_ms = 250};

static enum mf_dual_state state(struct mf_dual *d, int64_t now)
{
    struct mf_dual_status s;
    mf_dual_status(d, now, &s);
    return s.state;
}

static bool step(struct mf_dual *d, uint64_t held, uint64_t durable, int64_t standing, uint64_t refused, int64_t now)
{
    struct mf_held h = {.upto.order = held, .standing_us = standing, .refused = refused};
    return mf_dual_step(d, &h, durable, now);
}

static void says(struct mf_dual *d, bool waits, uint64_t at, uint64_t lapses, int64_t timeout_ms, int64_t now)
{
    struct mf_commit_wait w = {
        .waits = waits, .why = "it is off", .at.order = at, .lapses = lapses, .timeout_ms = timeout_ms};
    mf_dual_answer(d, mf_dual_ticket(d), &w, now);
}

static struct mf_dual *on(const struct mf_wait_policy *p)
{
    struct mf_dual *d = mf_dual_new(p);
    assert_int_equal(state(d, 0), MF_DUAL_OFF);
    mf_dual_opened(d);
    assert_false(step(d, 10, 10, 0, 0, MS));
    assert_int_equal(state(d, MS), MF_DUAL_CATCHING_UP);
    says(d, true, 12, 0, 60000, MS);
    assert_false(step(d, 11, 11, 0, 0, MS));
    assert_int_equal(state(d, MS), MF_DUAL_CATCHING_UP); /* 12 may have been answered before */
    step(d, 12, 12, 0, 0, MS);
    assert_int_equal(state(d, MS), MF_DUAL_ON);
    return d;
}

static void test_degraded_and_back(void **st)
{
    (void)st;
    struct mf_dual *d = on(&degrade);
    struct mf_dual_status change;
    while (mf_dual_next_change(d, &change)) {}
    mf_dual_received(d, 13, 10 * MS);
    mf_dual_received(d, 14, 1500 * MS);
    assert_false(step(d, 12, 14, 0, 0, 2009 * MS));
    assert_int_equal(state(d, 2009 * MS), MF_DUAL_ON);
    assert_true(step(d, 12, 14, 0, 0, 2010 * MS));
    assert_int_equal(state(d, 2010 * MS), MF_DUAL_DEGRADED);
    says(d, true, 12, 0, 60000, 2500 * MS);
    assert_true(step(d, 13, 15, 0, 0, 2500 * MS)); /* 14 has waited for a second: not in step */
    mf_dual_received(d, 16, 2600 * MS);
    assert_false(step(d, 14, 15, 0, 0, 2600 * MS)); /* nearly: commits wait again, 15 was let go */
    assert_int_equal(state(d, 2600 * MS), MF_DUAL_CATCHING_UP);
    assert_false(step(d, 15, 16, 0, 0, 2601 * MS));
    assert_int_equal(state(d, 2601 * MS), MF_DUAL_ON);
    static const enum mf_dual_state told[] = {MF_DUAL_DEGRADED, MF_DUAL_CATCHING_UP, MF_DUAL_ON};
    for (size_t i = 0; i < 3; i++) {
        assert_true(mf_dual_next_change(d, &change));
        assert_int_equal(change.state, told[i]);
    }
    assert_false(mf_dual_next_change(d, &change));
    mf_dual_free(d);
}

static void test_patience_ends_only_for_a_standstill(void **st)
{
    (void)st;
    struct mf_dual *d = on(&patient);
    mf_dual_received(d, 13, 10 * MS);
    says(d, true, 12, 0, 0, 3600 * 1000 * MS);
    assert_false(step(d, 12, 13, 0, 0, 3600 * 1000 * MS)); /* an hour */
    assert_int_equal(state(d, 3600 * 1000 * MS), MF_DUAL_ON);
    int64_t t = 3600 * 1000 * MS;
    assert_false(step(d, 12, 13, t, 0, t + 249 * MS));
    assert_true(step(d, 12, 13, t, 0, t + 250 * MS));
    assert_int_equal(state(d, t), MF_DUAL_DEGRADED);
    assert_false(step(d, 12, 13, 0, 0, t + 251 * MS)); /* it moves again: they wait again */
    assert_int_equal(state(d, t), MF_DUAL_CATCHING_UP);
    step(d, 13, 13, 0, 0, t + 260 * MS);
    assert_int_equal(state(d, t), MF_DUAL_ON);
    mf_dual_free(d);
}

static void test_the_origin_gives_up(void **st)
{
    (void)st;
    struct mf_dual *d = on(&patient);
    says(d, true, 12, 0, 1000, 2 * MS);
    mf_dual_received(d, 13, 10 * MS);
    uint64_t before = mf_dual_ticket(d);
    assert_false(
        step(d, 12, 13, 0, 0, 910 * MS)); /* nine tenths of its timeout: it is not waited for that it is over */
    assert_int_equal(state(d, 910 * MS), MF_DUAL_DEGRADED);
    struct mf_commit_wait old = {.waits = true, .at.order = 12};
    mf_dual_answer(d, before, &old, 911 * MS); /* asked before it gave up */
    step(d, 13, 13, 0, 0, 912 * MS);
    assert_int_equal(state(d, 912 * MS), MF_DUAL_DEGRADED);
    says(d, false, 0, 1, 1000, 913 * MS);
    step(d, 13, 13, 0, 0, 913 * MS);
    assert_int_equal(state(d, 913 * MS), MF_DUAL_DEGRADED);
    says(d, true, 14, 2, 1000, 914 * MS);
    step(d, 13, 13, 0, 0, 914 * MS);
    assert_int_equal(state(d, 914 * MS), MF_DUAL_CATCHING_UP);
    step(d, 14, 14, 0, 0, 915 * MS);
    assert_int_equal(state(d, 915 * MS), MF_DUAL_ON);
    says(d, true, 20, 3, 1000, 916 * MS); /* it lapsed in between, and nobody saw it */
    step(d, 19, 19, 0, 0, 917 * MS);
    assert_int_equal(state(d, 917 * MS), MF_DUAL_CATCHING_UP);
    step(d, 20, 20, 0, 0, 918 * MS);
    assert_int_equal(state(d, 918 * MS), MF_DUAL_ON);
    step(d, 20, 20, 0, 0, 7000 * MS); /* it has not answered for long */
    assert_int_equal(state(d, 7000 * MS), MF_DUAL_CATCHING_UP);
    mf_dual_free(d);
}

static void test_refused_rows_are_not_promised(void **st)
{
    (void)st;
    struct mf_dual *d = on(&patient);
    assert_false(step(d, 13, 13, 0, 1, 2 * MS));
    assert_int_equal(state(d, 2 * MS), MF_DUAL_DEGRADED);
    assert_false(step(d, 13, 13, 0, 0, 3 * MS));
    assert_int_equal(state(d, 3 * MS), MF_DUAL_ON);
    mf_dual_closed(d, MF_DUAL_DEGRADED, "the stream broke");
    assert_false(step(d, 13, 13, 0, 0, 4 * MS));
    assert_int_equal(state(d, 4 * MS), MF_DUAL_DEGRADED);
    mf_dual_free(d);
}

/* More commits wait than there are marks: none is forgotten. */
static void test_many_wait(void **st)
{
    (void)st;
    struct mf_dual *d = on(&degrade);
    for (uint64_t i = 0; i < 5000; i++) {
        mf_dual_received(d, 13 + i, 10 * MS + (int64_t)i * MS / 3);
    }
    assert_false(step(d, 5000, 6000, 0, 0, 3400 * MS)); /* 5000 came at 1672 ms */
    assert_true(step(d, 5000, 6000, 0, 0, 3675 * MS));
    assert_false(step(d, 5012, 6000, 0, 0, 3680 * MS));
    mf_dual_free(d);
}

/* ---- with everything around it ---- */

/* The target is at a commit of the source not before the last one that was answered. */
static bool holds(struct world *w)
{
    uint64_t answered = mf_mem_answered(w->src), now = mf_mem_digest(w->dst);
    size_t n = mf_mem_commits(w->src), last = 0;
    for (size_t i = 0; i < n && mf_mem_commit_at(w->src, i)->position.order <= answered; i++) {
        last = i;
    }
    for (size_t i = last; i < n; i++) {
        if (mf_mem_commit_at(w->src, i)->digest == now) {
            return true;
        }
    }
    return false;
}

/* An origin that takes what is confirmed for acknowledged forgets it: then it is durable here. */
static bool durable(struct world *w)
{
    struct mf_capture_stats s;
    mf_capture_stats(w->pipe->capture, &s);
    return !w->connector || s.durable.order >= mf_mem_answered(w->src);
}

static int confirm_and_forget(struct mf_stream *st, const struct mf_position *upto, struct mf_error *err)
{
    const struct mf_source_ops *own = mf_connector_memory.source;
    return own->stream_confirm(st, upto, err) < 0 ? -1 : own->stream_ack(st, upto, err);
}

static bool run(uint64_t seed, int trouble)
{
    struct world w;
    bool was_on = false;
    /* Half of them with an origin that forgets what is confirmed, as PostgreSQL does. */
    struct mf_source_ops ops = *mf_connector_memory.source;
    struct mf_connector acknowledges = mf_connector_memory;
    ops.stream_confirm = confirm_and_forget;
    acknowledges.source = &ops;
    acknowledges.confirms_acknowledge = true;
    world_new(&w, seed, trouble);
    w.connector = seed / 4 % 2 ? &acknowledges : NULL;
    w.wait = seed % 2 ? &degrade : &patient;
    world_run(&w);
    for (int i = 0; i < 6000; i++) {
        if (i % 5 == 0) {
            world_app(&w);
        }
        if (w.copied && mf_apply_consistent(w.pipe->apply)) {
            mf_capture_gate(w.pipe->capture, seed % 3 != 0 || i % 500 < 400);
            if (i % 7 == 0) {
                mf_capture_ask(w.pipe->capture);
            }
        }
        world_step(&w);
        if (!durable(&w)) {
            fail_msg("seed %" PRIu64 ": confirmed, and not durable (step %d)", seed, i);
        }
        if (state(mf_capture_dual(w.pipe->capture), mf_now_us()) == MF_DUAL_ON) {
            was_on = true;
            if (!holds(&w)) {
                fail_msg("seed %" PRIu64 ": on, and the target has not what was answered (step %d)", seed, i);
            }
        }
    }
    assert_string_equal(mf_mem_violation(w.src), "");
    world_free(&w);
    return was_on;
}

static void test_what_was_answered_is_held(void **st)
{
    (void)st;
    const char *many = getenv("MF_SEEDS");
    uint64_t n = many ? strtoull(many, NULL, 10) : 40, on_once = 0;
    for (uint64_t seed = 1; seed <= n; seed++) {
        on_once += run(seed, seed % 4 ? 0 : 200);
    }
    assert_true(on_once > n / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_degraded_and_back),   cmocka_unit_test(test_patience_ends_only_for_a_standstill),
        cmocka_unit_test(test_the_origin_gives_up), cmocka_unit_test(test_refused_rows_are_not_promised),
        cmocka_unit_test(test_many_wait),           cmocka_unit_test(test_what_was_answered_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
