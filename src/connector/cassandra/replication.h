/* How a keyspace is replicated, and what a consistency level needs of that. Pure but for cass_replication_read. */
#ifndef MF_CONNECTOR_CASSANDRA_REPLICATION_H
#define MF_CONNECTOR_CASSANDRA_REPLICATION_H

#include "connector/cassandra/cql.h"

#define CASS_DCS_MAX 32

struct cass_replication {
    bool there; /* the keyspace is */
    bool durable_writes;
    char strategy[64]; /* "NetworkTopologyStrategy": the class without its package */
    size_t ndcs;       /* of NetworkTopologyStrategy; SimpleStrategy has one, called "" */
    struct {
        char name[64];
        int copies;
    } dcs[CASS_DCS_MAX];
};

/* A map<text, text> as it is on the wire. False: it is none, or has more data centres than fit. */
bool cass_replication_parse(struct cql_bytes map, struct cass_replication *ret);
int cass_replication_read(struct mf_cql *c, const char *keyspace, struct cass_replication *ret, struct mf_error *err);
/* Copies in that data centre; NULL: in all. */
int cass_copies(const struct cass_replication *r, const char *dc);
/* How many copies of a row must answer at that level, of copies in all, those in the local data centre, … EACH_QUORUM is looked at a data centre at a time, as
 * LOCAL_QUORUM. */
int cass_needed(enum cql_consistency level, int all, int local);
bool cass_is_local(enum cql_consistency level);

#endif
