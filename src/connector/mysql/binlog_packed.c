/* Compressed events: MySQL's whole transactions (zstd), MariaDB's single ones (zlib). See binlog_internal.h. */
#include "base/mem.h"
#include "connector/mysql/binlog_internal.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

/* ---- MariaDB: a byte (always 0x80, three bits of algorithm, three of the width of the length), the length, zlib's bytes ---- */

int my_unpack(struct my_binlog *d, struct mf_cursor *in, struct mf_error *err)
{
    uint8_t head = mf_read_u8(in);
    unsigned width = head & 7;
    size_t size = width <= 4 ? (size_t)my_read_be(in, width) : 0;
    if (in->failed || (head & 0xf0) != 0x80 || width == 0 || width > 4) {
        return my_binlog_bad(err, "compressed in an unknown way");
    }
    size_t n = mf_cursor_left(in);
    const uint8_t *p = mf_read_bytes(in, n);
    if (size > d->max_event || size / MY_ZLIB_GROWS > n) {
        return my_binlog_bad(err, "it would be larger than it can be");
    }
    mf_buf_reset(&d->packed);
    if (mf_buf_reserve(&d->packed, size) < 0) {
        return mf_fail(err, MF_FATAL, "MFBIG", "an event of the binary log is larger than there is room for");
    }
    uLongf got = size;
    if (uncompress((Bytef *)d->packed.data, &got, p, n) != Z_OK || got != size) {
        return my_binlog_bad(err, "its compressed part is damaged");
    }
    d->packed.len = size;
    mf_cursor_init(in, d->packed.data, size);
    return 0;
}

bool my_inflate(const void *p, size_t n, bool raw, void *out, size_t size)
{
    union {
        const void *in; /* zlib takes what it does not change without const, unless told */
        Bytef *arg;
    } from = {.in = p};
    z_stream z = {.next_in = from.arg, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)size};
    if (n > UINT32_MAX || size > UINT32_MAX || inflateInit2(&z, raw ? -MAX_WBITS : MAX_WBITS) != Z_OK) {
        return false;
    }
    int rc = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return rc == Z_STREAM_END && z.avail_out == 0 && z.avail_in == 0;
}

/* ---- MySQL: fields of type, length and value (1 the size, 2 the algorithm, 3 the size decompressed), 0, the bytes ---- */

#define FIELD_END       0
#define FIELD_SIZE      1
#define FIELD_ALGORITHM 2
#define ALGORITHM_ZSTD  0
#define ALGORITHM_NONE  255

#define STEP      ((size_t)256 << 10) /* decompressed at once */
#define KEEP_ROOM ((size_t)1 << 20)   /* more than that is given back after a transaction */

struct my_payload {
    bool open, zstd;
    bool frame_ended; /* the compressed stream is complete up to here */
    ZSTD_DStream *z;
    ZSTD_inBuffer in;
    struct mf_buf event;
};

static void close_payload(struct my_payload *p)
{
    p->open = false;
    if (p->event.cap > KEEP_ROOM) {
        mf_buf_free(&p->event);
    }
}

void my_payload_end(struct my_binlog *d)
{
    if (d->payload && d->payload->open) {
        close_payload(d->payload);
    }
}

void my_payload_free(struct my_binlog *d)
{
    if (d->payload) {
        ZSTD_freeDStream(d->payload->z);
        mf_buf_free(&d->payload->event);
        free(d->payload);
        d->payload = NULL;
    }
}

static int read_fields(struct mf_cursor *in, uint64_t *ret_algorithm, uint64_t *ret_size, struct mf_error *err)
{
    *ret_algorithm = ALGORITHM_NONE;
    *ret_size = UINT64_MAX;
    for (;;) {
        uint64_t field = my_read_lenenc(in);
        if (in->failed || field == FIELD_END) {
            break;
        }
        uint64_t n = my_read_lenenc(in);
        const void *p = n <= mf_cursor_left(in) ? mf_read_bytes(in, (size_t)n) : NULL;
        if (!p) {
            in->failed = true;
            break;
        }
        struct mf_cursor value;
        mf_cursor_init(&value, p, (size_t)n);
        if (field == FIELD_SIZE || field == FIELD_ALGORITHM) {
            *(field == FIELD_SIZE ? ret_size : ret_algorithm) = my_read_lenenc(&value);
            in->failed = value.failed;
        }
    }
    if (*ret_size == UINT64_MAX) {
        *ret_size = mf_cursor_left(in);
    }
    return in->failed || *ret_size != mf_cursor_left(in) ? my_binlog_bad(err, "a transaction that ends early") : 0;
}

int my_event_payload(struct my_binlog *d, struct mf_cursor *in, struct mf_error *err)
{
    uint64_t algorithm, size;
    if (read_fields(in, &algorithm, &size, err) < 0) {
        return -1;
    }
    if (algorithm != ALGORITHM_ZSTD && algorithm != ALGORITHM_NONE) {
        return my_binlog_bad(err, "a transaction compressed in an unknown way");
    }
    if (!d->payload) {
        d->payload = mf_xcalloc(1, sizeof(*d->payload));
        d->payload->z = ZSTD_createDStream();
    }
    struct my_payload *p = d->payload;
    if (!p->z || ZSTD_isError(ZSTD_DCtx_reset(p->z, ZSTD_reset_session_only))) {
        return mf_fail(err, MF_FATAL, "MFBIG", "there is no memory to decompress a transaction");
    }
    p->event.max = d->max_event + MY_EVENT_HEADER;
    p->zstd = algorithm == ALGORITHM_ZSTD;
    p->open = p->frame_ended = true;
    p->in = (ZSTD_inBuffer){.src = mf_read_bytes(in, (size_t)size), .size = (size_t)size};
    return 0;
}

/* Decompresses until the event has `want` bytes or the stream ends. */
static int fill(struct my_payload *p, size_t want, struct mf_error *err)
{
    while (p->event.len < want) {
        size_t chunk = want - p->event.len < STEP ? want - p->event.len : STEP;
        if (mf_buf_reserve(&p->event, chunk) < 0) {
            return mf_fail(err, MF_FATAL, "MFBIG", "an event of the binary log is larger than there is room for");
        }
        size_t before = p->in.pos;
        ZSTD_outBuffer out = {.dst = p->event.data + p->event.len, .size = chunk};
        if (p->zstd) {
            size_t rc = ZSTD_decompressStream(p->z, &out, &p->in);
            if (ZSTD_isError(rc)) {
                return my_binlog_bad(err, "a transaction's compressed part is damaged");
            }
            p->frame_ended = rc == 0 || (out.pos == 0 && p->in.pos == before && p->frame_ended);
        } else {
            size_t left = p->in.size - p->in.pos;
            out.pos = left < chunk ? left : chunk;
            __builtin_memcpy(out.dst, (const char *)p->in.src + p->in.pos, out.pos);
            p->in.pos += out.pos;
        }
        p->event.len += out.pos;
        if (out.pos == 0 && p->in.pos == before) {
            return p->frame_ended ? 0 : my_binlog_bad(err, "a transaction's compressed part ends early");
        }
    }
    return 0;
}

int my_payload_next(struct my_binlog *d, struct my_event *ret, bool *ret_more, struct mf_error *err)
{
    struct my_payload *p = d->payload;
    *ret_more = false;
    if (!p || !p->open) {
        return 0;
    }
    d->rows.map = NULL;
    mf_buf_reset(&p->event);
    if (fill(p, MY_EVENT_HEADER, err) < 0) {
        return -1;
    }
    if (p->event.len == 0) {
        close_payload(p);
        return 0;
    }
    size_t n = p->event.len == MY_EVENT_HEADER ? mf_get_u32le(p->event.data + 9) : 0;
    if (n < MY_EVENT_HEADER || n > d->max_event) {
        return my_binlog_bad(err, "a transaction has an event of impossible length");
    }
    const uint8_t *bytes;
    if (fill(p, n, err) < 0) {
        return -1;
    }
    bytes = (const uint8_t *)p->event.data;
    if (my_event_header(bytes, p->event.len, ret, err) < 0) {
        return -1;
    }
    if (ret->type == MY_TYPE_FORMAT || ret->type == MY_TYPE_PAYLOAD || ret->type == MY_TYPE_ROTATE) {
        return my_binlog_bad(err, "a transaction has an event that cannot be in one");
    }
    *ret_more = true;
    return my_binlog_decode(d, bytes, n, ret, err);
}
