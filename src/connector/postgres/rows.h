/* Rows one at a time from a reader's session. */
#ifndef MF_CONNECTOR_POSTGRES_ROWS_H
#define MF_CONNECTOR_POSTGRES_ROWS_H

#include "connector/postgres/reader.h"

/* Calls take for each row of the query (row 0 of a result of one row). After an error the rest may still be on its way:
 * pg_work_abort. */
int pg_each_row(struct pg_reader *r, const char *sql, int (*take)(void *ctx, const PGresult *row, struct mf_error *err),
                void *ctx, struct mf_error *err);

/* Columns first … first + n - 1 of the row as text values; views into the result. */
void pg_row_values(const PGresult *row, int first, int n, struct mf_value *values);

#endif
