/* Change events and oplog entries, in the shapes that MongoDB's manual and its servers' replication give them. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/mongodb/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT                                                                                                             \
    "'clusterTime': {'$timestamp': {'t': 1700000000, 'i': 7}}, 'wallTime': {'$date': {'$numberLong': "                 \
    "'1700000000123'}}"
#define TOKEN "'_id': {'_data': '826553F1000000000722B022C0100296E5A1004'}"
#define NS    "'ns': {'db': 'shop', 'coll': 'users'}"
#define KEY   "'documentKey': {'_id': {'$oid': '5f3e8a2b1c9d440000a1b2c3'}}"
#define ID    "{'$oid': '5f3e8a2b1c9d440000a1b2c3'}"
#define TIME  ((uint64_t)1700000000 << 32 | 7)

/* JSON with ' for ". */
static bson_t *json(const char *text)
{
    bson_error_t e;
    char *s = strdup(text);
    for (char *p = s; *p; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    bson_t *b = bson_new_from_json((const uint8_t *)s, -1, &e);
    if (!b) {
        fail_msg("%s: %s", e.message, s);
    }
    free(s);
    return b;
}

static bool same(const struct mf_value *v, const char *text)
{
    bson_t *b = json(text);
    bool ok = v->kind == MF_BINARY && v->len == b->len && memcmp(v->data, bson_get_data(b), b->len) == 0;
    bson_destroy(b);
    return ok;
}

/* The event is a view of *ret_doc. */
static struct mongo_event change(const char *text, bson_t **ret_doc)
{
    struct mf_error err = {0};
    struct mongo_event e;
    *ret_doc = json(text);
    assert_mf_ok(mongo_change_read(*ret_doc, &e, &err), &err);
    return e;
}

static void changes_of_documents(void **state)
{
    (void)state;
    bson_t *doc;
    struct mongo_event e = change("{" TOKEN ", 'operationType': 'insert', " AT ", " NS ", " KEY
                                  ", 'fullDocument': {'_id': " ID ", 'name': 'Ann'}}",
                                  &doc);
    assert_int_equal(e.what, MONGO_INSERT);
    assert_true(e.time == TIME && e.wall_us == INT64_C(1700000000123000));
    assert_string_equal(e.database, "shop");
    assert_string_equal(e.collection, "users");
    assert_true(same(&e.key, "{'_id': " ID "}"));
    assert_true(same(&e.document, "{'_id': " ID ", 'name': 'Ann'}"));
    assert_true(!e.looked_up && !e.in_transaction && e.of == 0);
    assert_true(e.token.kind == MF_TEXT && mongo_token_time(&e.token) == ((uint64_t)0x6553F100 << 32 | 7));
    bson_destroy(doc);

    e = change("{" TOKEN ", 'operationType': 'update', " AT ", " NS ", " KEY
               ", 'updateDescription': {'updatedFields': {'a': 1},"
               " 'removedFields': ['b'], 'truncatedArrays': [{'field': 'c', 'newSize': 2}], 'disambiguatedPaths': {}}, "
               "'fullDocument': {'_id': 1}}",
               &doc);
    assert_int_equal(e.what, MONGO_UPDATE);
    assert_true(e.looked_up && same(&e.document, "{'_id': 1}"));
    bson_destroy(doc);

    e = change("{" TOKEN ", 'operationType': 'update', " AT ", " NS ", " KEY
               ", 'updateDescription': {}, 'fullDocument': null}",
               &doc);
    assert_true(e.what == MONGO_UPDATE && e.looked_up && e.document.kind == MF_NULL);
    bson_destroy(doc);

    e = change("{" TOKEN ", 'operationType': 'replace', " AT ", " NS ", " KEY ", 'fullDocument': {'_id': 2}}", &doc);
    assert_true(e.what == MONGO_REPLACE && !e.looked_up && same(&e.document, "{'_id': 2}"));
    bson_destroy(doc);

    e = change("{" TOKEN ", 'operationType': 'delete', " AT ", " NS
               ", 'documentKey': {'region': 'eu', '_id': 5}, 'collectionUUID': {'$uuid': "
               "'8a4e4b1d-e032-55d4-00cd-8990aabbccdd'}}",
               &doc);
    assert_true(e.what == MONGO_DELETE && same(&e.key, "{'region': 'eu', '_id': 5}") && e.document.kind == MF_NULL);
    bson_destroy(doc);
}

static void transactions_say_so(void **state)
{
    (void)state;
    bson_t *doc;
    struct mongo_event e = change("{" TOKEN ", 'operationType': 'insert', " AT ", " NS ", " KEY
                                  ", 'fullDocument': {'_id': 1}, 'txnNumber': {'$numberLong': '3'},"
                                  " 'lsid': {'id': {'$uuid': '8a4e4b1d-e032-55d4-00cd-8990aabbccdd'}, 'uid': "
                                  "{'$binary': {'base64': 'AAAA', 'subType': '00'}}}}",
                                  &doc);
    assert_true(e.in_transaction);
    bson_destroy(doc);
}

static void what_becomes_of_collections(void **state)
{
    (void)state;
    bson_t *doc;
    struct mongo_event e = change("{" TOKEN ", 'operationType': 'drop', " AT ", " NS "}", &doc);
    assert_int_equal(e.what, MONGO_DROP);
    bson_destroy(doc);
    e = change("{" TOKEN ", 'operationType': 'rename', " AT ", " NS ", 'to': {'db': 'shop', 'coll': 'people'},"
               " 'operationDescription': {'to': {'db': 'shop', 'coll': 'people'}}}",
               &doc);
    assert_int_equal(e.what, MONGO_RENAME);
    assert_string_equal(e.to_database, "shop");
    assert_string_equal(e.to_collection, "people");
    bson_destroy(doc);
    e = change("{" TOKEN ", 'operationType': 'dropDatabase', " AT ", 'ns': {'db': 'shop'}}", &doc);
    assert_int_equal(e.what, MONGO_DROP_DATABASE);
    assert_string_equal(e.database, "shop");
    bson_destroy(doc);
    e = change("{" TOKEN ", 'operationType': 'invalidate', " AT "}", &doc);
    assert_int_equal(e.what, MONGO_INVALIDATE);
    bson_destroy(doc);
    static const char *const nothing[] = {"create",           "createIndexes",   "dropIndexes",
                                          "modify",           "shardCollection", "refineCollectionShardKey",
                                          "reshardCollection"};
    for (size_t i = 0; i < MF_ARRAY_LEN(nothing); i++) {
        char text[600];
        snprintf(text, sizeof text,
                 "{" TOKEN ", 'operationType': '%s', " AT ", " NS
                 ", 'operationDescription': {'indexes': [{'v': 2, 'key': {'a': 1}, 'name': 'a_1'}]}}",
                 nothing[i]);
        e = change(text, &doc);
        assert_int_equal(e.what, MONGO_NOTHING);
        bson_destroy(doc);
    }
}

static void refused(const char *text, const char *why)
{
    struct mf_error err = {0};
    struct mongo_event e = {.time = 99};
    bson_t *doc = json(text);
    assert_mf_fails(mongo_change_read(doc, &e, &err), &err, MF_FATAL, why);
    assert_string_equal(err.code, "MFEVENT");
    assert_true(e.time == 99);
    bson_destroy(doc);
}

static void events_that_cannot_be_understood(void **state)
{
    (void)state;
    refused("{}", "operationType");
    refused("{'operationType': 5}", "operationType");
    refused("{'operationType': 'shrink', " NS "}", "shrink");
    refused("{'operationType': 'insert', " NS ", " KEY "}", "fullDocument");
    refused("{'operationType': 'insert', " NS ", " KEY ", 'fullDocument': null}", "fullDocument");
    refused("{'operationType': 'insert', " NS ", " KEY ", 'fullDocument': 7}", "fullDocument");
    refused("{'operationType': 'insert', " NS ", 'fullDocument': {}}", "documentKey");
    refused("{'operationType': 'insert', " NS ", 'documentKey': [1], 'fullDocument': {}}", "documentKey");
    refused("{'operationType': 'insert', " KEY ", 'fullDocument': {}}", "ns");
    refused("{'operationType': 'drop', 'ns': {'db': 'shop'}}", "ns");
    refused("{'operationType': 'drop', 'ns': {'db': 'shop', 'coll': 9}}", "ns");
    refused("{'operationType': 'drop', 'ns': 'shop.users'}", "ns");
    refused("{'operationType': 'rename', " NS "}", "to");
    refused("{'operationType': 'rename', " NS ", 'to': {'db': 'x'}}", "to");
    refused("{'operationType': 'update', " NS ", " KEY "}", "fullDocument"); /* nobody looked it up */
    refused("{'operationType': 'delete', " NS ", " KEY ", 'clusterTime': {'$date': {'$numberLong': '5'}}}",
            "clusterTime");
    refused("{'_id': 'x', 'operationType': 'delete', " NS ", " KEY "}", "_id");
    refused("{'operationType': 'delete', " NS ", " KEY ", 'splitEvent': {'fragment': 3, 'of': 2}}", "splitEvent");
    refused("{'operationType': 'delete', " NS ", " KEY ", 'splitEvent': 1}", "splitEvent");
}

static void tokens(void **state)
{
    (void)state;
    struct mf_value v = {.kind = MF_TEXT, .data = "nx:5", .len = 4};
    assert_true(mongo_token_time(&v) == 0);
    v.data = "826553F1000000000Z22B0";
    v.len = 22;
    assert_true(mongo_token_time(&v) == 0);
    v.data = "8265000000000000012B";
    v.len = 20;
    assert_true(mongo_token_time(&v) == ((uint64_t)0x65000000 << 32 | 1));
    v.len = 17;
    assert_true(mongo_token_time(&v) == 0);
    bson_t *t = json("{'_data': {'$binary': {'base64': 'AAAA', 'subType': '00'}}}"); /* 3.6 */
    assert_false(mongo_token_text(t, &v));
    bson_destroy(t);
}

/* ---- large events ---- */

static int add(struct mongo_fragments *f, const char *text, const bson_t **ret, struct mf_error *err)
{
    struct mongo_event e;
    bson_t *piece = json(text);
    *ret = NULL;
    assert_mf_ok(mongo_change_read(piece, &e, err), err);
    int rc = mongo_fragment_add(f, piece, &e, ret, err);
    bson_destroy(piece);
    return rc;
}

static void fragments_are_put_together(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct mongo_fragments f = {0};
    struct mongo_event e;
    const bson_t *whole;
    for (int twice = 0; twice < 2; twice++) {
        assert_mf_ok(
            add(&f,
                "{'_id': {'_data': 'A1'}, 'splitEvent': {'fragment': 1, 'of': 3}, 'operationType': 'update', " AT
                ", " NS ", " KEY "}",
                &whole, &err),
            &err);
        assert_null(whole);
        assert_mf_ok(add(&f,
                         "{'_id': {'_data': 'A2'}, 'splitEvent': {'fragment': 2, 'of': 3}, 'updateDescription': "
                         "{'updatedFields': {'a': 1}}}",
                         &whole, &err),
                     &err);
        assert_null(whole);
        assert_mf_ok(
            add(&f,
                "{'_id': {'_data': 'A3'}, 'splitEvent': {'fragment': 3, 'of': 3}, 'fullDocument': {'_id': 4, 'a': 1}}",
                &whole, &err),
            &err);
        assert_non_null(whole);
        assert_mf_ok(mongo_change_read(whole, &e, &err), &err);
        assert_true(e.what == MONGO_UPDATE && e.of == 0 && e.time == TIME && same(&e.document, "{'_id': 4, 'a': 1}"));
        assert_memory_equal(e.token.data, "A3", 2); /* what comes after it is the next event */
    }
    assert_mf_fails(
        add(&f, "{'_id': {'_data': 'A2'}, 'splitEvent': {'fragment': 2, 'of': 3}, 'fullDocument': {}}", &whole, &err),
        &err, MF_RETRY, "fragment 2");
    assert_mf_ok(add(&f, "{'_id': {'_data': 'A1'}, 'splitEvent': {'fragment': 1, 'of': 3}, 'operationType': 'update'}",
                     &whole, &err),
                 &err);
    assert_mf_fails(
        add(&f, "{'_id': {'_data': 'A3'}, 'splitEvent': {'fragment': 3, 'of': 3}, 'fullDocument': {}}", &whole, &err),
        &err, MF_RETRY, "fragment 2 was due");
    assert_mf_ok(add(&f, "{'_id': {'_data': 'B1'}, 'splitEvent': {'fragment': 1, 'of': 2}, 'operationType': 'update'}",
                     &whole, &err),
                 &err);
    assert_mf_fails(
        add(&f, "{'_id': {'_data': 'B2'}, 'splitEvent': {'fragment': 2, 'of': 3}, 'fullDocument': {}}", &whole, &err),
        &err, MF_RETRY, "fragment 2");
    mongo_fragments_end(&f);
    mongo_fragments_end(&f);
}

/* ---- the oplog ---- */

#define TS                                                                                                             \
    "'ts': {'$timestamp': {'t': 1700000000, 'i': 7}}, 't': {'$numberLong': '1'}, 'v': 2, 'wall': {'$date': "           \
    "{'$numberLong': '1700000000123'}}"

/* Operations as text: "insert shop.users {…}" one after the other. */
static int note(void *ctx, const struct mongo_event *e, struct mf_error *err)
{
    (void)err;
    static const char *const words[] = {"nothing", "insert", "update",       "replace",   "delete",
                                        "drop",    "rename", "dropDatabase", "invalidate"};
    struct mf_buf *b = ctx;
    mf_buf_printf(b, "%s%s %s.%s", b->len ? "; " : "", words[e->what], e->database, e->collection);
    if (e->to_database[0]) {
        mf_buf_printf(b, " to %s.%s", e->to_database, e->to_collection);
    }
    const struct mf_value *parts[] = {&e->key, &e->document};
    for (int i = 0; i < 2; i++) {
        bson_t view;
        if (parts[i]->kind == MF_BINARY && bson_init_static(&view, (const uint8_t *)parts[i]->data, parts[i]->len)) {
            char *s = bson_as_relaxed_extended_json(&view, NULL);
            mf_buf_printf(b, " %s", s);
            bson_free(s);
        }
    }
    mf_buf_puts(b, e->in_transaction ? " txn" : "");
    assert_true(e->time == TIME && e->wall_us == INT64_C(1700000000123000));
    return 0;
}

static void said(const char *text, const char *ops)
{
    struct mf_error err = {0};
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 16};
    bson_t *doc = json(text);
    assert_mf_ok(mongo_entry_each(doc, note, &b, &err), &err);
    bson_destroy(doc);
    assert_string_equal(mf_buf_str(&b), ops);
}

static void operations(void **state)
{
    (void)state;
    said("{" TS ", 'op': 'i', 'ns': 'shop.users', 'ui': {'$uuid': '8a4e4b1d-e032-55d4-00cd-8990aabbccdd'}, 'o': "
         "{'_id': 1, 'a': 'x'}}",
         "insert shop.users { \"_id\" : 1, \"a\" : \"x\" } { \"_id\" : 1, \"a\" : \"x\" }");
    said("{" TS ", 'op': 'u', 'ns': 'shop.users', 'o': {'$v': 1, '$set': {'a': 2}}, 'o2': {'_id': 1}}",
         "update shop.users { \"_id\" : 1 }");
    said("{" TS ", 'op': 'u', 'ns': 'shop.users', 'o': {'$set': {'a': 2}}, 'o2': {'_id': 1}}",
         "update shop.users { \"_id\" : 1 }");
    said("{" TS ", 'op': 'u', 'ns': 'shop.users', 'o': {'$v': 2, 'diff': {'u': {'a': 2}, 'sb': {'d': {'c': false}}}}, "
         "'o2': {'_id': 1}}",
         "update shop.users { \"_id\" : 1 }");
    said("{" TS ", 'op': 'u', 'ns': 'shop.users', 'o': {'_id': 1, 'z': 1}, 'o2': {'_id': 1}}",
         "replace shop.users { \"_id\" : 1 } { \"_id\" : 1, \"z\" : 1 }");
    said("{" TS ", 'op': 'u', 'ns': 'shop.users', 'o': {'$v': 1, '$set': {'_id': 1, 'z': 1}}, 'o2': {'_id': 1}}",
         "replace shop.users { \"_id\" : 1 } { \"_id\" : 1, \"z\" : 1 }");
    said("{" TS ", 'op': 'd', 'ns': 'shop.users', 'o': {'_id': 1}}", "delete shop.users { \"_id\" : 1 }");
    said("{" TS ", 'op': 'd', 'ns': 'shop.a.b.c', 'o': {'_id': 1}}", "delete shop.a.b.c { \"_id\" : 1 }");
    said("{" TS ", 'op': 'n', 'ns': '', 'o': {'msg': 'periodic noop'}}", "");
    said("{" TS ", 'op': 'n', 'ns': 'shop.users', 'o': {'msg': 'x'}, 'o2': 5}", "");
}

static void commands(void **state)
{
    (void)state;
    said("{" TS ", 'op': 'c', 'ns': 'shop.$cmd', 'o': {'create': 'users', 'idIndex': {'v': 2}}}", "");
    said("{" TS ", 'op': 'c', 'ns': 'shop.$cmd', 'o': {'collMod': 'users'}}", "");
    said("{" TS
         ", 'op': 'c', 'ns': 'shop.$cmd', 'o': {'createIndexes': 'users', 'v': 2, 'key': {'a': 1}, 'name': 'a_1'}}",
         "");
    said("{" TS ", 'op': 'c', 'ns': 'shop.$cmd', 'o': {'drop': 'users'}, 'o2': {'numRecords': 7}}", "drop shop.users");
    said("{" TS ", 'op': 'c', 'ns': 'shop.$cmd', 'o': {'dropDatabase': 1}}", "dropDatabase shop.");
    said("{" TS ", 'op': 'c', 'ns': 'shop.$cmd', 'o': {'renameCollection': 'shop.users', 'to': 'other.people', "
         "'stayTemp': false}}",
         "rename shop.users to other.people");
    said("{" TS ", 'op': 'c', 'ns': 'shop.$cmd', 'o': {'renameCollection': 'shop.tmp', 'to': 'shop.users', "
         "'dropTarget': {'$uuid': '8a4e4b1d-e032-55d4-00cd-8990aabbccdd'}}}",
         "drop shop.users; rename shop.tmp to shop.users");
    said("{" TS ", 'op': 'c', 'ns': 'shop.$cmd', 'o': {'renameCollection': 'shop.tmp', 'to': 'shop.users', "
         "'dropTarget': true}}",
         "drop shop.users; rename shop.tmp to shop.users");
    said("{" TS ", 'op': 'c', 'ns': 'shop.$cmd', 'o': {'renameCollection': 'shop.tmp', 'to': 'shop.users', "
         "'dropTarget': false}}",
         "rename shop.tmp to shop.users");
    said("{" TS ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'abortTransaction': 1}, 'txnNumber': {'$numberLong': '1'}}",
         "");
}

#define SESSION "'lsid': {'id': {'$uuid': '8a4e4b1d-e032-55d4-00cd-8990aabbccdd'}}, 'txnNumber': {'$numberLong': '4'}"
#define NONE    "'prevOpTime': {'ts': {'$timestamp': {'t': 0, 'i': 0}}, 't': {'$numberLong': '-1'}}"
#define BEFORE  "'prevOpTime': {'ts': {'$timestamp': {'t': 1699999999, 'i': 2}}, 't': {'$numberLong': '1'}}"
#define OP      "{'op': 'i', 'ns': 'shop.users', 'o': {'_id': 1}}"

static void transactions(void **state)
{
    (void)state;
    said("{" TS ", " SESSION ", " NONE ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [" OP
         ", {'op': 'd', 'ns': 'shop.orders', 'o': {'_id': 9}}]}}",
         "insert shop.users { \"_id\" : 1 } { \"_id\" : 1 } txn; delete shop.orders { \"_id\" : 9 } txn");
    said("{" TS
         ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [{'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [" OP
         "]}},"
         " {'op': 'c', 'ns': 'shop.$cmd', 'o': {'drop': 'users'}}]}}",
         "insert shop.users { \"_id\" : 1 } { \"_id\" : 1 }; drop shop.users");
}

static struct mongo_entry entry(const char *text)
{
    struct mf_error err = {0};
    struct mongo_entry e;
    bson_t *doc = json(text);
    assert_mf_ok(mongo_entry_read(doc, &e, &err), &err);
    bson_destroy(doc);
    assert_true(e.time == TIME);
    return e;
}

static void chains(void **state)
{
    (void)state;
    uint64_t before = (uint64_t)1699999999 << 32 | 2;
    struct mongo_entry e =
        entry("{" TS ", " SESSION ", " NONE ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [" OP "]}}");
    assert_true(e.kind == MONGO_ENTRY_OPS && e.before == 0);
    e = entry("{" TS ", " SESSION ", " NONE ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [" OP
              "], 'partialTxn': true}}");
    assert_true(e.kind == MONGO_ENTRY_PART && e.before == 0);
    e = entry("{" TS ", " SESSION ", " BEFORE ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [" OP
              "], 'partialTxn': true}}");
    assert_true(e.kind == MONGO_ENTRY_PART && e.before == before);
    e = entry("{" TS ", " SESSION ", " BEFORE ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [" OP
              "], 'count': {'$numberLong': '3'}}}");
    assert_true(e.kind == MONGO_ENTRY_OPS && e.before == before);
    e = entry("{" TS ", " SESSION ", " NONE ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [" OP
              "], 'prepare': true}}");
    assert_true(e.kind == MONGO_ENTRY_PART);
    e = entry("{" TS ", " SESSION ", " BEFORE ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'commitTransaction': 1, "
              "'commitTimestamp': {'$timestamp': {'t': 1700000000, 'i': 5}}}}");
    assert_true(e.kind == MONGO_ENTRY_COMMIT && e.before == before);
    /* Statements that can be retried are chained for another reason. */
    e = entry("{" TS ", " SESSION ", " BEFORE ", 'stmtId': 3, 'op': 'i', 'ns': 'shop.users', 'o': {'_id': 1}}");
    assert_true(e.kind == MONGO_ENTRY_OPS && e.before == 0);
    e = entry("{" TS ", " SESSION ", " BEFORE
              ", 'multiOpType': 1, 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [" OP "]}}");
    assert_true(e.kind == MONGO_ENTRY_OPS && e.before == 0);
}

static void bad_entry(const char *text, const char *why)
{
    struct mf_error err = {0};
    struct mongo_entry e;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 16};
    bson_t *doc = json(text);
    if (mongo_entry_read(doc, &e, &err) == 0) {
        assert_mf_fails(mongo_entry_each(doc, note, &b, &err), &err, MF_FATAL, why);
    }
    assert_non_null(strstr(err.text, why));
    assert_string_equal(err.code, "MFEVENT");
    bson_destroy(doc);
}

static void entries_that_cannot_be_understood(void **state)
{
    (void)state;
    bad_entry("{" TS "}", "\"op\"");
    bad_entry("{'op': 'i', 'ns': 'a.b', 'o': {'_id': 1}}", "\"ts\"");
    bad_entry("{'ts': 5, 'op': 'i', 'ns': 'a.b', 'o': {'_id': 1}}", "\"ts\"");
    bad_entry("{" TS ", 'op': 'q', 'ns': 'a.b', 'o': {}}", "\"op\"");
    bad_entry("{" TS ", 'op': 'i', 'ns': 'a.b'}", "\"o\"");
    bad_entry("{" TS ", 'op': 'i', 'ns': 'a.b', 'o': 5}", "\"o\"");
    bad_entry("{" TS ", 'op': 'i', 'ns': 'ab', 'o': {'_id': 1}}", "\"ns\"");
    bad_entry("{" TS ", 'op': 'i', 'ns': '.b', 'o': {'_id': 1}}", "\"ns\"");
    bad_entry("{" TS ", 'op': 'u', 'ns': 'a.b', 'o': {'$set': {}}}", "\"o2\"");
    bad_entry("{" TS ", 'op': 'c', 'ns': 'a.$cmd', 'o': {'drop': 5}}", "\"drop\"");
    bad_entry("{" TS ", 'op': 'c', 'ns': 'a.$cmd', 'o': {'renameCollection': 'a.b'}}", "\"to\"");
    bad_entry("{" TS ", 'op': 'c', 'ns': 'a.$cmd', 'o': {'renameCollection': 7, 'to': 'a.c'}}", "\"renameCollection\"");
    bad_entry("{" TS ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': 5}}", "\"applyOps\"");
    bad_entry("{" TS ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [5]}}", "\"applyOps\"");
    bad_entry("{" TS ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [{'op': 'i'}]}}", "\"o\"");
    bad_entry("{" TS ", " SESSION ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'commitTransaction': 1}}", "\"prevOpTime\"");
    bad_entry("{" TS ", " SESSION ", 'prevOpTime': {'ts': {'$timestamp': {'t': 1800000000, 'i': 1}}}, 'op': 'c', 'ns': "
              "'admin.$cmd', 'o': {'applyOps': [" OP "]}}",
              "\"prevOpTime\"");
    MF_CLEANUP_BUF struct mf_buf deep = {.max = 1 << 16};
    mf_buf_puts(&deep, "{" TS ", 'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [");
    for (int i = 0; i < MONGO_NESTED + 1; i++) {
        mf_buf_puts(&deep, "{'op': 'c', 'ns': 'admin.$cmd', 'o': {'applyOps': [");
    }
    for (int i = 0; i < MONGO_NESTED + 1; i++) {
        mf_buf_puts(&deep, "]}}");
    }
    mf_buf_puts(&deep, "]}}");
    bad_entry(mf_buf_str(&deep), "\"applyOps\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_of_documents),
        cmocka_unit_test(transactions_say_so),
        cmocka_unit_test(what_becomes_of_collections),
        cmocka_unit_test(events_that_cannot_be_understood),
        cmocka_unit_test(tokens),
        cmocka_unit_test(fragments_are_put_together),
        cmocka_unit_test(operations),
        cmocka_unit_test(commands),
        cmocka_unit_test(transactions),
        cmocka_unit_test(chains),
        cmocka_unit_test(entries_that_cannot_be_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
