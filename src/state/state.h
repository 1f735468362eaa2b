/* What midflight remembers between runs, in one SQLite file: journal, phase, chunk plan, epochs seen, verification.
 *
 * It is never the truth about data: how far the target is stands in the target (checkpoint, chunks), who may write stands in both
 * databases (epoch). But a migration cannot go on without it and the spool beside it: what was acknowledged to the source is kept
 * in that spool alone. So the databases name the directory a migration belongs to (migration/owner.c). Any thread; one mutex inside; every call is durable when it returns
 * (except where said). A directory is used by one run at a time (lock file). */
#ifndef MF_STATE_STATE_H
#define MF_STATE_STATE_H

#include "base/error.h"
#include "connector/types.h"

struct mf_state;

/* dir NULL: in memory, for the simulation (it survives a simulated crash because the handle does). MF_FATAL code MFSTATE when the file is
 * damaged or from a newer midflight, with what to do. */
int mf_state_open(const char *dir, struct mf_state **ret, struct mf_error *err);
void mf_state_close(struct mf_state *s);
/* Takes the directory for this run. MF_USAGE code MFLOCKED naming the pid when another has it. Released by close or death. */
int mf_state_lock(struct mf_state *s, struct mf_error *err);

/* Small facts. get: out is untouched and *found false when there is none. Numbers are stored as text. */
int mf_state_set(struct mf_state *s, const char *key, const char *value, struct mf_error *err);
int mf_state_get(struct mf_state *s, const char *key, char *out, size_t n, bool *found, struct mf_error *err);
int mf_state_set_int(struct mf_state *s, const char *key, int64_t v, struct mf_error *err);
int64_t mf_state_int(struct mf_state *s, const char *key, int64_t otherwise);
/* Several facts, all of them or none. */
struct mf_fact {
    const char *key, *value;
};
int mf_state_set_all(struct mf_state *s, const struct mf_fact *facts, size_t n, struct mf_error *err);
int mf_state_set_position(struct mf_state *s, const char *key, const struct mf_position *p, struct mf_error *err);
int mf_state_position(struct mf_state *s, const char *key, struct mf_position *ret, bool *found, struct mf_error *err);

/* Journal: what a machine is about to do, before it does it. */
int mf_journal_add(struct mf_state *s, const char *machine, const char *step, const char *detail, struct mf_error *err);
/* When a step of a machine was last journalled; 0: never. */
int64_t mf_journal_time(struct mf_state *s, const char *machine, const char *step);
/* A machine's entries, oldest first. The sink must not call the state. */
typedef int mf_journal_sink(void *ctx, int64_t wall_us, const char *step, const char *detail);
int mf_journal_list(struct mf_state *s, const char *machine, mf_journal_sink *emit, void *ctx, struct mf_error *err);

/* Tables as first planned: their shape is what the stream must keep to. */
struct mf_table_state {
    uint32_t table_id;
    char schema[128], name[128];
    uint64_t shape;
    int64_t rows_total, rows_done, bytes_total;
    int32_t chunks_total, chunks_done;
    bool planned;                /* its chunk plan is whole */
    struct mf_position exact_at; /* keyless: copied exactly at this position (order 0: not) */
    char note[64];               /* waiting | copying | copied | live */
};
int mf_state_table_put(struct mf_state *s, const struct mf_table_state *t, struct mf_error *err);
/* All of them or none: half a plan would be taken for the whole one. */
int mf_state_tables_put(struct mf_state *s, const struct mf_table_state *t, size_t n, struct mf_error *err);
int mf_state_table_shape(struct mf_state *s, uint32_t table_id, uint64_t shape, struct mf_error *err);
typedef int mf_table_state_sink(void *ctx, const struct mf_table_state *t);
int mf_state_tables(struct mf_state *s, mf_table_state_sink *emit, void *ctx, struct mf_error *err);

/* Chunk plan of a table, replaced as a whole in one transaction (begin, put…, end). */
int mf_state_chunks_begin(struct mf_state *s, uint32_t table_id, struct mf_error *err);
int mf_state_chunk_put(struct mf_state *s, const struct mf_chunk *c, struct mf_error *err);
int mf_state_chunks_end(struct mf_state *s, struct mf_error *err);
void mf_state_chunks_cancel(struct mf_state *s); /* instead of end, after an error that was not put's */
int mf_state_chunks(struct mf_state *s, uint32_t table_id, mf_chunk_sink *emit, void *ctx, struct mf_error *err);

/* Epochs as a stream showed them (durable before the stream is acknowledged past them). */
int mf_state_epoch_add(struct mf_state *s, enum mf_direction d, const struct mf_position *at, const char *writer,
                       struct mf_error *err);
/* The writer as of `at` according to that stream; "source" when nothing was seen. */
int mf_state_writer_at(struct mf_state *s, enum mf_direction d, const struct mf_position *at, char *ret, size_t n,
                       struct mf_error *err);

struct mf_told_row {
    const char *table, *key, *what;
};
/* A transaction of `total` changes seen on the side that may not write; n of them are named. 1,000 kept; the count is exact, and the same
 * transaction told again (in the order of positions) is not counted again. */
int mf_state_wrong_side(struct mf_state *s, enum mf_direction d, const struct mf_position *at,
                        const struct mf_told_row *rows, size_t n, uint64_t total, struct mf_error *err);
int64_t mf_state_wrong_side_count(struct mf_state *s);
int64_t mf_state_wrong_side_last(struct mf_state *s); /* wall clock; 0: none */
/* When somebody else was last seen to have written to that side while it followed: on the wrong side, or by rows that had come apart.
 * Wall clock; 0: never. */
int64_t mf_state_foreign_last(struct mf_state *s, enum mf_side side);

/* Rows of the replica that were not as they must be and were mended; n of `total` are named. 1,000 kept; each is counted once. */
int mf_state_diverged(struct mf_state *s, enum mf_direction d, const struct mf_position *at,
                      const struct mf_told_row *rows, size_t n, uint64_t total, struct mf_error *err);
void mf_state_diverged_summary(struct mf_state *s, int64_t *ret_rows,
                               int64_t *ret_last_us); /* last: wall clock; 0 none */
/* Those named after the seq-th, 100 at most. The sink must not call the state. */
typedef void mf_diverged_sink(void *ctx, int64_t seq, enum mf_direction d, const char *table, const char *key,
                              const char *what);
int mf_state_diverged_since(struct mf_state *s, int64_t seq, mf_diverged_sink *emit, void *ctx, struct mf_error *err);

/* Verification. A run is resumed while unfinished: finished tables are not compared again. `what` names what it compares; one
 * that compares everything begins with a direction and MF_VERIFY_ALL. */
#define MF_VERIFY_ALL "* sample=1"
struct mf_verify_table {
    char schema[128], name[128];
    int64_t rows, differing;
    bool finished;
    int32_t chunks_done; /* of the plan, in order: where to resume */
};
/* not_before_us: an unfinished run that began earlier (wall clock) is forgotten, not resumed. */
int mf_state_verify_begin(struct mf_state *s, const char *what, int64_t not_before_us, int64_t *ret_run,
                          bool *ret_resumed, struct mf_error *err);
/* mf_state_chunks_begin for the plan of a verification: in the same transaction the progress of every unfinished run on this table
 * is forgotten, because it counts chunks of the plan that is replaced. */
int mf_state_verify_plan_begin(struct mf_state *s, uint32_t plan_id, const char *schema, const char *name,
                               struct mf_error *err);
int mf_state_verify_put(struct mf_state *s, int64_t run, const struct mf_verify_table *t, struct mf_error *err);
int mf_state_verify_get(struct mf_state *s, int64_t run, const char *schema, const char *name,
                        struct mf_verify_table *ret, bool *found, struct mf_error *err);
int mf_state_verify_difference(
    struct mf_state *s, int64_t run, const char *table, const char *key, const char *kind, const char *where,
    struct mf_error *
        err); /* kind: missing | extra | differs | quarantined | repaired; where: in which columns or paths, NULL; 10,000 kept */
/* What was told of that table in this run: it is compared again. */
/* How many of a kind are listed. */
int mf_state_verify_listed(struct mf_state *s, int64_t run, const char *table, const char *kind, int64_t *ret,
                           struct mf_error *err);
int mf_state_verify_forget(struct mf_state *s, int64_t run, const char *table, struct mf_error *err);
/* A full run that found (or made) both sides equal settles the writes on the wrong side that were seen before it began. */
int mf_state_verify_end(struct mf_state *s, int64_t run, int64_t rows, int64_t differing, struct mf_error *err);
typedef int mf_difference_sink(void *ctx, const char *table, const char *key, const char *kind, const char *where);
int mf_state_verify_differences(struct mf_state *s, int64_t run, mf_difference_sink *emit, void *ctx,
                                struct mf_error *err);
struct mf_verify_summary {
    int64_t run, rows, differing, tables_equal, tables_differing, started_us, finished_us; /* finished 0: not */
    double sample;   /* the share that it compares */
    char table[300]; /* which; "": every one */
};
int mf_state_verify_last(struct mf_state *s, struct mf_verify_summary *ret, bool *found, struct mf_error *err);
/* The last finished run of that direction ("forward" or "reverse") over every row of every table, with or without repair. *ret_differing:
 * what it and the partial ones after it found that was not repaired. */
int mf_state_verify_last_full(struct mf_state *s, const char *direction, struct mf_verify_summary *ret,
                              int64_t *ret_differing, bool *found, struct mf_error *err);
/* A verification of all began after that moment and found both sides equal. */
int mf_state_proven_since(struct mf_state *s, int64_t wall_us, bool *ret, struct mf_error *err);

#endif
