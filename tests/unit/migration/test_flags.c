#include "mf_test.h"

#include "migration/flags.h"

#include <stdio.h>
#include <string.h>

/* Reckoned by another implementation of XXH64, so that they never change and anybody can reckon them again. */
static void places_are_what_anybody_reckons(void **state)
{
    (void)state;
    char xs[100];
    uint64_t seed = mf_flag_seed("shop");
    memset(xs, 'x', sizeof xs);
    assert_true(seed == UINT64_C(0xbd709047ea6ee76f));
    assert_int_equal(mf_flag_place(seed, "user-1", 6), 1420);
    assert_int_equal(mf_flag_place(seed, "user-2", 6), 7131);
    assert_int_equal(mf_flag_place(seed,
                                   "gr\xc3\xb6\xc3\x9f"
                                   "e",
                                   7),
                     6524);
    assert_int_equal(mf_flag_place(seed, "f021d0f9-33b7-4b22-b0bd-9fec66ba1d7d", 36), 8162);
    assert_int_equal(mf_flag_place(seed, xs, sizeof xs), 1129);
    assert_int_equal(mf_flag_place(seed, "a\0b", 3), 7548);
}

static void who_is_in_stays_in_when_the_share_grows(void **state)
{
    (void)state;
    uint64_t seed = mf_flag_seed("shop"), other = mf_flag_seed("shop2");
    int in[101] = {0}, same = 0;
    for (int i = 0; i < 20000; i++) {
        char key[32];
        size_t n = (size_t)snprintf(key, sizeof key, "customer:%d", i);
        bool was = false;
        for (int p = 0; p <= 100; p++) {
            bool is = mf_flag_in(seed, key, n, p);
            assert_true(is || !was);
            in[p] += is;
            was = is;
        }
        same += mf_flag_in(seed, key, n, 50) == mf_flag_in(other, key, n, 50);
    }
    assert_int_equal(in[0], 0);
    assert_int_equal(in[100], 20000);
    for (int p = 1; p < 100; p++) {
        assert_true(in[p] > p * 200 - 400 && in[p] < p * 200 + 400); /* over five standard deviations */
    }
    assert_in_range(same, 9500, 10500); /* another migration draws other keys */
}

static void a_share_is_a_lease(void **state)
{
    (void)state;
    struct mf_flags f;
    struct mf_flags_view v;
    mf_flags_init(&f);
    mf_flags_view(&f, 0, &v);
    assert_int_equal(v.writer, MF_FLAGS_UNKNOWN);
    assert_string_not_equal(v.why, "");
    mf_flags_set(&f, MF_FLAGS_SOURCE, false, 20, NULL);
    mf_flags_view(&f, 1000, &v);
    assert_true(v.lapsed && v.percent == 0); /* nobody has found its guard good */
    mf_flags_good_until(&f, 2000);
    mf_flags_view(&f, 2000, &v);
    assert_true(!v.lapsed && v.percent == 20 && v.writer == MF_FLAGS_SOURCE);
    mf_flags_view(&f, 2001, &v);
    assert_true(v.lapsed && v.percent == 0);
    /* What the side serves that takes the writes needs no guard. */
    mf_flags_set(&f, MF_FLAGS_TARGET, true, 100, NULL);
    mf_flags_view(&f, 5000, &v);
    assert_true(!v.lapsed && v.percent == 100);
    mf_flags_set(&f, MF_FLAGS_FROZEN, true, 60, "frozen");
    mf_flags_view(&f, 5000, &v);
    assert_true(v.lapsed && v.percent == 100 && v.writer == MF_FLAGS_FROZEN);
    assert_string_equal(v.why, "frozen");
    mf_flags_destroy(&f);
}

static void a_command_that_takes_reads_back_does_so_at_once(void **state)
{
    (void)state;
    struct mf_flags f;
    struct mf_flags_view v;
    mf_flags_init(&f);
    mf_flags_set(&f, MF_FLAGS_SOURCE, false, 20, NULL);
    mf_flags_good_until(&f, 2000);
    mf_flags_hold(&f, 1);
    mf_flags_hold(&f, 1);
    mf_flags_hold(&f, -1);
    mf_flags_view(&f, 1000, &v);
    assert_true(v.percent == 0 && !v.lapsed);
    mf_flags_hold(&f, -1);
    mf_flags_view(&f, 1000, &v);
    assert_int_equal(v.percent, 20);
    mf_flags_destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_what_anybody_reckons),
        cmocka_unit_test(who_is_in_stays_in_when_the_share_grows),
        cmocka_unit_test(a_share_is_a_lease),
        cmocka_unit_test(a_command_that_takes_reads_back_does_so_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
