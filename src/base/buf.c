#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mf_buf_init(struct mf_buf *b, size_t max)
{
    *b = (struct mf_buf){.max = max};
}

int mf_buf_reserve(struct mf_buf *b, size_t n)
{
    if (b->failed || b->len > b->max || n > b->max - b->len || b->len + n == SIZE_MAX) {
        b->failed = true;
        return -1;
    }
    size_t need = b->len + n + 1;
    if (need <= b->cap) {
        return 0;
    }
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    if (cap - 1 > b->max) {
        cap = b->max + 1;
    }
    char *data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return -1;
    }
    if (!b->data) {
        data[0] = '\0';
    }
    b->data = data;
    b->cap = cap;
    return 0;
}

int mf_buf_append(struct mf_buf *b, const void *p, size_t n)
{
    if (mf_buf_reserve(b, n) < 0) {
        return -1;
    }
    if (n) {
        memcpy(b->data + b->len, p, n);
    }
    b->len += n;
    b->data[b->len] = '\0';
    return 0;
}

int mf_buf_puts(struct mf_buf *b, const char *s)
{
    return mf_buf_append(b, s, strlen(s));
}

int mf_buf_putc(struct mf_buf *b, char c)
{
    return mf_buf_append(b, &c, 1);
}

int mf_buf_vprintf(struct mf_buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0) {
        b->failed = true;
        return -1;
    }
    if (mf_buf_reserve(b, (size_t)n) < 0) {
        return -1;
    }
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
    return 0;
}

int mf_buf_printf(struct mf_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = mf_buf_vprintf(b, fmt, ap);
    va_end(ap);
    return rc;
}

void mf_buf_reset(struct mf_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data) {
        b->data[0] = '\0';
    }
}

void mf_buf_free(struct mf_buf *b)
{
    if (b) {
        free(b->data);
        *b = (struct mf_buf){.max = b->max};
    }
}

char *mf_buf_steal(struct mf_buf *b, size_t *ret_len)
{
    char *data = b->data ? b->data : calloc(1, 1);
    if (data && ret_len) {
        *ret_len = b->len;
    }
    *b = (struct mf_buf){.max = b->max};
    return data;
}

int mf_buf_put_u8(struct mf_buf *b, uint8_t v)
{
    return mf_buf_append(b, &v, 1);
}

int mf_buf_put_u16be(struct mf_buf *b, uint16_t v)
{
    uint8_t d[2];
    mf_put_u16be(d, v);
    return mf_buf_append(b, d, sizeof(d));
}

int mf_buf_put_u32be(struct mf_buf *b, uint32_t v)
{
    uint8_t d[4];
    mf_put_u32be(d, v);
    return mf_buf_append(b, d, sizeof(d));
}

int mf_buf_put_u64be(struct mf_buf *b, uint64_t v)
{
    uint8_t d[8];
    mf_put_u64be(d, v);
    return mf_buf_append(b, d, sizeof(d));
}

int mf_buf_put_varint(struct mf_buf *b, uint64_t v)
{
    uint8_t d[MF_VARINT_MAX];
    size_t n = 0;
    while (v >= 0x80) {
        d[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    d[n++] = (uint8_t)v;
    return mf_buf_append(b, d, n);
}

int mf_buf_put_svarint(struct mf_buf *b, int64_t v)
{
    return mf_buf_put_varint(b, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

int mf_buf_put_bytes(struct mf_buf *b, const void *p, size_t n)
{
    size_t before = b->len;
    if (mf_buf_put_varint(b, n) < 0) {
        return -1;
    }
    if (mf_buf_append(b, p, n) < 0) {
        b->len = before;
        b->data[before] = '\0';
        return -1;
    }
    return 0;
}
