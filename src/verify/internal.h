#ifndef MF_VERIFY_INTERNAL_H
#define MF_VERIFY_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "verify/store.h"
#include "verify/verify.h"

#include <pthread.h>

#define VF_WORKERS   16
#define VF_KEY_TEXT  MF_KEY_TOLD
#define VF_ROWS_LEAF 1000 /* a range that differs is split until it has no more rows than this */

/* A chunk of a table's plan, with its bounds as long as they are. */
struct vf_chunk {
    uint32_t ordinal;
    int64_t rows_estimate;
    char *lower, *upper; /* NULL: none */
    bool taken, done;
    int64_t rows, differing;
};

/* Rows of one of the tables that documents are made of, on either side (join only). */
struct vf_part {
    char *table;
    int64_t rows[2]; /* by vf_side */
    struct vf_part *next;
};

enum vf_table_state { VF_PLAN, VF_PLANNING, VF_COMPARE, VF_FINISHING, VF_FINISHED };

/* A key whose row differs, kept for the repair. Without keys (identity FULL) the table is repaired as a whole. */
struct vf_fault {
    struct mf_row key; /* as wide as the pair's tables */
    struct vf_fault *next;
};

struct vf_table {
    const struct mf_table *named; /* the caller's */
    struct mf_table *ot, *rt;     /* both sides, as far as they share it */
    enum vf_table_state state;
    struct vf_chunk *chunks;
    uint32_t nchunks, next, prefix; /* prefix: all before it are done */
    uint32_t resume;                /* chunks done in an earlier run of this program */
    int64_t rows, differing, repaired;
    int64_t on_replica, extra; /* joined: rows that were read there, and how many of them it alone has */
    struct vf_part *parts;     /* in the order of the map */
    int64_t recorded_us;
    /* Keys in quarantine, as vf_key_text tells them: differences until resolved. */
    char **quarantined;
    bool *quarantined_seen;
    int64_t *quarantined_id;
    size_t nquarantined;
    int64_t differing_quarantined; /* of `differing` */
    struct vf_fault *faults,
        *later; /* later: in the way of others, or they of it, and given again when all others are written */
    int64_t refused;
    size_t nfaults;
    bool keyless_differs;
};

/* Snapshots of both sides at one position, while they last. */
enum vf_round_state { VF_NO_ROUND, VF_OPENING, VF_WAITING, VF_CLOSING_IN, VF_READY };

struct vf_slot { /* one worker's */
    struct mf_reader *o, *r;
    uint64_t round; /* the round its readers are in */
    /* The join's. */
    struct vf_writer writer;
    struct mf_buf key; /* of the row at hand */
    int64_t read;      /* rows that the statistics do not have yet */
};

struct vf_repair;
struct vf_join;

struct mf_verify {
    struct mf_verify_options o; /* constant */
    struct mf_arena arena;      /* tables, faults; under mu */
    int64_t run;
    pthread_mutex_t mu; /* guards everything below, but slots[i], which is worker i's */
    struct vf_table *tables;
    size_t ntables, nfinished;
    size_t fault_bytes; /* of what is kept for the repair; bounded */
    struct vf_slot slots[VF_WORKERS];
    /* The round. Whoever is in OPENING or CLOSING_IN is one worker; the others are idle meanwhile. */
    enum vf_round_state round_state;
    uint64_t round;
    bool reads[2]; /* which sides it is of, by vf_side */
    struct mf_snapshot *origin, *replica;
    bool broken;   /* a reader failed: new snapshots are taken before going on */
    bool holding;  /* apply's barrier is ours */
    int32_t users; /* workers inside the round */
    int64_t opened_us, deadline_us, nudged_us;
    int32_t given_up;     /* rounds whose barrier was not reached in time, one after the other */
    struct vf_join *join; /* NULL: chunk by chunk */
    struct vf_repair *repair;
    bool in_repair; /* comparing is over, the repair is under way */
    bool repairing; /* a worker is at the repair or at the end */
    bool ended, stop;
    struct mf_verify_stats stats;
};

/* tables.c */
int vf_tables_load(struct mf_verify *v, struct mf_error *err);
int vf_table_plan(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, struct mf_error *err);
/* The chunks of t on one side, as that side cuts them; in place of those it had. */
int vf_table_cut(struct mf_verify *v, struct vf_table *t, enum vf_side side, struct mf_reader *r, struct mf_error *err);
int vf_table_shape(struct mf_verify *v, struct mf_reader *origin, const struct vf_table *t, struct mf_error *err);
/* What was found of it so far is forgotten. */
int vf_table_again(struct mf_verify *v, struct vf_table *t, struct mf_error *err);
void vf_table_free(struct vf_table *t);
void vf_chunk_of(const struct vf_table *t, const struct vf_chunk *k, struct mf_chunk *ret);
int vf_table_finish(struct mf_verify *v, struct vf_table *t, struct mf_error *err);
int vf_table_record(struct mf_verify *v, struct vf_table *t, bool finished, struct mf_error *err);
/* What is still in quarantine and was not found by comparing counts too. */
int vf_table_quarantine(struct mf_verify *v, struct vf_table *t, int64_t *ret_found, struct mf_error *err);
/* mf_key_short of it, n: VF_KEY_TEXT. */
const char *vf_key_text(const struct mf_table *t, const struct mf_row *row, char *out, size_t n);

/* The origin is read as it stands: nobody writes to it, or a pass does not mind. */
static inline bool vf_as_it_stands(const struct mf_verify *v)
{
    return v->o.writers_held || v->o.pass;
}

/* One of the sides has documents. */
static inline bool vf_documents(const struct mf_verify *v)
{
    return mf_db_behind(v->o.pipe->origin)->connector->documents ||
           mf_db_behind(v->o.pipe->replica)->connector->documents;
}

/* round.c */
/* In VF_OPENING; leaves VF_WAITING, or VF_READY when writers are held and the barrier is not asked for. */
int vf_round_open(struct mf_verify *v, bool barrier, struct mf_error *err);
/* Is apply at the barrier? Gives the round up (VF_NO_ROUND) when it is not in time. */
int vf_round_poll(struct mf_verify *v, bool *ret_at, struct mf_error *err);
/* One side alone: the origin in an exact snapshot, the replica as it stands. By whoever has the join to itself; leaves VF_READY. */
int vf_round_side(struct mf_verify *v, enum vf_side side, struct mf_error *err);
/* Both sides at the barrier, where apply stands: the replica has no snapshot. Leaves VF_READY. */
void vf_round_stand(struct mf_verify *v);
int vf_round_wait(struct mf_verify *v, struct mf_error *err); /* in VF_CLOSING_IN; leaves it VF_WAITING or VF_READY */
void vf_round_close(struct mf_verify *v);                     /* by whoever set VF_CLOSING_IN, without users */
/* Where the last write wins, what somebody else has written to the replica has the time of its writing, and only a later one is over it: rows are repaired at a
 * position of after the comparison. On an idle origin a beat makes one. MORE: apply has come to it. *fresh: the caller's, order 0 at first. */
enum mf_step vf_round_fresh(struct mf_verify *v, struct mf_position *fresh, struct mf_error *err);
void vf_release_apply(struct mf_verify *v);
int vf_slot_enter(struct mf_verify *v, struct vf_slot *s, struct mf_error *err);
void vf_slot_leave(struct mf_verify *v, struct vf_slot *s);
/* Apply must pass a position: false when it has not yet. Something is committed on the origin now and then, so that it is seen to. */
int vf_round_passed(struct mf_verify *v, const struct mf_position *p, bool *ret, struct mf_error *err);

/* compare.c */
int vf_compare_chunk(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, const struct mf_chunk *c,
                     int64_t *ret_rows, int64_t *ret_differing, struct mf_error *err);

/* rows.c */
struct vf_rows { /* rows copied from a reader */
    struct mf_arena *arena;
    struct mf_row *rows;
    size_t n, cap;
};
int vf_take_row(void *ctx, const struct mf_row *row, struct mf_error *err);
int vf_copy_row(struct mf_arena *arena, struct mf_row *out, const struct mf_row *in, struct mf_error *err);
bool vf_same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b);
bool vf_same_row(const struct mf_row *a, const struct mf_row *b);
const struct mf_row *vf_find_row(const struct mf_table *t, const struct vf_rows *rows, const struct mf_row *key);
/* Looks candidates up on both sides, in the same snapshots, and reports those that differ. */
/* was (may be NULL): of each key what vf_row_hash said of the origin's row at the look before; 0: there was none. */
int vf_confirm(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, const struct mf_row *keys,
               const uint64_t *was, size_t n, int64_t *ret_differing, struct mf_error *err);
/* Of a row, or of there being none (NULL); never 0. */
uint64_t vf_row_hash(const struct mf_row *row);
/* join_match.c: a row that is another one on either side. *ret_differs: that is a difference; else it is none, or is looked at again. */
int vf_join_again(struct mf_verify *v, const struct vf_table *t, const struct mf_row *key, const struct mf_row *a,
                  const struct mf_row *b, uint64_t was, bool *ret_differs, struct mf_error *err);
int vf_difference(struct mf_verify *v, struct vf_table *t, const struct mf_row *key, const char *key_text,
                  const char *kind, const char *where, struct mf_error *err);

/* A row without a key of which one side has `count` copies more (the origin) or less. */
int vf_difference_full(struct mf_verify *v, struct vf_table *t, const struct mf_digest *d, int64_t count,
                       int64_t *ret_differing, struct mf_error *err);

/* join.c */
bool vf_join_wanted(const struct mf_verify *v);
void vf_join_new(struct mf_verify *v);
bool vf_join_active(struct mf_verify *v); /* there are tables left; under mu */
enum mf_step vf_join_step(struct mf_verify *v, int worker, struct mf_error *err);
void vf_join_free(struct mf_verify *v);

/* parts.c */
/* After a chunk of t that r has read whole for the join. */
int vf_parts_take(struct mf_verify *v, struct vf_table *t, enum vf_side side, struct mf_reader *r,
                  struct mf_error *err);
void vf_parts_forget(struct vf_table *t); /* under mu */

/* repair.c */
enum mf_step vf_repair_step(struct mf_verify *v, struct mf_error *err); /* by one worker at a time */
void vf_repair_free(struct mf_verify *v);

#endif
