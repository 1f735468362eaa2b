#include "connector/passing.h"

#define OWN       struct mf_db *own = db->connector->behind(db)
#define SOURCE_OP own->connector->source
#define TARGET_OP own->connector->target
#define GATE_OP   own->connector->traffic

static int check(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err)
{
    OWN;
    (void)filter; /* of collections */
    return SOURCE_OP->check(own, NULL, out, err);
}

static int stream_skip(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *to,
                       struct mf_error *err)
{
    OWN;
    return SOURCE_OP->stream_skip(own, pipe, to, err);
}

static int stream_drop(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->stream_drop(own, pipe, err);
}

static int commits_wait(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret,
                        struct mf_error *err)
{
    OWN;
    return SOURCE_OP->commits_wait(own, pipe, ret, err);
}

static int check_waiting(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_wait_policy *p,
                         struct mf_findings *out, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->check_waiting(own, pipe, p, out, err);
}

static int waits_end(struct mf_db *db, const struct mf_pipe_id *pipe, char *ret_said, size_t n, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->waits_end(own, pipe, ret_said, n, err);
}

static int heartbeat(struct mf_db *db, const struct mf_pipe_id *pipe, const char *marker, struct mf_position *ret_after,
                     struct mf_error *err)
{
    OWN;
    return SOURCE_OP->heartbeat(own, pipe, marker, ret_after, err);
}

static int position(struct mf_db *db, struct mf_position *ret, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->position(own, ret, err);
}

static int server_clock(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->clock(own, ret_us, ret_latest_us, err);
}

static int waits_for(struct mf_db *db, char *ret, size_t n, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->waits_for(own, ret, n, err);
}

static int load(struct mf_db *db, double *ret, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->load(own, ret, err);
}

static int visible(struct mf_db *db, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->visible(own, txns, n, ret, err);
}

static int snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                         struct mf_error *err)
{
    OWN;
    return SOURCE_OP->snapshot_open(own, pipe, readers, ret, err);
}

static int snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->snapshot_now(own, readers, ret, err);
}

static int statements(struct mf_db *db, int64_t most, mf_statement_sink *emit, void *ctx, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->statements(own, most, emit, ctx, err);
}

static int key_sizes(struct mf_db *db, const struct mf_key_sizes_job *job, struct mf_key_sizes *ret,
                     struct mf_error *err)
{
    OWN;
    return SOURCE_OP->key_sizes(own, job, ret, err);
}

static int check_queries(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter,
                         const struct mf_query_options *o, struct mf_findings *out, struct mf_error *err)
{
    OWN;
    return TARGET_OP->check_queries(own, src, filter, o, out, err);
}

static int check_durable(struct mf_db *db, struct mf_findings *out, struct mf_error *err)
{
    OWN;
    return TARGET_OP->check_durable(own, out, err);
}

static int check_accounts(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, bool copy,
                          struct mf_findings *out, struct mf_error *err)
{
    OWN;
    return TARGET_OP->check_accounts(own, src, filter, copy, out, err);
}

static int chunks_done(struct mf_db *db, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                       struct mf_error *err)
{
    OWN;
    return TARGET_OP->chunks_done(own, pipe, emit, ctx, err);
}

static int prepare(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    OWN;
    return TARGET_OP->prepare(own, pipe, err);
}

static int checkpoint(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err)
{
    OWN;
    return TARGET_OP->checkpoint(own, pipe, ret, err);
}

static int triggers_up(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                       struct mf_error *err)
{
    OWN;
    return TARGET_OP->triggers_up(own, pipe, o, err);
}

static int quarantine_list(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                           struct mf_error *err)
{
    OWN;
    return TARGET_OP->quarantine_list(own, pipe, emit, ctx, err);
}

static int quarantine_drop(struct mf_db *db, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err)
{
    OWN;
    return TARGET_OP->quarantine_drop(own, pipe, id, err);
}

static int owner(struct mf_db *db, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
                 struct mf_error *err)
{
    OWN;
    return GATE_OP->owner(own, pipe, claim, ret, n, err);
}

static int run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                    struct mf_error *err)
{
    OWN;
    return GATE_OP->run_lock(own, pipe, wait_ms, ret, err);
}

static int gate_remove(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                       struct mf_error *err)
{
    OWN;
    return GATE_OP->gate_remove(own, pipe, o, err);
}

static int hold(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o, struct mf_hold **ret,
                struct mf_error *err)
{
    OWN;
    return GATE_OP->hold(own, pipe, o, ret, err);
}

static int epoch_read(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err)
{
    OWN;
    return GATE_OP->epoch_read(own, pipe, ret, err);
}

static int settle(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err)
{
    OWN;
    return GATE_OP->settle(own, pipe, wait_ms, err);
}

static int epoch_write(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err)
{
    OWN;
    return GATE_OP->epoch_write(own, pipe, e, err);
}

static void hurry(struct mf_db *db, int within_ms)
{
    OWN;
    GATE_OP->hurry(own, within_ms);
}

static int cleanup(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    OWN;
    return GATE_OP->cleanup(own, pipe, err);
}

void mf_pass_ops(struct mf_source_ops *s, struct mf_target_ops *t, struct mf_traffic_ops *g)
{
    s->check = check;
    s->stream_skip = stream_skip;
    s->stream_drop = stream_drop;
    s->commits_wait = commits_wait;
    s->check_waiting = check_waiting;
    s->waits_end = waits_end;
    s->heartbeat = heartbeat;
    s->position = position;
    s->clock = server_clock;
    s->waits_for = waits_for;
    s->load = load;
    s->visible = visible;
    s->snapshot_open = snapshot_open;
    s->snapshot_now = snapshot_now;
    s->statements = statements;
    s->key_sizes = key_sizes;
    t->check_queries = check_queries;
    t->check_durable = check_durable;
    t->check_accounts = check_accounts;
    t->chunks_done = chunks_done;
    t->prepare = prepare;
    t->checkpoint = checkpoint;
    t->triggers_up = triggers_up;
    t->quarantine_list = quarantine_list;
    t->quarantine_drop = quarantine_drop;
    g->owner = owner;
    g->run_lock = run_lock;
    g->gate_remove = gate_remove;
    g->hold = hold;
    g->epoch_read = epoch_read;
    g->settle = settle;
    g->epoch_write = epoch_write;
    g->hurry = hurry;
    g->cleanup = cleanup;
}
