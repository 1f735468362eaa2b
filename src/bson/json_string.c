/* The strings of JSON, with whatever escapes, as they may come back from a database. */
#include "bson/types.h"

#include "base/str.h"

#include <string.h>

struct string {
    const char *p, *end;
    struct mf_buf *to;
    const char *why;
};

static bool bad(struct string *r, const char *why)
{
    r->why = r->why ? r->why : why;
    return false;
}

static bool unicode(struct string *r, uint32_t *ret)
{
    uint8_t bytes[2];
    char digits[4];
    if (r->end - r->p < 4) {
        return bad(r, "it is no JSON");
    }
    for (int i = 0; i < 4; i++) {
        digits[i] = r->p[i] >= 'A' && r->p[i] <= 'F' ? (char)(r->p[i] + 32) : r->p[i];
    }
    if (!hex_read(digits, 4, bytes)) {
        return bad(r, "it is no JSON");
    }
    r->p += 4;
    *ret = (uint32_t)bytes[0] << 8 | bytes[1];
    return true;
}

static void put_utf8(struct mf_buf *b, uint32_t c)
{
    if (c >= 0x10000) {
        mf_buf_putc(b, (char)(0xf0 | c >> 18));
        mf_buf_putc(b, (char)(0x80 | (c >> 12 & 63)));
    } else if (c >= 0x800) {
        mf_buf_putc(b, (char)(0xe0 | c >> 12));
    }
    if (c >= 0x800) {
        mf_buf_putc(b, (char)(0x80 | (c >> 6 & 63)));
    } else if (c >= 0x80) {
        mf_buf_putc(b, (char)(0xc0 | c >> 6));
    }
    mf_buf_putc(b, (char)(c >= 0x80 ? 0x80 | (c & 63) : c));
}

static bool escape(struct string *r)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    uint32_t c, low;
    char letter = r->p < r->end ? *r->p++ : '\0';
    const char *at = letter ? strchr(letters, letter) : NULL;
    if (at) {
        mf_buf_putc(r->to, meant[at - letters]);
        return true;
    }
    if (letter != 'u' || !unicode(r, &c)) {
        return bad(r, "it is no JSON");
    }
    if (c >= 0xd800 && c < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u') {
        r->p += 2;
        if (!unicode(r, &low) || low < 0xdc00 || low > 0xdfff) {
            return bad(r, "it has half of a surrogate pair");
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (c >= 0xd800 && c < 0xe000) {
        return bad(r, "it has half of a surrogate pair");
    }
    put_utf8(r->to, c);
    return true;
}

static bool characters(struct string *r)
{
    while (r->p < r->end && *r->p != '"') {
        const char *from = r->p;
        while (r->p < r->end && *r->p != '"' && *r->p != '\\' && (uint8_t)*r->p >= 0x20) {
            r->p++;
        }
        mf_buf_append(r->to, from, (size_t)(r->p - from));
        if (r->p < r->end && *r->p == '\\') {
            r->p++;
            if (!escape(r)) {
                return false;
            }
        } else if (r->p < r->end && *r->p != '"') {
            return bad(r, "it is no JSON");
        }
    }
    return r->p < r->end || bad(r, "it is no JSON");
}

const char *json_read_string(const char **p, const char *end, struct mf_buf *ret)
{
    struct string r = {.p = *p, .end = end, .to = ret};
    size_t from = ret->len;
    if (r.p == end || *r.p++ != '"') {
        return "it is no JSON";
    }
    if (!characters(&r)) {
        return r.why;
    }
    if (!mf_buf_ok(ret)) {
        return "it is too long";
    }
    *p = r.p + 1;
    return mf_utf8_valid(mf_buf_str(ret) + from, ret->len - from) ? NULL : "it is not UTF-8";
}
