/*
 * Intents: how the stream knows the writes of the way back.
 *
 * There is no transaction that could hold a window, so a window's documents are no unit in the stream, and what midflight writes must be told from what
 * somebody else writes at the same time, maybe to the same document. Before it writes, a window says so: in midflight.window, for each document one hash of the
 * collection, the id and what will be there (the bytes, or nothing). The stream leaves out what matches an intent exactly, once for each; anything else is somebody's.
 *
 * An intent comes in the stream before what it announces, and ends with its window's checkpoint, which comes after. What a stream that is opened needs of windows that had
 * begun before its position is read from the collection. So an intent stays there until a stream has acknowledged its window's checkpoint.
 */
#ifndef MF_CONNECTOR_MONGODB_INTENT_H
#define MF_CONNECTOR_MONGODB_INTENT_H

#include "connector/mongodb/mongo_room.h"

#define MONGO_INTENT_BYTES 16
#define MONGO_INTENTS_PART ((size_t)512 << 10) /* hashes in one document */

struct mongo_intent_hash {
    uint8_t bytes[MONGO_INTENT_BYTES];
};
/* document MF_NULL: it will be deleted. */
struct mongo_intent_hash mongo_intent_hash(const char *database, const char *collection, const struct mf_value *id,
                                           const struct mf_value *document);

/* ---- the writer: apply ---- */
int mongo_intents_write(struct mongo_db *db, const struct mf_pipe_id *pipe, int64_t window, int part,
                        const struct mongo_intent_hash *list, size_t n, struct mf_error *err);

/* ---- the reader: one stream ---- */
struct mongo_intent_window {
    int64_t number;
    uint64_t done; /* when its checkpoint came; 0: it has not */
};
struct mongo_intents {
    char migration[41];
    struct mf_pipe_id writer; /* whose windows */
    struct mongo_intent_slot {
        struct mongo_intent_hash hash;
        int64_t window;
        uint32_t count; /* 0: empty */
        bool used;      /* was not empty before */
    } * slots;
    size_t nslots, nused;
    struct mongo_intent_window *windows; /* oldest first */
    size_t nwindows, windows_cap;
    int64_t ended;  /* the last checkpoint's */
    int64_t loaded; /* up to this window they were read when the stream was opened */
};
/* All that stand in the collection. */
int mongo_intents_load(struct mongo_intents *in, struct mongo_db *db, const struct mf_pipe_id *reader,
                       struct mf_error *err);
/* A document of midflight.window came in the stream. */
int mongo_intents_add(struct mongo_intents *in, const bson_t *doc, struct mf_error *err);
/* Whether this was announced; it is not any more then. */
bool mongo_intents_take(struct mongo_intents *in, const struct mongo_intent_hash *h);
/* A document of midflight.checkpoint came in the stream, at this time. */
void mongo_intents_checkpoint(struct mongo_intents *in, const bson_t *doc, uint64_t time);
/* Everything up to `durable` is acknowledged: windows that had ended by then are forgotten. */
int mongo_intents_forget(struct mongo_intents *in, struct mongo_db *db, uint64_t durable, struct mf_error *err);
void mongo_intents_free(struct mongo_intents *in);

#endif
