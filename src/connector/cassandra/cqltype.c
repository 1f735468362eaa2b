#include "connector/cassandra/cqltype_internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <string.h>
#include <strings.h>

static const struct {
    enum cql_kind kind;
    const char *name, *class_name;
} simple[] = {
    {CQL_K_ASCII, "ascii", "AsciiType"},
    {CQL_K_BIGINT, "bigint", "LongType"},
    {CQL_K_BLOB, "blob", "BytesType"},
    {CQL_K_BOOLEAN, "boolean", "BooleanType"},
    {CQL_K_COUNTER, "counter", "CounterColumnType"},
    {CQL_K_DECIMAL, "decimal", "DecimalType"},
    {CQL_K_DOUBLE, "double", "DoubleType"},
    {CQL_K_FLOAT, "float", "FloatType"},
    {CQL_K_INT, "int", "Int32Type"},
    {CQL_K_TIMESTAMP, "timestamp", "TimestampType"},
    {CQL_K_UUID, "uuid", "UUIDType"},
    {CQL_K_TEXT, "text", "UTF8Type"},
    {CQL_K_VARINT, "varint", "IntegerType"},
    {CQL_K_TIMEUUID, "timeuuid", "TimeUUIDType"},
    {CQL_K_INET, "inet", "InetAddressType"},
    {CQL_K_DATE, "date", "SimpleDateType"},
    {CQL_K_TIME, "time", "TimeType"},
    {CQL_K_SMALLINT, "smallint", "ShortType"},
    {CQL_K_TINYINT, "tinyint", "ByteType"},
    {CQL_K_DURATION, "duration", "DurationType"},
    {CQL_K_TEXT, "varchar", NULL},       /* another word for it */
    {CQL_K_TIMESTAMP, NULL, "DateType"}, /* what it was in old tables */
};

static bool is(const char *name, const char *s, size_t n, bool any_case)
{
    return name && strlen(name) == n && (any_case ? strncasecmp(name, s, n) : strncmp(name, s, n)) == 0;
}

bool cql_kind_of_name(const char *name, size_t n, enum cql_kind *ret)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(simple); i++) {
        if (is(simple[i].name, name, n, true)) {
            *ret = simple[i].kind;
            return true;
        }
    }
    return false;
}

bool cql_kind_of_class(const char *name, size_t n, enum cql_kind *ret)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(simple); i++) {
        if (is(simple[i].class_name, name, n, false)) {
            *ret = simple[i].kind;
            return true;
        }
    }
    return false;
}

struct cql_type *cql_type_enter(struct cql_making *m, enum cql_kind kind, uint32_t nsub)
{
    if (m->depth >= CQL_TYPE_DEPTH || m->parts >= CQL_TYPE_PARTS || nsub > CQL_TYPE_PARTS - m->parts) {
        return NULL;
    }
    struct cql_type *t = mf_alloc0(m->arena, sizeof(*t));
    const struct cql_type **sub = t && nsub ? mf_alloc_array(m->arena, nsub, sizeof(*sub)) : NULL;
    if (!t || (nsub && !sub)) {
        m->full = true;
        return NULL;
    }
    m->depth++;
    m->parts++;
    *t = (struct cql_type){.kind = kind, .nsub = nsub, .sub = sub, .keyspace = "", .name = ""};
    return t;
}

void cql_type_leave(struct cql_making *m)
{
    m->depth--;
}

/* ---- from metadata -- */

static const char *read_string(struct mf_cursor *r, struct cql_making *m, size_t *ret_n)
{
    size_t n = mf_read_u16be(r);
    const char *p = mf_read_bytes(r, n);
    if (!p || !mf_utf8_valid(p, n) || memchr(p, 0, n)) {
        r->failed = true;
        return NULL;
    }
    char *s = mf_memdup_a(m->arena, p, n);
    m->full |= !s;
    if (ret_n) {
        *ret_n = n;
    }
    return s;
}

static const struct cql_type *read_type(struct mf_cursor *r, struct cql_making *m);

static bool read_subs(struct mf_cursor *r, struct cql_making *m, struct cql_type *t, const char **fields)
{
    for (uint32_t i = 0; i < t->nsub; i++) {
        if (fields && !(fields[i] = read_string(r, m, NULL))) {
            return false;
        }
        if (!(cql_type_subs(t)[i] = read_type(r, m))) {
            return false;
        }
    }
    return true;
}

static const struct cql_type *read_parts(struct mf_cursor *r, struct cql_making *m, enum cql_kind kind)
{
    const char *keyspace = "", *name = "", **fields = NULL;
    if (kind == CQL_K_UDT) {
        keyspace = read_string(r, m, NULL);
        name = keyspace ? read_string(r, m, NULL) : NULL;
        if (!name) {
            return NULL;
        }
    }
    uint32_t n = kind == CQL_K_MAP ? 2 : kind == CQL_K_LIST || kind == CQL_K_SET ? 1 : mf_read_u16be(r);
    struct cql_type *t = r->failed ? NULL : cql_type_enter(m, kind, n);
    if (!t) {
        return NULL;
    }
    if (kind == CQL_K_UDT) {
        fields = mf_alloc_array(m->arena, n ? n : 1, sizeof(*fields));
        m->full |= !fields;
        t->keyspace = keyspace;
        t->name = name;
        t->fields = fields;
    }
    bool ok = (kind != CQL_K_UDT || fields) && read_subs(r, m, t, fields);
    cql_type_leave(m);
    return ok ? t : NULL;
}

static const struct cql_type *read_type(struct mf_cursor *r, struct cql_making *m)
{
    enum cql_kind kind = (enum cql_kind)mf_read_u16be(r);
    if (r->failed) {
        return NULL;
    }
    if (kind == CQL_K_CUSTOM) {
        size_t n = 0;
        const char *name = read_string(r, m, &n);
        return name ? cql_type_in_class(m, name, n) : NULL;
    }
    if (kind == CQL_K_LIST || kind == CQL_K_SET || kind == CQL_K_MAP || kind == CQL_K_TUPLE || kind == CQL_K_UDT) {
        return read_parts(r, m, kind);
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(simple); i++) {
        if (simple[i].kind == kind) {
            struct cql_type *t = cql_type_enter(m, kind, 0);
            if (t) {
                cql_type_leave(m);
            }
            return t;
        }
    }
    return NULL;
}

static int not_made(const struct cql_making *m, enum mf_errclass cls, const char *code, const char *what,
                    struct mf_error *err)
{
    if (m->full) {
        return mf_fail(err, MF_FATAL, "MFBIG", "%s is too large for the memory that it may take", what);
    }
    return mf_fail(err, cls, code, "%s is none that is known, or has more than %d types in it or %d in each other",
                   what, CQL_TYPE_PARTS, CQL_TYPE_DEPTH);
}

int cql_type_read(struct mf_cursor *r, struct mf_arena *arena, const struct cql_type **ret, struct mf_error *err)
{
    struct cql_making m = {.arena = arena};
    const struct cql_type *t = read_type(r, &m);
    if (!t || m.full) {
        r->failed = true;
        return not_made(&m, MF_RETRY, "MFPROTO", "a column's type", err);
    }
    *ret = t;
    return 0;
}

int cql_type_of_class(const char *name, struct mf_arena *arena, const struct cql_type **ret, struct mf_error *err)
{
    struct cql_making m = {.arena = arena};
    const struct cql_type *t = cql_type_in_class(&m, name, strlen(name));
    if (!t || m.full) {
        return not_made(&m, MF_FATAL, "MFTYPE", "the type of a class", err);
    }
    *ret = t;
    return 0;
}

/* ---- as text -- */

void cql_name_put(struct mf_buf *b, const char *name)
{
    bool plain = name[0] >= 'a' && name[0] <= 'z';
    for (const char *s = name; *s && plain; s++) {
        plain = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_';
    }
    if (plain) {
        mf_buf_puts(b, name);
        return;
    }
    mf_buf_putc(b, '"');
    for (const char *s = name; *s; s++) {
        if (*s == '"') {
            mf_buf_putc(b, '"');
        }
        mf_buf_putc(b, *s);
    }
    mf_buf_putc(b, '"');
}

static const char *kind_name(enum cql_kind kind)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(simple); i++) {
        if (simple[i].kind == kind) {
            return simple[i].name;
        }
    }
    switch (kind) {
    case CQL_K_LIST:
        return "list";
    case CQL_K_SET:
        return "set";
    case CQL_K_MAP:
        return "map";
    case CQL_K_TUPLE:
        return "tuple";
    case CQL_K_VECTOR:
        return "vector";
    default:
        return NULL;
    }
}

void cql_type_put(struct mf_buf *b, const struct cql_type *t)
{
    if (t->frozen) {
        mf_buf_puts(b, "frozen<");
    }
    if (t->kind == CQL_K_UDT) {
        cql_name_put(b, t->name);
    } else if (t->kind == CQL_K_CUSTOM) {
        mf_buf_printf(b, "'%s'", t->name);
    } else {
        mf_buf_puts(b, kind_name(t->kind));
        for (uint32_t i = 0; i < t->nsub; i++) {
            mf_buf_puts(b, i ? ", " : "<");
            cql_type_put(b, t->sub[i]);
        }
        if (t->kind == CQL_K_VECTOR) {
            mf_buf_printf(b, ", %u", t->dimension);
        }
        if (t->nsub) {
            mf_buf_putc(b, '>');
        }
    }
    if (t->frozen) {
        mf_buf_putc(b, '>');
    }
}

bool cql_type_equal(const struct cql_type *a, const struct cql_type *b)
{
    if (a->kind != b->kind || a->nsub != b->nsub || a->dimension != b->dimension) {
        return false;
    }
    if ((a->kind == CQL_K_CUSTOM || a->kind == CQL_K_UDT) && !mf_streq(a->name, b->name)) {
        return false;
    }
    for (uint32_t i = 0; i < a->nsub; i++) {
        if ((a->fields && !mf_streq(a->fields[i], b->fields[i])) || !cql_type_equal(a->sub[i], b->sub[i])) {
            return false;
        }
    }
    return true;
}
