/* Values: from the text a person wrote to the field of struct mf_config. An error never repeats a value that may hold a
 * secret. */
#include "config/option.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *field(struct mf_config *c, const struct mf_option *o)
{
    return (char *)c + o->offset;
}

static bool is_text(enum mf_option_type t)
{
    return t == MF_OPT_TEXT || t == MF_OPT_SECRET || t == MF_OPT_URL || t == MF_OPT_PATH || t == MF_OPT_CHOICE;
}

static void free_list(struct mf_string_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->items[i]);
    }
    free(l->items);
    *l = (struct mf_string_list){0};
}

void mf_option_free_value(struct mf_config *c, const struct mf_option *o)
{
    if (o->type == MF_OPT_LIST) {
        free_list(field(c, o));
    } else if (o->type == MF_OPT_MAP) {
        struct mf_query_map **at = field(c, o);
        mf_query_map_free(*at);
        *at = NULL;
        mf_doc_map_free(c->documents);
        c->documents = NULL;
    } else if (is_text(o->type)) {
        char **at = field(c, o);
        if (*at && o->type != MF_OPT_PATH && o->type != MF_OPT_CHOICE) {
            explicit_bzero(*at, strlen(*at));
        }
        free(*at);
        *at = NULL;
    }
}

/* "7x" is not a size …: shows at most 40 bytes of what was written, where ${NAME} still stands for its value: a secret
 * given to the wrong key is a mistake people make. */
static int wrong(const struct mf_option *o, const char *text, struct mf_error *err)
{
    char kind[256];
    return mf_fail(err, MF_USAGE, "MFCONF", "\"%.40s%s\" is not %s%s", text, strlen(text) > 40 ? "…" : "",
                   o->words ? "one of " : "", mf_option_kind(o, kind, sizeof(kind)));
}

static int store_number(struct mf_config *c, const struct mf_option *o, int64_t v, const char *shown,
                        struct mf_error *err)
{
    if (v < o->min || v > o->max) {
        return wrong(o, shown, err);
    }
    *(int64_t *)field(c, o) = v;
    return 0;
}

static int set_number(struct mf_config *c, const struct mf_option *o, const char *text, const char *shown,
                      struct mf_error *err)
{
    uint64_t u;
    int64_t v;
    switch (o->type) {
    case MF_OPT_COUNT:
        if (!mf_parse_i64(text, &v)) {
            return wrong(o, shown, err);
        }
        return store_number(c, o, v, shown, err);
    case MF_OPT_SIZE:
        if (!mf_parse_size(text, &u) || u > INT64_MAX) {
            return wrong(o, shown, err);
        }
        return store_number(c, o, (int64_t)u, shown, err);
    default:
        /* A part of a millisecond would become 0, which means "off" in many places. */
        if (!mf_parse_duration(text, &v) || v % 1000 != 0) {
            return wrong(o, shown, err);
        }
        return store_number(c, o, v / 1000, shown, err);
    }
}

static int set_real(struct mf_config *c, const struct mf_option *o, const char *text, const char *shown,
                    struct mf_error *err)
{
    char *end;
    if (!text[0] || text[strspn(text, "0123456789.")]) { /* no sign, exponent, hexadecimal, nan or inf */
        return wrong(o, shown, err);
    }
    double v = strtod(text, &end);
    if (*end || end == text || v * 1000 < (double)o->min || v * 1000 > (double)o->max) {
        return wrong(o, shown, err);
    }
    *(double *)field(c, o) = v;
    return 0;
}

static int set_flag(struct mf_config *c, const struct mf_option *o, const char *text, const char *shown,
                    struct mf_error *err)
{
    static const char *const yes[] = {"true", "yes", "on"};
    static const char *const no[] = {"false", "no", "off"};
    for (size_t i = 0; i < MF_ARRAY_LEN(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *(bool *)field(c, o) = strcasecmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return wrong(o, shown, err);
}

static int set_text(struct mf_config *c, const struct mf_option *o, const char *text, const char *base,
                    struct mf_error *err)
{
    if (!text[0]) {
        return mf_fail(err, MF_USAGE, "MFCONF", "it is empty");
    }
    if (strlen(text) > MF_CONFIG_VALUE_MAX) {
        return mf_fail(err, MF_USAGE, "MFCONF", "it is longer than %d bytes", MF_CONFIG_VALUE_MAX);
    }
    if (o->type == MF_OPT_URL) {
        size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
        if (n == 0 || !isalpha((unsigned char)text[0]) || strncmp(text + n, "://", 3) != 0) {
            mf_fail(err, MF_USAGE, "MFCONF", "it is not a URL: a URL begins with its scheme, like postgresql://");
            mf_hint(err, "write postgresql://user@host:5432/database");
            return -1;
        }
    }
    for (const char *p = text; *p; p++) {
        if (iscntrl((unsigned char)*p)) {
            return mf_fail(err, MF_USAGE, "MFCONF", "it holds a control character");
        }
    }
    char *v = o->type == MF_OPT_PATH ? mf_config_join(base, text) : mf_xstrdup(text);
    mf_option_free_value(c, o);
    *(char **)field(c, o) = v;
    return 0;
}

static int set_word(struct mf_config *c, const struct mf_option *o, const char *text, const char *shown,
                    struct mf_error *err)
{
    for (unsigned i = 0; o->words[i]; i++) {
        if (!mf_streq(o->words[i], text)) {
            continue;
        }
        if (o->type == MF_OPT_WORD) {
            _Static_assert(sizeof(enum mf_on_ddl) == sizeof(i) && sizeof(enum mf_on_reject) == sizeof(i) &&
                               sizeof(enum mf_long_policy) == sizeof(i) && sizeof(enum mf_on_divergence) == sizeof(i) &&
                               sizeof(enum mf_dual_writes) == sizeof(i) && sizeof(enum mf_accounts) == sizeof(i) &&
                               sizeof(enum mf_mode) == sizeof(i),
                           "an enum of the configuration is stored as an unsigned int");
            memcpy(field(c, o), &i, sizeof(i));
        } else {
            mf_option_free_value(c, o);
            *(char **)field(c, o) = mf_xstrdup(text);
        }
        return 0;
    }
    return wrong(o, shown, err);
}

int mf_option_set_list(struct mf_config *c, const struct mf_option *o, const char *const *items, size_t n,
                       struct mf_error *err)
{
    if (n > MF_CONFIG_LIST_MAX) {
        return mf_fail(err, MF_USAGE, "MFCONF", "it has more than %d items", MF_CONFIG_LIST_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if (!items[i][0]) {
            return mf_fail(err, MF_USAGE, "MFCONF", "item %zu is empty", i + 1);
        }
    }
    struct mf_string_list l = {.items = mf_xcalloc(n + 1, sizeof(char *)), .n = n};
    for (size_t i = 0; i < n; i++) {
        l.items[i] = mf_xstrdup(items[i]);
    }
    free_list(field(c, o));
    *(struct mf_string_list *)field(c, o) = l;
    return 0;
}

/* As on a command line: items divided by commas. */
static int set_list_text(struct mf_config *c, const struct mf_option *o, const char *text, struct mf_error *err)
{
    MF_CLEANUP_FREE char *copy = mf_xstrdup(text);
    MF_CLEANUP_FREE const char **items = mf_xcalloc(strlen(text) + 2, sizeof(char *));
    size_t n = 0;
    char *rest = copy;
    for (char *item = strsep(&rest, ","); item; item = strsep(&rest, ",")) {
        items[n++] = item;
    }
    return mf_option_set_list(c, o, items, text[0] ? n : 0, err);
}

int mf_option_set(struct mf_config *c, const struct mf_option *o, const char *text, const char *shown, const char *base,
                  struct mf_error *err)
{
    switch (o->type) {
    case MF_OPT_COUNT:
    case MF_OPT_SIZE:
    case MF_OPT_TIME:
        return set_number(c, o, text, shown, err);
    case MF_OPT_REAL:
        return set_real(c, o, text, shown, err);
    case MF_OPT_FLAG:
        return set_flag(c, o, text, shown, err);
    case MF_OPT_WORD:
    case MF_OPT_CHOICE:
        return set_word(c, o, text, shown, err);
    case MF_OPT_LIST:
        return set_list_text(c, o, text, err);
    case MF_OPT_MAP:
        return mf_fail(err, MF_USAGE, "MFCONF",
                       "it is a list of query tables or collections, which only a file can hold");
    default:
        return set_text(c, o, text, base, err);
    }
}
