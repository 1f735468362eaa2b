/* apply: spool -> windows -> target. Exactly once: a window's checkpoint is in its transaction, and a new applier starts from the
 * checkpoint the target has.
 *
 * Before the consistency point changes are applied fuzzily (upserts; updates that find nothing and are not whole are read again from the
 * source, which moves the consistency point); after it strictly. A refused or conflicting window is done again in source order,
 * change by change (careful), in one transaction still. */
#ifndef MF_PIPELINE_APPLY_H
#define MF_PIPELINE_APPLY_H

#include "connector/connector.h"
#include "map/map.h"
#include "pipeline/dual.h"
#include "pipeline/step.h"
#include "spool/spool.h"
#include "state/state.h"

/* State keys that copy and apply share. Forward, apply does nothing before the copy is finished: nothing may write to a table that is
 * being copied. The copy sets the key when it is (1), after the consistency point. */
#define MF_COPY_DONE_KEY "copy.done"
const char *mf_consistency_key(enum mf_direction d); /* "consistency.forward" */

struct mf_apply;

struct mf_apply_options {
    struct mf_db *origin;  /* rows are read again from here (fuzzy only) */
    struct mf_db *replica; /* written */
    struct mf_pipe_id pipe;
    struct mf_spool *spool; /* NULL by_server */
    bool by_server;         /* the replica's own server applies (mf_replication_ops): each step looks after it */
    bool by_pass; /* changes are found by passes: each step only does jobs. Always consistent, always standing */
    struct mf_state *state;
    struct mf_map *map;
    size_t window_bytes, window_changes;
    bool keep_rejected;
    int64_t max_quarantined;
    /* A row that is not as it must be (somebody else wrote to the replica) is mended, told and counted; else it ends the run. */
    bool heal;
    size_t reread_bytes; /* memory for rows read again at once, and for the list of them; 0: the default */
    /* Called on apply's thread when more is committed in the replica, or nothing more was to be. NULL: nobody wants to know. */
    void (*moved)(void *ctx);
    void *moved_ctx;
};

int mf_apply_new(const struct mf_apply_options *o, struct mf_apply **ret, struct mf_error *err);
/* One window (or a progress checkpoint when idle). */
enum mf_step mf_apply_step(struct mf_apply *a, int timeout_ms, struct mf_error *err);
void mf_apply_free(struct mf_apply *a);

/* ---- control: any thread ---- */
/* Nothing with position > barrier is applied; order 0 takes the barrier away. The stage stands exactly at the barrier when applied >= what
 * there is up to it: mf_apply_at_barrier. */
void mf_apply_set_barrier(struct mf_apply *a, const struct mf_position *barrier);
/* Nothing beyond the barrier will be begun from now on: at once where windows are written here, after a moment by_server. */
bool mf_apply_held(struct mf_apply *a);
/* Everything up to the barrier is committed in the target and the stream has been seen past it. */
bool mf_apply_at_barrier(struct mf_apply *a);
/* Up to here fuzzily. Kept in state as "consistency.<direction>". Only grows. */
int mf_apply_raise_consistency(struct mf_apply *a, const struct mf_position *p, struct mf_error *err);
bool mf_apply_consistent(struct mf_apply *a);
/* Fuzzily also after that point, until it is told otherwise. Not kept: whoever needs it says so before the barrier is taken away. */
void mf_apply_set_lenient(struct mf_apply *a, bool lenient);
/* Tables of the origin (forward) that may be wrong although all is applied, by cascades before the consistency point. Kept in the state. */
bool mf_apply_suspected(struct mf_state *s, const char *schema, const char *name);
int mf_apply_unsuspect(struct mf_state *s, const char *schema, const char *name, struct mf_error *err);
/* Write a checkpoint for the position reached even if there is nothing to apply (rehearsal, drain). */
void mf_apply_want_checkpoint(struct mf_apply *a);
void mf_apply_position(struct mf_apply *a, struct mf_position *ret); /* committed in the target */
/* The stamp of the position that apply has come to: after every change up to it, before any later one. Exact while it stands (a barrier that is reached, a
 * job, a schema change); 0: by_server, or no stamps are known. */
int64_t mf_apply_stamp(struct mf_apply *a);

/* What commits of the origin may be answered for, see dual.h. */
void mf_apply_how_far(struct mf_apply *a, struct mf_held *ret);
/* The quarantine was counted: rows, when `ticket` had been refused so far. Rows leave it without apply's knowing. */
uint64_t mf_apply_refused_ticket(struct mf_apply *a);
void mf_apply_note_refused(struct mf_apply *a, uint64_t ticket, uint64_t rows);

/* A piece of work for apply's own connection, done on apply's thread (or in its next step) while it stands exactly at the barrier:
 * verify's repairs. One at a time; the object is the caller's and stays until it is done or withdrawn. */
struct mf_apply_job {
    int (*run)(void *ctx, struct mf_applier *a, struct mf_error *err);
    void *ctx;
    bool done; /* read with mf_apply_job_done */
    int rc;
    struct mf_error err;
};
void mf_apply_submit(struct mf_apply *a, struct mf_apply_job *job);
bool mf_apply_job_done(struct mf_apply *a, struct mf_apply_job *job);
/* Takes it back; waits for it when it is running. */
void mf_apply_withdraw(struct mf_apply *a, struct mf_apply_job *job);

/* Only from a job's run: so many more rows may go to the replica's quarantine (-1: MF_FATAL code MFQUAR), and they are there. */
int mf_apply_quarantine_full(struct mf_apply *a, uint64_t more, struct mf_error *err);
void mf_apply_quarantined(struct mf_apply *a, uint64_t more);

/* For a table taken into the migration while it runs: its changes up to `at` are left out, they came with its rows. Only from a job's run (apply's
 * thread); the caller has put it in the state under mf_exact_key, for whoever opens apply later. */
int mf_apply_exact(struct mf_apply *a, const struct mf_table *t, const struct mf_position *at, struct mf_error *err);
void mf_exact_key(enum mf_direction d, const char *schema, const char *name, char *out, size_t n);
/* Adds to the replica the columns that `seen` has and it lacks, and plans them from there on. While apply stands still. */
int mf_apply_carry(struct mf_apply *a, const struct mf_table *seen, struct mf_error *err);

/* by_pass: a pass that began at p, by the origin's clock, and at began_us by ours is over, and all it found is in the replica. Kept in the state. */
int mf_apply_passed(struct mf_apply *a, const struct mf_position *p, int64_t began_us, struct mf_error *err);

struct mf_apply_stats { /* any thread */
    struct mf_position applied;
    uint64_t
        reached; /* order up to which all was seen and is applied: beyond `applied` when there was nothing to write */
    uint64_t windows, careful_windows, transactions, changes, rows_written, reread, quarantined, diverged;
    int64_t last_commit_time_us; /* source's clock, of the last transaction applied */
    int64_t caught_up_us;        /* when there was last nothing left to apply; our clock */
    int64_t latency_us;          /* commit on the source to commit on the target, of the last window */
    uint64_t received;           /* by_server: order up to which it has the source's log; 0 else */
    int64_t lag_us;              /* by_server: as the server itself says; by_pass: since the last whole pass began */
};
void mf_apply_stats(struct mf_apply *a, struct mf_apply_stats *ret);

struct mf_touched;
/* Keys of changes are remembered in what this gives, of every window begun after the call: verify's, one at a time. It lives as long as apply. */
struct mf_touched *mf_apply_watch(struct mf_apply *a);
void mf_apply_watch_end(struct mf_apply *a); /* nobody looks any more */

#endif
