/*
 * Prepared statements. They are found by their text, made on one node, and known to a cluster object until it is closed. Other nodes learn one when they first
 * say that they do not know it (or not any more): the statement is prepared there once, and every request that was refused meanwhile waits for
 * that.
 *
 * A table may have been made anew under the same name: a statement prepared again must take the very markers it took before, or else the values that were bound
 * for it would be read as something else. If it does not, its requests fail (MFSHAPE) and the next mf_cql_prepare makes another one.
 */
#include "connector/cassandra/cql_net.h"

#include "base/mem.h"
#include "connector/cassandra/token.h"

#include <stdlib.h>
#include <string.h>

#define STATEMENTS_MAX 20000

static size_t hash_of(const char *text)
{
    uint64_t h = 14695981039346656037u;
    for (; *text; text++) {
        h = (h ^ (uint8_t)*text) * 1099511628211u;
    }
    return h % CQL_STATEMENTS;
}

/* ---- what callers see */

const struct cql_columns *mf_cql_prepared_params(const struct mf_cql_prepared *p)
{
    return &p->was->binds;
}

size_t mf_cql_prepared_key(const struct mf_cql_prepared *p, const uint16_t **ret_markers)
{
    *ret_markers = p->was->pk;
    return p->was->npk;
}

int mf_cql_prepared_token(const struct mf_cql_prepared *p, const struct cql_values *v, int64_t *ret,
                          struct mf_error *err)
{
    return cql_values_token(v, p->was->pk, p->was->npk, ret, err);
}

static bool take_ids(struct mf_cql_prepared *p, const struct cql_prepared *from)
{
    if (from->id.n <= 0 || (size_t)from->id.n > sizeof(p->id) || from->result_id.n > (int)sizeof(p->result_id)) {
        return false;
    }
    memcpy(p->id, from->id.p, (size_t)from->id.n);
    p->id_len = (uint16_t)from->id.n;
    p->result_id_len = 0;
    if (from->result_id.p && from->result_id.n > 0) {
        memcpy(p->result_id, from->result_id.p, (size_t)from->result_id.n);
        p->result_id_len = (uint16_t)from->result_id.n;
    }
    return true;
}

static void statement_free(struct mf_cql_prepared *p)
{
    mf_cql_answer_free(&p->reply->pub);
    free(p->text);
    free(p);
}

/* NULL: it is not there, or stale (and then buried: ops and callers may still hold it). Lock held. */
static struct mf_cql_prepared *find(struct mf_cql *c, const char *text)
{
    struct mf_cql_prepared **at = &c->statements[hash_of(text)];
    while (*at) {
        struct mf_cql_prepared *p = *at;
        if (strcmp(p->text, text) != 0) {
            at = &p->next;
        } else if (p->stale) {
            *at = p->next;
            p->next = c->graveyard;
            c->graveyard = p;
        } else {
            return p;
        }
    }
    return NULL;
}

/* Asks a node. */
static int prepare(struct mf_cql *c, const char *text, struct mf_cql_prepared **ret, struct mf_error *err)
{
    struct mf_cql_answer *a = NULL;
    struct mf_cql_request r = {.text = text, .idempotent = true};
    if (cql_call_as(c, CQL_PREPARE, &r, &a, err) < 0) {
        return -1;
    }
    struct cql_reply *reply = (struct cql_reply *)a;
    struct mf_cql_prepared *p = mf_xcalloc(1, sizeof(*p));
    p->text = mf_xstrdup(text);
    p->reply = reply;
    p->was = &reply->answer.prepared;
    if (reply->answer.opcode != CQL_RESULT || reply->answer.result != CQL_PREPARED || !take_ids(p, p->was)) {
        statement_free(p);
        return mf_fail(err, MF_RETRY, "MFPROTO", "the answer to PREPARE is none");
    }
    p->keyspace = p->was->binds.n > 0 ? p->was->binds.columns[0].keyspace : c->set.keyspace;
    *ret = p;
    return 0;
}

int mf_cql_prepare(struct mf_cql *c, const char *text, const struct mf_cql_prepared **ret, struct mf_error *err)
{
    struct mf_cql_prepared *made = NULL;
    pthread_mutex_lock(&c->lock);
    struct mf_cql_prepared *found = find(c, text);
    bool full = c->nstatements >= STATEMENTS_MAX;
    pthread_mutex_unlock(&c->lock);
    if (!found && full) {
        return mf_fail(err, MF_FATAL, "MFBUG", "more than %d statements prepared", STATEMENTS_MAX);
    }
    if (!found && prepare(c, text, &made, err) < 0) {
        return -1;
    }
    if (made) {
        pthread_mutex_lock(&c->lock);
        found = find(c, text); /* another thread may have been quicker */
        if (!found) {
            found = made;
            made->next = c->statements[hash_of(text)];
            c->statements[hash_of(text)] = made;
            c->nstatements++;
        }
        pthread_mutex_unlock(&c->lock);
        if (found != made) {
            statement_free(made);
        }
    }
    *ret = found;
    return 0;
}

void cql_statements_free(struct mf_cql *c)
{
    for (size_t i = 0; i <= CQL_STATEMENTS; i++) {
        struct mf_cql_prepared *p = i < CQL_STATEMENTS ? c->statements[i] : c->graveyard;
        while (p) {
            struct mf_cql_prepared *next = p->next;
            statement_free(p);
            p = next;
        }
    }
}

/* ---- on the I/O thread: a node that does not know one */

static bool same_binds(const struct cql_prepared *a, const struct cql_prepared *b)
{
    if (a->binds.n != b->binds.n || a->npk != b->npk ||
        (a->npk && memcmp(a->pk, b->pk, a->npk * sizeof(*a->pk)) != 0)) {
        return false;
    }
    for (int32_t i = 0; i < a->binds.n; i++) {
        if (strcmp(a->binds.columns[i].name, b->binds.columns[i].name) != 0 ||
            !cql_type_equal(a->binds.columns[i].type, b->binds.columns[i].type)) {
            return false;
        }
    }
    return true;
}

/* NULL: it is as it was. */
static const struct mf_error *learn(struct mf_cql_prepared *p, const struct cql_reply *r, struct mf_error *err)
{
    const struct cql_prepared *now = &r->answer.prepared;
    if (r->pub.error) {
        *err = *r->pub.error;
        p->stale |= err->cls == MF_FATAL && !cql_schema_behind(err);
        return err;
    }
    if (r->answer.result != CQL_PREPARED || !same_binds(p->was, now)) {
        p->stale = true;
        mf_fail(err, MF_FATAL, "MFSHAPE", "the table of a prepared statement is another now: %s", p->text);
        return err;
    }
    return take_ids(p, now) ? NULL : err;
}

static void unlink_preparing(struct cql_node *n, const struct cql_preparing *g)
{
    for (struct cql_preparing **at = &n->preparing; *at; at = &(*at)->next) {
        if (*at == g) {
            *at = g->next;
            return;
        }
    }
}

static void taught(struct mf_cql *c, struct cql_op *op, struct cql_reply *r)
{
    struct cql_preparing *g = op->ctx;
    struct mf_error err = {.cls = MF_RETRY, .code = "MFPROTO", .text = "the answer to PREPARE is none"};
    const struct mf_error *why = learn(g->what, r, &err);
    struct cql_node *n = g->node;
    unlink_preparing(n, g);
    mf_cql_answer_free(&r->pub);
    struct cql_op *waiting;
    while ((waiting = cql_list_pop(&g->waiting))) {
        if (why && cql_schema_behind(why) && cql_op_others(c, waiting)) {
            waiting->unprepared--;
            cql_op_trouble(c, waiting, n, (struct cql_trouble){.kind = CQL_T_BEHIND}, why);
        } else if (why && why->cls != MF_RETRY) {
            cql_op_fail(c, waiting, why);
        } else {
            cql_route(c, waiting); /* not taught: another node may know it */
        }
    }
    free(g);
}

static struct mf_cql_prepared *which(const struct cql_op *op, const struct cql_bytes *id)
{
    for (size_t i = 0; i < op->nitems; i++) {
        struct mf_cql_prepared *p = op->items[i].prepared;
        if (p->id_len == id->n && memcmp(p->id, id->p, p->id_len) == 0) {
            return p;
        }
    }
    return op->items[0].prepared;
}

void cql_unprepared(struct mf_cql *c, struct cql_op *op, struct cql_node *n, const struct cql_server_error *e)
{
    struct mf_cql_prepared *p = which(op, &e->id);
    struct cql_preparing *g = n->preparing;
    while (g && g->what != p) {
        g = g->next;
    }
    bool ask = !g;
    if (!g) {
        g = mf_xcalloc(1, sizeof(*g));
        *g = (struct cql_preparing){.next = n->preparing, .what = p, .node = n};
        n->preparing = g;
    }
    cql_list_push(&g->waiting, op);
    cql_op_arm(c, op);
    if (ask) {
        struct cql_op *teach = cql_op_text(CQL_PREPARE, p->text, taught, g);
        teach->node = n->info.id;
        teach->only_node = true;
        teach->started_us = mf_now_us();
        teach->deadline_us = teach->started_us + c->set.request_us;
        cql_route(c, teach);
    }
}

/* The node has no connection: what waits goes to others. Its PREPARE ends by itself. */
void cql_preparing_drop(struct mf_cql *c, struct cql_node *n)
{
    for (struct cql_preparing *g = n->preparing; g; g = g->next) {
        cql_route_all(c, &g->waiting);
    }
}
