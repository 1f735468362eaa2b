/* The inside of the stream of the way back: stream.c, relations.c, emptied.c, notes.c and told.c. Everything here is the stream's thread's alone. */
#ifndef MF_CONNECTOR_SHRED_STREAM_H
#define MF_CONNECTOR_SHRED_STREAM_H

#include "base/by_id.h"
#include "connector/shred/internal.h"

/* A table as the stream told of it last. */
struct docs_rel {
    struct mf_arena arena;
    enum { DOCS_PASSES, DOCS_LEFT_OUT, DOCS_OURS } how;
    const struct docs_real *c; /* OURS: of this collection, */
    uint16_t t;                /* this table */
    uint16_t *at;              /* where the stream's version has each column of the document's key */
};

/* The documents that a transaction touched, each once, in the order of its first change. */
struct docs_note {
    const struct docs_real *c;
    struct mf_value id;
};

/* A child table that was emptied alone, and the savepoint it was done in. */
struct docs_emptied {
    const struct docs_real *c;
    uint16_t t;
    uint64_t subtxn;
};
#define DOCS_EMPTIED 16 /* of one transaction; the last one then stands for what more there is */

struct docs_txn {
    struct docs_txn *next;
    uint64_t id;
    bool ours;       /* midflight's own: whoever reads this stream drops it */
    bool handed_out; /* something of it already */
    struct mf_arena arena;
    struct docs_note *notes;
    size_t n, cap;
    uint32_t *slots; /* by hash; number of the note plus one */
    size_t nslots;
    struct docs_emptied emptied[DOCS_EMPTIED];
    uint8_t nemptied;
};

/* A COMMIT that is held back until its documents are told, and those of the transactions before it that are told with it. */
struct docs_held {
    struct mf_item commit;
    struct docs_txn *txn;
    int64_t since_us;
    bool whole;      /* no other transaction is told with it */
    bool seen;       /* readers see them */
    uint64_t *asked; /* about each transaction (mf_source_ops.visible): a later one may be seen before an earlier one */
    size_t nasked;
    size_t at; /* the note that is told next */
};

struct docs_stream {
    struct mf_stream base;
    struct mf_stream *own;
    struct mf_pipe_id pipe;
    struct docs_reals reals;
    struct mf_arena *later; /* of those read since: what was handed out may refer to any of them */
    size_t nlater;
    bool *announced;        /* of a collection of the map */
    struct mf_by_id rels;   /* struct docs_rel, by table id */
    struct docs_txn *txns;  /* that are open */
    struct docs_held *held; /* NULL: none */
    struct mf_item after;   /* what came while it was held, to be looked at after it */
    bool has_after;
    struct mf_arena item; /* of what is handed out */
    struct mf_item *items;
    size_t nitems, at, items_cap;
};

/* ---- stream.c ---- */
struct mf_item *docs_add_item(struct docs_stream *st, const struct mf_item *like);

/* ---- emptied.c ---- */
int docs_emptied(struct docs_stream *st, const struct mf_item *own, struct mf_error *err); /* a TRUNCATE */
void docs_emptied_undone(struct docs_txn *t, uint64_t subtxn);                             /* t may be NULL */
/* Before its COMMIT: what nobody can tell as changes of documents. */
int docs_emptied_tell(struct docs_stream *st, struct docs_txn *t, const struct mf_item *commit, struct mf_error *err);

/* ---- relations.c ---- */
void docs_rel_free(struct docs_rel *r);
/* As the stream tells of it now, whatever it told before. */
int docs_rel_learn(struct docs_stream *st, const struct mf_table *t, struct docs_rel **ret, struct mf_error *err);
int docs_rel_find(struct docs_stream *st, const struct mf_table *t, struct docs_rel **ret, struct mf_error *err);

/* ---- notes.c ---- */
struct docs_txn *docs_txn_find(struct docs_stream *st, uint64_t id, bool make);
struct docs_txn *docs_txn_take(struct docs_stream *st, uint64_t id); /* out of the open ones; NULL: there is none */
void docs_txn_free(struct docs_txn *t);
int docs_note(struct docs_txn *t, const struct docs_real *c, const struct mf_value *id, struct mf_error *err);
/* What it did to the collection before means nothing any more. */
void docs_note_emptied(struct docs_txn *t, const struct docs_real *c);

/* ---- told.c ---- */
/* A bounded piece: adds items, or nothing. *ret_wait: nothing can be done before the server shows more. */
int docs_told_step(struct docs_stream *st, bool *ret_wait, struct mf_error *err);
void docs_held_add(struct docs_held *h, const struct mf_item *commit); /* the last one from here on */
void docs_held_free(struct docs_held *h);

#endif
