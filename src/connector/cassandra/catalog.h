/* What is here, as system_schema has it. */
#ifndef MF_CONNECTOR_CASSANDRA_CATALOG_H
#define MF_CONNECTOR_CASSANDRA_CATALOG_H

#include "connector/cassandra/look.h"

/* Every table that the filter lets through, of every keyspace but the system's own and midflight's. Views are none. figures: with rows_estimate and
 * bytes, which are asked of each node that is up. */
int cass_catalog_read(struct mf_cql *c, const struct mf_filter *filter, bool figures, struct mf_catalog *ret,
                      struct mf_error *err);
/* One table; MF_FATAL MFSHAPE when it is not there, or is a view. */
int cass_table_read(struct mf_cql *c, const char *keyspace, const char *name, struct mf_arena *arena,
                    struct mf_table **ret, struct mf_error *err);
/* MFSHAPE when `now`, as it was read, has not the columns and the key of t, which may be some of its columns. Pure. */
int cass_shape_agrees(const struct mf_table *now, const struct mf_table *t, struct mf_error *err);
/* A keyspace of the server's own. */
bool cass_is_system(const char *keyspace);
/* rows_estimate and bytes of these tables. */
int cass_figures_read(struct mf_cql *c, struct mf_catalog *cat, struct mf_error *err);

/* Types of users, as system_schema has them; in the arena they were read into. */
struct cass_udt {
    const char *keyspace, *name;
    uint32_t n;
    const char *const *fields, *const *types; /* types as CQL */
};
struct cass_udts {
    struct cass_udt *all;
    size_t n, cap;
};
/* All of them, if a column of the tables (NULL: whatever) may be of one; else none. */
int cass_udts_read(struct mf_cql *c, const struct mf_catalog *tables, struct mf_arena *arena, struct cass_udts *ret,
                   struct mf_error *err);
/* A cql_udt_lookup: those of one keyspace. */
struct cass_udt_scope {
    const struct cass_udts *udts;
    const char *keyspace;
    struct mf_arena *arena;
    unsigned depth;
};
const struct cql_type *cass_udt_find(void *scope, const char *name);

/* ---- the source's operations; shape_same's reader has a database like the others ---- */
int cass_catalog(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);
int cass_shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);
int cass_what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                     struct mf_error *err);
int cass_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err);

/* ---- how it is built: pure ---- */

/* A row of system_schema.columns, kept in an arena. */
struct cass_column_row {
    const char *keyspace, *table, *name, *type, *kind; /* partition_key, clustering, regular, static */
    int position;
    int64_t dropped_ms; /* when a column of this name was dropped last; 0: never */
};
/* Columns of one table, in whatever order. False: the arena is full. */
bool cass_table_build(struct mf_arena *arena, const struct cass_column_row *rows, size_t n, struct mf_table *ret);
/* A table's number from its UUID. */
uint32_t cass_table_id(const void *uuid);

#endif
