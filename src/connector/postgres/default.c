/*
 * What a column's default means: see default.h.
 *
 * Only what is known for certain is anything but OTHER. A literal is followed by nothing but casts written directly at it: those the server did when the
 * default was set. A cast of something in brackets is done anew for each row, and ('now'::text)::date is no constant.
 */
#include "connector/postgres/default.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct text {
    const char *p;
    size_t n;
};

static struct text trim(struct text t)
{
    while (t.n && isspace((unsigned char)t.p[0])) {
        t.p++;
        t.n--;
    }
    while (t.n && isspace((unsigned char)t.p[t.n - 1])) {
        t.n--;
    }
    return t;
}

/* Past the quoted text that begins at p[i]; n + 1 when it does not end. */
static size_t quoted_end(struct text t, size_t i)
{
    char q = t.p[i];
    bool escapes = q == '\'' && i > 0 && (t.p[i - 1] == 'E' || t.p[i - 1] == 'e');
    for (i++; i < t.n; i++) {
        if (escapes && t.p[i] == '\\') {
            i++;
        } else if (t.p[i] == q) {
            if (i + 1 < t.n && t.p[i + 1] == q) {
                i++;
            } else {
                return i + 1;
            }
        }
    }
    return t.n + 1;
}

/* Where the bracket that opens at p[0] closes; n when nowhere. */
static size_t closes(struct text t)
{
    size_t depth = 0;
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] == '\'' || t.p[i] == '"') {
            i = quoted_end(t, i) - 1;
        } else if (t.p[i] == '(') {
            depth++;
        } else if (t.p[i] == ')' && --depth == 0) {
            return i;
        }
    }
    return t.n;
}

/* Without the brackets around all of it. */
static struct text unwrap(struct text t)
{
    for (t = trim(t); t.n > 1 && t.p[0] == '(' && closes(t) == t.n - 1; t = trim(t)) {
        t.p++;
        t.n -= 2;
    }
    return t;
}

/* "::character varying(20)[]" once or more, or nothing. */
static bool only_casts(struct text t)
{
    size_t i = 0;
    while (i < t.n) {
        if (t.n - i < 3 || t.p[i] != ':' || t.p[i + 1] != ':') {
            return false;
        }
        for (i += 2; i < t.n && t.p[i] != ':'; i++) {
            if (t.p[i] == '"') {
                i = quoted_end(t, i) - 1;
            } else if (!isalnum((unsigned char)t.p[i]) && !strchr("_. ()[],", t.p[i]) && (unsigned char)t.p[i] < 0x80) {
                return false;
            }
        }
    }
    return true;
}

static bool is_word(struct text t, const char *word)
{
    return strlen(word) == t.n && strncasecmp(t.p, word, t.n) == 0;
}

static size_t number_end(struct text t)
{
    size_t i = 0, digits = 0;
    if (i < t.n && (t.p[i] == '-' || t.p[i] == '+')) {
        i++;
        while (i < t.n && t.p[i] == ' ') {
            i++;
        }
    }
    for (; i < t.n && (isdigit((unsigned char)t.p[i]) || t.p[i] == '.'); i++) {
        digits += t.p[i] != '.';
    }
    if (digits && i + 1 < t.n && (t.p[i] == 'e' || t.p[i] == 'E')) {
        size_t k = i + 1 + (t.p[i + 1] == '-' || t.p[i + 1] == '+');
        for (; k < t.n && isdigit((unsigned char)t.p[k]); k++) {
            i = k + 1;
        }
    }
    return digits ? i : 0;
}

static bool is_literal(struct text t)
{
    size_t end = 0;
    struct text in = t;
    if (t.n == 0) {
        return false;
    }
    if (t.p[0] == '\'') {
        end = quoted_end(t, 0);
    } else if (t.n > 1 && strchr("EeBbXx", t.p[0]) && t.p[1] == '\'') {
        end = quoted_end(t, 1);
    } else if (t.p[0] == '(') { /* only a number: its sign needs them */
        end = closes(t);
        in = unwrap((struct text){t.p, end < t.n ? end + 1 : t.n});
        if (number_end(in) != in.n) {
            return false;
        }
        end = end < t.n ? end + 1 : t.n;
    } else {
        end = number_end(t);
        for (size_t i = 0; end == 0 && i < t.n && isalpha((unsigned char)t.p[i]); i++) {
            struct text word = {t.p, i + 1};
            end = is_word(word, "true") || is_word(word, "false") ? i + 1 : 0;
        }
    }
    return end > 0 && end <= t.n && only_casts((struct text){t.p + end, t.n - end});
}

/* A name, brackets with at most digits (or an empty pair) behind it, then casts. */
static bool is_call(struct text t, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        if (t.n < len || strncasecmp(t.p, names[i], len) != 0) {
            continue;
        }
        size_t at = len;
        bool bare = names[i][len - 1] == ')';
        if (!bare && at < t.n && t.p[at] == '(') {
            for (at++; at < t.n && isdigit((unsigned char)t.p[at]);) {
                at++;
            }
            if (at >= t.n || t.p[at] != ')') {
                continue;
            }
            at++;
        }
        if (only_casts((struct text){t.p + at, t.n - at})) {
            return true;
        }
    }
    return false;
}

static const char *const clocks[] = {
    "now()",        "pg_catalog.now()",        "CURRENT_TIMESTAMP",     "LOCALTIMESTAMP",
    "CURRENT_DATE", "transaction_timestamp()", "statement_timestamp()", "clock_timestamp()"};
static const char *const uuids[] = {"gen_random_uuid()", "pg_catalog.gen_random_uuid()", "uuid_generate_v4()",
                                    "public.uuid_generate_v4()", "public.gen_random_uuid()"};

/* ('now'::text)::date, as older servers print CURRENT_DATE. */
static bool is_old_now(struct text t)
{
    static const char now[] = "('now'::text)";
    struct text casts = {t.p + sizeof now - 1, t.n - (sizeof now - 1)};
    if (t.n < sizeof now || strncmp(t.p, now, sizeof now - 1) != 0 || !only_casts(casts)) {
        return false;
    }
    return is_word(casts, "::date") || (casts.n > 11 && strncmp(casts.p, "::timestamp", 11) == 0);
}

enum mf_default_kind pg_default_parse(const char *expr, bool *ret_counter)
{
    struct text t = unwrap((struct text){expr, strlen(expr)});
    *ret_counter = false;
    if (t.n > 8 && strncmp(t.p, "nextval(", 8) == 0 && closes((struct text){t.p + 7, t.n - 7}) < t.n - 7) {
        size_t end = 7 + closes((struct text){t.p + 7, t.n - 7}) + 1;
        *ret_counter = only_casts((struct text){t.p + end, t.n - end});
        return *ret_counter ? MF_DEFAULT_NONE : MF_DEFAULT_OTHER;
    }
    if (t.n >= 4 && strncasecmp(t.p, "NULL", 4) == 0 && only_casts((struct text){t.p + 4, t.n - 4})) {
        return MF_DEFAULT_NONE;
    }
    if (is_call(t, clocks, MF_ARRAY_LEN(clocks)) || is_old_now(t)) {
        return MF_DEFAULT_NOW;
    }
    if (is_call(t, uuids, MF_ARRAY_LEN(uuids))) {
        return MF_DEFAULT_UUID;
    }
    return is_literal(t) ? MF_DEFAULT_VALUE : MF_DEFAULT_OTHER;
}
