/*
 * local.oplog.rs, read by asking again and again for what comes after the last entry that was taken.
 *
 * No tailable cursor: one request that finds the last entry again proves each time that the log still reaches back to it (an oplog forgets its oldest entries, and a query for
 * what is later says nothing of what is missing), survives a change of primaries without a cursor, and costs the server a look from that place of its log on.
 *
 * Servers that are not MongoDB may put an entry with an earlier ts behind one with a later (their clocks are read before the entries are in order). So the
 * entry is looked for from some seconds before its ts on, in the order that they are in; what is behind it is new. A late entry goes into the transaction that follows it.
 */
#include "connector/mongodb/stream.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"

#include <stdlib.h>

#define TAKE_ENTRIES 1000
#define TAKE_FEW     2 /* of any size go into a reply */
#define TAKE_BYTES   ((size_t)16 << 20)
#define SLACK        ((uint64_t)3 << 32)
#define WAIT_MIN_US  (5 * MF_US_PER_MS)
#define WAIT_MAX_US  (50 * MF_US_PER_MS)
#define CHAIN_MAX    1000000

struct oplog {
    uint64_t last; /* the entry that was taken last */
    uint64_t high; /* the latest time that was met */
    bool found;    /* it was met again */
    size_t bytes;
    int64_t wait_us;
    /* Of a large transaction: entries with parts of it, the first one last. */
    uint64_t *chain;
    size_t nchain, chain_cap;
    uint64_t chain_time;
    int64_t chain_wall_us;
    bson_t end; /* its last entry, when it has operations of its own */
    bool has_end;
    bson_t **queue; /* entries that were taken and not looked at; one by one, since a bson_t points into itself */
    size_t nqueue, queue_cap, next;
};

/* ---- asking ---- */

static void empty_queue(struct oplog *o)
{
    while (o->nqueue) {
        bson_destroy(o->queue[--o->nqueue]);
    }
    o->next = 0;
}

static uint64_t from_of(const struct mongo_stream *st, uint64_t last)
{
    return st->db->can.speaks == MONGO_GENUINE || last < SLACK ? last : last - SLACK;
}

static int take(void *ctx, const bson_t *entry, struct mf_error *err)
{
    struct mongo_stream *st = ctx;
    struct oplog *o = st->reading;
    (void)err;
    uint64_t time = mongo_timestamp(entry, "ts");
    if (!o->found && time == o->last) {
        o->found = true;
        empty_queue(o); /* later ones that stand before it were taken then */
        return 0;
    }
    if (!o->found && time < o->last) {
        return 0;
    }
    if (o->nqueue == o->queue_cap) {
        o->queue_cap = o->queue_cap ? o->queue_cap * 2 : 64;
        o->queue = mf_xreallocarray(o->queue, o->queue_cap, sizeof(bson_t *));
    }
    o->queue[o->nqueue++] = bson_copy(entry);
    o->bytes += entry->len;
    return o->nqueue >= TAKE_ENTRIES || o->bytes >= TAKE_BYTES ? 1 : 0;
}

static void put_after(bson_t *c, const char *op, uint64_t time)
{
    bson_t filter, ts;
    BSON_APPEND_UTF8(c, "find", "oplog.rs");
    BSON_APPEND_DOCUMENT_BEGIN(c, "filter", &filter);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "ts", &ts);
    BSON_APPEND_TIMESTAMP(&ts, op, (uint32_t)(time >> 32), (uint32_t)time);
    bson_append_document_end(&filter, &ts);
    bson_append_document_end(c, &filter);
}

static int ask_for(struct mongo_stream *st, int32_t batch, struct mf_error *err)
{
    MONGO_BSON(c);
    struct oplog *o = st->reading;
    put_after(&c, "$gte", from_of(st, o->last));
    if (st->db->can.speaks == MONGO_GENUINE && st->db->can.wire < 9) {
        BSON_APPEND_BOOL(&c, "oplogReplay",
                         true); /* before 4.4 the server has to be told that it may begin at that place */
    }
    BSON_APPEND_INT32(&c, "batchSize", batch);
    mongo_ask_majority(st->db, &c);
    o->found = false;
    o->bytes = 0;
    int rc = mongo_each(st->db, MONGO_PRIMARY, "local", &c, take, st, err);
    return rc < 0 ? -1 : 0;
}

/* MongoDB ends a reply at 16 MB. Others put into it what they are asked for, and one of more than 48 MB does not arrive: they are asked again for less. */
static int ask(struct mongo_stream *st, struct mf_error *err)
{
    if (ask_for(st, TAKE_ENTRIES, err) == 0) {
        return 0;
    }
    if (st->db->can.speaks == MONGO_GENUINE || err->cls != MF_RETRY) {
        return -1;
    }
    empty_queue(st->reading);
    return ask_for(st, TAKE_FEW, err);
}

/* The last entry was not there. That is right where a position was no entry's time, as long as the log begins before it. */
static int check_reach(struct mongo_stream *st, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t reply, part;
    struct oplog *o = st->reading;
    if (o->found) {
        return 0;
    }
    BSON_APPEND_UTF8(&c, "find", "oplog.rs");
    BSON_APPEND_DOCUMENT_BEGIN(&c, "sort", &part);
    BSON_APPEND_INT32(&part, "$natural", 1);
    bson_append_document_end(&c, &part);
    BSON_APPEND_INT32(&c, "limit", 1);
    BSON_APPEND_BOOL(&c, "singleBatch", true);
    if (mongo_command(st->db, NULL, MONGO_PRIMARY, "local", &c, &reply, err) < 0) {
        return -1;
    }
    uint64_t oldest = mongo_timestamp(&reply, "cursor.firstBatch.0.ts");
    bson_destroy(&reply);
    if (!oldest || oldest > o->last) {
        return mongo_stream_lost(err, "the oplog does not reach back to where the stream has come: it was overwritten");
    }
    return 0;
}

/* ---- large transactions ---- */

static int find_entry(struct mongo_stream *st, uint64_t time, bson_t *ret, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t reply, found;
    bson_iter_t at, first;
    const uint8_t *p;
    uint32_t len;
    put_after(&c, "$eq", time);
    BSON_APPEND_INT32(&c, "limit", 1);
    BSON_APPEND_BOOL(&c, "singleBatch", true);
    if (mongo_command(st->db, NULL, MONGO_PRIMARY, "local", &c, &reply, err) < 0) {
        return -1;
    }
    bool there = bson_iter_init(&at, &reply) && bson_iter_find_descendant(&at, "cursor.firstBatch.0", &first) &&
                 BSON_ITER_HOLDS_DOCUMENT(&first);
    if (there) {
        bson_iter_document(&first, &len, &p);
        there = bson_init_static(&found, p, len);
    }
    if (there) {
        bson_copy_to(&found, ret);
    }
    bson_destroy(&reply);
    return there ? 0 : mongo_stream_lost(err, "the oplog has the end of a transaction, and not its beginning any more");
}

/* Backwards from the entry that ends it; what is met before its first part is no part. */
static int follow_chain(struct mongo_stream *st, uint64_t before, struct mf_error *err)
{
    struct oplog *o = st->reading;
    o->nchain = 0;
    while (before) {
        struct mongo_entry e;
        bson_t entry;
        if (o->nchain >= CHAIN_MAX) {
            return mf_fail(err, MF_FATAL, "MFEVENT", "a transaction has more than %d entries in the oplog", CHAIN_MAX);
        }
        if (find_entry(st, before, &entry, err) < 0) {
            return -1;
        }
        int rc = mongo_entry_read(&entry, &e, err);
        bson_destroy(&entry);
        if (rc < 0) {
            return -1;
        }
        if (e.kind != MONGO_ENTRY_PART) {
            break;
        }
        if (o->nchain == o->chain_cap) {
            o->chain_cap = o->chain_cap ? o->chain_cap * 2 : 16;
            o->chain = mf_xreallocarray(o->chain, o->chain_cap, sizeof *o->chain);
        }
        o->chain[o->nchain++] = before;
        before = e.before;
    }
    return 0;
}

/* An operation at the time of the transaction's end. */
static int give(void *ctx, const struct mongo_event *said, struct mf_error *err)
{
    struct mongo_stream *st = ctx;
    struct oplog *o = st->reading;
    struct mongo_event e = *said;
    if (o->chain_time) {
        e.time = o->chain_time;
        e.wall_us = o->chain_wall_us;
        e.in_transaction = true;
    }
    e.time = e.time < o->high ? o->high : e.time; /* a late one */
    return mongo_stream_event(st, &e, err);
}

/* One part of a transaction. */
static int take_part(struct mongo_stream *st, struct mf_error *err)
{
    struct oplog *o = st->reading;
    bson_t entry;
    if (o->nchain) {
        if (find_entry(st, o->chain[o->nchain - 1], &entry, err) < 0) {
            return -1;
        }
        o->nchain--;
    } else {
        bson_copy_to(&o->end, &entry);
        bson_destroy(&o->end);
        o->has_end = false;
    }
    int rc = mongo_entry_each(&entry, give, st, err);
    bson_destroy(&entry);
    if (rc == 0 && !o->nchain && !o->has_end) {
        uint64_t time = o->chain_time;
        o->chain_time = 0;
        rc = mongo_stream_settled(st, time, NULL, err);
    }
    return rc;
}

/* ---- entries ---- */

static int take_entry(struct mongo_stream *st, const bson_t *entry, struct mf_error *err)
{
    struct oplog *o = st->reading;
    struct mongo_entry e;
    if (mongo_entry_read(entry, &e, err) < 0) {
        return -1;
    }
    o->last = e.time;
    bool late = e.time <= o->high;
    o->high = late ? o->high : e.time;
    if (e.kind == MONGO_ENTRY_PART) {
        return 0;
    }
    /* One time later than what has been given already: capture takes nothing that is not after its last position. */
    o->high += late;
    if (e.before) {
        if (follow_chain(st, e.before, err) < 0) {
            return -1;
        }
        o->chain_time = o->high;
        o->chain_wall_us = e.wall_us;
        o->has_end = e.kind == MONGO_ENTRY_OPS;
        if (o->has_end) {
            bson_copy_to(entry, &o->end);
        }
        return o->nchain || o->has_end ? take_part(st, err) : 0;
    }
    return mongo_entry_each(entry, give, st, err) ? -1 : mongo_stream_settled(st, o->high, NULL, err);
}

static int take_queue(struct mongo_stream *st, struct mf_error *err)
{
    struct oplog *o = st->reading;
    while (o->next < o->nqueue && !o->chain_time) {
        if (take_entry(st, o->queue[o->next], err) < 0) {
            return -1;
        }
        o->next++;
    }
    if (o->next == o->nqueue) {
        empty_queue(o);
    }
    return 0;
}

static void begin(struct mongo_stream *st)
{
    struct oplog *o = mf_xcalloc(1, sizeof *o);
    o->last = o->high = st->told.order;
    o->wait_us = WAIT_MIN_US;
    st->reading = o;
}

static int read_oplog(struct mongo_stream *st, int timeout_ms, struct mf_error *err)
{
    int64_t until = mf_now_us() + timeout_ms * MF_US_PER_MS;
    if (!st->reading) {
        begin(st);
    }
    struct oplog *o = st->reading;
    if (o->chain_time) {
        return take_part(st, err);
    }
    if (o->nqueue) {
        return take_queue(st, err);
    }
    for (;;) {
        int64_t asked = mf_now_us();
        if (ask(st, err) < 0 || check_reach(st, err) < 0) {
            return -1;
        }
        if (o->nqueue) {
            o->wait_us = WAIT_MIN_US;
            return take_queue(st, err);
        }
        int64_t now = mf_now_us(), cost = now - asked;
        o->wait_us = o->wait_us * 2 < WAIT_MAX_US ? o->wait_us * 2 : WAIT_MAX_US;
        if (now >= until) {
            return 0;
        }
        /* A server that has to look for long is not asked all the time. */
        int64_t pause = cost > o->wait_us ? cost : o->wait_us;
        mf_sleep_us(pause < until - now ? pause : until - now);
    }
}

static void close_oplog(struct mongo_stream *st)
{
    struct oplog *o = st->reading;
    empty_queue(o);
    if (o->has_end) {
        bson_destroy(&o->end);
    }
    free(o->queue);
    free(o->chain);
    free(o);
    st->reading = NULL;
}

const struct mongo_way mongo_way_oplog = {read_oplog, close_oplog};
