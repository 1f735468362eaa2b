/*
 * Bounds as rows of values, and back: "T3:abc" for a text, "B2:00ff" for bytes, one behind the other in the order of the key.
 *
 * Such a bound says where a key would stand in the other side's order, not in this one: here rows are in the order of tokens. Whoever reads by it reads by
 * keys, or everything.
 */
#include "connector/cassandra/canon.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static int bad_bound(const struct mf_table *t, const char *what, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFCHUNK", "a chunk of table %s.%s has a bound that %s", t->schema, t->name, what);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool get_value(const char **at, const char *end, struct mf_arena *arena, struct mf_value *ret, bool *ret_full)
{
    const char *p = *at;
    uint64_t n = 0;
    bool binary = p < end && *p == 'B';
    if (p == end || (*p != 'T' && *p != 'B') || ++p == end || *p < '0' || *p > '9') {
        return false;
    }
    for (; p < end && *p >= '0' && *p <= '9' && n < MF_CHUNK_BOUND; p++) {
        n = 10 * n + (uint64_t)(*p - '0');
    }
    if (p == end || *p++ != ':' || n > (uint64_t)(end - p) / (binary ? 2 : 1)) {
        return false;
    }
    char *data = mf_alloc(arena, n + 1);
    *ret_full = !data;
    for (uint64_t i = 0; data && i < n; i++) {
        int high = binary ? hex_digit(p[2 * i]) : 0, low = binary ? hex_digit(p[2 * i + 1]) : 0;
        if (high < 0 || low < 0) {
            return false;
        }
        data[i] = binary ? (char)(high << 4 | low) : p[i];
    }
    *ret = (struct mf_value){.kind = binary ? MF_BINARY : MF_TEXT, .len = (uint32_t)n, .data = data};
    *at = p + (binary ? 2 * n : n);
    return data != NULL;
}

int cass_bound_get(const struct mf_table *own, const char *bound, struct mf_arena *arena, struct mf_row *ret,
                   struct mf_error *err)
{
    const char *at = bound, *end = bound + strlen(bound);
    struct mf_value *values = mf_alloc_array(arena, own->nkey + 1u, sizeof *values);
    bool full = !values;
    for (uint16_t i = 0; !full && i < own->nkey; i++) {
        if (!get_value(&at, end, arena, &values[i], &full) && !full) {
            return bad_bound(own, "cannot be read", err);
        }
    }
    if (full) {
        return mf_fail(err, MF_FATAL, "MFMEM", "there is not enough memory for a bound of a chunk");
    }
    if (at != end) {
        return bad_bound(own, "has too many values", err);
    }
    *ret = (struct mf_row){.n = own->nkey, .values = values};
    return 0;
}

/* A bound ends at its first NUL, so a text with one in it is no bound. */
int cass_bound_put(const struct mf_table *own, const struct mf_row *key, struct mf_buf *ret, struct mf_error *err)
{
    size_t from = ret->len;
    if (key->n != own->nkey) {
        return bad_bound(own, "has not one value for each column of the key", err);
    }
    for (uint16_t i = 0; i < key->n; i++) {
        const struct mf_value *v = &key->values[i];
        if ((v->kind != MF_TEXT && v->kind != MF_BINARY) ||
            (v->kind == MF_TEXT && v->len && memchr(v->data, 0, v->len))) {
            return bad_bound(own, "is no value of a key, or has a NUL in it", err);
        }
        mf_buf_printf(ret, "%c%u:", v->kind == MF_BINARY ? 'B' : 'T', v->len);
        for (uint32_t k = 0; v->kind == MF_BINARY && k < v->len; k++) {
            mf_buf_printf(ret, "%02x", (unsigned char)v->data[k]);
        }
        if (v->kind == MF_TEXT) {
            mf_buf_append(ret, v->data, v->len);
        }
    }
    return mf_buf_ok(ret) && ret->len - from < MF_CHUNK_BOUND ? 0 : bad_bound(own, "is longer than bounds may be", err);
}
