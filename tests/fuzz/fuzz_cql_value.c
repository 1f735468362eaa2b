/*
 * Values of CQL: the text of a type, a newline, and bytes, which are taken as a value's bytes and as its text.
 *
 * Bytes that have a text: it becomes bytes again, which have the same text. A text that has bytes: they have a text, which has the same bytes.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "connector/cassandra/cqlvalue.h"

#include <string.h>

#define MAX (8u << 20)

static struct cql_bytes value_of(const struct mf_buf *b)
{
    return (struct cql_bytes){.p = (const uint8_t *)b->data + 4, .n = (int32_t)mf_get_u32be(b->data)};
}

static bool same(const struct mf_buf *a, const struct mf_buf *b)
{
    return a->len == b->len && memcmp(mf_buf_str(a), mf_buf_str(b), a->len) == 0;
}

static void of_bytes(const struct cql_type *t, struct cql_bytes v)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = MAX}, bytes = {.max = MAX}, again = {.max = MAX};
    struct mf_error err = {0};
    if (cql_value_text(t, v, &text, &err) < 0) {
        MF_FUZZ_CHECK(text.len == 0 && mf_buf_ok(&text) && err.cls == MF_ROW);
        return;
    }
    /* A UUID that is not of version 1 stands in a timeuuid only if the server let it. */
    if (cql_value_put(t, mf_buf_str(&text), text.len, &bytes, &err) < 0) {
        MF_FUZZ_CHECK(strstr(err.text, "version 1"));
        return;
    }
    MF_FUZZ_CHECK(value_of(&bytes).n == (int32_t)bytes.len - 4);
    MF_FUZZ_CHECK(cql_value_text(t, value_of(&bytes), &again, &err) == 0 && same(&text, &again));
}

static void of_text(const struct cql_type *t, const char *s, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf bytes = {.max = MAX}, text = {.max = MAX}, again = {.max = MAX};
    struct mf_error err = {0};
    if (cql_value_put(t, s, n, &bytes, &err) < 0) {
        MF_FUZZ_CHECK(bytes.len == 0 && mf_buf_ok(&bytes) && err.cls == MF_ROW && err.text[0]);
        return;
    }
    MF_FUZZ_CHECK(cql_value_text(t, value_of(&bytes), &text, &err) == 0);
    MF_FUZZ_CHECK(cql_value_put(t, mf_buf_str(&text), text.len, &again, &err) == 0 && same(&bytes, &again));
}

static const struct cql_type *udt(void *ctx, const char *name)
{
    static const struct cql_type text = {.kind = CQL_K_TEXT, .keyspace = "", .name = ""},
                                 number = {.kind = CQL_K_INT, .keyspace = "", .name = ""};
    static const struct cql_type *const subs[] = {&text, &number};
    static const char *const fields[] = {"a", "Two \"Words\""};
    static const struct cql_type user = {
        .kind = CQL_K_UDT, .nsub = 2, .sub = subs, .fields = fields, .keyspace = "ks", .name = "user"};
    (void)ctx;
    return strcmp(name, "user") == 0 ? &user : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 1 << 20};
    const struct cql_type *t;
    struct mf_error err = {0};
    if (!end || cql_type_parse((const char *)data, (size_t)(end - data), udt, NULL, &arena, &t, &err) < 0) {
        return 0;
    }
    size_t n = size - (size_t)(end + 1 - data);
    of_bytes(t, (struct cql_bytes){.p = end + 1, .n = (int32_t)n});
    of_text(t, (const char *)end + 1, n);
    return 0;
}
