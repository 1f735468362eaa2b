/*
 * The ring as it was read at one moment: nodes, the tokens they own, how keyspaces are replicated, and from these the replicas of a token. Built
 * once, then never changed: whoever holds a reference may read it on any thread without a lock. Pure.
 */
#ifndef MF_CONNECTOR_CASSANDRA_CQL_RING_H
#define MF_CONNECTOR_CASSANDRA_CQL_RING_H

#include "connector/cassandra/cql.h"

#define CQL_RING_NODES  1000
#define CQL_RING_TOKENS 4096 /* of one node */
#define CQL_RING_BYTES  (128u << 20)

struct cql_ring_token {
    int64_t token;
    uint32_t node; /* index */
};

/* Copies for one data centre; SimpleStrategy has one entry for all of them, dc NULL. */
struct cql_ring_copies {
    const char *dc;
    uint32_t copies;
};

struct cql_ring_keyspace {
    const char *name;
    const struct cql_ring_copies *copies; /* n 0: a strategy that tokens do not tell of (LocalStrategy) */
    size_t n;
};

struct cql_ring_node {
    struct mf_cql_node info; /* id, names; `up` means nothing here */
    uint32_t dc, rack;       /* numbers of names; a rack's is of dc and rack together */
    uint32_t ntokens;
};

struct cql_ring {
    _Atomic int refs;
    struct mf_arena arena;
    uint64_t serial; /* grows with each that differs from the one before */
    bool murmur3;
    char local_dc[64];
    struct cql_ring_node *nodes;
    size_t nnodes;
    struct cql_ring_token *tokens; /* in order, once cql_ring_finish was called */
    size_t ntokens, room_tokens;
    struct cql_ring_keyspace *keyspaces;
    size_t nkeyspaces, room_keyspaces;
};

/* ---- building: -1 when a bound is passed or out of memory */

struct cql_ring *cql_ring_new(const char *local_dc, bool murmur3);
/* A node and its tokens as texts. A token that is no number is -1. */
int cql_ring_add_node(struct cql_ring *r, const struct mf_cql_node *node);
int cql_ring_add_token(struct cql_ring *r, const char *text, size_t n);
/* As system_schema.keyspaces has it: pairs of option and value ("class", "dc1", "replication_factor"), NUL-terminated. */
int cql_ring_add_keyspace(struct cql_ring *r, const char *name, const char *const (*options)[2], size_t n);
/* Sorts. No more may be added. */
void cql_ring_finish(struct cql_ring *r);

static inline struct cql_ring *cql_ring_ref(struct cql_ring *r)
{
    r->refs++;
    return r;
}
void cql_ring_unref(struct cql_ring *r); /* NULL is fine */
static inline void cql_ring_unref_p(struct cql_ring **r)
{
    cql_ring_unref(*r);
}

/* ---- asking */

/* Nodes, tokens and replication are the same; serial does not count. */
bool cql_ring_same(const struct cql_ring *a, const struct cql_ring *b);
const struct cql_ring_keyspace *cql_ring_keyspace(const struct cql_ring *r, const char *name); /* NULL: there is none */
/* Indexes of the replicas of a token, those of local_dc first, each group in the ring's order. Returns how many, at most max. */
size_t cql_ring_replicas(const struct cql_ring *r, const struct cql_ring_keyspace *k, int64_t token, uint32_t *ret,
                         size_t max);

#endif
