/*
 * Rows on their way: gathered by the node that has them into unlogged batches, many at a time.
 *
 * A batch is only a way to send: its statements have their own timestamps and need nothing of each other, so it does not matter which of them arrive
 * twice, or late, or in which order, and a batch that may have failed in part is sent again as it is. Grouped by the first replica of the rows' tokens, the
 * node that coordinates writes what it has itself.
 *
 * What bounds it: IN_FLIGHT batches and FLIGHT_BYTES at a time; a batch has at most half of what the server takes at once by its own setting, and where that
 * cannot be read, or was changed, it learns: a batch that was too large is sent in halves.
 */
#include "connector/cassandra/cass.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define IN_FLIGHT    64
#define FLIGHT_BYTES ((size_t)8 << 20)
#define ROWS_MAX     100  /* of a batch */
#define NODES_MAX    4096 /* of slots */

struct item {
    const struct mf_cql_prepared *prepared;
    size_t at, len;
    uint16_t n;
};

/* Rows of one node. Sent and not answered, it is in `sent` at the place that is its tag. */
struct batch {
    uint32_t node;
    struct item *items;
    size_t n, cap;
    struct mf_buf bytes;
    struct batch *next; /* free ones */
};

struct cass_gather {
    struct cass_db *db;
    struct mf_cql_inbox *inbox;
    struct batch *sent[IN_FLIGHT];
    size_t nsent;
    struct batch **filling; /* one for each node met, nfilling of them */
    size_t nfilling;
    struct batch *spare;
    size_t bytes_max; /* of one batch, as far as is known */
    struct mf_cql_bound *bounds;
    size_t nbounds;
};

struct cass_gather *cass_gather_new(struct cass_db *db)
{
    struct cass_gather *g = mf_xcalloc(1, sizeof *g);
    g->db = db;
    g->inbox = mf_cql_inbox_new(IN_FLIGHT, FLIGHT_BYTES);
    g->bytes_max = db->batch_max / 2;
    return g;
}

static void free_batch(struct batch *b)
{
    if (b) {
        free(b->items);
        mf_buf_free(&b->bytes);
        free(b);
    }
}

static void put_back(struct cass_gather *g, struct batch *b)
{
    b->n = 0;
    mf_buf_reset(&b->bytes);
    b->next = g->spare;
    g->spare = b;
}

static struct batch *take_spare(struct cass_gather *g, uint32_t node)
{
    struct batch *b = g->spare;
    if (b) {
        g->spare = b->next;
    } else {
        b = mf_xcalloc(1, sizeof *b);
        mf_buf_init(&b->bytes, (size_t)1 << 30); /* one row may be as large as rows may be */
    }
    b->node = node;
    return b;
}

void cass_gather_reset(struct cass_gather *g)
{
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        if (g->sent[i]) {
            put_back(g, g->sent[i]);
            g->sent[i] = NULL;
        }
    }
    g->nsent = 0;
    for (size_t i = 0; i < g->nfilling; i++) {
        g->filling[i]->n = 0;
        mf_buf_reset(&g->filling[i]->bytes);
    }
    mf_cql_inbox_free(g->inbox);
    g->inbox = mf_cql_inbox_new(IN_FLIGHT, FLIGHT_BYTES);
}

void cass_gather_free(struct cass_gather *g)
{
    if (!g) {
        return;
    }
    mf_cql_inbox_free(g->inbox);
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        free_batch(g->sent[i]);
    }
    for (size_t i = 0; i < g->nfilling; i++) {
        free_batch(g->filling[i]);
    }
    for (struct batch *b = g->spare, *next; b; b = next) {
        next = b->next;
        free_batch(b);
    }
    free(g->filling);
    free(g->bounds);
    free(g);
}

/* ---- sending and taking answers ---- */

static int take_one(struct cass_gather *g, int timeout_ms, struct mf_error *err);

static int submit(struct cass_gather *g, struct batch *b, struct mf_error *err)
{
    if (b->n > g->nbounds) {
        g->bounds = mf_xreallocarray(g->bounds, b->n, sizeof *g->bounds);
        g->nbounds = b->n;
    }
    for (size_t i = 0; i < b->n; i++) {
        const struct item *it = &b->items[i];
        g->bounds[i] = (struct mf_cql_bound){it->prepared, {(const uint8_t *)b->bytes.data + it->at, it->len, it->n}};
    }
    size_t slot = 0;
    while (g->sent[slot]) { /* there is one: fewer than IN_FLIGHT are in flight */
        slot++;
    }
    struct mf_cql_request r = {.bound = g->bounds, .nbound = b->n, .idempotent = true, .node = b->node};
    int rc = mf_cql_submit(g->db->cql, g->inbox, &r, slot, err);
    if (rc == 0) {
        g->sent[slot] = b;
        g->nsent++;
    }
    return rc;
}

/* Takes the batch over, also when it fails. */
static int send_batch(struct cass_gather *g, struct batch *b, struct mf_error *err)
{
    for (;;) {
        int rc = g->nsent < IN_FLIGHT ? submit(g, b, err) : 1;
        if (rc == 0) {
            return 0;
        }
        if (rc < 0 || take_one(g, -1, err) < 0) {
            put_back(g, b);
            return -1;
        }
    }
}

static struct batch *part_of(struct cass_gather *g, const struct batch *b, size_t from, size_t n)
{
    struct batch *p = take_spare(g, b->node);
    if (n > p->cap) {
        p->items = mf_xreallocarray(p->items, n, sizeof *p->items);
        p->cap = n;
    }
    for (size_t i = from; i < from + n; i++) {
        struct item it = b->items[i];
        it.at = p->bytes.len;
        mf_buf_append(&p->bytes, b->bytes.data + b->items[i].at, it.len);
        p->items[p->n++] = it;
    }
    return p;
}

static int send_halves(struct cass_gather *g, struct batch *b, struct mf_error *err)
{
    size_t half = b->n / 2;
    g->bytes_max = b->bytes.len / 2 < g->bytes_max ? b->bytes.len / 2 : g->bytes_max;
    struct batch *first = part_of(g, b, 0, half), *second = part_of(g, b, half, b->n - half);
    put_back(g, b);
    if (send_batch(g, first, err) < 0) {
        put_back(g, second);
        return -1;
    }
    return send_batch(g, second, err);
}

static int take_one(struct cass_gather *g, int timeout_ms, struct mf_error *err)
{
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    int rc = mf_cql_take(g->inbox, timeout_ms, &a);
    if (rc != 0) {
        return rc < 0 ? mf_fail(err, MF_FATAL, "MFBUG", "an answer is waited for that nobody will give") : 0;
    }
    struct batch *b = g->sent[a->tag];
    g->sent[a->tag] = NULL;
    g->nsent--;
    if (a->error && b->n > 1 && strstr(a->error->text, "Batch too large")) {
        return send_halves(g, b, err);
    }
    put_back(g, b);
    if (a->error) {
        *err = *a->error;
        return -1;
    }
    return 0;
}

/* What has come meanwhile, without waiting. */
static int take_ready(struct cass_gather *g, struct mf_error *err)
{
    size_t before;
    do {
        before = g->nsent;
        if (before && take_one(g, 0, err) < 0) {
            return -1;
        }
    } while (g->nsent < before);
    return 0;
}

/* ---- filling ---- */

static struct batch **slot_of(struct cass_gather *g, uint32_t node)
{
    for (size_t i = 0; i < g->nfilling; i++) {
        if (g->filling[i]->node == node) {
            return &g->filling[i];
        }
    }
    if (g->nfilling == NODES_MAX) {
        return &g->filling[0]; /* any node takes any row */
    }
    g->filling = mf_xreallocarray(g->filling, g->nfilling + 1, sizeof(struct batch *));
    g->filling[g->nfilling] = take_spare(g, node);
    return &g->filling[g->nfilling++];
}

static int flush(struct cass_gather *g, struct batch **slot, struct mf_error *err)
{
    struct batch *b = *slot;
    *slot = take_spare(g, b->node);
    return send_batch(g, b, err);
}

int cass_gather_add_at(struct cass_gather *g, const struct mf_cql_prepared *p, const struct cql_values *v,
                       int64_t token, struct mf_error *err)
{
    struct batch **slot = slot_of(g, mf_cql_owner(g->db->cql, g->db->keyspace, token));
    if ((*slot)->n == ROWS_MAX || ((*slot)->n && (*slot)->bytes.len + v->len > g->bytes_max)) {
        if (flush(g, slot, err) < 0 || take_ready(g, err) < 0) {
            return -1;
        }
    }
    struct batch *b = *slot;
    if (b->n == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 16;
        b->items = mf_xreallocarray(b->items, b->cap, sizeof *b->items);
    }
    b->items[b->n] = (struct item){p, b->bytes.len, v->len, v->n};
    if (mf_buf_append(&b->bytes, v->p, v->len) < 0) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a batch of rows");
    }
    b->n++;
    return 0;
}

int cass_gather_add(struct cass_gather *g, const struct mf_cql_prepared *p, const struct cql_values *v,
                    struct mf_error *err)
{
    int64_t token;
    return mf_cql_prepared_token(p, v, &token, err) < 0 ? -1 : cass_gather_add_at(g, p, v, token, err);
}

int cass_gather_drain(struct cass_gather *g, struct mf_error *err)
{
    for (size_t i = 0; i < g->nfilling; i++) {
        if (g->filling[i]->n && flush(g, &g->filling[i], err) < 0) {
            return -1;
        }
    }
    while (g->nsent) {
        if (take_one(g, -1, err) < 0) {
            return -1;
        }
    }
    return 0;
}
