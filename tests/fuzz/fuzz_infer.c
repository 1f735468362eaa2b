/* Arbitrary bytes as documents of a collection: counted within the bound of paths, the same in one part as in two, and what is proposed takes every document that could be read, and
 * gives it back. */
#include "fuzz.h"

#include "bson/elem.h"
#include "bson/propose.h"
#include "bson/shred.h"
#include "config/option.h"

#include "base/mem.h"

#include <string.h>

#define PATHS 60

/* The input is documents one after the other, each with its own length, as BSON has it; a rest is one that is none. */
static size_t next(const uint8_t *p, size_t n)
{
    size_t len = n >= 4 ? (size_t)p[0] | (size_t)p[1] << 8 : n;
    return len < 5 || len > n ? n : len;
}

static void feed(const uint8_t *data, size_t size, struct mf_infer *whole, struct mf_infer *const *parts)
{
    for (size_t i = 0, n; i < size; i += n) {
        n = next(data + i, size - i);
        void *copy = mf_xmemdup(data + i, n);
        const struct mf_value v = {MF_BINARY, (uint32_t)n, copy};
        mf_infer_add(whole, mf_infer_collection(whole, "d", "c"), &v);
        mf_infer_add(parts[i % 2], mf_infer_collection(parts[i % 2], "d", "c"), &v);
        free(copy);
    }
}

/* Only what could not be read is refused, what has no _id that can be one, and what is nested deeper than JSON is. */
static void check_documents(const uint8_t *data, size_t size, const struct mf_infer *f, const char *text)
{
    struct mf_config *config = NULL;
    struct mf_shred *shred = NULL;
    struct mf_error err = {0};
    struct mf_arena arena = {0};
    mf_arena_init(&arena, (size_t)256 << 20);
    const struct mf_infer_collection *c = mf_infer_at(f, 0);
    MF_FUZZ_CHECK(mf_config_parse(text, strlen(text), "m", NULL, &config, &err) == 0);
    MF_FUZZ_CHECK(mf_shred_compile(config->documents, &shred, &err) == 0);
    uint64_t taken = 0, refused = 0;
    char where[ELEM_WHERE];
    const char *bad;
    for (size_t i = 0, n; i < size; i += n) {
        struct mf_shred_rows rows;
        struct mf_value normal, twice;
        n = next(data + i, size - i);
        const struct mf_value v = {MF_BINARY, (uint32_t)n, (const char *)data + i};
        if (mf_shred_document(mf_shred_at(shred, 0), &arena, &v, &rows, &err) < 0) {
            struct mf_error why = {0};
            struct mf_value id;
            MF_FUZZ_CHECK(c->depth > 90 || elem_check(v.data, v.len, &bad, where) < 0 ||
                          mf_bson_id_of(&arena, &v, &id, &why) < 0);
            refused++;
        } else {
            taken++;
            MF_FUZZ_CHECK(mf_shred_rebuild(mf_shred_at(shred, 0), &arena, &rows, &normal, &err) == 0);
            MF_FUZZ_CHECK(mf_shred_normal(mf_shred_at(shred, 0), &arena, &normal, &twice, &err) == 0);
            MF_FUZZ_CHECK(mf_value_equal(&normal, &twice));
        }
        mf_arena_reset(&arena);
    }
    MF_FUZZ_CHECK(taken + refused == c->documents + c->refused);
    mf_shred_free(shred);
    mf_config_free(config);
    mf_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mf_infer_options o = {.paths = PATHS, .unique_bytes = 1 << 14};
    struct mf_infer *whole = mf_infer_new(&o), *parts[2] = {mf_infer_new(&o), mf_infer_new(&o)};
    struct mf_doc_proposal *p = NULL;
    struct mf_buf b = {.max = (size_t)64 << 20};
    struct mf_error err = {0};
    mf_infer_collection(whole, "d", "c");
    feed(data, size, whole, parts);
    mf_infer_merge(parts[0], parts[1]);
    mf_infer_finish(whole);
    mf_infer_finish(parts[0]);
    MF_FUZZ_CHECK(mf_infer_paths(whole) <= PATHS + 2 && mf_infer_paths(parts[0]) <= PATHS + 2);
    if (size) {
        MF_FUZZ_CHECK(mf_infer_at(parts[0], 0)->documents == mf_infer_at(whole, 0)->documents);
        MF_FUZZ_CHECK(mf_infer_at(parts[0], 0)->refused == mf_infer_at(whole, 0)->refused);
    }
    MF_FUZZ_CHECK(mf_doc_propose(whole, NULL, NULL, &p, &err) == 0);
    mf_buf_puts(&b, "map:\n");
    mf_doc_proposal_put_yaml(&b, p);
    MF_FUZZ_CHECK(mf_buf_ok(&b));
    check_documents(data, size, whole, mf_buf_str(&b));
    mf_buf_free(&b);
    mf_doc_proposal_free(p);
    mf_infer_free(parts[0]);
    mf_infer_free(parts[1]);
    mf_infer_free(whole);
    return 0;
}
