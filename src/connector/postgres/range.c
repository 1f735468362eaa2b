/*
 * Conditions on keys: a chunk's range, and rows with given keys.
 *
 * Bounds must be compared by what the key's index is ordered by. For the server's own types that is what `>=` means in
 * our sessions, whose search_path is pg_catalog. A type of an extension has operators in another schema: there `citext >= '…'`
 * would be read as a comparison of texts, in another order than the index's, and `ltree >= '…'` as nothing at all. So the
 * operators of the type's default B-tree class, which is also what ORDER BY goes by, are written out with their schema; and
 * because a row comparison cannot name them, that of several columns is written out as well.
 */
#include "connector/postgres/reader.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_AT_ONCE 500

enum { OP_LESS = 1, OP_LESS_EQUAL, OP_EQUAL, OP_GREATER_EQUAL, OP_GREATER, OP_LAST = OP_GREATER }; /* pg_amop's */
enum { COL_NAME, COL_ODD, COL_TYPE = OP_LAST + 2 }; /* of operators_sql */

static const char operators_sql[] =
    "WITH RECURSIVE base AS ("
    " SELECT a.attname, a.atttypid AS typ, 0 AS depth FROM pg_catalog.pg_attribute a"
    " JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped"
    " UNION ALL"
    " SELECT b.attname, t.typbasetype, b.depth + 1 FROM base b"
    " JOIN pg_catalog.pg_type t ON t.oid = b.typ WHERE t.typtype = 'd'"
    "), op AS ("
    " SELECT k.opcintype AS typ, p.amopstrategy AS strategy, n.nspname <> 'pg_catalog' AS odd,"
    "  pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname) AS sql"
    " FROM pg_catalog.pg_opclass k JOIN pg_catalog.pg_am m ON m.oid = k.opcmethod AND m.amname = 'btree'"
    " JOIN pg_catalog.pg_amop p ON p.amopfamily = k.opcfamily AND p.amoplefttype = k.opcintype"
    "  AND p.amoprighttype = k.opcintype"
    " JOIN pg_catalog.pg_operator o ON o.oid = p.amopopr JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace"
    " WHERE k.opcdefault AND k.opcintype IN (SELECT typ FROM base)"
    ") "
    "SELECT DISTINCT ON (b.attname) b.attname, coalesce((SELECT bool_or(odd) FROM op WHERE op.typ = b.typ), false),"
    " (SELECT sql FROM op WHERE op.typ = b.typ AND strategy = 1), (SELECT sql FROM op WHERE op.typ = b.typ AND "
    "strategy = 2),"
    " (SELECT sql FROM op WHERE op.typ = b.typ AND strategy = 3), (SELECT sql FROM op WHERE op.typ = b.typ AND "
    "strategy = 4),"
    " (SELECT sql FROM op WHERE op.typ = b.typ AND strategy = 5), pg_catalog.format_type(b.typ, -1)"
    " FROM base b ORDER BY b.attname, b.depth DESC";

void pg_key_forget(struct pg_key *k)
{
    PQclear(k->rows);
    *k = (struct pg_key){0};
}

static int row_of(const PGresult *r, const char *name)
{
    for (int i = 0; i < PQntuples(r); i++) {
        if (strcmp(PQgetvalue(r, i, COL_NAME), name) == 0) {
            return i;
        }
    }
    return -1;
}

static bool may_be_odd(const struct mf_table *t)
{
    for (uint16_t i = 0; i < t->nkey; i++) {
        if (t->columns[t->key[i]].type_id >= PG_FIRST_USER_OID) {
            return true;
        }
    }
    return false;
}

static int look_up(struct pg_reader *r, const struct mf_table *t, struct mf_error *err)
{
    struct pg_key *k = &r->key;
    const char *names[] = {t->schema, t->name};
    pg_key_forget(k);
    if (pg_query_params(r->conn, &k->rows, err, operators_sql, 2, names) < 0) {
        pg_work_abort(r);
        mf_error_prefix(err, "reading the order of the key of %s.%s", t->schema, t->name);
        return -1;
    }
    for (uint16_t i = 0; i < t->nkey; i++) {
        int row = row_of(k->rows, t->columns[t->key[i]].name);
        k->odd = k->odd || (row >= 0 && pg_get_bool(k->rows, row, COL_ODD));
    }
    return 0;
}

/* Fills r->key for the table: looked up when it is another one than last time. */
static int know_key(struct pg_reader *r, const struct mf_table *t, struct mf_error *err)
{
    struct pg_key *k = &r->key;
    uint64_t shape = mf_table_shape(t);
    if (k->shape == shape && mf_streq(k->schema, t->schema) && mf_streq(k->table, t->name)) {
        return 0;
    }
    if (!may_be_odd(t)) {
        pg_key_forget(k);
    } else if (look_up(r, t, err) < 0) {
        return -1;
    }
    k->shape = shape;
    mf_strlcpy(k->schema, t->schema, sizeof k->schema);
    mf_strlcpy(k->table, t->name, sizeof k->table);
    return 0;
}

/* ---- one column of the key ---- */

static const char *operator_of(const struct pg_key *k, const struct mf_table *t, uint16_t i, int strategy)
{
    static const char *const plain[] = {NULL, "<", "<=", "=", ">=", ">"};
    int row = k->rows ? row_of(k->rows, t->columns[t->key[i]].name) : -1;
    return row < 0 || PQgetisnull(k->rows, row, COL_ODD + strategy) ? plain[strategy]
                                                                    : PQgetvalue(k->rows, row, COL_ODD + strategy);
}

static void put_type(struct mf_buf *b, const struct pg_key *k, const struct mf_table *t, uint16_t i, const char *after)
{
    int row = k->rows ? row_of(k->rows, t->columns[t->key[i]].name) : -1;
    if (row >= 0) {
        mf_buf_printf(b, "::%s%s", PQgetvalue(k->rows, row, COL_TYPE), after);
    }
}

struct piece {
    const char *p;
    size_t n;
};

static void put_compared(struct mf_buf *b, const struct pg_key *k, const struct mf_table *t, uint16_t i, int strategy,
                         struct piece v)
{
    pg_put_ident(b, t->columns[t->key[i]].name);
    mf_buf_printf(b, " %s ", operator_of(k, t, i, strategy));
    pg_put_literal_n(b, v.p, v.n);
    put_type(b, k, t, i, "");
}

/* ---- ranges ---- */

/* A bound of a key is its values one after the other, "LENGTH:BYTES". */
static int next_piece(const struct mf_table *t, const char **bound, struct piece *ret, struct mf_error *err)
{
    char *end;
    unsigned long n = strtoul(*bound, &end, 10);
    if (end == *bound || *end != ':' || n > strlen(end + 1)) {
        return mf_fail(err, MF_FATAL, "MFCHUNK", "a chunk of table %s.%s has a bound that cannot be read", t->schema,
                       t->name);
    }
    *ret = (struct piece){end + 1, n};
    *bound = end + 1 + n;
    return 0;
}

/* ROW(a, b) >= ROW(x, y) as a >= x AND (a > x OR (b >= y)): the first condition is one that an index answers. */
static int put_odd_bound(struct mf_buf *b, const struct pg_key *k, const struct mf_table *t, const char *bound,
                         bool lower, struct mf_error *err)
{
    uint16_t i;
    for (i = 0; i < t->nkey; i++) {
        struct piece v;
        bool last = i + 1 == t->nkey;
        if (next_piece(t, &bound, &v, err) < 0) {
            return -1;
        }
        mf_buf_putc(b, '(');
        put_compared(b, k, t, i, lower ? OP_GREATER_EQUAL : last ? OP_LESS : OP_LESS_EQUAL, v);
        if (!last) {
            mf_buf_puts(b, " AND (");
            put_compared(b, k, t, i, lower ? OP_GREATER : OP_LESS, v);
            mf_buf_puts(b, " OR ");
        }
    }
    for (i = 0; i < t->nkey; i++) {
        mf_buf_puts(b, i ? "))" : ")");
    }
    return 0;
}

static int put_key_bound(struct mf_buf *b, const struct mf_table *t, const char *bound, const char *op,
                         struct mf_error *err)
{
    mf_buf_puts(b, t->nkey > 1 ? "ROW(" : "");
    pg_put_key(b, t);
    mf_buf_printf(b, "%s %s %s", t->nkey > 1 ? ")" : "", op, t->nkey > 1 ? "ROW(" : "");
    for (uint16_t i = 0; i < t->nkey; i++) {
        struct piece v;
        if (next_piece(t, &bound, &v, err) < 0) {
            return -1;
        }
        mf_buf_puts(b, i ? ", " : "");
        pg_put_literal_n(b, v.p, v.n);
    }
    mf_buf_puts(b, t->nkey > 1 ? ")" : "");
    return 0;
}

static int put_bound(struct mf_buf *b, const struct pg_key *k, const struct mf_table *t, const struct mf_chunk *c,
                     bool lower, struct mf_error *err)
{
    const char *bound = lower ? c->lower : c->upper;
    uint64_t block;
    if (!c->by_heap) {
        return k->odd ? put_odd_bound(b, k, t, bound, lower, err) : put_key_bound(b, t, bound, lower ? ">=" : "<", err);
    }
    if (!mf_parse_u64(bound, &block) || block > UINT32_MAX) {
        return mf_fail(err, MF_FATAL, "MFCHUNK", "a chunk of table %s.%s has a bound that is no block", t->schema,
                       t->name);
    }
    mf_buf_printf(b, "ctid %s '(%llu,0)'::tid", lower ? ">=" : "<", (unsigned long long)block);
    return 0;
}

int pg_put_range(struct pg_reader *r, struct mf_buf *b, const struct mf_table *t, const struct mf_chunk *c,
                 struct mf_error *err)
{
    if (!c->has_lower && !c->has_upper) {
        return 0;
    }
    if (!c->by_heap && know_key(r, t, err) < 0) {
        return -1;
    }
    if (c->has_lower) {
        mf_buf_puts(b, " WHERE ");
        if (put_bound(b, &r->key, t, c, true, err) < 0) {
            return -1;
        }
    }
    if (c->has_upper) {
        mf_buf_puts(b, c->has_lower ? " AND " : " WHERE ");
        if (put_bound(b, &r->key, t, c, false, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- rows by key ---- */

static int key_value(const struct mf_table *t, const struct mf_row *key, uint16_t i, struct piece *ret,
                     struct mf_error *err)
{
    const struct mf_value *v = t->key[i] < key->n ? &key->values[t->key[i]] : NULL;
    if (!v || v->kind != MF_TEXT) {
        return mf_fail(err, MF_FATAL, "MFKEY", "a row of %s.%s cannot be read by a key without a value", t->schema,
                       t->name);
    }
    *ret = (struct piece){v->data, v->len};
    return 0;
}

/* "(a = '1' AND b = 'x')", or "('1', 'x')" where equality may be left to the server. */
static int put_key_row(struct mf_buf *b, const struct pg_key *k, const struct mf_table *t, const struct mf_row *key,
                       struct mf_error *err)
{
    bool spelt = k->odd && t->nkey > 1;
    mf_buf_puts(b, k->odd && !spelt ? "" : "(");
    for (uint16_t i = 0; i < t->nkey; i++) {
        struct piece v;
        if (key_value(t, key, i, &v, err) < 0) {
            return -1;
        }
        mf_buf_puts(b, !i ? "" : spelt ? " AND " : ", ");
        if (spelt) {
            put_compared(b, k, t, i, OP_EQUAL, v);
        } else {
            pg_put_literal_n(b, v.p, v.n);
        }
    }
    mf_buf_puts(b, k->odd && !spelt ? "" : ")");
    return 0;
}

int pg_put_keys(struct pg_reader *r, struct mf_buf *b, const struct mf_table *t, const struct mf_row *keys, size_t n,
                size_t *at, struct mf_error *err)
{
    const struct pg_key *k = &r->key;
    if (know_key(r, t, err) < 0) {
        return -1;
    }
    bool spelt = k->odd && t->nkey > 1, any = k->odd && t->nkey == 1;
    mf_buf_puts(b, spelt ? " WHERE (" : any ? " WHERE " : " WHERE (");
    if (!spelt) {
        pg_put_key(b, t);
    }
    if (any) {
        mf_buf_printf(b, " %s ANY (ARRAY[", operator_of(k, t, 0, OP_EQUAL));
    } else if (!spelt) {
        mf_buf_puts(b, ") IN (");
    }
    for (size_t from = *at; *at < n && *at - from < KEYS_AT_ONCE && b->len < PG_SQL_MAX / 2; ++*at) {
        mf_buf_puts(b, *at == from ? "" : spelt ? " OR " : ", ");
        if (put_key_row(b, k, t, &keys[*at], err) < 0) {
            return -1;
        }
    }
    mf_buf_puts(b, any ? "]" : ")");
    if (any) {
        put_type(b, k, t, 0, "[])");
    }
    return pg_sql(b, err) ? 0 : -1;
}
