/*
 * The schema `midflight`: what midflight remembers inside a database, its own or anybody's.
 *
 * Every row is keyed by migration, so that several migrations may share a database. The same tables are made on both
 * sides. checkpoint, heartbeat and epoch are read in change streams (change/bookkeeping.h); chunk, quarantine and
 * settings are not. Before 11 there is truncated, too, which the stream turns into what it tells of (truncate.c).
 *
 *   settings  what a table's setting was before we changed it, put back by cleanup:
 *             kind 'identity fwd', object the table's oid, value what follows REPLICA IDENTITY; and what is ours there:
 *             'published fwd', 'slot fwd' (prepare.c), 'gate' (gate.c)
 *             what synchronous_standby_names was, and what it was made: 'standby names' (standby.c)
             and whose the migration is: kind 'owner', object 'state', value 'token host path' (owner.c)
 */
#ifndef MF_CONNECTOR_POSTGRES_BOOK_H
#define MF_CONNECTOR_POSTGRES_BOOK_H

#include "connector/postgres/postgres.h"

/* Makes what is missing; two at once are safe. */
int pg_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
/* True when the schema `midflight` is in the database and we may use it. */
int pg_book_exists(PGconn *c, bool *ret, struct mf_error *err);

int pg_checkpoint(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err);
int pg_chunks_done(struct mf_db *db, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                   struct mf_error *err);
int pg_quarantine_list(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                       struct mf_error *err);
int pg_quarantine_drop(struct mf_db *db, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err);

/* How long a decision that is on its way is waited for before another may be made. */
#define PG_DECIDE_WAIT_MS 5000
int pg_epoch_read(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err);
int pg_epoch_write(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err);
/* The statement that records an epoch, for a transaction somebody else holds. It changes one row, or none when what stands there is newer (or is this
 * epoch, open already). */
void pg_put_epoch_upsert(struct mf_buf *b, const struct mf_pipe_id *pipe, const struct mf_epoch *e);

/* Remembers a setting as it was, unless it is remembered already. */
void pg_put_setting_insert(struct mf_buf *b, const struct mf_pipe_id *pipe, const char *kind, const char *object,
                           const char *value);

/* Adds a row to the quarantine, in the caller's transaction. */
void pg_put_quarantine_insert(struct mf_buf *b, const struct mf_pipe_id *pipe, const struct mf_quarantined *q);

/* A positive 64-bit key for advisory locks, from words: the same on every machine. */
int64_t pg_lock_key(const char *what, const struct mf_pipe_id *pipe, bool with_direction);

#endif
