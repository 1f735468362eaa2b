/* The byte form of a table's shape: id, schema, name, identity, columns, key ordinals. Estimates do not travel. */
#include "change/codec.h"

#include "change/varint.h"

#include <string.h>

#define COLUMN_IN_KEY    0x01
#define COLUMN_NOT_NULL  0x02
#define COLUMN_GENERATED 0x04
#define COLUMN_HAS_TYPE  0x08
#define COLUMN_KNOWN     0x0f

#define MAX_NAME ((size_t)1 << 16)

int mf_encode_table(struct mf_buf *out, const struct mf_table *t, struct mf_error *err)
{
    size_t start = out->len;
    if (t->ncolumns > MF_MAX_COLUMNS || t->nkey > t->ncolumns) {
        return mf_fail(err, MF_FATAL, "MFCODEC", "table %s.%s has %u columns, more than %u", t->schema, t->name,
                       t->ncolumns, MF_MAX_COLUMNS);
    }
    mf_buf_put_varint(out, t->id);
    mf_buf_put_bytes(out, t->schema, strlen(t->schema));
    mf_buf_put_bytes(out, t->name, strlen(t->name));
    mf_buf_put_u8(out, (uint8_t)t->identity);
    mf_buf_put_varint(out, t->ncolumns);
    mf_buf_put_varint(out, t->nkey);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const struct mf_column *c = &t->columns[i];
        mf_buf_put_u8(out, (uint8_t)((c->in_key ? COLUMN_IN_KEY : 0) | (c->not_null ? COLUMN_NOT_NULL : 0) |
                                     (c->generated ? COLUMN_GENERATED : 0) | (c->type ? COLUMN_HAS_TYPE : 0)));
        mf_buf_put_bytes(out, c->name, strlen(c->name));
        if (c->type) {
            mf_buf_put_bytes(out, c->type, strlen(c->type));
        }
        mf_buf_put_varint(out, c->type_id);
        mf_buf_put_svarint(out, c->type_mod);
    }
    for (uint16_t i = 0; i < t->nkey; i++) {
        mf_buf_put_varint(out, t->key[i]);
    }
    if (!mf_buf_ok(out)) {
        out->len = start;
        return mf_fail(err, MF_FATAL, "MFCODEC", "the shape of table %s.%s is larger than the memory set aside for it",
                       t->schema, t->name);
    }
    return 0;
}

/* Sticky failure, so that a table is read through and looked at once. */
struct in {
    const uint8_t *p, *end;
    struct mf_arena *arena;
    bool failed;
};

static uint64_t number(struct in *in, uint64_t max)
{
    uint64_t v = 0;
    if (in->failed || !mf_varint_read(&in->p, in->end, &v) || v > max) {
        in->failed = true;
        return 0;
    }
    return v;
}

static uint8_t byte(struct in *in)
{
    if (in->failed || in->p == in->end) {
        in->failed = true;
        return 0;
    }
    return *in->p++;
}

static const char *string(struct in *in)
{
    size_t n = number(in, MAX_NAME);
    if (in->failed || n > (size_t)(in->end - in->p) || memchr(in->p, '\0', n)) {
        in->failed = true;
        return NULL;
    }
    const char *s = mf_memdup_a(in->arena, in->p, n);
    in->p += n;
    in->failed = !s;
    return s;
}

static void read_column(struct in *in, struct mf_column *c)
{
    uint8_t flags = byte(in);
    in->failed |= (flags & ~COLUMN_KNOWN) != 0;
    c->in_key = (flags & COLUMN_IN_KEY) != 0;
    c->not_null = (flags & COLUMN_NOT_NULL) != 0;
    c->generated = (flags & COLUMN_GENERATED) != 0;
    c->name = string(in);
    c->type = flags & COLUMN_HAS_TYPE ? string(in) : NULL;
    c->type_id = (uint32_t)number(in, UINT32_MAX);
    int64_t mod = mf_unzigzag(number(in, UINT32_MAX));
    c->type_mod = (int32_t)mod;
}

int mf_decode_table(struct mf_arena *arena, const void *data, size_t len, struct mf_table **ret_table, size_t *ret_used,
                    struct mf_error *err)
{
    struct in in = {.p = data, .end = (const uint8_t *)data + len, .arena = arena};
    struct mf_table *t = mf_alloc0(arena, sizeof(*t));
    if (!t) {
        return mf_fail(err, MF_FATAL, "MFMEM", "a table's shape does not fit into the memory set aside for it");
    }
    t->id = (uint32_t)number(&in, UINT32_MAX);
    t->schema = string(&in);
    t->name = string(&in);
    uint8_t identity = byte(&in);
    in.failed |= identity > MF_IDENTITY_FULL;
    t->identity = (enum mf_identity)identity;
    t->ncolumns = (uint16_t)number(&in, MF_MAX_COLUMNS);
    t->nkey = (uint16_t)number(&in, t->ncolumns);
    t->rows_estimate = -1;
    /* A column takes 4 bytes at least: no allocation beyond what the bytes can bear out. */
    in.failed |= (size_t)t->ncolumns * 4 > (size_t)(in.end - in.p);
    if (!in.failed) {
        t->columns = mf_alloc_array(arena, t->ncolumns, sizeof(*t->columns));
        t->key = mf_alloc_array(arena, t->nkey, sizeof(*t->key));
        in.failed = !t->columns || !t->key;
    }
    for (uint16_t i = 0; i < t->ncolumns && !in.failed; i++) {
        read_column(&in, &t->columns[i]);
    }
    for (uint16_t i = 0; i < t->nkey && !in.failed; i++) {
        t->key[i] = (uint16_t)number(&in, t->ncolumns - 1u);
    }
    if (in.failed) {
        return mf_fail(err, MF_FATAL, "MFCODEC", "an encoded table shape is damaged or too large");
    }
    *ret_table = t;
    *ret_used = (size_t)(in.p - (const uint8_t *)data);
    return 0;
}
