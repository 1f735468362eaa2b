/* See slot.h. */
#include "connector/postgres/slot.h"

#include "base/clock.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int pg_slot_read(PGconn *c, const char *name, struct pg_slot *ret, struct mf_error *err)
{
    int version = PQserverVersion(c);
    const char *const values[] = {name};
    /* What tells of a lost slot grew with the versions: wal_status since 13, conflicting 16, invalidation_reason 17. */
    const char *sql =
        version >= 170000   ? "SELECT active, active_pid, confirmed_flush_lsn, plugin, database, "
                              "coalesce(invalidation_reason, CASE WHEN wal_status = 'lost' THEN 'lost' END) "
                              "FROM pg_catalog.pg_replication_slots WHERE slot_name = $1"
        : version >= 160000 ? "SELECT active, active_pid, confirmed_flush_lsn, plugin, database, "
                              "CASE WHEN wal_status = 'lost' THEN 'lost' WHEN conflicting THEN 'conflicting' END "
                              "FROM pg_catalog.pg_replication_slots WHERE slot_name = $1"
        : version >= 130000 ? "SELECT active, active_pid, confirmed_flush_lsn, plugin, database, "
                              "CASE WHEN wal_status = 'lost' THEN 'lost' END "
                              "FROM pg_catalog.pg_replication_slots WHERE slot_name = $1"
                            : "SELECT active, active_pid, confirmed_flush_lsn, plugin, database, NULL "
                              "FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_query_params(c, &r, err, sql, 1, values) < 0) {
        return -1;
    }
    struct pg_slot s = {.exists = PQntuples(r) > 0};
    if (s.exists) {
        s.active = pg_get_bool(r, 0, 0);
        s.active_pid = (int)pg_get_i64(r, 0, 1);
        pg_parse_lsn(PQgetvalue(r, 0, 2), &s.confirmed);
        snprintf(s.plugin, sizeof s.plugin, "%s", PQgetvalue(r, 0, 3));
        snprintf(s.database, sizeof s.database, "%s", PQgetvalue(r, 0, 4));
        snprintf(s.why, sizeof s.why, "%s", PQgetvalue(r, 0, 5));
        s.lost = s.why[0] != 0;
    }
    *ret = s;
    return 0;
}

int pg_slot_fail(const char *name, const char *why, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFSLOT",
            "replication slot \"%s\" cannot be read any more (%s): changes of the source since its last acknowledged "
            "position cannot be had from it, so this migration cannot go on",
            name, why);
    mf_hint(
        err,
        "`midflight cancel` removes what is left on both sides; then begin the migration again. Before that, find out "
        "who dropped the slot, raise max_slot_wal_keep_size if it was invalidated, and after a failover connect "
        "to the new primary");
    return -1;
}

bool pg_slot_lost_error(const struct mf_error *err)
{
    return mf_streq(err->code, "42704") || /* it does not exist */
           (mf_streq(err->code, "55000") && strstr(err->text, "slot")) ||
           (mf_streq(err->code, "58P01") && strstr(err->text, "WAL segment")) ||
           (mf_streq(err->code, "XX000") && strstr(err->text, "WAL segment"));
}

int pg_slot_free(PGconn *c, const char *name, int wait_ms, struct mf_error *err)
{
    int64_t end = mf_now_us() + wait_ms * MF_US_PER_MS;
    for (;;) {
        struct pg_slot s;
        if (pg_slot_read(c, name, &s, err) < 0) {
            return -1;
        }
        if (!s.exists || !s.active) {
            return 0;
        }
        char pid[16];
        snprintf(pid, sizeof pid, "%d", s.active_pid);
        const char *const values[] = {pid};
        PG_CLEANUP_RESULT PGresult *r = NULL;
        struct mf_error denied = {0};
        if (pg_query_params(c, &r, &denied,
                            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "
                            "WHERE pid = $1::int AND application_name LIKE 'midflight %'",
                            1, values) < 0 &&
            PQstatus(c) != CONNECTION_OK) {
            *err = denied;
            return -1;
        }
        if (mf_now_us() >= end) {
            return mf_fail(err, MF_RETRY, "55006", "replication slot \"%s\" is in use by server process %d%s%s", name,
                           s.active_pid, denied.text[0] ? ", which could not be ended: " : "", denied.text);
        }
        mf_sleep_us(20 * MF_US_PER_MS);
    }
}
