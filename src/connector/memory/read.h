/* Reading: the objects that read.c, chunk.c and source.c share. Every function is called with mem_lock held. */
#ifndef MF_CONNECTOR_MEMORY_READ_H
#define MF_CONNECTOR_MEMORY_READ_H

#include "connector/memory/internal.h"

struct held_table {
    struct mem_table *table;
    struct mem_shape *shape;
    struct mem_rows *rows;
};

struct mem_snapshot {
    struct mf_snapshot base;
    struct mem_conn conn;
    size_t n;
    struct held_table tables[MEM_MAX_TABLES];
};

struct mem_reader {
    struct mf_reader base;
    struct mem_conn conn;
    bool in_snapshot;
    size_t n;
    struct held_table tables[MEM_MAX_TABLES];
    /* the chunk that is open */
    bool open, ended;
    struct mf_table shape;
    struct mem_shape *chunk_shape;
    struct mem_row **rows;
    size_t nrows, at;
    struct mf_buf wire;
};

/* The table as this reader sees it, looked up by name: t may be the other side's. */
int mem_look(struct mem_reader *r, const struct mf_table *t, struct held_table *ret, struct mf_error *err);
/* exact: and no other columns. */
/* exact: and no other columns. */
int mem_same_shape(const struct mem_shape *shape, const struct mf_table *t, bool exact, struct mf_error *err);
/* The rows of a chunk, by key where there is one; free() the list, the rows are not referenced. */
int mem_rows_of(struct mem_reader *r, const struct held_table *h, const struct mf_chunk *c, struct mem_row ***ret,
                size_t *ret_n, struct mf_error *err);
void mem_chunk_end(struct mem_reader *r);

/* operations */
int mem_snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                      struct mf_error *err);
int mem_snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err);
void mem_snapshot_close(struct mf_snapshot *s);
int mem_reader_open(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret, struct mf_error *err);
void mem_reader_close(struct mf_reader *r);
int mem_chunk_plan(struct mf_reader *r, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                   mf_chunk_sink *emit, void *ctx, struct mf_error *err);
int mem_chunk_split(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, int n, mf_chunk_sink *emit,
                    void *ctx, struct mf_error *err);
int mem_chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err);
int mem_chunk_read(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err);
int mem_chunk_close(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err);
int mem_chunk_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                   void *ctx, struct mf_position *ret_after, struct mf_error *err);
int mem_read_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n, mf_row_sink *emit,
                  void *ctx, struct mf_position *ret_after, struct mf_error *err);
int mem_digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
               struct mf_error *err);
int mem_digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                    void *ctx, struct mf_error *err);

#endif
