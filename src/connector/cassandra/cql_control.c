/*
 * The control connection: one to any node, besides those for requests. It is told of events, and asked for the ring after each of them (and a few times
 * more: a node may tell of an event before its own tables do), when it is new, and every minute (an event may be lost). Losing it holds nobody up: requests go by the ring that is known until it stands again, at another node if
 * need be.
 */
#include "connector/cassandra/cql_net.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define SETTLE_US (200 * MF_US_PER_MS) /* events come in bursts */

/* After the ring was read the n-th time since the last event. */
static int64_t next_refresh_us(unsigned n)
{
    static const int64_t after[] = {1 * MF_US_PER_SEC, 4 * MF_US_PER_SEC, 15 * MF_US_PER_SEC, 60 * MF_US_PER_SEC};
    return after[n < MF_ARRAY_LEN(after) ? n : MF_ARRAY_LEN(after) - 1];
}

/* The three answers a ring is made of. */
struct cql_refresh {
    struct cql_reply *got[3];
    int waiting;
    bool failed, old_peers;
};
enum { LOCAL, PEERS, KEYSPACES };

static const char *const questions[] = {
    "SELECT * FROM system.local WHERE key = 'local'",
    "SELECT * FROM system.peers_v2",
    "SELECT keyspace_name, replication FROM system_schema.keyspaces",
};
#define OLD_PEERS "SELECT * FROM system.peers" /* before Cassandra 4 */

/* ---- connecting */

static void later(struct mf_cql *c, int64_t now)
{
    c->control_failures++;
    c->control_retry_us = now + cql_reconnect_us(c->control_failures, cql_dice(c));
    cql_tick_by(c, c->control_retry_us);
}

/* The turn-th address: nodes that have a connection, nodes that have none, contacts. NULL behind the last. */
static const struct cql_address *candidate(const struct mf_cql *c, size_t turn)
{
    for (int up = 1; up >= 0; up--) {
        for (size_t i = 0; i < c->nnodes; i++) {
            const struct cql_node *n = c->nodes[i];
            if (!n->gone && (n->nready > 0) == up && turn-- == 0) {
                return &n->address;
            }
        }
    }
    return turn < c->ncontacts ? &c->contacts[turn] : NULL;
}

static void connect_control(struct mf_cql *c, int64_t now)
{
    struct mf_error err;
    const struct cql_address *a = candidate(c, c->control_turn++);
    if (!a) {
        c->control_turn = 0;
        later(c, now);
        return;
    }
    c->control = cql_conn_open(c, NULL, a, &err);
    if (!c->control) {
        c->trouble = err;
        c->count.connects_failed++;
        cql_control_lost(c, &err);
    }
}

/* Of what went wrong with the contacts, the user is told the last that somebody has to mend, or else the last. */
static void tell_opening(struct mf_cql *c, const struct mf_error *err)
{
    pthread_mutex_lock(&c->lock);
    if (c->opening == CQL_OPENING && (err->cls != MF_RETRY || c->open_error.cls == MF_RETRY || !c->open_error.cls)) {
        c->open_error = *err;
    }
    pthread_mutex_unlock(&c->lock);
}

void cql_control_lost(struct mf_cql *c, const struct mf_error *err)
{
    bool version = strcmp(err->code, "MFVERSION") == 0;
    tell_opening(c, err);
    if (version) {
        c->control_turn -= c->control_turn > 0; /* the same one again */
    } else if (!c->my_ring && c->control_turn >= c->ncontacts) {
        cql_open_done(c, err);
    }
    c->control_retry_us = 0;
    cql_tick_by(c, 0);
}

void cql_control_tick(struct mf_cql *c, int64_t now)
{
    if (!c->control) {
        if (now >= c->control_retry_us) {
            connect_control(c, now);
        } else {
            cql_tick_by(c, c->control_retry_us);
        }
    }
    if (c->control && c->control->state == CQL_C_READY && c->refresh_us && !c->refreshing) {
        if (now >= c->refresh_us) {
            cql_control_ready(c);
        } else {
            cql_tick_by(c, c->refresh_us);
        }
    }
}

/* ---- the ring */

static void ask(struct mf_cql *c, int which, const char *text);

static void refresh_free(struct cql_refresh *r)
{
    for (size_t i = 0; r && i < MF_ARRAY_LEN(r->got); i++) {
        mf_cql_answer_free(&r->got[i]->pub);
    }
    free(r);
}

void cql_refresh_free(struct mf_cql *c)
{
    refresh_free(c->refreshing);
    c->refreshing = NULL;
}

static void publish(struct mf_cql *c, struct cql_ring *ring)
{
    struct cql_ring *old = c->my_ring, *also = NULL;
    if (old && cql_ring_same(old, ring)) {
        cql_ring_unref(ring);
        return;
    }
    ring->serial = old ? old->serial + 1 : 1;
    c->my_ring = ring;
    cql_nodes_follow(c, ring);
    pthread_mutex_lock(&c->lock);
    also = c->ring;
    c->ring = cql_ring_ref(ring);
    pthread_mutex_unlock(&c->lock);
    cql_ring_unref(old);
    cql_ring_unref(also);
}

static void finish(struct mf_cql *c)
{
    struct cql_refresh *r = c->refreshing;
    struct mf_error err = c->trouble;
    c->refreshing = NULL;
    int64_t now = mf_now_us();
    c->refresh_us = now + next_refresh_us(c->refreshes++);
    struct cql_ring *ring = r->failed ? NULL : cql_ring_read(c, r->got[LOCAL], r->got[PEERS], r->got[KEYSPACES], &err);
    refresh_free(r);
    if (ring) {
        c->control_failures = 0;
        c->control_turn = 0;
        publish(c, ring);
    } else {
        tell_opening(c, &err);
        if (!c->my_ring && err.cls != MF_RETRY) {
            cql_open_done(c, &err);
        }
        if (c->control) {
            cql_conn_break(c->control, &err); /* ask another one */
        }
    }
    if (c->refresh_again) {
        c->refresh_again = false;
        cql_refresh_soon(c);
    }
    cql_tick_by(c, c->refresh_us);
}

static void answered(struct mf_cql *c, struct cql_op *op, struct cql_reply *reply)
{
    struct cql_refresh *r = op->ctx;
    int which = (int)op->tag;
    const struct mf_error *e = reply->pub.error;
    if (e && which == PEERS && !r->old_peers && e->cls == MF_FATAL && c->control) {
        r->old_peers = true;
        mf_cql_answer_free(&reply->pub);
        ask(c, PEERS, OLD_PEERS);
        return;
    }
    if (e) {
        r->failed = true;
        c->trouble = *e;
    }
    r->got[which] = reply;
    if (--r->waiting == 0) {
        finish(c);
    }
}

static void ask(struct mf_cql *c, int which, const char *text)
{
    struct cql_op *op = cql_op_text(CQL_QUERY, text, answered, c->refreshing);
    op->tag = (uint64_t)which;
    op->via = c->control;
    op->started_us = mf_now_us();
    op->deadline_us = op->started_us + c->set.request_us;
    cql_route(c, op);
}

void cql_control_ready(struct mf_cql *c)
{
    if (c->refreshing) {
        c->refresh_again = true;
        return;
    }
    struct cql_refresh *r = mf_xcalloc(1, sizeof(*r));
    c->refresh_us = 0;
    c->refreshing = r;
    r->waiting = MF_ARRAY_LEN(questions);
    for (int i = 0; i < (int)MF_ARRAY_LEN(questions) && c->refreshing == r; i++) {
        ask(c, i, questions[i]);
    }
}

void cql_refresh_soon(struct mf_cql *c)
{
    int64_t at = mf_now_us() + SETTLE_US;
    c->refreshes = 0;
    if (c->refreshing) {
        c->refresh_again = true;
    } else if (!c->refresh_us || c->refresh_us > at) {
        c->refresh_us = at;
        cql_tick_by(c, at);
    }
}

/* ---- events */

static bool is_at(const struct cql_node *n, const struct cql_inet *a)
{
    char text[CQL_INET_TEXT];
    struct cql_inet bare = *a;
    bare.port = 0;
    cql_inet_text(&bare, text);
    size_t bracket = text[0] == '[', len = strlen(text) - 2 * bracket;
    return strlen(n->info.address) == len && strncmp(n->info.address, text + bracket, len) == 0 &&
           (a->port == 0 || a->port == n->info.port);
}

void cql_control_event(struct mf_cql *c, const struct cql_event *e)
{
    bool up = e->kind == CQL_ON_STATUS && strcmp(e->change, "UP") == 0;
    *(e->kind == CQL_ON_TOPOLOGY ? &c->count.events_topology
      : e->kind == CQL_ON_STATUS ? &c->count.events_status
                                 : &c->count.events_schema) += 1;
    for (size_t i = 0; up && i < c->nnodes; i++) {
        if (c->nodes[i]->nready == 0 && is_at(c->nodes[i], &e->node)) {
            c->nodes[i]->retry_us = 0; /* it need not wait for its next try */
            c->nodes[i]->failures = 0;
            cql_tick_by(c, 0);
        }
    }
    cql_refresh_soon(c);
}
