/* Tables in CQL, tables that are there already, and the catalogue's rows as a table. */
#include "mf_test.h"

#include "connector/cassandra/catalog.h"
#include "connector/cassandra/make.h"

#include <string.h>

#define INT(b)                                                                                                         \
    {                                                                                                                  \
        .kind = MF_KIND_INT, .bits = (b)                                                                               \
    }

static struct mf_schema_column columns[] = {
    {.name = "id", .type = INT(64), .not_null = true, .counter = true},
    {.name = "At", .type = {.kind = MF_KIND_INSTANT, .scale = 6}, .not_null = true},
    {.name = "select", .type = {.kind = MF_KIND_TEXT}, .defaulted = MF_DEFAULT_VALUE, .default_text = "x"},
    {.name = "sum", .type = INT(64), .generated = true},
    {.name = "say \"hi\"", .type = {.kind = MF_KIND_JSON}, .comment = "c"},
};
static const struct mf_schema_index_column by_id[] = {{.column = 0}},
                                           by_id_at[] = {{.column = 0}, {.column = 1, .descending = true}},
                                           by_three[] = {{.column = 0}, {.column = 1}, {.column = 2}},
                                           by_sum[] = {{.column = 3}}, by_text[] = {{.column = 2}};
static const uint16_t first[] = {0};
static const char *const there[] = {"id"};

static struct mf_schema_index key(uint16_t n, const struct mf_schema_index_column *c)
{
    return (struct mf_schema_index){
        .name = "pk", .unique = true, .primary = true, .is_key = true, .n = n, .columns = c};
}

static struct mf_schema_table table(struct mf_schema_index *x, size_t n)
{
    return (struct mf_schema_table){
        .schema = "shop", .name = "Orders", .ncolumns = 5, .columns = columns, .nindexes = n, .indexes = x};
}

static void assert_made(const struct mf_schema_table *t, const char *want)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 10000};
    struct mf_error err = {0};
    assert_mf_ok(cass_put_table(t, &b, &err), &err);
    assert_string_equal(mf_buf_str(&b), want);
}

static void tables(void **state)
{
    (void)state;
    struct mf_schema_index x = key(1, by_id);
    struct mf_schema_table t = table(&x, 1);
    assert_made(
        &t, "CREATE TABLE IF NOT EXISTS \"shop\".\"Orders\" (\n  \"id\" bigint,\n  \"At\" text,\n  \"select\" text,\n"
            "  \"say \"\"hi\"\"\" text,\n  PRIMARY KEY (\"id\")\n)");
    x = key(2, by_id_at);
    t.comment = "it's";
    columns[1].wanted_type = "timestamp";
    columns[2].is_static = true;
    assert_made(&t, "CREATE TABLE IF NOT EXISTS \"shop\".\"Orders\" (\n  \"id\" bigint,\n  \"At\" timestamp,\n"
                    "  \"select\" text STATIC,\n  \"say \"\"hi\"\"\" text,\n  PRIMARY KEY (\"id\", \"At\")\n)"
                    " WITH CLUSTERING ORDER BY (\"At\" DESC) AND comment = 'it''s'");
    columns[1].wanted_type = NULL;
    columns[2].is_static = false;
    t.comment = NULL;
    x = key(3, by_three);
    t.npartition = 2;
    assert_made(
        &t, "CREATE TABLE IF NOT EXISTS \"shop\".\"Orders\" (\n  \"id\" bigint,\n  \"At\" text,\n  \"select\" text,\n"
            "  \"say \"\"hi\"\"\" text,\n  PRIMARY KEY ((\"id\", \"At\"), \"select\")\n)");
    t.npartition = 9;
    assert_int_equal(cass_partition_of(&t, &x), 3);
}

static void tables_that_cannot_be(void **state)
{
    (void)state;
    struct mf_schema_index x = key(1, by_id), computed = key(1, by_sum);
    struct mf_schema_table keyless = table(&x, 0), t = table(&x, 1), of_sum = table(&computed, 1);
    MF_CLEANUP_BUF struct mf_buf b = {.max = 10000};
    struct mf_error err = {0};
    assert_mf_fails(cass_put_table(&keyless, &b, &err), &err, MF_FATAL, "no key");
    assert_mf_fails(cass_put_table(&of_sum, &b, &err), &err, MF_FATAL, "computed");
    t.name = "a_name_of_49_characters_is_one_too_many_for_cassan";
    assert_mf_fails(cass_put_table(&t, &b, &err), &err, MF_FATAL, "48");
    t.name = "order-lines";
    assert_mf_fails(cass_put_table(&t, &b, &err), &err, MF_FATAL, "character");
    t.name = "orders";
    t.schema = "caf\xc3\xa9";
    assert_mf_fails(cass_put_table(&t, &b, &err), &err, MF_FATAL, "character");
    t.schema = "shop";
    columns[0].wanted_type = "date";
    assert_mf_fails(cass_put_table(&t, &b, &err), &err, MF_FATAL,
                    "of type date, which does not hold the source's int(64)");
    assert_string_equal(err.code, "MFDDL");
    columns[0].wanted_type = "timestmp";
    assert_mf_fails(cass_put_table(&t, &b, &err), &err, MF_FATAL, "timestmp is no type here; did you mean timestamp?");
    columns[0].wanted_type = NULL;
    keyless.name = "a.b";
    keyless.schema = "shop";
    assert_mf_fails(cass_put_table(&keyless, &b, &err), &err, MF_FATAL, "character");
    assert_non_null(strstr(err.hint, "leave it out (tables.exclude: ['\"a.b\"'])"));
}

static void tables_that_are_there(void **state)
{
    (void)state;
    struct cass_column_row rows[] = {
        {"shop", "Orders", "say \"hi\"", "text", "regular", -1, 0},
        {"shop", "Orders", "At", "text", "clustering", 0, 0},
        {"shop", "Orders", "id", "bigint", "partition_key", 0, 0},
        {"shop", "Orders", "select", "text", "regular", -1, 5},
        {"shop", "Orders", "more", "int", "regular", -1, 0},
    };
    struct mf_schema_index x = key(2, by_id_at);
    struct mf_schema_table t = table(&x, 1);
    struct mf_table here;
    struct mf_arena arena;
    struct mf_error err = {0};
    mf_arena_init(&arena, 1 << 20);
    assert_true(cass_table_build(&arena, rows, MF_ARRAY_LEN(rows), &here));
    assert_string_equal(here.columns[0].name, "id");
    assert_string_equal(here.columns[1].name, "At");
    assert_string_equal(here.columns[2].name, "more");
    assert_int_equal(here.nkey, 2);
    assert_int_equal(here.npartition, 1);
    assert_int_equal(here.columns[2].number, 1);
    assert_int_not_equal(here.columns[4].number, 1);
    assert_true(here.columns[1].in_key && here.columns[1].not_null && !here.columns[2].in_key);
    assert_mf_ok(cass_table_usable(&t, &here, &err), &err);
    rows[0].type = "int";
    assert_true(cass_table_build(&arena, rows, MF_ARRAY_LEN(rows), &here));
    assert_mf_fails(cass_table_usable(&t, &here, &err), &err, MF_FATAL, "is a int, which does not hold a json");
    rows[0].type = "text";
    rows[1].kind = "regular";
    assert_true(cass_table_build(&arena, rows, MF_ARRAY_LEN(rows), &here));
    assert_mf_fails(cass_table_usable(&t, &here, &err), &err, MF_FATAL, "not part of its key");
    rows[1].kind = rows[4].kind = "clustering";
    rows[4].position = 1;
    assert_true(cass_table_build(&arena, rows, MF_ARRAY_LEN(rows), &here));
    assert_mf_fails(cass_table_usable(&t, &here, &err), &err, MF_FATAL, "\"more\" of it is part of its key");
    assert_true(cass_table_build(&arena, rows + 1, MF_ARRAY_LEN(rows) - 2, &here));
    assert_mf_fails(cass_table_usable(&t, &here, &err), &err, MF_FATAL, "is missing");
    assert_string_equal(err.code, "MFSHAPE");
    mf_arena_free(&arena);
}

static void shapes(void **state)
{
    (void)state;
    struct cass_column_row rows[] = {{"s", "t", "k", "int", "partition_key", 0, 0},
                                     {"s", "t", "a", "text", "regular", -1, 0},
                                     {"s", "t", "b", "text", "regular", -1, 0}};
    struct mf_table was, now;
    struct mf_arena arena;
    struct mf_error err = {0};
    mf_arena_init(&arena, 1 << 20);
    assert_true(cass_table_build(&arena, rows, 2, &was));
    assert_true(cass_table_build(&arena, rows, 3, &now));
    assert_mf_ok(cass_shape_agrees(&now, &was, &err), &err);
    assert_mf_fails(cass_shape_agrees(&was, &now, &err), &err, MF_FATAL, "\"b\" of table s.t is not there");
    rows[1].dropped_ms = 1764414000000;
    assert_true(cass_table_build(&arena, rows, 3, &now));
    assert_mf_fails(cass_shape_agrees(&now, &was, &err), &err, MF_FATAL, "made again");
    rows[1].dropped_ms = 0;
    rows[1].type = "blob";
    assert_true(cass_table_build(&arena, rows, 3, &now));
    assert_mf_fails(cass_shape_agrees(&now, &was, &err), &err, MF_FATAL, "another type");
    mf_arena_free(&arena);
}

static const struct mf_finding *find(const struct mf_findings *f, const char *code)
{
    for (size_t i = 0; i < mf_findings_count(f); i++) {
        if (strcmp(mf_findings_at(f, i)->code, code) == 0) {
            return mf_findings_at(f, i);
        }
    }
    fail_msg("no finding %s", code);
    return NULL;
}

static void what_is_not_made_is_told(void **state)
{
    (void)state;
    struct mf_schema_index x[] = {key(1, by_id),
                                  {.name = "u", .unique = true, .n = 1, .columns = by_text},
                                  {.name = "i", .n = 1, .columns = by_text}};
    struct mf_schema_foreign f = {
        .name = "fk", .ref_schema = "shop", .ref_table = "customers", .n = 1, .columns = first, .ref_columns = there};
    struct mf_schema_table t = table(x, 3);
    struct mf_schema s = {.ntables = 1, .tables = &t};
    struct mf_findings *out = mf_findings_new();
    t.nforeign = 1;
    t.foreign = &f;
    cass_tell_columns(&s, out);
    cass_tell_indexes(&s, out);
    assert_non_null(strstr(find(out, "conversion-counter")->reason, "shop.Orders.id"));
    assert_non_null(strstr(find(out, "conversion-default")->reason, "shop.Orders.select"));
    assert_non_null(strstr(find(out, "conversion-not-null")->reason, "shop.Orders.At"));
    assert_non_null(strstr(find(out, "conversion-comment")->reason, "say"));
    assert_non_null(strstr(find(out, "conversion-unique")->reason, "u (select)"));
    assert_non_null(strstr(find(out, "conversion-index")->reason, "i (select)"));
    assert_non_null(strstr(find(out, "conversion-foreign-key")->reason, "shop.customers"));
    mf_findings_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables), cmocka_unit_test(tables_that_cannot_be),    cmocka_unit_test(tables_that_are_there),
        cmocka_unit_test(shapes), cmocka_unit_test(what_is_not_made_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
