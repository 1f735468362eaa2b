/*
 * A request from being asked to being answered: see cql_net.h. However it goes, it ends here, once: cql_op_end.
 */
#include "connector/cassandra/cql_net.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/cassandra/token.h"

#include <stdlib.h>
#include <string.h>

#define ATTEMPT_US (12 * MF_US_PER_SEC) /* longer than any server's own timeout but that of TRUNCATE */
#define UNPREPARED 16

/* ---- making */

static size_t text_size(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

/* The bytes behind an op, handed out from its own allocation. */
static void *put(char **at, const void *p, size_t n)
{
    void *ret = *at;
    memcpy(ret, p ? p : "", p ? n : 0);
    *at += n;
    return ret;
}

static void put_items(struct cql_op *op, const struct mf_cql_request *r, char **at)
{
    for (size_t i = 0; i < r->nbound; i++) {
        const struct mf_cql_bound *b = &r->bound[i];
        op->items[i].prepared = (struct mf_cql_prepared *)b->prepared;
        op->items[i].values = b->values;
        op->items[i].values.p = put(at, b->values.p, b->values.len);
    }
}

static void choose_token(struct cql_op *op, const struct mf_cql_request *r)
{
    struct mf_error ignored;
    op->has_token = r->has_token;
    op->token = r->token;
    if (!r->has_token && r->nbound > 0 && op->items[0].prepared->was->npk > 0) {
        op->has_token = mf_cql_prepared_token(op->items[0].prepared, &op->items[0].values, &op->token, &ignored) == 0;
    }
}

struct cql_op *cql_op_new(const struct mf_cql *c, const struct mf_cql_request *r)
{
    const char *keyspace = r->keyspace ? r->keyspace : r->nbound > 0 ? r->bound[0].prepared->keyspace : c->set.keyspace;
    size_t paging = r->paging_state.p ? (size_t)r->paging_state.n : 0, values = 0;
    for (size_t i = 0; i < r->nbound; i++) {
        values += r->bound[i].values.len;
    }
    size_t items = r->nbound * sizeof(struct cql_op_item);
    size_t bytes = sizeof(struct cql_op) + items + values + text_size(r->text) + text_size(keyspace) + paging;
    struct cql_op *op = malloc(bytes);
    if (!op) {
        return NULL;
    }
    *op = (struct cql_op){.nitems = r->nbound,
                          .idempotent = r->idempotent,
                          .only_node = r->only_node && r->node,
                          .trace = r->trace,
                          .node = r->node,
                          .bytes = bytes};
    char *at = (char *)(op + 1);
    op->items = put(&at, NULL, items);
    op->text = r->text ? put(&at, r->text, text_size(r->text)) : NULL;
    op->keyspace = put(&at, keyspace, text_size(keyspace));
    op->params = (struct cql_params){.consistency = r->consistency ? r->consistency : c->set.consistency,
                                     .serial = r->serial ? r->serial : CQL_LOCAL_SERIAL,
                                     .page_size = r->page_size};
    if (r->paging_state.p) {
        op->params.paging_state = (struct cql_bytes){.p = put(&at, r->paging_state.p, paging), .n = (int32_t)paging};
    }
    put_items(op, r, &at);
    choose_token(op, r);
    return op;
}

struct cql_op *cql_op_text(enum cql_opcode opcode, const char *text, cql_op_done *done, void *ctx)
{
    size_t n = text_size(text), bytes = sizeof(struct cql_op) + n;
    struct cql_op *op = mf_xmalloc(bytes);
    *op = (struct cql_op){.opcode = opcode,
                          .params = {.consistency = CQL_ONE, .serial = CQL_LOCAL_SERIAL},
                          .idempotent = true,
                          .keyspace = "",
                          .bytes = bytes,
                          .done = done,
                          .ctx = ctx};
    char *at = (char *)(op + 1);
    op->text = put(&at, text, n);
    return op;
}

void cql_op_free(struct cql_op *op)
{
    if (op) {
        free(op->last);
        free(op);
    }
}

/* ---- lists */

void cql_list_push(struct cql_list *l, struct cql_op *op)
{
    op->next = NULL;
    op->prev = l->tail;
    op->list = l;
    *(l->tail ? &l->tail->next : &l->head) = op;
    l->tail = op;
    l->n++;
}

void cql_list_remove(struct cql_op *op)
{
    struct cql_list *l = op->list;
    if (l) {
        *(op->prev ? &op->prev->next : &l->head) = op->next;
        *(op->next ? &op->next->prev : &l->tail) = op->prev;
        l->n--;
    }
    op->next = op->prev = NULL;
    op->list = NULL;
    op->queued = NULL;
}

/* ---- ending */

/* The streams it still has wait for their answers on their own. */
static void leave_flights(struct cql_op *op)
{
    while (op->nflights > 0) {
        op->nflights--;
        cql_conn_orphan(op->flights[op->nflights].conn, op->flights[op->nflights].stream);
    }
}

void cql_op_end(struct mf_cql *c, struct cql_op *op, struct cql_reply *r)
{
    leave_flights(op);
    cql_list_remove(op);
    cql_timer_clear(c, op);
    r->pub.tag = op->tag;
    r->pub.retries = op->retries;
    r->pub.took_us = mf_now_us() - op->started_us;
    r->bytes = op->bytes;
    if (op->done) {
        op->done(c, op, r);
    } else {
        c->count.answers++;
        c->count.errors += r->pub.error != NULL;
        cql_inbox_put(op->inbox, r);
    }
    cql_op_free(op);
}

void cql_op_fail(struct mf_cql *c, struct cql_op *op, const struct mf_error *err)
{
    struct cql_reply *r = cql_reply_new();
    r->error = *err;
    if (op->last && strcmp(op->last->text, err->text) != 0) {
        mf_fail(&r->error, err->cls, err->code, "%s (before: %s)", err->text, op->last->text);
        mf_hint(&r->error, "%s", err->hint);
    }
    r->pub.error = &r->error;
    cql_op_end(c, op, r);
}

/* ---- trouble */

static void remember(struct cql_op *op, const struct mf_error *err)
{
    if (!op->last) {
        op->last = mf_xmalloc(sizeof(*op->last));
    }
    *op->last = *err;
}

bool cql_op_others(const struct mf_cql *c, const struct cql_op *op)
{
    bool some_away = c->count.nodes_up < c->nnodes;
    return (some_away || op->ntried + 1 < c->count.nodes_up) && op->ntried < MF_ARRAY_LEN(op->tried);
}

void cql_op_trouble(struct mf_cql *c, struct cql_op *op, struct cql_node *node, struct cql_trouble t,
                    const struct mf_error *err)
{
    int64_t now = mf_now_us();
    t.idempotent = op->idempotent;
    t.retries = op->retries;
    t.dice = cql_dice(c);
    struct cql_verdict v = cql_verdict(&t);
    if (v.shrink && node) {
        cql_window_shrink(&node->window, op->sent_us, now);
    }
    if (op->nflights > 0) {
        return; /* the other one may still answer */
    }
    if (v.fate == CQL_GIVE_UP || op->via || now + v.wait_us >= op->deadline_us) {
        cql_op_fail(c, op, err);
        return;
    }
    remember(op, err);
    op->retries++;
    c->count.retries++;
    if (node && v.fate == CQL_OTHER_NODE && op->ntried < MF_ARRAY_LEN(op->tried)) {
        op->tried[op->ntried++] = node->info.id;
    }
    if (v.wait_us == 0) {
        cql_route(c, op);
        return;
    }
    op->rest_until_us = now + v.wait_us;
    cql_op_arm(c, op);
}

/* ---- answers */

static bool void_result(const struct cql_frame *f)
{
    return f->opcode == CQL_RESULT && f->flags == 0 && f->len == 4 && mf_get_u32be(f->body) == CQL_VOID;
}

static void server_error(struct mf_cql *c, struct cql_op *op, struct cql_conn *conn, const struct cql_frame *f)
{
    struct cql_answer a;
    struct mf_error err;
    mf_arena_reset(&c->scratch);
    if (cql_answer_read(f, &c->scratch, &a, &err) < 0) {
        cql_conn_break(conn, &err);
        cql_op_trouble(c, op, conn->node, (struct cql_trouble){.kind = CQL_T_LOST}, &err);
        return;
    }
    if (a.error.code == CQL_E_UNPREPARED && op->nflights > 0) {
        return; /* the other node is at it */
    }
    if (a.error.code == CQL_E_UNPREPARED && conn->node && op->nitems > 0 &&
        op->unprepared < UNPREPARED + (int)op->nitems) {
        op->unprepared++;
        c->count.unprepared++;
        cql_unprepared(c, op, conn->node, &a.error);
        return;
    }
    c->count.overloaded += a.error.code == CQL_E_OVERLOADED;
    cql_request_error(&a.error, op->nitems > 0, &err);
    /* A node that was away may not know the table yet: before it is said to be missing, the others are asked. */
    bool ask_others =
        op->opcode == CQL_PREPARE && !op->only_node && !op->via && cql_schema_behind(&err) && cql_op_others(c, op);
    cql_op_trouble(c, op, conn->node,
                   (struct cql_trouble){.kind = ask_others ? CQL_T_BEHIND : CQL_T_SERVER, .error = &a.error}, &err);
}

void cql_op_answer(struct mf_cql *c, struct cql_op *op, struct cql_conn *conn, const struct cql_frame *f)
{
    struct mf_error err;
    if (f->opcode == CQL_ERROR) {
        server_error(c, op, conn, f);
        return;
    }
    struct cql_reply *r = cql_reply_new();
    r->pub.node = conn->node ? conn->node->info.id : 0;
    if (!void_result(f) && cql_reply_read(r, f, &err) < 0) {
        mf_cql_answer_free(&r->pub);
        if (err.cls == MF_RETRY) {
            cql_conn_break(conn, &err);
        }
        cql_op_fail(c, op, &err);
        return;
    }
    if (r->pub.schema_changed) {
        cql_refresh_soon(c);
    }
    cql_op_end(c, op, r);
}

/* ---- its timer */

static bool flying(const struct cql_op *op)
{
    return op->nflights > 0;
}

static int64_t attempt_us(const struct mf_cql *c)
{
    return c->set.request_us < ATTEMPT_US ? c->set.request_us : ATTEMPT_US;
}

static bool may_speculate(const struct mf_cql *c, const struct cql_op *op)
{
    return c->set.speculative_us > 0 && op->idempotent && op->nflights == 1 && !op->only_node && !op->via;
}

void cql_op_arm(struct mf_cql *c, struct cql_op *op)
{
    int64_t due = op->deadline_us, sooner = INT64_MAX;
    if (flying(op)) {
        sooner = may_speculate(c, op) ? op->sent_us + c->set.speculative_us : op->sent_us + attempt_us(c);
    } else if (op->list == &c->homeless) {
        sooner = op->homeless_us + c->set.connect_us;
    } else if (!op->list) {
        sooner = op->rest_until_us;
    }
    cql_timer_set(c, op, sooner < due ? sooner : due);
}

static void too_late(struct mf_cql *c, struct cql_op *op, int64_t now)
{
    struct mf_error err;
    c->count.timeouts++;
    mf_fail(&err, MF_RETRY, "MFTIME", "the cluster did not answer within %.1f s%s",
            (double)(now - op->started_us) / 1e6, flying(op) ? "" : "; no node took the request");
    mf_hint(&err, "is the cluster overloaded, or the network? request_timeout in the URL says how long to wait");
    cql_op_fail(c, op, &err);
}

/* No answer by now: it goes to another node, if it may, and an answer that comes later is dropped. */
static void give_up_attempt(struct mf_cql *c, struct cql_op *op)
{
    struct mf_error err;
    struct cql_node *node = op->flights[0].conn->node;
    c->count.timeouts++;
    mf_fail(&err, MF_RETRY, "MFTIME", "%s did not answer within %.1f s", node ? node->info.address : "a node",
            (double)attempt_us(c) / 1e6);
    leave_flights(op);
    cql_op_trouble(c, op, node, (struct cql_trouble){.kind = CQL_T_SILENT}, &err);
}

void cql_op_due(struct mf_cql *c, struct cql_op *op, int64_t now)
{
    if (now >= op->deadline_us) {
        too_late(c, op, now);
    } else if (flying(op)) {
        if (may_speculate(c, op) && now < op->sent_us + attempt_us(c)) {
            cql_speculate(c, op);
        } else {
            give_up_attempt(c, op);
        }
    } else if (op->list == &c->homeless) {
        struct mf_error err;
        mf_fail(&err, MF_RETRY, "MFNET", "no node of the cluster%s can be reached: %s",
                op->only_node ? " that may answer this" : "", c->trouble.text[0] ? c->trouble.text : "none is up");
        mf_hint(&err, "%s", c->trouble.hint);
        cql_op_fail(c, op, &err);
    } else {
        cql_route(c, op);
    }
}
