/* The handle: opening, the schema, the lock file, statements, and small facts. See state.h for what may be trusted to it. */
#include "state/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define SCHEMA_VERSION 1

/* Also made in a state that is older than it. */
#define DIVERGED_SQL                                                                                                   \
    "CREATE TABLE IF NOT EXISTS diverged(seq INTEGER PRIMARY KEY, direction INTEGER, at INTEGER, tab TEXT, row TEXT,"  \
    " what TEXT, UNIQUE(direction, tab, row));"

static const char schema_sql[] =
    "CREATE TABLE fact(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE journal(seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, machine TEXT NOT NULL, step TEXT NOT NULL,"
    " detail TEXT);"
    "CREATE TABLE tables(table_id INTEGER PRIMARY KEY, schema TEXT, name TEXT, shape TEXT, rows_total INTEGER,"
    " rows_done INTEGER, bytes_total INTEGER, chunks_total INTEGER, chunks_done INTEGER, planned INTEGER,"
    " exact_order INTEGER, exact_token TEXT, note TEXT);"
    "CREATE TABLE chunk(table_id INTEGER, ordinal INTEGER, rows INTEGER, by_heap INTEGER, lower TEXT, upper TEXT,"
    " PRIMARY KEY(table_id, ordinal)) WITHOUT ROWID;"
    "CREATE TABLE epoch(direction INTEGER, at INTEGER, token TEXT, writer TEXT, PRIMARY KEY(direction, at)) WITHOUT "
    "ROWID;"
    "CREATE TABLE wrong_side(seq INTEGER PRIMARY KEY, direction INTEGER, at INTEGER, token TEXT, tab TEXT, row "
    "TEXT);" DIVERGED_SQL
    "CREATE TABLE verify_run(run INTEGER PRIMARY KEY, what TEXT, started_us INTEGER, finished_us INTEGER, rows INTEGER,"
    " differing INTEGER);"
    "CREATE TABLE verify_table(run INTEGER, schema TEXT, name TEXT, rows INTEGER, differing INTEGER, finished INTEGER,"
    " chunks INTEGER, PRIMARY KEY(run, schema, name)) WITHOUT ROWID;"
    "CREATE TABLE verify_difference(seq INTEGER PRIMARY KEY, run INTEGER, tab TEXT, row TEXT, kind TEXT, place TEXT);"
    "PRAGMA user_version=1;";

static int damaged(const struct mf_state *s, const char *doing, const char *what, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFSTATE", "the state file in %s is damaged (%s): %s", s->dir ? s->dir : "memory", doing,
            what);
    mf_hint(err,
            "Put the state directory back from a copy, its spool included. Without one this migration cannot go on: "
            "midflight cancel --force --state NEW_DIRECTORY cleans both databases up (complete --force when the target "
            "takes the writes), then begin it again. The rows of the side that takes writes are not touched.");
    return -1;
}

int mf_state_fail(struct mf_state *s, struct mf_error *err, const char *doing)
{
    int rc = sqlite3_extended_errcode(s->db);
    const char *where = s->dir ? s->dir : "memory";
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return damaged(s, doing, sqlite3_errmsg(s->db), err);
    case SQLITE_FULL:
        mf_fail(err, MF_RETRY, "MFDISK", "no room on the disk of %s (%s)", where, doing);
        mf_hint(err, "Free space on that disk; nothing is lost, the run goes on from here.");
        return -1;
    default:
        return mf_fail(err, MF_FATAL, "MFSTATE", "the state in %s could not be used (%s): %s", where, doing,
                       sqlite3_errmsg(s->db));
    }
}

static sqlite3_stmt *prepared(struct mf_state *s, struct mf_error *err, const char *sql)
{
    size_t i = 0;
    for (; i < MF_STATE_STATEMENTS && s->cache[i].sql; i++) {
        if (s->cache[i].sql == sql) {
            sqlite3_reset(s->cache[i].st);
            return s->cache[i].st;
        }
    }
    if (i == MF_STATE_STATEMENTS) { /* more statements than places is a mistake of ours: make room in the last */
        i--;
        sqlite3_finalize(s->cache[i].st);
        s->cache[i].sql = NULL;
    }
    if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->cache[i].st, NULL) != SQLITE_OK) {
        mf_state_fail(s, err, "preparing");
        return NULL;
    }
    s->cache[i].sql = sql;
    return s->cache[i].st;
}

static sqlite3_stmt *bound(struct mf_state *s, struct mf_error *err, const char *sql, const char *types, va_list ap)
{
    sqlite3_stmt *st = prepared(s, err, sql);
    if (!st) {
        return NULL;
    }
    for (int i = 1; *types; types++, i++) {
        if (*types == 'i') {
            sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
        } else if (*types == 'd') {
            sqlite3_bind_double(st, i, va_arg(ap, double));
        } else {
            sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
        }
    }
    return st;
}

sqlite3_stmt *mf_state_query(struct mf_state *s, struct mf_error *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = bound(s, err, sql, types, ap);
    va_end(ap);
    return st;
}

int mf_state_next(struct mf_state *s, sqlite3_stmt *st, struct mf_error *err)
{
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        return 1;
    }
    sqlite3_reset(st);
    return rc == SQLITE_DONE ? 0 : mf_state_fail(s, err, "reading or writing");
}

int mf_state_run(struct mf_state *s, struct mf_error *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = bound(s, err, sql, types, ap);
    va_end(ap);
    if (!st) {
        return -1;
    }
    int rc;
    while ((rc = mf_state_next(s, st, err)) == 1) {}
    return rc;
}

void mf_state_text(sqlite3_stmt *st, int column, char *out, size_t n)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    snprintf(out, n, "%s", text ? text : "");
}

static int layout_version(struct mf_state *s, int *ret, struct mf_error *err)
{
    sqlite3_stmt *st = mf_state_query(s, err, "PRAGMA user_version", "");
    if (!st || mf_state_next(s, st, err) != 1) {
        return -1;
    }
    *ret = sqlite3_column_int(st, 0);
    sqlite3_reset(st);
    return 0;
}

/* Damage is found now and said, not in the middle of a cutover. */
static int sound(struct mf_state *s, struct mf_error *err)
{
    char found[200] = "";
    sqlite3_stmt *st = mf_state_query(s, err, "PRAGMA quick_check(1)", "");
    int rc = st ? mf_state_next(s, st, err) : -1;
    if (rc < 0) {
        return -1;
    }
    if (rc == 1) {
        mf_state_text(st, 0, found, sizeof found);
        sqlite3_reset(st);
    }
    return strcmp(found, "ok") == 0 ? 0 : damaged(s, "checking", found, err);
}

/* SQLite does not wait where waiting could be a deadlock (two that both read and now want to write, the switch to WAL): it answers
 * SQLITE_BUSY at once, whatever busy_timeout says. */
static int run_patiently(struct mf_state *s, const char *sql)
{
    int64_t until = mf_now_us() + 10 * MF_US_PER_SEC;
    for (;;) {
        int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
        if ((rc & 0xff) != SQLITE_BUSY || mf_now_us() > until) {
            return rc;
        }
        mf_sleep_us(20 * MF_US_PER_MS);
    }
}

/* A layout from before differences had it. */
static bool add_place(struct mf_state *s)
{
    return sqlite3_table_column_metadata(s->db, NULL, "verify_difference", "place", NULL, NULL, NULL, NULL, NULL) ==
               SQLITE_OK ||
           run_patiently(s, "ALTER TABLE verify_difference ADD COLUMN place TEXT") == SQLITE_OK;
}

static int prepare_file(struct mf_state *s, struct mf_error *err)
{
    /* The patience first: the switch to WAL already needs the file for itself, and a `status` may be reading it. */
    const char *pragmas = s->dir ? "PRAGMA busy_timeout=10000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                 : "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;";
    if (run_patiently(s, pragmas) != SQLITE_OK) {
        return mf_state_fail(s, err, "opening");
    }
    int version;
    if ((s->dir && sound(s, err) < 0) || layout_version(s, &version, err) < 0) {
        return -1;
    }
    if (version > SCHEMA_VERSION) {
        mf_fail(err, MF_FATAL, "MFSTATE",
                "the state in %s was written by a newer midflight (layout %d, this one knows %d)", s->dir, version,
                SCHEMA_VERSION);
        mf_hint(err, "Go on with the version that began this migration.");
        return -1;
    }
    if (version == SCHEMA_VERSION) {
        return run_patiently(s, DIVERGED_SQL) == SQLITE_OK && add_place(s) ? 0 : mf_state_fail(s, err, "laying out");
    }
    if (run_patiently(s, "BEGIN IMMEDIATE") != SQLITE_OK) {
        return mf_state_fail(s, err, "laying out");
    }
    /* another process may have laid it out since we looked */
    if (layout_version(s, &version, err) < 0) {
        return -1;
    }
    if ((version == 0 && sqlite3_exec(s->db, schema_sql, NULL, NULL, NULL) != SQLITE_OK) ||
        sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        return mf_state_fail(s, err, "laying out");
    }
    return 0;
}

int mf_state_open(const char *dir, struct mf_state **ret, struct mf_error *err)
{
    struct mf_state *s = mf_xcalloc(1, sizeof *s);
    s->lock_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    char path[4096] = ":memory:";
    if (dir) {
        if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
            mf_fail(err, MF_USAGE, "MFSTATE", "the state directory %s cannot be made: %s", dir, strerror(errno));
            mf_state_close(s);
            return -1;
        }
        s->dir = mf_xstrdup(dir);
        snprintf(path, sizeof path, "%s/state.db", dir);
    }
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK) {
        mf_fail(err, MF_FATAL, "MFSTATE", "the state file %s cannot be opened: %s", path,
                s->db ? sqlite3_errmsg(s->db) : "out of memory");
        mf_state_close(s);
        return -1;
    }
    if (prepare_file(s, err) < 0) {
        mf_state_close(s);
        return -1;
    }
    if (dir) {
        chmod(path, 0600);
    }
    *ret = s;
    return 0;
}

void mf_state_close(struct mf_state *s)
{
    if (!s) {
        return;
    }
    for (size_t i = 0; i < MF_STATE_STATEMENTS; i++) {
        sqlite3_finalize(s->cache[i].st);
    }
    sqlite3_close_v2(s->db);
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    pthread_mutex_destroy(&s->lock);
    free(s->dir);
    free(s);
}

int mf_state_lock(struct mf_state *s, struct mf_error *err)
{
    if (!s->dir) {
        return 0;
    }
    char path[4096], pid[32] = "";
    snprintf(path, sizeof path, "%s/lock", s->dir);
    MF_CLEANUP_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return mf_fail(err, MF_FATAL, "MFSTATE", "%s cannot be opened: %s", path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = read(fd, pid, sizeof pid - 1);
        pid[n > 0 ? n : 0] = '\0';
        mf_fail(err, MF_USAGE, "MFLOCKED", "another midflight (pid %s) is running this migration from %s", pid, s->dir);
        mf_hint(err, "One run at a time: use its commands (midflight status --state %s), or stop it first.", s->dir);
        return -1;
    }
    int n = snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        return mf_fail(err, MF_RETRY, "MFDISK", "%s cannot be written: %s", path, strerror(errno));
    }
    s->lock_fd = mf_steal_fd(&fd);
    return 0;
}

/* Lock held. */
static int set_fact(struct mf_state *s, const char *key, const char *value, struct mf_error *err)
{
    return mf_state_run(s, err, "INSERT INTO fact VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value",
                        "ss", key, value);
}

int mf_state_set(struct mf_state *s, const char *key, const char *value, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    return set_fact(s, key, value, err);
}

int mf_state_set_all(struct mf_state *s, const struct mf_fact *facts, size_t n, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    int rc = mf_state_run(s, err, "BEGIN IMMEDIATE", "");
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = set_fact(s, facts[i].key, facts[i].value, err);
    }
    if (rc == 0) {
        rc = mf_state_run(s, err, "COMMIT", "");
    }
    if (rc < 0) {
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}

int mf_state_get(struct mf_state *s, const char *key, char *out, size_t n, bool *found, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st = mf_state_query(s, err, "SELECT value FROM fact WHERE key=?", "s", key);
    int rc = st ? mf_state_next(s, st, err) : -1;
    if (rc < 0) {
        return -1;
    }
    *found = rc == 1;
    if (rc == 1) {
        mf_state_text(st, 0, out, n);
        sqlite3_reset(st);
    }
    return 0;
}

int mf_state_set_int(struct mf_state *s, const char *key, int64_t v, struct mf_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, v);
    return mf_state_set(s, key, text, err);
}

int64_t mf_state_int(struct mf_state *s, const char *key, int64_t otherwise)
{
    char text[32];
    bool found = false;
    if (mf_state_get(s, key, text, sizeof text, &found, NULL) < 0 || !found) {
        return otherwise;
    }
    return strtoll(text, NULL, 10);
}

int mf_state_set_position(struct mf_state *s, const char *key, const struct mf_position *p, struct mf_error *err)
{
    char text[MF_POSITION_TOKEN + 32];
    snprintf(text, sizeof text, "%" PRIu64 " %s", p->order, p->token);
    return mf_state_set(s, key, text, err);
}

int mf_state_position(struct mf_state *s, const char *key, struct mf_position *ret, bool *found, struct mf_error *err)
{
    char text[MF_POSITION_TOKEN + 32];
    if (mf_state_get(s, key, text, sizeof text, found, err) < 0) {
        return -1;
    }
    if (*found) {
        char *end;
        ret->order = strtoull(text, &end, 10);
        snprintf(ret->token, sizeof ret->token, "%.*s", MF_POSITION_TOKEN - 1, *end ? end + 1 : "");
    }
    return 0;
}

int mf_journal_add(struct mf_state *s, const char *machine, const char *step, const char *detail, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    return mf_state_run(s, err, "INSERT INTO journal(at_us,machine,step,detail) VALUES(?,?,?,?)", "isss", mf_wall_us(),
                        machine, step, detail);
}

int mf_journal_list(struct mf_state *s, const char *machine, mf_journal_sink *emit, void *ctx, struct mf_error *err)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st =
        mf_state_query(s, err, "SELECT at_us,step,detail FROM journal WHERE machine=? ORDER BY seq", "s", machine);
    int rc = st ? 0 : -1;
    while (st && (rc = mf_state_next(s, st, err)) == 1) {
        if (emit(ctx, sqlite3_column_int64(st, 0), (const char *)sqlite3_column_text(st, 1),
                 (const char *)sqlite3_column_text(st, 2)) < 0) {
            sqlite3_reset(st);
            return -1;
        }
    }
    return rc;
}

int64_t mf_journal_time(struct mf_state *s, const char *machine, const char *step)
{
    MF_LOCK_SCOPE(&s->lock);
    sqlite3_stmt *st = mf_state_query(s, NULL, "SELECT coalesce(max(at_us), 0) FROM journal WHERE machine=? AND step=?",
                                      "ss", machine, step);
    int64_t at = 0;
    if (st && mf_state_next(s, st, NULL) == 1) {
        at = sqlite3_column_int64(st, 0);
        sqlite3_reset(st);
    }
    return at;
}
