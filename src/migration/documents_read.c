/* Reading documents for a plan: all of them by several threads, or a sample from all over each collection.
 *
 * A sample is the beginnings of SAMPLE_PIECES chunks, which are cut by quantiles of the ids: old documents and new ones, and as many of each. One thread reads it, so that the same
 * documents give the same plan. */
#include "migration/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"

#define SAMPLE_PIECES 100
#define CHUNK_BYTES   (INT64_C(64) << 20)
#define CHUNK_ROWS    50000
#define JOBS_MOST     64

struct piece {
    size_t table;
    struct mf_chunk chunk;
    int64_t limit; /* documents; 0: all */
};

struct reading {
    const struct mf_documents_job *job;
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t changed;
    struct piece *pieces;
    size_t npieces, next;
    int64_t done; /* documents */
    int working;
    bool failed;
    struct mf_error err; /* the first one's */
};

/* ---- pieces ---- */

struct cutting {
    struct reading *r;
    size_t table;
};

static int put_piece(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    (void)err;
    struct cutting *k = ctx;
    k->r->pieces = mf_xreallocarray(k->r->pieces, k->r->npieces + 1, sizeof *k->r->pieces);
    k->r->pieces[k->r->npieces++] = (struct piece){.table = k->table, .chunk = *c};
    return 0;
}

static int cut(struct reading *r, struct mf_error *err)
{
    const struct mf_documents_job *j = r->job;
    const struct mf_source_ops *ops = j->db->connector->source;
    struct mf_reader *reader = NULL;
    int rc = ops->reader_open(j->db, NULL, &reader, err);
    for (size_t i = 0; rc == 0 && i < j->tables->n; i++) {
        const struct mf_table *t = &j->tables->tables[i];
        struct cutting k = {r, i};
        size_t before = r->npieces;
        bool whole = j->sample && t->rows_estimate <= j->sample;
        int64_t rows = !j->sample ? CHUNK_ROWS : whole ? INT64_MAX : t->rows_estimate / SAMPLE_PIECES + 1;
        rc = ops->chunk_plan(reader, t, rows, j->sample ? INT64_MAX : CHUNK_BYTES, put_piece, &k, err);
        int64_t n = (int64_t)(r->npieces - before);
        for (size_t p = before; j->sample && p < r->npieces; p++) {
            r->pieces[p].limit = (j->sample + n - 1) / n;
        }
    }
    ops->reader_close(reader);
    return rc;
}

/* ---- workers ---- */

struct worker {
    struct reading *r;
    int number;
    const struct piece *piece;
    int64_t read; /* of the piece */
    pthread_t thread;
};

static bool count(struct reading *r)
{
    pthread_mutex_lock(&r->lock);
    r->done++;
    bool on = !r->failed;
    pthread_mutex_unlock(&r->lock);
    return on;
}

static int take_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct worker *w = ctx;
    const struct mf_documents_job *j = w->r->job;
    const struct mf_table *t = &j->tables->tables[w->piece->table];
    uint16_t document = t->nkey && t->key[0] == 0 ? 1 : 0;
    if (row->n != 2 || t->ncolumns != 2) {
        return mf_fail(err, MF_FATAL, "MFBUG", "%s is no collection", t->name);
    }
    if (j->take(j->workers[w->number], w->piece->table, &row->values[document], err) < 0) {
        return -1;
    }
    w->read++;
    if (!count(w->r) || (w->piece->limit && w->read >= w->piece->limit)) {
        return mf_fail(err, MF_ABANDONED, "MFENOUGH", "enough was read");
    }
    return 0;
}

static const struct piece *next_piece(struct reading *r)
{
    pthread_mutex_lock(&r->lock);
    const struct piece *p = r->failed || r->next == r->npieces ? NULL : &r->pieces[r->next++];
    pthread_mutex_unlock(&r->lock);
    return p;
}

static int read_pieces(struct worker *w, struct mf_error *err)
{
    const struct mf_documents_job *j = w->r->job;
    const struct mf_source_ops *ops = j->db->connector->source;
    struct mf_reader *reader = NULL;
    int rc = ops->reader_open(j->db, NULL, &reader, err);
    while (rc == 0 && (w->piece = next_piece(w->r))) {
        const struct mf_table *t = &j->tables->tables[w->piece->table];
        w->read = 0;
        rc = ops->chunk_rows(reader, t, &w->piece->chunk, take_row, w, NULL, err);
        if (rc < 0 && mf_streq(err->code, "MFENOUGH")) {
            mf_error_clear(err);
            rc = 0;
        }
    }
    ops->reader_close(reader);
    return rc;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct reading *r = w->r;
    struct mf_error err = {0};
    int rc = read_pieces(w, &err);
    pthread_mutex_lock(&r->lock);
    if (rc < 0 && !r->failed) {
        r->failed = true;
        r->err = err;
    }
    r->working--;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static int64_t expected(const struct mf_catalog *tables)
{
    int64_t n = 0;
    for (size_t i = 0; i < tables->n; i++) {
        if (tables->tables[i].rows_estimate < 0) {
            return -1;
        }
        n += tables->tables[i].rows_estimate;
    }
    return n;
}

/* Tells of the progress until all have ended. */
static void watch(struct reading *r)
{
    const struct mf_plan_options *o = r->job->options;
    int64_t total = r->job->sample ? -1 : expected(r->job->tables);
    pthread_mutex_lock(&r->lock);
    while (r->working > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&r->changed, &r->lock, &until);
        int64_t done = r->done;
        pthread_mutex_unlock(&r->lock);
        if (o && o->progress) {
            o->progress(o->ctx, done, total);
        }
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
}

int mf_documents_read(const struct mf_documents_job *job, struct mf_error *err)
{
    struct reading r = {.job = job, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct worker workers[JOBS_MOST];
    int n = 0, jobs = job->jobs < JOBS_MOST ? job->jobs : JOBS_MOST;
    int rc = cut(&r, err);
    for (; rc == 0 && n < jobs; n++) {
        workers[n] = (struct worker){.r = &r, .number = n};
        pthread_mutex_lock(&r.lock);
        r.working++;
        pthread_mutex_unlock(&r.lock);
        if (pthread_create(&workers[n].thread, NULL, work, &workers[n]) != 0) {
            pthread_mutex_lock(&r.lock);
            r.working--;
            pthread_mutex_unlock(&r.lock);
            break; /* as many as there are */
        }
    }
    if (rc == 0 && n == 0) {
        rc = mf_fail(err, MF_FATAL, "MFTHREAD", "no thread could be started to read documents");
    }
    watch(&r);
    for (int i = 0; i < n; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    if (rc == 0 && r.failed) {
        *err = r.err;
        rc = -1;
    }
    free(r.pieces);
    return rc;
}
