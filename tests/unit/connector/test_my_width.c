/* How much room columns get in a MySQL row and in its indexes. */
#include "connector/mysql/make_width.h"
#include "mf_test.h"

#include <string.h>

static struct mf_schema_column text(const char *name, uint32_t length)
{
    return (struct mf_schema_column){.name = name, .type = {.kind = MF_KIND_TEXT, .length = length}};
}

static struct mf_schema_column number(const char *name)
{
    return (struct mf_schema_column){.name = name, .type = {.kind = MF_KIND_INT, .bits = 64}};
}

static void test_a_unique_index_is_shared(void **state)
{
    struct mf_schema_column c[] = {number("n"), text("short", 50), text("a", 0), text("b", 2000), text("alone", 0)};
    const struct mf_schema_index_column in[] = {{.column = 0}, {.column = 1}, {.column = 2}, {.column = 3}};
    const struct mf_schema_index_column two[] = {{.column = 4}};
    struct mf_schema_index x[] = {{.unique = true, .n = 4, .columns = in}, {.unique = true, .n = 1, .columns = two}};
    struct mf_schema_table t = {.ncolumns = 5, .columns = c, .nindexes = 2, .indexes = x};
    struct my_width w[5];
    (void)state;
    my_make_widths(&t, MY_INDEX_BYTES, w);
    assert_int_equal(w[0].unit, MY_WIDTH_OWN);
    assert_true(w[1].n == 50 && !w[1].cut); /* what it does not need goes to the others */
    assert_true(w[2].n == (3072 - 8 - 200) / 2 / 4 && w[2].cut);
    assert_true(w[3].n == w[2].n && w[3].cut);
    assert_true(w[4].n == 768 && w[4].cut);
    assert_int_equal(8 + (w[1].n + w[2].n + w[3].n) * 4, 3072);
    my_make_widths(&t, 767, w);
    assert_true(w[4].n == 191);
}

static void test_the_least_of_several_indexes(void **state)
{
    struct mf_schema_column c[] = {text("a", 0), text("b", 0)};
    const struct mf_schema_index_column one[] = {{.column = 0}}, both[] = {{.column = 0}, {.column = 1}};
    struct mf_schema_index x[] = {{.unique = true, .n = 1, .columns = one}, {.unique = true, .n = 2, .columns = both}};
    const uint16_t refers[] = {1};
    struct mf_schema_foreign f = {.n = 1, .columns = refers};
    struct mf_schema_table t = {.ncolumns = 2, .columns = c, .nindexes = 2, .indexes = x, .nforeign = 1, .foreign = &f};
    struct my_width w[2];
    (void)state;
    my_make_widths(&t, MY_INDEX_BYTES, w);
    assert_true(w[0].n == 384 && w[1].n == 384);
    t.nindexes = 0;
    my_make_widths(&t, MY_INDEX_BYTES, w);
    assert_true(w[0].n == 0 && w[1].n == 768); /* a foreign key needs all of it too */
}

static void test_a_row_has_room(void **state)
{
    struct mf_schema_column c[] = {text("a", 9000), text("b", 16000), text("c", 10), text("d", 20000)};
    struct mf_schema_table t = {.ncolumns = 4, .columns = c};
    struct my_width w[4];
    (void)state;
    my_make_widths(&t, MY_INDEX_BYTES, w);
    assert_true(w[0].n == 9000 && w[1].n == 0 && w[2].n == 10 && w[3].n == 0);
    struct mf_schema_column many[40];
    struct my_width widths[40];
    struct mf_schema_index_column parts[40];
    struct mf_schema_index indexes[40];
    for (uint16_t i = 0; i < 40; i++) {
        many[i] = text("x", 0);
        parts[i] = (struct mf_schema_index_column){.column = i};
        indexes[i] = (struct mf_schema_index){.unique = true, .n = 1, .columns = &parts[i]};
    }
    t = (struct mf_schema_table){.ncolumns = 40, .columns = many, .nindexes = 40, .indexes = indexes};
    my_make_widths(&t, MY_INDEX_BYTES, widths);
    uint32_t sum = 0;
    for (uint16_t i = 0; i < 40; i++) {
        sum += widths[i].n * 4 + 3;
        assert_true(widths[i].n > 0 && widths[i].cut);
    }
    assert_true(sum <= 65535);
}

static void test_prefixes(void **state)
{
    struct mf_schema_column c[] = {text("long", 0), text("short", 100), number("n")};
    const struct mf_schema_index_column in[] = {{.column = 0}, {.column = 1}, {.column = 2}};
    const struct mf_schema_index_column asked[] = {{.column = 0, .prefix = 20}};
    struct mf_schema_index x = {.n = 3, .columns = in}, y = {.n = 1, .columns = asked};
    struct mf_schema_table t = {.ncolumns = 3, .columns = c, .nindexes = 1, .indexes = &x};
    struct my_width w[3];
    (void)state;
    my_make_widths(&t, MY_INDEX_BYTES, w);
    assert_int_equal(my_make_prefix(&t, w, &x, 0, MY_INDEX_BYTES), 255);
    assert_int_equal(my_make_prefix(&t, w, &x, 1, MY_INDEX_BYTES), 0);
    assert_int_equal(my_make_prefix(&t, w, &x, 2, MY_INDEX_BYTES), 0);
    assert_int_equal(my_make_prefix(&t, w, &y, 0, MY_INDEX_BYTES), 20);
    uint32_t first = my_make_prefix(&t, w, &x, 0, 767), second = my_make_prefix(&t, w, &x, 1, 767);
    assert_true(first > 90 && second > 90 && (first + second) * 4 + 8 <= 767);
}

static void test_labels_that_an_enum_cannot_have(void **state)
{
    static const char *const good[] = {"a", "b,c"}, *const blank[] = {"a", "b "}, *const empty[] = {"a", ""};
    struct mf_type t = {.kind = MF_KIND_ENUM, .nlabels = 2, .labels = good};
    (void)state;
    assert_true(my_make_enum_fits(&t));
    t.labels = blank;
    assert_false(my_make_enum_fits(&t));
    t.labels = empty;
    assert_false(my_make_enum_fits(&t));
    t.nlabels = 0;
    assert_false(my_make_enum_fits(&t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_unique_index_is_shared),
        cmocka_unit_test(test_the_least_of_several_indexes),
        cmocka_unit_test(test_a_row_has_room),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_labels_that_an_enum_cannot_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
