/*
 * What a stream needs on its source is nothing of the server's: its log is there for whoever reads it. What is kept in midflight.settings is ours to know:
 *
 *   kind 'stream fwd'  object 'start'         the position before which nothing is streamed
 *   kind 'table fwd'   object DB.COLLECTION   is streamed
 *
 * Which way it is read is decided by what the deployment answered to when it was opened (mongo_can.tells). A change stream of the whole deployment, or the oplog. Change streams of
 * single collections or databases (MongoDB 3.6, others) are not used: there is no order between two of them, neither between two collections' changes nor between a
 * document's and our bookkeeping's, which an oplog has.
 */
#include "connector/mongodb/stream.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHAPE_BYTES   ((size_t)256 << 20)
#define BATCH_BYTES   ((size_t)1 << 30)
#define FOUND_BYTES   ((size_t)256 << 20)
#define TABLES_MAX    100000
#define PROVE_US      (30 * MF_US_PER_SEC)
#define PROVE_STEP_MS 200

static void kind_of(const char *word, const struct mf_pipe_id *pipe, char *ret, size_t n)
{
    snprintf(ret, n, "%s %s", word, mongo_direction(pipe->direction));
}

/* "SEC.INC", and what follows a semicolon */
static int position_of(const char *token, struct mf_position *ret, struct mf_error *err)
{
    char text[64];
    uint64_t seconds, increment;
    mf_strlcpy(text, token, sizeof text);
    text[strcspn(text, ";")] = '\0';
    char *dot = strchr(text, '.');
    if (dot) {
        *dot = '\0';
    }
    if (!dot || !mf_parse_u64(text, &seconds) || !mf_parse_u64(dot + 1, &increment) || seconds > UINT32_MAX ||
        increment > UINT32_MAX) {
        return mf_fail(err, MF_FATAL, "MFSLOT", "no position of a MongoDB deployment: %.100s", token);
    }
    *ret = (struct mf_position){.order = seconds << 32 | increment};
    mf_strlcpy(ret->token, token, sizeof ret->token);
    return 0;
}

int mongo_stream_add_tables(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                            struct mf_error *err)
{
    struct mongo_db *db = mongo_db_of(base);
    char kind[32], name[300];
    kind_of("table", pipe, kind, sizeof kind);
    for (size_t i = 0; i < tables->n; i++) {
        mf_table_label(&tables->tables[i], name, sizeof name);
        if (mongo_keep(db, pipe->migration, kind, name, name, err) < 0) {
            return -1;
        }
    }
    return MF_FAULT(err, "mongodb.stream_prepare");
}

/*
 * A beat comes through before anything is built on the stream: a server may answer to a change stream and tell nothing (nx-27017 does, of a whole deployment), and an account may open one
 * and not be allowed to see our database.
 */
static int prove(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    struct mf_position now;
    struct mf_stream *st = NULL;
    int64_t until = mf_now_us() + PROVE_US;
    bool seen = false;
    if (mongo_position(base, &now, err) < 0 || mongo_stream_open(base, pipe, &now, false, &st, err) < 0) {
        return -1;
    }
    int rc = mongo_heartbeat(base, pipe, NULL, NULL, err);
    while (rc == 0 && !seen && mf_now_us() < until) {
        struct mf_item item;
        rc = mongo_stream_next(st, PROVE_STEP_MS, &item, err);
        seen = rc == 0 && item.kind == MF_ITEM_CHANGE && mf_streq(item.change.table->schema, MONGO_BOOK);
    }
    mongo_stream_close(st);
    if (rc == 0 && !seen) {
        mf_fail(err, MF_FATAL, "MFSTREAM",
                "the change stream of %s does not tell of a write to midflight.heartbeat within %d s",
                mongo_db_of(base)->facts.host, (int)(PROVE_US / MF_US_PER_SEC));
        mf_hint(err, "check that the account may read changes of every database (changeStream and find on any "
                     "resource), and that the set has a majority of its members");
        rc = -1;
    }
    return rc;
}

static bool can_stream(const struct mongo_db *db)
{
    return db->can.tells == MONGO_TELLS_ALL || db->can.tells == MONGO_TELLS_OPLOG || db->can.speaks != MONGO_GENUINE;
}

int mongo_stream_prepare(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                         struct mf_position *ret_start, struct mf_error *err)
{
    struct mongo_db *db = mongo_db_of(base);
    char kind[32], token[MF_POSITION_TOKEN];
    struct mf_position start;
    kind_of("stream", pipe, kind, sizeof kind);
    if (!can_stream(db) && db->can.tells != MONGO_TELLS_NOTHING) {
        mf_fail(err, MF_FATAL, "MFSTREAM",
                "%s opens a change stream of single databases or collections to this account, and none of the whole "
                "deployment: between those there is no order",
                db->facts.host);
        mf_hint(err,
                "grant it readAnyDatabase on admin (or, before MongoDB 4.0, read on local); `midflight check` says "
                "what else is missing");
        return -1;
    }
    if (!can_stream(db)) {
        mf_fail(err, MF_FATAL, "MFSTREAM", "%s tells nobody of its changes: it is no replica set", db->facts.host);
        mf_hint(err, "make it a replica set of one member (replication.replSetName, then rs.initiate())");
        return -1;
    }
    if (mongo_kept(db, pipe->migration, kind, "start", token, sizeof token, err) < 0) {
        return -1;
    }
    if (!token[0]) {
        /* A write of ours is the start: there is an entry in the oplog with its time, whatever else there is. */
        if (mongo_heartbeat(base, pipe, NULL, &start, err) < 0 ||
            mongo_keep(db, pipe->migration, kind, "start", start.token, err) < 0) {
            return -1;
        }
        mf_strlcpy(token, start.token, sizeof token);
    }
    if (position_of(token, &start, err) < 0 || mongo_stream_add_tables(base, pipe, tables, err) < 0 ||
        (tables->n && prove(base, pipe, err) < 0)) {
        return -1;
    }
    *ret_start = start;
    return 0;
}

int mongo_stream_skip(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *to,
                      struct mf_error *err)
{
    (void)db, (void)pipe, (void)to, (void)err;
    return 0; /* nothing is remembered of what is skipped */
}

int mongo_stream_drop(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MONGO_BSON(filter);
    bson_t kinds, list;
    char stream[32], table[32];
    kind_of("stream", pipe, stream, sizeof stream);
    kind_of("table", pipe, table, sizeof table);
    BSON_APPEND_UTF8(&filter, "migration", pipe->migration);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "kind", &kinds);
    BSON_APPEND_ARRAY_BEGIN(&kinds, "$in", &list);
    BSON_APPEND_UTF8(&list, "0", stream);
    BSON_APPEND_UTF8(&list, "1", table);
    bson_append_array_end(&kinds, &list);
    bson_append_document_end(&filter, &kinds);
    return mongo_book_delete(mongo_db_of(base), "settings", &filter, err);
}

/* ---- tables ---- */

static int too_many(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "the stream has too many collections");
}

static int by_name(const void *a, const void *b)
{
    const struct mongo_table *x = a, *y = b;
    int c = strcmp(x->database, y->database);
    return c ? c : strcmp(x->collection, y->collection);
}

int mongo_stream_widen(struct mongo_stream *st, const bson_t *doc, bool *ret_new, struct mf_error *err)
{
    char name[2 * MONGO_NAME], kind[32], said[32], migration[64];
    kind_of("table", &st->pipe, kind, sizeof kind);
    mongo_text(doc, "kind", said, sizeof said);
    mongo_text(doc, "migration", migration, sizeof migration);
    mongo_text(doc, "object", name, sizeof name);
    char *dot = strchr(name, '.');
    *ret_new = false;
    if (!dot || !mf_streq(said, kind) || !mf_streq(migration, st->pipe.migration)) {
        return 0;
    }
    *dot = '\0';
    struct mongo_table wanted = {.database = name, .collection = dot + 1};
    if (st->ntables && bsearch(&wanted, st->tables, st->ntables, sizeof *st->tables, by_name)) {
        return 0;
    }
    char *database = mf_strdup_a(&st->shape, name), *collection = mf_strdup_a(&st->shape, dot + 1);
    const struct mf_table *t = database && collection ? mf_bson_table(&st->shape, database, collection) : NULL;
    if (!t || st->ntables >= TABLES_MAX) {
        return too_many(err);
    }
    st->tables = mf_xreallocarray(st->tables, st->ntables + 1, sizeof *st->tables);
    size_t at = st->ntables++;
    while (at && by_name(&wanted, &st->tables[at - 1]) < 0) {
        st->tables[at] = st->tables[at - 1];
        at--;
    }
    st->tables[at] = (struct mongo_table){.database = database, .collection = collection, .table = t};
    mf_arena_init(&st->tables[at].found, FOUND_BYTES);
    *ret_new = true;
    return 0;
}

static int add_table(void *ctx, const bson_t *doc, struct mf_error *err)
{
    bool fresh;
    return mongo_stream_widen(ctx, doc, &fresh, err);
}

/* As capture knows them (change/bookkeeping.h). */
static const struct mf_table *book_table(struct mongo_stream *st, uint32_t id, const char *name,
                                         const char *const *columns, uint16_t n)
{
    struct mf_table *t = mf_alloc0(&st->shape, sizeof *t);
    struct mf_column *c = mf_alloc_array(&st->shape, n, sizeof *c);
    uint16_t *key = mf_alloc_array(&st->shape, 1, sizeof *key);
    if (!t || !c || !key) {
        return NULL;
    }
    for (uint16_t i = 0; i < n; i++) {
        c[i] = (struct mf_column){.name = columns[i], .type = "text", .in_key = i == 0};
    }
    *t = (struct mf_table){.id = id,
                           .schema = MONGO_BOOK,
                           .name = name,
                           .ncolumns = n,
                           .nkey = 1,
                           .columns = c,
                           .key = key,
                           .rows_estimate = -1};
    return t;
}

static int read_tables(struct mongo_stream *st, struct mf_error *err)
{
    static const char *const heartbeat[] = {"migration", "side", "marker", "beat"};
    static const char *const epoch[] = {"migration", "epoch", "writer"};
    MONGO_BSON(filter);
    char kind[32];
    kind_of("table", &st->pipe, kind, sizeof kind);
    BSON_APPEND_UTF8(&filter, "migration", st->pipe.migration);
    BSON_APPEND_UTF8(&filter, "kind", kind);
    if (mongo_book_each(st->db, "settings", &filter, add_table, st, err) < 0) {
        return -1;
    }
    if (!st->ntables) {
        return mongo_stream_lost(
            err, "the change stream was never made, or was dropped: midflight.settings has no collection of it");
    }
    st->heartbeat = book_table(st, 1, "heartbeat", heartbeat, MF_ARRAY_LEN(heartbeat));
    st->epoch = book_table(st, 2, "epoch", epoch, MF_ARRAY_LEN(epoch));
    return st->heartbeat && st->epoch ? 0 : too_many(err);
}

int mongo_stream_open(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_position *from,
                      bool commits_wait, struct mf_stream **ret, struct mf_error *err)
{
    if (commits_wait) {
        return mf_fail(err, MF_FATAL, "MFUNSUP", "a MongoDB deployment lets no commit wait for a stream");
    }
    struct mongo_stream *st = mf_xcalloc(1, sizeof *st);
    st->base.db = base;
    st->db = mongo_db_of(base);
    st->pipe = *pipe;
    st->told = *from;
    bool streams = st->db->can.tells == MONGO_TELLS_ALL && !atomic_load(&st->db->oplog_instead);
    st->way = streams ? &mongo_way_changes : &mongo_way_oplog;
    mf_arena_init(&st->shape, SHAPE_BYTES);
    mf_arena_init(&st->batch, BATCH_BYTES);
    if (MF_FAULT(err, "mongodb.stream_open") || read_tables(st, err) < 0 ||
        mongo_intents_load(&st->intents, st->db, pipe, err) < 0) {
        mongo_stream_close(&st->base);
        return -1;
    }
    *ret = &st->base;
    return 0;
}
