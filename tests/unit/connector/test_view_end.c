/* Rows of query tables that end. */
#include "mf_test.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "connector/view/internal.h"

static void rows_that_end(void **state)
{
    (void)state;
    char near[40];
    int64_t wall = mf_wall_us(), waited = 0;
    struct mf_made_column c = {.kind = MF_MADE_COLUMN};
    struct mf_made made = {.n = 1, .columns = &c, .ends = true};
    static const struct {
        const char *end; /* NULL: NULL */
        bool over;
    } cases[] = {{NULL, false},
                 {"infinity", false},
                 {"-infinity", true},
                 {"2001-01-01 00:00:00", true},
                 {"9999-12-31 23:59:59.5", false},
                 {"no moment", false}};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct mf_value v = {.kind = MF_NULL};
        if (cases[i].end) {
            v = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(cases[i].end), .data = cases[i].end};
        }
        const struct mf_row row = {.n = 1, .values = &v};
        assert_int_equal(view_ended(&made, &row), cases[i].over);
        assert_int_equal(view_ended_surely(&made, &row, &waited), cases[i].over);
        assert_int_equal(waited, 0);
    }
    /* Just now: as it is told, when nobody may wait any more. */
    mf_format_utc(wall - MF_US_PER_SEC, near, sizeof near);
    near[10] = ' ';
    struct mf_value v = {.kind = MF_TEXT, .len = 19, .data = near};
    const struct mf_row row = {.n = 1, .values = &v};
    waited = VIEW_WAIT_US;
    assert_true(view_ended_surely(&made, &row, &waited));
    assert_int_equal(waited, VIEW_WAIT_US);
    made.ends = false;
    assert_false(view_ended(&made, &row));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
