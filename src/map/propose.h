/* Keys and query tables for a target whose tables follow the queries: proposed from the source's keys, its foreign keys, its indexes and the statements it was asked.
 * Pure: the proposal is for a person to change, and says of each table why it is there.
 *
 * The rules, in order:
 *  - A table's own: where its key begins with the columns of a foreign key, rows of one parent lie together (partition: those columns; clustering: the rest of the
 *    key). Else a row is found by its whole key.
 *  - A table by a foreign key's columns, where the key does not begin with them and an index of the source does, or a statement compares them.
 *  - A table by the columns that statements compare with a value, ordered as they ask, unless one of those above serves them. Those asked most often first.
 *  Every one ends with the rest of the source's key: rows that differ there stay different rows. */
#ifndef MF_MAP_PROPOSE_H
#define MF_MAP_PROPOSE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "map/access.h"
#include "model/schema.h"

#define MF_PROPOSE_KEY  16 /* columns of a key */
#define MF_PROPOSE_MOST 5  /* tables of one source's table; what more statements would need is counted */
#define MF_PROPOSE_NAME 48 /* the longest name that every such target takes */

struct mf_proposed {
    const struct mf_schema_table *of;
    const char *to;
    uint16_t npartition, nclustering;
    uint16_t partition[MF_PROPOSE_KEY]; /* ordinals in `of` */
    struct {
        uint16_t column;
        bool descending, asked; /* asked: by a statement's order or range, and not only to tell rows apart */
    } clustering[MF_PROPOSE_KEY];
    size_t nreasons;
    const char **reasons; /* sentences without a full stop */
    int64_t calls;        /* of the statements it serves */
};

struct mf_asked {
    struct mf_access access;
    int64_t calls;
};

struct mf_proposal {
    struct mf_arena arena; /* owns everything below, but for the schema */
    size_t n;
    struct mf_proposed *tables; /* those of one source's table one after the other */
    size_t nnotes;
    const char **notes; /* what is not proposed, and why */
};

/* schema and asked must live as long as the proposal. MF_FATAL MFMEM when it would be too large. */
int mf_propose(const struct mf_schema *schema, const struct mf_asked *asked, size_t nasked, struct mf_proposal *ret,
               struct mf_error *err);
void mf_proposal_free(struct mf_proposal *p); /* an all-zero one is fine */

/* The column whose moments show how fast a partition grows: the first of the clustering that is a date or a moment, else any that cannot be NULL. -1: none. */
int mf_proposed_moment(const struct mf_proposed *p);

/* One entry of a `map:`, with its reasons and these warnings as comments. */
void mf_proposed_put_yaml(struct mf_buf *b, const struct mf_proposed *p, const char *const *warnings, size_t n);

#endif
