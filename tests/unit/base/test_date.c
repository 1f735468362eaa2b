/* Days of the calendar: known ones, and every day there and back over four centuries around the year 0 and ours. */
#include "mf_test.h"

#include "base/date.h"

static void known_days(void **state)
{
    (void)state;
    assert_int_equal(mf_date_number((struct mf_date){1970, 1, 1}), 0);
    assert_int_equal(mf_date_number((struct mf_date){2000, 3, 1}), 11017);
    assert_int_equal(mf_date_number((struct mf_date){1969, 12, 31}), -1);
    assert_int_equal(mf_date_number((struct mf_date){0, 3, 1}), -719468);
    assert_int_equal(mf_date_number((struct mf_date){-1, 12, 31}), -719529);
    assert_int_equal(mf_date_month_days(2024, 2), 29);
    assert_int_equal(mf_date_month_days(1900, 2), 28);
    assert_int_equal(mf_date_month_days(2000, 2), 29);
    assert_int_equal(mf_date_month_days(0, 2), 29);
    assert_int_equal(mf_date_month_days(-4, 2), 29);
    assert_int_equal(mf_date_month_days(2026, 4), 30);
}

static void every_day(int64_t from, int64_t to)
{
    int64_t n = mf_date_number((struct mf_date){from, 1, 1});
    for (int64_t y = from; y < to; y++) {
        for (unsigned m = 1; m <= 12; m++) {
            for (unsigned d = 1; d <= mf_date_month_days(y, m); d++, n++) {
                struct mf_date back = mf_date_of(n);
                assert_int_equal(mf_date_number((struct mf_date){y, m, d}), n);
                assert_true(back.year == y && back.month == m && back.day == d);
            }
        }
    }
}

static void there_and_back(void **state)
{
    (void)state;
    every_day(-402, 402);
    every_day(1800, 2201);
    every_day(290000, 290010);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_days), cmocka_unit_test(there_and_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
