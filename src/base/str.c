#include "base/str.h"

#include "base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool mf_starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool mf_ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s);
    size_t m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool mf_strlcpy(char *dst, const char *src, size_t size)
{
    size_t n = strlen(src);
    if (!size) {
        return false;
    }
    size_t fits = n < size ? n : size - 1;
    memcpy(dst, src, fits);
    dst[fits] = '\0';
    return fits == n;
}

/* Length of the well-formed UTF-8 sequence at p (1 to 4), or 0. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
    if (!n || p[0] < 0x80) {
        return n ? 1 : 0;
    }
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] > 0x9f;
    bool too_big = p[0] == 0xf4 && p[1] > 0x8f;
    return overlong || surrogate || too_big ? 0 : len;
}

bool mf_utf8_valid(const void *p, size_t n)
{
    const uint8_t *s = p;
    while (n) {
        size_t len = utf8_len(s, n);
        if (!len) {
            return false;
        }
        s += len;
        n -= len;
    }
    return true;
}

int mf_json_escape(struct mf_buf *b, const char *s, size_t n)
{
    const uint8_t *p = (const uint8_t *)s;
    while (n) {
        size_t len = utf8_len(p, n);
        if (!len) {
            mf_buf_puts(b, "\xef\xbf\xbd");
            len = 1;
        } else if (*p == '"' || *p == '\\') {
            mf_buf_printf(b, "\\%c", *p);
        } else if (*p == '\n') {
            mf_buf_puts(b, "\\n");
        } else if (*p == '\t') {
            mf_buf_puts(b, "\\t");
        } else if (*p == '\r') {
            mf_buf_puts(b, "\\r");
        } else if (*p < 0x20 || *p == 0x7f) {
            mf_buf_printf(b, "\\u%04x", *p);
        } else {
            mf_buf_append(b, p, len);
        }
        p += len;
        n -= len;
    }
    return mf_buf_ok(b) ? 0 : -1;
}

bool mf_parse_u64(const char *s, uint64_t *ret)
{
    uint64_t v = 0;
    if (!*s) {
        return false;
    }
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v)) {
            return false;
        }
    }
    *ret = v;
    return true;
}

bool mf_parse_i64(const char *s, int64_t *ret)
{
    bool neg = *s == '-';
    uint64_t v;
    if (!mf_parse_u64(s + neg, &v) || v > (uint64_t)INT64_MAX + neg) {
        return false;
    }
    *ret = neg ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* A number with up to six decimals, times `unit`, rounded down. Moves *s past the number only. */
static bool parse_scaled(const char **s, uint64_t *ret_whole, uint64_t *ret_micro)
{
    const char *p = *s;
    uint64_t whole = 0;
    uint64_t micro = 0;
    if (!isdigit((unsigned char)*p)) {
        return false;
    }
    for (; isdigit((unsigned char)*p); p++) {
        if (__builtin_mul_overflow(whole, UINT64_C(10), &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole)) {
            return false;
        }
    }
    if (*p == '.') {
        uint64_t scale = 1000000;
        p++;
        if (!isdigit((unsigned char)*p)) {
            return false;
        }
        for (; isdigit((unsigned char)*p); p++) {
            scale /= 10;
            if (!scale) {
                return false;
            }
            micro += (uint64_t)(*p - '0') * scale;
        }
    }
    *s = p;
    *ret_whole = whole;
    *ret_micro = micro;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit *find_unit(const struct unit *units, const char *s, size_t n, bool any_case)
{
    for (; units->name; units++) {
        if (strlen(units->name) == n && (any_case ? strncasecmp : strncmp)(units->name, s, n) == 0) {
            return units;
        }
    }
    return NULL;
}

static bool scale_by(uint64_t whole, uint64_t micro, uint64_t factor, uint64_t *ret)
{
    uint64_t v;
    /* micro < 1e6 and factor < 2^50, so the second product cannot overflow when split this way. */
    uint64_t part = factor / 1000000 * micro + factor % 1000000 * micro / 1000000;
    return !__builtin_mul_overflow(whole, factor, &v) && !__builtin_add_overflow(v, part, ret);
}

bool mf_parse_size(const char *s, uint64_t *ret_bytes)
{
    static const struct unit units[] = {{"", 1},
                                        {"B", 1},
                                        {"K", 1024},
                                        {"kB", 1024},
                                        {"KiB", 1024},
                                        {"M", UINT64_C(1) << 20},
                                        {"MB", UINT64_C(1) << 20},
                                        {"MiB", UINT64_C(1) << 20},
                                        {"G", UINT64_C(1) << 30},
                                        {"GB", UINT64_C(1) << 30},
                                        {"GiB", UINT64_C(1) << 30},
                                        {"T", UINT64_C(1) << 40},
                                        {"TB", UINT64_C(1) << 40},
                                        {"TiB", UINT64_C(1) << 40},
                                        {NULL, 0}};
    uint64_t whole;
    uint64_t micro;
    if (!parse_scaled(&s, &whole, &micro)) {
        return false;
    }
    s += *s == ' ';
    const struct unit *u = find_unit(units, s, strlen(s), true);
    uint64_t v;
    if (!u || (micro && u->factor == 1) || !scale_by(whole, micro, u->factor, &v)) {
        return false;
    }
    *ret_bytes = v;
    return true;
}

bool mf_parse_duration(const char *s, int64_t *ret_us)
{
    static const struct unit units[] = {{"us", 1},
                                        {"ms", 1000},
                                        {"s", 1000000},
                                        {"m", UINT64_C(60000000)},
                                        {"min", UINT64_C(60000000)},
                                        {"h", UINT64_C(3600000000)},
                                        {"d", UINT64_C(86400000000)},
                                        {"w", UINT64_C(604800000000)},
                                        {NULL, 0}};
    uint64_t total = 0;
    if (mf_streq(s, "0")) {
        *ret_us = 0;
        return true;
    }
    do {
        uint64_t whole;
        uint64_t micro;
        uint64_t v;
        if (!parse_scaled(&s, &whole, &micro)) {
            return false;
        }
        size_t n = 0;
        while (isalpha((unsigned char)s[n])) {
            n++;
        }
        const struct unit *u = find_unit(units, s, n, false);
        if (!u || !scale_by(whole, micro, u->factor, &v) || __builtin_add_overflow(total, v, &total) ||
            total > INT64_MAX) {
            return false;
        }
        s += n;
    } while (*s);
    *ret_us = (int64_t)total;
    return true;
}

char *mf_format_size(uint64_t bytes, char *buf, size_t size)
{
    static const char *const names[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1024) {
        snprintf(buf, size, "%u byte%s", (unsigned)bytes, bytes == 1 ? "" : "s");
        return buf;
    }
    double v = (double)bytes / 1024;
    size_t i = 0;
    for (; v >= 1023.95 && i + 1 < sizeof(names) / sizeof(names[0]); i++) {
        v /= 1024;
    }
    snprintf(buf, size, v < 99.95 ? "%.1f %s" : "%.0f %s", v, names[i]);
    return buf;
}

char *mf_format_duration(int64_t us, char *buf, size_t size)
{
    const char *sign = us < 0 ? "-" : "";
    uint64_t u = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    uint64_t s = u / 1000000;
    if (u < 1000) {
        snprintf(buf, size, "%s%llu us", sign, (unsigned long long)u);
    } else if (s < 1) {
        snprintf(buf, size, "%s%llu ms", sign, (unsigned long long)(u / 1000));
    } else if (s < 10) {
        snprintf(buf, size, "%s%llu.%llu s", sign, (unsigned long long)s, (unsigned long long)(u / 100000 % 10));
    } else if (s < 60) {
        snprintf(buf, size, "%s%llu s", sign, (unsigned long long)s);
    } else if (s < 3600) {
        snprintf(buf, size, "%s%llum %llus", sign, (unsigned long long)(s / 60), (unsigned long long)(s % 60));
    } else if (s < 86400) {
        snprintf(buf, size, "%s%lluh %llum", sign, (unsigned long long)(s / 3600), (unsigned long long)(s / 60 % 60));
    } else {
        snprintf(buf, size, "%s%llud %lluh", sign, (unsigned long long)(s / 86400),
                 (unsigned long long)(s / 3600 % 24));
    }
    return buf;
}

bool mf_glob_match(const char *pattern, const char *s)
{
    /* Going back only to the last star is enough and keeps it linear times the pattern. */
    const char *star = NULL;
    const char *resume = NULL;
    while (*s) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = s;
        } else if (*pattern == '?' || *pattern == *s) {
            pattern++;
            s++;
        } else if (star) {
            pattern = star;
            s = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return !*pattern;
}

size_t mf_edit_distance(const char *a, const char *b)
{
    enum { MAX = 63 };
    size_t n = strlen(a);
    size_t m = strlen(b);
    size_t row[MAX + 1];
    if (n > MAX || m > MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= m; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best) {
                best = above + 1;
            }
            if (row[j - 1] + 1 < best) {
                best = row[j - 1] + 1;
            }
            row[j] = best;
            diagonal = above;
        }
    }
    return row[m];
}

size_t mf_utf8_cut(const char *s, size_t n, size_t max)
{
    if (n <= max) {
        return n;
    }
    while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80) {
        max--;
    }
    return max;
}
