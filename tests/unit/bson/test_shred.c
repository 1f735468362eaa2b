/* Documents to rows and back, rule by rule. */
#include "doc.h"

static const char users[] =
    "map:\n"
    "  - collection: shop.users\n"
    "    to: users\n"
    "    columns:\n"
    "      - {path: _id, column: id, type: int}\n"
    "      - {path: name, type: string(5)}\n"
    "      - {path: address.city, type: string(80), missing: null}\n"
    "      - {path: address, present: has_address}\n"
    "      - {path: age, type: int32, wrong: coerce, missing: default, default: 7}\n"
    "    tables:\n"
    "      - path: orders\n"
    "        to: user_orders\n"
    "        missing: empty\n"
    "        columns:\n"
    "          - {path: total, type: \"decimal(10,2)\"}\n"
    "        tables:\n"
    "          - {path: lines, to: order_lines, columns: [{path: \".\", column: sku, type: string}]}\n"
    "      - {path: settings, to: user_settings, kind: map, missing: empty, columns: [{path: \".\", type: json}]}\n"
    "      - {path: profile, to: user_profiles, kind: one, columns: [{path: bio, type: string, missing: null}]}\n"
    "    ignore: [_class]\n"
    "    rest: extra\n";

static void well_known(void **state)
{
    (void)state;
    struct doc d;
    doc_open(&d, users);
    doc_good_json(&d, "{\"_id\":1,\"name\":\"a\"}", "users: 1|a|NULL|0|7|NULL");
    doc_good_json(&d, "{\"_id\":1,\"name\":\"a\",\"address\":{},\"_class\":\"x\"}", "users: 1|a|NULL|1|7|NULL");
    doc_good_json(
        &d,
        "{\"name\":\"a\",\"address\":{\"city\":\"x\",\"zip\":3},\"age\":{\"$numberLong\":\"3\"},\"_id\":1,\"foo\":[1]}",
        "users: 1|a|x|1|3|{\"address\":{\"zip\":{\"$numberInt\":\"3\"}},\"foo\":[{\"$numberInt\":\"1\"}]}");
    doc_good_json(
        &d,
        "{\"orders\":[{\"total\":{\"$numberDecimal\":\"1.50\"},\"lines\":[\"a\",\"b\"]},{\"total\":{\"$numberDecimal\":"
        "\"3\"},"
        "\"lines\":[]}],\"settings\":{\"z\":null,\"a.b\":5,\"\":\"x\"},\"profile\":{},\"_id\":2,\"name\":\"b\"}",
        "users: 2|b|NULL|0|7|NULL; user_orders: 2|0|1.5; user_orders: 2|1|3; order_lines: 2|0|0|a; order_lines: "
        "2|0|1|b; "
        "user_settings: 2|z|null; user_settings: 2|a.b|{\"$numberInt\":\"5\"}; user_settings: 2||\"x\"; user_profiles: "
        "2|NULL");
    doc_bad(&d, "{\"_id\":1,\"name\":\"abcdef\",\"age\":\"x\",\"address\":null,\"orders\":[{\"lines\":[1]}]}",
            "name: \"abcdef\" (string): it is longer than the column; age: \"x\" (string): it is no whole number; "
            "address: null (null): it is null, and "
            "the map says a sub-document; orders[0].lines[0]: 1 (int32): the map says a string; orders[0].total: it is "
            "missing");
    doc_close(&d);
}

/* What stands between the fences. */
static char *block(char *page, const char *fence)
{
    char *from = strstr(page, fence), *to = from ? strstr(from, "\n```\n") : NULL;
    if (!to) {
        fail_msg("the page has no %s", fence);
        return page;
    }
    *to = '\0';
    return from + strlen(fence);
}

/* The map and the message that the guide shows. */
static void the_guides_example(void **state)
{
    (void)state;
    struct doc d;
    char page[20000];
    FILE *f = fopen(MF_TEST_DATA "/../../../docs/guide/documents.md", "r");
    assert_non_null(f);
    page[fread(page, 1, sizeof page - 1, f)] = '\0';
    fclose(f);
    char *yaml = block(page, "```yaml\n"), *shown = block(yaml + strlen(yaml) + 1, "```text\n");
    doc_open(&d, yaml);
    doc_good_json(
        &d,
        "{\"_id\":{\"$oid\":\"386d43800000000000000000\"},\"name\":\"Ada\",\"address\":{\"city\":\"London\",\"zip\":5},"
        "\"orders\":[{\"total\":{\"$numberDecimal\":\"9.50\"},\"skus\":[\"x\"]}],\"settings\":{\"theme\":\"dark\"},"
        "\"profile\":{\"bio\":\"b\"},\"_class\":\"User\"}",
        "users: 386d43800000000000000000|2000-01-01 "
        "00:00:00|Ada|1|London|0|{\"address\":{\"zip\":{\"$numberInt\":\"5\"}}}; "
        "user_orders: 386d43800000000000000000|0|9.5; user_orders_skus: 386d43800000000000000000|0|0|x; "
        "users_settings: 386d43800000000000000000|theme|dark; users_profile: 386d43800000000000000000|b");
    struct mf_value v = doc_of(
        &d, "{\"_id\":{\"$oid\":\"386d43800000000000000000\"},\"orders\":[{\"total\":\"12\",\"note\":7,\"skus\":[]}]}");
    struct mf_shred_rows rows;
    assert_mf_fails(mf_shred_document(d.c, &d.arena, &v, &rows, &d.err), &d.err, MF_ROW, "");
    MF_CLEANUP_BUF struct mf_buf reasons = {.max = 10000}, as_shown = {.max = 10000};
    mf_shred_reasons(d.c, &d.arena, &v, &reasons);
    mf_buf_puts(&as_shown, "reason");
    for (char *line = strtok(reasons.data, "\n"); line; line = strtok(NULL, "\n")) {
        mf_buf_printf(&as_shown, "\n    %s", line);
    }
    assert_string_equal(mf_buf_str(&as_shown), shown);
    doc_close(&d);
}

/* A map's keys come in any order, and the normal form has one. */
static void order_of_keys(void **state)
{
    (void)state;
    struct doc d;
    doc_open(&d, users);
    doc_normal(&d, "{\"settings\":{\"b\":1,\"a\":2,\"\":3,\"B\":4},\"name\":\"x\",\"_id\":{\"$numberLong\":\"5\"}}",
               "{\"_id\":5,\"name\":\"x\",\"age\":7,\"orders\":[],\"settings\":{\"\":3,\"B\":4,\"a\":2,\"b\":1}}");
    doc_close(&d);
}

/* What an application inserts that leaves out what it may. */
static void rows_of_an_application(void **state)
{
    (void)state;
    struct doc d;
    struct mf_shred_rows rows;
    struct mf_value back, v;
    doc_open(&d, "map:\n  - collection: d.c\n    columns:\n      - {path: _id, type: objectid, time: at}\n"
                 "      - {path: address, present: has_address, null: null}\n"
                 "      - {path: address.city, type: string, missing: null}\n"
                 "      - {path: note, present: has_note}\n      - {path: note.x, type: int, missing: null}\n"
                 "      - {path: price, type: \"decimal(8,2)\"}\n    tables:\n"
                 "      - {path: tags, to: tags, missing: empty, columns: [{path: \".\", type: int}]}\n"
                 "      - {path: m, to: m, kind: map, missing: empty, columns: [{path: \".\", type: int}]}\n");
    const struct mf_table *t = d.c->tables[0].table;
    const char *const nullable[] = {"has_address", "address_city", "note_x"};
    for (uint16_t i = 0, n = 0; i < t->ncolumns; i++) {
        bool null = n < MF_ARRAY_LEN(nullable) && strcmp(t->columns[i].name, nullable[n]) == 0;
        assert_int_equal(t->columns[i].not_null, !null);
        n += null;
    }
    v = doc_of(&d, "{\"_id\":{\"$oid\":\"386d43800000000000000000\"},\"price\":{\"$numberDecimal\":\"1.50\"}}");
    assert_mf_ok(mf_shred_document(d.c, &d.arena, &v, &rows, &d.err), &d.err);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (strcmp(t->columns[i].name, "has_address") == 0) {
            rows.of[0].rows[0].values[i] = (struct mf_value){.kind = MF_NULL};
        }
    }
    assert_mf_ok(mf_shred_rebuild(d.c, &d.arena, &rows, &back, &d.err), &d.err);
    assert_string_equal(doc_json(&d, &back),
                        "{ \"_id\" : { \"$oid\" : \"386d43800000000000000000\" }, \"address\" : null, \"price\" : { "
                        "\"$numberDecimal\" : \"1.5\" }, \"tags\" : [  ], \"m\" : {  } }");
    doc_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_known),
        cmocka_unit_test(the_guides_example),
        cmocka_unit_test(order_of_keys),
        cmocka_unit_test(rows_of_an_application),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
