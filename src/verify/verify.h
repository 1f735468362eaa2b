/* verify: the two sides are equal at one position, proven chunk by chunk while both change.
 *
 * Round: snapshot of the origin at exact position P; apply stops exactly at P; snapshot of the replica; apply goes on. Workers compare digests
 * of the same key range in both snapshots; ranges that differ are split until the rows are found; rows found by digest are confirmed by key on
 * both sides (a collation that orders differently cannot make a false difference or hide a true one). After snapshot_ms a new round with new
 * snapshots goes on with the chunks left. Chunks done are recorded: a stopped verification resumes.
 *
 * Where a side's rows have no order that the other knows (mf_connector.reads_unordered) both are read whole, each in its own order, and joined
 * by key (join.c). Table by table: one that was stopped is begun again. */
#ifndef MF_VERIFY_VERIFY_H
#define MF_VERIFY_VERIFY_H

#include "pipeline/pipe.h"

struct mf_verify;

struct mf_verify_options {
    struct mf_pipe *pipe; /* the direction in use: forward before the cutover, reverse after it */
    struct mf_state *state;
    struct mf_map *map;
    const struct mf_catalog *tables; /* the origin's */
    const char *table;               /* schema.name, or NULL for all */
    double sample;                   /* 0 < sample <= 1: share of chunks compared; joined: of rows, by key */
    bool repair; /* write the origin's rows over the replica's differing ones, then compare them again */
    int64_t snapshot_ms, chunk_rows;
    const char *dir;       /* for a file of what is to be joined; NULL: memory alone */
    uint64_t memory, disk; /* bytes of it; 0: the defaults of the configuration */
    int jobs;              /* worker threads that will call mf_verify_step; 0: as many as may */
    int64_t not_before_us; /* wall clock: an unfinished verification that began earlier is not resumed; 0: any is */
    bool writers_held;     /* nobody writes: snapshots of now are exact (cutover's last look) */
    /* The origin takes writes and has neither a stream nor snapshots: what differs is carried to the replica, which nobody else writes to
     * (docs/internals/passes.md). With repair; nothing of it is kept in the state. A row that the replica refuses goes to its quarantine. */
    bool pass;
    int max_deletes; /* pass: per cent of a table's rows on the replica; one that would delete more writes nothing (MFEMPTIED). 0, 100: no bound */
};

int mf_verify_new(const struct mf_verify_options *o, struct mf_verify **ret, struct mf_error *err);
/* One piece of the shared work; any of several worker threads (or the simulation) may call it. One worker index per thread, 0 <= worker < 16. */
enum mf_step mf_verify_step(struct mf_verify *v, int worker, struct mf_error *err);
void mf_verify_stop(struct mf_verify *v); /* asks the workers to return DONE soon; progress is kept */
void mf_verify_free(struct mf_verify *v); /* after the workers; lets apply go if it holds it */

struct mf_verify_stats {
    int64_t rows_compared, rows_differing, rows_repaired;
    int64_t rows_quarantined;       /* of those that differ: they are in the quarantine */
    int64_t rows_quarantined_equal; /* of those: known from the quarantine alone, equal otherwise */
    int64_t rows_read;              /* joined: of both sides, of the table at hand too */
    int64_t rows_refused;           /* pass: differ, and were put in quarantine by it */
    char refusal[400];              /* the first of them: table and reason */
    char first[400];                /* pass: the first row that differed: table, key and how */
    int64_t rows_left;              /* at the end: differ, and were neither repaired nor refused */
    char left
        [400]; /* pass: the first that could not be carried, as in refusal. Empty: there are only more than it remembers */
    int32_t tables, tables_equal, tables_differing, tables_left;
    bool finished;
};
/* Joined, of documents: how many rows of one of their tables the origin's side and the replica's had, or would have made, as each was read. Tables of documents that
 * an earlier run compared are left out. Any thread. */
typedef int mf_verify_part_sink(void *ctx, const struct mf_table *shown, const char *table, int64_t origin,
                                int64_t replica);
int mf_verify_parts(struct mf_verify *v, mf_verify_part_sink *emit, void *ctx);
void mf_verify_stats(struct mf_verify *v, struct mf_verify_stats *ret); /* any thread */

#endif
