/* A replication slot as the server sees it. */
#ifndef MF_CONNECTOR_POSTGRES_SLOT_H
#define MF_CONNECTOR_POSTGRES_SLOT_H

#include "connector/postgres/connect.h"

struct pg_slot {
    bool exists;
    bool active;
    int active_pid;
    bool lost;    /* the server has given it up: it can never be read again */
    char why[64]; /* the server's word for it: "lost", "wal_removed", "rows_removed", … */
    char plugin[32];
    char database[128];
    uint64_t confirmed; /* acknowledged up to here */
};

int pg_slot_read(PGconn *c, const char *name, struct pg_slot *ret, struct mf_error *err);
/* MF_FATAL, code MFSLOT, with what to do. Always -1. */
int pg_slot_fail(const char *name, const char *why, struct mf_error *err);
/* True for a server's error that means the slot is gone or can no longer be read. */
bool pg_slot_lost_error(const struct mf_error *err);
/* Ends the walsender that holds the slot, if it is one of midflight's, and waits (at most wait_ms) until it is free. */
int pg_slot_free(PGconn *c, const char *name, int wait_ms, struct mf_error *err);

#endif
