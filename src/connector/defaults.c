#include "connector/defaults.h"

#include "base/clock.h"
#include "base/str.h"

#include <stdio.h>

static int unsupported(const struct mf_db *db, const char *what, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFUNSUP", "the %s connector cannot %s", db->connector->name, what);
}

int mf_default_stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                                 struct mf_error *err)
{
    (void)pipe, (void)tables;
    return unsupported(db, "add tables to a stream that runs", err);
}

int mf_default_stream_confirm(struct mf_stream *st, const struct mf_position *upto, struct mf_error *err)
{
    (void)upto;
    return unsupported(st->db, "let commits wait", err);
}

void mf_default_stream_wake(struct mf_stream *st)
{
    (void)st;
}

int mf_default_stream_leave(struct mf_stream *st, struct mf_error *err)
{
    (void)st, (void)err;
    return 0;
}

int mf_default_commits_wait(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret,
                            struct mf_error *err)
{
    (void)pipe, (void)ret;
    return unsupported(db, "let commits wait", err);
}

int mf_default_waits_end(struct mf_db *db, const struct mf_pipe_id *pipe, char *ret_said, size_t n,
                         struct mf_error *err)
{
    (void)db, (void)pipe, (void)err;
    mf_strlcpy(ret_said, "", n);
    return 0;
}

int mf_default_check_waiting(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_wait_policy *p,
                             struct mf_findings *out, struct mf_error *err)
{
    (void)pipe, (void)p, (void)err;
    mf_findings_add(out, MF_BLOCKER, db->side, "dual-writes", "dual_writes",
                    "take dual_writes out of the configuration",
                    "a %s source cannot let its commits wait for the target", db->connector->name);
    return 0;
}

int mf_default_check_durable(struct mf_db *db, struct mf_findings *out, struct mf_error *err)
{
    (void)err;
    mf_findings_add(out, MF_BLOCKER, db->side, "dual-writes", "dual_writes",
                    "take dual_writes out of the configuration",
                    "it is not known of a %s target whether its commits survive a crash", db->connector->name);
    return 0;
}

int mf_default_check_accounts(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, bool copy,
                              struct mf_findings *out, struct mf_error *err)
{
    (void)db, (void)src, (void)filter, (void)copy, (void)out, (void)err;
    return 0;
}

int mf_default_stream_skip(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *to,
                           struct mf_error *err)
{
    (void)db, (void)pipe, (void)to, (void)err;
    return 0;
}

int mf_default_load(struct mf_db *db, double *ret, struct mf_error *err)
{
    (void)db, (void)err;
    *ret = 0;
    return 0;
}

int mf_default_snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                             struct mf_error *err)
{
    (void)pipe, (void)readers, (void)ret;
    return unsupported(db, "give a snapshot at a known position", err);
}

int mf_default_snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err)
{
    (void)readers, (void)ret;
    return unsupported(db, "give a snapshot", err);
}

void mf_default_snapshot_close(struct mf_snapshot *s)
{
    (void)s;
}

int mf_default_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err)
{
    (void)r, (void)t, (void)err;
    return 0;
}

int mf_default_digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                      struct mf_error *err)
{
    (void)t, (void)c, (void)ret;
    return unsupported(r->db, "compute digests", err);
}

int mf_default_digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c,
                           mf_digest_sink *emit, void *ctx, struct mf_error *err)
{
    (void)t, (void)c, (void)emit, (void)ctx;
    return unsupported(r->db, "compute digests", err);
}

int mf_default_parts(struct mf_reader *r, mf_part_sink *emit, void *ctx, struct mf_error *err)
{
    (void)r, (void)emit, (void)ctx, (void)err;
    return 0;
}

int mf_default_chunk_split(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, int n,
                           mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    (void)r, (void)t, (void)n;
    return emit(ctx, c, err);
}

int mf_default_sequences(struct mf_db *db, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                         struct mf_error *err)
{
    (void)db, (void)filter, (void)emit, (void)ctx, (void)err;
    return 0;
}

int mf_default_what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                           struct mf_error *err)
{
    (void)db, (void)t, (void)err;
    *ret_dropped = true;
    snprintf(ret, n, "is not there any more");
    return 0;
}

int mf_default_check_queries(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter,
                             const struct mf_query_options *o, struct mf_findings *out, struct mf_error *err)
{
    (void)src, (void)filter, (void)o, (void)out;
    return unsupported(db, "look at the statements a source has seen", err);
}

int mf_default_schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t,
                                 const struct mf_column *c, int64_t stamp, struct mf_error *err)
{
    (void)src, (void)t, (void)c, (void)stamp;
    return unsupported(db, "add a column while the migration runs", err);
}

int mf_default_clock(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err)
{
    (void)db, (void)err;
    *ret_us = mf_wall_us();
    if (ret_latest_us) {
        *ret_latest_us = *ret_us;
    }
    return 0;
}

int mf_default_table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err)
{
    (void)db, (void)t, (void)err;
    return 0;
}

int mf_default_window_cascade(struct mf_applier *a, const struct mf_table *t, const uint16_t *columns, uint16_t n,
                              const struct mf_row *was, size_t nwas, const struct mf_row *now, int64_t stamp,
                              mf_row_sink *emit, void *ctx, bool *ret_more, struct mf_error *err)
{
    (void)columns, (void)n, (void)was, (void)nwas, (void)now, (void)stamp, (void)emit, (void)ctx, (void)ret_more;
    return mf_fail(err, MF_FATAL, "MFUNSUP",
                   "rows of %s.%s that the source's server changed by itself cannot be changed in a %s database",
                   t->schema, t->name, a->db->connector->name);
}

int mf_default_window_mark(struct mf_applier *a, struct mf_error *err)
{
    return unsupported(a->db, "take a part of a transaction back", err);
}

int mf_default_quarantine_put(struct mf_applier *a, const struct mf_table *t, const struct mf_row *key,
                              const struct mf_quarantined *q, struct mf_window_result *result, struct mf_error *err)
{
    (void)t, (void)key, (void)q, (void)result;
    return unsupported(a->db, "keep what is of no table of its own in quarantine", err);
}

int mf_default_quarantine_clear(struct mf_applier *a, const struct mf_table *t, const struct mf_row *const *keys,
                                size_t n, uint64_t *ret_had, struct mf_error *err)
{
    (void)t, (void)keys, (void)n, (void)ret_had;
    return unsupported(a->db, "keep what is of no table of its own in quarantine", err);
}

int mf_default_load_applier(struct mf_loader *l, struct mf_applier **ret, struct mf_error *err)
{
    (void)ret;
    return unsupported(l->db, "load rows of several tables at once", err);
}

int mf_default_triggers_learn(struct mf_db *db, struct mf_db *src, const struct mf_pipe_id *pipe,
                              const struct mf_catalog *tables, const struct mf_gate_options *o, struct mf_findings *out,
                              struct mf_error *err)
{
    (void)db, (void)src, (void)pipe, (void)tables, (void)o, (void)out, (void)err;
    return 0;
}

int mf_default_triggers_up(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                           struct mf_error *err)
{
    (void)db, (void)pipe, (void)o, (void)err;
    return 0;
}

int mf_default_sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err)
{
    (void)seqs;
    return n == 0 ? 0 : unsupported(db, "set sequences", err);
}

int mf_default_sequences_follow(struct mf_db *db, const struct mf_filter *filter, struct mf_error *err)
{
    (void)db, (void)filter, (void)err;
    return 0;
}

int mf_default_references_whole(struct mf_db *db, const struct mf_catalog *tables, struct mf_error *err)
{
    (void)db, (void)tables, (void)err;
    return 0;
}

int mf_default_statements(struct mf_db *db, int64_t most, mf_statement_sink *emit, void *ctx, struct mf_error *err)
{
    (void)most, (void)emit, (void)ctx;
    return unsupported(db, "tell which statements it was asked", err);
}

int mf_default_key_sizes(struct mf_db *db, const struct mf_key_sizes_job *job, struct mf_key_sizes *ret,
                         struct mf_error *err)
{
    (void)job, (void)ret;
    return unsupported(db, "measure how many rows have the same key", err);
}

int mf_default_waits_for(struct mf_db *db, char *ret, size_t n, struct mf_error *err)
{
    (void)db, (void)err;
    mf_strlcpy(ret, "", n);
    return 0;
}

int mf_default_visible(struct mf_db *db, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err)
{
    (void)db, (void)txns, (void)n, (void)err;
    *ret = true;
    return 0;
}

int mf_default_owner(struct mf_db *db, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
                     struct mf_error *err)
{
    (void)db, (void)pipe, (void)err;
    mf_strlcpy(ret, claim ? claim : "", n);
    return 0;
}

int mf_default_run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                        struct mf_error *err)
{
    (void)db, (void)pipe, (void)wait_ms, (void)err;
    *ret = NULL;
    return 0;
}

int mf_default_run_lock_check(struct mf_run_lock *l, struct mf_error *err)
{
    (void)l, (void)err;
    return 0;
}

void mf_default_run_lock_release(struct mf_run_lock *l)
{
    (void)l;
}

int mf_default_settle(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err)
{
    (void)db, (void)pipe, (void)wait_ms, (void)err;
    return 0;
}

void mf_default_hurry(struct mf_db *db, int within_ms)
{
    (void)db, (void)within_ms;
}

/* ---- the servers' own replication ---- */

static int no_replication_check(struct mf_db *target, struct mf_db *source, const struct mf_filter *filter,
                                struct mf_findings *out, struct mf_error *err)
{
    (void)source, (void)filter, (void)err;
    mf_findings_add(out, MF_BLOCKER, MF_TARGET, "native-mode", "mode",
                    "take mode: native out of the configuration (mode: stream is the default)",
                    "midflight does not set up replication between %s servers: mode: native is not for them",
                    target->connector->name);
    return 0;
}

static int no_attach(struct mf_db *target, struct mf_db *source, const struct mf_pipe_id *pipe,
                     const struct mf_replication_job *job, struct mf_error *err)
{
    (void)source, (void)pipe, (void)job;
    return unsupported(target, "follow by its server's own replication", err);
}

static int no_resume(struct mf_db *target, struct mf_db *source, const struct mf_pipe_id *pipe,
                     const struct mf_position *until, struct mf_error *err)
{
    (void)source, (void)pipe, (void)until;
    return unsupported(target, "follow by its server's own replication", err);
}

static int no_pause(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    (void)target, (void)pipe, (void)err;
    return 0;
}

static int no_status(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_replication_status *ret,
                     struct mf_error *err)
{
    (void)target, (void)pipe, (void)err;
    *ret = (struct mf_replication_status){0};
    return 0;
}

const struct mf_replication_ops mf_default_replication = {
    .check = no_replication_check,
    .attach = no_attach,
    .resume = no_resume,
    .pause = no_pause,
    .status = no_status,
    .detach = no_pause,
};

int mf_default_document(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                        struct mf_value *ret, struct mf_error *err)
{
    (void)t, (void)arena, (void)in, (void)ret;
    return mf_fail(err, MF_FATAL, "MFUNSUP", "this database has no values that are documents elsewhere");
}

int mf_default_type_named(const char *text, struct mf_arena *arena, struct mf_type *ret, const char **ret_text,
                          struct mf_error *err)
{
    (void)arena, (void)err;
    *ret = (struct mf_type){.kind = MF_KIND_OPAQUE};
    *ret_text = text;
    return 0;
}
