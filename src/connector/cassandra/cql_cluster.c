/* Opening and closing a cluster, and what callers ask about it: see cql.h. */
#include "connector/cassandra/cql_net.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define HINT_WAIT_MS  3000
#define NODES_LOOK_US 50000
#define COPIES_BEST   3

/* ---- opening */

static void add_contact(struct mf_cql *c, const struct addrinfo *a, const char *name)
{
    if (c->ncontacts < CQL_ADDRESS_MAX && a->ai_addrlen <= sizeof(c->contacts[0].at)) {
        struct cql_address *to = &c->contacts[c->ncontacts++];
        memcpy(&to->at, a->ai_addr, a->ai_addrlen);
        to->len = a->ai_addrlen;
        mf_strlcpy(to->name, name, sizeof(to->name));
    }
}

/* Hosts that have no address are passed over as long as one has. */
static int resolve(struct mf_cql *c, struct mf_error *err)
{
    for (size_t i = 0; i < c->set.ncontacts; i++) {
        char port[8];
        struct addrinfo *got = NULL, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
        snprintf(port, sizeof(port), "%u", c->set.contacts[i].port);
        int rc = getaddrinfo(c->set.contacts[i].host, port, &hints, &got);
        if (rc) {
            mf_fail(err, MF_RETRY, "MFNET", "%s has no address: %s", c->set.contacts[i].host, gai_strerror(rc));
            mf_hint(err, "is the name in the URL right, and does this machine's resolver know it?");
        }
        for (const struct addrinfo *a = rc ? NULL : got; a; a = a->ai_next) {
            add_contact(c, a, c->set.contacts[i].host);
        }
        if (!rc) {
            freeaddrinfo(got);
        }
    }
    return c->ncontacts > 0 ? 0 : -1;
}

static void init_locks(struct mf_cql *c)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->opened, &attr);
    pthread_condattr_destroy(&attr);
}

static int start(struct mf_cql *c, struct mf_error *err)
{
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (c->epoll < 0 || c->wake < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->wake, &e) < 0 ||
        pthread_create(&c->thread, NULL, cql_loop, c) != 0) {
        return mf_fail(err, MF_FATAL, "MFSYS", "no thread for a cluster's connections: %s", strerror(errno));
    }
    c->started = true;
    return 0;
}

/* Until the I/O thread says how it went. The bound is for a cluster that answers, but never in full. */
static int wait_open(struct mf_cql *c, struct mf_error *err)
{
    int64_t until = mf_now_us() + c->set.connect_us * (int64_t)(c->ncontacts + 3);
    struct timespec at = {.tv_sec = until / MF_US_PER_SEC, .tv_nsec = until % MF_US_PER_SEC * 1000};
    MF_LOCK_SCOPE(&c->lock);
    while (c->opening == CQL_OPENING && mf_now_us() < until) {
        pthread_cond_timedwait(&c->opened, &c->lock, &at);
    }
    if (c->opening == CQL_OPEN) {
        return 0;
    }
    if (c->open_error.cls) {
        *err = c->open_error;
        return -1;
    }
    return mf_fail(err, MF_RETRY, "MFTIME", "the cluster at %s did not answer in time", c->contacts[0].name);
}

/* As many as the local data centre has nodes that are up, at most three. */
static int copies_possible(struct mf_cql *c)
{
    struct mf_cql_node *nodes = NULL;
    struct mf_error ignored;
    size_t n = 0;
    int up = 0;
    if (mf_cql_nodes_up(c, HINT_WAIT_MS, &nodes, &n, &ignored) < 0) {
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        up += nodes[i].up && nodes[i].local;
    }
    free(nodes);
    return up < 1 ? 1 : up < COPIES_BEST ? up : COPIES_BEST;
}

static int check_keyspace(struct mf_cql *c, struct mf_error *err)
{
    struct cql_ring *r MF_CLEANUP(cql_ring_unref_p) = cql_ring_now(c);
    if (!c->set.keyspace[0] || cql_ring_keyspace(r, c->set.keyspace)) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFKEYSPACE", "the cluster has no keyspace %s", c->set.keyspace);
    mf_hint(err,
            "CREATE KEYSPACE %s WITH replication = {'class': 'NetworkTopologyStrategy', '%s': %d}; names are "
            "lower case unless they were quoted",
            c->set.keyspace, r->local_dc, copies_possible(c));
    return -1;
}

int mf_cql_open(const struct mf_cql_options *o, struct mf_cql **ret, struct mf_error *err)
{
    struct mf_cql *c = mf_xcalloc(1, sizeof(*c));
    init_locks(c);
    c->epoll = c->wake = -1;
    mf_arena_init(&c->scratch, 16u << 20);
    c->dice = (uint32_t)mf_now_us() | 1;
    if (cql_url_parse(o, &c->set, err) < 0 || resolve(c, err) < 0 || cql_tls_context(&c->set, &c->tls, err) < 0) {
        mf_cql_close(c);
        return -1;
    }
    c->speaks = c->set.protocol;
    if (start(c, err) < 0 || wait_open(c, err) < 0 || check_keyspace(c, err) < 0) {
        mf_cql_close(c);
        return -1;
    }
    *ret = c;
    return 0;
}

void mf_cql_close(struct mf_cql *c)
{
    if (!c) {
        return;
    }
    if (c->started) {
        uint64_t one = 1;
        pthread_mutex_lock(&c->lock);
        c->closing = true;
        pthread_mutex_unlock(&c->lock);
        ssize_t rc = write(c->wake, &one, sizeof(one));
        (void)rc;
        pthread_join(c->thread, NULL);
    }
    for (size_t i = 0; i < c->nnodes; i++) {
        free(c->nodes[i]);
    }
    cql_refresh_free(c);
    cql_statements_free(c);
    cql_ring_unref(c->my_ring);
    cql_ring_unref(c->ring);
    mf_arena_free(&c->scratch);
    free(c->timers);
    SSL_CTX_free(c->tls);
    for (int *fd = (int[]){c->epoll, c->wake, -2}; *fd != -2; fd++) {
        if (*fd >= 0) {
            close(*fd);
        }
    }
    if (c->set.password) {
        OPENSSL_cleanse(c->set.password, strlen(c->set.password));
    }
    cql_settings_free(&c->set);
    pthread_cond_destroy(&c->opened);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void mf_cql_hurry(struct mf_cql *c, int within_ms)
{
    MF_LOCK_SCOPE(&c->lock);
    c->hurry_until_us = within_ms > 0 ? mf_now_us() + within_ms * MF_US_PER_MS : 0;
    c->hurried = pthread_self();
}

/* ---- the ring */

struct cql_ring *cql_ring_now(struct mf_cql *c)
{
    MF_LOCK_SCOPE(&c->lock);
    return c->ring ? cql_ring_ref(c->ring) : NULL;
}

int mf_cql_nodes(struct mf_cql *c, struct mf_cql_node **ret, size_t *ret_n, struct mf_error *err)
{
    struct cql_ring *r MF_CLEANUP(cql_ring_unref_p) = cql_ring_now(c);
    struct mf_cql_node *nodes = calloc(r->nnodes, sizeof(*nodes));
    if (!nodes) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for %zu nodes", r->nnodes);
    }
    MF_LOCK_SCOPE(&c->lock);
    for (size_t i = 0; i < r->nnodes; i++) {
        nodes[i] = r->nodes[i].info;
        nodes[i].up = c->up[nodes[i].id - 1];
    }
    *ret = nodes;
    *ret_n = r->nnodes;
    return 0;
}

int mf_cql_nodes_up(struct mf_cql *c, int wait_ms, struct mf_cql_node **ret, size_t *ret_n, struct mf_error *err)
{
    int64_t until = mf_now_us() + wait_ms * MF_US_PER_MS;
    for (;;) {
        struct mf_cql_node *nodes = NULL;
        size_t up = 0, n = 0;
        if (mf_cql_nodes(c, &nodes, &n, err) < 0) {
            return -1;
        }
        for (size_t i = 0; i < n; i++) {
            up += nodes[i].up;
        }
        if (up == n || mf_now_us() > until) {
            *ret = nodes;
            *ret_n = n;
            return 0;
        }
        free(nodes);
        mf_sleep_us(NODES_LOOK_US);
    }
}

static const struct cql_ring_keyspace *keyspace_of(const struct mf_cql *c, const struct cql_ring *r, const char *name)
{
    return cql_ring_keyspace(r, name ? name : c->set.keyspace);
}

size_t mf_cql_replicas(struct mf_cql *c, const char *keyspace, int64_t token, uint32_t *ret, size_t max)
{
    struct cql_ring *r MF_CLEANUP(cql_ring_unref_p) = cql_ring_now(c);
    size_t n = cql_ring_replicas(r, keyspace_of(c, r, keyspace), token, ret, max);
    for (size_t i = 0; i < n; i++) {
        ret[i] = r->nodes[ret[i]].info.id;
    }
    return n;
}

uint32_t mf_cql_owner(struct mf_cql *c, const char *keyspace, int64_t token)
{
    uint32_t first;
    return mf_cql_replicas(c, keyspace, token, &first, 1) == 1 ? first : 0;
}

int mf_cql_ranges(struct mf_cql *c, const char *keyspace, struct mf_cql_range **ret, size_t *ret_n,
                  struct mf_error *err)
{
    struct cql_ring *r MF_CLEANUP(cql_ring_unref_p) = cql_ring_now(c);
    const struct cql_ring_keyspace *k = keyspace_of(c, r, keyspace);
    if (!r->murmur3) {
        return mf_fail(err, MF_FATAL, "MFRING",
                       "the cluster's partitioner is not Murmur3Partitioner: its tokens are not read");
    }
    struct mf_cql_range *ranges = calloc(r->ntokens + 1, sizeof(*ranges));
    if (!ranges) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for %zu token ranges", r->ntokens);
    }
    size_t n = 0;
    int64_t after = INT64_MIN; /* no partition has that token */
    for (size_t i = 0; i <= r->ntokens; i++) {
        int64_t upto = i < r->ntokens ? r->tokens[i].token : INT64_MAX;
        uint32_t first;
        if (upto == after) {
            continue;
        }
        ranges[n] = (struct mf_cql_range){.after = after, .upto = upto};
        if (cql_ring_replicas(r, k, upto, &first, 1) == 1) {
            ranges[n].owner = r->nodes[first].info.id;
        }
        n++;
        after = upto;
    }
    *ret = ranges;
    *ret_n = n;
    return 0;
}

/* ---- facts */

void mf_cql_facts(struct mf_cql *c, struct mf_cql_facts *ret)
{
    struct cql_ring *r MF_CLEANUP(cql_ring_unref_p) = cql_ring_now(c);
    struct mf_cql_facts f = {.tls = c->tls != NULL, .murmur3 = r->murmur3, .nodes = r->nnodes, .ring = r->serial};
    f.nodes_up = c->count.nodes_up;
    mf_strlcpy(f.local_dc, r->local_dc, sizeof(f.local_dc));
    mf_strlcpy(f.keyspace, c->set.keyspace, sizeof(f.keyspace));
    MF_LOCK_SCOPE(&c->lock);
    f.protocol = c->version;
    f.consistency = c->set.consistency;
    f.compressed = c->lz4;
    mf_strlcpy(f.cluster, c->cluster, sizeof(f.cluster));
    mf_strlcpy(f.release, c->release, sizeof(f.release));
    mf_strlcpy(f.partitioner, c->partitioner, sizeof(f.partitioner));
    *ret = f;
}

void mf_cql_stats(struct mf_cql *c, struct mf_cql_stats *ret)
{
    struct cql_counters *n = &c->count;
    *ret = (struct mf_cql_stats){
        .requests = n->requests,
        .answers = n->answers,
        .errors = n->errors,
        .retries = n->retries,
        .overloaded = n->overloaded,
        .timeouts = n->timeouts,
        .unprepared = n->unprepared,
        .speculative = n->speculative,
        .connects = n->connects,
        .connects_failed = n->connects_failed,
        .connections_lost = n->connections_lost,
        .events_topology = n->events_topology,
        .events_status = n->events_status,
        .events_schema = n->events_schema,
        .to_replica = n->to_replica,
        .to_other = n->to_other,
        .bytes_out = n->bytes_out,
        .bytes_in = n->bytes_in,
        .window = n->window,
    };
}
