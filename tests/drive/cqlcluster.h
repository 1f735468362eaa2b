/* What the files of cqlcluster share. */
#ifndef MF_TESTS_CQLCLUSTER_H
#define MF_TESTS_CQLCLUSTER_H

#include "connector/cassandra/cql.h"

#include <jansson.h>

extern struct mf_cql *cluster;

const char *cd_text(const json_t *o, const char *name);
int64_t cd_number(const json_t *o, const char *name, int64_t otherwise);

/* Commands. */
int cd_nodes(const json_t *o, json_t *reply, struct mf_error *err);
int cd_ranges(const json_t *o, json_t *reply, struct mf_error *err);
int cd_replicas(const json_t *o, json_t *reply, struct mf_error *err);
int cd_facts(const json_t *o, json_t *reply, struct mf_error *err);

#endif
