/* A pipe: capture, spool and apply of one direction, with the two threads that drive them in production (mf_pipe_start) or the steps that the
 * simulation takes itself. The pipe that runs from target to source is the same thing with the ends swapped. */
#ifndef MF_PIPELINE_PIPE_H
#define MF_PIPELINE_PIPE_H

#include "pipeline/apply.h"
#include "pipeline/capture.h"

struct mf_pipe {
    struct mf_pipe_id id;
    bool by_pass;
    struct mf_db *origin, *replica;
    struct mf_spool_storage *storage, *own_storage; /* own: NULL when storage was given */
    struct mf_spool *spool;                         /* NULL by_server and by_pass */
    struct mf_capture *capture;                     /* the same */
    struct mf_apply *apply;
    struct mf_pipe_threads *threads; /* from open to close, running or not: other threads ask it for the failure */
};

struct mf_pipe_options {
    struct mf_pipe_id id;
    struct mf_db *origin, *replica;
    struct mf_state *state;
    struct mf_map *map;
    bool
        by_server; /* the replica's own server takes the changes from the origin's: nothing is captured or spooled here */
    /* The origin tells nobody of its changes: they are found by passes over all its rows (verify.h). Nothing is captured or spooled; apply keeps the
     * connection, does their jobs, and knows what mf_apply_passed told it. */
    bool by_pass;
    const char *dir;                  /* of spool and spilled transactions; NULL with storage given */
    struct mf_spool_storage *storage; /* simulation's; NULL: files in dir */
    struct mf_position start;
    uint64_t spool_budget;
    size_t spool_segment, transaction_memory, window_bytes, window_changes;
    size_t reread_bytes; /* 0: the default */
    bool keep_rejected, heal;
    int64_t max_quarantined, retry_ms;
    const struct mf_wait_policy *wait; /* dual writes, when mf_capture_gate says so; NULL: never */
};

int mf_pipe_open(const struct mf_pipe_options *o, struct mf_pipe **ret, struct mf_error *err);
/* Threads: capture and apply (and with dual writes one that asks the origin whether its commits wait), each looping over its step; a MF_RETRY failure is tried again with growing pauses (100 ms to 10 s) until the
 * stage has not got further for retry_ms; code MFLOCK (mf_target_ops) without that bound, and told once. */
int mf_pipe_start(struct mf_pipe *p, struct mf_error *err);
/* The first failure that ended a thread, or 0 when both run. Any thread, as mf_pipe_trouble. */
int mf_pipe_failure(struct mf_pipe *p, struct mf_error *ret);
/* What keeps the pipe from going on at this moment: its failure, or what it is trying again. Cleared when all is well. */
void mf_pipe_trouble(struct mf_pipe *p, struct mf_error *ret);
/* Of all its stages; zeroes for those it has not. Any thread. */
void mf_pipe_stats(struct mf_pipe *p, struct mf_capture_stats *c, struct mf_apply_stats *a, struct mf_spool_stats *s);
/* How far replay is behind this order of the origin, in bytes of its log; where positions count commits, that many of the size that
 * the ones seen so far had. While replay has not begun nobody knows: what waits in the spool. Any thread. */
uint64_t mf_pipe_behind(struct mf_pipe *p, uint64_t order);
void mf_pipe_stop(struct mf_pipe *p);  /* joins the threads and forgets their failure; may be started again */
void mf_pipe_close(struct mf_pipe *p); /* stops, frees; NULL is allowed */

#endif
