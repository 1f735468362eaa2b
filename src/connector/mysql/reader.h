/* A reader of rows: its session and the piece of work it is at. Shared by reader.c, snapshot.c, plan.c, chunk.c, digest.c. */
#ifndef MF_CONNECTOR_MYSQL_READER_H
#define MF_CONNECTOR_MYSQL_READER_H

#include "connector/mysql/mysql_room.h"
#include "connector/mysql/range.h"

/* MySQL cannot share a snapshot between sessions. So this is a number of sessions that all see the same; a reader takes one and
 * gives it back. */
struct my_snapshot {
    struct mf_snapshot base;
    pthread_mutex_t lock; /* guards the ones below */
    int refs;             /* of its owner and of every reader */
    bool closed;
    bool anywhere;         /* its position is not asked for (constant) */
    uint64_t newest_table; /* InnoDB's number of the newest table there was before it (constant); 0: not asked for */
    MYSQL **idle;
    size_t nidle, size;
};

/* snapshot.c. A session that sees the snapshot; MF_RETRY code MFREADERS when all are taken. Each call of take that succeeds is followed by one of
 * give: good when the session still is in the snapshot's transaction. */
int my_snapshot_take(struct my_snapshot *s, MYSQL **ret, struct mf_error *err);
void my_snapshot_give(struct my_snapshot *s, MYSQL *c, bool good);

/* The index of the key of the table that was worked on last. */
struct my_index {
    char schema[256], table[256];
    uint64_t shape;
    char name[256]; /* "": there is none */
    bool prefix;    /* a column of it is there with its beginning only: it gives no order */
};

struct my_reader {
    struct mf_reader base;
    struct my_db *db;
    struct my_snapshot *snapshot; /* NULL: a transaction for each piece of work */
    MYSQL *conn;                  /* NULL: none yet, or it was lost */
    bool lost;                    /* the snapshot's session is not in its transaction any more */
    /* the piece of work */
    bool working;
    struct mf_position after; /* not before any commit it may show */
    struct mf_arena arena;
    struct mf_table *live; /* the table as it is here */
    struct my_type *types; /* one for each column of the caller's table */
    struct my_index index;
    /* rows on their way */
    MYSQL_RES *rows;
    bool lossy; /* the last column of them says whether a row's texts are what the server has */
    /* the chunk being read */
    const struct mf_table *t;
    bool reading;
    uint8_t *forms; /* enum my_form of each column that travels */
    unsigned ncolumns;
    struct mf_buf batch, kept; /* kept: a row that did not fit any more */
    int64_t nrows;
};

static inline struct my_reader *my_reader_of(struct mf_reader *r)
{
    return (struct my_reader *)r;
}

enum my_shape_check {
    MY_SHAPE_ANY,     /* t's columns must be there */
    MY_SHAPE_COLUMNS, /* with the same types (MFSHAPE); there may be others */
    MY_SHAPE_EXACT,   /* and no others, in the same order (MFSHAPE) */
};

/* Begins a piece of work: a short transaction with its own view, or a savepoint in the snapshot's. The table cannot change its shape until the end;
 * r->types tells how its columns are read. with_position: r->after is filled. */
int my_work_begin(struct my_reader *r, const struct mf_table *t, enum my_shape_check check, bool with_position,
                  struct mf_error *err);
int my_work_end(struct my_reader *r, struct mf_error *err);
void my_work_abort(struct my_reader *r); /* after an error; also with rows on their way */
/* Names the table, and says what its errors mean here. Returns -1. */
int my_read_failed(struct my_reader *r, const struct mf_table *t, struct mf_error *err);

/* " FROM `s`.`t` FORCE INDEX (…)": by the index of the key. Inside a piece of work. */
int my_put_indexed(struct my_reader *r, struct mf_buf *b, const struct mf_table *t, struct mf_error *err);
/* " FROM `s`.`t` FORCE INDEX (…) WHERE …": the rows of the chunk; a whole table in the order of its primary key. Inside a piece of work. */
int my_put_from(struct my_reader *r, struct mf_buf *b, const struct mf_table *t, const struct mf_chunk *c,
                struct mf_error *err);
/* r->index for the table. */
int my_find_index(struct my_reader *r, const struct mf_table *t, struct mf_error *err);

/* rows.c */
/* "a, b + 0": the columns that travel as they are read, and where texts may not be readable whole one column more. */
void my_put_columns(struct my_reader *r, struct mf_buf *b, const struct mf_table *t);
/* Sends a query whose rows are then fetched one by one. */
int my_rows_start(struct my_reader *r, struct mf_buf *sql, struct mf_error *err);
/* *ret NULL: the end, and the server said that it was. */
int my_rows_fetch(struct my_reader *r, MYSQL_ROW *ret, unsigned long **ret_lengths, struct mf_error *err);
/* A row of my_put_columns is what the server has; MF_FATAL code MFCHARSET when it is not. */
int my_row_whole(const struct my_reader *r, MYSQL_ROW row, const struct mf_table *t, struct mf_error *err);
/* One of these character sets has characters that no Unicode text has; the server would give a question mark in their place. */
bool my_charset_lossy(const char *charset);

#endif
