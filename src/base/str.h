/* Strings: small helpers, and the two that keep secrets and bad bytes out of what people read. Any thread. */
#ifndef MF_BASE_STR_H
#define MF_BASE_STR_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool mf_streq(const char *a, const char *b)
{
    return a == b || (a && b && __builtin_strcmp(a, b) == 0);
}
bool mf_starts_with(const char *s, const char *prefix);
bool mf_ends_with(const char *s, const char *suffix);

/* Copies as much as fits and always ends with a NUL. Returns false when it was cut. */
bool mf_strlcpy(char *dst, const char *src, size_t size);

/*
 * The URL (or libpq "key=value" string) with every secret replaced by "***": the password of user:password@, and the
 * value of any parameter whose name says password, passfile, secret, token, sslkey or the like, percent-encoded or
 * not. What it cannot take apart is withheld whole. A new string, free() it; never NULL (aborts out of memory).
 */
char *mf_url_redact(const char *url);

/* Appends the inside of a JSON string (no quotes); bytes that are not UTF-8 become U+FFFD. */
int mf_json_escape(struct mf_buf *b, const char *s, size_t n);

/* True when the n bytes are well-formed UTF-8 (no surrogates, no overlong forms, nothing over U+10FFFF). NUL is fine. */
bool mf_utf8_valid(const void *p, size_t n);
/* The bytes of s, of n, that are at most max and do not end within a character. */
size_t mf_utf8_cut(const char *s, size_t n, size_t max);

/* Whole string, base 10, no sign or space for the unsigned one. False (and *ret untouched) on anything else. */
bool mf_parse_u64(const char *s, uint64_t *ret);
bool mf_parse_i64(const char *s, int64_t *ret);

/* "64MB", "1.5GB", "4096", "1KiB": 1024 throughout. A "500ms", "2s", "1h30m", "7d" duration, in microseconds; a bare
 * number is refused as ambiguous, but for 0. False (and *ret untouched) on anything else or overflow. */
bool mf_parse_size(const char *s, uint64_t *ret_bytes);
bool mf_parse_duration(const char *s, int64_t *ret_us);

/* "1.5 GB", "640 kB", "12 bytes" into buf (at least 32 bytes). Returns buf. */
char *mf_format_size(uint64_t bytes, char *buf, size_t size);
/* "3d 4h", "2m 5s", "340 ms" into buf (at least 32 bytes). Returns buf. */
char *mf_format_duration(int64_t us, char *buf, size_t size);

/* A shell-like pattern: * any run of characters, ? one, everything else itself. Case matters. */
bool mf_glob_match(const char *pattern, const char *s);

/* Edits that turn a into b: for "did you mean". Strings over 63 bytes count as far apart (SIZE_MAX). */
size_t mf_edit_distance(const char *a, const char *b);

#endif
