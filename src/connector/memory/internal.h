/* What the files of this room share. Every function here is called with mem_lock held.
 *
 * Rows and table versions are immutable once shared and counted by references, so a snapshot of a database is one reference a table and
 * the log holds the rows it speaks of. */
#ifndef MF_CONNECTOR_MEMORY_INTERNAL_H
#define MF_CONNECTOR_MEMORY_INTERNAL_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "connector/memory/memory.h"

#define MEM_MAX_TABLES     64  /* at one time */
#define MEM_MAX_EVER       512 /* with those dropped */
#define MF_MEM_MAX_COLUMNS 64

struct mem_row {
    uint32_t refs;
    uint16_t n;
    uint64_t hash; /* of the plain values by column name, NULLs left out: independent of the order of columns */
    bool apart;    /* it has a value that the other kind of server has not: it is in no digest */
    struct mf_value v[];
};

struct mem_rows { /* one version of a table's contents */
    uint32_t refs;
    size_t n, cap;
    uint64_t sum; /* of the rows' mixed hashes: independent of their order */
    struct mem_row **rows;
};

struct mem_shape { /* never changed, freed with the server */
    struct mf_table table;
    uint64_t *seeds; /* hash of each column's name */
    bool *toast, *text;
    int unique; /* ordinal or -1 */
    bool other; /* of a server of the other kind (dialect.h) */
    struct mem_shape *next;
};

struct mem_table { /* freed with the server: the log may speak of it after it was dropped */
    struct mem_shape *shape;
    uint32_t *max_len;
    bool dropped, book;
    bool has_key, has_unique; /* constraints that stand (schema stages) */
    uint64_t name_hash;
    struct mem_rows *rows; /* committed */
};

struct mem_change {
    enum mf_op op;
    struct mem_table *table;
    struct mem_shape *shape;
    struct mem_row *old_row, *new_row;
    uint16_t ntruncated;
    struct mem_table **truncated;
};

enum mem_log_kind { MEM_LOG_CHANGE, MEM_LOG_ABORT_SUB, MEM_LOG_ABORT, MEM_LOG_COMMIT };
struct mem_log {
    enum mem_log_kind kind;
    uint64_t lsn; /* end of the record */
    uint64_t xid, subxid;
    int64_t time_us;
    struct mem_change *change;
};

struct mem_lock {
    uint64_t xid;
    const struct mem_table *table;
    uint64_t what; /* hash of a key or unique value; 0: the whole table */
};

struct mem_view {
    struct mem_table *table;
    struct mem_rows *base, *rows;
};

struct mf_mem_txn {
    struct mf_mem_server *server;
    struct mf_mem_txn *next;
    uint64_t xid, subxid;
    uint64_t generation;
    bool ours, dead, wrote, bypass;
    size_t nchanges, cap, save;
    struct mem_change **changes;
    struct mf_value *said; /* what mf_mem_row_at gave last */
    char *said_text;
    size_t nviews;
    struct mem_view views[MEM_MAX_TABLES];
};

struct mem_slot {
    struct mf_pipe_id pipe;
    bool lost, active;
    uint64_t confirmed;
    size_t ntables;
    struct {
        const struct mem_table *table;
        uint64_t since;
        bool old_whole;
    } tables[MEM_MAX_TABLES];
};

struct mem_slot *mem_slot_find(struct mf_mem_server *s, const struct mf_pipe_id *pipe); /* NULL: none */
/* since: changes logged before it are not in the stream. */
void mem_slot_add_tables(struct mf_mem_server *s, struct mem_slot *slot, const struct mf_catalog *tables,
                         uint64_t since);
/* The table was prepared so (mf_table.old_whole). */
bool mem_slot_old_whole(const struct mem_slot *slot, const struct mem_table *t);

struct mem_gate {
    struct mf_pipe_id pipe;
    bool open;
    size_t ntables;
    const struct mem_table *tables[MEM_MAX_TABLES];
};

struct mem_chunk_record {
    struct mf_pipe_id pipe;
    struct mf_chunk_done done;
};

struct mem_quarantined {
    struct mf_pipe_id pipe;
    struct mf_quarantined q; /* strings owned */
};

/* Quarantine rows pending in a transaction, moved to the server when it commits. Without a row: the entry leaves. */
struct mem_pending {
    size_t n, cap;
    struct mf_quarantined *q;
};

/* A transaction whose COMMIT is on its way though the one who sent it is gone. */
struct mem_shadow {
    struct mf_mem_txn *txn; /* NULL: none */
    struct mf_pipe_id pipe;
    bool window; /* else a chunk, whose record is `done` */
    struct mf_chunk_done done;
    struct mem_pending pending;
};

/* A decision whose COMMIT is on its way though the one who sent it is gone: the server keeps its hold until it is made. */
struct mem_late {
    bool set;
    struct mf_pipe_id pipe;
    struct mf_epoch epoch;
};

struct mem_stamped;

struct mf_mem_server {
    char name[64];
    struct mf_mem_server *next;
    uint64_t generation; /* connections of an older one are dead */
    bool midflight_dead; /* a simulated crash: nothing of midflight's works until mf_mem_disconnect */
    mf_mem_hook *hook;
    void *hook_ctx;
    void (*on_commit)(void *, struct mf_mem_server *);
    void *on_commit_ctx;
    struct mf_mem_knobs knobs;
    char violation[256];

    struct mf_arena arena; /* shapes */
    uint32_t next_id;
    size_t ntables;
    struct mem_table *tables[MEM_MAX_EVER];
    size_t nsequences;
    struct mf_sequence sequences[8];

    uint64_t lsn, next_xid;
    size_t nlog, log_cap;
    struct mem_log *log;
    size_t ncommits, commits_cap;
    struct mf_mem_commit *commits;
    struct mf_mem_txn *open;
    size_t nlocks, locks_cap;
    struct mem_lock *locks;
    struct mem_shadow shadow;
    struct mem_late late;

    size_t nslots;
    struct mem_slot slots[8];
    size_t ngates;
    struct mem_gate gates[8];
    char owner[256];             /* whose the migration is: one migration a server */
    uint64_t run_lock, next_run; /* who has the right to run it (0: nobody), in which generation */
    uint64_t run_generation;
    bool held;
    uint64_t held_by; /* generation-independent number of the hold */
    uint64_t next_hold;
    size_t nchunks, chunks_cap;
    struct mem_chunk_record *chunks;
    size_t nquarantined, quarantined_cap;
    struct mem_quarantined *quarantined;
    int64_t next_quarantine;
    uint64_t answered;           /* commits that wait: up to here they would have been answered */
    struct mem_stamped *stamped; /* NULL: nothing was written by stamps */
};

/* stamped.h */
struct mem_write {
    struct mem_table *table;
    enum { MEM_PUT, MEM_GONE, MEM_EMPTY } kind;
    struct mf_value *
        values; /* owned, with their bytes; PUT, GONE: the key. PUT: UNCHANGED is not written, NULL deletes the value */
    int64_t stamp;
};

struct mem_writes {
    size_t n, cap;
    struct mem_write *list;
};

struct mem_conn {
    struct mf_mem_server *server;
    uint64_t generation;
    bool dead;
};

struct mem_db {
    struct mf_db base;
    struct mf_mem_server *server;
};

extern pthread_mutex_t mem_lock;
#define MEM_LOCKED MF_LOCK_SCOPE(&mem_lock)

/* The deliberate breaks: see mf_mem_knobs.broken. */
static inline bool mem_broken(const struct mf_mem_server *s, const char *name)
{
    return s->knobs.broken && strcmp(s->knobs.broken, name) == 0;
}

/* It goes on with the log. */
static inline int64_t mem_clock(const struct mf_mem_server *s)
{
    return (s->knobs.by_time ? mf_wall_us() : INT64_C(1700000000000000) + (int64_t)s->lsn) + s->knobs.clock_us;
}

static inline struct mf_mem_server *mem_server(struct mf_db *db)
{
    return ((struct mem_db *)db)->server;
}

/* ---- rows.c ---- */
struct mem_row *mem_row_new(const struct mem_shape *shape, const struct mf_value *values);
struct mem_row *mem_row_ref(struct mem_row *r);
void mem_row_unref(struct mem_row *r);
uint64_t mem_row_hash(const struct mem_row *r, const struct mem_shape *shape, const struct mf_table *t);
uint64_t mem_mix(uint64_t h);
struct mem_rows *mem_rows_new(void);
struct mem_rows *mem_rows_ref(struct mem_rows *r);
void mem_rows_unref(struct mem_rows *r);
void mem_rows_own(struct mem_rows **r);                     /* makes it ours alone, so that it may be written */
void mem_rows_add(struct mem_rows *r, struct mem_row *row); /* takes the reference */
void mem_rows_remove(struct mem_rows *r, size_t i);
void mem_rows_replace(struct mem_rows *r, size_t i, struct mem_row *row); /* takes the reference */
void mem_rows_clear(struct mem_rows *r);
/* By the key of the shape: key is a full-width row. SIZE_MAX: none. */
size_t mem_rows_by_key(const struct mem_rows *r, const struct mem_shape *s, const struct mf_value *key);
size_t mem_rows_by_all(const struct mem_rows *r, const struct mem_shape *s, const struct mf_value *all);
size_t mem_rows_by_ref(const struct mem_rows *r, const struct mem_row *row);
int mem_compare(bool text, const struct mf_value *a, const struct mf_value *b);
int mem_compare_key(const struct mem_shape *s, const struct mf_value *a, const struct mf_value *b);
uint64_t mem_key_hash(const struct mem_shape *s, const struct mf_value *v);

/* ---- server.c ---- */
struct mf_mem_server *mem_server_find(const char *name);
struct mem_table *mem_table_find(const struct mf_mem_server *s, const char *schema, const char *name);
struct mem_table *mem_table_need(const struct mf_mem_server *s, const char *schema, const char *name,
                                 struct mf_error *err);
struct mem_table *mem_table_add(struct mf_mem_server *s, const char *schema, const char *name,
                                const struct mf_mem_column *columns, size_t n);
struct mem_shape *mem_shape_new(struct mf_mem_server *s, uint32_t id, const char *schema, const char *name,
                                const struct mf_mem_column *columns, size_t n);
void mem_shape_columns(const struct mem_table *t, struct mf_mem_column *ret); /* t->shape->table.ncolumns of them */
struct mf_position mem_position(uint64_t lsn);
bool mem_pipe_equal(const struct mf_pipe_id *a, const struct mf_pipe_id *b);
void mem_violate(struct mf_mem_server *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct mem_conn mem_connect(struct mf_mem_server *s);
/* Runs the hook. 0: go on; -1 with err: the operation must not be done. *ret_after: do it, then return mem_lost. NULL where it makes no difference. */
int mem_enter(struct mem_conn *c, const char *op, bool *ret_after, struct mf_error *err);
int mem_lost(struct mem_conn *c, const char *op, struct mf_error *err);
/* An operation on the database with a connection of its own. */
int mem_enter_db(struct mf_db *db, const char *op, bool *ret_after, struct mf_error *err);
int mem_lost_db(struct mf_db *db, const char *op, struct mf_error *err);

/* ---- txn.c ---- */
struct mf_mem_txn *mem_txn_begin(struct mf_mem_server *s, bool ours);
struct mem_rows *mem_txn_rows(struct mf_mem_txn *t, struct mem_table *table);
int mem_txn_lock_table(struct mf_mem_txn *t, const struct mem_table *table, struct mf_error *err);
int mem_txn_insert(struct mf_mem_txn *t, struct mem_table *table, const struct mf_value *values, struct mf_error *err);
int mem_txn_update(struct mf_mem_txn *t, struct mem_table *table, size_t at, const struct mf_value *values,
                   struct mf_error *err);
int mem_txn_delete(struct mf_mem_txn *t, struct mem_table *table, size_t at, struct mf_error *err);
int mem_txn_truncate(struct mf_mem_txn *t, struct mem_table **tables, size_t n, struct mf_error *err);
int mem_txn_commit(struct mf_mem_txn *t, uint64_t *ret_lsn, struct mf_error *err); /* frees it */
void mem_txn_abort(struct mf_mem_txn *t);                                          /* frees it; NULL is allowed */
void mem_txn_kill(struct mf_mem_txn *t);                     /* rolled back by the server; its owner frees it */
void mem_txn_rollback_to(struct mf_mem_txn *t, size_t keep); /* the changes after the first `keep` are undone */
size_t mem_txns_writing(const struct mf_mem_server *s);      /* of applications */

/* ---- book.c ---- */
int mem_book_prepare(struct mf_mem_server *s, struct mf_error *err);
int mem_book_checkpoint(struct mf_mem_txn *t, const struct mf_pipe_id *pipe, const struct mf_position *p,
                        struct mf_error *err); /* p NULL: the row is touched, the position stays */
int mem_book_heartbeat(struct mf_mem_txn *t, const struct mf_pipe_id *pipe, enum mf_side side, const char *marker,
                       struct mf_error *err);
int mem_book_epoch(struct mf_mem_txn *t, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err);
int mem_book_read_checkpoint(struct mf_mem_server *s, const struct mf_pipe_id *pipe, struct mf_position *ret);
int mem_book_read_epoch(struct mf_mem_server *s, const struct mf_pipe_id *pipe, struct mf_epoch *ret);
void mem_book_drop(struct mf_mem_server *s, const struct mf_pipe_id *pipe);

/* ---- read.c ---- */
/* Values of a row of `shape` in the order of t's columns, found by name; a column that shape lacks is NULL. */
void mem_project(const struct mem_shape *shape, const struct mf_value *row, const struct mf_table *t,
                 struct mf_value *ret);
int mem_column_at(const struct mf_table *t, const char *name);

/* ---- traffic.c ---- */
void mem_late_ends(struct mf_mem_server *s, bool commit);

/* operations, by file */
extern const struct mf_source_ops mem_source_ops;
extern const struct mf_target_ops mem_target_ops;
extern const struct mf_traffic_ops mem_traffic_ops;

int mem_stream_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                       struct mf_position *ret_start, struct mf_error *err);
int mem_stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                          struct mf_error *err);
int mem_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                    struct mf_stream **ret, struct mf_error *err);
int mem_stream_next(struct mf_stream *st, int timeout_ms, struct mf_item *ret, struct mf_error *err);
int mem_stream_ack(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err);
int mem_stream_confirm(struct mf_stream *st, const struct mf_position *upto, struct mf_error *err);
void mem_stream_close(struct mf_stream *st);
int mem_stream_drop(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);

int mem_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err);
void mem_applier_close(struct mf_applier *a);
int mem_window_begin(struct mf_applier *a, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                     struct mf_error *err);
int mem_window_batch(struct mf_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                     struct mf_error *err);
int mem_window_mark(struct mf_applier *a, struct mf_error *err);
int mem_window_settle(struct mf_applier *a, struct mf_error *err);
int mem_window_back(struct mf_applier *a, struct mf_error *err);
int mem_quarantine_put(struct mf_applier *a, const struct mf_table *t, const struct mf_row *key,
                       const struct mf_quarantined *q, struct mf_window_result *result, struct mf_error *err);
int mem_quarantine_clear(struct mf_applier *a, const struct mf_table *t, const struct mf_row *const *keys, size_t n,
                         uint64_t *ret_had, struct mf_error *err);
int mem_window_commit(struct mf_applier *a, struct mf_error *err);
void mem_window_abort(struct mf_applier *a);
int mem_repair_rows(struct mf_applier *a, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                    const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err);

int mem_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err);
void mem_loader_close(struct mf_loader *l);
int mem_load_begin(struct mf_loader *l, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                   struct mf_error *err);
int mem_load_data(struct mf_loader *l, const void *data, size_t len, struct mf_error *err);
int mem_load_row(struct mf_loader *l, const struct mf_row *row, struct mf_error *err);
int mem_load_rows(struct mf_loader *l, const struct mf_row *rows, size_t n, struct mf_error *err);
int mem_load_applier(struct mf_loader *l, struct mf_applier **ret, struct mf_error *err);
int mem_load_quarantine(struct mf_loader *l, const struct mf_quarantined *q, struct mf_error *err);
int mem_load_commit(struct mf_loader *l, const struct mf_chunk_done *done, struct mf_error *err);
void mem_load_abort(struct mf_loader *l);

void mem_pending_add(struct mem_pending *p, const struct mf_quarantined *q);
void mem_pending_commit(struct mem_pending *p, struct mf_mem_server *s, const struct mf_pipe_id *pipe);
void mem_pending_drop(struct mem_pending *p);
/* Takes over a transaction that was about to be committed when its owner was lost. */
void mem_shadow_take(struct mf_mem_server *s, struct mf_mem_txn **txn, struct mem_pending *pending,
                     const struct mf_pipe_id *pipe, const struct mf_chunk_done *done);
void mem_chunk_record_add(struct mf_mem_server *s, const struct mf_pipe_id *pipe, const struct mf_chunk_done *done);
void mem_quarantined_free(struct mf_quarantined *q);

#endif
