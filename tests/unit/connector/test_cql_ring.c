/* Replicas of a token, as Cassandra's own strategies choose them. */
#include "mf_test.h"

#include "connector/cassandra/cql_ring.h"

#include <stdio.h>
#include <string.h>

static struct cql_ring *ring;

static void node(uint32_t id, const char *dc, const char *rack, const char *const *tokens)
{
    struct mf_cql_node n = {.id = id};
    snprintf(n.dc, sizeof(n.dc), "%s", dc);
    snprintf(n.rack, sizeof(n.rack), "%s", rack);
    snprintf(n.host_id, sizeof(n.host_id), "%u", id);
    assert_int_equal(cql_ring_add_node(ring, &n), 0);
    for (; *tokens; tokens++) {
        assert_int_equal(cql_ring_add_token(ring, *tokens, strlen(*tokens)), 0);
    }
}

#define NODE(id, dc, rack, ...) node(id, dc, rack, (const char *const[]){__VA_ARGS__, NULL})
#define KEYSPACE(name, ...)                                                                                            \
    do {                                                                                                               \
        const char *const options[][2] = {__VA_ARGS__};                                                                \
        assert_int_equal(cql_ring_add_keyspace(ring, name, options, sizeof(options) / sizeof(options[0])), 0);         \
    } while (0)

/* "3 1 2": ids of the replicas of a token. */
static void replicas(const char *keyspace, int64_t token, const char *want)
{
    uint32_t got[16];
    char text[128] = "";
    size_t n = cql_ring_replicas(ring, cql_ring_keyspace(ring, keyspace), token, got, 16);
    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(text);
        snprintf(text + at, sizeof(text) - at, "%s%u", i ? " " : "", ring->nodes[got[i]].info.id);
    }
    assert_string_equal(text, want);
}

static void simple_strategy_takes_the_next_nodes(void **state)
{
    (void)state;
    ring = cql_ring_new("dc1", true);
    NODE(1, "dc1", "r1", "-100", "50");
    NODE(2, "dc1", "r1", "0");
    NODE(3, "dc1", "r1", "100");
    KEYSPACE("one", {"class", "org.apache.cassandra.locator.SimpleStrategy"}, {"replication_factor", "1"});
    KEYSPACE("two", {"replication_factor", "2"}, {"class", "SimpleStrategy"});
    KEYSPACE("five", {"class", "SimpleStrategy"}, {"replication_factor", "5"});
    KEYSPACE("local", {"class", "org.apache.cassandra.locator.LocalStrategy"});
    cql_ring_finish(ring);
    replicas("one", -100, "1"); /* a token is its owner's */
    replicas("one", -101, "1");
    replicas("one", INT64_MIN, "1");
    replicas("one", -99, "2");
    replicas("one", 0, "2");
    replicas("one", 1, "1");
    replicas("one", 51, "3");
    replicas("one", 101, "1"); /* behind the last comes the first */
    replicas("one", INT64_MAX, "1");
    replicas("two", 1, "1 3");
    replicas("two", 51, "3 1"); /* wraps */
    replicas("two", 101, "1 2");
    replicas("five", 1, "1 3 2"); /* no more than there are */
    replicas("local", 1, "");
    replicas("none", 1, "");
    cql_ring_unref(ring);
}

static void network_topology_counts_each_data_centre(void **state)
{
    (void)state;
    ring = cql_ring_new("dc2", true);
    NODE(1, "dc1", "r1", "0");
    NODE(2, "dc2", "r1", "10");
    NODE(3, "dc1", "r1", "20");
    NODE(4, "dc2", "r1", "30");
    KEYSPACE("k", {"class", "org.apache.cassandra.locator.NetworkTopologyStrategy"}, {"dc1", "1"}, {"dc2", "2"});
    KEYSPACE("elsewhere", {"class", "NetworkTopologyStrategy"}, {"dc1", "2"});
    KEYSPACE("transient", {"class", "NetworkTopologyStrategy"}, {"dc2", "2/1"}, {"dc9", "3"});
    KEYSPACE("nothing", {"class", "NetworkTopologyStrategy"}, {"dc1", "0"});
    cql_ring_finish(ring);
    replicas("k", 0, "2 4 1"); /* those of the preferred one first, though node 1 is the first in the ring */
    replicas("k", 15, "4 2 3");
    replicas("elsewhere", 15, "3 1");
    replicas("transient", 35, "2 4");
    replicas("nothing", 0, "");
    cql_ring_unref(ring);
}

static void a_rack_that_has_none_comes_first(void **state)
{
    (void)state;
    ring = cql_ring_new("dc1", true);
    NODE(1, "dc1", "a", "0");
    NODE(2, "dc1", "a", "10");
    NODE(3, "dc1", "a", "20");
    NODE(4, "dc1", "b", "30");
    NODE(5, "dc1", "b", "40");
    KEYSPACE("two", {"class", "NetworkTopologyStrategy"}, {"dc1", "2"});
    KEYSPACE("three", {"class", "NetworkTopologyStrategy"}, {"dc1", "3"});
    KEYSPACE("simple", {"class", "SimpleStrategy"}, {"replication_factor", "2"});
    cql_ring_finish(ring);
    replicas("two", 0, "1 4"); /* two racks, two copies: one in each */
    replicas("two", 15, "3 4");
    replicas("two", 25, "4 1");
    replicas("three", 0, "1 2 4"); /* one repeat of a rack, taken as soon as it comes */
    replicas("three", 25, "4 5 1");
    replicas("simple", 0, "1 2"); /* racks are nothing to it */
    cql_ring_unref(ring);
}

static void the_same_rack_of_another_data_centre_is_another(void **state)
{
    (void)state;
    ring = cql_ring_new("dc1", true);
    NODE(1, "dc1", "a", "0");
    NODE(2, "dc2", "a", "10");
    NODE(3, "dc1", "a", "20");
    KEYSPACE("k", {"class", "NetworkTopologyStrategy"}, {"dc1", "2"}, {"dc2", "1"});
    cql_ring_finish(ring);
    assert_int_equal(ring->nodes[0].rack, ring->nodes[2].rack);
    assert_int_not_equal(ring->nodes[0].rack, ring->nodes[1].rack);
    replicas("k", 0, "1 3 2");
    cql_ring_unref(ring);
}

static void tokens_that_are_none_are_refused(void **state)
{
    (void)state;
    ring = cql_ring_new("dc1", true);
    assert_int_equal(cql_ring_add_token(ring, "1", 1), -1); /* nobody's */
    NODE(1, "dc1", "a", "9223372036854775807", "-9223372036854775808");
    assert_int_equal(cql_ring_add_token(ring, "x", 1), -1);
    assert_int_equal(cql_ring_add_token(ring, "9223372036854775808", 19), -1);
    assert_int_equal(cql_ring_add_token(ring, "", 0), -1);
    cql_ring_finish(ring);
    assert_int_equal(ring->tokens[0].token, INT64_MIN);
    cql_ring_unref(ring);
}

static void a_ring_without_murmur3_has_no_replicas(void **state)
{
    (void)state;
    ring = cql_ring_new("dc1", false);
    NODE(1, "dc1", "a", "0");
    KEYSPACE("k", {"class", "SimpleStrategy"}, {"replication_factor", "1"});
    cql_ring_finish(ring);
    replicas("k", 0, "");
    cql_ring_unref(ring);
}

static struct cql_ring *small(const char *address, const char *token, const char *copies)
{
    ring = cql_ring_new("dc1", true);
    NODE(1, "dc1", "a", token);
    snprintf(ring->nodes[0].info.address, sizeof(ring->nodes[0].info.address), "%s", address);
    KEYSPACE("k", {"class", "SimpleStrategy"}, {"replication_factor", copies});
    cql_ring_finish(ring);
    return ring;
}

static void what_changed_is_seen(void **state)
{
    (void)state;
    struct cql_ring *a = small("127.0.0.1", "0", "1");
    struct cql_ring *others[] = {small("127.0.0.1", "0", "1"), small("127.0.0.2", "0", "1"),
                                 small("127.0.0.1", "1", "1"), small("127.0.0.1", "0", "2")};
    assert_true(cql_ring_same(a, others[0]));
    for (int i = 1; i < 4; i++) {
        assert_false(cql_ring_same(a, others[i]));
    }
    for (int i = 0; i < 4; i++) {
        cql_ring_unref(others[i]);
    }
    cql_ring_unref(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple_strategy_takes_the_next_nodes),
        cmocka_unit_test(network_topology_counts_each_data_centre),
        cmocka_unit_test(a_rack_that_has_none_comes_first),
        cmocka_unit_test(the_same_rack_of_another_data_centre_is_another),
        cmocka_unit_test(tokens_that_are_none_are_refused),
        cmocka_unit_test(a_ring_without_murmur3_has_no_replicas),
        cmocka_unit_test(what_changed_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
