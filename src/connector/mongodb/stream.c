/*
 * The deployment's changes as a stream of items.
 *
 * A position is a time of the deployment's (clusterTime, the ts of the oplog): it grows from one write to the next, all operations of a transaction have one and the same,
 * and a cluster's shards agree on it. What has one time is one transaction here. It is over when something later came, or when the way it is read by says
 * that all of it has been read (mongo_stream_settled). With its token a change stream goes on exactly behind the last event; without it (too long for a position), and in
 * the oplog, what is not after the position is left out.
 *
 * An insert and a replacement have their document with them. An update of some fields has not; the document is looked up, by the server or by us. It may be a
 * later one than the event's, never an earlier one, and the change that made it so comes too: so rows converge, and agree with the source when the stream is at rest. A document
 * that is not there any more was deleted since, and the deletion comes: the event is left out.
 *
 * Of a collection that migrates a drop, a rename, and the end of the stream itself are errors when their turn comes: what has its name afterwards is another collection.
 *
 * Bookkeeping: beats and epochs become rows, windows and checkpoints of the way back are looked at here (intent.h), the rest is nobody's business. None of it may share
 * a transaction with rows of tables that capture drops for it (shards may give two writes one time), so only those two are told.
 */
#include "connector/mongodb/stream.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t)1 << 30)
#define PENDING_MAX 1000000
#define DATA_MAX    400 /* of a token in a position */

int mongo_stream_lost(struct mf_error *err, const char *why)
{
    mf_fail(err, MF_FATAL, "MFSLOT", "%s", why);
    mf_hint(err, "changes are lost to this migration: cancel and begin it again; a larger oplog (replSetResizeOplog, "
                 "minRetentionHours) keeps them longer");
    return -1;
}

/* ---- what was read ---- */

static int no_memory(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "what was read of the stream at once has more than %zu MB",
                   BATCH_BYTES >> 20);
}

static struct mongo_pending *add(struct mongo_stream *st, uint64_t time, int64_t wall_us, struct mf_error *err)
{
    if (st->npending >= PENDING_MAX) {
        no_memory(err);
        return NULL;
    }
    if (st->npending == st->pending_cap) {
        st->pending_cap = st->pending_cap ? st->pending_cap * 2 : 256;
        st->pending = mf_xreallocarray(st->pending, st->pending_cap, sizeof *st->pending);
    }
    struct mongo_pending *p = &st->pending[st->npending++];
    *p = (struct mongo_pending){.time = time, .wall_us = wall_us};
    return p;
}

static int copy(struct mongo_stream *st, const struct mf_value *in, struct mf_value *ret, struct mf_error *err)
{
    *ret = *in;
    if (in->kind == MF_NULL) {
        return 0;
    }
    ret->data = mf_memdup_a(&st->batch, in->data, in->len);
    return ret->data ? 0 : no_memory(err);
}

static const struct mongo_table *find_table(const struct mongo_stream *st, const char *database, const char *collection)
{
    size_t from = 0, to = st->ntables;
    while (from < to) {
        size_t at = from + (to - from) / 2;
        int c = strcmp(st->tables[at].database, database);
        c = c ? c : strcmp(st->tables[at].collection, collection);
        if (c == 0) {
            return &st->tables[at];
        }
        *(c < 0 ? &from : &to) = c < 0 ? at + 1 : at;
    }
    return NULL;
}

static bool has_database(const struct mongo_stream *st, const char *database)
{
    for (size_t i = 0; i < st->ntables; i++) {
        if (mf_streq(st->tables[i].database, database)) {
            return true;
        }
    }
    return false;
}

/* ---- bookkeeping ---- */

static int text_of(struct mongo_stream *st, const bson_t *doc, const char *name, struct mf_value *ret,
                   struct mf_error *err)
{
    bson_iter_t at;
    char number[32];
    *ret = (struct mf_value){.kind = MF_NULL};
    if (!bson_iter_init_find(&at, doc, name)) {
        return 0;
    }
    struct mf_value v = {.kind = MF_TEXT};
    if (BSON_ITER_HOLDS_UTF8(&at)) {
        v.data = bson_iter_utf8(&at, &v.len);
    } else if (BSON_ITER_HOLDS_INT(&at)) {
        v.len = (uint32_t)snprintf(number, sizeof number, "%" PRId64, bson_iter_as_int64(&at));
        v.data = number;
    } else {
        return 0;
    }
    return copy(st, &v, ret, err);
}

static int book_row(struct mongo_stream *st, const struct mongo_event *e, const struct mf_table *t, const bson_t *doc,
                    struct mf_error *err)
{
    struct mongo_pending *p = add(st, e->time, e->wall_us, err);
    struct mf_value *values = mf_alloc_array(&st->batch, t->ncolumns, sizeof *values);
    if (!p || !values) {
        return p ? no_memory(err) : -1;
    }
    p->table = t;
    p->op = MF_UPDATE;
    p->book = (struct mf_row){.n = t->ncolumns, .values = values};
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (text_of(st, doc, t->columns[i].name, &values[i], err) < 0) {
            return -1;
        }
    }
    return copy(st, &e->token, &p->data, err);
}

static int bookkeeping(struct mongo_stream *st, const struct mongo_event *e, struct mf_error *err)
{
    bson_t doc;
    if (e->document.kind == MF_NULL || !bson_init_static(&doc, (const uint8_t *)e->document.data, e->document.len)) {
        return 0;
    }
    if (mf_streq(e->collection, "heartbeat") || mf_streq(e->collection, "epoch")) {
        return book_row(st, e, e->collection[0] == 'h' ? st->heartbeat : st->epoch, &doc, err);
    }
    if (mf_streq(e->collection, "settings")) {
        /* Whoever adds one reads its rows when the write that says so has returned: what changes them then comes behind this. */
        bool fresh;
        int rc = mongo_stream_widen(st, &doc, &fresh, err);
        st->widened |= rc == 0 && fresh;
        return rc;
    }
    if (mf_streq(e->collection, "window")) {
        return mongo_intents_add(&st->intents, &doc, err);
    }
    if (mf_streq(e->collection, "checkpoint")) {
        mongo_intents_checkpoint(&st->intents, &doc, e->time);
    }
    return 0;
}

/* ---- what ends the run ---- */

static int end_with(struct mongo_stream *st, const struct mongo_event *e, struct mf_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int end_with(struct mongo_stream *st, const struct mongo_event *e, struct mf_error *err, const char *fmt, ...)
{
    struct mongo_pending *p = add(st, e->time, e->wall_us, err);
    struct mf_error *why = mf_alloc0(&st->batch, sizeof *why);
    va_list ap;
    if (!p || !why) {
        return p ? no_memory(err) : -1;
    }
    va_start(ap, fmt);
    mf_vfail(why, MF_FATAL, "MFDDL", fmt, ap);
    va_end(ap);
    mf_hint(
        why,
        "what has its name from now on is another collection to midflight: with writes on the source, cancel and begin "
        "the migration again%s; with writes on the target, nothing is carried back any more: midflight complete ends "
        "the migration there",
        e->what == MONGO_RENAME ? ", with the new name in tables and map" : "");
    p->failure = why;
    return 0;
}

static int ended(struct mongo_stream *st, const struct mongo_event *e, struct mf_error *err)
{
    bool ours = find_table(st, e->database, e->collection) != NULL;
    switch (e->what) {
    case MONGO_DROP:
        return ours ? end_with(st, e, err, "collection %s.%s was dropped on the source", e->database, e->collection)
                    : 0;
    case MONGO_RENAME:
        if (ours) {
            return end_with(st, e, err, "collection %s.%s was renamed to %s.%s on the source", e->database,
                            e->collection, e->to_database, e->to_collection);
        }
        return find_table(st, e->to_database, e->to_collection)
                   ? end_with(st, e, err,
                              "collection %s.%s of the source has taken the name of one that migrates: %s.%s",
                              e->database, e->collection, e->to_database, e->to_collection)
                   : 0;
    case MONGO_DROP_DATABASE:
        return has_database(st, e->database)
                   ? end_with(st, e, err, "database %s was dropped on the source, with collections that migrate",
                              e->database)
                   : 0;
    default:
        return end_with(st, e, err,
                        "the server has ended the change stream (invalidate): what it told of was dropped or renamed");
    }
}

/* ---- changes ---- */

static enum mf_op op_of(enum mongo_what what)
{
    return what == MONGO_INSERT ? MF_INSERT : what == MONGO_DELETE ? MF_DELETE : MF_UPDATE;
}

/* Written by the way back: announced, and exactly this. */
static bool announced(struct mongo_stream *st, const struct mongo_event *e, const struct mf_value *id)
{
    if (e->what == MONGO_UPDATE) {
        return false; /* we write whole documents */
    }
    struct mongo_intent_hash h = mongo_intent_hash(e->database, e->collection, id, &e->document);
    return mongo_intents_take(&st->intents, &h);
}

static int change(struct mongo_stream *st, const struct mongo_event *e, const struct mongo_table *t,
                  struct mf_error *err)
{
    struct mf_value id;
    struct mf_error why = {0};
    bool odd = mf_bson_id_of(&st->batch, &e->key, &id, &why) < 0; /* it goes to the quarantine, as in the copy */
    if (odd && (why.cls != MF_ROW || mongo_refused_id(&st->batch, &e->key, &why, &id, err) < 0)) {
        *err = why.cls != MF_ROW ? why : *err;
        return -1;
    }
    if (!odd && announced(st, e, &id)) {
        return 0;
    }
    if (e->what == MONGO_UPDATE && e->looked_up && e->document.kind == MF_NULL) {
        return 0;
    }
    struct mongo_pending *p = add(st, e->time, e->wall_us, err);
    if (!p) {
        return -1;
    }
    p->table = t->table;
    p->op = op_of(e->what);
    p->id = id;
    /*
     * Servers that are not MongoDB may put entries of several clients into their oplog in another order than they changed the document in (FerretDB writes the document, then
     * the entry). There a replacement is looked up, too; what was written is told when it is not there any more, so that its deletion finds it.
     */
    bool doubtful = e->what == MONGO_REPLACE && st->db->can.speaks != MONGO_GENUINE && st->way == &mongo_way_oplog;
    if (e->what != MONGO_DELETE && copy(st, &e->document, doubtful ? &p->fallback : &p->document, err) < 0) {
        return -1;
    }
    if (odd && p->document.kind == MF_NULL) { /* nor can it be looked up */
        p->document = id;
    }
    return copy(st, &e->token, &p->data, err);
}

int mongo_stream_event(struct mongo_stream *st, const struct mongo_event *e, struct mf_error *err)
{
    if (e->what == MONGO_NOTHING || e->time <= st->told.order) {
        return 0;
    }
    if (mf_streq(e->database, MONGO_BOOK)) {
        return e->what >= MONGO_INSERT && e->what <= MONGO_REPLACE ? bookkeeping(st, e, err) : 0;
    }
    if (e->what >= MONGO_DROP) {
        return ended(st, e, err);
    }
    const struct mongo_table *t = find_table(st, e->database, e->collection);
    return t ? change(st, e, t, err) : 0;
}

int mongo_stream_settled(struct mongo_stream *st, uint64_t time, const struct mf_value *data, struct mf_error *err)
{
    if (time <= st->told.order) {
        return 0;
    }
    struct mongo_pending *last = st->npending ? &st->pending[st->npending - 1] : NULL;
    bool again = last && !last->table && !last->failure;
    struct mongo_pending *p = again ? last : add(st, time, 0, err);
    if (!p) {
        return -1;
    }
    p->time = time > p->time ? time : p->time;
    p->data = (struct mf_value){.kind = MF_NULL};
    return data ? copy(st, data, &p->data, err) : 0;
}

uint64_t mongo_stream_unsettled(const struct mongo_stream *st)
{
    return st->npending ? st->pending[st->npending - 1].time : st->open;
}

/* ---- items ---- */

static void place(struct mf_position *ret, uint64_t time, const char *data)
{
    mongo_position_of(time, ret);
    if (data[0]) {
        size_t n = strlen(ret->token);
        snprintf(ret->token + n, sizeof ret->token - n, ";%s", data);
    }
}

static void keep_data(struct mongo_stream *st, const struct mf_value *data)
{
    st->open_data[0] = '\0';
    if (data->kind == MF_TEXT && data->len <= DATA_MAX && !memchr(data->data, '\0', data->len)) {
        memcpy(st->open_data, data->data, data->len);
        st->open_data[data->len] = '\0';
    }
}

static void give_commit(struct mongo_stream *st, struct mf_item *ret)
{
    ret->kind = MF_ITEM_COMMIT;
    ret->txn = ret->subtxn = st->open;
    place(&ret->position, st->open, st->open_data);
    ret->commit_time_us = st->open_wall_us ? st->open_wall_us : (int64_t)(st->open >> 32) * MF_US_PER_SEC;
    st->told = ret->position;
    st->open = 0;
}

static void give_change(struct mongo_stream *st, const struct mongo_pending *p, struct mf_item *ret)
{
    ret->kind = MF_ITEM_CHANGE;
    ret->txn = ret->subtxn = p->time;
    ret->change.op = p->op;
    ret->change.table = p->table;
    keep_data(st, &p->data);
    if (p->book.n) {
        ret->change.new_row = p->book;
        return;
    }
    struct mf_value *v = st->row;
    v[0] = p->id;
    v[1] = p->document;
    struct mf_row row = {.n = 2, .values = v};
    if (p->op == MF_DELETE) {
        v[1] = (struct mf_value){.kind = MF_UNCHANGED};
        ret->change.has_old = true;
        ret->change.old_row = row;
    } else {
        ret->change.new_row = row;
    }
}

/* The next item of what was read. 1: there is none. */
static int give(struct mongo_stream *st, struct mf_item *ret, struct mf_error *err)
{
    while (st->next < st->npending) {
        struct mongo_pending *p = &st->pending[st->next];
        if (st->open && (p->failure || p->time > st->open || (!p->table && p->time >= st->open))) {
            give_commit(st, ret); /* p comes next */
            return 0;
        }
        if (p->failure) {
            *err = *p->failure;
            return -1;
        }
        if (!p->table) {
            st->next++;
            if (p->time <= st->told.order) {
                continue;
            }
            keep_data(st, &p->data);
            ret->kind = MF_ITEM_PROGRESS;
            place(&ret->position, p->time, st->open_data);
            st->told = ret->position;
            return 0;
        }
        if (p->op != MF_DELETE && !p->book.n && p->document.kind == MF_NULL) {
            if (!p->looked && mongo_look_up(st, err) < 0) {
                return -1;
            }
            if (p->document.kind == MF_NULL) {
                st->next++; /* gone since */
                continue;
            }
        }
        if (!st->open) {
            st->open = p->time;
            st->open_wall_us = p->wall_us;
            ret->kind = MF_ITEM_BEGIN;
            ret->txn = ret->subtxn = p->time;
            return 0;
        }
        st->next++;
        give_change(st, p, ret);
        return 0;
    }
    return 1;
}

static int refill(struct mongo_stream *st, int timeout_ms, struct mf_error *err)
{
    mf_arena_reset(&st->batch);
    st->npending = st->next = 0;
    if (MF_FAULT(err, "mongodb.stream_read") || st->way->read(st, timeout_ms, err) < 0) {
        st->npending = 0;
        return -1;
    }
    return 0;
}

int mongo_stream_next(struct mf_stream *base, int timeout_ms, struct mf_item *ret, struct mf_error *err)
{
    struct mongo_stream *st = (struct mongo_stream *)base;
    *ret = (struct mf_item){.kind = MF_ITEM_NONE};
    int rc = give(st, ret, err);
    if (rc <= 0) {
        return rc;
    }
    if (refill(st, timeout_ms, err) < 0) {
        return -1;
    }
    rc = give(st, ret, err);
    return rc < 0 ? -1 : 0;
}

/* The server keeps its log by its own rule; only what the way back announced waits for us. */
int mongo_stream_ack(struct mf_stream *base, const struct mf_position *durable, struct mf_error *err)
{
    struct mongo_stream *st = (struct mongo_stream *)base;
    return mongo_intents_forget(&st->intents, st->db, durable->order, err);
}

void mongo_stream_wake(struct mf_stream *st)
{
    (void)st; /* no commit waits for it */
}

void mongo_stream_close(struct mf_stream *base)
{
    struct mongo_stream *st = (struct mongo_stream *)base;
    if (!st) {
        return;
    }
    if (st->way && st->reading) {
        st->way->close(st);
    }
    mongo_intents_free(&st->intents);
    mf_arena_free(&st->shape);
    mf_arena_free(&st->batch);
    for (size_t i = 0; i < st->ntables; i++) {
        mf_arena_free(&st->tables[i].found);
    }
    free(st->tables);
    free(st->pending);
    free(st);
}
