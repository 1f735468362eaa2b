/*
 * What the gate cannot stop, and whether it stands: looked at before writers are held and again while they are.
 *
 * A replica's applier fires no triggers for row events: while one runs, rows come in whatever the epoch says. A trigger cannot be switched off
 * here, but dropped, by itself or with a table that is made anew. gate_install writes down which tables have the gate (settings, kind
 * 'gate', object `db`.`table`), so that a table whose triggers are gone is missed.
 *
 * A prepared XA transaction may hold no lock that we would have waited for: MariaDB lets go of shared locks at XA PREPARE, and one
 * that was prepared before the gate stood, by a client that has gone, has let go of the table too. So those that are prepared once writers are held are waited for by name;
 * later ones cannot have written before without having held the lock we got.
 */
#include "connector/mysql/gate.h"
#include "connector/mysql/replica.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_US (3 * MF_US_PER_MS)
#define LIST_MAX      65536

/* ---- replication into this server ---- */

static const char *column(MYSQL_RES *r, MYSQL_ROW row, const char *name, const char *older)
{
    MYSQL_FIELD *f = mysql_fetch_fields(r);
    for (unsigned i = 0; i < mysql_num_fields(r); i++) {
        if (mf_streq(f[i].name, name) || mf_streq(f[i].name, older)) {
            return row[i] ? row[i] : "";
        }
    }
    return "";
}

int my_no_replication(MYSQL *c, const struct my_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_FREE char *ours = NULL;
    if (db->native && db->base.side == MF_TARGET && my_replica_setting(c, pipe, MY_REPLICA_FROM, &ours, err) < 0) {
        return -1;
    }
    if (ours) {
        return 0;
    }
    if (my_query(c, &r, err,
                 db->mariadb            ? "SHOW ALL SLAVES STATUS"
                 : db->version >= 80022 ? "SHOW REPLICA STATUS"
                                        : "SHOW SLAVE STATUS") < 0) {
        mf_error_prefix(err, "looking whether this server is a replica");
        if (my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
            mf_hint(err, db->mariadb ? "GRANT SLAVE MONITOR ON *.* TO %s" : "GRANT REPLICATION CLIENT ON *.* TO %s",
                    db->facts.user);
        }
        return -1;
    }
    for (MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL; row; row = mysql_fetch_row(r)) {
        if (strcmp(column(r, row, "Replica_SQL_Running", "Slave_SQL_Running"), "No") != 0) {
            mf_fail(err, MF_ABANDONED, "MFREPLICA",
                    "the %s (%s) is a replica of %s, and no trigger of ours can hold what comes in from there: rows "
                    "would come in after writes were moved",
                    db->base.side == MF_SOURCE ? "source" : "target", db->facts.host,
                    column(r, row, "Source_Host", "Master_Host"));
            mf_hint(err, "stop its replication (STOP SLAVE, STOP REPLICA) once nothing writes there any more; then "
                         "again");
            return -1;
        }
    }
    return 0;
}

/* ---- do the gates stand? ---- */

/* Whether there is such a table: `db`.`table`. Only asked when its gate is not there. */
static int table_is_there(MYSQL *c, const char *object, bool *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    mf_buf_puts(&b, "SELECT 1 FROM information_schema.TABLES WHERE CONCAT('`', REPLACE(TABLE_SCHEMA, '`', '``'), '`.`',"
                    " REPLACE(TABLE_NAME, '`', '``'), '`') = ");
    my_put_literal(&b, object);
    if (my_query(c, &r, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    *ret = mysql_num_rows(r) > 0;
    return 0;
}

struct gate {
    char *object; /* `db`.`table` */
    unsigned events;
};

static int by_object(const void *a, const void *b)
{
    return strcmp(((const struct gate *)a)->object, ((const struct gate *)b)->object);
}

struct gates {
    struct gate *gates;
    size_t n;
};

static void gates_free(struct gates *g)
{
    for (size_t i = 0; i < g->n; i++) {
        free(g->gates[i].object);
    }
    free(g->gates);
}

/* Tables that have triggers of ours, sorted. There may be thousands, and writers wait. */
static void take_gates(MYSQL_RES *triggers, struct gates *ret)
{
    MF_CLEANUP_BUF struct mf_buf name = {.max = 4096};
    ret->gates = mf_xcalloc((size_t)mysql_num_rows(triggers) + 1, sizeof *ret->gates);
    for (MYSQL_ROW row = mysql_fetch_row(triggers); row; row = mysql_fetch_row(triggers)) {
        struct gate *last = ret->n ? &ret->gates[ret->n - 1] : NULL;
        mf_buf_reset(&name);
        my_put_name(&name, row[0], row[1]);
        if (!last || strcmp(last->object, mf_buf_str(&name)) != 0) {
            last = &ret->gates[ret->n++];
            last->object = mf_xstrdup(mf_buf_str(&name));
        }
        last->events |= row[3][0] == 'I' ? 1 : row[3][0] == 'U' ? 2 : 4;
    }
    qsort(ret->gates, ret->n, sizeof *ret->gates, by_object);
}

static bool whole(const struct gates *g, char *object)
{
    const struct gate key = {.object = object};
    const struct gate *found = bsearch(&key, g->gates, g->n, sizeof key, by_object);
    return found && found->events == 7;
}

int my_gate_stands(MYSQL *c, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *known = NULL, *triggers = NULL;
    MF_CLEANUP(gates_free) struct gates gates = {0};
    if (my_queryf(c, &known, err,
                  "SELECT object FROM midflight.settings WHERE migration = '%s' AND kind = 'gate' ORDER BY object",
                  pipe->migration) < 0 ||
        my_gate_triggers(c, pipe, &triggers, err) < 0) {
        return -1;
    }
    take_gates(triggers, &gates);
    for (MYSQL_ROW row = mysql_fetch_row(known); row; row = mysql_fetch_row(known)) {
        bool there = false;
        if (whole(&gates, row[0])) {
            continue;
        }
        if (table_is_there(c, row[0], &there, err) < 0) {
            return -1;
        }
        if (there) {
            mf_fail(err, MF_ABANDONED, "MFGATE",
                    "somebody has dropped the gate of table %s, or made the table anew: its writers cannot be held",
                    row[0]);
            mf_hint(err, "keep DROP TRIGGER and tools that swap tables away from the migrated ones until the move is "
                         "over, then try again: the gates are put up anew");
            return -1;
        }
    }
    return 0;
}

/* ---- prepared transactions ---- */

static void put_bytes(struct mf_buf *b, MYSQL_ROW row, const unsigned long *len, unsigned n)
{
    mf_buf_putc(b, '\n');
    for (unsigned i = 0; i < n; i++) {
        my_put_hex(b, row[i] ? row[i] : "", row[i] ? len[i] : 0);
    }
    mf_buf_putc(b, '\n');
}

static void put_rows(struct mf_buf *b, MYSQL_RES *r)
{
    for (MYSQL_ROW row = mysql_fetch_row(r); row; row = mysql_fetch_row(r)) {
        put_bytes(b, row, mysql_fetch_lengths(r), mysql_num_fields(r));
    }
}

/* One that MariaDB is preparing at this very moment may be in no list and have no lock: its session is still at it. */
static int being_prepared(MYSQL *c, struct mf_buf *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_query(c, &r, err,
                 "SELECT ID FROM information_schema.processlist WHERE ID <> CONNECTION_ID()"
                 " AND INFO REGEXP 'XA[[:space:]]+PREPARE'") < 0) {
        return -1;
    }
    put_rows(ret, r);
    return 0;
}

/* A line each. 8.0 lets not everybody ask XA RECOVER: then it is the transactions that have no session, for one that has keeps its locks there. */
static int prepared(MYSQL *c, const struct my_db *db, int64_t until_us, struct mf_buf *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    mf_buf_reset(ret);
    if (db->mariadb && being_prepared(c, ret, err) < 0) {
        return -1;
    }
    int rc = my_query(c, &r, err, "XA RECOVER");
    if (rc < 0 && !db->mariadb && err->cls == MF_FATAL) {
        rc = my_query_trx(c,
                          "SELECT trx_id FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = 0"
                          " AND trx_state <> 'ROLLING BACK'",
                          until_us, &r, err);
        rc = rc == 1 ? mf_fail(err, MF_RETRY, "MFHOLD", "innodb_trx is read by others too often to tell anything") : rc;
    }
    if (rc < 0) {
        mf_error_prefix(err, "looking for prepared transactions");
        if (my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
            mf_hint(err, "GRANT PROCESS ON *.* TO %s", db->facts.user);
        }
        return -1;
    }
    put_rows(ret, r);
    return 0;
}

/* Whether a line of `before` is in `now` still. */
static bool still(const struct mf_buf *before, const struct mf_buf *now)
{
    const char *at = mf_buf_str(before);
    while (*at) {
        const char *end = strchr(at + 1, '\n');
        if (!end) {
            return true;
        }
        if (now->len && memmem(now->data, now->len, at, (size_t)(end + 1 - at))) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

int my_prepared_end(MYSQL *c, const struct my_db *db, int64_t until_us, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf before = {.max = LIST_MAX}, now = {.max = LIST_MAX};
    if (prepared(c, db, until_us, &before, err) < 0) {
        return -1;
    }
    bool open = before.len > 0;
    while (open && mf_now_us() < until_us && mf_buf_ok(&before)) {
        mf_sleep_us(LOOK_EVERY_US);
        if (prepared(c, db, until_us, &now, err) < 0) {
            return -1;
        }
        open = !mf_buf_ok(&now) || still(&before, &now);
    }
    if (!open) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFHOLD", "a prepared transaction is open, and it may have written");
    mf_hint(err, "XA RECOVER lists them; XA COMMIT or XA ROLLBACK ends one");
    return -1;
}
