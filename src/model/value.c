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
