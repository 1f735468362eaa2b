/*
 * A change stream of the whole deployment.
 *
 * The cursor is driven by commands of our own, since what matters is in the replies: how each batch ended, and the token behind it. The session and the server of
 * the first command are those of all. An error closes the stream, and capture opens it again at its own position; nothing is resumed here.
 *
 * When is a transaction over? On a replica set all events of one time come from one entry of the oplog (or a chain of them that is complete when its end is read), and the server
 * reads on without waiting until it has told all of them: a batch that came empty has told everything before. So while one is open the next batch is asked for without
 * waiting. A mongos merges shards that may have the same time, and lets go of an event when every shard has passed it: there only a later time ends one, an event's or that
 * of the token behind the batch (postBatchResumeToken; its time is what the server has come to, also where it had nothing to tell).
 */
#include "connector/mongodb/stream.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_EVENTS 1000

struct changes {
    mongoc_client_t *client;
    mongoc_client_session_t *session; /* NULL: the deployment has none */
    bson_t opts;                      /* server and session */
    int64_t cursor;
    char collection[MONGO_NAME];
    struct mongo_fragments fragments;
};

/* What a server says when the place to go on from is gone. */
static bool history_lost(const struct mf_error *err)
{
    static const int codes[] = {136, 260, 280, 286, 40576, 40585, 40615, 40647};
    for (size_t i = 0; i < MF_ARRAY_LEN(codes); i++) {
        if (mongo_is_error(err, codes[i])) {
            return true;
        }
    }
    return false;
}

/*
 * An event may be larger than any reply: with a document near 16 MB, and always with an `_id` of some megabytes, since every event's token has it. The oplog tells of
 * the same change in less, and its times are the same: the stream is opened anew from its position, and reads that. Between shards there is no one oplog.
 */
static int too_large(struct mongo_db *db, struct mf_error *err)
{
    struct mf_error why = {0};
    int has = mongo_has_oplog(db, &why);
    if (has < 0) {
        *err = why;
        return -1;
    }
    err->cls = has ? MF_RETRY : MF_FATAL;
    if (has) {
        atomic_store(&db->oplog_instead, true);
        mf_error_prefix(err, "the change stream cannot tell of a change, the oplog is read from here on");
        mf_hint(err, "nothing: it is tried at once");
        return -1;
    }
    mf_error_prefix(err, "reading the change stream");
    mf_hint(err,
            "MongoDB from 7.0 (and 6.0.9) on splits events over 16 MB, but for those of an _id of some megabytes. A "
            "replica set's oplog tells of all: grant read on local, and start midflight again");
    return -1;
}

static int say(struct mongo_db *db, struct mf_error *err)
{
    char why[700];
    if (history_lost(err)) {
        snprintf(why, sizeof why, "the change stream cannot go on from where it has come: %.500s", err->text);
        return mongo_stream_lost(err, why);
    }
    if (mongo_is_error(err, 10334)) {
        return too_large(db, err);
    }
    mf_error_prefix(err, "reading the change stream");
    return -1;
}

static int run(struct mongo_stream *st, const char *database, const bson_t *c, bson_t *ret, struct mf_error *err)
{
    struct changes *x = st->reading;
    bson_error_t e = {0};
    bson_t reply;
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    bool ok = mongoc_client_command_with_opts(x->client, database, c, primary, &x->opts, &reply, &e);
    mongoc_read_prefs_destroy(primary);
    if (!ok) {
        mongo_fail(st->db, &e, &reply, err);
        bson_destroy(&reply);
        return say(st->db, err);
    }
    if (!bson_steal(ret, &reply)) {
        bson_copy_to(&reply, ret);
        bson_destroy(&reply);
    }
    return 0;
}

/* ---- opening ---- */

static int choose(struct mongo_stream *st, struct mf_error *err)
{
    struct changes *x = st->reading;
    bson_error_t e = {0};
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    mongoc_server_description_t *server = mongoc_client_select_server(x->client, false, primary, &e);
    mongoc_read_prefs_destroy(primary);
    if (!server) {
        return mongo_fail(st->db, &e, NULL, err);
    }
    BSON_APPEND_INT32(&x->opts, "serverId", (int32_t)mongoc_server_description_id(server));
    mongoc_server_description_destroy(server);
    if (!st->db->can.sessions) {
        return 0;
    }
    mongoc_session_opt_t *how = mongoc_session_opts_new();
    mongoc_session_opts_set_causal_consistency(how, false);
    x->session = mongoc_client_start_session(x->client, how, &e);
    mongoc_session_opts_destroy(how);
    return x->session && mongoc_client_session_append(x->session, &x->opts, &e) ? 0 : mongo_fail(st->db, &e, NULL, err);
}

/* Only what concerns us: our own, these collections, and what may happen to any. */
static void put_match(const struct mongo_stream *st, bson_t *stage)
{
    static const char *const always[] = {"drop", "rename", "dropDatabase", "invalidate"};
    bson_t match, any, one, list, in, ns;
    char key[16];
    const char *name;
    BSON_APPEND_DOCUMENT_BEGIN(stage, "$match", &match);
    BSON_APPEND_ARRAY_BEGIN(&match, "$or", &any);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "0", &one);
    BSON_APPEND_UTF8(&one, "ns.db", MONGO_BOOK);
    bson_append_document_end(&any, &one);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "1", &one);
    BSON_APPEND_DOCUMENT_BEGIN(&one, "operationType", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
    for (uint32_t i = 0; i < MF_ARRAY_LEN(always); i++) {
        bson_uint32_to_string(i, &name, key, sizeof key);
        BSON_APPEND_UTF8(&list, name, always[i]);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(&one, &in);
    bson_append_document_end(&any, &one);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "2", &one);
    BSON_APPEND_DOCUMENT_BEGIN(&one, "ns", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
    for (uint32_t i = 0; i < st->ntables; i++) {
        bson_uint32_to_string(i, &name, key, sizeof key);
        BSON_APPEND_DOCUMENT_BEGIN(&list, name, &ns);
        BSON_APPEND_UTF8(&ns, "db", st->tables[i].database);
        BSON_APPEND_UTF8(&ns, "coll", st->tables[i].collection);
        bson_append_document_end(&list, &ns);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(&one, &in);
    bson_append_document_end(&any, &one);
    bson_append_array_end(&match, &any);
    bson_append_document_end(stage, &match);
}

static void put_place(const struct mongo_stream *st, bson_t *what)
{
    const char *data = strchr(st->told.token, ';');
    bson_t token;
    if (data) {
        BSON_APPEND_DOCUMENT_BEGIN(what, "resumeAfter", &token);
        BSON_APPEND_UTF8(&token, "_data", data + 1);
        bson_append_document_end(what, &token);
    } else { /* it gives what is at that time again: it is left out by its position */
        BSON_APPEND_TIMESTAMP(what, "startAtOperationTime", (uint32_t)(st->told.order >> 32), (uint32_t)st->told.order);
    }
}

static void put_pipeline(const struct mongo_stream *st, bson_t *c)
{
    bson_t pipeline, stage, what;
    BSON_APPEND_ARRAY_BEGIN(c, "pipeline", &pipeline);
    BSON_APPEND_DOCUMENT_BEGIN(&pipeline, "0", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$changeStream", &what);
    BSON_APPEND_BOOL(&what, "allChangesForCluster", true);
    BSON_APPEND_UTF8(&what, "fullDocument", "updateLookup");
    put_place(st, &what);
    bson_append_document_end(&stage, &what);
    bson_append_document_end(&pipeline, &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&pipeline, "1", &stage);
    put_match(st, &stage);
    bson_append_document_end(&pipeline, &stage);
    if (st->db->can.wire >= 21) {
        BSON_APPEND_DOCUMENT_BEGIN(&pipeline, "2", &stage);
        BSON_APPEND_DOCUMENT_BEGIN(&stage, "$changeStreamSplitLargeEvent", &what);
        bson_append_document_end(&stage, &what);
        bson_append_document_end(&pipeline, &stage);
    }
    bson_append_array_end(c, &pipeline);
}

static int open_cursor(struct mongo_stream *st, bson_t *ret, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t cursor;
    char ns[2 * MONGO_NAME];
    struct changes *x = mf_xcalloc(1, sizeof *x);
    bson_init(&x->opts);
    st->reading = x;
    BSON_APPEND_INT32(&c, "aggregate", 1);
    put_pipeline(st, &c);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "cursor", &cursor);
    BSON_APPEND_INT32(&cursor, "batchSize", BATCH_EVENTS);
    bson_append_document_end(&c, &cursor);
    mongo_ask_majority(st->db, &c);
    if (mongo_borrow(st->db, &x->client, err) < 0 || choose(st, err) < 0 || run(st, "admin", &c, ret, err) < 0) {
        return -1;
    }
    x->cursor = mongo_int(ret, "cursor.id", 0);
    mongo_text(ret, "cursor.ns", ns, sizeof ns);
    const char *dot = strchr(ns, '.');
    mf_strlcpy(x->collection, dot ? dot + 1 : "$cmd.aggregate", sizeof x->collection);
    return 0;
}

static int next_batch(struct mongo_stream *st, int timeout_ms, bson_t *ret, struct mf_error *err)
{
    MONGO_BSON(c);
    struct changes *x = st->reading;
    if (!x->cursor) {
        return mf_fail(err, MF_RETRY, "MFCURSOR", "the server has ended the change stream's cursor");
    }
    BSON_APPEND_INT64(&c, "getMore", x->cursor);
    BSON_APPEND_UTF8(&c, "collection", x->collection);
    BSON_APPEND_INT32(&c, "batchSize", BATCH_EVENTS);
    BSON_APPEND_INT64(&c, "maxTimeMS", st->open || timeout_ms < 1 ? 1 : timeout_ms); /* so long it waits for an event */
    if (run(st, "admin", &c, ret, err) < 0) {
        return -1;
    }
    x->cursor = mongo_int(ret, "cursor.id", 0);
    return 0;
}

/* ---- batches ---- */

static int take_event(struct mongo_stream *st, const bson_t *doc, struct mf_error *err)
{
    struct changes *x = st->reading;
    struct mongo_event e;
    if (mongo_change_read(doc, &e, err) < 0) {
        return -1;
    }
    if (e.of) {
        const bson_t *whole;
        if (mongo_fragment_add(&x->fragments, doc, &e, &whole, err) < 0) {
            return -1;
        }
        if (!whole) {
            return 0;
        }
        if (mongo_change_read(whole, &e, err) < 0) {
            return -1;
        }
    }
    if (!e.time) {
        return mf_fail(
            err, MF_FATAL, "MFEVENT",
            "the server's change events have no clusterTime: nothing else orders what several connections wrote");
    }
    if (mongo_stream_event(st, &e, err) < 0) {
        return -1;
    }
    return st->widened ? mongo_stream_settled(st, e.time, e.token.kind == MF_TEXT ? &e.token : NULL, err) : 0;
}

static void close_changes(struct mongo_stream *st);

/* 1: a collection was added, and the rest of the batch is not what is asked for. */
static int take_batch(struct mongo_stream *st, const bson_t *reply, size_t *ret_n, struct mf_error *err)
{
    bson_iter_t at, list, it;
    size_t n = 0;
    if (!bson_iter_init(&at, reply) || !bson_iter_find(&at, "cursor") || !bson_iter_recurse(&at, &list)) {
        return mf_fail(err, MF_FATAL, "MFEVENT", "the server's reply has no cursor");
    }
    while (bson_iter_next(&list)) {
        const char *name = bson_iter_key(&list);
        if ((!mf_streq(name, "firstBatch") && !mf_streq(name, "nextBatch")) || !BSON_ITER_HOLDS_ARRAY(&list) ||
            !bson_iter_recurse(&list, &it)) {
            continue;
        }
        while (bson_iter_next(&it)) {
            const uint8_t *p = NULL;
            uint32_t len = 0;
            bson_t doc;
            if (BSON_ITER_HOLDS_DOCUMENT(&it)) {
                bson_iter_document(&it, &len, &p);
            }
            if (!p || !bson_init_static(&doc, p, len)) {
                return mf_fail(err, MF_FATAL, "MFEVENT", "the server's batch has something that is no event");
            }
            n++;
            if (take_event(st, &doc, err) < 0) {
                return -1;
            }
            if (st->widened) { /* what the server has left out behind this is ours now */
                return 1;
            }
        }
    }
    *ret_n = n;
    return 0;
}

/* How far all of it has been told. */
static int settle(struct mongo_stream *st, const bson_t *reply, size_t n, struct mf_error *err)
{
    bson_iter_t at, found;
    struct mf_value token = {.kind = MF_NULL};
    bson_t view;
    uint64_t come = 0, open = mongo_stream_unsettled(st);
    bool sharded = st->db->can.sharded;
    if (bson_iter_init(&at, reply) && bson_iter_find_descendant(&at, "cursor.postBatchResumeToken", &found) &&
        BSON_ITER_HOLDS_DOCUMENT(&found)) {
        const uint8_t *p;
        uint32_t len;
        bson_iter_document(&found, &len, &p);
        come = bson_init_static(&view, p, len) && mongo_token_text(&view, &token) ? mongo_token_time(&token) : 0;
    }
    uint64_t over = !sharded && n == 0 ? (come > open ? come : open) : come ? come - 1 : 0;
    /* The token belongs to its own time. */
    return mongo_stream_settled(st, over, over == come && come > open ? &token : NULL, err);
}

static int read_changes(struct mongo_stream *st, int timeout_ms, struct mf_error *err)
{
    MONGO_BSON(reply);
    size_t n = 0;
    bool first = !st->reading;
    bson_destroy(&reply);
    int rc = first ? open_cursor(st, &reply, err) : next_batch(st, timeout_ms, &reply, err);
    if (rc < 0) {
        bson_init(&reply);
        return -1;
    }
    rc = take_batch(st, &reply, &n, err);
    if (rc < 0) {
        return -1;
    }
    if (rc == 1) { /* asked again, from there on */
        st->widened = false;
        close_changes(st);
        return 0;
    }
    /* What the first command has come to is only where it began. */
    return first ? 0 : settle(st, &reply, n, err);
}

static void close_changes(struct mongo_stream *st)
{
    struct changes *x = st->reading;
    if (x->client && x->cursor) {
        MONGO_BSON(c);
        bson_t list, reply;
        struct mf_error ignored = {0};
        BSON_APPEND_UTF8(&c, "killCursors", x->collection);
        BSON_APPEND_ARRAY_BEGIN(&c, "cursors", &list);
        BSON_APPEND_INT64(&list, "0", x->cursor);
        bson_append_array_end(&c, &list);
        if (run(st, "admin", &c, &reply, &ignored) == 0) { /* or it ends by itself */
            bson_destroy(&reply);
        }
    }
    if (x->session) {
        mongoc_client_session_destroy(x->session);
    }
    mongo_return(st->db, x->client);
    mongo_fragments_end(&x->fragments);
    bson_destroy(&x->opts);
    free(x);
    st->reading = NULL;
}

const struct mongo_way mongo_way_changes = {read_changes, close_changes};
