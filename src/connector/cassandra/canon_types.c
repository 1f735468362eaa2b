/*
 * Types both ways.
 *
 * What a column gets by default keeps every value it can have; where CQL's nearest type has less than the model's (a timestamp has milliseconds), the
 * column is a text of canonical values instead, whose order is that of the values, and the narrower type is there for those who ask for it by name. Values
 * that do not fit are then refused, one by one.
 *
 *   INT              tinyint, smallint, int, bigint; one wider where unsigned; varint past bigint
 *   DECIMAL          varint where it has no fraction, so that a number is one key only; else decimal
 *   INSTANT          timestamp up to three digits of a second, else text
 *   DATETIME         text: a timestamp is a moment, and which one is not known
 *   BITS, ENUM, SET, JSON, OPAQUE   text; as a collection only where one is asked for (canon_document.c)
 */
#include "connector/cassandra/canon.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/cassandra/cass.h"
#include "connector/cassandra/catalog.h"

#include <string.h>
#include <xxhash.h>

#define MILLISECONDS 3
#define MICROSECONDS 6
#define TYPE_BYTES   ((size_t)4 << 20)
#define CUSTOM_ID    0x7f /* what is no type of the protocol's own */

static const struct {
    const char *cql;
    enum cql_kind number;
    struct mf_type type;
} kinds[] = {
    {"ascii", CQL_K_ASCII, {.kind = MF_KIND_TEXT, .any = true, .form = CASS_FORM_ASCII}},
    {"bigint", CQL_K_BIGINT, {.kind = MF_KIND_INT, .bits = 64}},
    {"blob", CQL_K_BLOB, {.kind = MF_KIND_BYTES}},
    {"boolean", CQL_K_BOOLEAN, {.kind = MF_KIND_BOOL}},
    {"counter", CQL_K_COUNTER, {.kind = MF_KIND_INT, .bits = 64, .form = CASS_FORM_COUNTER}},
    {"date", CQL_K_DATE, {.kind = MF_KIND_DATE}},
    {"decimal", CQL_K_DECIMAL, {.kind = MF_KIND_DECIMAL}},
    {"double", CQL_K_DOUBLE, {.kind = MF_KIND_FLOAT, .bits = 64}},
    {"duration", CQL_K_DURATION, {.kind = MF_KIND_OPAQUE, .form = CASS_FORM_DURATION}},
    {"float", CQL_K_FLOAT, {.kind = MF_KIND_FLOAT, .bits = 32}},
    {"inet", CQL_K_INET, {.kind = MF_KIND_OPAQUE, .form = CASS_FORM_INET}},
    {"int", CQL_K_INT, {.kind = MF_KIND_INT, .bits = 32}},
    {"smallint", CQL_K_SMALLINT, {.kind = MF_KIND_INT, .bits = 16}},
    {"text", CQL_K_TEXT, {.kind = MF_KIND_TEXT, .any = true}},
    {"time", CQL_K_TIME, {.kind = MF_KIND_TIME, .scale = MICROSECONDS}},
    {"timestamp", CQL_K_TIMESTAMP, {.kind = MF_KIND_INSTANT, .scale = MILLISECONDS}},
    {"timeuuid", CQL_K_TIMEUUID, {.kind = MF_KIND_UUID, .form = CASS_FORM_TIMEUUID}},
    {"tinyint", CQL_K_TINYINT, {.kind = MF_KIND_INT, .bits = 8}},
    {"uuid", CQL_K_UUID, {.kind = MF_KIND_UUID}},
    {"varchar", CQL_K_TEXT, {.kind = MF_KIND_TEXT, .any = true}},
    {"varint", CQL_K_VARINT, {.kind = MF_KIND_DECIMAL, .form = CASS_FORM_VARINT}},
};

/* ---- out of CQL ---- */

void cass_canon_type(const char *cql, struct mf_type *ret)
{
    *ret = (struct mf_type){.kind = MF_KIND_OPAQUE};
    for (size_t i = 0; i < MF_ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].cql, cql) == 0) {
            *ret = kinds[i].type;
        }
    }
}

void cass_type_number(const char *cql, uint32_t *ret_id, int32_t *ret_mod)
{
    *ret_id = CUSTOM_ID;
    *ret_mod = (int32_t)(XXH3_64bits(cql, strlen(cql)) >> 33);
    for (size_t i = 0; i < MF_ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].cql, cql) == 0) {
            *ret_id = kinds[i].number;
            *ret_mod = -1;
        }
    }
}

void cass_type_of(const struct mf_column *own, struct mf_type *ret)
{
    *ret = (struct mf_type){.kind = MF_KIND_OPAQUE};
    for (size_t i = 0; i < MF_ARRAY_LEN(kinds); i++) {
        if (kinds[i].number == own->type_id) {
            *ret = kinds[i].type;
            return;
        }
    }
}

bool cass_kind_type(enum cql_kind kind, struct mf_type *ret)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(kinds); i++) {
        if (kinds[i].number == kind) {
            *ret = kinds[i].type;
            return true;
        }
    }
    return false;
}

static bool table_types(const struct mf_table *own, struct cass_udts *udts, struct mf_arena *arena,
                        struct mf_type **ret)
{
    struct mf_type *types = mf_alloc_array(arena, own->ncolumns + 1u, sizeof *types);
    if (!types) {
        return false;
    }
    for (uint16_t i = 0; i < own->ncolumns; i++) {
        struct cass_udt_scope scope = {.udts = udts, .keyspace = own->schema, .arena = arena};
        cass_canon_column(own->columns[i].type ? own->columns[i].type : "", cass_udt_find, &scope, arena, &types[i]);
        types[i].form |= own->columns[i].in_key ? CASS_FORM_KEY : 0;
    }
    if (own->nkey && own->npartition == 1) {
        types[own->key[0]].form |= CASS_FORM_ALONE;
    }
    *ret = types;
    return true;
}

int cass_canon_types(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type ***ret,
                     struct mf_error *err)
{
    struct cass_udts udts = {0};
    struct mf_type **types = mf_alloc_array(arena, own->n + 1, sizeof *types);
    if (types && cass_udts_read(cass_db_of(db)->cql, own, arena, &udts, err) < 0) {
        return -1;
    }
    for (size_t i = 0; types && i < own->n; i++) {
        types = table_types(&own->tables[i], &udts, arena, &types[i]) ? types : NULL;
    }
    if (!types) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the types of the tables' columns need too much memory");
    }
    *ret = types;
    return 0;
}

/* ---- into CQL ---- */

static const char *for_int(const struct mf_type *t)
{
    unsigned bits = t->is_unsigned ? t->bits + 1u : t->bits;
    return bits <= 8 ? "tinyint" : bits <= 16 ? "smallint" : bits <= 32 ? "int" : bits <= 64 ? "bigint" : "varint";
}

const char *cass_type_for(const struct mf_type *t)
{
    switch (t->kind) {
    case MF_KIND_BOOL:
        return "boolean";
    case MF_KIND_INT:
        return for_int(t);
    case MF_KIND_DECIMAL:
        return t->precision && t->scale <= 0 ? "varint" : "decimal";
    case MF_KIND_FLOAT:
        return t->bits == 32 ? "float" : "double";
    case MF_KIND_DATE:
        return "date";
    case MF_KIND_TIME:
        return "time";
    case MF_KIND_INSTANT:
        return t->scale <= MILLISECONDS ? "timestamp" : "text";
    case MF_KIND_BYTES:
        return "blob";
    case MF_KIND_UUID:
        return "uuid";
    case MF_KIND_OPAQUE:
    case MF_KIND_BITS:
    case MF_KIND_DATETIME:
    case MF_KIND_TEXT:
    case MF_KIND_ENUM:
    case MF_KIND_SET:
    case MF_KIND_JSON:
        break;
    }
    return "text";
}

bool cass_type_fits(const char *cql, const struct mf_type *t)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    struct mf_type here;
    mf_arena_init(&arena, TYPE_BYTES);
    if (cass_canon_column(cql, cass_any_udt, &arena, &arena, &here) || t->shape) {
        return mf_type_takes(&here, t);
    }
    if (here.form == CASS_FORM_COUNTER ||
        (here.form == CASS_FORM_VARINT && t->kind == MF_KIND_DECIMAL && t->scale > 0)) {
        return false;
    }
    if (here.kind == MF_KIND_INT && t->kind == MF_KIND_INT) {
        return true; /* a BIGINT UNSIGNED that is never past 2^63 is wanted as a bigint */
    }
    return mf_type_takes(&here, t) || mf_type_takes(t, &here);
}

bool cass_type_known(const char *cql, const char **ret_near)
{
    size_t least = 4;
    const char *near = NULL;
    for (size_t i = 0; i < MF_ARRAY_LEN(kinds); i++) {
        size_t d = mf_edit_distance(cql, kinds[i].cql);
        if (d < least) {
            least = d;
            near = kinds[i].cql;
        }
    }
    if (near && least == 0) {
        return true;
    }
    *ret_near = near;
    return false;
}

/* ---- what is lost ---- */

static void put_clause(struct mf_buf *b, const char *clause)
{
    if (clause) {
        mf_buf_printf(b, "%s%s", b->len ? "; " : "", clause);
    }
}

static const char *lost_moment(const struct mf_type *t, const struct mf_type *here)
{
    if (here->kind == MF_KIND_TEXT) {
        return "it is a text, \"2026-11-28 01:02:03.5\" (in UTC where it was a moment), which keeps every digit and "
               "the "
               "order of the years 1 to 9999; ask for timestamp in the map where milliseconds are enough";
    }
    if (t->kind == MF_KIND_TIME) {
        return "times before 00:00 and from 24:00 on are refused";
    }
    if (t->kind == MF_KIND_DATE) {
        return "infinity and days that no calendar has are refused";
    }
    return t->scale > MILLISECONDS ? "values with microseconds, and infinity, are refused"
           : t->kind == MF_KIND_DATETIME
               ? "it is taken as a time in UTC; infinity and days that no calendar has are refused"
               : "infinity and days that no calendar has are refused";
}

static const char *lost_in(const struct mf_type *t, const struct mf_type *here)
{
    switch (t->kind) {
    case MF_KIND_DECIMAL:
        return here->kind != MF_KIND_DECIMAL ? NULL
                                             : "NaN and infinity, where the source has them, are refused, and the "
                                               "server does not hold it to a number "
                                               "of digits";
    case MF_KIND_DATE:
    case MF_KIND_TIME:
    case MF_KIND_DATETIME:
    case MF_KIND_INSTANT:
        return lost_moment(t, here);
    case MF_KIND_BITS:
        return "it is a text of 0 and 1";
    case MF_KIND_ENUM:
    case MF_KIND_SET:
        return "it is a text, which the server does not hold against its labels";
    case MF_KIND_JSON:
        return "it is a text, which the server does not look into";
    case MF_KIND_OPAQUE:
        return "it is a text in the source's words";
    case MF_KIND_TEXT:
    case MF_KIND_BYTES:
        return t->length ? "the server does not hold it to a length" : NULL;
    case MF_KIND_BOOL:
    case MF_KIND_INT:
    case MF_KIND_FLOAT:
    case MF_KIND_UUID:
        break;
    }
    return NULL;
}

void cass_type_loss(const char *cql, const struct mf_type *t, bool key, struct mf_buf *ret)
{
    struct mf_type here;
    cass_canon_type(cql, &here);
    if (t->shape != MF_SHAPE_NONE) {
        put_clause(ret, "it is frozen: written and read whole; NULL among its elements is refused, and a member twice "
                        "in a set");
        return;
    }
    put_clause(ret, lost_in(t, &here));
    if (here.kind == MF_KIND_INT && t->kind == MF_KIND_INT && here.bits < t->bits + t->is_unsigned) {
        put_clause(ret, "numbers past its range are refused");
    }
    bool wide = here.kind == MF_KIND_TEXT || here.kind == MF_KIND_BYTES;
    bool short_enough = t->kind == MF_KIND_BYTES
                            ? t->length && t->length <= CASS_KEY_BYTES
                            : t->kind != MF_KIND_TEXT || (t->length && t->length <= CASS_KEY_BYTES / 4);
    if (key && wide && !short_enough) {
        put_clause(ret, "as part of the key, values longer than 65535 bytes are refused");
    }
}
