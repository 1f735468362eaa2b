/*
 * Documents of a shape. The first byte says of which type of Cassandra, the rest is a document or a value's text.
 *
 * What holds for any bytes: a document that is held to its type is its own spelling; what Cassandra's translation makes of it comes back as the same document.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "connector/cassandra/canon.h"
#include "model/document.h"

#include <string.h>

static const char *const types[] = {
    "frozen<list<int>>",
    "frozen<set<text>>",
    "frozen<map<text, double>>",
    "frozen<map<int, frozen<list<blob>>>>",
    "frozen<set<frozen<set<date>>>>",
    "frozen<list<timestamp>>",
    "frozen<list<float>>",
    "frozen<map<boolean, varint>>",
    "frozen<list<decimal>>",
    "frozen<set<uuid>>",
    "frozen<anything>",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    struct mf_error err = {0};
    struct mf_type t;
    struct mf_value document, again, own, back;
    mf_arena_init(&arena, (size_t)64 << 20);
    if (size < 1 || size > 1u << 16) {
        return 0;
    }
    const char *text = (const char *)data + 1;
    MF_FUZZ_CHECK(cass_canon_column(types[data[0] % MF_ARRAY_LEN(types)], cass_any_udt, &arena, &arena, &t));
    own = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)(size - 1), .data = text};
    if (cass_to_canon(&t, &arena, &own, &back, &err) == 0) {
        MF_FUZZ_CHECK(mf_document_fit(&t, &arena, &back, &again, &err) == 0 && mf_value_equal(&back, &again));
    }
    if (mf_document_canon(&t, &arena, text, size - 1, &document, &err) < 0) {
        return 0;
    }
    MF_FUZZ_CHECK(mf_document_fit(&t, &arena, &document, &again, &err) == 0 && mf_value_equal(&document, &again));
    if (t.shape != MF_SHAPE_RECORD && cass_from_canon(&t, &arena, &document, &own, &err) == 0) {
        MF_FUZZ_CHECK(cass_to_canon(&t, &arena, &own, &back, &err) == 0 && mf_value_equal(&document, &back));
    }
    return 0;
}
