/* Changes and shapes to bytes and back; bytes that are cut or wrong; our own tables in a stream. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "change/bookkeeping.h"
#include "change/codec.h"

#include <stdlib.h>
#include <string.h>

static struct mf_column columns[] = {
    {.name = "id", .type = "bigint", .type_id = 20, .type_mod = -1, .in_key = true, .not_null = true},
    {.name = "note", .type_id = 25, .type_mod = 14},
    {.name = "twice", .type_id = 20, .type_mod = -1, .generated = true},
};
static uint16_t key[] = {0};
static const struct mf_table table = {
    .id = 77, .schema = "pub.lic", .name = "t\xc3\xa9", .ncolumns = 3, .nkey = 1, .columns = columns, .key = key};

static const struct mf_table *lookup(void *ctx, uint32_t rel)
{
    (void)ctx;
    return rel == 300 ? &table : NULL;
}

static struct mf_value long_text(void)
{
    static char text[70000];
    memset(text, 'x', sizeof(text));
    return (struct mf_value){MF_TEXT, sizeof(text), text};
}

static void assert_rows_equal(const struct mf_row *a, const struct mf_row *b)
{
    assert_int_equal(a->n, b->n);
    for (uint16_t i = 0; i < a->n; i++) {
        assert_true(mf_value_equal(&a->values[i], &b->values[i]));
    }
}

/* Every kind of value in every kind of change, one after the other in one buffer. */
static void test_round_trip(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct mf_value a[] = {{MF_TEXT, 2, "42"}, {MF_NULL, 0, NULL}, {MF_TEXT, 0, ""}};
    struct mf_value b[] = {{MF_TEXT, 1, "7"}, long_text(), {MF_BINARY, 3, "\0\1\2"}};
    struct mf_value k[] = {{MF_TEXT, 2, "42"}, {MF_UNCHANGED, 0, NULL}, {MF_UNCHANGED, 0, NULL}};
    const struct mf_table *both[] = {&table, &table};
    uint32_t rels[] = {300, 300};
    struct mf_change in[] = {
        {.op = MF_INSERT, .rel = 300, .table = &table, .new_row = {3, a}},
        {.op = MF_UPDATE, .rel = 300, .table = &table, .new_row = {3, b}},
        {.op = MF_UPDATE, .rel = 300, .table = &table, .has_old = true, .old_row = {3, k}, .new_row = {3, k}},
        {.op = MF_DELETE, .cascades = true, .rel = 300, .table = &table, .has_old = true, .old_row = {3, k}},
        {.op = MF_TRUNCATE,
         .rel = 300,
         .table = &table,
         .ntruncated = 2,
         .truncated = both,
         .truncated_rels = rels,
         .truncate_cascade = true},
    };
    MF_CLEANUP_BUF struct mf_buf out;
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_buf_init(&out, 1 << 20);
    mf_arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < MF_ARRAY_LEN(in); i++) {
        assert_mf_ok(mf_encode_change(&out, &in[i], &err), &err);
    }
    size_t at = 0, used;
    for (size_t i = 0; i < MF_ARRAY_LEN(in); i++, at += used) {
        struct mf_change c;
        assert_mf_ok(mf_decode_change(&arena, out.data + at, out.len - at, lookup, NULL, &c, &used, &err), &err);
        assert_int_equal(c.op, in[i].op);
        assert_int_equal(c.rel, 300);
        assert_ptr_equal(c.table, &table);
        assert_int_equal(c.has_old, in[i].has_old);
        assert_int_equal(c.cascades, in[i].cascades);
        assert_int_equal(c.ntruncated, in[i].ntruncated);
        assert_int_equal(c.truncate_cascade, in[i].truncate_cascade);
        assert_rows_equal(&c.old_row, &in[i].old_row);
        assert_rows_equal(&c.new_row, &in[i].new_row);
    }
    assert_int_equal(at, out.len);
}

static void test_shape(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct mf_table *t;
    size_t used;
    MF_CLEANUP_BUF struct mf_buf out;
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_buf_init(&out, 1 << 20);
    mf_arena_init(&arena, 1 << 20);
    assert_mf_ok(mf_encode_table(&out, &table, &err), &err);
    assert_mf_ok(mf_decode_table(&arena, out.data, out.len, &t, &used, &err), &err);
    assert_int_equal(used, out.len);
    assert_string_equal(t->schema, "pub.lic");
    assert_string_equal(t->columns[0].type, "bigint");
    assert_null(t->columns[1].type);
    assert_int_equal(t->columns[1].type_mod, 14);
    assert_true(t->columns[2].generated && t->columns[0].in_key && t->columns[0].not_null);
    assert_int_equal(mf_table_shape(t), mf_table_shape(&table));
    for (size_t n = 0; n < out.len; n++) {
        assert_mf_fails(mf_decode_table(&arena, out.data, n, &t, &used, &err), &err, MF_FATAL, "damaged");
    }
}

/* No prefix of a change is one, and a row of another number of columns is refused. */
static void test_cut_and_wrong(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct mf_change c;
    size_t used;
    struct mf_value a[] = {{MF_TEXT, 2, "42"}, {MF_NULL, 0, NULL}, {MF_TEXT, 3, "abc"}};
    struct mf_change in = {
        .op = MF_UPDATE, .rel = 300, .has_old = true, .table = &table, .old_row = {3, a}, .new_row = {3, a}};
    MF_CLEANUP_BUF struct mf_buf out;
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_buf_init(&out, 1 << 20);
    mf_arena_init(&arena, 1 << 20);
    assert_mf_ok(mf_encode_change(&out, &in, &err), &err);
    for (size_t n = 0; n < out.len; n++) {
        char *exact = mf_xmemdup(out.data, n); /* so that a sanitizer sees a read past it */
        assert_mf_fails(mf_decode_change(&arena, exact, n, lookup, NULL, &c, &used, &err), &err, MF_FATAL, "damaged");
        free(exact);
    }
    in.new_row.n = 2;
    mf_buf_reset(&out);
    assert_mf_ok(mf_encode_change(&out, &in, &err), &err);
    assert_mf_fails(mf_decode_change(&arena, out.data, out.len, lookup, NULL, &c, &used, &err), &err, MF_FATAL,
                    "another number of columns");
    in.new_row.n = 3;
    in.rel = 301;
    mf_buf_reset(&out);
    assert_mf_ok(mf_encode_change(&out, &in, &err), &err);
    assert_mf_fails(mf_decode_change(&arena, out.data, out.len, lookup, NULL, &c, &used, &err), &err, MF_FATAL,
                    "never described");
    a[0].len = MF_MAX_VALUE + 1;
    assert_mf_fails(mf_encode_change(&out, &in, &err), &err, MF_FATAL, "over 1 GB");
}

static void test_bookkeeping(void **state)
{
    (void)state;
    char text[4];
    struct mf_table t = table;
    t.schema = "midflight";
    t.name = "heartbeat";
    assert_int_equal(mf_bookkeeping(&t), MF_BOOK_HEARTBEAT);
    t.name = "checkpoint";
    assert_int_equal(mf_bookkeeping(&t), MF_BOOK_CHECKPOINT);
    t.name = "epoch";
    assert_int_equal(mf_bookkeeping(&t), MF_BOOK_EPOCH);
    t.name = "chunks";
    assert_int_equal(mf_bookkeeping(&t), MF_BOOK_OTHER);
    t.schema = "public";
    t.name = "checkpoint";
    assert_int_equal(mf_bookkeeping(&t), MF_BOOK_NONE);
    struct mf_value a[] = {{MF_TEXT, 3, "abc"}, {MF_NULL, 0, NULL}, {MF_TEXT, 4, "abcd"}};
    struct mf_change c = {.op = MF_INSERT, .table = &table, .new_row = {3, a}};
    assert_int_equal(mf_book_text(&c, "id", text, sizeof(text)), 0);
    assert_string_equal(text, "abc");
    assert_int_equal(mf_book_text(&c, "note", text, sizeof(text)), -1);
    assert_int_equal(mf_book_text(&c, "twice", text, sizeof(text)), -1); /* too long */
    assert_int_equal(mf_book_text(&c, "none", text, sizeof(text)), -1);
    c.op = MF_DELETE;
    assert_int_equal(mf_book_text(&c, "id", text, sizeof(text)), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_cut_and_wrong),
        cmocka_unit_test(test_bookkeeping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
