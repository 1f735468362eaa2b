#include "spool/format.h"

#include "base/buf.h"
#include "change/varint.h"

#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the state on the stack */
#include <xxhash.h>

#define MAGIC    0x3242464du /* "MFB2" */
#define SUM_AT   32
#define FLAGS_OK MF_BLOCK_ZSTD

static uint64_t sum_of(const uint8_t *head, const struct iovec *payload, int n)
{
    XXH3_state_t h;
    XXH3_64bits_reset(&h);
    XXH3_64bits_update(&h, head, SUM_AT);
    for (int i = 0; i < n; i++) {
        XXH3_64bits_update(&h, payload[i].iov_base, payload[i].iov_len);
    }
    return XXH3_64bits_digest(&h);
}

void mf_block_head_pack(uint8_t out[MF_BLOCK_HEADER], const struct mf_block_head *h, const struct iovec *payload, int n)
{
    memset(out, 0, MF_BLOCK_HEADER);
    mf_put_u32le(out, MAGIC);
    out[4] = h->flags;
    mf_put_u64le(out + 8, h->offset);
    mf_put_u64le(out + 16, h->durable);
    mf_put_u32le(out + 24, h->stored);
    mf_put_u32le(out + 28, h->raw);
    mf_put_u64le(out + SUM_AT, sum_of(out, payload, n));
}

bool mf_block_head_unpack(const uint8_t in[MF_BLOCK_HEADER], uint64_t offset, struct mf_block_head *ret)
{
    struct mf_block_head h = {
        .flags = in[4],
        .offset = mf_get_u64le(in + 8),
        .durable = mf_get_u64le(in + 16),
        .stored = mf_get_u32le(in + 24),
        .raw = mf_get_u32le(in + 28),
    };
    if (mf_get_u32le(in) != MAGIC || (h.flags & ~FLAGS_OK) || in[5] || in[6] || in[7] || h.offset != offset) {
        return false;
    }
    bool zstd = (h.flags & MF_BLOCK_ZSTD) != 0;
    if ((zstd && h.raw > MF_BLOCK_RAW_MAX) || (!zstd && h.raw != h.stored)) {
        return false;
    }
    *ret = h;
    return true;
}

bool mf_block_sum_ok(const uint8_t in[MF_BLOCK_HEADER], const void *payload, size_t n)
{
    struct iovec v = {.iov_base = (void *)(uintptr_t)payload, .iov_len = n};
    return mf_get_u64le(in + SUM_AT) == sum_of(in, &v, 1);
}

static uint8_t *write_position(uint8_t *p, const struct mf_position *pos)
{
    size_t n = strnlen(pos->token, MF_POSITION_TOKEN - 1);
    p = mf_varint_write(p, pos->order);
    p = mf_varint_write(p, n);
    memcpy(p, pos->token, n);
    return p + n;
}

uint8_t *mf_rec_segment(uint8_t *p, bool mid, const struct mf_position *base, int64_t stamp)
{
    *p++ = MF_REC_SEGMENT;
    *p++ = mid;
    p = write_position(p, base);
    return mf_varint_write(p, mf_zigzag(stamp));
}

uint8_t *mf_rec_relation(uint8_t *p, uint32_t rel, size_t len)
{
    *p++ = MF_REC_RELATION;
    p = mf_varint_write(p, rel);
    return mf_varint_write(p, len);
}

static uint8_t *write_head(uint8_t *p, const struct mf_txn_head *h)
{
    p = mf_varint_write(p, h->txn);
    p = write_position(p, &h->position);
    p = mf_varint_write(p, mf_zigzag(h->commit_time_us));
    p = mf_varint_write(p, mf_zigzag((int64_t)((uint64_t)h->stamp - (uint64_t)h->commit_time_us)));
    p = mf_varint_write(p, h->changes);
    return mf_varint_write(p, h->bytes);
}

uint8_t *mf_rec_begin(uint8_t *p, const struct mf_txn_head *h)
{
    *p++ = MF_REC_BEGIN;
    return write_head(p, h);
}

uint8_t *mf_rec_end_large(uint8_t *p, const struct mf_txn_head *h)
{
    *p++ = MF_REC_END_LARGE;
    return write_head(p, h);
}

uint8_t *mf_rec_data(uint8_t *p, size_t len)
{
    *p++ = MF_REC_DATA;
    return mf_varint_write(p, len);
}

uint8_t *mf_rec_end(uint8_t *p)
{
    *p++ = MF_REC_END;
    return p;
}

uint8_t *mf_rec_progress(uint8_t *p, const struct mf_position *pos)
{
    *p++ = MF_REC_PROGRESS;
    return write_position(p, pos);
}

static bool read_position(const uint8_t **p, const uint8_t *end, struct mf_position *ret)
{
    uint64_t n;
    if (!mf_varint_read(p, end, &ret->order) || !mf_varint_read(p, end, &n) || n >= MF_POSITION_TOKEN ||
        n > (size_t)(end - *p)) {
        return false;
    }
    memcpy(ret->token, *p, n);
    ret->token[n] = '\0';
    *p += n;
    return true;
}

static bool read_stamp(const uint8_t **p, const uint8_t *end, int64_t *ret)
{
    uint64_t v;
    if (!mf_varint_read(p, end, &v)) {
        return false;
    }
    *ret = mf_unzigzag(v);
    return true;
}

static bool read_bytes(const uint8_t **p, const uint8_t *end, struct mf_rec *ret)
{
    uint64_t n;
    if (!mf_varint_read(p, end, &n) || n > (size_t)(end - *p)) {
        return false;
    }
    ret->data = *p;
    ret->len = n;
    *p += n;
    return true;
}

static bool read_head(const uint8_t **p, const uint8_t *end, struct mf_txn_head *h)
{
    uint64_t time, ahead;
    if (!mf_varint_read(p, end, &h->txn) || !read_position(p, end, &h->position) || !mf_varint_read(p, end, &time) ||
        !mf_varint_read(p, end, &ahead) || !mf_varint_read(p, end, &h->changes) || !mf_varint_read(p, end, &h->bytes)) {
        return false;
    }
    h->commit_time_us = mf_unzigzag(time);
    h->stamp = (int64_t)((uint64_t)h->commit_time_us + (uint64_t)mf_unzigzag(ahead));
    return true;
}

bool mf_rec_parse(const uint8_t **p, const uint8_t *end, struct mf_rec *ret)
{
    if (*p >= end) {
        return false;
    }
    ret->type = (enum mf_rec_type) * (*p)++;
    switch (ret->type) {
    case MF_REC_SEGMENT:
        if (*p == end) {
            return false;
        }
        ret->mid = *(*p)++ != 0;
        return read_position(p, end, &ret->pos) && read_stamp(p, end, &ret->stamp);
    case MF_REC_RELATION: {
        uint64_t rel;
        if (!mf_varint_read(p, end, &rel) || rel == 0 || rel > UINT32_MAX) {
            return false;
        }
        ret->rel = (uint32_t)rel;
        return read_bytes(p, end, ret);
    }
    case MF_REC_BEGIN:
    case MF_REC_END_LARGE:
        return read_head(p, end, &ret->head);
    case MF_REC_DATA:
        return read_bytes(p, end, ret);
    case MF_REC_END:
        return true;
    case MF_REC_PROGRESS:
        return read_position(p, end, &ret->pos);
    }
    return false;
}
