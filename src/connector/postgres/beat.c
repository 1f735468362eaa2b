/* Heartbeats, positions, load: the short questions to a source. */
#include "connector/postgres/postgres.h"

#include "base/fault.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

static int query_position(PGconn *c, const char *sql, struct mf_position *ret, struct mf_error *err)
{
    char text[64];
    uint64_t lsn;
    if (pg_query_text(c, text, sizeof text, err, sql) < 0) {
        return -1;
    }
    if (!pg_parse_lsn(text, &lsn)) {
        return mf_fail(err, MF_FATAL, "MFPOS", "the server answered \"%s\" for a position in its log", text);
    }
    pg_position(lsn, ret);
    return 0;
}

/* The commit waits until its record is on disk (whatever the server's default), so the log is flushed past it and past
 * every commit that returned before; and a walsender reads what is flushed. So the flush position after the commit is one
 * that the stream reaches soon, by this commit or by progress. synchronous_commit = local: a synchronous standby
 * (which may be us) is not waited for. */
int pg_heartbeat(struct mf_db *base, const struct mf_pipe_id *pipe, const char *marker, struct mf_position *ret_after,
                 struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8192};
    struct mf_position after;
    PG_LEASE(pg_db_of(base), l);
    if (MF_FAULT(err, "postgres.heartbeat") || pg_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    mf_buf_puts(&b, "BEGIN; SET LOCAL synchronous_commit = local; "
                    "INSERT INTO midflight.heartbeat AS h (migration, side, marker, beat) VALUES (");
    pg_put_literal(&b, pipe->migration);
    mf_buf_puts(&b, base->side == MF_SOURCE ? ", 'source', " : ", 'target', ");
    if (marker) {
        pg_put_literal(&b, marker);
    } else {
        mf_buf_puts(&b, "NULL");
    }
    mf_buf_puts(&b,
                ", 1) ON CONFLICT (migration, side) DO UPDATE SET marker = excluded.marker, beat = h.beat + 1; COMMIT");
    if (!pg_sql(&b, err) || pg_exec(l.conn, err, mf_buf_str(&b)) < 0 ||
        query_position(l.conn, "SELECT pg_catalog.pg_current_wal_flush_lsn()", &after, err) < 0) {
        mf_error_prefix(err, "writing a heartbeat");
        return -1;
    }
    if (ret_after) {
        *ret_after = after;
    }
    return 0;
}

/* The insert position, not the flush position: a commit may return before its record is on disk. */
int pg_position_now(struct mf_db *base, struct mf_position *ret, struct mf_error *err)
{
    PG_LEASE(pg_db_of(base), l);
    return pg_lease(l.db, &l.conn, err) < 0
               ? -1
               : query_position(l.conn, "SELECT pg_catalog.pg_current_wal_insert_lsn()", ret, err);
}

int pg_clock(struct mf_db *base, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err)
{
    char text[64];
    PG_LEASE(pg_db_of(base), l);
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_query_text(l.conn, text, sizeof text, err,
                      "SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8") < 0) {
        mf_error_prefix(err, "asking for the server's clock");
        return -1;
    }
    if (!mf_parse_i64(text, ret_us)) {
        return mf_fail(err, MF_FATAL, "MFPOS", "the server's clock says \"%s\"", text);
    }
    if (ret_latest_us) {
        *ret_latest_us = *ret_us;
    }
    return 0;
}

/* Sessions of others at work at this moment (running, or waiting for a lock or the disk), over the number the server is taken
 * to bear: PG_LOAD_SESSIONS. The number of its cores is not ours to see. */
#define PG_LOAD_SESSIONS 16
int pg_load(struct mf_db *base, double *ret, struct mf_error *err)
{
    char n[32];
    PG_LEASE(pg_db_of(base), l);
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_query_text(l.conn, n, sizeof n, err,
                      "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active' "
                      "AND backend_type = 'client backend' AND application_name NOT LIKE 'midflight %'") < 0) {
        return -1;
    }
    int64_t busy = 0;
    mf_parse_i64(n, &busy);
    *ret = (double)busy / PG_LOAD_SESSIONS;
    return 0;
}

/* ---- what readers see ---- */

/* A snapshot as text, "xmin:xmax:xip,xip,…": what was in progress when it was taken. xid is the stream's, which has only the lower half; it
 * is within 2^31 of xmax. */
static bool in_snapshot(const char *snapshot, uint32_t xid)
{
    char *at;
    strtoull(snapshot, &at, 10);
    uint64_t xmax = *at == ':' ? strtoull(at + 1, &at, 10) : 0;
    if ((int32_t)(xid - (uint32_t)xmax) >= 0) {
        return false;
    }
    while ((*at == ':' || *at == ',') && at[1]) {
        if ((uint32_t)strtoull(at + 1, &at, 10) == xid) {
            return false;
        }
    }
    return true;
}

int pg_visible(struct mf_db *base, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err)
{
    PG_LEASE(pg_db_of(base), l);
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_query(l.conn, &r, err, "SELECT pg_catalog.txid_current_snapshot()::text") < 0) {
        mf_error_prefix(err, "asking what readers see");
        return -1;
    }
    *ret = true;
    for (size_t i = 0; i < n && *ret; i++) {
        *ret = in_snapshot(PQgetvalue(r, 0, 0), (uint32_t)txns[i]);
    }
    return 0;
}
