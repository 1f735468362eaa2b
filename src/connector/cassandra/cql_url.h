/*
 * cassandra://user:password@host1:9042,host2:9042/keyspace?local_dc=…&… : where a cluster is and how it is spoken to. Pure.
 *
 *     local_dc         the data centre whose nodes are asked (that of the first node reached)
 *     consistency      of every request that does not say its own (LOCAL_QUORUM)
 *     ssl              off (default), require, verify-ca, verify-full; with ca, cert, key: files in PEM
 *     compression      lz4 (default), none
 *     connect_timeout  5s       request_timeout  30s, with every retry
 *     connections      to each node, 1 to 8 (2)
 *     in_flight        requests on a connection, 1 to 32767 (1024)
 *     latency          answers slower than this on the mean make fewer requests go out at a time (150ms)
 *     speculative      an idempotent request that has no answer after so long goes to another node as well; off
 *     protocol         5 (default: 5, or 4 where a node has no 5), 4
 */
#ifndef MF_CONNECTOR_CASSANDRA_CQL_URL_H
#define MF_CONNECTOR_CASSANDRA_CQL_URL_H

#include "connector/cassandra/cql.h"

#define CQL_CONTACTS_MAX    32
#define CQL_CONNECTIONS_MAX 8
#define CQL_IN_FLIGHT_MAX   32767
#define CQL_NAME            49 /* a keyspace's or table's name */

enum cql_ssl { CQL_SSL_OFF, CQL_SSL_REQUIRE, CQL_SSL_VERIFY_CA, CQL_SSL_VERIFY_FULL };

struct cql_contact {
    char *host;
    unsigned port;
};

struct cql_settings {
    struct cql_contact contacts[CQL_CONTACTS_MAX];
    size_t ncontacts;
    char *user, *password; /* NULL: not said. The password is never printed */
    char keyspace[CQL_NAME];
    char local_dc[64]; /* "": that of the first node */
    enum cql_consistency consistency;
    enum cql_ssl ssl;
    char *ca, *cert, *key; /* NULL: not said */
    bool lz4;
    int protocol;
    int connections, in_flight;
    int64_t connect_us, request_us, latency_us, speculative_us; /* speculative 0: off */
};

/* MF_USAGE code MFURL; no secret is in the text. Fills all of ret, with the defaults of `o` where the URL says nothing. */
int cql_url_parse(const struct mf_cql_options *o, struct cql_settings *ret, struct mf_error *err);
void cql_settings_free(struct cql_settings *s);

#endif
