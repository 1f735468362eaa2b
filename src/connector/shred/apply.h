/* The applier's inside, shared by apply.c, careful.c and seen.c. One thread. */
#ifndef MF_CONNECTOR_SHRED_APPLY_H
#define MF_CONNECTOR_SHRED_APPLY_H

#include "connector/shred/internal.h"

/* A document that this window has written, as it is since: what readers see of it is older. */
struct docs_seen {
    uint64_t id[2];       /* of collection and id: a hash; 0, 0: free */
    bool gone, forgotten; /* forgotten: there was no room to keep it */
    struct mf_value doc;  /* its bytes are in the first of `room` */
    char *bytes;
    size_t room;
};

struct docs_applier {
    struct mf_applier base;
    struct mf_applier *own;
    struct mf_pipe_id pipe;
    struct mf_reader *reader; /* of what is committed; opened when first needed */
    struct docs_reals reals;
    struct mf_arena batch; /* of the documents at hand */
    struct mf_window_mode mode;
    struct mf_position checkpoint;
    struct mf_window_result *result; /* may be NULL */
    /* Of the window. */
    struct mf_arena kept;
    struct docs_seen *seen; /* open addressing, at most half full */
    size_t nseen, cap;
    uint32_t *emptied; /* of a collection of the map: how often it was emptied */
};

/* What a batch says of one document. */
struct docs_told {
    const struct mf_row *key;   /* of the collection */
    const struct mf_value *doc; /* NULL: it goes */
    enum { DOCS_EITHER, DOCS_MUST_BE, DOCS_MUST_NOT } expects;
};

static inline struct docs_applier *docs_applier_of(struct mf_applier *a)
{
    return (struct docs_applier *)a;
}
static inline const struct mf_target_ops *docs_applier_ops(const struct docs_applier *a)
{
    return a->own->db->connector->target;
}

/* ---- seen.c ---- */
void docs_seen_reset(struct docs_applier *a);
/* ret: a hash that tells this document from all others of the window. */
void docs_seen_id(const struct docs_applier *a, const struct docs_real *c, const struct mf_row *key, uint64_t ret[2]);
const struct docs_seen *docs_seen_find(const struct docs_applier *a, const struct docs_real *c,
                                       const struct mf_row *key);
/* doc NULL: it is gone. */
int docs_seen_put(struct docs_applier *a, const struct docs_real *c, const struct mf_row *key,
                  const struct mf_value *doc, struct mf_error *err);
void docs_seen_empty(struct docs_applier *a, const struct docs_real *c);
bool docs_seen_emptied(const struct docs_applier *a, const struct docs_real *c);

/* ---- apply.c ---- */
/* Fills changes[].was: what was written in this window, else what readers see. */
int docs_look(struct docs_applier *a, const struct docs_real *c, struct docs_change *changes, size_t n,
              struct mf_error *err);
static inline bool docs_is_there(const struct docs_change *c)
{
    return c->was && c->was->of[0].n > 0;
}
/* MF_CONFLICT, or told and mended where the mode says so: the document is not as it must be. t: of the batch. */
int docs_expect(struct docs_applier *a, const struct mf_table *t, const struct docs_told *told,
                const struct docs_change *c, struct mf_error *err);
/* The differences go to the real applier. */
int docs_give(struct docs_applier *a, const struct docs_real *c, const struct docs_change *changes, size_t n,
              struct mf_error *err);
/* The row change as one or two documents; 0: it is to be read again. */
int docs_tell(const struct docs_applier *a, const struct mf_table *t, const struct mf_rowchange *c,
              struct docs_told ret[static 2], size_t *ret_n, struct mf_error *err);

/* ---- careful.c ---- */
int docs_careful(struct docs_applier *a, const struct docs_real *c, const struct mf_table *t,
                 const struct docs_told *told, struct mf_error *err);

#endif
