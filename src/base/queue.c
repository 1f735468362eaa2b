#include "base/queue.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct mf_queue {
    pthread_mutex_t lock; /* guards everything below but capacity and drop, which never change */
    pthread_cond_t not_empty, not_full;
    size_t capacity, head, len;
    bool closed;
    void (*drop)(void *item);
    void *items[];
};

static void init_cond(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

struct mf_queue *mf_queue_new(size_t capacity, void (*drop)(void *item))
{
    if (!capacity) {
        capacity = 1;
    }
    if (capacity > (SIZE_MAX - sizeof(struct mf_queue)) / sizeof(void *)) {
        return NULL;
    }
    struct mf_queue *q = calloc(1, sizeof(*q) + capacity * sizeof(void *));
    if (!q) {
        return NULL;
    }
    pthread_mutex_init(&q->lock, NULL);
    init_cond(&q->not_empty);
    init_cond(&q->not_full);
    q->capacity = capacity;
    q->drop = drop;
    return q;
}

void mf_queue_free(struct mf_queue *q)
{
    if (!q) {
        return;
    }
    for (; q->len && q->drop; q->len--, q->head = (q->head + 1) % q->capacity) {
        q->drop(q->items[q->head]);
    }
    pthread_cond_destroy(&q->not_empty);
    pthread_cond_destroy(&q->not_full);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* Waits on c until the deadline (negative: for ever). False when the time is over. */
static bool wait_until(struct mf_queue *q, pthread_cond_t *c, int64_t deadline_us)
{
    if (deadline_us < 0) {
        return pthread_cond_wait(c, &q->lock) == 0;
    }
    struct timespec ts = {.tv_sec = (time_t)(deadline_us / MF_US_PER_SEC),
                          .tv_nsec = (long)(deadline_us % MF_US_PER_SEC) * 1000};
    return pthread_cond_timedwait(c, &q->lock, &ts) != ETIMEDOUT;
}

static int64_t deadline_of(int64_t timeout_us)
{
    int64_t now = mf_now_us();
    return timeout_us > INT64_MAX - now ? INT64_MAX : now + (timeout_us > 0 ? timeout_us : 0);
}

static int push_until(struct mf_queue *q, void *item, int64_t deadline_us)
{
    int rc = 0;
    pthread_mutex_lock(&q->lock);
    bool in_time = true;
    while (!q->closed && q->len == q->capacity && in_time) {
        in_time = wait_until(q, &q->not_full, deadline_us);
    }
    if (q->closed) {
        rc = -1;
    } else if (q->len == q->capacity) {
        rc = 1;
    } else {
        q->items[(q->head + q->len++) % q->capacity] = item;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

static int pop_until(struct mf_queue *q, void **ret_item, int64_t deadline_us)
{
    int rc = 0;
    pthread_mutex_lock(&q->lock);
    bool in_time = true;
    while (!q->closed && !q->len && in_time) {
        in_time = wait_until(q, &q->not_empty, deadline_us);
    }
    if (q->len) {
        *ret_item = q->items[q->head];
        q->head = (q->head + 1) % q->capacity;
        q->len--;
        pthread_cond_signal(&q->not_full);
    } else {
        rc = q->closed ? -1 : 1;
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

int mf_queue_push(struct mf_queue *q, void *item)
{
    return push_until(q, item, -1);
}

int mf_queue_push_timed(struct mf_queue *q, void *item, int64_t timeout_us)
{
    return push_until(q, item, deadline_of(timeout_us));
}

int mf_queue_pop(struct mf_queue *q, void **ret_item)
{
    return pop_until(q, ret_item, -1);
}

int mf_queue_pop_timed(struct mf_queue *q, void **ret_item, int64_t timeout_us)
{
    return pop_until(q, ret_item, deadline_of(timeout_us));
}

void mf_queue_close(struct mf_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_cond_broadcast(&q->not_full);
    pthread_mutex_unlock(&q->lock);
}

bool mf_queue_closed(struct mf_queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

size_t mf_queue_len(struct mf_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t len = q->len;
    pthread_mutex_unlock(&q->lock);
    return len;
}
