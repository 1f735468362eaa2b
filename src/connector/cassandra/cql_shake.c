/*
 * From a socket to READY: OPTIONS (which version, which compression), STARTUP, a password where the server asks for one, and on the control
 * connection the events it wants to hear of. One request at a time, stream 0.
 *
 * A server that has no version 5 says so to the OPTIONS; the connection is given up and the next ones speak 4.
 */
#include "connector/cassandra/cql_net.h"

#include "base/str.h"

#include <string.h>

static void broken(struct cql_conn *k, enum mf_errclass cls, const char *code, const char *what)
{
    struct mf_error err;
    mf_fail(&err, cls, code, "%s: %s", k->address.name, what);
    cql_conn_break(k, &err);
}

static void sent(struct cql_conn *k, int rc, enum cql_conn_state next, struct mf_error *err)
{
    if (rc < 0) {
        cql_conn_break(k, err);
        return;
    }
    k->state = next;
    k->dirty = true;
}

void cql_shake_begin(struct cql_conn *k)
{
    struct mf_error err;
    k->wire = (struct cql_wire){.version = (uint8_t)k->c->speaks};
    cql_reader_speak(k->reader, &k->wire);
    sent(k, cql_put_options(&k->frames, k->wire.version, 0, &err), CQL_C_OPTIONS, &err);
}

static bool listed(const char *const *list, const char *word)
{
    for (; list && *list; list++) {
        if (strcasecmp(*list, word) == 0) {
            return true;
        }
    }
    return false;
}

static void startup(struct cql_conn *k, const struct cql_supported *s)
{
    struct mf_error err;
    k->lz4 = k->c->set.lz4 && listed(cql_supported_values(s, "COMPRESSION"), "lz4");
    if (k->wire.version < 5) { /* its answer may be compressed already; STARTUP itself is not */
        struct cql_wire answers = {.version = k->wire.version, .lz4 = k->lz4};
        cql_reader_speak(k->reader, &answers);
    }
    sent(k, cql_put_startup(&k->frames, k->wire.version, 0, k->lz4 ? "lz4" : NULL, "midflight", &err), CQL_C_STARTUP,
         &err);
}

static void ready(struct cql_conn *k)
{
    struct mf_cql *c = k->c;
    k->state = CQL_C_READY;
    c->count.connects++;
    pthread_mutex_lock(&c->lock);
    c->version = k->wire.version;
    c->lz4 = k->wire.lz4;
    pthread_mutex_unlock(&c->lock);
    if (k->node) {
        cql_node_ready(c, k->node);
    } else {
        cql_control_ready(c);
    }
}

static void authenticated(struct cql_conn *k)
{
    struct mf_error err;
    if (k->node) {
        ready(k);
        return;
    }
    sent(k, cql_put_register(&k->frames, k->wire.version, 0, CQL_ON_TOPOLOGY | CQL_ON_STATUS | CQL_ON_SCHEMA, &err),
         CQL_C_REGISTER, &err);
}

/* SASL PLAIN. */
static void authenticate(struct cql_conn *k)
{
    const struct cql_settings *s = &k->c->set;
    struct mf_error err;
    if (!s->user || !s->password) {
        mf_fail(&err, MF_FATAL, "MFAUTH", "%s wants a user and a password, and %s", k->address.name,
                s->user ? "there is no password" : "the URL has no user");
        mf_hint(&err, "give the user in the URL and the password with it or in its own setting");
        cql_conn_break(k, &err);
        return;
    }
    MF_CLEANUP_BUF struct mf_buf token = {.max = 1 << 16};
    mf_buf_putc(&token, 0);
    mf_buf_puts(&token, s->user);
    mf_buf_putc(&token, 0);
    mf_buf_puts(&token, s->password);
    sent(k, cql_put_auth_response(&k->frames, k->wire.version, 0, token.data, token.len, &err), CQL_C_AUTH, &err);
    OPENSSL_cleanse(token.data, token.len);
}

/* Behind the answer to STARTUP version 5 speaks in segments. */
static void started(struct cql_conn *k, bool authenticated_already)
{
    k->wire.segments = k->wire.version >= 5;
    k->wire.lz4 = k->lz4;
    cql_reader_speak(k->reader, &k->wire);
    if (authenticated_already) {
        authenticated(k);
    } else {
        authenticate(k);
    }
}

static void refused(struct cql_conn *k, const struct cql_server_error *e)
{
    struct mf_cql *c = k->c;
    struct mf_error err;
    if (e->code == CQL_E_PROTOCOL && k->state == CQL_C_OPTIONS && k->wire.version > CQL_VERSION_MIN) {
        c->speaks = k->wire.version - 1;
        mf_fail(&err, MF_RETRY, "MFVERSION", "%s speaks no version %d of the protocol: %s", k->address.name,
                k->wire.version, e->message);
        cql_conn_break(k, &err);
        return;
    }
    cql_request_error(e, false, &err);
    mf_error_prefix(&err, "%s", k->address.name);
    cql_conn_break(k, &err);
}

static void answer(struct cql_conn *k, const struct cql_answer *a)
{
    enum cql_opcode op = a->opcode;
    if (op == CQL_ERROR) {
        refused(k, &a->error);
    } else if (k->state == CQL_C_OPTIONS && op == CQL_SUPPORTED) {
        startup(k, &a->supported);
    } else if (k->state == CQL_C_STARTUP && (op == CQL_READY || op == CQL_AUTHENTICATE)) {
        started(k, op == CQL_READY);
    } else if (k->state == CQL_C_AUTH && op == CQL_AUTH_SUCCESS) {
        authenticated(k);
    } else if (k->state == CQL_C_AUTH && op == CQL_AUTH_CHALLENGE) {
        broken(k, MF_FATAL, "MFAUTH", "the server wants more than a user and a password; only SASL PLAIN is spoken");
    } else if (k->state == CQL_C_REGISTER && op == CQL_READY) {
        ready(k);
    } else {
        broken(k, MF_RETRY, "MFPROTO", "an answer that does not fit what was asked while connecting");
    }
}

void cql_shake_frame(struct cql_conn *k, const struct cql_frame *f)
{
    struct mf_cql *c = k->c;
    struct cql_answer a;
    struct mf_error err;
    mf_arena_reset(&c->scratch);
    if (cql_answer_read(f, &c->scratch, &a, &err) < 0) {
        mf_error_prefix(&err, "%s", k->address.name);
        cql_conn_break(k, &err);
        return;
    }
    answer(k, &a);
}
