/*
 * The database `midflight`: what midflight remembers in the deployment.
 *
 *   checkpoint  MIGRATION/DIRECTION           how far a pipe has come here, and the number of its window
 *   window      MIGRATION/DIRECTION/N/PART    what a window of the way back is about to write (intent.h)
 *   quarantine  MIGRATION/DIRECTION/TABLE/N   documents that were left out
 *   heartbeat   MIGRATION/SIDE                a beat; its last marker
 *   epoch       MIGRATION                     who may write
 *   settings    MIGRATION/KIND/OBJECT         owner, streams
 *   run_lock    MIGRATION                     the right to run
 *
 * Every write waits for a majority and every read is the primary's: what was acknowledged here outlives a change of primaries. What somebody acts upon for good, the
 * checkpoint a pipe goes on from and the epoch, is read so that it does, too. A document is replaced as a whole, so that what a change stream tells of it is what was written, not what is there by the time it is looked up.
 */
#include "connector/mongodb/book.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FOR_GOOD_MS 60000

const char *mongo_direction(enum mf_direction d)
{
    return d == MF_FORWARD ? "fwd" : "rev";
}

/* ---- documents ---- */

static void put_find(bson_t *c, const char *collection, const bson_t *filter, int limit)
{
    BSON_APPEND_UTF8(c, "find", collection);
    BSON_APPEND_DOCUMENT(c, "filter", filter);
    if (limit) {
        BSON_APPEND_INT32(c, "limit", limit);
        BSON_APPEND_BOOL(c, "singleBatch", true);
    }
}

/* A write of ours that was not acknowledged may be there and be taken back by a change of primaries. Such a read waits until a majority has what it shows, which what it
 * is asked for has then too; and nobody who is no primary any more answers it. */
static void ask_for_good(struct mongo_db *db, bson_t *c)
{
    bson_t concern;
    if (!db->can.majority || db->can.speaks != MONGO_GENUINE) {
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(c, "readConcern", &concern);
    BSON_APPEND_UTF8(&concern, "level", "linearizable");
    bson_append_document_end(c, &concern);
    if (mongo_time_left(db) <= 0) {
        BSON_APPEND_INT32(c, "maxTimeMS", FOR_GOOD_MS);
    }
}

static int get(struct mongo_db *db, const char *collection, const char *id, bool for_good, bson_t *ret, bool *ret_there,
               struct mf_error *err)
{
    MONGO_BSON(filter);
    MONGO_BSON(c);
    bson_t reply, found;
    bson_iter_t at, first;
    const uint8_t *p;
    uint32_t len;
    BSON_APPEND_UTF8(&filter, "_id", id);
    put_find(&c, collection, &filter, 1);
    if (for_good) {
        ask_for_good(db, &c);
    }
    if (mongo_command(db, NULL, MONGO_PRIMARY, MONGO_BOOK, &c, &reply, err) < 0) {
        return -1;
    }
    *ret_there = bson_iter_init(&at, &reply) && bson_iter_find_descendant(&at, "cursor.firstBatch.0", &first) &&
                 BSON_ITER_HOLDS_DOCUMENT(&first);
    if (*ret_there) {
        bson_iter_document(&first, &len, &p);
        *ret_there = bson_init_static(&found, p, len);
        if (*ret_there) {
            bson_copy_to(&found, ret);
        }
    }
    bson_destroy(&reply);
    return 0;
}

int mongo_book_get(struct mongo_db *db, const char *collection, const char *id, bson_t *ret, bool *ret_there,
                   struct mf_error *err)
{
    return get(db, collection, id, false, ret, ret_there, err);
}

int mongo_book_get_for_good(struct mongo_db *db, const char *collection, const char *id, bson_t *ret, bool *ret_there,
                            struct mf_error *err)
{
    return get(db, collection, id, true, ret, ret_there, err);
}

static void put_update(bson_t *c, const char *collection, const bson_t *filter, const bson_t *doc, bool upsert)
{
    bson_t list, one;
    BSON_APPEND_UTF8(c, "update", collection);
    BSON_APPEND_ARRAY_BEGIN(c, "updates", &list);
    BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &one);
    BSON_APPEND_DOCUMENT(&one, "q", filter);
    BSON_APPEND_DOCUMENT(&one, "u", doc);
    BSON_APPEND_BOOL(&one, "upsert", upsert);
    bson_append_document_end(&list, &one);
    bson_append_array_end(c, &list);
}

static bool put_id(const bson_t *doc, bson_t *filter)
{
    bson_iter_t at;
    return bson_iter_init_find(&at, doc, "_id") && bson_append_iter(filter, "_id", 3, &at);
}

int mongo_book_put(struct mongo_db *db, const char *collection, const bson_t *doc, uint64_t *ret_time,
                   struct mf_error *err)
{
    MONGO_BSON(filter);
    MONGO_BSON(c);
    bson_t reply;
    if (!put_id(doc, &filter)) {
        return mf_fail(err, MF_FATAL, "MFBUG", "a document for midflight.%s has no _id", collection);
    }
    put_update(&c, collection, &filter, doc, true);
    if (mongo_command(db, NULL, MONGO_WRITE, MONGO_BOOK, &c, &reply, err) < 0) {
        if (!mongo_is_error(err, 11000)) {
            return -1;
        }
        /* Two made it at the same time: now it is there. */
        mf_error_clear(err);
        if (mongo_command(db, NULL, MONGO_WRITE, MONGO_BOOK, &c, &reply, err) < 0) {
            return -1;
        }
    }
    if (ret_time) {
        *ret_time = mongo_timestamp(&reply, "operationTime");
    }
    bson_destroy(&reply);
    return 0;
}

static int insert(struct mongo_db *db, const char *collection, const bson_t *doc, bool *ret_done, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t list;
    BSON_APPEND_UTF8(&c, "insert", collection);
    BSON_APPEND_ARRAY_BEGIN(&c, "documents", &list);
    BSON_APPEND_DOCUMENT(&list, "0", doc);
    bson_append_array_end(&c, &list);
    *ret_done = true;
    if (mongo_command(db, NULL, MONGO_WRITE, MONGO_BOOK, &c, NULL, err) == 0) {
        return 0;
    }
    if (!mongo_is_error(err, 11000)) {
        return -1;
    }
    mf_error_clear(err);
    *ret_done = false;
    return 0;
}

int mongo_book_swap(struct mongo_db *db, const char *collection, const bson_t *if_, bool if_there, const bson_t *doc,
                    bool *ret_done, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t reply;
    if (!if_there) {
        return insert(db, collection, doc, ret_done, err);
    }
    put_update(&c, collection, if_, doc, false);
    if (mongo_command(db, NULL, MONGO_WRITE, MONGO_BOOK, &c, &reply, err) < 0) {
        return -1;
    }
    *ret_done = mongo_int(&reply, "n", 0) > 0;
    bson_destroy(&reply);
    return 0;
}

int mongo_book_delete(struct mongo_db *db, const char *collection, const bson_t *filter, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t list, one;
    BSON_APPEND_UTF8(&c, "delete", collection);
    BSON_APPEND_ARRAY_BEGIN(&c, "deletes", &list);
    BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &one);
    BSON_APPEND_DOCUMENT(&one, "q", filter);
    BSON_APPEND_INT32(&one, "limit", 0);
    bson_append_document_end(&list, &one);
    bson_append_array_end(&c, &list);
    return mongo_command(db, NULL, MONGO_WRITE, MONGO_BOOK, &c, NULL, err);
}

int mongo_book_each(struct mongo_db *db, const char *collection, const bson_t *filter, mongo_each_fn *each, void *ctx,
                    struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t sort;
    put_find(&c, collection, filter, 0);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "sort", &sort);
    BSON_APPEND_INT32(&sort, "_id", 1);
    bson_append_document_end(&c, &sort);
    return mongo_each(db, MONGO_PRIMARY, MONGO_BOOK, &c, each, ctx, err);
}

/* ---- settings ---- */

int mongo_kept(struct mongo_db *db, const char *migration, const char *kind, const char *object, char *ret, size_t n,
               struct mf_error *err)
{
    char id[MONGO_BOOK_ID];
    bson_t doc;
    bool there;
    snprintf(id, sizeof id, "%s/%s/%s", migration, kind, object);
    if (mongo_book_get(db, "settings", id, &doc, &there, err) < 0) {
        return -1;
    }
    mf_strlcpy(ret, "", n);
    if (there) {
        mongo_text(&doc, "value", ret, n);
        bson_destroy(&doc);
    }
    return 0;
}

int mongo_keep(struct mongo_db *db, const char *migration, const char *kind, const char *object, const char *value,
               struct mf_error *err)
{
    MONGO_BSON(doc);
    char id[MONGO_BOOK_ID];
    snprintf(id, sizeof id, "%s/%s/%s", migration, kind, object);
    BSON_APPEND_UTF8(&doc, "_id", id);
    BSON_APPEND_UTF8(&doc, "migration", migration);
    BSON_APPEND_UTF8(&doc, "kind", kind);
    BSON_APPEND_UTF8(&doc, "object", object);
    BSON_APPEND_UTF8(&doc, "value", value);
    return mongo_book_put(db, "settings", &doc, NULL, err);
}

/* Collections come with their first document. */
int mongo_prepare(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    if (MF_FAULT(err, "mongodb.book") ||
        mongo_keep(mongo_db_of(base), pipe->migration, "prepared", mongo_direction(pipe->direction), "1", err) < 0) {
        mf_error_prefix(err, "making the bookkeeping database \"midflight\"");
        if (mongo_is_error(err, 13)) {
            mf_hint(err, "the account needs readWrite on the database midflight: db.grantRolesToUser(…, [{role: "
                         "\"readWrite\", db: \"midflight\"}])");
        }
        return -1;
    }
    return 0;
}

/* ---- the checkpoint ---- */

int mongo_checkpoint_read(struct mongo_db *db, const struct mf_pipe_id *pipe, bool for_good, struct mf_position *ret,
                          int64_t *ret_window, struct mf_error *err)
{
    char id[MONGO_BOOK_ID], order[32];
    struct mf_position at = {0};
    int64_t window = 0;
    bson_t doc;
    bool there;
    snprintf(id, sizeof id, "%s/%s", pipe->migration, mongo_direction(pipe->direction));
    if (get(db, "checkpoint", id, for_good, &doc, &there, err) < 0) {
        return -1;
    }
    if (there) {
        mongo_text(&doc, "position_order", order, sizeof order);
        mongo_text(&doc, "position_token", at.token, sizeof at.token);
        window = mongo_int(&doc, "window", 0);
        bson_destroy(&doc);
        if (!mf_parse_u64(order, &at.order)) {
            return mf_fail(err, MF_FATAL, "MFBOOK",
                           "midflight.checkpoint, document \"%s\": position_order is no number", id);
        }
    }
    *ret = at;
    if (ret_window) {
        *ret_window = window;
    }
    return 0;
}

int mongo_checkpoint(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err)
{
    return mongo_checkpoint_read(mongo_db_of(db), pipe, true, ret, NULL, err);
}

int mongo_checkpoint_write(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_position *p,
                           int64_t window, struct mf_error *err)
{
    MONGO_BSON(doc);
    char id[MONGO_BOOK_ID], order[32];
    snprintf(id, sizeof id, "%s/%s", pipe->migration, mongo_direction(pipe->direction));
    snprintf(order, sizeof order, "%" PRIu64, p->order);
    BSON_APPEND_UTF8(&doc, "_id", id);
    BSON_APPEND_UTF8(&doc, "migration", pipe->migration);
    BSON_APPEND_UTF8(&doc, "direction", mongo_direction(pipe->direction));
    BSON_APPEND_UTF8(&doc, "position_order", order);
    BSON_APPEND_UTF8(&doc, "position_token", p->token);
    BSON_APPEND_INT64(&doc, "window", window);
    BSON_APPEND_DATE_TIME(&doc, "written_at", mf_wall_us() / MF_US_PER_MS);
    return mongo_book_put(db, "checkpoint", &doc, NULL, err);
}

/* ---- all of it away ---- */

static int forget(struct mongo_db *db, const char *collection, const char *migration, struct mf_error *err)
{
    MONGO_BSON(filter);
    BSON_APPEND_UTF8(&filter, "migration", migration);
    return mongo_book_delete(db, collection, &filter, err);
}

static int any_left(void *ctx, const bson_t *doc, struct mf_error *err)
{
    (void)doc, (void)err;
    *(bool *)ctx = true;
    return 1;
}

/* The database goes with the last migration's last document. */
static int drop_if_empty(struct mongo_db *db, const char *const *collections, size_t n, struct mf_error *err)
{
    MONGO_BSON(everything);
    MONGO_BSON(c);
    bool left = false;
    for (size_t i = 0; i < n && !left; i++) {
        if (mongo_book_each(db, collections[i], &everything, any_left, &left, err) < 0) {
            return -1;
        }
    }
    BSON_APPEND_INT32(&c, "dropDatabase", 1);
    if (!left && mongo_command(db, NULL, MONGO_WRITE, MONGO_BOOK, &c, NULL, err) < 0) {
        if (!mongo_is_error(err, 13)) { /* not allowed: empty collections do no harm */
            return -1;
        }
        mf_error_clear(err);
    }
    return 0;
}

int mongo_cleanup(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    static const char *const all[] = {"window", "quarantine", "checkpoint", "heartbeat",
                                      "epoch",  "settings",   "run_lock"};
    struct mongo_db *db = mongo_db_of(base);
    for (size_t i = 0; i < MF_ARRAY_LEN(all); i++) {
        if (forget(db, all[i], pipe->migration, err) < 0 || MF_FAULT(err, "mongodb.cleanup")) {
            return -1;
        }
    }
    return drop_if_empty(db, all, MF_ARRAY_LEN(all), err);
}
