/* The database `midflight`: documents of ours, found by ids of text that are made of the migration's name. See book.c. */
#ifndef MF_CONNECTOR_MONGODB_BOOK_H
#define MF_CONNECTOR_MONGODB_BOOK_H

#include "connector/mongodb/mongo_room.h"

#define MONGO_BOOK_ID 320

const char *mongo_direction(enum mf_direction d); /* "fwd", "rev" */

/* One document by its id. *ret is the caller's to bson_destroy when *ret_there. */
int mongo_book_get(struct mongo_db *db, const char *collection, const char *id, bson_t *ret, bool *ret_there,
                   struct mf_error *err);
/* The same, of what no change of primaries takes back. */
int mongo_book_get_for_good(struct mongo_db *db, const char *collection, const char *id, bson_t *ret, bool *ret_there,
                            struct mf_error *err);
/* The document, which has an _id, in place of what has the id, or beside it. *ret_time (may be NULL): the operation time of the reply, 0: it has none. */
int mongo_book_put(struct mongo_db *db, const char *collection, const bson_t *doc, uint64_t *ret_time,
                   struct mf_error *err);
/* Only where the document that is there has the values of `if_` (an _id is among them): *ret_done. if_there false: only where there is none with its _id. */
int mongo_book_swap(struct mongo_db *db, const char *collection, const bson_t *if_, bool if_there, const bson_t *doc,
                    bool *ret_done, struct mf_error *err);
int mongo_book_delete(struct mongo_db *db, const char *collection, const bson_t *filter, struct mf_error *err);
/* Documents of a filter, by _id. */
int mongo_book_each(struct mongo_db *db, const char *collection, const bson_t *filter, mongo_each_fn *each, void *ctx,
                    struct mf_error *err);

/* What is remembered of a migration, "" for nothing. */
int mongo_kept(struct mongo_db *db, const char *migration, const char *kind, const char *object, char *ret, size_t n,
               struct mf_error *err);
int mongo_keep(struct mongo_db *db, const char *migration, const char *kind, const char *object, const char *value,
               struct mf_error *err);

/* The end of what there is, as an order: an operation time, or the last entry of the oplog. */
int mongo_time_now(struct mongo_db *db, uint64_t *ret, struct mf_error *err);
/* The server's clock, microseconds since 1970. */
int mongo_clock_us(struct mongo_db *db, int64_t *ret, struct mf_error *err);

/* The checkpoint, with the number of the window it ends. for_good: as mongo_book_get_for_good. */
int mongo_checkpoint_read(struct mongo_db *db, const struct mf_pipe_id *pipe, bool for_good, struct mf_position *ret,
                          int64_t *ret_window, struct mf_error *err);
int mongo_checkpoint_write(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_position *p,
                           int64_t window, struct mf_error *err);

#endif
