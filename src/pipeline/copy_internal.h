#ifndef MF_PIPELINE_COPY_INTERNAL_H
#define MF_PIPELINE_COPY_INTERNAL_H

#include "pipeline/copy.h"

#include <pthread.h>

enum cp_chunk_state { CP_TODO, CP_TAKEN, CP_DONE };

/* A chunk of the plan, with its bounds as long as they are (struct mf_chunk has room for the longest). */
struct cp_chunk {
    uint32_t ordinal;
    int64_t rows_estimate;
    char *lower, *upper; /* NULL: none */
    bool by_heap;
    bool uncertain; /* its commit was sent and not answered: it may be in */
    enum cp_chunk_state state;
};

enum cp_table_state {
    CP_PLAN,     /* its chunks are not known */
    CP_PLANNING, /* a worker is at it */
    CP_COPY,
    CP_FINISH, /* all chunks are in; statistics are missing */
    CP_FINISHING,
    CP_COPIED,
};

struct cp_table {
    const struct mf_table *source; /* of the caller's catalogue */
    const struct mf_table *target; /* of the map */
    struct mf_table_state st;      /* as recorded */
    bool exact;                    /* keyless: read in the shared snapshot */
    bool reset;                    /* what the target has of it must go before it is planned */
    enum cp_table_state state;
    struct cp_chunk *chunks;
    uint32_t nchunks, next, done; /* next: none before it is TODO */
    int64_t rows, bytes;          /* done */
    int64_t recorded_us;
};

struct mf_copy {
    struct mf_copy_options o; /* constant */
    bool same_wire;
    pthread_mutex_t mu; /* guards everything below; never held over a call to a database or the state but where said */
    struct cp_table *tables; /* keyless first (their snapshot is held meanwhile), then by size, largest first */
    size_t ntables, ncopied;
    struct mf_position highest;
    int64_t quarantined;
    bool finished;
    /* The one exact snapshot of this run for keyless tables. Opened by the worker that first needs it; closed when the
     * last keyless table is in, or when it died and no worker uses it. */
    struct mf_snapshot *snapshot;
    uint64_t snapshot_number; /* of the snapshot, or of the last one: pointers come again */
    bool snapshot_opening, snapshot_dead;
    int32_t snapshot_users;
    /* The source's load, sampled by whichever worker is due. */
    int64_t load_us, forced_us;
    bool sampling;
    struct mf_copy_stats stats;
};

struct mf_copy_worker {
    struct mf_copy *c;
    struct mf_reader *reader, *exact; /* exact: inside c->snapshot */
    uint64_t exact_number;            /* which snapshot `exact` belongs to */
    struct mf_position exact_at;      /* its position */
    struct mf_loader *loader;
};

/* A chunk on its way. */
struct cp_job {
    struct mf_copy_worker *w;
    struct cp_table *t;
    struct mf_reader *reader;
    struct mf_chunk chunk;
    struct mf_chunk_done done;
    int64_t quarantined;
    bool uncertain; /* an earlier commit of the chunk was not answered, and may still come about */
    bool sent;      /* the commit was */
    bool found;     /* its record, in the target */
};

/* The target takes no such row: another may do. */
static inline bool mf_copy_refused(const struct mf_error *err)
{
    return err->cls == MF_ROW || err->cls == MF_CONFLICT;
}

/* copy_rows.c */
/* The whole chunk into the loader, as rows; what the target refuses into quarantine. Without the commit. */
int mf_copy_rows(struct cp_job *j, struct mf_error *err);

/* copy_plan.c */
int mf_copy_load_plan(struct mf_copy *c, struct mf_error *err);
int mf_copy_plan_table(struct mf_copy_worker *w, struct cp_table *t, struct mf_error *err);
void mf_copy_forget_plan(struct cp_table *t);
int mf_copy_record(struct mf_copy *c, struct cp_table *t, const char *note, struct mf_error *err);

/* copy_chunk.c */
int mf_copy_chunk(struct mf_copy_worker *w, struct cp_table *t, struct cp_chunk *chunk, struct mf_error *err);
/* Whether the target has the chunk's record: then done is it. */
int mf_copy_is_in(struct cp_job *j, bool *ret, struct mf_error *err);
/* The reader for this table: in the snapshot when it is keyless. */
int mf_copy_reader(struct mf_copy_worker *w, const struct cp_table *t, struct mf_reader **ret, struct mf_error *err);
void mf_copy_close_worker(struct mf_copy_worker *w);
/* A reader inside a snapshot keeps it alive on the source: it goes when the snapshot does. */
void mf_copy_leave_snapshot(struct mf_copy_worker *w);

#endif
