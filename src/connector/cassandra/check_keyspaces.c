/* The keyspaces that rows go to: whether they are there, how many copies they keep and where, and whether enough of those are up for the consistency asked for. */
#include "connector/cassandra/check.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define COPIES_BEST 3

void cass_say_not_durable(struct cass_check *k, const char *keyspace)
{
    MF_CLEANUP_BUF struct mf_buf todo = {.max = 1024};
    mf_buf_puts(&todo, "ALTER KEYSPACE ");
    cass_put_ident(&todo, keyspace);
    mf_buf_puts(&todo, " WITH durable_writes = true");
    cass_say(k, MF_BLOCKER, "durable-writes", keyspace, mf_buf_str(&todo),
             "its writes are in no commit log: a node that dies has lost what it had acknowledged");
}

/* ---- data centres ---- */

/* Nodes of it, all or those that are up. */
static int nodes_in(const struct mf_cql_node *nodes, size_t n, const char *dc, bool up)
{
    int count = 0;
    for (size_t i = 0; i < n; i++) {
        count += mf_streq(nodes[i].dc, dc) && (!up || nodes[i].up);
    }
    return count;
}

static bool first_of_dc(const struct mf_cql_node *nodes, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (mf_streq(nodes[k].dc, nodes[i].dc)) {
            return false;
        }
    }
    return true;
}

/* How many copies can be asked for in that data centre: as many as it has nodes that are up, so that none is waited for that may be gone for good. */
static int copies_in(const struct mf_cql_node *nodes, size_t n, const char *dc)
{
    int up = nodes_in(nodes, n, dc, true);
    return up < 1 ? 1 : up < COPIES_BEST ? up : COPIES_BEST;
}

static void put_replication(struct mf_cql *c, struct mf_buf *b)
{
    MF_CLEANUP_FREE struct mf_cql_node *nodes = NULL;
    struct mf_error ignored;
    size_t n = 0;
    mf_error_clear(&ignored);
    (void)mf_cql_nodes_up(c, CASS_NODES_WAIT_MS, &nodes, &n, &ignored);
    mf_buf_puts(b, "{'class': 'NetworkTopologyStrategy'");
    for (size_t i = 0; i < n; i++) {
        if (first_of_dc(nodes, i)) {
            mf_buf_puts(b, ", ");
            cass_put_literal(b, nodes[i].dc);
            mf_buf_printf(b, ": %d", copies_in(nodes, n, nodes[i].dc));
        }
    }
    mf_buf_puts(b, "}");
}

void cass_put_keyspace_remedy(struct mf_cql *c, const char *keyspace, struct mf_buf *b)
{
    mf_buf_puts(b, "CREATE KEYSPACE ");
    cass_put_ident(b, keyspace);
    mf_buf_puts(b, " WITH replication = ");
    put_replication(c, b);
}

static void put_alter(struct cass_check *k, const char *keyspace, struct mf_buf *b)
{
    mf_buf_puts(b, "ALTER KEYSPACE ");
    cass_put_ident(b, keyspace);
    mf_buf_puts(b, " WITH replication = ");
    put_replication(k->db->cql, b);
    mf_buf_puts(b, "; -- then nodetool repair on every node");
}

/* ---- copies ---- */

static void check_strategy(struct cass_check *k, const char *keyspace, const struct cass_replication *r,
                           const char *todo)
{
    size_t dcs = 0;
    for (size_t i = 0; i < k->nnodes; i++) {
        dcs += first_of_dc(k->nodes, i);
    }
    bool simple = mf_streq(r->strategy, "SimpleStrategy");
    if (!simple && !mf_streq(r->strategy, "NetworkTopologyStrategy")) {
        cass_say(k, MF_BLOCKER, "replication-strategy", keyspace, todo,
                 "it is replicated by %s, of which midflight does not know where rows lie", r->strategy);
    } else if (simple && dcs > 1) {
        cass_say(k, MF_WARNING, "simple-strategy", keyspace, todo,
                 "it is replicated by SimpleStrategy, which does not look at data centres, and the cluster has %zu",
                 dcs);
    }
}

static void check_dc(struct cass_check *k, const char *keyspace, const char *dc, int copies, const char *todo)
{
    int have = *dc ? nodes_in(k->nodes, k->nnodes, dc, false) : (int)k->nnodes;
    if (*dc && have == 0) {
        cass_say(k, copies ? MF_BLOCKER : MF_NOTE, "replication-dc", keyspace, todo,
                 "it keeps %d copies in data centre %s, which has no node", copies, dc);
    } else if (copies > have) {
        cass_say(k, MF_WARNING, "replication-factor", keyspace, todo,
                 "it is to keep %d copies%s%s, where there are %d nodes: a majority of the copies may never answer",
                 copies, *dc ? " in data centre " : "", dc, have);
    } else if (copies == 1) {
        cass_say(
            k, MF_WARNING, "replication-factor", keyspace,
            copies_in(k->nodes, k->nnodes, *dc ? dc : k->facts.local_dc) > 1
                ? todo
                : "add nodes first: only one is up there that could keep one; for a trial it may stay so",
            "it keeps one copy of each row%s%s: while its node is down the row can be neither read nor written, and "
            "the run waits; when its disk is lost, so is the row",
            *dc ? " in data centre " : "", dc);
    }
}

/* ---- enough of them ---- */

static bool is_up(const struct cass_check *k, uint32_t node, bool local_only)
{
    for (size_t i = 0; i < k->nnodes; i++) {
        if (k->nodes[i].id == node) {
            return k->nodes[i].up && (!local_only || mf_streq(k->nodes[i].dc, k->facts.local_dc));
        }
    }
    return false;
}

static int check_reach(struct cass_check *k, const char *keyspace, int needed, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_cql_range *ranges = NULL;
    uint32_t replicas[64];
    size_t n = 0, without = 0;
    bool local = cass_is_local(k->consistency);
    if (mf_cql_ranges(k->db->cql, keyspace, &ranges, &n, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        size_t have = mf_cql_replicas(k->db->cql, keyspace, ranges[i].upto, replicas, MF_ARRAY_LEN(replicas));
        int up = 0;
        for (size_t j = 0; j < have && j < MF_ARRAY_LEN(replicas); j++) {
            up += is_up(k, replicas[j], local);
        }
        without += up < needed;
    }
    if (without) {
        cass_say(k, MF_BLOCKER, "unavailable", keyspace,
                 "start the nodes that are down, or ask for another consistency in "
                 "the target's URL (consistency=…)",
                 "%zu of %zu token ranges have fewer than the %d copies within reach that %s needs", without, n, needed,
                 cql_consistency_name((uint16_t)k->consistency));
    }
    return 0;
}

static int check_keyspace(struct cass_check *k, const char *keyspace, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf todo = {.max = 4096};
    struct cass_replication r;
    if (cass_is_system(keyspace) || mf_streq(keyspace, CASS_BOOK)) {
        cass_say(k, MF_BLOCKER, "conversion-name", keyspace,
                 "rename the schema on the source, or name a keyspace in the URL",
                 "a keyspace of that name is the server's own, or midflight's");
        return 0;
    }
    if (cass_name_wrong(keyspace)) {
        return 0; /* its tables' own finding */
    }
    if (cass_replication_read(k->db->cql, keyspace, &r, err) < 0) {
        return -1;
    }
    if (!r.there) {
        cass_put_keyspace_remedy(k->db->cql, keyspace, &todo);
        cass_say(k, MF_BLOCKER, "keyspace", keyspace, mf_buf_str(&todo),
                 "there is no such keyspace; how many copies it keeps, and where, is yours to say");
        return 0;
    }
    put_alter(k, keyspace, &todo);
    if (!r.durable_writes) {
        cass_say_not_durable(k, keyspace);
    }
    check_strategy(k, keyspace, &r, mf_buf_str(&todo));
    for (size_t i = 0; i < r.ndcs; i++) {
        check_dc(k, keyspace, r.dcs[i].name, r.dcs[i].copies, mf_buf_str(&todo));
    }
    int all = cass_copies(&r, NULL), local = cass_copies(&r, k->facts.local_dc);
    if (cass_is_local(k->consistency) && local == 0) {
        cass_say(k, MF_BLOCKER, "local-dc", keyspace, "name a data centre that has copies in the URL (local_dc=…)",
                 "it keeps no copy in %s, the data centre that is spoken to, and %s needs some there",
                 k->facts.local_dc, cql_consistency_name((uint16_t)k->consistency));
        return 0;
    }
    return check_reach(k, keyspace, cass_needed(k->consistency, all, local), err);
}

int cass_check_keyspaces(struct cass_check *k, struct mf_error *err)
{
    if (!k->db->keyspace[0]) {
        cass_say(k, MF_BLOCKER, "keyspace", k->facts.cluster, "cassandra://…/KEYSPACE",
                 "the URL names no keyspace, and there is none that names without one would mean");
    }
    for (size_t i = 0; i < k->tables.n; i++) {
        if (mf_catalog_first_of_schema(&k->tables, i) && check_keyspace(k, k->tables.tables[i].schema, err) < 0) {
            return -1;
        }
    }
    return 0;
}
