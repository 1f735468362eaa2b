/* See redefine.h. */
#include "connector/mysql/redefine.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/coltype.h"
#include "connector/mysql/sqltoken.h"

#include <ctype.h>
#include <string.h>

#define TYPE_MAX ((size_t)1 << 20)

/* What the catalogue calls otherwise. */
static const char *canonical(const char *word)
{
    static const char *const other[][2] = {{"integer", "int"},     {"bool", "tinyint"},       {"boolean", "tinyint"},
                                           {"numeric", "decimal"}, {"dec", "decimal"},        {"fixed", "decimal"},
                                           {"character", "char"},  {"real", "double"},        {"int1", "tinyint"},
                                           {"int2", "smallint"},   {"int3", "mediumint"},     {"int4", "int"},
                                           {"int8", "bigint"},     {"middleint", "mediumint"}};
    for (size_t i = 0; i < MF_ARRAY_LEN(other); i++) {
        if (strcmp(word, other[i][0]) == 0) {
            return other[i][1];
        }
    }
    return word;
}

static void put_token(struct mf_buf *b, const struct my_tokens *t)
{
    char quote = '\'';
    if (t->kind != MY_TOKEN_QUOTED) {
        mf_buf_append(b, t->kind == MY_TOKEN_WORD ? t->text : &t->quote, t->kind == MY_TOKEN_WORD ? t->len : 1);
        return;
    }
    mf_buf_append(b, &quote, 1);
    for (size_t i = 0; i < t->len; i++) {
        mf_buf_append(b, &t->text[i], 1);
        if (t->text[i] == quote) {
            mf_buf_append(b, &quote, 1);
        }
    }
    mf_buf_append(b, &quote, 1);
}

/* The type as the catalogue writes it, without a character set: t stands behind it. */
static bool read_type(struct my_tokens *t, struct my_type *ret)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = TYPE_MAX};
    struct mf_error ignored = {0};
    char word[64];
    if (t->kind != MY_TOKEN_WORD || !mf_strlcpy(word, t->text, sizeof word)) {
        return false;
    }
    for (char *p = word; *p; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    mf_buf_puts(&b, canonical(word));
    my_token_next(t);
    if (my_token_is_punct(t, '(')) {
        while (t->kind != MY_TOKEN_END && !my_token_is_punct(t, ')') && !t->cut) {
            put_token(&b, t);
            my_token_next(t);
        }
        mf_buf_puts(&b, ")");
        my_token_next(t);
    }
    for (bool more = true; more;) {
        more = my_token_is(t, "UNSIGNED") || my_token_is(t, "ZEROFILL") || my_token_is(t, "SIGNED");
        mf_buf_puts(&b, my_token_is(t, "UNSIGNED") ? " unsigned" : my_token_is(t, "ZEROFILL") ? " zerofill" : "");
        if (more) {
            my_token_next(t);
        }
    }
    return mf_buf_ok(&b) && my_type_parse(mf_buf_str(&b), NULL, ret, &ignored) == 0;
}

static bool is_integer(const struct my_type *t)
{
    return t->base >= MY_TINYINT && t->base <= MY_BIGINT;
}

static bool is_listed(const struct my_type *t)
{
    return t->base == MY_ENUM || t->base == MY_SET;
}

static bool is_text(const struct my_type *t)
{
    return t->base == MY_CHAR || t->base == MY_VARCHAR || t->base == MY_TEXT;
}

/* Of two kinds of text, or of bytes: the values stay as they are, and there is room for all of them. */
static bool longer(const struct my_type *was, const struct my_type *now, enum my_base large)
{
    if (was->base == now->base) {
        return now->length >= was->length && was->base != MY_BINARY;
    }
    return now->base > was->base && now->length >= (uint64_t)was->length * (now->base == large ? 4 : 1);
}

static bool keeps(const struct my_type *was, const struct my_type *now, bool strict)
{
    if (my_type_id(was) >> 6 == my_type_id(now) >> 6 && my_type_mod(was) == my_type_mod(now)) {
        return true;
    }
    if (is_integer(was) && is_integer(now)) {
        return strict || (now->base >= was->base && now->is_unsigned == was->is_unsigned);
    }
    if (is_text(was) && is_text(now)) {
        return longer(was, now, MY_TEXT);
    }
    if (was->base != now->base) {
        return (was->base == MY_VARBINARY && now->base == MY_BLOB) && longer(was, now, MY_BLOB);
    }
    switch (was->base) {
    case MY_ENUM:
    case MY_SET:
        return strict;
    case MY_VARBINARY:
    case MY_BLOB:
        return longer(was, now, MY_BLOB);
    case MY_DECIMAL:
        return now->is_unsigned == was->is_unsigned && now->scale >= was->scale &&
               now->precision - now->scale >= was->precision - was->scale;
    case MY_TIME:
    case MY_DATETIME:
    case MY_TIMESTAMP:
        return now->scale >= was->scale;
    default:
        return false;
    }
}

bool my_redefined_keeps(const struct mf_column *was, const char *def, size_t n, bool strict)
{
    struct my_tokens t;
    struct my_type a, b;
    struct mf_error ignored = {0};
    my_tokens_init(&t, def, n, true);
    my_token_next(&t);
    if (my_type_parse(was->type ? was->type : "", NULL, &a, &ignored) < 0 || !read_type(&t, &b)) {
        return false;
    }
    a.charset[0] = b.charset[0] = '\0'; /* one that cannot hold a value refuses it, where the session is strict */
    if (!strict && (is_text(&a) || is_text(&b) || is_listed(&a) || is_listed(&b))) {
        return false;
    }
    bool nulls = !strict && !was->not_null; /* become something else where there may be none */
    while (t.kind != MY_TOKEN_END) {
        if (my_token_is(&t, "AS") || my_token_is(&t, "GENERATED")) {
            return was->generated; /* what the server computes does not travel */
        }
        if (my_token_skip(&t, "NOT") ? my_token_is(&t, "NULL") && nulls : my_token_is(&t, "PRIMARY") && nulls) {
            return false;
        }
        my_token_next(&t);
    }
    return keeps(&a, &b, strict);
}
