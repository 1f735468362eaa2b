/* Dual writes: when a commit of the origin that waits for the replica may be answered, and what may be said of all that were.
 *
 * The rules alone, without threads or databases: capture tells what has come in and how far the replica is, and is told up to where to confirm. Confirmed is
 * what the replica holds; what is only durable in the spool instead, while commits are let go.
 *
 * Invariant: while the state is ON, every commit that was answered is held by the replica. So the state leaves ON before anything is confirmed that is not held, and
 * comes back to it only when the origin has said that commits wait, and everything answered until then is held.
 *
 * Any thread; step and received are capture's. */
#ifndef MF_PIPELINE_DUAL_H
#define MF_PIPELINE_DUAL_H

#include "connector/types.h"

enum mf_dual_state {
    MF_DUAL_OFF,         /* nobody waits: not asked for, or not yet, or not any more */
    MF_DUAL_CATCHING_UP, /* commits wait, and some that were answered before may not be held yet */
    MF_DUAL_ON,
    MF_DUAL_DEGRADED, /* commits are answered that the replica does not hold */
};
const char *mf_dual_word(enum mf_dual_state s);

#define MF_DUAL_WHY 400

struct mf_dual_status {
    enum mf_dual_state state;
    char why[MF_DUAL_WHY];
    int64_t since_us;   /* wall clock */
    int64_t waiting_us; /* how long the oldest commit has waited that the replica does not hold */
    uint64_t degraded;  /* how often */
    char release[160];  /* what lets commits go when we are dead, see mf_commit_wait */
};

struct mf_dual;

struct mf_dual *mf_dual_new(const struct mf_wait_policy *p);
void mf_dual_free(struct mf_dual *d);

/* A stream that commits wait for was opened at `from`; or closed, or does not exist: then the state is OFF, or DEGRADED (trouble). */
void mf_dual_opened(struct mf_dual *d);
void mf_dual_closed(struct mf_dual *d, enum mf_dual_state state, const char *why);
/* A change to tell of although the state is the same. */
void mf_dual_said(struct mf_dual *d, const char *why);

/* A commit came in. */
void mf_dual_received(struct mf_dual *d, uint64_t order, int64_t now_us);

/* How far the replica is. */
struct mf_held {
    struct mf_position upto; /* everything up to here is committed there */
    int64_t standing_us;     /* since when replay stands still, or asks the origin, for our own sake; 0: it does not */
    uint64_t refused;        /* rows it refused that are in quarantine */
};

/* True: confirm what is durable in the spool; false: what is held. */
bool mf_dual_step(struct mf_dual *d, const struct mf_held *h, uint64_t durable, int64_t now_us);
/* It is the former at this moment. */
bool mf_dual_letting_go(struct mf_dual *d);

/* What the origin says. A ticket is taken before it is asked, so that an answer from before a break counts for nothing. */
uint64_t mf_dual_ticket(struct mf_dual *d);
void mf_dual_answer(struct mf_dual *d, uint64_t ticket, const struct mf_commit_wait *w, int64_t now_us);

void mf_dual_status(struct mf_dual *d, int64_t now_us, struct mf_dual_status *ret);
/* Changes of state that nobody has taken yet, the oldest first; false when there is none. */
bool mf_dual_next_change(struct mf_dual *d, struct mf_dual_status *ret);

#endif
