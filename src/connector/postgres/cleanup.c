/*
 * The end: everything of a migration is removed from a database. Idempotent, and in an order that can be broken off anywhere:
 * gates first (they would refuse the application), then the streams (which put replica identities back), then the rows
 * of the migration, and the schema when no other migration has anything in it.
 */
#include "base/fault.h"
#include "connector/postgres/book.h"
#include "connector/postgres/schema.h"
#include "connector/postgres/standby.h"
#include "connector/postgres/target.h"

#include <string.h>

#define CLEANUP_LOCK_MS  500
#define CLEANUP_TOTAL_MS 60000

static int drop_streams(struct mf_db *mdb, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    for (int d = MF_FORWARD; d <= MF_REVERSE; d++) {
        struct mf_pipe_id id = *pipe;
        id.direction = (enum mf_direction)d;
        if (mdb->connector->source->stream_drop(mdb, &id, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int drop_rows(PGconn *c, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    static const char *const tables[] = {"checkpoint", "heartbeat", "epoch", "chunk", "quarantine", "settings"};
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    mf_buf_printf(&b, "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(%lld);\n",
                  (long long)pg_lock_key("book", NULL, false));
    for (size_t i = 0; i < MF_ARRAY_LEN(tables); i++) {
        mf_buf_printf(&b, "DELETE FROM midflight.%s WHERE migration = '%s';\n", tables[i], pipe->migration);
    }
    mf_buf_puts(&b, "DO $$ BEGIN IF NOT EXISTS (");
    for (size_t i = 0; i < MF_ARRAY_LEN(tables); i++) {
        mf_buf_printf(&b, "%sSELECT migration FROM midflight.%s", i ? " UNION ALL " : "", tables[i]);
    }
    mf_buf_puts(&b, ") THEN DROP SCHEMA midflight CASCADE; END IF; END $$;\nCOMMIT");
    const char *sql = pg_sql(&b, err);
    if (!sql || pg_exec(c, err, sql) < 0) {
        pg_exec(c, NULL, "ROLLBACK");
        return -1;
    }
    return 0;
}

int pg_cleanup(struct mf_db *mdb, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    PG_LEASE(pg_db_of(mdb), l);
    bool exists = false;
    char said[300];
    pg_dump_forget(pg_db_of(mdb));
    const struct mf_gate_options o = {.lock_ms = CLEANUP_LOCK_MS, .total_ms = CLEANUP_TOTAL_MS};
    if (pg_lease(l.db, &l.conn, err) < 0 || pg_waits_end(mdb, pipe, said, sizeof said, err) < 0 ||
        pg_book_exists(l.conn, &exists, err) < 0 || (exists && pg_gate_remove(mdb, pipe, &o, err) < 0) ||
        drop_streams(mdb, pipe, err) < 0 || MF_FAULT(err, "postgres.streams_dropped")) {
        return -1;
    }
    return exists ? drop_rows(l.conn, pipe, err) : 0;
}
