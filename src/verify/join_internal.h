#ifndef MF_VERIFY_JOIN_INTERNAL_H
#define MF_VERIFY_JOIN_INTERNAL_H

#include "pipeline/touched.h"
#include "verify/internal.h"

/* How far the table at hand is. */
enum vf_join_stage {
    JN_TABLE,   /* none is at hand: the next is begun, with an empty store */
    JN_ORIGIN,  /* chunks of the origin are read, in exact snapshots */
    JN_PASS,    /* apply has yet to pass the last of them */
    JN_REPLICA, /* chunks of the replica are read, as they stand */
    JN_WHOLE,   /* without a key: both sides at one position instead */
    JN_SEAL,
    JN_MATCH, /* pieces of the store are joined */
    JN_CHECK, /* what may differ is looked at, while apply stands */
    JN_FINISH
};

struct vf_join {
    /* Guarded by mf_verify.mu, as the table's chunks. */
    enum vf_join_stage stage;
    bool solo;    /* one worker has it all to itself; no other does anything */
    bool again;   /* what was read is of no use: once nobody is at it, the table is begun anew */
    bool planned; /* the chunks of this stage's side are known */
    struct vf_table *t;
    uint32_t done; /* of its chunks */
    uint32_t piece, npieces;
    struct mf_buf candidates; /* keys whose rows may differ, each as a varint and its bytes */
    struct mf_buf ahead;      /* those that differed, and must at another position, too */
    unsigned looks;           /* that were had at all candidates */
    /* The solo worker's. */
    struct mf_touched *touched; /* a side may be newer than its position: apply's; NULL. Constant */
    struct vf_store *store;     /* constant from JN_TABLE on; its own lock guards it */
    struct mf_position last;    /* of the last snapshot of the origin */
    size_t checked;             /* bytes of the candidates that have been looked at */
    int64_t since_us;           /* apply has been held for this round since */
    int64_t until_us;           /* what is being read holds apply, and must not for longer; 0: it does not */
};

/* join_read.c: by a worker in a round. Both return 0 and *ret_whole false when the verification is being stopped. */
int vf_join_read(struct mf_verify *v, struct vf_slot *s, enum vf_side side, const struct mf_chunk *c, bool *ret_whole,
                 struct mf_error *err);
/* The key's values with their kinds and lengths: equal bytes on both sides exactly when the keys are equal. */
int vf_join_encode(const struct mf_table *t, const struct mf_row *key, struct mf_buf *out, struct mf_error *err);
/* What it has read and not told of yet. */
void vf_join_count(struct mf_verify *v, struct vf_slot *s);

/* join_match.c */
int vf_join_piece(struct mf_verify *v, uint32_t piece, struct mf_error *err);
bool vf_join_shows_newer(const struct mf_verify *v); /* one of the sides does */
bool vf_join_full(const struct vf_join *j);          /* no more candidates before these are looked at */
enum mf_step vf_join_check(struct mf_verify *v, struct vf_slot *s, struct mf_error *err); /* DONE: all are looked at */
enum mf_step vf_join_whole(struct mf_verify *v, struct vf_slot *s,
                           struct mf_error *err); /* DONE: both sides are read */

#endif
