/*
 * What is done about a request that failed, and how many requests a node is given at a time: pure rules, so that a test can show each.
 *
 * Retries. A request that may have been executed goes out again only when it is idempotent; the number of retries is bounded here, their time
 * by the request's own deadline, with which the caller compares wait_us.
 *
 * The window. A node is given as many requests at a time as it answers quickly: one more for each round of answers while they come within the
 * goal, a fifth less when their mean is past it, half when it says that it is overloaded or times out (additive increase, multiplicative decrease). It is the latency
 * that decides, not a number of requests somebody once found good.
 */
#ifndef MF_CONNECTOR_CASSANDRA_CQL_POLICY_H
#define MF_CONNECTOR_CASSANDRA_CQL_POLICY_H

#include "connector/cassandra/message.h"

#define CQL_RETRIES_MAX 10 /* for one request */

enum cql_trouble_kind {
    CQL_T_SERVER,    /* the node answered with an error */
    CQL_T_UNWRITTEN, /* the connection broke before the request was on it */
    CQL_T_LOST,      /* it broke later */
    CQL_T_SILENT,    /* no answer in time */
    CQL_T_BEHIND,    /* its schema has not what others have prepared: a node that was away learns it a little later */
};

struct cql_trouble {
    enum cql_trouble_kind kind;
    const struct cql_server_error *error; /* SERVER */
    bool idempotent;
    int retries;   /* so far */
    uint32_t dice; /* any number: spreads the waits */
};

enum cql_fate { CQL_GIVE_UP, CQL_SAME_NODE, CQL_OTHER_NODE };

struct cql_verdict {
    enum cql_fate fate;
    int64_t wait_us; /* before it goes out again */
    bool shrink;     /* the node has too much to do */
};

struct cql_verdict cql_verdict(const struct cql_trouble *t);

/* How long before a node that refused or lost its last n connections is tried again: 0.1 s, doubling to 10 s, a quarter more or less. */
int64_t cql_reconnect_us(int failures, uint32_t dice);

struct cql_window {
    double size;
    double max;
    int64_t goal_us;     /* of the mean latency */
    int64_t cut_at_us;   /* answers to what was sent before then count for nothing: it was cut for them */
    double sum_us;       /* of this round */
    uint32_t n, crowded; /* answers in this round; of which came while the window was full */
};

#define CQL_WINDOW_MIN 8.0

void cql_window_init(struct cql_window *w, double max, int64_t goal_us);
/* An answer to what was sent at sent_us. full: as many as the window allows were in flight. */
void cql_window_answer(struct cql_window *w, int64_t sent_us, int64_t now_us, bool full);
/* The node said that it has too much to do, by an answer to what was sent at sent_us. */
void cql_window_shrink(struct cql_window *w, int64_t sent_us, int64_t now_us);

#endif
