/*
 * A growable byte buffer with a maximum: nothing from outside may make it grow without a bound.
 *
 * Growth past `max`, or out of memory, returns -1, leaves the contents as they were, and sets `failed`, which stays:
 * a run of appends may be checked once at the end with mf_buf_ok(). data is NULL until the first reserve and always
 * has a NUL byte after its len bytes afterwards. One thread at a time.
 */
#ifndef MF_BASE_BUF_H
#define MF_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mf_buf {
    char *data;
    size_t len, cap, max; /* bytes; cap counts the room for the closing NUL, max does not */
    bool failed;          /* an append did not fit; sticky until mf_buf_reset or mf_buf_free */
};

void mf_buf_init(struct mf_buf *b, size_t max);
/* Makes room for n more bytes (and a NUL). */
int mf_buf_reserve(struct mf_buf *b, size_t n);
int mf_buf_append(struct mf_buf *b, const void *p, size_t n);
int mf_buf_puts(struct mf_buf *b, const char *s);
int mf_buf_putc(struct mf_buf *b, char c);
int mf_buf_printf(struct mf_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int mf_buf_vprintf(struct mf_buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Empties it, keeping the memory; clears `failed`. */
void mf_buf_reset(struct mf_buf *b);
/* Frees the memory and keeps max, so that the buffer may be used again. Accepts NULL and an all-zero buffer. */
void mf_buf_free(struct mf_buf *b);
/* Hands the bytes over: the caller frees with free(). Never NULL unless out of memory. The buffer is empty after. */
char *mf_buf_steal(struct mf_buf *b, size_t *ret_len);

static inline bool mf_buf_ok(const struct mf_buf *b)
{
    return !b->failed;
}

/* The contents as a string; "" while nothing was reserved. Valid until the buffer changes. */
static inline const char *mf_buf_str(const struct mf_buf *b)
{
    return b->data ? b->data : "";
}

int mf_buf_put_u8(struct mf_buf *b, uint8_t v);
int mf_buf_put_u16be(struct mf_buf *b, uint16_t v);
int mf_buf_put_u32be(struct mf_buf *b, uint32_t v);
int mf_buf_put_u64be(struct mf_buf *b, uint64_t v);
/* Unsigned LEB128, at most MF_VARINT_MAX bytes, always the shortest form. */
int mf_buf_put_varint(struct mf_buf *b, uint64_t v);
/* A signed number, folded so that small magnitudes stay short (zigzag). */
int mf_buf_put_svarint(struct mf_buf *b, int64_t v);
/* A varint length, then the bytes. */
int mf_buf_put_bytes(struct mf_buf *b, const void *p, size_t n);

#define MF_VARINT_MAX 10

/* Plain memory, no bounds: p has room for the width. */
static inline void mf_put_u16be(void *p, uint16_t v)
{
    uint8_t *d = p;
    d[0] = (uint8_t)(v >> 8);
    d[1] = (uint8_t)v;
}
static inline void mf_put_u32be(void *p, uint32_t v)
{
    uint8_t *d = p;
    mf_put_u16be(d, (uint16_t)(v >> 16));
    mf_put_u16be(d + 2, (uint16_t)v);
}
static inline void mf_put_u64be(void *p, uint64_t v)
{
    uint8_t *d = p;
    mf_put_u32be(d, (uint32_t)(v >> 32));
    mf_put_u32be(d + 4, (uint32_t)v);
}
static inline void mf_put_u16le(void *p, uint16_t v)
{
    uint8_t *d = p;
    d[0] = (uint8_t)v;
    d[1] = (uint8_t)(v >> 8);
}
static inline void mf_put_u32le(void *p, uint32_t v)
{
    uint8_t *d = p;
    mf_put_u16le(d, (uint16_t)v);
    mf_put_u16le(d + 2, (uint16_t)(v >> 16));
}
static inline void mf_put_u64le(void *p, uint64_t v)
{
    uint8_t *d = p;
    mf_put_u32le(d, (uint32_t)v);
    mf_put_u32le(d + 4, (uint32_t)(v >> 32));
}
static inline uint16_t mf_get_u16be(const void *p)
{
    const uint8_t *s = p;
    return (uint16_t)((uint16_t)s[0] << 8 | s[1]);
}
static inline uint32_t mf_get_u32be(const void *p)
{
    const uint8_t *s = p;
    return (uint32_t)mf_get_u16be(s) << 16 | mf_get_u16be(s + 2);
}
static inline uint64_t mf_get_u64be(const void *p)
{
    const uint8_t *s = p;
    return (uint64_t)mf_get_u32be(s) << 32 | mf_get_u32be(s + 4);
}
static inline uint16_t mf_get_u16le(const void *p)
{
    const uint8_t *s = p;
    return (uint16_t)(s[0] | (uint16_t)s[1] << 8);
}
static inline uint32_t mf_get_u32le(const void *p)
{
    const uint8_t *s = p;
    return mf_get_u16le(s) | (uint32_t)mf_get_u16le(s + 2) << 16;
}
static inline uint64_t mf_get_u64le(const void *p)
{
    const uint8_t *s = p;
    return mf_get_u32le(s) | (uint64_t)mf_get_u32le(s + 4) << 32;
}

/*
 * A bounded reader over bytes somebody else wrote. Failure is sticky: after the first short or malformed read every
 * read returns 0 (or NULL) and `failed` stays true, so a decoder may read a whole record and look once. A failed read
 * moves nothing.
 */
struct mf_cursor {
    const uint8_t *p, *end;
    bool failed;
};

void mf_cursor_init(struct mf_cursor *r, const void *p, size_t n);
static inline size_t mf_cursor_left(const struct mf_cursor *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->p);
}
uint8_t mf_read_u8(struct mf_cursor *r);
uint16_t mf_read_u16be(struct mf_cursor *r);
uint32_t mf_read_u32be(struct mf_cursor *r);
uint64_t mf_read_u64be(struct mf_cursor *r);
/* Fails on a number past 64 bits and on a form longer than the shortest. */
uint64_t mf_read_varint(struct mf_cursor *r);
int64_t mf_read_svarint(struct mf_cursor *r);
/* n bytes in place: not copied, not ended by a NUL. NULL on failure; never NULL otherwise, even for n = 0. */
const void *mf_read_bytes(struct mf_cursor *r, size_t n);
/* What mf_buf_put_bytes wrote; a length past the end fails. */
const void *mf_read_lbytes(struct mf_cursor *r, size_t *ret_n);
/* A string up to and including its NUL, in place. */
const char *mf_read_cstr(struct mf_cursor *r);

#endif
