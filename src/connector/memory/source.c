/* The source's side: catalogue, positions, heartbeats. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "connector/defaults.h"
#include "connector/memory/read.h"
#include "connector/memory/stamped.h"

/* ---- the database ---- */

static int catalog(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "source.catalog", NULL, err)) {
        return -1;
    }
    const struct mf_mem_server *s = mem_server(db);
    struct mf_catalog c = {0};
    mf_arena_init(&c.arena, 4u << 20);
    c.tables = mf_alloc_array(&c.arena, s->ntables + 1, sizeof *c.tables);
    for (size_t i = 0; c.tables && i < s->ntables; i++) {
        const struct mem_table *m = s->tables[i];
        const struct mf_table *t = &m->shape->table;
        if (m->dropped || m->book || (filter && !mf_filter_match(filter, t->schema, t->name))) {
            continue;
        }
        struct mf_table *copy = mf_table_copy(&c.arena, t);
        if (!copy) {
            break;
        }
        copy->rows_estimate = (int64_t)m->rows->n;
        copy->bytes = copy->rows_estimate * 32;
        c.tables[c.n++] = *copy;
    }
    *ret = c;
    return 0;
}

static int check(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err)
{
    (void)filter;
    (void)out;
    MEM_LOCKED;
    return mem_enter_db(db, "source.check", NULL, err);
}

static int heartbeat(struct mf_db *db, const struct mf_pipe_id *pipe, const char *marker, struct mf_position *ret_after,
                     struct mf_error *err)
{
    MEM_LOCKED;
    bool after;
    uint64_t lsn;
    if (mem_server(db)->knobs.silent) {
        return mf_fail(err, MF_FATAL, "MFUNSUP", "%s has no stream that a beat could be seen in", mem_server(db)->name);
    }
    if (mem_enter_db(db, "source.heartbeat", &after, err)) {
        return -1;
    }
    struct mf_mem_txn *t = mem_txn_begin(mem_server(db), true);
    if (mem_book_heartbeat(t, pipe, db->side, marker, err)) {
        mem_txn_abort(t);
        return -1;
    }
    if (mem_txn_commit(t, &lsn, err)) {
        return -1;
    }
    if (after) {
        return mem_lost_db(db, "source.heartbeat", err);
    }
    if (ret_after) {
        bool early = marker && mem_broken(mem_server(db), "fence-early");
        *ret_after = mem_position(early ? 1 : lsn);
    }
    return 0;
}

static int position(struct mf_db *db, struct mf_position *ret, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "source.position", NULL, err)) {
        return -1;
    }
    if (mem_server(db)->knobs.silent) {
        *ret = (struct mf_position){.order = (uint64_t)mem_clock(mem_server(db))};
        snprintf(ret->token, sizeof ret->token, "%llu", (unsigned long long)ret->order);
        return 0;
    }
    *ret = mem_position(mem_broken(mem_server(db), "no-consistency-point") ? 1 : mem_server(db)->lsn);
    return 0;
}

static int commits_wait(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret,
                        struct mf_error *err)
{
    MEM_LOCKED;
    (void)pipe;
    if (mem_enter_db(db, "source.commits_wait", NULL, err)) {
        return -1;
    }
    *ret = (struct mf_commit_wait){.waits = true, .at = mem_position(mem_server(db)->lsn)};
    return 0;
}

static int load(struct mf_db *db, double *ret, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "source.load", NULL, err)) {
        return -1;
    }
    *ret = mem_server(db)->knobs.load;
    return 0;
}

static int server_clock(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "source.clock", NULL, err)) {
        return -1;
    }
    const struct mf_mem_server *s = mem_server(db);
    int64_t now = mem_clock(s), latest = mem_stamped_latest(s);
    *ret_us = s->knobs.silent && mem_broken(s, "clock-not-waited-for") ? INT64_MAX / 4 : now;
    if (ret_latest_us) {
        *ret_latest_us = s->knobs.silent && mem_broken(s, "stamps-not-raised") ? 0 : latest > now ? latest : now;
    }
    return 0;
}

static int sequences(struct mf_db *db, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                     struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "source.sequences", NULL, err)) {
        return -1;
    }
    const struct mf_mem_server *s = mem_server(db);
    for (size_t i = 0; i < s->nsequences; i++) {
        const struct mf_sequence *q = &s->sequences[i];
        if ((!filter || mf_filter_match(filter, q->schema, q->name)) && emit(ctx, q, err) < 0) {
            return -1;
        }
    }
    return 0;
}

const struct mf_source_ops mem_source_ops = {
    .catalog = catalog,
    .shapes = catalog,
    .what_became = mf_default_what_became,
    .check = check,
    .stream_prepare = mem_stream_prepare,
    .stream_add_tables = mem_stream_add_tables,
    .stream_skip = mf_default_stream_skip,
    .stream_open = mem_stream_open,
    .stream_next = mem_stream_next,
    .stream_ack = mem_stream_ack,
    .stream_close = mem_stream_close,
    .stream_confirm = mem_stream_confirm,
    .stream_wake = mf_default_stream_wake,
    .stream_leave = mf_default_stream_leave,
    .commits_wait = commits_wait,
    .waits_end = mf_default_waits_end,
    .check_waiting = mf_default_check_waiting,
    .stream_drop = mem_stream_drop,
    .heartbeat = heartbeat,
    .position = position,
    .clock = server_clock,
    .waits_for = mf_default_waits_for,
    .visible = mf_default_visible,
    .load = load,
    .statements = mf_default_statements,
    .key_sizes = mf_default_key_sizes,
    .snapshot_open = mem_snapshot_open,
    .snapshot_now = mem_snapshot_now,
    .snapshot_close = mem_snapshot_close,
    .reader_open = mem_reader_open,
    .reader_close = mem_reader_close,
    .shape_same = mf_default_shape_same,
    .chunk_plan = mem_chunk_plan,
    .chunk_open = mem_chunk_open,
    .chunk_read = mem_chunk_read,
    .chunk_close = mem_chunk_close,
    .chunk_rows = mem_chunk_rows,
    .read_rows = mem_read_rows,
    .digest = mem_digest,
    .digest_rows = mem_digest_rows,
    .parts = mf_default_parts,
    .chunk_split = mem_chunk_split,
    .sequences = sequences,
};
