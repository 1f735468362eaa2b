/* verify where the replica's rows come in an order of its own and it has no snapshots: both sides are joined by key. The same promises as
 * chunk by chunk, under load and with the store on disk. */
#include "verify_world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "verify/join_internal.h"

enum { ITEM = 0, PAIR = 2 };

static void begin(struct world *w, uint64_t seed)
{
    world_new(w, seed, 0);
    mf_mem_knobs(w->dst)->unordered = true;
    world_run(w);
    synced(w);
}

/* An origin whose rows may be newer than the snapshot they are read in. */
static void begin_newer(struct world *w, uint64_t seed)
{
    world_new(w, seed, 0);
    mf_mem_knobs(w->dst)->unordered = true;
    mf_mem_knobs(w->src)->newer = true;
    world_run(w);
    synced(w);
}

static void clean(void (*how)(struct world *w, uint64_t seed), uint64_t times)
{
    for (uint64_t seed = 1; seed <= seeds() * times; seed++) {
        struct world w;
        struct mf_verify_stats s;
        how(&w, seed);
        verify(&w, false, true, &s);
        if (s.rows_differing || s.tables_equal != 3) {
            fail_msg("seed %" PRIu64 ": %" PRId64 " false differences", seed, s.rows_differing);
        }
        world_free(&w);
    }
}

static void test_a_clean_pair_shows_no_difference_under_load(void **st)
{
    (void)st;
    clean(begin, 1);
}

static void test_an_origin_that_shows_newer_rows_gives_no_difference_under_load(void **st)
{
    (void)st;
    clean(begin_newer, 5); /* a key that is touched between two looks and is what it was is rare */
}

static int name_of(void *ctx, const char *table, const char *key, const char *kind, const char *where)
{
    (void)where;
    snprintf(ctx, 200, "%s|%s|%s", table, key, kind);
    return 0;
}

static void corrupted(void (*how)(struct world *w, uint64_t seed))
{
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        struct world w;
        struct mf_verify_stats s;
        how(&w, seed);
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
            struct mf_verify_summary last;
            bool found;
            char is[200] = "";
            assert_mf_ok(mf_state_verify_last(w.state, &last, &found, NULL), &(struct mf_error){0});
            mf_state_verify_differences(w.state, last.run, name_of, is, NULL);
            fail_msg("seed %" PRIu64 ": %" PRId64 " left after the repair: %s", seed, s.rows_differing, is);
        }
        caught_up(&w);
        world_free(&w);
    }
}

static void test_corruption_is_found_and_repaired(void **st)
{
    (void)st;
    corrupted(begin);
}

static void test_corruption_is_found_where_the_origin_shows_newer_rows(void **st)
{
    (void)st;
    corrupted(begin_newer);
}

/* One applied change was altered (0) or dropped (1), or one was applied that never was (2): named under load, and nothing else is. */
static void named_under_load(void (*how)(struct world *w, uint64_t seed))
{
    int named = 0;
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        struct world w;
        struct mf_verify_stats s;
        struct mf_verify_summary last;
        char is[200] = "";
        bool found;
        int what = (int)(seed % 3);
        how(&w, seed);
        w.spared = PAIR + 1;
        caught_up(&w);
        if (!mf_mem_corrupt(w.dst, "public", "pair", world_random(&w, 1000), what)) {
            world_free(&w);
            continue;
        }
        verify(&w, false, true, &s);
        assert_mf_ok(mf_state_verify_last(w.state, &last, &found, NULL), &(struct mf_error){0});
        mf_state_verify_differences(w.state, last.run, name_of, is, NULL);
        static const char *const kinds[] = {"|differs", "|missing", "|extra"};
        if (s.rows_differing != 1 || s.tables_differing != 1 || strncmp(is, "public.pair|a=", 14) != 0 ||
            !strstr(is, kinds[what])) {
            fail_msg("seed %" PRIu64 ": %" PRId64 " differences, %s", seed, s.rows_differing, is);
        }
        named++;
        world_free(&w);
    }
    assert_true(named > (int)seeds() / 2);
}

static void test_one_wrong_row_is_named_under_load(void **st)
{
    (void)st;
    named_under_load(begin);
}

static void test_one_wrong_row_is_named_where_the_origin_shows_newer_rows(void **st)
{
    (void)st;
    named_under_load(begin_newer);
}

/* Midflight dies at any step, and the next one compares again: never a false word. */
static void test_it_is_begun_again_after_a_crash(void **st)
{
    (void)st;
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        struct world w;
        struct mf_error err = {0};
        struct mf_verify_stats s;
        struct mf_verify *v;
        begin(&w, seed);
        caught_up(&w);
        bool differs = seed % 3 == 0 && mf_mem_corrupt(w.dst, "public", "item", world_random(&w, 1000), 0);
        struct mf_verify_options o = verify_options(&w);
        assert_mf_ok(mf_verify_new(&o, &v, &err), &err);
        for (uint32_t i = 0, n = world_random(&w, 150); i < n; i++) {
            world_step(&w);
            mf_verify_step(v, (int)world_random(&w, 3), &err);
        }
        mf_verify_free(v);
        world_crash(&w);
        world_run(&w);
        synced(&w);
        verify(&w, false, false, &s);
        differs = mf_mem_digest(w.src) != mf_mem_digest(w.dst);
        if (differs != (s.rows_differing > 0)) {
            fail_msg("seed %" PRIu64 ": the sides %s and %" PRId64 " rows are said to", seed,
                     differs ? "differ" : "are equal", s.rows_differing);
        }
        world_free(&w);
    }
}

static void rows_more(struct mf_mem_server *s, const char *table, int from, int upto)
{
    struct mf_error err;
    struct mf_mem_txn *t = mf_mem_begin(s);
    mf_mem_set_bypass(t);
    for (int i = from; i < upto; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%d", i);
        struct mf_value v[] = {world_text("s"), world_text(id), world_text("x")};
        struct mf_row row = {.n = 3, .values = v};
        assert_mf_ok(mf_mem_insert(t, "public", table, &row, &err), &err);
    }
    assert_mf_ok(mf_mem_commit(t, NULL, &err), &err);
}

static int count_extra(void *ctx, const char *table, const char *key, const char *kind, const char *where)
{
    (void)table, (void)key, (void)where;
    *(int *)ctx += strcmp(kind, "extra") == 0;
    return 0;
}

/* Rows of one side alone, thousands: all counted, all named. */
static void test_surplus_rows_are_all_named(void **st)
{
    (void)st;
    struct world w;
    struct mf_verify_stats s;
    struct mf_verify_summary last;
    bool found;
    int extra = 0;
    begin(&w, 5);
    w.spared = PAIR + 1;
    caught_up(&w);
    rows_more(w.dst, "pair", 1000, 3500);
    verify(&w, false, true, &s);
    assert_int_equal(s.rows_differing, 2500);
    mf_state_verify_last(w.state, &last, &found, NULL);
    mf_state_verify_differences(w.state, last.run, count_extra, &extra, NULL);
    assert_int_equal(extra, 2500);
    assert_int_equal(last.differing, 2500);
    verify(&w, true, false, &s);
    verify(&w, false, true, &s);
    assert_int_equal(s.rows_differing, 0);
    world_free(&w);
}

/* Both sides sample the same rows: a share of them, and no false difference. */
static void test_a_sample_is_of_the_same_rows(void **st)
{
    (void)st;
    struct world w;
    struct mf_error err = {0};
    struct mf_verify_stats all, some;
    begin(&w, 7);
    rows_more(w.src, "pair", 1000, 3000);
    caught_up(&w);
    verify(&w, false, false, &all);
    struct mf_verify_options o = verify_options(&w);
    struct mf_verify *v;
    o.sample = 0.1;
    assert_mf_ok(mf_verify_new(&o, &v, &err), &err);
    for (int i = 0; mf_verify_step(v, 0, &err) != MF_STEP_DONE; i++) {
        world_step(&w);
        assert_true(i < 100000);
    }
    mf_verify_stats(v, &some);
    mf_verify_free(v);
    assert_int_equal(some.rows_differing, 0);
    assert_true(some.rows_compared > all.rows_compared / 20 && some.rows_compared < all.rows_compared / 5);
    assert_int_equal(some.rows_read, 2 * all.rows_compared);
    world_free(&w);
}

static void test_empty_tables_and_a_table_that_is_gone(void **st)
{
    (void)st;
    struct world w;
    struct mf_error err = {0};
    struct mf_verify_stats s;
    struct mf_verify *v;
    begin(&w, 9);
    struct mf_mem_name names[] = {{"public", "item"}, {"public", "log"}, {"public", "pair"}};
    struct mf_mem_txn *t = mf_mem_begin(w.src);
    assert_mf_ok(mf_mem_truncate(t, names, 3, &err), &err);
    assert_mf_ok(mf_mem_commit(t, NULL, &err), &err);
    caught_up(&w);
    verify(&w, false, false, &s);
    assert_int_equal(s.rows_compared, 0);
    assert_int_equal(s.tables_equal, 3);
    assert_mf_ok(mf_mem_drop_table(w.dst, "public", "pair", &err), &err);
    struct mf_verify_options o = verify_options(&w);
    assert_mf_ok(mf_verify_new(&o, &v, &err), &err);
    enum mf_step step = MF_STEP_MORE;
    for (int i = 0; step != MF_STEP_FAILED; i++) {
        world_step(&w);
        step = mf_verify_step(v, 0, &err);
        assert_true(i < 100000 && step != MF_STEP_DONE);
    }
    assert_string_equal(err.code, "42P01");
    assert_true(strstr(err.text, "public.pair"));
    mf_verify_free(v);
    world_free(&w);
}

/* Asked to stop, whatever it is at: it ends soon, and lets apply go. */
static void test_it_stops_promptly(void **st)
{
    (void)st;
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        struct world w;
        struct mf_error err = {0};
        struct mf_verify *v;
        begin(&w, seed);
        struct mf_verify_options o = verify_options(&w);
        assert_mf_ok(mf_verify_new(&o, &v, &err), &err);
        for (uint32_t i = 0, n = world_random(&w, 120); i < n; i++) {
            world_step(&w);
            mf_verify_step(v, (int)world_random(&w, 3), &err);
        }
        mf_verify_stop(v);
        for (int worker = 0; worker < 3; worker++) {
            int steps = 0;
            while (mf_verify_step(v, worker, &err) != MF_STEP_DONE) {
                assert_true(++steps < 20);
            }
        }
        world_app(&w);
        caught_up(&w); /* apply goes on before the verification is freed */
        mf_verify_free(v);
        world_free(&w);
    }
}

/* What was spilled is not there any more when it is joined: the table is read again, and the word is right. */
static void test_a_store_that_is_lost_is_filled_again(void **st)
{
    (void)st;
    int lost = 0;
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        struct world w;
        struct mf_error err = {0};
        struct mf_verify_stats s;
        struct mf_verify *v;
        bool done = false, told = false, broken = false;
        begin(&w, seed);
        w.spared = ITEM + 1;
        caught_up(&w);
        bool differs = mf_mem_corrupt(w.dst, "public", "item", world_random(&w, 1000), (int)(seed % 3));
        struct mf_verify_options o = verify_options(&w);
        o.memory = 1;
        assert_mf_ok(mf_verify_new(&o, &v, &err), &err);
        for (int i = 0; !done; i++) {
            world_step(&w);
            enum mf_step step = mf_verify_step(v, (int)world_random(&w, 3), &err);
            done = step == MF_STEP_DONE;
            told |= step == MF_STEP_FAILED && strcmp(err.code, "MFSPILL") == 0;
            assert_true(step != MF_STEP_FAILED || err.cls == MF_RETRY);
            assert_true(i < 100000);
            if (!broken && v->join->stage == JN_MATCH && vf_store_file(v->join->store) >= 0) {
                broken = true;
                assert_int_equal(ftruncate(vf_store_file(v->join->store), 1), 0);
            }
        }
        mf_verify_stats(v, &s);
        assert_true(told == broken);
        assert_int_equal(s.rows_differing, differs);
        lost += broken;
        mf_verify_free(v);
        world_free(&w);
    }
    assert_true(lost > (int)seeds() / 2);
}

/* ---- something happens at every read of the replica ---- */

static bool within;

static enum mf_mem_fate busy_hook(void *ctx, struct mf_mem_server *s, const char *op)
{
    struct world *w = ctx;
    struct mf_error err;
    if (within || s != w->dst || (strcmp(op, "source.digest_rows") != 0 && strcmp(op, "source.read_rows") != 0)) {
        return MF_MEM_GO;
    }
    within = true;
    for (int i = 0; i < 6; i++) {
        world_app(w);
        mf_capture_step(w->pipe->capture, 0, &err);
        mf_apply_step(w->pipe->apply, 0, &err);
    }
    within = false;
    return MF_MEM_GO;
}

/* Transactions are made and applied in every moment in which they may be. */
static void test_what_must_stand_still_does(void **st)
{
    (void)st;
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        struct world w;
        struct mf_verify_stats s;
        begin(&w, seed);
        mf_mem_set_hook(w.dst, busy_hook, &w);
        verify(&w, false, true, &s);
        if (s.rows_differing || s.tables_equal != 3) {
            fail_msg("seed %" PRIu64 ": %" PRId64 " false differences", seed, s.rows_differing);
        }
        world_free(&w);
    }
}

/* ---- threads ---- */

struct crew {
    struct world *w;
    struct mf_verify *v;
    atomic_int next;
    atomic_bool stop;
};

static void rest(void)
{
    struct timespec t = {.tv_nsec = 200 * 1000};
    nanosleep(&t, NULL);
}

static void *application(void *arg)
{
    struct crew *c = arg;
    struct world own = *c->w; /* its own chance; the servers are shared */
    while (!c->stop) {
        world_app(&own);
        rest();
    }
    return NULL;
}

static void *verifier(void *arg)
{
    struct crew *c = arg;
    struct mf_error err = {0};
    int worker = atomic_fetch_add(&c->next, 1);
    for (enum mf_step s = MF_STEP_MORE; s != MF_STEP_DONE;) {
        s = mf_verify_step(c->v, worker, &err);
        if (s == MF_STEP_FAILED) {
            print_error("verify: %s [%s]\n", err.text, err.code);
            abort();
        }
        if (s == MF_STEP_IDLE) {
            rest();
        }
    }
    return NULL;
}

/* Everything at the same instant: two that write, one that follows, three that compare. */
static void test_threads_find_nothing_where_nothing_is_wrong(void **st)
{
    (void)st;
    struct world w;
    struct mf_error err = {0};
    pthread_t app, workers[3];
    begin(&w, 11);
    assert_mf_ok(mf_pipe_start(w.pipe, &err), &err);
    struct crew c = {.w = &w};
    assert_int_equal(pthread_create(&app, NULL, application, &c), 0);
    for (int round = 0; round < 12; round++) {
        struct mf_verify_stats s;
        struct mf_verify_options o = verify_options(&w);
        o.jobs = 3;
        assert_mf_ok(mf_verify_new(&o, &c.v, &err), &err);
        c.next = 0;
        for (int i = 0; i < 3; i++) {
            assert_int_equal(pthread_create(&workers[i], NULL, verifier, &c), 0);
        }
        for (int i = 0; i < 3; i++) {
            pthread_join(workers[i], NULL);
        }
        mf_verify_stats(c.v, &s);
        mf_verify_free(c.v);
        assert_true(s.finished);
        if (s.rows_differing) {
            fail_msg("round %d: %" PRId64 " false differences", round, s.rows_differing);
        }
    }
    c.stop = true;
    pthread_join(app, NULL);
    mf_pipe_stop(w.pipe);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_clean_pair_shows_no_difference_under_load),
        cmocka_unit_test(test_corruption_is_found_and_repaired),
        cmocka_unit_test(test_one_wrong_row_is_named_under_load),
        cmocka_unit_test(test_an_origin_that_shows_newer_rows_gives_no_difference_under_load),
        cmocka_unit_test(test_corruption_is_found_where_the_origin_shows_newer_rows),
        cmocka_unit_test(test_one_wrong_row_is_named_where_the_origin_shows_newer_rows),
        cmocka_unit_test(test_it_is_begun_again_after_a_crash),
        cmocka_unit_test(test_surplus_rows_are_all_named),
        cmocka_unit_test(test_a_sample_is_of_the_same_rows),
        cmocka_unit_test(test_empty_tables_and_a_table_that_is_gone),
        cmocka_unit_test(test_it_stops_promptly),
        cmocka_unit_test(test_a_store_that_is_lost_is_filled_again),
        cmocka_unit_test(test_what_must_stand_still_does),
        cmocka_unit_test(test_threads_find_nothing_where_nothing_is_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
