/* Moments as numbers. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "model/moment.h"

#include <string.h>

static void since_1970(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1970-01-01 00:00:00", 0},
        {"1969-12-31 23:59:59.999999", -1},
        {"2000-02-29 12:00:00.5", INT64_C(951825600500000)},
        {"2038-01-19 03:14:08", INT64_C(2147483648000000)},
        {"9999-12-31 23:59:59.999999", INT64_C(253402300799999999)},
        {"0001-01-01 00:00:00", INT64_C(-62135596800000000)},
        {"0001-12-31 00:00:00 BC", INT64_C(-62135683200000000)},
        {"1900-03-01 00:00:00", INT64_C(-2203891200000000)},
        {"infinity", INT64_MAX},
        {"-infinity", INT64_MIN},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        int64_t us = 1;
        if (!mf_moment_us(cases[i].text, strlen(cases[i].text), &us) || us != cases[i].us) {
            fail_msg("%s: %lld", cases[i].text, (long long)us);
        }
    }
    static const char *const none[] = {"",
                                       "-",
                                       "2026-02-30 00:00:00",
                                       "0000-00-00 00:00:00",
                                       "2026-11-28",
                                       "2026-11-28 24:00:00",
                                       "2026-11-28 01:02:03.50",
                                       "2026-11-28T01:02:03Z",
                                       "9999999-01-01 00:00:00",
                                       "tomorrow"};
    for (size_t i = 0; i < MF_ARRAY_LEN(none); i++) {
        int64_t us = 7;
        assert_false(mf_moment_us(none[i], strlen(none[i]), &us));
        assert_int_equal(us, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(since_1970),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
