/* capture: source stream -> spool. Assembles transactions (spilling large ones), drops those that midflight wrote itself, judges the
 * side's right to write by the epochs in the stream, appends at commit, syncs, and only then acknowledges.
 *
 * With dual writes the stream is one that commits of the origin wait for; capture, which alone may use it, confirms them (capture_dual.c).
 *
 * Invariant: a position is acknowledged only after every transaction up to it is durable in the spool (or was dropped on purpose),
 * and every epoch up to it is durable in the state. */
#ifndef MF_PIPELINE_CAPTURE_H
#define MF_PIPELINE_CAPTURE_H

#include "connector/connector.h"
#include "pipeline/dual.h"
#include "pipeline/stamp.h"
#include "pipeline/step.h"
#include "spool/spool.h"
#include "state/state.h"

struct mf_capture;

/* State key: 1 from before the first acknowledgement on. */
const char *mf_spool_used_key(enum mf_direction d);

struct mf_capture_options {
    struct mf_db *db; /* where the changes come from: the source when forward, the target when reverse */
    struct mf_pipe_id pipe;
    struct mf_spool *spool;
    struct mf_state *state;
    struct mf_position start;          /* of stream_prepare: used when the spool is empty */
    size_t transaction_memory;         /* all open transactions together before they spill */
    const char *spill_dir;             /* NULL: memory only (simulation) */
    const struct mf_wait_policy *wait; /* dual writes, when mf_capture_gate says so; NULL: never. Copied. */
    void (*held)(void *ctx, struct mf_held *ret);
    void *held_ctx;
};

int mf_capture_new(const struct mf_capture_options *o, struct mf_capture **ret, struct mf_error *err);
enum mf_step mf_capture_step(struct mf_capture *c, int timeout_ms, struct mf_error *err);
/* Leaves the stream; the next step opens it again. Not while another thread is in a step. */
void mf_capture_close(struct mf_capture *c);
void mf_capture_free(struct mf_capture *c);
/* Any thread. While held the stream is closed and nothing is read: for the direction whose origin may not write, so that decoding
 * our own work there does not slow the other one down while that has a backlog. */
void mf_capture_hold(struct mf_capture *c, bool held);

/* ---- dual writes; any thread ---- */
/* Whether commits are to wait for the replica. Off: they go on without it from the next step on. */
void mf_capture_gate(struct mf_capture *c, bool on);
/* The replica has moved: whoever waits for it is looked at. Cheap when nobody does. */
void mf_capture_moved(struct mf_capture *c);
/* Asks the origin whether they do wait; blocks for seconds at most. A thread of its own calls this now and then. */
void mf_capture_ask(struct mf_capture *c);
struct mf_dual *mf_capture_dual(struct mf_capture *c); /* NULL: dual writes were not asked for */

struct mf_capture_stats { /* any thread */
    struct mf_position received, durable, acknowledged;
    uint64_t transactions, bytes, changes, own_dropped, wrong_side; /* bytes: as the spool keeps them */
    bool stalled_on_budget;
    int64_t
        time_beyond_us; /* a commit's time was so far ahead of this machine's clock that it was not believed: the last such; 0: none */
    int64_t
        stamp_ahead_us; /* how far the last stamp is ahead of the commit it was given to: the origin's clock stood later before */
};
void mf_capture_stats(struct mf_capture *c, struct mf_capture_stats *ret);

#endif
