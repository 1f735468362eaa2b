/* The inside of the stream of the way back: stream.c, notes.c and told.c. Everything here is the stream's thread's alone. */
#ifndef MF_CONNECTOR_SHRED_STREAM_H
#define MF_CONNECTOR_SHRED_STREAM_H

#include "base/by_id.h"
#include "connector/shred/internal.h"

/* A table as the stream told of it last. */
struct shred_rel {
    struct mf_arena arena;
    enum { SHRED_PASSES, SHRED_LEFT_OUT, SHRED_OURS } how;
    const struct shred_real *c; /* OURS: of this collection, */
    uint16_t t;                 /* this table */
    uint16_t *at;               /* where the stream's version has each column of the document's key */
};

/* The documents that a transaction touched, each once, in the order of its first change. */
struct shred_note {
    const struct shred_real *c;
    struct mf_value id;
};
struct shred_txn {
    struct shred_txn *next;
    uint64_t id;
    bool ours; /* midflight's own: whoever reads this stream drops it */
    struct mf_arena arena;
    struct shred_note *notes;
    size_t n, cap;
    uint32_t *slots; /* by hash; number of the note plus one */
    size_t nslots;
};

/* A COMMIT that is held back until its documents are told. */
struct shred_held {
    struct mf_item commit;
    struct shred_txn *txn;
    int64_t since_us;
    bool seen; /* readers see it */
    size_t at; /* the note that is told next */
};

struct shred_stream {
    struct mf_stream base;
    struct mf_stream *own;
    struct mf_pipe_id pipe;
    struct shred_reals reals;
    bool *announced;         /* of a collection of the map */
    struct mf_by_id rels;    /* struct shred_rel, by table id */
    struct shred_txn *txns;  /* that are open */
    struct shred_held *held; /* NULL: none */
    struct mf_arena item;    /* of what is handed out */
    struct mf_item *items;
    size_t nitems, at, items_cap;
};

/* ---- stream.c ---- */
struct mf_item *shred_add_item(struct shred_stream *st, const struct mf_item *like);

/* ---- notes.c ---- */
struct shred_txn *shred_txn_find(struct shred_stream *st, uint64_t id, bool make);
struct shred_txn *shred_txn_take(struct shred_stream *st, uint64_t id); /* out of the open ones; NULL: there is none */
void shred_txn_free(struct shred_txn *t);
int shred_note(struct shred_txn *t, const struct shred_real *c, const struct mf_value *id, struct mf_error *err);
/* What it did to the collection before means nothing any more. */
void shred_note_emptied(struct shred_txn *t, const struct shred_real *c);

/* ---- told.c ---- */
/* A bounded piece: adds items, or nothing. *ret_wait: nothing can be done before the server shows more. */
int shred_told_step(struct shred_stream *st, bool *ret_wait, struct mf_error *err);
void shred_held_free(struct shred_held *h);

#endif
