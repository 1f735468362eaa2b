/* The inside of a view's stream: stream.c, family.c and remake.c. Everything here is the stream's thread's alone. */
#ifndef MF_CONNECTOR_VIEW_STREAM_H
#define MF_CONNECTOR_VIEW_STREAM_H

#include "base/by_id.h"
#include "connector/view/internal.h"

/* One query table and one of its parents, as the catalogue had them when the stream was opened. */
struct view_family {
    uint16_t entry, parent; /* of the map; of made->parents */
    const struct mf_made *made;
    const struct mf_table *table; /* the parent */
    const struct mf_table
        *reads; /* what is read of children: by the columns that refer to it, as if those were the key */
};

/* A table whose columns are shown in others, in one of these families. */
struct view_role {
    uint16_t family;
    uint16_t *key, *shown; /* ordinals of the family's parent's key and of all its columns, in the stream's version */
};

/* A table of the source as the stream told of it last. */
struct view_relation {
    struct mf_arena arena;
    enum { VIEW_PASSES, VIEW_LEFT_OUT, VIEW_SHOWN } how;
    uint16_t n;              /* SHOWN: its query tables */
    struct view_rows *shown; /* t is what is announced: without `made`, which is ours alone */
    uint16_t *entry;         /* of the map */
    bool child;              /* one of them has parents */
    uint16_t nroles;
    struct view_role *roles;
};

struct view_note {
    uint16_t family;
    struct mf_row key; /* as wide as the family's parent */
    struct view_note *next, *chain;
};

/* What a transaction whose commit has not been told did to families. */
#define VIEW_NOTE_CHAINS 1024
struct view_txn {
    uint64_t id;
    bool children;         /* it changed rows that have parents */
    bool looked;           /* parents were looked up for it */
    bool any;              /* it changed parents: */
    bool *all;             /* of a family: more than are listed; any of them */
    struct view_note **of; /* of a family: these */
    struct view_note **chains;
    struct mf_arena arena;
    struct view_txn *next;
};

struct view_cached;
struct view_stream {
    struct mf_stream base;
    struct mf_stream *own;
    struct mf_catalog catalog; /* the real one */
    struct mf_by_id rels;      /* struct view_relation, by table id */
    struct mf_arena item;      /* of what is handed out */
    struct mf_item *items;
    size_t nitems, at, items_cap;
    /* family.c */
    struct mf_arena families_arena;
    struct view_family *families;
    size_t nfamilies;
    uint16_t *first; /* of an entry of the map: its first family */
    struct view_txn *txns;
    struct view_look look;
    bool looked; /* it has read rows of others */
    struct mf_arena cache_arena;
    struct view_cached *
        *cache; /* parents that were looked up, as readers see them since the last commit that changed them */
    /* remake.c */
    struct view_remake *remake; /* a COMMIT is held back; NULL: none */
};

/* ---- stream.c ---- */
struct mf_item *view_add_item(struct view_stream *st, const struct mf_item *like);
/* The relation of a query table's base; learnt from the catalogue where the stream has not told of it yet. */
int view_base_relation(struct view_stream *st, const struct mf_table *base, struct view_relation **ret,
                       struct mf_error *err);

/* ---- family.c ---- */
int view_families_make(struct view_stream *st, struct mf_error *err);
void view_families_free(struct view_stream *st);
/* What the table is in families: fills roles. t: as the stream told of it. MFSHAPE when a column that is shown is gone. */
int view_roles_of(const struct view_stream *st, const struct mf_table *t, struct view_relation *r,
                  struct mf_error *err);
/* Takes note of a change of parents. t: the table as the stream told of it. */
int view_note_change(struct view_stream *st, const struct view_relation *r, const struct mf_item *own,
                     struct mf_error *err);
/* The transaction changed rows that have parents. */
void view_note_children(struct view_stream *st, uint64_t txn);
/* The parents of the row that the change makes, for query table k. */
int view_stream_parents(struct view_stream *st, const struct view_relation *r, uint16_t k, const struct mf_item *own,
                        struct mf_row **ret, struct mf_error *err);
int view_stream_reader(struct view_stream *st, struct mf_error *err);
/* An error of reading other rows, told as what it is to the stream. Returns -1. */
int view_look_failed(const struct view_stream *st, struct mf_error *err);
/* Out of the open ones; NULL: there is none. The caller frees it. */
struct view_txn *view_txn_take(struct view_stream *st, uint64_t id);
void view_txn_free(struct view_txn *t);
/* Its parents are what it made them, from its commit on: what is known of them is forgotten, and transactions that are open still must make up for what they
 * looked up before. */
void view_parents_changed(struct view_stream *st, const struct view_txn *t);

/* ---- remake.c ---- */
/* A transaction is committed. Either its COMMIT is an item now, or it is held back and view_remake_step gives what comes before it. */
void view_commit(struct view_stream *st, const struct mf_item *own);
/* A bounded piece: adds items, or nothing. *ret_wait: nothing can be done before the source shows more. */
int view_remake_step(struct view_stream *st, bool *ret_wait, struct mf_error *err);
void view_remake_free(struct view_remake *r);

#endif
