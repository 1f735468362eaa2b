/*
 * The session below cql.h: what the I/O thread works with.
 *
 *     callers --submit--> [submitted] --route--> node's queue --window--> connection's stream --answer--> inbox --take--> callers
 *
 * A request is a cql_op. It is always in exactly one place: in `submitted`, in a list (a node's queue, the homeless, those that wait for a statement to be
 * prepared), flying (one or two streams), or resting until its retry. Its one timer stands in the heap of timers from the moment the I/O
 * thread has it, so every op ends by its deadline wherever it is.
 *
 * Threads and locks. Everything here belongs to the I/O thread but for what says otherwise: fields under mf_cql.lock, inboxes under their own lock (which
 * is never held together with mf_cql.lock), atomics, what is set before the thread starts, and an op before it is submitted.
 */
#ifndef MF_CONNECTOR_CASSANDRA_CQL_NET_H
#define MF_CONNECTOR_CASSANDRA_CQL_NET_H

#include "base/cleanup.h"
#include "base/clock.h"
#include "connector/cassandra/cql_policy.h"
#include "connector/cassandra/cql_ring.h"
#include "connector/cassandra/cql_url.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>

#define CQL_REPLICAS_MAX 64
#define CQL_NODES_MAX    4000                /* that there ever were: an id is a place in the list */
#define CQL_QUIET_US     (2 * MF_US_PER_SEC) /* a connection that owes an answer and says nothing is asked then */
#define CQL_OUT_MAX      (1u << 20)          /* bytes waiting for a socket, after which it is given no more requests */
#define CQL_ADDRESS_MAX  128                 /* addresses of the contacts, resolved */

/* ---- requests */

struct cql_op;
struct cql_conn;
struct cql_node;
struct cql_reply;

struct cql_list {
    struct cql_op *head, *tail;
    size_t n;
};

struct cql_op_item {
    struct mf_cql_prepared *prepared;
    struct cql_values values;
};

struct cql_flight { /* a stream that an op has */
    struct cql_conn *conn;
    int16_t stream;
};

/* Called on the I/O thread for what it asked itself; the reply is the callee's. */
typedef void cql_op_done(struct mf_cql *c, struct cql_op *op, struct cql_reply *r);

struct cql_op {
    /* As submitted; never changed after. One allocation with all it points to. */
    enum cql_opcode opcode; /* QUERY, EXECUTE, BATCH, PREPARE, REGISTER */
    const char *text;       /* QUERY, PREPARE */
    struct cql_op_item *items;
    size_t nitems;
    struct cql_params params;
    bool idempotent, has_token, only_node, trace;
    int64_t token;
    uint32_t node;
    const char *keyspace;       /* "": no replicas to look for */
    struct mf_cql_inbox *inbox; /* a reference; NULL: `done` */
    uint64_t tag;
    size_t bytes;
    cql_op_done *done;
    void *ctx;
    struct cql_conn *via; /* goes by this connection or not at all: what the control connection asks */
    int64_t started_us, deadline_us;

    struct cql_op *next, *prev;
    struct cql_list *list;   /* it is in; NULL: flying or resting */
    struct cql_node *queued; /* whose queue that is */
    struct cql_flight flights[2];
    int nflights;
    size_t timer; /* place in the heap + 1; 0: none */
    int64_t due_us, rest_until_us, homeless_us;
    int64_t sent_us; /* the last time */
    int retries, unprepared;
    uint32_t tried[8]; /* nodes, the last few */
    size_t ntried;
    struct mf_error *last; /* what it failed with before; NULL */
};

/* The public part first. Of the thread that has it. */
struct cql_reply {
    struct mf_cql_answer pub;
    struct cql_reply *next;
    size_t bytes; /* what the inbox counts for it */
    struct mf_arena arena;
    uint8_t *body;
    struct cql_answer answer;
    struct cql_bytes *cells;
    struct mf_error error;
    char *warnings;
};

struct mf_cql_inbox {
    pthread_mutex_t lock; /* guards everything in it */
    pthread_cond_t arrived;
    struct cql_reply *head, *tail;
    size_t n, max, bytes, max_bytes; /* in flight: submitted and not taken */
    size_t refs;                     /* the owner's, and one for each op */
    bool dead;                       /* its owner has freed it */
    bool waiting;
};

/* Valid until close; found by text. binds, pk, keyspace, reply never change; ids and stale are the I/O thread's once it is published. */
struct mf_cql_prepared {
    struct mf_cql_prepared *next; /* of those with the same hash */
    char *text;
    struct cql_reply *reply; /* of PREPARE: what the pointers below point into */
    const struct cql_prepared *was;
    const char *keyspace;
    uint8_t id[256], result_id[256];
    uint16_t id_len, result_id_len;
    _Atomic bool stale; /* its table is another now: prepare it again */
};

/* ---- nodes and connections */

struct cql_address {
    struct sockaddr_storage at;
    socklen_t len;
    char name[256]; /* what a certificate must be for: the host as it was written, or the address */
};

struct cql_slot {
    struct cql_op *op; /* NULL in a slot in use: nobody waits for the answer any more */
    bool used;
    int16_t next; /* free, or fresh */
    int64_t sent_us;
    uint64_t at; /* first byte on the wire that may be of it; UINT64_MAX: not turned into the wire's form yet */
};

enum cql_conn_state {
    CQL_C_CONNECTING,
    CQL_C_TLS,
    CQL_C_OPTIONS,
    CQL_C_STARTUP,
    CQL_C_AUTH,
    CQL_C_REGISTER,
    CQL_C_READY
};

struct cql_conn {
    struct mf_cql *c;
    struct cql_conn *next, *prev;
    struct cql_node *node; /* NULL: the control connection */
    struct cql_address address;
    enum cql_conn_state state;
    int fd;
    SSL *ssl;
    bool want_out, tls_wants_write; /* epoll is told of */
    bool tls_more;                  /* TLS has bytes that the socket does not tell of */
    struct cql_wire wire;
    bool lz4; /* asked for by STARTUP */
    struct cql_reader *reader;
    struct mf_buf frames, out; /* whole frames; what goes over the wire */
    size_t out_at;
    uint64_t wire_total, sent_total; /* bytes put into out, and taken by the socket */
    struct cql_slot *slots;          /* nslots and one more for probes */
    int16_t nslots, free, fresh;     /* -1: none */
    int used, orphans;
    bool probing, dirty;
    int64_t opened_us, heard_us, probed_us;
    bool dead;
};

struct cql_preparing {
    struct cql_preparing *next;
    struct mf_cql_prepared *what;
    struct cql_node *node;
    struct cql_list waiting;
};

struct cql_node {
    struct mf_cql_node info;
    char said[80]; /* its address as the cluster told it */
    struct cql_address address;
    struct cql_conn *conns[CQL_CONNECTIONS_MAX];
    int nconns, nready;
    int failures;
    int64_t retry_us; /* no connection is made before */
    struct cql_window window;
    int in_flight;
    struct cql_list queue;
    struct cql_preparing *preparing;
    bool gone; /* left the ring; kept, since its id is known to callers */
};

enum cql_opening { CQL_OPENING, CQL_OPEN, CQL_OPEN_FAILED };

struct cql_counters {
    _Atomic uint64_t requests, answers, errors, retries, overloaded, timeouts, unprepared, speculative;
    _Atomic uint64_t connects, connects_failed, connections_lost;
    _Atomic uint64_t events_topology, events_status, events_schema;
    _Atomic uint64_t to_replica, to_other, bytes_out, bytes_in;
    _Atomic uint64_t window, nodes_up;
};

#define CQL_STATEMENTS 1024 /* chains of them */

struct mf_cql {
    /* set before the thread starts */
    struct cql_settings set;
    SSL_CTX *tls; /* NULL: off */
    struct cql_address contacts[CQL_ADDRESS_MAX];
    size_t ncontacts;
    int epoll, wake;
    pthread_t thread;
    bool started;
    struct cql_counters count;

    pthread_mutex_t lock;  /* guards up to the next blank line */
    pthread_cond_t opened; /* opening changed */
    enum cql_opening opening;
    struct mf_error open_error;
    struct cql_list submitted;
    bool awake, closing;                              /* awake: the thread has been told of submitted */
    struct cql_ring *ring;                            /* the last one; NULL before open */
    char cluster[128], release[32], partitioner[128]; /* of the node that was asked last */
    int version;                                      /* of the protocol */
    bool lz4;
    struct mf_cql_prepared *statements[CQL_STATEMENTS], *graveyard;
    size_t nstatements;
    int64_t hurry_until_us; /* 0: nobody is in a hurry */
    pthread_t hurried;      /* the thread that is */
    bool up[CQL_NODES_MAX]; /* by place */

    /* the I/O thread's */
    struct cql_ring *my_ring;              /* a reference to the same */
    struct cql_node *nodes[CQL_NODES_MAX]; /* id - 1 */
    size_t nnodes;
    struct cql_conn *conns, *dying;
    struct cql_conn *control;
    size_t control_turn;
    int control_failures;
    int64_t control_retry_us, refresh_us, tick_us; /* refresh 0: none is due */
    bool refresh_again;
    unsigned refreshes;             /* since the last event */
    struct cql_refresh *refreshing; /* NULL: none is */
    struct cql_list homeless;       /* no node that could take them has a connection */
    struct cql_op **timers;
    size_t ntimers, room_timers;
    struct mf_arena scratch; /* of one answer that fails */
    struct mf_error trouble; /* the last one with a connection */
    int speaks;              /* the protocol version for new connections */
    uint32_t dice;
};

/* ---- cql_op.c: requests, from being asked to being answered */

/* A copy of r. The caller sets opcode, inbox or done, started_us and deadline_us. */
struct cql_op *cql_op_new(const struct mf_cql *c, const struct mf_cql_request *r);
struct cql_op *cql_op_text(enum cql_opcode opcode, const char *text, cql_op_done *done, void *ctx);
void cql_op_free(struct cql_op *op);
void cql_list_push(struct cql_list *l, struct cql_op *op);
void cql_list_remove(struct cql_op *op);
static inline struct cql_op *cql_list_pop(struct cql_list *l)
{
    struct cql_op *op = l->head;
    if (op) {
        cql_list_remove(op);
    }
    return op;
}
/* Takes it out of wherever it is, and hands the reply to whoever waits. Frees the op; r is consumed. */
void cql_op_end(struct mf_cql *c, struct cql_op *op, struct cql_reply *r);
/* The same with an error; what it failed with before is added to its text. */
void cql_op_fail(struct mf_cql *c, struct cql_op *op, const struct mf_error *err);
/* There are nodes it was not sent to yet, beside the one that has just answered; or some are away, and the one that answered may just have come back. */
bool cql_op_others(const struct mf_cql *c, const struct cql_op *op);
/* Something went wrong with one of its flights, which it has no more: another try, or the end. */
void cql_op_trouble(struct mf_cql *c, struct cql_op *op, struct cql_node *node, struct cql_trouble t,
                    const struct mf_error *err);
/* An answer from the server, for a flight that it has no more. */
void cql_op_answer(struct mf_cql *c, struct cql_op *op, struct cql_conn *conn, const struct cql_frame *f);
/* Sets its timer by what it waits for now. */
void cql_op_arm(struct mf_cql *c, struct cql_op *op);
void cql_op_due(struct mf_cql *c, struct cql_op *op, int64_t now);

/* ---- cql_answer.c */

struct cql_reply *cql_reply_new(void);
/* Parses a frame into a reply of its own. -1: malformed; r is to be freed all the same. */
int cql_reply_read(struct cql_reply *r, const struct cql_frame *f, struct mf_error *err);

/* ---- cql_errors.c: pure */

/* What the server said about a request, in our classes. bound: it was a prepared statement with values, or a batch of them. */
void cql_request_error(const struct cql_server_error *e, bool bound, struct mf_error *err);
/* Or a node says so that does not know the schema of now. */
bool cql_schema_behind(const struct mf_error *err);

/* ---- cql_inbox.c */

/* until, or the moment by which the calling thread wants to be done (mf_cql_hurry). */
int64_t cql_hurried(struct mf_cql *c, int64_t until);
void cql_inbox_put(struct mf_cql_inbox *in, struct cql_reply *r); /* and gives back the op's reference */

/* ---- cql_route.c: which node, and when */

/* Sends it, queues it, or lets it wait for a node. */
void cql_route(struct mf_cql *c, struct cql_op *op);
/* Each that is in the list now. */
void cql_route_all(struct mf_cql *c, struct cql_list *list);
/* Sends what the node's window has room for. */
void cql_dispatch(struct mf_cql *c, struct cql_node *n);
/* Sends it once more to another node, if there is one with room. */
void cql_speculate(struct mf_cql *c, struct cql_op *op);
/* A node has a connection again. */
void cql_rehome(struct mf_cql *c);

/* ---- cql_node.c */

struct cql_node *cql_node_of(const struct mf_cql *c, uint32_t id); /* NULL: none */
void cql_node_connect(struct mf_cql *c, struct cql_node *n, int64_t now);
void cql_node_ready(struct mf_cql *c, struct cql_node *n);
/* A connection of it ended; refused: it was never ready. */
void cql_node_lost(struct mf_cql *c, struct cql_node *n, struct cql_conn *conn, bool refused);
void cql_node_drop(struct mf_cql *c, struct cql_node *n); /* it left the ring: its connections, its queue */
/* Makes the nodes those of the ring. */
void cql_nodes_follow(struct mf_cql *c, struct cql_ring *r);
void cql_node_tick(struct mf_cql *c, struct cql_node *n, int64_t now);

/* ---- cql_conn.c: one connection */

struct cql_conn *cql_conn_open(struct mf_cql *c, struct cql_node *node, const struct cql_address *a,
                               struct mf_error *err);
/* It is given up: its requests are in trouble. Freed at the end of the loop's turn. */
void cql_conn_break(struct cql_conn *conn, const struct mf_error *err);
void cql_conn_free(struct cql_conn *conn);
void cql_conn_event(struct cql_conn *conn, uint32_t events, int64_t now);
void cql_conn_tick(struct cql_conn *conn, int64_t now);
/* Asks whether it is there still, if it is not being asked. */
void cql_conn_probe(struct cql_conn *conn, int64_t now);
/* Tells epoll what it waits for; how: EPOLL_CTL_*. */
void cql_conn_watch(struct cql_conn *conn, int how);
/* The op does not wait for this stream any more. */
void cql_conn_orphan(struct cql_conn *conn, int16_t stream);

/* ---- cql_send.c: what it sends */

/* Puts it into the buffer. 0; 1: there is no room now; -1: it can never be sent, err says why. */
int cql_conn_send(struct cql_conn *conn, struct cql_op *op, struct mf_error *err);
bool cql_conn_room(const struct cql_conn *conn);
void cql_conn_flush(struct cql_conn *conn);

/* ---- cql_shake.c: from the socket to READY */

void cql_shake_begin(struct cql_conn *conn);
void cql_shake_frame(struct cql_conn *conn, const struct cql_frame *f);

/* ---- cql_tls.c */

int cql_tls_context(const struct cql_settings *s, SSL_CTX **ret, struct mf_error *err);
int cql_tls_begin(struct cql_conn *conn, struct mf_error *err);
/* 1: done; 0: it waits for the socket; -1 */
int cql_tls_shake(struct cql_conn *conn, struct mf_error *err);
/* As read() and write(): bytes; 0: the socket has to be waited for; -1: it is over (err). */
ssize_t cql_conn_read(struct cql_conn *conn, void *p, size_t n, struct mf_error *err);
ssize_t cql_conn_write(struct cql_conn *conn, const void *p, size_t n, struct mf_error *err);

/* ---- cql_control.c: the control connection, the ring, events */

void cql_control_tick(struct mf_cql *c, int64_t now);
void cql_control_ready(struct mf_cql *c);
void cql_control_lost(struct mf_cql *c, const struct mf_error *err);
void cql_control_event(struct mf_cql *c, const struct cql_event *e);
void cql_refresh_soon(struct mf_cql *c);
void cql_refresh_free(struct mf_cql *c);

/* ---- cql_read_ring.c: the answers of system tables as a ring */

struct cql_ring *cql_ring_read(struct mf_cql *c, struct cql_reply *local, struct cql_reply *peers,
                               struct cql_reply *keyspaces, struct mf_error *err);

/* ---- cql_prepare.c */

/* The node does not know a statement of the op (any more): teaches it and sends the op again. */
void cql_unprepared(struct mf_cql *c, struct cql_op *op, struct cql_node *n, const struct cql_server_error *e);
void cql_preparing_drop(struct mf_cql *c, struct cql_node *n);
void cql_statements_free(struct mf_cql *c);

/* ---- cql_loop.c */

void *cql_loop(void *c);
/* Any thread: the op is the loop's from here on. -1: it is closing. */
int cql_loop_submit(struct mf_cql *c, struct cql_op *op);
/* The loop looks after connections and nodes at this moment, if not before. */
static inline void cql_tick_by(struct mf_cql *c, int64_t at)
{
    c->tick_us = at < c->tick_us ? at : c->tick_us;
}
void cql_timer_set(struct mf_cql *c, struct cql_op *op, int64_t due);
void cql_timer_clear(struct mf_cql *c, struct cql_op *op);
/* Opening ended, well (err NULL) or not. */
void cql_open_done(struct mf_cql *c, const struct mf_error *err);
uint32_t cql_dice(struct mf_cql *c);

/* ---- cql_cluster.c, cql_call.c */

/* mf_cql_call for a request of this kind. Not on the I/O thread. */
int cql_call_as(struct mf_cql *c, enum cql_opcode opcode, const struct mf_cql_request *r, struct mf_cql_answer **ret,
                struct mf_error *err);
int cql_submit_as(struct mf_cql *c, struct mf_cql_inbox *in, enum cql_opcode opcode, const struct mf_cql_request *r,
                  uint64_t tag, struct mf_error *err);

struct cql_ring *cql_ring_now(struct mf_cql *c); /* any thread; a reference; NULL before open */

#endif
