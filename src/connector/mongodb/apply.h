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
    int32_t code;           /* the server's, with `taken` */
    const char *taken; /* not written: the server's words of a unique index that has one of its values; else NULL */
};

/* One that was not written and waits for the end of its window (anew.c). All it has is in mongo_applier.kept. */
struct mongo_left {
    const char *schema, *name, *key; /* of its entry in the quarantine */
    struct mongo_put put;
    bool entry; /* it comes from there, and has one */
    bool over;  /* another version of it came since */
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
    bool no_transactions; /* it said so when one was begun */
    struct mf_arena kept; /* of a window: what is left */
    struct mongo_left left[MONGO_GROUP];
    size_t nleft, left_bytes;
};

/* put.c: the group, written: read, merged, announced, and then. MF_ROW, MF_CONFLICT: some of it may be written. What a unique index refuses is left for the end of the
 * window. The group is empty afterwards, whatever happened. */
int mongo_put_group(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err);
int mongo_put_add(struct mongo_applier *a, const struct mf_table *t, const struct mf_value *id,
                  const struct mf_value *document, struct mf_error *err);

/* put.c: steps of that, for the end of a window. */
struct mongo_where {
    const char *schema, *name;
    mongoc_client_t *client;
    mongoc_client_session_t *session; /* with a transaction; NULL: each write is by itself */
    bool
        settling; /* whatever the server has against a document is a refusal of it (`taken`): its window has no other place to tell it */
};
enum mongo_write {
    MONGO_WRITE_WHOLE, /* what is wanted */
    MONGO_WRITE_GONE,  /* nothing is there */
};
/* What is there of them, and what they will be. MF_ROW: one of them cannot be written. */
int mongo_put_prepare(struct mongo_applier *a, const char *schema, const char *name, struct mongo_put **list, size_t n,
                      struct mf_error *err);
/* That they will be so is announced. */
int mongo_put_announce(struct mongo_applier *a, const char *schema, const char *name, struct mongo_put **list, size_t n,
                       enum mongo_write what, struct mf_error *err);
/* 0: what is not written has `taken`. In a transaction that has ended with the first of them, and which it was is known if n is 1. */
int mongo_put_write(struct mongo_applier *a, const struct mongo_where *w, struct mongo_put **list, size_t n,
                    enum mongo_write what, struct mf_error *err);

/* anew.c */
/* The group was written: of its documents the newest version counts, and those that were not written are kept. MF_CONFLICT: there is no room. */
int mongo_left_take(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err);
/* Another version of it is left out: what is left of it counts no more. */
void mongo_left_over(struct mongo_applier *a, const struct mf_table *t, const struct mf_value *id);
bool mongo_is_left(const struct mongo_applier *a, const struct mf_table *t, const struct mf_value *id);
/* They are given anew, in an order that the indexes allow. What is refused for good keeps its `taken`; the others are written. */
int mongo_left_settle(struct mongo_applier *a, struct mf_error *err);
void mongo_left_clear(struct mongo_applier *a);

/* quarantine.c */
int mongo_quarantine_any(struct mongo_db *db, const struct mf_pipe_id *pipe, bool *ret, struct mf_error *err);
/* document: of one that a unique index refused, so that it can be given again with others; else NULL. */
int mongo_quarantine_keep(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_quarantined *q,
                          const struct mf_value *document, bool *ret_new, struct mf_error *err);
/* The documents of a collection that unique indexes refused since writes left it. key: of the entry; both are good during the call. Not 0 ends it. */
typedef int mongo_refused_fn(void *ctx, const char *key, const struct mf_value *document, struct mf_error *err);
int mongo_quarantine_taken(struct mongo_db *db, const struct mf_pipe_id *pipe, const char *schema, const char *name,
                           mongo_refused_fn *each, void *ctx, struct mf_error *err);
int mongo_quarantine_forget(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                            const char *key, struct mf_error *err);
int mongo_quarantine_forget_table(struct mongo_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                                  struct mf_error *err);

#endif
