/*
 * See range.h.
 *
 * A row comparison `(a, b) >= (x, y)` is not turned into a range of an index by any of these servers, and
 * `a >= x AND (a > x OR b >= y)` only into one of its first column, which may hold all of the table. Written out,
 * `a > x OR (a = x AND b >= y)`, it becomes exactly the intervals of the index that it means; that of the upper bound beside it
 * is intersected with them. It says what is meant whatever the optimizer makes of it.
 *
 * Literals are of a kind that is compared as the column's own type is: a number for numbers (with an exponent where the column is
 * a double, or it would be a decimal), a quoted text for times and characters, which the server converts to the column's character
 * set and compares in its collation, a binary string for bytes.
 */
#include "connector/mysql/range.h"

#include "base/cleanup.h"
#include "connector/mysql/connect.h"

#include <ctype.h>
#include <string.h>

#define KEYS_AT_ONCE 200
#define EXACT_BITS   53 /* an ENUM or SET is compared with a number as doubles */

struct piece {
    const char *p;
    size_t n;
    bool hex; /* a text as the hexadecimal digits of its bytes */
};

static void put_name(struct mf_buf *b, const struct mf_table *t, uint16_t k)
{
    my_put_ident(b, t->columns[t->key[k]].name);
}

void my_put_key_names(struct mf_buf *b, const struct mf_table *t)
{
    for (uint16_t k = 0; k < t->nkey; k++) {
        mf_buf_puts(b, k ? ", " : "");
        put_name(b, t, k);
    }
}

static bool by_number(const struct my_type *y)
{
    return y->base == MY_BIT || y->base == MY_ENUM || y->base == MY_SET;
}

void my_put_key_bounds(struct mf_buf *b, const struct mf_table *t, const struct my_type *types)
{
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct my_type *y = &types[t->key[k]];
        MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
        put_name(&name, t, k);
        mf_buf_puts(b, k ? ", " : "");
        if (by_number(y)) {
            mf_buf_printf(b, "%s + 0", mf_buf_str(&name));
        } else if (my_type_is_binary(y)) {
            mf_buf_printf(b, "HEX(%s)", mf_buf_str(&name));
        } else {
            my_put_read(b, y, mf_buf_str(&name));
        }
    }
}

void my_bound_add(struct mf_buf *bound, const char *value, size_t n)
{
    bool hex = memchr(value, 0, n) != NULL;
    mf_buf_printf(bound, hex ? "x%zu:" : "%zu:", hex ? 2 * n : n);
    for (size_t i = 0; hex && i < n; i++) {
        mf_buf_printf(bound, "%02X", (unsigned char)value[i]);
    }
    mf_buf_append(bound, value, hex ? 0 : n);
}

bool my_key_cuts(const struct mf_table *t, const struct my_type *types)
{
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct my_type *y = &types[t->key[k]];
        if (y->base == MY_JSON || y->base == MY_GEOMETRY || y->base == MY_VECTOR ||
            (y->base == MY_SET && y->nmembers > EXACT_BITS)) {
            return false;
        }
    }
    return t->nkey > 0;
}

/* ---- literals ---- */

static bool digits(const char **p, const char *end)
{
    const char *from = *p;
    while (*p < end && isdigit((unsigned char)**p)) {
        ++*p;
    }
    return *p > from;
}

enum { NUMBER_INTEGER = 1, NUMBER_DECIMAL, NUMBER_DOUBLE };

/* What kind of number the whole of it is; 0: none. Nothing else may stand in a statement without quotes. */
static int number(struct piece v)
{
    const char *p = v.p, *end = v.p + v.n;
    int kind = NUMBER_INTEGER;
    p += p < end && *p == '-';
    if (!digits(&p, end)) {
        return 0;
    }
    if (p < end && *p == '.') {
        p++;
        kind = NUMBER_DECIMAL;
        if (!digits(&p, end)) {
            return 0;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        kind = NUMBER_DOUBLE;
        p += p < end && (*p == '-' || *p == '+');
        if (!digits(&p, end)) {
            return 0;
        }
    }
    return p == end ? kind : 0;
}

static bool is_hex(struct piece v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (!isxdigit((unsigned char)v.p[i])) {
            return false;
        }
    }
    return v.n % 2 == 0;
}

/* A number without quotes, of at most this kind. */
static bool put_number(struct mf_buf *b, struct piece v, int most)
{
    int kind = number(v);
    if (kind == 0 || kind > most) {
        return false;
    }
    mf_buf_append(b, v.p, v.n);
    mf_buf_puts(b, most == NUMBER_DOUBLE && kind != NUMBER_DOUBLE ? "e0" : "");
    return true;
}

/* A value of a bound (coded: in its form), or of a key that travels as a row. False when it is no value of this type. */
static bool put_literal(struct mf_buf *b, const struct my_type *y, struct piece v, bool coded)
{
    if (v.hex) {
        if (!y->charset[0] || !is_hex(v)) {
            return false;
        }
        mf_buf_printf(b, "_utf8mb4 x'%.*s'", (int)v.n, v.p);
        return true;
    }
    switch (y->base) {
    case MY_TINYINT:
    case MY_SMALLINT:
    case MY_MEDIUMINT:
    case MY_INT:
    case MY_BIGINT:
    case MY_BIT:
        return put_number(b, v, NUMBER_INTEGER);
    case MY_DECIMAL:
        return put_number(b, v, NUMBER_DECIMAL);
    case MY_FLOAT:
    case MY_DOUBLE:
        return put_number(b, v, NUMBER_DOUBLE);
    case MY_ENUM:
    case MY_SET:
        if (coded) {
            return put_number(b, v, NUMBER_INTEGER);
        }
        break;
    case MY_BINARY:
    case MY_VARBINARY:
    case MY_BLOB:
        if (!coded) {
            my_put_hex(b, v.p, v.n);
            return true;
        }
        if (!is_hex(v)) {
            return false;
        }
        mf_buf_puts(b, "x'");
        mf_buf_append(b, v.p, v.n);
        mf_buf_putc(b, '\'');
        return true;
    case MY_JSON:
    case MY_GEOMETRY:
    case MY_VECTOR:
        return false;
    default:
        break;
    }
    my_put_literal_n(b, v.p, v.n);
    return true;
}

/* ---- ranges ---- */

static int next_piece(const char **p, const char *end, struct piece *ret)
{
    size_t n = 0;
    bool hex = *p < end && **p == 'x';
    const char *s = *p += hex;
    for (; s < end && isdigit((unsigned char)*s) && n <= MY_SQL_MAX; s++) {
        n = n * 10 + (size_t)(*s - '0');
    }
    if (s == *p || s == end || *s != ':' || n > (size_t)(end - s - 1)) {
        return -1;
    }
    *ret = (struct piece){s + 1, n, hex};
    *p = s + 1 + n;
    return 0;
}

static bool put_compared(struct mf_buf *b, const struct mf_table *t, const struct my_type *types, uint16_t k,
                         const char *op, struct piece v)
{
    put_name(b, t, k);
    mf_buf_printf(b, " %s ", op);
    return put_literal(b, &types[t->key[k]], v, true);
}

/* k0 = x0 AND … AND kn > xn */
static bool put_branch(struct mf_buf *b, const struct mf_table *t, const struct my_type *types, const struct piece *v,
                       uint16_t last, bool lower)
{
    const char *op = !lower ? "<" : last + 1 == t->nkey ? ">=" : ">";
    for (uint16_t k = 0; k < last; k++) {
        if (!put_compared(b, t, types, k, "=", v[k])) {
            return false;
        }
        mf_buf_puts(b, " AND ");
    }
    return put_compared(b, t, types, last, op, v[last]);
}

static int bad_bound(const struct mf_table *t, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFCHUNK", "a chunk of table %s.%s has a bound that cannot be read", t->schema,
                   t->name);
}

int my_put_bound(struct mf_buf *b, const struct mf_table *t, const struct my_type *types, const char *bound, size_t n,
                 bool lower, struct mf_error *err)
{
    struct piece v[64]; /* no engine of these servers has more columns in an index */
    const char *p = bound, *end = bound + n;
    if (t->nkey == 0 || t->nkey > MF_ARRAY_LEN(v)) {
        return bad_bound(t, err);
    }
    for (uint16_t k = 0; k < t->nkey; k++) {
        if (next_piece(&p, end, &v[k]) < 0) {
            return bad_bound(t, err);
        }
    }
    if (p != end) {
        return bad_bound(t, err);
    }
    mf_buf_putc(b, '(');
    for (uint16_t k = 0; k < t->nkey; k++) {
        mf_buf_puts(b, k ? " OR (" : t->nkey > 1 ? "(" : "");
        if (!put_branch(b, t, types, v, k, lower)) {
            return bad_bound(t, err);
        }
        mf_buf_puts(b, t->nkey > 1 ? ")" : "");
    }
    mf_buf_putc(b, ')');
    return 0;
}

int my_put_range(struct mf_buf *b, const struct mf_table *t, const struct my_type *types, const struct mf_chunk *c,
                 struct mf_error *err)
{
    if (c->by_heap && (c->has_lower || c->has_upper)) {
        return bad_bound(t, err);
    }
    if (c->has_lower) {
        mf_buf_puts(b, " WHERE ");
        if (my_put_bound(b, t, types, c->lower, strnlen(c->lower, sizeof c->lower), true, err) < 0) {
            return -1;
        }
    }
    if (c->has_upper) {
        mf_buf_puts(b, c->has_lower ? " AND " : " WHERE ");
        return my_put_bound(b, t, types, c->upper, strnlen(c->upper, sizeof c->upper), false, err);
    }
    return 0;
}

/* ---- rows by key ---- */

static int put_key(struct mf_buf *b, const struct mf_table *t, const struct my_type *types, const struct mf_row *key,
                   struct mf_error *err)
{
    mf_buf_putc(b, '(');
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct mf_value *v = t->key[k] < key->n ? &key->values[t->key[k]] : NULL;
        if (!v || (v->kind != MF_TEXT && v->kind != MF_BINARY)) {
            return mf_fail(err, MF_FATAL, "MFKEY", "a row of %s.%s cannot be read by a key without a value", t->schema,
                           t->name);
        }
        mf_buf_puts(b, k ? " AND " : "");
        put_name(b, t, k);
        mf_buf_puts(b, " = ");
        if (!put_literal(b, &types[t->key[k]], (struct piece){v->data, v->len, false}, false)) {
            return mf_fail(err, MF_FATAL, "MFKEY",
                           "a row of %s.%s cannot be read by a key that is no value of column %s", t->schema, t->name,
                           t->columns[t->key[k]].name);
        }
    }
    mf_buf_putc(b, ')');
    return 0;
}

int my_put_keys(struct mf_buf *b, const struct mf_table *t, const struct my_type *types, const struct mf_row *keys,
                size_t n, size_t *at, struct mf_error *err)
{
    size_t from = *at;
    mf_buf_puts(b, " WHERE ");
    for (; *at < n && *at - from < KEYS_AT_ONCE && b->len < b->max / 2; ++*at) {
        mf_buf_puts(b, *at == from ? "" : " OR ");
        if (put_key(b, t, types, &keys[*at], err) < 0) {
            return -1;
        }
    }
    return 0;
}
