/*
 * Types of columns: see coltype.h.
 *
 * The text is the server's own, but it is parsed as if anybody had written it. Whatever is not understood to its last character is
 * refused: a word that is skipped may be the one that changes what the column holds.
 */
#include "connector/mysql/coltype.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/str.h"
#include "connector/mysql/json_put.h"
#include "connector/mysql/put.h"

#include <string.h>

/* ---- the names ---- */

enum args {
    NONE,
    WIDTH,    /* (n), for display only */
    LENGTH,   /* (n); 1 when not said */
    LENGTH_1, /* (n) must be said */
    FRACTION, /* (n), at most 6; 0 when not said */
    M_D,      /* (m,d) */
    M_D_10,   /* (m,d); 10,0 when not said */
    MEMBERS,
};

static const struct {
    const char *name;
    enum my_base base;
    enum args args;
    uint32_t length;
    bool number, characters; /* may be UNSIGNED; has a character set */
} names[] = {
    {"tinyint", MY_TINYINT, WIDTH, 0, true, false},
    {"smallint", MY_SMALLINT, WIDTH, 0, true, false},
    {"mediumint", MY_MEDIUMINT, WIDTH, 0, true, false},
    {"int", MY_INT, WIDTH, 0, true, false},
    {"bigint", MY_BIGINT, WIDTH, 0, true, false},
    {"decimal", MY_DECIMAL, M_D_10, 0, true, false},
    {"float", MY_FLOAT, M_D, 0, true, false},
    {"double", MY_DOUBLE, M_D, 0, true, false},
    {"bit", MY_BIT, LENGTH, 0, false, false},
    {"year", MY_YEAR, WIDTH, 0, true, false}, /* some servers call it unsigned */
    {"date", MY_DATE, NONE, 0, false, false},
    {"time", MY_TIME, FRACTION, 0, false, false},
    {"datetime", MY_DATETIME, FRACTION, 0, false, false},
    {"timestamp", MY_TIMESTAMP, FRACTION, 0, false, false},
    {"char", MY_CHAR, LENGTH, 0, false, true},
    {"varchar", MY_VARCHAR, LENGTH_1, 0, false, true},
    {"tinytext", MY_TEXT, NONE, UINT8_MAX, false, true},
    {"text", MY_TEXT, NONE, UINT16_MAX, false, true},
    {"mediumtext", MY_TEXT, NONE, 0xffffff, false, true},
    {"longtext", MY_TEXT, NONE, UINT32_MAX, false, true},
    {"binary", MY_BINARY, LENGTH, 0, false, false},
    {"varbinary", MY_VARBINARY, LENGTH_1, 0, false, false},
    {"tinyblob", MY_BLOB, NONE, UINT8_MAX, false, false},
    {"blob", MY_BLOB, NONE, UINT16_MAX, false, false},
    {"mediumblob", MY_BLOB, NONE, 0xffffff, false, false},
    {"longblob", MY_BLOB, NONE, UINT32_MAX, false, false},
    {"enum", MY_ENUM, MEMBERS, 0, false, true},
    {"set", MY_SET, MEMBERS, 0, false, true},
    {"json", MY_JSON, NONE, 0, false, false},
    {"geometry", MY_GEOMETRY, NONE, 0, false, false},
    {"point", MY_GEOMETRY, NONE, 0, false, false},
    {"linestring", MY_GEOMETRY, NONE, 0, false, false},
    {"polygon", MY_GEOMETRY, NONE, 0, false, false},
    {"multipoint", MY_GEOMETRY, NONE, 0, false, false},
    {"multilinestring", MY_GEOMETRY, NONE, 0, false, false},
    {"multipolygon", MY_GEOMETRY, NONE, 0, false, false},
    {"geometrycollection", MY_GEOMETRY, NONE, 0, false, false},
    {"geomcollection", MY_GEOMETRY, NONE, 0, false, false},
    {"uuid", MY_UUID, NONE, 16, false, false},
    {"inet6", MY_INET6, NONE, 16, false, false},
    {"inet4", MY_INET4, NONE, 4, false, false},
    {"vector", MY_VECTOR, LENGTH_1, 0, false, false},
};

/* ---- parsing ---- */

struct scan {
    const char *at;
    struct mf_arena *arena;
    bool no_memory;
};

/* Past blanks and the comments in which servers say how a column is stored: not a matter of its values. */
static void skip(struct scan *s)
{
    for (;;) {
        while (*s->at == ' ') {
            s->at++;
        }
        const char *end = mf_starts_with(s->at, "/*") ? strstr(s->at + 2, "*/") : NULL;
        if (!end) {
            return;
        }
        s->at = end + 2;
    }
}

static size_t word_length(const char *at)
{
    return strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

static bool take_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);
    if (word_length(s->at) != n || strncmp(s->at, word, n) != 0) {
        return false;
    }
    s->at += n;
    skip(s);
    return true;
}

static bool take_char(struct scan *s, char c)
{
    if (*s->at != c) {
        return false;
    }
    s->at++;
    return true;
}

static bool take_number(struct scan *s, uint32_t max, uint32_t *ret)
{
    uint64_t v = 0;
    const char *from = s->at;
    while (*s->at >= '0' && *s->at <= '9' && v <= max) {
        v = v * 10 + (uint64_t)(*s->at++ - '0');
    }
    *ret = (uint32_t)v;
    return s->at > from && v <= max;
}

/* (n), or nothing where that is allowed. */
static bool take_length(struct scan *s, bool must, uint32_t max, uint32_t otherwise, uint32_t *ret)
{
    if (!take_char(s, '(')) {
        *ret = otherwise;
        return !must;
    }
    return take_number(s, max, ret) && take_char(s, ')');
}

static bool take_m_d(struct scan *s, uint32_t m, struct my_type *t)
{
    uint32_t d = 0;
    if (take_char(s, '(') && !(take_number(s, UINT8_MAX, &m) && take_char(s, ',') && take_number(s, 38, &d) && d <= m &&
                               take_char(s, ')'))) {
        return false;
    }
    t->precision = (uint8_t)m;
    t->scale = (uint8_t)d;
    return true;
}

static char unescaped(char c)
{
    switch (c) {
    case '0':
        return '\0';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'Z':
        return 26;
    default:
        return c;
    }
}

/* From an opening quote to past the closing one; the name is written to out (as long as the text at most) unless that is NULL. False when it does not
 * end, or has a NUL byte in it: such a name we could not tell from a shorter one. */
static bool take_member(struct scan *s, char *out, size_t *ret_n)
{
    size_t n = 0;
    if (!take_char(s, '\'')) {
        return false;
    }
    for (;; s->at++) {
        char c = *s->at;
        if (c == '\'' && s->at[1] != '\'') {
            s->at++;
            *ret_n = n;
            return true;
        }
        if (c == '\'' || c == '\\') {
            c = *++s->at;
            c = s->at[-1] == '\\' && c ? unescaped(c) : c;
        }
        if (!c) {
            return false;
        }
        if (out) {
            out[n] = c;
        }
        n++;
    }
}

static uint32_t hash_member(uint32_t h, const char *name)
{
    for (;; name++) { /* FNV-1a, the closing NUL too */
        h = (h ^ (uint8_t)*name) * 16777619u;
        if (!*name) {
            return h;
        }
    }
}

static bool count_members(struct scan s, uint16_t *ret)
{
    size_t n, count = 0;
    do {
        if (!take_member(&s, NULL, &n) || ++count > UINT16_MAX) {
            return false;
        }
    } while (take_char(&s, ','));
    *ret = (uint16_t)count;
    return take_char(&s, ')');
}

static bool take_members(struct scan *s, struct my_type *t)
{
    MF_CLEANUP_FREE char *name = NULL;
    if (!take_char(s, '(') || !count_members(*s, &t->nmembers)) {
        return false;
    }
    name = mf_xmalloc(strlen(s->at) + 1);
    if (s->arena) {
        t->members = mf_alloc_array(s->arena, t->nmembers, sizeof *t->members);
        s->no_memory = !t->members;
    }
    t->members_hash = 2166136261u;
    for (uint16_t i = 0; i < t->nmembers; i++) {
        size_t n = 0;
        take_member(s, name, &n);
        name[n] = '\0';
        s->at++; /* the comma, or the bracket */
        t->members_hash = hash_member(t->members_hash, name);
        if (t->members) {
            t->members[i] = mf_memdup_a(s->arena, name, n);
            s->no_memory |= !t->members[i];
        }
    }
    return true;
}

static bool take_args(struct scan *s, enum args args, struct my_type *t)
{
    uint32_t n = 0;
    switch (args) {
    case NONE:
        return true;
    case WIDTH:
        return take_length(s, false, UINT8_MAX, 0, &n);
    case LENGTH:
    case LENGTH_1:
        return take_length(s, args == LENGTH_1, UINT16_MAX, 1, &t->length);
    case FRACTION:
        if (!take_length(s, false, 6, 0, &n)) {
            return false;
        }
        t->scale = (uint8_t)n;
        return true;
    case M_D:
        return take_m_d(s, 0, t);
    case M_D_10:
        return take_m_d(s, 10, t);
    case MEMBERS:
        return take_members(s, t);
    }
    return false;
}

static bool take_charset(struct scan *s, struct my_type *t)
{
    size_t n = word_length(s->at);
    if (n == 0 || n >= sizeof t->charset) {
        return false;
    }
    memcpy(t->charset, s->at, n);
    t->charset[n] = '\0';
    s->at += n;
    skip(s);
    if (strcmp(t->charset, "utf8") == 0) {
        mf_strlcpy(t->charset, "utf8mb3", sizeof t->charset);
    }
    bool listed = t->base == MY_ENUM || t->base == MY_SET;
    if (listed && strcmp(t->charset, "binary") == 0) {
        t->charset[0] = '\0';
    }
    return strcmp(t->charset, "binary") != 0;
}

static bool parse(struct scan *s, struct my_type *t)
{
    size_t n = word_length(s->at), i = 0;
    while (i < MF_ARRAY_LEN(names) && (strlen(names[i].name) != n || strncmp(names[i].name, s->at, n) != 0)) {
        i++;
    }
    if (i == MF_ARRAY_LEN(names)) {
        return false;
    }
    t->base = names[i].base;
    t->length = names[i].length;
    s->at += n;
    if (!take_args(s, names[i].args, t)) {
        return false;
    }
    skip(s);
    if (names[i].number) {
        t->is_unsigned = take_word(s, "unsigned");
        t->zerofill = take_word(s, "zerofill");
        t->is_unsigned |= t->zerofill;
    }
    if (t->base == MY_YEAR) {
        t->is_unsigned = t->zerofill = false; /* it cannot be anything else */
    }
    if (names[i].characters && take_word(s, "charset") && !take_charset(s, t)) {
        return false;
    }
    return *s->at == '\0';
}

int my_type_parse(const char *text, struct mf_arena *arena, struct my_type *ret, struct mf_error *err)
{
    struct my_type t = {0};
    struct scan s = {.at = text, .arena = arena};
    if (!parse(&s, &t)) {
        return mf_fail(err, MF_FATAL, "MFTYPE", "a column's type is not known here: %.200s", text);
    }
    if (s.no_memory) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a column's type needs too much memory: %.200s", text);
    }
    *ret = t;
    return 0;
}

/* ---- ids ---- */

/* Places in this list are in the spool and the state: append only. 0: none; 63: one that is not listed. */
static const char *const charsets[] = {
    "utf8mb4", "utf8mb3", "latin1", "ascii",  "ucs2",   "utf16",    "utf16le", "utf32",   "big5",    "dec8",
    "cp850",   "hp8",     "koi8r",  "latin2", "swe7",   "ujis",     "sjis",    "hebrew",  "tis620",  "euckr",
    "koi8u",   "gb2312",  "greek",  "cp1250", "gbk",    "latin5",   "cp866",   "keybcs2", "macce",   "macroman",
    "cp852",   "latin7",  "cp1251", "cp1256", "cp1257", "armscii8", "geostd8", "cp932",   "eucjpms", "gb18030",
};

static uint32_t charset_number(const char *name)
{
    for (uint32_t i = 0; i < MF_ARRAY_LEN(charsets); i++) {
        if (strcmp(charsets[i], name) == 0) {
            return i + 1;
        }
    }
    return *name ? 63 : 0;
}

uint32_t my_type_id(const struct my_type *t)
{
    return (uint32_t)t->base << 7 | (uint32_t)t->is_unsigned << 6 | charset_number(t->charset);
}

int32_t my_type_mod(const struct my_type *t)
{
    switch (t->base) {
    case MY_ENUM:
    case MY_SET:
        return (int32_t)t->members_hash;
    case MY_DECIMAL:
    case MY_FLOAT:
    case MY_DOUBLE:
        return t->precision << 8 | t->scale;
    case MY_TIME:
    case MY_DATETIME:
    case MY_TIMESTAMP:
        return t->scale;
    default:
        return (int32_t)t->length;
    }
}

void my_type_of_id(uint32_t id, int32_t mod, struct my_type *ret)
{
    *ret = (struct my_type){.base = id >> 7 <= MY_VECTOR ? (enum my_base)(id >> 7) : 0, .is_unsigned = id >> 6 & 1};
    switch (ret->base) {
    case MY_ENUM:
    case MY_SET:
        ret->members_hash = (uint32_t)mod;
        break;
    case MY_DECIMAL:
    case MY_FLOAT:
    case MY_DOUBLE:
        ret->precision = (uint8_t)(mod >> 8);
        ret->scale = (uint8_t)mod;
        break;
    case MY_TIME:
    case MY_DATETIME:
    case MY_TIMESTAMP:
        ret->scale = (uint8_t)mod;
        break;
    default:
        ret->length = (uint32_t)mod;
    }
}

/* ---- in statements ---- */

void my_put_read(struct mf_buf *b, const struct my_type *t, const char *column)
{
    switch (t->base) {
    case MY_TINYINT:
    case MY_SMALLINT:
    case MY_MEDIUMINT:
    case MY_INT:
    case MY_BIGINT:
        mf_buf_printf(b, t->zerofill ? "CAST(%s AS UNSIGNED)" : "%s", column);
        break;
    case MY_BIT:
        mf_buf_printf(b, "CAST(%s AS UNSIGNED)", column);
        break;
    case MY_DECIMAL:
        if (t->zerofill) {
            mf_buf_printf(b, "CAST(%s AS DECIMAL(%u,%u))", column, t->precision, t->scale);
        } else {
            mf_buf_puts(b, column);
        }
        break;
    case MY_FLOAT: /* by itself a FLOAT shows six digits, a DOUBLE(M,D) those of its scale; times, because plus loses the sign of -0 */
    case MY_DOUBLE:
        mf_buf_printf(b, "(%s * 1e0)", column);
        break;
    default:
        mf_buf_puts(b, column);
    }
}

/* What a literal without quotes holds exactly: a DECIMAL of 65 digits. */
#define LITERAL_DIGITS 65

static bool is_literal(const struct my_type *t, const struct mf_value *v)
{
    struct mf_number n;
    if (t->base > MY_YEAR || v->kind != MF_TEXT || !mf_number_scan(v->data, v->len, &n)) {
        return false;
    }
    return t->base == MY_FLOAT || t->base == MY_DOUBLE || (!n.has_exponent && v->len <= LITERAL_DIGITS);
}

void my_put_typed(struct mf_buf *b, const struct my_type *t, const struct mf_value *v)
{
    if (t->base == MY_JSON && v->kind == MF_TEXT) {
        my_put_json(b, v->data, v->len);
    } else if (is_literal(t, v)) {
        mf_buf_append(b, v->data, v->len);
        if ((t->base == MY_FLOAT || t->base == MY_DOUBLE) && !memchr(v->data, 'e', v->len) &&
            !memchr(v->data, 'E', v->len)) {
            mf_buf_puts(b, "e0"); /* else it is a DECIMAL on its way, with 30 digits behind the point at most */
        }
    } else {
        my_put_value(b, v);
    }
}
