/* Shared by the files of this folder: the migration object and who may touch what. */
#ifndef MF_MIGRATION_INTERNAL_H
#define MF_MIGRATION_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cleanup.h"
#include "connector/connector.h"
#include "cutover/cutover.h"
#include "migration/flags.h"
#include "migration/migration.h"
#include "migration/watch.h"
#include "pipeline/copy.h"
#include "pipeline/pipe.h"
#include "verify/verify.h"

#define MF_MAX_WORKERS 16
#define MF_OWNER_MAX   4608 /* a token, a host, a path */

/* A call that blocks for long (index builds) on a thread of its own, so that the control thread goes on beating. */
struct mf_job {
    int (*work)(struct mf_migration *m, struct mf_error *err);
    pthread_t thread;
    bool running; /* control thread's */
    atomic_bool done;
    int rc;
    struct mf_error err;
};

/* Worker threads that share one stepper; the first failure that is final is kept. */
struct mf_crew {
    struct mf_migration *m;
    int n;
    pthread_t threads[MF_MAX_WORKERS];
    enum mf_step (*step)(struct mf_migration *m, int worker, struct mf_error *err);
    atomic_int left; /* threads that have not ended */
    atomic_bool stop, failed;
    pthread_mutex_t lock; /* guards err */
    struct mf_error err;
};

/* The share of reads on the target as the state has it, for the side that takes the writes now. */
struct mf_reads {
    int percent, asked;     /* in force; as last asked for */
    char why[MF_FLAGS_WHY]; /* it was taken back: why, and when (wall clock) */
    int64_t why_us;
};

struct mf_pending {
    const struct mf_request *request;
    json_t *reply;
    struct mf_error err;
    int rc;
    bool done;
};

/* passes.c: what comes back from a target that tells nobody of its changes. The control thread's, but for what is said. */
struct mf_passes {
    struct mf_verify *verify; /* the pass at hand; NULL: none. Changed under mf_migration.lock */
    struct mf_crew crew;
    struct mf_position at; /* the target's time when it began, and ours */
    int64_t began_wall_us, began_us;
    int64_t due_us; /* the next one */
    bool urgent;    /* in a rollback: the source's load is not looked at. Set before its workers begin */
    atomic_bool throttled;
    atomic_llong load_due_us;
    /* Read under mf_migration.lock elsewhere. */
    int64_t whole, last_us, last_rows, rows; /* passes and rows of this run; of the last one: how long, rows carried, */
    int64_t left, refused;                   /* rows left, rows in quarantine */
    char trouble[1024];                      /* why the last try was not whole, and what to do; "" */
};

struct mf_migration {
    const struct mf_config *config;
    struct mf_state *state;
    struct mf_db *source, *target;
    struct mf_db_facts source_facts, target_facts;
    struct mf_filter filter;
    char owner[MF_OWNER_MAX];           /* "token host path" of our state directory */
    struct mf_run_lock *run_lock;       /* control thread only */
    int64_t lock_lost_us, lock_next_us; /* since when it is not held, when to try again; 0: held */
    bool ending;                        /* complete or cancel has begun to clean up: there is no way back */

    /* Control thread only, but read by status under `lock`. */
    pthread_mutex_t lock; /* guards the pointers below against status; held to change them and to read them elsewhere */
    struct mf_catalog source_tables, target_tables;
    bool have_tables;
    struct mf_map *forward_map, *reverse_map;
    struct mf_pipe *forward, *reverse;
    /* Control thread only: what of opening the streams is done, so that a step that fails half-way goes on from there. `open` (under
     * `lock`): both run and it is known who may write. */
    bool forward_runs, reverse_runs, writers_known, open;
    struct mf_copy *copy;
    struct mf_copy_worker *copiers[MF_MAX_WORKERS];
    struct mf_verify *verify;
    struct mf_cutover *cutover;
    struct mf_error last_error;
    char step[32];                 /* of the phase machine */
    struct mf_position barrier;    /* where apply is to stand while indexes are built; control thread only */
    struct mf_position source_now; /* sampled: where the writing side stands */

    int64_t dual_check_us; /* dual writes: when to look again at what is in their way; 0: nothing is known to be */
    int64_t dual_nudge_us;
    bool dual_ready;                        /* looked at; control thread only */
    bool dual_remembered;                   /* how the run before ended was looked at; control thread only */
    bool dual_warned;                       /* of what waits when we are killed; control thread only */
    bool cascades_known;                    /* compared with what an earlier run knew */
    int64_t watch_due_us;                   /* the schema watch: the next look */
    int64_t drift_since_us, drift_nudge_us; /* a change that stops the run was seen, and what was committed drains */
    struct mf_position drift_upto;          /* up to here */
    json_t *unmigrated;                     /* on_ddl: ignore; read under `lock` elsewhere */
    struct adopting *adopting;              /* adopt.c, while rows of new tables are copied */
    bool standing;                          /* apply is held by the control thread: no verification begins */

    struct mf_crew copy_crew, verify_crew;
    struct mf_passes passes;
    struct mf_job job;
    struct mf_findings *findings; /* of schema stages */
    atomic_bool beat_wanted;      /* any thread: a fence waits for one */
    int64_t next_beat_us, verify_due_us, retry_since_us, last_reported_us,
        waited_since_us; /* when to tell of a wait next */
    int64_t next_sample_us, sampled_us;
    const struct mf_pipe *sampled_pipe;
    uint64_t sampled_changes;
    double changes_per_second; /* of the live stream; read under `lock` elsewhere */
    int64_t quarantined;       /* of both directions; sampled; read under `lock` elsewhere */
    /* lag.c: when both sides were last known to be even (wall clock), and when that was last looked at; read under `lock` elsewhere */
    int64_t even_us, heard_us;
    int64_t even_kept_us;              /* control thread only, as what follows */
    bool beyond_told;                  /* that the source says times to come */
    bool stamps_told;                  /* that they are ahead of the source's clock */
    int64_t wrong_told, wrong_told_us; /* writes on the wrong side that were logged, and when */
    bool beat_failed[2];               /* by enum mf_side: its last heartbeat */
    int64_t diverged_told;  /* the last one that was logged, by its number in the state; control thread only */
    int64_t refused[2];     /* rows in quarantine by enum mf_direction; sampled */
    int64_t answered_us[2]; /* by enum mf_side: when it last answered the sample */
    struct mf_reads reads;
    bool reads_watched; /* their guard was good at the last look */
    int64_t reads_look_us, reads_proof_us, reads_good_since_us;
    struct mf_flags flags; /* any thread: has its own lock */
    int verify_worker_count;
    atomic_bool stop;
    atomic_bool
        preempt; /* a request that must not wait asks the pending verification to stop (its progress is kept); set and
                          * cleared under request_lock */

    /* Requests: one at a time. */
    pthread_mutex_t request_lock; /* guards pending and its content */
    pthread_cond_t request_changed;
    struct mf_pending *pending;
    atomic_bool control_alive;
    enum mf_until until;

    mf_event_sink *sink;
    void *sink_ctx;
};

/* phases.c: one row per step; MORE goes on to the next, IDLE waits, DONE stays. */
enum mf_step mf_phase_step(struct mf_migration *m, struct mf_error *err);
const char *mf_phase_of(struct mf_migration *m); /* as status shows it */
bool mf_phase_steady(struct mf_migration *m);
int mf_phase_enter(struct mf_migration *m, const char *step, struct mf_error *err);
bool mf_phase_past_native(struct mf_migration *m); /* beyond the step at which mode: native begins */
int mf_phase_load(struct mf_migration *m, struct mf_error *err);

/* native.c: the servers' own replication in place of the forward stream */
enum mf_native { MF_NATIVE_NOT, MF_NATIVE_ATTACHING, MF_NATIVE_ATTACHED, MF_NATIVE_OVER };
enum mf_native mf_native_at(struct mf_state *state);
/* NULL in mode: stream; else o, filled. */
const struct mf_replication_options *mf_native_options(const struct mf_config *c, struct mf_replication_options *o);
int mf_native_check(const struct mf_config *c, struct mf_db *source, struct mf_db *target,
                    const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err);
enum mf_step mf_native_begin(struct mf_migration *m, struct mf_error *err);
/* The target follows nobody when it returns. For the cutover (ctx is the migration). */
int mf_native_promote(void *ctx, struct mf_error *err);
/* The stream takes over where it must: writes are on the target, or the mode was changed. Before a pipe is opened. */
int mf_native_settle(struct mf_migration *m, struct mf_error *err);

/* owner.c: the migration is ours (both databases say so, unless force) and nobody else runs it. */
int mf_own_begin(struct mf_migration *m, bool force, struct mf_error *err);
int mf_own_claim(struct mf_migration *m, struct mf_error *err); /* the bookkeeping stands: it is written there */
int mf_own_keep(struct mf_migration *m, struct mf_error *err);  /* now and then, by the control thread */
void mf_own_end(struct mf_migration *m);

/* quarantine.c */
const char *mf_direction_word(enum mf_direction d);
int mf_quarantine_count(struct mf_migration *m, enum mf_direction d, int64_t *ret, struct mf_error *err);
/* What to do about rows in that direction's quarantine, as sentences. */
const char *mf_quarantine_remedy(const struct mf_migration *m, enum mf_direction d);
/* Refuses (MF_ABANDONED) while the side that writes would move to lacks rows that it refused. */
int mf_quarantine_guard(struct mf_migration *m, struct mf_error *err);

/* pipes.c */
struct mf_pipe_id mf_migration_pipe_id(const struct mf_migration *m, enum mf_direction d);
/* ready.c */
/* Findings about the pair that are not one end's alone: no table, what the configuration asks for. Different databases. */
int mf_pair_check(const struct mf_config *c, struct mf_db *source, struct mf_db *target, const struct mf_filter *filter,
                  struct mf_findings *out, struct mf_error *err);
/* Refuses (MF_ABANDONED) what check calls blocked; before the first stream is made. */
int mf_ready_to_begin(struct mf_migration *m, struct mf_error *err);
/* runbook.c: what a plan and a check say of the moves, by the way back that there is. */
json_t *mf_runbook(const struct mf_config *c, const struct mf_db *source, const struct mf_db *target);
void mf_runbook_check(const struct mf_config *c, const struct mf_db *source, const struct mf_db *target,
                      struct mf_findings *out);
/* mend.c */
enum mf_step mf_do_mend(struct mf_migration *m, struct mf_error *err);
int mf_open_tables(struct mf_migration *m, bool with_target, struct mf_error *err);
int mf_open_forward(struct mf_migration *m, struct mf_error *err);
int mf_open_reverse(struct mf_migration *m, struct mf_error *err);
int mf_check_pipes(struct mf_migration *m, struct mf_error *err);
void mf_spool_dir(const struct mf_migration *m, enum mf_direction d, char *out, size_t n);
/* How writes that moved to the target come back. NEVER (it is not wanted, or a map made other tables of the source's): there is no reverse pipe. */
enum mf_way_back { MF_BACK_NEVER, MF_BACK_BY_STREAM, MF_BACK_BY_PASSES };
enum mf_way_back mf_way_back_between(const struct mf_config *c, const struct mf_db *source, const struct mf_db *target);
enum mf_way_back mf_way_back(const struct mf_migration *m);
static inline bool mf_turns_round(const struct mf_migration *m)
{
    return mf_way_back(m) != MF_BACK_NEVER;
}
/* The one whose origin takes writes; NULL before it is open, and where the target takes them and they never come back. */
struct mf_pipe *mf_live_pipe(struct mf_migration *m);
bool mf_pipes_open(const struct mf_migration *m); /* all that this migration has */
bool mf_writes_on_target(struct mf_migration *m);
bool mf_frozen(struct mf_migration *m); /* nobody may write: midflight freeze */

/* dual.c: dual writes. */
struct mf_wait_policy mf_dual_policy(const struct mf_config *c);
/* Findings, when the configuration asks for them. */
int mf_dual_check(const struct mf_config *c, struct mf_db *source, struct mf_db *target, struct mf_findings *out,
                  struct mf_error *err);
void mf_dual_tend(
    struct mf_migration *m); /* now and then, by the control thread: begins and ends them, tells changes */
/* Commits go on without the target, at once; any thread that does not hold m->lock. */
void mf_dual_tell(struct mf_migration *m, struct mf_dual *d); /* what has changed, to the log and as events */
void mf_dual_end(struct mf_migration *m);
json_t *mf_dual_json(struct mf_migration *m); /* m->lock held */
json_t *mf_dual_none_json(const char *why);
/* Commits on this database wait for something that does not come: what need not be written there had better not be. */
bool mf_dual_stuck(struct mf_migration *m, const struct mf_db *db);

/* reads.c */
void mf_reads_load(struct mf_state *state, bool on_target, struct mf_reads *ret);
json_t *mf_reads_json(const struct mf_reads *r);
int mf_reads_set(struct mf_migration *m, int64_t percent, struct mf_error *err);
void mf_reads_tend(struct mf_migration *m); /* often, by the control thread: their guard */
/* What flags are answered from, anew; by the control thread after everything that changes who may write or the share. */
void mf_flags_refresh(struct mf_migration *m);

/* moves.c: the last comparison of everything in that direction found both sides equal, and counts still (within_ms 0: whenever it was). MF_ABANDONED; option
 * is what does without. */
int mf_found_equal(struct mf_migration *m, enum mf_direction d, int64_t within_ms, const char *option,
                   struct mf_error *err);

/* passes.c */
void mf_passes_tend(struct mf_migration *m); /* now and then, by the control thread: begins them, and sees them end */
void mf_passes_stop(struct mf_migration *m); /* the one at hand is given up; what it carried stays */
/* Nobody writes any more: passes, begun after this call, until one is whole, so that a comparison finds what is wrong and not what is not back yet. 0 also
 * when rows are left that cannot be carried; MF_ABANDONED after reverse.max_pause, or when something must not wait. */
int mf_passes_settle(struct mf_migration *m, bool scheduled, struct mf_error *err);
bool mf_passes_asked(const struct mf_migration *m); /* one by mf_passes_one is under way: control thread */
/* One for a rollback, begun by the first call. MORE: it is over. FAILED also if the source refuses rows
 * and the rollback may not leave them behind. */
enum mf_step mf_passes_one(struct mf_migration *m, struct mf_cutover_found *ret_found, struct mf_error *err);
/* Both sides are even as of so long ago: writes have just come to the target. */
void mf_passes_even(struct mf_migration *m, int64_t ago_us);
json_t *mf_passes_json(struct mf_migration *m); /* m->lock held */

/* lag.c */
void mf_lag_begin(
    struct mf_migration *m); /* there is a stream: what is known of it from before, or nothing since now */
void mf_lag_heard(struct mf_migration *m, struct mf_pipe *live);     /* its origin has just answered; control thread */
void mf_lag_even(struct mf_migration *m, double lag_seconds);        /* the same, known otherwise */
double mf_lag_seconds(struct mf_migration *m, struct mf_pipe *pipe); /* m->lock held */
double mf_lag_unheard(
    struct mf_migration *m); /* since both sides were last known to be even; -1: never. m->lock held */

/* crew.c */
int mf_crew_start(struct mf_crew *crew, struct mf_migration *m, int n,
                  enum mf_step (*step)(struct mf_migration *, int, struct mf_error *), struct mf_error *err);
bool mf_crew_finished(struct mf_crew *crew); /* joins them then */
void mf_crew_stop(struct mf_crew *crew);
/* IDLE while it runs; MORE when it has succeeded. */
enum mf_step mf_job_step(struct mf_migration *m, int (*work)(struct mf_migration *, struct mf_error *),
                         struct mf_error *err);
void mf_job_wait(struct mf_migration *m);

/* ends.c */
/* Connects to one side, behind a face where the two are of different kinds. source: that side as it was opened, for the target; NULL. to_end: mf_db_options has it. */
int mf_end_open(const struct mf_config *c, enum mf_side side, bool to_end, const char *state_dir, struct mf_db *source,
                struct mf_db **ret, struct mf_db_facts *facts, struct mf_error *err);
/* The database by itself, behind nothing: what can be looked at where documents have no map yet. */
int mf_end_open_bare(const struct mf_config *c, enum mf_side side, struct mf_db **ret, struct mf_db_facts *facts,
                     struct mf_error *err);

/* hooks.c */
int mf_run_hook(void *m, const char *name, const char *const *facts, struct mf_error *err);
/* It has that long instead of hooks.timeout; 0: hooks.timeout. */
int mf_run_hook_within(void *m, const char *name, const char *const *facts, int64_t within_ms, struct mf_error *err);

/* requests.c, moves.c, finish.c: each does one request on the control thread. */
void mf_serve_request(struct mf_migration *m);
/* The step that would open the streams failed: who waits for them is told why. */
void mf_refuse_request(struct mf_migration *m, const struct mf_error *why);
/* The migration being open with its state; r: not to run it, but to do this (force skips whose it is). */
int mf_migration_open_as(const struct mf_config *config, const struct mf_request *r, struct mf_migration **ret,
                         struct mf_error *err);
void mf_idle_beat(struct mf_migration *m); /* heartbeat, samples; cheap when not due */
int mf_do_move(struct mf_migration *m, const struct mf_request *r, json_t **reply, struct mf_error *err);
int mf_do_freeze(struct mf_migration *m, bool thaw, json_t **reply, struct mf_error *err);
/* A request that cannot wait for a comparison is there; scheduled: any request. */
bool mf_must_give_way(struct mf_migration *m, bool scheduled);
int mf_do_quarantine(struct mf_migration *m, const struct mf_request *r, json_t **reply, struct mf_error *err);
int mf_do_end(struct mf_migration *m, const struct mf_request *r, json_t **reply, struct mf_error *err);
bool mf_has_ended(const struct mf_migration *m); /* completed or cancelled */
/* Reads whether an end has begun (m->ending), and which. */
int mf_end_begun(struct mf_migration *m, enum mf_request_kind *ret, struct mf_error *err);
/* Goes on with an end that an earlier try has begun. DONE when it is over. */
enum mf_step mf_end_step(struct mf_migration *m, struct mf_error *err);
int mf_resume_writers(struct mf_migration *m, struct mf_error *err);
void mf_stop_streams(struct mf_migration *m);

/* ---- verifying.c ---- */
/* scheduled: by ourselves; any request ends it. */
int mf_do_verify(struct mf_migration *m, const struct mf_request *r, bool scheduled, json_t **reply,
                 struct mf_error *err);
void mf_scheduled_verify(struct mf_migration *m, int64_t now); /* when it is due */

void mf_emit(struct mf_migration *m, const char *event, json_t *facts); /* steals facts */
void mf_set_error(struct mf_migration *m, const struct mf_error *err);

/* ---- ends.c ---- */
/* The source as it is: without a face, and without the map. */
int mf_source_open(const struct mf_config *c, struct mf_db **ret, struct mf_error *err);

/* ---- modelling.c ---- */
/* What a plan says of keys on a target that spreads rows by them; *ret NULL: it does not. */
int mf_modelling(const struct mf_config *c, struct mf_db *source, struct mf_db *target, const struct mf_catalog *tables,
                 json_t **ret, struct mf_error *err);

/* ---- documents_read.c ---- */
/* One document, on the thread of this worker. */
typedef int mf_document_take(void *worker, size_t table, const struct mf_value *bson, struct mf_error *err);
struct mf_documents_job {
    struct mf_db *db; /* as it is, without a face */
    const struct mf_catalog *tables;
    int64_t sample; /* documents of each table, from all over it; 0: all */
    int jobs;       /* threads */
    mf_document_take *take;
    void **workers; /* one for each */
    const struct mf_plan_options *options;
};
int mf_documents_read(const struct mf_documents_job *job, struct mf_error *err);

/* ---- documents.c ---- */
/* What a plan has for a source of documents. */
struct mf_documents {
    json_t *facts; /* NULL: the source is none */
    struct mf_config
        *proposed; /* a configuration with nothing in it but the map that is proposed; NULL: config has one */
};
int mf_documents_plan(const struct mf_config *c, const struct mf_plan_options *o, const struct mf_filter *filter,
                      struct mf_documents *ret, struct mf_error *err);
void mf_documents_free(struct mf_documents *d);
/* documents_kept.c: before a pipe is opened. MF_FATAL MFMAP: what the map had in the run before, and has no more, stands on the target. */
int mf_documents_kept(struct mf_migration *m, struct mf_error *err);

/* ---- documents_report.c ---- */
struct mf_infer;
struct mf_infer_references;
struct mf_doc_proposal;
struct mf_map_check;
json_t *mf_documents_paths(const struct mf_infer *f);
json_t *mf_documents_keys(const struct mf_infer *f);
json_t *mf_documents_references(const struct mf_infer_references *r);
json_t *mf_documents_refused(const struct mf_map_check *const *checks, size_t n);
json_t *mf_documents_unfilled(const struct mf_map_check *const *checks, size_t n);
json_t *mf_documents_ignored(const struct mf_map_check *const *checks, size_t n);
json_t *mf_documents_tables(const struct mf_map_check *const *checks, size_t n);

#endif
