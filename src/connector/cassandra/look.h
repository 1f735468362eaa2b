/* Looking at tables, of one node or of any: all pages of an answer, row by row, and what a cell of one means. */
#ifndef MF_CONNECTOR_CASSANDRA_LOOK_H
#define MF_CONNECTOR_CASSANDRA_LOOK_H

#include "base/cleanup.h"
#include "connector/cassandra/canon.h"
#include "connector/cassandra/cql.h"

/* Cells are good during the call. Not 0 ends the asking with that, here and below. */
typedef int cass_row_fn(void *ctx, const struct mf_cql_answer *a, const struct cql_bytes *cells, struct mf_error *err);
/* Every row of a SELECT of n columns (0: whatever it has), page by page. what: its text, for errors. */
int cass_pages(struct mf_cql *c, const struct mf_cql_request *request, const char *what, int32_t n, cass_row_fn *each,
               void *ctx, struct mf_error *err);

typedef int cass_look_row(void *ctx, const struct cql_bytes *cells, struct mf_error *err);
/* text is SELECT with n columns. node: of mf_cql_nodes, the one that is asked and no other; 0: any. each may be NULL. */
int cass_look(struct mf_cql *c, const char *text, int32_t n, uint32_t node, cass_look_row *each, void *ctx,
              struct mf_error *err);
/* The same of a statement that is put together; it is empty afterwards. */
int cass_look_buf(struct mf_cql *c, struct mf_buf *text, int32_t n, uint32_t node, cass_look_row *each, void *ctx,
                  struct mf_error *err);

/* A text that ends with a NUL; "" for NULL. NULL: the arena is full. */
const char *cass_look_text(struct mf_arena *arena, struct cql_bytes cell);
bool cass_look_is(struct cql_bytes cell, const char *text);
/* Of a number of whatever width; 0 for NULL. */
int64_t cass_look_number(struct cql_bytes cell);
bool cass_look_true(struct cql_bytes cell);

#endif
