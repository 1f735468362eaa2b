/*
 * What a column's default means: see default.h.
 *
 * information_schema gives texts in three-byte UTF-8: what does not fit in that is a question mark there, so a default with one is not known. The default of
 * a TIMESTAMP is told in the time zone of whoever set it: not known either, but zero is zero everywhere.
 */
#include "connector/mysql/default.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* "name", "name()", "name(6)" and nothing more. */
static bool is_call(const char *text, const char *name)
{
    size_t n = strlen(name);
    if (strncasecmp(text, name, n) != 0) {
        return false;
    }
    text += n;
    if (*text == '(') {
        for (text++; isdigit((unsigned char)*text);) {
            text++;
        }
        if (*text++ != ')') {
            return false;
        }
    }
    return *text == 0;
}

static enum mf_default_kind call(const char *text)
{
    static const char *const clocks[] = {"CURRENT_TIMESTAMP", "now", "localtimestamp", "localtime"};
    for (size_t i = 0; i < MF_ARRAY_LEN(clocks); i++) {
        if (is_call(text, clocks[i])) {
            return MF_DEFAULT_NOW;
        }
    }
    if (is_call(text, "curdate") || is_call(text, "current_date")) {
        return MF_DEFAULT_NOW;
    }
    return is_call(text, "uuid") ? MF_DEFAULT_UUID : MF_DEFAULT_OTHER;
}

/* 'it''s', as the server prints a text: what is not printable has a backslash. */
static bool unquote(const char *text, struct mf_buf *value)
{
    const char *p = text + 1;
    for (; *p; p++) {
        if (*p == '\'') {
            if (p[1] != '\'') {
                break;
            }
            p++;
        } else if (*p == '\\') {
            static const char from[] = "nrt0Zb", to[] = "\n\r\t\0\032\b";
            const char *at = p[1] ? strchr(from, p[1]) : NULL;
            if (!p[1] || p[1] == '0') {
                return false;
            }
            mf_buf_putc(value, at ? to[at - from] : p[1]);
            p++;
            continue;
        }
        mf_buf_putc(value, *p);
    }
    return *p == '\'' && p[1] == 0;
}

static bool is_number(const char *text)
{
    size_t digits = 0;
    text += *text == '-' || *text == '+';
    for (; isdigit((unsigned char)*text) || *text == '.'; text++) {
        digits += *text != '.';
    }
    if (digits && (*text == 'e' || *text == 'E')) {
        text += text[1] == '-' || text[1] == '+' ? 2 : 1;
        digits = strlen(text);
        text += strspn(text, "0123456789");
    }
    return digits && *text == 0;
}

/* b'101', of which we write the number. */
static bool take_bits(const char *text, struct mf_buf *value)
{
    uint64_t v = 0;
    size_t n = 0;
    if (text[0] != 'b' || text[1] != '\'') {
        return false;
    }
    for (text += 2; (*text == '0' || *text == '1') && n < 64; text++, n++) {
        v = v << 1 | (uint64_t)(*text - '0');
    }
    mf_buf_printf(value, "%" PRIu64, v);
    return n > 0 && strcmp(text, "'") == 0;
}

static bool is_zero(const char *text)
{
    return strspn(text, "0-: .") == strlen(text);
}

static bool is_text(const struct my_type *t)
{
    return t->base == MY_CHAR || t->base == MY_VARCHAR || t->base == MY_TEXT || t->base == MY_ENUM || t->base == MY_SET;
}

static bool is_numeric(const struct my_type *t)
{
    return t->base <= MY_DOUBLE || t->base == MY_YEAR;
}

enum mf_default_kind my_default_parse(const char *text, const char *extra, const struct my_type *t, bool as_sql,
                                      struct mf_buf *value)
{
    bool times = t->base == MY_DATETIME || t->base == MY_TIMESTAMP;
    if (!text || (as_sql && strcasecmp(text, "NULL") == 0)) {
        return MF_DEFAULT_NONE;
    }
    if (extra && strstr(extra, "DEFAULT_GENERATED")) {
        return call(text);
    }
    if (times && call(text) == MF_DEFAULT_NOW) {
        return MF_DEFAULT_NOW;
    }
    if (t->base == MY_BIT) {
        return take_bits(text, value) ? MF_DEFAULT_VALUE : MF_DEFAULT_OTHER;
    }
    if (as_sql && *text != '\'') {
        mf_buf_puts(value, text);
        return is_number(text) && is_numeric(t) ? MF_DEFAULT_VALUE : call(text);
    }
    if (!as_sql) {
        mf_buf_puts(value, text);
    } else if (!unquote(text, value)) {
        return MF_DEFAULT_OTHER;
    }
    const char *v = mf_buf_str(value);
    if (my_type_is_binary(t) || t->base == MY_JSON || (t->base == MY_TIMESTAMP && !is_zero(v)) ||
        (is_text(t) && strchr(v, '?')) || (is_numeric(t) && !is_number(v))) {
        return MF_DEFAULT_OTHER;
    }
    return MF_DEFAULT_VALUE;
}
