/* A statement's text from a server's statistics, or a routine's: whatever it is, it is read to its end, grows by no more than the lists in it say, and what is
 * not to be planned gives nothing to plan. */
#include "fuzz.h"

#include "base/cleanup.h"
#include "connector/mysql/query_text.h"
#include "connector/mysql/upgrade.h"

#include <string.h>

static void give(void *ctx, const char *table, const char *column, struct mf_buf *out)
{
    (void)ctx;
    MF_FUZZ_CHECK(strlen(table) < 300 && strlen(column) < 300);
    mf_buf_puts(out, "1");
}

static void name(void *ctx, const char *n)
{
    (void)ctx;
    MF_FUZZ_CHECK(strlen(n) < 300);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    MF_CLEANUP_BUF struct mf_buf markers = {.max = 1u << 20}, literals = {.max = 1u << 20};
    struct my_scan scan;
    char called[40];
    my_query_markers(text, size, &markers);
    if (my_query_literals(text, size, give, NULL, &literals) == MY_PLAN_NONE) {
        MF_FUZZ_CHECK(literals.len == 0);
    }
    my_query_names(text, size, name, NULL);
    if (my_query_calls_unknown(text, size, size % 2, called, sizeof called)) {
        MF_FUZZ_CHECK(memchr(called, 0, sizeof called) != NULL);
    }
    my_scan_text(text, size, size % 2, &scan);
    MF_FUZZ_CHECK(memchr(scan.removed, 0, sizeof scan.removed) != NULL);
    return 0;
}
