/* Making a schema that another kind of database described: what make*.c share. */
#ifndef MF_CONNECTOR_CASSANDRA_MAKE_H
#define MF_CONNECTOR_CASSANDRA_MAKE_H

#include "connector/cassandra/canon.h"
#include "connector/cassandra/catalog.h"
#include "model/schema.h"

struct mf_cql;

#define CASS_NAME_LENGTH 48 /* of a keyspace or a table */

/* The index that becomes the primary key: the one rows are found by, or else the primary one. NULL: the table has none. */
const struct mf_schema_index *cass_key_of(const struct mf_schema_table *t);
/* How many of its columns are the partition key: what the table asks for, or the first. */
uint16_t cass_partition_of(const struct mf_schema_table *t, const struct mf_schema_index *key);
bool cass_in_key(const struct mf_schema_table *t, const char *column);
/* Why no keyspace or table may be called that: static; NULL: it may. */
const char *cass_name_wrong(const char *name);
/* What the column gets: what the config asks for, or the default. */
const char *cass_column_type(const struct mf_schema_column *c);

int cass_keyspace_there(struct mf_cql *c, const char *keyspace, bool *ret, struct mf_error *err);
/* The CREATE KEYSPACE that fits the cluster as it is: each data centre with as many copies as it has nodes that are up, at most three. */
void cass_put_keyspace_remedy(struct mf_cql *c, const char *keyspace, struct mf_buf *b);

/* CREATE TABLE IF NOT EXISTS …, without a semicolon. Pure. MF_FATAL MFDDL: why it cannot be, and what to do. */
int cass_put_table(const struct mf_schema_table *t, struct mf_buf *cql, struct mf_error *err);
/* The types of users that its columns are asked to be, made or found fit. only_look: whether they can be. plan: as that of cass_make. MF_FATAL MFDDL. */
int cass_make_types(struct mf_cql *c, const struct mf_schema *s, bool only_look, struct mf_buf *plan,
                    struct mf_error *err);
/* A table that is there: it has the columns, in types that hold their values, and the same key. MF_FATAL MFSHAPE. Pure. */
int cass_table_usable(const struct mf_schema_table *t, const struct mf_table *here, struct mf_error *err);

/* Findings: what a schema has that this engine has not. */
void cass_tell_columns(const struct mf_schema *s, struct mf_findings *out);
void cass_tell_indexes(const struct mf_schema *s, struct mf_findings *out);

#endif
