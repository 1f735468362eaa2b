/* The simulation: one history is one seed.
 *
 * A world is two servers in memory, an application that writes to whichever of them takes writes, a clock, and a script of what the
 * operator wants (sync, verify, cutover, rollback, end). The engine is midflight itself: the real stages, stepped one at a time by a seeded
 * scheduler. Between any two operations of any stage the application may write, the connection may break, midflight may die. What has to hold
 * is checked at every commit and at the end (checks.c). Nothing here reads the real clock or any other source of chance: a seed replays
 * exactly. */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "config/config.h"
#include "connector/memory/memory.h"
#include "spool/spool.h"
#include "state/state.h"

enum { SIM_TABLES = 4, SIM_OPEN = 3, SIM_GOALS = 10, SIM_PARTS = 10 };

enum { FLAG_NONE = -1, FLAG_DELAY_US = 3000000 };

enum sim_goal {
    GOAL_SYNC,
    GOAL_VERIFY,
    GOAL_CORRUPT,
    GOAL_FOREIGN,
    GOAL_CUTOVER,
    GOAL_ROLLBACK,
    GOAL_DRY_RUN,
    GOAL_END,
    GOAL_DONE
};

struct engine;

struct app_tx {
    struct mf_mem_txn *txn;
    enum mf_side side;
    int ops;
    bool saved;
};

struct world {
    uint64_t seed, rng;
    bool verbose;
    const char *broken; /* the deliberate break in force, NULL: none */
    char failure[1500]; /* "" while every promise holds */

    struct mf_mem_server *server[2];
    struct mf_state *state;              /* survives crashes of midflight */
    struct mf_spool_storage *storage[2]; /* by direction; what was synced survives */
    struct engine *engine;
    int64_t now_us;

    /* the application */
    struct app_tx open[SIM_OPEN];
    enum mf_side app_side; /* where it believes writes go */
    unsigned app_rate;     /* of 1000, at each operation of midflight's */
    bool app_stopped;
    int untouched; /* table the application leaves alone; -1 none */
    int64_t sequence;
    uint64_t commits, values;
    bool faces;   /* source and target are of different kinds */
    bool stamped; /* the target keeps the last write by its stamp: no transactions, no way back but by passes */
    bool
        silent; /* the target tells nobody of its changes either, and keeps nobody out: writes come back by passes, and the application follows a flag */
    int flag;   /* what the writes flag answers: a side, or FLAG_NONE */
    int64_t flag_asked_us; /* what the application knows of it, and since when; it goes by that for as long as it may */
    int flag_known;
    int64_t written_us; /* when the application last wrote to the target */
    bool unordered;     /* the target's rows come in an order of its own, without snapshots: verify joins */
    bool mapped;        /* the target has query tables (mapped.c) */
    unsigned chosen;
    struct mf_config *config; /* its map */
    bool refusals;            /* some values are of one kind only */
    bool large;               /* some transactions of this history are large, and some values */

    /* states of the data, each as a digest, in the order the application made them */
    uint64_t *history;
    size_t nhistory, cap_history;
    uint64_t previous[2]; /* digest of each server after its last commit */
    size_t matched[2];    /* index in the history of the state it has */
    bool consistent;      /* from here on the passive side must always be at a state of the history */
    bool corrupted;       /* somebody wrote to the passive side: not judged until repaired */
    bool heal;            /* midflight mends what somebody else wrote; on where the script has it */
    bool foreign;         /* the commit at hand is somebody else's, on the passive side */
    int foreign_left;     /* so many are still to come */
    int found_nothing;    /* verifications in a row that did */
    bool mended_before;   /* some were made in this history */
    int64_t wrong_before; /* writes on the wrong side that were told before the last one was made */

    /* faults */
    unsigned fault_rate; /* of 10000, at each operation */
    int faults_left, crashes, lost;
    bool late_decisions; /* the first decision is on its way when midflight dies */
    bool crashed;        /* everything of midflight's fails until it is started again */

    /* the script */
    enum sim_goal goals[SIM_GOALS];
    uint64_t cancel_at; /* step at which the operator gives up; 0: never */
    uint64_t spool_budget;
    size_t transaction_memory, reread_bytes, join_memory;
    int goal, attempts;
    int allowance; /* transactions the application still makes before the next goal is reached */
    bool ended;    /* the operator has ended it: gates come down on both sides */
    uint64_t steps;
    unsigned weights[SIM_PARTS]; /* how often each part of midflight gets its turn */
};

extern struct world *the_world; /* the clock reads it */

/* chance.c */
uint64_t sim_random(struct world *w);
unsigned sim_below(struct world *w, unsigned n); /* 0 <= x < n */
bool sim_chance(struct world *w, unsigned of_thousand);

/* world.c */
void world_start(struct world *w, uint64_t seed, bool verbose, const char *broken);
void world_run(struct world *w);
void world_end(struct world *w);
void world_fail(struct world *w, const char *promise, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void world_say(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* app.c */
extern const char *const sim_tables[SIM_TABLES];
void app_create_tables(struct world *w);
void app_step(struct world *w);
/* The engine's part of the flag: who may write, as midflight would say it. */
void app_flag(struct world *w, int side);
void app_pause(struct world *w);  /* commits or aborts what is open */
void app_finish(struct world *w); /* commits or aborts what is open, and writes no more */
/* A committed transaction of a writer whom no gate stops. */
bool app_bypass(struct world *w, enum mf_side side);
/* A transaction of somebody else's, past every gate: anything the application might do. */
void app_foreign(struct world *w, enum mf_side side);

/* mapped.c */
void mapped_choose(struct world *w);
/* Of what the target is to have of the side's tables: equal states of the two sides have equal ones. */
uint64_t world_digest(struct world *w, int side);

/* checks.c */
void check_start(struct world *w);
void check_commit(void *world, struct mf_mem_server *s);
void check_consistent_now(struct world *w); /* the engine says the consistency point is reached */
void check_mended(struct world *w);         /* both sides are equal again after what somebody else wrote */
void check_nothing_diverged(struct world *w);
void check_equal(struct world *w, const char *when);
void check_one_writer(struct world *w);
void check_stamp(struct world *w, int64_t stamp);
void check_clean(struct world *w);

/* engine_glue.c: midflight, stepped */
int engine_open(struct world *w, struct engine **ret, struct mf_error *err);
void engine_free(struct engine *e);
/* One step of a part chosen by chance; false with err when it failed. */
bool engine_step(struct engine *e, struct mf_error *err);

#endif
