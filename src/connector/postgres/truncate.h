/* TRUNCATE on servers before 11, which do not stream it: see truncate.c. */
#ifndef MF_CONNECTOR_POSTGRES_TRUNCATE_H
#define MF_CONNECTOR_POSTGRES_TRUNCATE_H

#include "connector/postgres/postgres.h"

/* Then the migration's name and _0 or _1. Triggers fire in the order of their names: before AFTER triggers of the user's, which
 * may write into the tables just emptied, ours must have told of it. */
#define PG_TRUNCATE_TRIGGER "!midflight_truncate_"

bool pg_truncates_unseen(PGconn *c);
/* Before the tables are published, and after the stream has ended. Nothing on servers that stream it. Idempotent. */
int pg_watch_truncates(PGconn *c, const struct mf_pipe_id *pipe, const struct mf_catalog *tables, struct mf_error *err);
int pg_unwatch_truncates(PGconn *c, const struct mf_pipe_id *pipe, struct mf_error *err);

/* A stream's: its catalogue of tables, and room for the last truncate's. The caller frees `tables`. */
struct pg_truncates {
    const struct mf_catalog *catalog;
    int (*reread)(void *ctx, struct mf_error *err); /* reads *catalog again */
    void *ctx;
    const struct mf_table **tables;
    size_t cap;
};
/* A row that tells of a truncate becomes that truncate, other rows of its table nothing (MF_ITEM_NONE); all else is left
 * as it is. The item is good until the next call. */
int pg_truncate_item(struct pg_truncates *t, const char *migration, struct mf_item *item, struct mf_error *err);

#endif
