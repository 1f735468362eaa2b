/* Ids of XA transactions: see statement.h. */
#include "connector/mysql/statement.h"

#include "base/str.h"

#include <stdio.h>

static void put_hex(char *out, size_t *at, const char *text, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[(*at)++] = digits[(unsigned char)text[i] >> 4];
        out[(*at)++] = digits[(unsigned char)text[i] & 15];
    }
    out[*at] = 0;
}

/* One of the two strings of an id, as lower-case hexadecimal digits; 64 bytes at most. */
static bool xa_part(struct my_tokens *t, char *out, size_t size)
{
    bool hex = my_token_skip(t, "X");
    size_t at = 0;
    if (t->kind != MY_TOKEN_QUOTED || t->cut || t->len > (hex ? 128 : 64) || t->len * 2 + 1 > size) {
        return false;
    }
    out[0] = 0;
    if (!hex) {
        put_hex(out, &at, t->text, t->len);
    }
    for (size_t i = 0; hex && i < t->len; i++) {
        char c = t->text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) {
            return false;
        }
        out[at++] = (char)(c >= 'A' && c <= 'F' ? c + 32 : c);
        out[at] = 0;
    }
    my_token_next(t);
    return true;
}

bool my_xa_id(const char *text, size_t n, char *ret, size_t size)
{
    struct my_tokens t;
    char parts[2][132] = {"", ""};
    char format[24] = "1";
    my_tokens_init(&t, text, n, true);
    my_token_next(&t);
    ret[0] = 0;
    if (!xa_part(&t, parts[0], sizeof parts[0])) {
        return false;
    }
    if (my_token_is_punct(&t, ',')) {
        my_token_next(&t);
        if (!xa_part(&t, parts[1], sizeof parts[1])) {
            return false;
        }
    }
    if (my_token_is_punct(&t, ',')) {
        my_token_next(&t);
        if (t.kind != MY_TOKEN_WORD || !mf_strlcpy(format, t.text, sizeof format)) {
            return false;
        }
    }
    int w = snprintf(ret, size, "%s,%s,%s", parts[0], parts[1], format);
    return w > 0 && (size_t)w < size;
}
