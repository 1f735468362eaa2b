#include "connector/cassandra/message.h"

#include <string.h>

/* Bits of a request's flags; those past a byte's are of version 5. */
enum {
    Q_VALUES = 0x01,
    Q_SKIP_METADATA = 0x02,
    Q_PAGE_SIZE = 0x04,
    Q_PAGING_STATE = 0x08,
    Q_SERIAL = 0x10,
    Q_TIMESTAMP = 0x20,
    Q_NAMES = 0x40,
    Q_KEYSPACE = 0x80,
};
enum { PREPARE_KEYSPACE = 0x01 };

int cql_put_bytes(struct mf_buf *b, const void *p, size_t n)
{
    if (n > INT32_MAX) {
        b->failed = true;
        return -1;
    }
    mf_buf_put_u32be(b, (uint32_t)n);
    return mf_buf_append(b, p, n);
}

int cql_put_null(struct mf_buf *b)
{
    return mf_buf_put_u32be(b, (uint32_t)CQL_LEN_NULL);
}

int cql_put_unset(struct mf_buf *b)
{
    return mf_buf_put_u32be(b, (uint32_t)CQL_LEN_UNSET);
}

static int put_short_bytes(struct mf_buf *b, const void *p, size_t n)
{
    if (n > UINT16_MAX) {
        b->failed = true;
        return -1;
    }
    mf_buf_put_u16be(b, (uint16_t)n);
    return mf_buf_append(b, p, n);
}

int cql_put_string(struct mf_buf *b, const char *s)
{
    return put_short_bytes(b, s, strlen(s));
}

static void put_long_string(struct mf_buf *b, const char *s)
{
    cql_put_bytes(b, s, strlen(s));
}

bool cql_values_at(const struct cql_values *v, uint16_t i, struct cql_bytes *ret)
{
    struct mf_cursor r;
    mf_cursor_init(&r, v->p, v->len);
    for (uint16_t k = 0; k <= i && i < v->n; k++) {
        int32_t n = (int32_t)mf_read_u32be(&r);
        const uint8_t *p = n > 0 ? mf_read_bytes(&r, (size_t)n) : r.p;
        if (r.failed) {
            return false;
        }
        if (k == i) {
            *ret = (struct cql_bytes){.p = p, .n = n};
            return true;
        }
    }
    return false;
}

/* ---- the small ones -- */

int cql_put_startup(struct mf_buf *b, uint8_t version, int16_t stream, const char *compression, const char *driver,
                    struct mf_error *err)
{
    size_t at = cql_frame_begin(b, version, stream, CQL_STARTUP);
    mf_buf_put_u16be(b, (uint16_t)(1 + (compression != NULL) + (driver != NULL)));
    cql_put_string(b, "CQL_VERSION");
    cql_put_string(b, "3.0.0");
    if (compression) {
        cql_put_string(b, "COMPRESSION");
        cql_put_string(b, compression);
    }
    if (driver) {
        cql_put_string(b, "DRIVER_NAME");
        cql_put_string(b, driver);
    }
    return cql_frame_end(b, at, err);
}

int cql_put_options(struct mf_buf *b, uint8_t version, int16_t stream, struct mf_error *err)
{
    return cql_frame_end(b, cql_frame_begin(b, version, stream, CQL_OPTIONS), err);
}

int cql_put_auth_response(struct mf_buf *b, uint8_t version, int16_t stream, const void *token, size_t n,
                          struct mf_error *err)
{
    size_t at = cql_frame_begin(b, version, stream, CQL_AUTH_RESPONSE);
    cql_put_bytes(b, token, n);
    return cql_frame_end(b, at, err);
}

int cql_put_register(struct mf_buf *b, uint8_t version, int16_t stream, unsigned events, struct mf_error *err)
{
    static const char *const names[] = {"TOPOLOGY_CHANGE", "STATUS_CHANGE", "SCHEMA_CHANGE"};
    size_t at = cql_frame_begin(b, version, stream, CQL_REGISTER);
    mf_buf_put_u16be(b, (uint16_t)__builtin_popcount(events & 7));
    for (int i = 0; i < 3; i++) {
        if (events >> i & 1) {
            cql_put_string(b, names[i]);
        }
    }
    return cql_frame_end(b, at, err);
}

int cql_put_prepare(struct mf_buf *b, uint8_t version, int16_t stream, const char *cql, const char *keyspace,
                    struct mf_error *err)
{
    size_t at = cql_frame_begin(b, version, stream, CQL_PREPARE);
    put_long_string(b, cql);
    if (version >= 5) {
        mf_buf_put_u32be(b, keyspace ? PREPARE_KEYSPACE : 0);
        if (keyspace) {
            cql_put_string(b, keyspace);
        }
    }
    return cql_frame_end(b, at, err);
}

/* ---- statements -- */

static void put_flags(struct mf_buf *b, uint8_t version, uint32_t flags)
{
    if (version >= 5) {
        mf_buf_put_u32be(b, flags);
    } else {
        mf_buf_put_u8(b, (uint8_t)flags);
    }
}

/* What a batch has as well. */
static uint32_t common_flags(uint8_t version, const struct cql_params *p)
{
    return (p->serial ? Q_SERIAL : 0) | (p->has_timestamp ? Q_TIMESTAMP : 0) |
           (version >= 5 && p->keyspace ? Q_KEYSPACE : 0);
}

static void put_common(struct mf_buf *b, uint32_t flags, const struct cql_params *p)
{
    if (flags & Q_SERIAL) {
        mf_buf_put_u16be(b, (uint16_t)p->serial);
    }
    if (flags & Q_TIMESTAMP) {
        mf_buf_put_u64be(b, (uint64_t)p->timestamp);
    }
    if (flags & Q_KEYSPACE) {
        cql_put_string(b, p->keyspace);
    }
}

static void put_params(struct mf_buf *b, uint8_t version, const struct cql_params *p)
{
    uint32_t flags = common_flags(version, p) | (p->skip_metadata ? Q_SKIP_METADATA : 0) |
                     (p->page_size > 0 ? Q_PAGE_SIZE : 0) | (p->paging_state.p ? Q_PAGING_STATE : 0);
    if (p->values.n > 0) {
        flags |= Q_VALUES | (p->named ? Q_NAMES : 0);
    }
    mf_buf_put_u16be(b, (uint16_t)p->consistency);
    put_flags(b, version, flags);
    if (flags & Q_VALUES) {
        mf_buf_put_u16be(b, p->values.n);
        mf_buf_append(b, p->values.p, p->values.len);
    }
    if (flags & Q_PAGE_SIZE) {
        mf_buf_put_u32be(b, (uint32_t)p->page_size);
    }
    if (flags & Q_PAGING_STATE) {
        cql_put_bytes(b, p->paging_state.p, (size_t)p->paging_state.n);
    }
    put_common(b, flags, p);
}

int cql_put_query(struct mf_buf *b, uint8_t version, int16_t stream, const char *cql, const struct cql_params *p,
                  struct mf_error *err)
{
    size_t at = cql_frame_begin(b, version, stream, CQL_QUERY);
    put_long_string(b, cql);
    put_params(b, version, p);
    return cql_frame_end(b, at, err);
}

int cql_put_execute(struct mf_buf *b, uint8_t version, int16_t stream, struct cql_bytes id, struct cql_bytes result_id,
                    const struct cql_params *p, struct mf_error *err)
{
    size_t at = cql_frame_begin(b, version, stream, CQL_EXECUTE);
    put_short_bytes(b, id.p, (size_t)id.n);
    if (version >= 5) {
        put_short_bytes(b, result_id.p, result_id.p ? (size_t)result_id.n : 0);
    }
    put_params(b, version, p);
    return cql_frame_end(b, at, err);
}

int cql_put_batch(struct mf_buf *b, uint8_t version, int16_t stream, enum cql_batch_type type,
                  const struct cql_batch_item *items, uint16_t n, const struct cql_params *p, struct mf_error *err)
{
    size_t at = cql_frame_begin(b, version, stream, CQL_BATCH);
    mf_buf_put_u8(b, (uint8_t)type);
    mf_buf_put_u16be(b, n);
    for (uint16_t i = 0; i < n; i++) {
        bool prepared = items[i].id.p != NULL;
        mf_buf_put_u8(b, prepared);
        if (prepared) {
            put_short_bytes(b, items[i].id.p, (size_t)items[i].id.n);
        } else {
            put_long_string(b, items[i].cql);
        }
        mf_buf_put_u16be(b, items[i].values.n);
        mf_buf_append(b, items[i].values.p, items[i].values.len);
    }
    uint32_t flags = common_flags(version, p);
    mf_buf_put_u16be(b, (uint16_t)p->consistency);
    put_flags(b, version, flags);
    put_common(b, flags, p);
    return cql_frame_end(b, at, err);
}
