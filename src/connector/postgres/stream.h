/* The change stream's own header: stream.c (opening, messages), stream_wait.c (one that commits wait for). */
#ifndef MF_CONNECTOR_POSTGRES_STREAM_H
#define MF_CONNECTOR_POSTGRES_STREAM_H

#include "connector/postgres/decode.h"
#include "connector/postgres/postgres.h"
#include "connector/postgres/slot.h"
#include "connector/postgres/truncate.h"

struct pg_stream {
    struct mf_stream base;
    struct mf_pipe_id pipe;
    char slot[PG_SLOT_NAME];
    PGconn *conn;
    struct pg_decoder *decoder;
    struct mf_catalog catalog;     /* keys of tables, read again when an unknown one appears */
    struct pg_truncates truncates; /* servers that tell of them by a row of ours */
    const char **key_names;        /* scratch of the key lookup */
    char *message;                 /* libpq's buffer behind the last item */
    uint64_t from, told;           /* nothing <= from is new; told: the last commit or progress handed out */
    uint64_t durable;              /* what may be acknowledged */
    bool waits;                    /* commits wait for it: only what is confirmed is acknowledged */
    uint64_t confirmed;            /* 0: nothing; the server counts us as a standby from the first on */
    bool alone;                    /* a table came up that has to be looked up, see key_of */
    int wake;                      /* an eventfd; -1: nobody wakes */
    int64_t status_every_us, status_due_us;
    unsigned unchecked; /* messages since the clock was looked at */
};

int pg_stream_send_status(struct pg_stream *st, struct mf_error *err);

#endif
