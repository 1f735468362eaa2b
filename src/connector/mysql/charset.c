/* See charset.h. */
#include "connector/mysql/charset.h"

#include "base/mem.h"
#include "base/str.h"

#include <iconv.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GROWS 3 /* bytes of UTF-8 that a byte of any set becomes at most */

enum form {
    ONE,      /* a byte a character; bytes below 128 are ASCII */
    ONE_ODD,  /* a byte a character; not all of ASCII is there */
    MANY,     /* ASCII bytes are themselves unless they follow another byte */
    MANY_ODD, /* no byte stands for itself */
};

static const struct known {
    const char *name, *iconv;
    enum form form;
} known[] = {{"latin1", "CP1252", ONE},
             {"latin2", "ISO-8859-2", ONE},
             {"latin5", "ISO-8859-9", ONE},
             {"latin7", "ISO-8859-13", ONE},
             {"greek", "ISO-8859-7", ONE},
             {"hebrew", "ISO-8859-8", ONE},
             {"koi8r", "KOI8-R", ONE},
             {"koi8u", "KOI8-U", ONE},
             {"cp1250", "CP1250", ONE},
             {"cp1251", "CP1251", ONE},
             {"cp1256", "CP1256", ONE},
             {"cp1257", "CP1257", ONE},
             {"cp850", "CP850", ONE},
             {"cp852", "CP852", ONE},
             {"cp866", "CP866", ONE},
             {"macce", "MAC-CENTRALEUROPE", ONE},
             {"macroman", "MACINTOSH", ONE},
             {"dec8", "DEC-MCS", ONE},
             {"hp8", "HP-ROMAN8", ONE},
             {"tis620", "TIS-620", ONE},
             {"armscii8", "ARMSCII-8", ONE},
             {"geostd8", "GEORGIAN-PS", ONE},
             {"swe7", "SEN_850200_B", ONE_ODD},
             {"big5", "BIG5", MANY},
             {"gb2312", "EUC-CN", MANY},
             {"gbk", "GBK", MANY},
             {"gb18030", "GB18030", MANY},
             {"euckr", "UHC", MANY},
             {"ujis", "EUC-JP", MANY},
             {"eucjpms", "EUC-JP-MS", MANY},
             {"sjis", "SJIS", MANY},
             {"cp932", "CP932", MANY},
             {"ucs2", "UCS-2BE", MANY_ODD},
             {"utf16", "UTF-16BE", MANY_ODD},
             {"utf16le", "UTF-16LE", MANY_ODD},
             {"utf32", "UTF-32BE", MANY_ODD}};

/* Where the servers and iconv's table differ: `n` codes from `from` on are the code points from `to` on; 0: they have none. */
static const struct odd {
    const char *set;
    uint32_t from, n, to;
} odds[] = {{"latin1", 0x81, 1, 0x81},
            {"latin1", 0x8d, 1, 0x8d},
            {"latin1", 0x8f, 2, 0x8f},
            {"latin1", 0x9d, 1, 0x9d},
            {"greek", 0xa1, 1, 0x2bd},
            {"greek", 0xa2, 1, 0x2bc},
            {"greek", 0xa4, 2, 0x0},
            {"greek", 0xaa, 1, 0x0},
            {"hebrew", 0xaf, 1, 0x203e},
            {"koi8u", 0x95, 1, 0x2022},
            {"cp1256", 0x8a, 1, 0x0},
            {"cp1256", 0x8f, 1, 0x0},
            {"cp1256", 0x98, 1, 0x0},
            {"cp1256", 0x9a, 1, 0x0},
            {"cp1256", 0x9f, 1, 0x0},
            {"cp1256", 0xaa, 1, 0x0},
            {"cp1256", 0xc0, 1, 0x0},
            {"cp1256", 0xff, 1, 0x0},
            {"cp866", 0xfc, 1, 0x207f},
            {"cp866", 0xfd, 1, 0xb2},
            {"macroman", 0xc6, 1, 0x2206},
            {"macroman", 0xf0, 1, 0xf8ff},
            {"dec8", 0xa0, 1, 0xa0},
            {"tis620", 0x80, 32, 0x80},
            {"tis620", 0xa0, 1, 0x0},
            {"tis620", 0xdb, 4, 0x0},
            {"tis620", 0xfc, 4, 0x0},
            {"armscii8", 0xa1, 1, 0x2741},
            {"armscii8", 0xa2, 1, 0xa7},
            {"armscii8", 0xad, 1, 0x55f},
            {"armscii8", 0xfe, 1, 0x2019},
            {"armscii8", 0xff, 1, 0x27},
            {"geostd8", 0x80, 1, 0x20ac},
            {"geostd8", 0x81, 1, 0x0},
            {"geostd8", 0x83, 1, 0x0},
            {"geostd8", 0x88, 1, 0x0},
            {"geostd8", 0x8a, 1, 0x0},
            {"geostd8", 0x8c, 5, 0x0},
            {"geostd8", 0x98, 3, 0x0},
            {"geostd8", 0x9c, 4, 0x0},
            {"geostd8", 0xe6, 23, 0x0},
            {"geostd8", 0xfd, 1, 0x2116},
            {"geostd8", 0xfe, 2, 0x0},
            {"swe7", 0x24, 1, 0x24},
            {"swe7", 0x40, 1, 0xc9},
            {"swe7", 0x5e, 1, 0xdc},
            {"swe7", 0x60, 1, 0xe9},
            {"swe7", 0x7e, 1, 0xfc},
            {"swe7", 0x7f, 1, 0x0},
            {"big5", 0xa145, 1, 0x2022},
            {"big5", 0xa14e, 1, 0xff64},
            {"big5", 0xa15a, 1, 0x0},
            {"big5", 0xa1c2, 1, 0x203e},
            {"big5", 0xa1c3, 1, 0x0},
            {"big5", 0xa1c5, 1, 0x0},
            {"big5", 0xa1e3, 1, 0x223c},
            {"big5", 0xa1f2, 1, 0x2641},
            {"big5", 0xa1f3, 1, 0x2609},
            {"big5", 0xa1fe, 1, 0x0},
            {"big5", 0xa240, 1, 0x0},
            {"big5", 0xa241, 1, 0xff0f},
            {"big5", 0xa242, 1, 0xff3c},
            {"big5", 0xa244, 1, 0xa5},
            {"big5", 0xa246, 2, 0xa2},
            {"big5", 0xa2cc, 1, 0x0},
            {"big5", 0xa2ce, 1, 0x0},
            {"big5", 0xa3e1, 1, 0x0},
            {"big5", 0xc6a1, 1, 0x30fe},
            {"big5", 0xc6a2, 2, 0x309d},
            {"big5", 0xc6a4, 1, 0x3005},
            {"big5", 0xc6a5, 83, 0x3041},
            {"big5", 0xc6f8, 7, 0x30a1},
            {"big5", 0xc740, 63, 0x30a8},
            {"big5", 0xc7a1, 16, 0x30e7},
            {"big5", 0xc7b1, 2, 0x414},
            {"big5", 0xc7b3, 1, 0x401},
            {"big5", 0xc7b4, 7, 0x416},
            {"big5", 0xc7bb, 19, 0x423},
            {"big5", 0xc7ce, 1, 0x451},
            {"big5", 0xc7cf, 26, 0x436},
            {"big5", 0xc7e9, 10, 0x2460},
            {"big5", 0xc7f3, 10, 0x2474},
            {"big5", 0xc7fd, 2, 0x0},
            {"big5", 0xc840, 63, 0x0},
            {"big5", 0xc8a1, 94, 0x0},
            {"big5", 0xf9dd, 34, 0x0},
            {"gb18030", 0xa6d9, 7, 0xe78d},
            {"gb18030", 0xa6ec, 2, 0xe794},
            {"gb18030", 0xa6f3, 1, 0xe796},
            {"gb18030", 0xfe51, 3, 0xe816},
            {"gb18030", 0xfe59, 1, 0xe81e},
            {"gb18030", 0xfe61, 1, 0xe826},
            {"gb18030", 0xfe66, 2, 0xe82b},
            {"gb18030", 0xfe6c, 2, 0xe831},
            {"gb18030", 0xfe76, 1, 0xe83b},
            {"gb18030", 0xfe7e, 1, 0xe843},
            {"gb18030", 0xfe90, 2, 0xe854},
            {"gb18030", 0xfea0, 1, 0xe864},
            {"gb18030", 0x82359037, 3, 0x9fb4},
            {"gb18030", 0x82359130, 5, 0x9fb7},
            {"gb18030", 0x84318236, 4, 0xfe10},
            {"gb18030", 0x84318330, 6, 0xfe14},
            {"ujis", 0xa1c0, 1, 0x5c},
            {"ujis", 0xf5a1, 94, 0xe000},
            {"ujis", 0xf6a1, 94, 0xe05e},
            {"ujis", 0xf7a1, 94, 0xe0bc},
            {"ujis", 0xf8a1, 94, 0xe11a},
            {"ujis", 0xf9a1, 94, 0xe178},
            {"ujis", 0xfaa1, 94, 0xe1d6},
            {"ujis", 0xfba1, 94, 0xe234},
            {"ujis", 0xfca1, 94, 0xe292},
            {"ujis", 0xfda1, 94, 0xe2f0},
            {"ujis", 0xfea1, 94, 0xe34e},
            {"ujis", 0x8fa2b7, 1, 0x7e},
            {"ujis", 0x8ff5a1, 94, 0xe3ac},
            {"ujis", 0x8ff6a1, 94, 0xe40a},
            {"ujis", 0x8ff7a1, 94, 0xe468},
            {"ujis", 0x8ff8a1, 94, 0xe4c6},
            {"ujis", 0x8ff9a1, 94, 0xe524},
            {"ujis", 0x8ffaa1, 94, 0xe582},
            {"ujis", 0x8ffba1, 94, 0xe5e0},
            {"ujis", 0x8ffca1, 94, 0xe63e},
            {"ujis", 0x8ffda1, 94, 0xe69c},
            {"ujis", 0x8ffea1, 94, 0xe6fa},
            {"sjis", 0x5c, 1, 0x5c},
            {"sjis", 0x7e, 1, 0x7e},
            {"sjis", 0x815f, 1, 0x5c}};

struct my_charset {
    struct my_charset *next;
    const struct known *known;
    const struct odd *odd; /* its own, nodd of them */
    size_t nodd;
    iconv_t cd;            /* MANY, MANY_ODD */
    uint8_t len[256];      /* ONE, ONE_ODD: bytes of UTF-8 of each byte; 0: it has no meaning */
    char utf8[256][GROWS]; /* and those */
};

void my_charsets_free(struct my_charsets *all)
{
    for (struct my_charset *c = all->first, *next; c; c = next) {
        next = c->next;
        if (c->cd != (iconv_t)-1) {
            iconv_close(c->cd);
        }
        free(c);
    }
    all->first = NULL;
}

static void find_odds(struct my_charset *c)
{
    for (size_t i = 0; i < sizeof(odds) / sizeof(odds[0]); i++) {
        if (mf_streq(odds[i].set, c->known->name)) {
            c->odd = c->nodd ? c->odd : &odds[i];
            c->nodd++;
        }
    }
}

static size_t put_utf8(char *out, uint32_t point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t n = point < 0x800 ? 2 : 3;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    out[0] = (char)((n == 2 ? 0xc0 : 0xe0) | point);
    return n;
}

/* One character that the servers take otherwise than iconv. False: it is none; *ret_n 0: it has no meaning. */
static bool put_odd(const struct my_charset *c, uint32_t code, char *out, size_t *ret_n)
{
    for (size_t i = 0; i < c->nodd; i++) {
        const struct odd *o = &c->odd[i];
        if (code >= o->from && code - o->from < o->n) {
            *ret_n = o->to ? put_utf8(out, o->to + (code - o->from)) : 0;
            return true;
        }
    }
    return false;
}

/* n bytes in place by iconv; false when they mean nothing. *at and *room move on. */
static bool convert(struct my_charset *c, const char *p, size_t n, char **at, size_t *room, size_t *ret_left)
{
    union {
        const char *in; /* iconv takes what it does not change without const */
        char *arg;
    } from = {.in = p};
    *ret_left = n;
    iconv(c->cd, NULL, NULL, NULL, NULL);
    return iconv(c->cd, &from.arg, ret_left, at, room) == 0 && *ret_left == 0;
}

static void make_table(struct my_charset *c)
{
    for (unsigned b = 0; b < 256; b++) {
        char in = (char)b, *to = c->utf8[b];
        size_t left, room = GROWS, n;
        if (put_odd(c, b, c->utf8[b], &n)) {
            c->len[b] = (uint8_t)n;
        } else if (convert(c, &in, 1, &to, &room, &left)) {
            c->len[b] = (uint8_t)(GROWS - room);
        }
    }
    iconv_close(c->cd);
    c->cd = (iconv_t)-1;
}

int my_charset_find(struct my_charsets *all, const char *name, struct my_charset **ret, struct mf_error *err)
{
    *ret = NULL;
    if (mf_starts_with(name, "utf8") || mf_streq(name, "ascii")) {
        return 0;
    }
    for (struct my_charset *c = all->first; c; c = c->next) {
        if (mf_streq(c->known->name, name)) {
            *ret = c;
            return 0;
        }
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (!mf_streq(known[i].name, name)) {
            continue;
        }
        iconv_t cd = iconv_open("UTF-8", known[i].iconv);
        if (cd == (iconv_t)-1) {
            break;
        }
        struct my_charset *c = mf_xcalloc(1, sizeof(*c));
        *c = (struct my_charset){.next = all->first, .known = &known[i], .cd = cd};
        find_odds(c);
        if (known[i].form <= ONE_ODD) {
            make_table(c);
        }
        all->first = *ret = c;
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFSHAPE", "text in the character set \"%s\" cannot be read from the binary log", name);
    mf_hint(err, "leave the table out, or change the column to utf8mb4 first");
    return -1;
}

static int meaningless(const struct my_charset *c, const char *p, size_t n, size_t at, struct mf_error *err)
{
    char hex[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && at + i < n; i++) {
        static const char digits[] = "0123456789ABCDEF";
        hex[2 * i] = digits[(uint8_t)p[at + i] >> 4];
        hex[2 * i + 1] = digits[(uint8_t)p[at + i] & 15];
        hex[2 * i + 2] = '\0';
    }
    mf_fail(err, MF_FATAL, "MFCHARSET", "a text has bytes that mean nothing in its character set %s: %s at byte %zu",
            c->known->name, hex, at);
    mf_hint(err, "repair the row at the source: its own server shows a question mark there");
    return -1;
}

static int too_big(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "a text is larger than there is room for");
}

static int from_table(struct my_charset *c, const char *p, size_t n, struct mf_arena *arena, const char **ret,
                      size_t *ret_n, struct mf_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = c->len[(uint8_t)p[i]];
        if (!len) {
            return meaningless(c, p, n, i, err);
        }
        total += len;
    }
    char *out = mf_alloc(arena, total);
    if (!out) {
        return too_big(err);
    }
    *ret = out;
    *ret_n = total;
    for (size_t i = 0; i < n; i++) {
        const char *from = c->utf8[(uint8_t)p[i]];
        for (size_t len = c->len[(uint8_t)p[i]]; len; len--) {
            *out++ = *from++;
        }
    }
    return 0;
}

/* Bytes of the character that begins with these; of the sets that have odd ones. */
static size_t char_length(const struct my_charset *c, const uint8_t *p, size_t n)
{
    if (p[0] < 0x80 || n < 2) {
        return 1;
    }
    switch (c->known->name[0]) {
    case 'g': /* gb18030 */
        return p[1] >= 0x30 && p[1] <= 0x39 ? 4 : 2;
    case 's': /* sjis has letters of one byte in the middle */
        return p[0] >= 0xa0 && p[0] < 0xe0 ? 1 : 2;
    case 'u': /* ujis */
        return p[0] == 0x8f ? 3 : 2;
    default:
        return 2;
    }
}

/* A character at a time, since some are not iconv's to convert. */
static bool one_by_one(struct my_charset *c, const char *p, size_t n, char **to, size_t *room, size_t *ret_left)
{
    for (size_t at = 0, len, done; at < n; at += len) {
        *ret_left = n - at;
        len = char_length(c, (const uint8_t *)p + at, n - at);
        if (len > n - at) {
            return false;
        }
        uint32_t code = 0;
        for (size_t i = 0; i < len; i++) {
            code = code << 8 | (uint8_t)p[at + i];
        }
        if (put_odd(c, code, *to, &done)) {
            if (!done) {
                return false;
            }
            *to += done;
            *room -= done;
        } else if (code < 0x80) {
            *(*to)++ = (char)code;
            --*room;
        } else if (!convert(c, p + at, len, to, room, &done)) {
            return false;
        }
    }
    return true;
}

static int from_many(struct my_charset *c, const char *p, size_t n, struct mf_arena *arena, const char **ret,
                     size_t *ret_n, struct mf_error *err)
{
    size_t room = n * GROWS, left = 0;
    char *out = n <= SIZE_MAX / GROWS ? mf_alloc(arena, room) : NULL, *to = out;
    if (!out) {
        return too_big(err);
    }
    if (!(c->nodd ? one_by_one : convert)(c, p, n, &to, &room, &left)) {
        return meaningless(c, p, n, n - left, err);
    }
    *ret = out;
    *ret_n = (size_t)(to - out);
    return 0;
}

static bool all_ascii(const char *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= (uint8_t)p[i];
    }
    return any < 0x80;
}

int my_charset_text(struct my_charset *c, const char *p, size_t n, struct mf_arena *arena, const char **ret,
                    size_t *ret_n, struct mf_error *err)
{
    *ret = p;
    *ret_n = n;
    if (n == 0 || (!(c->known->form & 1) && all_ascii(p, n))) {
        return 0;
    }
    return c->known->form <= ONE_ODD ? from_table(c, p, n, arena, ret, ret_n, err)
                                     : from_many(c, p, n, arena, ret, ret_n, err);
}
