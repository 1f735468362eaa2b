#include "base/buf.h"

#include <string.h>

void mf_cursor_init(struct mf_cursor *r, const void *p, size_t n)
{
    static const uint8_t nothing[1];
    const uint8_t *start = p && n ? p : nothing;
    *r = (struct mf_cursor){.p = start, .end = start + (p ? n : 0)};
}

const void *mf_read_bytes(struct mf_cursor *r, size_t n)
{
    if (r->failed || n > (size_t)(r->end - r->p)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->p;
    r->p += n;
    return at;
}

uint8_t mf_read_u8(struct mf_cursor *r)
{
    const uint8_t *at = mf_read_bytes(r, 1);
    return at ? *at : 0;
}

uint16_t mf_read_u16be(struct mf_cursor *r)
{
    const void *at = mf_read_bytes(r, 2);
    return at ? mf_get_u16be(at) : 0;
}

uint32_t mf_read_u32be(struct mf_cursor *r)
{
    const void *at = mf_read_bytes(r, 4);
    return at ? mf_get_u32be(at) : 0;
}

uint64_t mf_read_u64be(struct mf_cursor *r)
{
    const void *at = mf_read_bytes(r, 8);
    return at ? mf_get_u64be(at) : 0;
}

uint64_t mf_read_varint(struct mf_cursor *r)
{
    uint64_t v = 0;
    const uint8_t *at = r->p;
    for (unsigned shift = 0; !r->failed && at < r->end && shift < 64; shift += 7) {
        uint8_t byte = *at++;
        /* The tenth byte holds one bit; a closing zero byte after the first is a longer form than needed. */
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0)) {
            break;
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            r->p = at;
            return v;
        }
    }
    r->failed = true;
    return 0;
}

int64_t mf_read_svarint(struct mf_cursor *r)
{
    uint64_t v = mf_read_varint(r);
    return (int64_t)((v >> 1) ^ (v & 1 ? UINT64_MAX : 0));
}

const void *mf_read_lbytes(struct mf_cursor *r, size_t *ret_n)
{
    const uint8_t *start = r->p;
    uint64_t n = mf_read_varint(r);
    if (r->failed || n > (uint64_t)(r->end - r->p)) {
        r->failed = true;
        r->p = start;
        return NULL;
    }
    *ret_n = (size_t)n;
    return mf_read_bytes(r, (size_t)n);
}

const char *mf_read_cstr(struct mf_cursor *r)
{
    const uint8_t *nul = r->failed ? NULL : memchr(r->p, 0, (size_t)(r->end - r->p));
    if (!nul) {
        r->failed = true;
        return NULL;
    }
    const char *at = (const char *)r->p;
    r->p = nul + 1;
    return at;
}
