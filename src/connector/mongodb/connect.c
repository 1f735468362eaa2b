/*
 * Opening a deployment: the URL, the pool of clients, and what a deployment is and can do.
 *
 * libmongoc watches the servers by threads of its own and follows a change of primaries. What it is asked waits at most serverSelectionTimeoutMS for a
 * server, connectTimeoutMS for a connection and socketTimeoutMS for an answer: where the URL does not say them they are ours, so that nothing hangs.
 */
#include "connector/mongodb/catalog.h"
#include "connector/mongodb/url.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- clients ---- */

int mongo_borrow(struct mongo_db *db, mongoc_client_t **ret, struct mf_error *err)
{
    if (MF_FAULT(err, "mongodb.borrow")) {
        return -1;
    }
    mongoc_client_t *c = mongoc_client_pool_pop(db->pool);
    if (!c) {
        return mf_fail(err, MF_RETRY, "MFBUSY", "%s: all of %d clients are in use", db->facts.host, MONGO_CLIENTS_MAX);
    }
    *ret = c;
    return 0;
}

void mongo_return(struct mongo_db *db, mongoc_client_t *c)
{
    if (c) {
        mongoc_client_pool_push(db->pool, c);
    }
}

void mongo_hurry(struct mf_db *base, int within_ms)
{
    struct mongo_db *db = mongo_db_of(base);
    MF_LOCK_SCOPE(&db->lock);
    db->hurry_until_us = within_ms > 0 ? mf_now_us() + within_ms * MF_US_PER_MS : 0;
    db->hurried = pthread_self();
}

int mongo_time_left(struct mongo_db *db)
{
    MF_LOCK_SCOPE(&db->lock);
    if (!db->hurry_until_us || !pthread_equal(db->hurried, pthread_self())) {
        return db->statement_timeout_ms;
    }
    int64_t left = (db->hurry_until_us - mf_now_us()) / MF_US_PER_MS;
    return left < 1 ? 1 : (int)left;
}

/* ---- what it is ---- */

/* A reply, or none where the deployment does not know the command: 0. */
static int ask(struct mongo_db *db, const char *database, const char *command, const char *more, bson_t *ret,
               struct mf_error *err)
{
    MONGO_BSON(c);
    BSON_APPEND_INT32(&c, command, 1);
    if (more) {
        BSON_APPEND_BOOL(&c, more, true);
    }
    return mongo_command(db, NULL, MONGO_PRIMARY, database, &c, ret, err);
}

/* hello, or its older name where that is not known. */
static int greet(struct mongo_db *db, bson_t *ret, struct mf_error *err)
{
    if (ask(db, "admin", "hello", NULL, ret, err) == 0) {
        return 0;
    }
    if (err->cls == MF_RETRY || mf_streq(err->code, "MFAUTH") || mf_streq(err->code, "MFTLS")) {
        return -1;
    }
    mf_error_clear(err);
    return ask(db, "admin", "isMaster", NULL, ret, err);
}

static void take_hello(struct mongo_db *db, const bson_t *hello)
{
    struct mongo_can *can = &db->can;
    char msg[32];
    mongo_text(hello, "setName", can->set_name, sizeof can->set_name);
    mongo_text(hello, "msg", msg, sizeof msg);
    can->replica_set = can->set_name[0];
    can->sharded = strcmp(msg, "isdbgrid") == 0;
    can->wire = (int)mongo_int(hello, "maxWireVersion", 0);
    can->sessions = mongo_has(hello, "logicalSessionTimeoutMinutes");
    can->times = mongo_timestamp(hello, "operationTime") != 0;
    can->document_max = mongo_int(hello, "maxBsonObjectSize", 16 << 20);
}

static int version_number(const char *version)
{
    int parts[3] = {0};
    return sscanf(version, "%d.%d.%d", &parts[0], &parts[1], &parts[2]) >= 2
               ? parts[0] * 10000 + parts[1] * 100 + parts[2]
               : 0;
}

/* Others say so in buildInfo: FerretDB by a field of its own; a genuine server has its modules, its engine and its git version there. */
static int take_build(struct mongo_db *db, struct mf_error *err)
{
    bson_t reply;
    struct mf_db_facts *f = &db->facts;
    mf_strlcpy(f->engine, "MongoDB", sizeof f->engine);
    if (ask(db, "admin", "buildInfo", NULL, &reply, err) < 0) {
        if (err->cls == MF_RETRY) {
            return -1;
        }
        mf_error_clear(err);
        return 0;
    }
    mongo_text(&reply, "version", f->version, sizeof f->version);
    f->version_num = version_number(f->version);
    bool ferret = mongo_has(&reply, "ferretdb") || mongo_has(&reply, "ferretdbVersion");
    bool genuine = mongo_has(&reply, "storageEngines") && mongo_has(&reply, "modules");
    db->can.speaks = ferret ? MONGO_FERRET : genuine ? MONGO_GENUINE : MONGO_OTHER;
    if (db->can.speaks != MONGO_GENUINE) {
        mf_strlcpy(f->engine, ferret ? "FerretDB" : "MongoDB-like", sizeof f->engine);
    }
    bson_destroy(&reply);
    return 0;
}

/* The set's own id, where we may read its configuration; a cluster's id; else the set's name and hosts, which are the same for every address of it. */
static void take_id(struct mongo_db *db, const bson_t *hello)
{
    MONGO_BSON(find);
    bson_t reply, filter;
    bson_iter_t at, id;
    struct mf_error ignored = {0};
    struct mf_db_facts *f = &db->facts;
    if (db->can.sharded) {
        BSON_APPEND_UTF8(&find, "find", "version");
    } else {
        BSON_APPEND_UTF8(&find, "find", "system.replset");
    }
    BSON_APPEND_DOCUMENT_BEGIN(&find, "filter", &filter);
    bson_append_document_end(&find, &filter);
    BSON_APPEND_INT32(&find, "limit", 1);
    BSON_APPEND_BOOL(&find, "singleBatch", true);
    if ((db->can.sharded || db->can.replica_set) &&
        mongo_command(db, NULL, MONGO_PRIMARY, db->can.sharded ? "config" : "local", &find, &reply, &ignored) == 0) {
        const char *path =
            db->can.sharded ? "cursor.firstBatch.0.clusterId" : "cursor.firstBatch.0.settings.replicaSetId";
        if (bson_iter_init(&at, &reply) && bson_iter_find_descendant(&at, path, &id) && BSON_ITER_HOLDS_OID(&id)) {
            bson_oid_to_string(bson_iter_oid(&id), f->system_id);
        }
        bson_destroy(&reply);
    }
    if (!f->system_id[0]) {
        char host[64];
        mongo_text(hello, "primary", host, sizeof host);
        snprintf(f->system_id, sizeof f->system_id, "%.30s/%.30s", db->can.set_name, *host ? host : f->host);
    }
}

/* ---- how it tells of changes ---- */

/* What was asked failed: -1 where it may pass and nothing is known yet, else 0: it is refused. */
static int refused(struct mf_error *err)
{
    if (err->cls == MF_RETRY) {
        return -1;
    }
    mf_error_clear(err);
    return 0;
}

/* 1: a change stream is opened. */
static int answers(struct mongo_db *db, const char *database, const char *collection, bool cluster,
                   struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t pipeline, stage, what, cursor;
    struct mongo_look l;
    if (collection) {
        BSON_APPEND_UTF8(&c, "aggregate", collection);
    } else {
        BSON_APPEND_INT32(&c, "aggregate", 1);
    }
    BSON_APPEND_ARRAY_BEGIN(&c, "pipeline", &pipeline);
    BSON_APPEND_DOCUMENT_BEGIN(&pipeline, "0", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$changeStream", &what);
    if (cluster) {
        BSON_APPEND_BOOL(&what, "allChangesForCluster", true);
    }
    bson_append_document_end(&stage, &what);
    bson_append_document_end(&pipeline, &stage);
    bson_append_array_end(&c, &pipeline);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "cursor", &cursor);
    bson_append_document_end(&c, &cursor);
    if (mongo_look_open(db, MONGO_PRIMARY, database, &c, &l, err) < 0) {
        return refused(err);
    }
    mongo_look_close(&l);
    return 1;
}

/* A server that keeps none answers a find all the same. */
int mongo_has_oplog(struct mongo_db *db, struct mf_error *err)
{
    MONGO_BSON(c);
    struct mongo_found found;
    bool there = false;
    if (db->can.sharded) { /* each shard has its own, which a mongos does not show */
        return 0;
    }
    BSON_APPEND_UTF8(&c, "find", "oplog.rs");
    BSON_APPEND_INT32(&c, "limit", 1);
    BSON_APPEND_BOOL(&c, "singleBatch", true);
    if (mongo_collection(db, "local", "oplog.rs", &found, &there, err) < 0 ||
        mongo_command(db, NULL, MONGO_PRIMARY, "local", &c, NULL, err) < 0) {
        return refused(err);
    }
    return there;
}

/* Asked, not concluded from versions: others than MongoDB have some of it. */
static int how_it_tells(struct mongo_db *db, enum mongo_tells *ret, struct mf_error *err)
{
    const char *own = db->database[0] ? db->database : MONGO_BOOK;
    int rc = db->can.wire >= 7 ? answers(db, "admin", NULL, true, err) : 0;
    *ret = MONGO_TELLS_ALL;
    if (rc == 0 &&
        db->can.speaks == MONGO_GENUINE) { /* before streams of less than all, which are not followed (stream_open.c) */
        rc = mongo_has_oplog(db, err);
        *ret = MONGO_TELLS_OPLOG;
    }
    if (rc == 0) {
        *ret = MONGO_TELLS_DATABASES;
        rc = db->can.wire >= 7 ? answers(db, own, NULL, false, err) : 0;
    }
    if (rc == 0) {
        *ret = MONGO_TELLS_COLLECTIONS;
        rc = answers(db, own, "heartbeat", false, err);
    }
    if (rc == 0) {
        rc = mongo_has_oplog(db, err);
        *ret = rc > 0 ? MONGO_TELLS_OPLOG : MONGO_TELLS_NOTHING;
    }
    return rc < 0 ? -1 : 0;
}

/* Something is answered that is read with it; a right that we lack says nothing about it. */
static int reads_majority(struct mongo_db *db, bool *ret, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t concern;
    BSON_APPEND_UTF8(&c, "find", "heartbeat");
    BSON_APPEND_INT32(&c, "limit", 1);
    BSON_APPEND_BOOL(&c, "singleBatch", true);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "readConcern", &concern);
    BSON_APPEND_UTF8(&concern, "level", "majority");
    bson_append_document_end(&c, &concern);
    *ret = mongo_command(db, NULL, MONGO_PRIMARY, MONGO_BOOK, &c, NULL, err) == 0 || mongo_is_error(err, 13);
    return *ret ? (mf_error_clear(err), 0) : refused(err);
}

static int learn(struct mongo_db *db, struct mf_error *err)
{
    bson_t hello;
    if (greet(db, &hello, err) < 0) {
        return -1;
    }
    take_hello(db, &hello);
    int rc = take_build(db, err);
    if (rc == 0) {
        take_id(db, &hello);
        rc = db->can.replica_set || db->can.sharded ? reads_majority(db, &db->can.majority, err) : 0;
        rc = rc < 0 ? -1 : how_it_tells(db, &db->can.tells, err);
    }
    bson_destroy(&hello);
    return rc;
}

/* ---- open ---- */

static void start_library(void)
{
    mongoc_log_set_handler(NULL, NULL); /* it would write to the terminal; errors come with what failed */
    mongoc_init();
}

static int make_pool(struct mongo_db *db, struct mf_error *err)
{
    bson_error_t e = {0};
    db->pool = mongoc_client_pool_new_with_error(db->uri, &e);
    if (!db->pool) {
        return mongo_fail(db, &e, NULL, err);
    }
    mongoc_client_pool_set_error_api(db->pool, MONGOC_ERROR_API_VERSION_2);
    return 0;
}

int mongo_open(const struct mf_db_options *o, struct mf_db **ret, struct mf_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_library);
    if (MF_FAULT(err, "mongodb.connect")) {
        return -1;
    }
    mongoc_uri_t *uri;
    if (mongo_url_parse(o, &uri, err) < 0) {
        return -1;
    }
    struct mongo_db *db = mf_xcalloc(1, sizeof *db);
    db->base = (struct mf_db){.connector = &mf_connector_mongodb, .side = o->side};
    db->uri = uri;
    db->shred = o->shred;
    db->connect_timeout_s = o->connect_timeout_s;
    db->statement_timeout_ms = o->statement_timeout_ms;
    mf_strlcpy(db->migration, o->migration ? o->migration : "", sizeof db->migration);
    pthread_mutex_init(&db->lock, NULL);
    mongo_url_say(uri, &db->facts);
    mf_strlcpy(db->database, db->facts.database, sizeof db->database);
    if (make_pool(db, err) < 0 || learn(db, err) < 0) {
        mongo_close(&db->base);
        return -1;
    }
    *ret = &db->base;
    return 0;
}

void mongo_close(struct mf_db *base)
{
    struct mongo_db *db = mongo_db_of(base);
    if (!db) {
        return;
    }
    if (db->pool) {
        mongoc_client_pool_destroy(db->pool);
    }
    mongoc_uri_destroy(db->uri);
    pthread_mutex_destroy(&db->lock);
    free(db->was);
    free(db);
}

int mongo_facts(struct mf_db *base, struct mf_db_facts *ret, struct mf_error *err)
{
    (void)err;
    *ret = mongo_db_of(base)->facts;
    return 0;
}
