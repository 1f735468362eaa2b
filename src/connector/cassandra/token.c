#include "connector/cassandra/token.h"

#include "base/cleanup.h"

#define C1 0x87c37b91114253d5ull
#define C2 0x4cf5ad432745937full

static uint64_t rotate(uint64_t v, int by)
{
    return v << by | v >> (64 - by);
}

static uint64_t mix(uint64_t k)
{
    k ^= k >> 33;
    k *= 0xff51afd7ed558ccdull;
    k ^= k >> 33;
    k *= 0xc4ceb9fe1a85ec53ull;
    k ^= k >> 33;
    return k;
}

static uint64_t mix1(uint64_t k)
{
    return rotate(k * C1, 31) * C2;
}

static uint64_t mix2(uint64_t k)
{
    return rotate(k * C2, 33) * C1;
}

/* Up to eight bytes of the tail, each with its sign: what is above 127 turns all bits above it. */
static uint64_t tail(const uint8_t *p, size_t n)
{
    uint64_t k = 0;
    for (size_t i = 0; i < n; i++) {
        k ^= (uint64_t)(int64_t)(int8_t)p[i] << 8 * i;
    }
    return k;
}

int64_t cql_token(const void *routing_key, size_t n)
{
    const uint8_t *p = routing_key;
    uint64_t h1 = 0, h2 = 0;
    size_t left = n;
    for (; left >= 16; left -= 16, p += 16) {
        h1 ^= mix1(mf_get_u64le(p));
        h1 = (rotate(h1, 27) + h2) * 5 + 0x52dce729;
        h2 ^= mix2(mf_get_u64le(p + 8));
        h2 = (rotate(h2, 31) + h1) * 5 + 0x38495ab5;
    }
    if (left > 8) {
        h2 ^= mix2(tail(p + 8, left - 8));
    }
    if (left > 0) {
        h1 ^= mix1(tail(p, left < 8 ? left : 8));
    }
    h1 ^= n;
    h2 ^= n;
    h1 += h2;
    h2 += h1;
    h1 = mix(h1) + mix(h2);
    return (int64_t)h1 == INT64_MIN ? INT64_MAX : (int64_t)h1;
}

#define KEY_MAX UINT16_MAX /* bytes of a partition key */

int cql_routing_key(struct mf_buf *b, const struct cql_bytes *parts, size_t n, struct mf_error *err)
{
    size_t before = b->len;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n < 0 || parts[i].n > UINT16_MAX) {
            b->len = before;
            return mf_fail(err, MF_ROW, "MFVALUE",
                           parts[i].n < 0 ? "part %zu of the partition key has no value: no partition has such a key"
                                          : "part %zu of the partition key has more than 65535 bytes",
                           i + 1);
        }
        if (n > 1) {
            mf_buf_put_u16be(b, (uint16_t)parts[i].n);
        }
        mf_buf_append(b, parts[i].p, (size_t)parts[i].n);
        if (n > 1) {
            mf_buf_put_u8(b, 0);
        }
    }
    size_t len = b->len - before;
    if (mf_buf_ok(b) && len > 0 && len <= KEY_MAX) {
        return 0;
    }
    bool full = !mf_buf_ok(b);
    b->failed = false;
    b->len = before;
    if (full) {
        return mf_fail(err, MF_ROW, "MFBIG", "a partition key has no room in %zu bytes", b->max);
    }
    return mf_fail(err, MF_ROW, "MFVALUE", "a partition key has %zu bytes; it may have 1 to %d", len, KEY_MAX);
}

int cql_values_token(const struct cql_values *v, const uint16_t *pk, uint16_t npk, int64_t *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 64 * (KEY_MAX + 3)};
    struct cql_bytes parts[64];
    if (npk == 0 || npk > MF_ARRAY_LEN(parts)) {
        return mf_fail(err, MF_FATAL, "MFBUG", "a partition key of %d values", npk);
    }
    for (uint16_t i = 0; i < npk; i++) {
        if (!cql_values_at(v, pk[i], &parts[i])) {
            return mf_fail(err, MF_FATAL, "MFBUG",
                           "value %d of a statement is part of the partition key and is not there", pk[i] + 1);
        }
    }
    if (npk == 1 && parts[0].n > 0 && parts[0].n <= KEY_MAX) {
        *ret = cql_token(parts[0].p, (size_t)parts[0].n);
        return 0;
    }
    if (cql_routing_key(&key, parts, npk, err) < 0) {
        return -1;
    }
    *ret = cql_token(key.data, key.len);
    return 0;
}
