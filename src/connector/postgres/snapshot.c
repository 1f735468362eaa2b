/*
 * Snapshots.
 *
 * An exact one is exported by the creation of a temporary logical slot. The server makes it from its log: it becomes
 * consistent at a running-transactions record, and counts as committed exactly the transactions whose commit record lies
 * before that record, whose end is the position it reports (consistent_point). Every later commit ends after it. It has
 * waited for each transaction that was running at first, so none of the counted ones is still on its way to being visible.
 * The slot goes with the session; until then it pins the log from the snapshot on, which is one reason not to keep it long.
 *
 * It takes a free replication slot and, for the waiting, that no transaction stays open long.
 */
#include "connector/postgres/reader.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_WAIT_MS 120000

/* Waits for the answer to what was sent, for a bounded time; then asks the server to give up. */
static int await_result(PGconn *c, int wait_ms, PGresult **ret, struct mf_error *err)
{
    int64_t end = mf_now_us() + wait_ms * MF_US_PER_MS;
    while (PQisBusy(c)) {
        int64_t left = end - mf_now_us();
        struct pollfd p = {.fd = PQsocket(c), .events = POLLIN};
        int n = left > 0 ? poll(&p, 1, (int)(left / MF_US_PER_MS) + 1) : 0;
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            char ignored[64];
            PGcancel *cancel = PQgetCancel(c);
            PQcancel(cancel, ignored, sizeof ignored);
            PQfreeCancel(cancel);
            mf_fail(err, MF_RETRY, "57014", "no consistent snapshot could be had within %d s", wait_ms / 1000);
            mf_hint(
                err,
                "it waits for every transaction open at that moment, prepared ones too: see pg_stat_activity (order by "
                "xact_start) and pg_prepared_xacts");
            return -1;
        }
        if (!PQconsumeInput(c)) {
            return pg_fail_conn(c, err);
        }
    }
    *ret = PQgetResult(c);
    return 0;
}

static int create_temporary_slot(PGconn *c, const char *name, struct pg_snapshot *s, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 512};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    uint64_t lsn;
    mf_buf_printf(&b, "CREATE_REPLICATION_SLOT \"%s\" TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT", name);
    if (!PQsendQuery(c, mf_buf_str(&b))) {
        return pg_fail_conn(c, err);
    }
    if (await_result(c, SNAPSHOT_WAIT_MS, &r, err) < 0) {
        return -1;
    }
    if (PQresultStatus(r) != PGRES_TUPLES_OK) {
        pg_fail_result(c, r, err);
        mf_error_prefix(err, "taking a snapshot at a known position");
        if (pg_is_sqlstate(err, "53400")) {
            mf_hint(err,
                    "a snapshot needs one free replication slot: raise max_replication_slots or drop an unused slot");
        }
        return -1;
    }
    if (PQntuples(r) != 1 || PQnfields(r) < 3 || !pg_parse_lsn(PQgetvalue(r, 0, 1), &lsn)) {
        return mf_fail(err, MF_FATAL, "MFPROTO", "CREATE_REPLICATION_SLOT was answered in an unknown form");
    }
    pg_position(lsn, &s->base.position);
    mf_strlcpy(s->name, PQgetvalue(r, 0, 2), sizeof s->name);
    return 0;
}

int pg_snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                     struct mf_error *err)
{
    (void)readers;                         /* any number of sessions may import it */
    static _Thread_local unsigned counter; /* only to make names of one thread differ */
    char name[PG_SLOT_NAME], what[64];
    struct pg_snapshot *s = mf_xcalloc(1, sizeof *s);
    s->base.db = db;
    snprintf(what, sizeof what, "%s snapshot", pipe->migration);
    if (pg_connect(pg_db_of(db), what, PG_CONN_REPLICATION, &s->conn, err) < 0) {
        free(s);
        return -1;
    }
    /* The server process's number makes it unique among the living. */
    snprintf(name, sizeof name, "midflight_%.30s_s%d_%u", pipe->migration, PQbackendPID(s->conn), counter++ % 1000);
    if (create_temporary_slot(s->conn, name, s, err) < 0) {
        pg_snapshot_close(&s->base);
        return -1;
    }
    *ret = &s->base;
    return 0;
}

int pg_snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err)
{
    (void)readers;
    struct pg_snapshot *s = mf_xcalloc(1, sizeof *s);
    s->base.db = db;
    if (pg_connect(pg_db_of(db), "snapshot", 0, &s->conn, err) < 0) {
        free(s);
        return -1;
    }
    if (pg_exec(s->conn, err, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") < 0 ||
        pg_query_text(s->conn, s->name, sizeof s->name, err, "SELECT pg_catalog.pg_export_snapshot()") < 0) {
        mf_error_prefix(err, "taking a snapshot");
        pg_snapshot_close(&s->base);
        return -1;
    }
    *ret = &s->base;
    return 0;
}

void pg_snapshot_close(struct mf_snapshot *base)
{
    if (base) {
        struct pg_snapshot *s = (struct pg_snapshot *)base;
        PQfinish(s->conn);
        free(s);
    }
}
