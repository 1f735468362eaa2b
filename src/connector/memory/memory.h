/* A database in RAM: the connector of the simulation and of unit tests.
 *
 * It answers every operation of connector.h with the semantics that a PostgreSQL server gives: transactions with row locks, exact
 * snapshots, keys and an immediate secondary unique constraint, a log that is decoded into a stream (large transactions before
 * their commit, with aborts), large values the stream leaves out when they did not change, gates and holds. What it adds is that
 * everything which can happen between two calls is the caller's to decide: before each operation the hook runs, and may write as an
 * application would, lose the connection (before or after the operation took effect), or kill midflight.
 *
 * A server outlives every connection to it, as a real one does. All functions may be called from any thread (one recursive mutex for
 * all servers); the hook is called with it held.
 */
#ifndef MF_CONNECTOR_MEMORY_MEMORY_H
#define MF_CONNECTOR_MEMORY_MEMORY_H

#include <stdio.h>

#include "connector/connector.h"

extern const struct mf_connector mf_connector_memory, mf_connector_memory_other, mf_connector_memory_stamped;

struct mf_mem_server;
struct mf_mem_txn;

/* ---- servers ---- */

/* Registered under the name: mem://NAME opens it. The name must be free. */
struct mf_mem_server *mf_mem_server_new(const char *name);
void mf_mem_server_free(struct mf_mem_server *s); /* after every object opened on it is closed; NULL is allowed */

/* The process of midflight is gone: its transactions are rolled back, its holds released, its connections dead. */
void mf_mem_disconnect(struct mf_mem_server *s);
/* The server itself dies and comes back: every open transaction is gone, what was committed stands. */
void mf_mem_restart(struct mf_mem_server *s);

enum mf_mem_fate {
    MF_MEM_GO,
    MF_MEM_LOST_BEFORE, /* the connection breaks and nothing was done */
    MF_MEM_LOST_AFTER,  /* a commit took effect, but its answer was lost (elsewhere the same as before) */
    MF_MEM_CRASH_BEFORE, /* midflight dies: the call fails with MF_CRASH, and so does every call until mf_mem_disconnect */
    MF_MEM_CRASH_AFTER,
};
/* op: "source.stream_next" and so on. May call any function of this header. */
typedef enum mf_mem_fate mf_mem_hook(void *ctx, struct mf_mem_server *s, const char *op);
void mf_mem_set_hook(struct mf_mem_server *s, mf_mem_hook *hook, void *ctx);
const char *mf_mem_name(const struct mf_mem_server *s);

/* ---- tables ---- */

struct mf_mem_column {
    const char *name;
    bool text;        /* "text", ordered by bytes; else "bigint", ordered as numbers */
    bool in_key;      /* columns of the key in the order of the columns */
    bool toast;       /* left out of the stream when an update does not change it */
    bool unique;      /* at most one column of a table: secondary unique constraint, checked at once, NULLs apart */
    uint32_t max_len; /* 0: none; a longer value is refused (22001) */
};
int mf_mem_create_table(struct mf_mem_server *s, const char *schema, const char *name,
                        const struct mf_mem_column *columns, size_t n, struct mf_error *err);
int mf_mem_drop_table(struct mf_mem_server *s, const char *schema, const char *name, struct mf_error *err);
/* Adds a nullable column at the end. MF_RETRY while a transaction has written to the table. */
int mf_mem_add_column(struct mf_mem_server *s, const char *schema, const char *name, const struct mf_mem_column *c,
                      struct mf_error *err);
/* Narrows a column of this server's table (a target that cannot hold what the source can). */
void mf_mem_set_max_len(struct mf_mem_server *s, const char *schema, const char *name, const char *column,
                        uint32_t max);
/* What is committed. The view is valid until the next write on the server. -1: no such table. */
int mf_mem_table_rows(struct mf_mem_server *s, const char *schema, const char *name, mf_row_sink *emit, void *ctx);
bool mf_mem_table_exists(struct mf_mem_server *s, const char *schema, const char *name);
/* Digest of the rows committed now in one table, and in all tables outside the schema midflight: equal states of two servers have equal digests. */
uint64_t mf_mem_table_digest(struct mf_mem_server *s, const char *schema, const char *name);
uint64_t mf_mem_digest(struct mf_mem_server *s);
/* The changes of a transaction, one a line. */
void mf_mem_tell(struct mf_mem_server *s, uint64_t xid, FILE *out);
void mf_mem_dump(struct mf_mem_server *s, FILE *out);
/* Rows written to a table behind everyone's back (corruption): not logged, not in any stream. which picks a row; what: 0 a value is changed, 1 the
 * row is removed, 2 a row is added (identity FULL: doubled). Returns false when there is nothing to corrupt. */
bool mf_mem_corrupt(struct mf_mem_server *s, const char *schema, const char *name, unsigned which, int what);

/* ---- application transactions ---- */

struct mf_mem_txn *mf_mem_begin(struct mf_mem_server *s);
/* What this transaction sees, row by row. */
size_t mf_mem_count(struct mf_mem_txn *t, const char *schema, const char *table);
/* The i-th row it sees; valid until the transaction's next write. */
bool mf_mem_row_at(struct mf_mem_txn *t, const char *schema, const char *table, size_t i, struct mf_row *ret);
/* Writes. Errors: 23505 MF_ROW a key or unique value exists; 55P03 MF_RETRY another transaction holds the row; MFHOLD MF_RETRY writers wait
 * for a cutover; MFGATE MF_FATAL this side may not be written. A failed write leaves the transaction as it was. */
int mf_mem_insert(struct mf_mem_txn *t, const char *schema, const char *table, const struct mf_row *row,
                  struct mf_error *err);
/* old: the whole row as it is (one of several equal ones when there is no key). MF_UNCHANGED columns of row keep their value. */
int mf_mem_update(struct mf_mem_txn *t, const char *schema, const char *table, const struct mf_row *old,
                  const struct mf_row *row, struct mf_error *err);
int mf_mem_delete(struct mf_mem_txn *t, const char *schema, const char *table, const struct mf_row *old,
                  struct mf_error *err);
struct mf_mem_name {
    const char *schema, *table;
};
int mf_mem_truncate(struct mf_mem_txn *t, const struct mf_mem_name *tables, size_t n, struct mf_error *err);
void mf_mem_savepoint(struct mf_mem_txn *t);      /* one level: a second replaces the first */
void mf_mem_rollback_to(struct mf_mem_txn *t);    /* to the savepoint */
void mf_mem_set_bypass(struct mf_mem_txn *t);     /* a writer that the gate does not stop */
bool mf_mem_txn_dead(const struct mf_mem_txn *t); /* ended by the server: only abort is left */
/* Both free the transaction. -1 only when it was dead. *ret_at (may be NULL): the end of the commit. */
int mf_mem_commit(struct mf_mem_txn *t, struct mf_position *ret_at, struct mf_error *err);
void mf_mem_abort(struct mf_mem_txn *t);
/* Sequences are outside transactions. */
int64_t mf_mem_nextval(struct mf_mem_server *s, const char *schema, const char *name);

/* ---- what the checker looks at ---- */

struct mf_mem_commit {
    struct mf_position position;
    uint64_t digest; /* mf_mem_digest after it */
    uint64_t xid;
    bool ours; /* made by midflight */
};
size_t mf_mem_commits(const struct mf_mem_server *s);
const struct mf_mem_commit *mf_mem_commit_at(const struct mf_mem_server *s, size_t i);
/* Called after each commit, with the lock held: must not write. */
void mf_mem_on_commit(struct mf_mem_server *s, void (*fn)(void *ctx, struct mf_mem_server *s), void *ctx);
/* Things of midflight's on this server: streams, bookkeeping tables, gates, holds. */
size_t mf_mem_residue(const struct mf_mem_server *s);
bool mf_mem_held(const struct mf_mem_server *s);
bool mf_mem_gated(const struct mf_mem_server *s); /* a gate stands, open or closed */
/* An application may write to this table right now (neither gate nor hold is in the way). */
bool mf_mem_writable(struct mf_mem_server *s, const char *schema, const char *table);
/* What a connection did that a real server would have punished (acknowledging what was never sent, ...); "" when nothing. */
const char *mf_mem_violation(const struct mf_mem_server *s);
/* How far commits have been confirmed to a stream that they wait for (order). */
uint64_t mf_mem_answered(const struct mf_mem_server *s);

/* ---- knobs ---- */

struct mf_mem_knobs {
    uint32_t stream_after; /* transactions of more changes are streamed before their commit; 0: never */
    uint32_t wire_rows;    /* rows a chunk_read gives; 0: all */
    bool shadows;          /* a commit that midflight died on may still be on its way: see mf_mem_shadow_ends */
    bool late_errors;      /* an error of window_batch surfaces at window_commit */
    const char *broken;    /* a deliberate break of this server's word (see docs/internals/simulation.md); NULL: none */
    double load;           /* what mf_source_ops.load answers */
    bool unordered;        /* mf_connector.reads_unordered (unordered.h). To be set before it is opened */
    bool
        newer; /* mf_connector.shows_newer: rows with a key are read as they stand, in snapshots too, and updates are whole. To be set before it is opened */
    bool other; /* of the other kind (dialect.c): opened as memx://NAME. To be set before it has tables */
    uint64_t
        stamped; /* it keeps the last write (stamped.h), and chance begins with this; opened as mems://NAME. 0: it has transactions */
    /* With stamped and unordered: it tells nobody of its changes and keeps nobody out (mf_connector.streams, soft_hold). To be set before it is opened */
    bool silent;
    bool by_time;               /* its clock is that of this process; else it is how much was written */
    int64_t clock_us;           /* by so much its clock is wrong */
    const char *default_schema; /* what mf_canon_ops.default_schema answers */
};
struct mf_mem_knobs *mf_mem_knobs(struct mf_mem_server *s);
/* A COMMIT was sent, midflight died (or lost the connection), and the server has not come to it yet: the transaction is open, with its locks,
 * until this lets it commit or fail. False when there is none. */
bool mf_mem_shadow_ends(struct mf_mem_server *s, bool commit);
/* What was on its way to a server that keeps the last write when a call was lost is there now. */
void mf_mem_late_writes_arrive(struct mf_mem_server *s);
/* The server throws a stream's slot away (max_slot_wal_keep_size, failover). */
void mf_mem_lose_slots(struct mf_mem_server *s);

#endif
