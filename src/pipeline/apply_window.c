/* Gathering a window: whole transactions from the spool until it is large enough, nothing more is ready, or something that
 * must not share a window with them comes next.
 *
 * The checkpoint is the first thing the target transaction writes, so its position must be known when the first batch goes
 * out. Nearly always the whole window fits in one batch and is sent when it is complete. When a batch has to go out
 * before (a TRUNCATE, a key that moves onto another, a giant transaction), the window ends with the transaction it is in. */
#include "pipeline/apply_internal.h"

#include "base/fault.h"

#include <stdlib.h>
#include <string.h>

#define READ_TIMEOUT_MS 10000 /* a transaction that was announced is whole: its records are there */

int mf_apply_begin(struct mf_apply *a, const struct mf_position *end, int64_t stamp, struct mf_error *err)
{
    struct mf_window_mode mode = {.fuzzy = a->w.fuzzy,
                                  .careful = a->w.careful,
                                  .keep_rejected = a->w.careful && a->o.keep_rejected,
                                  .heal = a->w.careful && a->o.heal,
                                  .stamp = stamp};
    a->w.end = *end;
    a->w.end_stamp = stamp;
    a->w.begun = true; /* before the call: what it began must be undone when it fails */
    return MF_FAULT(err, "apply.begin")
    || a->o.replica->connector->target->window_begin(a->applier, end, &mode, err) < 0 ? -1 : 0;
}

static void reset_batch(struct mf_apply *a)
{
    mf_window_reset(a->window, a->w.careful, a->w.fuzzy);
    for (struct ap_table *t = a->tables; t; t = t->next) {
        t->in_batch = false;
    }
}

/* Sends the batch. The window must have begun. */
int mf_apply_flush(struct mf_apply *a, struct mf_error *err)
{
    if (!a->w.waiting) {
        return 0;
    }
    const struct mf_batch *b = mf_window_batch(a->window);
    if (!b) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a batch of changes");
    }
    if (mf_apply_cascade(a, b, err) < 0) {
        return -1;
    }
    if ((b->ntables || b->truncate) &&
        a->o.replica->connector->target->window_batch(a->applier, b, &a->result, err) < 0) {
        return -1;
    }
    a->w.waiting = 0;
    reset_batch(a);
    return 0;
}

/* The batch must go out although the window is not complete: from here on its end is fixed. */
static int flush_early(struct mf_apply *a, const struct mf_txn_head *head, struct mf_error *err)
{
    if (!a->w.begun) {
        struct mf_position end = head->position;
        int64_t stamp = mf_txn_stamp_after(head);
        if (a->w.careful && a->careful_end.order > end.order) {
            end = a->careful_end; /* the failed window, whole */
            stamp = a->careful_stamp;
        }
        if (mf_apply_begin(a, &end, stamp, err) < 0) {
            return -1;
        }
    }
    return mf_apply_flush(a, err);
}

static int add(struct mf_apply *a, const struct mf_txn_head *head, const struct mf_change *c, struct mf_error *err)
{
    enum mf_window_added added = MF_WINDOW_ADDED;
    if (mf_window_add(a->window, c, &added, err) < 0) {
        return -1;
    }
    if (added == MF_WINDOW_FULL) {
        if (flush_early(a, head, err) < 0 || mf_window_add(a->window, c, &added, err) < 0) {
            return -1;
        }
        if (added == MF_WINDOW_FULL) {
            return mf_fail(err, MF_FATAL, "MFWINDOW", "a change of table %s.%s does not fit in a window of its own",
                           c->table->schema, c->table->name);
        }
    }
    a->w.changes++;
    a->w.waiting++;
    return 0;
}

static enum ap_end take_truncate(struct mf_apply *a, const struct mf_txn_head *head, const struct mf_change *in,
                                 struct mf_error *err)
{
    const struct mf_table **tables = mf_alloc(&a->arena, sizeof(*tables) * (in->ntruncated + 1u));
    uint32_t *rels = mf_alloc(&a->arena, sizeof(*rels) * (in->ntruncated + 1u));
    if (!tables || !rels) {
        return mf_fail(err, MF_FATAL, "MFMEM", "a TRUNCATE of %u tables is too large", in->ntruncated), AP_FAILED;
    }
    struct mf_change out = *in;
    out.ntruncated = 0;
    for (uint16_t i = 0; i < in->ntruncated; i++) {
        struct ap_rel *r;
        enum ap_end end = mf_apply_rel(a, in->truncated_rels[i], in->truncated[i], &r, err);
        if (end != AP_OK) {
            return end;
        }
        if (r->map && head->position.order > r->table->exact_at) {
            tables[out.ntruncated] = r->map->table;
            rels[out.ntruncated++] = in->truncated_rels[i];
        }
    }
    if (!out.ntruncated) {
        return AP_OK;
    }
    out.truncated = tables;
    out.truncated_rels = rels;
    out.table = tables[0];
    out.rel = rels[0];
    return add(a, head, &out, err) < 0 ? AP_FAILED : AP_OK;
}

static void note_touched(struct mf_apply *a, const struct mf_change *in)
{
    struct mf_touched *t = a->w.touched;
    if (t && in->op == MF_TRUNCATE) {
        mf_touched_all(t);
    } else if (t) {
        if (in->op != MF_DELETE) {
            mf_touched_add(t, in->table, &in->new_row);
        }
        if (in->op == MF_DELETE || in->has_old) {
            mf_touched_add(t, in->table, &in->old_row);
        }
    }
}

static enum ap_end take_change(struct mf_apply *a, const struct mf_txn_head *head, const struct mf_change *in,
                               struct mf_error *err)
{
    if (mf_arena_used(&a->arena)) {
        mf_arena_reset(&a->arena);
    }
    note_touched(a, in);
    if (in->op == MF_TRUNCATE) {
        return take_truncate(a, head, in, err);
    }
    struct ap_rel *r;
    enum ap_end end = mf_apply_rel(a, in->rel, in->table, &r, err);
    if (end != AP_OK || !r->map || head->position.order <= r->table->exact_at) {
        return end;
    }
    struct mf_change out;
    if (mf_map_project(r->map, &a->arena, in, &out, err) < 0) {
        return AP_FAILED;
    }
    if (r->table->in_batch && r->table->batch_rel != in->rel && flush_early(a, head, err) < 0) {
        return AP_FAILED;
    }
    bool cascade = false;
    if (mf_change_cascades(&out)) {
        if (a->w.waiting && a->w.cascade_at != head->position.order && flush_early(a, head, err) < 0) {
            return AP_FAILED;
        }
        a->w.cascade_at = head->position.order;
        cascade = true;
    }
    a->w.partial |= a->w.fuzzy && out.op == MF_UPDATE && !mf_row_whole(&out.new_row);
    if (add(a, head, &out, err) < 0) {
        return AP_FAILED;
    }
    a->w.cascade_stamp = cascade ? out.stamp : a->w.cascade_stamp; /* a batch before it may just have gone out */
    r->table->in_batch = true;
    r->table->batch_rel = in->rel;
    return AP_OK;
}

static enum ap_end take_transaction(struct mf_apply *a, struct mf_error *err)
{
    struct mf_record rec = {0};
    if (mf_spool_read(a->reader, READ_TIMEOUT_MS, &rec, err) < 0) {
        return AP_FAILED;
    }
    struct mf_txn_head head = rec.head;
    mf_apply_txns_add(&a->txns, head.txn);
    for (;;) {
        if (mf_spool_read(a->reader, READ_TIMEOUT_MS, &rec, err) < 0) {
            return AP_FAILED;
        }
        if (rec.kind == MF_RECORD_COMMIT) {
            break;
        }
        if (rec.kind != MF_RECORD_CHANGE) {
            return mf_fail(err, MF_FATAL, "MFSPOOL", "a transaction in the spool is not whole"), AP_FAILED;
        }
        enum ap_end end = take_change(a, &head, &rec.change, err);
        if (end != AP_OK) {
            return end;
        }
    }
    a->w.last = head.position;
    a->w.transactions++;
    a->w.bytes += head.bytes;
    a->w.commit_time_us = head.commit_time_us;
    return AP_OK;
}

/* ---- what belongs to the window ---- */

/* A transaction the window must leave for later; sets why. An empty window takes any that the barrier allows. */
static bool must_end(struct mf_apply *a, const struct mf_txn_head *head, uint64_t barrier, uint64_t changes_so_far)
{
    struct ap_window *w = &a->w;
    uint64_t at = head->position.order;
    if (w->begun) {
        return at > w->end.order; /* its end is fixed, and all up to it belongs to it */
    }
    if (barrier && at > barrier) {
        w->blocked_by = barrier;
        return true;
    }
    if (!w->transactions) {
        return false;
    }
    if (w->careful) {
        return at > a->careful_end.order;
    }
    return (w->lenient || at <= w->consistency) != w->fuzzy || (a->stop_before && at >= a->stop_before) ||
           w->bytes + head->bytes > a->o.window_bytes || changes_so_far + head->changes > a->o.window_changes;
}

static void start_window(struct mf_apply *a, const struct mf_txn_head *head)
{
    struct ap_window *w = &a->w;
    if (head->position.order > a->careful_end.order) {
        a->careful_end.order = 0;
    }
    if (head->position.order >= a->stop_before) {
        a->stop_before = 0;
    }
    w->careful = a->careful_end.order != 0;
    w->fuzzy = w->lenient || head->position.order <= w->consistency;
    reset_batch(a);
}

/* A progress record. False: the window ends before it. */
static bool take_progress(struct mf_apply *a, const struct mf_position *p, uint64_t barrier, struct mf_error *err,
                          int *rc)
{
    struct mf_record rec;
    if (a->w.begun && p->order > a->w.end.order) {
        return false;
    }
    if (barrier && p->order > barrier) {
        a->w.blocked_by = barrier;
        return false;
    }
    *rc = mf_spool_read(a->reader, 0, &rec, err);
    if (*rc == 0 && rec.position.order > a->seen_to.order && !a->w.begun) {
        a->seen_to = rec.position;
    }
    return *rc == 0;
}

/* What there is may be newer than what comes: written before it in another try, or told newer than its position. */
static bool never_strict(const struct mf_apply *a)
{
    const struct mf_connector *r = a->o.replica->connector;
    return r->last_write_wins || r->puts_whole || a->o.origin->connector->shows_newer;
}

enum ap_end mf_apply_gather(struct mf_apply *a, int timeout_ms, struct mf_error *err)
{
    a->w = (struct ap_window){0};
    a->txns.n = 0;
    uint64_t changes = 0;
    pthread_mutex_lock(&a->mu);
    a->w.consistency = a->consistency.order;
    a->w.fuzzy = never_strict(a); /* also one with nothing but its checkpoint */
    a->w.lenient = a->lenient || a->w.fuzzy;
    a->w.touched = a->watched ? a->touched : NULL;
    if (a->want_checkpoint) {
        timeout_ms = timeout_ms < 10 ? timeout_ms : 10;
    }
    pthread_mutex_unlock(&a->mu);
    for (;;) {
        struct mf_record rec = {0};
        if (mf_spool_peek(a->reader, a->w.transactions ? 0 : timeout_ms, &rec, err) < 0) {
            return AP_FAILED;
        }
        pthread_mutex_lock(&a->mu);
        uint64_t barrier = a->barrier.order;
        pthread_mutex_unlock(&a->mu);
        int rc = 0;
        if (rec.kind == MF_RECORD_PROGRESS) {
            if (take_progress(a, &rec.position, barrier, err, &rc)) {
                timeout_ms = 0;
                continue;
            }
            return rc < 0 ? AP_FAILED : AP_OK;
        }
        if (rec.kind != MF_RECORD_BEGIN || must_end(a, &rec.head, barrier, changes)) {
            return AP_OK;
        }
        if (!a->w.transactions) {
            start_window(a, &rec.head);
        }
        changes += rec.head.changes;
        enum ap_end e = take_transaction(a, err);
        if (e != AP_OK) {
            return e;
        }
    }
}
