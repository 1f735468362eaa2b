/*
 * The change stream of a MySQL or MariaDB source: its binary log in row format, read as a replica reads it.
 *
 * What must hold: a transaction is handed out whole and in the log's order, its COMMIT with the position behind it; a row is only handed out when its
 * table's shape at that place of the log is known for certain (relations.h); what cannot be is an error that says so, never a guess, and
 * never a gap.
 *
 * A server keeps its log by time and size, not for us: there is no slot, an acknowledgement tells it nothing. It is kept here for
 * stream_prepare to answer with. What the stream needs and the server has thrown away is MFSLOT.
 *
 * Silence: the server sends a heartbeat every ten seconds; after half a minute of nothing the connection is dead (dump.c).
 */
#include "connector/mysql/stream.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_AT_CLOCK 256

/* ---- items ---- */

void my_stream_put(struct my_stream *st, const struct mf_item *item)
{
    st->queue[st->nqueue++] = *item; /* an event makes four at most */
}

int my_stream_progress(struct my_stream *st, struct mf_error *err)
{
    struct mf_item item = {.kind = MF_ITEM_PROGRESS, .commit_time_us = mf_wall_us()};
    if (st->x.open || !st->place.file[0] || (st->done && my_gtid_set_count(st->done) <= st->told.order)) {
        return 0;
    }
    if (my_stream_here(st, &item.position, err) < 0) {
        return -1;
    }
    if (item.position.order > st->told.order) {
        st->told = item.position;
        my_stream_put(st, &item);
    }
    return 0;
}

void my_stream_lead(struct my_stream *st, struct my_rel *rel)
{
    if (!st->x.begun) {
        st->x.begun = true;
        my_stream_put(st, &(struct mf_item){.kind = MF_ITEM_BEGIN, .txn = st->x.id});
    }
    if (!rel->announced) {
        rel->announced = true;
        my_stream_put(st, &(struct mf_item){.kind = MF_ITEM_RELATION, .txn = st->x.id, .table = rel->table});
    }
}

/* ---- closing ---- */

void my_stream_close(struct mf_stream *base)
{
    if (!base) {
        return;
    }
    struct my_stream *st = (struct my_stream *)base;
    my_dump_close(st->dump);
    my_scout_free(st->scout);
    my_binlog_free(st->log);
    my_relations_free(&st->rels);
    my_gtid_set_free(st->done);
    my_gtid_set_free(st->seen);
    my_gtid_set_free(st->brought);
    my_gtid_set_free(st->others);
    mf_arena_free(&st->arena);
    my_savepoints_free(&st->savepoints);
    my_moves_free(&st->moves);
    free(st->prepared);
    free(st->again);
    free(st->maps);
    free(st->old_values);
    free(st->new_values);
    free(st);
}

int my_stream_ack(struct mf_stream *base, const struct mf_position *durable, struct mf_error *err)
{
    struct my_stream *st = (struct my_stream *)base;
    if (MF_FAULT(err, "mysql.stream_ack")) {
        return -1;
    }
    MF_LOCK_SCOPE(&st->db->lock);
    struct mf_position *acked = &st->db->acked[st->pipe.direction];
    if (durable->order > acked->order) {
        *acked = *durable;
    }
    return 0;
}

/* ---- reading ---- */

static int changed_ahead(const struct my_rel *rel, const char *statement, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFDDL",
            "table %s.%s is changed further on in the log (%.300s), and what it was before cannot be told any more; "
            "nothing was misread",
            rel->schema, rel->name, statement);
    mf_hint(err, "its rows between here and there cannot be read: cancel and begin the migration again, and change "
                 "tables while midflight runs and has caught up");
    return -1;
}

/* What is not noted is looked at again by the next stream: a failure costs no more. */
static void note_shape(struct my_stream *st, const struct my_rel *rel)
{
    struct mf_error ignored = {0};
    if (st->waits) {
        return; /* its commit would wait for us */
    }
    MY_LEASE(st->db, l);
    if (my_lease(l.db, &l.conn, &ignored) == 0) {
        my_version_write(&st->rels, l.conn, rel, &ignored);
    }
}

/* The shape of the table that an event waits for. *ret_known: the event may come again. */
static int learn(struct my_stream *st, int timeout_ms, bool *ret_known, struct mf_error *err)
{
    struct my_rel *rel = st->learning;
    bool done = false;
    *ret_known = false;
    if (st->waiting.kind == MY_EV_QUERY &&
        my_stream_alone(st, "a table is emptied whose shape is not known", err) < 0) {
        return -1;
    }
    if (!st->learnt) {
        if (my_rel_learn(&st->rels, rel, &st->until, err) < 0) {
            if (err->cls == MF_RETRY) { /* a lock, which a commit that waits for us may have */
                my_stream_alone(st, "a table's shape is asked for", err);
            }
            return -1;
        }
        st->learnt = true;
    }
    if (my_scout_step(st->scout, &st->x.start, &st->until, timeout_ms, &done, err) < 0) {
        return -1;
    }
    if (!done) {
        return 0;
    }
    const char *statement = my_scout_found(st->scout, rel, &st->place);
    if (statement) {
        return changed_ahead(rel, statement, err);
    }
    if (!rel->table) {
        mf_fail(err, MF_FATAL, "MFDDL", "table %s.%s is not there, and its rows are in the log (%s)", rel->schema,
                rel->name, rel->why[0] ? rel->why : "nothing in the log says why");
        mf_hint(err, "cancel and begin the migration again");
        return -1;
    }
    rel->state = MY_REL_KNOWN;
    rel->why[0] = 0;
    rel->version = rel->version ? rel->version : st->opened; /* nothing has touched it since */
    st->learning = NULL;
    *ret_known = true;
    note_shape(st, rel);
    return 0;
}

/* The next event, from the socket or out of a compressed one. *ret_got false: none came in time. */
static int next_event(struct my_stream *st, int timeout_ms, struct my_event *e, bool *ret_got, struct mf_error *err)
{
    const void *bytes = NULL;
    size_t n = 0;
    bool end = false;
    *ret_got = true;
    if (st->in_payload) {
        if (my_payload_next(st->log, e, &st->in_payload, err) < 0) {
            return -1;
        }
        if (st->in_payload) {
            return 0;
        }
    }
    st->raw = NULL;
    if (my_dump_next(st->dump, timeout_ms, &bytes, &n, &end, err) < 0) {
        *ret_got = false;
        return my_stream_without_mark(st, err);
    }
    *ret_got = bytes != NULL;
    if (!bytes) {
        return 0;
    }
    if (my_binlog_event(st->log, bytes, n, e, err) < 0) {
        mf_error_prefix(err, "the log of %s, file %s behind %llu", st->db->facts.host, st->place.file,
                        (unsigned long long)st->place.offset);
        return -1;
    }
    st->raw = bytes;
    st->nraw = n;
    st->came_at = my_place_order(&st->place);
    my_place_follow(&st->place, e);
    return 0;
}

/* One step towards an item: an event read and understood, or waited for. */
static int step(struct my_stream *st, int timeout_ms, bool *ret_idle, struct mf_error *err)
{
    struct my_event e = {0};
    bool got = false;
    if (st->learning) {
        bool known = false;
        if (learn(st, timeout_ms, &known, err) < 0) {
            return -1;
        }
        *ret_idle = !known;
        if (!known) {
            return 0;
        }
        e = st->waiting;
        int rc = my_stream_event(st, &e, err);
        my_stream_note_wanted(st);
        return rc;
    }
    if (next_event(st, timeout_ms, &e, &got, err) < 0) {
        return -1;
    }
    *ret_idle = !got;
    if (!got) {
        return 0;
    }
    my_stream_look(st, &e);
    if (my_stream_event(st, &e, err) < 0) {
        return -1;
    }
    my_stream_note_wanted(st);
    return 0;
}

/* What lies ready: the queue, what is undone, a row. */
static int ready(struct my_stream *st, struct mf_item *ret, bool *ret_got, struct mf_error *err)
{
    *ret_got = true;
    if (st->at < st->nqueue) {
        *ret = st->queue[st->at++];
        return 0;
    }
    st->at = st->nqueue = 0;
    if (st->undo < st->undo_end) {
        uint64_t sub = st->undo++;
        *ret = (struct mf_item){.kind = MF_ITEM_ABORT, .txn = st->x.id, .subtxn = sub};
        *ret_got = st->x.begun;
        return 0;
    }
    *ret_got = false;
    return st->rows ? my_stream_row(st, ret, ret_got, err) : 0;
}

int my_stream_next(struct mf_stream *base, int timeout_ms, struct mf_item *ret, struct mf_error *err)
{
    struct my_stream *st = (struct my_stream *)base;
    int64_t until = 0;
    if (MF_FAULT(err, "mysql.stream_next")) {
        return -1;
    }
    for (unsigned i = 1;; i++) {
        bool got = false, idle = false;
        if (ready(st, ret, &got, err) < 0) {
            return -1;
        }
        if (got) {
            return 0;
        }
        if (st->undo < st->undo_end || st->rows) {
            continue;
        }
        int left = timeout_ms;
        if (until == 0) {
            until = mf_now_us() + timeout_ms * MF_US_PER_MS;
        } else if (i % LOOK_AT_CLOCK == 0) { /* a long transaction that is nothing to us must not hold the caller */
            int64_t us = until - mf_now_us();
            left = us > 0 ? (int)(us / MF_US_PER_MS) : 0;
            if (us <= 0) {
                idle = true;
            }
        }
        idle = idle || (st->waits && my_dump_woken(st->dump));
        if (!idle && step(st, left, &idle, err) < 0) {
            return -1;
        }
        if (idle && st->nqueue == 0) {
            *ret = (struct mf_item){.kind = MF_ITEM_NONE};
            return 0;
        }
    }
}
