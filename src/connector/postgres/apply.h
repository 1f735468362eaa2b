/* The applier's inside, shared by the files apply*.c. One thread. */
#ifndef MF_CONNECTOR_POSTGRES_APPLY_H
#define MF_CONNECTOR_POSTGRES_APPLY_H

#include "connector/postgres/book.h"
#include "connector/postgres/shape.h"

#define PG_STMT_BYTES    (4u << 20) /* values sent with one statement, unless a single row is larger */
#define PG_STMT_ROWS     20000u     /* rows of one statement */
#define PG_COUNTED_ROWS  5000u /* from so many rows on a round trip costs less than statements that check themselves */
#define PG_FLUSH_BYTES   (64u << 10) /* queued before the socket is worked */
#define PG_SILENT_MS     30000       /* without a sign of life from the server's host */
#define PG_PARAMS_MAX    ((size_t)1 << 30)
#define PG_STMTS_MAX     1000u /* prepared statements kept on the connection */
#define PG_MISSING_BYTES (256u << 20)

enum pg_expect_kind {
    PG_EXPECT_OK,         /* any success */
    PG_EXPECT_PREPARED,   /* then stmt is prepared */
    PG_EXPECT_CHECKPOINT, /* one row: is anything in quarantine? */
    PG_EXPECT_ROWS,       /* a command tag of `want` rows */
    PG_EXPECT_CHANGED,    /* the same of a statement that is COUNTED */
    PG_EXPECT_FOUND,      /* ordinals of the rows found; the others of partial[first .. first + n) are missing */
    PG_EXPECT_COUNT,      /* the number of rows in its command tag goes to a->answer */
    PG_EXPECT_KEYS,       /* keys as texts, which go to a->found */
    PG_EXPECT_COMMIT,
    PG_EXPECT_SYNC,
};

/* What the next result in the pipeline answers. */
struct pg_expect {
    enum pg_expect_kind kind;
    const char *doing; /* "inserting into", static */
    const struct pg_shape *shape;
    struct pg_stmt *stmt;
    uint64_t want;
    size_t first, n;
};

struct pg_applier {
    struct mf_applier base;
    struct pg_db *db;
    PGconn *conn; /* in pipeline mode, non-blocking */
    struct mf_pipe_id pipe;
    struct pg_shape *shapes;
    size_t nstmts;
    struct pg_stmt mark; /* the checkpoint's statement */
    unsigned next_name;
    bool has_quarantine; /* as of the last checkpoint written */
    bool plain;          /* a loader's: no lock, no planner settings */
    bool big; /* a very large statement went through: libpq keeps its buffer, so begin the next window anew */

    bool counted;             /* a statement of this window is known to be right only by its answer */
    bool marked;              /* the window has a mark */
    bool in_window, answered; /* answered: the head of the queue has had a result */
    struct mf_window_mode mode;
    struct mf_position checkpoint;
    struct mf_window_result *result;

    struct pg_expect *queue; /* ring of what is to come */
    size_t head, count, cap;
    size_t unflushed;       /* bytes queued since the socket was last worked */
    struct mf_error failed; /* the first error of this window; cls MF_OK: none */
    char bad_column[128];   /* the column the error is about; "" when the server did not say */
    uint64_t answer;        /* of the last PG_EXPECT_COUNT */
    struct mf_row *found;   /* of the last PG_EXPECT_KEYS, in scratch */
    size_t nfound;

    struct mf_buf params;    /* arrays of the statement being made */
    struct mf_arena scratch; /* of one batch */
    struct mf_arena keep;    /* of one window: keys of partial updates */
    struct mf_missing *partial;
    size_t npartial, partial_cap;
};

static inline struct pg_applier *pg_applier_of(struct mf_applier *a)
{
    return (struct pg_applier *)a;
}

/* ---- apply_wire.c: the pipeline ---- */
/* On a new connection: it may stand for as long as the server makes it wait. */
void pg_wire_patient(struct pg_applier *a);
/* All of these return -1 with a->failed (and err) set; the window is lost then. */
int pg_wire_sql(struct pg_applier *a, const char *sql, const struct pg_expect *expect, struct mf_error *err);
int pg_wire_params(struct pg_applier *a, const char *sql, int n, const char *const *values,
                   const struct pg_expect *expect, struct mf_error *err);
/* Prepares when it is new, and executes. */
int pg_wire_stmt(struct pg_applier *a, struct pg_stmt *st, int n, const char *const *values, const int *lengths,
                 const struct pg_expect *expect, struct mf_error *err);
/* Ends the pipeline's segment and reads every answer. */
int pg_wire_sync(struct pg_applier *a, struct mf_error *err);
/* Reads the answers that are there already, without waiting. */
int pg_wire_poll(struct pg_applier *a, struct mf_error *err);
/* The first error of the window again. */
int pg_wire_failed(struct pg_applier *a, struct mf_error *err);
/* Forgets an error of the last segment (careful mode has dealt with it). */
void pg_wire_forgive(struct pg_applier *a);

/* ---- apply_rows.c: rows into statements ---- */
struct pg_rows {
    const struct mf_row **olds, **news; /* either may be NULL when the statement does not use it */
    const uint32_t *counts;             /* copies; NULL but for identity FULL */
    size_t n;
    bool report; /* PG_STMT_UPDATE_FOUND: news are the rows' new keys, reported when they are not found */
};
int pg_shape_for(struct pg_applier *a, const struct mf_table *t, struct pg_shape **ret, struct mf_error *err);
int pg_send_rows(struct pg_applier *a, struct pg_shape *s, enum pg_stmt_kind kind, bool moves_key,
                 const uint8_t *unchanged, const struct pg_rows *rows, struct mf_error *err);
/* Rows' entries leave the quarantine: they are whole in the target again, or gone. rows NULL: all of the table. */
int pg_unquarantine(struct pg_applier *a, const struct mf_table *t, const struct mf_row *const *rows, size_t n,
                    struct mf_error *err);
/* A table whose rows are found by more than its key is gone through once and hashed, unless an index serves; everything else is looked up by
 * index. */
int pg_send_hashing(struct pg_applier *a, bool on, struct mf_error *err);
/* A new statement of the shape's; takes the text. */
struct pg_stmt *pg_stmt_new(struct pg_applier *a, struct pg_shape *s, enum pg_stmt_kind kind, struct mf_buf *sql);
bool pg_same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b);

/* One row (or several new ones) through one statement, behind a savepoint. */
enum pg_outcome { PG_DONE, PG_MISSING, PG_REFUSED };
struct pg_attempt {
    struct pg_shape *s;
    enum pg_stmt_kind kind;
    bool moves_key, report;
    const uint8_t *unchanged;
    const struct mf_row *old, *now;
    const struct mf_row **nows; /* in place of `now`: n rows that are inserted together or not at all */
    size_t n;
    uint32_t count;
};
/* -1 only when the transaction is lost. MISSING and REFUSED leave it as it was, with the reason in *refusal. */
int pg_attempt(struct pg_applier *a, const struct pg_attempt *t, enum pg_outcome *ret, struct mf_error *refusal,
               struct mf_error *err);

/* The row's entry, in the place of the one it may have; refused's key is made of the row. */
int pg_put_away(struct pg_applier *a, const struct mf_table *t, const struct mf_row *row,
                const struct mf_quarantined *refused, struct mf_window_result *result, struct mf_error *err);

/* ---- apply_mark.c ---- */
int pg_window_mark(struct mf_applier *a, struct mf_error *err);
int pg_window_settle(struct mf_applier *a, struct mf_error *err);
int pg_window_back(struct mf_applier *a, struct mf_error *err);
int pg_quarantine_put(struct mf_applier *a, const struct mf_table *t, const struct mf_row *key,
                      const struct mf_quarantined *q, struct mf_window_result *result, struct mf_error *err);
int pg_quarantine_clear(struct mf_applier *a, const struct mf_table *t, const struct mf_row *const *keys, size_t n,
                        uint64_t *ret_had, struct mf_error *err);

/* ---- apply_batch.c, apply_careful.c, repair.c ---- */
int pg_batch_fuzzy(struct pg_applier *a, const struct mf_batch_table *b, struct mf_error *err);
int pg_batch_strict(struct pg_applier *a, const struct mf_batch_table *b, struct mf_error *err);
int pg_batch_truncate(struct pg_applier *a, const struct mf_change *c, struct mf_error *err);
int pg_batch_careful(struct pg_applier *a, const struct mf_batch *b, struct mf_error *err);
int pg_repair_rows(struct mf_applier *a, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                   const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err);

/* ---- apply_cascade.c ---- */
int pg_take_keys(struct pg_applier *a, const struct pg_expect *e, const PGresult *r, struct mf_error *err);
int pg_window_cascade(struct mf_applier *a, const struct mf_table *t, const uint16_t *columns, uint16_t n,
                      const struct mf_row *was, size_t nwas, const struct mf_row *now, int64_t stamp, mf_row_sink *emit,
                      void *ctx, bool *ret_more, struct mf_error *err);

/* ---- apply.c ---- */
int pg_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err);
void pg_applier_close(struct mf_applier *a);
int pg_window_begin(struct mf_applier *a, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                    struct mf_error *err);
int pg_window_batch(struct mf_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                    struct mf_error *err);
int pg_window_commit(struct mf_applier *a, struct mf_error *err);
void pg_window_abort(struct mf_applier *a);
/* Opens the connection, again when there was one. */
int pg_applier_connect(struct pg_applier *a, struct mf_error *err);
/* Settings of a session that writes rows: nothing of the target's own fires, and the gate knows us. */
int pg_writer_session(struct pg_db *db, PGconn *c, const struct mf_pipe_id *pipe, struct mf_error *err);

#endif
