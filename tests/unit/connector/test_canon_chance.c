/* Values by chance, canonical ones: given to an engine in its own form they are the same when they come back. */
#include "mf_test.h"

#include "canon_types.h"

#include "base/number.h"
#include "model/canon.h"

#include <math.h>
#include <stdio.h>

static const struct {
    const struct mf_canon_ops *e;
    const char *type;
} types[] = {
    {&pg_canon_ops, "bool"},
    {&pg_canon_ops, "int2"},
    {&pg_canon_ops, "int4"},
    {&pg_canon_ops, "int8"},
    {&pg_canon_ops, "oid"},
    {&pg_canon_ops, "numeric"},
    {&pg_canon_ops, "numeric 10 2"},
    {&pg_canon_ops, "numeric 6 0"},
    {&pg_canon_ops, "float4"},
    {&pg_canon_ops, "float8"},
    {&pg_canon_ops, "bit 5"},
    {&pg_canon_ops, "varbit"},
    {&pg_canon_ops, "date"},
    {&pg_canon_ops, "time 6"},
    {&pg_canon_ops, "time 0"},
    {&pg_canon_ops, "timestamp 3"},
    {&pg_canon_ops, "timestamp"},
    {&pg_canon_ops, "timestamptz"},
    {&pg_canon_ops, "char 5"},
    {&pg_canon_ops, "varchar 5"},
    {&pg_canon_ops, "text"},
    {&pg_canon_ops, "bytea"},
    {&pg_canon_ops, "enum"},
    {&pg_canon_ops, "json"},
    {&pg_canon_ops, "jsonb"},
    {&pg_canon_ops, "uuid"},
    {&pg_canon_ops, "interval"},
    {&my_canon_ops, "tinyint(4)"},
    {&my_canon_ops, "tinyint(3) unsigned"},
    {&my_canon_ops, "smallint(6)"},
    {&my_canon_ops, "mediumint(9)"},
    {&my_canon_ops, "mediumint(8) unsigned"},
    {&my_canon_ops, "int(11)"},
    {&my_canon_ops, "int(10) unsigned"},
    {&my_canon_ops, "bigint(20)"},
    {&my_canon_ops, "bigint(20) unsigned"},
    {&my_canon_ops, "year(4)"},
    {&my_canon_ops, "decimal(8,3)"},
    {&my_canon_ops, "decimal(5,0)"},
    {&my_canon_ops, "float"},
    {&my_canon_ops, "double"},
    {&my_canon_ops, "bit(1)"},
    {&my_canon_ops, "bit(8)"},
    {&my_canon_ops, "bit(64)"},
    {&my_canon_ops, "date"},
    {&my_canon_ops, "time"},
    {&my_canon_ops, "time(6)"},
    {&my_canon_ops, "datetime(3)"},
    {&my_canon_ops, "timestamp"},
    {&my_canon_ops, "timestamp(6)"},
    {&my_canon_ops, "char(5) charset utf8mb4"},
    {&my_canon_ops, "varchar(5) charset latin1"},
    {&my_canon_ops, "longtext charset utf8mb4"},
    {&my_canon_ops, "binary(3)"},
    {&my_canon_ops, "varbinary(7)"},
    {&my_canon_ops, "longblob"},
    {&my_canon_ops, "enum('a','B') charset utf8mb4"},
    {&my_canon_ops, "set('a','B','c') charset utf8mb4"},
    {&my_canon_ops, "json"},
    {&my_canon_ops, "mariadb json"},
    {&my_canon_ops, "uuid"},
    {&cass_test_ops, "ascii"},
    {&cass_test_ops, "bigint"},
    {&cass_test_ops, "blob"},
    {&cass_test_ops, "blob alone"},
    {&cass_test_ops, "boolean"},
    {&cass_test_ops, "date"},
    {&cass_test_ops, "decimal"},
    {&cass_test_ops, "double"},
    {&cass_test_ops, "float"},
    {&cass_test_ops, "inet"},
    {&cass_test_ops, "int"},
    {&cass_test_ops, "smallint"},
    {&cass_test_ops, "text"},
    {&cass_test_ops, "text alone"},
    {&cass_test_ops, "time"},
    {&cass_test_ops, "timestamp"},
    {&cass_test_ops, "tinyint"},
    {&cass_test_ops, "uuid"},
    {&cass_test_ops, "map<text,int>"},
};

static uint64_t seed = 20261128;

static uint64_t chance(uint64_t below)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % below;
}

static void put_json(struct mf_buf *b, int depth)
{
    switch (chance(depth > 4 ? 4 : 6)) {
    case 0:
        mf_buf_printf(b, "%lld", (long long)(int64_t)(chance(UINT64_MAX) >> chance(64)));
        break;
    case 1:
        mf_buf_printf(b, "%.*g", (int)chance(17) + 1, ldexp((double)chance(UINT64_MAX), (int)chance(200) - 100));
        break;
    case 2:
        mf_buf_printf(b, "\"%c\\u%04x\\n\"", (char)('a' + (int)chance(26)), (unsigned)chance(0xd000) + 1);
        break;
    case 3:
        mf_buf_puts(b, chance(2) ? "true" : "null");
        break;
    default: {
        bool object = chance(2);
        mf_buf_putc(b, object ? '{' : '[');
        for (uint64_t i = 0, n = chance(5); i < n; i++) {
            mf_buf_puts(b, i ? ", " : "");
            if (object) {
                mf_buf_printf(b, "\"%x%c\": ", (unsigned)chance(1000), (char)('a' + (int)i));
            }
            put_json(b, depth + 1);
        }
        mf_buf_putc(b, object ? '}' : ']');
    }
    }
}

/* A canonical value of the type. */
static void put_any(struct mf_buf *b, const struct mf_type *t)
{
    char text[MF_NUMBER_TEXT];
    unsigned bits = t->is_unsigned ? t->bits : t->bits - 1u;
    uint64_t n = chance(UINT64_MAX);
    static const unsigned powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    switch (t->kind) {
    case MF_KIND_BOOL:
        mf_buf_printf(b, "%u", (unsigned)chance(2));
        break;
    case MF_KIND_INT:
        n = bits >= 64 ? n : n & (((uint64_t)1 << bits) - 1);
        n = t->form ? 1901 + n % 200 : n >> chance(bits);
        mf_buf_printf(b, "%s%llu", !t->is_unsigned && !t->form && n && chance(2) ? "-" : "", (unsigned long long)n);
        break;
    case MF_KIND_FLOAT: {
        double d;
        float f;
        memcpy(&d, &n, sizeof d);
        memcpy(&f, &n, sizeof f);
        f = isfinite(f) ? f : 1.5f;
        d = isfinite(d) ? d : 1.5;
        mf_buf_append(b, text, t->bits == 32 ? mf_put_float(text, f) : mf_put_double(text, d));
        break;
    }
    case MF_KIND_BITS:
        for (uint32_t i = 0; i < (t->length ? t->length : 9); i++) {
            mf_buf_putc(b, (char)('0' + (int)chance(2)));
        }
        break;
    case MF_KIND_DATE:
    case MF_KIND_DATETIME:
    case MF_KIND_INSTANT:
        mf_buf_printf(b, "%04u-%02u-%02u", 1000 + (unsigned)chance(9000), 1 + (unsigned)chance(12),
                      1 + (unsigned)chance(28));
        if (t->kind == MF_KIND_DATE) {
            break;
        }
        mf_buf_putc(b, ' ');
        __attribute__((fallthrough));
    case MF_KIND_TIME:
        mf_buf_printf(b, "%02u:%02u:%02u.%0*u", (unsigned)chance(24), (unsigned)chance(60), (unsigned)chance(60),
                      t->scale ? t->scale : 1, t->scale ? (unsigned)chance(powers[t->scale]) : 0);
        b->len = mf_moment_cut(b->data, b->len);
        break;
    case MF_KIND_DECIMAL:
        mf_buf_printf(b, "%s%llu.%0*u", chance(2) ? "-" : "",
                      (unsigned long long)(n % (t->precision ? powers[(t->precision - t->scale) % 7] : 100000000)),
                      t->scale ? 2 : 1, t->scale || !t->precision ? (unsigned)chance(10) : 0);
        break;
    case MF_KIND_JSON:
        put_json(b, 0);
        break;
    case MF_KIND_UUID:
        mf_buf_printf(b, "%08x-%04x-%04x-%04x-%012llx", (unsigned)n, (unsigned)chance(65536), (unsigned)chance(65536),
                      (unsigned)chance(65536), (unsigned long long)(n >> 16));
        break;
    case MF_KIND_ENUM:
        mf_buf_puts(b, t->labels[chance(t->nlabels)]);
        break;
    case MF_KIND_SET:
        for (uint16_t i = 0; i < t->nlabels; i++) {
            if (chance(2)) {
                mf_buf_printf(b, "%s%s", b->len ? "," : "", t->labels[i]);
            }
        }
        break;
    case MF_KIND_BYTES:
    case MF_KIND_TEXT:
    case MF_KIND_OPAQUE:
        for (uint32_t i = t->kind == MF_KIND_BYTES && t->fixed ? 0 : (uint32_t)chance(4);
             i < (t->length ? t->length : 9); i++) {
            mf_buf_putc(b, (char)(t->kind == MF_KIND_BYTES ? (int)chance(256) : 'a' + (int)chance(26)));
        }
    }
}

static void any_value_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(types); i++) {
        const struct mf_canon_ops *o = types[i].e;
        struct mf_arena labels;
        struct mf_type t = {0};
        mf_arena_init(&labels, 10000);
        assert_true(o == &pg_canon_ops   ? pg_test_type(types[i].type, &t)
                    : o == &my_canon_ops ? my_test_type(types[i].type, &labels, &t)
                                         : cass_test_type(types[i].type, &t));
        int done = 0;
        for (int k = 0; k < 300; k++) {
            MF_CLEANUP_ARENA struct mf_arena a = {.max_bytes = 1 << 20};
            MF_CLEANUP_BUF struct mf_buf b = {.max = 100000};
            struct mf_error err = {0};
            put_any(&b, &t);
            struct mf_value x = {
                .kind = t.kind == MF_KIND_BYTES ? MF_BINARY : MF_TEXT, .len = (uint32_t)b.len, .data = mf_buf_str(&b)};
            struct mf_value own, again;
            if ((t.kind == MF_KIND_DECIMAL && !mf_canon_decimal(&a, &x, &x)) ||
                (t.kind == MF_KIND_JSON && mf_canon_json(&t, &a, &x, NULL, &x, &err) < 0)) {
                fail_msg("%s %s", mf_buf_str(&b), err.text);
            }
            if (o->from_canon(&t, &a, &x, &own, &err) < 0) {
                assert_int_equal(err.cls, MF_ROW); /* a document with a number that MySQL has not, say */
                continue;
            }
            done++;
            assert_true(o != &cass_test_ops || cass_test_has_bytes(types[i].type, &own));
            assert_mf_ok(o->to_canon(&t, &a, &own, &again, &err), &err);
            if (!mf_value_equal(&x, &again)) {
                fail_msg("%s: %.*s became %.*s", types[i].type, (int)x.len, x.data, (int)again.len, again.data);
            }
        }
        if (done < 200) {
            fail_msg("%s: only %d values", types[i].type, done);
        }
        mf_arena_free(&labels);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_value_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
