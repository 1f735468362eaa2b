/* The face itself: opening and closing, and the operations on a database in which nothing but names and tables is translated. */
#include "connector/face/face.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/defaults.h"
#include "connector/face/internal.h"

#include <stdlib.h>
#include <string.h>

static const struct mf_source_ops *source_of(const struct face_db *f)
{
    return f->own->connector->source;
}

static const struct mf_target_ops *target_of(const struct face_db *f)
{
    return f->own->connector->target;
}

/* ---- as a source ---- */

static int catalog(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return face_catalog_read(face_of(db), FACE_CATALOG, filter, ret, err);
}

static int shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return face_catalog_read(face_of(db), FACE_SHAPES, filter, ret, err);
}

/* Only id and name of the table mean anything here. */
static int what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                       struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct mf_table own = {.id = t->id, .schema = face_own_schema(f, t->schema), .name = t->name};
    return source_of(f)->what_became(f->own, &own, ret, n, ret_dropped, err);
}

static int check(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->check(f->own, filter, out, err);
}

static int with_tables(struct face_db *f, const struct mf_catalog *tables, struct mf_catalog *ret, struct mf_error *err)
{
    *ret = (struct mf_catalog){0};
    return tables ? face_catalog_own(f, tables, ret, err) : 0;
}

static int stream_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                          struct mf_position *ret_start, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct mf_catalog own;
    int rc = with_tables(f, tables, &own, err);
    rc = rc < 0 ? -1 : source_of(f)->stream_prepare(f->own, pipe, tables ? &own : NULL, ret_start, err);
    mf_catalog_free(&own);
    return rc;
}

static int stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                             struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct mf_catalog own;
    int rc = with_tables(f, tables, &own, err);
    rc = rc < 0 ? -1 : source_of(f)->stream_add_tables(f->own, pipe, &own, err);
    mf_catalog_free(&own);
    return rc;
}

static int stream_drop(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->stream_drop(f->own, pipe, err);
}

static int heartbeat(struct mf_db *db, const struct mf_pipe_id *pipe, const char *marker, struct mf_position *ret_after,
                     struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->heartbeat(f->own, pipe, marker, ret_after, err);
}

static int position(struct mf_db *db, struct mf_position *ret, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->position(f->own, ret, err);
}

static int server_clock(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->clock(f->own, ret_us, ret_latest_us, err);
}

static int waits_for(struct mf_db *db, char *ret, size_t n, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->waits_for(f->own, ret, n, err);
}

static int load(struct mf_db *db, double *ret, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->load(f->own, ret, err);
}

static int statements(struct mf_db *db, int64_t most, mf_statement_sink *emit, void *ctx, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->statements(f->own, most, emit, ctx, err);
}

static int key_sizes(struct mf_db *db, const struct mf_key_sizes_job *job, struct mf_key_sizes *ret,
                     struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->key_sizes(f->own, job, ret, err);
}

static int visible(struct mf_db *db, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->visible(f->own, txns, n, ret, err);
}

/* ---- sequences: of the names shown, with the real ones filtered where they are the same ---- */

struct sequences {
    const struct face_db *f;
    const struct mf_filter *filter; /* NULL: filtered already */
    mf_sequence_sink *emit;
    void *ctx;
};

static int show_sequence(void *ctx, const struct mf_sequence *q, struct mf_error *err)
{
    const struct sequences *s = ctx;
    struct mf_sequence shown = *q;
    mf_strlcpy(shown.schema, face_shown_schema(s->f, q->schema), sizeof shown.schema);
    bool wanted = !s->filter || mf_filter_match(s->filter, shown.schema, shown.name) ||
                  (shown.table[0] && mf_filter_match(s->filter, shown.schema, shown.table));
    return wanted ? s->emit(s->ctx, &shown, err) : 0;
}

static int sequences(struct mf_db *db, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                     struct mf_error *err)
{
    static const struct mf_filter all;
    struct face_db *f = face_of(db);
    bool renamed = f->own_schema[0] != 0;
    struct sequences s = {.f = f, .filter = renamed ? filter : NULL, .emit = emit, .ctx = ctx};
    return source_of(f)->sequences(f->own, renamed ? &all : filter, show_sequence, &s, err);
}

static int sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    MF_CLEANUP_FREE struct mf_sequence *own = mf_xcalloc(n + 1, sizeof *own);
    for (size_t i = 0; i < n; i++) {
        own[i] = seqs[i];
        mf_strlcpy(own[i].schema, face_own_schema(f, seqs[i].schema), sizeof own[i].schema);
    }
    return target_of(f)->sequences_set(f->own, own, n, err);
}

static int sequences_follow(struct mf_db *db, const struct mf_filter *filter, struct mf_error *err)
{
    static const struct mf_filter all;
    struct face_db *f = face_of(db);
    return target_of(f)->sequences_follow(f->own, f->own_schema[0] ? &all : filter, err);
}

static int references_whole(struct mf_db *db, const struct mf_catalog *tables, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct mf_catalog own;
    int rc = with_tables(f, tables, &own, err);
    rc = rc < 0 ? -1 : target_of(f)->references_whole(f->own, &own, err);
    mf_catalog_free(&own);
    return rc;
}

/* ---- as a target ---- */

static int prepare(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return target_of(f)->prepare(f->own, pipe, err);
}

static int checkpoint(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return target_of(f)->checkpoint(f->own, pipe, ret, err);
}

struct quarantine {
    const struct face_db *f;
    mf_quarantine_sink *emit;
    void *ctx;
};

static int show_quarantined(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    const struct quarantine *s = ctx;
    struct mf_quarantined shown = *q;
    mf_strlcpy(shown.schema, face_shown_schema(s->f, q->schema), sizeof shown.schema);
    return s->emit(s->ctx, &shown, err);
}

static int quarantine_list(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                           struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct quarantine s = {.f = f, .emit = emit, .ctx = ctx};
    return target_of(f)->quarantine_list(f->own, pipe, show_quarantined, &s, err);
}

static int quarantine_drop(struct mf_db *db, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return target_of(f)->quarantine_drop(f->own, pipe, id, err);
}

/* Those of the other side are of another language and never come here; its own have been taken down like anybody's. */
static int triggers_up(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                       struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return target_of(f)->triggers_up(f->own, pipe, o, err);
}

static int commits_wait(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret,
                        struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->commits_wait(f->own, pipe, ret, err);
}

static int waits_end(struct mf_db *db, const struct mf_pipe_id *pipe, char *ret_said, size_t n, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->waits_end(f->own, pipe, ret_said, n, err);
}

static int check_waiting(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_wait_policy *p,
                         struct mf_findings *out, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->check_waiting(f->own, pipe, p, out, err);
}

static int check_durable(struct mf_db *db, struct mf_findings *out, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return target_of(f)->check_durable(f->own, out, err);
}

static int stream_skip(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *to,
                       struct mf_error *err)
{
    struct face_db *f = face_of(db);
    return source_of(f)->stream_skip(f->own, pipe, to, err);
}

static const struct mf_source_ops source_ops = {
    .catalog = catalog,
    .shapes = shapes,
    .what_became = what_became,
    .check = check,
    .stream_prepare = stream_prepare,
    .stream_add_tables = stream_add_tables,
    .stream_skip = stream_skip,
    .stream_open = face_stream_open,
    .stream_next = face_stream_next,
    .stream_ack = face_stream_ack,
    .stream_close = face_stream_close,
    .stream_confirm = face_stream_confirm,
    .stream_wake = face_stream_wake,
    .stream_leave = face_stream_leave,
    .commits_wait = commits_wait,
    .waits_end = waits_end,
    .check_waiting = check_waiting,
    .stream_drop = stream_drop,
    .heartbeat = heartbeat,
    .position = position,
    .clock = server_clock,
    .waits_for = waits_for,
    .load = load,
    .statements = statements,
    .key_sizes = key_sizes,
    .visible = visible,
    .snapshot_open = face_snapshot_open,
    .snapshot_now = face_snapshot_now,
    .snapshot_close = face_snapshot_close,
    .reader_open = face_reader_open,
    .reader_close = face_reader_close,
    .shape_same = face_shape_same,
    .chunk_plan = face_chunk_plan,
    .chunk_open = face_chunk_open,
    .chunk_read = face_chunk_read,
    .chunk_close = face_chunk_close,
    .chunk_rows = face_chunk_rows,
    .read_rows = face_read_rows,
    .digest = face_digest,
    .digest_rows = face_digest_rows,
    .parts = mf_default_parts,
    .chunk_split = face_chunk_split,
    .sequences = sequences,
};

static const struct mf_target_ops target_ops = {
    .check = face_check_target,
    .check_queries = mf_default_check_queries,
    .check_durable = check_durable,
    .check_accounts = mf_default_check_accounts,
    .schema_apply = face_schema_apply,
    .schema_plan = face_schema_plan,
    .schema_add_column = face_schema_add_column,
    .loader_open = face_loader_open,
    .loader_close = face_loader_close,
    .load_begin = face_load_begin,
    .load_data = face_load_data,
    .load_row = face_load_row,
    .load_rows = face_load_rows,
    .load_applier = face_load_applier,
    .load_quarantine = face_load_quarantine,
    .load_commit = face_load_commit,
    .load_abort = face_load_abort,
    .chunks_done = face_chunks_done,
    .table_reset = face_table_reset,
    .table_finish = face_table_finish,
    .prepare = prepare,
    .applier_open = face_applier_open,
    .applier_close = face_applier_close,
    .checkpoint = checkpoint,
    .window_begin = face_window_begin,
    .window_batch = face_window_batch,
    .window_cascade = face_window_cascade,
    .window_mark = face_window_mark,
    .window_settle = face_window_settle,
    .window_back = face_window_back,
    .quarantine_put = face_quarantine_put,
    .quarantine_clear = face_quarantine_clear,
    .window_commit = face_window_commit,
    .window_abort = face_window_abort,
    .repair_rows = face_repair_rows,
    .sequences_set = sequences_set,
    .sequences_follow = sequences_follow,
    .references_whole = references_whole,
    .triggers_learn = mf_default_triggers_learn,
    .triggers_up = triggers_up,
    .quarantine_list = quarantine_list,
    .quarantine_drop = quarantine_drop,
};

/* ---- opening ---- */

static void close_face(struct mf_db *db)
{
    struct face_db *f = face_of(db);
    if (f) {
        f->own->connector->close(f->own);
        free(f);
    }
}

static int facts(struct mf_db *db, struct mf_db_facts *ret, struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return own->connector->facts(own, ret, err);
}

void mf_face_apart(struct mf_db *face)
{
    face_of(face)->connector.reads_unordered = true;
}

static struct mf_db *behind(struct mf_db *db)
{
    return face_of(db)->own;
}

static void take_names(struct face_db *f, struct mf_db *peer)
{
    const struct mf_canon_ops *other = peer->connector->canon;
    const char *here = f->canon->default_schema(f->own), *there = other ? other->default_schema(peer) : NULL;
    if (here && there && !mf_streq(here, there) && strlen(here) < sizeof f->own_schema &&
        strlen(there) < sizeof f->shown_schema) {
        mf_strlcpy(f->own_schema, here, sizeof f->own_schema);
        mf_strlcpy(f->shown_schema, there, sizeof f->shown_schema);
    }
}

int mf_face_open(struct mf_db *own, struct mf_db *peer, struct mf_db **ret, struct mf_error *err)
{
    const struct mf_connector *c = own->connector;
    if (!c->canon) {
        c->close(own);
        return mf_fail(err, MF_FATAL, "MFUNSUP", "a %s database can only stand opposite another of its kind", c->name);
    }
    struct face_db *f = mf_xcalloc(1, sizeof *f);
    f->own = own;
    f->canon = c->canon;
    f->connector = (struct mf_connector){.name = c->name,
                                         .schemes = c->schemes,
                                         .can_source = c->can_source,
                                         .can_target = c->can_target,
                                         .order_is_bytes = c->order_is_bytes,
                                         .order_is_time = c->order_is_time,
                                         .last_write_wins = c->last_write_wins,
                                         .commits_can_wait = c->commits_can_wait,
                                         .streams = c->streams,
                                         .soft_hold = c->soft_hold,
                                         .shows_newer = c->shows_newer,
                                         .puts_whole = c->puts_whole,
                                         .spreads = c->spreads,
                                         .documents = c->documents,
                                         .reads_unordered = c->reads_unordered,
                                         .confirms_acknowledge = c->confirms_acknowledge,
                                         .open = c->open,
                                         .close = close_face,
                                         .facts = facts,
                                         .source = &source_ops,
                                         .target = &target_ops,
                                         .traffic = &face_traffic_ops,
                                         .replication = &mf_default_replication,
                                         .behind = behind,
                                         .describe = face_describe};
    f->base = (struct mf_db){.connector = &f->connector, .side = own->side};
    if (peer) {
        take_names(f, mf_db_behind(peer));
    }
    *ret = &f->base;
    return 0;
}
