/*
 * The byte form of changes, from a spool somebody damaged in a way the checksum missed: refused or decoded, never read
 * outside, and what was decoded comes back the same when written and read again. The input is one table and then
 * changes of it.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "change/codec.h"

#include <string.h>

#define ARENA_MAX ((size_t)16 << 20)

static const struct mf_table *only_one(void *ctx, uint32_t rel)
{
    return rel < 8 ? ctx : NULL;
}

static void check_row(const struct mf_row *a, const struct mf_row *b)
{
    MF_FUZZ_CHECK(a->n == b->n);
    for (uint16_t i = 0; i < a->n; i++) {
        MF_FUZZ_CHECK(mf_value_equal(&a->values[i], &b->values[i]));
    }
}

static void check_again(struct mf_arena *arena, struct mf_table *t, const struct mf_change *c)
{
    MF_CLEANUP_BUF struct mf_buf out;
    struct mf_error err = {0};
    struct mf_change again = {0};
    size_t used = 0;
    mf_buf_init(&out, ARENA_MAX);
    MF_FUZZ_CHECK(mf_encode_change(&out, c, &err) == 0);
    MF_FUZZ_CHECK(mf_decode_change(arena, out.data, out.len, only_one, t, &again, &used, &err) == 0);
    MF_FUZZ_CHECK(used == out.len);
    MF_FUZZ_CHECK(again.op == c->op && again.rel == c->rel && again.has_old == c->has_old);
    MF_FUZZ_CHECK(again.ntruncated == c->ntruncated);
    MF_FUZZ_CHECK(again.truncate_cascade == c->truncate_cascade && again.truncate_restart == c->truncate_restart);
    check_row(&again.old_row, &c->old_row);
    check_row(&again.new_row, &c->new_row);
}

static struct mf_table *check_table(struct mf_arena *arena, const uint8_t *data, size_t size, size_t *ret_used)
{
    struct mf_error err = {0};
    struct mf_table *t = NULL;
    struct mf_table *again = NULL;
    size_t used = 0;
    if (mf_decode_table(arena, data, size, &t, ret_used, &err) < 0) {
        MF_FUZZ_CHECK(err.text[0]);
        return NULL;
    }
    MF_FUZZ_CHECK(*ret_used <= size && *ret_used > 0);
    MF_CLEANUP_BUF struct mf_buf out;
    mf_buf_init(&out, ARENA_MAX);
    MF_FUZZ_CHECK(mf_encode_table(&out, t, &err) == 0);
    MF_FUZZ_CHECK(mf_decode_table(arena, out.data, out.len, &again, &used, &err) == 0);
    MF_FUZZ_CHECK(used == out.len);
    MF_FUZZ_CHECK(mf_table_shape(t) == mf_table_shape(again));
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_arena_init(&arena, ARENA_MAX);
    size_t used = 0;
    struct mf_table *t = check_table(&arena, data, size, &used);
    for (int n = 0; t && n < 50; n++) {
        struct mf_error err = {0};
        struct mf_change c = {0};
        data += used;
        size -= used;
        if (mf_decode_change(&arena, data, size, only_one, t, &c, &used, &err) < 0) {
            MF_FUZZ_CHECK(err.text[0]);
            break;
        }
        MF_FUZZ_CHECK(used <= size && used > 0);
        check_again(&arena, t, &c);
    }
    return 0;
}
