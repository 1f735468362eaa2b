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

struct looked {
    struct mongo_applier *a;
    struct mongo_put **list;
    size_t n;
};

static int found(void *ctx, const bson_t *doc, struct mf_error *err)
{
    struct looked *l = ctx;
    struct mf_value v = {.kind = MF_BINARY, .data = (const char *)bson_get_data(doc), .len = doc->len}, id;
    v.data = mf_memdup_a(&l->a->arena, v.data, v.len);
    if (!v.data) {
        return no_memory(err);
    }
    if (mf_bson_id_of(&l->a->arena, &v, &id, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (mf_value_equal(&l->list[i]->id, &id)) {
            l->list[i]->there = v;
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

static int put_ids(const struct looked *l, bson_t *list, struct mf_error *err)
{
    for (size_t i = 0; i < l->n; i++) {
        bson_t one;
        bson_iter_t at;
        char key[16];
        const char *name;
        if (id_selector(l->a, &l->list[i]->id, &one, err) < 0) {
            return -1;
        }
        bson_uint32_to_string((uint32_t)i, &name, key, sizeof key);
        if (!bson_iter_init_find(&at, &one, "_id") || !bson_append_iter(list, name, -1, &at)) {
            return no_memory(err);
        }
    }
    return 0;
}

/* What a majority has: a document that is "so already" is not written, and may not be one that a change of primaries takes back. */
static int look(struct looked *l, const char *schema, const char *name, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t filter, id, list, part;
    struct mongo_db *db = mongo_db_of(l->a->base.db);
    BSON_APPEND_UTF8(&c, "find", name);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "filter", &filter);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &id);
    BSON_APPEND_ARRAY_BEGIN(&id, "$in", &list);
    int rc = put_ids(l, &list, err);
    bool whole = false; /* of what only goes nothing but that it is there means anything, and it may be large */
    for (size_t i = 0; i < l->n; i++) {
        whole |= l->list[i]->wanted.kind != MF_NULL;
    }
    bson_append_array_end(&id, &list);
    bson_append_document_end(&filter, &id);
    bson_append_document_end(&c, &filter);
    if (!whole) {
        BSON_APPEND_DOCUMENT_BEGIN(&c, "projection", &part);
        BSON_APPEND_INT32(&part, "_id", 1);
        bson_append_document_end(&c, &part);
    }
    mongo_ask_majority(db, &c);
    return rc < 0 ? -1 : mongo_each(db, MONGO_PRIMARY, schema, &c, found, l, err);
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

static int make(struct mongo_applier *a, const char *schema, const char *name, struct mongo_put *p,
                struct mf_error *err)
{
    const struct mf_shred *map = mongo_db_of(a->base.db)->shred;
    const struct mf_shred_collection *c = map ? mf_shred_find(map, schema, name) : NULL;
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

int mongo_put_prepare(struct mongo_applier *a, const char *schema, const char *name, struct mongo_put **list, size_t n,
                      struct mf_error *err)
{
    struct looked l = {a, list, n};
    if (look(&l, schema, name, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (make(a, schema, name, list[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

static const struct mf_value *comes_to(const struct mongo_put *p, enum mongo_write what)
{
    static const struct mf_value nothing = {.kind = MF_NULL};
    return what == MONGO_WRITE_GONE || (what == MONGO_WRITE_WHOLE && p->wanted.kind == MF_NULL) ? &nothing : &p->whole;
}

int mongo_put_announce(struct mongo_applier *a, const char *schema, const char *name, struct mongo_put **list, size_t n,
                       enum mongo_write what, struct mf_error *err)
{
    struct mongo_intent_hash hashes[MONGO_GROUP];
    if (!n) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        hashes[i] = mongo_intent_hash(schema, name, &list[i]->id, comes_to(list[i], what));
    }
    return mongo_intents_write(mongo_db_of(a->base.db), &a->pipe, a->window, a->part++, hashes, n, err);
}

/* ---- and then ---- */

static int add_write(struct mongo_applier *a, mongoc_bulk_operation_t *bulk, const struct mongo_put *p,
                     enum mongo_write what, struct mf_error *err)
{
    MONGO_BSON(upsert);
    bson_error_t e = {0};
    bson_t selector, doc;
    const struct mf_value *to = comes_to(p, what);
    BSON_APPEND_BOOL(&upsert, "upsert", true);
    BSON_APPEND_BOOL(&upsert, "validate", false); /* libmongoc refuses empty names; the deployment has such documents */
    if (id_selector(a, &p->id, &selector, err) < 0) {
        return -1;
    }
    /* The server would take it for operators ($set …), not for a document. */
    if (to->kind != MF_NULL && to->len > 5 && ((const char *)to->data)[5] == '$') {
        return mf_fail(err, MF_ROW, "MFDOC", "the document cannot be sent: its first field begins with $");
    }
    bool ok = to->kind == MF_NULL ? mongoc_bulk_operation_remove_one_with_opts(bulk, &selector, NULL, &e)
                                  : bson_init_static(&doc, (const uint8_t *)to->data, to->len) &&
                                        mongoc_bulk_operation_replace_one_with_opts(bulk, &selector, &doc, &upsert, &e);
    return ok ? 0 : mf_fail(err, MF_ROW, "MFDOC", "the document cannot be sent: %s", e.message);
}

#define DUPLICATE 11000

/* What the server says of one document is that document's fault. */
static int refused(int64_t number, bool of_id, const char *text, struct mf_error *err)
{
    char code[16];
    enum mf_errclass cls = of_id ? MF_RETRY : number == DUPLICATE ? MF_CONFLICT : MF_ROW;
    snprintf(code, sizeof code, "%d", (int)number);
    if (number == 13 || number == 8000) { /* nobody's document's */
        cls = MF_FATAL;
    } else if (mongo_passes(number)) {
        cls = MF_RETRY;
    }
    return mf_fail(err, cls, code, "%s", text);
}

/* One of writeErrors: a value that is taken is the document's matter, anything else ends the group. */
static int take_refusal(struct mongo_applier *a, bool settling, const bson_t *one, struct mongo_put **list, size_t n,
                        struct mf_error *err)
{
    char text[600];
    int64_t number = mongo_int(one, "code", 0), at = mongo_int(one, "index", -1);
    mongo_text(one, "errmsg", text, sizeof text);
    bool of_id = number == DUPLICATE && (strstr(text, "_id_ dup key") || mongo_has(one, "keyPattern._id"));
    refused(number, of_id, text, err);
    bool taken = err->cls == MF_CONFLICT || (settling && err->cls == MF_ROW);
    if (!taken || at < 0 || (size_t)at >= n) {
        return -1;
    }
    mf_error_clear(err);
    list[at]->code = (int32_t)number;
    list[at]->taken = mf_strdup_a(&a->arena, text);
    return list[at]->taken ? 0 : no_memory(err);
}

/* The bulk has failed: of some documents because a value is taken, or as a whole. */
static int take_refusals(struct mongo_applier *a, const struct mongo_where *w, const bson_t *reply,
                         const bson_error_t *e, struct mongo_put **list, size_t n, struct mf_error *err)
{
    bson_iter_t at, errors;
    bson_t one;
    uint32_t len;
    const uint8_t *p;
    if (w->session && e->code == DUPLICATE && !mongo_has(reply, "writeErrors.0")) {
        list[0]->code = DUPLICATE;
        list[0]->taken = mf_strdup_a(&a->arena, e->message);
        return list[0]->taken ? 0 : no_memory(err);
    }
    if (mongo_has(reply, "writeErrors.0") &&
        mongo_has(reply, "writeConcernErrors.0")) { /* first of all no majority has the rest */
        return mf_fail(err, MF_RETRY, "64", "%s", e->message);
    }
    if (!bson_iter_init_find(&at, reply, "writeErrors") || !mongo_has(reply, "writeErrors.0") ||
        !bson_iter_recurse(&at, &errors)) {
        return mongo_fail(mongo_db_of(a->base.db), e, reply, err);
    }
    while (bson_iter_next(&errors)) {
        if (!BSON_ITER_HOLDS_DOCUMENT(&errors)) {
            continue;
        }
        bson_iter_document(&errors, &len, &p);
        if (bson_init_static(&one, p, len) && take_refusal(a, w->settling, &one, list, n, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static bool bulk_options(struct mongo_db *db, const struct mongo_where *w, bson_t *opts, bson_error_t *e)
{
    BSON_APPEND_BOOL(opts, "ordered", false);
    if (w->session) {
        return mongoc_client_session_append(w->session, opts, e);
    }
    mongo_ask_durable(db, opts, mongo_time_left(db));
    return true;
}

int mongo_put_write(struct mongo_applier *a, const struct mongo_where *w, struct mongo_put **list, size_t n,
                    enum mongo_write what, struct mf_error *err)
{
    struct mongo_db *db = mongo_db_of(a->base.db);
    MONGO_BSON(opts);
    bson_error_t e = {0};
    bson_t reply;
    if (!n) {
        return 0;
    }
    if (!bulk_options(db, w, &opts, &e)) {
        return mongo_fail(db, &e, NULL, err);
    }
    MONGO_COLLECTION *c = mongoc_client_get_collection(w->client, w->schema, w->name);
    mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, &opts);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        list[i]->taken = NULL;
        rc = add_write(a, bulk, list[i], what, err);
    }
    if (rc == 0) {
        rc = mongoc_bulk_operation_execute(bulk, &reply, &e) ? 0 : take_refusals(a, w, &reply, &e, list, n, err);
        bson_destroy(&reply);
    }
    mongoc_bulk_operation_destroy(bulk);
    return rc;
}

static int put(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err)
{
    MONGO_LEASE(mongo_db_of(a->base.db), l);
    struct mongo_put *list[MONGO_GROUP];
    size_t n = 0;
    for (size_t i = 0; i < a->nputs; i++) {
        list[i] = &a->puts[i];
    }
    if (mongo_put_prepare(a, t->schema, t->name, list, a->nputs, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < a->nputs; i++) {
        if (!a->puts[i].nothing) {
            list[n++] = &a->puts[i];
        }
    }
    if (mongo_put_announce(a, t->schema, t->name, list, n, MONGO_WRITE_WHOLE, err) < 0 ||
        (n && MF_FAULT(err, "mongodb.window_intent")) || (n && mongo_borrow(l.db, &l.client, err) < 0)) {
        return -1;
    }
    struct mongo_where w = {t->schema, t->name, l.client, NULL, false};
    return mongo_put_write(a, &w, list, n, MONGO_WRITE_WHOLE, err) < 0 || MF_FAULT(err, "mongodb.window_rows")
    ? -1 : mongo_left_take(a, t, err);
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
