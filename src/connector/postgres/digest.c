/*
 * Digests: one 64-bit number for a row, computed in the database, summed over a chunk.
 *
 * A row's number is the hash of the exclusive or of its columns' hashes, each with a seed of its own (so that values that
 * change places are seen, and null is a number of its own). The sum over the rows does not depend on their order.
 *
 * Exact means: two values have the same hash only if they are the same in every way that an application can see, and
 * values that are the same have the same hash on every server. PostgreSQL's own hash functions follow equality, which is
 * wider: 1.0 = 1.00, -0 = 0, 30 days = 1 month, and that of bigint folds 64 bits to 32. So they are used only where equality
 * is identity (int4, text, uuid, …); every other type goes by its text, which sessions of ours make the same everywhere
 * (connect.h). Large bytea goes by its SHA-256, or its text would need twice its size twice.
 *
 * hashtextextended and its kin are the same from version 11 on (hash partitioning depends on it). With a version 10 on
 * either side, rows go by md5 of their text; with 10 or 11 on either side floats go by their bytes, because their text
 * became the shortest one in 12. (Floats inside arrays and composites are then still compared as text.)
 */
#include "connector/postgres/reader.h"

#include "base/mem.h"
#include "connector/postgres/rows.h"

#include <stdlib.h>
#include <string.h>

#define LARGE_BYTEA 1000000
#define GROUP       32 /* operands on one level: an expression of 1,600 levels would overrun the parser's stack */

enum form { FORM_MD5, FORM_OLD_FLOATS, FORM_NEW };

/* Oids of built-in types, fixed in PostgreSQL's pg_type.dat. */
enum {
    T_BOOL = 16,
    T_BYTEA = 17,
    T_CHAR = 18,
    T_INT8 = 20,
    T_INT2 = 21,
    T_INT4 = 23,
    T_TEXT = 25,
    T_OID = 26,
    T_FLOAT4 = 700,
    T_FLOAT8 = 701,
    T_BPCHAR = 1042,
    T_VARCHAR = 1043,
    T_UUID = 2950
};

struct digester {
    struct mf_buf sql;
    const struct mf_table *t;
    enum form form;
    bool utf8;  /* what is stored is UTF-8, or is sent as if it were */
    bool plain; /* on both sides: text is hashed as it is stored */
};

static void pg_digester_free_p(struct digester *d)
{
    mf_buf_free(&d->sql);
}

static enum form form_of(const struct pg_reader *r)
{
    int version = PQserverVersion(r->conn);
    if (r->base.peer_version > 0 && r->base.peer_version < version) {
        version = r->base.peer_version;
    }
    return version < 110000 ? FORM_MD5 : version < 120000 ? FORM_OLD_FLOATS : FORM_NEW;
}

/* A number for a column (or a boolean's value) that looks like a hash. */
static long long constant(uint64_t n)
{
    uint64_t z = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (long long)((z ^ (z >> 31)) >> 1); /* positive: a literal without a sign */
}

/* ---- the text of a value ---- */

/* A text expression for the column; concat() uses the type's own output, which a cast may not. */
static void put_text(struct digester *d, const struct mf_column *c, const char *name)
{
    struct mf_buf *b = &d->sql;
    if (c->type_id == T_BYTEA && d->form != FORM_MD5) {
        mf_buf_printf(
            b, "CASE WHEN octet_length(%s) > %d THEN 'sha256:' || encode(sha256(%s), 'hex') ELSE encode(%s, 'hex') END",
            name, LARGE_BYTEA, name, name);
    } else if ((c->type_id == T_FLOAT4 || c->type_id == T_FLOAT8) && d->form != FORM_NEW) {
        const char *send = c->type_id == T_FLOAT4 ? "float4send" : "float8send";
        mf_buf_printf(b, "encode(%s(CASE WHEN %s = 'NaN' THEN 'NaN' ELSE %s END), 'hex')", send, name, name);
    } else if (c->type_id == T_CHAR) {
        mf_buf_printf(b, "%s::int4::text", name);
    } else if (c->type_id == T_BPCHAR && c->type_mod >= 0) {
        mf_buf_printf(b, "%s::text", name); /* without its padding, as its hash function sees it */
    } else if (c->type_id == T_TEXT || c->type_id == T_VARCHAR) {
        mf_buf_puts(b, name);
    } else {
        mf_buf_printf(b, "concat(%s)", name);
    }
}

/* The same text whatever the databases' encodings: UTF-8 as it is stored, or its md5 where a side has another one. (The bytes
 * of UTF-8 themselves may be no text there.) */
static void put_utf8_text(struct digester *d, const struct mf_column *c, const char *name)
{
    mf_buf_puts(&d->sql, d->plain ? "(" : d->utf8 ? "md5((" : "md5(convert_to((");
    put_text(d, c, name);
    mf_buf_puts(&d->sql, d->plain ? ")" : d->utf8 ? "))" : "), 'UTF8'))");
}

/* ---- the hash of a column ---- */

static void put_hash(struct digester *d, uint16_t i)
{
    const struct mf_column *c = &d->t->columns[i];
    struct mf_buf *b = &d->sql;
    MF_CLEANUP_BUF struct mf_buf ident = {.max = 1024};
    pg_put_ident(&ident, c->name);
    const char *n = mf_buf_str(&ident);
    int seed = 2 * i + 1;
    long long null = constant(3u * i);
    switch (c->type_id) {
    case T_CHAR: /* its text is another one since 15 */
    case T_INT2:
    case T_INT4:
        mf_buf_printf(b, "coalesce(hashint4extended(%s::int4, %d), %lld)", n, seed, null);
        return;
    case T_INT8: /* folded to 32 bits, and its upper half: together all of it */
        mf_buf_printf(b, "coalesce(hashint8extended(%s, %d) # hashint4extended((%s >> 32)::int4, %d), %lld)", n, seed,
                      n, seed + 1, null);
        return;
    case T_OID:
        mf_buf_printf(b, "coalesce(hashoidextended(%s, %d), %lld)", n, seed, null);
        return;
    case T_UUID:
        mf_buf_printf(b, "coalesce(uuid_hash_extended(%s, %d), %lld)", n, seed, null);
        return;
    case T_BOOL:
        mf_buf_printf(b, "CASE WHEN %s THEN %lld WHEN NOT %s THEN %lld ELSE %lld END", n, constant(3u * i + 1), n,
                      constant(3u * i + 2), null);
        return;
    case T_BPCHAR: /* of a declared length: blanks at its end are padding */
        if (d->plain && c->type_mod >= 0) {
            mf_buf_printf(b, "coalesce(hashbpcharextended(%s COLLATE \"C\", %d), %lld)", n, seed, null);
            return;
        }
        break;
    case T_TEXT:
    case T_VARCHAR:
        mf_buf_puts(b, "coalesce(hashtextextended(");
        put_utf8_text(d, c, n);
        mf_buf_printf(b, " COLLATE \"C\", %d), %lld)", seed, null);
        return;
    default:
        break;
    }
    /* IS NULL is true of a composite value of nulls; this is not. */
    mf_buf_printf(b, "CASE WHEN %s IS NOT DISTINCT FROM NULL THEN %lld ELSE hashtextextended(", n, null);
    put_utf8_text(d, c, n);
    mf_buf_printf(b, " COLLATE \"C\", %d) END", seed);
}

static void put_row_hash(struct digester *d)
{
    struct mf_buf *b = &d->sql;
    int n = 0;
    /* As a seed, all 64 bits of the exclusive or count; hashint8extended would fold them to 32. */
    mf_buf_puts(b, "hashint4extended(1, 0::bigint");
    for (uint16_t i = 0; i < d->t->ncolumns; i++) {
        if (!d->t->columns[i].generated) {
            mf_buf_puts(b, n == 0 ? " # (" : n % GROUP == 0 ? ") # (" : " # ");
            put_hash(d, i);
            n++;
        }
    }
    mf_buf_puts(b, n ? "))" : ")");
}

/* Version 10: each column's text behind its length, all of it through md5. */
static void put_row_md5(struct digester *d)
{
    struct mf_buf *b = &d->sql;
    mf_buf_puts(b, "('x' || left(md5(''");
    for (uint16_t i = 0; i < d->t->ncolumns; i++) {
        const struct mf_column *c = &d->t->columns[i];
        if (c->generated) {
            continue;
        }
        MF_CLEANUP_BUF struct mf_buf ident = {.max = 1024};
        pg_put_ident(&ident, c->name);
        const char *n = mf_buf_str(&ident);
        mf_buf_printf(b, " || CASE WHEN %s IS NOT DISTINCT FROM NULL THEN 'n' ELSE concat(octet_length(", n);
        put_utf8_text(d, c, n);
        mf_buf_puts(b, "), ':', ");
        put_utf8_text(d, c, n);
        mf_buf_puts(b, ") END");
    }
    mf_buf_puts(b, "), 16))::bit(64)::bigint");
}

static void put_row(struct digester *d)
{
    if (d->form == FORM_MD5) {
        put_row_md5(d);
    } else {
        put_row_hash(d);
    }
}

/* A database that does not know its encoding sends and gets our UTF-8 as it is. */
static bool is_utf8(const char *encoding)
{
    return strcmp(encoding, "UTF8") == 0 || strcmp(encoding, "SQL_ASCII") == 0;
}

static void digester_init(struct digester *d, const struct pg_reader *r, const struct mf_table *t)
{
    *d = (struct digester){.t = t, .form = form_of(r)};
    mf_buf_init(&d->sql, PG_SQL_MAX);
    d->utf8 = is_utf8(r->db->facts.encoding);
    d->plain = d->utf8 && (!r->base.peer_encoding[0] || is_utf8(r->base.peer_encoding));
}

static int put_from(struct digester *d, struct pg_reader *r, const struct mf_chunk *c, struct mf_error *err)
{
    mf_buf_puts(&d->sql, " FROM ONLY ");
    pg_put_table(&d->sql, d->t);
    return pg_put_range(r, &d->sql, d->t, c, err) < 0 || !pg_sql(&d->sql, err) ? -1 : 0;
}

/* ---- the operations ---- */

/* A sum written in decimal, modulo 2^64: so the digests of parts add up to that of the whole. A row's number has 64 bits;
 * a second lane made from it would add nothing. */
static void read_sum(const char *text, struct mf_digest *ret)
{
    uint64_t sum = 0;
    for (const char *s = text; *s; s++) {
        if (*s >= '0' && *s <= '9') {
            sum = sum * 10 + (uint64_t)(*s - '0');
        }
    }
    ret->lane1 = *text == '-' ? -sum : sum;
    ret->lane2 = 0;
}

static bool ranged(const struct mf_chunk *c)
{
    return !c->by_heap && (c->has_lower || c->has_upper);
}

int pg_digest(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
              struct mf_error *err)
{
    struct pg_reader *r = pg_reader_of(base);
    struct digester d MF_CLEANUP(pg_digester_free_p);
    PG_CLEANUP_RESULT PGresult *res = NULL;
    digester_init(&d, r, t);
    mf_buf_puts(&d.sql, "SELECT count(*), coalesce(sum(");
    put_row(&d);
    mf_buf_puts(&d.sql, "), 0)");
    if (put_from(&d, r, c, err) < 0 || pg_work_begin(r, t, PG_SHAPE_COLUMNS, ranged(c), err) < 0) {
        return -1;
    }
    if (pg_query(r->conn, &res, err, mf_buf_str(&d.sql)) < 0) {
        pg_work_abort(r);
        return pg_read_failed(r, t, err);
    }
    if (pg_work_end(r, err) < 0) {
        return -1;
    }
    ret->rows = (uint64_t)pg_get_i64(res, 0, 0);
    read_sum(PQgetvalue(res, 0, 1), ret);
    return 0;
}

struct row_sink {
    const struct mf_table *t;
    struct mf_value *values; /* a key's row: what is not key is MF_UNCHANGED */
    mf_digest_sink *emit;
    void *ctx;
};

static int take_digest(void *ctx, const PGresult *res, struct mf_error *err)
{
    struct row_sink *s = ctx;
    struct mf_digest d = {.rows = 1};
    struct mf_row key = {.n = s->t->nkey ? s->t->ncolumns : 0, .values = s->values};
    read_sum(PQgetvalue(res, 0, 0), &d);
    for (uint16_t k = 0; k < s->t->nkey; k++) {
        pg_row_values(res, 1 + k, 1, &s->values[s->t->key[k]]);
    }
    return s->emit(s->ctx, &key, &d, err);
}

int pg_digest_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                   void *ctx, struct mf_error *err)
{
    struct pg_reader *r = pg_reader_of(base);
    struct digester d MF_CLEANUP(pg_digester_free_p);
    MF_CLEANUP_FREE struct mf_value *values = mf_xcalloc((size_t)t->ncolumns + 1, sizeof *values);
    struct row_sink s = {.t = t, .values = values, .emit = emit, .ctx = ctx};
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        values[i].kind = MF_UNCHANGED;
    }
    digester_init(&d, r, t);
    mf_buf_puts(&d.sql, "SELECT ");
    put_row(&d);
    if (t->nkey > 0) {
        mf_buf_puts(&d.sql, ", ");
        pg_put_key(&d.sql, t);
    }
    if (put_from(&d, r, c, err) < 0 || pg_work_begin(r, t, PG_SHAPE_COLUMNS, ranged(c), err) < 0) {
        return -1;
    }
    if (pg_each_row(r, mf_buf_str(&d.sql), take_digest, &s, err) < 0) {
        pg_work_abort(r);
        return pg_read_failed(r, t, err);
    }
    return pg_work_end(r, err);
}
