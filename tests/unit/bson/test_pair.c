/* What the map ignores in an element of an array stays with that element, wherever it goes, and comes to no other. */
#include "doc.h"

#define MAP                                                                                                            \
    "map:\n  - collection: d.c\n    ignore: [l.note]\n    columns: [{path: _id, column: id, type: int}]\n"             \
    "    tables:\n      - {path: l, to: l, columns: [{path: s, type: string}]}\n"

/* "aB" is [{s: "a"}, {s: "B", note: "of B"}]: an element in capitals has a note. */
static const char *array_of(const char *elements, char *out, size_t n)
{
    size_t len = (size_t)snprintf(out, n, "{\"_id\":1,\"l\":[");
    for (const char *p = elements; *p; p++) {
        bool noted = *p >= 'A' && *p <= 'Z';
        len += (size_t)snprintf(out + len, n - len, "%s{\"s\":\"%c\"", p > elements ? "," : "", noted ? *p + 32 : *p);
        len += noted ? (size_t)snprintf(out + len, n - len, ",\"note\":\"of %c\"", *p) : 0;
        len += (size_t)snprintf(out + len, n - len, "}");
    }
    snprintf(out + len, n - len, "]}");
    return out;
}

static void becomes(const char *there, const char *wanted, const char *want)
{
    struct doc d;
    char a[2000], b[2000], c[2000];
    doc_open(&d, MAP);
    doc_merge_json(&d, array_of(there, a, sizeof a), array_of(wanted, b, sizeof b), array_of(want, c, sizeof c));
    doc_close(&d);
}

static void elements_keep_what_is_ignored(void **state)
{
    (void)state;
    becomes("ABC", "bc", "BC");
    becomes("ABC", "ab", "AB");
    becomes("ABC", "cba", "CBA");
    becomes("ABC", "xabc", "xABC");
    becomes("ABC", "abxc", "ABxC");
    becomes("ABCD", "dxa", "DxA");
    becomes("AAB", "aa", "AA");
    becomes("AbA", "aab", "AAb");
    becomes("", "ab", "ab");
    becomes("AB", "", "");
}

static void one_changed(const char *there, const char *wanted, const char *whose, size_t at)
{
    struct doc d;
    char a[2000], b[2000];
    struct mf_value normal, merged;
    doc_open(&d, MAP);
    struct mf_value t = doc_of(&d, array_of(there, a, sizeof a)), o = doc_of(&d, array_of(wanted, b, sizeof b));
    doc_merge(&d, &t, &o);
    assert_mf_ok(mf_shred_normal(d.c, &d.arena, &o, &normal, &d.err), &d.err);
    assert_mf_ok(mf_shred_merge(d.c, &d.arena, &t, &normal, &merged, &d.err), &d.err);
    bson_t doc;
    bson_iter_t i, found;
    char path[40];
    snprintf(path, sizeof path, "l.%zu.note", at);
    assert_true(bson_init_static(&doc, (const uint8_t *)merged.data, merged.len) && bson_iter_init(&i, &doc));
    bool has = bson_iter_find_descendant(&i, path, &found);
    assert_int_equal(has, whose != NULL);
    if (has) {
        assert_string_equal(bson_iter_utf8(&found, NULL), whose);
    }
    doc_close(&d);
}

static void one_that_changed_is_known_by_its_place(void **state)
{
    (void)state;
    one_changed("ABC", "axc", "of B", 1);
    one_changed("ABC", "axcd", "of B", 1);
    one_changed("ABC", "xyz", "of C", 2);
    one_changed("ABC", "ax", NULL, 1); /* which of the two it was nobody knows */
    one_changed("A", "xy", NULL, 0);
    one_changed("ABC", "cxa", NULL, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_keep_what_is_ignored),
        cmocka_unit_test(one_that_changed_is_known_by_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
