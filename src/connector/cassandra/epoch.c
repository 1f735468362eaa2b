/*
 * Who may write, as the cluster knows it, and the gate that it has not.
 *
 * The epoch is one row that only conditional statements change: of two decisions the servers make one first. A read at the serial level finishes
 * what was on its way, so nothing is concluded while a decision may still come about.
 *
 * Nothing here can hold writers or refuse them: there are no triggers that would, and no locks. The application's writes follow the flag (docs/guide), and a
 * hold waits until it must have heard of it. What is written on the wrong side is found by comparing.
 */
#include "connector/cassandra/cass.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 10

static int read_row(struct cass_db *db, const char *migration, struct mf_epoch *ret, bool *ret_there,
                    struct mf_error *err)
{
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    const struct cql_bytes *cells;
    const char *args[] = {migration};
    struct mf_epoch e = {.open = true};
    *ret_there = false;
    if (cass_ask(db, CASS_SERIAL, "SELECT epoch, writer, open FROM midflight.epoch WHERE migration = ?", args, 1, &a,
                 err) < 0) {
        if (!cass_no_book(err)) {
            return -1;
        }
        mf_error_clear(err);
    } else {
        int rc = cass_first(a, &cells, err);
        if (rc < 0) {
            return -1;
        }
        if (rc == 1) {
            *ret_there = true;
            e.epoch = (uint64_t)cass_cell_int(a, cells, 0);
            cass_cell_text(a, cells, 1, e.writer, sizeof e.writer);
            e.open = cass_cell_true(cells, 2);
        }
    }
    *ret = e;
    return 0;
}

int cass_epoch_read(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err)
{
    bool there;
    return read_row(cass_db_of(db), pipe->migration, ret, &there, err);
}

static int write_row(struct cass_db *db, const char *migration, const struct mf_epoch *was, bool there,
                     const struct mf_epoch *e, struct mf_error *err)
{
    char number[CASS_NUMBER], before[CASS_NUMBER];
    cass_i64((int64_t)e->epoch, number);
    cass_i64((int64_t)was->epoch, before);
    const char *open = e->open ? "true" : "false", *was_open = was->open ? "true" : "false";
    const char *fresh[] = {migration, number, e->writer, open},
               *later[] = {number, e->writer, open, migration, before, was_open};
    return there ? cass_ask(db, CASS_IF,
                            "UPDATE midflight.epoch SET epoch = ?, writer = ?, open = ? WHERE migration = ?"
                            " IF epoch = ? AND open = ?",
                            later, 6, NULL, err)
                 : cass_ask(db, CASS_IF,
                            "INSERT INTO midflight.epoch (migration, epoch, writer, open) VALUES (?, ?, ?, ?)"
                            " IF NOT EXISTS",
                            fresh, 4, NULL, err);
}

int cass_epoch_write(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err)
{
    struct cass_db *db = cass_db_of(base);
    for (int i = 0; i < TRIES; i++) {
        struct mf_epoch now;
        bool there;
        if (read_row(db, pipe->migration, &now, &there, err) < 0) {
            return -1;
        }
        if (there && now.epoch == e->epoch && strcmp(now.writer, e->writer) == 0 && now.open == e->open) {
            return 0; /* by the condition that was just met, or by an earlier try whose answer was lost */
        }
        if (there && (now.epoch > e->epoch || (now.epoch == e->epoch && now.open))) {
            return mf_fail(err, MF_RETRY, "MFEPOCH",
                           "epoch %" PRIu64 " is not recorded: the cluster has epoch %" PRIu64 ", writer %s", e->epoch,
                           now.epoch, now.writer);
        }
        if (MF_FAULT(err, "cassandra.decide") || write_row(db, pipe->migration, &now, there, e, err) < 0 ||
            MF_FAULT(err, "cassandra.decided")) {
            return -1;
        }
    }
    return mf_fail(err, MF_RETRY, "MFEPOCH", "the epoch in the cluster is being changed by another session");
}

int cass_settle(struct mf_db *base, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err)
{
    struct mf_epoch e;
    (void)wait_ms; /* the request timeout bounds it */
    return cass_epoch_read(base, pipe, &e, err);
}

/* ---- no gate ---- */

int cass_gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                      const struct mf_gate_options *o, struct mf_error *err)
{
    (void)db, (void)pipe, (void)tables, (void)o, (void)err;
    return 0;
}

int cass_gate_remove(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                     struct mf_error *err)
{
    (void)db, (void)pipe, (void)o, (void)err;
    return 0;
}

/* Of nobody: see mf_connector.soft_hold. What it is for is the decision. */
struct cass_hold {
    struct mf_hold base;
    struct mf_pipe_id pipe;
};

int cass_hold(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o, struct mf_hold **ret,
              struct mf_error *err)
{
    (void)o, (void)err;
    struct cass_hold *h = mf_xcalloc(1, sizeof *h);
    h->base.db = db;
    h->pipe = *pipe;
    *ret = &h->base;
    return 0;
}

int cass_hold_decide(struct mf_hold *base, const struct mf_epoch *e, struct mf_error *err)
{
    struct cass_hold *h = (struct cass_hold *)base;
    int rc = cass_epoch_write(h->base.db, &h->pipe, e, err);
    free(h);
    return rc;
}

void cass_hold_release(struct mf_hold *h)
{
    free(h);
}

void cass_hurry(struct mf_db *db, int within_ms)
{
    mf_cql_hurry(cass_db_of(db)->cql, within_ms);
}
