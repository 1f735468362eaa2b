/* Operations of the target and of traffic that have no other header. */
#ifndef MF_CONNECTOR_POSTGRES_TARGET_H
#define MF_CONNECTOR_POSTGRES_TARGET_H

#include "connector/postgres/postgres.h"

/* check_target.c */
int pg_check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                    struct mf_error *err);
/* schema.c */
int pg_schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                    struct mf_error *err);
int pg_schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                   struct mf_error *err);
int pg_schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t, const struct mf_column *c,
                         int64_t stamp, struct mf_error *err);
/* sequences.c */
int pg_references_whole(struct mf_db *db, const struct mf_catalog *tables, struct mf_error *err);
int pg_sequences_follow(struct mf_db *db, const struct mf_filter *filter, struct mf_error *err);
int pg_sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err);
/* gate.c, hold.c */
int pg_gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                    const struct mf_gate_options *o, struct mf_error *err);
int pg_gate_remove(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                   struct mf_error *err);
int pg_hold_writers(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                    struct mf_hold **ret, struct mf_error *err);
int pg_hold_decide(struct mf_hold *h, const struct mf_epoch *e, struct mf_error *err);
void pg_hold_release(struct mf_hold *h);
int pg_settle(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err);
/* owner.c */
int pg_owner(struct mf_db *db, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
             struct mf_error *err);
int pg_run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                struct mf_error *err);
int pg_run_lock_check(struct mf_run_lock *l, struct mf_error *err);
void pg_run_lock_release(struct mf_run_lock *l);
/* cleanup.c */
int pg_cleanup(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);

#endif
