/*
 * Where a caller's answers arrive: see cql.h. What is in flight is counted from submit to take, so that neither requests nor
 * answers nobody takes can grow past the inbox's bounds. An op holds a reference, so an inbox may be freed with requests on their way.
 */
#include "connector/cassandra/cql_net.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct mf_cql_inbox *mf_cql_inbox_new(size_t max, size_t max_bytes)
{
    struct mf_cql_inbox *in = mf_xcalloc(1, sizeof(*in));
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&in->arrived, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&in->lock, NULL);
    in->max = max ? max : 1;
    in->max_bytes = max_bytes;
    in->refs = 1;
    return in;
}

/* Lock held; gives it back. */
static void drop_ref(struct mf_cql_inbox *in)
{
    bool last = --in->refs == 0;
    pthread_mutex_unlock(&in->lock);
    if (last) {
        pthread_mutex_destroy(&in->lock);
        pthread_cond_destroy(&in->arrived);
        free(in);
    }
}

void mf_cql_inbox_free(struct mf_cql_inbox *in)
{
    if (!in) {
        return;
    }
    pthread_mutex_lock(&in->lock);
    in->dead = true;
    while (in->head) {
        struct cql_reply *r = in->head;
        in->head = r->next;
        mf_cql_answer_free(&r->pub);
    }
    drop_ref(in);
}

void cql_inbox_put(struct mf_cql_inbox *in, struct cql_reply *r)
{
    pthread_mutex_lock(&in->lock);
    if (in->dead) {
        mf_cql_answer_free(&r->pub);
    } else {
        r->next = NULL;
        *(in->head ? &in->tail->next : &in->head) = r;
        in->tail = r;
        if (in->waiting) {
            pthread_cond_signal(&in->arrived);
        }
    }
    drop_ref(in);
}

static struct timespec moment(int64_t us)
{
    return (struct timespec){.tv_sec = us / MF_US_PER_SEC, .tv_nsec = us % MF_US_PER_SEC * 1000};
}

int mf_cql_take(struct mf_cql_inbox *in, int timeout_ms, struct mf_cql_answer **ret)
{
    struct timespec until = moment(mf_now_us() + (timeout_ms > 0 ? timeout_ms : 0) * MF_US_PER_MS);
    MF_LOCK_SCOPE(&in->lock);
    if (in->n == 0) {
        return -1;
    }
    while (!in->head) {
        in->waiting = true;
        int rc = timeout_ms < 0    ? pthread_cond_wait(&in->arrived, &in->lock)
                 : timeout_ms == 0 ? ETIMEDOUT
                                   : pthread_cond_timedwait(&in->arrived, &in->lock, &until);
        in->waiting = false;
        if (rc == ETIMEDOUT && !in->head) {
            return 1;
        }
    }
    struct cql_reply *r = in->head;
    in->head = r->next;
    in->n--;
    in->bytes -= r->bytes;
    *ret = &r->pub;
    return 0;
}

size_t mf_cql_in_flight(struct mf_cql_inbox *in)
{
    MF_LOCK_SCOPE(&in->lock);
    return in->n;
}

static int check(const struct mf_cql_request *r, struct mf_error *err)
{
    if ((r->text != NULL) == (r->nbound > 0) || r->nbound > UINT16_MAX || r->page_size < 0) {
        return mf_fail(err, MF_FATAL, "MFBUG", "a request is one statement or 1 to 65535 bound ones");
    }
    for (size_t i = 0; i < r->nbound; i++) {
        const struct mf_cql_bound *b = &r->bound[i];
        if (b->values.n != b->prepared->was->binds.n) {
            return mf_fail(err, MF_FATAL, "MFBUG", "%u values for a statement that takes %d: %s", b->values.n,
                           b->prepared->was->binds.n, b->prepared->text);
        }
    }
    return 0;
}

int64_t cql_hurried(struct mf_cql *c, int64_t until)
{
    MF_LOCK_SCOPE(&c->lock);
    bool ours = c->hurry_until_us && pthread_equal(c->hurried, pthread_self());
    return ours && c->hurry_until_us < until ? c->hurry_until_us : until;
}

/* 0: there is room, and it is taken; 1: none. */
static int take_room(struct mf_cql_inbox *in, size_t bytes)
{
    MF_LOCK_SCOPE(&in->lock);
    if (in->n > 0 && (in->n >= in->max || in->bytes + bytes > in->max_bytes)) {
        return 1;
    }
    in->n++;
    in->bytes += bytes;
    in->refs++;
    return 0;
}

static void give_room(struct mf_cql_inbox *in, size_t bytes)
{
    pthread_mutex_lock(&in->lock);
    in->n--;
    in->bytes -= bytes;
    drop_ref(in);
}

int mf_cql_submit(struct mf_cql *c, struct mf_cql_inbox *in, const struct mf_cql_request *r, uint64_t tag,
                  struct mf_error *err)
{
    enum cql_opcode opcode = r->text ? CQL_QUERY : r->nbound > 1 ? CQL_BATCH : CQL_EXECUTE;
    return cql_submit_as(c, in, opcode, r, tag, err);
}

int cql_submit_as(struct mf_cql *c, struct mf_cql_inbox *in, enum cql_opcode opcode, const struct mf_cql_request *r,
                  uint64_t tag, struct mf_error *err)
{
    if (check(r, err) < 0) {
        return -1;
    }
    if (mf_cql_in_flight(in) >= in->max) { /* an inbox has one submitter: nobody else takes the room meanwhile */
        return 1;
    }
    struct cql_op *op = cql_op_new(c, r);
    if (!op) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a request");
    }
    op->opcode = opcode;
    op->tag = tag;
    op->inbox = in;
    op->started_us = mf_now_us();
    op->deadline_us =
        cql_hurried(c, op->started_us + (r->timeout_ms > 0 ? r->timeout_ms * MF_US_PER_MS : c->set.request_us));
    size_t bytes = op->bytes; /* the op is not ours any more once it was submitted */
    if (take_room(in, bytes) == 1) {
        cql_op_free(op);
        return 1;
    }
    if (cql_loop_submit(c, op) < 0) {
        give_room(in, bytes);
        cql_op_free(op);
        return mf_fail(err, MF_RETRY, "MFCLOSED", "the connection to the cluster is being closed");
    }
    c->count.requests++;
    return 0;
}
