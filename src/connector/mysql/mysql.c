/* The connector's row. Operations are added as they come; the registry knows it once they are all there. */
#include "connector/mysql/mysql_room.h"

const char *my_direction(enum mf_direction d)
{
    return d == MF_FORWARD ? "fwd" : "rev";
}

static const struct mf_source_ops source_ops = {
    .catalog = my_catalog_read,
    .shapes = my_catalog_shapes,
    .what_became = my_what_became,
    .heartbeat = my_heartbeat,
    .position = my_position_now,
    .waits_for = my_waits_for,
    .load = my_load,
    .sequences = my_sequences,
};

static const struct mf_target_ops target_ops = {
    .loader_open = my_loader_open,
    .loader_close = my_loader_close,
    .load_begin = my_load_begin,
    .load_data = my_load_data,
    .load_row = my_load_row,
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
    .window_commit = my_window_commit,
    .window_abort = my_window_abort,
    .repair_rows = my_repair_rows,
    .sequences_set = my_sequences_set,
    .quarantine_list = my_quarantine_list,
    .quarantine_drop = my_quarantine_drop,
};

static const struct mf_traffic_ops traffic_ops = {
    .hurry = my_hurry,
};

static const char *const schemes[] = {"mysql", "mariadb", NULL};

const struct mf_connector mf_connector_mysql = {
    .name = "mysql",
    .schemes = schemes,
    .wire = MY_WIRE,
    .can_source = true,
    .can_target = true,
    .open = my_open,
    .close = my_close,
    .facts = my_facts,
    .source = &source_ops,
    .target = &target_ops,
    .traffic = &traffic_ops,
};
