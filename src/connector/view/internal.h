/* What the files of this folder share. */
#ifndef MF_CONNECTOR_VIEW_INTERNAL_H
#define MF_CONNECTOR_VIEW_INTERNAL_H

#include <pthread.h>

#include "base/cleanup.h"
#include "connector/view/view.h"

#define VIEW_ROW_BYTES   ((size_t)4 << 30)   /* of the rows of one change, or read together */
#define VIEW_TABLE_BYTES ((size_t)512 << 20) /* of all shapes of a database */

struct view_db {
    struct mf_db base;
    struct mf_connector connector; /* ours: what is behind, with these operations */
    struct mf_source_ops source;
    struct mf_target_ops target;
    struct mf_traffic_ops traffic;
    struct mf_db *own;
    const struct mf_query_map *map;
    /* Transactions that the stream has told of and readers perhaps do not see yet. The stream's thread alone, from one stream to the next. */
    struct view_unseen {
        uint64_t *ids;
        size_t n, cap;
    } unseen;
    const struct mf_canon_ops *from, *to; /* of the source's engine, and of the target's */
};

static inline struct view_db *view_of(struct mf_db *db)
{
    return (struct view_db *)db;
}
static inline const struct mf_source_ops *view_own(const struct view_db *v)
{
    return v->own->connector->source;
}

int view_no_memory(struct mf_error *err, const char *what);
/* A table of ours: passes as it is. */
bool view_is_book(const char *schema);

/* ---- compile.c: pure ---- */
/* Whether `written` in the map means this table: "public.orders", or "orders" of whatever schema. */
bool view_is_named(const char *written, const struct mf_table *t);
/* Whether the entry is about this table. */
bool view_entry_of(const struct mf_query_table *q, const struct mf_table *base);
/* The query table of an entry as it is shown, its `made` filled, in the arena. base: with its key. all: where parents are looked for. whole: made->base is to have
 * all columns of base (rows of the stream), else those that are needed. -1: code MFMAP, with the line. */
struct view_compile {
    const struct mf_query_map *map;
    const struct mf_catalog *all;
    struct mf_arena *arena;
    bool whole;
    const struct mf_canon_ops *from, *to; /* of both engines; NULL: columns stay as they are */
};
int view_compile_entry(const struct view_compile *c, const struct mf_query_table *q, const struct mf_table *base,
                       struct mf_table *ret, struct mf_error *err);
/* MFMAP of this entry; class as given. Returns -1. */
int view_fail(const struct mf_query_map *map, size_t line, struct mf_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* "; did you mean \"x\"?" or "", into out. */
const char *view_nearest(const struct mf_table *t, const char *name, char *out, size_t n);

/* ---- tables.c ---- */
/* The catalogue as it is shown: every table of own that the map does not name, and the query tables. filter (may be NULL): by the names shown. */
int view_show_catalog(const struct view_db *v, const struct mf_catalog *own, const struct mf_filter *filter,
                      struct mf_catalog *ret, struct mf_error *err);
enum view_figures { VIEW_CATALOG, VIEW_SHAPES };
int view_catalog_read(struct view_db *v, enum view_figures what, const struct mf_filter *filter, struct mf_catalog *ret,
                      struct mf_error *err);
/* The tables behind those shown, each once; old_whole where one of its query tables, or a child, needs it. */
enum {
    VIEW_WHOLE_SETS =
        1, /* MFMAP when not all query tables of a table are there (the stream has them all), or a parent is not */
    VIEW_PARENTS = 2 /* with the tables whose columns are shown in others */
};
int view_catalog_own(const struct view_db *v, const struct mf_catalog *shown, unsigned what, struct mf_catalog *ret,
                     struct mf_error *err);
/* The key of the query table has more than that of its table, a parent is told by other columns than those, or its rows end. */
bool view_needs_old(const struct mf_table *shown);
/* The table that is asked for a shown one's rows. */
const struct mf_table *view_base(const struct mf_table *shown);

/* ---- project.c: pure ---- */
/* How rows of made->base become rows of t, whose columns are some of the query table's, in any order. */
struct view_rows {
    const struct mf_table *t;
    const struct mf_made *made;
    uint16_t *at; /* column i of t is made->columns[at[i]] */
};
int view_rows_of(struct mf_arena *arena, const struct mf_table *t, const struct mf_made *made, struct view_rows *ret,
                 struct mf_error *err);
/* A NULL in a key column is MF_REFUSED. parents: one row for each of made->parents, n == 0 where there is none; NULL: their columns are MF_UNCHANGED. */
int view_row(const struct view_rows *r, struct mf_arena *arena, const struct mf_row *base, const struct mf_row *parents,
             struct mf_row *ret, struct mf_error *err);
/* The key of the base's row that a key of t is of, as wide as the base. *ret_none: no row has it (a value that there is not, another constant). */
int view_base_key(const struct view_rows *r, struct mf_arena *arena, const struct mf_row *key, struct mf_row *ret,
                  bool *ret_none, struct mf_error *err);
/* end.c: the row is over. base: of made->base. */
bool view_ended(const struct mf_made *made, const struct mf_row *base);
/* The same, on the other side too: waits where its end is just now. *waited_us: of all rows read together, 0 at first; when VIEW_WAIT_US are used up, nobody waits any more. */
#define VIEW_WAIT_US (12 * 1000000)
bool view_ended_surely(const struct mf_made *made, const struct mf_row *base, int64_t *waited_us);
/* collect.c: the value of a column whose values are documents; MF_REFUSED where it is none. */
int view_collected(const struct mf_made_column *c, struct mf_arena *arena, struct mf_value *v, struct mf_error *err);
bool view_same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b);
/* A column of the base by which the query table t tells rows' keys or their parents. */
bool view_tells_place(const struct mf_table *t, const struct mf_made *m, uint16_t column);
/* The row's parents have to be looked up: what it has of them is not what it had. */
bool view_wants_parents(const struct view_rows *r, const struct mf_change *in);
/* What a change of a row of the base is to the query table: *ret_n is 0 (nothing of it changed) or 1. parents: of the new row, as in view_row; NULL unless they
 * are wanted. -1: MF_FATAL MFIMAGE, the stream did not say what it must. */
int view_change(const struct view_rows *r, struct mf_arena *arena, const struct mf_change *in,
                const struct mf_row *parents, struct mf_change *ret, int *ret_n, struct mf_error *err);

/* ---- keys.c: pure; rows by their keys ---- */
/* Open addressing, a power of two, at most half full. */
struct view_keys {
    const struct mf_table *t;
    const struct mf_row *rows; /* the caller's */
    uint32_t *slots;           /* number of the row plus one; 0: free */
    size_t cap;
};
int view_keys_init(struct view_keys *k, struct mf_arena *arena, const struct mf_table *t, const struct mf_row *rows,
                   size_t n, struct mf_error *err);
uint64_t view_key_hash(const struct mf_table *t, const struct mf_row *row);
/* The slot of the key, or the free one where it would be. */
uint32_t *view_keys_find(const struct view_keys *k, const struct mf_row *row);
/* Each key once, in its order; returns how many. The slots are used and lost. */
size_t view_keys_once(struct view_keys *k, struct mf_row *rows, size_t n);

/* ---- parents.c: rows that others refer to ---- */
/* Reads them: of what is committed, or of a snapshot. One thread's. */
struct view_look {
    struct mf_reader *reader; /* of what is behind */
    struct mf_position after; /* not before any commit that was seen */
};
/* The key of parent p of a row of made->base, as wide as that parent's table. False: it refers to none (a NULL). MF_FATAL MFIMAGE: the row does not say. */
int view_parent_key(struct mf_arena *arena, const struct mf_made *made, uint16_t p, const struct mf_row *base,
                    struct mf_row *ret, bool *ret_any, struct mf_error *err);
/* The parents of n rows of made->base, made->nparents for each row, one row's after the other's; without values where there is none. */
int view_parents_read(struct view_look *l, struct mf_arena *arena, const struct mf_made *made,
                      const struct mf_row *bases, size_t n, struct mf_row **ret, struct mf_error *err);
/* Sessions of what is behind for so many readers here. */
int view_sessions(const struct view_db *v, int readers);

/* ---- read.c ---- */
int view_reader_open(struct mf_db *db, const struct mf_snapshot *s, struct mf_reader **ret, struct mf_error *err);
void view_reader_close(struct mf_reader *r);
int view_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err);
int view_chunk_plan(struct mf_reader *r, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                    mf_chunk_sink *emit, void *ctx, struct mf_error *err);
int view_chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err);
int view_chunk_read(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err);
int view_chunk_close(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err);
int view_chunk_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                    void *ctx, struct mf_position *ret_after, struct mf_error *err);
int view_read_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n,
                   mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err);
int view_digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                struct mf_error *err);
int view_digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                     void *ctx, struct mf_error *err);
int view_chunk_split(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, int n,
                     mf_chunk_sink *emit, void *ctx, struct mf_error *err);

/* ---- check.c ---- */
int view_check(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err);

/* ---- stream.c ---- */
int view_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                     struct mf_stream **ret, struct mf_error *err);
int view_stream_next(struct mf_stream *st, int timeout_ms, struct mf_item *ret, struct mf_error *err);
int view_stream_ack(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err);
int view_stream_confirm(struct mf_stream *st, const struct mf_position *upto, struct mf_error *err);
void view_stream_wake(struct mf_stream *st);
int view_stream_leave(struct mf_stream *st, struct mf_error *err);
void view_stream_close(struct mf_stream *st);

/* ---- schema.c ---- */
int view_describe(struct mf_db *db, const struct mf_catalog *shown, struct mf_schema *ret, struct mf_error *err);

/* ---- ends.c ---- */
/* Every operation on a database in own's tables, turned to v. */
void view_fill_ops(struct view_db *v);

#endif
