/* The room's own header: a deployment, clients on loan, commands, and what the files here give the tables of mongodb.c.
 *
 * Threads: a mongo_db may be used from any thread; a client (and every cursor and session made of it) belongs to the thread that borrowed it. */
#ifndef MF_CONNECTOR_MONGODB_MONGO_ROOM_H
#define MF_CONNECTOR_MONGODB_MONGO_ROOM_H

#include "base/cleanup.h"
#include "bson/shred.h"
#include "connector/connector.h"
#include "connector/mongodb/bound.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdatomic.h>

extern const struct mf_connector mf_connector_mongodb;

#define MONGO_BOOK        "midflight" /* the database with our bookkeeping */
#define MONGO_NAME        256         /* of a database, a collection; longer ones are not migrated (check says so) */
#define MONGO_CLIENTS_MAX 100         /* borrowed at one time */

/* How a deployment tells of changes: the widest that it answered to. */
enum mongo_tells {
    MONGO_TELLS_NOTHING,
    MONGO_TELLS_OPLOG,       /* local.oplog.rs can be read */
    MONGO_TELLS_COLLECTIONS, /* a change stream of one collection */
    MONGO_TELLS_DATABASES,   /* of a database */
    MONGO_TELLS_ALL,         /* of the whole deployment */
};

/* What it is and can do, as of open. */
struct mongo_can {
    enum mongo_speaks speaks; /* MONGO_GENUINE: nothing tells that it is something else than MongoDB */
    bool replica_set;         /* hello has a setName */
    bool sharded;             /* a mongos answered */
    bool sessions;
    bool majority; /* reads with readConcern majority are answered */
    bool times;    /* replies have an operationTime */
    int wire;      /* maxWireVersion: 6 is 3.6, 7 is 4.0, 13 is 5.0, 17 is 6.0, 21 is 7.0 */
    enum mongo_tells tells;
    int64_t document_max; /* maxBsonObjectSize */
    char set_name[128];
};

struct mongo_was; /* catalog.c: collections that were seen, with their UUIDs */

struct mongo_db {
    struct mf_db base;
    mongoc_uri_t *uri; /* has the password: never printed */
    mongoc_client_pool_t *pool;
    char database[MONGO_NAME]; /* the URL's; "" it names none */
    struct mf_db_facts facts;
    struct mongo_can can;
    int connect_timeout_s, statement_timeout_ms;
    atomic_bool oplog_instead; /* a change stream met an event that it cannot tell: the next stream reads the oplog */
    char migration[41];        /* whose books a check looks at; "" of none */
    pthread_mutex_t lock;      /* guards the rest */
    int64_t hurry_until_us;    /* 0: nobody is in a hurry */
    pthread_t hurried;         /* the thread that is */
    const struct mf_shred
        *shred; /* the map of documents, for the way back; NULL: documents are put as they are given */
    struct mongo_was *was;
    size_t nwas, was_cap;
};

static inline struct mongo_db *mongo_db_of(struct mf_db *db)
{
    return (struct mongo_db *)db;
}

/* ---- connect.c ---- */

int mongo_open(const struct mf_db_options *o, struct mf_db **ret, struct mf_error *err);
void mongo_close(struct mf_db *db);
/* 1: local.oplog.rs can be read. 0: it cannot, or the deployment has no single one. */
int mongo_has_oplog(struct mongo_db *db, struct mf_error *err);
int mongo_facts(struct mf_db *db, struct mf_db_facts *ret, struct mf_error *err);
void mongo_hurry(struct mf_db *db, int within_ms);
/* What is left for a short command of the calling thread, in ms: of its hurry, else the statement timeout; 0: no bound. */
int mongo_time_left(struct mongo_db *db);

/* A client of the pool. MF_RETRY when none comes free in bounded time. It has connected to nothing yet. */
int mongo_borrow(struct mongo_db *db, mongoc_client_t **ret, struct mf_error *err);
void mongo_return(struct mongo_db *db, mongoc_client_t *c); /* NULL is fine. Its cursors and sessions are gone before */

/* A client for the length of a scope: `MONGO_LEASE(db, l); if (mongo_borrow(l.db, &l.client, err) < 0) ...` */
struct mongo_lease {
    struct mongo_db *db;
    mongoc_client_t *client;
};
static inline void mongo_lease_end_p(struct mongo_lease *l)
{
    mongo_return(l->db, l->client);
}
#define MONGO_LEASE(db_, name) struct mongo_lease name MF_CLEANUP(mongo_lease_end_p) = {.db = (db_)}

/* A bson_t whose memory is given back at the end of the scope; starts empty. */
static inline void mongo_bson_end_p(bson_t *b)
{
    bson_destroy(b);
}
#define MONGO_BSON(name) bson_t name MF_CLEANUP(mongo_bson_end_p) = BSON_INITIALIZER

MF_DEFINE_CLEANUP(mongoc_cursor_t *, mongoc_cursor_destroy);
MF_DEFINE_CLEANUP(mongoc_client_session_t *, mongoc_client_session_destroy);
MF_DEFINE_CLEANUP(mongoc_collection_t *, mongoc_collection_destroy);
#define MONGO_CURSOR     MF_CLEANUP(mongoc_cursor_destroy_p) mongoc_cursor_t
#define MONGO_SESSION    MF_CLEANUP(mongoc_client_session_destroy_p) mongoc_client_session_t
#define MONGO_COLLECTION MF_CLEANUP(mongoc_collection_destroy_p) mongoc_collection_t

/* ---- command.c ---- */

enum mongo_how {
    MONGO_ANYWHERE, /* read by the URL's read preference */
    MONGO_PRIMARY,  /* read where writes go to */
    MONGO_WRITE, /* acknowledged by a majority (where there is one). The first of writeErrors is the error (code: the server's number), a
                  * writeConcernError is MF_RETRY */
};
/* One command within mongo_time_left. c NULL: a client is borrowed for it. *ret_reply (may be NULL) is the caller's to bson_destroy, on success only. */
int mongo_command(struct mongo_db *db, mongoc_client_t *c, enum mongo_how how, const char *database,
                  const bson_t *command, bson_t *ret_reply, struct mf_error *err);
/* The documents of a command's cursor, one by one: on one server, in one session where there are sessions. Not bounded but by the socket's timeout. */
struct mongo_look {
    struct mongo_db *db;
    mongoc_client_t *client;
    mongoc_client_session_t *session; /* NULL: the deployment has none */
    mongoc_cursor_t *cursor;
    uint64_t time; /* of the first reply */
    bool whole;    /* which had everything */
};
int mongo_look_open(struct mongo_db *db, enum mongo_how how, const char *database, const bson_t *command,
                    struct mongo_look *ret, struct mf_error *err);
/* 1: *ret is good until the next call; 0: the end. */
int mongo_look_next(struct mongo_look *l, const bson_t **ret, struct mf_error *err);
/* The operationTime of the last reply (mongo_timestamp); 0: not known, the deployment does not tell. */
uint64_t mongo_look_time(const struct mongo_look *l);
void mongo_look_close(struct mongo_look *l);
/* Every document of a command's cursor (find, aggregate, listCollections), batch by batch, within mongo_time_left for the first. Documents are good during the
 * call. Not 0 ends it with that. */
typedef int mongo_each_fn(void *ctx, const bson_t *document, struct mf_error *err);
int mongo_each(struct mongo_db *db, enum mongo_how how, const char *database, const bson_t *command,
               mongo_each_fn *each, void *ctx, struct mf_error *err);

/* Always -1. e and the server's reply (may be NULL) as an error: MF_RETRY for the network, a primary that is none (any more), what was interrupted, and what the server
 * labels as transient; else MF_FATAL. code: the server's number as text ("11600"), or MFNET, MFAUTH, MFMONGO of the library's own errors. */
int mongo_fail(const struct mongo_db *db, const bson_error_t *e, const bson_t *reply, struct mf_error *err);
/* The same of a cursor that has ended with an error; 0: it has not. */
int mongo_cursor_failed(const struct mongo_db *db, mongoc_cursor_t *cursor, struct mf_error *err);
bool mongo_is_error(const struct mf_error *err, int number);
/* What the server answers with this number passes by itself. */
bool mongo_passes(int64_t number);
/* A command, or a bulk, that waits until a majority has it on disk; wtimeout_ms 0: a minute. Where there is no set: until the disk has it. */
void mongo_ask_durable(const struct mongo_db *db, bson_t *command, int wtimeout_ms);
/* readConcern majority, where the deployment has it: what is read so is not taken back by a change of primaries. */
void mongo_ask_majority(const struct mongo_db *db, bson_t *command);
/* "dotted.path" of a reply: an integer of any width (or an integral double), a text ("" where it is none; cut to n), true or 1. */
int64_t mongo_int(const bson_t *reply, const char *path, int64_t otherwise);
void mongo_text(const bson_t *reply, const char *path, char *ret, size_t n);
bool mongo_true(const bson_t *reply, const char *path);
bool mongo_has(const bson_t *reply, const char *path);
/* A BSON timestamp as the order of a position, seconds << 32 | increment; 0 where there is none. */
uint64_t mongo_timestamp(const bson_t *reply, const char *path);
/* Order and token "SEC.INC" of a place in the deployment's time. */
void mongo_position_of(uint64_t time, struct mf_position *ret);

/* ---- refused.c ---- */
/* The key of a document whose _id has no text; holder: a document with that _id. In the arena. */
int mongo_refused_id(struct mf_arena *arena, const struct mf_value *holder, const struct mf_error *why,
                     struct mf_value *ret, struct mf_error *err);

/* ---- catalog.c ---- */

int mongo_catalog(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);
int mongo_shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);
int mongo_what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                      struct mf_error *err);

/* ---- reader.c, plan.c ---- */

int mongo_reader_open(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret,
                      struct mf_error *err);
void mongo_reader_close(struct mf_reader *r);
int mongo_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err);
int mongo_chunk_plan(struct mf_reader *r, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                     mf_chunk_sink *emit, void *ctx, struct mf_error *err);
int mongo_chunk_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                     void *ctx, struct mf_position *ret_after, struct mf_error *err);
int mongo_read_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n,
                    mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err);
int mongo_load(struct mf_db *db, double *ret, struct mf_error *err);

/* ---- check.c, canon.c ---- */

int mongo_check(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err);
extern const struct mf_canon_ops mongo_canon_ops;

/* ---- stream.c, oplog.c, event.c: as in connector.h ---- */

int mongo_stream_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                         struct mf_position *ret_start, struct mf_error *err);
int mongo_stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                            struct mf_error *err);
int mongo_stream_skip(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *to,
                      struct mf_error *err);
int mongo_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from,
                      bool commits_wait, struct mf_stream **ret, struct mf_error *err);
int mongo_stream_next(struct mf_stream *st, int timeout_ms, struct mf_item *ret, struct mf_error *err);
int mongo_stream_ack(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err);
void mongo_stream_close(struct mf_stream *st);
void mongo_stream_wake(struct mf_stream *st);
int mongo_stream_drop(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
int mongo_heartbeat(struct mf_db *db, const struct mf_pipe_id *pipe, const char *marker, struct mf_position *ret_after,
                    struct mf_error *err);
int mongo_position(struct mf_db *db, struct mf_position *ret, struct mf_error *err);
int mongo_clock(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err);
int mongo_visible(struct mf_db *db, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err);

/* ---- book.c, apply.c ---- */

int mongo_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
int mongo_checkpoint(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err);
int mongo_cleanup(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
int mongo_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err);
void mongo_applier_close(struct mf_applier *a);
int mongo_window_begin(struct mf_applier *a, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                       struct mf_error *err);
int mongo_window_batch(struct mf_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                       struct mf_error *err);
int mongo_window_commit(struct mf_applier *a, struct mf_error *err);
void mongo_window_abort(struct mf_applier *a);
int mongo_repair_rows(struct mf_applier *a, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                      const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err);
int mongo_quarantine_list(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                          struct mf_error *err);
int mongo_quarantine_drop(struct mf_db *db, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err);

/* ---- traffic.c: its .hurry is mongo_hurry, its .cleanup mongo_cleanup ---- */

extern const struct mf_traffic_ops mongo_traffic_ops;
int mongo_epoch_number(struct mongo_db *db, const char *migration, int64_t *ret, struct mf_error *err);

#endif
