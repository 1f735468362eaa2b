/*
 * Keeps passwords out of what people read.
 *
 * It is called on text that did not parse as often as on text that did (an error about a bad URL prints the URL), so
 * it must not depend on the URL being right: where the parts are not plain, it withholds more rather than less.
 */
#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define STARS "***"

struct span {
    const char *s;
    size_t n;
};

/* Every output is bounded by a few times the input, so appends can only fail out of memory. */
static void put(struct mf_buf *b, const char *s, size_t n)
{
    if (mf_buf_append(b, s, n) < 0) {
        abort();
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Is this parameter's value a secret? The name may be percent-encoded. */
static bool secret_name(struct span name)
{
    static const char *const words[] = {"pass",      "pwd",    "secret",  "token",      "credential", "apikey",
                                        "accesskey", "sslkey", "api_key", "access_key", "auth"};
    char plain[64];
    size_t n = 0;
    for (size_t i = 0; i < name.n && n < sizeof(plain) - 1; i++) {
        char c = name.s[i];
        if (c == '%' && i + 2 < name.n && hex_digit(name.s[i + 1]) >= 0 && hex_digit(name.s[i + 2]) >= 0) {
            c = (char)(hex_digit(name.s[i + 1]) * 16 + hex_digit(name.s[i + 2]));
            i += 2;
        }
        plain[n++] = (char)tolower((unsigned char)c);
    }
    plain[n] = '\0';
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (memmem(plain, n, words[i], strlen(words[i]))) {
            return true;
        }
    }
    return n == sizeof(plain) - 1; /* a name that long is no parameter we know */
}

static bool plain_name(struct span name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (!isalnum((unsigned char)name.s[i]) && !strchr("_-.%", name.s[i])) {
            return false;
        }
    }
    return name.n > 0;
}

/* Every part of the query is name=value with a plain name. */
static bool plain_query(const char *q)
{
    while (*q) {
        size_t n = strcspn(q, "&;#");
        const char *eq = memchr(q, '=', n);
        if (n && (!eq || !plain_name((struct span){q, (size_t)(eq - q)}))) {
            return false;
        }
        q += n + (q[n] != '\0');
    }
    return true;
}

static void put_query(struct mf_buf *b, const char *q)
{
    bool hide = false; /* a part without "=" after a secret is the rest of the secret */
    while (*q) {
        size_t n = strcspn(q, "&;#");
        const char *eq = memchr(q, '=', n);
        size_t name_len = eq ? (size_t)(eq - q) : 0;
        if (eq) {
            hide = secret_name((struct span){q, name_len});
        }
        if (hide) {
            put(b, q, eq ? name_len + 1 : 0);
            put(b, STARS, strlen(STARS));
        } else {
            put(b, q, n);
        }
        if (q[n]) {
            put(b, q + n, 1);
            n++;
        }
        q += n;
    }
}

/* What follows "scheme://" (or the whole of "user:password@host"). */
static void put_after_scheme(struct mf_buf *b, const char *rest)
{
    size_t authority = strcspn(rest, "/?#");
    const char *query = strchr(rest + authority, '?');
    const char *path_at =
        memchr(rest + authority, '@', query ? (size_t)(query - rest) - authority : strlen(rest + authority));
    const char *at = memrchr(rest, '@', authority);
    const char *colon;
    if (path_at || (query && strchr(query, '@') && !plain_query(query + 1))) {
        /* A raw "/", "?" or "#" inside the password: what the parts are cannot be told, so the last "@" ends it. */
        at = strrchr(rest, '@');
        query = strchr(at, '?');
    }
    colon = at ? memchr(rest, ':', (size_t)(at - rest)) : NULL;
    if (colon) {
        put(b, rest, (size_t)(colon - rest) + 1);
        put(b, STARS, strlen(STARS));
        rest = at;
    }
    if (query) {
        put(b, rest, (size_t)(query - rest) + 1);
        put_query(b, query + 1);
    } else {
        put(b, rest, strlen(rest));
    }
}

static const char *skip_space(const char *s)
{
    while (isspace((unsigned char)*s)) {
        s++;
    }
    return s;
}

/* The end of a libpq value, quoted or bare; NULL when a quote is not closed. */
static const char *value_end(const char *s)
{
    bool quoted = *s == '\'';
    for (s += quoted; *s && (quoted ? *s != '\'' : !isspace((unsigned char)*s)); s++) {
        if (*s == '\\' && s[1]) {
            s++;
        }
    }
    if (!quoted) {
        return s;
    }
    return *s ? s + 1 : NULL;
}

/* libpq's "name = value" list. False when it is not one. */
static bool put_keywords(struct mf_buf *b, const char *s)
{
    for (s = skip_space(s); *s; s = skip_space(s)) {
        const char *name = s;
        while (*s && *s != '=' && !isspace((unsigned char)*s)) {
            s++;
        }
        struct span key = {name, (size_t)(s - name)};
        s = skip_space(s);
        if (*s != '=' || !plain_name(key)) {
            return false;
        }
        const char *value = skip_space(s + 1);
        s = value_end(value);
        if (!s) {
            return false;
        }
        if (b->len) {
            put(b, " ", 1);
        }
        put(b, key.s, key.n);
        put(b, "=", 1);
        if (secret_name(key)) {
            put(b, STARS, strlen(STARS));
        } else if (memmem(value, (size_t)(s - value), "://", 3)) {
            put(b, STARS, strlen(STARS)); /* dbname may be a whole URL of its own */
        } else {
            put(b, value, (size_t)(s - value));
        }
    }
    return true;
}

char *mf_url_redact(const char *url)
{
    struct mf_buf b;
    mf_buf_init(&b, SIZE_MAX / 4);
    const char *scheme_end = url ? strstr(url, "://") : NULL;
    const char *eq = url ? strchr(url, '=') : NULL;
    if (!url) {
        put(&b, "", 0);
    } else if (scheme_end && (!eq || scheme_end < eq)) {
        put(&b, url, (size_t)(scheme_end - url) + 3);
        put_after_scheme(&b, scheme_end + 3);
    } else if (eq) {
        if (!put_keywords(&b, url)) {
            mf_buf_reset(&b);
            put(&b, STARS, strlen(STARS));
        }
    } else {
        put_after_scheme(&b, url);
    }
    char *text = mf_buf_steal(&b, NULL);
    if (!text) {
        abort();
    }
    return text;
}
