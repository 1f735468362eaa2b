/*
 * Types of CQL from a text, from a class's name, and from metadata. A type that is read has a text that means the same type, and is read again; time and
 * memory are bounded by what came.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "connector/cassandra/cqlvalue.h"

#include <string.h>

static const struct cql_type *udt(void *ctx, const char *name)
{
    static struct cql_type user = {.kind = CQL_K_UDT, .keyspace = "ks"};
    (void)ctx;
    static char kept[100];
    if (strlen(name) >= sizeof(kept)) {
        return NULL;
    }
    memcpy(kept, name, strlen(name) + 1);
    user.name = kept;
    return name[0] == 'u' ? &user : NULL;
}

static void means_itself(const struct cql_type *t, struct mf_arena *arena)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = 1 << 20}, again = {.max = 1 << 20};
    struct mf_error err = {0};
    const struct cql_type *same;
    cql_type_put(&text, t);
    MF_FUZZ_CHECK(text.len > 0 && mf_buf_ok(&text) && cql_type_equal(t, t));
    if (cql_type_parse(text.data, text.len, udt, NULL, arena, &same, &err) == 0) {
        cql_type_put(&again, same);
        MF_FUZZ_CHECK(again.len == text.len && memcmp(text.data, again.data, text.len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 4 << 20};
    struct mf_error err = {0};
    const struct cql_type *t;
    if (cql_type_parse((const char *)data, size, udt, NULL, &arena, &t, &err) == 0) {
        means_itself(t, &arena);
    }
    mf_arena_reset(&arena);
    char *name = strndup((const char *)data, size);
    if (name && cql_type_of_class(name, &arena, &t, &err) == 0) {
        means_itself(t, &arena);
    }
    free(name);
    mf_arena_reset(&arena);
    struct mf_cursor r;
    mf_cursor_init(&r, data, size);
    if (cql_type_read(&r, &arena, &t, &err) == 0) {
        means_itself(t, &arena);
    } else {
        MF_FUZZ_CHECK(r.failed && err.text[0]);
    }
    return 0;
}
