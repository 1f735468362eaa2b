/* Rows of a chunk that are too large to be held in memory; see wide.c. Part of a reader: one thread. */
#ifndef MF_CONNECTOR_POSTGRES_WIDE_H
#define MF_CONNECTOR_POSTGRES_WIDE_H

#include "connector/postgres/connect.h"

#define PG_WIDE_ROW_BYTES (4 << 20) /* a row of more than this is read in slices */
#define PG_WIDE_TOAST_MIN (64 << 10)

struct pg_reader;

struct pg_wide {
    bool on; /* there are such rows: COPY leaves them out, and its trailer is kept back */
    bool binary;
    const struct mf_table *t;
    PGresult *rows;  /* their ctids */
    PGresult *sends; /* names of the functions that give the columns' wire form */
    int row;         /* the one being read */
    uint16_t column; /* of it; generated ones are passed over */
    bool querying;   /* slices of that column are coming */
    bool begun;      /* its first one has come */
    uint8_t kept[2]; /* the last bytes of COPY so far: at its end, the trailer */
    uint8_t nkept;
};

/* Looks for such rows in the chunk, inside its transaction. `range` is the chunk's WHERE clause, or "". */
int pg_wide_find(struct pg_reader *r, const struct mf_table *t, const char *range, struct mf_error *err);
/* Appends a condition that leaves them out; first: it begins the WHERE clause. */
void pg_wide_put_exclusion(struct mf_buf *b, const struct pg_wide *w, bool first);
/* Keeps the last two bytes of what was gathered back / puts those kept in front of what is gathered next. */
void pg_wide_keep(struct pg_wide *w, struct mf_buf *batch);
int pg_wide_take(struct pg_wide *w, struct mf_buf *batch);
/* After COPY's end: appends some of what they are to the batch; nothing when all is done. */
int pg_wide_read(struct pg_reader *r, struct mf_buf *batch, struct mf_error *err);
int64_t pg_wide_rows(const struct pg_wide *w);
void pg_wide_forget(struct pg_wide *w);

#endif
