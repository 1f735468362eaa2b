/*
 * Cutting a collection into chunks by quantiles of its ids.
 *
 * The server takes a sample ($sample) and sorts it: that is its own order, which for texts may be a collation's. Less than a twentieth of a large
 * collection is picked by a random cursor; of a small one all ids are gone through, without their documents. Where there is no $sample every n-th of
 * all ids is taken.
 */
#include "connector/mongodb/plan.h"

#include "connector/mongodb/bound.h"
#include "connector/mongodb/catalog.h"

#include <string.h>

#define SAMPLES     16 /* ids for each bound */
#define SAMPLES_MAX (MONGO_CHUNKS_MAX * 2)
#define RANDOM_PART 20  /* a sample of less than a 20th is picked at random places */
#define RANDOM_ROWS 100 /* of collections with more than that */

bool mongo_is_bound(uint64_t i, uint64_t ids, uint64_t chunks)
{
    return i > 0 && ids > 0 && i * chunks / ids != (i - 1) * chunks / ids;
}

struct cutting {
    enum mongo_speaks speaks;
    uint64_t ids, chunks, i; /* that are expected, wanted, seen */
    struct mf_chunk next;    /* the one that has its lower bound */
    mf_chunk_sink *emit;
    void *ctx;
};

static int one_id(void *ctx, const bson_t *d, struct mf_error *err)
{
    struct cutting *k = ctx;
    bson_iter_t id;
    if (!mongo_is_bound(k->i++, k->ids, k->chunks) || !bson_iter_init_find(&id, d, "_id") ||
        !mongo_bound_put(k->speaks, &id, k->next.upper) ||
        (k->next.has_lower && strcmp(k->next.lower, k->next.upper) == 0)) {
        return 0;
    }
    k->next.has_upper = true;
    if (k->emit(k->ctx, &k->next, err) < 0) {
        return -1;
    }
    k->next.ordinal++;
    k->next.has_lower = true;
    memcpy(k->next.lower, k->next.upper, sizeof k->next.lower);
    k->next.has_upper = false;
    return 0;
}

static int last_chunk(struct cutting *k, struct mf_error *err)
{
    k->next.has_upper = false;
    k->next.upper[0] = 0;
    return k->emit(k->ctx, &k->next, err);
}

/* ---- ids in order ---- */

static void put_one(bson_t *list, unsigned at, const char *stage, const char *field, int64_t value)
{
    char name[8];
    bson_t one, what;
    snprintf(name, sizeof name, "%u", at);
    bson_append_document_begin(list, name, -1, &one);
    bson_append_document_begin(&one, stage, -1, &what);
    bson_append_int64(&what, field, -1, value);
    bson_append_document_end(&one, &what);
    bson_append_document_end(list, &one);
}

static int by_sample(struct mongo_db *db, const struct mf_table *t, int64_t rows, struct cutting *k,
                     struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t pipeline, cursor;
    bool random = rows > RANDOM_ROWS && (int64_t)k->ids < rows / RANDOM_PART;
    BSON_APPEND_UTF8(&c, "aggregate", t->name);
    BSON_APPEND_ARRAY_BEGIN(&c, "pipeline", &pipeline);
    put_one(&pipeline, 0, random ? "$sample" : "$project", random ? "size" : "_id", random ? (int64_t)k->ids : 1);
    put_one(&pipeline, 1, random ? "$project" : "$sample", random ? "_id" : "size", random ? 1 : (int64_t)k->ids);
    put_one(&pipeline, 2, "$sort", "_id", 1);
    bson_append_array_end(&c, &pipeline);
    BSON_APPEND_BOOL(&c, "allowDiskUse", true);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "cursor", &cursor);
    bson_append_document_end(&c, &cursor);
    return mongo_each(db, MONGO_ANYWHERE, t->schema, &c, one_id, k, err);
}

static int by_walk(struct mongo_db *db, const struct mf_table *t, struct cutting *k, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t part;
    BSON_APPEND_UTF8(&c, "find", t->name);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "projection", &part);
    BSON_APPEND_INT32(&part, "_id", 1);
    bson_append_document_end(&c, &part);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "sort", &part);
    BSON_APPEND_INT32(&part, "_id", 1);
    bson_append_document_end(&c, &part);
    return mongo_each(db, MONGO_ANYWHERE, t->schema, &c, one_id, k, err);
}

/* ---- the plan ---- */

static uint64_t chunks_for(int64_t rows, int64_t bytes, int64_t target_rows, int64_t target_bytes)
{
    uint64_t by_rows = target_rows > 0 && rows > 0 ? (uint64_t)(rows / target_rows) + 1 : 1;
    uint64_t by_bytes = target_bytes > 0 && bytes > 0 ? (uint64_t)(bytes / target_bytes) + 1 : 1;
    uint64_t most = rows > 0 && rows < MONGO_CHUNKS_MAX ? (uint64_t)rows : MONGO_CHUNKS_MAX;
    uint64_t wanted = by_rows > by_bytes ? by_rows : by_bytes;
    return wanted < most ? wanted : most;
}

static int cut(struct mongo_db *db, const struct mf_table *t, int64_t rows, struct cutting *k, struct mf_error *err)
{
    uint64_t all = (uint64_t)rows, sample = k->chunks * SAMPLES;
    sample = sample < SAMPLES_MAX ? sample : SAMPLES_MAX;
    k->ids = sample < all ? sample : all;
    if (by_sample(db, t, rows, k, err) == 0) {
        return 0;
    }
    if (err->cls == MF_RETRY || mongo_is_error(err, 13) || k->i > 0) {
        return -1;
    }
    mf_error_clear(err);
    k->ids = all;
    return by_walk(db, t, k, err);
}

int mongo_chunk_plan(struct mf_reader *base, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                     mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct mongo_db *db = mongo_db_of(base->db);
    int64_t rows = t->rows_estimate, bytes = t->bytes;
    if (rows < 0 && mongo_figures(db, t->schema, t->name, &rows, &bytes, err) < 0) {
        return -1;
    }
    struct cutting k = {.speaks = db->can.speaks,
                        .chunks = chunks_for(rows, bytes, target_rows, target_bytes),
                        .next = {.table_id = t->id},
                        .emit = emit,
                        .ctx = ctx};
    k.next.rows_estimate = rows > 0 ? rows / (int64_t)k.chunks : 0;
    if (k.chunks > 1 && cut(db, t, rows, &k, err) < 0) {
        mf_error_prefix(err, "cutting %s.%s into chunks", t->schema, t->name);
        return -1;
    }
    return last_chunk(&k, err);
}
