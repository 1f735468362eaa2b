/* The loader's inside, shared by load.c and load_rows.c. One thread. */
#ifndef MF_CONNECTOR_POSTGRES_LOAD_H
#define MF_CONNECTOR_POSTGRES_LOAD_H

#include "connector/postgres/apply.h"

enum pg_load_state {
    PG_LOAD_IDLE,
    PG_LOAD_BEGUN,   /* nothing sent yet */
    PG_LOAD_COPYING, /* in a transaction, in COPY */
    PG_LOAD_LOADED,  /* in a transaction, COPY is over */
    PG_LOAD_SLOW,    /* rows as values, in a transaction of `slow` */
};

struct pg_loader {
    struct mf_loader base;
    struct pg_db *db;
    PGconn *conn;
    struct mf_pipe_id pipe;
    enum pg_load_state state;
    struct mf_arena arena;        /* of the chunk's table */
    const struct mf_table *table; /* the target's name, the source's columns */
    bool binary;
    const char *narrow;      /* a column that COPY could round or cut; NULL: none */
    int64_t copied;          /* rows COPY took; -1: not used */
    struct pg_applier *slow; /* made when first needed */
};

static inline struct pg_loader *pg_loader_of(struct mf_loader *l)
{
    return (struct pg_loader *)l;
}

int pg_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err);
void pg_loader_close(struct mf_loader *l);
int pg_load_begin(struct mf_loader *l, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                  struct mf_error *err);
int pg_load_data(struct mf_loader *l, const void *data, size_t len, struct mf_error *err);
int pg_load_row(struct mf_loader *l, const struct mf_row *row, struct mf_error *err);
int pg_load_rows(struct mf_loader *l, const struct mf_row *rows, size_t n, struct mf_error *err);
int pg_load_applier(struct mf_loader *l, struct mf_applier **ret, struct mf_error *err);
int pg_load_quarantine(struct mf_loader *l, const struct mf_quarantined *q, struct mf_error *err);
int pg_load_commit(struct mf_loader *l, const struct mf_chunk_done *done, struct mf_error *err);
void pg_load_abort(struct mf_loader *l);

/* load_rows.c */
/* The first column of the source that the target's cannot take in full without looking at each value; NULL: none. Points into
 * source. */
const char *pg_narrower(const struct mf_table *target, const struct mf_table *source);
int pg_table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err);
int pg_table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err);

#endif
