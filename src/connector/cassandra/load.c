/*
 * Chunks of the copy. Every row of a table has the same stamp, older than every change: rows may be there already, from a try before this one, and are
 * written over by themselves. A chunk's record comes after all of its rows are acknowledged.
 *
 * Rows are put into the order of their tokens, some megabytes of them at a time, before they go out: that is the order in which a node keeps what it has not
 * written to its disk yet, and finding a place beside the last one costs it less than finding one anywhere.
 */
#include "connector/cassandra/cass.h"

#include "base/fault.h"
#include "base/mem.h"

#include <stdlib.h>

#define ROWS_BYTES  ((size_t)1 << 30)
#define SHAPE_BYTES ((size_t)64 << 20)
#define SORT_BYTES  ((size_t)4 << 20) /* of rows that are put in order at a time */
#define SORT_ROWS   32768

struct cass_loader {
    struct mf_loader base;
    struct mf_pipe_id pipe;
    struct cass_gather *gather;
    struct mf_arena shapes;   /* of one table */
    struct cass_statements s; /* of the table being loaded, with its columns in the order that rows have */
    int64_t stamp;
    bool careful;
    struct mf_buf bytes; /* rows as they are bound, not sent yet */
    struct place {
        int64_t token;
        size_t at, len;
        uint16_t n;
    } * places;
    size_t nplaces, cap;
};

int cass_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err)
{
    (void)err;
    struct cass_loader *l = mf_xcalloc(1, sizeof *l);
    l->base.db = db;
    l->pipe = *pipe;
    l->gather = cass_gather_new(cass_db_of(db));
    pthread_mutex_lock(&cass_db_of(db)->lock);
    l->careful = cass_db_of(db)->careful_loads;
    pthread_mutex_unlock(&cass_db_of(db)->lock);
    mf_buf_init(&l->bytes, ROWS_BYTES);
    mf_arena_init(&l->shapes, SHAPE_BYTES);
    *ret = &l->base;
    return 0;
}

void cass_loader_close(struct mf_loader *base)
{
    struct cass_loader *l = (struct cass_loader *)base;
    if (l) {
        cass_gather_free(l->gather);
        mf_buf_free(&l->bytes);
        mf_arena_free(&l->shapes);
        free(l->places);
        free(l);
    }
}

int cass_load_begin(struct mf_loader *base, const struct mf_table *t, const struct mf_table *source_shape,
                    int64_t stamp, struct mf_error *err)
{
    struct cass_loader *l = (struct cass_loader *)base;
    struct mf_table both = *source_shape;
    both.schema = t->schema;
    both.name = t->name;
    mf_arena_reset(&l->shapes);
    const struct mf_table *rows = mf_table_copy(&l->shapes, &both); /* t is the caller's */
    l->stamp = stamp;
    return rows ? cass_statements(cass_db_of(base->db), rows, &l->s, err)
                : mf_fail(err, MF_FATAL, "MFBIG", "the shape of table %s.%s is too large", t->schema, t->name);
}

int cass_load_data(struct mf_loader *base, const void *data, size_t len, struct mf_error *err)
{
    (void)base, (void)data, (void)len;
    return mf_fail(err, MF_FATAL, "MFUNSUP", "rows go to Cassandra one by one, not as bytes of another server");
}

/*
 * A refusal that comes with an answer is of rows whose call has long returned, so nobody can be told which. The chunk is lost then and comes again, and
 * from then on every call waits for its own rows: what is refused is refused to the one who gave it.
 */
static int later(struct cass_loader *l, struct mf_error *err)
{
    struct cass_db *db = cass_db_of(l->base.db);
    struct mf_error why = *err;
    if (err->cls != MF_ROW || l->careful) {
        return -1;
    }
    pthread_mutex_lock(&db->lock);
    db->careful_loads = true;
    pthread_mutex_unlock(&db->lock);
    return mf_fail(err, MF_RETRY, "MFREFUSED", "a row of the chunk was refused, and it is not known yet which: %s",
                   why.text);
}

static int by_token(const void *a, const void *b)
{
    int64_t x = ((const struct place *)a)->token, y = ((const struct place *)b)->token;
    return (x > y) - (x < y);
}

static void forget_rows(struct cass_loader *l)
{
    l->nplaces = 0;
    mf_buf_reset(&l->bytes);
}

static int send_rows(struct cass_loader *l, struct mf_error *err)
{
    if (l->nplaces > 1) {
        qsort(l->places, l->nplaces, sizeof *l->places, by_token);
    }
    for (size_t i = 0; i < l->nplaces; i++) {
        const struct place *p = &l->places[i];
        struct cql_values v = {(const uint8_t *)l->bytes.data + p->at, p->len, p->n};
        if (cass_gather_add_at(l->gather, l->s.insert, &v, p->token, err) < 0) {
            return -1;
        }
    }
    forget_rows(l);
    return 0;
}

/* Everything given so far is acknowledged. */
static int settle(struct cass_loader *l, struct mf_error *err)
{
    return send_rows(l, err) < 0 || cass_gather_drain(l->gather, err) < 0 ? -1 : 0;
}

int cass_load_rows(struct mf_loader *base, const struct mf_row *rows, size_t n, struct mf_error *err)
{
    struct cass_loader *l = (struct cass_loader *)base;
    struct cass_db *db = cass_db_of(base->db);
    size_t bytes = l->bytes.len, places = l->nplaces;
    if (l->nplaces + n > l->cap) {
        l->cap = l->nplaces + n > 2 * l->cap ? l->nplaces + n : 2 * l->cap;
        l->places = mf_xreallocarray(l->places, l->cap, sizeof *l->places);
    }
    for (size_t i = 0; i < n; i++) {
        struct cql_values v;
        struct place p = {.at = l->bytes.len};
        int32_t seconds = 0;
        if (cass_row_ends(db, &l->s, &rows[i], &seconds, err) == 0 && seconds < 0) {
            continue; /* it is over */
        }
        if (cass_bind_insert(db, &l->s, &rows[i], &rows[i], CASS_NULLS_LEFT, l->stamp, &l->bytes, &v, err) < 0 ||
            mf_cql_prepared_token(l->s.insert, &v, &p.token, err) < 0) {
            l->bytes.len = bytes; /* none of these rows */
            l->nplaces = places;
            return -1;
        }
        p.len = v.len;
        p.n = v.n;
        l->places[l->nplaces++] = p;
    }
    bool full = l->bytes.len >= SORT_BYTES || l->nplaces >= SORT_ROWS;
    /* What a row has left was counted now: it does not wait for others. */
    int rc = l->careful || l->s.ends_at >= 0 ? settle(l, err) : full ? send_rows(l, err) : 0;
    if (rc < 0) {
        forget_rows(l);
        cass_gather_reset(l->gather);
        return later(l, err);
    }
    return MF_FAULT(err, "cassandra.load_rows");
}

int cass_load_row(struct mf_loader *base, const struct mf_row *row, struct mf_error *err)
{
    return cass_load_rows(base, row, 1, err);
}

int cass_load_quarantine(struct mf_loader *base, const struct mf_quarantined *q, struct mf_error *err)
{
    struct cass_loader *l = (struct cass_loader *)base;
    return cass_quarantine_put(cass_db_of(base->db), &l->pipe, q, l->stamp, err);
}

int cass_load_commit(struct mf_loader *base, const struct mf_chunk_done *done, struct mf_error *err)
{
    struct cass_loader *l = (struct cass_loader *)base;
    if (settle(l, err) < 0) {
        return later(l, err);
    }
    if (MF_FAULT(err, "cassandra.load_commit") || cass_chunk_write(cass_db_of(base->db), &l->pipe, done, err) < 0) {
        return -1;
    }
    return MF_FAULT(err, "cassandra.load_committed");
}

void cass_load_abort(struct mf_loader *base)
{
    forget_rows((struct cass_loader *)base);
    cass_gather_reset(((struct cass_loader *)base)->gather);
}

int cass_table_reset(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    struct cass_db *db = cass_db_of(base);
    mf_buf_puts(&sql, "TRUNCATE TABLE ");
    cass_put_name(&sql, t->schema, t->name);
    return mf_cql_query(db->cql, mf_buf_str(&sql), NULL, err) < 0 || cass_chunks_forget(db, pipe, t->id, err) < 0 ? -1
                                                                                                                  : 0;
}
