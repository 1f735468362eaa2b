/* The nouns of connector.h. */
#ifndef MF_CONNECTOR_TYPES_H
#define MF_CONNECTOR_TYPES_H

#include "base/buf.h"
#include "change/change.h"
#include "model/query_map.h"

struct mf_shred;

enum mf_side { MF_SOURCE, MF_TARGET };
enum mf_direction { MF_FORWARD, MF_REVERSE };

/* One stream of one migration. Names of slots, publications and rows are made from it. migration matches [a-z0-9_]{1,40}. */
struct mf_pipe_id {
    char migration[41];
    enum mf_direction direction; /* FORWARD: source to target */
};

/* A database connection's object; engines embed it first. */
struct mf_db {
    const struct mf_connector *connector;
    enum mf_side side;
};
struct mf_stream {
    struct mf_db *db;
    /* Set after it was opened: an old row is wanted as whole as the source's log has it, and for every update. An engine that has them whole only for tables
     * prepared so (mf_table.old_whole) gives those of such tables whole by itself. */
    bool old_whole;
};
struct mf_reader {
    struct mf_db *db;
    /* mf_db_facts.version_num of the server whose digests ours are compared with, set by verify before the first digest:
     * both sides then use the form that the older one can compute. 0: a server like our own. The same for its encoding: when
     * either is not UTF-8, both hash what the text is in UTF-8. */
    int peer_version;
    char peer_encoding[32];
    /* Set with those on the side that follows: nobody but midflight writes there, so what only it makes is compared, too. */
    bool follows;
};
struct mf_loader {
    struct mf_db *db;
};
struct mf_applier {
    struct mf_db *db;
};
struct mf_hold {
    struct mf_db *db;
};
struct mf_run_lock {
    struct mf_db *db;
};
struct mf_snapshot {
    struct mf_db *db;
    struct mf_position position; /* order 0 when made by snapshot_now */
};

/* Dual writes: how long a commit of the origin may be made to wait for the replica. */
struct mf_wait_policy {
    bool degrade;          /* let go what has waited for after_ms; else wait, however long */
    int64_t after_ms;      /* degrade */
    int64_t standstill_ms; /* whichever: while replay stands still for our own sake */
};
/* What the origin says of it. */
struct mf_commit_wait {
    bool waits;     /* for our stream, and nobody can answer in its place */
    char why[300];  /* when it does not, as part of a sentence: "its semi-synchronous mode is off"; "": not known yet */
    char note[140]; /* when it does: for which commits only, as a sentence; "": for all */
    int64_t timeout_ms;    /* after which it gives up waiting by itself; 0: never */
    uint64_t lapses;       /* grows whenever a commit was answered without waiting to the end */
    struct mf_position at; /* not before any commit that was answered before this was asked */
    char release
        [160]; /* with what somebody at the database lets commits go when we are dead; "" the database does by itself */
};

/* How the target's server reaches the source's. NULL or 0: as midflight does. */
struct mf_replication_options {
    const char *host, *user, *password;
    int port;
    const char *ca; /* a file on the target's machine: the source's certificate is verified with it */
};

struct mf_db_options {
    const char *url;
    const char *password; /* NULL: from the URL or the engine's own places (PGPASSFILE) */
    enum mf_side side;
    int connect_timeout_s;
    int statement_timeout_ms; /* for catalogue queries; 0 none */
    const char *state_dir;    /* for files an engine needs (schema dumps); NULL: a temporary directory */
    const char *migration;    /* whose bookkeeping a check looks at; NULL: it takes the database for one without any */
    const struct mf_replication_options
        *replication; /* mode: native, given to both sides; NULL: the target never follows by its server's own means */
    const struct mf_query_map *map; /* query tables, given to both sides; lives as long as the database. NULL: none */
    const struct mf_shred *shred;   /* the map of documents (bson/shred.h), the same */
    bool refused_stay;              /* the rows that a document had stay when its next version is refused */
    bool to_end;                    /* only to end a migration: what the map names may be gone from the source */
};

struct mf_db_facts {
    char engine[32], version[64]; /* "PostgreSQL", "15.20" */
    int version_num;              /* 150020 */
    char system_id[64];           /* the same for every address of one server */
    char database[128], user[128], encoding[32], host[128];
};

/* Patterns are shell-like: `public.*`, `shop.orders_??`; quoted names are matched as they are. Empty include: all. */
struct mf_filter {
    const char *const *include;
    size_t ninclude;
    const char *const *exclude;
    size_t nexclude;
};
/* The pattern, as it stands in a list of the configuration, that takes the tables of this name in any schema: whatever side's names are asked for, it is right. */
void mf_filter_put_name(struct mf_buf *b, const char *name);
bool mf_filter_match(const struct mf_filter *f, const char *schema, const char *name);

enum mf_severity { MF_NOTE, MF_WARNING, MF_BLOCKER };
struct mf_finding {
    enum mf_severity severity;
    enum mf_side side;
    const char *code;   /* stable, e.g. "wal-level" */
    const char *object; /* "table public.orders" */
    const char *reason;
    const char *remedy; /* a statement one can paste, or what to do */
};
struct mf_findings; /* grows, owns its strings */
struct mf_findings *mf_findings_new(void);
void mf_findings_free(struct mf_findings *f);
void mf_findings_add(struct mf_findings *f, enum mf_severity severity, enum mf_side side, const char *code,
                     const char *object, const char *remedy, const char *reason_fmt, ...)
    __attribute__((format(printf, 7, 8)));
size_t mf_findings_count(const struct mf_findings *f);
const struct mf_finding *mf_findings_at(const struct mf_findings *f, size_t i);
size_t mf_findings_blockers(const struct mf_findings *f);

/* mf_target_ops.check_queries: of the statements the source has seen. */
struct mf_query_options {
    int64_t max;        /* that many, the costliest first */
    int64_t timeout_ms; /* for planning one of them */
    double worse;       /* a plan that examines so many times the rows is worse */
};

/* mf_source_ops.statements: one that the server's own list of what it was asked has, without literals. */
struct mf_statement {
    const char *text;
    size_t len;
    const char *schema; /* that names without one mean; NULL: not known */
    int64_t calls;
};
typedef int mf_statement_sink(void *ctx, const struct mf_statement *s, struct mf_error *err);

/* mf_source_ops.key_sizes: how many rows there are for each value of these columns. */
struct mf_key_sizes_job {
    const char *schema, *table;
    uint16_t n;     /* columns[0…n): 0: all rows have the same */
    uint16_t nmore; /* columns[n…n+nmore): in these, too, NULL is looked for */
    const char *const *columns;
    const char *moment;   /* a column with a date or a moment in it, NULL: none */
    int64_t sample_bytes; /* of a larger table, about so much is read */
    int64_t timeout_ms;
};
/* Of the rows without NULL in any of the columns. Bytes are those of the values as text. */
struct mf_key_sizes {
    double part; /* of the table that was read; 1: all of it, and the figures are exact */
    int64_t rows,
        nulls;    /* that were read; those of them that have NULL in one of the columns and are in nothing below */
    int64_t keys; /* values that were met */
    int64_t max_rows, p99_rows, max_bytes,
        p99_bytes; /* for one value: in the whole table, by the part that was read; p99_bytes -1: not known */
    double days;   /* between the first and the last moment of the value with most rows; 0: not known */
};

enum mf_schema_stage { MF_SCHEMA_BEFORE_ROWS, MF_SCHEMA_KEYS, MF_SCHEMA_AFTER_SYNC };
struct mf_schema_job {
    enum mf_schema_stage stage;
    const struct mf_catalog *tables; /* the source's tables that migrate */
    const struct mf_filter *filter;
    int jobs;
    bool
        accounts; /* AFTER_SYNC: also accounts with rights on these tables' schemas (an engine that has them in the server) */
    bool
        addition; /* only these tables, with what they need and lack (their schema, partitioned tables above them, sequences): made on the
                    * source while the migration runs */
};

/* A range of a table's rows: lower <= key < upper in the source's own order of its key, or heap pages. Bounds are text values of the key columns,
 * or of whatever the engine cuts by; opaque to everyone else. Stored in state as bytes. */
#define MF_CHUNK_BOUND 4096
struct mf_chunk {
    uint32_t table_id; /* of the source */
    uint32_t ordinal;
    int64_t rows_estimate;
    bool has_lower, has_upper;
    bool by_heap; /* bounds are heap blocks: only good inside one exact snapshot */
    char lower
        [MF_CHUNK_BOUND]; /* engine's own encoding, NUL-terminated; a key too long to be a bound is not chosen as one */
    char upper[MF_CHUNK_BOUND];
};
struct mf_chunk_done {
    uint32_t table_id, ordinal;
    char schema[128], table[128]; /* of the source */
    int64_t rows, bytes;
    struct mf_position after;  /* source position after the chunk was read */
    bool whole_table_snapshot; /* exact at `after`: changes up to it are already in */
};

struct mf_digest {
    uint64_t rows, lane1, lane2;
};
static inline bool mf_digest_equal(const struct mf_digest *a, const struct mf_digest *b)
{
    return a->rows == b->rows && a->lane1 == b->lane1 && a->lane2 == b->lane2;
}

struct mf_sequence {
    char schema[128], name[128];
    char table[128],
        column[128]; /* the counter of this column (its table is in `schema`); "" when it is of none, or of several */
    int64_t last_value, increment, cache, min, max;
    bool is_called, cycle;
};

struct mf_epoch {
    uint64_t epoch;  /* 0: none recorded */
    char writer[16]; /* "source", "target", "none" */
    bool open;       /* this side may write */
};

struct mf_gate_options {
    int lock_ms;     /* the longest a table's lock is waited for (writers queue behind us meanwhile) */
    int total_ms;    /* bound for the whole operation, all tries together */
    int max_wait_ms; /* hold: for transactions in flight */
    bool open;       /* gate_install: state it starts in */
    enum { MF_LONG_WAIT, MF_LONG_ABANDON, MF_LONG_END } long_transactions;
    /* gate_install, gate_remove: asked between two tries; true ends them with MF_ABANDONED code MFSTOPPED. NULL: never. */
    bool (*stop)(void *ctx);
    void *stop_ctx;
};

struct mf_quarantined {
    int64_t id;
    char schema[128], table[128];
    const char *key;    /* text of the key, `a=1, b=2` */
    const char *column; /* NULL when the server did not say */
    const char *reason; /* the server's message */
    char code[16];      /* its code */
    const char *row;    /* the row as JSON text */
    struct mf_position position;
};

/* `a=1, b=2`: the key as mf_quarantined.key has it, wherever it is made; without a key all columns, cut. */
void mf_put_key_text(struct mf_buf *b, const struct mf_table *t, const struct mf_row *row);
/* The key as it is told of and compared where the memory for it is bounded: a long one is cut, and says its length and a hash of all of it. n: at least MF_KEY_SHORT_LEAST. */
#define MF_KEY_SHORT_LEAST 128
#define MF_KEY_TOLD        1024 /* of one that verify tells of, and the quarantine's list */
void mf_key_short(const char *key, char *out, size_t n);
/* mf_quarantined.column: whose value was refused, as far as the row or our own words say; else NULL. */
const char *mf_refused_column(const struct mf_table *t, const struct mf_row *row, const struct mf_error *why);
/* The row as it is kept in mf_quarantined.row: an object of texts; what is binary or unchanged is left out, long values are cut. */
void mf_put_row_json(struct mf_buf *b, const struct mf_table *t, const struct mf_row *row);

struct mf_window_mode {
    /* Before the consistency point rows may exist already or be missing: write over, and report updates that found nothing. An update that
     * changes the key and is not whole is always reported and its old row removed, whatever is found: the row under the old key may be a
     * later one, whose columns must not travel to the new key. After it every change must find its row, and what does not is an MF_CONFLICT
     * (then, in careful mode, MF_FATAL code MFDIVERGED naming the row). Identity FULL is strict always. */
    bool fuzzy;
    bool
        careful; /* batches hold one change each, in source order; one that is refused is MF_ROW handled by on_reject */
    bool
        keep_rejected; /* careful: a refused row goes to quarantine in this transaction instead of failing the window */
    /* careful, fuzzy and keep_rejected, for whole rows: what there is under a refused row's key stays beside its entry. */
    bool refused_stays;
    /* The same: a row that another one stands in the way of (unique, exclusion) is left as it is without an entry, and counted (result.later). */
    bool conflicts_later;
    /* careful, where it is strict (identity FULL always is): what does not find its row, or finds its key taken, is mended and told (mf_result_diverged) instead of failing
     * the window: a whole row is written over what is there, a delete of nothing is nothing, an update that is not whole and finds
     * nothing is reported as missing. Identity FULL: a copy that is not there is skipped, the new one of an update comes. */
    bool heal;
    /* Of the window's checkpoint: greater than that of every change up to it, smaller than that of any after it. */
    int64_t stamp;
};

#define MF_DIVERGED_TOLD 100 /* of one window are named; all are counted */
struct mf_diverged {
    const struct mf_table *table;
    const char *what; /* "an update found no row" */
    const char *key;
};

/* Updates that were not whole and found no row (fuzzy or heal): to be read again from the source. The caller's object; rows are copied into
 * arena. Filled at the latest when window_commit returns; careful: when window_batch does. */
struct mf_window_result {
    struct mf_arena *arena;
    bool missing_lost; /* there were more than the arena holds: the caller goes through the window again */
    size_t nmissing, cap;
    struct mf_missing {
        const struct mf_table *table;
        struct mf_row key;
    } * missing;
    uint64_t rows, quarantined; /* quarantined: entries that are new */
    uint64_t refused;           /* all that went to quarantine, also those that were in it */
    char refusal[400];          /* the first of them: table, key and reason */
    uint64_t later;             /* conflicts_later */
    uint64_t diverged;
    size_t ntold;
    struct mf_diverged *told;
};
/* A row that must be read again: the key columns of `key` are copied. Out of room: missing_lost. MF_FATAL MFBUG without a result. */
int mf_result_missing(struct mf_window_result *r, const struct mf_table *t, const struct mf_row *key,
                      struct mf_error *err);
/* Counts a row that goes to quarantine, and names the first. NULL: nobody wants to know. */
void mf_result_refused(struct mf_window_result *r, const struct mf_table *t, const char *key,
                       const struct mf_error *why);
/* Whether a refused row is one for later, which is counted then. */
bool mf_result_later(struct mf_window_result *r, const struct mf_window_mode *mode, const struct mf_error *why);
/* Counts a row, and names it while there is room. what is static; key is copied. */
void mf_result_diverged(struct mf_window_result *r, const struct mf_table *t, const char *what, const char *key);

/* What mf_target_ops.references_whole says of a row that refers to nothing. */
int mf_fail_orphan(const char *key, const char *schema, const char *table, const char *ref_schema,
                   const char *ref_table, const char *values, struct mf_error *err);

struct mf_replication_job {
    struct mf_position from;
    const struct mf_catalog *tables; /* the source's that migrate */
    bool only_these;                 /* a filter chose them: others must not come */
};

struct mf_replication_status {
    bool attached;
    bool receiving, applying; /* at work, or trying to be */
    struct mf_position executed;
    uint64_t received; /* order: how much of the source's history it has taken */
    double lag_seconds;
    struct mf_error trouble; /* MF_FATAL: it stopped for this and will again. MF_RETRY: it may pass. MF_OK: none */
};

typedef int mf_chunk_sink(void *ctx, const struct mf_chunk *c, struct mf_error *err);
typedef int mf_row_sink(void *ctx, const struct mf_row *row, struct mf_error *err);
typedef int mf_digest_sink(void *ctx, const struct mf_row *key, const struct mf_digest *d, struct mf_error *err);
/* Of rows that are shown as one (documents): how many rows of a table. */
typedef int mf_part_sink(void *ctx, const char *table, int64_t rows, struct mf_error *err);
typedef int mf_sequence_sink(void *ctx, const struct mf_sequence *s, struct mf_error *err);
typedef int mf_chunk_done_sink(void *ctx, const struct mf_chunk_done *d, struct mf_error *err);
typedef int mf_quarantine_sink(void *ctx, const struct mf_quarantined *q, struct mf_error *err);

#endif
