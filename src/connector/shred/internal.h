/* What the files of this folder share. */
#ifndef MF_CONNECTOR_SHRED_INTERNAL_H
#define MF_CONNECTOR_SHRED_INTERNAL_H

#include "base/cleanup.h"
#include "connector/shred/shred.h"

#define DOCS_ROW_BYTES   ((size_t)4 << 30) /* of the rows of one document, as many times as they are held at once */
#define DOCS_GROUP_BYTES ((size_t)1 << 30) /* of the rows of documents that are written together, with those they had */
#define DOCS_PAGE_BYTES  ((size_t)64 << 20)  /* of the rows of several documents that are read together */
#define DOCS_KEY_BYTES   ((size_t)512 << 20) /* of the keys of a chunk */
#define DOCS_TABLE_BYTES ((size_t)256 << 20) /* of all shapes of a database */
#define DOCS_PAGE        200                 /* documents read, or written, together */
#define DOCS_GIVE_BYTES  ((size_t)1 << 20)   /* or of so many bytes */

struct docs_db {
    struct mf_db base;
    struct mf_connector connector; /* ours: what is behind, with these operations */
    struct mf_source_ops source;
    struct mf_target_ops target;
    struct mf_traffic_ops traffic;
    struct mf_db *own;
    const struct mf_shred *map;
    char *schema,
        *own_schema; /* the one that a name without one means here: as it is shown, as the map calls it; "": none */
    bool keep_old;
};

static inline struct docs_db *docs_of(struct mf_db *db)
{
    return (struct docs_db *)db;
}
static inline const struct mf_source_ops *docs_source(const struct docs_db *s)
{
    return s->own->connector->source;
}
static inline const struct mf_target_ops *docs_target(const struct docs_db *s)
{
    return s->own->connector->target;
}
int docs_no_memory(struct mf_error *err, const char *what);

/* ---- tables.c: the collections shown, and the tables behind them ---- */
/* A collection with the tables that are there now. */
struct docs_real {
    const struct mf_shred_collection *of;
    const struct mf_table *shown;    /* as a collection */
    bool there;                      /* all of its tables are */
    const char *missing;             /* else the name of one that is not */
    const struct mf_table **full;    /* one for each of of->tables, as what is behind shows it */
    const struct mf_table **tables;  /* with the map's columns alone, in its order */
    const struct mf_table **by_root; /* the same, with the columns of the document's key as the key */
    const struct mf_table *keys;     /* the root with the columns of its key alone */
};
/* All of the map, as the catalogue had them at one time. One thread's. */
struct docs_reals {
    struct mf_arena arena;
    bool read;
    size_t n;
    struct docs_real *of;
};
enum docs_figures { DOCS_CATALOG, DOCS_SHAPES };
/* MF_FATAL MFSHAPE, naming the column, where a table has one that is not what the map says. */
int docs_reals_read(struct docs_db *s, enum docs_figures what, struct docs_reals *ret, struct mf_error *err);
void docs_reals_free(struct docs_reals *r);
/* The collection that t is, with its tables; they are read when they are not yet. MF_FATAL MFSHAPE where one of them is not there. */
int docs_real_of(struct docs_db *s, struct docs_reals *r, const struct mf_table *t, const struct docs_real **ret,
                 struct mf_error *err);
int docs_catalog_read(struct docs_db *s, enum docs_figures what, const struct mf_filter *filter, struct mf_catalog *ret,
                      struct mf_error *err);
/* The real tables of those collections. */
int docs_catalog_own(struct docs_db *s, const struct mf_catalog *shown, struct mf_catalog *ret, struct mf_error *err);

/* ---- parts.c: how many rows of each table ---- */
struct docs_parts {
    const struct mf_shred_collection *of; /* NULL: of none */
    int64_t *rows;                        /* of each of its tables */
};
void docs_parts_begin(struct docs_parts *p, const struct mf_shred_collection *of);
void docs_parts_add(struct docs_parts *p, const struct mf_shred_rows *rows); /* of one document */
int docs_parts_emit(const struct docs_parts *p, mf_part_sink *emit, void *ctx, struct mf_error *err);
void docs_parts_free(struct docs_parts *p);

/* ---- keys.c: pure; rows by some of their columns ---- */
/* Open addressing, a power of two, at most half full. */
struct docs_keys {
    const uint16_t *columns;
    uint16_t n;
    const struct mf_row *rows; /* the caller's */
    uint32_t *slots;           /* number of the row plus one; 0: free */
    size_t cap;
};
int docs_keys_init(struct docs_keys *k, struct mf_arena *arena, const uint16_t *columns, uint16_t n,
                   const struct mf_row *rows, size_t nrows, struct mf_error *err);
/* The slot of the row that has in its columns what this row has in `columns`, or the free one where it would be. */
uint32_t *docs_keys_find(const struct docs_keys *k, const struct mf_row *row, const uint16_t *columns);
bool docs_same(const struct mf_row *a, const struct mf_row *b); /* all values */

/* ---- odd.c: rows whose key is no id ---- */
/* What names such a row in place of an id; of the root's row only the key is looked at. */
int docs_odd_id(const struct docs_real *c, struct mf_arena *arena, const struct mf_row *root, struct mf_value *ret,
                struct mf_error *err);
/* The key as a row of tables[0], of an id (mf_shred_key_row) or of such a name. */
int docs_key_row(const struct docs_real *c, struct mf_arena *arena, const struct mf_value *id, struct mf_row *ret,
                 struct mf_error *err);

/* ---- fetch.c: documents as rows, by their keys ---- */
/* n documents: their keys as rows of tables[0], and what there is of each. */
struct docs_docs {
    size_t n;
    const struct mf_row *keys;
    struct mf_shred_rows *rows; /* of[0].n is 0: it is not there */
};
/* Rows in the arena. MF_ABANDONED MFMANY: they are larger than the arena. ret_after (may be NULL): not before any commit that was seen. */
int docs_fetch(struct mf_reader *own, const struct docs_real *c, struct mf_arena *arena, const struct mf_row *keys,
               size_t n, struct docs_docs *ret, struct mf_position *ret_after, struct mf_error *err);
/* Each key's document in turn, read a page at a time: `rows` as above. */
typedef int docs_doc_sink(void *ctx, const struct mf_row *key, const struct mf_shred_rows *rows, struct mf_error *err);
int docs_fetch_each(struct mf_reader *own, const struct docs_real *c, const struct mf_row *keys, size_t n,
                    docs_doc_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err);
/* The collection's row of a document: its id and its normal form, which is MF_REFUSED where the rows are no document's. made: or are not in all as they were made. */
int docs_shown_row(const struct docs_real *c, struct mf_arena *arena, const struct mf_shred_rows *rows, bool made,
                   struct mf_row *ret, struct mf_error *err);

/* ---- put.c: documents into an applier ---- */
/* What is to become of one document. */
struct docs_change {
    const struct mf_row *key;        /* of the collection: its id */
    const struct mf_value *doc;      /* NULL: it goes */
    struct mf_row root;              /* its key as a row of tables[0]; n == 0: no row here can have it */
    struct mf_shred_rows rows;       /* as it is to be */
    const struct mf_shred_rows *was; /* as it is; NULL: it is not there */
};
/* The rows of the document (none where it goes) and its key. MF_ROW: refused. */
int docs_change_make(const struct docs_real *c, struct mf_arena *arena, const struct mf_row *key,
                     const struct mf_value *doc, struct docs_change *ret, struct mf_error *err);
/* The differences, as a batch of the collection's tables: rows that go, children first; then rows that come or change, parents first. Several changes are of
 * different documents. */
int docs_diff(const struct docs_real *c, struct mf_arena *arena, const struct docs_change *changes, size_t n,
              struct mf_batch *ret, struct mf_error *err);
/* The document as it is kept in the quarantine. */
void docs_put_shown(struct mf_buf *b, const struct mf_value *doc);
/* Why it was refused: all that the map says against it, where it was the map; else the error's text. */
void docs_put_reason(struct mf_buf *b, const struct docs_real *c, struct mf_arena *arena, const struct mf_value *doc,
                     const struct mf_error *why);
/* A MF_ROW error for a document's value that is none. */
int docs_refused_value(const struct mf_value *v, struct mf_error *err);

/* ---- read.c ---- */
int docs_snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                       struct mf_error *err);
int docs_snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err);
int docs_reader_open(struct mf_db *db, const struct mf_snapshot *s, struct mf_reader **ret, struct mf_error *err);
void docs_reader_close(struct mf_reader *r);
int docs_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err);
int docs_chunk_plan(struct mf_reader *r, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                    mf_chunk_sink *emit, void *ctx, struct mf_error *err);
int docs_chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err);
int docs_chunk_read(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err);
int docs_chunk_close(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err);
int docs_chunk_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                    void *ctx, struct mf_position *ret_after, struct mf_error *err);
int docs_read_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n,
                   mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err);
int docs_digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                struct mf_error *err);
int docs_parts_of(struct mf_reader *r, mf_part_sink *emit, void *ctx, struct mf_error *err);
int docs_digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                     void *ctx, struct mf_error *err);
int docs_chunk_split(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, int n,
                     mf_chunk_sink *emit, void *ctx, struct mf_error *err);

/* ---- load.c ---- */
int docs_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err);
void docs_loader_close(struct mf_loader *l);
int docs_load_begin(struct mf_loader *l, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                    struct mf_error *err);
int docs_load_data(struct mf_loader *l, const void *data, size_t len, struct mf_error *err);
int docs_load_row(struct mf_loader *l, const struct mf_row *row, struct mf_error *err);
int docs_load_rows(struct mf_loader *l, const struct mf_row *rows, size_t n, struct mf_error *err);
int docs_load_quarantine(struct mf_loader *l, const struct mf_quarantined *q, struct mf_error *err);
int docs_load_commit(struct mf_loader *l, const struct mf_chunk_done *done, struct mf_error *err);
void docs_load_abort(struct mf_loader *l);
int docs_table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err);

/* ---- apply.c, careful.c ---- */
int docs_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err);
void docs_applier_close(struct mf_applier *a);
int docs_window_begin(struct mf_applier *a, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                      struct mf_error *err);
int docs_window_batch(struct mf_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                      struct mf_error *err);
int docs_window_commit(struct mf_applier *a, struct mf_error *err);
void docs_window_abort(struct mf_applier *a);
int docs_repair_rows(struct mf_applier *a, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                     const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err);

/* ---- stream.c ---- */
int docs_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                     struct mf_stream **ret, struct mf_error *err);
int docs_stream_next(struct mf_stream *st, int timeout_ms, struct mf_item *ret, struct mf_error *err);
int docs_stream_ack(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err);
void docs_stream_wake(struct mf_stream *st);
int docs_stream_leave(struct mf_stream *st, struct mf_error *err);
void docs_stream_close(struct mf_stream *st);

/* ---- ends.c ---- */
/* Every operation on a database in own's tables, turned to s. */
void docs_fill_ops(struct docs_db *s);

/* ---- norm.c, norm_ends.c: the source's side ---- */
void docs_norm_ops(struct docs_db *s);
void docs_norm_ends(struct docs_db *s);

#endif
