/*
 * What connector/face shows this engine by, and the server's own types in the model's terms: see canon.h. Types that users made are in
 * canon_types.c.
 */
#include "connector/postgres/canon.h"

#include "base/cleanup.h"
#include "connector/defaults.h"

#define FRACTION      6 /* digits of a second without a modifier */
#define NAME_LENGTH   63
#define LENGTH_HEADER 4 /* what a modifier of a character type or numeric has added */

static const struct {
    uint32_t oid;
    struct mf_type type;
} builtin[] = {
    {16, {.kind = MF_KIND_BOOL}},
    {17, {.kind = MF_KIND_BYTES}},
    {18, {.kind = MF_KIND_TEXT, .length = 1, .form = PG_FORM_CHAR}},
    {19, {.kind = MF_KIND_TEXT, .length = NAME_LENGTH, .form = PG_FORM_NAME}},
    {20, {.kind = MF_KIND_INT, .bits = 64}},
    {21, {.kind = MF_KIND_INT, .bits = 16}},
    {23, {.kind = MF_KIND_INT, .bits = 32}},
    {25, {.kind = MF_KIND_TEXT}},
    {26, {.kind = MF_KIND_INT, .bits = 32, .is_unsigned = true}}, /* oid */
    {114, {.kind = MF_KIND_JSON, .form = PG_FORM_JSON}},
    {700, {.kind = MF_KIND_FLOAT, .bits = 32}},
    {701, {.kind = MF_KIND_FLOAT, .bits = 64}},
    {1042, {.kind = MF_KIND_TEXT, .fixed = true}}, /* character(n); without n nothing is padded */
    {1043, {.kind = MF_KIND_TEXT}},
    {1082, {.kind = MF_KIND_DATE}},
    {1083, {.kind = MF_KIND_TIME}},
    {1114, {.kind = MF_KIND_DATETIME}},
    {1184, {.kind = MF_KIND_INSTANT}},
    {1560, {.kind = MF_KIND_BITS, .fixed = true}},
    {1562, {.kind = MF_KIND_BITS}},
    {1700, {.kind = MF_KIND_DECIMAL}},
    {2950, {.kind = MF_KIND_UUID}},
    {3802, {.kind = MF_KIND_JSON}},
};

static void take_modifier(struct mf_type *t, int32_t mod)
{
    switch (t->kind) {
    case MF_KIND_TEXT:
        if (mod > LENGTH_HEADER) {
            t->length = (uint32_t)(mod - LENGTH_HEADER);
        }
        t->fixed = t->fixed && t->length;
        break;
    case MF_KIND_BITS:
        if (mod > 0) {
            t->length = (uint32_t)mod;
        }
        t->fixed = t->fixed && t->length;
        break;
    case MF_KIND_DECIMAL:
        if (mod >= LENGTH_HEADER) {
            uint32_t m = (uint32_t)(mod - LENGTH_HEADER);
            t->precision = (uint16_t)(m >> 16);
            t->scale = (int16_t)((int32_t)((m & 0x7ff) ^ 1024) - 1024); /* eleven bits with a sign */
        }
        break;
    case MF_KIND_TIME:
    case MF_KIND_DATETIME:
    case MF_KIND_INSTANT:
        t->scale = (int16_t)(mod >= 0 && mod <= FRACTION ? mod : FRACTION);
        break;
    default:
        break;
    }
}

bool pg_type_of_oid(uint32_t oid, int32_t mod, struct mf_type *ret)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(builtin); i++) {
        if (builtin[i].oid == oid) {
            *ret = builtin[i].type;
            take_modifier(ret, mod);
            return true;
        }
    }
    *ret = (struct mf_type){.kind = MF_KIND_OPAQUE};
    return false;
}

void pg_type_of(const struct mf_column *own, struct mf_type *ret)
{
    pg_type_of_oid(own->type_id, own->type_mod, ret);
}

const struct mf_canon_ops pg_canon_ops = {
    .types = pg_canon_types,
    .type_of = pg_type_of,
    .to_canon = pg_to_canon,
    .from_canon = pg_from_canon,
    .document = pg_document,
    .type_named = mf_default_type_named,
    .bound_get = pg_bound_get,
    .bound_put = pg_bound_put,
    .describe = pg_describe,
    .make = pg_make,
    .add_column = pg_make_add_column,
    .type_here = pg_type_here,
    .default_schema = pg_default_schema,
};
