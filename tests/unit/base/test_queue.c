#include "mf_test.h"

#include "base/clock.h"
#include "base/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static void items_come_out_in_order(void **state)
{
    (void)state;
    int items[10];
    struct mf_queue *q = mf_queue_new(4, NULL);
    void *got = NULL;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++) {
            assert_int_equal(mf_queue_push(q, &items[i]), 0);
        }
        assert_int_equal(mf_queue_len(q), 4);
        assert_int_equal(mf_queue_push_timed(q, &items[5], 0), 1);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(mf_queue_pop(q, &got), 0);
            assert_ptr_equal(got, &items[i]);
        }
        assert_int_equal(mf_queue_pop_timed(q, &got, 0), 1);
        mf_queue_push(q, &items[6]); /* moves the ring's start */
        mf_queue_pop(q, &got);
    }
    mf_queue_free(q);
}

static void timed_calls_wait_no_longer_than_asked(void **state)
{
    (void)state;
    struct mf_queue *q = mf_queue_new(1, NULL);
    void *got = &got;
    int64_t start = mf_now_us();
    assert_int_equal(mf_queue_pop_timed(q, &got, 30000), 1);
    assert_true(mf_now_us() - start >= 30000);
    assert_ptr_equal(got, &got);
    mf_queue_push(q, q);
    start = mf_now_us();
    assert_int_equal(mf_queue_push_timed(q, q, 30000), 1);
    assert_true(mf_now_us() - start >= 30000);
    assert_int_equal(mf_queue_pop_timed(q, &got, -5), 0);
    assert_int_equal(mf_queue_push_timed(q, q, INT64_MAX), 0);
    mf_queue_free(q);
}

static void close_refuses_pushes_and_drains(void **state)
{
    (void)state;
    int item;
    void *got = NULL;
    struct mf_queue *q = mf_queue_new(4, NULL);
    mf_queue_push(q, &item);
    assert_false(mf_queue_closed(q));
    mf_queue_close(q);
    mf_queue_close(q);
    assert_true(mf_queue_closed(q));
    assert_int_equal(mf_queue_push(q, &item), -1);
    assert_int_equal(mf_queue_push_timed(q, &item, 1000), -1);
    assert_int_equal(mf_queue_pop(q, &got), 0);
    assert_ptr_equal(got, &item);
    assert_int_equal(mf_queue_pop(q, &got), -1);
    assert_int_equal(mf_queue_pop_timed(q, &got, 1000), -1);
    mf_queue_free(q);
}

static int dropped;
static void drop(void *item)
{
    (void)item;
    dropped++;
}

static void free_drops_what_is_left(void **state)
{
    (void)state;
    struct mf_queue *q = mf_queue_new(4, drop);
    void *got;
    mf_queue_push(q, q);
    mf_queue_push(q, q);
    mf_queue_push(q, q);
    mf_queue_pop(q, &got);
    dropped = 0;
    mf_queue_free(q);
    assert_int_equal(dropped, 2);
    mf_queue_free(NULL);
}

static void capacity_is_checked(void **state)
{
    (void)state;
    assert_null(mf_queue_new(SIZE_MAX / 2, NULL));
    struct mf_queue *q = mf_queue_new(0, NULL);
    assert_int_equal(mf_queue_push_timed(q, q, 0), 0);
    assert_int_equal(mf_queue_push_timed(q, q, 0), 1);
    mf_queue_free(q);
}

enum { THREADS = 4, EACH = 5000 };

struct crowd {
    struct mf_queue *q;
    atomic_long sum, count;
};

static void *produce(void *arg)
{
    struct crowd *c = arg;
    for (uintptr_t i = 1; i <= EACH; i++) {
        if (mf_queue_push(c->q, (void *)i) < 0) {
            return arg;
        }
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct crowd *c = arg;
    void *item;
    while (mf_queue_pop(c->q, &item) == 0) {
        atomic_fetch_add(&c->sum, (long)(uintptr_t)item);
        atomic_fetch_add(&c->count, 1);
    }
    return NULL;
}

static void many_threads_lose_nothing(void **state)
{
    (void)state;
    struct crowd c = {.q = mf_queue_new(3, NULL)};
    pthread_t producers[THREADS];
    pthread_t consumers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&producers[i], NULL, produce, &c);
        pthread_create(&consumers[i], NULL, consume, &c);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(producers[i], &failed);
        assert_null(failed);
    }
    mf_queue_close(c.q);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(consumers[i], NULL);
    }
    assert_int_equal(atomic_load(&c.count), THREADS * EACH);
    assert_int_equal(atomic_load(&c.sum), (long)THREADS * EACH * (EACH + 1) / 2);
    mf_queue_free(c.q);
}

static void close_wakes_who_waits(void **state)
{
    (void)state;
    struct crowd full = {.q = mf_queue_new(1, NULL)};
    struct crowd empty = {.q = mf_queue_new(1, NULL)};
    mf_queue_push(full.q, &full);
    pthread_t a;
    pthread_t b;
    pthread_create(&a, NULL, produce, &full);
    pthread_create(&b, NULL, consume, &empty);
    mf_queue_close(full.q);
    mf_queue_close(empty.q);
    void *failed;
    pthread_join(a, &failed);
    pthread_join(b, NULL);
    assert_non_null(failed);
    mf_queue_free(full.q);
    mf_queue_free(empty.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order),
        cmocka_unit_test(timed_calls_wait_no_longer_than_asked),
        cmocka_unit_test(close_refuses_pushes_and_drains),
        cmocka_unit_test(free_drops_what_is_left),
        cmocka_unit_test(capacity_is_checked),
        cmocka_unit_test(many_threads_lose_nothing),
        cmocka_unit_test(close_wakes_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
