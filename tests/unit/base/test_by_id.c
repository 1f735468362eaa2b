#include "mf_test.h"

#include "base/by_id.h"

#define MANY 5000

/* Ids that meet in one slot, and the one that is 0, are told apart; what stands in a place is given back by what takes it. */
static void each_has_its_place(void **state)
{
    (void)state;
    static int things[MANY], others[MANY];
    struct mf_by_id m = {0};
    assert_null(mf_by_id_find(&m, 0));
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t id = i % 2 ? i << 19 : i;
        assert_null(mf_by_id_find(&m, id));
        assert_null(mf_by_id_put(&m, id, &things[i]));
    }
    assert_int_equal(m.n, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t id = i % 2 ? i << 19 : i;
        assert_ptr_equal(mf_by_id_find(&m, id), &things[i]);
        assert_ptr_equal(mf_by_id_put(&m, id, &others[i]), &things[i]);
        assert_ptr_equal(mf_by_id_find(&m, id), &others[i]);
    }
    assert_int_equal(m.n, MANY);
    size_t met = 0;
    for (size_t i = 0; i < m.cap; i++) {
        met += m.slots[i].p != NULL;
    }
    assert_int_equal(met, MANY);
    assert_null(mf_by_id_find(&m, 7u << 16));
    mf_by_id_free(&m);
    assert_null(mf_by_id_find(&m, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_has_its_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
