/* Bounds of chunks of both engines as rows of values, and back. */
#include "mf_test.h"

#include "canon_types.h"

#include "connector/mysql/range.h"

#include <stdio.h>

static struct mf_column columns[3] = {{.name = "v"}, {.name = "a"}, {.name = "b"}};
static uint16_t key[2] = {1, 2};
static struct mf_table table = {.schema = "s", .name = "t", .ncolumns = 3, .columns = columns, .key = key};

static struct mf_arena arena;

static int begin(void **state)
{
    (void)state;
    mf_arena_init(&arena, (size_t)16 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mf_arena_free(&arena);
    return 0;
}

static void use(const char *a, const char *b)
{
    columns[1].type = a;
    columns[2].type = b;
    table.nkey = b ? 2 : 1;
}

static void bounds_come_back(void **state)
{
    (void)state;
    static const struct {
        const struct mf_canon_ops *o;
        const char *a, *b, *bound, *want[2];
        enum mf_value_kind kind;
    } cases[] = {
        {&pg_canon_ops, "int4", NULL, "2:42", {"42"}, MF_TEXT},
        {&pg_canon_ops, "text", "bytea", "4:a1:b4:\\x00", {"a1:b", "\\x00"}, MF_TEXT},
        {&pg_canon_ops, "text", NULL, "0:", {""}, MF_TEXT},
        {&my_canon_ops, "int(11)", NULL, "2:42", {"42"}, MF_TEXT},
        {&my_canon_ops,
         "varchar(9) charset utf8mb4",
         "datetime",
         "3:1:b19:2026-11-28 01:02:03",
         {"1:b", "2026-11-28 01:02:03"},
         MF_TEXT},
        {&my_canon_ops, "enum('x','y') charset utf8mb4", "bit(3)", "1:21:5", {"y", "5"}, MF_TEXT},
        {&my_canon_ops, "enum('x','y') charset utf8mb4", NULL, "1:0", {""}, MF_TEXT},
        {&my_canon_ops, "set('x','y','z') charset utf8mb4", NULL, "1:5", {"x,z"}, MF_TEXT},
        {&my_canon_ops, "set('x','y','z') charset utf8mb4", NULL, "1:0", {""}, MF_TEXT},
        {&my_canon_ops, "varbinary(4)", NULL, "4:41FF", {"A\xff"}, MF_BINARY},
        {&my_canon_ops, "binary(2)", "binary(1)", "4:41420:", {"AB", ""}, MF_BINARY},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct mf_row row;
        struct mf_error err = {0};
        MF_CLEANUP_BUF struct mf_buf b = {.max = 10000};
        use(cases[i].a, cases[i].b);
        assert_mf_ok(cases[i].o->bound_get(&table, cases[i].bound, &arena, &row, &err), &err);
        assert_int_equal(row.n, table.nkey);
        for (uint16_t k = 0; k < row.n; k++) {
            assert_int_equal(row.values[k].kind, cases[i].kind);
            assert_int_equal(row.values[k].len, strlen(cases[i].want[k]));
            assert_memory_equal(row.values[k].data, cases[i].want[k], row.values[k].len);
        }
        assert_mf_ok(cases[i].o->bound_put(&table, &row, &b, &err), &err);
        assert_string_equal(mf_buf_str(&b), cases[i].bound);
    }
    /* A text with NUL bytes is hexadecimal in a bound. */
    MF_CLEANUP_BUF struct mf_buf b = {.max = 10000};
    struct mf_value nul = {.kind = MF_TEXT, .len = 3, .data = "a\0b"};
    struct mf_row row = {.n = 1, .values = &nul}, got;
    struct mf_error err = {0};
    use("varchar(9) charset utf8mb4", NULL);
    assert_mf_ok(my_bound_put(&table, &row, &b, &err), &err);
    assert_string_equal(mf_buf_str(&b), "x6:610062");
    assert_mf_ok(my_bound_get(&table, mf_buf_str(&b), &arena, &got, &err), &err);
    assert_int_equal(got.values[0].len, 3);
    assert_memory_equal(got.values[0].data, "a\0b", 3);
}

static void what_is_no_bound(void **state)
{
    (void)state;
    static const struct {
        const struct mf_canon_ops *o;
        const char *a, *bound;
    } cases[] = {
        {&pg_canon_ops, "int4", ""},
        {&pg_canon_ops, "int4", "2:4"},
        {&pg_canon_ops, "int4", "x"},
        {&pg_canon_ops, "int4", "1:42"},
        {&pg_canon_ops, "int4", "-1:4"},
        {&pg_canon_ops, "int4", "99999999999999999999:4"},
        {&my_canon_ops, "int(11)", ""},
        {&my_canon_ops, "int(11)", "2:4"},
        {&my_canon_ops, "int(11)", "1:42"},
        {&my_canon_ops, "int(11)", "9999999999999999999999:4"},
        {&my_canon_ops, "enum('x') charset utf8mb4", "1:2"},
        {&my_canon_ops, "enum('x') charset utf8mb4", "1:x"},
        {&my_canon_ops, "set('x') charset utf8mb4", "1:2"},
        {&my_canon_ops, "binary(1)", "1:4"},
        {&my_canon_ops, "binary(1)", "2:zz"},
        {&my_canon_ops, "varchar(9) charset utf8mb4", "x2:zz"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct mf_row row;
        struct mf_error err = {0};
        use(cases[i].a, NULL);
        assert_mf_fails(cases[i].o->bound_get(&table, cases[i].bound, &arena, &row, &err), &err, MF_FATAL, "bound");
        assert_string_equal(err.code, "MFCHUNK");
    }
}

static void what_makes_no_bound(void **state)
{
    (void)state;
    static char longest[MF_CHUNK_BOUND];
    memset(longest, 'x', sizeof longest);
    const struct {
        const struct mf_canon_ops *o;
        const char *a;
        struct mf_value v;
    } cases[] = {
        {&pg_canon_ops, "int4", {.kind = MF_NULL}},
        {&pg_canon_ops, "int4", {.kind = MF_UNCHANGED}},
        {&pg_canon_ops, "text", {.kind = MF_TEXT, .len = 1, .data = ""}},
        {&pg_canon_ops, "text", {.kind = MF_TEXT, .len = sizeof longest, .data = longest}},
        {&my_canon_ops, "int(11)", {.kind = MF_NULL}},
        {&my_canon_ops, "int(11)", {.kind = MF_BINARY, .len = 1, .data = "1"}},
        {&my_canon_ops, "binary(1)", {.kind = MF_TEXT, .len = 1, .data = "1"}},
        {&my_canon_ops, "enum('x') charset utf8mb4", {.kind = MF_TEXT, .len = 1, .data = "X"}},
        {&my_canon_ops, "set('x') charset utf8mb4", {.kind = MF_TEXT, .len = 2, .data = "x,"}},
        {&my_canon_ops, "longtext charset utf8mb4", {.kind = MF_TEXT, .len = sizeof longest, .data = longest}},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 10000};
        struct mf_value v = cases[i].v;
        struct mf_row row = {.n = 1, .values = &v}, none = {0};
        struct mf_error err = {0};
        use(cases[i].a, NULL);
        assert_mf_fails(cases[i].o->bound_put(&table, &row, &b, &err), &err, MF_FATAL, "bound");
        assert_string_equal(err.code, "MFCHUNK");
        assert_mf_fails(cases[i].o->bound_put(&table, &none, &b, &err), &err, MF_FATAL, "one value for each");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_come_back),
        cmocka_unit_test(what_is_no_bound),
        cmocka_unit_test(what_makes_no_bound),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
