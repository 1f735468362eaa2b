/* Texts that a server's statistics may hold, as ways of finding rows: what is read is within its bounds and is made of the text's own bytes. */
#include "fuzz.h"

#include "base/mem.h"
#include "map/access.h"

#include <string.h>

static void check_name(const struct mf_access_name *n, size_t size)
{
    size_t len = strnlen(n->text, sizeof n->text);
    MF_FUZZ_CHECK(len < sizeof n->text && len <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mf_access a;
    char *text = mf_xmalloc(size ? size : 1); /* no byte behind it */
    memcpy(text, data, size);
    if (mf_access_parse(text, size, &a)) {
        MF_FUZZ_CHECK(a.nequal <= MF_ACCESS_MOST && a.nrange <= MF_ACCESS_MOST && a.norder <= MF_ACCESS_MOST);
        MF_FUZZ_CHECK(a.table.text[0] && mf_access_same(&a, &a));
        check_name(&a.schema, size);
        for (uint16_t i = 0; i < a.nequal; i++) {
            check_name(&a.equal[i], size);
        }
        for (uint16_t i = 0; i < a.norder; i++) {
            check_name(&a.order[i].name, size);
        }
    }
    free(text);
    return 0;
}
