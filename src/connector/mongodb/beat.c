/*
 * The short questions: heartbeats, positions, the clock.
 *
 * A position is a time of the deployment's own (operationTime): that of a write is the time of its entry in the oplog, which a stream reaches with the event
 * of the write and not before. Where replies have no such time the last entry of the oplog says it; it was written after whatever had returned before it was asked.
 */
#include "connector/mongodb/book.h"

#include "base/clock.h"
#include "base/fault.h"

#include <stdio.h>

static int ask(struct mongo_db *db, bson_t *ret, struct mf_error *err)
{
    MONGO_BSON(c);
    BSON_APPEND_INT32(&c, "isMaster", 1); /* known to all of them */
    return mongo_command(db, NULL, MONGO_PRIMARY, "admin", &c, ret, err);
}

int mongo_clock_us(struct mongo_db *db, int64_t *ret, struct mf_error *err)
{
    bson_t reply;
    bson_iter_t at;
    int64_t us = 0;
    if (ask(db, &reply, err) < 0) {
        return -1;
    }
    bool ok = bson_iter_init_find(&at, &reply, "localTime") && BSON_ITER_HOLDS_DATE_TIME(&at) &&
              !__builtin_mul_overflow(bson_iter_date_time(&at), 1000, &us);
    bson_destroy(&reply);
    if (!ok) {
        return mf_fail(err, MF_FATAL, "MFMONGO", "%s does not tell its clock (isMaster has no localTime)",
                       db->facts.host);
    }
    *ret = us;
    return 0;
}

int mongo_clock(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err)
{
    if (mongo_clock_us(mongo_db_of(db), ret_us, err) < 0) {
        return -1;
    }
    if (ret_latest_us) {
        *ret_latest_us = *ret_us;
    }
    return 0;
}

/* 0: it is empty. */
static int last_entry(struct mongo_db *db, uint64_t *ret, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t reply, part;
    BSON_APPEND_UTF8(&c, "find", "oplog.rs");
    BSON_APPEND_DOCUMENT_BEGIN(&c, "sort", &part);
    BSON_APPEND_INT32(&part, "$natural", -1);
    bson_append_document_end(&c, &part);
    BSON_APPEND_INT32(&c, "limit", 1);
    BSON_APPEND_BOOL(&c, "singleBatch", true);
    if (mongo_command(db, NULL, MONGO_PRIMARY, "local", &c, &reply, err) < 0) {
        return -1;
    }
    *ret = mongo_timestamp(&reply, "cursor.firstBatch.0.ts");
    bson_destroy(&reply);
    return 0;
}

/* What ping is answered with is the time of the primary's last write: no other had returned before. */
static int operation_time(struct mongo_db *db, uint64_t *ret, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t reply;
    BSON_APPEND_INT32(&c, "ping", 1);
    if (mongo_command(db, NULL, MONGO_PRIMARY, "admin", &c, &reply, err) < 0) {
        return -1;
    }
    *ret = mongo_timestamp(&reply, "operationTime");
    bson_destroy(&reply);
    return 0;
}

int mongo_time_now(struct mongo_db *db, uint64_t *ret, struct mf_error *err)
{
    uint64_t time = 0;
    int64_t us;
    if ((db->can.times && operation_time(db, &time, err) < 0) || (!time && last_entry(db, &time, err) < 0)) {
        return -1;
    }
    if (!time) { /* an oplog without an entry: nothing has been written, and what will be has a later time */
        if (mongo_clock_us(db, &us, err) < 0) {
            return -1;
        }
        time = (uint64_t)(us / MF_US_PER_SEC - 1) << 32;
    }
    *ret = time;
    return 0;
}

int mongo_position(struct mf_db *base, struct mf_position *ret, struct mf_error *err)
{
    uint64_t time;
    if (mongo_time_now(mongo_db_of(base), &time, err) < 0) {
        return -1;
    }
    mongo_position_of(time, ret);
    return 0;
}

int mongo_heartbeat(struct mf_db *base, const struct mf_pipe_id *pipe, const char *marker,
                    struct mf_position *ret_after, struct mf_error *err)
{
    struct mongo_db *db = mongo_db_of(base);
    MONGO_BSON(doc);
    char id[MONGO_BOOK_ID];
    uint64_t time = 0;
    const char *side = base->side == MF_SOURCE ? "source" : "target";
    snprintf(id, sizeof id, "%s/%s", pipe->migration, side);
    BSON_APPEND_UTF8(&doc, "_id", id);
    BSON_APPEND_UTF8(&doc, "migration", pipe->migration);
    BSON_APPEND_UTF8(&doc, "side", side);
    if (marker) {
        BSON_APPEND_UTF8(&doc, "marker", marker);
    }
    BSON_APPEND_INT64(&doc, "beat", mf_wall_us());
    if (mongo_book_put(db, "heartbeat", &doc, &time, err) < 0) {
        return -1;
    }
    if (ret_after) {
        if (!time && mongo_time_now(db, &time, err) < 0) {
            return -1;
        }
        mongo_position_of(time, ret_after);
    }
    return 0;
}

/* A change stream tells of what a majority has, and readers are given that, or more. */
int mongo_visible(struct mf_db *db, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err)
{
    (void)db, (void)txns, (void)n, (void)err;
    *ret = true;
    return 0;
}
