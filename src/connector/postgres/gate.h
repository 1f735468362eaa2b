/* What gate.c and hold.c share. */
#ifndef MF_CONNECTOR_POSTGRES_GATE_H
#define MF_CONNECTOR_POSTGRES_GATE_H

#include "connector/postgres/connect.h"

/* The advisory lock every writer takes shared and a hold takes exclusively. */
int64_t pg_gate_key(const struct mf_pipe_id *pipe);
/* The one that every decision is committed under, and that writers never take. */
int64_t pg_decide_key(const struct mf_pipe_id *pipe);
/* The error of whoever waited for it in vain: MF_RETRY. */
int pg_decision_late(const struct mf_db *db, int waited_ms, struct mf_error *err);

/* gate_stand.c. Subscriptions that are on and write one of these tables (or a table above one), a row each: name, quoted
 * name, one of the tables, how many. */
int pg_subscriptions(PGconn *c, const struct mf_catalog *tables, PGresult **ret, struct mf_error *err);
/* MF_ABANDONED, about the first row of such a result. */
int pg_fail_subscription(const PGresult *r, struct mf_error *err);
/* MF_ABANDONED when a gate that was installed does not stand any more, or when a subscription writes past one. */
int pg_gate_stands(PGconn *c, const struct mf_pipe_id *pipe, struct mf_error *err);

#endif
