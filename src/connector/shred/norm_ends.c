/* The source's side: operations on its collections, which pass as they are. */
#include "connector/shred/internal.h"

#define OWN       struct mf_db *own = docs_of(db)->own
#define SOURCE_OP own->connector->source
#define TARGET_OP own->connector->target
#define GATE_OP   own->connector->traffic

static int what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                       struct mf_error *err)
{
    OWN;
    return SOURCE_OP->what_became(own, t, ret, n, ret_dropped, err);
}

static int check(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->check(own, filter, out, err);
}

static int stream_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                          struct mf_position *ret_start, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->stream_prepare(own, pipe, tables, ret_start, err);
}

static int stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                             struct mf_error *err)
{
    OWN;
    return SOURCE_OP->stream_add_tables(own, pipe, tables, err);
}

static int stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from,
                       bool commits_wait, struct mf_stream **ret, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->stream_open(own, pipe, from, commits_wait, ret, err);
}

static int sequences(struct mf_db *db, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                     struct mf_error *err)
{
    OWN;
    return SOURCE_OP->sequences(own, filter, emit, ctx, err);
}

/* ---- as the replica of the way back ---- */

static int check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                        struct mf_error *err)
{
    OWN;
    return TARGET_OP->check(own, src, filter, out, err);
}

static int schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                        struct mf_error *err)
{
    OWN;
    return TARGET_OP->schema_apply(own, src, job, out, err);
}

static int schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                       struct mf_error *err)
{
    OWN;
    return TARGET_OP->schema_plan(own, src, job, out, err);
}

static int schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t, const struct mf_column *c,
                             int64_t stamp, struct mf_error *err)
{
    OWN;
    return TARGET_OP->schema_add_column(own, src, t, c, stamp, err);
}

static int loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err)
{
    OWN;
    return TARGET_OP->loader_open(own, pipe, ret, err);
}

static int table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    OWN;
    return TARGET_OP->table_reset(own, pipe, t, err);
}

static int table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err)
{
    OWN;
    return TARGET_OP->table_finish(own, t, err);
}

static int applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err)
{
    OWN;
    return TARGET_OP->applier_open(own, pipe, ret, err);
}

static int sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err)
{
    OWN;
    return TARGET_OP->sequences_set(own, seqs, n, err);
}

static int sequences_follow(struct mf_db *db, const struct mf_filter *filter, struct mf_error *err)
{
    OWN;
    return TARGET_OP->sequences_follow(own, filter, err);
}

static int references_whole(struct mf_db *db, const struct mf_catalog *tables, struct mf_error *err)
{
    OWN;
    return TARGET_OP->references_whole(own, tables, err);
}

static int triggers_learn(struct mf_db *db, struct mf_db *src, const struct mf_pipe_id *pipe,
                          const struct mf_catalog *tables, const struct mf_gate_options *o, struct mf_findings *out,
                          struct mf_error *err)
{
    OWN;
    return TARGET_OP->triggers_learn(own, src, pipe, tables, o, out, err);
}

static int gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                        const struct mf_gate_options *o, struct mf_error *err)
{
    OWN;
    return GATE_OP->gate_install(own, pipe, tables, o, err);
}

void docs_norm_ends(struct docs_db *s)
{
    struct mf_source_ops *o = &s->source;
    struct mf_target_ops *t = &s->target;
    o->what_became = what_became;
    o->check = check;
    o->stream_prepare = stream_prepare;
    o->stream_add_tables = stream_add_tables;
    o->stream_open = stream_open;
    o->sequences = sequences;
    t->check = check_target;
    t->schema_apply = schema_apply;
    t->schema_plan = schema_plan;
    t->schema_add_column = schema_add_column;
    t->loader_open = loader_open;
    t->table_reset = table_reset;
    t->table_finish = table_finish;
    t->applier_open = applier_open;
    t->sequences_set = sequences_set;
    t->sequences_follow = sequences_follow;
    t->references_whole = references_whole;
    t->triggers_learn = triggers_learn;
    s->traffic.gate_install = gate_install;
}
