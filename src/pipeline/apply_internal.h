#ifndef MF_PIPELINE_APPLY_INTERNAL_H
#define MF_PIPELINE_APPLY_INTERNAL_H

#include "base/arena.h"
#include "change/window.h"
#include "pipeline/apply.h"
#include "pipeline/touched.h"

#include <pthread.h>

/* A table of the replica, whatever version of its origin a change has. */
struct ap_table {
    const char *schema, *name; /* of the origin */
    uint64_t exact_at;         /* changes up to here are in already (copied from an exact snapshot) */
    bool in_batch;
    uint32_t batch_rel; /* the version whose rows the batch holds: two versions never share one */
    struct ap_table *next;
};

/* A relation version of the spool, by its number. */
struct ap_rel {
    bool known;
    bool noted;                   /* its names are recorded as the last applied */
    uint64_t edition;             /* of the map, when it was resolved */
    const struct mf_map_rel *map; /* NULL: left out */
    struct ap_table *table;
    struct mf_map_names names;
};

/* Transactions of the origin, by its own ids. */
struct ap_txns {
    uint64_t *ids;
    size_t n, cap;
};

/* How the gathering of a window ended. */
enum ap_end {
    AP_OK,
    AP_FAILED,
    AP_SCHEMA, /* the relation version must be dealt with first: `seen` */
};

/* The window being gathered. Lives for one step. */
struct ap_window {
    uint64_t consistency; /* as it was when the window began: must not change under it */
    bool lenient;         /* the same */
    bool fuzzy, careful;
    bool begun;              /* the target transaction is open; then `end` is fixed */
    bool partial;            /* has an update that is not whole: may find nothing (fuzzy) */
    uint64_t blocked_by;     /* order of the barrier that ended it; 0: none did */
    struct mf_position end;  /* its checkpoint: fixed when begun */
    int64_t end_stamp;       /* of it */
    struct mf_position last; /* of its last transaction so far */
    uint64_t transactions, changes, bytes;
    uint64_t waiting;    /* changes in the batch not sent yet */
    uint64_t cascade_at; /* order of the transaction whose change in the batch cascades: one batch, one transaction */
    int64_t
        cascade_stamp; /* of the last such change: what the batch's cascades write is after all of them, and before what comes next */
    int64_t commit_time_us;
    struct mf_touched *touched; /* of the keys of its changes; NULL: nobody watches */
};

struct mf_apply {
    struct mf_apply_options o; /* constant */

    /* Apply's thread alone. */
    bool gate_open; /* forward: the copy is finished */
    bool exact_loaded;
    struct mf_applier *applier;
    struct mf_spool_reader *reader;
    struct mf_reader *rows; /* of the origin, for rows read again */
    struct mf_window *window;
    struct mf_arena arena;   /* mapped rows, until the window has copied them */
    struct mf_arena results; /* what the target reports */
    struct mf_arena tables_arena;
    struct mf_window_result result;
    struct ap_window w;
    struct ap_txns txns; /* of the window; the last one may not be whole yet */
    struct ap_rel *rels;
    size_t nrels;
    struct ap_table *tables;
    const struct mf_table *seen; /* AP_SCHEMA: the version in question */
    struct mf_position seen_to;  /* everything up to here was seen and is applied, in a checkpoint or not */
    struct mf_position released;
    struct mf_position careful_end; /* of the window that failed and is done again carefully; order 0: none */
    int64_t careful_stamp;          /* of it */
    struct mf_position unfinished;  /* end of a window that was begun and not committed; order 0: none */
    uint64_t
        stop_before; /* order: the window ends before this transaction, whose schema change must wait for it; 0: no */
    uint64_t told;   /* order of reached that was last told (o.moved) */
    int64_t checkpoint_us, released_us, gate_us;
    int64_t quarantined; /* rows in the target's quarantine */
    uint64_t released_bytes;

    pthread_mutex_t mu; /* guards everything below; cond is signalled when control changes something */
    pthread_cond_t cond;
    struct mf_position applied; /* checkpoint committed in the target */
    struct mf_position barrier, passed;
    struct mf_position consistency;
    uint64_t last_txn;                            /* order of the last transaction committed */
    struct mf_position reached;                   /* seen_to */
    int64_t stamp;                                /* of it */
    int64_t standing_us;                          /* since when apply stands still for our own sake; 0: it does not */
    uint64_t refused, refused_then, refused_rows; /* in all by this run; when last counted; how many there were then */
    bool opened;                                  /* applied is known, nothing from before a crash is owed */
    bool want_checkpoint, lenient;
    struct mf_apply_job *job;
    bool job_running;
    struct mf_apply_stats stats;

    struct mf_touched *touched; /* NULL until somebody has watched; lives as long as apply */
    bool watched;

    int64_t pass_began_us; /* by_pass: the last whole one, by our clock; 0: there was none */

    /* by_server. The first belongs to apply's thread. */
    bool follow_started; /* what is seen is the outcome of having let it run */
    bool follow_running; /* it was let run, and not seen standing since */
    uint64_t follow_until, follow_first;
};

/* apply.c */
void mf_apply_do_job(struct mf_apply *a);     /* where the stage stands */
void mf_apply_note_stamp(struct mf_apply *a); /* of what was read; mu held */

/* apply_held.c */
void mf_apply_moved(struct mf_apply *a);
void mf_apply_standing(struct mf_apply *a, bool standing);

/* apply_open.c */
enum mf_step mf_apply_ensure_open(struct mf_apply *a, int timeout_ms, struct mf_error *err);
void mf_apply_close_all(struct mf_apply *a);
int mf_apply_count_quarantine(struct mf_apply *a, struct mf_error *err);
int mf_apply_load_exact(struct mf_apply *a, struct mf_error *err);
void mf_apply_wait(struct mf_apply *a, int timeout_ms); /* for a change of control */

/* apply_window.c */
enum ap_end mf_apply_gather(struct mf_apply *a, int timeout_ms, struct mf_error *err);
int mf_apply_flush(struct mf_apply *a, struct mf_error *err);
int mf_apply_begin(struct mf_apply *a, const struct mf_position *end, int64_t stamp, struct mf_error *err);

/* apply_rel.c */
enum ap_end mf_apply_rel(struct mf_apply *a, uint32_t number, const struct mf_table *seen, struct ap_rel **ret,
                         struct mf_error *err);
/* Carries the schema change in a->seen over (on_ddl: additive), or fails with what it is. */
int mf_apply_schema(struct mf_apply *a, struct mf_error *err);
/* Changes of this table of the origin up to here are in already; 0: none is known to be. */
uint64_t mf_apply_exact_at(const struct mf_apply *a, const char *schema, const char *name);
int mf_apply_note_names(struct mf_apply *a, struct mf_error *err);

/* apply_cascade.c: what comes before a batch of which the origin's server changed rows of other tables */
int mf_apply_cascade(struct mf_apply *a, const struct mf_batch *b, struct mf_error *err);

/* apply_seen.c */
void mf_apply_txns_add(struct ap_txns *t, uint64_t id);
void mf_apply_txns_free(struct ap_txns *t);
/* Until a reader of the origin sees all of them; MF_RETRY code MFUNSEEN when that takes long. */
int mf_apply_await_visible(struct mf_apply *a, const struct ap_txns *t, struct mf_error *err);

/* apply_follow.c */
enum mf_step mf_apply_follow(struct mf_apply *a, int timeout_ms, struct mf_error *err);

/* apply_pass.c */
enum mf_step mf_apply_pass(struct mf_apply *a, int timeout_ms, struct mf_error *err);

/* apply_reread.c */
int mf_apply_reread(struct mf_apply *a, struct mf_error *err); /* what a->result misses; the window is committed */
int mf_apply_mark(struct mf_apply *a, const struct mf_position *from, const struct mf_position *to,
                  struct mf_error *err);
int mf_apply_unmark(struct mf_apply *a, struct mf_error *err);
/* After a crash between a commit and its rereading. 1: the stream must first bring again what the crash took from the spool. */
int mf_apply_recover(struct mf_apply *a, struct mf_error *err);

#endif
