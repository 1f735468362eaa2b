/*
 * JSON's binary form and its diffs from a server that lies: two bytes of length, a document, and diffs. A document is printed or refused
 * in time and room that its length bounds; no diffs make the same document; a document of no parts that overlap has a text that is longer by
 * no more than a factor.
 */
#include "fuzz.h"

#include "base/buf.h"
#include "connector/mysql/binlog.h"
#include "connector/mysql/jsonb.h"

#include <string.h>

/* A control character becomes six; a small number 20 and its separator. */
#define GROWS 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mf_buf text = {.max = 64 << 20}, same = {.max = 64 << 20};
    struct mf_error err = {0};
    if (size < 2) {
        return 0;
    }
    size_t n = mf_get_u16le(data);
    data += 2;
    size -= 2;
    n = n < size ? n : size;
    /* Copies of exactly these sizes, so that a checker sees a read past the end. */
    uint8_t *base = malloc(n ? n : 1), *diffs = malloc(size - n ? size - n : 1);
    MF_FUZZ_CHECK(base && diffs);
    memcpy(base, data, n);
    memcpy(diffs, data + n, size - n);

    int rc = my_json_text(&text, base, n, &err);
    MF_FUZZ_CHECK(rc == 0 ? text.len > 0 && text.len <= GROWS * n + 8 : err.cls == MF_FATAL && err.text[0]);
    MF_FUZZ_CHECK(my_json_patch(&same, base, n, diffs, 0, &err) == rc);
    MF_FUZZ_CHECK(rc < 0 || (same.len == text.len && memcmp(same.data, text.data, text.len) == 0));

    mf_buf_reset(&same);
    rc = my_json_patch(&same, base, n, diffs, size - n, &err);
    MF_FUZZ_CHECK(rc == 0 ? same.len > 0 && same.len <= GROWS * (n + size) + 8 : err.cls == MF_FATAL && err.text[0]);
    mf_buf_reset(&text);
    my_json_text_as(&text, base, n, true, &err);
    mf_buf_free(&text);
    mf_buf_free(&same);
    free(base);
    free(diffs);
    return 0;
}
