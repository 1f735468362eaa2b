/*
 * A Cassandra cluster, as its callers see it: requests in, answers out.
 *
 * One struct mf_cql a database. It has ONE I/O thread of its own, which owns every socket, knows the ring, and sends each request to
 * a replica of its token; the codec (frame.h, message.h, cqlvalue.h, token.h) is pure and below it. Callers on any thread either block for an
 * answer (mf_cql_query, mf_cql_execute, …) or keep many requests in flight and collect the answers from an inbox of their own. Nothing of a
 * caller's is ever run on the I/O thread.
 *
 * What holds:
 * - Every request ends, with an answer or an error, within its timeout, whatever the network does; a dead network is MF_RETRY.
 * - A request is sent again after it may have been executed only if its caller called it idempotent. One that certainly was not
 *   executed (overloaded, unprepared, never written to a socket) may always be.
 * - Retries are bounded in number and in time (policy.h); what is still refused then is MF_RETRY, MF_ROW or MF_FATAL with the server's text, and
 *   its code ("0x1100"), or one of ours: MFNET (no node, or none that answers), MFTIME (no
 *   answer in time), MFAUTH, MFKEYSPACE, MFSHAPE (a prepared statement's table is another one now), MFCLOSED, MFURL.
 * - Memory is bounded by what callers have in flight (inbox) and by the largest answer (page_size is the caller's to choose).
 *
 * Locks: each object's fields are opaque here; internal.h says which lock guards what. Every function may be called from any thread unless said
 * otherwise; an inbox, an answer and a batch belong to one thread at a time.
 */
#ifndef MF_CONNECTOR_CASSANDRA_CQL_H
#define MF_CONNECTOR_CASSANDRA_CQL_H

#include "connector/cassandra/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mf_cql;
struct mf_cql_inbox;
struct mf_cql_prepared;

/* ---- opening ---- */

struct mf_cql_options {
    const char *url;                            /* url.h has its parameters */
    const char *password;                       /* NULL: the URL's, if any */
    int connect_timeout_ms, request_timeout_ms; /* 0: url.h's defaults; the URL's own go before */
};

/* Connects to one node of the URL's, learns the ring and that the keyspace is there (where the URL names one), and starts the I/O thread.
 * Blocks at most the connect timeout for each address. MF_RETRY MFNET: nobody can be reached; MF_FATAL MFAUTH, MFKEYSPACE, MFTLS. */
int mf_cql_open(const struct mf_cql_options *o, struct mf_cql **ret, struct mf_error *err);
/* Requests in flight end with MFCLOSED in their inboxes. Inboxes may be freed before or after; no thread may be inside a call. NULL is fine. */
void mf_cql_close(struct mf_cql *c);

/* Calls that this thread makes from now on fail (MF_RETRY MFTIME) rather than take longer than within_ms from now, all together, until it is called
 * with 0. One thread at a time. */
void mf_cql_hurry(struct mf_cql *c, int within_ms);

/* ---- statements ---- */

/* The statement, prepared on one node (others learn it when they are first asked to run it), cached by its text until close: the same
 * pointer for the same text, valid until close. Names in it should be qualified by their keyspace. */
int mf_cql_prepare(struct mf_cql *c, const char *text, const struct mf_cql_prepared **ret, struct mf_error *err);
/* Its bind markers, in order, with names and types. */
const struct cql_columns *mf_cql_prepared_params(const struct mf_cql_prepared *p);
/* Which markers are the partition key, in the key's order; 0: the server does not say, the statement names no whole partition. */
size_t mf_cql_prepared_key(const struct mf_cql_prepared *p, const uint16_t **ret_markers);
/* The token of the partition that these values name, one for each marker. MF_ROW MFVALUE: a part of its key is null or unset; MF_FATAL MFBUG: the
 * statement's markers do not give the whole key, or there are not as many values as markers. */
int mf_cql_prepared_token(const struct mf_cql_prepared *p, const struct cql_values *v, int64_t *ret,
                          struct mf_error *err);

struct mf_cql_bound {
    const struct mf_cql_prepared *prepared;
    struct cql_values values; /* one for each marker, as cqlvalue.h and message.h write them */
};

/* One request. All zero but the statement is a sound default. Everything it points to is copied. */
struct mf_cql_request {
    const char *text; /* a plain statement without values; or */
    const struct mf_cql_bound
        *bound; /* one: executed; more: an unlogged batch, in which each has its own timestamp bound */
    size_t nbound;
    enum cql_consistency consistency; /* 0 (ANY is not offered): the URL's, LOCAL_QUORUM unless it says */
    enum cql_consistency serial;      /* of a conditional statement; 0: LOCAL_SERIAL */
    bool idempotent;                  /* executing it twice is the same as once */
    bool has_token; /* token says where; else that of the first bound statement, where it can be known */
    int64_t token;
    const char *keyspace;          /* whose replicas have the token; NULL: the prepared statement's, or the URL's */
    uint32_t node;                 /* of mf_cql_nodes; 0: none. Tried first when it is up; */
    bool only_node;                /* and no other */
    int timeout_ms;                /* for all of it, with every retry; 0: the request timeout */
    int page_size;                 /* rows; 0: all in one answer */
    struct cql_bytes paging_state; /* of the answer before; p NULL: the first page */
    bool trace;                    /* the server traces it: mf_cql_answer.trace_id */
};

/* ---- answers ---- */

struct mf_cql_answer {
    uint64_t tag;                 /* the caller's */
    const struct mf_error *error; /* NULL: it succeeded */
    uint32_t node;                /* which answered; 0: none did */
    int retries;
    int64_t took_us;
    /* SELECT, and what else answers in rows (conditional statements): */
    const struct cql_columns *columns; /* NULL: no rows */
    size_t nrows;                      /* of this page */
    struct cql_bytes paging_state;     /* p NULL: this was the last page */
    bool schema_changed;               /* a statement that changed the schema */
    uint8_t trace_id[16];
    const char *warnings; /* the server's, joined by "; "; NULL: none */
};
void mf_cql_answer_free(struct mf_cql_answer *a); /* NULL is fine */
static inline void mf_cql_answer_free_p(struct mf_cql_answer **a)
{
    mf_cql_answer_free(*a);
}
#define MF_CLEANUP_CQL_ANSWER __attribute__((cleanup(mf_cql_answer_free_p)))

/* The next row of the page: cells, one for each of columns (n < 0: NULL), valid until the next call; their bytes until the answer is freed. 1: a row; 0: no
 * more; -1: malformed. */
int mf_cql_next(struct mf_cql_answer *a, const struct cql_bytes **ret, struct mf_error *err);

/* ---- many in flight ---- */

/* At most max requests and max_bytes (of statements and values) are on their way or waiting to be taken. */
struct mf_cql_inbox *mf_cql_inbox_new(size_t max, size_t max_bytes);
/* What is in flight goes on and its answers are dropped. NULL is fine. */
void mf_cql_inbox_free(struct mf_cql_inbox *in);
/* 0; 1: the inbox is full, take an answer first; -1: MF_USAGE, MFCLOSED. Never blocks. One request may be larger than max_bytes, alone. */
int mf_cql_submit(struct mf_cql *c, struct mf_cql_inbox *in, const struct mf_cql_request *r, uint64_t tag,
                  struct mf_error *err);
/* 0 and an answer, in the order they came; 1: none within timeout_ms (0: do not wait, < 0: as long as it takes, which is bounded by the requests'
 * timeouts); -1: nothing is in flight. The caller frees the answer. */
int mf_cql_take(struct mf_cql_inbox *in, int timeout_ms, struct mf_cql_answer **ret);
size_t mf_cql_in_flight(struct mf_cql_inbox *in); /* submitted and not taken */

/* ---- one at a time: blocking; -1 and err when it failed ---- */

int mf_cql_call(struct mf_cql *c, const struct mf_cql_request *r, struct mf_cql_answer **ret, struct mf_error *err);
/* A plain statement; consistency of the URL; the answer may be NULL where nobody wants it. SELECT is idempotent, others are not. */
int mf_cql_query(struct mf_cql *c, const char *text, struct mf_cql_answer **ret, struct mf_error *err);
/* A statement that changes the schema: returns when every node that is up has the same schema again, MF_RETRY MFSCHEMA when that takes longer than
 * wait_ms. What may have been done and has no answer is MF_RETRY: write IF NOT EXISTS. */
int mf_cql_schema(struct mf_cql *c, const char *text, int wait_ms, struct mf_error *err);
int mf_cql_agree(struct mf_cql *c, int wait_ms, struct mf_error *err);

/* What was asked for names a keyspace or a table that is not there. */
bool mf_cql_missing(const struct mf_error *err);

/* ---- the ring ---- */

struct mf_cql_node {
    uint32_t id; /* never 0, never another node's while this object lives */
    char host_id[37], address[64], dc[64], rack[64], release[32];
    uint16_t port;
    bool up;    /* has a connection */
    bool local; /* in the data centre that is preferred */
};
/* The nodes of the ring; the caller frees *ret with free(). */
int mf_cql_nodes(struct mf_cql *c, struct mf_cql_node **ret, size_t *ret_n, struct mf_error *err);
/* The same once each of them has a connection, or after wait_ms: a cluster that was just opened has one to the first only. */
int mf_cql_nodes_up(struct mf_cql *c, int wait_ms, struct mf_cql_node **ret, size_t *ret_n, struct mf_error *err);
/* Tokens t with after < t <= upto. */
struct mf_cql_range {
    int64_t after, upto;
    uint32_t owner; /* a node's id: the replica that mf_cql_owner gives */
};
/* Ranges that cover every token once, in order, none wrapping; each has the same replicas throughout. The caller frees *ret with free(). */
int mf_cql_ranges(struct mf_cql *c, const char *keyspace, struct mf_cql_range **ret, size_t *ret_n,
                  struct mf_error *err);
/* Replicas of a token in a keyspace (NULL: the URL's), those of the preferred data centre first, each group in the ring's order; up or not. How many
 * there are, at most max are given; 0: the replication is not one that tokens tell of. */
size_t mf_cql_replicas(struct mf_cql *c, const char *keyspace, int64_t token, uint32_t *ret, size_t max);
/* The first of them; 0: none. What batches are grouped by. */
uint32_t mf_cql_owner(struct mf_cql *c, const char *keyspace, int64_t token);

struct mf_cql_facts {
    char cluster[128], release[32], partitioner[128], local_dc[64];
    char keyspace[49];                /* the URL's; "" */
    int protocol;                     /* 5 or 4 */
    enum cql_consistency consistency; /* of requests that do not say their own */
    bool compressed, tls, murmur3;
    size_t nodes, nodes_up;
    uint64_t ring; /* grows whenever nodes, tokens or replication changed */
};
void mf_cql_facts(struct mf_cql *c, struct mf_cql_facts *ret);

/* Since open. */
struct mf_cql_stats {
    uint64_t requests, answers, errors; /* of callers: errors are part of the answers */
    uint64_t retries, overloaded, timeouts, unprepared, speculative;
    uint64_t connects, connects_failed, connections_lost;
    uint64_t events_topology, events_status, events_schema;
    uint64_t to_replica, to_other; /* of requests with a token: sent to a replica of it, or not */
    uint64_t bytes_out, bytes_in;  /* as on the sockets, before TLS */
    uint64_t window;               /* requests that may be in flight now, over all nodes */
};
void mf_cql_stats(struct mf_cql *c, struct mf_cql_stats *ret);

#endif
