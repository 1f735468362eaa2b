/* A reader of rows: its session and the transaction one chunk is read in. Shared by chunk.c, plan.c, rows.c, digest.c. */
#ifndef MF_CONNECTOR_POSTGRES_READER_H
#define MF_CONNECTOR_POSTGRES_READER_H

#include "connector/postgres/postgres.h"
#include "connector/postgres/wide.h"

#define PG_SNAPSHOT_NAME 64

struct pg_snapshot {
    struct mf_snapshot base;
    PGconn *conn; /* the session that exported it and must live as long as it is used */
    char name[PG_SNAPSHOT_NAME];
};

/* What is known of the key of the table that was worked on last; see range.c. */
struct pg_key {
    char schema[128], table[128];
    uint64_t shape;
    bool odd; /* an operator of it is not the server's own */
    PGresult
        *rows; /* a row for each column with its type and operators; NULL: all types of the key are the server's own */
};

struct pg_reader {
    struct mf_reader base;
    struct pg_db *db;
    const struct pg_snapshot *snapshot; /* NULL: a transaction for each chunk */
    PGconn *conn;
    bool in_snapshot; /* the session's transaction has imported the snapshot */
    /* the chunk being read */
    bool reading;             /* COPY is under way */
    bool copied;              /* COPY has ended; rows too large for it follow */
    struct mf_position after; /* not before any commit the chunk may show */
    struct mf_buf batch;      /* rows gathered into one piece for chunk_read */
    char *row;                /* libpq's buffer of a row too large to gather */
    size_t row_len;           /* of it; 0 when it has been handed out */
    int64_t rows;
    int64_t toast_bytes; /* of the table being worked on */
    struct pg_wide wide;
    struct pg_key key;
};

static inline struct pg_reader *pg_reader_of(struct mf_reader *r)
{
    return (struct pg_reader *)r;
}

enum pg_shape_check {
    PG_SHAPE_ANY,     /* t may be the other side's */
    PG_SHAPE_COLUMNS, /* t is of this very database: its columns must be there as t says; there may be others (MFSHAPE) */
    PG_SHAPE_EXACT,   /* and no others (MFSHAPE) */
};

/* Begins the work on one chunk: a short transaction, or a savepoint in the snapshot's; locks the table against changes of its
 * shape (ACCESS SHARE) and fixes `after`. by_key: the planner is to use the key's index. MF_RETRY, code MFREWRITTEN, when the table was rewritten or
 * truncated after the snapshot: such a rewrite is not seen as of the snapshot. */
int pg_work_begin(struct pg_reader *r, const struct mf_table *t, enum pg_shape_check check, bool by_key,
                  struct mf_error *err);
/* Ends it and lets the table's lock go. After an error: pg_work_abort (which keeps the error). */
int pg_work_end_durable(struct pg_reader *r, struct mf_error *err); /* for who makes use of r->after */
int pg_work_end(struct pg_reader *r, struct mf_error *err);
void pg_work_abort(struct pg_reader *r);

/* range.c */
/* " WHERE …" for the chunk's range; nothing when it is the whole table. MF_FATAL, MFCHUNK, for bounds that are not ours. The
 * server may be asked for the key's operators, so no command may be under way. */
int pg_put_range(struct pg_reader *r, struct mf_buf *b, const struct mf_table *t, const struct mf_chunk *c,
                 struct mf_error *err);
/* " WHERE …" for the rows with these keys, from *at on; *at is then the first that was left for another statement. */
int pg_put_keys(struct pg_reader *r, struct mf_buf *b, const struct mf_table *t, const struct mf_row *keys, size_t n,
                size_t *at, struct mf_error *err);
void pg_key_forget(struct pg_key *k);
/* "a", "b": the columns that travel, in t's order. */
void pg_put_columns(struct mf_buf *b, const struct mf_table *t);
void pg_put_key(struct mf_buf *b, const struct mf_table *t);

/* Names the table, and makes a missing table or column an MFSHAPE. Returns -1. */
int pg_read_failed(const struct pg_reader *r, const struct mf_table *t, struct mf_error *err);

#endif
