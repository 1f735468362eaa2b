/* Reading: see connector.h. */
#ifndef MF_CONNECTOR_CASSANDRA_READ_H
#define MF_CONNECTOR_CASSANDRA_READ_H

#include "connector/cassandra/cass.h"

int cass_reader_open(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret,
                     struct mf_error *err);
void cass_reader_close(struct mf_reader *r);
int cass_chunk_plan(struct mf_reader *r, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                    mf_chunk_sink *emit, void *ctx, struct mf_error *err);
int cass_chunk_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                    void *ctx, struct mf_position *ret_after, struct mf_error *err);
int cass_read_rows(struct mf_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n,
                   mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err);

#endif
