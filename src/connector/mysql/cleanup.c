/*
 * The end: everything of a migration is removed from a server. Idempotent, and in an order that can be broken off anywhere:
 * gates first (they would refuse the application), then the streams, then the rows of the migration, and the database midflight
 * when no other migration has anything in it.
 *
 * DDL is no transaction here: what a crash in the middle leaves of the database is found by the database, not by its tables. Whatever somebody
 * else has put into it stays, and it with that.
 */
#include "connector/mysql/gate.h"

#include "base/fault.h"
#include "connector/mysql/triggers.h"

#include <string.h>

#define CLEANUP_LOCK_MS  500
#define CLEANUP_TOTAL_MS 60000

static const char *const tables[] = {"checkpoint", "heartbeat", "epoch", "chunk", "quarantine", "triggers", "settings"};

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

/* Of this migration's rows there are none afterwards; *ret_others: of others there are. */
static int drop_rows(MYSQL *c, const struct mf_pipe_id *pipe, bool *ret_others, struct mf_error *err)
{
    *ret_others = false;
    for (size_t i = 0; i < MF_ARRAY_LEN(tables); i++) {
        MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
        if (my_execf(c, err, "DELETE FROM midflight.%s WHERE migration = '%s'", tables[i], pipe->migration) == 0 &&
            my_queryf(c, &r, err, "SELECT 1 FROM midflight.%s LIMIT 1", tables[i]) == 0) {
            *ret_others = *ret_others || mysql_num_rows(r) > 0;
        } else if (!my_no_book(err)) {
            return -1;
        }
    }
    return my_slots_drop(c, pipe, ret_others, err);
}

static int drop_book(MYSQL *c, struct mf_error *err)
{
    int64_t others = 0;
    if (my_exec(c, err, "DROP TABLE IF EXISTS midflight.slot") < 0) {
        return -1;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(tables); i++) {
        if (my_execf(c, err, "DROP TABLE IF EXISTS midflight.%s", tables[i]) < 0) {
            return -1;
        }
    }
    if (my_query_i64(c, &others, err,
                     "SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '" MY_BOOK "')"
                     " + (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '" MY_BOOK "')"
                     " + (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '" MY_BOOK "')") < 0) {
        return -1;
    }
    return others ? 0 : my_exec(c, err, "DROP DATABASE IF EXISTS " MY_BOOK);
}

/* Under the lock that my_prepare takes as well (book.c): nobody makes what is dropped here. */
static int forget(MYSQL *c, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    bool others = false;
    int64_t got = 0;
    if (my_query_i64(c, &got, err, "SELECT GET_LOCK('midflight book', 10)") < 0) {
        return -1;
    }
    if (got != 1) {
        return mf_fail(err, MF_RETRY, "MFBUSY", "another midflight is making or removing the database " MY_BOOK);
    }
    return drop_rows(c, pipe, &others, err) < 0 ? -1 : others ? 0 : drop_book(c, err);
}

int my_cleanup(struct mf_db *mdb, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MY_CLEANUP_CONN MYSQL *c = NULL;
    int64_t exists = 0;
    const struct mf_gate_options o = {.lock_ms = CLEANUP_LOCK_MS, .total_ms = CLEANUP_TOTAL_MS};
    if (my_connect(my_db_of(mdb), "cleanup", &c, err) < 0 || my_gate_remove(mdb, pipe, &o, err) < 0 ||
        my_query_i64(c, &exists, err,
                     "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '" MY_BOOK "'") < 0 ||
        (exists && drop_streams(mdb, pipe, err) < 0) || MF_FAULT(err, "mysql.streams_dropped")) {
        return -1;
    }
    mf_error_clear(err);
    if (exists && my_triggers_back(my_db_of(mdb), pipe, &o, err) < 0) {
        return -1;
    }
    return exists ? forget(c, pipe, err) : 0;
}
