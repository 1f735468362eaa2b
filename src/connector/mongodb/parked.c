/*
 * Documents that are out of their collection for a moment (anew.c), where a deployment has no transactions: midflight.parked has them whole, with all that no row of the new
 * side has, from before they go until they or what they become stand in their collection again.
 *
 * So at any moment a document is in its collection, or parked, or both; one that is new is parked by its id alone. A run that finds some parked puts them back where one is missing: all of them, because they
 * stood beside each other before, and some may have what others need. What even that refuses, because somebody else has taken a value in that moment, stays parked: the next
 * version of the document is put into it as if it were there, and only then it is forgotten.
 */
#include "connector/mongodb/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define OWN_BYTES 2048 /* of such a document beside the one that is in it */

static void put_id(char *out, size_t n, const struct mf_pipe_id *pipe, const char *schema, const char *name,
                   const struct mf_value *id)
{
    char scope[MONGO_BOOK_ID * 2];
    snprintf(scope, sizeof scope, "%s\n%s", schema, name);
    XXH128_hash_t h = XXH3_128bits_withSeed(id->data, id->len, XXH3_64bits(scope, strlen(scope)));
    snprintf(out, n, "%s/%s/%016" PRIx64 "%016" PRIx64, pipe->migration, mongo_direction(pipe->direction), h.high64,
             h.low64);
}

bool mongo_parkable(const struct mongo_applier *a, const struct mongo_put *p)
{
    int64_t most = mongo_db_of(a->base.db)->can.document_max;
    return p->there.kind == MF_NULL || most <= 0 || (int64_t)p->there.len + OWN_BYTES <= most;
}

int mongo_park(struct mongo_applier *a, const struct mongo_where *w, const struct mongo_put *p, struct mf_error *err)
{
    MONGO_BSON(doc);
    char id[MONGO_BOOK_ID];
    if (p->parked) {
        return 0;
    }
    put_id(id, sizeof id, &a->pipe, w->schema, w->name, &p->id);
    BSON_APPEND_UTF8(&doc, "_id", id);
    BSON_APPEND_UTF8(&doc, "migration", a->pipe.migration);
    BSON_APPEND_UTF8(&doc, "direction", mongo_direction(a->pipe.direction));
    BSON_APPEND_UTF8(&doc, "schema", w->schema);
    BSON_APPEND_UTF8(&doc, "table", w->name);
    BSON_APPEND_BINARY(&doc, "id", BSON_SUBTYPE_BINARY, (const uint8_t *)p->id.data, p->id.len);
    if (p->there.kind != MF_NULL &&
        !BSON_APPEND_BINARY(&doc, "document", BSON_SUBTYPE_BINARY, (const uint8_t *)p->there.data, p->there.len)) {
        return mf_fail(err, MF_FATAL, "MFMEM", "a document is too large to be parked");
    }
    return mongo_book_put(mongo_db_of(a->base.db), "parked", &doc, NULL, err);
}

int mongo_unpark(struct mongo_applier *a, const char *schema, const char *name, const struct mf_value *id,
                 struct mf_error *err)
{
    MONGO_BSON(filter);
    char text[MONGO_BOOK_ID];
    put_id(text, sizeof text, &a->pipe, schema, name, id);
    BSON_APPEND_UTF8(&filter, "_id", text);
    return mongo_book_delete(mongo_db_of(a->base.db), "parked", &filter, err);
}

/* The document in one of ours, or its id; false: it has none. */
static bool parked_value(const bson_t *doc, const char *name, enum mf_value_kind kind, struct mf_value *ret)
{
    bson_iter_t at;
    bson_subtype_t subtype;
    const uint8_t *p = NULL;
    *ret = (struct mf_value){.kind = kind};
    if (!bson_iter_init_find(&at, doc, name) || !BSON_ITER_HOLDS_BINARY(&at)) {
        return false;
    }
    bson_iter_binary(&at, &subtype, &ret->len, &p);
    ret->data = (const char *)p;
    return true;
}

int mongo_parked_find(struct mongo_applier *a, const char *schema, const char *name, struct mongo_put *p,
                      struct mf_error *err)
{
    char id[MONGO_BOOK_ID];
    bson_t doc;
    bool there;
    struct mf_value v;
    put_id(id, sizeof id, &a->pipe, schema, name, &p->id);
    if (mongo_book_get(mongo_db_of(a->base.db), "parked", id, &doc, &there, err) < 0) {
        return -1;
    }
    if (!there) {
        return 0;
    }
    if (parked_value(&doc, "document", MF_BINARY, &v)) {
        p->parked = true;
        p->there = v;
        p->there.data = mf_memdup_a(&a->arena, v.data, v.len);
    }
    bson_destroy(&doc);
    return !p->parked || p->there.data ? 0 : mf_fail(err, MF_FATAL, "MFMEM", "a parked document is too large");
}

/* ---- back ---- */

int mongo_put_back(struct mongo_applier *a, const struct mongo_where *w, struct mongo_put **list, size_t n,
                   struct mf_error *err)
{
    struct mongo_put *back[MONGO_GROUP], copies[MONGO_GROUP];
    size_t m = 0;
    for (size_t i = 0; i < n; i++) { /* what they are told of stays with the caller's */
        copies[i] = *list[i];
        if (copies[i].there.kind != MF_NULL && !copies[i].parked) {
            back[m++] = &copies[i];
        }
    }
    struct mongo_put *gone[MONGO_GROUP];
    for (size_t i = 0; i < n; i++) {
        gone[i] = &copies[i];
    }
    if (mongo_put_announce(a, w->schema, w->name, gone, n, MONGO_WRITE_GONE, err) < 0 ||
        mongo_put_announce(a, w->schema, w->name, back, m, MONGO_WRITE_BACK, err) < 0 ||
        mongo_put_write(a, w, gone, n, MONGO_WRITE_GONE, err) < 0 ||
        mongo_put_write(a, w, back, m, MONGO_WRITE_BACK, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (copies[i].taken) {
            a->parked++;
        } else if (!copies[i].parked && mongo_unpark(a, w->schema, w->name, &copies[i].id, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- what another run has left ---- */

struct found {
    struct mf_arena arena;
    struct mongo_left list[MONGO_GROUP];
    size_t n;
    bool more;
};

static void free_found(struct found *f)
{
    mf_arena_free(&f->arena);
    free(f);
}

static void free_found_p(struct found **f)
{
    if (*f) {
        free_found(*f);
    }
}

static int find_one(void *ctx, const bson_t *doc, struct mf_error *err)
{
    struct found *f = ctx;
    char schema[MONGO_NAME], name[MONGO_NAME];
    struct mf_value id, v;
    if (f->n == MONGO_GROUP) {
        f->more = true;
        return 1;
    }
    struct mongo_left *l = &f->list[f->n];
    mongo_text(doc, "schema", schema, sizeof schema);
    mongo_text(doc, "table", name, sizeof name);
    if (!parked_value(doc, "id", MF_TEXT, &id)) {
        return mf_fail(err, MF_FATAL, "MFBOOK", "a document in midflight.parked is none of ours");
    }
    *l = (struct mongo_left){
        .schema = mf_strdup_a(&f->arena, schema), .name = mf_strdup_a(&f->arena, name), .put = {.id = id}};
    l->put.id.data = mf_memdup_a(&f->arena, id.data, id.len);
    if (parked_value(doc, "document", MF_BINARY, &v)) {
        l->put.there = v;
        l->put.there.data = mf_memdup_a(&f->arena, v.data, v.len);
    }
    if (!l->schema || !l->name || !l->put.id.data || (l->put.there.kind != MF_NULL && !l->put.there.data)) {
        return mf_fail(err, MF_FATAL, "MFMEM", "parked documents are too large");
    }
    f->n++;
    return 0;
}

/* Whether all of them are there; one that is new need not be. */
static int all_there(struct mongo_applier *a, const struct mongo_where *w, struct mongo_put **list, size_t n, bool *ret,
                     struct mf_error *err)
{
    struct mongo_put looks[MONGO_GROUP], *look[MONGO_GROUP];
    for (size_t i = 0; i < n; i++) {
        looks[i] = (struct mongo_put){.id = list[i]->id};
        look[i] = &looks[i];
    }
    if (mongo_put_prepare(a, w->schema, w->name, look, n, err) < 0) {
        return -1;
    }
    *ret = true;
    for (size_t i = 0; i < n; i++) {
        *ret = *ret && (looks[i].there.kind != MF_NULL || list[i]->there.kind == MF_NULL);
    }
    return 0;
}

static int restore(struct mongo_applier *a, const struct mongo_where *w, struct mongo_put **list, size_t n,
                   struct mf_error *err)
{
    bool there;
    if (all_there(a, w, list, n, &there, err) < 0) {
        return -1;
    }
    if (!there) {
        return mongo_put_back(a, w, list, n, err);
    }
    for (size_t i = 0; i < n; i++) {
        if (mongo_unpark(a, w->schema, w->name, &list[i]->id, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int mongo_parked_restore(struct mongo_applier *a, struct mf_error *err)
{
    MONGO_LEASE(mongo_db_of(a->base.db), l);
    MONGO_BSON(filter);
    struct found *f MF_CLEANUP(free_found_p) = mf_xcalloc(1, sizeof *f);
    mf_arena_init(&f->arena, (size_t)1 << 30);
    a->parked = 0;
    BSON_APPEND_UTF8(&filter, "migration", a->pipe.migration);
    BSON_APPEND_UTF8(&filter, "direction", mongo_direction(a->pipe.direction));
    if (mongo_book_each(l.db, "parked", &filter, find_one, f, err) < 0 ||
        (f->n && mongo_borrow(l.db, &l.client, err) < 0)) {
        return -1;
    }
    for (size_t i = 0; i < f->n; i++) {
        struct mongo_where w = {f->list[i].schema, f->list[i].name, l.client, NULL};
        struct mongo_put *list[MONGO_GROUP];
        size_t n = 0;
        for (size_t k = i; k < f->n; k++) {
            struct mongo_left *one = &f->list[k];
            if (!one->over && mf_streq(one->schema, w.schema) && mf_streq(one->name, w.name)) {
                one->over = true;
                list[n++] = &one->put;
            }
        }
        if (n && restore(a, &w, list, n, err) < 0) {
            return -1;
        }
    }
    a->parked += f->more;
    return 0;
}
