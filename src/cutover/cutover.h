/* Moving writes from one side to the other, and back: one state machine as a table of rows (cutover.c), stepped by the control
 * thread or by the simulation.
 *
 *   guards -> gates -> rehearse -> before_hook -> hold -> fence -> drain -> sequences -> hook -> decide -> open -> done
 *
 * Each step is journalled before it is taken. Before `decide` the way back is to let writers go on as if nothing had been; `decide` is ONE
 * commit in the database that loses the right to write (its epoch row); after it the only way is forward: open the other side. A crash at
 * any step: mf_cutover_resume reads the epochs in both databases and undoes or finishes. */
#ifndef MF_CUTOVER_CUTOVER_H
#define MF_CUTOVER_CUTOVER_H

#include "config/config.h"
#include "pipeline/pipe.h"

struct mf_cutover;

/* By a pass: rows that it carried, or could not; the first of them, "" where nobody knows. */
struct mf_cutover_found {
    int64_t rows;
    char first[400];
};

struct mf_cutover_options {
    struct mf_pipe_id id;    /* of the migration; its direction does not matter */
    struct mf_db *from, *to; /* writes move from -> to */
    struct mf_pipe *drain;   /* the pipe whose origin is `from`; not looked at by mf_cutover_resume */
    struct mf_pipe *back;    /* the pipe whose origin is `to`; NULL: writes do not come back. The same */
    const struct mf_catalog *from_tables, *to_tables;
    const struct mf_filter *filter; /* for sequences */
    struct mf_state *state;
    const struct mf_config *config;
    int64_t max_pause_ms;
    bool dry_run;
    bool rollback;           /* which hooks run, what is told, and which proof is asked for (others.c) */
    bool accept_differences; /* a rollback goes on though `to` is known to differ (others.c) */
    /* A hook: name, facts as "KEY=value" strings, and the time it has (0: what the configuration says). 0, or -1: abandon. NULL: none (simulation). */
    int (*run_hook)(void *ctx, const char *name, const char *const *facts, int64_t within_ms, struct mf_error *err);
    /* True when everything that is not decided is to be given up. NULL: never. */
    bool (*stop)(void *ctx);
    /* Guard of the owner's: lag, verification, health. 0, or -1 with MF_ABANDONED and the reason. */
    int (*guard)(void *ctx, struct mf_error *err);
    /* After the rehearsal and on_before_cutover, right before writers are held: the same contract. NULL: none. */
    int (*before_hold)(void *ctx, struct mf_error *err);
    /* Once more while writers are held, as the last thing before the decision: the same contract. NULL: none (simulation). */
    int (*last_guard)(void *ctx, struct mf_error *err);
    /* After the decision and before `to` is opened, possibly more than once: when it returns nothing but ours writes to `to`. NULL: nothing ever
     * does. */
    int (*promote)(void *ctx, struct mf_error *err);
    /* Writers of a database with a soft hold are asked to stay away, or to come back; they have flag_delay_ms to hear of it. NULL: they know by
     * themselves (simulation). */
    int (*ask_away)(void *ctx, bool away, struct mf_error *err);
    int64_t flag_delay_ms;
    /* Where `drain` is by passes: one whole pass, begun by the first call and told of by MORE. */
    enum mf_step (*pass)(void *ctx, struct mf_cutover_found *ret_found, struct mf_error *err);
    void (*tell)(void *ctx, const char *step, const char *sentence);
    void *ctx;
};

int mf_cutover_new(const struct mf_cutover_options *o, struct mf_cutover **ret, struct mf_error *err);
/* One edge, or IDLE while waiting (drain). DONE: writes are on `to`. FAILED with MF_ABANDONED: nothing has changed. FAILED otherwise: call
 * mf_cutover_resume until it answers. */
enum mf_step mf_cutover_step(struct mf_cutover *c, struct mf_error *err);
int64_t mf_cutover_pause_us(struct mf_cutover *c); /* hold to open, measured inside; 0 before */
void mf_cutover_settled(
    struct mf_cutover *c); /* mf_cutover_resume has just finished it: the pause ends here, and is recorded */
const char *mf_cutover_at(struct mf_cutover *c); /* name of the step */
void mf_cutover_free(struct mf_cutover *c);

enum mf_writer { MF_WRITER_SOURCE, MF_WRITER_TARGET, MF_WRITER_NONE };
/* After a start or a failed cutover: waits until no decision is on its way in either database, reads both epochs, finishes a decided cutover (opens
 * the side that was decided) or undoes an undecided one, and says who may write. MF_RETRY: not known yet, and nothing was undone. */
int mf_cutover_resume(const struct mf_cutover_options *o, enum mf_writer *ret, struct mf_error *err);
/* Both databases' epochs once no decision is on its way in either (waited for settle_ms each); the higher is the last decision. */
int mf_cutover_epochs(struct mf_db *source, struct mf_db *target, const struct mf_pipe_id *id, int settle_ms,
                      struct mf_epoch *ret_source, struct mf_epoch *ret_target, struct mf_error *err);

/* What is asked of a database while gates are put up and writers held, gates closed. WAIT is not for ever: who waits for a table's lock does so
 * with its writers. */
struct mf_gate_options mf_cutover_gate(const struct mf_cutover_options *o);
/* Gates of a first cutover (or freeze) that was given up come down, if that takes no time; else they stay, open, and the next start tries again. */
int mf_cutover_ungate(const struct mf_cutover_options *o, struct mf_db *db, struct mf_error *err);

/* The diagram and table of docs/internals/cutover.md. */
void mf_cutover_reference(FILE *out);

#endif
