/* Encoding and decoding changes without memory: an error each time, nothing half done handed out. */
#include "mf_test.h"
#include "sweep.h"

#include "base/cleanup.h"
#include "change/codec.h"

#include <string.h>

static struct mf_column columns[] = {
    {.name = "id", .type = "bigint", .type_id = 20, .type_mod = -1, .in_key = true, .not_null = true},
    {.name = "note", .type_id = 25, .type_mod = -1},
};
static uint16_t key[] = {0};
static const struct mf_table table = {
    .id = 1, .schema = "public", .name = "t", .ncolumns = 2, .nkey = 1, .columns = columns, .key = key};
static char big[100000];

static const struct mf_table *lookup(void *ctx, uint32_t rel)
{
    (void)ctx;
    return rel == 5 ? &table : NULL;
}

static int write_all(struct mf_buf *out, struct mf_error *err)
{
    struct mf_value values[] = {{MF_TEXT, 2, "42"}, {MF_TEXT, sizeof(big), big}};
    struct mf_change c = {.op = MF_INSERT, .rel = 5, .table = &table, .new_row = {2, values}};
    if (mf_encode_table(out, &table, err) < 0) {
        return -1;
    }
    return mf_encode_change(out, &c, err);
}

static int encode(void *arg)
{
    (void)arg;
    MF_CLEANUP_BUF struct mf_buf out;
    struct mf_error err = {0};
    mf_buf_init(&out, 1 << 20);
    if (write_all(&out, &err) < 0) {
        assert_true(err.text[0]);
        return -1;
    }
    return 0;
}

static int decode(void *arg)
{
    const struct mf_buf *in = arg;
    MF_CLEANUP_ARENA struct mf_arena a;
    struct mf_error err = {0};
    struct mf_table *t = NULL;
    struct mf_change c = {0};
    size_t used = 0;
    size_t more = 77;
    mf_arena_init(&a, 1 << 20);
    if (mf_decode_table(&a, in->data, in->len, &t, &used, &err) < 0) {
        assert_null(t);
        assert_int_equal(used, 0);
        assert_true(err.text[0]);
        return -1;
    }
    if (mf_decode_change(&a, in->data + used, in->len - used, lookup, NULL, &c, &more, &err) < 0) {
        assert_int_equal(c.op, 0);
        assert_int_equal(more, 77);
        assert_true(err.text[0]);
        return -1;
    }
    assert_int_equal(used + more, in->len);
    assert_int_equal(c.new_row.values[1].len, sizeof(big));
    return 0;
}

static void encoding_survives(void **state)
{
    (void)state;
    assert_true(mf_sweep(encode, NULL, true) > 1);
    assert_true(mf_sweep(encode, NULL, false) > 1);
}

static void decoding_survives(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf out;
    struct mf_error err = {0};
    mf_buf_init(&out, 1 << 20);
    assert_mf_ok(write_all(&out, &err), &err);
    assert_true(mf_sweep(decode, &out, true) >= 1);
}

/* An arena with every possible maximum is the finer sweep: each allocation from it fails once. */
static void decoding_survives_a_full_arena(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf out;
    struct mf_error err = {0};
    bool enough = false;
    mf_buf_init(&out, 1 << 20);
    assert_mf_ok(write_all(&out, &err), &err);
    for (size_t max = 0; max < 4096 && !enough; max += 8) {
        MF_CLEANUP_ARENA struct mf_arena a;
        struct mf_table *t = NULL;
        struct mf_change c = {0};
        size_t used = 0;
        size_t more = 0;
        mf_arena_init(&a, max);
        if (mf_decode_table(&a, out.data, out.len, &t, &used, &err) == 0) {
            enough = mf_decode_change(&a, out.data + used, out.len - used, lookup, NULL, &c, &more, &err) == 0;
            assert_true(enough || c.op == 0);
        } else {
            assert_null(t);
        }
        assert_true(enough || err.text[0]);
    }
    assert_true(enough);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_survives),
        cmocka_unit_test(decoding_survives),
        cmocka_unit_test(decoding_survives_a_full_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
