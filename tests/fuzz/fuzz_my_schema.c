/* What a server printed of a table, an event, a view, a grant: taken apart or refused, every piece inside the text; and what is not changed comes
 * out as it went in. */
#include "fuzz.h"

#include "base/cleanup.h"
#include "connector/mysql/grants.h"
#include "connector/mysql/schema_mend.h"

#include <string.h>

static bool no_collation(void *ctx, const char *name)
{
    (void)ctx;
    return strlen(name) % 2 == 0;
}

static const char *some_collation(void *ctx, const char *charset)
{
    (void)ctx;
    return strlen(charset) % 3 ? "utf8_general_ci" : NULL;
}

static void create(const char *text, size_t n)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    struct my_create c;
    struct mf_error err = {0};
    mf_arena_init(&arena, 1u << 20);
    if (my_create_split(text, &arena, &c, &err) < 0) {
        return;
    }
    MF_FUZZ_CHECK(c.nitems > 0 && c.tail.p >= text && c.tail.p + c.tail.n <= text + n);
    for (size_t i = 0; i < c.nitems; i++) {
        const struct my_item *it = &c.items[i];
        char name[257];
        bool whole;
        size_t pos = 0, columns = 0;
        MF_FUZZ_CHECK(it->text.p >= text && it->text.n > 0 && it->text.p + it->text.n <= text + n);
        MF_FUZZ_CHECK(!it->inner.p ||
                      (it->inner.p >= it->text.p && it->inner.p + it->inner.n <= it->text.p + it->text.n));
        while (my_key_column(it->inner, &pos, name, &whole)) {
            MF_FUZZ_CHECK(++columns <= it->inner.n);
        }
        my_default_is_constant(it);
        my_item_says(it, "ON", "UPDATE");
    }
}

/* Without anything to change, a text is its own mending. */
static void mend(const char *text, size_t n)
{
    const struct my_mend plain = {.version = 80045},
                         all = {.version = 50744, .has_collation = no_collation, .default_collation = some_collation};
    MF_CLEANUP_BUF struct mf_buf same = {.max = 1u << 22}, other = {.max = 1u << 22}, tail = {.max = 1u << 22};
    char told[64];
    my_mend_names(&plain, (struct my_piece){text, n}, &same);
    MF_FUZZ_CHECK(mf_buf_ok(&same) && same.len == n && memcmp(mf_buf_str(&same), text, n) == 0);
    my_mend_names(&all, (struct my_piece){text, n}, &other);
    my_mend_tail(&all, (struct my_piece){text, n}, &tail, told, sizeof told);
    mf_buf_reset(&tail);
    my_mend_tail(&plain, (struct my_piece){text, n}, &tail, told, sizeof told);
    MF_FUZZ_CHECK(tail.len <= n);
    mf_buf_reset(&tail);
    my_mend_modes(&plain, text, &tail, told, sizeof told);
    MF_FUZZ_CHECK(tail.len <= n);
}

static void objects(const char *text, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1u << 22};
    struct mf_error err = {0};
    char account[64];
    bool enabled;
    my_definer(text, account, sizeof account);
    my_without_definer(text, &b);
    MF_FUZZ_CHECK(b.len <= n);
    mf_buf_reset(&b);
    my_event_disabled(text, &b, &enabled, &err);
}

static void grants(const char *text)
{
    struct my_grants g;
    struct mf_error err = {0};
    my_grants_init(&g);
    my_grants_add(&g, text, &err);
    my_grants_have(&g, "SELECT", "a_b", "t");
    my_grants_free(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1u << 16) {
        return 0;
    }
    MF_CLEANUP_FREE char *text = malloc(size + 1);
    MF_FUZZ_CHECK(text);
    memcpy(text, data, size);
    text[size] = 0;
    size_t n = strlen(text);
    create(text, n);
    mend(text, n);
    objects(text, n);
    grants(text);
    return 0;
}
