/* A map held against documents: what it refuses and why, with the first document each; what it has that no document fills; what it leaves out.
 *
 * Memory has a bound: kinds of refusals are told apart up to MF_MAP_REASONS. One thread an object; several are merged. Pure. */
#ifndef MF_BSON_MAP_CHECK_H
#define MF_BSON_MAP_CHECK_H

#include "bson/shred.h"

#define MF_MAP_REASONS  200               /* of one collection */
#define MF_MAP_DOCUMENT ((size_t)2 << 30) /* of the rows of one document */

struct mf_map_reason {
    char path[240];  /* places in arrays as [], keys of maps as * */
    const char *why; /* static */
    uint64_t values, documents;
    uint64_t chars;   /* of texts among them: the most */
    uint64_t last;    /* the document it was last seen in: counted once */
    char *id, *value; /* of the first one; value "": there is none */
};

struct mf_map_column {
    uint64_t filled; /* rows with a value in it */
    uint64_t chars;  /* of texts: the most */
};

/* The target, as far as values go. */
struct mf_map_target {
    /* Whether a column of it has room for the value (canonical, model/type.h): 0, or -1 with why (MF_ROW). Pure. NULL: it is not asked. */
    int (*fits)(const void *ctx, const struct mf_type *t, struct mf_arena *arena, const struct mf_value *v,
                struct mf_error *err);
    const void *ctx;
};

struct mf_map_check {
    const struct mf_shred_collection *of;
    const struct mf_doc_collection *asked;
    struct mf_map_target target; /* set before the first document */
    uint64_t documents, refused;
    size_t nreasons;
    uint64_t others;                /* values refused for reasons past MF_MAP_REASONS */
    struct mf_map_reason *reasons;  /* in the order they were found */
    uint64_t *rows;                 /* by table, of documents that are taken */
    struct mf_map_column **columns; /* by table, column */
    uint64_t *ignored;              /* by path of `ignore`: documents that have it */
    struct mf_arena arena;
};

/* of and asked (the same collection as it was written) must live as long. */
struct mf_map_check *mf_map_check_new(const struct mf_shred_collection *of, const struct mf_doc_collection *asked);
void mf_map_check_free(struct mf_map_check *c); /* NULL is allowed */
/* MF_FATAL MFMEM: the rows of this document are larger than MF_MAP_DOCUMENT. */
int mf_map_check_add(struct mf_map_check *c, const struct mf_value *bson, struct mf_error *err);
/* Of the same map. */
void mf_map_check_merge(struct mf_map_check *into, const struct mf_map_check *from);

#endif
