/* The connector's row. */
#include "connector/cassandra/cass.h"
#include "connector/cassandra/catalog.h"
#include "connector/cassandra/read.h"
#include "connector/defaults.h"
#include "connector/lease.h"

/* ---- what a cluster cannot do: it has no stream, no snapshots, no log with positions ---- */

static int unsupported(const char *what, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFUNSUP", "a Cassandra cluster %s", what);
}

static int check_source(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err)
{
    (void)db, (void)filter, (void)out;
    return unsupported("cannot be a source: it tells nobody of its changes", err);
}

static int stream_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                          struct mf_position *ret_start, struct mf_error *err)
{
    (void)db, (void)pipe, (void)tables, (void)ret_start;
    return unsupported("has no change stream", err);
}

static int stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from,
                       bool commits_wait, struct mf_stream **ret, struct mf_error *err)
{
    (void)db, (void)pipe, (void)from, (void)commits_wait, (void)ret;
    return unsupported("has no change stream", err);
}

static int stream_next(struct mf_stream *st, int timeout_ms, struct mf_item *ret, struct mf_error *err)
{
    (void)st, (void)timeout_ms, (void)ret;
    return unsupported("has no change stream", err);
}

static int stream_ack(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err)
{
    (void)st, (void)durable;
    return unsupported("has no change stream", err);
}

static void stream_close(struct mf_stream *st)
{
    (void)st;
}

static int stream_drop(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    (void)db, (void)pipe, (void)err;
    return 0; /* there is none */
}

static int heartbeat(struct mf_db *db, const struct mf_pipe_id *pipe, const char *marker, struct mf_position *ret_after,
                     struct mf_error *err)
{
    (void)db, (void)pipe, (void)marker, (void)ret_after;
    return unsupported("has no change stream that a marker could be seen in", err);
}

static int chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    (void)r, (void)t, (void)c;
    return unsupported("gives rows, not bytes", err);
}

static int chunk_read(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err)
{
    (void)r, (void)ret_data, (void)ret_len;
    return unsupported("gives rows, not bytes", err);
}

static int chunk_close(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err)
{
    (void)r, (void)ret_after, (void)ret_rows;
    return unsupported("gives rows, not bytes", err);
}

static int schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                        struct mf_error *err)
{
    (void)db, (void)src, (void)job, (void)out;
    return unsupported("cannot be moved into another one", err);
}

static int schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                       struct mf_error *err)
{
    (void)db, (void)src, (void)job, (void)out;
    return unsupported("cannot be moved into another one", err);
}

/* Where an application's numbers came from it has to take them from elsewhere: check says so. */
static int sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err)
{
    (void)db, (void)seqs, (void)n, (void)err;
    return 0;
}

/* ---- the tables ---- */

const struct mf_source_ops cass_source_ops = {
    .catalog = cass_catalog,
    .shapes = cass_shapes,
    .what_became = cass_what_became,
    .check = check_source,
    .stream_prepare = stream_prepare,
    .stream_add_tables = mf_default_stream_add_tables,
    .stream_skip = mf_default_stream_skip,
    .stream_open = stream_open,
    .stream_next = stream_next,
    .stream_ack = stream_ack,
    .stream_close = stream_close,
    .stream_confirm = mf_default_stream_confirm,
    .stream_wake = mf_default_stream_wake,
    .stream_leave = mf_default_stream_leave,
    .commits_wait = mf_default_commits_wait,
    .waits_end = mf_default_waits_end,
    .check_waiting = mf_default_check_waiting,
    .stream_drop = stream_drop,
    .heartbeat = heartbeat,
    .position = cass_position,
    .waits_for = mf_default_waits_for,
    .load = mf_default_load,
    .clock = cass_clock,
    .visible = mf_default_visible,
    .statements = mf_default_statements,
    .key_sizes = mf_default_key_sizes,
    .snapshot_open = mf_default_snapshot_open,
    .snapshot_now = mf_default_snapshot_now,
    .snapshot_close = mf_default_snapshot_close,
    .reader_open = cass_reader_open,
    .reader_close = cass_reader_close,
    .shape_same = cass_shape_same,
    .chunk_plan = cass_chunk_plan,
    .chunk_open = chunk_open,
    .chunk_read = chunk_read,
    .chunk_close = chunk_close,
    .chunk_rows = cass_chunk_rows,
    .read_rows = cass_read_rows,
    .digest = mf_default_digest,
    .digest_rows = mf_default_digest_rows,
    .parts = mf_default_parts,
    .chunk_split = mf_default_chunk_split,
    .sequences = mf_default_sequences,
};

const struct mf_target_ops cass_target_ops = {
    .check = cass_check_target,
    .check_queries = mf_default_check_queries,
    .check_durable = cass_check_durable,
    .check_accounts = mf_default_check_accounts,
    .schema_apply = schema_apply,
    .schema_plan = schema_plan,
    .schema_add_column = mf_default_schema_add_column,
    .loader_open = cass_loader_open,
    .loader_close = cass_loader_close,
    .load_begin = cass_load_begin,
    .load_data = cass_load_data,
    .load_row = cass_load_row,
    .load_rows = cass_load_rows,
    .load_applier = mf_default_load_applier,
    .load_quarantine = cass_load_quarantine,
    .load_commit = cass_load_commit,
    .load_abort = cass_load_abort,
    .chunks_done = cass_chunks_done,
    .table_reset = cass_table_reset,
    .table_finish = mf_default_table_finish,
    .prepare = cass_prepare,
    .applier_open = cass_applier_open,
    .applier_close = cass_applier_close,
    .checkpoint = cass_checkpoint,
    .window_begin = cass_window_begin,
    .window_batch = cass_window_batch,
    .window_cascade = mf_default_window_cascade,
    .window_mark = mf_default_window_mark,
    .window_settle = mf_default_window_mark,
    .window_back = mf_default_window_mark,
    .quarantine_put = mf_default_quarantine_put,
    .quarantine_clear = mf_default_quarantine_clear,
    .window_commit = cass_window_commit,
    .window_abort = cass_window_abort,
    .repair_rows = cass_repair_rows,
    .sequences_set = sequences_set,
    .sequences_follow = mf_default_sequences_follow,
    .references_whole = mf_default_references_whole,
    .triggers_learn = mf_default_triggers_learn,
    .triggers_up = mf_default_triggers_up,
    .quarantine_list = cass_quarantine_list,
    .quarantine_drop = cass_quarantine_drop,
};

static const struct mf_traffic_ops traffic_ops = {
    .owner = cass_owner,
    .run_lock = cass_run_lock,
    .run_lock_check = mf_lease_check,
    .run_lock_release = mf_lease_release,
    .gate_install = cass_gate_install,
    .gate_remove = cass_gate_remove,
    .hold = cass_hold,
    .hold_decide = cass_hold_decide,
    .hold_release = cass_hold_release,
    .epoch_read = cass_epoch_read,
    .settle = cass_settle,
    .epoch_write = cass_epoch_write,
    .hurry = cass_hurry,
    .cleanup = cass_cleanup,
};

static const char *const schemes[] = {"cassandra", NULL};

const struct mf_connector mf_connector_cassandra = {
    .name = "cassandra",
    .schemes = schemes,
    .can_target = true,
    .soft_hold = true,
    .spreads = true,
    .last_write_wins = true,
    .reads_unordered = true,
    .open = cass_open,
    .close = cass_close,
    .facts = cass_facts,
    .source = &cass_source_ops,
    .target = &cass_target_ops,
    .traffic = &traffic_ops,
    .replication = &mf_default_replication,
    .canon = &cass_canon_ops,
};
