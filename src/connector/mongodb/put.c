/*
 * Documents as they are to be.
 *
 * What is wanted is a normal form (bson/shred.h): the map's fields, as rows have them. It is put into the document that is there, so that what the map does not say, and what has the
 * same meaning, keeps its bytes. A document that is so already is not written, so one that was never changed stays as it is to the last byte.
 *
 * Somebody may write the same document between the look and the write, and is overwritten then: on this side nobody but us should write, and the stream tells of who
 * did, since no intent is like that (intent.h).
 */
#include "connector/mongodb/apply.h"

#include "base/fault.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

static int no_memory(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "documents that are written together are too large");
}

int mongo_put_add(struct mongo_applier *a, const struct mf_table *t, const struct mf_value *id,
                  const struct mf_value *document, struct mf_error *err)
{
    if ((a->nputs == MONGO_GROUP || (a->nputs && a->bytes + id->len + document->len > MONGO_GROUP_BYTES)) &&
        mongo_put_group(a, t, err) < 0) {
        return -1;
    }
    struct mongo_put *p = &a->puts[a->nputs];
    *p = (struct mongo_put){.id = *id, .wanted = *document};
    p->id.data = mf_memdup_a(&a->arena, id->data, id->len);
    if (document->kind != MF_NULL) {
        p->wanted.data = mf_memdup_a(&a->arena, document->data, document->len);
    }
    if (!p->id.data || (document->kind != MF_NULL && !p->wanted.data)) {
        return no_memory(err);
    }
    a->bytes += id->len + (document->kind == MF_NULL ? 0 : document->len);
    a->nputs++;
    return 0;
}

/* ---- what is there ---- */

static int found(void *ctx, const bson_t *doc, struct mf_error *err)
{
    struct mongo_applier *a = ctx;
    struct mf_value v = {.kind = MF_BINARY, .data = (const char *)bson_get_data(doc), .len = doc->len}, id;
    v.data = mf_memdup_a(&a->arena, v.data, v.len);
    if (!v.data) {
        return no_memory(err);
    }
    if (mf_bson_id_of(&a->arena, &v, &id, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < a->nputs; i++) {
        if (mf_value_equal(&a->puts[i].id, &id)) {
            a->puts[i].there = v;
        }
    }
    return 0;
}

static int id_selector(struct mongo_applier *a, const struct mf_value *id, bson_t *ret, struct mf_error *err)
{
    struct mf_value doc;
    if (mf_bson_id_document(&a->arena, id, &doc, err) < 0) {
        return -1;
    }
    return bson_init_static(ret, (const uint8_t *)doc.data, doc.len)
               ? 0
               : mf_fail(err, MF_FATAL, "MFBUG", "an id could not be made a document");
}

static int put_ids(struct mongo_applier *a, bson_t *list, struct mf_error *err)
{
    for (size_t i = 0; i < a->nputs; i++) {
        bson_t one;
        bson_iter_t at;
        char key[16];
        const char *name;
        if (id_selector(a, &a->puts[i].id, &one, err) < 0) {
            return -1;
        }
        bson_uint32_to_string((uint32_t)i, &name, key, sizeof key);
        if (!bson_iter_init_find(&at, &one, "_id") || !bson_append_iter(list, name, -1, &at)) {
            return no_memory(err);
        }
    }
    return 0;
}

static int look(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t filter, id, list;
    BSON_APPEND_UTF8(&c, "find", t->name);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "filter", &filter);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &id);
    BSON_APPEND_ARRAY_BEGIN(&id, "$in", &list);
    int rc = put_ids(a, &list, err);
    bson_append_array_end(&id, &list);
    bson_append_document_end(&filter, &id);
    bson_append_document_end(&c, &filter);
    return rc < 0 ? -1 : mongo_each(mongo_db_of(a->base.db), MONGO_PRIMARY, t->schema, &c, found, a, err);
}

/* ---- what it will be ---- */

/* The server puts _id first, whatever was sent; so do we, or what it says was written would not be what was announced. */
static int id_first(struct mongo_applier *a, const struct mf_value *in, struct mf_value *ret, struct mf_error *err)
{
    bson_t doc, out = BSON_INITIALIZER;
    bson_iter_t at, id;
    if (!bson_init_static(&doc, (const uint8_t *)in->data, in->len) || !bson_iter_init_find(&id, &doc, "_id") ||
        !bson_iter_init(&at, &doc) || !bson_iter_next(&at)) {
        return mf_fail(err, MF_ROW, "MFDOC", "a document without _id");
    }
    if (mf_streq(bson_iter_key(&at), "_id")) {
        *ret = *in;
        return 0;
    }
    bool ok = bson_append_iter(&out, NULL, -1, &id) && bson_iter_init(&at, &doc);
    while (ok && bson_iter_next(&at)) {
        ok = mf_streq(bson_iter_key(&at), "_id") || bson_append_iter(&out, NULL, -1, &at);
    }
    *ret = (struct mf_value){.kind = MF_BINARY, .len = out.len};
    ret->data = ok ? mf_memdup_a(&a->arena, bson_get_data(&out), out.len) : NULL;
    bson_destroy(&out);
    return ret->data ? 0 : no_memory(err);
}

static int make(struct mongo_applier *a, const struct mf_table *t, struct mongo_put *p, struct mf_error *err)
{
    const struct mf_shred *map = mongo_db_of(a->base.db)->shred;
    const struct mf_shred_collection *c = map ? mf_shred_find(map, t->schema, t->name) : NULL;
    bool there = p->there.kind != MF_NULL;
    if (p->wanted.kind == MF_NULL) {
        p->nothing = !there;
        return 0;
    }
    struct mf_value merged = p->wanted;
    if ((there && c && mf_shred_merge(c, &a->arena, &p->there, &p->wanted, &merged, err) < 0) ||
        id_first(a, &merged, &p->whole, err) < 0) {
        return -1;
    }
    int64_t most = mongo_db_of(a->base.db)->can.document_max;
    if (most > 0 && p->whole.len > most) {
        return mf_fail(err, MF_ROW, "MFDOC", "the document has %u bytes, more than the deployment takes", p->whole.len);
    }
    p->nothing = there && mf_value_equal(&p->there, &p->whole);
    return 0;
}

static int announce(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err)
{
    struct mongo_intent_hash list[MONGO_GROUP];
    size_t n = 0;
    for (size_t i = 0; i < a->nputs; i++) {
        if (!a->puts[i].nothing) {
            list[n++] = mongo_intent_hash(t->schema, t->name, &a->puts[i].id, &a->puts[i].whole);
        }
    }
    if (!n) {
        return 0;
    }
    if (mongo_intents_write(mongo_db_of(a->base.db), &a->pipe, a->window, a->part, list, n, err) < 0) {
        return -1;
    }
    a->part++;
    return MF_FAULT(err, "mongodb.window_intent");
}

/* ---- and then ---- */

static int add_writes(struct mongo_applier *a, mongoc_bulk_operation_t *bulk, size_t *ret_n, struct mf_error *err)
{
    MONGO_BSON(upsert);
    bson_error_t e = {0};
    BSON_APPEND_BOOL(&upsert, "upsert", true);
    BSON_APPEND_BOOL(&upsert, "validate", false); /* libmongoc refuses empty names; the deployment has such documents */
    for (size_t i = 0; i < a->nputs; i++) {
        struct mongo_put *p = &a->puts[i];
        bson_t selector, doc;
        if (p->nothing) {
            continue;
        }
        if (id_selector(a, &p->id, &selector, err) < 0) {
            return -1;
        }
        /* The server would take it for operators ($set …), not for a document. */
        if (p->wanted.kind != MF_NULL && p->whole.len > 5 && ((const char *)p->whole.data)[5] == '$') {
            return mf_fail(err, MF_ROW, "MFDOC", "the document cannot be sent: its first field begins with $");
        }
        bool ok = p->wanted.kind == MF_NULL
                      ? mongoc_bulk_operation_remove_one_with_opts(bulk, &selector, NULL, &e)
                      : bson_init_static(&doc, (const uint8_t *)p->whole.data, p->whole.len) &&
                            mongoc_bulk_operation_replace_one_with_opts(bulk, &selector, &doc, &upsert, &e);
        if (!ok) {
            return mf_fail(err, MF_ROW, "MFDOC", "the document cannot be sent: %s", e.message);
        }
        ++*ret_n;
    }
    return 0;
}

/* What the server says of one document is that document's fault; but for a value that is taken, which may be free when what comes before it is written. */
static int refused(struct mongo_db *db, const bson_t *reply, const bson_error_t *e, struct mf_error *err)
{
    if (!mongo_has(reply, "writeErrors.0")) {
        return mongo_fail(db, e, reply, err);
    }
    char text[600], code[16];
    int64_t number = mongo_int(reply, "writeErrors.0.code", 0);
    mongo_text(reply, "writeErrors.0.errmsg", text, sizeof text);
    snprintf(code, sizeof code, "%d", (int)number);
    bool of_id = number == 11000 && (strstr(text, "_id_ dup key") || mongo_has(reply, "writeErrors.0.keyPattern._id"));
    enum mf_errclass cls = of_id ? MF_RETRY : number == 11000 ? MF_CONFLICT : MF_ROW;
    switch (number) { /* that are nobody's document's */
    case 13:
    case 8000:
        cls = MF_FATAL;
        break;
    case 11600:
    case 11602:
    case 10107:
    case 13435:
    case 189:
    case 91:
    case 112:
    case 50:
        cls = MF_RETRY;
        break;
    default:
        break;
    }
    return mf_fail(err, cls, code, "%s", text);
}

static int write_all(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err)
{
    struct mongo_db *db = mongo_db_of(a->base.db);
    MONGO_LEASE(db, l);
    MONGO_BSON(opts);
    bson_error_t e = {0};
    bson_t reply;
    size_t n = 0;
    if (mongo_borrow(db, &l.client, err) < 0) {
        return -1;
    }
    MONGO_COLLECTION *c = mongoc_client_get_collection(l.client, t->schema, t->name);
    BSON_APPEND_BOOL(&opts, "ordered", false);
    if (db->can.replica_set || db->can.sharded) {
        bson_t concern;
        BSON_APPEND_DOCUMENT_BEGIN(&opts, "writeConcern", &concern);
        BSON_APPEND_UTF8(&concern, "w", "majority");
        BSON_APPEND_INT32(&concern, "wtimeout", 60000);
        bson_append_document_end(&opts, &concern);
    }
    mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, &opts);
    int rc = add_writes(a, bulk, &n, err);
    if (rc == 0 && n) {
        rc = mongoc_bulk_operation_execute(bulk, &reply, &e) ? 0 : refused(db, &reply, &e, err);
        bson_destroy(&reply);
    }
    mongoc_bulk_operation_destroy(bulk);
    return rc < 0 ? -1 : MF_FAULT(err, "mongodb.window_rows");
}

static int put(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err)
{
    if (look(a, t, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < a->nputs; i++) {
        if (make(a, t, &a->puts[i], err) < 0) {
            return -1;
        }
    }
    return announce(a, t, err) < 0 ? -1 : write_all(a, t, err);
}

int mongo_put_group(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err)
{
    int rc = a->nputs ? put(a, t, err) : 0;
    if (rc < 0) {
        mf_error_prefix(err, "writing documents of %s.%s", t->schema, t->name);
    }
    a->nputs = a->bytes = 0;
    mf_arena_reset(&a->arena);
    return rc;
}
