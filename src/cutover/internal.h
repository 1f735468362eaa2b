/* Shared by the files of this folder. */
#ifndef MF_CUTOVER_INTERNAL_H
#define MF_CUTOVER_INTERNAL_H

#include <stdatomic.h>

#include "cutover/cutover.h"

struct mf_cutover;

struct mf_cutover_row {
    const char *name; /* in the journal, in status, in events */
    enum mf_step (*act)(struct mf_cutover *c, struct mf_error *err);
    const char *fault;    /* fault point passed before the action */
    const char *sentence; /* what holds when the action is over */
    const char *way_back; /* what a failure or a crash here leads to */
    bool in_dry_run;
};
extern const struct mf_cutover_row mf_cutover_rows[];
extern const size_t mf_cutover_nrows;

struct mf_cutover {
    struct mf_cutover_options o;
    atomic_int row; /* stepped by one thread, told by status from another */
    bool entered, decided, hook_ran, gates_touched, hurried, accepted;
    bool away;      /* writers were asked to stay away */
    int passes;     /* of this step that are over */
    int64_t fewest; /* rows that one of them found while writers are held */
    bool rehearsing;
    char broken[sizeof((struct mf_error *)0)->text]; /* what the rehearsal found of foreign keys; "" */
    struct mf_hold *hold;                            /* NULL before and after */
    int64_t guards_until_us, held_us, away_us, deadline_us, pause_us;
    struct mf_position marker_from, marker_to, fence;
    struct mf_epoch
        epoch; /* the one that is decided, known before anybody is told; the one in force is the number before it */
    struct mf_sequence *sequences;
    size_t nsequences;
};

/* cutover.c: 0 while the pause may go on */
int mf_cutover_in_time(struct mf_cutover *c, const char *doing, struct mf_error *err);
/* streams.c: 0, or -1 with MF_ABANDONED: one has failed */
int mf_cutover_streams_run(struct mf_cutover *c, struct mf_error *err);
/* MORE: both run and are consistent. IDLE: not yet, for a while after a start. */
enum mf_step mf_cutover_streams_fit(struct mf_cutover *c, struct mf_error *err);
/* soft.c */
enum mf_step mf_cutover_hold_soft(struct mf_cutover *c, struct mf_error *err);
void mf_cutover_come_back(struct mf_cutover *c);
enum mf_step mf_cutover_rehearse_pass(struct mf_cutover *c, struct mf_error *err); /* MORE: it is rehearsed */
enum mf_step mf_cutover_carry(struct mf_cutover *c, struct mf_error *err);         /* drain, by passes */
int mf_cutover_stamps_go_on(struct mf_cutover *c, struct mf_error *err);
/* Where `to` keeps the last write: its time is past everything of ours, so that what is written there next is newer. MORE, or IDLE: not yet. */
enum mf_step mf_cutover_newer(struct mf_cutover *c, struct mf_error *err);
int mf_cutover_clocks(struct mf_cutover *c, struct mf_error *err); /* refuses what would outlast the pause */

const char *mf_cutover_side(const struct mf_db *db); /* "source" | "target" */
/* The replica's own checkpoint has reached `p`; asks for one when the stream has nothing else to write. */
bool mf_cutover_arrived(struct mf_pipe *pipe, const struct mf_position *p);
/* NULL name: none. back: applications go back to where they came from, so FROM and TO change places. 0, or -1 with MF_ABANDONED. */
int mf_cutover_hook(struct mf_cutover *c, const char *name, bool back, struct mf_error *err);
void mf_cutover_direction(const struct mf_cutover *c, char *out, size_t n); /* "source -> target" */
/* others.c: 0, or -1 with MF_ABANDONED: `to` is known to differ, by what others wrote to it or by what was compared, and nothing proves it equal since. */
int mf_cutover_others(struct mf_cutover *c, struct mf_error *err);
int mf_cutover_record(struct mf_cutover *c, struct mf_error *err);

#endif
