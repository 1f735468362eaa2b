/* See jsonb.h. */
#include "connector/mysql/jsonb.h"

#include "base/number.h"
#include "connector/mysql/binlog.h"
#include "connector/mysql/binlog_values.h"
#include "connector/mysql/number_text.h"

#include <string.h>

int my_json_bad(struct mf_error *err, const char *what)
{
    return mf_fail(err, MF_FATAL, "MFBINLOG", "a JSON document of the binary log is not understood: %s", what);
}

int my_json_room(const struct mf_buf *out, struct mf_error *err)
{
    return mf_buf_ok(out) ? 0 : mf_fail(err, MF_FATAL, "MFBIG", "a JSON document is larger than there is room for");
}

static int pay(struct my_json_source *source, size_t n, struct mf_error *err)
{
    if (n > source->budget) {
        return my_json_bad(err, "its parts overlap");
    }
    source->budget -= n;
    return 0;
}

int my_json_open(struct my_json *ret, struct my_json_source *source, const void *bytes, size_t n, struct mf_error *err)
{
    const uint8_t *p = bytes;
    if (n == 0) {
        return my_json_bad(err, "it is empty");
    }
    source->budget = n;
    *ret = (struct my_json){.source = source, .type = p[0], .at = p + 1, .room = n - 1};
    return 0;
}

/* ---- containers ---- */

static uint32_t read_size(const uint8_t *p, bool large)
{
    return large ? mf_get_u32le(p) : mf_get_u16le(p);
}

int my_json_box(const struct my_json *v, struct my_json_box *ret, struct mf_error *err)
{
    bool large = v->type & 1, object = v->type < MY_JSON_SMALL_ARRAY;
    size_t width = large ? 4 : 2;
    if (v->room < 2 * width) {
        return my_json_bad(err, "a container ends early");
    }
    uint32_t n = read_size(v->at, large);
    size_t size = read_size(v->at + width, large);
    size_t entries = 2 * width + (uint64_t)n * (1 + width + (object ? 2 + width : 0));
    if (size > v->room || entries > size) {
        return my_json_bad(err, "a container is larger than its place");
    }
    *ret =
        (struct my_json_box){.source = v->source, .at = v->at, .size = size, .n = n, .object = object, .large = large};
    return pay(v->source, entries, err);
}

static bool is_inline(uint8_t type, bool large)
{
    return type == MY_JSON_LITERAL || type == MY_JSON_INT16 || type == MY_JSON_UINT16 ||
           (large && (type == MY_JSON_INT32 || type == MY_JSON_UINT32));
}

int my_json_item(const struct my_json_box *b, uint32_t i, struct my_json *ret, struct mf_error *err)
{
    size_t width = b->large ? 4 : 2;
    const uint8_t *entry = b->at + 2 * width + (b->object ? b->n * (2 + width) : 0) + i * (1 + width);
    *ret = (struct my_json){.source = b->source, .type = entry[0], .at = entry + 1, .room = width};
    if (is_inline(entry[0], b->large)) {
        return 0;
    }
    size_t offset = read_size(entry + 1, b->large);
    if (offset >= b->size || offset < 2 * width) {
        return my_json_bad(err, "a value is outside of its container");
    }
    ret->at = b->at + offset;
    ret->room = b->size - offset;
    return 0;
}

int my_json_key(const struct my_json_box *b, uint32_t i, const char **ret, size_t *ret_n, struct mf_error *err)
{
    size_t width = b->large ? 4 : 2;
    const uint8_t *entry = b->at + 2 * width + i * (2 + width);
    size_t offset = read_size(entry, b->large), n = mf_get_u16le(entry + width);
    if (offset > b->size || n > b->size - offset) {
        return my_json_bad(err, "a key is outside of its container");
    }
    *ret = (const char *)b->at + offset;
    *ret_n = n;
    return pay(b->source, n, err);
}

/* ---- text ---- */

int my_json_put_string(struct mf_buf *out, const char *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    mf_buf_putc(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)p[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        mf_buf_append(out, p + from, i - from);
        from = i + 1;
        char escape[6] = {'\\', c >= 0x20 ? (char)c : letters[c]};
        size_t len = 2;
        if (!escape[1]) {
            memcpy(escape + 1, "u00", 3);
            escape[4] = hex[c >> 4];
            escape[5] = hex[c & 15];
            len = 6;
        }
        mf_buf_append(out, escape, len);
    }
    mf_buf_append(out, p + from, n - from);
    return mf_buf_putc(out, '"');
}

/* A length of seven bits a byte, the lowest first, then the bytes. */
static int sized(const struct my_json *v, size_t skip, const uint8_t **ret, size_t *ret_n, struct mf_error *err)
{
    uint64_t n = 0;
    size_t at = skip;
    for (unsigned shift = 0;; shift += 7) {
        if (at >= v->room || shift > 28) {
            return my_json_bad(err, "a string ends early");
        }
        n |= (uint64_t)(v->at[at] & 0x7f) << shift;
        if (!(v->at[at++] & 0x80)) {
            break;
        }
    }
    if (n > v->room - at) {
        return my_json_bad(err, "a string ends early");
    }
    *ret = v->at + at;
    *ret_n = (size_t)n;
    return pay(v->source, at + (size_t)n, err);
}

/* As many bytes as base64 has on a line before the server breaks it. */
#define BASE64_LINE 76

static int put_base64(struct mf_buf *out, unsigned field, const uint8_t *p, size_t n, bool as_57)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    mf_buf_printf(out, "\"base64:type%u:", field);
    size_t column = 0;
    for (size_t i = 0; i < n; i += 3) {
        if (column == BASE64_LINE) {
            mf_buf_puts(out, as_57 ? "\n" : "\\n");
            column = 0;
        }
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        const char four[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                              i + 2 < n ? digits[v & 63] : '='};
        if (mf_buf_append(out, four, 4) < 0) {
            return -1;
        }
        column += 4;
    }
    return mf_buf_putc(out, '"');
}

/* A time as one number: year * 13 + month, day, hour, minute, second, microsecond. */
static int put_time(struct mf_buf *out, unsigned field, const uint8_t *p, size_t n, struct mf_error *err)
{
    char text[MY_NUMBER_TEXT];
    if (n != 8) {
        return my_json_bad(err, "a time of another size");
    }
    int64_t packed = (int64_t)mf_get_u64le(p);
    uint64_t v = packed < 0 ? -(uint64_t)packed : (uint64_t)packed;
    uint64_t whole = v >> 24, month = whole >> 22;
    struct my_time t = {.negative = packed < 0,
                        .year = (unsigned)(month / 13),
                        .month = (unsigned)(month % 13),
                        .day = whole >> 17 & 31,
                        .hour = whole >> 12 & 31,
                        .minute = whole >> 6 & 63,
                        .second = whole & 63,
                        .micro = v & 0xffffff};
    size_t len;
    if (field == MY_FIELD_TIME) {
        t.hour = whole >> 12 & 0x3ff;
        len = my_put_clock(text, &t, 6);
    } else if (packed < 0 || t.year > 9999) {
        return my_json_bad(err, "a time outside of the calendar");
    } else {
        len = field == MY_FIELD_DATE ? my_put_date(text, &t) : my_put_datetime(text, &t, 6);
    }
    if (t.micro > 999999 || t.minute > 59 || t.second > 59) {
        return my_json_bad(err, "a time outside of the calendar");
    }
    return mf_buf_printf(out, "\"%.*s\"", (int)len, text);
}

static int put_decimal(struct mf_buf *out, const uint8_t *p, size_t n, struct mf_error *err)
{
    char text[MY_NUMBER_TEXT];
    size_t len = n >= 2 && n - 2 == my_decimal_bytes(p[0], p[1]) ? my_put_decimal(text, p + 2, p[0], p[1]) : 0;
    return len ? mf_buf_append(out, text, len) : my_json_bad(err, "a decimal that is none");
}

static int put_opaque(struct mf_buf *out, const struct my_json *v, struct mf_error *err)
{
    const uint8_t *p;
    size_t n;
    if (v->room < 1) {
        return my_json_bad(err, "a value ends early");
    }
    unsigned field = v->at[0];
    if (sized(v, 1, &p, &n, err) < 0) {
        return -1;
    }
    switch (field) {
    case MY_FIELD_NEWDECIMAL:
        return put_decimal(out, p, n, err);
    case MY_FIELD_DATE:
    case MY_FIELD_TIME:
    case MY_FIELD_DATETIME:
    case MY_FIELD_TIMESTAMP:
        return put_time(out, field, p, n, err);
    default:
        return put_base64(out, field, p, n, v->source->as_57);
    }
}

static int put_double(struct mf_buf *out, const uint8_t *p, bool bare, struct mf_error *err)
{
    char text[MY_NUMBER_TEXT];
    uint64_t bits = mf_get_u64le(p);
    double v;
    memcpy(&v, &bits, sizeof(v));
    if (v - v != 0) {
        return my_json_bad(err, "a number that is not finite");
    }
    size_t n = mf_put_double(text, v);
    mf_buf_append(out, text, n);
    /* So that it is a double again when it is read. */
    return bare || memchr(text, '.', n) || memchr(text, 'e', n) ? 0 : mf_buf_append(out, ".0", 2);
}

static int put_number(struct mf_buf *out, const struct my_json *v, struct mf_error *err)
{
    static const uint8_t widths[] = {
        [MY_JSON_LITERAL] = 1, [MY_JSON_INT16] = 2, [MY_JSON_UINT16] = 2, [MY_JSON_INT32] = 4,
        [MY_JSON_UINT32] = 4,  [MY_JSON_INT64] = 8, [MY_JSON_UINT64] = 8, [MY_JSON_DOUBLE] = 8};
    char text[MY_NUMBER_TEXT];
    size_t width = widths[v->type];
    if (v->room < width) {
        return my_json_bad(err, "a number ends early");
    }
    switch (v->type) {
    case MY_JSON_LITERAL:
        return v->at[0] > 2 ? my_json_bad(err, "a literal of no meaning")
                            : mf_buf_puts(out, v->at[0] == 0   ? "null"
                                               : v->at[0] == 1 ? "true"
                                                               : "false");
    case MY_JSON_INT16:
        return mf_buf_append(out, text, my_put_i64(text, (int16_t)mf_get_u16le(v->at)));
    case MY_JSON_UINT16:
        return mf_buf_append(out, text, my_put_u64(text, mf_get_u16le(v->at)));
    case MY_JSON_INT32:
        return mf_buf_append(out, text, my_put_i64(text, (int32_t)mf_get_u32le(v->at)));
    case MY_JSON_UINT32:
        return mf_buf_append(out, text, my_put_u64(text, mf_get_u32le(v->at)));
    case MY_JSON_INT64:
        return mf_buf_append(out, text, my_put_i64(text, (int64_t)mf_get_u64le(v->at)));
    case MY_JSON_UINT64:
        return mf_buf_append(out, text, my_put_u64(text, mf_get_u64le(v->at)));
    default:
        return put_double(out, v->at, v->source->as_57, err);
    }
}

static int put_box(struct mf_buf *out, const struct my_json *v, unsigned depth, struct mf_error *err)
{
    struct my_json_box b;
    if (depth >= MY_JSON_DEPTH) {
        return my_json_bad(err, "it is nested too deeply");
    }
    if (my_json_box(v, &b, err) < 0) {
        return -1;
    }
    mf_buf_putc(out, b.object ? '{' : '[');
    for (uint32_t i = 0; i < b.n; i++) {
        struct my_json item;
        const char *key;
        size_t len;
        if (i) {
            mf_buf_append(out, ", ", 2);
        }
        if (b.object) {
            if (my_json_key(&b, i, &key, &len, err) < 0) {
                return -1;
            }
            my_json_put_string(out, key, len);
            mf_buf_append(out, ": ", 2);
        }
        if (my_json_item(&b, i, &item, err) < 0 || my_json_put(out, &item, depth + 1, err) < 0) {
            return -1;
        }
    }
    mf_buf_putc(out, b.object ? '}' : ']');
    return my_json_room(out, err);
}

int my_json_put(struct mf_buf *out, const struct my_json *v, unsigned depth, struct mf_error *err)
{
    const uint8_t *p;
    size_t n;
    if (my_json_is_box(v)) {
        return put_box(out, v, depth, err);
    }
    if (v->type <= MY_JSON_DOUBLE) {
        if (put_number(out, v, err) < 0) {
            return mf_buf_ok(out) ? -1 : my_json_room(out, err);
        }
        return 0;
    }
    if (v->type == MY_JSON_STRING) {
        if (sized(v, 0, &p, &n, err) < 0) {
            return -1;
        }
        my_json_put_string(out, (const char *)p, n);
        return my_json_room(out, err);
    }
    if (v->type == MY_JSON_OPAQUE) {
        return put_opaque(out, v, err) < 0 && mf_buf_ok(out) ? -1 : my_json_room(out, err);
    }
    return my_json_bad(err, "a value of unknown type");
}

int my_json_text_as(struct mf_buf *out, const void *bytes, size_t n, bool as_57, struct mf_error *err)
{
    struct my_json_source source = {.as_57 = as_57};
    struct my_json v;
    if (n == 0) {
        /* What a server without strict mode puts where NULL is not allowed; it shows it so. */
        mf_buf_puts(out, "null");
        return my_json_room(out, err);
    }
    return my_json_open(&v, &source, bytes, n, err) < 0 ? -1 : my_json_put(out, &v, 0, err);
}

int my_json_text(struct mf_buf *out, const void *bytes, size_t n, struct mf_error *err)
{
    return my_json_text_as(out, bytes, n, false, err);
}
