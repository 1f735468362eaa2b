/*
 * Values of this engine as canonical ones and back.
 *
 * Our sessions print a value in one way (connect.c: UTC, ISO dates, hexadecimal bytes), so most texts are canonical as they are. On the way
 * back the server is lenient: it rounds fractions to the column's digits, cuts blanks and names, and reads 'now', 'yes' or '24:00'
 * into dates and booleans. It is only given what mf_canon_wrong has let through, in the form it prints itself.
 */
#include "connector/postgres/canon.h"

#include "base/str.h"
#include "model/canon.h"

#include <string.h>

#define NAME_BYTES 63

static struct mf_value view(const char *s, size_t n)
{
    return (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = s};
}

/* ---- to ---- */

static int bytes_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                          struct mf_value *ret, struct mf_error *err)
{
    if (in->len < 2 || in->len % 2 || memcmp(in->data, "\\x", 2) != 0) {
        return mf_canon_refuse(t, in, "it is not printed in hexadecimal", err);
    }
    uint32_t n = in->len / 2 - 1;
    uint8_t *bytes = mf_alloc(arena, n);
    if (!bytes) {
        return mf_canon_no_memory(err);
    }
    for (uint32_t i = 0; i < 2 * n; i++) {
        char c = in->data[2 + i];
        int v = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (v < 0) {
            return mf_canon_refuse(t, in, "it is not printed in hexadecimal", err);
        }
        bytes[i / 2] = (uint8_t)(i % 2 ? bytes[i / 2] | v : v << 4);
    }
    *ret = (struct mf_value){.kind = MF_BINARY, .len = n, .data = (const char *)bytes};
    return 0;
}

static bool is_infinity(const struct mf_value *v)
{
    return mf_canon_is(v, "infinity") || mf_canon_is(v, "-infinity");
}

/* "2026-11-28 01:02:03+00", "0044-03-15 01:02:03+00 BC". */
static int instant_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                            struct mf_value *ret, struct mf_error *err)
{
    size_t bc = in->len > 3 && memcmp(in->data + in->len - 3, " BC", 3) == 0 ? 3 : 0;
    size_t n = in->len - bc;
    if (is_infinity(in)) {
        *ret = *in;
        return 0;
    }
    if (n < 3 || memcmp(in->data + n - 3, "+00", 3) != 0) {
        return mf_canon_refuse(t, in, "it is not printed in UTC", err);
    }
    n = mf_moment_cut(in->data, n - 3);
    if (!bc) {
        *ret = view(in->data, n);
        return 0;
    }
    char *text = mf_memdup_a(arena, in->data, n + bc);
    if (!text) {
        return mf_canon_no_memory(err);
    }
    memcpy(text + n, " BC", bc);
    *ret = view(text, n + bc);
    return 0;
}

static size_t without_blanks(const struct mf_value *v)
{
    size_t n = v->len;
    while (n > 0 && v->data[n - 1] == ' ') {
        n--;
    }
    return n;
}

static int found(bool is, const struct mf_type *t, const struct mf_value *in, const struct mf_value *ret,
                 struct mf_error *err)
{
    if (!is) {
        return mf_canon_refuse(t, in, "it is no number", err);
    }
    return ret->data ? 0 : mf_canon_no_memory(err);
}

int pg_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                struct mf_error *err)
{
    *ret = *in;
    if (in->kind != MF_TEXT) {
        return mf_canon_refuse(t, in, "it is not in the server's text form", err);
    }
    switch (t->kind) {
    case MF_KIND_BOOL:
        *ret = view(mf_canon_is(in, "t") ? "1" : "0", 1);
        return mf_canon_is(in, "t") || mf_canon_is(in, "f") ? 0 : mf_canon_refuse(t, in, "it is no boolean", err);
    case MF_KIND_DECIMAL:
        return found(mf_canon_decimal(arena, in, ret), t, in, ret, err);
    case MF_KIND_FLOAT:
        return found(mf_canon_float(arena, t->bits, in, ret), t, in, ret, err);
    case MF_KIND_TIME:
    case MF_KIND_DATETIME:
        *ret = view(in->data, mf_moment_cut(in->data, in->len));
        return 0;
    case MF_KIND_INSTANT:
        return instant_to_canon(t, arena, in, ret, err);
    case MF_KIND_BYTES:
        return bytes_to_canon(t, arena, in, ret, err);
    case MF_KIND_JSON:
        return mf_canon_json(t, arena, in, NULL, ret, err);
    case MF_KIND_TEXT:
        *ret = view(in->data, t->fixed ? without_blanks(in) : in->len);
        break;
    case MF_KIND_OPAQUE:
    case MF_KIND_ENUM:
    case MF_KIND_SET:
        break;
    case MF_KIND_INT:
    case MF_KIND_BITS:
    case MF_KIND_DATE:
    case MF_KIND_UUID:
        return 0;
    }
    /* A database whose encoding is none (SQL_ASCII) has texts of any bytes. */
    return mf_utf8_valid(ret->data, ret->len) ? 0 : mf_canon_refuse(t, in, "it is not UTF-8", err);
}

/* ---- from ---- */

/* Without an offset; the server reads 24:00:00 as the end of the day, and means it only in a time. */
static const char *wrong_moment(const struct mf_type *t, const struct mf_value *v)
{
    struct mf_moment m;
    if (t->kind != MF_KIND_TIME && is_infinity(v)) {
        return NULL;
    }
    if (t->kind == MF_KIND_TIME && mf_canon_is(v, "24:00:00")) {
        return NULL;
    }
    const char *why = mf_canon_wrong(t, v);
    if (why) {
        return why;
    }
    if (!mf_moment_scan(t->kind, v->data, v->len, &m) || !mf_moment_is_real(t->kind, &m)) {
        return t->kind == MF_KIND_TIME ? "the column has the times of one day only" : "it is no day of the calendar";
    }
    return NULL;
}

static const char *wrong_text(const struct mf_type *t, const struct mf_value *v)
{
    if (memchr(v->data, 0, v->len)) {
        return "a text here cannot have a NUL character";
    }
    if (t->form == PG_FORM_CHAR && (v->len > 1 || (v->len == 1 && v->data[0] & 0x80))) {
        return "the column has room for one byte, and the server would cut the rest";
    }
    return t->form == PG_FORM_NAME && v->len > NAME_BYTES
               ? "the column has room for 63 bytes, and the server would cut the rest"
               : NULL;
}

static const char *wrong(const struct mf_type *t, const struct mf_value *v)
{
    const char *why;
    switch (t->kind) {
    case MF_KIND_DATE:
    case MF_KIND_TIME:
    case MF_KIND_DATETIME:
    case MF_KIND_INSTANT:
        return v->kind == MF_TEXT ? wrong_moment(t, v) : "it is bytes, not a text";
    case MF_KIND_TEXT:
    case MF_KIND_ENUM:
    case MF_KIND_SET:
    case MF_KIND_OPAQUE:
        why = mf_canon_wrong(t, v);
        return why ? why : v->kind != MF_TEXT ? "it is bytes, not a text" : wrong_text(t, v);
    default:
        return mf_canon_wrong(t, v);
    }
}

static int bytes_from_canon(struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                            struct mf_error *err)
{
    size_t n = 2 + 2 * (size_t)in->len;
    char *text = n <= UINT32_MAX ? mf_alloc(arena, n) : NULL;
    if (!text) {
        return mf_canon_no_memory(err);
    }
    memcpy(text, "\\x", 2);
    for (uint32_t i = 0; i < in->len; i++) {
        uint8_t byte = (uint8_t)in->data[i];
        text[2 + 2 * i] = "0123456789abcdef"[byte >> 4];
        text[3 + 2 * i] = "0123456789abcdef"[byte & 15];
    }
    *ret = view(text, n);
    return 0;
}

static int instant_from_canon(struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                              struct mf_error *err)
{
    size_t bc = in->len > 3 && memcmp(in->data + in->len - 3, " BC", 3) == 0 ? 3 : 0;
    if (is_infinity(in)) {
        return 0;
    }
    char *text = mf_printf_a(arena, "%.*s+00%s", (int)(in->len - bc), in->data, bc ? " BC" : "");
    *ret = view(text, in->len + 3);
    return text ? 0 : mf_canon_no_memory(err);
}

static bool has_nul_escape(const struct mf_value *v)
{
    for (uint32_t i = 0; i + 6 <= v->len; i++) {
        if (v->data[i] == '\\') {
            if (memcmp(v->data + i, "\\u0000", 6) == 0) {
                return true;
            }
            i++;
        }
    }
    return false;
}

/* A document that is not in the one spelling has come another way than through a translation: what it would be here is not known. */
static int json_from_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                           struct mf_error *err)
{
    struct mf_value again;
    if (mf_canon_json(t, arena, in, NULL, &again, err) < 0) {
        return -1;
    }
    if (!mf_value_equal(in, &again)) {
        return mf_canon_refuse(t, in, "it is not in the canonical spelling", err);
    }
    return t->form != PG_FORM_JSON && has_nul_escape(in)
               ? mf_canon_refuse(t, in, "a text in jsonb cannot have a NUL character", err)
               : 0;
}

int pg_from_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                  struct mf_error *err)
{
    const char *why = wrong(t, in);
    if (why) {
        return mf_canon_refuse(t, in, why, err);
    }
    *ret = *in;
    switch (t->kind) {
    case MF_KIND_BOOL:
        *ret = view(mf_canon_is(in, "1") ? "t" : "f", 1);
        return 0;
    case MF_KIND_BYTES:
        return bytes_from_canon(arena, in, ret, err);
    case MF_KIND_INSTANT:
        return instant_from_canon(arena, in, ret, err);
    case MF_KIND_JSON:
        return json_from_canon(t, arena, in, err);
    default:
        return 0;
    }
}
