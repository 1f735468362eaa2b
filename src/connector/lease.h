/* The right to run a migration where a database has no locks of sessions: a mark there that ends by itself after MF_LEASE_S, renewed by a thread of its own, so that a
 * control thread that is busy does not lose it. Who has not been able to renew it for as long as it lasts has lost it, and is told so.
 *
 * How the mark is made is the engine's (struct mf_lease_how). Everything is by mf_lease_us (base/clock.h), which goes on while the machine sleeps. */
#ifndef MF_CONNECTOR_LEASE_H
#define MF_CONNECTOR_LEASE_H

#include "connector/types.h"

#include <pthread.h>

#define MF_LEASE_S         8 /* a run that was killed keeps the next one away so long: less than that one waits */
#define MF_LEASE_STR(n)    #n
#define MF_LEASE_NUMBER(n) MF_LEASE_STR(n)
#define MF_LEASE_TEXT      MF_LEASE_NUMBER(MF_LEASE_S) /* "8" */

struct mf_lease {
    struct mf_run_lock base;
    char migration[41], holder[33], host[128]; /* constant: of the migration, of this lease alone, for people */
    const struct mf_lease_how *how;
    pthread_t thread;     /* renews: nothing else */
    pthread_mutex_t lock; /* guards the rest; changed is signalled when it is to end */
    pthread_cond_t changed;
    bool end, lost;
    int64_t good_until_us; /* our clock: when the mark ends by itself, at the earliest */
};

struct mf_lease_how {
    const char *fault; /* point at which the right is had and not renewed yet */
    const char *where; /* "the cluster of": for messages, before the host's name */
    const char *into;  /* "into the cluster of": what another one runs */
    /* Makes the mark where there is none, or (renew) moves its end when it is ours. ret_who: who has it instead, "" when we have it, until MF_LEASE_S from before the
     * call. 0, or -1. */
    int (*take)(struct mf_lease *l, bool renew, char *ret_who, size_t n, struct mf_error *err);
    /* After take has failed for the first time, without renew: 1 when it is worth another try, 0 when the error stands (err as it was), -1 another error. NULL: never. */
    int (*mend)(struct mf_lease *l, struct mf_error *err);
    void (*drop)(struct mf_lease *l); /* takes our mark away; or it ends by itself */
    const char *(*host)(struct mf_db *db);
};

/* As mf_traffic_ops.run_lock, run_lock_check and run_lock_release. */
int mf_lease_take(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_lease_how *how, int wait_ms,
                  struct mf_run_lock **ret, struct mf_error *err);
int mf_lease_check(struct mf_run_lock *l, struct mf_error *err);
void mf_lease_release(struct mf_run_lock *l);

#endif
