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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
