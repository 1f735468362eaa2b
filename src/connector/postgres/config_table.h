/* Tables of extensions that hold a user's configuration: see config_table.c. */
#ifndef MF_CONNECTOR_POSTGRES_CONFIG_TABLE_H
#define MF_CONNECTOR_POSTGRES_CONFIG_TABLE_H

#include "connector/postgres/postgres.h"

/* Those of a database, one a row. */
int pg_config_tables(PGconn *c, PGresult **ret, struct mf_error *err);
int pg_config_find(const PGresult *config, const struct mf_table *t); /* its row, or -1 */
/* Has it rows that the extension did not bring? c is the database `config` was read from. */
int pg_config_has_rows(PGconn *c, const PGresult *config, int row, bool *ret, struct mf_error *err);

/* A finding for each that migrates. */
int pg_config_note(PGconn *source, const struct mf_catalog *tables, struct mf_findings *out, struct mf_error *err);
/* Takes what CREATE EXTENSION put into those that migrate out of them, unless their copy has begun. */
int pg_config_empty(PGconn *target, const struct mf_catalog *tables, struct mf_error *err);

#endif
