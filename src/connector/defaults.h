/*
 * Named defaults for operations a connector lacks. A connector writes every slot of its tables: with an operation of its
 * own, or with one of these. They fail with MF_FATAL, code MFUNSUP, or answer "no". The registry's test walks the tables
 * and finds an empty slot.
 */
#ifndef MF_CONNECTOR_DEFAULTS_H
#define MF_CONNECTOR_DEFAULTS_H

#include "connector/connector.h"

int mf_default_stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                                 struct mf_error *err);
int mf_default_stream_confirm(struct mf_stream *st, const struct mf_position *upto, struct mf_error *err);
void mf_default_stream_wake(struct mf_stream *st);
int mf_default_stream_leave(struct mf_stream *st, struct mf_error *err);
int mf_default_commits_wait(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret,
                            struct mf_error *err);
/* These two find a blocker. */
int mf_default_waits_end(struct mf_db *db, const struct mf_pipe_id *pipe, char *ret_said, size_t n,
                         struct mf_error *err);
int mf_default_check_waiting(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_wait_policy *p,
                             struct mf_findings *out, struct mf_error *err);
int mf_default_check_durable(struct mf_db *db, struct mf_findings *out, struct mf_error *err);
/* Nothing to say. */
int mf_default_check_accounts(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, bool copy,
                              struct mf_findings *out, struct mf_error *err);
/* Nothing is remembered. */
int mf_default_stream_skip(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *to,
                           struct mf_error *err);
int mf_default_load(struct mf_db *db, double *ret, struct mf_error *err); /* 0: not known, never throttled on */
int mf_default_snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                             struct mf_error *err);
int mf_default_snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err);
void mf_default_snapshot_close(struct mf_snapshot *s);
int mf_default_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err);
int mf_default_digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                      struct mf_error *err);
int mf_default_digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c,
                           mf_digest_sink *emit, void *ctx, struct mf_error *err);
/* None: a row is one row. */
int mf_default_parts(struct mf_reader *r, mf_part_sink *emit, void *ctx, struct mf_error *err);
/* Emits the chunk itself: it cannot be split. */
int mf_default_chunk_split(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, int n,
                           mf_chunk_sink *emit, void *ctx, struct mf_error *err);
/* None. */
int mf_default_sequences(struct mf_db *db, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                         struct mf_error *err);

/* "is not there any more". */
int mf_default_what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                           struct mf_error *err);
int mf_default_check_queries(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter,
                             const struct mf_query_options *o, struct mf_findings *out, struct mf_error *err);
int mf_default_schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t,
                                 const struct mf_column *c, int64_t stamp, struct mf_error *err);
int mf_default_table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err); /* nothing to do */
int mf_default_statements(struct mf_db *db, int64_t most, mf_statement_sink *emit, void *ctx, struct mf_error *err);
int mf_default_key_sizes(struct mf_db *db, const struct mf_key_sizes_job *job, struct mf_key_sizes *ret,
                         struct mf_error *err);
int mf_default_clock(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us,
                     struct mf_error *err);                                            /* this machine's */
int mf_default_waits_for(struct mf_db *db, char *ret, size_t n, struct mf_error *err); /* nobody */
/* A stream that tells of nothing a reader does not see. */
int mf_default_visible(struct mf_db *db, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err);
/* Decisions are never left on their way. */
int mf_default_settle(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err);
void mf_default_hurry(struct mf_db *db, int within_ms); /* nothing takes long */
int mf_default_window_cascade(struct mf_applier *a, const struct mf_table *t, const uint16_t *columns, uint16_t n,
                              const struct mf_row *was, size_t nwas, const struct mf_row *now, int64_t stamp,
                              mf_row_sink *emit, void *ctx, bool *ret_more, struct mf_error *err);
int mf_default_window_mark(struct mf_applier *a, struct mf_error *err); /* and settle, and back */
int mf_default_quarantine_put(struct mf_applier *a, const struct mf_table *t, const struct mf_row *key,
                              const struct mf_quarantined *q, struct mf_window_result *result, struct mf_error *err);
int mf_default_quarantine_clear(struct mf_applier *a, const struct mf_table *t, const struct mf_row *const *keys,
                                size_t n, uint64_t *ret_had, struct mf_error *err);
int mf_default_load_applier(struct mf_loader *l, struct mf_applier **ret, struct mf_error *err);
/* None that are not with the schema. */
int mf_default_triggers_learn(struct mf_db *db, struct mf_db *src, const struct mf_pipe_id *pipe,
                              const struct mf_catalog *tables, const struct mf_gate_options *o, struct mf_findings *out,
                              struct mf_error *err);
int mf_default_triggers_up(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                           struct mf_error *err);
/* Success when there are none to set. */
int mf_default_sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err);
int mf_default_sequences_follow(struct mf_db *db, const struct mf_filter *filter, struct mf_error *err);
int mf_default_references_whole(struct mf_db *db, const struct mf_catalog *tables, struct mf_error *err);
/* For an engine without a lock of sessions: everybody who asks has it. *ret is NULL, which check and release take. */
int mf_default_owner(struct mf_db *db, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
                     struct mf_error *err); /* whoever asks */
int mf_default_run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                        struct mf_error *err);
int mf_default_run_lock_check(struct mf_run_lock *l, struct mf_error *err);
void mf_default_run_lock_release(struct mf_run_lock *l);

/* A canon that has no collections. */
int mf_default_document(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                        struct mf_value *ret, struct mf_error *err);
int mf_default_type_named(const char *text, struct mf_arena *arena, struct mf_type *ret, const char **ret_text,
                          struct mf_error *err);

/* None: check says so, a target follows nobody, the rest fails. */
extern const struct mf_replication_ops mf_default_replication;

#endif
