/*
 * Nodes: their connections, which are made again with a growing pause between tries, their windows and queues. A node's id is its
 * place in the list for as long as the cluster object lives; one that has left the ring stays there, gone.
 */
#include "connector/cassandra/cql_net.h"

#include "base/mem.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

struct cql_node *cql_node_of(const struct mf_cql *c, uint32_t id)
{
    return id > 0 && id <= c->nnodes ? c->nodes[id - 1] : NULL;
}

static int wanted(const struct mf_cql *c, const struct cql_node *n)
{
    return n->gone ? 0 : n->info.local ? c->set.connections : 1;
}

static void tell_up(struct mf_cql *c, struct cql_node *n)
{
    pthread_mutex_lock(&c->lock);
    c->up[n->info.id - 1] = n->nready > 0;
    pthread_mutex_unlock(&c->lock);
}

static void tell_windows(struct mf_cql *c)
{
    uint64_t sum = 0, up = 0;
    for (size_t i = 0; i < c->nnodes; i++) {
        sum += c->nodes[i]->nready > 0 ? (uint64_t)c->nodes[i]->window.size : 0;
        up += c->nodes[i]->nready > 0;
    }
    c->count.window = sum;
    c->count.nodes_up = up;
}

static void failed(struct mf_cql *c, struct cql_node *n, int64_t now)
{
    n->failures++;
    n->retry_us = now + cql_reconnect_us(n->failures, cql_dice(c));
    cql_tick_by(c, n->retry_us);
}

/* One at a time until the node is known to be there. */
void cql_node_connect(struct mf_cql *c, struct cql_node *n, int64_t now)
{
    int want = wanted(c, n);
    want = n->nready == 0 && want > 1 ? 1 : want;
    while (n->nconns < want && now >= n->retry_us) {
        struct mf_error err;
        struct cql_conn *k = cql_conn_open(c, n, &n->address, &err);
        if (!k) {
            c->trouble = err;
            c->count.connects_failed++;
            failed(c, n, now);
            return;
        }
        n->conns[n->nconns++] = k;
    }
}

void cql_node_ready(struct mf_cql *c, struct cql_node *n)
{
    n->failures = 0;
    n->retry_us = 0;
    if (n->nready++ == 0) {
        cql_window_init(&n->window, (double)c->set.in_flight * c->set.connections, c->set.latency_us);
        tell_up(c, n);
        cql_node_connect(c, n, mf_now_us());
    }
    cql_dispatch(c, n);
    cql_rehome(c);
    tell_windows(c);
    if (n->info.local) {
        cql_open_done(c, NULL);
    }
}

/* What waits for a node that has no connection goes elsewhere. */
static void empty_queue(struct mf_cql *c, struct cql_node *n)
{
    cql_route_all(c, &n->queue);
    cql_preparing_drop(c, n);
}

/* While the cluster is being opened: every node of the preferred data centre has been tried, and none answers. */
static void open_may_fail(struct mf_cql *c)
{
    for (size_t i = 0; i < c->nnodes; i++) {
        const struct cql_node *n = c->nodes[i];
        if (n->info.local && !n->gone && (n->nready > 0 || n->failures == 0)) {
            return;
        }
    }
    cql_open_done(c, &c->trouble);
}

void cql_node_lost(struct mf_cql *c, struct cql_node *n, struct cql_conn *k, bool refused)
{
    for (int i = 0; i < n->nconns; i++) {
        if (n->conns[i] == k) {
            n->conns[i] = n->conns[--n->nconns];
            break;
        }
    }
    int64_t now = mf_now_us();
    for (int i = 0; i < n->nconns; i++) {
        cql_conn_probe(n->conns[i], now); /* what ended one has often ended all */
    }
    if (!refused) {
        n->nready--;
        n->retry_us = now; /* at once: it may have been the connection alone */
        cql_tick_by(c, now);
    } else if (k->wire.version > c->speaks) {
        n->retry_us = now; /* it was the version's fault */
        cql_tick_by(c, now);
    } else {
        failed(c, n, now);
    }
    if (n->nready == 0) {
        tell_up(c, n);
        empty_queue(c, n);
    }
    tell_windows(c);
    open_may_fail(c);
}

void cql_node_drop(struct mf_cql *c, struct cql_node *n)
{
    struct mf_error err;
    n->gone = true;
    mf_fail(&err, MF_RETRY, "MFNET", "%s has left the ring", n->info.address);
    while (n->nconns > 0) {
        cql_conn_break(n->conns[0], &err);
    }
    empty_queue(c, n);
}

void cql_node_tick(struct mf_cql *c, struct cql_node *n, int64_t now)
{
    tell_windows(c);
    if (n->nconns >= wanted(c, n)) {
        return;
    }
    if (now >= n->retry_us) {
        cql_node_connect(c, n, now);
    } else {
        cql_tick_by(c, n->retry_us);
    }
}

/* ---- the ring's nodes */

static void set_address(struct cql_address *a, const struct mf_cql_node *n)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a->at;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->at;
    *a = (struct cql_address){0};
    mf_strlcpy(a->name, n->address, sizeof(a->name));
    if (inet_pton(AF_INET, n->address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(n->port);
        a->len = sizeof(*v4);
    } else if (inet_pton(AF_INET6, n->address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(n->port);
        a->len = sizeof(*v6);
    }
}

/* asked: this node told us the ring, so the address it was asked at is one that reaches it. */
static void follow(struct mf_cql *c, struct cql_node *n, const struct mf_cql_node *info, bool asked)
{
    char said[80];
    snprintf(said, sizeof(said), "%s %u", info->address, info->port);
    bool moved = strcmp(said, n->said) != 0, local = n->info.local;
    n->info = *info;
    n->gone = false;
    if (moved) {
        struct mf_error err;
        mf_strlcpy(n->said, said, sizeof(n->said));
        set_address(&n->address, info);
        if (asked && c->control) {
            n->address = c->control->address;
        }
        mf_fail(&err, MF_RETRY, "MFNET", "%s has another address now", info->address);
        while (n->nconns > 0) {
            cql_conn_break(n->conns[0], &err);
        }
        n->retry_us = 0;
    }
    if (moved || local != info->local) {
        cql_tick_by(c, 0);
    }
}

void cql_nodes_follow(struct mf_cql *c, struct cql_ring *r)
{
    for (size_t i = 0; i < r->nnodes; i++) {
        struct cql_node *n = cql_node_of(c, r->nodes[i].info.id);
        if (!n) { /* the next one: cql_ring_read gave it that id */
            n = mf_xcalloc(1, sizeof(*n));
            cql_window_init(&n->window, (double)c->set.in_flight * c->set.connections, c->set.latency_us);
            c->nodes[c->nnodes++] = n;
        }
        follow(c, n, &r->nodes[i].info, i == 0);
    }
    for (size_t i = 0; i < c->nnodes; i++) {
        bool there = false;
        for (size_t j = 0; j < r->nnodes; j++) {
            there |= r->nodes[j].info.id == c->nodes[i]->info.id;
        }
        if (!there && !c->nodes[i]->gone) {
            cql_node_drop(c, c->nodes[i]);
        }
    }
    cql_tick_by(c, 0);
}
