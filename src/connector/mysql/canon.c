/* What connector/face shows this engine by, and its types in the model's terms: see canon.h. */
#include "connector/mysql/canon.h"

#include "base/cleanup.h"
#include "connector/defaults.h"

#include <string.h>

#define INET4_LENGTH 15
#define INET6_LENGTH 39

static const struct {
    enum my_base base;
    struct mf_type type; /* but for what the column itself says */
} kinds[] = {
    {MY_TINYINT, {.kind = MF_KIND_INT, .bits = 8}},
    {MY_SMALLINT, {.kind = MF_KIND_INT, .bits = 16}},
    {MY_MEDIUMINT, {.kind = MF_KIND_INT, .bits = 24}},
    {MY_INT, {.kind = MF_KIND_INT, .bits = 32}},
    {MY_BIGINT, {.kind = MF_KIND_INT, .bits = 64}},
    {MY_DECIMAL, {.kind = MF_KIND_DECIMAL}},
    {MY_FLOAT, {.kind = MF_KIND_FLOAT, .bits = 32}},
    {MY_DOUBLE, {.kind = MF_KIND_FLOAT, .bits = 64}},
    {MY_BIT, {.kind = MF_KIND_BITS, .fixed = true}},
    {MY_YEAR, {.kind = MF_KIND_INT, .bits = 16, .form = MY_FORM_YEAR}},
    {MY_DATE, {.kind = MF_KIND_DATE}},
    {MY_TIME, {.kind = MF_KIND_TIME}},
    {MY_DATETIME, {.kind = MF_KIND_DATETIME}},
    {MY_TIMESTAMP, {.kind = MF_KIND_INSTANT}},
    {MY_CHAR, {.kind = MF_KIND_TEXT, .fixed = true}},
    {MY_VARCHAR, {.kind = MF_KIND_TEXT}},
    {MY_TEXT, {.kind = MF_KIND_TEXT}}, /* its bound is one of bytes, which the server checks */
    {MY_BINARY, {.kind = MF_KIND_BYTES, .fixed = true}},
    {MY_VARBINARY, {.kind = MF_KIND_BYTES}},
    {MY_BLOB, {.kind = MF_KIND_BYTES}},
    {MY_ENUM, {.kind = MF_KIND_ENUM}},
    {MY_SET, {.kind = MF_KIND_SET}},
    {MY_JSON, {.kind = MF_KIND_JSON}},
    {MY_GEOMETRY, {.kind = MF_KIND_BYTES}},
    {MY_VECTOR, {.kind = MF_KIND_BYTES}},
    {MY_UUID, {.kind = MF_KIND_UUID}},
    {MY_INET4, {.kind = MF_KIND_TEXT, .length = INET4_LENGTH, .form = MY_FORM_INET4}},
    {MY_INET6, {.kind = MF_KIND_TEXT, .length = INET6_LENGTH, .form = MY_FORM_INET6}},
};

void my_canon_type(const struct my_type *t, struct mf_type *ret)
{
    *ret = (struct mf_type){.kind = MF_KIND_OPAQUE};
    for (size_t i = 0; i < MF_ARRAY_LEN(kinds); i++) {
        if (kinds[i].base == t->base) {
            *ret = kinds[i].type;
        }
    }
    switch (t->base) {
    case MY_TINYINT:
    case MY_SMALLINT:
    case MY_MEDIUMINT:
    case MY_INT:
    case MY_BIGINT:
        ret->is_unsigned = t->is_unsigned;
        break;
    case MY_DECIMAL:
        ret->precision = t->precision;
        ret->scale = t->scale;
        break;
    case MY_TIME:
    case MY_DATETIME:
    case MY_TIMESTAMP:
        ret->scale = t->scale;
        break;
    case MY_BIT:
    case MY_CHAR:
    case MY_VARCHAR:
    case MY_BINARY:
    case MY_VARBINARY:
        ret->length = t->length;
        break;
    case MY_ENUM:
    case MY_SET:
        ret->nlabels = t->members ? t->nmembers : 0;
        ret->labels = t->members;
        break;
    default:
        break;
    }
}

int my_canon_column(const struct mf_column *own, struct mf_arena *arena, struct mf_type *ret)
{
    struct my_type t;
    struct mf_error err = {0};
    *ret = (struct mf_type){.kind = MF_KIND_OPAQUE};
    if (own->type && my_type_parse(own->type, arena, &t, &err) == 0) {
        my_canon_type(&t, ret);
    }
    return strcmp(err.code, "MFBIG") == 0 ? -1 : 0;
}

/* The labels of a list are in no id, so its values are texts. */
void my_type_of(const struct mf_column *own, struct mf_type *ret)
{
    struct my_type t;
    my_type_of_id(own->type_id, own->type_mod, &t);
    my_canon_type(&t, ret);
    if (ret->kind == MF_KIND_ENUM || ret->kind == MF_KIND_SET) {
        *ret = (struct mf_type){.kind = MF_KIND_TEXT};
    }
}

const struct mf_canon_ops my_canon_ops = {
    .types = my_canon_types,
    .type_of = my_type_of,
    .to_canon = my_to_canon,
    .from_canon = my_from_canon,
    .document = mf_default_document,
    .type_named = mf_default_type_named,
    .bound_get = my_bound_get,
    .bound_put = my_bound_put,
    .describe = my_describe,
    .make = my_make,
    .add_column = my_make_add_column,
    .type_here = my_type_here,
    .default_schema = my_default_schema,
};
