/* Unsigned LEB128 for the hot paths of the codec and the spool: inline, bounded, no error objects. */
#ifndef MF_CHANGE_VARINT_H
#define MF_CHANGE_VARINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The caller has room for 10 bytes. Returns the byte after the last one written. */
static inline uint8_t *mf_varint_write(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

/* Moves *p past the number; false (and *p anywhere up to end) when it is cut off or does not fit 64 bits. */
static inline bool mf_varint_read(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    const uint8_t *s = *p;
    if (__builtin_expect(s < end && *s < 0x80, 1)) {
        *ret = *s;
        *p = s + 1;
        return true;
    }
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && s < end; shift += 7) {
        uint64_t b = *s++;
        if (shift == 63 && b > 1) {
            return false;
        }
        v |= (b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = v;
            *p = s;
            return true;
        }
    }
    return false;
}

static inline uint64_t mf_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t mf_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

#endif
