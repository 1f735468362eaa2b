/* The bounded cursor: whatever it is asked for, it never reads outside, and what it reads it can write back. */
#include "fuzz.h"

#include "base/buf.h"

#include <string.h>

static void read_one(struct mf_cursor *r, uint8_t what, struct mf_buf *back)
{
    size_t n = 0;
    const void *p;
    const char *s;
    switch (what % 9) {
    case 0:
        mf_buf_put_u8(back, mf_read_u8(r));
        break;
    case 1:
        mf_buf_put_u16be(back, mf_read_u16be(r));
        break;
    case 2:
        mf_buf_put_u32be(back, mf_read_u32be(r));
        break;
    case 3:
        mf_buf_put_u64be(back, mf_read_u64be(r));
        break;
    case 4:
        mf_buf_put_varint(back, mf_read_varint(r));
        break;
    case 5:
        mf_buf_put_svarint(back, mf_read_svarint(r));
        break;
    case 6:
        if ((p = mf_read_bytes(r, what))) {
            mf_buf_append(back, p, what);
        }
        break;
    case 7:
        if ((p = mf_read_lbytes(r, &n))) {
            mf_buf_put_bytes(back, p, n);
        }
        break;
    default:
        if ((s = mf_read_cstr(r))) {
            mf_buf_append(back, s, strlen(s) + 1);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    /* The first half says what to read, the second is read. */
    size_t half = size / 2;
    struct mf_cursor r;
    struct mf_buf back;
    mf_cursor_init(&r, data + half, size - half);
    mf_buf_init(&back, size * 12 + 16);
    for (size_t i = 0; i < half; i++) {
        const uint8_t *before = r.p;
        bool was_failed = r.failed;
        size_t had = back.len;
        read_one(&r, data[i], &back);
        MF_FUZZ_CHECK(r.p >= before && r.p <= r.end);
        MF_FUZZ_CHECK(r.failed >= was_failed);
        if (r.failed) {
            MF_FUZZ_CHECK(r.p == before);
            break;
        }
        /* Every encoding has one form only, so writing it again gives the same bytes. */
        MF_FUZZ_CHECK(back.len - had == (size_t)(r.p - before));
        MF_FUZZ_CHECK(back.len == had || memcmp(back.data + had, before, back.len - had) == 0);
    }
    mf_buf_free(&back);
    return 0;
}
