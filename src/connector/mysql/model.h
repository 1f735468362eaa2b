/* The schema in the model's terms, both ways: see mf_canon_ops in connector/canon.h. The operations are declared in canon.h beside this.
 *
 *   describe.c, describe_index.c, describe_left.c   what is here, as model/schema.h has it (default.c: what a default means)
 *   make.c, make_table.c, make_index.c, make_add.c  a schema of another kind of database, made here
 *   make_type.c, make_width.c                       which type a column gets, and how much room it has in rows and indexes
 */
#ifndef MF_CONNECTOR_MYSQL_MODEL_H
#define MF_CONNECTOR_MYSQL_MODEL_H

#include "connector/mysql/canon.h"
#include "connector/mysql/mysql_room.h"
#include "model/schema_build.h"

/* ---- what the files of describing share ---- */

struct my_describing {
    struct mf_schema_build b;
    struct my_db *db;
    MYSQL *c;
};

/* Asks for each database; each row begins with a table's schema and name. Rows of tables that are none of ours are passed over. what: a SELECT with a %s for the
 * condition on `column`, the name of the database. */
typedef void my_described_row(struct my_describing *d, struct mf_schema_table *t, const struct mf_table *own,
                              MYSQL_ROW row);
int my_describe_rows(struct my_describing *d, const char *before, const char *column, const char *after,
                     my_described_row *take, struct mf_error *err);

int my_describe_indexes(struct my_describing *d, struct mf_error *err);
int my_describe_foreign(struct my_describing *d, struct mf_error *err);
int my_describe_left(struct my_describing *d, struct mf_error *err);

#endif
