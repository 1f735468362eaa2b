/* Making and removing what a stream needs on its source; see prepare.c and identity.c. */
#ifndef MF_CONNECTOR_POSTGRES_PREPARE_H
#define MF_CONNECTOR_POSTGRES_PREPARE_H

#include "connector/postgres/postgres.h"

/* Runs sql (one transaction of its own, "BEGIN; …; COMMIT") with a short lock time-out, again and again for half a
 * minute while others hold the lock. object is named in errors. Changes the session's time-outs. */
int pg_exec_locking(PGconn *c, const char *sql, const char *object, struct mf_error *err);

/* One row for each table of the database: PG_IDENTITY_… are the columns. WANTED is "" when a stream finds its old rows
 * already, else what to write after REPLICA IDENTITY. NOW is the same form, for putting it back. TABLE is quoted. */
int pg_identities(PGconn *c, PGresult **ret, struct mf_error *err);
enum {
    PG_IDENTITY_OID,
    PG_IDENTITY_TABLE,
    PG_IDENTITY_NOW,
    PG_IDENTITY_WANTED,
    PG_IDENTITY_SCHEMA,
    PG_IDENTITY_NAME,
    PG_IDENTITY_KEY,      /* the same form for its best unique index; NULL: it has none */
    PG_IDENTITY_GENERATED /* it has a generated column */
};
/* Its identity will be FULL once a stream is prepared. From PG_GENERATED_REFUSED on, the server refuses updates and deletes
 * of a published table with that identity and a generated column (42P10), unless the publication has that column too. */
#define PG_GENERATED_REFUSED 180000
bool pg_identity_is_full(const PGresult *r, int row);
/* The statement that gives it another one. */
void pg_identity_remedy(const PGresult *r, int row, char *out, size_t n);

/* Steps of pg_stream_prepare, on a connection of the caller. */
int pg_set_identities(PGconn *c, const struct mf_pipe_id *pipe, const struct mf_catalog *tables, struct mf_error *err);
int pg_publish(PGconn *c, const char *name, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
               bool slot_made, struct mf_error *err);

#endif
