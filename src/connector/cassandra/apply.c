/*
 * Windows into a database that keeps the last write (mf_target_ops.window_begin says what holds; docs/internals/stamps.md why).
 *
 * A window is not a transaction. Its rows go out as they come, in any order and perhaps more than once; when all of them are acknowledged the
 * checkpoint is written, which is what says that they are there. Nothing is read before it is written, so nothing is ever found to be missing but what the
 * change itself shows to be: a key that moved with a row that is not whole.
 *
 * A row in quarantine is not in the target. An update that is not whole cannot put it there, and is reported as missing: it is read again, whole.
 */
#include "connector/cassandra/cass.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROW_JSON_MAX ((size_t)64 << 20)
#define KEY_TEXT_MAX ((size_t)16 << 20)
#define ROWS_BYTES   ((size_t)1 << 30)

struct cass_applier {
    struct mf_applier base;
    struct mf_pipe_id pipe;
    struct cass_gather *gather;
    struct mf_position checkpoint, last; /* of this window; of the one before */
    struct mf_window_mode mode;
    struct mf_window_result *result;
    struct mf_buf bytes;
    bool has_quarantine;
};

int cass_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err)
{
    struct cass_applier *a = mf_xcalloc(1, sizeof *a);
    a->base.db = db;
    a->pipe = *pipe;
    if (cass_checkpoint(db, pipe, &a->last, err) < 0 ||
        cass_quarantine_any(cass_db_of(db), pipe, &a->has_quarantine, err) < 0) {
        free(a);
        return -1;
    }
    a->gather = cass_gather_new(cass_db_of(db));
    mf_buf_init(&a->bytes, ROWS_BYTES);
    *ret = &a->base;
    return 0;
}

void cass_applier_close(struct mf_applier *base)
{
    struct cass_applier *a = (struct cass_applier *)base;
    if (a) {
        cass_gather_free(a->gather);
        mf_buf_free(&a->bytes);
        free(a);
    }
}

int cass_window_begin(struct mf_applier *base, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                      struct mf_error *err)
{
    struct cass_applier *a = (struct cass_applier *)base;
    if (checkpoint->order < a->last.order) {
        return mf_fail(err, MF_FATAL, "MFTWICE",
                       "the checkpoint in the cluster (%" PRIu64 ") is further than this window's (%" PRIu64
                       "): another process has applied this stream",
                       a->last.order, checkpoint->order);
    }
    a->checkpoint = *checkpoint;
    a->mode = *mode;
    return MF_FAULT(err, "cassandra.window_begin");
}

/* ---- one row ---- */

/* A key that no row here can have is no row's. */
static int remove_row(struct cass_applier *a, const struct cass_statements *s, const struct mf_row *keys, int64_t stamp,
                      struct mf_error *err)
{
    struct cql_values v;
    mf_buf_reset(&a->bytes);
    if (cass_bind_remove(s, keys, stamp, &a->bytes, &v, err) < 0) {
        if (err->cls != MF_ROW) {
            return -1;
        }
        mf_error_clear(err);
        return 0;
    }
    return cass_gather_add(a->gather, s->remove, &v, err);
}

/* A row that is over goes. */
static int write_row(struct cass_applier *a, const struct cass_statements *s, const struct mf_row *keys,
                     const struct mf_row *row, enum cass_nulls nulls, int64_t stamp, struct mf_error *err)
{
    struct cql_values v;
    int32_t seconds = 0;
    if (cass_row_ends(cass_db_of(a->base.db), s, row, &seconds, err) < 0) {
        return -1;
    }
    if (seconds < 0) {
        return remove_row(a, s, keys, stamp, err);
    }
    mf_buf_reset(&a->bytes);
    return cass_bind_insert(cass_db_of(a->base.db), s, keys, row, nulls, stamp, &a->bytes, &v, err) < 0 ||
                   cass_gather_add(a->gather, s->insert, &v, err) < 0
               ? -1
               : 0;
}

/* Also what a copy put there meanwhile. */
static bool keeps(struct cass_applier *a)
{
    struct cass_db *db = cass_db_of(a->base.db);
    if (!a->has_quarantine) {
        MF_LOCK_SCOPE(&db->lock);
        a->has_quarantine = db->kept;
    }
    return a->has_quarantine;
}

static int forget(struct cass_applier *a, const struct mf_table *t, const struct mf_row *row, int64_t stamp,
                  struct mf_error *err)
{
    return keeps(a) ? cass_quarantine_forget(cass_db_of(a->base.db), &a->pipe, t, row, stamp, err) : 0;
}

static bool same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct mf_value *x = &a->values[t->key[k]], *y = &b->values[t->key[k]];
        if (y->kind != MF_UNCHANGED && !mf_value_equal(x, y)) {
            return false;
        }
    }
    return true;
}

/* An update that says nothing of some columns. */
static int update_part(struct cass_applier *a, const struct cass_statements *s, const struct mf_rowchange *c,
                       struct mf_error *err)
{
    bool kept = false;
    if (s->ends_at >=
        0) { /* only all of a row ends together: it is read again, and what was there goes if it is over */
        return remove_row(a, s, &c->old_row, c->stamp, err) < 0
                   ? -1
                   : mf_result_missing(a->result, s->table, &c->old_row, err);
    }
    if (keeps(a) && cass_quarantine_has(cass_db_of(a->base.db), &a->pipe, s->table, &c->old_row, &kept, err) < 0) {
        return -1;
    }
    return kept ? mf_result_missing(a->result, s->table, &c->old_row, err)
                : write_row(a, s, &c->old_row, &c->new_row, CASS_NULLS_WRITTEN, c->stamp, err);
}

static int update(struct cass_applier *a, const struct cass_statements *s, const struct mf_rowchange *c,
                  struct mf_error *err)
{
    bool whole = mf_row_whole(&c->new_row);
    if (same_key(s->table, &c->old_row, &c->new_row)) {
        return whole ? write_row(a, s, &c->new_row, &c->new_row, CASS_NULLS_WRITTEN, c->stamp, err) < 0 ||
                               forget(a, s->table, &c->new_row, c->stamp, err) < 0
                           ? -1
                           : 0
                     : update_part(a, s, c, err);
    }
    /* The new one first: when it is refused, the old one is not gone without a word. */
    if ((whole && (write_row(a, s, &c->new_row, &c->new_row, CASS_NULLS_WRITTEN, c->stamp, err) < 0 ||
                   forget(a, s->table, &c->new_row, c->stamp, err) < 0)) ||
        remove_row(a, s, &c->old_row, c->stamp, err) < 0 || forget(a, s->table, &c->old_row, c->stamp, err) < 0) {
        return -1;
    }
    return whole ? 0 : mf_result_missing(a->result, s->table, &c->new_row, err);
}

static int change(struct cass_applier *a, const struct cass_statements *s, const struct mf_rowchange *c,
                  struct mf_error *err)
{
    switch (c->op) {
    case MF_ROW_DELETE:
        return remove_row(a, s, &c->old_row, c->stamp, err) < 0 || forget(a, s->table, &c->old_row, c->stamp, err) < 0
                   ? -1
                   : 0;
    case MF_ROW_UPDATE:
        return update(a, s, c, err);
    case MF_ROW_INSERT:
    case MF_ROW_REPLACE:
        break;
    }
    enum cass_nulls nulls = c->op == MF_ROW_INSERT && c->plain ? CASS_NULLS_LEFT : CASS_NULLS_WRITTEN;
    return write_row(a, s, &c->new_row, &c->new_row, nulls, c->stamp, err) < 0 ||
                   forget(a, s->table, &c->new_row, c->stamp, err) < 0
               ? -1
               : 0;
}

/* ---- rows that are refused ---- */

/* Its old version, which would pass for a good one, goes too. */
static int leave_out(struct cass_applier *a, const struct cass_statements *s, const struct mf_rowchange *c,
                     const struct mf_error *why, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = KEY_TEXT_MAX}, json = {.max = ROW_JSON_MAX};
    const struct mf_row *row = c->op == MF_ROW_DELETE ? &c->old_row : &c->new_row;
    bool update = c->op == MF_ROW_UPDATE;
    if ((update && (remove_row(a, s, &c->old_row, c->stamp, err) < 0 ||
                    (!same_key(s->table, &c->old_row, row) && forget(a, s->table, &c->old_row, c->stamp, err) < 0))) ||
        remove_row(a, s, update && same_key(s->table, &c->old_row, row) ? &c->old_row : row, c->stamp, err) < 0) {
        return -1;
    }
    if (cass_gather_drain(a->gather, err) < 0) {
        if (err->cls != MF_ROW) {
            return -1;
        }
        mf_error_clear(err); /* by the cluster: a key that no row can have there */
        cass_gather_reset(a->gather);
    }
    if (MF_FAULT(err, "cassandra.quarantine")) {
        return -1;
    }
    mf_put_key_text(&key, s->table, row);
    mf_put_row_json(&json, s->table, row);
    struct mf_quarantined q = {.key = mf_buf_str(&key),
                               .column = mf_refused_column(s->table, row, why),
                               .reason = why->text,
                               .row = mf_buf_ok(&json) ? mf_buf_str(&json) : "{}",
                               .position = a->checkpoint};
    mf_strlcpy(q.schema, s->table->schema, sizeof q.schema);
    mf_strlcpy(q.table, s->table->name, sizeof q.table);
    mf_strlcpy(q.code, why->code, sizeof q.code);
    if (cass_quarantine_put(cass_db_of(a->base.db), &a->pipe, &q, c->stamp, err) < 0) {
        return -1;
    }
    a->result->quarantined++;
    return 0;
}

static int changes(struct cass_applier *a, const struct cass_statements *s, struct mf_rowchange **list, size_t n,
                   struct mf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        /* The cluster's own refusals come with an answer: waited for, it is this change's. */
        if (change(a, s, list[i], err) == 0 && (!a->mode.careful || cass_gather_drain(a->gather, err) == 0)) {
            continue;
        }
        struct mf_error why = *err;
        if (why.cls != MF_ROW || !a->mode.careful || !a->mode.keep_rejected) {
            return -1;
        }
        mf_error_clear(err);
        cass_gather_reset(a->gather);
        if (leave_out(a, s, list[i], &why, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- windows ---- */

struct emptying {
    struct cass_applier *a;
    const struct mf_cql_prepared *remove;
    int64_t stamp;
};

static int remove_partition(void *ctx, const struct mf_cql_answer *answer, const struct cql_bytes *cells,
                            struct mf_error *err)
{
    struct emptying *e = ctx;
    uint8_t stamp[8];
    mf_buf_reset(&e->a->bytes);
    mf_put_u64be(stamp, (uint64_t)e->stamp);
    cql_put_bytes(&e->a->bytes, stamp, sizeof stamp);
    for (int i = 0; i < answer->columns->n; i++) {
        cql_put_bytes(&e->a->bytes, cells[i].p, (size_t)cells[i].n);
    }
    struct cql_values v = {(const uint8_t *)e->a->bytes.data, e->a->bytes.len, (uint16_t)(answer->columns->n + 1)};
    return cass_gather_add(e->a->gather, e->remove, &v, err);
}

/* As the server has it; the markers of INSERT are the columns. */
static void put_partition_key(struct mf_buf *b, const struct cass_statements *s, const char *between, const char *after)
{
    const uint16_t *columns;
    size_t n = mf_cql_prepared_key(s->insert, &columns);
    for (size_t k = 0; k < n; k++) {
        mf_buf_puts(b, k ? between : "");
        cass_put_ident(b, s->table->columns[columns[k]].name);
        mf_buf_puts(b, after);
    }
}

/*
 * Partition by partition, with the stamp of the truncate. The server's own TRUNCATE has no timestamp: one whose answer was lost could be carried out, or one
 * of a process that was held up for a while be sent, when later rows are there and recorded; and it needs every node.
 * All that came before it in the stream is acknowledged, so it is among what is found.
 */
static int empty_table(struct cass_applier *a, const struct mf_table *t, int64_t stamp, struct mf_error *err)
{
    struct cass_db *db = cass_db_of(a->base.db);
    MF_CLEANUP_BUF struct mf_buf all = {.max = 1 << 16}, one = {.max = 1 << 16};
    struct emptying e = {.a = a, .stamp = stamp};
    struct cass_statements s;
    if (cass_statements(db, t, &s, err) < 0) {
        return -1;
    }
    mf_buf_puts(&all, "SELECT DISTINCT ");
    put_partition_key(&all, &s, ", ", "");
    mf_buf_puts(&all, " FROM ");
    cass_put_name(&all, t->schema, t->name);
    mf_buf_puts(&one, "DELETE FROM ");
    cass_put_name(&one, t->schema, t->name);
    mf_buf_puts(&one, " USING TIMESTAMP ? WHERE ");
    put_partition_key(&one, &s, " AND ", " = ?");
    if (mf_cql_prepare(db->cql, mf_buf_str(&one), &e.remove, err) < 0 ||
        cass_each(db, mf_buf_str(&all), NULL, 0, remove_partition, &e, err) < 0) {
        return -1;
    }
    return cass_gather_drain(a->gather, err);
}

static int truncate_tables(struct cass_applier *a, const struct mf_change *c, struct mf_error *err)
{
    if (cass_gather_drain(a->gather, err) < 0) {
        return -1;
    }
    for (uint16_t i = 0; i < c->ntruncated; i++) {
        const struct mf_table *t = c->truncated[i];
        if (empty_table(a, t, c->stamp, err) < 0 ||
            (keeps(a) &&
             cass_quarantine_forget_table(cass_db_of(a->base.db), &a->pipe, t->schema, t->name, c->stamp, err) < 0)) {
            mf_error_prefix(err, "emptying table %s.%s", t->schema, t->name);
            return -1;
        }
    }
    return 0;
}

int cass_window_batch(struct mf_applier *base, const struct mf_batch *b, struct mf_window_result *result,
                      struct mf_error *err)
{
    struct cass_applier *a = (struct cass_applier *)base;
    a->result = result;
    if (b->truncate) {
        return truncate_tables(a, b->truncate, err);
    }
    for (size_t i = 0; i < b->ntables; i++) {
        const struct mf_batch_table *t = &b->tables[i];
        struct cass_statements s;
        if (cass_statements(cass_db_of(base->db), t->table, &s, err) < 0 ||
            changes(a, &s, t->deletes, t->ndeletes, err) < 0 || changes(a, &s, t->updates, t->nupdates, err) < 0 ||
            changes(a, &s, t->inserts, t->ninserts, err) < 0 ||
            (s.ends_at >= 0 && cass_gather_drain(a->gather, err) < 0)) { /* what a row has left was counted now */
            return -1;
        }
        if (MF_FAULT(err, "cassandra.window_rows")) {
            return -1;
        }
        result->rows += t->ndeletes + t->nupdates + t->ninserts;
    }
    return 0;
}

int cass_window_commit(struct mf_applier *base, struct mf_error *err)
{
    struct cass_applier *a = (struct cass_applier *)base;
    if (cass_gather_drain(a->gather, err) < 0 || MF_FAULT(err, "cassandra.window_commit") ||
        cass_checkpoint_write(cass_db_of(base->db), &a->pipe, &a->checkpoint, err) < 0) {
        return -1;
    }
    a->last = a->checkpoint;
    return MF_FAULT(err, "cassandra.window_committed");
}

void cass_window_abort(struct mf_applier *base)
{
    cass_gather_reset(((struct cass_applier *)base)->gather);
}

int cass_repair_rows(struct mf_applier *base, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                     const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err)
{
    struct cass_applier *a = (struct cass_applier *)base;
    struct cass_statements s;
    int rc = cass_statements(cass_db_of(base->db), t, &s, err);
    for (size_t i = 0; rc == 0 && i < ngone; i++) {
        rc = remove_row(a, &s, &gone[i], stamp, err) < 0 || forget(a, t, &gone[i], stamp, err) < 0 ? -1 : 0;
    }
    for (size_t i = 0; rc == 0 && i < nwhole; i++) {
        rc = write_row(a, &s, &whole[i], &whole[i], CASS_NULLS_WRITTEN, stamp, err) < 0 ||
                     forget(a, t, &whole[i], stamp, err) < 0
                 ? -1
                 : 0;
    }
    rc = rc < 0 ? -1 : cass_gather_drain(a->gather, err);
    if (rc < 0) {
        cass_gather_reset(a->gather);
    }
    return rc;
}
