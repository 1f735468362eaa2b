/* See binlog_values.h. Formats: MariaDB's "Rows event" page and MySQL's "Table_map_event" and "Date and time data type representation" pages. */
#include "connector/mysql/binlog_values.h"

#include "base/number.h"
#include "base/str.h"
#include "connector/mysql/binlog_internal.h"
#include "connector/mysql/jsonb.h"
#include "connector/mysql/number_text.h"

#include <string.h>

static int malformed(const struct my_value_out *out, const char *what)
{
    return mf_fail(out->err, MF_FATAL, "MFBINLOG", "a row of the binary log is not understood: %s", what);
}

static int early(void)
{
    return -1; /* the cursor says it */
}

static int put(const struct my_value_out *out, struct mf_value *ret, const char *text, size_t n)
{
    char *p = mf_alloc(out->arena, n);
    if (!p) {
        return mf_fail(out->err, MF_FATAL, "MFBIG", "a row is larger than there is room for");
    }
    memcpy(p, text, n);
    *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = p};
    return 0;
}

/* ---- numbers ---- */

int my_value_int(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    char text[MY_NUMBER_TEXT];
    uint64_t v = my_read_le(in, c->width);
    if (in->failed) {
        return early();
    }
    unsigned unused = 64 - 8 * c->width;
    return put(out, ret, text,
               c->type.is_unsigned ? my_put_u64(text, v) : my_put_i64(text, (int64_t)(v << unused) >> unused));
}

int my_value_decimal(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    char text[MY_NUMBER_TEXT];
    const uint8_t *p = mf_read_bytes(in, c->bytes);
    if (!p) {
        return early();
    }
    size_t n = my_put_decimal(text, p, c->type.precision, c->type.scale);
    return n ? put(out, ret, text, n) : malformed(out, "a DECIMAL of digits that are none");
}

int my_value_real(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    char text[MY_NUMBER_TEXT];
    uint64_t bits = my_read_le(in, c->width);
    if (in->failed) {
        return early();
    }
    double v;
    if (c->width == 4) {
        uint32_t bits32 = (uint32_t)bits;
        float f;
        memcpy(&f, &bits32, sizeof(f));
        v = f;
    } else {
        memcpy(&v, &bits, sizeof(v));
    }
    if (v - v != 0) {
        return malformed(out, "a number that is not finite");
    }
    return put(out, ret, text, mf_put_double(text, v));
}

int my_value_bit(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    char text[MY_NUMBER_TEXT];
    uint64_t v = my_read_be(in, c->width);
    return in->failed ? early() : put(out, ret, text, my_put_u64(text, v));
}

/* ---- times ---- */

static int bad_time(const struct my_value_out *out)
{
    return malformed(out, "a time outside of the calendar");
}

static int put_datetime(const struct my_col *c, const struct my_value_out *out, const struct my_time *t,
                        struct mf_value *ret)
{
    char text[MY_NUMBER_TEXT];
    if (t->year > 9999 || t->month > 12 || t->day > 31 || t->hour > 23 || t->minute > 59 || t->second > 59 ||
        t->micro > 999999) {
        return bad_time(out);
    }
    return put(out, ret, text, my_put_datetime(text, t, c->type.scale));
}

/* A fraction has two digits a byte. */
static unsigned fraction_bytes(const struct my_col *c)
{
    return (c->type.scale + 1u) / 2;
}

static unsigned micro_of(unsigned fraction, unsigned bytes)
{
    static const unsigned unit[4] = {0, 10000, 100, 1};
    return fraction * unit[bytes];
}

int my_value_year(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    char text[MY_NUMBER_TEXT];
    (void)c;
    unsigned v = mf_read_u8(in);
    if (in->failed) {
        return early();
    }
    return v ? put(out, ret, text, my_put_u64(text, v + 1900)) : put(out, ret, "0000", 4);
}

int my_value_date(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    char text[MY_NUMBER_TEXT];
    (void)c;
    unsigned v = (unsigned)my_read_le(in, 3);
    const struct my_time t = {.year = v >> 9, .month = v >> 5 & 15, .day = v & 31};
    if (in->failed) {
        return early();
    }
    return t.year > 9999 || t.month > 12 ? bad_time(out) : put(out, ret, text, my_put_date(text, &t));
}

static int put_clock(const struct my_col *c, const struct my_value_out *out, const struct my_time *t,
                     struct mf_value *ret)
{
    char text[MY_NUMBER_TEXT];
    if (t->hour > 838 || t->minute > 59 || t->second > 59 || t->micro > 999999) {
        return bad_time(out);
    }
    return put(out, ret, text, my_put_clock(text, t, c->type.scale));
}

int my_value_old_time(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out,
                      struct mf_value *ret)
{
    unsigned raw = (unsigned)my_read_le(in, 3);
    if (in->failed) {
        return early();
    }
    bool negative = raw & 0x800000;
    unsigned v = negative ? 0x1000000 - raw : raw;
    const struct my_time t = {.negative = negative, .hour = v / 10000, .minute = v / 100 % 100, .second = v % 100};
    return put_clock(c, out, &t, ret);
}

/* The seconds' number and its fraction are one number, moved so that the smallest is zero. */
int my_value_time(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    unsigned nfraction = fraction_bytes(c), bits = 8 * nfraction;
    int64_t v = (int64_t)my_read_be(in, 3 + nfraction) - ((int64_t)0x800000 << bits);
    if (in->failed) {
        return early();
    }
    uint64_t size = (uint64_t)(v < 0 ? -v : v);
    unsigned whole = (unsigned)(size >> bits);
    const struct my_time t = {.negative = v < 0,
                              .hour = whole >> 12 & 0x3ff,
                              .minute = whole >> 6 & 63,
                              .second = whole & 63,
                              .micro = micro_of((unsigned)(size & ((UINT64_C(1) << bits) - 1)), nfraction)};
    return put_clock(c, out, &t, ret);
}

int my_value_old_datetime(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out,
                          struct mf_value *ret)
{
    uint64_t v = my_read_le(in, 8);
    if (in->failed) {
        return early();
    }
    if (v > UINT64_C(99991231235959)) {
        return bad_time(out);
    }
    unsigned date = (unsigned)(v / 1000000), clock = (unsigned)(v % 1000000);
    const struct my_time t = {.year = date / 10000,
                              .month = date / 100 % 100,
                              .day = date % 100,
                              .hour = clock / 10000,
                              .minute = clock / 100 % 100,
                              .second = clock % 100};
    return put_datetime(c, out, &t, ret);
}

int my_value_datetime(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out,
                      struct mf_value *ret)
{
    unsigned nfraction = fraction_bytes(c);
    uint64_t v = my_read_be(in, 5);
    unsigned fraction = (unsigned)my_read_be(in, nfraction);
    if (in->failed) {
        return early();
    }
    if (!(v >> 39)) {
        return bad_time(out);
    }
    v &= (UINT64_C(1) << 39) - 1;
    unsigned month = (unsigned)(v >> 22);
    const struct my_time t = {.year = month / 13,
                              .month = month % 13,
                              .day = v >> 17 & 31,
                              .hour = v >> 12 & 31,
                              .minute = v >> 6 & 63,
                              .second = v & 63,
                              .micro = micro_of(fraction, nfraction)};
    return put_datetime(c, out, &t, ret);
}

static int put_timestamp(const struct my_col *c, const struct my_value_out *out, uint32_t seconds, unsigned micro,
                         struct mf_value *ret)
{
    struct my_time t;
    my_time_of_unix(seconds, micro, &t);
    return put_datetime(c, out, &t, ret);
}

int my_value_old_timestamp(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out,
                           struct mf_value *ret)
{
    uint32_t seconds = (uint32_t)my_read_le(in, 4);
    return in->failed ? early() : put_timestamp(c, out, seconds, 0, ret);
}

int my_value_timestamp(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out,
                       struct mf_value *ret)
{
    unsigned nfraction = fraction_bytes(c);
    uint32_t seconds = mf_read_u32be(in);
    unsigned micro = micro_of((unsigned)my_read_be(in, nfraction), nfraction);
    return in->failed ? early() : put_timestamp(c, out, seconds, micro, ret);
}

/* ---- bytes ---- */

static const char *read_sized(const struct my_col *c, struct mf_cursor *in, size_t *ret_n)
{
    *ret_n = (size_t)my_read_le(in, c->width);
    return mf_read_bytes(in, *ret_n);
}

/* Text with more bytes than its column has room for is a sign that the row is read with wrong eyes. */
static int put_text(const struct my_col *c, const char *p, size_t n, const struct my_value_out *out,
                    struct mf_value *ret)
{
    if (n > c->bytes) {
        return malformed(out, "a text longer than its column");
    }
    if (c->charset && my_charset_text(c->charset, p, n, out->arena, &p, &n, out->err) < 0) {
        return -1;
    }
    *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = p};
    return n > UINT32_MAX ? malformed(out, "a text that is too long") : 0;
}

int my_value_text(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    size_t n;
    const char *p = read_sized(c, in, &n);
    return p ? put_text(c, p, n, out, ret) : early();
}

int my_value_char(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    if (my_value_text(c, in, out, ret) < 0) {
        return -1;
    }
    while (ret->len && ret->data[ret->len - 1] == ' ') {
        ret->len--;
    }
    return 0;
}

int my_value_bytes(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    size_t n;
    const char *p = read_sized(c, in, &n);
    if (!p) {
        return early();
    }
    if (n > c->bytes) {
        return malformed(out, "bytes longer than their column");
    }
    *ret = (struct mf_value){.kind = MF_BINARY, .len = (uint32_t)n, .data = p};
    return 0;
}

/* MariaDB's COMPRESSED columns. Nothing at all is empty; else there is a byte: 0, and the bytes as they are; or 0x80 (zlib), 8 (without its
 * frame) and the width of the length that follows, the highest byte first. */
int my_value_compressed(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out,
                        struct mf_value *ret)
{
    size_t n, size;
    const char *p = read_sized(c, in, &n);
    struct mf_cursor value;
    if (!p) {
        return early();
    }
    mf_cursor_init(&value, p, n);
    uint8_t head = n ? mf_read_u8(&value) : 0;
    p = (const char *)value.p;
    size = n = mf_cursor_left(&value);
    if (head) {
        size = head & 7 ? (size_t)my_read_be(&value, head & 7) : 0;
        n = mf_cursor_left(&value);
        if ((head & 0xf0) != 0x80 || value.failed || size > c->bytes || size / MY_ZLIB_GROWS > n) {
            return malformed(out, "a column compressed in an unknown way");
        }
        char *whole = mf_alloc(out->arena, size);
        if (!whole) {
            return mf_fail(out->err, MF_FATAL, "MFBIG", "a row is larger than there is room for");
        }
        if (!my_inflate(value.p, n, head & 8, whole, size)) {
            return malformed(out, "a compressed column that is damaged");
        }
        p = whole;
    }
    if (c->type.base == MY_TEXT || c->type.base == MY_VARCHAR) {
        return put_text(c, p, size, out, ret);
    }
    *ret = (struct mf_value){.kind = MF_BINARY, .len = (uint32_t)size, .data = p};
    return size > c->bytes ? malformed(out, "bytes longer than their column") : 0;
}

/* The zeros that a BINARY ends with are not in the log. */
int my_value_binary(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    if (my_value_bytes(c, in, out, ret) < 0) {
        return -1;
    }
    if (ret->len < c->bytes) {
        char *whole = mf_alloc0(out->arena, c->bytes);
        if (!whole) {
            return mf_fail(out->err, MF_FATAL, "MFBIG", "a row is larger than there is room for");
        }
        memcpy(whole, ret->data, ret->len);
        *ret = (struct mf_value){.kind = MF_BINARY, .len = c->bytes, .data = whole};
    }
    return 0;
}

/* MariaDB's UUID, INET6 and INET4: bytes in the order of the text, zeros at the end left out. */
int my_value_address(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    char text[MY_NUMBER_TEXT];
    uint8_t whole[16] = {0};
    size_t n, at = 0;
    const char *p = read_sized(c, in, &n);
    if (!p) {
        return early();
    }
    if (n > c->bytes) {
        return malformed(out, "bytes longer than their column");
    }
    memcpy(whole, p, n);
    if (c->type.base != MY_UUID) {
        at = c->type.base == MY_INET4 ? my_put_inet4(text, whole) : my_put_inet6(text, whole);
        return put(out, ret, text, at);
    }
    for (size_t i = 0; i < sizeof(whole); i++) {
        static const char hex[] = "0123456789abcdef";
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text[at++] = '-';
        }
        text[at++] = hex[whole[i] >> 4];
        text[at++] = hex[whole[i] & 15];
    }
    return put(out, ret, text, at);
}

int my_value_json(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    size_t n;
    const char *p = read_sized(c, in, &n);
    if (!p) {
        return early();
    }
    mf_buf_reset(out->json);
    if (my_json_text_as(out->json, p, n, out->as_57, out->err) < 0) {
        return -1;
    }
    return put(out, ret, mf_buf_str(out->json), out->json->len);
}

/* ---- members ---- */

int my_value_enum(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    uint64_t v = my_read_le(in, c->width);
    if (in->failed) {
        return early();
    }
    if (v > c->type.nmembers) {
        return malformed(out, "an ENUM of a member that its column has not");
    }
    const char *member = v ? c->type.members[v - 1] : "";
    *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(member), .data = member};
    return 0;
}

int my_value_set(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out, struct mf_value *ret)
{
    uint64_t v = my_read_le(in, c->width);
    if (in->failed) {
        return early();
    }
    if (c->type.nmembers < 64 && v >> c->type.nmembers) {
        return malformed(out, "a SET with a member that its column has not");
    }
    size_t n = 0;
    for (unsigned i = 0; i < c->type.nmembers && i < 64; i++) {
        n += v >> i & 1 ? strlen(c->type.members[i]) + 1 : 0;
    }
    char *text = mf_alloc(out->arena, n), *at = text;
    if (!text) {
        return mf_fail(out->err, MF_FATAL, "MFBIG", "a row is larger than there is room for");
    }
    for (unsigned i = 0; i < c->type.nmembers && i < 64; i++) {
        if (v >> i & 1) {
            size_t len = strlen(c->type.members[i]);
            memcpy(at, c->type.members[i], len);
            at[len] = ',';
            at += len + 1;
        }
    }
    *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)(n ? n - 1 : 0), .data = text};
    return 0;
}
