/* Bounds of chunks as rows: a bound has the key's values in the text the server prints (range.c), so nothing is translated here. */
#include "connector/postgres/canon.h"

#include <stdlib.h>
#include <string.h>

static int bad_bound(const struct mf_table *t, const char *what, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFCHUNK", "a chunk of table %s.%s has a bound that %s", t->schema, t->name, what);
}

int pg_bound_get(const struct mf_table *own, const char *bound, struct mf_arena *arena, struct mf_row *ret,
                 struct mf_error *err)
{
    struct mf_value *values = mf_alloc_array(arena, own->nkey, sizeof *values);
    if (!values) {
        return mf_fail(err, MF_FATAL, "MFMEM", "there is not enough memory for a bound of a chunk");
    }
    for (uint16_t i = 0; i < own->nkey; i++) {
        char *end = NULL;
        unsigned long n = *bound >= '0' && *bound <= '9' ? strtoul(bound, &end, 10) : 0;
        if (!end || *end != ':' || n > strlen(end + 1)) {
            return bad_bound(own, "cannot be read", err);
        }
        values[i] = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = mf_memdup_a(arena, end + 1, n)};
        if (!values[i].data) {
            return mf_fail(err, MF_FATAL, "MFMEM", "there is not enough memory for a bound of a chunk");
        }
        bound = end + 1 + n;
    }
    if (*bound) {
        return bad_bound(own, "has too many values", err);
    }
    *ret = (struct mf_row){.n = own->nkey, .values = values};
    return 0;
}

int pg_bound_put(const struct mf_table *own, const struct mf_row *key, struct mf_buf *ret, struct mf_error *err)
{
    size_t from = ret->len;
    if (key->n != own->nkey) {
        return bad_bound(own, "has not one value for each column of the key", err);
    }
    for (uint16_t i = 0; i < key->n; i++) {
        const struct mf_value *v = &key->values[i];
        if (v->kind != MF_TEXT || memchr(v->data, 0, v->len)) {
            return bad_bound(own, "is no value of a key", err);
        }
        mf_buf_printf(ret, "%u:", v->len);
        mf_buf_append(ret, v->data, v->len);
    }
    return mf_buf_ok(ret) && ret->len - from < MF_CHUNK_BOUND ? 0 : bad_bound(own, "is longer than bounds may be", err);
}
