/*
 * Maps and documents by chance. A map is made with a seed, then documents that fit it (or nearly), and of each what must hold is asked: the document comes back from its rows
 * as its normal form, the normal form's rows are the same, and put into another document it is what that one means then.
 */
#include "chance.h"

#include <stdlib.h>

/* ---- documents ---- */

static void put_any(struct chance *c, bson_t *b, const char *key, unsigned depth)
{
    static const uint8_t bytes[16] = {1, 0, 255, 3};
    bson_oid_t oid;
    bson_decimal128_t d;
    bson_t inner;
    bson_oid_init_from_data(&oid, bytes);
    switch (any(c, depth > 3 ? 20 : 24)) {
    case 0:
        bson_append_int32(b, key, -1, (int32_t)any(c, 1000) - 500);
        break;
    case 1:
        bson_append_int64(b, key, -1, any(c, 2) ? INT64_MIN : any(c, 9));
        break;
    case 2:
        bson_append_double(b, key, -1, any(c, 2) ? -0.0 : (double)any(c, 100) / 8);
        break;
    case 3:
        bson_decimal128_from_string(any(c, 2) ? "1.50" : any(c, 2) ? "NaN" : "-0E+3", &d);
        bson_append_decimal128(b, key, -1, &d);
        break;
    case 4:
        bson_append_utf8(b, key, -1, "5\0text", any(c, 2) ? 1 : 6);
        break;
    case 5:
        bson_append_bool(b, key, -1, any(c, 2));
        break;
    case 6:
        bson_append_date_time(b, key, -1, any(c, 2) ? INT64_MAX : (int64_t)any(c, 100000) * 77);
        break;
    case 7:
        bson_append_oid(b, key, -1, &oid);
        break;
    case 8:
        bson_append_binary(b, key, -1, any(c, 2) ? BSON_SUBTYPE_UUID : BSON_SUBTYPE_UUID_DEPRECATED, bytes, 16);
        break;
    case 9:
        bson_append_binary(b, key, -1, any(c, 2) ? BSON_SUBTYPE_BINARY : BSON_SUBTYPE_BINARY_DEPRECATED, bytes,
                           any(c, 9));
        break;
    case 10:
        bson_append_timestamp(b, key, -1, any(c, 99), UINT32_MAX);
        break;
    case 11:
    case 12:
        bson_append_null(b, key, -1);
        break;
    case 13:
        bson_append_regex(b, key, -1, "a\"b", "im");
        break;
    case 14:
        bson_append_symbol(b, key, -1, "sym", -1);
        break;
    case 15:
        bson_append_minkey(b, key, -1);
        break;
    case 16:
        bson_append_undefined(b, key, -1);
        break;
    case 17:
        bson_append_code(b, key, -1, "f()");
        break;
    case 18:
        bson_init(&inner);
        bson_append_int32(&inner, "$date", -1, 5);
        bson_append_int32(&inner, "a", -1, 5);
        if (any(c, 2)) {
            bson_append_code_with_scope(b, key, -1, "g()", &inner);
        } else {
            bson_append_document(b, key, -1, &inner);
        }
        bson_destroy(&inner);
        break;
    case 19:
        bson_append_dbpointer(b, key, -1, "db.c", &oid);
        break;
    default:
        if (any(c, 2)) {
            bson_append_document_begin(b, key, -1, &inner);
            for (uint32_t i = any(c, 3); i; i--) {
                put_any(c, &inner, names[i], depth + 1);
            }
            bson_append_document_end(b, &inner);
        } else {
            bson_append_array_begin(b, key, -1, &inner);
            for (uint32_t i = 0, n = any(c, 3); i < n; i++) {
                char at[12];
                snprintf(at, sizeof at, "%u", i);
                put_any(c, &inner, at, depth + 1);
            }
            bson_append_array_end(b, &inner);
        }
    }
}

static void put_typed(struct chance *c, bson_t *b, const char *key, int type)
{
    static const char *const decimals[] = {"1.5", "-12.25", "100", "0.1", "7"};
    static const char *const numbers[] = {"1E+6111", "-9.999999999999999999999999999999999E+6144", "1E-6176", "NaN",
                                          "12345678901234567890.1234"};
    uint8_t bytes[16];
    bson_oid_t oid;
    bson_decimal128_t d;
    for (unsigned i = 0; i < 16; i++) {
        bytes[i] = (uint8_t)any(c, 256);
    }
    bson_oid_init_from_data(&oid, bytes);
    double wide;
    memcpy(&wide, bytes, sizeof wide);
    switch (type) {
    case 0:
        bson_append_int32(b, key, -1, (int32_t)(any(c, UINT32_MAX)));
        break;
    case 1:
        bson_append_int64(b, key, -1, (int64_t)c->state);
        break;
    case 2:
        if (any(c, 2)) {
            bson_append_int32(b, key, -1, (int32_t)any(c, 100));
        } else {
            bson_append_int64(b, key, -1, any(c, 2) ? 5 : INT64_MAX);
        }
        break;
    case 3:
        bson_append_double(b, key, -1, wide);
        break;
    case 4:
        bson_decimal128_from_string(any(c, 2) ? decimals[any(c, 5)] : numbers[any(c, 5)], &d);
        bson_append_decimal128(b, key, -1, &d);
        break;
    case 5:
        bson_append_utf8(b, key, -1, "äöü\0x", any(c, 2) ? 8 : 0);
        break;
    case 6:
        bson_append_utf8(b, key, -1, "some \"text\" of\nany length \x7f", -1);
        break;
    case 7:
        bson_append_bool(b, key, -1, any(c, 2));
        break;
    case 8:
        bson_append_date_time(b, key, -1, (int64_t)any(c, UINT32_MAX) * 1000 - 777);
        break;
    case 9:
        bson_append_oid(b, key, -1, &oid);
        break;
    case 10:
    case 11:
        bson_append_binary(b, key, -1, type == 10 ? BSON_SUBTYPE_UUID : BSON_SUBTYPE_UUID_DEPRECATED, bytes, 16);
        break;
    case 12:
        bson_append_binary(b, key, -1, BSON_SUBTYPE_BINARY, bytes, any(c, 7));
        break;
    case 13:
        bson_append_timestamp(b, key, -1, any(c, UINT32_MAX), any(c, UINT32_MAX));
        break;
    case 14:
        put_any(c, b, key, 0);
        break;
    case 15:
        if (any(c, 2)) {
            bson_append_oid(b, key, -1, &oid);
        } else {
            bson_append_double(b, key, -1, any(c, 2) ? 0.1 : 5.0);
        }
        break;
    default:
        bson_decimal128_from_string(decimals[any(c, 5)], &d);
        bson_append_decimal128(b, key, -1, &d);
    }
}

static void put_shape(struct chance *c, bson_t *b, const char *key, const struct shape *s, uint32_t wild);

static void put_shapes(struct chance *c, bson_t *inner, const struct shape *s, uint32_t wild)
{
    for (unsigned i = 0; i < s->n; i++) {
        const struct shape *f = &s->fields[(i + (wild ? any(c, 1) : 0)) % s->n];
        bool may = f->what == IGNORED || f->what == ONE || f->present || (f->what == VALUE && f->missing) ||
                   (f->what == DOCUMENT) || f->empty;
        if (!(may && any(c, 3) == 0)) {
            put_shape(c, inner, f->name, f, wild);
        }
    }
    if (wild && any(c, wild) == 0) {
        put_any(c, inner, "unknown", 0);
    }
}

static void put_shape(struct chance *c, bson_t *b, const char *key, const struct shape *s, uint32_t wild)
{
    bson_t inner;
    char at[24];
    if (s->what == IGNORED || (wild && any(c, wild) == 0)) {
        put_any(c, b, key, 0);
        return;
    }
    if (((s->what == VALUE && s->null) || s->null_empty || (s->what != VALUE && s->present && s->present_null)) &&
        any(c, 5) == 0) {
        bson_append_null(b, key, -1);
        return;
    }
    if (s->what == VALUE) {
        if ((s->wrong || s->range) && any(c, 4) == 0) {
            put_any(c, b, key, 0);
        } else {
            put_typed(c, b, key, s->type);
        }
        return;
    }
    if (s->what == ARRAY) {
        bson_append_array_begin(b, key, -1, &inner);
    } else {
        bson_append_document_begin(b, key, -1, &inner);
    }
    if (s->what == DOCUMENT || s->what == ONE) {
        put_shapes(c, &inner, s, wild);
    } else {
        for (uint32_t i = 0, n = any(c, 15) == 0 ? 14 : any(c, 4); i < n; i++) {
            snprintf(at, sizeof at, s->what == ARRAY ? "%u" : "$k.%u", s->what == ARRAY ? i : 13 * i % 14);
            at[0] = s->what == MAP && i == 1 ? '\0' : at[0];
            put_shape(c, &inner, at, s->fields, wild);
        }
    }
    if (s->what == ARRAY) {
        bson_append_array_end(b, &inner);
    } else {
        bson_append_document_end(b, &inner);
    }
}

static struct mf_value make_document(struct chance *c, struct doc *d, const struct shape *s, uint32_t wild)
{
    bson_t b;
    bson_init(&b);
    bool late = any(c, 4) == 0;
    if (!late) {
        bson_append_int32(&b, "_id", -1, 1);
    }
    put_shapes(c, &b, s, wild);
    if (late) {
        bson_append_double(&b, "_id", -1, 1.0);
    }
    struct mf_value v = {MF_BINARY, b.len, mf_memdup_a(&d->arena, bson_get_data(&b), b.len)};
    bson_destroy(&b);
    return v;
}

/* ---- what must hold ---- */

static void one_map(uint64_t seed, unsigned *accepted, unsigned *refused)
{
    struct chance c = {.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .yaml = {.max = 1 << 20}};
    struct doc d;
    struct shape root = {.what = DOCUMENT};
    MF_CLEANUP_ARENA struct mf_arena shapes = {0};
    struct path p = {.n = 0};
    bool some = false;
    struct mf_value last = {.kind = MF_NULL};
    mf_arena_init(&shapes, 1 << 24);
    make_fields(&c, &root, &shapes, 0);
    mf_buf_puts(&c.yaml, "map:\n  - collection: d.c\n    columns:\n      - {path: _id, column: id, type: int}\n");
    put_columns(&c, &root, &p, 6);
    if (has_tables(&root)) {
        mf_buf_puts(&c.yaml, "    tables:\n");
        put_tables(&c, &root, &p, 6);
    }
    put_ignored(&c, &root, &p, &some);
    mf_buf_puts(&c.yaml, any(&c, 3) == 0 ? "    rest: extra\n" : "");
    if (doc_try(&d, mf_buf_str(&c.yaml)) < 0) {
        fail_msg("seed %llu: %s\n%s", (unsigned long long)seed, d.err.text, mf_buf_str(&c.yaml));
    }
    for (unsigned i = 0; i < 40; i++) {
        struct mf_value v = make_document(&c, &d, &root, i % 4 == 3 ? 6 : i % 4 == 2 ? 30 : 0);
        struct mf_shred_rows rows;
        bool good = mf_shred_document(d.c, &d.arena, &v, &rows, &d.err) == 0;
        *accepted += good;
        *refused += !good;
        if (good) {
            doc_good(&d, &v, NULL);
            if (last.kind != MF_NULL) {
                doc_merge(&d, &last, &v);
                doc_merge(&d, &v, &last);
            }
            last = v;
        } else {
            assert_int_equal(d.err.cls, MF_ROW);
            assert_string_equal(d.err.code, "MFDOC");
            if (last.kind != MF_NULL) {
                doc_merge(&d, &v, &last);
            }
        }
    }
    doc_close(&d);
    mf_buf_free(&c.yaml);
}

static void documents_come_back(void **state)
{
    (void)state;
    const char *from = getenv("MF_SEED");
    uint64_t seed = from ? strtoull(from, NULL, 10) : 1, most = from ? 1 : 800;
    unsigned accepted = 0, refused = 0;
    for (uint64_t i = 0; i < most; i++) {
        if (getenv("MF_VERBOSE")) {
            print_message("seed %llu\n", (unsigned long long)(seed + i));
        }
        one_map(seed + i, &accepted, &refused);
    }
    print_message("%u accepted, %u refused\n", accepted, refused);
    assert_true(from || (accepted > 8 * most && refused > 8 * most));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
