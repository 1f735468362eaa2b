/* capture: what must hold, and why it does.
 *
 *  - Every transaction is in the spool before its position is acknowledged: positions acknowledged come from
 *    mf_spool_sync alone, and the spool's tail moves only over what was written to it, or over what was dropped on purpose
 *    (progress records, written when the transactions before them are).
 *  - Nothing twice: the stream is opened at the tail, and what is not behind it is dropped by position.
 *  - The right to write is judged with the epochs before a position. Before an epoch is added to the state, everything before
 *    it is made durable in the spool; so whatever comes after the tail comes after every epoch the state knows,
 *    and after a restart the last known epoch is the one in force. Without that order a transaction could be judged by one
 *    epoch, lost in a crash, and judged again by a later one.
 *  - The stream is opened at the spool's tail once that is durable: the origin may take the position for acknowledged.
 *  - Stamps grow from the first that the state has, over all that the spool has: the next is after the spool's last, so one that is read again, after a
 *    crash took it from the spool, gets what it had (docs/internals/stamps.md). Where what is read again may be told otherwise, it gets a greater one.
 *  - Any failure in the middle closes the stream: what was half taken is sent again. */
#include "pipeline/capture_internal.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define GROUP_BYTES  ((size_t)8 << 20) /* of changes between two syncs */
#define GROUP_US     (50 * MF_US_PER_MS)
#define ACK_EVERY_US MF_US_PER_SEC /* a source takes silence for death */
#define STALL_US     (50 * MF_US_PER_MS)
#define BREATH_US    (5 * MF_US_PER_MS)
#define BUSY         160 /* messages in BREATH_US */
#define RESERVE_US   (2 * MF_US_PER_SEC)
#define ENCODED_MAX  ((size_t)4 << 30)

/* Nothing that comes from here on has a stamp up to what the state says. */
static void raise_stamp(struct mf_capture *c)
{
    int64_t floor = mf_stamp_floor(c->o.state, c->o.pipe.direction);
    c->stamp = floor > c->stamp ? floor : c->stamp;
}

static void publish(struct mf_capture *c)
{
    c->now.durable = c->durable;
    c->now.acknowledged = c->acked;
    pthread_mutex_lock(&c->mu);
    c->stats = c->now;
    pthread_mutex_unlock(&c->mu);
}

void mf_capture_stats(struct mf_capture *c, struct mf_capture_stats *ret)
{
    pthread_mutex_lock(&c->mu);
    *ret = c->stats;
    pthread_mutex_unlock(&c->mu);
}

int mf_capture_new(const struct mf_capture_options *o, struct mf_capture **ret, struct mf_error *err)
{
    struct mf_capture *c = mf_xcalloc(1, sizeof(*c));
    c->o = *o;
    c->o.spill_dir = o->spill_dir ? mf_xstrdup(o->spill_dir) : NULL;
    mf_buf_init(&c->enc, ENCODED_MAX);
    if (o->wait) {
        c->wait = *o->wait;
        c->o.wait = &c->wait;
        c->dual = mf_dual_new(&c->wait);
    }
    pthread_mutex_init(&c->mu, NULL);
    c->pool = mf_txnpool_new(o->spill_dir, o->transaction_memory);
    mf_spool_tail(o->spool, &c->tail);
    if (c->tail.order < o->start.order) {
        c->tail = o->start;
    }
    c->durable = c->pending = c->now.received = c->tail;
    c->stamp = mf_spool_stamp(o->spool);
    c->met_us = mf_stamp_met(o->state, o->pipe.direction);
    raise_stamp(c);
    c->reserved = o->db->connector->retells ? mf_stamp_reserved(o->state, o->pipe.direction) : 0;
    c->stamp = c->reserved > c->stamp ? c->reserved : c->stamp;
    struct mf_position last = {.order = INT64_MAX};
    if (mf_state_writer_at(o->state, o->pipe.direction, &last, c->writer, sizeof(c->writer), err) < 0) {
        mf_capture_free(c);
        return -1;
    }
    publish(c);
    *ret = c;
    return 0;
}

/* err: why; NULL: it is left on purpose. */
static void close_stream(struct mf_capture *c, const struct mf_error *err)
{
    if (c->stream) {
        mf_capture_gate_closing(c, err);
        c->o.db->connector->source->stream_close(c->stream);
        c->stream = NULL;
    }
    mf_capture_forget(c);
    c->pending = c->tail;
    c->reply_wanted = false;
}

void mf_capture_close(struct mf_capture *c)
{
    close_stream(c, NULL);
}

void mf_capture_free(struct mf_capture *c)
{
    if (!c) {
        return;
    }
    close_stream(c, NULL);
    mf_capture_txn_free(c);
    mf_dual_free(c->dual);
    pthread_mutex_destroy(&c->mu);
    free((char *)c->o.spill_dir);
    free(c);
}

/* ---- what was taken, made durable ---- */

static int note_progress(struct mf_capture *c, struct mf_error *err)
{
    if (c->pending.order <= c->tail.order) {
        return 0;
    }
    if (mf_spool_progress(c->o.spool, &c->pending, err) < 0) {
        return -1;
    }
    c->tail = c->pending;
    return 0;
}

static int sync_spool(struct mf_capture *c, struct mf_error *err)
{
    struct mf_position p = {0};
    if (MF_FAULT(err, "capture.sync") || mf_spool_sync(c->o.spool, &p, err) < 0) {
        return -1;
    }
    if (p.order > c->durable.order) {
        c->durable = p;
    }
    c->dirty = false;
    return 0;
}

const char *mf_spool_used_key(enum mf_direction d)
{
    return d == MF_FORWARD ? "spool.forward.used" : "spool.reverse.used";
}

static int mark_used(struct mf_capture *c, struct mf_error *err)
{
    if (c->marked || c->durable.order <= c->o.start.order) {
        return 0;
    }
    if (mf_state_set_int(c->o.state, mf_spool_used_key(c->o.pipe.direction), 1, err) < 0) {
        return -1;
    }
    c->marked = true;
    return 0;
}

int mf_capture_sync(struct mf_capture *c, struct mf_error *err)
{
    if (note_progress(c, err) < 0) {
        return -1;
    }
    return c->dirty || c->tail.order > c->durable.order ? sync_spool(c, err) : 0;
}

/* While commits wait for the replica it has them before they are answered, and the origin keeps them until then: a sync, which keeps this
 * thread from what comes in, is made seldom. */
static int64_t group_us(const struct mf_capture *c)
{
    return c->gated ? ACK_EVERY_US : GROUP_US;
}

/* Progress is told to the reader at once; it costs a sync of its own only now and then. Transactions are read (and applied) from
 * the spool before they are durable in it, so those that follow each other closely share a sync and an acknowledgement. */
static int flush(struct mf_capture *c, bool more_come, struct mf_error *err)
{
    int64_t now = mf_now_us();
    bool due = c->reply_wanted || now - c->acked_us >= ACK_EVERY_US;
    if (more_come && !due && c->dirty && now - c->dirty_since_us < group_us(c)) {
        return note_progress(c, err);
    }
    if (note_progress(c, err) < 0) {
        return -1;
    }
    if ((c->dirty || (due && c->tail.order > c->durable.order)) && sync_spool(c, err) < 0) {
        return -1;
    }
    if (c->durable.order > c->acked.order || due) {
        if (mark_used(c, err) < 0 || MF_FAULT(err, "capture.ack") ||
            c->o.db->connector->source->stream_ack(c->stream, &c->durable, err) < 0) {
            return -1;
        }
        c->acked = c->durable;
        c->acked_us = now;
        c->reply_wanted = false;
    }
    return 0;
}

/* ---- commits ---- */

static int write_piece(void *ctx, const void *data, size_t len, struct mf_error *err)
{
    return mf_spool_write(ctx, data, len, err);
}

/* What may be told otherwise when it is told again must not get stamps that are written already. */
static int reserve(struct mf_capture *c, const struct mf_txn_head *h, struct mf_error *err)
{
    int64_t after = mf_txn_stamp_after(h);
    if (!c->o.db->connector->retells || after <= c->reserved) {
        return 0;
    }
    if (mf_stamp_reserve(c->o.state, c->o.pipe.direction, after + RESERVE_US, err) < 0) {
        return -1;
    }
    c->reserved = after + RESERVE_US;
    return 0;
}

static int append(struct mf_capture *c, struct cap_txn *t, const struct mf_item *item, struct mf_error *err)
{
    struct mf_txn_head head = {.txn = item->shown ? item->shown : item->txn,
                               .position = item->position,
                               .changes = mf_txnbuf_changes(t->buf),
                               .bytes = mf_txnbuf_bytes(t->buf)};
    if (mf_stamp_time(c->o.state, c->o.pipe.direction, item->commit_time_us, &c->met_us, &head.commit_time_us, err) <
            0 ||
        mf_stamp_next(c->stamp, head.commit_time_us, &head.stamp, err) < 0 || reserve(c, &head, err) < 0 ||
        mf_spool_begin(c->o.spool, &head, err) < 0 || mf_txnbuf_stream(t->buf, write_piece, c->o.spool, err) < 0 ||
        mf_spool_end(c->o.spool, err) < 0) {
        return -1;
    }
    if (!c->dirty) {
        c->dirty = true;
        c->dirty_since_us = mf_now_us();
    }
    c->tail = item->position;
    c->stamp = mf_txn_stamp_after(&head);
    c->now.stamp_ahead_us = head.stamp - head.commit_time_us;
    if (item->commit_time_us > head.commit_time_us) {
        c->now.time_beyond_us = item->commit_time_us - head.commit_time_us;
    }
    c->now.transactions++;
    c->now.bytes += head.bytes;
    c->now.changes += head.changes;
    return 0;
}

static int take_epoch(struct mf_capture *c, const char *writer, const struct mf_position *at, struct mf_error *err)
{
    if (note_progress(c, err) < 0 || sync_spool(c, err) < 0 ||
        mf_state_epoch_add(c->o.state, c->o.pipe.direction, at, writer, err) < 0) {
        return -1;
    }
    mf_strlcpy(c->writer, writer, sizeof(c->writer));
    raise_stamp(c);
    return 0;
}

static int take_transaction(struct mf_capture *c, struct cap_txn *t, const struct mf_item *item, struct mf_error *err)
{
    const char *side = c->o.pipe.direction == MF_FORWARD ? "source" : "target";
    if (t->own) {
        c->now.own_dropped++;
        return 0;
    }
    bool right = strcmp(c->writer, side) == 0;
    if (t->writer[0] && take_epoch(c, t->writer, &item->position, err) < 0) {
        return -1;
    }
    if (!mf_txnbuf_changes(t->buf) && !(t->marks && right)) {
        return 0;
    }
    if (right && t->cannot) {
        if (err) {
            *err = *t->cannot;
        }
        return -1;
    }
    if (right) {
        return append(c, t, item, err);
    }
    c->now.wrong_side++;
    return mf_capture_wrong_side(c, t, &item->position, err);
}

static int take_commit(struct mf_capture *c, const struct mf_item *item, struct mf_error *err)
{
    struct cap_txn *t = mf_capture_take(c, item->txn);
    int rc = 0;
    if (t && item->position.order > c->tail.order) {
        rc = take_transaction(c, t, item, err);
    }
    mf_capture_put_back(c, t);
    if (rc == 0 && item->position.order > c->pending.order) {
        c->pending = item->position;
    }
    return rc;
}

/* Also one that has nothing for us: whoever made it waits all the same. */
static void note_end(struct mf_capture *c, const struct mf_item *item)
{
    if (item->position.order > c->now.received.order) {
        c->now.received = item->position;
        if (c->gated) {
            mf_dual_received(c->dual, item->position.order, mf_now_us());
        }
    }
}

static int take(struct mf_capture *c, const struct mf_item *item, struct mf_error *err)
{
    note_end(c, item);
    switch (item->kind) {
    case MF_ITEM_NONE:
        return 0;
    case MF_ITEM_RELATION:
        c->last_rel = NULL;
        return mf_capture_relation(c, item->table, NULL, err);
    case MF_ITEM_BEGIN:
        mf_capture_begin(c, item->txn);
        return 0;
    case MF_ITEM_CHANGE:
        return mf_capture_change(c, item, err);
    case MF_ITEM_ABORT:
        return mf_capture_abort(c, item, err);
    case MF_ITEM_COMMIT:
        return take_commit(c, item, err);
    case MF_ITEM_PROGRESS:
        if (item->position.order > c->pending.order) {
            c->pending = item->position;
        }
        c->reply_wanted |= item->reply_wanted;
        return 0;
    }
    return 0;
}

/* ---- steps ---- */

static bool group_full(const struct mf_capture *c, unsigned taken)
{
    return c->bytes >= GROUP_BYTES || c->reply_wanted ||
           (taken % 64 == 0 && c->dirty && mf_now_us() - c->dirty_since_us >= group_us(c));
}

void mf_capture_hold(struct mf_capture *c, bool held)
{
    c->held = held;
}

static void doze(int timeout_ms)
{
    int64_t us = timeout_ms * MF_US_PER_MS;
    if (us > 0) {
        mf_sleep_us(us < STALL_US ? us : STALL_US);
    }
}

/* The budget is used up: the source waits, but must not think we are gone. */
static enum mf_step stall(struct mf_capture *c, int timeout_ms, struct mf_error *err)
{
    if (flush(c, false, err) < 0) {
        return MF_STEP_FAILED;
    }
    doze(timeout_ms);
    return MF_STEP_IDLE;
}

/* The same where commits wait for the stream: it is left, or they would wait for room in the spool. */
static enum mf_step stall_without(struct mf_capture *c, int timeout_ms, struct mf_error *err)
{
    struct mf_error full = {0};
    if (c->stream) {
        if (flush(c, false, err) < 0) {
            return MF_STEP_FAILED;
        }
        mf_fail(&full, MF_FATAL, "MFBUDGET", "the spool is full (spool.budget)");
        close_stream(c, &full);
    }
    doze(timeout_ms);
    return MF_STEP_IDLE;
}

/* Held: without its stream, because a walsender decodes whether it is read or not. It is opened again at the tail. */
static enum mf_step rest(struct mf_capture *c, int timeout_ms, struct mf_error *err)
{
    if (c->stream) {
        if (flush(c, false, err) < 0) {
            return MF_STEP_FAILED;
        }
        close_stream(c, NULL);
    }
    doze(timeout_ms);
    return MF_STEP_IDLE;
}

/* A reader that takes each message as it comes costs the source more than decoding it does: a segment sent, acknowledged and a process woken
 * for every few hundred bytes. When many come, let some come together. Judged by what came in a stretch of time, not by what one look found:
 * a reader that is woken for every message never finds many. */
static void breathe(struct mf_capture *c, unsigned taken, bool more_come)
{
    int64_t now = mf_now_us(), took = now - c->flow_since_us;
    c->flow += taken;
    if (took >= BREATH_US) {
        c->busy = (int64_t)c->flow * BREATH_US >= took * BUSY;
        c->flow = 0;
        c->flow_since_us = now;
    }
    if (c->busy && more_come) {
        mf_sleep_us(BREATH_US);
    }
}

static enum mf_step read_group(struct mf_capture *c, int timeout_ms, struct mf_error *err)
{
    const struct mf_source_ops *ops = c->o.db->connector->source;
    unsigned taken = 0;
    int64_t began = mf_now_us();
    c->bytes = 0;
    for (;;) {
        struct mf_item item = {0};
        if (ops->stream_next(c->stream, taken ? 0 : timeout_ms, &item, err) < 0 || take(c, &item, err) < 0) {
            return MF_STEP_FAILED;
        }
        if (item.kind == MF_ITEM_NONE) {
            break;
        }
        taken++;
        if (group_full(c, taken) || (c->gated && c->moved)) {
            break;
        }
    }
    bool woken = c->gated && mf_now_us() - began < timeout_ms * MF_US_PER_MS / 2;
    bool more_come = taken > 0 && timeout_ms > 0 && c->bytes < GROUP_BYTES;
    if (mf_capture_confirm(c, err) < 0 || flush(c, more_come || c->gated, err) < 0) {
        return MF_STEP_FAILED;
    }
    if (!c->gated) {
        breathe(c, taken, more_come);
    }
    return taken || woken ? MF_STEP_MORE : MF_STEP_IDLE;
}

static enum mf_step step(struct mf_capture *c, int timeout_ms, struct mf_error *err)
{
    if (c->held) {
        return rest(c, timeout_ms, err);
    }
    if (c->stream && c->gated != mf_capture_gate_due(c)) {
        if (flush(c, false, err) < 0) {
            return MF_STEP_FAILED;
        }
        close_stream(c, NULL);
    }
    c->now.stalled_on_budget = !mf_spool_has_room(c->o.spool);
    if (c->now.stalled_on_budget && (c->gated || (c->dual && !c->stream))) {
        return stall_without(c, timeout_ms, err);
    }
    if (!c->stream) {
        /* The origin may take the position asked for as acknowledged: it must be durable. */
        if (c->tail.order > c->durable.order && sync_spool(c, err) < 0) {
            return MF_STEP_FAILED;
        }
        bool gated = mf_capture_gate_due(c); /* another thread may change it meanwhile */
        if (MF_FAULT(err, "capture.open") ||
            c->o.db->connector->source->stream_open(c->o.db, &c->o.pipe, &c->tail, gated, &c->stream, err) < 0) {
            return MF_STEP_FAILED;
        }
        c->acked_us = mf_now_us();
        mf_capture_gate_opened(c, gated);
    }
    if (c->now.stalled_on_budget) {
        return stall(c, timeout_ms, err);
    }
    return read_group(c, timeout_ms, err);
}

enum mf_step mf_capture_step(struct mf_capture *c, int timeout_ms, struct mf_error *err)
{
    enum mf_step s = step(c, timeout_ms, err);
    if (s == MF_STEP_FAILED) {
        close_stream(c, err);
    }
    publish(c);
    return s;
}
