/* copy: workers that each take the next piece of work under one lock and do it outside.
 *
 * Work is: opening the snapshot that keyless tables are read in, planning a table, copying a chunk, finishing a table, and once
 * all is in, recording the consistency point and that the copy is done, in this order: apply begins at the second. */
#include "pipeline/copy_internal.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "pipeline/apply.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLE_EVERY_US MF_US_PER_SEC
#define FORCE_EVERY_US  (10 * MF_US_PER_SEC) /* a loaded source slows the copy down, it does not stop it for ever */
#define RECORD_EVERY_US MF_US_PER_SEC
#define CALM            0.9 /* of max_load: below it a throttled copy goes on */

int mf_copy_new(const struct mf_copy_options *o, struct mf_copy **ret, struct mf_error *err)
{
    struct mf_copy *c = mf_xcalloc(1, sizeof(*c));
    c->o = *o;
    const char *a = o->source->connector->wire, *b = o->target->connector->wire;
    c->snapshot = o->snapshot;
    c->snapshot_number = o->snapshot != NULL;
    c->same_wire = a && b && strcmp(a, b) == 0;
    pthread_mutex_init(&c->mu, NULL);
    c->stats.started_us = mf_now_us();
    c->load_us = c->forced_us = INT64_MIN / 2;
    if (mf_copy_load_plan(c, err) < 0) {
        mf_copy_free(c);
        return -1;
    }
    *ret = c;
    return 0;
}

void mf_copy_free(struct mf_copy *c)
{
    if (!c) {
        return;
    }
    if (c->snapshot) {
        c->o.source->connector->source->snapshot_close(c->snapshot);
    }
    for (size_t i = 0; i < c->ntables && c->tables; i++) {
        mf_copy_forget_plan(&c->tables[i]);
    }
    free(c->tables);
    pthread_mutex_destroy(&c->mu);
    free(c);
}

int mf_copy_worker_new(struct mf_copy *c, struct mf_copy_worker **ret, struct mf_error *err)
{
    (void)err;
    struct mf_copy_worker *w = mf_xcalloc(1, sizeof(*w));
    w->c = c;
    *ret = w;
    return 0;
}

void mf_copy_worker_free(struct mf_copy_worker *w)
{
    if (w) {
        mf_copy_close_worker(w);
        free(w);
    }
}

void mf_copy_highest(struct mf_copy *c, struct mf_position *ret)
{
    pthread_mutex_lock(&c->mu);
    *ret = c->highest;
    pthread_mutex_unlock(&c->mu);
}

void mf_copy_stats(struct mf_copy *c, struct mf_copy_stats *ret)
{
    pthread_mutex_lock(&c->mu);
    *ret = c->stats;
    pthread_mutex_unlock(&c->mu);
}

/* ---- the source's load ---- */

/* True: hold back now. */
static bool throttled(struct mf_copy *c)
{
    if (c->o.max_load <= 0) {
        return false;
    }
    int64_t now = mf_now_us();
    pthread_mutex_lock(&c->mu);
    bool sample = !c->sampling && now - c->load_us >= SAMPLE_EVERY_US;
    c->sampling |= sample;
    pthread_mutex_unlock(&c->mu);
    double load = 0;
    struct mf_error ignored; /* a source that cannot say how loaded it is now is taken to be as it was */
    bool known = sample && c->o.source->connector->source->load(c->o.source, &load, &ignored) == 0;
    pthread_mutex_lock(&c->mu);
    if (sample) {
        c->sampling = false;
        c->load_us = now;
    }
    if (known) {
        c->stats.load = load;
        c->stats.throttled = load > (c->stats.throttled ? CALM * c->o.max_load : c->o.max_load);
    }
    bool hold = c->stats.throttled && now - c->forced_us < FORCE_EVERY_US;
    if (c->stats.throttled && !hold) {
        c->forced_us = now;
    }
    pthread_mutex_unlock(&c->mu);
    return hold;
}

/* ---- choosing work ---- */

enum cp_work { CP_NOTHING, CP_ALL_DONE, CP_SNAPSHOT, CP_DROP_SNAPSHOT, CP_DO_PLAN, CP_DO_CHUNK, CP_DO_FINISH, CP_END };

struct work {
    enum cp_work kind;
    struct cp_table *t;
    struct cp_chunk *chunk;
    struct mf_snapshot *drop;
};

/* Everything that was read in it and is not complete must be read again in another. Under the lock, without users. */
static void bury_snapshot(struct mf_copy *c, struct work *w)
{
    w->kind = CP_DROP_SNAPSHOT;
    w->drop = c->snapshot;
    c->snapshot = NULL;
    if (!c->snapshot_dead) {
        return;
    }
    c->snapshot_dead = false;
    for (size_t i = 0; i < c->ntables; i++) {
        struct cp_table *t = &c->tables[i];
        if (t->exact && (t->state == CP_COPY || t->state == CP_PLAN)) {
            c->stats.rows_done -= t->rows;
            c->stats.bytes_done -= t->bytes;
            t->reset |= t->st.planned;
            t->rows = t->bytes = 0;
            t->st.planned = false;
            t->state = CP_PLAN;
            mf_copy_forget_plan(t);
        }
    }
}

static bool take_chunk(struct cp_table *t, struct work *w)
{
    while (t->next < t->nchunks && t->chunks[t->next].state != CP_TODO) {
        t->next++;
    }
    if (t->next == t->nchunks) {
        return false;
    }
    w->kind = CP_DO_CHUNK;
    w->chunk = &t->chunks[t->next++];
    w->chunk->state = CP_TAKEN;
    return true;
}

/* May work on keyless tables be handed out? If not, *w may be what must be done first. */
static bool exact_ready(struct mf_copy *c, struct work *w)
{
    if (c->snapshot_dead) {
        if (c->snapshot_users == 0 && !c->snapshot_opening) {
            bury_snapshot(c, w);
        }
        return false;
    }
    if (!c->snapshot && !c->snapshot_opening) {
        c->snapshot_opening = true;
        w->kind = CP_SNAPSHOT;
    }
    return c->snapshot && !c->snapshot_opening;
}

static bool take_work(struct mf_copy *c, struct cp_table *t, struct work *w)
{
    if (t->state == CP_FINISH) {
        t->state = CP_FINISHING;
        w->kind = CP_DO_FINISH;
    } else if (t->state == CP_PLAN || (t->state == CP_COPY && t->next < t->nchunks)) {
        if (t->exact && !exact_ready(c, w)) {
            return w->kind != CP_NOTHING;
        }
        if (t->state == CP_PLAN) {
            t->state = CP_PLANNING;
            w->kind = CP_DO_PLAN;
        } else if (!take_chunk(t, w)) {
            return false;
        }
        c->snapshot_users += t->exact;
    }
    w->t = t;
    return w->kind != CP_NOTHING;
}

static void choose(struct mf_copy *c, struct work *w)
{
    *w = (struct work){0};
    if (c->finished) {
        w->kind = CP_ALL_DONE;
        return;
    }
    bool exact_left = false;
    for (size_t i = 0; i < c->ntables; i++) {
        struct cp_table *t = &c->tables[i];
        if (take_work(c, t, w)) {
            return;
        }
        exact_left |= t->exact && t->state < CP_FINISH;
    }
    if (c->snapshot && !exact_left && c->snapshot_users == 0) {
        bury_snapshot(c, w);
    } else if (c->ncopied == c->ntables) {
        w->kind = CP_END;
    }
}

/* ---- doing it ---- */

static int open_snapshot(struct mf_copy *c, struct mf_error *err)
{
    struct mf_snapshot *s = NULL;
    if (c->o.snapshot) {
        pthread_mutex_lock(&c->mu);
        c->snapshot_opening = false;
        pthread_mutex_unlock(&c->mu);
        return mf_fail(err, MF_FATAL, "MFSNAPSHOT", "the snapshot that the tables are read in was lost");
    }
    int readers = c->o.jobs > 0 ? c->o.jobs : 1;
    int rc = MF_FAULT(err, "copy.snapshot")
    ? -1 : c->o.source->connector->source->snapshot_open(c->o.source, &c->o.pipe, readers, &s, err);
    pthread_mutex_lock(&c->mu);
    c->snapshot_opening = false;
    c->snapshot = s;
    c->snapshot_number += s != NULL;
    pthread_mutex_unlock(&c->mu);
    if (rc < 0) {
        mf_error_prefix(err, "taking a snapshot for tables without a key");
    }
    return rc;
}

static int plan(struct mf_copy_worker *w, struct cp_table *t, struct mf_error *err)
{
    int rc = MF_FAULT(err, "copy.plan")
    ? -1 : mf_copy_plan_table(w, t, err);
    struct mf_copy *c = w->c;
    pthread_mutex_lock(&c->mu);
    c->snapshot_users -= t->exact;
    t->state = rc < 0 ? CP_PLAN : CP_COPY;
    if (rc < 0) {
        t->reset |= t->st.planned;
        t->st.planned = false;
        mf_copy_forget_plan(t);
    }
    pthread_mutex_unlock(&c->mu);
    if (rc < 0) {
        mf_copy_close_worker(w);
        mf_error_prefix(err, "planning the copy of table %s.%s", t->source->schema, t->source->name);
    }
    return rc;
}

static int chunk(struct mf_copy_worker *w, const struct work *k, struct mf_error *err)
{
    struct mf_copy *c = w->c;
    struct cp_table *t = k->t;
    int rc = mf_copy_chunk(w, t, k->chunk, err);
    pthread_mutex_lock(&c->mu);
    c->snapshot_users -= t->exact;
    if (rc == 0) {
        k->chunk->state = CP_DONE;
        t->done++;
        if (t->done == t->nchunks) {
            int64_t planned = t->st.rows_total > 0 ? t->st.rows_total : 0;
            c->stats.rows_total += t->rows - planned;
            t->st.rows_total = t->rows;
            t->state = CP_FINISH;
        }
        int64_t now = mf_now_us();
        if (t->state == CP_COPY && now - t->recorded_us >= RECORD_EVERY_US) {
            t->recorded_us = now; /* for the status of a run that is stopped; the lock is held over this one write */
            rc = mf_copy_record(c, t, "copying", err);
        }
    } else {
        k->chunk->state = CP_TODO;
        t->next = k->chunk->ordinal < t->next ? k->chunk->ordinal : t->next;
    }
    pthread_mutex_unlock(&c->mu);
    return rc;
}

static int finish(struct mf_copy *c, struct cp_table *t, struct mf_error *err)
{
    int rc = MF_FAULT(err, "copy.finish")
    ? -1 : c->o.target->connector->target->table_finish(c->o.target, t->target, err);
    rc = rc < 0 ? -1 : mf_copy_record(c, t, "copied", err);
    pthread_mutex_lock(&c->mu);
    t->state = rc < 0 ? CP_FINISH : CP_COPIED;
    if (rc == 0) {
        c->ncopied++;
        c->stats.tables_done++;
    }
    pthread_mutex_unlock(&c->mu);
    if (rc < 0) {
        mf_error_prefix(err, "finishing table %s.%s", t->source->schema, t->source->name);
    }
    return rc;
}

struct recount {
    const struct mf_copy *c;
    size_t n;
};

static int count_chunk(void *ctx, const struct mf_chunk_done *d, struct mf_error *err)
{
    struct recount *r = ctx;
    (void)err;
    for (size_t i = 0; i < r->c->ntables; i++) {
        r->n += r->c->tables[i].source->id == d->table_id;
    }
    return 0;
}

/* A target that restarted may have lost chunks that it had told as committed (fsync or a standby that took over): they are begun again from
 * its own records. */
static int still_there(struct mf_copy *c, struct mf_error *err)
{
    struct recount r = {.c = c};
    size_t wanted = 0;
    for (size_t i = 0; i < c->ntables; i++) {
        wanted += c->tables[i].nchunks;
    }
    if (c->o.target->connector->target->chunks_done(c->o.target, &c->o.pipe, count_chunk, &r, err) < 0) {
        return -1;
    }
    if (r.n >= wanted) {
        return 0;
    }
    mf_fail(err, MF_RETRY, "MFLOST",
            "the target has %zu of the %zu chunks it had committed: it lost the others, and they are copied again", r.n,
            wanted);
    mf_hint(err, "look at fsync and synchronous_commit on the target, and whether a standby took over");
    return -1;
}

static int end(struct mf_copy *c, struct mf_error *err)
{
    struct mf_position at = {0}, highest;
    bool found = false;
    const char *key = mf_consistency_key(c->o.pipe.direction);
    mf_copy_highest(c, &highest);
    if (still_there(c, err) < 0 || mf_state_position(c->o.state, key, &at, &found, err) < 0 ||
        ((!found || at.order < highest.order) && mf_state_set_position(c->o.state, key, &highest, err) < 0) ||
        MF_FAULT(err, "copy.end") || mf_state_set_int(c->o.state, MF_COPY_DONE_KEY, 1, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&c->mu);
    c->finished = true;
    pthread_mutex_unlock(&c->mu);
    return 0;
}

static enum mf_step result(int rc)
{
    return rc < 0 ? MF_STEP_FAILED : MF_STEP_MORE;
}

enum mf_step mf_copy_step(struct mf_copy_worker *w, struct mf_error *err)
{
    struct mf_copy *c = w->c;
    struct work k;
    mf_copy_leave_snapshot(w); /* first: a worker that is held back must not keep a snapshot alive on the source */
    if (throttled(c)) {
        return MF_STEP_IDLE;
    }
    pthread_mutex_lock(&c->mu);
    choose(c, &k);
    pthread_mutex_unlock(&c->mu);
    switch (k.kind) {
    case CP_NOTHING:
        return MF_STEP_IDLE;
    case CP_ALL_DONE:
        mf_copy_close_worker(w);
        return MF_STEP_DONE;
    case CP_SNAPSHOT:
        return result(open_snapshot(c, err));
    case CP_DROP_SNAPSHOT:
        if (k.drop) {
            c->o.source->connector->source->snapshot_close(k.drop);
        }
        return MF_STEP_MORE;
    case CP_DO_PLAN:
        return result(plan(w, k.t, err));
    case CP_DO_CHUNK:
        return result(chunk(w, &k, err));
    case CP_DO_FINISH:
        return result(finish(c, k.t, err));
    case CP_END:
        return result(end(c, err));
    }
    return MF_STEP_IDLE;
}
