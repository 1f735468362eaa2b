/* Bytes that are no document, maps that cannot be, and documents of unusual size. */
#include "doc.h"

#include "bson/elem.h"

#include <stdlib.h>

static const char any_map[] =
    "map:\n  - collection: d.c\n    columns:\n      - {path: _id, type: id(100)}\n    rest: extra\n";

static void bytes_refused(struct doc *d, const void *p, size_t n, const char *why)
{
    const struct mf_value v = {MF_BINARY, (uint32_t)n, p};
    struct mf_shred_rows rows;
    assert_mf_fails(mf_shred_document(d->c, &d->arena, &v, &rows, &d->err), &d->err, MF_ROW, why);
}

static void bad_bytes(void **state)
{
    (void)state;
    struct doc d;
    doc_open(&d, any_map);
#define BYTES(why, s) bytes_refused(&d, s, sizeof(s) - 1, why)
    BYTES("its length is wrong", "");
    BYTES("its length is wrong", "\x05\0\0\0");
    BYTES("its length is wrong", "\x06\0\0\0\0");
    BYTES("its length is wrong", "\x05\0\0\0\x01");
    BYTES("the document is not valid: its length is wrong", "\xff\xff\xff\xff\0");
    BYTES("a: the document is not valid: it is not UTF-8", "\x0e\0\0\0\x02"
                                                           "a\0\x02\0\0\0\xff\0\0");
    BYTES("a key is not UTF-8", "\x08\0\0\0\x0a\xff\0\0");
    BYTES("a: the document is not valid: the key is there twice", "\x0b\0\0\0\x0a"
                                                                  "a\0\x0a"
                                                                  "a\0\0");
    BYTES("a.b: the document is not valid: the key is there twice", "\x13\0\0\0\x03"
                                                                    "a\0\x0b\0\0\0\x0a"
                                                                    "b\0\x0a"
                                                                    "b\0\0\0");
    BYTES("it is neither true nor false", "\x09\0\0\0\x08"
                                          "a\0\x02\0");
    BYTES("a type that BSON has not", "\x08\0\0\0\x20"
                                      "a\0\0");
    BYTES("its length is wrong", "\x0d\0\0\0\x02"
                                 "a\0\x7f\0\0\0\0\0");
    BYTES("its length is wrong", "\x0c\0\0\0\x02"
                                 "a\0\0\0\0\0\0");
    BYTES("it is cut off", "\x09\0\0\0\x10"
                           "a\0\x01\0");
    BYTES("it has no end", "\x0a\0\0\0\x0b"
                           "a\0xy\0");
    BYTES("the length within is wrong", "\x11\0\0\0\x05"
                                        "a\0\x04\0\0\0\x02\x01\0\0\0\0");
    BYTES("it ends before its length", "\x06\0\0\0\0\0");
    /* A key twice is found among many, and in an array the names say nothing. */
    bson_t b;
    bson_init(&b);
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i == 2999 ? 17 : i);
        bson_append_null(&b, key, -1);
    }
    bytes_refused(&d, bson_get_data(&b), b.len, "k17: the document is not valid: the key is there twice");
    bson_destroy(&b);
    const char array[] = "\x1b\0\0\0\x10_id\0\x01\0\0\0\x04"
                         "a\0\x0b\0\0\0\x0a"
                         "0\0\x0a"
                         "0\0\0";
    MF_CLEANUP_BUF struct mf_buf good = {.max = 100};
    mf_buf_append(&good, array, sizeof array);
    mf_put_u32le(good.data, (uint32_t)good.len);
    const struct mf_value v = {MF_BINARY, (uint32_t)good.len, good.data};
    doc_good(&d, &v, "c: 1|{\"a\":[null,null]}");
    doc_close(&d);
}

/* {"a": {"a": … }}, so many within the first. */
static void nested(struct mf_buf *b, unsigned n)
{
    MF_CLEANUP_FREE size_t *at = calloc(n + 1, sizeof *at);
    mf_buf_reset(b);
    at[0] = elem_put_begin(b);
    elem_put_key(b, BSON_TYPE_INT32, "_id", 3);
    elem_put_int32(b, 1);
    for (unsigned i = 1; i <= n; i++) {
        elem_put_key(b, BSON_TYPE_DOCUMENT, "a", 1);
        at[i] = elem_put_begin(b);
    }
    for (unsigned i = n + 1; i-- > 0;) {
        elem_put_end(b, at[i]);
    }
}

static void deep(void **state)
{
    (void)state;
    struct doc d;
    MF_CLEANUP_BUF struct mf_buf b = {.max = MF_DOC_BYTES};
    doc_open(&d, any_map);
    nested(&b, 99); /* with the object of `rest` these are 100 brackets */
    struct mf_value v = {MF_BINARY, (uint32_t)b.len, b.data};
    doc_good(&d, &v, NULL);
    nested(&b, 100);
    bytes_refused(&d, b.data, b.len, "deep");
    nested(&b, 300);
    bytes_refused(&d, b.data, b.len, "it is nested too deeply");
    nested(&b, 1000000); /* no recursion */
    bytes_refused(&d, b.data, b.len, "it is nested too deeply");
    doc_close(&d);
}

static void large(void **state)
{
    (void)state;
    struct doc d;
    MF_CLEANUP_BUF struct mf_buf b = {.max = MF_DOC_BYTES};
    MF_CLEANUP_FREE char *text = calloc(1, (size_t)15 << 20);
    memset(text, 'x', (size_t)15 << 20);
    doc_open(&d, "map:\n  - collection: d.c\n    columns:\n      - {path: _id, type: int}\n      - {path: text, type: "
                 "string, missing: null}\n"
                 "    tables:\n      - {path: m, to: m, kind: map, missing: empty, columns: [{path: \".\", type: bool, "
                 "null: null}]}\n");
    size_t at = elem_put_begin(&b);
    elem_put_key(&b, BSON_TYPE_INT32, "_id", 3);
    elem_put_int32(&b, 1);
    elem_put_key(&b, BSON_TYPE_UTF8, "text", 4);
    elem_put_text(&b, text, (size_t)15 << 20);
    elem_put_key(&b, BSON_TYPE_DOCUMENT, "m", 1);
    elem_put_end(&b, elem_put_begin(&b));
    elem_put_end(&b, at);
    struct mf_value v = {MF_BINARY, (uint32_t)b.len, b.data};
    struct mf_value normal;
    assert_mf_ok(mf_shred_normal(d.c, &d.arena, &v, &normal, &d.err), &d.err);
    assert_true(mf_value_equal(&v, &normal));
    /* Many keys, in another order than theirs. */
    mf_buf_reset(&b);
    at = elem_put_begin(&b);
    elem_put_key(&b, BSON_TYPE_INT32, "_id", 3);
    elem_put_int32(&b, 1);
    elem_put_key(&b, BSON_TYPE_DOCUMENT, "m", 1);
    size_t inner = elem_put_begin(&b);
    for (unsigned i = 0; i < 200000; i++) {
        char key[16];
        int n = snprintf(key, sizeof key, "%06u", i * 7919 % 200000);
        elem_put_key(&b, BSON_TYPE_NULL, key, (size_t)n);
    }
    elem_put_end(&b, inner);
    elem_put_end(&b, at);
    v = (struct mf_value){MF_BINARY, (uint32_t)b.len, b.data};
    struct mf_value merged;
    assert_mf_ok(mf_shred_normal(d.c, &d.arena, &v, &normal, &d.err), &d.err);
    assert_int_equal(normal.len, v.len);
    assert_mf_ok(mf_shred_merge(d.c, &d.arena, &v, &normal, &merged, &d.err), &d.err);
    assert_true(mf_value_equal(&v, &merged));
    doc_close(&d);
}

static void many_reasons(void **state)
{
    (void)state;
    struct doc d;
    MF_CLEANUP_BUF struct mf_buf all = {.max = 1 << 20};
    doc_open(&d, "map:\n  - collection: d.c\n    columns: [{path: _id, type: int}]\n    tables:\n      - {path: t, to: "
                 "t, columns: [{path: \".\", type: int}]}\n");
    bson_t b, t;
    bson_init(&b);
    bson_append_array_begin(&b, "t", -1, &t);
    for (int i = 0; i < 500; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        bson_append_utf8(&t, key, -1, "a text of some length that is longer than what is shown of a value in a message",
                         -1);
    }
    bson_append_array_end(&b, &t);
    struct mf_value v = {MF_BINARY, b.len, (const char *)bson_get_data(&b)};
    struct mf_shred_rows rows;
    assert_mf_fails(mf_shred_document(d.c, &d.arena, &v, &rows, &d.err), &d.err, MF_ROW, "more");
    assert_non_null(strstr(d.err.text, "t[0]: \"a text of some"));
    mf_shred_reasons(d.c, &d.arena, &v, &all);
    size_t lines = 0;
    for (size_t i = 0; i < all.len; i++) {
        lines += all.data[i] == '\n';
    }
    assert_int_equal(lines, MF_DOC_REASONS);
    bson_destroy(&b);
    doc_close(&d);
}

static void no_map(const char *columns, const char *why)
{
    struct doc d;
    char yaml[2000];
    snprintf(yaml, sizeof yaml, "map:\n  - collection: d.c\n%s", columns);
    if (doc_try(&d, yaml) == 0) {
        fail_msg("%s", yaml);
    }
    assert_int_equal(d.err.cls, MF_USAGE);
    if (!strstr(d.err.text, why)) {
        fail_msg("expected \"%s\" in \"%s\"", why, d.err.text);
    }
    doc_close(&d);
}

static void maps_that_cannot_be(void **state)
{
    (void)state;
#define ID "    columns:\n      - {path: _id, column: id, type: int}\n"
    no_map("    columns: [{path: a, type: int}]\n", "m.yaml:2: map of d.c: no column is made of _id");
    no_map(ID "      - {path: a, type: int33}\n", "m.yaml:5: map of d.c: \"int33\": there is no such type");
    no_map(ID "      - {path: a, type: \"string(0)\"}\n", "its length is at least 1");
    no_map(ID "      - {path: a, type: id}\n", "it wants a length in brackets");
    no_map(ID "      - {path: a, type: int}\n      - {path: a, column: b, type: int}\n",
           "the path has a column already, on line 5");
    no_map(ID "      - {path: a, type: int}\n      - {path: b, column: A, type: int}\n", "already has a column \"a\"");
    no_map(ID "      - {path: a, type: int}\n      - {path: a.b, type: int}\n", "is said to be two things");
    no_map(ID "      - {path: a}\n", "it has no \"type\"");
    no_map(ID "      - {path: a, type: int, missing: default}\n", "there is no \"default\"");
    no_map(ID "      - {path: a, type: int, default: 1}\n", "no rule uses it");
    no_map(ID "      - {path: a, type: int32, missing: default, default: 4000000000}\n", "the default is no int32");
    no_map(ID "      - {path: a, type: int, wrong: null}\n", "a NULL of \"wrong\" or \"range\" could not be told back");
    no_map(ID "      - {path: a, type: int, present: p, missing: null, wrong: null}\n", "could not be told back");
    no_map(ID "      - {path: a, type: int, null: missing}\n", "needs a rule for \"missing\"");
    no_map(ID "      - {path: a, type: int, as: hex}\n", "goes with an objectid");
    no_map(ID "      - {path: a, type: int, time: t}\n", "goes with an objectid");
    no_map(ID "      - {path: _id, type: int, column: x}\n", "the path has a column already");
    no_map("    columns: [{path: _id, type: int, missing: null}]\n", "_id has no rules");
    no_map("    columns: [{path: _id, type: json}]\n", "_id cannot be json");
    no_map(ID "    ignore: [_id.x]\n", "also mapped");
    no_map(ID "    ignore: _id\n", "also mapped");
    no_map(ID "    tables:\n      - {path: a, columns: [{path: x, type: int}]}\n      - {path: a, to: b, columns: "
              "[{path: x, type: int}]}\n",
           "two tables are made of one path");
    no_map(ID "    tables:\n      - {path: a, to: C, columns: [{path: x, type: int}]}\n", "table C is made twice");
    no_map(ID "    tables:\n      - {path: a, kind: map, position: p, columns: [{path: x, type: int}]}\n",
           "\"position\" goes with kind array");
    no_map(ID "    tables:\n      - {path: a, kind: map, key_type: int, columns: [{path: x, type: int}]}\n",
           "\"key_type\" is string(n)");
    no_map(ID "    tables:\n      - {path: a, parent: [x, y], columns: [{path: x, type: int}]}\n",
           "\"parent\" has 2 names");
    no_map(ID "    tables:\n      - {path: a, columns: [{path: c_id, type: int}]}\n", "cannot be called \"c_id\"");
    no_map(ID "    tables:\n      - {path: a}\n", "the table has no columns");
    no_map(ID "    tables:\n      - {path: \".\", columns: [{path: x, type: int}]}\n", "leads to an array");
    no_map(ID "    tables:\n      - {path: a, columns: [{path: \".\", type: int, missing: null}]}\n",
           "an element is never missing");
    no_map(ID "    tables: &t\n      - {path: a, tables: *t}\n", "too many tables within tables");
    no_map(ID "    what: x\n", "unknown key \"what\"");
    no_map(ID "      - {path: a..b, type: int}\n", "a name in it is empty");
    no_map(ID "      - {type: int}\n", "it has no \"path\"");
    no_map(ID "      - {path: a, type: int, missing: coerce}\n", "it is reject, null or default");
    no_map(ID "  - collection: d.c\n" ID "    to: e\n", "the collection is there twice");
    no_map(ID "  - collection: d.c.e\n" ID, "m.yaml:5: map of d.c.e: the collection's name has a dot in it");
    no_map(ID "  - {table: x, to: y}\n", "one map has entries of one kind");
    struct doc d;
    assert_int_equal(doc_try(&d, "map:\n  - {table: x, to: y}\n  - {collection: a.b}\n"), -1);
    assert_string_equal(d.err.code, "MFMAP");
    doc_close(&d);
}

/* Names with what elsewhere stands for a variable: written by a proposal with another $ in front. */
static void names_like_variables(void **state)
{
    (void)state;
    struct doc d;
    doc_open(
        &d, "map:\n  - collection: d.c\n    columns: [{path: _id, column: id, type: int}, {path: \"a$${s\", column: a, "
            "type: int}, {path: [\"b.$${\", \"$\"], column: b, type: int}]\n");
    doc_good_json(&d, "{\"_id\":1,\"a${s\":2,\"b.${\":{\"$\":3}}", "c: 1|2|3");
    doc_close(&d);
    no_map(ID "      - {path: \"a${s}\", type: int}\n", "a variable of the environment is not replaced");
}

static void names_and_keys(void **state)
{
    (void)state;
    struct doc d;
    struct mf_schema schema = {0};
    MF_CLEANUP_BUF struct mf_buf b = {.max = 10000};
    doc_open(
        &d,
        "map:\n  - collection: d.users\n    to: app.users\n    columns:\n      - {path: _id, column: id, type: "
        "objectid, time: created_at}\n      - {path: [\"a.b\", \"$c\", \"\"], column: odd, type: string, missing: "
        "null}\n"
        "    tables:\n      - path: orders\n        columns: [{path: position, type: int}]\n        position: nr\n     "
        "   tables:\n          - {path: lines, position: nr, columns: [{path: \".\", type: int}]}\n"
        "      - {path: profile, to: other.p, kind: one, parent: user, columns: [{path: x, type: int, null: null}]}\n");
    for (uint16_t t = 0; t < d.c->ntables; t++) {
        const struct mf_table *table = d.c->tables[t].table;
        mf_buf_printf(&b, "%s.%s(", table->schema, table->name);
        for (uint16_t i = 0; i < table->ncolumns; i++) {
            mf_buf_printf(&b, "%s%s %s%s%s", i ? ", " : "", table->columns[i].name, table->columns[i].type,
                          table->columns[i].not_null ? "" : " null", table->columns[i].in_key ? " key" : "");
        }
        mf_buf_printf(&b, ") %u\n", d.c->tables[t].nroot);
    }
    assert_string_equal(mf_buf_str(&b),
                        "app.users(id text(24) fixed key, created_at instant(0), odd text null) 1\n"
                        "app.users_orders(users_id text(24) fixed key, nr int(32) key, position int(64)) 1\n"
                        "app.users_orders_lines(users_id text(24) fixed key, users_orders_nr int(32) key, nr int(32) "
                        "key, value int(64)) 1\n"
                        "other.p(user text(24) fixed key, x int(64) null) 1\n");
    assert_mf_ok(mf_shred_describe(d.c, &schema, &d.err), &d.err);
    assert_mf_ok(mf_shred_describe(d.c, &schema, &d.err), &d.err);
    assert_int_equal(schema.ntables, 8);
    const struct mf_schema_table *t = mf_schema_find(&schema, "app", "users_orders_lines");
    assert_non_null(t);
    assert_int_equal(t->nforeign, 1);
    assert_string_equal(t->foreign[0].ref_table, "users_orders");
    assert_string_equal(t->foreign[0].ref_columns[1], "nr");
    assert_int_equal(t->foreign[0].n, 2);
    assert_int_equal(t->indexes[0].n, 3);
    assert_true(t->indexes[0].primary && t->indexes[0].is_key);
    mf_schema_free(&schema);
    struct mf_value v = doc_of(&d, "{\"_id\":{\"$oid\":\"00112233445566778899aabb\"},\"a.b\":{\"$c\":{\"\":\"x\"}},"
                                   "\"orders\":[{\"position\":3,\"lines\":[1,2]}],\"profile\":{\"x\":null}}");
    doc_good(&d, &v, NULL);
    mf_buf_reset(&b);
    mf_bson_put_json(&b, &v, 40);
    assert_int_equal(b.len, 40);
    mf_buf_reset(&b);
    mf_bson_put_json(&b, &v, 4000);
    assert_string_equal(mf_buf_str(&b), "{\"_id\":{\"$oid\":\"00112233445566778899aabb\"},\"a.b\":{\"$c\":{\"\":\"x\"}}"
                                        ",\"orders\":[{\"position\":3,\"lines\":[1,2]}],\"profile\":{\"x\":null}}");
    assert_string_equal(mf_bson_table(&d.arena, "d", "users")->columns[1].type, "bytes");
    doc_close(&d);
}

/* Rows that no document has. */
static void rows_that_are_none(void **state)
{
    (void)state;
    struct doc d;
    struct mf_shred_rows rows;
    struct mf_value back;
    doc_open(&d, "map:\n  - collection: d.c\n    columns:\n      - {path: _id, type: int}\n      - {path: a, type: "
                 "int32}\n    rest: r\n    tables:\n      - {path: t, to: t, columns: [{path: \".\", type: int}]}\n");
    struct mf_value v = doc_of(&d, "{\"_id\":1,\"a\":2,\"t\":[5,6]}");
#define BREAK(change, why)                                                                                             \
    assert_mf_ok(mf_shred_document(d.c, &d.arena, &v, &rows, &d.err), &d.err);                                         \
    change;                                                                                                            \
    assert_mf_fails(mf_shred_rebuild(d.c, &d.arena, &rows, &back, &d.err), &d.err, MF_ROW, why)
#define TEXT(s) ((struct mf_value){MF_TEXT, sizeof(s) - 1, s})
    BREAK(rows.of[0].n = 0, "not one row");
    BREAK(rows.of[1].rows[0].values[0] = TEXT("2"), "table t: the rows are no document's: a row has no parent");
    BREAK(rows.of[1].rows[0].values[1] = TEXT("7"), "positions begin with 0 and have no gap");
    BREAK(rows.of[1].rows[1].values[1] = TEXT("0"), "positions begin with 0 and have no gap");
    BREAK(rows.of[1].rows[1].values[1].kind = MF_NULL, "a key is NULL");
    BREAK(rows.of[0].rows[0].values[1].kind = MF_NULL, "column a: the rows are no document's: it is NULL");
    BREAK(rows.of[0].rows[0].values[1] = TEXT("3000000000"), "column a");
    BREAK(rows.of[0].rows[0].values[1] = TEXT("03"), "column a");
    BREAK(rows.of[0].rows[0].values[2] = TEXT("[1]"), "it is no object");
    BREAK(rows.of[0].rows[0].values[2] = TEXT("{\"a\":1}"), "it has what other columns have");
    BREAK(rows.of[0].rows[0].values[2] = TEXT("{\"b\":{\"$oid\":\"x\"}}"), "an objectid in it is none");
    doc_close(&d);
}

/* What is written here is what PyMongo's own writer made (tests/data/bson/make.py): the same documents, by another hand. */
static void of_another_writer(void **state)
{
    (void)state;
    static const char *const names[] = {"scalars", "nested", "rare", "numbers"};
    struct doc d;
    for (size_t i = 0; i < MF_ARRAY_LEN(names); i++) {
        char path[500];
        doc_open(&d, any_map);
        snprintf(path, sizeof path, "%s/../bson/%s.bson", MF_TEST_DATA, names[i]);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        char *bytes = mf_alloc(&d.arena, 1 << 20);
        size_t n = fread(bytes, 1, 1 << 20, f), count = 0;
        fclose(f);
        for (size_t at = 0; at < n; count++) {
            uint32_t len = mf_get_u32le(bytes + at);
            assert_true(len <= n - at);
            const struct mf_value v = {MF_BINARY, len, bytes + at};
            doc_good(&d, &v, NULL);
            at += len;
        }
        assert_true(count > 0);
        doc_close(&d);
    }
}

static void differ(struct doc *d, const char *one, const char *other, size_t most, const char *wanted)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20};
    struct mf_value x = doc_of(d, one), y = doc_of(d, other);
    mf_bson_put_differences(&b, &x, &y, most);
    assert_string_equal(mf_buf_str(&b), wanted);
}

static void where_two_differ(void **state)
{
    (void)state;
    struct doc d;
    doc_open(&d, any_map);
    differ(&d, "{\"a\": 1, \"b\": [1, {\"c\": 2}]}", "{\"a\": 1, \"b\": [1, {\"c\": 2}]}", 300, "");
    differ(&d, "{\"a\": 1, \"b\": [1, {\"c\": 2}]}", "{\"a\": 2, \"b\": [1, {\"c\": 3}]}", 300, "a, b.1.c");
    differ(&d, "{\"a\": 1}", "{\"a\": {\"$numberLong\": \"1\"}}", 300, "a");
    differ(&d, "{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"c\": 1}", 300, "a, c");
    differ(&d, "{\"a\": [1, 2]}", "{\"a\": [1]}", 300, "a.1");
    differ(&d, "{\"a\": {\"b\": 1}}", "{\"a\": [1]}", 300, "a");
    differ(&d, "{\"aaaaaaaaaa\": 1, \"bbbbbbbbbb\": 1}", "{}", 20, "aaaaaaaaaa, …");
    doc_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_bytes),
        cmocka_unit_test(where_two_differ),
        cmocka_unit_test(deep),
        cmocka_unit_test(large),
        cmocka_unit_test(many_reasons),
        cmocka_unit_test(names_like_variables),
        cmocka_unit_test(names_and_keys),
        cmocka_unit_test(maps_that_cannot_be),
        cmocka_unit_test(rows_that_are_none),
        cmocka_unit_test(of_another_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
