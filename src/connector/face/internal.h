/* What the files of this folder share. */
#ifndef MF_CONNECTOR_FACE_INTERNAL_H
#define MF_CONNECTOR_FACE_INTERNAL_H

#include "base/cleanup.h"
#include "connector/face/face.h"

#define FACE_ROW_BYTES   ((size_t)4 << 30)   /* of one row, as it is and translated */
#define FACE_SHAPE_BYTES ((size_t)64 << 20)  /* of one table's shape */
#define FACE_TABLE_BYTES ((size_t)512 << 20) /* of all of a database */

struct face_db {
    struct mf_db base;
    struct mf_connector connector; /* ours: the real one's facts, the face's operations */
    struct mf_db *own;
    const struct mf_canon_ops *canon;
    char own_schema[128],
        shown_schema[128]; /* the first is shown as the second, and the other way round; "" and "": all as they are */
};

static inline struct face_db *face_of(struct mf_db *db)
{
    return (struct face_db *)db;
}
int face_no_memory(struct mf_error *err, const char *what);

/* ---- names.c ---- */
const char *face_shown_schema(const struct face_db *f, const char *own);
const char *face_own_schema(const struct face_db *f, const char *shown);
/* MF_FATAL MFNAMES when a table of the source cannot have its name here. */
int face_name_usable(const struct face_db *f, const char *shown_schema, const char *name, struct mf_error *err);
/* A table of ours: passes as it is, both ways. */
bool face_is_book(const char *schema);

/* ---- tables.c: pure but for face_catalog_read ---- */
/* NULL: the arena is full, or (err says so) a column is not one that a face has shown. */
struct mf_table *face_table_own(const struct face_db *f, struct mf_arena *arena, const struct mf_table *shown,
                                struct mf_error *err);
int face_catalog_own(const struct face_db *f, const struct mf_catalog *shown, struct mf_catalog *ret,
                     struct mf_error *err);
enum face_figures { FACE_CATALOG, FACE_SHAPES };
int face_catalog_read(struct face_db *f, enum face_figures what, const struct mf_filter *filter, struct mf_catalog *ret,
                      struct mf_error *err);

/* ---- values.c: pure ---- */
/* types[i] is that of value i; NULL: it passes as it is. */
typedef const struct mf_type *face_types;
/* A row of the real database in canonical form. A value that has none is MF_REFUSED. */
int face_row_shown(const struct face_db *f, const struct mf_table *shown, struct mf_arena *arena,
                   const struct mf_row *own, struct mf_row *ret, struct mf_error *err);
/* The other way. refuse: what there is not is MF_REFUSED; else it is an MF_ROW error that names the column. */
int face_row_own(const struct face_db *f, const struct mf_table *shown, struct mf_arena *arena, bool refuse,
                 const struct mf_row *row, struct mf_row *ret, struct mf_error *err);
/* One value, the same: name is the column's, for messages. */
int face_value_own(const struct face_db *f, const struct mf_type *t, const char *name, struct mf_arena *arena,
                   bool refuse, const struct mf_value *v, struct mf_value *ret, struct mf_error *err);
/* ret->named for a row of `own` values that `row` has become. */
int face_name_row(const struct mf_table *shown, struct mf_arena *arena, const struct mf_row *row, struct mf_row *ret,
                  struct mf_error *err);

/* ---- bounds.c ---- */
/* own: the real table of the same shape. *ret_fits false: this bound has no canonical form (or is too long for one). */
int face_bound_shown(const struct face_db *f, const struct mf_table *shown, const struct mf_table *own,
                     const char *bound, char *ret, bool *ret_fits, struct mf_error *err);
/* *ret_fits false: there is no such key here. */
int face_bound_own(const struct face_db *f, const struct mf_table *shown, const struct mf_table *own, const char *bound,
                   char *ret, bool *ret_fits, struct mf_error *err);

/* ---- read.c ---- */
struct face_reader {
    struct mf_reader base;
    struct mf_reader *own;
    struct mf_arena tables; /* of one operation */
    struct mf_arena row;    /* of one row */
};
/* The chunk for the real database. exact: a bound that there is not here is MF_FATAL MFCHUNK; else the chunk is open on that side. */
int face_chunk_own(struct face_reader *r, const struct mf_table *shown, const struct mf_table *own,
                   const struct mf_chunk *c, bool exact, struct mf_chunk *ret, struct mf_error *err);
int face_digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                struct mf_error *err);
int face_digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                     void *ctx, struct mf_error *err);
/* The rows of a chunk in canonical form, whatever its bounds are here. */
int face_chunk_each(struct face_reader *r, const struct mf_table *t, const struct mf_chunk *c, bool exact,
                    mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err);

int face_snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                       struct mf_error *err);
int face_snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err);
void face_snapshot_close(struct mf_snapshot *s);
int face_reader_open(struct mf_db *db, const struct mf_snapshot *s, struct mf_reader **ret, struct mf_error *err);
void face_reader_close(struct mf_reader *r);
int face_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err);
int face_chunk_plan(struct mf_reader *r, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                    mf_chunk_sink *emit, void *ctx, struct mf_error *err);
int face_chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err);
int face_chunk_read(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err);
int face_chunk_close(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err);
int face_chunk_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                    void *ctx, struct mf_position *ret_after, struct mf_error *err);
int face_read_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n,
                   mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err);
int face_chunk_split(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, int n,
                     mf_chunk_sink *emit, void *ctx, struct mf_error *err);

/* ---- stream.c ---- */
int face_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                     struct mf_stream **ret, struct mf_error *err);
int face_stream_confirm(struct mf_stream *st, const struct mf_position *upto, struct mf_error *err);
void face_stream_wake(struct mf_stream *st);
int face_stream_leave(struct mf_stream *st, struct mf_error *err);
int face_stream_next(struct mf_stream *st, int timeout_ms, struct mf_item *ret, struct mf_error *err);
int face_stream_ack(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err);
void face_stream_close(struct mf_stream *st);

/* ---- load.c ---- */
int face_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err);
void face_loader_close(struct mf_loader *l);
int face_load_begin(struct mf_loader *l, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                    struct mf_error *err);
int face_load_data(struct mf_loader *l, const void *data, size_t len, struct mf_error *err);
int face_load_row(struct mf_loader *l, const struct mf_row *row, struct mf_error *err);
int face_load_rows(struct mf_loader *l, const struct mf_row *rows, size_t n, struct mf_error *err);
int face_load_applier(struct mf_loader *l, struct mf_applier **ret, struct mf_error *err);
int face_load_quarantine(struct mf_loader *l, const struct mf_quarantined *q, struct mf_error *err);
int face_load_commit(struct mf_loader *l, const struct mf_chunk_done *done, struct mf_error *err);
void face_load_abort(struct mf_loader *l);
int face_chunks_done(struct mf_db *db, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                     struct mf_error *err);
int face_table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err);
int face_table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err);

/* ---- apply.c ---- */
int face_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err);
void face_applier_close(struct mf_applier *a);
int face_window_begin(struct mf_applier *a, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                      struct mf_error *err);
int face_window_batch(struct mf_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                      struct mf_error *err);
int face_window_cascade(struct mf_applier *a, const struct mf_table *t, const uint16_t *columns, uint16_t n,
                        const struct mf_row *was, size_t nwas, const struct mf_row *now, int64_t stamp,
                        mf_row_sink *emit, void *ctx, bool *ret_more, struct mf_error *err);
int face_window_mark(struct mf_applier *a, struct mf_error *err);
int face_window_settle(struct mf_applier *a, struct mf_error *err);
int face_window_back(struct mf_applier *a, struct mf_error *err);
int face_quarantine_put(struct mf_applier *a, const struct mf_table *t, const struct mf_row *key,
                        const struct mf_quarantined *q, struct mf_window_result *result, struct mf_error *err);
int face_quarantine_clear(struct mf_applier *a, const struct mf_table *t, const struct mf_row *const *keys, size_t n,
                          uint64_t *ret_had, struct mf_error *err);
int face_window_commit(struct mf_applier *a, struct mf_error *err);
void face_window_abort(struct mf_applier *a);
int face_repair_rows(struct mf_applier *a, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                     const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err);

/* ---- schema.c ---- */
int face_describe(struct mf_db *db, const struct mf_catalog *shown, struct mf_schema *ret, struct mf_error *err);
int face_check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                      struct mf_error *err);
int face_schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                      struct mf_error *err);
int face_schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                     struct mf_error *err);
int face_schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t, const struct mf_column *c,
                           int64_t stamp, struct mf_error *err);

/* ---- traffic.c ---- */
extern const struct mf_traffic_ops face_traffic_ops;

#endif
