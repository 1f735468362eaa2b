/*
 * Which node a request goes to, and when.
 *
 * In order: the node the caller named; a replica of the token in the preferred data centre, the one with the least to do for its window; any
 * node there; then, unless the consistency is a LOCAL_ one, the other data centres: LOCAL_QUORUM by a coordinator elsewhere would be
 * a quorum of that place, which readers here do not see. A node that failed this request comes after all that did not. A request that no node can take now
 * is homeless until a connection is made, for as long as a connect may take.
 *
 * A node takes what its window allows (cql_policy.h); the rest waits in its queue. Requests avoid a node whose queue is long while another replica's is not,
 * so a node that stands still holds up only what it had.
 */
#include "connector/cassandra/cql_net.h"

#define FULL 2.0 /* windows of work, done and waiting, from which on a better place is not better any more */

static bool was_tried(const struct cql_op *op, uint32_t id)
{
    for (size_t i = 0; i < op->ntried; i++) {
        if (op->tried[i] == id) {
            return true;
        }
    }
    return false;
}

static double work_of(const struct cql_node *n)
{
    return ((double)n->in_flight + (double)n->queue.n) / n->window.size;
}

static bool local_only(const struct cql_op *op)
{
    enum cql_consistency c = op->params.consistency;
    return c == CQL_LOCAL_QUORUM || c == CQL_LOCAL_ONE;
}

struct choice {
    const struct cql_node *except; /* it is there already */
    struct cql_node *node;
    int tier;
    double work;
};

/* tier: lower is better. */
static void offer(const struct cql_op *op, struct choice *best, struct cql_node *n, int tier)
{
    if (!n || n->nready == 0 || n == best->except || (op->only_node && n->info.id != op->node)) {
        return;
    }
    if (!n->info.local) {
        if (local_only(op) && !op->only_node) {
            return;
        }
        tier += 4;
    }
    double work = work_of(n);
    tier += work >= FULL ? 10 : 0;
    tier += was_tried(op, n->info.id) ? 20 : 0;
    if (!best->node || tier < best->tier || (tier == best->tier && work < best->work)) {
        best->node = n;
        best->tier = tier;
        best->work = work;
    }
}

/* Whether it is a replica of the op's token is told for the counters. */
static struct cql_node *choose(struct mf_cql *c, const struct cql_op *op, const struct cql_node *except,
                               bool *ret_replica)
{
    struct choice best = {.except = except};
    uint32_t replicas[CQL_REPLICAS_MAX];
    size_t n = 0;
    if (op->has_token && c->my_ring && op->keyspace[0]) {
        n = cql_ring_replicas(c->my_ring, cql_ring_keyspace(c->my_ring, op->keyspace), op->token, replicas,
                              CQL_REPLICAS_MAX);
    }
    offer(op, &best, op->node ? cql_node_of(c, op->node) : NULL, 0);
    for (size_t i = 0; i < n; i++) {
        offer(op, &best, cql_node_of(c, c->my_ring->nodes[replicas[i]].info.id), 1);
    }
    if (!best.node || best.tier >= 4) {
        for (size_t i = 0, from = cql_dice(c); i < c->nnodes; i++) {
            offer(op, &best, c->nodes[(from + i) % c->nnodes], 3);
        }
    }
    *ret_replica = false;
    for (size_t i = 0; best.node && i < n; i++) {
        *ret_replica |= c->my_ring->nodes[replicas[i]].info.id == best.node->info.id;
    }
    return best.node;
}

/* Its consistency of a kind that a request of the driver's own does not need to wait for: one connection, now. */
static void send_via(struct mf_cql *c, struct cql_op *op)
{
    struct mf_error err = {.cls = MF_RETRY, .code = "MFNET", .text = "the connection has no room for a request"};
    if (cql_conn_send(op->via, op, &err) != 0) {
        cql_op_fail(c, op, &err);
    }
}

void cql_route(struct mf_cql *c, struct cql_op *op)
{
    bool replica;
    cql_list_remove(op);
    if (op->via) {
        send_via(c, op);
        return;
    }
    struct cql_node *n = choose(c, op, NULL, &replica);
    if (!n) {
        op->homeless_us = mf_now_us();
        cql_list_push(&c->homeless, op);
        cql_op_arm(c, op);
        return;
    }
    if (op->has_token && op->retries == 0) {
        *(replica ? &c->count.to_replica : &c->count.to_other) += 1;
    }
    cql_list_push(&n->queue, op);
    op->queued = n;
    cql_op_arm(c, op);
    cql_dispatch(c, n);
}

/* The connection with the fewest requests that has room. */
static struct cql_conn *free_conn(const struct cql_node *n)
{
    struct cql_conn *best = NULL;
    for (int i = 0; i < n->nconns; i++) {
        struct cql_conn *k = n->conns[i];
        if (cql_conn_room(k) && (!best || k->used < best->used)) {
            best = k;
        }
    }
    return best;
}

void cql_dispatch(struct mf_cql *c, struct cql_node *n)
{
    while (n->queue.head && n->in_flight < (int)n->window.size) {
        struct cql_conn *k = free_conn(n);
        if (!k) {
            return;
        }
        struct mf_error err;
        struct cql_op *op = cql_list_pop(&n->queue);
        if (cql_conn_send(k, op, &err) != 0) {
            cql_op_fail(c, op, &err);
        }
    }
}

void cql_speculate(struct mf_cql *c, struct cql_op *op)
{
    bool replica;
    struct mf_error err;
    struct cql_node *n = choose(c, op, op->flights[0].conn->node, &replica);
    struct cql_conn *k = n && n->in_flight < (int)n->window.size ? free_conn(n) : NULL;
    if (k && cql_conn_send(k, op, &err) == 0) {
        c->count.speculative++;
        return;
    }
    /* Nobody to ask: as if it had been sent now, so that it is tried again in a while. */
    op->sent_us = mf_now_us();
    cql_op_arm(c, op);
}

/* The list is empty before the first goes: who cannot go anywhere may come into it again. */
void cql_route_all(struct mf_cql *c, struct cql_list *list)
{
    struct cql_list was = *list;
    *list = (struct cql_list){0};
    while (was.head) {
        struct cql_op *op = was.head;
        was.head = op->next;
        op->list = NULL;
        op->queued = NULL;
        op->next = op->prev = NULL;
        cql_route(c, op);
    }
}

void cql_rehome(struct mf_cql *c)
{
    cql_route_all(c, &c->homeless);
}
