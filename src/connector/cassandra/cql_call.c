/* Calls that block for their answer: see cql.h. Each is one request through an inbox of its own. */
#include "connector/cassandra/cql_net.h"

#include "base/str.h"

#include <string.h>

int cql_call_as(struct mf_cql *c, enum cql_opcode opcode, const struct mf_cql_request *r, struct mf_cql_answer **ret,
                struct mf_error *err)
{
    struct mf_cql_inbox *in = mf_cql_inbox_new(1, SIZE_MAX);
    struct mf_cql_answer *a = NULL;
    int rc = cql_submit_as(c, in, opcode, r, 0, err);
    if (rc == 0) {
        rc = mf_cql_take(in, -1, &a);
    }
    mf_cql_inbox_free(in);
    if (rc != 0) {
        return -1;
    }
    if (a->error) {
        *err = *a->error;
        mf_cql_answer_free(a);
        return -1;
    }
    *ret = a;
    return 0;
}

int mf_cql_call(struct mf_cql *c, const struct mf_cql_request *r, struct mf_cql_answer **ret, struct mf_error *err)
{
    enum cql_opcode opcode = r->text ? CQL_QUERY : r->nbound > 1 ? CQL_BATCH : CQL_EXECUTE;
    struct mf_cql_answer *a = NULL;
    if (cql_call_as(c, opcode, r, &a, err) < 0) {
        return -1;
    }
    if (ret) {
        *ret = a;
    } else {
        mf_cql_answer_free(a);
    }
    return 0;
}

int mf_cql_query(struct mf_cql *c, const char *text, struct mf_cql_answer **ret, struct mf_error *err)
{
    struct mf_cql_request r = {.text = text, .idempotent = strncasecmp(text, "SELECT", 6) == 0};
    return mf_cql_call(c, &r, ret, err);
}

/* ---- schema */

#define AGREE_STEP_US (100 * MF_US_PER_MS)

static bool same_version(const struct mf_cql_answer *a, const struct cql_bytes *v, struct cql_bytes *first)
{
    (void)a;
    if (v->n != 16) {
        return true; /* a node that tells none is not there yet, or not any more */
    }
    if (!first->p) {
        *first = *v;
    }
    return memcmp(first->p, v->p, 16) == 0;
}

/* One row a node: its address and version. Nodes that nobody can reach are left out: they learn the schema when they are back. */
static int compare(struct mf_cql *c, struct mf_cql_answer *a, struct cql_bytes *first, bool *ret, struct mf_error *err)
{
    const struct cql_bytes *row;
    int rc;
    struct mf_cql_node *nodes = NULL;
    size_t n = 0;
    if (mf_cql_nodes(c, &nodes, &n, err) < 0) {
        return -1;
    }
    while ((rc = mf_cql_next(a, &row, err)) == 1) {
        bool down = false;
        for (size_t i = 0; i < n && a->columns->n > 1 && row[1].n == 16; i++) {
            char id[37] = "";
            for (int j = 0, at = 0; j < 16; j++) {
                at += snprintf(id + at, sizeof(id) - (size_t)at, "%s%02x",
                               j == 4 || j == 6 || j == 8 || j == 10 ? "-" : "", row[1].p[j]);
            }
            down |= !nodes[i].up && strcmp(nodes[i].host_id, id) == 0;
        }
        *ret &= down || same_version(a, &row[0], first);
    }
    free(nodes);
    return rc;
}

/* Asked of one node: what it thinks of itself and of the others. */
static int agreed(struct mf_cql *c, uint32_t node, bool *ret, struct mf_error *err)
{
    struct mf_cql_answer *local MF_CLEANUP(mf_cql_answer_free_p) = NULL, *peers MF_CLEANUP(mf_cql_answer_free_p) = NULL;
    struct mf_cql_request r = {
        .text = "SELECT schema_version FROM system.local", .consistency = CQL_ONE, .idempotent = true, .node = node};
    struct cql_bytes first = {0};
    if (mf_cql_call(c, &r, &local, err) < 0) {
        return -1;
    }
    r.text = "SELECT schema_version, host_id FROM system.peers";
    r.node = local->node;
    r.only_node = true;
    if (mf_cql_call(c, &r, &peers, err) < 0) {
        return -1;
    }
    *ret = true;
    return compare(c, local, &first, ret, err) < 0 || compare(c, peers, &first, ret, err) < 0 ? -1 : 0;
}

static int agree_by(struct mf_cql *c, uint32_t node, int64_t wanted, struct mf_error *err)
{
    int64_t until = cql_hurried(c, wanted);
    while (true) {
        bool same = false;
        int rc = agreed(c, node, &same, err);
        if (rc == 0 && same) {
            return 0;
        }
        if ((rc < 0 && err->cls != MF_RETRY) || mf_now_us() + AGREE_STEP_US >= until) {
            if (rc == 0) {
                mf_fail(err, MF_RETRY, "MFSCHEMA", "the nodes do not agree on the schema yet");
                mf_hint(err, "nodetool describecluster tells which node has another");
            }
            return -1;
        }
        mf_sleep_us(AGREE_STEP_US);
    }
}

int mf_cql_agree(struct mf_cql *c, int wait_ms, struct mf_error *err)
{
    return agree_by(c, 0, mf_now_us() + wait_ms * MF_US_PER_MS, err);
}

int mf_cql_schema(struct mf_cql *c, const char *text, int wait_ms, struct mf_error *err)
{
    struct mf_cql_answer *a MF_CLEANUP(mf_cql_answer_free_p) = NULL;
    struct mf_cql_request r = {.text = text, .timeout_ms = wait_ms};
    int64_t until = mf_now_us() + wait_ms * MF_US_PER_MS;
    if (mf_cql_call(c, &r, &a, err) < 0) {
        return -1;
    }
    return agree_by(c, a->node, until, err);
}
