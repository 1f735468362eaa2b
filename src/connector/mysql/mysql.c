/* The connector's row. */
#include "connector/defaults.h"
#include "connector/mysql/canon.h"
#include "connector/mysql/mysql_room.h"
#include "connector/mysql/replica.h"

const char *my_direction(enum mf_direction d)
{
    return d == MF_FORWARD ? "fwd" : "rev";
}

static const struct mf_source_ops source_ops = {
    .catalog = my_catalog_read,
    .shapes = my_catalog_shapes,
    .what_became = my_what_became,
    .check = my_check_source,
    .stream_prepare = my_stream_prepare,
    .stream_add_tables = my_stream_add_tables,
    .stream_skip = my_stream_skip,
    .stream_open = my_stream_open,
    .stream_next = my_stream_next,
    .stream_ack = my_stream_ack,
    .stream_close = my_stream_close,
    .stream_confirm = my_stream_confirm,
    .stream_wake = my_stream_wake,
    .stream_leave = my_stream_leave,
    .commits_wait = my_commits_wait,
    .waits_end = mf_default_waits_end,
    .check_waiting = my_check_waiting,
    .stream_drop = my_stream_drop,
    .heartbeat = my_heartbeat,
    .position = my_position_now,
    .clock = my_clock,
    .waits_for = my_waits_for,
    .load = my_load,
    .visible = my_visible,
    .statements = my_statements,
    .key_sizes = my_key_sizes,
    .snapshot_open = my_snapshot_open,
    .snapshot_now = my_snapshot_now,
    .snapshot_close = my_snapshot_close,
    .reader_open = my_reader_open,
    .reader_close = my_reader_close,
    .shape_same = my_shape_same,
    .chunk_plan = my_chunk_plan,
    .chunk_open = my_chunk_open,
    .chunk_read = my_chunk_read,
    .chunk_close = my_chunk_close,
    .chunk_rows = my_chunk_rows,
    .read_rows = my_read_rows,
    .digest = my_digest,
    .digest_rows = my_digest_rows,
    .chunk_split = my_chunk_split,
    .sequences = my_sequences,
};

static const struct mf_target_ops target_ops = {
    .check = my_check_target,
    .check_queries = my_check_queries,
    .check_durable = my_check_durable,
    .check_accounts = my_check_accounts,
    .schema_apply = my_schema_apply,
    .schema_plan = my_schema_plan,
    .schema_add_column = my_schema_add_column,
    .loader_open = my_loader_open,
    .loader_close = my_loader_close,
    .load_begin = my_load_begin,
    .load_data = my_load_data,
    .load_row = my_load_row,
    .load_rows = my_load_rows,
    .load_quarantine = my_load_quarantine,
    .load_commit = my_load_commit,
    .load_abort = my_load_abort,
    .chunks_done = my_chunks_done,
    .table_reset = my_table_reset,
    .table_finish = my_table_finish,
    .prepare = my_prepare,
    .applier_open = my_applier_open,
    .applier_close = my_applier_close,
    .checkpoint = my_checkpoint,
    .window_begin = my_window_begin,
    .window_batch = my_window_batch,
    .window_cascade = my_window_cascade,
    .window_commit = my_window_commit,
    .window_abort = my_window_abort,
    .repair_rows = my_repair_rows,
    .sequences_set = my_sequences_set,
    .sequences_follow = mf_default_sequences_follow, /* AUTO_INCREMENT goes behind what is inserted */
    .references_whole = my_references_whole,
    .triggers_learn = my_triggers_learn,
    .triggers_up = my_triggers_up,
    .quarantine_list = my_quarantine_list,
    .quarantine_drop = my_quarantine_drop,
};

static const struct mf_traffic_ops traffic_ops = {
    .owner = my_owner,
    .run_lock = my_run_lock,
    .run_lock_check = my_run_lock_check,
    .run_lock_release = my_run_lock_release,
    .gate_install = my_gate_install,
    .gate_remove = my_gate_remove,
    .hold = my_hold,
    .hold_decide = my_hold_decide,
    .hold_release = my_hold_release,
    .epoch_read = my_epoch_read,
    .settle = my_settle,
    .epoch_write = my_epoch_write,
    .hurry = my_hurry,
    .cleanup = my_cleanup,
};

static const struct mf_replication_ops replication_ops = {
    .check = my_replication_check,
    .attach = my_replication_attach,
    .resume = my_replication_resume,
    .pause = my_replication_pause,
    .status = my_replication_status,
    .detach = my_replication_detach,
};

static const char *const schemes[] = {"mysql", "mariadb", NULL};

const struct mf_connector mf_connector_mysql = {
    .name = "mysql",
    .schemes = schemes,
    .wire = MY_WIRE,
    .can_source = true,
    .can_target = true,
    .streams = true,
    .commits_can_wait = true,
    .open = my_open,
    .close = my_close,
    .facts = my_facts,
    .source = &source_ops,
    .target = &target_ops,
    .traffic = &traffic_ops,
    .replication = &replication_ops,
    .canon = &my_canon_ops,
};
