/* The room's own header: what its files share beyond connections (connect.h) and wire forms (wire.h). */
#ifndef MF_CONNECTOR_POSTGRES_POSTGRES_H
#define MF_CONNECTOR_POSTGRES_POSTGRES_H

#include "connector/connector.h"
#include "connector/postgres/connect.h"

extern const struct mf_connector mf_connector_postgres;
extern const struct mf_source_ops mf_pg_source_ops;
extern const struct mf_target_ops mf_pg_target_ops;
extern const struct mf_traffic_ops mf_pg_traffic_ops;

#define PG_SLOT_NAME 64

/* "midflight_<migration>_fwd" or "_rev": the slot's and the publication's name. */
void pg_pipe_name(const struct mf_pipe_id *pipe, char out[PG_SLOT_NAME]);
/* "fwd" or "rev": how a direction is written in bookkeeping rows. */
const char *pg_direction(enum mf_direction d);

/* Oids below this belong to what every database of the server's version has. */
#define PG_FIRST_USER_OID 16384u

/* "made(typ, at, mod, arr)": what the values of type `typ` are made of under domains and arrays, the modifier that a domain on
 * the way gives, and whether an array was on it. `which`: a query of the types asked for. To follow WITH RECURSIVE. */
#define PG_MADE_CTE(which)                                                                                             \
    "chain(typ, at, mod, arr, depth) AS ("                                                                             \
    " SELECT DISTINCT w.typ, w.typ, -1, false, 0 FROM (" which ") w(typ)"                                              \
    " UNION ALL SELECT k.typ, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,"                        \
    "  CASE WHEN t.typtype = 'd' AND k.mod < 0 THEN t.typtypmod ELSE k.mod END, k.arr OR t.typtype <> 'd', k.depth + " \
    "1"                                                                                                                \
    "  FROM chain k JOIN pg_catalog.pg_type t ON t.oid = k.at"                                                         \
    "  WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0 AND t.typlen = -1)"                            \
    "), made AS (SELECT DISTINCT ON (typ) typ, at, mod, arr FROM chain ORDER BY typ, depth DESC)"

/* Relations that a migration never sees, as a condition on pg_class c and pg_namespace n. */
#define PG_USER_NAMESPACE                                                                                              \
    "n.nspname NOT IN ('pg_catalog', 'information_schema', 'midflight') AND n.nspname !~ '^pg_(toast|temp_)'"

/* ---- source operations, by file ---- */

/* catalog.c */
int pg_catalog_read(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);
int pg_catalog_shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);
int pg_what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                   struct mf_error *err);

/* check_source.c */
int pg_check_source(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err);

/* prepare.c */
int pg_stream_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                      struct mf_position *ret_start, struct mf_error *err);
int pg_stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                         struct mf_error *err);
/* Publication and slot are dropped, identities set by us are put back. */
int pg_stream_drop(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);

/* stream.c */
int pg_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                   struct mf_stream **ret, struct mf_error *err);
int pg_stream_next(struct mf_stream *st, int timeout_ms, struct mf_item *ret, struct mf_error *err);
int pg_stream_ack(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err);
void pg_stream_close(struct mf_stream *st);
/* stream_wait.c */
int pg_stream_confirm(struct mf_stream *st, const struct mf_position *upto, struct mf_error *err);
void pg_stream_wake(struct mf_stream *st);
int pg_stream_leave(struct mf_stream *st, struct mf_error *err);

/* beat.c */
int pg_heartbeat(struct mf_db *db, const struct mf_pipe_id *pipe, const char *marker, struct mf_position *ret_after,
                 struct mf_error *err);
int pg_position_now(struct mf_db *db, struct mf_position *ret, struct mf_error *err);
int pg_visible(struct mf_db *db, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err);
int pg_load(struct mf_db *db, double *ret, struct mf_error *err);

/* sequences.c */
int pg_sequences(struct mf_db *db, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                 struct mf_error *err);

/* owner.c */
int pg_clock(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err);
int pg_waits_for(struct mf_db *db, char *ret, size_t n, struct mf_error *err);

/* figures.c */
int pg_statements(struct mf_db *db, int64_t most, mf_statement_sink *emit, void *ctx, struct mf_error *err);
int pg_key_sizes(struct mf_db *db, const struct mf_key_sizes_job *job, struct mf_key_sizes *ret, struct mf_error *err);

/* snapshot.c */
int pg_snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                     struct mf_error *err);
int pg_snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err);
void pg_snapshot_close(struct mf_snapshot *s);

/* chunk.c, plan.c, digest.c */
int pg_reader_open(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret, struct mf_error *err);
void pg_reader_close(struct mf_reader *r);
int pg_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err);
int pg_chunk_plan(struct mf_reader *r, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                  mf_chunk_sink *emit, void *ctx, struct mf_error *err);
int pg_chunk_split(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, int n, mf_chunk_sink *emit,
                   void *ctx, struct mf_error *err);
int pg_chunk_open(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err);
int pg_chunk_read(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err);
int pg_chunk_close(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err);
int pg_chunk_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit, void *ctx,
                  struct mf_position *ret_after, struct mf_error *err);
int pg_read_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n, mf_row_sink *emit,
                 void *ctx, struct mf_position *ret_after, struct mf_error *err);
int pg_digest(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
              struct mf_error *err);
int pg_digest_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                   void *ctx, struct mf_error *err);

#endif
