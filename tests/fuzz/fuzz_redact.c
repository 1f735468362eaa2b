/*
 * A secret placed where a URL or a libpq string holds its password never comes out, whatever bytes it is made of.
 * The input is the password; a marker no other part contains is put inside it.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define MARKER "HuNtEr2"

static void check(const char *url)
{
    MF_CLEANUP_FREE char *out = mf_url_redact(url);
    MF_FUZZ_CHECK(!strstr(out, MARKER));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 512 || memchr(data, 0, size)) {
        return 0;
    }
    MF_CLEANUP_FREE char *text = mf_xstrndup((const char *)data, size);
    MF_CLEANUP_FREE char *any = mf_url_redact(text);
    MF_FUZZ_CHECK(strlen(any) <= 4 * size + 8);

    /* Percent-encoded as it should be: every byte that is not plain. */
    struct mf_buf encoded;
    mf_buf_init(&encoded, 8192);
    for (size_t i = 0; i < size; i++) {
        mf_buf_printf(&encoded, "%%%02X", data[i]);
    }
    MF_CLEANUP_FREE char *u1 = mf_xasprintf("postgresql://u:%s" MARKER "@h:1/d?x=1", mf_buf_str(&encoded));
    MF_CLEANUP_FREE char *u2 = mf_xasprintf("postgresql://h/d?password=%s" MARKER "&x=1", mf_buf_str(&encoded));
    check(u1);
    check(u2);
    mf_buf_free(&encoded);

    /* libpq's quoting. */
    struct mf_buf quoted;
    mf_buf_init(&quoted, 8192);
    for (size_t i = 0; i < size; i++) {
        mf_buf_printf(&quoted, strchr("'\\", data[i]) ? "\\%c" : "%c", data[i]);
    }
    MF_CLEANUP_FREE char *k1 = mf_xasprintf("host=h password='%s" MARKER "' dbname=d", mf_buf_str(&quoted));
    check(k1);
    mf_buf_free(&quoted);

    /* Raw, as people paste it, up to what would make it a query of its own. */
    if (!strpbrk(text, "?&;#=")) {
        MF_CLEANUP_FREE char *r1 = mf_xasprintf("postgresql://u:%s" MARKER "@h/d", text);
        MF_CLEANUP_FREE char *r2 = mf_xasprintf("postgresql://u:%s" MARKER "@h/d?sslmode=require", text);
        check(r1);
        check(r2);
    }
    return 0;
}
