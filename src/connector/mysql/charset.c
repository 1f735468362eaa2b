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
} known[] = {
    {"latin1", "CP1252", ONE},
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
    {"euckr", "EUC-KR", MANY},
    {"ujis", "EUC-JP", MANY},
    {"eucjpms", "EUC-JP-MS", MANY},
    {"sjis", "SJIS", MANY},
    {"cp932", "CP932", MANY},
    {"ucs2", "UCS-2BE", MANY_ODD},
    {"utf16", "UTF-16BE", MANY_ODD},
    {"utf16le", "UTF-16LE", MANY_ODD},
    {"utf32", "UTF-32BE", MANY_ODD},
};

struct my_charset {
    struct my_charset *next;
    const struct known *known;
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

/* latin1 is Windows' code page, but that the five bytes it leaves out are the control characters of their number. */
static void fill_holes(struct my_charset *c)
{
    for (unsigned b = 0x80; b < 0xa0; b++) {
        if (!c->len[b]) {
            c->utf8[b][0] = (char)0xc2;
            c->utf8[b][1] = (char)b;
            c->len[b] = 2;
        }
    }
}

static void make_table(struct my_charset *c)
{
    for (unsigned b = 0; b < 256; b++) {
        char in = (char)b, *from = &in, *to = c->utf8[b];
        size_t nin = 1, nout = GROWS;
        iconv(c->cd, NULL, NULL, NULL, NULL);
        if (iconv(c->cd, &from, &nin, &to, &nout) == 0 && nin == 0) {
            c->len[b] = (uint8_t)(GROWS - nout);
        }
    }
    if (mf_streq(c->known->name, "latin1")) {
        fill_holes(c);
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

static int by_iconv(struct my_charset *c, const char *p, size_t n, struct mf_arena *arena, const char **ret,
                    size_t *ret_n, struct mf_error *err)
{
    char *out = n <= SIZE_MAX / GROWS ? mf_alloc(arena, n * GROWS) : NULL;
    if (!out) {
        return too_big(err);
    }
    union {
        const char *in; /* iconv takes what it does not change without const */
        char *arg;
    } from = {.in = p};
    char *to = out;
    size_t nin = n, nout = n * GROWS;
    iconv(c->cd, NULL, NULL, NULL, NULL);
    if (iconv(c->cd, &from.arg, &nin, &to, &nout) != 0 || nin) {
        return meaningless(c, p, n, n - nin, err);
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
                                     : by_iconv(c, p, n, arena, ret, ret_n, err);
}
