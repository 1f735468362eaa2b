/*
 * The I/O thread: one epoll, one heap of timers, and a look at connections and nodes when one of them has something due.
 *
 * A turn: wait; take what was submitted; read what came; fire timers; look after connections; write what was put into buffers. Nothing in a turn
 * blocks. Connections that broke are freed at its end, since epoll may have told of them in the same turn.
 */
#include "connector/cassandra/cql_net.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 64

uint32_t cql_dice(struct mf_cql *c)
{
    c->dice ^= c->dice << 13;
    c->dice ^= c->dice >> 17;
    c->dice ^= c->dice << 5;
    return c->dice;
}

/* ---- timers: a heap, the soonest first; an op knows its place */

static void place(struct mf_cql *c, struct cql_op *op, size_t at)
{
    c->timers[at] = op;
    op->timer = at + 1;
}

static void sift_up(struct mf_cql *c, size_t at)
{
    struct cql_op *op = c->timers[at];
    while (at > 0 && c->timers[(at - 1) / 2]->due_us > op->due_us) {
        place(c, c->timers[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    place(c, op, at);
}

static void sift_down(struct mf_cql *c, size_t at)
{
    struct cql_op *op = c->timers[at];
    while (2 * at + 1 < c->ntimers) {
        size_t child = 2 * at + 1;
        child += child + 1 < c->ntimers && c->timers[child + 1]->due_us < c->timers[child]->due_us;
        if (c->timers[child]->due_us >= op->due_us) {
            break;
        }
        place(c, c->timers[child], at);
        at = child;
    }
    place(c, op, at);
}

void cql_timer_set(struct mf_cql *c, struct cql_op *op, int64_t due)
{
    int64_t was = op->due_us;
    op->due_us = due;
    if (!op->timer) {
        if (c->ntimers == c->room_timers) {
            c->room_timers = c->room_timers ? 2 * c->room_timers : 1024;
            c->timers = mf_xreallocarray(c->timers, c->room_timers, sizeof(struct cql_op *));
        }
        place(c, op, c->ntimers++);
        sift_up(c, op->timer - 1);
    } else if (due < was) {
        sift_up(c, op->timer - 1);
    } else if (due > was) {
        sift_down(c, op->timer - 1);
    }
}

void cql_timer_clear(struct mf_cql *c, struct cql_op *op)
{
    if (!op->timer) {
        return;
    }
    size_t at = op->timer - 1;
    struct cql_op *last = c->timers[--c->ntimers];
    op->timer = 0;
    if (last != op) {
        place(c, last, at);
        sift_up(c, at);
        sift_down(c, last->timer - 1);
    }
}

static void fire(struct mf_cql *c, int64_t now)
{
    /* What is armed anew for a moment that is past comes in the next turn. */
    for (size_t most = c->ntimers; most > 0 && c->ntimers > 0 && c->timers[0]->due_us <= now; most--) {
        cql_op_due(c, c->timers[0], now);
    }
}

/* ---- what callers submit */

static void tell(struct mf_cql *c)
{
    uint64_t one = 1;
    ssize_t rc = write(c->wake, &one, sizeof(one)); /* it can only fail when it is told already */
    (void)rc;
}

int cql_loop_submit(struct mf_cql *c, struct cql_op *op)
{
    pthread_mutex_lock(&c->lock);
    bool closing = c->closing, awake = c->awake;
    if (!closing) {
        cql_list_push(&c->submitted, op);
        c->awake = true;
    }
    pthread_mutex_unlock(&c->lock);
    if (!closing && !awake) {
        tell(c);
    }
    return closing ? -1 : 0;
}

static void unlist(struct cql_op *op)
{
    op->list = NULL;
    op->next = op->prev = NULL;
}

/* True: it is closing. */
static bool take_submitted(struct mf_cql *c)
{
    pthread_mutex_lock(&c->lock);
    struct cql_list got = c->submitted;
    c->submitted = (struct cql_list){0};
    c->awake = false;
    bool closing = c->closing;
    pthread_mutex_unlock(&c->lock);
    while (got.head) {
        struct cql_op *op = got.head;
        got.head = op->next;
        unlist(op);
        cql_route(c, op);
    }
    return closing;
}

/* ---- turns */

static void look_after(struct mf_cql *c, int64_t now)
{
    if (now < c->tick_us) {
        return;
    }
    c->tick_us = INT64_MAX;
    for (struct cql_conn *k = c->conns, *next; k; k = next) {
        next = k->next;
        cql_conn_tick(k, now);
        if (next && next->dead) { /* that broke others too: the rest in the next turn */
            cql_tick_by(c, now);
            break;
        }
    }
    for (size_t i = 0; i < c->nnodes; i++) {
        cql_node_tick(c, c->nodes[i], now);
    }
    cql_control_tick(c, now);
}

static void flush(struct mf_cql *c)
{
    bool more = true;
    while (more) {
        more = false;
        for (struct cql_conn *k = c->conns, *next; k; k = next) {
            next = k->next;
            if (k->dirty) {
                cql_conn_flush(k);
                more = true;
            }
            if (next && next->dead) {
                break;
            }
        }
    }
}

static void bury(struct mf_cql *c)
{
    while (c->dying) {
        struct cql_conn *k = c->dying;
        c->dying = k->next;
        cql_conn_free(k);
    }
}

static bool tls_waits(const struct mf_cql *c)
{
    for (const struct cql_conn *k = c->tls ? c->conns : NULL; k; k = k->next) {
        if (k->tls_more) {
            return true;
        }
    }
    return false;
}

static void take_tls(struct mf_cql *c, int64_t now)
{
    for (struct cql_conn *k = c->tls ? c->conns : NULL, *next; k; k = next) {
        next = k->next;
        if (k->tls_more) {
            cql_conn_event(k, 0, now);
        }
        if (next && next->dead) {
            break;
        }
    }
}

/* Milliseconds until something is due, for epoll_wait. */
static int until_due(const struct mf_cql *c)
{
    int64_t at = c->tick_us, now = mf_now_us();
    if (tls_waits(c)) {
        return 0;
    }
    if (c->ntimers > 0 && c->timers[0]->due_us < at) {
        at = c->timers[0]->due_us;
    }
    if (at == INT64_MAX) {
        return -1;
    }
    int64_t ms = at <= now ? 0 : (at - now) / MF_US_PER_MS + 1;
    return ms > 60000 ? 60000 : (int)ms;
}

static void turn(struct mf_cql *c)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(c->epoll, events, EVENTS, until_due(c));
    int64_t now = mf_now_us();
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == c) {
            uint64_t told;
            ssize_t rc = read(c->wake, &told, sizeof(told));
            (void)rc;
        } else {
            cql_conn_event(events[i].data.ptr, events[i].events, now);
        }
    }
    take_tls(c, now);
}

/* Everything ends: whoever waits is told. */
static void end_all(struct mf_cql *c)
{
    struct mf_error err;
    mf_fail(&err, MF_RETRY, "MFCLOSED", "the connection to the cluster was closed");
    cql_open_done(c, &err);
    while (c->ntimers > 0) {
        struct cql_op *op = c->timers[0];
        op->idempotent = false;
        cql_op_fail(c, op, &err);
    }
    while (c->conns) {
        cql_conn_break(c->conns, &err);
    }
    bury(c);
}

void *cql_loop(void *arg)
{
    struct mf_cql *c = arg;
    c->tick_us = 0;
    while (!take_submitted(c)) {
        int64_t now = mf_now_us();
        fire(c, now);
        look_after(c, now);
        flush(c);
        bury(c);
        turn(c);
    }
    end_all(c);
    return NULL;
}

void cql_open_done(struct mf_cql *c, const struct mf_error *err)
{
    pthread_mutex_lock(&c->lock);
    if (c->opening == CQL_OPENING) {
        c->opening = err ? CQL_OPEN_FAILED : CQL_OPEN;
        if (err && (!c->open_error.cls || c->open_error.cls == MF_RETRY)) {
            c->open_error = *err;
        }
        pthread_cond_broadcast(&c->opened);
    }
    pthread_mutex_unlock(&c->lock);
}
