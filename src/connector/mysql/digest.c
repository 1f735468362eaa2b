/*
 * Digests: one 64-bit number for a row, computed in the database, summed over a chunk modulo 2^64.
 *
 * A row's number is the first 64 bits of the SHA-1 of its columns' values, written one behind the other so that no two rows are
 * written alike: between two stands the byte FF, which no text in UTF-8 and no number has, and what is null, or an ENUM's
 * error value, is such a byte too, or an N in a number's place; raw bytes have their length before them; large values are the SHA-1 of
 * their own. The sum does not depend on the order of rows, and equal rows do not cancel each other out.
 *
 * The server's time goes into putting the text together and into the hash, so nothing is escaped and nothing that cannot be null is
 * asked whether it is. SHA-1 is as fast as MD5 where it is plain code and faster where the processor has it; CRC-32 would be faster
 * yet, but it is 32 bits, and linear: rows that swap their values would often go unseen. A second number would cost a second hash.
 *
 * MySQL 9.6 and later have neither SHA-1 nor MD5 any more: where one of the sides is such a server it is SHA-256, which costs more.
 *
 * A value is written in the same way by every server and version: as it travels (coltype.h), characters as the bytes of their
 * UTF-8. A text that cannot be written in UTF-8 is written as its own bytes, so that two of them are not taken for the same
 * question marks. JSON is its text: MySQL's is the same for the same document, MariaDB's is what was written.
 *
 * What the server would leave out with a mere warning (a value too long to be put together is null) is an error.
 */
#include "connector/mysql/reader.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define LARGE_TEXT 65535 /* bytes; TEXT and larger */
#define MYSQL_8    80000
#define NO_SHA1    90600  /* and MySQL's from here on */
#define MARIADB_10 100000 /* versions below are MySQL's */

static bool is_utf8(const char *charset)
{
    return strcmp(charset, "utf8mb4") == 0 || strcmp(charset, "utf8mb3") == 0 || strcmp(charset, "utf8") == 0;
}

/* An expression whose bytes are the UTF-8 of the text. */
static void put_utf8(struct mf_buf *b, const char *name, const char *charset)
{
    if (is_utf8(charset)) {
        mf_buf_printf(b, "CAST(%s AS BINARY)", name);
    } else if (!my_charset_lossy(charset)) {
        mf_buf_printf(b, "CAST(CONVERT(%s USING utf8mb4) AS BINARY)", name);
    } else {
        mf_buf_printf(b,
                      "IF(CAST(CONVERT(CONVERT(%s USING utf8mb4) USING %s) AS BINARY) = CAST(%s AS BINARY),"
                      " CAST(CONVERT(%s USING utf8mb4) AS BINARY), CONCAT(x'FC', '%s ', HEX(%s)))",
                      name, charset, name, name, charset, name);
    }
}

/* MariaDB does not keep the sign of a zero: where one of the sides is MariaDB, it does not count. */
static bool signless_zero(const struct my_reader *r)
{
    return r->base.peer_version >= MARIADB_10 && !r->db->mariadb;
}

/* A double that is whole is shown as 10 by MySQL 5.7 and as 10.0 since: where one of the sides is 5.7, as 10. Strings are passed over whole. Few
 * documents have any, and to make a document's text costs as much as to hash it: the cheapest question comes first, bytes and not letters. */
static void put_json(struct mf_buf *b, const struct my_reader *r, const char *name)
{
    bool old_peer = r->base.peer_version > 0 && r->base.peer_version < MYSQL_8;
    if (!old_peer || r->db->mariadb || r->db->version < MYSQL_8) {
        mf_buf_printf(b, "CAST(%s AS CHAR)", name);
        return;
    }
    mf_buf_printf(b,
                  "IF(LOCATE(_binary '.0', CAST(CAST(%s AS CHAR) AS BINARY))"
                  " AND REGEXP_LIKE(CAST(%s AS CHAR), '[.]0(?![0-9])'), REGEXP_REPLACE(CAST(%s AS CHAR),"
                  " '(\"[^\"\\\\\\\\]*+(?:\\\\\\\\.[^\"\\\\\\\\]*+)*+\")|[.]0(?![0-9])', '$1'), CAST(%s AS CHAR))",
                  name, name, name, name);
}

/* ---- hashes ---- */

static bool lacks_sha1(int version)
{
    return version >= NO_SHA1 && version < MARIADB_10;
}

static bool is_sha2(const struct my_reader *r)
{
    return lacks_sha1(r->db->mariadb ? MARIADB_10 : r->db->version) || lacks_sha1(r->base.peer_version);
}

static const char *hash_of(const struct my_reader *r)
{
    return is_sha2(r) ? "SHA2(" : "SHA1(";
}

static const char *hash_end(const struct my_reader *r)
{
    return is_sha2(r) ? ", 256)" : ")";
}

/* ---- columns ---- */

static void put_text(struct mf_buf *b, const struct my_type *y, const char *name, bool not_null)
{
    mf_buf_puts(b, not_null ? "" : "IFNULL(");
    if (y->base == MY_ENUM) { /* the error value and a member that is empty look alike */
        mf_buf_printf(b, "IF(%s = 0, x'FD', ", name);
    }
    put_utf8(b, name, y->charset);
    mf_buf_puts(b, y->base == MY_ENUM ? ")" : "");
    mf_buf_puts(b, not_null ? "" : ", x'FE')");
}

static void put_large(struct mf_buf *b, const struct my_reader *r, const struct mf_buf *text)
{
    mf_buf_printf(b, "IFNULL(%s%s%s, 'N')", hash_of(r), mf_buf_str(text), hash_end(r));
}

/* Later 8.0 and 9 cut the text of a double to 22 characters wherever it is part of an expression, its digits too; only a document has
 * all of them, in the form of the others but for the ".0" of a whole one. */
static void put_real(struct mf_buf *text, const struct my_reader *r, const struct my_type *y, const char *name)
{
    mf_buf_puts(text, r->db->short_reals ? "TRIM(TRAILING '.0' FROM CAST(CAST(" : "");
    my_put_read(text, y, name);
    mf_buf_puts(text, signless_zero(r) ? " + 0e0" : "");
    mf_buf_puts(text, r->db->short_reals ? " AS JSON) AS CHAR))" : "");
}

static void put_column(struct mf_buf *b, const struct my_reader *r, const struct my_type *y, const char *name,
                       bool not_null)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = MY_SQL_MAX};
    switch (y->base) {
    case MY_CHAR:
    case MY_VARCHAR:
    case MY_SET:
    case MY_ENUM:
        put_text(b, y, name, not_null);
        return;
    case MY_TEXT:
        if (y->length < LARGE_TEXT) {
            put_text(b, y, name, not_null);
        } else {
            put_utf8(&text, name, y->charset);
            put_large(b, r, &text);
        }
        return;
    case MY_JSON:
        put_json(&text, r, name);
        put_large(b, r, &text);
        return;
    case MY_BINARY:
    case MY_VARBINARY: /* one that is null leaves nothing behind its length */
        mf_buf_printf(b, not_null ? "LENGTH(%s), %s" : "IFNULL(CONCAT(LENGTH(%s)), 'N'), %s", name, name);
        return;
    case MY_BLOB:
    case MY_GEOMETRY:
    case MY_VECTOR:
        mf_buf_puts(&text, name);
        put_large(b, r, &text);
        return;
    default:
        if (y->base == MY_FLOAT || y->base == MY_DOUBLE) {
            put_real(&text, r, y, name);
        } else {
            my_put_read(&text, y, name);
        }
        mf_buf_printf(b, not_null ? "%s" : "IFNULL(CONCAT(%s), 'N')", mf_buf_str(&text));
    }
}

/* What is null may be asked of the table as it is now only: the caller's may be older. */
static bool never_null(const struct my_reader *r, const char *column)
{
    int at = mf_table_column(r->live, column);
    return at >= 0 && r->live->columns[at].not_null;
}

static void put_row(struct mf_buf *b, const struct my_reader *r, const struct mf_table *t)
{
    MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
    /* Cast, it makes a text of bytes of the whole, whatever the columns' character sets. */
    mf_buf_printf(b, "CAST(CONV(LEFT(%sCONCAT_WS(CAST(x'FF' AS BINARY)", hash_of(r));
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (!t->columns[i].generated) {
            mf_buf_reset(&name);
            my_put_ident(&name, t->columns[i].name);
            mf_buf_puts(b, ", ");
            put_column(b, r, &r->types[i], mf_buf_str(&name), never_null(r, t->columns[i].name));
        }
    }
    mf_buf_printf(b, ", '')%s, 16), 16, 10) AS UNSIGNED)", hash_end(r));
}

/* A sum written in decimal, modulo 2^64: so the digests of parts add up to that of the whole. */
static uint64_t read_sum(const char *text)
{
    uint64_t sum = 0;
    for (const char *s = text ? text : ""; *s >= '0' && *s <= '9'; s++) {
        sum = sum * 10 + (uint64_t)(*s - '0');
    }
    return sum;
}

/* Any warning but that something is old-fashioned: a hash may be missing. */
static int check_warnings(struct my_reader *r, const struct mf_table *t, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *res = NULL;
    if (mysql_warning_count(r->conn) == 0) {
        return 0;
    }
    if (my_query(r->conn, &res, err, "SHOW WARNINGS LIMIT 20") < 0) {
        return -1;
    }
    for (MYSQL_ROW row; res && (row = mysql_fetch_row(res));) {
        if (row[0] && row[2] && strcasecmp(row[0], "Note") != 0 && my_get_i64(row, 1) != 1287) {
            return mf_fail(err, MF_FATAL, "MFDIGEST", "rows of table %s.%s cannot be compared: %s (%s)", t->schema,
                           t->name, row[2], row[1] ? row[1] : "?");
        }
    }
    return 0;
}

/* A server that is not let compute a hash, or was built without TLS, may answer with a null. */
static int no_hash(const struct my_reader *r, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFDIGEST", "this server does not compute %s: rows cannot be compared in it",
                   is_sha2(r) ? "SHA2" : "SHA-1");
}

/* ---- the operations ---- */

static int run_digest(struct my_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                      struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *res = NULL;
    mf_buf_puts(&b, "SELECT COUNT(*), COALESCE(SUM(");
    put_row(&b, r, t);
    mf_buf_printf(&b, "), 0), LENGTH(%s'midflight'%s)", hash_of(r), hash_end(r));
    if (my_put_from(r, &b, t, c, err) < 0) {
        return -1;
    }
    if (!mf_buf_ok(&b)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a statement is longer than %zu bytes", b.max);
    }
    if (my_query(r->conn, &res, err, mf_buf_str(&b)) < 0 || check_warnings(r, t, err) < 0) {
        return my_read_failed(r, t, err);
    }
    MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;
    if (!row) {
        return mf_fail(err, MF_FATAL, "MFNOROW", "no digest came of table %s.%s", t->schema, t->name);
    }
    if (my_get_i64(row, 2) != (is_sha2(r) ? 64 : 40)) {
        return no_hash(r, err);
    }
    *ret = (struct mf_digest){.rows = (uint64_t)my_get_i64(row, 0), .lane1 = read_sum(row[1])};
    return 0;
}

int my_digest(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
              struct mf_error *err)
{
    struct my_reader *r = my_reader_of(base);
    if (my_work_begin(r, t, MY_SHAPE_COLUMNS, false, err) < 0) {
        return -1;
    }
    if (run_digest(r, t, c, ret, err) < 0) {
        my_work_abort(r);
        return -1;
    }
    return my_work_end(r, err);
}

static int put_rows_query(struct my_reader *r, struct mf_buf *b, const struct mf_table *t, const struct mf_chunk *c,
                          struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
    mf_buf_puts(b, "SELECT ");
    put_row(b, r, t);
    for (uint16_t k = 0; k < t->nkey; k++) {
        mf_buf_reset(&name);
        my_put_ident(&name, t->columns[t->key[k]].name);
        mf_buf_puts(b, ", ");
        my_put_read(b, &r->types[t->key[k]], mf_buf_str(&name));
    }
    return my_put_from(r, b, t, c, err);
}

static int emit_digests(struct my_reader *r, const struct mf_table *t, struct mf_value *values, mf_digest_sink *emit,
                        void *ctx, struct mf_error *err)
{
    struct mf_row key = {.n = t->nkey ? t->ncolumns : 0, .values = values};
    MYSQL_ROW row;
    unsigned long *n;
    for (;;) {
        if (my_rows_fetch(r, &row, &n, err) < 0) {
            return my_read_failed(r, t, err);
        }
        if (!row) {
            return check_warnings(r, t, err);
        }
        if (!row[0]) {
            return mf_fail(err, MF_FATAL, "MFDIGEST", "a row of table %s.%s cannot be compared: its hash is null",
                           t->schema, t->name);
        }
        for (uint16_t k = 0; k < t->nkey; k++) {
            enum mf_value_kind kind = !row[1 + k]                               ? MF_NULL
                                      : my_type_is_binary(&r->types[t->key[k]]) ? MF_BINARY
                                                                                : MF_TEXT;
            values[t->key[k]] = (struct mf_value){.kind = kind, .len = (uint32_t)n[1 + k], .data = row[1 + k]};
        }
        struct mf_digest d = {.rows = 1, .lane1 = read_sum(row[0])};
        if (emit(ctx, &key, &d, err) < 0) {
            return -1;
        }
    }
}

int my_digest_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                   void *ctx, struct mf_error *err)
{
    struct my_reader *r = my_reader_of(base);
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    MF_CLEANUP_FREE struct mf_value *values = mf_xcalloc(t->ncolumns + 1u, sizeof *values);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        values[i].kind = MF_UNCHANGED;
    }
    if (my_work_begin(r, t, MY_SHAPE_COLUMNS, false, err) < 0) {
        return -1;
    }
    if (put_rows_query(r, &b, t, c, err) < 0 || (my_rows_start(r, &b, err) < 0 && my_read_failed(r, t, err) < 0) ||
        emit_digests(r, t, values, emit, ctx, err) < 0) {
        my_work_abort(r);
        return -1;
    }
    return my_work_end(r, err);
}
