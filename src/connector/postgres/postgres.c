/* The connector's row. */
#include "connector/postgres/postgres.h"

#include "connector/defaults.h"
#include "connector/postgres/canon.h"
#include "connector/postgres/standby.h"
#include "connector/postgres/wire.h"

#include <stdio.h>

const char *pg_direction(enum mf_direction d)
{
    return d == MF_FORWARD ? "fwd" : "rev";
}

void pg_pipe_name(const struct mf_pipe_id *pipe, char out[PG_SLOT_NAME])
{
    snprintf(out, PG_SLOT_NAME, "midflight_%s_%s", pipe->migration, pg_direction(pipe->direction));
}

static const char *const schemes[] = {"postgresql", "postgres", NULL};

const struct mf_connector mf_connector_postgres = {
    .name = "postgres",
    .schemes = schemes,
    .wire = PG_WIRE,
    .can_source = true,
    .can_target = true,
    .streams = true,
    .order_is_bytes = true,
    .commits_can_wait = true,
    .confirms_acknowledge = true,
    .open = pg_open,
    .close = pg_close,
    .facts = pg_facts,
    .source = &mf_pg_source_ops,
    .target = &mf_pg_target_ops,
    .traffic = &mf_pg_traffic_ops,
    .replication = &mf_default_replication,
    .canon = &pg_canon_ops,
};

const struct mf_source_ops mf_pg_source_ops = {
    .catalog = pg_catalog_read,
    .shapes = pg_catalog_shapes,
    .what_became = pg_what_became,
    .check = pg_check_source,
    .stream_prepare = pg_stream_prepare,
    .stream_add_tables = pg_stream_add_tables,
    .stream_skip = mf_default_stream_skip,
    .stream_open = pg_stream_open,
    .stream_next = pg_stream_next,
    .stream_ack = pg_stream_ack,
    .stream_close = pg_stream_close,
    .stream_confirm = pg_stream_confirm,
    .stream_wake = pg_stream_wake,
    .stream_leave = pg_stream_leave,
    .commits_wait = pg_commits_wait,
    .waits_end = pg_waits_end,
    .check_waiting = pg_check_waiting,
    .stream_drop = pg_stream_drop,
    .heartbeat = pg_heartbeat,
    .position = pg_position_now,
    .clock = pg_clock,
    .waits_for = pg_waits_for,
    .visible = pg_visible,
    .load = pg_load,
    .statements = pg_statements,
    .key_sizes = pg_key_sizes,
    .snapshot_open = pg_snapshot_open,
    .snapshot_now = pg_snapshot_now,
    .snapshot_close = pg_snapshot_close,
    .reader_open = pg_reader_open,
    .reader_close = pg_reader_close,
    .shape_same = pg_shape_same,
    .chunk_plan = pg_chunk_plan,
    .chunk_open = pg_chunk_open,
    .chunk_read = pg_chunk_read,
    .chunk_close = pg_chunk_close,
    .chunk_rows = pg_chunk_rows,
    .read_rows = pg_read_rows,
    .digest = pg_digest,
    .digest_rows = pg_digest_rows,
    .parts = mf_default_parts,
    .chunk_split = pg_chunk_split,
    .sequences = pg_sequences,
};
