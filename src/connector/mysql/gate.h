/* What the gate's files share: gate.c, gate_lock.c, gate_stand.c, hold.c, epoch.c, cleanup.c. */
#ifndef MF_CONNECTOR_MYSQL_GATE_H
#define MF_CONNECTOR_MYSQL_GATE_H

#include "connector/mysql/mysql_room.h"
#include "connector/mysql/wait.h"

/* How long a decision that is on its way is waited for before another may be made. */
#define MY_DECIDE_WAIT_MS 5000

/* True for the error of a statement that found no bookkeeping there. */
bool my_no_book(const struct mf_error *err);

/* ---- gate.c ---- */

/* Every trigger of this migration's on the server: database, table, trigger, INSERT|UPDATE|DELETE. */
int my_gate_triggers(MYSQL *c, const struct mf_pipe_id *pipe, MYSQL_RES **ret, struct mf_error *err);

/* A session for DDL on tables that others use; what: as in my_connect. */
int my_gate_session(struct my_db *db, const char *what, const struct mf_gate_options *o, struct my_waiter *ret,
                    struct mf_error *err);

/* ---- gate_rows.c ---- */

/* What a trigger asks, as an expression: whether it may write. Locks the row it asks. */
void my_put_may(struct mf_buf *b, const struct my_db *db, const struct mf_pipe_id *pipe);
/* Slots, where this server needs them; the epoch row is there. */
int my_slots_make(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
int my_slots_write(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, bool open, struct mf_error *err);
/* *ret_others becomes true when other migrations have slots. */
int my_slots_drop(MYSQL *c, const struct mf_pipe_id *pipe, bool *ret_others, struct mf_error *err);

struct my_gate_wait {
    int64_t until_us;
    int64_t end_from_us; /* from then on who is in the way is ended; 0: nobody is */
    struct mf_buf names; /* who was, as text for a message */
    struct mf_buf met;
    int denied; /* so many could not be ended */
};
#define MY_GATE_WAIT(until, end)                                                                                       \
    {                                                                                                                  \
        .until_us = (until), .end_from_us = (end), .names.max = 4096, .met.max = 65536                                 \
    }
void my_gate_wait_free(struct my_gate_wait *g);
/* Locks all rows of the gate, in a transaction begun here: writers wait from then on. *ret (NULL before) is the epoch row, if there is one: epoch, writer,
 * open. 0: they are locked; 1: others were in the way for all the time, nothing is locked; -1. */
int my_gate_lock(struct my_waiter *w, const struct mf_pipe_id *pipe, struct my_gate_wait *g, MYSQL_RES **ret,
                 struct mf_error *err);
/* One try, without waiting for anybody longer than within_us; how: " NOWAIT" or "". */
int my_gate_try(struct my_waiter *w, const struct mf_pipe_id *pipe, const char *how, int64_t within_us, MYSQL_RES **ret,
                struct mf_error *err);

/* ---- gate_lock.c ---- */

/* One DDL statement on a table that needs its metadata lock, again and again within the bound. MF_ABANDONED MFLOCK when it was not to be
 * had. */
int my_with_table_lock(struct my_waiter *w, const char *sql, const char *schema, const char *table,
                       const struct mf_gate_options *o, int64_t until_us, struct mf_error *err);

/* ---- gate_stand.c ---- */

/* Other than the one that midflight has set up itself and ends before this side takes writes: MF_ABANDONED when another server's changes come in by replication: its applier fires no triggers. */
int my_no_replication(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
/* MF_ABANDONED when a gate that was installed does not stand any more. */
int my_gate_stands(MYSQL *c, const struct mf_pipe_id *pipe, struct mf_error *err);
/* Waits until every transaction that is prepared now has ended: a prepared one may hold no lock, and may have written. */
int my_prepared_end(MYSQL *c, const struct my_db *db, int64_t until_us, struct mf_error *err);

/* ---- epoch.c ---- */

/* UPDATE of the epoch row, unless it has a newer one. */
void my_put_epoch_update(struct mf_buf *b, const struct mf_pipe_id *pipe, const struct mf_epoch *e);
/* What this session has committed survives a crash of the server, whatever the server's setting. */
int my_make_durable(MYSQL *c, struct mf_error *err);
/* The error of whoever waited for a decision in vain: MF_RETRY. */
int my_decision_late(const struct my_db *db, int waited_ms, const char *names, struct mf_error *err);

#endif
