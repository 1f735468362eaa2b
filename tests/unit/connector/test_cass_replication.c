/* How a keyspace is replicated, from the wire, and what consistency levels need of it. */
#include "mf_test.h"

#include "connector/cassandra/replication.h"

#include <string.h>

static struct cql_bytes map(struct mf_buf *b, const char *const *texts)
{
    uint32_t n = 0;
    while (texts[2 * n]) {
        n++;
    }
    mf_buf_reset(b);
    mf_buf_put_u32be(b, n);
    for (uint32_t i = 0; i < 2 * n; i++) {
        mf_buf_put_u32be(b, (uint32_t)strlen(texts[i]));
        mf_buf_puts(b, texts[i]);
    }
    return (struct cql_bytes){.p = (const uint8_t *)mf_buf_str(b), .n = (int32_t)b->len};
}

static void maps(void **state)
{
    (void)state;
    struct mf_buf b = {.max = 100000};
    struct cass_replication r = {0};
    static const char *const topology[] = {"class", "org.apache.cassandra.locator.NetworkTopologyStrategy",
                                           "dc1",   "3",
                                           "dc2",   "3/1",
                                           NULL},
                             *const simple[] = {"replication_factor", "2", "class", "SimpleStrategy", NULL};
    struct cql_bytes m = map(&b, topology);
    assert_true(cass_replication_parse(m, &r));
    assert_string_equal(r.strategy, "NetworkTopologyStrategy");
    assert_int_equal(r.ndcs, 2);
    assert_int_equal(cass_copies(&r, "dc1"), 3);
    assert_int_equal(cass_copies(&r, "dc2"), 3);
    assert_int_equal(cass_copies(&r, "dc3"), 0);
    assert_int_equal(cass_copies(&r, NULL), 6);
    for (int32_t n = 0; n < m.n; n++) { /* cut anywhere it is none */
        struct cass_replication cut = {0};
        assert_false(cass_replication_parse((struct cql_bytes){.p = m.p, .n = n}, &cut));
    }
    r = (struct cass_replication){0};
    assert_true(cass_replication_parse(map(&b, simple), &r));
    assert_string_equal(r.strategy, "SimpleStrategy");
    assert_int_equal(cass_copies(&r, "whatever"), 2);
    mf_buf_reset(&b);
    mf_buf_put_u32be(&b, 0x7fffffff);
    assert_false(cass_replication_parse((struct cql_bytes){.p = (const uint8_t *)mf_buf_str(&b), .n = 4}, &r));
    mf_buf_free(&b);
}

static void levels(void **state)
{
    (void)state;
    static const struct {
        enum cql_consistency level;
        int all, local, want;
    } cases[] = {{CQL_ONE, 6, 3, 1},         {CQL_LOCAL_ONE, 6, 3, 1},    {CQL_TWO, 6, 3, 2},
                 {CQL_THREE, 6, 3, 3},       {CQL_ALL, 6, 3, 6},          {CQL_QUORUM, 6, 3, 4},
                 {CQL_QUORUM, 3, 3, 2},      {CQL_LOCAL_QUORUM, 6, 3, 2}, {CQL_QUORUM, 1, 1, 1},
                 {CQL_EACH_QUORUM, 6, 3, 2}, {CQL_LOCAL_SERIAL, 6, 2, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(cass_needed(cases[i].level, cases[i].all, cases[i].local), cases[i].want);
    }
    assert_true(cass_is_local(CQL_LOCAL_QUORUM) && cass_is_local(CQL_EACH_QUORUM) && !cass_is_local(CQL_QUORUM));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(maps), cmocka_unit_test(levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
