/* The schema in the model's terms, both ways: see mf_canon_ops in connector/canon.h. The operations are declared in canon.h beside this.
 *
 *   describe.c, describe_index.c, describe_left.c   what is here, as model/schema.h has it (default.c: what a default means)
 *   make.c, make_table.c, make_index.c, make_add.c  a schema of another kind of database, made here
 *   make_type.c                                     which type a column gets
 */
#ifndef MF_CONNECTOR_POSTGRES_MODEL_H
#define MF_CONNECTOR_POSTGRES_MODEL_H

#include "connector/postgres/canon.h"
#include "connector/postgres/postgres.h"
#include "model/schema_build.h"

/* ---- what the files of describing share ---- */

struct pg_describing {
    struct mf_schema_build b;
    PGconn *c;
    char *oids; /* of the tables, "1,2,3" */
};

/* The ordinal in the tables of own and schema; -1: it is none of them. */
int64_t pg_described_table(const struct pg_describing *d, uint32_t oid);

int pg_describe_indexes(struct pg_describing *d, struct mf_error *err);
int pg_describe_foreign(struct pg_describing *d, struct mf_error *err);
int pg_describe_left(struct pg_describing *d, struct mf_error *err);

#endif
