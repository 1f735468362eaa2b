/* Windows of the way back. See apply.c. */
#ifndef MF_CONNECTOR_MONGODB_APPLY_H
#define MF_CONNECTOR_MONGODB_APPLY_H

#include "connector/mongodb/book.h"
#include "connector/mongodb/intent.h"

#define MONGO_GROUP       500 /* documents that are read and written together */
#define MONGO_GROUP_BYTES ((size_t)32 << 20)

/* One document as it is to be. */
struct mongo_put {
    struct mf_value id;     /* text */
    struct mf_value wanted; /* normal form; MF_NULL: it goes */
    struct mf_value there;  /* as it is; MF_NULL: it is not there */
    struct mf_value whole;  /* as it will be written: wanted put into what is there */
    bool nothing;           /* it is so already */
};

struct mongo_applier {
    struct mf_applier base;
    struct mf_pipe_id pipe;
    struct mf_position checkpoint, last; /* of this window; of the one before */
    int64_t window;                      /* its number: never given twice */
    int part;                            /* of its intents */
    struct mf_window_mode mode;
    struct mf_window_result *result;
    struct mf_arena arena; /* of a group */
    struct mongo_put puts[MONGO_GROUP];
    size_t nputs, bytes;
    bool has_quarantine;
};

/* put.c: the group, written: read, merged, announced, and then. MF_ROW, MF_CONFLICT: some of it may be written; *ret_bad (may be NULL): which was refused. The group is empty
 * afterwards, whatever happened. */
int mongo_put_group(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err);
int mongo_put_add(struct mongo_applier *a, const struct mf_table *t, const struct mf_value *id,
                  const struct mf_value *document, struct mf_error *err);

/* quarantine.c */
int mongo_quarantine_any(struct mongo_db *db, const struct mf_pipe_id *pipe, bool *ret, struct mf_error *err);
int mongo_quarantine_keep(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_quarantined *q,
                          bool *ret_new, struct mf_error *err);
int mongo_quarantine_forget(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                            const char *key, struct mf_error *err);
int mongo_quarantine_forget_table(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                                  struct mf_error *err);

#endif
