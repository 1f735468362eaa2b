/* The room's own header: a database, the statements it keeps its books with, and rows on their way to it. */
#ifndef MF_CONNECTOR_CASSANDRA_CASS_H
#define MF_CONNECTOR_CASSANDRA_CASS_H

#include "base/cleanup.h"
#include "connector/cassandra/canon.h"
#include "connector/cassandra/cql.h"
#include "connector/cassandra/look.h"
#include "connector/connector.h"

#include <pthread.h>

#define CASS_BOOK      "midflight"
#define CASS_NAME_MAX  49          /* of a keyspace, a table */
#define CASS_AGREE_MS  30000       /* for all nodes to have the same schema */
#define CASS_ROW_MAX   (16u << 20) /* what a server takes at once, where it does not say */
#define CASS_BATCH_MAX (50u << 10) /* the same, of a batch */

extern const struct mf_connector mf_connector_cassandra;

struct cass_db {
    struct mf_db base;
    struct mf_cql *cql;
    struct mf_db_facts facts;
    char keyspace[CASS_NAME_MAX];
    char migration[41];             /* whose books a check looks at; "" of none */
    const struct mf_query_map *map; /* which tables' rows end; NULL: none do */
    uint64_t row_max, batch_max;    /* bytes of one mutation and of one batch, by the server's settings */
    pthread_mutex_t lock;           /* guards the rest */
    int64_t last_us;                /* the last that cass_now_us gave */
    int64_t position_us;            /* the last that cass_position gave */
    char instance[24];              /* of the migration that was asked about last, see book.c; "" not known */
    char instance_of[41];
    bool careful_loads; /* loaders opened from now on wait for the rows of each call, see load.c */
    int64_t ahead_us,
        asked_us; /* what the nodes' clocks are ahead of ours, and when (mf_now_us) they were asked; see end.c */
    bool kept;    /* something was put into quarantine since this was opened */
};

static inline struct cass_db *cass_db_of(struct mf_db *db)
{
    return (struct cass_db *)db;
}

int cass_open(const struct mf_db_options *o, struct mf_db **ret, struct mf_error *err);
void cass_close(struct mf_db *db);
int cass_facts(struct mf_db *db, struct mf_db_facts *ret, struct mf_error *err);
/* Microseconds since 1970, never the same twice: the timestamp of our books' own rows. Any thread. */
int64_t cass_now_us(struct cass_db *db);
const char *cass_direction(enum mf_direction d); /* "fwd", "rev" */
void cass_hurry(struct mf_db *db, int within_ms);

/* ---- ask.c: statements of ours, one at a time; any thread, they block ---- */

/* How a statement is carried out. */
enum cass_how {
    CASS_WRITE,  /* twice is once */
    CASS_READ,   /* at the URL's consistency */
    CASS_SERIAL, /* a read that finishes or undoes what conditional statements left on their way */
    CASS_IF, /* a conditional statement. Sent again when its answer is lost, so "not applied" may be of one that was: look what is there */
};
/* text with n markers; args are their values' texts (cqlvalue.h; NULL: null). ret may be NULL. */
int cass_ask(struct cass_db *db, enum cass_how how, const char *text, const char *const *args, size_t n,
             struct mf_cql_answer **ret, struct mf_error *err);
/* Of the current row: column i as text ("" where it is NULL, or cut to n), as a number (0), whether it is true. */
void cass_cell_text(const struct mf_cql_answer *a, const struct cql_bytes *cells, int i, char *ret, size_t n);
int64_t cass_cell_int(const struct mf_cql_answer *a, const struct cql_bytes *cells, int i);
bool cass_cell_true(const struct cql_bytes *cells, int i);
/* The first row of an answer: 1 and its cells; 0: none. */
int cass_first(struct mf_cql_answer *a, const struct cql_bytes **ret, struct mf_error *err);
/* Every row of a SELECT, page by page (look.h). */
int cass_each(struct cass_db *db, const char *text, const char *const *args, size_t n, cass_row_fn *row, void *ctx,
              struct mf_error *err);
/* The books, or one of their tables, are not there. */
bool cass_no_book(const struct mf_error *err);
/* Numbers as texts, for args. */
#define CASS_NUMBER 24
const char *cass_i64(int64_t v, char out[CASS_NUMBER]);

/* ---- book.c ---- */
/* "migration, direction, instance" of a pipe's rows. *ret_there false: nothing was ever prepared. */
struct cass_scope {
    const char *args[3];
    char migration[41], instance[24];
};
int cass_scope(struct cass_db *db, const struct mf_pipe_id *pipe, struct cass_scope *ret, bool *ret_there,
               struct mf_error *err);
/* The same where there must be one: MF_FATAL MFNOBOOK. */
int cass_need_scope(struct cass_db *db, const struct mf_pipe_id *pipe, struct cass_scope *ret, struct mf_error *err);
/* A setting, read at the serial level; "" where it is not there, nor the books. */
int cass_kept(struct cass_db *db, const char *migration, const char *kind, const char *object, char *ret, size_t n,
              struct mf_error *err);
#define CASS_SCOPE "migration = ? AND direction = ? AND instance = ?"
/* The keyspace and its tables, with nothing of any migration. */
int cass_book(struct cass_db *db, struct mf_error *err);
int cass_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
int cass_checkpoint(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err);
/* One that is there and further stays: whoever begins a window with an older one is told (window_begin). */
int cass_checkpoint_write(struct cass_db *db, const struct mf_pipe_id *pipe, const struct mf_position *p,
                          struct mf_error *err);
int cass_chunk_write(struct cass_db *db, const struct mf_pipe_id *pipe, const struct mf_chunk_done *d,
                     struct mf_error *err);
int cass_chunks_done(struct mf_db *db, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                     struct mf_error *err);
int cass_chunks_forget(struct cass_db *db, const struct mf_pipe_id *pipe, uint32_t table_id, struct mf_error *err);
int cass_cleanup(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);

/* ---- owner.c, epoch.c ---- */
int cass_owner(struct mf_db *db, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
               struct mf_error *err);
int cass_run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                  struct mf_error *err);
int cass_epoch_read(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err);
int cass_epoch_write(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err);
int cass_settle(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err);
int cass_gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                      const struct mf_gate_options *o, struct mf_error *err);
int cass_gate_remove(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                     struct mf_error *err);
int cass_hold(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o, struct mf_hold **ret,
              struct mf_error *err);
int cass_hold_decide(struct mf_hold *h, const struct mf_epoch *e, struct mf_error *err);
void cass_hold_release(struct mf_hold *h);

/* ---- clock.c ---- */
int cass_clock(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err);
int cass_position(struct mf_db *db, struct mf_position *ret, struct mf_error *err);

/* ---- statement.c: a row as the values of a statement ---- */

/* Of one table; the prepared statements live as long as the database. */
struct cass_statements {
    const struct mf_table *table; /* the caller's; must outlive this */
    const struct mf_cql_prepared *insert, *remove;
    int ends_at; /* the ordinal of the column that says when a row ends; -1: rows do not */
};
int cass_statements(struct cass_db *db, const struct mf_table *t, struct cass_statements *ret, struct mf_error *err);
enum cass_nulls { CASS_NULLS_LEFT, CASS_NULLS_WRITTEN }; /* a NULL writes nothing; deletes the value */
/* Appends the encoded values of INSERT, whose markers are the columns that travel, the stamp, and of rows that end how long they have. MF_UNCHANGED columns are left as they are; keys come from
 * `keys` (may be row itself). MF_ROW: no room for it there; out is as it was. */
int cass_bind_insert(struct cass_db *db, const struct cass_statements *s, const struct mf_row *keys,
                     const struct mf_row *row, enum cass_nulls nulls, int64_t stamp, struct mf_buf *out,
                     struct cql_values *ret, struct mf_error *err);
/* The same of DELETE. */
int cass_bind_remove(const struct cass_statements *s, const struct mf_row *keys, int64_t stamp, struct mf_buf *out,
                     struct cql_values *ret, struct mf_error *err);

/* ---- end.c: rows that end (mf_query_table.ttl); any thread ---- */

/* The ordinal of the column that says when; -1: rows of t do not end. */
int cass_ends_at(const struct cass_db *db, const struct mf_table *t);
/* How long the row has, in seconds: 0 for ever; -1: it is over. MF_ROW: longer than there is room for, or it says no moment. */
int cass_row_ends(struct cass_db *db, const struct cass_statements *s, const struct mf_row *row, int32_t *ret,
                  struct mf_error *err);

/* ---- gather.c: rows on their way, in unlogged batches by the node that has them ---- */

struct cass_gather;
struct cass_gather *cass_gather_new(struct cass_db *db);
void cass_gather_free(struct cass_gather *g); /* what is on its way may still arrive. NULL is fine */
/* Values are copied. Blocks while as much as is allowed is on its way. What failed of earlier ones may be told here. */
int cass_gather_add(struct cass_gather *g, const struct mf_cql_prepared *p, const struct cql_values *v,
                    struct mf_error *err);
/* The same where the row's token is known. */
int cass_gather_add_at(struct cass_gather *g, const struct mf_cql_prepared *p, const struct cql_values *v,
                       int64_t token, struct mf_error *err);
/* Returns when everything added is acknowledged at the consistency asked for. */
int cass_gather_drain(struct cass_gather *g, struct mf_error *err);
/* Forgets what is on its way, and its errors. */
void cass_gather_reset(struct cass_gather *g);

/* ---- load.c, apply.c, quarantine.c: as in connector.h ---- */
extern const struct mf_connector mf_connector_cassandra;
extern const struct mf_target_ops cass_target_ops;
int cass_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err);
void cass_loader_close(struct mf_loader *l);
int cass_load_begin(struct mf_loader *l, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                    struct mf_error *err);
int cass_load_data(struct mf_loader *l, const void *data, size_t len, struct mf_error *err);
int cass_load_row(struct mf_loader *l, const struct mf_row *row, struct mf_error *err);
int cass_load_rows(struct mf_loader *l, const struct mf_row *rows, size_t n, struct mf_error *err);
int cass_load_quarantine(struct mf_loader *l, const struct mf_quarantined *q, struct mf_error *err);
int cass_load_commit(struct mf_loader *l, const struct mf_chunk_done *done, struct mf_error *err);
void cass_load_abort(struct mf_loader *l);
int cass_table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err);

int cass_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err);
void cass_applier_close(struct mf_applier *a);
int cass_window_begin(struct mf_applier *a, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                      struct mf_error *err);
int cass_window_batch(struct mf_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                      struct mf_error *err);
int cass_window_commit(struct mf_applier *a, struct mf_error *err);
void cass_window_abort(struct mf_applier *a);
int cass_repair_rows(struct mf_applier *a, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                     const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err);

/* A row that was left out, kept with the stamp of the change that brought it: the change that takes it in later has a greater one. */
int cass_quarantine_put(struct cass_db *db, const struct mf_pipe_id *pipe, const struct mf_quarantined *q,
                        int64_t stamp, struct mf_error *err);
/* What is kept of rows with this key, up to the stamp, is forgotten. Written only for a table that has entries (cass_quarantine_any). */
int cass_quarantine_forget(struct cass_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                           const struct mf_row *row, int64_t stamp, struct mf_error *err);
int cass_quarantine_forget_table(struct cass_db *db, const struct mf_pipe_id *pipe, const char *schema,
                                 const char *table, int64_t stamp, struct mf_error *err);
/* Whether the row is kept there. */
int cass_quarantine_has(struct cass_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                        const struct mf_row *row, bool *ret, struct mf_error *err);
int cass_quarantine_any(struct cass_db *db, const struct mf_pipe_id *pipe, bool *ret, struct mf_error *err);
int cass_quarantine_list(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                         struct mf_error *err);
int cass_quarantine_drop(struct mf_db *db, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err);

/* ---- check*.c ---- */
int cass_check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                      struct mf_error *err);
int cass_check_durable(struct mf_db *db, struct mf_findings *out, struct mf_error *err);

extern const struct mf_source_ops cass_source_ops;

#endif
