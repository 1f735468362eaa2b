/*
 * Documents out of a deployment: by ranges of `_id`, many readers side by side, and by id.
 *
 * There are no snapshots that are held: a batch shows what was committed (by a majority, where that can be asked for) when it was read. A document keeps its _id
 * for as long as it lives, so none moves from one range to another. What a chunk may show ends with the operationTime of its last reply; where
 * replies have none, the deployment is asked for a position behind it.
 */
#include "connector/mongodb/bound.h"
#include "connector/mongodb/catalog.h"
#include "connector/mongodb/plan.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/refused.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BATCH       1000              /* documents */
#define BATCH_BYTES ((size_t)4 << 20) /* of which a batch grows no more, where the server does not bound it */
#define ROW_BYTES   ((size_t)1 << 20) /* of the text of an id and what is said of one */
#define IDS         1000              /* looked for at a time */
#define IDS_BYTES   (4u << 20)        /* the same: a command has at most 16 MB */

struct mongo_reader {
    struct mf_reader base;
    struct mf_arena row;  /* of one document */
    struct mf_arena keys; /* of one call of read_rows */
};

int mongo_reader_open(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret,
                      struct mf_error *err)
{
    (void)snapshot, (void)err; /* a position, and no more */
    struct mongo_reader *r = mf_xcalloc(1, sizeof *r);
    r->base.db = db;
    mf_arena_init(&r->row, ROW_BYTES);
    mf_arena_init(&r->keys, (size_t)64 << 20);
    *ret = &r->base;
    return 0;
}

void mongo_reader_close(struct mf_reader *base)
{
    struct mongo_reader *r = (struct mongo_reader *)base;
    if (r) {
        mf_arena_free(&r->row);
        mf_arena_free(&r->keys);
        free(r);
    }
}

int mongo_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err)
{
    struct mongo_found now;
    bool there = false;
    if (mongo_collection(mongo_db_of(r->db), t->schema, t->name, &now, &there, err) < 0) {
        return -1;
    }
    return there && now.kind == MONGO_IS_TABLE
               ? 0
               : mf_fail(err, MF_FATAL, "MFSHAPE", "%s.%s is no collection any more", t->schema, t->name);
}

/* ---- a document as a row ---- */

static int row_of(struct mongo_reader *r, const bson_t *d, struct mf_value values[2], struct mf_row *ret,
                  struct mf_error *err)
{
    struct mf_error why;
    mf_arena_reset(&r->row);
    *ret = (struct mf_row){.n = 2, .values = values};
    values[1] = (struct mf_value){.kind = MF_BINARY, .len = d->len, .data = (const char *)bson_get_data(d)};
    mf_error_clear(&why);
    if (mf_bson_id_of(&r->row, &values[1], &values[0], &why) == 0) {
        return 0;
    }
    if (why.cls != MF_ROW) {
        *err = why;
        return -1;
    }
    return mongo_refused_id(&r->row, &values[1], &why, &values[0], err);
}

/* ---- find ---- */

/*
 * What a read must show: everything up to now. A majority may be behind the primary for a moment, and the member that the URL's read preference chooses for
 * longer, while the stream begins at a position that was told before: what is neither in the copy nor in the stream would be lost. So the primary is asked
 * for its time, and the read waits for it where it is done. 0: the deployment has no such time.
 */
static int time_to_show(struct mongo_db *db, uint64_t *ret, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t reply;
    *ret = 0;
    if (!db->can.majority || !db->can.times || !db->can.sessions) {
        return 0;
    }
    BSON_APPEND_INT32(&c, "ping", 1);
    if (mongo_command(db, NULL, MONGO_PRIMARY, "admin", &c, &reply, err) < 0) {
        return -1;
    }
    *ret = mongo_timestamp(&reply, "operationTime");
    bson_destroy(&reply);
    return 0;
}

static int begin_find(struct mongo_db *db, const struct mf_table *t, bson_t *c, struct mf_error *err)
{
    bson_t concern;
    uint64_t time;
    if (time_to_show(db, &time, err) < 0) {
        return -1;
    }
    BSON_APPEND_UTF8(c, "find", t->name);
    BSON_APPEND_INT32(c, "batchSize", db->can.speaks == MONGO_GENUINE ? BATCH : 1);
    if (db->can.majority) {
        BSON_APPEND_DOCUMENT_BEGIN(c, "readConcern", &concern);
        BSON_APPEND_UTF8(&concern, "level", "majority");
        if (time) {
            BSON_APPEND_TIMESTAMP(&concern, "afterClusterTime", (uint32_t)(time >> 32), (uint32_t)time);
        }
        bson_append_document_end(c, &concern);
    }
    return 0;
}

/* A position behind everything that was read. */
static int position_after(struct mongo_db *db, uint64_t time, struct mf_position *ret, struct mf_error *err)
{
    if (!ret) {
        return 0;
    }
    if (time == 0) {
        return mongo_position(&db->base, ret, err);
    }
    mongo_position_of(time, ret);
    return 0;
}

/*
 * MongoDB ends a batch at 16 MB, and after the first one it is best left to it. Others put as many documents as they are asked for into one reply, which is
 * lost when it has more than 48 MB: they are asked for more with each batch, as long as the documents are small.
 */
struct pace {
    uint32_t batch, got;
    size_t largest; /* document in it */
};

static void keep_pace(struct mongo_look *l, struct pace *p, const bson_t *d)
{
    p->largest = d->len > p->largest ? d->len : p->largest;
    if (l->db->can.speaks == MONGO_GENUINE || ++p->got < p->batch) {
        return;
    }
    uint32_t fit = (uint32_t)(BATCH_BYTES / p->largest) + 1;
    p->batch = 2 * p->batch < fit ? 2 * p->batch : fit;
    p->batch = p->batch < BATCH ? p->batch : BATCH;
    p->got = 0;
    mongoc_cursor_set_batch_size(l->cursor, p->batch);
}

typedef bool wanted_fn(void *ctx, const struct mf_row *row);

static int emit_all(struct mongo_reader *r, const struct mf_table *t, const bson_t *find, wanted_fn *wanted,
                    void *wanted_ctx, mf_row_sink *emit, void *ctx, uint64_t *ret_time, struct mf_error *err)
{
    struct mongo_look l;
    struct pace pace = {.batch = 1};
    struct mf_value values[2];
    struct mf_row row;
    const bson_t *d;
    int rc;
    if (mongo_look_open(mongo_db_of(r->base.db), MONGO_ANYWHERE, t->schema, find, &l, err) < 0) {
        return -1;
    }
    while ((rc = mongo_look_next(&l, &d, err)) == 1) {
        rc = MF_FAULT(err, "mongodb.chunk_read")
        || row_of(r, d, values, &row, err) < 0 ? -1 : 0;
        if (rc < 0 || ((!wanted || wanted(wanted_ctx, &row)) && emit(ctx, &row, err) < 0)) {
            rc = -1;
            break;
        }
        keep_pace(&l, &pace, d);
    }
    *ret_time = mongo_look_time(&l);
    mongo_look_close(&l);
    return rc;
}

int mongo_chunk_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                     void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct mongo_reader *r = (struct mongo_reader *)base;
    struct mongo_db *db = mongo_db_of(base->db);
    MONGO_BSON(find);
    MONGO_BSON(filter);
    uint64_t time = 0;
    if (begin_find(db, t, &find, err) < 0 || mongo_range_filter(db->can.speaks, c, &filter, err) < 0) {
        return -1;
    }
    BSON_APPEND_DOCUMENT(&find, "filter", &filter);
    if (emit_all(r, t, &find, NULL, NULL, emit, ctx, &time, err) < 0) {
        mf_error_prefix(err, "reading %s.%s", t->schema, t->name);
        return -1;
    }
    return position_after(db, time, ret_after, err);
}

/* ---- by id ---- */

/* The ids of one command. */
struct asked {
    const struct mf_table *t;
    const struct mf_row *keys;
    size_t n; /* of keys, those that are in the command */
};

static const struct mf_value *key_of(const struct mf_table *t, const struct mf_row *key)
{
    return &key->values[t->key[0]];
}

/* A collection with a collation takes other texts for the same id: they are not asked for. */
static bool is_asked(void *ctx, const struct mf_row *row)
{
    struct asked *a = ctx;
    for (size_t i = 0; i < a->n; i++) {
        if (mf_value_equal(key_of(a->t, &a->keys[i]), &row->values[0])) {
            return true;
        }
    }
    return false;
}

/* A text that is no id's is no document's key. */
static int put_id(struct mongo_reader *r, const struct mf_value *text, unsigned at, bson_t *list, bool *ret_is,
                  struct mf_error *err)
{
    struct mf_error why;
    struct mf_value document;
    bson_t d;
    bson_iter_t id;
    char name[16];
    mf_error_clear(&why);
    *ret_is = false;
    if (text->kind != MF_TEXT) {
        return 0;
    }
    if (mf_bson_id_document(&r->keys, text, &document, &why) < 0) {
        *err = why;
        return why.cls == MF_ROW ? (mf_error_clear(err), 0) : -1;
    }
    if (bson_init_static(&d, (const uint8_t *)document.data, document.len) && bson_iter_init_find(&id, &d, "_id")) {
        snprintf(name, sizeof name, "%u", at);
        *ret_is = bson_append_iter(list, name, -1, &id);
    }
    return 0;
}

/* As many of the keys as one command takes; *ret_ids: how many of them are ids. */
static int put_ids(struct mongo_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n, bson_t *list,
                   size_t *ret_taken, unsigned *ret_ids, struct mf_error *err)
{
    size_t i = 0;
    unsigned ids = 0;
    for (; i < n && i < IDS && list->len < IDS_BYTES; i++) {
        bool is = false;
        if (put_id(r, key_of(t, &keys[i]), ids, list, &is, err) < 0) {
            return -1;
        }
        ids += is;
    }
    *ret_taken = i;
    *ret_ids = ids;
    return 0;
}

static int read_some(struct mongo_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n,
                     mf_row_sink *emit, void *ctx, size_t *ret_taken, uint64_t *ret_time, struct mf_error *err)
{
    MONGO_BSON(find);
    MONGO_BSON(list);
    bson_t filter, in;
    unsigned ids = 0;
    mf_arena_reset(&r->keys);
    if (put_ids(r, t, keys, n, &list, ret_taken, &ids, err) < 0) {
        return -1;
    }
    struct asked a = {.t = t, .keys = keys, .n = *ret_taken};
    if (begin_find(mongo_db_of(r->base.db), t, &find, err) < 0) {
        return -1;
    }
    BSON_APPEND_DOCUMENT_BEGIN(&find, "filter", &filter);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &in);
    BSON_APPEND_ARRAY(&in, "$in", &list);
    bson_append_document_end(&filter, &in);
    bson_append_document_end(&find, &filter);
    return ids ? emit_all(r, t, &find, is_asked, &a, emit, ctx, ret_time, err) : 0;
}

int mongo_read_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_row *keys, size_t n,
                    mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct mongo_reader *r = (struct mongo_reader *)base;
    uint64_t time = 0;
    for (size_t done = 0, taken = 0; done < n; done += taken) {
        if (read_some(r, t, keys + done, n - done, emit, ctx, &taken, &time, err) < 0) {
            mf_error_prefix(err, "reading documents of %s.%s", t->schema, t->name);
            return -1;
        }
    }
    return position_after(mongo_db_of(base->db), time, ret_after, err);
}

/* ---- load ---- */

static double share(const bson_t *status, const char *out, const char *total)
{
    int64_t all = mongo_int(status, total, 0);
    return all > 0 ? (double)mongo_int(status, out, 0) / (double)all : 0;
}

/* The places there are for reads and writes at one time, and how many are taken; who waits for one makes the load 1. */
int mongo_load(struct mf_db *base, double *ret, struct mf_error *err)
{
    static const char *const places[][2] = {
        {"wiredTiger.concurrentTransactions.read.out", "wiredTiger.concurrentTransactions.read.totalTickets"},
        {"wiredTiger.concurrentTransactions.write.out", "wiredTiger.concurrentTransactions.write.totalTickets"},
        {"queues.execution.read.out", "queues.execution.read.totalTickets"},
        {"queues.execution.write.out", "queues.execution.write.totalTickets"},
    };
    MONGO_BSON(c);
    bson_t status;
    double load = 0;
    BSON_APPEND_INT32(&c, "serverStatus", 1);
    if (mongo_command(mongo_db_of(base), NULL, MONGO_ANYWHERE, "admin", &c, &status, err) < 0) {
        if (err->cls == MF_RETRY) {
            return -1;
        }
        mf_error_clear(err); /* a right that we lack: check says so */
        *ret = 0;
        return 0;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(places); i++) {
        double one = share(&status, places[i][0], places[i][1]);
        load = one > load ? one : load;
    }
    *ret = mongo_int(&status, "globalLock.currentQueue.total", 0) > 0 && load < 1 ? 1 : load;
    bson_destroy(&status);
    return 0;
}
