/*
 * The answers of system.local, system.peers_v2 (or system.peers) and system_schema.keyspaces as a ring. Columns are found by name, since every
 * version has some of its own. A row that lacks what a node must have (a peer that is just joining or leaving) is left out.
 */
#include "connector/cassandra/cql_net.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 64

static const struct cql_bytes *cell(const struct mf_cql_answer *a, const struct cql_bytes *row, const char *name)
{
    for (int32_t i = 0; i < a->columns->n; i++) {
        if (strcmp(a->columns->columns[i].name, name) == 0) {
            return row[i].n >= 0 ? &row[i] : NULL;
        }
    }
    return NULL;
}

/* False when it is NULL, is not there, or does not fit. */
static bool text(const struct mf_cql_answer *a, const struct cql_bytes *row, const char *name, char *ret, size_t n)
{
    const struct cql_bytes *v = cell(a, row, name);
    if (!v || (size_t)v->n >= n || memchr(v->p, 0, (size_t)v->n)) {
        return false;
    }
    memcpy(ret, v->p, (size_t)v->n);
    ret[v->n] = 0;
    return true;
}

static bool address(const struct mf_cql_answer *a, const struct cql_bytes *row, const char *name, char *ret, size_t n)
{
    const struct cql_bytes *v = cell(a, row, name);
    return v && (v->n == 4 || v->n == 16) && inet_ntop(v->n == 4 ? AF_INET : AF_INET6, v->p, ret, (socklen_t)n);
}

static bool host_id(const struct mf_cql_answer *a, const struct cql_bytes *row, char ret[37])
{
    const struct cql_bytes *v = cell(a, row, "host_id");
    if (!v || v->n != 16) {
        return false;
    }
    for (int i = 0, at = 0; i < 16; i++) {
        at +=
            snprintf(ret + at, (size_t)(37 - at), "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", v->p[i]);
    }
    return true;
}

/* port: where the row has none. */
static bool node_of(const struct mf_cql_answer *a, const struct cql_bytes *row, uint16_t port, struct mf_cql_node *ret)
{
    struct mf_cql_node n = {.port = port};
    const struct cql_bytes *p = cell(a, row, "native_port");
    p = p ? p : cell(a, row, "rpc_port");
    if (p && p->n == 4) {
        n.port = (uint16_t)mf_get_u32be(p->p);
    }
    if (!(address(a, row, "native_address", n.address, sizeof(n.address)) ||
          address(a, row, "rpc_address", n.address, sizeof(n.address))) ||
        !host_id(a, row, n.host_id) || !text(a, row, "data_center", n.dc, sizeof(n.dc)) ||
        !text(a, row, "rack", n.rack, sizeof(n.rack)) || !cell(a, row, "tokens")) {
        return false;
    }
    text(a, row, "release_version", n.release, sizeof(n.release));
    *ret = n;
    return true;
}

/* A node that was there keeps its id; others get the next ones. 0: there were too many. */
static uint32_t id_of(const struct mf_cql *c, const char *host, uint32_t *next)
{
    for (size_t i = 0; i < c->nnodes; i++) {
        if (strcmp(c->nodes[i]->info.host_id, host) == 0) {
            return c->nodes[i]->info.id;
        }
    }
    return *next <= CQL_NODES_MAX ? (*next)++ : 0;
}

static int add_tokens(struct cql_ring *r, const struct cql_bytes *set)
{
    struct mf_cursor at;
    mf_cursor_init(&at, set->p, (size_t)set->n);
    uint32_t n = mf_read_u32be(&at);
    for (uint32_t i = 0; i < n && !at.failed; i++) {
        uint32_t len = mf_read_u32be(&at);
        const char *t = mf_read_bytes(&at, len);
        if (t && r->murmur3 && cql_ring_add_token(r, t, len) < 0) {
            return -1;
        }
    }
    return at.failed ? -1 : 0;
}

static int add_node(struct mf_cql *c, struct cql_ring *r, const struct mf_cql_answer *a, const struct cql_bytes *row,
                    uint32_t *next)
{
    struct mf_cql_node n;
    if (!node_of(a, row, (uint16_t)c->set.contacts[0].port, &n)) {
        return 0;
    }
    for (size_t i = 0; i < r->nnodes; i++) {
        if (strcmp(r->nodes[i].info.host_id, n.host_id) == 0) {
            return 0;
        }
    }
    n.id = id_of(c, n.host_id, next);
    return n.id && cql_ring_add_node(r, &n) == 0 ? add_tokens(r, cell(a, row, "tokens")) : -1;
}

/* map<text, text> into NUL-terminated pairs. */
static int add_keyspace(struct cql_ring *r, const struct mf_cql_answer *a, const struct cql_bytes *row)
{
    char name[CQL_NAME];
    const char *pairs[OPTIONS_MAX][2];
    const struct cql_bytes *map = cell(a, row, "replication");
    if (!map || !text(a, row, "keyspace_name", name, sizeof(name))) {
        return 0;
    }
    struct mf_cursor at;
    mf_cursor_init(&at, map->p, (size_t)map->n);
    size_t n = mf_read_u32be(&at);
    for (size_t i = 0; i < 2 * n && i < 2 * OPTIONS_MAX; i++) {
        uint32_t len = mf_read_u32be(&at);
        const void *p = mf_read_bytes(&at, len);
        char *copy = p && !memchr(p, 0, len) ? mf_memdup_a(&r->arena, p, len) : NULL;
        if (!copy) {
            return -1;
        }
        pairs[i / 2][i % 2] = copy;
    }
    return n <= OPTIONS_MAX ? cql_ring_add_keyspace(r, name, (const char *const(*)[2])pairs, n) : -1;
}

static int add_all(struct mf_cql *c, struct cql_ring *r, struct mf_cql_answer *peers, struct mf_cql_answer *keyspaces,
                   uint32_t *next, struct mf_error *err)
{
    const struct cql_bytes *row;
    int rc;
    while ((rc = mf_cql_next(peers, &row, err)) == 1) {
        if (add_node(c, r, peers, row, next) < 0) {
            return mf_fail(err, MF_FATAL, "MFRING",
                           "system.peers has more nodes than are read, or tokens that are none");
        }
    }
    while (rc == 0 && (rc = mf_cql_next(keyspaces, &row, err)) == 1) {
        if (add_keyspace(r, keyspaces, row) < 0) {
            return mf_fail(err, MF_FATAL, "MFRING", "system_schema.keyspaces has a replication that cannot be read");
        }
        rc = 0;
    }
    return rc;
}

static void tell_facts(struct mf_cql *c, const struct mf_cql_answer *a, const struct cql_bytes *row)
{
    pthread_mutex_lock(&c->lock);
    text(a, row, "cluster_name", c->cluster, sizeof(c->cluster));
    text(a, row, "release_version", c->release, sizeof(c->release));
    text(a, row, "partitioner", c->partitioner, sizeof(c->partitioner));
    pthread_mutex_unlock(&c->lock);
}

/* -1: no node is in the data centre that the URL names. */
static int no_such_dc(const struct cql_ring *r, struct mf_error *err)
{
    char known[256] = "";
    for (size_t i = 0; i < r->nnodes; i++) {
        size_t at = strlen(known);
        if (r->nodes[i].info.local) {
            return 0;
        }
        if (r->nodes[i].dc == i) {
            snprintf(known + at, sizeof(known) - at, "%s%s", at ? ", " : "", r->nodes[i].info.dc);
        }
    }
    mf_fail(err, MF_FATAL, "MFDC", "the cluster has no data centre %s; it has %s", r->local_dc, known);
    mf_hint(err, "name one of them as local_dc in the URL, or none");
    return -1;
}

struct cql_ring *cql_ring_read(struct mf_cql *c, struct cql_reply *local, struct cql_reply *peers,
                               struct cql_reply *keyspaces, struct mf_error *err)
{
    const struct cql_bytes *row;
    struct mf_cql_node self;
    char partitioner[128] = "";
    uint32_t next = (uint32_t)c->nnodes + 1;
    if (!local->pub.columns || !peers->pub.columns || !keyspaces->pub.columns ||
        mf_cql_next(&local->pub, &row, err) != 1 ||
        !node_of(&local->pub, row, (uint16_t)c->set.contacts[0].port, &self)) {
        mf_fail(err, MF_RETRY, "MFRING", "system.local does not tell what a node must have");
        return NULL;
    }
    if (!c->set.local_dc[0]) {
        mf_strlcpy(c->set.local_dc, self.dc, sizeof(c->set.local_dc)); /* before anybody else knows of it */
    }
    text(&local->pub, row, "partitioner", partitioner, sizeof(partitioner));
    struct cql_ring *r = cql_ring_new(c->set.local_dc, mf_ends_with(partitioner, "Murmur3Partitioner"));
    if (!r || add_node(c, r, &local->pub, row, &next) < 0 ||
        add_all(c, r, &peers->pub, &keyspaces->pub, &next, err) < 0) {
        if (!r || r->nnodes == 0) {
            mf_fail(err, MF_FATAL, "MFRING", "the ring is larger than is read");
        }
        cql_ring_unref(r);
        return NULL;
    }
    tell_facts(c, &local->pub, row);
    cql_ring_finish(r);
    if (!c->my_ring && no_such_dc(r, err) < 0) {
        cql_ring_unref(r);
        return NULL;
    }
    return r;
}
