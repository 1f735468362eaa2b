/* What the files of the checks share: findings about this cluster as a target. */
#ifndef MF_CONNECTOR_CASSANDRA_CHECK_H
#define MF_CONNECTOR_CASSANDRA_CHECK_H

#include "connector/cassandra/cass.h"
#include "connector/cassandra/catalog.h"
#include "connector/cassandra/make.h"
#include "connector/cassandra/replication.h"

struct cass_check {
    struct cass_db *db;
    struct mf_db *source;
    const struct mf_filter *filter;
    struct mf_findings *out;
    struct mf_cql_facts facts;
    enum cql_consistency consistency;
    struct mf_cql_node *nodes; /* heap */
    size_t nnodes;
    struct mf_arena arena;    /* of the whole check */
    struct mf_schema schema;  /* the source's, under the names it gets here */
    struct mf_catalog tables; /* that migrate, by those names */
    struct mf_catalog here;   /* what is here already */
};

void cass_say(struct cass_check *k, enum mf_severity severity, const char *code, const char *object, const char *remedy,
              const char *fmt, ...) __attribute__((format(printf, 6, 7)));

#define CASS_NODES_WAIT_MS 10000 /* one that has no connection after that is down */

/* check_nodes.c: versions, nodes that are down, one schema, clocks, settings */
int cass_check_nodes(struct cass_check *k, struct mf_error *err);
/* A setting of one node by its name in system_views.settings; "" where it is not told. In the arena. */
int cass_setting(struct cass_check *k, uint32_t node, const char *name, const char **ret, struct mf_error *err);
/* check_keyspaces.c: one whose durable_writes is off; are they there, replicated as the consistency needs, and reachable */
void cass_say_not_durable(struct cass_check *k, const char *keyspace);
int cass_check_keyspaces(struct cass_check *k, struct mf_error *err);
/* check_rights.c */
int cass_check_rights(struct cass_check *k, struct mf_error *err);
/* check_tables.c: what the source has that cannot be here, and what is here already */
int cass_check_schema(struct cass_check *k, struct mf_error *err);
int cass_check_contents(struct cass_check *k, struct mf_error *err);

#endif
