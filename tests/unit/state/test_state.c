#include "mf_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "state/state.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/mf_state_XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static struct mf_state *opened(const char *where)
{
    struct mf_state *s = NULL;
    struct mf_error err = {0};
    if (mf_state_open(where, &s, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return s;
}

static void facts_survive_reopening(void **unused)
{
    (void)unused;
    struct mf_error err = {0};
    struct mf_position p = {UINT64_MAX - 5, "0/16B3748"}, q = {0};
    bool found = false;
    struct mf_state *s = opened(dir);
    assert_int_equal(mf_state_set_int(s, "n", -7, &err), 0);
    assert_int_equal(mf_state_set_position(s, "p", &p, &err), 0);
    const struct mf_fact together[] = {{"a", "1"}, {"b", "2"}}, broken[] = {{"a", "3"}, {NULL, "4"}};
    assert_int_equal(mf_state_set_all(s, together, 2, &err), 0);
    assert_int_equal(mf_state_set_all(s, broken, 2, &err), -1); /* all or none */
    mf_state_close(s);
    s = opened(dir);
    assert_int_equal(mf_state_int(s, "a", 0), 1);
    assert_int_equal(mf_state_int(s, "b", 0), 2);
    assert_int_equal(mf_state_int(s, "n", 1), -7);
    assert_int_equal(mf_state_int(s, "absent", 1), 1);
    assert_int_equal(mf_state_position(s, "p", &q, &found, &err), 0);
    assert_true(found);
    assert_true(q.order == p.order);
    assert_string_equal(q.token, p.token);
    mf_state_close(s);
}

static void one_run_at_a_time(void **unused)
{
    (void)unused;
    struct mf_error err = {0};
    struct mf_state *a = opened(dir), *b = opened(dir);
    assert_int_equal(mf_state_lock(a, &err), 0);
    assert_int_equal(mf_state_lock(b, &err), -1);
    assert_string_equal(err.code, "MFLOCKED");
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_non_null(strstr(err.text, pid));
    mf_state_close(a);
    assert_int_equal(mf_state_lock(b, &err), 0);
    mf_state_close(b);
}

static void a_damaged_file_is_said_so(void **unused)
{
    (void)unused;
    char path[128];
    snprintf(path, sizeof path, "%s/state.db", dir);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++) {
        fputs("not a database ", f);
    }
    fclose(f);
    struct mf_state *s = NULL;
    struct mf_error err = {0};
    assert_int_equal(mf_state_open(dir, &s, &err), -1);
    assert_string_equal(err.code, "MFSTATE");
    assert_true(err.hint[0] != '\0');
    assert_null(s);
}

static void epochs_split_history(void **unused)
{
    (void)unused;
    struct mf_error err = {0};
    struct mf_state *s = opened(NULL);
    char w[16];
    struct mf_position a = {100, "a"}, b = {200, "b"}, at = {50, ""};
    mf_state_epoch_add(s, MF_FORWARD, &a, "target", &err);
    mf_state_epoch_add(s, MF_FORWARD, &b, "source", &err);
    assert_int_equal(mf_state_writer_at(s, MF_FORWARD, &at, w, sizeof w, &err), 0);
    assert_string_equal(w, "source");
    at.order = 150;
    mf_state_writer_at(s, MF_FORWARD, &at, w, sizeof w, &err);
    assert_string_equal(w, "target");
    at.order = 201;
    mf_state_writer_at(s, MF_FORWARD, &at, w, sizeof w, &err);
    assert_string_equal(w, "source");
    mf_state_writer_at(s, MF_REVERSE, &at, w, sizeof w, &err);
    assert_string_equal(w, "source");
    mf_state_close(s);
}

static int count_chunk(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    (void)err;
    int *n = ctx;
    assert_int_equal(c->ordinal, *n);
    assert_int_equal(c->has_lower, *n > 0);
    (*n)++;
    return 0;
}

static void a_chunk_plan_is_whole_or_not_there(void **unused)
{
    (void)unused;
    struct mf_error err = {0};
    struct mf_state *s = opened(NULL);
    int n = 0;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(mf_state_chunks_begin(s, 7, &err), 0);
        for (uint32_t i = 0; i < 3; i++) {
            struct mf_chunk c = {.table_id = 7, .ordinal = i, .has_lower = i > 0, .lower = "{1}"};
            assert_int_equal(mf_state_chunk_put(s, &c, &err), 0);
        }
        if (round == 0) {
            mf_state_chunks_cancel(s);
            assert_int_equal(mf_state_chunks(s, 7, count_chunk, &n, &err), 0);
            assert_int_equal(n, 0);
        } else {
            assert_int_equal(mf_state_chunks_end(s, &err), 0);
        }
    }
    assert_int_equal(mf_state_chunks(s, 7, count_chunk, &n, &err), 0);
    assert_int_equal(n, 3);
    mf_state_close(s);
}

static void verification_resumes_until_it_ends(void **unused)
{
    (void)unused;
    struct mf_error err = {0};
    struct mf_state *s = opened(NULL);
    int64_t run, again;
    bool resumed, found;
    mf_state_verify_begin(s, "all", 0, &run, &resumed, &err);
    assert_false(resumed);
    struct mf_verify_table t = {.schema = "public", .name = "t", .rows = 5, .differing = 1, .finished = true}, u;
    mf_state_verify_put(s, run, &t, &err);
    mf_state_verify_begin(s, "all", 0, &again, &resumed, &err);
    assert_true(resumed && again == run);
    mf_state_verify_get(s, run, "public", "t", &u, &found, &err);
    assert_true(found && u.rows == 5 && u.differing == 1 && u.finished);
    mf_state_verify_end(s, run, 5, 1, &err);
    struct mf_verify_summary sum;
    mf_state_verify_last(s, &sum, &found, &err);
    assert_true(found && sum.finished_us > 0 && sum.tables_differing == 1 && sum.tables_equal == 0);
    mf_state_verify_begin(s, "all", 0, &again, &resumed, &err);
    assert_false(resumed);
    mf_state_close(s);
}

static void a_late_record_does_not_take_back_a_finished_table(void **unused)
{
    (void)unused;
    struct mf_error err = {0};
    struct mf_state *s = opened(NULL);
    int64_t run;
    bool resumed, found;
    mf_state_verify_begin(s, "all", 0, &run, &resumed, &err);
    struct mf_verify_table whole = {.schema = "public", .name = "t", .rows = 5, .differing = 1, .finished = true};
    struct mf_verify_table late = {.schema = "public", .name = "t", .rows = 4, .chunks_done = 1}, u;
    mf_state_verify_put(s, run, &late, &err);
    mf_state_verify_put(s, run, &whole, &err);
    mf_state_verify_put(s, run, &late, &err);
    mf_state_verify_get(s, run, "public", "t", &u, &found, &err);
    assert_true(found && u.rows == 5 && u.differing == 1 && u.finished);
    whole.differing = 0; /* repaired */
    mf_state_verify_put(s, run, &whole, &err);
    mf_state_verify_get(s, run, "public", "t", &u, &found, &err);
    assert_true(found && u.differing == 0 && u.finished);
    mf_state_close(s);
}

static void count_told(void *ctx, int64_t seq, enum mf_direction d, const char *table, const char *key,
                       const char *what)
{
    (void)seq;
    (void)d;
    (void)table;
    (void)key;
    (void)what;
    ++*(int *)ctx;
}

/* A stream that is opened again tells the same transaction again; a window that is done again meets the same rows. */
static void test_told_once(void **state)
{
    (void)state;
    struct mf_state *s = NULL;
    struct mf_error err = {0};
    struct mf_position at = {.order = 10}, later = {.order = 11};
    struct mf_told_row rows[] = {{"public.a", "id=1", "w"}, {"public.a", "id=2", "w"}};
    assert_mf_ok(mf_state_open(NULL, &s, &err), &err);
    for (int i = 0; i < 3; i++) {
        assert_mf_ok(mf_state_wrong_side(s, MF_REVERSE, &at, rows, 2, 5, &err), &err);
        assert_mf_ok(mf_state_diverged(s, MF_FORWARD, &at, rows, 2, 2, &err), &err);
    }
    assert_int_equal(mf_state_wrong_side_count(s), 5);
    assert_mf_ok(mf_state_wrong_side(s, MF_REVERSE, &later, rows, 1, 1, &err), &err);
    assert_mf_ok(mf_state_wrong_side(s, MF_FORWARD, &at, rows, 1, 1, &err), &err);
    assert_int_equal(mf_state_wrong_side_count(s), 7);
    assert_true(mf_state_foreign_last(s, MF_SOURCE) > 0 && mf_state_foreign_last(s, MF_TARGET) > 0);
    int64_t diverged, us;
    mf_state_diverged_summary(s, &diverged, &us);
    assert_int_equal(diverged, 2);
    assert_true(us > 0);
    int told = 0;
    assert_mf_ok(mf_state_diverged_since(s, 1, count_told, &told, &err), &err);
    assert_int_equal(told, 1);
    mf_state_close(s);
}

static int64_t began(struct mf_state *s, const char *what, int64_t not_before_us, bool *resumed)
{
    struct mf_error err = {0};
    int64_t run = 0;
    assert_int_equal(mf_state_verify_begin(s, what, not_before_us, &run, resumed, &err), 0);
    return run;
}

static void an_old_verification_is_not_resumed(void **unused)
{
    (void)unused;
    struct mf_error err = {0};
    struct mf_state *s = opened(NULL);
    struct mf_verify_table t = {.schema = "public", .name = "t", .chunks_done = 3}, u;
    bool resumed, found;
    int64_t run = began(s, "forward * sample=1", 0, &resumed);
    mf_state_verify_put(s, run, &t, &err);
    assert_int_equal(began(s, "forward * sample=1", mf_wall_us() - 60000000, &resumed), run);
    assert_true(resumed);
    int64_t again = began(s, "forward * sample=1", mf_wall_us() + 1, &resumed);
    assert_false(resumed);
    mf_state_verify_get(s, again, "public", "t", &u, &found, &err);
    assert_false(found);
    mf_state_close(s);
}

static void a_new_plan_takes_the_progress_of_the_old_one_along(void **unused)
{
    (void)unused;
    struct mf_error err = {0};
    struct mf_state *s = opened(NULL);
    struct mf_verify_table t = {.schema = "public", .name = "t", .chunks_done = 3}, u;
    bool resumed, found;
    int64_t a = began(s, "forward * sample=1", 0, &resumed), b = began(s, "forward public.t sample=1", 0, &resumed);
    mf_state_verify_put(s, a, &t, &err);
    snprintf(t.name, sizeof t.name, "other");
    mf_state_verify_put(s, a, &t, &err);
    assert_int_equal(mf_state_verify_plan_begin(s, 7, "public", "t", &err), 0);
    mf_state_chunks_cancel(s); /* broken off: nothing has changed */
    mf_state_verify_get(s, a, "public", "t", &u, &found, &err);
    assert_true(found);
    assert_int_equal(mf_state_verify_plan_begin(s, 7, "public", "t", &err), 0);
    assert_int_equal(mf_state_chunks_end(s, &err), 0);
    mf_state_verify_get(s, a, "public", "t", &u, &found, &err);
    assert_false(found);
    mf_state_verify_get(s, a, "public", "other", &u, &found, &err);
    assert_true(found && u.chunks_done == 3);
    (void)b;
    mf_state_close(s);
}

static bool proven_since(struct mf_state *s, int64_t us)
{
    struct mf_error err = {0};
    bool proven = false;
    assert_mf_ok(mf_state_proven_since(s, us, &proven, &err), &err);
    return proven;
}

static void only_a_whole_verification_counts(void **unused)
{
    (void)unused;
    struct mf_error err = {0};
    struct mf_state *s = opened(NULL);
    struct mf_verify_summary last;
    int64_t differing = -1, before = mf_wall_us() - 1;
    bool resumed, found;
    mf_state_verify_end(s, began(s, "forward public.a sample=b sample=0.25 repair", 0, &resumed), 5, 0, &err);
    mf_state_verify_last(s, &last, &found, &err);
    assert_true(found && last.sample == 0.25);
    assert_string_equal(last.table, "public.a sample=b");
    mf_state_verify_end(s, began(s, "forward public.t sample=1", 0, &resumed), 5, 0, &err);
    mf_state_verify_end(s, began(s, "forward * sample=0.1", 0, &resumed), 5, 0, &err);
    mf_state_verify_last_full(s, "forward", &last, &differing, &found, &err);
    assert_false(found);
    mf_state_verify_last(s, &last, &found, &err);
    assert_true(found && last.sample > 0.09 && last.sample < 0.11);
    assert_string_equal(last.table, "");
    assert_false(proven_since(s, before));
    int64_t full = began(s, "forward * sample=1 repair", 0, &resumed), after = mf_wall_us() + 1;
    mf_state_verify_last_full(s, "forward", &last, &differing, &found, &err);
    assert_false(found); /* it has not ended */
    mf_state_verify_end(s, full, 5, 0, &err);
    mf_state_verify_last_full(s, "forward", &last, &differing, &found, &err);
    assert_true(found && last.run == full && differing == 0);
    mf_state_verify_last_full(s, "reverse", &last, &differing, &found, &err);
    assert_false(found);
    assert_true(proven_since(s, before));
    assert_false(proven_since(s, after)); /* what was seen after it began is not settled by it */
    mf_state_verify_end(s, began(s, "forward public.t sample=1", 0, &resumed), 5, 2,
                        &err); /* a part of it that differs */
    mf_state_verify_last_full(s, "forward", &last, &differing, &found, &err);
    assert_true(found && last.run == full && differing == 2);
    assert_false(proven_since(s, before));
    mf_state_verify_end(s, began(s, "forward * sample=1", 0, &resumed), 5, 1, &err);
    assert_false(proven_since(s, before)); /* it found a difference */
    mf_state_verify_end(s, began(s, "reverse * sample=1", 0, &resumed), 5, 0, &err);
    assert_true(proven_since(s, before));
    mf_state_close(s);
}

/* A write on the wrong side is the origin's; a row that had come apart is the replica's. */
static void who_was_written_to_is_known(void **unused)
{
    (void)unused;
    struct mf_error err = {0};
    struct mf_position at = {.order = 10};
    struct mf_told_row row = {"public.a", "id=1", "w"};
    for (int diverged = 0; diverged < 2; diverged++) {
        struct mf_state *s = opened(NULL);
        assert_int_equal(mf_state_foreign_last(s, MF_SOURCE), 0);
        if (diverged) {
            assert_mf_ok(mf_state_diverged(s, MF_REVERSE, &at, &row, 1, 1, &err), &err);
        } else {
            assert_mf_ok(mf_state_wrong_side(s, MF_FORWARD, &at, &row, 1, 1, &err), &err);
        }
        assert_true(mf_state_foreign_last(s, MF_SOURCE) > 0);
        assert_int_equal(mf_state_foreign_last(s, MF_TARGET), 0);
        mf_state_close(s);
    }
}

static void *opens_and_closes(void *failed)
{
    for (int i = 0; i < 20; i++) {
        struct mf_state *s = NULL;
        struct mf_error err = {0};
        if (mf_state_open(dir, &s, &err) < 0) {
            *(struct mf_error *)failed = err;
            break;
        }
        mf_state_set_int(s, "n", i, &err);
        mf_state_close(s);
    }
    return NULL;
}

/* A run begins while others ask for its status: nobody is told that the file is locked. */
static void many_open_it_at_once(void **unused)
{
    (void)unused;
    pthread_t threads[4];
    struct mf_error failed[4] = {{0}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, opens_and_closes, &failed[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(failed[i].text, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told_once),
        cmocka_unit_test_setup_teardown(facts_survive_reopening, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(many_open_it_at_once, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(one_run_at_a_time, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_said_so, make_dir, remove_dir),
        cmocka_unit_test(epochs_split_history),
        cmocka_unit_test(a_chunk_plan_is_whole_or_not_there),
        cmocka_unit_test(verification_resumes_until_it_ends),
        cmocka_unit_test(a_late_record_does_not_take_back_a_finished_table),
        cmocka_unit_test(an_old_verification_is_not_resumed),
        cmocka_unit_test(a_new_plan_takes_the_progress_of_the_old_one_along),
        cmocka_unit_test(only_a_whole_verification_counts),
        cmocka_unit_test(who_was_written_to_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
