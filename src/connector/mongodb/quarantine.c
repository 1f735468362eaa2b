/* Documents that were left out on the way back, and why: midflight.quarantine, one entry a key, before the checkpoint of the window that left it out. */
#include "connector/mongodb/apply.h"

#include "base/clock.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define DOCUMENT_KEPT (4u << 20) /* a larger one is given again by quarantine retry, not by itself */

/* Of a key: what commands name an entry by. */
static int64_t number_of(const struct mf_pipe_id *pipe, const char *schema, const char *table, const char *key)
{
    char scope[MONGO_BOOK_ID];
    snprintf(scope, sizeof scope, "%s/%s/%s", mongo_direction(pipe->direction), schema, table);
    return (int64_t)(XXH3_64bits_withSeed(key, strlen(key), XXH3_64bits(scope, strlen(scope))) >> 1);
}

static void put_id(char *out, size_t n, const struct mf_pipe_id *pipe, int64_t number)
{
    snprintf(out, n, "%s/%s/%" PRId64, pipe->migration, mongo_direction(pipe->direction), number);
}

static void put_scope(bson_t *filter, const struct mf_pipe_id *pipe)
{
    BSON_APPEND_UTF8(filter, "migration", pipe->migration);
    BSON_APPEND_UTF8(filter, "direction", mongo_direction(pipe->direction));
}

static int some(void *ctx, const bson_t *doc, struct mf_error *err)
{
    (void)doc, (void)err;
    *(bool *)ctx = true;
    return 1;
}

int mongo_quarantine_any(struct mongo_db *db, const struct mf_pipe_id *pipe, bool *ret, struct mf_error *err)
{
    MONGO_BSON(filter);
    bool any = false;
    put_scope(&filter, pipe);
    if (mongo_book_each(db, "quarantine", &filter, some, &any, err) < 0) {
        return -1;
    }
    *ret = any;
    return 0;
}

int mongo_quarantine_keep(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_quarantined *q,
                          const struct mf_value *document, bool *ret_new, struct mf_error *err)
{
    MONGO_BSON(doc);
    char id[MONGO_BOOK_ID], order[32];
    bson_t before;
    bool there;
    int64_t number = number_of(pipe, q->schema, q->table, q->key);
    put_id(id, sizeof id, pipe, number);
    if (mongo_book_get(db, "quarantine", id, &before, &there, err) < 0) {
        return -1;
    }
    if (there) {
        bson_destroy(&before);
    }
    snprintf(order, sizeof order, "%" PRIu64, q->position.order);
    BSON_APPEND_UTF8(&doc, "_id", id);
    put_scope(&doc, pipe);
    BSON_APPEND_INT64(&doc, "id", number);
    BSON_APPEND_UTF8(&doc, "schema", q->schema);
    BSON_APPEND_UTF8(&doc, "table", q->table);
    BSON_APPEND_UTF8(&doc, "key", q->key);
    if (q->column) {
        BSON_APPEND_UTF8(&doc, "column", q->column);
    }
    BSON_APPEND_UTF8(&doc, "reason", q->reason);
    BSON_APPEND_UTF8(&doc, "code", q->code);
    BSON_APPEND_UTF8(&doc, "row", q->row);
    if (document && document->kind == MF_BINARY && document->len <= DOCUMENT_KEPT) {
        int64_t epoch;
        if (mongo_epoch_number(db, pipe->migration, &epoch, err) < 0) {
            return -1;
        }
        BSON_APPEND_INT64(&doc, "epoch", epoch);
        BSON_APPEND_BINARY(&doc, "document", BSON_SUBTYPE_BINARY, (const uint8_t *)document->data, document->len);
    }
    BSON_APPEND_UTF8(&doc, "position_order", order);
    BSON_APPEND_UTF8(&doc, "position_token", q->position.token);
    BSON_APPEND_DATE_TIME(&doc, "at", mf_wall_us() / MF_US_PER_MS);
    if (mongo_book_put(db, "quarantine", &doc, NULL, err) < 0) {
        return -1;
    }
    *ret_new = !there;
    return 0;
}

static int drop(struct mongo_db *db, const struct mf_pipe_id *pipe, int64_t number, struct mf_error *err)
{
    MONGO_BSON(filter);
    char id[MONGO_BOOK_ID];
    put_id(id, sizeof id, pipe, number);
    BSON_APPEND_UTF8(&filter, "_id", id);
    return mongo_book_delete(db, "quarantine", &filter, err);
}

int mongo_quarantine_forget(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                            const char *key, struct mf_error *err)
{
    return drop(db, pipe, number_of(pipe, t->schema, t->name, key), err);
}

int mongo_quarantine_forget_table(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                                  struct mf_error *err)
{
    MONGO_BSON(filter);
    put_scope(&filter, pipe);
    BSON_APPEND_UTF8(&filter, "schema", t->schema);
    BSON_APPEND_UTF8(&filter, "table", t->name);
    return mongo_book_delete(db, "quarantine", &filter, err);
}

static const char *text_in(const bson_t *doc, const char *name)
{
    bson_iter_t at;
    return bson_iter_init_find(&at, doc, name) && BSON_ITER_HOLDS_UTF8(&at) ? bson_iter_utf8(&at, NULL) : NULL;
}

struct refused_ones {
    mongo_refused_fn *each;
    void *ctx;
};

static int refused_one(void *ctx, const bson_t *doc, struct mf_error *err)
{
    struct refused_ones *r = ctx;
    struct mf_value v = {.kind = MF_BINARY};
    bson_iter_t at;
    bson_subtype_t subtype;
    const uint8_t *bytes = NULL;
    const char *key = text_in(doc, "key");
    if (!key || !bson_iter_init_find(&at, doc, "document") || !BSON_ITER_HOLDS_BINARY(&at)) {
        return 0;
    }
    bson_iter_binary(&at, &subtype, &v.len, &bytes);
    v.data = (const char *)bytes;
    return r->each(r->ctx, key, &v, err);
}

int mongo_quarantine_taken(struct mongo_db *db, const struct mf_pipe_id *pipe, const char *schema, const char *name,
                           mongo_refused_fn *each, void *ctx, struct mf_error *err)
{
    MONGO_BSON(filter);
    struct refused_ones r = {each, ctx};
    int64_t epoch;
    if (mongo_epoch_number(db, pipe->migration, &epoch, err) < 0) {
        return -1;
    }
    put_scope(&filter, pipe);
    BSON_APPEND_INT64(&filter, "epoch", epoch); /* of an earlier way back: the document may have changed here since */
    BSON_APPEND_UTF8(&filter, "schema", schema);
    BSON_APPEND_UTF8(&filter, "table", name);
    BSON_APPEND_UTF8(&filter, "code", "11000");
    return mongo_book_each(db, "quarantine", &filter, refused_one, &r, err) < 0 ? -1 : 0;
}

int mongo_quarantine_drop(struct mf_db *db, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err)
{
    return drop(mongo_db_of(db), pipe, id, err);
}

/* ---- reading ---- */

struct listing {
    mf_quarantine_sink *emit;
    void *ctx;
};

static int list_one(void *ctx, const bson_t *doc, struct mf_error *err)
{
    struct listing *l = ctx;
    char order[32];
    const char *key = text_in(doc, "key"), *reason = text_in(doc, "reason"), *row = text_in(doc, "row");
    struct mf_quarantined q = {.id = mongo_int(doc, "id", 0),
                               .key = key ? key : "",
                               .column = text_in(doc, "column"),
                               .reason = reason ? reason : "",
                               .row = row ? row : "{}"};
    mongo_text(doc, "schema", q.schema, sizeof q.schema);
    mongo_text(doc, "table", q.table, sizeof q.table);
    mongo_text(doc, "code", q.code, sizeof q.code);
    mongo_text(doc, "position_order", order, sizeof order);
    mongo_text(doc, "position_token", q.position.token, sizeof q.position.token);
    mf_parse_u64(order, &q.position.order);
    return l->emit(l->ctx, &q, err) < 0 ? -1 : 0;
}

int mongo_quarantine_list(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                          struct mf_error *err)
{
    MONGO_BSON(filter);
    struct listing l = {emit, ctx};
    put_scope(&filter, pipe);
    return mongo_book_each(mongo_db_of(db), "quarantine", &filter, list_one, &l, err) < 0 ? -1 : 0;
}
