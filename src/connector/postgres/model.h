/* The schema in the model's terms, both ways: see mf_canon_ops in connector/canon.h.
 *
 *   describe.c, describe_index.c, describe_left.c   what is here, as model/schema.h has it (default.c: what a default means)
 *   make.c, make_table.c, make_index.c, make_add.c  a schema of another kind of database, made here
 *   make_type.c                                     which type a column gets
 */
#ifndef MF_CONNECTOR_POSTGRES_MODEL_H
#define MF_CONNECTOR_POSTGRES_MODEL_H

#include "connector/postgres/postgres.h"
#include "model/schema_build.h"

int pg_describe(struct mf_db *db, const struct mf_catalog *own, struct mf_schema *ret, struct mf_error *err);
int pg_make(struct mf_db *db, const struct mf_schema *schema, enum mf_schema_stage stage, int jobs,
            struct mf_findings *out, struct mf_buf *plan, struct mf_error *err);
int pg_make_add_column(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                       struct mf_error *err);
void pg_type_here(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                  struct mf_buf *ret_type, struct mf_buf *ret_loss);
const char *pg_default_schema(struct mf_db *db);

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
