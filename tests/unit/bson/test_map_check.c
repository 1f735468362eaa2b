/* A map held against documents: what is refused is counted by path and reason, with the first one; what nobody fills is seen. */
#include "doc.h"

#include "bson/map_check.h"

static const char map[] = "map:\n"
                          "  - collection: shop.users\n"
                          "    columns:\n"
                          "      - {path: _id, column: id, type: int}\n"
                          "      - {path: name, type: string(5)}\n"
                          "      - {path: age, type: int32, missing: null}\n"
                          "      - {path: nick, type: string(5), missing: null}\n"
                          "    tables:\n"
                          "      - path: orders\n"
                          "        missing: empty\n"
                          "        columns:\n"
                          "          - {path: sku, type: string(5)}\n"
                          "      - {path: settings, kind: map, missing: empty, columns: [{path: \".\", type: int32}]}\n"
                          "      - {path: tags, missing: empty, columns: [{path: \".\", type: string}]}\n"
                          "    ignore: [_class, orders.old]\n";

static void give(struct doc *d, struct mf_map_check *c, const char *json)
{
    struct mf_value v = doc_of(d, json);
    assert_mf_ok(mf_map_check_add(c, &v, &d->err), &d->err);
}

static const struct mf_map_reason *reason(const struct mf_map_check *c, const char *path)
{
    for (size_t i = 0; i < c->nreasons; i++) {
        if (strcmp(c->reasons[i].path, path) == 0) {
            return &c->reasons[i];
        }
    }
    fail_msg("nothing is refused at %s", path);
    abort();
}

static void give_first(struct doc *d, struct mf_map_check *c)
{
    give(
        d, c,
        "{\"_id\":1,\"name\":\"a\",\"_class\":\"x\",\"orders\":[{\"sku\":\"a\",\"old\":1},{\"sku\":\"b\",\"old\":2}]}");
    give(d, c,
         "{\"_id\":2,\"name\":\"abcdef\",\"age\":\"x\",\"orders\":[{\"sku\":1},{\"sku\":2}],\"settings\":{\"a\":\"x\","
         "\"b\":\"y\"}}");
}

static void give_second(struct doc *d, struct mf_map_check *c)
{
    give(d, c, "{\"_id\":3,\"name\":\"abcdefg\",\"more\":true}");
    give(d, c, "{\"_id\":4,\"name\":\"abc\",\"age\":3,\"_class\":\"x\"}");
    const struct mf_value broken = {MF_BINARY, 4, "abcd"};
    assert_mf_ok(mf_map_check_add(c, &broken, &d->err), &d->err);
}

static void is_right(const struct mf_map_check *c)
{
    assert_int_equal(c->documents, 5);
    assert_int_equal(c->refused, 3);
    const struct mf_map_reason *r = reason(c, "name");
    assert_int_equal(r->documents, 2);
    assert_string_equal(r->why, "it is longer than the column");
    assert_string_equal(r->id, "2");
    assert_string_equal(r->value, "\"abcdef\" (string)");
    r = reason(c, "orders[].sku");
    assert_int_equal(r->documents, 1);
    assert_int_equal(r->values, 2);
    r = reason(c, "settings.*");
    assert_int_equal(r->values, 2);
    assert_string_equal(reason(c, "more")->why, "the map does not speak of it");
    assert_int_equal(reason(c, "")->documents, 1);
    assert_int_equal(c->nreasons, 6);
    /* Of what was taken. */
    assert_int_equal(c->rows[0], 2);
    assert_int_equal(c->rows[1], 2);
    assert_int_equal(c->rows[2], 0);
    assert_int_equal(c->columns[0][1].filled, 2);
    assert_int_equal(c->columns[0][1].chars, 3);
    assert_int_equal(c->columns[0][2].filled, 1);
    assert_int_equal(c->columns[0][3].filled, 0);
    assert_int_equal(c->ignored[0], 2);
    assert_int_equal(c->ignored[1], 1);
}

static void test_counts(void **state)
{
    (void)state;
    struct doc d;
    doc_open(&d, map);
    struct mf_map_check *c = mf_map_check_new(d.c, d.config->documents->collections);
    give_first(&d, c);
    give_second(&d, c);
    is_right(c);
    mf_map_check_free(c);
    doc_close(&d);
}

static void test_merged(void **state)
{
    (void)state;
    struct doc d;
    doc_open(&d, map);
    struct mf_map_check *a = mf_map_check_new(d.c, d.config->documents->collections);
    struct mf_map_check *b = mf_map_check_new(d.c, d.config->documents->collections);
    give_first(&d, a);
    give_second(&d, b);
    mf_map_check_merge(a, b);
    is_right(a);
    mf_map_check_free(a);
    mf_map_check_free(b);
    doc_close(&d);
}

static int no_three(const void *ctx, const struct mf_type *t, struct mf_arena *arena, const struct mf_value *v,
                    struct mf_error *err)
{
    (void)ctx, (void)arena;
    return t->kind == MF_KIND_INT && v->len == 1 && v->data[0] == '3' ? mf_fail(err, MF_ROW, "MFVALUE", "3 is odd") : 0;
}

/* What the map takes and the target has no place for. */
static void test_what_the_target_refuses(void **state)
{
    (void)state;
    struct doc d;
    doc_open(&d, map);
    struct mf_map_check *c = mf_map_check_new(d.c, d.config->documents->collections);
    c->target.fits = no_three;
    give(&d, c, "{\"_id\":1,\"name\":\"a\",\"age\":3}");
    give(&d, c, "{\"_id\":2,\"name\":\"a\",\"age\":4,\"settings\":{\"a\":3,\"b\":3}}");
    give(&d, c, "{\"_id\":4,\"name\":\"3\",\"age\":4}");
    assert_int_equal(c->refused, 2);
    assert_int_equal(c->rows[0], 1);
    assert_int_equal(reason(c, "users.age")->documents, 1);
    assert_string_equal(reason(c, "users.age")->id, "1");
    assert_string_equal(reason(c, "users.age")->value, "3 is odd");
    assert_int_equal(reason(c, "users_settings.value")->documents, 1);
    assert_int_equal(reason(c, "users_settings.value")->values, 2);
    mf_map_check_free(c);
    doc_close(&d);
}

/* Reasons have a bound. */
static void test_bounded(void **state)
{
    (void)state;
    struct doc d;
    char json[80];
    doc_open(&d, map);
    struct mf_map_check *c = mf_map_check_new(d.c, d.config->documents->collections);
    for (int i = 0; i < 1000; i++) {
        snprintf(json, sizeof json, "{\"_id\":%d,\"name\":\"a\",\"f%d\":1}", i, i);
        give(&d, c, json);
    }
    assert_int_equal(c->nreasons, MF_MAP_REASONS);
    assert_int_equal(c->others, 1000 - MF_MAP_REASONS);
    assert_int_equal(c->refused, 1000);
    mf_map_check_free(c);
    doc_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_merged),
        cmocka_unit_test(test_what_the_target_refuses),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
