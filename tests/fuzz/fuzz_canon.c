/*
 * Canonical values. The first byte says whose, the second of which type; the rest is a value, a document, or a bound.
 *
 * What holds for any bytes: a translation says no or is exact, so what comes out of one goes back and is the same; a document's one
 * spelling is a document that means the same (as another parser sees it), and is its own spelling.
 */
#include "fuzz.h"

#include "../unit/connector/canon_types.h"
#include "model/canon.h"

#include <jansson.h>

static const char *const pg_types[] = {
    "bool",        "int2",        "int4",   "int8",      "oid",      "numeric", "numeric 10 2", "numeric 5 -2",
    "float4",      "float8",      "bit 5",  "varbit",    "date",     "time 6",  "time 0",       "timestamp",
    "timestamp 3", "timestamptz", "char 5", "varchar 5", "text",     "name",    "\"char\"",     "bytea",
    "enum",        "json",        "jsonb",  "uuid",      "interval",
};
static const char *const my_types[] = {
    "tinyint(4)",
    "mediumint(8) unsigned",
    "int(11)",
    "bigint(20) unsigned",
    "year(4)",
    "decimal(8,3)",
    "float",
    "double",
    "bit(8)",
    "bit(64)",
    "date",
    "time(6)",
    "datetime(3)",
    "timestamp",
    "char(5) charset utf8mb4",
    "varchar(5) charset latin1",
    "longtext charset utf8mb4",
    "binary(3)",
    "varbinary(7)",
    "longblob",
    "enum('a','B') charset utf8mb4",
    "set('a','B','c') charset utf8mb4",
    "json",
    "mariadb json",
    "uuid",
    "inet4",
    "inet6",
};
static const char *const cass_types[] = {
    "ascii",     "bigint",   "blob",    "blob alone", "boolean",  "date",       "decimal",  "double",
    "duration",  "float",    "inet",    "int",        "smallint", "text",       "text key", "time",
    "timestamp", "timeuuid", "tinyint", "uuid",       "varint",   "text alone", "counter",  "list<int>",
};

static void fuzz_document(const char *text, size_t n)
{
    const size_t flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8 * n + 64}, again = {.max = 8 * n + 64};
    json_error_t e;
    json_t *given = json_loadb(text, n, flags, &e), *made = NULL;
    const char *why = mf_json_put(&b, text, n, NULL);
    if (!why) {
        MF_FUZZ_CHECK(!mf_json_put(&again, b.data, b.len, NULL));
        MF_FUZZ_CHECK(again.len == b.len && memcmp(again.data, b.data, b.len) == 0);
        made = json_loadb(b.data, b.len, flags, &e);
        MF_FUZZ_CHECK(!given == !made && (!given || json_equal(given, made)));
    } else if (given && !memchr(text, 0, n)) { /* what we bound, and it does not (it takes a NUL byte for the end) */
        MF_FUZZ_CHECK(strstr(why, "deeper") || strstr(why, "exponent"));
    }
    json_decref(given);
    json_decref(made);
}

static void fuzz_value(const struct mf_canon_ops *o, const char *name, const struct mf_type *t,
                       const struct mf_value *v, struct mf_arena *a)
{
    struct mf_value canon, own, again;
    struct mf_error err = {0};
    if (o->to_canon(t, a, v, &canon, &err) == 0 && o->from_canon(t, a, &canon, &own, &err) == 0) {
        MF_FUZZ_CHECK(o->to_canon(t, a, &own, &again, &err) == 0 && mf_value_equal(&canon, &again));
    }
    if (o->from_canon(t, a, v, &own, &err) == 0) {
        MF_FUZZ_CHECK(!mf_canon_wrong(t, v) || t->kind == MF_KIND_DATE || t->kind == MF_KIND_TIME ||
                      t->kind == MF_KIND_DATETIME || t->kind == MF_KIND_INSTANT);
        MF_FUZZ_CHECK(o->to_canon(t, a, &own, &canon, &err) == 0 && mf_value_equal(v, &canon));
        MF_FUZZ_CHECK(o != &cass_test_ops || cass_test_has_bytes(name, &own));
    }
}

static void fuzz_bound(const struct mf_canon_ops *o, const char *type, const char *bound, struct mf_arena *a)
{
    uint16_t key = 0;
    struct mf_column c = {.name = "k", .type = type};
    struct mf_table t = {.schema = "s", .name = "t", .ncolumns = 1, .nkey = 1, .columns = &c, .key = &key};
    struct mf_row row, again;
    struct mf_error err = {0};
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20};
    if (o->bound_get(&t, bound, a, &row, &err) < 0 || o->bound_put(&t, &row, &b, &err) < 0) {
        return;
    }
    MF_FUZZ_CHECK(o->bound_get(&t, mf_buf_str(&b), a, &again, &err) == 0);
    MF_FUZZ_CHECK(mf_value_equal(&row.values[0], &again.values[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096) {
        return 0;
    }
    const char *text = (const char *)data + 2;
    size_t n = size - 2;
    bool cass = data[0] & 8, mine = !cass && data[0] & 1;
    const struct mf_canon_ops *o = cass ? &cass_test_ops : mine ? &my_canon_ops : &pg_canon_ops;
    const char *name = cass   ? cass_types[data[1] % MF_ARRAY_LEN(cass_types)]
                       : mine ? my_types[data[1] % MF_ARRAY_LEN(my_types)]
                              : pg_types[data[1] % MF_ARRAY_LEN(pg_types)];
    MF_CLEANUP_ARENA struct mf_arena a = {.max_bytes = 1 << 22};
    struct mf_type t;
    switch (data[0] / 2 % 4) {
    case 0:
        fuzz_document(text, n);
        break;
    case 1: {
        char bound[4096] = {0};
        memcpy(bound, text, n);
        fuzz_bound(o, strcmp(name, "mariadb json") == 0 ? "json" : name, bound, &a);
        break;
    }
    default:
        MF_FUZZ_CHECK(cass ? cass_test_type(name, &t) : mine ? my_test_type(name, &a, &t) : pg_test_type(name, &t));
        fuzz_value(o, name, &t,
                   &(struct mf_value){.kind = data[0] & 64 ? MF_BINARY : MF_TEXT, .len = (uint32_t)n, .data = text},
                   &a);
    }
    return 0;
}
