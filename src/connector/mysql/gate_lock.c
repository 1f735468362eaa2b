/*
 * DDL on a table that others use. CREATE TRIGGER and DROP TRIGGER need its metadata lock exclusively: they wait for every transaction that
 * has so much as read the table, and everybody who comes after waits behind them. So:
 *
 *  - it is asked for by one table at a time, for lock_ms at most, then taken back (wait.h) and asked for again later, until the bound;
 *  - it is not asked for at all while a transaction stands in the way that has been at it for lock_ms.
 *
 * Who uses a table is in performance_schema.metadata_locks, where the server keeps it (8.0 does, 5.7 and MariaDB when told to). Where it does not, we
 * learn by trying: what was open before a try that failed and is open still is what it may have failed for, and unless one of those has ended (or some
 * seconds have passed) there is no other try. The same where we may not see transactions at all.
 */
#include "connector/mysql/gate.h"

#include "base/clock.h"
#include "base/str.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <string.h>

#define PAUSE_FIRST_US (20 * MF_US_PER_MS)
#define PAUSE_MOST_US  (500 * MF_US_PER_MS)
#define BLIND_US       (5 * MF_US_PER_SEC) /* between two tries that nothing speaks for */
#define FRESH_US       (300 * MF_US_PER_MS)
#define LIST_MAX       65536 /* bytes of transactions remembered */
#define NAMED_MAX      20

/* Transactions as lines "\nconnection:transaction:lock\n". */
struct in_the_way {
    bool exact;             /* these use the table; else: these are open on this server */
    bool hidden;            /* we may not see who is there */
    struct mf_buf now, met; /* as last looked, and as first met at met_us */
    struct mf_buf names;
    struct mf_buf tried; /* before the last try that failed, at tried_us; blind only */
    int64_t met_us, tried_us;
    int old, n;
};

static void free_all(struct in_the_way *b)
{
    mf_buf_free(&b->now);
    mf_buf_free(&b->met);
    mf_buf_free(&b->names);
    mf_buf_free(&b->tried);
}

static bool has(const struct mf_buf *list, const char *line, size_t n)
{
    return list->len && memmem(list->data, list->len, line, n);
}

/* Whether each of these is among those. */
static bool all_of(const struct mf_buf *these, const struct mf_buf *those)
{
    const char *at = mf_buf_str(these);
    while (*at) {
        const char *end = strchr(at + 1, '\n');
        if (!end || !has(those, at, (size_t)(end + 1 - at))) {
            return false;
        }
        at = end + 1;
    }
    return true;
}

static bool sees_metadata_locks(MYSQL *c)
{
    char on[8] = "";
    struct mf_error ignored = {0};
    return my_query_text(c, on, sizeof on, &ignored,
                         "SELECT MIN(ENABLED) FROM performance_schema.setup_instruments"
                         " WHERE NAME = 'wait/lock/metadata/sql/mdl' AND @@performance_schema = 1") == 0 &&
           on[0] == 'Y';
}

/* fresh_us: as the time of my_query_trx. */
static int who_is_there(struct my_waiter *w, const char *schema, const char *table, bool exact, int64_t fresh_us,
                        MYSQL_RES **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    mf_buf_puts(&b, "SELECT p.ID, COALESCE(t.trx_id, '-'), ");
    mf_buf_puts(&b, exact ? "m.lock_id" : "''");
    mf_buf_puts(&b, ", COALESCE(p.USER, '?'), COALESCE(p.HOST, '?'), COALESCE(p.COMMAND, '?'),"
                    " COALESCE(" MY_TRX_AGE("t") ", 0) FROM ");
    if (exact) {
        mf_buf_puts(&b, "(SELECT h.PROCESSLIST_ID AS id, MIN(l.OBJECT_INSTANCE_BEGIN) AS lock_id"
                        " FROM performance_schema.metadata_locks l"
                        " JOIN performance_schema.threads h ON h.THREAD_ID = l.OWNER_THREAD_ID"
                        " WHERE l.OBJECT_TYPE = 'TABLE' AND l.LOCK_STATUS = 'GRANTED' AND l.OBJECT_SCHEMA = ");
        my_put_literal(&b, schema);
        mf_buf_puts(&b, " AND l.OBJECT_NAME = ");
        my_put_literal(&b, table);
        mf_buf_puts(&b, " GROUP BY h.PROCESSLIST_ID) m JOIN information_schema.processlist p ON p.ID = m.id"
                        " LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.ID");
    } else {
        mf_buf_puts(&b, "information_schema.innodb_trx t"
                        " JOIN information_schema.processlist p ON p.ID = t.trx_mysql_thread_id");
    }
    mf_buf_printf(&b, " WHERE p.ID NOT IN (CONNECTION_ID(), %lu, %lu)", mysql_thread_id(w->c), w->beside);
    return my_query_trx(w->other, mf_buf_str(&b), fresh_us, ret, err);
}

/* Who stands in the way. One is old when it has been at it for lock_ms: by the server's word, which is in whole seconds, or because we have met
 * it before, that long ago. end: the old ones are ended. The first look does not wait for a fresh list: who is missing in it has come just now. */
static int look(struct my_waiter *w, const char *schema, const char *table, bool end, const struct mf_gate_options *o,
                int64_t until_us, struct in_the_way *b, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf line = {.max = 256};
    struct mf_error ignored = {0};
    int64_t now = mf_now_us(), fresh_us = !b->met_us ? now : now + FRESH_US < until_us ? now + FRESH_US : until_us;
    bool long_ago = b->met_us && now - b->met_us >= o->lock_ms * MF_US_PER_MS;
    int fresh = who_is_there(w, schema, table, b->exact, fresh_us, &r, err);
    mf_buf_reset(&b->now);
    mf_buf_reset(&b->names);
    b->old = b->n = 0;
    b->hidden = fresh < 0 && my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR);
    if (fresh < 0) {
        return b->hidden ? 0 : -1;
    }
    for (MYSQL_ROW row = mysql_fetch_row(r); row; row = mysql_fetch_row(r)) {
        mf_buf_reset(&line);
        mf_buf_printf(&line, "\n%.20s:%.24s:%.24s\n", row[0], row[1], row[2] ? row[2] : "");
        bool old = my_get_i64(row, 6) * 1000 > o->lock_ms + 1000 || (long_ago && has(&b->met, line.data, line.len));
        b->old += old;
        if (b->n++ < NAMED_MAX) {
            mf_buf_printf(&b->names, "%sconnection %s (%s from %s, %s, open for %s s)", b->n > 1 ? ", " : "", row[0],
                          row[3], row[4], row[5], row[6]);
        }
        if (b->now.len < LIST_MAX - 256) {
            mf_buf_append(&b->now, line.data, line.len);
        }
        if (end && old && fresh == 0) {
            my_execf(w->other, &ignored, "KILL %s", row[0]);
        }
    }
    if (!b->met_us || (long_ago && b->old == 0)) {
        mf_buf_reset(&b->met);
        mf_buf_append(&b->met, mf_buf_str(&b->now), b->now.len);
        b->met_us = now;
    }
    return 0;
}

static bool worth_a_try(const struct in_the_way *b)
{
    if (b->exact && !b->hidden) {
        return b->old == 0;
    }
    return !b->tried_us || mf_now_us() - b->tried_us > BLIND_US || !all_of(&b->tried, &b->now);
}

/* After a try that was in vain: of those that were open before it, those that are still. */
static int suspect(struct my_waiter *w, const char *schema, const char *table, const struct mf_gate_options *o,
                   int64_t until_us, struct in_the_way *b, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf before = {.max = LIST_MAX};
    mf_buf_append(&before, mf_buf_str(&b->now), b->now.len);
    if (look(w, schema, table, false, o, until_us, b, err) < 0) {
        return -1;
    }
    mf_buf_reset(&b->tried);
    for (const char *at = mf_buf_str(&before); *at;) {
        const char *end = strchr(at + 1, '\n');
        if (!end) {
            break;
        }
        if (has(&b->now, at, (size_t)(end + 1 - at))) {
            mf_buf_append(&b->tried, at, (size_t)(end + 1 - at));
        }
        at = end + 1;
    }
    b->tried_us = b->tried.len || b->hidden ? mf_now_us() : 0;
    return 0;
}

static int give_up(const char *schema, const char *table, const struct mf_gate_options *o, const struct in_the_way *b,
                   struct mf_error *err)
{
    if (o->stop && o->stop(o->stop_ctx)) {
        return mf_fail(err, MF_ABANDONED, "MFSTOPPED", "stopped while the lock of table %s.%s was waited for", schema,
                       table);
    }
    mf_fail(err, MF_ABANDONED, "MFLOCK", "table %s.%s is used by others and its lock was not to be had%s%s", schema,
            table,
            b->n > 0                 ? b->exact ? ": " : "; open on this server are "
            : b->exact && !b->hidden ? ", by no session: XA RECOVER lists prepared transactions"
                                     : "",
            mf_buf_str(&b->names));
    if (b->hidden) {
        mf_hint(err, "GRANT PROCESS ON *.* lets midflight see who uses it; end those transactions or wait for them");
    } else if (b->exact) {
        mf_hint(err, "end those transactions or wait for them; cutover.long_transactions: end does it for you, and a "
                     "longer cutover.lock waits for older ones");
    } else {
        mf_hint(err,
                "end those that use the table, or wait for them. With performance_schema on and UPDATE "
                "performance_schema.setup_instruments SET ENABLED = 'YES' WHERE NAME = 'wait/lock/metadata/sql/mdl' "
                "midflight sees which they are");
    }
    return -1;
}

static int try(struct my_waiter *w, const char *sql, const struct mf_gate_options *o, int64_t until_us,
               struct mf_error *err)
{
    int64_t end = mf_now_us() + o->lock_ms * MF_US_PER_MS;
    int rc = my_within(w, sql, end < until_us ? end : until_us, NULL, err);
    return rc < 0 && my_was_in_the_way(err) ? 1 : rc;
}

int my_with_table_lock(struct my_waiter *w, const char *sql, const char *schema, const char *table,
                       const struct mf_gate_options *o, int64_t until_us, struct mf_error *err)
{
    MF_CLEANUP(free_all)
    struct in_the_way b = {.now.max = LIST_MAX, .met.max = LIST_MAX, .names.max = 4096, .tried.max = LIST_MAX};
    int64_t pause = PAUSE_FIRST_US;
    b.exact = sees_metadata_locks(w->other);
    for (;;) {
        bool end = o->long_transactions == MF_LONG_END && b.exact && b.met_us &&
                   mf_now_us() - b.met_us >= o->lock_ms * MF_US_PER_MS; /* they have had their time */
        if (look(w, schema, table, end, o, until_us, &b, err) < 0) {
            return -1;
        }
        if (worth_a_try(&b)) {
            int rc = try(w, sql, o, until_us, err);
            if (rc <= 0) {
                return rc;
            }
            if (suspect(w, schema, table, o, until_us, &b, err) < 0) {
                return -1;
            }
        }
        if (mf_now_us() + pause > until_us || o->long_transactions == MF_LONG_ABANDON ||
            (o->stop && o->stop(o->stop_ctx))) {
            return give_up(schema, table, o, &b, err);
        }
        mf_sleep_us(pause);
        pause = pause * 2 > PAUSE_MOST_US ? PAUSE_MOST_US : pause * 2;
    }
}
