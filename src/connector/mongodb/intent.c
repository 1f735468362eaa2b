/* See intent.h. The set is a table of open addresses, rebuilt from those that are not taken when it fills. */
#include "connector/mongodb/intent.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mongodb/book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS_MAX   ((size_t)1 << 23) /* 300 MB: more is announced by nobody who is alive */
#define WINDOWS_MAX 1000000

static void hash_part(XXH3_state_t *s, const void *p, size_t n)
{
    uint64_t len = n;
    XXH3_128bits_update(s, &len, sizeof len);
    XXH3_128bits_update(s, p, n);
}

struct mongo_intent_hash mongo_intent_hash(const char *database, const char *collection, const struct mf_value *id,
                                           const struct mf_value *document)
{
    struct mongo_intent_hash h;
    XXH128_canonical_t c;
    XXH3_state_t *s = XXH3_createState();
    if (!s) {
        abort(); /* as mf_xmalloc */
    }
    XXH3_128bits_reset(s);
    hash_part(s, database, strlen(database));
    hash_part(s, collection, strlen(collection));
    hash_part(s, id->data, id->len);
    if (document->kind != MF_NULL) {
        hash_part(s, document->data, document->len);
    }
    XXH128_canonicalFromHash(&c, XXH3_128bits_digest(s));
    XXH3_freeState(s);
    memcpy(h.bytes, c.digest, sizeof h.bytes);
    return h;
}

/* ---- the writer ---- */

static void put_id(char *out, size_t n, const struct mf_pipe_id *pipe, int64_t window, int part)
{
    snprintf(out, n, "%s/%s/%020" PRId64 "/%06d", pipe->migration, mongo_direction(pipe->direction), window, part);
}

int mongo_intents_write(struct mongo_db *db, const struct mf_pipe_id *pipe, int64_t window, int part,
                        const struct mongo_intent_hash *list, size_t n, struct mf_error *err)
{
    MONGO_BSON(doc);
    char id[MONGO_BOOK_ID];
    put_id(id, sizeof id, pipe, window, part);
    BSON_APPEND_UTF8(&doc, "_id", id);
    BSON_APPEND_UTF8(&doc, "migration", pipe->migration);
    BSON_APPEND_UTF8(&doc, "direction", mongo_direction(pipe->direction));
    BSON_APPEND_INT64(&doc, "window", window);
    if (n > MONGO_INTENTS_PART ||
        !BSON_APPEND_BINARY(&doc, "entries", BSON_SUBTYPE_BINARY, list->bytes, (uint32_t)(n * MONGO_INTENT_BYTES))) {
        return mf_fail(err, MF_FATAL, "MFBUG", "too many intents in one document: %zu", n);
    }
    return mongo_book_put(db, "window", &doc, NULL, err);
}

/* ---- the set ---- */

static struct mongo_intent_slot *slot_of(const struct mongo_intents *in, const struct mongo_intent_hash *h)
{
    uint64_t at;
    memcpy(&at, h->bytes, sizeof at);
    for (size_t i = at & (in->nslots - 1);; i = (i + 1) & (in->nslots - 1)) {
        struct mongo_intent_slot *s = &in->slots[i];
        if (!s->used || memcmp(s->hash.bytes, h->bytes, sizeof h->bytes) == 0) {
            return s;
        }
    }
}

/* A checkpoint ends every window up to its own. */
static bool ended(const struct mongo_intents *in, int64_t window)
{
    return window <= in->ended;
}

/* What is taken goes, and what is left of windows that have ended: it was never written. */
static int rebuild(struct mongo_intents *in, struct mf_error *err)
{
    struct mongo_intent_slot *old = in->slots;
    size_t nold = in->nslots, alive = 0;
    for (size_t i = 0; i < nold; i++) {
        old[i].count = old[i].count && !ended(in, old[i].window) ? old[i].count : 0;
        alive += old[i].count > 0;
    }
    size_t n = 1024;
    while (n < alive * 4) {
        n *= 2;
    }
    if (n > SLOTS_MAX) {
        return mf_fail(err, MF_FATAL, "MFMEM",
                       "the way back has announced more than %zu documents that it has not written", SLOTS_MAX / 4);
    }
    in->slots = mf_xcalloc(n, sizeof *in->slots);
    in->nslots = n;
    in->nused = 0;
    for (size_t i = 0; i < nold; i++) {
        if (old[i].count) {
            *slot_of(in, &old[i].hash) = old[i];
            in->nused++;
        }
    }
    free(old);
    return 0;
}

static int add_hash(struct mongo_intents *in, const uint8_t *bytes, int64_t window, struct mf_error *err)
{
    if (in->nused * 2 >= in->nslots && rebuild(in, err) < 0) {
        return -1;
    }
    struct mongo_intent_hash h;
    memcpy(h.bytes, bytes, sizeof h.bytes);
    struct mongo_intent_slot *s = slot_of(in, &h);
    in->nused += !s->used;
    /* One that was announced by a window that has ended, and not written, counts no more. */
    uint32_t count = s->used && s->count && !ended(in, s->window) ? s->count + 1 : 1;
    *s = (struct mongo_intent_slot){.hash = h, .window = window, .count = count, .used = true};
    return 0;
}

bool mongo_intents_take(struct mongo_intents *in, const struct mongo_intent_hash *h)
{
    if (!in->nslots) {
        return false;
    }
    struct mongo_intent_slot *s = slot_of(in, h);
    if (!s->used || !s->count || ended(in, s->window)) {
        return false;
    }
    s->count--;
    return true;
}

/* ---- windows ---- */

/* Numbers grow, in the collection and in the stream. */
static void note_window(struct mongo_intents *in, int64_t number)
{
    if (in->nwindows && in->windows[in->nwindows - 1].number >= number) {
        return;
    }
    if (in->nwindows == in->windows_cap) {
        in->windows_cap = in->windows_cap ? in->windows_cap * 2 : 16;
        in->windows = mf_xreallocarray(in->windows, in->windows_cap, sizeof *in->windows);
    }
    in->windows[in->nwindows++] = (struct mongo_intent_window){.number = number};
}

/* Is it of the pipe whose writes come in this stream? */
static bool of_writer(const struct mongo_intents *in, const bson_t *doc)
{
    char migration[64], direction[8];
    mongo_text(doc, "migration", migration, sizeof migration);
    mongo_text(doc, "direction", direction, sizeof direction);
    return mf_streq(migration, in->writer.migration) && mf_streq(direction, mongo_direction(in->writer.direction));
}

static int take_document(struct mongo_intents *in, const bson_t *doc, struct mf_error *err)
{
    bson_iter_t at;
    const uint8_t *p = NULL;
    uint32_t n = 0;
    bson_subtype_t subtype;
    int64_t number = mongo_int(doc, "window", 0);
    if (number < 1 || !bson_iter_init_find(&at, doc, "entries") || !BSON_ITER_HOLDS_BINARY(&at)) {
        return mf_fail(err, MF_FATAL, "MFBOOK", "a document in midflight.window is none of ours");
    }
    if (in->nwindows >= WINDOWS_MAX) {
        return mf_fail(err, MF_FATAL, "MFMEM", "more than %d windows of the way back wait to be acknowledged",
                       WINDOWS_MAX);
    }
    bson_iter_binary(&at, &subtype, &n, &p);
    note_window(in, number);
    for (uint32_t i = 0; i + MONGO_INTENT_BYTES <= n; i += MONGO_INTENT_BYTES) {
        if (add_hash(in, p + i, number, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int mongo_intents_add(struct mongo_intents *in, const bson_t *doc, struct mf_error *err)
{
    return of_writer(in, doc) && mongo_int(doc, "window", 0) > in->loaded ? take_document(in, doc, err) : 0;
}

static int load_one(void *ctx, const bson_t *doc, struct mf_error *err)
{
    return take_document(ctx, doc, err);
}

int mongo_intents_load(struct mongo_intents *in, struct mongo_db *db, const struct mf_pipe_id *reader,
                       struct mf_error *err)
{
    MONGO_BSON(filter);
    *in = (struct mongo_intents){.writer = *reader};
    in->writer.direction = reader->direction == MF_FORWARD ? MF_REVERSE : MF_FORWARD;
    if (rebuild(in, err) < 0) {
        return -1;
    }
    BSON_APPEND_UTF8(&filter, "migration", in->writer.migration);
    BSON_APPEND_UTF8(&filter, "direction", mongo_direction(in->writer.direction));
    if (mongo_book_each(db, "window", &filter, load_one, in, err) < 0) {
        return -1;
    }
    in->loaded = in->nwindows ? in->windows[in->nwindows - 1].number : 0;
    /* The last one may have parts that were not there yet. They come in the stream; those that were are announced twice then, which the window's end mends. */
    in->loaded = in->loaded > 0 ? in->loaded - 1 : 0;
    return 0;
}

void mongo_intents_checkpoint(struct mongo_intents *in, const bson_t *doc, uint64_t time)
{
    int64_t number = mongo_int(doc, "window", 0);
    if (!of_writer(in, doc)) {
        return;
    }
    in->ended = number > in->ended ? number : in->ended;
    for (size_t i = in->nwindows; i-- > 0 && !in->windows[i].done;) {
        if (in->windows[i].number <= number) {
            in->windows[i].done = time;
        }
    }
}

int mongo_intents_forget(struct mongo_intents *in, struct mongo_db *db, uint64_t durable, struct mf_error *err)
{
    MONGO_BSON(filter);
    bson_t range;
    size_t over = 0;
    while (over < in->nwindows && in->windows[over].done && in->windows[over].done <= durable) {
        over++;
    }
    if (!over) {
        return 0;
    }
    int64_t last = in->windows[over - 1].number;
    BSON_APPEND_UTF8(&filter, "migration", in->writer.migration);
    BSON_APPEND_UTF8(&filter, "direction", mongo_direction(in->writer.direction));
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "window", &range);
    BSON_APPEND_INT64(&range, "$lte", last);
    bson_append_document_end(&filter, &range);
    if (mongo_book_delete(db, "window", &filter, err) < 0) {
        return -1;
    }
    in->nwindows -= over;
    memmove(in->windows, in->windows + over, in->nwindows * sizeof *in->windows);
    return 0;
}

void mongo_intents_free(struct mongo_intents *in)
{
    free(in->slots);
    free(in->windows);
    *in = (struct mongo_intents){0};
}
