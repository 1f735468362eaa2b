/*
 * Snapshots: sessions that all began a consistent read at one moment whose position is known exactly.
 *
 * MySQL with GTIDs. A transaction's GTID is owned (gtid_owned) from before it is written to the log until after it is visible in the
 * engine; then, in one step, it is executed (gtid_executed) and owned no more. So when gtid_executed is the same before the first
 * session begins its read and after the last one has, and nothing is owned in between (asked after the last one, before gtid_executed is
 * asked), no transaction became visible meanwhile: all see what was executed, and nothing else. That is tried again and
 * again for a short time; a server that commits all the time never stands still so long, and then commits are held back
 * for the moment it takes (snapshot_lock.c).
 *
 * MySQL without GTIDs: the log's end is ahead of what is visible while a commit is on its way, so only the lock is exact.
 *
 * MariaDB says of each session where in the log its snapshot is (binlog_snapshot_position), exactly; it is one snapshot when they
 * all are at the same place.
 */
#include "connector/mysql/snapshot.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/dump.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRY_US      (600 * MF_US_PER_MS) /* without a lock, at a time */
#define GIVE_UP_US  (10 * MF_US_PER_SEC)
#define PAUSE_US    500
#define READERS_MAX 128
#define GTIDS_MAX   ((size_t)8 << 20)
#define BEGIN_MS    10000

/* ---- the pool ---- */

static void unref(struct my_snapshot *s)
{
    pthread_mutex_lock(&s->lock);
    bool last = --s->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (last) {
        pthread_mutex_destroy(&s->lock);
        free(s->idle);
        free(s);
    }
}

int my_snapshot_take(struct my_snapshot *s, MYSQL **ret, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    if (s->closed || s->nidle == 0) {
        mf_fail(
            err, MF_RETRY, "MFREADERS", "the snapshot on %s has no session left for another reader: all of its %zu %s",
            my_db_of(s->base.db)->facts.host, s->size, s->closed ? "were closed with it" : "are taken or were lost");
        return -1;
    }
    *ret = s->idle[--s->nidle];
    s->refs++;
    return 0;
}

void my_snapshot_give(struct my_snapshot *s, MYSQL *c, bool good)
{
    pthread_mutex_lock(&s->lock);
    bool keep = good && c && !s->closed && s->nidle < s->size;
    if (keep) {
        s->idle[s->nidle++] = c;
    }
    pthread_mutex_unlock(&s->lock);
    if (!keep) {
        my_finish(c);
    }
    unref(s);
}

void my_snapshot_close(struct mf_snapshot *base)
{
    if (!base) {
        return;
    }
    struct my_snapshot *s = (struct my_snapshot *)base;
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    size_t n = s->nidle;
    s->nidle = 0;
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        my_finish(s->idle[i]);
    }
    unref(s);
}

/* Rolling back to a savepoint lets go of a table's metadata lock there only in a session that does not log. Without the right to that a schema
 * change of a table that was read waits until the snapshot is closed. */
static int prepare_mariadb(MYSQL *c, struct mf_error *err)
{
    if (my_exec(c, err, "SET SESSION idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0") < 0) {
        return -1;
    }
    if (my_exec(c, err, "SET SESSION sql_log_bin = 0") < 0 && !my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
        return -1;
    }
    mf_error_clear(err);
    return 0;
}

/* TRUNCATE gives a table another number. Up to 5.7 an older snapshot then shows it empty and says nothing. Without the right to ask (PROCESS) that
 * is not noticed here; the rows that are missing are, by the stream or the verification. */
static int note_tables(struct my_snapshot *s, struct my_db *db, MYSQL *c, struct mf_error *err)
{
    int64_t newest = 0;
    if (db->mariadb || db->version >= 80000) {
        return 0;
    }
    if (my_query_i64(c, &newest, err, "SELECT COALESCE(MAX(table_id), 0) FROM information_schema.innodb_sys_tables") <
        0) {
        if (!my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
            return -1;
        }
        mf_error_clear(err);
    }
    s->newest_table = (uint64_t)newest;
    return 0;
}

static int open_sessions(struct my_snapshot *s, struct my_db *db, size_t n, struct mf_error *err)
{
    s->idle = mf_xcalloc(n + 1, sizeof(MYSQL *));
    s->size = n;
    while (s->nidle < n) {
        MYSQL *c = NULL;
        if (my_connect(db, "snapshot", &c, err) < 0) {
            return -1;
        }
        s->idle[s->nidle++] = c;
        my_set_timeout(c, BEGIN_MS);
        if (my_exec(c, err, "SET SESSION lock_wait_timeout = 10") < 0 || (db->mariadb && prepare_mariadb(c, err) < 0)) {
            return -1;
        }
    }
    return 0;
}

int my_snapshot_begin(struct my_snapshot *s, struct mf_error *err)
{
    static const char sql[] = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
    size_t sent = 0;
    int rc = 0;
    /* All are asked before any is waited for: the time between the first and the last is what must be still. */
    for (; rc == 0 && sent < s->nidle; sent++) {
        if (mysql_send_query(s->idle[sent], sql, sizeof sql - 1) != 0) {
            return my_fail(s->idle[sent], err);
        }
    }
    for (size_t i = 0; i < sent; i++) {
        if (mysql_read_query_result(s->idle[i]) != 0 && rc == 0) {
            rc = my_fail(s->idle[i], err);
        }
    }
    return rc;
}

/* ---- positions ---- */

static int query_buf(MYSQL *c, struct mf_buf *out, const char *sql, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    mf_buf_reset(out);
    if (my_query(c, &r, err, sql) < 0) {
        return -1;
    }
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    mf_buf_puts(out, row && row[0] ? row[0] : "");
    return mf_buf_ok(out) ? 0 : mf_fail(err, MF_FATAL, "MFBIG", "the server's GTID sets are too long");
}

static int position_of(struct my_db *db, const char *gtids, struct mf_position *ret, struct mf_error *err)
{
    struct my_gtid_set *set = my_gtid_set_new(db->mariadb);
    int rc = my_gtid_set_parse(set, gtids, err) < 0 ? -1 : my_gtid_set_position(set, ret, err);
    my_gtid_set_free(set);
    return rc;
}

int my_position_locked(struct my_db *db, MYSQL *c, bool anywhere, struct mf_position *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = GTIDS_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (db->mariadb || db->gtid) {
        const char *sql = db->mariadb ? "SELECT @@global.gtid_binlog_pos" : "SELECT @@global.gtid_executed";
        return query_buf(c, &b, sql, err) < 0 ? -1 : position_of(db, mf_buf_str(&b), ret, err);
    }
    if (my_log_status(c, db, &r, err) < 0) {
        return -1;
    }
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    if (!row && anywhere) {
        *ret = (struct mf_position){0};
        return 0;
    }
    if (!row || !row[0] || mysql_num_fields(r) < 2) {
        return mf_fail(err, MF_FATAL, "MFPOS",
                       "the server keeps no binary log: nothing can be followed from a snapshot");
    }
    return my_file_position(row[0], (uint64_t)my_get_i64(row, 1), ret, err);
}

/* ---- without a lock ---- */

/* One try on MySQL with GTIDs. */
static int try_gtids(struct my_snapshot *s, struct my_db *db, MYSQL *control, bool *ret_exact, struct mf_error *err)
{
    static const char owned_sql[] = "SELECT @@global.gtid_owned", executed_sql[] = "SELECT @@global.gtid_executed";
    MF_CLEANUP_BUF struct mf_buf owned = {.max = GTIDS_MAX}, before = {.max = GTIDS_MAX}, after = {.max = GTIDS_MAX};
    *ret_exact = false;
    if (query_buf(control, &before, executed_sql, err) < 0 || query_buf(control, &owned, owned_sql, err) < 0) {
        return -1;
    }
    if (owned.len > 0) {
        return 0; /* it would not stand still */
    }
    if (my_snapshot_begin(s, err) < 0 || query_buf(control, &owned, owned_sql, err) < 0 ||
        query_buf(control, &after, executed_sql, err) < 0) {
        return -1;
    }
    if (owned.len > 0 || strcmp(mf_buf_str(&before), mf_buf_str(&after)) != 0) {
        return 0;
    }
    *ret_exact = true;
    return position_of(db, mf_buf_str(&after), &s->base.position, err);
}

struct place {
    char file[256], offset[32];
};

static int snapshot_place(MYSQL *c, struct place *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    *ret = (struct place){0};
    if (my_query(c, &r, err, "SHOW STATUS LIKE 'binlog_snapshot_%'") < 0) {
        return -1;
    }
    for (MYSQL_ROW row; r && (row = mysql_fetch_row(r));) {
        if (row[0] && row[1] && strcasecmp(row[0], "binlog_snapshot_file") == 0) {
            mf_strlcpy(ret->file, row[1], sizeof ret->file);
        } else if (row[0] && row[1] && strcasecmp(row[0], "binlog_snapshot_position") == 0) {
            mf_strlcpy(ret->offset, row[1], sizeof ret->offset);
        }
    }
    return 0;
}

/* One try on MariaDB. */
static int try_places(struct my_snapshot *s, struct my_db *db, MYSQL *control, bool *ret_exact, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 1024}, gtids = {.max = GTIDS_MAX};
    struct place first = {0}, other;
    uint64_t offset;
    *ret_exact = false;
    if (my_snapshot_begin(s, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < s->nidle; i++) {
        if (snapshot_place(s->idle[i], i ? &other : &first, err) < 0) {
            return -1;
        }
        if (i && (strcmp(first.file, other.file) != 0 || strcmp(first.offset, other.offset) != 0)) {
            return 0;
        }
    }
    if (!first.file[0] && s->anywhere) {
        return 0;
    }
    if (!first.file[0] || !mf_parse_u64(first.offset, &offset)) {
        return mf_fail(err, MF_FATAL, "MFPOS",
                       "the server keeps no binary log: nothing can be followed from a snapshot");
    }
    mf_buf_puts(&sql, "SELECT BINLOG_GTID_POS(");
    my_put_literal(&sql, first.file);
    mf_buf_printf(&sql, ", %llu)", (unsigned long long)offset);
    if (query_buf(control, &gtids, mf_buf_str(&sql), err) < 0) {
        return -1;
    }
    *ret_exact = true;
    return position_of(db, mf_buf_str(&gtids), &s->base.position, err);
}

static int try_unlocked(struct my_snapshot *s, struct my_db *db, MYSQL *control, bool *ret_exact, struct mf_error *err)
{
    int64_t end = mf_now_us() + TRY_US;
    *ret_exact = false;
    if (!db->mariadb && !db->gtid) {
        return 0;
    }
    for (;;) {
        if ((db->mariadb ? try_places(s, db, control, ret_exact, err) : try_gtids(s, db, control, ret_exact, err)) <
            0) {
            return -1;
        }
        if (*ret_exact || mf_now_us() >= end) {
            return 0;
        }
        mf_sleep_us(PAUSE_US);
    }
}

/* ---- the operations ---- */

/* Without a lock, then with one; where that would make writers wait, again, for a while. */
static int begin_somehow(struct my_snapshot *s, struct my_db *db, MYSQL *control, struct mf_error *err)
{
    int64_t end = mf_now_us() + GIVE_UP_US;
    if (s->anywhere && s->nidle == 1) {
        return my_snapshot_begin(s, err); /* no other session has to see the same, and nobody asks where it is */
    }
    for (;;) {
        bool exact;
        if (try_unlocked(s, db, control, &exact, err) < 0) {
            return -1;
        }
        if (exact || my_snapshot_locked(s, db, control, err) == 0) {
            mf_error_clear(err);
            return 0;
        }
        bool in_the_way = strcmp(err->code, "MFBUSY") == 0 || my_is_error(err, ER_LOCK_WAIT_TIMEOUT);
        if (!in_the_way || mf_now_us() >= end) {
            return -1;
        }
    }
}

static int take(struct my_snapshot *s, struct my_db *db, size_t readers, struct mf_error *err)
{
    MY_LEASE(db, control);
    if (open_sessions(s, db, readers, err) < 0 || my_lease(db, &control.conn, err) < 0 ||
        note_tables(s, db, control.conn, err) < 0 || begin_somehow(s, db, control.conn, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < s->nidle; i++) {
        my_set_timeout(s->idle[i], 0);
    }
    return 0;
}

static int open_snapshot(struct mf_db *base, int readers, bool anywhere, struct mf_snapshot **ret, struct mf_error *err)
{
    struct my_db *db = my_db_of(base);
    struct my_snapshot *s = mf_xcalloc(1, sizeof *s);
    s->base.db = base;
    s->refs = 1;
    s->anywhere = anywhere;
    pthread_mutex_init(&s->lock, NULL);
    size_t n = readers < 0 ? 0 : readers > READERS_MAX ? READERS_MAX : (size_t)readers;
    int rc = n > 0 ? take(s, db, n, err) : anywhere ? 0 : my_position_now(base, &s->base.position, err);
    if (rc < 0) {
        mf_error_prefix(err, "taking a snapshot");
        my_snapshot_close(&s->base);
        return -1;
    }
    *ret = &s->base;
    return 0;
}

int my_snapshot_open(struct mf_db *base, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                     struct mf_error *err)
{
    (void)pipe;
    return open_snapshot(base, readers, false, ret, err);
}

int my_snapshot_now(struct mf_db *base, int readers, struct mf_snapshot **ret, struct mf_error *err)
{
    /* The sessions must see the same here, too, and what shows that they do is the position, where there is one. */
    if (open_snapshot(base, readers, true, ret, err) < 0) {
        return -1;
    }
    (*ret)->position = (struct mf_position){0};
    return 0;
}
