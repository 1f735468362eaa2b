/* The target's operations, and those of traffic. */
#include "connector/postgres/target.h"

#include "connector/defaults.h"
#include "connector/postgres/load.h"
#include "connector/postgres/standby.h"

const struct mf_target_ops mf_pg_target_ops = {
    .check = pg_check_target,
    .check_queries = mf_default_check_queries,
    .check_durable = pg_check_durable,
    .check_accounts = mf_default_check_accounts,
    .schema_apply = pg_schema_apply,
    .schema_plan = pg_schema_plan,
    .schema_add_column = pg_schema_add_column,
    .loader_open = pg_loader_open,
    .loader_close = pg_loader_close,
    .load_begin = pg_load_begin,
    .load_data = pg_load_data,
    .load_row = pg_load_row,
    .load_rows = pg_load_rows,
    .load_quarantine = pg_load_quarantine,
    .load_commit = pg_load_commit,
    .load_abort = pg_load_abort,
    .chunks_done = pg_chunks_done,
    .table_reset = pg_table_reset,
    .table_finish = pg_table_finish,
    .prepare = pg_prepare,
    .applier_open = pg_applier_open,
    .applier_close = pg_applier_close,
    .checkpoint = pg_checkpoint,
    .window_begin = pg_window_begin,
    .window_batch = pg_window_batch,
    .window_cascade = pg_window_cascade,
    .window_commit = pg_window_commit,
    .window_abort = pg_window_abort,
    .repair_rows = pg_repair_rows,
    .sequences_set = pg_sequences_set,
    .sequences_follow = pg_sequences_follow,
    .references_whole = pg_references_whole,
    .triggers_learn = mf_default_triggers_learn,
    .triggers_up = mf_default_triggers_up,
    .quarantine_list = pg_quarantine_list,
    .quarantine_drop = pg_quarantine_drop,
};

const struct mf_traffic_ops mf_pg_traffic_ops = {
    .owner = pg_owner,
    .run_lock = pg_run_lock,
    .run_lock_check = pg_run_lock_check,
    .run_lock_release = pg_run_lock_release,
    .gate_install = pg_gate_install,
    .gate_remove = pg_gate_remove,
    .hold = pg_hold_writers,
    .hold_decide = pg_hold_decide,
    .hold_release = pg_hold_release,
    .settle = pg_settle,
    .epoch_read = pg_epoch_read,
    .epoch_write = pg_epoch_write,
    .hurry = pg_hurry,
    .cleanup = pg_cleanup,
};
