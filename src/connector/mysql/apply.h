/* The inside of what writes rows, shared by apply*.c, load.c and repair.c. One thread. */
#ifndef MF_CONNECTOR_MYSQL_APPLY_H
#define MF_CONNECTOR_MYSQL_APPLY_H

#include "base/clock.h"
#include "connector/mysql/shape.h"

#define MY_STMT_BYTES    (1u << 20) /* values of one statement, unless a single row is larger */
#define MY_STMT_ROWS     1000u      /* rows of one INSERT */
#define MY_KEYS_IN       500u       /* keys of one IN (...); MariaDB makes a join of a thousand */
#define MY_KEYS_OR       100u       /* keys of one list of (a AND b) OR ... */
#define MY_FLUSH_BYTES   (1u << 20) /* statements sent with one packet */
#define MY_FLUSH_STMTS   2000u      /* the same */
#define MY_ROW_SQL_MAX   (1u << 30) /* a packet is never longer, whatever max_allowed_packet says */
#define MY_MISSING_BYTES (256u << 20)
#define MY_SHAPES_US     (60 * MF_US_PER_SEC) /* for so long the target's columns are taken to be as they were */

enum my_expect_kind {
    MY_EXPECT_OK,         /* any success of a statement that writes none of the tables' rows */
    MY_EXPECT_CHECKPOINT, /* the position that stands now; is anything in quarantine? */
    MY_EXPECT_WRITTEN,    /* rows are written, any number: added to a->answer */
    MY_EXPECT_ROWS,       /* `want` rows are written */
    MY_EXPECT_COUNT,      /* a number: `want` */
    MY_EXPECT_FOUND,      /* one row is written; if none, partial[first] is missing */
    MY_EXPECT_PERHAPS,    /* one row is written or none; *found says which */
};

/* What the next result of the packet answers. */
struct my_expect {
    enum my_expect_kind kind;
    const char *doing; /* "inserting into", static */
    const struct my_shape *shape;
    uint64_t want;
    size_t first;
    bool *found;
};

struct my_applier {
    struct mf_applier base;
    struct my_db *db;
    MYSQL *conn;
    struct mf_pipe_id pipe;
    bool plain;     /* a loader's: no lock, no checkpoint */
    int64_t packet; /* max_allowed_packet of this session, bytes */
    struct my_shape *shapes;
    int64_t shapes_us;   /* since when they are known */
    uint64_t raised;     /* my_db.triggers_raised then */
    bool has_quarantine; /* as of the last checkpoint written */

    bool in_window;
    struct mf_window_mode mode;
    struct mf_position checkpoint;
    struct mf_window_result *result;

    struct mf_buf sql; /* statements of the packet being made, and from `start` on the one being made */
    size_t start;
    struct my_expect *queue; /* one for each statement before `start`, or in the server's hands */
    size_t count, cap;
    size_t flying;          /* statements sent whose answers are not read */
    struct mf_error failed; /* the first error of this window; cls MF_OK: none */
    char bad_column[260];   /* the column the error is about; "" when nobody said */
    bool key_taken;         /* the error is a duplicate in the index that rows are found by */
    uint64_t answer;

    struct mf_arena scratch; /* of one batch */
    struct mf_arena keep;    /* of one window: keys of partial updates */
    struct mf_missing *partial;
    size_t npartial, partial_cap;
};

static inline struct my_applier *my_applier_of(struct mf_applier *a)
{
    return (struct my_applier *)a;
}

/* ---- apply.c ---- */
/* Opens the session, again when there was one. */
int my_applier_connect(struct my_applier *a, struct mf_error *err);
/* Between two windows or chunks: what is known of tables is read again when it is old, in case somebody altered one. */
void my_forget_old_shapes(struct my_applier *a);
struct my_applier *my_applier_new(struct mf_db *db, const struct mf_pipe_id *pipe, bool plain); /* without a session */

/* ---- apply_wire.c: packets of statements ---- */
/* All of these return -1 with a->failed (and err) set; the window is lost then. */
/* Ends the statement written to a->sql since the last one, and may send what there is. */
int my_wire_end(struct my_applier *a, const struct my_expect *e, struct mf_error *err);
int my_wire_sql(struct my_applier *a, const char *sql, const struct my_expect *e, struct mf_error *err);
/* How long a statement of many rows may be: well within a packet. */
size_t my_stmt_bytes(const struct my_applier *a);
/* Sends what there is and reads every answer. */
int my_wire_flush(struct my_applier *a, struct mf_error *err);
/* Sends what there is; its answers are read before anything else is made (my_wire_end), or by my_wire_settle. */
int my_wire_go(struct my_applier *a, struct mf_error *err);
int my_wire_settle(struct my_applier *a, struct mf_error *err);
int my_wire_fail(struct my_applier *a, struct mf_error *err);   /* err becomes the window's error */
int my_wire_failed(struct my_applier *a, struct mf_error *err); /* the first error of the window again */
/* Forgets an error (careful mode has dealt with it). */
void my_wire_forgive(struct my_applier *a);
/* Forgets what was not sent, too. */
void my_wire_reset(struct my_applier *a);
void my_take_bad_column(struct my_applier *a, const char *message);

/* ---- stmt.c: rows into statements ---- */
int my_shape_for(struct my_applier *a, const struct mf_table *t, struct my_shape **ret, struct mf_error *err);
int my_insert_rows(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                   struct mf_error *err);
/* The condition that finds rows by their keys, from *first on, as many as go into one statement. */
int my_put_where_keys(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                      size_t *first, struct mf_error *err);
/* strict: each must be there. */
int my_delete_rows(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *keys, size_t n,
                   bool strict, struct mf_error *err);
/* Copies of a row of a table without a key. count 0: all there are, loosely. */
int my_delete_copies(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, uint32_t count,
                     struct mf_error *err);
/* One row found by its old key; what is MF_UNCHANGED keeps its value. */
int my_update_row(struct my_applier *a, const struct my_shape *s, const struct mf_row *old, const struct mf_row *now,
                  const struct my_expect *e, struct mf_error *err);
/* Whole rows whose keys must be there. */
int my_overwrite_rows(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                      struct mf_error *err);
/* Whole rows over what is there under their keys, if anything. */
int my_put_rows(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                struct mf_error *err);

/* ---- apply_rows.c ---- */
int my_batch_fuzzy(struct my_applier *a, const struct mf_batch_table *b, struct mf_error *err);
int my_batch_strict(struct my_applier *a, const struct mf_batch_table *b, struct mf_error *err);
int my_batch_truncate(struct my_applier *a, const struct mf_change *c, struct mf_error *err);
bool my_same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b);

/* ---- apply_careful.c ---- */
int my_batch_careful(struct my_applier *a, const struct mf_batch *b, struct mf_error *err);

enum my_attempt_kind { MY_TRY_INSERT, MY_TRY_UPDATE, MY_TRY_DELETE, MY_TRY_DELETE_LOOSE, MY_TRY_DELETE_COPIES };
enum my_outcome { MY_DONE, MY_MISSING, MY_REFUSED };
struct my_attempt {
    const struct my_shape *s;
    enum my_attempt_kind kind;
    const struct mf_row *old, *now;
    const struct mf_row *const *nows; /* in place of `now`: n rows that are inserted together or not at all */
    size_t n;
    uint32_t count;
};
/* One row (or several new ones), behind a savepoint. -1 only when the transaction is lost. MISSING and REFUSED leave it as it was, with the
 * reason in *refusal. */
int my_attempt(struct my_applier *a, const struct my_attempt *t, enum my_outcome *ret, struct mf_error *refusal,
               struct mf_error *err);

/* ---- quarantine.c: what a refused row leaves behind ---- */
/* Rows' entries leave the quarantine: they are whole in the target again, or gone. Queued. */
int my_unquarantine(struct my_applier *a, const struct mf_table *t, const struct mf_row *const *rows, size_t n,
                    struct mf_error *err);
/* At once. row NULL: all of the table's. *ret: how many there were. */
int my_unquarantine_one(struct my_applier *a, const struct mf_table *t, const struct mf_row *row, uint64_t *ret,
                        struct mf_error *err);
/* The row's entry, in the place of the one it may have; refused's key is made of the row. Nothing may be waiting to be sent. */
int my_put_away(struct my_applier *a, const struct mf_table *t, const struct mf_row *row,
                const struct mf_quarantined *refused, struct mf_window_result *result, struct mf_error *err);
/* verb, the entry of this row, at once; ret (may be NULL): how many there were. */
int my_quarantine_of(struct my_applier *a, const char *verb, const struct mf_table *t, const struct mf_row *row,
                     uint64_t *ret, struct mf_error *err);
/* " WHERE migration = … AND direction = … AND it is this row's" */
void my_put_quarantine_where(struct mf_buf *b, const struct mf_pipe_id *pipe, const struct mf_table *t,
                             const struct mf_row *row);

#endif
