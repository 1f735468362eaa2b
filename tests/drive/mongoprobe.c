/*
 * Whether a server is a replica set to libmongoc: writes and a transaction by one client of a pool, what a stream of the deployment tells of them by
 * another, one line an event; then the stream again from the token of the third.
 */
#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>

#define EVENTS 6

static void must(bool ok, const char *what, const bson_error_t *e)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, e->message);
        exit(1);
    }
}

static void write_something(mongoc_client_t *client)
{
    bson_error_t e = {0};
    mongoc_collection_t *c = mongoc_client_get_collection(client, "shop", "people");
    bson_t *docs[] = {BCON_NEW("_id", BCON_INT32(1)), BCON_NEW("_id", BCON_INT32(2)), BCON_NEW("_id", BCON_INT32(10)),
                      BCON_NEW("_id", BCON_INT32(11))};
    bson_t *set = BCON_NEW("$set", "{", "x", BCON_INT32(5), "}"), in = BSON_INITIALIZER;
    must(mongoc_collection_insert_one(c, docs[0], NULL, NULL, &e), "insert", &e);
    must(mongoc_collection_insert_one(c, docs[1], NULL, NULL, &e), "insert", &e);
    must(mongoc_collection_update_one(c, docs[0], set, NULL, NULL, &e), "update", &e);
    mongoc_client_session_t *session = mongoc_client_start_session(client, NULL, &e);
    must(session, "session", &e);
    must(mongoc_client_session_start_transaction(session, NULL, &e), "start", &e);
    must(mongoc_client_session_append(session, &in, &e), "append", &e);
    must(mongoc_collection_insert_one(c, docs[2], &in, NULL, &e), "insert", &e);
    must(mongoc_collection_insert_one(c, docs[3], &in, NULL, &e), "insert", &e);
    must(mongoc_client_session_commit_transaction(session, NULL, &e), "commit", &e);
    must(mongoc_collection_delete_one(c, docs[1], NULL, NULL, &e), "delete", &e);
    mongoc_client_session_destroy(session);
    mongoc_collection_destroy(c);
    for (size_t i = 0; i < 4; i++) {
        bson_destroy(docs[i]);
    }
    bson_destroy(set);
    bson_destroy(&in);
}

static void tell(mongoc_change_stream_t *stream, int from, int to, bson_t *ret_third)
{
    const bson_t *event, *reply;
    bson_error_t e = {0};
    bson_iter_t at, id;
    for (int n = from, idle = 0; n < to && idle < 100;) {
        if (!mongoc_change_stream_next(stream, &event)) {
            must(!mongoc_change_stream_error_document(stream, &e, &reply), "stream", &e);
            idle++;
            continue;
        }
        bson_iter_init_find(&at, event, "operationType");
        const char *what = bson_iter_utf8(&at, NULL);
        bson_iter_init(&at, event);
        bson_iter_find_descendant(&at, "documentKey._id", &id);
        printf("%s %d\n", what, bson_iter_int32(&id));
        if (++n == 3 && ret_third) {
            bson_copy_to(mongoc_change_stream_get_resume_token(stream), ret_third);
        }
    }
}

int main(int argc, char **argv)
{
    mongoc_init();
    bson_error_t e = {0};
    bson_t none = BSON_INITIALIZER, token, again = BSON_INITIALIZER;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(argc > 1 ? argv[1] : "", &e);
    must(uri, "uri", &e);
    mongoc_client_pool_t *pool = mongoc_client_pool_new(uri);
    mongoc_client_t *reader = mongoc_client_pool_pop(pool), *writer = mongoc_client_pool_pop(pool);
    bson_t *options = BCON_NEW("maxAwaitTimeMS", BCON_INT32(100), "fullDocument", "updateLookup");
    mongoc_change_stream_t *stream = mongoc_client_watch(reader, &none, options);
    tell(stream, 0, 0, NULL);
    write_something(writer);
    tell(stream, 0, EVENTS, &token);
    mongoc_change_stream_destroy(stream);
    puts("resumed");
    bson_concat(&again, options);
    bson_append_document(&again, "resumeAfter", -1, &token);
    stream = mongoc_client_watch(reader, &none, &again);
    tell(stream, 3, EVENTS, NULL);
    mongoc_change_stream_destroy(stream);
    mongoc_client_pool_push(pool, reader);
    mongoc_client_pool_push(pool, writer);
    mongoc_client_pool_destroy(pool);
    mongoc_uri_destroy(uri);
    bson_destroy(options);
    bson_destroy(&token);
    bson_destroy(&again);
    mongoc_cleanup();
    return 0;
}
