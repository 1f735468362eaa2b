/* Which sequences migrate: see sequences.c. */
#ifndef MF_CONNECTOR_POSTGRES_SEQUENCES_H
#define MF_CONNECTOR_POSTGRES_SEQUENCES_H

#include "connector/postgres/postgres.h"

struct pg_sequence_list {
    PGresult *rows;
    int *at; /* one row of each */
    size_t n;
};

/* Those that a table that migrates owns or has in a default, and free ones that match the filter. */
int pg_sequence_list(PGconn *c, const struct mf_filter *filter, struct pg_sequence_list *ret, struct mf_error *err);
void pg_sequence_list_free(struct pg_sequence_list *l);
bool pg_sequence_readable(const struct pg_sequence_list *l, size_t i); /* by our role */
void pg_sequence_name(const struct pg_sequence_list *l, size_t i, const char **ret_schema, const char **ret_name);

#endif
