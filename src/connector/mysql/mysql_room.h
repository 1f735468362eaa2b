/* The room's own header: what its files share beyond connections (connect.h), column types (coltype.h) and the log (binlog.h,
 * gtid.h). Operations are described in connector/connector.h; here is only which file has them. */
#ifndef MF_CONNECTOR_MYSQL_MYSQL_ROOM_H
#define MF_CONNECTOR_MYSQL_MYSQL_ROOM_H

#include "connector/connector.h"
#include "connector/mysql/coltype.h"
#include "connector/mysql/connect.h"
#include "connector/mysql/gtid.h"

extern const struct mf_connector mf_connector_mysql;

/* Chunks travel between two servers of this kind as rows of VALUES, ready for INSERT: "(1,'a',NULL)" separated by commas, cut at row ends
 * (chunk.c makes them, load.c sends them). */
#define MY_WIRE "mysqlvalues"

const char *my_direction(enum mf_direction d); /* "fwd", "rev": as written in bookkeeping rows */

/* Databases that a migration never sees, as a condition on a column of names. */
#define MY_USER_SCHEMA(col) col " NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys', '" MY_BOOK "')"

/* ---- source operations ---- */

/* catalog.c */
int my_catalog_read(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);
int my_catalog_shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);
int my_what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                   struct mf_error *err);
/* The stable number of a table: from its database and name, the same in every process. */
uint32_t my_table_id(const char *schema, const char *name);
/* One table as it is now, in the arena; *ret NULL when it is not there. */
int my_catalog_table(MYSQL *c, const struct my_db *db, const char *schema, const char *name, struct mf_arena *arena,
                     struct mf_table **ret, struct mf_error *err);

/* check_source.c */
int my_check_source(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err);

/* prepare.c: what is streamed is remembered in midflight.settings, see there */
int my_stream_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                      struct mf_position *ret_start, struct mf_error *err);
int my_stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                         struct mf_error *err);
int my_stream_skip(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *to, struct mf_error *err);
int my_stream_drop(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);

/* stream.c, with dump.c (the connection as a replica) and relations.c (tables by map) */
int my_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                   struct mf_stream **ret, struct mf_error *err);
int my_stream_next(struct mf_stream *st, int timeout_ms, struct mf_item *ret, struct mf_error *err);
int my_stream_ack(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err);
void my_stream_close(struct mf_stream *st);
/* stream_wait.c */
int my_stream_confirm(struct mf_stream *st, const struct mf_position *upto, struct mf_error *err);
void my_stream_wake(struct mf_stream *st);
int my_stream_leave(struct mf_stream *st, struct mf_error *err);
/* semisync.c */
int my_commits_wait(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret, struct mf_error *err);
int my_check_waiting(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_wait_policy *p,
                     struct mf_findings *out, struct mf_error *err);
int my_check_durable(struct mf_db *db, struct mf_findings *out, struct mf_error *err);
/* Ends a session that reads the log as a semi-synchronous replica, so that commits go on without it. */
int my_semisync_leave(struct my_db *db, unsigned long session, struct mf_error *err);

/* figures.c */
int my_statements(struct mf_db *db, int64_t most, mf_statement_sink *emit, void *ctx, struct mf_error *err);
int my_key_sizes(struct mf_db *db, const struct mf_key_sizes_job *job, struct mf_key_sizes *ret, struct mf_error *err);

/* visible.c */
int my_visible(struct mf_db *db, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err);

/* beat.c */
int my_heartbeat(struct mf_db *db, const struct mf_pipe_id *pipe, const char *marker, struct mf_position *ret_after,
                 struct mf_error *err);
int my_position_now(struct mf_db *db, struct mf_position *ret, struct mf_error *err);
/* Not before any transaction that a reader of this session has seen: what is executed and what is being committed. */
int my_position_seen(MYSQL *c, const struct my_db *db, struct mf_position *ret, struct mf_error *err);
int my_load(struct mf_db *db, double *ret, struct mf_error *err);
int my_clock(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err);
int my_waits_for(struct mf_db *db, char *ret, size_t n, struct mf_error *err);

/* snapshot.c */
int my_snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                     struct mf_error *err);
int my_snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err);
void my_snapshot_close(struct mf_snapshot *s);

/* reader.c, plan.c, chunk.c, range.c, digest.c */
int my_reader_open(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret, struct mf_error *err);
void my_reader_close(struct mf_reader *r);
int my_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err);
int my_chunk_plan(struct mf_reader *r, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                  mf_chunk_sink *emit, void *ctx, struct mf_error *err);
int my_chunk_split(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, int n, mf_chunk_sink *emit,
                   void *ctx, struct mf_error *err);
int my_chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err);
int my_chunk_read(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err);
int my_chunk_close(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err);
int my_chunk_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit, void *ctx,
                  struct mf_position *ret_after, struct mf_error *err);
int my_read_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n, mf_row_sink *emit,
                 void *ctx, struct mf_position *ret_after, struct mf_error *err);
int my_digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
              struct mf_error *err);
int my_digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                   void *ctx, struct mf_error *err);

/* autoinc.c: a table's AUTO_INCREMENT counter is a sequence of the table's name */
int my_sequences(struct mf_db *db, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                 struct mf_error *err);
int my_references_whole(struct mf_db *db, const struct mf_catalog *tables, struct mf_error *err);
int my_sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err);

/* ---- target operations ---- */

/* check_target.c */
int my_check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                    struct mf_error *err);
/* check_accounts.c */
int my_check_accounts(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, bool copy,
                      struct mf_findings *out, struct mf_error *err);
/* check_queries.c */
int my_check_queries(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter,
                     const struct mf_query_options *o, struct mf_findings *out, struct mf_error *err);

/* schema.c */
int my_schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                    struct mf_error *err);
int my_schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                   struct mf_error *err);
int my_schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t, const struct mf_column *c,
                         int64_t stamp, struct mf_error *err);

int my_triggers_learn(struct mf_db *db, struct mf_db *src, const struct mf_pipe_id *pipe,
                      const struct mf_catalog *tables, const struct mf_gate_options *o, struct mf_findings *out,
                      struct mf_error *err);
/* triggers.c */
int my_triggers_up(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                   struct mf_error *err);

/* load.c, with load_table.c */
int my_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err);
void my_loader_close(struct mf_loader *l);
int my_load_begin(struct mf_loader *l, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                  struct mf_error *err);
int my_load_data(struct mf_loader *l, const void *data, size_t len, struct mf_error *err);
int my_load_row(struct mf_loader *l, const struct mf_row *row, struct mf_error *err);
int my_load_rows(struct mf_loader *l, const struct mf_row *rows, size_t n, struct mf_error *err);
int my_load_applier(struct mf_loader *l, struct mf_applier **ret, struct mf_error *err);
int my_load_quarantine(struct mf_loader *l, const struct mf_quarantined *q, struct mf_error *err);
int my_load_commit(struct mf_loader *l, const struct mf_chunk_done *done, struct mf_error *err);
void my_load_abort(struct mf_loader *l);
int my_table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err);
int my_table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err);

/* apply.c, with apply_rows.c, apply_careful.c, apply_wire.c (packets and answers), stmt.c and literal.c (rows into statements), shape.c, repair.c,
 * quarantine.c */
int my_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err);
void my_applier_close(struct mf_applier *a);
int my_window_begin(struct mf_applier *a, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                    struct mf_error *err);
int my_window_batch(struct mf_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                    struct mf_error *err);
int my_window_cascade(struct mf_applier *a, const struct mf_table *t, const uint16_t *columns, uint16_t n,
                      const struct mf_row *was, size_t nwas, const struct mf_row *now, int64_t stamp, mf_row_sink *emit,
                      void *ctx, bool *ret_more, struct mf_error *err);
int my_window_mark(struct mf_applier *a, struct mf_error *err);
int my_window_settle(struct mf_applier *a, struct mf_error *err);
int my_window_back(struct mf_applier *a, struct mf_error *err);
int my_quarantine_put(struct mf_applier *a, const struct mf_table *t, const struct mf_row *key,
                      const struct mf_quarantined *q, struct mf_window_result *result, struct mf_error *err);
int my_quarantine_clear(struct mf_applier *a, const struct mf_table *t, const struct mf_row *const *keys, size_t n,
                        uint64_t *ret_had, struct mf_error *err);
int my_window_commit(struct mf_applier *a, struct mf_error *err);
void my_window_abort(struct mf_applier *a);
int my_repair_rows(struct mf_applier *a, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                   const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err);

/* writer.c: a session that writes for us. Sets @midflight to the migration's name, which the gates let pass; foreign keys are not checked (what is
 * written was checked where it came from); waits for locks are long, but bounded. */
int my_writer_session(MYSQL *c, const struct mf_pipe_id *pipe, struct mf_error *err);

/* book.c */
int my_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
int my_book_exists(MYSQL *c, bool *ret, struct mf_error *err);
int my_checkpoint(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err);
int my_chunks_done(struct mf_db *db, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                   struct mf_error *err);
int my_quarantine_list(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                       struct mf_error *err);
int my_quarantine_drop(struct mf_db *db, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err);
void my_put_quarantine_insert(struct mf_buf *b, const struct mf_pipe_id *pipe, const struct mf_quarantined *q);

/* ---- traffic operations: owner.c, gate.c, hold.c, epoch.c, cleanup.c ---- */

int my_owner(struct mf_db *db, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
             struct mf_error *err);
int my_run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                struct mf_error *err);
int my_run_lock_check(struct mf_run_lock *l, struct mf_error *err);
void my_run_lock_release(struct mf_run_lock *l);
int my_gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                    const struct mf_gate_options *o, struct mf_error *err);
int my_gate_remove(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                   struct mf_error *err);
int my_hold(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o, struct mf_hold **ret,
            struct mf_error *err);
int my_hold_decide(struct mf_hold *h, const struct mf_epoch *e, struct mf_error *err);
void my_hold_release(struct mf_hold *h);
int my_epoch_read(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err);
int my_epoch_write(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err);
int my_settle(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err);
int my_cleanup(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);

/* An exclusive lock of sessions, GET_LOCK, its name made of what and the pipe. *ret_got false after wait_ms. */
int my_session_lock(MYSQL *c, const char *what, const struct mf_pipe_id *pipe, bool with_direction, int wait_ms,
                    bool *ret_got, struct mf_error *err);

#endif
