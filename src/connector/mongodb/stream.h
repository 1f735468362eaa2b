/* A stream of changes, whichever way the deployment tells them: what changes.c (change streams) and oplog.c (the oplog) read becomes items here. See stream.c. */
#ifndef MF_CONNECTOR_MONGODB_STREAM_H
#define MF_CONNECTOR_MONGODB_STREAM_H

#include "connector/mongodb/book.h"
#include "connector/mongodb/event.h"
#include "connector/mongodb/intent.h"

struct mongo_stream;

/* One way of reading. `read` adds events by mongo_stream_event and says by mongo_stream_settled how far everything has been told; it waits at most timeout_ms. */
struct mongo_way {
    int (*read)(struct mongo_stream *st, int timeout_ms, struct mf_error *err);
    void (*close)(struct mongo_stream *st);
};
extern const struct mongo_way mongo_way_changes, mongo_way_oplog;

struct mongo_table {
    const char *database, *collection;
    const struct mf_table *table;
    struct mf_arena
        found; /* its documents that were looked up together: all of them are given before others are looked up */
};

/* A change that was read and is not an item yet. */
struct mongo_pending {
    uint64_t time;
    int64_t wall_us;
    const struct mf_table *table; /* NULL: no change; the time is over (settled) */
    enum mf_op op;
    struct mf_value id, document; /* document MF_NULL: to be looked up, or (looked) not there */
    bool looked;
    struct mf_value fallback; /* where the document is not there any more; MF_NULL: then the change is left out */
    struct mf_value data;     /* of the resume token, MF_NULL: none */
    struct mf_row book;       /* of a table of ours */
    const struct mf_error *failure;
};

struct mongo_stream {
    struct mf_stream base;
    struct mongo_db *db;
    struct mf_pipe_id pipe;
    const struct mongo_way *way;
    void *reading;         /* the way's own */
    struct mf_arena shape; /* for as long as the stream: tables */
    struct mongo_table *tables;
    size_t ntables;
    const struct mf_table *heartbeat, *epoch;
    bool
        widened; /* a collection was added: a way that asks for ours only has to ask again, from behind what was read */
    struct mongo_intents intents;

    struct mf_arena batch; /* what was read at once; emptied when all of it was given */
    size_t look_most;      /* so many are, next time */
    struct mongo_pending *pending;
    size_t npending, pending_cap, next;

    struct mf_position told; /* everything up to here was given */
    uint64_t open;           /* the transaction that was begun: its time; 0: none */
    int64_t open_wall_us;
    char open_data[MF_POSITION_TOKEN]; /* of the token of its last event; "" none */
    struct mf_value row[4];
};

/* An event that was read; views of it need not stay. What does not concern this stream is left out. */
int mongo_stream_event(struct mongo_stream *st, const struct mongo_event *e, struct mf_error *err);
/* Everything up to and with `time` has been read; data: of a resume token for that place, NULL: none. */
int mongo_stream_settled(struct mongo_stream *st, uint64_t time, const struct mf_value *data, struct mf_error *err);
/* The time of the last change that was read, in a transaction that is not settled; 0: none. */
uint64_t mongo_stream_unsettled(const struct mongo_stream *st);
/* MF_FATAL, code MFSLOT: what the stream needs is gone. Always -1. */
int mongo_stream_lost(struct mf_error *err, const char *why);

/* stream_open.c: a document of midflight.settings came, or was read: a collection that is streamed, from now on, if it is one of ours. *ret_new: it was not known. */
int mongo_stream_widen(struct mongo_stream *st, const bson_t *doc, bool *ret_new, struct mf_error *err);

/* lookup.c: looks for the document of pending[next], and for some of those behind it. */
int mongo_look_up(struct mongo_stream *st, struct mf_error *err);

#endif
