/* A pipe and its two threads. Each thread loops over its stage's step; the only thing they share is the spool, which wakes
 * the reader when something is there. Retries are bounded here and nowhere below. */
#include "pipeline/pipe.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEP_MS       50 /* how long a stop may take to be noticed */
#define BACKOFF_MIN   (100 * MF_US_PER_MS)
#define BACKOFF_MAX   (10 * MF_US_PER_SEC)
#define IDLE_PAUSE_US (20 * MF_US_PER_MS) /* a stage that is idle before its timeout is over has nothing to wait on */
#define IDLE_PROOF_US (30 * MF_US_PER_SEC)
#define UNSEEN_BYTES  1024 /* a commit, while none has been seen */
#define ASK_EVERY_US  (500 * MF_US_PER_MS)

struct mf_pipe_threads {
    struct mf_pipe *pipe;
    int64_t retry_us;
    pthread_t capture, apply, asker; /* these six are of the thread that starts and stops the pipe */
    bool capture_started, apply_started, asker_started;
    pthread_mutex_t mu; /* guards what follows */
    pthread_cond_t cond;
    bool stop;
    struct mf_error failure;    /* the first that ended a thread */
    struct mf_error trouble[2]; /* of apply and of capture: what is being tried again at the moment */
};

/* ---- threads ---- */

/* Until the pause is over or stop. */
static bool pause_for(struct mf_pipe_threads *t, int64_t us)
{
    int64_t until = mf_now_us() + us;
    struct timespec ts = {.tv_sec = until / MF_US_PER_SEC, .tv_nsec = (until % MF_US_PER_SEC) * 1000};
    pthread_mutex_lock(&t->mu);
    while (!t->stop && us > 0 && pthread_cond_timedwait(&t->cond, &t->mu, &ts) != ETIMEDOUT) {}
    bool stop = t->stop;
    pthread_mutex_unlock(&t->mu);
    return stop;
}

/* A series of failures. A step that went well does not end it: a stage may do its first half again and again and never get through
 * the second. What ends it is having got further, or having had nothing to do for long. */
struct trying {
    int64_t since_us, backoff_us; /* since 0: none */
    uint64_t reached;             /* when it began */
    int64_t idle_us;              /* idle without a break since; 0: not */
    bool waits;                   /* for somebody's lock (MFLOCK): told once, without a bound */
};

static const char *area_of(const struct mf_pipe *p, bool capture)
{
    if (p->id.direction == MF_FORWARD) {
        return capture ? "capture" : "apply";
    }
    return capture ? "capture-back" : "apply-back";
}

static void set_trouble(struct mf_pipe_threads *t, bool capture, const struct mf_error *err)
{
    pthread_mutex_lock(&t->mu);
    t->trouble[capture] = *err;
    pthread_mutex_unlock(&t->mu);
}

/* How far the stage is for good: durable in the spool, committed in the replica. */
static uint64_t reached(const struct mf_pipe *p, bool capture)
{
    if (capture) {
        struct mf_capture_stats s;
        mf_capture_stats(p->capture, &s);
        return s.durable.order;
    }
    struct mf_position at;
    mf_apply_position(p->apply, &at);
    return at.order;
}

void mf_pipe_stats(struct mf_pipe *p, struct mf_capture_stats *c, struct mf_apply_stats *a, struct mf_spool_stats *s)
{
    mf_apply_stats(p->apply, a);
    if (p->capture) {
        mf_capture_stats(p->capture, c);
        mf_spool_stats(p->spool, s);
    } else {
        *c = (struct mf_capture_stats){0};
        *s = (struct mf_spool_stats){0};
    }
}

uint64_t mf_pipe_behind(struct mf_pipe *p, uint64_t order)
{
    struct mf_capture_stats c;
    struct mf_apply_stats a;
    struct mf_spool_stats s;
    mf_pipe_stats(p, &c, &a, &s);
    if (a.reached == 0 || p->by_pass) { /* its positions are moments */
        return s.bytes_on_disk;
    }
    if (p->origin->connector->order_is_time) {
        return a.reached >= c.received.order ? 0 : s.bytes_on_disk;
    }
    uint64_t behind = order > a.reached ? order - a.reached : 0;
    if (p->origin->connector->order_is_bytes) {
        return behind;
    }
    return behind * (c.transactions ? c.bytes / c.transactions + 1 : UNSEEN_BYTES);
}

static void went_well(struct mf_pipe_threads *t, struct trying *tr, bool capture, bool idle)
{
    if (!tr->since_us) {
        return;
    }
    int64_t now = mf_now_us(), proof = t->retry_us < IDLE_PROOF_US ? t->retry_us : IDLE_PROOF_US;
    tr->idle_us = !idle ? 0 : tr->idle_us ? tr->idle_us : now;
    bool over = reached(t->pipe, capture) > tr->reached || (idle && now - tr->idle_us >= proof);
    if (over || !tr->waits) {
        set_trouble(t, capture, &(struct mf_error){0});
    }
    if (over) {
        mf_log(MF_INFO, area_of(t->pipe, capture), "works again, after %lld s",
               (long long)((now - tr->since_us) / MF_US_PER_SEC));
        *tr = (struct trying){0};
    }
}

/* Each try was short, and has had its pauses. */
static bool wait_for_others(struct mf_pipe_threads *t, struct trying *tr, bool capture, const struct mf_error *err)
{
    if (!tr->waits) {
        mf_log_error_at(MF_WARN, area_of(t->pipe, capture), err);
    }
    *tr = (struct trying){
        .since_us = tr->waits ? tr->since_us : mf_now_us(), .reached = reached(t->pipe, capture), .waits = true};
    set_trouble(t, capture, err);
    return !pause_for(t, BACKOFF_MIN);
}

/* After a failure. True: try again. */
static bool try_again(struct mf_pipe_threads *t, struct trying *tr, bool capture, struct mf_error *err)
{
    int64_t now = mf_now_us();
    uint64_t at = reached(t->pipe, capture);
    if (err->cls == MF_RETRY && mf_streq(err->code, "MFLOCK")) {
        return wait_for_others(t, tr, capture, err);
    }
    if (!tr->since_us || tr->waits || at > tr->reached) {
        *tr = (struct trying){.since_us = now, .backoff_us = BACKOFF_MIN, .reached = at};
    }
    tr->idle_us = 0;
    if (err->cls != MF_RETRY || now - tr->since_us >= t->retry_us) {
        pthread_mutex_lock(&t->mu);
        if (!t->failure.cls) {
            t->failure = *err;
        }
        pthread_mutex_unlock(&t->mu);
        return false;
    }
    mf_log_error_at(MF_WARN, area_of(t->pipe, capture), err);
    set_trouble(t, capture, err);
    bool stop = pause_for(t, tr->backoff_us);
    tr->backoff_us = tr->backoff_us * 2 < BACKOFF_MAX ? tr->backoff_us * 2 : BACKOFF_MAX;
    return !stop;
}

static void loop(struct mf_pipe_threads *t, bool capture)
{
    struct trying tr = {0};
    for (;;) {
        struct mf_error err = {0};
        int64_t began = mf_now_us();
        enum mf_step s =
            capture ? mf_capture_step(t->pipe->capture, STEP_MS, &err) : mf_apply_step(t->pipe->apply, STEP_MS, &err);
        if (s == MF_STEP_FAILED) {
            if (!try_again(t, &tr, capture, &err)) {
                return;
            }
            continue;
        }
        went_well(t, &tr, capture, s == MF_STEP_IDLE);
        bool early = s != MF_STEP_MORE && mf_now_us() - began < IDLE_PAUSE_US / 2;
        if (s == MF_STEP_DONE || pause_for(t, early ? IDLE_PAUSE_US : 0)) {
            return;
        }
    }
}

static void *capture_main(void *arg)
{
    loop(arg, true);
    return NULL;
}

static void *apply_main(void *arg)
{
    loop(arg, false);
    return NULL;
}

static void *asker_main(void *arg)
{
    struct mf_pipe_threads *t = arg;
    do {
        mf_capture_ask(t->pipe->capture);
    } while (!pause_for(t, ASK_EVERY_US));
    return NULL;
}

static struct mf_pipe_threads *new_threads(struct mf_pipe *p, int64_t retry_ms)
{
    struct mf_pipe_threads *t = mf_xcalloc(1, sizeof(*t));
    t->pipe = p;
    t->retry_us = retry_ms * MF_US_PER_MS;
    pthread_mutex_init(&t->mu, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->cond, &attr);
    pthread_condattr_destroy(&attr);
    return t;
}

int mf_pipe_start(struct mf_pipe *p, struct mf_error *err)
{
    struct mf_pipe_threads *t = p->threads;
    bool needs_capture = p->capture != NULL;
    if (t->capture_started == needs_capture && t->apply_started) {
        return 0;
    }
    t->capture_started = needs_capture && pthread_create(&t->capture, NULL, capture_main, t) == 0;
    t->apply_started = pthread_create(&t->apply, NULL, apply_main, t) == 0;
    bool asks = mf_capture_dual(p->capture) != NULL;
    t->asker_started = asks && pthread_create(&t->asker, NULL, asker_main, t) == 0;
    if (t->capture_started != needs_capture || !t->apply_started || t->asker_started != asks) {
        mf_pipe_stop(p);
        return mf_fail(err, MF_FATAL, "MFTHREAD", "cannot start the threads of the stream");
    }
    return 0;
}

void mf_pipe_stop(struct mf_pipe *p)
{
    struct mf_pipe_threads *t = p->threads;
    pthread_mutex_lock(&t->mu);
    t->stop = true;
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->mu);
    if (t->capture_started) {
        pthread_join(t->capture, NULL);
        mf_capture_close(p->capture); /* apply may wait for a commit that waits for it */
    }
    if (t->apply_started) {
        pthread_join(t->apply, NULL);
    }
    if (t->asker_started) {
        pthread_join(t->asker, NULL);
    }
    t->capture_started = t->apply_started = t->asker_started = false;
    pthread_mutex_lock(&t->mu);
    t->stop = false;
    t->failure = t->trouble[0] = t->trouble[1] = (struct mf_error){0};
    pthread_mutex_unlock(&t->mu);
}

int mf_pipe_failure(struct mf_pipe *p, struct mf_error *ret)
{
    struct mf_pipe_threads *t = p->threads;
    pthread_mutex_lock(&t->mu);
    bool failed = t->failure.cls != MF_OK;
    if (failed) {
        *ret = t->failure;
    }
    pthread_mutex_unlock(&t->mu);
    return failed ? -1 : 0;
}

void mf_pipe_trouble(struct mf_pipe *p, struct mf_error *ret)
{
    struct mf_pipe_threads *t = p->threads;
    pthread_mutex_lock(&t->mu);
    *ret = t->failure.cls != MF_OK ? t->failure : t->trouble[1].cls != MF_OK ? t->trouble[1] : t->trouble[0];
    pthread_mutex_unlock(&t->mu);
}

/* ---- opening ---- */

/* What was acknowledged is gone from the source's log and is kept in the spool alone. A spool that is empty although something was
 * acknowledged (its directory was removed, another disk is mounted) would leave a hole that nobody sees: capture notes
 * in the state that it is about to acknowledge for the first time. */
static int check_spool(const struct mf_pipe_options *o, struct mf_spool *spool, struct mf_error *err)
{
    struct mf_position tail = {0};
    mf_spool_tail(spool, &tail);
    if (tail.order || !mf_state_int(o->state, mf_spool_used_key(o->id.direction), 0)) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFSPOOL",
            "the spool%s%s is empty, but changes were acknowledged to the %s that were kept only there: they are gone",
            o->dir ? " in " : "", o->dir ? o->dir : "", o->origin->side == MF_SOURCE ? "source" : "target");
    mf_hint(err, "put the spool back, or give this migration up (midflight cancel) and begin it again");
    return -1;
}

static void held(void *ctx, struct mf_held *ret)
{
    mf_apply_how_far(((struct mf_pipe *)ctx)->apply, ret);
}

static void moved(void *ctx)
{
    mf_capture_moved(((struct mf_pipe *)ctx)->capture);
}

static int open_stages(const struct mf_pipe_options *o, struct mf_pipe *p, struct mf_error *err)
{
    struct mf_capture_options c = {.db = o->origin,
                                   .pipe = o->id,
                                   .spool = p->spool,
                                   .state = o->state,
                                   .start = o->start,
                                   .transaction_memory = o->transaction_memory,
                                   .spill_dir = o->dir,
                                   .wait = o->wait,
                                   .held = held,
                                   .held_ctx = p};
    struct mf_apply_options a = {.origin = o->origin,
                                 .replica = o->replica,
                                 .pipe = o->id,
                                 .spool = p->spool,
                                 .by_server = o->by_server,
                                 .by_pass = o->by_pass,
                                 .state = o->state,
                                 .map = o->map,
                                 .window_bytes = o->window_bytes,
                                 .window_changes = o->window_changes,
                                 .keep_rejected = o->keep_rejected,
                                 .heal = o->heal,
                                 .reread_bytes = o->reread_bytes,
                                 .max_quarantined = o->max_quarantined,
                                 .moved = o->wait ? moved : NULL,
                                 .moved_ctx = p};
    return (!o->by_server && !o->by_pass && mf_capture_new(&c, &p->capture, err) < 0) ||
                   mf_apply_new(&a, &p->apply, err) < 0
               ? -1
               : 0;
}

int mf_pipe_open(const struct mf_pipe_options *o, struct mf_pipe **ret, struct mf_error *err)
{
    struct mf_pipe *p = mf_xcalloc(1, sizeof(*p));
    p->id = o->id;
    p->origin = o->origin;
    p->replica = o->replica;
    p->storage = o->storage;
    p->by_pass = o->by_pass;
    p->threads = new_threads(p, o->retry_ms);
    if (o->by_server || o->by_pass) {
        if (open_stages(o, p, err) < 0) {
            goto fail;
        }
        *ret = p;
        return 0;
    }
    if (!o->storage) {
        p->own_storage = p->storage = mf_spool_files(o->dir, o->spool_segment, err);
        if (!p->storage) {
            goto fail;
        }
    }
    if (mf_spool_open(p->storage, o->spool_budget, &p->spool, err) < 0 || check_spool(o, p->spool, err) < 0 ||
        open_stages(o, p, err) < 0) {
        goto fail;
    }
    *ret = p;
    return 0;
fail:
    mf_pipe_close(p);
    return -1;
}

void mf_pipe_close(struct mf_pipe *p)
{
    if (!p) {
        return;
    }
    mf_pipe_stop(p);
    pthread_mutex_destroy(&p->threads->mu);
    pthread_cond_destroy(&p->threads->cond);
    free(p->threads);
    mf_apply_free(p->apply);
    mf_capture_free(p->capture);
    mf_spool_close(p->spool);
    mf_spool_storage_free(p->own_storage);
    free(p);
}
