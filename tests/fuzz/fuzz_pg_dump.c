/* A dump written by somebody: taken apart or refused, and every piece lies inside the text. */
#include "fuzz.h"

#include "base/cleanup.h"
#include "connector/postgres/dump.h"

static void inside(const struct pg_dump *d, struct pg_piece p)
{
    MF_FUZZ_CHECK(p.n == 0 || (p.p >= d->text.data && p.p + p.n <= d->text.data + d->text.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pg_dump d = {.text = {.max = 1u << 20}};
    struct mf_error err = {0};
    if (size == 0 || mf_buf_append(&d.text, data, size) < 0) {
        return 0;
    }
    if (pg_dump_split(&d, &err) == 0) {
        inside(&d, d.preamble);
        for (size_t i = 0; i < d.n; i++) {
            inside(&d, d.entries[i].sql);
            inside(&d, d.entries[i].own);
            inside(&d, d.entries[i].set);
        }
    }
    pg_dump_free(&d);
    return 0;
}
