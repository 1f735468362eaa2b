/* The connector's row. */
#include "base/mem.h"
#include "connector/defaults.h"
#include "connector/mongodb/mongo_room.h"

/* ---- what a deployment does not do: rows of other databases are not loaded into it, it has no snapshots that are held, no schema ---- */

static int unsupported(const char *what, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFUNSUP", "a MongoDB database %s", what);
}

static int chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    (void)r, (void)t, (void)c;
    return unsupported("gives documents, not bytes for another server", err);
}

static int chunk_read(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err)
{
    (void)r, (void)ret_data, (void)ret_len;
    return unsupported("gives documents, not bytes for another server", err);
}

static int chunk_close(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err)
{
    (void)r, (void)ret_after, (void)ret_rows;
    return unsupported("gives documents, not bytes for another server", err);
}

/* No more than a position: what is read in it may be newer (mf_connector.shows_newer). */
static int snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                         struct mf_error *err)
{
    (void)pipe, (void)readers;
    struct mf_position at = {0};
    if (mongo_position(db, &at, err) < 0) {
        return -1;
    }
    *ret = mf_xcalloc(1, sizeof **ret);
    **ret = (struct mf_snapshot){.db = db, .position = at};
    return 0;
}

static int snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err)
{
    (void)readers, (void)err;
    *ret = mf_xcalloc(1, sizeof **ret);
    **ret = (struct mf_snapshot){.db = db};
    return 0;
}

static void snapshot_close(struct mf_snapshot *s)
{
    free(s);
}

static int check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                        struct mf_error *err)
{
    (void)src, (void)filter, (void)err;
    mf_findings_add(out, MF_BLOCKER, db->side, "mongodb-target", "target",
                    "name a PostgreSQL or MySQL database as the target",
                    "a MongoDB database can only be the source of a migration");
    return 0;
}

static int schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                        struct mf_error *err)
{
    (void)db, (void)src, (void)job, (void)out;
    return unsupported("has no schema that could be made", err);
}

static int schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                       struct mf_error *err)
{
    (void)db, (void)src, (void)job, (void)out;
    return unsupported("has no schema that could be made", err);
}

static int loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err)
{
    (void)db, (void)pipe, (void)ret;
    return unsupported("cannot be copied into", err);
}

static void loader_close(struct mf_loader *l)
{
    (void)l;
}

static int load_begin(struct mf_loader *l, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                      struct mf_error *err)
{
    (void)l, (void)t, (void)source_shape, (void)stamp;
    return unsupported("cannot be copied into", err);
}

static int load_data(struct mf_loader *l, const void *data, size_t len, struct mf_error *err)
{
    (void)l, (void)data, (void)len;
    return unsupported("cannot be copied into", err);
}

static int load_row(struct mf_loader *l, const struct mf_row *row, struct mf_error *err)
{
    (void)l, (void)row;
    return unsupported("cannot be copied into", err);
}

static int load_rows(struct mf_loader *l, const struct mf_row *rows, size_t n, struct mf_error *err)
{
    (void)l, (void)rows, (void)n;
    return unsupported("cannot be copied into", err);
}

static int load_quarantine(struct mf_loader *l, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)l, (void)q;
    return unsupported("cannot be copied into", err);
}

static int load_commit(struct mf_loader *l, const struct mf_chunk_done *done, struct mf_error *err)
{
    (void)l, (void)done;
    return unsupported("cannot be copied into", err);
}

static void load_abort(struct mf_loader *l)
{
    (void)l;
}

/* None was ever loaded. */
static int chunks_done(struct mf_db *db, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                       struct mf_error *err)
{
    (void)db, (void)pipe, (void)emit, (void)ctx, (void)err;
    return 0;
}

static int table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    (void)db, (void)pipe, (void)t;
    return unsupported("cannot be copied into", err);
}

/* Numbers are given out by the application, or by documents that it keeps them in, which are brought like any. */
static int sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err)
{
    (void)db, (void)seqs, (void)n, (void)err;
    return 0;
}

/* ---- the tables ---- */

static const struct mf_source_ops source_ops = {
    .catalog = mongo_catalog,
    .shapes = mongo_shapes,
    .what_became = mongo_what_became,
    .check = mongo_check,
    .stream_prepare = mongo_stream_prepare,
    .stream_add_tables = mongo_stream_add_tables,
    .stream_skip = mongo_stream_skip,
    .stream_open = mongo_stream_open,
    .stream_next = mongo_stream_next,
    .stream_ack = mongo_stream_ack,
    .stream_close = mongo_stream_close,
    .stream_confirm = mf_default_stream_confirm,
    .stream_wake = mongo_stream_wake,
    .stream_leave = mf_default_stream_leave,
    .commits_wait = mf_default_commits_wait,
    .waits_end = mf_default_waits_end,
    .check_waiting = mf_default_check_waiting,
    .stream_drop = mongo_stream_drop,
    .heartbeat = mongo_heartbeat,
    .position = mongo_position,
    .waits_for = mf_default_waits_for,
    .load = mongo_load,
    .clock = mongo_clock,
    .visible = mongo_visible,
    .statements = mf_default_statements,
    .key_sizes = mf_default_key_sizes,
    .snapshot_open = snapshot_open,
    .snapshot_now = snapshot_now,
    .snapshot_close = snapshot_close,
    .reader_open = mongo_reader_open,
    .reader_close = mongo_reader_close,
    .shape_same = mongo_shape_same,
    .chunk_plan = mongo_chunk_plan,
    .chunk_open = chunk_open,
    .chunk_read = chunk_read,
    .chunk_close = chunk_close,
    .chunk_rows = mongo_chunk_rows,
    .read_rows = mongo_read_rows,
    .digest = mf_default_digest,
    .digest_rows = mf_default_digest_rows,
    .parts = mf_default_parts,
    .chunk_split = mf_default_chunk_split,
    .sequences = mf_default_sequences,
};

/* As the replica of the way back. */
static const struct mf_target_ops target_ops = {
    .check = check_target,
    .check_queries = mf_default_check_queries,
    .check_durable = mf_default_check_durable,
    .check_accounts = mf_default_check_accounts,
    .schema_apply = schema_apply,
    .schema_plan = schema_plan,
    .schema_add_column = mf_default_schema_add_column,
    .loader_open = loader_open,
    .loader_close = loader_close,
    .load_begin = load_begin,
    .load_data = load_data,
    .load_row = load_row,
    .load_rows = load_rows,
    .load_quarantine = load_quarantine,
    .load_commit = load_commit,
    .load_abort = load_abort,
    .chunks_done = chunks_done,
    .table_reset = table_reset,
    .table_finish = mf_default_table_finish,
    .prepare = mongo_prepare,
    .applier_open = mongo_applier_open,
    .applier_close = mongo_applier_close,
    .checkpoint = mongo_checkpoint,
    .window_begin = mongo_window_begin,
    .window_batch = mongo_window_batch,
    .window_cascade = mf_default_window_cascade,
    .window_commit = mongo_window_commit,
    .window_abort = mongo_window_abort,
    .repair_rows = mongo_repair_rows,
    .sequences_set = sequences_set,
    .sequences_follow = mf_default_sequences_follow,
    .references_whole = mf_default_references_whole,
    .triggers_learn = mf_default_triggers_learn,
    .triggers_up = mf_default_triggers_up,
    .quarantine_list = mongo_quarantine_list,
    .quarantine_drop = mongo_quarantine_drop,
};

static const char *const schemes[] = {"mongodb", "mongodb+srv", NULL};

const struct mf_connector mf_connector_mongodb = {
    .name = "mongodb",
    .schemes = schemes,
    .can_source = true,
    .can_target = true,
    .streams = true,
    .order_is_time = true,
    .soft_hold = true,
    .reads_unordered = true,
    .retells = true,
    .shows_newer = true,
    .puts_whole = true,
    .documents = true,
    .open = mongo_open,
    .close = mongo_close,
    .facts = mongo_facts,
    .source = &source_ops,
    .target = &target_ops,
    .traffic = &mongo_traffic_ops,
    .replication = &mf_default_replication,
    .canon = &mongo_canon_ops,
};
