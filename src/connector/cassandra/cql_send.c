/*
 * What a connection sends. Requests are put into `frames` as the loop's turn goes on, and turned into what goes over the wire at its end, so that small ones
 * share segments and writes. Each stream remembers where on the wire its request begins: one of which nothing was taken by the socket was certainly not
 * executed.
 */
#include "connector/cassandra/cql_net.h"

#include "base/mem.h"

#include <stdlib.h>
#include <sys/epoll.h>

#define KEEP_BYTES (4u << 20) /* a buffer that once was larger gives its memory back */

bool cql_conn_room(const struct cql_conn *k)
{
    return k->state == CQL_C_READY && !k->dead && k->free >= 0 &&
           k->frames.len + (k->out.len - k->out_at) < CQL_OUT_MAX;
}

static int put_items(struct cql_conn *k, struct cql_op *op, int16_t stream, struct mf_error *err)
{
    struct cql_batch_item *items = mf_xcalloc(op->nitems, sizeof(*items));
    for (size_t i = 0; i < op->nitems; i++) {
        const struct mf_cql_prepared *p = op->items[i].prepared;
        items[i].id = (struct cql_bytes){.p = p->id, .n = p->id_len};
        items[i].values = op->items[i].values;
    }
    int rc = cql_put_batch(&k->frames, k->wire.version, stream, CQL_BATCH_UNLOGGED, items, (uint16_t)op->nitems,
                           &op->params, err);
    free(items);
    return rc;
}

static int put_op(struct cql_conn *k, struct cql_op *op, int16_t stream, struct mf_error *err)
{
    uint8_t v = k->wire.version;
    switch (op->opcode) {
    case CQL_QUERY:
        return cql_put_query(&k->frames, v, stream, op->text, &op->params, err);
    case CQL_PREPARE:
        return cql_put_prepare(&k->frames, v, stream, op->text, NULL, err);
    case CQL_EXECUTE: {
        const struct mf_cql_prepared *p = op->items[0].prepared;
        struct cql_params params = op->params;
        params.values = op->items[0].values;
        return cql_put_execute(&k->frames, v, stream, (struct cql_bytes){.p = p->id, .n = p->id_len},
                               (struct cql_bytes){.p = p->result_id, .n = p->result_id_len}, &params, err);
    }
    default:
        return put_items(k, op, stream, err);
    }
}

int cql_conn_send(struct cql_conn *k, struct cql_op *op, struct mf_error *err)
{
    struct mf_cql *c = k->c;
    int16_t stream = k->free;
    size_t at = k->frames.len;
    if (stream < 0 || k->dead) {
        return 1;
    }
    if (put_op(k, op, stream, err) < 0) {
        return -1;
    }
    if (op->trace) {
        k->frames.data[at + 1] = (char)(k->frames.data[at + 1] | CQL_FLAG_TRACING);
    }
    struct cql_slot *s = &k->slots[stream];
    k->free = s->next;
    op->sent_us = mf_now_us();
    *s = (struct cql_slot){.op = op, .used = true, .next = k->fresh, .sent_us = op->sent_us, .at = UINT64_MAX};
    k->fresh = stream;
    if (k->used++ == 0) {
        k->heard_us = op->sent_us; /* it owed nothing before */
        cql_tick_by(c, op->sent_us + CQL_QUIET_US);
    }
    if (k->node) {
        k->node->in_flight++;
    }
    op->flights[op->nflights++] = (struct cql_flight){.conn = k, .stream = stream};
    k->dirty = true;
    cql_op_arm(c, op);
    return 0;
}

void cql_conn_orphan(struct cql_conn *k, int16_t stream)
{
    k->slots[stream].op = NULL;
    k->orphans++;
}

static void shrink(struct mf_buf *b)
{
    if (b->len == 0 && b->cap > KEEP_BYTES) {
        mf_buf_free(b);
    }
}

/* What is in frames goes into out. */
static int to_wire(struct cql_conn *k, struct mf_error *err)
{
    size_t before = k->out.len;
    for (int16_t i = k->fresh; i >= 0;) {
        int16_t next = k->slots[i].next;
        k->slots[i].at = k->wire_total;
        k->slots[i].next = -1;
        i = next;
    }
    k->fresh = -1;
    if (cql_wire_put(&k->out, &k->wire, k->frames.data, k->frames.len, err) < 0) {
        return -1;
    }
    k->wire_total += k->out.len - before;
    mf_buf_reset(&k->frames);
    shrink(&k->frames);
    return 0;
}

static int write_out(struct cql_conn *k, struct mf_error *err)
{
    while (k->out_at < k->out.len) {
        ssize_t n = cql_conn_write(k, k->out.data + k->out_at, k->out.len - k->out_at, err);
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        k->out_at += (size_t)n;
        k->sent_total += (uint64_t)n;
        k->c->count.bytes_out += (uint64_t)n;
    }
    if (k->out_at == k->out.len) {
        mf_buf_reset(&k->out);
        shrink(&k->out);
        k->out_at = 0;
    }
    return 0;
}

void cql_conn_flush(struct cql_conn *k)
{
    struct mf_error err;
    k->dirty = false;
    if (k->dead || k->state == CQL_C_CONNECTING || k->state == CQL_C_TLS) {
        return;
    }
    while (k->frames.len > 0 || k->out.len > 0) {
        if ((k->out.len == 0 && to_wire(k, &err) < 0) || write_out(k, &err) < 0) {
            cql_conn_break(k, &err);
            return;
        }
        if (k->out.len > 0) {
            break; /* the socket is full */
        }
    }
    bool want = k->out_at < k->out.len;
    if (want != k->want_out) {
        k->want_out = want;
        cql_conn_watch(k, EPOLL_CTL_MOD);
    }
    if (k->node && k->node->queue.head) {
        cql_dispatch(k->c, k->node); /* the buffer has room again */
    }
}
