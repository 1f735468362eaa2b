/*
 * Values of this engine (cqlvalue.h) as canonical ones and back.
 *
 * The server rounds nothing and reads nothing into what it is given: a value that has bytes of the type is kept as those bytes. So what is looked at here is
 * what has no such bytes (infinity, the 30th of February, a time after 24:00), what has several (a decimal 1.50: written without needless digits, so that a
 * key has one spelling), and what a key may not be.
 */
#include "connector/cassandra/canon.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/cassandra/canon_moment.h"
#include "model/canon.h"

#include <string.h>

static struct mf_value view(const char *s, size_t n)
{
    return (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = s};
}

static unsigned form_of(const struct mf_type *t)
{
    return t->form & CASS_FORM_MASK;
}

/* ---- to ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static int bytes_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                          struct mf_value *ret, struct mf_error *err)
{
    if (in->kind == MF_BINARY) {
        return 0;
    }
    if (in->len < 2 || in->len % 2 || in->data[0] != '0' || in->data[1] != 'x') {
        return mf_canon_refuse(t, in, "it is no blob", err);
    }
    uint32_t n = in->len / 2 - 1;
    char *bytes = mf_alloc(arena, n + 1u);
    if (!bytes) {
        return mf_canon_no_memory(err);
    }
    for (uint32_t i = 0; i < n; i++) {
        int high = hex_digit(in->data[2 + 2 * i]), low = hex_digit(in->data[3 + 2 * i]);
        if (high < 0 || low < 0) {
            return mf_canon_refuse(t, in, "it is no blob", err);
        }
        bytes[i] = (char)(high << 4 | low);
    }
    *ret = (struct mf_value){.kind = MF_BINARY, .len = n, .data = bytes};
    return 0;
}

/* "15e-20000" is written out, as long as that is no longer than any decimal may be. */
static int decimal_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                            struct mf_value *ret, struct mf_error *err)
{
    struct mf_number v;
    if (!mf_number_scan(in->data, in->len, &v)) {
        return mf_canon_refuse(t, in, "it is no number", err);
    }
    if (!v.has_exponent) {
        return mf_canon_decimal(arena, in, ret) && ret->data ? 0 : mf_canon_no_memory(err);
    }
    int64_t fraction = (int64_t)v.nsig - v.point;
    if (v.zero) {
        *ret = view("0", 1);
        return 0;
    }
    if (v.point > CQL_DIGITS_MAX || fraction > CQL_DIGITS_MAX) {
        return mf_canon_refuse(t, in, "written out it has more than 131072 digits", err);
    }
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4 * (size_t)CQL_DIGITS_MAX};
    mf_number_put_plain(&b, &v);
    return mf_buf_ok(&b) ? mf_canon_text(arena, b.data, b.len, ret, err) : mf_canon_no_memory(err);
}

static int found(bool is, const struct mf_type *t, const struct mf_value *in, const struct mf_value *ret,
                 struct mf_error *err)
{
    if (!is) {
        return mf_canon_refuse(t, in, "it is no number", err);
    }
    return ret->data ? 0 : mf_canon_no_memory(err);
}

static int moment_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                           struct mf_value *ret, struct mf_error *err)
{
    char text[CASS_MOMENT_TEXT];
    size_t n;
    const char *why = cass_moment_to_canon(t->kind, in->data, in->len, text, &n);
    if (why) {
        return mf_canon_refuse(t, in, why, err);
    }
    if (n <= in->len && memcmp(text, in->data, n) == 0) {
        *ret = view(in->data, n);
        return 0;
    }
    return mf_canon_text(arena, text, n, ret, err);
}

static int bool_to_canon(const struct mf_type *t, const struct mf_value *in, struct mf_value *ret, struct mf_error *err)
{
    bool yes = mf_canon_is(in, "true");
    *ret = view(yes ? "1" : "0", 1);
    return yes || mf_canon_is(in, "false") ? 0 : mf_canon_refuse(t, in, "it is neither true nor false", err);
}

int cass_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                  struct mf_error *err)
{
    *ret = *in;
    if (t->shape != MF_SHAPE_NONE) {
        return cass_document_to(t, arena, in, ret, err);
    }
    if (t->kind == MF_KIND_BYTES) {
        return bytes_to_canon(t, arena, in, ret, err);
    }
    if (in->kind != MF_TEXT && t->kind != MF_KIND_OPAQUE) {
        return mf_canon_refuse(t, in, "it is not in this database's own form", err);
    }
    if (in->len == 0 && t->kind != MF_KIND_TEXT && t->kind != MF_KIND_OPAQUE) {
        return mf_canon_refuse(t, in, "it is the empty value, which is neither NULL nor anything else", err);
    }
    switch (t->kind) {
    case MF_KIND_BOOL:
        return bool_to_canon(t, in, ret, err);
    case MF_KIND_INT:
        return found(mf_canon_decimal(arena, in, ret), t, in, ret, err);
    case MF_KIND_DECIMAL:
        return decimal_to_canon(t, arena, in, ret, err);
    case MF_KIND_FLOAT:
        return found(mf_canon_float(arena, t->bits, in, ret), t, in, ret, err);
    case MF_KIND_DATE:
    case MF_KIND_TIME:
    case MF_KIND_INSTANT:
        return moment_to_canon(t, arena, in, ret, err);
    default:
        break;
    }
    return mf_utf8_valid(in->data, in->len) ? 0 : mf_canon_refuse(t, in, "it is not UTF-8", err);
}

/* ---- from ---- */

static bool is_ascii(const struct mf_value *v)
{
    for (uint32_t i = 0; i < v->len; i++) {
        if (v->data[i] & 0x80) {
            return false;
        }
    }
    return true;
}

static const char *wrong_form(const struct mf_type *t, const struct mf_value *v)
{
    switch (form_of(t)) {
    case CASS_FORM_VARINT:
        return memchr(v->data, '.', v->len) ? "the column has whole numbers only" : NULL;
    case CASS_FORM_ASCII:
        return is_ascii(v) ? NULL : "the column has ASCII only";
    case CASS_FORM_TIMEUUID:
        return v->data[14] == '1' ? NULL : "it is no UUID of version 1, which the column has only";
    case CASS_FORM_COUNTER:
        return "the column is a counter, which is added to and never set";
    default:
        return NULL;
    }
}

/* Parts of a key have a bound of their own, and a partition key of one column may not be empty. */
static const char *wrong_key(const struct mf_type *t, const struct mf_value *v)
{
    if (!(t->form & CASS_FORM_KEY)) {
        return NULL;
    }
    if (t->kind == MF_KIND_TEXT || t->kind == MF_KIND_BYTES || t->kind == MF_KIND_OPAQUE) {
        if (v->len == 0 && t->form & CASS_FORM_ALONE) {
            return "the column is the whole partition key, which may not be empty";
        }
        return v->len > CASS_KEY_BYTES ? "the column is part of the key and has room for 65535 bytes" : NULL;
    }
    return NULL;
}

static const char *wrong(const struct mf_type *t, const struct mf_value *v)
{
    struct mf_number number;
    const char *why = mf_canon_wrong(t, v);
    if (why) {
        return why;
    }
    if (t->kind == MF_KIND_OPAQUE && !mf_utf8_valid(v->data, v->len)) {
        return "it is not UTF-8";
    }
    if (t->kind == MF_KIND_DECIMAL) {
        if (!mf_number_scan(v->data, v->len, &number)) {
            return "the column has finite numbers only";
        }
        if (v->len > CQL_DIGITS_MAX) {
            return "it has more than 131072 digits";
        }
    }
    why = wrong_form(t, v);
    return why ? why : wrong_key(t, v);
}

static int moment_from_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                             struct mf_value *ret, struct mf_error *err)
{
    char text[CASS_MOMENT_TEXT];
    size_t n;
    const char *why = cass_moment_from_canon(t->kind, in->data, in->len, text, &n);
    if (why) {
        return mf_canon_refuse(t, in, why, err);
    }
    if (n == in->len && memcmp(text, in->data, n) == 0) {
        return 0;
    }
    return mf_canon_text(arena, text, n, ret, err);
}

int cass_from_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                    struct mf_error *err)
{
    if (t->shape != MF_SHAPE_NONE) {
        return cass_document_from(t, arena, in, ret, err);
    }
    const char *why = wrong(t, in);
    if (why) {
        return mf_canon_refuse(t, in, why, err);
    }
    *ret = *in;
    switch (t->kind) {
    case MF_KIND_BOOL:
        *ret = in->data[0] == '1' ? view("true", 4) : view("false", 5);
        return 0;
    case MF_KIND_DATE:
    case MF_KIND_TIME:
    case MF_KIND_INSTANT:
        return moment_from_canon(t, arena, in, ret, err);
    default:
        return 0;
    }
}

/* ---- rows ---- */

int cass_row_fits(const struct mf_table *own, const struct mf_row *row, uint64_t max_bytes, struct mf_error *err)
{
    uint64_t all = 0, partition = 0;
    for (uint16_t i = 0; i < row->n && i < own->ncolumns; i++) {
        all += mf_value_has_bytes(&row->values[i]) ? row->values[i].len : 0;
    }
    for (uint16_t k = 0; k < own->nkey; k++) {
        const struct mf_value *v = &row->values[own->key[k]];
        if (v->kind == MF_NULL) {
            return mf_fail(err, MF_ROW, "MFVALUE",
                           "column \"%s\" is NULL, and it is part of the key, which has no NULLs",
                           own->columns[own->key[k]].name);
        }
        partition += k < own->npartition && mf_value_has_bytes(v) ? v->len + 3u : 0;
    }
    if (own->npartition > 1 && partition > CASS_KEY_BYTES) {
        return mf_fail(err, MF_ROW, "MFVALUE", "the partition key has %llu bytes, and there is room for %d",
                       (unsigned long long)partition, CASS_KEY_BYTES);
    }
    if (max_bytes && all > max_bytes) {
        mf_fail(err, MF_ROW, "MFVALUE", "the row has %llu bytes, and one write has room for %llu",
                (unsigned long long)all, (unsigned long long)max_bytes);
        mf_hint(err,
                "raise commitlog_segment_size and max_mutation_size on every node, and the bound of midflight with it");
        return -1;
    }
    return 0;
}
