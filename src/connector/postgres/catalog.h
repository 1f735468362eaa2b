/* Reading the catalogue: what the files of this room share about it. See catalog.c for what counts as a table. */
#ifndef MF_CONNECTOR_POSTGRES_CATALOG_H
#define MF_CONNECTOR_POSTGRES_CATALOG_H

#include "connector/postgres/postgres.h"

/* Not a member of an extension, unless the extension declares the table to hold configuration. On pg_class c. */
#define PG_NOT_EXTENSION                                                                                               \
    "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid "             \
    "WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' AND "                   \
    "d.refclassid = 'pg_catalog.pg_extension'::regclass AND NOT coalesce(c.oid = ANY (e.extconfig), false))"

/* The size of a table the server has no figures of is asked for, and waits for whoever holds it exclusively: not long. */
#define PG_CATALOG_LOCK_MS 30000

/* A pattern that names a partitioned table stands for all its partitions. root_name NULL: not a partition. */
bool pg_filter_matches(const struct mf_filter *f, const char *schema, const char *name, const char *root_schema,
                       const char *root_name);

/* The same as pg_catalog_read on a connection of the caller, in its transaction (which should hold one snapshot). */
int pg_catalog_load(PGconn *c, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);

#endif
