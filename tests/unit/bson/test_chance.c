/*
 * Maps and documents by chance. A map is made with a seed, then documents that fit it (or nearly), and of each what must hold is asked: the document comes back from its rows
 * as its normal form, the normal form's rows are the same, and put into another document it is what that one means then.
 */
#include "doc.h"

#include <stdlib.h>

struct chance {
    uint64_t state;
    struct mf_buf yaml;
    unsigned columns, depth;
};

static uint32_t any(struct chance *c, uint32_t n)
{
    c->state ^= c->state << 13;
    c->state ^= c->state >> 7;
    c->state ^= c->state << 17;
    return (uint32_t)(c->state >> 20) % n;
}

/* ---- a shape that both the map and the documents are made of ---- */

enum what { VALUE, DOCUMENT, ARRAY, MAP, ONE, IGNORED };

struct shape {
    enum what what;
    char name[24]; /* "": itself */
    int type;
    char missing, null, wrong, range; /* as in the rules' first letters; 0: reject */
    bool present, empty, null_empty;
    char present_null;
    unsigned n;
    struct shape *fields; /* of ARRAY, MAP: the element's; n 1 and name "": the element itself */
};

static const char *const types[] = {"int32",     "int64",     "int",  "double",   "decimal",     "string(8)",
                                    "string",    "bool",      "date", "objectid", "uuid",        "uuid_legacy",
                                    "binary(6)", "timestamp", "json", "id(200)",  "decimal(6,2)"};
static const char *const fallbacks[] = {"7",
                                        "-8",
                                        "9",
                                        "0.5",
                                        "1.25",
                                        "x",
                                        "",
                                        "true",
                                        "2001-02-03 04:05:06.7",
                                        "0123456789abcdef01234567",
                                        "123e4567-e89b-12d3-a456-426614174000",
                                        "123e4567-e89b-12d3-a456-426614174000",
                                        "00ff",
                                        "12",
                                        "{\"a\":null}",
                                        "5",
                                        "1.5"};

static const char *const names[] = {"a", "b", "c.d", "$x", "", "é", "g", "h"};

static void make_rules(struct chance *c, struct shape *s, bool element)
{
    static const char missing[] = {0, 0, 'n', 'd'}, null[] = {0, 'n', 'd', 'm'}, other[] = {0, 0, 'n', 'd', 'c'};
    s->present = any(c, 4) == 0 && !element;
    s->missing = element ? 0 : missing[any(c, 4)];
    s->null = null[any(c, 4)];
    s->wrong = other[any(c, 5)];
    s->range = other[any(c, 4)];
    if (s->null == 'm' && (element || (!s->missing && !s->present))) {
        s->null = 0;
    }
    bool tells = s->null == 'n' || (s->missing == 'n' && !s->present);
    s->wrong = s->wrong == 'n' && !tells ? 0 : s->wrong;
    s->range = s->range == 'n' && !tells ? 0 : s->range;
}

static void make_shape(struct chance *c, struct shape *s, struct mf_arena *a, unsigned depth, bool element);

static void make_fields(struct chance *c, struct shape *s, struct mf_arena *a, unsigned depth)
{
    unsigned first = any(c, 8);
    s->n = 1 + any(c, 4);
    s->fields = mf_alloc_array(a, s->n, sizeof *s->fields);
    for (unsigned i = 0; i < s->n; i++) {
        snprintf(s->fields[i].name, sizeof s->fields[i].name, "%s", names[(first + i) % 8]);
        make_shape(c, &s->fields[i], a, depth + 1, false);
    }
    s->fields[0].what = s->fields[0].what == IGNORED ? VALUE : s->fields[0].what;
}

static void make_shape(struct chance *c, struct shape *s, struct mf_arena *a, unsigned depth, bool element)
{
    uint32_t k = any(c, depth > 3 ? 4 : 10);
    s->what = k < 5 ? VALUE : k == 5 ? DOCUMENT : k == 6 ? ARRAY : k == 7 ? MAP : k == 8 ? ONE : IGNORED;
    if (element && (s->what == ONE || s->what == IGNORED)) {
        s->what = VALUE;
    }
    s->type = (int)any(c, MF_ARRAY_LEN(types));
    make_rules(c, s, element);
    if (s->what == DOCUMENT || s->what == ONE) {
        make_fields(c, s, a, depth);
        s->present_null = (char)(any(c, 3) == 0 ? 'n' : any(c, 2) ? 'm' : 0);
        s->present_null = element && s->present_null == 'm' ? 0 : s->present_null;
    }
    if (s->what == ARRAY || s->what == MAP) {
        s->n = 1;
        s->fields = mf_alloc_array(a, 1, sizeof *s->fields);
        make_shape(c, s->fields, a, depth + 1, true);
        s->empty = any(c, 2) == 0 && !s->present;
        s->null_empty = any(c, 2) == 0 && !s->present;
        s->present_null = s->present ? "nm"[any(c, 2)] : 0;
    }
}

/* ---- the map ---- */

struct path {
    const char *names[40];
    unsigned n;
};

static void put_path(struct chance *c, const struct path *p)
{
    if (p->n == 0) {
        mf_buf_puts(&c->yaml, "path: \".\"");
        return;
    }
    mf_buf_puts(&c->yaml, "path: [");
    for (unsigned i = 0; i < p->n; i++) {
        mf_buf_printf(&c->yaml, "%s\"%s\"", i ? ", " : "", p->names[i]);
    }
    mf_buf_puts(&c->yaml, "]");
}

static void put_rule(struct chance *c, const char *key, char rule)
{
    if (rule) {
        mf_buf_printf(&c->yaml, ", %s: %s", key,
                      rule == 'n'   ? "null"
                      : rule == 'd' ? "default"
                      : rule == 'c' ? "coerce"
                                    : "missing");
    }
}

static void put_columns(struct chance *c, const struct shape *s, struct path *p, unsigned indent);

static void put_value_column(struct chance *c, const struct shape *s, const struct path *p, unsigned indent)
{
    mf_buf_printf(&c->yaml, "%*s- {", (int)indent, "");
    put_path(c, p);
    mf_buf_printf(&c->yaml, ", column: c%u, type: \"%s\"", c->columns++, types[s->type]);
    put_rule(c, "missing", s->missing);
    put_rule(c, "null", s->null);
    put_rule(c, "wrong", s->wrong);
    put_rule(c, "range", s->range);
    if (s->missing == 'd' || s->null == 'd' || s->wrong == 'd' || s->range == 'd') {
        mf_buf_printf(&c->yaml, ", default: '%s'", fallbacks[s->type]);
    }
    if (s->present) {
        mf_buf_printf(&c->yaml, ", present: c%u", c->columns++);
    }
    if (s->type == 9 && c->columns % 3 == 0) {
        mf_buf_printf(&c->yaml, ", time: c%u", c->columns++);
    }
    mf_buf_puts(&c->yaml, "}\n");
}

static void put_columns(struct chance *c, const struct shape *s, struct path *p, unsigned indent)
{
    if (s->what == VALUE) {
        put_value_column(c, s, p, indent);
        return;
    }
    if (s->what != IGNORED && s->present) {
        mf_buf_printf(&c->yaml, "%*s- {", (int)indent, "");
        put_path(c, p);
        mf_buf_printf(&c->yaml, ", present: c%u", c->columns++);
        put_rule(c, "null", s->present_null);
        mf_buf_puts(&c->yaml, "}\n");
    }
    for (unsigned i = 0; s->what == DOCUMENT && i < s->n; i++) {
        p->names[p->n++] = s->fields[i].name;
        put_columns(c, &s->fields[i], p, indent);
        p->n--;
    }
}

static bool has_columns(const struct shape *s)
{
    bool any_column = s->what == VALUE || (s->what != IGNORED && s->present);
    for (unsigned i = 0; s->what == DOCUMENT && i < s->n; i++) {
        any_column = any_column || has_columns(&s->fields[i]);
    }
    return any_column;
}

static bool has_tables(const struct shape *s)
{
    bool some = s->what == ARRAY || s->what == MAP || s->what == ONE;
    for (unsigned i = 0; s->what == DOCUMENT && i < s->n; i++) {
        some = some || has_tables(&s->fields[i]);
    }
    return some;
}

static void put_inside(struct chance *c, const struct shape *s, unsigned indent);

static void put_tables(struct chance *c, const struct shape *s, struct path *p, unsigned indent)
{
    if (s->what == DOCUMENT) {
        for (unsigned i = 0; i < s->n; i++) {
            p->names[p->n++] = s->fields[i].name;
            put_tables(c, &s->fields[i], p, indent);
            p->n--;
        }
        return;
    }
    if (s->what != ARRAY && s->what != MAP && s->what != ONE) {
        return;
    }
    mf_buf_printf(&c->yaml, "%*s- ", (int)indent, "");
    put_path(c, p);
    mf_buf_printf(&c->yaml, "\n%*sto: t%u\n%*skind: %s\n", (int)indent + 2, "", c->columns++, (int)indent + 2, "",
                  s->what == ARRAY ? "array"
                  : s->what == MAP ? "map"
                                   : "one");
    if (s->what != ONE && s->empty) {
        mf_buf_printf(&c->yaml, "%*smissing: empty\n", (int)indent + 2, "");
    }
    if (s->what != ONE && s->null_empty) {
        mf_buf_printf(&c->yaml, "%*snull: empty\n", (int)indent + 2, "");
    }
    struct shape inner = *s->fields;
    if (s->what == ONE) {
        inner = *s;
        inner.what = DOCUMENT;
        inner.present = false;
    }
    put_inside(c, &inner, indent + 2);
}

static void put_inside(struct chance *c, const struct shape *s, unsigned indent)
{
    struct path p = {.n = 0};
    if (has_columns(s)) {
        mf_buf_printf(&c->yaml, "%*scolumns:\n", (int)indent, "");
        put_columns(c, s, &p, indent + 2);
    }
    if (has_tables(s)) {
        mf_buf_printf(&c->yaml, "%*stables:\n", (int)indent, "");
        put_tables(c, s, &p, indent + 2);
    }
}

static void put_ignored(struct chance *c, const struct shape *s, struct path *p, bool *some)
{
    for (unsigned i = 0; (s->what == DOCUMENT || s->what == ONE) && i < s->n; i++) {
        p->names[p->n++] = s->fields[i].name;
        if (s->fields[i].what == IGNORED) {
            mf_buf_puts(&c->yaml, *some ? "" : "    ignore:\n");
            *some = true;
            mf_buf_puts(&c->yaml, "      - [");
            for (unsigned k = 0; k < p->n; k++) {
                mf_buf_printf(&c->yaml, "%s\"%s\"", k ? ", " : "", p->names[k]);
            }
            mf_buf_puts(&c->yaml, "]\n");
        } else {
            put_ignored(c, &s->fields[i], p, some);
        }
        p->n--;
    }
    if (s->what == ARRAY) {
        put_ignored(c, s->fields, p, some);
    }
}

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
        bson_append_utf8(b, key, -1, any(c, 2) ? "5" : "long\0text", any(c, 2) ? 1 : 4);
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
        bson_append_utf8(b, key, -1, any(c, 2) ? "äöü\0x" : "", any(c, 2) ? 8 : 0);
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
            snprintf(at, sizeof at, s->what == ARRAY ? "%u" : i == 1 ? "" : "$k.%u", 13 * i % 14);
            if (s->what == ARRAY) {
                snprintf(at, sizeof at, "%u", i);
            }
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
    uint64_t seed = from ? strtoull(from, NULL, 10) : 1, most = from ? 1 : 1500;
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
