/*
 * One connection: streams, buffers, the socket.
 *
 * What it sends is in cql_send.c. An answer is given to whatever its stream was last used for; a stream whose request was given up stays used until its answer
 * comes. A connection that has said nothing for a while is asked (OPTIONS, which a node answers at once however slow its requests are), and broken when it says
 * nothing to that either, whatever TCP thinks of it: the silence is the node's or the network's.
 */
#include "connector/cassandra/cql_net.h"

#include "base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define IDLE_US     (30 * MF_US_PER_SEC) /* a connection without requests is asked so often */
#define FRAMES_MAX  (300u << 20)
#define READ_BUDGET (4u << 20) /* of one connection in one turn */

/* ---- opening */

static void set_socket(struct mf_cql *c, int fd)
{
    int on = 1, idle = 15, ms = (int)(c->set.connect_us / MF_US_PER_MS) + (int)(CQL_QUIET_US / MF_US_PER_MS);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

void cql_conn_watch(struct cql_conn *k, int how)
{
    struct epoll_event e = {.events = EPOLLIN | (k->want_out || k->tls_wants_write ? EPOLLOUT : 0u), .data.ptr = k};
    epoll_ctl(k->c->epoll, how, k->fd, &e);
}

static struct cql_conn *conn_new(struct mf_cql *c, struct cql_node *node, const struct cql_address *a)
{
    struct cql_conn *k = mf_xcalloc(1, sizeof(*k));
    k->c = c;
    k->node = node;
    k->address = *a;
    k->fd = -1;
    k->nslots = (int16_t)(node ? c->set.in_flight : 64);
    k->slots = mf_xcalloc((size_t)k->nslots + 1, sizeof(*k->slots));
    for (int16_t i = 0; i <= k->nslots; i++) {
        k->slots[i].next = (int16_t)(i + 1 < k->nslots ? i + 1 : -1);
    }
    k->fresh = -1;
    mf_buf_init(&k->frames, FRAMES_MAX);
    mf_buf_init(&k->out, 2 * (size_t)FRAMES_MAX);
    k->reader = cql_reader_new(CQL_FRAME_MAX);
    k->opened_us = k->heard_us = mf_now_us();
    return k;
}

struct cql_conn *cql_conn_open(struct mf_cql *c, struct cql_node *node, const struct cql_address *a,
                               struct mf_error *err)
{
    struct cql_conn *k = conn_new(c, node, a);
    k->fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (!k->reader || k->fd < 0) {
        mf_fail(err, MF_RETRY, "MFNET", "no socket for %s: %s", a->name, strerror(errno));
        cql_conn_free(k);
        return NULL;
    }
    set_socket(c, k->fd);
    if (connect(k->fd, (const struct sockaddr *)&a->at, a->len) < 0 && errno != EINPROGRESS) {
        mf_fail(err, MF_RETRY, "MFNET", "%s cannot be reached: %s", a->name, strerror(errno));
        cql_conn_free(k);
        return NULL;
    }
    k->want_out = true;
    cql_conn_watch(k, EPOLL_CTL_ADD);
    k->next = c->conns;
    if (k->next) {
        k->next->prev = k;
    }
    c->conns = k;
    cql_tick_by(c, k->opened_us + c->set.connect_us);
    return k;
}

void cql_conn_free(struct cql_conn *k)
{
    if (!k) {
        return;
    }
    SSL_free(k->ssl);
    if (k->fd >= 0) {
        close(k->fd);
    }
    cql_reader_free(k->reader);
    mf_buf_free(&k->frames);
    mf_buf_free(&k->out);
    free(k->slots);
    free(k);
}

/* ---- breaking */

static void drop_flight(struct cql_op *op, const struct cql_conn *k, int16_t stream)
{
    for (int i = 0; i < op->nflights; i++) {
        if (op->flights[i].conn == k && op->flights[i].stream == stream) {
            op->flights[i] = op->flights[--op->nflights];
            return;
        }
    }
}

static void slot_free(struct cql_conn *k, int16_t stream)
{
    struct cql_slot *s = &k->slots[stream];
    k->orphans -= s->op == NULL;
    *s = (struct cql_slot){.next = k->free};
    k->free = stream;
    k->used--;
    if (k->node) {
        k->node->in_flight--;
    }
}

static void unlink_conn(struct cql_conn *k)
{
    struct mf_cql *c = k->c;
    *(k->prev ? &k->prev->next : &c->conns) = k->next;
    if (k->next) {
        k->next->prev = k->prev;
    }
    k->prev = NULL;
    k->next = c->dying;
    c->dying = k;
}

void cql_conn_break(struct cql_conn *k, const struct mf_error *err)
{
    struct mf_cql *c = k->c;
    struct mf_error why = *err;
    if (k->dead) {
        return;
    }
    k->dead = true;
    bool refused = k->state != CQL_C_READY;
    epoll_ctl(c->epoll, EPOLL_CTL_DEL, k->fd, NULL);
    unlink_conn(k);
    c->trouble = why;
    *(refused ? &c->count.connects_failed : &c->count.connections_lost) += 1;
    if (k->node) {
        cql_node_lost(c, k->node, k, refused);
    }
    for (int16_t i = 0; i < k->nslots; i++) {
        struct cql_slot s = k->slots[i];
        if (!s.used) {
            continue;
        }
        slot_free(k, i);
        if (s.op) {
            drop_flight(s.op, k, i);
            enum cql_trouble_kind kind = s.at >= k->sent_total ? CQL_T_UNWRITTEN : CQL_T_LOST;
            cql_op_trouble(c, s.op, k->node, (struct cql_trouble){.kind = kind}, &why);
        }
    }
    if (k == c->control) {
        c->control = NULL;
        cql_control_lost(c, &why);
    }
}

/* ---- reading */

static void take_answer(struct cql_conn *k, const struct cql_frame *f, int64_t now)
{
    struct cql_slot *s = &k->slots[f->stream];
    struct cql_op *op = s->op;
    int64_t sent_us = s->sent_us;
    if (k->node) {
        cql_window_answer(&k->node->window, sent_us, now, k->node->in_flight >= (int)k->node->window.size);
    }
    slot_free(k, f->stream);
    if (op) {
        drop_flight(op, k, f->stream);
        cql_op_answer(k->c, op, k, f);
    }
    if (k->node && !k->dead) {
        cql_dispatch(k->c, k->node);
    }
}

static void take_frame(struct cql_conn *k, const struct cql_frame *f, int64_t now)
{
    struct mf_error err;
    if (k->state != CQL_C_READY) {
        cql_shake_frame(k, f);
    } else if (f->stream == -1 && f->opcode == CQL_EVENT && k == k->c->control) {
        struct cql_answer a;
        mf_arena_reset(&k->c->scratch);
        if (cql_answer_read(f, &k->c->scratch, &a, &err) < 0) {
            cql_conn_break(k, &err);
        } else {
            cql_control_event(k->c, &a.event);
        }
    } else if (f->stream == k->nslots && k->probing) {
        k->probing = false;
    } else if (f->stream >= 0 && f->stream < k->nslots && k->slots[f->stream].used) {
        take_answer(k, f, now);
    } else {
        mf_fail(&err, MF_RETRY, "MFPROTO", "%s sent an answer to nothing that was asked", k->address.name);
        cql_conn_break(k, &err);
    }
}

static int take_frames(struct cql_conn *k, int64_t now, struct mf_error *err)
{
    struct cql_frame f;
    int rc = 0;
    while (!k->dead && (rc = cql_reader_next(k->reader, &f, err)) == 1) {
        take_frame(k, &f, now);
    }
    if (rc < 0) {
        mf_error_prefix(err, "%s", k->address.name);
    }
    return rc < 0 ? -1 : 0;
}

static int read_in(struct cql_conn *k, int64_t now, struct mf_error *err)
{
    size_t budget = READ_BUDGET;
    k->tls_more = false;
    while (!k->dead) {
        size_t room;
        void *p = cql_reader_room(k->reader, &room);
        if (!p) {
            return mf_fail(err, MF_RETRY, "MFMEM", "out of memory for an answer of %s", k->address.name);
        }
        ssize_t n = cql_conn_read(k, p, room, err);
        if (n <= 0) {
            return (int)n;
        }
        k->heard_us = now;
        k->c->count.bytes_in += (uint64_t)n;
        cql_reader_took(k->reader, (size_t)n);
        if (take_frames(k, now, err) < 0) {
            return -1;
        }
        if ((size_t)n >= budget) {
            k->tls_more = k->ssl != NULL; /* what TLS has read already, epoll does not tell of */
            return 0;
        }
        budget -= (size_t)n;
    }
    return 0;
}

static int connected(struct cql_conn *k, struct mf_error *err)
{
    int why = 0;
    socklen_t n = sizeof(why);
    getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &why, &n);
    if (why) {
        mf_fail(err, MF_RETRY, "MFNET", "%s cannot be reached: %s", k->address.name, strerror(why));
        mf_hint(err, "is Cassandra running there, and is its native_transport_port the URL's?");
        return -1;
    }
    k->state = CQL_C_TLS;
    k->want_out = false;
    return k->c->tls ? cql_tls_begin(k, err) : 0;
}

void cql_conn_event(struct cql_conn *k, uint32_t events, int64_t now)
{
    struct mf_error err;
    if (k->dead) {
        return;
    }
    if (k->state == CQL_C_CONNECTING && connected(k, &err) < 0) {
        cql_conn_break(k, &err);
        return;
    }
    if (k->state == CQL_C_TLS) {
        int rc = k->ssl ? cql_tls_shake(k, &err) : 1;
        if (rc < 0) {
            cql_conn_break(k, &err);
            return;
        }
        cql_conn_watch(k, EPOLL_CTL_MOD);
        if (rc == 0) {
            return;
        }
        cql_shake_begin(k);
    }
    if (((events & ~(uint32_t)EPOLLOUT) || k->tls_more) && read_in(k, now, &err) < 0) {
        cql_conn_break(k, &err);
        return;
    }
    if (events & EPOLLOUT) {
        k->dirty = true;
    }
}

/* ---- time */

void cql_conn_probe(struct cql_conn *k, int64_t now)
{
    struct mf_error err;
    if (!k->probing && k->state == CQL_C_READY && !k->dead &&
        cql_put_options(&k->frames, k->wire.version, k->nslots, &err) == 0) {
        k->probing = true;
        k->probed_us = now;
        k->dirty = true;
        cql_tick_by(k->c, now + k->c->set.connect_us);
    }
}

/* It was asked, and has said nothing since for as long as a connect may take: this moment; INT64_MAX: it was not asked. */
static int64_t broken_at(const struct cql_conn *k)
{
    int64_t since = k->heard_us > k->probed_us ? k->heard_us : k->probed_us;
    return k->probing ? since + k->c->set.connect_us : INT64_MAX;
}

static void tick_young(struct cql_conn *k, int64_t now)
{
    struct mf_error err;
    if (now >= k->opened_us + k->c->set.connect_us) {
        mf_fail(&err, MF_RETRY, "MFTIME", "%s does not answer", k->address.name);
        mf_hint(&err, "is it Cassandra that listens there, and does a firewall drop packets?");
        cql_conn_break(k, &err);
        return;
    }
    cql_tick_by(k->c, k->opened_us + k->c->set.connect_us);
}

void cql_conn_tick(struct cql_conn *k, int64_t now)
{
    struct mf_error err;
    if (k->state != CQL_C_READY) {
        tick_young(k, now);
        return;
    }
    if (now >= broken_at(k)) {
        mf_fail(&err, MF_RETRY, "MFTIME", "%s has not said anything for %.1f s", k->address.name,
                (double)(now - k->heard_us) / 1e6);
        cql_conn_break(k, &err);
        return;
    }
    if (k->orphans > k->nslots / 2) {
        mf_fail(&err, MF_RETRY, "MFTIME", "%s leaves too many requests without an answer", k->address.name);
        cql_conn_break(k, &err);
        return;
    }
    int64_t ask = k->heard_us + (k->used > 0 ? CQL_QUIET_US : IDLE_US);
    if (now >= ask) {
        cql_conn_probe(k, now);
    }
    cql_tick_by(k->c, k->probing ? broken_at(k) : ask);
}
