/* An evaluation request and an If-None-Match from anywhere: taken whole, or refused in the protocol's words. The first byte says how
 * much of the rest is the header. */
#include "fuzz.h"

#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

static void question(const char *data, size_t n)
{
    struct mf_ofrep_question q = {0};
    char why[MF_OFREP_WHY] = "";
    enum mf_ofrep_error e = mf_ofrep_question(data, n, &q, why);
    if (e == MF_OFREP_FINE) {
        MF_FUZZ_CHECK(json_is_object(q.doc));
        MF_FUZZ_CHECK(q.key || q.key_len == 0);
        unsigned place = mf_flag_place(mf_flag_seed("shop"), q.key ? q.key : "", q.key_len);
        MF_FUZZ_CHECK(place < MF_FLAG_PLACES);
    } else {
        MF_FUZZ_CHECK(!q.doc && why[0]);
        MF_FUZZ_CHECK(e == MF_OFREP_PARSE_ERROR || e == MF_OFREP_INVALID_CONTEXT);
        MF_FUZZ_CHECK(mf_ofrep_code(e)[0]);
    }
    json_decref(q.doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t n = data[0] < size - 1 ? data[0] : size - 1;
    char *list = malloc(n + 1);
    MF_FUZZ_CHECK(list);
    memcpy(list, data + 1, n);
    list[n] = '\0';
    bool in = mf_ofrep_etag_in(list, "\"0123456789abcdef\"");
    MF_FUZZ_CHECK(!in || strchr(list, '*') || strstr(list, "\"0123456789abcdef\""));
    free(list);
    question((const char *)data + 1 + n, size - 1 - n);
    return 0;
}
