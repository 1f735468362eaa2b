/* What a deployment says was done: change events and entries of the oplog, taken apart. Pure; any thread.
 *
 * Shapes: https://www.mongodb.com/docs/manual/reference/change-events/, and the oplog's as the server's own replication documents them. What is not understood is an
 * error (MF_FATAL, code MFEVENT) where leaving it out could lose a change. */
#ifndef MF_CONNECTOR_MONGODB_EVENT_H
#define MF_CONNECTOR_MONGODB_EVENT_H

#include "base/buf.h"
#include "base/error.h"
#include "model/value.h"

#include <bson/bson.h>

#define MONGO_NAME_MAX     256
#define MONGO_NESTED       16 /* applyOps in applyOps */
#define MONGO_FRAGMENTS    64
#define MONGO_FRAGMENT_SUM ((size_t)256 << 20)

enum mongo_what {
    MONGO_NOTHING, /* nothing that a reader of documents must know */
    MONGO_INSERT,
    MONGO_UPDATE,  /* of some fields */
    MONGO_REPLACE, /* of all of it */
    MONGO_DELETE,
    MONGO_DROP,   /* of a collection */
    MONGO_RENAME, /* to_database, to_collection */
    MONGO_DROP_DATABASE,
    MONGO_INVALIDATE, /* the stream is at its end: what it watched is gone */
};

/* Views are of the document that was read. */
struct mongo_event {
    enum mongo_what what;
    uint64_t time;       /* seconds << 32 | increment; 0: not said */
    int64_t wall_us;     /* since 1970; 0: not said */
    bool in_transaction; /* of several documents */
    char database[MONGO_NAME_MAX], collection[MONGO_NAME_MAX];
    char to_database[MONGO_NAME_MAX], to_collection[MONGO_NAME_MAX];
    struct mf_value key; /* a document with the `_id`, and whatever else finds it; MF_NULL: not said */
    /* All of the document. MF_NULL: it is to be looked up, or (looked_up) was not there any more. */
    struct mf_value document;
    bool looked_up;        /* the server looked for the document after the change: it may be a later one */
    struct mf_value token; /* text of the resume token; MF_NULL: it has none of that form */
    int32_t fragment, of;  /* of a large event; of 0: it is whole */
};

/* An event of a change stream. */
int mongo_change_read(const bson_t *event, struct mongo_event *ret, struct mf_error *err);
/* The resume token's text, and the time in it where it is a mongod's: 0 where it is none. */
bool mongo_token_text(const bson_t *token, struct mf_value *ret);
uint64_t mongo_token_time(const struct mf_value *token);

/* Fragments of one event, put together. */
struct mongo_fragments {
    bson_t whole;
    bool open;
    int32_t next, of;
    size_t bytes;
};
/* *ret_whole: the event, when this was its last fragment; else NULL. Good until the next call. */
int mongo_fragment_add(struct mongo_fragments *f, const bson_t *piece, const struct mongo_event *said,
                       const bson_t **ret_whole, struct mf_error *err);
void mongo_fragments_end(struct mongo_fragments *f);

/* ---- the oplog ---- */

enum mongo_entry_kind {
    MONGO_ENTRY_OPS,    /* its operations are done */
    MONGO_ENTRY_PART,   /* of a transaction whose end is another entry: nothing is done yet */
    MONGO_ENTRY_COMMIT, /* of a prepared transaction, whose operations are in entries before */
};
struct mongo_entry {
    enum mongo_entry_kind kind;
    uint64_t time;
    uint64_t before; /* where the entry with the operations before these is; 0: there is none */
    int64_t wall_us;
};
int mongo_entry_read(const bson_t *entry, struct mongo_entry *ret, struct mf_error *err);

typedef int mongo_event_fn(void *ctx, const struct mongo_event *e, struct mf_error *err);
/* Each operation of an entry, in order. */
int mongo_entry_each(const bson_t *entry, mongo_event_fn *each, void *ctx, struct mf_error *err);

#endif
