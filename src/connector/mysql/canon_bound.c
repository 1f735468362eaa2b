/*
 * Bounds of chunks as rows of values, and back.
 *
 * A bound has values in the form the index compares (range.h): ENUM and SET by number, bytes in hexadecimal. As a row they are in the form
 * in which they travel.
 */
#include "connector/mysql/canon.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/number_text.h"
#include "connector/mysql/range.h"

#include <string.h>

static int bad_bound(const struct mf_table *t, const char *what, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFCHUNK", "a chunk of table %s.%s has a bound that %s", t->schema, t->name, what);
}

static int no_memory(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "there is not enough memory for a bound of a chunk");
}

/* ---- out of a bound ---- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* False: no hexadecimal digits. */
static bool unhex(const struct my_piece *p, struct mf_buf *ret)
{
    for (size_t i = 0; i + 1 < p->n; i += 2) {
        if (digit(p->p[i]) < 0 || digit(p->p[i + 1]) < 0) {
            return false;
        }
        mf_buf_putc(ret, (char)(digit(p->p[i]) << 4 | digit(p->p[i + 1])));
    }
    return p->n % 2 == 0;
}

static bool number_of(const struct my_piece *p, uint64_t *ret)
{
    char text[24];
    if (p->n == 0 || p->n >= sizeof text) {
        return false;
    }
    memcpy(text, p->p, p->n);
    text[p->n] = '\0';
    return strlen(text) == p->n && mf_parse_u64(text, ret);
}

/* By number: an ENUM's member, 0 is the error value ''; a SET's members are its bits. */
static bool put_members(const struct my_type *y, const struct my_piece *p, struct mf_buf *ret)
{
    uint64_t v;
    if (!number_of(p, &v) || !y->members) {
        return false;
    }
    if (y->base == MY_ENUM) {
        mf_buf_puts(ret, v && v <= y->nmembers ? y->members[v - 1] : "");
        return v <= y->nmembers;
    }
    for (uint16_t i = 0; i < y->nmembers && i < 64; i++) {
        if (v >> i & 1) {
            mf_buf_puts(ret, ret->len ? "," : "");
            mf_buf_puts(ret, y->members[i]);
        }
    }
    return y->nmembers >= 64 || v >> y->nmembers == 0;
}

static int get_value(const struct mf_table *t, const struct my_type *y, const struct my_piece *p,
                     struct mf_arena *arena, struct mf_value *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = (size_t)1 << 20};
    bool good = true, listed = y->base == MY_ENUM || y->base == MY_SET;
    if (listed) {
        good = !p->hex && put_members(y, p, &b);
    } else if (p->hex || my_type_is_binary(y)) {
        good = unhex(p, &b);
    } else {
        mf_buf_append(&b, p->p, p->n);
    }
    if (!good) {
        return bad_bound(t, "cannot be read", err);
    }
    *ret = (struct mf_value){.kind = my_type_is_binary(y) ? MF_BINARY : MF_TEXT,
                             .len = (uint32_t)b.len,
                             .data = mf_buf_ok(&b) ? mf_memdup_a(arena, mf_buf_str(&b), b.len) : NULL};
    return ret->data ? 0 : no_memory(err);
}

int my_bound_get(const struct mf_table *own, const char *bound, struct mf_arena *arena, struct mf_row *ret,
                 struct mf_error *err)
{
    const char *at = bound, *end = bound + strlen(bound);
    struct mf_value *values = mf_alloc_array(arena, own->nkey, sizeof *values);
    if (!values) {
        return no_memory(err);
    }
    for (uint16_t i = 0; i < own->nkey; i++) {
        struct my_type y;
        struct my_piece p;
        if (my_type_parse(own->columns[own->key[i]].type, arena, &y, err) < 0) {
            return -1;
        }
        if (my_bound_next(&at, end, &p) < 0) {
            return bad_bound(own, "cannot be read", err);
        }
        if (get_value(own, &y, &p, arena, &values[i], err) < 0) {
            return -1;
        }
    }
    if (at != end) {
        return bad_bound(own, "has too many values", err);
    }
    *ret = (struct mf_row){.n = own->nkey, .values = values};
    return 0;
}

/* ---- into a bound ---- */

static bool take_member(const struct my_type *y, const char *s, size_t n, uint16_t *ret)
{
    for (uint16_t i = 0; i < y->nmembers; i++) {
        if (strlen(y->members[i]) == n && memcmp(y->members[i], s, n) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool number_of_members(const struct my_type *y, const struct mf_value *v, uint64_t *ret)
{
    const char *s = v->data, *end = v->data + v->len;
    uint16_t i;
    *ret = 0;
    if (y->base == MY_ENUM) {
        bool is = take_member(y, s, v->len, &i);
        *ret = is ? i + 1u : 0;
        return is || v->len == 0;
    }
    while (v->len > 0) {
        const char *comma = memchr(s, ',', (size_t)(end - s));
        if (!take_member(y, s, (size_t)((comma ? comma : end) - s), &i) || i >= 64) {
            return false;
        }
        *ret |= (uint64_t)1 << i;
        if (!comma) {
            break;
        }
        s = comma + 1;
    }
    return true;
}

static bool put_value(const struct my_type *y, const struct mf_value *v, struct mf_buf *ret)
{
    char text[MY_NUMBER_TEXT];
    uint64_t number;
    if (v->kind != (my_type_is_binary(y) ? MF_BINARY : MF_TEXT)) {
        return false;
    }
    if (my_type_is_binary(y)) {
        mf_buf_printf(ret, "%zu:", 2 * (size_t)v->len);
        for (uint32_t i = 0; i < v->len; i++) {
            mf_buf_printf(ret, "%02X", (unsigned char)v->data[i]);
        }
        return true;
    }
    if (y->base == MY_ENUM || y->base == MY_SET) {
        if (!number_of_members(y, v, &number)) {
            return false;
        }
        my_bound_add(ret, text, my_put_u64(text, number));
        return true;
    }
    my_bound_add(ret, v->data, v->len);
    return true;
}

int my_bound_put(const struct mf_table *own, const struct mf_row *key, struct mf_buf *ret, struct mf_error *err)
{
    size_t from = ret->len;
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    mf_arena_init(&arena, (size_t)16 << 20); /* the longest list of members there is */
    if (key->n != own->nkey) {
        return bad_bound(own, "has not one value for each column of the key", err);
    }
    for (uint16_t i = 0; i < key->n; i++) {
        struct my_type y;
        if (my_type_parse(own->columns[own->key[i]].type, &arena, &y, err) < 0) {
            return -1;
        }
        if (!put_value(&y, &key->values[i], ret)) {
            return bad_bound(own, "is no value of a key", err);
        }
    }
    return mf_buf_ok(ret) && ret->len - from < MF_CHUNK_BOUND ? 0 : bad_bound(own, "is longer than bounds may be", err);
}
