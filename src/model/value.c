#include "model/value.h"

#include <string.h>

bool mf_value_equal(const struct mf_value *a, const struct mf_value *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind == MF_NULL || a->kind == MF_UNCHANGED) {
        return true;
    }
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

int mf_row_refused(const struct mf_row *row)
{
    for (uint16_t i = 0; i < row->n; i++) {
        if (row->values[i].kind == MF_REFUSED) {
            return i;
        }
    }
    return -1;
}

bool mf_row_whole(const struct mf_row *row)
{
    for (uint16_t i = 0; i < row->n; i++) {
        if (row->values[i].kind == MF_UNCHANGED) {
            return false;
        }
    }
    return true;
}

int mf_row_copy(struct mf_arena *arena, struct mf_row *out, const struct mf_row *in)
{
    struct mf_value *v = mf_alloc_array(arena, in->n + 1u, sizeof *v);
    *out = (struct mf_row){.n = in->n, .values = v};
    for (uint16_t i = 0; v && i < in->n; i++) {
        v[i] = in->values[i];
        if (mf_value_has_bytes(&v[i]) && !(v[i].data = mf_memdup_a(arena, in->values[i].data, in->values[i].len))) {
            return -1;
        }
    }
    if (in->named && !(out->named = mf_strdup_a(arena, in->named))) {
        return -1;
    }
    return v ? 0 : -1;
}
