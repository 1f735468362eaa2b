/* Types of the engines by their text, for tests of canonical values. */
#ifndef MF_TESTS_UNIT_CONNECTOR_CANON_TYPES_H
#define MF_TESTS_UNIT_CONNECTOR_CANON_TYPES_H

#include "base/cleanup.h"
#include "connector/cassandra/canon.h"
#include "connector/mysql/canon.h"
#include "connector/postgres/canon.h"

#include <stdlib.h>
#include <string.h>

/* "numeric 10 2", "varchar 20", "enum": a name, and what its modifier is made of. */
static inline bool pg_test_type(const char *text, struct mf_type *ret)
{
    static const struct {
        const char *name;
        uint32_t oid;
    } names[] = {
        {"bool", 16},      {"bytea", 17},       {"\"char\"", 18},      {"name", 19},       {"int8", 20},
        {"int2", 21},      {"int4", 23},        {"text", 25},          {"oid", 26},        {"json", 114},
        {"float4", 700},   {"float8", 701},     {"char", 1042},        {"varchar", 1043},  {"date", 1082},
        {"time", 1083},    {"timestamp", 1114}, {"timestamptz", 1184}, {"bit", 1560},      {"varbit", 1562},
        {"numeric", 1700}, {"uuid", 2950},      {"jsonb", 3802},       {"interval", 1186},
    };
    static const char *const labels[] = {"new", "it's", ""};
    const char *space = strchr(text, ' ');
    size_t n = space ? (size_t)(space - text) : strlen(text);
    if (strcmp(text, "enum") == 0) {
        *ret = (struct mf_type){.kind = MF_KIND_ENUM, .nlabels = 2, .labels = labels};
        return true;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(names); i++) {
        if (strlen(names[i].name) != n || strncmp(names[i].name, text, n) != 0) {
            continue;
        }
        char *end = NULL;
        long a = space ? strtol(space, &end, 10) : -1, b = end && *end ? strtol(end, NULL, 10) : 0;
        uint32_t oid = names[i].oid;
        int32_t mod = (int32_t)(a < 0                        ? -1
                                : oid == 1700                ? (a << 16 | (b & 0x7ff)) + 4
                                : oid == 1042 || oid == 1043 ? a + 4
                                                             : a);
        pg_type_of_oid(oid, mod, ret);
        return true;
    }
    return false;
}

static inline bool my_test_type(const char *text, struct mf_arena *arena, struct mf_type *ret)
{
    struct mf_column c = {.type = text};
    if (strcmp(text, "mariadb json") == 0) {
        *ret = (struct mf_type){.kind = MF_KIND_JSON, .form = MY_FORM_JSON_TEXT};
        return true;
    }
    return my_canon_column(&c, arena, ret) == 0;
}

/* What needs no database. */
static const struct mf_canon_ops cass_test_ops = {
    .to_canon = cass_to_canon, .from_canon = cass_from_canon, .bound_get = cass_bound_get, .bound_put = cass_bound_put};

/* "text", "text key", "text alone": a CQL type, and whether the column is of the key. */
static inline bool cass_test_type(const char *text, struct mf_type *ret)
{
    const char *space = strchr(text, ' ');
    char *cql = strndup(text, space ? (size_t)(space - text) : strlen(text));
    cass_canon_type(cql, ret);
    free(cql);
    ret->form = (uint8_t)(ret->form | (space ? CASS_FORM_KEY : 0) |
                          (space && strcmp(space, " alone") == 0 ? CASS_FORM_ALONE : 0));
    return true;
}

/* An own value of a CQL type has bytes, and those are read as the same. What the server alone can read (OPAQUE) is not looked at. */
static inline bool cass_test_has_bytes(const char *text, const struct mf_value *own)
{
    const struct cql_type *type = NULL;
    struct mf_type t;
    struct mf_error err = {0};
    MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 1 << 20};
    MF_CLEANUP_BUF struct mf_buf bytes = {.max = 1 << 20}, again = {.max = 1 << 20};
    const char *space = strchr(text, ' ');
    cass_test_type(text, &t);
    if (t.kind == MF_KIND_OPAQUE || own->kind != MF_TEXT) {
        return true;
    }
    return cql_type_parse(text, space ? (size_t)(space - text) : strlen(text), NULL, NULL, &arena, &type, &err) == 0 &&
           cql_value_put(type, own->data, own->len, &bytes, &err) == 0 && bytes.len >= 4 &&
           cql_value_text(type, (struct cql_bytes){.p = (const uint8_t *)bytes.data + 4, .n = (int32_t)bytes.len - 4},
                          &again, &err) == 0 &&
           again.len == own->len && memcmp(mf_buf_str(&again), own->data, own->len) == 0;
}

#endif
