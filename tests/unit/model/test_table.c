#include "mf_test.h"
#include "sweep.h"

#include "base/cleanup.h"
#include "model/table.h"
#include "model/value.h"

#include <string.h>

static struct mf_column columns[] = {
    {.name = "id", .type = "bigint", .type_id = 20, .type_mod = -1, .in_key = true, .not_null = true},
    {.name = "price", .type = "numeric(10,2)", .type_id = 1700, .type_mod = 655366},
    {.name = "twice", .type_id = 1700, .type_mod = -1, .generated = true},
};
static uint16_t key[] = {0};

static struct mf_table shop(void)
{
    return (struct mf_table){.id = 7,
                             .schema = "public",
                             .name = "items",
                             .ncolumns = 3,
                             .nkey = 1,
                             .columns = columns,
                             .key = key,
                             .rows_estimate = -1};
}

static void shape_is_of_what_travels(void **state)
{
    (void)state;
    struct mf_column other[3];
    struct mf_table t = shop();
    uint64_t shape = mf_table_shape(&t);
    t.columns = other;

    /* What may differ between two databases, or changes nothing about the bytes. */
    memcpy(other, columns, sizeof(columns));
    t.id = 8;
    t.name = "elsewhere";
    other[1].type = NULL;
    other[1].not_null = true;
    other[2].name = "thrice";
    assert_true(mf_table_shape(&t) == shape);

    /* Each thing that does change them. */
    memcpy(other, columns, sizeof(columns));
    other[1].name = "cost";
    assert_true(mf_table_shape(&t) != shape);
    memcpy(other, columns, sizeof(columns));
    other[1].type_id = 25;
    assert_true(mf_table_shape(&t) != shape);
    memcpy(other, columns, sizeof(columns));
    other[1].type_mod = -1;
    assert_true(mf_table_shape(&t) != shape);
    memcpy(other, columns, sizeof(columns));
    other[2].generated = false;
    assert_true(mf_table_shape(&t) != shape);
    memcpy(other, columns, sizeof(columns));
    t.ncolumns = 1;
    assert_true(mf_table_shape(&t) != shape);
    t.ncolumns = 3;
    uint16_t other_key[] = {1};
    t.key = other_key;
    assert_true(mf_table_shape(&t) != shape);
    t.nkey = 0;
    t.identity = MF_IDENTITY_FULL;
    assert_true(mf_table_shape(&t) != shape);
}

static void order_of_columns_matters(void **state)
{
    (void)state;
    struct mf_column swapped[] = {columns[1], columns[0], columns[2]};
    uint16_t swapped_key[] = {1};
    struct mf_table a = shop();
    struct mf_table b = shop();
    b.columns = swapped;
    b.key = swapped_key;
    assert_true(mf_table_shape(&a) != mf_table_shape(&b));
}

static void names_do_not_run_together(void **state)
{
    (void)state;
    struct mf_column a[] = {{.name = "ab"}, {.name = "c"}};
    struct mf_column b[] = {{.name = "a"}, {.name = "bc"}};
    struct mf_table ta = {.ncolumns = 2, .columns = a};
    struct mf_table tb = {.ncolumns = 2, .columns = b};
    assert_true(mf_table_shape(&ta) != mf_table_shape(&tb));
}

static void a_generated_column_in_front_shifts_no_key(void **state)
{
    (void)state;
    struct mf_column with[] = {{.name = "g", .generated = true}, columns[0]};
    uint16_t second[] = {1};
    struct mf_table a = {.ncolumns = 1, .columns = columns, .nkey = 1, .key = key};
    struct mf_table b = {.ncolumns = 2, .columns = with, .nkey = 1, .key = second};
    assert_true(mf_table_shape(&a) == mf_table_shape(&b));
}

static int copy(void *arg)
{
    (void)arg;
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_arena_init(&arena, 1 << 16);
    struct mf_table t = shop();
    struct mf_table *c = mf_table_copy(&arena, &t);
    if (!c) {
        return -1;
    }
    assert_true(mf_table_shape(c) == mf_table_shape(&t));
    assert_ptr_not_equal(c->columns[0].name, columns[0].name);
    assert_ptr_not_equal(c->schema, t.schema);
    assert_ptr_not_equal(c->key, t.key);
    assert_string_equal(c->columns[1].type, "numeric(10,2)");
    assert_null(c->columns[2].type);
    assert_int_equal(c->rows_estimate, -1);
    return 0;
}

static void a_copy_is_deep(void **state)
{
    (void)state;
    assert_true(mf_sweep(copy, NULL, true) >= 1);
    struct mf_table t = shop();
    struct mf_table empty = {.schema = "s", .name = "t"};
    bool fits = false;
    for (size_t max = 0; max < 4096 && !fits; max += 8) {
        MF_CLEANUP_ARENA struct mf_arena arena;
        mf_arena_init(&arena, max);
        fits = mf_table_copy(&arena, &t) != NULL;
    }
    assert_true(fits);
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_arena_init(&arena, 4096);
    assert_int_equal(mf_table_copy(&arena, &empty)->ncolumns, 0);
}

static void tables_are_found(void **state)
{
    (void)state;
    struct mf_table tables[] = {shop(), shop(), shop()};
    tables[1].schema = "audit";
    tables[1].id = 8;
    tables[2].name = "Items";
    tables[2].id = 9;
    struct mf_catalog c = {.tables = tables, .n = 3};
    char label[32];
    assert_ptr_equal(mf_catalog_find(&c, "audit", "items"), &tables[1]);
    assert_ptr_equal(mf_catalog_find(&c, "public", "Items"), &tables[2]);
    assert_null(mf_catalog_find(&c, "public", "ITEMS"));
    assert_ptr_equal(mf_catalog_by_id(&c, 9), &tables[2]);
    assert_null(mf_catalog_by_id(&c, 10));
    assert_int_equal(mf_table_column(&tables[0], "price"), 1);
    assert_int_equal(mf_table_column(&tables[0], "Price"), -1);
    assert_string_equal(mf_table_label(&tables[1], label, sizeof(label)), "audit.items");
    assert_string_equal(mf_table_label(&tables[1], label, 8), "audit.i");
    mf_catalog_free(NULL);
}

static void the_nearest_name(void **state)
{
    (void)state;
    struct mf_table tables[] = {shop(), shop(), shop()};
    tables[1].schema = "audit";
    tables[2].name = "orders";
    struct mf_catalog c = {.tables = tables, .n = 3};
    static const struct {
        const char *written;
        int nearest;
    } cases[] = {{"item", 0},         {"publik.items", 0},     {"audit.itms", 1},
                 {"audits.items", 1}, {"elsewhere.orders", 2}, {"public.ordes", 2},
                 {"orders", 2},       {"customers", -1},       {"", -1},
                 {"x.", -1}};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        int want = cases[i].nearest;
        assert_ptr_equal(mf_catalog_nearest(&c, cases[i].written), want < 0 ? NULL : &tables[want]);
    }
}

static void values_compare_by_kind_and_bytes(void **state)
{
    (void)state;
    struct mf_value null = {MF_NULL, 0, NULL};
    struct mf_value unchanged = {MF_UNCHANGED, 0, NULL};
    struct mf_value empty = {MF_TEXT, 0, NULL};
    struct mf_value empty2 = {MF_TEXT, 0, "x"};
    struct mf_value a = {MF_TEXT, 3, "a\0b"};
    struct mf_value b = {MF_TEXT, 3, "a\0c"};
    struct mf_value bin = {MF_BINARY, 3, "a\0b"};
    assert_true(mf_value_equal(&null, &null));
    assert_true(mf_value_equal(&empty, &empty2));
    assert_true(mf_value_equal(&a, &a));
    assert_false(mf_value_equal(&null, &empty));
    assert_false(mf_value_equal(&null, &unchanged));
    assert_false(mf_value_equal(&a, &b));
    assert_false(mf_value_equal(&a, &bin));
    assert_false(mf_value_equal(&a, &empty));

    struct mf_value row[] = {a, null, unchanged};
    assert_true(mf_row_whole(&(struct mf_row){2, row}));
    assert_false(mf_row_whole(&(struct mf_row){3, row}));
    assert_true(mf_row_whole(&(struct mf_row){0, NULL}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape_is_of_what_travels),
        cmocka_unit_test(order_of_columns_matters),
        cmocka_unit_test(names_do_not_run_together),
        cmocka_unit_test(a_generated_column_in_front_shifts_no_key),
        cmocka_unit_test(a_copy_is_deep),
        cmocka_unit_test(tables_are_found),
        cmocka_unit_test(the_nearest_name),
        cmocka_unit_test(values_compare_by_kind_and_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
