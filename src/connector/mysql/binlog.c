/* The frame of an event: header, checksum, format description. See binlog.h. */
#include "connector/mysql/binlog.h"

#include "base/mem.h"
#include "connector/mysql/binlog_internal.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FLAG_IN_USE     0x1  /* of a format description: the file is being written; not part of its checksum */
#define FLAG_ARTIFICIAL 0x20 /* made by the server for this connection */
#define FLAG_IGNORABLE  0x80 /* who does not know the event may skip it */
#define CHECKSUM        4

#define JSON_TEXT_MAX ((size_t)2 << 30)

struct my_binlog *my_binlog_new(void)
{
    struct my_binlog *d = mf_xcalloc(1, sizeof(*d));
    d->max_event = MY_EVENT_MAX;
    mf_buf_init(&d->json, JSON_TEXT_MAX);
    mf_buf_init(&d->packed, MY_EVENT_MAX);
    mf_arena_init(&d->text, MY_STATEMENT_MAX);
    return d;
}

void my_binlog_reset(struct my_binlog *d)
{
    my_maps_free(d);
    my_payload_free(d);
    d->has_format = d->checksums = d->statement_ended = false;
    memset(d->post_header, 0, sizeof(d->post_header));
    d->rows.map = NULL;
}

void my_binlog_free(struct my_binlog *d)
{
    if (d) {
        my_binlog_reset(d);
        my_charsets_free(&d->charsets);
        mf_buf_free(&d->json);
        mf_buf_free(&d->packed);
        mf_arena_free(&d->text);
        free(d);
    }
}

int my_binlog_bad(struct mf_error *err, const char *what)
{
    mf_fail(err, MF_FATAL, "MFBINLOG", "an event of the binary log is not understood: %s", what);
    mf_hint(err, "nothing was lost; report this with the server's version");
    return -1;
}

/* ---- the format description ---- */

/* Version, server, time, header length, the length of each type's fixed part, the checksum's algorithm, a checksum (which is there even when
 * the algorithm is none). */
static int event_format(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    uint64_t version = my_read_le(in, 2);
    const char *server = mf_read_bytes(in, 50 + 4);
    uint8_t header = mf_read_u8(in);
    if (in->failed || version != 4 || header != MY_EVENT_HEADER || mf_cursor_left(in) < 1 + 1 + CHECKSUM) {
        return my_binlog_bad(err, "a format description of another version than 4");
    }
    size_t n = mf_cursor_left(in) - 1 - CHECKSUM;
    const uint8_t *lengths = mf_read_bytes(in, n);
    uint8_t algorithm = mf_read_u8(in);
    if (algorithm > 1) {
        return my_binlog_bad(err, "checksums of an unknown kind");
    }
    my_binlog_reset(d);
    memcpy(d->post_header + 1, lengths, n < 255 ? n : 255);
    d->has_format = true;
    d->checksums = algorithm == 1;
    d->as_57 = memcmp(server, "5.", 2) == 0;
    e->kind = MY_EV_FORMAT;
    return 0;
}

int my_post_header(const struct my_binlog *d, uint8_t type, size_t min, struct mf_cursor *in, struct mf_cursor *ret,
                   struct mf_error *err)
{
    size_t n = d->post_header[type] ? d->post_header[type] : min;
    const void *p = n < min ? NULL : mf_read_bytes(in, n);
    if (!p) {
        return my_binlog_bad(err, "its fixed part is too short");
    }
    mf_cursor_init(ret, p, n);
    return 0;
}

/* ---- checksums ---- */

static uint32_t crc(uint32_t start, const uint8_t *p, size_t n)
{
    return (uint32_t)crc32_z(start, p, n);
}

/* Of everything but itself, at the end. */
static bool checksum_fits(const uint8_t *p, size_t n, uint8_t type)
{
    uint8_t header[MY_EVENT_HEADER];
    memcpy(header, p, sizeof(header));
    if (type == MY_TYPE_FORMAT) {
        header[17] &= (uint8_t)~FLAG_IN_USE;
    }
    uint32_t sum = crc(crc(0, header, sizeof(header)), p + sizeof(header), n - sizeof(header) - CHECKSUM);
    return sum == mf_get_u32le(p + n - CHECKSUM);
}

/* How many bytes the event has without its checksum. Events that the server makes for the connection may come before a format
 * description tells, and are made by what the connection asked for: there the sum itself tells. */
static int check_sum(const struct my_binlog *d, const uint8_t *p, size_t n, struct my_event *e, size_t *ret_n,
                     struct mf_error *err)
{
    bool room = n >= MY_EVENT_HEADER + CHECKSUM;
    bool unsure = !d->has_format || (e->artificial && e->type == MY_TYPE_ROTATE);
    *ret_n = n;
    if (e->type == MY_TYPE_FORMAT) {
        /* Its own algorithm is in its last byte before the sum; the sum stays, event_format knows of it. */
        if (n < MY_EVENT_HEADER + 1 + CHECKSUM || (p[n - CHECKSUM - 1] == 1 && !checksum_fits(p, n, e->type))) {
            return my_binlog_bad(err, "the checksum of the format description is wrong");
        }
        return 0;
    }
    if (unsure) {
        *ret_n = room && checksum_fits(p, n, e->type) ? n - CHECKSUM : n;
        return *ret_n == n && d->checksums ? my_binlog_bad(err, "its checksum is wrong") : 0;
    }
    if (d->checksums) {
        if (!room || !checksum_fits(p, n, e->type)) {
            return my_binlog_bad(err, "its checksum is wrong");
        }
        *ret_n = n - CHECKSUM;
    }
    return 0;
}

bool my_binlog_checksums(const struct my_binlog *d)
{
    return d->checksums;
}

/* ---- one event ---- */

int my_event_header(const uint8_t *bytes, size_t n, struct my_event *ret, struct mf_error *err)
{
    *ret = (struct my_event){.kind = MY_EV_OTHER};
    if (!bytes || n < MY_EVENT_HEADER || n > MY_EVENT_MAX + MY_EVENT_HEADER || mf_get_u32le(bytes + 9) != n) {
        return my_binlog_bad(err, "it is longer or shorter than it says");
    }
    ret->timestamp = mf_get_u32le(bytes);
    ret->type = bytes[4];
    ret->server_id = mf_get_u32le(bytes + 5);
    ret->next_position = mf_get_u32le(bytes + 13);
    ret->artificial = mf_get_u16le(bytes + 17) & FLAG_ARTIFICIAL;
    return 0;
}

int my_binlog_decode(struct my_binlog *d, const uint8_t *bytes, size_t n, struct my_event *ret, struct mf_error *err)
{
    struct mf_cursor in;
    bool known = true;
    mf_cursor_init(&in, bytes + MY_EVENT_HEADER, n - MY_EVENT_HEADER);
    d->rows.map = NULL;
    if (d->statement_ended) {
        d->statement++;
        d->statement_ended = false;
    }
    if (ret->type == MY_TYPE_FORMAT) {
        return event_format(d, &in, ret, err);
    }
    if (ret->type == MY_TYPE_TABLE_MAP) {
        return my_event_map(d, &in, ret, err);
    }
    if (my_type_is_rows(ret->type)) {
        return my_event_rows(d, &in, ret, err);
    }
    if (ret->type == MY_TYPE_PAYLOAD) {
        ret->kind = MY_EV_PAYLOAD;
        return my_event_payload(d, &in, err);
    }
    if (my_event_small(d, &in, ret, &known, err) < 0) {
        return -1;
    }
    if (!known && !(mf_get_u16le(bytes + 17) & FLAG_IGNORABLE)) {
        mf_fail(err, MF_FATAL, "MFBINLOG", "the binary log has an event of type %d, which is not known here",
                ret->type);
        mf_hint(err, "the server is newer than this program, or writes its log in another format");
        return -1;
    }
    return 0;
}

int my_binlog_event(struct my_binlog *d, const void *bytes, size_t n, struct my_event *ret, struct mf_error *err)
{
    size_t without_sum;
    my_payload_end(d);
    if (my_event_header(bytes, n, ret, err) < 0 || check_sum(d, bytes, n, ret, &without_sum, err) < 0) {
        return -1;
    }
    return my_binlog_decode(d, bytes, without_sum, ret, err);
}
