/* The collections of a deployment, what is a table and what is none. */
#ifndef MF_CONNECTOR_MONGODB_CATALOG_H
#define MF_CONNECTOR_MONGODB_CATALOG_H

#include "connector/mongodb/mongo_room.h"

enum mongo_kind {
    MONGO_IS_TABLE, /* the only one that is a table */
    MONGO_IS_VIEW,
    MONGO_IS_SERIES,
};

struct mongo_found {
    const char *database, *name;
    enum mongo_kind kind;
    bool has_uuid;
    uint8_t uuid[16];
    bool capped, collation, images; /* images: pre- and post-images of changes are kept */
    bool without_id_index;
};
typedef int mongo_found_fn(void *ctx, const struct mongo_found *f, struct mf_error *err);
/* Those of the filter: of the URL's database, and of others where a pattern names them (all, but the server's own and our books, where the URL names none). What
 * begins with "system." is left out. */
int mongo_collections(struct mongo_db *db, const struct mf_filter *filter, mongo_found_fn *found, void *ctx,
                      struct mf_error *err);
/* One collection, whatever it is; *ret_there false: it is not there. Its texts are database and name. */
int mongo_collection(struct mongo_db *db, const char *database, const char *name, struct mongo_found *ret,
                     bool *ret_there, struct mf_error *err);
/* How many documents and bytes, as the server keeps count; -1 and 0 where it does not say. */
int mongo_figures(struct mongo_db *db, const char *database, const char *name, int64_t *ret_rows, int64_t *ret_bytes,
                  struct mf_error *err);

#endif
