/* copy: chunks of the source's tables -> target. A chunk is one short read and one target transaction that also holds its record; which
 * chunks are done is read from the target, so a copy stopped at any instant goes on without loss or repetition.
 *
 * Keyed tables are read at any moment (the replay puts right what moved). Keyless ones are read inside one exact snapshot and carry its
 * position (mf_table_state.exact_at): changes up to it are left out for them. If that snapshot dies, what they had is emptied and
 * begun again in a new one. */
#ifndef MF_PIPELINE_COPY_H
#define MF_PIPELINE_COPY_H

#include "connector/connector.h"
#include "map/map.h"
#include "pipeline/step.h"
#include "state/state.h"

struct mf_copy;
struct mf_copy_worker;

struct mf_copy_options {
    struct mf_db *source, *target;
    struct mf_pipe_id pipe;
    struct mf_state *state;
    struct mf_map *map;
    const struct mf_catalog *tables; /* the source's */
    int64_t chunk_rows, chunk_bytes; /* the most that a chunk is aimed at */
    int jobs;                        /* workers that will share a table: smaller chunks where it is small */
    double max_load;                 /* 0: no throttle */
    bool keep_rejected;
    int64_t max_quarantined;
    /* Every table is read in this one snapshot, and none is taken instead when it dies: the copy fails. The copy's from mf_copy_new on, whatever
     * that returns. NULL: the ordinary copy. */
    struct mf_snapshot *snapshot;
    int64_t stamp; /* of what is loaded: see mf_target_ops.load_begin */
};

/* Reads plan and done chunks. */
int mf_copy_new(const struct mf_copy_options *o, struct mf_copy **ret, struct mf_error *err);
void mf_copy_free(struct mf_copy *c); /* after its workers */
int mf_copy_worker_new(struct mf_copy *c, struct mf_copy_worker **ret, struct mf_error *err);
/* Plans a table or copies a chunk. IDLE: others still work, or the source is too loaded. DONE: everything is copied. */
enum mf_step mf_copy_step(struct mf_copy_worker *w, struct mf_error *err);
void mf_copy_worker_free(struct mf_copy_worker *w);
/* The highest position after which a chunk was read: the consistency point is not before it. */
void mf_copy_highest(struct mf_copy *c, struct mf_position *ret);

struct mf_copy_stats {
    int64_t rows_done, rows_total, bytes_done, bytes_total, rows_this_run,
        started_us; /* mf_now_us of this run's start */
    int32_t tables, tables_done;
    bool throttled;
    double load;
};
void mf_copy_stats(struct mf_copy *c, struct mf_copy_stats *ret); /* any thread */

#endif
