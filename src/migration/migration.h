/* A migration as a whole: opens both databases, goes from phase to phase, owns the threads, and does what the commands ask.
 *
 * One thread (the caller of mf_migration_run) is the control thread: it steps the phase machine, takes requests one at a time, beats the
 * heartbeat and watches the stages. Requests and status come from any thread (the API's). */
#ifndef MF_MIGRATION_MIGRATION_H
#define MF_MIGRATION_MIGRATION_H

#include <jansson.h>

#include "config/config.h"
#include "connector/types.h"
#include "migration/flags.h"
#include "state/state.h"

struct mf_migration;

/* Connects to both, opens and locks the state, takes the run lock; MF_FATAL code MFTWICE when the migration is another state
 * directory's or another process runs it. From here on requests are taken, and wait for mf_migration_run. The config stays the caller's and must outlive it. */
int mf_migration_open(const struct mf_config *config, struct mf_migration **ret, struct mf_error *err);
void mf_migration_free(struct mf_migration *m);

enum mf_until { MF_UNTIL_END, MF_UNTIL_COPIED, MF_UNTIL_SYNCED };
/* Runs until completed, cancelled, `until` is reached, or stopped. 0, or -1 with the error that ended it (also in last_error). */
int mf_migration_run(struct mf_migration *m, enum mf_until until, struct mf_error *err);
/* Asks run to return soon, resumable; any thread, and safe in a signal handler's self-pipe reader. */
void mf_migration_stop(struct mf_migration *m);

enum mf_request_kind {
    MF_REQ_VERIFY,
    MF_REQ_READS,
    MF_REQ_CUTOVER,
    MF_REQ_ROLLBACK,
    MF_REQ_FREEZE,
    MF_REQ_THAW,
    MF_REQ_COMPLETE,
    MF_REQ_CANCEL,
    MF_REQ_QUARANTINE_RETRY,
    MF_REQ_QUARANTINE_DROP,
};
struct mf_request {
    enum mf_request_kind kind;
    const char *table;       /* verify */
    double sample;           /* verify: 0 means 1 */
    bool repair;             /* verify */
    bool dry_run;            /* cutover, rollback */
    bool accept_differences; /* rollback: though somebody else has written to the source since the cutover */
    int64_t max_pause_ms;    /* cutover, rollback: 0 means the config's */
    int64_t number;          /* reads: per cent; quarantine: id (0: all) */
    const char *direction;   /* quarantine: "forward" or "reverse"; NULL: wherever the id is */
    bool force;              /* complete, cancel: the state directory the migration belongs to is lost */
};
/* What was done, as JSON facts (`ret_reply`, may be NULL, the caller decref's). Blocks until it is. Exit-worthy outcomes: 0; MF_ABANDONED (3: refused by a
 * guard or abandoned and unchanged); others failed. Verify's differences are success here: see "rows_differing" in the reply. */
int mf_migration_request(struct mf_migration *m, const struct mf_request *r, json_t **ret_reply, struct mf_error *err);

/* The status document (DESIGN: status --json); new reference. Any thread. */
json_t *mf_migration_status(struct mf_migration *m);
/* What feature flags are answered from. Any thread; waits for nothing. */
void mf_migration_flags(struct mf_migration *m, struct mf_flags_view *ret);
/* The status document from a state directory whose run is not alive ("running": false). */
int mf_migration_status_from_state(const char *state_dir, json_t **ret, struct mf_error *err);

/* complete and cancel where no run is alive: opens, does it, closes. */
int mf_migration_offline(const struct mf_config *config, const struct mf_request *r, json_t **ret_reply,
                         struct mf_error *err);

/* Facts as they happen (phase changes, cutover steps, errors): called on the control thread, must not block. */
typedef void mf_event_sink(void *ctx, const char *event, json_t *facts);
void mf_migration_on_event(struct mf_migration *m, mf_event_sink *sink, void *ctx);

/* A fence (any thread): where the side that takes writes is now; whether the other side has everything up to there; and, when that takes long although nobody
 * writes, a commit of ours that takes the stream there. MF_RETRY: no stream runs, or the sides are not in step. */
struct mf_fence {
    enum mf_direction direction;
    struct mf_position at;
};
int mf_migration_fence(struct mf_migration *m, struct mf_fence *ret, struct mf_error *err);
int mf_migration_fence_passed(struct mf_migration *m, const struct mf_fence *f, bool *ret, uint64_t *ret_refused,
                              struct mf_error *err);
void mf_migration_fence_nudge(struct mf_migration *m);

/* Quarantine list as JSON array (new reference). Any thread. */
int mf_migration_quarantine(struct mf_migration *m, json_t **ret, struct mf_error *err);

/* check and plan: no state needed, change nothing. queries: statements that the source has seen are looked at, too. */
int mf_migration_check(const struct mf_config *config, bool queries, struct mf_findings *out, json_t **ret_facts,
                       struct mf_error *err);

struct mf_plan_options {
    bool full; /* documents: all of them are looked at, and not a sample */
    /* Every second or so while documents are read, on the caller's thread: how many, of about how many (-1: not known). May be NULL. */
    void (*progress)(void *ctx, int64_t done, int64_t total);
    void *ctx;
};
int mf_migration_plan(const struct mf_config *config, const struct mf_plan_options *o, json_t **ret,
                      struct mf_error *err);

#endif
