/* Findings about collections: those that are migrated, and what is there beside them. */
#include "connector/mongodb/check.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 127 /* of a database, a collection: what our books have room for */

static void check_kind(struct mongo_check *k, const struct mongo_found *f, const char *object)
{
    if (f->kind == MONGO_IS_VIEW) {
        mongo_say(k, MF_WARNING, "view", object, "make a view of the tables on the target by hand, or exclude it",
                  "a view has no documents of its own: it is not migrated");
    } else if (f->kind == MONGO_IS_SERIES) {
        mongo_say(k, MF_WARNING, "time-series", object,
                  "copy it by hand, or exclude it; change streams do not tell of time-series collections",
                  "a time-series collection has no stream of changes: it is not migrated");
    }
}

static void check_options(struct mongo_check *k, const struct mongo_found *f, const char *object)
{
    if (f->capped) {
        mongo_say(k, MF_WARNING, "capped", object, "exclude it, or let the target's rows be deleted by age there",
                  "the collection is capped: that the server drops its oldest documents is in no stream, so they stay "
                  "on the target and are "
                  "told as differences");
    }
    if (f->collation) {
        mongo_say(k, MF_WARNING, "collation", object,
                  "see that no two texts that differ are one key to the application",
                  "the collection has a collation: texts that it takes for equal are different keys on the target");
    }
    if (f->without_id_index) {
        mongo_say(k, MF_BLOCKER, "no-id-index", object,
                  "db.getSiblingDB(…).getCollection(…).createIndex({_id: 1}, {unique: true})",
                  "the collection has no index on _id: it cannot be read in ranges, and ids may be there twice");
    }
    if (f->images) {
        mongo_say(
            k, MF_NOTE, "pre-post-images", object, "",
            "pre- and post-images are kept for the collection; they are not needed: a changed document is looked up");
    }
}

/* On a sharded cluster an _id is one on each shard only, unless it is the shard key. */
static int check_shard_key(struct mongo_check *k, const struct mongo_found *f, const char *object, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t filter, reply;
    if (!k->db->can.sharded) {
        return 0;
    }
    BSON_APPEND_UTF8(&c, "find", "collections");
    BSON_APPEND_DOCUMENT_BEGIN(&c, "filter", &filter);
    BSON_APPEND_UTF8(&filter, "_id", object + strlen("collection "));
    BSON_APPEND_BOOL(&filter, "dropped", false);
    bson_append_document_end(&c, &filter);
    BSON_APPEND_INT32(&c, "limit", 1);
    BSON_APPEND_BOOL(&c, "singleBatch", true);
    if (mongo_command(k->db, NULL, MONGO_PRIMARY, "config", &c, &reply, err) < 0) {
        if (err->cls == MF_RETRY) {
            return -1;
        }
        mf_error_clear(err); /* a right that we lack */
        return 0;
    }
    if (mongo_has(&reply, "cursor.firstBatch.0.key") && !mongo_has(&reply, "cursor.firstBatch.0.key._id")) {
        mongo_say(k, MF_WARNING, "shard-key", object,
                  "see that the application makes ids that are unique (ObjectIds are)",
                  "%s is sharded by something else than _id: two shards may have documents with one _id, which are one "
                  "row on the target",
                  f->name);
    }
    bson_destroy(&reply);
    return 0;
}

static int check_one(void *ctx, const struct mongo_found *f, struct mf_error *err)
{
    struct mongo_check *k = ctx;
    char object[2 * MONGO_NAME + 16];
    int64_t rows = -1, bytes = 0;
    snprintf(object, sizeof object, "collection %s.%s", f->database, f->name);
    check_kind(k, f, object);
    if (f->kind != MONGO_IS_TABLE) {
        return 0;
    }
    if (strlen(f->database) > NAME_MAX_BYTES || strlen(f->name) > NAME_MAX_BYTES) {
        mongo_say(k, MF_BLOCKER, "name", object, "rename it, or exclude it", "its name has more than %d bytes",
                  NAME_MAX_BYTES);
    }
    check_options(k, f, object);
    if (check_shard_key(k, f, object, err) < 0 || mongo_figures(k->db, f->database, f->name, &rows, &bytes, err) < 0) {
        return -1;
    }
    if (rows == 0) {
        mongo_say(k, MF_NOTE, "empty", object, "",
                  "the collection has no documents: nothing tells what they would look like");
    }
    k->collections++;
    k->bytes += bytes;
    return 0;
}

int mongo_check_collections(struct mongo_check *k, struct mf_error *err)
{
    if (mongo_collections(k->db, k->filter, check_one, k, err) < 0) {
        return -1;
    }
    if (k->collections == 0) {
        mongo_say(k, MF_WARNING, "no-collections", k->db->database[0] ? k->db->database : k->db->facts.host,
                  "name the database in the URL (mongodb://…/shop), or collections in tables.include (shop.*)",
                  "there is no collection to migrate");
    }
    return 0;
}
