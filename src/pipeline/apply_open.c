/* Opening and closing what apply works with. Everything is opened again after a failure, and where to go on is asked from the
 * target each time. */
#include "pipeline/apply_internal.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GATE_EVERY_US  (100 * MF_US_PER_MS)
#define RESULTS_MEMORY ((size_t)1 << 30)
#define ARENA_MEMORY   ((size_t)4 << 30)
#define WINDOW_MEMORY  ((size_t)16 << 20) /* beside four times the bytes of the window itself */

const char *mf_consistency_key(enum mf_direction d)
{
    return d == MF_FORWARD ? "consistency.forward" : "consistency.reverse";
}

int mf_apply_new(const struct mf_apply_options *o, struct mf_apply **ret, struct mf_error *err)
{
    struct mf_apply *a = mf_xcalloc(1, sizeof(*a));
    a->o = *o;
    mf_arena_init(&a->arena, ARENA_MEMORY);
    mf_arena_init(&a->results, o->reread_bytes ? o->reread_bytes : RESULTS_MEMORY);
    mf_arena_init(&a->tables_arena, RESULTS_MEMORY);
    pthread_mutex_init(&a->mu, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->cond, &attr);
    pthread_condattr_destroy(&attr);
    a->gate_us = INT64_MIN / 2;
    a->window = mf_window_new(o->window_bytes * 4 + WINDOW_MEMORY);
    if (!a->window) {
        mf_apply_free(a);
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a window of changes");
    }
    *ret = a;
    return 0;
}

void mf_apply_free(struct mf_apply *a)
{
    if (!a) {
        return;
    }
    mf_apply_close_all(a);
    mf_window_free(a->window);
    mf_apply_txns_free(&a->txns);
    mf_arena_free(&a->arena);
    mf_arena_free(&a->results);
    mf_arena_free(&a->tables_arena);
    free(a->rels);
    mf_touched_free(a->touched);
    pthread_cond_destroy(&a->cond);
    pthread_mutex_destroy(&a->mu);
    free(a);
}

void mf_apply_close_all(struct mf_apply *a)
{
    if (a->applier) {
        a->o.replica->connector->target->applier_close(a->applier);
        a->applier = NULL;
    }
    if (a->rows) {
        a->o.origin->connector->source->reader_close(a->rows);
        a->rows = NULL;
    }
    mf_spool_reader_close(a->reader);
    a->reader = NULL;
    a->w.begun = false;
    pthread_mutex_lock(&a->mu);
    a->opened = false;
    a->passed = (struct mf_position){0};
    pthread_mutex_unlock(&a->mu);
}

void mf_apply_wait(struct mf_apply *a, int timeout_ms)
{
    if (timeout_ms <= 0) {
        return;
    }
    int64_t until = mf_now_us() + timeout_ms * MF_US_PER_MS;
    struct timespec ts = {.tv_sec = until / MF_US_PER_SEC, .tv_nsec = (until % MF_US_PER_SEC) * 1000};
    pthread_mutex_lock(&a->mu);
    struct mf_position was = a->barrier;
    bool wanted = a->want_checkpoint;
    while (a->barrier.order == was.order && a->want_checkpoint == wanted && !a->job &&
           pthread_cond_timedwait(&a->cond, &a->mu, &ts) != ETIMEDOUT) {}
    pthread_mutex_unlock(&a->mu);
}

/* Forward, nothing may be written to a table while it is copied: a row deleted by the stream would come back with its chunk, and a
 * row inserted by it would collide. The copy says when it is finished. */
static bool gate(struct mf_apply *a, int timeout_ms)
{
    if (a->o.pipe.direction == MF_REVERSE || a->gate_open) {
        return true;
    }
    int64_t now = mf_now_us();
    if (timeout_ms > 0 && now - a->gate_us < GATE_EVERY_US) {
        mf_apply_wait(a, timeout_ms < 100 ? timeout_ms : 100);
    }
    a->gate_us = now;
    a->gate_open = mf_state_int(a->o.state, MF_COPY_DONE_KEY, 0) == 1;
    return a->gate_open;
}

/* ---- where exactly copied tables begin ---- */

void mf_exact_key(enum mf_direction d, const char *schema, const char *name, char *out, size_t n)
{
    snprintf(out, n, "exact.%s.%s.%s", d == MF_FORWARD ? "forward" : "reverse", schema, name);
}

struct exact {
    struct mf_apply *a;
    bool full;
};

static int take_exact(void *ctx, const struct mf_table_state *t)
{
    struct exact *x = ctx;
    struct ap_table *n = mf_alloc0(&x->a->tables_arena, sizeof(*n));
    if (!n || !(n->schema = mf_strdup_a(&x->a->tables_arena, t->schema)) ||
        !(n->name = mf_strdup_a(&x->a->tables_arena, t->name))) {
        x->full = true;
        return -1;
    }
    n->exact_at = x->a->o.pipe.direction == MF_FORWARD ? t->exact_at.order : 0;
    n->next = x->a->tables;
    x->a->tables = n;
    return 0;
}

/* Once, when the gate opens: the copy is finished, so these do not change any more. Tables that came later have their own. */
int mf_apply_load_exact(struct mf_apply *a, struct mf_error *err)
{
    if (a->exact_loaded) {
        return 0;
    }
    struct exact x = {.a = a};
    if (mf_state_tables(a->o.state, take_exact, &x, err) < 0 || x.full) {
        return x.full ? mf_fail(err, MF_FATAL, "MFMEM", "out of memory for the list of tables") : -1;
    }
    for (struct ap_table *t = a->tables; t; t = t->next) {
        char key[300];
        struct mf_position at = {0};
        bool found = false;
        mf_exact_key(a->o.pipe.direction, t->schema, t->name, key, sizeof(key));
        if (mf_state_position(a->o.state, key, &at, &found, err) < 0) {
            return -1;
        }
        t->exact_at = found && at.order > t->exact_at ? at.order : t->exact_at;
    }
    a->exact_loaded = true;
    return 0;
}

/* ---- opening ---- */

static int count_one(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)q;
    (void)err;
    ++*(int64_t *)ctx;
    return 0;
}

int mf_apply_count_quarantine(struct mf_apply *a, struct mf_error *err)
{
    int64_t n = 0;
    if (a->o.replica->connector->target->quarantine_list(a->o.replica, &a->o.pipe, count_one, &n, err) < 0) {
        return -1;
    }
    a->quarantined = n;
    mf_apply_note_refused(a, mf_apply_refused_ticket(a), (uint64_t)n);
    return 0;
}

static int load_consistency(struct mf_apply *a, struct mf_error *err)
{
    struct mf_position c = {0};
    bool found = false;
    if (mf_state_position(a->o.state, mf_consistency_key(a->o.pipe.direction), &c, &found, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&a->mu);
    if (found && c.order > a->consistency.order) {
        a->consistency = c;
    }
    pthread_mutex_unlock(&a->mu);
    return 0;
}

/* Where a window is no transaction the replica may have some of one that was not committed: it is not consistent before it has come to its end. What an earlier
 * process left was committed on the origin before now. */
static int pass_unfinished(struct mf_apply *a, bool opening, struct mf_error *err)
{
    struct mf_position to = a->unfinished;
    if (a->o.replica->connector->last_write_wins || a->o.replica->connector->puts_whole) {
        if (opening && a->o.origin->connector->source->position(a->o.origin, &to, err) < 0) {
            return -1;
        }
        if (mf_apply_raise_consistency(a, &to, err) < 0) {
            return -1;
        }
    }
    a->unfinished.order = 0;
    return 0;
}

/* 1: not yet. */
static int open_all(struct mf_apply *a, struct mf_error *err)
{
    const struct mf_target_ops *ops = a->o.replica->connector->target;
    struct mf_position checkpoint = {0};
    if (load_consistency(a, err) < 0 || mf_apply_load_exact(a, err) < 0 || MF_FAULT(err, "apply.open") ||
        ops->applier_open(a->o.replica, &a->o.pipe, &a->applier, err) < 0 ||
        ops->checkpoint(a->o.replica, &a->o.pipe, &checkpoint, err) < 0 || mf_apply_count_quarantine(a, err) < 0) {
        return -1;
    }
    a->seen_to = checkpoint;
    a->careful_end.order = a->stop_before = 0;
    pthread_mutex_lock(&a->mu);
    a->applied = checkpoint;
    a->last_txn = checkpoint.order;
    a->reached = checkpoint;
    pthread_mutex_unlock(&a->mu);
    int owes = pass_unfinished(a, true, err) < 0 ? -1 : mf_apply_recover(a, err);
    if (owes != 0) {
        return owes;
    }
    if (mf_spool_reader_open(a->o.spool, &checkpoint, &a->reader, err) < 0) {
        return -1;
    }
    a->checkpoint_us = mf_now_us();
    pthread_mutex_lock(&a->mu);
    a->opened = true;
    pthread_mutex_unlock(&a->mu);
    return 0;
}

enum mf_step mf_apply_ensure_open(struct mf_apply *a, int timeout_ms, struct mf_error *err)
{
    if (a->reader) {
        return a->unfinished.order && pass_unfinished(a, false, err) < 0 ? MF_STEP_FAILED : MF_STEP_MORE;
    }
    if (!gate(a, timeout_ms)) {
        return MF_STEP_IDLE;
    }
    int rc = open_all(a, err);
    if (rc != 0) {
        mf_apply_close_all(a);
        return rc < 0 ? MF_STEP_FAILED : MF_STEP_IDLE;
    }
    return MF_STEP_MORE;
}
