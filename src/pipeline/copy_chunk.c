/* One chunk: a short read on one side, one transaction with its record on the other. Bytes pass through unread where both
 * sides speak the same wire; they are rows (copy_rows.c) where they do not, and where the target refused one of the chunk. */
#include "pipeline/copy_internal.h"

#include "base/fault.h"
#include "base/str.h"

#include <string.h>

void mf_copy_close_worker(struct mf_copy_worker *w)
{
    const struct mf_source_ops *src = w->c->o.source->connector->source;
    if (w->reader) {
        src->reader_close(w->reader);
    }
    if (w->exact) {
        src->reader_close(w->exact);
    }
    if (w->loader) {
        w->c->o.target->connector->target->loader_close(w->loader);
    }
    w->reader = w->exact = NULL;
    w->loader = NULL;
}

/* A snapshot that can no longer be entered is dead: everything read in it is begun again in another. */
static int open_exact(struct mf_copy_worker *w, struct mf_error *err)
{
    struct mf_copy *c = w->c;
    const struct mf_source_ops *src = c->o.source->connector->source;
    pthread_mutex_lock(&c->mu);
    struct mf_snapshot *s = c->snapshot; /* stays while this worker is counted as its user */
    uint64_t number = c->snapshot_number;
    pthread_mutex_unlock(&c->mu);
    if (w->exact && w->exact_number == number) {
        return 0;
    }
    if (w->exact) {
        src->reader_close(w->exact);
        w->exact = NULL;
    }
    if (src->reader_open(c->o.source, s, &w->exact, err) < 0) {
        pthread_mutex_lock(&c->mu);
        c->snapshot_dead = true;
        pthread_mutex_unlock(&c->mu);
        if (err->cls != MF_CRASH) {
            err->cls = MF_RETRY;
        }
        mf_error_prefix(err, "entering the snapshot for tables without a key");
        return -1;
    }
    w->exact_number = number;
    w->exact_at = s->position;
    return 0;
}

void mf_copy_leave_snapshot(struct mf_copy_worker *w)
{
    struct mf_copy *c = w->c;
    pthread_mutex_lock(&c->mu);
    bool stale = w->exact && (!c->snapshot || c->snapshot_dead || c->snapshot_number != w->exact_number);
    pthread_mutex_unlock(&c->mu);
    if (stale) {
        c->o.source->connector->source->reader_close(w->exact);
        w->exact = NULL;
    }
}

int mf_copy_reader(struct mf_copy_worker *w, const struct cp_table *t, struct mf_reader **ret, struct mf_error *err)
{
    if (t->exact) {
        if (open_exact(w, err) < 0) {
            return -1;
        }
        *ret = w->exact;
        return 0;
    }
    if (!w->reader && w->c->o.source->connector->source->reader_open(w->c->o.source, NULL, &w->reader, err) < 0) {
        return -1;
    }
    *ret = w->reader;
    return 0;
}

/* ---- what is being copied ---- */

static void describe(struct cp_job *j, const struct cp_chunk *k)
{
    const struct mf_table *s = j->t->source;
    j->chunk.table_id = j->done.table_id = s->id;
    j->chunk.ordinal = j->done.ordinal = k->ordinal;
    j->chunk.rows_estimate = k->rows_estimate;
    j->chunk.by_heap = k->by_heap;
    j->chunk.has_lower = k->lower != NULL;
    j->chunk.has_upper = k->upper != NULL;
    mf_strlcpy(j->chunk.lower, k->lower ? k->lower : "", sizeof(j->chunk.lower));
    mf_strlcpy(j->chunk.upper, k->upper ? k->upper : "", sizeof(j->chunk.upper));
    mf_strlcpy(j->done.schema, s->schema, sizeof(j->done.schema));
    mf_strlcpy(j->done.table, s->name, sizeof(j->done.table));
}

static int commit(struct cp_job *j, struct mf_error *err)
{
    if (j->t->exact) {
        j->done.after = j->w->exact_at;
        j->done.whole_table_snapshot = true;
    }
    j->sent = true;
    if (MF_FAULT(err, "copy.commit") ||
        j->w->c->o.target->connector->target->load_commit(j->w->loader, &j->done, err) < 0) {
        return -1;
    }
    return MF_FAULT(err, "copy.committed")
    ? -1 : 0;
}

static int by_wire(struct cp_job *j, struct mf_error *err)
{
    const struct mf_source_ops *src = j->w->c->o.source->connector->source;
    const struct mf_target_ops *dst = j->w->c->o.target->connector->target;
    if (src->chunk_open(j->reader, j->t->source, &j->chunk, err) < 0 ||
        dst->load_begin(j->w->loader, j->t->target, j->t->source, j->w->c->o.stamp, err) < 0) {
        return -1;
    }
    for (;;) {
        const void *data;
        size_t len = 0;
        if (src->chunk_read(j->reader, &data, &len, err) < 0) {
            return -1;
        }
        if (!len) {
            break;
        }
        j->done.bytes += (int64_t)len;
        if (dst->load_data(j->w->loader, data, len, err) < 0) {
            return -1;
        }
    }
    if (src->chunk_close(j->reader, &j->done.after, &j->done.rows, err) < 0) {
        return -1;
    }
    return commit(j, err);
}

/* The earlier commit may come about while this goes on: rows are refused then, as duplicates of themselves. */
static int by_rows(struct cp_job *j, struct mf_error *err)
{
    if (mf_copy_rows(j, err) == 0) {
        return commit(j, err);
    }
    if (!j->found) {
        return -1;
    }
    mf_error_clear(err);
    j->w->c->o.target->connector->target->load_abort(j->w->loader);
    mf_copy_close_worker(j->w);
    return 0;
}

/* ---- both ---- */

static int open_both(struct cp_job *j, struct mf_error *err)
{
    struct mf_copy *c = j->w->c;
    if (!j->w->loader && c->o.target->connector->target->loader_open(c->o.target, &c->o.pipe, &j->w->loader, err) < 0) {
        return -1;
    }
    return mf_copy_reader(j->w, j->t, &j->reader, err);
}

static int find_record(void *ctx, const struct mf_chunk_done *d, struct mf_error *err)
{
    (void)err;
    struct cp_job *j = ctx;
    if (d->table_id == j->chunk.table_id && d->ordinal == j->chunk.ordinal &&
        (!j->t->exact || d->after.order == j->t->st.exact_at.order)) {
        j->done = *d;
        j->found = true;
    }
    return 0;
}

/* A commit that was not answered may have happened; then the target has the record, and rows copied again would be refused as
 * duplicates, or be duplicates. */
int mf_copy_is_in(struct cp_job *j, bool *ret, struct mf_error *err)
{
    struct mf_copy *c = j->w->c;
    j->found = false;
    if (c->o.target->connector->target->chunks_done(c->o.target, &c->o.pipe, find_record, j, err) < 0) {
        return -1;
    }
    *ret = j->found;
    return 0;
}

static int copy_it(struct cp_job *j, struct mf_error *err)
{
    struct mf_copy *c = j->w->c;
    bool in = false;
    if (open_both(j, err) < 0 || (j->uncertain && mf_copy_is_in(j, &in, err) < 0)) {
        return -1;
    }
    if (in) {
        return 0;
    }
    if (!c->same_wire) {
        return by_rows(j, err);
    }
    if (by_wire(j, err) == 0) {
        return 0;
    }
    if (!mf_copy_refused(err)) {
        return -1;
    }
    /* The reader stands in the middle of the chunk and the loader's transaction is lost: both are opened again. */
    struct mf_error why = *err;
    c->o.target->connector->target->load_abort(j->w->loader);
    mf_copy_close_worker(j->w);
    if (mf_copy_is_in(j, &in, err) < 0) {
        return -1;
    }
    if (in) {
        return 0;
    }
    if (!c->o.keep_rejected) {
        *err = why;
        return -1;
    }
    return open_both(j, err) < 0 ? -1 : by_rows(j, err);
}

int mf_copy_chunk(struct mf_copy_worker *w, struct cp_table *t, struct cp_chunk *chunk, struct mf_error *err)
{
    struct cp_job j = {.w = w, .t = t, .uncertain = chunk->uncertain};
    struct mf_copy *c = w->c;
    describe(&j, chunk);
    if (MF_FAULT(err, "copy.chunk") || copy_it(&j, err) < 0) {
        chunk->uncertain |= j.sent; /* the chunk is this worker's while it is taken */
        if (w->loader) {
            c->o.target->connector->target->load_abort(w->loader);
        }
        mf_copy_close_worker(w);
        /* The table was rewritten after the snapshot, which shows it empty: only a newer one can show its rows. */
        if (t->exact && strcmp(err->code, "MFREWRITTEN") == 0) {
            pthread_mutex_lock(&c->mu);
            c->snapshot_dead = true;
            pthread_mutex_unlock(&c->mu);
        }
        if (mf_copy_refused(err)) {
            err->cls = MF_FATAL;
        }
        mf_error_prefix(err, "copying table %s.%s", t->source->schema, t->source->name);
        return -1;
    }
    pthread_mutex_lock(&c->mu);
    int64_t rows = j.done.rows > 0 ? j.done.rows : 0;
    t->rows += rows;
    t->bytes += j.done.bytes;
    c->stats.rows_done += rows;
    c->stats.rows_this_run += rows;
    c->stats.bytes_done += j.done.bytes;
    c->quarantined += j.quarantined;
    if (j.done.after.order > c->highest.order) {
        c->highest = j.done.after;
    }
    pthread_mutex_unlock(&c->mu);
    return 0;
}
