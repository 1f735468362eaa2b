#include "config/option.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(struct mf_config, field)
#define KB        INT64_C(1024)
#define MB        (1024 * KB)
#define GB        (1024 * MB)
#define TB        (1024 * GB)
#define SECOND    INT64_C(1000)
#define MINUTE    (60 * SECOND)
#define HOUR      (60 * MINUTE)
#define DAY       (24 * HOUR)

static const char *const mode_words[] = {"stream", "native", NULL};
static const char *const ddl_words[] = {"stop", "additive", "ignore", NULL};
static const char *const dual_words[] = {"off", "on", NULL};
static const char *const account_words[] = {"leave", "copy", NULL};
static const char *const reject_words[] = {"keep", "stop", NULL};
static const char *const old_words[] = {"delete", "keep", NULL};
static const char *const divergence_words[] = {"repair", "stop", NULL};
static const char *const long_words[] = {"wait", "abandon", "end", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_words[] = {"auto", "text", "json", NULL};

const struct mf_option mf_options[] = {
    {"migration", MF_OPT_TEXT, AT(migration), NULL, 0, 0, NULL,
     "The name of this migration: lower-case letters, digits and _, at most 40. Everything midflight makes in either "
     "database carries it. Without it the source's database name is used."},
    {"source", MF_OPT_URL, AT(source), NULL, 0, 0, NULL,
     "The database to move from, as a URL: `postgresql://user@host:port/database?sslmode=verify-full`, "
     "`mysql://user@host:port/database?ssl-mode=verify-identity` or `mariadb://` the same, or "
     "`mongodb://user@host,host/database?replicaSet=name` (also `mongodb+srv://`) with the options that MongoDB's URLs "
     "have."},
    {"target", MF_OPT_URL, AT(target), NULL, 0, 0, NULL,
     "The database to move to, as a URL: one like those of `source` but MongoDB's, or "
     "`cassandra://user@host:port,host/keyspace`."},
    {"source_password", MF_OPT_SECRET, AT(source_password), NULL, 0, 0, NULL,
     "The password for the source, when it is not in the URL or in the places the database's own client looks."},
    {"target_password", MF_OPT_SECRET, AT(target_password), NULL, 0, 0, NULL, "The same for the target."},
    {"mode", MF_OPT_WORD, AT(mode), "stream", 0, 0, mode_words,
     "How changes travel to the target before the cutover: `stream` is midflight's own; `native` (MySQL into MySQL) "
     "makes the "
     "target a replica of the source by the servers' own means, once the rows are there, and promotes it in the "
     "cutover. "
     "Set back to `stream`, a run goes on from where the replica stood."},
    {"native.host", MF_OPT_TEXT, AT(native.host), NULL, 0, 0, NULL,
     "The source's address as the target's server reaches it. Without it the host of `source`."},
    {"native.port", MF_OPT_COUNT, AT(native.port), "0", 0, 65535, NULL, "The port of it. 0: the port of `source`."},
    {"native.user", MF_OPT_TEXT, AT(native.user), NULL, 0, 0, NULL,
     "The account at the source that the target's server logs in with; it needs REPLICATION SLAVE. Without it the "
     "account of "
     "`source`."},
    {"native.password", MF_OPT_SECRET, AT(native.password), NULL, 0, 0, NULL,
     "Its password. It is given to the target's server each time that its replication is started, and kept by "
     "neither."},
    {"native.ca", MF_OPT_TEXT, AT(native.ca), NULL, 0, 0, NULL,
     "A file of certificates on the target's machine: its server then verifies the source's. Without it a `source` "
     "that asks for "
     "TLS is replicated from with TLS, unverified."},
    {"tables.include", MF_OPT_LIST, AT(include), NULL, 0, 0, NULL,
     "Patterns of the tables to move, as `schema.table` with `*` and `?`, or as the table's name alone, by the names "
     "they have on the source; a query table (`map`) by its own, in the schema of its source's table unless `to` says "
     "another. All, when there is none."},
    {"tables.exclude", MF_OPT_LIST, AT(exclude), NULL, 0, 0, NULL,
     "Patterns of the tables to leave behind; they win over `tables.include`."},
    {"map", MF_OPT_MAP, AT(map), NULL, 0, 0, NULL,
     "Query tables: a list of tables of the target that are made of the rows of a source's table, with another key, "
     "other columns, constants or a parent's columns. A table of the source that is in it migrates as them and not as "
     "itself. See [query tables](../guide/query-tables.md). Or collections: a list of MongoDB's, each with the tables "
     "that "
     "its documents become. See [documents](../guide/documents.md)."},
    {"map_only", MF_OPT_FLAG, AT(map_only), "false", 0, 0, NULL,
     "Only what `map` says migrates; tables of the source that are not in it stay behind."},
    {"copy.jobs", MF_OPT_COUNT, AT(copy.jobs), "4", 1, 64, NULL, "How many chunks are copied at the same time."},
    {"copy.max_load", MF_OPT_REAL, AT(copy.max_load), "0.8", 0, 1000, NULL,
     "The copy holds back while the source's load by others is above this share of what it should bear. 0: never."},
    {"copy.chunk_bytes", MF_OPT_SIZE, AT(copy.chunk_bytes), "64MB", 64 * KB, 16 * GB, NULL,
     "About how large a chunk may be: each is one short read and one transaction on the target."},
    {"copy.chunk_rows", MF_OPT_COUNT, AT(copy.chunk_rows), "500000", 1, 1000000000, NULL,
     "About how many rows a chunk may have."},
    {"on_ddl", MF_OPT_WORD, AT(on_ddl), "stop", 0, 0, ddl_words,
     "What a schema change on the side that takes writes does: `stop` the run with nothing lost; carry it over where "
     "it "
     "is `additive` (a column whose old values are known, a new table or partition) and stop otherwise; `ignore` "
     "columns and tables the other side does not have (status lists the tables)."},
    {"schema_check", MF_OPT_TIME, AT(schema_check_ms), "5s", 100, HOUR, NULL,
     "How often the catalogue of the side that takes writes is compared with what is migrated: a table that is made, "
     "dropped or renamed there is in no stream. The same is asked before and in a cutover."},
    {"on_divergence", MF_OPT_WORD, AT(on_divergence), "repair", 0, 0, divergence_words,
     "What happens when a change does not find its row on the other side, or finds its key taken there: somebody else "
     "has "
     "written to it. `repair` makes the row what it must be, tells it, and refuses a cutover until a comparison of all "
     "tables that began later found both sides equal; `stop` ends the run."},
    {"accounts", MF_OPT_WORD, AT(accounts), "leave", 0, 0, account_words,
     "MySQL and MariaDB: with `copy` the accounts that have rights on the databases that migrate are made on the "
     "target, "
     "with their passwords as the source stores them and with those rights. What the target has already is left."},
    {"dual_writes", MF_OPT_WORD, AT(dual_writes), "off", 0, 0, dual_words,
     "With `on`, once both sides are in step the source answers a COMMIT only when the target holds the transaction "
     "durably, and shows it to nobody before. The source must be PostgreSQL, MySQL with its semi-synchronous plug-in, "
     "or MariaDB."},
    {"on_sick_target", MF_OPT_TEXT, AT(on_sick_target), "degrade after 2s", 0, 0, NULL,
     "What dual writes do while the target does not answer: commits `wait` for it, however long; or `degrade after 2s` "
     "(any time from 50ms to 1h): after that they are answered without it, which status shows, until it is in step "
     "again."},
    {"dual_writes_standstill", MF_OPT_TIME, AT(dual_standstill_ms), "250ms", 10, MINUTE, NULL,
     "With dual writes: the longest that commits wait while replay stands still for midflight's own sake (a "
     "verification's snapshots, a new table). After that they are answered without the target, whatever "
     "`on_sick_target` says."},
    {"quarantine.on_reject", MF_OPT_WORD, AT(quarantine.on_reject), "keep", 0, 0, reject_words,
     "What a row that the target refuses does: `keep` it in quarantine and go on, or `stop` the run."},
    {"quarantine.old_rows", MF_OPT_WORD, AT(quarantine.old_rows), "delete", 0, 0, old_words,
     "Documents: what becomes of the rows that a document had before it changed into one that the map or the target "
     "refuses: `delete` them, or `keep` them as they are, older than the source's document. Either way it is in "
     "quarantine and counts as a difference."},
    {"quarantine.max_rows", MF_OPT_COUNT, AT(quarantine.max_rows), "1000", 0, 1000000000, NULL,
     "The run stops when more rows than this are in quarantine; it does not on the way back by passes, where a pass "
     "that refuses more is given up, which status tells."},
    {"verify.every", MF_OPT_TIME, AT(verify.every_ms), "0", 0, 365 * DAY, NULL,
     "Compare both sides by itself this often once they are in step. 0: only when asked."},
    {"verify.jobs", MF_OPT_COUNT, AT(verify.jobs), "4", 1, 16, NULL, "How many chunks are compared at the same time."},
    {"verify.snapshot", MF_OPT_TIME, AT(verify.snapshot_ms), "5m", SECOND, 6 * HOUR, NULL,
     "Snapshots are renewed after this, so that a long comparison holds back neither side's vacuum."},
    {"verify.memory", MF_OPT_SIZE, AT(verify.memory_bytes), "64MB", MB, 4 * GB, NULL,
     "Where both sides are read whole and joined by key (a target that gives its rows by token): keys and digests of "
     "so "
     "many bytes are kept in memory, the rest in a temporary file in the state directory."},
    {"verify.disk", MF_OPT_SIZE, AT(verify.disk_bytes), "32GB", MB, 1024 * TB, NULL,
     "The largest that file may become: about 50 bytes a row of each side, of one table at a time. A comparison that "
     "needs more is given up and says so."},
    {"cutover.max_pause", MF_OPT_TIME, AT(cutover.max_pause_ms), "5s", 10, HOUR, NULL,
     "The longest that writers may be held. Past it the cutover is abandoned and everything is as it was before."},
    {"cutover.max_lag", MF_OPT_SIZE, AT(cutover.max_lag_bytes), "16MB", 0, TB, NULL,
     "A cutover is refused while the stream is further behind than this."},
    {"cutover.long_transactions", MF_OPT_WORD, AT(cutover.long_transactions), "wait", 0, 0, long_words,
     "What a transaction that will not finish does to a cutover: it is waited for (`wait`, within the pause), the "
     "cutover "
     "is given up before anybody was held (`abandon`), or the transaction is ended (`end`)."},
    {"cutover.lock", MF_OPT_TIME, AT(cutover.lock_ms), "500ms", 10, 5 * MINUTE, NULL,
     "The longest that a table's lock is waited for at once while the gates are put up: writers queue behind it."},
    {"cutover.prepare", MF_OPT_TIME, AT(cutover.prepare_ms), "10m", SECOND, DAY, NULL,
     "The longest that preparing a cutover may take in all, before anybody is held. Gates are given up sooner: after "
     "four "
     "times `cutover.max_pause`, 10s at least."},
    {"cutover.one_way", MF_OPT_FLAG, AT(cutover.one_way), "false", 0, 0, NULL,
     "A target without a change stream (Cassandra) is not read again after a cutover: what is written there does not "
     "come back, and there is no rollback. Otherwise it comes back by passes over all its rows."},
    {"cutover.flag_delay", MF_OPT_TIME, AT(cutover.flag_delay_ms), "2s", 0, 10 * MINUTE, NULL,
     "How long applications may go by an answer of the writes flag that has changed since. A target that cannot hold "
     "writers (Cassandra) is left, or frozen, only when the flag has had no answer for so long."},
    {"reverse.pause", MF_OPT_TIME, AT(reverse.pause_ms), "10s", 0, DAY, NULL,
     "While writes are on a target without a change stream: from the end of one pass over its rows to the next."},
    {"reverse.jobs", MF_OPT_COUNT, AT(reverse.jobs), "2", 1, 16, NULL,
     "How many ranges of rows a pass reads at the same time, on either side."},
    {"reverse.max_load", MF_OPT_REAL, AT(reverse.max_load), "0.8", 0, 1000, NULL,
     "A pass is slowed down while the source is busier than this with others (1 is as much as it should bear). 0: "
     "never. In a rollback's pause it is not."},
    {"reverse.max_deletes", MF_OPT_COUNT, AT(reverse.max_deletes), "20", 1, 100, NULL,
     "Per cent of a table's rows that one pass may delete on the source, and fewer than 100 rows in any case. A pass "
     "that "
     "would delete more writes nothing and says so: a table that was emptied by mistake must not empty the source too. "
     "100: no bound."},
    {"reverse.max_pause", MF_OPT_TIME, AT(reverse.max_pause_ms), "10m", SECOND, DAY, NULL,
     "The longest pause of a rollback that is made by passes, two of which lie in it as a rule; `--max-pause` "
     "overrides it."},
    {"cutover.require_verified", MF_OPT_FLAG, AT(cutover.require_verified), "true", 0, 0, NULL,
     "A cutover is refused unless a comparison of all tables found both sides equal; it and a rollback while rows are "
     "in "
     "quarantine."},
    {"cutover.verified_within", MF_OPT_TIME, AT(cutover.verified_within_ms), "24h", MINUTE, 365 * DAY, NULL,
     "How old that comparison may be."},
    {"reads.max_lag", MF_OPT_TIME, AT(reads.max_lag_ms), "10s", SECOND, DAY, NULL,
     "The side that follows serves reads only while it is at most this far behind, in time, and answers. Past it they "
     "are taken back."},
    {"reads.max_quarantined", MF_OPT_COUNT, AT(reads.max_quarantined), "0", 0, 1000000000, NULL,
     "The same while it has refused at most so many rows."},
    {"reads.require_verified", MF_OPT_FLAG, AT(reads.require_verified), "true", 0, 0, NULL,
     "The same while the last comparison of all tables found both sides equal, and nobody else was seen to have "
     "written "
     "to it since."},
    {"reads.verified_within", MF_OPT_TIME, AT(reads.verified_within_ms), "24h", MINUTE, 365 * DAY, NULL,
     "How old that comparison may be when its share of reads is raised. Growing old by itself takes nothing back."},
    {"reads.restore_after", MF_OPT_TIME, AT(reads.restore_after_ms), "0", 0, 30 * DAY, NULL,
     "Reads that were taken back are given again once their guard has been good for so long without a break. 0: only "
     "by "
     "`midflight reads`."},
    {"flags.reads", MF_OPT_TEXT, AT(flags.reads), "midflight.reads", 0, 0, NULL,
     "The name of the feature flag, true or false, that says whether a targeting key's reads go to the target."},
    {"flags.writes", MF_OPT_TEXT, AT(flags.writes), "midflight.writes", 0, 0, NULL,
     "The name of the flag, a text, that says which side takes the writes: `source` or `target`."},
    {"flags.writes_on_target", MF_OPT_TEXT, AT(flags.writes_on_target), "midflight.writes-on-target", 0, 0, NULL,
     "The name of the flag, true or false, that says the same."},
    {"queries.max", MF_OPT_COUNT, AT(queries.max), "500", 1, 100000, NULL,
     "`check --queries` looks at so many of the statements the source has seen, those it spent most time in first; "
     "`plan` at so many that read, those "
     "asked most often first."},
    {"queries.timeout", MF_OPT_TIME, AT(queries.timeout_ms), "2s", 10, MINUTE, NULL,
     "The longest that planning one of them may take on either side."},
    {"queries.worse", MF_OPT_REAL, AT(queries.worse), "10", 1000, 1000000000, NULL,
     "A plan is worse when it examines more than so many times the rows of the source's."},
    {"plan.sample", MF_OPT_SIZE, AT(plan.sample_bytes), "64MB", 1 << 20, INT64_C(1) << 40, NULL,
     "To measure how many rows have the same partition key, `plan` reads so much of a table; a smaller one whole."},
    {"plan.documents", MF_OPT_COUNT, AT(plan.documents), "10000", 1, 1000000000, NULL,
     "Of a source of documents `plan` looks at about so many of each collection, from all over it; at all of them with "
     "`--full`."},
    {"plan.timeout", MF_OPT_TIME, AT(plan.timeout_ms), "30s", 100, 60 * MINUTE, NULL,
     "The longest that one such measurement may take on the source."},
    {"plan.partition_rows", MF_OPT_COUNT, AT(plan.partition_rows), "100000", 1, INT64_C(1) << 50, NULL,
     "`plan` warns of a partition key that more rows than this have in common."},
    {"plan.partition_bytes", MF_OPT_SIZE, AT(plan.partition_bytes), "100MB", 1, INT64_C(1) << 50, NULL,
     "The same for the size of those rows."},
    {"rollback_window", MF_OPT_TIME, AT(rollback_window_ms), "7d", 0, 3650 * DAY, NULL,
     "How long after the cutover the way back should stay open. When it is over, status says so; only `complete` ends "
     "it."},
    {"hooks.on_before_cutover", MF_OPT_PATH, AT(hooks.on_before_cutover), NULL, 0, 0, NULL,
     "A program that runs before writers are held. One that fails refuses the cutover."},
    {"hooks.on_cutover", MF_OPT_PATH, AT(hooks.on_cutover), NULL, 0, 0, NULL,
     "A program that runs while writers are held and before anything is decided: switch DNS or the application's "
     "configuration to the target here. One that fails abandons the cutover. Its time is part of the pause."},
    {"hooks.on_rollback", MF_OPT_PATH, AT(hooks.on_rollback), NULL, 0, 0, NULL,
     "The same for a rollback. It also runs after `on_cutover` when that cutover was abandoned later on."},
    {"hooks.on_complete", MF_OPT_PATH, AT(hooks.on_complete), NULL, 0, 0, NULL,
     "A program that runs before `complete` cleans up. One that fails stops it."},
    {"hooks.timeout", MF_OPT_TIME, AT(hooks.timeout_ms), "30s", 100, DAY, NULL,
     "A hook that runs longer is ended and counts as failed."},
    {"spool.budget", MF_OPT_SIZE, AT(spool.budget_bytes), "10GB", 16 * MB, 1024 * TB, NULL,
     "The disk that changes not yet applied may take. When it is full, midflight stops reading and the source's log "
     "grows."},
    {"spool.segment", MF_OPT_SIZE, AT(spool.segment_bytes), "64MB", MB, 4 * GB, NULL,
     "The size of one file of the spool."},
    {"spool.memory", MF_OPT_SIZE, AT(spool.memory_bytes), "64MB", MB, 16 * GB, NULL,
     "The memory that open transactions of the stream may take together before they go to disk."},
    {"apply.window_bytes", MF_OPT_SIZE, AT(apply.window_bytes), "8MB", 4 * KB, 256 * MB, NULL,
     "The most that is written to the target in one transaction made of several of the source's. One that is larger by "
     "itself goes alone."},
    {"apply.window_changes", MF_OPT_COUNT, AT(apply.window_changes), "50000", 1, 10000000, NULL,
     "The same as a number of changes."},
    {"heartbeat", MF_OPT_TIME, AT(heartbeat_ms), "5s", 100, HOUR, NULL,
     "How often a row of ours is written to the side that takes writes, so that an idle database's slot advances."},
    {"retry", MF_OPT_TIME, AT(retry_ms), "10m", 0, 30 * DAY, NULL,
     "How long a lost connection is tried again before the run stops (resumable)."},
    {"api.listen", MF_OPT_TEXT, AT(api.listen), NULL, 0, 0, NULL,
     "`host:port` on which the HTTP API listens besides the Unix socket in the state directory. Beyond loopback it "
     "needs "
     "`api.token`."},
    {"api.token", MF_OPT_SECRET, AT(api.token), NULL, 0, 0, NULL,
     "The bearer token that the HTTP API on TCP asks for: at least 16 characters."},
    {"log.level", MF_OPT_CHOICE, AT(log.level), "info", 0, 0, level_words, "The least that is logged."},
    {"log.format", MF_OPT_CHOICE, AT(log.format), "auto", 0, 0, format_words,
     "`auto` is text on a terminal and JSON elsewhere."},
    {"state", MF_OPT_PATH, AT(state_dir), "./midflight-state", 0, 0, NULL,
     "The directory for what midflight remembers, the spool and the API's socket."},
};
const size_t mf_option_count = MF_ARRAY_LEN(mf_options);

const struct mf_option *mf_option_find(const char *key)
{
    for (size_t i = 0; i < mf_option_count; i++) {
        if (mf_streq(mf_options[i].key, key)) {
            return &mf_options[i];
        }
    }
    return NULL;
}

bool mf_option_section(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < mf_option_count; i++) {
        if (strncmp(mf_options[i].key, name, n) == 0 && mf_options[i].key[n] == '.') {
            return true;
        }
    }
    return false;
}

const struct mf_option *mf_option_for_file(const char *key)
{
    char name[MF_CONFIG_KEY_MAX];
    size_t n = strlen(key);
    if (n < 6 || n >= sizeof(name) || !mf_ends_with(key, "_file")) {
        return NULL;
    }
    memcpy(name, key, n - 5);
    name[n - 5] = '\0';
    const struct mf_option *o = mf_option_find(name);
    return o && (o->type == MF_OPT_SECRET || o->type == MF_OPT_URL) ? o : NULL;
}

const char *mf_option_nearest(const char *key)
{
    const char *best = NULL;
    size_t best_distance = strlen(key) / 3 < 2 ? 2 : strlen(key) / 3;
    for (size_t i = 0; i < mf_option_count; i++) {
        size_t d = mf_edit_distance(key, mf_options[i].key);
        if (d <= best_distance && (!best || d < best_distance)) {
            best = mf_options[i].key;
            best_distance = d;
        }
        /* the right name in the wrong place: "jobs" for "copy.jobs" */
        const char *dot = strchr(mf_options[i].key, '.');
        if (!best && dot && mf_streq(dot + 1, key)) {
            best = mf_options[i].key;
        }
    }
    return best;
}

int mf_option_unknown(const char *key, struct mf_error *err)
{
    size_t plain = strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    if (key[plain] || plain == 0 || plain >= MF_CONFIG_KEY_MAX) {
        mf_fail(err, MF_USAGE, "MFCONF", "a key that is no name");
    } else {
        const char *near = mf_option_nearest(key);
        if (near) {
            mf_fail(err, MF_USAGE, "MFCONF", "unknown key \"%s\"; did you mean \"%s\"?", key, near);
        } else {
            mf_fail(err, MF_USAGE, "MFCONF", "unknown key \"%s\"", key);
        }
    }
    mf_hint(err, "`midflight help config` lists the keys");
    return -1;
}

static void bounds(const struct mf_option *o, char lo[32], char hi[32])
{
    switch (o->type) {
    case MF_OPT_SIZE:
        mf_format_size((uint64_t)o->min, lo, 32);
        mf_format_size((uint64_t)o->max, hi, 32);
        break;
    case MF_OPT_TIME:
        mf_format_duration(o->min * 1000, lo, 32);
        mf_format_duration(o->max * 1000, hi, 32);
        break;
    case MF_OPT_REAL:
        snprintf(lo, 32, "%g", (double)o->min / 1000);
        snprintf(hi, 32, "%g", (double)o->max / 1000);
        break;
    default:
        snprintf(lo, 32, "%lld", (long long)o->min);
        snprintf(hi, 32, "%lld", (long long)o->max);
    }
}

const char *mf_option_kind(const struct mf_option *o, char *out, size_t n)
{
    char lo[32];
    char hi[32];
    bounds(o, lo, hi);
    switch (o->type) {
    case MF_OPT_TEXT:
        return snprintf(out, n, "text"), out;
    case MF_OPT_SECRET:
        return snprintf(out, n, "a secret"), out;
    case MF_OPT_URL:
        return snprintf(out, n, "a URL"), out;
    case MF_OPT_PATH:
        return snprintf(out, n, "a path"), out;
    case MF_OPT_LIST:
        return snprintf(out, n, "a list of patterns"), out;
    case MF_OPT_MAP:
        return snprintf(out, n, "a list of query tables, or of collections"), out;
    case MF_OPT_FLAG:
        return snprintf(out, n, "true or false"), out;
    case MF_OPT_COUNT:
        return snprintf(out, n, "a whole number from %s to %s", lo, hi), out;
    case MF_OPT_REAL:
        return snprintf(out, n, "a number from %s to %s", lo, hi), out;
    case MF_OPT_SIZE:
        return snprintf(out, n, "a size from %s to %s, like 64MB", lo, hi), out;
    case MF_OPT_TIME:
        return snprintf(out, n, "a time from %s to %s, like 500ms, 30s, 10m, 24h or 7d", lo, hi), out;
    case MF_OPT_WORD:
    case MF_OPT_CHOICE:
        break;
    }
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; o->words[i] && used < n; i++) {
        const char *before = i == 0 ? "" : o->words[i + 1] ? ", " : " or ";
        used += (size_t)snprintf(out + used, n - used, "%s%s", before, o->words[i]);
    }
    return out;
}
