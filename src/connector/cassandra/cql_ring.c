/*
 * Which nodes have a token: see cql_ring.h. The walks are those of Cassandra's own strategies (SimpleStrategy: the next n
 * nodes; NetworkTopologyStrategy: in each data centre the next n, racks that have none first), because a replica that is none costs a hop on every
 * request.
 */
#include "connector/cassandra/cql_ring.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define REPLICAS_MAX 64

struct cql_ring *cql_ring_new(const char *local_dc, bool murmur3)
{
    struct cql_ring *r = mf_xcalloc(1, sizeof(*r));
    r->refs = 1;
    r->murmur3 = murmur3;
    mf_arena_init(&r->arena, CQL_RING_BYTES);
    mf_strlcpy(r->local_dc, local_dc, sizeof(r->local_dc));
    r->nodes = mf_alloc_array(&r->arena, CQL_RING_NODES, sizeof(*r->nodes));
    if (!r->nodes) {
        cql_ring_unref(r);
        return NULL;
    }
    return r;
}

void cql_ring_unref(struct cql_ring *r)
{
    if (r && --r->refs == 0) {
        mf_arena_free(&r->arena);
        free(r);
    }
}

/* Doubles an array in the arena when it is full. */
static void *grown(struct mf_arena *a, void *old, size_t n, size_t *room, size_t size)
{
    if (n < *room) {
        return old;
    }
    size_t more = *room ? *room * 2 : 64;
    void *new = mf_alloc_array(a, more, size);
    if (new) {
        memcpy(new, old ? old : new, n * size);
        *room = more;
    }
    return new;
}

/* Equal names have equal numbers: that of the first node with it. */
static void number_names(struct cql_ring *r, struct cql_ring_node *n, uint32_t index)
{
    n->dc = n->rack = index;
    for (uint32_t i = index; i-- > 0;) {
        const struct cql_ring_node *o = &r->nodes[i];
        if (strcmp(o->info.dc, n->info.dc) == 0) {
            n->dc = o->dc;
            n->rack = strcmp(o->info.rack, n->info.rack) == 0 ? o->rack : n->rack;
        }
    }
}

int cql_ring_add_node(struct cql_ring *r, const struct mf_cql_node *node)
{
    if (r->nnodes == CQL_RING_NODES) {
        return -1;
    }
    struct cql_ring_node *n = &r->nodes[r->nnodes];
    *n = (struct cql_ring_node){.info = *node};
    n->info.local = strcmp(node->dc, r->local_dc) == 0;
    number_names(r, n, (uint32_t)r->nnodes);
    r->nnodes++;
    return 0;
}

int cql_ring_add_token(struct cql_ring *r, const char *text, size_t n)
{
    char copy[32];
    int64_t token;
    if (r->nnodes == 0 || n >= sizeof(copy)) {
        return -1;
    }
    memcpy(copy, text, n);
    copy[n] = 0;
    struct cql_ring_node *owner = &r->nodes[r->nnodes - 1];
    if (!mf_parse_i64(copy, &token) || owner->ntokens == CQL_RING_TOKENS) {
        return -1;
    }
    struct cql_ring_token *t = grown(&r->arena, r->tokens, r->ntokens, &r->room_tokens, sizeof(*r->tokens));
    if (!t) {
        return -1;
    }
    r->tokens = t;
    t[r->ntokens++] = (struct cql_ring_token){.token = token, .node = (uint32_t)r->nnodes - 1};
    owner->ntokens++;
    return 0;
}

/* "3", or "3/1": three copies of which one is transient, and holds only part of the data. */
static uint32_t copies_of(const char *text)
{
    char digits[16];
    uint64_t n;
    size_t len = strcspn(text, "/");
    if (len >= sizeof(digits)) {
        return 0;
    }
    memcpy(digits, text, len);
    digits[len] = 0;
    return mf_parse_u64(digits, &n) && n <= REPLICAS_MAX ? (uint32_t)n : 0;
}

int cql_ring_add_keyspace(struct cql_ring *r, const char *name, const char *const (*options)[2], size_t n)
{
    const char *class = "";
    struct cql_ring_keyspace *k =
        grown(&r->arena, r->keyspaces, r->nkeyspaces, &r->room_keyspaces, sizeof(*r->keyspaces));
    struct cql_ring_copies *copies = mf_alloc_array(&r->arena, n + 1, sizeof(*copies));
    if (!k || !copies) {
        return -1;
    }
    r->keyspaces = k;
    k += r->nkeyspaces;
    *k = (struct cql_ring_keyspace){.name = mf_strdup_a(&r->arena, name), .copies = copies};
    if (!k->name) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        class = strcmp(options[i][0], "class") == 0 ? options[i][1] : class;
    }
    bool simple = mf_ends_with(class, "SimpleStrategy"), network = mf_ends_with(class, "NetworkTopologyStrategy");
    for (size_t i = 0; i < n; i++) {
        bool factor = strcmp(options[i][0], "replication_factor") == 0;
        if (strcmp(options[i][0], "class") == 0 || !(factor ? simple : network)) {
            continue;
        }
        copies[k->n] = (struct cql_ring_copies){.copies = copies_of(options[i][1])};
        if (network && !(copies[k->n].dc = mf_strdup_a(&r->arena, options[i][0]))) {
            return -1;
        }
        k->n += copies[k->n].copies > 0;
    }
    r->nkeyspaces++;
    return 0;
}

static int by_token(const void *x, const void *y)
{
    const struct cql_ring_token *a = x, *b = y;
    if (a->token != b->token) {
        return a->token < b->token ? -1 : 1;
    }
    return (a->node > b->node) - (a->node < b->node);
}

static int by_name(const void *x, const void *y)
{
    const struct cql_ring_keyspace *a = x, *b = y;
    return strcmp(a->name, b->name);
}

void cql_ring_finish(struct cql_ring *r)
{
    if (r->ntokens > 0) {
        qsort(r->tokens, r->ntokens, sizeof(*r->tokens), by_token);
    }
    if (r->nkeyspaces > 0) {
        qsort(r->keyspaces, r->nkeyspaces, sizeof(*r->keyspaces), by_name);
    }
}

const struct cql_ring_keyspace *cql_ring_keyspace(const struct cql_ring *r, const char *name)
{
    struct cql_ring_keyspace key = {.name = name};
    return r->nkeyspaces ? bsearch(&key, r->keyspaces, r->nkeyspaces, sizeof(key), by_name) : NULL;
}

static bool same_node(const struct mf_cql_node *a, const struct mf_cql_node *b)
{
    return a->id == b->id && a->port == b->port && strcmp(a->address, b->address) == 0 && strcmp(a->dc, b->dc) == 0 &&
           strcmp(a->rack, b->rack) == 0 && strcmp(a->release, b->release) == 0;
}

static bool same_keyspace(const struct cql_ring_keyspace *a, const struct cql_ring_keyspace *b)
{
    if (strcmp(a->name, b->name) != 0 || a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (!mf_streq(a->copies[i].dc, b->copies[i].dc) || a->copies[i].copies != b->copies[i].copies) {
            return false;
        }
    }
    return true;
}

bool cql_ring_same(const struct cql_ring *a, const struct cql_ring *b)
{
    if (a->nnodes != b->nnodes || a->ntokens != b->ntokens || a->nkeyspaces != b->nkeyspaces ||
        a->murmur3 != b->murmur3 || strcmp(a->local_dc, b->local_dc) != 0) {
        return false;
    }
    for (size_t i = 0; i < a->nnodes; i++) {
        if (!same_node(&a->nodes[i].info, &b->nodes[i].info)) {
            return false;
        }
    }
    for (size_t i = 0; i < a->ntokens; i++) {
        if (a->tokens[i].token != b->tokens[i].token || a->tokens[i].node != b->tokens[i].node) {
            return false;
        }
    }
    for (size_t i = 0; i < a->nkeyspaces; i++) {
        if (!same_keyspace(&a->keyspaces[i], &b->keyspaces[i])) {
            return false;
        }
    }
    return true;
}

/* The first place in the ring whose token is at or past t; behind the last comes the first. */
static size_t place_of(const struct cql_ring *r, int64_t t)
{
    size_t low = 0, high = r->ntokens;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (r->tokens[mid].token < t) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low == r->ntokens ? 0 : low;
}

static bool has(const uint32_t *list, size_t n, uint32_t v)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i] == v) {
            return true;
        }
    }
    return false;
}

/* Nodes and racks that own tokens in a data centre; racks only as far as they matter, which is up to `copies`. */
static void count_dc(const struct cql_ring *r, const char *dc, size_t copies, size_t *ret_nodes, size_t *ret_racks)
{
    uint32_t racks[REPLICAS_MAX];
    size_t nodes = 0, nracks = 0;
    for (size_t i = 0; i < r->nnodes; i++) {
        const struct cql_ring_node *n = &r->nodes[i];
        if (n->ntokens == 0 || (dc && strcmp(n->info.dc, dc) != 0)) {
            continue;
        }
        nodes++;
        if (nracks < copies && !has(racks, nracks, n->rack)) {
            racks[nracks++] = n->rack;
        }
    }
    *ret_nodes = nodes;
    *ret_racks = nracks;
}

/* The replicas that one entry asks for, appended to got. SimpleStrategy takes nodes whatever their rack: as many repeats as it likes. */
static size_t walk(const struct cql_ring *r, size_t from, const struct cql_ring_copies *c, uint32_t *got)
{
    size_t nodes, nracks, n = 0, nseen = 0;
    uint32_t racks[REPLICAS_MAX];
    count_dc(r, c->dc, c->copies, &nodes, &nracks);
    size_t want = c->copies < nodes ? c->copies : nodes;
    size_t repeats = c->dc ? c->copies - nracks : want;
    for (size_t i = 0; i < r->ntokens && n < want; i++) {
        uint32_t index = r->tokens[(from + i) % r->ntokens].node;
        const struct cql_ring_node *node = &r->nodes[index];
        if (has(got, n, index) || (c->dc && strcmp(node->info.dc, c->dc) != 0)) {
            continue;
        }
        if (!has(racks, nseen, node->rack)) {
            racks[nseen++] = node->rack;
        } else if (repeats == 0) {
            continue; /* as many racks as copies: one in each */
        } else {
            repeats--;
        }
        got[n++] = index;
    }
    return n;
}

size_t cql_ring_replicas(const struct cql_ring *r, const struct cql_ring_keyspace *k, int64_t token, uint32_t *ret,
                         size_t max)
{
    uint32_t got[REPLICAS_MAX];
    size_t n = 0;
    if (!r->murmur3 || !k || r->ntokens == 0) {
        return 0;
    }
    size_t from = place_of(r, token);
    for (int local = 1; local >= 0; local--) {
        for (size_t i = 0; i < k->n; i++) {
            size_t found = walk(r, from, &k->copies[i], got);
            for (size_t j = 0; j < found && n < max; j++) {
                if (r->nodes[got[j]].info.local == local) {
                    ret[n++] = got[j];
                }
            }
        }
    }
    return n;
}
