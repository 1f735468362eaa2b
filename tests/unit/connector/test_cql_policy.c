/* What is done about a request that failed, and how the window follows the latency. */
#include "mf_test.h"

#include "base/clock.h"
#include "connector/cassandra/cql_policy.h"

#include <string.h>

#define MS MF_US_PER_MS

static struct cql_verdict server(int32_t code, bool idempotent, int retries)
{
    struct cql_server_error e = {.code = code, .message = "", .required = 1};
    return cql_verdict(
        &(struct cql_trouble){.kind = CQL_T_SERVER, .error = &e, .idempotent = idempotent, .retries = retries});
}

static void what_may_have_been_executed_goes_again_only_when_idempotent(void **state)
{
    (void)state;
    static const int32_t unsure[] = {CQL_E_OVERLOADED, CQL_E_WRITE_TIMEOUT, CQL_E_READ_TIMEOUT, CQL_E_SERVER,
                                     CQL_E_TRUNCATE,   CQL_E_WRITE_FAILURE, CQL_E_READ_FAILURE};
    for (size_t i = 0; i < sizeof(unsure) / sizeof(unsure[0]); i++) {
        assert_int_equal(server(unsure[i], false, 0).fate, CQL_GIVE_UP);
        assert_int_equal(server(unsure[i], true, 0).fate, CQL_OTHER_NODE);
    }
    static const enum cql_trouble_kind kinds[] = {CQL_T_LOST, CQL_T_SILENT};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cql_verdict(&(struct cql_trouble){.kind = kinds[i]}).fate, CQL_GIVE_UP);
        assert_int_equal(cql_verdict(&(struct cql_trouble){.kind = kinds[i], .idempotent = true}).fate, CQL_OTHER_NODE);
    }
}

static void what_was_not_executed_always_may(void **state)
{
    (void)state;
    assert_int_equal(server(CQL_E_BOOTSTRAPPING, false, 0).fate, CQL_OTHER_NODE);
    assert_int_equal(server(CQL_E_UNAVAILABLE, false, 0).fate, CQL_OTHER_NODE);
    assert_int_equal(cql_verdict(&(struct cql_trouble){.kind = CQL_T_UNWRITTEN}).fate, CQL_OTHER_NODE);
}

static void what_comes_again_is_not_tried_again(void **state)
{
    (void)state;
    static const int32_t sure[] = {CQL_E_PROTOCOL,       CQL_E_CREDENTIALS,       CQL_E_SYNTAX,
                                   CQL_E_UNAUTHORIZED,   CQL_E_INVALID,           CQL_E_CONFIG,
                                   CQL_E_ALREADY_EXISTS, CQL_E_CAS_WRITE_UNKNOWN, 0x7777};
    for (size_t i = 0; i < sizeof(sure) / sizeof(sure[0]); i++) {
        assert_int_equal(server(sure[i], true, 0).fate, CQL_GIVE_UP);
    }
}

static void retries_have_a_bound_and_growing_waits(void **state)
{
    (void)state;
    int64_t before = 0;
    for (int n = 0; n < CQL_RETRIES_MAX; n++) {
        struct cql_verdict v = server(CQL_E_OVERLOADED, true, n);
        assert_int_equal(v.fate, CQL_OTHER_NODE);
        assert_true(v.shrink);
        assert_true(v.wait_us >= before && v.wait_us <= 2 * MF_US_PER_SEC);
        before = v.wait_us;
    }
    assert_true(before > MF_US_PER_SEC);
    static const int32_t all[] = {CQL_E_OVERLOADED,   CQL_E_UNAVAILABLE,  CQL_E_BOOTSTRAPPING, CQL_E_WRITE_TIMEOUT,
                                  CQL_E_READ_TIMEOUT, CQL_E_READ_FAILURE, CQL_E_WRITE_FAILURE, CQL_E_SERVER};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        assert_int_equal(server(all[i], true, CQL_RETRIES_MAX).fate, CQL_GIVE_UP);
    }
    assert_int_equal(
        cql_verdict(&(struct cql_trouble){.kind = CQL_T_LOST, .idempotent = true, .retries = CQL_RETRIES_MAX}).fate,
        CQL_GIVE_UP);
    assert_int_equal(server(CQL_E_WRITE_FAILURE, true, 2).fate, CQL_GIVE_UP); /* most come again */
}

static void a_read_that_only_missed_its_data_goes_to_the_same_node(void **state)
{
    (void)state;
    struct cql_server_error e = {.code = CQL_E_READ_TIMEOUT, .message = "", .required = 2, .got = 2};
    struct cql_trouble t = {.kind = CQL_T_SERVER, .error = &e, .idempotent = true};
    assert_int_equal(cql_verdict(&t).fate, CQL_SAME_NODE);
    e.data_present = true;
    assert_int_equal(cql_verdict(&t).fate, CQL_OTHER_NODE);
    e.data_present = false;
    e.got = 1;
    assert_int_equal(cql_verdict(&t).fate, CQL_OTHER_NODE);
}

static void reconnects_wait_longer_and_longer(void **state)
{
    (void)state;
    for (uint32_t dice = 0; dice < 5000; dice += 7) {
        assert_in_range(cql_reconnect_us(1, dice), 75 * MS, 125 * MS);
        assert_in_range(cql_reconnect_us(3, dice), 300 * MS, 500 * MS);
        assert_in_range(cql_reconnect_us(1000000, dice), 7500 * MS, 12500 * MS);
    }
}

/* n answers after so long each, the window full or not. */
static int64_t answers(struct cql_window *w, int n, int64_t latency, bool full, int64_t now)
{
    for (int i = 0; i < n; i++) {
        now += MS;
        cql_window_answer(w, now - latency, now, full);
    }
    return now;
}

static void a_window_grows_while_answers_are_quick_and_it_is_full(void **state)
{
    (void)state;
    struct cql_window w;
    cql_window_init(&w, 1000, 100 * MS);
    double was = w.size;
    int64_t now = answers(&w, 1000, 10 * MS, false, MF_US_PER_SEC);
    assert_true(w.size == was); /* nobody fills it: nothing is learnt */
    now = answers(&w, 1000, 10 * MS, true, now);
    assert_true(w.size > was);
    answers(&w, 1000000, 10 * MS, true, now);
    assert_true(w.size == 1000); /* and no further */
}

static void a_window_shrinks_by_slow_answers_but_not_twice_for_the_same(void **state)
{
    (void)state;
    struct cql_window w;
    cql_window_init(&w, 1000, 100 * MS);
    int64_t now = MF_US_PER_SEC;
    for (int i = 0; i < 64; i++) {
        cql_window_answer(&w, now - 200 * MS, now, true);
    }
    assert_true(w.size > 51 && w.size < 52);
    for (int i = 0; i < 1000; i++) { /* sent before the cut */
        cql_window_answer(&w, now - 1, now + 300 * MS, true);
    }
    assert_true(w.size > 51 && w.size < 52);
    for (int i = 0; i < 52; i++) {
        cql_window_answer(&w, now, now + 300 * MS, true);
    }
    assert_true(w.size < 42);
}

static void overload_halves_it_once_for_what_was_in_flight(void **state)
{
    (void)state;
    struct cql_window w;
    cql_window_init(&w, 1000, 100 * MS);
    for (int i = 0; i < 30; i++) {
        cql_window_shrink(&w, 1000, 2000);
    }
    assert_true(w.size == 32);
    for (int i = 0; i < 30; i++) {
        cql_window_shrink(&w, 2000 + i * 10, 2000 + i * 10 + 9);
    }
    assert_true(w.size == CQL_WINDOW_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_have_been_executed_goes_again_only_when_idempotent),
        cmocka_unit_test(what_was_not_executed_always_may),
        cmocka_unit_test(what_comes_again_is_not_tried_again),
        cmocka_unit_test(retries_have_a_bound_and_growing_waits),
        cmocka_unit_test(a_read_that_only_missed_its_data_goes_to_the_same_node),
        cmocka_unit_test(reconnects_wait_longer_and_longer),
        cmocka_unit_test(a_window_grows_while_answers_are_quick_and_it_is_full),
        cmocka_unit_test(a_window_shrinks_by_slow_answers_but_not_twice_for_the_same),
        cmocka_unit_test(overload_halves_it_once_for_what_was_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
